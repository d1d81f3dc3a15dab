/*
 * bench.c - the tools beside QEMU and beside the machine's limits.
 *
 *   bench [-q] [-b BUILD] [-d FOLDER] [-o JSON] [-r ROUNDS] [ROW...]
 *
 * Each row has a guest of its own in a real QEMU, filled by itself. All who
 * take part are timed in turn (A B C A B C ...), so that the noise of the
 * machine meets all alike: believe the ratios. Everything that is timed is
 * durable at its end. Before a time is reported the images that our tools made
 * in the last round are loaded by QEMU, and the guest in each checks all of
 * its memory. No time, however bad, makes this fail; a wrong image does. A row
 * for which this machine is too small is left out, and the table says so.
 *
 * Exit status: 0; 1 a result was wrong; 2 usage or trouble; 3 a row that was
 * asked for by name was left out.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct config config = { .build = "build/release",
			 .json = "build/bench.json",
			 .rounds = 5 };

_Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "bench: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	exit(2);
}

const char *path_of(const char *folder, const char *name)
{
	static char bufs[4][PATH_LEN * 2];
	static unsigned turn;
	char *buf = bufs[++turn % 4];

	(void)snprintf(buf, sizeof(bufs[0]), "%s/%s", folder, name);
	return buf;
}

double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* clang-format off */
/* ---- who competes ---- */

#define MRSAVE_WITH(title, jobs, ...) \
	{ title, OURS, run_mrsave, jobs, { __VA_ARGS__ }, "mrsave", check_image }
