/* stream.c - contenders that a guest is migrated to: over sockets, or by a
 * background snapshot. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How a VM sends, or is to receive: all that another contender may have set. */
static void set_stream(struct vm *vm, unsigned channels, const char *method,
		       bool answer, bool background)
{
	static const char *const names[] = { "mapped-ram", "multifd", "events",
					     "return-path",
					     "background-snapshot" };
	const bool on[] = { false, channels > 0, true, answer, background };
	json_t *caps = json_array();

	/* What goes off first does not stand in the way of the others. */
	for (int state = 0; state < 2; state++)
		for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++)
			if (on[i] == state)
				(void)json_array_append_new(
					caps,
					json_pack("{s:s,s:b}", "capability",
						  names[i], "state", state));
	json_decref(vm_call(vm, "migrate-set-parameters",
			    json_pack("{s:i,s:s,s:b,s:I}", "multifd-channels",
				      channels ? (int)channels : 2,
				      "multifd-compression",
				      method ? method : "none", "direct-io", 0,
				      "max-bandwidth", (json_int_t)1 << 40)));
	json_decref(vm_call(vm, "migrate-set-capabilities",
			    json_pack("{s:o}", "capabilities", caps)));
	vm_drop_events(vm);
}

static void migrate(struct vm *vm, const char *uri)
{
	const char *why;

	json_decref(vm_call(vm, "migrate", json_pack("{s:s}", "uri", uri)));
	if (vm_wait_migration(vm, &why))
		die("QEMU cannot migrate to %s: %s", uri, why);
}

/* From postmigrate there is only one way back; a source that was answered comes
 * there a little later. */
static void go_back(struct vm *vm)
{
	vm_wait_put_away(vm);
	vm_do(vm, "cont");
	if (!vm->running)
		vm_do(vm, "stop");
}

static const char *in_socket(void)
{
	return path_of(config.run, "in.sock");
}

/* mrrecv, with these arguments, takes the VM: its time and CPU time. */
static struct sample receive(const struct contender *c, struct vm *vm,
			     const char *first, const char *last)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct sample s = SAMPLE_NONE;
	char uri[PATH_LEN + 8];
	struct rusage used;
	double start;
	int status;
	pid_t pid;

	(void)snprintf(uri, sizeof(uri), "unix:%s", in_socket());
	pid = child_start("mrrecv",
			  (const char *[]){ path_of(config.build, "mrrecv"),
					    first, uri, last, NULL },
			  -1);
	while (access(in_socket(), F_OK))
		(void)nanosleep(&nap, NULL);
	set_stream(vm, c->n, c->options[0], true, false);
	start = now();
	migrate(vm, uri);
	if (wait4(pid, &status, 0, &used) != pid || status) {
		child_show_log("mrrecv");
		die("mrrecv failed");
	}
	s.seconds = now() - start;
	s.cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	s.peak = 1024.0 * (double)used.ru_maxrss;
	s.direct = true;
	go_back(vm);
	return s;
}

struct sample run_mrrecv(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	(void)spec;
	return receive(c, vm, "-q", image);
}

struct sample run_qemu_recv(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	char uri[PATH_LEN + 8];
	struct vm target;
	double start, cpu;

	(void)image;
	(void)snprintf(uri, sizeof(uri), "unix:%s", in_socket());
	vm_start(&target, spec, true);
	set_stream(&target, c->n, c->options[0], false, false);
	json_decref(vm_call(&target, "migrate-incoming",
			    json_pack("{s:s}", "uri", uri)));
	set_stream(vm, c->n, c->options[0], false, false);
	cpu = vm_cpu(&target);
	start = now();
	migrate(vm, uri);
	s.seconds = now() - start;
	s.cpu = vm_cpu(&target) - cpu;
	vm_stop(&target);
	(void)unlink(in_socket());
	go_back(vm);
	return s;
}

/* ---- a stream that was kept in memory ---- */

static const char *kept(void)
{
	return path_of(config.tmpfs, "capture");
}

/* Its time does not have the making of the memory that it goes to. */
struct sample run_decode(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	char option[PATH_LEN + 16];
	struct sample s = SAMPLE_NONE;
	json_t *out;

	(void)spec;
	(void)image;
	(void)snprintf(option, sizeof(option), "--capture=%s", kept());
	if (access(kept(), F_OK))
		(void)receive(c, vm, option, NULL);
	out = child_run(
		(const char *[]){ path_of(config.build, "tests/bench/decode"),
				  c->options[1], kept(), NULL },
		&s);
	s.seconds = json_number_value(json_object_get(out, "seconds"));
	s.cpu = json_number_value(json_object_get(out, "cpu"));
	s.peak = -1;
	json_decref(out);
	return s;
}

