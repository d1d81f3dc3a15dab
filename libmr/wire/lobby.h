/*
 * lobby.h - connections until it is known what they are.
 *
 * Anybody who can reach an address may connect to it and say nothing, or
 * something else: that is told and forgotten, and keeps nobody waiting for more
 * than seconds. Who says what a channel of the migration would say is taken for
 * one: there is nothing to tell them apart by but the VM's UUID, if the
 * migration says it.
 */
#ifndef LIBMR_LOBBY_H
#define LIBMR_LOBBY_H

#include "formats/multifd.h"
#include "libmr/wire/listen.h"

/* All channels, the main connection, and some that are none of these. */
#define LOBBY_MAX (MULTIFD_CHANNELS_MAX + 16)

struct lobby {
	struct listener listener;
	struct wire *wire; /* the caller's */
	/* One line about a connection that is none of a migration's; may be
	 * NULL. */
	void (*tell)(void *arg, const char *line);
	void *arg;
	struct lobby_guest {
		int fd;
		bool is_channel; /* else it has not said yet */
		uint8_t uuid[16]; /* that a channel says */
		uint64_t since; /* milliseconds: when it came */
	} guests[LOBBY_MAX];
	size_t n;
	uint64_t asked; /* the same: when the first channel was; 0: not yet */
	/* 16 bytes of the caller's, known when the main connection is: channels
	 * of another VM are turned away. NULL: not known. */
	const uint8_t *uuid;
	bool late; /* the time is up: one more look */
};
#define LOBBY_NONE                        \
	{                                 \
		.listener = LISTENER_NONE \
	}

/* Waits for the connection that a migration begins on; *fd is the caller's. */
int lobby_main(struct lobby *b, int *fd, struct mr_error *err);

/* A channel: 1, *fd is the caller's; 0: there is none, now and soon; or -1. It
 * waits for one if it is to, and for those who have not said what they are. */
int lobby_channel(struct lobby *b, bool wait, int *fd, struct mr_error *err);

void lobby_close(struct lobby *b);

#endif
