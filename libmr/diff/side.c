/* side.c - what is compared: an image, or a paused VM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "formats/bits.h"
#include "libmr/diff/state.h"
#include "libmr/base/error.h"
#include "libmr/vm/claim.h"
#include "libmr/vm/preflight.h"
#include "libmr/vm/runstate.h"

#define CONNECT_MS 5000
#define CHUNK_WORDS 2048u

/* ---- opening ---- */

/* Bitmaps that are all clear over data are those of a save that never came to
 * write them: to call such memory zero would be wrong. */
static int refuse_blank(const struct mr_image *img,
			const struct mr_watch *watch, struct mr_error *err)
{
	struct mr_inspection in;
	int rc = mr_inspect(img, watch, &in, err);

	if (!rc && (in.verdict == MR_VERDICT_INTERRUPTED ||
		    in.verdict == MR_VERDICT_BACKGROUND ||
		    in.verdict == MR_VERDICT_BLANK))
		rc = error_set(
			err, MR_FORMAT, MR_NO_OFFSET,
			"its bitmaps are all clear although it holds "
			"pages (%s): there is no telling what its memory "
			"was",
			mr_verdict_name(in.verdict));
	mr_inspection_release(&in);
	return rc;
}

static int open_image(struct diff_side *s, const struct mr_diff_options *o,
		      struct mr_error *err)
{
	/* Of all this nothing takes long: progress is that of the pages. */
	struct mr_watch watch = { .cancel = o->watch.cancel };
	const struct mr_image_info *info;

	s->img = mr_image_open(s->path, o->direct, &watch, err);
	if (!s->img)
		return -1;
	s->img->io->who = s->who;
	info = mr_image_info(s->img);
	if (info->damage.code != MR_OK) {
		*err = info->damage;
		return -1;
	}
	if (info->kind != MR_IMAGE_MAPPED)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "not a mapped-ram image but: %s",
				 mr_image_kind_name(info->kind));
	if (o->direct == MR_DIRECT_AUTO && s->img->file.direct_fd >= 0)
		cached_init(&s->cached, &s->img->file, CACHED_CACHESTAT);
	return refuse_blank(s->img, &watch, err);
}

static int open_vm(struct diff_side *s, const struct mr_diff_options *o,
		   struct mr_error *err)
{
	struct claim nobody;

	s->q = qmp_open(s->path, CONNECT_MS, err);
	if (!s->q)
		return -1;
	qmp_limit(s->q, -1, o->watch.cancel);
	s->guest = guest_open(s->q, o->pid, err);
	if (!s->guest)
		return -1;
	if (s->guest->running || runstate_is_live(s->guest->status))
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the VM is %s, its memory changes while it "
			"is read: pause it first (QMP stop), or save it "
			"with mrsave and compare the images",
			s->guest->status);
	if (claim_take(&nobody, s->guest->pid, true, err) ||
	    still_begin(&s->still, s->q, s->guest, err) ||
	    preflight_run_state(s->guest, err) ||
	    (!o->memory_only && preflight_migrate(s->q, err)))
		return -1;
	return preflight_direct(s->guest, s->q, err);
}

int diff_side_open(struct diff_side *s, const char *path, unsigned who,
		   const struct mr_diff_options *o, struct mr_error *err)
{
	struct stat st;
	int rc;

	s->path = path;
	s->who = who;
	if (stat(path, &st))
		rc = error_sys(err, MR_NO_OFFSET, "cannot open");
	else if (S_ISSOCK(st.st_mode))
		rc = open_vm(s, o, err);
	else
		rc = open_image(s, o, err);
	return rc ? error_about(err, who) : 0;
}

void diff_side_release(struct diff_side *s)
{
	cached_release(&s->cached);
	mr_image_free(s->img);
	mr_image_free(s->state_img);
	device_state_release(&s->state);
	still_release(&s->still);
	guest_free(s->guest);
	qmp_free(s->q);
	*s = (struct diff_side){ 0 };
}

/* ---- blocks ---- */

size_t diff_side_blocks(const struct diff_side *s)
{
	return s->img ? mr_image_info(s->img)->n_blocks : s->guest->n_blocks;
}

bool diff_side_block(const struct diff_side *s, size_t i, struct diff_view *v)
{
	const struct mr_block *b;
	const struct guest_block *g;

	if (s->img) {
		b = &mr_image_info(s->img)->blocks[i];
		*v = (struct diff_view){
			.name = b->name,
			.length = b->length,
			.page_size = mr_image_info(s->img)->page_size,
			.in_file = b->in_file,
			.image = b,
		};
		return true;
	}
	g = &s->guest->blocks[i];
	*v = (struct diff_view){ .name = g->name,
				 .length = g->used,
				 .page_size = GUEST_PAGE,
				 .in_file = true,
				 .guest = g };
	return g->migratable && g->used;
}

/* ---- which pages may hold data ---- */

/* Where the bits that are wanted lie among those that a side has: `times` of
 * the former for one of the latter. */
struct target {
	uint64_t *bits;
	uint64_t first, pages; /* units */
	uint64_t times;
};

