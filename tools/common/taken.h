/*
 * taken.h - a VM into whatever mr_convert makes.
 *
 * To compress takes longer than a guest should stand still, and a reader of a
 * pipe as long as it likes. So the VM is saved to a file without a name, at
 * full speed, and what is wanted is made of that while the guest runs.
 */
#ifndef TOOLS_TAKEN_H
#define TOOLS_TAKEN_H

#include <limits.h>
#include <stdbool.h>

#include "libmr/mr.h"

struct taken_device {
	char block[256];
	uint64_t gpa;
};

/* Filled with zeros and NULLs, but for the caller's. */
struct taken {
	/* The caller's. */
	const char *out;
	struct mr_convert_options convert; /* form: not by name */
	/* taken_begin's. */
	char image[PATH_MAX]; /* what is saved to, without a name */
	struct mr_save_report vm;
	struct mr_convert_report report; /* once it was tried */
	bool tried;
	/* For libvirt, of a domain: its XML, asked for again while the guest
	 * stands still; and what else is to be done then. */
	const char *domain; /* NULL: not wanted */
	char xml[32]; /* a path to it */
	int (*while_paused)(void *arg, struct mr_error *err);
	void *while_paused_arg;
	/* For a core: where QEMU says that memory was plugged. */
	struct taken_device *devices;
	size_t n_devices;
	bool no_memory; /* for all of them */
};

/* Of who an error is: those of mr_convert, 1 to 4, the VM for its input; and
 * TAKEN_IMAGE. */
enum { TAKEN_VM = 1, TAKEN_OUT, TAKEN_IMAGE = 5 };

/* Before the VM is touched: whether options and output are of use. Then save
 * saves for it, into a file in folder. */
int taken_begin(struct taken *t, const char *vm, const char *folder,
		struct mr_save_options *save, struct mr_error *err);

/* Saves the VM, and makes of it what is wanted. t->vm says how the VM was left
 * in any case. With save->check_only nothing is made. */
int taken_save(struct taken *t, const char *vm,
	       const struct mr_save_options *save, struct mr_error *err);

#endif
