/* work_test.c - who is at work, by what the kernel counts of a process. */
#include "tests/libmr/unit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "libmr/vm/work.h"

#define NOBODY 65534
#define ROOM ((size_t)4 << 20)

/* A process that waits for an order, and writes to new memory then. */
struct worker {
	pid_t pid;
	int sock;
};

static void work(int sock)
{
	char order;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (recv(sock, &order, 1, 0) == 1) {
		char *p = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t i = 0; p != MAP_FAILED && i < ROOM; i += 4096)
			p[i] = 1;
		/* recv is no read */
		if (order == 'r' &&
		    read(open("/dev/zero", O_RDONLY), &order, 1) != 1)
			_exit(1);
		(void)send(sock, "", 1, 0);
	}
	_exit(0);
}

static int setup(void **state)
{
	static struct worker w;
	int fds[2];

	*state = &w;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -1;
	w.sock = fds[0];
	w.pid = fork();
	if (w.pid == 0) {
		(void)close(fds[0]);
		work(fds[1]);
	}
	(void)close(fds[1]);
	return w.pid < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct worker *w = *state;

	(void)close(w->sock);
	(void)waitpid(w->pid, NULL, 0);
	return 0;
}

static void have_it(const struct worker *w, char order)
{
	char done;

	assert_int_equal(send(w->sock, &order, 1, 0), 1);
	assert_int_equal(recv(w->sock, &done, 1, 0), 1);
}

static void as_long_as_it_reads(void **state)
{
	const struct worker *a = *state;
	struct work w;

	have_it(a, 'r');
	assert_true(work_read(a->pid) > 0);
	work_begin(&w, a->pid, 10, 100);
	assert_true(work_goes_on(&w, 109));
	assert_false(work_goes_on(&w, 110));
	have_it(a, 'r');
	assert_true(work_goes_on(&w, 200));
	assert_true(work_goes_on(&w, 209));
	assert_false(work_goes_on(&w, 210));
}

static void who_cannot_be_watched(void **state)
{
	struct work w;

	(void)state;
	assert_int_equal(work_read(0), 0);
	work_begin(&w, 0, 10, 100);
	assert_true(work_goes_on(&w, 109));
	assert_false(work_goes_on(&w, 110));
}

/* What another user's process reads is not told; that it faults is. */
static void another_users(void **state)
{
	const struct worker *a = *state;
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	have_it(a, 'r');
	pid = fork();
	if (pid == 0) {
		struct work w;

		if (setgid(NOBODY) || setuid(NOBODY) || work_read(a->pid))
			_exit(1);
		work_begin(&w, a->pid, 10, 100);
		if (work_goes_on(&w, 110))
			_exit(2);
		have_it(a, 'f');
		_exit(work_goes_on(&w, 110) ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define WITH_WORKER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKER(as_long_as_it_reads),
		cmocka_unit_test(who_cannot_be_watched),
		WITH_WORKER(another_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
