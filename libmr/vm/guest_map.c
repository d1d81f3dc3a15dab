/* guest_map.c - where a VM's memory is: the right to it, what backs it. */
#include "libmr/vm/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libmr/base/error.h"

#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6

struct guest_file {
	dev_t dev;
	ino_t ino;
	int fd; /* -1: not a regular file, or not to be opened */
	bool is_shmem, is_hugetlb;
};

/* A line of /proc/PID/maps. */
struct vma {
	uint64_t start, end, offset;
	dev_t dev;
	ino_t ino; /* 0: anonymous */
	bool readable, shared;
};

static uint64_t host_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- rights ---- */

static int fail_proc(const struct guest *g, struct mr_error *err)
{
	if (errno == ENOENT || errno == ESRCH)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "there is no process %d here: give QEMU's pid "
				 "with --pid, or have QEMU save itself (mrsave "
				 "--engine=qemu)",
				 (int)g->pid);
	return error_set(
		err, MR_REFUSED, MR_NO_OFFSET,
		"no right to read the memory of QEMU (process %d): run "
		"as its user or with CAP_SYS_PTRACE, or have QEMU "
		"save itself (mrsave --engine=qemu)",
		(int)g->pid);
}

static int open_proc(const struct guest *g, const char *name,
		     struct mr_error *err)
{
	char path[64];
	int fd;

	if (g->pid <= 0)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"QEMU's process cannot be seen from here "
			"(another pid namespace, a proxied socket): give "
			"--pid, or have QEMU save itself (mrsave "
			"--engine=qemu)");
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)g->pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fail_proc(g, err) : fd;
}

int guest_can_read(const struct guest *g, struct mr_error *err)
{
	char from = 1, to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };
	int fd = open_proc(g, "mem", err);

	if (fd < 0)
		return -1;
	(void)close(fd);
	/* a seccomp filter may forbid the call that does the reading */
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"process_vm_readv is forbidden here (a container "
			"with seccomp?): have QEMU save itself (mrsave "
			"--engine=qemu)");
	return 0;
}

/* ---- /proc/PID/maps ---- */

static bool parse_vma(const char *line, struct vma *v)
{
	char perms[5];
	unsigned major, minor;
	uint64_t ino;

	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64,
		   &v->start, &v->end, perms, &v->offset, &major, &minor,
		   &ino) != 7)
		return false;
	v->dev = makedev(major, minor);
	v->ino = ino;
	v->readable = perms[0] == 'r';
	v->shared = perms[3] == 's';
	return true;
}

/* Calls fn for every mapping, in order, until it returns non-zero. */
static int each_vma(const struct guest *g,
		    int (*fn)(void *arg, const struct vma *v), void *arg,
		    struct mr_error *err)
{
	int fd = open_proc(g, "maps", err), rc = 0;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL;
	size_t cap = 0;
	struct vma v;

	if (fd < 0)
		return -1;
	if (!f) {
		(void)close(fd);
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory to read /proc/%d/maps",
				 (int)g->pid);
	}
	while (rc == 0 && getline(&line, &cap, f) > 0) {
		if (!parse_vma(line, &v))
			rc = error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				       "a line of /proc/%d/maps has an unknown "
				       "form",
				       (int)g->pid);
		else
			rc = fn(arg, &v);
	}
	if (rc == 0 && ferror(f)) {
		errno = EACCES; /* what a process that changed user gives */
		rc = fail_proc(g, err);
	}
	free(line);
	(void)fclose(f);
	return rc;
}

/* ---- backing files ---- */

/* By its mapping: exact, and the only way to shared anonymous memory, but
 * only for CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
static int open_mapped(const struct guest *g, const struct vma *v)
{
	char path[96];
	struct stat st;

	(void)snprintf(path, sizeof(path),
		       "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)g->pid,
		       v->start, v->end);
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The process's descriptor, opened anew, or where its user may not do that
 * (a file handed in by somebody else) a duplicate. */
static int reopen(const struct guest *g, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), pidfd;

