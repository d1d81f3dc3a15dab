/*
 * show.h - what mrinspect found, as text and as JSON: the same content.
 */
#ifndef TOOLS_SHOW_H
#define TOOLS_SHOW_H

#include "tools/cli.h"

/* Prints to stdout. path is how the user called the file. */
void show_text(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in);

/* Its tables. */
void show_blocks(const struct mr_image_info *info,
		 const struct mr_inspection *in);
void show_sections(const struct mr_image_info *info);

/* What the file is; how it is, to be put behind that; and what follows from
 * it (NULL: nothing to say). */
const char *show_kind(const struct mr_image_info *info);
const char *show_verdict(const struct mr_image_info *info,
			 enum mr_verdict verdict);
const char *show_advice(const struct mr_image_info *info,
			enum mr_verdict verdict);

/* A new reference; NULL: out of memory. */
json_t *show_json(const char *path, const struct mr_image_info *info,
		  const struct mr_inspection *in);

/* "xxxxxxxx-xxxx-...". */
#define SHOW_UUID 37
const char *show_uuid(char buf[SHOW_UUID], const uint8_t uuid[16]);

#endif
