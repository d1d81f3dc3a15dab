/* work.c - the contenders: our tools, QEMU alone, and the bare limits. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t data_mib(const struct vm_spec *spec)
{
	return spec->fill / (spec->every ? spec->every : 1) + spec->files;
}

/* ---- ours ---- */

/* base: also that option, with its value; or NULLs. */
static struct sample mrsave(const struct contender *c, struct vm *vm,
			    const char *image, const char *const base[2])
{
	struct sample s = SAMPLE_NONE;
	double cpu = vm_cpu(vm), memory = vm_memory(vm);
	const char *argv[12] = { path_of(config.build, "mrsave"), "--json" };
	const char *no_base;
	char jobs[16];
	size_t n = 2;
	json_t *out;

	if (c->n) {
		(void)snprintf(jobs, sizeof(jobs), "-j%u", c->n);
		argv[n++] = jobs;
	}
	for (size_t i = 0; i < MAX_OPTIONS && c->options[i]; i++)
		argv[n++] = c->options[i];
	for (size_t i = 0; i < 2 && base[i]; i++)
		argv[n++] = base[i];
	argv[n++] = vm->tool_qmp;
	argv[n++] = image;
	argv[n] = NULL;
	out = child_run(argv, &s);
	/* A guest that runs works too: QEMU's time tells nothing then. */
	s.cpu = vm->running ? -1 : s.cpu + vm_cpu(vm) - cpu;
	s.grew = vm_memory(vm) - memory;
	s.direct = json_is_true(json_object_get(out, "direct_io"));
	s.still = json_number_value(json_object_get(out, "paused_seconds"));
	no_base = json_string_value(json_object_get(out, "no_base"));
	if (no_base)
		(void)snprintf(s.remark, sizeof(s.remark),
			       "the base was of no use: %s", no_base);
	json_decref(out);
	return s;
}

struct sample run_mrsave(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	(void)spec;
	return mrsave(c, vm, image, (const char *[]){ NULL, NULL });
}

const char *base_image(void)
{
	return path_of(config.images, "base");
}

