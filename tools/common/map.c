/* map.c - cells: what of each class is in a region. */
#include "tools/common/map.h"

#include <string.h>

uint64_t map_region(const struct map *m, uint64_t cells)
{
	uint64_t longest = 1, region = m->page_size;

	for (size_t i = 0; i < m->n_blocks; i++)
		if (!m->blocks[i].note && m->blocks[i].length > longest)
			longest = m->blocks[i].length;
	while (region < UINT64_C(1) << 62 && (longest - 1) / region >= cells)
		region *= 2;
	return region;
}

uint64_t map_cells(const struct map *m, size_t block, uint64_t region)
{
	uint64_t length = m->blocks[block].length;

	return length / region + (length % region != 0);
}

static void look(const struct map *m, size_t block, uint64_t first,
		 uint64_t pages, struct map_cell *out)
{
	memset(out, 0, sizeof(*out));
	m->count(m->arg, block, first, pages, out->pages);
	for (size_t i = 0; i < m->n_classes; i++) {
		out->all += out->pages[i];
		if (m->classes[i].weight)
			out->weight += out->pages[i];
	}
	for (size_t i = 0, most = 0; i < m->n_classes; i++) {
		if (out->weight && !m->classes[i].weight)
			continue;
		if (out->pages[i] > most) {
			most = out->pages[i];
			out->best = i;
		}
	}
}

void map_look(const struct map *m, size_t block, uint64_t region, uint64_t i,
	      struct map_cell *out)
{
	uint64_t pages = region / m->page_size;

	look(m, block, i * pages, pages, out);
}

void map_look_all(const struct map *m, size_t block, struct map_cell *out)
{
	look(m, block, 0, m->blocks[block].length / m->page_size + 1, out);
}

unsigned map_level(const struct map_cell *c, unsigned levels)
{
	uint64_t n = c->weight;

	if (!n)
		return 0;
	/* Rounded up; pages are fewer than 2^54. */
	return (unsigned)((n * levels + c->all - 1) / c->all);
}
