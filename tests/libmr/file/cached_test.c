/* cached_test.c - what is in memory, as both of the kernel's calls have it. */
#include "tests/libmr/folder.h"

#include "libmr/file/cached.h"

enum { SIZE = 1 << 20 };

static void open_new(struct file *f, size_t size)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	unsigned char *bytes = malloc(size + 1);

	assert_true(fd >= 0);
	assert_non_null(bytes);
	fill_random(bytes, size, 7);
	assert_int_equal(pwrite(fd, bytes, size, 0), size);
	free(bytes);
	assert_int_equal(file_adopt(f, fd, O_RDWR, MR_DIRECT_OFF, NULL), 0);
}

/* Out of the page cache; false: not from this file system. */
static bool drop(const struct file *f, off_t offset, off_t length)
{
	struct cached c;
	bool gone;

	assert_int_equal(fdatasync(f->fd), 0);
	assert_int_equal(
		posix_fadvise(f->fd, offset, length, POSIX_FADV_DONTNEED), 0);
	cached_init(&c, f, CACHED_MINCORE);
	gone = !cached_mostly(&c, (uint64_t)offset,
			      length ? (size_t)length : SIZE);
	cached_release(&c);
	return gone;
}

static void both_ways(void **state)
{
	static const enum cached_how ways[] = { CACHED_CACHESTAT,
						CACHED_MINCORE };
	struct file f;

	(void)state;
	open_new(&f, SIZE);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct cached c;

		cached_init(&c, &f, ways[i]);
		/* Older kernels have only the second way. */
		assert_true(c.how == ways[i] || c.how == CACHED_MINCORE);
		assert_true(cached_mostly(&c, 0, SIZE));
		assert_true(cached_mostly(&c, 4096, 1));
		assert_true(cached_mostly(&c, 4095, 2));
		assert_true(cached_mostly(&c, SIZE - 1, 1));
		cached_release(&c);
		cached_release(&c);
	}
	if (!drop(&f, 0, 0)) {
		print_message("this file system keeps files in memory\n");
		assert_int_equal(file_close(&f), 0);
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct cached c;

		cached_init(&c, &f, ways[i]);
		assert_false(cached_mostly(&c, 0, SIZE));
		assert_false(cached_mostly(&c, 4096, 1));
		cached_release(&c);
	}
	assert_int_equal(file_close(&f), 0);
}

/* Three quarters are mostly, less is not. */
static void a_part(void **state)
{
	struct file f;
	struct cached c;
	char page[4096];

	(void)state;
	open_new(&f, SIZE);
	if (!drop(&f, 0, 0)) {
		assert_int_equal(file_close(&f), 0);
		skip();
	}
	/* Page by page, without any ahead: all but the first eighth. */
	assert_int_equal(posix_fadvise(f.fd, 0, 0, POSIX_FADV_RANDOM), 0);
	for (off_t at = SIZE / 8; at < SIZE; at += 4096)
		assert_int_equal(pread(f.fd, page, 4096, at), 4096);
	cached_init(&c, &f, CACHED_CACHESTAT);
	assert_true(cached_mostly(&c, 0, SIZE));
	assert_true(cached_mostly(&c, SIZE / 8, SIZE / 8));
	assert_true(cached_mostly(&c, 0, SIZE / 2));
	assert_false(cached_mostly(&c, 0, SIZE / 4));
	assert_false(cached_mostly(&c, 0, SIZE / 8));
	cached_release(&c);
	assert_int_equal(file_close(&f), 0);
}

static void not_to_be_had(void **state)
{
	struct file f;
	struct cached c;

	(void)state;
	open_new(&f, 8192);
	cached_init(&c, &f, CACHED_UNKNOWN);
	assert_false(cached_mostly(&c, 0, 8192));
	cached_release(&c);
	cached_init(&c, &f, CACHED_MINCORE);
	assert_false(cached_mostly(&c, 4096, 8192));
	assert_false(cached_mostly(&c, 1 << 30, 1));
	cached_release(&c);
	assert_int_equal(file_close(&f), 0);
	open_new(&f, 0);
	cached_init(&c, &f, CACHED_CACHESTAT);
	assert_false(cached_mostly(&c, 0, 4096));
	cached_release(&c);
	assert_int_equal(file_close(&f), 0);
	c = (struct cached){ 0 };
	assert_false(cached_mostly(&c, 0, 4096));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(a_part),
		cmocka_unit_test(not_to_be_had),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
