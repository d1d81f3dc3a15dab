/*
 * gate.h - where a path leads: a folder, held open, and a name in it.
 *
 * All that we write goes through here. Symlinks are followed by hand, so that
 * none of another user's is in a folder where everybody may leave one, and
 * what was looked at is what is used.
 */
#ifndef LIBMR_GATE_H
#define LIBMR_GATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmr/mr.h"

struct gate {
	int dir; /* the folder, to be read */
	char *name; /* in it; no symlink, and may be free */
	bool linked; /* the path's own last name was a symlink */
};
#define GATE_NONE         \
	{                 \
		.dir = -1 \
	}

/*
 * As open(2) would, with fs.protected_symlinks whatever the system's setting
 * is: a symlink in a sticky folder that all may write to is followed only if
 * it is ours or the folder's owner's. Fails, with nothing to release, where
 * the folder is not there, or the path is no name of a file.
 */
int gate_find(struct gate *p, const char *path, struct mr_error *err);
void gate_release(struct gate *p); /* may be GATE_NONE */

/* What may be replaced by a file of ours, besides nothing. */
enum gate_rule {
	GATE_IMAGE, /* an empty file, an image: ours, QEMU's, libvirt's; a pack
		     */
	GATE_DRAWING, /* an empty file, an SVG */
	GATE_TOUCHED, /* an empty file, a record of touched pages */
	GATE_ANY_FILE,
};

struct gate_found {
	bool exists;
	dev_t dev; /* of the file, if so */
	ino_t ino;
};

/*
 * What has the name now. Whatever is no regular file is MR_UNSUPPORTED: a
 * rename would lose it, or be refused after the work was done. A file that the
 * rule does not let go is MR_REFUSED.
 */
int gate_look(const struct gate *p, enum gate_rule rule,
	      struct gate_found *found, struct mr_error *err);

/* Opens the regular file that has the name, to read and write. -1 with errno
 * ENOENT and *err empty: nothing has it. */
int gate_open(const struct gate *p, struct mr_error *err);

#endif
