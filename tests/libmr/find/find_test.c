/* find_test.c - memory with and without data, read and searched. */
#include <inttypes.h>
#include <sys/mman.h>

#include "tests/libmr/unit.h"

#include "libmr/image/image.h"
#include "tests/lib/build.h"

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)

/* ---- an image whose present pages the test fills ---- */

struct made {
	int fd;
	char path[64];
	struct mr_image *img;
	struct mr_ram *ram; /* its */
	uint8_t *memory[2]; /* what the guest had, block by block */
};

/* Blocks of 3 MiB + 2 pages, and of 5 pages; data in these pages only. */
static const struct build_run big_runs[] = {
	{ 0, 1 }, { 3, 1 }, { 12, 3 }, { 250, 20 }, { 511, 1 }, { 769, 1 }
};
static const struct build_run small_runs[] = { { 0, 5 } };

static struct made make(enum mr_direct direct, const char *dir)
{
	struct build_block k[2] = {
		{ .name = "big",
		  .length = 3 * MIB + 2 * PAGE,
		  .runs = big_runs,
		  .n_runs = ARRAY_LEN(big_runs) },
		{ .name = "small",
		  .length = 5 * PAGE,
		  .runs = small_runs,
		  .n_runs = ARRAY_LEN(small_runs) },
	};
	struct build b = { .page_size = PAGE, .ram_id = 2, .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct made m = { 0 };

	b.fd = dir ? open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
		   : memfd_create("image", MFD_CLOEXEC);
	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	memcpy(b.config.machine, "pc-i440fx-10.0", 15);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_bitmaps(&b, k, 2);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "running");
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	m.fd = b.fd;
	for (size_t i = 0; i < 2; i++) {
		m.memory[i] = calloc(1, k[i].length);
		assert_non_null(m.memory[i]);
		for (size_t r = 0; r < k[i].n_runs; r++) {
			uint64_t at = k[i].runs[r].first * PAGE;
			size_t len = k[i].runs[r].n * PAGE;

			assert_int_equal(
				pread(b.fd, m.memory[i] + at, len,
				      (off_t)(k[i].place.pages_offset + at)),
				len);
		}
		/* What the image has where it has no page means nothing. */
		for (uint64_t p = 0; p < k[i].length / PAGE; p++)
			if (!get_be64(m.memory[i] + p * PAGE))
				build_put_at(&b, "staleSTALE", 10,
					     k[i].place.pages_offset +
						     p * PAGE + 50);
	}
	(void)snprintf(m.path, sizeof(m.path), "/proc/self/fd/%d", m.fd);
	m.img = mr_image_open(m.path, direct, NULL, &err);
	assert_non_null(m.img);
	assert_int_equal(mr_image_info(m.img)->damage.code, MR_OK);
	m.ram = mr_ram_of_image(m.img, &err);
	assert_non_null(m.ram);
	return m;
}

static void drop(struct made *m)
{
	mr_ram_free(m->ram);
	mr_image_free(m->img);
	free(m->memory[0]);
	free(m->memory[1]);
	assert_int_equal(close(m->fd), 0);
}

/* Puts bytes into the guest's memory; their pages are all present. */
static void put(struct made *m, size_t block, uint64_t at, const char *text)
{
	const struct mr_block *b = &mr_image_info(m->img)->blocks[block];
	size_t len = strlen(text);

	memcpy(m->memory[block] + at, text, len);
	assert_int_equal(
		pwrite(m->fd, text, len, (off_t)(b->pages_offset + at)), len);
}

/* ---- searching ---- */

/* At millions of places, by one thread: nothing for sanitizers, with whose
 * memcmp it takes minutes. */
__attribute__((no_sanitize("address", "thread"))) static bool
is_at(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t x, y;

	for (; len >= sizeof(x); a += sizeof(x), b += sizeof(x)) {
		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		if (x != y)
			return false;
		len -= sizeof(x);
	}
	while (len && *a++ == *b++)
		len--;
	return !len;
}

