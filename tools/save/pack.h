/* pack.h - mrsave's image, made into something else before it has a name. */
#ifndef TOOLS_SAVE_PACK_H
#define TOOLS_SAVE_PACK_H

#include <stdbool.h>

#include "libmr/mr.h"
#include "tools/common/taken.h"

/* What the options say; filled with zeros and NULLs, and CLI_NOT_GIVEN. */
struct save_pack {
	/* The user's. */
	const char *format, *spool, *name;
	int level, full_every;
	/* save_pack_begin's. */
	bool wanted; /* no mapped-ram image is wanted, or stdout */
	struct taken taken;
};

/* Checks the options, before anything is touched; if it is wanted, save saves
 * for it. base: of an increment, or NULL. A status of the tool's. */
int save_pack_begin(struct save_pack *p, const char *vm, const char *out,
		    const char *base, struct mr_save_options *save);

void save_pack_text(const struct save_pack *p);
void save_pack_json(const struct save_pack *p);

#endif
