/* kernel.h - a Linux kernel in a guest's memory: which one it is, and what is
 * at its addresses. */
#ifndef LIBMR_LINUX_KERNEL_H
#define LIBMR_LINUX_KERNEL_H

#include "libmr/linux/vmcoreinfo.h"
#include "libmr/mr.h"

/* The kernel of x86_64 is linked for this, and has so much room. */
#define KERNEL_X86 UINT64_C(0xffffffff80000000)
#define KERNEL_X86_ROOM (UINT64_C(1) << 30)

/* A guest's memory by address. */
struct kernel_memory {
	const struct mr_layout *layout;
	mr_layout_read read;
	void *arg;
};

/* Of several texts that of the kernel that runs: where it says that its version
 * is, that version stands. NULL: it is proven of none. */
const struct vmcoreinfo *kernel_running(const struct kernel_memory *m,
					const struct vmcoreinfo *found,
					size_t n);

/* How an x86_64 kernel itself pages, whatever its CPUs do. MR_UNSUPPORTED: it
 * does not tell, or it is another kernel. 0 or -1. */
int kernel_paging(const struct vmcoreinfo *v, struct mr_paging *out,
		  struct mr_error *err);

/* len bytes at a virtual address. 0 or -1. */
int kernel_read(const struct kernel_memory *m, const struct mr_paging *p,
		uint64_t va, void *buf, size_t len, struct mr_error *err);

#endif