/* The finds are those that a look at every place has, up to max. */
static void expect(const struct made *m, const void *bytes, size_t len,
		   size_t max, unsigned jobs, enum mr_direct direct)
{
	struct mr_find_options o = { .jobs = jobs,
				     .max = max,
				     .direct = direct };
	const struct mr_ram_info *info = mr_ram_info(m->ram);
	struct mr_error err = MR_ERROR_INIT;
	struct mr_find_report r;
	size_t n = 0;

	assert_int_equal(mr_find(m->ram, bytes, len, &o, &r, &err), 0);
	assert_int_equal(r.ram, 3 * MIB + 7 * PAGE);
	assert_int_equal(r.direct, direct == MR_DIRECT_ON);
	for (size_t i = 0; i < 2; i++)
		for (uint64_t at = 0; at + len <= info->blocks[i].length;
		     at++) {
			if (!is_at(m->memory[i] + at, bytes, len))
				continue;
			if (n++ >= max)
				continue;
			assert_true(r.n_found >= n);
			assert_ptr_equal(r.found[n - 1].block,
					 &info->blocks[i]);
			assert_int_equal(r.found[n - 1].offset, at);
		}
	assert_int_equal(r.n_found, n < max ? n : max);
	assert_int_equal(r.more, n > max);
	mr_find_release(&r);
}

static void every_way(const struct made *m, const void *bytes, size_t len)
{
	expect(m, bytes, len, 1000000, 1, MR_DIRECT_AUTO);
	expect(m, bytes, len, 1000000, 4, MR_DIRECT_OFF);
	expect(m, bytes, len, 1, 4, MR_DIRECT_AUTO);
	expect(m, bytes, len, 3, 2, MR_DIRECT_AUTO);
}

static void test_find(void **state)
{
	struct made m = make(MR_DIRECT_OFF, NULL);

	(void)state;
	put(&m, 0, 100, "needle");
	put(&m, 0, 13 * PAGE - 3, "needle"); /* across pages */
	put(&m, 0, MIB - 2, "needle"); /* across extents */
	put(&m, 0, 2 * MIB - 6, "needle"); /* up to the end of an extent */
	put(&m, 0, 3 * MIB + 2 * PAGE - 6, "needle"); /* of the block */
	put(&m, 1, 0, "needle");
	put(&m, 1, 5 * PAGE - 4, "need"); /* not all of it */
	every_way(&m, "needle", 6);
	every_way(&m, "e", 1);
	every_way(&m, "need", 4);
	every_way(&m, "nothing", 7);
	/* Not there: it means nothing. */
	every_way(&m, "STALE", 5);
	drop(&m);
}

/* A page that is absent is zeros, and a find may begin or end in it. */
static void test_zeros_around(void **state)
{
	struct made m = make(MR_DIRECT_OFF, NULL);

	(void)state;
	put(&m, 0, PAGE - 2, "xy"); /* then two absent pages */
	put(&m, 0, 3 * PAGE, "ab"); /* after them */
	put(&m, 0, 2 * MIB - 2, "xy"); /* and at the end of an extent */
	put(&m, 0, 769 * PAGE, "ab"); /* and at the start of another */
	every_way(&m, "xy\0\0\0\0", 6);
	every_way(&m, "\0\0\0\0ab", 6);
	every_way(&m, "\0\0ab", 4);
	every_way(&m, m.memory[0] + PAGE - 2, MR_FIND_MAX);
	every_way(&m, m.memory[0] + 769 * PAGE - 4000, MR_FIND_MAX);
	every_way(&m, m.memory[0] + 2 * MIB - 2, MR_FIND_MAX);
	drop(&m);
}

static void test_all_zeros(void **state)
{
	struct made m = make(MR_DIRECT_OFF, NULL);
	static const uint8_t zeros[MR_FIND_MAX];

	(void)state;
	expect(&m, zeros, 1, 5, 4, MR_DIRECT_AUTO);
	expect(&m, zeros, 8, 9000, 4, MR_DIRECT_AUTO);
	expect(&m, zeros, MR_FIND_MAX, 100, 1, MR_DIRECT_AUTO);
	expect(&m, zeros, MR_FIND_MAX, 10000000 / (ONE_OF * ONE_OF), 2,
	       MR_DIRECT_AUTO);
	drop(&m);
}

