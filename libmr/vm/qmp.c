/*
 * qmp.c - a QMP connection: framing, replies by id, events in between.
 *
 * Messages are framed by counting brackets outside strings rather than by
 * lines, so that pretty-printed monitors and proxies that reflow work too.
 * Whatever is not an object at the top level breaks the connection.
 */
#include "libmr/vm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libmr/base/error.h"

#define READ_STEP ((size_t)64 << 10)
/* For "what is there now", however fast more comes. */
#define NOW_MS 1000
/* How long a raised cancel flag can go unseen. */
#define CANCEL_SLICE_MS 100
#define DIAL_STEP_MS 20
/* Makes the JSON parser of QEMU drop what it has: a byte that UTF-8 lacks. */
#define RESYNC "\xff\n"

enum wait { WAIT_FAILED = -1, WAIT_READY, WAIT_LATE, WAIT_CANCELLED };

struct qmp {
	int fd;
	char *path; /* of the socket; NULL: attached */
	int peer; /* the process behind it, as a descriptor, or -1 */
	char *buf; /* what was read and not yet taken: len of cap bytes */
	size_t len, cap;
	size_t scanned; /* bytes of buf that depth and the flags cover */
	unsigned depth;
	bool in_string, escaped;
	json_t *greeting, *events;
	const char *const *watched; /* names of events, or NULL */
	uint64_t seen; /* bits of those */
	json_int_t last_id;
	bool said_no; /* the last call was answered with an error */
	bool resync; /* the server may hold a fragment of a command */
	int timeout_ms;
	bool (*goes_on)(void *arg);
	void *patient; /* goes_on's */
	const atomic_bool *cancel;
	struct mr_error broken; /* code MR_OK: it is not */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The moment timeout_ms from now; -1: never; 0: what is there now, all of it,
 * but nothing to wait for. */
static int64_t deadline_in(int timeout_ms)
{
	return timeout_ms <= 0 ? timeout_ms : now_ms() + timeout_ms;
}

/* However much there is to read, a deadline ends it. */
static enum wait wait_for(int fd, short events, int64_t deadline,
			  const atomic_bool *cancel)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int64_t left = deadline < 0 ? INT32_MAX : deadline - now_ms();
		int n;

		if (cancel && atomic_load(cancel))
			return WAIT_CANCELLED;
		if (left <= 0 && deadline > 0)
			return WAIT_LATE;
		if (left < 0)
			left = 0;
		if (cancel && left > CANCEL_SLICE_MS)
			left = CANCEL_SLICE_MS;
		if (left > INT32_MAX)
			left = INT32_MAX;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return WAIT_READY;
		if (n < 0 && errno != EINTR)
			return WAIT_FAILED;
		if (n == 0 && deadline == 0)
			return WAIT_LATE;
	}
}

static bool is_broken(const struct qmp *q, struct mr_error *err)
{
	if (q->broken.code == MR_OK)
		return false;
	if (err && err->code == MR_OK)
		*err = q->broken;
	return true;
}

/* Fills q->broken through a error_set call, and *err with the same. */
#define BREAK(q, err, call) ((void)(call), (void)is_broken(q, err), -1)

static int break_qmp(struct qmp *q, struct mr_error *err, const char *why)
{
	return BREAK(q, err,
		     error_set(&q->broken, MR_QMP, MR_NO_OFFSET, "%s", why));
}

static int break_sys(struct qmp *q, struct mr_error *err, const char *why)
{
	return BREAK(q, err, error_sys(&q->broken, MR_NO_OFFSET, "%s", why));
}

static int fail_cancelled(struct mr_error *err)
{
	return error_set(err, MR_CANCELLED, MR_NO_OFFSET, "cancelled");
}

/* ---- reading ---- */

/*
 * Goes on over what was read. 1: a message ends at q->scanned; 0: more is
 * needed; -1: these bytes are no QMP.
 */
static int scan(struct qmp *q)
{
	while (q->scanned < q->len) {
		char c = q->buf[q->scanned++];

		if (q->in_string) {
			if (q->escaped)
				q->escaped = false;
			else if (c == '\\')
				q->escaped = true;
			else if (c == '"')
				q->in_string = false;
		} else if (c == '{' || (c == '[' && q->depth > 0)) {
			q->depth++;
		} else if (q->depth == 0) {
			if (!strchr(" \t\r\n", c) || c == '\0')
				return -1;
		} else if (c == '"') {
			q->in_string = true;
		} else if ((c == '}' || c == ']') && --q->depth == 0) {
			return 1;
		}
	}
	return 0;
}

