/*
 * sluice.h - the sink of a stream that goes on: it leads where it is told.
 *
 * Into an image first, then into one delta after the other. In between it is
 * shut: who puts then waits. Channels of a source that is honest send nothing
 * then; what others send comes to no harm, nor to a place that is not for it.
 */
#ifndef LIBMR_SLUICE_H
#define LIBMR_SLUICE_H

#include <pthread.h>
#include <stdbool.h>

#include "libmr/checkpoint/delta.h"
#include "libmr/memory/sink.h"

enum sluice_state { SLUICE_IMAGE, SLUICE_SHUT, SLUICE_DELTA, SLUICE_OVER };

struct sluice {
	struct sink sink;
	struct sink *image; /* the caller's, until it is shut for the first
			     * time */
	/* A page as it was put last, before what is in the delta: the
	 * caller's. */
	int (*get)(void *arg, size_t block, uint64_t offset,
		   unsigned char *page, struct mr_error *err);
	void *arg;
	/* Its own. */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	enum sluice_state state;
	struct delta *delta;
	unsigned inside; /* threads that put */
	unsigned waiting; /* that are to put, and may not yet */
	bool puts; /* since the last barrier */
};

/* Open, into that image's sink. */
void sluice_init(struct sluice *s, struct sink *image);
void sluice_destroy(struct sluice *s);

/* Nobody puts when it returns. Whether somebody did since sluice_barrier. */
bool sluice_shut(struct sluice *s);
/* Whether somebody is to put while it is shut. */
bool sluice_waited(struct sluice *s);
/* All that was put before is in its place, and it may stay there. */
void sluice_barrier(struct sluice *s);
/* From now on into d. */
void sluice_open(struct sluice *s, struct delta *d);
/* Who waits fails, and all who come later. */
void sluice_over(struct sluice *s);

#endif
