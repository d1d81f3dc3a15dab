/* table.c - columns that line up. */
#include "tools/common/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cli_table {
	char align[32]; /* 'l' or 'r', one per column */
	size_t columns;
	char **cells;
	size_t n, room;
	bool failed; /* out of memory somewhere */
};

struct cli_table *cli_table_new(const char *align)
{
	struct cli_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	(void)snprintf(t->align, sizeof(t->align), "%s", align);
	t->columns = strlen(t->align);
	return t;
}

void cli_table_cell(struct cli_table *t, const char *fmt, ...)
{
	va_list ap;

	if (!t || t->failed)
		return;
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 256;
		void *more = realloc(t->cells, room * sizeof(*t->cells));

		if (!more) {
			t->failed = true;
			return;
		}
		t->cells = more;
		t->room = room;
	}
	va_start(ap, fmt);
	if (vasprintf(&t->cells[t->n], fmt, ap) < 0)
		t->failed = true;
	else
		t->n++;
	va_end(ap);
}

/* Characters of UTF-8 text. */
static int width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_rows(const struct cli_table *t)
{
	int wide[sizeof(t->align)] = { 0 };

	for (size_t i = 0; i < t->n; i++) {
		int w = width(t->cells[i]);

		if (w > wide[i % t->columns])
			wide[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t c = i % t->columns;
		bool last = c + 1 == t->columns;
		int pad = wide[c] - width(t->cells[i]);

		/* No blanks at the end of a line. */
		if (t->align[c] == 'r')
			(void)printf("  %*s%s", pad, "", t->cells[i]);
		else
			(void)printf("  %s%*s", t->cells[i], last ? 0 : pad,
				     "");
		if (last)
			(void)putchar('\n');
	}
}

void cli_table_print(struct cli_table *t)
{
	if (!t || t->failed)
		cli_say("out of memory");
	else
		print_rows(t);
	for (size_t i = 0; t && i < t->n; i++)
		free(t->cells[i]);
	if (t)
		free(t->cells);
	free(t);
}
