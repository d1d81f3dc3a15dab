/*
 * mr.h - libmr's one public header: what the tools may call.
 *
 * No call here prints, exits or keeps global state. A call that can fail
 * returns 0 or -1 (or a pointer or NULL) and fills the struct mr_error that
 * the caller passed; start it as MR_ERROR_INIT. Strings that a call hands out
 * belong to the handle they came from unless the declaration says otherwise.
 */
#ifndef LIBMR_MR_H
#define LIBMR_MR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- errors ---- */

enum mr_code {
	MR_OK = 0,
	MR_SYS, /* the system said no: err.sys is errno */
	MR_SHORT, /* the file ends too early */
	MR_FORMAT, /* bytes that break the format */
	MR_UNSUPPORTED, /* legal, but not something we do */
	MR_QMP, /* QEMU said no, or stopped talking */
	MR_REFUSED, /* preflight: nothing was touched */
	MR_MISMATCH, /* the image does not fit this VM */
	MR_CANCELLED, /* the caller's cancel flag was raised */
	MR_NOMEM,
	MR_USAGE, /* arguments that make no sense together */
};

#define MR_NO_OFFSET UINT64_MAX

struct mr_error {
	enum mr_code code;
	int sys; /* errno, or 0 */
	uint64_t offset; /* byte in the file, or MR_NO_OFFSET */
	char msg[240]; /* no path, no newline, no full stop */
};
#define MR_ERROR_INIT                                 \
	{                                             \
		.code = MR_OK, .offset = MR_NO_OFFSET \
	}

/* ---- what every long verb takes ---- */

enum mr_direct {
	MR_DIRECT_AUTO, /* direct I/O where the file system gives it */
	MR_DIRECT_ON, /* fail rather than go through the page cache */
	MR_DIRECT_OFF,
};

/* How a verb talks to its caller while it runs. Start as { 0 }. */
struct mr_watch {
	/* Called now and then from one thread at a time; NULL: not wanted.
	 * done and total are bytes of memory dealt with. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* One line worth telling with -v: no newline. NULL: not wanted. */
	void (*note)(void *arg, const char *line);
	void *arg;
	/* Raised by a signal handler: the verb undoes its work and returns
	 * MR_CANCELLED. NULL: cannot be cancelled. */
	const atomic_bool *cancel;
};

/* ---- saving: mr_save ---- */

enum mr_engine {
	MR_ENGINE_AUTO, /* direct where the preflight allows it */
	MR_ENGINE_DIRECT, /* we read the paused VM's memory from outside */
	MR_ENGINE_QEMU, /* QEMU migrates itself to the file */
};

/* How the VM was left. */
enum mr_vm_fate {
	MR_VM_UNTOUCHED, /* nothing was asked of it but questions */
	MR_VM_AS_FOUND, /* put back into the run state it had */
	MR_VM_PAUSED, /* left paused, as the options asked */
	/* A stopped VM that saved itself: stopped as before, but QEMU calls
	 * it postmigrate and its disks are inactive until `cont`. */
	MR_VM_POSTMIGRATE,
	MR_VM_LOST, /* could not be put back: the error says what to do */
};

struct mr_save_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	enum mr_direct direct;
	enum mr_engine engine;
	int pid; /* of QEMU; 0: the peer of the QMP socket */
	bool check_only; /* preflight and estimate, nothing else */
	bool leave_paused; /* do not resume a VM that was running */
	bool live; /* engine qemu: let the guest run meanwhile */
	bool any_room; /* start although the file system may be too full */
	struct mr_watch watch;
};
#define MR_SAVE_OPTIONS_INIT \
	{                    \
		.jobs = 0    \
	}
#define MR_JOBS_MAX 64u

struct mr_save_report {
	enum mr_engine engine; /* the one that was taken */
	char why[240]; /* engine auto took qemu: because of this */
	enum mr_vm_fate vm;
	char machine[256];
	char run_state[32]; /* the VM's, as found; it is in the image */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t untouched; /* of them never touched: not even read */
	uint64_t scanned; /* read and looked at */
	uint64_t zero; /* scanned and found zero */
	uint64_t data; /* pages in the image, bytes */
	uint64_t written; /* bytes handed to the file for them */
	uint64_t device; /* bytes of device state */
	uint64_t size; /* of the image file */
	uint64_t room; /* free in the file system beforehand */
	uint64_t estimate; /* room that the image may take at most */
	double seconds; /* in all */
	double paused; /* seconds for which the guest stood still */
	bool direct; /* page data went around the page cache */
	unsigned jobs;
};

/*
 * Saves the VM behind the QMP socket vm into the file image. image is absent,
 * the old file, or the complete new one at every instant. Fails with
 * MR_REFUSED if the preflight says no: the VM was not touched then. *report
 * is filled as far as things went, on failure too; report->vm says how the VM
 * was left in any case.
 */
int mr_save(const char *vm, const char *image,
	    const struct mr_save_options *options,
	    struct mr_save_report *report, struct mr_error *err);

/* "direct", "qemu", "auto". */
const char *mr_engine_name(enum mr_engine engine);
/* "untouched", "as found", ... */
const char *mr_vm_fate_name(enum mr_vm_fate fate);

#endif
