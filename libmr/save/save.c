/*
 * save.c - the verb mr_save: look, choose an engine, let it work.
 *
 * direct.c and qemu.c are the engines, hold.c is what they share.
 */
#include "libmr/save/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/file/output.h"
#include "libmr/image/writer.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/preflight.h"
#include "libmr/base/watch.h"

#define CONNECT_MS 5000
/* Before the VM is touched nobody waits long for a QEMU that says nothing. */
#define QUESTION_MS 10000

const char *mr_engine_name(enum mr_engine engine)
{
	static const char *const names[] = { "auto", "direct", "qemu" };

	return names[engine];
}

const char *mr_vm_fate_name(enum mr_vm_fate fate)
{
	static const char *const names[] = { "untouched", "as found",
					     "paused",	  "postmigrate",
					     "loaded",	  "lost" };

	return names[fate];
}

/* Whether QEMU can save itself, and its settings can be put back. */
static int check_qemu(struct save *s, struct mr_error *err)
{
	const struct migrate_form form = { .mapped_ram = true,
					   .channels = 1,
					   .direct = true,
					   .events = true };
	struct migrate_settings was, set;

	return preflight_qemu(s->guest, s->q, err) ||
			       migrate_look(s->q, s->guest, &form, &was, &set,
					    err)
		       ? -1
		       : 0;
}

static int direct_can(struct save *s, struct mr_error *err)
{
	if (preflight_direct(s->guest, s->q, err))
		return -1;
	return preflight_pages(s->guest, IMAGE_PAGE, err);
}

/* Which engine, and whether it can: fills report->engine and why. */
static int choose(struct save *s, struct mr_error *err)
{
	struct mr_save_report *r = s->report;
	struct mr_error why = MR_ERROR_INIT;

	r->engine = s->options->engine;
	if (s->options->live == MR_LIVE_BACKGROUND) {
		r->engine = MR_ENGINE_QEMU;
		return save_background_can(s, err);
	}
	if (r->engine == MR_ENGINE_QEMU)
		return check_qemu(s, err);
	if (r->engine == MR_ENGINE_DIRECT)
		return direct_can(s, err);
	r->engine = MR_ENGINE_DIRECT;
	if (!direct_can(s, &why))
		return 0;
	if (why.code != MR_REFUSED && why.code != MR_UNSUPPORTED) {
		*err = why;
		return -1;
	}
	r->engine = MR_ENGINE_QEMU;
	(void)snprintf(r->why, sizeof(r->why), "%s", why.msg);
	watch_note(&s->options->watch, "engine qemu, not direct: %s", why.msg);
	if (check_qemu(s, NULL)) {
		*err = why;
		err->code = MR_REFUSED;
		return -1;
	}
	return 0;
}

static int check_room(struct save *s, const struct output_target *t,
		      struct mr_error *err)
{
	struct mr_save_report *r = s->report;

	r->room = t->room;
	r->estimate = preflight_estimate_all(s->guest);
	if (r->engine == MR_ENGINE_DIRECT &&
	    preflight_estimate(s->guest, &r->estimate, err))
		return error_about(err, SAVE_VM);
	if (r->engine == MR_ENGINE_DIRECT && !s->options->no_seal)
		r->estimate += r->estimate / 4096 * SEAL_ENTRY_SIZE;
	if (s->options->any_room || r->estimate <= r->room)
		return 0;
	/* Its estimate is all of memory, as what was touched cannot be asked
	 * for. It stands all the same: QEMU 10.0 can crash when a save of its
	 * own with several channels fails on the way. */
	if (r->engine == MR_ENGINE_QEMU &&
	    s->options->live != MR_LIVE_BACKGROUND)
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"QEMU's own save may need %" PRIu64
				" MiB, the file system has %" PRIu64
				" MiB: running out of room can crash QEMU",
				r->estimate >> 20, r->room >> 20);
	else
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"the image may need %" PRIu64
				" MiB, the file system has %" PRIu64 " MiB",
				r->estimate >> 20, r->room >> 20);
	return error_about(err, SAVE_IMAGE);
}

/* Whoever else works on this VM would resume it under us. */
static int claim(struct save *s, struct mr_error *err)
{
	if (claim_take(&s->claim, s->guest->pid, s->options->check_only, err))
		return -1;
	if (s->claim.stranger)
		watch_note(&s->options->watch,
			   "a process without rights over this VM (%d) has "
			   "taken the name of a saver: not heeded",
			   (int)s->claim.stranger);
	return 0;
}

/* The image that the VM began on, if the engine can make use of it. */
static int look_base(struct save *s, struct mr_error *err)
{
	struct mr_save_report *r = s->report;

	if (!s->options->base)
		return 0;
	if (r->engine == MR_ENGINE_QEMU) {
		(void)snprintf(r->no_base, sizeof(r->no_base),
			       "QEMU's own save knows none");
		return 0;
	}
	if (image_base_open(&s->base, s->options->base, &s->options->watch,
			    err))
		return error_about(err, SAVE_BASE);
	s->base.img->io->who = SAVE_BASE;
	return 0;
}

