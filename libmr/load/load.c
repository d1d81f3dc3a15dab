/*
 * load.c - mr_load: a waiting QEMU loads an image. If it is too old to read
 * mapped-ram, the image is played to it (player.c).
 *
 * All questions come first; QEMU's settings are touched only when image and
 * VM fit. From `migrate-incoming` on there is no way back: a QEMU takes one
 * attempt, so whatever fails then leaves it of no use (MR_VM_LOST).
 */
#include "libmr/load/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/image/mark.h"
#include "libmr/image/plain.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/migrate.h"
#include "libmr/vm/pause.h"
#include "libmr/vm/preflight.h"
#include "libmr/vm/qmp.h"
#include "libmr/vm/runstate.h"
#include "libmr/vm/work.h"
#include "libmr/base/watch.h"

#define CONNECT_MS 10000
#define TICK_MS 100
#define ANSWER_MS 60000
/* Whom nobody can watch is given the time that a slow disk takes: bytes/s. */
#define SLOW 4194304.0
/* However few CPUs there are: QEMU's loading thread hands pages out to its
 * channels, and while all are busy with the disk it spins. On 2 CPUs 2
 * channels cost a loaded GiB up to twice the CPU of 8, and took longer. */
#define CHANNELS 8u

/* ---- before anything is sent ---- */

/* No mapped-ram, and no file: to rely on. */
static bool is_old(const struct guest *g)
{
	return g->major < 9;
}

/* Before it is asked for anything else. */
static int check_version(const struct load *l, struct mr_error *err)
{
	struct ask_version v;

	if (ask_version(l->q, &v, err))
		return -1;
	if (v.major > 4 || (v.major == 4 && v.minor >= 2))
		return 0;
	return error_set(
		err, MR_REFUSED, MR_NO_OFFSET,
		"QEMU %d.%d does not load out of a descriptor that it "
		"is lent: that came with 4.2; mrsend plays an image "
		"into a QEMU that was started with -incoming unix:PATH",
		v.major, v.minor);
}

/* It is played to QEMU. */
static int choose_sent(struct load *l, const char *why, struct mr_error *err)
{
	struct mr_load_report *r = l->report;

	r->way = MR_LOAD_SENT;
	r->jobs = 0;
	(void)snprintf(r->why, sizeof(r->why), "%s", why);
	return plain_check(l->info, err) ? error_about(err, LOAD_IMAGE) : 0;
}

static int choose_way(struct load *l, struct mr_error *err)
{
	const struct guest *g = l->guest;
	char why[sizeof(l->report->why)];

	if (l->info->has_pack)
		return choose_sent(l, "QEMU does not read packs", err);
	/* One before 9.1 would, with that capability on. */
	if (image_compressed(l->info))
		return choose_sent(l,
				   "its pages are compressed one by one "
				   "(capability compress)",
				   err);
	if (l->info->kind != MR_IMAGE_MAPPED)
		return 0;
	if (!is_old(g) && g->major < 11 && l->info->ignore_shared)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU %d.%d cannot load a mapped-ram image "
				 "that was saved with x-ignore-shared: that "
				 "came with 11.0",
				 g->major, g->minor);
	if (!is_old(g))
		return 0;
	(void)snprintf(why, sizeof(why),
		       "QEMU %d.%d has no mapped-ram, that came with 9.0",
		       g->major, g->minor);
	return choose_sent(l, why, err);
}

/* It must wait, and not have been given anything yet. */
static int check_waiting(const struct load *l, struct mr_error *err)
{
	struct ask_migration m;

	if (strcmp(l->guest->status, "inmigrate") != 0)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the VM is in run state %s: an image is loaded "
			"into a QEMU started with -incoming defer",
			l->guest->status);
	if (ask_migration(l->q, &m, err))
		return -1;
	if (m.phase == ASK_MIGRATION_FAILED)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"this QEMU has failed to load already, and tries "
			"only once: start a new one");
	if (m.phase != ASK_MIGRATION_NONE)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this QEMU is loading already, or waits for a "
				 "sender (%s): start it with -incoming defer",
				 m.status);
	return 0;
}

