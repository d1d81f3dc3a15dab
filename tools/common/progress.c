/* progress.c - how far a verb has come, for people and for programs. */
#include "tools/common/cli.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The progress line. Only one thread at a time calls progress (mr/watch.h). */
static struct {
	bool started;
	bool terminal; /* stderr is one, and nobody asked for quiet */
	bool shown;
	unsigned percent; /* told on progress_fd so far; 101: nothing yet */
	struct timespec start, last;
} line = { .percent = 101 };

static double seconds(const struct timespec *a, const struct timespec *b)
{
	return (double)(b->tv_sec - a->tv_sec) +
	       (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

/* At most ten times a second: a terminal is slower than a disk. */
static void show_line(uint64_t done, uint64_t total, unsigned percent)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN];
	struct timespec now;
	uint64_t speed = 0;
	double took;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (line.shown && done < total && seconds(&line.last, &now) < 0.1)
		return;
	line.last = now;
	line.shown = true;
	took = seconds(&line.start, &now);
	if (took > 0)
		speed = (uint64_t)((double)done / took);
	(void)fprintf(stderr, "\r%s: %3u %%  %s of %s  %s/s\033[K", cli.tool,
		      percent, cli_human(a, done), cli_human(b, total),
		      cli_human(c, speed));
}

void cli_progress(void *arg, uint64_t done, uint64_t total)
{
	unsigned percent = 100;

	(void)arg;
	if (!line.started) {
		line.started = true;
		line.terminal = !cli.quiet && isatty(STDERR_FILENO);
		(void)clock_gettime(CLOCK_MONOTONIC, &line.start);
	}
	if (done < total)
		percent = (unsigned)((double)done * 100.0 / (double)total);
	if (line.terminal)
		show_line(done, total, percent);
	if (cli.progress_fd >= 0 && percent != line.percent) {
		line.percent = percent;
		/* A reader that left ends the telling, not the work. */
		if (dprintf(cli.progress_fd, "%u/100\n", percent) < 0)
			cli.progress_fd = -1;
	}
}

void cli_progress_end(void)
{
	if (line.shown)
		(void)fputs("\r\033[K", stderr);
	line.shown = false;
}
