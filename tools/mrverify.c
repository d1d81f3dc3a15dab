/* mrverify - say whether images are complete, consistent and unaltered. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmr/mr.h"
#include "tools/common/cli.h"

enum { SCHEMA = 1 };

static struct mr_verify_options verify;
static int jobs, need_seal, repair, seal;
static char *direct = NULL, *subset = NULL, *output = NULL;

/* clang-format off */
static struct poptOption options[] = {
	{ "direct", '\0', POPT_ARG_STRING, &direct, 0,
	  "direct I/O: auto, on or off", "WHEN" },
	{ "jobs", 'j', POPT_ARG_INT, &jobs, 0,
	  "worker threads (default: CPUs, at most 8)", "N" },
	{ "need-seal", '\0', POPT_ARG_NONE, &need_seal, 0,
	  "an image without a seal is damaged", NULL },
	{ "output", 'o', POPT_ARG_STRING, &output, 0,
	  "mend or seal a copy, not the image itself", "FILE" },
	{ "repair", '\0', POPT_ARG_NONE, &repair, 0,
	  "mend what can be mended without guessing", NULL },
	{ "seal", '\0', POPT_ARG_NONE, &seal, 0,
	  "add a seal to a sound image that has none", NULL },
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

/* A file under check. */
struct file {
	const char *path;
	json_t *findings, *did;
	char first[LINE]; /* the first damage, for people */
	bool no_memory;
};

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
static json_t *ranges_json(const struct mr_finding *f, bool *bad)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < f->n_ranges && i < MR_FINDING_RANGES; i++)
		cli_json_add(list,
			     json_pack("[I, I]", (json_int_t)f->ranges[i].first,
				       (json_int_t)f->ranges[i].pages),
			     bad);
	return list;
}

static json_t *finding_json(const struct mr_finding *f, const char *line,
			    bool *bad)
{
	json_t *j = json_pack("{s:s, s:b, s:o}", "kind",
			      mr_finding_kind_name(f->kind), "damage",
			      f->damage, "block",
			      f->block ? cli_json_text(f->block) : json_null());

	cli_json_number(j, "offset", f->offset, bad);
	cli_json_number(j, "length", f->length, bad);
	cli_json_set(j, "text", json_string(line), bad);
	if (f->pages) {
		cli_json_number(j, "first_page", f->first, bad);
		cli_json_number(j, "pages", f->pages, bad);
		cli_json_number(j, "count", f->count, bad);
	}
	if (f->ranges) {
		cli_json_set(j, "ranges", ranges_json(f, bad), bad);
		cli_json_number(j, "range_count", f->n_ranges, bad);
	}
	return j;
}

static void on_finding(void *arg, const struct mr_finding *f)
{
	struct file *file = arg;
	char line[LINE];

	describe(line, f);
	if (f->damage && !file->first[0])
		memcpy(file->first, line, LINE);
	if (json_array_size(file->findings) >= MAX_FINDINGS)
		return;
	cli_json_add(file->findings, finding_json(f, line, &file->no_memory),
		     &file->no_memory);
}

static void on_change(void *arg, const char *line)
{
	struct file *file = arg;

	cli_json_add(file->did, cli_json_text(line), &file->no_memory);
}

static void print_list(const char *prefix, const json_t *list, const char *key)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *j = json_array_get(list, i);
		bool damage = key && json_is_true(json_object_get(j, "damage"));

		if (key)
			j = json_object_get(j, key);
		printf("  %s%s\n", key && !damage ? "note: " : prefix,
		       json_string_value(j));
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
		printf("damaged: %s", file->first);
		if (r->damages > 1)
			printf(" (and %u more)", r->damages - 1);
		if (repair || seal)
			printf("; nothing was changed");
	}
	(void)putchar('\n');
}

static void print_text(const struct file *file,
		       const struct mr_verify_report *r)
{
	if (cli.quiet && r->sound)
		return;
	print_line(file, r);
	if (cli.quiet)
		return;
	if (cli.verbose)
		print_list("", file->findings, "text");
	print_list("", file->did, NULL);
}

