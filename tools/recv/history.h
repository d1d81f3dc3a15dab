/* history.h - mrrecv --history: a pack for each checkpoint, in a folder. */
#ifndef TOOLS_RECV_HISTORY_H
#define TOOLS_RECV_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

struct history {
	/* The user's. */
	const char *folder; /* NULL: there is none */
	const char *image;
	char *every; /* as it was given, or NULL */
	int keep; /* CLI_NOT_GIVEN: all of them */
	/* Its own. */
	double interval, next; /* seconds; of the monotonic clock */
	struct history_pack {
		char *path;
		bool full;
	} * packs; /* from the oldest one on */
	size_t n, room;
	bool fresh; /* the folder was made for this run */
	bool based; /* the newest is this run's: the next one goes on from it */
	bool failing; /* the last one could not be made: that was told */
	uint64_t made, failed;
};

/* Checks the options, and looks what is there. A status of the tool's. */
int history_begin(struct history *h);

/* For mr_recv_options.kept: arg is a history. What cannot be made is told, and
 * the image goes on without. */
int history_kept(void *arg, const struct mr_checkpoint *c,
		 struct mr_error *err);

void history_release(struct history *h);

#endif
