/*
 * corral.c - run a command so that nothing of it outlives it.
 *
 *   corral SECONDS COMMAND [ARGUMENT...]
 *
 * Whatever the command starts stays below us, however it detaches itself. When
 * the command has ended, what it left is given two seconds, then named on
 * stderr and killed. After SECONDS, or when a signal or the end of our parent
 * says so, all of it is told to end, and killed two seconds later. The last
 * line on stderr says what it took: "# 3.2 s, 1.9 s of CPU".
 * Exit status: the command's, 128 + the signal that ended it or us, 124 after
 * SECONDS, 125 if a command that succeeded left something.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE = 2 };

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "corral: %s: %s\n", what, strerror(errno));
	exit(126);
}

/* Says who a process is, on one line. */
static void name_it(int pid)
{
	char path[64], line[512];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, line, sizeof(line));
		(void)close(fd);
	}
	for (ssize_t i = 0; i < n; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = ' ';
	(void)fprintf(stderr, "left behind: %d %.*s\n", pid, n > 0 ? (int)n : 0,
		      line);
}

/* To all our children: those that we have started, and orphans of theirs. */
static void kill_all(int sig)
{
	char path[64];
	FILE *f;
	int pid;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		       (int)getpid());
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fscanf(f, "%d", &pid) == 1) {
		if (sig == SIGKILL)
			name_it(pid);
		(void)kill((pid_t)pid, sig);
	}
	(void)fclose(f);
}

/* Reaps what has ended; *status, if it is pid. False: no child is left. */
static bool reap(pid_t pid, int *status)
{
	for (;;) {
		int st;
		pid_t p = waitpid(-1, &st, WNOHANG);

		if (p == 0 || (p < 0 && errno != ECHILD))
			return true;
		if (p < 0)
			return false;
		if (p == pid)
			*status = WIFEXITED(st) ? WEXITSTATUS(st)
						: 128 + WTERMSIG(st);
	}
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for one of the signals, 50 ms at most; 0: there was none. */
static int pause_for(const sigset_t *set)
{
	struct timespec t = { .tv_nsec = 50000000 };
	int sig = sigtimedwait(set, NULL, &t);

	return sig < 0 || sig == SIGCHLD ? 0 : sig;
}

static pid_t start(char **argv, const sigset_t *old)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	(void)sigprocmask(SIG_SETMASK, old, NULL);
	(void)execvp(argv[0], argv);
	die(argv[0]);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void say_cost(double since)
{
	struct rusage all;

	(void)getrusage(RUSAGE_CHILDREN, &all);
	(void)fprintf(stderr, "# %.1f s, %.1f s of CPU\n", now() - since,
		      seconds(all.ru_utime) + seconds(all.ru_stime));
}

/* Until no child is left: the status to end with. */
static int watch(pid_t pid, const sigset_t *set, double deadline)
{
	int status = -1, verdict = 0;
	double killing = 0;

	while (reap(pid, &status)) {
		int sig = pause_for(set);

		if (!verdict && (sig || now() > deadline)) {
			verdict = sig ? 128 + sig : 124;
			kill_all(SIGTERM);
			killing = now() + GRACE;
		} else if (killing == 0 && status >= 0) {
			killing = now() + GRACE;
		} else if (killing > 0 && now() > killing) {
			if (!verdict)
				verdict = status ? status : 125;
			kill_all(SIGKILL);
		}
	}
	return verdict ? verdict : status;
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };
	double begin = now();
	sigset_t set, old;
	int status;

	if (argc < 3) {
		(void)fputs("usage: corral SECONDS COMMAND...\n", stderr);
		return 126;
	}
	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaddset(&set, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM))
		die("prctl");
	status = watch(start(argv + 2, &old), &set,
		       begin + strtod(argv[1], NULL));
	say_cost(begin);
	return status;
}
