/*
 * unreadable.h - bytes of a file that cannot be read, by whatever call. Needs
 * --wrap for pread64, io_setup and io_getevents (Makefile).
 */
#ifndef TESTS_LIBMR_UNREADABLE_H
#define TESTS_LIBMR_UNREADABLE_H

#include <errno.h>
#include <libaio.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

static struct {
	uint64_t from, to;
	int error; /* what is said then; 0: all can be read */
	bool once; /* it goes well the next time */
	atomic_uint hits;
	bool with_aio; /* else the kernel has no queues for us */
} bad;

static inline void lose(uint64_t from, uint64_t to, int error)
{
	bad.from = from;
	bad.to = to;
	bad.error = error;
	bad.once = false;
	bad.hits = 0;
}

static inline bool is_bad(uint64_t at, uint64_t len)
{
	if (!bad.error || at >= bad.to || at + len <= bad.from)
		return false;
	return !bad.hits++ || !bad.once;
}

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at)
{
	if (is_bad((uint64_t)at, len)) {
		errno = bad.error;
		return -1;
	}
	return __real_pread64(fd, buf, len, at);
}

int __real_io_setup(int n, io_context_t *ctx);
int __wrap_io_setup(int n, io_context_t *ctx);
int __wrap_io_setup(int n, io_context_t *ctx)
{
	return bad.with_aio ? __real_io_setup(n, ctx) : -EAGAIN;
}

int __real_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout);
int __wrap_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout);
int __wrap_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout)
{
	int rc = __real_io_getevents(ctx, min, n, ev, timeout);

	for (int i = 0; i < rc; i++)
		if (ev[i].obj->aio_lio_opcode == IO_CMD_PREAD &&
		    is_bad((uint64_t)ev[i].obj->u.c.offset,
			   ev[i].obj->u.c.nbytes))
			ev[i].res = (unsigned long)-(long)bad.error;
	return rc;
}

#endif
