/* pipe.c - bytes to whoever takes them, or from whoever gives them. */
#include "libmr/file/pipe.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* Milliseconds until one looks up whether one was called off. */
#define LOOK_UP 100

static bool cancelled(const struct pipe_io *p)
{
	return p->watch && p->watch->cancel && atomic_load(p->watch->cancel);
}

static int wait_for(const struct pipe_io *p, short events)
{
	struct pollfd poll_fd = { .fd = p->fd, .events = events };
	int n;

	do {
		if (cancelled(p)) {
			errno = ECANCELED;
			return -1;
		}
		n = poll(&poll_fd, 1, LOOK_UP);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -1 : 0;
}

/* What the kernel takes at once; where it cannot be asked so, what a pipe takes
 * without waiting once it takes anything: PIPE_BUF. */
static ssize_t put_now(const struct pipe_io *p, const void *buf, size_t len)
{
	struct iovec all = { (void *)(uintptr_t)buf, len };
	ssize_t n;

	if (p->socket)
		return send(p->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (p->file || len <= PIPE_BUF)
		return write(p->fd, buf, len);
	n = pwritev2(p->fd, &all, 1, -1, RWF_NOWAIT);
	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
		return n;
	return write(p->fd, buf, PIPE_BUF);
}

static ssize_t pipe_write(struct io *io, const void *buf, size_t len,
			  uint64_t offset)
{
	const struct pipe_io *p = (const struct pipe_io *)(const void *)io;
	ssize_t n;

	(void)offset;
	do {
		if (wait_for(p, POLLOUT))
			return -1;
		n = put_now(p, buf, len);
	} while (n < 0 && errno == EAGAIN);
	return n;
}

static ssize_t pipe_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	const struct pipe_io *p = (const struct pipe_io *)(const void *)io;
	ssize_t n;

	(void)offset;
	do {
		if (wait_for(p, POLLIN))
			return -1;
		n = read(p->fd, buf, len);
	} while (n < 0 && errno == EAGAIN);
	return n;
}

static const struct io_ops pipe_ops = { .name = "pipe",
					.read = pipe_read,
					.write = pipe_write };

int pipe_init(struct pipe_io *p, int fd, const struct mr_watch *watch,
	      struct mr_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	*p = (struct pipe_io){ .io = { .ops = &pipe_ops, .size = UINT64_MAX },
			       .fd = fd,
			       .file = S_ISREG(st.st_mode),
			       .socket = S_ISSOCK(st.st_mode),
			       .watch = watch };
	return 0;
}
