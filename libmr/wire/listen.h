/*
 * listen.h - where a migration source connects to (address.h).
 *
 * A unix socket is made with mode 0600, and is gone afterwards. fd:N listens,
 * or is the stream itself.
 */
#ifndef LIBMR_LISTEN_H
#define LIBMR_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmr/wire/link.h"

struct listener {
	int fd; /* -1: closed */
	bool stream; /* fd is the one connection that there is */
	char *path; /* of a socket that we made, or NULL */
	dev_t dev;
	ino_t ino; /* and what it was then */
	char where[128]; /* as a source would call it */
};
#define LISTENER_NONE    \
	{                \
		.fd = -1 \
	}

int listener_open(struct listener *l, const char *uri, struct mr_error *err);
void listener_close(struct listener *l);

/* A connection that has come: 1, *fd is the caller's; 0: there is none now; or
 * -1. */
int listener_accept(struct listener *l, int *fd, struct mr_error *err);

#endif
