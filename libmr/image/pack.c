/*
 * pack.c - a file that is a pack: the image is the stream in it.
 *
 * Of the stream only head and tail are parsed, which unpacks two frames. What
 * is between follows from the index: which pages there are, and where in the
 * stream the data of each is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/libvirt.h"
#include "formats/ram.h"
#include "libmr/base/error.h"
#include "libmr/image/parse.h"

/* Bytes that say whether it is one. */
#define BEGIN 20
/* Of a PART, before its first word. */
#define PART_HEADER 5

static void put_label(struct mr_image *img, const struct pack_label *l)
{
	struct mr_pack *out = &img->info.pack;

	img->has_label = true;
	image_put_label(&img->label, &l->of);
	*out = (struct mr_pack){ .extent_size = l->extent_size,
				 .increment = l->flags & PACK_INCREMENT,
				 .below = l->below };
	memcpy(out->base, l->base.byte, sizeof(out->base));
}

static void put_index(struct mr_pack *out, const struct packed *k)
{
	uint64_t head = packed_place(k, 0).size;
	uint64_t tail = packed_place(k, k->head.extents + 1).size;

	out->whole = true;
	memcpy(out->identity, k->end.identity.byte, sizeof(out->identity));
	out->frames = k->head.extents + 2;
	out->packed = head + tail;
	out->unpacked = k->io.size;
	for (uint64_t i = 0; i < k->head.extents; i++)
		out->packed += packed_place(k, i + 1).size;
}

static void put_pack(struct mr_image *img, const struct packed *k)
{
	struct mr_image_info *info = &img->info;

	info->has_pack = true;
	info->kind = MR_IMAGE_STREAM;
	info->file_size = k->file->size;
	put_label(img, &k->label);
	put_index(&info->pack, k);
	memcpy(info->pack.alone, img->alone, sizeof(img->alone));
}

/* What an increment stands on. Where that cannot be had it is whole itself, but
 * its memory is not. */
static int open_chain(struct parse *p, struct packed *k)
{
	struct mr_image *img = p->img;
	struct mr_error why = MR_ERROR_INIT;

	if (!(k->label.flags & PACK_INCREMENT))
		return 0;
	img->chain = calloc(1, sizeof(*img->chain));
	if (!img->chain)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	if (!chain_open(img->chain, k, img->path ? img->path : "", &why)) {
		img->io = &img->chain->io;
		return 0;
	}
	free(img->chain);
	img->chain = NULL;
	memcpy(img->alone, why.msg, sizeof(why.msg));
	if (why.code != MR_NOMEM)
		return 0;
	*p->err = why;
	return -1;
}

/* Puts the stream where the file was. */
static int open_pack(struct parse *p)
{
	struct mr_image *img = p->img;
	struct packed *k = calloc(1, sizeof(*k));

	if (!k)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	p->info->has_pack = true;
	p->info->kind = MR_IMAGE_STREAM;
	if (!packed_open(k, img->io, p->err)) {
		img->packed = k;
		img->io = &k->io;
		if (open_chain(p, k))
			return -1;
		put_pack(img, k);
		return 0;
	}
	if (k->label.page_size)
		put_label(img, &k->label);
	free(k);
	return -1;
}

/* What begins with nothing that we know may still end as a pack. */
static int look_for_end(struct parse *p, const uint8_t first[BEGIN])
{
	struct io *io = p->img->io;
	uint8_t last[8];

	if (!memcmp(first, "QEVM", 4) || libvirt_is_save(first, BEGIN))
		return 0;
	if (io_read_full(io, last, sizeof(last), io->size - sizeof(last),
			 p->err))
		return -1;
	if (!pack_is_end(last, sizeof(last)))
		return 0;
	p->info->has_pack = true;
	p->info->kind = MR_IMAGE_STREAM;
	return error_set(p->err, MR_FORMAT, 0,
			 "pack: it ends as one, but its label is damaged");
}

