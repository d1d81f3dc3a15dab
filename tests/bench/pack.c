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

const char *beside(const char *image, const char *ending)
{
	static char bufs[16][PATH_LEN * 2 + 16];
	static unsigned turn;
	char *buf = bufs[++turn % 16];

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

/* base: NULL, or that of an increment. */
static struct sample convert(const char *from, const char *to, const char *base)
{
	struct sample s = SAMPLE_NONE;

	(void)unlink(to);
	json_decref(child_run(
		(const char *[]){ path_of(config.build, "mrconvert"), "--json",
				  from, to, base ? "--base" : NULL, base,
				  NULL },
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
		(void)convert(image, path, NULL);
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
	s = convert(from, to, NULL);
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

struct sample run_mrconvert_memory(const struct contender *c, struct vm *vm,
				   const struct vm_spec *spec,
				   const char *image)
{
	(void)c;
	(void)vm;
	(void)spec;
	return shell("\"$2\" -q --direct=off -O pack \"$1\" - >/dev/null",
		     image, path_of(config.build, "mrconvert"));
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

/* ---- a page ---- */

enum { PAGES = 1000 };

/* The file is in the page cache, or not, before it is looked at. */
static void prepare(const struct contender *c, const char *path)
{
	if (c->options[1])
		(void)shell("cat \"$1\" >/dev/null", path, path);
	else
		settle(path);
}

static json_t *look(const struct vm_spec *spec, const char *path,
		    struct sample *s)
{
	char n[16], from[24], mib[24];

	(void)snprintf(n, sizeof(n), "%d", PAGES);
	(void)snprintf(from, sizeof(from), "%" PRIu64,
		       spec->fill + spec->zero + 256);
	(void)snprintf(mib, sizeof(mib), "%" PRIu64, spec->files);
	return child_run(
		(const char *[]){ path_of(config.build, "tests/bench/page"),
				  path, n, from, mib, NULL },
		s);
}

struct sample run_page(const struct contender *c, struct vm *vm,
		       const struct vm_spec *spec, const char *image)
{
	const char *path = *c->options[0] ? have(image, c->options[0]) : image;
	struct sample s = SAMPLE_NONE;
	json_t *out;

	(void)vm;
	prepare(c, path);
	out = look(spec, path, &s);
	s.seconds = json_number_value(json_object_get(out, "seconds"));
	s.cpu = -1;
	s.direct = true;
	(void)snprintf(s.remark, sizeof(s.remark),
		       "a page, of %d; to open the file took %.4f s", PAGES,
		       json_number_value(json_object_get(out, "open")));
	json_decref(out);
	return s;
}

struct sample run_zstd_page(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	const char *pack = have(image, ".mrp");
	struct sample s;
	char line[96];

	(void)vm;
	prepare(c, pack);
	(void)snprintf(line, sizeof(line),
		       "zstd -qdc \"$1\" 2>/dev/null | tail -c +%" PRIu64
		       " | head -c 4096 >/dev/null",
		       data_mib(spec) / 2 * MIB);
	s = shell(line, pack, pack);
	s.cpu = -1;
	s.direct = true;
	return s;
}

int check_page(const struct contender *c, const struct vm_spec *spec,
	       const char *image)
{
	struct sample s = SAMPLE_NONE;
	json_t *a = look(spec, image, &s);
	json_t *b = look(spec, have(image, ".mrp"), &s);
	bool same = json_equal(json_object_get(a, "sum"),
			       json_object_get(b, "sum"));

	json_decref(a);
	json_decref(b);
	if (same)
		return check_pack(c, spec, image);
	(void)fprintf(stderr, "bench: the pack has other pages\n");
	return -1;
}

/* ---- what has changed ---- */

struct sample run_increment(const struct contender *c, struct vm *vm,
			    const struct vm_spec *spec, const char *image)
{
	const char *new = beside(image, ".new");
	double changed, size;
	struct sample s;

	(void)c;
	(void)vm;
	(void)spec;
	if (!size_of(beside(image, ".changed.zst")))
		(void)shell("zstd -q -1 -f \"$1\" -o \"$2\"",
			    beside(image, ".changed"),
			    beside(image, ".changed.zst"));
	changed = size_of(beside(image, ".changed.zst"));
	(void)have(image, ".mrp");
	settle(new);
	s = convert(new, beside(image, ".inc.mrp"), beside(image, ".mrp"));
	s.direct = true;
	size = size_of(beside(image, ".inc.mrp"));
	(void)snprintf(s.remark, sizeof(s.remark),
		       "%.2f MiB: %.2f of the changed pages, %.4f of the base",
		       size / (double)MIB, size / changed,
		       size / size_of(beside(image, ".mrp")));
	return s;
}

struct sample run_full(const struct contender *c, struct vm *vm,
		       const struct vm_spec *spec, const char *image)
{
	const char *new = beside(image, ".new");
	struct sample s;

	(void)c;
	(void)vm;
	(void)spec;
	settle(new);
	s = convert(new, beside(image, ".new.mrp"), NULL);
	s.direct = true;
	return s;
}

struct sample run_bare_read_new(const struct contender *c, struct vm *vm,
				const struct vm_spec *spec, const char *image)
{
	const char *new = beside(image, ".new");

	settle(new);
	return run_bare_read(c, vm, spec, new);
}

#define RESTIC \
	"export RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=cache; cd \"$2\"; "

/* Bytes of the files in its repository. */
static double grown(const char *folder)
{
	static const char count[] =
		"cd \"$1\"; find repo -type f -printf '%s\\n' | "
		"awk '{ s += $1 } END { printf \"[%.0f]\", s }'";
	struct sample s = SAMPLE_NONE;
	json_t *out = child_run(
		(const char *[]){ "/bin/sh", "-c", count, "sh", folder, NULL },
		&s);
	double n = json_number_value(json_array_get(out, 0));

	json_decref(out);
	return n;
}

/* Each time it has the first image, and nothing else. */
struct sample run_restic(const struct contender *c, struct vm *vm,
			 const struct vm_spec *spec, const char *image)
{
	const char *folder = beside(image, ".restic");
	const char *new = beside(image, ".new");
	struct stat st;
	struct sample s;
	double before;

	(void)c;
	(void)vm;
	(void)spec;
	if (stat(folder, &st)) {
		if (mkdir(folder, 0700))
			die("%s: %s", folder, strerror(errno));
		(void)shell(RESTIC "ln \"$1\" vm.mr; restic -q -r repo init; "
				   "restic -q -r repo backup vm.mr; "
				   "mv repo first",
			    image, folder);
	}
	(void)shell("cd \"$2\"; rm -rf repo; cp -al first repo; "
		    "ln -f \"$1\" vm.mr",
		    new, folder);
	before = grown(folder);
	settle(new);
	s = shell(RESTIC "restic -q -r repo backup vm.mr", new, folder);
	s.direct = true;
	(void)snprintf(s.remark, sizeof(s.remark), "restic: %.2f MiB",
		       (grown(folder) - before) / (double)MIB);
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

static void remove_all(const char *image)
{
	static const char *const all[] = {
		".mrp",	    ".mr",	".stream",  ".zst",    ".new",
		".changed", ".new.mrp", ".inc.mrp", ".restic", ".changed.zst"
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (unlink(beside(image, all[i])) && errno == EISDIR)
			(void)shell("rm -rf \"$1\"", beside(image, all[i]),
				    config.images);
}

int check_increment(const struct contender *c, const struct vm_spec *spec,
		    const char *image)
{
	const char *inc = beside(image, ".inc.mrp");
	struct sample s = SAMPLE_NONE;

	(void)c;
	(void)spec;
	/* Either ends the program if it finds something. */
	json_decref(child_run(
		(const char *[]){ path_of(config.build, "mrverify"), "--json",
				  beside(image, ".mrp"), inc, NULL },
		&s));
	json_decref(child_run((const char *[]){ path_of(config.build, "mrdiff"),
						"--json", beside(image, ".new"),
						inc, NULL },
			      &s));
	remove_all(image);
	return 0;
}

/* The pack is sound, and what the image is; all files beside it go. */
int check_pack(const struct contender *c, const struct vm_spec *spec,
	       const char *image)
{
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
	remove_all(image);
	return 0;
}
