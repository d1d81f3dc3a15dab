/* save_end.c - how both engines of mr_save leave the VM, and what they tell. */
#include "libmr/save.h"

#include <stdarg.h>
#include <stdio.h>

void save_note(const struct save *s, const char *fmt, ...)
{
	const struct mr_watch *w = &s->options->watch;
	char line[256];
	va_list ap;

	if (!w->note)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	w->note(w->arg, line);
}

int save_resume(struct save *s, bool failed, struct mr_error *err)
{
	bool resume = failed || !s->options->leave_paused;
	bool stopped = s->pause.stopped;

	if (pause_end(&s->pause, resume, &s->report->paused, err)) {
		s->report->vm = MR_VM_LOST;
		return -1;
	}
	s->report->vm = stopped && !resume ? MR_VM_PAUSED : MR_VM_AS_FOUND;
	return 0;
}
