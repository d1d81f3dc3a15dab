/* pages.c - which pages are odd: told block by block, in ranges. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/verify/state.h"

/* Ranges that a line names. */
#define NAMED 5u

static const struct of {
	enum mr_finding_kind kind;
	bool damage;
	const char *one, *many; /* what a page does, and pages do */
} of[VERIFY_ODDS] = {
	[VERIFY_CHANGED] = { MR_FINDING_PAGES, true, "differs from the seal",
			     "differ from the seal" },
	[VERIFY_UNREADABLE] = { MR_FINDING_UNREADABLE, true, "cannot be read",
				"cannot be read" },
	[VERIFY_MISSING] = { MR_FINDING_MISSING, true,
			     "is missing: the file has a hole in its place",
			     "are missing: the file has holes in their place" },
	[VERIFY_STALE] = { MR_FINDING_STALE, false,
			   "holds stale data, which instant restore would show",
			   "hold stale data, which instant restore would "
			   "show" },
	[VERIFY_WASTE] = { MR_FINDING_WASTE, false,
			   "is all zero and needs no room",
			   "are all zero and need no room" },
};

/* The odd pages of a block, of one kind. */
struct ranges {
	struct mr_page_range *list; /* MR_FINDING_RANGES of them */
	uint64_t n; /* ranges, listed or not */
	uint64_t first, end; /* pages that they are among */
	uint64_t pages;
};

static void add_range(struct ranges *r, uint64_t first, uint64_t pages)
{
	r->pages += pages;
	/* Extents are looked at one by one: ranges go on across them. */
	if (r->n && r->end == first) {
		r->end += pages;
		if (r->n <= MR_FINDING_RANGES)
			r->list[r->n - 1].pages += pages;
		return;
	}
	if (!r->n)
		r->first = first;
	if (r->n < MR_FINDING_RANGES)
		r->list[r->n] = (struct mr_page_range){ first, pages };
	r->end = first + pages;
	r->n++;
}

static void find_ranges(const struct verify *v, const struct verify_block *b,
			enum verify_odd odd, struct ranges *r)
{
	const uint64_t *bits = b->odd[odd];
	uint64_t per = v->extent_size / v->page_size;

	for (size_t i = 0; i < b->n_extents; i++) {
		uint64_t end =
			(i + 1) * per < b->pages ? (i + 1) * per : b->pages;
		uint64_t p = i * per, q;

		if (!b->extents[i].pages[odd])
			continue;
		for (; (p = bits_next_set(bits, p, end)) < end; p = q) {
			q = bits_next_clear(bits, p, end);
			add_range(r, p, q - p);
		}
	}
}

/* "3, 7-9, 300 and 52 ranges more". */
static void name_ranges(char *buf, size_t size, const struct ranges *r)
{
	size_t at = 0;

	for (uint64_t i = 0; i < r->n && i < NAMED; i++) {
		uint64_t first = r->list[i].first;
		uint64_t last = first + r->list[i].pages - 1;
		const char *sep = !i ? "" : i + 1 < r->n ? ", " : " and ";

		(void)snprintf(buf + at, size - at,
			       first == last ? "%s%" PRIu64
					     : "%s%" PRIu64 "-%" PRIu64,
			       sep, first, last);
		at += strlen(buf + at);
	}
	if (r->n > NAMED)
		(void)snprintf(buf + at, size - at,
			       " and %" PRIu64 " range%s more", r->n - NAMED,
			       r->n - NAMED == 1 ? "" : "s");
}

/* A seal can say that there are none. */
static bool is_damage(const struct verify *v, enum verify_odd odd)
{
	return of[odd].damage || (odd == VERIFY_STALE && v->has_seal &&
				  v->seal.head.flags & SEAL_ABSENT_ZERO);
}

static void tell_ranges(struct verify *v, const struct verify_block *b,
			enum verify_odd odd, const struct ranges *r)
{
	struct mr_finding f = { .kind = of[odd].kind,
				.damage = is_damage(v, odd),
				.block = b->name,
				.first = r->first,
				.pages = r->end - r->first,
				.count = r->pages,
				.ranges = r->list,
				.n_ranges = r->n };
	const char *one = of[odd].one, *many = of[odd].many;
	char names[160];

	f.offset = b->pages_offset + f.first * v->page_size;
	f.length = f.pages * v->page_size;
	if (v->img->packed) {
		f.offset = MR_NO_OFFSET;
		one = "differs from the pack's digest of it";
		many = "differ from the pack's digests of them";
	}
	name_ranges(names, sizeof(names), r);
	if (r->pages == 1)
		verify_tell(v, &f, "page %s %s", names, one);
	else if (r->n == 1)
		verify_tell(v, &f, "pages %s %s", names, many);
	else
		verify_tell(v, &f, "%" PRIu64 " pages (%s) %s", r->pages, names,
			    many);
}