static int check_fit(struct load *l, struct mr_error *err)
{
	const struct mr_load_options *o = l->options;
	int pci = ask_pci(l->q, l->guest->pci, err);

	l->guest->has_pci = l->report->pci = pci > 0;
	if (pci < 0 || target_ask(&l->guest->target, l->q, err) ||
	    ask_cpus(l->q, &l->guest->cpus, err) ||
	    (l->info->ignore_shared && guest_ask_files(l->guest, l->q, err)))
		return -1;
	l->report->mismatches =
		load_compare(l->info, l->guest, o->mismatch, o->mismatch_arg);
	if (!l->report->mismatches)
		return 0;
	return error_set(err, MR_MISMATCH, MR_NO_OFFSET,
			 "the image does not fit this VM: %zu mismatch%s",
			 l->report->mismatches,
			 l->report->mismatches == 1 ? "" : "es");
}

/* QEMU's reads of a mapped-ram image by several channels may be direct. */
static int choose_direct(struct load *l, struct mr_error *err)
{
	bool on = l->options->direct == MR_DIRECT_ON;
	bool aligned = true;

	if (l->options->direct == MR_DIRECT_OFF ||
	    l->report->way == MR_LOAD_SENT)
		return 0;
	if (l->info->kind != MR_IMAGE_MAPPED) {
		if (!on)
			return 0;
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"no direct I/O with a plain stream");
		return error_about(err, LOAD_IMAGE);
	}
	if (!migrate_has_direct(l->guest))
		return on ? error_set(err, MR_REFUSED, MR_NO_OFFSET,
				      "QEMU %d.%d has no direct I/O: that came "
				      "with 9.1",
				      l->guest->major, l->guest->minor)
			  : 0;
	for (size_t i = 0; i < l->info->n_blocks; i++)
		if (l->info->blocks[i].pages_offset % l->img->file.align ||
		    l->info->page_size % l->img->file.align)
			aligned = false;
	if (!aligned && on) {
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"no direct I/O: the pages do not lie at "
				"multiples of %" PRIu32 " bytes",
				l->img->file.align);
		return error_about(err, LOAD_IMAGE);
	}
	l->report->direct = aligned && l->img->file.direct_fd >= 0;
	return 0;
}

static void describe(struct load *l)
{
	struct mr_load_report *r = l->report;

	(void)snprintf(r->machine, sizeof(r->machine), "%s", l->info->machine);
	(void)snprintf(r->saved, sizeof(r->saved), "%s", l->info->run_state);
	r->blocks = l->info->n_blocks;
	r->ram = l->info->ram;
	r->allocated = l->info->file_allocated;
	if (l->info->kind == MR_IMAGE_MAPPED)
		r->jobs = l->options->jobs ? l->options->jobs : CHANNELS;
}

/* Of a plain stream QEMU writes every page that it has. */
static int check_fresh(struct load *l, struct mr_error *err)
{
	if (l->report->way == MR_LOAD_SENT)
		return guest_ask_files(l->guest, l->q, err);
	if (l->info->kind != MR_IMAGE_MAPPED && !l->info->ignore_shared)
		return 0;
	return fresh_look(l->guest, l->q, l->img, l->options->force, &l->seen,
			  err);
}

static int look(struct load *l, struct mr_error *err)
{
	if (check_version(l, err))
		return -1;
	l->guest = guest_open_any(l->q, err);
	if (!l->guest)
		return -1;
	l->pid = l->guest->pid;
	if (choose_way(l, err) || check_waiting(l, err) || check_fit(l, err) ||
	    choose_direct(l, err) || preflight_descriptors(l->q, err) ||
	    check_fresh(l, err))
		return -1;
	(void)snprintf(l->report->run_state, sizeof(l->report->run_state), "%s",
		       l->guest->status);
	return 0;
}

/* ---- the run state afterwards ---- */

/* What QEMU reads, or is sent, is the open file: nobody can put another in its
 * place, but it can be written to. */
