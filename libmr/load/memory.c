/*
 * memory.c - blocks of an image into memory files.
 *
 * A worker reads the runs of present pages of an extent, joined over small
 * gaps; what the image has in a gap means nothing and is blanked before the
 * runs are written. New files are born as one hole. In a file that existed,
 * what lies between the runs is punched out, or written over with zeros where
 * the file system cannot punch; never truncated, as somebody may have it
 * mapped.
 *
 * On tmpfs an extent that is nearly all data is read straight into fresh huge
 * pages, where such can be had (shm_window.h), and only its small gaps are
 * written.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "libmr/load/state.h"
#include "libmr/file/output.h"
#include "libmr/file/shm_window.h"
#include "libmr/base/watch.h"

/* Bitmap words that a worker reads at a time: 1 GiB of 4 KiB pages. */
#define WINDOW 4096u
/* Words of an extent: 2 MiB of 1 KiB pages. */
#define EXTENT_WORDS 32u
/* A worker's extents that can be in huge pages at a time. */
#define PANES 16u
/* Absent pages of an extent that may become part of a huge page: of 4 KiB
 * pages an eighth. Less than CREW_OPS. */
#define ABSENT_MAX 64u

/* mr_load_memory's arguments, as mr_error.who counts them; of several files
 * the first. */
enum { MEMORY_IMAGE = 1, MEMORY_FILE = 2 };

struct target {
	const struct mr_block *block;
	bool existed;
	bool punch; /* existed: absent pages can be made holes */
	bool shm; /* on tmpfs */
	struct output out; /* a new file */
	struct file old; /* one that existed */
	struct file *file; /* that of the two in use */
	size_t gap; /* as crew_runs takes it, for writing */
	dev_t dev;
	ino_t ino;
};

struct job {
	struct mr_image *img;
	size_t page; /* bytes */
	size_t extent; /* bytes */
	bool windows; /* extents are whole huge pages */
	struct target *targets;
	size_t n;
	struct mr_memory_report *report;
};

struct tally {
	uint64_t data, read, written, huge;
};

struct hand {
	struct tally tally;
	size_t block; /* of the window; SIZE_MAX: none yet */
	uint64_t first; /* word of the block's bitmap */
	size_t hole_block; /* from here to hole_end the old file has no data */
	uint64_t hole_end;
	bool started;
	struct shm_window window;
	uint64_t words[WINDOW];
};

struct slot_state {
	uint64_t bits[EXTENT_WORDS];
	unsigned char *pane; /* the extent's own pages, or NULL: the buffer */
};

/* The extent in hand: what the run callbacks need. */
struct extent_run {
	struct crew_worker *w;
	struct crew_slot *s;
	struct job *job;
	const uint64_t *bits;
	unsigned char *buf; /* the slot's, or its pane */
	size_t base; /* what bits and buf begin with, in the extent */
	uint64_t at; /* end of the last run, from the start of the extent */
	int failed; /* errno of a punch */
};

/* ---- targets ---- */

static bool lies_on(int fd, long magic)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == magic;
}

/* Whether holes can be made, tried on the first page: its content goes in any
 * case. */
static bool can_punch(int fd)
{
	return !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  4096);
}

static int adopt_old(struct target *t, int fd, const struct job *j,
		     enum mr_direct direct, struct mr_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "exists and is not a regular file");
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	if (t->dev == j->img->file.dev && t->ino == j->img->file.ino)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is the image itself");
	for (const struct target *o = j->targets; o < t; o++)
		if (o->existed && o->dev == t->dev && o->ino == t->ino)
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "two blocks would go into this file");
	if (lies_on(fd, HUGETLBFS_MAGIC))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "files of hugetlbfs can only be mapped, not "
				 "written");
	if (file_lock(fd, err))
		return -1;
	t->shm = lies_on(fd, TMPFS_MAGIC);
	return file_adopt(&t->old, fd, O_RDWR, t->shm ? MR_DIRECT_OFF : direct,
			  err);
}

