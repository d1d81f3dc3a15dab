/*
 * crew.c - the engine's threads.
 *
 * Shared state is struct crew. Fixed before the threads start: plan, first,
 * total. Atomics: next, bytes, stop. Under lock: error, running, plan->leavers.
 *
 * A worker claims while it has a free slot, polls for what has finished
 * meanwhile, and only waits when every slot (or buffer) is in flight. On a
 * failure it stores the first error, and the others stop claiming; it leaves
 * when the kernel has none of its transfers left: nothing is freed under one.
 */
#include "libmr/engine/crew.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/base/zeros.h"
#include "libmr/engine/pace.h"

#define MAX_JOBS 8u
/* Extents in flight in all, and bytes of buffers: 8-16 MiB keep a disk busy,
 * more gains nothing. */
#define IN_FLIGHT 16u
#define BUFFERED ((size_t)16 << 20)
#define DEPTH 256u
/* A kernel context costs more than to move this much without. */
#define QUICK ((size_t)4 << 20)
/* A worker that waits for its pace looks up so often, in seconds. */
#define NAP 0.05

struct crew {
	const struct crew_plan *plan;
	uint64_t *first; /* number of each block's first extent; + the total */
	uint64_t total; /* bytes of all blocks */
	atomic_uint_fast64_t next;
	atomic_uint_fast64_t bytes;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct mr_error error;
	unsigned running;
};

/* A worker and what only its own thread touches. */
struct hand {
	struct crew_worker w;
	pthread_t thread;
	bool started;
	bool stuck; /* the kernel may still use the buffers */
	struct crew_slot *slots;
	unsigned nslots;
	unsigned *idle; /* stack of free slots */
	unsigned nidle;
	/* Stack of free buffers: those that were used last go first, the last
	 * ones perhaps never, and then there is no memory behind them. */
	unsigned char **spare;
	unsigned nspare;
	unsigned char *arena;
	size_t arena_len;
	size_t block; /* where the last claim fell: claims only go up */
	/* Its share of plan->limit: no lock, and what it does not use in the
	 * end is little. */
	struct pace pace;
};

unsigned crew_default_jobs(void)
{
	cpu_set_t set;
	unsigned n = 1;

	if (!sched_getaffinity(0, sizeof(set), &set))
		n = (unsigned)CPU_COUNT(&set);
	return n < 1 ? 1 : n > MAX_JOBS ? MAX_JOBS : n;
}

size_t crew_extent_size(uint64_t page_size)
{
	size_t bits = 64 * (size_t)page_size;

	return bits > (1u << 20) ? bits : 1u << 20;
}

/* Transfers that a slot can have at a time. */
static size_t ops_of(const struct crew_plan *p)
{
	size_t mib = p->extent_size >> 20;

	return CREW_OPS * (mib ? mib : 1);
}

/* A worker's sets of buffers: one for each slot, or as many as there is use
 * for. Without one a slot has to wait. */
static unsigned sets_of(const struct crew_plan *p, unsigned nslots)
{
	size_t all = BUFFERED / p->extent_size;
	unsigned n;

	if (!p->buffers || all >= IN_FLIGHT)
		return p->buffers ? nslots : 0;
	n = nslots * (unsigned)all / IN_FLIGHT;
	return n ? n : 1;
}

void *crew_arg(const struct crew_worker *w)
{
	return w->crew->plan->arg;
}

void crew_progress(struct crew_worker *w, uint64_t bytes)
{
	atomic_fetch_add_explicit(&w->crew->bytes, bytes, memory_order_relaxed);
}

void crew_pay(struct crew_worker *w, uint64_t bytes)
{
	/* w is the hand's first member */
	struct hand *h = (struct hand *)(void *)w;

	if (w->crew->plan->limit)
		pace_spend(&h->pace, bytes, watch_clock());
}

