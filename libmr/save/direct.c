/*
 * direct.c - a paused VM's memory, read from outside, into an image.
 *
 * Each bitmap starts as "may hold data" (what the kernel says was touched)
 * and ends as "holds data": a worker reads the touched pages of an extent,
 * clears the bits of those that are zero while they are in its cache, takes
 * the digest of what is left for the seal, joins it into runs and writes
 * these at their final place.
 *
 * Shared memory on huge pages is not copied first: it is looked at and
 * written from where it is.
 */
#include "formats/bits.h"
#include "libmr/save/state.h"

#include <stdlib.h>
#include <string.h>

#include "libmr/engine/crew.h"
#include "libmr/vm/device_state.h"
#include "libmr/base/error.h"
#include "libmr/image/writer.h"
#include "libmr/base/pages.h"
#include "libmr/base/watch.h"

/* In place on huge pages: to write those costs by the request, hardly by the
 * byte. CPU seconds for a GiB, of which the digest takes 0.033 (no more than
 * to read memory once): 1 MiB 0.067, 2 MiB 0.058, 4 MiB 0.055, 8 MiB 0.051. */
#define LARGE_EXTENT ((size_t)4 << 20)
#define EXTENT_PAGES (LARGE_EXTENT / IMAGE_PAGE)

/* Pages of one digest. */
#define SEAL_PAGES (IMAGE_EXTENT / IMAGE_PAGE)

/* The stage after an extent's transfers, where there is one. */
#define COPY_WRITTEN_IN_PLACE 1

/* A worker's own. */
struct tally {
	uint64_t untouched, scanned, zero, data, written;
	struct hash *hash; /* NULL: not needed yet */
};

struct copy {
	const struct guest *guest;
	const struct guest_block **sources; /* one for each block of w */
	struct image_writer w;
	struct tally tally;
	bool in_place; /* the guest has been asked for views */
	size_t extent; /* IMAGE_EXTENT or LARGE_EXTENT */
	struct crew_leavers leavers;
};

/* The extent in hand: what the run callbacks need. */
struct extent_run {
	struct crew_worker *w;
	struct crew_slot *s;
	struct copy *c;
	const unsigned char *view; /* the extent in place; NULL: it is in buf */
	const uint64_t *touched; /* of the extent, before the scan */
	struct guest_run runs[EXTENT_PAGES / 2];
	size_t n;
};

static void add_read(void *arg, size_t offset, size_t length)
{
	struct extent_run *x = arg;

	x->runs[x->n++] = (struct guest_run){
		.offset = x->s->extent.offset + offset,
		.length = length,
		.dest = x->s->buf + offset,
	};
}

/* Pages that were joined into a run over a gap and never read hold what the
 * last extent left in the buffer: they must be zero in the file. */
static void blank_untouched(struct extent_run *x, size_t offset, size_t length)
{
	size_t end = (offset + length) / IMAGE_PAGE;

	for (size_t p = offset / IMAGE_PAGE; p < end; p++)
		if (!(x->touched[p / 64] >> (p % 64) & 1))
			memset(x->s->buf + p * IMAGE_PAGE, 0, IMAGE_PAGE);
}

static void write_piece(struct extent_run *x, const unsigned char *base,
			size_t offset, size_t length)
{
	struct writer_block *b = &x->c->w.blocks[x->s->extent.block];
	struct tally *t = x->w->priv;

	t->written += length;
	crew_transfer(x->w, x->s, &x->c->w.out.file,
		      (void *)(uintptr_t)(base + offset), length,
		      b->place.pages_offset + x->s->extent.offset + offset,
		      true);
}

/* In place, an untouched page in the gap of a run must not be written: that
 * would allocate it. The run falls apart there. */
static void write_in_place(struct extent_run *x, size_t offset, size_t length)
{
	size_t p = offset / IMAGE_PAGE, end = p + length / IMAGE_PAGE, q;

	for (; p < end; p = bits_next_set(x->touched, q, end)) {
		q = bits_next_clear(x->touched, p, end);
		write_piece(x, x->view, p * IMAGE_PAGE, (q - p) * IMAGE_PAGE);
	}
}

static void add_write(void *arg, size_t offset, size_t length)
{
	struct extent_run *x = arg;

	if (x->view) {
		write_in_place(x, offset, length);
		return;
	}
	blank_untouched(x, offset, length);
	write_piece(x, x->s->buf, offset, length);
}

