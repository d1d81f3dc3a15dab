/* pause.c - stop, guardian, cont. */
#include "libmr/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmr/error.h"

/* What a stop and a cont may take; a host that swaps can be slow. */
#define PATIENCE_MS 60000

double pause_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Closes every descriptor from 3 on but these two, so that the dead saver's
 * files and the caller's pipes are not kept open. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b);
	unsigned high = (unsigned)(a < b ? b : a);

	if (low > 3)
		(void)syscall(SYS_close_range, 3u, low - 1, 0u);
	if (high > low + 1)
		(void)syscall(SYS_close_range, low + 1, high - 1, 0u);
	(void)syscall(SYS_close_range, high + 1, ~0u, 0u);
}

/* The guardian: after fork, so only calls that are safe in a signal handler.
 * One byte on the line means that all went well; its end without one means
 * that the saver is gone. */
__attribute__((noreturn)) static void guard(int line, int qmp)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int null = open("/dev/null", O_RDWR);
	ssize_t n;
	char byte;

	/* Out of the terminal's and the service manager's ordinary reach. */
	(void)setsid();
	(void)sigaction(SIGINT, &ignore, NULL);
	(void)sigaction(SIGTERM, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		if (fd != line && fd != qmp)
			(void)dup2(null, fd);
	close_others(line, qmp);
	do
		n = read(line, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		(void)qmp_rescue_cont(qmp, PATIENCE_MS);
	_exit(0);
}

static int start_guardian(struct pause *p, struct mr_error *err)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return mr_fail_sys(err, MR_NO_OFFSET, "cannot make a pipe");
	pid = fork();
	if (pid < 0) {
		(void)mr_fail_sys(err, MR_NO_OFFSET,
				  "cannot start the guardian process");
		(void)close(fds[0]);
		(void)close(fds[1]);
		return -1;
	}
	if (pid == 0) {
		(void)close(fds[1]);
		guard(fds[0], qmp_fd(p->q));
	}
	(void)close(fds[0]);
	p->line = fds[1];
	p->guardian = pid;
	return 0;
}

static void dismiss_guardian(struct pause *p)
{
	if (p->line >= 0) {
		while (write(p->line, "", 1) < 0 && errno == EINTR)
			;
		(void)close(p->line);
	}
	p->line = -1;
	while (p->guardian > 0 && waitpid(p->guardian, NULL, 0) < 0 &&
	       errno == EINTR)
		;
	p->guardian = 0;
}

int pause_watch(struct pause *p, struct qmp *q, bool running,
		struct mr_error *err)
{
	*p = (struct pause)PAUSE_NONE;
	p->q = q;
	return running ? start_guardian(p, err) : 0;
}

int pause_begin(struct pause *p, struct qmp *q, bool running,
		struct mr_error *err)
{
	if (pause_watch(p, q, running, err))
		return -1;
	if (!running)
		return 0;
	/* A cancel must not leave us wondering whether it stopped. */
	qmp_limit(q, PATIENCE_MS, NULL);
	p->since = pause_clock();
	p->stopped = true;
	return qmp_call(q, "stop", NULL, NULL, err);
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
		rc = qmp_call(p->q, "cont", NULL, NULL, &why);
	}
	if (p->stopped)
		*seconds += pause_clock() - p->since;
	if (rc) {
		/* This outranks whatever failed before it. */
		*err = (struct mr_error)MR_ERROR_INIT;
		(void)mr_fail(err, why.code, MR_NO_OFFSET,
			      "the VM is still paused, send it `cont`: %.150s",
			      why.msg);
	}
	dismiss_guardian(p);
	*p = (struct pause)PAUSE_NONE;
	return rc;
}
