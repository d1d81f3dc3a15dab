/* x86_paging_test.c - entries of page tables, of all kinds. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/x86_paging.h"

#define PG (UINT64_C(1) << 31)
#define PSE 0x10u
#define PAE 0x20u
#define LA57 0x1000u
#define LMA 0x400u
#define NXE 0x800u
#define NX (UINT64_C(1) << 63)

static struct x86_paging paging(uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	struct x86_paging p;
	struct fault f;

	assert_int_equal(x86_paging_of(PG, cr3, cr4, efer, &p, &f), 0);
	return p;
}

/* Long mode, of 4 and 5 levels; with three; with two. */
static struct x86_paging four(void)
{
	return paging(0x1000, PAE, LMA | NXE);
}

static struct x86_paging five(void)
{
	return paging(0x1000, PAE | LA57, LMA | NXE);
}

static struct x86_paging three(void)
{
	return paging(0x1000, PAE, NXE);
}

static struct x86_paging two(void)
{
	return paging(0x1000, PSE, 0);
}

static void kinds(void **state)
{
	struct x86_paging p;
	struct fault f;

	(void)state;
	assert_int_equal(x86_paging_of(0, 0x1000, PAE, LMA, &p, &f), -1);
	assert_int_equal(f.kind, FAULT_UNSUPPORTED);
	assert_int_equal(x86_paging_of(PG, 0x1000, 0, LMA, &p, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_int_equal(x86_paging_of(PG, UINT64_C(1) << 52, PAE, LMA, &p, &f),
			 -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_int_equal(f.value, UINT64_C(1) << 52);
	/* Flags above and below the address. */
	p = paging(0xe00ffffffffff018, PAE, LMA);
	assert_int_equal(p.levels, 4);
	assert_int_equal(p.entry, 8);
	assert_int_equal(p.root, 0x000ffffffffff000);
	assert_false(p.nx);
	assert_int_equal(five().levels, 5);
	assert_true(five().nx);
	/* LA57 means nothing outside long mode. */
	p = paging(0x12345fff, PAE | LA57, 0);
	assert_int_equal(p.levels, 3);
	assert_int_equal(p.root, 0x12345fe0);
	p = paging(0x12345fff, 0, NXE);
	assert_int_equal(p.levels, 2);
	assert_int_equal(p.entry, 4);
	assert_int_equal(p.root, 0x12345000);
	assert_false(p.pse);
	assert_false(p.nx);
	assert_true(two().pse);
}

static void addresses(void **state)
{
	struct x86_paging p = four();

	(void)state;
	assert_true(x86_paging_reaches(&p, 0x00007fffffffffff));
	assert_false(x86_paging_reaches(&p, 0x0000800000000000));
	assert_false(x86_paging_reaches(&p, 0xffff7fffffffffff));
	assert_true(x86_paging_reaches(&p, 0xffff800000000000));
	assert_true(x86_paging_reaches(&p, UINT64_MAX));
	assert_int_equal(x86_paging_at(&p, 4, 0x1000, 0xffff888123456789),
			 0x1000 + 8 * 0x111);
	assert_int_equal(x86_paging_at(&p, 3, 0x1000, 0xffff888123456789),
			 0x1000 + 8 * 4);
	assert_int_equal(x86_paging_at(&p, 2, 0x1000, 0xffff888123456789),
			 0x1000 + 8 * 0x11a);
	assert_int_equal(x86_paging_at(&p, 1, 0x1000, 0xffff888123456789),
			 0x1000 + 8 * 0x56);
	assert_int_equal(x86_paging_span(&p, 4), UINT64_C(1) << 39);
	assert_int_equal(x86_paging_span(&p, 1), 4096);
	p = five();
	assert_int_equal(x86_paging_span(&p, 5), UINT64_C(1) << 48);
	assert_true(x86_paging_reaches(&p, 0x00ffffffffffffff));
	assert_false(x86_paging_reaches(&p, 0x0100000000000000));
	assert_true(x86_paging_reaches(&p, 0xff00000000000000));
	assert_false(x86_paging_reaches(&p, 0xfeffffffffffffff));
	assert_int_equal(x86_paging_at(&p, 5, 0x1000, 0xff11000000000000),
			 0x1000 + 8 * 0x111);
	p = three();
	assert_true(x86_paging_reaches(&p, UINT32_MAX));
	assert_false(x86_paging_reaches(&p, UINT64_C(1) << 32));
	assert_int_equal(x86_paging_at(&p, 3, 0x1020, 0xc0603000),
			 0x1020 + 8 * 3);
	assert_int_equal(x86_paging_at(&p, 2, 0x1000, 0xc0603000),
			 0x1000 + 8 * 3);
	assert_int_equal(x86_paging_at(&p, 1, 0x1000, 0xc0603000),
			 0x1000 + 8 * 3);
	p = two();
	assert_int_equal(x86_paging_span(&p, 2), 1 << 22);
	assert_false(x86_paging_reaches(&p, UINT64_C(1) << 32));
	assert_int_equal(x86_paging_at(&p, 2, 0x1000, 0xffc03000),
			 0x1000 + 4 * 0x3ff);
	assert_int_equal(x86_paging_at(&p, 1, 0x1000, 0xffc03000),
			 0x1000 + 4 * 3);
}

static ssize_t decode(struct x86_paging p, unsigned level, uint64_t v,
		      struct x86_paging_entry *e)
{
	uint8_t buf[8];
	struct fault f;
	ssize_t n;

	put_le64(buf, v);
	for (size_t len = 0; len < p.entry; len++) {
		assert_int_equal(x86_paging_decode(&p, level, buf, len, e, &f),
				 -1);
		assert_int_equal(f.kind, FAULT_SHORT);
	}
	n = x86_paging_decode(&p, level, buf, p.entry, e, &f);
	if (n < 0) {
		assert_int_equal(f.kind, FAULT_BAD);
		assert_int_equal(f.value, v);
	} else {
		assert_int_equal(n, p.entry);
	}
	return n;
}

static void assert_page(struct x86_paging p, unsigned level, uint64_t v,
			uint64_t to, uint64_t size)
{
	struct x86_paging_entry e;

	assert_true(decode(p, level, v, &e) > 0);
	assert_true(e.present);
	assert_true(e.page);
	assert_int_equal(e.value, v);
	assert_int_equal(e.to, to);
	assert_int_equal(e.size, size);
}

static void assert_table(struct x86_paging p, unsigned level, uint64_t v,
			 uint64_t to)
{
	struct x86_paging_entry e;

	assert_true(decode(p, level, v, &e) > 0);
	assert_true(e.present);
	assert_false(e.page);
	assert_int_equal(e.to, to);
}

static void assert_bad(struct x86_paging p, unsigned level, uint64_t v)
{
	struct x86_paging_entry e;

	assert_int_equal(decode(p, level, v, &e), -1);
}

static void entries(void **state)
{
	static const struct x86_paging no_nx = { .levels = 4, .entry = 8 };
	const struct x86_paging no_pse = { .levels = 2, .entry = 4 };
	struct x86_paging_entry e;

	(void)state;
	/* Not there, whatever else it says. */
	for (unsigned level = 1; level <= 4; level++) {
		assert_true(decode(no_nx, level, UINT64_MAX - 1, &e) > 0);
		assert_false(e.present);
	}
	for (unsigned level = 2; level <= 5; level++)
		assert_table(five(), level, NX | 0x7ff0123456789067,
			     0x0000123456789000);
	assert_bad(five(), 5, 0x1083);
	assert_bad(four(), 4, 0x1083);
	assert_page(four(), 3, NX | 0x1083 | UINT64_C(0xabc) << 30,
		    UINT64_C(0xabc) << 30, 1 << 30);
	for (unsigned bit = 13; bit < 30; bit++)
		assert_bad(four(), 3, 0x83 | UINT64_C(1) << bit);
	assert_page(four(), 2, 0x10e3 | 0xabc00000, 0xabc00000, 1 << 21);
	for (unsigned bit = 13; bit < 21; bit++)
		assert_bad(four(), 2, 0x83 | UINT64_C(1) << bit);
	/* Bit 7 of the last level is no size. */
	assert_page(four(), 1, 0x000ffffffffff0e3, 0x000ffffffffff000, 4096);
	assert_page(four(), 1, 0x7ff0000000001063, 0x1000, 4096);
	assert_bad(no_nx, 1, NX | 0x1063);
	assert_bad(no_nx, 4, NX | 0x1063);
	/* Three levels. */
	assert_table(three(), 3, 0x0000000123456e19, 0x123456000);
	assert_bad(three(), 3, 0x1003);
	assert_bad(three(), 3, 0x1081);
	assert_bad(three(), 3, NX | 0x1001);
	assert_page(three(), 2, NX | 0xabc000e3, 0xabc00000, 1 << 21);
	assert_bad(three(), 2, 0x0010000000001063);
	assert_page(three(), 1, 0x1063, 0x1000, 4096);
	assert_bad(three(), 1, 0x4000000000001063);
	/* Two. */
	assert_table(two(), 2, 0xfffff063, 0xfffff000);
	assert_page(two(), 2, 0xabc010e3, 0xabc00000, 1 << 22);
	assert_page(two(), 2, 0xabdfe0e3, 0xffabc00000, 1 << 22);
	assert_bad(two(), 2, 0xabe000e3);
	assert_table(no_pse, 2, 0xabe000e3, 0xabe00000);
	assert_page(two(), 1, 0xfffff0e3, 0xfffff000, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(addresses),
		cmocka_unit_test(entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
