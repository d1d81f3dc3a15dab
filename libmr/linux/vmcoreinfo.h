/*
 * vmcoreinfo.h - what a Linux guest says of its kernel.
 *
 * A kernel that can be dumped (CONFIG_VMCORE_INFO, CONFIG_CRASH_CORE before
 * 6.9) keeps a page of memory with a text about itself, for whoever reads its
 * core. The page begins with it, and NULs follow to the page's end:
 *
 *   OSRELEASE=6.1.0-18-amd64
 *   BUILD-ID=...
 *   PAGESIZE=4096
 *   SYMBOL(init_uts_ns)=ffffffff82a1a3c0
 *   OFFSET(list_head.next)=0
 *   NUMBER(phys_base)=1073741824
 *   KERNELOFFSET=1a000000
 *
 * Symbols and KERNELOFFSET are hexadecimal, all else is decimal. Any page of
 * the guest can look like that: it is a file's cache, or was an older kernel's.
 *
 * Facts from Linux 6.1: kernel/crash_core.c, include/linux/crash_core.h.
 */
#ifndef LIBMR_LINUX_VMCOREINFO_H
#define LIBMR_LINUX_VMCOREINFO_H

#include <pthread.h>

#include "libmr/memory/memory.h"

/* Bytes of text that are read; a kernel has one page for it. */
#define VMCOREINFO_MAX 4096u
/* Different ones that are looked at. */
#define VMCOREINFO_FOUND 16u

struct vmcoreinfo {
	size_t block; /* the memory's */
	uint64_t offset; /* in it, bytes */
	size_t len; /* bytes of text, which ends in a newline */
	char text[VMCOREINFO_MAX + 1]; /* and a NUL */
};

/* Whether a page that begins with these bytes (VMCOREINFO_MAX) has such a text
 * in it; its length, or 0. Nothing but printable ASCII in lines KEY=VALUE, with
 * a page size and a symbol, and NULs behind it. */
size_t vmcoreinfo_length(const void *bytes);

/* The value of a key, which ends in a newline. NULL: there is none. */
const char *vmcoreinfo_get(const struct vmcoreinfo *v, const char *key);
/* That of "SYMBOL(name)", "NUMBER(name)", "OFFSET(struct.name)" or whatever
 * stands in front of =. hex: as the kernel writes addresses. false: there is
 * none, or it is no number. */
bool vmcoreinfo_number(const struct vmcoreinfo *v, const char *key, bool hex,
		       uint64_t *out);

struct vmcoreinfo_options {
	enum mr_direct direct; /* to read with */
	unsigned jobs; /* 0: as the crew likes */
	const struct mr_watch *watch; /* may be NULL */
};

/* A search, by threads that see pages. Those found are a search's. */
struct vmcoreinfo_search {
	pthread_mutex_t lock;
	struct vmcoreinfo *found; /* that differ, as vmcoreinfo_find's */
	size_t n;
};
void vmcoreinfo_search_init(struct vmcoreinfo_search *x);
void vmcoreinfo_search_release(struct vmcoreinfo_search *x);
/* A part of block `block` that was read: pages with a bit. 0 or -1. */
int vmcoreinfo_look(struct vmcoreinfo_search *x, size_t block,
		    const struct memory_part *p, struct mr_error *err);
/* Reads all of a memory, and looks. 0 or -1. */
int vmcoreinfo_seek(struct vmcoreinfo_search *x, struct memory *m,
		    const struct vmcoreinfo_options *o, struct mr_error *err);

/*
 * Reads all of a memory for such pages. *out becomes those that differ, *n of
 * them, in the order of blocks and offsets: of equal ones the first; the caller
 * frees it, and may get NULL for none. 0 or -1.
 */
int vmcoreinfo_find(struct memory *m, const struct vmcoreinfo_options *o,
		    struct vmcoreinfo **out, size_t *n, struct mr_error *err);

#endif
