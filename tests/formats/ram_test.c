/* ram_test.c - words, items, block list and XBZRLE of the ram sections. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/ram.h"

/* ---- items ---- */

static struct ram_item item;
static uint32_t page_size = 4096;

static ssize_t decode_item(const uint8_t *buf, size_t len, struct fault *f)
{
	return ram_item_decode(buf, len, page_size, &item, f);
}

static void samples(void **state)
{
	/* From saves by QEMU 10.0.2. */
	static const uint8_t mem_size[] = { 0,	  0,	0,    0,   0x41,
					    0x09, 0x20, 0x04, 0x06 };
	static const uint8_t eos[] = { 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e };
	static const uint8_t page[] = { 0, 0,	0,   0,	  0,   0,   0x10, 8,
					6, 'p', 'c', '.', 'r', 'a', 'm',  1 };
	static const uint8_t zero[] = { 0, 0, 0, 0, 0, 0, 0x20, 0x22, 0, 9 };
	static const uint8_t flush[] = { 0, 0, 0, 0, 0, 0, 2, 0, 9 };
	static const uint8_t xbzrle[] = { 0,	0, 0,	0, 0, 3, 0x30,
					  0x40, 1, 'r', 1, 0, 5, 9 };

	(void)state;
	check_truncations(decode_item, mem_size, 8, 9, 8);
	assert_int_equal(item.kind, RAM_MEM_SIZE);
	assert_int_equal(item.offset, 0x41092000);
	check_truncations(decode_item, eos, 8, 9, 8);
	assert_int_equal(item.kind, RAM_EOS);
	check_truncations(decode_item, page, 15, 16, 15);
	assert_int_equal(item.kind, RAM_PAGE);
	assert_int_equal(item.offset, 0x1000);
	assert_string_equal(item.block, "pc.ram");
	assert_false(item.cont);
	assert_int_equal(item.data_len, 4096);
	check_truncations(decode_item, zero, 9, 10, 9);
	assert_int_equal(item.kind, RAM_ZERO);
	assert_true(item.cont);
	assert_int_equal(item.offset, 0x2000);
	assert_string_equal(item.block, "");
	assert_int_equal(item.data_len, 0);
	check_truncations(decode_item, flush, 8, 9, 8);
	assert_int_equal(item.kind, RAM_FLUSH);
	check_truncations(decode_item, xbzrle, 13, 14, 13);
	assert_int_equal(item.kind, RAM_XBZRLE);
	assert_int_equal(item.offset, 0x33000);
	assert_string_equal(item.block, "r");
	assert_int_equal(item.data_len, 5);
}

/* Every value of the low bits, for every page size: only one flag of those
 * known, with CONTINUE only where a block is named. */
static void every_word(void **state)
{
	static const uint32_t pages =
		RAM_ZERO | RAM_PAGE | RAM_XBZRLE | RAM_COMPRESS;
	static const uint32_t good = pages | RAM_MEM_SIZE | RAM_EOS | RAM_FLUSH;
	static const uint32_t old = RAM_FULL | RAM_HOOK;
	uint8_t buf[16];
	uint32_t flags;

	(void)state;
	for (page_size = 1024; page_size <= 65536; page_size *= 2)
		for (flags = 0; flags < page_size; flags++) {
			uint32_t kind = flags & ~(uint32_t)RAM_CONTINUE;
			bool one = kind && !(kind & (kind - 1));
			struct fault f;
			ssize_t n;

			memset(buf, 0, sizeof(buf));
			put_be64(buf, flags);
			/* A name, then what ZERO, XBZRLE or COMPRESS want. */
			buf[8] = 1;
			buf[9] = 'b';
			if (flags == (RAM_ZERO | RAM_CONTINUE))
				buf[8] = 0;
			if (kind == RAM_XBZRLE)
				buf[10] = buf[12] = 1;
			if (flags == (RAM_XBZRLE | RAM_CONTINUE)) {
				buf[9] = 0;
				buf[10] = 1;
			}
			if (kind == RAM_COMPRESS)
				buf[13] = 1;
			if (flags == (RAM_COMPRESS | RAM_CONTINUE)) {
				buf[8] = buf[9] = 0;
				buf[11] = 1;
			}
			n = ram_item_decode(buf, sizeof(buf), page_size, &item,
					    &f);
			if (one && (kind & good) &&
			    (!(flags & RAM_CONTINUE) || (kind & pages))) {
				assert_true(n >= 8);
				assert_int_equal(item.kind, kind);
				assert_int_equal(item.cont,
						 (flags & RAM_CONTINUE) != 0);
				assert_non_null(ram_kind_name(kind));
				assert_int_equal(ram_names_page(kind),
						 (kind & pages) != 0);
			} else {
				assert_int_equal(n, -1);
				assert_int_equal(f.at, 0);
				assert_int_equal(f.kind,
						 one && (kind & old)
							 ? FAULT_UNSUPPORTED
							 : FAULT_BAD);
			}
		}
	page_size = 4096;
	assert_null(ram_kind_name(0));
	assert_null(ram_kind_name(RAM_CONTINUE));
	assert_null(ram_kind_name(RAM_PAGE | RAM_ZERO));
	assert_non_null(ram_kind_name(RAM_FULL));
	assert_non_null(ram_kind_name(RAM_HOOK));
	assert_non_null(ram_kind_name(RAM_COMPRESS));
}

