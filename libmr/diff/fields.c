/*
 * fields.c - which fields of a device section differ.
 *
 * Both sides' fields are walked side by side, siblings with siblings. Mostly
 * they are described alike; what one side has and the other has not (a
 * subsection, a longer array) is told by names.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/diff/state.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"

/* Fields told of one section. */
#define FIELDS_MOST ((size_t)65536)
/* Siblings that one side may have more than the other in one place. */
#define AHEAD 64

struct result {
	struct mr_diff_fields out; /* first */
	struct mr_device *device[MR_SIDES];
	struct mr_diff_field *fields;
	size_t room;
};

/* Siblings: fields i .. end - 1 and, in between, what is inside of them. */
struct span {
	const struct mr_device *dev;
	size_t i, end;
};

static const struct mr_field *field(const struct span *s)
{
	return s->i < s->end ? &s->dev->fields[s->i] : NULL;
}

static void step(struct span *s)
{
	s->i += 1 + s->dev->fields[s->i].parts;
}

static struct span inside(const struct span *s)
{
	return (struct span){ .dev = s->dev,
			      .i = s->i + 1,
			      .end = s->i + 1 + field(s)->parts };
}

static bool is_struct(const struct mr_field *f)
{
	return f->kind == MR_FIELD_STRUCT || f->kind == MR_FIELD_SUBSECTION;
}

static const uint8_t *bytes_of(const struct span *s)
{
	return s->dev->bytes + field(s)->offset;
}

static bool same_name(const struct mr_field *a, const struct mr_field *b)
{
	return is_struct(a) == is_struct(b) && a->array == b->array &&
	       a->index == b->index && !strcmp(a->name, b->name);
}

/* After how many siblings of s there is one named as f; AHEAD: none. */
static unsigned find_ahead(struct span s, const struct mr_field *f)
{
	unsigned n = 0;

	for (; n < AHEAD && field(&s) && !same_name(field(&s), f); n++)
		step(&s);
	return field(&s) ? n : AHEAD;
}

/* ---- what is found ---- */

static char *path_of(const char *prefix, const struct mr_field *f,
		     uint64_t element, bool whole)
{
	const char *slash = *prefix ? "/" : "";
	char *path = NULL;
	int rc;

	assert(f);
	if (f->array && !(whole && f->count > 1))
		rc = asprintf(&path, "%s%s%s[%" PRIu64 "]", prefix, slash,
			      f->name, f->index + element);
	else
		rc = asprintf(&path, "%s%s%s", prefix, slash, f->name);
	return rc < 0 ? NULL : path;
}

static int add(struct result *r, const char *prefix, const struct mr_field *a,
	       const struct mr_field *b, uint64_t element, bool whole,
	       struct mr_error *err)
{
	char *path;