/*
 * The message in the first q->scanned bytes, which are then dropped. jansson
 * takes neither bytes that are no UTF-8 nor integers beyond 63 bits; a peer
 * may send both, and neither is a reason to lose the rest of the message.
 */
static json_t *take(struct qmp *q)
{
	size_t flags = JSON_ALLOW_NUL, len = q->scanned;
	json_error_t why;
	json_t *msg = json_loadb(q->buf, len, flags, &why);

	if (!msg && json_error_code(&why) == json_error_invalid_utf8) {
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)q->buf[i] >= 0x80)
				q->buf[i] = '?';
		msg = json_loadb(q->buf, len, flags, &why);
	}
	if (!msg && json_error_code(&why) == json_error_numeric_overflow)
		msg = json_loadb(q->buf, len, flags | JSON_DECODE_INT_AS_REAL,
				 &why);
	q->len -= len;
	memmove(q->buf, q->buf + len, q->len);
	q->scanned = 0;
	return msg;
}

static int make_room(struct qmp *q, struct mr_error *err)
{
	size_t cap = q->cap ? q->cap * 2 : READ_STEP * 2;
	char *buf;

	if (q->cap - q->len >= READ_STEP)
		return 0;
	buf = realloc(q->buf, cap);
	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for a QMP message of %zu bytes",
				 cap);
	q->buf = buf;
	q->cap = cap;
	return 0;
}

static int read_more(struct qmp *q, struct mr_error *err)
{
	ssize_t n;

	if (make_room(q, err))
		return -1;
	n = recv(q->fd, q->buf + q->len, q->cap - q->len, MSG_DONTWAIT);
	if (n > 0)
		q->len += (size_t)n;
	else if (n == 0)
		return break_qmp(q, err, "QEMU closed the QMP connection");
	else if (errno != EAGAIN && errno != EINTR)
		return break_sys(q, err, "cannot read from the QMP socket");
	return 0;
}

/* The next message of whatever kind in *out. 0; 1: the deadline passed; -1. */
static int next_message(struct qmp *q, int64_t deadline,
			const atomic_bool *cancel, json_t **out,
			struct mr_error *err)
{
	int found;

	if (is_broken(q, err))
		return -1;
	while ((found = scan(q)) == 0) {
		if (q->len > QMP_MESSAGE_MAX)
			return break_qmp(q, err,
					 "QEMU sent a message beyond 64 MiB");
		switch (wait_for(q->fd, POLLIN, deadline, cancel)) {
		case WAIT_READY:
			break;
		case WAIT_LATE:
			return 1;
		case WAIT_CANCELLED:
			return fail_cancelled(err);
		case WAIT_FAILED:
			return break_sys(q, err, "cannot poll the QMP socket");
		}
		if (read_more(q, err))
			return -1;
	}
	if (found < 0)
		return break_qmp(q, err,
				 "the other end of this socket does not speak "
				 "QMP");
	*out = take(q);
	if (!*out)
		return break_qmp(q, err, "QEMU sent a message that is no JSON");
	return 0;
}

static void note_seen(struct qmp *q, const char *name)
{
	for (size_t i = 0; q->watched && q->watched[i]; i++)
		if (!strcmp(q->watched[i], name))
			q->seen |= UINT64_C(1) << i;
}

/* Takes msg: an event goes to the queue, anything else is forgotten. */
static void put_by(struct qmp *q, json_t *msg)
{
	const char *event = json_string_value(json_object_get(msg, "event"));

	if (event) {
		note_seen(q, event);
		if (json_array_size(q->events) >= QMP_EVENTS_MAX)
			(void)json_array_remove(q->events, 0);
		(void)json_array_append(q->events, msg);
	}
	json_decref(msg);
}

/* ---- writing ---- */

