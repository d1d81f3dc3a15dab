/* image_test.c - files of every kind, whole, cut, and wrong. */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/libmr/unit.h"

#include "formats/seal.h"
#include "libmr/image/image.h"
#include "tests/lib/build.h"

/* ---- a file in memory, and what the parser says of it ---- */

static struct build new_build(void)
{
	struct build b = { .fd = memfd_create("image", MFD_CLOEXEC),
			   .page_size = 4096,
			   .ram_id = 2,
			   .next_id = 3 };

	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	memcpy(b.config.machine, "pc-i440fx-10.0", 15);
	return b;
}

struct made {
	uint8_t *data;
	size_t len;
	struct mem_io io;
};

/* The file as bytes that a test may change; closes it. */
static struct made make(struct build *b)
{
	struct made m = { .len = (size_t)b->at };

	build_done(b);
	m.data = mmap(NULL, m.len, PROT_READ | PROT_WRITE, MAP_PRIVATE, b->fd,
		      0);
	assert_true(m.data != MAP_FAILED);
	assert_int_equal(close(b->fd), 0);
	return m;
}

static void drop(struct made *m)
{
	assert_int_equal(munmap(m->data, m->len), 0);
}

/* Opens the first len bytes; that always works. */
static struct mr_image *look(struct made *m, size_t len)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;

	mem_io_init(&m->io, m->data, len);
	img = image_open_io(&m->io.io, NULL, &err);
	assert_non_null(img);
	assert_int_equal(err.code, MR_OK);
	return img;
}

/* All of it, and the one thing that is wrong with it. */
static void expect_damage(struct build *b, const char *msg)
{
	struct made m = make(b);
	struct mr_image *img = look(&m, m.len);

	assert_string_equal(mr_image_info(img)->damage.msg, msg);
	mr_image_free(img);
	drop(&m);
}

static const struct build_run ram_runs[] = { { 0, 3 }, { 70, 1 }, { 255, 1 } };
static const struct build_run rom_runs[] = { { 1, 1 } };

/* Names and lengths as a caller would give them; the builder fills places. */
static void two_blocks(struct build_block k[2])
{
	k[0] = (struct build_block){ .name = "pc.ram",
				     .length = UINT64_C(256) * 4096,
				     .runs = ram_runs,
				     .n_runs = 3 };
	k[1] = (struct build_block){ .name = "pc.bios",
				     .length = UINT64_C(3) * 4096,
				     .runs = rom_runs,
				     .n_runs = 1,
				     .addr = 0xfffc0000 };
}

/* Header to END of a sound mapped-ram image. */
static struct build mapped_head(struct build_block k[2])
{
	struct build b = new_build();

	two_blocks(k);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_ram_empty(&b, STREAM_PART);
	build_ram_empty(&b, STREAM_PART);
	build_bitmaps(&b, k, 2);
	build_command(&b, STREAM_CMD_SWITCHOVER_START, "", 0);
	build_ram_empty(&b, STREAM_END);
	return b;
}

static struct build plain_head(struct build_block k[2])
{
	struct build b = new_build();

	two_blocks(k);
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_ram_pages(&b, STREAM_PART, k, 2);
	build_ram_empty(&b, STREAM_END);
	return b;
}

static void devices(struct build *b)
{
	build_globalstate(b, "paused");
	build_filler(b, "serial", 11);
	build_filler(b, "0000:00:02.0/vga", 1407);
	build_eof(b);
	build_vmdesc(b);
}

/* ---- sound files ---- */

static void test_mapped(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;

	(void)state;
	devices(&b);
	build_put(&b, "\0\0\0", 4);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->kind, MR_IMAGE_MAPPED);
	assert_string_equal(info->machine, "pc-i440fx-10.0");
	assert_true(info->mapped_ram && !info->ignore_shared);
	assert_int_equal(info->page_size, 4096);
	assert_string_equal(info->run_state, "paused");
	assert_int_equal(info->ram, 259 * 4096);
	assert_true(info->ram_ended && info->ended && info->has_vmdesc);
	assert_int_equal(info->trailing, 4);
	assert_int_equal(info->stream_end, m.len - 4);
	assert_memory_equal(m.data + info->vmdesc_offset, "{\"configuration",
			    15);

	assert_int_equal(info->n_blocks, 2);
	for (int i = 0; i < 2; i++) {
		const struct mr_block *k_ = &info->blocks[i];

		assert_string_equal(k_->name, k[i].name);
		assert_int_equal(k_->length, k[i].length);
		assert_int_equal(k_->entry, k[i].place.entry);
		assert_int_equal(k_->header, k[i].place.header);
		assert_int_equal(k_->bitmap_offset, k[i].place.bitmap_offset);
		assert_int_equal(k_->bitmap_size, k[i].place.bitmap_size);
		assert_int_equal(k_->pages_offset, k[i].place.pages_offset);
		assert_true(k_->in_file);
	}
	assert_ptr_equal(mr_image_find(img, "pc.bios"), &info->blocks[1]);
	assert_null(mr_image_find(img, "pc"));

	/* start, part x 2, command, end, three devices */
	assert_int_equal(info->n_sections, 7);
	assert_int_equal(info->sections[1].type, MR_SECTION_PART);
	assert_int_equal(info->sections[1].count, 2);
	assert_int_equal(info->sections[1].payload, 16);
	assert_int_equal(info->sections[1].length, 36);
	assert_int_equal(info->sections[2].type, MR_SECTION_COMMAND);
	assert_string_equal(info->sections[2].name, "switchover-start");
	assert_string_equal(info->sections[5].name, "serial");
	assert_int_equal(info->sections[5].payload, 11);
	assert_true(info->sections[5].described);
	/* one after the other, without a gap */
	for (size_t i = 1; i < info->n_sections; i++)
		assert_int_equal(info->sections[i].offset,
				 info->sections[i - 1].offset +
					 info->sections[i - 1].length);
	mr_image_free(img);
	drop(&m);
}

