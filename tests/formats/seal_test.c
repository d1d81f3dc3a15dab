/* seal_test.c - head, blocks, end, and where the digests of a seal are. */
#include "tests/formats/unit.h"

#include <stdio.h>

#include "formats/bytes.h"
#include "formats/seal.h"

#define MIB UINT64_C(0x100000)

/* ---- head ---- */

static const uint8_t sample[SEAL_HEAD_SIZE] = {
	0x8b, 'm',  'r',  's', 'e', 'a',  'l', '\n', /* magic */
	0,    0,    0,	  2, /* version */
	0,    0,    0x10, 0, /* page size 4 KiB */
	0,    0x10, 0,	  0, /* extent size 1 MiB */
	0,    0,    4,	  0, /* piece size 1 KiB */
	0,    0,    0,	  2, /* blocks */
	0,    0,    0,	  1, /* flags */
	0,    0,    0,	  0,   0,   0,	  1,   0, /* stream offset */
	0,    0,    0,	  0,   0,   0x51, 0,   0, /* tail offset */
	0,    0,    0,	  0,   0,   0x52, 0,   1, /* seal offset */
	0,    0,    0,	  0,   0,   0x52, 16,  0, /* tables offset */
};

static struct seal_head head;

static ssize_t decode_head(const uint8_t *buf, size_t len, struct fault *f)
{
	return seal_head_decode(buf, len, &head, f);
}

static void check_head(uint32_t version, size_t size)
{
	uint8_t buf[sizeof(sample) + 3] = { 0 }, back[SEAL_HEAD_MAX];

	memcpy(buf, sample, sizeof(sample));
	put_be32(buf + 8, version);
	put_be32(buf + 28, version - 1);
	check_truncations(decode_head, buf, size, sizeof(buf), (ssize_t)size);
	assert_int_equal(head.version, version);
	assert_int_equal(head.flags, version - 1);
	assert_int_equal(head.page_size, 4096);
	assert_int_equal(head.extent_size, MIB);
	assert_int_equal(head.piece_size, 1024);
	assert_int_equal(head.blocks, 2);
	assert_int_equal(head.stream_offset, 0x100);
	assert_int_equal(head.tail_offset, 0x510000);
	assert_int_equal(head.seal_offset, 0x520001);
	assert_int_equal(head.tables_offset, version == 1 ? 0 : 0x521000);
	assert_int_equal(seal_head_size(&head), size);
	assert_int_equal(seal_head_encode(back, &head), size);
	assert_memory_equal(back, buf, size);
}

static void head_sample(void **state)
{
	(void)state;
	check_head(1, 56);
	check_head(2, 64);
	assert_true(seal_is_head(sample, 8));
	assert_false(seal_is_head(sample, 7));
	assert_false(seal_is_head(sample + 1, 8));
}

static void head_bad(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		enum fault_kind kind;
	} cases[] = {
		{ 0, 0x8b6d7274, FAULT_BAD }, /* magic */
		{ 8, 0, FAULT_UNSUPPORTED },
		{ 8, 1, FAULT_BAD }, /* which has no flags */
		{ 8, 3, FAULT_UNSUPPORTED },
		{ 12, 0, FAULT_BAD }, /* page size */
		{ 12, 128, FAULT_BAD },
		{ 12, 4097, FAULT_BAD },
		{ 12, 131072, FAULT_BAD },
		{ 16, 0, FAULT_BAD }, /* extents */
		{ 16, 64 * 4096 / 2, FAULT_BAD },
		{ 16, 3 << 18, FAULT_BAD },
		{ 16, 8 << 20, FAULT_BAD },
		{ 20, 0, FAULT_BAD }, /* pieces */
		{ 20, 128, FAULT_BAD },
		{ 20, 1000, FAULT_BAD },
		{ 20, 1 << 17, FAULT_BAD },
		{ 24, SEAL_BLOCKS_LIMIT + 1, FAULT_UNSUPPORTED },
		{ 24, UINT32_MAX, FAULT_UNSUPPORTED },
		{ 28, 4, FAULT_UNSUPPORTED },
		{ 28, UINT32_MAX, FAULT_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool old = cases[i].value == 1 && cases[i].at == 8;
		uint8_t buf[SEAL_HEAD_SIZE];

		memcpy(buf, sample, sizeof(buf));
		put_be32(buf + cases[i].at, cases[i].value);
		check_fault(decode_head, buf, sizeof(buf), cases[i].kind,
			    old ? 28 : cases[i].at);
	}
}

