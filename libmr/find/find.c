/*
 * find.c - the verb: where in an image's memory a few bytes stand.
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

#include "libmr/file/cached.h"
#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "libmr/image/image.h"
#include "libmr/base/pages.h"
#include "libmr/base/search.h"
#include "libmr/base/watch.h"

enum { FETCH, SEARCH };

/* Setting up direct I/O takes longer than to read this much without. */
#define SMALL ((uint64_t)32 << 20)

struct block {
	const struct mr_block *b;
	uint64_t *bits;
	uint64_t base, length; /* bytes: of the blocks before it, of it */
};

struct job {
	const struct mr_image *img;
	struct search search;
	size_t page, extent; /* bytes */
	struct block *blocks;
	size_t n;
	bool zeros; /* what is sought is nothing but zeros */
	bool direct;
	struct cached cached;
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
	const struct block *k;
	const uint64_t *bits;
	size_t own; /* bytes of it in which a find may start */
	size_t pages; /* with those behind it */
	struct mr_error *err;
	bool failed;
};

static struct extent extent_of(struct crew_worker *w, struct crew_slot *s,
			       struct mr_error *err)
{
	struct job *j = crew_arg(w);
	const struct block *k = &j->blocks[s->extent.block];
	uint64_t left = k->length - s->extent.offset;
	uint64_t reach = s->extent.length + j->search.len - 1;
	struct extent x = { .w = w, .s = s, .j = j, .k = k, .err = err };

	if (reach > left)
		reach = left;
	x.bits = k->bits + s->extent.offset / j->page / 64;
	x.own = s->extent.length;
	x.pages = (size_t)((reach + j->page - 1) / j->page);
	return x;
}

static void fetch_run(void *arg, size_t offset, size_t length)
{
	struct extent *x = arg;
	struct job *j = x->j;
	uint64_t at = x->k->b->pages_offset + x->s->extent.offset + offset;

	atomic_fetch_add_explicit(&j->read, length, memory_order_relaxed);
	if (x->failed)
		return;
	if (!j->direct || cached_mostly(&j->cached, at, length))
		x->failed = io_read_full(j->img->io, x->s->buf + offset, length,
					 at, x->err) != 0;
	else
		/* A crew reads only: the file is not changed. */
		crew_transfer(x->w, x->s,
			      (struct file *)(uintptr_t)&j->img->file,
			      x->s->buf + offset, length, at, false);
}

static int fetch(struct extent *x)
{
	struct job *j = x->j;
	size_t set;

	crew_progress(x->w, x->s->extent.length);
	if (x->k->base + x->s->extent.offset > atomic_load(&j->enough)) {
		atomic_store(&j->skipped, true);
		return CREW_DONE;
	}
	set = crew_runs(x->bits, x->pages, j->page, CREW_GAP, fetch_run, x);
	if (x->failed)
		return CREW_FAILED;
	return set || j->zeros ? SEARCH : CREW_DONE;
}

static int add_found(struct job *j, size_t block, uint64_t offset,
		     struct mr_error *err)
{
	if (j->n_found == j->room) {
		size_t room = j->room ? 2 * j->room : 64;
		void *more = realloc(j->found, room * sizeof(*j->found));

		if (!more)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
		j->found = more;
		j->room = room;
	}
	j->found[j->n_found++] = (struct mr_found){ .block = j->blocks[block].b,
						    .offset = offset };
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
		if (x->k->base + e->offset > j->last)
			j->last = x->k->base + e->offset;
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

/* Zeros in pages [from, to) that are absent. */
static void blank(struct extent *x, size_t from, size_t to)
{
	size_t page = x->j->page;

	for (size_t p = from; p < to; p++)
		if (!(x->bits[p / 64] >> (p % 64) & 1))
			memset(x->s->buf + p * page, 0, page);
}

/* A run with the zeros around it that a find may begin or end in: gaps
 * between runs are longer than two patterns. */
static void search_run(void *arg, size_t offset, size_t length)
{
	struct extent *x = arg;
	size_t page = x->j->page, margin = x->j->search.len - 1;
	size_t from = offset < margin ? 0 : offset - margin;
	size_t end = offset + length + margin;

	if (x->failed)
		return;
	if (end > x->pages * page)
		end = x->pages * page;
	blank(x, offset / page, (offset + length) / page);
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
	if (x.j->zeros) {
		blank(&x, 0, x.pages);
		search_part(&x, 0, x.own, x.pages * x.j->page);
	} else {
		(void)crew_runs(x.bits, x.pages, x.j->page, CREW_GAP,
				search_run, &x);
	}
	return x.failed ? CREW_FAILED : CREW_DONE;
}

/* ---- the verb ---- */

static int add_block(struct job *j, const struct mr_block *b, uint64_t base,
		     uint64_t *present, struct mr_error *err)
{
	uint64_t words = mr_block_words(b);
	struct block *k = &j->blocks[j->n++];

	k->b = b;
	k->base = base;
	k->length = b->length;
	/* One more: what lies behind an extent is asked for at its end. Words
	 * that are not written to take no memory. */
	k->bits = calloc(words + 1, sizeof(*k->bits));
	if (!k->bits)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (uint64_t at = image_skip_hole(j->img, b, 0); at < words;
	     at = image_skip_hole(j->img, b, at)) {
		size_t n = words - at < 4096 ? (size_t)(words - at) : 4096;

		if (mr_image_bitmap(j->img, b, at, k->bits + at, n, err))
			return -1;
		for (size_t i = 0; i < n; i++)
			*present +=
				(unsigned)__builtin_popcountll(k->bits[at + i]);
		at += n;
	}
	return 0;
}

static int add_blocks(struct job *j, const struct mr_find_options *o,
		      struct mr_find_report *r, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(j->img);
	uint64_t present = 0;

	j->blocks = calloc(info->n_blocks + 1, sizeof(*j->blocks));
	if (!j->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];

		if (b->in_file && b->length > MR_MEMORY_MAX - r->ram)
			return error_set(err, MR_UNSUPPORTED, b->entry,
					 MR_MEMORY_MAX_TEXT);
		if (!b->in_file)
			r->left_out++;
		else if (add_block(j, b, r->ram, &present, err))
			return -1;
		else
			r->ram += b->length;
	}
	j->direct = j->img->file.direct_fd >= 0 && o->direct != MR_DIRECT_OFF;
	if (o->direct == MR_DIRECT_AUTO && present <= SMALL / j->page)
		j->direct = false;
	if (j->direct && o->direct == MR_DIRECT_AUTO)
		cached_init(&j->cached, &j->img->file, CACHED_CACHESTAT);
	return 0;
}

