/*
 * qmp_test.c - a QMP connection against servers that are well and ill bred.
 *
 * Each test runs a server function on the other end of a socketpair, in a
 * thread. A server waits for what it is sent, never for time.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "libmr/vm/qmp.h"

#define GREETING                                                           \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, " \
	"\"major\": 10}, \"package\": \"\"}, \"capabilities\": "           \
	"[\"oob\"]}}\r\n"
/* Far beyond what any of these needs: a test that hits it has failed. */
#define AMPLE 20000
/* For waits that must end by time. */
#define BRIEF 30

struct server {
	pthread_t thread;
	int fd; /* the server's end, closed by it */
	int client; /* the other, for qmp_attach */
	int passed; /* the last descriptor received, or -1 */
	char line[512]; /* the last command */
	atomic_bool cancel;
};

/* ---- the server's side ---- */

static void say_bytes(const struct server *s, const void *text, size_t len)
{
	for (const char *p = text; len > 0;) {
		ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the client had enough */
		p += n;
		len -= (size_t)n;
	}
}

static void say(const struct server *s, const char *text)
{
	say_bytes(s, text, strlen(text));
}

/* Reads a line into s->line; false at the end of the stream. */
static bool hear(struct server *s)
{
	size_t len = 0;

	for (;;) {
		char c, space[CMSG_SPACE(sizeof(int))];
		struct iovec iov = { .iov_base = &c, .iov_len = 1 };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = space,
				    .msg_controllen = sizeof(space) };
		const struct cmsghdr *cm;

		if (recvmsg(s->fd, &m, 0) <= 0)
			return false;
		cm = CMSG_FIRSTHDR(&m);
		if (cm && cm->cmsg_type == SCM_RIGHTS)
			memcpy(&s->passed, CMSG_DATA(cm), sizeof(int));
		if (c == '\n')
			break;
		if (len < sizeof(s->line) - 1)
			s->line[len++] = c;
	}
	s->line[len] = '\0';
	return true;
}

/* Answers the last command with body ("return":... or "error":...). */
static void answer(const struct server *s, const char *body)
{
	const char *id = strstr(s->line, "\"id\":");
	char text[1024];

	(void)snprintf(text, sizeof(text), "{%s, \"id\":%ld}\r\n", body,
		       id ? strtol(id + 5, NULL, 10) : -1);
	say(s, text);
}

static void negotiate(struct server *s)
{
	say(s, GREETING);
	if (hear(s))
		answer(s, "\"return\": {}");
}

/* ---- the client's side ---- */

static void serve(struct server *s, void *(*fn)(void *))
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*s = (struct server){ .fd = fds[0], .client = fds[1], .passed = -1 };
	assert_int_equal(pthread_create(&s->thread, NULL, fn, s), 0);
}

static void serve_end(struct server *s)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->fd);
	if (s->passed >= 0)
		(void)close(s->passed);
}

static struct qmp *attach(struct server *s, void *(*fn)(void *))
{
	struct mr_error err = MR_ERROR_INIT;
	struct qmp *q;

	serve(s, fn);
	q = qmp_attach(s->client, AMPLE, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(q);
	return q;
}

/* ---- replies ---- */

static void *server_plain(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	answer(s, "\"return\": {\"status\": \"running\"}");
	(void)hear(s);
	answer(s, "\"error\": {\"class\": \"GenericError\", "
		  "\"desc\": \"there is no such thing\"}");
	(void)hear(s);
	answer(s, "\"return\": 7");
	(void)hear(s); /* the end */
	return NULL;
}

static void replies_and_errors(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_plain);
	json_t *ret = NULL;
	pid_t pid = 0;

	(void)state;
	assert_int_equal(
		json_integer_value(json_object_get(
			json_object_get(
				json_object_get(qmp_greeting(q), "version"),
				"qemu"),
			"major")),
		10);
	assert_int_equal(qmp_peer_pid(q, &pid, &err), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(qmp_call(q, "query-status", NULL, &ret, &err), 0);
	assert_string_equal(json_string_value(json_object_get(ret, "status")),
			    "running");
	json_decref(ret);
	assert_int_equal(qmp_call(q, "qom-get",
				  json_pack("{s:s}", "path", "/x"), &ret, &err),
			 -1);
	assert_null(ret);
	assert_int_equal(err.code, MR_QMP);
	assert_string_equal(err.msg, "qom-get: there is no such thing");
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(qmp_call(q, "third", NULL, &ret, &err), 0);
	assert_int_equal(json_integer_value(ret), 7);
	json_decref(ret);
	qmp_free(q);
	serve_end(&s);
}

static void *server_dribble(void *arg)
{
	static const char text[] =
		"\r\n{\n    \"event\": \"STOP\\\"}\"\n}\n"
		"{\n    \"return\": {\n        \"a\": [1, {}, \"]}\\\\\"]\n"
		"    },\n    \"id\": 2\n}\n";
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		say_bytes(s, text + i, 1);
	(void)hear(s);
	return NULL;
}

static void bytes_one_by_one_and_pretty(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_dribble);
	json_t *ret = NULL, *event;

