/*
 * vmdesc.c - how long each device section is, out of the vmdescription.
 *
 * Payload bytes = sum of size * (array_len or 1) over the fields, and for
 * each subsection 6 + its name's length + the same of it (a type byte, a name
 * with its length, a version). Seen to hold, footer to footer, on every
 * device section of files that QEMU 10.0 made.
 */
#include "libmr/image/vmdesc.h"

#include <stdlib.h>
#include <string.h>

#include "formats/name.h"
#include "libmr/base/error.h"

typedef const struct vmdesc_token *token;

struct reading {
	struct vmdesc *out;
	struct mr_error *err;
};

static int bad(const struct reading *r, token at, const char *what)
{
	return error_set(r->err, MR_FORMAT, r->out->offset + at->at,
			 "vmdescription: %s", what);
}

int vmdesc_number(const char *text, token o, const char *key, int dflt,
		  uint64_t *n)
{
	token v = vmdesc_text_get(text, o, key);

	if (!v && dflt >= 0) {
		*n = (uint64_t)dflt;
		return 0;
	}
	return vmdesc_text_uint(text, v, VMDESC_PAYLOAD_LIMIT, n);
}

/* A name as in the stream, or NULL. */
static const char *name_of(const char *text, token o, const char *key)
{
	token v = vmdesc_text_get(text, o, key);

	return v && v->n <= NAME_MAX_LEN ? vmdesc_text_string(text, v) : NULL;
}

/* Whether there is an array, or nothing. */
static bool is_array_or_absent(token list)
{
	return !list || list->kind == VMDESC_ARRAY;
}

/* Adds what fields and subsections of a description take. */
static int add_size(const char *text, token d, uint64_t *sum)
{
	token fields = vmdesc_text_get(text, d, "fields");
	token subs = vmdesc_text_get(text, d, "subsections"), o, end;

	if (!is_array_or_absent(fields) || !is_array_or_absent(subs))
		return -1;
	end = fields ? vmdesc_text_next(fields) : NULL;
	for (o = fields ? fields + 1 : NULL; o != end;
	     o = vmdesc_text_next(o)) {
		uint64_t size, count;

		if (vmdesc_number(text, o, "size", -1, &size) ||
		    vmdesc_number(text, o, "array_len", 1, &count))
			return -1;
		if (size && count > VMDESC_PAYLOAD_LIMIT / size)
			return -1;
		*sum += size * count;
		if (*sum > VMDESC_PAYLOAD_LIMIT)
			return -1;
	}
	end = subs ? vmdesc_text_next(subs) : NULL;
	for (o = subs ? subs + 1 : NULL; o != end; o = vmdesc_text_next(o)) {
		const char *name = name_of(text, o, "vmsd_name");

		if (!name)
			return -1;
		*sum += 6 + strlen(name);
		if (add_size(text, o, sum))
			return -1;
	}
	return 0;
}

static int add_device(const struct reading *r, token o)
{
	struct vmdesc *out = r->out;
	const char *name = name_of(out->text, o, "name");
	struct vmdesc_device *d;
	uint64_t instance;

	if (!name || vmdesc_number(out->text, o, "instance_id", 0, &instance) ||
	    instance > UINT32_MAX)
		return bad(r, o, "a device has no proper name and instance");
	if (out->n == out->room) {
		size_t room = out->room ? 2 * out->room : 64;
		void *more;

		if (out->n >= SECTIONS_LIMIT)
			return bad(r, o, "more devices than any machine has");
		more = realloc(out->devices, room * sizeof(*d));
		if (!more)
			return error_set(r->err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
		out->devices = more;
		out->room = room;
	}
	d = &out->devices[out->n];
	*d = (struct vmdesc_device){ .name = name,
				     .instance = (uint32_t)instance,
				     .token = o };
	if (add_size(out->text, o, &d->size))
		return bad(r, o, "a device has impossible sizes");
	out->n++;
	return 0;
}

/* The tokens are there. */
static int read_all(const struct reading *r)
{
	token all = r->out->tokens, devices, end;
	const char *text = r->out->text;
	uint64_t n;

	if (all->kind != VMDESC_OBJECT)
		return bad(r, all, "{ expected");
	if (!vmdesc_text_uint(text, vmdesc_text_get(text, all, "page_size"),
			      UINT32_MAX, &n))
		r->out->page_size = (uint32_t)n;
	devices = vmdesc_text_get(text, all, "devices");
	if (!devices)
		return 0;
	if (devices->kind != VMDESC_ARRAY)
		return bad(r, devices, "devices are no array");
	end = vmdesc_text_next(devices);
	for (token o = devices + 1; o != end; o = vmdesc_text_next(o))
		if (add_device(r, o))
			return -1;
	return 0;
}

int vmdesc_read(struct vmdesc *out, char *text, size_t len, uint64_t offset,
		struct mr_error *err)
{
	struct reading r = { .out = out, .err = err };
	struct fault f;

	*out = (struct vmdesc){ .text = text, .offset = offset };
	out->tokens = malloc(VMDESC_TEXT_ROOM(len) * sizeof(*out->tokens));
	if (!out->tokens)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (vmdesc_text_parse(text, len, out->tokens, &f) < 0)
		return error_set(err, MR_FORMAT, offset + f.at,
				 "vmdescription: %s", f.what);
	return read_all(&r);
}

void vmdesc_release(struct vmdesc *d)
{
	free(d->tokens);
	free(d->devices);
	free(d->memory);
	*d = (struct vmdesc){ 0 };
}