/* ---- its label ---- */

/* The head with a label behind it; its length. */
static size_t labelled(uint8_t buf[SEAL_HEAD_MAX], const char *maker,
		       const char *name)
{
	struct seal_head h;
	struct fault f;

	assert_int_equal(seal_head_decode(sample, sizeof(sample), &h, &f),
			 sizeof(sample));
	h.flags |= SEAL_LABELED;
	h.label.made = UINT64_C(0x0102030405060708);
	for (uint8_t i = 0; i < 16; i++)
		h.label.uuid[i] = (uint8_t)(0xf0 + i);
	(void)snprintf(h.label.maker, sizeof(h.label.maker), "%s", maker);
	(void)snprintf(h.label.name, sizeof(h.label.name), "%s", name);
	assert_int_equal(seal_head_encode(buf, &h), seal_head_size(&h));
	return seal_head_size(&h);
}

static void head_label(void **state)
{
	static const char *const texts[] = { "", "x", "web1 \xc3\xa4" };
	uint8_t buf[SEAL_HEAD_MAX + 3] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
			size_t n = labelled(buf, texts[i], texts[k]);

			assert_int_equal(n, 64 + 26 + strlen(texts[i]) +
						    strlen(texts[k]));
			check_truncations(decode_head, buf, n, n + 3,
					  (ssize_t)n);
			assert_int_equal(head.flags, 3);
			assert_int_equal(head.label.made,
					 UINT64_C(0x0102030405060708));
			assert_memory_equal(buf + 64 + 8, head.label.uuid, 16);
			assert_int_equal(head.label.uuid[15], 0xff);
			assert_string_equal(head.label.maker, texts[i]);
			assert_string_equal(head.label.name, texts[k]);
		}
}

static void head_label_bad(void **state)
{
	uint8_t buf[SEAL_HEAD_MAX];
	size_t n = labelled(buf, "mrtools", "web1");

	(void)state;
	buf[n - 1] = '\n';
	check_fault(decode_head, buf, n, FAULT_BAD, n - 4);
	buf[n - 1] = '1';
	buf[64 + 25] = 0x1b;
	check_fault(decode_head, buf, n, FAULT_BAD, 64 + 25);
	buf[64 + 25] = 'm';
	buf[64 + 24] = 200;
	check_fault(decode_head, buf, n, FAULT_SHORT, n);
}

static void head_label_longest(void **state)
{
	char longest[NAME_SIZE];
	uint8_t buf[SEAL_HEAD_MAX];

	(void)state;
	memset(longest, 'n', NAME_MAX_LEN);
	longest[NAME_MAX_LEN] = '\0';
	assert_int_equal(labelled(buf, longest, longest), SEAL_HEAD_MAX);
}

/* ---- blocks ---- */

static struct seal_block block;

static ssize_t decode_block(const uint8_t *buf, size_t len, struct fault *f)
{
	return seal_block_decode(buf, len, &block, f);
}

static void block_round_trip(void **state)
{
	struct seal_block in = {
		.name = "pc.ram",
		.header_end = UINT64_C(0x0102030405060708),
		.bitmap_offset = UINT64_C(0x1112131415161718),
		.pages_offset = UINT64_C(0x2122232425262728),
		.used_length = UINT64_C(0x3132333435363738),
		.extents = UINT64_C(0x4142434445464748),
	};
	uint8_t buf[SEAL_BLOCK_MAX];
	size_t n = seal_block_encode(buf, &in);

	(void)state;
	assert_int_equal(n, 7 + 40);
	check_truncations(decode_block, buf, n, n + 5, (ssize_t)n);
	assert_string_equal(block.name, in.name);
	assert_int_equal(block.header_end, in.header_end);
	assert_int_equal(block.bitmap_offset, in.bitmap_offset);
	assert_int_equal(block.pages_offset, in.pages_offset);
	assert_int_equal(block.used_length, in.used_length);
	assert_int_equal(block.extents, in.extents);
	buf[0] = 0;
	check_fault(decode_block, buf, n, FAULT_BAD, 0);
}

