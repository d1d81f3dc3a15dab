/*
 * crew_test.c - the engine's threads, and the joining of runs.
 *
 * Steps run in the workers' threads, where cmocka must not assert: they count
 * and note what is wrong, and the test looks afterwards.
 */
#include "tests/libmr/folder.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "tests/libmr/aio.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, mmap64,
	  (void *at, size_t len, int prot, int flags, int fd, off_t offset),
	  (at, len, prot, flags, fd, offset), MAP_FAILED)

/* ---- threads that do not start ---- */

static uint64_t no_thread; /* bit i: call i + 1 of pthread_create fails */
static unsigned threads_asked, threads_made;

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr,
			  void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
			  void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr,
			  void *(*fn)(void *), void *arg)
{
	if (no_thread >> (threads_asked++ % 64) & 1)
		return EAGAIN;
	threads_made++;
	return __real_pthread_create(t, attr, fn, arg);
}

/* ---- workers that leave ---- */

static atomic_uint gone; /* each says so, after its error was taken */

int __real_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	gone++;
	return __real_pthread_cond_signal(cond);
}

/* ---- each thread's clock, which goes by what it sleeps ---- */

static bool still_clock;
static _Thread_local double clock_now;
static _Atomic double slept_most;
static atomic_bool *raise_asleep; /* by who sleeps */

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = __real_clock_gettime(id, t);

	if (still_clock) {
		t->tv_sec = (time_t)clock_now;
		t->tv_nsec = (long)(1e9 * (clock_now - (double)t->tv_sec));
	}
	return rc;
}

int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	double most = slept_most;

	if (!still_clock)
		return __real_nanosleep(t, left);
	clock_now += (double)t->tv_sec + 1e-9 * (double)t->tv_nsec;
	while (clock_now > most &&
	       !atomic_compare_exchange_weak(&slept_most, &most, clock_now))
		;
	if (raise_asleep)
		*raise_asleep = true;
	return 0;
}

/* ---- memory that goes too early ---- */

static unsigned unmapped, unmapped_early;

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	/* Before that it is what an arena was too large by. */
	unmapped += aio.submits > 0;
	unmapped_early += aio.held > 0;
	return __real_munmap(at, len);
}

static int reset(void **state)
{
	(void)state;
	aio_reset();
	fail_arm(0, 0);
	no_thread = 0;
	threads_asked = threads_made = 0;
	unmapped = unmapped_early = 0;
	gone = 0;
	still_clock = false;
	slept_most = 0;
	raise_asleep = NULL;
	return 0;
}

/* ---- crew_runs ---- */

enum { RUNS_MAX = 512 };

struct run {
	size_t offset, length;
};

struct run_list {
	struct run runs[RUNS_MAX];
	size_t n;
};

static void add_run(void *arg, size_t offset, size_t length)
{
	struct run_list *l = arg;

	assert_in_range(l->n, 0, RUNS_MAX - 1);
	l->runs[l->n++] = (struct run){ offset, length };
}

static bool bit(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The same, in the words of crew.h: stretches of set bits first, then those
 * joined that lie closer than gap. */
static size_t plain_runs(const uint64_t *bits, size_t pages, size_t page_size,
			 size_t gap, struct run_list *l)
{
	size_t set = 0;

	l->n = 0;
	for (size_t i = 0; i < pages; i++) {
		if (!bit(bits, i))
			continue;
		set++;
		if (i && bit(bits, i - 1))
			l->runs[l->n - 1].length += page_size;
		else
			add_run(l, i * page_size, page_size);
	}
	for (size_t i = 1; i < l->n;) {
		struct run *a = &l->runs[i - 1], *b = &l->runs[i];

		if (b->offset - (a->offset + a->length) >= gap) {
			i++;
			continue;
		}
		a->length = b->offset + b->length - a->offset;
		memmove(b, b + 1, (l->n - i - 1) * sizeof(*b));
		l->n--;
	}
	return set;
}

static void compare_runs(const uint64_t *bits, size_t pages, size_t page_size,
			 size_t gap)
{
	struct run_list want = { .n = 0 }, got = { .n = 0 };

	assert_int_equal(crew_runs(bits, pages, page_size, gap, add_run, &got),
			 plain_runs(bits, pages, page_size, gap, &want));
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.runs, want.runs, want.n * sizeof(*want.runs));
}

