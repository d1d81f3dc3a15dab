/* printk_test.c - a kernel's messages: the ring, and the log before it. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/printk.h"

/* As in Linux 6.1. */
static const struct printk_ring_shape ring_shape = { {
	[PRINTK_RING_SIZE] = 88,
	[PRINTK_RING_DESC_RING] = 0,
	[PRINTK_RING_DATA_RING] = 48,
	[PRINTK_DESC_RING_SIZE] = 48,
	[PRINTK_DESC_RING_COUNT_BITS] = 0,
	[PRINTK_DESC_RING_DESCS] = 8,
	[PRINTK_DESC_RING_INFOS] = 16,
	[PRINTK_DESC_RING_HEAD_ID] = 24,
	[PRINTK_DESC_RING_TAIL_ID] = 32,
	[PRINTK_DESC_SIZE] = 24,
	[PRINTK_DESC_STATE_VAR] = 0,
	[PRINTK_DESC_TEXT] = 8,
	[PRINTK_LPOS_SIZE] = 16,
	[PRINTK_LPOS_BEGIN] = 0,
	[PRINTK_LPOS_NEXT] = 8,
	[PRINTK_INFO_SIZE] = 88,
	[PRINTK_INFO_SEQ] = 0,
	[PRINTK_INFO_TS_NSEC] = 8,
	[PRINTK_INFO_TEXT_LEN] = 16,
	[PRINTK_DATA_RING_SIZE] = 32,
	[PRINTK_DATA_RING_SIZE_BITS] = 0,
	[PRINTK_DATA_RING_DATA] = 8,
	[PRINTK_LONG_SIZE] = 8,
	[PRINTK_LONG_COUNTER] = 0,
} };

static void test_ring_shape(void **state)
{
	/* Keys that may not grow by one. */
	static const enum printk_ring_key full[] = { PRINTK_DESC_TEXT,
						     PRINTK_LPOS_NEXT,
						     PRINTK_LONG_COUNTER };
	struct printk_ring_shape s = ring_shape;
	struct fault f;

	(void)state;
	assert_int_equal(printk_ring_check(&s, &f), 0);
	for (unsigned i = 0; i < PRINTK_RING_KEYS; i++) {
		assert_non_null(printk_ring_keys[i]);
		s.of[i] = UINT64_MAX - 3;
		assert_int_equal(printk_ring_check(&s, &f), -1);
		assert_int_equal(f.kind, FAULT_BAD);
		assert_true(f.at < PRINTK_RING_KEYS);
		s.of[i] = ring_shape.of[i];
	}
	for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
		s.of[full[i]]++;
		assert_int_equal(printk_ring_check(&s, &f), -1);
		s.of[full[i]]--;
	}
	s.of[PRINTK_RING_SIZE] = 79;
	assert_int_equal(printk_ring_check(&s, &f), -1);
	s.of[PRINTK_RING_SIZE] = 4097;
	assert_int_equal(printk_ring_check(&s, &f), -1);
}

static void put_ring(uint8_t buf[88], uint32_t count_bits, uint32_t size_bits,
		     uint64_t tail, uint64_t head)
{
	memset(buf, 0, 88);
	put_le32(buf, count_bits);
	put_le64(buf + 8, 0xffffffff81000000);
	put_le64(buf + 16, 0xffffffff82000000);
	put_le64(buf + 24, head);
	put_le64(buf + 32, tail);
	put_le32(buf + 48, size_bits);
	put_le64(buf + 56, 0xffffffff83000000);
}

static int bad_ring(uint32_t count_bits, uint32_t size_bits, uint64_t tail,
		    uint64_t head)
{
	struct printk_ring r;
	uint8_t buf[88];
	struct fault f;

	put_ring(buf, count_bits, size_bits, tail, head);
	if (printk_ring_decode(&ring_shape, buf, 88, &r, &f) == 88)
		return 0;
	return f.kind == FAULT_BAD;
}

static void test_ring(void **state)
{
	struct printk_ring r;
	uint8_t buf[88];
	struct fault f;

	(void)state;
	put_ring(buf, 12, 17, 100, 4195);
	for (size_t n = 0; n < 88; n++) {
		assert_int_equal(
			printk_ring_decode(&ring_shape, buf, n, &r, &f), -1);
		assert_int_equal(f.kind, FAULT_SHORT);
	}
	assert_int_equal(printk_ring_decode(&ring_shape, buf, 88, &r, &f), 88);
	assert_int_equal(r.records, 4096);
	assert_int_equal(r.size, 131072);
	assert_int_equal(r.descs, 0xffffffff81000000);
	assert_int_equal(r.infos, 0xffffffff82000000);
	assert_int_equal(r.data, 0xffffffff83000000);
	assert_int_equal(r.ids, 4096);
	/* One id more than there are; round the end of the numbers. */
	assert_true(bad_ring(12, 17, 100, 4196));
	assert_false(bad_ring(2, 17, (UINT64_MAX >> 2) - 1, 1));
	assert_true(bad_ring(2, 17, (UINT64_MAX >> 2) - 1, 3));
	assert_true(bad_ring(2, 17, 5, 4));
	/* Larger than anybody has. */
	assert_true(bad_ring(32, 17, 0, 0));
	assert_true(bad_ring(12, 32, 0, 0));
	assert_true(bad_ring(UINT32_MAX, UINT32_MAX, 0, 0));
	assert_true(bad_ring(12, 28, 0, 0));
	assert_false(bad_ring(12, 27, 0, 0));
	assert_true(bad_ring(22, 17, 0, 0));
	assert_false(bad_ring(21, 17, 0, 0));
}