/* The side's pages [from, to) hold data. */
static void take(const struct target *t, uint64_t from, uint64_t to)
{
	uint64_t end = t->first + t->pages;

	from *= t->times;
	to *= t->times;
	if (from < t->first)
		from = t->first;
	if (to > end)
		to = end;
	if (from < to)
		bits_set(t->bits, from - t->first, to - from);
}

/* n words of the side's, the first of which begins at its page `page`. */
static void take_words(const struct target *t, const uint64_t *words, size_t n,
		       uint64_t page)
{
	uint64_t end = (uint64_t)n * 64, p, q;

	for (p = bits_next_set(words, 0, end); p < end;
	     p = bits_next_set(words, q, end)) {
		q = bits_next_clear(words, p, end);
		take(t, page + p, page + q);
	}
}

/* The side's words from .. to - 1 that are not in a hole of the file. */
static int image_words(const struct diff_side *s, const struct mr_block *b,
		       const struct target *t, uint64_t from, uint64_t to,
		       struct mr_error *err)
{
	uint64_t words[CHUNK_WORDS];

	while (from < to) {
		uint64_t at = b->bitmap_offset + from * 8, n;
		uint64_t end = b->bitmap_offset + to * 8;

		n = image_next_data(s->img, &at, end);
		if (!n)
			return 0;
		from = (at - b->bitmap_offset) / 8;
		n = (at + n - b->bitmap_offset + 7) / 8 - from;
		if (n > CHUNK_WORDS)
			n = CHUNK_WORDS;
		if (mr_image_bitmap(s->img, b, from, words, (size_t)n, err))
			return -1;
		take_words(t, words, (size_t)n, from * 64);
		from += n;
	}
	return 0;
}

/* Clears the bits of pages that are all in holes. */
static void drop_holes(const struct diff_side *s, const struct mr_block *b,
		       size_t unit, const struct target *t)
{
	uint64_t base = b->pages_offset + t->first * unit;
	uint64_t end = base + t->pages * unit, at = base, done = 0, n;

	do {
		uint64_t hole;

		n = image_next_data(s->img, &at, end);
		hole = n ? (at - base) / unit : t->pages;
		/* Words without a bit are not written: their memory need not
		 * exist. */
		done = bits_next_set(t->bits, done, hole);
		if (hole > done)
			bits_clear(t->bits, done, hole - done);
		done = (at + n - base + unit - 1) / unit;
		at += n;
	} while (n);
}

static int image_bits(const struct diff_side *s, const struct diff_view *v,
		      size_t unit, const struct target *t, struct mr_error *err)
{
	uint64_t from = t->first / t->times / 64;
	uint64_t pages = (t->first + t->pages + t->times - 1) / t->times;

	if (image_words(s, v->image, t, from, (pages + 63) / 64, err))
		return -1;
	drop_holes(s, v->image, unit, t);
	return 0;
}

static int guest_bits(const struct diff_side *s, const struct guest_block *b,
		      const struct target *t, struct mr_error *err)
{
	uint64_t pages = (b->used + GUEST_PAGE - 1) / GUEST_PAGE;
	size_t words = (size_t)((pages + 63) / 64);
	uint64_t *touched =
		mmap(NULL, words * 8, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (touched == MAP_FAILED)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the map of %s", b->name);
	rc = guest_touched(s->guest, b, touched, err);
	if (!rc)
		take_words(t, touched, words, 0);
	(void)munmap(touched, words * 8);
	return rc;
}

int diff_side_bits(const struct diff_side *s, const struct diff_view *v,
		   size_t unit, uint64_t first, uint64_t pages, uint64_t *bits,
		   struct mr_error *err)
{
	struct target t = { .bits = bits,
			    .first = first,
			    .pages = pages,
			    .times = v->page_size / unit };

	if (s->img ? image_bits(s, v, unit, &t, err)
		   : guest_bits(s, v->guest, &t, err))
		return error_about(err, s->who);
	return 0;
}

/* ---- the rest of a side ---- */

static int fetch_state(struct diff_side *s, struct mr_error *err)
{
	const struct mr_image_info *info;

	if (!s->state_img) {
		if (device_state_fetch(&s->state, s->q,
				       runstate_find(s->guest->status)->image,
				       err))
			return -1;
		mem_io_init(&s->state_io, s->state.data, s->state.len);
		s->state_img = image_open_io(&s->state_io.io, NULL, err);
	}
	if (!s->state_img)
		return -1;
	info = mr_image_info(s->state_img);
	if (info->damage.code != MR_OK)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's device state: %s", info->damage.msg);
	return 0;
}

int diff_side_devices(struct diff_side *s, const struct mr_image **img,
		      struct mr_error *err)
{
	if (!s->img && fetch_state(s, err))
		return error_about(err, s->who);
	*img = s->img ? s->img : s->state_img;
	return 0;
}

static int stood_still(struct diff_side *s, struct mr_error *err)
{
	return still_prove(&s->still, err);
}

int diff_side_stood_still(struct diff_side *s, struct mr_error *err)
{
	if (s->img || !stood_still(s, err))
		return 0;
	return error_about(err, s->who);
}
