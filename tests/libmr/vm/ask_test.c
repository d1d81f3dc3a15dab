/*
 * ask_test.c - answers that are right, that lack something, that are of
 * another kind, and that mean harm: none of them is taken for a yes.
 */
#include "tests/libmr/fake_qmp.h"

#include "libmr/base/error.h"
#include "libmr/vm/ask.h"

#define RET(json) "\"return\": " json

static void expect_odd(struct mr_error *err, const char *command)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
		       "QEMU's answer to %s has another form than expected",
		       command);
	assert_int_equal(err->code, MR_QMP);
	assert_string_equal(err->msg, text);
	*err = (struct mr_error)MR_ERROR_INIT;
}

/* One question to a QEMU that has one answer to it, as its text. */
#define ASK(question, text, call)                                            \
	do {                                                                 \
		const struct fake_says says_[] = { { question, text, NULL }, \
						   { NULL, NULL, NULL } };   \
		struct fake f_;                                              \
		struct qmp *q = fake_open(&f_, says_, NULL);                 \
		call;                                                        \
		fake_close(&f_, q);                                          \
	} while (0)

#define FAILS(question, text, call)                                   \
	do {                                                          \
		struct mr_error err = MR_ERROR_INIT;                  \
		ASK(question, RET(text), assert_int_equal(call, -1)); \
		expect_odd(&err, question);                           \
	} while (0)

static void append(char *text, size_t size, const char *end)
{
	size_t at = strlen(text);

	(void)snprintf(text + at, size - at, "%s", end);
}

/* ---- what it is ---- */

static void version(void **state)
{
	static const char *const odd[] = {
		"{\"QMP\": {}}",
		"{\"QMP\": {\"version\": 10}}",
		"{\"QMP\": {\"version\": {\"qemu\": \"10.0.2\"}}}",
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10, "
		"\"minor\": 0}}}}",
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": -1, "
		"\"minor\": 0, \"micro\": 0}}}}",
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10, "
		"\"minor\": \"0\", \"micro\": 0}}}}",
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10, "
		"\"minor\": 0, \"micro\": 4294967296}}}}",
	};
	static const struct fake_says none[] = { { NULL, NULL, NULL } };
	struct mr_error err = MR_ERROR_INIT;
	struct ask_version v;
	struct fake f;
	struct qmp *q = fake_open(&f, none, NULL);

	(void)state;
	assert_int_equal(ask_version(q, &v, &err), 0);
	assert_true(v.major == 10 && v.minor == 0 && v.micro == 2);
	fake_close(&f, q);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		q = fake_open(&f, none, odd[i]);
		assert_int_equal(ask_version(q, &v, &err), -1);
		expect_odd(&err, "the connection (greeting)");
		fake_close(&f, q);
	}
}

static void machine(void **state)
{
	char name[256], text[400] = RET("\"");
	size_t at = strlen(text);

	(void)state;
	ASK("qom-get", RET("\"pc-q35-9.0-machine\""),
	    assert_int_equal(ask_machine(q, name, NULL), 0));
	assert_string_equal(name, "pc-q35-9.0");
	ASK("qom-get", RET("\"-machine\""),
	    assert_int_equal(ask_machine(q, name, NULL), 0));
	assert_string_equal(name, "-machine");
	FAILS("qom-get", "null", ask_machine(q, name, &err));
	FAILS("qom-get", "{\"type\": \"pc\"}", ask_machine(q, name, &err));
	FAILS("qom-get", "\"pc\\u0000-machine\"", ask_machine(q, name, &err));
	memset(text + at, 'x', 256);
	(void)snprintf(text + at + 256, 2, "\"");
	ASK("qom-get", text, assert_int_equal(ask_machine(q, name, NULL), -1));
	text[at + 255] = '"';
	text[at + 256] = '\0';
	ASK("qom-get", text, assert_int_equal(ask_machine(q, name, NULL), 0));
	assert_int_equal(strlen(name), 255);
}

