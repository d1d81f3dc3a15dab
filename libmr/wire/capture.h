/*
 * capture.h - what a source sent, kept in a folder (formats/capture.md), and
 * read from there again.
 */
#ifndef LIBMR_CAPTURE_H
#define LIBMR_CAPTURE_H

#include <stdatomic.h>

#include "formats/capture.h"
#include "libmr/wire/link.h"

struct capture {
	int dir, index; /* -1: none */
	double since; /* seconds of the monotonic clock */
	atomic_int failed; /* errno of what could not be written; 0 */
};
#define CAPTURE_NONE                   \
	{                              \
		.dir = -1, .index = -1 \
	}

/* Makes the folder, which must not be there yet. */
int capture_create(struct capture *c, const char *path, struct mr_error *err);
/* What is read from the link goes into its file from now on; begins with n
 * bytes that have been read from it already. connection: as in the index. */
int capture_link(struct capture *c, struct link *l, unsigned connection,
		 const void *bytes, size_t n, struct mr_error *err);
/* All is on the disk. */
int capture_finish(struct capture *c, struct mr_error *err);
void capture_close(struct capture *c);

/* A folder that was made so, to be read. */
int capture_open(struct capture *c, const char *path, struct mr_error *err);
/* The file of a connection: a descriptor; -1 with errno: there is none. */
int capture_file(const struct capture *c, unsigned connection);

#endif
