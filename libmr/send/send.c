/* send.c - the verb mr_send: an image, told as a migration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "libmr/mr.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/file/io.h"
#include "libmr/image/image.h"
#include "libmr/image/loadable.h"
#include "libmr/memory/memory.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/outlet.h"

/* mr_error.who */
enum { SEND_IMAGE = 1, SEND_URI };

#define CHUNK ((size_t)64 << 10)

struct send {
	const struct mr_send_options *options;
	struct mr_send_report *report;
	struct mr_image *img;
	const struct mr_image_info *info;
	struct memory *m;
	struct wire wire;
	struct outlet out;
	bool outlet_there;
};

/* A stream like QEMU's own has nothing but device sections behind its memory.
 */
static int check_sections(const struct send *x, struct mr_error *err)
{
	for (size_t i = 0; i < x->info->n_sections; i++) {
		const struct mr_section *s = &x->info->sections[i];

		if (s->type == MR_SECTION_START && strcmp(s->name, "ram") != 0)
			return error_set(err, MR_REFUSED, s->offset,
					 "section %.100s goes on while memory "
					 "is sent: load it without mrsend",
					 s->name);
	}
	if (x->info->ignore_shared)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "saved with x-ignore-shared: some of the "
				 "memory is not in it");
	return 0;
}

static int open_image(struct send *x, const char *image, struct mr_error *err)
{
	struct mr_send_report *r = x->report;

	x->img = image_open_loadable(image, x->options->direct, false,
				     &x->options->watch, &r->data, err);
	if (!x->img)
		return -1;
	x->info = mr_image_info(x->img);
	(void)snprintf(r->machine, sizeof(r->machine), "%s", x->info->machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       x->info->run_state);
	r->blocks = x->info->n_blocks;
	r->ram = x->info->ram;
	if (check_sections(x, err))
		return -1;
	x->m = memory_of_image(x->img, true, err);
	if (x->m)
		x->m->who = SEND_IMAGE;
	return x->m ? 0 : -1;
}

static void make_form(const struct send *x, struct outlet_form *f)
{
	static const uint32_t methods[] = { 0, MULTIFD_ZLIB, MULTIFD_ZSTD };
	uint32_t page = x->info->page_size;

	*f = (struct outlet_form){ .channels = x->options->channels,
				   .method = methods[x->options->compress],
				   .level = x->options->level };
	memcpy(f->uuid, x->options->uuid, sizeof(f->uuid));
	memcpy(f->config.machine, x->info->machine, sizeof(f->config.machine));
	f->config.has_uuid = x->info->has_uuid;
	memcpy(f->config.uuid, x->info->uuid, sizeof(f->config.uuid));
	while (x->info->page_size_said && page > 1) {
		f->config.target_page_bits++;
		page /= 2;
	}
}

static int connect_it(struct send *x, const char *uri, struct mr_error *err)
{
	const struct mr_send_options *o = x->options;
	struct outlet_form form;
	struct address a;

	if (address_parse(&a, uri, err) ||
	    wire_begin(&x->wire, o->timeout ? o->timeout : MR_SEND_TIMEOUT,
		       &o->watch, err))
		return -1;
	if (a.fd >= 0 && o->channels)
		return error_set(
			err, MR_USAGE, MR_NO_OFFSET,
			"fd:N is one connection: there are no channels "
			"then");
	make_form(x, &form);
	x->outlet_there = true;
	if (outlet_init(&x->out, &form, &x->wire, err))
		return -1;
	return outlet_connect(&x->out, &a, err);
}

/* Bytes of the image as they are. */
static int send_bytes(struct send *x, uint64_t offset, uint64_t len,
		      struct mr_error *err)
{
	uint8_t *buf = malloc(CHUNK);
	int rc = buf ? 0
		     : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");

	x->report->device += len;
	for (uint64_t n; !rc && len; offset += n, len -= n) {
		n = len < CHUNK ? len : CHUNK;
		if (io_read_full(x->img->io, buf, (size_t)n, offset, err))
			rc = error_about(err, SEND_IMAGE);
		else
			rc = outlet_devices(&x->out, buf, (size_t)n, err);
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

static int send_description(struct send *x, struct mr_error *err)
{
	uint8_t head[STREAM_VMDESC_HEADER_SIZE];
	uint64_t len = x->info->vmdesc_length;
	char *text = NULL;
	int rc;

	if (len <= sizeof("{}")) {
		text = describe(x->info);
		if (!text)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
		len = strlen(text);
	}
	(void)stream_vmdesc_encode(head, (uint32_t)len);
	rc = outlet_devices(&x->out, head, sizeof(head), err);
	if (!rc && text)
		rc = outlet_devices(&x->out, text, len, err);
	else if (!rc)
		rc = send_bytes(x, x->info->vmdesc_offset, len, err);
	free(text);
	return rc;
}

static int send_devices(struct send *x, struct mr_error *err)
{
	static const uint8_t end = STREAM_EOF;
	const struct mr_image_info *info = x->info;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		if (s->type == MR_SECTION_FULL &&
		    send_bytes(x, s->offset, s->length, err))
			return -1;
	}
	return outlet_devices(&x->out, &end, 1, err) || send_description(x, err)
		       ? -1
		       : 0;
}

/* If it is the other end that broke off, it may have said why. */
static int send_all(struct send *x, struct mr_error *err)
{
	const struct memory_copy_options o = {
		.direct = x->options->direct,
		.jobs = outlet_jobs(&x->out),
		.watch = &x->options->watch,
	};
	struct memory_tally tally = { 0 };
	struct mr_error why = MR_ERROR_INIT;
	struct sink *k = &x->out.sink;
	int rc = memory_copy(x->m, k, &o, &tally, &why) ||
		 k->ops->end(k, &why) || send_devices(x, &why);

	x->report->data = tally.written;
	if (!rc)
		return outlet_verdict(&x->out, err);
	link_explain(&x->wire, &why);
	if (why.code != MR_SYS || why.who) {
		*err = why;
		return -1;
	}
	(void)wire_end(&x->wire);
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "the destination has broken off (%.100s): see what it "
			 "said itself",
			 why.msg);
}

int mr_send(const char *image, const char *uri,
	    const struct mr_send_options *options,
	    struct mr_send_report *report, struct mr_error *err)
{
	struct send x = { .options = options,
			  .report = report,
			  .wire = WIRE_NONE };
	double since = watch_clock();
	int rc;

	*report = (struct mr_send_report){ .blocks = 0 };
	rc = open_image(&x, image, err);
	if (rc)
		(void)error_about(err, SEND_IMAGE);
	else if ((rc = connect_it(&x, uri, err)) || (rc = send_all(&x, err)))
		(void)error_about(err, SEND_URI);
	if (x.outlet_there) {
		report->sent = atomic_load(&x.out.sent);
		report->packets = atomic_load(&x.out.packets);
		outlet_release(&x.out);
	}
	wire_release(&x.wire);
	memory_free(x.m);
	mr_image_free(x.img);
	report->seconds = watch_clock() - since;
	return rc;
}
