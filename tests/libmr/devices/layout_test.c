/* layout_test.c - addresses, with and without what firmware was told. */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/libmr/unit.h"

#include "formats/srat.h"
#include "libmr/image/image.h"
#include "tests/lib/build.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

struct machine {
	const char *type;
	const char *ram; /* name of its block */
	uint64_t length;
	/* What the CMOS says, in bytes; told: it says something. */
	bool told;
	uint64_t below, above;
	/* PAM registers 0 .. 6. */
	const uint8_t *pam;
	const char *firmware[2]; /* blocks */
	uint64_t firmware_length[2];
	/* More blocks, and what the ACPI tables say of memory. */
	struct {
		const char *name;
		uint64_t length;
		bool root; /* firmware left its pointer there */
	} more[4];
	struct srat_memory srat[8];
};

struct made {
	int fd;
	struct mr_image *img;
	struct mr_layout *layout;
	struct mr_error err; /* there is none */
};

static void put_cmos(struct build *b, const struct machine *m)
{
	uint8_t cmos[300] = { 0 };
	uint64_t high = m->below > 16 * MIB ? m->below / (64 * KIB) - 256 : 0;
	uint64_t low = m->below / KIB - 1024;
	uint64_t above = m->above / (64 * KIB);

	if (low > 65535)
		low = 65535;
	cmos[0x30] = (uint8_t)low;
	cmos[0x31] = (uint8_t)(low >> 8);
	cmos[0x34] = (uint8_t)high;
	cmos[0x35] = (uint8_t)(high >> 8);
	cmos[0x5b] = (uint8_t)above;
	cmos[0x5c] = (uint8_t)(above >> 8);
	cmos[0x5d] = (uint8_t)(above >> 16);
	build_section(b, "mc146818rtc", 0, 3, cmos, sizeof(cmos));
}

static void put_bridge(struct build *b, const struct machine *m)
{
	bool q35 = strstr(m->type, "q35");
	uint8_t payload[277] = { 0 };

	memcpy(payload + 4 + (q35 ? 0x90 : 0x59), m->pam, 7);
	build_section(b, q35 ? "0000:00:00.0/mch" : "0000:00:00.0/I440FX", 0,
		      q35 ? 1 : 3, payload, sizeof(payload));
}

static void put_srat(struct build *b, const struct machine *m, uint64_t at)
{
	uint8_t t[64 + 400] = "FACS";
	uint8_t *srat = t + 64;
	size_t len = SRAT_ENTRIES;

	put_le32(t + 4, 64);
	for (size_t i = 0; m->srat[i].length; i++, len += 40) {
		srat[len] = SRAT_MEMORY;
		srat[len + 1] = 40;
		put_le32(srat + len + 2, m->srat[i].domain);
		put_le64(srat + len + 8, m->srat[i].base);
		put_le64(srat + len + 16, m->srat[i].length);
		put_le32(srat + len + 28, m->srat[i].flags);
	}
	memcpy(srat, "SRAT", 4);
	put_le32(srat + 4, (uint32_t)len);
	build_put_at(b, t, sizeof(t), at);
}

static void put_root(struct build *b, uint64_t at)
{
	uint8_t root[20] = "RSD PTR ";

	for (size_t i = 0; i < 8; i++)
		root[8] = (uint8_t)(root[8] - root[i]);
	build_put_at(b, root, sizeof(root), at + 0xf5a60);
}

/* Its own memory, as it is in the file. */
static int read_block(void *arg, const struct mr_block *b, uint64_t offset,
		      void *buf, size_t len, struct mr_error *err)
{
	size_t present;

	return mr_image_memory(arg, b, offset, buf, len, &present, err);
}

static struct made make(const struct machine *m)
{
	static const struct build_run tables = { 0, 1 }, low = { 0xf5, 1 };
	struct build_block k[9] = {
		{ .name = "pc.rom", .length = 128 * KIB },
		{ .name = SRAT_BLOCK,
		  .length = 128 * KIB,
		  .runs = &tables,
		  .n_runs = 1 },
	};
	struct build b = { .page_size = 4096, .ram_id = 2, .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct made made = { .err = MR_ERROR_INIT };
	char path[64];
	size_t n = 2, more;