/* One send; with pass >= 0 that fd goes along with the first byte. */
static ssize_t send_some(int fd, const char *text, size_t len, int pass)
{
	struct iovec iov = { .iov_len = len };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	memcpy(&iov.iov_base, &text, sizeof(text)); /* it is not written to */
	if (pass >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_all(struct qmp *q, const char *text, size_t len, int pass,
		    int64_t deadline, struct mr_error *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send_some(q->fd, text + done, len - done,
				      done ? -1 : pass);
		enum wait w = WAIT_READY;

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			w = wait_for(q->fd, POLLOUT, deadline, q->cancel);
		else if (n < 0 && errno != EINTR)
			w = WAIT_FAILED;
		if (w == WAIT_READY)
			continue;
		if (done)
			q->resync = true;
		if (w == WAIT_CANCELLED)
			return fail_cancelled(err);
		if (w == WAIT_LATE)
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "QEMU does not read from its QMP "
					 "socket");
		return break_sys(q, err, "cannot write to the QMP socket");
	}
	return 0;
}

/* ---- commands ---- */

/* The command as a line of JSON, with its end; to be freed. args is stolen. */
static char *command_text(const char *command, json_t *args, json_int_t id)
{
	json_t *o = json_object();
	char *text = NULL, *line = NULL;

	if (args && json_object_set_new(o, "arguments", args))
		goto out;
	if (json_object_set_new(o, "execute", json_string(command)) ||
	    json_object_set_new(o, "id", json_integer(id)))
		goto out;
	text = json_dumps(o, JSON_COMPACT);
	/* In one piece: each one wakes QEMU up. */
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
out:
	json_decref(o);
	return line;
}

/* Whether msg answers command id. A parse error carries no id: it is about
 * the fragment that a resync threw away, or else about this command. */
static bool answers(const struct qmp *q, const json_t *msg, json_int_t id)
{
	const json_t *theirs = json_object_get(msg, "id");

	if (json_object_get(msg, "event"))
		return false;
	if (!theirs)
		return !q->resync && json_object_get(msg, "error");
	return json_is_number(theirs) &&
	       (json_int_t)json_number_value(theirs) == id;
}

/* What a reply says: its "return" in *ret, or QEMU's error text. */
static int take_reply(const char *command, const json_t *msg, json_t **ret,
		      struct mr_error *err)
{
	json_t *value = json_object_get(msg, "return");
	const json_t *error = json_object_get(msg, "error");
	const char *desc = json_string_value(json_object_get(error, "desc"));

	if (error || !value)
		return error_set(err, MR_QMP, MR_NO_OFFSET, "%s: %s", command,
				 desc ? desc : "QEMU gave no reason");
	if (ret)
		*ret = json_incref(value);
	return 0;
}

/* Sends it as number q->last_id; args is stolen. */
static int send_command(struct qmp *q, const char *command, json_t *args,
			int pass, int64_t deadline, struct mr_error *err)
{
	char *text = command_text(command, args, ++q->last_id);
	int rc = -1;

	if (is_broken(q, err))
		goto out;
	if (!text) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"cannot build the QMP command %s", command);
		goto out;
	}
	if (q->resync && send_all(q, RESYNC, strlen(RESYNC), -1, deadline, err))
		goto out;
	rc = send_all(q, text, strlen(text), pass, deadline, err);
out:
	free(text);
	return rc;
}

/* The answer to command id: as next_message. */
static int await(struct qmp *q, json_int_t id, int64_t deadline, json_t **msg,
		 struct mr_error *err)
{
	for (;;) {
		int rc = next_message(q, deadline, q->cancel, msg, err);

		if (rc == 1 && q->goes_on && q->goes_on(q->patient))
			deadline = deadline_in(q->timeout_ms);
		else if (rc != 0 || answers(q, *msg, id))
			return rc;
		else
			put_by(q, *msg);
	}
}

static int call(struct qmp *q, const char *command, json_t *args, int pass,
		json_t **ret, struct mr_error *err)
{
	int64_t deadline = deadline_in(q->timeout_ms);
	json_t *msg = NULL;
	int rc;

	q->said_no = false;
	if (send_command(q, command, args, pass, deadline, err))
		return -1;
	rc = await(q, q->last_id, deadline, &msg, err);
	if (rc == 1)
		rc = q->goes_on ? error_set(err, MR_QMP, MR_NO_OFFSET,
					    "QEMU does not answer %s, nor "
					    "anything else",
					    command)
				: error_set(err, MR_QMP, MR_NO_OFFSET,
					    "QEMU did not answer %s within "
					    "%d ms",
					    command, q->timeout_ms);
	if (rc == 0) {
		q->resync = false;
		rc = take_reply(command, msg, ret, err);
		q->said_no = rc != 0;
		json_decref(msg);
	}
	return rc;
}

