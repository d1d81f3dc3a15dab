/* text.c - what mrinspect found, for people: the answer, and all the rest. */
#include "tools/inspect/show.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

const char *show_digest(char buf[SHOW_DIGEST], const uint8_t d[16])
{
	for (size_t i = 0; i < 16; i++)
		(void)sprintf(buf + 2 * i, "%02x", d[i]);
	return buf;
}

static void show_libvirt(const struct mr_image_info *info)
{
	const struct mr_libvirt *v = &info->libvirt;

	if (!v->format)
		return;
	show_label("libvirt");
	(void)printf("version %" PRIu32 ", format %s, VM was %s, "
		     "%" PRIu32 " bytes of XML%s%s\n",
		     v->version, v->format,
		     v->was_running ? "running" : "not running", v->data_length,
		     v->cookie_offset ? " and cookie" : "",
		     v->big_endian ? ", big-endian" : "");
	show_label("stream at");
	(void)printf("0x%" PRIx64 "\n", info->stream_offset);
}

/* What it needs, and how small it became. */
static void show_pack(const struct mr_pack *p)
{
	char human[CLI_HUMAN], packed[CLI_HUMAN];
	char extent[CLI_HUMAN], hex[SHOW_DIGEST];

	if (p->increment) {
		show_label("increment");
		(void)printf("%" PRIu32 " pack%s below it, the next is %s\n",
			     p->below, p->below == 1 ? "" : "s",
			     show_digest(hex, p->base));
	}
	if (!p->whole)
		return;
	show_label("identity");
	(void)puts(show_digest(hex, p->identity));
	show_label("packed");
	(void)printf("%s of stream in %s, %" PRIu64 " frames, extents of %s\n",
		     cli_human(human, p->unpacked),
		     cli_human(packed, p->packed), p->frames,
		     cli_human(extent, p->extent_size));
}

static void show_configuration(const struct mr_image_info *info)
{
	char human[CLI_HUMAN], uuid[CLI_UUID];

	if (info->has_configuration) {
		show_label("capabilities");
		(void)printf("%s%s%s\n",
			     info->ignore_shared ? "x-ignore-shared" : "",
			     info->ignore_shared && info->mapped_ram ? ", "
								     : "",
			     info->mapped_ram	   ? "mapped-ram"
			     : info->ignore_shared ? ""
						   : "none");
	}
	if (info->has_uuid) {
		show_label("uuid");
		(void)puts(cli_uuid(uuid, info->uuid));
	}
	if (info->n_blocks) {
		show_label("page size");
		(void)printf("%s%s\n", cli_human(human, info->page_size),
			     info->page_size_known ? "" : " (assumed)");
	}
}

static void show_file(const struct mr_image_info *info)
{
	char size[CLI_HUMAN], disk[CLI_HUMAN], holes[CLI_HUMAN];
	uint64_t hole = 0;

	if (info->file_size > info->file_allocated)
		hole = info->file_size - info->file_allocated;
	show_label("file");
	(void)printf("%s (%" PRIu64 " bytes), %s on disk, %s of holes\n",
		     cli_human(size, info->file_size), info->file_size,
		     cli_human(disk, info->file_allocated),
		     cli_human(holes, hole));
	if (info->has_vmdesc && info->vmdesc_length > 2) {
		show_label("description");
		(void)printf("%" PRIu64 " bytes at 0x%" PRIx64 "\n",
			     info->vmdesc_length, info->vmdesc_offset);
	} else if (info->ended) {
		show_label("description");
		(void)puts("none: device sections are told apart by their "
			   "footers");
	}
	if (info->trailing) {
		show_label(info->sealed	   ? "seal"
			   : info->primary ? "checkpoints"
					   : "trailing");
		(void)printf("%" PRIu64 " bytes at 0x%" PRIx64 "%s\n",
			     info->trailing, info->stream_end,
			     info->sealed || info->primary ? ", not checked"
							   : "");
	}
}

void show_first(const char *path, const struct mr_image_info *info,
		const struct mr_inspection *in)
{
	char safe[4 * PATH_MAX];

	(void)printf("%s: %s%s\n", cli_escape(safe, sizeof(safe), path),
		     show_kind(info), show_verdict(info, in->verdict));
}

void show_head(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in)
{
	const char *advice = show_advice(info, in->verdict);
	char human[CLI_HUMAN];

	show_first(path, info, in);
	if (info->damage.code != MR_OK)
		show_damage(info);
	if (advice)
		show_advised(advice);
	if (info->skipped) {
		show_label("skipped");
		(void)printf("%s of memory, not looked at\n",
			     cli_human(human, info->skipped));
	}
}

/* Of what is wrong with it the answer says one thing: the others. */
static void show_others(const struct mr_image_info *info,
			const struct mr_inspection *in)
{
	const char *advice = show_advice(info, in->verdict);

	bool is_damage = show_is_damage(info, in);

	if (info->damage.code != MR_OK && !is_damage)
		show_damage(info);
	if (advice && is_damage)
		show_advised(advice);
	if (info->flushes && (advice || is_damage))
		show_flushes(info);
}

void show_text(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in, const struct show_seal *seal)
{
	if (info->kind == MR_IMAGE_FOREIGN) {
		show_head(path, info, in);
		return;
	}
	show_answer(path, info, in, seal);
	if (!cli.verbose)
		return;
	show_others(info, in);
	if (info->has_libvirt)
		show_libvirt(info);
	if (info->has_pack)
		show_pack(&info->pack);
	show_configuration(info);
	show_file(info);
	show_blocks(info, in);
	show_sections(info);
}
