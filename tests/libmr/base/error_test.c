/* error_test.c - the text, the code, and that the first failure stays. */
#include "tests/libmr/unit.h"

#include "formats/name.h"
#include "libmr/base/error.h"

static void first_failure_wins(void **state)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(&err, MR_FORMAT, 7, "bad %s %d", "thing", 3),
			 -1);
	errno = EIO;
	assert_int_equal(error_sys(&err, 9, "cannot read"), -1);
	assert_int_equal(err.code, MR_FORMAT);
	assert_int_equal(err.sys, 0);
	assert_int_equal(err.offset, 7);
	assert_string_equal(err.msg, "bad thing 3");
}

static void names_the_system_error(void **state)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	errno = ENOSPC;
	assert_int_equal(error_sys(&err, 4096, "cannot write %s", "x"), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(err.code, MR_SYS);
	assert_int_equal(err.sys, ENOSPC);
	assert_int_equal(err.offset, 4096);
	assert_string_equal(err.msg, "cannot write x: No space left on device");
}

static void works_without_an_error(void **state)
{
	struct fault f = { .kind = FAULT_BAD, .what = "bad" };

	(void)state;
	errno = EIO;
	assert_int_equal(error_set(NULL, MR_SYS, 0, "x"), -1);
	assert_int_equal(error_sys(NULL, 0, "x"), -1);
	assert_int_equal(error_fault(NULL, &f, 0), -1);
	assert_int_equal(errno, EIO);
}

/* Whatever a name holds, the message is one printable line that ends. */
static void stays_one_line(void **state)
{
	char name[1000];

	(void)state;
	for (size_t len = 0; len < sizeof(name); len++) {
		struct mr_error err = MR_ERROR_INIT;

		memset(name, 'x', len);
		name[len] = '\0';
		errno = EACCES;
		(void)error_sys(&err, 0, "%s", name);
		assert_non_null(memchr(err.msg, '\0', sizeof(err.msg)));
		if (len < 200)
			assert_non_null(strstr(err.msg, ": Permission denied"));
	}
	for (int c = 1; c < 256; c++) {
		struct mr_error err = MR_ERROR_INIT;

		(void)error_set(&err, MR_FORMAT, 0, "a%cb", c);
		assert_int_equal(strlen(err.msg), 3);
		assert_int_equal((unsigned char)err.msg[1],
				 c < ' ' || c >= 0x7f ? '?' : c);
	}
	/* A character that a precision cuts in two. */
	for (int len = 1; len <= 8; len++) {
		static const char four[] = "\xe2\x82\xac\xf0\x9f\x8c\x8d!";
		struct mr_error err = MR_ERROR_INIT;

		(void)error_set(&err, MR_FORMAT, 0, "%.*s", len, four);
		assert_true(name_is_text(err.msg, strlen(err.msg)));
		assert_int_equal(strlen(err.msg), len);
	}
}

static void places_a_fault(void **state)
{
	static const struct {
		enum fault_kind kind;
		enum mr_code code;
	} map[] = { { FAULT_SHORT, MR_SHORT },
		    { FAULT_BAD, MR_FORMAT },
		    { FAULT_UNSUPPORTED, MR_UNSUPPORTED } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(map); i++) {
		struct mr_error err = MR_ERROR_INIT;
		struct fault f = { .kind = map[i].kind,
				   .at = 5,
				   .what = "what it is" };

		assert_int_equal(error_fault(&err, &f, 1000), -1);
		assert_int_equal(err.code, map[i].code);
		assert_int_equal(err.offset, 1005);
		assert_string_equal(err.msg, "what it is");
		err = (struct mr_error)MR_ERROR_INIT;
		f.has_value = 1;
		f.value = UINT64_MAX;
		(void)error_fault(&err, &f, 0);
		assert_string_equal(err.msg,
				    "what it is (18446744073709551615)");
	}
}

static void knows_whom_to_blame(void **state)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(error_about(NULL, 1), -1);
	(void)error_about(&err, 1); /* there is no error yet */
	assert_int_equal(err.who, 0);
	(void)error_set(&err, MR_QMP, 0, "no");
	assert_int_equal(error_about(&err, 2), -1);
	assert_int_equal(err.who, 2);
	(void)error_about(&err, 1);
	assert_int_equal(err.who, 2);
	/* That has nothing to do with any of them. */
	err = (struct mr_error)MR_ERROR_INIT;
	(void)error_set(&err, MR_CANCELLED, 0, "interrupted");
	(void)error_about(&err, 1);
	assert_int_equal(err.who, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_failure_wins),
		cmocka_unit_test(names_the_system_error),
		cmocka_unit_test(works_without_an_error),
		cmocka_unit_test(stays_one_line),
		cmocka_unit_test(places_a_fault),
		cmocka_unit_test(knows_whom_to_blame),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
