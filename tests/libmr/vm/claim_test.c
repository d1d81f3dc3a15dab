/* claim_test.c - one saver at a time, and nobody is kept out for ever. */
#include "tests/libmr/unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "libmr/vm/claim.h"

static void one_at_a_time(void **state)
{
	struct claim a = CLAIM_NONE, b = CLAIM_NONE;
	struct mr_error err = MR_ERROR_INIT;
	char text[64];

	(void)state;
	assert_int_equal(claim_take(&a, getpid(), true, &err), 0);
	assert_int_equal(a.fd, -1); /* it only looked */
	assert_int_equal(claim_take(&a, getpid(), false, &err), 0);
	assert_true(a.fd >= 0);
	/* another VM's is another one */
	assert_int_equal(claim_take(&b, getppid(), false, &err), 0);
	claim_release(&b);
	for (int look = 0; look < 2; look++) {
		err = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(claim_take(&b, getpid(), look, &err), -1);
		assert_int_equal(err.code, MR_REFUSED);
		(void)snprintf(text, sizeof(text), "process %d of user %u ",
			       (int)getpid(), (unsigned)getuid());
		assert_non_null(strstr(err.msg, text));
		assert_int_equal(b.fd, -1);
	}
	claim_release(&a);
	assert_int_equal(claim_take(&b, getpid(), false, NULL), 0);
	claim_release(&b);
	claim_release(&b);
}

/* Without a process there is nothing to be claimed. */
static void no_process(void **state)
{
	struct claim a = CLAIM_NONE, b = CLAIM_NONE;

	(void)state;
	assert_int_equal(claim_take(&a, 0, false, NULL), 0);
	assert_int_equal(claim_take(&b, 0, false, NULL), 0);
	assert_int_equal(a.fd, -1);
	assert_int_equal(b.fd, -1);
}

/* A child that does something to the name, and says so. */
static pid_t child(void (*fn)(struct claim *), int *said)
{
	pid_t vm = getpid(), pid;
	int line[2];
	char byte;

	assert_int_equal(pipe2(line, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct claim c = CLAIM_NONE;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (claim_take(&c, vm, false, NULL))
			_exit(1);
		fn(&c);
		(void)!write(line[1], "", 1);
		for (;;)
			(void)pause();
	}
	(void)close(line[1]);
	assert_int_equal(read(line[0], &byte, 1), 1);
	*said = line[0];
	return pid;
}

static void nothing(struct claim *c)
{
	(void)c;
}

static void gone_with_the_process(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct claim c = CLAIM_NONE;
	int said, status;
	pid_t pid = child(nothing, &said);
	char text[64];

	(void)state;
	assert_int_equal(claim_take(&c, getpid(), false, &err), -1);
	(void)snprintf(text, sizeof(text), "process %d ", (int)pid);
	assert_non_null(strstr(err.msg, text));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(claim_take(&c, getpid(), false, NULL), 0);
	assert_true(c.fd >= 0);
	claim_release(&c);
	(void)close(said);
}

static int heir_line[2];

/* A guardian, which lives until it is told. */
static void with_an_heir(struct claim *c)
{
	char byte;

	(void)c;
	if (fork())
		return;
	(void)close(heir_line[1]);
	(void)!read(heir_line[0], &byte, 1);
	(void)poll(NULL, 0, 200); /* and is seen to work */
	_exit(0);
}

/* The holder is dead, its guardian at work: that is waited for. */
static void waits_for_the_guardian(void **state)
{
	struct claim c = CLAIM_NONE;
	int said, status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(heir_line, O_CLOEXEC), 0);
	pid = child(with_an_heir, &said);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(heir_line[0]);
	(void)close(heir_line[1]); /* now it goes */
	assert_int_equal(claim_take(&c, getpid(), false, NULL), 0);
	assert_true(c.fd >= 0);
	claim_release(&c);
	(void)close(said);
}

static void as_somebody_else(struct claim *c)
{
	pid_t vm = getppid();

	claim_release(c);
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
	    claim_take(c, vm, false, NULL) || c->fd < 0)
		_exit(1);
}

/* Who has no right over the VM keeps nobody from it. */
static void a_stranger(void **state)
{
	struct claim c = CLAIM_NONE;
	int said;
	pid_t pid;

	(void)state;
	if (getuid())
		skip();
	pid = child(as_somebody_else, &said);
	assert_int_equal(claim_take(&c, getpid(), false, NULL), 0);
	assert_int_equal(c.fd, -1);
	assert_int_equal(c.stranger, pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(no_process),
		cmocka_unit_test(gone_with_the_process),
		cmocka_unit_test(waits_for_the_guardian),
		cmocka_unit_test(a_stranger),
	};

	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