int qmp_call(struct qmp *q, const char *command, json_t *args, json_t **ret,
	     struct mr_error *err)
{
	if (ret)
		*ret = NULL;
	return call(q, command, args, -1, ret, err);
}

bool qmp_said_no(const struct qmp *q)
{
	return q->said_no;
}

int64_t qmp_add_fd(struct qmp *q, int64_t fdset_id, int fd,
		   struct mr_error *err)
{
	json_t *args = NULL, *ret = NULL, *id;
	int64_t set = -1;

	if (fd < 0)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "no file descriptor to pass to QEMU");
	/* A name, too: libvirtd has crashed over sets without one. */
	args = json_pack("{s:s}", "opaque", "mrtools");
	if (fdset_id >= 0)
		(void)json_object_set_new(args, "fdset-id",
					  json_integer(fdset_id));
	if (call(q, "add-fd", args, fd, &ret, err))
		return -1;
	id = json_object_get(ret, "fdset-id");
	if (json_is_integer(id) && json_integer_value(id) >= 0)
		set = json_integer_value(id);
	else
		(void)error_set(err, MR_QMP, MR_NO_OFFSET,
				"add-fd: QEMU named no file descriptor set");
	json_decref(ret);
	return set;
}

int qmp_lend_fd(struct qmp *q, int fd, struct mr_error *err)
{
	return call(q, "getfd", json_pack("{s:s}", "fdname", QMP_LENT_FD), fd,
		    NULL, err);
}

int qmp_take_fd_back(struct qmp *q, struct mr_error *err)
{
	return qmp_call(q, "closefd", json_pack("{s:s}", "fdname", QMP_LENT_FD),
			NULL, err);
}

int qmp_remove_fdset(struct qmp *q, int64_t fdset_id, struct mr_error *err)
{
	return qmp_call(q, "remove-fd",
			json_pack("{s:I}", "fdset-id", (json_int_t)fdset_id),
			NULL, err);
}

/* ---- events ---- */

static bool is_named(const json_t *event, const char *const *names)
{
	const char *name = json_string_value(json_object_get(event, "event"));

	if (!names)
		return true;
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* The oldest queued event of these names, from position *from on. */
static json_t *take_event(struct qmp *q, const char *const *names, size_t *from)
{
	for (; *from < json_array_size(q->events); ++*from) {
		json_t *e = json_array_get(q->events, *from);

		if (is_named(e, names)) {
			(void)json_incref(e);
			(void)json_array_remove(q->events, *from);
			return e;
		}
	}
	return NULL;
}

json_t *qmp_wait_event(struct qmp *q, const char *const *names, int timeout_ms,
		       const atomic_bool *cancel, struct mr_error *err)
{
	int64_t deadline = deadline_in(timeout_ms), end = now_ms() + NOW_MS;
	json_t *event, *msg;
	size_t from = 0;
	int rc;

	while (!(event = take_event(q, names, &from))) {
		rc = deadline == 0 && now_ms() > end
			     ? 1
			     : next_message(q, deadline, cancel, &msg, err);
		if (rc == 1)
			(void)error_set(err, MR_QMP, MR_NO_OFFSET,
					"no %s event within %d ms",
					names && *names ? *names : "QMP",
					timeout_ms);
		if (rc)
			return NULL;
		put_by(q, msg);
		if (from == QMP_EVENTS_MAX)
			from--; /* the oldest went */
	}
	return event;
}

void qmp_watch(struct qmp *q, const char *const *names)
{
	q->watched = names;
	q->seen = 0;
}

uint64_t qmp_seen(struct qmp *q)
{
	uint64_t seen = q->seen;

	q->seen = 0;
	return seen;
}

int qmp_drop_events(struct qmp *q, struct mr_error *err)
{
	int64_t end = now_ms() + NOW_MS;
	json_t *msg;
	int rc = 0;

	while (now_ms() <= end &&
	       (rc = next_message(q, 0, NULL, &msg, err)) == 0)
		put_by(q, msg);
	(void)json_array_clear(q->events);
	return rc < 0 ? -1 : 0;
}

/* ---- opening ---- */

/* sun_path has room for 107 bytes; a longer path goes by way of an O_PATH
 * descriptor of the socket itself. */
static int fill_address(struct sockaddr_un *sa, const char *path, int *via,
			struct mr_error *err)
{
	sa->sun_family = AF_UNIX;
	if (strlen(path) < sizeof(sa->sun_path)) {
		memcpy(sa->sun_path, path, strlen(path) + 1);
		return 0;
	}
	*via = open(path, O_PATH | O_CLOEXEC);
	if (*via < 0)
		return error_sys(err, MR_NO_OFFSET,
				 "cannot reach the QMP socket");
	(void)snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d",
		       *via);
	return 0;
}

