/*
 * fail.h - calls that fail on request.
 *
 * A test names the calls that it wraps twice: here, with FAIL_WRAP, and in the
 * Makefile (WRAP_name_test), which hands them to the linker's --wrap. Then a
 * loop fails the first wrapped call of a story, then the second, and so on,
 * until a run meets no failure (fail_plan.name is NULL). One thread only, but
 * for stories without a failure.
 */
#ifndef TESTS_LIBMR_FAIL_H
#define TESTS_LIBMR_FAIL_H

#include <errno.h>
#include <stdbool.h>

static struct {
	unsigned at; /* this call fails, counted from 1; 0: none */
	unsigned seen; /* calls since fail_arm */
	int with; /* errno */
	const char *name; /* of the call that failed, or NULL */
} fail_plan;

/* The nth wrapped call from now on fails with that errno; 0: none does. */
static inline void fail_arm(unsigned nth, int with)
{
	fail_plan.at = nth;
	fail_plan.seen = 0;
	fail_plan.with = with;
	fail_plan.name = NULL;
}

static inline bool fail_now(const char *name)
{
	if (!fail_plan.at || ++fail_plan.seen != fail_plan.at)
		return false;
	fail_plan.name = name;
	errno = fail_plan.with;
	return true;
}

/* type, name, (parameters), (arguments), what it returns on failure */
#define FAIL_WRAP(type, call, params, args, bad) \
	type __real_##call params;               \
	type __wrap_##call params;               \
	type __wrap_##call params                \
	{                                        \
		if (fail_now(#call))             \
			return bad;              \
		return __real_##call args;       \
	}

#endif
