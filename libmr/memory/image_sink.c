/* image_sink.c - into a mapped-ram image: pages to their final place, told to
 * its writer while they are in the cache. */
#include "libmr/memory/image_sink.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"

/* Of a part whose pages are compared: 4 MiB of 4 KiB pages, and more. */
#define WORDS ((size_t)64)
/* Places that are looked at before a block is taken to be much like the base's,
 * and of which one in this many has to be. */
#define PLACES 32u
#define ALIKE 4u

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
static int punch(struct image_writer *w, const struct sink_hand *h,
		 const struct writer_block *b, uint64_t offset, uint64_t length,
		 struct mr_error *err)
{
	uint64_t at = b->place.pages_offset + offset;

	if (h && sink_settle(h, &w->out.file, at, length, err))
		return -1;
	return file_clear(&w->out.file, at, length, err);
}

/* What is asked of a VM before its pages come. */
struct sample {
	uint64_t firsts[PLACES];
	uint64_t digests[PLACES][IMAGE_BASE_PLACE];
	unsigned char page[IMAGE_PAGE];
};

/* Whether a place is what the base has, but for one stretch at most. */
static bool is_place_alike(struct sample *x, size_t place,
			   const struct memory *m, const struct memory_block *b)
{
	struct mr_error why = MR_ERROR_INIT;
	unsigned stretches = 0, changed = 0, all = 0;
	bool was = true;

	for (size_t i = 0; i < IMAGE_BASE_PLACE; i++) {
		uint64_t page = x->firsts[place] + i;
		const struct memory_run run = { .offset = page * IMAGE_PAGE,
						.length = IMAGE_PAGE,
						.dest = x->page };
		bool same;

		if (!x->digests[place][i])
			continue;
		same = bits_test(b->bits, page) &&
		       !memory_read(m, b, &run, 1, &why) &&
		       hash_page(x->page, IMAGE_PAGE) == x->digests[place][i];
		stretches += was && !same;
		changed += !same;
		all++;
		was = same;
	}
	return stretches <= 1 && changed < all;
}

/* Whether enough of a block is as the base has it. One that is all new, or new
 * all over, is written faster to where nothing was before. */
static bool is_alike(const struct image_base *base, const struct memory *m,
		     const struct memory_block *b)
{
	struct sample *x = malloc(sizeof(*x));
	struct mr_error why = MR_ERROR_INIT;
	size_t same = 0, n = 0;

	if (x && b->bits)
		n = image_base_sample(base, b->name, b->length, x->firsts,
				      x->digests, PLACES, &why);
	for (size_t i = 0; i < n; i++)
		same += is_place_alike(x, i, m, b);
	free(x);
	return same * ALIKE > n;
}

/* A base that is damaged is none. */
static int forget(struct image_writer *w, struct writer_block *b,
		  struct mr_error *err)
{
	if (err->code != MR_FORMAT && err->code != MR_SHORT)
		return -1;
	*err = (struct mr_error)MR_ERROR_INIT;
	b->kept = false;
	if (image_writer_clear(w, b, 0, b->place.num_pages, err))
		return -1;
	return punch(w, NULL, b, 0, b->used, err);
}

static int keep(struct sink *k, const struct memory *m, size_t i,
		struct mr_error *err)
{
	const struct memory_block *b = &m->blocks[i];
	const struct image_base *base = base_of(k);
	struct image_writer *w = writer_of(k);
	int rc;

	if (!base ||
	    (!b->partial && !(base->comparable && is_alike(base, m, b))))
		return 0;
	rc = image_base_keep(base, w, i, err);
	if (rc > 0 && b->partial)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "block %.64s cannot be shared with the base",
				 b->name);
	if (rc < 0 && b->partial)
		return error_about(err, base->img->io->who);
	return rc < 0 ? forget(w, &w->blocks[i], err) : 0;
}

static int image_begin(struct sink *k, const struct memory *m,
		       struct mr_error *err)
{
	const struct image_sink *s = (struct image_sink *)(void *)k;
	struct image_writer *w = writer_of(k);
	int rc;

	if (s->config && s->config->has_uuid) {
		w->has_uuid = true;
		memcpy(w->uuid, s->config->uuid, sizeof(w->uuid));
	}
	rc = image_writer_begin(w, m->machine, m->page_bits, err);
	assert(m->page == IMAGE_PAGE);
	assert(!s->later || !s->base);
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = image_writer_block(w, m->blocks[i].name,
					m->blocks[i].length, err);
	if (!rc)
		rc = s->later ? image_writer_later(w, err)
			      : image_writer_device(w, &s->device, err);
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = keep(k, m, i, err);
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
	uint64_t first = offset / IMAGE_PAGE, n = length / IMAGE_PAGE;
	bool had = bits_any_shared(b->bits, first, n);

	if (image_writer_clear(writer_of(k), b, first, n, err))
		return -1;
	if (!had && (!b->kept || base_of(k)->comparable))
		return 0;
	return punch(writer_of(k), h, b, offset, length, err);
}

/* A part that may be in the file already, or some of it. */
struct known {
	uint64_t was[WORDS]; /* bits of what was data */
	uint64_t same[WORDS]; /* and is still the same */
	uint64_t write[WORDS]; /* what is to be written instead */
	uint64_t gone[WORDS]; /* no data any more */
	size_t stretches; /* to write, or to punch out */
};

