/*
 * address.h - where a migration goes, or comes from.
 *
 *   tcp:HOST:PORT    HOST may be left out (127.0.0.1), or be [IPv6]
 *   unix:PATH
 *   vsock:CID:PORT   CID may be left out (any)
 *   fd:N             a descriptor that the caller was given
 */
#ifndef LIBMR_ADDRESS_H
#define LIBMR_ADDRESS_H

#include <sys/socket.h>

#include "libmr/wire/link.h"

/* A name may have several. */
#define ADDRESS_MAX 8

struct address {
	int fd; /* fd:N, still the caller's; else -1 */
	struct address_one {
		struct sockaddr_storage sa;
		socklen_t len;
	} all[ADDRESS_MAX];
	size_t n;
};

/* MR_USAGE: it is none. */
int address_parse(struct address *a, const char *uri, struct mr_error *err);

/* Connects to the first that answers, or takes a copy of fd:N; *fd is the
 * caller's. */
int address_dial(const struct address *a, struct wire *w, int *fd,
		 struct mr_error *err);

#endif
