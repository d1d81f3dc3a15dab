/* args_test.c - a QEMU's command line, as QEMU itself would take it apart. */
#include "tests/libmr/unit.h"

#include "libmr/vm/args.h"

static void join(const struct qemu_args *a, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; i < a->n; i++) {
		strncat(buf, i ? " " : "", size - strlen(buf) - 1);
		strncat(buf, a->v[i], size - strlen(buf) - 1);
	}
	assert_null(a->v[a->n]);
}

static void test_options(void **state)
{
	const char *const argv[] = { "qemu", "-m",	"4G",	 "--smp",
				     "2",    "-S",	"disk",	 "-append",
				     "-S",   "-future", "value", "-s",
				     NULL };
	static const struct {
		const char *name, *value;
	} want[] = { { "m", "4G" },  { "smp", "2" },	 { "S", NULL },
		     { "", "disk" }, { "append", "-S" }, { "future", "value" },
		     { "s", NULL } };
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_args a;
	struct qemu_option o;
	size_t at = 1;

	(void)state;
	assert_int_equal(args_init(&a, argv, &err), 0);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_true(args_next(&a, &at, &o));
		assert_string_equal(o.name, want[i].name);
		if (want[i].value)
			assert_string_equal(o.value, want[i].value);
		else
			assert_null(o.value);
	}
	assert_false(args_next(&a, &at, &o));
	args_release(&a);
}

static void test_changes(void **state)
{
	const char *const argv[] = {
		"qemu", "-m", "1G", "-S", "-m", "2G", NULL
	};
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_option o;
	struct qemu_args a;
	char text[256];

	(void)state;
	assert_int_equal(args_init(&a, argv, &err), 0);
	assert_true(args_last(&a, "m", &o));
	assert_string_equal(o.value, "2G");
	assert_int_equal(args_set(&a, &o, "3G", &err), 0);
	assert_true(args_last(&a, "S", &o));
	args_drop_all(&a, "S");
	assert_false(args_last(&a, "S", &o));
	assert_int_equal(args_add(&a, "daemonize", NULL, &err), 0);
	assert_int_equal(args_add(&a, "name", "x", &err), 0);
	join(&a, text, sizeof(text));
	assert_string_equal(text, "qemu -m 1G -m 3G -daemonize -name x");
	args_drop_all(&a, "m");
	join(&a, text, sizeof(text));
	assert_string_equal(text, "qemu -daemonize -name x");
	args_drop_all(&a, "name");
	args_drop_all(&a, "absent");
	join(&a, text, sizeof(text));
	assert_string_equal(text, "qemu -daemonize");
	args_release(&a);
}

/* Or it would take the next that is added for it. */
static void test_value_missing(void **state)
{
	const char *const lacks[][4] = { { "qemu", "-m" },
					 { "qemu", "-S", "--smp" },
					 { "qemu", "-future" } };
	const char *const fine[][4] = { { "qemu" },
					{ "qemu", "-m", "-m" },
					{ "qemu", "disk" },
					{ "qemu", "-" } };
	struct qemu_args a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(args_init(&a, lacks[i], &err), -1);
		assert_int_equal(err.code, MR_USAGE);
		assert_non_null(strstr(err.msg, "lacks its value"));
		args_release(&a);
	}
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(args_init(&a, fine[i], &err), 0);
		args_release(&a);
	}
}

/* What a value comes to, written out. */
static void expect(const char *value, const char *implied, const char *want)
{
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_props p;
	char *text;

	assert_int_equal(props_parse(&p, value, implied, &err), 0);
	text = props_text(&p, &err);
	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
	props_release(&p);
}

static void test_props(void **state)
{
	(void)state;
	expect("pc,accel=kvm", "type", "type=pc,accel=kvm");
	expect("memory-backend=m", "type", "memory-backend=m");
	expect("server,path=a,,b=c", NULL, "server=on,path=a,,b=c");
	expect("", "type", "");
	expect("a=", "type", "a=");
	expect("{\"qom-type\":\"memory-backend-ram\",\"size\":4294967296,"
	       "\"share\":true,\"host-nodes\":[0,1],\"x\":{\"y\":\"a,b\"}}",
	       NULL,
	       "qom-type=memory-backend-ram,size=4294967296,share=on,"
	       "host-nodes.0=0,host-nodes.1=1,x.y=a,,b");
}

