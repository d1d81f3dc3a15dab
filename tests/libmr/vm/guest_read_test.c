/*
 * guest_read_test.c - finding and reading memory (guest_map.c, guest_read.c),
 * and clearing it (guest_zero.c), with a child process in the place of QEMU.
 *
 * The child maps one region of each kind, each page of which is zero or full
 * of a tag that tells region and page, and then does what it is told through
 * a socket. Which pages hold what is a function of the page number, so that
 * the test needs no second copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/bits.h"
#include "libmr/vm/guest.h"
#include "tests/lib/zero_page.h"

#define PAGES ((size_t)1024)
#define SIZE (PAGES * GUEST_PAGE)
#define HUGE_PAGE ((size_t)2 << 20)
#define NOBODY 65534

enum region {
	ANON, /* every 7th page written */
	READ, /* the same, every other only read: the zero page */
	MEMFD, /* written through the file and through the mapping */
	SHARED, /* shared anonymous: no descriptor */
	COW, /* private mapping of a file, every 3rd page changed */
	COW_MEM, /* the same of a memfd with holes */
	FILE_SH, /* a file, shared */
	MIXED, /* quarters: ANON, MEMFD, COW, ANON */
	REGIONS
};

struct child {
	pid_t pid;
	int sock;
	char *at[REGIONS]; /* addresses in the child */
	dev_t dev; /* of the file behind COW */
	ino_t ino;
};

/* ---- what the pages hold ---- */

static uint64_t tag(enum region r, size_t page)
{
	return (uint64_t)(r + 1) << 32 | page << 8 | 1;
}

static enum region quarter(size_t page)
{
	static const enum region of[] = { ANON, MEMFD, COW, ANON };

	return of[page * 4 / PAGES];
}

/* 0: the page is all zeros. */
static uint64_t content(enum region r, size_t page)
{
	switch (r) {
	case ANON:
	case READ:
		return page % 7 == 0 ? tag(r, page) : 0;
	case MEMFD:
		return page % 5 < 2 ? tag(r, page) : 0;
	case SHARED:
		return page % 4 == 0 ? tag(r, page) : 0;
	case COW:
		return tag(r, page % 3 == 0 ? page + 5000 : page);
	case COW_MEM:
		if (page % 3 == 0)
			return tag(r, page + 5000);
		return page % 3 == 1 ? tag(r, page) : 0;
	case FILE_SH:
		return tag(r, page);
	case MIXED:
		return content(quarter(page), page);
	case REGIONS:
		break;
	}
	return 0;
}

static bool holds(const char *page, uint64_t want)
{
	for (size_t i = 0; i < GUEST_PAGE; i += sizeof(want))
		if (memcmp(page + i, &want, sizeof(want)) != 0)
			return false;
	return true;
}

/* ---- the child ---- */

static void need(bool ok)
{
	if (!ok)
		_exit(99);
}

static void fill(char *page, uint64_t value)
{
	for (size_t i = 0; i < GUEST_PAGE; i += sizeof(value))
		memcpy(page + i, &value, sizeof(value));
}

static void put(int fd, size_t page, uint64_t value)
{
	char text[GUEST_PAGE];

	fill(text, value);
	need(pwrite(fd, text, sizeof(text), (off_t)(page * GUEST_PAGE)) ==
	     GUEST_PAGE);
}

