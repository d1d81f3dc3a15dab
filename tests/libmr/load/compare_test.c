/* load_compare_test.c - each way in which an image does not fit a VM. */
#include "tests/libmr/unit.h"

#include <stdio.h>

#include "libmr/load/state.h"

#define KIB(n) ((uint64_t)(n) << 10)

/* A VM and its image; each test spoils something. */
struct pair {
	struct mr_block blocks[4];
	struct mr_image_info image;
	struct guest_block there[4];
	size_t n_there;
	const char *machine;
	unsigned cpus;
	const uint64_t *pci; /* NULL: not known */
	struct vm_target target;
	char said[2048];
};

static void pair_init(struct pair *p)
{
	*p = (struct pair){
		.blocks = { { .name = "pc.ram",
			      .length = KIB(1024),
			      .in_file = true },
			    { .name = "rom@1",
			      .length = KIB(128),
			      .in_file = true } },
		.image = { .kind = MR_IMAGE_MAPPED,
			   .machine = "pc-i440fx-10.0",
			   .page_size = 4096,
			   .page_size_known = true,
			   .n_blocks = 2 },
		.there = { { .name = "pc.ram",
			     .used = KIB(1024),
			     .total = KIB(1024),
			     .migratable = true },
			   { .name = "rom@1",
			     .used = KIB(128),
			     .total = KIB(2048),
			     .migratable = true },
			   { .name = "", .used = KIB(4), .total = KIB(4) } },
		.n_there = 3,
		.machine = "pc-i440fx-10.0",
		.target = { .arch = "x86_64",
			    .page_size = 4096,
			    .page_least = 4096 },
	};
	p->image.blocks = p->blocks;
}

static void say(void *arg, const char *line)
{
	struct pair *p = arg;
	size_t n = strlen(p->said);

	assert_null(strchr(line, '\n'));
	(void)snprintf(p->said + n, sizeof(p->said) - n, "%s\n", line);
}

static void expect(struct pair *p, size_t n, const char *said)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_new(1, p->there, p->n_there, &err);

	assert_non_null(g);
	(void)snprintf(g->machine, sizeof(g->machine), "%s", p->machine);
	g->target = p->target;
	g->cpus = p->cpus;
	g->has_pci = p->pci != NULL;
	if (p->pci)
		memcpy(g->pci, p->pci, sizeof(g->pci));
	assert_int_equal(load_compare(&p->image, g, say, p), n);
	assert_string_equal(p->said, said);
	assert_int_equal(load_compare(&p->image, g, NULL, NULL), n);
	guest_free(g);
}

/* Only what is at a place of the first bus can be looked for. */
static void test_pci(void **state)
{
	static const struct mr_section sections[] = {
		{ .type = MR_SECTION_FULL, .name = "0000:00:02.0/vga" },
		{ .type = MR_SECTION_FULL, .name = "0000:00:1f.7/ahci" },
		{ .type = MR_SECTION_FULL, .name = "0000:00:1e.0:01.0/e1000" },
		{ .type = MR_SECTION_FULL, .name = "0001:00:04.0/e1000" },
		{ .type = MR_SECTION_FULL, .name = "0000:00:20.0/e1000" },
		{ .type = MR_SECTION_FULL, .name = "0000:00:05.0" },
		{ .type = MR_SECTION_END, .name = "0000:00:06.0/x" },
		{ .type = MR_SECTION_FULL, .name = "timer" },
	};
	const uint64_t both[4] = { 1 << 16, 0, 0, UINT64_C(1) << 63 };
	const uint64_t one[4] = { 1 << 16, 0, 0, 0 };
	struct pair p;

	(void)state;
	pair_init(&p);
	p.image.sections = sections;
	p.image.n_sections = ARRAY_LEN(sections);
	expect(&p, 0, "");
	p.pci = both;
	expect(&p, 0, "");
	p.pci = one;
	expect(&p, 1,
	       "device 0000:00:1f.7/ahci: the VM has no device at that place "
	       "of its PCI bus\n");
}

static void test_fits(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	expect(&p, 0, "");
	/* Order does not matter, nor does a block without memory. */
	p.blocks[2] = p.blocks[0];
	p.image.blocks = p.blocks + 1;
	p.there[3] = (struct guest_block){ .name = "empty",
					   .total = KIB(4),
					   .migratable = true };
	p.n_there = 4;
	expect(&p, 0, "");
}

static void test_machine(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	/* QEMU takes a prefix for the same. */
	p.machine = "pc-i440fx-10.0.1";
	expect(&p, 1,
	       "machine type: pc-i440fx-10.0 in the image, pc-i440fx-10.0.1 "
	       "in the VM\n");
	pair_init(&p);
	p.image.machine[0] = '\0';
	expect(&p, 1,
	       "machine type: none in the image, pc-i440fx-10.0 in the VM\n");
}

