/* command.c - fork, wait for it, end it. */
#include "tools/save/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/cli.h"

#define NAP_MS 2
/* Between SIGTERM and SIGKILL. */
#define GRACE 1.0

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

__attribute__((format(printf, 3, 4))) static int
fail(struct mr_error *err, enum mr_code code, const char *fmt, ...)
{
	va_list ap;

	*err = (struct mr_error)MR_ERROR_INIT;
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int command_tell(const char *vm, const char *image)
{
	return setenv("MR_VM", vm, 1) || setenv("MR_IMAGE", image, 1) ? -1 : 0;
}

/* The child, of a program with threads: only calls that are safe in a signal
 * handler. A session of its own, so that no terminal stops it. */
__attribute__((noreturn)) static void become(const char *text, pid_t parent)
{
	const struct sigaction sa = { .sa_handler = SIG_DFL };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)setsid();
	/* It does not outlive us: then the guest runs. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigaction(SIGXFSZ, &sa, NULL);
	if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
		(void)execl("/bin/sh", "sh", "-c", text, NULL);
	_exit(127);
}

/* It stays a zombie, so that its process group is no other's. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       info.si_pid;
}

/* False: until is over, or a signal came that we heed. */
static bool await(pid_t pid, double until, bool heed)
{
	while (!has_ended(pid)) {
		if (now() > until || (heed && atomic_load(&cli_cancel)))
			return false;
		(void)poll(NULL, 0, NAP_MS);
	}
	return true;
}

/* All of its process group, which may not be there yet. */
static void end(pid_t pid)
{
	(void)kill(-pid, SIGTERM);
	(void)kill(pid, SIGTERM);
	(void)await(pid, now() + GRACE, false);
	(void)kill(-pid, SIGKILL);
	(void)kill(pid, SIGKILL);
}

int command_run(void *command, struct mr_error *err)
{
	const struct command *c = command;
	double until = now() + c->seconds;
	pid_t parent = getpid(), pid = fork();
	bool ended;
	int status = 0;

	if (pid < 0)
		return fail(err, MR_SYS, "cannot start --while-paused: %s",
			    strerror(errno));
	if (pid == 0)
		become(c->text, parent);
	ended = await(pid, until, true);
	if (!ended)
		end(pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ended && atomic_load(&cli_cancel))
		return fail(err, MR_CANCELLED, "interrupted");
	if (!ended)
		return fail(err, MR_SYS,
			    "the command of --while-paused took more than %u "
			    "s, and was ended: the save is undone",
			    c->seconds);
	if (WIFSIGNALED(status))
		return fail(err, MR_SYS,
			    "the command of --while-paused was killed by "
			    "signal %d (%s): the save is undone",
			    WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return fail(err, MR_SYS,
			    "the command of --while-paused ended with status "
			    "%d: the save is undone",
			    WEXITSTATUS(status));
	return 0;
}
