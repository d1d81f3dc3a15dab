/* ram.c - the sections of "ram": the block list, and page words. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/image/parse.h"

/* How far a page size is tried. */
#define GUESS_ITEMS 64
#define GUESS_BYTES ((size_t)1 << 20)

/*
 * With postcopy-ram an entry has its block's page size if that is not the
 * usual one, and nothing says so (ram.md). But then the eight bytes are one
 * of the bits that POSTCOPY_ADVISE has, and as such begin with a zero byte;
 * what stands there otherwise, a name's length or a word with flags, is
 * neither.
 */
static bool has_host_page_size(const struct parse *p, const uint8_t *buf,
			       size_t n)
{
	size_t at = (n ? 1U + buf[0] : 0) + 8;
	uint64_t v;

	if (!p->host_page_sizes || n < at + 8)
		return false;
	v = get_be64(buf + at);
	return v >= MAPPED_RAM_PAGE_MIN && (v & (v - 1)) == 0 &&
	       (v & p->host_page_sizes);
}

static int add_block(struct parse *p, const struct mr_block *b)
{
	struct mr_image *img = p->img;

	if (grow(&img->blocks, &img->blocks_room, p->info->n_blocks,
		 sizeof(*b)))
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	p->info->blocks = img->blocks;
	img->blocks[p->info->n_blocks++] = *b;
	return 0;
}

/* What the 28 bytes say, and where the next entry is. */
static int mapped_block(struct parse *p, struct mr_block *b,
			const struct ram_block *e, uint64_t *end)
{
	struct mapped_ram_block m = { .name = b->name,
				      .used_length = b->length,
				      .entry = b->entry,
				      .header = b->header,
				      .h = e->mapped };
	struct fault f;

	if (!mapped_ram_page_size_ok(e->mapped.page_size))
		return error_set(p->err, MR_FORMAT, b->header + 4,
				 "page size %" PRIu64
				 " is none that a target has",
				 e->mapped.page_size);
	if (!p->info->page_size_known && !p->info->n_blocks) {
		p->info->page_size = (uint32_t)e->mapped.page_size;
		p->info->page_size_known = true;
	}
	if (e->mapped.page_size != p->info->page_size)
		return error_set(p->err, MR_FORMAT, b->header + 4,
				 "page size %" PRIu64
				 " in an image of %" PRIu32,
				 e->mapped.page_size, p->info->page_size);
	if (mapped_ram_block_end(&m, p->info->ignore_shared, end, &f))
		return parse_fault(p, &f, b->header);
	b->in_file = !mapped_ram_ignored(&e->mapped);
	b->bitmap_offset = e->mapped.bitmap_offset;
	b->pages_offset = e->mapped.pages_offset;
	return 0;
}

/* One entry of the block list; in mapped-ram with all that it holds. */
static int block_entry(struct parse *p, uint64_t *left)
{
	struct ram_list_form form = { .addr = p->info->ignore_shared,
				      .mapped_ram = p->info->mapped_ram };
	struct mr_block b = { .entry = mr_reader_tell(&p->r) };
	uint64_t end = 0;
	struct ram_block e;
	const uint8_t *buf;
	struct fault f;
	ssize_t n;

	n = mr_reader_peek(&p->r, RAM_BLOCK_MAX, &buf, p->err);
	if (n < 0)
		return -1;
	form.host_page_size = has_host_page_size(p, buf, (size_t)n);
	/* Without a header of its own the page size may only be assumed. */
	if (p->info->page_size_known && !p->info->mapped_ram)
		form.page_size = p->info->page_size;
	n = ram_block_decode(buf, (size_t)n, &form, &e, &f);
	if (n < 0 || ram_list_take(left, e.used_length, &f))
		return parse_fault(p, &f, b.entry);
	b.name = parse_name(p, e.name);
	if (!b.name)
		return -1;
	b.length = e.used_length;
	b.host_page_size = e.host_page_size;
	b.addr = e.addr;
	b.header = b.entry + ram_block_header_at(&form, &e);
	if (p->info->mapped_ram && mapped_block(p, &b, &e, &end))
		return -1;
	b.pages = mapped_ram_num_pages(b.length, p->info->page_size);
	if (b.in_file)
		b.bitmap_size = bits_size(b.pages);
	if (add_block(p, &b))
		return -1;
	if (p->info->mapped_ram)
		reader_seek(&p->r, end);
	else
		mr_reader_skip(&p->r, (uint64_t)n);
	return parse_tick(p);
}

