/* mrsend - play an image into a QEMU that waits for a migration. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"

static struct mr_send_options send = MR_SEND_OPTIONS_INIT;
static int channels = CLI_NOT_GIVEN, timeout = CLI_NOT_GIVEN;
static char *compress = NULL, *direct = NULL, *uuid = NULL;

/* clang-format off */
static struct poptOption options[] = {
	{ "channels", '\0', POPT_ARG_INT, &channels, 0,
	  "multifd, with so many channels, as the destination was told", "N" },
	{ "compress", '\0', POPT_ARG_STRING, &compress, 0,
	  "pack what the channels carry: none, zlib or zstd",
	  "NAME[:LEVEL]" },
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "timeout", '\0', POPT_ARG_INT, &timeout, 0,
	  "give up a destination that is silent for so long (default: 300)",
	  "SECONDS" },
	{ "uuid", '\0', POPT_ARG_STRING, &uuid, 0,
	  "what the destination has as its -uuid, with --channels", "UUID" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

static void print_text(const struct mr_send_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN];

	printf("machine    %s, %s\n", r->machine,
	       r->run_state[0] ? r->run_state
			       : "in a state that it does not say");
	printf("memory     %s in %zu blocks: %s data\n", cli_human(a, r->ram),
	       r->blocks, cli_human(b, r->data));
	printf("sent       %s, device state %s\n", cli_human(a, r->sent),
	       cli_human(c, r->device));
	printf("time       %.3f s (%.0f MiB/s)\n", r->seconds,
	       cli_rate(r->sent, r->seconds));
}

static int print_json(const char *uri, const struct mr_send_report *r)
{
	cli_json_begin();
	cli_json_put_text("uri", uri);
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("run_state", r->run_state[0] ? r->run_state : NULL);
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("data", r->data);
	cli_json_put_number("device", r->device);
	cli_json_put_number("sent", r->sent);
	cli_json_put_number("packets", r->packets);
	cli_json_put_real("seconds", r->seconds);
	return cli_json_end();
}

/* "zstd:3" */
static int check_compress(void)
{
	static const struct {
		const char *name;
		enum mr_compress how;
		long most;
	} kinds[] = { { "none", MR_COMPRESS_NONE, 0 },
		      { "zlib", MR_COMPRESS_ZLIB, 9 },
		      { "zstd", MR_COMPRESS_ZSTD, 20 } };
	const char *text = compress ? compress : "none";
	size_t n = strcspn(text, ":");
	char *end = NULL;
	long level = 1;

	if (text[n])
		level = strtol(text + n + 1, &end, 10);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(kinds[i].name, text, n) != 0 || kinds[i].name[n])
			continue;
		if (text[n] && (!kinds[i].most || !text[n + 1] || *end ||
				level < 0 || level > kinds[i].most))
			break;
		send.compress = kinds[i].how;
		send.level = (int)level;
		return CLI_OK;
	}
	return cli_usage("--compress takes none, zlib[:0 to 9] or "
			 "zstd[:0 to 20]");
}

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c | (c > '9' ? 0x20 : 0)) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* 8-4-4-4-12 digits, as QEMU takes it. */
static int check_uuid(void)
{
	size_t n = 0;

	for (const char *p = uuid; p && *p; p++) {
		size_t at = (size_t)(p - uuid);

		if (at == 8 || at == 13 || at == 18 || at == 23) {
			if (*p != '-')
				break;
			continue;
		}
		if (n == 32 || digit(*p) < 0)
			break;
		send.uuid[n / 2] = (uint8_t)(send.uuid[n / 2] << 4 | digit(*p));
		n++;
	}
	if (uuid && (n != 32 || strlen(uuid) != 36))
		return cli_usage("--uuid takes a UUID: 8-4-4-4-12 hexadecimal "
				 "digits");
	return CLI_OK;
}

static int check_options(void)
{
	unsigned none;

	if (cli_io(direct, CLI_NOT_GIVEN, &send.direct, &none) ||
	    check_compress() || check_uuid())
		return CLI_TROUBLE;
	if (channels != CLI_NOT_GIVEN &&
	    (channels < 0 || channels > (int)MR_CHANNELS_MAX))
		return cli_usage("--channels takes 0 to %u", MR_CHANNELS_MAX);
	if (timeout != CLI_NOT_GIVEN && (timeout < 1 || timeout > 86400))
		return cli_usage("--timeout takes 1 to 86400 seconds");
	send.channels = channels == CLI_NOT_GIVEN ? 0 : (unsigned)channels;
	if (send.compress != MR_COMPRESS_NONE && !send.channels)
		return cli_usage("--compress is for channels: it needs "
				 "--channels");
	if (uuid && !send.channels)
		return cli_usage("--uuid is for channels: it needs --channels");
	send.timeout = timeout == CLI_NOT_GIVEN ? 0 : (unsigned)timeout;
	send.watch = *cli_watch();
	return CLI_OK;
}

static int run(const char *image, const char *uri)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_send_report report;
	int rc = mr_send(image, uri, &send, &report, &err);

	cli_tell_end();
	if (rc)
		return cli_fail(&err, CLI_PATHS(image, uri));
	cli.done = true;
	if (cli.json)
		return print_json(uri, &report);
	if (!cli.quiet)
		print_text(&report);
	return CLI_OK;
}

int main(int argc, char **argv)
{
	poptContext ctx = cli_parse(argc, argv, options, "IMAGE URI");
	const char *image = poptGetArg(ctx), *uri = poptGetArg(ctx);
	int status;

	if (!image || !uri || poptPeekArg(ctx))
		status = cli_usage("IMAGE and URI (where a QEMU waits) are "
				   "needed");
	else
		status = check_options();
	if (status == CLI_OK)
		status = run(image, uri);
	poptFreeContext(ctx);
	return cli_finish(status);
}
