/* guest_test.c - what QMP tells about a VM, from kind and from hostile text. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "libmr/vm/guest.h"
#include "libmr/vm/qmp.h"

#define HEADER                                                                 \
	"              Block Name    PSize              Offset               " \
	"Used              Total                HVA  RO\r\n"
#define OFFSET " 0x0000000000000000"
#define MIB16 " 0x0000000001000000"
#define HVA " 0x00007f3e41600000"
#define TAIL OFFSET MIB16 MIB16 HVA "  rw\r\n"

static struct guest_block *blocks;
static size_t n_blocks;

static int parse(const char *lines, struct mr_error *err)
{
	char *text = malloc(strlen(HEADER) + strlen(lines) + 1);
	int rc;

	assert_non_null(text);
	(void)sprintf(text, HEADER "%s", lines);
	rc = guest_parse_ramblock(text, true, &blocks, &n_blocks, err);
	free(text);
	return rc;
}

static void ramblock_of_a_real_vm(void **state)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(parse("                      m0    2 MiB " OFFSET MIB16
			       " 0x0000000040000000" HVA "  rw\r\n"
			       "0000:00:02.0/virtio-vga.rom    4 KiB " TAIL
			       "    /rom@etc/acpi/tables   64 KiB " OFFSET
			       " 0x0000000000020000 0x0000000000200000"
			       " 0x0000000000001000  ro\r\n",
			       &err),
			 0);
	assert_int_equal(n_blocks, 3);
	assert_string_equal(blocks[0].name, "m0");
	assert_int_equal(blocks[0].page_size, 2 << 20);
	assert_int_equal(blocks[0].used, 16 << 20);
	assert_int_equal(blocks[0].total, 1 << 30);
	assert_int_equal(blocks[0].hva, 0x7f3e41600000);
	assert_true(blocks[0].migratable);
	assert_string_equal(blocks[1].name, "0000:00:02.0/virtio-vga.rom");
	assert_int_equal(blocks[1].page_size, 4096);
	assert_string_equal(blocks[2].name, "/rom@etc/acpi/tables");
	assert_int_equal(blocks[2].page_size, 65536);
	assert_int_equal(blocks[2].used, 0x20000);
	assert_int_equal(blocks[2].total, 0x200000);
	free(blocks);
}

static void names_that_look_like_columns(void **state)
{
	static const char *const names[] = {
		"sram A1",
		"VMApple Config",
		"4 KiB",
		"x    4 KiB  0x0000000000000000 0x0000000000000000 rw",
		"0x00007f3e41600000",
		"rw",
		"a  b ",
		"\xff\xfe",
		"a-name-of-exactly-24-byt",
	};
	struct mr_error err = MR_ERROR_INIT;
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		(void)snprintf(text, sizeof(text), "%24s %8s " TAIL, names[i],
			       "4 KiB");
		assert_int_equal(parse(text, &err), 0);
		assert_int_equal(n_blocks, 1);
		assert_string_equal(blocks[0].name, names[i]);
		free(blocks);
	}
	(void)snprintf(text, sizeof(text), "%0255d    4 KiB " TAIL, 0);
	assert_int_equal(parse(text, &err), 0);
	assert_int_equal(strlen(blocks[0].name), 255);
	free(blocks);
}

/* Blocks without a name are not migratable: any number of them, and their
 * figures are nobody's business. */
static void empty_names(void **state)
{
	static const char line[] = "                            4 KiB " OFFSET
				   " 0x0000000000000001 0x0000000000000000"
				   " 0x0000000000000000  rw\r\n";
	struct mr_error err = MR_ERROR_INIT;
	char text[1024];

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s%24s    4 KiB " TAIL, line,
		       line, "pc.ram");
	assert_int_equal(parse(text, &err), 0);
	assert_int_equal(n_blocks, 3);
	assert_false(blocks[0].migratable);
	assert_false(blocks[1].migratable);
	assert_string_equal(blocks[1].name, "");
	assert_true(blocks[2].migratable);
	free(blocks);
	assert_int_equal(parse("", &err), 0);
	assert_int_equal(n_blocks, 0);
	free(blocks);
}

static void refuse(const char *lines, enum mr_code code, const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(parse(lines, &err), -1);
	assert_null(blocks);
	assert_int_equal(n_blocks, 0);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text))
		fail_msg("'%s' lacks '%s'", err.msg, text);
}

