/*
 * queue.c - libaio, with its edges filed off.
 *
 * What the kernel does at those edges: io_submit may take fewer requests than
 * given; a request that breaks the alignment rules is taken and fails in its
 * event; a transfer may be short; EAGAIN means reap first. Where there are no
 * contexts to be had (aio-max-nr used up, or a sandbox without the call), or
 * no room in one that is empty, transfers are made inline: slower, same
 * result.
 */
#include "libmr/file/queue.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"

#define BATCH 64
/* Page cache pages are this large, or a multiple of it that is kept track of
 * in such units. */
#define CACHE_PAGE ((size_t)4096)
/* A request takes at least the time of one of this length. */
#define LEAST ((size_t)64 << 10)

void queue_init(struct queue *q, unsigned depth, size_t quick)
{
	memset(q, 0, sizeof(*q));
	q->tail = &q->head;
	q->ready_tail = &q->ready;
	q->depth = depth;
	q->quick = quick;
}

/* Not before there is enough to do: to give a context back costs tens of
 * milliseconds, two grace periods of the kernel. */
static void set_up(struct queue *q)
{
	q->tried = true;
	if (io_setup((int)q->depth, &q->ctx))
		q->ctx = NULL;
}

static void push(struct queue_op ***tail, struct queue_op *op)
{
	op->next = NULL;
	**tail = op;
	*tail = &op->next;
}

static struct queue_op *pop(struct queue_op **head, struct queue_op ***tail)
{
	struct queue_op *op = *head;

	if (op) {
		*head = op->next;
		if (!*head)
			*tail = head;
	}
	return op;
}

void queue_add(struct queue *q, struct queue_op *op)
{
	assert(op->length);
	op->done = 0;
	op->error = 0;
	q->added++;
	push(&q->tail, op);
}

/* Whether the rest of op may go around the page cache: it meets its file's
 * rules, and a write fills whole pages of the cache. Were a part of a page
 * written directly while its neighbour goes through the cache, the cache
 * could write back the old bytes over the new ones. */
static bool fits_direct(const struct queue_op *op)
{
	size_t rule = op->file->align - 1;
	size_t whole = op->write ? rule | (CACHE_PAGE - 1) : rule;

	return op->file->direct_fd >= 0 && !((op->offset + op->done) & whole) &&
	       !((op->length - op->done) & whole) &&
	       !(((uintptr_t)op->buf + op->done) & rule);
}

static void prepare(struct queue_op *op)
{
	int fd = fits_direct(op) ? op->file->direct_fd : op->file->fd;
	char *buf = (char *)op->buf + op->done;
	size_t len = op->length - op->done;
	off_t at = (off_t)(op->offset + op->done);

	if (op->write)
		io_prep_pwrite(&op->cb, fd, buf, len, at);
	else
		io_prep_pread(&op->cb, fd, buf, len, at);
	op->cb.data = op;
}

/* Accounts for res bytes (or -errno). True: the request is finished. */
static bool account(struct queue_op *op, long res, struct mr_error *err)
{
	const char *verb = op->write ? "write" : "read";
	uint64_t at = op->offset + op->done;

	if (res == -EINTR || res == -EAGAIN)
		return false;
	if (res == 0 && op->write)
		res = -EIO; /* pwrite(2) of something never does */
	if (res <= 0 && op->own_error) {
		op->error = res ? (int)-res : ENODATA;
		return true;
	}
	if (res < 0) {
		errno = (int)-res;
		(void)error_sys(err, at, "cannot %s", verb);
		(void)error_about(err, op->file->io.who);
		return true;
	}
	if (res == 0) {
		(void)error_set(err, MR_SHORT, at,
				"file ends, %zu bytes expected here",
				op->length - op->done);
		(void)error_about(err, op->file->io.who);
		return true;
	}
	op->done += (size_t)res;
	return op->done >= op->length;
}

static void transfer_inline(struct queue *q, struct queue_op *op,
			    struct mr_error *err)
{
	for (;;) {
		bool direct = fits_direct(op);
		int fd = direct ? op->file->direct_fd : op->file->fd;
		char *buf = (char *)op->buf + op->done;
		size_t len = op->length - op->done;
		off_t at = (off_t)(op->offset + op->done);
		ssize_t n = op->write ? pwrite(fd, buf, len, at)
				      : pread(fd, buf, len, at);

		if (account(op, n < 0 ? -errno : n, err))
			break;
	}
	push(&q->ready_tail, op);
}

/* Whether op is one of the first few, which need no context. */
static bool is_quick(struct queue *q, const struct queue_op *op)
{
	size_t cost = op->length > LEAST ? op->length : LEAST;

	if (q->tried || cost > q->quick)
		return false;
	q->quick -= cost;
	return true;
}

int queue_flush(struct queue *q, struct mr_error *err)
{
	struct iocb *batch[BATCH];

	while (q->head && is_quick(q, q->head))
		transfer_inline(q, pop(&q->head, &q->tail), err);
	if (q->head && !q->tried)
		set_up(q);
	while (!q->ctx && q->head)
		transfer_inline(q, pop(&q->head, &q->tail), err);
	while (q->head && q->inflight < q->depth) {
		struct queue_op *op = q->head;
		unsigned n = 0;
		int rc;

		for (; op && n < BATCH && q->inflight + n < q->depth;
		     op = op->next) {
			prepare(op);
			batch[n++] = &op->cb;
		}
		rc = io_submit(q->ctx, n, batch);
		if (rc == -EINTR)
			continue;
		if (rc == -EAGAIN && q->inflight)
			return 0; /* the next reap makes room */
		if (rc == -EAGAIN) {
			/* Nothing of ours to wait for: do it ourselves. */
			transfer_inline(q, pop(&q->head, &q->tail), err);
			continue;
		}
		if (rc <= 0) {
			op = pop(&q->head, &q->tail);
			op->own_error = false; /* it is the queue's */
			(void)account(op, rc ? rc : -EIO, err);
			push(&q->ready_tail, op);
			return -1;
		}
		q->inflight += (unsigned)rc;
		while (rc--)
			(void)pop(&q->head, &q->tail);
	}
	return 0;
}

struct queue_op *queue_reap(struct queue *q, bool wait, struct mr_error *err)
{
	while (q->added) {
		struct queue_op *op = pop(&q->ready, &q->ready_tail);
		struct timespec now = { 0 };
		struct io_event ev[BATCH];
		int n;

		if (op) {
			q->added--;
			return op;
		}
		if (queue_flush(q, err) || !q->inflight)
			continue; /* something is ready now */
		/* With a time of zero libaio looks into the kernel's ring
		 * first: no call where nothing has finished. */
		n = io_getevents(q->ctx, wait ? 1 : 0, BATCH, ev,
				 wait ? NULL : &now);
		if (n == -EINTR)
			continue;
		if (n < 0) {
			/* Only a wrong context can get us here. */
			errno = -n;
			(void)error_sys(err, MR_NO_OFFSET,
					"cannot reap asynchronous I/O");
			return NULL;
		}
		for (int i = 0; i < n; i++) {
			op = ev[i].data;
			q->inflight--;
			if (account(op, (long)ev[i].res, err))
				push(&q->ready_tail, op);
			else
				push(&q->tail, op);
		}
		if (!n && !wait)
			return NULL;
	}
	return NULL;
}

int queue_release(struct queue *q)
{
	int rc = 0;

	/* The kernel cancels what it can and waits for all the rest: this,
	 * and not our count, is what says that no transfer runs any more. */
	if (q->ctx && io_destroy(q->ctx) && q->inflight)
		rc = -1;
	memset(q, 0, sizeof(*q));
	return rc;
}
