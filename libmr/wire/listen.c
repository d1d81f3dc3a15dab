/* listen.c - sockets that sources connect to. */
#include "libmr/wire/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/multifd.h"
#include "libmr/base/error.h"
#include "libmr/wire/address.h"

/* All channels that there can be, and the main connection: nobody waits. */
#define BACKLOG (MULTIFD_CHANNELS_MAX + 1)

/* Where it listens: of port 0 the one that it became. */
static void say_tcp(struct listener *l)
{
	char host[INET6_ADDRSTRLEN] = "", port[8] = "";
	struct sockaddr_storage is = { 0 };
	socklen_t n = sizeof(is);

	(void)getsockname(l->fd, (struct sockaddr *)&is, &n);
	(void)getnameinfo((struct sockaddr *)&is, n, host, sizeof(host), port,
			  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(l->where, sizeof(l->where),
		       is.ss_family == AF_INET6 ? "tcp:[%s]:%s" : "tcp:%s:%s",
		       host, port);
}

/* A socket that nobody listens to any more. Who does is not to be connected to:
 * a QEMU that waits takes nobody else. To a socket of another kind he is there,
 * and cannot be reached (EPROTOTYPE). */
static bool is_stale(const struct sockaddr_un *to)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	bool stale;

	if (fd < 0)
		return false;
	stale = !lstat(to->sun_path, &st) && S_ISSOCK(st.st_mode) &&
		connect(fd, (const struct sockaddr *)to, sizeof(*to)) &&
		errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

static void remember_path(struct listener *l, const struct sockaddr_un *to)
{
	struct stat st;

	l->path = strdup(to->sun_path);
	if (l->path && !lstat(l->path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
}

static int open_socket(struct listener *l, const struct address *a,
		       struct mr_error *err)
{
	const struct address_one *at = &a->all[0];
	const struct sockaddr_un *to = (const void *)&at->sa;
	sa_family_t family = at->sa.ss_family;
	bool is_unix = family == AF_UNIX;
	int on = 1;

	l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	/* Before it has a name: at no time can another user connect. */
	if (is_unix && fchmod(l->fd, 0600))
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (is_unix && is_stale(to))
		(void)unlink(to->sun_path);
	if (!is_unix)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on,
				 sizeof(on));
	if (bind(l->fd, (const struct sockaddr *)&at->sa, at->len))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	if (is_unix)
		remember_path(l, to);
	if (listen(l->fd, BACKLOG))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	if (family == AF_INET || family == AF_INET6)
		say_tcp(l);
	return 0;
}

/* What was handed to us listens, or is the stream itself. */
static int open_fd(struct listener *l, int fd, struct mr_error *err)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (l->fd < 0)
		return error_sys(err, MR_NO_OFFSET, "no such descriptor");
	l->stream =
		getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) ||
		!listens;
	if (!l->stream)
		(void)fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
	return 0;
}

int listener_open(struct listener *l, const char *uri, struct mr_error *err)
{
	struct address a;

	if (address_parse(&a, uri, err))
		return -1;
	(void)snprintf(l->where, sizeof(l->where), "%s", uri);
	return a.fd >= 0 ? open_fd(l, a.fd, err) : open_socket(l, &a, err);
}

void listener_close(struct listener *l)
{
	struct stat st;

	if (l->fd >= 0)
		(void)close(l->fd);
	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		(void)unlink(l->path);
	free(l->path);
	*l = (struct listener)LISTENER_NONE;
}

int listener_accept(struct listener *l, int *fd, struct mr_error *err)
{
	for (;;) {
		*fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (*fd >= 0)
			return 1;
		/* Who has come waits until somebody has gone. */
		if (errno == EAGAIN || errno == EMFILE || errno == ENFILE)
			return 0;
		if (errno != EINTR && errno != ECONNABORTED)
			return error_sys(err, MR_NO_OFFSET, "no connection");
	}
}
