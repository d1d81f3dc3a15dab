/* show_device.c - device sections, field by field. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/field.h"
#include "tools/hex.h"
#include "tools/show.h"

/* ---- text ---- */

static void show_bytes(const struct mr_value *v)
{
	struct hex h;

	hex_begin(&h, "    ", 0);
	hex_put(&h, v->bytes, (size_t)v->size);
	hex_end(&h);
}

static bool is_bytes(const struct mr_value *v)
{
	return v->kind == MR_FIELD_OPAQUE || v->kind == MR_FIELD_BUFFER ||
	       v->kind == MR_FIELD_UNUSED || v->kind == MR_FIELD_BITMAP;
}

/* All elements; equal ones in a row are one line. */
static void show_elements(const struct mr_device *dev, const struct mr_field *f,
			  const char *path)
{
	struct mr_value v, next;
	char text[FIELD_TEXT];

	for (uint64_t i = 0, k; i < f->count; i = k) {
		mr_field_value(dev, f, i, &v);
		for (k = i + 1; k < f->count; k++) {
			mr_field_value(dev, f, k, &next);
			if (memcmp(v.bytes, next.bytes, (size_t)v.size) != 0)
				break;
		}
		(void)printf("  %s", path);
		if (f->array && k > i + 1)
			(void)printf("[%" PRIu64 "..%" PRIu64 "]", f->index + i,
				     f->index + k - 1);
		else if (f->array)
			(void)printf("[%" PRIu64 "]", f->index + i);
		if (is_bytes(&v) && v.size > FIELD_BYTES) {
			(void)printf(" = %" PRIu64 " bytes\n", v.size);
			show_bytes(&v);
		} else {
			(void)printf(" = %s\n", field_text(text, &v, 0));
		}
	}
}

static void show_text_of(const struct mr_device *dev)
{
	const struct mr_section *s = dev->section;
	char safe[4 * sizeof(dev->why.msg) + 1];
	struct field_path p;

	(void)printf("\n%s, instance %" PRIu32 ", section %" PRIu32
		     ", version %" PRIu32 ", %" PRIu64 " bytes at 0x%" PRIx64
		     "\n",
		     cli_escape(safe, sizeof(safe), s->name), s->instance,
		     s->id, s->version, dev->size, dev->offset);
	if (!dev->decoded) {
		struct mr_value all = { .bytes = dev->bytes,
					.size = dev->size };

		(void)printf("  (not decoded: %s)\n",
			     cli_escape(safe, sizeof(safe), dev->why.msg));
		show_bytes(&all);
		return;
	}
	for (size_t i = 0; i < dev->n_fields; i++) {
		const struct mr_field *f = &dev->fields[i];

		field_path(&p, f);
		if (f->kind == MR_FIELD_SUBSECTION)
			(void)printf("  %s: subsection, version %" PRIu32 "\n",
				     p.text, f->version);
		else if (f->kind != MR_FIELD_STRUCT)
			show_elements(dev, f, p.text);
	}
}

/* ---- JSON ---- */

/* Sets a member; one that is there already, or is of an array, is an array. */
static int put(json_t *o, const char *name, json_t *value, bool array)
{
	char safe[1024];
	const char *key = cli_escape(safe, sizeof(safe), name);
	json_t *old = json_object_get(o, key), *list;

	if (!old && !array)
		return json_object_set_new(o, key, value);
	if (old && json_is_array(old))
		return json_array_append_new(old, value);
	list = json_array();
	if (old)
		(void)json_array_append(list, old);
	if (json_array_append_new(list, value)) {
		json_decref(list);
		return -1;
	}
	return json_object_set_new(o, key, list);
}

/* Fields [i, end) into o; the depth is bounded by mr_devices_read. */
static int put_fields(json_t *o, const struct mr_device *dev, size_t i,
		      size_t end)
{
	int bad = 0;

	while (i < end && !bad) {
		const struct mr_field *f = &dev->fields[i];
		json_t *inner;
		struct mr_value v;

		if (f->kind == MR_FIELD_STRUCT ||
		    f->kind == MR_FIELD_SUBSECTION) {
			inner = json_object();
			bad |= put_fields(inner, dev, i + 1, i + 1 + f->parts);
			bad |= put(o, f->name, inner, f->array);
		} else {
			for (uint64_t k = 0; k < f->count && !bad; k++) {
				mr_field_value(dev, f, k, &v);
				bad |= put(o, f->name, field_json(&v),
					   f->array);
			}
		}
		i += 1 + f->parts;
	}
	return bad;
}

static json_t *json_of(const struct mr_device *dev)
{
	const struct mr_section *s = dev->section;
	struct mr_value all = { .bytes = dev->bytes, .size = dev->size };
	json_t *fields = json_object();
	json_t *o = json_pack("{s:o*, s:I, s:I, s:I, s:I, s:I}", "name",
			      cli_json_text(s->name), "instance",
			      (json_int_t)s->instance, "id", (json_int_t)s->id,
			      "version", (json_int_t)s->version, "offset",
			      (json_int_t)dev->offset, "size",
			      (json_int_t)dev->size);
	int bad = 0;

	if (dev->decoded) {
		bad |= json_object_set_new(o, "vmsd", cli_json_text(dev->vmsd));
		bad |= put_fields(fields, dev, 0, dev->n_fields);
		bad |= json_object_set(o, "fields", fields);
	} else {
		bad |= json_object_set_new(o, "why",
					   cli_json_text(dev->why.msg));
		bad |= json_object_set_new(o, "bytes", field_json(&all));
	}
	json_decref(fields);
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- which ---- */

/* Names as they are, shell patterns, and "all"; `hit` remembers. */
static bool wanted(char *const *names, const char *name, bool *hit)
{
	bool any = false;

	for (size_t i = 0; names[i]; i++)
		if (!strcmp(names[i], "all") || !strcmp(names[i], name) ||
		    !fnmatch(names[i], name, 0))
			any = hit[i] = true;
	return any;
}

static int show_one(const struct mr_devices *d, size_t i, const char *path,
		    json_t *list)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_device *dev = mr_devices_read(d, i, &err);
	int status = CLI_OK;

	if (!dev)
		return cli_fail(path, &err);
	if (!list) {
		show_text_of(dev);
	} else if (json_array_append_new(list, json_of(dev))) {
		cli_say("out of memory");
		status = CLI_TROUBLE;
	}
	mr_device_free(dev);
	return status;
}

int show_devices(const struct show *s, const struct mr_devices *d)
{
	char *const *names = s->request->devices;
	json_t *list = s->json ? json_array() : NULL;
	bool hit[SHOW_NAMES] = { false };
	int status = CLI_OK;

	for (size_t i = 0; i < mr_devices_count(d) && status == CLI_OK; i++)
		if (wanted(names, mr_devices_section(d, i)->name, hit))
			status = show_one(d, i, s->path, list);
	if (s->json)
		(void)json_object_set_new(s->json, "devices", list);
	for (size_t i = 0; names[i] && status == CLI_OK; i++)
		if (!hit[i]) {
			cli_say("%s: no device section is called %s", s->path,
				names[i]);
			status = CLI_NO;
		}
	return status;
}
