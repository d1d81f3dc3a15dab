/*
 * image_sink_test.c - pages that come in any order and again, as a stream has
 * them: the last one is in the image, and zeros lie where none is.
 */
#include "tests/libmr/folder.h"

#include <errno.h>

#include "formats/bits.h"
#include "libmr/file/outbox.h"
#include "libmr/memory/image_sink.h"

enum { PAGES = 256, STEPS = 4000, MOST = 16, BUFFER = MOST * IMAGE_PAGE };

/* A file system that has no holes. */
static bool no_holes;
static unsigned punched;

int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	punched++;
	errno = EOPNOTSUPP;
	return no_holes ? -1 : __real_fallocate64(fd, mode, offset, len);
}

static uint8_t devices[] = { 0 };

struct story {
	struct image_writer w;
	struct image_sink s;
	struct memory_block block;
	struct memory_tally tally;
	struct sink_hand h;
	struct outbox out;
	unsigned char (*want)[IMAGE_PAGE];
};

static void begin(struct story *x, bool outbox)
{
	struct mr_error err = MR_ERROR_INIT;
	struct memory m = { .page = IMAGE_PAGE,
			    .machine = "pc-i440fx-10.0",
			    .n = 1,
			    .blocks = &x->block };

	*x = (struct story){
		.block = { .name = "ram0", .length = PAGES * IMAGE_PAGE },
		.h = { .tally = &x->tally },
	};
	x->want = calloc(PAGES, IMAGE_PAGE);
	assert_non_null(x->want);
	assert_int_equal(image_writer_open(&x->w, in_dir("image"), GATE_IMAGE,
					   MR_DIRECT_AUTO, true, &err),
			 0);
	image_sink_init(&x->s, &x->w);
	x->s.device = (struct image_device){ .sections = devices,
					     .len = sizeof(devices) };
	assert_int_equal(x->s.sink.ops->begin(&x->s.sink, &m, &err), 0);
	assert_int_equal(outbox_init(&x->out, 3, BUFFER, &err), 0);
	x->h.out = outbox ? &x->out : NULL;
}

/* Some pages with data, others without, or none at all. */
static void step(struct story *x, uint64_t *seed)
{
	struct mr_error err = MR_ERROR_INIT;
	size_t n = 1 + (next_random(seed) >> 32) % MOST;
	size_t first = (next_random(seed) >> 32) % (PAGES - n);
	uint64_t bits = (next_random(seed) >> 32) & ((UINT64_C(1) << n) - 1);
	struct memory_part p = { .block = &x->block,
				 .offset = first * IMAGE_PAGE,
				 .unit = IMAGE_PAGE,
				 .pages = n,
				 .bits = &bits,
				 .buf = outbox_bytes(&x->out) };

	for (size_t i = 0; i < n; i++) {
		unsigned char *page = p.buf + i * IMAGE_PAGE;

		if (bits_test(&bits, i))
			fill_random(page, IMAGE_PAGE, next_random(seed));
		else
			memset(page, 0, IMAGE_PAGE);
	}
	if ((next_random(seed) >> 32) % 3) {
		memcpy(x->want[first], p.buf, n * IMAGE_PAGE);
		assert_int_equal(
			x->s.sink.ops->put(&x->s.sink, &x->h, 0, &p, &err), 0);
	} else {
		memset(x->want[first], 0, n * IMAGE_PAGE);
		assert_int_equal(x->s.sink.ops->zero(&x->s.sink, &x->h, 0,
						     p.offset, n * IMAGE_PAGE,
						     &err),
				 0);
	}
	assert_int_equal(outbox_next(&x->out, &err), 0);
}

static void finish(struct story *x)
{
	unsigned char got[IMAGE_PAGE];
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(outbox_drain(&x->out, &err), 0);
	for (size_t i = 0; i < PAGES; i++) {
		const struct writer_block *b = &x->w.blocks[0];

		assert_int_equal(bits_test(b->bits, i), x->want[i][0] ||
								x->want[i][1] ||
								x->want[i][2]);
		assert_int_equal(
			pread(x->w.out.file.fd, got, sizeof(got),
			      (off_t)(b->place.pages_offset + i * IMAGE_PAGE)),
			sizeof(got));
		assert_memory_equal(got, x->want[i], sizeof(got));
	}
	assert_int_equal(x->s.sink.ops->end(&x->s.sink, &err), 0);
	outbox_release(&x->out);
	image_writer_release(&x->w);
	free(x->want);
}

static void any_order(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		uint64_t seed = (uint64_t)kind + 1;
		static struct story x;

		no_holes = kind & 1;
		punched = 0;
		begin(&x, kind & 2);
		for (int i = 0; i < STEPS / ONE_OF; i++)
			step(&x, &seed);
		assert_true(punched > STEPS / ONE_OF / 8);
		finish(&x);
	}
	no_holes = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
	};

	return cmocka_run_group_tests_name("image_sink", tests, folder_setup,
					   folder_teardown);
}