static char *map(void *at, size_t size, int flags, int fd, size_t offset)
{
	char *p = mmap(at, size, PROT_READ | PROT_WRITE,
		       flags | (at ? MAP_FIXED : 0), fd, (off_t)offset);

	need(p != MAP_FAILED);
	/* huge pages would make more pages present than were touched */
	(void)madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static int new_memfd(void)
{
	int fd = memfd_create("guest_read_test", MFD_CLOEXEC);

	need(fd >= 0 && ftruncate(fd, (off_t)SIZE) == 0);
	return fd;
}

static int new_file(enum region r)
{
	char path[] = "/tmp/guest_read_test.XXXXXX";
	int fd = mkstemp(path);

	need(fd >= 0 && unlink(path) == 0);
	for (size_t i = 0; i < PAGES; i++)
		put(fd, i, tag(r, i));
	return fd;
}

/* Writes to a mapping of n pages, the first of which is page `from` of r, the
 * pages whose number is rest modulo every. */
static void touch(char *p, enum region r, size_t from, size_t n, size_t every,
		  size_t rest)
{
	for (size_t i = 0; i < n; i++)
		if ((from + i) % every == rest)
			fill(p + i * GUEST_PAGE, content(r, from + i));
}

static void child_memory(struct child *c)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t q = PAGES / 4, qsize = SIZE / 4;
	int mem = new_memfd(), cow_mem = new_memfd(), file = new_file(COW),
	    shared = new_file(FILE_SH);
	struct stat st;
	char *p;

	p = c->at[ANON] = map(NULL, SIZE, anon, -1, 0);
	touch(p, ANON, 0, PAGES, 7, 0);
	p = c->at[READ] = map(NULL, SIZE, anon, -1, 0);
	touch(p, READ, 0, PAGES, 7, 0);
	for (size_t i = 0; i < PAGES; i++)
		need(*(volatile char *)(p + i * GUEST_PAGE) ==
		     (char)content(READ, i));
	p = c->at[MEMFD] = map(NULL, SIZE, MAP_SHARED, mem, 0);
	for (size_t i = 0; i < PAGES; i += 5)
		put(mem, i, content(MEMFD, i));
	touch(p, MEMFD, 0, PAGES, 5, 1);
	/* present in the file, no longer in the page map */
	need(madvise(p, SIZE / 2, MADV_DONTNEED) == 0);
	p = c->at[SHARED] = map(NULL, SIZE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	touch(p, SHARED, 0, PAGES, 4, 0);
	p = c->at[COW] = map(NULL, SIZE, MAP_PRIVATE, file, 0);
	touch(p, COW, 0, PAGES, 3, 0);
	for (size_t i = 1; i < PAGES; i += 3)
		put(cow_mem, i, content(COW_MEM, i));
	p = c->at[COW_MEM] = map(NULL, SIZE, MAP_PRIVATE, cow_mem, 0);
	touch(p, COW_MEM, 0, PAGES, 3, 0);
	c->at[FILE_SH] = map(NULL, SIZE, MAP_SHARED, shared, 0);

	p = c->at[MIXED] = map(NULL, SIZE, anon, -1, 0);
	touch(p, ANON, 0, q, 7, 0);
	(void)map(p + qsize, qsize, MAP_SHARED, mem, qsize);
	p = map(p + 2 * qsize, qsize, MAP_PRIVATE, file, 2 * qsize);
	touch(p, COW, 2 * q, q, 3, 0);
	touch(p + qsize, ANON, 3 * q, q, 7, 0);

	need(fstat(file, &st) == 0);
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	/* only mapped from here on */
	need(close(file) == 0);
}

static void child_main(struct child *c)
{
	char order;

	need(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	child_memory(c);
	need(write(c->sock, c, sizeof(*c)) == sizeof(*c));
	while (read(c->sock, &order, 1) == 1) {
		if (order == 'u') /* a hole in the middle */
			need(munmap(c->at[ANON] + SIZE / 2, SIZE / 4) == 0);
		need(write(c->sock, &order, 1) == 1);
	}
	_exit(0);
}

/* ---- the test's side ---- */

static bool start(struct child *c)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return false;
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		*c = (struct child){ .sock = fds[1] };
		child_main(c);
	}
	(void)close(fds[1]);
	if (pid < 0 || read(fds[0], c, sizeof(*c)) != sizeof(*c))
		return false;
	c->pid = pid;
	c->sock = fds[0];
	return true;
}

static void order(const struct child *c, char what)
{
	char done = 0;

	assert_int_equal(write(c->sock, &what, 1), 1);
	assert_int_equal(read(c->sock, &done, 1), 1);
	assert_int_equal(done, what);
}

static void stop(struct child *c)
{
	(void)close(c->sock);
	(void)waitpid(c->pid, NULL, 0);
}

static int setup(void **state)
{
	static struct child c;

	*state = &c;
	return start(&c) ? 0 : -1;
}

