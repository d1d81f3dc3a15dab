/* cached.c - what the kernel says of a file's pages in memory. */
#include "libmr/file/cached.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mman.h has these from 6.5 on; the number is the same everywhere. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct range {
	uint64_t offset, length;
};

struct counts {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static bool ask_cachestat(const struct cached *c, uint64_t offset,
			  size_t length, struct counts *out)
{
	struct range r = { .offset = offset, .length = length };

	return syscall(SYS_cachestat, c->fd, &r, out, 0) == 0;
}

/* The kernel tells only those who may write the file: to others everything
 * is said to be there. */
static bool may_ask(int fd)
{
	struct stat st;

	return !geteuid() || (!fstat(fd, &st) && st.st_uid == geteuid());
}

void cached_init(struct cached *c, const struct file *f, enum cached_how best)
{
	struct counts counts;
	void *map;

	*c = (struct cached){ .fd = f->fd };
	if (best == CACHED_UNKNOWN || !f->io.size || f->io.size > SIZE_MAX ||
	    !may_ask(f->fd))
		return;
	if (best == CACHED_CACHESTAT && ask_cachestat(c, 0, 1, &counts)) {
		c->how = CACHED_CACHESTAT;
		return;
	}
	c->length = (size_t)f->io.size;
	map = mmap(NULL, c->length, PROT_READ, MAP_SHARED, f->fd, 0);
	if (map == MAP_FAILED)
		return;
	c->map = map;
	c->how = CACHED_MINCORE;
}

void cached_release(struct cached *c)
{
	if (c->map)
		(void)munmap(c->map, c->length);
	*c = (struct cached){ .how = CACHED_UNKNOWN };
}

/* Pages of [offset, offset + length) that are there; both at page borders. */
static size_t ask_mincore(const struct cached *c, uint64_t offset,
			  size_t length, size_t page)
{
	unsigned char there[256];
	size_t n = 0;

	while (length) {
		size_t some = length;

		if (some > sizeof(there) * page)
			some = sizeof(there) * page;
		if (mincore(c->map + offset, some, there))
			return 0;
		for (size_t i = 0; i < some / page; i++)
			n += there[i] & 1;
		offset += some;
		length -= some;
	}
	return n;
}

bool cached_mostly(const struct cached *c, uint64_t offset, size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t from = offset & ~(uint64_t)(page - 1);
	size_t pages = (size_t)((offset + length - from + page - 1) / page);
	struct counts counts;
	size_t there = 0;

	if (c->how == CACHED_CACHESTAT) {
		if (!ask_cachestat(c, from, pages * page, &counts))
			return false;
		there = (size_t)counts.cached;
	} else if (c->how == CACHED_MINCORE) {
		if (offset > c->length || length > c->length - offset)
			return false;
		there = ask_mincore(c, from, pages * page, page);
	}
	return there && there >= pages - pages / 4;
}
