/* history.c - packs of what was the image, the oldest ones removed. */
#include "tools/recv/history.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/cli.h"

/* Packs that one is put together from, at most. */
#define CHAIN 8u

/* ---- the packs that there are ---- */

/* "2026-11-28T005906.123Z-12.mrp": in the order of time. */
static bool is_ours(const char *name)
{
	static const char form[] = "####-##-##T######.###Z-#";
	size_t n = sizeof(form) - 2, digits;

	for (size_t i = 0; i < n; i++)
		if (form[i] == '#' ? name[i] < '0' || name[i] > '9'
				   : name[i] != form[i])
			return false;
	digits = strspn(name + n, "0123456789");
	return digits && !strcmp(name + n + digits, ".mrp");
}

static int add(struct history *h, char *path, bool full)
{
	struct history_pack *more;

	if (h->n == h->room) {
		size_t room = h->room ? 2 * h->room : 16;

		more = realloc(h->packs, room * sizeof(*more));
		if (!more)
			return -1;
		h->packs = more;
		h->room = room;
	}
	h->packs[h->n++] = (struct history_pack){ .path = path, .full = full };
	return 0;
}

/* What cannot be read needs something else, as far as is known. */
static bool is_full(const char *path)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img = mr_image_open(path, MR_DIRECT_AUTO, NULL, &err);
	bool full = img && mr_image_info(img)->has_pack &&
		    mr_image_info(img)->pack.whole &&
		    !mr_image_info(img)->pack.increment;

	mr_image_free(img);
	return full;
}

static int by_name(const void *a, const void *b)
{
	const struct history_pack *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static int look(struct history *h)
{
	DIR *dir = opendir(h->folder);
	struct dirent *e;
	int status = CLI_OK;

	if (!dir)
		return cli_trouble(h->folder, MR_SYS, "cannot open the folder");
	while (status == CLI_OK && (e = readdir(dir))) {
		char *path;

		if (!is_ours(e->d_name))
			continue;
		if (asprintf(&path, "%s/%s", h->folder, e->d_name) < 0) {
			status = cli_no_memory();
		} else if (add(h, path, is_full(path))) {
			free(path);
			status = cli_no_memory();
		}
	}
	(void)closedir(dir);
	if (h->n)
		qsort(h->packs, h->n, sizeof(*h->packs), by_name);
	return status;
}

/* ---- options ---- */

/* "10s": 0 or more of s, m, h, ms; plain numbers are seconds. */
static int read_every(const char *text, double *seconds)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = { { "", 1 },
		      { "s", 1 },
		      { "ms", 0.001 },
		      { "m", 60 },
		      { "h", 3600 } };
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (*text < '0' || *text > '9' || errno || n > 1000000 ||
		    strcmp(end, units[i].unit) != 0)
			continue;
		*seconds = (double)n * units[i].seconds;
		return CLI_OK;
	}
	return cli_usage("--every: '%s' is not a time (like 500ms 10s 1m)",
			 text);
}

int history_begin(struct history *h)
{
	if (!h->folder && (h->every || h->keep != CLI_NOT_GIVEN))
		return cli_usage("--%s is for --history only",
				 h->every ? "every" : "keep");
	if (!h->folder)
		return CLI_OK;
	if (h->keep != CLI_NOT_GIVEN && h->keep < 1)
		return cli_usage("--keep takes 1 or more");
	if (h->every && read_every(h->every, &h->interval) != CLI_OK)
		return CLI_TROUBLE;
	h->fresh = !mkdir(h->folder, 0700);
	if (!h->fresh && errno != EEXIST)
		return cli_trouble(h->folder, MR_SYS, "cannot make the folder");
	return look(h);
}

void history_release(struct history *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->packs[i].path);
	free(h->packs);
	/* Nothing came of it: only an empty one goes. */
	if (h->fresh && !h->made)
		(void)rmdir(h->folder);
	h->packs = NULL;
	h->n = h->room = 0;
}

/* ---- one more ---- */

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *new_path(const struct history *h, uint64_t number)
{
	struct timespec t;
	struct tm tm;
	char text[32] = "";
	char *path;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H%M%S",
		       gmtime_r(&t.tv_sec, &tm));
	if (asprintf(&path, "%s/%s.%03ldZ-%" PRIu64 ".mrp", h->folder, text,
		     t.tv_nsec / 1000000, number) < 0)
		return NULL;
	return path;
}

/* The oldest ones, up to a full one: what is left has all that it stands on. */
static void drop_old(struct history *h)
{
	size_t keep = h->keep == CLI_NOT_GIVEN ? h->n : (size_t)h->keep, gone;

	if (h->n <= keep)
		return;
	for (gone = h->n - keep; gone && !h->packs[gone].full; gone--)
		;
	for (size_t i = 0; i < gone; i++) {
		if (unlink(h->packs[i].path) && errno != ENOENT)
			cli_say("%s: cannot remove: %s", h->packs[i].path,
				strerror(errno));
		free(h->packs[i].path);
	}
	memmove(h->packs, h->packs + gone, (h->n - gone) * sizeof(*h->packs));
	h->n -= gone;
}

static void tell_failure(struct history *h, const struct mr_error *err)
{
	if (err->code == MR_CANCELLED)
		return;
	h->failed++;
	if (!h->failing)
		cli_say("%s: the history lacks a checkpoint: %s", h->folder,
			err->msg);
	h->failing = true;
}

static int make(struct history *h, const char *path, bool *full,
		struct mr_error *err)
{
	struct mr_convert_options o = MR_CONVERT_OPTIONS_INIT;
	struct mr_convert_report r;

	o.form = MR_CONVERT_PACK;
	o.full_every = CHAIN;
	o.base = h->based && h->n ? h->packs[h->n - 1].path : NULL;
	o.watch.cancel = &cli_cancel;
	if (!mr_convert(h->image, path, &o, &r, err)) {
		*full = r.chain <= 1;
		return 0;
	}
	if (!o.base || err->code == MR_CANCELLED)
		return -1;
	/* The base is gone, or is of no use: rather all of it than nothing. */
	*err = (struct mr_error)MR_ERROR_INIT;
	o.base = NULL;
	*full = true;
	return mr_convert(h->image, path, &o, &r, err);
}

int history_kept(void *arg, const struct mr_checkpoint *c, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct history *h = arg;
	bool full = false;
	char *path;

	(void)err;
	if (now() < h->next)
		return 0;
	h->next = now() + h->interval;
	path = new_path(h, c->number);
	if (!path) {
		why = (struct mr_error){ .code = MR_NOMEM,
					 .msg = "out of memory" };
		tell_failure(h, &why);
		return 0;
	}
	if (make(h, path, &full, &why)) {
		tell_failure(h, &why);
		free(path);
		return 0;
	}
	h->failing = false;
	h->made++;
	if (add(h, path, full)) {
		free(path);
		h->based = false;
		return 0;
	}
	h->based = true;
	drop_old(h);
	return 0;
}
