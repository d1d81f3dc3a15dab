/*
 * pause_test.c - a VM that was stopped is let run again, whoever dies.
 *
 * The VM is a process that speaks enough QMP and notes the commands that it
 * was sent; it ends, and with it its notes, when nobody holds its socket any
 * more. Waiting for that end is waiting for the guardian's.
 */
#include "tests/libmr/unit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "libmr/base/error.h"
#include "libmr/vm/pause.h"
#include "libmr/vm/paused.h"
#include "tests/libmr/fail.h"
#include "tests/libmr/folder.h"

FAIL_WRAP(int, socketpair, (int domain, int type, int protocol, int *fds),
	  (domain, type, protocol, fds), -1)
FAIL_WRAP(pid_t, fork, (void), (), -1)

/* Far beyond what anything here takes: who waits so long has failed. */
#define AMPLE 20000

/* ---- the VM ---- */

struct vm {
	int fd, notes;
	/* So many times `cont` (or `stop`) is refused, or a migration is under
	 * way. */
	unsigned refuse;
	const char *refused;
	char text[4096]; /* of the object that is being read */
	size_t len, depth;
};

static void send_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* who asked is gone */
		text += n;
		len -= (size_t)n;
	}
}

/* The value of a member, up to the next quote, comma or brace. */
static void member(const char *text, const char *name, const char *stop,
		   char value[64])
{
	const char *p = strstr(text, name);

	value[0] = '\0';
	if (!p)
		return;
	p += strlen(name);
	p += strspn(p, ": ");
	(void)snprintf(value, 64, "%.*s", (int)strcspn(p + 1, stop) + 1, p);
}

/* The status of the migration that is under way. */
static const char *migration = "active";

/* What is not answered, ever. */
static const char unanswered[] = "xen-save-devices-state";

static const char *value_of(const char *command)
{
	if (!strcmp(command, "query-fdsets"))
		return "[]";
	return strcmp(command, "add-fd") != 0 ? "{}" : "{\"fdset-id\": 7}";
}

static void vm_answer(struct vm *vm)
{
	char command[64], id[64], reply[256];

	member(vm->text, "\"execute\"", "\"", command);
	member(vm->text, "\"id\"", ",}", id);
	(void)!write(vm->notes, command + 1, strlen(command + 1));
	(void)!write(vm->notes, " ", 1);
	if (!strcmp(command + 1, unanswered))
		return;
	if (vm->refuse && !strcmp(command + 1, vm->refused)) {
		vm->refuse--;
		if (!strcmp(vm->refused, "query-migrate"))
			(void)snprintf(reply, sizeof(reply),
				       "{\"return\": {\"status\": \"%s\"}, "
				       "\"id\": %s}\r\n",
				       migration, id);
		else
			(void)snprintf(
				reply, sizeof(reply),
				"{\"id\": %s, \"error\": {\"class\": "
				"\"GenericError\", \"desc\": \"not now\"}}\r\n",
				id);
	} else {
		(void)snprintf(reply, sizeof(reply), "{\"return\": %s%s%s}\r\n",
			       value_of(command + 1), *id ? ", \"id\": " : "",
			       id);
	}
	send_all(vm->fd, reply);
}

static void vm_hear(struct vm *vm, char c)
{
	if (c == (char)0xff) {
		if (vm->depth)
			(void)!write(vm->notes, "(fragment) ", 11);
		vm->len = vm->depth = 0;
		send_all(vm->fd, "{\"error\": {\"class\": \"GenericError\", "
				 "\"desc\": \"JSON parse error\"}}\r\n");
		return;
	}
	vm->depth += c == '{';
	if (vm->depth && vm->len < sizeof(vm->text) - 1)
		vm->text[vm->len++] = c;
	if (c != '}' || !vm->depth || --vm->depth)
		return;
	vm->text[vm->len] = '\0';
	vm->len = 0;
	vm_answer(vm);
}

