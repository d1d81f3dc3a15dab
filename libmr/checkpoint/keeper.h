/*
 * keeper.h - a thread that makes each checkpoint the image.
 *
 * It is behind the connection: what has come waits in a delta, at most one,
 * into which later ones are merged while the disk is at work. So there are
 * three: one that comes, one that waits, one that is written.
 */
#ifndef LIBMR_KEEPER_H
#define LIBMR_KEEPER_H

#include <pthread.h>
#include <stdbool.h>

#include "formats/stream.h"
#include "libmr/checkpoint/turns.h"
#include "libmr/memory/image_sink.h"
#include "libmr/wire/tail.h"

struct keeper {
	/* The caller's, before keeper_start. */
	struct turns turns; /* its caller's part */
	const struct memory *m; /* of the source: it has its blocks */
	const struct stream_config *config;
	const uint8_t *uuid; /* 16 bytes; NULL: not known */
	bool dated; /* what comes now is of now */
	const char *cache; /* folder of a file for pages; NULL: memory */
	/* Device state of the first migration: its description may fit that
	 * of others. */
	const struct tail *first;
	/* A checkpoint has become the image, with so many pages in it: from
	 * the keeper's thread, before who waits for it goes on. 0: the first
	 * migration. May be NULL. */
	int (*done)(void *arg, uint64_t number, uint64_t pages,
		    struct mr_error *err);
	/* It has failed, and nothing more is kept. */
	void (*failed)(void *arg);
	void *arg;

	/* What is found: under its lock, or after keeper_end. */
	uint64_t last; /* number of the checkpoint that is the image */
	uint64_t published; /* how many have been, without the first */
	uint64_t written; /* bytes handed to files for pages */
	uint64_t merged; /* that were merged into later ones */
	struct keeper_image { /* bytes of the last */
		uint64_t size, data, device;
	} is;
	char run_state[STREAM_RUNSTATE_SIZE]; /* of the last; "": not said */
	struct mr_error why; /* of the failure; MR_OK: none */

	/* Its own. */
	struct slots slots;
	struct delta deltas[3];
	struct delta *waiting, *working; /* NULL: none */
	struct sink *image; /* that of the first, not ended yet */
	struct image_writer *begin; /* and its writer; NULL: published */
	struct memory partial; /* m, as a base's; its blocks' places */
	int view; /* the image as it is, but for what is in deltas */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	pthread_t thread;
	bool running, over;
};
#define KEEPER_NONE                                                  \
	{                                                            \
		.turns = TURNS_NONE, .slots = SLOTS_NONE, .view = -1 \
	}

/* Ends the sink of an image whose writer is w, and publishes that as the first;
 * then what is given to it. Both outlive it. */
int keeper_start(struct keeper *k, struct sink *image, struct image_writer *w,
		 struct mr_error *err);

/* An empty delta, for what comes now. Not before the one before was given back
 * or kept. */
struct delta *keeper_delta(struct keeper *k);
/* It is whole: its number and device state are set. -1: the keeper has failed,
 * and *err says why. */
int keeper_keep(struct keeper *k, struct delta *d, struct mr_error *err);
/* Waits until all that was kept is on the disk: 0 or -1. */
int keeper_wait(struct keeper *k, struct mr_error *err);
/* A page as it was before what comes now: for xbzrle. */
int keeper_get(struct keeper *k, size_t block, uint64_t offset,
	       unsigned char *page, struct mr_error *err);

/* Keeps what waits, and ends: 0, or -1 if the keeper has failed. k may be
 * KEEPER_NONE. */
int keeper_end(struct keeper *k, struct mr_error *err);
void keeper_release(struct keeper *k);

#endif
