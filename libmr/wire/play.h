/*
 * play.h - an image, told as a migration.
 *
 * The order of use: plain_check, outlet_init with plain_config's (plain.h),
 * outlet_connect, play_run.
 */
#ifndef LIBMR_PLAY_H
#define LIBMR_PLAY_H

#include <stdint.h>

#include "libmr/mr.h"

struct memory;
struct outlet;

struct play {
	const struct mr_image *img;
	struct memory *m; /* img's; errors of the file are about m->who */
	struct outlet *out; /* connected */
	enum mr_direct direct; /* to read with */
	const struct mr_watch *watch;
	/* Bytes that were sent, on failure too: of pages, and of device state
	 * with its description. */
	uint64_t data, device;
};

/* All of it, until the other end says that it has loaded it. MR_QMP: it said
 * no, or broke off. */
int play_run(struct play *p, struct mr_error *err);

#endif
