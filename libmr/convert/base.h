/* base.h - the pack that an increment is made since. */
#ifndef LIBMR_CONVERT_BASE_H
#define LIBMR_CONVERT_BASE_H

#include "libmr/pack/chain.h"

struct base {
	struct file file;
	struct packed packed;
	struct chain chain; /* with all that lies below it */
	bool open;
};
#define BASE_NONE                    \
	{                            \
		.file = FILE_CLOSED, \
	}

/* MR_REFUSED: it is no pack, or something below it is not there. */
int base_open(struct base *b, const char *path, struct mr_error *err);
void base_release(struct base *b); /* may be BASE_NONE */

/* Whether one of its files has this name, which may be nobody's. */
bool base_has(const struct base *b, const char *path);

/* Whether the notes and frames of all of its packs are as they were made. 0 or
 * -1. */
int base_verify(const struct base *b, const struct mr_watch *watch,
		struct mr_error *err);

/* What an increment since it says of that. */
void base_label(const struct base *b, struct pack_label *l);

#endif
