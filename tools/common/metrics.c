/*
 * metrics.c - what came of a run, for node_exporter's textfile collector.
 *
 * A file has the last run, and of each image the last run that succeeded: what
 * the file before it said of that is taken over. Where each run has an image of
 * its own, that of the last success stays until there is another. So an alarm
 * can be made of the age of a success, whatever became of the runs since.
 */
#include "tools/common/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/cli.h"

/* Of a file of ours; what is larger is none. */
#define FILE_MAX (4 << 20)
#define UNKNOWN (-1.0) /* no figure is less than 0 */

/* What is told of each image: of the last run, then of the last success, in the
 * order of struct metrics_figures. */
enum {
	RUN_TIME,
	RUN_SUCCESS,
	RUN_STATUS,
	RUN_SECONDS,
	SUCCESS_TIME,
	SUCCESS_SECONDS,
	SUCCESS_MEMORY,
	SUCCESS_DATA,
	SUCCESS_SIZE,
	SUCCESS_PAUSED,
	VALUES
};

static const struct {
	const char *name, *help;
} told[VALUES] = {
	[RUN_TIME] = { "run_timestamp_seconds", "When the last run ended." },
	[RUN_SUCCESS] = { "run_success", "Whether the last run succeeded." },
	[RUN_STATUS] = { "exit_status", "Exit status of the last run." },
	[RUN_SECONDS] = { "duration_seconds", "What the last run took." },
	[SUCCESS_TIME] = { "success_timestamp_seconds",
			   "When the last run that succeeded ended." },
	[SUCCESS_SECONDS] = { "success_duration_seconds", "What it took." },
	[SUCCESS_MEMORY] = { "success_memory_bytes",
			     "Guest memory that the image describes." },
	[SUCCESS_DATA] = { "success_data_bytes", "Pages in the image." },
	[SUCCESS_SIZE] = { "success_size_bytes", "Size of the image." },
	[SUCCESS_PAUSED] = { "success_paused_seconds",
			     "For how long the guest stood still." },
};

struct record {
	char *labels; /* {tool="...",image="..."} */
	bool done;
	double value[VALUES];
};

static struct {
	char *path; /* NULL: nothing is to be written */
	struct record *records;
	size_t n;
	double mark; /* monotonic: since then the next record's run goes on */
} metrics;

static double clock_of(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* As the text format wants the value of a label: what may not be printed has
 * become \xNN, and of that the \ is escaped, too. */
static char *label(const char *text)
{
	size_t n = 4 * strlen(text) + 1, at = 0;
	char *safe = malloc(n), *out = malloc(2 * n);

	if (safe && out) {
		(void)cli_escape(safe, n, text);
		for (const char *s = safe; *s; s++) {
			if (*s == '"' || *s == '\\')
				out[at++] = '\\';
			out[at++] = *s;
		}
		out[at] = '\0';
	} else {
		free(out);
		out = NULL;
	}
	free(safe);
	return out;
}

static char *labels(const char *image)
{
	char *tool = label(cli.tool), *name = label(image), *all = NULL;

	if (tool && name &&
	    asprintf(&all, "{tool=\"%s\",image=\"%s\"}", tool, name) < 0)
		all = NULL;
	free(tool);
	free(name);
	return all;
}

static void forget(void)
{
	for (size_t i = 0; metrics.records && i < metrics.n; i++)
		free(metrics.records[i].labels);
	free(metrics.records);
	free(metrics.path);
	metrics.records = NULL;
	metrics.path = NULL;
}

int metrics_begin(const char *path, const char *const *images)
{
	if (!path)
		return CLI_OK;
	metrics.path = strdup(path);
	metrics.mark = clock_of(CLOCK_MONOTONIC);
	while (images[metrics.n])
		metrics.n++;
	metrics.records = calloc(metrics.n + 1, sizeof(*metrics.records));
	if (!metrics.path || !metrics.records) {
		forget();
		return cli_no_memory();
	}
	for (size_t i = 0; i < metrics.n; i++) {
		struct record *r = &metrics.records[i];

		for (int v = 0; v < VALUES; v++)
			r->value[v] = UNKNOWN;
		r->labels = labels(images[i]);
		if (!r->labels) {
			forget();
			return cli_no_memory();
		}
	}
	return CLI_OK;
}

void metrics_done(size_t i, int status, const struct metrics_figures *f)
{
	double now = clock_of(CLOCK_MONOTONIC);
	double *value;

	if (!metrics.path)
		return;
	value = metrics.records[i].value;
	metrics.records[i].done = true;
	value[RUN_TIME] = clock_of(CLOCK_REALTIME);
	value[RUN_SUCCESS] = status == CLI_OK;
	value[RUN_STATUS] = status;
	value[RUN_SECONDS] = now - metrics.mark;
	metrics.mark = now;
	if (status != CLI_OK)
		return;
	value[SUCCESS_TIME] = value[RUN_TIME];
	value[SUCCESS_SECONDS] = value[RUN_SECONDS];
	if (!f)
		return;
	value[SUCCESS_MEMORY] = (double)f->memory;
	value[SUCCESS_DATA] = (double)f->data;
	if (f->has_size)
		value[SUCCESS_SIZE] = (double)f->size;
	if (f->has_paused)
		value[SUCCESS_PAUSED] = f->paused;
}

/* ---- the file before ---- */

/* Its text, or NULL. *foreign: there is something, and it is not ours to be
 * replaced. */
static char *read_old(const char *path, bool *foreign)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	ssize_t n;

	*foreign = false;
	if (fd < 0)
		return NULL;
	*foreign =
		fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX;
	if (!*foreign && st.st_size > 0)
		text = malloc((size_t)st.st_size + 1);
	n = text ? pread(fd, text, (size_t)st.st_size, 0) : 0;
	(void)close(fd);
	if (text)
		text[n < 0 ? 0 : n] = '\0';
	/* All that we write begins with a comment. */
	*foreign = *foreign || (n > 0 && text[0] != '#');
	return text;
}

