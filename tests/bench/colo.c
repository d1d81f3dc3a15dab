/* colo.c - contenders that a guest sends checkpoints to: COLO. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CHECKPOINTS 10000

/* A number from the environment. */
static unsigned setting(const char *name, unsigned fallback, unsigned most)
{
	const char *s = getenv(name);
	unsigned long n = s ? strtoul(s, NULL, 10) : fallback;

	if (n < 1 || n > most)
		die("%s is 1 to %u", name, most);
	return (unsigned)n;
}

static unsigned checkpoints(void)
{
	return setting("COLO_CHECKPOINTS", 60, MAX_CHECKPOINTS);
}

/* ---- can it be done here? ---- */

/* Whether a line of what the command says has this in it. */
static bool says(const char *command, const char *what, char *line, int size)
{
	FILE *f = popen(command, "r");
	bool found = false;

	while (f && !found && fgets(line, size, f))
		found = strstr(line, what) != NULL;
	/* It may have more to say. */
	while (f && fgetc(f) != EOF)
		continue;
	if (f)
		(void)pclose(f);
	return found;
}

const char *no_colo(void)
{
	static char text[160];
	char line[256], help[PATH_LEN + 32];
	unsigned major = 0;

	if (says("qemu-system-x86_64 --version 2>/dev/null", "version ", line,
		 sizeof(line)))
		(void)sscanf(strstr(line, "version "), "version %u", &major);
	if (major < 11) {
		(void)snprintf(
			text, sizeof(text),
			"needs QEMU 11.0 or later, whose secondary takes "
			"multifd, for qemu-system-x86_64");
		return text;
	}
	(void)snprintf(help, sizeof(help), "%s --help 2>&1",
		       path_of(config.build, "mrrecv"));
	if (!says(help, "--colo", line, sizeof(line)))
		return "mrrecv has no --colo";
	return NULL;
}

/* ---- what the primary says of itself ---- */

enum { REQUEST, REPLY, STOP, SEND, SIZE, LOADED, RUN, MOMENTS };
static const char *const traces[MOMENTS] = {
	[REQUEST] = " colo_send_message Send 'checkpoint-request'",
	[REPLY] = " colo_receive_message Receive 'checkpoint-reply'",
	[STOP] = " colo_vm_state_change Change 'run' => 'stop'",
	[SEND] = " colo_send_message Send 'vmstate-send'",
	[SIZE] = " colo_send_message Send 'vmstate-size'",
	[LOADED] = " colo_receive_message Receive 'vmstate-loaded'",
	[RUN] = " colo_vm_state_change Change 'stop' => 'run'",
};

struct story {
	FILE *log;
	unsigned next, seen; /* what is due of a checkpoint; whole ones */
	double t[MOMENTS];
	/* Of those after the first, seconds. */
	unsigned n;
	double whole[MAX_CHECKPOINTS]; /* from request until it runs again */
	double reply, memory, answer, still; /* sums */
};

/* "2026-11-28T00:54:39.839384Z ": the second of the day. */
static double time_of(const char *line)
{
	unsigned hours, minutes;
	double seconds;

	if (sscanf(line, "%*d-%*d-%*dT%u:%u:%lf", &hours, &minutes, &seconds) !=
	    3)
		return -1;
	return hours * 3600 + minutes * 60 + seconds;
}

static double since(double from, double to)
{
	return to < from ? to + 86400 - from : to - from;
}

static void add(struct story *s)
{
	const double *t = s->t;

	s->whole[s->n++] = since(t[REQUEST], t[RUN]);
	s->reply += since(t[REQUEST], t[REPLY]);
	s->memory += since(t[SEND], t[SIZE]);
	s->answer += since(t[SIZE], t[LOADED]);
	s->still += since(t[STOP], t[RUN]);
}

/* Takes what is new in QEMU's log. */
static void read_on(struct story *s)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while (s->n < checkpoints() &&
	       (n = getline(&line, &size, s->log)) > 0) {
		if (line[n - 1] != '\n') {
			(void)fseek(s->log, -n, SEEK_CUR);
			break;
		}
		if (strstr(line, "COLO message"))
			die("QEMU: %s", line);
		if (!strstr(line, traces[s->next]))
			continue;
		s->t[s->next] = time_of(line);
		if (++s->next < MOMENTS)
			continue;
		if (s->seen++)
			add(s);
		s->next = REQUEST;
	}
	clearerr(s->log);
	free(line);
}