static void block_longest(void **state)
{
	struct seal_block in = { .used_length = 1 };
	uint8_t buf[SEAL_BLOCK_MAX];

	(void)state;
	memset(in.name, 'n', NAME_MAX_LEN);
	assert_int_equal(seal_block_encode(buf, &in), SEAL_BLOCK_MAX);
	assert_int_equal(decode_block(buf, sizeof(buf), &(struct fault){ 0 }),
			 SEAL_BLOCK_MAX);
	assert_string_equal(block.name, in.name);
}

/* ---- places ---- */

/* A libvirt-like file: front, a block of 3 MiB + 4 KiB, one left out, one of
 * 64 KiB, tail, seal. */
static const struct seal_head good_head = {
	.version = 2,
	.page_size = 4096,
	.extent_size = MIB,
	.piece_size = 1024,
	.blocks = 3,
	.stream_offset = 1500,
	.tail_offset = 5 * MIB + 0x10000,
	.seal_offset = 5 * MIB + 0x10000 + 1025,
	.tables_offset = 5 * MIB + 0x10000 + 8192,
};
static const struct seal_block good_blocks[3] = {
	{ .name = "a",
	  .header_end = 1600,
	  .bitmap_offset = 1600,
	  .pages_offset = MIB,
	  .used_length = 3 * MIB + 4096,
	  .extents = 2 },
	{ .name = "bb",
	  .header_end = 4 * MIB + 4096 + 40,
	  .used_length = 1 << 30 },
	{ .name = "c",
	  .header_end = 4 * MIB + 4096 + 80,
	  .bitmap_offset = 4 * MIB + 4096 + 88,
	  .pages_offset = 5 * MIB,
	  .used_length = 0x10000,
	  .extents = 1 },
};

static void check_good(uint32_t version, uint64_t at)
{
	struct seal_head h = good_head;
	struct seal_block b[3];
	struct seal_places p;
	struct fault f;

	h.version = version;
	memcpy(b, good_blocks, sizeof(b));
	assert_int_equal(seal_arrange(&h, b, &p, &f), 0);
	assert_int_equal(p.tables_end, at);
	assert_int_equal(p.front, at);
	at += 2 * 16; /* 1500 bytes */
	assert_int_equal(b[0].header_start, 1500);
	assert_int_equal(b[0].bitmap_size, 13 * 8);
	assert_int_equal(b[0].n_extents, 4);
	assert_int_equal(b[0].header_digests, at);
	assert_int_equal(b[0].bitmap_digests, at + 16);
	assert_int_equal(b[0].words, at + 32);
	assert_int_equal(b[0].extent_digests, at + 40);
	at += 40 + 2 * 16;
	assert_int_equal(b[1].header_start, 4 * MIB + 4096);
	assert_int_equal(b[1].bitmap_size, 0);
	assert_int_equal(b[1].n_extents, 0);
	assert_int_equal(b[1].table, 0);
	assert_int_equal(b[1].header_digests, at);
	assert_int_equal(b[1].bitmap_digests, at + 16);
	assert_int_equal(b[1].words, at + 16);
	assert_int_equal(b[1].extent_digests, at + 16);
	at += 16;
	assert_int_equal(b[2].header_start, 4 * MIB + 4096 + 40);
	assert_int_equal(b[2].bitmap_size, 8);
	assert_int_equal(b[2].n_extents, 1);
	assert_int_equal(b[2].header_digests, at);
	at += 16 + 16 + 8 + 16;
	assert_int_equal(p.tail, at);
	assert_int_equal(p.length, at + 2 * 16 + 32);
	if (version == 1) {
		assert_int_equal(p.tables, p.tables_end);
		assert_int_equal(b[0].table, 0);
		assert_int_equal(b[2].table, 0);
		return;
	}
	assert_int_equal(p.tables, 8192 - 1025);
	assert_int_equal(b[0].table, h.tables_offset);
	assert_int_equal(b[2].table, h.tables_offset + (768 + 1) * 8);
	assert_int_equal(seal_tables_offset(&h, b), 5 * MIB + 0x10000 + 4096);
}

