/*
 * queue_test.c - requests come back whole, whatever the kernel does to them.
 *
 * Each story is told over files with and without direct I/O, in memory, and
 * with a kernel that gives no contexts.
 */
#include "tests/libmr/folder.h"

#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "libmr/file/queue.h"
#include "tests/libmr/aio.h"

enum { FILE_SIZE = 320 << 10, MOST = 300 };

struct bench {
	struct file file;
	struct queue queue;
	struct queue_op ops[MOST];
	unsigned char *bytes, *back; /* FILE_SIZE each, page-aligned */
};

enum where { ON_DISK, IN_CACHE, IN_MEMORY, PLACES };

static int open_place(enum where where)
{
	int fd;

	if (where == IN_MEMORY)
		return memfd_create("queue", MFD_CLOEXEC);
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void *pages_new(size_t len)
{
	void *p;

	assert_int_equal(posix_memalign(&p, 4096, len), 0);
	memset(p, 0, len);
	return p;
}

static void adopt(struct bench *b, int fd, enum mr_direct direct)
{
	assert_true(fd >= 0);
	assert_int_equal(file_adopt(&b->file, fd, O_RDWR, direct, NULL), 0);
}

static struct bench *bench_new(enum where where, unsigned depth)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	adopt(b, open_place(where),
	      where == ON_DISK ? MR_DIRECT_AUTO : MR_DIRECT_OFF);
	b->bytes = pages_new(FILE_SIZE);
	b->back = pages_new(FILE_SIZE);
	fill_random(b->bytes, FILE_SIZE, 11);
	queue_init(&b->queue, depth, 0);
	return b;
}

static void bench_free(struct bench *b)
{
	assert_int_equal(queue_release(&b->queue), 0);
	assert_int_equal(queue_release(&b->queue), 0);
	assert_int_equal(file_close(&b->file), 0);
	free(b->bytes);
	free(b->back);
	free(b);
}

static void add(struct bench *b, struct queue_op *op, void *buf, size_t length,
		uint64_t offset, bool write)
{
	*op = (struct queue_op){ .file = &b->file,
				 .buf = buf,
				 .length = length,
				 .offset = offset,
				 .write = write };
	queue_add(&b->queue, op);
}

/* Reaps all, each request once; n of them. */
static void reap_all(struct bench *b, size_t n, struct mr_error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct queue_op *op = queue_reap(&b->queue, true, err);

		assert_non_null(op);
		assert_null(op->owner);
		op->owner = op;
	}
	assert_null(queue_reap(&b->queue, true, err));
	assert_int_equal(b->queue.added, 0);
	assert_int_equal(b->queue.inflight, 0);
}

/* Cuts the file into stretches, most of them of whole 512-byte sectors, and
 * moves them all at once. */
static void move_all(struct bench *b, bool write, uint64_t seed)
{
	unsigned char *mem = write ? b->bytes : b->back;
	struct mr_error err = MR_ERROR_INIT;
	size_t n = 0, at = 0;

	while (at < FILE_SIZE) {
		size_t len = 512 * (1 + next_random(&seed) % 16) - at % 512;

		if (next_random(&seed) % 5 == 0)
			len -= next_random(&seed) % len;
		if (len > FILE_SIZE - at || n == MOST - 1)
			len = FILE_SIZE - at;
		add(b, &b->ops[n++], mem + at, len, at, write);
		at += len;
	}
	reap_all(b, n, &err);
	assert_string_equal(err.msg, "");
	for (size_t i = 0; i < n; i++)
		assert_int_equal(b->ops[i].done, b->ops[i].length);
}

static void there_and_back(enum where where, unsigned depth)
{
	struct bench *b = bench_new(where, depth);

	aio.most_held = 0;
	move_all(b, true, 21 + depth);
	move_all(b, false, 22 + depth);
	assert_memory_equal(b->bytes, b->back, FILE_SIZE);
	assert_in_range(aio.most_held, 0, depth);
	bench_free(b);
}

/* Each costs tens of milliseconds, for the end of its context. */
static void everywhere(void)
{
	there_and_back(ON_DISK, 8);
	there_and_back(IN_CACHE, 1);
	there_and_back(IN_MEMORY, 8);
}

