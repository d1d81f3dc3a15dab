/* mrdiff - what differs between two images, or an image and a paused VM. */
#include <stdio.h>
#include <string.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/diff/diff.h"

static struct mr_diff_options diff;
static int pages, hex, device, memory, map;
static int jobs = CLI_NOT_GIVEN, pid = CLI_NOT_GIVEN;
static char *direct = NULL, *only = NULL, *svg = NULL, *vmdesc = NULL;

/* clang-format off */
static const struct poptOption options[] = {
	{ "device", 'd', POPT_ARG_NONE, &device, 0,
	  "show what differs in device sections", NULL },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "hex", 'x', POPT_ARG_NONE, &hex, 0,
	  "show the bytes that differ: memory content", NULL },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "worker threads (default: CPUs, at most 8)", "N" },
	{ "map", 'm', POPT_ARG_NONE, &map, 0,
	  "draw the memories in the terminal", NULL },
	{ "memory", '\0', POPT_ARG_NONE, &memory, 0,
	  "compare memory only, no device state", NULL },
	{ "only", '\0', POPT_ARG_STRING, &only, 0,
	  "compare this memory only", "BLOCK[:OFFSET[+LENGTH]]" },
	{ "pages", 'p', POPT_ARG_NONE, &pages, 0,
	  "list the pages that differ", NULL },
	{ "pid", '\0', POPT_ARG_INT, &pid, 0,
	  "a VM's QEMU process (default: ask the socket)", "PID" },
	{ "svg", '\0', POPT_ARG_STRING, &svg, 0,
	  "draw the memories into a file", "FILE" },
	{ "vmdesc-from", '\0', POPT_ARG_STRING, &vmdesc, 0,
	  "for images without one: whose description of devices", "FILE" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static int trouble(const struct diff_show *show, const struct mr_error *err)
{
	return cli_fail(err, CLI_PATHS(show->path[MR_A], show->path[MR_B]));
}

static int report(struct mr_diff *d, const struct diff_show *show)
{
	struct mr_error err = MR_ERROR_INIT;
	int status = CLI_OK;

	if (svg)
		status = diff_map(d, show, svg);
	if (cli.json)
		return diff_json(d, show) ? CLI_TROUBLE : status;
	if (!cli.quiet)
		diff_text(d, show);
	if (show->device && diff_list_devices(d, show))
		status = CLI_TROUBLE;
	if (map) {
		if (!cli.quiet)
			(void)putchar('\n');
		(void)diff_map(d, show, NULL);
	}
	if (show->pages)
		diff_list_pages(d);
	if (show->hex && diff_hex(d, &err))
		status = trouble(show, &err);
	return status;
}

static int check_options(void)
{
	if (cli_io(direct, jobs, &diff.direct, &diff.jobs) ||
	    cli_pid(pid, &diff.pid))
		return CLI_TROUBLE;
	if (cli.json && (map || hex))
		return cli_usage("--json goes with neither --map nor --hex");
	if (vmdesc && !device)
		return cli_usage("--vmdesc-from goes with --device");
	if (device && (memory || only))
		return cli_usage("--device contradicts --memory and --only");
	diff.only = only;
	diff.memory_only = memory;
	diff.brief = cli.quiet && !cli.json && !svg && !map && !pages && !hex &&
		     !device;
	diff.watch = *cli_watch();
	return CLI_OK;
}

static int compare(const struct diff_show *show)
{
	char replayed[MR_SIDES][DIFF_PATH];
	const char *path[MR_SIDES];
	struct mr_error err = MR_ERROR_INIT;
	int status = CLI_OK, fd = -1;
	struct mr_diff *d;

	for (int i = 0; i < MR_SIDES && status == CLI_OK; i++) {
		path[i] = show->path[i];
		if (!diff_is_capture(path[i]))
			continue;
		status = diff_replay(path[i], replayed[i], &fd);
		path[i] = replayed[i];
	}
	if (status != CLI_OK)
		return status;
	d = mr_diff(path[MR_A], path[MR_B], &diff, &err);
	cli_tell_end();
	if (!d)
		return trouble(show, &err);
	status = report(d, show);
	if (status == CLI_OK && !mr_diff_info(d)->same)
		status = CLI_NO;
	mr_diff_free(d);
	return status;
}

static int run(struct diff_show *show)
{
	struct mr_image *lender = NULL;
	int status = CLI_OK;

	if (vmdesc)
		lender = cli_describer(vmdesc, &status);
	show->vmdesc = lender;
	if (status == CLI_OK)
		status = compare(show);
	mr_image_free(lender);
	return status;
}

int main(int argc, char **argv)
{
	struct diff_show show = { 0 };
	poptContext ctx;
	int status;

	cli.domains = true;
	ctx = cli_parse(argc, argv, options, "A B");
	show.pages = pages;
	show.hex = hex;
	show.device = device;
	show.path[MR_A] = poptGetArg(ctx);
	show.path[MR_B] = poptGetArg(ctx);
	if (!show.path[MR_A] || !show.path[MR_B] || poptPeekArg(ctx))
		status = cli_usage("two of them are needed: images, captures, "
				   "or the QMP socket of a paused VM");
	else
		status = check_options();
	if (status == CLI_OK)
		status = run(&show);
	(void)poptFreeContext(ctx);
	return cli_finish(status);
}
