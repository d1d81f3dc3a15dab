/*
 * map.h - memory as a picture: one cell for each region of a block.
 *
 * Every page is of one class. Classes are in two groups: those that the
 * picture is about (weight), and the ground they lie on. A cell has the
 * colour of the weighty class with the most pages, and a shade that is the
 * share of all weighty pages in the region; a cell without any is ground.
 *
 *	map_print	to stdout: colour on a terminal, plain characters where
 *			the locale has no others
 *	map_svg		to a file, as SVG with nothing outside of it
 */
#ifndef TOOLS_MAP_H
#define TOOLS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAP_CLASSES = 8 };

struct map_class {
	const char *name; /* "changed": for the legend */
	uint32_t colour; /* 0xrrggbb */
	bool weight;
	/* Ground: how a cell looks in the terminal. */
	const char *utf8;
	char plain;
};

struct map_block {
	const char *name; /* as in the file: escaped here */
	uint64_t length; /* bytes */
	const char *note; /* why there are no cells; NULL: there are */
};

struct map {
	const char *title; /* of the picture */
	uint32_t page_size; /* bytes */
	size_t n_classes; /* at most MAP_CLASSES */
	const struct map_class *classes;
	size_t n_blocks;
	const struct map_block *blocks;
	/* Adds up how many of the pages first .. first + n - 1 of a block are
	 * of each class. */
	void (*count)(void *arg, size_t block, uint64_t first, uint64_t n,
		      uint64_t pages[]);
	void *arg;
};

void map_print(const struct map *m);
/* Returns CLI_OK, or CLI_TROUBLE after telling why. path is the old file or
 * the whole new one. */
int map_svg(const struct map *m, const char *path);

/* ---- what both are made of (map.c) ---- */

/* A region, looked at. */
struct map_cell {
	uint64_t pages[MAP_CLASSES];
	uint64_t all; /* pages; 0: nothing of them was counted */
	uint64_t weight; /* pages of weighty classes */
	size_t best; /* the class that it shows */
};

/* Bytes for each cell: a power of two, at least a page, so that the largest
 * block has no more than `cells`. */
uint64_t map_region(const struct map *m, uint64_t cells);
/* Cells that a block has. */
uint64_t map_cells(const struct map *m, size_t block, uint64_t region);
void map_look(const struct map *m, size_t block, uint64_t region, uint64_t i,
	      struct map_cell *out);
/* All of a block, as one cell. */
void map_look_all(const struct map *m, size_t block, struct map_cell *out);
/* 0: ground; 1 to `levels`: the share of weighty pages, never rounded down to
 * nothing. */
unsigned map_level(const struct map_cell *c, unsigned levels);

#endif
