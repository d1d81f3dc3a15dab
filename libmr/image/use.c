/* use.c - bitmaps, and what a block takes on the disk. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "formats/bits.h"
#include "formats/mapped_ram.h"
#include "libmr/base/error.h"
#include "libmr/image/image.h"

/* Reads words as they are in the file: stray bits and all. */
static int read_words(const struct mr_image *img, const struct mr_block *b,
		      uint64_t first, uint64_t *words, size_t n,
		      struct mr_error *err)
{
	if (io_read_full(img->io, words, n * sizeof(*words),
			 b->bitmap_offset + first * sizeof(*words), err))
		return image_blame(img, err);
	bits_swap_le(words, n);
	return 0;
}

int mr_image_bitmap(const struct mr_image *img, const struct mr_block *b,
		    uint64_t first, uint64_t *words, size_t n,
		    struct mr_error *err)
{
	uint64_t total = mr_block_words(b);

	if (first > total || n > total - first)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "bitmap words outside of block \"%s\"",
				 b->name);
	if (!b->in_file) {
		memset(words, 0, n * sizeof(*words));
		return 0;
	}
	if (read_words(img, b, first, words, n, err))
		return -1;
	if (n && first + n == total && b->pages % 64)
		words[n - 1] &= (UINT64_C(1) << (b->pages % 64)) - 1;
	return 0;
}

uint64_t image_next_data(const struct mr_image *img, uint64_t *from,
			 uint64_t to)
{
	off_t data, hole;

	if (to > img->io->size)
		to = img->io->size;
	if (*from >= to)
		return 0;
	if (img->file.fd < 0 || img->packed)
		return to - *from;
	data = lseek(img->file.fd, (off_t)*from, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? 0 : to - *from;
	if ((uint64_t)data >= to)
		return 0;
	hole = lseek(img->file.fd, data, SEEK_HOLE);
	if (hole <= data || (uint64_t)hole > to)
		hole = (off_t)to;
	*from = (uint64_t)data;
	return (uint64_t)(hole - data);
}

uint64_t image_skip_hole(const struct mr_image *img, const struct mr_block *b,
			 uint64_t at)
{
	uint64_t total = mr_block_words(b);
	uint64_t from = b->bitmap_offset + at * 8;
	uint64_t end = b->bitmap_offset + total * 8;

	/* What is missing at the end of the file is not a hole. */
	if (image_next_data(img, &from, end) == 0 && end <= img->io->size)
		return total;
	return (from - b->bitmap_offset) / 8;
}

/* Counts the bits of a block that is in the file; any: up to the first. */
static int tally(const struct mr_image *img, const struct mr_block *b, bool any,
		 struct mapped_ram_tally *t, struct mr_error *err)
{
	uint64_t words[2048]; /* 16 KiB: 64 MiB of 4 KiB pages at a time */
	uint64_t total = mr_block_words(b);

	for (uint64_t at = image_skip_hole(img, b, 0);
	     at < total && !(any && t->pages);
	     at = image_skip_hole(img, b, at)) {
		size_t n = sizeof(words) / sizeof(words[0]);

		if (n > total - at)
			n = (size_t)(total - at);
		if (read_words(img, b, at, words, n, err))
			return -1;
		mapped_ram_tally_add(t, b->pages, at * 64, words, n);
		at += n;
	}
	return 0;
}

int image_any_page(const struct mr_image *img, const struct mr_block *b,
		   struct mr_error *err)
{
	struct mapped_ram_tally t = { 0 };

	if (b->in_file && tally(img, b, true, &t, err))
		return -1;
	return t.pages > 0;
}

int mr_image_use(const struct mr_image *img, const struct mr_block *b,
		 struct mr_block_use *out, struct mr_error *err)
{
	struct mapped_ram_tally t = { 0 };

	*out = (struct mr_block_use){ 0 };
	if (!b->in_file)
		return 0;
	if (tally(img, b, false, &t, err))
		return -1;
	out->present = t.pages;
	out->present_end = t.present_end;
	out->stray = t.stray;
	for (uint64_t at = b->pages_offset, end = at + b->length, n;
	     (n = image_next_data(img, &at, end)) > 0; at += n)
		out->allocated += n;
	return 0;
}

/* Pages with a bit, first .. first + n - 1 with words for them from `first`
 * on: those that are whole in holes are zero. */
static void add_classes(const struct mr_image *img, const struct mr_block *b,
			uint64_t first, uint64_t n, const uint64_t *words,
			uint64_t pages[MR_PAGE_CLASSES])
{
	uint64_t size = img->info.page_size, skip = first % 64, data = 0;
	uint64_t start = b->pages_offset + first * size, end = start + n * size;
	uint64_t set = bits_count(words, skip, n), len, last = 0;

	for (uint64_t at = start; (len = image_next_data(img, &at, end)) > 0;
	     at += len) {
		uint64_t from = (at - start) / size;
		uint64_t to = (at + len - start + size - 1) / size;

		if (from < last)
			from = last;
		if (to > from)
			data += bits_count(words, skip + from, to - from);
		last = to;
	}
	pages[MR_PAGE_ABSENT] += n - set;
	pages[MR_PAGE_ZERO] += set - data;
	pages[MR_PAGE_PRESENT] += data;
}

static int stream_classes(const struct mr_image *img, size_t block,
			  uint64_t first, uint64_t n,
			  uint64_t pages[MR_PAGE_CLASSES], struct mr_error *err)
{
	uint64_t sent, zero;

	if (!img->maps && img->maps_page_size == 0 &&
	    img->info.ram / img->info.page_size <= PAGE_INDEX_LIMIT) {
		pages[MR_PAGE_ABSENT] += n; /* there was no word at all */
		return 0;
	}
	if (!img->maps)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "there is too much memory to keep track of");
	sent = bits_count(img->maps[block].sent, first, n);
	zero = bits_count(img->maps[block].zero, first, n);
	pages[MR_PAGE_ABSENT] += n - sent;
	pages[MR_PAGE_ZERO] += zero;
	pages[MR_PAGE_PRESENT] += sent - zero;
	return 0;
}