__attribute__((noreturn)) static void vm_main(struct vm *vm)
{
	char c;

	send_all(vm->fd, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, "
			 "\"minor\": 0, \"major\": 10}, \"package\": \"\"}, "
			 "\"capabilities\": []}}\r\n");
	while (read(vm->fd, &c, 1) == 1)
		vm_hear(vm, c);
	(void)!write(vm->notes, "end", 3);
	_exit(0);
}

/* ---- a scene: the VM, its notes, and maybe a saver in a process ---- */

struct scene {
	pid_t vm, saver;
	int notes; /* what the VM was told */
	int qmp; /* the other end of its socket */
	int said; /* what the saver says */
	pid_t guardian; /* as the saver said */
	char text[512];
};

/* No child outlives a test that has failed. */
static pid_t child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void open_scene(struct scene *s, const char *refused, unsigned refuse)
{
	int qmp[2], notes[2];

	memset(s, 0, sizeof(*s));
	fail_arm(0, 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp), 0);
	assert_int_equal(pipe2(notes, O_CLOEXEC), 0);
	s->vm = child();
	if (!s->vm) {
		struct vm vm = { .fd = qmp[1],
				 .notes = notes[1],
				 .refuse = refuse,
				 .refused = refused };

		(void)close(qmp[0]);
		(void)close(notes[0]);
		vm_main(&vm);
	}
	(void)close(qmp[1]);
	(void)close(notes[1]);
	s->qmp = qmp[0];
	s->notes = notes[0];
}

/* All that fd gives until its end, or until the first line ends. */
static const char *hear(struct scene *s, int fd, bool line)
{
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, AMPLE), 1);
		assert_in_range(len, 0, sizeof(s->text) - 2);
		n = read(fd, s->text + len, 1);
		assert_true(n >= 0);
		if (n == 0 || (line && s->text[len] == '\n'))
			break;
		len++;
	}
	s->text[len] = '\0';
	return s->text;
}

/* The VM was sent exactly this, and nobody holds its socket any more. */
static void close_scene(struct scene *s, const char *commands)
{
	int status;

	if (s->qmp >= 0)
		(void)close(s->qmp);
	assert_string_equal(hear(s, s->notes, false), commands);
	assert_int_equal(waitpid(s->vm, &status, 0), s->vm);
	assert_int_equal(status, 0);
	(void)close(s->notes);
}

static struct qmp *attach(struct scene *s)
{
	struct mr_error err = MR_ERROR_INIT;
	struct qmp *q = qmp_attach(s->qmp, AMPLE, &err);

	assert_string_equal(err.msg, "");
	assert_non_null(q);
	s->qmp = -1;
	return q;
}

static const struct pause_terms lives = { .live = true, .claim = -1 };
static const struct pause_terms stands = { .live = false, .claim = -1 };

/* ---- a saver that lives ---- */

static void runs_again(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 100;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, &err), 0);
	assert_true(p.guardian > 0);
	assert_true(p.stopped);
	assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
	assert_true(seconds >= 100);
	assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
	pause_release(&p);
	assert_int_equal(p.guardian, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* only the VM */
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop cont end");
	assert_string_equal(err.msg, "");
}

static void stays_paused(void **state)
{
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, NULL), 0);
	assert_int_equal(pause_end(&p, false, &seconds, NULL), 0);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop end");
}

static void was_not_running(void **state)
{
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &stands, NULL), 0);
	assert_int_equal(p.guardian, 0);
	assert_int_equal(pause_end(&p, true, &seconds, NULL), 0);
	assert_true(seconds == 0);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities end");
}

static void only_watched(void **state)
{
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_watch(&p, q, &lives, NULL), 0);
	assert_int_equal(pause_guarded(&p, NULL), 0);
	assert_int_equal(pause_guarded(&p, NULL), 0); /* and once more */
	assert_true(p.guardian > 0);
	assert_int_equal(pause_end(&p, true, &seconds, NULL), 0);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities end");
}

