/* guest_zero.c - zeros into the memory of a VM that waits. */
#include "libmr/vm/guest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>

#include "libmr/base/error.h"

/* As many zeros as one call takes: so many times the same few. */
#define ZEROS 16u

int guest_zero(const struct guest *g, const struct guest_block *b,
	       uint64_t offset, uint64_t length, struct mr_error *err)
{
	static const char zeros[65536];
	struct iovec from[ZEROS];

	for (size_t i = 0; i < ZEROS; i++)
		from[i] = (struct iovec){ (void *)(uintptr_t)zeros,
					  sizeof(zeros) };
	while (length) {
		struct iovec to = { (void *)(uintptr_t)(b->hva + offset),
				    (size_t)length };
		ssize_t n = process_vm_writev(g->pid, from, ZEROS, &to, 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"block '%.64s' has old content at offset "
				"0x%" PRIx64 " that cannot be cleared (%s): "
				"start QEMU over new memory, or give --force",
				b->name, offset,
				n ? strerror(errno) : "nothing written");
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}
