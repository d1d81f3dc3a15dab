/* vm.c - a real QEMU under TCG with the guest of tests/guest. */
#include "tests/bench/bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmr/vm/ask.h"
#include "libmr/vm/guest.h"
#include "libmr/vm/qmp.h"

/* The guest's program, its tables and what QEMU keeps at the top of memory. */
#define SPARE 64
#define PATIENCE_MS 600000

uint64_t vm_mib(const struct vm_spec *spec)
{
	return spec->fill + spec->zero + spec->hole + SPARE;
}

/* Where the files of spec are in its memory. */
static uint64_t files_at(const struct vm_spec *spec)
{
	return (spec->fill + spec->zero + 256) * MIB;
}

/* QEMU's arguments, each in static memory. */
static const char **arguments(const struct vm *vm, const struct vm_spec *spec,
			      int fd, bool incoming, const char *image,
			      const char *option, bool run)
{
	static const char *const kinds[] = {
		[MEM_ANON] = "ram",
		[MEM_MEMFD] = "memfd",
		[MEM_HUGE] = "memfd,hugetlb=on,hugetlbsize=2M",
	};
	static char ram[128], size[32], append[160], serial[160], qmp[192],
		ctl[64], kernel[PATH_LEN], loader[PATH_LEN * 2];
	static const char *argv[48];
	const char *const before[] = {
		path_of(config.build, "mrload"), "-q",	"--instant", option,
		run ? "--run" : "--paused",	 image, "--"
	};
	size_t n = 0;

	for (size_t i = 0; image && i < sizeof(before) / sizeof(*before); i++)
		argv[n++] = before[i];

	(void)snprintf(size, sizeof(size), "%" PRIu64 "M", vm_mib(spec));
	(void)snprintf(ram, sizeof(ram),
		       "memory-backend-%s,id=ram,size=%s,reserve=off",
		       kinds[spec->memory], size);
	(void)snprintf(append, sizeof(append),
		       "fill=%" PRIu64 "M zero=%" PRIu64
		       "M every=%u turn=%uK:%uK%s%s",
		       spec->fill, spec->zero, spec->every ? spec->every : 1,
		       spec->turn, spec->turn_each, spec->tick ? " tick=1" : "",
		       spec->rest ? " rest=1" : "");
	(void)snprintf(serial, sizeof(serial), "file:%s", vm->serial);
	(void)snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off",
		       vm->tool_qmp);
	(void)snprintf(ctl, sizeof(ctl), "socket,id=ctl,fd=%d", fd);
	(void)snprintf(kernel, sizeof(kernel), "%s/guest.img", config.build);
	for (const char *const *p =
		     (const char *const[]){ "qemu-system-x86_64",
					    "-accel",
					    "tcg",
					    "-nodefaults",
					    "-display",
					    "none",
					    "-msg",
					    "timestamp=on",
					    "-cpu",
					    "qemu64,phys-bits=46",
					    "-m",
					    size,
					    "-object",
					    ram,
					    "-machine",
					    "pc,memory-backend=ram",
					    "-kernel",
					    kernel,
					    "-append",
					    append,
					    "-serial",
					    serial,
					    "-qmp",
					    qmp,
					    "-chardev",
					    ctl,
					    "-mon",
					    "chardev=ctl,mode=control",
					    NULL };
	     *p; p++)
		argv[n++] = *p;
	/* Behind what the guest writes, where it never looks. */
	if (spec->files && !incoming && !image) {
		(void)snprintf(loader, sizeof(loader),
			       "loader,file=%s,addr=0x%" PRIx64 ",force-raw=on",
			       files_take(spec->files), files_at(spec));
		argv[n++] = "-device";
		argv[n++] = loader;
	}
	if (incoming) {
		argv[n++] = "-incoming";
		argv[n++] = "defer";
	}
	argv[n] = NULL;
	return argv;
}

static void start(struct vm *vm, const struct vm_spec *spec, bool incoming,
		  const char *image, const char *option, bool run)
{
	struct mr_error err = MR_ERROR_INIT;
	static unsigned number;
	char name[16];
	int fds[2];

	*vm = (struct vm){ 0 };
	(void)snprintf(name, sizeof(name), "vm%u", ++number);
	(void)snprintf(vm->serial, sizeof(vm->serial), "%s/%s.serial",
		       config.run, name);
	(void)snprintf(vm->log, sizeof(vm->log), "%s/%s.log", config.run, name);
	(void)snprintf(vm->tool_qmp, sizeof(vm->tool_qmp), "%s/%s.qmp",
		       config.run, name);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) ||
	    fcntl(fds[0], F_SETFD, FD_CLOEXEC))
		die("cannot make a socket: %s", strerror(errno));
	vm->pid = child_start(
		name, arguments(vm, spec, fds[1], incoming, image, option, run),
		-1);
	(void)close(fds[1]);
	vm->q = qmp_attach(fds[0], PATIENCE_MS, &err);
	if (!vm->q) {
		child_show_log(name);
		die("QEMU does not start: %s", err.msg);
	}
	qmp_limit(vm->q, PATIENCE_MS, NULL);
}