	(void)state;
	assert_int_equal(qmp_call(q, "x", NULL, &ret, &err), 0);
	assert_int_equal(json_array_size(json_object_get(ret, "a")), 3);
	json_decref(ret);
	event = qmp_wait_event(q, NULL, 0, NULL, &err);
	assert_string_equal(json_string_value(json_object_get(event, "event")),
			    "STOP\"}");
	json_decref(event);
	qmp_free(q);
	serve_end(&s);
}

static void *server_odd(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	answer(s, "\"return\": [\"caf\xe9 \xff\", \"a\\u0000b\"]");
	(void)hear(s);
	answer(s, "\"return\": [18446744073709551615, 5]");
	(void)hear(s);
	return NULL;
}

static void bytes_and_numbers_that_json_lacks(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_odd);
	json_t *ret = NULL;

	(void)state;
	assert_int_equal(qmp_call(q, "x", NULL, &ret, &err), 0);
	assert_string_equal(json_string_value(json_array_get(ret, 0)),
			    "caf? ?");
	assert_int_equal(json_string_length(json_array_get(ret, 1)), 3);
	json_decref(ret);
	assert_int_equal(qmp_call(q, "y", NULL, &ret, &err), 0);
	assert_true(json_number_value(json_array_get(ret, 0)) > 1.8e19);
	json_decref(ret);
	qmp_free(q);
	serve_end(&s);
}

static void *server_late(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	(void)hear(s); /* the first was given up by now */
	say(s, "{\"return\": \"late\", \"id\": 2}\r\n"
	       "{\"return\": \"foreign\", \"id\": \"x\"}\r\n");
	answer(s, "\"return\": \"mine\"");
	(void)hear(s);
	return NULL;
}

static void late_reply_is_not_taken_for_the_next(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_late);
	json_t *ret = NULL;

	(void)state;
	qmp_limit(q, BRIEF, NULL);
	assert_int_equal(qmp_call(q, "slow", NULL, &ret, &err), -1);
	assert_int_equal(err.code, MR_QMP);
	assert_non_null(strstr(err.msg, "did not answer slow"));
	err = (struct mr_error)MR_ERROR_INIT;
	qmp_limit(q, AMPLE, NULL);
	assert_int_equal(qmp_call(q, "quick", NULL, &ret, &err), 0);
	assert_string_equal(json_string_value(ret), "mine");
	json_decref(ret);
	qmp_free(q);
	serve_end(&s);
}

static atomic_bool waited_for;

/* Answers when it was waited for long enough. */
static void *server_slow(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	while (!atomic_load(&waited_for))
		(void)usleep(1000);
	answer(s, "\"return\": \"at last\"");
	(void)hear(s);
	return NULL;
}

static bool a_few_times_more(void *arg)
{
	unsigned *times = arg;

	if (++*times == 3)
		atomic_store(&waited_for, true);
	return *times < 1000; /* a busy machine */
}

static void patience(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_slow);
	unsigned times = 0;
	json_t *ret = NULL;

	(void)state;
	qmp_limit(q, BRIEF, NULL);
	qmp_patience(q, a_few_times_more, &times);
	assert_int_equal(qmp_call(q, "slow", NULL, &ret, &err), 0);
	assert_string_equal(json_string_value(ret), "at last");
	json_decref(ret);
	assert_true(times >= 3);
	times = 1000;
	assert_int_equal(qmp_call(q, "never", NULL, &ret, &err), -1);
	assert_string_equal(err.msg,
			    "QEMU does not answer never, nor anything else");
	assert_false(qmp_said_no(q));
	qmp_free(q);
	serve_end(&s);
}

static void *server_nameless(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	say(s, "{\"error\": {\"class\": \"GenericError\", "
	       "\"desc\": \"JSON parse error\"}}\r\n");
	(void)hear(s);
	return NULL;
}

static void error_without_id_ends_the_call(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_nameless);

	(void)state;
	assert_int_equal(qmp_call(q, "x", NULL, NULL, &err), -1);
	assert_string_equal(err.msg, "x: JSON parse error");
	qmp_free(q);
	serve_end(&s);
}

