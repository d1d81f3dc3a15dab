/* migrate_test.c - what is set for a save or a load, and what is put back. */
#include "tests/libmr/fake_qmp.h"

#include "libmr/vm/migrate.h"

#define RET(json) "\"return\": " json
#define ON(name) "{\"capability\": \"" name "\", \"state\": true}"
#define PARAMETERS                                                  \
	"\"max-bandwidth\": 134217728, \"multifd-channels\": 2, "   \
	"\"multifd-compression\": \"zstd\", \"direct-io\": false, " \
	"\"tls-creds\": \"tls0\", \"mode\": \"cpr-exec\", "         \
	"\"cpr-exec-command\": [\"rm\"]"

/* All that 10.0.2 and 11.1.2 list (query-migrate-capabilities). */
static const struct {
	const char *name;
	int want; /* -1: left alone; 0, 1 */
} all[] = {
	{ "auto-converge", -1 },
	{ "background-snapshot", 0 },
	{ "dirty-bitmaps", -1 },
	{ "dirty-limit", -1 },
	{ "events", 1 },
	{ "late-block-activate", -1 },
	{ "mapped-ram", 1 },
	{ "multifd", 1 },
	{ "pause-before-switchover", 0 },
	{ "postcopy-blocktime", -1 },
	{ "postcopy-preempt", 0 },
	{ "postcopy-ram", 0 },
	{ "rdma-pin-all", 0 },
	{ "release-ram", 0 },
	{ "return-path", 0 },
	{ "switchover-ack", 0 },
	{ "validate-uuid", -1 },
	{ "x-colo", 0 },
	{ "x-ignore-shared", 0 },
	{ "xbzrle", 0 },
	{ "zero-blocks", -1 },
	{ "zero-copy-send", 0 },
};

static const struct migrate_form form = {
	.mapped_ram = true, .channels = 4, .direct = true, .events = true
};

/* Asks a QEMU that has these capabilities. */
static int look(const char *capabilities, const char *parameters,
		struct migrate_settings *was, struct migrate_settings *set,
		struct mr_error *err)
{
	const struct fake_says says[] = {
		{ "query-migrate-capabilities", capabilities, NULL },
		{ "query-migrate-parameters", parameters, NULL },
		{ NULL, NULL, NULL },
	};
	const struct guest g = { .major = 10 };
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);
	int rc = migrate_look(q, &g, &form, was, set, err);

	fake_close(&f, q);
	return rc;
}

static void every_capability(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (int on = 0; on < 2; on++) {
			struct migrate_settings was, set;
			struct mr_error err = MR_ERROR_INIT;
			char text[160];
			bool changes = all[i].want >= 0 && all[i].want != on;

			(void)snprintf(text, sizeof(text),
				       RET("[{\"capability\": \"%s\", "
					   "\"state\": %s}]"),
				       all[i].name, on ? "true" : "false");
			assert_int_equal(look(text, RET("{" PARAMETERS "}"),
					      &was, &set, &err),
					 0);
			assert_int_equal(was.capabilities.n, changes);
			assert_int_equal(set.capabilities.n, changes);
			if (!changes)
				continue;
			assert_int_equal(was.capabilities.list[0].flag, on);
			assert_int_equal(set.capabilities.list[0].flag, !on);
		}
	}
}

/* An image without the memory in shared files: QEMU has to be told so. */
static void memory_elsewhere(void **state)
{
	static const char off[] = RET("[{\"capability\": \"x-ignore-shared\", "
				      "\"state\": false}]");
	const struct migrate_form shared = { .mapped_ram = true,
					     .ignore_shared = true };
	const struct fake_says says[] = {
		{ "query-migrate-capabilities", off, NULL },
		{ "query-migrate-parameters", RET("{" PARAMETERS "}"), NULL },
		{ NULL, NULL, NULL },
	};
	const struct guest g = { .major = 11 };
	struct migrate_settings was, set;
	struct mr_error err = MR_ERROR_INIT;
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);

	(void)state;
	assert_int_equal(migrate_look(q, &g, &shared, &was, &set, &err), 0);
	assert_int_equal(set.capabilities.n, 1);
	assert_true(set.capabilities.list[0].flag);
	assert_false(was.capabilities.list[0].flag);
	fake_close(&f, q);
}

/* A migration that its other end refuses: it has to be able to say so, and the
 * disks stay. */
