/* srat_test.c - ACPI tables, and the memory in them. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/srat.h"

static size_t put_table(uint8_t *p, const char *name, uint32_t length)
{
	memcpy(p, name, 4);
	put_le32(p + 4, length);
	return length;
}

static void put_memory(uint8_t *p, uint32_t domain, uint64_t base,
		       uint64_t length, uint32_t flags)
{
	p[0] = SRAT_MEMORY;
	p[1] = 40;
	put_le32(p + 2, domain);
	put_le64(p + 8, base);
	put_le64(p + 16, length);
	put_le32(p + 28, flags);
}

static void find(void **state)
{
	uint8_t t[400] = { 0 };
	size_t at = put_table(t, "FACS", 64), length;
	struct fault f;

	(void)state;
	assert_int_equal(srat_find(t, 0, &length, &f), 0);
	assert_int_equal(length, 0);
	assert_int_equal(srat_find(t, sizeof(t), &length, &f), 0);
	assert_int_equal(length, 0);
	(void)put_table(t + at, "SRAT", 100);
	assert_int_equal(srat_find(t, sizeof(t), &length, &f), 64);
	assert_int_equal(length, 100);
	assert_int_equal(srat_find(t, 164, &length, &f), 64);
	/* Less than there is. */
	assert_int_equal(srat_find(t, 163, &length, &f), -1);
	assert_int_equal(f.kind, FAULT_SHORT);
	assert_int_equal(length, 0);
	put_le32(t + at + 4, SRAT_ENTRIES - 1);
	assert_int_equal(srat_find(t, sizeof(t), &length, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	put_le32(t + 4, 7);
	assert_int_equal(srat_find(t, sizeof(t), &length, &f), -1);
	assert_int_equal(f.at, 4);
}

static void entries(void **state)
{
	uint8_t t[SRAT_ENTRIES + 16 + 40] = { 0 };
	struct srat_memory m;
	struct fault f;

	(void)state;
	/* A CPU, and memory. */
	t[SRAT_ENTRIES + 1] = 16;
	put_memory(t + SRAT_ENTRIES + 16, 3, 0x100000000, 0x1000,
		   SRAT_USED | SRAT_PLUGGABLE);
	assert_int_equal(srat_entry_decode(t, sizeof(t), SRAT_ENTRIES, &m, &f),
			 16);
	assert_int_equal(m.flags, 0);
	assert_int_equal(
		srat_entry_decode(t, sizeof(t), SRAT_ENTRIES + 16, &m, &f), 40);
	assert_int_equal(m.base, 0x100000000);
	assert_int_equal(m.length, 0x1000);
	assert_int_equal(m.domain, 3);
	assert_int_equal(m.flags, SRAT_USED | SRAT_PLUGGABLE);
	for (size_t n = 1; n < 40; n++) {
		assert_int_equal(srat_entry_decode(t, sizeof(t) - n,
						   SRAT_ENTRIES + 16, &m, &f),
				 -1);
		assert_int_equal(f.kind, FAULT_SHORT);
	}
	put_memory(t + SRAT_ENTRIES + 16, 3, 0x1000, UINT64_MAX, 1);
	assert_int_equal(
		srat_entry_decode(t, sizeof(t), SRAT_ENTRIES + 16, &m, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	t[SRAT_ENTRIES + 17] = 39;
	assert_int_equal(
		srat_entry_decode(t, sizeof(t), SRAT_ENTRIES + 16, &m, &f), -1);
	t[SRAT_ENTRIES + 1] = 1;
	assert_int_equal(srat_entry_decode(t, sizeof(t), SRAT_ENTRIES, &m, &f),
			 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find),
		cmocka_unit_test(entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
