/* record_test.c - a record of touched pages, written and read again. */
#include "tests/libmr/folder.h"

#include "libmr/instant/state.h"

/* Of 16 groups, and of a smaller one. */
static const struct mr_block blocks[] = {
	{ .name = "pc.ram", .length = 16 * TOUCHED_GROUP },
	{ .name = "vga", .length = 4096 },
};
static const struct mr_image_info info = { .blocks = blocks,
					   .n_blocks = ARRAY_LEN(blocks) };
static struct mr_image image;
static struct mr_instant_options options = MR_INSTANT_OPTIONS_INIT;
static struct mr_instant in = { .options = &options,
				.img = &image,
				.info = &info };
static char path[4096];

/* An image without a seal: it is known by its file. */
static int setup(void **state)
{
	if (folder_setup(state))
		return -1;
	(void)snprintf(path, sizeof(path), "%s", in_dir("image.touched"));
	options.record = path;
	image.io = &image.file.io;
	image.file.fd =
		open(in_dir("image"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return image.file.fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)close(image.file.fd);
	return folder_teardown(state);
}

static void write_runs(const struct touched_run *runs, size_t n)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)instant_write_record(&in, runs, n, &err);
	assert_string_equal(err.msg, "");
}

static void test_round_trip(void **state)
{
	static const struct touched_run runs[] = { { 0, 3, 13 },
						   { 1, 0, 1 },
						   { 0, 0, 3 } };
	const struct timespec then[2] = { { 1, 0 }, { 1, 0 } };
	struct mr_error err = MR_ERROR_INIT;
	struct record r;

	(void)state;
	write_runs(runs, ARRAY_LEN(runs));
	assert_int_equal(instant_read_record(&in, &r, &err), 1);
	assert_int_equal(r.group_size, TOUCHED_GROUP);
	assert_int_equal(r.n, ARRAY_LEN(runs));
	assert_memory_equal(r.runs, runs, sizeof(runs));
	free(r.runs);
	/* A file that was written to since is another. */
	assert_int_equal(futimens(image.file.fd, then), 0);
	assert_int_equal(instant_read_record(&in, &r, &err), 0);
	assert_string_equal(err.msg, "");
}

/* One that is whole, but names the same over and over: it would have the disk
 * read for ever. */
static void test_named_again(void **state)
{
	static const struct touched_run runs[] = {
		{ 0, 0, 8 }, { 0, 8, 8 }, { 1, 0, 1 }, { 0, 5, 1 }
	};
	struct mr_error err = MR_ERROR_INIT;
	struct record r;

	(void)state;
	write_runs(runs, ARRAY_LEN(runs) - 1);
	assert_int_equal(instant_read_record(&in, &r, &err), 1);
	free(r.runs);
	write_runs(runs, ARRAY_LEN(runs));
	assert_int_equal(instant_read_record(&in, &r, &err), -1);
	assert_int_equal(err.code, MR_FORMAT);
	assert_non_null(strstr(err.msg, "named again"));
}

static void test_damaged(void **state)
{
	static const struct touched_run run = { 0, 0, 8 };
	struct mr_error err = MR_ERROR_INIT;
	struct record r;
	int fd;

	(void)state;
	write_runs(&run, 1);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, TOUCHED_HEAD_SIZE + 2), 1);
	(void)close(fd);
	assert_int_equal(instant_read_record(&in, &r, &err), -1);
	assert_string_equal(err.msg, "its digest differs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_named_again),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