static void test_bad_props(void **state)
{
	static const char *const bad[] = { "{", "{} x", "{\"a\":null}",
					   "{\"a\":1.5}", "{\"a\":1,\"a\":2}" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct mr_error err = MR_ERROR_INIT;
		struct qemu_props p;

		assert_int_equal(props_parse(&p, bad[i], NULL, &err), -1);
		assert_int_equal(err.code, MR_USAGE);
	}
}

/* Objects in objects have an end, and so has a list of properties. */
static void test_endless_props(void **state)
{
	static char deep[4096], many[8192];
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_props p;
	char *to = deep;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		to = stpcpy(to, "{\"a\":");
	to = stpcpy(to, "1");
	memset(to, '}', 100);
	assert_int_equal(props_parse(&p, deep, NULL, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	for (size_t i = 0; i < 4000; i++)
		many[i] = i % 2 ? ',' : 'a';
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(props_parse(&p, many, NULL, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
}

static void test_set_props(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_props p;
	char *text;

	(void)state;
	assert_int_equal(props_parse(&p, "a=1,b=yes,a=2", NULL, &err), 0);
	assert_string_equal(props_get(&p, "a"), "2");
	assert_null(props_get(&p, "c"));
	assert_true(props_on(&p, "b"));
	assert_false(props_on(&p, "a"));
	assert_int_equal(props_set(&p, "a", "3", &err), 0);
	assert_int_equal(props_set(&p, "b", NULL, &err), 0);
	text = props_text(&p, &err);
	assert_string_equal(text, "a=3");
	free(text);
	props_release(&p);
}

/* Of an option that is given several times later keys win, others stay. */
static void test_props_of_all(void **state)
{
	const char *const argv[] = { "qemu", "-smp", "2,cores=2",  "-m",
				     "64M",  "--m",  "maxmem=1G",  "-smp",
				     "4",    "-M",   "q35,usb=on", "-machine",
				     "pc",   NULL };
	const char *const bad[] = { "qemu", "-m", "64M", "-m", "{", NULL };
	struct mr_error err = MR_ERROR_INIT;
	struct qemu_args a;
	struct qemu_props p;

	(void)state;
	assert_int_equal(args_init(&a, argv, &err), 0);
	assert_int_equal(props_of(&a, "smp", "cpus", &p, &err), 0);
	assert_string_equal(props_get(&p, "cpus"), "4");
	assert_string_equal(props_get(&p, "cores"), "2");
	props_release(&p);
	assert_int_equal(props_of(&a, "m", "size", &p, &err), 0);
	assert_string_equal(props_get(&p, "size"), "64M");
	assert_string_equal(props_get(&p, "maxmem"), "1G");
	props_release(&p);
	assert_int_equal(props_of(&a, "machine", "type", &p, &err), 0);
	assert_string_equal(props_get(&p, "type"), "pc");
	assert_string_equal(props_get(&p, "usb"), "on");
	props_release(&p);
	assert_int_equal(props_of(&a, "numa", NULL, &p, &err), 0);
	assert_int_equal(p.n, 0);
	props_release(&p);
	args_release(&a);
	assert_int_equal(args_init(&a, bad, &err), 0);
	assert_int_equal(props_of(&a, "m", "size", &p, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	assert_null(p.list);
	args_release(&a);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit, want; /* 0: no size */
	} cases[] = {
		{ "512", 1 << 20, UINT64_C(512) << 20 },
		{ "4G", 1 << 20, UINT64_C(4) << 30 },
		{ "4g", 1, UINT64_C(4) << 30 },
		{ "1.5M", 1, UINT64_C(3) << 19 },
		{ "0x1000", 1, 4096 },
		{ "100b", 1 << 20, 100 },
		{ "", 1, 0 },
		{ "G", 1, 0 },
		{ "-1", 1, 0 },
		{ "4Q", 1, 0 },
		{ "4GB", 1, 0 },
		{ "99999999E", 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t size = 0;

		assert_int_equal(args_size(cases[i].text, cases[i].unit, &size),
				 cases[i].want != 0);
		assert_int_equal(size, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_value_missing),
		cmocka_unit_test(test_props),
		cmocka_unit_test(test_bad_props),
		cmocka_unit_test(test_endless_props),
		cmocka_unit_test(test_set_props),
		cmocka_unit_test(test_props_of_all),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