int check_decode(const struct contender *c, const struct vm_spec *spec,
		 const char *image)
{
	static const char *const files[] = { "main", "index", "channel-0" };
	char path[PATH_LEN + 16];

	(void)c;
	(void)spec;
	(void)image;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", kept(), files[i]);
		(void)unlink(path);
	}
	return rmdir(kept());
}

/* ---- from an image, or its VM, into a QEMU that waits ---- */

/* A QEMU that waits at in_socket. */
static void start_waiting(struct vm *target, const struct contender *c,
			  const struct vm_spec *spec)
{
	char uri[PATH_LEN + 8];

	(void)snprintf(uri, sizeof(uri), "unix:%s", in_socket());
	vm_start(target, spec, true);
	set_stream(target, c->n, c->options[0], true, false);
	json_decref(vm_call(target, "migrate-incoming",
			    json_pack("{s:s}", "uri", uri)));
}

struct sample run_mrsend(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	char uri[PATH_LEN + 8], channels[32], compress[32];
	struct sample s = SAMPLE_NONE;
	struct vm target;
	json_t *out;
	double cpu;

	(void)vm;
	start_waiting(&target, c, spec);
	(void)snprintf(uri, sizeof(uri), "unix:%s", in_socket());
	(void)snprintf(channels, sizeof(channels), "--channels=%u", c->n);
	(void)snprintf(compress, sizeof(compress), "--compress=%s",
		       c->options[0] ? c->options[0] : "none");
	cpu = vm_cpu(&target);
	out = child_run((const char *[]){ path_of(config.build, "mrsend"),
					  "--json", channels, compress, image,
					  uri, NULL },
			&s);
	json_decref(out);
	s.cpu += vm_cpu(&target) - cpu;
	s.direct = true;
	vm_stop(&target);
	(void)unlink(in_socket());
	return s;
}

struct sample run_qemu_send(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	char uri[PATH_LEN + 8];
	struct vm target;
	double start, cpu;

	(void)image;
	start_waiting(&target, c, spec);
	(void)snprintf(uri, sizeof(uri), "unix:%s", in_socket());
	set_stream(vm, c->n, c->options[0], true, false);
	cpu = vm_cpu(&target) + vm_cpu(vm);
	start = now();
	migrate(vm, uri);
	s.seconds = now() - start;
	s.cpu = vm_cpu(&target) + vm_cpu(vm) - cpu;
	vm_stop(&target);
	(void)unlink(in_socket());
	go_back(vm);
	return s;
}

/* The same stream into a file, and onto the disk. */
struct sample run_cat(const struct contender *c, struct vm *vm,
		      const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	char uri[2 * PATH_LEN + 32];
	double start;

	(void)c;
	(void)spec;
	(void)snprintf(uri, sizeof(uri), "exec:cat >'%s' && sync '%s'", image,
		       image);
	set_stream(vm, 0, NULL, false, false);
	start = now();
	migrate(vm, uri);
	s.seconds = now() - start;
	go_back(vm);
	return s;
}

/* What a source can do, into nothing. */
struct sample run_source(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	double start;

	(void)c;
	(void)spec;
	(void)image;
	set_stream(vm, 0, NULL, false, false);
	start = now();
	migrate(vm, "exec:cat >/dev/null");
	s.seconds = now() - start;
	go_back(vm);
	return s;
}

struct sample run_qemu_background(const struct contender *c, struct vm *vm,
				  const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	char uri[PATH_LEN + 8];
	double start;
	int fd;

	(void)c;
	(void)spec;
	(void)snprintf(uri, sizeof(uri), "file:%s", image);
	set_stream(vm, 0, NULL, false, true);
	start = now();
	migrate(vm, uri);
	fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) || close(fd))
		die("%s: %s", image, strerror(errno));
	s.seconds = now() - start;
	vm_wait_put_away(vm);
	set_stream(vm, 0, NULL, false, false);
	return s;
}

struct sample run_mrsave_live(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	set_stream(vm, 0, NULL, false, false);
	return run_mrsave(c, vm, spec, image);
}
