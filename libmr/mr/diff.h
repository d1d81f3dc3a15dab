/* mr/diff.h - comparing two memories and their device state. */
#ifndef LIBMR_MR_DIFF_H
#define LIBMR_MR_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/devices.h"
#include "libmr/mr/error.h"
#include "libmr/mr/image.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* The two that are compared. */
enum mr_side { MR_A, MR_B, MR_SIDES };

/*
 * What a page is in both memories. A page without a bit in an image, one in a
 * hole, and one that is all zero are the same thing: zero. Data that an image
 * holds under a clear bit is not looked at.
 */
enum mr_diff_class {
	MR_DIFF_ZERO, /* zero in both */
	MR_DIFF_EQUAL, /* the same data in both */
	MR_DIFF_CHANGED, /* data in both, but not the same */
	MR_DIFF_ONLY_A, /* data in A, zero in B */
	MR_DIFF_ONLY_B, /* zero in A, data in B */
	MR_DIFF_CLASSES,
};

struct mr_diff_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	/* AUTO reads around the page cache what is not in it. */
	enum mr_direct direct;
	int pid; /* of QEMU, where a side is a VM; 0: the socket's peer */
	/* Compare only this: "BLOCK", "BLOCK:OFFSET" (one page) or
	 * "BLOCK:OFFSET+LENGTH" (see mr_parse_range); device state is left out
	 * then. NULL: everything. */
	const char *only;
	bool memory_only; /* leave the device state out */
	/* Stop at the first difference: nothing but `same` means much then. */
	bool brief;
	struct mr_watch watch;
};

/* A RAM block, or two of the same name. */
struct mr_diff_block {
	const char *name;
	struct {
		bool listed; /* this side has a block of that name */
		bool in_file; /* and its memory: x-ignore-shared may not */
		uint64_t length; /* bytes */
	} of[MR_SIDES];
	/* Bytes compared: of the lesser length, or of what `only` says; 0 if
	 * one side has no memory for it. */
	uint64_t offset, compared;
	uint64_t pages[MR_DIFF_CLASSES]; /* of them, mr_diff_info.page_size */
	/* On both sides, of one length (if not only a part was wanted), and no
	 * page differs. */
	bool same;
};

/* Bytes of a device section that differ. */
struct mr_diff_bytes {
	uint64_t offset; /* in the payload, bytes */
	uint64_t length; /* bytes */
};

/* A device section, or two of the same name and instance. */
struct mr_diff_section {
	const char *name;
	uint32_t instance;
	struct {
		bool listed;
		uint32_t version;
		uint64_t offset; /* byte of the file where the payload is */
		uint64_t length; /* bytes of payload */
	} of[MR_SIDES];
	/* Where the common part of the payloads differs, in order. */
	size_t n_bytes;
	const struct mr_diff_bytes *bytes;
	uint64_t differing; /* bytes, all of them */
	bool same; /* on both sides, of one version and length, and equal */
};

/* A field of device sections that differs, or an element of an array. */
struct mr_diff_field {
	const char *path; /* "nested/env.regs[3]": names, structs first */
	/* Of the section's device; NULL: this side does not have it. */
	const struct mr_field *of[MR_SIDES];
	/* Of the field, the same on both sides. */
	uint64_t element;
	/* The field and not an element: a struct that only one side has, or
	 * one of another version; a field of another size or kind. */
	bool whole;
};

struct mr_diff_fields {
	const struct mr_device *device[MR_SIDES];
	size_t n; /* in the order of the payload */
	const struct mr_diff_field *fields;
	bool cut; /* there are more: it did not end */
};

struct mr_diff_info {
	bool same; /* all that was compared */
	struct {
		bool is_vm;
		char machine[256]; /* machine type; "": not said */
		uint64_t read; /* bytes of pages */
	} of[MR_SIDES];
	/* What a "page" is here: of the machines' own the smaller. */
	uint32_t page_size;
	bool page_size_known; /* false: one does not tell, it was assumed */
	size_t n_blocks; /* in the order of A, then those of B alone */
	const struct mr_diff_block *blocks;
	uint64_t pages[MR_DIFF_CLASSES]; /* of all blocks */
	bool has_sections; /* device state was compared */
	size_t n_sections; /* in the order of A, then those of B alone */
	const struct mr_diff_section *sections;
	double seconds;
};

struct mr_diff; /* opaque */

/*
 * Compares two of: a mapped-ram image, a plain stream, the QMP socket of a
 * paused VM. A VM
 * that runs is MR_REFUSED; one that ran while it was compared is MR_QMP. The
 * VM stays as it is. NULL on failure; err->who: 1 a, 2 b.
 */
struct mr_diff *mr_diff(const char *a, const char *b,
			const struct mr_diff_options *options,
			struct mr_error *err);
/* d may be NULL. VMs are let go here. */
void mr_diff_free(struct mr_diff *d);

/* Valid, with all it points to, until d is freed. */
const struct mr_diff_info *mr_diff_info(const struct mr_diff *d);

/* Adds up what the pages first .. first + n - 1 of a block are; those that
 * were not compared count nowhere. */
void mr_diff_count(const struct mr_diff *d, size_t block, uint64_t first,
		   uint64_t n, uint64_t pages[MR_DIFF_CLASSES]);

/* The next pages that differ, all in the same way, at or after *first: moves
 * *first to them and returns how many; 0: no more. */
uint64_t mr_diff_next(const struct mr_diff *d, size_t block, uint64_t *first,
		      enum mr_diff_class *what);

/* The content of a page that was compared, page_size bytes, as it was then:
 * MR_QMP if a VM has run since. 0 or -1; err->who is as for mr_diff. */
int mr_diff_page(const struct mr_diff *d, size_t block, uint64_t page,
		 enum mr_side side, void *buf, struct mr_error *err);

/*
 * The fields in which a section differs that both sides have; the caller
 * frees them while d lives. A side without a vmdescription borrows the other
 * one's, or if that has none either that of the image `from` (NULL: none),
 * which is the same in all calls and outlives d. NULL with MR_UNSUPPORTED or
 * MR_FORMAT: no description fits, and only bytes can be told. err->who is as
 * for mr_diff.
 */
struct mr_diff_fields *mr_diff_fields_new(struct mr_diff *d, size_t section,
					  const struct mr_image *from,
					  struct mr_error *err);
void mr_diff_fields_free(struct mr_diff_fields *f); /* f may be NULL */

/* "zero", "equal", "changed", "only in A", "only in B". */
const char *mr_diff_class_name(enum mr_diff_class c);

#pragma GCC visibility pop

#endif