static void *server_cancel(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	atomic_store(&s->cancel, true);
	(void)hear(s);
	return NULL;
}

static void cancel_ends_a_wait(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_cancel);

	(void)state;
	qmp_limit(q, AMPLE, &s.cancel);
	assert_int_equal(qmp_call(q, "x", NULL, NULL, &err), -1);
	assert_int_equal(err.code, MR_CANCELLED);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_null(qmp_wait_event(q, NULL, AMPLE, &s.cancel, &err));
	assert_int_equal(err.code, MR_CANCELLED);
	qmp_free(q);
	serve_end(&s);
}

/* ---- connections that break ---- */

static void *server_gone(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	say(s, "{\"return\": {\"half");
	(void)shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static void disconnect_stays_broken(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_gone);

	(void)state;
	for (int i = 0; i < 3; i++) {
		err = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(qmp_call(q, "x", NULL, NULL, &err), -1);
		assert_int_equal(err.code, MR_QMP);
		assert_string_equal(err.msg, "QEMU closed the QMP connection");
	}
	assert_null(qmp_wait_event(q, NULL, AMPLE, NULL, NULL));
	assert_int_equal(qmp_drop_events(q, &err), -1);
	qmp_free(q);
	serve_end(&s);
}

static void *server_silent(void *arg)
{
	(void)hear(arg);
	return NULL;
}

static void *server_human(void *arg)
{
	say(arg, "QEMU 10.0.2 monitor - type 'help' for more information\r\n"
		 "(qemu) ");
	(void)hear(arg);
	return NULL;
}

static void *server_other_json(void *arg)
{
	say(arg, "{\"jsonrpc\": \"2.0\"}\n");
	(void)hear(arg);
	return NULL;
}

static void *server_closed(void *arg)
{
	struct server *s = arg;

	(void)shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static void *server_deep(void *arg)
{
	say(arg, "{\"QMP\":");
	for (int i = 0; i < 5000; i++)
		say(arg, "[");
	for (int i = 0; i < 5000; i++)
		say(arg, "]");
	say(arg, "}\n");
	(void)hear(arg);
	return NULL;
}

static void *server_oversize(void *arg)
{
	static char chunk[1 << 20];

	memset(chunk, 'a', sizeof(chunk));
	say(arg, "{\"QMP\": \"");
	for (int i = 0; i < 66; i++)
		say_bytes(arg, chunk, sizeof(chunk));
	(void)hear(arg);
	return NULL;
}

static void refuse(void *(*fn)(void *), int timeout_ms, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;

	serve(&s, fn);
	assert_null(qmp_attach(s.client, timeout_ms, &err));
	assert_int_equal(err.code, MR_QMP);
	if (!strstr(err.msg, text))
		fail_msg("'%s' lacks '%s'", err.msg, text);
	serve_end(&s);
}

static void greetings_that_are_none(void **state)
{
	(void)state;
	refuse(server_silent, BRIEF, "QMP socket is busy or silent");
	refuse(server_silent, 0, "QMP socket is busy or silent");
	refuse(server_human, AMPLE, "does not speak QMP");
	refuse(server_other_json, AMPLE, "greeting is not QMP's");
	refuse(server_closed, AMPLE, "closed the QMP connection");
	refuse(server_deep, AMPLE, "no JSON");
	refuse(server_oversize, AMPLE, "beyond 64 MiB");
}

static void *server_storm(void *arg)
{
	static const char event[] = "{\"event\": \"STORM\"}\n";
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	for (;;) /* until the client goes away */
		if (send(s->fd, event, sizeof(event) - 1, MSG_NOSIGNAL) < 0)
			return NULL;
}

static void deadline_holds_in_a_storm_of_events(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_storm);

	(void)state;
	qmp_limit(q, BRIEF, NULL);
	assert_int_equal(qmp_call(q, "x", NULL, NULL, &err), -1);
	assert_int_equal(err.code, MR_QMP);
	assert_non_null(strstr(err.msg, "did not answer"));
	qmp_free(q);
	serve_end(&s);
}

/* ---- events ---- */

static void *server_events(void *arg)
{
	struct server *s = arg;

	say(s, GREETING);
	(void)hear(s);
	say(s, "{\"event\": \"EARLY\"}\r\n");
	answer(s, "\"return\": {}");
	(void)hear(s);
	say(s, "{\"event\": \"STOP\", \"n\": 1}\r\n{\"event\": \"OTHER\"}\r\n"
	       "{\"event\": \"STOP\", \"n\": 2}\r\n");
	answer(s, "\"return\": {}");
	say(s, "{\"event\": \"RESUME\"}\r\n");
	(void)hear(s);
	for (int i = 0; i < QMP_EVENTS_MAX + 10; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text),
			       "{\"event\": \"MANY\", \"n\": %d}\r\n", i);
		say(s, text);
	}
	answer(s, "\"return\": {}");
	(void)hear(s);
	return NULL;
}

