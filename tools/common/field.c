/* field.c - what a field of device state holds. */
#include "tools/common/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/common/cli.h"
#include "tools/common/hex.h"

static void bytes_text(char buf[FIELD_TEXT], const struct mr_value *v,
		       uint64_t from)
{
	size_t at = 0;

	buf[0] = '\0';
	if (from)
		at += (size_t)sprintf(buf, "+%" PRIu64 ":", from);
	for (uint64_t i = from; i < v->size && i < from + FIELD_BYTES; i++)
		at += (size_t)sprintf(buf + at, "%s%02x", at ? " " : "",
				      v->bytes[i]);
	if (v->size > from + FIELD_BYTES)
		(void)sprintf(buf + at, " ... (%" PRIu64 " bytes)", v->size);
}

const char *field_text(char buf[FIELD_TEXT], const struct mr_value *v,
		       uint64_t from)
{
	switch (v->kind) {
	case MR_FIELD_UINT:
		(void)snprintf(buf, FIELD_TEXT, "0x%0*" PRIx64,
			       (int)(2 * v->size), v->u);
		break;
	case MR_FIELD_BOOL:
		(void)snprintf(buf, FIELD_TEXT, v->u ? "true" : "false");
		break;
	case MR_FIELD_INT:
		(void)snprintf(buf, FIELD_TEXT, "%" PRId64, v->i);
		break;
	case MR_FIELD_TIMER:
		if (v->i == -1)
			(void)snprintf(buf, FIELD_TEXT, "off");
		else
			(void)snprintf(buf, FIELD_TEXT, "%" PRId64 " ns", v->i);
		break;
	case MR_FIELD_FLOAT:
		(void)snprintf(buf, FIELD_TEXT, "%.17g", v->d);
		break;
	case MR_FIELD_TEXT:
		(void)cli_escape(buf, FIELD_TEXT, v->text);
		break;
	case MR_FIELD_NULL:
		(void)snprintf(buf, FIELD_TEXT, "null");
		break;
	case MR_FIELD_OPAQUE:
	case MR_FIELD_BUFFER:
	case MR_FIELD_UNUSED:
	case MR_FIELD_BITMAP:
	case MR_FIELD_STRUCT:
	case MR_FIELD_SUBSECTION:
		bytes_text(buf, v, from);
		break;
	}
	return buf;
}

static json_t *bytes_json(const struct mr_value *v)
{
	char *hex = hex_text(v->bytes, (size_t)v->size);
	json_t *o = hex ? json_stringn_nocheck(hex, 2 * (size_t)v->size) : NULL;

	free(hex);
	return o;
}

/* A device may have ten thousands of them: by hand. */
static json_t *uint_json(const struct mr_value *v)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 + 16] = "0x";
	size_t n = 2 * (size_t)v->size;

	for (size_t i = 0; i < n; i++)
		text[2 + i] = digits[v->u >> 4 * (n - 1 - i) & 15];
	return json_stringn_nocheck(text, 2 + n);
}

json_t *field_json(const struct mr_value *v)
{
	switch (v->kind) {
	case MR_FIELD_UINT:
		return uint_json(v);
	case MR_FIELD_BOOL:
		return json_boolean(v->u != 0);
	case MR_FIELD_INT:
	case MR_FIELD_TIMER:
		return json_integer(v->i);
	case MR_FIELD_FLOAT:
		/* JSON has neither infinities nor NaN. */
		return v->d - v->d == 0 ? json_real(v->d)
					: json_sprintf("%g", v->d);
	case MR_FIELD_TEXT:
		return cli_json_text(v->text);
	case MR_FIELD_NULL:
		return json_null();
	case MR_FIELD_OPAQUE:
	case MR_FIELD_BUFFER:
	case MR_FIELD_UNUSED:
	case MR_FIELD_BITMAP:
	case MR_FIELD_STRUCT:
	case MR_FIELD_SUBSECTION:
		break;
	}
	return bytes_json(v);
}

/* Appends as much as there is room for; what is there now. */
static size_t append(struct field_path *p, size_t at, const char *text)
{
	int n = snprintf(p->text + at, sizeof(p->text) - at, "%s", text);

	if (n < 0 || at + (size_t)n >= sizeof(p->text))
		return sizeof(p->text) - 1;
	return at + (size_t)n;
}

void field_path(struct field_path *p, const struct mr_field *f)
{
	size_t at = f->depth ? p->ends[f->depth] : 0;
	char text[512];

	if (at)
		at = append(p, at, ".");
	at = append(p, at, cli_escape(text, sizeof(text), f->name));
	if (f->kind == MR_FIELD_STRUCT && f->array) {
		(void)snprintf(text, sizeof(text), "[%" PRIu64 "]", f->index);
		at = append(p, at, text);
	}
	p->ends[f->depth + 1] = at;
}