static void hostile_ramblock(void **state)
{
	static const char form[] = "line of another form";
	char text[1024];

	(void)state;
	/* QEMU 7: no HVA, no RO */
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 "\r\n", MR_UNSUPPORTED,
	       "before 8.0");
	refuse("rubbish", MR_UNSUPPORTED, "no HVA");
	refuse("rw", MR_QMP, form);
	refuse("pc.ram 4 KiB" OFFSET MIB16 HVA " rw", MR_QMP, form);
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 " 0x7f3e41600000  rw",
	       MR_QMP, form);
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 " 0x00007f3e416000zz  rw",
	       MR_QMP, form);
	refuse("pc.ram    4 PiB " TAIL, MR_QMP, form);
	refuse("pc.ram   -4 KiB " TAIL, MR_QMP, form);
	refuse("pc.ram99999 KiB " TAIL, MR_QMP, form);
	refuse("pc.ram  KiB " TAIL, MR_QMP, form);
	refuse("4 KiB " TAIL, MR_QMP, form);
	refuse("KiB " TAIL, MR_QMP, form);
	refuse("pc.ram    3 KiB " TAIL, MR_QMP, "impossible page size");
	refuse("pc.ram    0 KiB " TAIL, MR_QMP, "impossible page size");
	refuse("pc.ram    2 KiB " TAIL, MR_QMP, "impossible page size");
	refuse("pc.ram    4 KiB " OFFSET " 0x0000000001000001" MIB16 HVA " rw",
	       MR_QMP, "impossible used length");
	refuse("pc.ram    4 KiB " OFFSET " 0x0000000001001000" MIB16 HVA " rw",
	       MR_QMP, "impossible used length");
	refuse("pc.ram    4 KiB " OFFSET MIB16 " 0xfffffffffffff000" HVA " rw",
	       MR_QMP, "impossible extent");
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 " 0x7ffffffffffff000 rw",
	       MR_QMP, "impossible extent");
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 " 0x00007f3e41600010 rw",
	       MR_QMP, "impossible address");
	refuse("pc.ram    4 KiB " OFFSET MIB16 MIB16 OFFSET " rw", MR_QMP,
	       "impossible address");
	refuse("pc.ram    4 KiB " TAIL "pc.ram    4 KiB " TAIL, MR_QMP,
	       "two blocks are named 'pc.ram'");
	(void)snprintf(text, sizeof(text), "%0256d    4 KiB " TAIL, 0);
	refuse(text, MR_QMP, form);
}

/* A QEMU before 8.0 does not tell where its memory is. */
static void ramblock_without_places(void **state)
{
	static const char text[] = "Block Name PSize Offset Used Total\r\n"
				   "                  pc.ram    4 KiB " OFFSET
				   " 0x0000000000040000 0x0000000001000000\r\n";
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	assert_int_equal(
		guest_parse_ramblock(text, false, &blocks, &n_blocks, &err), 0);
	assert_int_equal(n_blocks, 1);
	assert_string_equal(blocks[0].name, "pc.ram");
	assert_int_equal(blocks[0].used, 0x40000);
	assert_int_equal(blocks[0].total, 16 << 20);
	assert_int_equal(blocks[0].hva, 0);
	free(blocks);
	assert_int_equal(
		guest_parse_ramblock("Block Name\npc.ram    4 KiB " TAIL, false,
				     &blocks, &n_blocks, &err),
		-1);
	assert_int_equal(err.code, MR_QMP);
}

static void every_truncation_is_refused(void **state)
{
	static const char line[] = "                  pc.ram    4 KiB " TAIL;
	char text[sizeof(line)];

	(void)state;
	for (size_t len = 1; len < sizeof(line) - 3; len++) {
		struct mr_error err = MR_ERROR_INIT;
		bool blank = strspn(line, " ") >= len;

		memcpy(text, line, len);
		text[len] = '\0';
		assert_int_equal(parse(text, &err), blank ? 0 : -1);
		free(blocks);
	}
}

static void too_many_blocks_or_no_header(void **state)
{
	static const char line[] = " 4 KiB " TAIL;
	struct mr_error err = MR_ERROR_INIT;
	size_t n = 5000, width = sizeof(line) + 9;
	char *text = malloc(n * width + 1);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		(void)sprintf(text + i * width, "b%06zu   %s", i, line);
	assert_int_equal(parse(text, &err), -1);
	assert_non_null(strstr(err.msg, "more than 4096 blocks"));
	free(text);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(
		guest_parse_ramblock("pc.ram", true, &blocks, &n_blocks, &err),
		-1);
	assert_int_equal(
		guest_parse_ramblock("", true, &blocks, &n_blocks, &err), -1);
	assert_non_null(strstr(err.msg, "header line"));
}

/* ---- over QMP ---- */

struct answers {
	const char *major, *machine, *status, *ramblock;
	const char *monitor; /* the one for people */
	int fd;
};

static const struct answers good = {
	.major = "10",
	.machine = "\"pc-q35-10.0-machine\"",
	.status = "{\"status\": \"paused\", \"running\": false}",
	.ramblock = "{\"human-readable-text\": \"Block Name\\r\\n"
		    "pc.ram    4 KiB " OFFSET MIB16 MIB16 HVA " rw\\r\\n\"}",
};

static void reply(int fd, const char *line, const char *value)
{
	const char *id = strstr(line, "\"id\":");
	char text[1024];
	int len =
		snprintf(text, sizeof(text), "{\"return\": %s, \"id\": %ld}\n",
			 value, id ? strtol(id + 5, NULL, 10) : 0);

	(void)!write(fd, text, (size_t)len);
}