static void expect_event(struct qmp *q, const char *const *names,
			 int timeout_ms, const char *name, int n)
{
	struct mr_error err = MR_ERROR_INIT;
	json_t *e = qmp_wait_event(q, names, timeout_ms, NULL, &err);

	assert_string_equal(err.msg, "");
	assert_string_equal(json_string_value(json_object_get(e, "event")),
			    name);
	assert_int_equal(json_integer_value(json_object_get(e, "n")), n);
	json_decref(e);
}

static void events_are_kept_in_order(void **state)
{
	static const char *const stop[] = { "STOP", NULL };
	static const char *const later[] = { "NONE", "RESUME", NULL };
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_events);

	(void)state;
	assert_int_equal(qmp_call(q, "stop", NULL, NULL, &err), 0);
	expect_event(q, later, AMPLE, "RESUME", 0);
	expect_event(q, stop, 0, "STOP", 1);
	expect_event(q, NULL, 0, "EARLY", 0);
	expect_event(q, stop, 0, "STOP", 2);
	assert_null(qmp_wait_event(q, stop, 0, NULL, &err));
	assert_int_equal(err.code, MR_QMP);
	assert_string_equal(err.msg, "no STOP event within 0 ms");
	expect_event(q, NULL, 0, "OTHER", 0);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(qmp_call(q, "many", NULL, NULL, &err), 0);
	expect_event(q, NULL, 0, "MANY", 10);
	assert_int_equal(qmp_drop_events(q, &err), 0);
	assert_null(qmp_wait_event(q, NULL, 0, NULL, &err));
	qmp_free(q);
	serve_end(&s);
}

/* ---- descriptors ---- */

static void *server_fd(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	answer(s, strstr(s->line, "fdset-id")
			  ? "\"error\": {\"desc\": \"too early\"}"
			  : "\"return\": {\"fdset-id\": 3, \"fd\": 21}");
	(void)hear(s);
	answer(s, strstr(s->line, "\"fdset-id\":3")
			  ? "\"return\": {}"
			  : "\"error\": {\"desc\": \"which?\"}");
	(void)hear(s);
	answer(s, "\"return\": {}");
	(void)hear(s);
	return NULL;
}

static void descriptors_are_passed(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_fd);
	struct stat theirs, ours;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	assert_int_equal(qmp_add_fd(q, -1, fileno(f), &err), 3);
	assert_int_equal(fstat(s.passed, &theirs), 0);
	assert_int_equal(fstat(fileno(f), &ours), 0);
	assert_int_equal(theirs.st_ino, ours.st_ino);
	assert_int_equal(qmp_remove_fdset(q, 3, &err), 0);
	assert_int_equal(qmp_add_fd(q, 4, fileno(f), &err), -1);
	assert_string_equal(err.msg,
			    "add-fd: QEMU named no file descriptor set");
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(qmp_add_fd(q, 4, -1, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	(void)fclose(f);
	qmp_free(q);
	serve_end(&s);
}

static void *server_floods(void *arg)
{
	static const char e[] = "{\"event\": \"NOISE\"}\r\n";
	struct server *s = arg;

	negotiate(s);
	while (!atomic_load(&s->cancel))
		say(s, e);
	return NULL;
}

/* To look at what is there ends, however fast more comes. */
static void looking_ends_in_a_flood(void **state)
{
	static const char *const names[] = { "RESUME", NULL };
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_floods);

	(void)state;
	assert_null(qmp_wait_event(q, names, 0, NULL, &err));
	assert_int_equal(qmp_drop_events(q, &err), 0);
	atomic_store(&s.cancel, true);
	qmp_free(q);
	serve_end(&s);
}

/* ---- real sockets ---- */

