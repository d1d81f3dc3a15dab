/*
 * describe.c - QEMU says what is what in its device state.
 *
 * The device state of a paused VM that the engine direct asks for comes without
 * its description, which QEMU sends behind a migration only. So the VM is
 * migrated to us, without its memory where that is shared, and when its
 * description has come we refuse it (return_path.md): QEMU says that the
 * migration has failed, and leaves the VM as it was.
 *
 * A migration lets the disks go before its end, and takes them back when it
 * fails: meanwhile somebody else could take them, and what the host had cached
 * of them is dropped. Not so with x-colo, in which both sides go on; that
 * begins with our yes, which never comes. QEMU before 9.0 would call the VM
 * postmigrate afterwards.
 */
#include "libmr/save/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/devices/devices.h"
#include "libmr/image/writer.h"
#include "libmr/vm/ask.h"
#include "libmr/wire/intake.h"

/* Memory that may come along while the guest waits: that of a display and of
 * firmware. */
#define ALONG (UINT64_C(64) << 20)
/* Seconds without a byte. QEMU has all that it sends. */
#define SILENCE 5u
#define ANSWER_MS 60000
/* Until it has put the migration away: how often to look, and for how long. */
#define LOOK_US 200
#define END_S 60

static const struct migrate_form form = { .ignore_shared = true,
					  .refused = true };

/* Memory that nobody wants. */
struct along {
	struct sink sink;
	struct save *save;
	uint64_t room; /* bytes that may still come */
};

static int begin(struct sink *k, const struct memory *m, struct mr_error *err)
{
	(void)k;
	(void)m;
	(void)err;
	return 0;
}

static int come(struct sink *k, uint64_t bytes, struct mr_error *err)
{
	struct along *a = (struct along *)(void *)k;

	if (bytes > a->room)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU sends more memory than the guest should "
				 "wait for");
	a->room -= bytes;
	pause_alive(&a->save->pause);
	return 0;
}

static int put(struct sink *k, const struct sink_hand *h, size_t block,
	       const struct memory_part *p, struct mr_error *err)
{
	(void)h;
	(void)block;
	return come(k, p->pages * IMAGE_PAGE, err);
}

static int zero(struct sink *k, const struct sink_hand *h, size_t block,
		uint64_t offset, uint64_t length, struct mr_error *err)
{
	(void)h;
	(void)block;
	(void)offset;
	return come(k, length, err);
}

static const struct sink_ops along_ops = { .begin = begin,
					   .put = put,
					   .zero = zero };

/* ---- beforehand ---- */

/* As far as it can be seen: in QEMU it counts whether a memory backend has a
 * file that it shares. */
static bool is_left_out(const struct guest_block *b)
{
	for (size_t i = 0; i < b->n_segments; i++)
		if (b->segments[i].kind != GUEST_SHMEM_SHARED &&
		    b->segments[i].kind != GUEST_HUGETLB_SHARED &&
		    b->segments[i].kind != GUEST_FILE_SHARED)
			return false;
	return b->n_segments && b->in_file;
}

static uint64_t sent_along(const struct guest *g)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].migratable && !is_left_out(&g->blocks[i]))
			bytes += g->blocks[i].used;
	return bytes;
}

static int not_described(struct save *s, const char *why)
{
	struct mr_save_report *r = s->report;

	(void)snprintf(r->no_description, sizeof(r->no_description), "%s", why);
	return 0;
}

/* QEMU takes every way into its migration and aborts over some of those back,
 * such as to `debug`. A guest that was suspended before it was stopped is
 * paused here, and comes back as that. */
static bool is_way_back(const char *run_state)
{
	return !strcmp(run_state, "paused") || !strcmp(run_state, "prelaunch");
}

/* Why it would not be had, or is not wanted; NULL: it would. */
static const char *why_not(struct save *s, struct mr_error *why)
{
	bool undescribed = false;

	if (qmp_is_libvirts(s->q))
		return "a libvirt domain's migrations are libvirt's own";
	if (s->guest->major < 9)
		return "QEMU before 9.0 would not go back to the run state "
		       "that it was in";
	if (strcmp(s->found->name, "running") != 0 &&
	    !is_way_back(s->found->name))
		return "from this run state QEMU has no sure way back";
	if (ask_undescribed(s->q, &undescribed, why) ||
	    guest_ask_files(s->guest, s->q, why) ||
	    migrate_look(s->q, s->guest, &form, &s->describe_was,
			 &s->describe_set, why))
		return why->msg;
	if (undescribed)
		return "the machine has suppress-vmdesc=on";
	if (s->options->describe != MR_DESCRIBE_ON &&
	    sent_along(s->guest) > ALONG)
		return "QEMU would send memory that is not a shared file along "
		       "while the guest waits";
	return NULL;
}

