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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
/* after sys/socket.h */
#include <linux/vm_sockets.h>

#include "formats/bytes.h"
#include "formats/multifd.h"
#include "formats/stream.h"
#include "libmr/base/error.h"

/* All channels that there can be, and the main connection: nobody waits. */
#define BACKLOG (MULTIFD_CHANNELS_MAX + 1)
/* Milliseconds until who has sent a part of four bytes is asked again. */
#define PEEK_AGAIN 10

static int bad_uri(struct mr_error *err, const char *what)
{
	return error_set(err, MR_USAGE, MR_NO_OFFSET,
			 "%s: tcp:HOST:PORT, unix:PATH, vsock:CID:PORT or fd:N "
			 "is expected",
			 what);
}

/* Decimal digits and no more, at most max; or -1. */
static int64_t number(const char *s, int64_t max)
{
	int64_t n = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || (n = n * 10 + (*s - '0')) > max)
			return -1;
	}
	return n;
}

static int new_socket(struct listener *l, int family, struct mr_error *err)
{
	l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return l->fd >= 0
		       ? 0
		       : error_sys(err, MR_NO_OFFSET, "cannot make a socket");
}

static int bind_it(struct listener *l, const struct sockaddr *to, socklen_t n,
		   struct mr_error *err)
{
	if (bind(l->fd, to, n) || listen(l->fd, BACKLOG))
		return error_sys(err, MR_NO_OFFSET, "cannot listen there");
	return 0;
}

/* ---- tcp ---- */

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

static int open_tcp(struct listener *l, const char *rest, struct mr_error *err)
{
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV };
	const char *colon = strrchr(rest, ':'), *port = colon + 1;
	struct addrinfo *found = NULL;
	char host[256] = "127.0.0.1";
	size_t n = colon ? (size_t)(colon - rest) : 0;
	int rc, on = 1;

	if (!colon || number(port, 65535) < 0 || n >= sizeof(host))
		return bad_uri(err, "no address and port");
	if (n) {
		memcpy(host, rest, n);
		host[n] = '\0';
	}
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	rc = getaddrinfo(host, port, &want, &found);
	if (rc)
		return error_set(err, MR_USAGE, MR_NO_OFFSET, "%.64s: %s", host,
				 gai_strerror(rc));
	rc = new_socket(l, found->ai_family, err);
	if (!rc)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on,
				 sizeof(on));
	if (!rc)
		rc = bind_it(l, found->ai_addr, found->ai_addrlen, err);
	if (!rc)
		say_tcp(l);
	freeaddrinfo(found);
	return rc;
}

/* ---- unix ---- */

/* A socket that nobody listens to any more. */
static bool is_stale(const struct sockaddr_un *to)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

static int open_unix(struct listener *l, const char *path, struct mr_error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct stat st;

	if (!*path || strlen(path) >= sizeof(to.sun_path))
		return bad_uri(err, *path ? "a socket's path has at most 107 "
					    "bytes"
					  : "no path");
	memcpy(to.sun_path, path, strlen(path));
	if (new_socket(l, AF_UNIX, err))
		return -1;
	/* Before it has a name: at no time can another user connect. */
	if (fchmod(l->fd, 0600))
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (is_stale(&to))
		(void)unlink(path);
	if (bind_it(l, (const struct sockaddr *)&to, sizeof(to), err))
		return -1;
	l->path = strdup(path);
	if (l->path && !lstat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	(void)snprintf(l->where, sizeof(l->where), "unix:%s", path);
	return 0;
}

/* ---- vsock, fd ---- */

static int open_vsock(struct listener *l, const char *rest,
		      struct mr_error *err)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY };
	const char *colon = strchr(rest, ':');
	int64_t cid = VMADDR_CID_ANY, port;
	char text[16];

	if (!colon || (size_t)(colon - rest) >= sizeof(text))
		return bad_uri(err, "no CID and port");
	memcpy(text, rest, (size_t)(colon - rest));
	text[colon - rest] = '\0';
	if (text[0])
		cid = number(text, UINT32_MAX);
	port = number(colon + 1, UINT32_MAX);
	if (cid < 0 || port < 0)
		return bad_uri(err, "no CID and port");
	to.svm_cid = (unsigned)cid;
	to.svm_port = (unsigned)port;
	(void)snprintf(l->where, sizeof(l->where), "vsock:%s", rest);
	return new_socket(l, AF_VSOCK, err) ||
			       bind_it(l, (const struct sockaddr *)&to,
				       sizeof(to), err)
		       ? -1
		       : 0;
}

