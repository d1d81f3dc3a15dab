/* relay.c - starting the program that speaks with libvirt. */
#include "libmr/vm/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/vm/qmp.h"

#define PROGRAM "mrtools-libvirt"
/* Where it has the socket. */
#define SOCKET 3
#define ANSWER_MS 10000
/* It reads all of the memory. */
#define RESTORE_MS (60 * 60 * 1000)

extern char **environ;

bool mr_is_domain(const char *name)
{
	return !strncmp(name, "libvirt:", 8) || !strncmp(name, "libvirt+", 8);
}

bool mr_is_vm(const char *name)
{
	struct stat st;

	return mr_is_domain(name) || (!stat(name, &st) && S_ISSOCK(st.st_mode));
}

/* "libvirt:DOMAIN", "libvirt+URI:DOMAIN": the URI has colons, too. */
static int split(const char *vm, struct relay_plan *p, struct mr_error *err)
{
	const char *rest = vm + strlen("libvirt");
	const char *colon = *rest == '+' ? strrchr(rest, ':') : rest;
	size_t uri = *rest == '+' && colon ? (size_t)(colon - rest - 1) : 0;

	if (!colon || !colon[1] || (*rest == '+' && !uri))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "a domain is called libvirt:DOMAIN, or "
				 "libvirt+URI:DOMAIN");
	if (uri >= sizeof(p->uri) || strlen(colon + 1) >= sizeof(p->domain))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "nothing of libvirt's is called so: it is too "
				 "long");
	if (uri)
		memcpy(p->uri, rest + 1, uri);
	memcpy(p->domain, colon + 1, strlen(colon + 1) + 1);
	return 0;
}

/* Beside the program that runs, or where it is installed from there. */
static bool find_program(char path[PATH_MAX])
{
	static const char *const places[] = { PROGRAM,
					      "../lib/mrtools/" PROGRAM };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	slash[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) <
			    PATH_MAX &&
		    !access(path, X_OK))
			return true;
	return snprintf(path, PATH_MAX, "%s/%s", MR_LIBEXEC, PROGRAM) <
		       PATH_MAX &&
	       !access(path, X_OK);
}

bool mr_has_libvirt(void)
{
	char path[PATH_MAX];

	return find_program(path);
}

int relay_look(struct relay_plan *p, const char *vm, struct mr_error *err)
{
	*p = (struct relay_plan){ .path = "" };
	if (split(vm, p, err))
		return -1;
	if (find_program(p->path))
		return 0;
	p->path[0] = '\0';
	return error_set(
		err, MR_UNSUPPORTED, MR_NO_OFFSET,
		"this build knows nothing of libvirt: there is no " PROGRAM);
}

/* In a child: becomes it. */
__attribute__((noreturn)) static void become(const struct relay_plan *p, int fd)
{
	const char *const argv[] = { PROGRAM, p->uri, p->domain, NULL };
	int null = open("/dev/null", O_RDWR);

	/* Nobody's pipes are kept open by it. */
	if (null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
	    dup2(null, 2) == 2 && dup2(fd, SOCKET) == SOCKET &&
	    (!close_range(SOCKET + 1, ~0U, 0) || errno == ENOSYS))
		(void)execve(p->path, (char *const *)(uintptr_t)argv, environ);
	_exit(127);
}

int relay_dial(const struct relay_plan *p)
{
	int pair[2], far = -1, status = 0;
	pid_t pid = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	/* dup2 to its own number would leave it closed on exec. */
	far = fcntl(pair[1], F_DUPFD_CLOEXEC, SOCKET + 1);
	if (far >= 0)
		pid = fork();
	if (!pid)
		become(p, far);
	(void)close(pair[1]);
	if (far >= 0)
		(void)close(far);
	/* It leaves a child behind and ends at once. */
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && !status && !fcntl(pair[0], F_SETFL, O_NONBLOCK))
		return pair[0];
	(void)close(pair[0]);
	errno = pid < 0 ? errno : ENOEXEC;
	return -1;
}

int relay_open(const char *vm, struct mr_error *err)
{
	struct relay_plan p;
	int fd;

	if (relay_look(&p, vm, err))
		return -1;
	fd = relay_dial(&p);
	return fd < 0 ? error_sys(err, MR_NO_OFFSET, "cannot run %.200s",
				  p.path)
		      : fd;
}

bool relay_pid(const json_t *greeting, pid_t *pid)
{
	const json_t *ours = json_object_get(greeting, "mrtools");
	const json_t *number = json_object_get(ours, "pid");

	if (!json_is_object(ours))
		return false;
	*pid = json_is_integer(number) && json_integer_value(number) > 0 &&
			       json_integer_value(number) <= INT_MAX
		       ? (pid_t)json_integer_value(number)
		       : 0;
	return true;
}

struct mr_domain relay_domain(const json_t *greeting)
{
	const json_t *ours = json_object_get(greeting, "mrtools");
	json_int_t version =
		json_integer_value(json_object_get(ours, "libvirt"));

	return (struct mr_domain){
		.off = json_is_true(json_object_get(ours, "off")),
		.libvirt = version > 0 ? (uint64_t)version : 0,
	};
}

char *mr_domain_xml(const char *name, struct mr_domain *is,
		    struct mr_error *err)
{
	struct qmp *q = qmp_open_domain(name, ANSWER_MS, is, err);
	json_t *ret = NULL;
	const char *text;
	char *xml = NULL;

	if (!q)
		return NULL;
	qmp_limit(q, ANSWER_MS, NULL);
	if (!qmp_call(q, "x-mrtools-xml", NULL, &ret, err)) {
		text = json_string_value(json_object_get(ret, "xml"));
		xml = text ? strdup(text) : NULL;
		if (!xml)
			(void)error_set(err, text ? MR_NOMEM : MR_QMP,
					MR_NO_OFFSET, "libvirt gave no XML");
	}
	json_decref(ret);
	qmp_free(q);
	return xml;
}

int mr_domain_restore(const char *name, const char *path,
		      enum mr_domain_run run, const atomic_bool *cancel,
		      struct mr_error *err)
{
	struct mr_domain is;
	struct qmp *q = qmp_open_domain(name, ANSWER_MS, &is, err);
	json_t *args = json_pack("{s:s}", "path", path);
	int rc = -1;

	if (run != MR_DOMAIN_AS_SAVED)
		(void)json_object_set_new(args, "run",
					  json_boolean(run == MR_DOMAIN_RUN));
	if (q && !is.off)
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"the domain is on: what it is would be lost");
	if (q && is.off) {
		qmp_limit(q, RESTORE_MS, cancel);
		rc = qmp_call(q, "x-mrtools-restore", json_incref(args), NULL,
			      err);
	}
	json_decref(args);
	qmp_free(q);
	return rc;
}
