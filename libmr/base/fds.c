/* fds.c - a child closes what it inherited. */
#include "libmr/base/fds.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Descriptors that a process may have where there is no close_range. */
#define FDS_MOST 65536u

/* As close_range(2), also where a sandbox or an old kernel has none. */
static void close_span(unsigned from, unsigned to)
{
	struct rlimit most;

	if (from > to || !syscall(SYS_close_range, from, to, 0u))
		return;
	if (getrlimit(RLIMIT_NOFILE, &most) || most.rlim_cur > FDS_MOST)
		most.rlim_cur = FDS_MOST;
	for (; from <= to && from < most.rlim_cur; from++)
		(void)close((int)from);
}

bool fds_among(const int *list, size_t n, int fd)
{
	while (n && list[n - 1] != fd)
		n--;
	return n != 0;
}

void fds_close_others(const int *keep, size_t n)
{
	unsigned from = 3, next;

	do {
		next = ~0u;
		for (size_t i = 0; i < n; i++)
			if (keep[i] >= (int)from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from)
			close_span(from, next == ~0u ? next : next - 1);
		from = next + 1;
	} while (next != ~0u);
}
