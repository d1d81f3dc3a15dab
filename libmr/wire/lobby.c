/* lobby.c - who is who, by the first four bytes. */
#include "libmr/wire/lobby.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/bytes.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"

/* Milliseconds that somebody has to say what he is, if others wait for that. */
#define PATIENCE 5000u
/* How often who waits looks up, in milliseconds. */
#define LOOK_UP 100

enum speaks { NOTHING_YET, STREAM, CHANNEL, GONE };

static void tell(const struct lobby *b, const char *line)
{
	if (b->tell)
		b->tell(b->arg, line);
}

static void tell_magic(const struct lobby *b, uint32_t magic)
{
	char line[80];

	(void)snprintf(line, sizeof(line),
		       "turned away a connection that is no migration: it "
		       "begins with 0x%08" PRIx32,
		       magic);
	tell(b, line);
}

static enum speaks listen_to(const struct lobby *b, struct lobby_guest *g)
{
	uint8_t buf[MULTIFD_INIT_SIZE] = { 0 };
	ssize_t n = recv(g->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	uint32_t magic = get_be32(buf);
	struct multifd_init init;
	struct fault f;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NOTHING_YET;
	if (n <= 0)
		return GONE;
	if (n < 4)
		return NOTHING_YET;
	if (magic == STREAM_MAGIC)
		return STREAM;
	if (magic == MULTIFD_MAGIC && n < MULTIFD_INIT_SIZE)
		return NOTHING_YET;
	if (magic == MULTIFD_MAGIC &&
	    multifd_init_decode(buf, sizeof(buf), &init, &f) > 0) {
		memcpy(g->uuid, init.uuid, sizeof(g->uuid));
		return CHANNEL;
	}
	if (magic >> 16 == 0x1603)
		tell(b, "turned away a connection that begins with TLS: clear "
			"the source's tls-creds, and let ssh carry the stream");
	else
		tell_magic(b, magic);
	return GONE;
}

static int take(struct lobby *b, size_t i)
{
	int fd = b->guests[i].fd;

	b->guests[i] = b->guests[--b->n];
	return fd;
}

static void turn_away(struct lobby *b, size_t i)
{
	(void)close(take(b, i));
}

static uint64_t now(void)
{
	return (uint64_t)(watch_clock() * 1000);
}

/* Who has been here longest without being of use. */
static void make_room(struct lobby *b)
{
	size_t oldest = 0;

	for (size_t i = 1; i < b->n; i++)
		if (b->guests[oldest].is_channel ||
		    (!b->guests[i].is_channel &&
		     b->guests[i].since < b->guests[oldest].since))
			oldest = i;
	turn_away(b, oldest);
}

/* All who have come. 0 or -1. */
static int let_in(struct lobby *b, struct mr_error *err)
{
	int fd, rc = 0;

	while (b->n < LOBBY_MAX &&
	       (rc = listener_accept(&b->listener, &fd, err)) > 0)
		b->guests[b->n++] =
			(struct lobby_guest){ .fd = fd, .since = now() };
	return rc < 0 ? -1 : 0;
}

/* Looks at each; *main becomes the number of the first that is the stream's. */
static void ask_all(struct lobby *b, size_t *main)
{
	for (size_t i = 0; i < b->n;) {
		struct lobby_guest *g = &b->guests[i];
		enum speaks what = g->is_channel ? CHANNEL : listen_to(b, g);

		g->is_channel = what == CHANNEL;
		if (what == STREAM) {
			*main = i;
			return;
		}
		if (what == GONE)
			turn_away(b, i);
		else
			i++;
	}
}

/* Until somebody comes or speaks, or it is time to look up. */
static int wait_for_all(struct lobby *b, struct mr_error *err)
{
	struct pollfd p[LOBBY_MAX + 1];
	bool part = false;
	nfds_t n = 0;

	if (b->n < LOBBY_MAX)
		p[n++] = (struct pollfd){ b->listener.fd, POLLIN, 0 };
	for (size_t i = 0; i < b->n; i++)
		if (!b->guests[i].is_channel)
			p[n++] = (struct pollfd){ b->guests[i].fd, POLLIN, 0 };
	if (poll(p, n, LOOK_UP) > 0) {
		/* One who has said a part of it is readable all the time. */
		for (nfds_t i = 0; i < n; i++)
			part |= p[i].revents && p[i].fd != b->listener.fd;
		if (part)
			(void)poll(NULL, 0, 1);
	}
	if (!wire_look_up(b->wire)) {
		b->late = false;
		return 0;
	}
	/* Who was stopped himself does not know who has come meanwhile. */
	if (errno == ETIMEDOUT && !b->late) {
		b->late = true;
		return 0;
	}
	(void)error_sys(err, MR_NO_OFFSET, "no migration");
	link_explain(b->wire, err);
	return -1;
}

int lobby_main(struct lobby *b, int *fd, struct mr_error *err)
{
	/* What was handed to us need not be a socket. */
	if (b->listener.stream) {
		*fd = b->listener.fd;
		b->listener.fd = -1;
		return 0;
	}
	for (;;) {
		size_t main = LOBBY_MAX;

		if (let_in(b, err))
			return -1;
		ask_all(b, &main);
		if (main < b->n) {
			*fd = take(b, main);
			return 0;
		}
		if (b->n == LOBBY_MAX)
			make_room(b);
		if (wait_for_all(b, err))
			return -1;
	}
}

/* Those who are still silent, and may be waited for; one who was for too long
 * is turned away. However many come, the wait has an end. */
static size_t silent(struct lobby *b)
{
	uint64_t at = now();
	size_t n = 0;

	for (size_t i = 0; i < b->n;) {
		if (!b->guests[i].is_channel &&
		    at - b->guests[i].since > PATIENCE) {
			tell(b, "turned away a connection that says nothing");
			turn_away(b, i);
			continue;
		}
		n += !b->guests[i].is_channel && at - b->asked <= PATIENCE;
		i++;
	}
	return n;
}

static bool find_channel(struct lobby *b, int *fd)
{
	for (size_t i = 0; i < b->n;) {
		const struct lobby_guest *g = &b->guests[i];

		if (!g->is_channel) {
			i++;
			continue;
		}
		if (!b->uuid || !memcmp(g->uuid, b->uuid, sizeof(g->uuid))) {
			*fd = take(b, i);
			return true;
		}
		tell(b, "turned away a channel of another VM: it has another "
			"UUID than the source");
		turn_away(b, i);
	}
	return false;
}

int lobby_channel(struct lobby *b, bool wait, int *fd, struct mr_error *err)
{
	if (b->listener.fd < 0)
		return 0;
	if (!b->asked)
		b->asked = now();
	for (;;) {
		size_t main = LOBBY_MAX;

		if (let_in(b, err))
			return -1;
		ask_all(b, &main);
		if (main < b->n) {
			tell(b, "turned away a second migration");
			turn_away(b, main);
		}
		if (find_channel(b, fd))
			return 1;
		if (!silent(b) && !wait)
			return 0;
		if (wait_for_all(b, err))
			return -1;
	}
}

void lobby_close(struct lobby *b)
{
	while (b->n)
		turn_away(b, 0);
	listener_close(&b->listener);
}
