/* mrsave - save a QEMU virtual machine into a mapped-ram image. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/common/metrics.h"
#include "tools/save/command.h"
#include "tools/save/pack.h"

static struct mr_save_options save = MR_SAVE_OPTIONS_INIT;
static int jobs = CLI_NOT_GIVEN, pid = CLI_NOT_GIVEN;
static int check, leave_paused, any_room, force, no_seal;
static char *base = NULL, *direct = NULL, *engine = NULL, *zero_copy = NULL;
static char *describe = NULL, *limit = NULL, *live = NULL, *metrics = NULL;
static struct command command;
static char kept[4096]; /* where descriptions are */
static int seconds = CLI_NOT_GIVEN;
static struct save_pack pack = { .level = CLI_NOT_GIVEN,
				 .full_every = CLI_NOT_GIVEN };

/* clang-format off */
static struct poptOption options[] = {
	{ "base", '\0', POPT_ARG_STRING, &base, 0,
	  "share with this image what is still the same; of a pack: save what differs",
	  "IMAGE" },
	{ "check", 'n', POPT_ARG_NONE, &check, 0,
	  "look only: would it work, and what would it take?", NULL },
	{ "describe", '\0', POPT_ARG_STRING, &describe, 0,
	  "have QEMU describe its device state: auto, on or off", "WHEN" },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "engine", '\0', POPT_ARG_STRING, &engine, 0,
	  "who copies memory: auto, direct or qemu", "NAME" },
	{ "force", '\0', POPT_ARG_NONE, &force, 0,
	  "replace a file that may be of use to the VM or others", NULL },
	{ "format", 'O', POPT_ARG_STRING, &pack.format, 0,
	  "what to make: mapped, stream or pack (default: as IMAGE ends in .mrp, .stream)",
	  "FORMAT" },
	{ "full-every", '\0', POPT_ARG_INT, &pack.full_every, 0,
	  "with --base: after so many packs make a full one again", "N" },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "worker threads (default: CPUs, at most 8)", "N" },
	{ "leave-paused", '\0', POPT_ARG_NONE, &leave_paused, 0,
	  "do not resume the VM afterwards", NULL },
	{ "level", '\0', POPT_ARG_INT, &pack.level, 0,
	  "of a pack: how hard zstd tries, 1 to 19 (default: 1)", "N" },
	{ "limit", '\0', POPT_ARG_STRING, &limit, 0,
	  "QEMU copies with --live=precopy, bytes a second at most", "RATE" },
	{ "live", '\0', POPT_ARG_STRING, &live, 0,
	  "let the guest run meanwhile: precopy (if left out) or background",
	  "HOW" },
	{ "metrics", '\0', POPT_ARG_STRING, &metrics, 0, METRICS_HELP,
	  "FILE" },
	{ "name", '\0', POPT_ARG_STRING, &pack.name, 0,
	  "what the VM is called, for the label", "TEXT" },
	{ "no-room-check", '\0', POPT_ARG_NONE, &any_room, 0,
	  "start even if the file system may be too full", NULL },
	{ "no-seal", '\0', POPT_ARG_NONE, &no_seal, 0,
	  "leave out the digests that mrverify checks", NULL },
	{ "pid", '\0', POPT_ARG_INT, &pid, 0,
	  "QEMU's process (default: ask the socket)", "PID" },
	{ "spool", '\0', POPT_ARG_STRING, &pack.spool, 0,
	  "of a pack or stream: where memory is until it is written",
	  "FOLDER" },
	{ "while-paused", '\0', POPT_ARG_STRING, &command.text, 0,
	  "run this while the guest stands still", "COMMAND" },
	{ "while-paused-timeout", '\0', POPT_ARG_INT, &seconds, 0,
	  "what it may take (default: 60)", "SECONDS" },
	{ "zero-copy", '\0', POPT_ARG_STRING, &zero_copy, 0,
	  "write shared memory in place: auto, on or off", "WHEN" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static void print_text(const struct mr_save_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN], d[CLI_HUMAN];

	printf("machine    %s, found %s, left %s\n", r->machine, r->run_state,
	       mr_vm_fate_name(r->vm));
	printf("engine     %s, %u jobs, %s I/O%s%s\n",
	       mr_engine_name(r->engine), r->jobs,
	       r->direct ? "direct" : "buffered", r->why[0] ? ": " : "",
	       r->why);
	printf("memory     %s in %zu blocks: %s untouched, %s zero, %s data\n",
	       cli_human(a, r->ram), r->blocks, cli_human(b, r->untouched),
	       cli_human(c, r->zero), cli_human(d, r->data));
	if (r->no_base[0])
		printf("base       of no use: %s\n", r->no_base);
	else if (save.base)
		printf("base       %s kept\n", cli_human(a, r->kept));
	printf("scanned    %s, written %s%s%s%s\n", cli_human(a, r->scanned),
	       cli_human(b, r->written), r->device ? ", device state " : "",
	       r->device ? cli_human(c, r->device) : "",
	       r->description ? ", described" : "");
	printf("time       %.3f s (%.0f MiB/s scanned), the guest stood still "
	       "for %.3f s\n",
	       r->seconds, cli_rate(r->scanned, r->seconds), r->paused);
	save_pack_text(&pack);
}

