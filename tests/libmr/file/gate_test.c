/* gate_test.c - where paths lead, and what may be replaced there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/file/gate.h"
#include "tests/libmr/folder.h"

static void put(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
}

/* path leads to that file, or to that free name. */
static void leads(const char *path, const char *to)
{
	struct mr_error err = MR_ERROR_INIT;
	struct gate p;
	struct stat there, here;
	int a, b;

	assert_int_equal(gate_find(&p, path, &err), 0);
	assert_string_equal(err.msg, "");
	a = fstatat(p.dir, p.name, &here, AT_SYMLINK_NOFOLLOW);
	b = lstat(to, &there);
	assert_int_equal(a, b);
	if (!a)
		assert_int_equal(here.st_ino, there.st_ino);
	gate_release(&p);
}

static void nowhere(const char *path, enum mr_code code, int sys)
{
	struct mr_error err = MR_ERROR_INIT;
	struct gate p;

	assert_int_equal(gate_find(&p, path, &err), -1);
	assert_int_equal(err.code, code);
	assert_int_equal(err.sys, sys);
	assert_int_equal(p.dir, -1);
}

static void paths(void **state)
{
	char cwd[4096], text[301];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(mkdir(in_dir("a"), 0700), 0);
	assert_int_equal(mkdir(in_dir("a/b"), 0700), 0);
	put(in_dir("a/b/file"), "x", 1);
	assert_int_equal(symlink("a/b", in_dir("in")), 0);
	assert_int_equal(symlink("../b/./file", in_dir("a/b/up")), 0);
	assert_int_equal(symlink("../in//up", in_dir("a/far")), 0);
	assert_int_equal(symlink(in_dir("a/far"), in_dir("absolute")), 0);
	leads(in_dir("a/b/file"), in_dir("a/b/file"));
	leads(in_dir("a//b/../b/./file"), in_dir("a/b/file"));
	leads(in_dir("in/file"), in_dir("a/b/file"));
	leads(in_dir("in/up"), in_dir("a/b/file"));
	leads(in_dir("absolute"), in_dir("a/b/file"));
	leads(in_dir("in/none"), in_dir("a/b/none"));
	assert_int_equal(chdir(in_dir("a")), 0);
	leads("far", in_dir("a/b/file"));
	leads("new", in_dir("a/new"));
	assert_int_equal(chdir(cwd), 0);

	nowhere("", MR_UNSUPPORTED, 0);
	nowhere(in_dir("a/"), MR_UNSUPPORTED, 0);
	nowhere(in_dir("none/x"), MR_SYS, ENOENT);
	nowhere(in_dir("a/b/file/x"), MR_SYS, ENOTDIR);
	assert_int_equal(symlink("none", in_dir("dangling")), 0);
	nowhere(in_dir("dangling"), MR_UNSUPPORTED, 0);
	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	nowhere(in_dir("loop"), MR_SYS, ELOOP);
	nowhere(in_dir("loop/x"), MR_SYS, ELOOP);
	memset(text, 'n', 300);
	text[300] = '\0';
	nowhere(in_dir(text), MR_SYS, ENAMETOOLONG);
}

/* Everybody may leave a link in /tmp: root does not go where it says. */
static void links_of_others(void **state)
{
	const char *link, *sticky, *in;

	(void)state;
	if (geteuid()) {
		print_message("only root can make another user's link\n");
		skip();
	}
	put(in_dir("file"), "x", 1);
	assert_int_equal(mkdir(in_dir("sticky"), 0700), 0);
	assert_int_equal(mkdir(in_dir("aim"), 0700), 0);
	sticky = in_dir("sticky");
	assert_int_equal(chmod(sticky, 01777), 0);
	link = in_dir("sticky/link");
	assert_int_equal(symlink("../file", link), 0);
	leads(link, in_dir("file")); /* ours */
	assert_int_equal(lchown(link, 65534, 65534), 0);
	nowhere(link, MR_REFUSED, 0);
	/* Nor on the way. */
	in = in_dir("sticky/in");
	assert_int_equal(symlink("../aim", in), 0);
	assert_int_equal(lchown(in, 65534, 65534), 0);
	nowhere(in_dir("sticky/in/new"), MR_REFUSED, 0);
	/* The folder's owner may; so may anybody where only some may write. */
	assert_int_equal(lchown(in_dir("sticky"), 65534, 65534), 0);
	leads(in_dir("sticky/link"), in_dir("file"));
	assert_int_equal(lchown(in_dir("sticky"), 0, 0), 0);
	assert_int_equal(chmod(in_dir("sticky"), 0777), 0);
	leads(in_dir("sticky/link"), in_dir("file"));
}

static enum mr_code look(const char *path, enum gate_rule rule)
{
	struct mr_error err = MR_ERROR_INIT;
	struct gate_found found;
	struct gate p;

	assert_int_equal(gate_find(&p, path, &err), 0);
	(void)gate_look(&p, rule, &found, &err);
	gate_release(&p);
	return err.code;
}

static void rules(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool image, drawing, touched;
	} files[] = {
		{ "", 0, true, true, true },
		{ "\x8bmrtchd\n", 8, false, false, true },
		{ "\x8bmrtchd", 7, false, false, false },
		{ "QEVM\0\0\0\3", 8, true, false, false },
		{ "LibvirtQemudSave....", 20, true, false, false },
		{ "LibvirtQemudPart....", 20, true, false, false },
		{ "LibvirtQemudSav", 15, false, false, false },
		{ "QEV", 3, false, false, false },
		{ "QFI\xfb....", 8, false, false, false },
		{ "<svg xmlns", 10, false, true, false },
		{ "\0", 1, false, false, false },
	};
	const char *file = in_dir("ruled"), *fifo = in_dir("fifo");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		put(file, files[i].bytes, files[i].len);
		assert_int_equal(look(file, GATE_IMAGE),
				 files[i].image ? MR_OK : MR_REFUSED);
		assert_int_equal(look(file, GATE_DRAWING),
				 files[i].drawing ? MR_OK : MR_REFUSED);
		assert_int_equal(look(file, GATE_TOUCHED),
				 files[i].touched ? MR_OK : MR_REFUSED);
		assert_int_equal(look(file, GATE_ANY_FILE), MR_OK);
	}
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (int rule = GATE_IMAGE; rule <= GATE_ANY_FILE; rule++) {
		assert_int_equal(look(fifo, (enum gate_rule)rule),
				 MR_UNSUPPORTED);
		assert_int_equal(look("/dev/null", (enum gate_rule)rule),
				 MR_UNSUPPORTED);
		assert_int_equal(look(folder, (enum gate_rule)rule),
				 MR_UNSUPPORTED);
		assert_int_equal(look(in_dir("free"), (enum gate_rule)rule),
				 MR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(links_of_others),
		cmocka_unit_test(rules),
	};

	return cmocka_run_group_tests_name("gate", tests, folder_setup,
					   folder_teardown);
}
