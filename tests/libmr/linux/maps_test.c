/* maps_test.c - what a kernel maps, and what page tables only promise. */
#include "tests/libmr/unit.h"

#include "formats/bytes.h"
#include "tests/libmr/guest_ram.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)
#define KERNEL UINT64_C(0xffffffff80000000)
#define DIRECT UINT64_C(0xffff9c0040000000) /* at a random GiB */

static uint8_t ram[4 * MIB];

enum { TABLES = 0x10000 };

static void entry(size_t table, unsigned i, uint64_t v)
{
	put_le64(ram + TABLES + table * PAGE + (size_t)8 * i, v);
}

static uint64_t table(size_t n)
{
	return (TABLES + n * PAGE) | 3;
}

/* The kernel's part at 2 MiB, its second page gone and its fourth elsewhere;
 * all memory; something that has a page of its own. */
static void begin(void)
{
	memset(ram, 0, sizeof(ram));
	entry(0, 511, table(1));
	entry(1, 510, table(2));
	entry(2, 8, table(3));
	for (unsigned i = 0; i < 256; i++)
		entry(3, i, (2 * MIB + i * PAGE) | 3);
	entry(3, 1, 0);
	entry(3, 3, (2 * MIB + 9 * PAGE) | 3);
	entry(0, 0x138, table(4));
	entry(4, 1, table(5));
	entry(5, 0, 0x83);
	entry(5, 1, 2 * MIB | 0x83);
	entry(0, 0x192, table(6));
	entry(6, 0, table(7));
	entry(7, 0, table(8));
	entry(8, 5, (3 * MIB + PAGE) | 3);
}

struct found {
	struct guest_ram g;
	struct mr_layout *l;
	struct mr_maps maps;
};

static struct found find(const struct mr_paging *p)
{
	struct found f = { .g = guest_ram_open(ram, sizeof(ram)) };
	struct mr_error err = MR_ERROR_INIT;

	f.l = mr_ram_layout(f.g.ram, &err);
	assert_non_null(f.l);
	assert_int_equal(mr_maps_find(f.g.ram, p, f.l, &f.maps, &err), 0);
	return f;
}

static void drop(struct found *f)
{
	mr_layout_free(f->l);
	guest_ram_close(&f->g);
}

/* That len bytes at an address have these virtual ones; 0: no such. */
static void names(const struct found *f, uint64_t gpa, uint64_t len,
		  uint64_t first, uint64_t second)
{
	const struct mr_ram_block *b = mr_ram_find(f->g.ram, "pc.ram");
	struct mr_error err = MR_ERROR_INIT;
	uint64_t out[MR_MAPS];
	size_t n;

	assert_int_equal(mr_maps_names(&f->maps, f->g.ram, f->l, b, gpa, len,
				       out, &n, &err),
			 0);
	assert_int_equal(n, !!first + !!second);
	if (first)
		assert_int_equal(out[0], first);
	if (second)
		assert_int_equal(out[1], second);
}

static void test_maps(void **state)
{
	const struct mr_paging p = mr_paging_long(TABLES, false);
	const uint64_t kernel = KERNEL + 16 * MIB;
	struct found f;

	(void)state;
	begin();
	f = find(&p);
	assert_int_equal(f.maps.n, 3);
	assert_int_equal(f.maps.delta[0], kernel - 2 * MIB);
	assert_int_equal(f.maps.delta[1], DIRECT);
	names(&f, 0x1000, 16, DIRECT + 0x1000, 0);
	names(&f, 2 * MIB, 16, kernel, DIRECT + 2 * MIB);
	names(&f, 2 * MIB + 2 * PAGE + 8, 1, kernel + 2 * PAGE + 8,
	      DIRECT + 2 * MIB + 2 * PAGE + 8);
	/* Where the kernel's part has a gap, and another page. */
	names(&f, 2 * MIB + PAGE, 16, DIRECT + 2 * MIB + PAGE, 0);
	names(&f, 2 * MIB + 3 * PAGE, 16, DIRECT + 2 * MIB + 3 * PAGE, 0);
	/* All of the bytes must be there. */
	names(&f, 2 * MIB + PAGE - 8, 8, kernel + PAGE - 8,
	      DIRECT + 2 * MIB + PAGE - 8);
	names(&f, 2 * MIB + PAGE - 8, 9, DIRECT + 2 * MIB + PAGE - 8, 0);
	/* The one page that is mapped there has a name more. */
	names(&f, 3 * MIB + PAGE, 16, DIRECT + 3 * MIB + PAGE,
	      0xffffc90000005000);
	drop(&f);
}

static void test_five_levels(void **state)
{
	const struct mr_paging p = mr_paging_long(TABLES + 9 * PAGE, true);
	struct found f;

	(void)state;
	begin();
	entry(9, 0x111, table(0));
	entry(9, 511, table(0));
	f = find(&p);
	/* The same again: at each entry of the first level what comes first. */
	names(&f, 0x1000, 16, 0xff119c0040001000, 0xffff9c0040001000);
	drop(&f);
}

/* Tables that lead round, to nothing, and from another kind of CPU. */
static void test_nothing(void **state)
{
	struct mr_paging p = mr_paging_long(TABLES, false);
	struct mr_error err = MR_ERROR_INIT;
	uint64_t out[MR_MAPS];
	struct found f;
	size_t n;

	(void)state;
	memset(ram, 0, sizeof(ram));
	f = find(&p);
	assert_int_equal(f.maps.n, 0);
	names(&f, 0x1000, 16, 0, 0);
	drop(&f);
	/* Each entry leads to a table without a page. */
	for (unsigned i = 0; i < 512; i++) {
		entry(0, i, table(1));
		entry(1, i, table(2));
		entry(2, i, table(3));
	}
	f = find(&p);
	assert_int_equal(f.maps.n, 0);
	drop(&f);
	/* Each leads to its own table: it is mapped everywhere. */
	for (unsigned i = 0; i < 512; i++)
		entry(0, i, table(0));
	f = find(&p);
	assert_int_equal(f.maps.n, MR_MAPS);
	assert_int_equal(mr_maps_names(&f.maps, f.g.ram, f.l,
				       mr_ram_find(f.g.ram, "pc.ram"), TABLES,
				       8, out, &n, &err),
			 0);
	assert_int_equal(n, MR_MAPS);
	drop(&f);
	p.cr3 = sizeof(ram);
	f = find(&p);
	assert_int_equal(f.maps.n, 0);
	drop(&f);
	begin();
	p = (struct mr_paging){ 0 };
	f = find(&p);
	assert_int_equal(f.maps.n, 0);
	drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_five_levels),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