/* Milliseconds for which a background snapshot stops a guest, for each byte of
 * shared memory: 4.5 GiB took 74. */
#define PAUSE (16.4 / (1 << 30))

static void print_check(const struct mr_save_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN];

	printf("machine    %s, %s\n", r->machine, r->run_state);
	printf("engine     %s%s%s\n", mr_engine_name(r->engine),
	       r->why[0] ? ": " : "", r->why);
	printf("memory     %s in %zu blocks\n", cli_human(a, r->ram),
	       r->blocks);
	printf("room       at most %s needed, %s free\n",
	       cli_human(b, r->estimate), cli_human(c, r->room));
	if (r->shared)
		printf("pause      %s of it is shared: about %.0f ms, private "
		       "memory takes 2 to 20 in all\n",
		       cli_human(a, r->shared), PAUSE * (double)r->shared);
}

static const char *const described[] = { NULL, "fresh", "kept" };

static int print_json(const char *image, const struct mr_save_report *r)
{
	char uuid[CLI_UUID];

	cli_json_begin();
	cli_json_put_text("image", image);
	cli_json_put_text("name", r->name[0] ? r->name : NULL);
	cli_json_put_text("uuid", r->has_uuid ? cli_uuid(uuid, r->uuid) : NULL);
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("run_state", r->run_state);
	cli_json_put_text("vm", mr_vm_fate_name(r->vm));
	cli_json_put_text("engine", mr_engine_name(r->engine));
	cli_json_put_text("why", r->why[0] ? r->why : NULL);
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("room", r->room);
	cli_json_put_number("estimate", r->estimate);
	cli_json_put_text("no_base", r->no_base[0] ? r->no_base : NULL);
	if (save.live == MR_LIVE_BACKGROUND)
		cli_json_put_number("shared", r->shared);
	if (!check) {
		cli_json_put_number("untouched", r->untouched);
		cli_json_put_number("scanned", r->scanned);
		cli_json_put_number("zero", r->zero);
		cli_json_put_number("data", r->data);
		cli_json_put_number("kept", r->kept);
		cli_json_put_number("written", r->written);
		cli_json_put_number("device", r->device);
		cli_json_put_text("description", described[r->description]);
		cli_json_put_text("no_description", r->no_description[0]
							    ? r->no_description
							    : NULL);
		cli_json_put_number("size", r->size);
		cli_json_put_number("jobs", r->jobs);
		cli_json_put_bool("direct_io", r->direct);
		cli_json_put_bool("sealed", r->sealed);
		cli_json_put_real("paused_seconds", r->paused);
	}
	save_pack_json(&pack);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

static int check_command(const char *vm, const char *image)
{
	if (seconds != CLI_NOT_GIVEN && !command.text)
		return cli_usage("--while-paused-timeout goes with "
				 "--while-paused");
	if (seconds != CLI_NOT_GIVEN &&
	    (seconds < 1 || seconds > COMMAND_SECONDS_MAX))
		return cli_usage("--while-paused-timeout is 1 to %d seconds",
				 COMMAND_SECONDS_MAX);
	if (!command.text)
		return CLI_OK;
	if (save.live == MR_LIVE_BACKGROUND)
		return cli_usage("--while-paused: QEMU itself lets the guest "
				 "go on after the moment that "
				 "--live=background is of");
	command.seconds = (unsigned)(seconds == CLI_NOT_GIVEN ? COMMAND_SECONDS
							      : seconds);
	save.while_paused = command_run;
	save.while_paused_arg = &command;
	return command_tell(vm, image) ? cli_no_memory() : CLI_OK;
}

/* NULL: there is none for this user. */
static const char *kept_folder(char *folder, size_t size)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *below = "";
	int n;

	if (!cache || *cache != '/') {
		cache = geteuid() ? getenv("HOME") : "/var";
		below = geteuid() ? "/.cache" : "/cache";
	}
	if (!cache || *cache != '/')
		return NULL;
	n = snprintf(folder, size, "%s%s/mrtools", cache, below);
	return n > 0 && (size_t)n < size ? folder : NULL;
}