static int fail_busy(struct mr_error *err, int timeout_ms)
{
	return error_set(
		err, MR_QMP, MR_NO_OFFSET,
		"QMP socket is busy or silent: no greeting within %d ms "
		"(is another client connected?)",
		timeout_ms);
}

/* connect() waits for room in the queue of the listener: by steps, so that the
 * deadline and the flag are seen. */
static int dial(int fd, const struct sockaddr_un *sa, int timeout_ms,
		const atomic_bool *cancel, struct mr_error *err)
{
	int64_t deadline = deadline_in(timeout_ms);

	while (connect(fd, (const struct sockaddr *)sa, sizeof(*sa))) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot connect to the QMP socket");
		if (cancel && atomic_load(cancel))
			return fail_cancelled(err);
		if (deadline >= 0 && now_ms() >= deadline)
			return fail_busy(err, timeout_ms);
		(void)poll(NULL, 0, DIAL_STEP_MS);
	}
	return 0;
}

static int connect_unix(const char *path, int timeout_ms,
			const atomic_bool *cancel, struct mr_error *err)
{
	struct sockaddr_un sa = { 0 };
	int via = -1, fd = -1, rc = -1;

	if (fill_address(&sa, path, &via, err))
		goto out;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot make a socket");
		goto out;
	}
	rc = dial(fd, &sa, timeout_ms, cancel, err);
out:
	if (via >= 0)
		(void)close(via);
	if (rc && fd >= 0)
		(void)close(fd);
	return rc ? -1 : fd;
}

static int greet(struct qmp *q, int timeout_ms, struct mr_error *err)
{
	int rc = next_message(q, deadline_in(timeout_ms), q->cancel,
			      &q->greeting, err);

	if (rc == 1)
		return fail_busy(err, timeout_ms);
	if (rc)
		return -1;
	if (json_object_get(q->greeting, "error"))
		return take_reply("libvirt", q->greeting, NULL, err);
	if (!json_is_object(json_object_get(q->greeting, "QMP")))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "the socket's greeting is not QMP's");
	q->timeout_ms = timeout_ms;
	rc = qmp_call(q, "qmp_capabilities", NULL, NULL, err);
	q->timeout_ms = -1;
	return rc;
}

/* The process, so that its end can be seen and its number is not another's. */
static int peer_of(const struct qmp *q)
{
	pid_t pid = 0;

	if (qmp_peer_pid(q, &pid, NULL) || pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* fd and path become q's, also when this fails. */
static struct qmp *new_qmp(int fd, char *path, int timeout_ms,
			   const atomic_bool *cancel, struct mr_error *err)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for QMP");
		(void)close(fd);
		free(path);
		return NULL;
	}
	q->fd = fd;
	q->path = path;
	q->peer = -1;
	q->timeout_ms = -1;
	q->cancel = cancel;
	q->broken = (struct mr_error)MR_ERROR_INIT;
	q->events = json_array();
	if (!q->events) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for QMP");
	} else if (greet(q, timeout_ms, err) == 0) {
		q->peer = peer_of(q);
		q->cancel = NULL;
		return q;
	}
	qmp_free(q);
	return NULL;
}

struct qmp *qmp_attach(int fd, int timeout_ms, struct mr_error *err)
{
	return new_qmp(fd, NULL, timeout_ms, NULL, err);
}

