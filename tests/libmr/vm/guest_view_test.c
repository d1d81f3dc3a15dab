/*
 * guest_view_test.c - memory in place whose file is cut short: this process
 * in the place of QEMU.
 */
#include "tests/libmr/unit.h"

#include <signal.h>
#include <sys/mman.h>

#include "libmr/vm/guest.h"

enum { PAGES = 64, SIZE = PAGES * GUEST_PAGE, KEPT = 9 * GUEST_PAGE };

struct vm {
	int fd;
	unsigned char *at;
	struct guest *guest;
	struct guest_block *block;
};

/* Its memory begins in the file's second page. */
static void start(struct vm *v)
{
	struct guest_block b = { .name = "pc.ram",
				 .page_size = GUEST_PAGE,
				 .used = SIZE,
				 .total = SIZE,
				 .migratable = true };
	struct mr_error err = MR_ERROR_INIT;

	*v = (struct vm){ .fd = memfd_create("memory", MFD_CLOEXEC) };
	assert_int_equal(ftruncate(v->fd, GUEST_PAGE + SIZE), 0);
	v->at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		     GUEST_PAGE);
	assert_true(v->at != MAP_FAILED);
	memset(v->at, 1, SIZE);
	b.hva = (uintptr_t)v->at;
	v->guest = guest_new(getpid(), &b, 1, &err);
	assert_non_null(v->guest);
	v->block = v->guest->blocks;
	assert_int_equal(guest_map(v->guest, &err), 0);
	assert_int_equal(guest_is_whole(v->guest, &err), 0);
}

static void stop(struct vm *v)
{
	guest_free(v->guest);
	assert_int_equal(munmap(v->at, SIZE), 0);
	assert_int_equal(close(v->fd), 0);
}

static void resize(const struct vm *v, off_t to)
{
	assert_int_equal(ftruncate(v->fd, GUEST_PAGE + to), 0);
}

static const unsigned char *view(struct vm *v)
{
	const uint64_t all = UINT64_MAX;
	const unsigned char *p;

	assert_false(guest_view(v->guest, true));
	p = guest_view_at(v->guest, v->block, 0, SIZE, &all);
	assert_non_null(p);
	return p;
}

static void expect_lost(const struct vm *v, const char *offset)
{
	struct mr_error err = MR_ERROR_INIT;
	char want[128];

	assert_int_equal(guest_is_whole(v->guest, &err), -1);
	(void)snprintf(want, sizeof(want),
		       "block 'pc.ram' has lost its memory at offset %s: "
		       "somebody shrank the file behind it",
		       offset);
	assert_string_equal(err.msg, want);
	assert_int_equal(err.code, MR_SHORT);
}

static void looked_at(void **state)
{
	struct sigaction was, now;
	const unsigned char *p;
	struct vm v;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, NULL, &was), 0);
	start(&v);
	p = view(&v);
	resize(&v, KEPT);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(p[i], i < KEPT);
	expect_lost(&v, "0x9000");
	/* not to be forgotten */
	resize(&v, SIZE);
	expect_lost(&v, "0x9000");
	guest_view_done(v.block, 0, SIZE);
	stop(&v);
	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	assert_true(now.sa_handler == was.sa_handler);
}

static void written_from(void **state)
{
	int out = memfd_create("image", MFD_CLOEXEC);
	const unsigned char *p;
	struct vm v;

	(void)state;
	start(&v);
	p = view(&v);
	resize(&v, KEPT);
	assert_int_equal(pwrite(out, p + KEPT, GUEST_PAGE, 0), -1);
	assert_int_equal(errno, EFAULT);
	expect_lost(&v, "0x9000");
	stop(&v);
	assert_int_equal(close(out), 0);
}

/* What is gone before anybody looks would count as never touched. */
static void gone_before(void **state)
{
	uint64_t bits[1] = { 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct vm v;

	(void)state;
	start(&v);
	resize(&v, GUEST_PAGE / 2); /* the rest of a page is there */
	assert_int_equal(guest_touched(v.guest, v.block, bits, &err), 0);
	assert_int_equal(bits[0], 1);
	expect_lost(&v, "0x1000");
	resize(&v, -GUEST_PAGE);
	expect_lost(&v, "0x0");
	stop(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looked_at),
		cmocka_unit_test(written_from),
		cmocka_unit_test(gone_before),
	};

	return cmocka_run_group_tests_name("guest_view", tests, NULL, NULL);
}
