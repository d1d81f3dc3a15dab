/* answer.c - what a file is, in five lines: the format; whether it is whole;
 * when it was made, and of which VM; the machine; how much memory it has, and
 * takes. What more there is to say is in text.c. */
#include "tools/inspect/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void show_label(const char *text)
{
	(void)printf("  %-14s", text);
}

void show_damage(const struct mr_image_info *info)
{
	char text[4 * sizeof(info->damage.msg)];

	show_label(info->damage.code == MR_UNSUPPORTED &&
				   info->kind != MR_IMAGE_FOREIGN
			   ? "unknown"
			   : "damage");
	(void)fputs(cli_escape(text, sizeof(text), info->damage.msg), stdout);
	if (info->damage.offset != MR_NO_OFFSET)
		(void)printf(" at byte %" PRIu64, info->damage.offset);
	(void)putchar('\n');
}

/* ---- whole or not ---- */

void show_flushes(const struct mr_image_info *info)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < info->n_blocks; i++)
		pages += info->blocks[i].normal_words;
	show_label("multifd");
	(void)printf("%" PRIu64 " flush word%s: %spages travelled on other "
		     "channels, and are not in this file\n",
		     info->flushes, info->flushes == 1 ? "" : "s",
		     pages ? "more " : "");
}

static void put_compression(const struct mr_image_info *info)
{
	const char *how = info->compression	 ? info->compression
			  : info->libvirt.format ? info->libvirt.format
						 : "?";

	show_label("compression");
	if (!strcmp(how, "lz4"))
		(void)puts("lz4: see what is in it by lz4 -dc");
	else
		(void)printf("%s: mrconvert reads it\n", how);
}

/* How far it can be relied on, if nothing is wrong with it so far. */
static void put_seal(const struct mr_image_info *info,
		     const struct show_seal *seal)
{
	char text[4 * sizeof(seal->why.msg)];
	const struct mr_pack *p = &info->pack;

	show_label("whole");
	if (seal->state == MR_SEAL_BROKEN)
		(void)printf("NOT as it was sealed: %s\n",
			     cli_escape(text, sizeof(text), seal->why.msg));
	else if (seal->state == MR_SEAL_PROVEN)
		(void)puts("as it was sealed; its pages were not looked at, "
			   "mrverify does that");
	else if (seal->state == MR_SEAL_UNKNOWN && info->sealed)
		(void)puts("it has its end; its seal was not looked at");
	else if (p->increment)
		(void)printf("with the %" PRIu32 " pack%s below it; their "
			     "frames were not looked at, mrverify does that\n",
			     p->below, p->below == 1 ? "" : "s");
	else if (info->has_pack)
		(void)puts("it has its end; its frames were not looked at, "
			   "mrverify does that");
	else
		(void)puts("it has its end; no seal says whether it is "
			   "unaltered");
}

bool show_is_damage(const struct mr_image_info *info,
		    const struct mr_inspection *in)
{
	return info->damage.code != MR_OK &&
	       (in->verdict == MR_VERDICT_DAMAGED ||
		in->verdict == MR_VERDICT_UNKNOWN ||
		!show_advice(info, in->verdict));
}

void show_advised(const char *advice)
{
	show_label("beware");
	(void)puts(advice);
}

static void put_whole(const struct mr_image_info *info,
		      const struct mr_inspection *in,
		      const struct show_seal *seal)
{
	const char *advice = show_advice(info, in->verdict);

	if (show_is_damage(info, in))
		show_damage(info);
	else if (advice)
		show_advised(advice);
	else if (info->flushes)
		show_flushes(info);
	else if (info->kind == MR_IMAGE_COMPRESSED)
		put_compression(info);
	else
		put_seal(info, seal);
}

/* ---- when, and of which VM ---- */

static void put_time(uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm tm;
	char text[64];

	if (seconds > INT64_MAX || !gmtime_r(&when, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		(void)printf("%" PRIu64 " s after 1970", seconds);
	else
		(void)fputs(text, stdout);
}

static void put_when(const char *path, const struct mr_label *l)
{
	struct stat st;

	if (l->made) {
		put_time(l->made);
		return;
	}
	(void)fputs("not said", stdout);
	if (stat(path, &st) || st.st_mtime <= 0)
		return;
	(void)fputs(" (file of ", stdout);
	put_time((uint64_t)st.st_mtime);
	(void)putchar(')');
}

static void put_vm(const struct mr_image_info *info, const struct mr_label *l)
{
	const uint8_t *id = info->has_uuid ? info->uuid
			    : l->has_uuid  ? l->uuid
					   : NULL;
	char text[4 * sizeof(l->name)], uuid[CLI_UUID];

	if (l->name[0])
		(void)printf(" of VM %s",
			     cli_escape(text, sizeof(text), l->name));
	if (l->name[0] && id)
		(void)printf(" (%s)", cli_uuid(uuid, id));
	else if (id)
		(void)printf(" of VM %s", cli_uuid(uuid, id));
	else if (!l->name[0] && info->has_libvirt)
		(void)fputs(", VM as in libvirt's XML", stdout);
	else if (!l->name[0])
		(void)fputs(", VM not said", stdout);
}

static void put_made(const char *path, const struct mr_image_info *info,
		     const struct mr_inspection *in)
{
	static const struct mr_label none = { 0 };
	const struct mr_label *l = in->has_label ? &in->label : &none;
	char text[4 * sizeof(l->maker)];

	show_label("made");
	put_when(path, l);
	put_vm(info, l);
	if (l->maker[0])
		(void)printf(", by %s",
			     cli_escape(text, sizeof(text), l->maker));
	(void)putchar('\n');
}

/* ---- the machine, and its memory ---- */

static void put_machine(const struct mr_image_info *info)
{
	char text[4 * sizeof(info->machine)];

	show_label("machine");
	if (info->kind == MR_IMAGE_COMPRESSED)
		(void)fputs("not looked into", stdout);
	else
		(void)fputs(info->machine[0] ? cli_escape(text, sizeof(text),
							  info->machine)
					     : "not said",
			    stdout);
	if (info->run_state[0])
		(void)printf(", was %s",
			     cli_escape(text, sizeof(text), info->run_state));
	if (info->has_libvirt && info->libvirt.format)
		(void)printf(", %srunning in libvirt",
			     info->libvirt.was_running ? "" : "not ");
	(void)putchar('\n');
}

static void put_memory(const struct mr_image_info *info,
		       const struct mr_inspection *in)
{
	char human[CLI_HUMAN];

	show_label("memory");
	if (info->n_blocks)
		(void)printf("%s in %zu block%s", cli_human(human, info->ram),
			     info->n_blocks, info->n_blocks == 1 ? "" : "s");
	else if (info->kind == MR_IMAGE_COMPRESSED)
		(void)fputs("not looked into", stdout);
	else
		(void)fputs("none", stdout);
	if (info->n_blocks && in->use)
		(void)printf(", %s of it in the file",
			     cli_human(human, in->present * info->page_size));
	(void)printf("; %s on disk\n", cli_human(human, info->file_allocated));
}

void show_answer(const char *path, const struct mr_image_info *info,
		 const struct mr_inspection *in, const struct show_seal *seal)
{
	show_first(path, info, in);
	put_whole(info, in, seal);
	put_made(path, info, in);
	put_machine(info);
	put_memory(info, in);
}