/* The file under that name, if there is one: t->existed. */
static int open_old(struct target *t, const char *path, const struct job *j,
		    enum mr_direct direct, struct mr_error *err)
{
	/* O_NONBLOCK: a pipe under this name must not hang us. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	t->existed = true;
	if (adopt_old(t, fd, j, direct, err)) {
		(void)close(fd);
		t->old = (struct file)FILE_CLOSED;
		return -1;
	}
	t->file = &t->old;
	return 0;
}

static int open_target(struct target *t, const char *path, const struct job *j,
		       enum mr_direct direct, struct mr_error *err)
{
	if (open_old(t, path, j, direct, err))
		return -1;
	if (t->existed)
		return 0;
	/* On tmpfs direct I/O is nothing, or the page cache by another name:
	 * only the file tells. */
	if (output_create(&t->out, path,
			  direct == MR_DIRECT_ON ? MR_DIRECT_AUTO : direct,
			  err))
		return -1;
	t->file = &t->out.file;
	t->shm = lies_on(t->file->fd, TMPFS_MAGIC);
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

/*
 * Nothing was changed before. Its size first: writes inside a file are faster
 * than writes that grow it. Runs are joined where requests are dear; in
 * memory a hole is worth more than a request, of which a slot has CREW_OPS
 * for each extent: at most one for 8 KiB.
 */
static int begin_target(struct target *t, size_t page, struct mr_error *err)
{
	if (!t->existed) {
		t->punch = true;
		if (output_resize(&t->out, t->block->length, err))
			return -1;
	} else {
		if (t->old.io.size != t->block->length &&
		    ftruncate(t->old.fd, (off_t)t->block->length))
			return error_sys(err, MR_NO_OFFSET,
					 "cannot size the file to %" PRIu64
					 " bytes",
					 t->block->length);
		t->punch = can_punch(t->old.fd);
	}
	if (!t->punch)
		t->gap = SIZE_MAX;
	else if (t->file->direct_fd >= 0)
		t->gap = CREW_GAP;
	else
		t->gap = page >= 4096 ? page : 8192 - page;
	return 0;
}

static int end_target(struct target *t, struct mr_error *err)
{
	if (!t->existed)
		return output_publish(&t->out, err);
	if (fsync(t->old.fd))
		return error_sys(err, MR_NO_OFFSET, "cannot sync");
	if (file_close(&t->old))
		return error_sys(err, MR_NO_OFFSET, "cannot close");
	return 0;
}

/* ---- extents ---- */

static int fetch_bits(struct crew_worker *w, struct crew_slot *s,
		      uint64_t *bits, size_t n, struct mr_error *err)
{
	const struct job *j = crew_arg(w);
	const struct mr_block *b = j->targets[s->extent.block].block;
	uint64_t word = s->extent.offset / j->page / 64;
	struct hand *h = w->priv;

	if (!h->started || h->block != s->extent.block ||
	    word - h->first >= WINDOW) {
		uint64_t first = word / WINDOW * WINDOW;
		uint64_t left = mr_block_words(b) - first;

		if (mr_image_bitmap(j->img, b, first, h->words,
				    left < WINDOW ? (size_t)left : WINDOW, err))
			return -1;
		h->block = s->extent.block;
		h->first = first;
		h->started = true;
	}
	memcpy(bits, h->words + (word - h->first), n * sizeof(*bits));
	return 0;
}

static void add_read(void *arg, size_t offset, size_t length)
{
	struct extent_run *x = arg;
	const struct mr_block *b = x->job->targets[x->s->extent.block].block;
	struct hand *h = x->w->priv;

	h->tally.read += length;
	crew_transfer(x->w, x->s, &x->job->img->file, x->buf + offset, length,
		      b->pages_offset + x->s->extent.offset + offset, false);
}

/* Pages of a run that the image lacks: stale in the buffer and in the file. */
static void blank_absent(struct extent_run *x, size_t offset, size_t length)
{
	size_t end = (offset + length) / x->job->page;

	for (size_t p = offset / x->job->page; p < end; p++)
		if (!(x->bits[p / 64] >> (p % 64) & 1))
			memset(x->buf + p * x->job->page, 0, x->job->page);
}

static void add_write(void *arg, size_t offset, size_t length)
{
	struct extent_run *x = arg;
	struct target *t = &x->job->targets[x->s->extent.block];
	struct hand *h = x->w->priv;

	blank_absent(x, offset, length);
	h->tally.written += length;
	crew_transfer(x->w, x->s, t->file, x->buf + offset, length,
		      x->s->extent.offset + x->base + offset, true);
}

/* The same for a run that was read into the file's own pages. */
static void write_absent(void *arg, size_t offset, size_t length)
{
	static unsigned char zeros[CREW_GAP]; /* never written */
	struct extent_run *x = arg;
	size_t page = x->job->page, end = (offset + length) / page, from = 0;

	for (size_t p = offset / page; p < end; p++) {
		bool present = x->bits[p / 64] >> (p % 64) & 1;

		if (present && from)
			crew_transfer(x->w, x->s,
				      x->job->targets[x->s->extent.block].file,
				      zeros, (p - from) * page,
				      x->s->extent.offset + from * page, true);
		if (present)
			from = 0;
		else if (!from)
			from = p; /* a run begins with data: never 0 */
	}
}

/* Before a run: empties what lies between it and the last one. */
static void punch_before(void *arg, size_t offset, size_t length)
{
	struct extent_run *x = arg;
	struct target *t = &x->job->targets[x->s->extent.block];

	if (offset > x->at && !x->failed &&
	    fallocate(t->file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(x->s->extent.offset + x->at),
		      (off_t)(offset - x->at)))
		x->failed = errno;
	x->at = offset + length;
}

/* Whether the old file may have data in this extent. Only the worker that
 * claimed an extent writes into it, so what was a hole still is one. */
static bool holds_data(struct hand *h, const struct target *t,
		       const struct crew_extent *e)
{
	off_t data;

	if (h->hole_block == e->block + 1 &&
	    e->offset + e->length <= h->hole_end)
		return false;
	data = lseek(t->file->fd, (off_t)e->offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		data = (off_t)t->block->length;
	if (data < 0)
		return true;
	h->hole_block = e->block + 1;
	h->hole_end = (uint64_t)data;
	return (uint64_t)data < e->offset + e->length;
}

static int empty_rest(struct extent_run *x, struct mr_error *err)
{
	const struct crew_extent *e = &x->s->extent;
	const struct target *t = &x->job->targets[e->block];

	if (!t->existed || !t->punch || !holds_data(x->w->priv, t, e))
		return 0;
	(void)crew_runs(x->bits, e->length / x->job->page, x->job->page, t->gap,
			punch_before, x);
	punch_before(x, e->length, 0);
	if (!x->failed)
		return 0;
	errno = x->failed;
	(void)error_sys(err, e->offset, "cannot punch a hole");
	return error_about(err, t->file->io.who);
}

/* The file's own pages for an extent that is nearly all data, and a hole of
 * the file so far; or NULL. */
static unsigned char *open_pane(struct extent_run *x)
{
	const struct crew_extent *e = &x->s->extent;
	const struct target *t = &x->job->targets[e->block];
	size_t pages = e->length / x->job->page, absent = pages;
	struct hand *h = x->w->priv;

	if (!x->job->windows || !t->shm || e->length != x->job->extent ||
	    x->s->index >= PANES)
		return NULL;
	for (size_t i = 0; i < pages / 64; i++)
		absent -= (size_t)__builtin_popcountll(x->bits[i]);
	if (absent > pages / 8 || absent > ABSENT_MAX ||
	    (t->existed && holds_data(h, t, e)))
		return NULL;
	return shm_window_open(&h->window, t->file->fd, e->offset, e->length,
			       x->s->index, PANES);
}

static int read_extent(struct extent_run *x, struct slot_state *state,
		       struct mr_error *err)
{
	const struct crew_extent *e = &x->s->extent;
	size_t pages = e->length / x->job->page, present;
	struct hand *h = x->w->priv;

	if (fetch_bits(x->w, x->s, state->bits, (pages + 63) / 64, err) ||
	    empty_rest(x, err))
		return CREW_FAILED;
	crew_progress(x->w, e->length);
	state->pane = open_pane(x);
	if (state->pane)
		x->buf = state->pane;
	present =
		crew_runs(x->bits, pages, x->job->page, CREW_GAP, add_read, x);
	h->tally.data += present * x->job->page;
	if (!present && x->job->targets[e->block].punch)
		return CREW_DONE;
	return 1;
}

/* Part number part of what was read. As many requests as a slot can have make
 * for parts of what is otherwise an extent. */
static int write_part(struct extent_run *x, size_t part)
{
	const struct crew_extent *e = &x->s->extent;
	const struct target *t = &x->job->targets[e->block];
	size_t size = crew_extent_size(x->job->page), left;

	if (!t->punch) {
		add_write(x, 0, e->length);
		return CREW_DONE;
	}
	x->base = part * size;
	x->bits += x->base / x->job->page / 64;
	x->buf += x->base;
	left = e->length - x->base;
	(void)crew_runs(x->bits, (left < size ? left : size) / x->job->page,
			x->job->page, t->gap, add_write, x);
	return left > size ? (int)part + 2 : CREW_DONE;
}

/* What lies in the file already; stale are only its small gaps. */
static int finish_pane(struct extent_run *x)
{
	const struct crew_extent *e = &x->s->extent;
	struct hand *h = x->w->priv;

	(void)crew_runs(x->bits, e->length / x->job->page, x->job->page,
			CREW_GAP, write_absent, x);
	h->tally.written += e->length;
	h->tally.huge += e->length;
	return CREW_DONE;
}

/* Stage 0 reads; the others write, a part each. */
static int load_extent(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct slot_state *state = s->priv;
	struct extent_run x = { .w = w,
				.s = s,
				.job = crew_arg(w),
				.bits = state->bits,
				.buf = s->buf };

	if (s->stage == 0)
		return read_extent(&x, state, err);
	if (state->pane)
		return finish_pane(&x);
	return write_part(&x, (size_t)s->stage - 1);
}

static void add_tally(struct crew_worker *w, void *arg)
{
	struct mr_memory_report *sum = ((struct job *)arg)->report;
	struct hand *h = w->priv;

	sum->data += h->tally.data;
	sum->read += h->tally.read;
	sum->written += h->tally.written;
	sum->huge += h->tally.huge;
	shm_window_release(&h->window);
}

/* Buffers and windows of many workers would be more memory than a tool may
 * take: those do without. */
static void choose_extent(struct job *j)
{
	j->extent = crew_extent_size(j->page);
	for (size_t i = 0; i < j->n; i++)
		if (j->targets[i].shm && j->report->jobs <= PANES)
			j->windows = true;
	if (j->windows && j->extent < SHM_HUGE)
		j->extent = SHM_HUGE;
}

static int copy(struct job *j, const struct mr_memory_options *o,
		struct mr_error *err)
{
	uint64_t *lengths = calloc(j->n + 1, sizeof(*lengths));
	struct crew_plan plan = {
		.extent_size = j->extent,
		.lengths = lengths,
		.blocks = j->n,
		.buffers = 1,
		.worker_size = sizeof(struct hand),
		.slot_size = sizeof(struct slot_state),
		.jobs = o->jobs,
		.step = load_extent,
		.finish = add_tally,
		.arg = j,
		.watch = &o->watch,
	};
	int rc;

	if (!lengths)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	for (size_t i = 0; i < j->n; i++)
		lengths[i] = j->targets[i].block->length;
	rc = crew_run(&plan, err);
	free(lengths);
	return rc ? image_blame(j->img, err) : 0;
}

/* ---- the verb ---- */

static int find_block(struct job *j, size_t i, const struct mr_memory *m,
		      struct mr_error *err)
{
	struct target *t = &j->targets[i];

	t->block = mr_image_find(j->img, m->block);
	if (!t->block)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the image has no RAM block %.100s", m->block);
	if (!t->block->in_file)
		return error_set(
			err, MR_REFUSED, t->block->header,
			"the memory of block %.100s was left out of the "
			"image (x-ignore-shared)",
			m->block);
	j->report->ram += t->block->length;
	if (j->report->ram > MR_MEMORY_MAX)
		return error_set(err, MR_REFUSED, t->block->entry,
				 MR_MEMORY_MAX_TEXT);
	return 0;
}

static int refuse_twice(const struct mr_memory *memory, size_t i,
			struct mr_error *err)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(memory[k].path, memory[i].path))
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "two blocks would go into this file");
	return 0;
}

