/* watch.h - a struct mr_watch (libmr/mr/watch.h), and the time. */
#ifndef LIBMR_WATCH_H
#define LIBMR_WATCH_H

#include "libmr/mr.h"

/* Tells the caller a line, if it wants to know. w may be NULL. */
void watch_note(const struct mr_watch *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Seconds of the monotonic clock. */
double watch_clock(void);

#endif