int parse_pack(struct parse *p)
{
	struct mr_image *img = p->img;
	uint8_t first[BEGIN];
	ssize_t n;

	/* The page size was not what it was taken for. */
	if (img->packed) {
		put_pack(img, img->packed);
		return 0;
	}
	n = io_read_upto(img->io, first, sizeof(first), 0, p->err);
	if (n < 0)
		return -1;
	if (n < BEGIN)
		return 0;
	return pack_is_pack(first, BEGIN) ? open_pack(p)
					  : look_for_end(p, first);
}

/* ---- the memory ---- */

/* That head and index speak of the same memory. */
static int check_head(const struct parse *p, const struct packed *k)
{
	uint64_t at = mr_reader_tell(&p->r);

	if (at != k->at[1])
		return error_set(p->err, MR_FORMAT, at,
				 "the pack's head goes on behind the list of "
				 "RAM blocks");
	if (p->footers == FOOTERS_NONE)
		return error_set(p->err, MR_FORMAT, at,
				 "a pack whose sections have no footers");
	if (p->info->page_size != k->label.page_size)
		return error_set(p->err, MR_FORMAT, MR_NO_OFFSET,
				 "the pack's label says pages of %" PRIu32
				 " bytes, its head of %" PRIu32,
				 k->label.page_size, p->info->page_size);
	if (p->open[p->n_open - 1].id != PACK_RAM_SECTION)
		return error_set(p->err, MR_FORMAT, at,
				 "the memory of a pack is section %" PRIu32,
				 p->open[p->n_open - 1].id);
	if (p->info->n_blocks != k->head.blocks)
		return error_set(p->err, MR_FORMAT, at,
				 "the pack's index has %" PRIu32
				 " RAM blocks, its head %zu",
				 k->head.blocks, p->info->n_blocks);
	for (size_t i = 0; i < p->info->n_blocks; i++) {
		const struct mr_block *b = &p->img->blocks[i];

		if (strcmp(b->name, k->blocks[i].name) != 0 ||
		    b->length != k->blocks[i].b.length)
			return error_set(p->err, MR_FORMAT, b->entry,
					 "the pack's index does not have RAM "
					 "block \"%s\" as its head does",
					 b->name);
	}
	return 0;
}

/* The page'th page of an extent: the n-th that is there, or one that is zero.
 */
static int add_page(struct parse *p, const struct pack_extent *x, size_t page,
		    uint64_t at)
{
	const struct ram_item item = {
		.kind = at ? RAM_PAGE : RAM_ZERO,
		.offset = x->offset + (uint64_t)page * p->info->page_size,
		.data_len = at ? p->info->page_size : 0,
	};

	if (!p->img->index)
		return 0;
	return page_index_add(p->img->index, x->block, &item, at, p->err);
}

/* An extent whose PART begins at this byte; x->block is the image's. Its first
 * `pages` count. */
static int add_extent(struct parse *p, const struct pack_extent *x,
		      uint64_t part, size_t pages)
{
	const struct pack_label *l = &p->img->packed->label;
	const char *name = p->img->blocks[x->block].name;
	size_t n = 0, i;
	uint64_t first = x->offset / l->page_size / 64;
	struct page_map *m = &p->img->maps[x->block];

	for (i = 0; i < (pages + 63) / 64; i++) {
		uint64_t some = pages - i * 64 < 64
					? (UINT64_C(1) << pages % 64) - 1
					: UINT64_MAX;

		m->sent[first + i] |= (x->there[i] | x->zero[i]) & some;
		m->zero[first + i] &= ~x->there[i];
		m->zero[first + i] |= x->zero[i] & some;
	}
	for (i = bits_next_set(x->there, 0, pages); i < pages;
	     i = bits_next_set(x->there, i + 1, pages))
		if (add_page(p, x, i, part + pack_part_at(l, name, n++)))
			return -1;
	for (i = bits_next_set(x->zero, 0, pages); i < pages;
	     i = bits_next_set(x->zero, i + 1, pages))
		if (add_page(p, x, i, 0))
			return -1;
	return 0;
}

