/* other_test.c - what files are that are no images. */
#include "tests/formats/unit.h"

#include "formats/other.h"

static void known(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum other_kind kind;
	} files[] = {
		{ "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\4", 18, OTHER_ELF_CORE },
		{ "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3", 18, OTHER_ELF },
		{ "\177ELF\2\2\1\0\0\0\0\0\0\0\0\0\0\4", 18, OTHER_ELF_CORE },
		{ "\177ELF\2\2\1\0\0\0\0\0\0\0\0\0\4", 18, OTHER_ELF },
		{ "\177ELF", 4, OTHER_ELF },
		{ "\177EL", 3, OTHER_NONE },
		{ "KDUMP   ", 8, OTHER_KDUMP },
		{ "KDUMP  ", 7, OTHER_NONE },
		{ "DISKDUMP", 8, OTHER_KDUMP },
		{ "makedumpfile\0\0\0\0", 16, OTHER_KDUMP_FLAT },
		{ "makedumpfile", 12, OTHER_NONE },
		{ "QFI\373\0\0\0\3", 8, OTHER_QCOW2 },
		{ "QFI\373\0\0\0\2", 8, OTHER_QCOW2 },
		{ "QFI\373\0\0\0\4", 8, OTHER_NONE },
		{ "QFI\373", 4, OTHER_NONE },
		{ "PAGEDU64", 8, OTHER_WINDOWS },
		{ "PAGEDUMP", 8, OTHER_WINDOWS },
		{ "PAGEDU6", 7, OTHER_NONE },
		{ "PAGEFILE", 8, OTHER_NONE },
		{ "QEVM\0\0\0\3", 8, OTHER_NONE },
		{ "", 0, OTHER_NONE },
	};
	uint8_t qcow2[OTHER_MAX] = "QFI\373\0\0\0\3";

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		uint8_t *exact = test_malloc(files[i].n + 1);

		memcpy(exact, files[i].bytes, files[i].n);
		assert_int_equal(other_find(exact, files[i].n), files[i].kind);
		test_free(exact);
	}
	assert_int_equal(other_find(qcow2, sizeof(qcow2)), OTHER_QCOW2);
	qcow2[63] = 1;
	assert_int_equal(other_find(qcow2, sizeof(qcow2)),
			 OTHER_QCOW2_SNAPSHOTS);
	assert_int_equal(other_find(qcow2, sizeof(qcow2) - 1), OTHER_QCOW2);
	assert_null(other_text(OTHER_NONE));
	for (int k = OTHER_NONE + 1; k < OTHER_KINDS; k++)
		assert_non_null(other_text((enum other_kind)k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
