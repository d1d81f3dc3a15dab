/* cli_test.c - sizes, human numbers, text that is safe to print. */
#include "tests/libmr/unit.h"

#include <sys/wait.h>

#include "tools/common/cli.h"

static void size_is(const char *text, uint64_t want)
{
	uint64_t size = 0;

	assert_int_equal(cli_size("--size", text, &size), 0);
	assert_true(size == want);
}

static void no_size(const char *text)
{
	uint64_t size = 77;

	assert_int_equal(cli_size("--size", text, &size), -1);
	assert_int_equal(size, 77);
}

static void test_size(void **state)
{
	(void)state;
	size_is("0", 0);
	size_is("4096", 4096);
	size_is("4K", 4096);
	size_is("4k", 4096);
	size_is("4KiB", 4096);
	size_is("1M", UINT64_C(1) << 20);
	size_is("2G", UINT64_C(2) << 30);
	size_is("3TiB", UINT64_C(3) << 40);
	size_is("010", 10);
	size_is("18446744073709551615", UINT64_MAX);
	size_is("16777215T", UINT64_C(16777215) << 40);
	no_size("");
	no_size("K");
	no_size("-1");
	no_size("+1");
	no_size(" 1");
	no_size("1 ");
	no_size("1.5G");
	no_size("0x10");
	no_size("1KB");
	no_size("1Ki");
	no_size("1P");
	no_size("1KiBx");
	no_size("18446744073709551616");
	no_size("16777216T");
}

static void human_is(uint64_t bytes, const char *want)
{
	char buf[CLI_HUMAN];

	assert_string_equal(cli_human(buf, bytes), want);
}

static void test_human(void **state)
{
	(void)state;
	human_is(0, "0 B");
	human_is(1023, "1023 B");
	human_is(1024, "1 KiB");
	human_is(1536, "1.5 KiB");
	human_is(1024 * 1024 - 1, "1023 KiB");
	human_is(UINT64_C(1) << 20, "1 MiB");
	human_is(UINT64_C(3) << 40, "3 TiB");
	human_is((UINT64_C(5) << 30) / 2, "2.5 GiB");
	human_is(UINT64_MAX, "15.9 EiB");
}

static void escaped(const char *text, const char *want)
{
	char buf[256];

	assert_string_equal(cli_escape(buf, sizeof(buf), text), want);
}

static void test_escape(void **state)
{
	char small[6];

	(void)state;
	escaped("", "");
	escaped("pc.ram /rom@etc \\ \"", "pc.ram /rom@etc \\ \"");
	escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7");
	escaped("a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f");
	/* C1 control, cut, stray, overlong, surrogate, too large */
	escaped("\xc2\x9b", "\\xc2\\x9b");
	escaped("\xe2\x82", "\\xe2\\x82");
	escaped("\x80", "\\x80");
	escaped("\xc0\xaf", "\\xc0\\xaf");
	escaped("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
	escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");
	escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	escaped("\xff", "\\xff");
	/* What would turn the line around, or end it. */
	escaped("vm\xe2\x80\xaermp.mr", "vm\\xe2\\x80\\xaermp.mr");
	escaped("\xd8\x9c\xe2\x81\xa6\xe2\x80\xa8",
		"\\xd8\\x9c\\xe2\\x81\\xa6\\xe2\\x80\\xa8");
	escaped("\xd7\xa9\xe2\x80\xa7", "\xd7\xa9\xe2\x80\xa7");
	/* Cut between characters, never inside one. */
	assert_string_equal(cli_escape(small, sizeof(small), "ab\n\n"), "ab");
	assert_string_equal(cli_escape(small, sizeof(small), "\nab"), "\\x0aa");
	assert_string_equal(cli_escape(small, sizeof(small), "abc\xe2\x82\xac"),
			    "abc");
}

/* popt ends the process with 1 when it has no memory. */
int __real_poptGetNextOpt(poptContext ctx);
int __wrap_poptGetNextOpt(poptContext ctx);
static bool no_memory;
int __wrap_poptGetNextOpt(poptContext ctx)
{
	if (no_memory)
		exit(EXIT_FAILURE);
	return __real_poptGetNextOpt(ctx);
}

static void popts_failure_is_trouble(void **state)
{
	char name[] = "mrtest", *argv[] = { name, NULL };
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		no_memory = true;
		(void)cli_parse(1, argv, cli_common, "");
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CLI_TROUBLE);
}

static void status_follows_the_code(void **state)
{
	(void)state;
	cli.tool = "cli_test";
	for (unsigned c = MR_OK + 1; c <= MR_USAGE; c++) {
		struct mr_error err = MR_ERROR_INIT;
		int want = c == MR_REFUSED || c == MR_MISMATCH ? CLI_REFUSED
							       : CLI_TROUBLE;

		err.code = (enum mr_code)c;
		(void)snprintf(err.msg, sizeof(err.msg), "%s",
			       mr_code_name(err.code));
		assert_int_equal(cli_fail(&err, CLI_PATHS("a", "b")), want);
		assert_int_equal(cli_trouble("a", err.code, "b"), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(popts_failure_is_trouble),
		cmocka_unit_test(status_follows_the_code),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