static void count_extent(struct parse *p, const struct pack_entry *e)
{
	size_t pages = pack_pages(&p->img->packed->label);
	struct mr_block *b = &p->img->blocks[e->extent.block];

	b->normal_words += bits_count(e->extent.there, 0, pages);
	b->zero_words += bits_count(e->extent.zero, 0, pages);
	/* Without what makes it a section. */
	b->wire_bytes += e->place.content - PART_HEADER - STREAM_FOOTER_SIZE -
			 RAM_WORD_SIZE;
}

static int add_extents(struct parse *p, const struct packed *k)
{
	size_t pages = pack_pages(&k->label);

	for (uint64_t i = 0; i < k->head.extents; i++) {
		const struct mr_block *b;
		struct pack_entry e;
		uint64_t left;

		packed_entry(k, i, &e);
		count_extent(p, &e);
		b = &p->img->blocks[e.extent.block];
		left = (b->length - e.extent.offset) / k->label.page_size;
		if ((p->img->maps &&
		     add_extent(p, &e.extent, k->at[i + 1],
				left < pages ? (size_t)left : pages)) ||
		    parse_tick(p))
			return -1;
	}
	return 0;
}

/* The same of pack i of the chain: what of it counts in the end. */
static int add_below(struct parse *p, size_t i)
{
	const struct chain *c = p->img->chain;
	uint64_t start, counts;
	const struct packed *k = chain_at(c, i, &start);
	size_t pages = pack_pages(&k->label);

	for (uint64_t n = 0; p->img->maps && n < k->head.extents; n++) {
		struct pack_entry e;
		uint64_t left;
		uint32_t block;

		packed_entry(k, n, &e);
		counts = chain_counts(c, i, e.extent.block, &block);
		if (counts <= e.extent.offset)
			continue;
		left = (counts - e.extent.offset) / k->label.page_size;
		e.extent.block = block;
		if (add_extent(p, &e.extent, start + k->at[n + 1],
			       left < pages ? (size_t)left : pages) ||
		    parse_tick(p))
			return -1;
	}
	return 0;
}

/* All PARTs, as if they had been read. */
static int add_parts(struct parse *p, const struct packed *k)
{
	uint64_t n = k->head.extents, length = k->at[n + 1] - k->at[1];
	struct mr_section s = {
		.type = MR_SECTION_PART,
		.id = PACK_RAM_SECTION,
		.name = p->open[p->n_open - 1].name,
		.count = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX,
		.offset = k->at[1],
		.header = PART_HEADER,
		.payload = length - n * (PART_HEADER + STREAM_FOOTER_SIZE),
		.length = length,
	};

	return n ? parse_add_section(p, &s) : 0;
}

/* Nothing but the END of "ram" is behind the PARTs. */
static int begin_tail(struct parse *p, const struct packed *k)
{
	uint64_t at = k->at[k->head.extents + 1];
	const uint8_t *buf;

	reader_seek(&p->r, at);
	if (reader_need(&p->r, 1, &buf, p->err))
		return -1;
	return buf[0] == STREAM_END
		       ? 0
		       : error_set(
				 p->err, MR_FORMAT, at,
				 "the pack's tail does not begin with the end "
				 "of its memory");
}

int parse_pack_memory(struct parse *p)
{
	const struct packed *k = p->img->packed;

	if (check_head(p, k))
		return -1;
	if (p->img->skip_memory)
		p->info->skipped = k->at[k->head.extents + 1] - k->at[1];
	else if (!p->img->maps && parse_new_maps(p))
		return -1;
	for (size_t i = p->img->chain ? p->img->chain->n : 0; i > 0; i--)
		if (add_below(p, i))
			return -1;
	return add_extents(p, k) || add_parts(p, k) || begin_tail(p, k) ? -1
									: 0;
}