static unsigned who_of(size_t i)
{
	return MEMORY_FILE + (unsigned)i;
}

/* Nothing is changed before all is known to be in order. */
static int open_targets(struct job *j, const struct mr_memory *memory,
			const struct mr_memory_options *o, struct mr_error *err)
{
	for (size_t i = 0; i < j->n; i++) {
		if (find_block(j, i, &memory[i], err))
			return error_about(err, MEMORY_IMAGE);
		if (refuse_twice(memory, i, err) ||
		    open_target(&j->targets[i], memory[i].path, j, o->direct,
				err))
			return error_about(err, who_of(i));
		j->targets[i].file->io.who = who_of(i);
	}
	j->report->direct_write = true;
	for (size_t i = 0; i < j->n; i++) {
		if (begin_target(&j->targets[i], j->page, err))
			return error_about(err, who_of(i));
		if (j->targets[i].file->direct_fd < 0)
			j->report->direct_write = false;
	}
	return 0;
}

static int end_targets(struct job *j, struct mr_error *err)
{
	for (size_t i = 0; i < j->n; i++)
		if (end_target(&j->targets[i], err))
			return error_about(err, who_of(i));
	return 0;
}

static void release(struct job *j)
{
	for (size_t i = 0; j->targets && i < j->n; i++) {
		output_discard(&j->targets[i].out);
		(void)file_close(&j->targets[i].old);
	}
	free(j->targets);
	mr_image_free(j->img);
}

