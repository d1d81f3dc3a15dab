/*
 * crew.h - worker threads over the extents of RAM blocks.
 *
 * A verb describes its work as a small state machine: step() is called once
 * when a slot has claimed an extent (stage 0), and again each time every
 * transfer that the last call added to the slot has finished. It returns the
 * next stage, or CREW_DONE. A slot has its own buffers, so a worker keeps
 * several extents in flight and never waits while it could work.
 *
 * Extents are claimed in order with one atomic; there is no lock on the way.
 * Whoever cannot bear that some are done long before others has plan->open.
 * They are a multiple of 64 pages (crew_extent_size), so that two workers
 * never share a word of a bitmap.
 */
#ifndef LIBMR_CREW_H
#define LIBMR_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"
#include "libmr/file/queue.h"

#define CREW_DONE (-1)
#define CREW_FAILED (-2) /* *err is filled */

struct crew_extent {
	size_t block; /* index into the plan's blocks */
	uint64_t offset; /* in the block, bytes; multiple of the extent size */
	size_t length; /* bytes; the block's last extent may be shorter */
};

struct crew_slot {
	struct crew_extent extent;
	unsigned char *buf; /* plan->buffers x extent size, page-aligned; or,
			     * after crew_spare, NULL */
	int stage;
	unsigned index; /* among the worker's slots, 0.. */

	size_t pending; /* transfers added and not finished */
	size_t nops; /* added by this call of step() */
	size_t finished; /* ... by the one before: ops[0 .. finished) */
	struct queue_op *ops; /* CREW_OPS of them for each MiB */
	void *priv; /* plan->slot_size bytes, zeroed at start */
};

/* Runs with gaps of at least CREW_GAP between them, in any extent: at most
 * 1 MiB / (1 KiB + 16 KiB) rounded up, for two files at once. */
#define CREW_OPS 128

struct crew_worker {
	struct crew *crew;
	struct queue queue;
	unsigned index; /* 0 .. jobs - 1 */
	void *priv; /* plan->worker_size bytes, zeroed at start */
};

/* Threads that give back the kernel contexts of a run. That takes tens of
 * milliseconds, in which the caller has other things to do. */
struct crew_leavers {
	pthread_t thread[MR_JOBS_MAX];
	unsigned n;
};
/* Waits for them; to be called once for each that is all zeros or was given
 * to crew_run. */
void crew_leavers_join(struct crew_leavers *l);

struct crew_plan {
	size_t extent_size; /* bytes */
	/* Bytes of each block: the first one's, and how far it is to the next
	 * one's; 0: they are one array. */
	const uint64_t *lengths;
	size_t stride;
	size_t blocks;
	unsigned buffers; /* extent-sized buffers per slot; 0 is fine */
	size_t worker_size; /* bytes of private state per worker */
	size_t slot_size; /* bytes of private state per slot */
	unsigned jobs; /* 0: CPUs we may run on, at most 8 */
	/* Bytes a second, at most, of all that is transferred and paid for
	 * (crew_pay); 0: no limit. Each worker has its share. */
	uint64_t limit;
	/* step() looks at the errors of its reads itself (queue_op.error): the
	 * first thing that it does, before it adds transfers. */
	bool own_errors;
	int (*step)(struct crew_worker *w, struct crew_slot *s,
		    struct mr_error *err);
	/* Whether the n-th extent of all blocks may be claimed now: then, and
	 * with each before it, at any time. wait: the worker has nothing else
	 * to do; it asks again after some tens of milliseconds at the latest.
	 * NULL: any may. */
	bool (*open)(void *arg, uint64_t n, bool wait);
	/* Called for each worker after all have been joined; may be NULL. */
	void (*finish)(struct crew_worker *w, void *arg);
	void *arg;
	const struct mr_watch *watch; /* may be NULL */
	/* Each worker asks for a kernel context before its first transfer, not
	 * only when it has moved more than a context costs: for tests. */
	bool eager;
	unsigned *ran; /* becomes the number of threads; may be NULL */
	/* The workers' contexts are given back behind the caller's back; NULL:
	 * before crew_run returns. */
	struct crew_leavers *leavers;
};

/* Runs the plan to its end, a failure or a cancel. Returns 0, or -1 with the
 * first failure in *err; either way no transfer is left, and no thread but
 * plan->leavers. */
int crew_run(const struct crew_plan *plan, struct mr_error *err);

/* From step(): a transfer on the slot's behalf. At most CREW_OPS per stage,
 * for each MiB of the extent size. */
void crew_transfer(struct crew_worker *w, struct crew_slot *s,
		   struct file *file, void *buf, size_t length, uint64_t offset,
		   bool write);

/* From step(): bytes that were moved without crew_transfer count towards
 * plan->limit, too. */
void crew_pay(struct crew_worker *w, uint64_t bytes);

/* From step(): this extent needs its buffers no more. */
void crew_spare(struct crew_worker *w, struct crew_slot *s);

/* From step(): counts bytes towards the sum of plan->lengths. */
void crew_progress(struct crew_worker *w, uint64_t bytes);

void *crew_arg(const struct crew_worker *w); /* plan->arg */

/* What jobs = 0 stands for: the CPUs this process may use, at most 8. */
unsigned crew_default_jobs(void);

/* 1 MiB, or 64 pages where that is more. page_size is a power of two. */
size_t crew_extent_size(uint64_t page_size);

/* Gaps between data below this many bytes are cheaper to transfer than to
 * skip (measured: 32 KiB and 4 KiB are both slower on mixed memory). */
#define CREW_GAP ((size_t)16 << 10)

/*
 * The runs of an extent: calls fn for each stretch of pages whose bits are
 * set, joined over gaps of fewer than gap bytes (0: over none, but pages side
 * by side are one stretch all the same). offset and length are bytes from the
 * start of the extent. Returns how many pages had their bit set.
 */
size_t crew_runs(const uint64_t *bits, size_t pages, size_t page_size,
		 size_t gap,
		 void (*fn)(void *arg, size_t offset, size_t length),
		 void *arg);

#endif
