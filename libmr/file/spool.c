/* spool.c - a file without a name, filled from front to back. */
#include "libmr/file/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/pages.h"

/* How often one looks how much room is left, in bytes. */
#define LOOK ((uint64_t)16 << 20)
/* What is a hole, if it is zero. */
#define HOLE ((size_t)4096)

static int put(struct expand_to *to, const void *buf, size_t len,
	       struct mr_error *err)
{
	return spool_put((struct spool *)(void *)to, buf, len, err);
}

/* Where the file system has no files without a name it has none for long. */
static int create(const char *folder)
{
	char *path;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR &&
			errno != ENOENT && errno != EINVAL))
		return fd;
	if (asprintf(&path, "%s/.mrspool.XXXXXX", folder) < 0) {
		errno = ENOMEM;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	free(path);
	return fd;
}

static int look_for_room(struct spool *s, struct mr_error *err)
{
	struct statvfs vfs;

	s->looked = s->size;
	if (fstatvfs(s->fd, &vfs))
		return error_sys(err, MR_NO_OFFSET, "cannot ask for room");
	/* Some file systems do not say how large they are. */
	if (vfs.f_blocks && vfs.f_bavail < vfs.f_blocks / 20)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the spool is full: after %" PRIu64
				 " bytes less than 5 %% of its file system are "
				 "left; another folder may have more room",
				 s->size);
	return 0;
}

int spool_open(struct spool *s, const char *folder, uint64_t limit,
	       const struct mr_watch *watch, unsigned who, struct mr_error *err)
{
	*s = (struct spool){
		.to.put = put,
		.limit = limit ? limit : INT64_MAX,
		.who = who,
		.watch = watch,
		.fd = create(folder),
	};
	if (s->fd < 0)
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot create a spool in this folder");
	else if (fchmod(s->fd, 0600))
		(void)error_sys(err, MR_NO_OFFSET, "cannot set mode 0600");
	else if (!look_for_room(s, err))
		return 0;
	spool_release(s);
	return error_about(err, who);
}

static bool is_hole(const void *buf, size_t len)
{
	return len == HOLE && !((uintptr_t)buf & 7) && pages_all_zero(buf, len);
}

/* Bytes from buf on that are of one kind: *hole, or to be written. */
static size_t stretch(const uint8_t *buf, size_t len, uint64_t at, bool *hole)
{
	size_t n = 0;

	while (n < len) {
		size_t piece = HOLE - (size_t)((at + n) % HOLE);
		bool is;

		if (piece > len - n)
			piece = len - n;
		is = is_hole(buf + n, piece);
		if (!n)
			*hole = is;
		else if (is != *hole)
			break;
		n += piece;
	}
	return n;
}

static int write_full(struct spool *s, const uint8_t *buf, size_t len,
		      struct mr_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(s->fd, buf + done, len - done,
				   (off_t)(s->size + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return error_sys(err, s->size + done,
					 "cannot write the spool");
		done += (size_t)n;
	}
	return 0;
}

int spool_put(struct spool *s, const void *buf, size_t len,
	      struct mr_error *err)
{
	const uint8_t *p = buf;

	if (s->watch && s->watch->cancel && atomic_load(s->watch->cancel))
		return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
				 "interrupted");
	if (len > s->limit - s->size) {
		(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				"the spool is full: there are more than the "
				"%" PRIu64 " bytes that it may have",
				s->limit);
		return error_about(err, s->who);
	}
	if (s->size - s->looked >= LOOK && look_for_room(s, err))
		return error_about(err, s->who);
	while (len) {
		bool hole = false;
		size_t n = stretch(p, len, s->size, &hole);

		if (!hole && write_full(s, p, n, err))
			return error_about(err, s->who);
		s->size += n;
		p += n;
		len -= n;
	}
	return 0;
}

int spool_end(struct spool *s, struct mr_error *err)
{
	if (!ftruncate(s->fd, (off_t)s->size))
		return 0;
	(void)error_sys(err, MR_NO_OFFSET, "cannot size the spool");
	return error_about(err, s->who);
}

void spool_release(struct spool *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	*s = (struct spool)SPOOL_NONE;
}
