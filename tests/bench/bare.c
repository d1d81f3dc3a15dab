/*
 * bare.c - the limits: what this machine does when nothing else is asked.
 *
 *   bare write FILE MIB      a new file, durable
 *   bare read FILE           all data of a file
 *   bare copy FILE TO        the same into a new file, durable
 *   bare memory CORES MIB    read so much memory
 *   bare process CORES MIB   copy so much out of another process
 *   bare zstd FILE           compress it, in memory, MiB by MiB, on all CPUs
 *
 * The writer is what a saver of memory could be at best: one thread, libaio,
 * O_DIRECT, 1 MiB, 16 deep, buffers on huge pages, the file's size set before
 * the first byte; and, as no saver can do without, a source that is not in
 * any cache and one copy of it. fdatasync is in its time. Reader and copier
 * are the same without that. Where O_DIRECT is refused they go without, and
 * say so.
 *
 * Prints {"seconds":, "cpu":, "bytes":, "direct_io":}; the preparation is not
 * in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libaio.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define MIB ((size_t)1 << 20)
#define HUGE_PAGE (2 * MIB)
#define DEPTH 16
#define COLD (512 * MIB) /* far more than any cache */
#define MAX_CORES 64

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- time ---- */

static double wall(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double started, started_cpu;

static void start_clock(void)
{
	started_cpu = cpu();
	started = wall();
}

static int print(uint64_t bytes, bool direct)
{
	double seconds = wall() - started, used = cpu() - started_cpu;
	json_t *j =
		json_pack("{s:f,s:f,s:I,s:b}", "seconds", seconds, "cpu", used,
			  "bytes", (json_int_t)bytes, "direct_io", direct);

	if (!j || json_dumpf(j, stdout, JSON_COMPACT) || fflush(stdout))
		die("cannot print");
	json_decref(j);
	return 0;
}

/* ---- memory ---- */

/* Not written yet; on huge pages where there are any. */
static unsigned char *reserve(size_t len)
{
	unsigned char *p = mmap(NULL, len + HUGE_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("no memory");
	p += (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
	(void)madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static unsigned char *new_memory(size_t len)
{
	return memset(reserve(len), 0, len);
}

static unsigned char *new_noise(size_t len)
{
	unsigned char *p = new_memory(len);
	uint64_t x = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < len; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, sizeof(x));
	}
	return p;
}

/* ---- the disk ---- */

struct disk {
	int fd;
	int to; /* copy: the other file, else -1 */
	bool write, direct;
	uint64_t size; /* of the file */
	uint64_t next, end; /* the data that is being dealt with */
	const unsigned char *source; /* what is written, again and again */
	size_t source_len;
	io_context_t ctx;
	unsigned char *arena;
	struct iocb cb[DEPTH];
	uint64_t bytes;
};

/* The next piece of work; its length, or 0 at the end. */
static size_t next_piece(struct disk *d, uint64_t *offset)
{
	uint64_t len;

	if (d->next >= d->end && !d->write) {
		off_t data = lseek(d->fd, (off_t)d->end, SEEK_DATA);
		off_t hole = data < 0 ? data : lseek(d->fd, data, SEEK_HOLE);

		if (hole < 0 && errno != ENXIO)
			die("cannot seek");
		if (hole < 0)
			return 0;
		d->next = (uint64_t)data;
		d->end = (uint64_t)hole;
	}
	*offset = d->next;
	len = d->end - d->next;
	if (len > MIB)
		len = MIB;
	d->next += len;
	return (size_t)len;
}

/* Starts the next piece in slot i. False: nothing is left. */
static bool submit(struct disk *d, unsigned i)
{
	unsigned char *buf = d->arena + i * MIB;
	struct iocb *cb = &d->cb[i];
	uint64_t offset;
	size_t len = next_piece(d, &offset);
	int rc;

	if (!len)
		return false;
	d->bytes += len;
	if (d->write) {
		memcpy(buf, d->source + offset % d->source_len, len);
		io_prep_pwrite(cb, d->fd, buf, len, (long long)offset);
	} else {
		/* The last block is read whole. */
		len = (len + 4095) & ~(size_t)4095;
		io_prep_pread(cb, d->fd, buf, len, (long long)offset);
	}
	cb->data = (void *)(uintptr_t)i;
	rc = io_submit(d->ctx, 1, &cb);
	if (rc != 1) {
		errno = rc < 0 ? -rc : EIO;
		die("cannot submit");
	}
	return true;
}

/* What slot i has read goes to the same place of the other file. */
static void submit_copy(struct disk *d, unsigned i)
{
	struct iocb *cb = &d->cb[i];
	int rc;

	io_prep_pwrite(cb, d->to, d->arena + i * MIB, cb->u.c.nbytes,
		       cb->u.c.offset);
	cb->data = (void *)(uintptr_t)i;
	rc = io_submit(d->ctx, 1, &cb);
	if (rc != 1) {
		errno = rc < 0 ? -rc : EIO;
		die("cannot submit");
	}
}

static void check_event(const struct disk *d, const struct io_event *e)
{
	const struct iocb *cb = e->obj;
	uint64_t end = (uint64_t)cb->u.c.offset + cb->u.c.nbytes;
	uint64_t want = cb->u.c.nbytes;

	if (cb->aio_lio_opcode == IO_CMD_PREAD && end > d->size)
		want -= end - d->size;
	if (e->res != want) {
		errno = (long)e->res < 0 ? (int)-(long)e->res : EIO;
		die(d->write ? "cannot write" : "cannot read");
	}
}

static void transfer(struct disk *d)
{
	struct io_event events[DEPTH];
	unsigned busy = 0;
	int n;

	while (busy < DEPTH && submit(d, busy))
		busy++;
	while (busy) {
		n = io_getevents(d->ctx, 1, DEPTH, events, NULL);
		if (n < 0 && n != -EINTR)
			die("cannot reap");
		for (int i = 0; i < n; i++) {
			unsigned slot = (unsigned)(uintptr_t)events[i].data;
			bool was_read =
				events[i].obj->aio_lio_opcode == IO_CMD_PREAD;

			check_event(d, &events[i]);
			if (d->to >= 0 && was_read)
				submit_copy(d, slot);
			else if (!submit(d, slot))
				busy--;
		}
	}
}

static int open_disk(const char *path, int flags, bool *direct)
{
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0600);

	*direct = fd >= 0;
	if (fd < 0 && errno == EINVAL)
		fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	return fd;
}

static void prepare(struct disk *d)
{
	d->arena = new_memory(DEPTH * MIB);
	if (io_setup(DEPTH, &d->ctx))
		die("no asynchronous I/O");
}

static int new_file(const char *path, uint64_t len, bool *direct)
{
	int fd = open_disk(path, O_RDWR | O_CREAT | O_TRUNC, direct);

	if (ftruncate(fd, (off_t)len))
		die("cannot set the size");
	return fd;
}

static int bare_write(const char *path, size_t len)
{
	struct disk d = { .to = -1, .write = true, .size = len, .end = len };

	d.source_len = len < COLD ? len : COLD;
	d.source = new_noise(d.source_len);
	prepare(&d);
	start_clock();
	d.fd = new_file(path, len, &d.direct);
	transfer(&d);
	if (fdatasync(d.fd) || close(d.fd))
		die("cannot sync");
	return print(d.bytes, d.direct);
}

/* copy NULL: only read */
static int bare_read(const char *path, const char *copy)
{
	struct disk d = { .to = -1 };
	struct stat st;

	prepare(&d);
	start_clock();
	d.fd = open_disk(path, O_RDONLY, &d.direct);
	if (fstat(d.fd, &st))
		die(path);
	d.size = (uint64_t)st.st_size;
	if (copy) /* the last block is written whole */
		d.to = new_file(copy, (d.size + 4095) & ~UINT64_C(4095),
				&d.direct);
	transfer(&d);
	if (copy && (fdatasync(d.to) || close(d.to)))
		die("cannot sync");
	return print(d.bytes, d.direct);
}

/* ---- memory bandwidth ---- */

struct core {
	pthread_t thread;
	const unsigned char *from;
	size_t region; /* bytes at from, read again and again */
	size_t share; /* bytes to be read in all */
	pid_t pid; /* 0: read; else copy out of that process */
	unsigned char *buf;
	uint64_t sum; /* so that the reads are not for nothing */
};

typedef uint64_t vec __attribute__((vector_size(32), may_alias));

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static uint64_t
read_piece(const unsigned char *from, size_t len)
{
	const vec *v = (const void *)from;
	vec a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	for (size_t i = 0; i < len / sizeof(*v); i += 8) {
		a |= v[i] | v[i + 1];
		b |= v[i + 2] | v[i + 3];
		c |= v[i + 4] | v[i + 5];
		d |= v[i + 6] | v[i + 7];
	}
	a |= b | c | d;
	return a[0] | a[1] | a[2] | a[3];
}

static void copy_piece(const struct core *c, const unsigned char *from)
{
	struct iovec to = { c->buf, MIB };
	struct iovec source = { (void *)(uintptr_t)from, MIB };

	if (process_vm_readv(c->pid, &to, 1, &source, 1, 0) != (ssize_t)MIB)
		die("cannot read the process");
}

static void *work(void *arg)
{
	struct core *c = arg;

	for (size_t at = 0; at < c->share; at += MIB) {
		const unsigned char *from = c->from + at % c->region;

		if (c->pid)
			copy_piece(c, from);
		else
			c->sum |= read_piece(from, MIB);
	}
	return NULL;
}

/* A process that has written its copy of that memory and does nothing. */
static pid_t hold(unsigned char *from, size_t len)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		die("cannot make a pipe");
	pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(from, 0, len);
		if (write(ready[1], "", 1) != 1)
			_exit(2);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		die("a process ended");
	(void)close(ready[0]);
	return pid;
}

