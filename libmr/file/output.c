/* output.c - nameless file, then fsync, link, rename, fsync the folder. */
#include "libmr/file/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libmr/base/error.h"

int output_look(const char *path, enum gate_rule rule, struct output_target *t,
		struct mr_error *err)
{
	struct statvfs vfs;
	struct gate p;
	int rc = -1;

	*t = (struct output_target){ 0 };
	if (gate_find(&p, path, err))
		return -1;
	if (faccessat(p.dir, ".", W_OK | X_OK, AT_EACCESS)) {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot create files in this folder");
		goto out;
	}
	if (gate_look(&p, rule, &t->found, err))
		goto out;
	if (fstatvfs(p.dir, &vfs)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot ask for room");
		goto out;
	}
	t->room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	t->block = vfs.f_frsize;
	rc = 0;
out:
	gate_release(&p);
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

int output_create(struct output *o, const char *path, enum gate_rule rule,
		  enum mr_direct direct, struct mr_error *err)
{
	int fd;

	*o = (struct output)OUTPUT_NONE;
	o->rule = rule;
	if (gate_find(&o->gate, path, err))
		return -1;
	if (gate_look(&o->gate, rule, &o->found, err))
		goto fail;
	fd = openat(o->gate.dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR ||
		       errno == ENOENT || errno == EINVAL)) {
		o->tmp = temporary_name(o->gate.name, err);
		if (!o->tmp)
			goto fail;
		fd = openat(o->gate.dir, o->tmp,
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
	o->tmp = temporary_name(o->gate.name, err);
	if (!o->tmp)
		return -1;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", o->file.fd);
	if (linkat(AT_FDCWD, self, o->gate.dir, o->tmp, AT_SYMLINK_FOLLOW)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot name the file");
		free(o->tmp);
		o->tmp = NULL;
		return -1;
	}
	return 0;
}

/* All is on the disk, under a hidden name. */
static int settle(struct output *o, struct mr_error *err)
{
	/* close() can carry the last write error on network file systems. */
	int fd = -1;

	if (fsync(o->file.fd))
		return error_sys(err, MR_NO_OFFSET, "cannot sync");
	if (give_name(o, err))
		return -1;
	fd = dup(o->file.fd);
	if (fd < 0 || close(fd))
		return error_sys(err, MR_NO_OFFSET, "cannot close");
	/* The work took its time: what has the name by now? */
	return gate_look(&o->gate, o->rule, &o->found, err);
}

/* The rename happened; not knowing whether it lasts is a failure to report, but
 * the file stays. */
static int sync_folder(struct output *o, struct mr_error *err)
{
	return fsync(o->gate.dir)
		       ? error_sys(err, MR_NO_OFFSET, "cannot sync the folder")
		       : 0;
}

int output_publish(struct output *o, struct mr_error *err)
{
	int rc = settle(o, err);

	if (!rc && renameat(o->gate.dir, o->tmp, o->gate.dir, o->gate.name))
		rc = error_sys(err, MR_NO_OFFSET, "cannot rename into place");
	if (!rc) {
		free(o->tmp);
		o->tmp = NULL;
		rc = sync_folder(o, err);
	}
	output_discard(o);
	return rc;
}

/* ---- files that take turns ---- */

static bool is_file(const struct stat *st, const struct gate_found *is)
{
	return st->st_dev == is->dev && st->st_ino == is->ino;
}

static int refuse(struct mr_error *err)
{
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "somebody else has put another file in its place, or "
			 "removed it: not replaced");
}

/* Whether that name is one of `was`. */
static bool names(const struct output *o, const char *name,
		  const struct gate_found *was)
{
	struct stat st;

	return !fstatat(o->gate.dir, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       is_file(&st, was);
}

static int swap(const struct output *o)
{
	return renameat2(o->gate.dir, o->tmp, o->gate.dir, o->gate.name,
			 RENAME_EXCHANGE);
}

/* Where a file system cannot do it in one step. */
static int exchange_slowly(struct output *o, const struct gate_found *was,
			   struct mr_error *err)
{
	char *old = temporary_name(o->gate.name, err);
	bool linked;

	if (!old)
		return -1;
	linked = !linkat(o->gate.dir, o->gate.name, o->gate.dir, old, 0);
	if (linked && !names(o, old, was)) {
		(void)refuse(err);
	} else if (linked &&
		   !renameat(o->gate.dir, o->tmp, o->gate.dir, o->gate.name)) {
		free(o->tmp);
		o->tmp = old;
		return 0;
	} else {
		(void)error_sys(err, MR_NO_OFFSET, "cannot rename into place");
	}
	if (linked)
		(void)unlinkat(o->gate.dir, old, 0);
	free(old);
	return -1;
}

/* Nobody sees a moment without the name, nor one with a part of a file. */
static int exchange(struct output *o, const struct gate_found *was,
		    struct mr_error *err)
{
	if (!swap(o)) {
		if (names(o, o->tmp, was))
			return 0;
		/* It came in this moment. */
		if (!swap(o))
			return refuse(err);
		free(o->tmp);
		o->tmp = NULL;
		return refuse(err);
	}
	if (errno != EINVAL && errno != ENOSYS)
		return error_sys(err, MR_NO_OFFSET, "cannot rename into place");
	return exchange_slowly(o, was, err);
}

int output_exchange(struct output *o, const struct gate_found *was,
		    char **hidden, int *fd, struct mr_error *err)
{
	int rc = settle(o, err);

	*hidden = NULL;
	*fd = rc ? -1 : fcntl(o->file.fd, F_DUPFD_CLOEXEC, 3);
	if (!rc && *fd < 0)
		rc = error_sys(err, MR_NO_OFFSET, "no descriptor");
	if (!rc && was && !names(o, o->gate.name, was))
		rc = refuse(err);
	if (!rc && was) {
		rc = exchange(o, was, err);
	} else if (!rc) {
		rc = renameat(o->gate.dir, o->tmp, o->gate.dir, o->gate.name);
		if (rc)
			(void)error_sys(err, MR_NO_OFFSET,
					"cannot rename into place");
	}
	if (!rc) {
		*hidden = was ? o->tmp : NULL;
		if (!was)
			free(o->tmp);
		o->tmp = NULL;
		rc = sync_folder(o, err);
	} else if (*fd >= 0) {
		(void)close(*fd);
		*fd = -1;
	}
	output_discard(o);
	return rc;
}

int output_reuse(struct output *o, const char *path, enum gate_rule rule,
		 enum mr_direct direct, int fd, char *hidden,
		 struct mr_error *err)
{
	*o = (struct output)OUTPUT_NONE;
	o->rule = rule;
	if (gate_find(&o->gate, path, err)) {
		free(hidden);
		(void)close(fd);
		return -1;
	}
	o->tmp = hidden;
	if (!file_adopt(&o->file, fd, O_RDWR, direct, err))
		return 0;
	(void)close(fd);
	output_discard(o);
	return -1;
}

/* ".NAME.0123456789abcdef.tmp", as temporary_name makes them. */
static bool is_temporary(const char *entry, const char *name)
{
	size_t n = strlen(name) < 100 ? strlen(name) : 100;

	return entry[0] == '.' && !strncmp(entry + 1, name, n) &&
	       entry[n + 1] == '.' &&
	       strspn(entry + n + 2, "0123456789abcdef") == 16 &&
	       !strcmp(entry + n + 18, ".tmp");
}

/* A lease is given only to the last who has it open. Who opens it just then
 * breaks it, and its holder gets a signal: not SIGIO, which would end the
 * process, but one that is not heeded. */
static bool is_alone(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) || fcntl(fd, F_SETLEASE, F_WRLCK))
		return false;
	return !fcntl(fd, F_SETLEASE, F_UNLCK);
}

bool output_is_free(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_nlink == 1 && is_alone(fd);
}

/* Who is at work on one has it open. */
static void sweep(const struct gate *p, const char *entry)
{
	int fd = openat(p->dir, entry,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    is_alone(fd))
		(void)unlinkat(p->dir, entry, 0);
	(void)close(fd);
}

void output_sweep(const char *path)
{
	struct gate p;
	struct dirent *e;
	DIR *dir;
	int fd;

	if (gate_find(&p, path, NULL))
		return;
	fd = openat(p.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir && fd >= 0)
		(void)close(fd);
	while (dir && (e = readdir(dir)))
		if (is_temporary(e->d_name, p.name))
			sweep(&p, e->d_name);
	if (dir)
		(void)closedir(dir);
	gate_release(&p);
}

void output_discard(struct output *o)
{
	if (o->tmp)
		(void)unlinkat(o->gate.dir, o->tmp, 0);
	(void)file_close(&o->file);
	gate_release(&o->gate);
	free(o->tmp);
	*o = (struct output)OUTPUT_NONE;
}
