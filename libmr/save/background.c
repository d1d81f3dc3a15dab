/*
 * background.c - QEMU sends its memory of one moment while the guest runs on.
 *
 * A background snapshot stops the guest for milliseconds, then sends memory and
 * the device state of that moment; a guest that writes to a page which has not
 * been sent waits for that. In mapped-ram such an image would have no pages,
 * but into a socket it is an ordinary stream, and we are at the other end: as
 * fast as we can, as it is the guest that waits.
 */
#include "libmr/save/state.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/memory/image_sink.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/preflight.h"
#include "libmr/wire/intake.h"

#define ANSWER_MS 60000
/* Seconds without a byte. QEMU has all that it sends. */
#define SILENCE 60u

/* Bytes that QEMU may be ahead of us. */
#define SOCKET_ROOM (8 << 20)

static const struct migrate_form form = { .background = true, .events = true };

struct taker {
	struct image_writer w;
	struct image_sink sink;
	struct intake in;
	bool there; /* in is to be released */
	pthread_t thread;
	int rc;
	struct mr_error why;
};

/* Without a right over the QEMU process nothing of it is seen, and no harm
 * done. */
static uint64_t shared_memory(struct guest *g)
{
	uint64_t bytes = 0;

	if (guest_map(g, NULL))
		return 0;
	for (size_t i = 0; i < g->n_blocks; i++)
		for (size_t k = 0; k < g->blocks[i].n_segments; k++) {
			const struct guest_segment *s =
				&g->blocks[i].segments[k];

			if (s->kind == GUEST_SHMEM_SHARED ||
			    s->kind == GUEST_HUGETLB_SHARED ||
			    s->kind == GUEST_FILE_SHARED)
				bytes += s->length;
		}
	guest_unmap(g);
	return bytes;
}

int save_background_can(struct save *s, struct mr_error *err)
{
	struct migrate_settings was, set;
	struct mr_error why = MR_ERROR_INIT;

	s->report->shared = shared_memory(s->guest);
	if (preflight_background(s->guest, s->q, IMAGE_PAGE, err) ||
	    migrate_look(s->q, s->guest, &form, &was, &set, err))
		return -1;
	if (!migrate_set(s->q, &set, &why))
		return migrate_restore(s->q, &was) == 0
			       ? 0
			       : error_set(err, MR_QMP, MR_NO_OFFSET,
					   "QEMU does not take its migration "
					   "settings back");
	(void)migrate_restore(s->q, &was);
	/* One that began since we asked. */
	if (preflight_migrate(s->q, err))
		return -1;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "no background snapshot: %.100s (QEMU needs "
			 "userfaultfd: CAP_SYS_PTRACE, or sysctl "
			 "vm.unprivileged_userfaultfd=1; and Linux 5.7, for "
			 "shared memory 5.19)",
			 why.msg);
}

/* Closing our end makes QEMU give up, and its guest go on. */
static void *take(void *arg)
{
	struct taker *t = arg;

	t->rc = intake_run(&t->in, &t->why);
	if (t->rc)
		(void)shutdown(t->in.main.fd, SHUT_RDWR);
	return NULL;
}

/* Our end; QEMU has the other. */
static int connect_qemu(struct save *s, struct taker *t, struct mr_error *err)
{
	const int size = SOCKET_ROOM;
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return error_sys(err, MR_NO_OFFSET, "no pair of sockets");
	t->there = true;
	/* QEMU goes on while we write; a guest may be waiting for it. */
	if (setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size,
				 sizeof(size));
	rc = intake_init(&t->in, fds[0], &t->sink.sink, err);
	if (!rc)
		rc = qmp_lend_fd(s->q, fds[1], err);
	(void)close(fds[1]);
	return rc;
}

/* Until QEMU says how it ended. */
static int follow(struct save *s, struct taker *t, struct mr_error *err)
{
	const atomic_bool *cancel = s->options->watch.cancel;
	uint64_t came = 0;
	int rc;

	for (;;) {
		struct ask_migration m;
		uint64_t now = atomic_load(&t->in.wire.bytes);

		if (ask_migration(s->q, &m, err))
			return -1;
		if (now != came)
			pause_alive(&s->pause);
		came = now;
		rc = save_judge(s, &m, err);
		if (rc || (cancel && atomic_load(cancel)))
			break;
		if (save_tick(s, cancel, err))
			return -1;
	}
	if (rc)
		return rc > 0 ? 0 : -1;
	return error_set(err, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
}

/* No event tells of it. */
static int wait_put_away(struct save *s, struct mr_error *err)
{
	const struct timespec nap = { .tv_nsec = 1000000L };
	double until = watch_clock() + ANSWER_MS / 1000.0;
	bool there = true;

	while (watch_clock() < until) {
		if (ask_migration_there(s->q, &there, err))
			return -1;
		if (!there)
			return 0;
		(void)nanosleep(&nap, NULL);
	}
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU's snapshot has completed, but does not end");
}

/* What it is in now, not what it was found in: from another QEMU aborts. */
static int look_again(struct save *s, struct mr_error *err)
{
	struct ask_status now;

	if (ask_status(s->q, &now, err))
		return -1;
	memcpy(s->guest->status, now.name, sizeof(s->guest->status));
	return preflight_background(s->guest, s->q, IMAGE_PAGE, err);
}

/*
 * A background snapshot has no END of "ram". A stream with one is an ordinary
 * migration, of another moment, and the VM stands in postmigrate.
 */
static int check_kind(struct save *s, const struct taker *t,
		      struct mr_error *err)
{
	if (t->in.state != RAM_ENDED)
		return 0;
	if (s->was_live) {
		s->pause.stopped = true;
		s->pause.since = watch_clock();
	}
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU made an ordinary migration of it: somebody has "
			 "switched background-snapshot off meanwhile");
}