void save_describe_look(struct save *s)
{
	struct mr_error why = MR_ERROR_INIT;
	const char *no;

	if (s->options->describe == MR_DESCRIBE_OFF) {
		(void)not_described(s, "not asked for");
		return;
	}
	no = why_not(s, &why);
	s->describe = !no;
	if (no)
		(void)not_described(s, no);
	kept_load(&s->kept, s->options->kept, s->guest);
}

/* ---- the migration ---- */

struct taker {
	struct along along;
	struct intake in;
	bool there; /* in is to be released */
};

/* QEMU's end and ours, which the intake takes over. */
static int connect_qemu(struct save *s, struct taker *t, struct mr_error *err)
{
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return error_sys(err, MR_NO_OFFSET, "no pair of sockets");
	t->there = true;
	rc = intake_init(&t->in, fds[0], &t->along.sink, err);
	if (!rc)
		rc = qmp_lend_fd(s->q, fds[1], err);
	(void)close(fds[1]);
	return rc;
}

/* All of it, and then no. */
static void take(struct save *s, struct intake *in, struct mr_error *why)
{
	if (!intake_run(in, why) && !intake_answer(in, false, why))
		return;
	(void)shutdown(in->main.fd, SHUT_RDWR);
	(void)ask_migrate_cancel(s->q, NULL);
}

static bool is_over(const struct ask_migration *m)
{
	return m->phase == ASK_MIGRATION_NONE ||
	       m->phase == ASK_MIGRATION_COMPLETED ||
	       m->phase == ASK_MIGRATION_FAILED ||
	       m->phase == ASK_MIGRATION_CANCELLED;
}

/* No event tells of that. */
static int wait_put_away(struct save *s, struct ask_status *now,
			 struct mr_error *err)
{
	const struct timespec nap = { .tv_nsec = LOOK_US * 1000L };
	double until = watch_clock() + END_S;
	struct ask_migration m;
	bool there = true;

	while (watch_clock() < until) {
		if (ask_migration(s->q, &m, err) ||
		    (is_over(&m) && ask_migration_there(s->q, &there, err)) ||
		    ask_status(s->q, now, err))
			return -1;
		if (is_over(&m) && !there &&
		    strcmp(now->name, "finish-migrate") != 0)
			return 0;
		(void)nanosleep(&nap, NULL);
	}
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU does not end the migration by which it "
			 "describes its devices");
}

/* What came is kept, or *why says why nothing did. -1: the VM is not as it was,
 * or that is not known. */
static int migrate(struct save *s, struct taker *t, const char *was,
		   struct mr_error *why, struct mr_error *err)
{
	struct ask_status now;

	if (connect_qemu(s, t, why))
		return 0;
	if (ask_migrate(s->q, "fd:" QMP_LENT_FD, why)) {
		(void)qmp_take_fd_back(s->q, NULL);
		return 0;
	}
	take(s, &t->in, why);
	if (wait_put_away(s, &now, err))
		return -1;
	if (!strcmp(now.name, was))
		return 0;
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "the VM went from %s to %s while it described its "
			 "devices",
			 was, now.name);
}

static int keep(struct save_description *d, const struct intake *in,
		struct mr_error *why)
{
	const struct image_device t = tail_device(&in->tail);

	d->text = malloc(t.description_len + 1);
	if (!d->text)
		return error_set(why, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	memcpy(d->text, t.description, t.description_len);
	d->len = t.description_len;
	return 0;
}

/* By a new connection, if need be; then QEMU may not have done yet. */
static int put_back(struct save *s)
{
	struct ask_status now;

	if (!migrate_restore(s->q, &s->describe_was))
		return 0;
	if (!qmp_broken(s->q) || save_reach(s))
		return -1;
	(void)wait_put_away(s, &now, NULL);
	return migrate_restore(s->q, &s->describe_was);
}

static int set_and_migrate(struct save *s, struct taker *t,
			   struct mr_error *why, struct mr_error *err)
{
	struct ask_status now;
	int rc = 0;

