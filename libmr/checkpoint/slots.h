/*
 * slots.h - room for single pages, taken and given back.
 *
 * What was given back is taken again first, so that there is no more of it than
 * was in use at the same time: memory that was never in use is not there. Any
 * thread may take and give.
 */
#ifndef LIBMR_SLOTS_H
#define LIBMR_SLOTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

struct slots {
	pthread_mutex_t lock;
	size_t page; /* bytes */
	uint32_t limit; /* how many there can be */
	uint32_t made; /* from 0 on */
	unsigned char **chunks; /* of memory that they lie in */
	size_t chunk; /* bytes of each */
	int fd; /* or the file; -1 */
	uint32_t *free; /* what was given back: a stack */
	size_t n_free, free_room;
};
#define SLOTS_NONE       \
	{                \
		.fd = -1 \
	}

/* Of pages of so many bytes: in memory, or in a nameless file in that folder.
 * s is SLOTS_NONE. */
int slots_init(struct slots *s, const char *folder, size_t page, uint32_t limit,
	       struct mr_error *err);
void slots_release(struct slots *s); /* s may be SLOTS_NONE */

/* n slots, which hold whatever they hold: MR_NOMEM, MR_SYS, and MR_FORMAT if
 * the limit is reached. */
int slots_take(struct slots *s, uint32_t *slots, size_t n,
	       struct mr_error *err);
void slots_give(struct slots *s, const uint32_t *slots, size_t n);

/* Between one call that takes a slot and the one that gives it back. */
int slots_write(struct slots *s, uint32_t slot, const void *page,
		struct mr_error *err);
int slots_read(const struct slots *s, uint32_t slot, void *page,
	       struct mr_error *err);

#endif
