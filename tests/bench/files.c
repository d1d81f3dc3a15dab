/* files.c - memory that is no pattern: files of this machine, as its page cache
 * has them. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int to;
static uint64_t left; /* bytes */

/* Each begins on a page. */
static int add(const char *path, const struct stat *st, int type,
	       struct FTW *where)
{
	static char buf[1 << 20];
	ssize_t n;
	int fd;

	(void)where;
	if (type != FTW_F || !S_ISREG(st->st_mode) || !left)
		return left == 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && left && (n = read(fd, buf, sizeof(buf))) > 0) {
		size_t len = ((size_t)n + 4095) & ~(size_t)4095;

		memset(buf + n, 0, len - (size_t)n);
		if (len > left)
			len = (size_t)left;
		if (write(to, buf, len) != (ssize_t)len)
			die("cannot write: %s", strerror(errno));
		left -= len;
	}
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

const char *files_take(uint64_t mib)
{
	static const char *const from[] = { "/usr/bin", "/usr/lib",
					    "/usr/share", "/usr" };
	const char *path = path_of(config.images, "files");
	struct stat st;

	if (!stat(path, &st) && (uint64_t)st.st_size == mib * MIB)
		return path;
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		die("%s: %s", path, strerror(errno));
	left = mib * MIB;
	/* What there is, and again what there is, until it is full. */
	for (size_t i = 0; left && i < 100; i++)
		(void)nftw(from[i % 4], add, 16, FTW_PHYS);
	if (close(to) || left)
		die("%s: not enough to fill it with", path);
	return path_of(config.images, "files");
}
