/* touched_test.c - head, blocks and runs of a record of touched pages. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/touched.h"

static const uint8_t sample[TOUCHED_HEAD_SIZE] = {
	0x8b, 'm', 'r', 't', 'c', 'h', 'd', '\n', /* magic */
	0,    0,   0,	1, /* version */
	0,    1,   0,	0, /* groups of 64 KiB */
	0,    0,   0,	2, /* known by its file */
	0,    0,   0,	3, /* blocks */
	0,    0,   0,	0,   0,	  0,   1,   2, /* runs */
	1,    2,   3,	4,   5,	  6,   7,   8, /* digest */
	9,    10,  11,	12,  13,  14,  15,  16,
};

static struct touched_head head;

static ssize_t decode_head(const uint8_t *buf, size_t len, struct fault *f)
{
	return touched_head_decode(buf, len, &head, f);
}

static void head_sample(void **state)
{
	uint8_t buf[sizeof(sample) + 3] = { 0 }, back[TOUCHED_HEAD_SIZE];

	(void)state;
	memcpy(buf, sample, sizeof(sample));
	check_truncations(decode_head, buf, sizeof(sample), sizeof(buf),
			  sizeof(sample));
	assert_int_equal(head.group_size, 65536);
	assert_int_equal(head.known_by, TOUCHED_BY_FILE);
	assert_int_equal(head.blocks, 3);
	assert_int_equal(head.runs, 0x102);
	assert_memory_equal(head.image, sample + 32, sizeof(head.image));
	assert_int_equal(touched_head_encode(back, &head), sizeof(back));
	assert_memory_equal(back, sample, sizeof(back));
	assert_true(touched_is_head(sample, 8));
	assert_false(touched_is_head(sample, 7));
	assert_false(touched_is_head(sample + 1, 8));
}

static void head_bad(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		enum fault_kind kind;
		size_t fault;
	} cases[] = {
		{ 0, 0x8b6d7274, FAULT_NONE, 0 }, /* magic, as it is */
		{ 4, 0x6368640d, FAULT_BAD, 0 },
		{ 8, 0, FAULT_UNSUPPORTED, 8 },
		{ 8, 2, FAULT_UNSUPPORTED, 8 },
		{ 12, 0, FAULT_BAD, 12 }, /* group size */
		{ 12, 2048, FAULT_BAD, 12 },
		{ 12, 65537, FAULT_BAD, 12 },
		{ 12, 3 << 15, FAULT_BAD, 12 },
		{ 12, 1 << 22, FAULT_BAD, 12 },
		{ 12, 1 << 12, FAULT_NONE, 0 },
		{ 12, 1 << 21, FAULT_NONE, 0 },
		{ 16, 0, FAULT_UNSUPPORTED, 16 }, /* known by */
		{ 16, 1, FAULT_NONE, 0 },
		{ 16, 3, FAULT_UNSUPPORTED, 16 },
		{ 20, TOUCHED_BLOCKS_LIMIT, FAULT_NONE, 0 },
		{ 20, TOUCHED_BLOCKS_LIMIT + 1, FAULT_UNSUPPORTED, 20 },
		{ 24, 1, FAULT_UNSUPPORTED, 24 }, /* runs */
		{ 28, TOUCHED_RUNS_LIMIT, FAULT_NONE, 0 },
		{ 28, TOUCHED_RUNS_LIMIT + 1, FAULT_UNSUPPORTED, 24 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t buf[TOUCHED_HEAD_SIZE];
		struct fault f;

		memcpy(buf, sample, sizeof(buf));
		put_be32(buf + cases[i].at, cases[i].value);
		if (cases[i].kind == FAULT_NONE)
			assert_int_equal(
				decode_exact(decode_head, buf, sizeof(buf), &f),
				sizeof(buf));
		else
			check_fault(decode_head, buf, sizeof(buf),
				    cases[i].kind, cases[i].fault);
	}
}

/* ---- blocks ---- */

static struct touched_block block;

static ssize_t decode_block(const uint8_t *buf, size_t len, struct fault *f)
{
	return touched_block_decode(buf, len, &block, f);
}

static void block_round_trip(void **state)
{
	struct touched_block in = { .name = "pc.ram",
				    .used_length =
					    UINT64_C(0x3132333435363738) };
	uint8_t buf[TOUCHED_BLOCK_MAX];
	size_t n = touched_block_encode(buf, &in);

	(void)state;
	assert_int_equal(n, 7 + 8);
	check_truncations(decode_block, buf, n, n + 5, (ssize_t)n);
	assert_string_equal(block.name, in.name);
	assert_int_equal(block.used_length, in.used_length);
	buf[0] = 0;
	check_fault(decode_block, buf, n, FAULT_BAD, 0);
}

/* ---- runs ---- */

/* Of 16 groups, 1 (which is smaller) and none. */
static struct touched_block blocks[] = { { .name = "a",
					   .used_length = 16 * TOUCHED_GROUP },
					 { .name = "b", .used_length = 4096 },
					 { .name = "c" } };
static struct touched_run run;
/* Groups of each that were named before. */
static uint64_t named;

static ssize_t decode_run(const uint8_t *buf, size_t len, struct fault *f)
{
	const struct touched_head h = { .group_size = TOUCHED_GROUP,
					.blocks = ARRAY_LEN(blocks) };

	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		blocks[i].named = named;
	return touched_run_decode(buf, len, &h, blocks, &run, f);
}

static void run_round_trip(void **state)
{
	const struct touched_run in = { 0, 3, 13 };
	uint8_t buf[TOUCHED_RUN_SIZE];
	size_t n = touched_run_encode(buf, &in);

	(void)state;
	check_truncations(decode_run, buf, n, n, (ssize_t)n);
	assert_int_equal(run.block, 0);
	assert_int_equal(run.first, 3);
	assert_int_equal(run.groups, 13);
}

static void run_bad(void **state)
{
	static const struct {
		struct touched_run run;
		size_t at;
	} cases[] = {
		{ { 3, 0, 1 }, 0 },  { { UINT32_MAX, 0, 1 }, 0 },
		{ { 0, 16, 1 }, 4 }, { { 0, UINT32_MAX, 1 }, 4 },
		{ { 0, 0, 0 }, 8 },  { { 0, 0, 17 }, 8 },
		{ { 0, 15, 2 }, 8 }, { { 0, 15, UINT32_MAX }, 8 },
		{ { 1, 0, 2 }, 8 },  { { 1, 1, 1 }, 4 },
		{ { 2, 0, 1 }, 4 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t buf[TOUCHED_RUN_SIZE];
		size_t n = touched_run_encode(buf, &cases[i].run);

		check_fault(decode_run, buf, n, FAULT_BAD, cases[i].at);
	}
}

/* A block over and over would have the whole image read as often. */
static void run_again(void **state)
{
	const struct touched_run in = { 0, 3, 8 };
	uint8_t buf[TOUCHED_RUN_SIZE];
	size_t n = touched_run_encode(buf, &in);
	struct fault f;

	(void)state;
	named = 8;
	assert_int_equal(decode_exact(decode_run, buf, n, &f), n);
	named = 9;
	check_fault(decode_run, buf, n, FAULT_BAD, 8);
	named = 16;
	check_fault(decode_run, buf, n, FAULT_BAD, 8);
	named = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_sample),
		cmocka_unit_test(head_bad),
		cmocka_unit_test(block_round_trip),
		cmocka_unit_test(run_round_trip),
		cmocka_unit_test(run_bad),
		cmocka_unit_test(run_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
