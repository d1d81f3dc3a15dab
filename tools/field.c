/* field.c - what a field of device state holds. */
#include "tools/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cli.h"

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
	char *hex = malloc(2 * (size_t)v->size + 1);
	json_t *o = NULL;

	if (!hex)
		return NULL;
	hex[0] = '\0';
	for (size_t i = 0; i < v->size; i++)
		(void)sprintf(hex + 2 * i, "%02x", v->bytes[i]);
	o = json_string(hex);
	free(hex);
	return o;
}

json_t *field_json(const struct mr_value *v)
{
	switch (v->kind) {
	case MR_FIELD_UINT:
		return json_sprintf("0x%0*" PRIx64, (int)(2 * v->size), v->u);
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
