/*
 * pack.c - every frame of a pack: what its note says, what it holds, and the
 * digest of each page.
 *
 * Label and index are whole and all is in its place, or the pack would not be
 * open (libmr/pack/packed.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/base/zeros.h"
#include "libmr/engine/crew.h"
#include "libmr/pack/packed.h"
#include "libmr/verify/state.h"

/* What can be wrong with a frame and its note. */
enum {
	NOTE_FRAME = 1, /* what makes the note a skippable frame */
	NOTE_DIGEST = 2,
	NOTE_EXTENT = 4, /* it speaks of other pages than the index */
	FRAME_DIGEST = 8,
	FRAME_ODD = 16, /* not one zstd frame of so many bytes */
	FRAME_WORDS = 32, /* the stream that the note says has others */
};

/* All frames; each worker writes to those that it has. */
struct pack {
	struct verify *v;
	const struct packed *p;
	uint8_t *flaws; /* for each frame */
	uint64_t frames;
	uint64_t read; /* bytes of pages that were looked at */
};

/* A worker's own. */
struct hand {
	struct unpacker unpacker;
	uint8_t *bytes;
	size_t room;
	uint64_t read;
	uint8_t note[PACK_SKIP_SIZE + PACK_NOTE_MAX];
	uint8_t want[PACK_NOTE_MAX];
};

static bool is_extent(const struct pack *k, uint64_t frame)
{
	return frame > 0 && frame <= k->p->head.extents;
}

/* Head and tail are always looked at. */
static bool is_wanted(const struct pack *k, uint64_t frame)
{
	const struct mr_verify_report *r = k->v->r;

	return !is_extent(k, frame) || !r->subsets ||
	       (frame - 1) % r->subsets == r->subset - 1;
}

static int check_note(const struct pack *k, struct hand *h,
		      const struct pack_entry *e, uint8_t *flaws,
		      struct mr_error *err)
{
	const struct pack_label *l = &k->p->label;
	struct pack_skip skip = { .kind = PACK_NOTE };
	uint8_t *note = h->note + PACK_SKIP_SIZE;
	struct seal_digest d;
	size_t n;
	uint64_t at = packed_note(k->p, e, &n);

	if (io_read_full(k->p->file, h->note, n, at, err))
		return -1;
	skip.length = (uint32_t)(n - PACK_SKIP_SIZE);
	(void)pack_skip_encode(h->want, &skip);
	if (memcmp(h->note, h->want, PACK_SKIP_SIZE) != 0)
		*flaws |= NOTE_FRAME;
	d = hash_bytes(note, skip.length);
	n = pack_extent_encode(h->want, l, &e->extent);
	if (memcmp(&d, &e->note, sizeof(d)) != 0)
		*flaws |= NOTE_DIGEST;
	else if (memcmp(note, h->want, n) != 0)
		*flaws |= NOTE_EXTENT;
	return 0;
}

static int make_room(struct hand *h, size_t size, struct mr_error *err)
{
	if (h->room >= size)
		return 0;
	free(h->bytes);
	h->bytes = malloc(size);
	h->room = h->bytes ? size : 0;
	return h->bytes ? 0
			: error_set(err, MR_NOMEM, MR_NO_OFFSET,
				    "no memory to unpack %zu bytes", size);
}

/* Whether it can be unpacked. 1, 0 or -1. */
static int unpack(const struct pack *k, struct hand *h,
		  const struct pack_place *place, uint8_t *flaws,
		  struct mr_error *err)
{
	if (make_room(h, place->content, err) ||
	    frame_fetch(&h->unpacker, k->p->file, place, err))
		return -1;
	if (!frame_agrees(&h->unpacker, place))
		*flaws |= FRAME_DIGEST;
	if (!frame_unpack(&h->unpacker, place, h->bytes, NULL))
		return 1;
	*flaws |= FRAME_ODD;
	return 0;
}

/* Page i of an extent is not what its digest is of. */
static void mark(struct verify *v, const struct pack_extent *x, size_t i)
{
	struct verify_block *b = &v->blocks[x->block];

	bits_set(b->odd[VERIFY_CHANGED], x->offset / v->page_size + i, 1);
	b->extents[x->offset / v->extent_size].pages[VERIFY_CHANGED]++;
}

/* The words of a PART, and the digests of its pages. */
static void check_part(const struct pack *k, struct hand *h,
		       const struct pack_entry *e, uint8_t *flaws)
{
	const struct pack_label *l = &k->p->label;
	const struct pack_extent *x = &e->extent;
	const char *block = k->p->blocks[x->block].name;
	const uint8_t *digest;
	size_t pages = pack_pages(l), n = 0;

	if (!packed_words_ok(k->p, e, h->bytes))
		*flaws |= FRAME_WORDS;
	digest = h->note + PACK_SKIP_SIZE + pack_extent_size(l);
	for (uint64_t i = bits_next_set(x->there, 0, pages); i < pages;
	     i = bits_next_set(x->there, i + 1, pages)) {
		uint64_t d = hash_page(h->bytes + pack_part_at(l, block, n++),
				       l->page_size);

		if (!(*flaws & NOTE_DIGEST) &&
		    memcmp(&d, digest, sizeof(d)) != 0)
			mark(k->v, x, (size_t)i);
		digest += sizeof(d);
	}
	h->read += n * l->page_size;
}

