/*
 * bus_guard_test.c - files that shrink under their mappings, and whose SIGBUS
 * that is.
 */
#include "tests/libmr/unit.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libmr/base/bus_guard.h"

enum { PAGE = 4096, PAGES = 64, SIZE = PAGES * PAGE, READERS = 4 };

struct mapping {
	int fd;
	unsigned char *at;
	struct bus_guard guard;
};

/* All ones. */
static void map(struct mapping *m)
{
	*m = (struct mapping){ .fd = memfd_create("shrinks", MFD_CLOEXEC) };
	assert_true(m->fd >= 0);
	assert_int_equal(ftruncate(m->fd, SIZE), 0);
	m->at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	assert_true(m->at != MAP_FAILED);
	memset(m->at, 1, SIZE);
}

static void shrink(const struct mapping *m, unsigned pages)
{
	assert_int_equal(ftruncate(m->fd, pages * PAGE), 0);
}

static void unmap(struct mapping *m)
{
	assert_int_equal(munmap(m->at, SIZE), 0);
	assert_int_equal(close(m->fd), 0);
}

/* While another thread's handler puts pages there: that is the point. */
__attribute__((no_sanitize_thread)) static unsigned sum(const struct mapping *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < SIZE; i += PAGE)
		n += *(const volatile unsigned char *)(m->at + i);
	return n;
}

static void shrunk(void **state)
{
	struct sigaction was, now;
	struct mapping m, other;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, NULL, &was), 0);
	map(&m);
	map(&other);
	bus_guard_begin(&m.guard, m.at, SIZE);
	bus_guard_begin(&other.guard, other.at, SIZE);
	assert_int_equal(sum(&m), PAGES);
	assert_true(atomic_load(&m.guard.lost) == BUS_GUARD_WHOLE);
	shrink(&m, 5);
	assert_int_equal(sum(&m), 5);
	assert_int_equal(atomic_load(&m.guard.lost), 5 * PAGE);
	/* for good: there is no way back to what it was */
	assert_int_equal(sum(&m), 0);
	assert_int_equal(sum(&other), PAGES);
	assert_true(atomic_load(&other.guard.lost) == BUS_GUARD_WHOLE);
	bus_guard_end(&m.guard);
	shrink(&other, 0);
	assert_int_equal(sum(&other), 0);
	bus_guard_end(&other.guard);
	bus_guard_end(&other.guard);
	unmap(&m);
	unmap(&other);
	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	assert_true(now.sa_handler == was.sa_handler);
	assert_int_equal(now.sa_flags, was.sa_flags);
}

static sigjmp_buf back;
static volatile sig_atomic_t got;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void note(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got = info->si_code == SI_TKILL ? sig : -1;
}

/* Two with a handler, of either kind, before us. */
static void passed_on(void **state)
{
	struct sigaction sa = { .sa_handler = jump }, was;
	struct mapping m, theirs;

	(void)state;
	map(&m);
	map(&theirs);
	assert_int_equal(sigaction(SIGBUS, &sa, &was), 0);
	bus_guard_begin(&m.guard, m.at, SIZE);
	shrink(&theirs, 0);
	if (!sigsetjmp(back, 1)) {
		(void)sum(&theirs);
		fail_msg("a fault went unseen");
	}
	bus_guard_end(&m.guard);
	sa.sa_sigaction = note;
	sa.sa_flags = SA_SIGINFO;
	assert_int_equal(sigaction(SIGBUS, &sa, NULL), 0);
	bus_guard_begin(&m.guard, m.at, SIZE);
	assert_int_equal(raise(SIGBUS), 0);
	assert_int_equal(got, SIGBUS);
	assert_true(atomic_load(&m.guard.lost) == BUS_GUARD_WHOLE);
	bus_guard_end(&m.guard);
	assert_int_equal(sigaction(SIGBUS, &was, NULL), 0);
	unmap(&m);
	unmap(&theirs);
}

static struct sigaction ours;

static void pass(int sig, siginfo_t *info, void *context)
{
	ours.sa_sigaction(sig, info, context);
}

/* One who comes after us, passes signals on, and stays. */
static void passed_to_us(void **state)
{
	struct sigaction sa = { .sa_sigaction = pass, .sa_flags = SA_SIGINFO };
	struct sigaction theirs = { .sa_sigaction = note,
				    .sa_flags = SA_SIGINFO };
	struct sigaction was;
	struct mapping m;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &theirs, &was), 0);
	for (int i = 0; i < 3; i++) {
		map(&m);
		bus_guard_begin(&m.guard, m.at, SIZE);
		if (i == 0)
			assert_int_equal(sigaction(SIGBUS, &sa, &ours), 0);
		if (i == 2) /* but no more */
			assert_int_equal(sigaction(SIGBUS, &ours, NULL), 0);
		shrink(&m, 1);
		assert_int_equal(sum(&m), 1);
		bus_guard_end(&m.guard);
		got = 0;
		assert_int_equal(raise(SIGBUS), 0);
		assert_int_equal(got, SIGBUS);
		unmap(&m);
	}
	assert_int_equal(sigaction(SIGBUS, &was, NULL), 0);
}

/* Without one it is the end, as it was before. */
static void deadly(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct mapping m;

		(void)signal(SIGBUS, SIG_DFL);
		map(&m);
		bus_guard_begin(&m.guard, m.at, SIZE / 2);
		shrink(&m, PAGES / 2);
		_exit((int)sum(&m));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void *read_all(void *arg)
{
	const struct mapping *m = arg;

	while (atomic_load(&m->guard.lost) == BUS_GUARD_WHOLE)
		(void)sum(m);
	return NULL;
}

static void many_readers(void **state)
{
	pthread_t readers[READERS];
	struct mapping m;

	(void)state;
	map(&m);
	bus_guard_begin(&m.guard, m.at, SIZE);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, read_all, &m), 0);
	shrink(&m, 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(readers[i], NULL), 0);
	bus_guard_end(&m.guard);
	unmap(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shrunk),	cmocka_unit_test(passed_on),
		cmocka_unit_test(passed_to_us), cmocka_unit_test(deadly),
		cmocka_unit_test(many_readers),
	};

	return cmocka_run_group_tests_name("bus_guard", tests, NULL, NULL);
}