/* The digests of the pages that the scan has left; none where it left none. */
static int seal_extent(struct crew_worker *w, const struct crew_slot *s,
		       const unsigned char *base, const uint64_t *bits,
		       size_t pages, struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	struct tally *t = w->priv;
	struct seal_digest *d = c->w.blocks[s->extent.block].digests;

	if (!d)
		return 0;
	if (!t->hash)
		t->hash = hash_new();
	if (!t->hash)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for a digest");
	d += s->extent.offset / IMAGE_EXTENT;
	for (size_t p = 0; p < pages; p += SEAL_PAGES) {
		size_t n = pages - p < SEAL_PAGES ? pages - p : SEAL_PAGES;
		const uint64_t *of = bits + p / 64;

		if (bits_next_set(of, 0, n) < n)
			d[p / SEAL_PAGES] =
				sealer_extent(t->hash, base + p * IMAGE_PAGE,
					      of, n, IMAGE_PAGE);
	}
	return 0;
}

/* The touched pages of the extent: *base is where they can be looked at. */
static int get_extent(struct extent_run *x, const unsigned char **base,
		      struct mr_error *err)
{
	const struct crew_extent *e = &x->s->extent;
	const struct guest_block *b = x->c->sources[e->block];

	if (x->c->in_place)
		x->view = guest_view_at(x->c->guest, b, e->offset, e->length,
					x->touched);
	*base = x->view ? x->view : x->s->buf;
	if (x->view)
		crew_spare(x->w, x->s);
	else if (guest_read(x->c->guest, b, x->runs, x->n, err))
		return error_about(err, SAVE_VM);
	return 0;
}

static int copy_extent(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	struct tally *t = w->priv;
	size_t pages = s->extent.length / IMAGE_PAGE;
	uint64_t *bits = c->w.blocks[s->extent.block].bits +
			 s->extent.offset / IMAGE_PAGE / 64;
	uint64_t touched[EXTENT_PAGES / 64] = { 0 };
	struct extent_run x = { .w = w, .s = s, .c = c, .touched = touched };
	const unsigned char *base;
	size_t read, data;

	if (s->stage == COPY_WRITTEN_IN_PLACE) {
		guest_view_done(c->sources[s->extent.block], s->extent.offset,
				s->extent.length);
		return CREW_DONE;
	}
	memcpy(touched, bits, (pages + 63) / 64 * sizeof(*bits));
	read = crew_runs(bits, pages, IMAGE_PAGE, 0, add_read, &x);
	t->untouched += s->extent.length - read * IMAGE_PAGE;
	crew_progress(w, s->extent.length);
	if (!read)
		return CREW_DONE;
	if (get_extent(&x, &base, err))
		return CREW_FAILED;
	t->scanned += read * IMAGE_PAGE;
	t->zero += pages_clear_zero(base, IMAGE_PAGE, pages, bits) * IMAGE_PAGE;
	if (seal_extent(w, s, base, bits, pages, err))
		return CREW_FAILED;
	data = crew_runs(bits, pages, IMAGE_PAGE, CREW_GAP, add_write, &x);
	t->data += data * IMAGE_PAGE;
	return x.view ? COPY_WRITTEN_IN_PLACE : CREW_DONE;
}

static void add_tally(struct crew_worker *w, void *arg)
{
	struct tally *sum = &((struct copy *)arg)->tally, *t = w->priv;

	sum->untouched += t->untouched;
	sum->scanned += t->scanned;
	sum->zero += t->zero;
	sum->data += t->data;
	sum->written += t->written;
	hash_free(t->hash);
	t->hash = NULL;
}

static int lay_out(struct copy *c, const struct guest *g, struct mr_error *err)
{
	const char **names = calloc(g->n_blocks + 1, sizeof(*names));
	uint64_t *lengths = calloc(g->n_blocks + 1, sizeof(*lengths));
	size_t n = 0;
	int rc = -1;

	c->guest = g;
	c->sources = calloc(g->n_blocks + 1, sizeof(void *));
	if (!names || !lengths || !c->sources) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for %zu RAM blocks", g->n_blocks);
		goto out;
	}
	for (size_t i = 0; i < g->n_blocks; i++) {
		if (!g->blocks[i].migratable || !g->blocks[i].used)
			continue;
		c->sources[n] = &g->blocks[i];
		names[n] = g->blocks[i].name;
		lengths[n++] = g->blocks[i].used;
	}
	rc = image_writer_layout(&c->w, g->machine, n, names, lengths, err);
	if (rc)
		(void)error_about(err, SAVE_IMAGE);
	for (size_t i = 0; !rc && i < n; i++)
		if (guest_touched(g, c->sources[i], c->w.blocks[i].bits, err))
			rc = error_about(err, SAVE_VM);
