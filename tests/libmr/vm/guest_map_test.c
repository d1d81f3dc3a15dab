/*
 * guest_map_test.c - where a process has a file mapped, and which pages of
 * that it has in memory: this process, in the place of QEMU.
 */
#include "tests/libmr/folder.h"

#include <sys/mman.h>

#include "formats/bits.h"
#include "libmr/vm/guest.h"

#define PAGES ((size_t)1024)
#define SIZE (PAGES * GUEST_PAGE)
/* What the kernel may map around a page that is read. */
#define GROUP ((size_t)16)

static int image = -1;
static struct stat st;

static int setup(void **state)
{
	char page[GUEST_PAGE];

	if (folder_setup(state))
		return -1;
	image = open(in_dir("image"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(page, 'x', sizeof(page));
	for (size_t i = 0; i < PAGES; i++)
		if (pwrite(image, page, sizeof(page),
			   (off_t)(i * GUEST_PAGE)) != GUEST_PAGE)
			return -1;
	return fstat(image, &st);
}

static int teardown(void **state)
{
	(void)close(image);
	return folder_teardown(state);
}

/* n pages of the image, from page `first` on. */
static char *map(size_t first, size_t n, int flags)
{
	char *p = mmap(NULL, n * GUEST_PAGE, PROT_READ | PROT_WRITE, flags,
		       image, (off_t)(first * GUEST_PAGE));

	assert_true(p != MAP_FAILED);
	return p;
}

static void unmap(char *p, size_t n)
{
	assert_int_equal(munmap(p, n * GUEST_PAGE), 0);
}

static struct guest *guest_with(size_t pages)
{
	const struct guest_block b = { .page_size = GUEST_PAGE,
				       .used = pages * GUEST_PAGE,
				       .total = pages * GUEST_PAGE,
				       .migratable = true };
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g = guest_new(getpid(), &b, 1, &err);

	assert_non_null(g);
	return g;
}

/* What guest_map_file says of a block whose memory begins at that page of the
 * file. */
static int find(struct guest *g, ino_t ino, size_t page)
{
	const uint64_t at = page * GUEST_PAGE;
	struct mr_error err = MR_ERROR_INIT;
	int rc = guest_map_file(g, ino, &at, &err);

	assert_string_equal(err.msg, "");
	return rc;
}

static void expect_segment(const struct guest *g, size_t i, const char *hva,
			   size_t page, size_t pages)
{
	const struct guest_segment *s = &g->blocks[0].segments[i];

	assert_true(i < g->blocks[0].n_segments);
	assert_int_equal(s->hva, (uintptr_t)hva);
	assert_int_equal(s->file_offset, page * GUEST_PAGE);
	assert_int_equal(s->length, pages * GUEST_PAGE);
	assert_int_equal(s->kind, GUEST_FILE_PRIVATE);
}

/* A mapping may be larger than the block at either end. */
static void block_in_a_mapping(void **state)
{
	char *p = map(100, 200, MAP_PRIVATE);
	struct guest *g = guest_with(50);

	(void)state;
	for (size_t page = 100; page <= 250; page += 50) {
		assert_int_equal(find(g, st.st_ino, page), 1);
		assert_int_equal(g->blocks[0].n_segments, 1);
		expect_segment(g, 0, p + (page - 100) * GUEST_PAGE, page, 50);
	}
	guest_free(g);
	unmap(p, 200);
}

static void block_not_mapped(void **state)
{
	struct guest *g = guest_with(50);
	char *shared = map(0, PAGES, MAP_SHARED), *p;

	(void)state;
	assert_int_equal(find(g, st.st_ino, 0), 0);
	p = map(100, 50, MAP_PRIVATE);
	assert_int_equal(find(g, st.st_ino, 50), 0);
	assert_int_equal(find(g, st.st_ino, 99), 0);
	assert_int_equal(find(g, st.st_ino, 101), 0); /* not to its end */
	assert_int_equal(find(g, st.st_ino, 150), 0);
	assert_int_equal(find(g, st.st_ino + 1, 100), 0);
	assert_int_equal(find(g, st.st_ino, 100), 1);
	guest_free(g);
	unmap(p, 50);
	unmap(shared, PAGES);
}

/* The kernel cuts mappings where their rights differ: that is one segment, two
 * mappings that lie apart are two. */
static void block_in_several_mappings(void **state)
{
	struct guest *g = guest_with(200);
	char *p = map(0, 300, MAP_PRIVATE);
	char *middle = p + 100 * GUEST_PAGE, *last = p + 200 * GUEST_PAGE;

	(void)state;
	assert_int_equal(mprotect(middle, 100 * GUEST_PAGE, PROT_READ), 0);
	assert_int_equal(find(g, st.st_ino, 0), 1);
	assert_int_equal(g->blocks[0].n_segments, 1);
	expect_segment(g, 0, p, 0, 200);
	unmap(middle, 100);
	assert_int_equal(find(g, st.st_ino, 0), 0);
	assert_ptr_equal(mmap(last, 100 * GUEST_PAGE, PROT_READ,
			      MAP_PRIVATE | MAP_FIXED, image, 100 * GUEST_PAGE),
			 last);
	assert_int_equal(find(g, st.st_ino, 0), 1);
	assert_int_equal(g->blocks[0].n_segments, 2);
	expect_segment(g, 0, p, 0, 100);
	expect_segment(g, 1, last, 100, 100);
	assert_int_equal(g->blocks[0].segments[1].offset, 100 * GUEST_PAGE);
	guest_free(g);
	unmap(p, 100);
	unmap(last, 100);
}

static void process_not_there(void **state)
{
	struct guest *g = guest_with(50);
	struct mr_error err = MR_ERROR_INIT;
	const uint64_t at = 0;

	(void)state;
	g->pid = INT32_MAX;
	assert_int_equal(guest_map_file(g, st.st_ino, &at, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	guest_free(g);
}

/* Pages that were written are the process's own, those that were read are the
 * file's: it has both in its memory, and no others. */
static void present_is_right(void **state)
{
	static const size_t written = 3 * GROUP + 5, read_only = 9 * GROUP + 7;
	struct guest *g = guest_with(PAGES);
	volatile char *p = map(0, PAGES, MAP_PRIVATE);
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	p[written * GUEST_PAGE] = 'y';
	assert_int_equal(p[read_only * GUEST_PAGE], 'x');
	assert_int_equal(find(g, st.st_ino, 0), 1);
	for (int no_scan = 0; no_scan < 2; no_scan++) {
		uint64_t bits[PAGES / 64] = { 0 };

		g->no_scan = no_scan;
		assert_int_equal(guest_present(g, &g->blocks[0], bits, &err),
				 0);
		assert_true(bits_test(bits, written));
		assert_true(bits_test(bits, read_only));
		for (size_t i = 0; i < PAGES; i++)
			if (i != written && i / GROUP != read_only / GROUP)
				assert_false(bits_test(bits, i));
	}
	guest_free(g);
	unmap((char *)(uintptr_t)p, PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_in_a_mapping),
		cmocka_unit_test(block_not_mapped),
		cmocka_unit_test(block_in_several_mappings),
		cmocka_unit_test(process_not_there),
		cmocka_unit_test(present_is_right),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
