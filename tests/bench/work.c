/* work.c - the contenders: our tools, QEMU alone, and the bare limits. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint64_t data_mib(const struct vm_spec *spec)
{
	return spec->fill / (spec->every ? spec->every : 1);
}

/* ---- ours ---- */

struct sample run_mrsave(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	double cpu = vm_cpu(vm), memory = vm_memory(vm);
	const char *argv[12] = { path_of(config.build, "mrsave"), "--json" };
	char jobs[16];
	size_t n = 2;
	json_t *out;

	(void)spec;
	if (c->n) {
		(void)snprintf(jobs, sizeof(jobs), "-j%u", c->n);
		argv[n++] = jobs;
	}
	for (size_t i = 0; i < MAX_OPTIONS && c->options[i]; i++)
		argv[n++] = c->options[i];
	argv[n++] = vm->tool_qmp;
	argv[n++] = image;
	argv[n] = NULL;
	out = child_run(argv, &s);
	/* A guest that runs works too: QEMU's time tells nothing then. */
	s.cpu = vm->running ? -1 : s.cpu + vm_cpu(vm) - cpu;
	s.grew = vm_memory(vm) - memory;
	s.direct = json_is_true(json_object_get(out, "direct_io"));
	s.still = json_number_value(json_object_get(out, "paused_seconds"));
	json_decref(out);
	return s;
}

/* ---- QEMU alone ---- */

static void make_durable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) || close(fd))
		die("%s: %s", path, strerror(errno));
}

struct sample run_qemu_save(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	double cpu = vm_cpu(vm), memory = vm_memory(vm), start;
	char uri[PATH_LEN + 8];
	const char *why;

	(void)spec;
	(void)snprintf(uri, sizeof(uri), "file:%s", image);
	vm_migration(vm, c->n);
	start = now();
	json_decref(vm_call(vm, "migrate", json_pack("{s:s}", "uri", uri)));
	if (vm_wait_migration(vm, &why))
		die("QEMU alone cannot save: %s", why);
	make_durable(image);
	s.seconds = now() - start;
	s.cpu = vm->running ? -1 : vm_cpu(vm) - cpu;
	s.grew = vm_memory(vm) - memory;
	s.direct = true;
	/* From postmigrate there is only one way back. */
	vm_do(vm, "cont");
	if (!vm->running)
		vm_do(vm, "stop");
	return s;
}

/* ---- the limits ---- */

static struct sample run_bare(const char *what, const char *arg, uint64_t mib)
{
	struct sample s = SAMPLE_NONE;
	char size[24];
	const char *argv[] = { path_of(config.build, "tests/bench/bare"), what,
			       arg, size, NULL };
	json_t *out;

	(void)snprintf(size, sizeof(size), "%" PRIu64, mib);
	out = child_run(argv, &s);
	/* It prepares first, so it takes its own time. */
	s.seconds = json_number_value(json_object_get(out, "seconds"));
	s.cpu = json_number_value(json_object_get(out, "cpu"));
	s.direct = json_is_true(json_object_get(out, "direct_io"));
	s.peak = -1;
	json_decref(out);
	return s;
}

struct sample run_bare_write(const struct contender *c, struct vm *vm,
			     const struct vm_spec *spec, const char *image)
{
	(void)c;
	(void)vm;
	return run_bare("write", image, data_mib(spec));
}

struct sample run_bare_memory(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	char cores[16];

	(void)vm;
	(void)image;
	(void)snprintf(cores, sizeof(cores), "%u", c->n);
	return run_bare("memory", cores, spec->fill + spec->zero);
}

/* ---- is it true? ---- */

int check_image(const struct vm_spec *spec, const char *image)
{
	char uri[PATH_LEN + 8];
	const char *why = NULL;
	struct vm vm;
	int rc = -1;

	(void)snprintf(uri, sizeof(uri), "file:%s", image);
	vm_start(&vm, spec, true);
	vm_migration(&vm, 2);
	json_decref(vm_call(
		&vm, "migrate-incoming",
		json_pack("{s:s,s:b}", "uri", uri, "exit-on-error", 0)));
	if (vm_wait_migration(&vm, &why)) {
		(void)fprintf(stderr, "bench: QEMU does not load it: %s\n",
			      why);
		goto out;
	}
	vm_do(&vm, "cont");
	/* Two passes: the first began before it was saved. */
	if (vm_wait(&vm, "pass ", 2)) {
		(void)fprintf(stderr, "bench: the guest's memory is wrong\n");
		goto out;
	}
	rc = 0;
out:
	vm_stop(&vm);
	return rc;
}
