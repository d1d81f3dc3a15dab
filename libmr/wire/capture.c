/* capture.c - a file for each connection, and when its bytes came. */
#include "libmr/wire/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"

static void file_name(char name[32], unsigned connection)
{
	if (connection)
		(void)snprintf(name, 32, CAPTURE_CHANNEL_FILE "%u",
			       connection - 1);
	else
		(void)snprintf(name, 32, CAPTURE_MAIN_FILE);
}

static int write_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int new_file(const struct capture *c, const char *name, int flags)
{
	return openat(c->dir, name,
		      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW |
			      flags,
		      0600);
}

int capture_create(struct capture *c, const char *path, struct mr_error *err)
{
	uint8_t head[CAPTURE_HEAD_SIZE];

	if (mkdir(path, 0700))
		return error_sys(err, MR_NO_OFFSET, "cannot make the folder");
	c->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open the folder");
	/* Records of several threads, each in one piece. */
	c->index = new_file(c, CAPTURE_INDEX_FILE, O_APPEND);
	if (c->index < 0 ||
	    write_all(c->index, head, capture_head_encode(head)))
		return error_sys(err, MR_NO_OFFSET, "cannot write the index");
	c->since = watch_clock();
	return 0;
}

/* The link's: bytes that were read; none: its end. */
static int keep(struct link_tee *t, const void *bytes, size_t n)
{
	struct capture *c = t->arg;
	struct capture_record r = {
		.kind = n ? CAPTURE_BYTES : CAPTURE_END,
		.connection = (uint16_t)t->connection,
		.bytes = (uint32_t)n,
		.ns = (uint64_t)((watch_clock() - c->since) * 1e9),
	};
	uint8_t buf[CAPTURE_RECORD_SIZE];

	if (!write_all(t->fd, bytes, n) &&
	    !write_all(c->index, buf, capture_record_encode(buf, &r)))
		return 0;
	atomic_store(&c->failed, errno);
	return -1;
}

int capture_link(struct capture *c, struct link *l, unsigned connection,
		 const void *bytes, size_t n, struct mr_error *err)
{
	char name[32];
	int fd;

	file_name(name, connection);
	fd = new_file(c, name, 0);
	if (fd < 0) {
		atomic_store(&c->failed, errno);
		return error_sys(err, MR_NO_OFFSET, "cannot make %s", name);
	}
	l->tee = (struct link_tee){
		.put = keep, .arg = c, .fd = fd, .connection = connection
	};
	if (n && keep(&l->tee, bytes, n))
		return error_sys(err, MR_NO_OFFSET, "cannot write %s", name);
	return 0;
}

int capture_finish(struct capture *c, struct mr_error *err)
{
	errno = atomic_load(&c->failed);
	if (errno)
		return error_sys(err, MR_NO_OFFSET, "cannot write");
	/* The file system, once: there may be many files. */
	if (syncfs(c->dir))
		return error_sys(err, MR_NO_OFFSET, "cannot write");
	return 0;
}

void capture_close(struct capture *c)
{
	if (c->index >= 0)
		(void)close(c->index);
	if (c->dir >= 0)
		(void)close(c->dir);
	*c = (struct capture)CAPTURE_NONE;
}

int capture_open(struct capture *c, const char *path, struct mr_error *err)
{
	c->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c->dir >= 0
		       ? 0
		       : error_sys(err, MR_NO_OFFSET, "cannot open the folder");
}

int capture_file(const struct capture *c, unsigned connection)
{
	struct stat st;
	char name[32];
	int fd;

	file_name(name, connection);
	fd = openat(c->dir, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || (!fstat(fd, &st) && S_ISREG(st.st_mode)))
		return fd;
	/* Nobody may be at the other end of it, or no end. */
	(void)close(fd);
	errno = ENODEV;
	return -1;
}