static void begin_story(struct story *s, const struct vm *vm)
{
	*s = (struct story){ .log = fopen(vm->log, "r") };
	if (!s->log || fseek(s->log, 0, SEEK_END))
		die("%s: %s", vm->log, strerror(errno));
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void tell(struct story *s, struct sample *out)
{
	double n = s->n, sum = 0;

	for (unsigned i = 0; i < s->n; i++)
		sum += s->whole[i];
	qsort(s->whole, s->n, sizeof(s->whole[0]), compare);
	out->seconds = sum / n;
	out->tail = s->whole[(s->n * 99 + 99) / 100 - 1];
	out->still = s->still / n;
	(void)snprintf(out->remark, sizeof(out->remark),
		       "%u checkpoints; mean of one: reply %.2f, memory %.2f, "
		       "answer %.2f ms; takes %.0f MiB",
		       s->n, 1e3 * s->reply / n, 1e3 * s->memory / n,
		       1e3 * s->answer / n, out->peak / (double)MIB);
}

/* ---- a session ---- */

static void set_colo(struct vm *vm, unsigned channels)
{
	static const char *const names[] = { "multifd", "return-path", "events",
					     "x-colo" };
	json_t *caps = json_array();

	for (size_t i = channels ? 0 : 1; i < sizeof(names) / sizeof(*names);
	     i++)
		(void)json_array_append_new(caps,
					    json_pack("{s:s,s:b}", "capability",
						      names[i], "state", 1));
	json_decref(vm_call(vm, "migrate-set-parameters",
			    json_pack("{s:i,s:i,s:I}", "multifd-channels",
				      channels ? (int)channels : 2,
				      "x-checkpoint-delay",
				      (int)setting("COLO_DELAY", 200, 1000000),
				      "max-bandwidth", (json_int_t)1 << 40)));
	json_decref(vm_call(vm, "migrate-set-capabilities",
			    json_pack("{s:o}", "capabilities", caps)));
}

static const char *socket_name(void)
{
	return path_of(config.run, "colo.sock");
}

static const char *socket_uri(void)
{
	static char uri[PATH_LEN * 2];

	(void)snprintf(uri, sizeof(uri), "unix:%s", socket_name());
	return uri;
}

/*
 * Has the VM send its checkpoints to a secondary that listens, and go on alone
 * when they were enough: the secondary's connection has ended then.
 */
static struct sample send_checkpoints(const struct contender *c, struct vm *vm,
				      const struct vm *to)
{
	const struct timespec nap = { .tv_nsec = 50000000 };
	double deadline = now() + 600 + checkpoints();
	struct sample out = SAMPLE_NONE;
	static struct story s;
	const char *why;
	double cpu;

	set_colo(vm, c->n);
	json_decref(
		vm_call(vm, "trace-event-set-state",
			json_pack("{s:s,s:b}", "name", "colo_*", "enable", 1)));
	vm_drop_events(vm);
	begin_story(&s, vm);
	cpu = vm_cpu(to);
	json_decref(vm_call(vm, "migrate",
			    json_pack("{s:s}", "uri", socket_uri())));
	while (s.n < checkpoints()) {
		if (now() > deadline)
			die("only %u checkpoints in ten minutes", s.n);
		(void)nanosleep(&nap, NULL);
		read_on(&s);
	}
	(void)fclose(s.log);
	out.peak = vm_memory(to);
	out.cpu = vm_cpu(to) - cpu;
	vm_do(vm, "x-colo-lost-heartbeat");
	if (vm_wait_migration(vm, &why))
		die("QEMU cannot go on alone: %s", why);
	vm_wait_put_away(vm);
	tell(&s, &out);
	return out;
}

/* ---- who takes them ---- */

/* A program that listens there. */
static struct vm start_secondary(const char *name, const char *const *argv)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct vm to = { .pid = child_start(name, argv, -1) };

	while (access(socket_name(), F_OK)) {
		if (waitpid(to.pid, NULL, WNOHANG) == to.pid) {
			child_show_log(name);
			die("%s does not listen", name);
		}
		(void)nanosleep(&nap, NULL);
	}
	return to;
}

struct sample run_colo(const struct contender *c, struct vm *vm,
		       const struct vm_spec *spec, const char *image)
{
	const char *const argv[] = { path_of(config.build, "mrrecv"),
				     "-q",
				     "--colo",
				     socket_uri(),
				     image,
				     NULL };
	struct vm to = start_secondary("mrrecv", argv);
	struct sample s = send_checkpoints(c, vm, &to);
	int status;

	(void)spec;
	if (waitpid(to.pid, &status, 0) != to.pid || status) {
		child_show_log("mrrecv");
		die("mrrecv failed");
	}
	s.direct = true;
	return s;
}

/* How large checkpoints after the first are, by what it printed. */
static void tell_size(struct sample *s)
{
	FILE *f = fopen(path_of(config.run, "colo-null.log"), "r");
	double sum = 0, bytes;
	char line[256];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "checkpoint %*u %lf", &bytes) != 1 || !n++)
			continue;
		sum += bytes;
	}
	if (f)
		(void)fclose(f);
	if (n > 1)
		(void)snprintf(s->remark + strlen(s->remark),
			       sizeof(s->remark) - strlen(s->remark),
			       "; %.2f MiB each", sum / (n - 1) / (double)MIB);
}

struct sample run_colo_null(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	char channels[16];
	const char *const argv[] = { path_of(config.build,
					     "tests/helpers/colo-null"),
				     socket_name(), channels, NULL };
	struct sample s;
	struct vm to;

	(void)spec;
	(void)image;
	(void)snprintf(channels, sizeof(channels), "%u", c->n);
	to = start_secondary("colo-null", argv);
	s = send_checkpoints(c, vm, &to);
	(void)waitpid(to.pid, NULL, 0);
	tell_size(&s);
	(void)unlink(socket_name());
	return s;
}

struct sample run_colo_qemu(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s;
	struct vm to;

	(void)image;
	vm_start(&to, spec, true);
	set_colo(&to, c->n);
	json_decref(vm_call(&to, "migrate-incoming",
			    json_pack("{s:s}", "uri", socket_uri())));
	s = send_checkpoints(c, vm, &to);
	vm_stop(&to);
	(void)unlink(socket_name());
	return s;
}
