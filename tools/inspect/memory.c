/* memory.c - bytes of memory, and where some bytes are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/hex.h"
#include "tools/inspect/show.h"

#define PIECE ((size_t)64 << 10)

/* ---- dumps ---- */

/* A stretch of memory, and how it is called. */
struct dump {
	const struct mr_ram_block *block;
	uint64_t offset, length; /* in the block, bytes */
	uint64_t shown; /* what its first byte is numbered */
	bool is_gpa;
	bool is_virtual; /* shown is a virtual address of that CPU */
	uint32_t cpu;
	uint64_t gpa;
	char how[sizeof(((struct mr_place *)0)->how)];
};

static int range(const char *text, uint64_t *start, uint64_t *length)
{
	if (mr_parse_range(text, start, length))
		return cli_usage("%s is not a number, or two with a +", text);
	return CLI_OK;
}

/* Without a length: the page. */
static void whole_page(const struct show *s, struct dump *d)
{
	uint32_t page = mr_ram_info(s->ram)->page_size;
	uint64_t skip = d->offset % page;

	d->offset -= skip;
	d->shown -= skip;
	d->length = page;
}

static int put_text(const struct show *s, const struct dump *d)
{
	const char *lacks = s->img ? "not in the image" : "not touched yet";
	uint8_t *buf = malloc(PIECE);
	struct mr_error err = MR_ERROR_INIT;
	size_t present, all = 0;
	char safe[1024];
	struct hex h;

	if (!buf)
		return cli_no_memory();
	/* Nothing is shown of what cannot be read at all. */
	if (mr_ram_read(s->ram, d->block, d->offset, buf, 1, &present, &err)) {
		free(buf);
		return cli_fail(&err, CLI_PATHS(s->path));
	}
	(void)printf("\n%s:0x%" PRIx64,
		     cli_escape(safe, sizeof(safe), d->block->name), d->offset);
	if (d->is_virtual)
		(void)printf(", virtual 0x%" PRIx64 " of CPU %" PRIu32,
			     d->shown, d->cpu);
	if (d->is_gpa)
		(void)printf(", guest-physical 0x%" PRIx64 "\n  (%s)", d->gpa,
			     d->how);
	(void)putchar('\n');
	hex_begin(&h, "  ", d->shown);
	for (uint64_t at = 0; at < d->length;) {
		size_t n = d->length - at < PIECE ? (size_t)(d->length - at)
						  : PIECE;

		if (mr_ram_read(s->ram, d->block, d->offset + at, buf, n,
				&present, &err)) {
			free(buf);
			return cli_fail(&err, CLI_PATHS(s->path));
		}
		hex_put(&h, buf, n);
		all += present;
		at += n;
	}
	hex_end(&h);
	if (!all)
		(void)printf("  (%s: zeros)\n", lacks);
	else if (all < d->length)
		(void)printf("  (%" PRIu64 " of the bytes are %s: zeros)\n",
			     d->length - all, lacks);
	free(buf);
	return CLI_OK;
}

static int put_json(const struct show *s, const struct dump *d)
{
	struct mr_error err = MR_ERROR_INIT;
	uint8_t *buf = malloc((size_t)d->length);
	char address[24];
	size_t present;

	if (!buf)
		return cli_no_memory();
	if (mr_ram_read(s->ram, d->block, d->offset, buf, (size_t)d->length,
			&present, &err)) {
		free(buf);
		return cli_fail(&err, CLI_PATHS(s->path));
	}
	cli_json_item();
	cli_json_open('{');
	cli_json_put_text("block", d->block->name);
	cli_json_put_number("offset", d->offset);
	cli_json_put_number("length", d->length);
	cli_json_put_number("present", present);
	cli_json_key("bytes");
	cli_json_hex("", buf, (size_t)d->length);
	if (d->is_virtual) {
		(void)snprintf(address, sizeof(address), "0x%" PRIx64,
			       d->shown);
		cli_json_put_text("virtual", address);
		cli_json_put_number("vcpu", d->cpu);
	}
	if (d->is_gpa) {
		cli_json_put_number("gpa", d->gpa);
		cli_json_put_text("how", d->how);
	}
	cli_json_close();
	free(buf);
	return CLI_OK;
}

static int put_dump(const struct show *s, struct dump *d)
{
	if (d->offset >= d->block->length ||
	    d->length > d->block->length - d->offset)
		return cli_trouble(s->path, MR_USAGE,
				   "block %s has only 0x%" PRIx64 " bytes",
				   d->block->name, d->block->length);
	return cli.json ? put_json(s, d) : put_text(s, d);
}

