/* child.c - processes: the janitor, and programs that are measured. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t worker;

static void pass_on(int sig)
{
	(void)sig;
	(void)kill(worker, SIGTERM);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	if (remove(path) && errno != ENOENT)
		perror(path);
	return 0;
}

static void remove_folder(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

/* What the worker started became ours when it ended. */
static void end_children(void)
{
	char path[64];
	int pid;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		       (int)getpid());
	for (;;) {
		FILE *f = fopen(path, "r");

		while (f && fscanf(f, "%d", &pid) == 1)
			(void)kill(pid, SIGKILL);
		if (f)
			(void)fclose(f);
		if (wait(NULL) < 0 && errno == ECHILD)
			return;
	}
}

void janitor_start(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = pass_on };
	int status = 0;
	sigset_t block;

	(void)sigemptyset(&block);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		(void)sigaddset(&block, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &block, NULL);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	worker = fork();
	if (worker < 0)
		die("cannot fork: %s", strerror(errno));
	if (worker == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)sigprocmask(SIG_UNBLOCK, &block, NULL);
		return;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
	(void)sigprocmask(SIG_UNBLOCK, &block, NULL);
	while (waitpid(worker, &status, 0) < 0 && errno == EINTR)
		continue;
	end_children();
	pool_restore();
	remove_folder(config.images);
	remove_folder(config.run);
	remove_folder(config.tmpfs);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

pid_t child_start(const char *name, const char *const *argv, int out_fd)
{
	char log[PATH_LEN];
	pid_t parent = getpid(), pid;
	int fd;

	(void)snprintf(log, sizeof(log), "%s/%s.log", config.run, name);
	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	fd = open("/dev/null", O_RDONLY);
	(void)dup2(fd, STDIN_FILENO);
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)dup2(fd, STDERR_FILENO);
	(void)dup2(out_fd < 0 ? fd : out_fd, STDOUT_FILENO);
	/* execvp promises not to change them. */
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	(void)fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

void child_show_log(const char *name)
{
	char line[512], log[PATH_LEN];
	FILE *f;

	(void)snprintf(log, sizeof(log), "%s/%s.log", config.run, name);
	f = fopen(log, "r");
	while (f && fgets(line, sizeof(line), f))
		(void)fputs(line, stderr);
	if (f)
		(void)fclose(f);
}

void child_warm_memory(uint64_t mib)
{
	int status;
	pid_t pid;
	void *p;

	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		p = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED) {
			(void)madvise(p, mib * MIB, MADV_HUGEPAGE);
			memset(p, 1, mib * MIB);
		}
		_exit(p == MAP_FAILED);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("cannot wait: %s", strerror(errno));
	if (status)
		die("no memory for %d MiB", (int)mib);
}

json_t *child_run(const char *const *argv, struct sample *s)
{
	int fds[2], status = 0;
	struct rusage ru;
	json_error_t e;
	json_t *out;
	double start;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		die("cannot make a pipe: %s", strerror(errno));
	start = now();
	pid = child_start("tool", argv, fds[1]);
	(void)close(fds[1]);
	/* Summaries fit into the pipe: the tool never waits for us. */
	while (wait4(pid, &status, 0, &ru) < 0)
		if (errno != EINTR)
			die("cannot wait: %s", strerror(errno));
	s->seconds = now() - start;
	s->cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		 1e-6 * (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	s->peak = 1024.0 * (double)ru.ru_maxrss;
	if (status) {
		child_show_log("tool");
		die("%s: status %d", argv[0],
		    WIFEXITED(status) ? WEXITSTATUS(status)
				      : 128 + WTERMSIG(status));
	}
	out = json_loadfd(fds[0], 0, &e);
	if (!out)
		die("%s: what it printed is not JSON: %s", argv[0], e.text);
	(void)close(fds[0]);
	return out;
}