static int teardown(void **state)
{
	stop(*state);
	return 0;
}

static struct guest_block block_at(enum region r, const char *at)
{
	struct guest_block b = { .page_size = GUEST_PAGE,
				 .used = SIZE,
				 .total = SIZE,
				 .hva = (uintptr_t)at,
				 .migratable = true };

	(void)snprintf(b.name, sizeof(b.name), "region %d", (int)r);
	return b;
}

static struct guest *guest_of(const struct child *c, struct mr_error *err)
{
	struct guest_block all[REGIONS];

	for (int r = 0; r < REGIONS; r++)
		all[r] = block_at((enum region)r, c->at[r]);
	return guest_new(c->pid, all, REGIONS, err);
}

static struct guest *mapped_guest(const struct child *c)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_of(c, &err);

	assert_non_null(g);
	assert_int_equal(guest_can_read(g, &err), 0);
	(void)guest_map(g, &err);
	assert_string_equal(err.msg, "");
	return g;
}

static bool bit(const uint64_t *bitmap, size_t page)
{
	return bitmap[page / 64] >> (page % 64) & 1;
}

/* Whether reading the whole block gives what it must. */
static bool reads_right(const struct guest *g, enum region r,
			struct mr_error *err)
{
	char *buf = malloc(SIZE);
	struct memory_run run = { 0, SIZE, buf };
	bool ok = buf && !guest_read(g, &g->blocks[r], &run, 1, err);

	for (size_t i = 0; ok && i < PAGES; i++)
		ok = holds(buf + i * GUEST_PAGE, content(r, i));
	free(buf);
	return ok;
}

/* ---- tests ---- */

static void kinds(void **state)
{
	static const enum guest_kind want[] = {
		[ANON] = GUEST_ANON_PRIVATE,	[READ] = GUEST_ANON_PRIVATE,
		[MEMFD] = GUEST_SHMEM_SHARED,	[COW] = GUEST_FILE_PRIVATE,
		[COW_MEM] = GUEST_FILE_PRIVATE,
	};
	struct guest *g = mapped_guest(*state);
	const struct guest_segment *s;
	struct statfs fs;

	for (int r = 0; r <= COW_MEM; r++) {
		s = g->blocks[r].segments;
		assert_int_equal(g->blocks[r].n_segments, 1);
		assert_int_equal(s->length, SIZE);
		assert_int_equal(s->hva, g->blocks[r].hva);
		if (r != SHARED) /* which not everybody may open */
			assert_int_equal(s->kind, want[r]);
		if (r == MEMFD || r == COW_MEM)
			assert_true(s->fd >= 0);
	}
	s = g->blocks[FILE_SH].segments;
	assert_true(s->fd >= 0);
	assert_int_equal(fstatfs(s->fd, &fs), 0);
	assert_int_equal(s->kind, fs.f_type == 0x01021994 ? /* tmpfs */
					  GUEST_SHMEM_SHARED
							  : GUEST_FILE_SHARED);
	assert_int_equal(g->blocks[MIXED].n_segments, 4);
	s = g->blocks[MIXED].segments;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(s[i].offset, i * SIZE / 4);
		assert_int_equal(s[i].length, SIZE / 4);
		assert_int_equal(s[i].kind, want[quarter(i * PAGES / 4)]);
	}
	assert_int_equal(s[1].file_offset, SIZE / 4);
	assert_int_equal(s[2].file_offset, SIZE / 2);
	guest_free(g);
}

static void reading_gives_the_content(void **state)
{
	struct guest *g = mapped_guest(*state);
	struct mr_error err = MR_ERROR_INIT;

	for (int r = 0; r < REGIONS; r++) {
		bool ok = reads_right(g, (enum region)r, &err);

		assert_string_equal(err.msg, "");
		assert_true(ok);
	}
	guest_free(g);
}

