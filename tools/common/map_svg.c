/* map_svg.c - memory as an SVG picture. */
#include "tools/common/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/cli.h"

/* Pixels, but for the first three. */
enum {
	PER_ROW = 128, /* cells */
	CELLS = 48 * PER_ROW, /* of the largest block */
	SHADES = 24,
	CELL = 8,
	MARGIN = 28,
	OFFSETS = 92, /* width of the column with offsets */
	WIDTH = 2 * MARGIN + OFFSETS + PER_ROW * CELL,
	HEAD = 104, /* title and legend */
	LABEL = 34, /* a block's name */
	GAP = 14, /* below a block */
};

struct svg {
	const struct map *m;
	FILE *f;
	uint64_t region;
	unsigned y;
};

/* Text with what XML wants escaped; control characters are gone already. */
static void put_text(FILE *f, const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	char *safe = malloc(size);

	for (const char *s = safe ? cli_escape(safe, size, text) : ""; *s; s++)
		if (*s == '<')
			(void)fputs("&lt;", f);
		else if (*s == '>')
			(void)fputs("&gt;", f);
		else if (*s == '&')
			(void)fputs("&amp;", f);
		else if (*s == '"')
			(void)fputs("&quot;", f);
		else
			(void)putc(*s, f);
	free(safe);
}

/* colour over white paper's ground, more of it the higher the level. */
static uint32_t mix(uint32_t ground, uint32_t colour, unsigned level)
{
	/* Even one page of thousands has to be seen. */
	unsigned part = 64 + 192 * level / SHADES;
	uint32_t out = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		unsigned g = ground >> shift & 0xff, c = colour >> shift & 0xff;

		out = out << 8 | (g * (256 - part) + c * part) / 256;
	}
	return out;
}

static uint32_t colour_of(const struct map *m, const struct map_cell *c)
{
	unsigned level = map_level(c, SHADES);
	uint32_t colour = m->classes[c->best].colour;

	if (!c->all)
		return 0xffffff;
	return level ? mix(0xf4f5f7, colour, level) : colour;
}

static void put_tooltip(const struct svg *s, uint64_t from, uint64_t to,
			const uint64_t pages[MAP_CLASSES])
{
	(void)fprintf(s->f, "<title>0x%" PRIx64 " - 0x%" PRIx64, from, to - 1);
	for (size_t i = 0; i < s->m->n_classes; i++)
		if (pages[i])
			(void)fprintf(s->f, "&#10;%" PRIu64 " %s", pages[i],
				      s->m->classes[i].name);
	(void)fputs("</title>", s->f);
}

/* The cells first .. end - 1, in one row; neighbours that look the same are
 * one rectangle. */
static void put_row(const struct svg *s, size_t block, uint64_t first,
		    uint64_t end)
{
	uint64_t length = s->m->blocks[block].length;
	struct map_cell c;

	for (uint64_t i = first, j; i < end; i = j) {
		uint64_t pages[MAP_CLASSES] = { 0 }, to;
		uint32_t colour = 0;

		for (j = i; j < end; j++) {
			map_look(s->m, block, s->region, j, &c);
			if (j == i)
				colour = colour_of(s->m, &c);
			else if (colour != colour_of(s->m, &c))
				break;
			for (int k = 0; k < MAP_CLASSES; k++)
				pages[k] += c.pages[k];
		}
		to = length / s->region < j ? length : j * s->region;
		(void)fprintf(s->f,
			      "<rect x=\"%" PRIu64 "\" y=\"%u\" "
			      "width=\"%" PRIu64 "\" height=\"%d\" "
			      "fill=\"#%06" PRIx32 "\">",
			      MARGIN + OFFSETS + (i - first) * CELL, s->y,
			      (j - i) * CELL, CELL, colour);
		put_tooltip(s, i * s->region, to, pages);
		(void)fputs("</rect>\n", s->f);
	}
}

static void put_share(const struct svg *s, const struct map_cell *all)
{
	bool first = true;

	for (size_t i = 0; i < s->m->n_classes; i++) {
		if (!all->pages[i])
			continue;
		(void)fprintf(s->f, "%s%.*f%% %s", first ? "" : ", ",
			      all->pages[i] * 1000 < all->all * 995 ? 1 : 0,
			      100.0 * (double)all->pages[i] / (double)all->all,
			      s->m->classes[i].name);
		first = false;
	}
}

