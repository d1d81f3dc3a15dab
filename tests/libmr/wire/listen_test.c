/* listen_test.c - the socket of a listener: its mode, and who has it. */
#include "tests/libmr/folder.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "libmr/wire/address.h"
#include "libmr/wire/listen.h"

enum { STARTERS = 4, ROUNDS = 300 };

static const char *uri_of(const char *name)
{
	static char uri[128];

	(void)snprintf(uri, sizeof(uri), "unix:%s", in_dir(name));
	return uri;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	return st.st_mode & 07777;
}

static void test_mode_under_any_umask(void **state)
{
	static const mode_t masks[] = { 0, 022, 0177, 0277, 0777 };
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
		struct listener l = LISTENER_NONE;
		mode_t before = umask(masks[i]);

		assert_int_equal(listener_open(&l, uri_of("mode"), &err), 0);
		assert_int_equal(mode_of(in_dir("mode")), 0600);
		assert_int_equal(umask(before), masks[i]);
		listener_close(&l);
		assert_int_equal(access(in_dir("mode"), F_OK), -1);
	}
}

static void test_relative_path(void **state)
{
	struct listener l = LISTENER_NONE;
	struct mr_error err = MR_ERROR_INIT;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(here >= 0);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(listener_open(&l, "unix:relative", &err), 0);
	assert_int_equal(mode_of("relative"), 0600);
	listener_close(&l);
	assert_int_equal(fchdir(here), 0);
	(void)close(here);
}

/* ---- several begin at once ---- */

/* A socket that nobody listens to any more. */
static void leave_dead(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	(void)close(fd);
}

struct starter {
	pthread_t thread;
	pthread_barrier_t *gun;
	const char *uri;
	struct listener l;
	int rc, sys;
};

static void *start(void *arg)
{
	struct starter *s = arg;
	struct mr_error err = MR_ERROR_INIT;

	(void)pthread_barrier_wait(s->gun);
	s->rc = listener_open(&s->l, s->uri, &err);
	s->sys = err.sys;
	return NULL;
}

/* Who connects to the path comes to the listener. */
static bool is_reached(struct listener *l, const char *uri)
{
	struct mr_error err = MR_ERROR_INIT;
	struct wire w = WIRE_NONE;
	struct address a;
	int fd = -1, came = -1;
	bool reached = false;

	assert_int_equal(wire_begin(&w, 10, NULL, &err), 0);
	assert_int_equal(address_parse(&a, uri, &err), 0);
	if (!address_dial(&a, &w, &fd, &err) &&
	    listener_accept(l, &came, &err) > 0) {
		reached = true;
		(void)close(came);
	}
	if (fd >= 0)
		(void)close(fd);
	wire_release(&w);
	return reached;
}

static void test_one_of_many_gets_a_dead_socket(void **state)
{
	const char *uri = uri_of("dead");

	(void)state;
	for (int round = 0; round < ROUNDS / ONE_OF; round++) {
		struct starter s[STARTERS];
		pthread_barrier_t gun;
		struct listener *won = NULL;

		leave_dead(in_dir("dead"));
		assert_int_equal(pthread_barrier_init(&gun, NULL, STARTERS), 0);
		for (int i = 0; i < STARTERS; i++) {
			s[i] = (struct starter){ .gun = &gun,
						 .uri = uri,
						 .l = LISTENER_NONE };
			assert_int_equal(pthread_create(&s[i].thread, NULL,
							start, &s[i]),
					 0);
		}
		for (int i = 0; i < STARTERS; i++)
			assert_int_equal(pthread_join(s[i].thread, NULL), 0);
		for (int i = 0; i < STARTERS; i++) {
			if (s[i].rc) {
				assert_int_equal(s[i].sys, EADDRINUSE);
				continue;
			}
			assert_null(won);
			won = &s[i].l;
		}
		assert_non_null(won);
		/* One who lost takes nothing with him. */
		for (int i = 0; i < STARTERS; i++)
			if (s[i].rc)
				listener_close(&s[i].l);
		assert_true(is_reached(won, uri));
		listener_close(won);
		assert_int_equal(access(in_dir("dead"), F_OK), -1);
		(void)pthread_barrier_destroy(&gun);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mode_under_any_umask),
		cmocka_unit_test(test_relative_path),
		cmocka_unit_test(test_one_of_many_gets_a_dead_socket),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