int mr_load_memory(const char *image, const struct mr_memory *memory, size_t n,
		   const struct mr_memory_options *options,
		   struct mr_memory_report *report, struct mr_error *err)
{
	struct job j = { .n = n, .report = report };
	double begin = watch_clock();
	uint64_t present;
	int rc = -1;

	*report = (struct mr_memory_report){ 0 };
	report->jobs = options->jobs ? options->jobs : crew_default_jobs();
	j.targets = calloc(n + 1, sizeof(*j.targets));
	if (!j.targets) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		j.targets[i].out = (struct output)OUTPUT_NONE;
		j.targets[i].old = (struct file)FILE_CLOSED;
	}
	j.img = load_open(image, options->direct, false, &options->watch,
			  &present, err);
	if (!j.img) {
		(void)error_about(err, MEMORY_IMAGE);
		goto out;
	}
	j.img->io->who = MEMORY_IMAGE;
	j.page = mr_image_info(j.img)->page_size;
	report->direct_read = j.img->file.direct_fd >= 0;
	if (open_targets(&j, memory, options, err))
		goto out;
	choose_extent(&j);
	if (copy(&j, options, err) || end_targets(&j, err))
		goto out;
	rc = 0;
out:
	release(&j);
	report->seconds = watch_clock() - begin;
	return rc;
}