	b.fd = made.fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(b.fd >= 0);
	if (m->ram)
		k[n++] = (struct build_block){ .name = m->ram,
					       .length = m->length };
	for (size_t i = 0; i < 2 && m->firmware[i]; i++)
		k[n++] =
			(struct build_block){ .name = m->firmware[i],
					      .length = m->firmware_length[i] };
	more = n;
	for (size_t i = 0; i < 4 && m->more[i].name; i++)
		k[n++] = (struct build_block){ .name = m->more[i].name,
					       .length = m->more[i].length,
					       .runs = &low,
					       .n_runs = m->more[i].root };
	b.config.mapped_ram = true;
	(void)snprintf(b.config.machine, sizeof(b.config.machine), "%s",
		       m->type);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, n);
	build_bitmaps(&b, k, n);
	build_ram_empty(&b, STREAM_END);
	if (m->told)
		put_cmos(&b, m);
	if (m->pam)
		put_bridge(&b, m);
	if (!strncmp(m->type, "virt", 4))
		build_section(&b, "arm_gicv3", 0, 1, "gic", 3);
	build_eof(&b);
	build_done(&b);
	if (m->srat[0].length)
		put_srat(&b, m, k[1].place.pages_offset);
	else
		build_put_at(&b, (char[4096]){ 0 }, 4096,
			     k[1].place.pages_offset);
	for (size_t i = 0; more + i < n; i++)
		if (m->more[i].root)
			put_root(&b, k[more + i].place.pages_offset);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b.fd);
	made.img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(made.img);
	assert_int_equal(mr_image_info(made.img)->damage.code, MR_OK);
	made.layout =
		mr_image_layout(made.img, read_block, made.img, &made.err);
	return made;
}

static void drop(struct made *m)
{
	mr_layout_free(m->layout);
	mr_image_free(m->img);
	assert_int_equal(close(m->fd), 0);
}

/* The byte at gpa, and those behind it, and why. */
static void at(const struct made *m, uint64_t gpa, const char *block,
	       uint64_t offset, uint64_t length, const char *how)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_place p;

	if (!m->layout)
		assert_string_equal(m->err.msg, "");
	assert_int_equal(mr_layout_find(m->layout, gpa, &p, &err), 0);
	assert_string_equal(p.block->name, block);
	assert_int_equal(p.offset, offset);
	assert_int_equal(p.length, length);
	if (how)
		assert_string_equal(p.how, how);
}

