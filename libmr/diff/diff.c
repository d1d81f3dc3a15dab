/* diff.c - the verb mr_diff: what two memories have in common. */
#include "formats/bits.h"
#include "libmr/diff/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/names.h"
#include "libmr/base/watch.h"
#include "libmr/base/zeros.h"

/* ---- blocks, matched by name ---- */

static int sort_names(struct names *x, const struct memory *m)
{
	return names_make(x, &m->blocks->name, sizeof(*m->blocks), m->n);
}

static const struct memory_block *find(const struct names *x,
				       const struct memory *m, const char *name)
{
	size_t i = names_find(x, name);

	return i == NAMES_NONE ? NULL : &m->blocks[i];
}

static void add_block(struct mr_diff *d, const struct memory_block *a,
		      const struct memory_block *b)
{
	const struct memory_block *v[MR_SIDES] = { a, b };
	struct mr_diff_block *out = &d->blocks[d->info.n_blocks];
	struct diff_block *w = &d->work[d->info.n_blocks++];

	out->name = a ? a->name : b->name;
	for (int i = 0; i < MR_SIDES; i++) {
		if (!v[i])
			continue;
		w->of[i] = v[i];
		out->of[i].listed = true;
		out->of[i].in_file = v[i]->held != 0;
		out->of[i].length = v[i]->length;
	}
	if (!a || !b || !a->held || !b->held)
		return;
	out->compared = a->length < b->length ? a->length : b->length;
}

static void choose_page(struct mr_diff *d, const struct memory *a,
			const struct memory *b)
{
	size_t x = memory_unit(a), y = memory_unit(b);

	d->info.page_size = (uint32_t)(x < y ? x : y);
	d->info.page_size_known = a->target_page && b->target_page;
}

static int match_blocks(struct mr_diff *d, struct mr_error *err)
{
	const struct memory *m[MR_SIDES] = { d->side[MR_A]->memory,
					     d->side[MR_B]->memory };
	struct names x[MR_SIDES] = { { 0 } };
	size_t n = m[MR_A]->n + m[MR_B]->n;
	int rc = -1;

	d->blocks = calloc(n + 1, sizeof(*d->blocks));
	d->work = calloc(n + 1, sizeof(*d->work));
	if (!d->blocks || !d->work || sort_names(&x[MR_A], m[MR_A]) ||
	    sort_names(&x[MR_B], m[MR_B])) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	d->info.blocks = d->blocks;
	for (size_t i = 0; i < m[MR_A]->n; i++) {
		const struct memory_block *a = &m[MR_A]->blocks[i];

		add_block(d, a, find(&x[MR_B], m[MR_B], a->name));
	}
	for (size_t i = 0; i < m[MR_B]->n; i++) {
		const struct memory_block *b = &m[MR_B]->blocks[i];

		if (names_find(&x[MR_A], b->name) == NAMES_NONE)
			add_block(d, NULL, b);
	}
	choose_page(d, m[MR_A], m[MR_B]);
	rc = 0;
out:
	names_free(&x[MR_A]);
	names_free(&x[MR_B]);
	return rc;
}

/* ---- `only` ---- */

static struct mr_diff_block *find_block(struct mr_diff *d, const char *name,
					size_t len)
{
	for (size_t i = 0; i < d->info.n_blocks; i++) {
		const char *has = d->blocks[i].name;

		assert(has);
		if (!strncmp(has, name, len) && !has[len])
			return &d->blocks[i];
	}
	return NULL;
}

/* Names may have colons in them: the whole text may be one. */
static struct mr_diff_block *parse_only(struct mr_diff *d, uint64_t *offset,
					uint64_t *length, struct mr_error *err)
{
	const char *text = d->options.only, *colon = strrchr(text, ':');
	struct mr_diff_block *b = find_block(d, text, strlen(text));

	*offset = 0;
	*length = UINT64_MAX;
	if (b)
		return b;
	b = colon ? find_block(d, text, (size_t)(colon - text)) : NULL;
	if (!b) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"there is no RAM block for \"%.100s\"", text);
		return NULL;
	}
	d->ranged = true;
	if (mr_parse_range(colon + 1, offset, length)) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"\"%.100s\" is not BLOCK:OFFSET+LENGTH", text);
		return NULL;
	}
	if (!*length)
		*length = 1; /* the page that it is in */
	if (*offset >= b->compared) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"\"%.100s\" lies outside of what the two have "
				"of this block",
				text);
		return NULL;
	}
	return b;
}

