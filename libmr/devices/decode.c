/*
 * decode.c - one device section's payload, by its description.
 *
 * Nothing of the description is believed that the payload does not bear out:
 * fields must fit, subsections must stand where they are said to be, structs
 * must be as long as they say, and all of it must end where the payload does.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/name.h"
#include "formats/stream.h"
#include "formats/vmdesc.h"
#include "libmr/devices/devices.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"

struct decoder {
	const uint8_t *buf;
	uint64_t len, at; /* bytes of payload */
	uint64_t base; /* byte of the file that buf[0] is */
	struct mr_field *fields;
	size_t n, room;
	unsigned depth;
	bool lenient;
	const char *text; /* of the description */
	struct mr_error *err;
};

typedef const struct vmdesc_token *token; /* a value of text, or NULL */

static int bad(struct decoder *x, const char *what)
{
	return error_set(x->err, MR_FORMAT, x->base + x->at, "%s", what);
}

/* Index of a new field, whose parts may follow; SIZE_MAX with x->err. */
static size_t add(struct decoder *x, enum mr_field_kind kind, const char *name,
		  const char *type)
{
	if (x->n == DEVICE_FIELDS_LIMIT) {
		(void)bad(x, "too many fields");
		return SIZE_MAX;
	}
	if (grow(&x->fields, &x->room, x->n, sizeof(*x->fields))) {
		(void)error_set(x->err, MR_NOMEM, MR_NO_OFFSET,
				"out of memory");
		return SIZE_MAX;
	}
	x->fields[x->n] = (struct mr_field){ .kind = kind,
					     .depth = x->depth,
					     .name = name,
					     .type = type,
					     .offset = x->at,
					     .count = 1 };
	return x->n++;
}

/* A member of an object. */
static token get(const struct decoder *x, token o, const char *key)
{
	return vmdesc_text_get(x->text, o, key);
}

/* The same, if it is a string. */
static const char *text_of(const struct decoder *x, token o, const char *key)
{
	return vmdesc_text_string(x->text, get(x, o, key));
}

static int decode_parts(struct decoder *x, token desc);

/* The parts of field i, up to its end. */
static int decode_inside(struct decoder *x, size_t i, token desc)
{
	uint64_t version = 0;
	int rc;

	if (x->depth == DEVICE_DEPTH_LIMIT)
		return bad(x, "nested too deeply");
	if (vmdesc_text_number(x->text, desc, "version", 0, &version) ||
	    version > UINT32_MAX)
		return bad(x, "impossible version");
	if (x->fields[i].kind == MR_FIELD_STRUCT)
		x->fields[i].version = (uint32_t)version;
	x->depth++;
	rc = decode_parts(x, desc);
	x->depth--;
	x->fields[i].parts = x->n - i - 1;
	x->fields[i].size = x->at - x->fields[i].offset;
	return rc;
}

static int decode_struct(struct decoder *x, const char *name, const char *type,
			 token f, uint64_t size)
{
	token inner = get(x, f, "struct");
	uint64_t end = x->at + size;
	size_t i = add(x, MR_FIELD_STRUCT, name, type);

	if (i == SIZE_MAX)
		return -1;
	if (!inner || inner->kind != VMDESC_OBJECT)
		return bad(x, "a struct without a description");
	if (decode_inside(x, i, inner))
		return -1;
	if (x->at != end && !x->lenient)
		return bad(x, "a struct of another size than described");
	return 0;
}

/* What the kinds are called on either side. */
static const enum mr_field_kind kinds[] = {
	[VMDESC_OPAQUE] = MR_FIELD_OPAQUE,   [VMDESC_UINT] = MR_FIELD_UINT,
	[VMDESC_INT] = MR_FIELD_INT,	     [VMDESC_BOOL] = MR_FIELD_BOOL,
	[VMDESC_TIMER] = MR_FIELD_TIMER,     [VMDESC_FLOAT] = MR_FIELD_FLOAT,
	[VMDESC_BUFFER] = MR_FIELD_BUFFER,   [VMDESC_UNUSED] = MR_FIELD_UNUSED,
	[VMDESC_CAPABILITY] = MR_FIELD_TEXT, [VMDESC_BITMAP] = MR_FIELD_BITMAP,
	[VMDESC_NULLPTR] = MR_FIELD_NULL,    [VMDESC_STRUCT] = MR_FIELD_STRUCT,
};