#define MRSAVE MRSAVE_WITH("mrsave", 0, NULL)
#define MRSAVE_J(j) MRSAVE_WITH("-j " #j, j, NULL)
#define MRLOAD(where, check) \
	{ "mrload", OURS, run_mrload##where, 0, { NULL }, "mrload", check }
#define QEMU_SAVE(n) { "multifd " #n, PEER, run_qemu_save, n, { NULL }, 0, 0 }
#define QEMU_LOAD(n) { "multifd " #n, PEER, run_qemu_load, n, { NULL }, 0, 0 }
#define BARE(what, n) { "bare " #what, LIMIT, run_bare_##what, n, { NULL }, 0, 0 }

typedef struct contender contenders[MAX_CONTENDERS + 1];

static const contenders save = { MRSAVE, QEMU_SAVE(2), QEMU_SAVE(8),
				 BARE(write, 0) };
static const contenders scan = { MRSAVE_J(2), QEMU_SAVE(2), QEMU_SAVE(8),
				 BARE(memory, 2) };
/* QEMU reads all: from the second round on ours meets memory that was read. */
static const contenders untouched = { MRSAVE, QEMU_SAVE(2), BARE(write, 0) };
/* QEMU would take memory for all of a memfd, and is not timed there. */
static const contenders alone = { MRSAVE, BARE(write, 0) };
static const contenders jobs_disk = { MRSAVE_J(1), MRSAVE_J(2), MRSAVE_J(4),
				      MRSAVE_J(8), BARE(write, 0) };
static const contenders jobs_memory = { MRSAVE_J(1), MRSAVE_J(2), MRSAVE_J(4),
					MRSAVE_J(8), BARE(memory, 2) };
static const contenders live = {
	MRSAVE_WITH("mrsave", 0, "--engine=qemu", "--live"), QEMU_SAVE(2),
	QEMU_SAVE(8)
};
static const contenders huge = {
	MRSAVE_WITH("in place", 0, NULL),
	MRSAVE_WITH("by a copy", 0, "--zero-copy=off"), QEMU_SAVE(2),
	QEMU_SAVE(8), BARE(write, 0)
};
static const contenders load = { MRLOAD(, check_load), QEMU_LOAD(2),
				 QEMU_LOAD(8), BARE(read, 0) };
static const contenders load_tmpfs = { MRLOAD(_tmpfs, check_tmpfs),
				       BARE(read, 0) };
static const contenders load_file = { MRLOAD(_file, check_file),
				      BARE(copy, 0) };

/* From the start of the program on; the limit is a QEMU that loads nothing. */
#define INSTANT(until, option) \
	{ "mrload", OURS, run_instant##until, 0, { option }, "mrload", \
	  check_instant }
#define START_LOAD(n, until) \
	{ "multifd " #n, PEER, run_start_load##until, n, { NULL }, 0, 0 }
#define START { "bare start", LIMIT, run_start, 0, { NULL }, 0, 0 }
static const contenders instant = {
	INSTANT(, "--prefault=none"), START_LOAD(2, ), START_LOAD(8, ), START
};
static const contenders instant_serial = {
	INSTANT(_serial, "--prefault=none"), START_LOAD(2, _serial),
	START_LOAD(8, _serial), START
};
static const contenders instant_read = {
	INSTANT(_read, "--prefault=all"), START_LOAD(2, _read),
	START_LOAD(8, _read), BARE(read, 0)
};

#define RECV(n, how) \
	{ "mrrecv", OURS, run_mrrecv, n, { how }, "mrrecv", check_image }
#define QEMU_RECV(n, how) { "qemu", PEER, run_qemu_recv, n, { how }, 0, 0 }
#define SOURCE { "bare source", LIMIT, run_source, 0, { NULL }, 0, 0 }
static const contenders recv_one = {
	RECV(0, NULL), QEMU_RECV(0, NULL),
	{ "cat, sync", PEER, run_cat, 0, { NULL }, 0, 0 }, SOURCE
};
static const contenders recv_multifd = { RECV(2, "none"), QEMU_RECV(2, "none"),
					 BARE(write, 0) };
static const contenders recv_zstd = { RECV(2, "zstd"), QEMU_RECV(2, "zstd"),
				      BARE(write, 0) };
#define DECODE(how)                                                      \
	{ "decode", OURS, run_decode, 1, { how, "all" }, 0, check_decode }, \
	{                                                                \
		"library", LIMIT, run_decode, 1, { how, "bare" }, 0, 0   \
	}
static const contenders decode_none = { DECODE("none") };
static const contenders decode_zlib = { DECODE("zlib") };
static const contenders decode_zstd = { DECODE("zstd") };
#define SEND(n, how)                                           \
	{ "mrsend", OURS, run_mrsend, n, { how }, "mrsend", 0 }, \
	{                                                      \
		"qemu", PEER, run_qemu_send, n, { how }, 0, 0  \
	}
static const contenders send_one = { SEND(0, NULL), BARE(read, 0) };
static const contenders send_multifd = { SEND(2, "none"), BARE(read, 0) };
static const contenders background = {
	{ "mrsave", OURS, run_mrsave_live, 0, { "--live=background" }, "mrsave",
	  check_image },
	{ "qemu to a file", PEER, run_qemu_background, 0, { NULL }, 0, 0 }
};

#define COLO(n)                                                            \
	{ "mrrecv --colo", OURS, run_colo, n, { NULL }, "mrrecv",          \
	  check_image },                                                   \
	{ "qemu", PEER, run_colo_qemu, n, { NULL }, 0, 0 },                \
	{ "nobody", LIMIT, run_colo_null, n, { NULL }, 0, 0 }
static const contenders colo = { COLO(0) };
static const contenders colo_multifd = { COLO(4) };

/* The changes since a base, against all of it; the limit writes the changes. */
static const contenders base = {
	{ "--base", OURS, run_mrsave_base, 0, { NULL }, "mrsave", check_image },
	{ "without", PEER, run_mrsave, 0, { NULL }, "mrsave", NULL },
	BARE(turned, 0)
};

static const contenders pack = {
	{ "mrconvert", OURS, run_mrconvert, 0, { ".mrp" }, "mrconvert",
	  check_pack },
	{ "zstd -T0", PEER, run_zstd, 0, { NULL }, 0, 0 },
	{ "library", LIMIT, run_bare_zstd, 0, { NULL }, 0, 0 }
};
/* Without the disk: ours against the library alone. */
static const contenders pack_memory = {
	{ "mrconvert", OURS, run_mrconvert_memory, 0, { NULL }, "mrconvert",
	  check_pack },
	{ "library", LIMIT, run_bare_zstd, 0, { NULL }, 0, 0 }
};
/* The limit is a page of the image. */
#define PAGE(...)                                                              \
	{ "pack", OURS, run_page, 0, { ".mrp", __VA_ARGS__ }, 0, check_page }, \
	{ "zstd -dc", PEER, run_zstd_page, 0, { "", __VA_ARGS__ }, 0, 0 },     \
	{ "image", LIMIT, run_page, 0, { "", __VA_ARGS__ }, 0, 0 }
static const contenders page = { PAGE(NULL) };
static const contenders page_warm = { PAGE("warm") };
#define INCREMENT(peer)                                                    \
	{ "mrconvert --base", OURS, run_increment, 0, { NULL },            \
	  "mrconvert", check_increment },                                  \
	peer, { "bare read", LIMIT, run_bare_read_new, 0, { NULL }, 0, 0 }
#define FULL { "full pack", PEER, run_full, 0, { NULL }, 0, 0 }
#define SECOND { "restic", PEER, run_restic, 0, { NULL }, "restic", 0 }
static const contenders increment = { INCREMENT(FULL) };
static const contenders increment_restic = { INCREMENT(SECOND) };
static const contenders unpack = {
	{ "mrconvert", OURS, run_mrconvert, 0, { ".mr" }, "mrconvert",
	  check_pack },
	{ "zstd -d", PEER, run_zstd, 0, { "back" }, 0, 0 },
};
static const contenders load_pack = {
	{ "mrload", OURS, run_mrload_pack, 0, { NULL }, "mrload", check_pack },
	{ "exec:zstd -dc", PEER, run_exec_zstd, 0, { NULL }, 0, 0 },
};

/* ---- the rows ---- */

enum {
	READ_BEFORE = 1, /* untouched memory was read from outside before */
	RUNNING = 2, /* the guest runs meanwhile */
	LOAD = 4, /* from one image, which mrsave makes beforehand */
	WARM = 8, /* which is in the page cache */
	CLONE = 16, /* how much memory do many VMs on it take? */
	STAYS = 32, /* and its VM is there */
	BASE = 64, /* it was saved to the base, or begins on it, and changes */
	BEGIN = 128,
	REFLINK = 256, /* on a file system that can */
	CHECKPOINTS = 512, /* of a VM that runs */
};

struct set {
	const char *name;
	const struct contender *contenders;
	struct vm_spec full, quick; /* quick without memory: not in it */
	int flags;
};

#define GIB UINT64_C(1024)
#define FILL(kind, mib) { (kind), .fill = (mib) }
#define ZERO(kind, mib) { (kind), .zero = (mib) }
#define EVERY(n, mib) { MEM_ANON, .fill = (mib), .every = (n) }
#define HOLE(kind, gib) { (kind), .fill = 64, .hole = (gib)*GIB - 128 }
#define NO_QUICK { MEM_ANON, .fill = 0 }
#define TURN(mib, kib, each) \
	{ MEM_ANON, .fill = (mib), .turn = (kib), .turn_each = (each) }
#define CHANGED(percent) TURN(4 * GIB, 1024, 1024 * 100 / (percent))
#define PAGES(percent) TURN(2 * GIB, 4, 4 * 100 / (percent))
#define FILES(mib) { MEM_ANON, .fill = 64, .hole = 2560, .files = (mib) }
#define SINCE(mib, run, each)                                           \
	{ MEM_ANON, .fill = 64, .hole = 2560, .files = (mib), .changed = (run), \
	  .changed_each = (each) }
#define RESTS(mib) { MEM_ANON, .fill = (mib), .rest = true }
#define WRITES(mib) \
	{ MEM_ANON, .fill = (mib), .turn = 1024, .turn_each = 8192, .tick = true }
#define BEGAN (BASE | BEGIN | REFLINK)
#define SAVED (BASE | REFLINK)

static const struct set sets[] = {
	{ "save-anon", save, FILL(MEM_ANON, 5632), FILL(MEM_ANON, 768), 0 },
	{ "save-memfd", save, FILL(MEM_MEMFD, 5632), FILL(MEM_MEMFD, 768), 0 },
	{ "save-huge", huge, FILL(MEM_HUGE, 2048), NO_QUICK, 0 },
	{ "zero-anon", scan, ZERO(MEM_ANON, 4096), ZERO(MEM_ANON, 1024), 0 },
	{ "zero-memfd", scan, ZERO(MEM_MEMFD, 4096), NO_QUICK, 0 },
	{ "half-zero", save, EVERY(2, 512), EVERY(2, 32), 0 },
	{ "7-of-8-zero", save, EVERY(8, 2048), NO_QUICK, 0 },
	{ "mixed", save, { MEM_ANON, .fill = 1536, .zero = 512, .hole = 2048 },
	  NO_QUICK, 0 },
	{ "live", live, FILL(MEM_ANON, 2048), FILL(MEM_ANON, 256), RUNNING },
	{ "load", load, FILL(MEM_ANON, 4096), FILL(MEM_ANON, 512), LOAD },
	{ "load-tmpfs", load_tmpfs, FILL(MEM_ANON, 4096), FILL(MEM_ANON, 512),
	  LOAD },
	{ "load-file", load_file, FILL(MEM_ANON, 4096), NO_QUICK, LOAD },
	{ "instant-64M", instant, FILL(MEM_ANON, 64), FILL(MEM_ANON, 64),
	  LOAD },
	{ "instant-1G", instant, FILL(MEM_ANON, 1 * GIB), NO_QUICK, LOAD },
	{ "instant-4G", instant, FILL(MEM_ANON, 4 * GIB), NO_QUICK,
	  LOAD | CLONE },
	{ "instant-4G-warm", instant, FILL(MEM_ANON, 4 * GIB), NO_QUICK,
	  LOAD | WARM },
	{ "instant-serial", instant_serial, FILL(MEM_ANON, 4 * GIB), NO_QUICK,
	  LOAD },
	{ "instant-read", instant_read, FILL(MEM_ANON, 4 * GIB),
	  FILL(MEM_ANON, 512), LOAD },
	{ "recv", recv_one, FILL(MEM_ANON, 4096), FILL(MEM_ANON, 256), 0 },
	{ "recv-multifd", recv_multifd, FILL(MEM_ANON, 4096),
	  FILL(MEM_ANON, 256), 0 },
	{ "recv-zstd", recv_zstd, FILL(MEM_ANON, 4096), NO_QUICK, 0 },
	{ "decode", decode_none, FILL(MEM_ANON, 2 * GIB), NO_QUICK, 0 },
	{ "decode-zlib", decode_zlib, FILL(MEM_ANON, 1 * GIB), NO_QUICK, 0 },
	{ "decode-zstd", decode_zstd, FILL(MEM_ANON, 1 * GIB),
	  FILL(MEM_ANON, 128), 0 },
	{ "send", send_one, FILL(MEM_ANON, 2 * GIB), NO_QUICK, LOAD | STAYS },
	{ "send-multifd", send_multifd, FILL(MEM_ANON, 2 * GIB),
	  FILL(MEM_ANON, 256), LOAD | STAYS },
	{ "background", background, FILL(MEM_ANON, 1 * GIB),
	  FILL(MEM_ANON, 128), RUNNING },
	{ "colo-idle", colo, RESTS(1 * GIB), NO_QUICK, CHECKPOINTS },
	{ "colo-load", colo, WRITES(192), WRITES(64), CHECKPOINTS },
	{ "colo-idle-4", colo_multifd, RESTS(1 * GIB), NO_QUICK,
	  CHECKPOINTS },
	{ "colo-load-4", colo_multifd, WRITES(192), NO_QUICK,
	  CHECKPOINTS },
	{ "base-1", base, CHANGED(1), TURN(256, 1024, 102400), BEGAN },
	{ "base-10", base, CHANGED(10), NO_QUICK, BEGAN },
	{ "base-1-pages", base, PAGES(1), NO_QUICK, BEGAN },
	{ "base-10-pages", base, PAGES(10), NO_QUICK, BEGAN },
	{ "base-1-plain", base, CHANGED(1), NO_QUICK, BASE | BEGIN },
	{ "digests-1", base, CHANGED(1), NO_QUICK, SAVED },
	{ "digests-10", base, CHANGED(10), NO_QUICK, SAVED },
	{ "digests-1-pages", base, PAGES(1), TURN(256, 4, 400), SAVED },
	{ "digests-10-pages", base, PAGES(10), NO_QUICK, SAVED },
	{ "digests-1-plain", base, CHANGED(1), NO_QUICK, BASE },
	{ "pack", pack, FILES(2048), NO_QUICK, LOAD },
	{ "pack-random", pack, FILL(MEM_ANON, 2 * GIB), FILL(MEM_ANON, 128),
	  LOAD },
	{ "pack-memory", pack_memory, FILES(2048), FILES(256), LOAD | WARM },
	{ "page", page, FILES(2048), FILES(256), LOAD },
	{ "page-warm", page_warm, FILES(2048), NO_QUICK, LOAD },
	{ "increment", increment, SINCE(2048, 1, 100), SINCE(256, 1, 100),
	  LOAD },
	{ "increment-runs", increment, SINCE(2048, 256, 25600), NO_QUICK,
	  LOAD },
	{ "increment-restic", increment_restic, SINCE(2048, 1, 100),
	  SINCE(256, 1, 100), LOAD },
	{ "unpack", unpack, FILES(2048), NO_QUICK, LOAD },
	{ "load-pack", load_pack, FILES(2048), NO_QUICK, LOAD },
	{ "data-1G", save, FILL(MEM_ANON, 1 * GIB), NO_QUICK, 0 },
	{ "data-2G", save, FILL(MEM_ANON, 2 * GIB), NO_QUICK, 0 },
	{ "data-4G", save, FILL(MEM_ANON, 4 * GIB), NO_QUICK, 0 },
	{ "data-8G", save, FILL(MEM_ANON, 8 * GIB), NO_QUICK, 0 },
	{ "hole-1G", untouched, HOLE(MEM_ANON, 1), NO_QUICK, 0 },
	{ "hole-8G", untouched, HOLE(MEM_ANON, 8), HOLE(MEM_ANON, 8), 0 },
	{ "hole-64G", untouched, HOLE(MEM_ANON, 64), NO_QUICK, 0 },
	{ "hole-1T", untouched, HOLE(MEM_ANON, 1024), NO_QUICK, 0 },
	{ "hole-1T-read", alone, HOLE(MEM_ANON, 1024), HOLE(MEM_ANON, 1024),
	  READ_BEFORE },
	{ "hole-64G-memfd", alone, HOLE(MEM_MEMFD, 64), HOLE(MEM_MEMFD, 64),
	  0 },
	{ "hole-1T-memfd", alone, HOLE(MEM_MEMFD, 1024), NO_QUICK, 0 },
	{ "jobs-disk", jobs_disk, FILL(MEM_ANON, 2048), NO_QUICK, 0 },
	{ "jobs-memory", jobs_memory, ZERO(MEM_ANON, 4096), NO_QUICK, 0 },
};
/* clang-format on */
#define SETS (sizeof(sets) / sizeof(*sets))

static size_t count(const struct contender *c)
{
	size_t n = 0;

	while (c[n].name)
		n++;
	return n;
}

static const struct vm_spec *spec_of(const struct set *set)
{
	return config.quick ? &set->quick : &set->full;
}

static bool is_wanted(const struct set *set, char *const *names)
{
	const struct vm_spec *spec = spec_of(set);

	if (!*names)
		return spec->fill + spec->zero + spec->hole > 0;
	for (; *names; names++)
		if (!strcmp(*names, set->name))
			return true;
	return false;
}

/* ---- does it fit? ---- */

static uint64_t free_memory(void)
{
	unsigned long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "MemAvailable: %lu", &kib) != 1)
		continue;
	if (f)
		(void)fclose(f);
	return kib / 1024;
}

