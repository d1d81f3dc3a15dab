/* play.c - what a stream has besides memory, and how it all ends. */
#include "libmr/wire/play.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/file/io.h"
#include "libmr/image/image.h"
#include "libmr/memory/memory.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/outlet.h"

#define CHUNK ((size_t)64 << 10)

/* A stream like QEMU's own has nothing but device sections behind its memory.
 */
int play_check(const struct mr_image_info *info, struct mr_error *err)
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

void play_config(const struct mr_image_info *info, struct stream_config *c)
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

/* Bytes of the image as they are. */
static int send_bytes(struct play *p, uint64_t offset, uint64_t len,
		      struct mr_error *err)
{
	uint8_t *buf = malloc(CHUNK);
	int rc = buf ? 0
		     : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");

	p->device += len;
	for (uint64_t n; !rc && len; offset += n, len -= n) {
		n = len < CHUNK ? len : CHUNK;
		if (io_read_full(p->img->io, buf, (size_t)n, offset, err))
			rc = error_about(err, p->m->who);
		else
			rc = outlet_devices(p->out, buf, (size_t)n, err);
	}
	free(buf);
	return rc;
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

static int send_description(struct play *p, struct mr_error *err)
{
	uint8_t head[STREAM_VMDESC_HEADER_SIZE];
	const struct mr_image_info *info = mr_image_info(p->img);
	uint64_t len = info->vmdesc_length;
	char *text = NULL;
	int rc;

	if (len <= sizeof("{}")) {
		text = describe(info);
		if (!text)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
		len = strlen(text);
	}
	(void)stream_vmdesc_encode(head, (uint32_t)len);
	rc = outlet_devices(p->out, head, sizeof(head), err);
	if (!rc && text)
		rc = outlet_devices(p->out, text, len, err);
	else if (!rc)
		rc = send_bytes(p, info->vmdesc_offset, len, err);
	free(text);
	return rc;
}

static int send_devices(struct play *p, struct mr_error *err)
{
	static const uint8_t end = STREAM_EOF;
	const struct mr_image_info *info = mr_image_info(p->img);

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type == MR_SECTION_FULL &&
		    send_bytes(p, s->offset, s->length, err))
			return -1;
	}
	return outlet_devices(p->out, &end, 1, err) || send_description(p, err)
		       ? -1
		       : 0;
}

/* Pages of a pack have to be unpacked: all CPUs do that, also where all goes
 * over one connection. */
static unsigned jobs_of(const struct play *p)
{
	return p->img->packed && !p->out->form.channels ? 0
							: outlet_jobs(p->out);
}

/* If it is the other end that broke off, it may have said why. */
int play_run(struct play *p, struct mr_error *err)
{
	const struct memory_copy_options o = {
		.direct = p->direct,
		.jobs = jobs_of(p),
		.watch = p->watch,
	};
	struct memory_tally tally = { 0 };
	struct mr_error why = MR_ERROR_INIT;
	struct sink *k = &p->out->sink;
	int rc = memory_copy(p->m, k, &o, &tally, &why) ||
		 k->ops->end(k, &why) || send_devices(p, &why);

	p->data = tally.written;
	if (!rc)
		return outlet_verdict(p->out, err);
	link_explain(p->out->wire, &why);
	if (why.code != MR_SYS || why.who) {
		*err = why;
		return -1;
	}
	(void)wire_end(p->out->wire);
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "the destination has broken off (%.100s): see what it "
			 "said itself",
			 why.msg);
}