static void cpus(void **state)
{
	unsigned n = 0;

	(void)state;
	ASK("query-cpus-fast", RET("[{}, {}]"),
	    assert_int_equal(ask_cpus(q, &n, NULL), 0));
	assert_int_equal(n, 2);
	FAILS("query-cpus-fast", "{}", ask_cpus(q, &n, &err));
}

static void pci(void **state)
{
	uint64_t at[4];

	(void)state;
	ASK("query-pci",
	    RET("[{\"bus\": 1, \"devices\": [{\"slot\": 9, \"function\": 0}]},"
		" {\"bus\": 0, \"devices\": [{\"slot\": 0, \"function\": 1},"
		" {\"slot\": 31, \"function\": 7}]}]"),
	    assert_int_equal(ask_pci(q, at, NULL), 1));
	assert_true(at[0] == 2 && !at[1] && !at[2] &&
		    at[3] == UINT64_C(1) << 63);
	ASK("query-pci", RET("[]"), assert_int_equal(ask_pci(q, at, NULL), 0));
	ASK("query-pci",
	    "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}",
	    assert_int_equal(ask_pci(q, at, NULL), 0));
	FAILS("query-pci", "{}", ask_pci(q, at, &err));
	FAILS("query-pci", "[{\"bus\": 0}]", ask_pci(q, at, &err));
	FAILS("query-pci",
	      "[{\"bus\": 0, \"devices\": [{\"slot\": 32, \"function\": 0}]}]",
	      ask_pci(q, at, &err));
	FAILS("query-pci",
	      "[{\"bus\": 0, \"devices\": [{\"slot\": 1, \"function\": "
	      "\"0\"}]}]",
	      ask_pci(q, at, &err));
}

static void target(void **state)
{
	char arch[32];

	(void)state;
	ASK("query-target", RET("{\"arch\": \"aarch64\"}"),
	    assert_int_equal(ask_target(q, arch, NULL), 0));
	assert_string_equal(arch, "aarch64");
	FAILS("query-target", "{}", ask_target(q, arch, &err));
	FAILS("query-target", "\"x86_64\"", ask_target(q, arch, &err));
	FAILS("query-target", "{\"arch\": [\"x86_64\"]}",
	      ask_target(q, arch, &err));
	FAILS("query-target",
	      "{\"arch\": \"0123456789012345678901234567890123\"}",
	      ask_target(q, arch, &err));
}

static void undescribed(void **state)
{
	bool is = false;

	(void)state;
	ASK("qom-get", RET("true"),
	    assert_int_equal(ask_undescribed(q, &is, NULL), 0));
	assert_true(is);
	ASK("qom-get", RET("false"),
	    assert_int_equal(ask_undescribed(q, &is, NULL), 0));
	assert_false(is);
	FAILS("qom-get", "{}", ask_undescribed(q, &is, &err));
}

static void ramblock(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	char *text = NULL;

	(void)state;
	ASK("x-query-ramblock", RET("{\"human-readable-text\": \"a\\nb\"}"),
	    text = ask_ramblock(q, NULL));
	assert_string_equal(text, "a\nb");
	free(text);
	ASK("x-query-ramblock", RET("{}"), assert_null(ask_ramblock(q, &err)));
	expect_odd(&err, "x-query-ramblock");
	ASK("x-query-ramblock", RET("[]"), assert_null(ask_ramblock(q, &err)));
	expect_odd(&err, "x-query-ramblock");
	ASK("x-query-ramblock", RET("{\"human-readable-text\": \"a\\u0000b\"}"),
	    assert_null(ask_ramblock(q, &err)));
	expect_odd(&err, "x-query-ramblock");
	ASK("x-query-ramblock", "\"error\": {\"desc\": \"not here\"}",
	    assert_null(ask_ramblock(q, &err)));
	assert_string_equal(err.msg, "x-query-ramblock: not here");
}

