/*
 * pages.c - both memories past each other, one extent at a time.
 *
 * Of an extent only the pages are read that may hold data on one side; a page
 * that the other side does not have is looked at for zeros and not compared.
 * Both sides are in a slot's two buffers when they are, so in the cache.
 */
#include <string.h>

#include "formats/bits.h"
#include "libmr/engine/crew.h"
#include "libmr/diff/state.h"
#include "libmr/base/pages.h"

enum { FETCH, COMPARE };

/* A worker's. */
struct tally {
	uint64_t read[MR_SIDES]; /* bytes */
};

/* The extent in hand. */
struct extent {
	struct mr_diff *d;
	struct diff_block *b;
	uint64_t first; /* page of b's maps; a multiple of 64 */
	struct memory_part of[MR_SIDES];
};

static struct extent extent_of(struct crew_worker *w, struct crew_slot *s)
{
	struct mr_diff *d = crew_arg(w);
	size_t unit = d->info.page_size;
	struct extent x = { .d = d,
			    .b = &d->work[s->extent.block],
			    .first = s->extent.offset / unit };

	for (int i = 0; i < MR_SIDES; i++)
		x.of[i] = (struct memory_part){
			.block = x.b->of[i],
			.offset = (x.b->first + x.first) * unit,
			.unit = unit,
			.pages = s->extent.length / unit,
			.bits = x.b->bits[i] + x.first / 64,
			.buf = s->buf + (size_t)i * crew_extent_size(unit),
		};
	return x;
}

/* The map words of this extent. */
static uint64_t *words_of(const struct extent *x, uint64_t *map)
{
	return map + x->first / 64;
}

static int fetch(struct extent *x, struct crew_worker *w, struct crew_slot *s,
		 struct mr_error *err)
{
	struct tally *t = w->priv;
	int64_t all = 0;

	crew_progress(w, s->extent.length);
	if (x->d->options.brief && atomic_load(&x->d->differs))
		return CREW_DONE;
	for (int i = 0; i < MR_SIDES; i++) {
		int64_t n = memory_fetch(x->d->side[i]->memory, &x->of[i], w, s,
					 err);

		if (n < 0)
			return CREW_FAILED;
		t->read[i] += (uint64_t)n;
		all += n;
	}
	return all ? COMPARE : CREW_DONE;
}

/* Up to 64 pages: bits of those with data, and of those that differ. */
static void compare_word(const struct extent *x, size_t page, uint64_t *a,
			 uint64_t *b, uint64_t *differ)
{
	size_t unit = x->of[MR_A].unit;

	for (uint64_t left = *a | *b; left; left &= left - 1) {
		uint64_t bit = left & -left;
		size_t at = (page + (size_t)__builtin_ctzll(left)) * unit;
		const unsigned char *pa = x->of[MR_A].buf + at;
		const unsigned char *pb = x->of[MR_B].buf + at;
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

	for (size_t i = 0; i * 64 < x->of[MR_A].pages; i++) {
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
	struct extent x = extent_of(w, s);

	if (s->stage == FETCH)
		return fetch(&x, w, s, err);
	for (int i = 0; i < MR_SIDES; i++)
		if (memory_fetched(x.d->side[i]->memory, &x.of[i], s, err))
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

int diff_pages(struct mr_diff *d, struct mr_error *err)
{
	size_t unit = d->info.page_size;
	uint64_t pages = 0;
	struct crew_plan plan = {
		.extent_size = crew_extent_size(unit),
		.lengths = &d->work[0].length,
		.stride = sizeof(d->work[0]),
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

	for (size_t i = 0; i < d->info.n_blocks; i++)
		for (int k = 0; d->work[i].pages && k < MR_SIDES; k++)
			pages += bits_count(d->work[i].bits[k], 0,
					    d->work[i].pages);
	for (int k = 0; k < MR_SIDES; k++)
		memory_choose(d->side[k]->memory, d->options.direct,
			      pages * unit);
	return crew_run(&plan, err);
}
