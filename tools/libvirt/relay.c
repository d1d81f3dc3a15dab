/*
 * relay - QMP on a socket, for a domain whose monitor libvirt has.
 *
 *	relay URI DOMAIN	the socket is descriptor 3
 *
 * libmr starts it for a VM that is called libvirt:DOMAIN, and speaks QMP with
 * it as with any QEMU. It is a process of its own so that a guardian can do so,
 * too: after a fork nobody may use libvirt's API, and libmr does not need it.
 * It ends when nobody has the other end of the socket any more.
 *
 * `stop` and `cont` are libvirt's suspend and resume: so libvirt knows of it.
 * What migrates, or changes what libvirt's own migrations do, is refused. All
 * else goes to QEMU as it is, through libvirt.
 *
 * Whoever has an answer has all events before it: libvirt tells of those on a
 * way of its own, but what its daemon has queued goes out before it answers
 * another question. Where a daemon was lost, so are the events until the next
 * one is reached: MRTOOLS_EVENTS_LOST says that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#define SOCKET 3
#define LINE_MAX_BYTES ((size_t)1 << 20)
/* How long a daemon that went away is waited for. */
#define RECONNECT_TRIES 60
#define RECONNECT_MS 500

struct relay {
	const char *uri, *name;
	virConnectPtr conn;
	virDomainPtr dom;
	int watch; /* of its events */
	char *line; /* what came and is no whole line yet */
	size_t len;
	int fd; /* that came with it, or -1 */
	bool readable, pumped, over;
	bool off; /* the domain is: there is no QEMU to speak with */
};

/* ---- what it says ---- */