static void cont_refused(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, "cont", 1);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, &err), 0);
	(void)error_set(&err, MR_SYS, 5, "disk full");
	assert_int_equal(pause_end(&p, true, &seconds, &err), -1);
	assert_int_equal(err.code, MR_QMP);
	assert_string_equal(err.msg, "the VM is still paused, send it `cont`: "
				     "cont: not now");
	qmp_free(q);
	/* the error was told, so the guardian does not try on its own */
	close_scene(&s, "qmp_capabilities stop cont end");
}

static void stop_refused(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, "stop", 1);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, &err), -1);
	assert_int_equal(err.code, MR_QMP);
	assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
	assert_string_equal(err.msg, "stop: not now");
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop cont end");
}

/* No guardian, no stop. */
static void no_guardian(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 2; n++) {
		struct mr_error err = MR_ERROR_INIT;
		struct scene s;
		struct pause p;
		struct qmp *q;
		double seconds = 0;

		open_scene(&s, NULL, 0);
		q = attach(&s);
		fail_arm(n, EAGAIN);
		assert_int_equal(pause_begin(&p, q, &lives, &err), -1);
		assert_non_null(fail_plan.name);
		assert_int_equal(err.sys, EAGAIN);
		assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
		pause_release(&p);
		qmp_free(q);
		close_scene(&s, "qmp_capabilities end");
	}
}

/* ---- a saver in a process ---- */

static const char will[] = "{\"execute\":\"remove-fd\",\"id\":\"mrtools-rescue"
			   "\"}\0{\"execute\":\"set-it-back\",\"id\":"
			   "\"mrtools-rescue\"}";

typedef void saver_fn(struct pause *p, struct qmp *q);

static void begin(struct pause *p, struct qmp *q)
{
	if (pause_begin(p, q, &lives, NULL))
		_exit(1);
}

static void watch(struct pause *p, struct qmp *q)
{
	if (pause_watch(p, q, &lives, NULL) || pause_guarded(p, NULL))
		_exit(1);
}

/* For an output, which is published if `published`. */
static bool published;

static void begin_for_good(struct pause *p, struct qmp *q)
{
	struct pause_terms t = lives;
	struct output o = OUTPUT_NONE;
	char path[250];

	(void)snprintf(path, sizeof(path), "%s/image", folder);
	if (output_create(&o, path, GATE_IMAGE, MR_DIRECT_OFF, NULL))
		_exit(1);
	t.stays = &o;
	if (pause_begin(p, q, &t, NULL) ||
	    (published && output_publish(&o, NULL)))
		_exit(1);
}

/* Starts a saver that pauses the VM as fn does, says so, and sits there. */
static void start_saver(struct scene *s, saver_fn *fn)
{
	int said[2];

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	s->saver = child();
	if (!s->saver) {
		char text[32];
		struct pause p;
		struct qmp *q;

		(void)close(said[0]);
		(void)setpgid(0, 0);
		q = qmp_attach(s->qmp, AMPLE, NULL);
		if (!q)
			_exit(1);
		fn(&p, q);
		(void)snprintf(text, sizeof(text), "%ld\n", (long)p.guardian);
		(void)!write(said[1], text, strlen(text));
		for (;;)
			(void)pause();
	}
	(void)close(said[1]);
	(void)close(s->qmp);
	s->qmp = -1;
	s->said = said[0];
	s->guardian = (pid_t)strtol(hear(s, s->said, true), NULL, 10);
	assert_true(s->guardian > 0);
}

static void end_saver(struct scene *s, int sig)
{
	int status;

	assert_int_equal(kill(s->saver, sig), 0);
	assert_int_equal(waitpid(s->saver, &status, 0), s->saver);
	assert_true(WIFSIGNALED(status));
	(void)close(s->said);
}

static void saver_killed(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, begin);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont end");
}