void vm_start(struct vm *vm, const struct vm_spec *spec, bool incoming)
{
	start(vm, spec, incoming, NULL, NULL, false);
}

void vm_start_on(struct vm *vm, const struct vm_spec *spec, const char *image,
		 const char *option, bool run)
{
	start(vm, spec, false, image, option, run);
}

void vm_wait_running(struct vm *vm)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	bool running = false;

	while (!running) {
		json_t *status = vm_call(vm, "query-status", NULL);

		running = json_is_true(json_object_get(status, "running"));
		json_decref(status);
		if (!running)
			(void)nanosleep(&nap, NULL);
	}
}

void vm_stop(struct vm *vm)
{
	qmp_free(vm->q);
	(void)kill(vm->pid, SIGKILL);
	(void)waitpid(vm->pid, NULL, 0);
	(void)unlink(vm->serial);
	(void)unlink(vm->tool_qmp);
}

json_t *vm_call(struct vm *vm, const char *command, json_t *args)
{
	struct mr_error err = MR_ERROR_INIT;
	json_t *ret;

	if (qmp_call(vm->q, command, args, &ret, &err))
		die("QEMU: %s: %s", command, err.msg);
	return ret;
}

void vm_do(struct vm *vm, const char *command)
{
	json_decref(vm_call(vm, command, NULL));
}

void vm_migration(struct vm *vm, unsigned channels)
{
	json_t *caps = json_pack("{s:[{s:s,s:b},{s:s,s:b},{s:s,s:b}]}",
				 "capabilities", "capability", "mapped-ram",
				 "state", 1, "capability", "multifd", "state",
				 1, "capability", "events", "state", 1);
	json_t *params =
		json_pack("{s:i,s:b,s:I}", "multifd-channels", (int)channels,
			  "direct-io", 1, "max-bandwidth", (json_int_t)1 << 40);

	json_decref(vm_call(vm, "migrate-set-capabilities", caps));
	json_decref(vm_call(vm, "migrate-set-parameters", params));
	vm_drop_events(vm);
}

void vm_drop_events(struct vm *vm)
{
	struct mr_error err = MR_ERROR_INIT;

	if (qmp_drop_events(vm->q, &err))
		die("QEMU: %s", err.msg);
}

void vm_wait_put_away(struct vm *vm)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct mr_error err = MR_ERROR_INIT;
	bool there = true;

	while (there) {
		if (ask_migration_there(vm->q, &there, &err))
			die("QEMU: %s", err.msg);
		(void)nanosleep(&nap, NULL);
	}
}

/* The migration's status that an event tells: 1 completed, -1 failed. */
static int ended(const json_t *event)
{
	const char *status = json_string_value(
		json_object_get(json_object_get(event, "data"), "status"));

	if (!status)
		return 0;
	if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
		return -1;
	return !strcmp(status, "completed");
}

int vm_wait_migration(struct vm *vm, const char **why)
{
	static const char *const names[] = { "MIGRATION", NULL };
	struct mr_error err = MR_ERROR_INIT;
	static char reason[512];
	json_t *event, *info;
	int end = 0;

	while (!end) {
		event = qmp_wait_event(vm->q, names, PATIENCE_MS, NULL, &err);
		if (!event)
			die("QEMU: waiting for a migration: %s", err.msg);
		end = ended(event);
		json_decref(event);
	}
	if (end > 0)
		return 0;
	info = vm_call(vm, "query-migrate", NULL);
	*why = json_string_value(json_object_get(info, "error-desc"));
	(void)snprintf(reason, sizeof(reason), "%s",
		       *why ? *why : "no reason given");
	*why = reason;
	json_decref(info);
	return -1;
}

/* ---- the guest's voice ---- */