static int listen_at(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_true(strlen(name) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, name, strlen(name) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static void *server_accepts(void *arg)
{
	struct server *s = arg;
	int listener = s->fd;

	s->fd = accept(listener, NULL, NULL);
	(void)close(listener);
	negotiate(s);
	(void)hear(s);
	return NULL;
}

static void paths_long_missing_and_busy(void **state)
{
	char dir[] = "/tmp/qmp_test.XXXXXX", cwd[512], path[1024], *slash;
	struct mr_error err = MR_ERROR_INIT;
	struct qmp *q, *queued[2];
	struct server s = { .passed = -1 };
	int listener;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_non_null(mkdtemp(dir));
	/* a path that no sockaddr_un can hold */
	(void)snprintf(path, sizeof(path), "%s/%0120d/s", dir, 0);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chdir(path), 0);
	*slash = '/';
	s.fd = listen_at("s");
	assert_int_equal(pthread_create(&s.thread, NULL, server_accepts, &s),
			 0);
	q = qmp_open(path, AMPLE, NULL, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(q);
	qmp_free(q);
	serve_end(&s);

	assert_null(qmp_open(path, AMPLE, NULL, &err));
	assert_int_equal(err.code, MR_SYS);
	assert_int_equal(err.sys, ECONNREFUSED);
	assert_int_equal(unlink("s"), 0);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_null(qmp_open(path, AMPLE, NULL, &err));
	assert_int_equal(err.sys, ENOENT);

	/* nobody accepts: first no greeting, then no room in the queue */
	listener = listen_at("s");
	for (int i = 0; i < 2; i++) {
		err = (struct mr_error)MR_ERROR_INIT;
		queued[i] = qmp_open("s", BRIEF, NULL, &err);
		assert_null(queued[i]);
		assert_int_equal(err.code, MR_QMP);
		assert_non_null(strstr(err.msg, "busy or silent"));
	}
	(void)close(listener);
	assert_int_equal(unlink("s"), 0);
	assert_int_equal(chdir(cwd), 0);
	*slash = '\0';
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- the rescue ---- */

/* Hears a fragment and a resync, then answers as told by s->line's end. */
static void *server_rescue(void *arg)
{
	struct server *s = arg;

	negotiate(s);
	(void)hear(s);
	/* the owner died reading this: the child sees the rest of it */
	say(s, "{\"return\": \"aaaaaaa\\\"");
	(void)hear(s);
	if (!strstr(s->line, "\xff"))
		say(s, "{\"return\": {}, \"id\": \"mrtools-rescue\"}\r\n");
	say(s, "bb\", \"id\": 2}\r\n"
	       "{\"error\": {\"desc\": \"JSON parse error\"}}\r\n"
	       "{\"event\": \"RESUME\"}\r\n");
	(void)hear(s);
	if (!strstr(s->line, "\"cont\""))
		return NULL;
	say(s, "{\"return\": {}, \"id\": \"mrtools-rescue\"}\r\n");
	(void)hear(s);
	(void)hear(s);
	say(s, "{\n    \"id\": \"mrtools-rescue\",\n    \"error\": {\n"
	       "        \"desc\": \"no\"\n    }\n}\n");
	(void)hear(s);
	(void)hear(s);
	say(s, "{\"id\": \"mrtools-rescue\", \"error\": "
	       "{\"desc\": \"no\"}}\r\n");
	(void)hear(s);
	(void)hear(s);
	say(s, "{\n    \"return\": {\n    },\n    "
	       "\"id\": \"mrtools-rescue\"\n}\n");
	(void)hear(s);
	(void)hear(s); /* no answer */
	(void)hear(s);
	(void)hear(s);
	(void)shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static void rescue_talks_over_fragments(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct server s;
	struct qmp *q = attach(&s, server_rescue);

	(void)state;
	/* half a command on the wire, half a reply read */
	qmp_limit(q, BRIEF, NULL);
	assert_int_equal(qmp_call(q, "stop", NULL, NULL, &err), -1);
	assert_int_equal(write(qmp_fd(q), "{\"execute\":\"st", 14), 14);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, AMPLE), 0);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, AMPLE), 1);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, AMPLE), 1);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, AMPLE), 0);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, BRIEF), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_int_equal(qmp_rescue(qmp_fd(q), QMP_RESCUE_CONT, AMPLE), -1);
	assert_int_equal(errno, EPIPE);
	qmp_free(q);
	serve_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_and_errors),
		cmocka_unit_test(bytes_one_by_one_and_pretty),
		cmocka_unit_test(bytes_and_numbers_that_json_lacks),
		cmocka_unit_test(late_reply_is_not_taken_for_the_next),
		cmocka_unit_test(patience),
		cmocka_unit_test(error_without_id_ends_the_call),
		cmocka_unit_test(cancel_ends_a_wait),
		cmocka_unit_test(disconnect_stays_broken),
		cmocka_unit_test(greetings_that_are_none),
		cmocka_unit_test(deadline_holds_in_a_storm_of_events),
		cmocka_unit_test(events_are_kept_in_order),
		cmocka_unit_test(descriptors_are_passed),
		cmocka_unit_test(looking_ends_in_a_flood),
		cmocka_unit_test(paths_long_missing_and_busy),
		cmocka_unit_test(rescue_talks_over_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
