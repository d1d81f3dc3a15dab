/* packets.c - a channel of multifd, as it was captured. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/inspect/show.h"

/* A line, or an item, for each packet. */
static void put_packet(void *arg, const struct mr_packet *p)
{
	char safe[1024];

	(void)arg;
	if (!cli.json) {
		(void)printf("%12" PRIu64 "  #%-8" PRIu64 " round %-4" PRIu64
			     " %-6s %s%s%" PRIu32 " data, %" PRIu32
			     " zero, %" PRIu32 " bytes%s\n",
			     p->offset, p->number, p->round, p->method,
			     cli_escape(safe, sizeof(safe), p->block),
			     p->block[0] ? ": " : "", p->normal, p->zero,
			     p->size, p->sync ? ", sync" : "");
		return;
	}
	cli_json_item();
	cli_json_open('{');
	cli_json_put_number("offset", p->offset);
	cli_json_put_number("number", p->number);
	cli_json_put_number("round", p->round);
	cli_json_put_text("method", p->method);
	cli_json_put_text("block", p->block[0] ? p->block : NULL);
	cli_json_put_number("data_pages", p->normal);
	cli_json_put_number("zero_pages", p->zero);
	cli_json_put_number("bytes", p->size);
	cli_json_put_bool("sync", p->sync);
	cli_json_close();
}

static void put_json(const struct mr_packets_info *info)
{
	char uuid[CLI_UUID];

	cli_json_put_text("kind", "channel");
	cli_json_put_number("file_size", info->file_size);
	cli_json_put_number("channel", info->channel);
	cli_json_put_text("uuid", cli_uuid(uuid, info->uuid));
	cli_json_put_number("page_size", info->page_size);
	cli_json_put_text("method", info->method);
	cli_json_put_number("packets", info->packets);
	cli_json_put_number("barriers", info->syncs);
	cli_json_put_number("data_pages", info->normal);
	cli_json_put_number("zero_pages", info->zero);
	cli_json_put_number("bytes", info->size);
	cli_json_put_open("blocks", '[');
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_packets_block *b = &info->blocks[i];

		cli_json_item();
		cli_json_open('{');
		cli_json_put_text("name", b->name);
		cli_json_put_number("packets", b->packets);
		cli_json_put_number("data_pages", b->normal);
		cli_json_put_number("zero_pages", b->zero);
		cli_json_put_number("bytes", b->size);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_text("damage",
			  info->damage.code ? info->damage.msg : NULL);
	if (info->damage.code)
		cli_json_put_number("damage_offset", info->damage.offset);
}

static void put_blocks(const struct mr_packets_info *info)
{
	struct cli_table *t = cli_table_new("lrrrr");
	char safe[1024], human[CLI_HUMAN];

	static const char *const head[] = { "NAME", "PACKETS", "DATA PAGES",
					    "ZERO PAGES", "BYTES" };

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		cli_table_cell(t, "%s", head[i]);
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_packets_block *b = &info->blocks[i];

		cli_table_cell(t, "%s",
			       cli_escape(safe, sizeof(safe), b->name));
		cli_table_cell(t, "%" PRIu64, b->packets);
		cli_table_cell(t, "%" PRIu64, b->normal);
		cli_table_cell(t, "%" PRIu64, b->zero);
		cli_table_cell(t, "%s", cli_human(human, b->size));
	}
	(void)printf("\nRAM blocks\n");
	cli_table_print(t);
}

static void put_text(const char *path, const struct mr_packets_info *info)
{
	uint64_t pages = info->normal * info->page_size;
	char a[CLI_HUMAN], b[CLI_HUMAN], uuid[CLI_UUID], safe[4096];

	(void)printf("%s: channel %u of a migration (multifd)%s\n",
		     cli_escape(safe, sizeof(safe), path), info->channel,
		     info->damage.code ? ", damaged" : "");
	if (info->damage.code)
		(void)printf("  damage        %s at byte %" PRIu64 "\n",
			     info->damage.msg, info->damage.offset);
	(void)printf("  source        %s\n", cli_uuid(uuid, info->uuid));
	(void)printf("  packets       %" PRIu64 ", %" PRIu64
		     " of them barriers\n",
		     info->packets, info->syncs);
	(void)printf("  pages         %" PRIu64 " data, %" PRIu64
		     " zero, of %" PRIu32 " bytes\n",
		     info->normal, info->zero, info->page_size);
	(void)printf("  data          %s for %s, %s\n",
		     cli_human(a, info->size), cli_human(b, pages),
		     info->method ? info->method : "no pages");
	if (info->n_blocks)
		put_blocks(info);
}

bool show_packets(const char *path, const struct show_request *r, int *status)
{
	struct mr_packets_info info;
	struct mr_error err = MR_ERROR_INIT;
	int rc = mr_packets_read(path, NULL, NULL, cli_watch(), &info, &err);

	if (rc) /* what it is, or why it cannot be read, others say */
		return false;
	*status = info.damage.code ? CLI_NO : CLI_OK;
	if (cli.json) {
		cli_json_put_text("path", path);
		put_json(&info);
	} else {
		put_text(path, &info);
	}
	mr_packets_release(&info);
	if (!r->packets)
		return true;
	if (cli.json)
		cli_json_put_open("packet_list", '[');
	else
		(void)putchar('\n');
	if (mr_packets_read(path, put_packet, NULL, cli_watch(), &info, &err))
		*status = cli_fail(&err, CLI_PATHS(path));
	mr_packets_release(&info);
	if (cli.json)
		cli_json_close();
	return true;
}