/* Who it is, for the report; and whether that is for the image, too. */
static int identify(struct save *s, struct mr_error *err)
{
	struct mr_save_report *r = s->report;
	const struct ask_setting *validate;
	struct ask_settings all;
	struct ask_identity id;

	if (ask_identity(s->q, &id, err) || ask_capabilities(s->q, &all, err))
		return -1;
	memcpy(r->name, id.name, sizeof(r->name));
	memcpy(r->uuid, id.uuid, sizeof(r->uuid));
	r->has_uuid = id.has_uuid;
	validate = ask_setting(&all, "validate-uuid");
	s->keep_uuid = id.has_uuid && validate && validate->flag;
	return 0;
}

int save_spare(struct save *s, bool again, struct mr_error *err)
{
	const struct mr_save_options *o = s->options;
	const char *path = o->take ? o->replaces : s->image;
	const unsigned who = o->take ? SAVE_REPLACES : SAVE_IMAGE;
	const struct gate_found was = s->replaced;
	struct output_target target;

	/* That it may be replaced at all is said elsewhere. */
	if (!path)
		return 0;
	if (output_look(path, GATE_ANY_FILE, &target, err))
		return error_about(err, who);
	s->replaced = target.found;
	if (again && target.found.exists == was.exists &&
	    target.found.dev == was.dev && target.found.ino == was.ino)
		return 0;
	if (!preflight_unused(s->guest, s->q, &target.found, o->force, err))
		return 0;
	/* All was done by then: nobody was refused beforehand. */
	if (again && err && err->code == MR_REFUSED)
		err->code = MR_UNSUPPORTED;
	return error_about(err, who);
}

static int look(struct save *s, struct mr_error *err)
{
	struct mr_save_report *r = s->report;
	struct output_target target;

	s->guest = guest_open(s->q, s->options->pid, err);
	if (!s->guest)
		return error_about(err, SAVE_VM);
	(void)snprintf(r->machine, sizeof(r->machine), "%s", s->guest->machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       s->guest->status); /* also if it is refused */
	for (size_t i = 0; i < s->guest->n_blocks; i++) {
		if (!s->guest->blocks[i].migratable)
			continue;
		r->blocks++;
		r->ram += s->guest->blocks[i].used;
	}
	if (claim(s, err) || save_found(s, err) || identify(s, err) ||
	    preflight_migrate(s->q, err) || preflight_descriptors(s->q, err) ||
	    (s->options->pid && preflight_process(s->guest, s->q, err)))
		return error_about(err, SAVE_VM);
	if (output_look(s->image, save_rule(s), &target, err))
		return error_about(err, SAVE_IMAGE);
	if (save_spare(s, false, err))
		return -1;
	if (choose(s, err))
		return error_about(err, SAVE_VM);
	if (s->options->take && s->options->leave_paused)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "who takes an image does not hold the VM");
	if (s->options->take && r->engine == MR_ENGINE_QEMU &&
	    s->options->live != MR_LIVE_BACKGROUND)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU's own save makes nothing but a "
				 "mapped-ram image: mrsave --live=background "
				 "does without it%s%s",
				 r->why[0] ? "; not direct: " : "", r->why);
	return look_base(s, err) || check_room(s, &target, err) ? -1 : 0;
}

int mr_save(const char *vm, const char *image,
	    const struct mr_save_options *options,
	    struct mr_save_report *report, struct mr_error *err)
{
	struct save s = { .image = image,
			  .options = options,
			  .report = report,
			  .claim = CLAIM_NONE,
			  .fdset = -1,
			  .pause = PAUSE_NONE };
	double begin = watch_clock();
	int rc = -1;

	*report = (struct mr_save_report){ .engine = options->engine };
	if (options->while_paused && options->live == MR_LIVE_BACKGROUND)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "nothing can be done while the guest stands "
				 "still for a background snapshot: QEMU itself "
				 "lets it go on");
	if (options->name &&
	    (strlen(options->name) > NAME_MAX_LEN ||
	     !name_is_text(options->name, strlen(options->name))))
		return error_set(err, MR_USAGE, MR_NO_OFFSET, NAME_RULE);
	if (options->limit && options->live != MR_LIVE_PRECOPY)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "the guest would wait for a limit, unless it "
				 "runs and its memory is copied before");
	s.q = qmp_open(vm, CONNECT_MS, options->watch.cancel, err);
	if (!s.q)
		return error_about(err, SAVE_VM);
	qmp_limit(s.q, QUESTION_MS, options->watch.cancel);
	if (look(&s, err)) {
		/* What QEMU says no to is known beforehand. */
		if (err->code == MR_QMP && qmp_said_no(s.q))
			err->code = MR_REFUSED;
	} else {
		if (options->check_only)
			rc = 0;
		else if (options->live == MR_LIVE_BACKGROUND)
			rc = save_background(&s, err);
		else if (report->engine == MR_ENGINE_DIRECT)
			rc = save_direct(&s, err);
		else
			rc = save_qemu(&s, err);
		/* Not any more. */
		if (err && err->code == MR_REFUSED && report->paused > 0)
			err->code = MR_UNSUPPORTED;
	}
	image_base_release(&s.base);
	kept_release(&s.kept);
	pause_release(&s.pause);
	claim_release(&s.claim);
	guest_free(s.guest);
	qmp_free(s.q);
	report->seconds = watch_clock() - begin;
	return rc;
}
