/*
 * files.c - memory files, one for each block.
 *
 * New files are born as one hole. In a file that existed, what holds no data
 * is punched out, or written over with zeros where the file system cannot
 * punch; never truncated, as somebody may have it mapped.
 *
 * On tmpfs there is room for an extent that is nearly all data: fresh huge
 * pages, where such can be had (shm_window.h).
 */
#include "libmr/memory/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/file/place.h"
#include "libmr/file/shm_window.h"

/* A worker's extents that can be in huge pages at a time. */
#define PANES 16u
/* Absent pages of an extent that may become part of a huge page: of 4 KiB
 * pages an eighth. Less than CREW_OPS. */
#define ABSENT_MAX 64u

struct file_target {
	bool existed;
	bool punch; /* what holds no data can be made a hole */
	bool shm; /* on tmpfs */
	struct output out; /* a new file */
	struct file old; /* one that existed */
	struct file *file; /* that of the two in use */
	uint64_t length; /* bytes */
	size_t gap; /* as memory_runs takes it */
};

struct own {
	/* Target hole_target - 1 has no data there. Parts come in any order. */
	size_t hole_target;
	uint64_t hole_from, hole_end;
	struct shm_window window;
};

static struct files_sink *files_of(struct sink *k)
{
	return (struct files_sink *)(void *)k;
}

/* ---- opening ---- */

static int adopt_old(struct files_sink *f, struct file_target *t, int fd,
		     enum mr_direct direct, const struct file *source,
		     struct mr_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	if (source && st.st_dev == source->dev && st.st_ino == source->ino)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is the image itself");
	for (const struct file_target *o = f->targets; o < t; o++)
		if (o->existed && o->old.dev == st.st_dev &&
		    o->old.ino == st.st_ino)
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "two blocks would go into this file");
	if (place_is(fd, HUGETLBFS_MAGIC))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "files of hugetlbfs can only be mapped, not "
				 "written");
	if (file_lock(fd, err))
		return -1;
	t->shm = place_is(fd, TMPFS_MAGIC);
	return file_adopt(&t->old, fd, O_RDWR, t->shm ? MR_DIRECT_OFF : direct,
			  err);
}

/* The file under that name, if there is one: t->existed. */
static int open_old(struct files_sink *f, struct file_target *t,
		    const char *path, enum mr_direct direct,
		    const struct file *source, struct mr_error *err)
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
	if (adopt_old(f, t, fd, direct, source, err)) {
		(void)close(fd);
		t->old = (struct file)FILE_CLOSED;
		return -1;
	}
	t->existed = true;
	t->file = &t->old;
	return 0;
}

static int open_new(struct file_target *t, const char *path,
		    enum mr_direct direct, struct mr_error *err)
{
	/* On tmpfs direct I/O is nothing, or the page cache by another name:
	 * only the file tells. */
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

/* ---- beginning and end ---- */

/*
 * Nothing was changed before. Its size first: writes inside a file are faster
 * than writes that grow it. Whether holes can be made is tried on the first
 * page: its content goes in any case. Runs are joined where requests are dear;
 * in memory a hole is worth more than a request, of which a slot has CREW_OPS
 * for each extent: at most one for 8 KiB.
 */
static int begin_target(struct file_target *t, size_t page,
			struct mr_error *err)
{
	t->punch = true;
	if (!t->existed) {
		if (output_resize(&t->out, t->length, err))
			return -1;
	} else {
		if (t->old.io.size != t->length &&
		    ftruncate(t->old.fd, (off_t)t->length))
			return error_sys(err, MR_NO_OFFSET,
					 "cannot size the file to %" PRIu64
					 " bytes",
					 t->length);
		t->punch = !place_punch(t->old.fd, 0, 4096);
	}
	if (!t->punch)
		t->gap = SIZE_MAX;
	else if (t->file->direct_fd >= 0)
		t->gap = CREW_GAP;
	else
		t->gap = page >= 4096 ? page : 8192 - page;
	return 0;
}

static int files_begin(struct sink *k, const struct memory *m,
		       struct mr_error *err)
{
	struct files_sink *f = files_of(k);

