/*
 * qemu.c - QEMU migrates itself into our file.
 *
 * For VMs that cannot be read from outside. QEMU gets the file by descriptor
 * (one to write through the page cache and, for direct I/O, one without), so
 * its own rights do not matter and nothing has a name before it is complete.
 * Capabilities and parameters that are changed for it are put back.
 */
#include "libmr/save/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "formats/stream.h"
#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/device_state.h"
#include "libmr/image/image.h"
#include "libmr/vm/migrate.h"
#include "libmr/file/output.h"
#include "libmr/base/watch.h"

/* For progress; and for events that never come. */
#define TICK_MS 100
/* Nothing moves: a disk that hangs can be that slow. */
#define STALL_S 300
#define ANSWER_MS 60000
/* Between "completed" and the end of finish-migrate, in which QEMU refuses to
 * let the VM run: how often to look, and for how long. */
#define FINAL_MS 2
#define FINAL_TRIES 30000

static void show_progress(const struct save *s, const struct ask_migration *m)
{
	const struct mr_watch *w = &s->options->watch;

	if (w->progress && m->total > 0 && m->remaining <= m->total)
		w->progress(w->arg, m->total - m->remaining, m->total);
}

/* It has a bound, too: as long as nothing moves. */
static int check_stall(struct save *s, const struct ask_migration *m,
		       struct mr_error *err)
{
	double now = watch_clock();

	if (s->moved <= 0 || m->remaining != s->remaining ||
	    m->normal != s->normal) {
		s->moved = now;
		s->remaining = m->remaining;
		s->normal = m->normal;
	}
	if (now - s->moved < STALL_S)
		return 0;
	(void)ask_migrate_cancel(s->q, NULL);
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU's save has not moved for %d s (%s)", STALL_S,
			 m->status);
}

int save_judge(struct save *s, const struct ask_migration *m,
	       struct mr_error *err)
{
	struct mr_save_report *r = s->report;

	show_progress(s, m);
	switch (m->phase) {
	case ASK_MIGRATION_UNDER_WAY:
	case ASK_MIGRATION_UNKNOWN:
		return check_stall(s, m, err);
	case ASK_MIGRATION_WAITS:
		/* The capability is off: somebody put it on. */
		return ask_migrate_continue(s->q, err);
	case ASK_MIGRATION_WAITS_GUEST:
		/* A guest that stands still lets nothing go. No channel is
		 * there yet, so this is safe. */
		if (s->was_live && !s->pause.stopped)
			return check_stall(s, m, err);
		(void)ask_migrate_cancel(s->q, NULL);
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's save waits for the guest to let go a "
				 "device (failover)");
	case ASK_MIGRATION_NONE:
	case ASK_MIGRATION_FAILED:
	case ASK_MIGRATION_CANCELLED:
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's save ended as %s%s%.150s", m->status,
				 m->error[0] ? ": " : "", m->error);
	case ASK_MIGRATION_COMPLETED:
		break;
	}
	r->data = r->written = m->normal * m->page_size;
	r->zero = m->duplicate * m->page_size;
	r->scanned = r->ram;
	if (s->options->live)
		r->paused += (double)m->downtime / 1000;
	return 1;
}

/* It would hold up the end of its migration. */
static int stop_guest(struct save *s, struct mr_error *err)
{
	if (!s->was_live || s->pause.stopped)
		return 0;
	s->pause.stopped = true;
	s->pause.since = watch_clock();
	return ask_stop(s->q, err);
}

/* A save that nobody wants any more. QEMU 10.0 crashes when one with several
 * channels is cancelled (a channel still uses the bitmap that the end of the
 * migration frees), so it is let come to its end. */
static int hurry(struct save *s, struct mr_error *err)
{
	watch_note(&s->options->watch,
		   "interrupted: waiting for QEMU, which cannot be stopped "
		   "safely");
	if (s->options->limit && migrate_unlimit(s->q, err))
		return -1;
	return stop_guest(s, err);
}

int save_tick(struct save *s, const atomic_bool *cancel, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	enum ask_phase phase;

	if (ask_migration_event(s->q, TICK_MS, cancel, &phase, &why) >= 0 ||
	    why.code == MR_CANCELLED)
		return 0;
	*err = why;
	return -1;
}