static int sort_names(struct parse *p)
{
	const struct mr_block *blocks = p->img->blocks;
	size_t twice;

	if (names_make(&p->names, &blocks->name, sizeof(*blocks),
		       p->info->n_blocks))
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	twice = names_twice(&p->names);
	if (twice == NAMES_NONE)
		return 0;
	return error_set(p->err, MR_FORMAT, blocks[twice].entry,
			 "RAM block \"%s\" is listed twice",
			 blocks[twice].name);
}

static int block_list(struct parse *p, uint64_t total)
{
	uint64_t at = mr_reader_tell(&p->r);

	p->info->ram = total;
	if (!total)
		return error_set(p->err, MR_FORMAT, at, "no memory at all");
	while (total) {
		if (p->info->n_blocks == RAM_BLOCKS_LIMIT)
			return error_set(p->err, MR_UNSUPPORTED, at,
					 "more than %d RAM blocks",
					 RAM_BLOCKS_LIMIT);
		if (block_entry(p, &total))
			return -1;
	}
	p->last_block = p->info->n_blocks;
	return sort_names(p);
}

static int find_block(struct parse *p, const char *name, uint64_t at)
{
	size_t i = names_find(&p->names, name);

	if (i == NAMES_NONE)
		return error_set(p->err, MR_FORMAT, at,
				 "a page of RAM block \"%s\", which is not "
				 "listed",
				 name);
	p->last_block = i;
	return 0;
}

/* Whether items of pages of that size stand here: those that are looked at,
 * or all to the end of the section. 1, 0 or -1. */
static int page_size_fits(struct parse *p, uint32_t size)
{
	const uint8_t *buf;
	size_t at = 0, items = 0;
	ssize_t n;

	for (size_t i = 0; i < p->info->n_blocks; i++)
		if (p->img->blocks[i].length % size)
			return 0;
	n = mr_reader_peek(&p->r, GUESS_BYTES, &buf, p->err);
	if (n < 0)
		return -1;
	for (; items < GUESS_ITEMS && at < (size_t)n; items++) {
		struct ram_item item;
		struct fault f;
		ssize_t len = ram_item_decode(buf + at, (size_t)n - at, size,
					      &item, &f);

		if (len < 0 && f.kind == FAULT_SHORT)
			break;
		if (len < 0)
			return 0;
		if (item.kind == RAM_EOS)
			return 1;
		at += (size_t)len + item.data_len;
	}
	return items > 1;
}

/*
 * A stream need not say how large pages are (format: "absent means the least
 * that the target knows"), and without a description nothing else does. But
 * only with the right size there is an item behind each item.
 */
static int guess_page_size(struct parse *p)
{
	static const uint32_t sizes[] = { 4096, 1024, 8192,  16384,
					  256,	2048, 65536, 32768 };
	struct mr_image_info *info = p->info;
	int fits = 0;

	info->page_size_known = true; /* 4 KiB if none fits */
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !fits; i++) {
		fits = page_size_fits(p, sizes[i]);
		if (fits > 0)
			parse_page_size(p, sizes[i]);
	}
	return fits < 0 ? -1 : 0;
}

/* Words that are not about a page can be read before its size is known: their
 * flags have room below the least, but for FLUSH's, which the least have not.
 */
static uint32_t word_page_size(const struct parse *p, const uint8_t *buf,
			       size_t n)
{
	if (p->info->page_size_known)
		return p->info->page_size;
	return n >= RAM_WORD_SIZE && get_be64(buf) == RAM_FLUSH
		       ? p->info->page_size
		       : MAPPED_RAM_PAGE_MIN;
}

/* The body behind an XBZRLE word: that it stays in its page. */
static int xbzrle_body(struct parse *p, const struct ram_item *item,
		       size_t header)
{
	uint64_t at = mr_reader_tell(&p->r);
	const uint8_t *buf;
	struct fault f;

	if (reader_need(&p->r, header + item->data_len, &buf, p->err))
		return -1;
	if (ram_xbzrle_check(buf + header, item->data_len, p->info->page_size,
			     &f))
		return error_fault(p->err, &f, at + header);
	return 0;
}

int parse_new_maps(struct parse *p)
{
	struct mr_image *img = p->img;

	if (p->info->ram / p->info->page_size > PAGE_INDEX_LIMIT)
		return 0;
	img->maps_page_size = p->info->page_size;
	img->maps = calloc(p->info->n_blocks, sizeof(*img->maps));
	if (!img->maps)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	for (size_t i = 0; i < p->info->n_blocks; i++) {
		size_t words = (size_t)mr_block_words(&img->blocks[i]);

		img->maps[i].sent = calloc(words + 1, sizeof(uint64_t));
		img->maps[i].zero = calloc(words + 1, sizeof(uint64_t));
		if (!img->maps[i].sent || !img->maps[i].zero)
			return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
	}
	if (img->want_memory)
		img->index = page_index_new(img->blocks, p->info->n_blocks,
					    p->info->page_size, p->err);
	return img->want_memory && !img->index ? -1 : 0;
}

