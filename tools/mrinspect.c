/* mrinspect.c - shows what is in an image, a stream, a libvirt save file. */
#include <stdio.h>

#include "libmr/mr.h"
#include "tools/cli.h"
#include "tools/show.h"

enum { SCHEMA = 1 };

/* clang-format off */
static const struct poptOption options[] = {
	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Options:", NULL },
	POPT_TABLEEND
};
/* clang-format on */

static int status_of(enum mr_verdict verdict)
{
	return verdict == MR_VERDICT_SOUND ? CLI_OK : CLI_NO;
}

/* A file that can't be read; programs want to know which. */
static int trouble(const char *path, const struct mr_error *err, json_t *files)
{
	int status = cli_fail(path, err);

	if (files)
		(void)json_array_append_new(
			files,
			json_pack("{s:o*, s:o*}", "path", cli_json_text(path),
				  "error", cli_json_text(err->msg)));
	return status;
}

static int inspect(const char *path, json_t *files)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_inspection in = { 0 };
	struct mr_image *img =
		mr_image_open(path, MR_DIRECT_OFF, cli_watch(), &err);
	int status;

	cli_progress_end();
	if (!img || mr_inspect(img, cli_watch(), &in, &err)) {
		status = trouble(path, &err, files);
	} else {
		status = status_of(in.verdict);
		if (!files)
			show_text(path, mr_image_info(img), &in);
		else if (json_array_append_new(
				 files,
				 show_json(path, mr_image_info(img), &in))) {
			cli_say("out of memory");
			status = CLI_TROUBLE;
		}
	}
	mr_inspection_release(&in);
	mr_image_free(img);
	return status;
}

/* All FILEs; the worst status. */
static int inspect_all(poptContext ctx, json_t *files)
{
	const char *path = poptGetArg(ctx);
	int worst = CLI_OK;

	if (!path)
		return cli_usage("no FILE given");
	for (bool first = true; path && !atomic_load(&cli_cancel);
	     path = poptGetArg(ctx), first = false) {
		int status;

		if (!first && !files)
			(void)putchar('\n');
		status = inspect(path, files);
		if (status > worst)
			worst = status;
	}
	return worst;
}

int main(int argc, char **argv)
{
	poptContext ctx = cli_parse(argc, argv, options, "FILE...");
	json_t *files = cli.json ? json_array() : NULL;
	int status = inspect_all(ctx, files);

	if (json_array_size(files)) {
		json_t *root = cli_json_new(SCHEMA);

		(void)json_object_set(root, "files", files);
		if (cli_json_print(root))
			status = CLI_TROUBLE;
	}
	json_decref(files);
	(void)poptFreeContext(ctx);
	return cli_finish(status);
}
