/*
 * bench.h - the parts of the benchmark. See bench.c.
 *
 * Trouble (a tool that fails, a QEMU that ends) is said and ends the program
 * by die(); the janitor, one process further up, then takes away what is left.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PATH_LEN 512
#define MAX_CONTENDERS 8
#define MAX_ROUNDS 32
#define MAX_OPTIONS 3
#define MIB (UINT64_C(1) << 20)

struct config {
	const char *build; /* build/release */
	const char *json; /* where the numbers go */
	bool quick;
	unsigned rounds;
	char images[PATH_LEN]; /* folder on the file system to measure */
	char run[64]; /* folder for sockets, serial ports, logs */
	char tmpfs[64]; /* folder in memory */
};
extern struct config config;

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "build/release/tools/mrsave"; in static memory until the fourth next call */
const char *path_of(const char *folder, const char *name);
double now(void); /* seconds */

/* ---- what one run gives ---- */

struct sample {
	double seconds;
	double cpu; /* seconds, of the tool and of QEMU; < 0: not known */
	double peak; /* bytes of the tool's memory; < 0: not known */
	double grew; /* bytes by which the VM's own memory grew */
	double still; /* seconds for which the guest stood still; < 0: - */
	double tail; /* of many times that seconds is the mean of, the 99th
		      * percentile; 0: it is one time */
	bool direct;
	char remark[128];
};
#define SAMPLE_NONE                                \
	{                                          \
		.cpu = -1, .peak = -1, .still = -1 \
	}

/* ---- child.c: processes ---- */

/* Forks. The janitor stays behind, waits for the child in which this returns,
 * ends all of its processes and removes the folders of config. */
void janitor_start(void);

/* Starts a program that ends with us; standard output goes to out_fd (-1:
 * where errors go), errors to config.run/NAME.log. Ends with NULL. */
pid_t child_start(const char *name, const char *const *argv, int out_fd);

/* Shows on standard error what it said there. */
void child_show_log(const char *name);

/*
 * Takes so much memory and gives it back. Where this machine is a virtual one
 * itself, memory that has been free for seconds is slow to get: its host took
 * it away. Whoever needs new memory gets it on the same terms then.
 */
void child_warm_memory(uint64_t mib);

/* Runs a tool, measured from fork to exit. It must succeed. Its standard
 * output is JSON, returned for json_decref. */
json_t *child_run(const char *const *argv, struct sample *s);

/* ---- pool.c: huge pages of 2 MiB ---- */

void pool_note(void); /* how large the pool is; before the others */
/* Whether so much of the pool is free now. pool_restore is due either way. */
bool pool_take(uint64_t mib);
void pool_restore(void); /* to the size that was noted */

/* ---- disk.c: a file system with reflink ---- */

/* Has config.images be a new one (xfs, in a file in what that was before) of
 * so many MiB. NULL, or why there is none; disk_restore is due either way. */
const char *disk_take(uint64_t mib);
void disk_restore(void);

/* ---- files.c: memory that is no pattern ---- */

/* A file of so many MiB in config.images, made of files of this machine; in
 * path_of's memory. */
const char *files_take(uint64_t mib);

/* ---- vm.c: the guest ---- */

enum memory { MEM_ANON, MEM_MEMFD, MEM_HUGE };

struct vm_spec {
	enum memory memory;
	uint64_t fill, zero, hole; /* MiB: data, written zeros, never touched */
	unsigned every; /* only each n-th page of the data has any; 0: all */
	/* KiB of data that are written anew in each so many after a pass, and
	 * "turned N" said; 0: none */
	unsigned turn, turn_each;
	/* MiB of the memory never touched that hold files of this machine. */
	uint64_t files;
	/* Pages of each so many of these that are changed afterwards; 0: none
	 */
	unsigned changed, changed_each;
	bool tick; /* 6 MiB say another number every time it counts */
	bool rest; /* it sleeps after its first pass */
};

struct vm {
	pid_t pid;
	struct qmp *q;
	char tool_qmp[128]; /* the socket for the tools */
	char serial[128];
	char log[128]; /* what QEMU says on standard error */
	long heard; /* bytes of the serial port that were looked at */
	bool running; /* the guest runs while it is saved */
};

uint64_t vm_mib(const struct vm_spec *spec);
/* incoming: waits for a migration. */
void vm_start(struct vm *vm, const struct vm_spec *spec, bool incoming);
/* It begins on the image, by mrload with that option. */
void vm_start_on(struct vm *vm, const struct vm_spec *spec, const char *image,
		 const char *option, bool run);
void vm_wait_running(struct vm *vm);
/* Bytes of a line of /proc/PID/smaps_rollup, "Pss:". */
double vm_rollup(const struct vm *vm, const char *line);
void vm_stop(struct vm *vm);

json_t *vm_call(struct vm *vm, const char *command, json_t *args);
void vm_do(struct vm *vm, const char *command); /* no arguments, no answer */
/* mapped-ram, multifd with so many channels, direct I/O, no speed limit. */
void vm_migration(struct vm *vm, unsigned channels);
void vm_drop_events(struct vm *vm); /* of migrations so far */
void vm_wait_put_away(struct vm *vm); /* what is left of one */
/* 0; or -1: the migration failed, and *why says why. */
int vm_wait_migration(struct vm *vm, const char **why);

/* Waits for the times-th line with this prefix. -1: the guest says BAD. */
int vm_wait(struct vm *vm, const char *prefix, unsigned times);

