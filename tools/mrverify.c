/* mrverify - say whether images are complete, consistent and unaltered. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"
#include "tools/common/metrics.h"
#include "tools/verify/capture.h"

enum { SCHEMA = 2 };

static struct mr_verify_options verify;
static int jobs = CLI_NOT_GIVEN, force, need_seal, repair, seal;
static char *direct = NULL, *limit = NULL, *metrics = NULL, *subset = NULL,
	    *output = NULL;

/* clang-format off */
static struct poptOption options[] = {
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "force", '\0', POPT_ARG_NONE, &force, 0,
	  "let --output replace what is no image", NULL },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "worker threads (default: CPUs, at most 8)", "N" },
	{ "limit", '\0', POPT_ARG_STRING, &limit, 0,
	  "read pages slowly, bytes a second at most", "RATE" },
	{ "metrics", '\0', POPT_ARG_STRING, &metrics, 0, METRICS_HELP,
	  "FILE" },
	{ "need-seal", '\0', POPT_ARG_NONE, &need_seal, 0,
	  "an image without a seal is damaged", NULL },
	{ "output", 'o', POPT_ARG_STRING, &output, 0,
	  "mend or seal a copy, not the image itself", "FILE" },
	{ "repair", '\0', POPT_ARG_NONE, &repair, 0,
	  "mend what can be mended without guessing", NULL },
	{ "seal", '\0', POPT_ARG_NONE, &seal, 0,
	  "add a seal to a sound image, or renew an old one", NULL },
	{ "subset", '\0', POPT_ARG_STRING, &subset, 0,
	  "check part N of M, or about SIZE, another part each day",
	  "N/M|SIZE" },
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
	  NULL },
	POPT_TABLEEND
};
/* clang-format on */

/* What JSON has of one file; the rest is counted. */
#define MAX_FINDINGS 10000

/* A finding as a line, when every byte of it has to be escaped. */
enum { LINE = 4 * 256 + 4 * 240 + 16 };

/* Lines for people, told after the verdict. */
struct lines {
	FILE *to; /* NULL: none yet */
	char *text;
	size_t size;
};

/* A file under check. For programs, findings and changes are printed as they
 * come. */
struct file {
	const char *path;
	struct lines findings, did;
	uint64_t printed; /* findings */
	bool changing; /* the list that is open is that of changes */
	char first[LINE]; /* the first damage, for people */
	bool no_memory;
};

static void add_line(struct file *file, struct lines *lines, const char *prefix,
		     const char *text)
{
	if (!lines->to)
		lines->to = open_memstream(&lines->text, &lines->size);
	if (!lines->to || fprintf(lines->to, "  %s%s\n", prefix, text) < 0)
		file->no_memory = true;
}

static void print_lines(struct file *file, struct lines *lines)
{
	if (lines->to && fflush(lines->to))
		file->no_memory = true;
	else if (lines->to)
		(void)fputs(lines->text, stdout);
}

static void free_lines(struct lines *lines)
{
	if (lines->to)
		(void)fclose(lines->to);
	free(lines->text);
}

static void describe(char buf[LINE], const struct mr_finding *f)
{
	char block[4 * 256], text[4 * sizeof(f->text)];

	(void)cli_escape(text, sizeof(text), f->text);
	if (f->block)
		(void)snprintf(buf, LINE, "block %s: %s",
			       cli_escape(block, sizeof(block), f->block),
			       text);
	else
		(void)snprintf(buf, LINE, "%s", text);
}