static void say(json_t *msg)
{
	char *text = json_dumps(msg, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	json_decref(msg);
	if (!text)
		exit(1);
	text[len++] = '\n'; /* in the place of its NUL */
	for (size_t done = 0; done < len;) {
		ssize_t n = send(SOCKET, text + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			exit(0); /* nobody listens */
		done += n > 0 ? (size_t)n : 0;
	}
	free(text);
}

static json_t *error_of(const char *desc)
{
	json_t *text = json_string(desc);

	if (!text)
		text = json_string("the reason is no UTF-8");
	return json_pack("{s:{s:s, s:o}}", "error", "class", "GenericError",
			 "desc", text);
}

static json_t *libvirt_error(void)
{
	const char *why = virGetLastErrorMessage();

	return error_of(why && *why ? why : "libvirt gave no reason");
}

static void give_up(json_t *why)
{
	say(why);
	exit(1);
}

/* ---- libvirt ---- */

static void quiet(void *arg, virErrorPtr err)
{
	(void)arg;
	(void)err;
}

static void tell_event(virConnectPtr conn, virDomainPtr dom, const char *event,
		       long long seconds, unsigned int micros,
		       const char *details, void *arg)
{
	json_t *msg = json_pack("{s:s, s:{s:I, s:I}}", "event", event,
				"timestamp", "seconds", (json_int_t)seconds,
				"microseconds", (json_int_t)micros);
	json_t *data = details ? json_loads(details, 0, NULL) : NULL;

	(void)conn;
	(void)dom;
	(void)arg;
	if (data)
		(void)json_object_set_new(msg, "data", data);
	say(msg);
}

static void on_timer(int timer, void *arg)
{
	(void)timer;
	((struct relay *)arg)->pumped = true;
}

/* Events that have come are told. */
static void pump(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		int timer = virEventAddTimeout(0, on_timer, r, NULL);

		r->pumped = timer < 0;
		while (!r->pumped)
			if (virEventRunDefaultImpl() < 0)
				break;
		if (timer >= 0)
			(void)virEventRemoveTimeout(timer);
	}
}

static bool is_local(virConnectPtr conn)
{
	char *uri = virConnectGetURI(conn);
	bool yes = uri && (!strncmp(uri, "qemu:///", 8) ||
			   !strncmp(uri, "qemu+unix:///", 13));

	free(uri);
	return yes;
}

static void disconnect(struct relay *r)
{
	if (r->conn && r->watch >= 0)
		(void)virConnectDomainQemuMonitorEventDeregister(r->conn,
								 r->watch);
	if (r->dom)
		(void)virDomainFree(r->dom);
	if (r->conn)
		(void)virConnectClose(r->conn);
	r->conn = NULL;
	r->dom = NULL;
	r->watch = -1;
}

/* NULL, or why not. */
static json_t *connect_to(struct relay *r)
{
	r->conn = virConnectOpen(*r->uri ? r->uri : NULL);
	if (!r->conn)
		return libvirt_error();
	if (!is_local(r->conn))
		return error_of("only a domain of QEMU's on this machine: its "
				"memory is read from outside");
	r->dom = virDomainLookupByUUIDString(r->conn, r->name);
	if (!r->dom)
		r->dom = virDomainLookupByName(r->conn, r->name);
	if (!r->dom)
		return libvirt_error();
	r->off = virDomainIsActive(r->dom) != 1;
	if (r->off)
		return NULL;
	r->watch = virConnectDomainQemuMonitorEventRegister(
		r->conn, r->dom, NULL, tell_event, r, NULL, 0);
	return r->watch < 0 ? libvirt_error() : NULL;
}

/* The daemon may have been started anew: its domains run on. */
static bool reconnect(struct relay *r)
{
	for (int i = 0; i < RECONNECT_TRIES; i++) {
		struct pollfd p = { .fd = SOCKET };
		json_t *why;

		disconnect(r);
		why = connect_to(r);
		if (!why) {
			say(json_pack("{s:s}", "event", "MRTOOLS_EVENTS_LOST"));
			return true;
		}
		json_decref(why);
		if (poll(&p, 1, RECONNECT_MS) > 0) /* hung up */
			exit(0);
	}
	return false;
}

/* QEMU's answer, or libvirt's error. */
static json_t *ask(struct relay *r, const char *command, int fd)
{
	unsigned int n_out = 0;
	int *out = NULL;
	char *result = NULL;
	json_t *msg;
	int rc;

	rc = virDomainQemuMonitorCommandWithFiles(r->dom, command, fd >= 0,
						  fd >= 0 ? &fd : NULL, &n_out,
						  &out, &result, 0);
	for (unsigned int i = 0; i < n_out; i++)
		(void)close(out[i]);
	free(out);
	if (rc < 0)
		return libvirt_error();
	msg = json_loads(result, JSON_ALLOW_NUL, NULL);
	if (!msg)
		msg = json_loads(
			result, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	free(result);
	return msg ? msg : error_of("libvirt gave an answer that is no JSON");
}

/* ---- which process it is ---- */

/* libvirt says it in a file of its run directory. */
static long pid_in(const char *folder, const char *name)
{
	char path[PATH_MAX];
	long pid = 0;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s.pid", folder, name) >=
	    (int)sizeof(path))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	(void)fclose(f);
	return pid;
}

/* Whether a process has this file open. */
static bool has_open(long pid, const struct stat *file)
{
	char path[64];
	struct stat st;

	/* The numbers that QEMU gives what it is passed are small. */
	for (int fd = 0; fd < 4096; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", pid, fd);
		if (!stat(path, &st) && st.st_dev == file->st_dev &&
		    st.st_ino == file->st_ino)
			return true;
	}
	return false;
}

/* The process that is the domain's, as a file of the run directory says, and a
 * descriptor that was passed to the domain's QEMU proves; 0: none. */
static long find_pid(const struct relay *r, const struct stat *file)
{
	const char *name = virDomainGetName(r->dom);
	const char *run = getenv("XDG_RUNTIME_DIR");
	char *uri = virConnectGetURI(r->conn);
	const char *at = uri ? strstr(uri, "socket=") : NULL;
	char of_user[64], folders[4][PATH_MAX] = { "" };
	long pid = 0;

	(void)snprintf(of_user, sizeof(of_user), "/run/user/%ld",
		       (long)getuid());
	if (at) {
		int n = (int)strcspn(at, "&");
		const char *path = at + strlen("socket=");
		const char *slash = memrchr(at, '/', (size_t)n);

		n = slash ? (int)(slash - path) : 0;
		(void)snprintf(folders[0], PATH_MAX, "%.*s/qemu/run", n, path);
		(void)snprintf(folders[1], PATH_MAX, "%.*s/qemu", n, path);
	}
	(void)snprintf(folders[2], PATH_MAX, "%s/libvirt/qemu/run",
		       run ? run : of_user);
	(void)snprintf(folders[3], PATH_MAX, "/run/libvirt/qemu");
	for (size_t i = 0; i < 4 && !pid; i++) {
		pid = folders[i][0] ? pid_in(folders[i], name) : 0;
		if (pid && !has_open(pid, file))
			pid = 0;
	}
	free(uri);
	return pid;
}

static long prove_pid(struct relay *r)
{
	int fd = memfd_create("mrtools", MFD_CLOEXEC);
	struct stat st;
	long pid = 0;

	if (fd >= 0 && !fstat(fd, &st)) {
		json_decref(ask(r,
				"{\"execute\":\"getfd\",\"arguments\":"
				"{\"fdname\":\"mrtools-proof\"}}",
				fd));
		pid = find_pid(r, &st);
		json_decref(ask(r,
				"{\"execute\":\"closefd\",\"arguments\":"
				"{\"fdname\":\"mrtools-proof\"}}",
				-1));
	}
	if (fd >= 0)
		(void)close(fd);
	return pid;
}

/* ---- commands ---- */

static json_t *done(int rc)
{
	return rc < 0 ? libvirt_error() : json_pack("{s:{}}", "return");
}

static json_t *give_xml(const struct relay *r)
{
	char *xml = virDomainGetXMLDesc(
		r->dom,
		VIR_DOMAIN_XML_SECURE | (r->off ? VIR_DOMAIN_XML_INACTIVE
						: VIR_DOMAIN_XML_MIGRATABLE));
	json_t *msg = xml ? json_pack("{s:{s:s}}", "return", "xml", xml)
			  : libvirt_error();

	free(xml);
	return msg;
}

/* QEMU's `cont` is no error where the VM runs already; libvirt's is. Whoever
 * took it for a refusal would try on, and undo a later suspend. */
static json_t *resume(const struct relay *r)
{
	int rc = virDomainResume(r->dom), state;
	json_t *why = done(rc);

	if (rc < 0 && !virDomainGetState(r->dom, &state, NULL, 0) &&
	    state == VIR_DOMAIN_RUNNING) {
		json_decref(why);
		return done(0);
	}
	return why;
}

/* libmr finds out the size of pages by parameters that QEMU refuses: such an
 * announcement takes too long for it, and then it changes none. */
static bool is_probe(const json_t *msg)
{
	const json_t *args = json_object_get(msg, "arguments");

	return json_integer_value(json_object_get(args, "announce-initial")) >
	       100000;
}

static bool is_refused(const char *command, const json_t *msg)
{
	if (!strcmp(command, "migrate-set-parameters"))
		return !is_probe(msg);
	return !strncmp(command, "migrate", 7) || !strcmp(command, "quit") ||
	       !strncmp(command, "snapshot-", 9);
}

/* A save file, into the domain. */
static json_t *restore(const struct relay *r, const json_t *msg)
{
	const json_t *args = json_object_get(msg, "arguments");
	const char *path = json_string_value(json_object_get(args, "path"));
	const json_t *run = json_object_get(args, "run");
	unsigned int flags = 0;

	if (json_is_boolean(run))
		flags = json_is_true(run) ? VIR_DOMAIN_SAVE_RUNNING
					  : VIR_DOMAIN_SAVE_PAUSED;
	return done(path ? virDomainRestoreFlags(r->conn, path, NULL, flags)
			 : 0);
}

static json_t *answer(struct relay *r, const json_t *msg, int fd)
{
	const char *command =
		json_string_value(json_object_get(msg, "execute"));
	json_t *to_qemu, *reply;
	char *text;

	if (!command)
		return error_of("no command");
	if (!strcmp(command, "qmp_capabilities"))
		return done(0);
	if (!strcmp(command, "stop"))
		return done(virDomainSuspend(r->dom));
	if (!strcmp(command, "cont"))
		return resume(r);
	if (!strcmp(command, "x-mrtools-xml"))
		return give_xml(r);
	if (r->off && !strcmp(command, "x-mrtools-restore"))
		return restore(r, msg);
	if (r->off)
		return error_of("the domain is off");
	if (is_refused(command, msg))
		return error_of("a libvirt domain's migrations are libvirt's "
				"own");
	to_qemu = json_copy((json_t *)(uintptr_t)msg);
	(void)json_object_del(to_qemu, "id");
	text = json_dumps(to_qemu, JSON_COMPACT);
	json_decref(to_qemu);
	reply = text ? ask(r, text, fd) : error_of("no memory");
	free(text);
	return reply;
}

static void serve(struct relay *r, const char *line)
{
	const char *last = strrchr(line, '\xff');
	json_t *msg = json_loads(last ? last + 1 : line, JSON_ALLOW_NUL, NULL);
	json_t *id = json_object_get(msg, "id"), *reply = NULL;
	int fd = r->fd;
	unsigned long version;

	r->fd = -1;
	if (msg) {
		reply = answer(r, msg, fd);
		/* Once more if the daemon was lost: what it was asked is known
		 * to have been done, or does no harm if it is done twice. */
		if (virConnectIsAlive(r->conn) != 1 && reconnect(r)) {
			json_decref(reply);
			reply = answer(r, msg, fd);
		}
		(void)virConnectGetLibVersion(r->conn, &version);
		pump(r);
		if (id)
			(void)json_object_set(reply, "id", id);
		else
			(void)json_object_del(reply, "id");
		say(reply);
	} else if (*(last ? last + 1 : line)) {
		say(error_of("not JSON"));
	}
	if (fd >= 0)
		(void)close(fd);
	json_decref(msg);
}

/* ---- the socket ---- */

static void take_fd(struct relay *r, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (r->fd >= 0)
			(void)close(r->fd);
		memcpy(&r->fd, CMSG_DATA(c), sizeof(r->fd));
	}
}

