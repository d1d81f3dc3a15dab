/*
 * pour.h - pages as they come, into a sink: one thread's.
 *
 * Pages that follow each other are put together, those that are zero counted
 * as zero whatever the source calls them. What was poured is in the sink's
 * hands after pour_end; until then who pours may pour the same page again.
 */
#ifndef LIBMR_POUR_H
#define LIBMR_POUR_H

#include <pthread.h>
#include <stdbool.h>

#include "libmr/memory/sink.h"

/* What follows each other: pages in buf, or zeros. */
struct pour_run {
	size_t block, pages;
	uint64_t offset;
	bool zeros;
	unsigned char *buf; /* ours, for so many pages as there can be */
};

/* Runs at a time: one that is filled, the others under way. */
#define POUR_RUNS 4

struct pour {
	struct sink *to;
	const struct memory *m; /* its blocks */
	struct memory_tally tally; /* after pour_end or pour_stop */
	/* The caller's, of all who pour into a sink; bytes of pages that are
	 * there. May be NULL. */
	void (*done)(void *arg, uint64_t bytes);
	void *arg;
	struct pour_run runs[POUR_RUNS];
	/* With a thread of its own runs are put while more is poured, one
	 * after the other. */
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned fill; /* the run that is being filled: who pours has it */
	unsigned first, n; /* those under way, which come before that */
	bool stop;
	struct mr_error why; /* of the first that failed */
};

/* threaded: it has a thread. MR_NOMEM. */
int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      bool threaded, struct mr_error *err);
/* Nothing is put any more. */
void pour_stop(struct pour *p);
void pour_release(struct pour *p);

/* n pages that lie side by side at bytes, which is page-aligned and may be
 * changed. */
int pour_pages(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err);

/* A place for one page, to be filled at once; NULL: *err. */
unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err);
int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err);

/* Puts what is held back, and waits for what is under way. */
int pour_end(struct pour *p, struct mr_error *err);

#endif
