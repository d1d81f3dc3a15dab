/* mrload - load an image into a waiting QEMU, become a QEMU that begins on it,
 * or write its memory into files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/common/metrics.h"
#include "tools/load/load.h"

static int jobs = CLI_NOT_GIVEN, check, force, run_it, pause_it;
static int instant, verify;
static struct load_instant how;
static int record = CLI_NOT_GIVEN;
static char *direct = NULL, *record_file = NULL, *prefault = NULL;
static char *metrics = NULL;
static char **memory = NULL;

/* clang-format off */
static struct poptOption options[] = {
	{ "check", 'n', POPT_ARG_NONE, &check, 0,
	  "look only: does the image fit the VM?", NULL },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "force", '\0', POPT_ARG_NONE, &force, 0,
	  "load over old content, or an image that is not as sealed", NULL },
	{ "instant", '\0', POPT_ARG_NONE, &instant, 0,
	  "become the QEMU that follows, its memory mapped from the image",
	  NULL },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "channels (default: 8) or threads (CPUs, at most 8)", "N" },
	{ "memory", '\0', POPT_ARG_ARGV, &memory, 0,
	  "write this block's memory into a file; no VM then", "BLOCK=FILE" },
	{ "metrics", '\0', POPT_ARG_STRING, &metrics, 0, METRICS_HELP,
	  "FILE" },
	{ "no-lock", '\0', POPT_ARG_NONE, &how.no_lock, 0,
	  "do not keep others from writing to the image meanwhile", NULL },
	{ "paused", '\0', POPT_ARG_NONE, &pause_it, 0,
	  "leave the guest paused (default: as it was saved)", NULL },
	{ "prefault", '\0', POPT_ARG_STRING, &prefault, 0,
	  "what --instant reads ahead: recorded, all or none", "WHAT" },
	{ "print", '\0', POPT_ARG_NONE, &how.print, 0,
	  "show the command line of --instant, start nothing", NULL },
	{ "record", '\0', POPT_ARG_INT, &record, 0,
	  "record which pages the guest touches for so long", "SECONDS" },
	{ "record-file", '\0', POPT_ARG_STRING, &record_file, 0,
	  "where the record is (default: IMAGE.touched)", "FILE" },
	{ "run", '\0', POPT_ARG_NONE, &run_it, 0,
	  "let the guest run, also if it was saved paused", NULL },
	{ "strict", '\0', POPT_ARG_NONE, &how.strict, 0,
	  "refuse memory that cannot be mapped, rather than read it", NULL },
	{ "verify", '\0', POPT_ARG_NONE, &verify, 0,
	  "check all of the image by its seal first, pages too", NULL },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static enum mr_direct direct_io;
static unsigned threads;
static struct mr_file_mark verified;

static void print_time(uint64_t bytes, double seconds)
{
	printf("time       %.3f s (%.0f MiB/s)\n", seconds,
	       cli_rate(bytes, seconds));
}

static void print_image(const char *image, uint64_t allocated,
			enum mr_seal_state seal)
{
	static const char *const said[] = {
		[MR_SEAL_UNKNOWN] = "seal not checked",
		[MR_SEAL_ABSENT] = "no seal",
		[MR_SEAL_PROVEN] = "seal proven, pages not checked",
		[MR_SEAL_BROKEN] = "not as it was sealed",
		[MR_SEAL_FRAMES] = "checked as it is read",
	};
	char size[CLI_HUMAN];

	printf("image      %s, %s on disk, %s\n", image,
	       cli_human(size, allocated),
	       verify && seal == MR_SEAL_PROVEN ? "seal proven, pages too"
						: said[seal]);
}

static void json_image(const char *image, uint64_t allocated,
		       enum mr_seal_state seal)
{
	cli_json_put_text("image", image);
	cli_json_put_number("allocated", allocated);
	cli_json_put_text("seal", mr_seal_state_name(seal));
	cli_json_put_bool("verified", verify);
}

/* ---- into a VM ---- */

