/*
 * aio.h - libaio as a test wants it: refusing, taking less than it is given,
 * losing its voice. Needs --wrap for the four calls (Makefile).
 *
 * What no lock guards is for one queue at a time.
 */
#ifndef TESTS_LIBMR_AIO_H
#define TESTS_LIBMR_AIO_H

#include <errno.h>
#include <libaio.h>
#include <stdatomic.h>
#include <string.h>

static struct {
	int setup; /* what io_setup returns; 0: it works */
	long most; /* requests that io_submit takes at a time; 0: all */
	unsigned submit_at; /* this io_submit fails, counted from 1 ... */
	int submit; /* ... with this */
	unsigned reap_at; /* io_getevents fails from this one on ... */
	int reap; /* ... with this */
	unsigned reaps_failing; /* ... so many times; 0: for good */
	unsigned shorten; /* every so manieth event says it moved less */
	unsigned again; /* every so manieth says it was interrupted */
	int destroy; /* what io_destroy returns; 0: it works */

	atomic_uint setups, submits, reaps, events, destroys;
	atomic_long held; /* requests that the kernel may be working on */
	atomic_long most_held;
	atomic_long
		least; /* events that the last io_getevents would wait for */
} aio;

static inline void aio_reset(void)
{
	memset(&aio, 0, sizeof(aio));
}

int __real_io_setup(int n, io_context_t *ctx);
int __wrap_io_setup(int n, io_context_t *ctx);
int __wrap_io_setup(int n, io_context_t *ctx)
{
	aio.setups++;
	return aio.setup ? aio.setup : __real_io_setup(n, ctx);
}

int __real_io_submit(io_context_t ctx, long n, struct iocb *ios[]);
int __wrap_io_submit(io_context_t ctx, long n, struct iocb *ios[]);
int __wrap_io_submit(io_context_t ctx, long n, struct iocb *ios[])
{
	int rc;

	if (++aio.submits == aio.submit_at)
		return aio.submit;
	if (aio.most && n > aio.most)
		n = aio.most;
	rc = __real_io_submit(ctx, n, ios);
	if (rc > 0)
		aio.held += rc;
	if (aio.held > aio.most_held)
		aio.most_held = aio.held;
	return rc;
}

/* A transfer that stopped half way, at an odd place, or never began. */
static inline void aio_spoil(struct io_event *ev)
{
	unsigned n = ++aio.events;

	if (aio.again && n % aio.again == 0)
		ev->res = (unsigned long)(n & 1 ? -EINTR : -EAGAIN);
	else if (aio.shorten && n % aio.shorten == 0 && (long)ev->res > 1)
		ev->res = ev->res / 2 + (ev->res > 8);
}

int __real_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout);
int __wrap_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout);
int __wrap_io_getevents(io_context_t ctx, long min, long n, struct io_event *ev,
			struct timespec *timeout)
{
	unsigned call = ++aio.reaps;
	int rc;

	aio.least = min;
	if (aio.reap_at && call >= aio.reap_at &&
	    (!aio.reaps_failing || call < aio.reap_at + aio.reaps_failing))
		return aio.reap;
	rc = __real_io_getevents(ctx, min, n, ev, timeout);
	for (int i = 0; i < rc; i++) {
		aio.held--;
		aio_spoil(&ev[i]);
	}
	return rc;
}

int __real_io_destroy(io_context_t ctx);
int __wrap_io_destroy(io_context_t ctx);
int __wrap_io_destroy(io_context_t ctx)
{
	int rc = __real_io_destroy(ctx);

	aio.destroys++;
	if (aio.destroy)
		return aio.destroy; /* as if; it did, so that nothing leaks */
	aio.held = 0;
	return rc;
}

#endif
