/*
 * files_test.c - the sink that is memory files, pushed into without a crew:
 * parts of any size in any order, and what a crew's workers may leave out.
 */
#include "tests/libmr/folder.h"

#include "formats/bits.h"
#include "libmr/memory/files.h"

enum { PAGE = 4096, PAGES = 600, SIZE = PAGES * PAGE };

static unsigned char want[SIZE], have[SIZE + 1];

/* A block of SIZE bytes; nobody reads it. */
static const struct memory_ops no_ops = { .read = NULL };
static struct memory_block block = { .name = "m",
				     .length = SIZE,
				     .held = SIZE };
static const struct memory memory = {
	.ops = &no_ops, .page = PAGE, .blocks = &block, .n = 1
};

struct made {
	struct files_sink f;
	struct memory_tally tally;
	struct sink_hand hand; /* without a crew */
	unsigned char own[4096];
};

static void make(struct made *m, const char *path)
{
	const struct mr_memory file = { .path = path };
	struct mr_error err = MR_ERROR_INIT;

	memset(m, 0, sizeof(*m));
	m->hand.tally = &m->tally;
	m->hand.own = m->own;
	assert_int_equal(files_sink_open(&m->f, &file, 1, 2, MR_DIRECT_OFF, 1,
					 NULL, &err),
			 0);
	assert_true(m->f.sink.hand_size <= sizeof(m->own));
	assert_int_equal(m->f.sink.ops->begin(&m->f.sink, &memory, &err), 0);
}

static void end(struct made *m, const char *path)
{
	struct mr_error err = MR_ERROR_INIT;
	int fd;

	m->f.sink.ops->let_go(&m->f.sink, m->own);
	assert_int_equal(m->f.sink.ops->end(&m->f.sink, &err), 0);
	m->f.sink.ops->abandon(&m->f.sink);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, have, sizeof(have)), SIZE);
	assert_memory_equal(have, want, SIZE);
	(void)close(fd);
}

static void junk(const char *path, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(have, 0xff, size);
	assert_int_equal(write(fd, have, size), size);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	(void)close(fd);
}

/* Pages in any order, some of them again and again, as data or as zeros. */
static void pushed(bool existing)
{
	const char *path = in_dir("pushed");
	struct mr_error err = MR_ERROR_INIT;
	uint64_t seed = 5;
	struct made m;

	(void)unlink(path);
	if (existing)
		junk(path, SIZE);
	make(&m, path);
	memset(want, 0, SIZE);
	/* Each once: then what was there before is gone. */
	assert_int_equal(
		m.f.sink.ops->zero(&m.f.sink, &m.hand, 0, 0, SIZE, &err), 0);
	for (int i = 0; i < 3000; i++) {
		uint64_t page = next_random(&seed) % PAGES;
		uint64_t n = next_random(&seed) % 9 + 1, bits;
		unsigned char pages[9 * PAGE];
		struct memory_part p = { .block = &block,
					 .offset = page * PAGE,
					 .unit = PAGE,
					 .bits = &bits,
					 .buf = pages };

		p.pages = (size_t)(n < PAGES - page ? n : PAGES - page);
		bits = next_random(&seed) & ((UINT64_C(1) << p.pages) - 1);
		fill_random(pages, sizeof(pages), seed);
		for (size_t k = 0; k < p.pages; k++) {
			unsigned char *to = want + (page + k) * PAGE;

			if (bits_test(&bits, k))
				memcpy(to, pages + k * PAGE, PAGE);
			else
				memset(to, 0, PAGE);
		}
		assert_int_equal(
			m.f.sink.ops->put(&m.f.sink, &m.hand, 0, &p, &err), 0);
	}
	end(&m, path);
}

static void test_pushed(void **state)
{
	(void)state;
	pushed(false);
	pushed(true);
}

/* A crew's parts are put in the order in which their reads end: what is known
 * of a hole behind is not known of what lies before. */
static void test_backwards(void **state)
{
	static const uint64_t mib = UINT64_C(1) << 20;
	const char *path = in_dir("backwards");
	struct mr_error err = MR_ERROR_INIT;
	struct crew_worker nobody;
	struct made m;

	(void)state;
	junk(path, mib);
	make(&m, path);
	m.hand.w = &nobody; /* zeros are punched, it has nothing to do */
	memset(want, 0, SIZE);
	for (uint64_t at = 2 * mib; at + mib; at -= mib)
		assert_int_equal(
			m.f.sink.ops->zero(&m.f.sink, &m.hand, 0, at,
					   at + mib < SIZE ? mib : SIZE - at,
					   &err),
			0);
	end(&m, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pushed),
		cmocka_unit_test(test_backwards),
	};

	return cmocka_run_group_tests_name("files", tests, folder_setup,
					   folder_teardown);
}
