/* vmdesc.c - how long each device section is, out of the vmdescription. */
#include "libmr/image/vmdesc.h"

#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"

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

static int add_device(const struct reading *r, token o)
{
	struct vmdesc *out = r->out;
	const char *name = vmdesc_text_name(out->text, o, "name");
	struct vmdesc_device *d;
	uint64_t instance;

	if (!name ||
	    vmdesc_text_number(out->text, o, "instance_id", 0, &instance) ||
	    instance > UINT32_MAX)
		return bad(r, o, "a device has no proper name and instance");
	if (out->n == SECTIONS_LIMIT)
		return bad(r, o, "more devices than any machine has");
	if (grow(&out->devices, &out->room, out->n, sizeof(*d)))
		return error_set(r->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	d = &out->devices[out->n];
	*d = (struct vmdesc_device){ .name = name,
				     .instance = (uint32_t)instance,
				     .token = o };
	if (vmdesc_text_payload(out->text, o, &d->size))
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
