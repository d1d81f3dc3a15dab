/*
 * convert_test.c - mr_convert where the system says no: each call failing in
 * turn leaves the old file, or what must come out.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <poll.h>
#include <sys/uio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <zlib.h>

#include "libmr/mr.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"

enum { PAGE = 4096, PAGES = 600, MOST = 8 << 20 };

FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)
FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t size), (p, size), NULL)
FAIL_WRAP(void *, mmap64,
	  (void *p, size_t len, int prot, int flags, int fd, off_t at),
	  (p, len, prot, flags, fd, at), MAP_FAILED)
FAIL_WRAP(ssize_t, pread64, (int fd, void *buf, size_t n, off_t at),
	  (fd, buf, n, at), -1)
FAIL_WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t n, off_t at),
	  (fd, buf, n, at), -1)
FAIL_WRAP(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n), -1)
FAIL_WRAP(ssize_t, pwritev64v2,
	  (int fd, const struct iovec *iov, int n, off64_t offset, int flags),
	  (fd, iov, n, offset, flags), -1)
FAIL_WRAP(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), -1)
FAIL_WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), -1)
FAIL_WRAP(int, fsync, (int fd), (fd), -1)
FAIL_WRAP(int, fstat64, (int fd, struct stat *st), (fd, st), -1)
FAIL_WRAP(int, renameat, (int a, const char *from, int b, const char *to),
	  (a, from, b, to), -1)

static const struct build_run runs[] = {
	{ 1, 3 }, { 5, 1 }, { 40, 2 }, { 512, 80 }, { 599, 1 }
};
static char *image, *packed, *out, *xml;
static const char *in; /* image, or packed: the same by gzip */
static bool from_stdin;
static uint8_t want[MOST], have[MOST];

static int pack_image(void)
{
	static uint8_t buf[1 << 16];
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	gzFile to = gzopen(packed, "wb1");
	ssize_t n;

	assert_true(fd >= 0);
	assert_non_null(to);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		assert_int_equal(gzwrite(to, buf, (unsigned)n), n);
	assert_int_equal(n, 0);
	assert_int_equal(gzclose(to), Z_OK);
	in = image;
	return close(fd);
}

static int make_image(void **state)
{
	struct build b = { .config = { .machine = "pc-i440fx-10.0",
				       .mapped_ram = true },
			   .page_size = PAGE,
			   .ram_id = 2,
			   .next_id = 3 };
	struct build_block k = { .name = "m",
				 .length = PAGES * PAGE,
				 .runs = runs,
				 .n_runs = ARRAY_LEN(runs) };

	if (folder_setup(state) || asprintf(&image, "%s/image", folder) < 0 ||
	    asprintf(&packed, "%s/packed", folder) < 0 ||
	    asprintf(&out, "%s/out", folder) < 0 ||
	    asprintf(&xml, "%s/xml", folder) < 0)
		return -1;
	b.fd = open(xml, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	assert_int_equal(__real_write(b.fd, "<domain></domain>", 17), 17);
	assert_return_code(close(b.fd), errno);
	b.fd = open(image, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	build_bitmaps(&b, &k, 1);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "paused");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	return close(b.fd) || pack_image();
}

static int tear_down(void **state)
{
	free(image);
	free(packed);
	free(out);
	free(xml);
	return folder_teardown(state);
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

static size_t slurp(uint8_t *to)
{
	int fd = open(out, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, to, MOST);
	assert_in_range(n, 0, MOST - 1);
	assert_return_code(close(fd), errno);
	return (size_t)n;
}

static void old_file(void)
{
	int fd = open(out, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(__real_write(fd, "QEVM", 4), 4);
	assert_return_code(close(fd), errno);
}

/* Progress of the file in: how often it was told, and what was last. */
static struct {
	uint64_t size;
	unsigned n;
	uint64_t done;
} told;

static void tell(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	if (total != told.size)
		return;
	assert_true(done >= told.done && done <= total);
	told.n++;
	told.done = done;
}

static int convert(enum mr_convert_form form, int fd, bool dry,
		   struct mr_error *err)
{
	struct mr_convert_options o = MR_CONVERT_OPTIONS_INIT;
	struct mr_convert_report report;
	int rc;

	if (from_stdin)
		o.in_fd = open(in, O_RDONLY | O_CLOEXEC);
	told.n = 0;
	told.done = 0;
	o.spool = folder;
	o.watch.progress = tell;

	*err = (struct mr_error)MR_ERROR_INIT;
	o.form = form;
	o.fd = fd;
	o.jobs = 1;
	o.direct = MR_DIRECT_OFF;
	o.dry_run = dry;
	o.xml = form >= MR_CONVERT_LIBVIRT ? xml : NULL;
	rc = mr_convert(in, out, &o, &report, err);
	if (from_stdin)
		assert_return_code(close(o.in_fd), errno);
	assert_in_range(err->who, 0, in == image ? 4 : 5);
	if (rc)
		assert_int_not_equal(err->code, MR_OK);
	else
		assert_int_equal(err->code, MR_OK);
	return rc;
}

/* Calls that find out something; without an answer one goes on. */
static void each_call_fails(enum mr_convert_form form, bool to_fd, bool dry)
{
	struct mr_error err;
	unsigned failures = 0;
	size_t files = open_files(), len;

	(void)unlink(out);
	assert_int_equal(convert(form, -1, false, &err), 0);
	len = slurp(want);
	for (unsigned nth = 1;; nth++) {
		const char *name;
		int fd = -1, rc;

		old_file();
		if (to_fd)
			fd = open(out, O_WRONLY | O_TRUNC | O_CLOEXEC);
		fail_arm(nth, EIO);
		rc = convert(form, fd, dry, &err);
		name = fail_plan.name;
		fail_arm(0, 0);
		if (fd >= 0)
			(void)close(fd);
		assert_int_equal(open_files(), files);
		failures += rc != 0;
		if (!dry && (!rc || (name && !strcmp(name, "fsync") &&
				     slurp(have) > 4))) {
			assert_int_equal(slurp(have), len);
			assert_memory_equal(have, want, len);
		} else if (!to_fd) {
			assert_int_equal(slurp(have), 4);
		}
		if (rc && name && !strcmp(name, "pwrite64"))
			assert_true(err.who == 2 ||
				    (err.who == 5 && in == packed));
		if (!name)
			break;
		assert_true(nth < 2000);
	}
	assert_true(failures > 20);
}

static void mapped(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_MAPPED, false, false);
}

static void pack(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_PACK, false, false);
}

/* Its frames are copied. */
static void flat(void **state)
{
	char *first;
	struct mr_error err;

	(void)state;
	(void)unlink(out);
	assert_int_equal(convert(MR_CONVERT_PACK, -1, false, &err), 0);
	assert_return_code(asprintf(&first, "%s/first", folder), errno);
	assert_int_equal(rename(out, first), 0);
	in = first;
	each_call_fails(MR_CONVERT_PACK, false, false);
	in = image;
	free(first);
}

static void stream(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_STREAM, false, false);
}

