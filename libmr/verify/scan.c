/*
 * scan.c - looks at every page that is not in a hole, once.
 *
 * A worker asks where the data of an extent is, reads it, and compares: with
 * the bitmap (zero pages, missing ones, data that no bit speaks of) and with
 * the seal. What is wanted for mending and sealing (the bits as they should
 * be, digests, a copy) is made in the same pass.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/mapped_ram.h"
#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/base/pages.h"
#include "libmr/memory/memory.h"
#include "libmr/seal/pages.h"
#include "libmr/seal/proof.h"
#include "libmr/verify/state.h"

#define MAX_PAGES (SEAL_EXTENT_MAX / MAPPED_RAM_PAGE_MIN)
#define MAX_WORDS (MAX_PAGES / BITS_PER_WORD)
/* Extents that stay together when a subset is looked at: disks like runs. */
#define STRIPE 16

enum stage { STAGE_START, STAGE_LOOK };

struct tally {
	uint64_t read, bits_changed, odd_words, swapped_words;
	uint64_t pages[VERIFY_ODDS];
};

/* A worker's own. */
struct own {
	struct tally tally;
	struct hash *hash;
	/* Of the extent that is looked at: which pages are not what the seal
	 * has; digests of those that should be there, and what it has. */
	uint64_t changed[MAX_WORDS];
	uint64_t is[MAX_PAGES];
	uint64_t table[MAX_PAGES];
};

/* An extent in flight. */
struct look {
	uint64_t bits[MAX_WORDS]; /* present, says the bitmap */
	uint64_t beyond; /* bits of the last word beyond the block's end */
	uint64_t data[MAX_WORDS]; /* not wholly in a hole */
	uint64_t lost[MAX_WORDS]; /* cannot be read */
	uint64_t nonzero[MAX_WORDS]; /* of data */
};

struct scan {
	struct verify *v;
	uint64_t *first; /* number of each block's first extent */
	struct tally sum;
};

int verify_words(const struct verify *v, const struct verify_block *b,
		 uint64_t first, uint64_t *words, size_t n,
		 struct mr_error *err)
{
	if (io_read_full(v->img->io, words, n * sizeof(*words),
			 b->bitmap_offset + first * sizeof(*words), err))
		return -1;
	bits_swap_le(words, n);
	return 0;
}

/* Whether the extent is in the part that was asked for. */
static bool wanted(const struct scan *c, const struct crew_extent *e)
{
	const struct mr_verify_report *r = c->v->r;
	uint64_t n = c->first[e->block] + e->offset / c->v->extent_size;

	return !r->subsets || n / STRIPE % r->subsets == r->subset - 1;
}

static size_t pages_of(const struct scan *c, const struct crew_extent *e)
{
	return e->length / c->v->page_size;
}

static size_t words_of(const struct scan *c, const struct crew_extent *e)
{
	return (pages_of(c, e) + 63) / 64;
}

/* Marks the pages that [from, to) of the extent touches. */
static void mark(struct look *k, uint32_t page_size, uint64_t from, uint64_t to)
{
	uint64_t a = from / page_size, z = (to + page_size - 1) / page_size;

	bits_set(k->data, a, z - a);
}

/* Reads what is not in a hole. Small holes are read through, so that there
 * are never more transfers than a slot takes. */
static int start_reads(struct scan *c, struct crew_worker *w,
		       struct crew_slot *s)
{
	const struct verify_block *b = &c->v->blocks[s->extent.block];
	struct look *k = s->priv;
	struct tally *t = w->priv;
	uint64_t start = b->pages_offset + s->extent.offset, at = start, n;
	uint64_t end = start + s->extent.length, from = 0, to = 0, read = 0;
	uint64_t gap = c->v->extent_size / 64 > CREW_GAP
			       ? c->v->extent_size / 64
			       : CREW_GAP;