static struct qmp *open_any(const char *path, int timeout_ms,
			    const atomic_bool *cancel, struct mr_error *err)
{
	int fd = mr_is_domain(path)
			 ? relay_open(path, err)
			 : connect_unix(path, timeout_ms, cancel, err);
	char *copy;

	if (fd < 0)
		return NULL;
	copy = strdup(path);
	if (copy)
		return new_qmp(fd, copy, timeout_ms, cancel, err);
	(void)close(fd);
	(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory for QMP");
	return NULL;
}

struct qmp *qmp_open(const char *path, int timeout_ms,
		     const atomic_bool *cancel, struct mr_error *err)
{
	struct qmp *q = open_any(path, timeout_ms, cancel, err);

	if (!q || !relay_domain(q->greeting).off)
		return q;
	qmp_free(q);
	(void)error_set(err, MR_REFUSED, MR_NO_OFFSET, "the domain is off");
	return NULL;
}

struct qmp *qmp_open_domain(const char *name, int timeout_ms,
			    struct mr_domain *is, struct mr_error *err)
{
	struct qmp *q = open_any(name, timeout_ms, NULL, err);

	*is = q ? relay_domain(q->greeting) : (struct mr_domain){ 0 };
	return q;
}

bool qmp_peer_gone(const struct qmp *q, int timeout_ms)
{
	struct pollfd p = { .fd = q->peer, .events = POLLIN };
	int n;

	if (q->peer < 0)
		return false;
	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Takes everything of the new connection but limits and what is watched. */
static void take_over(struct qmp *q, struct qmp *new)
{
	struct qmp old = *q;

	*q = *new;
	q->timeout_ms = old.timeout_ms;
	q->cancel = old.cancel;
	q->goes_on = old.goes_on;
	q->patient = old.patient;
	q->watched = old.watched;
	q->last_id = old.last_id;
	*new = old;
	qmp_free(new);
}

int qmp_reopen(struct qmp *q, int timeout_ms, struct mr_error *err)
{
	pid_t was = 0, is = 0;
	struct qmp *new;

	if (!q->path)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "the QMP connection is lost");
	(void)qmp_peer_pid(q, &was, NULL);
	new = qmp_open(q->path, timeout_ms, NULL, err);
	if (!new)
		return -1;
	if (qmp_peer_pid(new, &is, err) || is != was) {
		qmp_free(new);
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "another process is at the QMP socket now");
	}
	take_over(q, new);
	return 0;
}

void qmp_free(struct qmp *q)
{
	if (!q)
		return;
	(void)close(q->fd);
	if (q->peer >= 0)
		(void)close(q->peer);
	free(q->path);
	free(q->buf);
	json_decref(q->greeting);
	json_decref(q->events);
	free(q);
}

void qmp_patience(struct qmp *q, bool (*goes_on)(void *arg), void *arg)
{
	q->goes_on = goes_on;
	q->patient = arg;
}

void qmp_limit(struct qmp *q, int timeout_ms, const atomic_bool *cancel)
{
	q->timeout_ms = timeout_ms;
	q->cancel = cancel;
}

bool qmp_broken(const struct qmp *q)
{
	return q->broken.code != MR_OK;
}

int qmp_fd(const struct qmp *q)
{
	return q->fd;
}

int qmp_peer_pid(const struct qmp *q, pid_t *pid, struct mr_error *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (relay_pid(q->greeting, pid))
		return *pid ? 0
			    : error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					"which process is the domain's could "
					"not be proven: is this libvirt's "
					"user, or root?");
	if (getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return error_sys(err, MR_NO_OFFSET,
				 "cannot tell who is behind the QMP socket");
	*pid = cred.pid;
	return 0;
}

bool qmp_is_libvirts(const struct qmp *q)
{
	pid_t pid;

	return relay_pid(q->greeting, &pid);
}

const json_t *qmp_greeting(const struct qmp *q)
{
	return json_object_get(q->greeting, "QMP");
}

/* ---- the guardian's rescue: no allocation, no shared state ---- */

/* Lines are enough here: the first may be the rest of anything. */
struct rescue {
	char line[4096]; /* its beginning; longer ones are not our answer */
	size_t len;
	char last; /* of the line, blanks left out */
	bool ours, error;
	int busy; /* what a "status" that is not an end comes to: 1 to 3 */
};

/* The status of a migration in the line: 0 none, or an end, 1 under way, 2 it
 * waits for migrate-continue, 3 for the guest. */