static void test_plain(void **state)
{
	struct build_block k[2];
	struct build b = plain_head(k);
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;

	(void)state;
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->kind, MR_IMAGE_STREAM);
	assert_int_equal(info->n_blocks, 2);
	assert_int_equal(info->blocks[0].normal_words, 5);
	assert_int_equal(info->blocks[0].zero_words, 251);
	assert_int_equal(info->blocks[1].normal_words, 1);
	assert_int_equal(info->blocks[1].zero_words, 2);
	assert_int_equal(info->trailing, 0);
	mr_image_free(img);
	drop(&m);
}

/* What xen-save-devices-state writes: no configuration, no description. */
static void test_devices_only(void **state)
{
	struct build b = new_build();
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;

	(void)state;
	build_header(&b);
	build_globalstate(&b, "running");
	build_filler(&b, "empty", 0);
	build_filler(&b, "vga", 200000);
	build_eof(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->kind, MR_IMAGE_DEVICES);
	assert_false(info->has_configuration || info->has_vmdesc);
	assert_int_equal(info->n_sections, 3);
	assert_int_equal(info->sections[1].payload, 0);
	assert_int_equal(info->sections[2].payload, 200000);
	assert_false(info->sections[2].described);
	assert_string_equal(info->run_state, "running");
	mr_image_free(img);
	drop(&m);
}

static void libvirt_case(enum libvirt_format format, bool big, bool complete)
{
	struct build b = new_build();
	struct libvirt_header h = { .complete = complete,
				    .big_endian = big,
				    .version = 2,
				    .was_running = true,
				    .format = format };
	const struct mr_image_info *info;
	struct build_block k[2];
	struct mr_image *img;
	uint64_t offset;
	struct made m;

	two_blocks(k);
	build_libvirt(&b, h, "<domain/>", 1000);
	offset = b.at;
	b.config.mapped_ram = format == LIBVIRT_SPARSE;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_true(info->has_libvirt && info->libvirt.was_running);
	assert_int_equal(info->libvirt.big_endian, big);
	assert_int_equal(info->libvirt.complete, complete);
	assert_string_equal(info->libvirt.format, libvirt_format_name(format));
	assert_int_equal(info->stream_offset, offset);
	if (format == LIBVIRT_SPARSE)
		assert_int_equal(info->kind, MR_IMAGE_MAPPED);
	else if (format == LIBVIRT_RAW)
		assert_int_equal(info->kind, MR_IMAGE_STREAM);
	else
		assert_int_equal(info->kind, MR_IMAGE_COMPRESSED);
	assert_int_equal(info->n_blocks,
			 info->kind == MR_IMAGE_COMPRESSED ? 0 : 2);
	mr_image_free(img);
	drop(&m);
}

static void test_libvirt(void **state)
{
	(void)state;
	for (int f = LIBVIRT_RAW; f < LIBVIRT_FORMATS; f++)
		for (int i = 0; i < 4; i++)
			libvirt_case((enum libvirt_format)f, i & 1, i & 2);
}

static void foreign(const void *data, size_t len)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in;
	struct mr_image *img;
	struct mem_io io;

	mem_io_init(&io, data, len);
	img = image_open_io(&io.io, NULL, &err);
	assert_non_null(img);
	assert_int_equal(mr_image_info(img)->kind, MR_IMAGE_FOREIGN);
	assert_int_equal(mr_image_info(img)->damage.code, MR_OK);
	assert_int_equal(mr_inspect(img, NULL, &in, &err), 0);
	assert_int_equal(in.verdict, MR_VERDICT_FOREIGN);
	mr_inspection_release(&in);
	mr_image_free(img);
}

static void test_foreign(void **state)
{
	(void)state;
	foreign("", 0);
	foreign("QEV", 3);
	foreign("QFI\xfb, and more", 14);
	foreign("LibvirtQemudSav", 15);
}

/* With x-ignore-shared, and a block left out as QEMU 11.0 does. */
static void test_ignore_shared(void **state)
{
	struct build b = new_build();
	const struct mr_image_info *info;
	struct build_block k[2];
	uint64_t words[4];
	struct mr_block_use use;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;
	struct made m;

	(void)state;
	two_blocks(k);
	k[0].ignored = true;
	b.config.ignore_shared = true;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_bitmaps(&b, k, 2);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_false(info->blocks[0].in_file);
	assert_int_equal(info->blocks[0].bitmap_size, 0);
	assert_true(info->blocks[1].in_file);
	assert_true(info->blocks[1].addr == 0xfffc0000);
	memset(words, 0xff, sizeof(words));
	assert_int_equal(
		mr_image_bitmap(img, &info->blocks[0], 0, words, 4, &err), 0);
	assert_true(!words[0] && !words[1] && !words[2] && !words[3]);
	assert_int_equal(mr_image_use(img, &info->blocks[0], &use, &err), 0);
	assert_int_equal(use.present, 0);
	mr_image_free(img);
	drop(&m);
}