/* [[first page, pages], ...] */
static void put_ranges(const struct mr_finding *f)
{
	cli_json_put_open("ranges", '[');
	for (uint64_t i = 0; i < f->n_ranges && i < MR_FINDING_RANGES; i++) {
		cli_json_item();
		cli_json_open('[');
		cli_json_item(), cli_json_number(f->ranges[i].first);
		cli_json_item(), cli_json_number(f->ranges[i].pages);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_number("range_count", f->n_ranges);
}

static void put_finding(const struct mr_finding *f, const char *line)
{
	cli_json_item();
	cli_json_open('{');
	cli_json_put_text("kind", mr_finding_kind_name(f->kind));
	cli_json_put_bool("damage", f->damage);
	cli_json_put_text("block", f->block);
	cli_json_put_number("offset", f->offset);
	cli_json_put_number("length", f->length);
	cli_json_put_text("text", line);
	if (f->pages) {
		cli_json_put_number("first_page", f->first);
		cli_json_put_number("pages", f->pages);
		cli_json_put_number("count", f->count);
	}
	if (f->ranges)
		put_ranges(f);
	cli_json_close();
}

static void on_finding(void *arg, const struct mr_finding *f)
{
	struct file *file = arg;
	char line[LINE];

	describe(line, f);
	if (f->damage && !file->first[0])
		memcpy(file->first, line, LINE);
	if (!cli.json && cli.verbose)
		add_line(file, &file->findings,
			 f->damage ? "" : "note: ", line);
	if (cli.json && file->printed++ < MAX_FINDINGS)
		put_finding(f, line);
}

/* What was found comes first, then what was done about it. */
static void open_changes(struct file *file)
{
	if (file->changing)
		return;
	file->changing = true;
	cli_json_close();
	cli_json_put_open("did", '[');
}

static void on_change(void *arg, const char *line)
{
	struct file *file = arg;
	char safe[LINE];

	if (cli.json) {
		open_changes(file);
		cli_json_item();
		cli_json_string(line);
	} else {
		add_line(file, &file->did, "",
			 cli_escape(safe, sizeof(safe), line));
	}
}

static void print_line(const struct file *file,
		       const struct mr_verify_report *r)
{
	char path[4096 * 4], a[CLI_HUMAN], b[CLI_HUMAN];

	printf("%s: ", cli_escape(path, sizeof(path), file->path));
	if (r->sound) {
		printf("sound%s, %s of memory, %s looked at",
		       r->sealed ? ", sealed" : "", cli_human(a, r->ram),
		       cli_human(b, r->read));
		if (r->subsets)
			printf(" (part %u of %u)", r->subset, r->subsets);
		if (r->damages)
			printf(", mended");
		else if (r->notes)
			printf(", %u note%s", r->notes,
			       r->notes == 1 ? "" : "s");
	} else {
		printf("%s%s", r->kind == MR_IMAGE_FOREIGN ? "" : "damaged: ",
		       file->first);
		if (r->damages > 1)
			printf(" (and %u more)", r->damages - 1);
		if (repair || seal)
			printf("; nothing was changed");
	}
	(void)putchar('\n');
}

static void print_text(struct file *file, const struct mr_verify_report *r)
{
	if (cli.quiet && r->sound)
		return;
	print_line(file, r);
	if (cli.quiet)
		return;
	print_lines(file, &file->findings);
	print_lines(file, &file->did);
}

static void open_json(const char *path)
{
	cli_json_item();
	cli_json_open('{');
	cli_json_put_text("path", path);
	cli_json_put_open("findings", '[');
}

static void close_json(struct file *file, const struct mr_verify_report *r)
{
	open_changes(file);
	cli_json_close();
	if (!r) {
		cli_json_put_null("sound");
		cli_json_put_failure();
		cli_json_close();
		return;
	}
	cli_json_put_bool("sound", r->sound);
	cli_json_put_bool("sealed", r->sealed);
	cli_json_put_bool("changed", r->changed);
	cli_json_put_text("kind", mr_image_kind_name(r->kind));
	cli_json_put_number("damages", r->damages);
	cli_json_put_number("notes", r->notes);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("data", r->data);
	cli_json_put_number("read", r->read);
	cli_json_put_number("unreadable", r->unreadable);
	cli_json_put_number("stale", r->stale);
	cli_json_put_number("waste", r->waste);
	cli_json_put_number("missing", r->missing);
	if (r->subsets) {
		cli_json_put_number("subset", r->subset);
		cli_json_put_number("subsets", r->subsets);
	}
	cli_json_put_bool("direct_io", r->direct);
	cli_json_put_real("seconds", r->seconds);
	cli_json_close();
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* One file, number n: its status. */
static int check(const char *path, size_t n, bool *stop)
{
	struct file file = { .path = path };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report report;
	struct metrics_figures figures = { .memory = 0 };
	int status, rc;

	if (is_folder(path)) {
		status = verify_capture(path, stop);
		metrics_done(n, status, NULL);
		return status;
	}
	verify.found = on_finding;
	verify.did = on_change;
	verify.arg = &file;
	if (cli.json)
		open_json(path);
	rc = mr_verify(path, &verify, &report, &err);
	cli_tell_end();
	*stop = rc && err.code == MR_CANCELLED;
	if (rc) {
		status = cli_fail(&err, output ? CLI_PATHS(path, output)
					       : CLI_PATHS(path));
		/* What was done before it went wrong. */
		if (!cli.quiet)
			print_lines(&file, &file.did);
	} else {
		status = report.sound ? CLI_OK : CLI_NO;
		figures.memory = report.ram;
		figures.data = report.data;
		if (!cli.json)
			print_text(&file, &report);
	}
	if (cli.json)
		close_json(&file, rc ? NULL : &report);
	if (file.no_memory)
		status = cli_worse(status, cli_no_memory());
	metrics_done(n, status, rc ? NULL : &figures);
	free_lines(&file.findings);
	free_lines(&file.did);
	return status;
}

/* "N/M" or a size. */
static int read_subset(void)
{
	unsigned long n, m;
	char *end;

	if (!strchr(subset, '/')) {
		if (cli_size("--subset", subset, &verify.subset_bytes))
			return CLI_TROUBLE;
		if (!verify.subset_bytes)
			return cli_usage("--subset of 0 bytes");
		verify.turn = (uint64_t)time(NULL) / 86400;
		return CLI_OK;
	}
	errno = 0;
	n = strtoul(subset, &end, 10);
	if (*subset < '0' || *subset > '9' || *end != '/' || end[1] < '0' ||
	    end[1] > '9')
		return cli_usage("--subset is N/M or a size, not %s", subset);
	m = strtoul(end + 1, &end, 10);
	if (*end || errno || n < 1 || n > m || m > 1000000)
		return cli_usage("--subset: N/M is 1/1 to 1000000/1000000, "
				 "not %s",
				 subset);
	verify.subset = (unsigned)n;
	verify.subsets = (unsigned)m;
	return CLI_OK;
}

static int check_options(void)
{
	if (cli_io(direct, jobs, &verify.direct, &verify.jobs))
		return CLI_TROUBLE;
	if (cli_limit(limit, &verify.limit))
		return CLI_TROUBLE;
	if (subset && (repair || seal))
		return cli_usage("--repair and --seal look at everything, "
				 "--subset does not");
	if (output && !repair && !seal)
		return cli_usage("--output needs --repair or --seal");
	verify.need_seal = need_seal;
	verify.repair = repair;
	verify.seal = seal;
	verify.output = output;
	verify.force = force;
	verify.watch = *cli_watch();
	return subset ? read_subset() : CLI_OK;
}

static int check_all(const char **paths)
{
	int status = CLI_OK;
	bool stop = false;

	if (cli.json) {
		cli_json_begin();
		cli_json_put_open("files", '[');
	}
	for (size_t i = 0; paths && paths[i] && !stop; i++)
		status = cli_worse(status, check(paths[i], i, &stop));
	if (!cli.json)
		return status;
	cli_json_close();
	cli_json_put_bool("sound", status == CLI_OK);
	return cli_worse(status, cli_json_end());
}

static int check_folders(const char *const *paths)
{
	bool asked = need_seal || repair || seal || subset;

	for (; asked && paths && *paths; paths++)
		if (is_folder(*paths))
			return cli_usage("%s is a folder: a capture has no "
					 "seal and no parts, and is not mended",
					 *paths);
	return CLI_OK;
}

int main(int argc, char **argv)
{
	poptContext ctx;
	const char **paths;
	int status;

	cli.schema = SCHEMA;
	ctx = cli_parse(argc, argv, options, "IMAGE...");
	paths = poptGetArgs(ctx);
	status = metrics_begin(metrics, paths ? paths : CLI_PATHS(NULL));
	if (status == CLI_OK)
		status = check_options();
	if (status == CLI_OK && !paths)
		status = cli_usage("no IMAGE");
	if (status == CLI_OK && output && paths[1])
		status = cli_usage("--output takes one IMAGE");
	if (status == CLI_OK)
		status = check_folders(paths);
	if (status == CLI_OK)
		status = check_all(paths);
	poptFreeContext(ctx);
	return cli_finish(status);
}