/* Clear bits are pages of zeros; set bits are no more than there must be. */
static void touched_is_right(void **state)
{
	struct guest *g = mapped_guest(*state);
	struct mr_error err = MR_ERROR_INIT;
	unsigned major = 0, minor = 0;
	uint64_t most;
	bool scans;
	struct utsname u;

	assert_int_equal(uname(&u), 0);
	assert_int_equal(sscanf(u.release, "%u.%u", &major, &minor), 2);
	scans = (major > 6 || (major == 6 && minor >= 7)) && has_zero_page();
	for (int r = 0; r < REGIONS; r++) {
		uint64_t scan[PAGES / 64] = { 0 }, map[PAGES / 64] = { 0 };
		const struct guest_block *b = &g->blocks[r];

		assert_int_equal(guest_touched(g, b, scan, &err), 0);
		g->no_scan = true;
		assert_int_equal(guest_touched(g, b, map, &err), 0);
		g->no_scan = false;
		for (size_t i = 0; i < PAGES; i++) {
			bool data = content((enum region)r, i) != 0;
			enum region q =
				r == MIXED ? quarter(i) : (enum region)r;
			bool exact = q == ANON || q == MEMFD || q == COW_MEM;

			assert_true(bit(scan, i) || !data);
			assert_true(bit(map, i) || !data);
			if (exact || (q == READ && scans))
				assert_int_equal(bit(scan, i), data);
			if (exact)
				assert_int_equal(bit(map, i), data);
			if (q == COW)
				assert_true(bit(scan, i));
		}
		memset(map, 0, sizeof(map));
		assert_int_equal(guest_most(g, b, map, &most, &err), 0);
		assert_true(most >= bits_count(scan, 0, PAGES) * GUEST_PAGE);
		assert_true(most <= SIZE);
		if (r == MEMFD || r == ANON)
			assert_int_equal(most, bits_count(scan, 0, PAGES) *
						       GUEST_PAGE);
	}
	guest_free(g);
}

/* What the process wrote to a private mapping, and only if it is one of that
 * file from there on. */
static void changed_is_right(void **state)
{
	const struct child *c = *state;
	struct guest *g = mapped_guest(*state);
	struct mr_error err = MR_ERROR_INIT;
	struct file f = { .dev = c->dev, .ino = c->ino };

	if (g->blocks[COW].segments->fd < 0) {
		guest_free(g);
		print_message("a file that is mapped and no longer open cannot "
			      "be opened here: needs CAP_SYS_ADMIN or "
			      "CAP_CHECKPOINT_RESTORE\n");
		skip();
	}
	for (int no_scan = 0; no_scan < 2; no_scan++) {
		uint64_t map[PAGES / 64] = { 0 };

		g->no_scan = no_scan;
		assert_int_equal(
			guest_changed(g, &g->blocks[COW], &f, 0, map, &err), 1);
		for (size_t i = 0; i < PAGES; i++)
			assert_int_equal(bit(map, i), i % 3 == 0);
		memset(map, 0, sizeof(map));
		assert_int_equal(guest_changed(g, &g->blocks[COW], &f,
					       GUEST_PAGE, map, &err),
				 0);
		for (int r = 0; r < REGIONS; r++)
			if (r != COW)
				assert_int_equal(guest_changed(g, &g->blocks[r],
							       &f, 0, map,
							       &err),
						 0);
		assert_int_equal(bits_count(map, 0, PAGES), 0);
	}
	guest_free(g);
}

static long blocks_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (long)st.st_blocks;
}

static void reading_allocates_no_holes(void **state)
{
	static const enum region shmem[] = { MEMFD, COW_MEM, SHARED };
	struct guest *g = mapped_guest(*state);
	struct mr_error err = MR_ERROR_INIT;

	for (size_t i = 0; i < 3; i++) {
		int fd = g->blocks[shmem[i]].segments->fd;
		long before;

		if (shmem[i] == SHARED && fd < 0)
			continue; /* needs CAP_CHECKPOINT_RESTORE */
		before = blocks_of(fd);
		assert_true(before < (long)(SIZE / 512));
		assert_true(reads_right(g, shmem[i], &err));
		assert_int_equal(blocks_of(fd), before);
	}
	guest_free(g);
}