int mr_image_classes(const struct mr_image *img, const struct mr_block *b,
		     uint64_t first, uint64_t n,
		     uint64_t pages[MR_PAGE_CLASSES], struct mr_error *err)
{
	uint64_t words[2048];

	if (first > b->pages || n > b->pages - first)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "pages outside of block \"%s\"", b->name);
	if (img->info.kind != MR_IMAGE_MAPPED)
		return stream_classes(img, (size_t)(b - img->blocks), first, n,
				      pages, err);
	if (!b->in_file) {
		pages[MR_PAGE_ABSENT] += n;
		return 0;
	}
	while (n) {
		uint64_t some = UINT64_C(64) * 2048 - first % 64, next;

		/* In a hole of the bitmap there is no page. */
		next = image_skip_hole(img, b, first / 64);
		if (next > first / 64) {
			some = next * 64 - first < n ? next * 64 - first : n;
			pages[MR_PAGE_ABSENT] += some;
			first += some;
			n -= some;
			continue;
		}
		if (some > n)
			some = n;
		if (mr_image_bitmap(img, b, first / 64, words,
				    (size_t)((first % 64 + some + 63) / 64),
				    err))
			return -1;
		add_classes(img, b, first, some, words, pages);
		first += some;
		n -= some;
	}
	return 0;
}

unsigned image_cpus(const struct mr_image_info *info)
{
	unsigned cpu = 0, common = 0;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type != MR_SECTION_FULL)
			continue;
		cpu += !strcmp(s->name, "cpu");
		common += !strcmp(s->name, "cpu_common");
	}
	return cpu > common ? cpu : common;
}
