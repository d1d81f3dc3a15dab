/* mrinspect.c - shows what is in an image, a stream, a libvirt save file, and
 * in the memory of a paused VM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/inspect/show.h"

enum { SCHEMA = 2, MAX = 1000 };

static struct show_request request = { .max = MAX };
static int cpu, list, log_wanted, map, packets, vmdesc;
static int jobs = CLI_NOT_GIVEN, pid = CLI_NOT_GIVEN;
static int max = MAX, vcpu = CLI_NOT_GIVEN;
static char *cr3 = NULL, *direct = NULL, *find = NULL, *svg = NULL,
	    *vmdesc_from = NULL;

/* clang-format off */
static const struct poptOption options[] = {
	{ "cpu", 'c', POPT_ARG_NONE, &cpu, 0,
	  "show the registers of the CPUs", NULL },
	{ "cr3", '\0', POPT_ARG_STRING, &cr3, 0,
	  "page tables for --virt (default: the virtual CPU's)", "ADDRESS" },
	{ "device", 'd', POPT_ARG_ARGV, &request.devices, 0,
	  "show device state: a section's name, a pattern, or all", "NAME" },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O for --find, --log: auto, on or off", "WHEN" },
	{ "find", 'f', POPT_ARG_STRING, &find, 0,
	  "search memory for a text, or for bytes: 0x7f454c46", "PATTERN" },
	{ "gpa", 'g', POPT_ARG_ARGV, &request.gpas, 0,
	  "show memory at a guest-physical address", "ADDRESS[+LENGTH]" },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "worker threads for --find, --log (default: CPUs, at most 8)", "N" },
	{ "list", 'l', POPT_ARG_NONE, &list, 0, "show a line of each file",
	  NULL },
	{ "log", '\0', POPT_ARG_NONE, &log_wanted, 0,
	  "show the messages of a Linux guest's kernel, as dmesg does", NULL },
	{ "map", 'm', POPT_ARG_NONE, &map, 0,
	  "draw the memory in the terminal", NULL },
	{ "max", '\0', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &max, 0,
	  "places that --find shows at most", "N" },
	{ "packets", '\0', POPT_ARG_NONE, &packets, 0,
	  "list the packets of a captured channel", NULL },
	{ "page", 'p', POPT_ARG_ARGV, &request.pages, 0,
	  "show memory of a RAM block", "BLOCK:OFFSET[+LENGTH]" },
	{ "pid", '\0', POPT_ARG_INT, &pid, 0,
	  "a VM's QEMU process (default: ask the socket)", "PID" },
	{ "svg", '\0', POPT_ARG_STRING, &svg, 0,
	  "draw the memory into a file", "FILE" },
	{ "vcpu", '\0', POPT_ARG_INT, &vcpu, 0,
	  "virtual CPU for --virt (default: the first)", "N" },
	{ "virt", '\0', POPT_ARG_ARGV, &request.virts, 0,
	  "show memory at a virtual address", "ADDRESS[+LENGTH]" },
	{ "vmdesc", '\0', POPT_ARG_NONE, &vmdesc, 0,
	  "print the description of device state, as it is: JSON", NULL },
	{ "vmdesc-from", '\0', POPT_ARG_STRING, &vmdesc_from, 0,
	  "describe device state as another image of the machine does",
	  "FILE" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static struct mr_image *open_image(const char *path, struct mr_error *err)
{
	if (show_is_of_devices(&request))
		return mr_image_open_devices(path, cli_watch(), err);
	if (show_has_memory(&request))
		return mr_image_open_memory(path,
					    request.find_len || request.log
						    ? request.direct
						    : MR_DIRECT_OFF,
					    cli_watch(), err);
	return mr_image_open(path, MR_DIRECT_OFF, cli_watch(), err);
}

/* Whether all but the pages is as it was sealed. Of a file with something else
 * wrong nobody wants to know; and bitmaps are read for it, of which a sparse
 * file can promise more than there is time for. */
static int read_seal(const struct show *s, const struct mr_inspection *in,
		     struct show_seal *seal)
{
	struct mr_error err = MR_ERROR_INIT;

	if (show_is_asked(&request) || request.vmdesc ||
	    in->verdict != MR_VERDICT_SOUND ||
	    mr_image_info(s->img)->ram > MR_MEMORY_MAX ||
	    !mr_image_seal(s->img, &seal->state, &seal->why, &err))
		return CLI_OK;
	return cli_fail(&err, CLI_PATHS(s->path));
}

/* What is in the image: the overview, or what was asked for instead. */
static int show_file(const struct show *s, const struct mr_inspection *in)
{
	const struct mr_image_info *info = mr_image_info(s->img);
	struct show_seal seal = { .state = MR_SEAL_UNKNOWN };
	int status = in->verdict == MR_VERDICT_SOUND	 ? CLI_OK
		     : in->verdict == MR_VERDICT_UNKNOWN ? CLI_TROUBLE
							 : CLI_NO;

	status = cli_worse(status, read_seal(s, in, &seal));
	if (cli.json) {
		show_json(s->path, info, in, &seal);
	} else if (request.vmdesc) {
		/* Nothing but that. */
	} else if (show_is_asked(&request)) {
		show_head(s->path, info, in);
	} else {
		show_text(s->path, info, in, &seal);
	}
	return cli_worse(status, show_asked(s));
}

static int inspect_image(const char *path)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in = { 0 };
	struct mr_image *img = open_image(path, &err);
	struct show s = { .path = path, .img = img, .request = &request };
	int status;

	cli_tell_end();
	if (img && !mr_inspect(img, cli_watch(), &in, &err))
		status = show_file(&s, &in);
	else
		status = show_failure(path, &err);
	mr_inspection_release(&in);
	mr_image_free(img);
	return status;
}