/* No event tells of it. */
static int wait_final(struct save *s, struct mr_error *err)
{
	const struct timespec pause = { .tv_nsec = FINAL_MS * 1000000L };

	/* QEMU is still putting away a migration that has completed. */
	for (unsigned i = 0; i < FINAL_TRIES; i++) {
		struct ask_status now;

		if (ask_status(s->q, &now, err))
			return -1;
		if (strcmp(now.name, "finish-migrate") != 0)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU's save has completed, but does not end");
}

/* After it was given up, or lost with the connection: as long as it is under
 * way QEMU refuses `cont`, and to have its settings put back. */
void save_wait_end(struct save *s)
{
	const struct timespec nap = { .tv_nsec = TICK_MS * 1000000L };
	double until = watch_clock() + ANSWER_MS / 1000.0;
	struct ask_migration m;

	if (save_reach(s))
		return;
	for (int i = 0; watch_clock() < until; i++) {
		if (ask_migration(s->q, &m, NULL) ||
		    m.phase == ASK_MIGRATION_NONE ||
		    m.phase == ASK_MIGRATION_COMPLETED ||
		    m.phase == ASK_MIGRATION_FAILED ||
		    m.phase == ASK_MIGRATION_CANCELLED)
			break;
		if (i == 0)
			(void)stop_guest(s, NULL);
		(void)nanosleep(&nap, NULL);
	}
	(void)wait_final(s, NULL);
}

/* Until QEMU says that it is over, whatever the end. */
static int follow(struct save *s, struct mr_error *err)
{
	const atomic_bool *cancel = s->options->watch.cancel;
	bool cancelled = false;
	int rc;

	for (;;) {
		struct ask_migration m;

		if (ask_migration(s->q, &m, err))
			return -1;
		pause_alive(&s->pause);
		rc = save_judge(s, &m, err);
		if (rc)
			break;
		if (cancel && atomic_load(cancel)) {
			cancelled = true;
			cancel = NULL; /* heeded */
			rc = hurry(s, err);
		} else {
			rc = save_tick(s, cancel, err);
		}
		if (rc)
			break;
	}
	if (rc > 0 && wait_final(s, err))
		rc = -1;
	if (cancelled) {
		if (err)
			*err = (struct mr_error)MR_ERROR_INIT;
		return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
				 "interrupted");
	}
	return rc > 0 ? 0 : -1;
}

int save_lend(struct save *s, const struct migrate_form *form,
	      struct save_lent *lent, struct mr_error *err)
{
	struct migrate_settings set;

	if (migrate_look(s->q, s->guest, form, &lent->was, &set, err) ||
	    migrate_will(&s->pause, &lent->was, s->fdset, false, err))
		return -1;
	lent->set = true;
	return migrate_set(s->q, &set, err);
}

static int lend(struct save *s, struct output *o, struct save_lent *lent,
		struct mr_error *err)
{
	const struct migrate_form form = { .mapped_ram = true,
					   .channels = s->report->jobs,
					   .direct = s->report->direct,
					   .events = true,
					   .limit = s->options->limit };

	return save_lend(s, &form, lent, err) ||
			       migrate_add_file(s->q, s->fdset, o->file.fd,
						O_WRONLY, form.direct, err)
		       ? -1
		       : 0;
}

static int migrate(struct save *s, struct output *o, struct save_lent *lent,
		   struct mr_error *err)
{
	char uri[64];
	int rc;

	qmp_limit(s->q, ANSWER_MS, NULL);
	if (pause_guarded(&s->pause, err) || lend(s, o, lent, err))
		return -1;
	(void)snprintf(uri, sizeof(uri), "file:/dev/fdset/%" PRId64, s->fdset);
	rc = ask_migrate(s->q, uri, err) ? -1 : follow(s, err);
	if (rc)
		save_wait_end(s);
	/* From here the VM is in postmigrate: `cont` is needed. */
	if (!rc && s->was_live && !s->pause.stopped) {
		s->pause.stopped = true;
		s->pause.since = watch_clock();
	}
	return rc;
}

/* The set is gone with the last of its files,
 * so that QEMU knows it no more is no failure. */
int save_take_back(struct save *s, const struct save_lent *lent)
{
	if (!lent->set)
		return 0;
	qmp_limit(s->q, ANSWER_MS, NULL);
	if (save_reach(s))
		return -1;
	(void)qmp_remove_fdset(s->q, s->fdset, NULL);
	return migrate_restore(s->q, &lent->was);
}

/* QEMU stopped the VM for us, so it wrote "paused": puts the run state in
 * that the VM was found in. */
static int set_run_state(struct save *s, struct output *o,
			 const struct mr_image_info *info, struct mr_error *err)
{
	const struct mr_section *g = NULL;
	struct stream_globalstate state = { 0 };
	uint8_t buf[STREAM_GLOBALSTATE_SIZE];
	struct fault f;

	for (size_t i = 0; i < info->n_sections && !g; i++)
		if (!strcmp(info->sections[i].name, STREAM_GLOBALSTATE))
			g = &info->sections[i];
	if (!g || g->payload != sizeof(buf))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU wrote no globalstate section to put the "
				 "run state into");
	if (io_read_full(&o->file.io, buf, sizeof(buf), g->offset + g->header,
			 err))
		return -1;
	if (stream_globalstate_decode(buf, sizeof(buf), &state, &f) < 0)
		return error_fault(err, &f, g->offset + g->header);
	if (!strcmp(state.runstate, s->found->image))
		return 0; /* as it is after a live save */
	memset(state.runstate, 0, sizeof(state.runstate));
	(void)snprintf(state.runstate, sizeof(state.runstate), "%s",
		       s->found->image);
	(void)stream_globalstate_encode(buf, &state);
	return io_write_full(&o->file.io, buf, sizeof(buf),
			     g->offset + g->header, err);
}