/* postcopy-ram: some entries have a page size, and only the advice tells. */
static void test_host_page_sizes(void **state)
{
	struct build b = new_build();
	const struct mr_image_info *info;
	uint8_t advise[16], buf[RAM_BLOCK_MAX];
	struct ram_list_form form = { .host_page_size = true };
	struct ram_block big = { .name = "m0",
				 .used_length = 4 << 20,
				 .host_page_size = 2 << 20 };
	struct mr_image *img;
	struct made m;

	(void)state;
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	put_be64(advise, 4096 | 2 << 20);
	put_be64(advise + 8, 4096);
	build_command(&b, STREAM_CMD_POSTCOPY_ADVISE, advise, 16);
	build_element(&b, STREAM_START, 2, RAM_IDSTR, RAM_VERSION);
	build_word(&b, ((4 << 20) + 2 * 4096) | RAM_MEM_SIZE);
	form.host_page_size = false;
	build_put(&b, buf,
		  ram_block_encode(buf, &form,
				   &(struct ram_block){ .name = "first",
							.used_length = 4096 }));
	form.host_page_size = true;
	build_put(&b, buf, ram_block_encode(buf, &form, &big));
	form.host_page_size = false;
	build_put(&b, buf,
		  ram_block_encode(buf, &form,
				   &(struct ram_block){ .name = "last",
							.used_length = 4096 }));
	build_word(&b, RAM_EOS);
	build_footer(&b, 2);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->n_blocks, 3);
	assert_int_equal(info->blocks[0].host_page_size, 0);
	assert_int_equal(info->blocks[1].host_page_size, 2 << 20);
	assert_int_equal(info->blocks[2].host_page_size, 0);
	mr_image_free(img);
	drop(&m);
}

/* A page size of 0 once divided the list's 4 GiB. */
static void test_advised_page_size(void **state)
{
	static const uint64_t sizes[] = { 0, 2048 + 1, UINT64_C(1) << 32 };
	static const char *const names[] = { "0", "2049", "4294967296" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct build b = new_build();
		uint8_t advise[16];
		char msg[80];

		b.config.mapped_ram = false;
		build_header(&b);
		build_config(&b);
		put_be64(advise, 4096);
		put_be64(advise + 8, sizes[i]);
		build_command(&b, STREAM_CMD_POSTCOPY_ADVISE, advise, 16);
		build_ram_start(&b,
				&(struct build_block){
					.name = "m0",
					.length = UINT64_C(4) << 30,
				},
				1);
		(void)snprintf(msg, sizeof(msg),
			       "page size %s is none that a target has",
			       names[i]);
		expect_damage(&b, msg);
	}
}

/* A target whose pages are not 4 KiB need not say so. */
static void test_page_size_guess(void **state)
{
	static const uint32_t sizes[] = { 256, 1024, 4096, 8192, 16384 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct build b = new_build();
		struct build_block k = { .name = "ram",
					 .length = UINT64_C(64) * sizes[i],
					 .runs = ram_runs,
					 .n_runs = 1 };
		const struct mr_image_info *info;
		struct mr_image *img;
		struct made m;

		b.config.mapped_ram = false;
		b.page_size = sizes[i];
		build_header(&b);
		build_config(&b);
		build_ram_start(&b, &k, 1);
		build_ram_pages(&b, STREAM_PART, &k, 1);
		build_ram_empty(&b, STREAM_END);
		devices(&b);
		m = make(&b);
		img = look(&m, m.len);
		info = mr_image_info(img);
		assert_int_equal(info->damage.code, MR_OK);
		assert_int_equal(info->page_size, sizes[i]);
		assert_int_equal(info->blocks[0].pages, 64);
		assert_int_equal(info->blocks[0].normal_words, 3);
		mr_image_free(img);
		drop(&m);
	}
}

/* ---- device sections ---- */

/* A payload that holds its own footer and what looks like a section. */
static void tricky_device(struct build *b)
{
	uint8_t payload[400] = { 0 };
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = 99,
				    .idstr = "fake",
				    .version_id = 1 };

	(void)stream_footer_encode(payload + 10, b->next_id);
	(void)stream_element_encode(payload + 15, &e);
	build_device(b, "tricky", payload, sizeof(payload));
}

static void test_described(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;

	(void)state;
	tricky_device(&b);
	build_filler(&b, "next", 5);
	build_eof(&b);
	build_vmdesc(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->n_sections, 6);
	assert_string_equal(info->sections[4].name, "tricky");
	assert_int_equal(info->sections[4].payload, 400);
	assert_true(info->sections[4].described);
	mr_image_free(img);
	drop(&m);
}

/* A description that lies about one device is not believed for that one. */
static void test_lying_description(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;

	(void)state;
	build_globalstate(&b, "paused");
	build_filler(&b, "liar", 20);
	build_filler(&b, "honest", 30);
	json_object_set_new(
		json_array_get(
			json_object_get(json_array_get(b.devices, 1), "fields"),
			0),
		"size", json_integer(21));
	build_eof(&b);
	build_vmdesc(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->n_sections, 7);
	assert_int_equal(info->sections[5].payload, 20);
	assert_false(info->sections[5].described);
	assert_true(info->sections[6].described);
	mr_image_free(img);
	drop(&m);
}

/* Texts after 06 that describe nothing: footers do it. */
static void test_no_description(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"{\"devices\": []}",
		"{\"devices\": 1}",
		"{nonsense",
		"{\"devices\": [{\"name\": 1}]}",
		"{\"devices\": [{\"name\": \"serial\", \"fields\": "
		"[{\"size\": -1}]}]}",
		"{\"devices\": [{\"name\": \"serial\", \"fields\": "
		"[{\"size\": 9e99, \"array_len\": 1e9}]}]}",
		"{\"devices\": [{\"name\": \"serial\", \"fields\": "
		"[{\"size\": 1099511627776, \"array_len\": 1099511627776}]}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct build_block k[2];
		struct build b = mapped_head(k);
		const struct mr_image_info *info;
		struct mr_image *img;
		struct made m;

		build_filler(&b, "serial", 11);
		build_filler(&b, "vga", 1407);
		build_eof(&b);
		build_vmdesc_text(&b, texts[i]);
		m = make(&b);
		img = look(&m, m.len);
		info = mr_image_info(img);
		assert_int_equal(info->damage.code, MR_OK);
		assert_int_equal(info->n_sections, 6);
		assert_int_equal(info->sections[4].payload, 11);
		assert_false(info->sections[4].described);
		assert_true(info->has_vmdesc);
		assert_int_equal(info->vmdesc_length, strlen(texts[i]));
		assert_int_equal(info->trailing, 0);
		mr_image_free(img);
		drop(&m);
	}
}

