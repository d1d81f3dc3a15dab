/* lobby_test.c - who is let in, who is turned away, and when it is too late. */
#include "tests/libmr/folder.h"

#include <sys/socket.h>

#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/wire/address.h"
#include "libmr/wire/lobby.h"

static const uint8_t ours[16] = { 1, 2, 3 }, theirs[16] = { 1, 2, 4 };

struct room {
	struct lobby b;
	struct wire w;
	char uri[128];
	char said[200]; /* the last line */
	int guests[8];
	size_t n;
	bool too_late; /* a stranger makes the time be up, and a source come */
};

static int join(struct room *r, const void *bytes, size_t n)
{
	struct mr_error err = MR_ERROR_INIT;
	struct address a;
	int fd = -1;

	assert_true(r->n < ARRAY_LEN(r->guests));
	assert_int_equal(address_parse(&a, r->uri, &err), 0);
	assert_int_equal(address_dial(&a, &r->w, &fd, &err), 0);
	assert_int_equal(write(fd, bytes, n), n);
	r->guests[r->n++] = fd;
	return fd;
}

static int join_main(struct room *r)
{
	uint8_t buf[STREAM_HEADER_SIZE];

	stream_header_encode(buf);
	return join(r, buf, sizeof(buf));
}

static int join_channel(struct room *r, uint8_t channel, const uint8_t uuid[16])
{
	struct multifd_init i = { .channel = channel };
	uint8_t buf[MULTIFD_INIT_SIZE];

	memcpy(i.uuid, uuid, sizeof(i.uuid));
	(void)multifd_init_encode(buf, &i);
	return join(r, buf, sizeof(buf));
}

static void hear(void *arg, const char *line)
{
	struct room *r = arg;

	(void)snprintf(r->said, sizeof(r->said), "%s", line);
	if (!r->too_late)
		return;
	(void)join_main(r);
	atomic_store(&r->w.heard, 0);
}

static int begin(void **state)
{
	struct room *r = calloc(1, sizeof(*r));
	struct mr_error err = MR_ERROR_INIT;

	if (!r)
		return -1;
	r->b = (struct lobby)LOBBY_NONE;
	(void)snprintf(r->uri, sizeof(r->uri), "unix:%s", in_dir("lobby"));
	r->b.wire = &r->w;
	r->b.tell = hear;
	r->b.arg = r;
	*state = r;
	return wire_begin(&r->w, 60, NULL, &err) ||
			       listener_open(&r->b.listener, r->uri, &err)
		       ? -1
		       : 0;
}

static int end(void **state)
{
	struct room *r = *state;

	while (r->n)
		(void)close(r->guests[--r->n]);
	lobby_close(&r->b);
	wire_release(&r->w);
	free(r);
	return 0;
}

/* Which channel's connection fd is. */
static unsigned number(int fd)
{
	uint8_t buf[MULTIFD_INIT_SIZE];
	struct multifd_init i;
	struct fault f;

	assert_int_equal(read(fd, buf, sizeof(buf)), sizeof(buf));
	assert_true(multifd_init_decode(buf, sizeof(buf), &i, &f) > 0);
	(void)close(fd);
	return i.channel;
}

/* A bit for each that is let in. */
static unsigned channels(struct room *r)
{
	struct mr_error err = MR_ERROR_INIT;
	unsigned all = 0;
	int fd = -1, rc;

	while ((rc = lobby_channel(&r->b, false, &fd, &err)) > 0)
		all |= 1U << number(fd);
	assert_int_equal(rc, 0);
	return all;
}

static void come(struct room *r)
{
	struct mr_error err = MR_ERROR_INIT;
	int fd = -1;

	(void)join_channel(r, 0, ours);
	(void)join_channel(r, 2, theirs);
	(void)join_main(r);
	(void)join_channel(r, 1, ours);
	(void)join_channel(r, 3, theirs);
	assert_int_equal(lobby_main(&r->b, &fd, &err), 0);
	(void)close(fd);
}

static void test_channels_of_another_vm_are_turned_away(void **state)
{
	struct room *r = *state;
	char byte;

	come(r);
	r->b.uuid = ours;
	assert_int_equal(channels(r), 0x3);
	assert_non_null(strstr(r->said, "another UUID"));
	for (size_t i = 1; i < 5; i += 3)
		assert_true(!recv(r->guests[i], &byte, 1, 0) ||
			    errno == ECONNRESET);
}

static void test_without_a_uuid_all_are_let_in(void **state)
{
	come(*state);
	assert_int_equal(channels(*state), 0xf);
}

/* As one finds it who was stopped for longer than he would wait. */
static void test_who_came_meanwhile_is_seen_before_it_is_too_late(void **state)
{
	struct room *r = *state;
	struct mr_error err = MR_ERROR_INIT;
	int fd = -1;

	r->too_late = true;
	(void)join(r, "garbage", 7);
	assert_int_equal(lobby_main(&r->b, &fd, &err), 0);
	(void)close(fd);
}

static void test_nobody_came(void **state)
{
	struct room *r = *state;
	struct mr_error err = MR_ERROR_INIT;
	int fd = -1;

	atomic_store(&r->w.heard, 0);
	/* One who has begun to speak does not keep it waiting. */
	(void)join(r, "Q", 1);
	assert_int_equal(lobby_main(&r->b, &fd, &err), -1);
	assert_int_equal(err.sys, ETIMEDOUT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_channels_of_another_vm_are_turned_away),
		TEST(test_without_a_uuid_all_are_let_in),
		TEST(test_who_came_meanwhile_is_seen_before_it_is_too_late),
		TEST(test_nobody_came),
	};

	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