/* A ring of 4 records and 64 bytes; the oldest is 5. */
struct ring {
	struct printk_ring r;
	uint8_t descs[4 * 24], infos[4 * 88], data[64];
};

static void set(struct ring *k, uint64_t id, unsigned how, uint64_t begin,
		uint64_t next, uint32_t len)
{
	uint8_t *d = k->descs + id % 4 * 24, *info = k->infos + id % 4 * 88;

	put_le64(d, (uint64_t)how << 62 | id);
	put_le64(d + 8, begin);
	put_le64(d + 16, next);
	put_le64(info, id + 1000);
	put_le64(info + 8, id * 1000000);
	put_le32(info + 16, len);
}

static void block(struct ring *k, size_t at, uint64_t id, const char *text)
{
	put_le64(k->data + at, id);
	memcpy(k->data + at + 8, text, strlen(text));
}

/* The text of record i, or NULL. */
static const char *get(const struct ring *k, uint64_t i)
{
	static char text[65];
	const struct printk_arrays a = { k->descs, k->infos, k->data };
	struct printk_record r;

	if (!printk_ring_record(&ring_shape, &k->r, &a, i, &r))
		return NULL;
	assert_int_equal(r.seq, k->r.tail_id + i + 1000);
	assert_int_equal(r.ns, (k->r.tail_id + i) * 1000000);
	assert_true(r.text >= k->data && r.len <= 64 &&
		    r.text + r.len <= k->data + 64);
	memcpy(text, r.text, r.len);
	text[r.len] = '\0';
	return text;
}

static void test_records(void **state)
{
	struct ring k = { .r = { .records = 4,
				 .size = 64,
				 .tail_id = 5,
				 .head_id = 8,
				 .ids = 4 } };

	(void)state;
	/* Finalized, committed, over the end, at its start. */
	set(&k, 5, 2, 64 + 8, 64 + 24, 5);
	block(&k, 8, 5, "first");
	set(&k, 6, 1, 64 + 24, 64 + 48, 16);
	block(&k, 24, 6, "second of 16 ...");
	set(&k, 7, 2, 64 + 48, 128 + 8, 0);
	block(&k, 0, 7, "");
	set(&k, 8, 2, 128 + 8, 128 + 24, 3);
	assert_string_equal(get(&k, 0), "first");
	assert_string_equal(get(&k, 1), "second of 16 ...");
	assert_string_equal(get(&k, 2), "");
	/* Its data are another's by now. */
	assert_null(get(&k, 3));
	set(&k, 7, 2, 64 + 48, 128 + 24, 200);
	block(&k, 0, 7, "that went round.");
	assert_string_equal(get(&k, 2), "that went round.");
	/* As newer kernels end a block that just fits. */
	set(&k, 8, 2, 128 + 48, 128 + 64, 8);
	block(&k, 48, 8, "the end.");
	assert_string_equal(get(&k, 3), "the end.");
	/* Being written, or written anew. */
	set(&k, 8, 0, 128 + 48, 128 + 64, 8);
	assert_null(get(&k, 3));
	set(&k, 8, 3, 128 + 48, 128 + 64, 8);
	assert_null(get(&k, 3));
	set(&k, 12, 2, 128 + 48, 128 + 64, 8);
	assert_null(get(&k, 3));
	/* No data: an empty line, one that was lost, and neither. */
	set(&k, 8, 2, 3, 3, 0);
	assert_string_equal(get(&k, 3), "");
	set(&k, 8, 2, 1, 1, 0);
	assert_null(get(&k, 3));
	set(&k, 8, 2, 1, 3, 0);
	assert_null(get(&k, 3));
	/* No blocks: empty, backward, too short, too long. */
	block(&k, 48, 8, "the end.");
	for (unsigned i = 0; i < 8; i++) {
		static const uint64_t ends[][2] = {
			{ 48, 48 },
			{ 48, 40 },
			{ 48, 55 },
			{ 48, 48 + 65 },
			{ 48, 0 },
			{ 48, UINT64_MAX - 1 },
			{ UINT64_MAX - 1, 0 },
			{ 60, 64 + 7 },
		};

		set(&k, 8, 2, ends[i][0], ends[i][1], 8);
		assert_null(get(&k, 3));
	}
}

/* ---- the log ---- */