/* Neighbours are one run whatever the gap: what reads an extent has room for
 * a run on every second page, no more. */
static void runs_join_neighbours(void **state)
{
	uint64_t bits[4] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	struct run_list got = { .n = 0 };

	(void)state;
	assert_int_equal(crew_runs(bits, 256, 4096, 0, add_run, &got), 256);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.runs[0].offset, 0);
	assert_int_equal(got.runs[0].length, 256 * 4096);
}

static void runs_as_plain(void **state)
{
	static const size_t gaps[] = { 0,     1,       4096,	 4097,	  8192,
				       16384, 1000000, SIZE_MAX, CREW_GAP };
	uint64_t seed = 1, bits[8];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t pages = next_random(&seed) % 513;
		unsigned thin = (unsigned)(next_random(&seed) % 5);

		/* from dense to sparse, bits beyond the last page as well */
		for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
			bits[i] = next_random(&seed);
			for (unsigned k = 0; k < thin; k++)
				bits[i] &= next_random(&seed);
			if (next_random(&seed) % 4 == 0)
				bits[i] =
					next_random(&seed) % 2 ? UINT64_MAX : 0;
		}
		for (size_t g = 0; g < ARRAY_LEN(gaps); g++)
			compare_runs(bits, pages, 4096, gaps[g]);
	}
}

/* The most runs that an extent can have fit a slot, for two files at once. */
static void runs_fit_a_slot(void **state)
{
	(void)state;
	for (size_t page = 1024; page <= 65536; page *= 2) {
		size_t pages = crew_extent_size(page) / page;
		size_t skip = CREW_GAP < page ? 1 : CREW_GAP / page;
		uint64_t bits[1024 / 64] = { 0 };
		struct run_list got = { .n = 0 };

		assert_int_equal(crew_extent_size(page) % (64 * page), 0);
		for (size_t i = 0; i < pages; i += 1 + skip)
			bits[i / 64] |= UINT64_C(1) << (i % 64);
		(void)crew_runs(bits, pages, page, CREW_GAP, add_run, &got);
		assert_int_equal(got.n, (pages + skip) / (1 + skip));
		assert_in_range(2 * got.n, 1, CREW_OPS);
	}
}

/* ---- claims ---- */

enum { EXTENTS_MAX = 4096, BLOCKS_MAX = 8 };

struct seen {
	const uint64_t *lengths;
	size_t extent_size;
	atomic_uint times[BLOCKS_MAX][EXTENTS_MAX];
	atomic_uint wrong; /* steps that were not given what they should */
	unsigned finished[MR_JOBS_MAX];
	uint64_t bytes; /* summed by finish */
	uint64_t reported, total;
	unsigned backwards; /* reports that were below the last one */
};

static int see_extent(struct crew_worker *w, struct crew_slot *s,
		      struct mr_error *err)
{
	struct seen *seen = crew_arg(w);
	const struct crew_extent *e = &s->extent;
	uint64_t left = seen->lengths[e->block] - e->offset;
	uint64_t n = e->offset / seen->extent_size;

	(void)err;
	if (e->offset % seen->extent_size || n >= EXTENTS_MAX ||
	    e->offset >= seen->lengths[e->block] ||
	    e->length != (left < seen->extent_size ? left : seen->extent_size))
		seen->wrong++;
	else
		seen->times[e->block][n]++;
	*(uint64_t *)w->priv += e->length;
	crew_progress(w, e->length);
	return CREW_DONE;
}

static void see_worker(struct crew_worker *w, void *arg)
{
	struct seen *seen = arg;

	seen->finished[w->index]++;
	seen->bytes += *(uint64_t *)w->priv;
}

static void see_progress(void *arg, uint64_t done, uint64_t total)
{
	struct seen *seen = arg;

	seen->backwards += done < seen->reported;
	seen->reported = done;
	seen->total = total;
}

