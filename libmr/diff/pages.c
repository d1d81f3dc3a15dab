/*
 * pages.c - both memories past each other, one extent at a time.
 *
 * Of an extent only the pages are read that may hold data on one side; a page
 * that the other side does not have is looked at for zeros and not compared.
 * Both sides are in a slot's two buffers when they are, so in the cache.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/engine/crew.h"
#include "libmr/diff/state.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"

enum { FETCH, COMPARE };

/* Runs of one side of one extent at most: as CREW_OPS, for two sides. */
#define MAX_RUNS (CREW_OPS / 2)

/* A worker's. */
struct tally {
	uint64_t read[MR_SIDES]; /* bytes */
};

/* The extent in hand. */
struct extent {
	struct crew_worker *w;
	struct crew_slot *s;
	struct mr_diff *d;
	struct diff_block *b;
	size_t unit; /* page size */
	uint64_t first; /* page of b's maps; a multiple of 64 */
	size_t pages;
	unsigned char *buf[MR_SIDES];
	/* The side that runs are wanted of. */
	enum mr_side side;
	struct memory_run runs[MAX_RUNS];
	size_t n;
	struct mr_error *err;
	bool failed; /* *err is filled */
};

static struct extent extent_of(struct crew_worker *w, struct crew_slot *s,
			       struct mr_error *err)
{
	struct mr_diff *d = crew_arg(w);
	size_t unit = d->info.page_size;
	struct extent x = { .w = w,
			    .s = s,
			    .d = d,
			    .b = &d->work[s->extent.block],
			    .unit = unit,
			    .first = s->extent.offset / unit,
			    .pages = s->extent.length / unit,
			    .err = err };

	x.buf[MR_A] = s->buf;
	x.buf[MR_B] = s->buf + crew_extent_size(unit);
	return x;
}

/* The map words of this extent. */
static uint64_t *words_of(const struct extent *x, uint64_t *map)
{
	return map + x->first / 64;
}

/* Through the page cache. True: it failed. */
static bool read_side(struct mr_diff *d, enum mr_side side, void *to,
		      size_t length, uint64_t at, struct mr_error *err)
{
	struct mr_image *img = d->side[side].img;

	return io_read_full(img->io, to, length, at, err) &&
	       image_blame(img, err);
}

/* The side that OP reads; a VM's has no file and no transfers. */
static enum mr_side side_of(const struct mr_diff *d, const struct queue_op *op)
{
	const struct mr_image *a = d->side[MR_A].img;

	return a && op->file == &a->file ? MR_A : MR_B;
}

/* Transfers that failed, once more: to know where. */
static int read_again(struct extent *x)
{
	for (size_t i = 0; i < x->s->finished; i++) {
		const struct queue_op *op = &x->s->ops[i];

		if (op->error && read_side(x->d, side_of(x->d, op), op->buf,
					   op->length, op->offset, x->err))
			return -1;
	}
	return 0;
}

/* What is in memory is copied at once: to hand it to the kernel's queue would
 * block just as long, and a queue that is never used need not be torn down. */
static void add_transfer(void *arg, size_t offset, size_t length)
{
	struct extent *x = arg;
	struct diff_side *side = &x->d->side[x->side];
	const struct mr_block *b = x->b->of[x->side].image;
	unsigned char *to = x->buf[x->side] + offset;
	struct tally *t = x->w->priv;
	uint64_t at =
		b->pages_offset + (x->b->first + x->first) * x->unit + offset;

	t->read[x->side] += length;
	if (x->failed)
		return;
	if (!x->d->direct || side->img->file.direct_fd < 0 ||
	    cached_mostly(&side->cached, at, length))
		x->failed = read_side(x->d, x->side, to, length, at, x->err);
	else
		crew_transfer(x->w, x->s, &side->img->file, to, length, at,
			      false);
}

static void add_run(void *arg, size_t offset, size_t length)
{
	struct extent *x = arg;
	struct tally *t = x->w->priv;

	t->read[x->side] += length;
	x->runs[x->n++] = (struct memory_run){
		.offset = (x->b->first + x->first) * x->unit + offset,
		.length = length,
		.dest = x->buf[x->side] + offset,
	};
}

static bool any(const uint64_t *words, size_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= words[i];
	return all != 0;
}

static int fetch(struct extent *x)
{
	size_t n = (x->pages + 63) / 64;
	bool wanted = false;

	crew_progress(x->w, x->s->extent.length);
	if (x->d->options.brief && atomic_load(&x->d->differs))
		return CREW_DONE;
	for (int i = 0; i < MR_SIDES; i++) {
		const uint64_t *bits = words_of(x, x->b->bits[i]);

		if (!any(bits, n))
			continue;
		wanted = true;
		x->side = (enum mr_side)i;
		if (x->d->side[i].img)
			(void)crew_runs(bits, x->pages, x->unit, CREW_GAP,
					add_transfer, x);
	}
	if (x->failed)
		return CREW_FAILED;
	return wanted ? COMPARE : CREW_DONE;
}

