/*
 * pace.h - so many bytes a second, and no more.
 *
 * A bucket of tokens, told as the moment at which all that was spent is paid
 * for. What is spent may be more than there is: then it is waited for
 * afterwards. Who was slower than the pace may catch up with a part of a
 * second, no more. The clock is the caller's: seconds that only grow.
 */
#ifndef LIBMR_PACE_H
#define LIBMR_PACE_H

#include <stdint.h>

/* What may be caught up with, in seconds. */
#define PACE_BURST 0.25

struct pace {
	double rate; /* bytes a second; 0: no limit */
	double paid; /* when it is */
};

/* With so many bytes spent already. */
void pace_begin(struct pace *p, double rate, double spent, double now);
void pace_spend(struct pace *p, uint64_t bytes, double now);
/* For how many seconds to spend nothing; 0: go on. */
double pace_wait(const struct pace *p, double now);

#endif
