/*
 * load_memory_test.c - memory files where the system says no: without holes
 * or huge pages, and with each call failing in turn.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "libmr/mr.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"
#include "tests/libmr/unreadable.h"

enum {
	PAGE = 4096,
	PAGES_MAX = 1600,
	SIZE_MOST = PAGES_MAX * PAGE,
	HUGE = 2 << 20
};

static bool no_holes; /* the file system has none */
static int no_collapse; /* errno of it, or 0 */

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

int __real_madvise(void *p, size_t len, int advice);
int __wrap_madvise(void *p, size_t len, int advice);
int __wrap_madvise(void *p, size_t len, int advice)
{
	if (no_collapse && advice == 25) {
		errno = no_collapse;
		return -1;
	}
	if (fail_now("madvise"))
		return -1;
	return __real_madvise(p, len, advice);
}

FAIL_WRAP(void *, mmap64,
	  (void *p, size_t len, int prot, int flags, int fd, off_t at),
	  (p, len, prot, flags, fd, at), MAP_FAILED)
FAIL_WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t n, off_t at),
	  (fd, buf, n, at), -1)

/* ---- images, and what their memory is ---- */

struct picture {
	size_t pages;
	const struct build_run *runs;
	size_t n_runs;
	uint64_t stale; /* has data, means nothing: in a small gap */
	char *image;
	unsigned char *want;
};

/* Small gaps, large ones, an extent without data, one that is full. */
static const struct build_run some_runs[] = {
	{ 1, 3 }, { 5, 1 }, { 40, 2 }, { 512, 80 }, { 599, 1 }
};
static struct picture some = { .pages = 600,
			       .runs = some_runs,
			       .n_runs = ARRAY_LEN(some_runs),
			       .stale = 4 };

/* Two huge pages, one with gaps, one without; between them and behind them
 * pieces that are none. */
static const struct build_run many_runs[] = { { 0, 5 },	     { 6, 100 },
					      { 110, 300 },  { 420, 92 },
					      { 600, 3 },    { 700, 1 },
					      { 1024, 512 }, { 1536, 50 } };
static struct picture many = { .pages = PAGES_MAX,
			       .runs = many_runs,
			       .n_runs = ARRAY_LEN(many_runs),
			       .stale = 107 };

static char *out;
static char *shm, *shm_out; /* on tmpfs; NULL: there is none */
static unsigned char have[SIZE_MOST + 1];

static void make_image(struct picture *p, const char *name)
{
	struct build b = { .config = { .machine = "pc-i440fx-10.0",
				       .mapped_ram = true },
			   .page_size = PAGE,
			   .ram_id = 2,
			   .next_id = 3 };
	struct build_block k = { .name = "m",
				 .length = p->pages * PAGE,
				 .runs = p->runs,
				 .n_runs = p->n_runs };
	unsigned char stale[PAGE];

	assert_true(asprintf(&p->image, "%s/%s", folder, name) > 0);
	p->want = calloc(p->pages, PAGE);
	assert_non_null(p->want);
	b.fd = open(p->image, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	build_bitmaps(&b, &k, 1);
	memset(stale, 0xee, PAGE);
	build_put_at(&b, stale, PAGE, k.place.pages_offset + p->stale * PAGE);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "paused");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	assert_return_code(close(b.fd), errno);
	for (size_t r = 0; r < p->n_runs; r++)
		for (uint64_t i = 0; i < p->runs[r].n; i++)
			build_page(p->want + (p->runs[r].first + i) * PAGE,
				   PAGE, p->runs[r].first + i);
}

static void write_junk(const char *path, size_t size)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(have, 0xff, size);
	assert_int_equal(write(fd, have, size), size);
	assert_return_code(close(fd), errno);
}

static void assert_wanted(const struct picture *p, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = p->pages * PAGE;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, have, sizeof(have)), size);
	assert_memory_equal(have, p->want, size);
	assert_return_code(close(fd), errno);
}

static struct mr_memory_report report;

static int load(const struct picture *p, const char *path,
		enum mr_direct direct, struct mr_error *err)
{
	const struct mr_memory m = { .block = "m", .path = path };
	struct mr_memory_options o = MR_MEMORY_OPTIONS_INIT;
	int rc;

	*err = (struct mr_error)MR_ERROR_INIT;
	o.jobs = 1;
	o.direct = direct;
	rc = mr_load_memory(p->image, &m, 1, &o, &report, err);
	if (rc)
		assert_in_range(err->who, 0, 2);
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
	no_collapse = 0;
	lose(0, 0, 0);
	bad.with_aio = true;
	(void)unlink(out);
	if (shm_out)
		(void)unlink(shm_out);
	return 0;
}

static void test_no_holes(void **state)
{
	struct mr_error err;

	(void)state;
	no_holes = true;
	for (int direct = MR_DIRECT_AUTO; direct <= MR_DIRECT_OFF;
	     direct += 2) {
		write_junk(out, some.pages * PAGE - 5000);
		assert_return_code(
			load(&some, out, (enum mr_direct)direct, &err), 0);
		assert_wanted(&some, out);
	}
	/* A new file needs none. */
	(void)unlink(out);
	assert_return_code(load(&some, out, MR_DIRECT_AUTO, &err), 0);
	assert_wanted(&some, out);
}