static int run(struct job *j, const struct mr_find_options *o,
	       struct mr_error *err)
{
	uint64_t *lengths = calloc(j->n + 1, sizeof(*lengths));
	struct crew_plan plan = {
		.extent_size = j->extent,
		.lengths = lengths,
		.blocks = j->n,
		.buffers = 2,
		.jobs = o->jobs,
		.step = step,
		.arg = j,
		.watch = &o->watch,
	};
	int rc;

	if (!lengths)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < j->n; i++)
		lengths[i] = j->blocks[i].length;
	rc = crew_run(&plan, err);
	free(lengths);
	return rc ? image_blame(j->img, err) : 0;
}

/* Blocks lie in one array, in the order of the image. */
static int by_place(const void *pa, const void *pb)
{
	const struct mr_found *a = pa, *b = pb;
	int c = (a->block > b->block) - (a->block < b->block);

	return c ? c : (a->offset > b->offset) - (a->offset < b->offset);
}

static int check(const struct mr_image *img, size_t len,
		 const struct mr_find_options *o, struct mr_error *err)
{
	if (!len || len > MR_FIND_MAX || !o->max)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "1 to %u bytes can be sought", MR_FIND_MAX);
	if (img->info.kind != MR_IMAGE_MAPPED)
		return error_set(
			err, MR_UNSUPPORTED, MR_NO_OFFSET,
			"only in a mapped-ram image pages have a place");
	return 0;
}

int mr_find(const struct mr_image *img, const void *bytes, size_t len,
	    const struct mr_find_options *options,
	    struct mr_find_report *report, struct mr_error *err)
{
	struct job j = { .img = img,
			 .page = img->info.page_size,
			 .max = options->max,
			 .enough = UINT64_MAX,
			 .lock = PTHREAD_MUTEX_INITIALIZER };
	double begin = watch_clock();
	int rc = -1;

	*report = (struct mr_find_report){ 0 };
	if (check(img, len, options, err))
		return -1;
	search_init(&j.search, bytes, len);
	j.extent = crew_extent_size(j.page);
	j.zeros = ((const uint8_t *)bytes)[0] == 0 &&
		  !memcmp(bytes, (const uint8_t *)bytes + 1, len - 1);
	if (add_blocks(&j, options, report, err) || run(&j, options, err))
		goto out;
	if (j.n_found)
		qsort(j.found, j.n_found, sizeof(*j.found), by_place);
	report->more = j.n_found > j.max || atomic_load(&j.skipped);
	report->n_found = j.n_found > j.max ? j.max : j.n_found;
	report->found = j.found;
	j.found = NULL;
	report->read = atomic_load(&j.read);
	report->direct = j.direct;
	rc = 0;
out:
	report->seconds = watch_clock() - begin;
	for (size_t i = 0; j.blocks && i < j.n; i++)
		free(j.blocks[i].bits);
	free(j.blocks);
	free(j.found);
	cached_release(&j.cached);
	(void)pthread_mutex_destroy(&j.lock);
	return rc;
}

void mr_find_release(struct mr_find_report *report)
{
	free(report->found);
	*report = (struct mr_find_report){ 0 };
}