/* Bytes from around the edges of runs and extents. */
static void test_random(void **state)
{
	static const uint64_t edges[] = { 0,   3,   12,	 15,  250,
					  256, 270, 511, 512, 769 };
	struct made m = make(MR_DIRECT_OFF, NULL);
	uint64_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		size_t len = 1 + next_random(&seed) % 40;
		uint64_t at = edges[next_random(&seed) % ARRAY_LEN(edges)];

		at = at * PAGE + next_random(&seed) % 40;
		if (at > 20)
			at -= 20;
		expect(&m, m.memory[0] + at, len, 500, 1 + i % 3,
		       MR_DIRECT_AUTO);
	}
	drop(&m);
}

static void test_direct(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct made m;
	struct file f;
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	if (fd < 0 || file_adopt(&f, fd, O_RDWR, MR_DIRECT_ON, &err))
		skip();
	assert_int_equal(file_close(&f), 0);
	m = make(MR_DIRECT_ON, ".");
	put(&m, 0, MIB - 2, "needle");
	assert_int_equal(fsync(m.fd), 0);
	expect(&m, "needle", 6, 10, 2, MR_DIRECT_ON);
	drop(&m);
}

static void test_refused(void **state)
{
	static const uint8_t bytes[MR_FIND_MAX + 1];
	struct made m = make(MR_DIRECT_OFF, NULL);
	struct mr_find_options o = { .max = 1 };
	struct mr_find_report r;
	struct mr_error err = MR_ERROR_INIT;
	atomic_bool cancel = true;

	(void)state;
	assert_int_equal(mr_find(m.ram, bytes, 0, &o, &r, &err), -1);
	assert_int_equal(err.code, MR_USAGE);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(mr_find(m.ram, bytes, sizeof(bytes), &o, &r, &err),
			 -1);
	assert_int_equal(err.code, MR_USAGE);
	err = (struct mr_error)MR_ERROR_INIT;
	o.watch.cancel = &cancel;
	assert_int_equal(mr_find(m.ram, "needle", 6, &o, &r, &err), -1);
	assert_int_equal(err.code, MR_CANCELLED);
	mr_find_release(&r);
	/* A file that got shorter. */
	o.watch.cancel = NULL;
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(ftruncate(m.fd, 2 * (off_t)MIB), 0);
	assert_int_equal(mr_find(m.ram, "needle", 6, &o, &r, &err), -1);
	assert_int_equal(err.code, MR_SHORT);
	mr_find_release(&r);
	drop(&m);
}

/* ---- reading ---- */

static void test_memory(void **state)
{
	struct made m = make(MR_DIRECT_OFF, NULL);
	const struct mr_ram_block *b = mr_ram_find(m.ram, "big");
	uint8_t *buf = malloc(b->length);
	struct mr_error err = MR_ERROR_INIT;
	uint64_t seed = 9;
	size_t present;

	(void)state;
	assert_non_null(buf);
	assert_int_equal(
		mr_ram_read(m.ram, b, 0, buf, b->length, &present, &err), 0);
	assert_memory_equal(buf, m.memory[0], b->length);
	assert_int_equal(present, 27 * PAGE);
	for (int i = 0; i < 200; i++) {
		uint64_t at = next_random(&seed) % (16 * PAGE);
		size_t len = next_random(&seed) % (3 * PAGE);

		assert_int_equal(
			mr_ram_read(m.ram, b, at, buf, len, &present, &err), 0);
		assert_memory_equal(buf, m.memory[0] + at, len);
	}
	assert_int_equal(
		mr_ram_read(m.ram, b, PAGE - 10, buf, 20, &present, &err), 0);
	assert_int_equal(present, 10);
	assert_int_equal(
		mr_ram_read(m.ram, b, b->length, buf, 0, &present, &err), 0);
	assert_int_equal(
		mr_ram_read(m.ram, b, b->length - 1, buf, 2, &present, &err),
		-1);
	assert_int_equal(err.code, MR_USAGE);
	assert_string_equal(err.msg, "block big has only 0x302000 bytes");
	free(buf);
	drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_zeros_around),
		cmocka_unit_test(test_all_zeros),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
