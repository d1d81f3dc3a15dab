/* memory.c - what is the same for all back ends: pages on their way. */
#include "libmr/memory/memory.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"

/* Setting up direct I/O, and taking it down, takes longer than to read this
 * much without. */
#define SMALL ((uint64_t)32 << 20)

int memory_init(struct memory *m, const struct memory_ops *ops, size_t page,
		size_t n, struct mr_error *err)
{
	m->ops = ops;
	m->machine = "";
	m->page = page;
	m->extent = crew_extent_size(page);
	m->blocks = calloc(n + 1, sizeof(*m->blocks));
	return m->blocks ? 0
			 : error_set(err, MR_NOMEM, MR_NO_OFFSET,
				     "no memory for %zu RAM blocks", n);
}

static uint64_t map_size(const struct memory *m, const struct memory_block *b)
{
	return bits_size(memory_pages(m, b)) + sizeof(*b->bits);
}

void memory_free(struct memory *m)
{
	if (!m)
		return;
	cached_release(&m->cached);
	memory_proof_free(m->proof);
	for (size_t i = 0; i < m->n; i++)
		zeros_free(m->blocks[i].bits, map_size(m, &m->blocks[i]));
	free(m->blocks);
	m->ops->free(m);
}

void memory_choose(struct memory *m, enum mr_direct direct, uint64_t bytes)
{
	bool ask = direct == MR_DIRECT_AUTO;

	m->direct = m->file && m->file->direct_fd >= 0 &&
		    direct != MR_DIRECT_OFF && !(ask && bytes <= SMALL);
	cached_release(&m->cached);
	if (m->direct && ask)
		cached_init(&m->cached, m->file, CACHED_CACHESTAT);
}

/* ---- what was touched ---- */

/* The set bits of a map, each as `times` bits, cut to [first, first + n). */
static void stretch(const uint64_t *map, uint64_t pages, uint64_t times,
		    uint64_t first, uint64_t n, uint64_t *bits)
{
	uint64_t last = (first + n + times - 1) / times, p, q;

	if (pages > last)
		pages = last;
	for (p = bits_next_set(map, first / times, pages); p < pages;
	     p = bits_next_set(map, q, pages)) {
		uint64_t from = p * times, to;

		q = bits_next_clear(map, p, pages);
		to = q * times < first + n ? q * times : first + n;
		if (from < first)
			from = first;
		bits_set(bits, from - first, to - from);
	}
}

/* The other way round: a bit for `times` of the map's, if one of them is set.
 */
static void gather(const uint64_t *map, uint64_t pages, uint64_t times,
		   uint64_t first, uint64_t n, uint64_t *bits)
{
	uint64_t last = (first + n) * times, p;

	if (pages > last)
		pages = last;
	for (p = bits_next_set(map, first * times, pages); p < pages;
	     p = bits_next_set(map, (p / times + 1) * times, pages))
		bits_set(bits, p / times - first, 1);
}

int memory_map(const struct memory *m, struct memory_block *b, uint64_t *bytes,
	       struct mr_error *err)
{
	int rc;

	if (!b->bits && b->held) {
		b->bits = zeros_new(map_size(m, b));
		if (!b->bits)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for the map of %.64s",
					 b->name);
		rc = m->ops->touched(m, b, b->bits, err);
		b->partial = rc > 0;
		if (rc < 0) {
			zeros_free(b->bits, map_size(m, b));
			b->bits = NULL;
			return error_about(err, m->who);
		}
	}
	if (bytes && b->bits)
		*bytes += bits_count(b->bits, 0, memory_pages(m, b)) * m->page;
	return 0;
}

int memory_touched(const struct memory *m, const struct memory_block *b,
		   size_t unit, uint64_t first, uint64_t pages, uint64_t *bits,
		   struct mr_error *err)
{
	struct memory_block whole = *b;
	int rc;

	whole.bits = NULL;
	rc = memory_map(m, &whole, NULL, err);
	if (!rc && unit > m->page)
		gather(whole.bits, memory_pages(m, b), unit / m->page, first,
		       pages, bits);
	else if (!rc)
		stretch(whole.bits, memory_pages(m, b), m->page / unit, first,
			pages, bits);
	zeros_free(whole.bits, map_size(m, b));
	return rc;
}

/* ---- reading ---- */