static void claim_all(unsigned jobs, const uint64_t *lengths, size_t blocks,
		      size_t extent_size)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct mr_watch watch = { .progress = see_progress, .arg = seen };
	struct mr_error err = MR_ERROR_INIT;
	struct {
		const char *name;
		uint64_t length;
	} of[BLOCKS_MAX] = { { .name = "" } };
	unsigned hands = 0, ran = 0;
	uint64_t total = 0;
	struct crew_plan plan = { .extent_size = extent_size,
				  .eager = true,
				  .lengths = &of[0].length,
				  .stride = sizeof(of[0]),
				  .ran = &ran,
				  .blocks = blocks,
				  .worker_size = sizeof(uint64_t),
				  .jobs = jobs,
				  .step = see_extent,
				  .finish = see_worker,
				  .arg = seen,
				  .watch = &watch };

	assert_non_null(seen);
	seen->lengths = lengths;
	seen->extent_size = extent_size;
	for (size_t b = 0; b < blocks; b++) {
		of[b].length = lengths[b];
		total += lengths[b];
	}
	assert_int_equal(crew_run(&plan, &err), 0);
	assert_int_equal(err.code, MR_OK);
	assert_int_equal(seen->wrong, 0);
	for (size_t b = 0; b < blocks; b++)
		for (size_t i = 0; i < EXTENTS_MAX; i++)
			assert_int_equal(seen->times[b][i],
					 i * extent_size < lengths[b] ? 1 : 0);
	assert_int_equal(seen->bytes, total);
	assert_int_equal(seen->reported, total);
	assert_int_equal(seen->total, total);
	assert_int_equal(seen->backwards, 0);
	for (unsigned i = 0; i < MR_JOBS_MAX; i++) {
		assert_in_range(seen->finished[i], 0, 1);
		hands += seen->finished[i];
	}
	assert_in_range(hands, 1, jobs ? jobs : crew_default_jobs());
	assert_int_equal(ran, no_thread ? threads_made : hands);
	free(seen);
}

static void every_extent_once(void **state)
{
	static const unsigned jobs[] = { 1, 2, 8, 64, 0 };
	static const uint64_t lengths[][BLOCKS_MAX] = {
		{ 1 << 20 },
		{ 1 },
		{ (1 << 20) - 1, (1 << 20) + 1, 4096, 0, 5 << 20 },
		{ 0, 0, 300 << 20, 4096, (70 << 20) + 4096, 0 },
		{ 0 },
	};

	(void)state;
	for (size_t j = 0; j < ARRAY_LEN(jobs); j++) {
		for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
			claim_all(jobs[j], lengths[l], BLOCKS_MAX, 1 << 20);
		claim_all(jobs[j], lengths[3], BLOCKS_MAX, 4 << 20);
		claim_all(jobs[j], NULL, 0, 1 << 20);
	}
}

static void threads_that_do_not_start(void **state)
{
	static const uint64_t lengths[] = { 40 << 20, 4096 };
	static const uint64_t none[] = { 1, 8, 7, 14 };

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		(void)reset(state);
		no_thread = none[i];
		claim_all(4, lengths, 2, 1 << 20);
		assert_int_equal(threads_asked, 4);
		assert_in_range(threads_made, 1, 3);
	}
}

/* ---- stages and transfers ---- */

enum { EXTENT = 64 << 10, COPY_SIZE = 20 * EXTENT + 12345 };

struct copy {
	struct file from, to;
	atomic_uint wrong, steps;
	atomic_uint fail_at; /* this step fails, counted from 1 */
	bool mute; /* and does not say why */
};

enum { PIECES = 65 }; /* more than half of CREW_OPS */

/* Reads an extent in pieces, waits a turn, checks that its buffer was
 * left alone, writes it. */
static int copy_step(struct crew_worker *w, struct crew_slot *s,
		     struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	unsigned char *second = s->buf + EXTENT;
	uint64_t *mine = s->priv;
	size_t piece = s->extent.length / PIECES;

	if ((uintptr_t)s->buf % 4096)
		c->wrong++;
	if (++c->steps == c->fail_at)
		return c->mute ? CREW_FAILED
			       : (error_set(err, MR_FORMAT, 77, "step fails"),
				  CREW_FAILED);
	switch (s->stage) {
	case 0:
		*mine = s->extent.offset;
		memset(second, (int)(s->extent.offset / EXTENT), EXTENT);
		for (size_t i = 0; i < PIECES; i++)
			crew_transfer(w, s, &c->from, s->buf + i * piece,
				      i < PIECES - 1
					      ? piece
					      : s->extent.length -
							(PIECES - 1) * piece,
				      s->extent.offset + i * piece, false);
		return 1;
	case 1:
		return 2; /* nothing to wait for */
	default:
		c->wrong += *mine != s->extent.offset || s->stage != 2;
		for (size_t i = 0; i < EXTENT; i++)
			if (second[i] != (s->extent.offset / EXTENT)) {
				c->wrong++;
				break;
			}
		crew_transfer(w, s, &c->to, s->buf, s->extent.length,
			      s->extent.offset, true);
		return CREW_DONE;
	}
}