/* "completed" is no proof: the file must be what we asked for. */
static int settle(struct save *s, struct output *o, struct mr_error *err)
{
	const struct mr_image_info *info;
	struct mr_image *img;
	struct stat st;
	int rc = -1;

	if (fstat(o->file.fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	o->file.io.size = s->report->size = (uint64_t)st.st_size;
	img = image_open_io(&o->file.io, NULL, err);
	if (!img)
		return -1;
	info = mr_image_info(img);
	if (info->damage.code != MR_OK)
		(void)error_set(err, MR_QMP, info->damage.offset,
				"QEMU's file is damaged: %.150s",
				info->damage.msg);
	else if (info->kind != MR_IMAGE_MAPPED || !info->ended)
		(void)error_set(err, MR_QMP, MR_NO_OFFSET,
				"QEMU said completed, but its file is no whole "
				"mapped-ram image");
	else
		rc = set_run_state(s, o, info, err);
	if (info->has_vmdesc)
		s->report->description = MR_DESCRIPTION_FRESH;
	mr_image_free(img);
	return rc;
}

/*
 * A guest that was suspended (S3) when it was stopped is still so, although
 * its run state is `paused`. After its own save QEMU calls it postmigrate, and
 * aborts when it is told to go on from there.
 */
static int refuse_suspended(struct save *s, struct mr_error *err)
{
	struct device_state state = { 0 };
	bool suspended = false;
	int rc;

	if (s->was_live || s->guest->major < 9)
		return 0;
	rc = device_state_fetch(&state, s->q, s->fdset, s->found->image, err);
	if (!rc)
		suspended = state.was_suspended;
	device_state_release(&state);
	if (suspended)
		rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			       "the guest was suspended before it was stopped: "
			       "QEMU would abort at the `cont` after its own "
			       "save; take the engine direct, or wake it up");
	return rc;
}

/* QEMU writes single pages, some of them smaller than what the file system
 * takes around the page cache. */
static int choose_direct(struct save *s, const struct output *o,
			 struct mr_error *err)
{
	uint32_t page = s->guest->target.page_size;

	s->report->direct =
		o->file.direct_fd >= 0 && page && page % o->file.align == 0;
	if (s->report->direct || s->options->direct != MR_DIRECT_ON)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "no direct I/O: the VM's pages have %" PRIu32
			 " bytes, the file takes multiples of %" PRIu32,
			 page, o->file.align);
}

static int publish(struct save *s, struct output *o, struct mr_error *err)
{
	return settle(s, o, err) ? error_about(err, SAVE_IMAGE)
				 : save_publish(s, o, err);
}

/* The VM is in postmigrate for as long as nobody resumes it. */
static int while_paused(struct save *s, struct mr_error *err)
{
	struct ask_status was, now;

	if (!s->options->while_paused)
		return 0;
	if (ask_status(s->q, &was, err))
		return error_about(err, SAVE_VM);
	if (save_while_paused(s, err))
		return -1;
	if (ask_status(s->q, &now, err))
		return error_about(err, SAVE_VM);
	if (!strcmp(was.name, now.name))
		return 0;
	(void)error_set(err, MR_QMP, MR_NO_OFFSET,
			"the VM went from %s to %s meanwhile: its memory is of "
			"another moment",
			was.name, now.name);
	return error_about(err, SAVE_VM);
}

int save_qemu(struct save *s, struct mr_error *err)
{
	struct output o = OUTPUT_NONE;
	struct save_lent lent = { .was = MIGRATE_SETTINGS_NONE };
	bool stays = s->options->leave_paused;
	int rc;

	s->report->jobs =
		s->options->jobs ? s->options->jobs : crew_default_jobs();
	if (output_create(&o, s->image, save_rule(s), s->options->direct, err))
		return error_about(err, SAVE_IMAGE);
	o.file.io.who = SAVE_IMAGE;
	if (choose_direct(s, &o, err)) {
		output_discard(&o);
		return error_about(err, SAVE_IMAGE);
	}
	watch_note(&s->options->watch, "engine qemu, %s, %u channels",
		   s->report->direct ? "direct I/O" : "buffered I/O",
		   s->report->jobs);
	rc = save_hold(s, &o, s->options->live, err);
	if (!rc)
		rc = refuse_suspended(s, err);
	if (!rc)
		rc = migrate(s, &o, &lent, err);
	if (rc)
		(void)error_about(err, SAVE_VM);
	else
		rc = while_paused(s, err);
	if (!rc && stays)
		rc = publish(s, &o, err);
	if (save_resume(s, rc != 0, err))
		rc = -1;
	else if (!rc && (!s->was_live || stays))
		s->report->vm = MR_VM_POSTMIGRATE;
	save_let_go(s, !save_take_back(s, &lent));
	if (!rc && !stays)
		rc = publish(s, &o, err);
	output_discard(&o);
	return rc;
}
