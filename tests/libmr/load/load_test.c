/* load_test.c - mr_load and a QEMU that does not get on with it. */
#include "tests/libmr/fake_qmp.h"

#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/lib/build.h"
#include "tests/libmr/folder.h"

#define PAGES 64
#define RET(json) "\"return\": " json

#define WAITS                                                                 \
	{ "query-status",                                                     \
	  RET("{\"status\": \"inmigrate\", \"running\": "                     \
	      "false}"),                                                      \
	  NULL },                                                             \
		{ "qom-get", RET("\"pc-i440fx-10.0-machine\""), NULL },       \
		{ "qom-list", RET("[]"), NULL },                              \
		{ "query-target", RET("{\"arch\": \"x86_64\"}"), NULL },      \
		{ "query-cpus-fast", RET("[{}]"), NULL },                     \
		{ "query-pci", RET("[]"), NULL },                             \
		{ "x-query-ramblock",                                         \
		  RET("{\"human-readable-text\": \"Block Name PSize Offset "  \
		      "Used Total "                                           \
		      "HVA RO\\n                  pc.ram    4 KiB  "          \
		      "0x0000000000000000 0x0000000000040000 "                \
		      "0x0000000000040000 "                                   \
		      "0x0000000000001000  rw\\n\"}"),                        \
		  NULL },                                                     \
		{ "query-migrate", RET("{}"), NULL },                         \
		{ "query-migrate-capabilities", RET("[]"), NULL },            \
		{ "migrate-set-parameters", RET("{}"), NULL },                \
		{ "query-migrate-parameters",                                 \
		  RET("{\"max-bandwidth\": 1, \"multifd-channels\": 2, "      \
		      "\"multifd-compression\": \"none\", \"direct-io\": "    \
		      "false}"),                                              \
		  NULL },                                                     \
		{ "query-fdsets", RET("[]"), NULL },                          \
		{ "remove-fd", RET("{}"), NULL },                             \
		{ "getfd", RET("{}"), NULL }, { "closefd", RET("{}"), NULL }, \
		{ "stop", RET("{}"), NULL }, { "cont", RET("{}"), NULL },     \
	{                                                                     \
		"add-fd", RET("{\"fdset-id\": 1}"), NULL                      \
	}

static const char *make_image(void)
{
	struct build_run run = { .first = 0, .n = PAGES };
	struct build_block block = { .name = "pc.ram",
				     .length = PAGES * 4096,
				     .runs = &run,
				     .n_runs = 1 };
	const char *path = in_dir("image");
	struct build b = { .page_size = 4096,
			   .ram_id = 2,
			   .next_id = 3,
			   .config = { .machine = "pc-i440fx-10.0",
				       .mapped_ram = true } };

	b.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &block, 1);
	build_bitmaps(&b, &block, 1);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "running");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	(void)close(b.fd);
	return path;
}

/* A process of its own: what it does is looked at. */
static pid_t serve_as(const char *path, const char *greeting,
		      const struct fake_says *says)
{
	static struct fake f;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ready[2];
	char byte;
	pid_t pid;

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (bind(line, (struct sockaddr *)&sa, sizeof(sa)) ||
		    listen(line, 1) || write(ready[1], "", 1) != 1)
			_exit(1);
		f = (struct fake){ .says = says, .greeting = greeting };
		f.fd = accept(line, NULL, NULL);
		(void)fake_serve(&f);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)close(line);
	return pid;
}

static pid_t serve(const char *path, const struct fake_says *says)
{
	return serve_as(path, FAKE_GREETING, says);
}

/* One that begins and does nothing is given up, and called lost. */
static void give_up(const struct fake_says *says, const char *said)
{
	const struct mr_load_options o = { .stall = 1 };
	const char *image = make_image(), *path = in_dir("vm");
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;
	pid_t pid = serve(path, says);

	assert_int_equal(mr_load(image, path, &o, &report, &err), -1);
	if (!strstr(err.msg, said))
		fail_msg("'%s' lacks '%s'", err.msg, said);
	assert_int_equal(err.code, MR_QMP);
	assert_int_equal(report.vm, MR_VM_LOST);
	assert_non_null(strstr(err.msg, "start a new QEMU"));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
}