static int check_verified(const struct load *l, bool loaded,
			  struct mr_error *err)
{
	const struct mr_file_mark *was = l->options->verified;
	int same = was ? image_is_as(l->img, was, err) : 1;

	if (same > 0)
		return 0;
	if (!same)
		(void)error_set(err, MR_MISMATCH, MR_NO_OFFSET,
				loaded ? "written to, or replaced, while it "
					 "was loaded: what the VM has is not "
					 "what was verified"
				       : "written to, or replaced, since it "
					 "was verified");
	return error_about(err, LOAD_IMAGE);
}

/* What the guest is to do: 1 run, 0 stand still, -1 what QEMU makes of it. */
static int wanted_run(const struct load *l)
{
	if (l->options->then != MR_THEN_AS_SAVED)
		return l->options->then == MR_THEN_RUN;
	/* libvirt stops a guest before it saves it. */
	if (l->info->has_libvirt)
		return l->info->libvirt.was_running;
	return l->info->run_state[0] ? runstate_is_live(l->info->run_state)
				     : -1;
}

static int look_state(struct load *l, struct mr_error *err)
{
	struct ask_status now;

	if (ask_status(l->q, &now, err))
		return -1;
	(void)snprintf(l->report->run_state, sizeof(l->report->run_state), "%s",
		       now.name);
	return 0;
}

static int set_running(struct load *l, bool run, struct mr_error *err)
{
	return run ? ask_cont(l->q, err) : ask_stop(l->q, err);
}

/* A state that no loading told QEMU of beforehand: a guest saved while it
 * stood still is loaded so. */
static int settle(struct load *l, int run, struct mr_error *err)
{
	const char *state = l->report->run_state;

	if (look_state(l, err))
		return -1;
	if (run < 0 || (run != 0) == runstate_is_live(state))
		return 0;
	return set_running(l, run, err) || look_state(l, err) ? -1 : 0;
}

/* ---- QEMU at work ---- */

static void show_progress(const struct load *l, bool end)
{
	const struct mr_watch *w = &l->options->watch;
	uint64_t total = l->report->data ? l->report->data : l->report->ram;
	uint64_t now = work_read(l->pid);

	if (!w->progress)
		return;
	now = now > l->read_before ? now - l->read_before : 0;
	if (now > total || end)
		now = total;
	w->progress(w->arg, now, total);
}

static int fail_load(struct load *l, struct mr_error *err)
{
	struct ask_migration m;

	if (ask_migration(l->q, &m, err))
		return -1;
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU could not load it: %s",
			 m.error[0] ? m.error : "no reason given");
}

/* QEMU's main loop may hear nobody before it has read all of the memory; as
 * long as it reads, it may go on. */
static bool goes_on(void *arg)
{
	struct load *l = arg;

	if (l->report->way != MR_LOAD_SENT)
		show_progress(l, false);
	l->stalled = !work_goes_on(&l->work, watch_clock());
	return !l->stalled;
}

static void begin_work(struct load *l)
{
	double patience = load_patience(l);

	if (!l->pid)
		patience += (double)l->report->ram / SLOW;
	l->read_before = work_read(l->pid);
	work_begin(&l->work, l->pid, patience, watch_clock());
	qmp_limit(l->q, TICK_MS, l->options->watch.cancel);
	qmp_patience(l->q, goes_on, l);
}

/* Until QEMU says that it is over. */
static int follow(struct load *l, struct mr_error *err)
{
	enum ask_phase phase = ASK_MIGRATION_NONE;

	while (phase != ASK_MIGRATION_COMPLETED &&
	       phase != ASK_MIGRATION_FAILED) {
		if (ask_migration_event(l->q, TICK_MS, l->options->watch.cancel,
					&phase, err) < 0)
			return -1;
		if (phase == ASK_MIGRATION_COMPLETED)
			show_progress(l, true);
		else if (phase != ASK_MIGRATION_FAILED && !goes_on(l))
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "QEMU has not got on with the loading "
					 "for %.0f s",
					 l->work.patience);
	}
	return phase == ASK_MIGRATION_COMPLETED ? 0 : fail_load(l, err);
}

