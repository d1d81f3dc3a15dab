/* outbox.c - a queue, and the buffers that its writes come from. */
#include "libmr/file/outbox.h"

#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/base/zeros.h"

/* A kernel context costs more than to write this much without. */
#define QUICK ((size_t)4 << 20)
#define DEPTH 64u

static int make_buffers(struct outbox *o)
{
	o->buffers = calloc(o->n, sizeof(*o->buffers));
	o->arena_size = o->n * o->size;
	o->arena = zeros_new_huge(&o->arena_size);
	if (!o->buffers || !o->arena)
		return -1;
	for (unsigned i = 0; i < o->n; i++)
		o->buffers[i].bytes = o->arena + i * o->size;
	return 0;
}

int outbox_init(struct outbox *o, unsigned n, size_t size, struct mr_error *err)
{
	o->n = n;
	o->size = size;
	queue_init(&o->queue, DEPTH, QUICK);
	if (make_buffers(o))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for buffers");
	return 0;
}

unsigned char *outbox_bytes(const struct outbox *o)
{
	return o->buffers[o->fill].bytes;
}

/* Until a buffer has no writes left; NULL: what is done already. */
static int reap(struct outbox *o, const struct outbox_buffer *b,
		struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct queue_op *op;

	if (queue_flush(&o->queue, &why))
		goto failed;
	while (!b || b->pending) {
		op = queue_reap(&o->queue, b, &why);
		if (why.code != MR_OK)
			goto failed;
		if (!op)
			break;
		((struct outbox_buffer *)op->owner)->pending--;
		op->length = 0;
	}
	return 0;
failed:
	if (err)
		*err = why;
	return -1;
}

int outbox_drain(struct outbox *o, struct mr_error *err)
{
	for (unsigned i = 0; i < o->n; i++)
		if (reap(o, &o->buffers[i], err))
			return -1;
	return 0;
}

static bool is_under_way(const struct outbox_buffer *b, const struct file *file,
			 uint64_t at, uint64_t length)
{
	for (unsigned i = 0; b->pending && i < b->nops; i++) {
		const struct queue_op *op = &b->ops[i];

		if (op->length && op->file == file &&
		    op->offset < at + length && at < op->offset + op->length)
			return true;
	}
	return false;
}

int outbox_settle(struct outbox *o, const struct file *file, uint64_t at,
		  uint64_t length, struct mr_error *err)
{
	for (unsigned i = 0; i < o->n; i++)
		if (is_under_way(&o->buffers[i], file, at, length) &&
		    reap(o, &o->buffers[i], err))
			return -1;
	return 0;
}

int outbox_write(struct outbox *o, struct file *file, const void *bytes,
		 size_t length, uint64_t at, struct mr_error *err)
{
	struct outbox_buffer *b = &o->buffers[o->fill];
	struct queue_op *op;

	if (outbox_settle(o, file, at, length, err))
		return -1;
	if (b->nops == OUTBOX_WRITES) {
		if (reap(o, b, err))
			return -1;
		b->nops = 0;
	}
	op = &b->ops[b->nops++];
	*op = (struct queue_op){ .file = file,
				 .buf = (void *)(uintptr_t)bytes,
				 .length = length,
				 .offset = at,
				 .write = true,
				 .owner = b };
	b->pending++;
	queue_add(&o->queue, op);
	return 0;
}

int outbox_next(struct outbox *o, struct mr_error *err)
{
	struct outbox_buffer *b;

	if (!o->buffers[o->fill].pending)
		return 0;
	o->fill = (o->fill + 1) % o->n;
	b = &o->buffers[o->fill];
	if (reap(o, NULL, err) || reap(o, b, err))
		return -1;
	b->nops = 0;
	return 0;
}

static void *leave(void *arg)
{
	(void)io_destroy(arg);
	return NULL;
}

void outbox_leave(struct outbox *o)
{
	struct queue *q = &o->queue;

	if (o->leaving || !q->ctx || q->added || q->inflight ||
	    pthread_create(&o->leaver, NULL, leave, q->ctx))
		return;
	o->leaving = true;
	q->ctx = NULL;
}

void outbox_release(struct outbox *o)
{
	if (o->leaving)
		(void)pthread_join(o->leaver, NULL);
	/* Rather lost memory than memory that the kernel reads anew. */
	if (queue_release(&o->queue))
		return;
	zeros_free(o->arena, o->arena_size);
	free(o->buffers);
	*o = (struct outbox){ .n = 0 };
}
