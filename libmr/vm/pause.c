/* pause.c - stop, guardian, cont. */
#include "libmr/vm/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/fds.h"
#include "libmr/base/watch.h"
#include "libmr/vm/ask.h"

/* What a stop and a cont may take; a host that swaps can be slow. Then in steps
 * of this: who has raised the cancel flag does not wait for a second one. */
#define PATIENCE_MS 60000
#define STEP_MS 5000
/* How long to try to open a connection that was lost. */
#define REOPEN_MS 5000
/* How long after that the end of QEMU's process is awaited, to tell it; and the
 * guardian's, which was let go. */
#define GONE_MS 2000
/* How often, and how far apart, the guardian tries a `cont` that is refused:
 * for as long as the saver would wait for the end of finish-migrate. */
#define RETRIES 1200
#define RETRY_MS 50
/* How often it tries a QEMU that says nothing, PATIENCE_MS each time; and how
 * often a connection that is lost. */
#define SILENT_TRIES 10
#define DIALS 100
/* For a save of QEMU's own: an hour. */
#define MIGRATION_TRIES 72000
/* The saver shows itself from time to time: one that is halted, or hangs in a
 * storage that has gone, must not keep the guest waiting for ever. */
#define QUIET_MS 300000
#define ALIVE_S 1.0
#define SLICE_MS 100
#define ALIVE "a"

/* What the guardian has; after the fork, so nothing is allocated. */
struct ward {
	int qmp; /* our copy of the socket, or one of our own */
	struct qmp_address address;
	bool resume; /* unless file has its name */
	bool limited; /* QEMU's save is */
	int file, dir; /* -1: whatever has */
	int quiet_ms; /* how long the saver may say nothing */
	char name[NAME_MAX + 1];
	size_t len; /* of the will */
	char will[PAUSE_WILL_MAX];
};

/* One command: as qmp_rescue, but a lost connection is opened again, and a
 * silent QEMU asked again. -1: nothing to be done. */
static int tell(struct ward *w, const char *command)
{
	int rc = -1, dials = 0;

	for (int i = 0; i < SILENT_TRIES; i++) {
		rc = w->qmp < 0 ? -1 : qmp_rescue(w->qmp, command, PATIENCE_MS);
		if (rc >= 0)
			return rc;
		if (w->qmp >= 0 && errno == ETIMEDOUT)
			continue;
		if (w->qmp >= 0)
			(void)close(w->qmp);
		do {
			w->qmp = qmp_rescue_dial(&w->address, STEP_MS);
			if (w->qmp < 0)
				(void)poll(NULL, 0, RETRY_MS);
		} while (w->qmp < 0 && ++dials < DIALS);
		if (w->qmp < 0)
			return -1;
	}
	return -1;
}

/* The saver is gone. If QEMU is saving itself, that is let come to its end,
 * quickly: a guest that runs may hold it up for ever, and QEMU 10.0 crashes
 * when a save of several channels is cancelled. It ends with the VM stopped.
 * One that waits for a word gets it; one that waits for a guest which stands
 * still has no channels yet. */
static void end_migration(struct ward *w)
{
	int rc = tell(w, QMP_RESCUE_MIGRATION);

	if (rc > 0 && w->resume)
		(void)tell(w, QMP_RESCUE_STOP);
	if (rc > 0 && w->limited)
		(void)tell(w, QMP_RESCUE_UNLIMIT);
	for (int i = 0; i < MIGRATION_TRIES && rc > 0; i++) {
		if (rc == 2)
			(void)tell(w, QMP_RESCUE_CONTINUE);
		else if (rc == 3)
			(void)tell(w, QMP_RESCUE_CANCEL);
		(void)poll(NULL, 0, RETRY_MS);
		rc = tell(w, QMP_RESCUE_MIGRATION);
	}
}

/* Nobody can die between this and its being true. */
static bool is_published(const struct ward *w)
{
	struct stat file, named;

	return w->file >= 0 && !fstat(w->file, &file) &&
	       !fstatat(w->dir, w->name, &named, AT_SYMLINK_NOFOLLOW) &&
	       file.st_dev == named.st_dev && file.st_ino == named.st_ino;
}

static void rescue(struct ward *w)
{
	w->resume = w->resume && !is_published(w);
	/* One into a socket of the saver's, which may be halted, has no end. */
	if (w->len && !strcmp(w->will, QMP_RESCUE_CANCEL))
		(void)tell(w, QMP_RESCUE_CANCEL);
	end_migration(w);
	/* QEMU may refuse it for a moment. */
	for (int i = 0;
	     w->resume && i < RETRIES && tell(w, QMP_RESCUE_CONT) > 0; i++)
		(void)poll(NULL, 0, RETRY_MS);
	for (size_t at = 0; at < w->len; at += strlen(w->will + at) + 1)
		(void)tell(w, w->will + at);
}

