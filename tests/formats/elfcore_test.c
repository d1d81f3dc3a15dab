/* elfcore_test.c - ELF cores, there and back. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/elfcore.h"

static void headers(void **state)
{
	const struct elfcore_header h = { .machine = ELFCORE_X86_64,
					  .headers = 3 };
	const struct elfcore_phdr p = { .type = ELFCORE_LOAD,
					.offset = 0x100000,
					.virtual = 0xffffffff80000000,
					.physical = 0x1000000,
					.length = 0x2000 };
	uint8_t buf[ELFCORE_HEADER_SIZE + ELFCORE_PHDR_SIZE];
	struct elfcore_header h2;
	struct elfcore_phdr p2;
	struct fault f;

	(void)state;
	assert_int_equal(elfcore_header_encode(buf, &h), 64);
	assert_int_equal(elfcore_phdr_encode(buf + 64, &p), 56);
	for (size_t n = 0; n < 64; n++)
		assert_int_equal(elfcore_header_decode(buf, n, &h2, &f), -1);
	assert_int_equal(elfcore_header_decode(buf, 64, &h2, &f), 64);
	assert_int_equal(h2.machine, h.machine);
	assert_int_equal(h2.headers, h.headers);
	for (size_t n = 0; n < 56; n++)
		assert_int_equal(elfcore_phdr_decode(buf + 64, n, &p2, &f), -1);
	assert_int_equal(elfcore_phdr_decode(buf + 64, 56, &p2, &f), 56);
	assert_int_equal(p2.type, p.type);
	assert_int_equal(p2.offset, p.offset);
	assert_int_equal(p2.virtual, p.virtual);
	assert_int_equal(p2.physical, p.physical);
	assert_int_equal(p2.length, p.length);
	/* As the ELF specification has it. */
	assert_memory_equal(buf, "\177ELF\2\1\1", 8);
	assert_int_equal(buf[16], 4);
	assert_int_equal(buf[18], 62);
	assert_int_equal(get_le64(buf + 32), 64);
	assert_int_equal(buf[54], 56);
	assert_int_equal(get_le64(buf + 64 + 40), p.length);

	put_le64(buf + 64 + 40, p.length - 1);
	assert_int_equal(elfcore_phdr_decode(buf + 64, 56, &p2, &f), -1);
	put_le64(buf + 64 + 40, UINT64_MAX);
	put_le64(buf + 64 + 32, UINT64_MAX);
	assert_int_equal(elfcore_phdr_decode(buf + 64, 56, &p2, &f), -1);
	buf[4] = 1;
	assert_int_equal(elfcore_header_decode(buf, 64, &h2, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	buf[4] = 2;
	buf[32] = 192;
	assert_int_equal(elfcore_header_decode(buf, 64, &h2, &f), -1);
	assert_int_equal(f.kind, FAULT_UNSUPPORTED);
}

static void notes(void **state)
{
	uint8_t buf[64];
	struct elfcore_note n;
	struct fault f;
	size_t size = elfcore_note_encode(buf, "VMCOREINFO", 7, "abcde", 5);

	(void)state;
	assert_int_equal(size, 12 + 12 + 8);
	assert_int_equal(size, elfcore_note_size("VMCOREINFO", 5));
	for (size_t len = 0; len < size; len++)
		assert_int_equal(elfcore_note_decode(buf, len, &n, &f), -1);
	assert_int_equal(elfcore_note_decode(buf, sizeof(buf), &n, &f), size);
	assert_string_equal(n.name, "VMCOREINFO");
	assert_int_equal(n.type, 7);
	assert_int_equal(n.at, 24);
	assert_int_equal(n.len, 5);
	assert_memory_equal(buf + n.at, "abcde\0\0", 8);
	put_le32(buf + 4, UINT32_MAX);
	assert_int_equal(elfcore_note_decode(buf, sizeof(buf), &n, &f), -1);
	put_le32(buf + 4, 5);
	buf[12 + 10] = 'x';
	assert_int_equal(elfcore_note_decode(buf, sizeof(buf), &n, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	put_le32(buf, ELFCORE_NOTE_NAME_MAX + 1);
	assert_int_equal(elfcore_note_decode(buf, sizeof(buf), &n, &f), -1);
	put_le32(buf, 0);
	assert_int_equal(elfcore_note_decode(buf, sizeof(buf), &n, &f), -1);
}

/* Each register has a number of its own, and is where Linux has it. */
static void cpus(void **state)
{
	struct elfcore_x86_cpu c = { .rip = 100,
				     .rflags = 101,
				     .cr = { 200, 201, 202, 203, 204 },
				     .kernel_gs_base = 205 };
	struct elfcore_arm_cpu a = { .sp = 31, .pc = 32, .pstate = 33 };
	/* r15 .. rax, rcx, ..; segments are 50 + 4 i. */
	static const uint64_t x86[] = { 15,  14, 13, 12, 5,  3,	 11, 10,  9,
					8,   0,	 1,  2,	 6,  7,	 0,  100, 50,
					101, 4,	 70, 65, 69, 54, 58, 62,  66 };
	static const uint64_t qemu[] = { 0, 3,	1,  2,	6,  7,	4,  5,	 8,
					 9, 10, 11, 12, 13, 14, 15, 100, 101 };
	uint8_t buf[ELFCORE_QEMU_SIZE];

	(void)state;
	for (unsigned i = 0; i < ELFCORE_X86_REGS; i++)
		c.regs[i] = i;
	for (unsigned i = 0; i < ELFCORE_SEGS; i++)
		c.segs[i] = (struct elfcore_segment){ 50 + 4 * i, 51 + 4 * i,
						      52 + 4 * i, 53 + 4 * i };
	assert_int_equal(elfcore_x86_prstatus_encode(buf, &c, 8), 336);
	assert_int_equal(get_le32(buf + 32), 9);
	for (size_t i = 0; i < ARRAY_LEN(x86); i++)
		assert_int_equal(get_le64(buf + 112 + i * 8), x86[i]);
	assert_int_equal(elfcore_qemu_encode(buf, &c), 440);
	assert_int_equal(get_le32(buf), 1);
	assert_int_equal(get_le32(buf + 4), 440);
	for (size_t i = 0; i < ARRAY_LEN(qemu); i++)
		assert_int_equal(get_le64(buf + 8 + i * 8), qemu[i]);
	for (size_t i = 0; i < ELFCORE_SEGS; i++) {
		assert_int_equal(get_le32(buf + 152 + i * 24), 50 + 4 * i);
		assert_int_equal(get_le32(buf + 156 + i * 24), 51 + 4 * i);
		assert_int_equal(get_le32(buf + 160 + i * 24), 52 + 4 * i);
		assert_int_equal(get_le64(buf + 168 + i * 24), 53 + 4 * i);
	}
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(get_le64(buf + 392 + i * 8), 200 + i);
	for (unsigned i = 0; i < ELFCORE_ARM_REGS; i++)
		a.regs[i] = i;
	assert_int_equal(elfcore_arm_prstatus_encode(buf, &a, 0), 392);
	assert_int_equal(get_le32(buf + 32), 1);
	for (size_t i = 0; i < 34; i++)
		assert_int_equal(get_le64(buf + 112 + i * 8), i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(notes),
		cmocka_unit_test(cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