	f->direct = true;
	for (size_t i = 0; i < f->n; i++) {
		struct file_target *t = &f->targets[i];

		t->length = m->blocks[i].length;
		if (begin_target(t, m->page, err))
			return error_about(err, t->file->io.who);
		f->direct &= t->file->direct_fd >= 0;
	}
	return 0;
}

static int end_target(struct file_target *t, struct mr_error *err)
{
	if (!t->existed)
		return output_publish(&t->out, err);
	if (fsync(t->old.fd))
		return error_sys(err, MR_NO_OFFSET, "cannot sync");
	if (file_close(&t->old))
		return error_sys(err, MR_NO_OFFSET, "cannot close");
	return 0;
}

static int files_end(struct sink *k, struct mr_error *err)
{
	struct files_sink *f = files_of(k);

	for (size_t i = 0; i < f->n; i++)
		if (end_target(&f->targets[i], err))
			return error_about(err, f->who + (unsigned)i);
	return 0;
}

static void files_abandon(struct sink *k)
{
	struct files_sink *f = files_of(k);

	for (size_t i = 0; f->targets && i < f->n; i++) {
		output_discard(&f->targets[i].out);
		(void)file_close(&f->targets[i].old);
	}
	free(f->targets);
	f->targets = NULL;
}

/* ---- pages ---- */

/* What is being put of a target. */
struct put {
	struct file_target *t;
	const struct sink_hand *h;
	bool clean; /* what is not put is a hole already */
	uint64_t at; /* end of the last run */
	struct mr_error *err;
	int rc;
};

/* Whether the file may have data there. A crew deals with each page once: what
 * was a hole then still is one. */
static bool holds_data(const struct sink_hand *h, const struct files_sink *f,
		       size_t block, uint64_t offset, uint64_t length)
{
	const struct file_target *t = &f->targets[block];
	struct own *own = h->own;
	off_t data;

	if (h->w && !t->existed)
		return false;
	if (h->w && own->hole_target == block + 1 && offset >= own->hole_from &&
	    offset + length <= own->hole_end)
		return false;
	data = lseek(t->file->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		data = (off_t)t->length;
	if (data < 0)
		return true;
	own->hole_target = block + 1;
	own->hole_from = offset;
	own->hole_end = (uint64_t)data;
	return (uint64_t)data < offset + length;
}

static void empty(struct put *x, uint64_t offset, uint64_t length)
{
	static const unsigned char zeros[1 << 20]
		__attribute__((aligned(4096)));

	if (x->clean || !length || x->rc)
		return;
	if (x->t->punch) {
		if (!place_punch(x->t->file->fd, offset, length))
			return;
		(void)error_sys(x->err, offset, "cannot punch a hole");
		x->rc = error_about(x->err, x->t->file->io.who);
		return;
	}
	for (uint64_t n; length && !x->rc; offset += n, length -= n) {
		n = length < sizeof(zeros) ? length : sizeof(zeros);
		x->rc = sink_write(x->h, x->t->file, zeros, (size_t)n, offset,
				   x->err);
	}
}

static void put_run(void *arg, uint64_t offset, const unsigned char *bytes,
		    size_t length)
{
	struct put *x = arg;

	empty(x, x->at, offset - x->at);
	if (!x->rc)
		x->rc = sink_write(x->h, x->t->file, bytes, length, offset,
				   x->err);
	x->at = offset + length;
}

static struct put put_at(struct sink *k, const struct sink_hand *h,
			 size_t block, uint64_t offset, uint64_t length,
			 struct mr_error *err)
{
	struct put x = { .t = &files_of(k)->targets[block],
			 .h = h,
			 .at = offset,
			 .err = err };

	x.clean = x.t->punch &&
		  !holds_data(h, files_of(k), block, offset, length);
	return x;
}

static int files_put(struct sink *k, const struct sink_hand *h, size_t block,
		     const struct memory_part *p, struct mr_error *err)
{
	uint64_t length = p->pages * p->unit;
	struct put x = put_at(k, h, block, p->offset, length, err);

	memory_runs(p, x.t->gap, put_run, &x);
	empty(&x, x.at, p->offset + length - x.at);
	return x.rc;
}

static int files_zero(struct sink *k, const struct sink_hand *h, size_t block,
		      uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct put x = put_at(k, h, block, offset, length, err);

	empty(&x, offset, length);
	return x.rc;
}

/* The file's own pages for an extent that is nearly all data, and a hole of
 * the file so far. */
static unsigned char *files_room(struct sink *k, const struct sink_hand *h,
				 size_t block, const struct memory_part *p)
{
	const struct files_sink *f = files_of(k);
	const struct file_target *t = &f->targets[block];
	size_t length = p->pages * p->unit;
	uint64_t absent = p->pages - bits_count(p->bits, 0, p->pages);
	struct own *own = h->own;

	if (!t->shm || length != k->extent || length % SHM_HUGE ||
	    h->s->index >= PANES || absent > p->pages / 8 ||
	    absent > ABSENT_MAX || holds_data(h, f, block, p->offset, length))
		return NULL;
	return shm_window_open(&own->window, t->file->fd, p->offset, length,
			       h->s->index, PANES);
}

static void files_let_go(struct sink *k, void *own)
{
	(void)k;
	shm_window_release(&((struct own *)own)->window);
}

static const struct sink_ops files_ops = {
	.begin = files_begin,
	.room = files_room,
	.put = files_put,
	.zero = files_zero,
	.let_go = files_let_go,
	.end = files_end,
	.abandon = files_abandon,
};

/* A file that is not there yet is known by its path alone. */
static int named_before(const char *const *paths, size_t i,
			struct mr_error *err)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(paths[k], paths[i]))
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "two blocks would go into this file");
	return 0;
}

int files_sink_open(struct files_sink *f, const char *const *paths, size_t n,
		    unsigned who, enum mr_direct direct, unsigned jobs,
		    const struct file *source, struct mr_error *err)
{
	*f = (struct files_sink){ .sink = { .ops = &files_ops,
					    .hand_size = sizeof(struct own) },
				  .n = n,
				  .who = who };
	f->targets = calloc(n + 1, sizeof(*f->targets));
	if (!f->targets)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	for (size_t i = 0; i < n; i++) {
		f->targets[i].out = (struct output)OUTPUT_NONE;
		f->targets[i].old = (struct file)FILE_CLOSED;
	}
	for (size_t i = 0; i < n; i++) {
		struct file_target *t = &f->targets[i];

		if (named_before(paths, i, err) ||
		    open_old(f, t, paths[i], direct, source, err) ||
		    (!t->existed && open_new(t, paths[i], direct, err)))
			return error_about(err, who + (unsigned)i);
		t->file->io.who = who + (unsigned)i;
		/* Buffers and windows of many workers would be more memory
		 * than a tool may take: those do without. */
		if (t->shm && jobs <= PANES)
			f->sink.extent = SHM_HUGE;
	}
	return 0;
}
