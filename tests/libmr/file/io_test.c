/* io_test.c - whole transfers over back ends that do their worst, and files. */
#include "tests/libmr/folder.h"

#include <sys/mman.h>

#include "libmr/file/io.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)

enum { SIZE = 3000 };

/* A file in memory that moves at most step bytes a call, is interrupted
 * before each interrupt'th call, and fails call number fail_at. */
struct odd_io {
	struct io io;
	unsigned char bytes[SIZE];
	size_t size, step;
	unsigned interrupt, calls, moves, fail_at;
	int with; /* errno; 0: the failing call moves nothing */
};

/* How much may move; -1: errno; 0: nothing. */
static ssize_t odd_move(struct odd_io *o, size_t len, uint64_t offset)
{
	if (o->interrupt && ++o->calls % o->interrupt == 0) {
		errno = EINTR;
		return -1;
	}
	if (++o->moves == o->fail_at) {
		errno = o->with;
		return o->with ? -1 : 0;
	}
	if (offset >= o->size)
		return 0;
	if (len > o->step)
		len = o->step;
	return (ssize_t)(len < o->size - offset ? len : o->size - offset);
}

static ssize_t odd_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct odd_io *o = (struct odd_io *)io;
	ssize_t n = odd_move(o, len, offset);

	if (n > 0)
		memcpy(buf, o->bytes + offset, (size_t)n);
	return n;
}

static ssize_t odd_write(struct io *io, const void *buf, size_t len,
			 uint64_t offset)
{
	struct odd_io *o = (struct odd_io *)io;
	ssize_t n = odd_move(o, len, offset);

	if (n > 0)
		memcpy(o->bytes + offset, buf, (size_t)n);
	return n;
}

static const struct io_ops odd_ops = { .name = "odd",
				       .read = odd_read,
				       .write = odd_write };

static void odd_init(struct odd_io *o, size_t step)
{
	memset(o, 0, sizeof(*o));
	o->io = (struct io){ .ops = &odd_ops, .size = SIZE };
	o->size = SIZE;
	o->step = step;
}

static const size_t steps[] = { 1, 7, 512, SIZE };

static void moves_it_all(void **state)
{
	unsigned char want[SIZE], got[SIZE];
	struct odd_io o;

	(void)state;
	fill_random(want, sizeof(want), 1);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		for (unsigned interrupt = 0; interrupt <= 3; interrupt++) {
			struct mr_error err = MR_ERROR_INIT;

			if (interrupt == 1)
				continue; /* would never get anywhere */
			odd_init(&o, steps[i]);
			o.interrupt = interrupt;
			assert_int_equal(io_write_full(&o.io, want + 10,
						       SIZE - 20, 10, &err),
					 0);
			assert_memory_equal(o.bytes + 10, want + 10, SIZE - 20);
			assert_int_equal(o.bytes[9], 0);
			assert_int_equal(o.bytes[SIZE - 10], 0);
			memset(got, 0, sizeof(got));
			assert_int_equal(
				io_read_full(&o.io, got, SIZE - 20, 10, &err),
				0);
			assert_memory_equal(got, want + 10, SIZE - 20);
			assert_int_equal(
				io_read_upto(&o.io, got, SIZE, 20, &err),
				SIZE - 20);
			assert_int_equal(err.code, MR_OK);
		}
	}
	assert_int_equal(io_read_full(&o.io, got, 0, SIZE, NULL), 0);
	assert_int_equal(io_write_full(&o.io, got, 0, SIZE, NULL), 0);
}

static void tells_where_a_file_ends(void **state)
{
	unsigned char buf[SIZE];
	struct odd_io o;

	(void)state;
	odd_init(&o, 7);
	for (o.size = 0; o.size < 100; o.size++) {
		for (uint64_t at = 0; at < 120; at += 13) {
			struct mr_error err = MR_ERROR_INIT;
			uint64_t end = at > o.size ? at : o.size;

			assert_int_equal(
				io_read_full(&o.io, buf, 100, at, &err),
				at + 100 <= o.size ? 0 : -1);
			if (at + 100 <= o.size)
				continue;
			assert_int_equal(err.code, MR_SHORT);
			assert_int_equal(err.offset, end);
			assert_int_equal(
				io_read_upto(&o.io, buf, 100, at, NULL),
				end - at);
		}
	}
}

