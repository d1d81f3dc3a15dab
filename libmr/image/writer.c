/* writer.c - headers, bitmaps and device state around the pages. */
#include "formats/bits.h"
#include "libmr/image/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "formats/ram.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/zeros.h"
#include "libmr/seal/pages.h"

/* Any id serves that no other START uses; 0 would match the wrong handler. */
#define RAM_SECTION 1u

/* Digests that are written at a time: whole words of the bitmap. */
#define ENTRIES 1024u

/* QEMU reads one byte after the device state and warns when it is no
 * description. Where there is none, this one is empty, and valid JSON. */
static const uint8_t no_description[] = { '{', '}' };

int image_writer_open(struct image_writer *w, const char *path,
		      enum gate_rule rule, enum mr_direct direct, bool seal,
		      struct mr_error *err)
{
	*w = (struct image_writer)IMAGE_WRITER_NONE;
	w->sealed = seal;
	return output_create(&w->out, path, rule, direct, err);
}

static const struct ram_list_form list_form = { .mapped_ram = true,
						.page_size = IMAGE_PAGE };

#define FRONT_MAX                                                      \
	(STREAM_HEADER_SIZE + STREAM_CONFIG_MAX + STREAM_ELEMENT_MAX + \
	 RAM_ITEM_MAX)

/* What stands before the first block: returns its length, which does not
 * depend on how much memory there is. */
static size_t encode_front(const struct image_writer *w, uint8_t buf[FRONT_MAX])
{
	struct stream_config config = { .mapped_ram = true,
					.has_capabilities = true,
					.has_uuid = w->has_uuid,
					.target_page_bits = w->page_bits };
	struct stream_element start = { .type = STREAM_START,
					.section_id = RAM_SECTION,
					.idstr = RAM_IDSTR,
					.version_id = RAM_VERSION };
	struct ram_item total = { .kind = RAM_MEM_SIZE, .offset = w->ram };
	size_t n;

	memcpy(config.machine, w->machine, sizeof(config.machine));
	memcpy(config.uuid, w->uuid, sizeof(config.uuid));
	n = stream_header_encode(buf);
	n += stream_config_encode(buf + n, &config);
	n += stream_element_encode(buf + n, &start);
	n += ram_item_encode(buf + n, &total);
	return n;
}

/* NULL: *err. */
static void *map_zeros(size_t size, const char *what, const char *name,
		       struct mr_error *err)
{
	void *p = zeros_new(size);

	if (p)
		return p;
	(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
			"no memory for the %s of %s", what, name);
	return NULL;
}

int image_writer_begin(struct image_writer *w, const char *machine,
		       unsigned int page_bits, struct mr_error *err)
{
	uint8_t front[FRONT_MAX];

	if (strlen(machine) >= sizeof(w->machine))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "machine type of %zu bytes", strlen(machine));
	memcpy(w->machine, machine, strlen(machine) + 1);
	w->page_bits = page_bits;
	w->tail = w->front_len + encode_front(w, front);
	return 0;
}

static int make_map(struct writer_block *b, struct mr_error *err)
{
	b->nwords = (size_t)(b->place.bitmap_size / sizeof(*b->bits));
	b->bits =
		map_zeros(b->nwords * sizeof(*b->bits), "bitmap", b->name, err);
	return b->bits ? 0 : -1;
}

int image_writer_block(struct image_writer *w, const char *name,
		       uint64_t length, struct mr_error *err)
{
	size_t name_len = strlen(name);
	struct writer_block *b;
	struct fault f;

	if (grow(&w->blocks, &w->room, w->n, sizeof(*w->blocks)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for %zu RAM blocks", w->n + 1);
	b = &w->blocks[w->n++];
	*b = (struct writer_block){ .used = length };
	if (name_len >= sizeof(b->name))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "RAM block name of %zu bytes", name_len);
	memcpy(b->name, name, name_len + 1);
	if (mapped_ram_layout(w->tail, name_len, false, length, IMAGE_PAGE,
			      false, &b->place, &f))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "RAM block %s of %" PRIu64 " bytes: %s", name,
				 length, f.what);
	if (make_map(b, err))
		return -1;
	w->tail = b->place.end;
	w->ram += length;
	/* One that begins as a copy has its pages already. */
	if (w->tail <= w->out.file.io.size)
		return 0;
	return output_resize(&w->out, w->tail, err);
}