static void arrange_good(void **state)
{
	const uint64_t names = (2 + 40) + (3 + 40) + (2 + 40);

	(void)state;
	check_good(1, 56 + names);
	check_good(2, 8192 - 1025 + (768 + 1 + 16) * 8);
}

/* Tables come behind a label, too. */
static void arrange_labelled(void **state)
{
	struct seal_head h = good_head;
	struct seal_block b[3];
	struct seal_places p;
	struct fault f;

	(void)state;
	memcpy(b, good_blocks, sizeof(b));
	h.tables_offset = h.seal_offset + 64 + 42 + 43 + 42;
	assert_int_equal(seal_arrange(&h, b, &p, &f), 0);
	h.flags = SEAL_LABELED;
	h.tables_offset += 25;
	assert_int_equal(seal_arrange(&h, b, &p, &f), -1);
	assert_int_equal(f.at, 56);
	h.tables_offset++;
	assert_int_equal(seal_arrange(&h, b, &p, &f), 0);
}

static int arrange(const struct seal_head *h, const struct seal_block *blocks)
{
	struct seal_block b[3];
	struct seal_places p;
	struct fault f = { .kind = FAULT_NONE };
	int rc;

	memcpy(b, blocks, sizeof(b));
	rc = seal_arrange(h, b, &p, &f);
	assert_int_equal(rc != 0, f.kind != FAULT_NONE);
	return rc;
}

struct bad_field {
	size_t block; /* 3: the head */
	size_t field;
	uint64_t value;
};

/* What stands there already, no digests, no front, a tail of exabytes. */
static bool harmless(const struct bad_field *c, const uint8_t *now, uint64_t v)
{
	bool in_head = c->block == 3;

	if (!memcmp(now, &v, sizeof(v)))
		return true;
	/* As far away as can be, for tables. */
	if (in_head && c->field == offsetof(struct seal_head, tables_offset))
		return v == INT64_MAX;
	if (in_head)
		return !v &&
		       c->field == offsetof(struct seal_head, stream_offset);
	return !v && c->field == offsetof(struct seal_block, extents);
}

/* Each field too small, too large, and far too large: nothing may overlap,
 * nothing may wrap. */
static void arrange_bad(void **state)
{
	static const uint64_t far[] = { 0, INT64_MAX, UINT64_MAX,
					UINT64_MAX - 4095,
					INT64_MAX + UINT64_C(1) };
	static const struct bad_field cases[] = {
#define HEAD(field, value) { 3, offsetof(struct seal_head, field), value }
#define BLOCK(n, field, value)                               \
	{                                                    \
		n, offsetof(struct seal_block, field), value \
	}
		HEAD(stream_offset, 1600),
		HEAD(tail_offset, 5 * MIB + 0x10001),
		HEAD(tail_offset, 5 * MIB + 0xffff),
		HEAD(seal_offset, 5 * MIB + 0xffff),
		HEAD(seal_offset, 5 * MIB + 0x10000 + 8192 - 190),
		HEAD(tables_offset, 5 * MIB + 0x10000 + 1025 + 190),
		BLOCK(0, header_end, 1500),
		BLOCK(0, header_end, 1601),
		BLOCK(0, bitmap_offset, 1599),
		BLOCK(0, bitmap_offset, MIB - 103),
		BLOCK(0, pages_offset, 1600 + 103),
		BLOCK(0, pages_offset, MIB + 41),
		BLOCK(0, used_length, 3 * MIB + 4095),
		BLOCK(0, used_length, 3 * MIB + 8192),
		BLOCK(0, extents, 5),
		BLOCK(1, header_end, 4 * MIB + 4096),
		BLOCK(1, bitmap_offset, 4 * MIB + 4096 + 40),
		BLOCK(1, pages_offset, 5 * MIB),
		BLOCK(1, extents, 1),
		BLOCK(2, header_end, 4 * MIB + 4096 + 40),
		BLOCK(2, pages_offset, 5 * MIB + 4096),
		BLOCK(2, used_length, 0x11000),
	};

	(void)state;
	assert_int_equal(arrange(&good_head, good_blocks), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t k = 0; k <= ARRAY_LEN(far); k++) {
			struct seal_head h = good_head;
			struct seal_block b[3];
			uint64_t v =
				k < ARRAY_LEN(far) ? far[k] : cases[i].value;
			uint8_t *field;

			memcpy(b, good_blocks, sizeof(b));
			field = cases[i].block == 3
					? (uint8_t *)&h
					: (uint8_t *)&b[cases[i].block];
			field += cases[i].field;
			if (harmless(&cases[i], field, v))
				continue;
			memcpy(field, &v, sizeof(v));
			assert_int_equal(arrange(&h, b), -1);
		}
}