static void item_round_trip(void **state)
{
	static const enum ram_flag kinds[] = { RAM_ZERO,   RAM_MEM_SIZE,
					       RAM_PAGE,   RAM_EOS,
					       RAM_XBZRLE, RAM_COMPRESS,
					       RAM_FLUSH };
	uint8_t buf[RAM_ITEM_MAX];
	size_t i, k, n, longest = 0;

	(void)state;
	for (i = 0; i < ARRAY_LEN(kinds); i++)
		for (k = 0; k <= 255; k++) {
			bool page = kinds[i] == RAM_ZERO ||
				    kinds[i] == RAM_PAGE ||
				    kinds[i] == RAM_XBZRLE ||
				    kinds[i] == RAM_COMPRESS;
			struct ram_item in = { .kind = kinds[i] };

			if (page || kinds[i] == RAM_MEM_SIZE)
				in.offset = UINT64_C(0xfffffffffffff000);
			if (page && k)
				memset(in.block, 'b', k);
			in.cont = page && k == 0;
			if (kinds[i] == RAM_PAGE)
				in.data_len = 4096;
			if (kinds[i] == RAM_XBZRLE)
				in.data_len = (uint32_t)(4096 - k);
			if (kinds[i] == RAM_COMPRESS)
				in.data_len = (uint32_t)(4672 - k);
			n = ram_item_encode(buf, &in);
			if (n > longest)
				longest = n;
			check_truncations(decode_item, buf, n, n, (ssize_t)n);
			assert_int_equal(item.kind, in.kind);
			assert_int_equal(item.cont, in.cont);
			assert_int_equal(item.offset, in.offset);
			assert_string_equal(item.block, in.block);
			assert_int_equal(item.data_len, in.data_len);
		}
	assert_int_equal(longest, RAM_ITEM_MAX);
}

static void item_refuses(void **state)
{
	uint8_t buf[32] = { 0 };
	unsigned int b;

	(void)state;
	/* Offsets beside flags that take none. */
	put_be64(buf, 0x1000 | RAM_EOS);
	check_fault(decode_item, buf, sizeof(buf), FAULT_BAD, 0);
	put_be64(buf, UINT64_C(1) << 63 | RAM_FLUSH);
	check_fault(decode_item, buf, sizeof(buf), FAULT_BAD, 0);
	/* An empty block name, and one that is not text. */
	put_be64(buf, RAM_PAGE);
	check_fault(decode_item, buf, sizeof(buf), FAULT_BAD, 8);
	buf[8] = 1;
	check_fault(decode_item, buf, sizeof(buf), FAULT_BAD, 9);
	/* Every fill byte but 0. */
	put_be64(buf, RAM_ZERO | RAM_CONTINUE);
	for (b = 1; b < 256; b++) {
		buf[8] = (uint8_t)b;
		check_fault(decode_item, buf, sizeof(buf), FAULT_BAD, 8);
	}
	/* XBZRLE: encoding and length. */
	put_be64(buf, RAM_XBZRLE | RAM_CONTINUE);
	put_be16(buf + 9, 1);
	for (b = 0; b < 256; b++) {
		buf[8] = (uint8_t)b;
		if (b != 1)
			check_fault(decode_item, buf, sizeof(buf), FAULT_BAD,
				    8);
	}
	buf[8] = 1;
	for (b = 0; b < 65536; b++) {
		struct fault f;

		put_be16(buf + 9, (uint16_t)b);
		if (b == 0 || b > 4096)
			check_fault(decode_item, buf, sizeof(buf), FAULT_BAD,
				    9);
		else
			assert_int_equal(decode_item(buf, 11, &f), 11);
	}
}