/* Keeps what the word said of its page; the data is at byte at. */
static int mark(struct parse *p, const struct ram_item *item, uint64_t at)
{
	uint64_t page = item->offset / p->info->page_size;
	uint64_t bit = UINT64_C(1) << (page % 64);
	struct mr_image *img = p->img;
	struct page_map *m;

	if (p->again || (!img->maps && parse_new_maps(p)))
		return -1;
	if (!img->maps)
		return 0;
	m = &img->maps[p->last_block];
	if (!m->sent || !m->zero)
		return 0; /* out of memory, which was told */
	if (item->kind == RAM_XBZRLE && !p->info->flushes &&
	    !(m->sent[page / 64] & bit))
		return error_set(p->err, MR_FORMAT, mr_reader_tell(&p->r),
				 "XBZRLE changes to page %" PRIu64
				 " of RAM block \"%s\", which was never sent",
				 page, img->blocks[p->last_block].name);
	m->sent[page / 64] |= bit;
	if (item->kind == RAM_ZERO)
		m->zero[page / 64] |= bit;
	else
		m->zero[page / 64] &= ~bit;
	if (!img->index)
		return 0;
	return page_index_add(img->index, p->last_block, item, at, p->err);
}

/* A word about a page, header bytes long, and the data behind it. */
static int page_word(struct parse *p, const struct ram_item *item,
		     size_t header)
{
	uint64_t at = mr_reader_tell(&p->r);
	struct mr_block *b;

	if (p->info->mapped_ram)
		return error_set(p->err, MR_FORMAT, at,
				 "a page in the stream of a mapped-ram image");
	if (!p->info->n_blocks)
		return error_set(p->err, MR_FORMAT, at,
				 "a page before the list of RAM blocks");
	if (!item->cont && find_block(p, item->block, at))
		return -1;
	if (p->last_block == p->info->n_blocks)
		return error_set(p->err, MR_FORMAT, at,
				 "a page that continues no RAM block");
	b = &p->img->blocks[p->last_block];
	if (item->offset >= b->length)
		return error_set(p->err, MR_FORMAT, at,
				 "a page at %" PRIu64 " of RAM block \"%s\", "
				 "which has %" PRIu64 " bytes",
				 item->offset, b->name, b->length);
	if (item->kind == RAM_XBZRLE && xbzrle_body(p, item, header))
		return -1;
	if (mark(p, item, at + header))
		return -1;
	b->wire_bytes += header + item->data_len;
	if (item->kind == RAM_PAGE)
		b->normal_words++;
	else if (item->kind == RAM_ZERO)
		b->zero_words++;
	else if (item->kind == RAM_XBZRLE)
		b->xbzrle_words++;
	else
		b->compress_words++;
	mr_reader_skip(&p->r, header + item->data_len);
	return 0;
}

/* One item; *end if it was the payload's last. */
static int ram_item(struct parse *p, bool start, bool *end)
{
	uint64_t at = mr_reader_tell(&p->r);
	struct ram_item item;
	const uint8_t *buf;
	struct fault f;
	ssize_t n = mr_reader_peek(&p->r, RAM_ITEM_MAX, &buf, p->err);

	if (n < 0)
		return -1;
	n = ram_item_decode(buf, (size_t)n, word_page_size(p, buf, (size_t)n),
			    &item, &f);
	if (!p->info->page_size_known && !p->info->mapped_ram &&
	    p->info->n_blocks &&
	    (n < 0 ? f.kind != FAULT_SHORT : ram_names_page(item.kind))) {
		if (guess_page_size(p) || p->again)
			return -1;
		return 0; /* once more, with the right size */
	}
	if (n < 0)
		return parse_fault(p, &f, at);
	if (ram_names_page(item.kind))
		return page_word(p, &item, (size_t)n);
	mr_reader_skip(&p->r, (uint64_t)n);
	if (item.kind == RAM_EOS) {
		*end = true;
		return 0;
	}
	if (item.kind == RAM_FLUSH && !p->info->mapped_ram) {
		p->info->flushes++;
		return 0;
	}
	if (item.kind == RAM_MEM_SIZE && start && !p->info->n_blocks)
		return block_list(p, item.offset);
	return error_set(p->err, MR_FORMAT, at, "%s where there cannot be one",
			 ram_kind_name(item.kind));
}

int parse_ram(struct parse *p, bool start)
{
	bool end = false;

	while (!end)
		if (ram_item(p, start, &end) || parse_tick(p))
			return -1;
	return 0;
}