static uint64_t free_disk(const char *folder)
{
	struct statvfs v;

	if (statvfs(folder, &v))
		die("%s: %s", folder, strerror(errno));
	return (uint64_t)v.f_bavail * v.f_frsize / MIB;
}

/* How many files as large as the image lie there at once. */
static uint64_t files_of(const struct set *set)
{
	uint64_t n = set->flags & BASE ? 2 : 1;

	if (spec_of(set)->files) /* what lies beside the image, and they */
		n += spec_of(set)->changed ? 5 : 3;

	for (const struct contender *c = set->contenders; c->name; c++)
		n += set->flags & LOAD ? c->run == run_mrload_file ||
						 c->run == run_bare_copy
				       : c->role == OURS;
	return n;
}

/* MiB of them. */
static uint64_t room_of(const struct set *set)
{
	uint64_t data = data_mib(spec_of(set));

	return files_of(set) * (data + data / 16) + 512;
}

/* MiB of a file in memory that this row makes. */
static uint64_t shared_of(const struct set *set)
{
	for (const struct contender *c = set->contenders; c->name; c++)
		if (c->run == run_mrload_tmpfs || c->run == run_decode)
			return vm_mib(spec_of(set));
	return 0;
}

/* NULL, or what there is not enough of for this row. */
static const char *no_room(const struct set *set)
{
	const struct vm_spec *spec = spec_of(set);
	const struct {
		const char *what;
		uint64_t needed, free;
	} room[] = {
		/* The guest (or a file in memory), what the limits use, page
		 * tables. */
		{ "of memory",
		  spec->fill + spec->zero + spec->hole / 256 + 1536 +
			  /* QEMU's secondary, and its cache. */
			  (set->flags & CHECKPOINTS ? 2 * spec->fill : 0),
		  free_memory() },
		{ config.tmpfs, shared_of(set), free_disk(config.tmpfs) },
		{ config.images, room_of(set), free_disk(config.images) },
	};
	static char text[PATH_LEN + 80];

	for (size_t i = 0; i < sizeof(room) / sizeof(*room); i++) {
		if (room[i].needed <= room[i].free)
			continue;
		(void)snprintf(text, sizeof(text),
			       "needs %" PRIu64 " MiB %s%s, %" PRIu64
			       " are free",
			       room[i].needed, i ? "in " : "", room[i].what,
			       room[i].free);
		return text;
	}
	return NULL;
}

