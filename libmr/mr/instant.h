/* mr/instant.h - a QEMU that begins on an image without reading it. */
#ifndef LIBMR_MR_INSTANT_H
#define LIBMR_MR_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/load.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* What of the image is read ahead while QEMU starts. */
enum mr_prefault {
	MR_PREFAULT_IF_RECORDED, /* what the record says, if there is one */
	MR_PREFAULT_RECORDED, /* the same; that there is none is said */
	MR_PREFAULT_ALL,
	MR_PREFAULT_NONE,
};

struct mr_instant_options {
	enum mr_load_then then;
	bool strict; /* memory that cannot be mapped is refused, not fed */
	bool force; /* the image may be other than it was sealed */
	bool no_lock; /* the file system has no locks, or they are not wanted */
	/* The file of touched pages (formats/touched.md); NULL: none. */
	const char *record;
	/* For so long a child looks which pages the guest touches, and writes
	 * that file; 0: it does not. */
	unsigned record_seconds;
	enum mr_prefault prefault;
	/* What is done otherwise than the command line says, and what it
	 * means: a line without newline. NULL: not told. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
	struct mr_watch watch;
};
#define MR_INSTANT_OPTIONS_INIT  \
	{                        \
		.no_lock = false \
	}

struct mr_instant_report {
	char machine[256]; /* the image's, and so the VM's */
	char saved[32]; /* run state in the image; "": it does not say */
	char qemu[32]; /* version of the program */
	size_t blocks;
	uint64_t ram; /* bytes that the image describes */
	uint64_t data; /* of them in the image */
	uint64_t mapped; /* bytes of blocks that are mapped */
	uint64_t fed; /* bytes of data that a child feeds */
	uint64_t stub; /* bytes of the stream with all the rest; 0: fed */
	uint64_t stale; /* pages that the image lacks, but has room for */
	bool locked;
	uint64_t allocated; /* bytes that the image takes on the disk */
	enum mr_seal_state seal; /* the image's: the pages are not looked at */
	double seconds;
};

struct mr_instant; /* opaque */

/*
 * Makes ready what turns this process into the QEMU of the command line argv
 * (argv[0] is the program), with its memory mapped copy-on-write from the
 * mapped-ram image instead of read from it. The image is opened, checked and
 * locked (an OFD read lock); its descriptor, and that of a memory file with
 * the rest, stay open over exec. Descriptors 0 to 2 must be open, to /dev/null
 * if to nothing else: QEMU takes them for its input and output, and what is
 * opened here would get their numbers (MR_USAGE). err->who: 1 image, 2 argv, 3
 * the record that is to be written. MR_REFUSED: image and command line do not
 * fit, or not this way. *report is filled as far as things went. options must
 * outlive it. NULL on failure.
 */
struct mr_instant *mr_instant_open(const char *image, const char *const *argv,
				   const struct mr_instant_options *options,
				   struct mr_instant_report *report,
				   struct mr_error *err);
void mr_instant_free(struct mr_instant *in); /* in may be NULL */

/* The command line that it comes to, NULL at the end; in's. */
char *const *mr_instant_argv(const struct mr_instant *in);
/* A path of the image as it was opened and locked, for other verbs; in's. */
const char *mr_instant_image(const struct mr_instant *in);

/* Becomes that QEMU: returns only on failure. Signals should be as a new
 * program expects them. */
int mr_instant_exec(struct mr_instant *in, struct mr_error *err);

#pragma GCC visibility pop

#endif
