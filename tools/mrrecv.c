/* mrrecv - take a migration into a mapped-ram image. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/recv/history.h"

static struct mr_recv_options recv = MR_RECV_OPTIONS_INIT;
static int force, no_seal, timeout = CLI_NOT_GIVEN;
static int checkpoint = CLI_NOT_GIVEN;
static int replay, colo, durable;
static struct history history = { .keep = CLI_NOT_GIVEN };
static char *cache = NULL, *capture = NULL, *direct = NULL;

/* clang-format off */
static struct poptOption options[] = {
	{ "cache", '\0', POPT_ARG_STRING, &cache, 0,
	  "keep what is not in IMAGE yet in a file in this folder, not in memory",
	  "DIR" },
	{ "capture", '\0', POPT_ARG_STRING, &capture, 0,
	  "keep what the source sends in this new folder; IMAGE may be left out",
	  "DIR" },
	{ "checkpoint", '\0', POPT_ARG_INT, &checkpoint, 0,
	  "of --replay: that of a COLO primary, not its last; 0: none yet",
	  "N" },
	{ "colo", '\0', POPT_ARG_NONE, &colo, 0,
	  "the source is a COLO primary: each checkpoint becomes IMAGE", NULL },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "durable", '\0', POPT_ARG_NONE, &durable, 0,
	  "the primary waits until a checkpoint is on the disk", NULL },
	{ "every", '\0', POPT_ARG_STRING, &history.every, 0,
	  "of --history: a checkpoint so often, not each of them", "TIME" },
	{ "force", '\0', POPT_ARG_NONE, &force, 0,
	  "replace a file that is no image", NULL },
	{ "history", '\0', POPT_ARG_STRING, &history.folder, 0,
	  "with --colo: keep each checkpoint in this folder, as a pack",
	  "DIR" },
	{ "keep", '\0', POPT_ARG_INT, &history.keep, 0,
	  "of --history: the newest ones, and what they stand on", "N" },
	{ "no-seal", '\0', POPT_ARG_NONE, &no_seal, 0,
	  "leave out the digests that mrverify checks", NULL },
	{ "replay", '\0', POPT_ARG_NONE, &replay, 0,
	  "URI is the folder of a capture: no source is needed", NULL },
	{ "timeout", '\0', POPT_ARG_INT, &timeout, 0,
	  "give up a source that is silent for so long (default: 300)",
	  "SECONDS" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static void print_checkpoints(const struct mr_recv_report *r)
{
	char changed[CLI_HUMAN];

	if (!r->primary)
		printf("primary    never was one: the migration ended as an "
		       "ordinary one does\n");
	else
		printf("primary    %" PRIu64
		       " checkpoints, %s changed; %" PRIu64
		       " became the image%s\n",
		       r->checkpoints, cli_human(changed, r->changed), r->kept,
		       r->broken ? "; the last one broke off, and is not kept"
				 : "");
	if (history.folder)
		printf("history    %" PRIu64 " packs, %zu there now%s\n",
		       history.made, history.n,
		       history.failed ? "; some could not be made" : "");
	if (r->last)
		printf("image      of checkpoint %" PRIu64
		       ", the last whole one\n",
		       r->last);
	else
		printf("image      of the first migration\n");
	printf("end        %s\n",
	       r->end[0] ? r->end : "the source closed the connection");
}

static void print_replayed(const struct mr_recv_report *r)
{
	char changed[CLI_HUMAN];

	if (r->last)
		printf("image      of checkpoint %" PRIu64
		       ", %s changed since the first migration\n",
		       r->last, cli_human(changed, r->changed));
	else
		printf("image      of the first migration\n");
	if (r->broken)
		printf("behind it  a checkpoint that broke off: %s\n", r->end);
}

static void print_text(const struct mr_recv_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN], d[CLI_HUMAN];

	printf("machine    %s, %s\n", r->machine,
	       r->run_state[0] ? r->run_state
			       : "in a state that it does not say");
	if (r->channels)
		printf("stream     %u channels, %s, %" PRIu64
		       " packets, %" PRIu64 " barriers\n",
		       r->channels, r->method, r->packets, r->barriers);
	else
		printf("stream     one connection\n");
	printf("memory     %s in %zu blocks: %s data; %s came, %s of it zero\n",
	       cli_human(a, r->ram), r->blocks, cli_human(b, r->data),
	       cli_human(c, r->pages), cli_human(d, r->zero));
	printf("received   %s, written %s, device state %s, %s I/O\n",
	       cli_human(a, r->received), cli_human(b, r->written),
	       cli_human(c, r->device), r->direct ? "direct" : "buffered");
	if (replay && r->primary) {
		print_replayed(r);
	} else if (colo && !replay) {
		print_checkpoints(r);
	} else if (!replay) {
		printf("source     %s\n",
		       r->told ? "told that all has arrived"
			       : "not told: without return-path its "
				 "\"completed\" proves nothing");
	}
	printf("time       %.3f s (%.0f MiB/s)\n", r->seconds,
	       cli_rate(r->received, r->seconds));
}

static void put_checkpoints(const struct mr_recv_report *r)
{
	cli_json_put_bool("primary", r->primary);
	cli_json_put_number("checkpoints", r->checkpoints);
	cli_json_put_number("kept", r->kept);
	cli_json_put_number("last", r->last);
	cli_json_put_number("changed", r->changed);
	cli_json_put_number("empty", r->empty);
	cli_json_put_bool("broken", r->broken);
	cli_json_put_text("end", r->end[0] ? r->end : NULL);
	cli_json_put_text("history", history.folder);
	cli_json_put_number("history_made", history.made);
	cli_json_put_number("history_failed", history.failed);
}