/* VMs are read when the other side's transfers are done: theirs take no
 * time worth hiding. */
static int fetch_guests(struct extent *x)
{
	for (int i = 0; i < MR_SIDES; i++) {
		const struct diff_side *side = &x->d->side[i];

		if (side->img)
			continue;
		x->side = (enum mr_side)i;
		x->n = 0;
		(void)crew_runs(words_of(x, x->b->bits[i]), x->pages, x->unit,
				CREW_GAP, add_run, x);
		if (guest_read(side->guest, x->b->of[i].guest, x->runs, x->n,
			       x->err))
			return error_about(x->err, side->who);
	}
	return 0;
}

/* Up to 64 pages: bits of those with data, and of those that differ. */
static void compare_word(const struct extent *x, size_t page, uint64_t *a,
			 uint64_t *b, uint64_t *differ)
{
	size_t unit = x->unit;

	for (uint64_t left = *a | *b; left; left &= left - 1) {
		uint64_t bit = left & -left;
		size_t at = (page + (size_t)__builtin_ctzll(left)) * unit;
		const unsigned char *pa = x->buf[MR_A] + at;
		const unsigned char *pb = x->buf[MR_B] + at;
		bool both = *a & *b & bit;

		if (both && !memcmp(pa, pb, unit)) {
			if (pages_all_zero(pa, unit)) {
				*a &= ~bit;
				*b &= ~bit;
			}
			continue;
		}
		if ((*a & bit) && pages_all_zero(pa, unit))
			*a &= ~bit;
		if ((*b & bit) && pages_all_zero(pb, unit))
			*b &= ~bit;
		*differ |= (*a | *b) & bit;
	}
}

static void compare(const struct extent *x)
{
	uint64_t *a = words_of(x, x->b->bits[MR_A]);
	uint64_t *b = words_of(x, x->b->bits[MR_B]);
	uint64_t *differ = words_of(x, x->b->differ);

	for (size_t i = 0; i * 64 < x->pages; i++) {
		uint64_t here = 0;

		if (!(a[i] | b[i]))
			continue;
		compare_word(x, i * 64, &a[i], &b[i], &here);
		if (!here)
			continue;
		differ[i] = here;
		atomic_store_explicit(&x->d->differs, true,
				      memory_order_relaxed);
	}
}

static int step(struct crew_worker *w, struct crew_slot *s,
		struct mr_error *err)
{
	struct extent x = extent_of(w, s, err);

	if (s->stage == FETCH)
		return fetch(&x);
	if (read_again(&x) || fetch_guests(&x))
		return CREW_FAILED;
	compare(&x);
	return CREW_DONE;
}

static void add_tally(struct crew_worker *w, void *arg)
{
	struct mr_diff *d = arg;
	const struct tally *t = w->priv;

	d->info.of[MR_A].read += t->read[MR_A];
	d->info.of[MR_B].read += t->read[MR_B];
}

/* To take down the kernel's queues costs tens of milliseconds, in which all
 * of this can be read through the page cache. */
#define SMALL ((uint64_t)32 << 20)

static bool worth_direct(const struct mr_diff *d)
{
	uint64_t pages = 0;

	if (d->options.direct != MR_DIRECT_AUTO)
		return d->options.direct == MR_DIRECT_ON;
	for (size_t i = 0; i < d->info.n_blocks; i++)
		for (int k = 0; k < MR_SIDES; k++)
			if (d->work[i].pages)
				pages += bits_count(d->work[i].bits[k], 0,
						    d->work[i].pages);
	return pages > SMALL / d->info.page_size;
}

int diff_pages(struct mr_diff *d, struct mr_error *err)
{
	size_t unit = d->info.page_size;
	uint64_t *lengths = calloc(d->info.n_blocks + 1, sizeof(*lengths));
	struct crew_plan plan = {
		.extent_size = crew_extent_size(unit),
		.lengths = lengths,
		.blocks = d->info.n_blocks,
		.buffers = MR_SIDES,
		.worker_size = sizeof(struct tally),
		.jobs = d->options.jobs,
		.own_errors = true,
		.step = step,
		.finish = add_tally,
		.arg = d,
		.watch = &d->options.watch,
	};
	int rc;

	if (!lengths)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < d->info.n_blocks; i++)
		lengths[i] = d->work[i].pages * unit;
	d->direct = worth_direct(d);
	rc = crew_run(&plan, err);
	free(lengths);
	return rc;
}
