/*
 * Whole packs: opened as images, and read. An input is a pack whose digests are
 * made to agree first, as far as what they are of can be found: what is behind
 * them would never be reached.
 */
#include <zstd.h>

#include "formats/pack.h"
#include "libmr/base/hash.h"
#include "libmr/image/image.h"
#include "tests/fuzz/fuzz.h"

enum { SIZE = 1 << 16, CONTENT = 4 << 20 };

static void put_digest(uint8_t *to, const uint8_t *from, size_t len)
{
	struct seal_digest d = hash_bytes(from, len);

	memcpy(to, d.byte, sizeof(d.byte));
}

/* What a place of the index, at this byte, is of. */
static void mend_place(uint8_t *file, size_t size, uint8_t *place)
{
	uint64_t offset = get_be64(place), len = get_be32(place + 8);

	if (offset < size && len <= size - offset)
		put_digest(place + 16, file + offset, (size_t)len);
}

static void mend_entries(uint8_t *file, size_t size, const struct pack_label *l,
			 uint8_t *at, uint8_t *end)
{
	size_t each = pack_entry_size(l), bits = pack_extent_size(l);
	struct pack_entry e;
	struct fault f;

	for (; (size_t)(end - at) >= each; at += each) {
		struct pack_skip skip = { .kind = PACK_NOTE };
		uint64_t note;
		uint8_t *p;

		mend_place(file, size, at + bits);
		if (pack_entry_decode(at, each, l, &e, &f) < 0)
			continue;
		note = pack_note_size(l, &e.extent);
		if (e.place.offset > size ||
		    note + PACK_SKIP_SIZE > e.place.offset)
			continue;
		p = file + e.place.offset - note;
		/* Who reads pages does not look at notes, but zstd does. */
		skip.length = (uint32_t)note;
		(void)pack_skip_encode(p - PACK_SKIP_SIZE, &skip);
		put_digest(at + bits + PACK_PLACE_SIZE, p, (size_t)note);
	}
}

/* All digests of the index, and its own. */
static void mend(uint8_t *file, size_t size)
{
	struct pack_label label;
	struct pack_index_head h;
	struct pack_skip skip;
	struct pack_end end;
	uint8_t *index, *at, *last = file + size - PACK_INDEX_END_SIZE;
	struct fault f;

	if (size < PACK_INDEX_END_SIZE ||
	    pack_end_decode(last, PACK_INDEX_END_SIZE, size, &end, &f) < 0)
		return;
	index = file + size - end.length; /* its kind */
	at = index + 4;
	if (pack_skip_decode(file, size, &skip, &f) > 0 &&
	    skip.length <= size - PACK_SKIP_SIZE &&
	    pack_label_decode(file + PACK_SKIP_SIZE, skip.length, &label, &f) >=
		    0) {
		put_digest(at + 16 + 2 * (size_t)PACK_PLACE_SIZE,
			   file + PACK_SKIP_SIZE, skip.length);
		mend_place(file, size, at + 16);
		mend_place(file, size, at + 16 + PACK_PLACE_SIZE);
		if (pack_index_head_decode(at, (size_t)(last - at),
					   (uint64_t)(last - at), &h, &f) > 0) {
			struct pack_block b;
			ssize_t n = PACK_INDEX_HEAD_SIZE;

			for (uint32_t i = 0; i < h.blocks && n > 0; i++) {
				at += n;
				n = pack_block_decode(at, (size_t)(last - at),
						      &b, &f);
			}
			if (n > 0)
				mend_entries(file, size, &label, at + n, last);
		}
	}
	put_digest(last, index, (size_t)(last - index));
}

static void check_error(const struct mr_error *err)
{
	must(err->code == MR_FORMAT || err->code == MR_SHORT ||
	     err->code == MR_UNSUPPORTED);
	must(*err->msg && name_is_text(err->msg, strlen(err->msg)));
}

/* Who reads the file with zstd alone sees the same stream. */
static void check_stream(const struct mr_image *img, const uint8_t *file,
			 size_t size)
{
	static uint8_t ours[CONTENT], theirs[CONTENT];
	struct mr_error err = MR_ERROR_INIT;
	size_t len = (size_t)img->io->size, n;

	if (img->io->size > CONTENT)
		return;
	if (io_read_full(img->io, ours, len, 0, &err)) {
		check_error(&err);
		return;
	}
	if (img->info.pack.increment)
		return;
	n = ZSTD_decompress(theirs, CONTENT, file, size);
	must(n == len && !memcmp(ours, theirs, len));
}

static void check_memory(const struct mr_image *img, size_t block)
{
	static uint8_t buf[4 << 16];
	const struct mr_block *b = &mr_image_info(img)->blocks[block];
	struct mr_error err = MR_ERROR_INIT;
	size_t len = sizeof(buf), n;

	if (len > b->length)
		len = (size_t)b->length;
	if (mr_image_memory(img, b, 0, buf, len, &n, &err))
		check_error(&err);
	else
		must(n <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[SIZE];
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_image_info *info;
	struct mr_inspection in;
	struct mr_image *img;
	struct mem_io io;

	if (size > SIZE)
		return 0;
	memcpy(file, data, size);
	mend(file, size);
	mem_io_init(&io, file, size);
	img = image_open_io(&io.io, NULL, &err);
	/* A block can be too long to be kept track of. */
	if (!img) {
		must(err.code == MR_NOMEM);
		return 0;
	}
	info = mr_image_info(img);
	if (info->damage.code != MR_OK)
		check_error(&info->damage);
	if (img->packed)
		check_stream(img, file, size);
	for (size_t i = 0; i < info->n_blocks && i < 4; i++)
		check_memory(img, i);
	if (mr_inspect(img, NULL, &in, &err))
		check_error(&err);
	mr_inspection_release(&in);
	mr_image_free(img);
	return 0;
}
