/*
 * diff.h - what mrdiff found: as text, as JSON, as a map.
 */
#ifndef TOOLS_DIFF_H
#define TOOLS_DIFF_H

#include "tools/common/cli.h"

/* What is to be shown. */
struct diff_show {
	const char *path[MR_SIDES]; /* as the user called them */
	bool pages; /* ranges of pages that differ */
	bool hex; /* their bytes */
	bool device; /* device sections in detail */
	const struct mr_image
		*vmdesc; /* whose description to borrow, or NULL */
};

/* Print to stdout. */
void diff_text(const struct mr_diff *d, const struct diff_show *show);
/* Returns CLI_OK, or CLI_TROUBLE after telling why. */
int diff_list_devices(struct mr_diff *d, const struct diff_show *show);
void diff_list_pages(const struct mr_diff *d);
/* Returns 0, or -1 with *err filled: a page could not be read again. */
int diff_hex(const struct mr_diff *d, struct mr_error *err);

/* Returns CLI_OK, or CLI_TROUBLE after telling why. */
int diff_json(struct mr_diff *d, const struct diff_show *show);

/* To the terminal; to a file if svg is not NULL. */
int diff_map(const struct mr_diff *d, const struct diff_show *show,
	     const char *svg);

/* A folder as mrrecv --capture makes them. */
bool diff_is_capture(const char *path);
/* Makes an image without a name of it in TMPDIR, or /var/tmp. path becomes how
 * it is opened, while *fd is open. An exit status. */
#define DIFF_PATH 40
int diff_replay(const char *capture, char path[DIFF_PATH], int *fd);

/* Why two blocks of a name cannot be compared as a whole; "" if they can. */
#define DIFF_NOTE 96
const char *diff_note(char buf[DIFF_NOTE], const struct mr_diff_block *b);
/* Pages of a block or of all that differ. */
uint64_t diff_differing(const uint64_t pages[MR_DIFF_CLASSES]);

#endif
