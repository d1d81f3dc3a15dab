/* pace_test.c - a pace, by a clock that is ours. */
#include "tests/libmr/unit.h"

#include "libmr/engine/pace.h"

#define NEAR 1e-6

static void none(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 0, 100, 5);
	pace_spend(&p, UINT64_MAX, 5);
	assert_float_equal(pace_wait(&p, 5), 0, 0);
}

static void what_is_spent_is_waited_for(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 1000, 0, 50);
	assert_float_equal(pace_wait(&p, 50), 0, 0);
	pace_spend(&p, 500, 50);
	assert_float_equal(pace_wait(&p, 50), 0.5, NEAR);
	pace_spend(&p, 2500, 50);
	assert_float_equal(pace_wait(&p, 50), 3, NEAR);
	assert_float_equal(pace_wait(&p, 52), 1, NEAR);
	assert_float_equal(pace_wait(&p, 53), 0, NEAR);
	pace_spend(&p, 1000, 53);
	assert_float_equal(pace_wait(&p, 53), 1, NEAR);
}

static void a_debt_at_the_beginning(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 1000, 2000, 7);
	assert_float_equal(pace_wait(&p, 7), 2, NEAR);
}

static void little_is_caught_up_with(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 1000, 0, 0);
	/* A hundredth late: that is caught up with. */
	pace_spend(&p, 10, 0.02);
	assert_float_equal(pace_wait(&p, 0.02), 0, 0);
	pace_spend(&p, 110, 0.02);
	assert_float_equal(pace_wait(&p, 0.02), 0.1, NEAR);
	/* An hour late: no more than the burst. */
	pace_spend(&p, 250, 3600);
	assert_float_equal(pace_wait(&p, 3600), 0, NEAR);
	pace_spend(&p, 1000, 3600);
	assert_float_equal(pace_wait(&p, 3600), 1, NEAR);
}

/* Whatever the pieces are, and however late one comes, in an hour no more
 * than an hour's bytes and the burst. */
static void a_long_run(void **state)
{
	const double rate = 1 << 20;
	uint64_t all = 0, seed = 11;
	double now = 1000;
	struct pace p;

	(void)state;
	pace_begin(&p, rate, 0, now);
	for (;;) {
		uint64_t piece;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		piece = seed >> 44; /* up to 1 MiB */
		now += pace_wait(&p, now);
		/* and the piece takes its time */
		now += (double)(seed >> 32 & 255) / 1000;
		if (now > 4600)
			break;
		all += piece;
		pace_spend(&p, piece, now);
	}
	assert_true((double)all <= rate * (3600 + PACE_BURST) + (1 << 20));
	assert_true((double)all >= rate * 3600 * 0.7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(what_is_spent_is_waited_for),
		cmocka_unit_test(a_debt_at_the_beginning),
		cmocka_unit_test(little_is_caught_up_with),
		cmocka_unit_test(a_long_run),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
