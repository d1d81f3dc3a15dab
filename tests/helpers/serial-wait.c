/*
 * serial-wait.c - wait until a guest has said something on its serial port.
 *
 *   serial-wait LOG FROM TIMES PREFIX [PID]
 *
 * Prints the TIMES-th whole line of LOG that begins after byte FROM and with
 * PREFIX, as soon as it is there. Fails at once on a line that begins with
 * BAD, or when process PID (the QEMU) has ended. Gives up after MR_TIMEOUT
 * seconds (120).
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char *line;
static size_t line_size;

static _Noreturn void die(const char *what, const char *detail)
{
	(void)fprintf(stderr, "serial-wait: %s: %s\n", what, detail);
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The next whole line, without its end; a part of one is left for later. */
static bool next_line(FILE *log)
{
	long at = ftell(log);
	ssize_t n = getline(&line, &line_size, log);

	if (n > 0 && line[n - 1] == '\n') {
		line[n - 1] = '\0';
		return true;
	}
	clearerr(log);
	if (fseek(log, at, SEEK_SET))
		die("cannot seek", strerror(errno));
	return false;
}

/* Begins reading at the first line that begins at byte from or later. */
static void skip_to(FILE *log, long from)
{
	int c = '\0';

	if (from <= 0)
		return;
	if (fseek(log, from - 1, SEEK_SET))
		die("cannot seek", strerror(errno));
	while (c != '\n' && (c = getc(log)) != EOF)
		;
	clearerr(log);
}

/* Reads on until the line is found (true) or there is no more to read. */
static bool read_on(FILE *log, const char *prefix, long *times)
{
	while (next_line(log)) {
		if (strncmp(line, "BAD", 3) == 0)
			die("the guest found its memory wrong", line);
		if (strncmp(line, prefix, strlen(prefix)) == 0 && !--*times)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *patience = getenv("MR_TIMEOUT");
	int64_t deadline =
		now_ms() + 1000 * (patience ? strtol(patience, NULL, 10) : 120);
	struct pollfd fds[2] = { { .fd = -1, .events = POLLIN },
				 { .fd = -1, .events = POLLIN } };
	bool gone = false;
	long times;
	FILE *log;

	if (argc < 5 || argc > 6)
		die("usage", "serial-wait LOG FROM TIMES PREFIX [PID]");
	times = strtol(argv[3], NULL, 10);
	log = fopen(argv[1], "r");
	if (!log)
		die(argv[1], strerror(errno));
	fds[0].fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify_add_watch(fds[0].fd, argv[1], IN_MODIFY) < 0)
		die(argv[1], strerror(errno));
	if (argc == 6) {
		fds[1].fd = (int)syscall(SYS_pidfd_open, atoi(argv[5]), 0);
		if (fds[1].fd < 0)
			gone = true;
	}
	skip_to(log, strtol(argv[2], NULL, 10));
	while (!read_on(log, argv[4], &times)) {
		char events[4096];
		int64_t left = deadline - now_ms();

		if (gone)
			die("QEMU has ended, waiting for", argv[4]);
		if (left <= 0)
			die("gave up waiting for", argv[4]);
		(void)poll(fds, 2, (int)left);
		gone = fds[1].revents != 0;
		while (read(fds[0].fd, events, sizeof(events)) > 0)
			;
	}
	(void)puts(line);
	free(line);
	(void)fclose(log);
	return 0;
}
