/*
 * find.c - the verb: where in somebody's memory a few bytes stand.
 *
 * A worker reads the present pages of an extent, and of the pages behind it
 * as many as a find that starts in the extent can reach into. Absent pages
 * are zero. Extents without data are not looked at, unless what is sought is
 * itself nothing but zeros.
 *
 * Finds come in any order, but those that are told are the first ones: once
 * there are enough, extents behind the last of them are skipped, and no other.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/search.h"
#include "libmr/base/watch.h"
#include "libmr/memory/ram.h"

enum { FETCH, SEARCH };

struct job {
	struct mr_ram *ram;
	const struct memory *m; /* its */
	struct search search;
	uint64_t *base; /* of each block: bytes of those before it */
	bool zeros; /* what is sought is nothing but zeros */
	size_t max;

	pthread_mutex_t lock;
	/* Under the lock: what was found, and the last extent that has some,
	 * as a place behind base. */
	struct mr_found *found;
	size_t n_found, room;
	uint64_t last;
	/* Extents that begin behind this are not wanted any more. */
	atomic_uint_fast64_t enough;
	atomic_bool skipped;
	atomic_uint_fast64_t read;
};

/* The extent in hand. */
struct extent {
	struct crew_worker *w;
	struct crew_slot *s;
	struct job *j;
	uint64_t at; /* place behind base */
	size_t own; /* bytes of it in which a find may start */
	struct memory_part part; /* with the pages behind it */
	struct mr_error *err;
	bool failed;
};

static struct extent extent_of(struct crew_worker *w, struct crew_slot *s,
			       struct mr_error *err)
{
	struct job *j = crew_arg(w);
	const struct memory_block *b = &j->m->blocks[s->extent.block];
	uint64_t left = b->length - s->extent.offset;
	uint64_t reach = s->extent.length + j->search.len - 1;
	size_t page = j->m->page;
	struct extent x = { .w = w, .s = s, .j = j, .err = err };

	if (reach > left)
		reach = left;
	x.at = j->base[s->extent.block] + s->extent.offset;
	x.own = s->extent.length;
	x.part = (struct memory_part){
		.block = b,
		.offset = s->extent.offset,
		.unit = page,
		.pages = (size_t)((reach + page - 1) / page),
		.bits = b->bits + s->extent.offset / page / 64,
		.buf = s->buf,
	};
	return x;
}

static int fetch(struct extent *x)
{
	struct job *j = x->j;
	int64_t n;

	crew_progress(x->w, x->own);
	if (x->at > atomic_load(&j->enough)) {
		atomic_store(&j->skipped, true);
		return CREW_DONE;
	}
	n = memory_fetch(j->m, &x->part, x->w, x->s, x->err);
	if (n < 0)
		return CREW_FAILED;
	atomic_fetch_add_explicit(&j->read, (uint64_t)n, memory_order_relaxed);
	return n || j->zeros ? SEARCH : CREW_DONE;
}

