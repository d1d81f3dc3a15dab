/*
 * save_qemu_test.c - QEMU saves itself, and takes its time about the end.
 *
 * The VM is this process: it speaks as much QMP as mr_save asks for, and when
 * it is told to migrate it writes an image, says that this is completed, and
 * stays in finish-migrate, where `cont` is refused, until it has been asked a
 * few times more. The saver is a child, which may be killed then.
 */
#include "tests/libmr/unit.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "libmr/base/error.h"
#include "tests/lib/build.h"
#include "tests/libmr/folder.h"

/* Far beyond what anything here takes: who waits so long has failed. */
#define AMPLE 60000
/* Long enough to see a second command where there is one. */
#define IMPATIENT 20
/* Pages of the only block. */
#define PAGES 64

enum run_state { RUNNING, PAUSED, FINISHING, POSTMIGRATE };

struct vm {
	int fd; /* the connection */
	int file; /* what was handed over first, or -1 */
	char line[1 << 16]; /* the command in hand */
	enum run_state state;
	bool completed; /* a migration was */
	/* While finishing: requests until that is over, and those that saw
	 * it. */
	unsigned left, saw, refused;
	pid_t saver;
	bool kill; /* the saver, once the VM is finishing */
};

/* ---- what it says ---- */

static void say(const struct vm *vm, json_t *msg)
{
	char *line = json_dumps(msg, JSON_COMPACT);
	size_t len;

	assert_non_null(line);
	len = strlen(line);
	line[len++] = '\n'; /* in the place of its end */
	for (size_t done = 0; done < len;) {
		ssize_t n = send(vm->fd, line + done, len - done, MSG_NOSIGNAL);

		if (n <= 0)
			break; /* who asked is gone */
		done += (size_t)n;
	}
	free(line);
	json_decref(msg);
}

static json_t *refuse(const char *why)
{
	return json_pack("{s:{s:s,s:s}}", "error", "class", "GenericError",
			 "desc", why);
}

static json_t *returns(json_t *value)
{
	return json_pack("{s:o}", "return", value);
}

static json_t *say_status(const struct vm *vm)
{
	static const char *const names[] = { "running", "paused",
					     "finish-migrate", "postmigrate" };

	return returns(json_pack("{s:s,s:b}", "status", names[vm->state],
				 "running", vm->state == RUNNING));
}

static json_t *say_blocks(void)
{
	char *text = NULL;
	json_t *ret;

	assert_true(asprintf(&text,
			     "Block Name PSize Offset Used Total HVA RO\n"
			     "%24s %8s  0x%016x 0x%016x 0x%016x 0x%016x  rw\n",
			     "pc.ram", "4 KiB", 0, PAGES * 4096, PAGES * 4096,
			     0x10000000) > 0);
	ret = json_pack("{s:s}", "human-readable-text", text);
	free(text);
	return returns(ret);
}

static json_t *say_migration(const struct vm *vm)
{
	if (!vm->completed)
		return returns(json_object());
	return returns(json_pack("{s:s,s:i,s:{s:i,s:i,s:i,s:i,s:i}}", "status",
				 "completed", "downtime", 5, "ram", "total",
				 PAGES * 4096, "remaining", 0, "normal", PAGES,
				 "duplicate", 0, "page-size", 4096));
}

static json_t *say_capabilities(void)
{
	static const char *const names[] = { "events", "multifd",
					     "mapped-ram" };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s,s:b}", "capability",
						      names[i], "state", 0));
	return returns(list);
}

/* ---- what it does ---- */

/* build.h reads too, which QEMU's descriptor does not allow. */
static void write_image(int to)
{
	struct build_run run = { .first = 0, .n = PAGES };
	struct build_block block = { .name = "pc.ram",
				     .length = PAGES * 4096,
				     .runs = &run,
				     .n_runs = 1 };
	struct build b = { .fd = memfd_create("image", MFD_CLOEXEC),
			   .page_size = 4096,
			   .ram_id = 2,
			   .next_id = 3,
			   .config = { .machine = "pc-i440fx-10.0",
				       .mapped_ram = true } };

	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &block, 1);
	build_bitmaps(&b, &block, 1);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "paused");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	assert_int_equal(lseek(b.fd, 0, SEEK_SET), 0);
	assert_int_equal(sendfile(to, b.fd, NULL, b.at), b.at);
	(void)close(b.fd);
}

/* What a VM that stands still is asked for beforehand. */
static json_t *device_state(struct vm *vm)
{
	struct build b = { .fd = memfd_create("state", MFD_CLOEXEC),
			   .page_size = 4096,
			   .ram_id = 2,
			   .next_id = 3 };

	assert_true(vm->file >= 0);
	build_header(&b);
	build_globalstate(&b, "running");
	build_eof(&b);
	assert_int_equal(lseek(b.fd, 0, SEEK_SET), 0);
	assert_int_equal(sendfile(vm->file, b.fd, NULL, b.at), b.at);
	json_decref(b.devices); /* it is without a description */
	(void)close(b.fd);
	(void)close(vm->file);
	vm->file = -1;
	return returns(json_object());
}