static int check_frame(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct pack *k = crew_arg(w);
	uint64_t frame = s->extent.offset / k->v->extent_size;
	struct hand *h = w->priv;
	struct pack_entry e;
	struct pack_place place;
	uint8_t flaws = 0;
	int rc;

	crew_progress(w, s->extent.length);
	if (!is_wanted(k, frame))
		return CREW_DONE;
	place = packed_place(k->p, frame);
	if (is_extent(k, frame)) {
		packed_entry(k->p, frame - 1, &e);
		if (check_note(k, h, &e, &flaws, err))
			return CREW_FAILED;
	}
	crew_pay(w, place.size);
	rc = unpack(k, h, &place, &flaws, err);
	if (rc < 0)
		return CREW_FAILED;
	if (rc && is_extent(k, frame))
		check_part(k, h, &e, &flaws);
	k->flaws[frame] = flaws;
	return CREW_DONE;
}

static void leave(struct crew_worker *w, void *arg)
{
	struct pack *k = arg;
	struct hand *h = w->priv;

	k->read += h->read;
	unpacker_release(&h->unpacker);
	free(h->bytes);
}

/* ---- telling ---- */

static void tell(const struct pack *k, const struct mr_finding *what,
		 const char *noun, const char *flaw)
{
	struct mr_finding f = *what;

	verify_tell(k->v, &f, "%s, bytes %" PRIu64 "-%" PRIu64 ", %s", noun,
		    f.offset, f.offset + f.length - 1, flaw);
}

static void tell_note(const struct pack *k, const struct pack_entry *e,
		      uint8_t flaws, struct mr_finding f)
{
	char noun[64];
	size_t n;

	f.offset = packed_note(k->p, e, &n);
	f.length = n;
	(void)snprintf(noun, sizeof(noun), "the note of extent 0x%" PRIx64,
		       e->extent.offset);
	if (flaws & NOTE_DIGEST)
		tell(k, &f, noun, "is damaged: its digest differs");
	else if (flaws & NOTE_EXTENT)
		tell(k, &f, noun, "has other pages than the index");
	f.length = PACK_SKIP_SIZE;
	if (flaws & NOTE_FRAME)
		tell(k, &f, noun, "is no skippable frame with a note");
}

static void tell_frame(const struct pack *k, uint64_t frame)
{
	struct pack_place place = packed_place(k->p, frame);
	struct mr_finding f = { .kind = MR_FINDING_PACK,
				.damage = true,
				.offset = place.offset,
				.length = place.size };
	uint8_t flaws = k->flaws[frame];
	char noun[64] = "the head";
	struct pack_entry e;

	if (is_extent(k, frame)) {
		packed_entry(k->p, frame - 1, &e);
		f.block = k->p->blocks[e.extent.block].name;
		tell_note(k, &e, flaws, f);
		(void)snprintf(noun, sizeof(noun),
			       "the frame of extent 0x%" PRIx64,
			       e.extent.offset);
	} else if (frame) {
		f.kind = MR_FINDING_TAIL;
		(void)snprintf(noun, sizeof(noun), "the device state");
	}
	if (flaws & FRAME_DIGEST)
		tell(k, &f, noun,
		     flaws & FRAME_ODD
			     ? "is damaged: its digest differs, and it cannot "
			       "be unpacked"
			     : "is damaged: its digest differs");
	else if (flaws & FRAME_ODD)
		tell(k, &f, noun, "is not one zstd frame of the right size");
	if (flaws & FRAME_WORDS)
		tell(k, &f, noun, "does not hold the words of its pages");
}

/* What the stream says, if it could be read. */
static int tell_stream(const struct pack *k, struct mr_error *err)
{
	if (k->flaws[0] | k->flaws[k->frames - 1])
		return 0;
	return verify_structure(k->v, err);
}

static int scan(struct pack *k, struct mr_error *err)
{
	const struct mr_verify_options *o = k->v->o;
	uint64_t length = k->frames * k->v->extent_size;
	const struct crew_plan plan = {
		.extent_size = k->v->extent_size,
		.lengths = &length,
		.blocks = 1,
		.worker_size = sizeof(struct hand),
		.jobs = o->jobs,
		.limit = o->limit,
		.own_errors = true,
		.step = check_frame,
		.finish = leave,
		.arg = k,
		.watch = &o->watch,
	};

	return crew_run(&plan, err);
}

int verify_pack(struct verify *v, struct mr_error *err)
{
	struct pack k = { .v = v,
			  .p = v->img->packed,
			  .frames = v->img->packed->head.extents + 2 };
	int rc;

	k.flaws = zeros_new(k.frames);
	if (!k.flaws)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	rc = scan(&k, err);
	v->r->read = k.read;
	for (uint64_t i = 0; !rc && i < k.frames; i++)
		if (k.flaws[i])
			tell_frame(&k, i);
	if (!rc)
		rc = tell_stream(&k, err);
	zeros_free(k.flaws, k.frames);
	return rc;
}
