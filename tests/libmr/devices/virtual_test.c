/* virtual_test.c - walks through page tables, proper ones and others. */
#include <inttypes.h>

#include "tests/libmr/unit.h"

#include "formats/bytes.h"
#include "libmr/devices/layout.h"

#define PG (UINT64_C(1) << 31)
#define PAE 0x20u
#define LA57 0x1000u
#define LMA 0x400u
#define KIB UINT64_C(1024)
#define GIB (KIB * KIB * KIB)

/* 64 KiB of tables at 0, and of 8 GiB at 4 GiB nothing but addresses. */
struct machine {
	uint8_t ram[64 * 1024];
	struct mr_block blocks[2];
	struct mr_layout_range ranges[2];
	struct layout l;
	unsigned reads;
	bool fails;
};

static void set_up(struct machine *m)
{
	*m = (struct machine){ .blocks = { { .name = "low" },
					   { .name = "high" } } };
	m->ranges[0] = (struct mr_layout_range){ .length = sizeof(m->ram),
						 .block = &m->blocks[0] };
	m->ranges[1] = (struct mr_layout_range){ .gpa = 4 * GIB,
						 .length = 8 * GIB,
						 .offset = 4096,
						 .block = &m->blocks[1] };
	m->l.layout.n_ranges = 2;
	m->l.layout.ranges = m->ranges;
	m->l.ram.n_pieces = 1;
}

static int read_ram(void *arg, const struct mr_block *b, uint64_t offset,
		    void *buf, size_t len, struct mr_error *err)
{
	struct machine *m = arg;

	m->reads++;
	if (m->fails) {
		err->code = MR_SYS;
		return -1;
	}
	assert_ptr_equal(b, &m->blocks[0]);
	assert_true(offset + len <= sizeof(m->ram));
	memcpy(buf, m->ram + offset, len);
	return 0;
}

static void entry(struct machine *m, uint64_t at, uint64_t v)
{
	put_le64(m->ram + at, v);
}

static const struct mr_paging four = { PG, 0x1000, PAE, LMA };
static const struct mr_paging five = { PG, 0x1000, PAE | LA57, LMA };
static const struct mr_paging three = { PG, 0x1000, PAE, 0 };
static const struct mr_paging two = { PG, 0x1000, 0x10, 0 };

/* That va is at gpa, for so long, in a page of that size. */
static void at(struct machine *m, const struct mr_paging *p, uint64_t va,
	       uint64_t gpa, uint64_t length, uint64_t page)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_virtual v;

	m->reads = 0;
	if (mr_virtual_find(p, &m->l.layout, read_ram, m, va, &v, &err))
		fail_msg("%s", err.msg);
	assert_true(m->reads <= 5);
	assert_int_equal(v.gpa, gpa);
	assert_int_equal(v.page, page);
	assert_int_equal(v.place.length, length);
	if (gpa < sizeof(m->ram)) {
		assert_ptr_equal(v.place.block, &m->blocks[0]);
		assert_int_equal(v.place.offset, gpa);
	} else {
		assert_ptr_equal(v.place.block, &m->blocks[1]);
		assert_int_equal(v.place.offset, gpa - 4 * GIB + 4096);
	}
}

static void nothing(struct machine *m, const struct mr_paging *p, uint64_t va,
		    const char *start)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_virtual v;

	m->reads = 0;
	assert_int_equal(
		mr_virtual_find(p, &m->l.layout, read_ram, m, va, &v, &err),
		-1);
	assert_true(m->reads <= 5);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	if (strncmp(err.msg, start, strlen(start)) != 0)
		assert_string_equal(err.msg, start);
}

static void test_sizes(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	entry(&m, 0x1000 + 8 * 0x111, 0x2063);
	entry(&m, 0x2000 + 8, 0x3063);
	entry(&m, 0x3000 + 8 * 2, 0x4063);
	entry(&m, 0x4000 + 8 * 3, 0x5063);
	at(&m, &four, 0xffff888040403123, 0x5123, 0xedd, 4096);
	entry(&m, 0x3000 + 8 * 4, 0x140c000e3);
	at(&m, &four, 0xffff8880409fffff, 0x140c00000 + 0x1fffff, 1, 1 << 21);
	entry(&m, 0x2000 + 8 * 5, 0x1800000e3);
	at(&m, &four, 0xffff888140000010, 0x180000010, GIB - 0x10, GIB);
	/* The last bytes that the layout knows. */
	entry(&m, 0x2000 + 8 * 6, 0x2c00000e3);
	at(&m, &four, 0xffff888180000000, 0x2c0000000, GIB, GIB);
	m.ranges[1].length -= 4096;
	at(&m, &four, 0xffff888180000000, 0x2c0000000, GIB - 4096, GIB);
	/* One more level in front. */
	entry(&m, 0x6000 + 8 * 0x1ff, 0x1063);
	at(&m, &(struct mr_paging){ PG, 0x6000, PAE | LA57, LMA },
	   0xffff888040403123, 0x5123, 0xedd, 4096);
}

