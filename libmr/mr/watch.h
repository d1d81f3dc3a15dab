/* mr/watch.h - what every long verb takes. */
#ifndef LIBMR_MR_WATCH_H
#define LIBMR_MR_WATCH_H

#include <stdatomic.h>
#include <stdint.h>

#pragma GCC visibility push(default)

/* Worker threads, at most. */
#define MR_JOBS_MAX 64u

enum mr_direct {
	MR_DIRECT_AUTO, /* direct I/O where the file system gives it */
	MR_DIRECT_ON, /* fail rather than go through the page cache */
	MR_DIRECT_OFF,
};

/* How a verb talks to its caller while it runs. Start as { 0 }. */
struct mr_watch {
	/* Called now and then from one thread at a time; NULL: not wanted.
	 * done and total are bytes of memory dealt with. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* One line worth telling with -v: no newline. NULL: not wanted. */
	void (*note)(void *arg, const char *line);
	void *arg;
	/* Raised by a signal handler: the verb undoes its work and returns
	 * MR_CANCELLED. NULL: cannot be cancelled. */
	const atomic_bool *cancel;
};

#pragma GCC visibility pop

#endif