	while ((n = image_next_data(c->v->img, &at, end)) > 0) {
		mark(k, c->v->page_size, at - start, at - start + n);
		if (to && at - start - to >= gap) {
			crew_transfer(w, s, &c->v->img->file, s->buf + from,
				      to - from, start + from, false);
			read += to - from;
			to = 0;
		}
		if (!to)
			from = at - start;
		at += n;
		to = at - start;
	}
	if (to) {
		crew_transfer(w, s, &c->v->img->file, s->buf + from, to - from,
			      start + from, false);
		read += to - from;
	}
	/* A hole reads as zeros. */
	if (read < s->extent.length &&
	    (read || bits_next_set(k->bits, 0, MAX_PAGES) < MAX_PAGES))
		memset(s->buf, 0, s->extent.length);
	t->read += read;
	return STAGE_LOOK;
}

static int start_extent(struct scan *c, struct crew_worker *w,
			struct crew_slot *s, struct mr_error *err)
{
	const struct verify_block *b = &c->v->blocks[s->extent.block];
	size_t pages = pages_of(c, &s->extent),
	       nwords = words_of(c, &s->extent);
	struct look *k = s->priv;
	uint64_t first = s->extent.offset / c->v->page_size / 64;

	crew_progress(w, s->extent.length);
	if (!wanted(c, &s->extent))
		return CREW_DONE;
	memset(k, 0, sizeof(*k));
	if (verify_words(c->v, b, first, k->bits, nwords, err))
		return CREW_FAILED;
	if (pages % 64) {
		k->beyond = k->bits[nwords - 1] & UINT64_MAX << (pages % 64);
		k->bits[nwords - 1] ^= k->beyond;
	}
	return start_reads(c, w, s);
}

/* Whether a piece of the bitmap that has these pages is damaged. */
static bool is_blind(const struct scan *c, const struct crew_extent *e)
{
	const struct verify_block *b = &c->v->blocks[e->block];
	uint64_t per_piece, first, last;

	if (salvage_lost(&c->v->salvage,
			 b->bitmap_offset + e->offset / c->v->page_size / 8,
			 words_of(c, e) * 8))
		return true;
	if (!c->v->has_seal)
		return false;
	per_piece = (uint64_t)c->v->seal.head.piece_size * 8;
	first = e->offset / c->v->page_size;
	last = first + pages_of(c, e) - 1;
	for (uint64_t i = first / per_piece; i <= last / per_piece; i++)
		if (b->bad_pieces[i])
			return true;
	return false;
}

static uint64_t count(const uint64_t *bits, size_t nwords)
{
	return bits_count(bits, 0, nwords * 64);
}

/* Whether the extent's pages with a bit are what a seal of version 1 has: 1, 0
 * or -1. */
static int agrees_1(struct crew_worker *w, const struct crew_slot *s,
		    const uint64_t *bits, struct mr_error *err)
{
	const struct scan *c = crew_arg(w);
	uint64_t extent = s->extent.offset / c->v->extent_size;
	struct own *own = w->priv;
	struct seal_digest is, should;

	if (!own->hash)
		own->hash = hash_new();
	if (!own->hash)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	is = seal_pages_digest_1(own->hash, s->buf, bits,
				 pages_of(c, &s->extent), c->v->page_size);
	if (sealed_extent(&c->v->seal, s->extent.block, extent, &should, err))
		return -1;
	return !memcmp(&is, &should, sizeof(is));
}

/* The same of the pages themselves, those with a bit. */
static int agrees(struct crew_worker *w, const struct crew_slot *s,
		  const uint64_t *bits, struct mr_error *err)
{
	const struct scan *c = crew_arg(w);
	size_t block = s->extent.block;
	uint64_t extent = s->extent.offset / c->v->extent_size;
	bool any = count(bits, words_of(c, &s->extent)) != 0;
	struct own *own = w->priv;

	if (c->v->seal.head.version != SEAL_VERSION_1) {
		seal_pages(own->is, s->buf, bits, pages_of(c, &s->extent),
			   c->v->page_size);
		return proof_pages(&c->v->seal, block, extent, own->is,
				   pages_of(c, &s->extent), err);
	}
	if (!any || !sealed_has_extent(&c->v->seal, block, extent))
		return any == sealed_has_extent(&c->v->seal, block, extent);
	return agrees_1(w, s, bits, err);
}

