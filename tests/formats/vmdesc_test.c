/* vmdesc_test.c - field types, values, x86 registers. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/vmdesc.h"

/* ---- types ---- */

static void type_names(void **state)
{
	static const struct {
		const char *name;
		enum vmdesc_kind kind;
		unsigned int width;
	} want[] = {
		{ "int8", VMDESC_INT, 1 },
		{ "int16", VMDESC_INT, 2 },
		{ "int32", VMDESC_INT, 4 },
		{ "int64", VMDESC_INT, 8 },
		{ "uint8", VMDESC_UINT, 1 },
		{ "uint16", VMDESC_UINT, 2 },
		{ "uint32", VMDESC_UINT, 4 },
		{ "uint64", VMDESC_UINT, 8 },
		{ "int32 equal", VMDESC_INT, 4 },
		{ "int32 le", VMDESC_INT, 4 },
		{ "int64 equal", VMDESC_UINT, 8 },
		{ "uint8 equal", VMDESC_UINT, 1 },
		{ "uint16 equal", VMDESC_UINT, 2 },
		{ "uint32 equal", VMDESC_UINT, 4 },
		{ "bool", VMDESC_BOOL, 1 },
		{ "timer", VMDESC_TIMER, 8 },
		{ "float64", VMDESC_FLOAT, 8 },
		{ "CPU_Double_U", VMDESC_FLOAT, 8 },
		{ "buffer", VMDESC_BUFFER, 0 },
		{ "unused_buffer", VMDESC_UNUSED, 0 },
		{ "capability", VMDESC_CAPABILITY, 0 },
		{ "bitmap", VMDESC_BITMAP, 0 },
		{ "nullptr", VMDESC_NULLPTR, 1 },
		{ "struct", VMDESC_STRUCT, 0 },
		{ "tmp", VMDESC_OPAQUE, 0 },
		{ "vstruct", VMDESC_OPAQUE, 0 },
		{ "qtailq", VMDESC_OPAQUE, 0 },
		{ "gtree", VMDESC_OPAQUE, 0 },
		{ "qlist", VMDESC_OPAQUE, 0 },
		{ "fd", VMDESC_OPAQUE, 0 },
		{ "pci config", VMDESC_OPAQUE, 0 },
		{ "pci irq state", VMDESC_OPAQUE, 0 },
		{ "virtio", VMDESC_OPAQUE, 0 },
		{ "unknown", VMDESC_OPAQUE, 0 },
		{ "", VMDESC_OPAQUE, 0 },
		{ "int", VMDESC_OPAQUE, 0 },
		{ "int128", VMDESC_OPAQUE, 0 },
		{ "uint32 ", VMDESC_OPAQUE, 0 },
		{ "Uint32", VMDESC_OPAQUE, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(want); i++) {
		struct vmdesc_type t = vmdesc_type_of(want[i].name);

		assert_int_equal(t.kind, want[i].kind);
		assert_int_equal(t.width, want[i].width);
	}
}

/* ---- values ---- */

static const char *type;
static size_t size;
static struct vmdesc_value value;

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return vmdesc_value_decode(buf, len, size, vmdesc_type_of(type), &value,
				   f);
}

static const uint8_t ones[9] = { 0xff, 0xff, 0xff, 0xff, 0xff,
				 0xff, 0xff, 0xff, 0xff };