static void put_block(struct svg *s, size_t block)
{
	const struct map_block *b = &s->m->blocks[block];
	uint64_t n = b->note ? 0 : map_cells(s->m, block, s->region);
	char human[CLI_HUMAN];
	struct map_cell all;

	(void)fprintf(s->f, "<text x=\"%d\" y=\"%u\" class=\"name\">", MARGIN,
		      s->y + 20);
	put_text(s->f, b->name);
	(void)fprintf(s->f,
		      "<tspan class=\"dim\" dx=\"10\">%s</tspan></text>\n",
		      cli_human(human, b->length));
	(void)fprintf(s->f,
		      "<text x=\"%d\" y=\"%u\" class=\"dim\" "
		      "text-anchor=\"end\">",
		      WIDTH - MARGIN, s->y + 20);
	if (b->note) {
		put_text(s->f, b->note);
	} else {
		map_look_all(s->m, block, &all);
		put_share(s, &all);
	}
	(void)fputs("</text>\n", s->f);
	s->y += LABEL;
	for (uint64_t i = 0; i < n; i += PER_ROW, s->y += CELL) {
		/* An offset is higher than a row. */
		if (i / PER_ROW % 2 == 0)
			(void)fprintf(s->f,
				      "<text x=\"%d\" y=\"%u\" "
				      "class=\"offset\">0x%" PRIx64 "</text>\n",
				      MARGIN, s->y + CELL, i * s->region);
		put_row(s, block, i, n - i < PER_ROW ? n : i + PER_ROW);
	}
	s->y += GAP;
}

static void put_head(const struct svg *s)
{
	char human[CLI_HUMAN];
	unsigned x = MARGIN;

	(void)fprintf(s->f, "<text x=\"%d\" y=\"46\" class=\"title\">", MARGIN);
	put_text(s->f, s->m->title);
	(void)fputs("</text>\n", s->f);
	for (size_t i = 0; i < s->m->n_classes; i++) {
		const struct map_class *k = &s->m->classes[i];

		/* Ground is one colour; the rest goes from few to all. */
		for (unsigned j = 0; j < 4; j++)
			(void)fprintf(s->f,
				      "<rect x=\"%u\" y=\"68\" width=\"9\" "
				      "height=\"12\" fill=\"#%06" PRIx32
				      "\"/>\n",
				      x + 9 * j,
				      k->weight ? mix(0xf4f5f7, k->colour,
						      j * SHADES / 3)
						: k->colour);
		(void)fprintf(s->f,
			      "<text x=\"%u\" y=\"79\" "
			      "class=\"dim\">%s</text>\n",
			      x + 44, k->name);
		x += 72 + 7 * (unsigned)strlen(k->name);
	}
	(void)fprintf(s->f,
		      "<text x=\"%d\" y=\"79\" class=\"dim\" "
		      "text-anchor=\"end\">one cell is %s</text>\n",
		      WIDTH - MARGIN, cli_human(human, s->region));
}

static unsigned height_of(const struct svg *s)
{
	uint64_t y = HEAD + MARGIN;

	for (size_t i = 0; i < s->m->n_blocks; i++) {
		uint64_t n = s->m->blocks[i].note
				     ? 0
				     : map_cells(s->m, i, s->region);

		y += LABEL + GAP + (n + PER_ROW - 1) / PER_ROW * CELL;
	}
	return (unsigned)y;
}

static void put_picture(struct svg *s)
{
	static const char style[] =
		"text { font: 12px system-ui, 'DejaVu Sans', sans-serif;"
		" fill: #1d2733 }\n"
		".title { font-size: 20px; font-weight: 600 }\n"
		".name { font-size: 14px; font-weight: 600 }\n"
		".dim { font-size: 12px; font-weight: 400; fill: #5c6b7a }\n"
		".offset { font: 10px ui-monospace, 'DejaVu Sans Mono',"
		" monospace; fill: #8a97a5 }\n";
	unsigned height = height_of(s);

	(void)fprintf(s->f,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" "
		      "width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\">\n"
		      "<style>\n%s</style>\n"
		      "<rect width=\"100%%\" height=\"100%%\" rx=\"10\" "
		      "fill=\"#ffffff\"/>\n",
		      WIDTH, height, WIDTH, height, style);
	put_head(s);
	s->y = HEAD;
	(void)fputs("<g shape-rendering=\"crispEdges\">\n", s->f);
	for (size_t i = 0; i < s->m->n_blocks; i++)
		put_block(s, i);
	(void)fputs("</g>\n</svg>\n", s->f);
}

int map_svg(const struct map *m, const char *path)
{
	struct svg s = { .m = m, .region = map_region(m, CELLS) };
	struct mr_error err = MR_ERROR_INIT;
	char *text = NULL;
	size_t len = 0;
	int status = CLI_OK;

	s.f = open_memstream(&text, &len);
	if (!s.f)
		return cli_no_memory();
	put_picture(&s);
	if (fclose(s.f))
		status = cli_no_memory();
	else if (mr_drawing_write(path, text, len, &err))
		status = cli_fail(&err, CLI_PATHS(path));
	free(text);
	return status;
}