/* virtio-mem's early section comes before memory, and first in the list. */
static void test_early_device(void **state)
{
	struct build b = new_build();
	const struct mr_image_info *info;
	struct build_block k[2];
	struct mr_image *img;
	struct made m;

	(void)state;
	two_blocks(k);
	build_header(&b);
	build_config(&b);
	build_filler(&b, "virtio-mem-device-early", 24);
	build_ram_start(&b, k, 2);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->n_sections, 6);
	assert_int_equal(info->sections[0].payload, 24);
	assert_false(info->sections[0].described);
	assert_true(info->sections[3].described);
	assert_true(info->sections[5].described);
	mr_image_free(img);
	drop(&m);
}

/* An iterable that is not memory has no length and no description. */
static void test_other_iterable(void **state)
{
	struct build b = new_build();
	const struct mr_image_info *info;
	struct build_block k[2];
	struct mr_image *img;
	struct made m;

	(void)state;
	two_blocks(k);
	build_header(&b);
	build_config(&b);
	build_element(&b, STREAM_START, 7, "dirty-bitmap", 1);
	build_put(&b, "some bytes", 10);
	build_footer(&b, 7);
	build_ram_start(&b, k, 2);
	build_element(&b, STREAM_PART, 7, NULL, 0);
	build_put(&b, "more", 4);
	build_footer(&b, 7);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_string_equal(info->sections[0].name, "dirty-bitmap");
	assert_int_equal(info->sections[0].payload, 10);
	assert_string_equal(info->sections[2].name, "dirty-bitmap");
	assert_int_equal(info->sections[2].payload, 4);
	mr_image_free(img);
	drop(&m);
}

/* ---- bitmaps, and what they mean ---- */

