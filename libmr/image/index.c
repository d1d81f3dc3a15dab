/* index.c - where each page of a plain stream last came (index.h). */
#include "libmr/image/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/inflate.h"
#include "libmr/base/zeros.h"
#include "libmr/image/image.h"

#define NONE UINT32_MAX
/* Between two pages that are read at once: less than a read of its own costs.
 * In a stream there are 8 bytes, and a block's name now and then. */
#define GAP 4096u

static enum page_index_kind kind_of(uint64_t word)
{
	return (enum page_index_kind)(word & 7);
}

static uint64_t value_of(uint64_t word)
{
	return word >> 3;
}

static uint64_t word_of(enum page_index_kind kind, uint64_t value)
{
	return value << 3 | kind;
}

/* ---- making one ---- */

struct page_index *page_index_new(const struct mr_block *blocks, size_t n,
				  uint32_t page_size, struct mr_error *err)
{
	struct page_index *x = calloc(1, sizeof(*x));
	uint64_t pages = 0;

	if (!x)
		goto nomem;
	*x = (struct page_index){ .page_size = page_size,
				  .blocks = blocks,
				  .n = n,
				  .spare = NONE,
				  .why = MR_ERROR_INIT };
	x->first = calloc(n + 1, sizeof(*x->first));
	if (!x->first)
		goto nomem;
	for (size_t i = 0; i < n; i++) {
		x->first[i] = pages;
		pages += blocks[i].pages;
	}
	x->size = (size_t)(pages + 1) * sizeof(*x->words);
	/* Whatever the file says that it has: only what is there costs. */
	x->words = zeros_new(x->size);
	if (x->words)
		return x;
nomem:
	page_index_free(x);
	(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
			"no memory to keep track of the stream's pages");
	return NULL;
}

void page_index_free(struct page_index *x)
{
	if (!x)
		return;
	zeros_free(x->words, x->size);
	free(x->first);
	free(x->deltas);
	free(x);
}

/* A ring's places for others. */
static void give_back(struct page_index *x, uint32_t newest)
{
	uint32_t first = x->deltas[newest].next;

	x->deltas[newest].next = x->spare;
	x->spare = first;
}