static void many_more_than_depth(void **state)
{
	(void)state;
	aio_reset();
	for (unsigned depth = 1; depth <= 256; depth *= 16)
		there_and_back(ON_DISK, depth);
	everywhere();
	assert_true(aio.submits > 0);
}

static void without_contexts(void **state)
{
	static const int why[] = { -EAGAIN, -ENOSYS, -EPERM, -ENOMEM };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		aio_reset();
		aio.setup = why[i];
		there_and_back(i & 1 ? ON_DISK : IN_MEMORY, 8);
		assert_int_equal(aio.submits, 0);
	}
}

/* A context is dear to give back: none is asked for in vain. */
static void no_request_no_context(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct queue q;

	(void)state;
	aio_reset();
	queue_init(&q, 8, 0);
	assert_int_equal(queue_flush(&q, &err), 0);
	assert_null(queue_reap(&q, true, &err));
	assert_int_equal(queue_release(&q), 0);
	assert_int_equal(aio.setups, 0);
}

/* The first few, each counted as 64 KiB at least; then all the rest. */
static void quick_ones_need_no_context(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct bench *b;

	(void)state;
	aio_reset();
	b = bench_new(ON_DISK, 8);
	queue_init(&b->queue, 8, 256 << 10);
	add(b, &b->ops[0], b->bytes, 4096, 0, true);
	add(b, &b->ops[1], b->bytes + 4096, 128 << 10, 4096, true);
	reap_all(b, 2, &err);
	assert_int_equal(aio.setups, 0);
	add(b, &b->ops[2], b->back, 100, 0, false);
	add(b, &b->ops[3], b->back + 4096, 4096, 4096, false);
	reap_all(b, 2, &err);
	assert_int_equal(aio.setups, 1);
	assert_int_equal(aio.events, 1);
	assert_int_equal(err.code, MR_OK);
	assert_memory_equal(b->back, b->bytes, 100);
	assert_memory_equal(b->back + 4096, b->bytes + 4096, 4096);
	bench_free(b);
}

static void takes_fewer_than_given(void **state)
{
	(void)state;
	for (long most = 1; most < 4; most += 2) {
		aio_reset();
		aio.most = most;
		everywhere();
	}
}

static void comes_back_short(void **state)
{
	(void)state;
	for (unsigned every = 1; every <= 3; every += 2) {
		aio_reset();
		aio.shorten = every;
		everywhere();
	}
}

static void comes_back_undone(void **state)
{
	(void)state;
	aio_reset();
	aio.again = 3;
	everywhere();
}

/* A ring that is full with others' requests, interruptions: at any call. */
static void submit_says_later(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 6; n++) {
		aio_reset();
		aio.submit_at = n;
		aio.submit = n & 1 ? -EAGAIN : -EINTR;
		there_and_back((enum where)(n % PLACES), n % 3 ? 4 : 1);
	}
	for (unsigned n = 1; n <= 4; n++) {
		aio_reset();
		aio.reap_at = n;
		aio.reap = -EINTR;
		aio.reaps_failing = 3;
		there_and_back(ON_DISK, 8);
	}
}

/* ---- ends of files ---- */

/* Requests that reach past the end say where it is, the others are whole. */
static void end_of_file(enum where where, size_t size, int setup)
{
	struct mr_error err = MR_ERROR_INIT;
	struct bench *b;

	aio_reset();
	aio.setup = setup;
	b = bench_new(where, 4);
	assert_int_equal(ftruncate(b->file.fd, (off_t)size), 0);
	add(b, &b->ops[0], b->back, 4096, 0, false);
	reap_all(b, 1, &err);
	assert_int_equal(err.code, MR_OK);
	add(b, &b->ops[1], b->back, 65536, 4096, false);
	reap_all(b, 1, &err);
	assert_int_equal(err.code, MR_SHORT);
	assert_int_equal(err.offset, size);
	err = (struct mr_error)MR_ERROR_INIT;
	add(b, &b->ops[2], b->back, 4096, 1 << 30, false);
	reap_all(b, 1, &err);
	assert_int_equal(err.code, MR_SHORT);
	assert_int_equal(err.offset, 1 << 30);
	bench_free(b);
}

static void ends(void **state)
{
	static const size_t sizes[] = { 4096, 8192, 8192 + 512, 10000, 4097 };

	(void)state;
	for (enum where w = ON_DISK; w < PLACES; w++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			if (w == ON_DISK || i > 2)
				end_of_file(w, sizes[i], 0);
			end_of_file(w, sizes[i], -ENOSYS);
		}
}