int memory_read(const struct memory *m, const struct memory_block *b,
		const struct memory_run *runs, size_t n, struct mr_error *err)
{
	return m->ops->read(m, b, runs, n, err) ? error_about(err, m->who) : 0;
}

#define RUNS 256u

struct reading {
	const struct memory *m;
	const struct memory_part *p;
	struct crew_worker *w;
	struct crew_slot *s;
	int64_t bytes;
	struct memory_run *runs; /* RUNS of them, not set before */
	size_t n;
	struct mr_error *err;
	bool failed; /* *err is filled */
};

static void read_runs(struct reading *x)
{
	if (x->n && !x->failed)
		x->failed = memory_read(x->m, x->p->block, x->runs, x->n,
					x->err) != 0;
	x->n = 0;
}

static void add_run(void *arg, size_t offset, size_t length)
{
	struct reading *x = arg;

	x->runs[x->n++] = (struct memory_run){ .offset = x->p->offset + offset,
					       .length = length,
					       .dest = x->p->buf + offset };
	if (x->n == RUNS)
		read_runs(x);
}

/* What is in memory is copied at once: to hand it to the kernel's queue would
 * block just as long, and a queue that is never used need not be torn down. */
static void begin_run(void *arg, size_t offset, size_t length)
{
	struct reading *x = arg;
	uint64_t at = x->p->block->at + x->p->offset + offset;

	x->bytes += (int64_t)length;
	if (!x->m->file || x->failed)
		return;
	if (x->m->direct && !cached_mostly(&x->m->cached, at, length)) {
		crew_transfer(x->w, x->s, x->m->file, x->p->buf + offset,
			      length, at, false);
		return;
	}
	add_run(x, offset, length);
	read_runs(x);
}

int64_t memory_fetch(const struct memory *m, const struct memory_part *p,
		     struct crew_worker *w, struct crew_slot *s,
		     struct mr_error *err)
{
	struct memory_run runs[RUNS];
	struct reading x = {
		.m = m, .p = p, .w = w, .s = s, .runs = runs, .err = err
	};

	(void)crew_runs(p->bits, p->pages, p->unit,
			m->file && !p->apart ? CREW_GAP : 0, begin_run, &x);
	return x.failed ? -1 : x.bytes;
}

/* Transfers that failed are done once more: to know where, and of what. What
 * has no file is read last, when the others' transfers are done: that takes no
 * time worth hiding. */
int memory_fetched(const struct memory *m, const struct memory_part *p,
		   const struct crew_slot *s, struct mr_error *err)
{
	struct memory_run runs[RUNS];
	struct reading x = { .m = m, .p = p, .runs = runs, .err = err };

	for (size_t i = 0; m->file && i < s->finished; i++)
		if (s->ops[i].error && s->ops[i].file == m->file)
			add_run(&x,
				(size_t)(s->ops[i].offset - p->block->at -
					 p->offset),
				s->ops[i].length);
	if (!m->file)
		(void)crew_runs(p->bits, p->pages, p->unit, 0, add_run, &x);
	read_runs(&x);
	return x.failed ? -1 : 0;
}

/* ---- and on ---- */

void memory_blank(const struct memory_part *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (!bits_test(p->bits, i))
			memset(p->buf + i * p->unit, 0, p->unit);
}

struct running {
	const struct memory_part *p;
	void (*fn)(void *arg, uint64_t offset, const unsigned char *bytes,
		   size_t length);
	void *arg;
};

static void give_run(void *arg, size_t offset, size_t length)
{
	const struct running *x = arg;
	const struct memory_part *p = x->p;
	size_t from = offset / p->unit, end = from + length / p->unit, to;

	if (!p->touched) {
		memory_blank(p, from, end);
		x->fn(x->arg, p->offset + offset, p->buf + offset, length);
		return;
	}
	/* To look at an untouched page would allocate it. */
	for (; from < end; from = bits_next_set(p->touched, to, end)) {
		to = bits_next_clear(p->touched, from, end);
		x->fn(x->arg, p->offset + from * p->unit,
		      p->buf + from * p->unit, (to - from) * p->unit);
	}
}

void memory_runs(const struct memory_part *p, size_t gap,
		 void (*fn)(void *arg, uint64_t offset,
			    const unsigned char *bytes, size_t length),
		 void *arg)
{
	struct running x = { .p = p, .fn = fn, .arg = arg };

	(void)crew_runs(p->bits, p->pages, p->unit, gap, give_run, &x);
}
