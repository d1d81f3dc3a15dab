/* Whole files (sparse.h): opened, and all that was found looked at. */
#include "libmr/image/image.h"
#include "libmr/seal/sealed.h"
#include "formats/name.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/sparse.h"

static void check_error(const struct mr_error *err)
{
	must(err->code == MR_FORMAT || err->code == MR_SHORT ||
	     err->code == MR_UNSUPPORTED);
	must(*err->msg && name_is_text(err->msg, strlen(err->msg)));
	must(err->msg[strlen(err->msg) - 1] != '.');
}

static void check_sections(const struct mr_image_info *info)
{
	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		must(s->count && s->name && *s->name);
		must(mr_section_type_name(s->type));
		must(s->header + s->payload <= s->length);
		/* Memory at fixed places may lie beyond the end. */
		if (s->type == MR_SECTION_FULL && !info->has_pack)
			must(s->offset + s->length <= info->file_size);
		must(!i || s->offset >= s[-1].offset);
	}
}

static void check_block(const struct mr_image *img, const struct mr_block *b)
{
	const struct mr_image_info *info = mr_image_info(img);
	struct mr_error err = MR_ERROR_INIT;
	uint64_t words[4];
	size_t n = 4;

	must(b->length && b->pages);
	must((b->pages - 1) * info->page_size < b->length);
	if (info->damage.code == MR_OK)
		must(mr_image_find(img, b->name) == b);
	if (info->damage.code == MR_OK && b->in_file) {
		must(b->pages * info->page_size == b->length);
		must(b->bitmap_offset + b->bitmap_size <= b->pages_offset);
		must(b->pages_offset + b->length <= info->file_size);
	}
	if (n > mr_block_words(b))
		n = (size_t)mr_block_words(b);
	if (mr_image_bitmap(img, b, 0, words, n, &err))
		check_error(&err);
	else if (b->pages < 64)
		must(words[0] >> b->pages == 0);
}

/* Bytes of a block that an index says are the same however they are asked for;
 * what it cannot tell it says. */
static void check_memory(const struct mr_image *img, size_t block)
{
	static uint8_t all[4 << 16], part[sizeof(all)];
	const struct mr_block *b = &mr_image_info(img)->blocks[block];
	struct mr_error err = MR_ERROR_INIT;
	size_t len = sizeof(all), n, some, sum = 0;

	if (image_check_index(img, &err)) {
		check_error(&err);
		return;
	}
	if (len > b->length)
		len = (size_t)b->length;
	if (page_index_read(img->index, img->io, block, 0, all, len, &n,
			    &err)) {
		check_error(&err);
		return;
	}
	must(n <= len);
	for (size_t at = 0, step = 999; at < len; at += step) {
		if (step > len - at)
			step = len - at;
		must(!page_index_read(img->index, img->io, block, at, part,
				      step, &some, &err));
		must(!memcmp(part, all + at, step));
		sum += some;
	}
	must(sum == n);
}

static void check_devices(const struct mr_image *img)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_devices *d = mr_devices_open(img, NULL, &err);
	struct mr_cpu *cpus = NULL;
	size_t n = 0;

	if (!d) {
		check_error(&err);
		return;
	}
	for (size_t i = 0; i < mr_devices_count(d); i++) {
		struct mr_device *dev = mr_devices_read(d, i, &err);

		if (!dev) {
			check_error(&err);
			err = (struct mr_error)MR_ERROR_INIT;
			continue;
		}
		must(dev->section == mr_devices_section(d, i));
		must(dev->decoded || *dev->why.msg);
		must(dev->size == 0 || dev->bytes);
		mr_device_free(dev);
	}
	if (mr_cpus(d, &cpus, &n, &err))
		check_error(&err);
	else
		must(n && cpus);
	free(cpus);
	mr_devices_free(d);
}

/* A seal is there, or none, or a reason. */
static void check_seal(struct io *io)
{
	struct mr_error err = MR_ERROR_INIT;
	struct seal_digest digest;
	struct sealed s;
	int rc = sealed_open(&s, io, &err);

	if (rc < 0)
		check_error(&err);
	for (uint32_t i = 0; rc > 0 && i < s.head.blocks; i++)
		for (uint64_t x = 0; x < s.blocks[i].n_extents && x < 99; x++)
			if (sealed_has_extent(&s, i, x))
				must(!sealed_extent(&s, i, x, &digest, &err));
	/* Tables lie in the file, all of them. */
	for (uint32_t i = 0; rc > 0 && i < s.head.blocks; i++) {
		const struct seal_block *b = &s.blocks[i];
		uint64_t n = b->used_length / s.head.page_size, entry;

		if (b->table)
			must(!sealed_table(&s, i, n - 1, &entry, 1, &err));
	}
	sealed_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_image_info *info;
	struct mr_inspection in;
	struct sparse_io io;
	struct mr_image *img;

	sparse_init(&io, data, size);
	img = image_open_io(&io.io, NULL, &err);
	must(img && err.code == MR_OK);
	info = mr_image_info(img);
	if (info->damage.code != MR_OK)
		check_error(&info->damage);
	must(info->trailing <= info->file_size);
	must(name_is_text(info->machine, strlen(info->machine)));
	must(name_is_text(info->run_state, strlen(info->run_state)));
	check_sections(info);
	for (size_t i = 0; i < info->n_blocks; i++)
		check_block(img, &info->blocks[i]);
	/* Thousands of blocks would all be the same. */
	for (size_t i = 0; i < info->n_blocks && i < 4; i++)
		check_memory(img, i);
	if (mr_inspect(img, NULL, &in, &err))
		check_error(&err);
	else
		must(mr_verdict_name(in.verdict));
	must(err.code == MR_OK || info->damage.code != MR_OK);
	mr_inspection_release(&in);
	check_devices(img);
	check_seal(&io.io);
	mr_image_free(img);
	return 0;
}
