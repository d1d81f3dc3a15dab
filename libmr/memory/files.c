/*
 * files.c - memory files, one for each block.
 *
 * New files are born as one hole. In a file that existed, what holds no data
 * is punched out, or written over with zeros where the file system cannot
 * punch.
 *
 * On tmpfs there is room for an extent that is nearly all data: fresh huge
 * pages, where such can be had (shm_window.h).
 */
#include "libmr/memory/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/file/place.h"
#include "libmr/file/shm_window.h"
#include "libmr/file/target.h"

/* A worker's extents that can be in huge pages at a time. */
#define PANES 16u
/* Absent pages of an extent that may become part of a huge page: of 4 KiB
 * pages an eighth. Less than CREW_OPS. */
#define ABSENT_MAX 64u

struct files_target {
	struct target target;
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

/* ---- beginning and end ---- */

/* Runs are joined where requests are dear; in memory a hole is worth more than
 * a request, of which a slot has CREW_OPS for each extent: at most one for
 * 8 KiB. */
static size_t gap_of(const struct target *t, size_t page)
{
	if (!t->punch)
		return SIZE_MAX;
	if (t->file->direct_fd >= 0)
		return CREW_GAP;
	return page >= 4096 ? page : 8192 - page;
}

static int files_begin(struct sink *k, const struct memory *m,
		       struct mr_error *err)
{
	struct files_sink *f = files_of(k);

	f->direct = true;
	for (size_t i = 0; i < f->n; i++) {
		struct files_target *t = &f->targets[i];

		t->length = m->blocks[i].length;
		if (target_size(&t->target, t->length, err))
			return error_about(err, t->target.file->io.who);
		t->gap = gap_of(&t->target, m->page);
		f->direct &= t->target.file->direct_fd >= 0;
	}
	return 0;
}

static int files_end(struct sink *k, struct mr_error *err)
{
	struct files_sink *f = files_of(k);

	for (size_t i = 0; i < f->n; i++)
		if (target_publish(&f->targets[i].target, err))
			return error_about(err, f->who + (unsigned)i);
	return 0;
}

static void files_abandon(struct sink *k)
{
	struct files_sink *f = files_of(k);

	for (size_t i = 0; f->targets && i < f->n; i++)
		target_discard(&f->targets[i].target);
	free(f->targets);
	f->targets = NULL;
}

/* ---- pages ---- */

/* What is being put of a target. */
struct put {
	struct files_target *t;
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
	const struct files_target *t = &f->targets[block];
	struct own *own = h->own;
	off_t data;

	if (h->w && !t->target.existed)
		return false;
	if (h->w && own->hole_target == block + 1 && offset >= own->hole_from &&
	    offset + length <= own->hole_end)
		return false;
	data = lseek(t->target.file->fd, (off_t)offset, SEEK_DATA);
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
	if (x->t->target.punch) {
		if (!place_punch(x->t->target.file->fd, offset, length))
			return;
		(void)error_sys(x->err, offset, "cannot punch a hole");
		x->rc = error_about(x->err, x->t->target.file->io.who);
		return;
	}
	for (uint64_t n; length && !x->rc; offset += n, length -= n) {
		n = length < sizeof(zeros) ? length : sizeof(zeros);
		x->rc = sink_write(x->h, x->t->target.file, zeros, (size_t)n,
				   offset, x->err);
	}
}

static void put_run(void *arg, uint64_t offset, const unsigned char *bytes,
		    size_t length)
{
	struct put *x = arg;

	empty(x, x->at, offset - x->at);
	if (!x->rc)
		x->rc = sink_write(x->h, x->t->target.file, bytes, length,
				   offset, x->err);
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

	x.clean = x.t->target.punch &&
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
	const struct files_target *t = &f->targets[block];
	size_t length = p->pages * p->unit;
	uint64_t absent = p->pages - bits_count(p->bits, 0, p->pages);
	struct own *own = h->own;

	if (!t->target.shm || length != k->extent || length % SHM_HUGE ||
	    h->s->index >= PANES || absent > p->pages / 8 ||
	    absent > ABSENT_MAX || holds_data(h, f, block, p->offset, length))
		return NULL;
	return shm_window_open(&own->window, t->target.file->fd, p->offset,
			       length, h->s->index, PANES);
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

/* What must not be written: the source, and what another block goes to. One
 * that is not there yet is known by its path alone. */
static int refuse(const struct files_sink *f, const struct mr_memory *memory,
		  size_t i, const struct file *source, struct mr_error *err)
{
	const struct target *t = &f->targets[i].target;

	if (source && target_is(t, source))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is the image itself");
	for (size_t k = 0; k < i; k++)
		if (target_is(t, f->targets[k].target.file) ||
		    !strcmp(memory[k].path, memory[i].path))
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "two blocks would go into this file");
	return 0;
}

int files_sink_open(struct files_sink *f, const struct mr_memory *memory,
		    size_t n, unsigned who, enum mr_direct direct,
		    unsigned jobs, const struct file *source,
		    struct mr_error *err)
{
	*f = (struct files_sink){ .sink = { .ops = &files_ops,
					    .hand_size = sizeof(struct own) },
				  .n = n,
				  .who = who };
	f->targets = calloc(n + 1, sizeof(*f->targets));
	if (!f->targets)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	for (size_t i = 0; i < n; i++)
		f->targets[i].target = (struct target)TARGET_NONE;
	for (size_t i = 0; i < n; i++) {
		struct target *t = &f->targets[i].target;

		if (target_open(t, memory[i].path, direct, err) ||
		    refuse(f, memory, i, source, err) || target_lock(t, err))
			return error_about(err, who + (unsigned)i);
		t->file->io.who = who + (unsigned)i;
		/* Buffers and windows of many workers would be more memory
		 * than a tool may take: those do without. */
		if (t->shm && jobs <= PANES)
			f->sink.extent = SHM_HUGE;
	}
	return 0;
}