/* The bits as they should be, into k->bits; whether that is certain is for
 * the judge. */
static void mend_bits(struct scan *c, struct crew_worker *w, struct look *k,
		      size_t nwords, bool blind)
{
	const struct verify *v = c->v;
	struct tally *t = w->priv;

	for (size_t i = 0; i < nwords; i++) {
		uint64_t was = k->bits[i];

		if (v->rebuild || blind)
			k->bits[i] = k->nonzero[i];
		else if (v->o->repair)
			k->bits[i] &= k->nonzero[i];
		t->bits_changed +=
			(uint64_t)__builtin_popcountll(was ^ k->bits[i]);
	}
}

struct copy {
	struct crew_worker *w;
	struct crew_slot *s;
};

static void add_copy(void *arg, uint64_t offset, const unsigned char *bytes,
		     size_t length)
{
	const struct copy *x = arg;
	struct scan *c = crew_arg(x->w);
	const struct verify_block *b = &c->v->blocks[x->s->extent.block];

	crew_transfer(x->w, x->s, &c->v->out.file, (void *)(uintptr_t)bytes,
		      length, b->pages_offset + offset, true);
}

/* What mending and sealing need of this extent. */
static void keep(struct crew_worker *w, struct crew_slot *s, bool blind)
{
	struct scan *c = crew_arg(w);
	struct verify_block *b = &c->v->blocks[s->extent.block];
	size_t nwords = words_of(c, &s->extent);
	uint64_t first = s->extent.offset / c->v->page_size / 64;
	struct look *k = s->priv;
	struct copy x = { w, s };
	const struct memory_part part = { .offset = s->extent.offset,
					  .unit = c->v->page_size,
					  .pages = pages_of(c, &s->extent),
					  .bits = k->bits,
					  .buf = s->buf };

	mend_bits(c, w, k, nwords, blind);
	if (!count(k->bits, nwords))
		return;
	memcpy(b->bits + first, k->bits, nwords * sizeof(*k->bits));
	seal_pages(b->table + s->extent.offset / c->v->page_size, s->buf,
		   k->bits, part.pages, part.unit);
	if (c->v->out.file.fd >= 0)
		memory_runs(&part, CREW_GAP, add_copy, &x);
}

/* Reads once more what could not be read: what is lost becomes zeros. */
static int read_again(struct crew_worker *w, const struct crew_slot *s,
		      struct mr_error *err)
{
	struct verify *v = ((struct scan *)crew_arg(w))->v;
	uint64_t start =
		v->blocks[s->extent.block].pages_offset + s->extent.offset;
	struct look *k = s->priv;

	for (size_t i = 0; i < s->finished; i++) {
		const struct queue_op *op = &s->ops[i];
		uint64_t first, end;

		if (!op->error)
			continue;
		if (io_read_full(v->img->io, op->buf, op->length, op->offset,
				 err))
			return -1;
		first = (op->offset - start) / v->page_size;
		end = (op->offset - start + op->length + v->page_size - 1) /
		      v->page_size;
		for (uint64_t p = first; p < end; p++)
			if (salvage_lost(&v->salvage, start + p * v->page_size,
					 v->page_size))
				bits_set(k->lost, p, 1);
	}
	return 0;
}

/* Which pages are odd, in sets; same: the seal agrees (1), differs (0), is not
 * there (-1). */
