/*
 * qemu.c - which QEMU is it?
 *
 * To start it for the question takes longer than all the rest, so the words
 * that it would say are looked for in the file. A script has to be asked.
 */
#include "libmr/instant/state.h"

#include <elf.h>
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
#define LOOK_UP_MS 100
#define PROGRAM_MAX ((off_t)1 << 30)

extern char **environ;

/* As execvp finds it. -1 with errno. */
static int open_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];
	struct stat st;

	/* Nobody may be at the other end of a FIFO. */
	if (strchr(name, '/'))
		return open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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
		fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
			(void)close(fd);
			continue;
		}
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

static bool search_version(const uint8_t *bytes, size_t size, char version[32])
{
	const uint8_t *words = (const uint8_t *)SAYS;
	struct search s;
	size_t at;

	search_init(&s, words, sizeof(SAYS) - 1);
	at = search_next(&s, bytes, size, 0);
	if (at == SIZE_MAX)
		return false;
	at += sizeof(SAYS) - 1;
	return take_version((const char *)bytes + at, size - at, version);
}

/*
 * Where an ELF program keeps its words (.rodata): *size bytes from the byte
 * that is returned on. All of it, if that cannot be told. To look at a
 * twentieth of a QEMU spares two milliseconds.
 */
static size_t find_words(const uint8_t *bytes, size_t *size)
{
	static const char name[] = ".rodata";
	Elf64_Ehdr e;
	Elf64_Shdr k, names;
	size_t all = *size;

	if (all < sizeof(e))
		return 0;
	memcpy(&e, bytes, sizeof(e));
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_shentsize != sizeof(k) ||
	    e.e_shoff > all || e.e_shstrndx >= e.e_shnum ||
	    (all - e.e_shoff) / sizeof(k) < e.e_shnum)
		return 0;
	memcpy(&names, bytes + e.e_shoff + e.e_shstrndx * sizeof(k), sizeof(k));
	for (unsigned i = 0; i < e.e_shnum; i++) {
		memcpy(&k, bytes + e.e_shoff + i * sizeof(k), sizeof(k));
		if (names.sh_offset > all ||
		    k.sh_name > all - names.sh_offset ||
		    all - names.sh_offset - k.sh_name < sizeof(name) ||
		    memcmp(bytes + names.sh_offset + k.sh_name, name,
			   sizeof(name)) != 0)
			continue;
		if (k.sh_type != SHT_PROGBITS || k.sh_offset > all ||
		    k.sh_size > all - k.sh_offset)
			return 0;
		*size = k.sh_size;
		return k.sh_offset;
	}
	return 0;
}

/* The words in the file; false: they are not there. */
static bool find_version(int fd, char version[32])
{
	struct stat st;
	uint8_t *bytes;
	size_t from, size, all;
	bool found;

	if (fstat(fd, &st) || st.st_size < 1 || st.st_size > PROGRAM_MAX)
		return false;
	all = size = (size_t)st.st_size;
	bytes = mmap(NULL, all, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return false;
	from = find_words(bytes, &size);
	found = search_version(bytes + from, size, version) ||
		(size < all && search_version(bytes, all, version));
	(void)munmap(bytes, all);
	return found;
}

/* What it says until it ends, or for so long, or until the caller cancels. */
static size_t read_answer(int fd, char *buf, size_t size,
			  const atomic_bool *cancel)
{
	const double end = watch_clock() + ANSWER_MS / 1000.0;
	size_t n = 0;

	while (n < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;
		int rc = poll(&p, 1, LOOK_UP_MS);

		if (watch_clock() >= end || (cancel && atomic_load(cancel)) ||
		    (rc < 0 && errno != EINTR))
			break;
		if (rc <= 0)
			continue;
		got = read(fd, buf + n, size - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

/* Runs it. false: it does not say. */
static bool ask_version_of(const char *program, const atomic_bool *cancel,
			   char version[32])
{
	char *argv[] = { (char *)(uintptr_t)program,
			 (char *)(uintptr_t) "--version", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
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
	/* What it starts in turn ends with it. */
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	rc = posix_spawnp(&pid, program, &actions, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(out[1]);
	n = rc ? 0 : read_answer(out[0], answer, sizeof(answer) - 1, cancel);
	(void)close(out[0]);
	if (rc)
		return false;
	(void)kill(-pid, SIGKILL);
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
	const atomic_bool *cancel = in->options->watch.cancel;
	const char *program = in->args.v[0];
	struct stat st;
	char *version = in->report->qemu;
	int fd = open_program(program), major = 0, minor = 0;
	bool known;

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open the program");
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is no program");
	}
	if (strchr(program, '/') && access(program, X_OK)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot execute it");
		(void)close(fd);
		return -1;
	}
	in->privileged = is_privileged(fd);
	known = find_version(fd, version) ||
		ask_version_of(program, cancel, version);
	(void)close(fd);
	if (!known && cancel && atomic_load(cancel))
		return error_set(err, MR_CANCELLED, MR_NO_OFFSET, "cancelled");
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