#if defined(SYS_pidfd_open) && defined(SYS_pidfd_getfd)
	if (fd >= 0)
		return fd;
	pidfd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (pidfd >= 0) {
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(name), 0);
		(void)close(pidfd);
	}
#endif
	return fd;
}

struct fd_match {
	dev_t dev;
	ino_t ino;
};

/*
 * The first descriptor of the process that is that file: its name in *name.
 * 1: there is one, 0: none, -1: /proc/PID/fd cannot be read, or not what its
 * names stand for.
 */
static int find_fd(const struct guest *g, const struct fd_match *m, int *dir,
		   char name[16], struct mr_error *err)
{
	const struct dirent *e;
	bool unseen = false;
	struct stat st;
	DIR *d;
	int fd = open_proc(g, "fd", err), found = 0;

	if (fd < 0)
		return -1;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return error_sys(err, MR_NO_OFFSET, "cannot list /proc/%d/fd",
				 (int)g->pid);
	}
	*dir = -1;
	while (!found && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strlen(e->d_name) > 15)
			continue;
		if (fstatat(fd, e->d_name, &st, 0)) {
			/* Closed meanwhile, or not for our eyes. */
			unseen |= errno != ENOENT;
			continue;
		}
		if (st.st_ino == m->ino && st.st_dev == m->dev) {
			found = 1;
			memcpy(name, e->d_name, strlen(e->d_name) + 1);
			*dir = dup(fd);
		}
	}
	(void)closedir(d);
	if (found || !unseen)
		return found;
	errno = EACCES;
	return fail_proc(g, err);
}

static int open_by_fd(const struct guest *g, const struct vma *v)
{
	struct fd_match m = { v->dev, v->ino };
	struct stat st;
	char name[16];
	int dir = -1, fd = -1;

	if (find_fd(g, &m, &dir, name, NULL) == 1 && dir >= 0 &&
	    fstatat(dir, name, &st, 0) == 0 && S_ISREG(st.st_mode))
		fd = reopen(g, dir, name);
	if (dir >= 0)
		(void)close(dir);
	return fd;
}

/* The file behind v, opened at most once. The pointer is good until the next
 * call. NULL: no memory. */
static const struct guest_file *file_of(struct guest *g, const struct vma *v)
{
	struct guest_file *files, *f;
	struct statfs fs;

	for (size_t i = 0; i < g->n_files; i++)
		if (g->files[i].dev == v->dev && g->files[i].ino == v->ino)
			return &g->files[i];
	files = realloc(g->files, (g->n_files + 1) * sizeof(*files));
	if (!files)
		return NULL;
	g->files = files;
	f = &files[g->n_files++];
	*f = (struct guest_file){ .dev = v->dev, .ino = v->ino };
	f->fd = open_mapped(g, v);
	if (f->fd < 0)
		f->fd = open_by_fd(g, v);
	if (f->fd >= 0 && fstatfs(f->fd, &fs) == 0) {
		f->is_shmem = fs.f_type == TMPFS_MAGIC;
		f->is_hugetlb = fs.f_type == HUGETLBFS_MAGIC;
	}
	return f;
}

/* ---- segments ---- */

static enum guest_kind kind_of(const struct vma *v, const struct guest_file *f,
			       bool huge)
{
	if (!f)
		return GUEST_ANON_PRIVATE;
	if (huge || f->is_hugetlb)
		return v->shared ? GUEST_HUGETLB_SHARED : GUEST_HUGETLB_PRIVATE;
	if (!v->shared)
		return GUEST_FILE_PRIVATE;
	return f->is_shmem ? GUEST_SHMEM_SHARED : GUEST_FILE_SHARED;
}

/* Whether s, which begins where last ends, only goes on with it: policies and
 * advice split one mapping into many. */
static bool continues(const struct guest_segment *last,
		      const struct guest_segment *s)
{
	return last->kind == s->kind && last->fd == s->fd &&
	       last->hva + last->length == s->hva &&
	       (s->kind == GUEST_ANON_PRIVATE ||
		last->file_offset + last->length == s->file_offset);
}

