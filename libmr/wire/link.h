/*
 * link.h - a connection as bytes at a position (io.h), each once and in order.
 *
 * The connections of one stream are quiet together: one may have nothing to
 * say for a long time while others work. So a wait ends when nothing has come
 * on any of them for too long, when the caller cancels, or when somebody who
 * deals with another one has given up.
 */
#ifndef LIBMR_LINK_H
#define LIBMR_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "libmr/file/io.h"

/* What the links of a stream share. */
struct wire {
	unsigned limit; /* seconds of silence */
	const struct mr_watch *watch; /* the caller's */
	atomic_bool held; /* it is for us to speak: wire_hold */
	atomic_bool over; /* nobody is to wait any more: wire_end */
	int end; /* an eventfd that says the same */
	atomic_uint_fast64_t heard; /* milliseconds: when the last byte came */
	atomic_uint_fast64_t bytes; /* that have come, on all of them */
};

/* Who gets to see what a link reads, before its reader does. */
struct link_tee {
	/* No bytes: the connection has ended. -1 with errno: it fails. */
	int (*put)(struct link_tee *t, const void *bytes, size_t n);
	void *arg;
	int fd; /* the link's, closed with it */
	unsigned connection;
};

struct link {
	struct io io; /* a read goes on where the one before ended */
	int fd; /* the link's */
	int flags; /* of fd, as they were; -1: not known */
	struct wire *wire; /* the caller's */
	uint64_t at; /* bytes that were read */
	struct link_tee tee; /* without a put: nobody */
};

#define WIRE_NONE         \
	{                 \
		.end = -1 \
	}

/* Silence begins now. */
int wire_begin(struct wire *w, unsigned limit, const struct mr_watch *watch,
	       struct mr_error *err);
void wire_release(struct wire *w); /* w may be WIRE_NONE */

/* While the other end waits for us its silence means nothing; then it begins
 * anew. */
void wire_hold(struct wire *w, bool held);

/* Wakes all who wait. Whether it was over before. */
bool wire_end(struct wire *w);

/* Waits until fd is readable (or another of poll's events): 0; or -1 with
 * errno: ETIMEDOUT after too much silence, ECANCELED if it is over. */
int wire_wait(struct wire *w, int fd, short events);

/* Whether who waits is to go on: 0; or -1 with errno, as wire_wait. */
int wire_look_up(const struct wire *w);

/* Takes over fd: a socket, a pipe, a file. */
void link_init(struct link *l, int fd, struct wire *w);
/* All len bytes, to the other end; or all of n pieces, which are changed. */
int link_send(struct link *l, const void *buf, size_t len,
	      struct mr_error *err);
int link_send_pieces(struct link *l, struct iovec *pieces, size_t n,
		     struct mr_error *err);
/* What an error of a read means, for who waits: the silence, a cancel. */
void link_explain(const struct wire *w, struct mr_error *err);
void link_close(struct link *l);

#endif
