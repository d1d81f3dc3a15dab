/* place.c - what can be done with a file where it lies. */
#include "libmr/file/place.h"

#include <fcntl.h>
#include <sys/vfs.h>

bool place_is(int fd, long magic)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == magic;
}

int place_punch(int fd, uint64_t offset, uint64_t length)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)offset, (off_t)length);
}
