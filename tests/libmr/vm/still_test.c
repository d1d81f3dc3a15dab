/* still_test.c - a VM that stands still, and all the ways in which it does not.
 */
#include "tests/libmr/fake_qmp.h"

#include "libmr/vm/still.h"

#define RET(json) "\"return\": " json
#define RAM(name)                                                             \
	RET("{\"human-readable-text\": \"Block Name PSize Offset Used Total " \
	    "HVA RO\\n" name                                                  \
	    "    4 KiB  0x0000000000000000 0x0000000000010000 "               \
	    "0x0000000000010000 0x0000000010000000  rw\\n\"}")
#define STATUS(name, running) \
	RET("{\"status\": \"" name "\", \"running\": " running "}")
#define PAUSED STATUS("paused", "false")
#define NOTHING RET("[]")
#define DIMM                                                \
	RET("[{\"name\": \"type\", \"type\": \"string\"}, " \
	    "{\"name\": \"dimm0\", \"type\": \"child<pc-dimm>\"}]")
#define NOBODY RET("[{\"name\": \"type\", \"type\": \"string\"}]")
#define EVENT(name) "{\"event\": \"" name "\", \"data\": {}}\r\n"

/* guest_open asks once, still_begin again, still_prove a third time. */
#define BEFORE                                                       \
	{ "qom-get", RET("\"pc-machine\""), NULL },                  \
		{ "query-status", STATUS("running", "true"), NULL }, \
	{                                                            \
		"x-query-ramblock", RAM("pc.ram"), NULL              \
	}
#define END                      \
	{                        \
		NULL, NULL, NULL \
	}

/* Begins and proves. 0: it stood still; 1: not even at first; 2: not to the
 * end. *err says why. */
static int play(const struct fake_says *says, struct mr_error *err)
{
	struct still still = { .q = NULL };
	struct fake f;
	struct qmp *q = fake_open(&f, says, NULL);
	struct guest *g = guest_open(q, getpid(), err);
	int rc = 0;

	assert_non_null(g);
	if (still_begin(&still, q, g, err))
		rc = 1;
	else if (still_prove(&still, err))
		rc = 2;
	still_release(&still);
	guest_free(g);
	fake_close(&f, q);
	return rc;
}

static void expect(const struct fake_says *says, int rc, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(play(says, &err), rc);
	assert_int_equal(err.code, rc ? MR_QMP : MR_OK);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
}

static void stands(void **state)
{
	/* What happened before it was stopped does not count, nor do events
	 * that say nothing about the guest. */
	const struct fake_says says[] = {
		BEFORE,
		{ "query-status", PAUSED, NULL },
		{ "query-status", PAUSED,
		  EVENT("VNC_CONNECTED") EVENT("RTC_CHANGE") },
		{ "x-query-ramblock", RAM("pc.ram"), NULL },
		{ "qom-list", DIMM, NULL },
		END,
	};

	(void)state;
	expect(says, 0, "");
}