static void arrange_empty(void **state)
{
	struct seal_head h = { .version = SEAL_VERSION_1,
			       .page_size = 65536,
			       .extent_size = SEAL_EXTENT_MAX,
			       .piece_size = SEAL_PIECE_MIN };
	struct seal_places p;
	struct fault f;

	(void)state;
	assert_int_equal(seal_arrange(&h, NULL, &p, &f), 0);
	assert_int_equal(p.length, SEAL_HEAD_MIN + SEAL_END_SIZE);
}

/* ---- end ---- */

static struct seal_end end;

static ssize_t decode_end(const uint8_t *buf, size_t len, struct fault *f)
{
	return seal_end_decode(buf, len, 1000, &end, f);
}

static void end_round_trip(void **state)
{
	struct seal_end in = { .length = 1000, .digest = { { 1, 2, 3 } } };
	uint8_t buf[SEAL_END_SIZE + 2] = { 0 };

	(void)state;
	assert_int_equal(seal_end_encode(buf, &in), SEAL_END_SIZE);
	check_truncations(decode_end, buf, SEAL_END_SIZE, sizeof(buf),
			  SEAL_END_SIZE);
	assert_int_equal(end.length, 1000);
	assert_memory_equal(&end.digest, &in.digest, sizeof(in.digest));
	assert_true(seal_is_end(buf, SEAL_END_SIZE));
	assert_true(seal_is_end(buf + 24, 8));
	assert_false(seal_is_end(buf + 25, 7));
	buf[31] ^= 1;
	assert_false(seal_is_end(buf, SEAL_END_SIZE));
	check_fault(decode_end, buf, SEAL_END_SIZE, FAULT_BAD, 24);
}

static void end_lengths(void **state)
{
	static const uint64_t bad[] = { 0, 87, 1001, INT64_MAX, UINT64_MAX };
	struct seal_end in = { .length = 88 };
	uint8_t buf[SEAL_END_SIZE];

	(void)state;
	(void)seal_end_encode(buf, &in);
	assert_int_equal(decode_end(buf, sizeof(buf), &(struct fault){ 0 }),
			 SEAL_END_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		in.length = bad[i];
		(void)seal_end_encode(buf, &in);
		check_fault(decode_end, buf, sizeof(buf), FAULT_BAD, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_sample),
		cmocka_unit_test(head_bad),
		cmocka_unit_test(head_label),
		cmocka_unit_test(head_label_bad),
		cmocka_unit_test(head_label_longest),
		cmocka_unit_test(block_round_trip),
		cmocka_unit_test(block_longest),
		cmocka_unit_test(arrange_good),
		cmocka_unit_test(arrange_labelled),
		cmocka_unit_test(arrange_bad),
		cmocka_unit_test(arrange_empty),
		cmocka_unit_test(end_round_trip),
		cmocka_unit_test(end_lengths),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