static struct vmdesc_type type_of(const struct mr_field *f)
{
	static const enum vmdesc_kind back[] = {
		[MR_FIELD_OPAQUE] = VMDESC_OPAQUE,
		[MR_FIELD_UINT] = VMDESC_UINT,
		[MR_FIELD_INT] = VMDESC_INT,
		[MR_FIELD_BOOL] = VMDESC_BOOL,
		[MR_FIELD_TIMER] = VMDESC_TIMER,
		[MR_FIELD_FLOAT] = VMDESC_FLOAT,
		[MR_FIELD_BUFFER] = VMDESC_BUFFER,
		[MR_FIELD_UNUSED] = VMDESC_UNUSED,
		[MR_FIELD_TEXT] = VMDESC_CAPABILITY,
		[MR_FIELD_BITMAP] = VMDESC_BITMAP,
		[MR_FIELD_NULL] = VMDESC_NULLPTR,
		[MR_FIELD_STRUCT] = VMDESC_STRUCT,
		[MR_FIELD_SUBSECTION] = VMDESC_STRUCT,
	};

	return (struct vmdesc_type){ back[f->kind], 0 };
}

static int decode_leaf(struct decoder *x, const char *name, const char *type,
		       uint64_t size, uint64_t count)
{
	struct vmdesc_type t = vmdesc_type_of(type);
	enum mr_field_kind kind = kinds[t.kind];
	size_t i;

	if (t.width && t.width != size)
		kind = MR_FIELD_OPAQUE;
	i = add(x, kind, name, type);
	if (i == SIZE_MAX)
		return -1;
	x->fields[i].size = size;
	x->fields[i].count = count;
	x->at += size * count;
	return 0;
}

/*
 * Arrays come as one object with "array_len", as objects with "index" of
 * which the last has none, and as runs of either with null pointers between:
 * whatever follows a field of its own name goes on with its array.
 */
static void number(struct decoder *x, size_t first, size_t prev, bool array)
{
	struct mr_field *f = &x->fields[first];

	if (prev != SIZE_MAX && !strcmp(x->fields[prev].name, f->name)) {
		x->fields[prev].array = true;
		f->index = x->fields[prev].index + x->fields[prev].count;
		array = true;
	}
	f->array = array;
}

/* One object of "fields", whole; *prev is the field before it, and after. */
static int decode_field(struct decoder *x, token f, size_t *prev)
{
	const char *name = text_of(x, f, "name");
	const char *type = text_of(x, f, "type");
	bool array = get(x, f, "array_len") || get(x, f, "index");
	bool is_struct = type && !strcmp(type, "struct");
	uint64_t size, count, times;

	if (!name || !type ||
	    vmdesc_text_number(x->text, f, "size", -1, &size) ||
	    vmdesc_text_number(x->text, f, "array_len", 1, &count))
		return bad(x, "a field without a proper name, type and size");
	if (!is_struct && size == 0)
		count = 1;
	if (size && count > (x->len - x->at) / size && !x->lenient)
		return error_set(
			x->err, MR_FORMAT, x->base + x->at,
			"field \"%.80s\" goes beyond the section's end", name);
	if (!is_struct && size && count > (x->len - x->at) / size)
		return bad(x, "fields go beyond the section's end");
	times = is_struct ? count : 1;
	for (uint64_t k = 0; k < times; k++) {
		size_t first = x->n;

		if (is_struct ? decode_struct(x, name, type, f, size)
			      : decode_leaf(x, name, type, size, count))
			return -1;
		number(x, first, *prev, array);
		*prev = first;
	}
	return 0;
}