static void test_legacy(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	entry(&m, 0x1000 + 8 * 3, 0x2001);
	entry(&m, 0x2000 + 8, 0x3063);
	entry(&m, 0x3000 + 8, 0x4063);
	at(&m, &three, 0xc0201ffe, 0x4ffe, 2, 4096);
	entry(&m, 0x2000 + 8 * 2, 0x1002000e3);
	at(&m, &three, 0xc0412345, 0x100212345, 0x1fffff - 0x12344, 1 << 21);
	nothing(&m, &three, 0x1c0412345,
		"with 3 levels of page tables there is no virtual address");
	set_up(&m);
	put_le32(m.ram + 0x1000 + 4 * 0x300, 0x2063);
	put_le32(m.ram + 0x2000 + 4 * 5, 0x3063);
	at(&m, &two, 0xc0005010, 0x3010, 0xff0, 4096);
	/* 4 MiB, beyond 4 GiB. */
	put_le32(m.ram + 0x1000 + 4 * 0x301, 0x004020e3);
	at(&m, &two, 0xc0400000, 0x100400000, 1 << 22, 1 << 22);
	/* The last entry of memory has 4 bytes. */
	put_le32(m.ram + 0xfffc, 0x3063);
	put_le32(m.ram + 0x3000 + 4 * 0x18, 0x5063);
	at(&m, &(struct mr_paging){ PG, 0xf000, 0, 0 }, 0xffc18000, 0x5000,
	   4096, 4096);
}

static void test_hostile(void **state)
{
	struct machine m;

	(void)state;
	set_up(&m);
	/* Tables that lead to themselves end where the levels do. */
	entry(&m, 0x1000, 0x1063);
	at(&m, &four, 0x10, 0x1010, 0xff0, 4096);
	at(&m, &five, 0x10, 0x1010, 0xff0, 4096);
	assert_int_equal(m.reads, 5);
	nothing(&m, &four, 0x8000000000,
		"virtual address 0x8000000000: level 4's entry at 0x1008, 0x0: "
		"not present");
	nothing(&m, &four, 0x800000000000,
		"with 4 levels of page tables there is no virtual address "
		"0x800000000000");
	/* Bits that must be zero, at each level. */
	entry(&m, 0x1000 + 8 * 2, 0x10e3);
	nothing(&m, &four, UINT64_C(2) << 39,
		"virtual address 0x10000000000: level 4's entry at 0x1010, "
		"0x10e3: has a bit that must be zero");
	/* Of a large page bit 12 may be set, and 13 not. */
	at(&m, &four, UINT64_C(2) << 21, 0, 64 * KIB, 1 << 21);
	entry(&m, 0x1000 + 8 * 2, 0x20e3);
	nothing(&m, &four, UINT64_C(2) << 21,
		"virtual address 0x400000: level 2's entry at 0x1010, 0x20e3: "
		"has a bit that must be zero");
	/* Of CR3, too. */
	nothing(&m, &(struct mr_paging){ PG, UINT64_C(1) << 52, PAE, LMA }, 0,
		"no page tables: CR3 has bits that must be zero: "
		"0x10000000000000");
}

static void test_outside(void **state)
{
	struct machine m;
	const struct mr_paging far = { PG, 0x10000, PAE, LMA };

	(void)state;
	set_up(&m);
	nothing(&m, &far, 0x1000,
		"virtual address 0x1000: CR3 0x10000: no RAM is known at "
		"0x10000 ");
	assert_int_equal(m.reads, 0);
	/* A table, and a page, where there is nothing. */
	entry(&m, 0x1000, 0xffffffffff063);
	nothing(&m, &four, 0,
		"virtual address 0x0: level 4's entry at 0x1000, "
		"0xffffffffff063: no RAM is known at 0xffffffffff000 ");
	entry(&m, 0x1000, 0x2063);
	entry(&m, 0x2000, 0x300000000083);
	nothing(&m, &four, 0x123,
		"virtual address 0x123: level 3's entry at 0x2000, "
		"0x300000000083: no RAM is known at 0x300000000123 ");
	/* Memory that ends inside an entry. */
	m.ranges[0].length = 0x1004;
	nothing(&m, &four, 0,
		"virtual address 0x0: CR3 0x1000: memory ends inside an entry");
	/* What cannot be read is no answer. */
	m.ranges[0].length = sizeof(m.ram);
	m.fails = true;
	{
		struct mr_error err = MR_ERROR_INIT;
		struct mr_virtual v;

		assert_int_equal(mr_virtual_find(&four, &m.l.layout, read_ram,
						 &m, 0, &v, &err),
				 -1);
		assert_int_equal(err.code, MR_SYS);
	}
}

static void add(struct mr_cpu *c, const char *name, uint64_t value)
{
	c->regs[c->n_regs++] = (struct mr_register){ name, value };
}

static void test_cpus(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_cpu c = { .index = 3 };
	struct mr_paging p;

	(void)state;
	add(&c, "CR0", PG);
	add(&c, "CR3", 0x12345000);
	add(&c, "CR4", PAE);
	add(&c, "EFER", LMA);
	assert_int_equal(mr_cpu_paging(&c, &p, &err), 0);
	assert_int_equal(p.cr0, PG);
	assert_int_equal(p.cr3, 0x12345000);
	assert_int_equal(p.cr4, PAE);
	assert_int_equal(p.efer, LMA);
	c.nested = true;
	assert_int_equal(mr_cpu_paging(&c, &p, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "CPU 3 runs a guest of its own"));
	c.nested = false;
	c.regs[0].value = 0x10;
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_cpu_paging(&c, &p, &err), -1);
	assert_string_equal(err.msg,
			    "no page tables: paging is off (CR0): 0x10");
	c.arm = true;
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_cpu_paging(&c, &p, &err), -1);
	assert_non_null(strstr(err.msg, "aarch64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_outside),
		cmocka_unit_test(test_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