enum heard { HEARD_END, HEARD_LIFE, HEARD_NOTHING };

/* One byte on the line means that the saver lives, or that all went well; more
 * are a will; its end without that byte means that the saver is gone. */
static enum heard hear(int line, struct ward *w)
{
	struct pollfd p = { .fd = line, .events = POLLIN };
	char packet[PAUSE_WILL_MAX];
	ssize_t n = poll(&p, 1, w->quiet_ms);

	if (n == 0)
		return HEARD_NOTHING;
	if (n > 0)
		n = recv(line, packet, sizeof(packet), 0);
	if (n < 0)
		return errno == EINTR ? HEARD_LIFE : HEARD_END;
	if (n == 0)
		return HEARD_NOTHING;
	if (n == 1)
		return packet[0] == ALIVE[0] ? HEARD_LIFE : HEARD_END;
	memcpy(w->will, packet, (size_t)n);
	w->len = (size_t)n;
	return HEARD_LIFE;
}

/* The guardian: after fork, so only calls that are safe in a signal handler;
 * all signals are blocked. */
__attribute__((noreturn)) static void guard(int line, struct ward *w, int claim)
{
	const int keep[] = { line, w->qmp, claim, w->file, w->dir };
	const size_t n_keep = sizeof(keep) / sizeof(*keep);
	int null = open("/dev/null", O_RDWR);
	enum heard heard;

	/* Out of the reach of the terminal, of a kill of the saver's process
	 * group and of one of its name. */
	(void)setsid();
	(void)prctl(PR_SET_NAME, "mr-guardian");
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		if (!fds_among(keep, n_keep, fd))
			(void)dup2(null, fd);
	fds_close_others(keep, n_keep);
	(void)send(line, "", 1, MSG_NOSIGNAL); /* on guard */
	do
		heard = hear(line, w);
	while (heard == HEARD_LIFE);
	if (heard == HEARD_NOTHING)
		rescue(w);
	_exit(0);
}

/* Forks with all signals blocked, and the child stays so: a signal to the
 * process group must not end it before it has left the group. */
static pid_t fork_guardian(int ours, int line, struct ward *w, int claim)
{
	sigset_t all, old;
	pid_t pid;
	int saved;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		(void)close(ours);
		guard(line, w, claim);
	}
	saved = errno;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return pid;
}

/* Lets the guardian go, but does not wait until it has gone. */
void pause_dismiss(struct pause *p)
{
	/* It may have been killed: no reason for a SIGPIPE; or halted. */
	if (p->line >= 0) {
		(void)send(p->line, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)close(p->line);
	}
	p->line = -1;
}

/* Without its byte it takes over. Nobody waits for it. */
void pause_hand_over(struct pause *p)
{
	if (p->line >= 0)
		(void)close(p->line);
	p->line = -1;
	p->guardian = 0;
}

void pause_release(struct pause *p)
{
	pause_dismiss(p);
	for (int i = 0; p->guardian > 0 && i < GONE_MS; i++) {
		if (waitpid(p->guardian, NULL, WNOHANG))
			break;
		(void)poll(NULL, 0, 1);
	}
	*p = (struct pause)PAUSE_NONE;
}

static int start_guardian(struct pause *p, const struct pause_terms *t,
			  struct mr_error *err)
{
	struct ward *w = calloc(1, sizeof(*w));
	int fds[2];

