/* disk.c - a file system whose files can share data, in a file, for a row. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char before[PATH_LEN]; /* config.images, while there is one */

/* The outer file system's journal and free blocks are no part of the row. */
static int make_file(const char *path, uint64_t mib)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	errno = posix_fallocate(fd, 0, (off_t)(mib * MIB));
	if (errno)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static bool format(const char *path)
{
	const char *argv[] = {
		"mkfs.xfs", "-q", "-m", "reflink=1", path, NULL
	};
	pid_t pid = child_start("mkfs", argv, -1);
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("cannot wait: %s", strerror(errno));
	return status == 0;
}

/* A block device that is the file, around the page cache, and goes when nobody
 * uses it any more: its descriptor, and its path. -1: there is none. */
static int attach(int file, char path[32])
{
	struct loop_config c = {
		.fd = (uint32_t)file,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO },
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE), fd = -1;

	if (n >= 0) {
		(void)snprintf(path, 32, "/dev/loop%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c)) {
		(void)close(fd);
		fd = -1;
	}
	if (control >= 0)
		(void)close(control);
	return fd;
}

/* Mounts of ours are seen by nobody else, and end with us, however we do. */
static bool alone(void)
{
	static bool done;

	done = done || (!unshare(CLONE_NEWNS) &&
			!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	return done;
}

static const char *mount_file(int file, const char *folder)
{
	char device[32];
	int fd, rc;

	if (!alone())
		return "may not mount";
	fd = attach(file, device);
	if (fd < 0)
		return "has no loop device";
	rc = mount(device, folder, "xfs", 0, NULL);
	(void)close(fd);
	return rc ? "cannot mount xfs" : NULL;
}

const char *disk_take(uint64_t mib)
{
	const char *path = path_of(config.images, "disk");
	const char *folder = path_of(config.images, "xfs"), *why;
	int fd = make_file(path, mib);

	if (mkdir(folder, 0700))
		die("%s: %s", folder, strerror(errno));
	why = format(path) ? mount_file(fd, folder) : "has no mkfs.xfs";
	(void)close(fd);
	(void)unlink(path);
	if (why) {
		(void)rmdir(folder);
		return why;
	}
	(void)snprintf(before, sizeof(before), "%s", config.images);
	(void)snprintf(config.images, sizeof(config.images), "%.500s/xfs",
		       before);
	return NULL;
}

void disk_restore(void)
{
	if (!*before)
		return;
	if (umount(config.images) || rmdir(config.images))
		die("%s: %s", config.images, strerror(errno));
	(void)snprintf(config.images, sizeof(config.images), "%s", before);
	*before = '\0';
}