static int bare_memory(unsigned cores, size_t len, bool process)
{
	struct core c[MAX_CORES] = { 0 };
	size_t region = (len < COLD ? len : COLD) / cores / MIB * MIB;
	unsigned char *from = reserve(region * cores), *bufs;
	uint64_t sum = 0;
	pid_t pid = 0;

	if (process)
		pid = hold(from, region * cores);
	else
		memset(from, 0, region * cores);
	bufs = new_memory(cores * MIB);
	start_clock();
	for (unsigned i = 0; i < cores; i++) {
		c[i].from = from + i * region;
		c[i].region = region;
		c[i].share = len / cores;
		c[i].pid = pid;
		c[i].buf = bufs + i * MIB;
		errno = pthread_create(&c[i].thread, NULL, work, &c[i]);
		if (errno)
			die("cannot start a thread");
	}
	for (unsigned i = 0; i < cores; i++) {
		(void)pthread_join(c[i].thread, NULL);
		sum |= c[i].sum;
	}
	if (sum) {
		errno = EIO;
		die("zeros are not zero");
	}
	(void)print(len, false);
	if (pid)
		(void)kill(pid, SIGKILL);
	return 0;
}

/* A number from 1 to max. */
static size_t number(const char *s, size_t max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	errno = EINVAL;
	if (!n || n > max || *end)
		die(s);
	return n;
}