static void test_bitmap(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_block *ram, *bios;
	struct mr_block_use use;
	struct mr_image *img;
	uint64_t words[4];
	struct made m;

	(void)state;
	devices(&b);
	m = make(&b);
	/* bits beyond the third and last page of pc.bios */
	m.data[k[1].place.bitmap_offset] |= 0xf0;
	img = look(&m, m.len);
	ram = &mr_image_info(img)->blocks[0];
	bios = &mr_image_info(img)->blocks[1];
	assert_int_equal(mr_block_words(ram), 4);
	assert_int_equal(mr_image_bitmap(img, ram, 0, words, 4, &err), 0);
	assert_true(words[0] == 7 && words[1] == 1 << 6 && words[2] == 0 &&
		    words[3] == UINT64_C(1) << 63);
	assert_int_equal(mr_image_bitmap(img, ram, 1, words, 1, &err), 0);
	assert_true(words[0] == 1 << 6);
	assert_int_equal(mr_image_bitmap(img, bios, 0, words, 1, &err), 0);
	assert_true(words[0] == 2);
	assert_int_equal(mr_image_bitmap(img, ram, 3, words, 2, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_image_use(img, ram, &use, &err), 0);
	assert_int_equal(use.present, 5);
	assert_int_equal(use.present_end, 256);
	assert_int_equal(use.stray, 0);
	assert_int_equal(mr_image_use(img, bios, &use, &err), 0);
	assert_int_equal(use.present, 1);
	assert_int_equal(use.present_end, 2);
	assert_int_equal(use.stray, 4);
	mr_image_free(img);
	drop(&m);
}

/* ---- what pages are ---- */

static void expect_classes(const struct mr_image *img, size_t block,
			   uint64_t first, uint64_t n, uint64_t absent,
			   uint64_t zero, uint64_t present)
{
	const struct mr_block *b = &mr_image_info(img)->blocks[block];
	uint64_t pages[MR_PAGE_CLASSES] = { 0 };
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(mr_image_classes(img, b, first, n, pages, &err), 0);
	assert_int_equal(pages[MR_PAGE_ABSENT], absent);
	assert_int_equal(pages[MR_PAGE_ZERO], zero);
	assert_int_equal(pages[MR_PAGE_PRESENT], present);
}

/* Bits: pages 0 to 2, 70 and 255. A hole is made of 1 and half of 2. */
static void test_classes_mapped(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	uint64_t pages[MR_PAGE_CLASSES] = { 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;
	char path[64];

	(void)state;
	devices(&b);
	build_done(&b);
	assert_int_equal(
		fallocate(b.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)k[0].place.pages_offset + 4096, 4096 + 2048),
		0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b.fd);
	img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(img);
	expect_classes(img, 0, 0, 256, 251, 1, 4);
	expect_classes(img, 0, 1, 2, 0, 1, 1);
	expect_classes(img, 0, 2, 69, 67, 0, 2);
	expect_classes(img, 0, 100, 156, 155, 0, 1);
	expect_classes(img, 0, 256, 0, 0, 0, 0);
	expect_classes(img, 1, 0, 3, 2, 0, 1);
	assert_int_equal(mr_image_classes(img, &mr_image_info(img)->blocks[1],
					  1, 3, pages, &err),
			 -1);
	assert_int_equal(err.code, MR_USAGE);
	mr_image_free(img);
	assert_int_equal(close(b.fd), 0);
}

/* The last word about a page counts. */
static void test_classes_plain(void **state)
{
	struct build b = new_build();
	struct build_block k = { .name = "pc.ram", .length = 100 * 4096 };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in;
	struct mr_image *img;
	uint8_t page[4096];
	struct made m;

	(void)state;
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	build_page(page, sizeof(page), 1);
	build_element(&b, STREAM_PART, b.ram_id, NULL, 0);
	build_page_word(&b, "pc.ram", 0, NULL);
	for (uint64_t p = 1; p < 10; p++)
		build_page_word(&b, "pc.ram", p * 4096, page);
	build_page_word(&b, "pc.ram", 70 * 4096, NULL);
	build_page_word(&b, "pc.ram", 3 * 4096, NULL);
	build_page_word(&b, "pc.ram", 0, page);
	build_page_word(&b, "pc.ram", 5 * 4096, page);
	build_word(&b, RAM_EOS);
	build_footer(&b, b.ram_id);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	m = make(&b);
	img = look(&m, m.len);
	assert_int_equal(mr_image_info(img)->damage.code, MR_OK);
	expect_classes(img, 0, 0, 100, 89, 2, 9);
	expect_classes(img, 0, 3, 1, 0, 1, 0);
	expect_classes(img, 0, 60, 20, 19, 1, 0);
	/* Names: the first word's. */
	assert_int_equal(mr_image_info(img)->blocks[0].wire_bytes,
			 14 * 8 + 7 + 11 * 4096 + 3);
	assert_int_equal(mr_inspect(img, NULL, &in, &err), 0);
	assert_non_null(in.classes);
	assert_int_equal(in.classes[0][MR_PAGE_ABSENT], 89);
	mr_inspection_release(&in);
	mr_image_free(img);
	drop(&m);
}

/* ---- past memory ---- */

/* From the built file; skipped: whether its memory is passed over. The device
 * sections are the same as they are otherwise. */
static void expect_skip(struct build *b, bool skipped)
{
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_image_info *all, *some;
	struct mr_image *whole, *img;
	char path[64];
	size_t i = 0;

	build_done(b);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
	whole = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	img = mr_image_open_devices(path, NULL, &err);
	assert_non_null(whole);
	assert_non_null(img);
	all = mr_image_info(whole);
	some = mr_image_info(img);
	assert_int_equal(some->damage.code, all->damage.code);
	assert_int_equal(some->skipped != 0, skipped);
	assert_int_equal(some->n_blocks, all->n_blocks);
	assert_int_equal(some->vmdesc_offset, all->vmdesc_offset);
	assert_string_equal(some->run_state, all->run_state);
	assert_true(skipped || some->n_sections == all->n_sections);
	for (size_t k = 0; k < all->n_sections; k++) {
		const struct mr_section *s = &all->sections[k];

		if (s->type != MR_SECTION_FULL && s->type != MR_SECTION_START)
			continue;
		while (i < some->n_sections &&
		       some->sections[i].type != MR_SECTION_FULL &&
		       some->sections[i].type != MR_SECTION_START)
			i++;
		assert_true(i < some->n_sections);
		assert_string_equal(some->sections[i].name, s->name);
		assert_int_equal(some->sections[i].offset, s->offset);
		assert_int_equal(some->sections[i].payload, s->payload);
		i++;
	}
	mr_image_free(whole);
	mr_image_free(img);
	assert_int_equal(close(b->fd), 0);
}

static void test_skip(void **state)
{
	struct build_block k[2];
	struct build b = plain_head(k);

	(void)state;
	devices(&b);
	expect_skip(&b, true);

	/* Something behind it. */
	b = plain_head(k);
	devices(&b);
	build_put(&b, "\6\0\6\0\0\0\1{", 8);
	expect_skip(&b, true);

	/* No description, and one that is wrong: in its sizes, in its names. */
	b = plain_head(k);
	build_globalstate(&b, "running");
	build_eof(&b);
	expect_skip(&b, false);
	b = plain_head(k);
	build_globalstate(&b, "running");
	build_eof(&b);
	build_vmdesc_text(&b, "{\"devices\": [{\"name\": \"globalstate\", "
			      "\"fields\": [{\"size\": 105}]}]}");
	expect_skip(&b, false);
	b = plain_head(k);
	build_globalstate(&b, "running");
	build_eof(&b);
	build_vmdesc_text(&b, "{\"devices\": [{\"name\": \"globalstatE\", "
			      "\"fields\": [{\"size\": 104}]}]}");
	expect_skip(&b, false);

	/* Longer than the whole file. */
	b = plain_head(k);
	build_globalstate(&b, "running");
	build_eof(&b);
	build_vmdesc_text(&b, "{\"devices\": [{\"name\": \"globalstate\", "
			      "\"fields\": [{\"size\": 1099511627776}]}]}");
	expect_skip(&b, false);

	/* An image has nothing to be skipped. */
	b = mapped_head(k);
	devices(&b);
	expect_skip(&b, false);
}

/* The file's end is read in pieces: the description begins at their borders. */
static void test_skip_borders(void **state)
{
	static const char text[] = "{\"devices\": [{\"name\": \"globalstate\", "
				   "\"fields\": [{\"size\": 104}]}]}";
	static const uint8_t zeros[3 << 16];

	(void)state;
	for (size_t n = 1 << 16; n <= sizeof(zeros); n += 1 << 16)
		for (size_t k = 0; k < 12; k++) {
			struct build_block blocks[2];
			struct build b = plain_head(blocks);

			build_globalstate(&b, "running");
			build_eof(&b);
			build_vmdesc_text(&b, text);
			/* The border is 6 bytes before the text to 5 in it. */
			build_put(&b, zeros, n - sizeof(text) - 5 + k);
			expect_skip(&b, true);
		}
}

/* Devices before memory are in the description, but not behind memory. */
static void test_skip_early(void **state)
{
	struct build b = new_build();
	struct build_block k = { .name = "pc.ram", .length = 4 * 4096 };

	(void)state;
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_filler(&b, "early", 33);
	build_ram_start(&b, &k, 1);
	build_ram_pages(&b, STREAM_PART, &k, 1);
	build_ram_empty(&b, STREAM_END);
	devices(&b);
	expect_skip(&b, true);
}

/* From a real file, for its holes. */
static enum mr_verdict verdict_of(struct build *b, uint64_t *allocated)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in;
	enum mr_verdict verdict;
	struct mr_image *img;
	char path[64];

	build_done(b);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
	img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(img);
	assert_int_equal(mr_inspect(img, NULL, &in, &err), 0);
	verdict = in.verdict;
	if (allocated)
		*allocated = in.use[0].allocated;
	mr_inspection_release(&in);
	mr_image_free(img);
	assert_int_equal(close(b->fd), 0);
	return verdict;
}

