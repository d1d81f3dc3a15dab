/*
 * queue.h - one worker's asynchronous reads and writes.
 *
 * A queue belongs to one thread. Requests are handed in with queue_add, go to
 * the kernel in batches with queue_flush, and come back finished from
 * queue_reap: whole, or with the queue's error filled. Short transfers are
 * continued and a full kernel ring is waited for in here, so no caller sees
 * either. Nothing a request points at may be freed before it was reaped or
 * the queue released.
 */
#ifndef LIBMR_QUEUE_H
#define LIBMR_QUEUE_H

#include <libaio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/file/io.h"
#include "libmr/mr.h"

/* One transfer between buf and [offset, offset + length) of file. The caller
 * fills the first six, the queue owns the rest until it was reaped. */
struct queue_op {
	struct file *file;
	void *buf;
	size_t length;
	uint64_t offset;
	bool write;
	/* The caller looks at `error` itself: a transfer that fails does not
	 * fill the queue's error then. */
	bool own_error;

	int error; /* own_error: errno, ENODATA where the file ends; or 0 */
	size_t done;
	struct iocb cb;
	struct queue_op *next;
	void *owner; /* the caller's */
};

struct queue {
	io_context_t ctx; /* NULL: the kernel gave none, transfers are inline */
	bool tried; /* to get ctx */
	size_t quick; /* left of what queue_init was told */
	unsigned depth; /* requests that the kernel may hold */
	unsigned inflight;
	size_t added; /* requests that were added and not yet reaped */
	struct queue_op *head, **tail; /* not with the kernel yet */
	struct queue_op *ready, **ready_tail; /* finished */
};

/* depth is not 0. The first requests, of about quick bytes in all, are carried
 * out inline: to give a context back costs more time than they take. */
void queue_init(struct queue *q, unsigned depth, size_t quick);
/* Drops what has not started, waits for what runs. A queue that is all zeros
 * is released already. Returns -1 if the kernel would not say that nothing
 * runs any more: what the requests point at must then never be freed. */
int queue_release(struct queue *q);

/* Takes a request of at least one byte; cannot fail, may not start it yet. */
void queue_add(struct queue *q, struct queue_op *op);

/* Hands what waits to the kernel, as far as it takes it. */
int queue_flush(struct queue *q, struct mr_error *err);

/* A finished request, or NULL: none is finished (wait false), or none is left
 * (wait true). A request that failed fills *err and comes back all the same,
 * so that counts stay right; NULL with *err filled means that no more can be
 * had from this queue, and only queue_release is left. */
struct queue_op *queue_reap(struct queue *q, bool wait, struct mr_error *err);

#endif