static unsigned char *content;
static void copy_open(struct copy *c)
{
	int from = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int to = memfd_create("copy", MFD_CLOEXEC);

	memset(c, 0, sizeof(*c));
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(write(from, content, COPY_SIZE), COPY_SIZE);
	assert_int_equal(
		file_adopt(&c->from, from, O_RDWR, MR_DIRECT_AUTO, NULL), 0);
	assert_int_equal(file_adopt(&c->to, to, O_RDWR, MR_DIRECT_OFF, NULL),
			 0);
}

static void copy_close(struct copy *c)
{
	assert_int_equal(file_close(&c->from), 0);
	assert_int_equal(file_close(&c->to), 0);
}

static int copy_leaving(struct copy *c, unsigned jobs, uint64_t length,
			struct crew_leavers *leavers, struct mr_error *err)
{
	struct crew_plan plan = { .extent_size = EXTENT,
				  .eager = true,
				  .lengths = &length,
				  .blocks = 1,
				  .buffers = 2,
				  .slot_size = sizeof(uint64_t),
				  .jobs = jobs,
				  .step = copy_step,
				  .arg = c,
				  .leavers = leavers };

	return crew_run(&plan, err);
}

static int copy_run(struct copy *c, unsigned jobs, uint64_t length,
		    struct mr_error *err)
{
	return copy_leaving(c, jobs, length, NULL, err);
}

static void copy_check(unsigned jobs)
{
	unsigned char *back = malloc(COPY_SIZE);
	struct mr_error err = MR_ERROR_INIT;
	struct copy c;

	assert_non_null(back);
	copy_open(&c);
	assert_int_equal(copy_run(&c, jobs, COPY_SIZE, &err), 0);
	assert_string_equal(err.msg, "");
	assert_int_equal(c.wrong, 0);
	assert_int_equal(c.steps, 3 * 21);
	assert_int_equal(pread(c.to.fd, back, COPY_SIZE, 0), COPY_SIZE);
	assert_memory_equal(back, content, COPY_SIZE);
	copy_close(&c);
	free(back);
}

static void stages(void **state)
{
	static const unsigned jobs[] = { 1, 2, 8, 64 };

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		copy_check(jobs[i]);
	/* and where the kernel has nothing asynchronous to give */
	(void)reset(state);
	aio.setup = -EAGAIN;
	copy_check(2);
}

/* ---- extents that need no buffer ---- */

enum { LARGE = 2 << 20, LARGES = 20 };

struct lender {
	struct file to;
	unsigned char *from;
	const unsigned char *only; /* the buffer that the first one had */
	unsigned others, wrong;
};

/* Gives its buffer back and writes in as many pieces as a slot can have. */
static int lend_step(struct crew_worker *w, struct crew_slot *s,
		     struct mr_error *err)
{
	struct lender *l = crew_arg(w);
	size_t piece = LARGE / (2 * CREW_OPS);

	(void)err;
	if (s->stage) {
		l->wrong += s->buf != NULL;
		return CREW_DONE;
	}
	if (!l->only)
		l->only = s->buf;
	l->others += s->buf != l->only;
	memset(s->buf, 1, LARGE);
	crew_spare(w, s);
	crew_spare(w, s);
	l->wrong += s->buf != NULL;
	for (size_t i = 0; i < LARGE; i += piece)
		crew_transfer(w, s, &l->to, l->from + i, piece,
			      s->extent.offset + i, true);
	return 1;
}