/* ---- misalignment ---- */

static void misaligned_is_buffered(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct bench *b;

	(void)state;
	aio_reset();
	b = bench_new(ON_DISK, 8);
	if (b->file.direct_fd < 0) {
		bench_free(b);
		print_message("no direct I/O here\n");
		skip();
		return; /* for analysers: it never comes here */
	}
	assert_int_equal(pwrite(b->file.fd, b->bytes, FILE_SIZE, 0), FILE_SIZE);
	add(b, &b->ops[0], b->back + 1, 4096, 0, false);
	add(b, &b->ops[1], b->back + 8192, 4095, 8192, false);
	add(b, &b->ops[2], b->back + 16384, 4096, 16385, false);
	add(b, &b->ops[3], b->back + 32768, 4096, 32768, false);
	reap_all(b, 4, &err);
	assert_int_equal(err.code, MR_OK);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(b->ops[i].cb.aio_fildes,
				 i < 3 ? b->file.fd : b->file.direct_fd);
		assert_memory_equal(b->ops[i].buf, b->bytes + b->ops[i].offset,
				    b->ops[i].length);
	}
	/* parts of pages, however they are aligned, are never written so */
	add(b, &b->ops[0], b->bytes, 2048, 0, true);
	add(b, &b->ops[1], b->bytes + 2048, 4096, 2048, true);
	add(b, &b->ops[2], b->bytes + 8192, 8192 + 512, 8192, true);
	add(b, &b->ops[3], b->bytes + 32768, 8192, 32768, true);
	reap_all(b, 4, &err);
	assert_int_equal(err.code, MR_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(b->ops[i].cb.aio_fildes,
				 i < 3 ? b->file.fd : b->file.direct_fd);
	bench_free(b);
}

/* ---- failures ---- */

/* One bad request among good ones: told, and only it is not whole. */
static void bad_request(void **state)
{
	(void)state;
	for (size_t bad = 0; bad < 5; bad++) {
		struct file closed = FILE_CLOSED;
		struct mr_error err = MR_ERROR_INIT;
		struct bench *b;

		aio_reset();
		aio.setup = bad == 4 ? -EAGAIN : 0;
		b = bench_new(ON_DISK, bad & 1 ? 1 : 8);
		closed.align = 1;
		assert_int_equal(ftruncate(b->file.fd, FILE_SIZE), 0);
		for (size_t i = 0; i < 5; i++) {
			add(b, &b->ops[i], b->back + i * 4096, 4096, i * 4096,
			    false);
			if (i == bad)
				b->ops[i].file = &closed;
		}
		reap_all(b, 5, &err);
		assert_int_equal(err.code, MR_SYS);
		assert_int_equal(err.sys, EBADF);
		assert_int_equal(err.offset, bad * 4096);
		for (size_t i = 0; i < 5; i++)
			assert_int_equal(b->ops[i].done, i == bad ? 0 : 4096);
		bench_free(b);
	}
}

/* A limit on the size of files: a short write, then the error, in place. */
static int child_too_large(void)
{
	struct rlimit limit = { 8192, 8192 };

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 77;
	for (int setup = 0; setup < 2; setup++) {
		struct mr_error err = MR_ERROR_INIT;
		struct bench *b;

		aio_reset();
		aio.setup = setup ? -ENOSYS : 0;
		b = bench_new(IN_CACHE, 8);
		add(b, &b->ops[0], b->bytes, 65536, 4096, true);
		reap_all(b, 1, &err);
		assert_int_equal(err.sys, EFBIG);
		assert_int_equal(err.offset, 8192);
		assert_int_equal(b->ops[0].done, 4096);
		bench_free(b);
	}
	return 0;
}