/* NULL, or why this row's guest cannot have its huge pages. */
static const char *no_pages(const struct set *set)
{
	static char text[64];
	uint64_t mib = vm_mib(spec_of(set));

	if (spec_of(set)->memory != MEM_HUGE || pool_take(mib))
		return NULL;
	pool_restore();
	(void)snprintf(text, sizeof(text),
		       "needs %" PRIu64 " MiB of huge pages", mib);
	return text;
}

/* NULL, or why this row's files cannot share data. */
static const char *no_disk(const struct set *set)
{
	static char text[80];
	const char *why = set->flags & REFLINK ? disk_take(room_of(set)) : NULL;

	if (!why)
		return NULL;
	(void)snprintf(text, sizeof(text), "needs xfs with reflink: %s", why);
	return text;
}

static bool in_path(const char *name)
{
	const char *path = getenv("PATH");
	char file[PATH_LEN];

	while (path && *path) {
		size_t n = strcspn(path, ":");

		(void)snprintf(file, sizeof(file), "%.*s/%s", (int)n, path,
			       name);
		if (!access(file, X_OK))
			return true;
		path += n + (path[n] != '\0');
	}
	return false;
}

/* NULL, or which tool there is not. */
static const char *no_tool(const struct set *set)
{
	static char text[64];

	for (const struct contender *c = set->contenders; c->name; c++) {
		if (!c->tool ||
		    (c->role == OURS
			     ? !access(path_of(config.build, c->tool), X_OK)
			     : in_path(c->tool)))
			continue;
		(void)snprintf(text, sizeof(text), "needs %s", c->tool);
		return text;
	}
	return NULL;
}