static const uint8_t count[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static void integers(void **state)
{
	static const struct {
		const char *uname, *iname;
		size_t size;
		uint64_t counted, top;
	} want[] = {
		{ "uint8", "int8", 1, 1, 0xff },
		{ "uint16", "int16", 2, 0x0102, 0xffff },
		{ "uint32", "int32", 4, 0x01020304, 0xffffffff },
		{ "uint64", "int64", 8, UINT64_C(0x0102030405060708),
		  UINT64_MAX },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(want); i++) {
		size = want[i].size;
		type = want[i].uname;
		check_truncations(decode, count, size, 9, (ssize_t)size);
		assert_int_equal(value.kind, VMDESC_UINT);
		assert_int_equal(value.width, size);
		assert_true(value.u == want[i].counted);
		check_truncations(decode, ones, size, 9, (ssize_t)size);
		assert_true(value.u == want[i].top);
		type = want[i].iname;
		check_truncations(decode, count, size, 9, (ssize_t)size);
		assert_int_equal(value.kind, VMDESC_INT);
		assert_true(value.i == (int64_t)want[i].counted);
		check_truncations(decode, ones, size, 9, (ssize_t)size);
		assert_true(value.i == -1);
	}
	/* "le" is less or equal, not little-endian. */
	type = "int32 le";
	size = 4;
	check_truncations(decode, count, 4, 9, 4);
	assert_true(value.i == 0x01020304);
}

static void other_scalars(void **state)
{
	/* 1.5 and -2.0 */
	static const uint8_t f1[] = { 0x3f, 0xf8, 0, 0, 0, 0, 0, 0 };
	static const uint8_t f2[] = { 0xc0, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t b[1];
	unsigned int v;

	(void)state;
	type = "timer";
	size = 8;
	check_truncations(decode, ones, 8, 9, 8);
	assert_int_equal(value.kind, VMDESC_TIMER);
	assert_true(value.i == -1);
	type = "float64";
	check_truncations(decode, f1, 8, 8, 8);
	assert_true(value.d > 1.49 && value.d < 1.51);
	type = "CPU_Double_U";
	check_truncations(decode, f2, 8, 8, 8);
	assert_true(value.d > -2.01 && value.d < -1.99);
	size = 1;
	for (v = 0; v < 256; v++) {
		b[0] = (uint8_t)v;
		type = "bool";
		if (v < 2) {
			check_truncations(decode, b, 1, 1, 1);
			assert_int_equal(value.u, v);
		} else {
			check_fault(decode, b, 1, FAULT_BAD, 0);
		}
		type = "nullptr";
		if (v == 0x30)
			check_truncations(decode, b, 1, 1, 1);
		else
			check_fault(decode, b, 1, FAULT_BAD, 0);
	}
}

/* A description whose size does not suit the type is refused, whatever the
 * buffer holds. */
static void wrong_sizes(void **state)
{
	static const char *const fixed[] = {
		"int8",	 "uint8 equal", "uint16",  "int32",  "int64 equal",
		"timer", "bool",	"float64", "nullptr"
	};
	static const size_t sizes[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, SIZE_MAX };
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(fixed); i++)
		for (k = 0; k < ARRAY_LEN(sizes); k++) {
			struct fault f;

			type = fixed[i];
			size = sizes[k];
			if (size == vmdesc_type_of(type).width)
				continue;
			check_fault(decode, count, 9, FAULT_BAD, 0);
			assert_int_equal(decode(count, 9, &f), -1);
			assert_true(f.has_value && f.value == sizes[k]);
		}
	/* Any size will do for bytes, if they are there. */
	type = "buffer";
	for (size = 0; size <= 9; size++) {
		check_truncations(decode, count, size, 9, (ssize_t)size);
		assert_int_equal(value.width, size);
	}
	size = SIZE_MAX;
	check_fault(decode, count, 9, FAULT_SHORT, 9);
}

static void capability(void **state)
{
	static const uint8_t buf[] = "\x0amapped-ram";

	(void)state;
	type = "capability";
	size = 11;
	check_truncations(decode, buf, 11, 12, 11);
	assert_string_equal(value.text, "mapped-ram");
	size = 12;
	check_fault(decode, buf, 12, FAULT_BAD, 0);
	size = 10;
	check_fault(decode, buf, 12, FAULT_SHORT, 10);
	size = 0;
	check_fault(decode, buf, 12, FAULT_SHORT, 0);
}

static void bitmap(void **state)
{
	static const uint8_t buf[16] = { 0 };

	(void)state;
	type = "bitmap";
	size = 16;
	check_truncations(decode, buf, 16, 16, 16);
	for (size = 1; size < 8; size++)
		check_fault(decode, buf, 16, FAULT_BAD, 0);
}

/* ---- x86 registers ---- */

/* The bytes that are not 0 in the "cpu" section of a guest in its firmware,
 * written by QEMU 10.0.2; what they say is what "info registers" said. */
static const struct {
	size_t at, n;
	const char *bytes;
} cpu_bytes[] = {
	{ 14, 2, "\xb7\xd2" },	    { 38, 2, "\x6f\x94" },
	{ 46, 2, "\xb7\xd2" },	    { 54, 2, "\xb7\xd2" },
	{ 134, 2, "\xb7\xee" },	    { 142, 2, "\x02\x46" },
	{ 147, 3, "\x40\x03\x7f" }, { 238, 1, "\xd9" },
	{ 245, 2, "\x0d\x90" },	    { 250, 2, "\xff\xff" },
	{ 254, 1, "\x93" },	    { 258, 1, "\xf0" },
	{ 265, 1, "\x0f" },	    { 270, 2, "\xff\xff" },
	{ 274, 1, "\x9b" },	    { 290, 2, "\xff\xff" },
	{ 294, 1, "\x93" },	    { 310, 2, "\xff\xff" },
	{ 314, 1, "\x93" },	    { 330, 2, "\xff\xff" },
	{ 334, 1, "\x93" },	    { 350, 2, "\xff\xff" },
	{ 354, 1, "\x93" },	    { 370, 2, "\xff\xff" },
	{ 374, 1, "\x82" },	    { 390, 2, "\xff\xff" },
	{ 394, 1, "\x8b" },	    { 430, 2, "\x03\xff" },
	{ 463, 1, "\x10" },	    { 540, 4, "\xff\xff\x0f\xf0" },
	{ 550, 2, "\x04\x00" },	    { 552, 4, "\xff\xff\xff\xff" },
	{ 558, 2, "\x1f\x80" },
};

static struct vmdesc_x86_cpu cpu;

static ssize_t decode_cpu(const uint8_t *buf, size_t len, struct fault *f)
{
	return vmdesc_x86_cpu_decode(buf, len, &cpu, f);
}

static void cpu_sample(void **state)
{
	uint8_t buf[VMDESC_X86_CPU_SIZE + 1] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cpu_bytes); i++)
		memcpy(buf + cpu_bytes[i].at, cpu_bytes[i].bytes,
		       cpu_bytes[i].n);
	check_truncations(decode_cpu, buf, VMDESC_X86_CPU_SIZE, sizeof(buf),
			  VMDESC_X86_CPU_SIZE);
	assert_int_equal(cpu.regs[VMDESC_RAX], 0);
	assert_int_equal(cpu.regs[VMDESC_RBX], 0);
	assert_int_equal(cpu.regs[VMDESC_RCX], 0xb7d2);
	assert_int_equal(cpu.regs[VMDESC_RSP], 0x6f94);
	assert_int_equal(cpu.regs[VMDESC_RBP], 0xb7d2);
	assert_int_equal(cpu.regs[VMDESC_RSI], 0xb7d2);
	assert_int_equal(cpu.rip, 0xb7ee);
	assert_int_equal(cpu.rflags, 0x246);
	assert_int_equal(cpu.segs[VMDESC_ES].selector, 0xd900);
	assert_int_equal(cpu.segs[VMDESC_ES].base, 0xd9000);
	assert_int_equal(cpu.segs[VMDESC_CS].selector, 0xf000);
	assert_int_equal(cpu.segs[VMDESC_CS].base, 0xf0000);
	assert_int_equal(cpu.segs[VMDESC_CS].limit, 0xffff);
	assert_int_equal(cpu.segs[VMDESC_CS].flags, 0x9b00);
	for (i = VMDESC_SS; i < VMDESC_SEGS; i++) {
		assert_int_equal(cpu.segs[i].base, 0);
		assert_int_equal(cpu.segs[i].flags, 0x9300);
	}
	assert_int_equal(cpu.ldt.flags, 0x8200);
	assert_int_equal(cpu.tr.flags, 0x8b00);
	assert_int_equal(cpu.gdt.limit, 0);
	assert_int_equal(cpu.idt.limit, 0x3ff);
	assert_int_equal(cpu.cr0, 0x10);
	assert_int_equal(cpu.cr2 | cpu.cr3 | cpu.cr4 | cpu.efer, 0);
	assert_int_equal(cpu.dr[6], 0xffff0ff0);
	assert_int_equal(cpu.dr[7], 0x400);
}

