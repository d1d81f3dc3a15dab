/* image_sink.c - into a mapped-ram image: pages to their final place, told to
 * its writer while they are in the cache. */
#include "libmr/memory/image_sink.h"

#include <assert.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/file/place.h"

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

static const struct image_base *base_of(struct sink *k)
{
	return ((struct image_sink *)(void *)k)->base;
}

/* Old data must not stay where there is none any more. */
static int empty(struct image_writer *w, const struct writer_block *b,
		 uint64_t offset, uint64_t length, struct mr_error *err)
{
	if (!b->kept || !place_punch(w->out.file.fd,
				     b->place.pages_offset + offset, length))
		return 0;
	(void)error_sys(err, MR_NO_OFFSET, "cannot punch a hole");
	return error_about(err, w->out.file.io.who);
}

static int image_begin(struct sink *k, const struct memory *m,
		       struct mr_error *err)
{
	struct image_writer *w = writer_of(k);
	const struct image_sink *s = (struct image_sink *)(void *)k;
	int rc = image_writer_begin(w, m->machine, m->page_bits, err);

	assert(m->page == IMAGE_PAGE);
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = image_writer_block(w, m->blocks[i].name,
					m->blocks[i].length, err);
	if (!rc)
		rc = image_writer_device(w, s->device, s->device_len, err);
	for (size_t i = 0; !rc && i < m->n; i++)
		if (m->blocks[i].partial)
			rc = image_base_keep(base_of(k), w, i, err);
	return rc ? error_about(err, w->out.file.io.who) : 0;
}

static void write_run(void *arg, uint64_t offset, const unsigned char *bytes,
		      size_t length)
{
	struct put *x = arg;

	if (!x->rc)
		x->rc = sink_write(x->h, &x->w->out.file, bytes, length,
				   x->b->place.pages_offset + offset, x->err);
}

static int image_zero(struct sink *k, const struct sink_hand *h, size_t block,
		      uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct writer_block *b = &writer_of(k)->blocks[block];

	(void)h;
	if (image_writer_clear(writer_of(k), b, offset / IMAGE_PAGE,
			       length / IMAGE_PAGE, err))
		return -1;
	return empty(writer_of(k), b, offset, length, err);
}

static int image_put(struct sink *k, const struct sink_hand *h, size_t block,
		     const struct memory_part *p, struct mr_error *err)
{
	struct writer_block *b = &writer_of(k)->blocks[block];
	struct put x = { .w = writer_of(k), .b = b, .h = h, .err = err };

	if (image_writer_set(x.w, b, p->offset / IMAGE_PAGE, p->bits, p->pages,
			     p->buf, err))
		return -1;
	if (bits_next_clear(p->bits, 0, p->pages) < p->pages &&
	    empty(x.w, b, p->offset, p->pages * IMAGE_PAGE, err))
		return -1;
	memory_runs(p, CREW_GAP, write_run, &x);
	return x.rc;
}

static int image_end(struct sink *k, struct mr_error *err)
{
	struct image_writer *w = writer_of(k);

	return image_writer_finish(w, err)
		       ? error_about(err, w->out.file.io.who)
		       : 0;
}

static void image_abandon(struct sink *k)
{
	image_writer_release(writer_of(k));
}

static const struct sink_ops image_ops = {
	.begin = image_begin,
	.put = image_put,
	.zero = image_zero,
	.end = image_end,
	.abandon = image_abandon,
};

void image_sink_init(struct image_sink *s, struct image_writer *w)
{
	*s = (struct image_sink){ .sink = { .ops = &image_ops,
					    .extent = IMAGE_EXTENT },
				  .writer = w };
}