/* QEMU's word, or what we saw: what came first. */
static int agree(struct taker *t, int rc, struct mr_error *err)
{
	bool ended = t->why.code == MR_SHORT && !t->why.sys && rc;

	if (!t->rc || ended || err->code == MR_CANCELLED)
		return rc;
	*err = t->why;
	return -1;
}

static int migrate(struct save *s, struct taker *t, struct save_lent *lent,
		   struct mr_error *err)
{
	int rc;

	qmp_limit(s->q, ANSWER_MS, NULL);
	if (pause_guarded(&s->pause, err) || save_lend(s, &form, lent, err) ||
	    connect_qemu(s, t, err))
		return -1;
	rc = pthread_create(&t->thread, NULL, take, t);
	if (rc) {
		(void)qmp_take_fd_back(s->q, NULL);
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "cannot start a thread");
	}
	rc = look_again(s, err) || ask_migrate(s->q, "fd:" QMP_LENT_FD, err);
	if (rc)
		(void)qmp_take_fd_back(s->q, NULL);
	else
		rc = follow(s, t, err);
	/* What QEMU sent is there; or it has to stop. */
	if (rc)
		(void)shutdown(t->in.main.fd, SHUT_RDWR);
	(void)pthread_join(t->thread, NULL);
	rc = agree(t, rc, err);
	if (!rc)
		return wait_put_away(s, err) || check_kind(s, t, err) ? -1 : 0;
	save_wait_end(s);
	(void)wait_put_away(s, NULL);
	return rc;
}

static void fill_report(struct save *s, const struct taker *t)
{
	struct mr_save_report *r = s->report;

	r->ram = t->w.ram;
	r->blocks = t->w.n;
	r->scanned = t->in.tally.scanned;
	r->zero = t->in.tally.zero;
	r->data = t->in.tally.data;
	r->written = t->in.tally.written;
	r->device = t->in.tail.device;
	if (r->device)
		r->description = MR_DESCRIPTION_FRESH;
	r->sealed = t->w.sealed;
	r->direct = t->w.out.file.direct_fd >= 0;
	r->jobs = 1;
}

static int publish(struct save *s, struct taker *t, struct mr_error *err)
{
	save_label(s, &t->w);
	t->sink.device = tail_device(&t->in.tail);
	save_keep(s, &t->sink.device);
	if (t->sink.sink.ops->end(&t->sink.sink, err))
		return -1;
	s->report->size = t->w.size;
	return save_publish(s, &t->w.out, err);
}

int save_background(struct save *s, struct mr_error *err)
{
	struct taker t = { .w = IMAGE_WRITER_NONE,
			   .in = { .wire = WIRE_NONE },
			   .why = MR_ERROR_INIT };
	struct save_lent lent = { .was = MIGRATE_SETTINGS_NONE };
	/* QEMU's own figures are told. */
	const struct mr_watch watch = { .cancel = s->options->watch.cancel };
	struct mr_error left = MR_ERROR_INIT;
	int rc;

	if (image_writer_open(&t.w, s->image, save_rule(s), s->options->direct,
			      !s->options->no_seal, err))
		return error_about(err, SAVE_IMAGE);
	t.w.out.file.io.who = SAVE_IMAGE;
	image_sink_init(&t.sink, &t.w);
	t.sink.later = true;
	t.sink.config = &t.in.config;
	watch_note(&s->options->watch, "background snapshot, %s",
		   t.w.out.file.direct_fd >= 0 ? "direct I/O" : "buffered I/O");
	rc = wire_begin(&t.in.wire, SILENCE, &watch, err);
	if (!rc)
		rc = save_hold(s, &t.w.out, true, err);
	if (!rc)
		rc = migrate(s, &t, &lent, err);
	if (rc)
		(void)error_about(err, SAVE_VM);
	if (t.there)
		fill_report(s, &t);
	/* The image is of before whatever became of the VM meanwhile. */
	(void)save_resume(s, rc != 0, rc ? err : &left);
	save_let_go(s, !save_take_back(s, &lent));
	if (!rc)
		rc = publish(s, &t, err);
	if (!rc && left.code != MR_OK) {
		*err = left;
		rc = -1;
	}
	if (t.there)
		intake_release(&t.in);
	wire_release(&t.in.wire);
	image_writer_release(&t.w);
	return rc;
}