/* Makes room for two more: a ring begins with two. 1: there can't be more. */
static int reserve(struct page_index *x, struct mr_error *err)
{
	if (x->used + 2 <= x->room ||
	    (x->spare != NONE && x->deltas[x->spare].next != NONE))
		return 0;
	if (x->room == PAGE_INDEX_DELTAS)
		return 1;
	if (grow(&x->deltas, &x->room, x->used + 1, sizeof(*x->deltas)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return 0;
}

/* One that is reserved. */
static uint32_t take(struct page_index *x)
{
	uint32_t n = x->spare;

	if (n == NONE)
		return x->used++;
	x->spare = x->deltas[n].next;
	return n;
}

static int add_delta(struct page_index *x, uint64_t *word, uint64_t at,
		     uint32_t length, struct mr_error *err)
{
	uint32_t n, last;
	int rc = reserve(x, err);

	if (rc < 0)
		return -1;
	if (rc > 0) {
		(void)error_set(&x->why, MR_UNSUPPORTED, at,
				"more than %u XBZRLE changes to keep track of",
				(unsigned)PAGE_INDEX_DELTAS);
		return 0;
	}
	if (kind_of(*word) != PAGE_INDEX_DELTA) {
		last = take(x);
		x->deltas[last] =
			(struct page_index_delta){ .at = *word, .next = last };
	} else {
		last = (uint32_t)value_of(*word);
	}
	n = take(x);
	x->deltas[n] = (struct page_index_delta){ .at = at,
						  .next = x->deltas[last].next,
						  .length = length };
	x->deltas[last].next = n;
	*word = word_of(PAGE_INDEX_DELTA, n);
	return 0;
}

int page_index_add(struct page_index *x, size_t block,
		   const struct ram_item *item, uint64_t at,
		   struct mr_error *err)
{
	uint64_t *word =
		&x->words[x->first[block] + item->offset / x->page_size];

	if (x->why.code != MR_OK)
		return 0;
	if (value_of(word_of(PAGE_INDEX_DATA, at)) != at) {
		(void)error_set(&x->why, MR_UNSUPPORTED, at,
				"pages beyond byte 2^61 of the file");
		return 0;
	}
	x->data += item->kind != RAM_ZERO;
	if (item->kind == RAM_XBZRLE)
		return add_delta(x, word, at, item->data_len, err);
	if (kind_of(*word) == PAGE_INDEX_DELTA)
		give_back(x, (uint32_t)value_of(*word));
	*word = item->kind == RAM_ZERO ? word_of(PAGE_INDEX_ZERO, 0)
		: item->kind == RAM_COMPRESS
			? word_of(PAGE_INDEX_ZLIB, at - RAM_COMPRESS_HEAD)
			: word_of(PAGE_INDEX_DATA, at);
	return 0;
}

/* ---- reading ---- */

struct reading {
	const struct page_index *x;
	struct io *io;
	const struct mr_block *b;
	const uint64_t *words; /* the block's */
	/* Once there was a need: a page, and room for what makes one. */
	uint8_t *scratch;
	struct mr_error *err;
};

/* The longest: a zlib stream is longer than changes can be. */
static size_t packed_max(const struct reading *r)
{
	return ram_compress_max(r->x->page_size);
}

/* Bytes of the file that belong to a page. */
static int read_bytes(struct reading *r, uint64_t page, void *buf, size_t len,
		      uint64_t at)
{
	struct mr_error e = MR_ERROR_INIT;

	if (!io_read_full(r->io, buf, len, at, &e))
		return 0;
	if (e.code != MR_SYS) {
		if (r->err && r->err->code == MR_OK)
			*r->err = e;
		return -1;
	}
	errno = e.sys;
	return error_sys(r->err, e.offset,
			 "cannot read page %" PRIu64 " of block %.64s", page,
			 r->b->name);
}

/* A page that came compressed; buf: room for that. */
static int read_zlib(struct reading *r, uint64_t page, uint64_t at, uint8_t *to,
		     uint8_t *buf)
{
	uint32_t size = r->x->page_size, len;
	struct mr_error e = MR_ERROR_INIT;

	if (read_bytes(r, page, buf, RAM_COMPRESS_HEAD, at))
		return -1;
	if (ram_compress_length(buf, size, &len))
		return error_set(r->err, MR_FORMAT, at,
				 "page %" PRIu64 " of block %.64s: the length "
				 "of its zlib data has changed",
				 page, r->b->name);
	at += RAM_COMPRESS_HEAD;
	if (read_bytes(r, page, buf, len, at))
		return -1;
	if (!inflate_whole(buf, len, to, size, &e))
		return 0;
	return error_set(r->err, e.code,
			 e.code == MR_FORMAT ? at + e.offset : e.offset,
			 "page %" PRIu64 " of block %.64s: %.100s", page,
			 r->b->name, e.msg);
}

/* A page that is whole in the file, or zero. */
static int read_whole(struct reading *r, uint64_t page, uint64_t word,
		      uint8_t *to, uint8_t *buf)
{
	switch (kind_of(word)) {
	case PAGE_INDEX_DATA:
		return read_bytes(r, page, to, r->x->page_size, value_of(word));
	case PAGE_INDEX_ZLIB:
		return read_zlib(r, page, value_of(word), to, buf);
	case PAGE_INDEX_ABSENT:
	case PAGE_INDEX_ZERO:
	case PAGE_INDEX_DELTA:
	default:
		memset(to, 0, r->x->page_size);
		return 0;
	}
}

/* What a page is made of that came in changes; buf: room for one of them. */
static int read_ring(struct reading *r, uint64_t page, uint8_t *to,
		     uint8_t *buf)
{
	const struct page_index_delta *deltas = r->x->deltas;
	uint32_t newest = (uint32_t)value_of(r->words[page]);
	uint32_t n = deltas[newest].next;
	struct fault f;

	if (read_whole(r, page, deltas[n].at, to, buf))
		return -1;
	while (n != newest) {
		n = deltas[n].next;
		if (read_bytes(r, page, buf, deltas[n].length, deltas[n].at))
			return -1;
		if (ram_xbzrle_apply(buf, deltas[n].length, to, r->x->page_size,
				     &f))
			return error_fault(r->err, &f, deltas[n].at);
	}
	return 0;
}

/* Bytes skip .. skip + n - 1 of a page. */
static int read_piece(struct reading *r, uint64_t page, size_t skip,
		      uint8_t *buf, size_t n)
{
	size_t size = r->x->page_size;
	uint64_t word = r->words[page];
	uint8_t *whole = buf;

	if (kind_of(word) == PAGE_INDEX_DATA)
		return read_bytes(r, page, buf, n, value_of(word) + skip);
	if (kind_of(word) < PAGE_INDEX_DATA) {
		memset(buf, 0, n);
		return 0;
	}
	if (!r->scratch)
		r->scratch = malloc(size + packed_max(r));
	if (!r->scratch)
		return error_set(r->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	if (n < size)
		whole = r->scratch;
	if (kind_of(word) == PAGE_INDEX_DELTA
		    ? read_ring(r, page, whole, r->scratch + size)
		    : read_whole(r, page, word, whole, r->scratch + size))
		return -1;
	if (n < size)
		memcpy(buf, whole + skip, n);
	return 0;
}

/* Pages from here on that lie one close behind the other in the file, and fit
 * into len bytes with all that is between them. */
static size_t run_of(const struct reading *r, uint64_t page, size_t len)
{
	size_t size = r->x->page_size, n = 1;
	uint64_t first = value_of(r->words[page]), end = first + size;

	if (kind_of(r->words[page]) != PAGE_INDEX_DATA)
		return 1;
	while ((n + 1) * size <= len) {
		uint64_t word = r->words[page + n], at = value_of(word);

		if (kind_of(word) != PAGE_INDEX_DATA || at < end ||
		    at - end > GAP || at + size - first > len)
			break;
		end = at + size;
		n++;
	}
	return n;
}

/* Reads n pages that are a run: all at once, and then each to its place,
 * which is before the one that it was read to. */
static int read_run(struct reading *r, uint64_t page, uint8_t *buf, size_t n)
{
	size_t size = r->x->page_size;
	uint64_t first = value_of(r->words[page]);
	uint64_t end = value_of(r->words[page + n - 1]) + size;

	if (io_read_full(r->io, buf, (size_t)(end - first), first, NULL))
		return -1;
	for (size_t i = 1; i < n; i++)
		memmove(buf + i * size,
			buf + (value_of(r->words[page + i]) - first), size);
	return 0;
}

/* The pages that are wanted as a whole; all of them, one after the other. */
static int read_pages(struct reading *r, uint64_t page, uint8_t *buf,
		      size_t len)
{
	size_t size = r->x->page_size, n;

	for (; len; page += n, buf += n * size, len -= n * size) {
		n = run_of(r, page, len);
		if (n > 1 && !read_run(r, page, buf, n))
			continue;
		n = 1; /* which of them is it that cannot be read? */
		if (read_piece(r, page, 0, buf, size))
			return -1;
	}
	return 0;
}

static bool is_present(const struct reading *r, uint64_t page)
{
	return kind_of(r->words[page]) != PAGE_INDEX_ABSENT;
}

int page_index_read(const struct page_index *x, struct io *io, size_t block,
		    uint64_t offset, void *buf, size_t len, size_t *present,
		    struct mr_error *err)
{
	struct reading r = { .x = x,
			     .io = io,
			     .b = &x->blocks[block],
			     .words = x->words + x->first[block],
			     .err = err };
	size_t size = x->page_size;
	uint8_t *to = buf;
	int rc = 0;

	*present = 0;
	while (len && !rc) {
		size_t skip = (size_t)(offset % size), n = size - skip;
		uint64_t page = offset / size;

		if (skip || len < size) {
			n = n < len ? n : len;
			rc = read_piece(&r, page, skip, to, n);
			*present += is_present(&r, page) ? n : 0;
		} else {
			n = len - len % size;
			rc = read_pages(&r, page, to, n);
			for (size_t i = 0; i < n / size; i++)
				*present += is_present(&r, page + i) ? size : 0;
		}
		to += n;
		offset += n;
		len -= n;
	}
	free(r.scratch);
	return rc;
}

/* ---- of an image ---- */

/* Where the memory of a plain stream is known, and all of it. */
static int check_stream(const struct mr_image *img, struct mr_error *err)
{
	const struct mr_image_info *info = &img->info;

	if (!img->want_memory)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "the stream was opened without its memory");
	if (info->damage.code != MR_OK && !info->ram_ended) {
		if (err && err->code == MR_OK)
			*err = info->damage;
		return -1;
	}
	if (info->pack.alone[0])
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "this pack is an increment: %s",
				 info->pack.alone);
	if (info->flushes)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "this stream's pages went through multifd "
				 "channels: they are not in it");
	if (img->discards)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "this stream went over to postcopy: what its "
				 "memory was in the end is not in it");
	if (info->ram / info->page_size > PAGE_INDEX_LIMIT)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the stream has 0x%" PRIx64
				 " bytes of memory, "
				 "more than can be kept track of",
				 info->ram);
	/* Up to QEMU 8.0 multifd has no word in the stream. */
	if (!img->index || (!img->index->data && !img->packed))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "no page with data is in this stream: they "
				 "may have gone through multifd channels");
	if (img->index->why.code != MR_OK) {
		if (err && err->code == MR_OK)
			*err = img->index->why;
		return -1;
	}
	return 0;
}

int image_check_index(const struct mr_image *img, struct mr_error *err)
{
	if (img->info.kind == MR_IMAGE_STREAM && img->info.n_blocks)
		return check_stream(img, err);
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "a file of this kind (%s) has no memory to read",
			 mr_image_kind_name(img->info.kind));
}

uint64_t image_compressed(const struct mr_image_info *info)
{
	uint64_t n = 0;

	for (size_t i = 0; i < info->n_blocks; i++)
		n += info->blocks[i].compress_words;
	return n;
}

bool image_block_sent(const struct mr_image *img, const struct mr_block *b)
{
	return !img->info.ignore_shared || b->normal_words || b->zero_words ||
	       b->compress_words;
}