static int under_way(const char *line)
{
	static const struct {
		const char *word;
		int means;
	} words[] = {
		{ "none\"", 0 },	   { "completed\"", 0 },
		{ "failed\"", 0 },	   { "cancelled\"", 0 },
		{ "pre-switchover\"", 2 }, { "wait-unplug\"", 3 },
	};
	const char *p = strstr(line, "\"status\":");

	if (!p)
		return 0;
	p += strlen("\"status\":");
	p += strspn(p, " \"");
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strncmp(p, words[i].word, strlen(words[i].word)))
			return words[i].means;
	return 1;
}

/* A line ended. 0: our command was done; 1 to 3: refused, or what its answer
 * says of a migration; -1: go on. */
static int rescue_line(struct rescue *r)
{
	size_t len = r->len;
	bool closes =
		r->last == '}' && (r->line[0] == '{' || r->line[0] == '}');

	r->line[len] = '\0';
	if (r->line[0] == '{')
		r->ours = r->error = false, r->busy = 0;
	if (strstr(r->line, "\"" QMP_RESCUE_ID "\""))
		r->ours = true;
	if (strstr(r->line, "\"error\""))
		r->error = true;
	if (under_way(r->line))
		r->busy = under_way(r->line);
	r->len = 0;
	r->last = '\0';
	if (!closes || !r->ours)
		return -1;
	return r->error ? 1 : r->busy;
}

static int rescue_feed(struct rescue *r, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n') {
			int rc = rescue_line(r);

			if (rc >= 0)
				return rc;
			continue;
		}
		if (text[i] != '\r' && text[i] != ' ')
			r->last = text[i];
		if (r->len < sizeof(r->line) - 1 && text[i] != '\0')
			r->line[r->len++] = text[i];
	}
	return -1;
}

/* For something to do with fd until the deadline. -1: errno says why. */
static int rescue_wait(int fd, short events, int64_t deadline)
{
	enum wait w = wait_for(fd, events, deadline, NULL);

	if (w == WAIT_LATE)
		errno = ETIMEDOUT;
	return w == WAIT_READY ? 0 : -1;
}

static int rescue_send(int fd, const char *text, int64_t deadline)
{
	size_t length = strlen(text), done = 0;

	while (done < length) {
		ssize_t n = send_some(fd, text + done, length - done, -1);

		if (n >= 0)
			done += (size_t)n;
		else if ((errno != EAGAIN && errno != EINTR) ||
			 rescue_wait(fd, POLLOUT, deadline))
			return -1;
	}
	return 0;
}

int qmp_rescue(int fd, const char *command, int timeout_ms)
{
	int64_t deadline = deadline_in(timeout_ms);
	struct rescue r = { .len = 0 };
	char chunk[1024];
	int rc = -1;

	if (rescue_send(fd, RESYNC, deadline) ||
	    rescue_send(fd, command, deadline) ||
	    rescue_send(fd, "\n", deadline))
		return -1;
	while (rc < 0) {
		ssize_t n;

		if (rescue_wait(fd, POLLIN, deadline))
			return -1;
		n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n == 0)
			errno = EPIPE;
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return -1;
		if (n > 0)
			rc = rescue_feed(&r, chunk, (size_t)n);
	}
	return rc;
}

void qmp_address(const struct qmp *q, struct qmp_address *a)
{
	*a = (struct qmp_address){ .sa.sun_family = AF_UNIX };
	if (q->path && mr_is_domain(q->path))
		(void)relay_look(&a->relay, q->path, NULL);
	else if (q->path && strlen(q->path) < sizeof(a->sa.sun_path))
		memcpy(a->sa.sun_path, q->path, strlen(q->path) + 1);
}

int qmp_rescue_dial(const struct qmp_address *a, int timeout_ms)
{
	bool relayed = a->relay.path[0];
	int fd;

	if (!relayed && !a->sa.sun_path[0])
		return -1;
	fd = relayed ? relay_dial(&a->relay)
		     : socket(AF_UNIX,
			      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* The greeting is a line that is not the answer. */
	if ((!relayed && dial(fd, &a->sa, timeout_ms, NULL, NULL)) ||
	    qmp_rescue(fd, QMP_RESCUE_HELLO, timeout_ms) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}