/* Whole pages, that `only` touches. */
static int apply_only(struct mr_diff *d, struct mr_error *err)
{
	uint64_t unit = d->info.page_size, offset, length, end;
	struct mr_diff_block *b = parse_only(d, &offset, &length, err);

	if (!b)
		return -1;
	end = length > b->compared - offset ? b->compared : offset + length;
	offset -= offset % unit;
	if (end % unit)
		end += unit - end % unit;
	b->offset = offset;
	b->compared = end - offset;
	d->work[0] = d->work[b - d->blocks];
	d->blocks[0] = *b;
	d->info.n_blocks = 1;
	return 0;
}

/* ---- maps ---- */

static uint64_t *new_map(uint64_t pages, struct mr_error *err)
{
	uint64_t *map = zeros_new(bits_size(pages));

	if (!map)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for the map of %" PRIu64 " pages",
				pages);
	return map;
}

static int make_maps(struct mr_diff *d, size_t i, struct mr_error *err)
{
	size_t unit = d->info.page_size;
	const struct mr_diff_block *b = &d->blocks[i];
	struct diff_block *w = &d->work[i];

	if (!b->compared)
		return 0;
	if (b->compared % unit)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "block \"%.64s\" has %" PRIu64 " bytes, which "
				 "are no whole pages",
				 b->name, b->compared);
	w->pages = b->compared / unit;
	w->length = b->compared;
	w->first = b->offset / unit;
	w->differ = new_map(w->pages, err);
	if (!w->differ)
		return -1;
	for (int k = 0; k < MR_SIDES; k++) {
		w->bits[k] = new_map(w->pages, err);
		if (!w->bits[k] ||
		    memory_touched(d->side[k]->memory, w->of[k], unit, w->first,
				   w->pages, w->bits[k], err))
			return -1;
	}
	return 0;
}

/* ---- the verb ---- */

static void sum_up(struct mr_diff *d)
{
	d->info.same = true;
	for (size_t i = 0; i < d->info.n_blocks; i++) {
		struct mr_diff_block *b = &d->blocks[i];
		struct diff_block *w = &d->work[i];
		uint64_t *n = b->pages;

		mr_diff_count(d, i, w->first, w->pages, n);
		b->same = b->of[MR_A].listed && b->of[MR_B].listed &&
			  b->of[MR_A].in_file == b->of[MR_B].in_file &&
			  (d->ranged ||
			   b->of[MR_A].length == b->of[MR_B].length) &&
			  n[MR_DIFF_ZERO] + n[MR_DIFF_EQUAL] == w->pages;
		d->info.same &= b->same;
		for (int c = 0; c < MR_DIFF_CLASSES; c++)
			d->info.pages[c] += n[c];
	}
	for (size_t i = 0; i < d->info.n_sections; i++)
		d->info.same &= d->sections[i].same;
	if (d->info.has_sections && d->info.of[MR_A].machine[0] &&
	    d->info.of[MR_B].machine[0])
		d->info.same &= !strcmp(d->info.of[MR_A].machine,
					d->info.of[MR_B].machine);
}

static int open_sides(struct mr_diff *d, const char *path[MR_SIDES],
		      struct mr_error *err)
{
	const struct mr_ram_options o = { .direct = d->options.direct,
					  .pid = d->options.pid,
					  .devices = !d->options.memory_only,
					  .watch = d->options.watch };

	for (unsigned i = 0; i < MR_SIDES; i++) {
		d->side[i] = ram_open(path[i], i + 1, true, &o, err);
		if (!d->side[i])
			return -1;
		d->info.of[i].is_vm = d->side[i]->info.is_vm;
		memcpy(d->info.of[i].machine, d->side[i]->info.machine,
		       sizeof(d->info.of[i].machine));
	}
	return 0;
}

static bool is_cancelled(const struct mr_diff *d, struct mr_error *err)
{
	const atomic_bool *cancel = d->options.watch.cancel;

	if (!cancel || !atomic_load(cancel))
		return false;
	(void)error_set(err, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
	return true;
}

static int compare(struct mr_diff *d, struct mr_error *err)
{
	uint64_t total = 0;

	if (match_blocks(d, err) || (d->options.only && apply_only(d, err)))
		return -1;
	for (size_t i = 0; i < d->info.n_blocks; i++)
		total += d->blocks[i].compared;
	if (total > MR_MEMORY_MAX)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 MR_MEMORY_MAX_TEXT);
	for (size_t i = 0; i < d->info.n_blocks; i++)
		if (is_cancelled(d, err) || make_maps(d, i, err))
			return -1;
	if (diff_pages(d, err))
		return -1;
	if (!d->options.memory_only && diff_devices(d, err))
		return -1;
	for (int i = 0; i < MR_SIDES; i++)
		if (mr_ram_still(d->side[i], err))
			return -1;
	return 0;
}

struct mr_diff *mr_diff(const char *a, const char *b,
			const struct mr_diff_options *options,
			struct mr_error *err)
{
	const char *path[MR_SIDES] = { a, b };
	struct mr_diff *d = calloc(1, sizeof(*d));
	double begin = watch_clock();