static void refused(void **state)
{
	static const char off[] =
		RET("[{\"capability\": \"return-path\", \"state\": false},"
		    " {\"capability\": \"x-colo\", \"state\": false},"
		    " {\"capability\": \"x-ignore-shared\", "
		    "\"state\": false}," ON("mapped-ram") "]");
	const struct migrate_form no = { .ignore_shared = true,
					 .refused = true };
	const struct fake_says says[] = {
		{ "query-migrate-capabilities", off, NULL },
		{ "query-migrate-parameters", RET("{" PARAMETERS "}"), NULL },
		{ NULL, NULL, NULL },
	};
	const struct guest g = { .major = 10 };
	struct migrate_settings was, set;
	struct mr_error err = MR_ERROR_INIT;
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);

	(void)state;
	assert_int_equal(migrate_look(q, &g, &no, &was, &set, &err), 0);
	assert_int_equal(set.capabilities.n, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(set.capabilities.list[i].flag, i < 3);
		assert_int_equal(was.capabilities.list[i].flag, i == 3);
	}
	fake_close(&f, q);
}

static void unknown_capability(void **state)
{
	struct migrate_settings was, set;
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(look(RET("[" ON("x-new") "]"), RET("{" PARAMETERS "}"),
			      &was, &set, &err),
			 -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_non_null(strstr(err.msg, "x-new"));
	/* off, it does nothing */
	assert_int_equal(look(RET("[{\"capability\": \"x-new\", "
				  "\"state\": false}]"),
			      RET("{" PARAMETERS "}"), &was, &set, NULL),
			 0);
}

static void parameters(void **state)
{
	static const char *const names[] = {
		"max-bandwidth", "multifd-channels", "multifd-compression",
		"direct-io",	 "tls-creds",	     "mode"
	};
	struct migrate_settings was, set;
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(
		look(RET("[]"), RET("{" PARAMETERS "}"), &was, &set, &err), 0);
	assert_int_equal(was.parameters.n, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_non_null(ask_setting(&was.parameters, names[i]));
		assert_non_null(ask_setting(&set.parameters, names[i]));
	}
	/* nothing of the user's is executed */
	assert_string_equal(ask_setting(&set.parameters, "mode")->text,
			    "normal");
	assert_string_equal(ask_setting(&was.parameters, "mode")->text,
			    "cpr-exec");
	assert_string_equal(ask_setting(&set.parameters, "tls-creds")->text,
			    "");
	/* what could not be put back is not changed */
	assert_int_equal(look(RET("[]"), RET("{\"max-bandwidth\": 5}"), &was,
			      &set, &err),
			 -1);
	assert_int_equal(err.code, MR_QMP);
	assert_non_null(strstr(err.msg, "multifd-channels"));
}

/* The will says the same as migrate_restore does. */
static void will(void **state)
{
	struct migrate_settings was, set;
	char *text, *next;
	size_t len;

	(void)state;
	assert_int_equal(look(RET("[" ON("return-path") "]"),
			      RET("{" PARAMETERS "}"), &was, &set, NULL),
			 0);
	text = ask_will(&was.capabilities, &was.parameters, 77, false, &len,
			NULL);
	assert_non_null(text);
	assert_string_equal(text, "{\"execute\":\"remove-fd\",\"arguments\":"
				  "{\"fdset-id\":77},\"id\":"
				  "\"mrtools-rescue\"}");
	next = text + strlen(text) + 1;
	assert_non_null(strstr(next, "{\"capability\":\"return-path\","
				     "\"state\":true}"));
	next += strlen(next) + 1;
	assert_non_null(strstr(next, "\"migrate-set-parameters\""));
	assert_non_null(strstr(next, "\"mode\":\"cpr-exec\""));
	assert_non_null(strstr(next, "\"max-bandwidth\":134217728"));
	assert_int_equal(next + strlen(next) + 1 - text, len);
	free(text);
	text = ask_will(&was.capabilities, &was.parameters, 77, true, &len,
			NULL);
	assert_non_null(text);
	assert_string_equal(text, QMP_RESCUE_CANCEL);
	next = text + strlen(text) + 1;
	assert_non_null(strstr(next, "\"remove-fd\""));
	for (int i = 0; i < 2; i++)
		next += strlen(next) + 1;
	assert_int_equal(next + strlen(next) + 1 - text, len);
	free(text);
}

static void free_fdset(void **state)
{
	const struct fake_says says[] = {
		{ "query-fdsets", RET("[{\"fdset-id\": 0, \"fds\": []}]"),
		  NULL },
		{ "query-fdsets", RET("{}"), NULL },
		{ NULL, NULL, NULL },
	};
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);
	int64_t id = -1;

	(void)state;
	assert_int_equal(ask_free_fdset(q, &id, NULL), 0);
	assert_in_range(id, 0x40000000, INT32_MAX);
	assert_int_equal(ask_free_fdset(q, &id, NULL), -1);
	fake_close(&f, q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_capability),
		cmocka_unit_test(memory_elsewhere),
		cmocka_unit_test(refused),
		cmocka_unit_test(unknown_capability),
		cmocka_unit_test(parameters),
		cmocka_unit_test(will),
		cmocka_unit_test(free_fdset),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