/* ---- pages ---- */

static int write_entries(struct image_writer *w, const struct writer_block *b,
			 uint64_t first, const uint64_t *entries, uint64_t n,
			 struct mr_error *err)
{
	if (b->digests) {
		memcpy(b->digests + first, entries, n * sizeof(*entries));
		return 0;
	}
	return io_write_full(&w->out.file.io, entries, n * sizeof(*entries),
			     b->table + first * sizeof(*entries), err);
}

static int read_entries(struct image_writer *w, const struct writer_block *b,
			uint64_t first, uint64_t *entries, uint64_t n,
			struct mr_error *err)
{
	if (b->digests) {
		memcpy(entries, b->digests + first, n * sizeof(*entries));
		return 0;
	}
	return io_read_full(&w->out.file.io, entries, n * sizeof(*entries),
			    b->table + first * sizeof(*entries), err);
}

static bool has_table(const struct writer_block *b)
{
	return b->table || b->digests;
}

int image_writer_clear(struct image_writer *w, struct writer_block *b,
		       uint64_t first, uint64_t n, struct mr_error *err)
{
	static const uint64_t none[ENTRIES];
	uint64_t at = first, end = first + n;

	/* Words without a bit are not written: their memory need not exist. */
	if (!bits_any_shared(b->bits, first, n))
		return 0;
	bits_clear_shared(b->bits, first, n);
	for (uint64_t k; has_table(b) && at < end; at += k) {
		k = end - at < ENTRIES ? end - at : ENTRIES;
		if (write_entries(w, b, at, none, k, err))
			return -1;
	}
	return 0;
}

/* The pages of the two tables that are the same data. */
static void compare_entries(const uint64_t *is, const uint64_t *was, size_t n,
			    uint64_t *same)
{
	for (size_t i = 0; i < n; i++)
		if (is[i] && is[i] == was[i])
			bits_set(same, i, 1);
}

/* New digests of at most ENTRIES pages that had some before. */
static int replace_entries(struct image_writer *w, const struct writer_block *b,
			   uint64_t first, const uint64_t *is, size_t pages,
			   uint64_t *same, struct mr_error *err)
{
	uint64_t was[ENTRIES];

	if (read_entries(w, b, first, was, pages, err))
		return -1;
	if (same)
		compare_entries(is, was, pages, same);
	if (!memcmp(is, was, pages * sizeof(*was)))
		return 0;
	return write_entries(w, b, first, is, pages, err);
}

/* Of pages that had none: what is absent needs not be written. */
static int add_entries(struct image_writer *w, const struct writer_block *b,
		       uint64_t first, const uint64_t *is, size_t pages,
		       struct mr_error *err)
{
	size_t from = 0, end = pages;

	while (from < end && !is[from])
		from++;
	while (end > from && !is[end - 1])
		end--;
	return from < end ? write_entries(w, b, first + from, is + from,
					  end - from, err)
			  : 0;
}

static void set_bits(struct writer_block *b, uint64_t first,
		     const uint64_t *bits, size_t pages, bool had)
{
	uint64_t p, q;

	/* Words without a bit are not written: their memory need not exist. */
	if (had)
		bits_clear_shared(b->bits, first, pages);
	for (p = bits_next_set(bits, 0, pages); p < pages;
	     p = bits_next_set(bits, q, pages)) {
		q = bits_next_clear(bits, p, pages);
		bits_set_shared(b->bits, first + p, q - p);
	}
}

static int set_pages(struct image_writer *w, struct writer_block *b,
		     uint64_t first, const uint64_t *bits, size_t pages,
		     const unsigned char *buf, uint64_t *same,
		     struct mr_error *err)
{
	bool had = bits_any_shared(b->bits, first, pages);
	uint64_t is[ENTRIES];

	set_bits(b, first, bits, pages, had);
	if (!has_table(b))
		return 0;
	seal_pages(is, buf, bits, pages, IMAGE_PAGE);
	return had ? replace_entries(w, b, first, is, pages, same, err)
		   : add_entries(w, b, first, is, pages, err);
}

int image_writer_set(struct image_writer *w, struct writer_block *b,
		     uint64_t first, const uint64_t *bits, size_t pages,
		     const unsigned char *buf, uint64_t *same,
		     struct mr_error *err)
{
	if (same)
		memset(same, 0, bits_size(pages));
	for (size_t i = 0, n; i < pages; i += n) {
		n = pages - i < ENTRIES ? pages - i : ENTRIES;
		if (set_pages(w, b, first + i, bits + i / 64, n,
			      buf + i * IMAGE_PAGE, same ? same + i / 64 : NULL,
			      err))
			return -1;
	}
	return 0;
}

