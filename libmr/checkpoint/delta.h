/*
 * delta.h - what has changed from one checkpoint to the next.
 *
 * Pages, and all of the device state. Until it is whole it is nothing: it
 * is dropped without a trace, or merged into the one before.
 */
#ifndef LIBMR_DELTA_H
#define LIBMR_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/checkpoint/slots.h"
#include "libmr/memory/sink.h"

struct delta_block {
	uint64_t pages;
	uint64_t *came; /* a bit for each */
	uint32_t *slot; /* of each; see delta.c */
};

struct delta {
	const struct memory *m; /* NULL: not in use */
	struct slots *slots;
	struct delta_block *blocks; /* one for each of m's */
	/* The caller's: of the last checkpoint in it. */
	uint64_t number;
	uint64_t made; /* seconds since 1970; 0: not known */
	/* Likewise; freed with it. */
	uint8_t *device;
	size_t device_len;
};

/* m has its blocks; both outlive it. d is zero. MR_NOMEM. */
int delta_init(struct delta *d, const struct memory *m, struct slots *slots,
	       struct mr_error *err);
/* Slots that n deltas take at most, of a source that is honest. */
uint32_t delta_limit(const struct memory *m, uint32_t n);
void delta_release(struct delta *d); /* d may be zero */

/* Any thread's: the pages of a part, of which those with a bit are data, or
 * n that are zero. Of those that come again the last one counts. */
int delta_put(struct delta *d, size_t block, const struct memory_part *p,
	      struct mr_error *err);
void delta_zero(struct delta *d, size_t block, uint64_t first, uint64_t n);

/* While nobody puts. */

/* A page as it is there: 1; 0: it has not come; or -1. */
int delta_get(const struct delta *d, size_t block, uint64_t index,
	      unsigned char *page, struct mr_error *err);
/* Of one that has come: whether it is zero; and its bytes, if not. */
bool delta_is_zero(const struct delta *d, size_t block, uint64_t index);
int delta_read(const struct delta *d, size_t block, uint64_t index,
	       unsigned char *page, struct mr_error *err);
/* All of its pages into a sink that was begun with m; *written grows. */
int delta_pour(const struct delta *d, struct sink *to, uint64_t *written,
	       struct mr_error *err);
uint64_t delta_pages(const struct delta *d);

/* What is in `newer` goes into d, and nothing is left of it. */
void delta_merge(struct delta *d, struct delta *newer);
/* Nothing is left of it. */
void delta_clear(struct delta *d);

#endif
