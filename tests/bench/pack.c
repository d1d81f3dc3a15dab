/*
 * pack.c - contenders that make a pack of an image, and read it again.
 *
 * Beside the image (which is cold) lie what the others need: the same as a
 * plain stream, that as zstd alone makes it, and the pack; each is made once,
 * by whoever needs it first, and none of that is timed.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of the image's folder with this ending: its name, in static memory,
 * until the fourth next call. */
static const char *beside(const char *image, const char *ending)
{
	static char bufs[4][PATH_LEN * 2 + 16];
	static unsigned turn;
	char *buf = bufs[++turn % 4];

	(void)snprintf(buf, sizeof(bufs[0]), "%.1000s%s", image, ending);
	return buf;
}

static double size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (double)st.st_size;
}

/* On the disk, and in no cache. */
static void settle(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("%s: %s", path, strerror(errno));
	(void)close(fd);
}

/* A shell's command, with the files as $1 and $2; what it makes is durable. */
static struct sample shell(const char *command, const char *one,
			   const char *two)
{
	struct sample s = SAMPLE_NONE;
	char line[256];

	(void)snprintf(line, sizeof(line), "set -e; %s; sync \"$2\"; echo '{}'",
		       command);
	json_decref(child_run(
		(const char *[]){ "/bin/sh", "-c", line, "sh", one, two, NULL },
		&s));
	return s;
}

static struct sample convert(const char *from, const char *to)
{
	struct sample s = SAMPLE_NONE;

	(void)unlink(to);
	json_decref(
		child_run((const char *[]){ path_of(config.build, "mrconvert"),
					    "--json", from, to, NULL },
			  &s));
	return s;
}

/* The file with this ending, made if it is not there yet. */
static const char *have(const char *image, const char *ending)
{
	const char *path = beside(image, ending);

	if (size_of(path) > 0)
		return path;
	if (!strcmp(ending, ".zst"))
		(void)shell("zstd -q -1 -T0 -f \"$1\" -o \"$2\"",
			    have(image, ".stream"), path);
	else
		(void)convert(image, path);
	return path;
}

struct sample run_mrconvert(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	const char *from = image, *to = beside(image, c->options[0]);
	struct sample s;

	(void)vm;
	(void)spec;
	if (!strcmp(c->options[0], ".mr")) {
		from = have(image, ".mrp");
		settle(from);
	}
	s = convert(from, to);
	s.direct = true;
	if (from == image)
		(void)snprintf(s.remark, sizeof(s.remark),
			       "%.3f of the size that zstd alone has",
			       size_of(to) / size_of(have(image, ".zst")));
	return s;
}

struct sample run_zstd(const struct contender *c, struct vm *vm,
		       const struct vm_spec *spec, const char *image)
{
	bool unpack = c->options[0] != NULL;
	const char *from = have(image, unpack ? ".zst" : ".stream");
	const char *to = beside(image, unpack ? ".out" : ".again");
	struct sample s;

	(void)vm;
	(void)spec;
	settle(from);
	s = shell(unpack ? "zstd -q -d -f \"$1\" -o \"$2\""
			 : "zstd -q -1 -T0 -f \"$1\" -o \"$2\"",
		  from, to);
	s.direct = true;
	(void)unlink(to);
	return s;
}

/* libzstd over the stream in memory, one piece of 1 MiB after the other. */
struct sample run_bare_zstd(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	json_t *out;

	(void)c;
	(void)vm;
	(void)spec;
	out = child_run(
		(const char *[]){ path_of(config.build, "tests/bench/bare"),
				  "zstd", have(image, ".stream"), NULL },
		&s);
	s.seconds = json_number_value(json_object_get(out, "seconds"));
	s.cpu = json_number_value(json_object_get(out, "cpu"));
	s.peak = -1;
	s.direct = true;
	json_decref(out);
	return s;
}

/* ---- into a QEMU ---- */

struct sample run_mrload_pack(const struct contender *c, struct vm *vm,
			      const struct vm_spec *spec, const char *image)
{
	const char *pack = have(image, ".mrp");
	char path[PATH_LEN * 2 + 16];

	(void)snprintf(path, sizeof(path), "%s", pack);
	settle(path);
	return run_mrload(c, vm, spec, path);
}

struct sample run_exec_zstd(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	struct sample s = SAMPLE_NONE;
	char uri[PATH_LEN * 2 + 64];
	const char *pack = have(image, ".mrp"), *why;
	struct vm target;
	double start;

	(void)c;
	(void)vm;
	settle(pack);
	(void)snprintf(uri, sizeof(uri), "exec:zstd -qdc '%.1000s'", pack);
	vm_start(&target, spec, true);
	json_decref(vm_call(&target, "migrate-set-capabilities",
			    json_pack("{s:[{s:s,s:b}]}", "capabilities",
				      "capability", "events", "state", 1)));
	start = now();
	json_decref(vm_call(&target, "migrate-incoming",
			    json_pack("{s:s}", "uri", uri)));
	if (vm_wait_migration(&target, &why))
		die("QEMU cannot load what zstd unpacks: %s", why);
	s.seconds = now() - start;
	s.direct = true;
	vm_stop(&target);
	return s;
}

/* ---- whether it is right ---- */

/* The pack is sound, and what the image is; all files beside it go. */
int check_pack(const struct contender *c, const struct vm_spec *spec,
	       const char *image)
{
	static const char *const all[] = { ".mrp", ".mr", ".stream", ".zst" };
	struct sample s = SAMPLE_NONE;

	(void)c;
	(void)spec;
	/* Either ends the program if it finds something. */
	json_decref(child_run(
		(const char *[]){ path_of(config.build, "mrverify"), "--json",
				  have(image, ".mrp"), NULL },
		&s));
	json_decref(child_run((const char *[]){ path_of(config.build, "mrdiff"),
						"--json", image,
						have(image, ".mrp"), NULL },
			      &s));
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		(void)unlink(beside(image, all[i]));
	return 0;
}
