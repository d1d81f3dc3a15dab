/* pack.c - a save into a pack, or a stream, or a pipe. */
#include "tools/save/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/cli.h"

/* Memory, for a pipe: as long as it takes, nothing is on a disk. */
static const char *spool_of(const struct save_pack *p, char folder[PATH_MAX])
{
	const char *slash = strrchr(p->taken.out, '/');

	if (p->spool)
		return p->spool;
	if (p->taken.convert.fd >= 0)
		return "/dev/shm";
	(void)snprintf(folder, PATH_MAX, "%.*s",
		       slash ? (int)(slash - p->taken.out + 1) : 1,
		       slash ? p->taken.out : ".");
	return folder;
}

static int check_form(struct save_pack *p)
{
	enum mr_convert_form form = MR_CONVERT_BY_NAME;

	for (int i = MR_CONVERT_MAPPED; p->format && i < MR_CONVERT_FORMS; i++)
		if (!strcmp(p->format,
			    mr_convert_form_name((enum mr_convert_form)i)))
			form = (enum mr_convert_form)i;
	if (p->format && !form)
		return cli_usage("--format takes mapped, stream, pack, "
				 "libvirt, libvirt:zstd or libvirt:sparse");
	if (!form)
		form = mr_convert_form_of(p->taken.out);
	if (form == MR_CONVERT_ELF || form == MR_CONVERT_KDUMP)
		return cli_usage("a core is made by mrconvert, of a VM too; "
				 "--format=mapped makes an image of that name");
	p->taken.convert.form = form ? form : MR_CONVERT_MAPPED;
	p->wanted = p->taken.convert.form != MR_CONVERT_MAPPED;
	return CLI_OK;
}

static int check_stdout(struct save_pack *p, bool check_only)
{
	if (strcmp(p->taken.out, "-") != 0)
		return CLI_OK;
	if (!p->wanted)
		return cli_usage("a mapped-ram image needs a file: for stdout "
				 "--format=pack or stream");
	p->taken.convert.fd = STDOUT_FILENO;
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

static int check_numbers(struct save_pack *p, const char *base,
			 const struct mr_save_options *save)
{
	bool packs = p->taken.convert.form == MR_CONVERT_PACK;

	if (!packs &&
	    (p->level != CLI_NOT_GIVEN || p->full_every != CLI_NOT_GIVEN))
		return cli_usage("--level and --full-every are for packs: "
				 "--format=pack");
	if (p->name && p->wanted && !packs)
		return cli_usage("a stream does not say the VM's name");
	if (p->name && save->no_seal && !p->wanted)
		return cli_usage("--name is in the seal that --no-seal leaves "
				 "out");
	if (p->name && !p->wanted && save->engine == MR_ENGINE_QEMU &&
	    save->live != MR_LIVE_BACKGROUND)
		return cli_usage("--name is in the seal, which "
				 "--engine=qemu does not write");
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

int save_pack_begin(struct save_pack *p, const char *vm, const char *out,
		    const char *base, struct mr_save_options *save)
{
	char folder[PATH_MAX];
	struct mr_error err = MR_ERROR_INIT;

	p->taken.out = out;
	p->taken.convert = (struct mr_convert_options)MR_CONVERT_OPTIONS_INIT;
	if (check_form(p) || check_stdout(p, save->check_only) ||
	    check_numbers(p, base, save))
		return CLI_TROUBLE;
	if (p->taken.convert.form >= MR_CONVERT_LIBVIRT && !mr_is_domain(vm))
		return cli_usage("only a domain (libvirt:DOMAIN) says its XML: "
				 "mrconvert takes that from a file");
	save->name = p->name;
	if (!p->wanted)
		return CLI_OK;
	if (save->live == MR_LIVE_PRECOPY)
		return cli_usage("--live=precopy is QEMU's work, and makes "
				 "nothing but a mapped-ram image");
	if (save->leave_paused)
		return cli_usage("--leave-paused is for mapped-ram images: "
				 "mrconvert makes a pack of one");
	if (p->level != CLI_NOT_GIVEN)
		p->taken.convert.level = p->level;
	if (p->full_every != CLI_NOT_GIVEN)
		p->taken.convert.full_every = (unsigned)p->full_every;
	p->taken.convert.base = base;
	p->taken.convert.name = p->name;
	p->taken.convert.jobs = save->jobs;
	p->taken.convert.force = save->force;
	p->taken.convert.watch = save->watch;
	return taken_begin(&p->taken, vm, spool_of(p, folder), save, &err)
		       ? cli_fail(&err, CLI_PATHS(out, out, base))
		       : CLI_OK;
}

void save_pack_text(const struct save_pack *p)
{
	const struct mr_convert_report *r = &p->taken.report;
	char a[CLI_HUMAN];

	if (!p->taken.tried)
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
	const struct mr_convert_report *r = &p->taken.report;

	if (!p->wanted)
		return;
	cli_json_put_text("format",
			  mr_convert_form_name(p->taken.convert.form));
	if (!p->taken.tried)
		return;
	cli_json_put_number("packed", r->size);
	cli_json_put_real("packing_seconds", r->seconds);
	if (r->chain)
		cli_json_put_number("chain", r->chain);
	if (r->chain > 1)
		cli_json_put_bool("apart", r->apart);
}