/* Whichever call fails: the errno, and the byte that it was about. */
static void tells_what_failed(void **state)
{
	unsigned char buf[SIZE] = { 0 };
	struct odd_io o;

	(void)state;
	for (unsigned n = 1; n <= 6; n++) {
		struct mr_error r = MR_ERROR_INIT, w = MR_ERROR_INIT;

		odd_init(&o, 500);
		o.fail_at = n;
		o.with = ENOSPC;
		assert_int_equal(io_read_full(&o.io, buf, SIZE, 0, &r), -1);
		assert_int_equal(r.code, MR_SYS);
		assert_int_equal(r.sys, ENOSPC);
		assert_int_equal(r.offset, (n - 1) * 500);
		o.moves = 0;
		assert_int_equal(io_write_full(&o.io, buf, SIZE, 0, &w), -1);
		assert_int_equal(w.code, MR_SYS);
		assert_int_equal(w.sys, ENOSPC);
		assert_int_equal(w.offset, (n - 1) * 500);
		/* a write that moves nothing cannot be told from one that
		 * never will: an error, not a loop */
		o.moves = 0;
		o.with = 0;
		w = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(io_write_full(&o.io, buf, SIZE, 0, &w), -1);
		assert_int_equal(w.sys, EIO);
	}
	o.fail_at = 7;
	o.moves = 0;
	assert_int_equal(io_read_full(&o.io, buf, SIZE, 0, NULL), 0);
}

static void memory(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned char data[100], buf[100];
	struct mem_io m;

	(void)state;
	fill_random(data, sizeof(data), 2);
	mem_io_init(&m, data, sizeof(data));
	assert_int_equal(m.io.size, 100);
	assert_int_equal(io_read_upto(&m.io, buf, 100, 40, &err), 60);
	assert_memory_equal(buf, data + 40, 60);
	assert_int_equal(io_read_upto(&m.io, buf, 100, 100, &err), 0);
	assert_int_equal(io_read_upto(&m.io, buf, 100, UINT64_MAX, &err), 0);
	mem_io_init(&m, NULL, 0);
	assert_int_equal(io_read_upto(&m.io, buf, 100, 0, &err), 0);
}

/* ---- files ---- */

