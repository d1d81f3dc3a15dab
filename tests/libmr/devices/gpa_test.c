/* gpa_test.c - addresses of a pc, with and without what firmware was told. */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/libmr/unit.h"

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
};

struct made {
	int fd;
	struct mr_image *img;
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

static struct made make(const struct machine *m)
{
	struct build_block k[4] = {
		{ .name = "pc.rom", .length = 128 * KIB },
		{ .name = m->ram, .length = m->length },
	};
	struct build b = { .page_size = 4096, .ram_id = 2, .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct made made;
	char path[64];
	size_t n = 2;

	b.fd = made.fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(b.fd >= 0);
	for (size_t i = 0; i < 2 && m->firmware[i]; i++)
		k[n++] =
			(struct build_block){ .name = m->firmware[i],
					      .length = m->firmware_length[i] };
	b.config.mapped_ram = true;
	(void)snprintf(b.config.machine, sizeof(b.config.machine), "%s",
		       m->type);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, n);
	build_ram_empty(&b, STREAM_END);
	if (m->told)
		put_cmos(&b, m);
	if (m->pam)
		put_bridge(&b, m);
	build_eof(&b);
	build_done(&b);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b.fd);
	made.img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(made.img);
	assert_int_equal(mr_image_info(made.img)->damage.code, MR_OK);
	return made;
}

static void drop(struct made *m)
{
	mr_image_free(m->img);
	assert_int_equal(close(m->fd), 0);
}

/* The byte at gpa, and those behind it, and why. */
static void at(const struct made *m, uint64_t gpa, const char *block,
	       uint64_t offset, uint64_t length, const char *how)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_place p;

	assert_int_equal(mr_image_gpa(m->img, gpa, &p, &err), 0);
	assert_string_equal(p.block->name, block);
	assert_int_equal(p.offset, offset);
	assert_int_equal(p.length, length);
	if (how)
		assert_string_equal(p.how, how);
}

static void nothing(const struct made *m, uint64_t gpa, const char *start)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_place p;

	assert_int_equal(mr_image_gpa(m->img, gpa, &p, &err), -1);
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
	   "RAM from 4 GiB on, the first 0xc0000000 bytes being below, by the "
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
	v.ram = "mem0";
	v.told = false;
	m = make(&v);
	nothing(&m, 0, "no block is called pc.ram");
	drop(&m);
	v = pc;
	v.type = "virt-10.0";
	m = make(&v);
	nothing(&m, 0, "the layout of machine type \"virt-10.0\" is not");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_not_told),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_firmware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
