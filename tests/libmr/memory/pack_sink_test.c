/*
 * pack_sink_test.c - packs and streams: the same bytes whoever works and
 * however slowly, what is in them, and every failure on the way.
 */
#include "tests/libmr/unit.h"

#include <pthread.h>
#include <sys/mman.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/memory/pack_sink.h"
#include "libmr/pack/packed.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)
FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, mmap64,
	  (void *p, size_t len, int prot, int flags, int fd, off_t at),
	  (p, len, prot, flags, fd, at), MAP_FAILED)

enum { PAGE = 4096, EXTENT = 1 << 20, BLOCKS = 3, MOST = 60 << 20 };

/* Extents that can be ahead of the first, but for those without pages: 24 MiB
 * of frames with it. */
#define AHEAD 18u

/* The last one is firmware: its zeros are said. */
static const uint64_t lengths[BLOCKS] = { 48 * EXTENT + 3 * PAGE, 17 * EXTENT,
					  300 * PAGE };

/* ---- a memory that is made up ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned reads; /* extents that were begun with */
	unsigned wait_for; /* the first one is read when so many were */
	bool bad; /* the first one cannot be read */
	bool first; /* it has been read */
	bool too_far; /* one was begun with that had to wait for it */
} pace = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER };

static bool is_data(size_t block, uint64_t page)
{
	return page / 256 % 5 != 3 && (page * 7 + block) % 11 > 2;
}

static int fake_touched(const struct memory *m, const struct memory_block *b,
			uint64_t *bits, struct mr_error *err)
{
	(void)m;
	(void)err;
	for (uint64_t p = 0; p < b->length / PAGE; p++)
		if (is_data(b->index, p))
			bits_set(bits, p, 1);
	return 0;
}

static void fill(unsigned char *to, size_t block, uint64_t page)
{
	/* Half of it does not compress. */
	memset(to, (int)(page * 31 + block), PAGE);
	if (page % 2)
		fill_random(to, PAGE, page * 64 + block + 1);
}

/* One call for the runs of an extent. */
static int fake_read(const struct memory *m, const struct memory_block *b,
		     const struct memory_run *runs, size_t n,
		     struct mr_error *err)
{
	bool first = !b->index && runs->offset < EXTENT;

	(void)m;
	(void)pthread_mutex_lock(&pace.lock);
	pace.reads += !first;
	pace.too_far |= !pace.first && pace.wait_for &&
			(b->index || runs->offset >= 24 * (uint64_t)EXTENT);
	(void)pthread_cond_broadcast(&pace.changed);
	while (first && pace.reads < pace.wait_for)
		(void)pthread_cond_wait(&pace.changed, &pace.lock);
	pace.first |= first;
	(void)pthread_mutex_unlock(&pace.lock);
	if (first && pace.bad)
		return error_set(err, MR_SYS, MR_NO_OFFSET, "bad page");
	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at < runs[i].length; at += PAGE)
			fill((unsigned char *)runs[i].dest + at, b->index,
			     (runs[i].offset + at) / PAGE);
	return 0;
}

static void fake_free(struct memory *m)
{
	(void)m;
}

static const struct memory_ops fake_ops = { .touched = fake_touched,
					    .read = fake_read,
					    .free = fake_free };

static int fake_init(struct memory *m, struct mr_error *err)
{
	static const char *const names[] = { "ram", "more", "bios" };

	*m = (struct memory){ .n = 0 };
	if (memory_init(m, &fake_ops, PAGE, BLOCKS, err))
		return -1;
	m->exact = true;
	for (m->n = 0; m->n < BLOCKS; m->n++)
		m->blocks[m->n] = (struct memory_block){
			.name = names[m->n],
			.length = lengths[m->n],
			.held = lengths[m->n],
			.index = m->n,
		};
	return 0;
}

/* ---- where it goes ---- */

struct paper {
	struct io io;
	uint8_t *bytes;
	size_t len;
	size_t most; /* that one write takes */
	unsigned writes, bad; /* this write fails, counted from 1; 0: none */
};

static ssize_t paper_write(struct io *io, const void *buf, size_t len,
			   uint64_t offset)
{
	struct paper *p = (struct paper *)(void *)io;

	assert_int_equal(offset, p->len);
	if (++p->writes == p->bad) {
		errno = ENOSPC;
		return -1;
	}
	if (p->most && len > p->most)
		len = p->most;
	assert_true(len <= MOST - p->len);
	memcpy(p->bytes + p->len, buf, len);
	p->len += len;
	return (ssize_t)len;
}

