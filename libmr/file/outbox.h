/*
 * outbox.h - one thread's writes out of a ring of buffers.
 *
 * A buffer is filled and its bytes are handed to a file; the next one can be
 * filled while the kernel writes. Of two writes to one place the later stays.
 */
#ifndef LIBMR_OUTBOX_H
#define LIBMR_OUTBOX_H

#include <pthread.h>

#include "libmr/file/queue.h"

/* Writes of a buffer; one more waits for those before. */
#define OUTBOX_WRITES 64

struct outbox_buffer {
	unsigned char *bytes; /* on a page */
	size_t pending; /* writes that are not done */
	struct queue_op ops[OUTBOX_WRITES];
	unsigned nops; /* those that were begun */
};

struct outbox {
	struct queue queue;
	struct outbox_buffer *buffers;
	unsigned n, fill;
	size_t size; /* of a buffer, bytes */
	unsigned char *arena; /* on huge pages */
	size_t arena_size;
	pthread_t leaver;
	bool leaving;
};

/* n buffers, at least 2, of size bytes, which are a multiple of a page. o is
 * zero. MR_NOMEM. */
int outbox_init(struct outbox *o, unsigned n, size_t size,
		struct mr_error *err);

/* The buffer that is to be filled. */
unsigned char *outbox_bytes(const struct outbox *o);

/* length bytes, in that buffer, go to byte `at` of file. */
int outbox_write(struct outbox *o, struct file *file, const void *bytes,
		 size_t length, uint64_t at, struct mr_error *err);

/* That buffer was filled: there is another one when this returns. -1: a write
 * has failed, perhaps one of another buffer; outbox_release is all that is
 * left. */
int outbox_next(struct outbox *o, struct mr_error *err);

/* Waits for all writes; or for those to these bytes of file. */
int outbox_drain(struct outbox *o, struct mr_error *err);
int outbox_settle(struct outbox *o, const struct file *file, uint64_t at,
		  uint64_t length, struct mr_error *err);

/* Nothing more is written: begins what outbox_release would take long for. */
void outbox_leave(struct outbox *o);

/* Waits for what the kernel has. What was not begun is dropped. May take tens
 * of milliseconds; o may be zero. */
void outbox_release(struct outbox *o);

#endif
