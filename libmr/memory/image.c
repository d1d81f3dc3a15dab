/* image.c - the memory in an image: a mapped-ram one, or a plain stream that
 * was opened with mr_image_open_memory. */
#include <stdlib.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/image/image.h"
#include "libmr/memory/memory.h"

/* Words of a bitmap that are read at a time: 1 GiB of 4 KiB pages. */
#define WINDOW 4096u

struct image_memory {
	struct memory memory;
	const struct mr_image *img;
	bool holes;
};

static const struct image_memory *image_of(const struct memory *m)
{
	return (const struct image_memory *)(const void *)m;
}

/* Clears the bits of pages that are all in holes. */
static void drop_holes(const struct mr_image *img, const struct mr_block *b,
		       uint64_t *bits)
{
	uint64_t page = img->info.page_size, base = b->pages_offset;
	uint64_t at = base, done = 0, n;

	do {
		uint64_t hole;

		n = image_next_data(img, &at, base + b->length);
		hole = n ? (at - base) / page : b->pages;
		/* Words without a bit are not written: their memory need not
		 * exist. */
		done = bits_next_set(bits, done, hole);
		if (hole > done)
			bits_clear(bits, done, hole - done);
		done = (at + n - base + page - 1) / page;
		at += n;
	} while (n);
}

static int image_touched(const struct memory *m, const struct memory_block *b,
			 uint64_t *bits, struct mr_error *err)
{
	const struct mr_image *img = image_of(m)->img;
	const struct mr_block *k = &img->blocks[b->index];
	uint64_t words = mr_block_words(k);

	for (uint64_t at = image_skip_hole(img, k, 0); at < words;
	     at = image_skip_hole(img, k, at)) {
		uint64_t n = words - at < WINDOW ? words - at : WINDOW;

		if (mr_image_bitmap(img, k, at, bits + at, (size_t)n, err))
			return -1;
		at += n;
	}
	if (image_of(m)->holes)
		drop_holes(img, k, bits);
	return 0;
}

static int image_read(const struct memory *m, const struct memory_block *b,
		      const struct memory_run *runs, size_t n,
		      struct mr_error *err)
{
	const struct mr_image *img = image_of(m)->img;

	for (size_t i = 0; i < n; i++)
		if (io_read_full(img->io, runs[i].dest, runs[i].length,
				 b->at + runs[i].offset, err))
			return image_blame(img, err);
	return 0;
}

static int stream_touched(const struct memory *m, const struct memory_block *b,
			  uint64_t *bits, struct mr_error *err)
{
	const struct page_index *x = image_of(m)->img->index;
	uint64_t pages = memory_pages(m, b);

	(void)err;
	for (uint64_t p = 0; p < pages; p++)
		if (page_index_kind(x, b->index, p) >= PAGE_INDEX_DATA)
			bits_set(bits, p, 1);
	return 0;
}

static int stream_read(const struct memory *m, const struct memory_block *b,
		       const struct memory_run *runs, size_t n,
		       struct mr_error *err)
{
	const struct mr_image *img = image_of(m)->img;
	size_t present;

	for (size_t i = 0; i < n; i++)
		if (page_index_read(img->index, img->io, b->index,
				    runs[i].offset, runs[i].dest,
				    runs[i].length, &present, err))
			return -1;
	return 0;
}

static void image_free(struct memory *m)
{
	free(m);
}

static const struct memory_ops image_ops = {
	.touched = image_touched,
	.read = image_read,
	.free = image_free,
};

static const struct memory_ops stream_ops = {
	.touched = stream_touched,
	.read = stream_read,
	.free = image_free,
};

struct memory *memory_of_image(const struct mr_image *img, bool holes,
			       struct mr_error *err)
{
	bool mapped = img->info.kind == MR_IMAGE_MAPPED;
	struct image_memory *i;
	struct memory *m;

	if (!mapped && image_check_index(img, err))
		return NULL;
	i = calloc(1, sizeof(*i));
	m = i ? &i->memory : NULL;
	if (!m || memory_init(m, mapped ? &image_ops : &stream_ops,
			      img->info.page_size, img->info.n_blocks, err)) {
		memory_free(m);
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	i->img = img;
	i->holes = holes;
	m->machine = img->info.machine;
	m->target_page = img->info.page_size_known ? m->page : 0;
	/* QEMU may send pages as data that are zero. */
	m->exact = mapped;
	/* A frame is unpacked as a whole: no two workers should want one. */
	if (img->packed && m->extent < img->packed->label.extent_size)
		m->extent = img->packed->label.extent_size;
	/* A crew reads only: the file is not changed. */
	if (mapped && img->io == &img->file.io)
		m->file = (struct file *)(uintptr_t)&img->file;
	for (; m->n < img->info.n_blocks; m->n++) {
		const struct mr_block *b = &img->blocks[m->n];

		m->blocks[m->n] = (struct memory_block){
			.name = b->name,
			.length = b->length,
			.held = (mapped ? b->in_file : image_block_sent(img, b))
					? b->length
					: 0,
			.at = b->pages_offset,
			.entry = b->in_file ? b->entry : b->header,
			.index = m->n,
		};
	}
	return m;
}
