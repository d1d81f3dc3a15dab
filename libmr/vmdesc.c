/*
 * vmdesc.c - how long each device section is, out of the vmdescription.
 *
 * Payload bytes = sum of size * (array_len or 1) over the fields, and for
 * each subsection 6 + its name's length + the same of it (a type byte, a name
 * with its length, a version). Seen to hold, footer to footer, on every
 * device section of files that QEMU 10.0 made.
 *
 * The text is untrusted and may be large (a machine with hundreds of CPUs),
 * so it is not parsed in one piece: jansson reads one device at a time, and
 * only the two outer levels, {"key": value, "devices": [...]}, are ours.
 */
#include "libmr/vmdesc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/error.h"

/* One device's description; the parsed form takes up to 25 times as much. */
#define DEVICE_TEXT_LIMIT ((size_t)2 << 20)

struct text {
	const char *s;
	size_t len, at;
	uint64_t offset; /* of s in the file */
	struct mr_error *err;
};

static int bad(struct text *t, const char *what)
{
	return mr_fail(t->err, MR_FORMAT, t->offset + t->at,
		       "vmdescription: %s", what);
}

/* The next character that is not a blank, without taking it; 0: the end. */
static char next(struct text *t)
{
	while (t->at < t->len && t->s[t->at] && strchr(" \t\r\n", t->s[t->at]))
		t->at++;
	return t->at < t->len ? t->s[t->at] : '\0';
}

static bool take(struct text *t, char c)
{
	if (next(t) != c)
		return false;
	t->at++;
	return true;
}

const char *vmdesc_complaint(json_error_t *je)
{
	char *end = strstr(je->text, " near '");

	if (!end)
		end = strchr(je->text, '\'');
	if (end)
		*end = '\0';
	return je->text;
}

/* One JSON value, of any kind; the caller drops it. NULL with t->err. */
static json_t *value(struct text *t)
{
	size_t left = t->len - t->at;
	json_error_t je;
	json_t *v;

	if (left > DEVICE_TEXT_LIMIT)
		left = DEVICE_TEXT_LIMIT;
	v = json_loadb(t->s + t->at, left,
		       JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &je);
	if (!v) {
		if (je.position > 0)
			t->at += (size_t)je.position;
		(void)bad(t, vmdesc_complaint(&je));
		return NULL;
	}
	t->at += (size_t)je.position;
	return v;
}

int vmdesc_number(const json_t *o, const char *key, int dflt, uint64_t *n)
{
	const json_t *v = json_object_get(o, key);
	json_int_t i = json_integer_value(v);

	if (!v && dflt >= 0) {
		*n = (uint64_t)dflt;
		return 0;
	}
	if (!json_is_integer(v) || i < 0 || (uint64_t)i > VMDESC_PAYLOAD_LIMIT)
		return -1;
	*n = (uint64_t)i;
	return 0;
}

/* Adds what fields and subsections of a description take. The parser has
 * bounded the depth (JSON_PARSER_MAX_DEPTH, 2048). */
static int add_size(const json_t *d, uint64_t *sum)
{
	const json_t *fields = json_object_get(d, "fields");
	const json_t *subs = json_object_get(d, "subsections");
	size_t i;
	json_t *o;

	if ((fields && !json_is_array(fields)) ||
	    (subs && !json_is_array(subs)))
		return -1;
	json_array_foreach(fields, i, o)
	{
		uint64_t size, count;

		if (vmdesc_number(o, "size", -1, &size) ||
		    vmdesc_number(o, "array_len", 1, &count))
			return -1;
		if (size && count > VMDESC_PAYLOAD_LIMIT / size)
			return -1;
		*sum += size * count;
		if (*sum > VMDESC_PAYLOAD_LIMIT)
			return -1;
	}
	json_array_foreach(subs, i, o)
	{
		const char *name =
			json_string_value(json_object_get(o, "vmsd_name"));

		if (!name || strlen(name) > NAME_MAX_LEN)
			return -1;
		*sum += 6 + strlen(name);
		if (add_size(o, sum))
			return -1;
	}
	return 0;
}

/* o is the value whose text began at `begin`. */
static int add_device(struct vmdesc *out, const json_t *o, size_t begin,
		      struct text *t)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	struct vmdesc_device *d;
	uint64_t instance;

	if (!name || strlen(name) > NAME_MAX_LEN ||
	    vmdesc_number(o, "instance_id", 0, &instance) ||
	    instance > UINT32_MAX)
		return bad(t, "a device has no proper name and instance");
	if (out->n == out->room) {
		size_t room = out->room ? 2 * out->room : 64;
		void *more;

		if (out->n >= SECTIONS_LIMIT)
			return bad(t, "more devices than any machine has");
		more = realloc(out->devices, room * sizeof(*d));
		if (!more)
			return mr_fail(t->err, MR_NOMEM, MR_NO_OFFSET,
				       "out of memory");
		out->devices = more;
		out->room = room;
	}
	d = &out->devices[out->n];
	*d = (struct vmdesc_device){ .instance = (uint32_t)instance,
				     .text = begin,
				     .text_len = t->at - begin };
	memcpy(d->name, name, strlen(name));
	if (add_size(o, &d->size))
		return bad(t, "a device has impossible sizes");
	out->n++;
	return 0;
}

static int read_devices(struct vmdesc *out, struct text *t)
{
	if (!take(t, '['))
		return bad(t, "devices are no array");
	if (take(t, ']'))
		return 0;
	do {
		size_t begin = t->at;
		json_t *o = value(t);
		int rc = o ? add_device(out, o, begin, t) : -1;

		json_decref(o);
		if (rc)
			return -1;
	} while (take(t, ','));
	return take(t, ']') ? 0 : bad(t, "] expected");
}

static int read_member(struct vmdesc *out, struct text *t)
{
	bool devices, page_size;
	json_t *v;

	if (next(t) != '"' || !(v = value(t)))
		return bad(t, "a key expected");
	devices = !strcmp(json_string_value(v), "devices");
	page_size = !strcmp(json_string_value(v), "page_size");
	json_decref(v);
	if (!take(t, ':'))
		return bad(t, ": expected");
	if (devices)
		return read_devices(out, t);
	v = value(t);
	if (!v)
		return -1;
	if (page_size && json_integer_value(v) > 0 &&
	    json_integer_value(v) <= UINT32_MAX)
		out->page_size = (uint32_t)json_integer_value(v);
	json_decref(v);
	return 0;
}

int vmdesc_read(struct vmdesc *out, const char *text, size_t len,
		uint64_t offset, struct mr_error *err)
{
	struct text t = { .s = text, .len = len, .offset = offset, .err = err };

	if (!take(&t, '{'))
		return bad(&t, "{ expected");
	if (take(&t, '}'))
		return 0;
	do {
		if (read_member(out, &t))
			return -1;
	} while (take(&t, ','));
	return take(&t, '}') ? 0 : bad(&t, "} expected");
}

void vmdesc_release(struct vmdesc *d)
{
	free(d->devices);
	*d = (struct vmdesc){ 0 };
}
