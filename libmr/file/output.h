/*
 * output.h - a file that appears whole or not at all.
 *
 * The bytes go into a nameless file of the target's folder (O_TMPFILE; where
 * the file system has none, a hidden temporary name), mode 0600. Publishing
 * is fsync, rename over the target, fsync of the folder: at every instant and
 * after any crash the target is absent, the old file, or the complete new one.
 */
#ifndef LIBMR_OUTPUT_H
#define LIBMR_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/file/io.h"
#include "libmr/file/gate.h"
#include "libmr/mr.h"

struct output {
	struct file file; /* write through this */
	struct gate gate; /* the target's */
	enum gate_rule rule;
	struct gate_found found; /* what has its name */
	char *tmp; /* temporary name, or NULL while nameless */
};

#define OUTPUT_NONE                                    \
	{                                              \
		.file = FILE_CLOSED, .gate = GATE_NONE \
	}

/* What a target names, found without touching it. */
struct output_target {
	struct gate_found found;
	uint64_t room; /* bytes free in the file system, for us */
	uint64_t block; /* allocation unit of the file system, bytes */
};

/* Whether path could be an output: its folder is there and can be written,
 * and path is free or a file that the rule lets go. */
int output_look(const char *path, enum gate_rule rule, struct output_target *t,
		struct mr_error *err);

/* Refuses what output_look refuses about the name itself. */
int output_create(struct output *o, const char *path, enum gate_rule rule,
		  enum mr_direct direct, struct mr_error *err);

/* Sets the size before anything is written: writes inside a file are a good
 * deal faster than writes that grow it. Refuses what the file system's limits
 * do not allow. */
int output_resize(struct output *o, uint64_t size, struct mr_error *err);

/* Makes it durable, names it, closes it; the rule is asked once more. On
 * failure it is discarded and the
 * target is what it was; only when the very last step, the fsync of the
 * folder, fails is the new file there (but may not survive a crash). */
int output_publish(struct output *o, struct mr_error *err);

/*
 * The same, but only if the file that has the name is `was` (NULL: whatever the
 * rule lets go), and that is not gone: it has a hidden name then, *hidden,
 * which is the caller's, as is the descriptor of the new file, *fd. Another
 * one keeps its name: MR_REFUSED.
 */
int output_exchange(struct output *o, const struct gate_found *was,
		    char **hidden, int *fd, struct mr_error *err);
/* Such a file is output again, with all that is in it. Takes fd and hidden
 * over, on failure too. */
int output_reuse(struct output *o, const char *path, enum gate_rule rule,
		 enum mr_direct direct, int fd, char *hidden,
		 struct mr_error *err);
/* Whether nobody else has a file open, or mapped, and it has one name only:
 * then nobody minds what becomes of its bytes. Not to know is a no. */
bool output_is_free(int fd);
/* Removes hidden files beside path that some work left behind that was killed:
 * those that nobody has open. */
void output_sweep(const char *path);

/* Forgets the file if it was not published; nothing of it stays. o may be
 * OUTPUT_NONE or published. */
void output_discard(struct output *o);

#endif