struct sample run_mrsave_base(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	(void)spec;
	return mrsave(c, vm, image, (const char *[]){ "--base", base_image() });
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

static struct sample run_bare(const char *what, const char *arg,
			      const char *more)
{
	struct sample s = SAMPLE_NONE;
	const char *argv[] = { path_of(config.build, "tests/bench/bare"), what,
			       arg, more, NULL };
	json_t *out;

	out = child_run(argv, &s);
	/* It prepares first, so it takes its own time. */
	s.seconds = json_number_value(json_object_get(out, "seconds"));
	s.cpu = json_number_value(json_object_get(out, "cpu"));
	s.direct = json_is_true(json_object_get(out, "direct_io"));
	s.peak = -1;
	json_decref(out);
	return s;
}

static const char *number(uint64_t n)
{
	static char buf[24];

	(void)snprintf(buf, sizeof(buf), "%" PRIu64, n);
	return buf;
}

struct sample run_bare_write(const struct contender *c, struct vm *vm,
			     const struct vm_spec *spec, const char *image)
{
	(void)c;
	(void)vm;
	return run_bare("write", image, number(data_mib(spec)));
}

struct sample run_bare_turned(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	(void)c;
	(void)vm;
	return run_bare("write", image,
			number(spec->fill * spec->turn / spec->turn_each));
}

struct sample run_bare_memory(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	char cores[16];

	(void)vm;
	(void)image;
	(void)snprintf(cores, sizeof(cores), "%u", c->n);
	return run_bare("memory", cores, number(spec->fill + spec->zero));
}

struct sample run_bare_read(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	(void)c;
	(void)vm;
	(void)spec;
	return run_bare("read", image, NULL);
}

struct sample run_bare_copy(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	const char *to = path_of(config.images, "copy");
	struct sample s;

	(void)c;
	(void)vm;
	(void)spec;
	s = run_bare("copy", image, to);
	(void)unlink(to);
	return s;
}

/* ---- loading ---- */

/* Runs mrload; its arguments follow the options. */
static struct sample mrload(const struct contender *c, const char *const *args)
{
	struct sample s = SAMPLE_NONE;
	const char *argv[12] = { path_of(config.build, "mrload"), "--json" };
	size_t n = 2;
	json_t *out, *direct;

	for (size_t i = 0; i < MAX_OPTIONS && c->options[i]; i++)
		argv[n++] = c->options[i];
	while (*args)
		argv[n++] = *args++;
	argv[n] = NULL;
	out = child_run(argv, &s);
	direct = json_object_get(out, "direct_io");
	s.direct = json_is_true(direct ? direct
				       : json_object_get(out, "direct_read"));
	json_decref(out);
	return s;
}

struct sample run_mrload(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	struct vm target;
	struct sample s;
	double cpu;

	(void)vm;
	vm_start(&target, spec, true);
	cpu = vm_cpu(&target);
	s = mrload(c, (const char *[]){ image, target.tool_qmp, NULL });
	s.cpu += vm_cpu(&target) - cpu;
	vm_stop(&target);
	return s;
}

/* Into a new file of this name, which stays. */
static struct sample load_memory(const struct contender *c, const char *image,
				 const char *to)
{
	char memory[PATH_LEN + 8];

	(void)unlink(to);
	(void)snprintf(memory, sizeof(memory), "ram=%s", to);
	return mrload(c, (const char *[]){ "--memory", memory, image, NULL });
}

static const char *tmpfs_file(void)
{
	return path_of(config.tmpfs, "ram");
}

static const char *disk_file(void)
{
	return path_of(config.images, "ram");
}

struct sample run_mrload_tmpfs(const struct contender *c, struct vm *vm,
			       const struct vm_spec *spec, const char *image)
{
	(void)vm;
	(void)spec;
	return load_memory(c, image, tmpfs_file());
}

struct sample run_mrload_file(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	(void)vm;
	(void)spec;
	return load_memory(c, image, disk_file());
}

/* Has QEMU load the image; 0, or -1 with the reason. */
static int qemu_load(struct vm *vm, unsigned channels, const char *image,
		     const char **why)
{
	char uri[PATH_LEN + 8];

	(void)snprintf(uri, sizeof(uri), "file:%s", image);
	vm_migration(vm, channels);
	json_decref(vm_call(
		vm, "migrate-incoming",
		json_pack("{s:s,s:b}", "uri", uri, "exit-on-error", 0)));
	return vm_wait_migration(vm, why);
}

struct sample run_qemu_load(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	const char *why = NULL;
	struct vm target;
	double start, cpu;

	(void)vm;
	vm_start(&target, spec, true);
	cpu = vm_cpu(&target);
	start = now();
	if (qemu_load(&target, c->n, image, &why))
		die("QEMU alone cannot load: %s", why);
	s.seconds = now() - start;
	s.cpu = vm_cpu(&target) - cpu;
	s.direct = true;
	vm_stop(&target);
	return s;
}

/* ---- beginning on an image ---- */

enum until { RUNS, SPEAKS, IS_READ };

/* The time since start until then, and the VM's end. */
static struct sample finish(struct vm *vm, double start, enum until until)
{
	struct sample s = SAMPLE_NONE;

	if (until != IS_READ)
		vm_wait_running(vm);
	if (until == SPEAKS && vm_wait(vm, "", 1))
		die("the guest's memory is wrong");
	if (until == IS_READ)
		vm_each_mib(vm, NULL, NULL);
	s.seconds = now() - start;
	s.cpu = vm_cpu(vm);
	s.direct = true;
	vm_stop(vm);
	return s;
}

static struct sample instant(const struct contender *c,
			     const struct vm_spec *spec, const char *image,
			     enum until until)
{
	double start = now();
	struct vm vm;

	vm_start_on(&vm, spec, image, c->options[0], until != IS_READ);
	return finish(&vm, start, until);
}

static struct sample start_load(const struct contender *c,
				const struct vm_spec *spec, const char *image,
				enum until until)
{
	const char *why = NULL;
	double start = now();
	struct vm vm;

	vm_start(&vm, spec, true);
	if (qemu_load(&vm, c->n, image, &why))
		die("QEMU alone cannot load: %s", why);
	if (until != IS_READ)
		vm_do(&vm, "cont");
	return finish(&vm, start, until);
}

#define RUN(name, how, until)                                             \
	struct sample name(const struct contender *c, struct vm *vm,      \
			   const struct vm_spec *spec, const char *image) \
	{                                                                 \
		(void)vm;                                                 \
		return how(c, spec, image, until);                        \
	}
RUN(run_instant, instant, RUNS)
RUN(run_instant_serial, instant, SPEAKS)
RUN(run_instant_read, instant, IS_READ)
RUN(run_start_load, start_load, RUNS)
RUN(run_start_load_serial, start_load, SPEAKS)
RUN(run_start_load_read, start_load, IS_READ)

struct sample run_start(const struct contender *c, struct vm *vm,
			const struct vm_spec *spec, const char *image)
{
	double start = now();
	struct vm bare;

	(void)c;
	(void)vm;
	(void)image;
	vm_start(&bare, spec, false);
	return finish(&bare, start, RUNS);
}

/* MiB of the file in the page cache. */
static double cached_mib(const char *image)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	size_t pages = size < 0 ? 0 : ((size_t)size + 4095) / 4096, n = 0;
	unsigned char *vec = malloc(pages + 1);
	void *map = mmap(NULL, pages * 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED || !vec || mincore(map, pages * 4096, vec))
		die("%s: %s", image, strerror(errno));
	for (size_t i = 0; i < pages; i++)
		n += vec[i] & 1;
	(void)munmap(map, pages * 4096);
	free(vec);
	(void)close(fd);
	return (double)n / 256;
}