static void libvirt(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_LIBVIRT, false, false);
	each_call_fails(MR_CONVERT_LIBVIRT_ZSTD, false, false);
	each_call_fails(MR_CONVERT_LIBVIRT_SPARSE, false, false);
}

static void to_descriptor(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_PACK, true, false);
	each_call_fails(MR_CONVERT_STREAM, true, false);
}

static void dry_run(void **state)
{
	(void)state;
	each_call_fails(MR_CONVERT_PACK, false, true);
	each_call_fails(MR_CONVERT_MAPPED, false, true);
}

/* Through the spool. */
static void spooled(void **state)
{
	(void)state;
	in = packed;
	each_call_fails(MR_CONVERT_PACK, false, false);
	each_call_fails(MR_CONVERT_MAPPED, false, false);
	each_call_fails(MR_CONVERT_PACK, false, true);
	from_stdin = true;
	each_call_fails(MR_CONVERT_STREAM, false, false);
	from_stdin = false;
	in = image;
}

static void unpacking_is_told(void **state)
{
	struct mr_error err;
	struct stat st;

	(void)state;
	in = packed;
	assert_return_code(stat(packed, &st), errno);
	told.size = (uint64_t)st.st_size;
	for (int i = 0; i < 2; i++) {
		from_stdin = i;
		assert_int_equal(convert(MR_CONVERT_PACK, -1, false, &err), 0);
		assert_in_range(told.n, 4, 1000);
		assert_in_range(told.done, told.size - (64 << 10), told.size);
	}
	from_stdin = false;
	told.size = 0;
	in = image;
}

/* A socket whose other end takes a little, and is gone then. */
static void gone(void **state)
{
	struct mr_error err;
	int fds[2];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
	assert_return_code(close(fds[1]), errno);
	assert_int_equal(convert(MR_CONVERT_PACK, fds[0], false, &err), -1);
	assert_int_equal(err.sys, EPIPE);
	assert_int_equal(err.who, 2);
	assert_return_code(close(fds[0]), errno);
	assert_int_equal(convert(MR_CONVERT_PACK, fds[0], false, &err), -1);
	assert_int_equal(err.sys, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped),
		cmocka_unit_test(pack),
		cmocka_unit_test(flat),
		cmocka_unit_test(stream),
		cmocka_unit_test(to_descriptor),
		cmocka_unit_test(dry_run),
		cmocka_unit_test(gone),
		cmocka_unit_test(libvirt),
		cmocka_unit_test(spooled),
		cmocka_unit_test(unpacking_is_told),
	};

	return cmocka_run_group_tests(tests, make_image, tear_down);
}