static void find_odd(uint64_t odd[VERIFY_ODDS][MAX_WORDS], const struct look *k,
		     const struct own *own, size_t nwords, bool blind, int same)
{
	for (size_t i = 0; i < nwords; i++) {
		uint64_t seen = ~k->lost[i];
		uint64_t bits = k->bits[i] & seen;
		uint64_t empty = bits & ~k->nonzero[i];

		odd[VERIFY_CHANGED][i] = own->changed[i];
		odd[VERIFY_UNREADABLE][i] = k->lost[i];
		odd[VERIFY_STALE][i] = blind ? 0 : k->nonzero[i] & ~bits & seen;
		/* A seal that agrees knows that what is missing was zero. */
		odd[VERIFY_MISSING][i] =
			blind || same == 1 ? 0 : empty & ~k->data[i];
		odd[VERIFY_WASTE][i] =
			blind ? 0 : empty & ~odd[VERIFY_MISSING][i];
	}
}

/* Keeps what is odd. Untouched memory of the tables stays untouched. */
static void keep_odd(const struct scan *c, const struct crew_slot *s,
		     uint64_t odd[VERIFY_ODDS][MAX_WORDS], size_t nwords,
		     struct verify_extent *x, struct tally *t)
{
	struct verify_block *b = &c->v->blocks[s->extent.block];
	uint64_t first = s->extent.offset / c->v->page_size / 64;
	bool any = x->changed || x->lost || x->bad_table;

	for (int i = 0; i < VERIFY_ODDS; i++) {
		uint64_t n = count(odd[i], nwords);

		if (!n)
			continue;
		any = true;
		x->pages[i] = (uint16_t)n;
		t->pages[i] += n;
		memcpy(b->odd[i] + first, odd[i], nwords * sizeof(*odd[i]));
	}
	if (any)
		b->extents[s->extent.offset / c->v->extent_size] = *x;
}

/* Words that are not what the pages are, and what they would be with their
 * bytes in the other order. */
static void count_swapped(struct tally *t, const struct look *k, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++) {
		uint64_t word = k->bits[i];

		if (i + 1 == nwords)
			word |= k->beyond;
		if (word == k->nonzero[i] || k->lost[i])
			continue;
		t->odd_words++;
		t->swapped_words += __builtin_bswap64(word) == k->nonzero[i];
	}
}

/* What the seal says: 1, 0, or -1 if it has nothing to say. */
static int ask_seal(struct crew_worker *w, const struct crew_slot *s,
		    bool blind, int *same, struct mr_error *err)
{
	const struct scan *c = crew_arg(w);
	const struct look *k = s->priv;
	const uint64_t *bits = blind ? k->nonzero : k->bits;

	*same = -1;
	if (!c->v->has_seal)
		return 0;
	/* With pages that cannot be read it differs, of course. */
	for (size_t i = 0; !blind && i < words_of(c, &s->extent); i++)
		if (k->lost[i] & bits[i])
			return 0;
	*same = agrees(w, s, bits, err);
	return *same < 0 ? -1 : 0;
}

/* The seal's digests of the pages: whether they are what its own digest of the
 * extent says, and of which pages they say something else. */
static int ask_table(const struct scan *c, const struct crew_slot *s,
		     struct own *own, int same, struct verify_extent *x,
		     struct mr_error *err)
{
	size_t n = pages_of(c, &s->extent);
	int good;

	memset(own->changed, 0, words_of(c, &s->extent) * sizeof(uint64_t));
	if (!c->v->has_seal || c->v->seal.head.version == SEAL_VERSION_1)
		return 0;
	if (sealed_table(&c->v->seal, s->extent.block,
			 s->extent.offset / c->v->page_size, own->table, n,
			 err))
		return -1;
	good = same == 1 ? !memcmp(own->table, own->is, n * sizeof(*own->table))
			 : proof_pages(&c->v->seal, s->extent.block,
				       s->extent.offset / c->v->extent_size,
				       own->table, n, err);
	if (good < 0)
		return -1;
	x->bad_table = !good;
	if (!good || !x->changed)
		return 0;
	for (size_t p = 0; p < n; p++)
		if (own->table[p] != own->is[p])
			bits_set(own->changed, p, 1);
	x->changed = false;
	return 0;
}