static void spare_buffers_go_first(void **state)
{
	uint64_t length = (uint64_t)LARGES * LARGE;
	struct mr_error err = MR_ERROR_INIT;
	struct lender l = { .from = malloc(LARGE) };
	struct crew_plan plan = { .extent_size = LARGE,
				  .eager = true,
				  .lengths = &length,
				  .blocks = 1,
				  .buffers = 1,
				  .jobs = 1,
				  .step = lend_step,
				  .arg = &l };
	unsigned char *back = malloc(LARGE);
	int to = memfd_create("lent", MFD_CLOEXEC);

	(void)state;
	assert_true(l.from && back && to >= 0);
	for (size_t i = 0; i < LARGE; i++)
		l.from[i] = (unsigned char)(i * 31 >> 8);
	assert_int_equal(file_adopt(&l.to, to, O_RDWR, MR_DIRECT_OFF, NULL), 0);
	assert_int_equal(crew_run(&plan, &err), 0);
	assert_string_equal(err.msg, "");
	assert_int_equal(l.others, 0);
	assert_int_equal(l.wrong, 0);
	for (size_t i = 0; i < LARGES; i++) {
		assert_int_equal(pread(to, back, LARGE, (off_t)(i * LARGE)),
				 LARGE);
		assert_memory_equal(back, l.from, LARGE);
	}
	assert_int_equal(file_close(&l.to), 0);
	free(back);
	free(l.from);
}

/* Each context is given back once, by a thread for it where there is one. */
static void leavers(void **state)
{
	for (unsigned without = 0; without < 2; without++) {
		struct crew_leavers l = { .n = 0 };
		struct mr_error err = MR_ERROR_INIT;
		struct copy c;

		(void)reset(state);
		no_thread = without ? UINT64_C(3) << 2 : 0;
		copy_open(&c);
		assert_int_equal(copy_leaving(&c, 2, COPY_SIZE, &l, &err), 0);
		assert_int_equal(err.code, MR_OK);
		assert_int_equal(l.n, without ? 0 : aio.setups);
		if (without)
			assert_int_equal(aio.destroys, aio.setups);
		crew_leavers_join(&l);
		assert_int_equal(l.n, 0);
		assert_int_equal(aio.destroys, aio.setups);
		assert_true(aio.destroys > 0);
		copy_close(&c);
	}
}

/* ---- failures ---- */

struct two {
	atomic_uint arrived;
};

/* Both workers are here; one fails, and when it has left, the other. */
static int fail_in_turn(struct crew_worker *w, struct crew_slot *s,
			struct mr_error *err)
{
	struct two *two = crew_arg(w);

	(void)s;
	two->arrived++;
	while (two->arrived < 2)
		(void)sched_yield();
	if (w->index == 1)
		while (!gone)
			(void)sched_yield();
	(void)error_set(err, MR_FORMAT, w->index, "worker %u", w->index);
	return CREW_FAILED;
}