static json_t *migrate(struct vm *vm)
{
	assert_true(vm->file >= 0);
	write_image(vm->file);
	vm->completed = true;
	vm->state = FINISHING;
	say(vm, json_pack("{s:s,s:{s:s}}", "event", "MIGRATION", "data",
			  "status", "completed"));
	return returns(json_object());
}

static json_t *cont(struct vm *vm)
{
	if (vm->state == FINISHING) {
		vm->refused++;
		return refuse("Migration is not finalized yet");
	}
	vm->state = RUNNING;
	return returns(json_object());
}

static json_t *stop(struct vm *vm)
{
	if (vm->state == RUNNING)
		vm->state = PAUSED;
	return returns(json_object());
}

/* Whoever asks for the run state, or for it to end, brings that nearer. */
static void go_on(struct vm *vm)
{
	if (vm->state != FINISHING)
		return;
	vm->saw++;
	if (!--vm->left)
		vm->state = POSTMIGRATE;
}

/* The saver has seen "completed" and looks whether it may let the VM run. */
static bool kills(struct vm *vm)
{
	if (!vm->kill || vm->state != FINISHING)
		return false;
	vm->kill = false;
	assert_int_equal(kill(vm->saver, SIGKILL), 0);
	return true;
}

static json_t *answer(struct vm *vm, const char *command)
{
	json_t *ret;

	if (!strcmp(command, "query-status")) {
		ret = say_status(vm);
		go_on(vm);
		return ret;
	}
	if (!strcmp(command, "cont")) {
		ret = cont(vm);
		go_on(vm);
		return ret;
	}
	if (!strcmp(command, "stop"))
		return stop(vm);
	if (!strcmp(command, "migrate"))
		return migrate(vm);
	if (!strcmp(command, "query-target"))
		return returns(json_pack("{s:s}", "arch", "x86_64"));
	if (!strcmp(command, "query-migrate"))
		return say_migration(vm);
	if (!strcmp(command, "query-migrate-capabilities"))
		return say_capabilities();
	if (!strcmp(command, "xen-save-devices-state"))
		return device_state(vm);
	if (!strcmp(command, "getfd")) { /* a probe */
		(void)close(vm->file);
		vm->file = -1;
	}
	if (!strcmp(command, "query-fdsets"))
		return returns(json_array());
	if (!strcmp(command, "query-block-jobs"))
		return returns(json_array());
	if (!strcmp(command, "query-migrate-parameters"))
		return returns(json_pack("{s:i,s:i,s:s,s:b}", "max-bandwidth",
					 1 << 27, "multifd-channels", 2,
					 "multifd-compression", "none",
					 "direct-io", 0));
	if (!strcmp(command, "x-query-ramblock"))
		return say_blocks();
	if (!strcmp(command, "qom-get"))
		return returns(json_string("pc-i440fx-10.0-machine"));
	if (!strcmp(command, "add-fd"))
		return returns(json_pack("{s:i,s:i}", "fdset-id", 0, "fd", 9));
	return returns(json_object());
}

/* ---- the connection ---- */

/* One byte, and a descriptor that comes with it. */
static bool hear(struct vm *vm, char *c)
{
	char space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = c, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space) };
	struct pollfd p = { .fd = vm->fd, .events = POLLIN };
	const struct cmsghdr *cm;
	int fd;

	assert_int_equal(poll(&p, 1, AMPLE), 1);
	if (recvmsg(vm->fd, &m, MSG_CMSG_CLOEXEC) <= 0)
		return false;
	cm = CMSG_FIRSTHDR(&m);
	if (!cm || cm->cmsg_type != SCM_RIGHTS)
		return true;
	memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	if (vm->file < 0)
		vm->file = fd;
	else
		(void)close(fd);
	return true;
}

static bool hear_line(struct vm *vm)
{
	size_t len = 0;
	char c;

	while (hear(vm, &c)) {
		if (c == '\n') {
			vm->line[len] = '\0';
			return true;
		}
		assert_true(len < sizeof(vm->line) - 1);
		vm->line[len++] = c;
	}
	return false;
}

/* Proxies stop over a command that comes before its forerunner is answered. */
static void expect_one_at_a_time(const struct vm *vm)
{
	struct pollfd p = { .fd = vm->fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, IMPATIENT), 0);
}