static void read_some(struct relay *r)
{
	char control[CMSG_SPACE(sizeof(int))], *end;
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;

	iov.iov_base = r->line + r->len;
	iov.iov_len = LINE_MAX_BYTES - r->len - 1;
	n = iov.iov_len ? recvmsg(SOCKET, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
			: 0;
	if (!n) {
		r->over = true;
		return;
	}
	if (n < 0) {
		r->over = errno != EAGAIN && errno != EINTR;
		return;
	}
	take_fd(r, &m);
	r->len += (size_t)n;
	while ((end = memchr(r->line, '\n', r->len))) {
		size_t line = (size_t)(end - r->line) + 1;

		*end = '\0';
		serve(r, r->line);
		r->len -= line;
		memmove(r->line, r->line + line, r->len);
	}
}

static void on_readable(int watch, int fd, int events, void *arg)
{
	(void)watch;
	(void)fd;
	(void)events;
	((struct relay *)arg)->readable = true;
}

/* In the place of a QEMU: none of any version. */
static void greet_off(const struct relay *r)
{
	unsigned long version = 0;

	(void)virConnectGetLibVersion(r->conn, &version);
	say(json_pack("{s:{s:{}, s:[]}, s:{s:b, s:I}}", "QMP", "version",
		      "capabilities", "mrtools", "off", 1, "libvirt",
		      (json_int_t)version));
}

static void greet(struct relay *r)
{
	json_t *msg = ask(r, "{\"execute\":\"query-version\"}", -1);
	json_t *version = json_object_get(msg, "return");

	if (!version)
		give_up(msg);
	say(json_pack("{s:{s:O, s:[]}, s:{s:I, s:s}}", "QMP", "version",
		      version, "capabilities", "mrtools", "pid",
		      (json_int_t)prove_pid(r), "domain",
		      virDomainGetName(r->dom)));
	json_decref(msg);
}

int main(int argc, char **argv)
{
	static const int deaf[] = { SIGINT, SIGHUP, SIGQUIT, SIGTERM, SIGPIPE };
	struct relay r = { .watch = -1, .fd = -1 };
	json_t *why;

	if (argc != 3 || fcntl(SOCKET, F_GETFD) < 0)
		return 2;
	r.uri = argv[1];
	r.name = argv[2];
	/* Whoever started it does not wait for it, nor do his signals reach it:
	 * a guardian may need it longest. */
	if (fork() > 0)
		return 0;
	(void)setsid();
	for (size_t i = 0; i < sizeof(deaf) / sizeof(*deaf); i++)
		(void)signal(deaf[i], SIG_IGN);
	r.line = malloc(LINE_MAX_BYTES);
	virSetErrorFunc(NULL, quiet);
	if (!r.line || virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
		give_up(error_of("libvirt's library does not start"));
	why = connect_to(&r);
	if (why)
		give_up(why);
	if (r.off)
		greet_off(&r);
	else
		greet(&r);
	if (virEventAddHandle(
		    SOCKET, VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP,
		    on_readable, &r, NULL) < 0)
		return 1;
	while (!r.over) {
		if (r.readable) {
			r.readable = false;
			read_some(&r);
		} else if (virEventRunDefaultImpl() < 0) {
			break;
		}
	}
	disconnect(&r);
	return 0;
}