/* Whether the payload goes on with the subsection of that name. */
static bool subsection_here(const struct decoder *x, const char *name)
{
	size_t n = strlen(name);

	return x->len - x->at >= 6 + n && x->buf[x->at] == STREAM_SUBSECTION &&
	       x->buf[x->at + 1] == n && !memcmp(x->buf + x->at + 2, name, n);
}

static int decode_subsection(struct decoder *x, token s)
{
	const char *name = text_of(x, s, "vmsd_name");
	size_t i;

	if (!name || strlen(name) > NAME_MAX_LEN)
		return bad(x, "a subsection without a name");
	if (!subsection_here(x, name))
		return x->lenient
			       ? 0
			       : error_set(x->err, MR_FORMAT, x->base + x->at,
					   "no subsection \"%.120s\" here",
					   name);
	i = add(x, MR_FIELD_SUBSECTION, name, "");
	if (i == SIZE_MAX)
		return -1;
	x->at += 2 + strlen(name);
	x->fields[i].version = get_be32(x->buf + x->at);
	x->at += 4;
	return decode_inside(x, i, s);
}

/* What is no list has no elements: sizes that do not add up will tell. */
static int decode_list(struct decoder *x, token list, bool subsections)
{
	size_t prev = SIZE_MAX;
	token o, end;

	if (!list || list->kind != VMDESC_ARRAY)
		return 0;
	end = vmdesc_text_next(list);
	for (o = list + 1; o != end; o = vmdesc_text_next(o))
		if (subsections ? decode_subsection(x, o)
				: decode_field(x, o, &prev))
			return -1;
	return 0;
}

static int decode_parts(struct decoder *x, token desc)
{
	if (decode_list(x, get(x, desc, "fields"), false))
		return -1;
	return decode_list(x, get(x, desc, "subsections"), true);
}

int devices_decode(struct mr_device *dev, const char *text,
		   const struct vmdesc_token *desc, bool lenient,
		   struct mr_error *err)
{
	struct decoder x = { .buf = dev->bytes,
			     .len = dev->size,
			     .base = dev->offset,
			     .lenient = lenient,
			     .text = text,
			     .err = err };
	const char *vmsd = text_of(&x, desc, "vmsd_name");

	if (decode_parts(&x, desc)) {
		free(x.fields);
		return -1;
	}
	if (x.at != x.len) {
		free(x.fields);
		return error_set(err, MR_FORMAT, x.base + x.at,
				 "the description covers %" PRIu64
				 " bytes, the section has %" PRIu64,
				 x.at, x.len);
	}
	dev->vmsd = vmsd ? vmsd : "";
	dev->fields = x.fields;
	dev->n_fields = x.n;
	return 0;
}

void mr_field_value(const struct mr_device *dev, const struct mr_field *field,
		    uint64_t element, struct mr_value *out)
{
	struct vmdesc_value v;
	struct fault f;

	*out = (struct mr_value){ .kind = field->kind,
				  .size = field->size,
				  .bytes = dev->bytes + field->offset +
					   element * field->size };
	if (field->kind == MR_FIELD_OPAQUE || field->kind == MR_FIELD_STRUCT ||
	    field->kind == MR_FIELD_SUBSECTION)
		return;
	if (vmdesc_value_decode(out->bytes, (size_t)out->size,
				(size_t)out->size, type_of(field), &v,
				&f) < 0) {
		out->kind = MR_FIELD_OPAQUE;
		return;
	}
	if (v.kind == VMDESC_UINT || v.kind == VMDESC_BOOL)
		out->u = v.u;
	else if (v.kind == VMDESC_INT || v.kind == VMDESC_TIMER)
		out->i = v.i;
	else if (v.kind == VMDESC_FLOAT)
		out->d = v.d;
	else if (v.kind == VMDESC_CAPABILITY)
		memcpy(out->text, v.text, sizeof(out->text));
}
