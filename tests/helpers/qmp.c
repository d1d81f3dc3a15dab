/*
 * qmp.c - talk to a QEMU from a test.
 *
 *   qmp SOCKET COMMAND [ARGUMENTS]   prints what it returns; text as text
 *   qmp SOCKET --wait-status STATE   until query-status says STATE
 *   qmp SOCKET --wait-migration      until it completed; 1 if it failed
 *   qmp SOCKET --wait-event NAME     an event from now on; prints its data
 *
 * Nobody need be listening yet; with QEMU_PID in the environment, waits for
 * that only as long as the process lives. Gives up after MR_TIMEOUT seconds
 * (120).
 * Exit status: 0; 1 QEMU said no; 2 trouble.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static FILE *in, *out;
static double deadline;

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void die(int status, const char *what, const char *detail)
{
	(void)fprintf(stderr, "qmp: %s: %s\n", what, detail);
	exit(status);
}

static void nap(const char *waiting_for, const char *meanwhile)
{
	struct timespec t = { .tv_nsec = 10000000 };

	if (now() > deadline) {
		(void)fprintf(stderr, "qmp: it is: %s\n", meanwhile);
		die(2, "gave up waiting for", waiting_for);
	}
	(void)nanosleep(&t, NULL);
}

static json_t *receive(void)
{
	json_error_t e;
	json_t *msg = json_loadf(in, JSON_DISABLE_EOF_CHECK, &e);

	if (!msg)
		die(2, "no answer", feof(in) ? "connection closed" : e.text);
	return msg;
}

static const char *text(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : "";
}

/* What the command returned, to be released; QEMU's "no" ends the program. */
static json_t *command(const char *name, const char *arguments)
{
	json_t *msg = json_pack("{s:s}", "execute", name), *ret;

	if (arguments) {
		json_error_t e;
		json_t *args = json_loads(arguments, 0, &e);

		if (!args)
			die(2, arguments, e.text);
		(void)json_object_set_new(msg, "arguments", args);
	}
	if (json_dumpf(msg, out, JSON_COMPACT) || fflush(out))
		die(2, "cannot send", strerror(errno));
	json_decref(msg);
	for (;;) {
		msg = receive();
		ret = json_object_get(msg, "error");
		if (ret)
			die(1, name, text(ret, "desc"));
		ret = json_object_get(msg, "return");
		if (ret)
			break;
		json_decref(msg); /* an event */
	}
	(void)json_incref(ret);
	json_decref(msg);
	return ret;
}

static bool qemu_is_gone(void)
{
	const char *pid = getenv("QEMU_PID");

	return pid && kill((pid_t)strtol(pid, NULL, 10), 0) != 0;
}

static void dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = (time_t)(deadline - now()) };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		die(2, path, "name too long for a socket");
	memcpy(sa.sun_path, path, strlen(path) + 1);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
			break;
		if (errno != ENOENT && errno != ECONNREFUSED)
			die(2, path, strerror(errno));
		(void)close(fd);
		if (qemu_is_gone())
			die(2, path, "QEMU has ended");
		nap(path, "not there");
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out)
		die(2, path, strerror(errno));
	json_decref(receive()); /* the greeting */
	json_decref(command("qmp_capabilities", NULL));
}

static void print(const json_t *j)
{
	json_t *inner = json_object_get(j, "human-readable-text");

	if (inner)
		j = inner;
	if (json_is_string(j)) {
		(void)fputs(json_string_value(j), stdout);
		return;
	}
	(void)json_dumpf(j, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	(void)putchar('\n');
}

static void wait_status(const char *wanted)
{
	for (;;) {
		json_t *st = command("query-status", NULL);
		const char *status = text(st, "status");
		bool there = strcmp(status, wanted) == 0;

		if (!there)
			nap(wanted, status);
		json_decref(st);
		if (there)
			return;
	}
}

static void wait_migration(void)
{
	for (;;) {
		json_t *st = command("query-migrate", NULL);
		const char *status = text(st, "status");

		if (strcmp(status, "completed") == 0) {
			json_decref(st);
			return;
		}
		if (strcmp(status, "failed") == 0 ||
		    strcmp(status, "cancelled") == 0)
			die(1, status, text(st, "error-desc"));
		nap("the migration", status);
		json_decref(st);
	}
}

static void wait_event(const char *name)
{
	for (;;) {
		json_t *msg = receive();
		bool ours = strcmp(text(msg, "event"), name) == 0;

		if (ours)
			print(json_object_get(msg, "data"));
		json_decref(msg);
		if (ours)
			return;
	}
}

int main(int argc, char **argv)
{
	const char *patience = getenv("MR_TIMEOUT");

	if (argc < 3 || argc > 4)
		die(2, "usage", "qmp SOCKET COMMAND [ARGUMENTS]");
	deadline = now() + (patience ? strtod(patience, NULL) : 120);
	dial(argv[1]);
	if (strcmp(argv[2], "--wait-migration") == 0) {
		wait_migration();
	} else if (strcmp(argv[2], "--wait-status") == 0 && argc == 4) {
		wait_status(argv[3]);
	} else if (strcmp(argv[2], "--wait-event") == 0 && argc == 4) {
		wait_event(argv[3]);
	} else {
		json_t *ret = command(argv[2], argv[3]);

		print(ret);
		json_decref(ret);
	}
	(void)fclose(in);
	(void)fclose(out);
	return 0;
}
