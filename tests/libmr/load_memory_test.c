/*
 * load_memory_test.c - memory files where the system says no: without holes,
 * and with each call failing in turn.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <sys/vfs.h>

#include "libmr/mr.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"

enum { PAGES = 600, PAGE = 4096, SIZE = PAGES * PAGE };

static bool no_holes; /* the file system has none */

int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	if (no_holes) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (fail_now("fallocate"))
		return -1;
	return __real_fallocate64(fd, mode, offset, len);
}

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), -1)
FAIL_WRAP(int, fsync, (int fd), (fd), -1)
FAIL_WRAP(off_t, lseek64, (int fd, off_t at, int whence), (fd, at, whence), -1)
FAIL_WRAP(int, fstat64, (int fd, struct stat *st), (fd, st), -1)
FAIL_WRAP(int, fstatfs64, (int fd, struct statfs *fs), (fd, fs), -1)

/* ---- an image, and what its memory is ---- */

static char *image, *out;
static unsigned char want[SIZE], have[SIZE + 1];

/* Small gaps, large ones, an extent without data, one that is full. */
static const struct build_run runs[] = {
	{ 1, 3 }, { 5, 1 }, { 40, 2 }, { 512, 80 }, { 599, 1 }
};

static void make_image(void)
{
	struct build b = { .config = { .machine = "pc-i440fx-10.0",
				       .mapped_ram = true },
			   .page_size = PAGE,
			   .ram_id = 2,
			   .next_id = 3 };
	struct build_block k = { .name = "m",
				 .length = SIZE,
				 .runs = runs,
				 .n_runs = ARRAY_LEN(runs) };
	unsigned char stale[PAGE];

	b.fd = open(image, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	build_bitmaps(&b, &k, 1);
	/* Means nothing: its bit is clear, and it lies in a small gap. */
	memset(stale, 0xee, PAGE);
	build_put_at(&b, stale, PAGE, k.place.pages_offset + 4 * PAGE);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "paused");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	assert_return_code(close(b.fd), errno);
	for (size_t r = 0; r < ARRAY_LEN(runs); r++)
		for (uint64_t p = runs[r].first; p < runs[r].first + runs[r].n;
		     p++)
			build_page(want + p * PAGE, PAGE, p);
}

static void write_junk(size_t size)
{
	int fd = open(out, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(have, 0xff, size);
	assert_int_equal(write(fd, have, size), size);
	assert_return_code(close(fd), errno);
}

static void assert_wanted(void)
{
	int fd = open(out, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, have, sizeof(have)), SIZE);
	assert_memory_equal(have, want, SIZE);
	assert_return_code(close(fd), errno);
}

static int load(enum mr_direct direct, struct mr_error *err)
{
	const struct mr_memory m = { .block = "m", .path = out };
	struct mr_memory_options o = MR_MEMORY_OPTIONS_INIT;
	struct mr_memory_report r;
	size_t which = 77;
	int rc;

	*err = (struct mr_error)MR_ERROR_INIT;
	o.jobs = 1;
	o.direct = direct;
	rc = mr_load_memory(image, &m, 1, &o, &r, &which, err);
	assert_true(which <= 1);
	return rc;
}

static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* ---- tests ---- */

static int reset(void **state)
{
	(void)state;
	fail_arm(0, 0);
	no_holes = false;
	(void)unlink(out);
	return 0;
}

static void test_no_holes(void **state)
{
	struct mr_error err;

	(void)state;
	no_holes = true;
	for (int direct = MR_DIRECT_AUTO; direct <= MR_DIRECT_OFF;
	     direct += 2) {
		write_junk(SIZE - 5000);
		assert_return_code(load((enum mr_direct)direct, &err), 0);
		assert_wanted();
	}
	/* A new file needs none. */
	(void)unlink(out);
	assert_return_code(load(MR_DIRECT_AUTO, &err), 0);
	assert_wanted();
}

/* With each call failing in turn: the right memory, or an error. */
static void each_fails(bool existing)
{
	size_t files = open_files();
	unsigned failures = 0;

	for (unsigned nth = 1;; nth++) {
		struct mr_error err;
		const char *name;
		int rc;

		(void)unlink(out);
		if (existing)
			write_junk(SIZE + 1);
		fail_arm(nth, EIO);
		rc = load(MR_DIRECT_AUTO, &err);
		name = fail_plan.name;
		fail_arm(0, 0);
		assert_int_equal(open_files(), files);
		if (rc) {
			assert_int_not_equal(err.code, MR_OK);
			failures++;
			/* Only the folder's fsync comes after the rename. */
			if (!existing && access(out, F_OK) == 0)
				assert_string_equal(name, "fsync");
		} else {
			assert_wanted();
		}
		if (!name)
			break;
		assert_true(nth < 1000);
	}
	assert_true(failures > 10);
}

static void test_existing_fails(void **state)
{
	(void)state;
	each_fails(true);
}

static void test_new_fails(void **state)
{
	(void)state;
	each_fails(false);
}

static int set_up(void **state)
{
	if (folder_setup(state) || asprintf(&image, "%s/image", folder) < 0 ||
	    asprintf(&out, "%s/out", folder) < 0)
		return -1;
	make_image();
	return 0;
}

static int tear_down(void **state)
{
	free(image);
	free(out);
	return folder_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_holes, reset),
		cmocka_unit_test_setup(test_existing_fails, reset),
		cmocka_unit_test_setup(test_new_fails, reset),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