/* ---- compressing ---- */

struct squeeze {
	pthread_t thread;
	const unsigned char *from;
	size_t len;
	size_t *next; /* the piece that nobody has yet */
};

static void *squeeze(void *arg)
{
	const struct squeeze *q = arg;
	size_t room = ZSTD_compressBound(MIB), at;
	unsigned char *to = malloc(room);
	ZSTD_CCtx *z = ZSTD_createCCtx();

	if (!to || !z)
		die("no memory");
	while ((at = __atomic_fetch_add(q->next, MIB, __ATOMIC_RELAXED)) <
	       q->len) {
		size_t n = q->len - at < MIB ? q->len - at : MIB;

		if (ZSTD_isError(
			    ZSTD_compressCCtx(z, to, room, q->from + at, n, 1)))
			die("zstd");
	}
	(void)ZSTD_freeCCtx(z);
	free(to);
	return NULL;
}

static int bare_zstd(const char *path)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct squeeze q[MAX_CORES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *all;
	size_t next = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	all = mmap(NULL, (size_t)st.st_size, PROT_READ,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	if (all == MAP_FAILED)
		die("cannot map");
	if (cores > MAX_CORES)
		cores = MAX_CORES;
	start_clock();
	for (long i = 0; i < cores; i++) {
		q[i] = (struct squeeze){ .from = all,
					 .len = (size_t)st.st_size,
					 .next = &next };
		errno = pthread_create(&q[i].thread, NULL, squeeze, &q[i]);
		if (errno)
			die("cannot start a thread");
	}
	for (long i = 0; i < cores; i++)
		(void)pthread_join(q[i].thread, NULL);
	return print((uint64_t)st.st_size, false);
}

int main(int argc, char **argv)
{
	bool process = argc > 1 && !strcmp(argv[1], "process");

	if (argc == 4 && !strcmp(argv[1], "write"))
		return bare_write(argv[2], number(argv[3], 1 << 24) * MIB);
	if (argc == 3 && !strcmp(argv[1], "read"))
		return bare_read(argv[2], NULL);
	if (argc == 4 && !strcmp(argv[1], "copy"))
		return bare_read(argv[2], argv[3]);
	if (argc == 4 && (process || !strcmp(argv[1], "memory"))) {
#if defined(__x86_64__)
		if (!__builtin_cpu_supports("avx2")) {
			errno = ENOTSUP;
			die("a CPU without AVX2");
		}
#endif
		return bare_memory((unsigned)number(argv[2], MAX_CORES),
				   number(argv[3], 1 << 24) * MIB, process);
	}
	if (argc == 3 && !strcmp(argv[1], "zstd"))
		return bare_zstd(argv[2]);
	(void)fputs("usage: bare write FILE MIB | bare read FILE |\n"
		    "       bare copy FILE TO |\n"
		    "       bare memory|process CORES MIB |\n"
		    "       bare zstd FILE\n",
		    stderr);
	return 2;
}