/* ---- all that is not pages ---- */

/* Into the file, and past the sealer: parts go in the order of the file. */
static int put(struct image_writer *w, const void *buf, size_t len, uint64_t at,
	       struct mr_error *err)
{
	if (w->sealed && sealer_feed(&w->sealer, buf, len, err))
		return -1;
	return io_write_full(&w->out.file.io, buf, len, at, err);
}

static int end_part(struct image_writer *w, struct mr_error *err)
{
	return w->sealed ? sealer_cut(&w->sealer, err) : 0;
}

/* A new file reads as zeros: only words with bits in them are written. */
static int write_bitmap(struct image_writer *w, const struct writer_block *b,
			struct mr_error *err)
{
	uint64_t chunk[4096];
	size_t most = sizeof(chunk) / sizeof(*chunk), i, k, len;

	for (i = 0; i < b->nwords; i += len) {
		len = b->nwords - i < most ? b->nwords - i : most;
		for (k = 0; k < len && !b->bits[i + k]; k++)
			;
		if (k == len && w->sealed &&
		    sealer_feed_zeros(&w->sealer, len * sizeof(*chunk), err))
			return -1;
		if (k == len)
			continue;
		memcpy(chunk, b->bits + i, len * sizeof(*chunk));
		bits_swap_le(chunk, len);
		if (put(w, chunk, len * sizeof(*chunk),
			b->place.bitmap_offset + i * sizeof(*chunk), err))
			return -1;
	}
	return end_part(w, err);
}

static int write_block_entry(struct image_writer *w,
			     const struct writer_block *b, struct mr_error *err)
{
	struct ram_block entry = {
		.used_length = b->used,
		.mapped = { .version = MAPPED_RAM_VERSION,
			    .page_size = IMAGE_PAGE,
			    .bitmap_offset = b->place.bitmap_offset,
			    .pages_offset = b->place.pages_offset },
	};
	uint8_t buf[RAM_BLOCK_MAX];
	size_t len;

	memcpy(entry.name, b->name, sizeof(entry.name));
	len = ram_block_encode(buf, &list_form, &entry);
	if (put(w, buf, len, b->place.entry, err))
		return -1;
	return end_part(w, err);
}

/* What stands between the last block and the device state. */
static size_t encode_ram_end(uint8_t buf[64])
{
	struct stream_element end = { .type = STREAM_END,
				      .section_id = RAM_SECTION };
	struct ram_item eos = { .kind = RAM_EOS };
	uint8_t item[RAM_ITEM_MAX], element[STREAM_ELEMENT_MAX];
	size_t item_len = ram_item_encode(item, &eos), n = 0;
	size_t element_len = stream_element_encode(element, &end);

	memcpy(buf + n, item, item_len);
	n += item_len;
	n += stream_footer_encode(buf + n, RAM_SECTION);
	memcpy(buf + n, element, element_len);
	n += element_len;
	memcpy(buf + n, item, item_len);
	n += item_len;
	n += stream_footer_encode(buf + n, RAM_SECTION);
	return n;
}

/* What stands behind the last block, in order: the end of the RAM section,
 * device state, description. */
struct tail {
	uint8_t ram_end[64], last[STREAM_VMDESC_HEADER_SIZE];
	struct {
		const void *buf;
		size_t len;
	} parts[4];
};

static uint64_t make_tail(const struct image_writer *w, struct tail *t)
{
	struct image_device d = w->device;
	uint64_t size = 0;

	if (!d.description) {
		d.description = no_description;
		d.description_len = sizeof(no_description);
	}
	t->parts[0].buf = t->ram_end;
	t->parts[0].len = encode_ram_end(t->ram_end);
	t->parts[1].buf = d.sections;
	t->parts[1].len = d.len;
	t->parts[2].buf = t->last;
	t->parts[2].len =
		stream_vmdesc_encode(t->last, (uint32_t)d.description_len);
	t->parts[3].buf = d.description;
	t->parts[3].len = d.description_len;
	for (size_t i = 0; i < sizeof(t->parts) / sizeof(t->parts[0]); i++)
		size += t->parts[i].len;
	return size;
}

