/* map_term.c - memory in the terminal. */
#include "tools/common/map.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/common/cli.h"

enum {
	LEVELS = 4,
	ROWS = 16, /* for the largest block */
	MARGIN = 2,
};

struct term {
	const struct map *m;
	unsigned width; /* columns */
	bool colour, utf8;
	int digits; /* of an offset */
	unsigned per_row; /* cells */
	uint64_t region; /* bytes per cell */
};

static unsigned columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize w;
	long n = env ? strtol(env, NULL, 10) : 0;

	if (n <= 0 && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
		n = w.ws_col;
	if (n <= 0)
		n = 80;
	return n < 20 ? 20 : n > 1000 ? 1000 : (unsigned)n;
}

/* On a terminal that can, unless the user said no (no-color.org). */
static bool may_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term &&
	       strcmp(term, "dumb") != 0;
}

static bool is_utf8(void)
{
	(void)setlocale(LC_CTYPE, "");
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* The nearest of the terminal's 6 x 6 x 6 colours. */
static unsigned nearest(uint32_t rgb)
{
	unsigned n = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		unsigned v = rgb >> shift & 0xff;

		n = 6 * n + (v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40);
	}
	return 16 + n;
}

static const char *shade(const struct term *t, unsigned level)
{
	static const char *const utf8[] = { " ", "░", "▒", "▓", "█" };
	static const char *const plain[] = { " ", "-", "+", "*", "#" };

	return t->utf8 ? utf8[level] : plain[level];
}

/* What a cell looks like: in colour class `class`, which may go on from the
 * cell before (*ink). */
static void put_cell(const struct term *t, const struct map_cell *c, int *ink)
{
	const struct map_class *k = &t->m->classes[c->best];
	unsigned level = map_level(c, LEVELS);
	int want = c->all ? (int)nearest(k->colour) : *ink;

	/* Nothing has no colour. */
	if (t->colour && want != *ink && (level || k->plain != ' ')) {
		(void)printf("\033[38;5;%dm", want);
		*ink = want;
	}
	if (!c->all)
		(void)fputs(t->utf8 ? "╌" : "~", stdout);
	else if (level)
		(void)fputs(shade(t, level), stdout);
	else if (t->utf8)
		(void)fputs(k->utf8, stdout);
	else
		(void)putchar(k->plain);
}

static void put_block(const struct term *t, size_t block)
{
	const struct map_block *b = &t->m->blocks[block];
	uint64_t n = b->note ? 0 : map_cells(t->m, block, t->region);
	char human[CLI_HUMAN], *name = malloc(4 * strlen(b->name) + 1);

	(void)printf("\n%*s%s, %s%s%s\n", MARGIN, "",
		     name ? cli_escape(name, 4 * strlen(b->name) + 1, b->name)
			  : "?",
		     cli_human(human, b->length), b->note ? ": " : "",
		     b->note ? b->note : "");
	free(name);
	for (uint64_t i = 0; i < n;) {
		uint64_t end = n - i < t->per_row ? n : i + t->per_row;
		struct map_cell c;
		int ink = -1;

		(void)printf("%*s%0*" PRIx64 "  ", MARGIN, "", t->digits,
			     i * t->region);
		for (; i < end; i++) {
			map_look(t->m, block, t->region, i, &c);
			put_cell(t, &c, &ink);
		}
		(void)fputs(ink >= 0 ? "\033[0m\n" : "\n", stdout);
	}
}

static void put_legend(const struct term *t)
{
	const struct map *m = t->m;
	char human[CLI_HUMAN];

	(void)printf("%*sone cell is %s:", MARGIN, "",
		     cli_human(human, t->region));
	for (size_t i = 0; i < m->n_classes; i++) {
		const struct map_class *k = &m->classes[i];

		if (k->weight && t->colour)
			(void)printf(" \033[38;5;%um%s\033[0m %s",
				     nearest(k->colour), shade(t, LEVELS),
				     k->name);
		else if (!k->weight)
			(void)printf(" '%.*s' %s", t->utf8 ? 4 : 1,
				     t->utf8 ? k->utf8 : &k->plain, k->name);
	}
	(void)printf("\n%*s%s %s %s %s for up to 25, 50, 75, 100 %% of it",
		     MARGIN, "", shade(t, 1), shade(t, 2), shade(t, 3),
		     shade(t, 4));
	for (size_t i = 0, n = 0; i < m->n_classes; i++)
		if (m->classes[i].weight)
			(void)printf("%s%s", n++ ? ", " : " ",
				     m->classes[i].name);
	(void)putchar('\n');
}

void map_print(const struct map *m)
{
	struct term t = { .m = m,
			  .width = columns(),
			  .colour = may_colour(),
			  .utf8 = is_utf8(),
			  .digits = 8 };
	unsigned taken;

	for (size_t i = 0; i < m->n_blocks; i++)
		while (t.digits < 16 && !m->blocks[i].note &&
		       m->blocks[i].length >> (4 * t.digits))
			t.digits++;
	taken = MARGIN + (unsigned)t.digits + 2;
	t.per_row = t.width > taken + 8 ? t.width - taken : 8;
	if (t.per_row > 16)
		t.per_row -= t.per_row % 16; /* round offsets */
	t.region = map_region(m, (uint64_t)t.per_row * ROWS);
	put_legend(&t);
	for (size_t i = 0; i < m->n_blocks; i++)
		put_block(&t, i);
}
