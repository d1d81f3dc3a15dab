/* device.c - what differs in device sections, for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/diff/diff.h"
#include "tools/common/field.h"

static void put_escaped(const char *text)
{
	size_t size = 0;
	char *buf;

	while (text[size])
		size++;
	size = 4 * size + 1;
	buf = malloc(size);
	(void)fputs(buf ? cli_escape(buf, size, text) : "?", stdout);
	free(buf);
}

static void show_bytes(const struct mr_diff_section *s)
{
	for (size_t i = 0; i < s->n_bytes; i++)
		(void)printf("%s%" PRIu64 "+%" PRIu64,
			     i % 8 ? "  " : "\n    bytes ", s->bytes[i].offset,
			     s->bytes[i].length);
	(void)putchar('\n');
}

/* The byte in which two values differ first; of one alone, 0. */
static uint64_t first_byte(const struct mr_value v[MR_SIDES])
{
	uint64_t i = 0;

	while (i < v[MR_A].size && i < v[MR_B].size &&
	       v[MR_A].bytes[i] == v[MR_B].bytes[i])
		i++;
	/* All of it is seen anyway, or it is only longer. */
	if (v[MR_A].size <= FIELD_BYTES || i == v[MR_A].size)
		return 0;
	return i;
}

/* A field that is not of one form on both sides. */
static void show_forms(const struct mr_field *a, const struct mr_field *b)
{
	if (a->version != b->version) {
		(void)printf(": version %" PRIu32 " -> %" PRIu32 "\n",
			     a->version, b->version);
		return;
	}
	(void)printf(": %" PRIu64 " -> %" PRIu64 " bytes, ", a->size, b->size);
	put_escaped(a->type);
	(void)fputs(" -> ", stdout);
	put_escaped(b->type);
	(void)putchar('\n');
}

static void show_field(const struct mr_diff_fields *f,
		       const struct mr_diff_field *x)
{
	const struct mr_field *a = x->of[MR_A], *b = x->of[MR_B];
	struct mr_value v[MR_SIDES];
	char text[FIELD_TEXT];
	uint64_t from;

	(void)fputs("    ", stdout);
	put_escaped(x->path);
	if (!a || !b) {
		(void)printf(": only in %c\n", a ? 'A' : 'B');
	} else if (x->whole) {
		show_forms(a, b);
	} else {
		mr_field_value(f->device[MR_A], a, x->element, &v[MR_A]);
		mr_field_value(f->device[MR_B], b, x->element, &v[MR_B]);
		from = first_byte(v);
		(void)printf(": %s", field_text(text, &v[MR_A], from));
		(void)printf(" -> %s\n", field_text(text, &v[MR_B], from));
	}
}

/* Fields if there is a description, else bytes. */
static int show_content(struct mr_diff *d, size_t i,
			const struct diff_show *show)
{
	const struct mr_diff_section *s = &mr_diff_info(d)->sections[i];
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff_fields *f;

	f = mr_diff_fields_new(d, i, show->vmdesc, &err);
	if (!f && err.code != MR_UNSUPPORTED && err.code != MR_FORMAT)
		return cli_fail(&err,
				CLI_PATHS(show->path[MR_A], show->path[MR_B]));
	if (!f) {
		show_bytes(s);
		return CLI_OK;
	}
	(void)putchar('\n');
	for (size_t k = 0; k < f->n; k++)
		show_field(f, &f->fields[k]);
	if (f->cut)
		(void)puts("    and more");
	mr_diff_fields_free(f);
	return CLI_OK;
}

static int show_section(struct mr_diff *d, size_t i,
			const struct diff_show *show)
{
	const struct mr_diff_section *s = &mr_diff_info(d)->sections[i];

	(void)fputs("  ", stdout);
	put_escaped(s->name);
	(void)printf(" %" PRIu32 ": ", s->instance);
	if (!s->of[MR_A].listed || !s->of[MR_B].listed) {
		(void)printf("only in %c\n", s->of[MR_A].listed ? 'A' : 'B');
		return CLI_OK;
	}
	if (s->of[MR_A].version != s->of[MR_B].version)
		(void)printf("version %" PRIu32 " -> %" PRIu32 ", ",
			     s->of[MR_A].version, s->of[MR_B].version);
	if (s->of[MR_A].length != s->of[MR_B].length)
		(void)printf("length %" PRIu64 " -> %" PRIu64 ", ",
			     s->of[MR_A].length, s->of[MR_B].length);
	(void)printf("%" PRIu64 " byte%s", s->differing,
		     s->differing == 1 ? "" : "s");
	return show_content(d, i, show);
}

int diff_list_devices(struct mr_diff *d, const struct diff_show *show)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	int rc = CLI_OK;

	if (!cli.quiet)
		(void)puts("\nDevice sections that differ, A -> B");
	for (size_t i = 0; rc == CLI_OK && i < info->n_sections; i++)
		if (!info->sections[i].same)
			rc = show_section(d, i, show);
	return rc;
}