static void print_load(const char *image, const struct mr_load_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN];

	print_image(image, r->allocated, r->seal);
	printf("machine    %s, saved %s", r->machine,
	       r->saved[0] ? r->saved : "in a state that it does not say");
	if (!check)
		printf(", now %s", r->run_state);
	printf("\n");
	if (r->jobs || r->way == MR_LOAD_SENT)
		printf("memory     %s in %zu blocks: %s data\n",
		       cli_human(a, r->ram), r->blocks, cli_human(b, r->data));
	else
		printf("memory     %s in %zu blocks, a plain stream\n",
		       cli_human(a, r->ram), r->blocks);
	if (r->way == MR_LOAD_SENT)
		printf("engine     sent as a plain stream: %s\n", r->why);
	if (check) {
		printf("fits       machine type, CPUs, page size, RAM "
		       "blocks%s\n"
		       "unchecked  %s devices and their properties, disks\n",
		       r->pci ? ", places on the first PCI bus" : "",
		       r->pci ? "other" : "all");
		return;
	}
	if (r->jobs)
		printf("engine     qemu, %u channels, %s I/O\n", r->jobs,
		       r->direct ? "direct" : "buffered");
	print_time(r->data ? r->data : r->ram, r->seconds);
}

static int json_load(const char *image, const struct mr_load_report *r)
{
	cli_json_begin();
	json_image(image, r->allocated, r->seal);
	cli_json_put_text("vm", mr_vm_fate_name(r->vm));
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("saved", r->saved[0] ? r->saved : NULL);
	cli_json_put_text("run_state", r->run_state);
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	if (r->jobs || r->way == MR_LOAD_SENT)
		cli_json_put_number("data", r->data);
	else
		cli_json_put_null("data");
	cli_json_put_text("way", r->way == MR_LOAD_SENT ? "sent" : "read");
	cli_json_put_text("why", r->why[0] ? r->why : NULL);
	cli_json_put_number("jobs", r->jobs);
	cli_json_put_bool("direct_io", r->direct);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

/* For programs they are a list, in a document that cli_json_end ends with the
 * failure that follows from them. */
static void on_mismatch(void *arg, const char *line)
{
	bool *any = arg;

	cli_say("%s", line);
	if (!cli.json)
		return;
	if (!*any) {
		cli_json_begin();
		cli_json_put_open("mismatches", '[');
	}
	*any = true;
	cli_json_item();
	cli_json_string(line);
}

static enum mr_load_then then(void)
{
	return run_it	  ? MR_THEN_RUN
	       : pause_it ? MR_THEN_PAUSE
			  : MR_THEN_AS_SAVED;
}

static int load_vm(const char *image, const char *vm)
{
	struct mr_load_options o = MR_LOAD_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;
	bool mismatches = false;
	int rc;

	o.jobs = threads;
	o.direct = direct_io;
	o.then = then();
	o.check_only = check;
	o.force = force;
	o.verified = verify ? &verified : NULL;
	o.mismatch = on_mismatch;
	o.mismatch_arg = &mismatches;
	o.watch = *cli_watch();
	rc = mr_load(image, vm, &o, &report, &err);
	cli_tell_end();
	if (rc)
		rc = cli_fail(&err, CLI_PATHS(image, vm));
	if (mismatches)
		rc = cli_worse(rc, cli_json_end());
	if (rc && (report.vm == MR_VM_LOST || report.vm == MR_VM_LOADED))
		return CLI_STUCK;
	if (rc)
		return rc;
	cli.done = !check;
	metrics_done(0, CLI_OK,
		     &(struct metrics_figures){ .memory = report.ram,
						.data = report.data });
	if (cli.json)
		return json_load(image, &report) && check ? CLI_TROUBLE
							  : CLI_OK;
	if (!cli.quiet)
		print_load(image, &report);
	return CLI_OK;
}

/* ---- into a domain of libvirt's ---- */

static void print_domain(const char *vm, const struct mr_convert_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN];

	printf("machine    %s, saved %s\n", r->machine,
	       r->run_state[0] ? r->run_state
			       : "in a state that it does not say");
	printf("memory     %s in %zu blocks: %s data\n", cli_human(a, r->ram),
	       r->blocks, cli_human(b, r->data));
	if (check)
		printf("fits       machine type\n"
		       "unchecked  all else: libvirt starts %s by its XML\n",
		       vm);
	else
		print_time(r->data, r->seconds);
}

