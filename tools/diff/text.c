/* text.c - what mrdiff found, for people. */
#include "tools/diff/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char side_name[MR_SIDES] = { 'A', 'B' };

uint64_t diff_differing(const uint64_t pages[MR_DIFF_CLASSES])
{
	return pages[MR_DIFF_CHANGED] + pages[MR_DIFF_ONLY_A] +
	       pages[MR_DIFF_ONLY_B];
}

const char *diff_note(char buf[DIFF_NOTE], const struct mr_diff_block *b)
{
	bool a = b->of[MR_A].listed, in_a = b->of[MR_A].in_file;
	bool c = b->of[MR_B].listed, in_c = b->of[MR_B].in_file;
	char x[CLI_HUMAN], y[CLI_HUMAN];

	buf[0] = '\0';
	if (!a || !c)
		(void)snprintf(buf, DIFF_NOTE, "only in %c%s", a ? 'A' : 'B',
			       in_a || in_c ? "" : ", memory not in this file");
	else if (!in_a || !in_c)
		(void)snprintf(buf, DIFF_NOTE, "memory not in %s",
			       in_a   ? "file B"
			       : in_c ? "file A"
				      : "these files");
	else if (b->of[MR_A].length != b->of[MR_B].length)
		(void)snprintf(buf, DIFF_NOTE, "lengths differ: A %s, B %s",
			       cli_human(x, b->of[MR_A].length),
			       cli_human(y, b->of[MR_B].length));
	return buf;
}

static void show_sides(const struct mr_diff_info *info,
		       const struct diff_show *show)
{
	char text[4 * 256];

	for (int i = 0; i < MR_SIDES; i++)
		(void)printf(
			"%c  %s%s%s%s\n", side_name[i], show->path[i],
			info->of[i].machine[0] ? ", " : "",
			cli_escape(text, sizeof(text), info->of[i].machine),
			info->of[i].is_vm ? ", a paused VM" : "");
}

static void show_blocks(const struct mr_diff_info *info)
{
	static const char *const head[] = { "NAME",	 "COMPARED",
					    "ZERO",	 "EQUAL",
					    "CHANGED",	 "ONLY IN A",
					    "ONLY IN B", "" };
	struct cli_table *t = cli_table_new("lrrrrrrl");
	char h[CLI_HUMAN], note[DIFF_NOTE];

	(void)printf("\nRAM blocks (pages of %s%s)\n",
		     cli_human(h, info->page_size),
		     info->page_size_known ? "" : ", assumed");
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		cli_table_cell(t, "%s", head[i]);
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_diff_block *b = &info->blocks[i];

		cli_table_cell(t, "%s", b->name);
		cli_table_cell(t, "%s",
			       b->compared ? cli_human(h, b->compared) : "-");
		for (int c = 0; c < MR_DIFF_CLASSES; c++)
			if (b->compared)
				cli_table_cell(t, "%" PRIu64, b->pages[c]);
			else
				cli_table_cell(t, "-");
		cli_table_cell(t, "%s", diff_note(note, b));
	}
	cli_table_print(t);
}

static size_t differing_sections(const struct mr_diff_info *info)
{
	size_t n = 0;

	for (size_t i = 0; i < info->n_sections; i++)
		n += !info->sections[i].same;
	return n;
}

static void show_memory(const struct mr_diff_info *info)
{
	uint64_t differ = diff_differing(info->pages), all = differ;
	char h[CLI_HUMAN];
	size_t odd = 0;

	all += info->pages[MR_DIFF_ZERO] + info->pages[MR_DIFF_EQUAL];
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_diff_block *b = &info->blocks[i];

		odd += !b->same && !diff_differing(b->pages);
	}
	(void)printf("\nmemory   ");
	if (!differ)
		(void)printf("no page of %" PRIu64 " differs", all);
	else
		(void)printf("%" PRIu64 " of %" PRIu64 " pages differ (%s)",
			     differ, all,
			     cli_human(h, differ * info->page_size));
	if (odd)
		(void)printf(", %zu block%s not in both as a whole", odd,
			     odd == 1 ? " is" : "s are");
	(void)putchar('\n');
}

