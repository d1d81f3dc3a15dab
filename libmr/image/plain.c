/* plain.c - what a stream has besides memory. */
#include "libmr/image/plain.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "libmr/base/error.h"
#include "libmr/file/io.h"

/* A stream like QEMU's own has nothing but device sections behind its memory.
 */
int plain_check(const struct mr_image_info *info, struct mr_error *err)
{
	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type == MR_SECTION_START && strcmp(s->name, "ram") != 0)
			return error_set(err, MR_REFUSED, s->offset,
					 "section %.100s goes on while memory "
					 "is sent: only QEMU itself reads that",
					 s->name);
	}
	if (info->ignore_shared)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "saved with x-ignore-shared: some of the "
				 "memory is not in it");
	return 0;
}

void plain_config(const struct mr_image_info *info, struct stream_config *c)
{
	uint32_t page = info->page_size;

	*c = (struct stream_config){ .has_uuid = info->has_uuid };
	memcpy(c->machine, info->machine, sizeof(c->machine));
	memcpy(c->uuid, info->uuid, sizeof(c->uuid));
	while (info->page_size_said && page > 1) {
		c->target_page_bits++;
		page /= 2;
	}
}

/* ---- device state ---- */

/* The first section that carries pages: what stands before it is early. */
static size_t find_memory(const struct mr_image_info *info)
{
	size_t i = 0;

	while (i < info->n_sections &&
	       info->sections[i].type != MR_SECTION_PART &&
	       info->sections[i].type != MR_SECTION_END)
		i++;
	return i;
}

/* FULL sections from .. to - 1 as they are, and room for one byte more. */
static int read_sections(const struct mr_image *img, size_t from, size_t to,
			 uint8_t **bytes, size_t *len, struct mr_error *err)
{
	const struct mr_section *sections = img->info.sections;
	uint64_t size = 0;

	for (size_t i = from; i < to; i++) {
		if (sections[i].type != MR_SECTION_FULL)
			continue;
		if (sections[i].length > PLAIN_STATE_MAX - size)
			return error_set(err, MR_UNSUPPORTED,
					 sections[i].offset,
					 "more than 1 GiB of device state");
		size += sections[i].length;
	}
	*len = 0;
	*bytes = malloc((size_t)size + 1);
	if (!*bytes)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = from; i < to; i++) {
		if (sections[i].type != MR_SECTION_FULL)
			continue;
		if (io_read_full(img->io, *bytes + *len,
				 (size_t)sections[i].length, sections[i].offset,
				 err))
			return -1;
		*len += (size_t)sections[i].length;
	}
	return 0;
}

/* An image that mrsave read from outside has none: lengths, as they were found
 * by the ends of sections, are enough for who has to find the end of it all. */
static char *describe(const struct mr_image_info *info)
{
	json_t *devices = json_array(), *all;
	char *text;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type == MR_SECTION_FULL)
			(void)json_array_append_new(
				devices,
				json_pack(
					"{s:s, s:I, s:I, s:[{s:s, s:s, s:I}]}",
					"name", s->name, "instance_id",
					(json_int_t)s->instance, "version",
					(json_int_t)s->version, "fields",
					"name", "data", "type", "buffer",
					"size", (json_int_t)s->payload));
	}
	all = json_pack("{s:{}, s:I, s:o}", "configuration", "page_size",
			(json_int_t)info->page_size, "devices", devices);
	text = all ? json_dumps(all, 0) : NULL;
	json_decref(all);
	return text;
}

static int read_description(struct plain_state *s, const struct mr_image *img,
			    struct mr_error *err)
{
	const struct mr_image_info *info = &img->info;
	bool there = info->vmdesc_length > sizeof("{}");

	if (info->vmdesc_length > PLAIN_STATE_MAX)
		return error_set(err, MR_UNSUPPORTED, info->vmdesc_offset,
				 "a description of more than 1 GiB");
	s->description_len = (size_t)info->vmdesc_length;
	s->description = there ? malloc(s->description_len) : describe(info);
	if (!s->description)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (there)
		return io_read_full(img->io, s->description, s->description_len,
				    info->vmdesc_offset, err);
	s->description_len = strlen(s->description);
	return 0;
}

int plain_state_read(struct plain_state *s, const struct mr_image *img,
		     unsigned who, struct mr_error *err)
{
	size_t memory = find_memory(&img->info);

	*s = (struct plain_state){ .early = NULL };
	if (read_sections(img, 0, memory, &s->early, &s->early_len, err) ||
	    read_sections(img, memory, img->info.n_sections, &s->late,
			  &s->late_len, err) ||
	    read_description(s, img, err))
		return error_about(err, who);
	s->late[s->late_len++] = STREAM_EOF;
	return 0;
}

void plain_state_release(struct plain_state *s)
{
	free(s->early);
	free(s->late);
	free(s->description);
	*s = (struct plain_state){ .early = NULL };
}
