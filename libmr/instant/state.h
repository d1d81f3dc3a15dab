/*
 * state.h - what the parts of mr_instant share. Private to libmr/instant.
 */
#ifndef LIBMR_INSTANT_STATE_H
#define LIBMR_INSTANT_STATE_H

#include <sys/types.h>

#include "formats/touched.h"
#include "libmr/image/image.h"
#include "libmr/mr.h"
#include "libmr/vm/args.h"

/* mr_instant_open's arguments, as mr_error.who counts them. */
enum { INSTANT_IMAGE = 1, INSTANT_QEMU = 2, INSTANT_RECORD = 3 };

/* How a block's memory gets into the VM. */
enum place {
	PLACE_STUB, /* small, and not guest RAM: in the stream */
	PLACE_MAPPED,
	PLACE_FED, /* guest RAM that cannot be mapped: in the stream */
};

struct mr_instant {
	const struct mr_instant_options *options;
	struct mr_instant_report *report;
	struct mr_image *img;
	const struct mr_image_info *info; /* img's */
	struct qemu_args args;
	enum place *places; /* of each block */
	bool absent_zero; /* what the image lacks reads as zeros, it says */
	bool feeds; /* one is PLACE_FED */
	bool privileged; /* the program gets rights that we may not have */
	bool is_clone; /* another VM lives on the image */
	char path[32]; /* of fd */
	int fd; /* the image, locked; stays open over exec */
	int stub; /* the memory file, the same; -1: none */
};

/* Tells the caller a line (tell.c). */
void instant_say(const struct mr_instant *in, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- instant.c: children, which QEMU does not know ---- */

/* 1 in a process that is nobody's child, 0 in this one, or -1 with errno. */
int instant_fork(void);
/* There: keeps nothing but the image, without its lock, and keep (-1: none). */
void instant_stand_alone(struct mr_instant *in, int keep);

/* ---- record.c: the file of touched pages ---- */

struct record {
	uint32_t group_size;
	struct touched_run *runs; /* in blocks of the image; to be freed */
	size_t n;
};

/* 1: of this image; 0: of another; or -1. */
int instant_read_record(const struct mr_instant *in, struct record *r,
			struct mr_error *err);
/* In groups of TOUCHED_GROUP bytes. */
int instant_write_record(const struct mr_instant *in,
			 const struct touched_run *runs, size_t n,
			 struct mr_error *err);

/* ---- prefault.c, watcher.c: who reads, and who writes it ---- */

int instant_start_prefault(struct mr_instant *in, struct mr_error *err);
/* Whether there will be something to see, and a place for it. */
int instant_check_record(struct mr_instant *in, struct mr_error *err);
int instant_start_watcher(struct mr_instant *in, struct mr_error *err);

/* ---- qemu.c: the program ---- */

/* Its version without having it run, if it is a QEMU itself. MR_REFUSED: too
 * old, or no QEMU. */
int instant_look_qemu(struct mr_instant *in, struct mr_error *err);

/* ---- fit.c: does the command line fit the image? ---- */

/* Machine, CPUs, and what cannot be had this way; changes what has to be
 * changed for it. */
int instant_fit(struct mr_instant *in, struct mr_error *err);

/* ---- ram.c: guest RAM ---- */

/* Says where each block is to lie, and has the command line say so. */
int instant_place(struct mr_instant *in, struct mr_error *err);

/* ---- stub.c: all that is not mapped ---- */

/* Only finds how many pages of those that are mapped have to be named as zero
 * (report->stale); too many are refused, here as there. */
int instant_count_stale(struct mr_instant *in, struct mr_error *err);
/* Writes the stream to fd. */
int instant_write_stub(struct mr_instant *in, int fd, struct mr_error *err);

#endif
