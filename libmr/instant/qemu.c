/*
 * qemu.c - which QEMU is it?
 *
 * To start it for the question takes longer than all the rest, so the words
 * that it would say are looked for in the file. A script has to be asked.
 */
#include "libmr/instant/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/search.h"
#include "libmr/base/watch.h"

#define SAYS "QEMU emulator version "
#define ANSWER_MS 10000
#define PROGRAM_MAX ((off_t)1 << 30)

extern char **environ;

/* As execvp finds it. -1 with errno. */
static int open_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	if (strchr(name, '/'))
		return open(name, O_RDONLY | O_CLOEXEC);
	path = path ? path : "/bin:/usr/bin";
	for (const char *end; path; path = end ? end + 1 : NULL) {
		size_t n;
		int fd;

		end = strchr(path, ':');
		n = end ? (size_t)(end - path) : strlen(path);
		if ((size_t)snprintf(file, sizeof(file), "%.*s%s%s", (int)n,
				     path, n ? "/" : "",
				     name) >= sizeof(file) ||
		    access(file, X_OK))
			continue;
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	errno = ENOENT;
	return -1;
}

/* "10.0.2 (Debian...)" -> "10.0.2" */
static bool take_version(const char *text, size_t len, char version[32])
{
	size_t n = 0;

	while (n < len && n < 31 && strchr("0123456789.", text[n]) && text[n])
		n++;
	memcpy(version, text, n);
	version[n] = '\0';
	return n > 0;
}

/* The words in the file; false: they are not there. */
static bool find_version(int fd, char version[32])
{
	const uint8_t *words = (const uint8_t *)SAYS;
	struct search s;
	struct stat st;
	uint8_t *bytes;
	size_t at, size;
	bool found = false;

	if (fstat(fd, &st) || st.st_size < 1 || st.st_size > PROGRAM_MAX)
		return false;
	size = (size_t)st.st_size;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return false;
	search_init(&s, words, sizeof(SAYS) - 1);
	at = search_next(&s, bytes, size, 0);
	if (at != SIZE_MAX) {
		at += sizeof(SAYS) - 1;
		found = take_version((const char *)bytes + at, size - at,
				     version);
	}
	(void)munmap(bytes, size);
	return found;
}

/* What it says until it ends, or for so long. */
static size_t read_answer(int fd, char *buf, size_t size)
{
	const double end = watch_clock() + ANSWER_MS / 1000.0;
	size_t n = 0;

	while (n < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int left = (int)((end - watch_clock()) * 1000);
		ssize_t got;

		if (left <= 0 || poll(&p, 1, left) <= 0)
			break;
		got = read(fd, buf + n, size - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

/* Runs it. false: it does not say. */
static bool ask_version_of(const char *program, char version[32])
{
	char *argv[] = { (char *)(uintptr_t)program,
			 (char *)(uintptr_t) "--version", NULL };
	posix_spawn_file_actions_t actions;
	char answer[512];
	int out[2];
	pid_t pid;
	size_t n;
	char *at;
	int rc;

	if (pipe2(out, O_CLOEXEC))
		return false;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null",
					       O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	rc = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(out[1]);
	n = rc ? 0 : read_answer(out[0], answer, sizeof(answer) - 1);
	(void)close(out[0]);
	if (rc)
		return false;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	answer[n] = '\0';
	at = strstr(answer, SAYS);
	at = at ? at + sizeof(SAYS) - 1 : NULL;
	return at && take_version(at, strlen(at), version);
}

/* A process of such a program may not be looked at by its user. */
static bool is_privileged(int fd)
{
	struct stat st;

	return (!fstat(fd, &st) && st.st_mode & (S_ISUID | S_ISGID)) ||
	       fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

int instant_look_qemu(struct mr_instant *in, struct mr_error *err)
{
	const char *program = in->args.v[0];
	char *version = in->report->qemu;
	int fd = open_program(program), major = 0, minor = 0;
	bool known;

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open the program");
	in->privileged = is_privileged(fd);
	known = find_version(fd, version) || ask_version_of(program, version);
	(void)close(fd);
	if (!known || sscanf(version, "%d.%d", &major, &minor) != 2)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is no QEMU, and --version does not "
				 "make it say which it runs");
	if (major > 8 || (major == 8 && minor >= 2))
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "QEMU %s cannot map an image that it must not write "
			 "to: that came with 8.2",
			 version);
}
