/*
 * guest.h - a VM seen from outside: its RAM blocks and how to read them.
 *
 * What may be skipped and how a range is read depends on what backs it:
 *
 *   backing                known untouched by             read through
 *   private anonymous      neither present nor swapped    process_vm_readv
 *   shmem, shared          neither mapped nor SEEK_DATA   pread
 *   hugetlb, shared        not mapped, if that is all     pread
 *   other file, shared     -                              pread
 *   file, private          neither present nor swapped,   present pages:
 *                          nor SEEK_DATA                  process, rest: file
 *   hugetlb, private       -                              the same
 *
 * Shared memory is never read through a mapping: that would allocate its
 * holes. Absent pages of a private file mapping hold the file's content: of a
 * VM that began on an image (mr/instant.h) only what is present or swapped and
 * not the file's was changed since.
 *
 * Nothing here stops the VM: what guest_touched and guest_read say is a
 * consistent picture only while it is paused. A guest is filled in by one
 * thread; then guest_touched and guest_read may run in many at once.
 */
#ifndef LIBMR_GUEST_H
#define LIBMR_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmr/base/bus_guard.h"
#include "libmr/base/run.h"
#include "libmr/file/io.h"
#include "libmr/mr.h"
#include "libmr/vm/target.h"

struct qmp;
struct guest_file;

/* One bit of a touched map stands for this many bytes of a block. */
#define GUEST_PAGE 4096

enum guest_kind {
	GUEST_ANON_PRIVATE,
	GUEST_SHMEM_SHARED, /* memfd, tmpfs file, shared anonymous */
	GUEST_HUGETLB_SHARED,
	GUEST_FILE_SHARED, /* any other file, or a device such as DAX */
	GUEST_FILE_PRIVATE, /* also a private mapping of shmem */
	GUEST_HUGETLB_PRIVATE,
};

/* A range of one block with one backing. */
struct guest_segment {
	uint64_t offset; /* in the block, bytes */
	uint64_t length; /* bytes */
	uint64_t hva; /* address in the QEMU process; 0: it does not tell */
	enum guest_kind kind;
	int fd; /* the backing file, O_RDONLY, the guest's; -1: none, or it
		 * cannot be opened and everything is read in the process */
	uint64_t file_offset; /* of the segment's first byte */
	const unsigned char *view; /* private: from guest_view, or NULL */
	struct bus_guard guard; /* private: of the view */
};

struct guest_block {
	char name[256]; /* "" exactly if not migratable */
	uint64_t page_size; /* of the host memory behind it, bytes */
	uint64_t used; /* used_length: what a stream carries, bytes */
	uint64_t total; /* maximum length, bytes */
	uint64_t hva; /* address in the QEMU process; 0: it does not tell */
	bool migratable;
	char file[96]; /* from guest_ask_files, cut; "": in none */
	bool in_file; /* the same; also in a file that QEMU made for it */
	/* From guest_map: sorted by offset, without gaps, `used` bytes in
	 * all; none for a block that is not migratable. */
	struct guest_segment *segments;
	size_t n_segments;
};

struct guest {
	pid_t pid; /* 0: not visible from here */
	char machine[256]; /* machine type, without "-machine" */
	char status[32]; /* run state: "running", "paused", ... */
	bool running; /* vCPUs run */
	int major, minor, micro; /* of QEMU */
	struct vm_target target; /* from target_ask; { 0 }: not asked */
	unsigned cpus; /* from ask_cpus; 0: not asked */
	bool has_pci; /* from ask_pci; and then pci is its answer */
	uint64_t pci[4];
	struct guest_block *blocks;
	size_t n_blocks;
	char *listing; /* of the blocks, as QEMU wrote it; NULL: guest_new's */

	/* private */
	int pagemap; /* /proc/PID/pagemap, or -1 before guest_map */
	bool no_scan; /* as if the kernel had no PAGEMAP_SCAN */
	struct guest_file *files; /* backing files, each opened once */
	size_t n_files;
};

/*
 * Ask q about its VM. pid 0: the peer of q's socket. Touches nothing and needs
 * no right over the QEMU process: those are checked by guest_can_read and
 * guest_map. q is not kept.
 */
struct guest *guest_open(struct qmp *q, pid_t pid, struct mr_error *err);
/* The same of a QEMU that is too old to tell where its memory is: guest_map
 * fails then. */
struct guest *guest_open_any(struct qmp *q, struct mr_error *err);
/* A guest out of given blocks (copied), without a QMP connection: run state
 * and machine type stay empty. */
struct guest *guest_new(pid_t pid, const struct guest_block *blocks,
			size_t n_blocks, struct mr_error *err);
/* g may be NULL. */
void guest_free(struct guest *g);
/* Ask again for run state and blocks, which drops what guest_map found (also
 * on failure): to be done after `stop`, as memory may have been plugged. */
