/* output_test.c - the target is absent, the old file or the complete new one.
 *
 * Each test has a folder of its own: what is left in it is looked at.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "libmr/file/output.h"
#include "tests/libmr/fail.h"

static bool no_tmpfile; /* a file system that has no nameless files */

static bool refused_flags(int flags)
{
	if (!no_tmpfile || (flags & O_TMPFILE) != O_TMPFILE)
		return false;
	errno = EOPNOTSUPP;
	return true;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	return fail_now("open") ? -1 : __real_open64(path, flags, 0600);
}

int __real___open64_2(const char *path, int flags);
int __wrap___open64_2(const char *path, int flags);
int __wrap___open64_2(const char *path, int flags)
{
	return fail_now("open") ? -1 : __real___open64_2(path, flags);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	if (fail_now("openat") || refused_flags(flags))
		return -1;
	return __real_openat64(dir, path, flags, mode);
}

/* It closes all the same, as close(2) does. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int rc = __real_close(fd);

	return fail_now("close") ? -1 : rc;
}

FAIL_WRAP(ssize_t, readlinkat,
	  (int dir, const char *path, char *buf, size_t len),
	  (dir, path, buf, len), -1)
FAIL_WRAP(int, fstat64, (int fd, struct stat *st), (fd, st), -1)
FAIL_WRAP(int, fstatat64,
	  (int dir, const char *path, struct stat *st, int flags),
	  (dir, path, st, flags), -1)
FAIL_WRAP(int, faccessat, (int dir, const char *path, int mode, int flags),
	  (dir, path, mode, flags), -1)
FAIL_WRAP(int, fstatvfs64, (int fd, struct statvfs *vfs), (fd, vfs), -1)
FAIL_WRAP(int, statx,
	  (int dir, const char *path, int flags, unsigned mask,
	   struct statx *sx),
	  (dir, path, flags, mask, sx), -1)
FAIL_WRAP(ssize_t, getrandom, (void *buf, size_t len, unsigned flags),
	  (buf, len, flags), -1)
FAIL_WRAP(char *, strdup, (const char *s), (s), NULL)
FAIL_WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
FAIL_WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), -1)
FAIL_WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)
FAIL_WRAP(int, dup, (int fd), (fd), -1)
/* ---- the calls whose order matters ---- */

static char order[16]; /* F, D: fsync of a file, a folder; L; R: rename */

static void note(char c)
{
	size_t n = strlen(order);

	if (n < sizeof(order) - 1)
		order[n] = c;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat st;

	note(!__real_fstat64(fd, &st) && S_ISDIR(st.st_mode) ? 'D' : 'F');
	return fail_now("fsync") ? -1 : __real_fsync(fd);
}

int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
	note('L');
	return fail_now("linkat") ? -1 : __real_linkat(from, a, to, b, flags);
}

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	note('R');
	return fail_now("renameat") ? -1 : __real_renameat(from, a, to, b);
}

/* ---- a folder and what is in it ---- */

static int setup(void **state)
{
	fail_arm(0, 0);
	no_tmpfile = false;
	return folder_setup(state);
}