/* Looks at the whole lines that are new. 1: found, -1: BAD, 0: not yet. */
static int listen_on(struct vm *vm, const char *prefix, unsigned *times)
{
	FILE *f = fopen(vm->serial, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int rc = 0;

	if (!f || fseek(f, vm->heard, SEEK_SET))
		die("%s: %s", vm->serial, strerror(errno));
	while (!rc && (n = getline(&line, &size, f)) > 0 &&
	       line[n - 1] == '\n') {
		vm->heard += n;
		if (!strncmp(line, "BAD", 3))
			rc = -1;
		else if (!strncmp(line, prefix, strlen(prefix)) && !--*times)
			rc = 1;
	}
	free(line);
	(void)fclose(f);
	return rc;
}

int vm_wait(struct vm *vm, const char *prefix, unsigned times)
{
	struct timespec nap = { .tv_nsec = 1000000 };
	double deadline = now() + 1e-3 * PATIENCE_MS;
	int rc;

	while (!(rc = listen_on(vm, prefix, &times))) {
		if (waitpid(vm->pid, NULL, WNOHANG) == vm->pid)
			die("QEMU has ended, waiting for '%s'", prefix);
		if (now() > deadline)
			die("gave up waiting for '%s' from the guest", prefix);
		(void)nanosleep(&nap, NULL);
	}
	return rc < 0 ? -1 : 0;
}

/* ---- what it uses ---- */

double vm_cpu(const struct vm *vm)
{
	unsigned long user, system;
	char path[64], buf[1024], *p;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)vm->pid);
	f = fopen(path, "r");
	/* utime and stime are fields 14 and 15; field 2, the name, may hold
	 * anything and ends with the last ")". */
	if (!f || !fgets(buf, sizeof(buf), f) || !(p = strrchr(buf, ')')) ||
	    sscanf(p + 1, "%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%lu%lu", &user,
		   &system) != 2)
		die("cannot read %s", path);
	(void)fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Bytes of the memfds that the process has open. */
static double memfd_bytes(pid_t pid)
{
	char path[64], link[16];
	struct dirent *e;
	double sum = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		struct stat st;

		if (readlinkat(dirfd(d), e->d_name, link, sizeof(link)) >= 7 &&
		    !strncmp(link, "/memfd:", 7) &&
		    !fstatat(dirfd(d), e->d_name, &st, 0))
			sum += 512.0 * (double)st.st_blocks;
	}
	if (d)
		(void)closedir(d);
	return sum;
}

double vm_memory(const struct vm *vm)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)vm->pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "RssAnon: %lu", &kib) != 1)
		continue;
	if (f)
		(void)fclose(f);
	return 1024.0 * (double)kib + memfd_bytes(vm->pid);
}

double vm_rollup(const struct vm *vm, const char *line)
{
	char path[64], buf[256];
	unsigned long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup",
		       (int)vm->pid);
	f = fopen(path, "r");
	while (f && fgets(buf, sizeof(buf), f))
		if (!strncmp(buf, line, strlen(line)))
			(void)sscanf(buf + strlen(line), "%lu", &kib);
	if (f)
		(void)fclose(f);
	return 1024.0 * (double)kib;
}

/* Calls fn for each step-th part of the guest's memory; reads len of it. */
static void walk(struct vm *vm, uint64_t step, size_t len,
		 void (*fn)(void *arg, const void *buf), void *arg)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_open(vm->q, vm->pid, &err);
	struct guest_block *b = g ? guest_find(g, "ram") : NULL;
	char *buf = malloc(len);

	if (!b || !buf)
		die("cannot find the guest's memory: %s", err.msg);
	for (uint64_t at = 0; at < b->used; at += step) {
		struct iovec to = { buf, len };
		struct iovec from = { (void *)(uintptr_t)(b->hva + at), len };

		if (process_vm_readv(vm->pid, &to, 1, &from, 1, 0) !=
		    (ssize_t)len)
			die("cannot read the guest: %s", strerror(errno));
		if (fn)
			fn(arg, buf);
	}
	free(buf);
	guest_free(g);
}

void vm_change(struct vm *vm, const struct vm_spec *spec, const char *list)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_open(vm->q, vm->pid, &err);
	struct guest_block *b = g ? guest_find(g, "ram") : NULL;
	uint64_t pages = spec->files * MIB / 4096;
	FILE *f = fopen(list, "w");
	unsigned char buf[4096];

	if (!b || !f)
		die("cannot change the guest's memory: %s", err.msg);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t other = (i * 7919 + pages / 2) % pages;
		uint64_t base = b->hva + files_at(spec);
		struct iovec here = { buf, sizeof(buf) };
		struct iovec from = { (void *)(uintptr_t)(base + other * 4096),
				      sizeof(buf) };
		struct iovec to = { (void *)(uintptr_t)(base + i * 4096),
				    sizeof(buf) };

		if (i % spec->changed_each >= spec->changed)
			continue;
		if (process_vm_readv(vm->pid, &here, 1, &from, 1, 0) < 0)
			die("cannot read the guest: %s", strerror(errno));
		/* No page that was there is as it was. */
		memcpy(buf, &i, sizeof(i));
		if (process_vm_writev(vm->pid, &here, 1, &to, 1, 0) < 0 ||
		    fwrite(buf, sizeof(buf), 1, f) != 1)
			die("cannot change the guest: %s", strerror(errno));
	}
	if (fclose(f))
		die("%s: %s", list, strerror(errno));
	guest_free(g);
}

void vm_read_all(struct vm *vm)
{
	walk(vm, 2 * MIB, 1, NULL, NULL);
}

void vm_each_mib(struct vm *vm, void (*fn)(void *arg, const void *buf),
		 void *arg)
{
	walk(vm, MIB, MIB, fn, arg);
}