/* What to do about a QEMU that is of no use any more, in as many words as
 * the error has room for. */
static void add_advice(const struct load *l, struct mr_error *err)
{
	const char *advice = "its own output may say "
			     "more; start a new QEMU for the next try";
	size_t n;

	if (!err)
		return;
	n = strlen(err->msg);
	if (err->code == MR_MISMATCH)
		advice = "start a new QEMU for the next try";
	else if (l->gone || (qmp_broken(l->q) && err->code != MR_CANCELLED))
		advice = "QEMU has ended, see what it said itself";
	else if (err->code == MR_CANCELLED && l->report->way != MR_LOAD_SENT)
		advice = "QEMU goes on loading by itself, quit it if it is "
			 "not wanted";
	if (n + strlen(advice) + 3 > sizeof(err->msg))
		n = sizeof(err->msg) - strlen(advice) - 3;
	(void)snprintf(err->msg + n, sizeof(err->msg) - n, "; %s", advice);
}

/* What cannot be cleared is left as it is only if that is wanted. */
static int clear_old(const struct load *l, struct mr_error *err)
{
	const struct mr_load_options *o = l->options;
	struct mr_error why = MR_ERROR_INIT;

	if (!l->seen || l->info->kind != MR_IMAGE_MAPPED ||
	    !fresh_make(l->guest, l->img, &o->watch, &why))
		return 0;
	if (o->force && why.code == MR_REFUSED) {
		watch_note(&o->watch, "%s", why.msg);
		return 0;
	}
	if (err && err->code == MR_OK)
		*err = why;
	return -1;
}

/* What QEMU has of ours. */
struct lent {
	struct migrate_settings was;
	int64_t set; /* of descriptors */
	bool named; /* one, by its name */
};

static int lend(struct load *l, struct lent *lent, struct mr_error *err)
{
	if (is_old(l->guest) || l->report->way == MR_LOAD_SENT) {
		lent->named = true;
		return l->report->way == MR_LOAD_SENT
			       ? player_begin(&l->player, l, err)
			       : migrate_lend_file(l->q, l->img->file.fd,
						   l->info->stream_offset, err);
	}
	return ask_free_fdset(l->q, &lent->set, err) ||
			       migrate_add_file(l->q, lent->set,
						l->img->file.fd, O_RDONLY,
						l->report->direct, err)
		       ? -1
		       : 0;
}

static int start_incoming(struct load *l, const struct lent *lent,
			  struct mr_error *err)
{
	char uri[96];
	int n = snprintf(uri, sizeof(uri), "file:/dev/fdset/%" PRId64,
			 lent->set);

	if (lent->named)
		(void)snprintf(uri, sizeof(uri), "fd:%s", QMP_LENT_FD);
	else if (l->info->stream_offset)
		(void)snprintf(uri + n, sizeof(uri) - (size_t)n,
			       ",offset=%" PRIu64, l->info->stream_offset);
	begin_work(l);
	return ask_migrate_incoming(l->q, uri, migrate_has_direct(l->guest),
				    err);
}

static int prepare(struct load *l, struct lent *lent, struct mr_error *err)
{
	struct migrate_form form = {
		.mapped_ram = l->info->kind == MR_IMAGE_MAPPED &&
			      l->report->way != MR_LOAD_SENT,
		.ignore_shared = l->info->ignore_shared,
		.channels = l->report->jobs,
		.direct = l->report->direct,
		.events = true,
	};
	struct migrate_settings set_to;
	int run = wanted_run(l), rc;

	watch_note(&l->options->watch, "%s, %s, %u channels",
		   form.mapped_ram ? "mapped-ram" : "plain stream",
		   form.direct ? "direct I/O" : "buffered I/O", form.channels);
	rc = migrate_look(l->q, l->guest, &form, &lent->was, &set_to, err) ||
			     migrate_set(l->q, &set_to, err)
		     ? -1
		     : 0;
	/* While it waits these say what comes afterwards, -S or not; a guest
	 * that is to be looked at first stands still until settle(). */
	if (!rc && run >= 0)
		rc = set_running(l, run && !l->options->verified, err);
	return rc ? -1 : lend(l, lent, err);
}

