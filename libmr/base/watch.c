/* watch.c - lines for the caller, and the time. */
#include "libmr/base/watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void watch_note(const struct mr_watch *w, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (!w || !w->note)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	w->note(w->arg, line);
}

double watch_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