/* More runs than one call takes, out of order, odd lengths, across segments. */
static void many_runs(void **state)
{
	struct guest *g = mapped_guest(*state);
	struct mr_error err = MR_ERROR_INIT;
	struct memory_run *runs = calloc(3 * PAGES, sizeof(*runs));
	char *buf = malloc(3 * SIZE), *whole = malloc(SIZE);
	struct memory_run all = { 0, SIZE, whole };
	const struct guest_block *b = &g->blocks[MIXED];
	size_t n = 0;

	assert_non_null(runs);
	assert_non_null(buf);
	assert_int_equal(guest_read(g, b, &all, 1, &err), 0);
	for (size_t i = 0; i < 3 * PAGES; i++) {
		uint64_t at = i * 2654435761U % (SIZE - 9000);
		size_t len = i % 17 == 0 ? 0 : i * 40503U % 9000;

		if (n + len > 3 * SIZE)
			break;
		runs[i] = (struct memory_run){ at, len, buf + n };
		n += len;
	}
	assert_true(n > SIZE);
	assert_int_equal(guest_read(g, b, runs, 3 * PAGES, &err), 0);
	for (size_t i = 0; i < 3 * PAGES; i++)
		if (runs[i].length)
			assert_memory_equal(runs[i].dest,
					    whole + runs[i].offset,
					    runs[i].length);
	free(runs);
	free(buf);
	free(whole);
	guest_free(g);
}

struct reader {
	pthread_t thread;
	const struct guest *g;
	bool ok;
};

static void *read_all(void *arg)
{
	struct reader *t = arg;
	uint64_t bitmap[PAGES / 64] = { 0 };

	t->ok = true;
	for (int r = 0; r < REGIONS; r++)
		t->ok = t->ok && reads_right(t->g, (enum region)r, NULL) &&
			!guest_touched(t->g, &t->g->blocks[r], bitmap, NULL);
	return NULL;
}

static void many_readers(void **state)
{
	struct guest *g = mapped_guest(*state);
	struct reader t[4];

	for (size_t i = 0; i < 4; i++) {
		t[i].g = g;
		assert_int_equal(
			pthread_create(&t[i].thread, NULL, read_all, &t[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i].thread, NULL), 0);
		assert_true(t[i].ok);
	}
	guest_free(g);
}

static void expect_unreadable(const struct guest *g, uint64_t offset,
			      const char *text)
{
	struct mr_error err = MR_ERROR_INIT;
	char *buf = malloc(SIZE);
	struct memory_run run = { GUEST_PAGE, SIZE - GUEST_PAGE, buf };
	char want[128];

	assert_non_null(buf);
	(void)snprintf(want, sizeof(want), "'region 0' at offset 0x%llx: %s",
		       (unsigned long long)offset, text);
	assert_int_equal(guest_read(g, &g->blocks[ANON], &run, 1, &err), -1);
	assert_int_equal(err.code, MR_SYS);
	if (!strstr(err.msg, want))
		fail_msg("'%s' lacks '%s'", err.msg, want);
	free(buf);
}

