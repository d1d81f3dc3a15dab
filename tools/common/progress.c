/* progress.c - how far a verb has come, for people and for programs. */
#include "tools/common/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The progress line: the teller's, or the main thread's while that is idle. */
static struct {
	bool started;
	bool terminal; /* stderr is one, and nobody asked for quiet */
	bool shown;
	bool gone; /* whoever read progress_fd */
	unsigned percent; /* told on progress_fd so far; 101: nothing yet */
	struct timespec start, last;
} line = { .percent = 101 };

static double seconds(const struct timespec *a, const struct timespec *b)
{
	return (double)(b->tv_sec - a->tv_sec) +
	       (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static int put(int fd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Not by stdio, nor by dprintf, which uses it: exit would wait for a thread
 * that hangs in it. */
static int put(int fd, const char *fmt, ...)
{
	char text[1280];
	size_t done = 0, len;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = strlen(text);
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Seconds. */
#define SPEED_AFTER 0.5

/* At most ten times a second: a terminal is slower than a disk. */
static void show_line(uint64_t done, uint64_t total, unsigned percent)
{
	char a[CLI_HUMAN], b[CLI_HUMAN];
	struct timespec now;
	char speed[CLI_HUMAN + 8] = "";
	double took;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (line.shown && done < total && seconds(&line.last, &now) < 0.1)
		return;
	line.last = now;
	line.shown = true;
	took = seconds(&line.start, &now);
	/* The clock began with the first that was told: a speed takes time. */
	if (took >= SPEED_AFTER) {
		char c[CLI_HUMAN];

		(void)snprintf(speed, sizeof(speed), "  %s/s",
			       cli_human(c, (uint64_t)((double)done / took)));
	}
	(void)put(STDERR_FILENO, "\r%s: %3u %%  %s of %s%s\033[K", cli.tool,
		  percent, cli_human(a, done), cli_human(b, total), speed);
}

bool cli_progress_wanted(void)
{
	if (!line.started) {
		line.started = true;
		line.terminal = !cli.quiet && isatty(STDERR_FILENO);
		(void)clock_gettime(CLOCK_MONOTONIC, &line.start);
	}
	return line.terminal || cli.progress_fd >= 0;
}

void cli_progress_show(uint64_t done, uint64_t total)
{
	unsigned percent = 100;

	if (done < total)
		percent = (unsigned)((double)done * 100.0 / (double)total);
	if (line.terminal)
		show_line(done, total, percent);
	if (cli.progress_fd >= 0 && !line.gone && percent != line.percent) {
		line.percent = percent;
		/* A reader that left ends the telling, not the work. */
		if (put(cli.progress_fd, "%u/100\n", percent) < 0)
			line.gone = true;
	}
}

void cli_progress_clear(void)
{
	if (line.shown)
		(void)put(STDERR_FILENO, "\r\033[K");
	line.shown = false;
}

void cli_progress_note(const char *text)
{
	char safe[4 * 256];

	cli_progress_clear();
	(void)put(STDERR_FILENO, "%s: %s\n", cli.tool,
		  cli_escape(safe, sizeof(safe), text));
}
