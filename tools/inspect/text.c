/* text.c - what mrinspect found, for people. */
#include "tools/inspect/show.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *show_digest(char buf[SHOW_DIGEST], const uint8_t d[16])
{
	for (size_t i = 0; i < 16; i++)
		(void)sprintf(buf + 2 * i, "%02x", d[i]);
	return buf;
}

/* "  label         " before a fact. */
static void label(const char *text)
{
	(void)printf("  %-14s", text);
}

static void show_libvirt(const struct mr_image_info *info)
{
	const struct mr_libvirt *v = &info->libvirt;

	if (!v->format)
		return;
	label("libvirt");
	(void)printf("version %" PRIu32 ", format %s, VM was %s, "
		     "%" PRIu32 " bytes of XML%s%s\n",
		     v->version, v->format,
		     v->was_running ? "running" : "not running", v->data_length,
		     v->cookie_offset ? " and cookie" : "",
		     v->big_endian ? ", big-endian" : "");
	label("stream at");
	(void)printf("0x%" PRIx64 "\n", info->stream_offset);
}

static void show_when(uint64_t made)
{
	time_t when = (time_t)made;
	struct tm tm;
	char text[64];

	if (made > INT64_MAX || !gmtime_r(&when, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		(void)printf("%" PRIu64 " s after 1970", made);
	else
		(void)fputs(text, stdout);
}

/* When it was made, of which VM, by whom. */
static void show_label(const struct mr_label *l)
{
	char text[4 * 256], uuid[CLI_UUID];

	label("made");
	if (l->made)
		show_when(l->made);
	else
		(void)fputs("at a time that it does not say", stdout);
	if (l->name[0])
		(void)printf(" of VM %s",
			     cli_escape(text, sizeof(text), l->name));
	if (l->has_uuid)
		(void)printf(" (%s)", cli_uuid(uuid, l->uuid));
	if (l->maker[0])
		(void)printf(", by %s",
			     cli_escape(text, sizeof(text), l->maker));
	(void)putchar('\n');
}

/* What it needs, and how small it became. */
static void show_pack(const struct mr_pack *p)
{
	char human[CLI_HUMAN], packed[CLI_HUMAN];
	char extent[CLI_HUMAN], hex[SHOW_DIGEST];

	if (p->increment) {
		label("increment");
		(void)printf("%" PRIu32 " pack%s below it, the next is %s\n",
			     p->below, p->below == 1 ? "" : "s",
			     show_digest(hex, p->base));
	}
	if (!p->whole)
		return;
	label("identity");
	(void)puts(show_digest(hex, p->identity));
	label("packed");
	(void)printf("%s of stream in %s, %" PRIu64 " frames, extents of %s\n",
		     cli_human(human, p->unpacked),
		     cli_human(packed, p->packed), p->frames,
		     cli_human(extent, p->extent_size));
}

static void show_machine(const struct mr_image_info *info)
{
	char human[CLI_HUMAN], text[4 * 256], uuid[CLI_UUID];

	if (info->has_configuration) {
		label("machine");
		(void)puts(cli_escape(text, sizeof(text), info->machine));
		label("capabilities");
		(void)printf("%s%s%s\n",
			     info->ignore_shared ? "x-ignore-shared" : "",
			     info->ignore_shared && info->mapped_ram ? ", "
								     : "",
			     info->mapped_ram	   ? "mapped-ram"
			     : info->ignore_shared ? ""
						   : "none");
	}
	if (info->has_uuid) {
		label("uuid");
		(void)puts(cli_uuid(uuid, info->uuid));
	}
	if (info->n_blocks) {
		label("page size");
		(void)printf("%s%s\n", cli_human(human, info->page_size),
			     info->page_size_known ? "" : " (assumed)");
	}
	if (info->run_state[0]) {
		label("run state");
		(void)puts(cli_escape(text, sizeof(text), info->run_state));
	}
}

static void show_memory(const struct mr_image_info *info,
			const struct mr_inspection *in)
{
	char length[CLI_HUMAN], data[CLI_HUMAN];
	uint64_t pages = 0;

	if (!info->n_blocks)
		return;
	label("memory");
	(void)printf("%s in %zu block%s", cli_human(length, info->ram),
		     info->n_blocks, info->n_blocks == 1 ? "" : "s");
	if (in->use)
		(void)printf(", %s of it in the file (%" PRIu64 " pages)",
			     cli_human(data, in->present * info->page_size),
			     in->present);
	(void)putchar('\n');
	if (!info->flushes)
		return;
	for (size_t i = 0; i < info->n_blocks; i++)
		pages += info->blocks[i].normal_words;
	label("multifd");
	(void)printf("%" PRIu64 " flush word%s: %spages travelled on other "
		     "channels, and are not in this file\n",
		     info->flushes, info->flushes == 1 ? "" : "s",
		     pages ? "more " : "");
}

static void show_file(const struct mr_image_info *info)
{
	char size[CLI_HUMAN], disk[CLI_HUMAN], holes[CLI_HUMAN];
	uint64_t hole = 0;

	if (info->file_size > info->file_allocated)
		hole = info->file_size - info->file_allocated;
	label("file");
	(void)printf("%s (%" PRIu64 " bytes), %s on disk, %s of holes\n",
		     cli_human(size, info->file_size), info->file_size,
		     cli_human(disk, info->file_allocated),
		     cli_human(holes, hole));
	if (info->has_vmdesc && info->vmdesc_length > 2) {
		label("description");
		(void)printf("%" PRIu64 " bytes at 0x%" PRIx64 "\n",
			     info->vmdesc_length, info->vmdesc_offset);
	} else if (info->ended) {
		label("description");
		(void)puts("none: device sections are told apart by their "
			   "footers");
	}
	if (info->trailing) {
		label(info->sealed ? "seal" : "trailing");
		(void)printf("%" PRIu64 " bytes at 0x%" PRIx64 "%s\n",
			     info->trailing, info->stream_end,
			     info->sealed ? ", not checked" : "");
	}
}

static void show_damage(const struct mr_image_info *info)
{
	char text[4 * sizeof(info->damage.msg)];

	if (info->damage.code == MR_OK)
		return;
	label(info->damage.code == MR_UNSUPPORTED &&
			      info->kind != MR_IMAGE_FOREIGN
		      ? "unknown"
		      : "damage");
	(void)fputs(cli_escape(text, sizeof(text), info->damage.msg), stdout);
	if (info->damage.offset != MR_NO_OFFSET)
		(void)printf(" at byte %" PRIu64, info->damage.offset);
	(void)putchar('\n');
}

void show_head(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in)
{
	const char *more = show_advice(info, in->verdict);
	char safe[4 * PATH_MAX], human[CLI_HUMAN];

	(void)printf("%s: %s%s\n", cli_escape(safe, sizeof(safe), path),
		     show_kind(info), show_verdict(info, in->verdict));
	show_damage(info);
	if (more) {
		label("beware");
		(void)puts(more);
	}
	if (info->skipped) {
		label("skipped");
		(void)printf("%s of memory, not looked at\n",
			     cli_human(human, info->skipped));
	}
}

void show_text(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in)
{
	show_head(path, info, in);
	if (info->kind == MR_IMAGE_FOREIGN)
		return;
	if (info->compression) {
		label("compression");
		if (!strcmp(info->compression, "lz4"))
			(void)printf("lz4: see what is in it by lz4 -dc\n");
		else
			(void)printf("%s: mrconvert reads it\n",
				     info->compression);
	}
	if (info->has_libvirt)
		show_libvirt(info);
	if (in->has_label)
		show_label(&in->label);
	if (info->has_pack)
		show_pack(&info->pack);
	show_machine(info);
	show_memory(info, in);
	show_file(info);
	show_blocks(info, in);
	if (cli.verbose)
		show_sections(info);
}
