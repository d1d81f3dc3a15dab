/*
 * pack.c - a save into a pack, or a stream, or a pipe.
 *
 * To compress takes longer than a guest should stand still, and a reader of a
 * pipe as long as it likes. So the image is saved to a file without a name, at
 * full speed, and what is wanted is made of that while the guest runs.
 */
#include "tools/save/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/cli.h"

/* mr_error.who of mr_convert and of mr_save. */
enum { CONVERT_IN = 1, SAVE_IMAGE = 2 };

static int take(void *arg, const char *path, struct mr_error *err)
{
	struct save_pack *p = arg;

	p->tried = true;
	if (p->convert.form == MR_CONVERT_PACK && !p->convert.name &&
	    p->vm->name[0])
		p->convert.name = p->vm->name;
	if (p->vm->has_uuid)
		p->convert.uuid = p->vm->uuid;
	if (!mr_convert(path, p->out, &p->convert, &p->report, err))
		return 0;
	/* The image that is read has no name: it is what was to be made. */
	if (err->who == CONVERT_IN)
		err->who = SAVE_IMAGE;
	return -1;
}

/* Memory, for a pipe: as long as it takes, nothing is on a disk. */
static const char *spool_of(const struct save_pack *p, char folder[PATH_MAX])
{
	const char *slash = strrchr(p->out, '/');

	if (p->spool)
		return p->spool;
	if (p->convert.fd >= 0)
		return "/dev/shm";
	(void)snprintf(folder, PATH_MAX, "%.*s",
		       slash ? (int)(slash - p->out + 1) : 1,
		       slash ? p->out : ".");
	return folder;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), end = strlen(ending);

	return n > end && !strcmp(name + n - end, ending);
}

static int check_form(struct save_pack *p)
{
	if (!p->format)
		p->convert.form = ends_in(p->out, ".mrp") ? MR_CONVERT_PACK
				  : ends_in(p->out, ".stream")
					  ? MR_CONVERT_STREAM
					  : MR_CONVERT_MAPPED;
	for (int i = MR_CONVERT_MAPPED; p->format && i <= MR_CONVERT_PACK; i++)
		if (!strcmp(p->format,
			    mr_convert_form_name((enum mr_convert_form)i)))
			p->convert.form = (enum mr_convert_form)i;
	if (p->convert.form == MR_CONVERT_BY_NAME)
		return cli_usage("--format takes mapped, stream or pack");
	p->wanted = p->convert.form != MR_CONVERT_MAPPED;
	return CLI_OK;
}

static int check_stdout(struct save_pack *p, bool check_only)
{
	if (strcmp(p->out, "-") != 0)
		return CLI_OK;
	if (!p->wanted)
		return cli_usage("a mapped-ram image needs a file: for stdout "
				 "--format=pack or stream");
	p->convert.fd = STDOUT_FILENO;
	if (check_only)
		return CLI_OK;
	if (cli.json)
		return cli_usage("--json and the save would both go to stdout");
	if (isatty(STDOUT_FILENO))
		return cli_usage("stdout is a terminal: it would show a VM's "
				 "memory");
	cli.quiet = true;
	return CLI_OK;
}

static int check_numbers(struct save_pack *p, const char *base)
{
	bool packs = p->convert.form == MR_CONVERT_PACK;

	if (!packs && (p->level != CLI_NOT_GIVEN || p->name ||
		       p->full_every != CLI_NOT_GIVEN))
		return cli_usage("--level, --name and --full-every are for "
				 "packs: --format=pack");
	if (p->spool && !*p->spool)
		return cli_usage("--spool takes a folder");
	if (!p->wanted && p->spool)
		return cli_usage("--spool is for --format=pack or stream");
	if (p->level != CLI_NOT_GIVEN &&
	    (p->level < 1 || p->level > MR_CONVERT_LEVEL_MAX))
		return cli_usage("--level takes 1 to %d", MR_CONVERT_LEVEL_MAX);
	if (p->full_every != CLI_NOT_GIVEN &&
	    (!base || p->full_every < 1 || p->full_every > 65))
		return cli_usage("--full-every takes 1 to 65 packs, with "
				 "--base");
	if (base && p->wanted && !packs)
		return cli_usage("a stream has no base");
	return CLI_OK;
}

/* Before the guest stands still for it. */
static int check(const struct save_pack *p)
{
	struct mr_error err = MR_ERROR_INIT;

	return mr_convert_check(p->out, &p->convert, &err)
		       ? cli_fail(&err,
				  CLI_PATHS(p->out, p->out, p->convert.base))
		       : CLI_OK;
}

int save_pack_begin(struct save_pack *p, const char *out, const char *base,
		    struct mr_save_options *save)
{
	char folder[PATH_MAX];

	p->out = out;
	p->convert = (struct mr_convert_options)MR_CONVERT_OPTIONS_INIT;
	if (check_form(p) || check_stdout(p, save->check_only) ||
	    check_numbers(p, base))
		return CLI_TROUBLE;
	if (!p->wanted)
		return CLI_OK;
	if (save->live == MR_LIVE_PRECOPY)
		return cli_usage("--live=precopy is QEMU's work, and makes "
				 "nothing but a mapped-ram image");
	if (save->leave_paused)
		return cli_usage("--leave-paused is for mapped-ram images: "
				 "mrconvert makes a pack of one");
	(void)snprintf(p->image, sizeof(p->image), "%.4000s/mrsave.%ld",
		       spool_of(p, folder), (long)getpid());
	if (p->level != CLI_NOT_GIVEN)
		p->convert.level = p->level;
	if (p->full_every != CLI_NOT_GIVEN)
		p->convert.full_every = (unsigned)p->full_every;
	p->convert.base = base;
	p->convert.name = p->name;
	p->convert.jobs = save->jobs;
	p->convert.force = save->force;
	p->convert.watch = save->watch;
	save->base = NULL;
	save->no_seal = true;
	save->take = take;
	save->take_arg = p;
	return check(p);
}

void save_pack_text(const struct save_pack *p)
{
	const struct mr_convert_report *r = &p->report;
	char a[CLI_HUMAN];

	if (!p->tried)
		return;
	printf("%-10s %s in %.3f s", mr_convert_form_name(r->form),
	       cli_human(a, r->size), r->seconds);
	if (r->chain > 1)
		printf(", an increment, in a chain of %u%s", r->chain,
		       r->apart ? "; bring them into one folder" : "");
	(void)putchar('\n');
}

void save_pack_json(const struct save_pack *p)
{
	const struct mr_convert_report *r = &p->report;

	if (!p->wanted)
		return;
	cli_json_put_text("format", mr_convert_form_name(p->convert.form));
	if (!p->tried)
		return;
	cli_json_put_number("packed", r->size);
	cli_json_put_real("packing_seconds", r->seconds);
	if (r->chain)
		cli_json_put_number("chain", r->chain);
	if (r->chain > 1)
		cli_json_put_bool("apart", r->apart);
}
