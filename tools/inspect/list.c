/* list.c - files, a line each. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/inspect/show.h"

/* What is told of a file. */
struct line {
	const char *path;
	const struct mr_image_info *info;
	enum mr_verdict verdict;
	const struct mr_label *label; /* NULL: it has none */
	uint64_t modified; /* seconds since 1970 */
};

static const char *kind_of(const struct mr_image_info *info)
{
	if (info->has_pack)
		return info->pack.increment ? "increment" : "pack";
	return info->has_libvirt ? "libvirt" : mr_image_kind_name(info->kind);
}

static const char *state_of(const struct line *l)
{
	if (l->verdict != MR_VERDICT_SOUND)
		return mr_verdict_name(l->verdict);
	if (l->info->pack.alone[0])
		return "alone";
	return l->info->kind == MR_IMAGE_COMPRESSED ? "?" : "whole";
}

/* The UUID that the stream has, which QEMU compares, or that the label has. */
static const uint8_t *uuid_of(const struct line *l)
{
	return l->info->has_uuid		? l->info->uuid
	       : l->label && l->label->has_uuid ? l->label->uuid
						: NULL;
}

static const char *name_of(const struct line *l)
{
	return l->label && l->label->name[0] ? l->label->name : NULL;
}

/* 0: it does not say. */
static uint64_t made(const struct line *l)
{
	return l->label ? l->label->made : 0;
}

static void put_vm(struct cli_table *t, const struct line *l)
{
	const uint8_t *id = uuid_of(l);
	char name[4 * 256], uuid[CLI_UUID];

	if (name_of(l))
		cli_table_cell(t, "%s",
			       cli_escape(name, sizeof(name), name_of(l)));
	else
		cli_table_cell(t, "%s", id ? cli_uuid(uuid, id) : "-");
}

static void put_when(struct cli_table *t, uint64_t when, const char *mark)
{
	const time_t at = (time_t)when;
	struct tm tm;
	char text[64];

	if (when > INT64_MAX || !gmtime_r(&at, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		cli_table_cell(t, "%" PRIu64 "%s", when, mark);
	else
		cli_table_cell(t, "%s%s", text, mark);
}

static void put_row(struct cli_table *t, const struct line *l)
{
	const struct mr_image_info *info = l->info;
	char safe[4 * PATH_MAX], machine[4 * 256];
	char ram[CLI_HUMAN], disk[CLI_HUMAN];

	cli_table_cell(t, "%s", cli_escape(safe, sizeof(safe), l->path));
	cli_table_cell(t, "%s", kind_of(info));
	cli_table_cell(t, "%s", state_of(l));
	put_vm(t, l);
	cli_table_cell(t, "%s",
		       info->machine[0] ? cli_escape(machine, sizeof(machine),
						     info->machine)
					: "-");
	if (made(l))
		put_when(t, made(l), "");
	else
		put_when(t, l->modified, "*");
	cli_table_cell(t, "%s", info->ram ? cli_human(ram, info->ram) : "-");
	cli_table_cell(t, "%s", cli_human(disk, info->file_allocated));
}

static void put_json(const struct line *l)
{
	const struct mr_image_info *info = l->info;
	const uint8_t *id = uuid_of(l);
	char uuid[CLI_UUID];

	cli_json_put_text("path", l->path);
	cli_json_put_text("kind", kind_of(info));
	cli_json_put_text("verdict", mr_verdict_name(l->verdict));
	cli_json_put_bool("alone", info->pack.alone[0]);
	cli_json_put_text("name", name_of(l));
	cli_json_put_text("uuid", id ? cli_uuid(uuid, id) : NULL);
	cli_json_put_text("machine", info->machine[0] ? info->machine : NULL);
	if (made(l))
		cli_json_put_number("made", made(l));
	else
		cli_json_put_null("made");
	cli_json_put_number("modified", l->modified);
	cli_json_put_number("ram", info->ram);
	cli_json_put_number("file_size", info->file_size);
	cli_json_put_number("file_allocated", info->file_allocated);
}

static int tell(struct cli_table *t, struct line *l, struct mr_image *img)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in = { 0 };
	bool alone;
	int status;

	if (mr_inspect(img, cli_watch(), &in, &err)) {
		status = show_failure(l->path, &err);
	} else {
		l->info = mr_image_info(img);
		l->verdict = in.verdict;
		l->label = in.has_label ? &in.label : NULL;
		alone = l->info->pack.alone[0];
		status = in.verdict == MR_VERDICT_SOUND && !alone ? CLI_OK
			 : in.verdict == MR_VERDICT_UNKNOWN	  ? CLI_TROUBLE
								  : CLI_NO;
		if (cli.json)
			put_json(l);
		else
			put_row(t, l);
		l->label = NULL;
	}
	mr_inspection_release(&in);
	return status;
}

static int list_one(const char *path, struct cli_table *t)
{
	struct mr_error err = MR_ERROR_INIT;
	struct line line = { .path = path };
	struct mr_image *img;
	struct stat st;
	int status;

	if (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		err.code = MR_UNSUPPORTED;
		(void)snprintf(err.msg, sizeof(err.msg),
			       "no file: --list is of files alone");
		return show_failure(path, &err);
	}
	/* No page is looked at, and none counted. */
	img = mr_image_open_devices(path, cli_watch(), &err);
	if (!img)
		return show_failure(path, &err);
	if (!stat(path, &st) && st.st_mtime > 0)
		line.modified = (uint64_t)st.st_mtime;
	status = tell(t, &line, img);
	mr_image_free(img);
	return status;
}

int show_list(const char *const *paths)
{
	static const char *const titles[] = { "FILE",	"KIND",	   "STATE",
					      "VM",	"MACHINE", "MADE (UTC)",
					      "MEMORY", "ON DISK" };
	struct cli_table *t = cli.json ? NULL : cli_table_new("llllllrr");
	int worst = CLI_OK;

	for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		cli_table_cell(t, "%s", titles[i]);
	if (cli.json) {
		cli_json_begin();
		cli_json_put_open("files", '[');
	}
	for (; *paths && !atomic_load(&cli_cancel); paths++) {
		if (cli.json) {
			cli_json_item();
			cli_json_open('{');
		}
		worst = cli_worse(worst, list_one(*paths, t));
		cli_tell_end();
		if (cli.json) {
			cli_json_put_failure();
			cli_json_close();
		}
	}
	if (cli.json)
		return cli_worse(worst, cli_json_end());
	cli_table_print(t);
	return worst;
}
