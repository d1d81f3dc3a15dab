/* device.c - device sections, field by field. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/field.h"
#include "tools/common/hex.h"
#include "tools/inspect/show.h"

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

/*
 * Fields of one name in the same struct are one member, an array. They mostly
 * stand side by side, but need not.
 */
struct virtuals {
	const struct mr_device *dev;
	size_t *next; /* of each field: the next one of its name, or 0 */
	bool *later; /* of each field: not the first one of its name */
	size_t *order; /* scratch */
};

static int by_name(const void *pa, const void *pb, void *arg)
{
	const struct mr_field *fields = arg;
	size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
	int c = strcmp(fields[a].name, fields[b].name);

	return c ? c : (a > b) - (a < b);
}

/* Field b, and those that it goes on with, is a's. */
static void link_field(const struct virtuals *x, size_t a, size_t b)
{
	while (x->next[a])
		a = x->next[a];
	x->next[a] = b;
	x->later[b] = true;
}

static bool same_name(const struct virtuals *x, size_t a, size_t b)
{
	return !strcmp(x->dev->fields[a].name, x->dev->fields[b].name);
}

/* Fields [i, end), without what is in them: those side by side first. */
static void link_names(const struct virtuals *x, size_t i, size_t end)
{
	struct mr_field *fields = x->dev->fields;
	size_t n = 0, prev = i;

	for (; i < end; i += 1 + fields[i].parts) {
		if (i > prev && same_name(x, prev, i)) {
			x->next[prev] = i;
			x->later[i] = true;
		} else {
			x->order[n++] = i;
		}
		prev = i;
	}
	qsort_r(x->order, n, sizeof(*x->order), by_name, fields);
	for (size_t k = 1; k < n; k++)
		if (same_name(x, x->order[k - 1], x->order[k]))
			link_field(x, x->order[k - 1], x->order[k]);
}

static void put_fields(const struct virtuals *x, size_t i, size_t end);

/* The elements of field i, which are the items of an array or one value. */
static void put_values(const struct virtuals *x, size_t i, bool item)
{
	const struct mr_field *f = &x->dev->fields[i];
	struct mr_value v;

	if (f->kind == MR_FIELD_STRUCT || f->kind == MR_FIELD_SUBSECTION) {
		if (item)
			cli_json_item();
		cli_json_open('{');
		put_fields(x, i + 1, i + 1 + f->parts);
		cli_json_close();
		return;
	}
	for (uint64_t k = 0; k < f->count; k++) {
		mr_field_value(x->dev, f, k, &v);
		if (item && v.kind == MR_FIELD_UINT) {
			/* They come by the ten thousand, and all are alike. */
			cli_json_hex_items("0x", v.bytes, (size_t)v.size,
					   f->count - k);
			return;
		}
		if (item)
			cli_json_item();
		field_json(&v);
	}
}

/* Field i and those of its name. */
static void put_member(const struct virtuals *x, size_t i)
{
	const struct mr_field *fields = x->dev->fields;
	uint64_t n = 0;
	bool array = false;

	for (size_t k = i;; k = x->next[k]) {
		n += fields[k].count;
		array |= fields[k].array;
		if (!x->next[k])
			break;
	}
	if (!n)
		return;
	array |= n > 1;
	cli_json_key(fields[i].name);
	if (array)
		cli_json_open('[');
	for (size_t k = i;; k = x->next[k]) {
		put_values(x, k, array);
		if (!x->next[k])
			break;
	}
	if (array)
		cli_json_close();
}

/* Fields [i, end); the depth is bounded by mr_devices_read. */
static void put_fields(const struct virtuals *x, size_t i, size_t end)
{
	link_names(x, i, end);
	for (; i < end; i += 1 + x->dev->fields[i].parts)
		if (!x->later[i])
			put_member(x, i);
}

static void put_decoded(const struct mr_device *dev)
{
	size_t n = dev->n_fields + 1;
	struct virtuals x = { .dev = dev,
			      .next = calloc(n, sizeof(*x.next)),
			      .later = calloc(n, sizeof(*x.later)),
			      .order = calloc(n, sizeof(*x.order)) };

	if (x.next && x.later && x.order)
		put_fields(&x, 0, dev->n_fields);
	else
		cli_json_no_memory();
	free(x.next);
	free(x.later);
	free(x.order);
}

static void show_json_of(const struct mr_device *dev)
{
	const struct mr_section *s = dev->section;

	cli_json_open('{');
	cli_json_put_text("name", s->name);
	cli_json_put_number("instance", s->instance);
	cli_json_put_number("id", s->id);
	cli_json_put_number("version", s->version);
	cli_json_put_number("offset", dev->offset);
	cli_json_put_number("size", dev->size);
	if (dev->decoded) {
		cli_json_put_text("vmsd", dev->vmsd);
		cli_json_put_open("fields", '{');
		put_decoded(dev);
		cli_json_close();
	} else {
		cli_json_put_text("why", dev->why.msg);
		cli_json_key("bytes");
		cli_json_hex("", dev->bytes, (size_t)dev->size);
	}
	cli_json_close();
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

static int show_one(const struct mr_devices *d, size_t i, const struct show *s)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_device *dev = mr_devices_read(d, i, &err);

	if (!dev)
		return cli_fail(&err, CLI_PATHS(s->path));
	if (!cli.json) {
		show_text_of(dev);
	} else {
		cli_json_item();
		show_json_of(dev);
	}
	mr_device_free(dev);
	return CLI_OK;
}

int show_devices(const struct show *s, const struct mr_devices *d)
{
	char *const *names = s->request->devices;
	bool hit[SHOW_NAMES] = { false };
	int status = CLI_OK;

	if (cli.json)
		cli_json_put_open("devices", '[');
	for (size_t i = 0; i < mr_devices_count(d) && status == CLI_OK; i++)
		if (wanted(names, mr_devices_section(d, i)->name, hit))
			status = show_one(d, i, s);
	if (cli.json)
		cli_json_close();
	for (size_t i = 0; names[i] && status == CLI_OK; i++)
		if (!hit[i]) {
			cli_say("%s: no device section is called %s", s->path,
				names[i]);
			status = CLI_NO;
		}
	return status;
}
