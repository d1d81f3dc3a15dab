/* mrconvert - make an image of one format into one of another. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/common/metrics.h"
#include "tools/common/taken.h"

/* Packs in a chain from which on a full one is advised. */
#define LONG_CHAIN 8

static struct mr_convert_options convert = MR_CONVERT_OPTIONS_INIT;
static int dry_run, force, no_seal, verify;
static int level = CLI_NOT_GIVEN, jobs = CLI_NOT_GIVEN;
static int full_every = CLI_NOT_GIVEN, dump_level = CLI_NOT_GIVEN;
static char *format = NULL, *direct = NULL, *name = NULL, *base = NULL;
static char *limit = NULL, *metrics = NULL;
static char *xml = NULL, *bases = NULL;
static char *spool = NULL, *spool_limit = NULL;
static char **at = NULL; /* popt's, as it grew */
static struct mr_convert_at *places;
/* IN is a VM: saved first, and what is wanted is made of that. */
static bool of_vm;
static struct taken taken;
static struct mr_save_options save = MR_SAVE_OPTIONS_INIT;

/* clang-format off */
static struct poptOption options[] = {
	{ "format", 'O', POPT_ARG_STRING, &format, 0,
	  "what to make: mapped, stream, pack, elf, kdump, libvirt, libvirt:zstd or libvirt:sparse (default: as OUT ends in .mr, .stream, .mrp, .core or .kdump)",
	  "FORMAT" },
	{ "at", '\0', POPT_ARG_ARGV, &at, 0,
	  "for elf and kdump: where in the guest's memory a block is (may be repeated)", "BLOCK=ADDRESS|none" },
	{ "base", '\0', POPT_ARG_STRING, &base, 0,
	  "make an increment: what differs from this pack", "PACK" },
	{ "bases", '\0', POPT_ARG_STRING, &bases, 0,
	  "where the packs are that IN, an increment, stands on (default: beside it)", "FOLDER" },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "dry-run", '\0', POPT_ARG_NONE, &dry_run, 0,
	  "only say how large it would be", NULL },
	{ "dump-level", '\0', POPT_ARG_INT, &dump_level, 0,
	  "for kdump: what makedumpfile leaves out, 0 to 31 (default: 1, pages of zeros)", "N" },
	{ "force", '\0', POPT_ARG_NONE, &force, 0,
	  "replace a file that is no image", NULL },
	{ "full-every", '\0', POPT_ARG_INT, &full_every, 0,
	  "with --base: after so many packs make a full one again", "N" },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "threads (default: one for each CPU, at most 8)", "N" },
	{ "level", '\0', POPT_ARG_INT, &level, 0,
	  "of a pack or libvirt:zstd: how hard zstd tries, 1 to 19 (default: 1, and frames of packs are copied)", "N" },
	{ "limit", '\0', POPT_ARG_STRING, &limit, 0,
	  "move no more than so many bytes a second", "RATE" },
	{ "metrics", '\0', POPT_ARG_STRING, &metrics, 0, METRICS_HELP,
	  "FILE" },
	{ "name", '\0', POPT_ARG_STRING, &name, 0,
	  "what the VM is called, for the label", "TEXT" },
	{ "no-seal", '\0', POPT_ARG_NONE, &no_seal, 0,
	  "leave out the digests that mrverify checks", NULL },
	{ "verify", '\0', POPT_ARG_NONE, &verify, 0,
	  "compare what is read with IN's seal, or pack, and the base's", NULL },
	{ "xml", '\0', POPT_ARG_STRING, &xml, 0,
	  "for libvirt: the domain's XML (default: that of IN)", "FILE" },
	{ "spool", '\0', POPT_ARG_STRING, &spool, 0,
	  "where what comes from stdin or a VM, or is compressed, lies meanwhile (default: $TMPDIR, or /var/tmp)",
	  "FOLDER" },
	{ "spool-limit", '\0', POPT_ARG_STRING, &spool_limit, 0,
	  "of that, at most so much", "SIZE" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static void print_size(const struct mr_convert_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN];

	if (!dry_run)
		printf("size       %s, of %s\n", cli_human(a, r->size),
		       cli_human(b, r->in_size));
	else if (r->sampled == r->extents)
		printf("size       %s, of %s: all of it was tried\n",
		       cli_human(a, r->size), cli_human(b, r->in_size));
	else
		printf("size       about %s, of %s: %" PRIu64 " of %" PRIu64
		       " MiB were tried\n",
		       cli_human(a, r->size), cli_human(b, r->in_size),
		       r->sampled, r->extents);
}