static int child_no_space(void)
{
	char path[4096];

	if ((unshare(CLONE_NEWNS) && unshare(CLONE_NEWNS | CLONE_NEWUSER)) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("mr", folder, "tmpfs", 0, "size=64k"))
		return 77;
	(void)snprintf(path, sizeof(path), "%s/full", folder);
	for (int setup = 0; setup < 2; setup++) {
		struct mr_error err = MR_ERROR_INIT;
		struct bench *b;
		struct file memory;
		int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

		aio_reset();
		aio.setup = setup ? -ENOSYS : 0;
		b = bench_new(IN_MEMORY, 8);
		memory = b->file;
		adopt(b, fd, MR_DIRECT_AUTO);
		for (size_t i = 0; i < 4; i++)
			add(b, &b->ops[i], b->bytes, 32768, i * 32768, true);
		reap_all(b, 4, &err);
		assert_int_equal(err.code, MR_SYS);
		assert_int_equal(err.sys, ENOSPC);
		assert_int_equal(err.offset, 65536);
		assert_int_equal(file_close(&b->file), 0);
		b->file = memory;
		bench_free(b);
	}
	return 0;
}

/* What changes the process for good is done in a child. */
static void in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("not allowed on this machine\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void too_large(void **state)
{
	(void)state;
	in_child(child_too_large);
}

static void no_space(void **state)
{
	(void)state;
	in_child(child_no_space);
}

/* ---- reaping and releasing ---- */

static void looks_without_waiting(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct bench *b;

	(void)state;
	aio_reset();
	b = bench_new(ON_DISK, 8);
	assert_null(queue_reap(&b->queue, false, &err));
	assert_int_equal(ftruncate(b->file.fd, FILE_SIZE), 0);
	add(b, &b->ops[0], b->back, 4096, 0, false);
	aio.reap_at = 1;
	aio.reap = 0; /* nothing has finished, says the kernel */
	assert_null(queue_reap(&b->queue, false, &err));
	assert_null(queue_reap(&b->queue, false, &err));
	assert_int_equal(aio.reaps, 2);
	assert_int_equal(aio.least, 0);
	assert_int_equal(b->queue.added, 1);
	aio.reap_at = 0;
	reap_all(b, 1, &err);
	assert_int_equal(err.code, MR_OK);
	bench_free(b);
}

/* The kernel does not say what has finished: then only its word that the
 * context is gone makes the buffers ours again. */
static void lost_completions(void **state)
{
	(void)state;
	for (int gone = 0; gone < 2; gone++) {
		struct mr_error err = MR_ERROR_INIT;
		struct bench *b;

		aio_reset();
		b = bench_new(ON_DISK, 8);
		assert_int_equal(ftruncate(b->file.fd, FILE_SIZE), 0);
		for (size_t i = 0; i < 20; i++)
			add(b, &b->ops[i], b->back + i * 16384, 16384,
			    i * 16384, false);
		aio.reap_at = 1;
		aio.reap = -EINVAL;
		aio.destroy = gone ? 0 : -EINVAL;
		assert_null(queue_reap(&b->queue, true, &err));
		assert_int_equal(err.sys, EINVAL);
		assert_true(aio.held > 0);
		assert_int_equal(queue_release(&b->queue), gone ? 0 : -1);
		if (gone)
			assert_int_equal(aio.held, 0);
		bench_free(b);
	}
}

static void released_in_mid_flight(void **state)
{
	(void)state;
	aio_reset();
	for (size_t n = 0; n < 20; n += 3) {
		struct mr_error err = MR_ERROR_INIT;
		struct bench *b = bench_new(ON_DISK, 8);

		for (size_t i = 0; i < n; i++)
			add(b, &b->ops[i], b->bytes + i * 16384, 16384,
			    i * 16384, true);
		assert_int_equal(queue_flush(&b->queue, &err), 0);
		assert_int_equal(queue_release(&b->queue), 0);
		assert_int_equal(aio.held, 0);
		bench_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_more_than_depth),
		cmocka_unit_test(without_contexts),
		cmocka_unit_test(no_request_no_context),
		cmocka_unit_test(quick_ones_need_no_context),
		cmocka_unit_test(takes_fewer_than_given),
		cmocka_unit_test(comes_back_short),
		cmocka_unit_test(comes_back_undone),
		cmocka_unit_test(submit_says_later),
		cmocka_unit_test(ends),
		cmocka_unit_test(misaligned_is_buffered),
		cmocka_unit_test(bad_request),
		cmocka_unit_test(too_large),
		cmocka_unit_test(no_space),
		cmocka_unit_test(looks_without_waiting),
		cmocka_unit_test(lost_completions),
		cmocka_unit_test(released_in_mid_flight),
	};

	return cmocka_run_group_tests_name("queue", tests, folder_setup,
					   folder_teardown);
}