int guest_refresh(struct guest *g, struct qmp *q, struct mr_error *err);

/* Which blocks are in files that were there before: QEMU is asked. */
int guest_ask_files(struct guest *g, struct qmp *q, struct mr_error *err);

/*
 * The text of x-query-ramblock into a new array (free); hva: it has that
 * column, as it has since QEMU 8.0 (MR_UNSUPPORTED: it has not). Refuses
 * lengths and addresses that no VM can have and migratable blocks that share a
 * name.
 */
int guest_parse_ramblock(const char *text, bool hva,
			 struct guest_block **blocks, size_t *n_blocks,
			 struct mr_error *err);

/* The migratable block of that name, or NULL. */
struct guest_block *guest_find(const struct guest *g, const char *name);

/* Whether we have the right to read the process's memory, without reading
 * any. Failure is MR_REFUSED and says what to do about it. */
int guest_can_read(const struct guest *g, struct mr_error *err);

/*
 * Find what backs every migratable block. Fails with MR_REFUSED when a block
 * is not where QEMU says: then pid is not that QEMU. May be done again.
 */
int guest_map(struct guest *g, struct mr_error *err);
/*
 * Whether the files behind shared memory have all of it, and no view has lost
 * any. Whoever shrinks one takes memory away from the guest and from us, and
 * what is gone counts as never touched.
 */
int guest_is_whole(const struct guest *g, struct mr_error *err);
/*
 * The same without QMP, and for guest_present alone: block i is where the
 * process has a private mapping of the file from byte at[i] on, of all of its
 * `used` bytes. 1; 0: not all of them are mapped (yet); or -1.
 */
int guest_map_file(struct guest *g, ino_t ino, const uint64_t *at,
		   struct mr_error *err);
/* Forget it: closes the backing files. */
void guest_unmap(struct guest *g);

/*
 * Set the bits of the pages of b that may hold something else than zeros: one
 * bit for GUEST_PAGE bytes, the lowest bit of a word first. Clear bits are
 * certain. bitmap has at least used / GUEST_PAGE bits, cleared by the caller.
 */
int guest_touched(const struct guest *g, const struct guest_block *b,
		  uint64_t *bitmap, struct mr_error *err);

/*
 * If all of b is a private mapping of the file from byte `at` of it on: sets
 * the bits of the pages that are not the file's any more, and returns 1; 0: it
 * is something else; or -1.
 */
int guest_changed(const struct guest *g, const struct guest_block *b,
		  const struct file *f, uint64_t at, uint64_t *bitmap,
		  struct mr_error *err);

/* Sets the bits of the pages that the process has in its memory, or swapped
 * out of it, whoever's they are. */
int guest_present(const struct guest *g, const struct guest_block *b,
		  uint64_t *bitmap, struct mr_error *err);

/* The bytes that guest_touched finds, or more, for less work: a file in memory
 * is only asked how much it holds. bitmap as there; it says nothing after. */
int guest_most(const struct guest *g, const struct guest_block *b,
	       uint64_t *bitmap, uint64_t *bytes, struct mr_error *err);

/*
 * Read n runs of b. Allocates nothing, neither here nor in the guest. Fails
 * as a whole, naming block and offset, when one byte cannot be had.
 */
int guest_read(const struct guest *g, const struct guest_block *b,
	       const struct memory_run *runs, size_t n, struct mr_error *err);

/*
 * Makes a stretch of b zero, through QEMU's own mapping: the pages stay where
 * they are, whoever has them pinned or set aside. For a VM that has not begun
 * to run. MR_REFUSED: it cannot be written to.
 */
int guest_zero(const struct guest *g, const struct guest_block *b,
	       uint64_t offset, uint64_t length, struct mr_error *err);

/*
 * Map shared memory to be written from in place, without a copy: that on huge
 * pages, or with all true every shared block. What cannot be mapped is left
 * out: guest_view_at says NULL there. Returns whether any is on huge pages.
 * What is lost meanwhile reads as zeros, or is EFAULT for the kernel:
 * guest_is_whole tells.
 */
bool guest_view(struct guest *g, bool all);

/*
 * [offset, offset + len) of b in place, or NULL: read it instead. Pages that
 * guest_touched left clear, whose bits from offset on are touched, must not
 * be looked at: that would allocate them.
 */
const void *guest_view_at(const struct guest *g, const struct guest_block *b,
			  uint64_t offset, size_t len, const uint64_t *touched);

/* That range is not needed any more: it no longer counts as our memory. */
void guest_view_done(const struct guest_block *b, uint64_t offset, size_t len);

/* Whether the QEMU process has that file open or mapped: 1, 0, or -1. */
int guest_uses_file(const struct guest *g, dev_t dev, ino_t ino,
		    struct mr_error *err);

#endif