enum { NO_BITMAPS = 1, NO_END = 2, NO_DATA = 4, STOP = 8 };

static enum mr_verdict verdict_case(unsigned int how)
{
	struct build b = new_build();
	struct build_block k[2];

	two_blocks(k);
	if (how & NO_DATA)
		k[0].n_runs = k[1].n_runs = 0;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	if (!(how & STOP)) {
		if (!(how & NO_BITMAPS))
			build_bitmaps(&b, k, 2);
		if (!(how & NO_END))
			build_ram_empty(&b, STREAM_END);
		devices(&b);
	}
	return verdict_of(&b, NULL);
}

static void test_verdicts(void **state)
{
	struct build b;
	struct build_block k[2];
	uint64_t allocated;

	(void)state;
	assert_int_equal(verdict_case(0), MR_VERDICT_SOUND);
	assert_int_equal(verdict_case(NO_END), MR_VERDICT_SOUND);
	assert_int_equal(verdict_case(NO_DATA), MR_VERDICT_SOUND);
	assert_int_equal(verdict_case(NO_BITMAPS), MR_VERDICT_BLANK);
	assert_int_equal(verdict_case(NO_BITMAPS | NO_END),
			 MR_VERDICT_BACKGROUND);
	assert_int_equal(verdict_case(STOP), MR_VERDICT_INTERRUPTED);
	assert_int_equal(verdict_case(STOP | NO_DATA), MR_VERDICT_DAMAGED);

	/* Five pages of 256 are there, the rest is holes. */
	b = mapped_head(k);
	devices(&b);
	assert_int_equal(verdict_of(&b, &allocated), MR_VERDICT_SOUND);
	assert_int_equal(allocated, 5 * 4096);
}

/* ---- files that are not sound ---- */

/* Cut anywhere, a file is damaged, and what comes before is still told. */
static void test_truncation(void **state)
{
	struct build_block k[2];
	struct build b = plain_head(k);
	struct made m;
	size_t end;

	(void)state;
	devices(&b);
	m = make(&b);
	for (size_t len = 4; len < m.len; len += len < 300 ? 1 : 37) {
		struct mr_image *img = look(&m, len);
		const struct mr_image_info *info = mr_image_info(img);

		/* Without its description a stream is whole, too. */
		if (info->damage.code == MR_OK) {
			assert_true(info->ended && !info->has_vmdesc);
			end = info->stream_end;
			assert_true(len - end < 5);
		} else {
			assert_int_equal(info->damage.code, MR_SHORT);
			assert_true(info->damage.offset <= len);
		}
		assert_int_equal(info->n_blocks > 0, len > 66);
		mr_image_free(img);
	}
	drop(&m);
}

static void test_mapped_truncation(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	uint64_t tail = b.at - 100;
	struct made m;

	(void)state;
	devices(&b);
	m = make(&b);
	for (size_t len = 8; len < m.len;
	     len += len < 0x100 || len > tail ? 1 : 4096) {
		struct mr_image *img = look(&m, len);
		const struct mr_image_info *info = mr_image_info(img);

		if (info->damage.code == MR_OK)
			assert_true(info->ended && !info->has_vmdesc);
		else
			assert_int_equal(info->damage.code, MR_SHORT);
		mr_image_free(img);
	}
	drop(&m);
}

/* Any byte wrong: never a crash, and the pages' places stay in the file. */
static void test_flips(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	struct mr_block_use use;
	uint64_t tail;
	struct made m;

	(void)state;
	tail = k[1].place.end;
	devices(&b);
	m = make(&b);
	for (uint64_t at = 0; at < m.len; at++) {
		const uint8_t was = m.data[at];

		if (at == 0x100)
			at = k[1].place.entry;
		if (at == k[1].place.bitmap_offset + 8)
			at = tail;
		for (unsigned int bit = 0; bit < 8; bit++) {
			struct mr_error err = MR_ERROR_INIT;
			const struct mr_image_info *info;
			struct mr_image *img;

			m.data[at] = (uint8_t)(was ^ 1U << bit);
			img = look(&m, m.len);
			info = mr_image_info(img);
			for (size_t i = 0; i < info->n_blocks; i++)
				if (info->damage.code == MR_OK)
					assert_int_equal(
						mr_image_use(img,
							     &info->blocks[i],
							     &use, &err),
						0);
			mr_image_free(img);
		}
		m.data[at] = was;
	}
	drop(&m);
}