static void no_answer(void **state)
{
	static const struct fake_says says[] = {
		WAITS, { "migrate-incoming", FAKE_SILENCE, NULL }, { 0 }
	};

	(void)state;
	give_up(says, "QEMU does not answer migrate-incoming");
}

static void no_end(void **state)
{
	static const struct fake_says says[] = {
		WAITS, { "migrate-incoming", RET("{}"), NULL }, { 0 }
	};

	(void)state;
	give_up(says, "QEMU has not got on with the loading for 1 s");
}

/* It said no: nothing has begun. */
static void a_no(void **state)
{
	static const struct fake_says says[] = {
		WAITS,
		{ "migrate-incoming", "\"error\": {\"desc\": \"no!\"}", NULL },
		{ 0 }
	};
	const struct mr_load_options o = { .stall = 1 };
	const char *image = make_image(), *path = in_dir("vm");
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;
	pid_t pid = serve(path, says);

	(void)state;
	assert_int_equal(mr_load(image, path, &o, &report, &err), -1);
	assert_string_equal(err.msg, "migrate-incoming: no!");
	assert_int_equal(report.vm, MR_VM_AS_FOUND);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
}

/* What it would take "fd:NAME" for is not asked. */
static void too_old(void **state)
{
	static const char greeting[] =
		"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, "
		"\"minor\": 1, \"major\": 4}, \"package\": \"\"}, "
		"\"capabilities\": []}}";
	static const struct fake_says says[] = { WAITS, { 0 } };
	const struct mr_load_options o = MR_LOAD_OPTIONS_INIT;
	const char *image = make_image(), *path = in_dir("vm");
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;
	pid_t pid = serve_as(path, greeting, says);

	(void)state;
	assert_int_equal(mr_load(image, path, &o, &report, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_non_null(strstr(err.msg, "QEMU 4.1 does not load"));
	assert_non_null(strstr(err.msg, "mrsend"));
	assert_int_equal(report.vm, MR_VM_UNTOUCHED);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
}

/* It is asked whether the image fits before anything is lent to it. */
static void old_does_not_fit(void **state)
{
	static const char greeting[] =
		"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, "
		"\"minor\": 2, \"major\": 5}, \"package\": \"\"}, "
		"\"capabilities\": []}}";
	static const struct fake_says says[] = {
		{ "human-monitor-command",
		  RET("\"Block Name PSize Offset Used Total\\r\\n"
		      "                  pc.ram    4 KiB  "
		      "0x0000000000000000 0x0000000000080000 "
		      "0x0000000000080000\\r\\n\""),
		  NULL },
		{ "getfd", "\"error\": {\"desc\": \"no!\"}", NULL },
		WAITS,
		{ 0 }
	};
	const struct mr_load_options o = MR_LOAD_OPTIONS_INIT;
	const char *image = make_image(), *path = in_dir("vm");
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;
	pid_t pid = serve_as(path, greeting, says);

	(void)state;
	assert_int_equal(mr_load(image, path, &o, &report, &err), -1);
	assert_int_equal(err.code, MR_MISMATCH);
	assert_int_equal(report.mismatches, 1);
	assert_int_equal(report.way, MR_LOAD_SENT);
	assert_string_equal(report.why,
			    "QEMU 5.2 has no mapped-ram, that came with 9.0");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
}

static void verified_as(const struct mr_file_mark *mark, bool same)
{
	const struct mr_load_options o = { .verified = mark };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_load_report report;

	/* There is no VM: who gets to it, has the file that was verified. */
	assert_int_equal(
		mr_load(in_dir("image"), in_dir("none"), &o, &report, &err),
		-1);
	assert_int_equal(report.vm, MR_VM_UNTOUCHED);
	assert_int_equal(err.who, same ? 2 : 1);
	assert_int_equal(err.code, same ? MR_SYS : MR_MISMATCH);
	if (!same)
		assert_string_equal(err.msg, "written to, or replaced, since "
					     "it was verified");
}

static void verified(void **state)
{
	const struct mr_verify_options o = { .jobs = 1 };
	const struct timespec then[2] = { { .tv_nsec = UTIME_OMIT },
					  { .tv_sec = 1000000000 } };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report r;
	const char *image = make_image();

	(void)state;
	assert_int_equal(mr_verify(image, &o, &r, &err), 0);
	verified_as(&r.mark, true);
	for (unsigned i = 0; i < 7; i++) {
		struct mr_file_mark other = r.mark;
		uint64_t *const of[] = { &other.device,
					 &other.inode,
					 &other.size,
					 (uint64_t *)&other.written,
					 (uint64_t *)&other.written_ns,
					 (uint64_t *)&other.changed,
					 (uint64_t *)&other.changed_ns };

		*of[i] ^= 1;
		verified_as(&other, false);
	}
	/* Somebody puts the time back. */
	assert_int_equal(utimensat(AT_FDCWD, image, then, 0), 0);
	verified_as(&r.mark, false);
	assert_int_equal(mr_verify(image, &o, &r, &err), 0);
	verified_as(&r.mark, true);
	/* The same in another file. */
	assert_int_equal(unlink(image), 0);
	(void)make_image();
	assert_int_equal(utimensat(AT_FDCWD, image, then, 0), 0);
	verified_as(&r.mark, false);
}

#define STATUS(text)                                                           \
	{                                                                      \
		"query-status",                                                \
			RET("{\"status\": \"" text "\", \"running\": false}"), \
			NULL                                                   \
	}
#define COMPLETES                                                            \
	{                                                                    \
		"migrate-incoming", RET("{}"),                               \
			"{\"event\": \"MIGRATION\", \"data\": {\"status\": " \
			"\"completed\"}}\n"                                  \
	}

/* Somebody writes to it: what is noted comes behind the last look at it that
 * leaves QEMU alone. */
static void touch(void *arg, const char *line)
{
	assert_non_null(strstr(line, "channels"));
	assert_int_equal(utimensat(AT_FDCWD, arg, NULL, 0), 0);
}

/* The guest goes on when it is known what it has. */
static void verified_to_the_end(void **state)
{
	static const struct fake_says good[] = { STATUS("inmigrate"),
						 STATUS("paused"),
						 STATUS("running"),
						 COMPLETES,
						 WAITS,
						 { 0 } };
	/* To let it run would end the connection. */
	static const struct fake_says bad[] = { STATUS("inmigrate"),
						{ "cont", NULL, NULL },
						COMPLETES,
						WAITS,
						{ 0 } };
	const struct mr_verify_options v = { .jobs = 1 };
	struct mr_load_options o = { .force = true };
	struct mr_error err = MR_ERROR_INIT;
	const char *image = make_image(), *path = in_dir("vm");
	struct mr_load_report report;
	struct mr_verify_report r;
	pid_t pid;

	(void)state;
	assert_int_equal(mr_verify(image, &v, &r, &err), 0);
	o.verified = &r.mark;
	pid = serve(path, good);
	assert_int_equal(mr_load(image, path, &o, &report, &err), 0);
	assert_string_equal(report.run_state, "running");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
	o.watch = (struct mr_watch){ .note = touch,
				     .arg = (void *)(uintptr_t)image };
	pid = serve(path, bad);
	assert_int_equal(mr_load(image, path, &o, &report, &err), -1);
	assert_int_equal(err.code, MR_MISMATCH);
	assert_int_equal(err.who, 1);
	assert_string_equal(err.msg,
			    "written to, or replaced, while it was loaded: "
			    "what the VM has is not what was verified; start a "
			    "new QEMU for the next try");
	assert_int_equal(report.vm, MR_VM_LOST);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_answer),
		cmocka_unit_test(no_end),
		cmocka_unit_test(a_no),
		cmocka_unit_test(too_old),
		cmocka_unit_test(old_does_not_fit),
		cmocka_unit_test(verified),
		cmocka_unit_test(verified_to_the_end),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