static uint64_t segment_bits(const struct vmdesc_x86_segment *s)
{
	return s->selector | s->base | s->limit | s->flags;
}

/* Every register ORed together. */
static uint64_t cpu_bits(const struct vmdesc_x86_cpu *c)
{
	uint64_t bits = c->rip | c->rflags | c->hflags | c->cr0 | c->cr2 |
			c->cr3 | c->cr4 | c->efer | c->star | c->lstar |
			c->cstar | c->fmask | c->kernel_gs_base |
			segment_bits(&c->ldt) | segment_bits(&c->tr) |
			segment_bits(&c->gdt) | segment_bits(&c->idt);
	size_t i;

	for (i = 0; i < VMDESC_REGS; i++)
		bits |= c->regs[i];
	for (i = 0; i < VMDESC_SEGS; i++)
		bits |= segment_bits(&c->segs[i]);
	for (i = 0; i < ARRAY_LEN(c->dr); i++)
		bits |= c->dr[i];
	return bits;
}

/* Each register from its own bytes and no others: the table's fields are
 * disjoint, in order, and what the decoder reads. */
static void cpu_fields(void **state)
{
	const struct vmdesc_x86_field *field;
	uint8_t buf[VMDESC_X86_CPU_SIZE], seen[VMDESC_X86_CPU_SIZE] = { 0 };
	size_t i, end = 0;

	(void)state;
	for (field = vmdesc_x86_fields; field->name; field++) {
		assert_true(field->offset >= end);
		end = (size_t)field->offset + field->size;
		assert_true(end <= VMDESC_X86_CPU_SIZE);
		memset(seen + field->offset, 1, field->size);
	}
	assert_int_equal(end, VMDESC_X86_CPU_SIZE);
	for (i = 0; i < sizeof(buf); i++) {
		memset(buf, 0, sizeof(buf));
		buf[i] = 1;
		assert_int_equal(
			decode_cpu(buf, sizeof(buf), &(struct fault){ 0 }),
			sizeof(buf));
		assert_int_equal(cpu_bits(&cpu) != 0, seen[i]);
	}
}

