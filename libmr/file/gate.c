/* gate.c - a path, one name after the other. */
#include "libmr/file/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/libvirt.h"
#include "formats/pack.h"
#include "formats/touched.h"
#include "libmr/base/error.h"

/* As many as the kernel follows. */
enum { LINKS_MAX = 40 };

struct walk {
	int dir; /* where we are */
	char *rest; /* of the path, from there on */
	bool linked; /* the name before was a symlink, and the last */
	unsigned links;
};

static int go_to(struct walk *w, int dir, struct mr_error *err)
{
	if (dir < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open the folder");
	if (w->dir >= 0)
		(void)close(w->dir);
	w->dir = dir;
	return 0;
}

/* From the root, or from here. */
static int start(struct walk *w, struct mr_error *err)
{
	if (*w->rest == '/')
		return go_to(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
			     err);
	if (w->dir >= 0)
		return 0;
	return go_to(w, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), err);
}

/* Where everybody may leave a link, one may be there to have us write to
 * another place: as the kernel's may_follow_link. */
static bool may_follow(const struct walk *w, const struct stat *link)
{
	struct stat dir;

	if (link->st_uid == geteuid())
		return true;
	if (fstat(w->dir, &dir))
		return false;
	return (dir.st_mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) ||
	       dir.st_uid == link->st_uid;
}

/* Puts what the link says before the rest. */
static int follow(struct walk *w, const char *name, const struct stat *link,
		  struct mr_error *err)
{
	char target[PATH_MAX];
	char *joined;
	ssize_t n;

	if (!may_follow(w, link))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "goes through another user's symlink in a "
				 "folder that all may write to");
	if (++w->links > LINKS_MAX) {
		errno = ELOOP;
		return error_sys(err, MR_NO_OFFSET, "cannot resolve");
	}
	n = readlinkat(w->dir, name, target, sizeof(target));
	if (n == (ssize_t)sizeof(target))
		errno = ENAMETOOLONG;
	if (n < 0 || n == (ssize_t)sizeof(target))
		return error_sys(err, MR_NO_OFFSET, "cannot resolve");
	if (asprintf(&joined, "%.*s%s%s", (int)n, target, *w->rest ? "/" : "",
		     w->rest) < 0)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	free(w->rest);
	w->rest = joined;
	return start(w, err);
}

static char *take_name(struct walk *w, struct mr_error *err)
{
	char *from = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(from, "/");
	/* "/" itself, or a link to it. */
	char *name = len ? strndup(from, len) : strdup(".");

	if (!name)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	from += len;
	memmove(w->rest, from, strlen(from) + 1);
	return name;
}

/* One name further: 1, the last, which *name is; 0 or -1. */
static int step(struct walk *w, char **name, struct mr_error *err)
{
	char *part = take_name(w, err);
	bool last = !*w->rest;
	struct stat st;
	int rc = -1;

	*name = NULL;
	if (!part)
		return -1;
	if (fstatat(w->dir, part, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT || !last)
			(void)error_sys(err, MR_NO_OFFSET,
					last ? "cannot stat"
					     : "cannot open the folder");
		else if (w->linked)
			(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					"a symlink that leads nowhere");
		else
			rc = 1;
	} else if (S_ISLNK(st.st_mode)) {
		w->linked |= last;
		rc = follow(w, part, &st, err);
	} else if (last) {
		rc = 1;
	} else {
		rc = go_to(
			w,
			openat(w->dir, part,
			       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
			err);
	}
	if (rc == 1)
		*name = part;
	else
		free(part);
	return rc;
}

int gate_find(struct gate *p, const char *path, struct mr_error *err)
{
	struct walk w = { .dir = -1 };
	size_t len = strlen(path);
	int rc = -1;

	*p = (struct gate)GATE_NONE;
	if (!len || path[len - 1] == '/')
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "not the name of a file");
	w.rest = strdup(path);
	if (!w.rest)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	else
		rc = start(&w, err);
	while (!rc)
		rc = step(&w, &p->name, err);
	if (rc > 0) {
		p->dir = openat(w.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = p->dir < 0 ? error_sys(err, MR_NO_OFFSET,
					    "cannot open the folder")
				: 0;
	}
	p->linked = w.linked;
	if (rc)
		gate_release(p);
	free(w.rest);
	if (w.dir >= 0)
		(void)close(w.dir);
	return rc;
}

void gate_release(struct gate *p)
{
	if (p->dir >= 0)
		(void)close(p->dir);
	free(p->name);
	*p = (struct gate)GATE_NONE;
}

/* ---- what is there ---- */

static bool is_image(const uint8_t *buf, size_t n)
{
	return (n >= 4 && !memcmp(buf, "QEVM", 4)) ||
	       (n >= 16 && libvirt_is_save(buf, n)) || pack_is_pack(buf, n);
}

/* The rule lets go what begins with these n bytes. */
static bool may_go(enum gate_rule rule, const uint8_t *buf, size_t n)
{
	switch (rule) {
	case GATE_IMAGE:
		return !n || is_image(buf, n);
	case GATE_DRAWING:
		return !n || (n >= 5 && !memcmp(buf, "<svg ", 5));
	case GATE_TOUCHED:
		return !n || touched_is_head(buf, n);
	case GATE_ANY_FILE:
		break;
	}
	return true;
}

static const char *const what_may_go[] = {
	[GATE_IMAGE] = "an image of a VM",
	[GATE_DRAWING] = "a drawing (SVG)",
	[GATE_TOUCHED] = "a record of touched pages",
};

static int apply_rule(const struct gate *p, enum gate_rule rule,
		      struct mr_error *err)
{
	uint8_t buf[32];
	ssize_t n = -1;
	int fd;

	if (rule == GATE_ANY_FILE)
		return 0;
	fd = openat(p->dir, p->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		n = pread(fd, buf, sizeof(buf), 0);
	if (n < 0)
		(void)error_sys(err, MR_NO_OFFSET,
				"exists, and what it is cannot be seen");
	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return -1;
	if (may_go(rule, buf, (size_t)n))
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "exists, and is neither empty nor %s: not replaced",
			 what_may_go[rule]);
}

int gate_look(const struct gate *p, enum gate_rule rule,
	      struct gate_found *found, struct mr_error *err)
{
	struct stat st;

	*found = (struct gate_found){ 0 };
	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT
			       ? 0
			       : error_sys(err, MR_NO_OFFSET, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "exists and is not a regular file");
	found->exists = true;
	found->dev = st.st_dev;
	found->ino = st.st_ino;
	return apply_rule(p, rule, err);
}

int gate_open(const struct gate *p, struct mr_error *err)
{
	/* O_NONBLOCK: a pipe under this name must not hang us. */
	int fd = openat(p->dir, p->name,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	(void)close(fd);
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "exists and is not a regular file");
}
