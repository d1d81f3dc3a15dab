/* mr/range.h - OFFSET+LENGTH as people write it. */
#ifndef LIBMR_MR_RANGE_H
#define LIBMR_MR_RANGE_H

#include <stdint.h>

#pragma GCC visibility push(default)

/* "START" or "START+LENGTH" as people write them: numbers as in C, with an
 * optional K M G T behind. *length is 0 for the former; a length of 0 is
 * refused. Nothing but text is looked at. 0 or -1. */
int mr_parse_range(const char *text, uint64_t *start, uint64_t *length);

#pragma GCC visibility pop

#endif