/* What a line "NAME LABELS VALUE" of text says; UNKNOWN if none does. */
static double find_old(const char *text, const char *name, const char *labels)
{
	char *key, *end;
	double value = UNKNOWN;

	if (asprintf(&key, "\nmrtools_last_%s%s ", name, labels) < 0)
		return UNKNOWN;
	text = strstr(text, key);
	if (text) {
		text += strlen(key);
		value = strtod(text, &end);
		if (end == text || *end != '\n' || !isfinite(value) ||
		    value < 0)
			value = UNKNOWN;
	}
	free(key);
	return value;
}

static void keep_old(struct record *r, const char *text)
{
	/* A success without its time is none. */
	if (find_old(text, told[SUCCESS_TIME].name, r->labels) < 0)
		return;
	for (int v = SUCCESS_TIME; v < VALUES; v++)
		r->value[v] = find_old(text, told[v].name, r->labels);
}

/* ---- the new one ---- */

static bool was_told(int v, const char *labels, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (metrics.records[i].value[v] >= 0 &&
		    !strcmp(metrics.records[i].labels, labels))
			return true;
	return false;
}

static bool is_ours(const char *labels, size_t len)
{
	for (size_t i = 0; i < metrics.n; i++)
		if (strlen(metrics.records[i].labels) == len &&
		    !memcmp(metrics.records[i].labels, labels, len))
			return true;
	return false;
}

/* Lines of the file before that tell a success of this tool's, of images that
 * are not in this run. */
static void print_old(FILE *f, int v, const char *text)
{
	char *tool = label(cli.tool), *key = NULL;

	if (!tool || asprintf(&key, "\nmrtools_last_%s{tool=\"%s\",image=\"",
			      told[v].name, tool) < 0)
		key = NULL;
	while (key && (text = strstr(text, key))) {
		size_t len = strcspn(++text, "\n");
		const char *end = memmem(text, len, "\"} ", 3);
		const char *labels = strchr(text, '{');
		char *stop;

		if (end && text[len] &&
		    !is_ours(labels, (size_t)(end + 2 - labels)) &&
		    isfinite(strtod(end + 3, &stop)) && stop == text + len)
			(void)fprintf(f, "%.*s\n", (int)len, text);
	}
	free(key);
	free(tool);
}

/* Whether something of this run succeeded. */
static bool has_success(void)
{
	for (size_t i = 0; i < metrics.n; i++)
		if (metrics.records[i].value[RUN_SUCCESS] > 0)
			return true;
	return false;
}

/* old: the file before, or NULL. */
static void print(FILE *f, const char *old)
{
	bool keep = old && !has_success();

	for (int v = 0; v < VALUES; v++) {
		(void)fprintf(f,
			      "# HELP mrtools_last_%s %s\n"
			      "# TYPE mrtools_last_%s gauge\n",
			      told[v].name, told[v].help, told[v].name);
		for (size_t i = 0; i < metrics.n; i++) {
			const struct record *r = &metrics.records[i];

			/* An image that is named twice is told of once. */
			if (r->value[v] >= 0 && !was_told(v, r->labels, i))
				(void)fprintf(f, "mrtools_last_%s%s %.15g\n",
					      told[v].name, r->labels,
					      r->value[v]);
		}
		if (keep && v >= SUCCESS_TIME)
			print_old(f, v, old);
	}
}

/* A name beside it that no collector takes for a file of metrics. */
static char *beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash + 1 - path) : 0;
	char *tmp;

	return asprintf(&tmp, "%.*s.%s.%d.tmp", folder, path, path + folder,
			(int)getpid()) < 0
		       ? NULL
		       : tmp;
}

static int write_to(const char *tmp, const char *old)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int rc;

	if (!f) {
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	print(f, old);
	rc = fflush(f) || ferror(f) || fsync(fd) ? -1 : 0;
	return fclose(f) ? -1 : rc;
}

static void publish(const char *path, const char *old)
{
	char *tmp = beside(path);

	/* One of a process with our number, which was killed. */
	if (tmp)
		(void)unlink(tmp);
	errno = 0;
	if (!tmp || write_to(tmp, old) || rename(tmp, path))
		cli_say("%s: cannot write the metrics%s%s", path,
			errno ? ": " : "", errno ? strerror(errno) : "");
	if (tmp)
		(void)unlink(tmp);
	free(tmp);
}

void metrics_end(int status)
{
	char *old = NULL;
	bool foreign;

	if (!metrics.path)
		return;
	old = read_old(metrics.path, &foreign);
	for (size_t i = 0; i < metrics.n; i++) {
		struct record *r = &metrics.records[i];

		if (!r->done)
			metrics_done(i, status, NULL);
		if (old && r->value[SUCCESS_TIME] < 0)
			keep_old(r, old);
	}
	if (foreign)
		cli_say("%s: no metrics are written, as it holds something "
			"else",
			metrics.path);
	else
		publish(metrics.path, old);
	free(old);
	forget();
}
