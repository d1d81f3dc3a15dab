/* hold.c - how both engines of mr_save hold the VM, and let it go. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libmr/base/error.h"
#include "libmr/file/output.h"
#include "libmr/save/state.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/preflight.h"

/* How long the end of a QEMU that hung up is awaited, to tell it; and how long
 * to try to reach it again. */
#define GONE_MS 2000
#define REOPEN_MS 5000

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

int save_hold(struct save *s, const struct output *o, bool watch,
	      struct mr_error *err)
{
	int rc = look_again(s, err);
	const struct pause_terms t = {
		.live = s->was_live,
		/* QEMU's settings are to be put back, whatever happens */
		.guard = s->report->engine == MR_ENGINE_QEMU || s->describe,
		/* a descriptor of ours does not stay with it */
		.attend = true,
		.limited = s->options->limit > 0,
		.claim = s->claim.fd,
		.stays = s->options->leave_paused ? o : NULL,
		.cancel = s->options->watch.cancel,
	};

	if (!rc)
		rc = ask_free_fdset(s->q, &s->fdset, err);
	if (!rc)
		rc = watch ? pause_watch(&s->pause, s->q, &t, err)
			   : pause_begin(&s->pause, s->q, &t, err);
	if (!rc)
		rc = migrate_will(&s->pause, NULL, s->fdset, false, err);
	s->report->made = (uint64_t)time(NULL);
	return rc ? error_about(err, SAVE_VM) : 0;
}

void save_label(const struct save *s, struct image_writer *w)
{
	const struct mr_save_report *r = s->report;

	image_writer_label(w, r->made, r->has_uuid ? r->uuid : NULL,
			   s->options->name ? s->options->name : r->name);
}

static void tell_device(void *arg, const struct ask_memory_device *d)
{
	const struct save *s = arg;
	const struct mr_save_options *o = s->options;

	for (size_t i = 0; i < s->guest->n_blocks; i++) {
		const struct guest_block *b = &s->guest->blocks[i];

		/* Of one that the guest sees a part of it is not known which
		 * (the labels of an NVDIMM). */
		if (b->used == d->length && ask_is_block_of(d, b->name))
			o->memory_device(o->memory_device_arg, b->name, d->gpa);
	}
}

int save_memory_devices(struct save *s, struct mr_error *err)
{
	if (!s->options->memory_device)
		return 0;
	return ask_memory_devices(s->q, tell_device, s, err);
}

int save_while_paused(struct save *s, struct mr_error *err)
{
	const struct mr_save_options *o = s->options;

	if (!o->while_paused)
		return 0;
	pause_alive(&s->pause);
	if (o->while_paused(o->while_paused_arg, err) == 0)
		return 0;
	return error_set(err, MR_SYS, MR_NO_OFFSET,
			 "called off while the guest stood still");
}

int save_reach(struct save *s)
{
	return qmp_broken(s->q) ? qmp_reopen(s->q, REOPEN_MS, NULL) : 0;
}

void save_let_go(struct save *s, bool all)
{
	if (all || qmp_peer_gone(s->q, 0))
		pause_dismiss(&s->pause);
	else
		pause_hand_over(&s->pause);
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

	if (ask_status(s->q, &now, &why)) {
		if (qmp_broken(s->q) && qmp_peer_gone(s->q, GONE_MS)) {
			*err = (struct mr_error)MR_ERROR_INIT;
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "QEMU has ended, and the VM with it: "
					 "see what it said itself");
		}
		/* Once more by a new connection, if this one is lost. */
		if (!qmp_broken(s->q) || qmp_reopen(s->q, REOPEN_MS, &why) ||
		    ask_status(s->q, &now, &why))
			(void)snprintf(now.name, sizeof(now.name), "unknown");
	}
	if (is_as_told(s, runstate_find(now.name), stopped, resumed))
		return 0;
	/* Somebody else resumed a VM that we had not stopped: that has been
	 * told, or does no harm to what was saved before. */
	if (!s->was_live && runstate_find(now.name) &&
	    runstate_find(now.name)->hold != RUNSTATE_BUSY)
		return 0;
	*err = (struct mr_error)MR_ERROR_INIT;
	if (stopped && !resumed)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "the VM was to stay paused, and somebody has "
				 "resumed it: it is %s now; the image is of "
				 "before",
				 now.name);
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

int save_publish(struct save *s, struct output *o, struct mr_error *err)
{
	char path[32];

	if (save_spare(s, true, err))
		return -1;
	if (!s->options->take)
		return output_publish(o, err) ? error_about(err, SAVE_IMAGE)
					      : 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", o->file.fd);
	return s->options->take(s->options->take_arg, path, err);
}
