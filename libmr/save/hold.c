/* hold.c - how both engines of mr_save hold the VM, and let it go. */
#include <stdio.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/save/state.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/preflight.h"

/* It may have changed since the preflight: what counts is now. */
static int look_again(struct save *s, struct mr_error *err)
{
	struct ask_status now;

	if (ask_status(s->q, &now, err))
		return -1;
	memcpy(s->guest->status, now.name, sizeof(s->guest->status));
	s->guest->running = now.running;
	return save_found(s, err);
}

int save_found(struct save *s, struct mr_error *err)
{
	if (preflight_run_state(s->guest, err))
		return -1;
	s->found = runstate_find(s->guest->status);
	s->was_live = s->found->hold == RUNSTATE_STOP;
	(void)snprintf(s->report->run_state, sizeof(s->report->run_state), "%s",
		       s->found->name);
	return 0;
}

int save_hold(struct save *s, bool watch, struct mr_error *err)
{
	int rc = look_again(s, err);

	if (!rc)
		rc = watch ? pause_watch(&s->pause, s->q, s->was_live,
					 s->claim.fd, err)
			   : pause_begin(&s->pause, s->q, s->was_live,
					 s->claim.fd, err);
	return rc ? error_about(err, SAVE_VM) : 0;
}

/* What it should be by now, and what else is no fault of ours. */
static bool is_as_told(const struct save *s, const struct runstate *now,
		       bool stopped, bool resumed)
{
	if (!now || now->hold == RUNSTATE_BUSY)
		return false;
	if (s->was_live && (resumed || !stopped))
		return now == s->found || now->by_guest;
	if (s->was_live)
		return now->hold == RUNSTATE_STANDS;
	return now == s->found || !strcmp(now->name, "postmigrate");
}

/* "As found" is looked at, not said. */
static int check_left(struct save *s, bool stopped, bool resumed,
		      struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct ask_status now;

	if (ask_status(s->q, &now, &why))
		snprintf(now.name, sizeof(now.name), "unknown");
	if (is_as_told(s, runstate_find(now.name), stopped, resumed))
		return 0;
	/* Somebody else resumed a VM that we had not stopped: that has been
	 * told, or does no harm to what was saved before. */
	if (!s->was_live && runstate_find(now.name) &&
	    runstate_find(now.name)->hold != RUNSTATE_BUSY)
		return 0;
	*err = (struct mr_error)MR_ERROR_INIT;
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "the VM was found %s and is %s now: see to it with "
			 "`cont` or system_reset%s%.100s",
			 s->found->name, now.name, why.msg[0] ? "; " : "",
			 why.msg);
}

int save_resume(struct save *s, bool failed, struct mr_error *err)
{
	bool resume = failed || !s->options->leave_paused;
	bool stopped = s->pause.stopped;

	if (pause_end(&s->pause, resume, &s->report->paused, err) ||
	    check_left(s, stopped, resume, err)) {
		s->report->vm = MR_VM_LOST;
		return error_about(err, SAVE_VM);
	}
	s->report->vm = stopped && !resume ? MR_VM_PAUSED : MR_VM_AS_FOUND;
	return 0;
}
