/* target.c - an old file in place, or a new one. */
#include "libmr/file/target.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <fcntl.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/file/place.h"

static int adopt(struct target *t, int fd, enum mr_direct direct,
		 struct mr_error *err)
{
	if (place_is(fd, HUGETLBFS_MAGIC))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "files of hugetlbfs can only be mapped, not "
				 "written");
	t->shm = place_is(fd, TMPFS_MAGIC);
	return file_adopt(&t->old, fd, O_RDWR, t->shm ? MR_DIRECT_OFF : direct,
			  err);
}

/* The file under that name, if there is one: t->existed. */
static int open_old(struct target *t, const char *path, enum mr_direct direct,
		    struct mr_error *err)
{
	struct gate gate;
	int fd, rc;

	if (gate_find(&gate, path, err))
		return -1;
	fd = gate_open(&gate, err);
	rc = fd < 0 && errno != ENOENT ? -1 : 0;
	gate_release(&gate);
	if (fd < 0)
		return rc;
	if (adopt(t, fd, direct, err)) {
		(void)close(fd);
		t->old = (struct file)FILE_CLOSED;
		return -1;
	}
	t->existed = true;
	t->file = &t->old;
	return 0;
}

static int open_new(struct target *t, const char *path, enum mr_direct direct,
		    struct mr_error *err)
{
	/* Only the file tells that it is on tmpfs. */
	if (output_create(&t->out, path, GATE_IMAGE,
			  direct == MR_DIRECT_ON ? MR_DIRECT_AUTO : direct,
			  err))
		return -1;
	t->file = &t->out.file;
	t->shm = place_is(t->file->fd, TMPFS_MAGIC);
	if (t->shm) {
		if (t->file->direct_fd >= 0)
			(void)close(t->file->direct_fd);
		t->file->direct_fd = -1;
		t->file->align = 1;
	} else if (direct == MR_DIRECT_ON && t->file->direct_fd < 0) {
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "no direct I/O on this file system");
	}
	return 0;
}

int target_open(struct target *t, const char *path, enum mr_direct direct,
		struct mr_error *err)
{
	if (open_old(t, path, direct, err))
		return -1;
	return t->existed ? 0 : open_new(t, path, direct, err);
}

bool target_is(const struct target *t, const struct file *file)
{
	return t->file->dev == file->dev && t->file->ino == file->ino;
}

int target_lock(struct target *t, struct mr_error *err)
{
	return t->existed ? file_lock(t->old.fd, err) : 0;
}

/* Before anything is written: writes inside a file are faster than writes that
 * grow it. */
int target_size(struct target *t, uint64_t size, struct mr_error *err)
{
	t->punch = true;
	if (!t->existed)
		return output_resize(&t->out, size, err);
	if (t->old.io.size != size && ftruncate(t->old.fd, (off_t)size))
		return error_sys(err, MR_NO_OFFSET,
				 "cannot size the file to %" PRIu64 " bytes",
				 size);
	t->punch = !place_punch(t->old.fd, 0, 4096);
	return 0;
}

int target_publish(struct target *t, struct mr_error *err)
{
	if (!t->existed)
		return output_publish(&t->out, err);
	if (fsync(t->old.fd))
		return error_sys(err, MR_NO_OFFSET, "cannot sync");
	if (file_close(&t->old))
		return error_sys(err, MR_NO_OFFSET, "cannot close");
	return 0;
}

void target_discard(struct target *t)
{
	output_discard(&t->out);
	(void)file_close(&t->old);
}
