/* instant_test.c - mr_instant_open in a process that lacks something. */
#include "tests/libmr/folder.h"

/* A descriptor of 0 to 2 that is closed would become the image's. */
static void standard_closed(void **state)
{
	static const char *const argv[] = { "qemu", NULL };
	const struct mr_instant_options o = MR_INSTANT_OPTIONS_INIT;
	struct mr_instant_report report;

	(void)state;
	for (int fd = 0; fd < 3; fd++) {
		struct mr_error err = MR_ERROR_INIT;
		int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		struct mr_instant *in;

		assert_true(kept >= 0);
		assert_int_equal(close(fd), 0);
		in = mr_instant_open(in_dir("none"), argv, &o, &report, &err);
		assert_int_equal(dup2(kept, fd), fd);
		assert_int_equal(close(kept), 0);
		assert_null(in);
		assert_int_equal(err.code, MR_USAGE);
		assert_int_equal(err.msg[sizeof("descriptor ") - 1], '0' + fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_closed),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