/* "BLOCK:OFFSET+LENGTH"; block names have colons too. */
static int dump_page(const struct show *s, const char *text)
{
	const char *colon = strrchr(text, ':');
	char *name = colon ? strndup(text, (size_t)(colon - text)) : NULL;
	struct dump d = { .block = name ? mr_ram_find(s->ram, name) : NULL };
	int status;

	free(name);
	if (!colon)
		return cli_usage("%s is not BLOCK:OFFSET", text);
	if (!d.block)
		return cli_trouble(s->path, MR_USAGE,
				   "there is no RAM block for %s", text);
	status = range(colon + 1, &d.offset, &d.length);
	if (status)
		return status;
	d.shown = d.offset;
	if (!d.length)
		whole_page(s, &d);
	return put_dump(s, &d);
}

/* How addresses become places. */
struct lookup {
	const struct show *s;
	struct mr_layout *layout;
	bool is_virtual;
	struct mr_paging paging;
	uint32_t cpu;
};

static int begin_lookup(struct lookup *l)
{
	struct mr_error err = MR_ERROR_INIT;
	int status = CLI_OK;

	if (l->is_virtual)
		status = show_paging(l->s, &l->paging, &l->cpu);
	if (status)
		return status;
	l->layout = mr_ram_layout(l->s->ram, &err);
	return l->layout ? CLI_OK : cli_fail(&err, CLI_PATHS(l->s->path));
}

/* The piece that begins at an address; a page at most of virtual ones. */
static int look_up(const struct lookup *l, uint64_t address, struct dump *d,
		   struct mr_error *err)
{
	struct mr_virtual v = { .gpa = address };
	int rc = l->is_virtual
			 ? mr_ram_virtual(l->s->ram, &l->paging, l->layout,
					  address, &v, err)
			 : mr_layout_find(l->layout, address, &v.place, err);

	if (rc)
		return -1;
	*d = (struct dump){
		.block = mr_ram_find(l->s->ram, v.place.block->name),
		.offset = v.place.offset,
		.length = v.place.length,
		.shown = address,
		.is_gpa = true,
		.is_virtual = l->is_virtual,
		.cpu = l->cpu,
		.gpa = v.gpa,
	};
	memcpy(d->how, v.place.how, sizeof(d->how));
	return 0;
}

/* Pages that follow each other in memory, too, are one piece, of at most left
 * bytes. */
static void join_pages(const struct lookup *l, uint64_t left, struct dump *d)
{
	struct mr_error end = MR_ERROR_INIT;
	struct dump more;

	while (d->length < left && !atomic_load(&cli_cancel) &&
	       !look_up(l, d->shown + d->length, &more, &end) &&
	       more.block == d->block && more.offset == d->offset + d->length &&
	       more.gpa == d->gpa + d->length && !strcmp(more.how, d->how))
		d->length += more.length;
	if (d->length > left)
		d->length = left;
}

/* "ADDRESS+LENGTH"; that may be in pieces. */
static int dump_address(const struct show *s, const char *text, bool is_virtual)
{
	struct lookup l = { .s = s, .is_virtual = is_virtual };
	uint64_t at = 0, left = 0;
	int status = range(text, &at, &left);

	if (!left && !status) {
		left = mr_ram_info(s->ram)->page_size;
		at -= at % left;
	}
	if (!status && left - 1 > UINT64_MAX - at)
		status = cli_usage("%s goes on behind the last address", text);
	if (!status)
		status = begin_lookup(&l);
	while (left && !status) {
		struct mr_error err = MR_ERROR_INIT;
		struct dump d;

		if (look_up(&l, at, &d, &err)) {
			status = cli_fail(&err, CLI_PATHS(s->path));
			break;
		}
		join_pages(&l, left, &d);
		status = put_dump(s, &d);
		at += d.length;
		left -= d.length;
	}
	mr_layout_free(l.layout);
	return status;
}

int show_dumps(const struct show *s)
{
	const struct show_request *r = s->request;
	int status = CLI_OK;

	if (cli.json)
		cli_json_put_open("memory", '[');
	for (size_t i = 0; r->pages && r->pages[i] && !status; i++)
		status = dump_page(s, r->pages[i]);
	for (size_t i = 0; r->gpas && r->gpas[i] && !status; i++)
		status = dump_address(s, r->gpas[i], false);
	for (size_t i = 0; r->virts && r->virts[i] && !status; i++)
		status = dump_address(s, r->virts[i], true);
	if (cli.json)
		cli_json_close();
	return status;
}
