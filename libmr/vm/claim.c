/* claim.c - a name in the abstract socket space. */
#include "libmr/vm/claim.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* For the guardian of a saver that was killed, and for a holder that has not
 * come to listen yet. */
#define TRIES 100
#define TRY_MS 50

struct holder {
	pid_t pid;
	uid_t uid;
};

/* When the process began, in ticks: 22nd of the fields of its stat, of which
 * the second is a name in brackets. 0: not to be seen. */
static unsigned long long start_time(pid_t pid)
{
	char path[64], text[1024];
	unsigned long long start = 0;
	size_t len;
	char *p;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	len = fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	text[len] = '\0';
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (p)
		start = strtoull(p, NULL, 10);
	return start;
}

static socklen_t name_of(pid_t pid, struct sockaddr_un *sa)
{
	int n;

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(sa->sun_path + 1, sizeof(sa->sun_path) - 1,
		     "mrtools/vm/%d/%llu", (int)pid, start_time(pid));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)n);
}

/* 1: *h has the name; 0: nobody; 2: somebody who does not listen; -1. */
static int see_holder(const struct sockaddr_un *sa, socklen_t len,
		      struct holder *h, struct mr_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int rc = -1;

	*h = (struct holder){ .uid = (uid_t)-1 };
	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (!connect(fd, (const struct sockaddr *)sa, len)) {
		rc = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size)
			     ? error_sys(err, MR_NO_OFFSET,
					 "cannot tell who works on this VM")
			     : 1;
		if (rc == 1)
			*h = (struct holder){ .pid = cred.pid,
					      .uid = cred.uid };
	} else if (errno == ECONNREFUSED) {
		rc = 0;
	} else if (errno == EAGAIN) {
		rc = 2; /* its queue is full: no saver lets that happen */
	} else {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot tell who works on this VM");
	}
	(void)close(fd);
	return rc;
}

/* Who could do something to this QEMU. */
static bool counts(const struct holder *h, pid_t pid)
{
	char path[64];
	struct stat st;

	if (h->uid == 0 || h->uid == geteuid())
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return !stat(path, &st) && st.st_uid == h->uid;
}

static int refuse(const struct holder *h, bool dead, struct mr_error *err)
{
	if (dead)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "process %d, which worked on this VM, has "
				 "ended, but its guardian (mr-guardian) is "
				 "still bringing the VM back",
				 (int)h->pid);
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "process %d of user %u is at work on this VM: wait "
			 "until it is done",
			 (int)h->pid, (unsigned)h->uid);
}

/* 0: taken; 1: somebody has it; -1. */
static int bind_name(struct claim *c, const struct sockaddr_un *sa,
		     socklen_t len, struct mr_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot make a socket");
	if (!bind(fd, (const struct sockaddr *)sa, len)) {
		(void)listen(fd, SOMAXCONN);
		c->fd = fd;
		return 0;
	}
	if (errno == EADDRINUSE) {
		(void)close(fd);
		return 1;
	}
	(void)error_sys(err, MR_NO_OFFSET, "cannot claim this VM");
	(void)close(fd);
	return -1;
}

int claim_take(struct claim *c, pid_t pid, bool look, struct mr_error *err)
{
	struct holder h = { .pid = 0 };
	struct sockaddr_un sa;
	bool dead = false;
	socklen_t len;

	*c = (struct claim)CLAIM_NONE;
	if (pid <= 0)
		return 0;
	len = name_of(pid, &sa);
	for (int i = 0; i < TRIES; i++) {
		int rc = look ? 1 : bind_name(c, &sa, len, err);

		if (rc <= 0)
			return rc;
		rc = see_holder(&sa, len, &h, err);
		if (rc < 0)
			return -1;
		if (rc == 0 && look)
			return 0;
		dead = h.pid && kill(h.pid, 0) && errno == ESRCH;
		if (rc == 1 && counts(&h, pid) && !dead)
			return refuse(&h, false, err);
		if (rc == 2 || (rc == 1 && !counts(&h, pid)))
			break;
		(void)poll(NULL, 0, TRY_MS);
	}
	if (dead && counts(&h, pid))
		return refuse(&h, true, err);
	c->stranger = h.pid ? h.pid : -1;
	return 0;
}

void claim_release(struct claim *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	*c = (struct claim)CLAIM_NONE;
}