static int look_at(struct crew_worker *w, struct crew_slot *s,
		   struct mr_error *err)
{
	struct scan *c = crew_arg(w);
	uint64_t odd[VERIFY_ODDS][MAX_WORDS];
	struct verify_extent x = { 0 };
	size_t nwords = words_of(c, &s->extent);
	struct look *k = s->priv;
	struct tally *t = w->priv;
	bool blind = is_blind(c, &s->extent);
	int same;

	if (read_again(w, s, err))
		return CREW_FAILED;
	memcpy(k->nonzero, k->data, sizeof(k->data));
	(void)pages_clear_zero(s->buf, c->v->page_size, pages_of(c, &s->extent),
			       k->nonzero);
	if (ask_seal(w, s, blind, &same, err))
		return CREW_FAILED;
	/* Where the bitmap is damaged nobody knows which pages are meant: if
	 * those that are not zero agree, it can be mended. */
	x.changed = !same && !blind;
	x.lost = !same && blind;
	if (ask_table(c, s, w->priv, same, &x, err))
		return CREW_FAILED;
	find_odd(odd, k, w->priv, nwords, blind, same);
	keep_odd(c, s, odd, nwords, &x, t);
	if (!blind)
		count_swapped(t, k, nwords);
	if (c->v->fix)
		keep(w, s, blind);
	return CREW_DONE;
}

static int step(struct crew_worker *w, struct crew_slot *s,
		struct mr_error *err)
{
	if (s->stage == STAGE_START)
		return start_extent(crew_arg(w), w, s, err);
	return look_at(w, s, err);
}

static void add_tally(struct crew_worker *w, void *arg)
{
	struct scan *c = arg;
	struct own *own = w->priv;
	struct tally *sum = &c->sum, *t = &own->tally;

	sum->read += t->read;
	sum->bits_changed += t->bits_changed;
	sum->odd_words += t->odd_words;
	sum->swapped_words += t->swapped_words;
	for (int i = 0; i < VERIFY_ODDS; i++)
		sum->pages[i] += t->pages[i];
	hash_free(own->hash);
	own->hash = NULL;
}

static void number_extents(const struct verify *v, uint64_t *first,
			   uint64_t *lengths)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		first[i] = n;
		n += v->blocks[i].n_extents;
		lengths[i] = v->blocks[i].length;
	}
}

int verify_scan(struct verify *v, struct mr_error *err)
{
	uint64_t *lengths = calloc(v->n + 1, sizeof(*lengths));
	struct scan c = { .v = v, .first = calloc(v->n + 1, sizeof(*c.first)) };
	struct crew_plan plan = {
		.extent_size = v->extent_size,
		.lengths = lengths,
		.blocks = v->n,
		.buffers = 1,
		.worker_size = sizeof(struct own),
		.slot_size = sizeof(struct look),
		.jobs = v->o->jobs,
		.limit = v->o->limit,
		.own_errors = true,
		.step = step,
		.finish = add_tally,
		.arg = &c,
		.watch = &v->o->watch,
	};
	int rc = -1;

	if (!lengths || !c.first) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	number_extents(v, c.first, lengths);
	rc = crew_run(&plan, err);
	v->bits_changed = c.sum.bits_changed;
	v->odd_words = c.sum.odd_words;
	v->swapped_words = c.sum.swapped_words;
	v->r->read += c.sum.read;
	v->r->unreadable = c.sum.pages[VERIFY_UNREADABLE];
	v->r->stale = c.sum.pages[VERIFY_STALE];
	v->r->waste = c.sum.pages[VERIFY_WASTE];
	v->r->missing = c.sum.pages[VERIFY_MISSING];
	v->r->direct = v->img->file.direct_fd >= 0;
out:
	free(lengths);
	free(c.first);
	return rc;
}
