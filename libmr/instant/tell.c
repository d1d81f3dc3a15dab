/* tell.c - what the parts of mr_instant tell the caller. */
#include "libmr/instant/state.h"

#include <stdarg.h>
#include <stdio.h>

void instant_say(const struct mr_instant *in, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!in->options->say)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	in->options->say(in->options->say_arg, line);
}