static bool can_compare(struct sink *k, const struct writer_block *b,
			const struct memory_part *p)
{
	return b->kept && base_of(k)->comparable && p->pages <= WORDS * 64 &&
	       p->offset / IMAGE_PAGE % 64 == 0;
}

static size_t count_stretches(const uint64_t *bits, size_t pages)
{
	size_t n = 0;

	for (uint64_t p = bits_next_set(bits, 0, pages); p < pages; n++)
		p = bits_next_set(bits, bits_next_clear(bits, p, pages), pages);
	return n;
}

/* What is between two changes goes with them, if it is short and data. */
static void find_changes(struct known *x, const struct memory_part *p)
{
	uint64_t n, q, end = p->pages;

	for (size_t i = 0; i < (p->pages + 63) / 64; i++) {
		x->write[i] = p->bits[i] & ~x->same[i];
		x->gone[i] = x->was[i] & ~p->bits[i];
	}
	q = bits_next_clear(x->write, bits_next_set(x->write, 0, end), end);
	for (n = bits_next_set(x->write, q, end); n < end;
	     n = bits_next_set(x->write, q, end)) {
		if ((n - q) * IMAGE_PAGE < CREW_GAP &&
		    bits_next_clear(p->bits, q, n) == n)
			bits_set(x->write, q, n - q);
		q = bits_next_clear(x->write, n, end);
	}
	x->stretches = count_stretches(x->write, p->pages) +
		       count_stretches(x->gone, p->pages);
}

static int punch_gone(struct put *x, const struct known *known,
		      const struct memory_part *p)
{
	uint64_t n, q;

	for (n = bits_next_set(known->gone, 0, p->pages); n < p->pages;
	     n = bits_next_set(known->gone, q, p->pages)) {
		q = bits_next_clear(known->gone, n, p->pages);
		if (punch(x->w, x->h, x->b, p->offset + n * IMAGE_PAGE,
			  (q - n) * IMAGE_PAGE, x->err))
			return -1;
	}
	return 0;
}

/* Only what is not as it was. */
static int put_changed(struct put *x, const struct known *known,
		       const struct memory_part *p)
{
	struct memory_part changed = *p;

	changed.bits = known->write;
	x->h->tally->same += (bits_count(p->bits, 0, p->pages) -
			      bits_count(known->write, 0, p->pages)) *
			     IMAGE_PAGE;
	if (punch_gone(x, known, p))
		return -1;
	memory_runs(&changed, 0, write_run, x);
	return x->rc;
}

/* old: something may lie where these pages go. */
static int put_all(struct put *x, const struct memory_part *p, bool old)
{
	if (old && bits_next_clear(p->bits, 0, p->pages) < p->pages &&
	    punch(x->w, x->h, x->b, p->offset, p->pages * IMAGE_PAGE, x->err))
		return -1;
	memory_runs(p, CREW_GAP, write_run, x);
	return x->rc;
}

static int image_put(struct sink *k, const struct sink_hand *h, size_t block,
		     const struct memory_part *p, struct mr_error *err)
{
	struct writer_block *b = &writer_of(k)->blocks[block];
	struct put x = { .w = writer_of(k), .b = b, .h = h, .err = err };
	uint64_t first = p->offset / IMAGE_PAGE;
	bool compare = can_compare(k, b, p);
	bool old = b->kept || bits_any_shared(b->bits, first, p->pages);
	struct known known;

	known.stretches = 0;
	if (compare)
		memcpy(known.was, b->bits + first / 64,
		       (p->pages + 63) / 64 * sizeof(*known.was));
	if (image_writer_set(x.w, b, first, p->bits, p->pages, p->buf,
			     compare ? known.same : NULL, err))
		return -1;
	if (compare)
		find_changes(&known, p);
	return compare && known.stretches <= SINK_STRETCHES
		       ? put_changed(&x, &known, p)
		       : put_all(&x, p, old);
}

static int image_get(struct sink *k, const struct sink_hand *h, size_t block,
		     uint64_t offset, unsigned char *page, struct mr_error *err)
{
	struct image_writer *w = writer_of(k);
	const struct writer_block *b = &w->blocks[block];

	(void)h;
	memset(page, 0, IMAGE_PAGE);
	if (!bits_any_shared(b->bits, offset / IMAGE_PAGE, 1))
		return 0;
	return io_read_full(&w->out.file.io, page, IMAGE_PAGE,
			    b->place.pages_offset + offset, err);
}

static int image_end(struct sink *k, struct mr_error *err)
{
	const struct image_sink *s = (struct image_sink *)(void *)k;
	struct image_writer *w = writer_of(k);

	if ((s->later && image_writer_device(w, &s->device, err)) ||
	    image_writer_finish(w, err))
		return error_about(err, w->out.file.io.who);
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
	.get = image_get,
	.end = image_end,
	.abandon = image_abandon,
};

void image_sink_init(struct image_sink *s, struct image_writer *w)
{
	*s = (struct image_sink){ .sink = { .ops = &image_ops,
					    .extent = IMAGE_EXTENT },
				  .writer = w };
}