void crew_transfer(struct crew_worker *w, struct crew_slot *s,
		   struct file *file, void *buf, size_t length, uint64_t offset,
		   bool write)
{
	struct queue_op *op;

	assert(s->nops < ops_of(w->crew->plan));
	op = &s->ops[s->nops++];
	*op = (struct queue_op){ .file = file,
				 .buf = buf,
				 .length = length,
				 .offset = offset,
				 .write = write,
				 .own_error =
					 w->crew->plan->own_errors && !write,
				 .owner = s };
	s->pending++;
	crew_pay(w, length);
	queue_add(&w->queue, op);
}

size_t crew_runs(const uint64_t *bits, size_t pages, size_t page_size,
		 size_t gap,
		 void (*fn)(void *arg, size_t offset, size_t length), void *arg)
{
	size_t set = 0, from = 0, to = 0;

	for (size_t i = 0; i < pages; i++) {
		uint64_t word = bits[i >> 6] >> (i & 63);

		if (!word) {
			i |= 63; /* nothing more in this word */
			continue;
		}
		if (!(word & 1))
			continue;
		set++;
		if (to && i > to && (i - to) * page_size >= gap) {
			fn(arg, from * page_size, (to - from) * page_size);
			to = 0;
		}
		if (!to)
			from = i;
		to = i + 1;
	}
	if (to)
		fn(arg, from * page_size, (to - from) * page_size);
	return set;
}

static void stop_with(struct crew *c, const struct mr_error *err)
{
	(void)pthread_mutex_lock(&c->lock);
	if (c->error.code == MR_OK)
		c->error = *err;
	(void)pthread_mutex_unlock(&c->lock);
	atomic_store(&c->stop, true);
}

void crew_spare(struct crew_worker *w, struct crew_slot *s)
{
	/* w is the hand's first member */
	struct hand *h = (struct hand *)(void *)w;

	if (s->buf)
		h->spare[h->nspare++] = s->buf;
	s->buf = NULL;
}

static struct crew_slot *take_slot(struct hand *h)
{
	struct crew_slot *s = &h->slots[h->idle[--h->nidle]];

	s->nops = 0;
	s->stage = 0;
	if (h->w.crew->plan->buffers)
		s->buf = h->spare[--h->nspare];
	return s;
}

static void put_slot(struct hand *h, struct crew_slot *s)
{
	crew_spare(&h->w, s);
	h->idle[h->nidle++] = s->index;
}

static uint64_t length_of(const struct crew_plan *p, size_t block)
{
	size_t stride = p->stride ? p->stride : sizeof(*p->lengths);

	return *(const uint64_t *)(const void *)((const char *)p->lengths +
						 block * stride);
}

static bool is_left(const struct crew *c)
{
	return atomic_load(&c->next) < c->first[c->plan->blocks];
}

/* Until what it has moved is paid for, or all is to end. */
static void keep_pace(struct hand *h)
{
	const struct crew *c = h->w.crew;
	double wait;

	while (c->plan->limit && !atomic_load(&c->stop) && is_left(c) &&
	       (wait = pace_wait(&h->pace, watch_clock())) > 0) {
		struct timespec nap;

		nap.tv_sec = 0;
		nap.tv_nsec = 1 + (long)(1e9 * (wait < NAP ? wait : NAP));
		(void)nanosleep(&nap, NULL);
	}
}

enum claimed { CLAIMED, NOT_YET, NO_MORE };

/* wait: there is nothing else to do. */
static enum claimed claim(struct hand *h, struct crew_extent *e, bool wait)
{
	struct crew *c = h->w.crew;
	const struct crew_plan *p = c->plan;
	uint64_t n, left;