/* It is wanted as soon as there is what it is for, and not before. */
static void pause_that_is_wanted(void **state)
{
	struct scene s;

	(void)state;
	for (int i = 0; i < 3; i++) { /* the second replaces one */
		published = i < 2;
		open_scene(&s, NULL, 0);
		start_saver(&s, begin_for_good);
		end_saver(&s, SIGKILL);
		close_scene(&s, published
					? "qmp_capabilities stop query-migrate "
					  "end"
					: "qmp_capabilities stop query-migrate "
					  "cont end");
	}
}

/* What is left to be put back is left to the guardian of one that lives. */
static void handed_over(void **state)
{
	const struct pause_terms t = { .live = true,
				       .guard = true,
				       .claim = -1 };
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &t, NULL), 0);
	assert_int_equal(pause_will(&p, will, sizeof(will), NULL), 0);
	assert_int_equal(pause_end(&p, true, &seconds, NULL), 0);
	pause_hand_over(&p);
	assert_int_equal(p.guardian, 0);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop cont query-migrate cont "
			"remove-fd set-it-back end");
}

static void watcher_killed(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, watch);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities query-migrate cont end");
}

static void half_a_command(struct pause *p, struct qmp *q)
{
	begin(p, q);
	send_all(qmp_fd(q), "{\"execute\": \"human-monitor-comm");
}

static void killed_in_mid_command(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, half_a_command);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop (fragment) query-migrate cont "
			"end");
}

/* A VM that saves itself refuses while that is being cancelled. */
static void rescue_refused_at_first(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, "cont", 2);
	start_saver(&s, begin);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont cont cont "
			"end");
}

/* QEMU saves itself when the saver dies: that is waited for, not cancelled. */
static void rescue_lets_a_migration_end(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, "query-migrate", 3);
	start_saver(&s, begin);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate stop "
			"query-migrate query-migrate query-migrate cont end");
}

static void begin_limited(struct pause *p, struct qmp *q)
{
	const struct pause_terms t = { .live = true,
				       .limited = true,
				       .claim = -1 };

	if (pause_begin(p, q, &t, NULL))
		_exit(1);
}

/* One with a limit would go on for hours. */
static void rescue_lifts_the_limit(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, "query-migrate", 2);
	start_saver(&s, begin_limited);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate stop "
			"migrate-set-parameters query-migrate query-migrate "
			"cont end");
}

/* One that waits for a word gets it; one that waits for the guest is ended. */
static void rescue_of_one_that_waits(void **state)
{
	struct scene s;

	(void)state;
	migration = "pre-switchover";
	open_scene(&s, "query-migrate", 2);
	start_saver(&s, begin);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate stop "
			"migrate-continue query-migrate migrate-continue "
			"query-migrate cont end");
	migration = "wait-unplug";
	open_scene(&s, "query-migrate", 1);
	start_saver(&s, begin);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate stop "
			"migrate_cancel query-migrate cont end");
	migration = "active";
}

static void with_a_will(struct pause *p, struct qmp *q)
{
	static const char first[] = "{\"execute\":\"no-more\"}";

	begin(p, q);
	if (pause_will(p, first, sizeof(first), NULL) ||
	    pause_will(p, will, sizeof(will), NULL))
		_exit(1);
}

/* Of a VM that stood still anyway. */
static void with_a_will_only(struct pause *p, struct qmp *q)
{
	const struct pause_terms t = { .guard = true, .claim = -1 };

	if (pause_begin(p, q, &t, NULL) ||
	    pause_will(p, will, sizeof(will), NULL))
		_exit(1);
}

static void a_will_is_carried_out(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, with_a_will);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont remove-fd "
			"set-it-back end");
	open_scene(&s, NULL, 0);
	start_saver(&s, with_a_will_only);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities query-migrate remove-fd set-it-back "
			"end");
}