static void never_stopped(void **state)
{
	static const char *const live[] = {
		STATUS("running", "true"),
		/* live for QEMU, whatever it says of vCPUs */
		STATUS("suspended", "false"),
		STATUS("running", "false"),
		STATUS("paused", "true"),
		/* not known to stand still */
		STATUS("hibernating", "false"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(live); i++) {
		const struct fake_says says[] = {
			BEFORE,
			{ "query-status", live[i], NULL },
			{ "x-query-ramblock", RAM("pc.ram"), NULL },
			{ "qom-list", NOTHING, NULL },
			END,
		};

		expect(says, 1, "does not stand still");
	}
}

/* Each of them, once, before the last answer. */
static void disturbed(void **state)
{
	static const char *const events[] = {
		EVENT("RESUME"),
		EVENT("RESET"),
		EVENT("STOP"),
		EVENT("WAKEUP"),
		EVENT("SUSPEND"),
		EVENT("SUSPEND_DISK"),
		EVENT("SHUTDOWN"),
		EVENT("GUEST_PANICKED"),
		EVENT("DEVICE_DELETED"),
		EVENT("MEMORY_DEVICE_SIZE_CHANGE"),
		EVENT("BALLOON_CHANGE"),
		EVENT("MEMORY_FAILURE"),
		EVENT("WATCHDOG"),
		EVENT("MIGRATION"),
		EVENT("MEM_UNPLUG_ERROR"),
		EVENT("COLO_EXIT"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		for (int where = 0; where < 3; where++) {
			const char *e[3] = { NULL, NULL, NULL };
			const struct fake_says says[] = {
				BEFORE,
				{ "query-status", PAUSED, e[0] },
				{ "query-status", PAUSED, e[2] },
				{ "x-query-ramblock", RAM("pc.ram"), NULL },
				{ "qom-list", DIMM, e[1] },
				END,
			};
			struct fake_says with[ARRAY_LEN(says)];
			static const size_t at[] = { 3, 6, 4 };

			memcpy(with, says, sizeof(with));
			with[at[where]].before = events[i];
			expect(with, 2, "another client");
		}
	}
}

/* A flood that pushes what matters out of the queue of events. */
static void in_a_flood(void **state)
{
	static const char noise[] = EVENT("VNC_CONNECTED");
	size_t n = QMP_EVENTS_MAX + 10, len = sizeof(noise) - 1;
	char *flood = malloc(n * len + 64);
	struct fake_says says[] = {
		BEFORE,
		{ "query-status", PAUSED, NULL },
		{ "query-status", PAUSED, NULL },
		{ "x-query-ramblock", RAM("pc.ram"), NULL },
		{ "qom-list", NOTHING, NULL },
		END,
	};

	(void)state;
	assert_non_null(flood);
	memcpy(flood, EVENT("RESUME"), sizeof(EVENT("RESUME")));
	for (size_t i = 0, at = strlen(flood); i < n; i++, at += len)
		memcpy(flood + at, noise, len + 1);
	says[6].before = flood;
	expect(says, 2, "event RESUME");
	free(flood);
}

static void another_state(void **state)
{
	static const char *const after[] = {
		STATUS("prelaunch", "false"), STATUS("running", "true"),
		STATUS("paused", "true"),     STATUS("postmigrate", "false"),
		STATUS("save-vm", "false"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		const struct fake_says says[] = {
			BEFORE,
			{ "query-status", PAUSED, NULL },
			{ "query-status", after[i], NULL },
			{ "x-query-ramblock", RAM("pc.ram"), NULL },
			{ "qom-list", NOTHING, NULL },
			END,
		};

		expect(says, 2, "the VM went from paused to");
	}
}

static void other_blocks(void **state)
{
	const struct fake_says says[] = {
		BEFORE,
		{ "query-status", PAUSED, NULL },
		{ "x-query-ramblock", RAM("pc.ram"), NULL },
		{ "x-query-ramblock", RAM("ram-new"), NULL },
		{ "qom-list", NOTHING, NULL },
		END,
	};

	(void)state;
	expect(says, 2, "memory blocks (ram-new");
}

static void other_devices(void **state)
{
	const struct fake_says plugged[] = {
		BEFORE,
		{ "query-status", PAUSED, NULL },
		{ "x-query-ramblock", RAM("pc.ram"), NULL },
		{ "qom-list", NOBODY, NULL }, /* of both lists, */
		{ "qom-list", NOBODY, NULL },
		{ "qom-list", DIMM, NULL }, /* and again */
		END,
	};
	const struct fake_says gone[] = {
		BEFORE,
		{ "query-status", PAUSED, NULL },
		{ "x-query-ramblock", RAM("pc.ram"), NULL },
		{ "qom-list", NOBODY, NULL },
		{ "qom-list", DIMM, NULL },
		{ "qom-list", NOBODY, NULL },
		END,
	};

	(void)state;
	expect(plugged, 2, "devices (dimm0 child<pc-dimm>)");
	expect(gone, 2, "devices (dimm0 child<pc-dimm>)");
}

/* Who does not answer does not say yes. */
static void no_answer(void **state)
{
	static const size_t at[] = { 3, 4, 5, 6 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct mr_error err = MR_ERROR_INIT;
		struct fake_says says[] = {
			BEFORE,
			{ "query-status", PAUSED, NULL },
			{ "query-status", PAUSED, NULL },
			{ "x-query-ramblock", RAM("pc.ram"), NULL },
			{ "qom-list", NOTHING, NULL },
			END,
		};

		says[at[i]].answer = RET("{\"no\": \"such thing\"}");
		assert_true(play(says, &err) != 0);
		assert_int_equal(err.code, MR_QMP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stands),
		cmocka_unit_test(never_stopped),
		cmocka_unit_test(disturbed),
		cmocka_unit_test(in_a_flood),
		cmocka_unit_test(another_state),
		cmocka_unit_test(other_blocks),
		cmocka_unit_test(other_devices),
		cmocka_unit_test(no_answer),
	};

	return cmocka_run_group_tests_name("still", tests, NULL, NULL);
}
