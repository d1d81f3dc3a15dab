/* pc_test.c - where a pc says its memory is. */
#include "tests/formats/unit.h"

#include "formats/pc.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

static struct pc_memory memory;

static ssize_t decode_cmos(const uint8_t *buf, size_t len, struct fault *f)
{
	return pc_cmos_decode(buf, len, &memory, f);
}

static void cmos(void **state)
{
	static const struct {
		uint8_t low[2], high[2], above[3];
		struct pc_memory want;
	} cases[] = {
		{ { 0 }, { 0 }, { 0 }, { MIB, 0 } },
		{ { 0x00, 0x3c }, { 0 }, { 0 }, { 16 * MIB, 0 } },
		{ { 0xff, 0xff }, { 0x00, 0x3f }, { 0 }, { GIB, 0 } },
		{ { 0xff, 0xff },
		  { 0x00, 0xbf },
		  { 0x00, 0x40, 0x01 },
		  { 3 * GIB, 5 * GIB } },
		{ { 0xff, 0xff },
		  { 0xff, 0xff },
		  { 0xff, 0xff, 0xff },
		  { 16 * MIB + 0xffff * 64 * KIB, 0xffffff * 64 * KIB } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t buf[PC_CMOS_SIZE + 3] = { 0 };

		memcpy(buf + 0x30, cases[i].low, 2);
		memcpy(buf + 0x34, cases[i].high, 2);
		memcpy(buf + 0x5b, cases[i].above, 3);
		check_truncations(decode_cmos, buf, PC_CMOS_SIZE, sizeof(buf),
				  PC_CMOS_SIZE);
		assert_int_equal(memory.below, cases[i].want.below);
		assert_int_equal(memory.above, cases[i].want.above);
	}
}

static const struct pc_bridge *bridge;
static uint16_t ram;

static ssize_t decode_pam(const uint8_t *buf, size_t len, struct fault *f)
{
	return pc_pam_decode(buf, len, bridge, &ram, f);
}

/* Each bit of the seven registers alone. */
static void pam(void **state)
{
	static const struct {
		const struct pc_bridge *bridge;
		size_t at;
	} bridges[] = { { &pc_i440fx, 4 + 0x59 }, { &pc_q35, 4 + 0x90 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bridges); i++)
		for (unsigned int bit = 0; bit < 56; bit++) {
			uint8_t buf[PC_BRIDGE_SIZE + 17] = { 0 };
			unsigned int want = 0;

			if (bit == 4) /* PAM 0, high half */
				want = 0xf000;
			else if (bit >= 8 && bit % 4 == 0)
				want = 1u << (bit - 8) / 4;
			bridge = bridges[i].bridge;
			buf[bridges[i].at + bit / 8] = (uint8_t)(1 << bit % 8);
			check_truncations(decode_pam, buf, PC_BRIDGE_SIZE,
					  sizeof(buf), PC_BRIDGE_SIZE);
			assert_int_equal(ram, want);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cmos),
		cmocka_unit_test(pam),
	};

	return cmocka_run_group_tests_name("pc", tests, NULL, NULL);
}
