/*
 * copy_test.c - memory_copy from a memory without a file, and what the sink is
 * given: each page once, data as data and zeros as zeros, however many work;
 * and every failure on the way.
 */
#include "tests/libmr/unit.h"

#include <stdatomic.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/memory/sink.h"

enum { PAGE = 4096, BLOCKS = 3, PAGES = 1600, EXTENT = 1 << 20 };

static const uint64_t lengths[BLOCKS] = { PAGES * PAGE, 3 * PAGE, 300 * PAGE };

/* ---- a memory whose pages are made up ---- */

enum kind { UNTOUCHED, ZERO, DATA };

static enum kind kind_of(size_t block, uint64_t page)
{
	if (page >= 512 && page < 768) /* an extent that was never touched */
		return UNTOUCHED;
	switch ((page * 7 + block) % 11) {
	case 0:
	case 1:
		return UNTOUCHED;
	case 2:
		return ZERO;
	default:
		return DATA;
	}
}

static unsigned char byte_of(size_t block, uint64_t page)
{
	return (unsigned char)(page * 31 + block * 7) | 1;
}

struct fake {
	struct memory memory;
	unsigned char *place; /* block 0 in place, or NULL */
	uint64_t bad_page; /* of block 0: cannot be read; UINT64_MAX: none */
	bool blind; /* touched fails */
	atomic_uint viewed, done, freed;
	atomic_uint taboo; /* pages without a bit that were asked for */
};

static struct fake *fake_of(const struct memory *m)
{
	return (struct fake *)(uintptr_t)m;
}

static int fake_touched(const struct memory *m, const struct memory_block *b,
			uint64_t *bits, struct mr_error *err)
{
	if (fake_of(m)->blind)
		return error_set(err, MR_SYS, MR_NO_OFFSET, "blind");
	for (uint64_t p = 0; p < b->length / PAGE; p++)
		if (kind_of(b->index, p) == DATA ||
		    (kind_of(b->index, p) == ZERO && !m->exact))
			bits_set(bits, p, 1);
	return 0;
}

static int fake_read(const struct memory *m, const struct memory_block *b,
		     const struct memory_run *runs, size_t n,
		     struct mr_error *err)
{
	struct fake *f = fake_of(m);

	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at < runs[i].length; at += PAGE) {
			uint64_t p = (runs[i].offset + at) / PAGE;
			enum kind k = kind_of(b->index, p);

			if (b->index == 0 && p == f->bad_page)
				return error_set(err, MR_SYS, MR_NO_OFFSET,
						 "bad page");
			if (k == UNTOUCHED)
				atomic_fetch_add(&f->taboo, 1);
			memset((char *)runs[i].dest + at,
			       k == DATA ? byte_of(b->index, p) : 0, PAGE);
		}
	return 0;
}

static const void *fake_view(const struct memory *m,
			     const struct memory_block *b, uint64_t offset,
			     size_t length, const uint64_t *touched)
{
	struct fake *f = fake_of(m);

	(void)length;
	(void)touched;
	if (!f->place || b->index)
		return NULL;
	atomic_fetch_add(&f->viewed, 1);
	return f->place + offset;
}

static void fake_view_done(const struct memory *m, const struct memory_block *b,
			   uint64_t offset, size_t length)
{
	(void)b;
	(void)offset;
	(void)length;
	atomic_fetch_add(&fake_of(m)->done, 1);
}

static void fake_free(struct memory *m)
{
	atomic_fetch_add(&fake_of(m)->freed, 1);
}

static const struct memory_ops fake_ops = {
	.touched = fake_touched,
	.read = fake_read,
	.view = fake_view,
	.view_done = fake_view_done,
	.free = fake_free,
};

static void fake_init(struct fake *f)
{
	static const char *const names[] = { "a", "b", "c" };
	struct mr_error err = MR_ERROR_INIT;

	*f = (struct fake){ .bad_page = UINT64_MAX };
	assert_int_equal(memory_init(&f->memory, &fake_ops, PAGE, BLOCKS, &err),
			 0);
	for (size_t i = 0; i < BLOCKS; i++)
		f->memory.blocks[i] = (struct memory_block){
			.name = names[i],
			.length = lengths[i],
			.held = lengths[i],
			.index = i,
		};
	f->memory.n = BLOCKS;
}

