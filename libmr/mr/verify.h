/* mr/verify.h - is a file a sound image? And mending it. */
#ifndef LIBMR_MR_VERIFY_H
#define LIBMR_MR_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/image.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

enum mr_finding_kind {
	/* Structure. */
	MR_FINDING_UNREADABLE, /* a bad sector: taken for zeros */
	MR_FINDING_FOREIGN, /* no image at all */
	MR_FINDING_STREAM, /* the stream breaks its format, or breaks off */
	MR_FINDING_LAYOUT, /* a rule of mapped-ram is broken */
	MR_FINDING_TRAILING, /* bytes behind the stream that are no seal */
	/* Meaning. */
	MR_FINDING_INTERRUPTED, /* a save that did not end */
	MR_FINDING_BACKGROUND, /* data, all bitmaps clear, no END of "ram" */
	MR_FINDING_BLANK, /* data, all bitmaps clear */
	MR_FINDING_MISSING, /* present pages that lie in a hole */
	MR_FINDING_STALE, /* data in the place of pages not present */
	MR_FINDING_WASTE, /* present pages that are all zero */
	MR_FINDING_DOUBTFUL, /* bitmaps that are not those of the pages */
	/* Integrity. */
	MR_FINDING_NO_SEAL,
	MR_FINDING_SEAL, /* the seal itself is damaged */
	MR_FINDING_FRONT, /* libvirt's header does not agree with the seal */
	MR_FINDING_HEADER, /* nor does a block's header area */
	MR_FINDING_BITMAP, /* nor a block's bitmap */
	MR_FINDING_PAGES, /* nor do pages */
	MR_FINDING_TAIL, /* nor does the device state */
	/* A pack's label, index, head, notes, frames: damaged, or at odds. */
	MR_FINDING_PACK,
	MR_FINDINGS
};

struct mr_page_range {
	uint64_t first, pages;
};

/* Ranges that a finding lists; of more only the number is known. */
#define MR_FINDING_RANGES 1000u

struct mr_finding {
	enum mr_finding_kind kind;
	bool damage; /* false: worth knowing, but the image is sound */
	const char *block; /* NULL: not about one */
	uint64_t first, pages; /* pages of the block; 0, 0: not about pages */
	uint64_t count; /* how many of these pages; 0: not known */
	/* Which, in order: the first MR_FINDING_RANGES of them. NULL: the
	 * finding is about all, or it is not known. */
	const struct mr_page_range *ranges;
	uint64_t n_ranges; /* how many there are, listed or not */
	/* Byte of the file, or MR_NO_OFFSET; of kinds from STREAM to BLANK, in
	 * a pack, of the stream in it. */
	uint64_t offset;
	uint64_t length; /* bytes; 0: not known */
	char text[240]; /* one line for people, without the path */
};

struct mr_verify_options {
	unsigned jobs; /* as in mr_save_options */
	enum mr_direct direct;
	uint64_t limit; /* bytes a second to be read of pages; 0: no limit */
	/* Look only at part subset (1 .. subsets) of the pages: all subsets
	 * together are all pages. subsets 0: everything. */
	unsigned subset, subsets;
	/* Or at a part of about so many bytes of data: part number turn, from
	 * 0, round and round. 0: everything. */
	uint64_t subset_bytes;
	uint64_t turn;
	bool need_seal; /* an image without one is damaged */
	bool repair; /* mend what can be mended without guessing */
	bool seal; /* add a seal if there is none */
	const char *output; /* mend and seal a copy; NULL: the image itself */
	bool force; /* output may replace what is no image */
	/* Each finding, in the same order whatever jobs is. NULL: not told. */
	void (*found)(void *arg, const struct mr_finding *f);
	/* Each change that was made: a line. NULL: not told. */
	void (*did)(void *arg, const char *line);
	void *arg; /* of these two */
	struct mr_watch watch;
};

struct mr_verify_report {
	bool sound; /* no damage; with repair: none is left */
	bool sealed; /* there is a whole seal (as found) */
	bool changed; /* something was written */
	enum mr_image_kind kind;
	struct mr_file_mark mark; /* of the file, before it was read */
	unsigned damages, notes; /* findings; as found */
	unsigned subset, subsets; /* the part that was looked at; 0, 0: all */
	uint64_t ram; /* bytes of memory that the image describes */
	uint64_t data; /* bytes of pages that its bitmaps have */
	uint64_t read; /* bytes read and looked at */
	uint64_t unreadable, stale, waste, missing; /* pages */
	bool direct; /* pages were read around the page cache */
	double seconds;
};

/*
 * Says whether a file is a sound image: 0 and report->sound. -1 is trouble: it
 * could not be told; err->who: 1 path, 2 the output. With repair, seal and no
 * output the file is locked for writing (an OFD lock) first; MR_REFUSED if
 * somebody else has it. Only mapped-ram images can be mended or sealed.
 */
int mr_verify(const char *path, const struct mr_verify_options *options,
	      struct mr_verify_report *report, struct mr_error *err);

/* "stale", "missing", ... */
const char *mr_finding_kind_name(enum mr_finding_kind kind);

#pragma GCC visibility pop

#endif