/* With each call failing in turn: the right memory, or an error. */
static void each_fails(const struct picture *p, const char *path, int with,
		       bool existing)
{
	size_t files = open_files();
	unsigned failures = 0;

	for (unsigned nth = 1;; nth++) {
		struct mr_error err;
		const char *name;
		int rc;

		(void)unlink(path);
		if (existing)
			write_junk(path, p->pages * PAGE + 1);
		fail_arm(nth, with);
		rc = load(p, path, MR_DIRECT_AUTO, &err);
		name = fail_plan.name;
		fail_arm(0, 0);
		assert_int_equal(open_files(), files);
		if (rc) {
			assert_int_not_equal(err.code, MR_OK);
			failures++;
			if (!strcmp(name, "pwrite64"))
				assert_int_equal(err.who, 2);
			/* Only the folder's fsync comes after the rename. */
			if (!existing && access(path, F_OK) == 0)
				assert_string_equal(name, "fsync");
		} else {
			assert_wanted(p, path);
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
	each_fails(&some, out, EIO, true);
}

static void test_new_fails(void **state)
{
	(void)state;
	each_fails(&some, out, EIO, false);
}

/* A bad sector: which page it is, whichever way it is read, and no file. */
static void test_unreadable(void **state)
{
	struct mr_image *img;
	struct mr_error err;
	uint64_t page;

	(void)state;
	img = mr_image_open(some.image, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(img);
	page = mr_image_info(img)->blocks[0].pages_offset + 515 * PAGE;
	mr_image_free(img);
	for (int i = 0; i < 4; i++) {
		bad.with_aio = i & 1;
		lose(page + 512, page + 513, EIO);
		assert_int_equal(load(&some, out,
				      i & 2 ? MR_DIRECT_OFF : MR_DIRECT_AUTO,
				      &err),
				 -1);
		assert_int_equal(err.sys, EIO);
		assert_int_equal(err.offset, page);
		assert_int_equal(err.who, 1);
		assert_non_null(
			strstr(err.msg, "cannot read page 515 of block m"));
		assert_int_equal(access(out, F_OK), -1);
	}
}

/* ---- on tmpfs ---- */

static void need_tmpfs(void)
{
	if (shm_out)
		return;
	print_message("no /dev/shm to write to\n");
	skip();
}

/* Huge pages where the machine gives them, and the same memory without. */
static void test_tmpfs(void **state)
{
	static const int refusals[] = { 0, ENOMEM, EINVAL };
	struct mr_error err;

	(void)state;
	need_tmpfs();
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		no_collapse = refusals[i];
		(void)unlink(shm_out);
		assert_return_code(load(&many, shm_out, MR_DIRECT_AUTO, &err),
				   0);
		assert_wanted(&many, shm_out);
		assert_true(report.huge == 0 ||
			    (!no_collapse && report.huge <= 2 * HUGE));
		if (!i && !report.huge)
			print_message("no huge pages on this machine\n");
		/* In place: what has pages keeps them. */
		write_junk(shm_out, many.pages * PAGE + 1);
		assert_return_code(load(&many, shm_out, MR_DIRECT_AUTO, &err),
				   0);
		assert_wanted(&many, shm_out);
		assert_int_equal(report.huge, 0);
		/* And what is a hole gets huge ones. */
		assert_return_code(truncate(shm_out, 0), errno);
		assert_return_code(load(&many, shm_out, MR_DIRECT_OFF, &err),
				   0);
		assert_wanted(&many, shm_out);
	}
}

/* What is missing from nearly full extents becomes part of them; the others
 * keep their holes. */
static void test_tmpfs_holes(void **state)
{
	struct mr_error err;
	struct stat st;

	(void)state;
	need_tmpfs();
	assert_return_code(load(&many, shm_out, MR_DIRECT_AUTO, &err), 0);
	assert_return_code(stat(shm_out, &st), errno);
	/* All present pages; at most the absent ones of the first huge page. */
	assert_true(st.st_blocks >= (1063 * PAGE) / 512);
	assert_true(st.st_blocks <= ((1063 + 15) * PAGE) / 512);
}

static void test_tmpfs_fails(void **state)
{
	(void)state;
	need_tmpfs();
	each_fails(&many, shm_out, ENOMEM, false);
	each_fails(&many, shm_out, EINVAL, true);
}

static int set_up(void **state)
{
	if (folder_setup(state) || asprintf(&out, "%s/out", folder) < 0)
		return -1;
	shm = folder_new("/dev/shm");
	if (shm && asprintf(&shm_out, "%s/out", shm) < 0)
		return -1;
	make_image(&some, "some");
	make_image(&many, "many");
	return 0;
}

static int tear_down(void **state)
{
	(void)reset(state);
	if (shm)
		(void)rmdir(shm);
	free(shm);
	free(shm_out);
	free(out);
	free(some.image);
	free(some.want);
	free(many.image);
	free(many.want);
	return folder_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_holes, reset),
		cmocka_unit_test_setup(test_existing_fails, reset),
		cmocka_unit_test_setup(test_new_fails, reset),
		cmocka_unit_test_setup(test_unreadable, reset),
		cmocka_unit_test_setup(test_tmpfs, reset),
		cmocka_unit_test_setup(test_tmpfs_holes, reset),
		cmocka_unit_test_setup(test_tmpfs_fails, reset),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