static struct mr_finding extents_finding(const struct verify *v,
					 const struct verify_block *b,
					 size_t from, size_t to,
					 enum mr_finding_kind kind)
{
	uint64_t per = v->extent_size / v->page_size;
	struct mr_finding f = { .kind = kind,
				.damage = true,
				.block = b->name,
				.first = from * per,
				.pages = (to - from) * per };

	if (f.pages > b->pages - f.first)
		f.pages = b->pages - f.first;
	f.count = f.pages;
	return f;
}

/* Extents that do not agree with the seal, side by side. */
static void tell_changed(struct verify *v, const struct verify_block *b,
			 size_t from, size_t to)
{
	struct mr_finding f = extents_finding(v, b, from, to, MR_FINDING_PAGES);

	f.offset = b->pages_offset + f.first * v->page_size;
	f.length = f.pages * v->page_size;
	verify_tell(v, &f, "pages %" PRIu64 "-%" PRIu64 " differ from the seal",
		    f.first, f.first + f.pages - 1);
}

static bool is_changed(const struct verify_extent *x)
{
	return x->changed;
}

/* Extents whose digests of pages are damaged. */
static void tell_bad_table(struct verify *v, const struct verify_block *b,
			   size_t from, size_t to)
{
	struct mr_finding f = extents_finding(v, b, from, to, MR_FINDING_SEAL);

	f.offset =
		v->seal.blocks[b - v->blocks].table + f.first * SEAL_ENTRY_SIZE;
	f.length = f.pages * SEAL_ENTRY_SIZE;
	verify_tell(v, &f,
		    "the seal's digests of pages %" PRIu64 "-%" PRIu64
		    " are damaged",
		    f.first, f.first + f.pages - 1);
}

static bool is_bad_table(const struct verify_extent *x)
{
	return x->bad_table;
}

/* Runs of extents of a kind. */
static void tell_extents(struct verify *v, const struct verify_block *b,
			 bool (*is)(const struct verify_extent *x),
			 void (*tell)(struct verify *v,
				      const struct verify_block *b, size_t from,
				      size_t to))
{
	size_t from = 0;
	bool on = false;

	for (size_t i = 0; i <= b->n_extents; i++) {
		bool yes = i < b->n_extents && is(&b->extents[i]);

		if (yes && !on)
			from = i;
		if (!yes && on)
			tell(v, b, from, i);
		on = yes;
	}
}

/* Data although no bit is set anywhere: nothing would be restored. */
static bool tell_all_clear(struct verify *v)
{
	struct mr_finding f = { .damage = true, .offset = MR_NO_OFFSET };

	if (v->has_seal || v->present || !v->r->stale)
		return false;
	if (!v->info->ended) {
		f.kind = MR_FINDING_INTERRUPTED;
		verify_tell(v, &f,
			    "a save that did not end: no bitmap was "
			    "written");
	} else if (!v->info->ram_ended) {
		f.kind = MR_FINDING_BACKGROUND;
		verify_tell(v, &f,
			    "a background snapshot: it restores to "
			    "empty memory, for no bitmap was written");
	} else {
		f.kind = MR_FINDING_BLANK;
		verify_tell(v, &f,
			    "it restores to empty memory: all bitmaps "
			    "are clear, but there are data");
	}
	return true;
}

/*
 * Data under clear bits are rubbish only if the bitmap is to be believed. One
 * with bits beyond the last page was not written by a QEMU for this memory:
 * together they may as well be pages that a damaged bitmap does not know of. A
 * bitmap of a host with the other byte order need not have such bits, but it
 * fits the pages when its bytes are turned round, and as it is does not.
 */
static void tell_doubt(struct verify *v)
{
	struct mr_finding f = { .kind = MR_FINDING_DOUBTFUL,
				.damage = true,
				.offset = MR_NO_OFFSET };

	if (v->has_seal || !v->present || !v->r->stale)
		return;
	if (v->swapped_words && v->swapped_words >= v->odd_words / 2)
		verify_tell(v, &f,
			    "the bitmaps are those of a host with the other "
			    "byte order: here it restores to the wrong pages");
	else if (v->stray)
		verify_tell(v, &f,
			    "the bitmaps cannot be believed: they have bits "
			    "beyond the last page, and there are data "
			    "under clear bits");
}

int verify_tell_pages(struct verify *v, struct mr_error *err)
{
	struct mr_page_range *list = calloc(MR_FINDING_RANGES, sizeof(*list));
	bool clear;

	if (!list)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	clear = tell_all_clear(v);
	tell_doubt(v);
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];

		tell_extents(v, b, is_changed, tell_changed);
		tell_extents(v, b, is_bad_table, tell_bad_table);
		for (enum verify_odd k = 0; k < VERIFY_ODDS; k++) {
			struct ranges r = { .list = list };

			if (k == VERIFY_STALE && clear)
				continue;
			find_ranges(v, b, k, &r);
			if (r.n)
				tell_ranges(v, b, k, &r);
		}
	}
	free(list);
	return 0;
}
