/*
 * folder.h - a folder for a group of tests to work in: folder_setup and
 * folder_teardown are for cmocka_run_group_tests.
 */
#ifndef TESTS_LIBMR_FOLDER_H
#define TESTS_LIBMR_FOLDER_H

#include <ftw.h>

#include "tests/libmr/unit.h"

/* The group's folder: on the disk, if /var/tmp is. */
static char *folder;

/* A new folder under parent; NULL if none can be made there. */
static inline char *folder_new(const char *parent)
{
	char *path = NULL;

	if (asprintf(&path, "%s/mr-unit.XXXXXX", parent) < 0)
		return NULL;
	if (mkdtemp(path))
		return path;
	free(path);
	return NULL;
}

static inline int folder_drop_one(const char *path, const struct stat *st,
				  int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int folder_setup(void **state)
{
	(void)state;
	folder = folder_new("/var/tmp");
	return folder ? 0 : -1;
}

/* With all that is in it. */
static inline int folder_teardown(void **state)
{
	(void)state;
	if (folder)
		(void)nftw(folder, folder_drop_one, 8, FTW_DEPTH | FTW_PHYS);
	free(folder);
	folder = NULL;
	return 0;
}

/* A path in it, good until the fourth call from here. */
static inline const char *in_dir(const char *name)
{
	static char path[4][4096];
	static unsigned turn;

	turn = (turn + 1) % 4;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

/* Whether the file system that it is on gives leases. */
static inline bool folder_has_leases(void)
{
	const char *path = in_dir("lease");
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	bool has = fd >= 0 && !fcntl(fd, F_SETLEASE, F_WRLCK);

	if (fd >= 0)
		(void)close(fd);
	(void)unlink(path);
	return has;
}

#endif
