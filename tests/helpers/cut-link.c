/*
 * cut-link.c - stands between the two ends of a connection, and cuts it.
 *
 *   cut-link HERE THERE to|back BYTES
 *
 * Listens at the unix socket HERE and leads each connection to the one at
 * THERE. When so many bytes have gone to THERE, or have come back, of all
 * connections, all of them are cut at once, between two bytes, and it ends.
 * Ends too when all are closed; before that says "ready" when it listens.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINKS = 64 };

/* Two ends each: even ones are those that connected here. */
static int ends[2 * LINKS];
static size_t n_ends, open_ends;
static uint64_t left;
static bool counts_back;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	return a;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, LINKS))
		die(path);
	return fd;
}

static void lead(int listener, const char *there)
{
	struct sockaddr_un a = address(there);
	int from = accept(listener, NULL, NULL);
	int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (from < 0 || to < 0 || n_ends == 2 * (size_t)LINKS)
		die("accept");
	if (connect(to, (struct sockaddr *)&a, sizeof(a))) {
		(void)close(from);
		(void)close(to);
		return;
	}
	ends[n_ends++] = from;
	ends[n_ends++] = to;
	open_ends += 2;
}

static bool give(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

/* Both ends: what is under way is lost. */
static void drop(size_t i)
{
	for (size_t k = i & ~(size_t)1; k <= (i | 1); k++) {
		(void)close(ends[k]);
		ends[k] = -1;
	}
	open_ends -= 2;
}

/* False: it is to be cut now. */
static bool pass(size_t i)
{
	static char buf[64 << 10];
	bool counts = (i & 1) == counts_back;
	ssize_t n = recv(ends[i], buf, sizeof(buf), 0);

	if (n > 0 && counts && (uint64_t)n >= left) {
		(void)give(ends[i ^ 1], buf, (size_t)left);
		return false;
	}
	if (n > 0 && counts)
		left -= (uint64_t)n;
	if (n <= 0 || !give(ends[i ^ 1], buf, (size_t)n))
		drop(i);
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2 * LINKS + 1];
	int listener;

	if (argc != 5)
		return 2;
	counts_back = !strcmp(argv[3], "back");
	left = strtoull(argv[4], NULL, 10);
	listener = listen_at(argv[1]);
	(void)puts("ready");
	(void)fflush(stdout);
	do {
		size_t n = n_ends;

		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = ends[i],
						  .events = POLLIN };
		fds[n] = (struct pollfd){ .fd = listener, .events = POLLIN };
		if (poll(fds, n + 1, -1) < 0)
			die("poll");
		if (fds[n].revents)
			lead(listener, argv[2]);
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents && ends[i] >= 0 && !pass(i))
				return 0;
	} while (!n_ends || open_ends);
	return 0;
}