static void failures_name_block_and_offset(void **state)
{
	struct child *c = *state;
	struct guest *g = mapped_guest(c);
	struct mr_error err = MR_ERROR_INIT;
	char byte;
	struct memory_run run = { SIZE - 1, 2, &byte };

	assert_int_equal(guest_read(g, &g->blocks[ANON], &run, 1, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	run.offset = UINT64_MAX;
	assert_int_equal(guest_read(g, &g->blocks[ANON], &run, 1, NULL), -1);
	order(c, 'u');
	expect_unreadable(g, SIZE / 2, "Bad address");
	/* and mapping again finds the hole */
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(guest_map(g, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_non_null(strstr(err.msg, "block 'region 0' should be"));
	assert_int_equal(g->blocks[MEMFD].n_segments, 0);
	run.offset = 0;
	assert_int_equal(guest_read(g, &g->blocks[ANON], &run, 1, NULL), -1);
	guest_free(g);
}

/* More than one call takes, in every kind of memory, and not a page more. */
static void zeros_where_they_belong(void **state)
{
	const size_t from = 3, n = PAGES / 2 + 1;
	struct child *c = *state;
	struct guest *g = mapped_guest(c);
	struct mr_error err = MR_ERROR_INIT;
	char *buf = malloc(SIZE);
	struct memory_run all = { 0, SIZE, buf };

	assert_non_null(buf);
	for (int r = 0; r < REGIONS; r++) {
		const struct guest_block *b = &g->blocks[r];

		/* which shares its pages */
		if (r == MIXED)
			continue;
		(void)guest_zero(g, b, from * GUEST_PAGE, n * GUEST_PAGE, &err);
		assert_string_equal(err.msg, "");
		assert_int_equal(guest_read(g, b, &all, 1, &err), 0);
		for (size_t i = 0; i < PAGES; i++)
			assert_true(
				holds(buf + i * GUEST_PAGE,
				      i >= from && i < from + n
					      ? 0
					      : content((enum region)r, i)));
	}
	order(c, 'u');
	assert_int_equal(guest_zero(g, &g->blocks[ANON], 0, SIZE, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_non_null(strstr(err.msg, "'region 0' has old content at offset "
					"0x200000 that cannot be cleared"));
	free(buf);
	guest_free(g);
}

static void process_gone(void **state)
{
	struct child *c = *state;
	struct guest *g = mapped_guest(c);
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(kill(c->pid, SIGKILL), 0);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
	expect_unreadable(g, GUEST_PAGE, "No such process");
	assert_int_equal(guest_map(g, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_non_null(strstr(err.msg, "there is no process"));
	guest_free(g);
}

/*
 * A file that ends within a page is zeros up to that page's end and nothing
 * beyond, as in the process; pages that were changed do not need it.
 */
static void file_ends_early(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = mapped_guest(*state);
	const struct guest_block *b = &g->blocks[FILE_SH];
	const size_t last = PAGES - 3; /* the page that it ends in */
	char path[64], buf[2 * GUEST_PAGE];
	struct memory_run run = { last * GUEST_PAGE, GUEST_PAGE, buf };
	uint64_t want = tag(FILE_SH, last);
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b->segments->fd);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(last * GUEST_PAGE + 8)), 0);
	(void)close(fd);
	assert_int_equal(guest_read(g, b, &run, 1, &err), 0);
	assert_memory_equal(buf, &want, sizeof(want));
	memset(buf, 0, sizeof(want));
	assert_true(holds(buf, 0));
	run.length = sizeof(buf);
	assert_int_equal(guest_read(g, b, &run, 1, &err), -1);
	assert_int_equal(err.code, MR_SHORT);
	assert_non_null(strstr(err.msg, "'region 6' ends at offset 0x3fd008"));
	guest_free(g);
}

static void uses_file(void **state)
{
	struct child *c = *state;
	struct guest *g = mapped_guest(c);
	struct mr_error err = MR_ERROR_INIT;
	FILE *f = tmpfile();
	struct stat st;

	/* mapped, not open */
	assert_int_equal(guest_uses_file(g, c->dev, c->ino, &err), 1);
	/* open */
	assert_int_equal(fstat(g->blocks[MEMFD].segments->fd, &st), 0);
	assert_int_equal(guest_uses_file(g, st.st_dev, st.st_ino, &err), 1);
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_int_equal(guest_uses_file(g, st.st_dev, st.st_ino, &err), 0);
	g->pid = 0;
	assert_int_equal(guest_uses_file(g, st.st_dev, st.st_ino, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	(void)fclose(f);
	guest_free(g);
}

static void expect_no_right(const struct guest *g, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(guest_can_read(g, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	if (!strstr(err.msg, text))
		fail_msg("'%s' lacks '%s'", err.msg, text);
}

/* Runs fn(arg) in a process of user nobody; what it returns. */
static int as_nobody(int (*fn)(const void *), const void *arg)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		need(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		/* or else /proc/self belongs to root */
		need(prctl(PR_SET_DUMPABLE, 1) == 0);
		_exit(fn(arg));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int is_refused(const void *arg)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_of(arg, &err);

	if (!g || guest_can_read(g, &err) == 0 || err.code != MR_REFUSED ||
	    !strstr(err.msg, "CAP_SYS_PTRACE"))
		return 1;
	err = (struct mr_error)MR_ERROR_INIT;
	if (guest_map(g, &err) == 0 || err.code != MR_REFUSED)
		return 2;
	guest_free(g);
	return 0;
}

static void rights(void **state)
{
	struct child *c = *state, init = { .pid = 1 };
	struct guest *g = mapped_guest(c);

	g->pid = 0;
	expect_no_right(g, "--pid");
	g->pid = INT32_MAX;
	expect_no_right(g, "there is no process");
	if (geteuid() == 0)
		assert_int_equal(as_nobody(is_refused, c), 0);
	else
		assert_int_equal(is_refused(&init), 0);
	guest_free(g);
}

/* Without privilege, files are found through /proc/PID/fd. */
static int reads_without_privilege(const void *arg)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g;
	struct child c;

	(void)arg;
	if (!start(&c))
		return 1;
	g = guest_of(&c, &err);
	if (!g || guest_can_read(g, &err) || guest_map(g, &err))
		return 2;
	if (g->blocks[MEMFD].segments->kind != GUEST_SHMEM_SHARED ||
	    g->blocks[MEMFD].segments->fd < 0 ||
	    g->blocks[SHARED].segments->fd >= 0)
		return 3;
	for (int r = 0; r < REGIONS; r++)
		if (!reads_right(g, (enum region)r, &err))
			return 4 + r;
	guest_free(g);
	stop(&c);
	return 0;
}

static void without_privilege(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* then the other tests ran without it */
	assert_int_equal(as_nobody(reads_without_privilege, NULL), 0);
}

/* ---- huge pages: two of four touched, shared and private ---- */

static long number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		(void)fclose(f);
	}
	return n;
}

static void huge_child(struct child *c)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	int other = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	char order_byte;
	char *p, *q, *r;

	need(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	need(fd >= 0 && ftruncate(fd, 4 * (off_t)HUGE_PAGE) == 0);
	need(other >= 0 && ftruncate(other, 4 * (off_t)HUGE_PAGE) == 0);
	p = map(NULL, 4 * HUGE_PAGE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	q = map(NULL, 4 * HUGE_PAGE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	fill(p, 11);
	fill(p + 2 * HUGE_PAGE, 12);
	fill(q + 2 * HUGE_PAGE, 13); /* copies the rest of the page */
	fill(q + 3 * HUGE_PAGE, 14);
	r = map(NULL, 4 * HUGE_PAGE, MAP_SHARED | MAP_NORESERVE, other, 0);
	fill(r, 15);
	fill(r + HUGE_PAGE, 16); /* stays in the file */
	need(madvise(r + HUGE_PAGE, HUGE_PAGE, MADV_DONTNEED) == 0);
	c->at[0] = p;
	c->at[1] = q;
	c->at[2] = r;
	need(write(c->sock, c, sizeof(*c)) == sizeof(*c));
	_exit(read(c->sock, &order_byte, 1) == 0 ? 0 : 1);
}

/* touched: which of the pages guest_touched must find, and no others. */
static void expect_huge(const struct guest *g, size_t which,
			const uint64_t want[4], const char touched[4])
{
	struct mr_error err = MR_ERROR_INIT;
	char *buf = malloc(4 * HUGE_PAGE);
	struct memory_run run = { 0, 4 * HUGE_PAGE, buf };
	uint64_t bitmap[4 * HUGE_PAGE / GUEST_PAGE / 64] = { 0 };

	assert_non_null(buf);
	assert_int_equal(guest_read(g, &g->blocks[which], &run, 1, &err), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_true(holds(buf + i * HUGE_PAGE, want[i]));
		assert_true(holds(buf + i * HUGE_PAGE + GUEST_PAGE, 0));
	}
	assert_int_equal(guest_touched(g, &g->blocks[which], bitmap, &err), 0);
	for (size_t i = 0; i < sizeof(bitmap) / sizeof(*bitmap); i++)
		assert_true(bitmap[i] ==
			    (touched[i / (HUGE_PAGE / GUEST_PAGE / 64)] == 'x'
				     ? UINT64_MAX
				     : 0));
	free(buf);
}

/* PAGEMAP_SCAN came with Linux 6.7. */
static bool kernel_scans(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	assert_int_equal(uname(&u), 0);
	(void)sscanf(u.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7);
}

static void check_huge(const struct child *c)
{
	static const char free_pages[] =
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	static const uint64_t shared[] = { 11, 0, 12, 0 },
			      private[] = { 11, 0, 13, 14 },
			      parted[] = { 15, 16, 0, 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct guest_block b[3];
	struct guest *g;
	long before = number_in(free_pages);

	for (size_t i = 0; i < 3; i++) {
		b[i] = block_at((enum region)i, c->at[i]);
		b[i].page_size = HUGE_PAGE;
		b[i].used = b[i].total = 4 * HUGE_PAGE;
	}
	g = guest_new(c->pid, b, 3, &err);
	assert_non_null(g);
	assert_int_equal(guest_map(g, &err), 0);
	assert_int_equal(g->blocks[0].segments->kind, GUEST_HUGETLB_SHARED);
	assert_int_equal(g->blocks[1].segments->kind, GUEST_HUGETLB_PRIVATE);
	/* two users of one file; and a page of the file that is not mapped */
	expect_huge(g, 0, shared, "xxxx");
	expect_huge(g, 1, private, "xxxx");
	expect_huge(g, 2, parted, "xxxx");
	guest_free(g);
	g = guest_new(c->pid, b, 1, &err);
	assert_non_null(g);
	assert_int_equal(guest_map(g, &err), 0);
	if (kernel_scans())
		expect_huge(g, 0, shared, "x-x-");
	g->no_scan = true;
	expect_huge(g, 0, shared, "xxxx");
	assert_int_equal(number_in(free_pages), before);
	guest_free(g);
}

static bool set_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fprintf(f, "%ld\n", n) > 0;

	return f && fclose(f) == 0 && ok;
}

static const char huge_count[] =
	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
static long huge_count_was;
static int huge_lock = -1;

/* Who changes the machine's number does it alone. */
static int huge_setup(void **state)
{
	(void)state;
	huge_lock = open(huge_count, O_RDONLY | O_CLOEXEC);
	if (huge_lock >= 0 && flock(huge_lock, LOCK_EX))
		return -1;
	huge_count_was = number_in(huge_count);
	return 0;
}

/* However the test ended, the machine gets its memory back. */
static int huge_teardown(void **state)
{
	int rc = 0;

	(void)state;
	if (number_in(huge_count) != huge_count_was &&
	    !set_number(huge_count, huge_count_was))
		rc = -1;
	if (huge_lock >= 0)
		(void)close(huge_lock); /* and gives the lock back */
	return rc;
}

static void huge_pages(void **state)
{
	long want = huge_count_was + 8;
	struct child c = { .pid = -1 }, told;
	int fds[2];

	(void)state;
	if (huge_count_was < 0 || !set_number(huge_count, want) ||
	    number_in(huge_count) < want) {
		print_message("no huge pages to be had here: needs root and "
			      "16 MiB of unfragmented memory\n");
		skip();
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	c.pid = fork();
	if (c.pid == 0) {
		(void)close(fds[0]);
		c.sock = fds[1];
		huge_child(&c);
	}
	(void)close(fds[1]);
	assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
	memcpy(c.at, told.at, sizeof(c.at));
	check_huge(&c);
	c.sock = fds[0];
	stop(&c);
}

#define WITH_CHILD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CHILD(kinds),
		WITH_CHILD(reading_gives_the_content),
		WITH_CHILD(touched_is_right),
		WITH_CHILD(changed_is_right),
		WITH_CHILD(reading_allocates_no_holes),
		WITH_CHILD(many_runs),
		WITH_CHILD(many_readers),
		WITH_CHILD(failures_name_block_and_offset),
		WITH_CHILD(zeros_where_they_belong),
		WITH_CHILD(process_gone),
		WITH_CHILD(file_ends_early),
		WITH_CHILD(uses_file),
		WITH_CHILD(rights),
		cmocka_unit_test(without_privilege),
		cmocka_unit_test_setup_teardown(huge_pages, huge_setup,
						huge_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
