/* runstate_test.c - the table, and what the preflight makes of it. */
#include "tests/libmr/unit.h"

#include "libmr/vm/guest.h"
#include "libmr/vm/preflight.h"
#include "libmr/vm/runstate.h"

/* All that QEMU's schema has (RunState, 8.0 to 11.1), and preconfig. */
static const struct {
	const char *name, *image;
	bool live, busy, loadable, migrates;
} known[] = {
	{ "running", "running", true, false, true, true },
	{ "suspended", "suspended", true, false, true, false },
	{ "paused", "paused", false, false, true, true },
	{ "prelaunch", "prelaunch", false, false, true, true },
	{ "io-error", "io-error", false, false, true, true },
	{ "watchdog", "watchdog", false, false, true, true },
	{ "guest-panicked", "guest-panicked", false, false, true, true },
	{ "internal-error", "internal-error", false, false, true, true },
	{ "shutdown", "shutdown", false, false, true, true },
	{ "debug", "paused", false, false, false, true },
	{ "postmigrate", "paused", false, false, true, false },
	{ "preconfig", NULL, false, true, false, false },
	{ "inmigrate", NULL, false, true, false, false },
	{ "finish-migrate", NULL, false, true, false, false },
	{ "restore-vm", NULL, false, true, false, false },
	{ "save-vm", NULL, false, true, false, false },
	{ "colo", NULL, false, true, false, false },
};

static void table(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct runstate *r = runstate_all(); r->name; r++)
		n++;
	assert_int_equal(n, ARRAY_LEN(known));
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct runstate *r = runstate_find(known[i].name);

		assert_non_null(r);
		assert_int_equal(runstate_is_live(r->name), known[i].live);
		assert_int_equal(r->hold == RUNSTATE_STOP, known[i].live);
		assert_int_equal(r->hold == RUNSTATE_BUSY, known[i].busy);
		assert_int_equal(r->loadable, known[i].loadable);
		assert_int_equal(r->migrates, known[i].migrates);
		if (!known[i].image) {
			assert_null(r->image);
			continue;
		}
		/* an image never says what cannot be loaded */
		assert_string_equal(r->image, known[i].image);
		assert_true(runstate_find(r->image)->loadable);
	}
	assert_null(runstate_find("hibernating"));
	assert_null(runstate_find(""));
	assert_null(runstate_find("Running"));
	/* not known to stand still */
	assert_true(runstate_is_live("hibernating"));
}

static void expect(const char *name, bool running, int major, int rc)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest g = { .running = running, .major = major };

	(void)snprintf(g.status, sizeof(g.status), "%s", name);
	assert_int_equal(preflight_run_state(&g, &err), rc);
	assert_int_equal(err.code, rc ? MR_REFUSED : MR_OK);
	if (rc)
		assert_non_null(strstr(err.msg, name));
}

static void preflight(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		expect(known[i].name, !strcmp(known[i].name, "running"), 10,
		       known[i].busy ? -1 : 0);
	expect("hibernating", false, 10, -1);
	expect("", false, 10, -1);
	/* its `stop` does nothing */
	expect("suspended", false, 8, -1);
	expect("suspended", false, 9, 0);
	expect("running", true, 8, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(preflight),
	};

	return cmocka_run_group_tests_name("runstate", tests, NULL, NULL);
}