/* Until QEMU has it all. */
static int give(struct load *l, struct mr_error *err)
{
	if (l->report->way == MR_LOAD_SENT) {
		if (player_run(&l->player, l, err))
			return -1;
		begin_work(l);
	}
	return follow(l, err);
}

/* From here there is no way back. */
static int incoming(struct load *l, struct lent *lent, struct mr_error *err)
{
	int rc = start_incoming(l, lent, err);

	if (rc && qmp_said_no(l->q))
		return -1;
	lent->named = false;
	l->report->vm = MR_VM_LOST;
	if (rc || give(l, err) || check_verified(l, true, err))
		return -1;
	l->report->vm = MR_VM_LOADED;
	qmp_patience(l->q, NULL, NULL);
	qmp_limit(l->q, ANSWER_MS, l->options->watch.cancel);
	return settle(l, wanted_run(l), err);
}

/* What was set for the loading would spoil the next migration, somebody
 * else's. A QEMU that still loads does not answer. */
static int take_back(struct load *l, const struct lent *lent,
		     struct mr_error *err)
{
	if (qmp_broken(l->q) || l->stalled || l->gone ||
	    (l->report->vm == MR_VM_LOST && err->code == MR_CANCELLED))
		return 0;
	qmp_patience(l->q, NULL, NULL);
	qmp_limit(l->q, ANSWER_MS, NULL);
	if (lent->set >= 0)
		(void)qmp_remove_fdset(l->q, lent->set, NULL);
	if (lent->named)
		(void)qmp_take_fd_back(l->q, NULL);
	if (!migrate_restore(l->q, &lent->was))
		return 0;
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU's migration settings could not be put back: "
			 "mapped-ram and multifd may still be on");
}

static int load(struct load *l, struct mr_error *err)
{
	struct lent lent = { .was = MIGRATE_SETTINGS_NONE, .set = -1 };
	int rc;

	l->report->vm = MR_VM_AS_FOUND;
	qmp_limit(l->q, ANSWER_MS, l->options->watch.cancel);
	rc = check_verified(l, false, err) || clear_old(l, err) ||
			     prepare(l, &lent, err) || incoming(l, &lent, err)
		     ? -1
		     : 0;
	player_release(&l->player);
	return take_back(l, &lent, err) ? -1 : rc;
}

int mr_load(const char *image, const char *vm,
	    const struct mr_load_options *options,
	    struct mr_load_report *report, struct mr_error *err)
{
	struct load l = { .options = options,
			  .report = report,
			  .player = PLAYER_NONE };
	double begin = watch_clock();
	int rc = -1;

	*report = (struct mr_load_report){ .vm = MR_VM_UNTOUCHED };
	l.img = image_open_loadable(image, NULL, options->direct, true,
				    &options->watch, &report->data, err);
	if (!l.img) {
		(void)error_about(err, LOAD_IMAGE);
		goto out;
	}
	l.info = mr_image_info(l.img);
	describe(&l);
	if (check_verified(&l, false, err))
		goto out;
	if (image_trust(l.img, options->force, &options->watch, &report->seal,
			err) ||
	    runstate_check_saved(l.info->run_state, err)) {
		(void)error_about(err, LOAD_IMAGE);
		goto out;
	}
	l.q = qmp_open(vm, CONNECT_MS, options->watch.cancel, err);
	if (l.q) {
		qmp_limit(l.q, CONNECT_MS, options->watch.cancel);
		rc = look(&l, err);
		/* What QEMU says no to is known beforehand. */
		if (rc && err->code == MR_QMP && qmp_said_no(l.q))
			err->code = MR_REFUSED;
	}
	if (!rc && !options->check_only)
		rc = load(&l, err);
	if (rc)
		(void)error_about(err, LOAD_VM);
	if (report->vm == MR_VM_LOST)
		add_advice(&l, err);
out:
	guest_free(l.guest);
	qmp_free(l.q);
	mr_image_free(l.img);
	report->seconds = watch_clock() - begin;
	return rc;
}