static int print_json(const char *image, const struct mr_recv_report *r)
{
	cli_json_begin();
	cli_json_put_text("image", image);
	cli_json_put_text("capture", capture);
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("run_state", r->run_state[0] ? r->run_state : NULL);
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("channels", r->channels);
	cli_json_put_text("method", r->channels ? r->method : NULL);
	cli_json_put_number("received", r->received);
	cli_json_put_number("pages", r->pages);
	cli_json_put_number("zero", r->zero);
	cli_json_put_number("data", r->data);
	cli_json_put_number("written", r->written);
	cli_json_put_number("packets", r->packets);
	cli_json_put_number("barriers", r->barriers);
	cli_json_put_number("device", r->device);
	cli_json_put_number("size", r->size);
	cli_json_put_bool("return_path", r->return_path);
	put_checkpoints(r);
	cli_json_put_bool("direct_io", r->direct);
	cli_json_put_bool("sealed", r->sealed);
	cli_json_put_real("waited_seconds", r->waited);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

/* Whoever starts the source has to know when, and what port 0 became. */
static void tell(void *arg, const char *line)
{
	(void)arg;
	if (!cli.quiet)
		cli_say("%s", line);
}

static int check_options(const char *image)
{
	unsigned none;

	if (cli_io(direct, CLI_NOT_GIVEN, &recv.direct, &none))
		return CLI_TROUBLE;
	if (capture && replay)
		return cli_usage("--capture and --replay contradict");
	if ((durable || history.folder) && replay)
		return cli_usage("--%s and --replay contradict",
				 durable ? "durable" : "history");
	if (checkpoint != CLI_NOT_GIVEN && !replay)
		return cli_usage("--checkpoint is for --replay only");
	if (checkpoint != CLI_NOT_GIVEN && checkpoint < 0)
		return cli_usage("--checkpoint takes a number from 0 on");
	if ((durable || cache || history.folder) && !colo && !replay)
		return cli_usage("--%s is for --colo only",
				 durable ? "durable"
				 : cache ? "cache"
					 : "history");
	if (colo && !image)
		return cli_usage("--colo needs IMAGE");
	if (capture && image && !strcmp(capture, image))
		return cli_usage("%s cannot be both the folder of a capture "
				 "and the image",
				 image);
	if (timeout != CLI_NOT_GIVEN && (timeout < 1 || timeout > 86400))
		return cli_usage("--timeout takes 1 to 86400 seconds");
	recv.timeout = timeout == CLI_NOT_GIVEN ? 0 : (unsigned)timeout;
	recv.force = force;
	recv.no_seal = no_seal;
	recv.capture = capture;
	/* Whether it was a primary's, a capture says itself. */
	recv.colo = colo || replay;
	if (checkpoint != CLI_NOT_GIVEN)
		recv.checkpoint = (uint64_t)checkpoint;
	recv.durable = durable;
	recv.cache = cache;
	if (history.folder) {
		recv.kept = history_kept;
		recv.kept_arg = &history;
	}
	history.image = image;
	recv.replay = replay;
	recv.tell = tell;
	recv.watch = *cli_watch();
	return history_begin(&history);
}

/* What went wrong has been told; and there is an image all the same. */
static void tell_standing(const char *image, const struct mr_recv_report *r)
{
	if (r->last)
		cli_say("%s: whole, as of checkpoint %" PRIu64, image, r->last);
	else
		cli_say("%s: whole, as of the first migration", image);
	if (!cli.json)
		return;
	cli_json_begin();
	cli_json_put_text("image", image);
	cli_json_put_number("last", r->last);
	(void)cli_json_end();
}

static int run(const char *uri, const char *image)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_recv_report report;
	int rc = mr_recv(uri, image, &recv, &report, &err);

	cli_tell_end();
	if (rc) {
		rc = cli_fail(&err,
			      CLI_PATHS(uri, image ? image : "", capture));
		if (report.standing)
			tell_standing(image, &report);
		return rc;
	}
	cli.done = true;
	if (report.checkpoints > 1 && report.empty == report.checkpoints)
		cli_say("%s: none of %" PRIu64 " checkpoints had any memory in "
			"it: if the guest was at work, its QEMU is at fault, "
			"and the image is of no use",
			image, report.checkpoints);
	rc = CLI_OK;
	if (cli.json)
		rc = print_json(image, &report);
	else if (!cli.quiet)
		print_text(&report);
	return history.failed ? cli_worse(rc, CLI_TROUBLE) : rc;
}

int main(int argc, char **argv)
{
	poptContext ctx = cli_parse(argc, argv, options, "URI [IMAGE]");
	const char *uri = poptGetArg(ctx), *image = poptGetArg(ctx);
	int status;

	if (!uri || (!image && !capture) || poptPeekArg(ctx))
		status = cli_usage("URI (where to listen) and IMAGE are "
				   "needed (or --capture=DIR instead)");
	else
		status = check_options(image);
	if (status == CLI_OK)
		status = run(uri, image);
	history_release(&history);
	poptFreeContext(ctx);
	return cli_finish(status);
}
