/*
 * image_sink.c - into a mapped-ram image: pages at their final place, bits
 * into its bitmaps, and the digests that its seal wants, while the pages are
 * in the cache.
 */
#include "libmr/memory/image_sink.h"

#include <assert.h>
#include <stdlib.h>

#include "formats/bits.h"
#include "libmr/base/error.h"

/* Pages of one digest. */
#define SEAL_PAGES (IMAGE_EXTENT / IMAGE_PAGE)

struct own {
	struct hash *hash; /* NULL: not needed yet */
};

struct put {
	struct image_writer *w;
	const struct writer_block *b;
	const struct sink_hand *h;
	struct mr_error *err;
	int rc;
};

static struct image_writer *writer_of(struct sink *k)
{
	return ((struct image_sink *)(void *)k)->writer;
}

static int image_begin(struct sink *k, const struct memory *m,
		       struct mr_error *err)
{
	const char **names = calloc(m->n + 1, sizeof(*names));
	uint64_t *lengths = calloc(m->n + 1, sizeof(*lengths));
	int rc;

	assert(m->page == IMAGE_PAGE);
	for (size_t i = 0; names && lengths && i < m->n; i++) {
		names[i] = m->blocks[i].name;
		lengths[i] = m->blocks[i].length;
	}
	rc = names && lengths ? image_writer_layout(writer_of(k), m->machine,
						    m->page_bits, m->n, names,
						    lengths, err)
			      : error_set(err, MR_NOMEM, MR_NO_OFFSET,
					  "no memory for %zu RAM blocks", m->n);
	free(names);
	free(lengths);
	return rc ? error_about(err, writer_of(k)->out.file.io.who) : 0;
}

static int add_digests(struct own *own, struct writer_block *b,
		       const struct memory_part *p, struct mr_error *err)
{
	struct seal_digest *d = b->digests + p->offset / IMAGE_EXTENT;

	if (!own->hash)
		own->hash = hash_new();
	if (!own->hash)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for a digest");
	for (size_t i = 0; i < p->pages; i += SEAL_PAGES) {
		size_t left = p->pages - i;
		size_t n = left < SEAL_PAGES ? left : SEAL_PAGES;
		const uint64_t *of = p->bits + i / 64;

		if (bits_next_set(of, 0, n) < n)
			d[i / SEAL_PAGES] = sealer_extent(
				own->hash, p->buf + i * IMAGE_PAGE, of, n,
				IMAGE_PAGE);
	}
	return 0;
}

static void write_run(void *arg, uint64_t offset, const unsigned char *bytes,
		      size_t length)
{
	struct put *x = arg;

	if (!x->rc)
		x->rc = sink_write(x->h, &x->w->out.file, bytes, length,
				   x->b->place.pages_offset + offset, x->err);
}

/* Words without a bit are not written: their memory need not exist. */
static void clear(struct writer_block *b, uint64_t first, uint64_t n)
{
	uint64_t at = bits_next_set(b->bits, first, first + n);

	if (at < first + n)
		bits_clear(b->bits, at, first + n - at);
}

static int image_zero(struct sink *k, const struct sink_hand *h, size_t block,
		      uint64_t offset, uint64_t length, struct mr_error *err)
{
	(void)h;
	(void)err;
	clear(&writer_of(k)->blocks[block], offset / IMAGE_PAGE,
	      length / IMAGE_PAGE);
	return 0;
}

static int image_put(struct sink *k, const struct sink_hand *h, size_t block,
		     const struct memory_part *p, struct mr_error *err)
{
	struct writer_block *b = &writer_of(k)->blocks[block];
	uint64_t first = p->offset / IMAGE_PAGE, q;
	struct put x = { .w = writer_of(k), .b = b, .h = h, .err = err };

	clear(b, first, p->pages);
	for (uint64_t i = bits_next_set(p->bits, 0, p->pages); i < p->pages;
	     i = bits_next_set(p->bits, q, p->pages)) {
		q = bits_next_clear(p->bits, i, p->pages);
		bits_set(b->bits, first + i, q - i);
	}
	if (b->digests && add_digests(h->own, b, p, err))
		return -1;
	memory_runs(p, CREW_GAP, write_run, &x);
	return x.rc;
}

static void image_let_go(struct sink *k, void *own)
{
	(void)k;
	hash_free(((struct own *)own)->hash);
}

static int image_end(struct sink *k, struct mr_error *err)
{
	const struct image_sink *s = (struct image_sink *)(void *)k;

	if (image_writer_finish(s->writer, s->device, s->device_len, err))
		return error_about(err, s->writer->out.file.io.who);
	return 0;
}

static void image_abandon(struct sink *k)
{
	image_writer_release(writer_of(k));
}

static const struct sink_ops image_ops = {
	.begin = image_begin,
	.put = image_put,
	.zero = image_zero,
	.let_go = image_let_go,
	.end = image_end,
	.abandon = image_abandon,
};

void image_sink_init(struct image_sink *s, struct image_writer *w)
{
	*s = (struct image_sink){ .sink = { .ops = &image_ops,
					    .extent = IMAGE_EXTENT,
					    .hand_size = sizeof(struct own) },
				  .writer = w };
}