/* The length of a zlib stream, for every size of a page that has room for the
 * flag; pages of 256 bytes have not. */
static void compressed_length(void **state)
{
	uint8_t buf[12];
	struct fault f;

	(void)state;
	put_be64(buf, RAM_COMPRESS | RAM_CONTINUE);
	for (page_size = 1024; page_size <= 65536; page_size *= 2) {
		const uint32_t most = page_size + page_size / 8 + 64;
		const uint32_t bad[] = { 0, most + 1, most + 256, 1U << 31,
					 UINT32_MAX };

		for (uint32_t n = 1; n <= most; n++) {
			put_be32(buf + 8, n);
			assert_int_equal(decode_item(buf, 12, &f), 12);
			assert_int_equal(item.kind, RAM_COMPRESS);
			assert_int_equal(item.data_len, n);
		}
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			put_be32(buf + 8, bad[i]);
			check_fault(decode_item, buf, 12, FAULT_BAD, 8);
		}
	}
	page_size = 256;
	put_be32(buf + 8, 1);
	check_fault(decode_item, buf, 12, FAULT_BAD, 0);
	page_size = 4096;
}

/* ---- block list ---- */

static struct ram_list_form form;
static struct ram_block block;

static ssize_t decode_block(const uint8_t *buf, size_t len, struct fault *f)
{
	return ram_block_decode(buf, len, &form, &block, f);
}

static void block_sample(void **state)
{
	/* The first entry of a 1 GiB guest saved by QEMU 10.0.2. */
	static const uint8_t sample[] = {
		6,    'p',  'c', '.',  'r', 'a', 'm', 0,    0, 0, 0,
		0x40, 0,    0,	 0,    0,   0,	 0,   1,    0, 0, 0,
		0,    0,    0,	 0x10, 0,   0,	 0,   0,    0, 0, 0,
		0,    0x8e, 0,	 0,    0,   0,	 0,   0x10, 0, 0, 0x41,
	};

	(void)state;
	form = (struct ram_list_form){ .mapped_ram = true, .page_size = 4096 };
	check_truncations(decode_block, sample, 43, 44, 43);
	assert_string_equal(block.name, "pc.ram");
	assert_int_equal(block.used_length, 0x40000000);
	assert_int_equal(block.mapped.version, 1);
	assert_int_equal(block.mapped.page_size, 4096);
	assert_int_equal(block.mapped.bitmap_offset, 0x8e);
	assert_int_equal(block.mapped.pages_offset, 0x100000);
	/* Where the header stands, and where QEMU put the bitmap. */
	assert_int_equal(0x63 + ram_block_header_at(&form, &block) + 28, 0x8e);
	/* The same bytes in a plain stream. */
	form.mapped_ram = false;
	check_truncations(decode_block, sample, 15, 44, 15);
}

static void block_round_trip(void **state)
{
	uint8_t buf[RAM_BLOCK_MAX];
	unsigned int bits;
	size_t k, n = 0;

	(void)state;
	for (bits = 0; bits < 8; bits++)
		for (k = 1; k <= 255; k++) {
			struct ram_block in = {
				.used_length = UINT64_C(0x1122334455667000),
				.mapped = { .version = 1,
					    .page_size = 4096,
					    .bitmap_offset = 77,
					    .pages_offset = UINT64_MAX },
			};

			form = (struct ram_list_form){
				.host_page_size = bits & 1,
				.addr = bits & 2,
				.mapped_ram = bits & 4,
				.page_size = 4096,
			};
			memset(in.name, 'n', k);
			if (form.host_page_size)
				in.host_page_size = UINT64_C(0x200000);
			if (form.addr)
				in.addr = UINT64_C(0xfedcba9876543210);
			if (!form.mapped_ram)
				memset(&in.mapped, 0, sizeof(in.mapped));
			n = ram_block_encode(buf, &form, &in);
			check_truncations(decode_block, buf, n, n, (ssize_t)n);
			assert_string_equal(block.name, in.name);
			assert_int_equal(block.used_length, in.used_length);
			assert_int_equal(block.host_page_size,
					 in.host_page_size);
			assert_int_equal(block.addr, in.addr);
			assert_int_equal(block.mapped.version,
					 in.mapped.version);
			assert_int_equal(block.mapped.page_size,
					 in.mapped.page_size);
			assert_int_equal(block.mapped.bitmap_offset,
					 in.mapped.bitmap_offset);
			assert_int_equal(block.mapped.pages_offset,
					 in.mapped.pages_offset);
			assert_int_equal(ram_block_header_at(&form, &block),
					 n - (form.mapped_ram ? 28 : 0));
		}
	assert_int_equal(n, RAM_BLOCK_MAX);
}