static json_t *to_json(struct file *file, const struct mr_verify_report *r)
{
	json_t *j = json_pack("{s:o, s:b, s:b, s:b, s:s, s:i, s:i}", "image",
			      cli_json_text(file->path), "sound", r->sound,
			      "sealed", r->sealed, "changed", r->changed,
			      "kind", mr_image_kind_name(r->kind), "damages",
			      (int)r->damages, "notes", (int)r->notes);
	bool *bad = &file->no_memory;

	cli_json_number(j, "ram", r->ram, bad);
	cli_json_number(j, "data", r->data, bad);
	cli_json_number(j, "read", r->read, bad);
	cli_json_number(j, "unreadable", r->unreadable, bad);
	cli_json_number(j, "stale", r->stale, bad);
	cli_json_number(j, "waste", r->waste, bad);
	cli_json_number(j, "missing", r->missing, bad);
	if (r->subsets) {
		cli_json_number(j, "subset", r->subset, bad);
		cli_json_number(j, "subsets", r->subsets, bad);
	}
	cli_json_set(j, "direct_io", json_boolean(r->direct), bad);
	cli_json_set(j, "seconds", json_real(r->seconds), bad);
	cli_json_set(j, "findings", json_incref(file->findings), bad);
	cli_json_set(j, "did", json_incref(file->did), bad);
	return j;
}

static json_t *trouble_json(const char *path, const struct mr_error *err)
{
	return json_pack("{s:o, s:n, s:o}", "image", cli_json_text(path),
			 "sound", "error", cli_json_text(err->msg));
}

/* One file: its status; its object goes into list. */
static int check(const char *path, json_t *list, bool *stop)
{
	struct file file = { .path = path,
			     .findings = json_array(),
			     .did = json_array() };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report report;
	int status, rc;

	verify.found = on_finding;
	verify.did = on_change;
	verify.arg = &file;
	rc = mr_verify(path, &verify, &report, &err);
	cli_progress_end();
	*stop = rc && err.code == MR_CANCELLED;
	if (rc) {
		status = cli_fail(&err, output ? CLI_PATHS(path, output)
					       : CLI_PATHS(path));
		/* What was done before it went wrong. */
		if (!cli.json && !cli.quiet)
			print_list("", file.did, NULL);
	} else {
		status = report.sound ? CLI_OK : CLI_NO;
		if (!cli.json)
			print_text(&file, &report);
	}
	if (cli.json)
		cli_json_add(list,
			     rc ? trouble_json(path, &err)
				: to_json(&file, &report),
			     &file.no_memory);
	if (file.no_memory) {
		cli_say("out of memory");
		status = CLI_TROUBLE;
	}
	json_decref(file.findings);
	json_decref(file.did);
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
	if (subset && (repair || seal))
		return cli_usage("--repair and --seal look at everything, "
				 "--subset does not");
	if (output && !repair && !seal)
		return cli_usage("--output needs --repair or --seal");
	verify.need_seal = need_seal;
	verify.repair = repair;
	verify.seal = seal;
	verify.output = output;
	verify.watch = *cli_watch();
	return subset ? read_subset() : CLI_OK;
}

static int check_all(const char **paths)
{
	json_t *list = json_array();
	int status = CLI_OK;
	bool stop = false;

	for (; paths && *paths && !stop; paths++)
		status = cli_worse(status, check(*paths, list, &stop));
	if (cli.json) {
		json_t *root = cli_json_new(SCHEMA);
		bool bad = false;

		cli_json_set(root, "sound", json_boolean(status == CLI_OK),
			     &bad);
		cli_json_set(root, "files", json_incref(list), &bad);
		status = cli_worse(status, cli_json_print(root, bad));
	}
	json_decref(list);
	return status;
}

int main(int argc, char **argv)
{
	poptContext ctx = cli_parse(argc, argv, options, "IMAGE...");
	const char **paths = poptGetArgs(ctx);
	int status = check_options();

	if (status == CLI_OK && !paths)
		status = cli_usage("no IMAGE");
	if (status == CLI_OK && output && paths[1])
		status = cli_usage("--output takes one IMAGE");
	if (status == CLI_OK)
		status = check_all(paths);
	poptFreeContext(ctx);
	return cli_finish(status);
}
