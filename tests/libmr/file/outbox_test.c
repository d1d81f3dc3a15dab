/*
 * outbox_test.c - what was written last is what stays, however much is under
 * way; what cannot be written is told.
 */
#include "tests/libmr/folder.h"

#include "libmr/file/outbox.h"

enum { FILE_SIZE = 1 << 20, BUFFER = 64 << 10, WRITES = 3000 };

static int new_file(struct file *f, enum mr_direct direct)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
	assert_int_equal(file_adopt(f, fd, O_RDWR, direct, NULL), 0);
	return fd;
}

/* Pieces of a buffer, to places that often are the same. */
static void fill_one(struct outbox *o, struct file *f, unsigned char *want,
		     uint64_t *seed)
{
	unsigned char *bytes = outbox_bytes(o);
	struct mr_error err = MR_ERROR_INIT;

	fill_random(bytes, BUFFER, next_random(seed));
	for (size_t at = 0; at < BUFFER;) {
		size_t n = (1 + next_random(seed) % 4) * 4096;
		uint64_t to = next_random(seed) % (FILE_SIZE / 8 / 4096) * 4096;

		n = n < BUFFER - at ? n : BUFFER - at;
		assert_int_equal(outbox_write(o, f, bytes + at, n, to, &err),
				 0);
		memcpy(want + to, bytes + at, n);
		at += n;
	}
	assert_int_equal(outbox_next(o, &err), 0);
}

static void last_stays(enum mr_direct direct, unsigned buffers)
{
	unsigned char *want = calloc(1, FILE_SIZE);
	unsigned char *got = malloc(FILE_SIZE);
	struct mr_error err = MR_ERROR_INIT;
	struct outbox o = { .n = 0 };
	uint64_t seed = buffers;
	struct file f;
	int fd = new_file(&f, direct);

	assert_true(want && got);
	assert_int_equal(outbox_init(&o, buffers, BUFFER, &err), 0);
	for (int i = 0; i < WRITES / 10; i++)
		fill_one(&o, &f, want, &seed);
	assert_int_equal(outbox_drain(&o, &err), 0);
	assert_int_equal(pread(fd, got, FILE_SIZE, 0), FILE_SIZE);
	assert_memory_equal(got, want, FILE_SIZE);
	outbox_leave(&o);
	outbox_release(&o);
	assert_int_equal(file_close(&f), 0);
	free(want);
	free(got);
}

static void any_order(void **state)
{
	(void)state;
	last_stays(MR_DIRECT_AUTO, 2);
	last_stays(MR_DIRECT_AUTO, 7);
	last_stays(MR_DIRECT_OFF, 3);
}

/* More pieces of one buffer than it has writes. */
static void many(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct outbox o = { .n = 0 };
	unsigned char got[512];
	struct file f;
	int fd = new_file(&f, MR_DIRECT_OFF);

	(void)state;
	assert_int_equal(outbox_init(&o, 2, BUFFER, &err), 0);
	fill_random(outbox_bytes(&o), BUFFER, 3);
	for (size_t i = 0; i < BUFFER; i += sizeof(got))
		assert_int_equal(outbox_write(&o, &f, outbox_bytes(&o) + i,
					      sizeof(got), 2 * i, &err),
				 0);
	assert_int_equal(outbox_drain(&o, &err), 0);
	for (size_t i = 0; i < BUFFER; i += sizeof(got)) {
		assert_int_equal(pread(fd, got, sizeof(got), (off_t)(2 * i)),
				 sizeof(got));
		assert_memory_equal(got, outbox_bytes(&o) + i, sizeof(got));
	}
	outbox_release(&o);
	assert_int_equal(file_close(&f), 0);
}

/* A write fails long after it was handed in: not later than at the drain. */
static void fails(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct outbox o = { .n = 0 };
	struct file f;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int rc = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(file_adopt(&f, fd, O_RDWR, MR_DIRECT_AUTO, NULL), 0);
	assert_int_equal(outbox_init(&o, 4, BUFFER, &err), 0);
	for (int i = 0; i < 200 && !rc; i++)
		rc = outbox_write(&o, &f, outbox_bytes(&o), BUFFER,
				  (UINT64_C(1) << 62) + (uint64_t)i * BUFFER,
				  &err) ||
		     outbox_next(&o, &err);
	if (!rc)
		rc = outbox_drain(&o, &err);
	assert_int_not_equal(rc, 0);
	assert_int_equal(err.code, MR_SYS);
	assert_int_equal(err.sys, EFBIG);
	assert_true(err.offset >= UINT64_C(1) << 62);
	outbox_release(&o);
	assert_int_equal(file_close(&f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(many),
		cmocka_unit_test(fails),
	};

	return cmocka_run_group_tests_name("outbox", tests, folder_setup,
					   folder_teardown);
}