static void block_refuses(void **state)
{
	static const uint64_t lengths[] = {
		0, 1, 4095, 4097, 1024, UINT64_MAX
	};
	struct ram_block in = { .name = "b", .used_length = 4096 };
	uint8_t buf[RAM_BLOCK_MAX];
	struct fault f;
	size_t i, n;

	(void)state;
	form = (struct ram_list_form){ .mapped_ram = true, .page_size = 4096 };
	for (i = 0; i < ARRAY_LEN(lengths); i++) {
		in.used_length = lengths[i];
		n = ram_block_encode(buf, &form, &in);
		check_fault(decode_block, buf, n, FAULT_BAD, 2);
	}
	in.used_length = 4096;
	in.mapped.version = 2;
	n = ram_block_encode(buf, &form, &in);
	check_fault(decode_block, buf, n, FAULT_UNSUPPORTED, 10);
	/* Without a page size only 0 is wrong. */
	form = (struct ram_list_form){ .mapped_ram = false };
	for (i = 1; i < ARRAY_LEN(lengths); i++) {
		in.used_length = lengths[i];
		n = ram_block_encode(buf, &form, &in);
		assert_int_equal(decode_block(buf, n, &f), n);
	}
	buf[0] = 0;
	check_fault(decode_block, buf, n, FAULT_BAD, 0);
	buf[0] = 1;
	buf[1] = 7;
	check_fault(decode_block, buf, n, FAULT_BAD, 1);
}