static const struct io_ops paper_ops = { .name = "paper",
					 .write = paper_write };

static uint8_t *sheet(void)
{
	static uint8_t *sheets[2];
	static unsigned turn;

	turn = !turn;
	if (!sheets[turn])
		sheets[turn] = __real_malloc(MOST);
	assert_non_null(sheets[turn]);
	return sheets[turn];
}

static void paper_init(struct paper *p)
{
	*p = (struct paper){ .io = { .ops = &paper_ops, .who = 2 },
			     .bytes = sheet() };
}

static int make(struct paper *p, bool plain, unsigned jobs,
		struct mr_error *err)
{
	static uint8_t late[] = { 0 };
	static char text[] = "{}";
	static const struct plain_state state = { .late = late,
						  .late_len = 1,
						  .description = text,
						  .description_len = 2 };
	const struct pack_form form = { .plain = plain,
					.level = 1,
					.label = { .extent_size = EXTENT,
						   .of.made = 7,
						   .of.maker = "test",
						   .of.name = "vm" } };
	const struct memory_copy_options o = { .jobs = jobs };
	struct memory_tally t = { 0 };
	struct pack_sink s;
	struct memory m;
	int rc = -1;

	*err = (struct mr_error)MR_ERROR_INIT;
	pack_sink_init(&s, &form);
	s.config = (struct stream_config){ .machine = "pc-i440fx-10.0" };
	s.state = &state;
	s.io = &p->io;
	s.jobs = jobs;
	if (!fake_init(&m, err)) {
		rc = memory_copy(&m, &s.sink, &o, &t, err) ||
		     s.sink.ops->end(&s.sink, err);
		memory_free(&m);
	}
	s.sink.ops->abandon(&s.sink);
	return rc ? -1 : 0;
}

static int reset(void **state)
{
	(void)state;
	fail_arm(0, 0);
	pace.reads = pace.wait_for = 0;
	pace.bad = pace.first = pace.too_far = false;
	return 0;
}

/* ---- the tests ---- */

static void same_bytes(void **state)
{
	static const unsigned jobs[] = { 2, 3, 8, 64 };

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		struct mr_error err;
		struct paper one, many;

		paper_init(&one);
		assert_int_equal(make(&one, plain, 1, &err), 0);
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			paper_init(&many);
			many.most = i == 1 ? 1000 : 0;
			assert_int_equal(make(&many, plain, jobs[i], &err), 0);
			assert_int_equal(many.len, one.len);
			assert_memory_equal(many.bytes, one.bytes, one.len);
			paper_init(&one);
			one.len = many.len;
			memcpy(one.bytes, many.bytes, many.len);
		}
	}
}

/* The stream in the pack is the plain one; each page is where it must be. */
static void what_is_in_it(void **state)
{
	struct paper pack, stream;
	struct mr_error err;
	struct mem_io file;
	struct packed p;
	uint8_t *all;

	(void)state;
	paper_init(&pack);
	assert_int_equal(make(&pack, false, 3, &err), 0);
	mem_io_init(&file, pack.bytes, pack.len);
	assert_int_equal(packed_open(&p, &file.io, &err), 0);
	assert_int_equal(p.label.of.made, 7);
	assert_string_equal(p.label.of.name, "vm");
	assert_string_equal(p.label.of.maker, "test");
	assert_int_equal(p.head.blocks, BLOCKS);
	all = malloc((size_t)p.io.size);
	assert_non_null(all);
	assert_int_equal(io_read_full(&p.io, all, (size_t)p.io.size, 0, &err),
			 0);
	paper_init(&stream);
	assert_int_equal(make(&stream, true, 2, &err), 0);
	assert_int_equal(stream.len, p.io.size);
	assert_memory_equal(stream.bytes, all, stream.len);
	for (uint64_t i = 0; i < p.head.extents; i++) {
		struct pack_entry e;
		size_t n = 0;

		packed_entry(&p, i, &e);
		for (size_t k = 0; k < pack_pages(&p.label); k++) {
			uint64_t page = e.extent.offset / PAGE + k;
			bool is = page < lengths[e.extent.block] / PAGE;
			unsigned char want[PAGE];

			assert_int_equal(bits_test(e.extent.there, k),
					 is && is_data(e.extent.block, page));
			assert_int_equal(bits_test(e.extent.zero, k),
					 is && e.extent.block == 2 &&
						 !is_data(2, page));
			if (!bits_test(e.extent.there, k))
				continue;
			fill(want, e.extent.block, page);
			assert_memory_equal(
				all + p.at[i + 1] +
					pack_part_at(
						&p.label,
						p.blocks[e.extent.block].name,
						n++),
				want, PAGE);
		}
	}
	free(all);
	packed_release(&p);
}

