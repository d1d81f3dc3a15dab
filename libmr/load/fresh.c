/*
 * fresh.c - memory that is not fresh.
 *
 * Where an image has no page QEMU leaves the VM's memory as it is, which is
 * zero if it is new. A file that backs it may have been filled by somebody
 * before, and firmware lies in blocks of its own. Such pages are made zero
 * beforehand. Of a plain stream QEMU itself writes the zeros.
 */
#include "libmr/load/state.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"
#include "libmr/base/watch.h"
#include "libmr/engine/crew.h"
#include "libmr/memory/memory.h"
#include "libmr/vm/preflight.h"

#define EXTENT ((size_t)1 << 20)
#define EXTENT_WORDS (EXTENT / GUEST_PAGE / 64)

/* ---- can it be seen to? ---- */

/* Nobody can look at the memory; but QEMU says what is behind it. */
static int check_unseen(struct guest *g, struct qmp *q,
			const struct mr_image *img, struct mr_error *err)
{
	if (guest_ask_files(g, q, err))
		return -1;
	for (size_t i = 0; i < g->n_blocks; i++) {
		const struct guest_block *b = &g->blocks[i];
		const struct mr_block *in = mr_image_find(img, b->name);

		if (b->file[0] && in && in->in_file)
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"memory in %s may hold old content, and no "
				"right to look at QEMU's process and clear it: "
				"run as its user or with CAP_SYS_PTRACE, or "
				"give --force",
				b->file);
	}
	return 0;
}

static bool is_empty(const struct guest_block *b)
{
	struct stat st;

	for (size_t i = 0; i < b->n_segments; i++)
		if (b->segments[i].fd < 0 || fstat(b->segments[i].fd, &st) ||
		    st.st_blocks)
			return false;
	return true;
}

/* What an image left out is nowhere else. */
static int check_there(const struct guest *g, const struct mr_image_info *info,
		       struct mr_error *err)
{
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];

		if (load_left_out(info, b) && is_empty(guest_find(g, b->name)))
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"the memory of block %.64s was left out of the "
				"image (x-ignore-shared), and the VM's file "
				"for it is empty: start QEMU over the one that "
				"it was saved from, or give --force",
				b->name);
	}
	return 0;
}

int fresh_look(struct guest *g, struct qmp *q, const struct mr_image *img,
	       bool force, bool *seen, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	*seen = !guest_can_read(g, &why) && !guest_map(g, &why) &&
		!preflight_process(g, q, &why);
	if (force)
		return 0;
	if (*seen)
		return check_there(g, mr_image_info(img), err);
	if (why.code != MR_REFUSED && why.code != MR_UNSUPPORTED) {
		if (err && err->code == MR_OK)
			*err = why;
		return -1;
	}
	return check_unseen(g, q, img, err);
}

/* ---- clearing ---- */

struct wipe {
	const struct guest *guest;
	struct memory *vm;
	atomic_uint_fast64_t bytes;
};

/* A worker's extent, and what became of it. */
struct wipe_extent {
	struct wipe *wipe;
	const struct memory_part *part;
	struct mr_error *err;
	bool failed;
};

static void wipe_run(void *arg, size_t offset, size_t length)
{
	struct wipe_extent *x = arg;
	const struct guest *g = x->wipe->guest;
	const struct memory_part *p = x->part;

	if (x->failed)
		return;
	x->failed = guest_zero(g, &g->blocks[p->block->index],
			       p->offset + offset, length, x->err) != 0;
	atomic_fetch_add(&x->wipe->bytes, length);
}

static int wipe_extent(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct wipe *wipe = crew_arg(w);
	const struct memory_block *b = &wipe->vm->blocks[s->extent.block];
	uint64_t first = s->extent.offset / GUEST_PAGE;
	uint64_t bits[EXTENT_WORDS];
	struct memory_part p = {
		.block = b,
		.offset = s->extent.offset,
		.unit = GUEST_PAGE,
		.pages = s->extent.length / GUEST_PAGE,
		.bits = bits,
		.buf = s->buf,
	};
	struct wipe_extent x = { wipe, &p, err, false };

	if (bits_next_set(b->bits, first, first + p.pages) == first + p.pages)
		return CREW_DONE;
	memcpy(bits, b->bits + first / 64, bits_size(p.pages));
	if (memory_fetched(wipe->vm, &p, s, err))
		return CREW_FAILED;
	(void)pages_clear_zero(p.buf, p.unit, p.pages, bits);
	(void)crew_runs(bits, p.pages, p.unit, 0, wipe_run, &x);
	return x.failed ? CREW_FAILED : CREW_DONE;
}

/* Clears the bits of the pages that the image fills. */
static void leave_filled(struct memory_block *b, const struct memory *image,
			 const struct memory_block *filled)
{
	uint64_t pages = memory_pages(image, filled), p, q;

	for (p = bits_next_set(filled->bits, 0, pages); p < pages;
	     p = bits_next_set(filled->bits, q, pages)) {
		uint64_t from, to;

		q = bits_next_clear(filled->bits, p, pages);
		from = (p * image->page + GUEST_PAGE - 1) / GUEST_PAGE;
		to = q * image->page / GUEST_PAGE;
		if (from < to)
			bits_clear(b->bits, from, to - from);
	}
}

/* What may hold data, and is not going to be filled by the image. */
static int map_unfilled(struct memory *vm, struct memory *image,
			struct mr_error *err)
{
	for (size_t i = 0; i < vm->n; i++) {
		struct memory_block *b = &vm->blocks[i], *filled = NULL;

		for (size_t k = 0; k < image->n && !filled; k++)
			if (!strcmp(image->blocks[k].name, b->name))
				filled = &image->blocks[k];
		/* What was left out of the image is there already. */
		if (!filled || !filled->held) {
			b->held = 0;
			continue;
		}
		if (memory_map(vm, b, NULL, err) ||
		    memory_map(image, filled, NULL, err))
			return -1;
		leave_filled(b, image, filled);
	}
	return 0;
}

int fresh_make(struct guest *g, const struct mr_image *img,
	       const struct mr_watch *watch, struct mr_error *err)
{
	/* Whose progress is the loading's. */
	const struct mr_watch quiet = { .cancel = watch->cancel };
	struct memory *vm = memory_of_guest(g, MR_ZERO_COPY_OFF, err);
	struct memory *image = vm ? memory_of_image(img, false, err) : NULL;
	struct wipe wipe = { .guest = g, .vm = vm };
	struct crew_plan plan = {
		.extent_size = EXTENT,
		.buffers = 1,
		.own_errors = true,
		.step = wipe_extent,
		.arg = &wipe,
		.watch = &quiet,
	};
	int rc = -1;

	if (!image || map_unfilled(vm, image, err))
		goto out;
	plan.lengths = &vm->blocks[0].held;
	plan.stride = sizeof(vm->blocks[0]);
	plan.blocks = vm->n;
	rc = crew_run(&plan, err);
	watch_note(watch, "%" PRIu64 " KiB of old content cleared",
		   (uint64_t)atomic_load(&wipe.bytes) >> 10);
out:
	memory_free(image);
	memory_free(vm);
	return rc;
}