/* Whether the row can be run here; if not, the table says why. */
static bool fits(const struct set *set)
{
	const char *why = no_tool(set);
	char line[PATH_LEN + 96];

	if (!why)
		why = no_room(set);
	if (!why)
		why = no_pages(set);
	if (!why)
		why = no_disk(set);
	if (!why && set->flags & CHECKPOINTS)
		why = no_colo();
	if (!why)
		return true;
	(void)snprintf(line, sizeof(line), "left out: %s", why);
	report_note(set->name, line);
	return false;
}

/* ---- a row ---- */

/* Where contender i leaves its image. */
static const char *image_of(size_t i)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "image%zu", i);
	return path_of(config.images, name);
}

/* What earlier runs left to be done for the disk is done before the next. */
static void settle(void)
{
	int fd = open(config.images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) || close(fd))
		die("%s: %s", config.images, strerror(errno));
}

/* Waits until the source of a load is on the disk and in no cache. */
static void make_cold(const char *image)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("%s: %s", image, strerror(errno));
	(void)close(fd);
}

/* Reads it into the page cache. */
static void make_warm(const char *image)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	static char buf[1 << 20];

	while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
		continue;
	if (fd >= 0)
		(void)close(fd);
}

static void run_rounds(struct result *r, const struct set *set, struct vm *vm)
{
	for (unsigned round = 0; round < r->rounds; round++) {
		for (size_t i = 0; i < r->n; i++) {
			const struct contender *c = &r->contenders[i];
			bool loads = set->flags & LOAD;
			char image[PATH_LEN * 2];

			/* path_of forgets, and it may be removed by that. */
			(void)snprintf(image, sizeof(image), "%s",
				       image_of(loads ? 0 : i));
			if (loads)
				make_cold(image);
			if (set->flags & WARM)
				make_warm(image);
			settle();
			if (loads)
				child_warm_memory(vm_mib(spec_of(set)));
			r->samples[i][round] =
				c->run(c, vm, spec_of(set), image);
			/* The last of ours is checked. Removing an image
			 * costs the disk something: alike for all. */
			if (!loads &&
			    (c->role != OURS || round + 1 < r->rounds))
				(void)unlink(image);
		}
		(void)fprintf(stderr, ".");
	}
}

