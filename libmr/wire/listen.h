/*
 * listen.h - where a migration source connects to.
 *
 *   tcp:HOST:PORT    HOST may be left out (127.0.0.1), or be [IPv6]
 *   unix:PATH        made with mode 0600, gone afterwards
 *   vsock:CID:PORT   CID may be left out (any)
 *   fd:N             a descriptor that the caller was given: a socket that
 *                    listens, or a stream as such
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

/* The next connection, for which it waits if it is to: 1, *fd is the caller's;
 * 0: there is none now; or -1. */
int listener_accept(struct listener *l, struct wire *w, bool wait, int *fd,
		    struct mr_error *err);

/* What a connection begins with. */
enum speaks { SPEAKS_STREAM, SPEAKS_CHANNEL };
/* 0; or -1: something else. Nothing is taken from it. */
int listener_classify(int fd, struct wire *w, enum speaks *what,
		      struct mr_error *err);

#endif
