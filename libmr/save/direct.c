/*
 * direct.c - a paused VM's memory, read from outside, into an image.
 *
 * Shared memory on huge pages is not copied first: it is looked at and
 * written from where it is.
 */
#include "libmr/save/state.h"

#include <stdio.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/memory/image_sink.h"
#include "libmr/vm/device_state.h"
#include "libmr/vm/still.h"

/* Whatever QEMU is asked while its guest stands still; it may have to wait for
 * its disks first. */
#define ANSWER_MS 60000

struct copy {
	struct save *save;
	uint64_t done; /* bytes, when that was looked at last */
	struct image_writer w;
	struct image_sink sink;
	struct memory_tally tally;
	struct crew_leavers leavers;
	struct save_description description;
};

/* Ten times a second: the guest does not wait for a storage that has gone. */
static void show_progress(void *arg, uint64_t done, uint64_t total)
{
	struct copy *c = arg;
	const struct mr_watch *w = &c->save->options->watch;

	if (done != c->done)
		pause_alive(&c->save->pause);
	c->done = done;
	if (w->progress)
		w->progress(w->arg, done, total);
}

/* A copy failed. Memory that went away is a bad address to the kernel. */
static void say_why(const struct save *s, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	if (err->code != MR_CANCELLED && guest_is_whole(s->guest, &why)) {
		*err = why;
		(void)error_about(err, SAVE_VM);
	}
}

static const char *why_no_base(const struct save *s)
{
	if (s->base.comparable)
		return "none of the VM's memory is as it is there";
	if (s->options->no_seal)
		return "no memory of the VM is a mapping of it";
	return "no memory of the VM is a mapping of it, and for all others it "
	       "may hold stale data: mrverify --repair";
}

/* Pages of the base that are in the image as they were: never looked at, or
 * found to be the same. */
static void count_kept(struct save *s, struct copy *c)
{
	struct mr_save_report *r = s->report;
	uint64_t pages = 0, untouched;

	for (size_t i = 0; i < c->w.n; i++)
		pages += bits_count(c->w.blocks[i].bits, 0,
				    c->w.blocks[i].place.num_pages);
	untouched = pages * IMAGE_PAGE - c->tally.data;
	r->kept = untouched + c->tally.same;
	c->tally.untouched -= untouched;
	c->tally.data += untouched;
	if (!r->kept)
		(void)snprintf(r->no_base, sizeof(r->no_base), "%s",
			       why_no_base(s));
}

/* All that happens while the guest stands still. */
static int copy_paused(struct save *s, struct copy *c, struct mr_error *err)
{
	const struct mr_watch watch = { .progress = show_progress,
					.cancel = s->options->watch.cancel,
					.arg = c };
	const struct memory_copy_options o = { .jobs = s->options->jobs,
					       .watch = &watch,
					       .leavers = &c->leavers };
	struct device_state state = { 0 };
	struct memory *m = NULL;
	struct still still = { .q = NULL };
	int rc = -1;

	/* Memory may have been plugged since the preflight. The device state
	 * comes first, so that it is known what is where in the image. */
	if (save_describe(s, &c->description, err) ||
	    still_begin(&still, s->q, s->guest, err) ||
	    guest_map(s->guest, err) || save_memory_devices(s, err) ||
	    device_state_fetch(&state, s->q, s->fdset, s->found->image, err)) {
		(void)error_about(err, SAVE_VM);
		goto out;
	}
	pause_alive(&s->pause);
	save_label(s, &c->w);
	s->report->device = state.len;
	c->sink.device = (struct image_device){
		.sections = state.data + STREAM_HEADER_SIZE,
		.len = state.len - STREAM_HEADER_SIZE,
	};
	save_describes(s, &c->description, &c->sink.device);
	m = memory_of_guest(s->guest, s->options->zero_copy, err);
	if (!m)
		goto out;
	m->who = SAVE_VM;
	if (c->sink.base)
		memory_since(m, c->sink.base->img, IMAGE_EXTENT);
	if (memory_copy(m, &c->sink.sink, &o, &c->tally, err)) {
		say_why(s, err);
		goto out;
	}
	if (c->sink.base)
		count_kept(s, c);
	pause_alive(&s->pause);
	/* The caller's part comes when little can fail any more; and the proof
	 * is of that, too. */
	if (c->sink.sink.ops->end(&c->sink.sink, err) ||
	    save_while_paused(s, err))
		goto out;
	rc = still_prove(&still, err);
	if (rc)
		(void)error_about(err, SAVE_VM);
out:
	memory_free(m);
	device_state_release(&state);
	still_release(&still);
	return rc;
}

static void fill_report(struct save *s, const struct copy *c)
{
	struct mr_save_report *r = s->report;

	r->ram = c->w.ram;
	r->blocks = c->w.n;
	r->untouched = c->tally.untouched;
	r->scanned = c->tally.scanned;
	r->zero = c->tally.zero;
	r->data = c->tally.data;
	r->written = c->tally.written;
	r->size = c->w.size;
	r->sealed = c->w.sealed;
	r->direct = c->w.out.file.direct_fd >= 0;
	r->jobs = c->tally.jobs;
}

/* Without a use for it the save is an ordinary one. */
static int try_base(struct save *s, struct copy *c, struct mr_error *err)
{
	struct mr_save_report *r = s->report;
	struct mr_error why = MR_ERROR_INIT;

	if (!image_base_try(&s->base, &c->w, &why)) {
		c->sink.base = &s->base;
		return 0;
	}
	if (why.code != MR_UNSUPPORTED) {
		*err = why;
		return error_about(err, SAVE_IMAGE);
	}
	(void)snprintf(r->no_base, sizeof(r->no_base), "%s", why.msg);
	return 0;
}

int save_direct(struct save *s, struct mr_error *err)
{
	bool stays = s->options->leave_paused;
	struct copy c = { .save = s, .w = IMAGE_WRITER_NONE };
	struct stream_config config = { .has_uuid = s->keep_uuid };
	int rc = -1;

	if (image_writer_open(&c.w, s->image, save_rule(s), s->options->direct,
			      !s->options->no_seal, err))
		return error_about(err, SAVE_IMAGE);
	c.w.out.file.io.who = SAVE_IMAGE;
	image_sink_init(&c.sink, &c.w);
	memcpy(config.uuid, s->report->uuid, sizeof(config.uuid));
	c.sink.config = &config;
	if (s->base.img && try_base(s, &c, err))
		goto out;
	watch_note(&s->options->watch, "engine direct, %s",
		   c.w.out.file.direct_fd >= 0 ? "direct I/O" : "buffered I/O");
	save_describe_look(s);
	if (!save_hold(s, &c.w.out, false, err)) {
		qmp_limit(s->q, ANSWER_MS, s->options->watch.cancel);
		rc = copy_paused(s, &c, err);
	}
	fill_report(s, &c);
	if (!rc && stays)
		rc = save_publish(s, &c.w.out, err);
	if (save_resume(s, rc != 0, err))
		rc = -1;
	if (s->describe)
		save_let_go(s, !s->describe_left);
	save_keep(s, &c.sink.device);
	/* The guest need not wait for the disk's last word. */
	if (!rc && !stays)
		rc = save_publish(s, &c.w.out, err);
	if (rc && s->fdset >= 0 && !save_reach(s))
		(void)qmp_remove_fdset(s->q, s->fdset, NULL);
out:
	c.sink.sink.ops->abandon(&c.sink.sink);
	crew_leavers_join(&c.leavers);
	save_description_release(&c.description);
	return rc;
}
