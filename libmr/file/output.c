/* output.c - nameless file, then fsync, link, rename, fsync the folder. */
#include "libmr/file/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* The path behind symlinks, so that a link is not replaced by a file. A path
 * that names nothing yet is taken as it is. malloc'ed; NULL: *err. */
static char *resolve(const char *path, struct mr_error *err)
{
	size_t len = strlen(path);
	char *real, link;

	if (!len || path[len - 1] == '/') {
		(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				"not the name of a file");
		return NULL;
	}
	real = realpath(path, NULL);
	if (real)
		return real;
	if (errno == ENOENT) {
		if (readlink(path, &link, 1) >= 0) {
			(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					"a symlink that leads nowhere");
			return NULL;
		}
		real = strdup(path);
	}
	if (!real)
		(void)error_sys(err, MR_NO_OFFSET, "cannot resolve");
	return real;
}

/* Splits path (resolved) into an open folder and a name. */
static int open_folder(const char *path, int *dir, char **name,
		       struct mr_error *err)
{
	char *real = resolve(path, err), *copy = NULL;
	int rc = -1;

	*name = NULL;
	*dir = -1;
	if (!real)
		return -1;
	copy = strdup(real);
	*name = strdup(basename(real));
	if (!copy || !*name) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		goto out;
	}
	*dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		(void)error_sys(err, MR_NO_OFFSET, "cannot open the folder");
	else
		rc = 0;
out:
	free(copy);
	free(real);
	if (rc) {
		free(*name);
		*name = NULL;
	}
	return rc;
}

/* What has the name now. Nothing is fine, and so is a file: all else would be
 * lost by a rename over it, or refuse one after the work was done. */
static int look_at(int dir, const char *name, struct output_target *t,
		   struct mr_error *err)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT
			       ? 0
			       : error_sys(err, MR_NO_OFFSET, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "exists and is not a regular file");
	t->exists = true;
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	return 0;
}

int output_look(const char *path, struct output_target *t, struct mr_error *err)
{
	struct statvfs vfs;
	char *name;
	int dir, rc = -1;

	*t = (struct output_target){ 0 };
	if (open_folder(path, &dir, &name, err))
		return -1;
	if (faccessat(dir, ".", W_OK | X_OK, AT_EACCESS)) {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot create files in this folder");
		goto out;
	}
	if (look_at(dir, name, t, err))
		goto out;
	if (fstatvfs(dir, &vfs)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot ask for room");
		goto out;
	}
	t->room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	t->block = vfs.f_frsize;
	rc = 0;
out:
	free(name);
	(void)close(dir);
	return rc;
}

/* A name beside the target that nobody else has. */
static char *temporary_name(const char *name, struct mr_error *err)
{
	uint64_t salt;
	char *tmp;

	if (getrandom(&salt, sizeof(salt), 0) != (ssize_t)sizeof(salt)) {
		(void)error_sys(err, MR_NO_OFFSET, "no random name");
		return NULL;
	}
	/* Long target names are cut: the whole must stay a legal name, also
	 * where names are shorter than 255 bytes. */
	if (asprintf(&tmp, ".%.100s.%016" PRIx64 ".tmp", name, salt) < 0) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		return NULL;
	}
	return tmp;
}

int output_create(struct output *o, const char *path, enum mr_direct direct,
		  struct mr_error *err)
{
	struct output_target found = { 0 };
	int fd;

	*o = (struct output)OUTPUT_NONE;
	if (open_folder(path, &o->dir, &o->name, err))
		return -1;
	if (look_at(o->dir, o->name, &found, err))
		goto fail;
	fd = openat(o->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR ||
		       errno == ENOENT || errno == EINVAL)) {
		o->tmp = temporary_name(o->name, err);
		if (!o->tmp)
			goto fail;
		fd = openat(o->dir, o->tmp,
			    O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC,
			    0600);
	}
	if (fd < 0) {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot create a file in this folder");
		free(o->tmp);
		o->tmp = NULL;
		goto fail;
	}
	/* O_TMPFILE and openat honour the umask: say what we mean. */
	if (fchmod(fd, 0600)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot set mode 0600");
		(void)close(fd);
		goto fail;
	}
	if (file_adopt(&o->file, fd, O_RDWR, direct, err)) {
		(void)close(fd);
		goto fail;
	}
	return 0;
fail:
	output_discard(o);
	return -1;
}

int output_resize(struct output *o, uint64_t size, struct mr_error *err)
{
	if (size > INT64_MAX)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "an image of %" PRIu64 " bytes is too large",
				 size);
	if (ftruncate(o->file.fd, (off_t)size))
		return error_sys(err, MR_NO_OFFSET,
				 "cannot size the file to %" PRIu64 " bytes",
				 size);
	o->file.io.size = size;
	return 0;
}

static int give_name(struct output *o, struct mr_error *err)
{
	char self[32];

	if (o->tmp)
		return 0;
	o->tmp = temporary_name(o->name, err);
	if (!o->tmp)
		return -1;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", o->file.fd);
	if (linkat(AT_FDCWD, self, o->dir, o->tmp, AT_SYMLINK_FOLLOW)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot name the file");
		free(o->tmp);
		o->tmp = NULL;
		return -1;
	}
	return 0;
}

int output_publish(struct output *o, struct mr_error *err)
{
	/* close() can carry the last write error on network file systems. */
	int fd = -1;

	if (fsync(o->file.fd)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot sync");
		goto fail;
	}
	if (give_name(o, err))
		goto fail;
	fd = dup(o->file.fd);
	if (fd < 0 || close(fd)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot close");
		goto fail;
	}
	if (renameat(o->dir, o->tmp, o->dir, o->name)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot rename into place");
		goto fail;
	}
	free(o->tmp);
	o->tmp = NULL;
	/* The rename happened; not knowing whether it lasts is a failure to
	 * report, but the file stays. */
	if (fsync(o->dir)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot sync the folder");
		goto fail;
	}
	output_discard(o);
	return 0;
fail:
	output_discard(o);
	return -1;
}

void output_discard(struct output *o)
{
	if (o->tmp)
		(void)unlinkat(o->dir, o->tmp, 0);
	(void)file_close(&o->file);
	if (o->dir >= 0)
		(void)close(o->dir);
	free(o->name);
	free(o->tmp);
	*o = (struct output)OUTPUT_NONE;
}