static void print_vm(const struct mr_save_report *r)
{
	printf("vm         found %s, left %s; the guest stood still for "
	       "%.3f s\n",
	       r->run_state, mr_vm_fate_name(r->vm), r->paused);
}

static bool is_core(const struct mr_convert_report *r)
{
	return r->form == MR_CONVERT_ELF || r->form == MR_CONVERT_KDUMP;
}

static void print_core(const struct mr_convert_report *r)
{
	char a[CLI_HUMAN];

	if (r->shared)
		printf("shared     %s of it with the image\n",
		       cli_human(a, r->shared));
	printf("registers  of %zu CPU%s\n", r->cpus, r->cpus == 1 ? "" : "s");
	if (dry_run)
		return;
	printf("kernel     %s%s\n",
	       r->release[0] ? "Linux " : "of no Linux that says what it is",
	       r->release);
}

/* What somebody will miss who opens the core. */
static void say_lacks(const struct mr_convert_report *r)
{
	if (r->no_cpus[0])
		cli_say("the core has no registers: %s", r->no_cpus);
	if (dry_run)
		return;
	if (!r->release[0])
		cli_say("the core has no VMCOREINFO: no Linux kernel in it "
			"says what crash and drgn need");
	else if (!r->kernel)
		cli_say("where the kernel's text is does not follow from its "
			"VMCOREINFO");
}

static void print_text(const struct mr_convert_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN];

	printf("format     %s%s\n", mr_convert_form_name(r->form),
	       r->sealed ? ", sealed" : "");
	printf("machine    %s, %s\n", r->machine,
	       r->run_state[0] ? r->run_state
			       : "in a state that it does not say");
	if (of_vm)
		print_vm(&taken.vm);
	printf("memory     %s in %zu blocks: %s data; device state %s\n",
	       cli_human(a, r->ram), r->blocks, cli_human(b, r->data),
	       cli_human(c, r->device));
	print_size(r);
	if (is_core(r))
		print_core(r);
	if (r->copied_frames && !dry_run)
		printf("copied     %" PRIu64 " of %" PRIu64
		       " frames as they were: %s\n",
		       r->copied_frames, r->frames, cli_human(a, r->copied));
	if (r->chain > 1)
		printf("chain      %u packs: the increment needs all of "
		       "them%s%s\n",
		       r->chain,
		       r->apart ? ", in one folder: its base is in another"
				: "",
		       r->chain > LONG_CHAIN ? "; time for a full one" : "");
	printf("time       %.3f s (%.0f MiB/s), %u threads\n", r->seconds,
	       cli_rate(r->data, r->seconds), r->jobs);
}