static int open_fd(struct listener *l, const char *rest, struct mr_error *err)
{
	int64_t fd = number(rest, INT32_MAX);
	int listens = 0;
	socklen_t n = sizeof(listens);

	if (fd < 0)
		return bad_uri(err, "no descriptor");
	l->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	if (l->fd < 0)
		return error_sys(err, MR_NO_OFFSET, "no such descriptor");
	l->stream =
		getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) ||
		!listens;
	if (!l->stream)
		(void)fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
	(void)snprintf(l->where, sizeof(l->where), "fd:%" PRId64, fd);
	return 0;
}

int listener_open(struct listener *l, const char *uri, struct mr_error *err)
{
	static const struct {
		const char *scheme;
		int (*open)(struct listener *l, const char *rest,
			    struct mr_error *err);
	} kinds[] = { { "tcp:", open_tcp },
		      { "unix:", open_unix },
		      { "vsock:", open_vsock },
		      { "fd:", open_fd } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].scheme);

		if (!strncmp(uri, kinds[i].scheme, n))
			return kinds[i].open(l, uri + n, err);
	}
	return bad_uri(err, "no address");
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

int listener_accept(struct listener *l, struct wire *w, bool wait, int *fd,
		    struct mr_error *err)
{
	if (l->fd < 0)
		return wait ? error_set(err, MR_SHORT, MR_NO_OFFSET,
					"there is but one connection")
			    : 0;
	if (l->stream) {
		*fd = l->fd;
		l->fd = -1;
		return 1;
	}
	for (;;) {
		*fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (*fd >= 0)
			return 1;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			break;
		if (!wait)
			return 0;
		if (wire_wait(w, l->fd, POLLIN))
			break;
	}
	(void)error_sys(err, MR_NO_OFFSET, "no connection");
	link_explain(w, err);
	return -1;
}

int listener_classify(int fd, struct wire *w, enum speaks *what,
		      struct mr_error *err)
{
	uint8_t magic[4] = { 0 };
	ssize_t n = 0;

	while (n < 4) {
		if (wire_wait(w, fd, POLLIN)) {
			(void)error_sys(err, MR_NO_OFFSET, "cannot read");
			link_explain(w, err);
			return -1;
		}
		n = recv(fd, magic, sizeof(magic), MSG_PEEK | MSG_DONTWAIT);
		if (n == 0)
			return error_set(err, MR_SHORT, 0,
					 "a connection was closed again");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_sys(err, 0, "cannot read");
		if (n < 4)
			(void)poll(NULL, 0, PEEK_AGAIN);
	}
	*what = get_be32(magic) == STREAM_MAGIC ? SPEAKS_STREAM
						: SPEAKS_CHANNEL;
	if (get_be32(magic) == STREAM_MAGIC || get_be32(magic) == MULTIFD_MAGIC)
		return 0;
	if (magic[0] == 0x16 && magic[1] == 0x03)
		return error_set(err, MR_UNSUPPORTED, 0,
				 "the source begins with TLS: clear its "
				 "tls-creds, and let ssh carry the stream");
	return error_set(err, MR_FORMAT, 0,
			 "this is no migration: the connection begins with "
			 "0x%08" PRIx32,
			 get_be32(magic));
}
