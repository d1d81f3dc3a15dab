/* table.c - RAM blocks and sections, line by line. */
#include "tools/inspect/show.h"

#include <inttypes.h>
#include <stdio.h>

static void mapped_blocks(const struct mr_image_info *info,
			  const struct mr_inspection *in)
{
	struct cli_table *t =
		cli_table_new(info->ignore_shared ? "lrrrrrrrr" : "lrrrrrrr");
	static const char *const head[] = { "NAME",	 "LENGTH",  "PAGES",
					    "PRESENT",	 "DATA",    "ON DISK",
					    "BITMAP AT", "PAGES AT" };

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		cli_table_cell(t, "%s", head[i]);
	if (info->ignore_shared)
		cli_table_cell(t, "ADDRESS");
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];
		const struct mr_block_use *u = &in->use[i];
		char h[CLI_HUMAN];

		cli_table_cell(t, "%s", b->name);
		cli_table_cell(t, "%s", cli_human(h, b->length));
		cli_table_cell(t, "%" PRIu64, b->pages);
		if (b->in_file) {
			cli_table_cell(t, "%" PRIu64, u->present);
			cli_table_cell(
				t, "%s",
				cli_human(h, u->present * info->page_size));
			cli_table_cell(t, "%s", cli_human(h, u->allocated));
			cli_table_cell(t, "0x%" PRIx64, b->bitmap_offset);
			cli_table_cell(t, "0x%" PRIx64, b->pages_offset);
		} else {
			cli_table_cell(t, "left out");
			for (int k = 0; k < 4; k++)
				cli_table_cell(t, "-");
		}
		if (info->ignore_shared)
			cli_table_cell(t, "0x%" PRIx64, b->addr);
	}
	cli_table_print(t);
}

static void stream_words(struct cli_table *t, const struct mr_image_info *info,
			 uint64_t n)
{
	if (info->skipped)
		cli_table_cell(t, "?");
	else
		cli_table_cell(t, "%" PRIu64, n);
}

static void stream_pages(struct cli_table *t, const struct mr_inspection *in,
			 size_t block, enum mr_page_class c)
{
	if (in->classes)
		cli_table_cell(t, "%" PRIu64, in->classes[block][c]);
	else
		cli_table_cell(t, "?");
}

/* Few streams have any: they have a column more. */
enum { COMPRESSED_BEHIND = 5 };

static bool any_compressed(const struct mr_image_info *info)
{
	for (size_t i = 0; i < info->n_blocks; i++)
		if (info->blocks[i].compress_words)
			return true;
	return false;
}

static void stream_blocks(const struct mr_image_info *info,
			  const struct mr_inspection *in)
{
	static const char *const head[] = { "NAME",	  "LENGTH",
					    "PAGES",	  "DATA WORDS",
					    "ZERO WORDS", "XBZRLE WORDS",
					    "BYTES",	  "DATA PAGES",
					    "ZERO PAGES", "LISTED AT" };
	bool compressed = any_compressed(info);
	struct cli_table *t =
		cli_table_new(compressed ? "lrrrrrrrrrr" : "lrrrrrrrrr");

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		cli_table_cell(t, "%s", head[i]);
		if (i == COMPRESSED_BEHIND && compressed)
			cli_table_cell(t, "ZLIB WORDS");
	}
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];
		char h[CLI_HUMAN];

		cli_table_cell(t, "%s", b->name);
		cli_table_cell(t, "%s", cli_human(h, b->length));
		cli_table_cell(t, "%" PRIu64, b->pages);
		stream_words(t, info, b->normal_words);
		stream_words(t, info, b->zero_words);
		stream_words(t, info, b->xbzrle_words);
		if (compressed)
			stream_words(t, info, b->compress_words);
		stream_words(t, info, b->wire_bytes);
		stream_pages(t, in, i, MR_PAGE_PRESENT);
		stream_pages(t, in, i, MR_PAGE_ZERO);
		cli_table_cell(t, "0x%" PRIx64, b->entry);
	}
	cli_table_print(t);
}

void show_blocks(const struct mr_image_info *info,
		 const struct mr_inspection *in)
{
	if (!info->n_blocks)
		return;
	(void)puts("\nRAM blocks");
	if (in->use)
		mapped_blocks(info, in);
	else
		stream_blocks(info, in);
}

static void section(struct cli_table *t, const struct mr_section *s)
{
	bool named = s->type == MR_SECTION_START || s->type == MR_SECTION_FULL;

	cli_table_cell(t, "0x%" PRIx64, s->offset);
	if (s->count > 1)
		cli_table_cell(t, "%s x %" PRIu32,
			       mr_section_type_name(s->type), s->count);
	else
		cli_table_cell(t, "%s", mr_section_type_name(s->type));
	cli_table_cell(t, "%" PRIu32, s->id);
	cli_table_cell(t, "%s", s->name);
	if (named) {
		cli_table_cell(t, "%" PRIu32, s->instance);
		cli_table_cell(t, "%" PRIu32, s->version);
	} else {
		cli_table_cell(t, "-");
		cli_table_cell(t, "-");
	}
	cli_table_cell(t, "%" PRIu64, s->header);
	cli_table_cell(t, "%" PRIu64, s->payload);
	cli_table_cell(t, "%" PRIu64, s->length);
}

void show_sections(const struct mr_image_info *info)
{
	struct cli_table *t;
	static const char *const head[] = { "OFFSET", "TYPE",	  "ID",
					    "NAME",   "INSTANCE", "VERSION",
					    "HEADER", "PAYLOAD",  "LENGTH" };

	if (!info->n_sections)
		return;
	(void)puts("\nSections (bytes)");
	t = cli_table_new("rlrlrrrrr");
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		cli_table_cell(t, "%s", head[i]);
	for (size_t i = 0; i < info->n_sections; i++)
		section(t, &info->sections[i]);
	cli_table_print(t);
}