	keep_pace(h);
	n = atomic_load_explicit(&c->next, memory_order_relaxed);
	do {
		if (atomic_load_explicit(&c->stop, memory_order_relaxed) ||
		    n >= c->first[p->blocks])
			return NO_MORE;
		if (p->open && !p->open(p->arg, n, wait))
			return NOT_YET;
	} while (!atomic_compare_exchange_weak_explicit(&c->next, &n, n + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	while (n >= c->first[h->block + 1])
		h->block++;
	e->block = h->block;
	e->offset = (n - c->first[h->block]) * p->extent_size;
	left = length_of(p, h->block) - e->offset;
	e->length = left < p->extent_size ? (size_t)left : p->extent_size;
	return CLAIMED;
}

/* Runs the slot's state machine until it waits for a transfer or is idle. */
static int advance(struct hand *h, struct crew_slot *s, struct mr_error *err)
{
	while (!s->pending) {
		s->finished = s->nops;
		s->nops = 0;
		s->stage = h->w.crew->plan->step(&h->w, s, err);
		if (s->stage == CREW_FAILED)
			return -1;
		if (s->stage == CREW_DONE && !s->pending) {
			put_slot(h, s);
			return 0;
		}
	}
	return queue_flush(&h->w.queue, err);
}

/* Whether there is a slot, and what it needs, for another extent. */
static bool is_free(const struct hand *h)
{
	return h->nidle && (h->nspare || !h->w.crew->plan->buffers);
}

static int work(struct hand *h, struct mr_error *err)
{
	enum claimed last = CLAIMED;

	for (;;) {
		struct queue_op *op;
		struct crew_extent e;
		struct crew_slot *s;

		if (last != NO_MORE && is_free(h))
			last = claim(h, &e, !h->w.queue.added);
		if (last == CLAIMED && is_free(h)) {
			s = take_slot(h);
			s->extent = e;
			if (advance(h, s, err))
				return -1;
		}
		if (!h->w.queue.added) {
			if (last == NO_MORE)
				return 0;
			continue;
		}
		op = queue_reap(&h->w.queue, last != CLAIMED || !is_free(h),
				err);
		if (err->code != MR_OK)
			return -1;
		if (!op)
			continue;
		s = op->owner;
		if (--s->pending)
			continue;
		if (s->stage == CREW_DONE)
			put_slot(h, s);
		else if (advance(h, s, err))
			return -1;
	}
}

void crew_leavers_join(struct crew_leavers *l)
{
	while (l->n)
		(void)pthread_join(l->thread[--l->n], NULL);
}

static void *leave(void *ctx)
{
	(void)io_destroy(ctx);
	return NULL;
}

/* Gives back the context of a queue that has nothing left, in a thread of its
 * own; without one, queue_release does it. */
static void give_back(struct crew *c, struct queue *q)
{
	struct crew_leavers *l = c->plan->leavers;

	if (!l || !q->ctx || q->added || q->inflight)
		return;
	(void)pthread_mutex_lock(&c->lock);
	if (l->n < MR_JOBS_MAX &&
	    !pthread_create(&l->thread[l->n], NULL, leave, q->ctx)) {
		l->n++;
		q->ctx = NULL;
	}
	(void)pthread_mutex_unlock(&c->lock);
}

static void *worker_main(void *arg)
{
	struct hand *h = arg;
	struct crew *c = h->w.crew;
	struct mr_error err = MR_ERROR_INIT;

	if (work(h, &err)) {
		/* A step that failed without a word must not pass for done. */
		(void)error_set(&err, MR_SYS, MR_NO_OFFSET, "a worker failed");
		stop_with(c, &err);
	}
	give_back(c, &h->w.queue);
	h->stuck = queue_release(&h->w.queue) != 0;
	(void)pthread_mutex_lock(&c->lock);
	c->running--;
	(void)pthread_cond_signal(&c->done);
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* One arena per worker. */
static int make_arena(struct hand *h, const struct crew_plan *p,
		      struct mr_error *err)
{
	size_t each = p->buffers * p->extent_size;
	unsigned sets = sets_of(p, h->nslots);

	if (!sets)
		return 0;
	h->arena_len = sets * each;
	h->arena = zeros_new_huge(&h->arena_len);
	if (!h->arena)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for buffers");
	while (h->nspare < sets) {
		h->spare[h->nspare] = h->arena + h->nspare * each;
		h->nspare++;
	}
	return 0;
}

static int hand_init(struct hand *h, struct crew *c, unsigned index,
		     unsigned nslots, struct mr_error *err)
{
	const struct crew_plan *p = c->plan;

	h->w.crew = c;
	h->w.index = index;
	h->nslots = nslots;
	h->slots = calloc(nslots, sizeof(*h->slots));
	h->idle = calloc(nslots, sizeof(*h->idle));
	h->spare = calloc(nslots, sizeof(*h->spare));
	h->w.priv = calloc(1, p->worker_size + 1);
	if (!h->slots || !h->idle || !h->spare || !h->w.priv)
		goto nomem;
	for (unsigned i = 0; i < nslots; i++) {
		struct crew_slot *s = &h->slots[i];

		s->index = i;
		s->ops = calloc(ops_of(p), sizeof(*s->ops));
		s->priv = calloc(1, p->slot_size + 1);
		if (!s->ops || !s->priv)
			goto nomem;
		h->idle[h->nidle++] = nslots - 1 - i;
	}
	queue_init(&h->w.queue, DEPTH, p->eager ? 0 : QUICK);
	return make_arena(h, p, err);
nomem:
	return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory for a worker");
}

static void hand_release(struct hand *h)
{
	/* Rather lost memory than memory that changes in others' hands. */
	if (queue_release(&h->w.queue) || h->stuck)
		return;
	for (unsigned i = 0; h->slots && i < h->nslots; i++) {
		free(h->slots[i].ops);
		free(h->slots[i].priv);
	}
	zeros_free(h->arena, h->arena_len);
	free(h->slots);
	free(h->idle);
	free(h->spare);
	free(h->w.priv);
}

/* Hands from .. to - 1, none of which was started. */
static void release_hands(struct hand *hands, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		hand_release(&hands[i]);
		hands[i] = (struct hand){ .started = false };
	}
}

/* As many of them as there is memory for: fewer do the same. Half of those
 * leave the other half's to whatever else needs some. */
static int make_hands(struct hand *hands, unsigned *jobs, struct crew *c,
		      unsigned nslots)
{
	struct mr_error why = MR_ERROR_INIT;
	unsigned n = 0;

	while (n < *jobs && !hand_init(&hands[n], c, n, nslots, &why))
		n++;
	if (n < *jobs) {
		unsigned keep = (n + 1) / 2;

		release_hands(hands, keep, n + 1);
		*jobs = n = keep;
	}
	if (!n) {
		c->error = why;
		return -1;
	}
	/* They begin one after the other, not all at once. */
	for (unsigned i = 0; i < n; i++)
		pace_begin(&hands[i].pace, (double)c->plan->limit / n,
			   (double)c->plan->extent_size * i / n, watch_clock());
	return 0;
}

static int count_extents(struct crew *c, struct mr_error *err)
{
	const struct crew_plan *p = c->plan;

	c->first = calloc(p->blocks + 1, sizeof(*c->first));
	if (!c->first)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for %zu blocks", p->blocks);
	for (size_t i = 0; i < p->blocks; i++) {
		uint64_t length = length_of(p, i);

		c->first[i + 1] = c->first[i] + length / p->extent_size +
				  (length % p->extent_size != 0);
		c->total += length;
	}
	return 0;
}

static void report(struct crew *c)
{
	const struct mr_watch *w = c->plan->watch;

	if (w && w->progress)
		w->progress(w->arg, atomic_load(&c->bytes), c->total);
}

/* Passes a cancel on to the workers. */
static void heed_cancel(struct crew *c)
{
	const struct mr_watch *w = c->plan->watch;
	struct mr_error cancelled = MR_ERROR_INIT;

	if (!w || !w->cancel || !atomic_load(w->cancel) ||
	    atomic_load(&c->stop))
		return;
	(void)error_set(&cancelled, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
	stop_with(c, &cancelled);
}

/* The caller's thread: shows progress, passes on a cancel, waits. */
static void oversee(struct crew *c)
{
	(void)pthread_mutex_lock(&c->lock);
	while (c->running) {
		struct timespec at;

		(void)pthread_mutex_unlock(&c->lock);
		report(c);
		heed_cancel(c);
		(void)clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_nsec += 100000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
		(void)pthread_mutex_lock(&c->lock);
		if (c->running)
			(void)pthread_cond_timedwait(&c->done, &c->lock, &at);
	}
	(void)pthread_mutex_unlock(&c->lock);
}

static int start_one(struct crew *c, struct hand *h)
{
	int rc;

	(void)pthread_mutex_lock(&c->lock);
	c->running++;
	(void)pthread_mutex_unlock(&c->lock);
	rc = pthread_create(&h->thread, NULL, worker_main, h);
	h->started = rc == 0;
	if (rc) {
		(void)pthread_mutex_lock(&c->lock);
		c->running--;
		(void)pthread_mutex_unlock(&c->lock);
	}
	return rc;
}

/* Where not one starts, what the others have may be what it lacks. */
static void start(struct crew *c, struct hand *hands, unsigned *jobs)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned started = 0;
	int rc = 0;

	for (unsigned i = 0; i < *jobs; i++) {
		rc = start_one(c, &hands[i]);
		started += rc == 0;
	}
	if (!started) {
		release_hands(hands, 1, *jobs);
		*jobs = 1;
		rc = start_one(c, &hands[0]);
		started = rc == 0;
	}
	if (!started) {
		errno = rc;
		(void)error_sys(&err, MR_NO_OFFSET, "cannot start a thread");
		stop_with(c, &err);
	}
	if (c->plan->ran)
		*c->plan->ran = started;
}

static int crew_init(struct crew *c, const struct crew_plan *plan,
		     struct mr_error *err)
{
	pthread_condattr_t attr;

	*c = (struct crew){ .plan = plan, .error = MR_ERROR_INIT };
	if (count_extents(c, err))
		return -1;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->done, &attr);
	(void)pthread_condattr_destroy(&attr);
	return 0;
}

int crew_run(const struct crew_plan *plan, struct mr_error *err)
{
	unsigned jobs = plan->jobs ? plan->jobs : crew_default_jobs();
	unsigned nslots = jobs < IN_FLIGHT ? IN_FLIGHT / jobs : 1;
	struct hand *hands;
	struct crew c;
	int rc = -1;

	if (crew_init(&c, plan, err))
		return -1;
	/* Small work needs few hands: no thread without an extent. */
	if (c.first[plan->blocks] < jobs)
		jobs = c.first[plan->blocks] ? (unsigned)c.first[plan->blocks]
					     : 1;
	hands = calloc(jobs, sizeof(*hands));
	if (!hands) {
		(void)error_set(&c.error, MR_NOMEM, MR_NO_OFFSET,
				"no memory for %u workers", jobs);
		goto out;
	}
	if (make_hands(hands, &jobs, &c, nslots))
		goto out;
	heed_cancel(&c); /* before quick work could be done all the same */
	start(&c, hands, &jobs);
	oversee(&c);
	for (unsigned i = 0; i < jobs; i++)
		if (hands[i].started)
			(void)pthread_join(hands[i].thread, NULL);
	report(&c);
	for (unsigned i = 0; plan->finish && i < jobs; i++)
		plan->finish(&hands[i].w, plan->arg);
	rc = 0;
out:
	if (c.error.code != MR_OK) {
		if (err && err->code == MR_OK)
			*err = c.error;
		rc = -1;
	}
	for (unsigned i = 0; hands && i < jobs; i++)
		hand_release(&hands[i]);
	free(hands);
	(void)pthread_cond_destroy(&c.done);
	(void)pthread_mutex_destroy(&c.lock);
	free(c.first);
	return rc;
}
