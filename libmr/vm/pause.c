/* pause.c - stop, guardian, cont. */
#include "libmr/vm/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/vm/ask.h"

/* What a stop and a cont may take; a host that swaps can be slow. */
#define PATIENCE_MS 60000
/* How often, and how far apart, the guardian tries a `cont` that is refused:
 * for as long as the saver would wait for the end of finish-migrate. */
#define RETRIES 1200
#define RETRY_MS 50
/* Descriptors that a process may have where there is no close_range. */
#define FDS_MOST 65536u

/* As close_range(2), also where a sandbox or an old kernel has none. */
static void close_span(unsigned from, unsigned to)
{
	struct rlimit most;

	if (from > to || !syscall(SYS_close_range, from, to, 0u))
		return;
	if (getrlimit(RLIMIT_NOFILE, &most) || most.rlim_cur > FDS_MOST)
		most.rlim_cur = FDS_MOST;
	for (; from <= to && from < most.rlim_cur; from++)
		(void)close((int)from);
}

/* Closes every descriptor from 3 on but these, so that the dead saver's files
 * and the caller's pipes are not kept open. */
static void close_others(const int *keep, size_t n)
{
	unsigned from = 3, next;

	do {
		next = ~0u;
		for (size_t i = 0; i < n; i++)
			if (keep[i] >= (int)from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from)
			close_span(from, next == ~0u ? next : next - 1);
		from = next + 1;
	} while (next != ~0u);
}

/* The saver is gone. If QEMU is saving itself, that is let come to its end,
 * quickly: a guest that runs may hold it up for ever, and QEMU 10.0 crashes
 * when a save of several channels is cancelled. It ends with the VM stopped. */
static void rescue(int qmp)
{
	int rc = qmp_rescue(qmp, QMP_RESCUE_MIGRATION, PATIENCE_MS);

	if (rc > 0)
		(void)qmp_rescue(qmp, QMP_RESCUE_STOP, PATIENCE_MS);
	while (rc > 0) {
		(void)poll(NULL, 0, RETRY_MS);
		rc = qmp_rescue(qmp, QMP_RESCUE_MIGRATION, PATIENCE_MS);
	}
	/* QEMU may refuse it for a moment. */
	for (int i = 0;
	     i < RETRIES && qmp_rescue(qmp, QMP_RESCUE_CONT, PATIENCE_MS) > 0;
	     i++)
		(void)poll(NULL, 0, RETRY_MS);
}

/* The guardian: after fork, so only calls that are safe in a signal handler;
 * all signals are blocked. One byte on the line means that all went well; its
 * end without one means that the saver is gone. */
__attribute__((noreturn)) static void guard(int line, int qmp, int claim)
{
	const int keep[] = { line, qmp, claim };
	int null = open("/dev/null", O_RDWR);
	ssize_t n;
	char byte;

	/* Out of the reach of the terminal, of a kill of the saver's process
	 * group and of one of its name. */
	(void)setsid();
	(void)prctl(PR_SET_NAME, "mr-guardian");
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		if (fd != line && fd != qmp && fd != claim)
			(void)dup2(null, fd);
	close_others(keep, sizeof(keep) / sizeof(*keep));
	(void)send(line, "", 1, MSG_NOSIGNAL); /* on guard */
	do
		n = recv(line, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		rescue(qmp);
	_exit(0);
}

/* Forks with all signals blocked, and the child stays so: a signal to the
 * process group must not end it before it has left the group. */
static pid_t fork_guardian(int ours, int line, int qmp, int claim)
{
	sigset_t all, old;
	pid_t pid;
	int saved;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		(void)close(ours);
		guard(line, qmp, claim);
	}
	saved = errno;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return pid;
}

/* Lets the guardian go, but does not wait until it has gone. */
static void dismiss_guardian(struct pause *p)
{
	/* It may have been killed: no reason for a SIGPIPE. */
	if (p->line >= 0) {
		(void)send(p->line, "", 1, MSG_NOSIGNAL);
		(void)close(p->line);
	}
	p->line = -1;
}

void pause_release(struct pause *p)
{
	dismiss_guardian(p);
	while (p->guardian > 0 && waitpid(p->guardian, NULL, 0) < 0 &&
	       errno == EINTR)
		;
	*p = (struct pause)PAUSE_NONE;
}

static int start_guardian(struct pause *p, int claim, struct mr_error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return error_sys(err, MR_NO_OFFSET,
				 "cannot make a line to the guardian");
	p->guardian = fork_guardian(fds[0], fds[1], qmp_fd(p->q), claim);
	(void)close(fds[1]);
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

int pause_guarded(struct pause *p, struct mr_error *err)
{
	ssize_t n;
	char byte;

	if (p->line < 0 || p->guarded)
		return 0;
	do
		n = recv(p->line, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	p->guarded = n == 1;
	if (p->guarded)
		return 0;
	if (n == 0)
		errno = ECHILD;
	(void)error_sys(err, MR_NO_OFFSET, "the guardian process is gone");
	pause_release(p);
	return -1;
}

int pause_watch(struct pause *p, struct qmp *q, bool running, int claim,
		struct mr_error *err)
{
	*p = (struct pause)PAUSE_NONE;
	p->q = q;
	return running ? start_guardian(p, claim, err) : 0;
}

int pause_begin(struct pause *p, struct qmp *q, bool running, int claim,
		struct mr_error *err)
{
	if (pause_watch(p, q, running, claim, err) || pause_guarded(p, err))
		return -1;
	if (!running)
		return 0;
	/* A cancel must not leave us wondering whether it stopped. */
	qmp_limit(q, PATIENCE_MS, NULL);
	p->since = watch_clock();
	p->stopped = true;
	return ask_stop(q, err);
}

int pause_end(struct pause *p, bool resume, double *seconds,
	      struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	int rc = 0;

	if (!p->q)
		return 0;
	if (p->stopped && resume) {
		qmp_limit(p->q, PATIENCE_MS, NULL);
		rc = ask_cont(p->q, &why);
	}
	if (p->stopped)
		*seconds += watch_clock() - p->since;
	if (rc) {
		/* This outranks whatever failed before it. */
		*err = (struct mr_error)MR_ERROR_INIT;
		(void)error_set(
			err, why.code, MR_NO_OFFSET,
			"the VM is still paused, send it `cont`: %.150s",
			why.msg);
	}
	dismiss_guardian(p);
	p->q = NULL;
	p->stopped = false;
	return rc;
}
