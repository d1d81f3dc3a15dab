/* kdump.c - a core in kdump's format: makedumpfile's work. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/other.h"
#include "libmr/base/error.h"
#include "libmr/convert/state.h"
#include "libmr/file/output.h"

#define PROGRAM "makedumpfile"
/* How soon it is seen that the caller wants to stop. */
#define LOOK_UP_MS 100

/* Where the child has them: neither has a name. */
enum { CORE_FD = 3, OUT_FD, FIRST_FREE };

extern char **environ;

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

/* The first line that it says, for a message: the cause; after it comes what
 * followed from that. */
struct words {
	char line[120];
	size_t len;
	bool whole;
};

static void hear(struct words *w, const char *buf, size_t n)
{
	for (size_t i = 0; i < n && !w->whole; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\n' || c == '\r')
			w->whole = w->len;
		else if (w->len + 1 < sizeof(w->line))
			w->line[w->len++] = c < ' ' || c > '~' ? '?' : (char)c;
	}
}

/* Until it has ended. -1: the caller cancels. */
static int listen_to(int fd, struct words *w, const atomic_bool *cancel)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[256];
	ssize_t got;

	for (;;) {
		if (cancel && atomic_load(cancel))
			return -1;
		if (poll(&p, 1, LOOK_UP_MS) <= 0)
			continue;
		got = read(fd, buf, sizeof(buf));
		if (got > 0)
			hear(w, buf, (size_t)got);
		else if (!got || errno != EINTR)
			return 0;
	}
}

/* Whom posix_spawnp is to start; an errno. */
static int start(pid_t *pid, const char *const *argv, int core, int out,
		 int says)
{
	posix_spawn_file_actions_t a;
	posix_spawnattr_t attr;
	int rc;

	(void)posix_spawn_file_actions_init(&a);
	(void)posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&a, says, 2);
	(void)posix_spawn_file_actions_adddup2(&a, core, CORE_FD);
	(void)posix_spawn_file_actions_adddup2(&a, out, OUT_FD);
	/* What it starts in turn ends with it. */
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	rc = posix_spawnp(pid, PROGRAM, &a, &attr,
			  (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&a);
	return rc;
}

static int tell_start(int why, struct mr_error *err)
{
	if (why == ENOENT)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 PROGRAM " is not installed, which makes "
					 "kdumps of cores: make a core (elf)");
	errno = why;
	return error_sys(err, MR_NO_OFFSET, "cannot run " PROGRAM);
}

static int tell_end(int status, const struct words *w, struct mr_error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 PROGRAM " was ended by signal %d",
				 WTERMSIG(status));
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 PROGRAM " could not make a kdump of the core "
				 "(status %d): %s",
			 WEXITSTATUS(status),
			 w->len ? w->line : "not said why");
}

/* Its end, whatever is wanted of it meanwhile. */
static int finish(pid_t pid, int says, struct words *w,
		  const atomic_bool *cancel, struct mr_error *err)
{
	int cancelled = listen_to(says, w, cancel), status = 0;

	/* One that says no more may still run. */
	while (!cancelled && !waitpid(pid, &status, WNOHANG)) {
		(void)poll(NULL, 0, LOOK_UP_MS / 10);
		cancelled = cancel && atomic_load(cancel);
	}
	if (cancelled) {
		(void)kill(-pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (cancelled)
		return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
				 "interrupted");
	return status ? tell_end(status, w, err) : 0;
}

/* Runs it with a core, a file for what it makes, and a pipe for what it says,
 * of which none is among the numbers that the child has them at: what is put
 * where it is already would be closed. */
static int run(const char *const *argv, int core, int out,
	       const atomic_bool *cancel, struct mr_error *err)
{
	struct words w = { .len = 0 };
	int in = fcntl(core, F_DUPFD_CLOEXEC, FIRST_FREE);
	int to = fcntl(out, F_DUPFD_CLOEXEC, FIRST_FREE);
	int p[2] = { -1, -1 }, says = -1, rc = 0;
	pid_t pid = -1;

	if (in >= 0 && to >= 0 && !pipe2(p, O_CLOEXEC))
		says = fcntl(p[1], F_DUPFD_CLOEXEC, FIRST_FREE);
	rc = says < 0 ? errno : start(&pid, argv, in, to, says);
	close_all((const int[]){ in, to, p[1], says }, 4);
	rc = rc ? tell_start(rc, err) : finish(pid, p[0], &w, cancel, err);
	close_all(p, 1);
	return rc;
}

int convert_kdump_check(const struct convert *x, struct mr_error *err)
{
	static const char *const argv[] = { PROGRAM, "-v", NULL };
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	int rc = run(argv, none, none, x->options->watch.cancel, err);

	close_all(&none, 1);
	return rc;
}

/* Whatever it says of itself. */
static int check_made(const struct output *out, struct mr_error *err)
{
	uint8_t first[OTHER_MAX];
	ssize_t n = pread(out->file.fd, first, sizeof(first), 0);

	if (n > 0 && other_find(first, (size_t)n) == OTHER_KDUMP)
		return 0;
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 PROGRAM " ended well, and made no kdump");
}

int convert_kdump(struct convert *x, const struct output *core,
		  const char *path, struct mr_error *err)
{
	int level = x->options->dump_level;
	char of[12];
	const char *const argv[] = { PROGRAM,
				     "-f",
				     "-l",
				     "--message-level",
				     "4",
				     "-d",
				     of,
				     "/proc/self/fd/3",
				     "/proc/self/fd/4",
				     NULL };
	struct output out = OUTPUT_NONE;
	int rc;

	(void)snprintf(of, sizeof(of), "%d", level < 0 ? 1 : level);
	rc = output_create(&out, path, core->rule, MR_DIRECT_OFF, err)
		     ? error_about(err, CONVERT_OUT)
		     : run(argv, core->file.fd, out.file.fd,
			   x->options->watch.cancel, err);
	if (!rc)
		rc = check_made(&out, err);
	if (!rc) {
		x->report->size = convert_allocated(&out.file);
		rc = convert_publish(&out, err);
	}
	output_discard(&out);
	return rc;
}