static void cpu_names(void **state)
{
	(void)state;
	assert_string_equal(vmdesc_x86_reg_name(VMDESC_RAX), "RAX");
	assert_string_equal(vmdesc_x86_reg_name(VMDESC_RSP), "RSP");
	assert_string_equal(vmdesc_x86_reg_name(VMDESC_RDI), "RDI");
	assert_string_equal(vmdesc_x86_reg_name(VMDESC_R8), "R8");
	assert_string_equal(vmdesc_x86_reg_name((enum vmdesc_x86_reg)15),
			    "R15");
	assert_null(vmdesc_x86_reg_name(VMDESC_REGS));
	assert_string_equal(vmdesc_x86_seg_name(VMDESC_ES), "ES");
	assert_string_equal(vmdesc_x86_seg_name(VMDESC_GS), "GS");
	assert_null(vmdesc_x86_seg_name(VMDESC_SEGS));
}

static bool halted;

static ssize_t decode_halted(const uint8_t *buf, size_t len, struct fault *f)
{
	return vmdesc_halted_decode(buf, len, &halted, f);
}

static void halted_or_not(void **state)
{
	uint8_t buf[8] = { 0, 0, 0, 0, 0, 0, 0, 2 };

	(void)state;
	check_truncations(decode_halted, buf, 4, 8, 4);
	assert_false(halted);
	for (size_t i = 0; i < 4; i++) {
		memset(buf, 0, 4);
		buf[i] = 1;
		check_truncations(decode_halted, buf, 4, 8, 4);
		assert_true(halted);
	}
}

static void plausible(void **state)
{
	struct vmdesc_x86_cpu c = { .rflags = 2 };

	(void)state;
	assert_true(vmdesc_x86_cpu_plausible(&c));
	c.rflags = UINT64_MAX - 2;
	assert_false(vmdesc_x86_cpu_plausible(&c));
	c.rflags = 0x246;
	for (int i = 0; i < VMDESC_SEGS; i++) {
		c.segs[i].selector = 0xffff;
		assert_true(vmdesc_x86_cpu_plausible(&c));
		c.segs[i].selector = 0x10000;
		assert_false(vmdesc_x86_cpu_plausible(&c));
		c.segs[i].selector = 8;
	}
}

static struct vmdesc_arm_cpu arm;

static ssize_t decode_arm(const uint8_t *buf, size_t len, struct fault *f)
{
	return vmdesc_arm_cpu_decode(buf, len, &arm, f);
}

static void arm_cpus(void **state)
{
	static const uint8_t modes[] = { 0, 4, 5, 8, 9, 12, 13 };
	uint8_t buf[VMDESC_ARM_CPU_SIZE + 5] = { 0 };
	size_t fine = 0;

	(void)state;
	for (size_t i = 0; i < VMDESC_ARM_REGS; i++)
		put_be64(buf + 64 + 8 * i, 100 + i);
	put_be64(buf + 320, 7);
	put_be32(buf + 328, 0x600003c5);
	check_truncations(decode_arm, buf, VMDESC_ARM_CPU_SIZE, sizeof(buf),
			  VMDESC_ARM_CPU_SIZE);
	for (size_t i = 0; i < VMDESC_ARM_REGS; i++)
		assert_int_equal(arm.regs[i], 100 + i);
	assert_int_equal(arm.pc, 7);
	assert_int_equal(arm.pstate, 0x600003c5);
	for (uint32_t i = 0; i < 32; i++) {
		arm.pstate = 0x60000000 + i;
		fine += vmdesc_arm_cpu_plausible(&arm);
	}
	assert_int_equal(fine, ARRAY_LEN(modes));
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		arm.pstate = modes[i];
		assert_true(vmdesc_arm_cpu_plausible(&arm));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_names),
		cmocka_unit_test(integers),
		cmocka_unit_test(other_scalars),
		cmocka_unit_test(wrong_sizes),
		cmocka_unit_test(capability),
		cmocka_unit_test(bitmap),
		cmocka_unit_test(cpu_sample),
		cmocka_unit_test(cpu_fields),
		cmocka_unit_test(cpu_names),
		cmocka_unit_test(halted_or_not),
		cmocka_unit_test(plausible),
		cmocka_unit_test(arm_cpus),
	};

	return cmocka_run_group_tests_name("vmdesc", tests, NULL, NULL);
}