static const struct printk_log_shape log_shape = { {
	[PRINTK_LOG_SIZE] = 16,
	[PRINTK_LOG_TS_NSEC] = 0,
	[PRINTK_LOG_LEN] = 8,
	[PRINTK_LOG_TEXT_LEN] = 10,
} };

static void test_log_shape(void **state)
{
	struct printk_log_shape s = log_shape;
	struct fault f;

	(void)state;
	assert_int_equal(printk_log_check(&s, &f), 0);
	for (unsigned i = 0; i < PRINTK_LOG_KEYS; i++) {
		assert_non_null(printk_log_keys[i]);
		assert_non_null(printk_log_old_keys[i]);
		s.of[i] = UINT64_MAX;
		assert_int_equal(printk_log_check(&s, &f), -1);
		s.of[i] = log_shape.of[i];
	}
	s.of[PRINTK_LOG_SIZE] = 11;
	assert_int_equal(printk_log_check(&s, &f), -1);
	/* With no room for any, a log would never end. */
	memset(&s, 0, sizeof(s));
	assert_int_equal(printk_log_check(&s, &f), -1);
}

static void put_record(uint8_t *p, uint64_t ns, uint32_t len, uint32_t text)
{
	put_le64(p, ns);
	put_le32(p + 8, len | text << 16);
}

static void test_log(void **state)
{
	static const char older[5] = { 'o', 'l', 'd', 'e', 'r' };
	static const char newer[3] = { 'n', 'e', 'w' };
	uint8_t buf[128] = { 0 };
	struct printk_log_reader r = { .at = 64, .next = 32 };
	struct printk_record m;
	struct fault f;

	(void)state;
	put_record(buf + 64, 7, 24, 5);
	memcpy(buf + 64 + 16, older, sizeof(older));
	put_record(buf, 8, 32, 3);
	memcpy(buf + 16, newer, sizeof(newer));
	assert_int_equal(
		printk_log_next(&log_shape, buf, sizeof(buf), &r, &m, &f), 1);
	assert_int_equal(m.ns, 7);
	assert_int_equal(m.len, 5);
	assert_memory_equal(m.text, "older", 5);
	assert_int_equal(r.at, 88);
	/* Zeros: from the start. */
	assert_int_equal(
		printk_log_next(&log_shape, buf, sizeof(buf), &r, &m, &f), 1);
	assert_int_equal(m.ns, 8);
	assert_memory_equal(m.text, "new", m.len);
	assert_int_equal(
		printk_log_next(&log_shape, buf, sizeof(buf), &r, &m, &f), 0);
	/* The end is the start. */
	r = (struct printk_log_reader){ .at = 64, .next = 0 };
	assert_int_equal(
		printk_log_next(&log_shape, buf, sizeof(buf), &r, &m, &f), 1);
	assert_int_equal(
		printk_log_next(&log_shape, buf, sizeof(buf), &r, &m, &f), 0);
}

/* How many records there are before it says no; they never go on for ever. */
static int count(const uint8_t *buf, size_t len, uint64_t at, uint64_t next)
{
	struct printk_log_reader r = { .at = at, .next = next };
	struct printk_record m;
	struct fault f = { .kind = FAULT_NONE };
	int n = 0, rc;

	while ((rc = printk_log_next(&log_shape, buf, len, &r, &m, &f)) > 0) {
		assert_true(m.text >= buf && m.text + m.len <= buf + len);
		assert_true(++n < 100);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_true(f.at <= len);
	return n;
}

static void test_bad_log(void **state)
{
	uint8_t buf[128] = { 0 };

	(void)state;
	/* Nothing but an end that is never reached. */
	assert_int_equal(count(buf, sizeof(buf), 0, 64), 0);
	assert_int_equal(count(buf, sizeof(buf), 64, 32), 0);
	assert_int_equal(count(buf, sizeof(buf), 128, 64), 0);
	assert_int_equal(count(buf, sizeof(buf), 113, 64), 0);
	assert_int_equal(count(buf, sizeof(buf), UINT32_MAX, 64), 0);
	assert_int_equal(count(buf, 0, 64, 32), 0);
	/* Records up to the end, and round and round. */
	for (size_t i = 0; i < sizeof(buf); i += 16)
		put_record(buf + i, i, 16, 0);
	assert_int_equal(count(buf, sizeof(buf), 0, 40), 2);
	assert_int_equal(count(buf, sizeof(buf), 64, 40), 4);
	memset(buf + 112, 0, 16);
	assert_int_equal(count(buf, sizeof(buf), 64, 40), 5);
	assert_int_equal(count(buf, sizeof(buf), 64, 1000), 3);
	/* Lengths that are none. */
	put_record(buf, 0, 15, 0);
	assert_int_equal(count(buf, sizeof(buf), 0, 64), 0);
	put_record(buf, 0, 65535, 0);
	assert_int_equal(count(buf, sizeof(buf), 0, 64), 0);
	put_record(buf, 0, 32, 17);
	assert_int_equal(count(buf, sizeof(buf), 0, 64), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_shape),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_log_shape),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_bad_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