static int check_options(const char *vm, const char *image)
{
	static const char *const engines[] = { "auto", "direct", "qemu" };
	int z, d, e;

	if (cli_io(direct, jobs, &save.direct, &save.jobs) ||
	    cli_pid(pid, &save.pid) ||
	    (z = cli_choice("--zero-copy", zero_copy, cli_when)) < 0 ||
	    (d = cli_choice("--describe", describe, cli_when)) < 0 ||
	    (e = cli_choice("--engine", engine, engines)) < 0)
		return CLI_TROUBLE;
	if (!live)
		save.live = MR_LIVE_OFF;
	else if (!strcmp(live, "precopy"))
		save.live = MR_LIVE_PRECOPY;
	else if (!strcmp(live, "background"))
		save.live = MR_LIVE_BACKGROUND;
	else
		return cli_usage("--live takes precopy or background");
	if (save.live == MR_LIVE_PRECOPY && e != MR_ENGINE_QEMU)
		return cli_usage("--live needs --engine=qemu");
	if (save.live == MR_LIVE_BACKGROUND && e == MR_ENGINE_DIRECT)
		return cli_usage("--live=background is QEMU's work, not that "
				 "of --engine=direct");
	if (limit && save.live == MR_LIVE_BACKGROUND)
		return cli_usage("--limit would slow the guest down, which "
				 "waits for what --live=background copies");
	if (limit && !save.live)
		return cli_usage("--limit goes with --live=precopy: otherwise "
				 "the guest stands still for it");
	if (cli_limit(limit, &save.limit))
		return CLI_TROUBLE;
	if (save.live && leave_paused)
		return cli_usage("--live and --leave-paused contradict");
	if (check && metrics)
		return cli_usage("--check saves nothing that --metrics could "
				 "tell of");
	save.engine = (enum mr_engine)e;
	save.describe = (enum mr_describe)d;
	save.kept = kept_folder(kept, sizeof(kept));
	save.zero_copy = (enum mr_zero_copy)z;
	save.base = base;
	save.check_only = check;
	save.leave_paused = leave_paused;
	save.any_room = any_room;
	save.force = force;
	save.no_seal = no_seal;
	save.watch = *cli_watch();
	return save_pack_begin(&pack, vm, image, base, &save);
}

/* Nobody asked for an image without a seal, or for QEMU's own. To add one would
 * be to read all of it again, and the moment and the VM are not in that. */
static void tell_unsealed(const struct mr_save_report *r)
{
	if (r->why[0] && r->engine == MR_ENGINE_QEMU && !no_seal)
		cli_say("%sQEMU makes the image itself, without a seal: when "
			"and of which VM is not in it; mrverify --seal adds "
			"digests alone",
			pack.name ? "--name is of no use: " : "");
}

static int run(const char *vm, const char *image)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_save_report report;
	int rc;

	if (pack.wanted) {
		rc = taken_save(&pack.taken, vm, &save, &err);
		report = pack.taken.vm;
	} else {
		rc = mr_save(vm, image, &save, &report, &err);
	}
	cli_tell_end();
	if (rc)
		rc = cli_fail(&err, CLI_PATHS(vm, image, base ? base : "", "",
					      pack.taken.image));
	if (rc)
		return report.vm == MR_VM_LOST ? CLI_STUCK : rc;
	if (report.vm == MR_VM_POSTMIGRATE)
		cli_say("the VM is stopped as before, but in run state "
			"postmigrate: its disks are inactive until `cont`");
	tell_unsealed(&report);
	cli.done = !check;
	metrics_done(0, CLI_OK,
		     &(struct metrics_figures){
			     .memory = report.ram,
			     .data = report.data,
			     .size = pack.taken.tried ? pack.taken.report.size
						      : report.size,
			     .has_size = true,
			     .paused = report.paused,
			     .has_paused = true });
	if (cli.json)
		return print_json(image, &report) && check ? CLI_TROUBLE
							   : CLI_OK;
	if (!cli.quiet && check)
		print_check(&report);
	else if (!cli.quiet)
		print_text(&report);
	return CLI_OK;
}

/* An option with a value that may be left out: popt would take the next word
 * for it. */
static void complete_live(char **argv)
{
	static char precopy[] = "--live=precopy";

	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (!strcmp(*argv, "--live"))
			*argv = precopy;
}

int main(int argc, char **argv)
{
	const char *vm, *image;
	poptContext ctx;
	int status;

	complete_live(argv);
	cli.domains = true;
	ctx = cli_parse(argc, argv, options, "VM IMAGE");
	vm = poptGetArg(ctx);
	image = poptGetArg(ctx);
	if (!vm || !image)
		status = cli_usage("VM (a QMP socket) and IMAGE are needed");
	else if (poptPeekArg(ctx))
		status = cli_usage("VM and IMAGE are all that is needed: what "
				   "is %s?",
				   poptPeekArg(ctx));
	else
		status = metrics_begin(metrics, CLI_PATHS(image));
	if (status == CLI_OK)
		status = check_options(vm, image);
	if (status == CLI_OK)
		status = check_command(vm, image);
	if (status == CLI_OK)
		status = run(vm, image);
	poptFreeContext(ctx);
	return cli_finish(status);
}