static int load_off(const char *image, const char *vm)
{
	const struct load_domain o = { .then = then(),
				       .check = check,
				       .force = force,
				       .verify = verify,
				       .direct = direct_io,
				       .jobs = threads };
	struct mr_convert_report r = { .ram = 0 };
	int status = load_domain(image, vm, &o, &r);

	if (status != CLI_OK)
		return status;
	cli.done = !check;
	metrics_done(
		0, CLI_OK,
		&(struct metrics_figures){ .memory = r.ram, .data = r.data });
	if (cli.json) {
		cli_json_begin();
		cli_json_put_text("image", image);
		cli_json_put_text("vm", mr_vm_fate_name(check ? MR_VM_UNTOUCHED
							      : MR_VM_LOADED));
		cli_json_put_text("machine", r.machine);
		cli_json_put_text("saved", r.run_state[0] ? r.run_state : NULL);
		cli_json_put_number("blocks", r.blocks);
		cli_json_put_number("ram", r.ram);
		cli_json_put_number("data", r.data);
		cli_json_put_real("seconds", r.seconds);
		return cli_json_end();
	}
	if (!cli.quiet)
		print_domain(vm, &r);
	return CLI_OK;
}

/* ---- into memory files ---- */

static int json_memory(const char *image, const struct mr_memory_report *r)
{
	cli_json_begin();
	json_image(image, r->allocated, r->seal);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("data", r->data);
	cli_json_put_number("read", r->read);
	cli_json_put_number("written", r->written);
	cli_json_put_number("huge_pages", r->huge);
	cli_json_put_number("jobs", r->jobs);
	cli_json_put_bool("direct_read", r->direct_read);
	cli_json_put_bool("direct_write", r->direct_write);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

static void print_memory(const char *image, const struct mr_memory_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN], d[CLI_HUMAN];

	print_image(image, r->allocated, r->seal);
	printf("memory     %s: %s data, %s read, %s written",
	       cli_human(a, r->ram), cli_human(b, r->data),
	       cli_human(c, r->read), cli_human(d, r->written));
	if (r->huge)
		printf(", %s in huge pages", cli_human(a, r->huge));
	printf("\n");
	printf("engine     %u jobs, %s reads, %s writes\n", r->jobs,
	       r->direct_read ? "direct" : "buffered",
	       r->direct_write ? "direct" : "buffered");
	print_time(r->data, r->seconds);
}

/* The image and the files, as mr_load_memory counts them. */
static int fail_memory(const char *image, const struct mr_memory *m, size_t n,
		       const struct mr_error *err)
{
	const char **paths = calloc(n + 2, sizeof(*paths));
	int status;

	if (!paths)
		return cli_fail(err, CLI_PATHS(image));
	paths[0] = image;
	for (size_t i = 0; i < n; i++)
		paths[i + 1] = m[i].path;
	status = cli_fail(err, paths);
	free(paths);
	return status;
}

static int run_memory(const char *image, const struct mr_memory *m, size_t n)
{
	struct mr_memory_options o = MR_MEMORY_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_memory_report report;
	int rc;

	o.jobs = threads;
	o.direct = direct_io;
	o.force = force;
	o.verify = verify;
	o.watch = *cli_watch();
	rc = mr_load_memory(image, m, n, &o, &report, &err);
	cli_tell_end();
	if (rc)
		return fail_memory(image, m, n, &err);
	cli.done = true;
	metrics_done(0, CLI_OK,
		     &(struct metrics_figures){ .memory = report.ram,
						.data = report.data });
	if (cli.json)
		(void)json_memory(image, &report);
	else if (!cli.quiet)
		print_memory(image, &report);
	return CLI_OK;
}