static void devices(void **state)
{
	static const char peripheral[] =
		RET("[{\"name\": \"type\", \"type\": \"string\"}, "
		    "{\"name\": \"nic\", \"type\": \"child<e1000>\"}]");
	static const char *const odd[] = {
		RET("{}"),
		RET("[1]"),
		RET("[{\"name\": \"a\"}]"),
		RET("[{\"name\": 1, \"type\": \"x\"}]"),
	};
	const struct fake_says says[] = {
		{ "qom-list", peripheral, NULL },
		{ "qom-list", RET("[]"), NULL },
		{ "qom-list", RET("[]"), NULL },
		{ "qom-list", "\"error\": {\"desc\": \"no such path\"}", NULL },
		{ NULL, NULL, NULL },
	};
	struct mr_error err = MR_ERROR_INIT;
	struct fake f;
	struct qmp *vm = fake_open(&f, says, NULL);
	char *all = ask_devices(vm, &err);

	(void)state;
	assert_string_equal(all, "type string\nnic child<e1000>\n");
	free(all);
	assert_null(ask_devices(vm, &err));
	assert_string_equal(err.msg, "qom-list: no such path");
	fake_close(&f, vm);
	assert_non_null(strstr(f.told, "\"/machine/peripheral\""));
	assert_non_null(strstr(f.told, "\"/machine/peripheral-anon\""));
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		err = (struct mr_error)MR_ERROR_INIT;
		ASK("qom-list", odd[i], assert_null(ask_devices(q, &err)));
		expect_odd(&err, "qom-list");
	}
}

static void identify(const char *name, const char *uuid, struct ask_identity *i)
{
	char a[400], b[200];
	const struct fake_says says[] = { { "query-name", a, NULL },
					  { "query-uuid", b, NULL },
					  { NULL, NULL, NULL } };
	struct fake f;
	struct qmp *q;

	(void)snprintf(a, sizeof(a), "\"return\": {%s}", name);
	(void)snprintf(b, sizeof(b), "\"return\": {%s}", uuid);
	q = fake_open(&f, says, NULL);
	assert_int_equal(ask_identity(q, i, NULL), 0);
	fake_close(&f, q);
}

static void note_memory(void *arg, const struct ask_memory_device *d)
{
	char *text = arg, more[400];

	(void)snprintf(more, sizeof(more), "%s 0x%llx+0x%llx\n", d->memdev,
		       (unsigned long long)d->gpa,
		       (unsigned long long)d->length);
	append(text, 1024, more);
}

#define DIMM(data) "[{\"type\": \"dimm\", \"data\": {" data "}}]"