/* One is so slow that all others are as far ahead as they may: no further, and
 * none of them waits for ever. */
static void one_is_slow(void **state)
{
	struct paper one, many;
	struct mr_error err;

	(void)state;
	paper_init(&one);
	assert_int_equal(make(&one, false, 1, &err), 0);
	for (unsigned jobs = 2; jobs <= 8; jobs *= 2) {
		(void)reset(NULL);
		pace.wait_for = AHEAD;
		paper_init(&many);
		assert_int_equal(make(&many, false, jobs, &err), 0);
		assert_int_equal(many.len, one.len);
		assert_memory_equal(many.bytes, one.bytes, one.len);
		assert_false(pace.too_far);
		paper_init(&one);
		one.len = many.len;
		memcpy(one.bytes, many.bytes, many.len);
	}
}

/* A page that cannot be read while the others wait for it. */
static void bad_page(void **state)
{
	(void)state;
	for (unsigned jobs = 1; jobs <= 8; jobs *= 2) {
		struct mr_error err;
		struct paper p;

		pace.reads = 0;
		pace.wait_for = jobs > 1 ? AHEAD : 0;
		pace.bad = true;
		paper_init(&p);
		assert_int_equal(make(&p, jobs % 4 == 0, jobs, &err), -1);
		assert_string_equal(err.msg, "bad page");
	}
}

static void each_write_fails(void **state)
{
	(void)state;
	for (int plain = 0; plain < 2; plain++)
		for (unsigned jobs = 1; jobs <= 4; jobs *= 4) {
			struct mr_error err;
			struct paper p;
			unsigned all;

			paper_init(&p);
			assert_int_equal(make(&p, plain, jobs, &err), 0);
			all = p.writes;
			assert_true(all > 50);
			for (unsigned i = 1; i <= all;
			     i += i < 4 || i + 4 > all ? 1 : 5) {
				paper_init(&p);
				p.bad = i;
				assert_int_equal(make(&p, plain, jobs, &err),
						 -1);
				assert_int_equal(err.code, MR_SYS);
				assert_int_equal(err.sys, ENOSPC);
				assert_int_equal(err.who, 2);
				/* Nobody goes on behind what is missing. */
				assert_int_equal(p.writes, i);
			}
		}
}

static void no_memory(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (unsigned nth = 1;; nth++) {
		const char *name;
		struct mr_error err;
		struct paper p;
		int rc;

		paper_init(&p);
		fail_arm(nth, ENOMEM);
		rc = make(&p, nth % 2, 1, &err);
		name = fail_plan.name;
		fail_arm(0, 0);
		if (!name) {
			assert_int_equal(rc, 0);
			break;
		}
		failures += rc != 0;
		if (rc)
			assert_int_not_equal(err.code, MR_OK);
		assert_true(nth < 1000);
	}
	assert_true(failures > 30);
}

static void misfits(void **state)
{
	static const struct plain_state none = { .early = NULL };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct pack_form form = {
			.level = 1, .label = { .extent_size = EXTENT }
		};
		struct mr_error err = MR_ERROR_INIT;
		struct paper p;
		struct pack_sink s;
		struct memory m;

		paper_init(&p);
		assert_int_equal(fake_init(&m, &err), 0);
		m.page = i ? 512 : PAGE;
		m.extent = i ? EXTENT : 8 * EXTENT;
		pack_sink_init(&s, &form);
		s.io = &p.io;
		s.state = &none;
		assert_int_equal(s.sink.ops->begin(&s.sink, &m, &err), -1);
		assert_int_equal(err.code, MR_UNSUPPORTED);
		s.sink.ops->abandon(&s.sink);
		m.page = PAGE;
		memory_free(&m);
		assert_int_equal(p.writes, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(same_bytes, reset),
		cmocka_unit_test_setup(what_is_in_it, reset),
		cmocka_unit_test_setup(one_is_slow, reset),
		cmocka_unit_test_setup(bad_page, reset),
		cmocka_unit_test_setup(each_write_fails, reset),
		cmocka_unit_test_setup(no_memory, reset),
		cmocka_unit_test_setup(misfits, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