	if (!d) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	d->options = *options;
	if (options->only)
		d->options.memory_only = true;
	if (open_sides(d, path, err) || compare(d, err)) {
		mr_diff_free(d);
		return NULL;
	}
	sum_up(d);
	d->info.seconds = watch_clock() - begin;
	return d;
}

void mr_diff_free(struct mr_diff *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->info.n_blocks; i++) {
		uint64_t size = bits_size(d->work[i].pages);

		zeros_free(d->work[i].bits[MR_A], size);
		zeros_free(d->work[i].bits[MR_B], size);
		zeros_free(d->work[i].differ, size);
	}
	diff_fields_release(d);
	diff_devices_release(d);
	mr_ram_free(d->side[MR_A]);
	mr_ram_free(d->side[MR_B]);
	free(d->work);
	free(d->blocks);
	free(d);
}

/* ---- the results ---- */

const struct mr_diff_info *mr_diff_info(const struct mr_diff *d)
{
	return &d->info;
}

/* Bits p .. p + n - 1 of a word, n at least 1. */
static uint64_t mask_of(unsigned p, uint64_t n)
{
	return (n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << p;
}

void mr_diff_count(const struct mr_diff *d, size_t block, uint64_t first,
		   uint64_t n, uint64_t pages[MR_DIFF_CLASSES])
{
	const struct diff_block *w = &d->work[block];
	uint64_t at = first < w->first ? 0 : first - w->first;
	uint64_t end = first + n < w->first ? 0 : first + n - w->first;

	if (end > w->pages)
		end = w->pages;
	while (at < end) {
		uint64_t i = at / 64, left = end - at;
		unsigned p = (unsigned)(at % 64);
		uint64_t some = left < 64 - p ? left : 64 - p;
		uint64_t m = mask_of(p, some), differ = w->differ[i] & m;
		uint64_t a = w->bits[MR_A][i] & m, b = w->bits[MR_B][i] & m;

		pages[MR_DIFF_ZERO] += some - bits_weight(a | b);
		pages[MR_DIFF_EQUAL] += bits_weight(a & b & ~differ);
		pages[MR_DIFF_CHANGED] += bits_weight(a & b & differ);
		pages[MR_DIFF_ONLY_A] += bits_weight(a & ~b);
		pages[MR_DIFF_ONLY_B] += bits_weight(b & ~a);
		at += some;
	}
}

static enum mr_diff_class class_of(const struct diff_block *w, uint64_t page)
{
	if (!bits_test(w->bits[MR_A], page))
		return MR_DIFF_ONLY_B;
	return bits_test(w->bits[MR_B], page) ? MR_DIFF_CHANGED
					      : MR_DIFF_ONLY_A;
}

uint64_t mr_diff_next(const struct mr_diff *d, size_t block, uint64_t *first,
		      enum mr_diff_class *what)
{
	const struct diff_block *w = &d->work[block];
	uint64_t p = *first < w->first ? 0 : *first - w->first, q;

	if (p >= w->pages)
		return 0;
	p = bits_next_set(w->differ, p, w->pages);
	if (p == w->pages)
		return 0;
	*what = class_of(w, p);
	for (q = p + 1; q < w->pages && bits_test(w->differ, q) &&
			class_of(w, q) == *what;)
		q++;
	*first = w->first + p;
	return q - p;
}

int mr_diff_page(const struct mr_diff *d, size_t block, uint64_t page,
		 enum mr_side side, void *buf, struct mr_error *err)
{
	const struct diff_block *w = &d->work[block];
	const struct memory *m = d->side[side]->memory;
	size_t unit = d->info.page_size;
	struct memory_run run = { .offset = page * unit,
				  .length = unit,
				  .dest = buf };

	if (page < w->first || page - w->first >= w->pages)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "page %" PRIu64
				 " of \"%.64s\" was not compared",
				 page, d->blocks[block].name);
	memset(buf, 0, unit);
	if (!bits_test(w->bits[side], page - w->first))
		return 0;
	/* It was read before, but not kept: it has to be of that moment. */
	return memory_read(m, w->of[side], &run, 1, err) ||
			       mr_ram_still(d->side[side], err)
		       ? -1
		       : 0;
}

const char *mr_diff_class_name(enum mr_diff_class c)
{
	static const char *const name[] = {
		[MR_DIFF_ZERO] = "zero",	[MR_DIFF_EQUAL] = "equal",
		[MR_DIFF_CHANGED] = "changed",	[MR_DIFF_ONLY_A] = "only in A",
		[MR_DIFF_ONLY_B] = "only in B",
	};

	return name[c];
}