/* Whether what our tools made in the last round is right. */
static int check(const struct result *r, const struct set *set)
{
	int rc = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct contender *c = &r->contenders[i];
		char image[PATH_LEN * 2];

		(void)snprintf(image, sizeof(image), "%s",
			       image_of(set->flags & LOAD ? 0 : i));
		if (c->check && c->check(c, spec_of(set), image))
			rc = -1;
		if (!(set->flags & LOAD))
			(void)unlink(image);
	}
	(void)unlink(image_of(0));
	(void)unlink(base_image());
	return rc;
}

static const struct contender saver = MRSAVE;

/* The base, and the VM with what has changed since. */
static void prepare_base(const struct set *set, struct vm *vm)
{
	(void)saver.run(&saver, vm, spec_of(set), base_image());
	if (set->flags & BEGIN) {
		vm_stop(vm);
		vm_start_on(vm, spec_of(set), base_image(), "--prefault=all",
			    true);
	} else {
		vm_do(vm, "cont");
	}
	if (vm_wait(vm, "turned ", 1))
		die("the guest's memory is wrong");
	vm_do(vm, "stop");
}

/* The guest, filled; and what the row needs beside it. */
static void prepare(const struct set *set, struct vm *vm)
{
	vm_start(vm, spec_of(set), false);
	vm->running = set->flags & (RUNNING | CHECKPOINTS);
	if (vm_wait(vm, spec_of(set)->turn ? "turned " : "pass ", 1))
		die("the guest cannot check its memory");
	if (!vm->running)
		vm_do(vm, "stop");
	if (set->flags & READ_BEFORE)
		vm_read_all(vm);
	if (set->flags & BASE)
		prepare_base(set, vm);
	if (!(set->flags & LOAD))
		return;
	note_memory(vm);
	(void)saver.run(&saver, vm, spec_of(set), image_of(0));
	if (spec_of(set)->changed) {
		vm_change(vm, spec_of(set), beside(image_of(0), ".changed"));
		(void)saver.run(&saver, vm, spec_of(set),
				beside(image_of(0), ".new"));
	}
	if (!(set->flags & STAYS))
		vm_stop(vm);
}