static int add_segment(struct guest_block *b, const struct guest_segment *s,
		       struct mr_error *err)
{
	struct guest_segment *all = b->segments;

	if (b->n_segments && continues(&all[b->n_segments - 1], s)) {
		all[b->n_segments - 1].length += s->length;
		return 0;
	}
	all = realloc(all, (b->n_segments + 1) * sizeof(*all));
	if (!all)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the map of block '%.64s'",
				 b->name);
	b->segments = all;
	all[b->n_segments++] = *s;
	return 0;
}

static uint64_t mapped_bytes(const struct guest_block *b)
{
	const struct guest_segment *last;

	if (b->n_segments == 0)
		return 0;
	last = &b->segments[b->n_segments - 1];
	return last->offset + last->length;
}

/* The part of b that v backs becomes a segment. */
static int cover(struct guest *g, struct guest_block *b, const struct vma *v,
		 struct mr_error *err)
{
	uint64_t from = b->hva + mapped_bytes(b);
	uint64_t to = min_u64(b->hva + b->used, v->end);
	const struct guest_file *f = NULL;
	struct guest_segment s;

	/* mappings come in order: what was not covered so far is a gap */
	if (from >= to || v->start > from)
		return 0;
	if (!v->readable)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "block '%.64s' is not readable at offset "
				 "0x%" PRIx64,
				 b->name, from - b->hva);
	if (v->ino && !(f = file_of(g, v)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the list of backing files");
	s = (struct guest_segment){
		.offset = from - b->hva,
		.length = to - from,
		.hva = from,
		.kind = kind_of(v, f, b->page_size > host_page()),
		.fd = f ? f->fd : -1,
		.file_offset = f ? v->offset + (from - v->start) : 0,
	};
	if (s.fd < 0 &&
	    (s.kind == GUEST_HUGETLB_SHARED || s.kind == GUEST_HUGETLB_PRIVATE))
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"cannot open the huge pages behind block "
			"'%.64s': run as QEMU's user or as root, or have "
			"QEMU save itself (mrsave --engine=qemu)",
			b->name);
	return add_segment(b, &s, err);
}

struct mapping {
	struct guest *g;
	struct mr_error *err;
};

static int map_vma(void *arg, const struct vma *v)
{
	const struct mapping *m = arg;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < m->g->n_blocks; i++) {
		struct guest_block *b = &m->g->blocks[i];

		if (b->migratable && v->start < b->hva + b->used &&
		    v->end > b->hva)
			rc = cover(m->g, b, v, m->err);
	}
	return rc;
}

static int check_covered(const struct guest *g, struct mr_error *err)
{
	for (size_t i = 0; i < g->n_blocks; i++) {
		const struct guest_block *b = &g->blocks[i];

		if (b->migratable && mapped_bytes(b) != b->used)
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"process %d has no memory at 0x%" PRIx64
				", where block '%.64s' should be: it is "
				"not this VM's QEMU (give --pid)",
				(int)g->pid, b->hva + mapped_bytes(b), b->name);
	}
	return 0;
}

/* Bytes from the segment's beginning on that are there. */
static uint64_t whole_bytes(const struct guest_segment *s)
{
	uint64_t page = host_page(), size, lost;
	struct stat st;

	if (s->fd < 0 ||
	    (s->kind != GUEST_SHMEM_SHARED && s->kind != GUEST_FILE_SHARED &&
	     s->kind != GUEST_HUGETLB_SHARED))
		return s->length;
	/* What is left of a file's last page is there, too. */
	size = fstat(s->fd, &st) ? 0 : (uint64_t)st.st_size;
	size = (size + page - 1) & ~(page - 1);
	size = size < s->file_offset ? 0 : size - s->file_offset;
	lost = s->view ? atomic_load(&s->guard.lost) : BUS_GUARD_WHOLE;
	return min_u64(min_u64(size, s->length), lost);
}