static void memory_devices(void **state)
{
	static const char *const odd[] = {
		"{}",
		"[1]",
		"[{\"data\": {}}]",
		"[{\"type\": 1, \"data\": {}}]",
		"[{\"type\": \"dimm\"}]",
		"[{\"type\": \"dimm\", \"data\": []}]",
		DIMM("\"addr\": 1, \"size\": 2"),
		DIMM("\"addr\": 1, \"memdev\": \"/objects/m\""),
		DIMM("\"size\": 1, \"memdev\": \"/objects/m\""),
		DIMM("\"addr\": -1, \"size\": 2, \"memdev\": \"m\""),
		DIMM("\"addr\": \"1\", \"size\": 2, \"memdev\": \"m\""),
		DIMM("\"addr\": 1, \"size\": 2, \"memdev\": 3"),
		DIMM("\"addr\": 1, \"size\": 2, \"memdev\": \"m\\u0000\""),
		/* where virtio-mem has it */
		DIMM("\"memaddr\": 1, \"size\": 2, \"memdev\": \"m\""),
	};
	static const struct ask_memory_device path = { .memdev = "/objects/m" };
	static const struct ask_memory_device other = { .memdev = "/other/m" };
	static const struct ask_memory_device bus = { .memdev = "/objects/m",
						      .has_path = true };
	char text[1024] = "";

	(void)state;
	ASK("query-memory-devices",
	    RET("[{\"type\": \"dimm\", \"data\": {\"addr\": 4563402752, "
		"\"size\": 134217728, \"slot\": 0, \"node\": 0, "
		"\"memdev\": \"/objects/m1\", \"hotplugged\": false}}, "
		"{\"type\": \"hv-balloon\", \"data\": {}}, "
		"{\"type\": \"virtio-mem\", \"data\": {\"memaddr\": 1, "
		"\"size\": 2, \"max-size\": 3, "
		"\"memdev\": \"/objects/m2\"}}]"),
	    assert_int_equal(ask_memory_devices(q, note_memory, text, NULL),
			     0));
	assert_string_equal(text, "/objects/m1 0x110000000+0x8000000\n"
				  "/objects/m2 0x1+0x3\n");
	text[0] = '\0';
	ASK("query-memory-devices", RET("[]"),
	    assert_int_equal(ask_memory_devices(q, note_memory, text, NULL),
			     0));
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct mr_error err = MR_ERROR_INIT;
		char answer[400] = "\"return\": ";

		append(answer, sizeof(answer), odd[i]);
		ASK("query-memory-devices", answer,
		    assert_int_equal(
			    ask_memory_devices(q, note_memory, text, &err),
			    -1));
		expect_odd(&err, "query-memory-devices");
	}
	assert_string_equal(text, "");
	assert_true(ask_is_block_of(&path, "m"));
	assert_true(ask_is_block_of(&path, "/objects/m"));
	assert_false(ask_is_block_of(&path, "objects/m"));
	assert_false(ask_is_block_of(&path, "m2"));
	assert_false(ask_is_block_of(&other, "m"));
	assert_true(ask_is_block_of(&other, "/other/m"));
	assert_false(ask_is_block_of(&path, "0000:00:02.0/m"));
	assert_true(ask_is_block_of(&bus, "0000:00:02.0/m"));
	assert_true(ask_is_block_of(&bus, "0000:00:02.0//objects/m"));
	assert_true(ask_is_block_of(&bus, "m"));
	assert_false(ask_is_block_of(&bus, "0000:00:02.0/xm"));
	assert_false(ask_is_block_of(&bus, "xm"));
}

static void identity(void **state)
{
	static const uint8_t id[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98,
					0x76, 0x54, 0x32, 0x10 };
	static const char *const none[] = {
		"",
		"\"UUID\": 5",
		"\"UUID\": \"\"",
		"\"UUID\": \"00000000-0000-0000-0000-000000000000\"",
		"\"UUID\": \"01234567-89ab-cdef-fedc-ba987654321\"",
		"\"UUID\": \"01234567-89ab-cdef-fedc-ba98765432100\"",
		"\"UUID\": \"01234567-89ab-cdef-fedc-ba987654321g\"",
	};
	struct ask_identity i;

	(void)state;
	identify("\"name\": \"web1\"",
		 "\"UUID\": \"01234567-89AB-cdef-fedc-ba9876543210\"", &i);
	assert_string_equal(i.name, "web1");
	assert_true(i.has_uuid);
	assert_memory_equal(i.uuid, id, sizeof(id));
	for (size_t n = 0; n < ARRAY_LEN(none); n++) {
		identify(n ? "\"name\": \"a\\nb\"" : "", none[n], &i);
		assert_string_equal(i.name, "");
		assert_false(i.has_uuid);
	}
	FAILS("query-name", "[]", ask_identity(q, &i, &err));
}

/* ---- how it is ---- */

static void status(void **state)
{
	struct ask_status s;

	(void)state;
	ASK("query-status", RET("{\"status\": \"running\", \"running\": true}"),
	    assert_int_equal(ask_status(q, &s, NULL), 0));
	assert_string_equal(s.name, "running");
	assert_true(s.running);
	ASK("query-status",
	    RET("{\"status\": \"paused\", \"running\": false, "
		"\"singlestep\": 1}"),
	    assert_int_equal(ask_status(q, &s, NULL), 0));
	assert_false(s.running);
	/* not to know is not to stand still */
	FAILS("query-status", "{\"status\": \"paused\"}",
	      ask_status(q, &s, &err));
	FAILS("query-status", "{\"status\": \"paused\", \"running\": 0}",
	      ask_status(q, &s, &err));
	FAILS("query-status", "{\"status\": \"paused\", \"running\": null}",
	      ask_status(q, &s, &err));
	FAILS("query-status", "{\"running\": false}", ask_status(q, &s, &err));
	FAILS("query-status", "{\"status\": 3, \"running\": false}",
	      ask_status(q, &s, &err));
	FAILS("query-status", "null", ask_status(q, &s, &err));
}

