/* state.h - what the parts of mr_recv share. */
#ifndef LIBMR_RECV_STATE_H
#define LIBMR_RECV_STATE_H

#include "libmr/checkpoint/sluice.h"
#include "libmr/memory/image_sink.h"
#include "libmr/mr.h"
#include "libmr/wire/intake.h"
#include "libmr/wire/lobby.h"

/* mr_error.who */
enum { RECV_URI = 1, RECV_IMAGE, RECV_CAPTURE };

struct recv {
	const char *path; /* of the image, or NULL */
	const struct mr_recv_options *options;
	struct mr_recv_report *report;
	struct lobby lobby;
	struct image_writer w;
	struct image_sink image;
	struct sluice sluice; /* with colo: before the image */
	struct sink *sink; /* the image's, the sluice's, or that of nothing */
	struct capture capture; /* made, or replayed */
	struct intake in;
	bool taking; /* in is to be released */
	bool went_on; /* a primary did: it waits for no last word */
};

/* The VM's UUID, if the stream or its channels say it; or NULL. */
const uint8_t *recv_uuid(const struct intake *in);

/* Into the report, when nobody puts anything: what the image is of. */
void recv_report(struct recv *x);
/* When nobody takes anything in either: what did come. */
void recv_tally(struct recv *x);
/* For intake.round_over: arg is a sluice. */
int recv_barrier(void *arg, uint64_t at);

/* The memory of the first migration has its last word: what came over two
 * connections too. */
int recv_settle(struct recv *x, struct mr_error *err);
/* A checkpoint into d, all of it or nothing: 1; 0: the source is gone; or
 * -1. */
int recv_take(struct recv *x, struct delta *d, struct mr_error *err);
/* Nobody says goodbye: the last checkpoint is what there is for this. */
bool recv_is_gone(const struct mr_error *err);

/* All of the first migration has come: publishes it, and what comes then, until
 * the source is gone. */
int recv_checkpoints(struct recv *x, struct mr_error *err);
/* The same out of a capture: in the image, which is not published, is the
 * checkpoint that is wanted. */
int recv_replayed(struct recv *x, struct mr_error *err);

#endif