/* The guardian stays until it is let go, and then does nothing. */
static void no_will_of_the_living(void **state)
{
	const struct pause_terms t = { .live = true,
				       .guard = true,
				       .claim = -1 };
	struct mr_error err = MR_ERROR_INIT;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &t, &err), 0);
	assert_int_equal(pause_will(&p, will, sizeof(will), &err), 0);
	assert_int_equal(pause_will(&p, will, PAUSE_WILL_MAX + 1, NULL), -1);
	assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
	assert_int_equal(kill(p.guardian, 0), 0);
	assert_true(p.line >= 0);
	pause_dismiss(&p);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop cont end");
	assert_string_equal(err.msg, "");
}

/* Reads what the VM notes until it was sent exactly that. */
static void await_notes(const struct scene *s, const char *notes)
{
	char text[200] = "";

	for (size_t i = 0; i < strlen(notes); i++) {
		struct pollfd p = { .fd = s->notes, .events = POLLIN };

		assert_int_equal(poll(&p, 1, AMPLE), 1);
		assert_int_equal(read(s->notes, text + i, 1), 1);
	}
	assert_string_equal(text, notes);
}

/* One that hangs does not keep the guest; what it does then is its own. */
static void quiet_saver(void **state)
{
	struct pause_terms t = lives;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	t.quiet_ms = 50;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &t, NULL), 0);
	pause_alive(&p);
	await_notes(&s, "qmp_capabilities stop query-migrate cont ");
	assert_int_equal(waitpid(p.guardian, NULL, 0), p.guardian);
	pause_alive(&p);
	assert_int_equal(pause_will(&p, will, sizeof(will), NULL), -1);
	assert_int_equal(pause_end(&p, true, &seconds, NULL), 0);
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "cont end");
}

/* A guardian that is halted keeps nobody. */
static void halted_guardian(void **state)
{
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, NULL), 0);
	s.guardian = p.guardian;
	assert_int_equal(kill(s.guardian, SIGSTOP), 0);
	for (int i = 0; i < 10000; i++) {
		p.shown = 0;
		pause_alive(&p);
	}
	assert_int_equal(pause_end(&p, true, &seconds, NULL), 0);
	pause_release(&p);
	qmp_free(q);
	assert_int_equal(kill(s.guardian, SIGKILL), 0);
	assert_int_equal(waitpid(s.guardian, NULL, 0), s.guardian);
	close_scene(&s, "qmp_capabilities stop cont end");
}

/* Whoever looks at a paused VM's device state, until it is killed. */
__attribute__((noreturn)) static void look(struct scene *s)
{
	struct guest *g = guest_new(getpid(), NULL, 0, NULL);
	struct paused_vm v = { .q = qmp_attach(s->qmp, AMPLE, NULL),
			       .guest = g,
			       .devices = true };

	if (!v.q || !g)
		_exit(1);
	memcpy(g->status, "paused", sizeof("paused"));
	_exit(paused_vm_devices(&v, NULL) ? 2 : 0);
}

static void looker_killed(void **state)
{
	static const char before[] = "qmp_capabilities query-fdsets add-fd "
				     "xen-save-devices-state ";
	struct scene s;
	int status;

	(void)state;
	open_scene(&s, NULL, 0);
	s.saver = child();
	if (!s.saver)
		look(&s);
	(void)close(s.qmp);
	s.qmp = -1;
	await_notes(&s, before);
	assert_int_equal(kill(s.saver, SIGKILL), 0);
	assert_int_equal(waitpid(s.saver, &status, 0), s.saver);
	assert_true(WIFSIGNALED(status));
	close_scene(&s, "query-migrate remove-fd end");
}

/* What a terminal, a service manager or a user sends to all of the group, or
 * to the guardian itself, ends the saver alone. */
static void signals(void **state)
{
	static const int sent[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
				    SIGPIPE, SIGUSR1, SIGALRM, SIGKILL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		struct scene s;

		open_scene(&s, NULL, 0);
		start_saver(&s, begin);
		if (sent[i] != SIGKILL)
			assert_int_equal(kill(s.guardian, sent[i]), 0);
		assert_int_equal(kill(-s.saver, sent[i]), 0);
		end_saver(&s, SIGKILL);
		close_scene(&s, "qmp_capabilities stop query-migrate cont end");
	}
}

