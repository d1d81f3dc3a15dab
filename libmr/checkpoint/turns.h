/*
 * turns.h - an image that is one checkpoint after the other.
 *
 * What has the image's name is whole at every instant, and never written to:
 * the next checkpoint is made in another file, which then takes the name. Where
 * the file system shares blocks (reflink) that is a new one each time;
 * elsewhere the file of the checkpoint before the last is written anew in those
 * pages that have changed since. That is one which nobody reads any more, nor
 * keeps by another name, or a copy is made.
 */
#ifndef LIBMR_TURNS_H
#define LIBMR_TURNS_H

#include "libmr/checkpoint/delta.h"
#include "libmr/image/base.h"
#include "libmr/image/writer.h"

struct turns {
	/* The caller's. */
	const char *path;
	enum gate_rule rule;
	enum mr_direct direct;
	bool seal;
	/* Its own. */
	int current; /* what has the name; -1: nothing of ours yet */
	struct gate_found is;
	/* What had it before, under a hidden one in that folder; -1: no such
	 * file. */
	int spare, folder;
	char *hidden;
	/* Pages of each block that are not the same in it as in current. */
	struct turns_block {
		uint64_t pages, *differ;
	} * blocks;
	size_t n;
	/* One that is being made. */
	struct image_writer w;
	struct image_base base;
	bool shares; /* blocks, with current */
	uint64_t copies; /* that were made of all of it */
};
#define TURNS_NONE                                        \
	{                                                 \
		.current = -1, .spare = -1, .folder = -1, \
		.w = IMAGE_WRITER_NONE                    \
	}

/* Publishes w, which was finished, as the first. m has the blocks. */
int turns_first(struct turns *t, struct image_writer *w, const struct memory *m,
		struct mr_error *err);

/* Begins the next: t->w and t->base, ready for an image_sink. Pages that d has
 * are in it neither as they were, nor as they shall be. */
int turns_begin(struct turns *t, const struct delta *d, struct mr_error *err);
/* Publishes it: t->w was finished, and has what d says. */
int turns_publish(struct turns *t, const struct delta *d, struct mr_error *err);
/* Gives it up: what has the name keeps it. */
void turns_abandon(struct turns *t);

/* The image stays. t may be TURNS_NONE. */
void turns_release(struct turns *t);

#endif
