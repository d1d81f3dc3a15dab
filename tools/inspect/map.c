/* map.c - an image's memory as a map. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/common/map.h"
#include "tools/inspect/show.h"

static const struct map_class classes[MR_PAGE_CLASSES] = {
	[MR_PAGE_ABSENT] = { .name = "not in the file",
			     .colour = 0xf4f5f7,
			     .utf8 = " ",
			     .plain = ' ' },
	[MR_PAGE_ZERO] = { .name = "zero",
			   .colour = 0xc9d1da,
			   .utf8 = "·",
			   .plain = '.' },
	[MR_PAGE_PRESENT] = { .name = "data",
			      .colour = 0x1971c2,
			      .weight = true },
};

struct counter {
	const struct mr_image *img;
	struct mr_error err; /* the first failure */
};

static void count(void *arg, size_t block, uint64_t first, uint64_t n,
		  uint64_t pages[])
{
	struct counter *c = arg;
	const struct mr_block *b = &mr_image_info(c->img)->blocks[block];

	/* The last region may go beyond the block. */
	if (first >= b->pages)
		return;
	if (n > b->pages - first)
		n = b->pages - first;
	if (c->err.code == MR_OK)
		(void)mr_image_classes(c->img, b, first, n, pages, &c->err);
}

int show_map(const struct show *s, const char *svg)
{
	const struct mr_image_info *info = mr_image_info(s->img);
	struct map_block *blocks = calloc(info->n_blocks + 1, sizeof(*blocks));
	struct counter c = { .img = s->img, .err = MR_ERROR_INIT };
	struct map m = { .title = s->path,
			 .page_size = info->page_size,
			 .n_classes = MR_PAGE_CLASSES,
			 .classes = classes,
			 .n_blocks = info->n_blocks,
			 .blocks = blocks,
			 .count = count,
			 .arg = &c };
	int status = CLI_OK;

	if (!blocks)
		return cli_no_memory();
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];

		blocks[i].name = b->name;
		blocks[i].length = b->length;
		if (info->kind == MR_IMAGE_MAPPED && !b->in_file)
			blocks[i].note = "left out";
	}
	if (svg) {
		status = map_svg(&m, svg);
	} else {
		(void)putchar('\n');
		map_print(&m);
	}
	if (c.err.code != MR_OK)
		status = cli_fail(&c.err, CLI_PATHS(s->path));
	free(blocks);
	return status;
}
