/* end.c - how both engines of mr_save leave the VM. */
#include "libmr/base/error.h"
#include "libmr/save/state.h"

int save_resume(struct save *s, bool failed, struct mr_error *err)
{
	bool resume = failed || !s->options->leave_paused;
	bool stopped = s->pause.stopped;

	if (pause_end(&s->pause, resume, &s->report->paused, err)) {
		s->report->vm = MR_VM_LOST;
		return error_about(err, SAVE_VM);
	}
	s->report->vm = stopped && !resume ? MR_VM_PAUSED : MR_VM_AS_FOUND;
	return 0;
}