static void first_error_wins(void **state)
{
	static const uint64_t length = 100 * EXTENT;
	struct two two = { .arrived = 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct crew_plan plan = { .extent_size = EXTENT,
				  .eager = true,
				  .lengths = &length,
				  .blocks = 1,
				  .jobs = 2,
				  .step = fail_in_turn,
				  .arg = &two };

	(void)state;
	assert_int_equal(crew_run(&plan, &err), -1);
	assert_string_equal(err.msg, "worker 0");
	assert_int_equal(gone, 2);
}

/* Whichever step fails, with or without a word. */
static void one_failure_stops_all(void **state)
{
	(void)state;
	for (unsigned jobs = 1; jobs <= 8; jobs += 7) {
		for (int mute = 0; mute < 2; mute++) {
			struct mr_error err = MR_ERROR_INIT;
			struct copy c;

			copy_open(&c);
			c.fail_at = 1 + 7 * jobs;
			c.mute = mute;
			assert_int_equal(copy_run(&c, jobs, COPY_SIZE, &err),
					 -1);
			assert_int_equal(err.code, mute ? MR_SYS : MR_FORMAT);
			assert_int_equal(err.offset, mute ? MR_NO_OFFSET : 77);
			copy_close(&c);
		}
	}
}

/* The file is shorter than the plan says: the first worker to meet its end
 * says where that is. */
static void failed_transfer(void **state)
{
	(void)state;
	for (unsigned jobs = 1; jobs <= 8; jobs *= 2) {
		struct mr_error err = MR_ERROR_INIT;
		struct copy c;

		copy_open(&c);
		assert_int_equal(copy_run(&c, jobs, UINT64_C(1) << 60, &err),
				 -1);
		assert_int_equal(err.code, MR_SHORT);
		assert_true(err.offset >= COPY_SIZE);
		copy_close(&c);
	}
}

static void earlier_error_stays(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct copy c;

	(void)state;
	copy_open(&c);
	c.fail_at = 3;
	(void)error_set(&err, MR_QMP, 5, "before");
	assert_int_equal(copy_run(&c, 1, COPY_SIZE, &err), -1);
	assert_string_equal(err.msg, "before");
	copy_close(&c);
	copy_open(&c);
	c.fail_at = 3;
	assert_int_equal(copy_run(&c, 1, COPY_SIZE, NULL), -1);
	copy_close(&c);
}

/* Whenever the kernel stops to tell what has finished, no buffer goes before
 * it has said that nothing runs any more. */
static void lost_completions(void **state)
{
	int rc = -1;

	for (unsigned n = 1; rc; n++) {
		struct mr_error err = MR_ERROR_INIT;
		struct copy c;

		(void)reset(state);
		copy_open(&c);
		aio.reap_at = n;
		aio.reap = -EINVAL;
		rc = copy_run(&c, 1, COPY_SIZE, &err);
		assert_int_equal(rc, aio.reaps < n ? 0 : -1);
		assert_int_equal(err.sys, rc ? EINVAL : 0);
		assert_true(unmapped > 0);
		assert_int_equal(unmapped_early, 0);
		assert_int_equal(aio.held, 0);
		copy_close(&c);
	}
}

/* And if it never says so, never. In a child, as that is lost memory. */
static void lost_for_good(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		struct mr_error err = MR_ERROR_INIT;
		struct copy c;
		int rc;

		copy_open(&c);
		aio.reap_at = 2;
		aio.reap = aio.destroy = -EINVAL;
		rc = copy_run(&c, 1, COPY_SIZE, &err);
		_exit(rc != -1 || err.sys != EINVAL || unmapped);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- cancel ---- */

struct cancel {
	atomic_bool flag;
	atomic_uint steps;
	unsigned at;
};

static int cancel_step(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct cancel *c = crew_arg(w);

	(void)s;
	(void)err;
	if (++c->steps == c->at)
		atomic_store(&c->flag, true);
	return CREW_DONE;
}

/* Only a cancel can end this: there is work for centuries. */
static void cancelled(void **state)
{
	static const uint64_t length = UINT64_C(1) << 63;

	(void)state;
	for (unsigned jobs = 1; jobs <= 8; jobs += 7) {
		for (unsigned at = 0; at <= 100; at += 100) {
			struct cancel c = { .flag = at == 0, .at = at };
			struct mr_watch watch = { .cancel = &c.flag };
			struct mr_error err = MR_ERROR_INIT;
			struct crew_plan plan = { .extent_size = EXTENT,
						  .eager = true,
						  .lengths = &length,
						  .blocks = 1,
						  .jobs = jobs,
						  .step = cancel_step,
						  .arg = &c,
						  .watch = &watch };

			assert_int_equal(crew_run(&plan, &err), -1);
			assert_int_equal(err.code, MR_CANCELLED);
		}
	}
}

/* ---- lack of everything ---- */

static void no_thread_at_all(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct copy c;

	(void)state;
	copy_open(&c);
	no_thread = UINT64_MAX;
	assert_int_equal(copy_run(&c, 3, COPY_SIZE, &err), -1);
	assert_int_equal(err.sys, EAGAIN);
	assert_int_equal(c.steps, 0);
	copy_close(&c);
}

/* Each call that fails in turn: with none of the hands nothing is done; with
 * some of them all is, by those. */
static void no_memory(void **state)
{
	unsigned n, none = 0, fewer = 0;

	(void)state;
	for (n = 1;; n++) {
		struct mr_error err = MR_ERROR_INIT;
		struct copy c;
		int rc;

		copy_open(&c);
		fail_arm(n, ENOMEM);
		rc = copy_run(&c, 2, EXTENT * 2, &err);
		copy_close(&c);
		if (!fail_plan.name) {
			assert_int_equal(rc, 0);
			break;
		}
		none += rc != 0;
		fewer += !rc;
		assert_int_equal(err.code, rc ? MR_NOMEM : MR_OK);
		assert_int_equal(c.steps, rc ? 0 : 3 * 2);
		assert_int_equal(c.wrong, 0);
	}
	assert_in_range(n, 20, 1000);
	assert_in_range(none, 10, n - 10);
	assert_in_range(fewer, 10, n - 10);
}

/* What was read, an MiB of each extent but those that it skips. */
static int pay_step(struct crew_worker *w, struct crew_slot *s,
		    struct mr_error *err)
{
	const unsigned *skip = crew_arg(w);
	unsigned n = (unsigned)(s->extent.offset / EXTENT);

	(void)err;
	if (!*skip || n % *skip)
		crew_pay(w, EXTENT);
	return CREW_DONE;
}

static int pay(unsigned jobs, uint64_t limit, unsigned skip,
	       const struct mr_watch *watch, struct mr_error *err)
{
	static const uint64_t length = 40 * EXTENT;
	const struct crew_plan plan = { .extent_size = EXTENT,
					.lengths = &length,
					.blocks = 1,
					.jobs = jobs,
					.limit = limit,
					.step = pay_step,
					.arg = &skip,
					.watch = watch };

	still_clock = true;
	slept_most = 0;
	return crew_run(&plan, err);
}

static void a_limit(void **state)
{
	(void)state;
	assert_int_equal(pay(1, 0, 0, NULL, NULL), 0);
	assert_true(slept_most == 0);
	/* The last one is not waited for. */
	assert_int_equal(pay(1, EXTENT, 0, NULL, NULL), 0);
	assert_in_range((uint64_t)(slept_most * 1000), 38990, 39010);
	assert_int_equal(pay(1, 10 * EXTENT, 0, NULL, NULL), 0);
	assert_in_range((uint64_t)(slept_most * 1000), 3890, 3910);
	/* What moves nothing costs nothing. */
	assert_int_equal(pay(1, EXTENT, 1, NULL, NULL), 0);
	assert_true(slept_most == 0);
	assert_int_equal(pay(1, EXTENT, 2, NULL, NULL), 0);
	assert_in_range((uint64_t)(slept_most * 1000), 18000, 20010);
	/* Of four each has a quarter; who does more of it sleeps longer. */
	assert_int_equal(pay(4, EXTENT, 0, NULL, NULL), 0);
	assert_in_range((uint64_t)(slept_most * 1000), 35000, 160010);
}

static void a_limit_does_not_hold_up_a_cancel(void **state)
{
	atomic_bool cancel = false;
	struct mr_watch watch = { .cancel = &cancel };
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	raise_asleep = &cancel;
	assert_int_equal(pay(1, 1, 0, &watch, &err), -1);
	assert_int_equal(err.code, MR_CANCELLED);
}

static void default_jobs(void **state)
{
	(void)state;
	assert_in_range(crew_default_jobs(), 1, 8);
}

static int setup(void **state)
{
	content = malloc(COPY_SIZE);
	if (!content || folder_setup(state))
		return -1;
	fill_random(content, COPY_SIZE, 31);
	return 0;
}

static int teardown(void **state)
{
	free(content);
	return folder_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_join_neighbours),
		cmocka_unit_test(runs_as_plain),
		cmocka_unit_test(runs_fit_a_slot),
		cmocka_unit_test_setup(every_extent_once, reset),
		cmocka_unit_test_setup(threads_that_do_not_start, reset),
		cmocka_unit_test_setup(stages, reset),
		cmocka_unit_test_setup(spare_buffers_go_first, reset),
		cmocka_unit_test_setup(leavers, reset),
		cmocka_unit_test_setup(first_error_wins, reset),
		cmocka_unit_test_setup(one_failure_stops_all, reset),
		cmocka_unit_test_setup(failed_transfer, reset),
		cmocka_unit_test_setup(earlier_error_stays, reset),
		cmocka_unit_test_setup(lost_completions, reset),
		cmocka_unit_test_setup(lost_for_good, reset),
		cmocka_unit_test_setup(cancelled, reset),
		cmocka_unit_test_setup(no_thread_at_all, reset),
		cmocka_unit_test_setup(no_memory, reset),
		cmocka_unit_test_setup(a_limit, reset),
		cmocka_unit_test_setup(a_limit_does_not_hold_up_a_cancel,
				       reset),
		cmocka_unit_test(default_jobs),
	};

	return cmocka_run_group_tests_name("crew", tests, setup, teardown);
}