static void nothing(const struct made *m, uint64_t gpa, const char *start)
{
	struct mr_error err = m->err;
	struct mr_place p;

	if (m->layout)
		assert_int_equal(mr_layout_find(m->layout, gpa, &p, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	if (strncmp(err.msg, start, strlen(start)) != 0)
		assert_string_equal(err.msg, start);
}

static const struct machine pc = { .type = "pc-i440fx-10.0",
				   .ram = "pc.ram",
				   .length = 5 * GIB,
				   .told = true,
				   .below = 3 * GIB,
				   .above = 2 * GIB };

static void test_told(void **state)
{
	struct machine v = pc;
	struct made m = make(&v);

	(void)state;
	at(&m, 0, "pc.ram", 0, 0xa0000,
	   "RAM from 0 to 0xc0000000, by the memory sizes in the clock's CMOS");
	at(&m, 0x9ffff, "pc.ram", 0x9ffff, 1, NULL);
	nothing(&m, 0xa0000, "0xa0000 is in the window");
	nothing(&m, 0xbffff, "0xbffff is in the window");
	at(&m, MIB, "pc.ram", MIB, 3 * GIB - MIB, NULL);
	at(&m, 3 * GIB - 1, "pc.ram", 3 * GIB - 1, 1, NULL);
	nothing(&m, 3 * GIB, "no RAM is known at 0xc0000000 ");
	at(&m, 4 * GIB, "pc.ram", 3 * GIB, 2 * GIB,
	   "RAM from 0x100000000 on, the first 0xc0000000 bytes being below, "
	   "by the "
	   "memory sizes in the clock's CMOS");
	at(&m, 6 * GIB - 1, "pc.ram", 5 * GIB - 1, 1, NULL);
	nothing(&m, 6 * GIB, "no RAM is known");
	nothing(&m, UINT64_MAX, "no RAM is known");
	drop(&m);

	/* max-ram-below-4g, and another name. */
	v.ram = "mem0";
	v.below = GIB;
	v.above = 4 * GIB;
	m = make(&v);
	at(&m, GIB - 1, "mem0", GIB - 1, 1, NULL);
	at(&m, 4 * GIB, "mem0", GIB, 4 * GIB, NULL);
	drop(&m);

	/* Little, and no multiple of 64 KiB. */
	v = (struct machine){ .type = "pc-q35-9.2",
			      .ram = "pc.ram",
			      .length = 8 * MIB + 8 * KIB,
			      .told = true,
			      .below = 8 * MIB };
	m = make(&v);
	at(&m, 8 * MIB + 8 * KIB - 1, "pc.ram", 8 * MIB + 8 * KIB - 1, 1, NULL);
	nothing(&m, 8 * MIB + 8 * KIB, "no RAM is known");
	drop(&m);
}

/* The guest wrote over it, or it is missing: the machine's own rule. */
static void test_not_told(void **state)
{
	static const struct {
		const char *type;
		uint64_t length, below;
	} rules[] = {
		{ "pc-i440fx-10.0", GIB, GIB },
		{ "pc-i440fx-10.0", 0xe0000000 - MIB, 0xe0000000 - MIB },
		{ "pc-i440fx-10.0", 0xe0000000, 0xc0000000 },
		{ "pc-q35-9.2", 0xb0000000 - MIB, 0xb0000000 - MIB },
		{ "pc-q35-9.2", 0xb0000000, 0x80000000 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(rules); i++) {
		struct machine v = { .type = rules[i / 2].type,
				     .ram = "pc.ram",
				     .length = rules[i / 2].length,
				     .told = i % 2,
				     .below = 77 * MIB };
		struct made m = make(&v);
		uint64_t below = rules[i / 2].below;

		at(&m, below - 1, "pc.ram", below - 1, 1, NULL);
		nothing(&m, below, "no RAM is known");
		if (v.length > below)
			at(&m, 4 * GIB, "pc.ram", below, v.length - below,
			   NULL);
		else
			nothing(&m, 4 * GIB, "no RAM is known");
		drop(&m);
	}
}

static void test_unknown(void **state)
{
	struct machine v = pc;
	struct made m;

	(void)state;
	/* The only block that can be RAM. */
	v.ram = "mem0";
	v.told = false;
	m = make(&v);
	at(&m, 4 * GIB, "mem0", 3 * GIB, 2 * GIB, NULL);
	drop(&m);
	v.more[0].name = "mem1";
	v.more[0].length = 4096;
	m = make(&v);
	nothing(&m, 0, "no block is called pc.ram");
	drop(&m);
	v = pc;
	v.type = "pseries-10.0";
	m = make(&v);
	nothing(&m, 0, "the layout of machine type \"pseries-10.0\" is not");
	drop(&m);
	/* A virt machine of another target. */
	v.type = "Virt-10.0";
	m = make(&v);
	nothing(&m, 0, "the layout of machine type \"Virt-10.0\" is not");
	drop(&m);
}

static void test_firmware(void **state)
{
	/* 0xf0000 is RAM; of 0xc0000 the first piece, of 0xe0000 the last. */
	static const uint8_t pam[] = { 0x10, 0x01, 0, 0, 0, 0, 0x30 };
	struct machine v = pc;
	struct made m;

	(void)state;
	v.pam = pam;
	v.firmware[0] = "pc.bios";
	v.firmware_length[0] = 256 * KIB;
	for (int q35 = 0; q35 < 2; q35++) {
		v.type = q35 ? "pc-q35-9.2" : "pc-i440fx-10.0";
		m = make(&v);
		at(&m, 0xc0000, "pc.ram", 0xc0000, 16 * KIB, NULL);
		at(&m, 0xc4000, "pc.rom", 0x4000, 16 * KIB,
		   "firmware: the host bridge (PAM) does not show RAM there");
		at(&m, 0xc4010, "pc.rom", 0x4010, 16 * KIB - 0x10, NULL);
		at(&m, 0xe0000, "pc.bios", 128 * KIB, 16 * KIB, NULL);
		at(&m, 0xec000, "pc.ram", 0xec000, 16 * KIB, NULL);
		at(&m, 0xf0000, "pc.ram", 0xf0000, 16 * KIB, NULL);
		at(&m, 4 * GIB - 16, "pc.bios", 256 * KIB - 16, 16,
		   "firmware, which ends at 4 GiB");
		nothing(&m, 4 * GIB - 256 * KIB - 1, "no RAM is known");
		drop(&m);
	}
	v.firmware[0] = "system.flash0";
	v.firmware[1] = "system.flash1";
	v.firmware_length[0] = 2 * MIB;
	v.firmware_length[1] = MIB;
	m = make(&v);
	at(&m, 4 * GIB - 16, "system.flash0", 2 * MIB - 16, 16, NULL);
	at(&m, 4 * GIB - 3 * MIB, "system.flash1", 0, MIB, NULL);
	nothing(&m, 0xe0000, "no RAM is read at 0xe0000, and no ROM");
	drop(&m);
	/* Without the bridge's registers: RAM. */
	v.pam = NULL;
	m = make(&v);
	at(&m, 0xe0000, "pc.ram", 0xe0000, 16 * KIB, NULL);
	drop(&m);
}

/* Two nodes of 1 and 2 GiB, and room for DIMMs. */
static const struct machine numa = {
	.type = "pc-q35-9.2",
	.told = true,
	.below = 2 * GIB,
	.above = GIB,
	.more = { { "d0", 3 * GIB, false },
		  { "m1", 2 * GIB, false },
		  { "m0", GIB, false } },
	.srat = { { 0, 0xa0000, 0, SRAT_USED },
		  { MIB, GIB - MIB, 0, SRAT_USED },
		  { GIB, GIB, 1, SRAT_USED },
		  { 4 * GIB, GIB, 1, SRAT_USED },
		  { 5 * GIB, 99 * GIB, 1, SRAT_USED | SRAT_PLUGGABLE } },
};

/* What would have to be m0 and m1, or d0. */
static void test_nodes(void **state)
{
	struct machine v = numa;
	struct made m = make(&v);

	(void)state;
	nothing(&m, 0, "block d0 is as long as all RAM, and others as its ");
	drop(&m);
	/* What firmware left tells. */
	v.more[2].root = true;
	m = make(&v);
	at(&m, MIB, "m0", MIB, GIB - MIB,
	   "RAM from 0 to 0x80000000, by the ACPI tables; the blocks' lengths");
	at(&m, GIB, "m1", 0, GIB, NULL);
	at(&m, 4 * GIB + 1, "m1", GIB + 1, GIB - 1, NULL);
	nothing(&m, 5 * GIB, "no RAM is known at 0x140000000 ");
	assert_int_equal(m.layout->n_unplaced, 1);
	assert_string_equal(m.layout->unplaced[0]->name, "d0");
	drop(&m);
	v.more[2].root = false;
	v.more[0].root = true;
	m = make(&v);
	at(&m, GIB, "d0", GIB, GIB, NULL);
	assert_int_equal(m.layout->n_unplaced, 2);
	drop(&m);
	v.more[2].root = true;
	m = make(&v);
	nothing(&m, 0, "block d0 is as long as all RAM, and others as its ");
	drop(&m);
	/* The machine's own name. */
	v.more[0].name = "pc.ram";
	m = make(&v);
	at(&m, GIB, "pc.ram", GIB, GIB, NULL);
	drop(&m);
	/* Another length. */
	v = numa;
	v.more[0].length = 4 * GIB;
	m = make(&v);
	at(&m, 4 * GIB, "m1", GIB, GIB, NULL);
	drop(&m);
	v.more[1].length -= 4096;
	m = make(&v);
	nothing(&m, 0, "the machine has 0xc0000000 bytes of RAM in 2 nodes");
	drop(&m);
}

/* Nodes of the same length. */
static void test_equal_nodes(void **state)
{
	struct machine v = numa;
	struct made m;

	(void)state;
	v.srat[2].length = 2 * GIB - GIB;
	v.srat[3].length = 0;
	v.more[0].length = GIB;
	v.more[1].length = GIB;
	v.more[2].name = NULL;
	m = make(&v);
	nothing(&m, 0, "there are 2 blocks of 0x40000000 bytes, and nothing ");
	drop(&m);
	v.more[1].root = true;
	m = make(&v);
	at(&m, 0, "m1", 0, 0xa0000, NULL);
	at(&m, GIB, "d0", 0, GIB, NULL);
	drop(&m);
	/* A DIMM could be the second node. */
	v.more[2].name = "d1";
	m = make(&v);
	nothing(&m, 0, "there are 2 blocks of 0x40000000 bytes, and nothing ");
	drop(&m);
	/* As libvirt calls them. */
	v.more[0].name = "ram-node1";
	v.more[2].name = "ram-node0";
	v.more[1].root = false;
	m = make(&v);
	at(&m, GIB - 1, "ram-node0", GIB - 1, 1,
	   "RAM from 0 to 0x80000000, by the ACPI tables; the blocks' names");
	at(&m, GIB, "ram-node1", 0, GIB, NULL);
	drop(&m);
}

static void test_bad_tables(void **state)
{
	struct machine v = numa;
	struct made m;

	(void)state;
	v.more[0].name = NULL;
	v.srat[0].base = 4096;
	m = make(&v);
	nothing(&m, 0, "the ACPI tables (/rom@etc/acpi/tables) are not laid");
	drop(&m);
	v = numa;
	v.srat[3].base = 6 * GIB;
	v.srat[4].flags = SRAT_USED;
	m = make(&v);
	nothing(&m, 0, "the ACPI tables (/rom@etc/acpi/tables) are not laid");
	drop(&m);
	v = numa;
	v.srat[2].domain = 0;
	v.srat[1].domain = 7;
	m = make(&v);
	nothing(&m, 0, "the ACPI tables (/rom@etc/acpi/tables) are not laid");
	drop(&m);
	/* No memory at all. */
	v = numa;
	v.srat[0].flags = 0;
	v.srat[1].length = 0;
	m = make(&v);
	nothing(&m, 0, "the ACPI tables (/rom@etc/acpi/tables) are not laid");
	drop(&m);
}

static void test_machines(void **state)
{
	struct machine v = { .type = "microvm",
			     .ram = "microvm.ram",
			     .length = 5 * GIB,
			     .firmware = { "pc.bios" },
			     .firmware_length = { 128 * KIB } };
	struct made m = make(&v);

	(void)state;
	at(&m, 0, "microvm.ram", 0, MIB - 128 * KIB, NULL);
	at(&m, MIB - 1, "pc.bios", 128 * KIB - 1, 1, NULL);
	at(&m, MIB, "microvm.ram", MIB, 3 * GIB - MIB, NULL);
	nothing(&m, 3 * GIB, "no RAM is known");
	at(&m, 4 * GIB - 1, "pc.bios", 128 * KIB - 1, 1, NULL);
	at(&m, 4 * GIB, "microvm.ram", 3 * GIB, 2 * GIB, NULL);
	drop(&m);
	v = (struct machine){ .type = "virt-10.0",
			      .ram = "mach-virt.ram",
			      .length = 5 * GIB,
			      .firmware = { "virt.flash0" },
			      .firmware_length = { 64 * MIB } };
	m = make(&v);
	nothing(&m, 0, "no RAM is known at 0x0 ");
	at(&m, GIB, "mach-virt.ram", 0, 5 * GIB, NULL);
	nothing(&m, 6 * GIB, "no RAM is known");
	drop(&m);
	v.ram = NULL;
	v.more[0].name = "b";
	v.more[0].length = 2 * GIB;
	v.more[1].name = "a";
	v.more[1].length = GIB;
	v.srat[0] = (struct srat_memory){ GIB, GIB, 0, SRAT_USED };
	v.srat[1] = (struct srat_memory){ 2 * GIB, 2 * GIB, 1, SRAT_USED };
	m = make(&v);
	at(&m, GIB, "a", 0, GIB, NULL);
	at(&m, 2 * GIB, "b", 0, 2 * GIB, NULL);
	drop(&m);
	v.srat[0].base = 0;
	m = make(&v);
	nothing(&m, GIB, "memory is said to begin at 0x0, ");
	drop(&m);
}

static void test_put(void **state)
{
	struct machine v = numa;
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_block *d0;
	struct made m;

	(void)state;
	v.more[2].root = true;
	m = make(&v);
	d0 = mr_image_find(m.img, "d0");
	assert_int_equal(
		mr_layout_put(m.layout, d0, 4 * GIB, "as it was said", &err),
		-1);
	assert_int_equal(err.code, MR_USAGE);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_layout_put(m.layout, d0, UINT64_MAX - 5,
				       "as it was said", &err),
			 -1);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_layout_put(m.layout, d0, 4 * GIB - 1,
				       "as it was said", &err),
			 -1);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(
		mr_layout_put(m.layout, d0, 5 * GIB, "as it was said", &err),
		0);
	assert_int_equal(m.layout->n_unplaced, 0);
	at(&m, 5 * GIB, "d0", 0, 3 * GIB, "as it was said");
	at(&m, 5 * GIB - 1, "m1", 2 * GIB - 1, 1, NULL);
	assert_int_equal(
		mr_layout_put(m.layout, d0, 99 * GIB, "as it was said", &err),
		-1);
	assert_int_equal(err.code, MR_USAGE);
	drop(&m);
	m = make(&v);
	mr_layout_drop(m.layout, mr_image_find(m.img, "d0"));
	assert_int_equal(m.layout->n_unplaced, 0);
	nothing(&m, 5 * GIB, "no RAM is known");
	drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_not_told),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_firmware),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_equal_nodes),
		cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
