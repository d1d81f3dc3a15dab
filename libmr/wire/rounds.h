/*
 * rounds.h - the barrier between the channels of a stream (multifd.md).
 *
 * The kth SYNC of every channel and the kth FLUSH of the main connection are
 * one point: nobody goes past it before all have come to it. So of the pages
 * that come for one place the last one stays.
 */
#ifndef LIBMR_ROUNDS_H
#define LIBMR_ROUNDS_H

#include <pthread.h>
#include <stdbool.h>

struct rounds {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned channels; /* the caller's */
	unsigned waiting; /* channels that have come to the next point */
	unsigned left; /* channels that will come to none any more */
	unsigned long passed; /* points that all have come to */
	bool over;
};

/* Of no channel: the caller sets how many there are, before there is one. */
void rounds_init(struct rounds *r);
void rounds_destroy(struct rounds *r);

/* A channel, or main, has come to its next point: waits for all others. False:
 * given up. The channels do not go on before main says so. */
bool rounds_sync(struct rounds *r);
bool rounds_flush(struct rounds *r);
void rounds_go_on(struct rounds *r);

/* A channel comes to no point any more: main has no next one. */
void rounds_leave(struct rounds *r);

/* Nobody waits any more, now and later. */
void rounds_give_up(struct rounds *r);

#endif