int guest_is_whole(const struct guest *g, struct mr_error *err)
{
	for (size_t i = 0; i < g->n_blocks; i++) {
		const struct guest_block *b = &g->blocks[i];

		for (size_t k = 0; k < b->n_segments; k++) {
			const struct guest_segment *s = &b->segments[k];
			uint64_t n = whole_bytes(s);

			if (n < s->length)
				return error_set(
					err, MR_SHORT, MR_NO_OFFSET,
					"block '%.64s' has lost its memory at "
					"offset 0x%" PRIx64 ": somebody shrank "
					"the file behind it",
					b->name, s->offset + n);
		}
	}
	return 0;
}

int guest_map(struct guest *g, struct mr_error *err)
{
	struct mapping m = { g, err };

	guest_unmap(g);
	g->pagemap = open_proc(g, "pagemap", err);
	if (g->pagemap >= 0 && each_vma(g, map_vma, &m, err) == 0 &&
	    check_covered(g, err) == 0)
		return 0;
	guest_unmap(g);
	return -1;
}

struct file_mapping {
	struct guest *g;
	ino_t ino;
	const uint64_t *at;
	struct mr_error *err;
};

/* By the inode alone: what stat calls the device is on some file systems
 * (btrfs) not what the map of a process calls it. */
static int map_file_vma(void *arg, const struct vma *v)
{
	const struct file_mapping *m = arg;
	int rc = 0;

	if (v->ino != m->ino || v->shared)
		return 0;
	for (size_t i = 0; rc == 0 && i < m->g->n_blocks; i++) {
		struct guest_block *b = &m->g->blocks[i];
		uint64_t done = mapped_bytes(b), next = m->at[i] + done;
		uint64_t skip = next - v->offset;

		if (done == b->used || next < v->offset ||
		    skip >= v->end - v->start)
			continue;
		rc = add_segment(
			b,
			&(struct guest_segment){
				.offset = done,
				.length = min_u64(b->used - done,
						  v->end - v->start - skip),
				.hva = v->start + skip,
				.kind = GUEST_FILE_PRIVATE,
				.fd = -1,
				.file_offset = next },
			m->err);
	}
	return rc;
}

int guest_map_file(struct guest *g, ino_t ino, const uint64_t *at,
		   struct mr_error *err)
{
	struct file_mapping m = { g, ino, at, err };

	guest_unmap(g);
	g->pagemap = open_proc(g, "pagemap", err);
	if (g->pagemap < 0 || each_vma(g, map_file_vma, &m, err))
		return -1;
	for (size_t i = 0; i < g->n_blocks; i++)
		if (mapped_bytes(&g->blocks[i]) < g->blocks[i].used)
			return 0;
	return 1;
}

static void unmap_view(struct guest_segment *s)
{
	if (!s->view)
		return;
	bus_guard_end(&s->guard);
	(void)munmap((void *)(uintptr_t)s->view, s->length);
	s->view = NULL;
}

void guest_unmap(struct guest *g)
{
	for (size_t i = 0; i < g->n_blocks; i++) {
		struct guest_block *b = &g->blocks[i];

		for (size_t k = 0; k < b->n_segments; k++)
			unmap_view(&b->segments[k]);
		free(b->segments);
		g->blocks[i].segments = NULL;
		g->blocks[i].n_segments = 0;
	}
	for (size_t i = 0; i < g->n_files; i++)
		if (g->files[i].fd >= 0)
			(void)close(g->files[i].fd);
	free(g->files);
	g->files = NULL;
	g->n_files = 0;
	if (g->pagemap >= 0)
		(void)close(g->pagemap);
	g->pagemap = -1;
}

static int vma_is_file(void *arg, const struct vma *v)
{
	const struct fd_match *m = arg;

	return v->ino == m->ino && v->dev == m->dev;
}

int guest_uses_file(const struct guest *g, dev_t dev, ino_t ino,
		    struct mr_error *err)
{
	struct fd_match m = { dev, ino };
	char name[16];
	int dir = -1, found = find_fd(g, &m, &dir, name, err);

	if (dir >= 0)
		(void)close(dir);
	return found ? found : each_vma(g, vma_is_file, &m, err);
}