enum { CLONES = 8 };

const char *weigh_clones(const struct vm_spec *spec, const char *of)
{
	char image[PATH_LEN * 2]; /* path_of forgets its own */
	double own = 0, all, loaded;
	struct vm vm[CLONES], eager;
	const char *why = NULL;
	static char line[160];

	(void)snprintf(image, sizeof(image), "%s", of);
	vm_start(&eager, spec, true);
	if (qemu_load(&eager, 2, image, &why))
		die("QEMU alone cannot load: %s", why);
	loaded = vm_rollup(&eager, "Pss:") / (double)MIB;
	vm_stop(&eager);
	for (int i = 0; i < CLONES; i++)
		vm_start_on(&vm[i], spec, image, "--prefault=none", false);
	vm_each_mib(&vm[0], NULL, NULL);
	for (int i = 0; i < CLONES; i++)
		own += vm_rollup(&vm[i], "Anonymous:") / (double)MIB;
	all = cached_mib(image);
	for (int i = 0; i < CLONES; i++)
		vm_stop(&vm[i]);
	(void)snprintf(line, sizeof(line),
		       "page cache %.0f MiB + %.0f MiB that %d clones have "
		       "for themselves = %.2f of an ordinary load's %.0f MiB",
		       all, own, CLONES, (all + own) / loaded, loaded);
	return line;
}

/* ---- is it true? ---- */

/* Lets the guest check its memory and ends it. */
static int check_guest(struct vm *vm, const struct vm_spec *spec)
{
	int rc;

	vm_do(vm, "cont");
	if (spec->rest)
		vm_do(vm, "inject-nmi");
	/* Two passes: the first began before it was saved. */
	rc = vm_wait(vm, "pass ", 2);
	if (rc)
		(void)fprintf(stderr, "bench: the guest's memory is wrong\n");
	vm_stop(vm);
	return rc;
}

int check_image(const struct contender *c, const struct vm_spec *spec,
		const char *image)
{
	const char *why = NULL;
	struct vm vm;

	(void)c;
	vm_start(&vm, spec, true);
	if (!qemu_load(&vm, 2, image, &why))
		return check_guest(&vm, spec);
	(void)fprintf(stderr, "bench: QEMU does not load it: %s\n", why);
	vm_stop(&vm);
	return -1;
}

int check_instant(const struct contender *c, const struct vm_spec *spec,
		  const char *image)
{
	struct vm vm;

	vm_start_on(&vm, spec, image, c->options[0], true);
	return check_guest(&vm, spec);
}

int check_load(const struct contender *c, const struct vm_spec *spec,
	       const char *image)
{
	struct vm vm;

	vm_start(&vm, spec, true);
	(void)mrload(c, (const char *[]){ image, vm.tool_qmp, NULL });
	return check_guest(&vm, spec);
}

static XXH128_hash_t memory_digest;

static void add_to_digest(void *state, const void *buf)
{
	(void)XXH3_128bits_update(state, buf, MIB);
}

void note_memory(struct vm *vm)
{
	XXH3_state_t *state = XXH3_createState();

	if (!state)
		die("no memory");
	(void)XXH3_128bits_reset(state);
	vm_each_mib(vm, add_to_digest, state);
	memory_digest = XXH3_128bits_digest(state);
	(void)XXH3_freeState(state);
}

/* The file holds the memory that was noted. Removes it. */
static int check_memory(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;
	XXH3_state_t *state = XXH3_createState();
	char *buf = malloc(MIB);
	ssize_t n;

	if (fd < 0 || !state || !buf)
		die("%s: %s", path, strerror(errno));
	(void)XXH3_128bits_reset(state);
	while ((n = read(fd, buf, MIB)) > 0)
		(void)XXH3_128bits_update(state, buf, (size_t)n);
	if (!n && XXH128_isEqual(XXH3_128bits_digest(state), memory_digest))
		rc = 0;
	else
		(void)fprintf(stderr, "bench: the memory file differs from "
				      "what the guest's memory was\n");
	free(buf);
	(void)XXH3_freeState(state);
	(void)close(fd);
	(void)unlink(path);
	return rc;
}

int check_tmpfs(const struct contender *c, const struct vm_spec *spec,
		const char *image)
{
	(void)c;
	(void)spec;
	(void)image;
	return check_memory(tmpfs_file());
}

int check_file(const struct contender *c, const struct vm_spec *spec,
	       const char *image)
{
	(void)c;
	(void)spec;
	(void)image;
	return check_memory(disk_file());
}