/* Sections that are not FULL are none of a CPU, nor is one of its parts. */
static void test_cpus(void **state)
{
	static const struct mr_section sections[] = {
		{ .type = MR_SECTION_START, .name = "cpu" },
		{ .type = MR_SECTION_FULL, .name = "cpu_common" },
		{ .type = MR_SECTION_FULL, .name = "cpu" },
		{ .type = MR_SECTION_FULL, .name = "cpu_common" },
		{ .type = MR_SECTION_FULL, .name = "cpu" },
		{ .type = MR_SECTION_FULL, .name = "cpu/exit" },
	};
	struct pair p;

	(void)state;
	pair_init(&p);
	p.image.sections = (struct mr_section *)(uintptr_t)sections;
	p.image.n_sections = ARRAY_LEN(sections);
	expect(&p, 0, "");
	p.cpus = 2;
	expect(&p, 0, "");
	p.cpus = 1;
	expect(&p, 1, "CPUs: 2 in the image, 1 in the VM\n");
	p.said[0] = '\0';
	p.cpus = 3;
	expect(&p, 1, "CPUs: 2 in the image, 3 in the VM\n");
}

/* Left out of the image, memory has to be somewhere else. */
static void test_left_out(void **state)
{
	static const char said[] =
		"RAM block pc.ram: its memory was left out of the image "
		"(x-ignore-shared), the VM has no file with it\n";
	struct pair p;

	(void)state;
	pair_init(&p);
	p.image.ignore_shared = true;
	expect(&p, 0, "");
	p.blocks[0].in_file = false;
	expect(&p, 1, said);
	(void)snprintf(p.there[0].file, sizeof(p.there[0].file), "/a/file");
	p.said[0] = '\0';
	expect(&p, 0, "");
	/* A plain stream has no page of it. */
	p.there[0].file[0] = p.said[0] = '\0';
	p.image.kind = MR_IMAGE_STREAM;
	p.blocks[1].zero_words = 32;
	expect(&p, 1, said);
	p.blocks[0].normal_words = 1;
	p.said[0] = '\0';
	expect(&p, 0, "");
}

static void test_page_size(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	p.image.page_size = 8192;
	expect(&p, 1,
	       "page size: 8192 bytes in the image, 4096 in the VM (x86_64)\n");
	p.target = (struct vm_target){ .arch = "sparc64",
				       .page_size = 8192,
				       .page_least = 8192 };
	p.said[0] = '\0';
	expect(&p, 0, "");
	/* A plain stream of which nothing tells. */
	p.image.page_size = 4096;
	p.image.page_size_known = false;
	expect(&p, 0, "");
	/* A QEMU of which nothing tells. */
	p.image.page_size_known = true;
	p.target.page_size = 0;
	expect(&p, 0, "");
}

/* Where a target has a choice, QEMU loads what says nothing as if it had said
 * the least: not at all, or wrong memory. */
static void test_page_size_said(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	p.target = (struct vm_target){ .arch = "aarch64",
				       .page_size = 4096,
				       .page_least = 1024 };
	expect(&p, 1,
	       "page size: the image does not say it, which means 1024 bytes, "
	       "4096 in the VM (aarch64)\n");
	p.image.page_size_said = true;
	p.said[0] = '\0';
	expect(&p, 0, "");
	p.target.page_size = 1024;
	expect(&p, 1,
	       "page size: 4096 bytes in the image, 1024 in the VM "
	       "(aarch64)\n");
	p.image.page_size = 1024;
	p.image.page_size_said = false;
	p.said[0] = '\0';
	expect(&p, 0, "");
}

static void test_lengths(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	p.there[0].used = p.there[0].total = KIB(2048);
	p.there[1].used = KIB(256);
	expect(&p, 2,
	       "RAM block pc.ram: 1024 KiB in the image, 2048 KiB in the VM\n"
	       "RAM block rom@1: 128 KiB in the image, 256 KiB in the VM\n");
	/* A plain stream resizes what can be resized. */
	p.image.kind = MR_IMAGE_STREAM;
	p.said[0] = '\0';
	expect(&p, 1,
	       "RAM block pc.ram: 1024 KiB in the image, 2048 KiB in the "
	       "VM\n");
	p.blocks[1].length = KIB(4096);
	p.said[0] = '\0';
	expect(&p, 2,
	       "RAM block pc.ram: 1024 KiB in the image, 2048 KiB in the VM\n"
	       "RAM block rom@1: 4096 KiB in the image, 256 KiB in the VM\n");
}

static void test_missing(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	p.blocks[1].name = "rom@2";
	expect(&p, 2,
	       "RAM block rom@2: 128 KiB in the image, the VM has no such "
	       "block\n"
	       "RAM block rom@1: 128 KiB in the VM, the image has no such "
	       "block\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_page_size),
		cmocka_unit_test(test_page_size_said),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