static void show_devices(const struct mr_diff_info *info)
{
	size_t n = differing_sections(info);

	if (!info->has_sections)
		return;
	(void)printf("devices  ");
	if (!n) {
		(void)printf("no section of %zu differs\n", info->n_sections);
		return;
	}
	(void)printf("%zu of %zu sections differ:", n, info->n_sections);
	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_diff_section *s = &info->sections[i];
		char text[4 * 256];

		if (!s->same)
			(void)printf(" %s/%" PRIu32,
				     cli_escape(text, sizeof(text), s->name),
				     s->instance);
	}
	(void)putchar('\n');
}

void diff_text(const struct mr_diff *d, const struct diff_show *show)
{
	const struct mr_diff_info *info = mr_diff_info(d);

	show_sides(info, show);
	show_blocks(info);
	show_memory(info);
	show_devices(info);
	if (info->has_sections &&
	    strcmp(info->of[MR_A].machine, info->of[MR_B].machine) != 0)
		(void)puts("machine  not of one type");
}

/* "NAME:OFFSET+LENGTH", as --only takes it. */
static void put_range(const char *name, uint64_t offset, uint64_t length)
{
	char text[4 * 256];

	(void)printf("%s:0x%" PRIx64 "+0x%" PRIx64,
		     cli_escape(text, sizeof(text), name), offset, length);
}

void diff_list_pages(const struct mr_diff *d)
{
	const struct mr_diff_info *info = mr_diff_info(d);

	if (!cli.quiet)
		(void)puts("\nPages that differ");
	for (size_t i = 0; i < info->n_blocks; i++) {
		uint64_t first = 0, n;
		enum mr_diff_class c;

		for (; (n = mr_diff_next(d, i, &first, &c)) > 0; first += n) {
			if (!cli.quiet)
				(void)fputs("  ", stdout);
			put_range(info->blocks[i].name, first * info->page_size,
				  n * info->page_size);
			(void)printf(" %s\n", mr_diff_class_name(c));
		}
	}
}

enum { LINE = 16 };

static void put_line(char side, const uint8_t *p, const uint8_t *but)
{
	(void)printf(" %c ", side);
	for (size_t i = 0; i < LINE; i++) {
		if (i == LINE / 2)
			(void)putchar(' ');
		if (but && p[i] == but[i])
			(void)fputs(" ..", stdout);
		else
			(void)printf(" %02x", p[i]);
	}
	(void)fputs("  |", stdout);
	for (size_t i = 0; i < LINE; i++)
		(void)putchar(p[i] >= ' ' && p[i] < 0x7f ? p[i] : '.');
	(void)puts("|");
}

/* Lines of 16 bytes that differ: A's, and below it what B has instead. */
static void put_page(const uint8_t *a, const uint8_t *b, size_t size,
		     uint64_t offset)
{
	for (size_t at = 0; at < size; at += LINE) {
		if (!memcmp(a + at, b + at, LINE))
			continue;
		(void)printf("  %012" PRIx64, offset + at);
		put_line('A', a + at, NULL);
		(void)printf("  %12s", "");
		put_line('B', b + at, a + at);
	}
}

static int hex_page(const struct mr_diff *d, size_t block, uint64_t page,
		    enum mr_diff_class c, uint8_t *buf, struct mr_error *err)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	size_t size = info->page_size;

	for (int i = 0; i < MR_SIDES; i++)
		if (mr_diff_page(d, block, page, (enum mr_side)i,
				 buf + (size_t)i * size, err))
			return -1;
	put_range(info->blocks[block].name, page * size, size);
	(void)printf(" %s\n", mr_diff_class_name(c));
	put_page(buf, buf + size, size, page * size);
	return 0;
}

int diff_hex(const struct mr_diff *d, struct mr_error *err)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	uint8_t *buf = malloc(MR_SIDES * (size_t)info->page_size);
	int rc = 0;

	if (!buf) {
		err->code = MR_NOMEM;
		(void)snprintf(err->msg, sizeof(err->msg), "out of memory");
		return -1;
	}
	if (!cli.quiet)
		(void)putchar('\n');
	for (size_t i = 0; !rc && i < info->n_blocks; i++) {
		uint64_t first = 0, n;
		enum mr_diff_class c;

		for (; !rc && (n = mr_diff_next(d, i, &first, &c)) > 0;
		     first += n)
			for (uint64_t k = 0; !rc && k < n; k++) {
				if (atomic_load(&cli_cancel) || ferror(stdout))
					goto out;
				rc = hex_page(d, i, first + k, c, buf, err);
			}
	}
out:
	free(buf);
	return rc;
}