static void list_total(void **state)
{
	uint64_t left = 0xa000;
	struct fault f;

	(void)state;
	assert_int_equal(ram_list_take(&left, 0x4000, &f), 0);
	assert_int_equal(left, 0x6000);
	assert_int_equal(ram_list_take(&left, 0x6001, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_int_equal(left, 0x6000);
	assert_int_equal(ram_list_take(&left, UINT64_MAX, &f), -1);
	assert_int_equal(ram_list_take(&left, 0x6000, &f), 0);
	assert_int_equal(left, 0);
	assert_int_equal(ram_list_take(&left, 4096, &f), -1);
}

/* ---- XBZRLE ---- */

enum { PAGE = 4096 };

/* Applies body to a page of 0xaa and compares with a page of 0xaa in which
 * want[0 .. n) replaces bytes from at on. */
static void check_body(const uint8_t *body, size_t len, size_t at,
		       const uint8_t *want, size_t n)
{
	uint8_t page[PAGE], expect[PAGE];
	struct fault f;

	memset(page, 0xaa, sizeof(page));
	memset(expect, 0xaa, sizeof(expect));
	memcpy(expect + at, want, n);
	assert_int_equal(ram_xbzrle_apply(body, len, page, PAGE, &f), 0);
	assert_memory_equal(page, expect, PAGE);
}

static void xbzrle_good(void **state)
{
	static const uint8_t first[] = { 0, 3, 1, 2, 3 };
	static const uint8_t later[] = { 5, 2, 8, 9 };
	static const uint8_t far[] = { 0xfe, 0x1f, 2, 8, 9 }; /* 4094 */
	static const uint8_t pairs[] = { 0, 1, 7, 1, 1, 8, 0x80, 0x01, 1, 9 };
	static const uint8_t padded[] = { 0x85, 0x00, 0x82, 0x00, 8, 9 };
	uint8_t whole[2 + 1 + PAGE] = { 0, 0x80, 0x20 }, want[PAGE];

	(void)state;
	check_body(first, sizeof(first), 0, first + 2, 3);
	check_body(later, sizeof(later), 5, later + 2, 2);
	check_body(far, sizeof(far), 4094, far + 3, 2);
	check_body(padded, sizeof(padded), 5, padded + 4, 2);
	/* 7 at 0, 8 at 2, then 128 bytes kept, 9. */
	memset(want, 0xaa, sizeof(want));
	want[0] = 7;
	want[2] = 8;
	want[2 + 1 + 128] = 9;
	check_body(pairs, sizeof(pairs), 0, want, 132);
	memset(whole + 3, 0x55, PAGE);
	check_body(whole, sizeof(whole), 0, whole + 3, PAGE);
}

/* Decodes a body from an exact-size buffer; a bad one leaves the page. */
static enum fault_kind body_fault(const uint8_t *body, size_t len)
{
	uint8_t page[PAGE], before[PAGE];
	uint8_t *copy = malloc(len ? len : 1);
	struct fault f = { .kind = FAULT_NONE };
	int rc;

	assert_non_null(copy);
	memcpy(copy, body, len);
	memset(page, 0xaa, sizeof(page));
	memcpy(before, page, sizeof(page));
	rc = ram_xbzrle_check(copy, len, PAGE, &f);
	assert_int_equal(rc, f.kind == FAULT_NONE ? 0 : -1);
	assert_int_equal(ram_xbzrle_apply(copy, len, page, PAGE, &f), rc);
	if (rc)
		assert_memory_equal(page, before, PAGE);
	free(copy);
	return f.kind;
}

static void xbzrle_bad(void **state)
{
	static const struct {
		uint8_t body[8];
		size_t len;
		enum fault_kind kind;
	} bad[] = {
		{ { 0 }, 0, FAULT_SHORT },
		{ { 0, 0 }, 2, FAULT_BAD }, /* no literals */
		{ { 5, 0, 1 }, 3, FAULT_BAD },
		{ { 0, 1, 7, 0, 1, 8 }, 6, FAULT_BAD }, /* nothing kept */
		{ { 0x80, 0x20, 1, 9 }, 4, FAULT_BAD }, /* keeps all 4096 */
		{ { 0x81, 0x20, 1, 9 }, 4, FAULT_BAD }, /* 4097 */
		{ { 0xff, 0x1f, 2, 8, 9 }, 5, FAULT_BAD }, /* 4095 + 2 */
		{ { 0xff, 0x7f, 1, 9 }, 4, FAULT_BAD },
		{ { 0x80, 0x80, 1, 9 }, 4, FAULT_BAD }, /* three bytes */
		{ { 0, 0xff, 0xff, 1 }, 4, FAULT_BAD },
		{ { 0, 2, 9 }, 3, FAULT_SHORT },
	};
	static const uint8_t good[] = { 0, 1, 7, 0x81, 0x01, 2, 8, 9 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(body_fault(bad[i].body, bad[i].len),
				 bad[i].kind);
	/* Every truncation, but for the one between two pairs. */
	for (i = 0; i <= sizeof(good); i++)
		assert_int_equal(body_fault(good, i),
				 i == 3 || i == sizeof(good) ? FAULT_NONE
							     : FAULT_SHORT);
}

/* No body of three bytes reads or writes out of bounds. */
static void xbzrle_every_short_body(void **state)
{
	uint8_t body[3];
	unsigned int v, sound = 0;

	(void)state;
	for (v = 0; v < 1U << 24; v += 5) {
		uint8_t page[64] = { 0 };
		struct fault f;

		body[0] = (uint8_t)v;
		body[1] = (uint8_t)(v >> 8);
		body[2] = (uint8_t)(v >> 16);
		if (ram_xbzrle_apply(body, 3, page, 64, &f) == 0)
			sound++;
	}
	/* Sound: the first run below 64, the second 1, any literal. */
	assert_true(sound > 64 * 256 / 5 - 64 && sound < 64 * 256 / 5 + 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples),
		cmocka_unit_test(every_word),
		cmocka_unit_test(item_round_trip),
		cmocka_unit_test(item_refuses),
		cmocka_unit_test(compressed_length),
		cmocka_unit_test(block_sample),
		cmocka_unit_test(block_round_trip),
		cmocka_unit_test(block_refuses),
		cmocka_unit_test(list_total),
		cmocka_unit_test(xbzrle_good),
		cmocka_unit_test(xbzrle_bad),
		cmocka_unit_test(xbzrle_every_short_body),
	};

	return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
