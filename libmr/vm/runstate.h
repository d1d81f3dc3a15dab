/*
 * runstate.h - every run state that a QEMU can be in, and what it means here.
 *
 * "running": false does not mean that a VM stands still: a suspended one (S3)
 * is live for QEMU, and wakes up by itself. A state that is not in the table
 * is not known to stand still, cannot be saved and cannot be loaded.
 */
#ifndef LIBMR_RUNSTATE_H
#define LIBMR_RUNSTATE_H

#include <stdbool.h>

#include "libmr/mr.h"

enum runstate_hold {
	RUNSTATE_STOP, /* it lives: `stop` before, `cont` afterwards */
	RUNSTATE_STANDS, /* it stands still until somebody says `cont` */
	RUNSTATE_BUSY, /* QEMU is at work on it: hands off */
};

struct runstate {
	const char *name; /* as query-status says */
	enum runstate_hold hold;
	/* What an image of a VM in that state says, so that a QEMU loads it:
	 * mostly the same. NULL: there is none to be saved. */
	const char *image;
	/* A QEMU can load an image that says so: others make it abort, or are
	 * refused by it. */
	bool loadable;
	/* `migrate` works from it. */
	bool migrates;
	/* A guest that runs can get there by itself. */
	bool by_guest;
};

/* NULL: no QEMU that we know has such a state. */
const struct runstate *runstate_find(const char *name);
/* Whether a QEMU can begin in the state that an image says, which may say none
 * (""): QEMU aborts over some, refuses unknown ones when it has read
 * everything, and stays for ever in others. 0, or -1: MR_REFUSED. */
int runstate_check_saved(const char *saved, struct mr_error *err);
/* Whether a VM in that state can change by itself: also if it is unknown. */
bool runstate_is_live(const char *name);
/* The whole table; the last one's name is NULL. */
const struct runstate *runstate_all(void);

#endif
