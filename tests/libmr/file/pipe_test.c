/* pipe_test.c - how much a pipe is given at a time. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "libmr/file/pipe.h"

static char bytes[128 << 10];

/* Older kernels do not say what a pipe takes without waiting. */
static bool can_be_asked(int fd)
{
	struct iovec one = { bytes, 1 };

	return pwritev2(fd, &one, 1, -1, RWF_NOWAIT) == 1;
}

static void all_that_it_takes(void **state)
{
	struct pipe_io p;
	int fds[2], room;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if (!can_be_asked(fds[1])) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		print_message("needs a kernel that writes to pipes without "
			      "waiting\n");
		skip();
	}
	assert_int_equal(read(fds[0], bytes, 1), 1);
	room = fcntl(fds[1], F_GETPIPE_SZ);
	assert_true(room > 0);
	assert_int_equal(pipe_init(&p, fds[1], NULL, NULL), 0);
	/* At once, and no more: it does not wait for somebody who reads. */
	assert_int_equal(p.io.ops->write(&p.io, bytes, sizeof(bytes), 0),
			 room < (int)sizeof(bytes) ? room : (int)sizeof(bytes));
	assert_int_equal(read(fds[0], bytes, 8192), 8192);
	if (room < (int)sizeof(bytes))
		assert_int_equal(
			p.io.ops->write(&p.io, bytes, sizeof(bytes), 0), 8192);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void little(void **state)
{
	struct pipe_io p;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(pipe_init(&p, fds[1], NULL, NULL), 0);
	assert_int_equal(p.io.ops->write(&p.io, "abc", 3, 0), 3);
	assert_int_equal(p.io.ops->write(&p.io, bytes, 4096, 3), 4096);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_it_takes),
		cmocka_unit_test(little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