static int print_json(const char *in, const char *out,
		      const struct mr_convert_report *r)
{
	cli_json_begin();
	cli_json_put_text("in", in);
	cli_json_put_text("out", out);
	cli_json_put_text("format", mr_convert_form_name(r->form));
	cli_json_put_bool("dry_run", dry_run);
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("run_state", r->run_state[0] ? r->run_state : NULL);
	if (of_vm) {
		cli_json_put_text("vm", mr_vm_fate_name(taken.vm.vm));
		cli_json_put_real("paused_seconds", taken.vm.paused);
	}
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("data", r->data);
	cli_json_put_number("device", r->device);
	cli_json_put_number("in_size", r->in_size);
	cli_json_put_number("size", r->size);
	if (dry_run) {
		cli_json_put_number("extents", r->extents);
		cli_json_put_number("sampled", r->sampled);
	}
	if (is_core(r)) {
		cli_json_put_number("cpus", r->cpus);
		cli_json_put_number("shared", r->shared);
		cli_json_put_text("linux", r->release[0] ? r->release : NULL);
		cli_json_put_bool("kernel_mapped", r->kernel);
	}
	if (r->chain && !dry_run) {
		cli_json_put_number("frames", r->frames);
		cli_json_put_number("copied_frames", r->copied_frames);
		cli_json_put_number("copied", r->copied);
	}
	if (r->chain)
		cli_json_put_number("chain", r->chain);
	if (r->chain > 1)
		cli_json_put_bool("apart", r->apart);
	cli_json_put_bool("sealed", r->sealed);
	cli_json_put_bool("direct_read", r->direct_read);
	cli_json_put_bool("direct_write", r->direct_write);
	cli_json_put_number("jobs", r->jobs);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

static int check_format(void)
{
	for (int i = MR_CONVERT_MAPPED; format && i < MR_CONVERT_FORMS; i++)
		if (!strcmp(format,
			    mr_convert_form_name((enum mr_convert_form)i)))
			convert.form = (enum mr_convert_form)i;
	if (format && !strcmp(format, "libvirt:raw"))
		convert.form = MR_CONVERT_LIBVIRT;
	if (format && convert.form == MR_CONVERT_BY_NAME)
		return cli_usage(
			"--format takes mapped, stream, pack, elf, "
			"kdump, libvirt, libvirt:zstd or libvirt:sparse");
	return CLI_OK;
}

/* What goes to stdout is the output, and nothing else. */
static int check_stdout(const char *out)
{
	if (strcmp(out, "-") != 0)
		return CLI_OK;
	convert.fd = STDOUT_FILENO;
	if (convert.form == MR_CONVERT_BY_NAME)
		return cli_usage("what to write to stdout is not known: "
				 "--format=pack or stream says so");
	if (dry_run)
		return CLI_OK;
	if (cli.json)
		return cli_usage("--json and OUT would both go to stdout");
	if (isatty(STDOUT_FILENO))
		return cli_usage("stdout is a terminal: it would show a VM's "
				 "memory");
	cli.quiet = true;
	return CLI_OK;
}

/* What a folder has to be found for. */
static int check_stdin(const char *in)
{
	const char *folder = getenv("TMPDIR");

	if (!spool)
		spool = folder && *folder ? strdup(folder) : strdup("/var/tmp");
	if (!spool)
		return cli_no_memory();
	convert.spool = spool;
	if (spool_limit &&
	    cli_size("--spool-limit", spool_limit, &convert.spool_limit))
		return CLI_TROUBLE;
	if (spool_limit && !convert.spool_limit)
		return cli_usage("--spool-limit takes a size above 0");
	if (strcmp(in, "-") != 0)
		return CLI_OK;
	if (isatty(STDIN_FILENO))
		return cli_usage("stdin is a terminal: an image is expected "
				 "from it");
	convert.in_fd = STDIN_FILENO;
	return CLI_OK;
}

/* "BLOCK=ADDRESS", "BLOCK=none"; a name may have a = in it. */
static int check_place(char *text, struct mr_convert_at *out)
{
	char *equal = strrchr(text, '=');
	uint64_t length;

	if (!equal || equal == text)
		return cli_usage("--at takes BLOCK=ADDRESS or BLOCK=none");
	*out = (struct mr_convert_at){ .block = text,
				       .nowhere = !strcmp(equal + 1, "none") };
	if (!out->nowhere && (strchr(equal, '+') ||
			      mr_parse_range(equal + 1, &out->gpa, &length)))
		return cli_usage("--at: %s is no address, nor none", equal + 1);
	*equal = '\0';
	return CLI_OK;
}

static int check_places(void)
{
	size_t n = 0;

	while (at && at[n])
		n++;
	places = calloc(n + 1, sizeof(*places));
	if (!places)
		return cli_no_memory();
	for (size_t i = 0; i < n; i++)
		if (check_place(at[i], &places[i]))
			return CLI_TROUBLE;
	convert.at = places;
	convert.n_at = n;
	return CLI_OK;
}

static int check_options(const char *in, const char *out)
{
	if (cli_io(direct, jobs, &convert.direct, &convert.jobs) ||
	    cli_limit(limit, &convert.limit) || check_format() ||
	    check_stdin(in) || check_stdout(out) || check_places())
		return CLI_TROUBLE;
	if (level != CLI_NOT_GIVEN &&
	    (level < 1 || level > MR_CONVERT_LEVEL_MAX))
		return cli_usage("--level takes 1 to %d", MR_CONVERT_LEVEL_MAX);
	if (verify && dry_run)
		return cli_usage("--dry-run looks at a part of the pages only: "
				 "mrverify looks at all");
	if (level != CLI_NOT_GIVEN)
		convert.level = level;
	if (full_every != CLI_NOT_GIVEN &&
	    (!base || full_every < 1 || full_every > 65))
		return cli_usage("--full-every takes 1 to 65 packs, with "
				 "--base");
	if (dump_level != CLI_NOT_GIVEN &&
	    (dump_level < 0 || dump_level > MR_CONVERT_DUMP_LEVEL_MAX))
		return cli_usage("--dump-level takes 0 to %d",
				 MR_CONVERT_DUMP_LEVEL_MAX);
	if (dump_level != CLI_NOT_GIVEN)
		convert.dump_level = dump_level;
	convert.base = base;
	convert.full_every =
		full_every == CLI_NOT_GIVEN ? 0 : (unsigned)full_every;
	convert.dry_run = dry_run;
	convert.force = force;
	convert.no_seal = no_seal;
	convert.verify = verify;
	convert.bases = bases;
	convert.name = name;
	convert.xml = xml;
	convert.watch = *cli_watch();
	return CLI_OK;
}

/* ---- a VM ---- */

static bool is_vm(const char *in)
{
	return in && convert.in_fd < 0 && mr_is_vm(in);
}

static int tell(const struct mr_error *err, const char *in, const char *out)
{
	return cli_fail(err,
			CLI_PATHS(in, out, base ? base : "", xml ? xml : "",
				  of_vm ? taken.image : spool));
}

/* As mrsave does it, and all that can be known is known before it is touched.
 */
static int check_vm(const char *in, const char *out)
{
	struct mr_error err = MR_ERROR_INIT;

	if (verify && !base)
		return cli_usage("--verify is of an image: a VM has no seal");
	if (dry_run)
		return cli_usage("--dry-run reads an image: for a VM mrsave "
				 "--check says what a save would take");
	if (spool_limit)
		return cli_usage("--spool-limit is not for a VM: the room for "
				 "it is looked for beforehand");
	if (!convert.form)
		convert.form = mr_convert_form_of(out);
	if (convert.form >= MR_CONVERT_LIBVIRT &&
	    convert.form <= MR_CONVERT_LIBVIRT_SPARSE && !xml &&
	    !mr_is_domain(in))
		return cli_trouble(in, MR_REFUSED,
				   "a VM does not say libvirt's domain: --xml "
				   "with a file that has its XML is needed");
	save.direct = convert.direct;
	save.jobs = convert.jobs;
	save.watch = convert.watch;
	taken.out = out;
	taken.convert = convert;
	return taken_begin(&taken, in, spool, &save, &err) ? tell(&err, in, out)
							   : CLI_OK;
}

/* ---- all together ---- */

static int make(const char *in, const char *out,
		struct mr_convert_report *report, struct mr_error *err)
{
	int rc;

	if (!of_vm)
		return mr_convert(in, out, &convert, report, err);
	rc = taken_save(&taken, in, &save, err);
	*report = taken.report;
	report->seconds = taken.vm.seconds;
	return rc;
}

static int run(const char *in, const char *out)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_convert_report report;
	int rc = make(in, out, &report, &err);
	const struct metrics_figures figures = { .memory = report.ram,
						 .data = report.data,
						 .size = report.size,
						 .has_size = true,
						 .paused = taken.vm.paused,
						 .has_paused = of_vm };

	cli_tell_end();
	if (!rc && !dry_run)
		metrics_done(0, CLI_OK, &figures);
	if (rc) {
		rc = tell(&err, in, out);
		return taken.vm.vm == MR_VM_LOST ? CLI_STUCK : rc;
	}
	cli.done = !dry_run;
	if (is_core(&report))
		say_lacks(&report);
	if (cli.json)
		return print_json(in, out, &report);
	if (!cli.quiet)
		print_text(&report);
	return CLI_OK;
}

int main(int argc, char **argv)
{
	const char *in, *out;
	poptContext ctx;
	int status;

	cli.with = mr_convert_reads();
	cli.domains = true;
	ctx = cli_parse(argc, argv, options, "IN OUT");
	in = poptGetArg(ctx);
	out = poptGetArg(ctx);
	if (!in || !out || poptPeekArg(ctx))
		status = cli_usage("IN and OUT are needed");
	else
		status = dry_run ? CLI_OK
				 : metrics_begin(metrics, CLI_PATHS(out));
	if (status == CLI_OK && in && out)
		status = check_options(in, out);
	of_vm = status == CLI_OK && is_vm(in);
	if (of_vm)
		status = check_vm(in, out);
	if (status == CLI_OK)
		status = run(in, out);
	poptFreeContext(ctx);
	free(places);
	return cli_finish(status);
}
