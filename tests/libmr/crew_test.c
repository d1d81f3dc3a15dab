/* crew_test.c - the engine's threads, and the joining of runs. */
#include "tests/libmr/unit.h"

#include "libmr/crew.h"

/* ---- crew_runs ---- */

enum { RUNS_MAX = 512 };

struct run {
	size_t offset, length;
};

struct run_list {
	struct run runs[RUNS_MAX];
	size_t n;
};

static void add_run(void *arg, size_t offset, size_t length)
{
	struct run_list *l = arg;

	assert_in_range(l->n, 0, RUNS_MAX - 1);
	l->runs[l->n++] = (struct run){ offset, length };
}

static bool bit(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The same, in the words of crew.h: stretches of set bits first, then those
 * joined that lie closer than gap. */
static size_t plain_runs(const uint64_t *bits, size_t pages, size_t page_size,
			 size_t gap, struct run_list *l)
{
	size_t set = 0;

	l->n = 0;
	for (size_t i = 0; i < pages; i++) {
		if (!bit(bits, i))
			continue;
		set++;
		if (i && bit(bits, i - 1))
			l->runs[l->n - 1].length += page_size;
		else
			add_run(l, i * page_size, page_size);
	}
	for (size_t i = 1; i < l->n;) {
		struct run *a = &l->runs[i - 1], *b = &l->runs[i];

		if (b->offset - (a->offset + a->length) >= gap) {
			i++;
			continue;
		}
		a->length = b->offset + b->length - a->offset;
		memmove(b, b + 1, (l->n - i - 1) * sizeof(*b));
		l->n--;
	}
	return set;
}

static void compare_runs(const uint64_t *bits, size_t pages, size_t page_size,
			 size_t gap)
{
	struct run_list want = { .n = 0 }, got = { .n = 0 };

	assert_int_equal(crew_runs(bits, pages, page_size, gap, add_run, &got),
			 plain_runs(bits, pages, page_size, gap, &want));
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.runs, want.runs, want.n * sizeof(*want.runs));
}

/* Neighbours are one run whatever the gap: what reads an extent has room for
 * a run on every second page, no more. */
static void runs_join_neighbours(void **state)
{
	uint64_t bits[4] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	struct run_list got = { .n = 0 };

	(void)state;
	assert_int_equal(crew_runs(bits, 256, 4096, 0, add_run, &got), 256);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.runs[0].offset, 0);
	assert_int_equal(got.runs[0].length, 256 * 4096);
}

static void runs_as_plain(void **state)
{
	static const size_t gaps[] = { 0,     1,       4096,	 4097,	  8192,
				       16384, 1000000, SIZE_MAX, CREW_GAP };
	uint64_t seed = 1, bits[8];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t pages = next_random(&seed) % 513;
		unsigned thin = (unsigned)(next_random(&seed) % 5);

		/* from dense to sparse, bits beyond the last page as well */
		for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
			bits[i] = next_random(&seed);
			for (unsigned k = 0; k < thin; k++)
				bits[i] &= next_random(&seed);
			if (next_random(&seed) % 4 == 0)
				bits[i] =
					next_random(&seed) % 2 ? UINT64_MAX : 0;
		}
		for (size_t g = 0; g < ARRAY_LEN(gaps); g++)
			compare_runs(bits, pages, 4096, gaps[g]);
	}
}

/* The most runs that an extent can have fit a slot, for two files at once. */
static void runs_fit_a_slot(void **state)
{
	(void)state;
	for (size_t page = 1024; page <= 65536; page *= 2) {
		size_t pages = crew_extent_size(page) / page;
		size_t skip = CREW_GAP < page ? 1 : CREW_GAP / page;
		uint64_t bits[1024 / 64] = { 0 };
		struct run_list got = { .n = 0 };

		assert_int_equal(crew_extent_size(page) % (64 * page), 0);
		for (size_t i = 0; i < pages; i += 1 + skip)
			bits[i / 64] |= UINT64_C(1) << (i % 64);
		(void)crew_runs(bits, pages, page, CREW_GAP, add_run, &got);
		assert_int_equal(got.n, (pages + skip) / (1 + skip));
		assert_in_range(2 * got.n, 1, CREW_OPS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_join_neighbours),
		cmocka_unit_test(runs_as_plain),
		cmocka_unit_test(runs_fit_a_slot),
	};

	return cmocka_run_group_tests_name("crew", tests, NULL, NULL);
}
