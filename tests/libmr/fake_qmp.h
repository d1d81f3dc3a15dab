/*
 * fake_qmp.h - a QEMU made of answers, in a thread on a socket pair.
 *
 * An answer is the text of what stands beside "id": "\"return\": {}" or
 * "\"error\": {...}". A command has its answers in the order of the list; the
 * last one is said again and again. A command that is not listed is an error.
 */
#ifndef TESTS_LIBMR_FAKE_QMP_H
#define TESTS_LIBMR_FAKE_QMP_H

#include <pthread.h>
#include <sys/socket.h>

#include "libmr/vm/qmp.h"
#include "tests/libmr/unit.h"

#define FAKE_GREETING                                                      \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, " \
	"\"major\": 10}, \"package\": \"\"}, \"capabilities\": []}}"
/* Far beyond what anything takes: who waits so long has failed. */
#define FAKE_AMPLE 20000
#define FAKE_SAYS_MAX 64
#define FAKE_SILENCE ""

struct fake_says {
	const char *command;
	const char *answer; /* NULL: hangs up; FAKE_SILENCE: none */
	const char *before; /* said before the answer (events), or NULL */
};

struct fake {
	const struct fake_says *says; /* ended by a NULL command */
	const char *greeting;
	bool used[FAKE_SAYS_MAX];
	int fd;
	pthread_t thread;
	char line[16384]; /* the command in hand */
	char told[65536]; /* all lines, without their ids; read after close */
};

static inline void fake_send(const struct fake *f, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = send(f->fd, text, left, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the client had enough */
		text += n;
		left -= (size_t)n;
	}
}

static inline bool fake_hear(struct fake *f)
{
	size_t len = 0;

	while (len < sizeof(f->line) - 1 &&
	       recv(f->fd, f->line + len, 1, 0) == 1) {
		if (f->line[len] == '\n') {
			f->line[len] = '\0';
			return true;
		}
		len++;
	}
	return false;
}

static inline bool fake_is(const struct fake *f, const char *command)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "\"execute\":\"%s\"", command);
	return strstr(f->line, text) != NULL;
}

/* What to say to the command in hand, or NULL. */
static inline const struct fake_says *fake_find(struct fake *f)
{
	const struct fake_says *last = NULL;

	for (size_t i = 0; f->says[i].command; i++) {
		if (!fake_is(f, f->says[i].command))
			continue;
		last = &f->says[i];
		if (!f->used[i]) {
			f->used[i] = true;
			break;
		}
	}
	return last;
}

static inline void fake_note(struct fake *f)
{
	const char *id = strstr(f->line, ",\"id\":");
	size_t at = strlen(f->told);

	(void)snprintf(f->told + at, sizeof(f->told) - at, "%.*s\n",
		       id ? (int)(id - f->line) : (int)strlen(f->line),
		       f->line);
}

static inline void *fake_serve(void *arg)
{
	struct fake *f = arg;

	fake_send(f, f->greeting);
	fake_send(f, "\r\n");
	while (fake_hear(f)) {
		const struct fake_says *s = fake_find(f);
		const char *id = strstr(f->line, "\"id\":"), *what;
		char end[64];

		fake_note(f);
		if (s && !s->answer)
			break;
		if (s && s->before)
			fake_send(f, s->before);
		if (s && !*s->answer)
			continue;
		what = s ? s->answer
			 : "\"error\": {\"desc\": \"not in the list\"}";
		if (fake_is(f, "qmp_capabilities"))
			what = "\"return\": {}";
		(void)snprintf(end, sizeof(end), ", \"id\": %ld}\r\n",
			       id ? strtol(id + 5, NULL, 10) : -1);
		fake_send(f, "{");
		fake_send(f, what);
		fake_send(f, end);
	}
	(void)shutdown(f->fd, SHUT_RDWR);
	return NULL;
}

/* A connection to a QEMU that says that; greeting may be NULL. */
static inline struct qmp *
fake_open(struct fake *f, const struct fake_says *says, const char *greeting)
{
	struct mr_error err = MR_ERROR_INIT;
	struct qmp *q;
	int fds[2];

	memset(f, 0, sizeof(*f));
	f->says = says;
	f->greeting = greeting ? greeting : FAKE_GREETING;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	f->fd = fds[0];
	assert_int_equal(pthread_create(&f->thread, NULL, fake_serve, f), 0);
	q = qmp_attach(fds[1], FAKE_AMPLE, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(q);
	qmp_limit(q, FAKE_AMPLE, NULL);
	return q;
}

static inline void fake_close(struct fake *f, struct qmp *q)
{
	qmp_free(q);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	(void)close(f->fd);
}

#endif
