/* field.c - what a field of device state holds. */
#include "tools/common/field.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/common/cli.h"

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

void field_json(const struct mr_value *v)
{
	switch (v->kind) {
	case MR_FIELD_UINT:
		cli_json_hex("0x", v->bytes, (size_t)v->size);
		return;
	case MR_FIELD_BOOL:
		cli_json_bool(v->u != 0);
		return;
	case MR_FIELD_INT:
	case MR_FIELD_TIMER:
		cli_json_signed(v->i);
		return;
	case MR_FIELD_FLOAT:
		cli_json_real(v->d);
		return;
	case MR_FIELD_TEXT:
		cli_json_string(v->text);
		return;
	case MR_FIELD_NULL:
		cli_json_null();
		return;
	case MR_FIELD_OPAQUE:
	case MR_FIELD_BUFFER:
	case MR_FIELD_UNUSED:
	case MR_FIELD_BITMAP:
	case MR_FIELD_STRUCT:
	case MR_FIELD_SUBSECTION:
		cli_json_hex("", v->bytes, (size_t)v->size);
		return;
	}
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