/* ---- its migration ---- */

static void migration(void **state)
{
	struct ask_migration m;

	(void)state;
	ASK("query-migrate", RET("{}"),
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_int_equal(m.phase, ASK_MIGRATION_NONE);
	assert_string_equal(m.status, "none");
	assert_false(m.blocked);
	ASK("query-migrate",
	    RET("{\"status\": \"failed\", \"error-desc\": \"disk\", "
		"\"downtime\": 7, \"ram\": {\"total\": 100, \"remaining\": 40, "
		"\"normal\": 3, \"duplicate\": 2, \"page-size\": 1024}}"),
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_int_equal(m.phase, ASK_MIGRATION_FAILED);
	assert_string_equal(m.error, "disk");
	assert_true(m.total == 100 && m.remaining == 40 && m.normal == 3 &&
		    m.duplicate == 2 && m.page_size == 1024 && m.downtime == 7);
	ASK("query-migrate",
	    RET("{\"status\": \"active\", \"ram\": "
		"{\"total\": 18446744073709551615}}"),
	    assert_int_equal(ask_migration(q, &m, NULL), -1));
	/* one number beyond 63 bits makes reals of all, which is no harm */
	ASK("query-migrate",
	    RET("{\"downtime\": 7, \"else\": 18446744073709551615}"),
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_int_equal(m.downtime, 7);
	FAILS("query-migrate", "[]", ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"status\": 1}", ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"status\": null}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate",
	      "{\"status\": \"0123456789012345678901234567890123\"}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"error-desc\": {}}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"ram\": 5}", ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"ram\": {\"total\": -1}}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"downtime\": \"7\"}",
	      ask_migration(q, &m, &err));
}

/* Whether a migration has been put away. */
static void put_away(void **state)
{
	bool there = true;

	(void)state;
	ASK("query-yank", RET("[{\"type\": \"chardev\", \"id\": \"c\"}]"),
	    assert_int_equal(ask_migration_there(q, &there, NULL), 0));
	assert_false(there);
	ASK("query-yank",
	    RET("[{\"type\": \"chardev\"}, {\"type\": \"migration\"}]"),
	    assert_int_equal(ask_migration_there(q, &there, NULL), 0));
	assert_true(there);
	/* before QEMU 6.0 */
	ASK("query-yank", "\"error\": {\"desc\": \"no\"}",
	    assert_int_equal(ask_migration_there(q, &there, NULL), 0));
	assert_false(there);
	FAILS("query-yank", "{}", ask_migration_there(q, &there, &err));
}

static void blockers(void **state)
{
	struct ask_migration m;
	char text[1400] = RET("{\"blocked-reasons\": [\"");

	(void)state;
	ASK("query-migrate", RET("{\"blocked-reasons\": [\"nvme\", \"x\"]}"),
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_true(m.blocked);
	assert_string_equal(m.reason, "nvme");
	/* there, but empty: that is no leave to go on */
	ASK("query-migrate", RET("{\"blocked-reasons\": []}"),
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_true(m.blocked);
	assert_string_equal(m.reason, "no reason given");
	FAILS("query-migrate", "{\"blocked-reasons\": \"nvme\"}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"blocked-reasons\": null}",
	      ask_migration(q, &m, &err));
	FAILS("query-migrate", "{\"blocked-reasons\": [1]}",
	      ask_migration(q, &m, &err));
	memset(text + strlen(text), 'r', 1000);
	append(text, sizeof(text), "\"]}");
	ASK("query-migrate", text,
	    assert_int_equal(ask_migration(q, &m, NULL), 0));
	assert_int_equal(strlen(m.reason), sizeof(m.reason) - 1);
}

static void phases(void **state)
{
	static const struct {
		const char *word;
		enum ask_phase phase;
	} all[] = {
		{ "none", ASK_MIGRATION_NONE },
		{ "setup", ASK_MIGRATION_UNDER_WAY },
		{ "cancelling", ASK_MIGRATION_UNDER_WAY },
		{ "cancelled", ASK_MIGRATION_CANCELLED },
		{ "active", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-active", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-device", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-paused", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-recover-setup", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-recover", ASK_MIGRATION_UNDER_WAY },
		{ "completed", ASK_MIGRATION_COMPLETED },
		{ "failing", ASK_MIGRATION_UNDER_WAY },
		{ "failed", ASK_MIGRATION_FAILED },
		{ "colo", ASK_MIGRATION_UNDER_WAY },
		{ "pre-switchover", ASK_MIGRATION_WAITS },
		{ "device", ASK_MIGRATION_UNDER_WAY },
		{ "wait-unplug", ASK_MIGRATION_WAITS_GUEST },
		{ "Completed", ASK_MIGRATION_UNKNOWN },
		{ "completed ", ASK_MIGRATION_UNKNOWN },
		{ "", ASK_MIGRATION_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char text[128];
		struct ask_migration m;

		(void)snprintf(text, sizeof(text), RET("{\"status\": \"%s\"}"),
			       all[i].word);
		ASK("query-migrate", text,
		    assert_int_equal(ask_migration(q, &m, NULL), 0));
		assert_int_equal(m.phase, all[i].phase);
		assert_string_equal(m.status, all[i].word);
	}
}

/* ---- capabilities and parameters ---- */

static void capabilities(void **state)
{
	struct ask_settings s;

	(void)state;
	ASK("query-migrate-capabilities",
	    RET("[{\"capability\": \"events\", \"state\": true}, "
		"{\"capability\": \"multifd\", \"state\": false}]"),
	    assert_int_equal(ask_capabilities(q, &s, NULL), 0));
	assert_int_equal(s.n, 2);
	assert_true(ask_setting(&s, "events")->flag);
	assert_false(ask_setting(&s, "multifd")->flag);
	assert_null(ask_setting(&s, "event"));
	FAILS("query-migrate-capabilities", "{}",
	      ask_capabilities(q, &s, &err));
	FAILS("query-migrate-capabilities", "[1]",
	      ask_capabilities(q, &s, &err));
	FAILS("query-migrate-capabilities", "[{\"state\": true}]",
	      ask_capabilities(q, &s, &err));
	FAILS("query-migrate-capabilities", "[{\"capability\": \"events\"}]",
	      ask_capabilities(q, &s, &err));
	FAILS("query-migrate-capabilities",
	      "[{\"capability\": \"events\", \"state\": 0}]",
	      ask_capabilities(q, &s, &err));
	FAILS("query-migrate-capabilities",
	      "[{\"capability\": \"a\", \"state\": true}, "
	      "{\"capability\": \"a\", \"state\": false}]",
	      ask_capabilities(q, &s, &err));
}

static void too_many(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	char text[8192] = RET("{");
	struct ask_settings s;

	(void)state;
	for (int i = 0; i <= ASK_SETTINGS_MAX; i++) {
		size_t at = strlen(text);

		(void)snprintf(text + at, sizeof(text) - at, "%s\"p%d\": %d",
			       i ? ", " : "", i, i);
	}
	append(text, sizeof(text), "}");
	ASK("query-migrate-parameters", text,
	    assert_int_equal(ask_parameters(q, &s, &err), -1));
	expect_odd(&err, "query-migrate-parameters");
}

static void parameters(void **state)
{
	char text[512] = RET("{\"long\": \"");
	struct ask_settings s;

	(void)state;
	ASK("query-migrate-parameters",
	    RET("{\"direct-io\": true, \"max-bandwidth\": 134217728, "
		"\"tls-creds\": \"\", \"mode\": \"normal\", "
		"\"cpr-exec-command\": [\"rm\"], \"odd\": 1.5e300}"),
	    assert_int_equal(ask_parameters(q, &s, NULL), 0));
	assert_int_equal(s.n, 6);
	assert_int_equal(ask_setting(&s, "direct-io")->kind, ASK_FLAG);
	assert_true(ask_setting(&s, "direct-io")->flag);
	assert_int_equal(ask_setting(&s, "max-bandwidth")->kind, ASK_NUMBER);
	assert_int_equal(ask_setting(&s, "max-bandwidth")->number, 134217728);
	assert_int_equal(ask_setting(&s, "tls-creds")->kind, ASK_TEXT);
	assert_string_equal(ask_setting(&s, "mode")->text, "normal");
	assert_int_equal(ask_setting(&s, "cpr-exec-command")->kind,
			 ASK_NOTHING);
	assert_int_equal(ask_setting(&s, "odd")->kind, ASK_NOTHING);
	FAILS("query-migrate-parameters", "[]", ask_parameters(q, &s, &err));
	FAILS("query-migrate-parameters",
	      "{\"a-name-of-a-parameter-that-is-longer-than-there-is-room\": "
	      "1}",
	      ask_parameters(q, &s, &err));
	/* a text beyond our room has no value: it could not be put back */
	memset(text + strlen(text), 'x', 200);
	append(text, sizeof(text), "\"}");
	ASK("query-migrate-parameters", text,
	    assert_int_equal(ask_parameters(q, &s, NULL), 0));
	assert_int_equal(ask_setting(&s, "long")->kind, ASK_NOTHING);
}

static void sets(void **state)
{
	static const struct fake_says says[] = {
		{ "migrate-set-capabilities", RET("{}"), NULL },
		{ "migrate-set-parameters", RET("{}"), NULL },
		{ NULL, NULL, NULL },
	};
	struct ask_settings s = { .n = 0 };
	struct ask_setting one = { .name = "events", .kind = ASK_FLAG };
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);

	(void)state;
	/* nothing to say: nothing is said */
	assert_int_equal(ask_set_capabilities(q, &s, NULL), 0);
	assert_int_equal(ask_set_parameters(q, &s, NULL), 0);
	assert_int_equal(ask_settings_add(&s, &one), 0);
	one.flag = true;
	assert_int_equal(ask_settings_add(&s, &one), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(ask_set_capabilities(q, &s, NULL), 0);
	one = (struct ask_setting){ .name = "n",
				    .kind = ASK_NUMBER,
				    .number = 5 };
	assert_int_equal(ask_settings_add(&s, &one), 0);
	one = (struct ask_setting){ .name = "t",
				    .kind = ASK_TEXT,
				    .text = "\"}" };
	assert_int_equal(ask_settings_add(&s, &one), 0);
	one = (struct ask_setting){ .name = "z", .kind = ASK_NOTHING };
	assert_int_equal(ask_settings_add(&s, &one), 0);
	assert_int_equal(ask_set_parameters(q, &s, NULL), 0);
	fake_close(&f, q);
	assert_non_null(strstr(f.told, "[{\"capability\":\"events\","
				       "\"state\":true}]"));
	assert_non_null(strstr(f.told, "{\"events\":true,\"n\":5,"
				       "\"t\":\"\\\"}\"}"));
	while (s.n < ASK_SETTINGS_MAX) {
		(void)snprintf(one.name, sizeof(one.name), "%zu", s.n);
		assert_int_equal(ask_settings_add(&s, &one), 0);
	}
	(void)snprintf(one.name, sizeof(one.name), "more");
	assert_int_equal(ask_settings_add(&s, &one), -1);
}

/* ---- what it is told, and tells ---- */

static void commands(void **state)
{
	static const struct fake_says says[] = {
		{ "stop", RET("{}"), NULL },
		{ "cont", RET("{}"), NULL },
		{ "migrate", RET("{}"), NULL },
		{ "migrate-incoming", RET("{}"), NULL },
		{ "xen-save-devices-state", RET("{}"), NULL },
		{ NULL, NULL, NULL },
	};
	struct mr_error err = MR_ERROR_INIT;
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);

	(void)state;
	assert_int_equal(ask_stop(q, &err), 0);
	assert_int_equal(ask_cont(q, &err), 0);
	assert_int_equal(ask_migrate(q, "file:/dev/fdset/1", &err), 0);
	assert_int_equal(ask_migrate_incoming(q, "file:a", false, &err), 0);
	assert_int_equal(ask_migrate_incoming(q, "file:b", true, &err), 0);
	assert_int_equal(ask_device_state(q, "/dev/fdset/2", &err), 0);
	fake_close(&f, q);
	assert_string_equal(
		f.told,
		"{\"execute\":\"qmp_capabilities\"\n"
		"{\"execute\":\"stop\"\n"
		"{\"execute\":\"cont\"\n"
		"{\"arguments\":{\"uri\":\"file:/dev/fdset/1\"},"
		"\"execute\":\"migrate\"\n"
		"{\"arguments\":{\"uri\":\"file:a\"},"
		"\"execute\":\"migrate-incoming\"\n"
		"{\"arguments\":{\"uri\":\"file:b\",\"exit-on-error\":false},"
		"\"execute\":\"migrate-incoming\"\n"
		"{\"arguments\":{\"filename\":\"/dev/fdset/2\","
		"\"live\":false},\"execute\":\"xen-save-devices-state\"\n");
}

static void events(void **state)
{
	static const struct fake_says says[] = {
		{ "stop", RET("{}"),
		  "{\"event\": \"MIGRATION\", \"data\": {\"status\": "
		  "\"completed\"}}\r\n"
		  "{\"event\": \"MIGRATION\", \"data\": {\"status\": 5}}\r\n"
		  "{\"event\": \"MIGRATION\"}\r\n"
		  "{\"event\": \"RESUME\", \"data\": []}\r\n" },
		{ NULL, NULL, NULL },
	};
	struct mr_error err = MR_ERROR_INIT;
	atomic_bool cancel = true;
	enum ask_phase phase;
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);

	(void)state;
	assert_int_equal(ask_migration_event(q, 0, NULL, &phase, &err), 0);
	ask_undisturbed(q);
	assert_null(ask_disturbed(q));
	assert_int_equal(ask_stop(q, &err), 0);
	assert_string_equal(ask_disturbed(q), "RESUME");
	assert_null(ask_disturbed(q)); /* once told */

	assert_int_equal(ask_migration_event(q, 0, NULL, &phase, &err), 1);
	assert_int_equal(phase, ASK_MIGRATION_COMPLETED);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask_migration_event(q, 0, NULL, &phase, &err),
				 1);
		assert_int_equal(phase, ASK_MIGRATION_UNKNOWN);
	}
	assert_int_equal(ask_migration_event(q, 1, NULL, &phase, &err), 0);
	assert_int_equal(ask_migration_event(q, 1, &cancel, &phase, &err), -1);
	assert_int_equal(err.code, MR_CANCELLED);
	err = (struct mr_error)MR_ERROR_INIT;
	/* the end of the connection is no "none yet" */
	(void)shutdown(f.fd, SHUT_RDWR);
	assert_int_equal(ask_migration_event(q, FAKE_AMPLE, NULL, &phase, &err),
			 -1);
	assert_int_equal(err.code, MR_QMP);
	fake_close(&f, q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version),
		cmocka_unit_test(machine),
		cmocka_unit_test(target),
		cmocka_unit_test(undescribed),
		cmocka_unit_test(cpus),
		cmocka_unit_test(pci),
		cmocka_unit_test(ramblock),
		cmocka_unit_test(devices),
		cmocka_unit_test(memory_devices),
		cmocka_unit_test(identity),
		cmocka_unit_test(status),
		cmocka_unit_test(migration),
		cmocka_unit_test(put_away),
		cmocka_unit_test(blockers),
		cmocka_unit_test(phases),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(too_many),
		cmocka_unit_test(parameters),
		cmocka_unit_test(sets),
		cmocka_unit_test(commands),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