	if (ask_status(s->q, &now, err))
		return -1;
	if (!is_way_back(now.name)) {
		(void)error_set(why, MR_QMP, MR_NO_OFFSET,
				"from run state %s QEMU has no sure way back",
				now.name);
		return 0;
	}
	if (migrate_will(&s->pause, &s->describe_was, s->fdset, true, err))
		return -1;
	if (!migrate_set(s->q, &s->describe_set, why))
		rc = migrate(s, t, now.name, why, err);
	s->describe_left = put_back(s) != 0;
	if (s->describe_left && !rc)
		rc = error_set(err, MR_QMP, MR_NO_OFFSET,
			       "QEMU does not take its migration settings back "
			       "(is another client migrating the VM?): a "
			       "guardian goes on trying");
	if (!s->describe_left &&
	    migrate_will(&s->pause, NULL, s->fdset, false, rc ? NULL : err))
		rc = -1;
	return rc;
}

static int describe(struct save *s, struct save_description *d,
		    struct mr_error *why, struct mr_error *err)
{
	const struct mr_watch watch = { .cancel = s->options->watch.cancel };
	struct taker t = {
		.along = { .sink = { .ops = &along_ops,
				     .extent = IMAGE_EXTENT },
			   .save = s,
			   .room = s->options->describe == MR_DESCRIBE_ON
					   ? UINT64_MAX
					   : ALONG },
		.in = { .wire = WIRE_NONE, .devices_only = true },
	};
	int rc = 0;

	if (!wire_begin(&t.in.wire, SILENCE, &watch, why))
		rc = set_and_migrate(s, &t, why, err);
	if (!rc && why->code == MR_OK)
		(void)keep(d, &t.in, why);
	if (t.there)
		intake_release(&t.in);
	wire_release(&t.in.wire);
	return rc;
}

int save_describe(struct save *s, struct save_description *d,
		  struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	double begin = watch_clock();
	int rc;

	if (!s->describe)
		return 0;
	/* Whatever happens, it is to be put away again. */
	qmp_limit(s->q, ANSWER_MS, NULL);
	rc = describe(s, d, &why, err);
	qmp_limit(s->q, ANSWER_MS, s->options->watch.cancel);
	if (rc)
		return -1;
	if (why.code == MR_CANCELLED) {
		*err = why;
		return -1;
	}
	/* A connection that is lost is found out by what comes next. */
	if (why.code != MR_OK)
		return not_described(s, why.msg);
	watch_note(&s->options->watch,
		   "device state described: %zu bytes in %.1f ms", d->len,
		   (watch_clock() - begin) * 1000);
	return 0;
}

/* What QEMU has just said, or else what is kept. */
static bool fits(const struct image_device *state, const uint8_t *text,
		 size_t len, struct mr_error *why)
{
	return !devices_described(state->sections, state->len, text, len, why);
}

static void put_to(struct save *s, struct image_device *state,
		   const uint8_t *text, size_t len, enum mr_description how)
{
	state->description = text;
	state->description_len = len;
	s->report->description = how;
	s->report->no_description[0] = '\0';
}

void save_describes(struct save *s, const struct save_description *d,
		    struct image_device *state)
{
	const struct mr_watch *w = &s->options->watch;
	struct mr_save_report *r = s->report;
	struct mr_error why = MR_ERROR_INIT;

	if (d->text && fits(state, d->text, d->len, &why))
		put_to(s, state, d->text, d->len, MR_DESCRIPTION_FRESH);
	else if (d->text)
		(void)not_described(s, why.msg);
	for (size_t i = 0; !r->description && i < s->kept.n; i++) {
		const struct kept_text *k = &s->kept.all[i];

		if (k->device == state->len &&
		    fits(state, k->text, k->len, NULL))
			put_to(s, state, k->text, k->len, MR_DESCRIPTION_KEPT);
	}
	if (r->description == MR_DESCRIPTION_KEPT)
		watch_note(w, "device state described as in an earlier save");
	else if (!r->description)
		watch_note(w, "no description of the device state: %s",
			   r->no_description);
}

void save_keep(struct save *s, const struct image_device *state)
{
	if (s->report->description == MR_DESCRIPTION_FRESH &&
	    s->options->describe != MR_DESCRIBE_OFF && state->description)
		kept_add(s->options->kept, s->guest, state->len,
			 state->description, state->description_len);
}

void save_description_release(struct save_description *d)
{
	free(d->text);
	*d = (struct save_description){ .text = NULL };
}