static void make_file(const char *name, const void *data, size_t len)
{
	int fd = open(in_dir(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(close(fd), 0);
}

static void file_reads(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned char data[SIZE], buf[SIZE + 1];
	struct file f;
	struct stat st;

	(void)state;
	fill_random(data, sizeof(data), 4);
	make_file("plain", data, sizeof(data));
	assert_int_equal(stat(in_dir("plain"), &st), 0);
	for (enum mr_direct d = MR_DIRECT_AUTO; d <= MR_DIRECT_OFF; d++) {
		if (d == MR_DIRECT_ON)
			continue;
		assert_int_equal(file_open(&f, in_dir("plain"), d, &err), 0);
		assert_int_equal(f.io.size, SIZE);
		assert_int_equal(f.ino, st.st_ino);
		assert_int_equal(f.dev, st.st_dev);
		assert_true(f.align && !(f.align & (f.align - 1)));
		assert_in_range(f.align, 1, 4096);
		if (d == MR_DIRECT_OFF)
			assert_int_equal(f.direct_fd, -1);
		if (f.direct_fd < 0)
			assert_int_equal(f.align, 1);
		assert_int_equal(io_read_upto(&f.io, buf, sizeof(buf), 0, &err),
				 SIZE);
		assert_memory_equal(buf, data, SIZE);
		assert_int_equal(file_close(&f), 0);
		assert_int_equal(f.fd, -1);
		assert_int_equal(f.direct_fd, -1);
		assert_int_equal(file_close(&f), 0);
	}
}

/* Offsets come from hostile headers: beyond any file is its end. */
static void file_far_offsets(void **state)
{
	static const uint64_t far[] = { SIZE,
					SIZE + 1,
					INT64_MAX - 10,
					INT64_MAX - 1,
					INT64_MAX,
					(uint64_t)INT64_MAX + 1,
					UINT64_MAX - 10,
					UINT64_MAX };
	unsigned char data[SIZE] = { 1 }, buf[100];
	struct mr_error err = MR_ERROR_INIT;
	struct file f;
	int fd;

	(void)state;
	make_file("far", data, sizeof(data));
	fd = open(in_dir("far"), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(file_adopt(&f, fd, O_RDWR, MR_DIRECT_OFF, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		struct mr_error e = MR_ERROR_INIT;

		assert_int_equal(
			io_read_upto(&f.io, buf, sizeof(buf), far[i], &e), 0);
		assert_int_equal(
			io_read_full(&f.io, buf, sizeof(buf), far[i], &e), -1);
		assert_int_equal(e.code, MR_SHORT);
		assert_true(e.offset == far[i]);
		if (far[i] < INT64_MAX - 10)
			continue;
		/* a write there is refused, not wrapped around */
		e = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(
			io_write_full(&f.io, buf, sizeof(buf), far[i], &e), -1);
		assert_int_equal(e.sys, EFBIG);
	}
	assert_int_equal(file_close(&f), 0);
}

static void only_regular_files(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct file f;

	(void)state;
	assert_int_equal(file_open(&f, in_dir("none"), MR_DIRECT_AUTO, &err),
			 -1);
	assert_int_equal(err.sys, ENOENT);
	assert_int_equal(f.fd, -1);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(file_open(&f, folder, MR_DIRECT_AUTO, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_int_equal(f.fd, -1);
	/* nobody writes into the pipe: it must be refused, not waited for */
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(file_open(&f, in_dir("fifo"), MR_DIRECT_AUTO, &err),
			 -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(file_open(&f, "/dev/null", MR_DIRECT_AUTO, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Where there is no direct I/O: auto goes without, on says so. */
static void expect_no_direct(int fd)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned fds = count_fds();
	struct file f;

	assert_int_equal(file_adopt(&f, fd, O_RDONLY, MR_DIRECT_ON, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_int_equal(f.fd, -1);
	assert_int_equal(f.direct_fd, -1);
	assert_int_equal(count_fds(), fds); /* fd is still open, and ours */
	assert_int_equal(file_adopt(&f, fd, O_RDONLY, MR_DIRECT_AUTO, NULL), 0);
	assert_int_equal(f.direct_fd, -1);
	assert_int_equal(f.align, 1);
	assert_int_equal(count_fds(), fds);
}

/* tmpfs takes O_DIRECT (since Linux 6.6) and copies all the same; /proc does
 * not take it; a file system may take it and then refuse to read. */
static void no_direct(void **state)
{
	static const char data[4096] = "x";
	struct mr_error err = MR_ERROR_INIT;
	struct file f;
	int fd = memfd_create("x", MFD_CLOEXEC);
	unsigned fds;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	expect_no_direct(fd);
	assert_int_equal(close(fd), 0);
	fd = open("/proc/self/status", O_RDONLY);
	assert_true(fd >= 0);
	expect_no_direct(fd);
	assert_int_equal(close(fd), 0);

	make_file("refuses", data, sizeof(data));
	assert_int_equal(file_open(&f, in_dir("refuses"), MR_DIRECT_AUTO, &err),
			 0);
	if (f.direct_fd < 0) {
		(void)file_close(&f);
		print_message("%s has no direct I/O\n", folder);
		skip();
	}
	assert_int_equal(file_close(&f), 0);
	fd = open(in_dir("refuses"), O_RDONLY);
	assert_true(fd >= 0);
	fail_arm(1, EINVAL);
	fds = count_fds();
	assert_int_equal(file_adopt(&f, fd, O_RDONLY, MR_DIRECT_AUTO, &err), 0);
	assert_string_equal(fail_plan.name, "pread64");
	assert_int_equal(count_fds(), fds);
	assert_int_equal(f.direct_fd, -1);
	assert_int_equal(f.align, 1);
	assert_int_equal(file_close(&f), 0);
}

static void direct(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned char data[8192];
	void *buf;
	struct file f;

	(void)state;
	fill_random(data, sizeof(data), 6);
	make_file("direct", data, sizeof(data));
	if (file_open(&f, in_dir("direct"), MR_DIRECT_ON, &err)) {
		assert_int_equal(err.code, MR_UNSUPPORTED);
		print_message("%s has no direct I/O\n", folder);
		skip();
	}
	assert_true(f.direct_fd >= 0);
	assert_true(fcntl(f.direct_fd, F_GETFL) & O_DIRECT);
	assert_true(fcntl(f.direct_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(posix_memalign(&buf, f.align, 4096), 0);
	assert_int_equal(pread(f.direct_fd, buf, 4096, 4096), 4096);
	assert_memory_equal(buf, data + 4096, 4096);
	free(buf);
	assert_int_equal(file_close(&f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_it_all),
		cmocka_unit_test(tells_where_a_file_ends),
		cmocka_unit_test(tells_what_failed),
		cmocka_unit_test(memory),
		cmocka_unit_test(file_reads),
		cmocka_unit_test(file_far_offsets),
		cmocka_unit_test(only_regular_files),
		cmocka_unit_test(no_direct),
		cmocka_unit_test(direct),
	};

	return cmocka_run_group_tests_name("io", tests, folder_setup,
					   folder_teardown);
}