static void test_bad_structure(void **state)
{
	struct build_block k[2];
	struct build b;

	(void)state;
	b = mapped_head(k);
	build_element(&b, STREAM_PART, 44, NULL, 0);
	expect_damage(&b, "section 44 goes on but never started");

	b = mapped_head(k);
	build_ram_start(&b, k, 2);
	expect_damage(&b, "section 2 \"ram\" starts a second time");

	b = mapped_head(k);
	build_footer(&b, 9);
	expect_damage(&b, "a footer where a section should begin");

	b = mapped_head(k);
	build_element(&b, STREAM_PART, 2, NULL, 0);
	build_page_word(&b, "pc.ram", 0, NULL);
	expect_damage(&b, "a page in the stream of a mapped-ram image");

	b = mapped_head(k);
	build_element(&b, STREAM_PART, 2, NULL, 0);
	build_word(&b, 4096 | RAM_MEM_SIZE);
	expect_damage(&b, "mem-size where there cannot be one");

	b = mapped_head(k);
	build_element(&b, STREAM_FULL, 5, "endless", 1);
	build_put(&b, "no footer", 9);
	expect_damage(&b, "file ends 9 bytes into the payload of section 5");

	b = plain_head(k);
	build_element(&b, STREAM_PART, 2, NULL, 0);
	build_page_word(&b, "unheard of", 0, NULL);
	expect_damage(&b, "a page of RAM block \"unheard of\", which is not "
			  "listed");

	b = plain_head(k);
	build_element(&b, STREAM_PART, 2, NULL, 0);
	build_page_word(&b, "pc.bios", 12288, NULL);
	expect_damage(&b, "a page at 12288 of RAM block \"pc.bios\", which has "
			  "12288 bytes");
}

static void test_bad_list(void **state)
{
	struct build_block k[2];
	struct build b = new_build();

	(void)state;
	two_blocks(k);
	k[1].name = k[0].name;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	expect_damage(&b, "RAM block \"pc.ram\" is listed twice");

	b = new_build();
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_element(&b, STREAM_START, 2, RAM_IDSTR, RAM_VERSION);
	build_word(&b, RAM_MEM_SIZE);
	expect_damage(&b, "no memory at all");

	b = new_build();
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_element(&b, STREAM_START, 2, RAM_IDSTR, RAM_VERSION);
	b.last_block[0] = '\0';
	build_page_word(&b, "pc.ram", 0, NULL);
	expect_damage(&b, "a page before the list of RAM blocks");
}

/* More devices in a description than any machine has: it is not believed. */
static void test_too_many_devices(void **state)
{
	enum { DEVICES = 1 << 17 };
	static const char one[] = "{\"name\":\"serial\"},";
	const size_t len = sizeof(one) - 1;
	char *text = malloc(DEVICES * len + 32);
	struct build_block k[2];
	struct build b = mapped_head(k);
	const struct mr_image_info *info;
	struct mr_image *img;
	struct made m;
	size_t at = 12;

	(void)state;
	assert_non_null(text);
	memcpy(text, "{\"devices\":[", at);
	for (size_t i = 0; i < DEVICES; i++, at += len)
		memcpy(text + at, one, len);
	memcpy(text + at - 1, "]}", 3);
	build_filler(&b, "serial", 20);
	build_eof(&b);
	build_vmdesc_text(&b, text);
	free(text);
	m = make(&b);
	img = look(&m, m.len);
	info = mr_image_info(img);
	assert_int_equal(info->damage.code, MR_OK);
	assert_int_equal(info->n_sections, 5);
	assert_false(info->sections[4].described);
	mr_image_free(img);
	drop(&m);
}

/* More sections than any VM has: an end, not all of memory. */
static void test_too_many_sections(void **state)
{
	struct build b = new_build();

	(void)state;
	build_header(&b);
	for (uint32_t i = 0; i <= SECTIONS_LIMIT; i++) {
		build_element(&b, STREAM_FULL, i, "x", 1);
		build_footer(&b, i);
	}
	build_eof(&b);
	expect_damage(&b, "more than 65536 sections");
}

/* ---- trouble that is not the file's ---- */

struct failing_io {
	struct io io;
	struct io *under;
	unsigned int calls, fail_at;
	uint64_t from; /* bytes of reads that begin there or later */
	size_t bytes;
};

static ssize_t failing_read(struct io *io, void *buf, size_t len,
			    uint64_t offset)
{
	struct failing_io *f = (struct failing_io *)io;

	if (++f->calls == f->fail_at) {
		errno = EIO;
		return -1;
	}
	if (offset >= f->from)
		f->bytes += len;
	return f->under->ops->read(f->under, buf, len, offset);
}

static const struct io_ops failing_ops = { .name = "failing",
					   .read = failing_read };

static void test_read_errors(void **state)
{
	struct build_block k[2];
	struct build b = mapped_head(k);
	unsigned int nth = 0;
	struct made m;

	(void)state;
	devices(&b);
	m = make(&b);
	mem_io_init(&m.io, m.data, m.len);
	for (bool failed = true; failed;) {
		struct failing_io f = { .io = { .ops = &failing_ops,
						.size = m.len },
					.under = &m.io.io,
					.fail_at = ++nth };
		struct mr_error err = MR_ERROR_INIT;
		struct mr_image *img = image_open_io(&f.io, NULL, &err);

		failed = f.calls >= nth;
		if (failed) {
			assert_null(img);
			assert_int_equal(err.code, MR_SYS);
			assert_int_equal(err.sys, EIO);
		} else {
			assert_int_equal(mr_image_info(img)->damage.code,
					 MR_OK);
		}
		mr_image_free(img);
	}
	assert_true(nth > 4);
	drop(&m);
}