static int write_tail(struct image_writer *w, struct mr_error *err)
{
	uint64_t at = w->tail;
	struct tail t;

	(void)make_tail(w, &t);
	for (size_t i = 0; i < sizeof(t.parts) / sizeof(t.parts[0]); i++) {
		if (put(w, t.parts[i].buf, t.parts[i].len, at, err))
			return -1;
		at += t.parts[i].len;
	}
	return end_part(w, err);
}

/* ---- the seal ---- */

void image_writer_label(struct image_writer *w, uint64_t made,
			const uint8_t *uuid, const char *name)
{
	struct seal_label *l = &w->label;

	w->labelled = true;
	*l = (struct seal_label){ .made = made,
				  .maker = "mrtools " MR_VERSION };
	if (uuid)
		memcpy(l->uuid, uuid, sizeof(l->uuid));
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
}

static int place_seal(struct image_writer *w, struct mr_error *err)
{
	/* What is not written stays a hole. */
	struct seal_head head = { .flags = SEAL_ABSENT_ZERO,
				  .page_size = IMAGE_PAGE,
				  .extent_size = IMAGE_EXTENT,
				  .stream_offset = w->front_len,
				  .tail_offset = w->tail,
				  .seal_offset = w->size };

	if (w->labelled) {
		head.flags |= SEAL_LABELED;
		head.label = w->label;
	}
	for (size_t i = 0; i < w->n; i++) {
		const struct writer_block *b = &w->blocks[i];
		struct seal_block k = {
			.header_end = b->place.header + MAPPED_RAM_HEADER_SIZE,
			.bitmap_offset = b->place.bitmap_offset,
			.pages_offset = b->place.pages_offset,
			.used_length = b->used,
		};

		memcpy(k.name, b->name, sizeof(k.name));
		if (sealer_block(&w->sealer, &k, b->bits, b->digests, err))
			return -1;
	}
	if (sealer_place(&w->sealer, &head, err))
		return -1;
	for (size_t i = 0; i < w->n; i++)
		w->blocks[i].table = w->sealer.blocks[i].table;
	return output_resize(&w->out, w->sealer.tables_end, err);
}

int image_writer_device(struct image_writer *w, const struct image_device *d,
			struct mr_error *err)
{
	struct tail t;

	w->device = *d;
	w->size = w->tail + make_tail(w, &t);
	return w->sealed ? place_seal(w, err) : 0;
}

int image_writer_later(struct image_writer *w, struct mr_error *err)
{
	for (size_t i = 0; w->sealed && i < w->n; i++) {
		struct writer_block *b = &w->blocks[i];

		b->digests = map_zeros(b->place.num_pages * SEAL_ENTRY_SIZE,
				       "digests", b->name, err);
		if (!b->digests)
			return -1;
	}
	return 0;
}

/* ---- the end ---- */

int image_writer_finish(struct image_writer *w, struct mr_error *err)
{
	uint8_t front[FRONT_MAX];
	uint64_t length;

	if (w->front_len &&
	    (put(w, w->front, w->front_len, 0, err) || end_part(w, err)))
		return -1;
	if (put(w, front, encode_front(w, front), w->front_len, err))
		return -1;
	for (size_t i = 0; i < w->n; i++)
		if (write_block_entry(w, &w->blocks[i], err) ||
		    write_bitmap(w, &w->blocks[i], err))
			return -1;
	if (write_tail(w, err))
		return -1;
	if (!w->sealed)
		return 0;
	if (sealer_write(&w->sealer, &w->out.file.io, &length, err))
		return -1;
	w->size += length;
	return 0;
}

uint64_t image_writer_data(const struct image_writer *w)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < w->n; i++)
		pages += bits_count(w->blocks[i].bits, 0,
				    w->blocks[i].place.num_pages);
	return pages * IMAGE_PAGE;
}

void image_writer_release(struct image_writer *w)
{
	output_discard(&w->out);
	for (size_t i = 0; i < w->n; i++) {
		struct writer_block *b = &w->blocks[i];

		zeros_free(b->bits, b->nwords * sizeof(*b->bits));
		zeros_free(b->digests, b->place.num_pages * SEAL_ENTRY_SIZE);
	}
	free(w->blocks);
	sealer_release(&w->sealer);
	*w = (struct image_writer)IMAGE_WRITER_NONE;
}
