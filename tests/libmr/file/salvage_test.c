/* salvage_test.c - a file with bad sectors. */
#include "tests/libmr/unit.h"

#include "libmr/file/salvage.h"

enum { SIZE = 40 * 4096 + 100 };

static unsigned char content[SIZE];
static bool lost[41]; /* pieces of 4096 bytes */
static int with;
static size_t most; /* bytes that a read gives at a time */

static ssize_t sick_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	if (offset >= io->size)
		return 0;
	if (len > io->size - offset)
		len = (size_t)(io->size - offset);
	if (len > most)
		len = most;
	for (uint64_t p = offset / 4096; p <= (offset + len - 1) / 4096; p++)
		if (lost[p]) {
			errno = with;
			return -1;
		}
	memcpy(buf, content + offset, len);
	return (ssize_t)len;
}

static const struct io_ops sick_ops = { .name = "sick", .read = sick_read };
static struct file file = { .io = { .ops = &sick_ops, .size = SIZE },
			    .fd = -1,
			    .direct_fd = -1 };

static int reset(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (unsigned char)(1 + i % 251);
	memset(lost, 0, sizeof(lost));
	with = EIO;
	most = SIZE;
	return 0;
}

static void check(struct salvage *s, uint64_t at, size_t len)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned char buf[SIZE];

	assert_int_equal(io_read_full(&s->io, buf, len, at, &err), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i],
				 lost[(at + i) / 4096] ? 0 : content[at + i]);
}

/* Whatever is read, and however often: the places are told once, in order. */
static void told_once(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct salvage s;
		uint64_t at, len, last = 0;
		unsigned n = 0, want = 0;

		for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
			lost[i] = seed >> 33 & 1;
			want += lost[i];
			seed = seed * 6364136223846793005u +
			       1442695040888963407u;
		}
		most = round % 2 ? SIZE : 1000;
		salvage_init(&s, &file);
		for (int i = 0; i < 20; i++) {
			seed = seed * 6364136223846793005u +
			       1442695040888963407u;
			at = (seed >> 33) % SIZE;
			check(&s, at, (size_t)((seed >> 13) % (SIZE - at)));
		}
		check(&s, 0, SIZE);
		for (size_t i = 0; i < ARRAY_LEN(lost); i++)
			assert_int_equal(salvage_lost(&s, i * 4096 + 50, 20),
					 lost[i]);
		assert_int_equal(s.error, want ? EIO : 0);
		while (salvage_next(&s, &at, &len)) {
			assert_true(!n || at > last);
			last = at + len - 1;
			assert_in_range(last, at, SIZE - 1);
			for (uint64_t p = at / 4096; p <= last / 4096; p++, n++)
				assert_true(lost[p]);
		}
		assert_int_equal(n, want);
		check(&s, 0, SIZE);
		assert_false(salvage_next(&s, &at, &len));
		salvage_release(&s);
	}
}

/* What is found next to a place that was told is a place of its own. */
static void told_apart(void **state)
{
	struct salvage s;
	uint64_t at, len;

	(void)state;
	salvage_init(&s, &file);
	lost[3] = true;
	check(&s, 3 * 4096 + 7, 1);
	assert_true(salvage_next(&s, &at, &len));
	assert_int_equal(at, 3 * 4096);
	assert_int_equal(len, 4096);
	lost[2] = lost[4] = lost[40] = true;
	check(&s, 0, SIZE);
	assert_true(salvage_next(&s, &at, &len));
	assert_int_equal(at, 2 * 4096);
	assert_int_equal(len, 4096);
	assert_true(salvage_next(&s, &at, &len));
	assert_int_equal(at, 4 * 4096);
	assert_true(salvage_next(&s, &at, &len));
	assert_int_equal(at, 40 * 4096);
	assert_int_equal(len, 100);
	assert_false(salvage_next(&s, &at, &len));
	assert_true(salvage_lost(&s, 0, SIZE));
	assert_false(salvage_lost(&s, 0, 2 * 4096));
	assert_false(salvage_lost(&s, 2 * 4096, 0));
	salvage_release(&s);
}

static void other_errors(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned char buf[8192];
	struct salvage s;

	(void)state;
	salvage_init(&s, &file);
	lost[1] = true;
	with = ENOMEM;
	assert_int_equal(io_read_full(&s.io, buf, 8192, 0, &err), -1);
	assert_int_equal(err.sys, ENOMEM);
	assert_false(salvage_lost(&s, 0, SIZE));
	/* And a file that ends is short as always. */
	with = EIO;
	err = (struct mr_error)MR_ERROR_INIT;
	lost[40] = true;
	assert_int_equal(io_read_full(&s.io, buf, 8192, SIZE - 200, &err), -1);
	assert_int_equal(err.code, MR_SHORT);
	salvage_release(&s);
	salvage_release(&(struct salvage){ 0 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(told_once, reset),
		cmocka_unit_test_setup(told_apart, reset),
		cmocka_unit_test_setup(other_errors, reset),
	};

	return cmocka_run_group_tests_name("salvage", tests, NULL, NULL);
}
