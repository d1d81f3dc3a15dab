/*
 * estimate.c - how large would it be?
 *
 * Of the extents with data only some, as far from each other as can be, are
 * taken, and go where nobody keeps them. What grows with memory is counted up;
 * of a small memory all extents are taken, and it is what comes out.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/convert/state.h"

/* Extents that are looked at: some tenths of a second. */
#define SAMPLES 128u

static ssize_t forget(struct io *io, const void *buf, size_t len,
		      uint64_t offset)
{
	(void)io;
	(void)buf;
	(void)offset;
	return (ssize_t)len;
}

static const struct io_ops nowhere = { .name = "nowhere", .write = forget };

struct sample {
	struct memory *m;
	uint64_t extents, bytes; /* that hold data; that all have of it */
	uint64_t taken, looked_at; /* the same of the samples */
};

/* The n-th of all extents that hold data: pages first .. first + pages - 1. */
static void take(struct sample *s, uint64_t *bits, uint64_t first,
		 uint64_t pages, uint64_t n)
{
	uint64_t want = s->extents < SAMPLES ? s->extents : SAMPLES;

	/* The k-th sample is the extent of number k * all / want. */
	if (s->taken * s->extents / want == n) {
		s->looked_at += bits_count(bits, first, pages) * s->m->page;
		s->taken++;
	} else {
		bits_clear(bits, first, pages);
	}
}

/* Counts; or, with *n at 0, leaves only the samples. */
static void walk(struct sample *s, const struct memory_block *b, uint64_t *n)
{
	uint64_t pages = b->bits ? memory_pages(s->m, b) : 0;
	uint64_t size = s->m->extent / s->m->page;

	for (uint64_t p = bits_next_set(b->bits, 0, pages); p < pages;
	     p = bits_next_set(b->bits, p, pages)) {
		uint64_t first = p - p % size;

		p = pages - first < size ? pages : first + size;
		if (n)
			take(s, b->bits, first, p - first, (*n)++);
		else
			s->extents++;
	}
}

static int choose(struct sample *s, struct mr_error *err)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->m->n; i++) {
		if (memory_map(s->m, &s->m->blocks[i], &s->bytes, err))
			return -1;
		walk(s, &s->m->blocks[i], NULL);
	}
	for (size_t i = 0; i < s->m->n; i++)
		walk(s, &s->m->blocks[i], &n);
	return 0;
}

static uint64_t scale(const struct sample *s, uint64_t bytes)
{
	return s->looked_at ? (uint64_t)((double)bytes * (double)s->bytes /
					 (double)s->looked_at)
			    : bytes;
}

int convert_estimate(struct convert *x, struct mr_error *err)
{
	struct io io = { .ops = &nowhere, .size = UINT64_MAX };
	struct mr_convert_report *r = x->report;
	struct sample s = { .m = x->m };

	if (choose(&s, err) || convert_pour(x, &io, err))
		return -1;
	r->extents = s.extents;
	r->sampled = s.taken;
	r->size += scale(&s, x->growing) - x->growing;
	r->data = scale(&s, r->data);
	/* Pages at their place, their digests, and little else. */
	if (r->form == MR_CONVERT_MAPPED ||
	    r->form == MR_CONVERT_LIBVIRT_SPARSE)
		r->size = x->front_len + r->data + r->data / 512 + r->device;
	return 0;
}