static void *serve(void *arg)
{
	const struct answers *a = arg;
	FILE *f = fdopen(a->fd, "r");
	char line[1024];
	int len = snprintf(line, sizeof(line),
			   "{\"QMP\": {\"version\": {\"qemu\": {\"major\": %s, "
			   "\"minor\": 1, \"micro\": 2}}}}\n",
			   a->major);

	(void)!write(a->fd, line, (size_t)len);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "\"qom-get\""))
			reply(a->fd, line, a->machine);
		else if (strstr(line, "\"query-status\""))
			reply(a->fd, line, a->status);
		else if (strstr(line, "\"x-query-ramblock\""))
			reply(a->fd, line, a->ramblock);
		else if (strstr(line, "info ramblock"))
			reply(a->fd, line, a->monitor);
		else
			reply(a->fd, line, "{}");
	}
	(void)fclose(f);
	return NULL;
}

/* Opens a guest whose QEMU gives these answers; q and thread end here. */
static struct guest *open_as(struct answers a, bool any, pid_t pid,
			     struct mr_error *err)
{
	struct guest *g;
	struct qmp *q;
	pthread_t thread;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a.fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, serve, &a), 0);
	q = qmp_attach(fds[1], -1, err);
	assert_non_null(q);
	g = any ? guest_open_any(q, err) : guest_open(q, pid, err);
	if (g) {
		assert_int_equal(guest_refresh(g, q, err), 0);
		assert_int_equal(g->n_blocks, 1);
	}
	qmp_free(q);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return g;
}

static struct guest *open_with(struct answers a, pid_t pid,
			       struct mr_error *err)
{
	return open_as(a, false, pid, err);
}

static void open_any_takes_an_old_one(void **state)
{
	static const char *const majors[] = { "7", "5" };
	struct mr_error err = MR_ERROR_INIT;
	struct answers a = good;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct guest *g;

		a.major = majors[i];
		a.ramblock = "{\"human-readable-text\": \"Block Name\\r\\n"
			     "pc.ram    4 KiB " OFFSET MIB16 MIB16 "\\r\\n\"}";
		a.monitor =
			"\"Block Name\\r\\npc.ram    4 KiB " OFFSET MIB16 MIB16
			"\\r\\n\"";
		*(i ? &a.ramblock : &a.monitor) = "7";
		g = open_as(a, true, 0, &err);
		assert_string_equal(err.msg, "");
		assert_non_null(g);
		assert_int_equal(g->blocks[0].used, 16 << 20);
		assert_int_equal(guest_map(g, &err), -1);
		err = (struct mr_error)MR_ERROR_INIT;
		guest_free(g);
	}
}

static void open_fills_everything(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = open_with(good, 0, &err);

	(void)state;
	assert_string_equal(err.msg, "");
	assert_non_null(g);
	assert_int_equal(g->pid, getpid());
	assert_string_equal(g->machine, "pc-q35-10.0");
	assert_string_equal(g->status, "paused");
	assert_false(g->running);
	assert_int_equal(g->major, 10);
	assert_int_equal(g->minor, 1);
	assert_int_equal(g->micro, 2);
	assert_ptr_equal(guest_find(g, "pc.ram"), &g->blocks[0]);
	assert_null(guest_find(g, "pc.rom"));
	assert_null(guest_find(g, ""));
	guest_free(g);
	g = open_with(good, 1, &err);
	assert_int_equal(g->pid, 1);
	guest_free(g);
}

static void expect_refusal(struct answers a, enum mr_code code,
			   const char *text)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_null(open_with(a, 0, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text))
		fail_msg("'%s' lacks '%s'", err.msg, text);
}

static void open_refuses_what_it_cannot_trust(void **state)
{
	static char longest[400];
	struct answers a = good;

	(void)state;
	a.major = "7";
	expect_refusal(a, MR_REFUSED, "8.0 or later");
	a.major = "\"10\"";
	expect_refusal(a, MR_QMP, "greeting");
	a.major = "-1";
	expect_refusal(a, MR_QMP, "greeting");
	a = good;
	a.machine = "7";
	expect_refusal(a, MR_QMP, "qom-get");
	a.machine = "\"a\\u0000b\"";
	expect_refusal(a, MR_QMP, "qom-get");
	(void)snprintf(longest, sizeof(longest), "\"%0300d\"", 0);
	a.machine = longest;
	expect_refusal(a, MR_QMP, "qom-get");
	a = good;
	a.status = "{\"status\": \"paused\"}";
	expect_refusal(a, MR_QMP, "query-status");
	a.status = "[]";
	expect_refusal(a, MR_QMP, "query-status");
	a = good;
	a.ramblock = "{}";
	expect_refusal(a, MR_QMP, "x-query-ramblock");
	a.ramblock = "{\"human-readable-text\": \"\"}";
	expect_refusal(a, MR_QMP, "header line");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ramblock_of_a_real_vm),
		cmocka_unit_test(names_that_look_like_columns),
		cmocka_unit_test(empty_names),
		cmocka_unit_test(hostile_ramblock),
		cmocka_unit_test(ramblock_without_places),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(too_many_blocks_or_no_header),
		cmocka_unit_test(open_fills_everything),
		cmocka_unit_test(open_any_takes_an_old_one),
		cmocka_unit_test(open_refuses_what_it_cannot_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
