/* address.c - from a migration's URI to a socket. */
#include "libmr/wire/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
/* after sys/socket.h */
#include <linux/vm_sockets.h>

#include "libmr/base/error.h"

/* Milliseconds until a socket whose queue is full is tried again. */
#define AGAIN 10

static int bad(struct mr_error *err, const char *what)
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

static void add(struct address *a, const void *sa, socklen_t len)
{
	struct address_one *one = &a->all[a->n++];

	memcpy(&one->sa, sa, len);
	one->len = len;
}

static int parse_tcp(struct address *a, const char *rest, struct mr_error *err)
{
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV };
	const char *colon = strrchr(rest, ':');
	size_t n = colon ? (size_t)(colon - rest) : 0;
	struct addrinfo *found = NULL;
	char host[256] = "127.0.0.1";
	int rc;

	if (!colon || number(colon + 1, 65535) < 0 || n >= sizeof(host))
		return bad(err, "no address and port");
	if (n) {
		memcpy(host, rest, n);
		host[n] = '\0';
	}
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	rc = getaddrinfo(host, colon + 1, &want, &found);
	if (rc)
		return error_set(err, MR_USAGE, MR_NO_OFFSET, "%.64s: %s", host,
				 gai_strerror(rc));
	for (const struct addrinfo *i = found; i && a->n < ADDRESS_MAX;
	     i = i->ai_next)
		add(a, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static int parse_unix(struct address *a, const char *path, struct mr_error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (!*path)
		return bad(err, "no path");
	if (strlen(path) >= sizeof(to.sun_path))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "the path of a socket has at most %zu bytes",
				 sizeof(to.sun_path) - 1);
	memcpy(to.sun_path, path, strlen(path));
	add(a, &to, sizeof(to));
	return 0;
}

static int parse_vsock(struct address *a, const char *rest,
		       struct mr_error *err)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK };
	const char *colon = strchr(rest, ':');
	size_t n = colon ? (size_t)(colon - rest) : 0;
	int64_t cid = (int64_t)VMADDR_CID_ANY, port;
	char text[16] = "";

	if (!colon || n >= sizeof(text))
		return bad(err, "no CID and port");
	memcpy(text, rest, n);
	if (n)
		cid = number(text, UINT32_MAX);
	port = number(colon + 1, UINT32_MAX);
	if (cid < 0 || port < 0)
		return bad(err, "no CID and port");
	to.svm_cid = (unsigned)cid;
	to.svm_port = (unsigned)port;
	add(a, &to, sizeof(to));
	return 0;
}

static int parse_fd(struct address *a, const char *rest, struct mr_error *err)
{
	int64_t fd = number(rest, INT32_MAX);

	if (fd < 0)
		return bad(err, "no descriptor");
	a->fd = (int)fd;
	return 0;
}

int address_parse(struct address *a, const char *uri, struct mr_error *err)
{
	static const struct {
		const char *scheme;
		int (*parse)(struct address *a, const char *rest,
			     struct mr_error *err);
	} kinds[] = { { "tcp:", parse_tcp },
		      { "unix:", parse_unix },
		      { "vsock:", parse_vsock },
		      { "fd:", parse_fd } };

	*a = (struct address){ .fd = -1 };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].scheme);

		if (!strncmp(uri, kinds[i].scheme, n))
			return kinds[i].parse(a, uri + n, err);
	}
	return bad(err, "no address");
}

/* 0, or -1 with errno. */
static int connect_it(int fd, const struct address_one *a, struct wire *w)
{
	int failed = 0;
	socklen_t n = sizeof(failed);

	while (connect(fd, (const struct sockaddr *)&a->sa, a->len)) {
		/* A unix socket whose queue is full. */
		if (errno == EAGAIN && !wire_look_up(w)) {
			(void)poll(NULL, 0, AGAIN);
			continue;
		}
		if (errno != EINPROGRESS || wire_wait(w, fd, POLLOUT))
			return -1;
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n);
		errno = failed;
		return failed ? -1 : 0;
	}
	return 0;
}

/* A descriptor, or -1 with errno. */
static int dial(const struct address_one *one, struct wire *w)
{
	int fd = socket(one->sa.ss_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int why;

	if (fd < 0 || !connect_it(fd, one, w))
		return fd;
	why = errno;
	(void)close(fd);
	errno = why;
	return -1;
}

int address_dial(const struct address *a, struct wire *w, int *fd,
		 struct mr_error *err)
{
	if (a->fd >= 0) {
		*fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
		return *fd >= 0 ? 0
				: error_sys(err, MR_NO_OFFSET,
					    "no such descriptor");
	}
	for (size_t i = 0; i < a->n; i++) {
		*fd = dial(&a->all[i], w);
		if (*fd >= 0)
			return 0;
		if (wire_look_up(w))
			break;
	}
	(void)error_sys(err, MR_NO_OFFSET, "cannot connect");
	/* The kernel gives up connections by itself, after times of its own. */
	if (wire_look_up(w))
		link_explain(w, err);
	return -1;
}