static int load_memory(const char *image)
{
	struct mr_memory *m;
	size_t n = 0, i;
	int status = CLI_OK;

	while (memory[n])
		n++;
	m = calloc(n + 1, sizeof(*m));
	if (!m)
		return cli_no_memory();
	for (i = 0; i < n && status == CLI_OK; i++) {
		char *equal = strchr(memory[i], '=');

		if (!equal || equal == memory[i] || !equal[1]) {
			status = cli_usage("--memory is BLOCK=FILE, not %s",
					   memory[i]);
			break;
		}
		*equal = '\0';
		m[i] = (struct mr_memory){ memory[i], equal + 1 };
	}
	if (status == CLI_OK)
		status = run_memory(image, m, n);
	free(m);
	return status;
}

/* ---- the command line ---- */

/* What --prefault and --record say. */
static int check_ahead(void)
{
	static const char *const names[] = {
		[MR_PREFAULT_RECORDED] = "recorded",
		[MR_PREFAULT_ALL] = "all",
		[MR_PREFAULT_NONE] = "none",
	};
	size_t i = MR_PREFAULT_RECORDED;

	if (record != CLI_NOT_GIVEN && (record < 1 || record > 3600))
		return cli_usage("--record takes 1 to 3600 seconds");
	if (record != CLI_NOT_GIVEN)
		how.record_seconds = (unsigned)record;
	how.record = record_file;
	if (!prefault)
		return CLI_OK;
	while (i < sizeof(names) / sizeof(*names) &&
	       strcmp(prefault, names[i]) != 0)
		i++;
	if (i == sizeof(names) / sizeof(*names))
		return cli_usage("--prefault is recorded, all or none, not %s",
				 prefault);
	how.prefault = (enum mr_prefault)i;
	return CLI_OK;
}

static int check_options(void)
{
	if (cli_io(direct, jobs, &direct_io, &threads))
		return CLI_TROUBLE;
	if (run_it && pause_it)
		return cli_usage("--run and --paused contradict");
	if (memory && (run_it || pause_it || check))
		return cli_usage("--memory goes without a VM: --run, --paused "
				 "and --check are about one");
	if (instant && (memory || direct || threads))
		return cli_usage("--instant reads nothing: --memory, --direct "
				 "and --jobs are about that");
	if (metrics && (instant || check))
		return cli_usage("--check loads nothing that --metrics could "
				 "tell of, and --instant has no end");
	if (!instant && (how.print || how.strict || how.no_lock))
		return cli_usage("--print, --strict and --no-lock are about "
				 "--instant");
	if (!instant && (record != CLI_NOT_GIVEN || record_file || prefault))
		return cli_usage("--record, --record-file and --prefault are "
				 "about --instant");
	return check_ahead();
}

static int run_instant(const char *image, const char *const *argv)
{
	if (!image || !argv || !argv[0])
		return cli_usage("--instant needs IMAGE and, after --, the "
				 "command line of a QEMU");
	how.then = then();
	how.check = check;
	how.force = force;
	how.verify = verify;
	return load_instant(image, argv, &how);
}

int main(int argc, char **argv)
{
	poptContext ctx =
		cli_parse(argc, argv, options, "IMAGE [VM | -- QEMU...]");
	const char *image = poptGetArg(ctx), *vm;
	int status = metrics_begin(metrics, CLI_PATHS(image));

	if (status == CLI_OK)
		status = check_options();
	if (status == CLI_OK && instant) {
		status = run_instant(image, poptGetArgs(ctx));
	} else if (status == CLI_OK) {
		vm = poptGetArg(ctx);
		if (!image || !vm == !memory || poptPeekArg(ctx))
			status = cli_usage("IMAGE and VM (a QMP socket) are "
					   "needed, or --memory and IMAGE "
					   "alone");
		else if (verify && !memory && !mr_is_domain(vm))
			status = load_verify(image, image, &verified);
		if (status == CLI_OK)
			status = memory		    ? load_memory(image)
				 : mr_is_domain(vm) ? load_off(image, vm)
						    : load_vm(image, vm);
	}
	poptFreeContext(ctx);
	return cli_finish(status);
}