static void make_old(const char *name)
{
	int fd = open(in_dir(name), O_CREAT | O_WRONLY | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old", 3), 3);
	assert_int_equal(close(fd), 0);
}

/* The file's content, or NULL if it is not there. */
static const char *content(const char *name)
{
	static char buf[64];
	int fd = open(in_dir(name), O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	assert_int_equal(close(fd), 0);
	return buf;
}

static unsigned count_names(void)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2; /* . and .. */
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int write_new(struct output *o, const char *text, struct mr_error *err)
{
	size_t len = strlen(text);

	if (output_resize(o, len, err))
		return -1;
	return io_write_full(&o->file.io, text, len, 0, err);
}

/* Look, create, write, publish: 0, or which of them failed. */
static int story(const char *path, const char *text, struct mr_error *err)
{
	struct output_target t;
	struct output o;

	if (output_look(path, GATE_ANY_FILE, &t, err))
		return 1;
	if (output_create(&o, path, GATE_ANY_FILE, MR_DIRECT_AUTO, err))
		return 2;
	if (write_new(&o, text, err)) {
		output_discard(&o);
		return 3;
	}
	if (output_publish(&o, err))
		return 4;
	output_discard(&o); /* does nothing */
	return 0;
}

static void expect_story(const char *name, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(story(in_dir(name), text, &err), 0);
	assert_string_equal(err.msg, "");
	assert_string_equal(content(name), text);
}

/* ---- publishing ---- */

/* At each step before the last the name is what it was. */
static void steps(bool exists)
{
	const char *before = exists ? "old" : NULL;
	struct mr_error err = MR_ERROR_INIT;
	struct stat st, was = { 0 };
	struct output o;
	int reader = -1;
	char buf[4];

	if (exists) {
		make_old("image");
		reader = open(in_dir("image"), O_RDONLY);
		assert_int_equal(fstat(reader, &was), 0);
	}
	assert_int_equal(output_create(&o, in_dir("image"), GATE_ANY_FILE,
				       MR_DIRECT_AUTO, &err),
			 0);
	assert_int_equal(!!content("image"), exists);
	assert_int_equal(count_names(), exists + (no_tmpfile ? 1u : 0u));
	assert_int_equal(write_new(&o, "the new one", &err), 0);
	if (before)
		assert_string_equal(content("image"), before);
	else
		assert_null(content("image"));
	memset(order, 0, sizeof(order));
	assert_int_equal(output_publish(&o, &err), 0);
	assert_string_equal(order, no_tmpfile ? "FRD" : "FLRD");
	assert_string_equal(content("image"), "the new one");
	assert_int_equal(count_names(), 1);
	assert_int_equal(stat(in_dir("image"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	if (exists) { /* who reads the old file still does */
		assert_int_not_equal(st.st_ino, was.st_ino);
		assert_int_equal(read(reader, buf, 4), 3);
		assert_memory_equal(buf, "old", 3);
		assert_int_equal(close(reader), 0);
	}
	assert_int_equal(unlink(in_dir("image")), 0);
}

static void absent_old_new(void **state)
{
	(void)state;
	for (int named = 0; named < 2; named++) {
		no_tmpfile = named;
		steps(false);
		steps(true);
	}
}

static void discarded(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned fds = count_fds();
	struct output o;

	(void)state;
	make_old("image");
	for (int named = 0; named < 2; named++) {
		no_tmpfile = named;
		assert_int_equal(output_create(&o, in_dir("image"),
					       GATE_ANY_FILE, MR_DIRECT_AUTO,
					       &err),
				 0);
		assert_int_equal(write_new(&o, "half of it", &err), 0);
		output_discard(&o);
		output_discard(&o);
		assert_int_equal(count_names(), 1);
		assert_string_equal(content("image"), "old");
		assert_int_equal(count_fds(), fds);
	}
}

/* Nothing of a nameless file outlives its process. */
static void killed(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		struct output o;

		if (output_create(&o, in_dir("image"), GATE_ANY_FILE,
				  MR_DIRECT_AUTO, NULL) ||
		    write_new(&o, "half of it", NULL))
			_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(count_names(), 0);
}

static void mode_whatever_the_umask(void **state)
{
	static const mode_t masks[] = { 0000, 0777, 0077, 0022, 0200 };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(masks); i++) {
		mode_t was = umask(masks[i / 2]);
		struct stat st;

		no_tmpfile = i & 1;
		expect_story("image", "new");
		(void)umask(was);
		assert_int_equal(stat(in_dir("image"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(unlink(in_dir("image")), 0);
	}
}

static void two_at_once(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct output a, b;

	(void)state;
	for (int named = 0; named < 2; named++) {
		no_tmpfile = named;
		assert_int_equal(output_create(&a, in_dir("image"),
					       GATE_ANY_FILE, MR_DIRECT_OFF,
					       &err),
				 0);
		assert_int_equal(output_create(&b, in_dir("image"),
					       GATE_ANY_FILE, MR_DIRECT_OFF,
					       &err),
				 0);
		assert_int_equal(write_new(&a, "first", &err), 0);
		assert_int_equal(write_new(&b, "second", &err), 0);
		assert_int_equal(output_publish(&b, &err), 0);
		assert_string_equal(content("image"), "second");
		assert_int_equal(output_publish(&a, &err), 0);
		assert_string_equal(content("image"), "first");
		assert_int_equal(count_names(), 1);
	}
}

/* ---- names ---- */

static void symlinks(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct output_target t;
	struct output o;
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(in_dir("other"), 0700), 0);
	make_old("other/real");
	assert_int_equal(symlink("other/real", in_dir("link")), 0);
	assert_int_equal(symlink("link", in_dir("link2")), 0);
	assert_int_equal(output_look(in_dir("link2"), GATE_ANY_FILE, &t, &err),
			 0);
	assert_int_equal(stat(in_dir("other/real"), &st), 0);
	assert_true(t.found.exists);
	assert_int_equal(t.found.ino, st.st_ino);
	assert_int_equal(t.found.dev, st.st_dev);
	expect_story("link2", "new");
	assert_string_equal(content("other/real"), "new");
	assert_int_equal(lstat(in_dir("link2"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(count_names(), 3);

	/* one that leads nowhere would be replaced: refused by both */
	assert_int_equal(symlink("other/none", in_dir("dangling")), 0);
	assert_int_equal(
		output_look(in_dir("dangling"), GATE_ANY_FILE, &t, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_string_equal(err.msg, "a symlink that leads nowhere");
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(output_create(&o, in_dir("dangling"), GATE_ANY_FILE,
				       MR_DIRECT_AUTO, &err),
			 -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_int_equal(lstat(in_dir("dangling"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

/* Neither call has anything to do with this path. */
static void refuse(const char *path, enum mr_code code, int sys)
{
	struct mr_error a = MR_ERROR_INIT, b = MR_ERROR_INIT;
	unsigned fds = count_fds();
	struct output_target t;
	struct output o;

	assert_int_equal(output_look(path, GATE_ANY_FILE, &t, &a), -1);
	assert_int_equal(a.code, code);
	assert_int_equal(a.sys, sys);
	assert_int_equal(
		output_create(&o, path, GATE_ANY_FILE, MR_DIRECT_AUTO, &b), -1);
	assert_int_equal(b.code, code);
	assert_int_equal(b.sys, sys);
	output_discard(&o);
	assert_int_equal(count_fds(), fds);
}

static void not_a_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	refuse(in_dir("fifo"), MR_UNSUPPORTED, 0);
	refuse(folder, MR_UNSUPPORTED, 0);
	if (!access("/dev", W_OK)) /* else that is what is told */
		refuse("/dev/null", MR_UNSUPPORTED, 0);
	refuse("/", MR_UNSUPPORTED, 0);
	refuse(".", MR_UNSUPPORTED, 0);
	refuse("..", MR_UNSUPPORTED, 0);
	refuse("", MR_UNSUPPORTED, 0);
	refuse(in_dir("new/"), MR_UNSUPPORTED, 0);
	refuse(in_dir("none/new"), MR_SYS, ENOENT);
	make_old("file");
	refuse(in_dir("file/new"), MR_SYS, ENOTDIR);
	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	refuse(in_dir("loop"), MR_SYS, ELOOP);
	assert_int_equal(count_names(), 3);
}

static void long_names(void **state)
{
	char name[257];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	refuse(in_dir(name), MR_SYS, ENAMETOOLONG);
	name[255] = '\0';
	expect_story(name, "new");
	no_tmpfile = true;
	expect_story(name, "newer");
	assert_int_equal(count_names(), 1);
}

static void in_working_folder(void **state)
{
	int here = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(story("image", "new", NULL), 0);
	assert_int_equal(fchdir(here), 0);
	assert_int_equal(close(here), 0);
	assert_string_equal(content("image"), "new");
}

/* In a child: root may write anywhere, so it becomes nobody. */
static void folder_of_others(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(chmod(folder, 0555), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct mr_error a = MR_ERROR_INIT, b = MR_ERROR_INIT;
		struct output_target t;
		struct output o;

		if (!geteuid() && seteuid(65534))
			_exit(77);
		if (!output_look(in_dir("image"), GATE_ANY_FILE, &t, &a) ||
		    a.sys != EACCES)
			_exit(1);
		if (!output_create(&o, in_dir("image"), GATE_ANY_FILE,
				   MR_DIRECT_AUTO, &b) ||
		    b.sys != EACCES)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(folder, 0700), 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(count_names(), 0);
}

static void looks_at_room(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct output_target t;

	(void)state;
	assert_int_equal(output_look(in_dir("image"), GATE_ANY_FILE, &t, &err),
			 0);
	assert_false(t.found.exists);
	assert_true(t.room > 0);
	assert_true(t.block >= 512 && !(t.block & (t.block - 1)));
	assert_int_equal(count_names(), 0);
}

/* ---- sizes ---- */

static void sizes(void **state)
{
	static const uint64_t huge[] = { UINT64_MAX, (uint64_t)INT64_MAX + 1,
					 INT64_MAX };
	struct output o;

	(void)state;
	assert_int_equal(output_create(&o, in_dir("image"), GATE_ANY_FILE,
				       MR_DIRECT_AUTO, NULL),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(huge); i++) {
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(output_resize(&o, huge[i], &err), -1);
		assert_int_equal(err.code, i < 2 ? MR_UNSUPPORTED : MR_SYS);
	}
	assert_int_equal(output_resize(&o, 12345, NULL), 0);
	assert_int_equal(o.file.io.size, 12345);
	output_discard(&o);
}

/* ---- every call failed in turn ---- */

static void fail_each(bool exists)
{
	unsigned fds = count_fds(), n;

	for (n = 1;; n++) {
		struct mr_error err = MR_ERROR_INIT;
		const char *failed, *now;
		int rc;

		if (exists)
			make_old("image");
		else
			(void)unlink(in_dir("image"));
		fail_arm(n, EIO);
		rc = story(in_dir("image"), "the new one", &err);
		failed = fail_plan.name;
		fail_arm(0, 0);
		now = content("image");
		assert_int_equal(count_fds(), fds);
		assert_int_equal(count_names(), !!now);
		if (!failed) {
			assert_int_equal(rc, 0);
			assert_string_equal(now, "the new one");
			break;
		}
		assert_int_equal(err.code == MR_OK, rc == 0);
		/* the folder's fsync comes after the rename */
		if (rc == 0 || strstr(err.msg, "sync the folder"))
			assert_string_equal(now, "the new one");
		else if (exists)
			assert_string_equal(now, "old");
		else
			assert_null(now);
		/* not needed, or the kernel's answer changes nothing */
		if (rc == 0)
			assert_non_null(strstr(" statx open close ", failed));
	}
	assert_in_range(n, 20, 100);
}

static void every_call_fails(void **state)
{
	(void)state;
	for (int named = 0; named < 2; named++) {
		no_tmpfile = named;
		fail_each(false);
		fail_each(true);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, folder_teardown)

/* ---- files that take turns ---- */

static void create(struct output *o, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(output_create(o, in_dir("image"), GATE_ANY_FILE,
				       MR_DIRECT_AUTO, &err),
			 0);
	assert_int_equal(write_new(o, text, &err), 0);
}

static struct gate_found who(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (struct gate_found){ .dev = st.st_dev, .ino = st.st_ino };
}

static void taking_turns(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct gate_found was;
	struct output o;
	char *hidden;
	int first, second, third;

	(void)state;
	create(&o, "one");
	assert_int_equal(output_exchange(&o, NULL, &hidden, &first, &err), 0);
	assert_null(hidden);
	assert_string_equal(content("image"), "one");
	create(&o, "the second");
	was = who(first);
	memset(order, 0, sizeof(order));
	assert_int_equal(output_exchange(&o, &was, &hidden, &second, &err), 0);
	assert_string_equal(order, "FLD");
	assert_string_equal(content("image"), "the second");
	assert_int_equal(count_names(), 2);
	/* What had the name is written to, and has it again. */
	assert_int_equal(output_reuse(&o, in_dir("image"), GATE_ANY_FILE,
				      MR_DIRECT_AUTO, first, hidden, &err),
			 0);
	assert_int_equal(o.file.io.size, 3);
	assert_int_equal(write_new(&o, "third", &err), 0);
	assert_string_equal(content("image"), "the second");
	was = who(second);
	assert_int_equal(output_exchange(&o, &was, &hidden, &third, &err), 0);
	assert_string_equal(content("image"), "third");
	assert_int_equal(output_reuse(&o, in_dir("image"), GATE_ANY_FILE,
				      MR_DIRECT_AUTO, second, hidden, &err),
			 0);
	output_discard(&o);
	assert_int_equal(count_names(), 1);
	/* Somebody else has put another one there. */
	was = who(third);
	expect_story("image", "another's");
	create(&o, "fourth");
	assert_int_equal(output_exchange(&o, &was, &hidden, &first, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_int_equal(first, -1);
	assert_null(hidden);
	assert_string_equal(content("image"), "another's");
	assert_int_equal(count_names(), 1);
	assert_int_equal(close(third), 0);
	assert_int_equal(unlink(in_dir("image")), 0);
}

static void make_named(const char *name)
{
	int fd = open(in_dir(name), O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void swept(void **state)
{
	static const char *const kept[] = { ".image.0123456789abcde.tmp",
					    ".image.0123456789abcdef.tm",
					    ".image2.0123456789abcdef.tmp",
					    "image.0123456789abcdef.tmp",
					    ".image.0123456789abcdeg.tmp" };
	int fd;

	(void)state;
	if (!folder_has_leases())
		skip();
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		make_named(kept[i]);
	make_named(".image.0123456789abcdef.tmp");
	make_named(".image.fedcba9876543210.tmp");
	/* Somebody is at work on it. */
	fd = open(in_dir(".image.fedcba9876543210.tmp"), O_RDONLY);
	assert_true(fd >= 0);
	output_sweep(in_dir("image"));
	assert_int_equal(count_names(), ARRAY_LEN(kept) + 1);
	assert_int_equal(close(fd), 0);
	output_sweep(in_dir("image"));
	assert_int_equal(count_names(), ARRAY_LEN(kept));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		assert_int_equal(unlink(in_dir(kept[i])), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(absent_old_new),
		TEST(discarded),
		TEST(killed),
		TEST(mode_whatever_the_umask),
		TEST(two_at_once),
		TEST(symlinks),
		TEST(not_a_file),
		TEST(long_names),
		TEST(in_working_folder),
		TEST(folder_of_others),
		TEST(looks_at_room),
		TEST(sizes),
		TEST(every_call_fails),
		TEST(taking_turns),
		TEST(swept),
	};

	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