static int run_set(const struct set *set)
{
	const struct vm_spec *spec = spec_of(set);
	const char *weight = NULL;
	static struct result r;
	double start = now();
	struct vm vm;

	r = (struct result){
		.set = set->name,
		.gib = (double)(spec->fill + spec->zero + spec->files) / 1024,
		.rounds = config.rounds,
		.n = count(set->contenders),
		.contenders = set->contenders
	};
	(void)fprintf(stderr, "%s: fill", set->name);
	prepare(set, &vm);
	(void)fprintf(stderr, " ");
	run_rounds(&r, set, &vm);
	if (!(set->flags & LOAD) || set->flags & STAYS)
		vm_stop(&vm);
	if (set->flags & CLONE)
		weight = weigh_clones(spec, image_of(0));
	(void)fprintf(stderr, " check");
	if (check(&r, set)) {
		(void)fprintf(stderr, "\n");
		report_note(set->name, "WRONG: the guest's memory is not what "
				       "it was");
		return 1;
	}
	(void)fprintf(stderr, " %.0f s\n", now() - start);
	report(&r);
	if (weight)
		report_note(set->name, weight);
	return 0;
}

/* ---- the program ---- */

static int run_all(char *const *names)
{
	bool left_out = false;
	int status = 0;

	report_start();
	for (size_t i = 0; i < SETS; i++) {
		if (!is_wanted(&sets[i], names))
			continue;
		if (!fits(&sets[i])) {
			left_out = true;
			continue;
		}
		status |= run_set(&sets[i]);
		pool_restore();
		disk_restore();
	}
	report_end();
	if (!status && left_out && *names)
		return 3;
	return status;
}

