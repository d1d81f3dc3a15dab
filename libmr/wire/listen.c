/* listen.c - sockets that sources connect to. */
#include "libmr/wire/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/multifd.h"
#include "libmr/base/error.h"
#include "libmr/wire/address.h"

/* All channels that there can be, and the main connection: nobody waits. */
#define BACKLOG (MULTIFD_CHANNELS_MAX + 1)
/* For somebody who has a folder locked: a start takes him no time. */
#define TRIES 100
#define TRY_MS 10

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

/*
 * Of those who begin at one moment in one folder each looks, removes what is
 * stale and makes his own while the others wait: else one would remove what
 * another has just made. A descriptor to be closed; or -1: it cannot be locked.
 */
static int lock_folder(const struct sockaddr_un *to)
{
	char folder[sizeof(to->sun_path) + 2];
	char *slash;
	int fd;

	(void)snprintf(folder, sizeof(folder), "./%s", to->sun_path);
	slash = strrchr(folder, '/');
	slash[1] = '\0';
	fd = open(to->sun_path[0] == '/' ? folder + 2 : folder,
		  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (errno == EWOULDBLOCK && i < TRIES) {
			(void)poll(NULL, 0, TRY_MS);
			continue;
		}
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* A name for the socket, with mode 0600 whatever the umask is, which is the
 * whole process's and stays as it is. */
static int bind_unix(struct listener *l, const struct sockaddr_un *to,
		     struct mr_error *err)
{
	const char *path = to->sun_path;
	struct stat st;

	/* Before it has a name: at no time can another user connect. */
	if (fchmod(l->fd, 0600))
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (bind(l->fd, (const struct sockaddr *)to, sizeof(*to)))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	l->path = strdup(path);
	if (!l->path || lstat(path, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	/* An umask may have taken from the owner too. */
	if ((st.st_mode & 07777) != 0600 &&
	    fchmodat(AT_FDCWD, path, 0600, AT_SYMLINK_NOFOLLOW))
		return error_sys(err, MR_NO_OFFSET, "cannot set mode 0600");
	return 0;
}

static int listen_unix(struct listener *l, const struct sockaddr_un *to,
		       struct mr_error *err)
{
	int lock = lock_folder(to), rc;

	if (lock >= 0 && is_stale(to))
		(void)unlink(to->sun_path);
	rc = bind_unix(l, to, err);
	if (!rc && listen(l->fd, BACKLOG))
		rc = error_sys(err, MR_NO_OFFSET, "cannot listen there");
	if (lock >= 0)
		(void)close(lock);
	return rc;
}

static int open_socket(struct listener *l, const struct address *a,
		       struct mr_error *err)
{
	const struct address_one *at = &a->all[0];
	sa_family_t family = at->sa.ss_family;
	int on = 1;

	l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (family == AF_UNIX)
		return listen_unix(l, (const void *)&at->sa, err);
	(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(l->fd, (const struct sockaddr *)&at->sa, at->len) ||
	    listen(l->fd, BACKLOG))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	if (family != AF_VSOCK)
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

	/* As long as it is open nobody else removes it, to put his own there.
	 */
	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		(void)unlink(l->path);
	if (l->fd >= 0)
		(void)close(l->fd);
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