/* Behind an image without a description: 4 MiB that begin and end as a seal. */
static void test_seal_unread(void **state)
{
	enum { SEAL = 4 << 20 };
	static const uint8_t magic[] = { 0x8b, 'm', 'r', 's',
					 'e',  'a', 'l', '\n' };
	const struct seal_end end = { .length = SEAL };
	struct mr_error err = MR_ERROR_INIT;
	struct build_block k[2];
	struct build b = mapped_head(k);
	struct failing_io f = { .io = { .ops = &failing_ops } };
	struct mr_image *img;
	struct mem_io whole;
	struct made m;
	uint8_t *all;

	(void)state;
	build_element(&b, STREAM_FULL, 3, "x", 1);
	build_footer(&b, 3);
	build_eof(&b);
	build_vmdesc_text(&b, "{}");
	m = make(&b);
	all = calloc(1, m.len + SEAL);
	assert_non_null(all);
	memcpy(all, m.data, m.len);
	memcpy(all + m.len, magic, sizeof(magic));
	(void)seal_end_encode(all + m.len + SEAL - SEAL_END_SIZE, &end);
	mem_io_init(&whole, all, m.len + SEAL);
	f.under = &whole.io;
	f.io.size = m.len + SEAL;
	f.from = m.len;
	img = image_open_io(&f.io, NULL, &err);
	assert_non_null(img);
	assert_int_equal(mr_image_info(img)->damage.code, MR_OK);
	assert_true(mr_image_info(img)->sealed);
	assert_true(f.bytes < SEAL / 4);
	mr_image_free(img);
	free(all);
	drop(&m);
}

/* A file that somebody cuts short after `whole` reads of it. */
struct shrinking_io {
	struct io io; /* as long as it was */
	struct io *under;
	uint64_t cut;
	unsigned int calls, whole;
};

static ssize_t shrinking_read(struct io *io, void *buf, size_t len,
			      uint64_t offset)
{
	struct shrinking_io *s = (struct shrinking_io *)io;

	if (++s->calls > s->whole) {
		if (offset >= s->cut)
			return 0;
		if (len > s->cut - offset)
			len = (size_t)(s->cut - offset);
	}
	return s->under->ops->read(s->under, buf, len, offset);
}

static const struct io_ops shrinking_ops = { .name = "shrinking",
					     .read = shrinking_read };

/* The file ends, wherever that is met, and nothing else is said of it. */
static void expect_end(const struct mr_error *e)
{
	assert_int_equal(e->code, MR_SHORT);
	assert_true(e->msg[0] && !strchr(e->msg, '\n'));
}

/* Opens and reads all of it; whether it was cut before that was over. */
static bool read_shrinking(struct shrinking_io *s, bool devices_only)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img =
		image_open_file("/proc/self/exe", MR_DIRECT_OFF, &err);
	struct mr_devices *d;

	assert_non_null(img);
	img->io = &s->io;
	img->skip_memory = devices_only;
	assert_int_equal(image_parse(img, NULL, &err), 0);
	if (mr_image_info(img)->damage.code != MR_OK)
		expect_end(&mr_image_info(img)->damage);
	d = mr_devices_open(img, NULL, &err);
	assert_non_null(d);
	for (size_t i = 0; i < mr_devices_count(d) && !err.code; i++)
		mr_device_free(mr_devices_read(d, i, &err));
	if (err.code != MR_OK)
		expect_end(&err);
	mr_devices_free(d);
	mr_image_free(img);
	return s->calls > s->whole;
}

static void test_shrinking(void **state)
{
	struct build_block k[2];
	struct build b = plain_head(k);
	struct made m;

	(void)state;
	devices(&b);
	m = make(&b);
	mem_io_init(&m.io, m.data, m.len);
	for (uint64_t i = 0; i < 16; i++) {
		unsigned int whole = 0;
		struct shrinking_io s;

		do
			s = (struct shrinking_io){
				.io = { .ops = &shrinking_ops, .size = m.len },
				.under = &m.io.io,
				.cut = m.len - 1 - m.len * (i / 2) / 8,
				.whole = whole++,
			};
		while (read_shrinking(&s, i % 2));
		assert_true(whole > 3);
	}
	drop(&m);
}

static void test_cancel(void **state)
{
	struct build_block k[2];
	struct build b = new_build();
	struct mr_error err = MR_ERROR_INIT;
	atomic_bool cancel = true;
	struct mr_watch watch = { .cancel = &cancel };
	struct made m;

	(void)state;
	two_blocks(k);
	k[0].length = (uint64_t)10000 * 4096;
	b.config.mapped_ram = false;
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_ram_pages(&b, STREAM_PART, k, 2);
	m = make(&b);
	mem_io_init(&m.io, m.data, m.len);
	assert_null(image_open_io(&m.io.io, &watch, &err));
	assert_int_equal(err.code, MR_CANCELLED);
	drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_devices_only),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_ignore_shared),
		cmocka_unit_test(test_host_page_sizes),
		cmocka_unit_test(test_advised_page_size),
		cmocka_unit_test(test_page_size_guess),
		cmocka_unit_test(test_described),
		cmocka_unit_test(test_lying_description),
		cmocka_unit_test(test_no_description),
		cmocka_unit_test(test_early_device),
		cmocka_unit_test(test_other_iterable),
		cmocka_unit_test(test_bitmap),
		cmocka_unit_test(test_classes_mapped),
		cmocka_unit_test(test_classes_plain),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_skip_borders),
		cmocka_unit_test(test_skip_early),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_mapped_truncation),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_bad_structure),
		cmocka_unit_test(test_bad_list),
		cmocka_unit_test(test_too_many_devices),
		cmocka_unit_test(test_too_many_sections),
		cmocka_unit_test(test_read_errors),
		cmocka_unit_test(test_seal_unread),
		cmocka_unit_test(test_shrinking),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