/* ---- a sink that remembers ---- */

struct heap {
	struct sink sink;
	bool begun, unwilling; /* put fails */
	unsigned char *memory[BLOCKS]; /* 0xee where nothing was put */
	atomic_uint puts, zeros, hands;
};

static int heap_begin(struct sink *k, const struct memory *m,
		      struct mr_error *err)
{
	struct heap *h = (struct heap *)(void *)k;

	(void)err;
	h->begun = true;
	for (size_t i = 0; i < m->n; i++) {
		h->memory[i] = malloc(m->blocks[i].length);
		assert_non_null(h->memory[i]);
		memset(h->memory[i], 0xee, m->blocks[i].length);
	}
	return 0;
}

static void heap_run(void *arg, uint64_t offset, const unsigned char *bytes,
		     size_t length)
{
	memcpy((unsigned char *)arg + offset, bytes, length);
}

static int heap_put(struct sink *k, const struct sink_hand *hand, size_t block,
		    const struct memory_part *p, struct mr_error *err)
{
	struct heap *h = (struct heap *)(void *)k;

	if (h->unwilling)
		return error_set(err, MR_SYS, MR_NO_OFFSET, "unwilling");
	assert_true(bits_next_set(p->bits, 0, p->pages) < p->pages);
	++*(unsigned *)hand->own;
	atomic_fetch_add(&h->puts, 1);
	memset(h->memory[block] + p->offset, 0, p->pages * p->unit);
	memory_runs(p, 3 * PAGE, heap_run, h->memory[block]);
	return 0;
}

static int heap_zero(struct sink *k, const struct sink_hand *hand, size_t block,
		     uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct heap *h = (struct heap *)(void *)k;

	(void)hand;
	(void)err;
	atomic_fetch_add(&h->zeros, 1);
	memset(h->memory[block] + offset, 0, length);
	return 0;
}

static void heap_let_go(struct sink *k, void *own)
{
	atomic_fetch_add(&((struct heap *)(void *)k)->hands, *(unsigned *)own);
}

static const struct sink_ops heap_ops = {
	.begin = heap_begin,
	.put = heap_put,
	.zero = heap_zero,
	.let_go = heap_let_go,
};

static void heap_init(struct heap *h)
{
	*h = (struct heap){ .sink = { .ops = &heap_ops,
				      .extent = EXTENT,
				      .hand_size = sizeof(unsigned) } };
}

static void heap_drop(struct heap *h)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free(h->memory[i]);
}

static void assert_all_there(const struct heap *h)
{
	for (size_t b = 0; b < BLOCKS; b++)
		for (uint64_t p = 0; p < lengths[b] / PAGE; p++) {
			unsigned char want =
				kind_of(b, p) == DATA ? byte_of(b, p) : 0;
			const unsigned char *is = h->memory[b] + p * PAGE;

			assert_int_equal(is[0], want);
			assert_memory_equal(is, is + 1, PAGE - 1);
		}
}

static uint64_t count(enum kind k)
{
	uint64_t n = 0;

	for (size_t b = 0; b < BLOCKS; b++)
		for (uint64_t p = 0; p < lengths[b] / PAGE; p++)
			n += kind_of(b, p) == k;
	return n * PAGE;
}

/* ---- the tests ---- */