	if (!w)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the guardian");
	w->qmp = qmp_fd(p->q);
	w->resume = t->live;
	w->limited = t->limited;
	w->quiet_ms = t->stays ? -1 : t->quiet_ms ? t->quiet_ms : QUIET_MS;
	w->file = t->stays ? t->stays->file.fd : -1;
	w->dir = t->stays ? t->stays->gate.dir : -1;
	if (t->stays)
		(void)snprintf(w->name, sizeof(w->name), "%s",
			       t->stays->gate.name);
	qmp_address(p->q, &w->address);
	/* Each will is one packet. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		free(w);
		return error_sys(err, MR_NO_OFFSET,
				 "cannot make a line to the guardian");
	}
	p->guardian = fork_guardian(fds[0], fds[1], w, t->claim);
	(void)close(fds[1]);
	free(w);
	if (p->guardian < 0) {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot start the guardian process");
		(void)close(fds[0]);
		p->guardian = 0;
		return -1;
	}
	p->line = fds[0];
	return 0;
}

/* As long as patience lasts. */
static int await_guardian(const struct pause *p)
{
	struct pollfd line = { .fd = p->line, .events = POLLIN };
	char byte;

	for (int i = 0; i < PATIENCE_MS / SLICE_MS; i++) {
		int n = poll(&line, 1, SLICE_MS);

		if (n > 0 && recv(p->line, &byte, 1, 0) == 1)
			return 0;
		if (n > 0 || (n < 0 && errno != EINTR)) {
			errno = ECHILD;
			return -1;
		}
		if (p->cancel && atomic_load(p->cancel))
			break;
	}
	errno = ETIMEDOUT;
	return -1;
}

int pause_guarded(struct pause *p, struct mr_error *err)
{
	if (p->line < 0 || p->guarded)
		return 0;
	p->guarded = !await_guardian(p);
	if (p->guarded)
		return 0;
	if (p->cancel && atomic_load(p->cancel))
		(void)error_set(err, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
	else
		(void)error_sys(err, MR_NO_OFFSET,
				"the guardian process is not there");
	pause_release(p);
	return -1;
}

void pause_alive(struct pause *p)
{
	double now = watch_clock();

	if (p->line < 0 || now - p->shown < ALIVE_S)
		return;
	p->shown = now;
	(void)send(p->line, ALIVE, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int pause_will(struct pause *p, const char *will, size_t len,
	       struct mr_error *err)
{
	if (p->line < 0)
		return 0;
	if (len < 2 || len > PAUSE_WILL_MAX ||
	    send(p->line, will, len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    (ssize_t)len)
		return error_sys(err, MR_NO_OFFSET,
				 "cannot tell the guardian what to put back");
	return 0;
}

int pause_watch(struct pause *p, struct qmp *q, const struct pause_terms *t,
		struct mr_error *err)
{
	*p = (struct pause)PAUSE_NONE;
	p->q = q;
	p->cancel = t->cancel;
	p->keep = t->guard;
	return t->live || t->guard || t->attend ? start_guardian(p, t, err) : 0;
}

int pause_begin(struct pause *p, struct qmp *q, const struct pause_terms *t,
		struct mr_error *err)
{
	if (pause_watch(p, q, t, err) || pause_guarded(p, err))
		return -1;
	if (!t->live)
		return 0;
	/* Whether it stops after a cancel is not known: pause_end sees to it.
	 */
	qmp_limit(q, PATIENCE_MS, t->cancel);
	p->since = watch_clock();
	p->stopped = true;
	return ask_stop(q, err);
}

/* `cont`, until QEMU says something. */
static int resume(const struct pause *p, struct mr_error *err)
{
	int rc = -1;

	qmp_limit(p->q, STEP_MS, NULL);
	for (int i = 0; rc && i < PATIENCE_MS / STEP_MS; i++) {
		*err = (struct mr_error)MR_ERROR_INIT;
		if (qmp_broken(p->q) && qmp_reopen(p->q, REOPEN_MS, err))
			return -1;
		rc = ask_cont(p->q, err);
		if (rc && (qmp_said_no(p->q) ||
			   (p->cancel && atomic_load(p->cancel))))
			break;
	}
	return rc;
}

/* This outranks whatever failed before it. */
static int fail_resume(const struct pause *p, const struct mr_error *why,
		       bool gone, struct mr_error *err)
{
	*err = (struct mr_error)MR_ERROR_INIT;
	if (gone)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU has ended, and the VM with it: see what "
				 "it said itself");
	if (!qmp_said_no(p->q))
		return error_set(err, why->code, MR_NO_OFFSET,
				 "the VM may still be paused; a guardian goes "
				 "on sending `cont` for some minutes: %.120s",
				 why->msg);
	return error_set(err, why->code, MR_NO_OFFSET,
			 "the VM is still paused, send it `cont`: %.150s",
			 why->msg);
}

int pause_end(struct pause *p, bool resume_it, double *seconds,
	      struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	bool silent = false, gone;
	int rc = 0;

	if (!p->q)
		return 0;
	if (p->stopped && resume_it)
		rc = resume(p, &why);
	if (p->stopped)
		*seconds += watch_clock() - p->since;
	if (rc) {
		gone = (qmp_broken(p->q) || qmp_is_libvirts(p->q)) &&
		       qmp_peer_gone(p->q, GONE_MS);
		silent = !gone && !qmp_said_no(p->q);
		(void)fail_resume(p, &why, gone, err);
	}
	if (silent)
		pause_hand_over(p);
	if (!p->keep)
		pause_dismiss(p);
	p->q = NULL;
	p->stopped = false;
	return rc;
}