static int add_found(struct job *j, size_t block, uint64_t offset,
		     struct mr_error *err)
{
	if (grow(&j->found, &j->room, j->n_found, sizeof(*j->found)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	j->found[j->n_found++] = (struct mr_found){
		.block = &j->ram->info.blocks[block],
		.offset = offset,
	};
	return 0;
}

/* One more, of those that start in the extent; 1: enough of them. */
static int take_found(struct extent *x, uint64_t offset, size_t *n)
{
	const struct crew_extent *e = &x->s->extent;
	struct job *j = x->j;
	int rc;

	(void)pthread_mutex_lock(&j->lock);
	rc = add_found(j, e->block, offset, x->err);
	if (!rc) {
		if (x->at > j->last)
			j->last = x->at;
		if (j->n_found > j->max)
			atomic_store(&j->enough, j->last);
		rc = ++*n > j->max;
	}
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

/* Finds that start in [from, to) and that the bytes before end hold. */
static void search_part(struct extent *x, size_t from, size_t to, size_t end)
{
	struct job *j = x->j;
	size_t n = 0;

	if (to > x->own)
		to = x->own;
	while (from < to) {
		size_t at = search_next(&j->search, x->s->buf, end, from);
		int rc;

		if (at >= to)
			return;
		rc = take_found(x, x->s->extent.offset + at, &n);
		if (rc) {
			x->failed |= rc < 0;
			return;
		}
		from = at + 1;
	}
}

/* A run with the zeros around it that a find may begin or end in: gaps
 * between runs are longer than two patterns. */
static void search_run(void *arg, size_t offset, size_t length)
{
	struct extent *x = arg;
	size_t page = x->part.unit, margin = x->j->search.len - 1;
	size_t from = offset < margin ? 0 : offset - margin;
	size_t end = offset + length + margin;

	if (x->failed)
		return;
	if (end > x->part.pages * page)
		end = x->part.pages * page;
	memory_blank(&x->part, offset / page, (offset + length) / page);
	memset(x->s->buf + from, 0, offset - from);
	memset(x->s->buf + offset + length, 0, end - offset - length);
	search_part(x, from, offset + length, end);
}

static int step(struct crew_worker *w, struct crew_slot *s,
		struct mr_error *err)
{
	struct extent x = extent_of(w, s, err);

	if (s->stage == FETCH)
		return fetch(&x);
	if (memory_fetched(x.j->m, &x.part, s, err))
		return CREW_FAILED;
	if (x.j->zeros) {
		memory_blank(&x.part, 0, x.part.pages);
		search_part(&x, 0, x.own, x.part.pages * x.part.unit);
	} else {
		(void)crew_runs(x.part.bits, x.part.pages, x.part.unit,
				CREW_GAP, search_run, &x);
	}
	return x.failed ? CREW_FAILED : CREW_DONE;
}

/* ---- the verb ---- */

static int run(struct job *j, const struct mr_find_options *o,
	       struct mr_error *err)
{
	struct crew_plan plan = {
		.extent_size = crew_extent_size(j->m->page),
		.lengths = &j->m->blocks[0].held,
		.stride = sizeof(j->m->blocks[0]),
		.blocks = j->m->n,
		.buffers = 2,
		.own_errors = true,
		.jobs = o->jobs,
		.step = step,
		.arg = j,
		.watch = &o->watch,
	};

	return crew_run(&plan, err);
}

/* Blocks lie in one array, in the order of the image. */
static int by_place(const void *pa, const void *pb)
{
	const struct mr_found *a = pa, *b = pb;
	int c = (a->block > b->block) - (a->block < b->block);

	return c ? c : (a->offset > b->offset) - (a->offset < b->offset);
}

int mr_find(struct mr_ram *ram, const void *bytes, size_t len,
	    const struct mr_find_options *options,
	    struct mr_find_report *report, struct mr_error *err)
{
	struct memory *m = ram->memory;
	struct job j = { .ram = ram,
			 .m = m,
			 .max = options->max,
			 .enough = UINT64_MAX,
			 .lock = PTHREAD_MUTEX_INITIALIZER };
	double begin = watch_clock();
	uint64_t touched = 0;
	int rc = -1;

	*report = (struct mr_find_report){ 0 };
	if (!len || len > MR_FIND_MAX || !j.max)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "1 to %u bytes can be sought", MR_FIND_MAX);
	search_init(&j.search, bytes, len);
	j.zeros = ((const uint8_t *)bytes)[0] == 0 &&
		  !memcmp(bytes, (const uint8_t *)bytes + 1, len - 1);
	j.base = calloc(m->n + 1, sizeof(*j.base));
	if (!j.base) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < m->n; i++) {
		struct memory_block *b = &m->blocks[i];

		j.base[i] = report->ram;
		if (b->held > MR_MEMORY_MAX - report->ram) {
			(void)error_set(err, MR_UNSUPPORTED, b->entry,
					MR_MEMORY_MAX_TEXT);
			goto out;
		}
		report->ram += b->held;
		report->left_out += !b->held;
		if (memory_map(m, b, &touched, err))
			goto out;
	}
	memory_choose(m, options->direct, touched);
	if (run(&j, options, err) || mr_ram_still(ram, err))
		goto out;
	if (j.n_found)
		qsort(j.found, j.n_found, sizeof(*j.found), by_place);
	report->more = j.n_found > j.max || atomic_load(&j.skipped);
	report->n_found = j.n_found > j.max ? j.max : j.n_found;
	report->found = j.found;
	j.found = NULL;
	report->read = atomic_load(&j.read);
	report->direct = m->direct;
	rc = 0;
out:
	report->seconds = watch_clock() - begin;
	free(j.base);
	free(j.found);
	(void)pthread_mutex_destroy(&j.lock);
	return rc;
}

void mr_find_release(struct mr_find_report *report)
{
	free(report->found);
	*report = (struct mr_find_report){ 0 };
}
