/*
 * metrics.h - --metrics: what came of a run, in a file that node_exporter
 * collects.
 *
 * A tool calls metrics_begin when it knows what it is about, and metrics_done
 * for each image that it came to an end with; cli_finish does the rest, so that
 * a failure is recorded, too. That the file cannot be written is told, and is
 * no failure.
 */
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For the table of options: { "metrics", ..., &path, ..., METRICS_HELP, "FILE"
 * } */
#define METRICS_HELP "write there what came of it, for node_exporter"

/* Of a success, in bytes and seconds. */
struct metrics_figures {
	uint64_t memory, data;
	uint64_t size;
	bool has_size; /* size is told */
	double paused;
	bool has_paused;
};

/* images ends with NULL. Without a path nothing is recorded. CLI_OK, or
 * CLI_TROUBLE after telling that there is no memory. */
int metrics_begin(const char *path, const char *const *images);
/* Image number i, and how it ended. f: of a success, or NULL. */
void metrics_done(size_t i, int status, const struct metrics_figures *f);
/* For cli_finish: images that are not done ended with status. */
void metrics_end(int status);

#endif
