/* mr/save.h - a VM into an image. */
#ifndef LIBMR_MR_SAVE_H
#define LIBMR_MR_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/vm.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

enum mr_engine {
	MR_ENGINE_AUTO, /* direct where the preflight allows it */
	MR_ENGINE_DIRECT, /* we read the paused VM's memory from outside */
	MR_ENGINE_QEMU, /* QEMU migrates itself to the file */
};

/* Whether shared memory is written from where it is, without a copy. It costs
 * less CPU, but unless the memory is on huge pages it is slower. */
enum mr_zero_copy {
	MR_ZERO_COPY_AUTO, /* memory on huge pages */
	MR_ZERO_COPY_ON, /* all shared memory */
	MR_ZERO_COPY_OFF,
};

/* Whether the guest runs meanwhile. */
enum mr_live {
	MR_LIVE_OFF,
	/* Engine qemu: QEMU copies its memory, again and again where the guest
	 * writes; the image is of the end. */
	MR_LIVE_PRECOPY,
	/* Engine qemu: a guest that writes to memory that has not been copied
	 * yet waits for that; the image is of the beginning. QEMU >= 8.0. */
	MR_LIVE_BACKGROUND,
};

/* Whether QEMU is to say what is what in its device state. */
enum mr_describe {
	MR_DESCRIBE_AUTO, /* where that takes some milliseconds */
	MR_DESCRIBE_ON, /* also where it takes as long as to send all memory */
	MR_DESCRIBE_OFF,
};

enum mr_description {
	MR_DESCRIPTION_NONE,
	MR_DESCRIPTION_FRESH, /* QEMU's, of this save */
	MR_DESCRIPTION_KEPT, /* of an earlier save: it fits to the byte */
};

struct mr_save_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	enum mr_direct direct;
	enum mr_engine engine;
	enum mr_zero_copy zero_copy; /* engine direct */
	enum mr_describe describe; /* engine direct; QEMU's own always does */
	/* A folder where descriptions are kept from one save for others; made
	 * if need be, mode 0700. NULL: none are. */
	const char *kept;
	int pid; /* of QEMU; 0: the peer of the QMP socket */
	bool check_only; /* preflight and estimate, nothing else */
	bool leave_paused; /* do not resume a VM that was running */
	enum mr_live live;
	/* MR_LIVE_PRECOPY: bytes a second that QEMU writes at most, until it
	 * stops the guest for the rest; 0: no limit. */
	uint64_t limit;
	bool any_room; /* start although the file system may be too full */
	/* Replace a file that is neither empty nor an image, and one of which
	 * it cannot be told whether the VM uses it. */
	bool force;
	/* The VM's, for the label of the seal; NULL: what QEMU says. UTF-8
	 * without control characters, at most 255 bytes. */
	const char *name;
	/* Leave the seal out. Engine qemu writes none, but for
	 * MR_LIVE_BACKGROUND: it would have to read the image again. */
	bool no_seal;
	/*
	 * Engine direct: an image that the VM began on (mr_instant_open), or
	 * was saved to before: what is still the same is shared with it. The
	 * result is an image like any other. Where that cannot be, all is
	 * saved; NULL: none.
	 */
	const char *base;
	/*
	 * Called once, by the thread that called mr_save, while the guest
	 * stands still: its memory has been taken, nothing is published. What
	 * it does is of the same moment. -1, with *err filled, undoes the save.
	 * It has five minutes: then the guardian lets the guest go on, and the
	 * save fails. Not with MR_LIVE_BACKGROUND, in which QEMU itself lets
	 * the guest go on. NULL: nothing is called.
	 */
	int (*while_paused)(void *arg, struct mr_error *err);
	void *while_paused_arg;
	/*
	 * Engine direct, while the guest stands still: called for each DIMM,
	 * and other memory that was plugged, with the name of its RAM block and
	 * the guest-physical address of its first byte. No image says that.
	 * NULL: QEMU is not asked.
	 */
	void (*memory_device)(void *arg, const char *block, uint64_t gpa);
	void *memory_device_arg;
	/*
	 * The finished image is not published: it stays without a name, and
	 * this is called with a path to it that leads there as long as it
	 * runs. -1 with *err: the save has failed. The guest runs again then,
	 * if it is to. image is where it lies, and as good as a file that is
	 * not there. NULL: it is published. Not with MR_LIVE_PRECOPY, nor
	 * leave_paused.
	 */
	int (*take)(void *arg, const char *path, struct mr_error *err);
	void *take_arg;
	/*
	 * The file that take replaces: one that the VM uses is refused
	 * beforehand, and before take is called. NULL: none.
	 */
	const char *replaces;
	struct mr_watch watch;
};
#define MR_SAVE_OPTIONS_INIT \
	{                    \
		.jobs = 0    \
	}

struct mr_save_report {
	enum mr_engine engine; /* the one that was taken */
	char why[240]; /* engine auto took qemu: because of this */
	enum mr_vm_fate vm;
	char name[256]; /* the VM's; "": it has none */
	bool has_uuid;
	uint8_t uuid[16]; /* the VM's */
	char machine[256];
	char run_state[32]; /* the VM's, as found; it is in the image */
	uint64_t made; /* the image's moment: seconds since 1970, UTC */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t untouched; /* of them never touched: not even read */
	uint64_t scanned; /* read and looked at */
	uint64_t zero; /* scanned and found zero */
	uint64_t data; /* pages in the image, bytes */
	uint64_t kept; /* of them shared with the base */
	char no_base[240]; /* why the base was of no use; "": it was, or none */
	uint64_t written; /* bytes handed to the file for them */
	uint64_t device; /* bytes of device state */
	enum mr_description description; /* of what is what in it */
	char no_description[240]; /* engine direct: why not; "": it is */
	uint64_t size; /* of the image file */
	uint64_t room; /* free in the file system beforehand */
	uint64_t estimate; /* room that the image may take at most */
	/* A background snapshot stops the guest the longer the more of ram is
	 * shared memory (about 16 ms for a GiB): bytes of that, as far as it
	 * can be seen from here. */
	uint64_t shared;
	double seconds; /* in all */
	double paused; /* seconds for which the guest stood still */
	bool direct; /* page data went around the page cache */
	bool sealed; /* the image ends in a seal */
	unsigned jobs;
};

/*
 * Saves the VM behind the QMP socket vm into the file image. image is absent,
 * the old file, or the complete new one at every instant. err->who: 1 vm,
 * 2 image, 3 base, 4 what take replaces. Fails with MR_REFUSED if the preflight
 * says no: the VM was not touched then. *report is filled as far as things
 * went, on failure too; report->vm says how the VM was left in any case.
 */
int mr_save(const char *vm, const char *image,
	    const struct mr_save_options *options,
	    struct mr_save_report *report, struct mr_error *err);

/* "direct", "qemu", "auto". */
const char *mr_engine_name(enum mr_engine engine);

#pragma GCC visibility pop

#endif