out:
	free(names);
	free(lengths);
	return rc;
}

static int copy_memory(struct copy *c, const struct mr_save_options *o,
		       struct mr_error *err)
{
	uint64_t *lengths = calloc(c->w.n + 1, sizeof(*lengths));
	struct crew_plan plan = {
		.extent_size = c->extent,
		.lengths = lengths,
		.blocks = c->w.n,
		.buffers = 1,
		.worker_size = sizeof(struct tally),
		.jobs = o->jobs,
		.step = copy_extent,
		.finish = add_tally,
		.arg = c,
		.watch = &o->watch,
		.leavers = &c->leavers,
	};
	int rc;

	if (!lengths)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	for (size_t i = 0; i < c->w.n; i++)
		lengths[i] = c->w.blocks[i].used;
	rc = crew_run(&plan, err);
	free(lengths);
	return rc;
}

/* All that happens while the guest stands still. */
static int copy_paused(struct save *s, struct copy *c, struct mr_error *err)
{
	struct device_state state = { 0 };
	int rc = -1;

	/* Memory may have been plugged since the preflight. */
	if (guest_refresh(s->guest, s->q, err) || guest_map(s->guest, err)) {
		(void)error_about(err, SAVE_VM);
		goto out;
	}
	c->in_place = s->options->zero_copy != MR_ZERO_COPY_OFF;
	c->extent = IMAGE_EXTENT;
	if (c->in_place &&
	    guest_view(s->guest, s->options->zero_copy == MR_ZERO_COPY_ON))
		c->extent = LARGE_EXTENT;
	if (lay_out(c, s->guest, err) || copy_memory(c, s->options, err))
		goto out;
	if (device_state_fetch(&state, s->q, s->report->run_state, err)) {
		(void)error_about(err, SAVE_VM);
		goto out;
	}
	s->report->device = state.len;
	rc = image_writer_finish(&c->w, state.data, state.len, err);
	if (rc)
		(void)error_about(err, SAVE_IMAGE);
out:
	device_state_release(&state);
	return rc;
}

static void fill_report(struct save *s, const struct copy *c)
{
	struct mr_save_report *r = s->report;

	r->ram = c->w.ram;
	r->blocks = c->w.n;
	r->untouched = c->tally.untouched;
	r->scanned = c->tally.scanned;
	r->zero = c->tally.zero;
	r->data = c->tally.data;
	r->written = c->tally.written;
	r->size = c->w.size;
	r->sealed = c->w.sealed;
	r->direct = c->w.out.file.direct_fd >= 0;
	r->jobs = s->options->jobs ? s->options->jobs : crew_default_jobs();
}

int save_direct(struct save *s, struct mr_error *err)
{
	struct copy c = { .w = IMAGE_WRITER_NONE };
	int rc = -1;

	if (image_writer_open(&c.w, s->image, s->options->direct,
			      !s->options->no_seal, err))
		return error_about(err, SAVE_IMAGE);
	c.w.out.file.io.who = SAVE_IMAGE;
	watch_note(&s->options->watch, "engine direct, %s",
		   c.w.out.file.direct_fd >= 0 ? "direct I/O" : "buffered I/O");
	if (!pause_begin(&s->pause, s->q, s->was_running, err)) {
		qmp_limit(s->q, -1, s->options->watch.cancel);
		rc = copy_paused(s, &c, err);
	} else {
		(void)error_about(err, SAVE_VM);
	}
	fill_report(s, &c);
	/* The guest need not wait for the disk's last word. */
	if (save_resume(s, rc != 0, err))
		rc = -1;
	if (!rc && output_publish(&c.w.out, err))
		rc = error_about(err, SAVE_IMAGE);
	image_writer_release(&c.w);
	crew_leavers_join(&c.leavers);
	free(c.sources);
	return rc;
}