double vm_cpu(const struct vm *vm); /* seconds until now */
double vm_memory(const struct vm *vm); /* bytes of anonymous and memfd memory */
/* Changes what spec says in a VM that stands still; the new pages, one behind
 * the other, are in the file `list` then. */
void vm_change(struct vm *vm, const struct vm_spec *spec, const char *list);
/* Reads every part of untouched memory, as a monitor from outside would. */
void vm_read_all(struct vm *vm);
/* Calls fn for one MiB after the other of the guest's memory. */
void vm_each_mib(struct vm *vm, void (*fn)(void *arg, const void *buf),
		 void *arg);

/* ---- work.c: who takes part ---- */

enum role { OURS, PEER, LIMIT };
struct contender;

typedef struct sample run_fn(const struct contender *c, struct vm *vm,
			     const struct vm_spec *spec, const char *image);

struct contender {
	const char *name; /* "-j 2", "multifd 8", "bare writer" */
	enum role role;
	run_fn *run;
	unsigned n; /* jobs, channels or cores; 0: the default */
	const char *options[MAX_OPTIONS]; /* for the tool, then NULLs */
	/* Ours: what must have been built; others: what must be installed. */
	const char *tool;
	/* Ours: 0 if what the last run gave is right, or -1, with a reason on
	 * standard error. */
	int (*check)(const struct contender *c, const struct vm_spec *spec,
		     const char *image);
};

/* From the VM, which stands still or not, to a new file image. */
run_fn run_mrsave, run_qemu_save, run_bare_write, run_bare_memory;
/* From a VM that was turned since it was saved to base_image, or began on it.
 */
run_fn run_mrsave_base, run_bare_turned;
const char *base_image(void);
/* The same over sockets (n: channels, 0: one connection; the first option: what
 * they are packed with), and by a background snapshot. */
run_fn run_mrrecv, run_qemu_recv, run_cat, run_source;
run_fn run_decode, run_mrsend, run_qemu_send;
run_fn run_mrsave_live, run_qemu_background;
/* From the file image; vm is not used. */
run_fn run_mrload, run_mrload_tmpfs, run_mrload_file;
run_fn run_qemu_load, run_bare_read, run_bare_copy;
/* Into a pack (the first option: what its name ends in), by zstd alone (with an
 * option: back again), by the library in memory; and a pack into a QEMU. */
run_fn run_mrconvert, run_zstd, run_bare_zstd;
run_fn run_mrload_pack, run_exec_zstd;
/* The same in memory, from the page cache to nobody. */
run_fn run_mrconvert_memory;
/* Seconds for a page of the image, or of what has this ending (the first
 * option); of the pack, by zstd alone, one in its middle. Second option:
 * "warm", or in no cache. */
run_fn run_page, run_zstd_page;
/* From the image with what was changed since: an increment, all of it, by
 * restic (which had the image before), and reading it. */
run_fn run_increment, run_full, run_restic, run_bare_read_new;
/* A file of the image's folder with this ending: its name, in static memory,
 * until the 16th next call. */
const char *beside(const char *image, const char *ending);

/* From the start of a QEMU until its guest runs, has spoken, or all of its
 * memory was read once: on the file image, after a load, without either. */
run_fn run_instant, run_instant_serial, run_instant_read;
run_fn run_start_load, run_start_load_serial, run_start_load_read, run_start;
/* What eight VMs on the image take, against one that has loaded it: a line. */
const char *weigh_clones(const struct vm_spec *spec, const char *image);

/* Checkpoints to mrrecv, to QEMU's secondary, to nobody; n: channels, 0: one
 * connection. Seconds are from a request until the guest runs on. */
run_fn run_colo, run_colo_qemu, run_colo_null;
/* NULL, or why there are no checkpoints here. */
const char *no_colo(void);

/* Takes the capture away. Its memory is checked where the same goes into an
 * image. */
int check_decode(const struct contender *c, const struct vm_spec *spec,
		 const char *image);
/* The pack is sound and what the image is. Takes all files beside it away. */
int check_pack(const struct contender *c, const struct vm_spec *spec,
	       const char *image);
/* Pages are the same in pack and image. */
int check_page(const struct contender *c, const struct vm_spec *spec,
	       const char *image);
/* The increment, with what it stands on, is what the changed image is. */
int check_increment(const struct contender *c, const struct vm_spec *spec,
		    const char *image);
/* Has a QEMU load the image and its guest check all memory. */
int check_image(const struct contender *c, const struct vm_spec *spec,
		const char *image);
/* The same through mrload. */
int check_load(const struct contender *c, const struct vm_spec *spec,
	       const char *image);
/* The memory file is what the guest's memory was when note_memory was called.
 */
int check_tmpfs(const struct contender *c, const struct vm_spec *spec,
		const char *image);
int check_instant(const struct contender *c, const struct vm_spec *spec,
		  const char *image);
int check_file(const struct contender *c, const struct vm_spec *spec,
	       const char *image);
void note_memory(struct vm *vm);

uint64_t data_mib(const struct vm_spec *spec); /* that an image must hold */

/* ---- report.c ---- */

struct result {
	const char *set;
	double gib; /* of guest data */
	unsigned rounds;
	size_t n;
	const struct contender *contenders;
	struct sample samples[MAX_CONTENDERS][MAX_ROUNDS];
};

void report_start(void);
void report(const struct result *r);
/* A line in the place of one: skipped, or wrong. */
void report_note(const char *set, const char *what);
void report_end(void); /* writes config.json */

#endif
