/* kept_test.c - a folder of descriptions, and what else may lie there. */
#include "tests/libmr/folder.h"
#include "tests/libmr/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libmr/save/kept.h"

static const struct guest here = { .machine = "pc-q35-10.0", .major = 10 };
static const struct guest there = { .machine = "pc-q35-10.0", .major = 11 };

/* The files of a folder; *name is one of them. */
static size_t count(const char *path, char name[256])
{
	DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0) {
			(void)snprintf(name, 256, "%s", e->d_name);
			n++;
		}
	(void)closedir(d);
	return n;
}

static size_t load(const char *path, const struct guest *g)
{
	struct kept k = { .n = 0 };
	size_t n;

	kept_load(&k, path, g);
	n = k.n;
	kept_release(&k);
	return n;
}

static void made_and_found(void **state)
{
	char path[4096], name[256], file[8192];
	struct kept k = { .n = 0 };
	struct stat st;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/cache/mrtools", folder);
	assert_int_equal(load(path, &here), 0);
	assert_int_equal(load(NULL, &here), 0);
	kept_add(NULL, &here, 5, "{}", 2);
	kept_add(path, &here, 5, "", 0);
	kept_add(path, &here, 5, "{\"a\": 1}", 8);
	kept_add(path, &here, 5, "{\"a\": 1}", 8);
	assert_int_equal(count(path, name), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(file, sizeof(file), "%s/%s", path, name);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* The newest comes first, which may be one that came again. */
	assert_int_equal(
		utimensat(AT_FDCWD, file, (struct timespec[2]){ { 0 } }, 0), 0);
	kept_add(path, &here, 6, "{}", 2);
	kept_load(&k, path, &here);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.all[0].device, 6);
	assert_int_equal(k.all[1].device, 5);
	assert_int_equal(k.all[1].len, 8);
	assert_memory_equal(k.all[1].text, "{\"a\": 1}", 8);
	kept_release(&k);
	kept_add(path, &here, 5, "{\"a\": 1}", 8);
	kept_load(&k, path, &here);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.all[0].device, 5);
	kept_release(&k);
	/* Of another QEMU there is none. */
	assert_int_equal(load(path, &there), 0);
}

static void not_ours(void **state)
{
	char path[4096], name[256], file[8192], to[8192];
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/mine", folder);
	kept_add(path, &here, 5, "{}", 2);
	assert_int_equal(count(path, name), 1);
	assert_int_equal(load(path, &here), 1);
	/* Others could write there. */
	assert_int_equal(chmod(path, 0770), 0);
	assert_int_equal(load(path, &here), 0);
	kept_add(path, &here, 7, "{}", 2);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(load(path, &here), 1);
	/* A link, a pipe, nothing, and too much. */
	(void)snprintf(file, sizeof(file), "%s/%s", path, name);
	(void)snprintf(to, sizeof(to), "%s/elsewhere", folder);
	assert_int_equal(rename(file, to), 0);
	assert_int_equal(symlink(to, file), 0);
	assert_int_equal(load(path, &here), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(load(path, &here), 0);
	assert_int_equal(unlink(file), 0);
	fd = open(file, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(load(path, &here), 0);
	assert_int_equal(ftruncate(fd, KEPT_SIZE + 1), 0);
	assert_int_equal(load(path, &here), 0);
	assert_int_equal(ftruncate(fd, KEPT_SIZE), 0);
	assert_int_equal(load(path, &here), 1);
	(void)close(fd);
	/* Names that are not just so. */
	name[0] = 'A';
	(void)snprintf(to, sizeof(to), "%s/%s", path, name);
	assert_int_equal(rename(file, to), 0);
	assert_int_equal(load(path, &here), 0);
	(void)snprintf(file, sizeof(file), "%s/%s~", path, name);
	assert_int_equal(rename(to, file), 0);
	assert_int_equal(load(path, &here), 0);
	/* A file is no folder. */
	assert_int_equal(load(file, &here), 0);
	kept_add(file, &here, 5, "{}", 2);
}

static void bounded(void **state)
{
	char path[4096], name[256], text[32];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/many", folder);
	for (unsigned i = 0; i < 2 * KEPT_FILES; i++) {
		(void)snprintf(text, sizeof(text), "{\"n\": %u}", i);
		kept_add(path, i % 2 ? &here : &there, i, text, strlen(text));
	}
	assert_int_equal(count(path, name), KEPT_FILES);
	assert_int_equal(load(path, &here), KEPT_TRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_and_found),
		cmocka_unit_test(not_ours),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests_name("kept", tests, folder_setup,
					   folder_teardown);
}
