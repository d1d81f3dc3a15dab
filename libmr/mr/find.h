/* mr/find.h - bytes in memory. */
#ifndef LIBMR_MR_FIND_H
#define LIBMR_MR_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/ram.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

struct mr_find_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	/* AUTO reads around the page cache what is not in it. An image must
	 * have been opened with the same. */
	enum mr_direct direct;
	size_t max; /* stop after that many; not 0 */
	struct mr_watch watch;
};

struct mr_found {
	const struct mr_ram_block *block; /* the memory's */
	uint64_t offset; /* in it, bytes */
};

struct mr_find_report {
	size_t n_found;
	struct mr_found *found; /* the first ones, in order */
	bool more; /* there are more, or not all was looked at */
	size_t left_out; /* blocks whose memory was left out */
	uint64_t ram; /* bytes of the other blocks */
	uint64_t read; /* bytes of them read */
	bool direct; /* around the page cache */
	double seconds;
};

#define MR_FIND_MAX 4096u /* bytes */

/*
 * All places in a memory where these bytes stand, within one block each; they
 * may overlap. The caller releases *report, on failure too. 0 or -1; MR_QMP: a
 * VM has run meanwhile.
 */
int mr_find(struct mr_ram *ram, const void *bytes, size_t len,
	    const struct mr_find_options *options,
	    struct mr_find_report *report, struct mr_error *err);
void mr_find_release(struct mr_find_report *report);

#pragma GCC visibility pop

#endif