static void serve(struct vm *vm)
{
	say(vm, json_pack("{s:{s:{s:{s:i,s:i,s:i}},s:[]}}", "QMP", "version",
			  "qemu", "major", 10, "minor", 0, "micro", 2,
			  "capabilities"));
	while (hear_line(vm)) {
		json_t *msg = json_loads(vm->line, 0, NULL), *ret;
		const char *command =
			json_string_value(json_object_get(msg, "execute"));

		if (!command) { /* the guardian's resync */
			say(vm, refuse("JSON parse error"));
			json_decref(msg);
			continue;
		}
		if (!strcmp(command, "query-status") && kills(vm)) {
			json_decref(msg);
			continue;
		}
		expect_one_at_a_time(vm);
		ret = answer(vm, command);
		(void)json_object_set(ret, "id", json_object_get(msg, "id"));
		say(vm, ret);
		json_decref(msg);
	}
}

/* ---- a scene ---- */

struct scene {
	struct vm vm;
	char socket[200], image[200];
	int listener, status; /* the saver's */
};

static void listen_at(struct scene *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(s->socket, sizeof(s->socket), "%s/vm.qmp", folder);
	(void)snprintf(s->image, sizeof(s->image), "%s/image", folder);
	(void)unlink(s->socket);
	(void)unlink(s->image);
	assert_true(strlen(s->socket) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, s->socket, strlen(s->socket) + 1);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->listener >= 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)),
			 0);
	assert_int_equal(listen(s->listener, 1), 0);
}

/* The saver's exit status: what became of the VM, 100 more if it failed. */
static int save(const struct scene *s, bool live)
{
	struct mr_save_options o = MR_SAVE_OPTIONS_INIT;
	struct mr_save_report r = { .vm = MR_VM_UNTOUCHED };
	struct mr_error err = MR_ERROR_INIT;
	int rc;

	o.engine = MR_ENGINE_QEMU;
	o.direct = MR_DIRECT_OFF;
	o.live = live ? MR_LIVE_PRECOPY : MR_LIVE_OFF;
	rc = mr_save(s->socket, s->image, &o, &r, &err);
	if (rc)
		(void)fprintf(stderr, "%s\n", err.msg);
	return (int)r.vm + (rc ? 100 : 0);
}

/* A save of a VM in that state, which is finishing for so many requests. */
static void play(struct scene *s, enum run_state state, bool live,
		 unsigned finishing, bool with_kill)
{
	struct pollfd p;

	memset(s, 0, sizeof(*s));
	listen_at(s);
	s->vm.file = -1;
	s->vm.state = state;
	s->vm.left = finishing;
	s->vm.kill = with_kill;
	s->vm.saver = fork();
	assert_true(s->vm.saver >= 0);
	if (!s->vm.saver) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(s->listener);
		_exit(save(s, live));
	}
	p = (struct pollfd){ .fd = s->listener, .events = POLLIN };
	assert_int_equal(poll(&p, 1, AMPLE), 1);
	s->vm.fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(s->vm.fd >= 0);
	/* Its end is that of the saver and of its guardian. */
	serve(&s->vm);
	assert_int_equal(waitpid(s->vm.saver, &s->status, 0), s->vm.saver);
	(void)close(s->vm.fd);
	(void)close(s->listener);
	if (s->vm.file >= 0)
		(void)close(s->vm.file);
}

/* ---- tests ---- */

static void expect_saved(const struct scene *s, enum run_state state,
			 enum mr_vm_fate fate, const char *saved_state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;

	assert_true(WIFEXITED(s->status));
	assert_int_equal(WEXITSTATUS(s->status), fate);
	assert_int_equal(s->vm.state, state);
	assert_int_equal(s->vm.refused, 0);
	img = mr_image_open(s->image, MR_DIRECT_OFF, NULL, &err);
	assert_string_equal(err.msg, "");
	assert_string_equal(mr_image_info(img)->run_state, saved_state);
	mr_image_free(img);
}

/* QEMU is finishing when the saver first looks: it waits, then goes on. */
static void waits_until_cont_is_taken(void **state)
{
	struct scene s;

	(void)state;
	for (int live = 0; live < 2; live++) {
		play(&s, RUNNING, live, 5, false);
		assert_int_equal(s.vm.saw, 5);
		expect_saved(&s, RUNNING, MR_VM_AS_FOUND, "running");
	}
}

static void waits_for_a_paused_vm_too(void **state)
{
	struct scene s;

	(void)state;
	play(&s, PAUSED, false, 5, false);
	assert_int_equal(s.vm.saw, 5);
	expect_saved(&s, POSTMIGRATE, MR_VM_POSTMIGRATE, "paused");
}

/* Then the guardian sends `cont` until it is taken. */
static void killed_while_it_finishes(void **state)
{
	struct scene s;

	(void)state;
	for (int live = 0; live < 2; live++) {
		play(&s, RUNNING, live, 5, true);
		assert_true(WIFSIGNALED(s.status));
		assert_int_equal(s.vm.refused, 5);
		assert_int_equal(s.vm.state, RUNNING);
		assert_int_equal(access(s.image, F_OK), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_until_cont_is_taken),
		cmocka_unit_test(waits_for_a_paused_vm_too),
		cmocka_unit_test(killed_while_it_finishes),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
