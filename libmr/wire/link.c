/* link.c - reading from a connection, with an end to every wait. */
#include "libmr/wire/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* How often who waits looks up, in milliseconds. */
#define LOOK_UP 200

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int wire_begin(struct wire *w, unsigned limit, const struct mr_watch *watch,
	       struct mr_error *err)
{
	w->end = eventfd(0, EFD_CLOEXEC);
	if (w->end < 0)
		return error_sys(err, MR_NO_OFFSET, "no eventfd");
	w->limit = limit;
	w->watch = watch;
	atomic_init(&w->over, false);
	atomic_init(&w->held, false);
	atomic_init(&w->heard, now());
	atomic_init(&w->bytes, 0);
	return 0;
}

void wire_hold(struct wire *w, bool held)
{
	atomic_store(&w->heard, now());
	atomic_store(&w->held, held);
}

void wire_release(struct wire *w)
{
	if (w->end >= 0)
		(void)close(w->end);
	w->end = -1;
}

bool wire_end(struct wire *w)
{
	const uint64_t one = 1;

	if (atomic_exchange(&w->over, true))
		return true;
	(void)!write(w->end, &one, sizeof(one));
	return false;
}

static bool cancelled(const struct wire *w)
{
	return w->watch && w->watch->cancel && atomic_load(w->watch->cancel);
}

int wire_look_up(const struct wire *w)
{
	uint64_t heard;
	bool held;

	if (atomic_load(&w->over) || cancelled(w)) {
		errno = ECANCELED;
		return -1;
	}
	/* Somebody may hear something meanwhile: now is asked for last. */
	held = atomic_load(&w->held);
	heard = atomic_load(&w->heard);
	if (!held && now() - heard >= (uint64_t)w->limit * 1000) {
		errno = ETIMEDOUT;
		return -1;
	}
	return 0;
}

int wire_wait(struct wire *w, int fd, short events)
{
	struct pollfd p[] = { { .fd = fd, .events = events },
			      { .fd = w->end, .events = POLLIN } };

	for (;;) {
		int n = poll(p, 2, LOOK_UP);

		if (n < 0 && errno != EINTR)
			return -1;
		/* Also where there is always something to be read. */
		if (n > 0 && p[0].revents && !atomic_load(&w->over) &&
		    !cancelled(w))
			return 0;
		if (wire_look_up(w))
			return -1;
	}
}

static ssize_t link_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct link *l = (struct link *)(void *)io;
	ssize_t n;

	assert(offset == l->at);
	do {
		if (wire_wait(l->wire, l->fd, POLLIN))
			return -1;
		n = read(l->fd, buf, len);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (n >= 0 && l->tee.put && l->tee.put(&l->tee, buf, (size_t)n))
		return -1;
	if (n <= 0)
		return n;
	l->at += (uint64_t)n;
	atomic_store(&l->wire->heard, now());
	atomic_fetch_add(&l->wire->bytes, (uint64_t)n);
	return n;
}

static const struct io_ops link_ops = { .name = "link", .read = link_read };

void link_init(struct link *l, int fd, struct wire *w)
{
	int flags = fcntl(fd, F_GETFL);

	*l = (struct link){ .io = { .ops = &link_ops, .size = UINT64_MAX },
			    .fd = fd,
			    .flags = flags,
			    .wire = w };
	/* Where that is not to be had poll does what it can. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* n bytes of the pieces have gone. */
static void gone(struct msghdr *m, size_t n)
{
	while (m->msg_iovlen && n >= m->msg_iov->iov_len) {
		n -= m->msg_iov->iov_len;
		m->msg_iov++;
		m->msg_iovlen--;
	}
	if (n) {
		m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + n;
		m->msg_iov->iov_len -= n;
	}
}

int link_send_pieces(struct link *l, struct iovec *pieces, size_t n,
		     struct mr_error *err)
{
	struct msghdr m = { .msg_iov = pieces, .msg_iovlen = n };

	gone(&m, 0);
	while (m.msg_iovlen) {
		ssize_t sent = sendmsg(l->fd, &m, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN &&
		    !wire_wait(l->wire, l->fd, POLLOUT))
			continue;
		if (sent < 0 && errno == ENOTSOCK)
			return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					 "this is no socket, and goes in one "
					 "direction only: switch the source's "
					 "return-path off");
		if (sent < 0)
			return error_sys(err, MR_NO_OFFSET, "cannot send");
		atomic_store(&l->wire->heard, now());
		gone(&m, (size_t)sent);
	}
	return 0;
}

int link_send(struct link *l, const void *buf, size_t len, struct mr_error *err)
{
	struct iovec all = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = len };

	return link_send_pieces(l, &all, 1, err);
}

void link_explain(const struct wire *w, struct mr_error *err)
{
	struct mr_error is = MR_ERROR_INIT;

	if (!err || err->code != MR_SYS)
		return;
	if (err->sys == ECANCELED && cancelled(w)) {
		(void)error_set(&is, MR_CANCELLED, MR_NO_OFFSET, "cancelled");
	} else if (err->sys == ETIMEDOUT) {
		(void)error_set(&is, MR_SHORT, err->offset,
				"nothing has come from the other end for %u "
				"s",
				w->limit);
		is.sys = ETIMEDOUT;
	} else {
		return;
	}
	is.who = err->who;
	*err = is;
}

void link_close(struct link *l)
{
	/* They belong to all who have it open. */
	if (l->fd >= 0 && l->flags >= 0)
		(void)fcntl(l->fd, F_SETFL, l->flags);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	if (l->tee.put)
		(void)close(l->tee.fd);
	l->tee.put = NULL;
}