static void check_names(char *const *names)
{
	for (; *names; names++) {
		size_t i = 0;

		while (i < SETS && strcmp(sets[i].name, *names) != 0)
			i++;
		if (i < SETS &&
		    (!config.quick || sets[i].quick.fill || sets[i].quick.zero))
			continue;
		(void)fprintf(stderr, "bench: no row %s; there are", *names);
		for (i = 0; i < SETS; i++)
			(void)fprintf(stderr, " %s", sets[i].name);
		(void)fprintf(stderr, "\n");
		exit(2);
	}
}

static void make_folders(const char *where)
{
	char *real = realpath(where, NULL);

	if (!real)
		die("%s: %s", where, strerror(errno));
	if (snprintf(config.images, sizeof(config.images), "%s/bench.XXXXXX",
		     real) >= (int)sizeof(config.images))
		die("%s: too long", real);
	free(real);
	(void)strcpy(config.run, "/tmp/mrbench.XXXXXX");
	(void)strcpy(config.tmpfs, "/dev/shm/mrbench.XXXXXX");
	if (!mkdtemp(config.images) || !mkdtemp(config.run) ||
	    !mkdtemp(config.tmpfs)) {
		(void)fprintf(stderr, "bench: cannot make a folder: %s\n",
			      strerror(errno));
		(void)rmdir(config.images);
		(void)rmdir(config.run);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const char *where = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "qb:d:o:r:")) != -1) {
		switch (opt) {
		case 'q':
			config.quick = true;
			break;
		case 'b':
			config.build = optarg;
			break;
		case 'd':
			where = optarg;
			break;
		case 'o':
			config.json = optarg;
			break;
		case 'r':
			config.rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (config.rounds < 1 || config.rounds > MAX_ROUNDS)
		die("rounds are 1 to %d", MAX_ROUNDS);
	check_names(argv + optind);
	make_folders(where ? where : config.build);
	pool_note();
	janitor_start();
	return run_all(argv + optind);
}
