/*
 * target.h - a file that content goes to: one that is there, in place; or a
 * new one, which appears whole or not at all (output.h).
 *
 * In place: never truncated to nothing or replaced, as somebody may have it
 * mapped, and locked against other tools.
 */
#ifndef LIBMR_TARGET_H
#define LIBMR_TARGET_H

#include "libmr/file/output.h"

struct target {
	struct file *file; /* to write through: that of the two in use */
	struct file old; /* one that existed */
	struct output out; /* a new one */
	bool existed;
	bool shm; /* on tmpfs: direct I/O is the page cache by another name */
	bool punch; /* from target_size: holes can be made */
};

#define TARGET_NONE                                     \
	{                                               \
		.old = FILE_CLOSED, .out = OUTPUT_NONE, \
	}

/* t is TARGET_NONE. Nothing of the file is changed, nor locked. To be
 * discarded, after a failure too. */
int target_open(struct target *t, const char *path, enum mr_direct direct,
		struct mr_error *err);

/* Whether the two are one file, by device and inode. */
bool target_is(const struct target *t, const struct file *file);

/* For as long as it is open. MR_REFUSED: somebody else has the lock. */
int target_lock(struct target *t, struct mr_error *err);

/* Gives it its size; the first 4 KiB of one that existed may become a hole,
 * in any case they are to be written. */
int target_size(struct target *t, uint64_t size, struct mr_error *err);

/* Makes it durable, and names what is new. */
int target_publish(struct target *t, struct mr_error *err);

/* Closes it; nothing stays of a new one that was not published. */
void target_discard(struct target *t);

#endif
