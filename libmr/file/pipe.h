/*
 * pipe.h - a descriptor that takes or gives bytes one after the other: a pipe,
 * a socket, a terminal, or a file that somebody opened.
 *
 * Nobody waits in read(2) or write(2) itself, where a cancel would not be seen;
 * and whoever has the other end of a socket or a pipe is not asked to be
 * faster. The caller has SIGPIPE ignored.
 */
#ifndef LIBMR_PIPE_H
#define LIBMR_PIPE_H

#include "libmr/file/io.h"

struct pipe_io {
	struct io io; /* its offsets are where one is anyway */
	int fd; /* the caller's */
	bool file, socket;
	const struct mr_watch *watch;
};

/* watch may be NULL; if cancelled, both fail with ECANCELED. */
int pipe_init(struct pipe_io *p, int fd, const struct mr_watch *watch,
	      struct mr_error *err);

#endif
