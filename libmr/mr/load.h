/* mr/load.h - an image into a VM, or its memory into files. */
#ifndef LIBMR_MR_LOAD_H
#define LIBMR_MR_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/image.h"
#include "libmr/mr/vm.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* What the guest does once it is loaded. */
enum mr_load_then {
	MR_THEN_AS_SAVED, /* runs exactly if it ran when it was saved */
	MR_THEN_RUN,
	MR_THEN_PAUSE,
};

struct mr_load_options {
	unsigned jobs; /* channels, at most MR_JOBS_MAX; 0: 8 */
	enum mr_direct direct;
	enum mr_load_then then;
	bool check_only; /* compare image and VM, nothing else */
	/* Go on though memory may hold old content that cannot be cleared, and
	 * though the image is not as it was sealed. */
	bool force;
	/*
	 * Of the file that mr_verify has looked at. Another one, and this one
	 * if it was written to since, is MR_MISMATCH, before the VM is touched;
	 * and again at the end, before the guest goes on, when the VM is of no
	 * use any more (MR_VM_LOST). NULL: whatever the file is.
	 */
	const struct mr_file_mark *verified;
	/* Called with each reason why the image does not fit the VM: a line
	 * without newline. NULL: only counted. */
	void (*mismatch)(void *arg, const char *line);
	void *mismatch_arg;
	/* Seconds in which QEMU does nothing, while it should load, after which
	 * it is given up; 0: 300. */
	unsigned stall;
	struct mr_watch watch;
};
#define MR_LOAD_OPTIONS_INIT \
	{                    \
		.jobs = 0    \
	}

enum mr_load_way {
	MR_LOAD_READ, /* QEMU reads the file */
	MR_LOAD_SENT, /* we send it as a plain stream: see why */
};

struct mr_load_report {
	enum mr_vm_fate vm; /* MR_VM_AS_FOUND: it still waits */
	char machine[256]; /* the image's */
	char saved[32]; /* run state in the image; "": it does not say */
	char run_state[32]; /* the VM's, at the end */
	size_t mismatches;
	bool pci; /* devices on the first PCI bus were compared, by place */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t data; /* of them in the image; plain streams: 0, unknown */
	uint64_t allocated; /* bytes that the image takes on the disk */
	enum mr_seal_state seal; /* the image's: the pages are not looked at */
	double seconds;
	bool direct; /* page data is read around the page cache */
	unsigned jobs; /* multifd channels; 0: without multifd */
	enum mr_load_way way;
	char why[64]; /* the image is sent: because of this; else "" */
};

/*
 * Has the QEMU behind the QMP socket vm, which was started with -incoming
 * defer, load the file image. One before 9.0, which cannot read mapped-ram, is
 * sent the image (4.2 or later), and ends itself if that fails. err->who: 1
 * image, 2 vm. MR_REFUSED and MR_MISMATCH: the image or the VM is not fit for
 * it, and the VM was not touched. *report is filled as far as things went, on
 * failure too.
 */
int mr_load(const char *image, const char *vm,
	    const struct mr_load_options *options,
	    struct mr_load_report *report, struct mr_error *err);

/* One block's memory, and the file that is to hold it. */
struct mr_memory {
	const char *block; /* its name */
	const char *path;
};

struct mr_memory_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	enum mr_direct direct; /* for the image, and for files on disks */
	bool force; /* go on though the image is not as it was sealed */
	/* Pages, too, are compared as they are read; MR_REFUSED: by nothing. */
	bool verify;
	struct mr_watch watch;
};
#define MR_MEMORY_OPTIONS_INIT \
	{                      \
		.jobs = 0      \
	}

struct mr_memory_report {
	uint64_t ram; /* bytes of the blocks, and so of the files */
	uint64_t data; /* of them in the image */
	uint64_t allocated; /* bytes that the image takes on the disk */
	enum mr_seal_state seal; /* the image's: the pages are not looked at */
	uint64_t read; /* from the image */
	uint64_t written; /* the rest are holes, where there can be holes */
	uint64_t huge; /* of them read straight into huge pages of tmpfs */
	bool direct_read, direct_write; /* the latter: every file */
	unsigned jobs;
	double seconds;
};

/*
 * Writes blocks of a mapped-ram image or a plain stream into memory files, each
 * as long as its block. A file that exists is overwritten in place and holds
 * nothing of its old content afterwards, nor do pages that the image lacks;
 * after a failure it is not to be used. A new one appears whole or not at all,
 * mode 0600. err->who: 1 image, 2 + i memory[i].
 */
int mr_load_memory(const char *image, const struct mr_memory *memory, size_t n,
		   const struct mr_memory_options *options,
		   struct mr_memory_report *report, struct mr_error *err);

#pragma GCC visibility pop

#endif
