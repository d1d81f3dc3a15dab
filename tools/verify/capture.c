/* capture.c - one line, or one object, about a capture. */
#include "tools/verify/capture.h"

#include <inttypes.h>
#include <stdio.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"

/* A finding, with all of its bytes escaped. */
enum { LINE = 4 * 256 };

static const char *damage_line(char buf[LINE], const struct mr_error *e)
{
	char safe[4 * sizeof(e->msg)];

	(void)cli_escape(safe, sizeof(safe), e->msg);
	if (e->offset == MR_NO_OFFSET)
		(void)snprintf(buf, LINE, "%.990s", safe);
	else
		(void)snprintf(buf, LINE, "%.960s at byte %" PRIu64, safe,
			       e->offset);
	return buf;
}

/* What is odd, and breaks nothing. */
static unsigned notes(const struct mr_capture_info *info)
{
	return (info->pages.twice ? 1U : 0U) +
	       (info->index_damage.code != MR_OK ? 1U : 0U);
}

static void print_notes(const struct mr_capture_info *info)
{
	char line[LINE];

	if (info->pages.twice)
		(void)printf("  note: %" PRIu64 " pages came again within a "
			     "round: memory was plugged, the source is an "
			     "old QEMU (7.2), or wrong\n",
			     info->pages.twice);
	if (info->index_damage.code != MR_OK)
		(void)printf("  note: %s\n",
			     damage_line(line, &info->index_damage));
}

static void print_text(const char *path, const struct mr_capture_info *info)
{
	char safe[4 * 4096], line[LINE];
	unsigned n = notes(info);

	if (cli.quiet && info->damage.code == MR_OK)
		return;
	(void)printf("%s: ", cli_escape(safe, sizeof(safe), path));
	if (info->damage.code != MR_OK) {
		(void)printf("damaged: %s\n", damage_line(line, &info->damage));
		return;
	}
	(void)printf("a complete migration, %u channel%s, %" PRIu64
		     " pages in %zu round%s",
		     info->channels, info->channels == 1 ? "" : "s",
		     info->pages.data + info->pages.zero, info->n_rounds,
		     info->n_rounds == 1 ? "" : "s");
	if (info->n_words)
		(void)printf(", %zu checkpoint%s", info->n_checkpoints,
			     info->n_checkpoints == 1 ? "" : "s");
	if (n)
		(void)printf(", %u note%s", n, n == 1 ? "" : "s");
	(void)putchar('\n');
	if (cli.verbose)
		print_notes(info);
}

static void put_finding(bool damage, const char *text, uint64_t offset)
{
	cli_json_item();
	cli_json_open('{');
	cli_json_put_text("kind", "capture");
	cli_json_put_bool("damage", damage);
	if (offset == MR_NO_OFFSET)
		cli_json_put_null("offset");
	else
		cli_json_put_number("offset", offset);
	cli_json_put_text("text", text);
	cli_json_close();
}

static void put_json(const struct mr_capture_info *info)
{
	bool sound = info->damage.code == MR_OK;

	cli_json_put_open("findings", '[');
	if (!sound)
		put_finding(true, info->damage.msg, info->damage.offset);
	if (info->pages.twice)
		put_finding(false, "pages came again within a round",
			    MR_NO_OFFSET);
	if (info->index_damage.code != MR_OK)
		put_finding(false, info->index_damage.msg,
			    info->index_damage.offset);
	cli_json_close();
	cli_json_put_bool("sound", sound);
	cli_json_put_text("kind", "capture");
	cli_json_put_number("damages", !sound);
	cli_json_put_number("notes", notes(info));
	cli_json_put_number("channels", info->channels);
	cli_json_put_number("packets", info->packets);
	cli_json_put_number("barriers", info->barriers);
	cli_json_put_number("rounds", info->n_rounds);
	cli_json_put_number("checkpoints", info->n_checkpoints);
	cli_json_put_number("data_pages", info->pages.data);
	cli_json_put_number("zero_pages", info->pages.zero);
	cli_json_put_number("twice", info->pages.twice);
	cli_json_put_number("read", info->bytes);
}

int verify_capture(const char *path, bool *stop)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_capture_info info;
	int status;

	if (cli.json) {
		cli_json_item();
		cli_json_open('{');
		cli_json_put_text("path", path);
	}
	if (mr_capture_read(path, cli_watch(), &info, &err)) {
		cli_tell_end();
		*stop = err.code == MR_CANCELLED;
		status = cli_fail(&err, CLI_PATHS(path));
		if (cli.json) {
			cli_json_put_null("sound");
			cli_json_put_failure();
		}
	} else {
		cli_tell_end();
		status = info.damage.code == MR_OK ? CLI_OK : CLI_NO;
		if (cli.json)
			put_json(&info);
		else
			print_text(path, &info);
	}
	if (cli.json)
		cli_json_close();
	mr_capture_release(&info);
	return status;
}