/* Its name is its own: killall of the saver's does not find it. */
static void own_name(void **state)
{
	char path[64], name[32] = "";
	struct scene s;
	int fd;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, begin);
	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)s.guardian);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, name, sizeof(name) - 1) > 0);
	assert_string_equal(name, "mr-guardian\n");
	(void)close(fd);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont end");
}

/* ---- the saver's descriptors ---- */

static int held[2]; /* a pipe whose writing end is the saver's */

/* It has the pipe on low, high and standard descriptors, then lets go. */
static void holds_files(struct pause *p, struct qmp *q)
{
	static const int copies[] = { 0, 1, 2, 50, 1000 };

	for (size_t i = 0; i < ARRAY_LEN(copies); i++)
		if (dup2(held[1], copies[i]) < 0)
			_exit(1);
	begin(p, q);
	for (size_t i = 0; i < ARRAY_LEN(copies); i++)
		(void)close(copies[i]);
	(void)close(held[1]);
}

/* With both living on, the other end of the pipe finds its end. */
static void holds_no_files(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	assert_int_equal(pipe2(held, O_CLOEXEC), 0);
	start_saver(&s, holds_files);
	(void)close(held[1]);
	assert_string_equal(hear(&s, held[0], false), "");
	(void)close(held[0]);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont end");
}

/* A daemon may have none of the three: then the guardian's line is there. */
static void without_standard_files(struct pause *p, struct qmp *q)
{
	(void)close(0);
	(void)close(1);
	(void)close(2);
	begin(p, q);
	if (p->line > 2)
		_exit(1);
}

static void line_on_low_descriptors(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, NULL, 0);
	start_saver(&s, without_standard_files);
	end_saver(&s, SIGKILL);
	close_scene(&s, "qmp_capabilities stop query-migrate cont end");
}

/* ---- a guardian that is killed ---- */

/* Then the saver must not die of it, with the VM paused. */
static void guardian_killed(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct scene s;
	struct pause p;
	struct qmp *q;
	double seconds = 0;
	siginfo_t info;

	(void)state;
	open_scene(&s, NULL, 0);
	q = attach(&s);
	assert_int_equal(pause_begin(&p, q, &lives, &err), 0);
	assert_int_equal(kill(p.guardian, SIGKILL), 0);
	assert_int_equal(
		waitid(P_PID, (id_t)p.guardian, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(pause_end(&p, true, &seconds, &err), 0);
	assert_string_equal(err.msg, "");
	pause_release(&p);
	qmp_free(q);
	close_scene(&s, "qmp_capabilities stop cont end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_again),
		cmocka_unit_test(stays_paused),
		cmocka_unit_test(was_not_running),
		cmocka_unit_test(only_watched),
		cmocka_unit_test(cont_refused),
		cmocka_unit_test(stop_refused),
		cmocka_unit_test(no_guardian),
		cmocka_unit_test(saver_killed),
		cmocka_unit_test(pause_that_is_wanted),
		cmocka_unit_test(handed_over),
		cmocka_unit_test(watcher_killed),
		cmocka_unit_test(killed_in_mid_command),
		cmocka_unit_test(rescue_refused_at_first),
		cmocka_unit_test(rescue_lets_a_migration_end),
		cmocka_unit_test(rescue_lifts_the_limit),
		cmocka_unit_test(rescue_of_one_that_waits),
		cmocka_unit_test(a_will_is_carried_out),
		cmocka_unit_test(no_will_of_the_living),
		cmocka_unit_test(looker_killed),
		cmocka_unit_test(quiet_saver),
		cmocka_unit_test(halted_guardian),
		cmocka_unit_test(signals),
		cmocka_unit_test(own_name),
		cmocka_unit_test(holds_no_files),
		cmocka_unit_test(line_on_low_descriptors),
		cmocka_unit_test(guardian_killed),
	};

	return cmocka_run_group_tests_name("pause", tests, folder_setup,
					   folder_teardown);
}