static void all_is_copied(struct fake *f, unsigned jobs)
{
	const struct memory_copy_options o = { .jobs = jobs };
	struct memory_tally t = { 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct heap h;

	heap_init(&h);
	assert_int_equal(memory_copy(&f->memory, &h.sink, &o, &t, &err), 0);
	assert_true(h.begun);
	assert_all_there(&h);
	assert_int_equal(f->taboo, 0);
	assert_int_equal(h.puts + h.zeros, 7 + 1 + 2);
	assert_int_equal(h.puts, h.hands);
	assert_int_equal(f->viewed, f->done);
	assert_int_equal(t.data, count(DATA));
	assert_int_equal(t.zero, f->memory.exact ? 0 : count(ZERO));
	assert_int_equal(t.scanned, t.data + t.zero);
	assert_int_equal(t.untouched + t.scanned,
			 lengths[0] + lengths[1] + lengths[2]);
	assert_in_range(t.jobs, 1, jobs);
	heap_drop(&h);
}

static void pages_are_read(void **state)
{
	static const unsigned jobs[] = { 1, 2, 8, 64 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		struct fake f;

		fake_init(&f);
		f.memory.exact = i % 2;
		all_is_copied(&f, jobs[i]);
		assert_int_equal(f.viewed, 0);
		memory_free(&f.memory);
		assert_int_equal(f.freed, 1);
	}
}

/* In place: what was not touched holds junk, and nobody looks at it. */
static void pages_in_place(void **state)
{
	unsigned char *place = malloc(lengths[0]);

	(void)state;
	assert_non_null(place);
	for (uint64_t p = 0; p < PAGES; p++)
		memset(place + p * PAGE,
		       kind_of(0, p) == DATA   ? byte_of(0, p)
		       : kind_of(0, p) == ZERO ? 0
					       : 0xdd,
		       PAGE);
	for (unsigned jobs = 1; jobs <= 8; jobs *= 8) {
		struct fake f;

		fake_init(&f);
		f.place = place;
		all_is_copied(&f, jobs);
		/* One of the seven extents was never touched. */
		assert_int_equal(f.viewed, 6);
		memory_free(&f.memory);
	}
	free(place);
}

static void failures(void **state)
{
	static const char *const text[] = { "blind", "bad page", "unwilling" };
	const struct memory_copy_options o = { .jobs = 2 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		struct memory_tally t = { 0 };
		struct mr_error err = MR_ERROR_INIT;
		struct fake f;
		struct heap h;

		fake_init(&f);
		heap_init(&h);
		f.blind = i == 0;
		f.bad_page = i == 1 ? 1400 : UINT64_MAX;
		h.unwilling = i == 2;
		assert_int_equal(kind_of(0, 1400), DATA);
		assert_int_equal(memory_copy(&f.memory, &h.sink, &o, &t, &err),
				 -1);
		assert_string_equal(err.msg, text[i]);
		memory_free(&f.memory);
		heap_drop(&h);
	}
}

/* Parts of a block, in pages of another size. */
/* A page of `unit` bytes, or one of those in it. */
static bool is_touched(uint64_t page, size_t unit)
{
	uint64_t from = page * unit / PAGE, to = ((page + 1) * unit - 1) / PAGE;

	while (from <= to && kind_of(2, from) == UNTOUCHED)
		from++;
	return from <= to;
}

static void touched_in_other_pages(void **state)
{
	static const size_t units[] = { PAGE, 2048, 1024, 8192, 16384 };
	struct mr_error err = MR_ERROR_INIT;
	struct fake f;

	(void)state;
	fake_init(&f);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t all = lengths[2] / units[i];

		for (uint64_t first = 0; first < all; first += 64) {
			uint64_t bits[1200 / 64 + 1] = { 0 }, n = all - first;

			n = first % 128 ? n : n / 2 + 1;
			assert_int_equal(
				memory_touched(&f.memory, &f.memory.blocks[2],
					       units[i], first, n, bits, &err),
				0);
			for (uint64_t p = 0; p < n; p++)
				assert_int_equal(
					bits_test(bits, p),
					is_touched(first + p, units[i]));
			assert_int_equal(
				bits_next_set(bits, n, sizeof(bits) * 8),
				sizeof(bits) * 8);
		}
	}
	memory_free(&f.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_read),
		cmocka_unit_test(pages_in_place),
		cmocka_unit_test(failures),
		cmocka_unit_test(touched_in_other_pages),
	};

	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
