/* map.c - two memories in one map. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/diff/diff.h"
#include "tools/common/map.h"

static const struct map_class classes[MR_DIFF_CLASSES] = {
	[MR_DIFF_ZERO] = { .name = "zero in both",
			   .colour = 0xf4f5f7,
			   .utf8 = " ",
			   .plain = ' ' },
	[MR_DIFF_EQUAL] = { .name = "equal",
			    .colour = 0xc9d1da,
			    .utf8 = "·",
			    .plain = '.' },
	[MR_DIFF_CHANGED] = { .name = "changed",
			      .colour = 0xd9480f,
			      .weight = true },
	[MR_DIFF_ONLY_A] = { .name = "only in A",
			     .colour = 0x1971c2,
			     .weight = true },
	[MR_DIFF_ONLY_B] = { .name = "only in B",
			     .colour = 0x2b8a3e,
			     .weight = true },
};

static void count(void *arg, size_t block, uint64_t first, uint64_t n,
		  uint64_t pages[])
{
	mr_diff_count(arg, block, first, n, pages);
}

int diff_map(const struct mr_diff *d, const struct diff_show *show,
	     const char *svg)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	struct map_block *blocks = calloc(info->n_blocks + 1, sizeof(*blocks));
	char(*notes)[DIFF_NOTE] = calloc(info->n_blocks + 1, sizeof(*notes));
	struct map m = { .page_size = info->page_size,
			 .n_classes = MR_DIFF_CLASSES,
			 .classes = classes,
			 .n_blocks = info->n_blocks,
			 .blocks = blocks,
			 .count = count,
			 .arg = (void *)(uintptr_t)d };
	char *title = NULL;
	int rc = CLI_OK;

	if (!blocks || !notes ||
	    asprintf(&title, "A %s, B %s", show->path[MR_A], show->path[MR_B]) <
		    0) {
		rc = cli_no_memory();
		title = NULL;
		goto out;
	}
	m.title = title;
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_diff_block *b = &info->blocks[i];

		blocks[i].name = b->name;
		blocks[i].length = b->offset + b->compared;
		if (b->compared)
			continue;
		blocks[i].note = diff_note(notes[i], b);
		blocks[i].length =
			b->of[b->of[MR_A].listed ? MR_A : MR_B].length;
	}
	if (svg)
		rc = map_svg(&m, svg);
	else
		map_print(&m);
out:
	free(blocks);
	free(notes);
	free(title);
	return rc;
}