static int inspect_file(const char *path)
{
	int status;

	if (show_packets(path, &request, &status))
		return status;
	return inspect_image(path);
}

static bool is_capture(const char *path)
{
	char file[PATH_MAX];
	struct stat st;

	(void)snprintf(file, sizeof(file), "%s/main", path);
	return !stat(path, &st) && S_ISDIR(st.st_mode) && !access(file, F_OK);
}

static int inspect_one(const char *path)
{
	int status;

	if (cli.json) {
		cli_json_item();
		cli_json_open('{');
	}
	if (is_capture(path))
		status = show_capture(path);
	else if (mr_is_vm(path))
		status = show_vm(path, &request);
	else
		status = inspect_file(path);
	if (cli.json) {
		cli_json_put_failure();
		cli_json_close();
	}
	return status;
}

/* A capture as a whole, then each of its connections. */
static int inspect(const char *path)
{
	char file[PATH_MAX];
	int status = inspect_one(path);

	if (!is_capture(path))
		return status;
	for (int i = -1; i < (int)MR_CHANNELS_MAX; i++) {
		if (i < 0)
			(void)snprintf(file, sizeof(file), "%s/main", path);
		else
			(void)snprintf(file, sizeof(file), "%s/channel-%d",
				       path, i);
		if (access(file, F_OK))
			continue;
		if (!cli.json)
			(void)putchar('\n');
		status = cli_worse(status, inspect_one(file));
	}
	return status;
}

/* All FILEs; the worst status. */
static int inspect_all(poptContext ctx)
{
	const char *path = poptGetArg(ctx);
	int worst = CLI_OK;

	if (!path)
		return cli_usage("no FILE given");
	if (cli.json) {
		cli_json_begin();
		cli_json_put_open("files", '[');
	}
	for (bool first = true; path && !atomic_load(&cli_cancel);
	     path = poptGetArg(ctx), first = false) {
		if (!first && !cli.json && !vmdesc)
			(void)putchar('\n');
		worst = cli_worse(worst, inspect(path));
	}
	return cli.json ? cli_worse(worst, cli_json_end()) : worst;
}

/* Whose page tables --virt takes. */
static int check_paging(void)
{
	uint64_t length = 0;

	request.vcpu = vcpu == CLI_NOT_GIVEN ? SHOW_NO_CPU : vcpu;
	if (vcpu != CLI_NOT_GIVEN && vcpu < 0)
		return cli_usage("--vcpu is 0 or more");
	if (cr3 && (mr_parse_range(cr3, &request.cr3, &length) || length))
		return cli_usage("--cr3 is a guest-physical address");
	request.has_cr3 = cr3;
	if ((cr3 || vcpu != CLI_NOT_GIVEN) && !request.virts)
		return cli_usage("--cr3 and --vcpu are for --virt");
	return CLI_OK;
}

static int check_options(uint8_t **pattern)
{
	if (cli_io(direct, jobs, &request.direct, &request.jobs) ||
	    cli_pid(pid, &request.pid) || check_paging())
		return CLI_TROUBLE;
	if (max < 1)
		return cli_usage("--max is at least 1");
	for (size_t i = 0; request.devices && request.devices[i]; i++)
		if (i == SHOW_NAMES)
			return cli_usage("too many names of devices");
	if (cli.json && (map || vmdesc))
		return cli_usage("--json goes with neither --map nor "
				 "--vmdesc");
	if (vmdesc_from && !cpu && !request.devices)
		return cli_usage("--vmdesc-from is for --device and --cpu");
	request.max = (size_t)max;
	request.cpu = cpu;
	request.log = log_wanted;
	request.vmdesc = vmdesc;
	request.map = map;
	request.packets = packets;
	request.svg = svg;
	request.vmdesc_from = vmdesc_from;
	if (list && (show_is_asked(&request) || find || vmdesc || packets))
		return cli_usage("--list shows a line of each file, and no "
				 "more");
	return find ? show_pattern(find, pattern, &request.find_len) : CLI_OK;
}

int main(int argc, char **argv)
{
	uint8_t *pattern = NULL;
	poptContext ctx;
	int status;

	cli.schema = SCHEMA;
	cli.domains = true;
	ctx = cli_parse(argc, argv, options, "FILE...");
	status = check_options(&pattern);
	request.find = pattern;
	if (status == CLI_OK && list && poptPeekArg(ctx))
		status = show_list(poptGetArgs(ctx));
	else if (status == CLI_OK)
		status = inspect_all(ctx);
	free(pattern);
	(void)poptFreeContext(ctx);
	return cli_finish(status);
}