	if (r->out.n == FIELDS_MOST) {
		r->out.cut = true;
		return 0;
	}
	if (grow(&r->fields, &r->room, r->out.n, sizeof(*r->fields)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	r->out.fields = r->fields;
	path = path_of(prefix, a ? a : b, element, whole);
	if (!path)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	r->fields[r->out.n++] = (struct mr_diff_field){
		.path = path, .of = { a, b }, .element = element, .whole = whole
	};
	return 0;
}

/* ---- the walk ---- */

static int compare_leaves(struct result *r, const char *prefix,
			  const struct span *a, const struct span *b,
			  struct mr_error *err)
{
	const struct mr_field *fa = field(a), *fb = field(b);
	uint64_t most = fa->count > fb->count ? fa->count : fb->count;

	if (fa->kind != fb->kind || fa->size != fb->size)
		return add(r, prefix, fa, fb, 0, true, err);
	if (fa->count == fb->count &&
	    !memcmp(bytes_of(a), bytes_of(b), (size_t)(fa->size * fa->count)))
		return 0;
	for (uint64_t e = 0; e < most && !r->out.cut; e++) {
		bool in_a = e < fa->count, in_b = e < fb->count;

		if (in_a && in_b &&
		    !memcmp(bytes_of(a) + e * fa->size,
			    bytes_of(b) + e * fa->size, (size_t)fa->size))
			continue;
		if (add(r, prefix, in_a ? fa : NULL, in_b ? fb : NULL, e, false,
			err))
			return -1;
	}
	return 0;
}

static int walk(struct result *r, const char *prefix, struct span a,
		struct span b, struct mr_error *err);

static int compare_structs(struct result *r, const char *prefix,
			   const struct span *a, const struct span *b,
			   struct mr_error *err)
{
	const struct mr_field *fa = field(a), *fb = field(b);
	char *path;
	int rc;

	if (fa->version != fb->version && add(r, prefix, fa, fb, 0, true, err))
		return -1;
	if (fa->size == fb->size &&
	    !memcmp(bytes_of(a), bytes_of(b), (size_t)fa->size))
		return 0;
	path = path_of(prefix, fa, 0, true);
	if (!path)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	rc = walk(r, path, inside(a), inside(b), err);
	free(path);
	return rc;
}

/* Depth is limited by what the decoder takes. */
static int walk(struct result *r, const char *prefix, struct span a,
		struct span b, struct mr_error *err)
{
	int rc = 0;

	while (!rc && !r->out.cut && (field(&a) || field(&b))) {
		const struct mr_field *fa = field(&a), *fb = field(&b);
		unsigned in_b = fa ? find_ahead(b, fa) : AHEAD;
		unsigned in_a = fb ? find_ahead(a, fb) : AHEAD;

		if (!in_a) {
			rc = is_struct(fa)
				     ? compare_structs(r, prefix, &a, &b, err)
				     : compare_leaves(r, prefix, &a, &b, err);
			step(&a);
			step(&b);
		} else if (fa && (!fb || in_b == AHEAD || in_a < in_b)) {
			rc = add(r, prefix, fa, NULL, 0, true, err);
			step(&a);
		} else {
			rc = add(r, prefix, NULL, fb, 0, true, err);
			step(&b);
		}
	}
	return rc;
}

/* ---- descriptions ---- */

static bool has_vmdesc(const struct mr_image *img)
{
	return img && mr_image_info(img)->has_vmdesc &&
	       mr_image_info(img)->vmdesc_length > 2;
}

/* The sections were compared: a VM was asked for its devices. */
static const struct mr_image *image_of(const struct mr_ram *r)
{
	return r->img ? r->img : r->state_img;
}

static int open_devices(struct mr_diff *d, const struct mr_image *third,
			struct mr_error *err)
{
	for (int i = 0; i < MR_SIDES; i++) {
		const struct mr_image *own = image_of(d->side[i]);
		const struct mr_image *other = image_of(d->side[!i]);
		const struct mr_image *from = own;

		if (d->devices[i])
			continue;
		if (!has_vmdesc(own))
			from = has_vmdesc(other) ? other : third;
		d->devices[i] = mr_devices_open(own, from, err);
		if (!d->devices[i])
			return -1;
	}
	return 0;
}

void diff_fields_release(struct mr_diff *d)
{
	mr_devices_free(d->devices[MR_A]);
	mr_devices_free(d->devices[MR_B]);
}

/* ---- */

struct mr_diff_fields *mr_diff_fields_new(struct mr_diff *d, size_t section,
					  const struct mr_image *from,
					  struct mr_error *err)
{
	struct result *r = calloc(1, sizeof(*r));
	struct span span[MR_SIDES];

	if (!r) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	if (open_devices(d, from, err))
		goto fail;
	for (int i = 0; i < MR_SIDES; i++) {
		r->device[i] = mr_devices_read(d->devices[i],
					       d->section_at[section][i], err);
		if (!r->device[i])
			goto fail;
		r->out.device[i] = r->device[i];
		if (!r->device[i]->decoded) {
			*err = r->device[i]->why;
			goto fail;
		}
		span[i] = (struct span){ .dev = r->device[i],
					 .end = r->device[i]->n_fields };
	}
	if (!walk(r, "", span[MR_A], span[MR_B], err))
		return &r->out;
fail:
	mr_diff_fields_free(&r->out);
	return NULL;
}

void mr_diff_fields_free(struct mr_diff_fields *f)
{
	struct result *r = (struct result *)f;

	if (!r)
		return;
	for (size_t i = 0; i < r->out.n; i++)
		free((void *)(uintptr_t)r->fields[i].path);
	free(r->fields);
	mr_device_free(r->device[MR_A]);
	mr_device_free(r->device[MR_B]);
	free(r);
}
