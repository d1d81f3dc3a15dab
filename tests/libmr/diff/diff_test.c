/*
 * diff_test.c - what mr_diff says of two images, against what they were made
 * to hold.
 *
 * Each page of each image is made in one of the ways that a page can be in a
 * file; what it means is kept in memory beside it, and the verb has to agree
 * with a comparison of the two memories byte by byte.
 */
#include "tests/libmr/folder.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "libmr/diff/state.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t size), (p, size), NULL)
FAIL_WRAP(void *, mmap64,
	  (void *at, size_t len, int prot, int flags, int fd, off_t offset),
	  (at, len, prot, flags, fd, offset), MAP_FAILED)
FAIL_WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)

/* ---- images and what they mean ---- */

enum { BLOCKS = 3 };

/* An image in the making; lengths are in bytes, 0: no such block. */
struct plan {
	uint32_t page_bits;
	uint64_t length[BLOCKS];
	unsigned order[BLOCKS];
	bool moved; /* behind a header of libvirt's, which moves all offsets */
	uint8_t device; /* what its device's bytes are */
	size_t device_size;
	uint64_t seed;
};

struct model {
	uint8_t *bytes[BLOCKS];
	uint64_t length[BLOCKS];
};

static const char *const names[BLOCKS] = { "pc.ram", "0000:00:02.0/vga.vram",
					   "a" };

enum way {
	HOLE, /* clear bit, nothing there */
	STALE, /* clear bit over data */
	SET_HOLE, /* set bit over a hole */
	SET_ZERO, /* set bit over zeros */
	DATA, /* three of them, the last two nearly the same */
	OTHER,
	NEARLY,
	PARTLY, /* its first 4 KiB, and a hole where the rest would be zeros */
	WAYS
};

static void put_bytes(const struct build *b, const uint8_t *buf, size_t len,
		      uint64_t at)
{
	assert_int_equal(pwrite(b->fd, buf, len, (off_t)at), len);
}

static void put_page(const struct build *b, const struct build_block *k,
		     uint64_t page, enum way way, uint8_t *means)
{
	uint64_t at = k->place.pages_offset + page * b->page_size;
	uint64_t bit_at = k->place.bitmap_offset + page / 8;
	uint8_t buf[65536] = { 0 }, byte = 0;

	if (way == STALE || way >= DATA)
		build_page(buf, b->page_size, way == DATA ? page : page + 9999);
	if (way == NEARLY)
		buf[b->page_size - 1] ^= 1;
	if (way == PARTLY)
		memset(buf + 512, 0, b->page_size - 512);
	if (way == PARTLY && b->page_size > 4096)
		put_bytes(b, buf, 4096, at);
	else if (way == STALE || way >= SET_ZERO)
		put_bytes(b, buf, b->page_size, at);
	if (way >= SET_HOLE) {
		assert_true(pread(b->fd, &byte, 1, (off_t)bit_at) >= 0);
		byte |= (uint8_t)(1 << page % 8);
		put_bytes(b, &byte, 1, bit_at);
	}
	if (way >= DATA)
		memcpy(means + page * b->page_size, buf, b->page_size);
}

/* Runs of pages that are alike, and single ones. */
static void put_pages(const struct build *b, const struct build_block *k,
		      uint8_t *means, uint64_t *seed)
{
	uint64_t pages = k->length / b->page_size;

	for (uint64_t p = 0; p < pages;) {
		uint64_t run = next_random(seed) % 3 ? 1 + next_random(seed) % 3
						     : next_random(seed) % 80;
		enum way way = (enum way)(next_random(seed) % WAYS);

		for (; run && p < pages; run--, p++)
			put_page(b, k, p, way, means);
	}
}

static void make_image(const char *name, const struct plan *plan,
		       struct model *m)
{
	struct build b = { .ram_id = 2,
			   .next_id = 3,
			   .page_size = 1U << plan->page_bits };
	struct libvirt_header h = { .complete = true,
				    .version = LIBVIRT_VERSION,
				    .format = LIBVIRT_SPARSE };
	struct build_block blocks[BLOCKS] = { { 0 } };
	uint64_t seed = plan->seed;
	size_t n = 0, of[BLOCKS];
	uint8_t *device = malloc(plan->device_size + 1);

	b.fd = openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(b.fd >= 0);
	assert_non_null(device);
	*m = (struct model){ .length[0] = 0 };
	b.config.mapped_ram = true;
	b.config.target_page_bits = plan->page_bits;
	(void)snprintf(b.config.machine, sizeof(b.config.machine), "pc");
	for (size_t i = 0; i < BLOCKS; i++) {
		unsigned k = plan->order[i];

		if (!plan->length[k])
			continue;
		of[n] = k;
		blocks[n].name = names[k];
		blocks[n++].length = m->length[k] = plan->length[k];
		m->bytes[k] = calloc(1, plan->length[k]);
		assert_non_null(m->bytes[k]);
	}
	if (plan->moved)
		build_libvirt(&b, h, "<domain/>", 12345);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, blocks, n);
	for (size_t i = 0; i < n; i++)
		put_pages(&b, &blocks[i], m->bytes[of[i]], &seed);
	build_ram_empty(&b, STREAM_END);
	memset(device, plan->device, plan->device_size);
	build_device(&b, "gadget", device, plan->device_size);
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	assert_int_equal(close(b.fd), 0);
	free(device);
}

static void model_free(struct model *m)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free(m->bytes[i]);
}

/* ---- the model ---- */

/* Byte by byte, by one thread: nothing for a sanitizer of threads. */
__attribute__((no_sanitize("thread"))) static enum mr_diff_class
class_of(const uint8_t *a, const uint8_t *b, size_t len)
{
	bool za = true, zb = true;

	for (size_t i = 0; i < len; i++) {
		za &= !a[i];
		zb &= !b[i];
	}
	if (za && zb)
		return MR_DIFF_ZERO;
	if (za)
		return MR_DIFF_ONLY_B;
	if (zb)
		return MR_DIFF_ONLY_A;
	return memcmp(a, b, len) ? MR_DIFF_CHANGED : MR_DIFF_EQUAL;
}

static const struct mr_diff_block *find(const struct mr_diff_info *info,
					const char *name, size_t *at)
{
	for (*at = 0; *at < info->n_blocks; ++*at)
		if (!strcmp(info->blocks[*at].name, name))
			return &info->blocks[*at];
	return NULL;
}

/* Every page of a block, asked for in every way. */
static void check_pages(const struct mr_diff *d, size_t at, const uint8_t *a,
			const uint8_t *b, uint64_t pages)
{
	size_t unit = mr_diff_info(d)->page_size;
	uint64_t sum[MR_DIFF_CLASSES] = { 0 }, next = 0, left = 0;
	enum mr_diff_class in = MR_DIFF_ZERO;
	uint8_t buf[65536];

	left = mr_diff_next(d, at, &next, &in);
	for (uint64_t p = 0; p < pages; p++) {
		const uint8_t *pa = a + p * unit, *pb = b + p * unit;
		enum mr_diff_class want = class_of(pa, pb, unit);
		uint64_t one[MR_DIFF_CLASSES] = { 0 };
		bool listed = left && p >= next && p < next + left;

		mr_diff_count(d, at, p, 1, one);
		for (int c = 0; c < MR_DIFF_CLASSES; c++)
			assert_int_equal(one[c], c == (int)want);
		sum[want]++;
		assert_int_equal(listed, want >= MR_DIFF_CHANGED);
		if (listed)
			assert_int_equal(in, want);
		if (listed && p + 1 == next + left) {
			next += left;
			left = mr_diff_next(d, at, &next, &in);
		}
		assert_int_equal(mr_diff_page(d, at, p, MR_A, buf, NULL), 0);
		assert_memory_equal(buf, pa, unit);
		assert_int_equal(mr_diff_page(d, at, p, MR_B, buf, NULL), 0);
		assert_memory_equal(buf, pb, unit);
	}
	assert_int_equal(left, 0);
	assert_memory_equal(sum, mr_diff_info(d)->blocks[at].pages,
			    sizeof(sum));
}

static void check(const struct mr_diff *d, const struct model *a,
		  const struct model *b)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	size_t n = 0, at;

	for (size_t i = 0; i < BLOCKS; i++) {
		const struct mr_diff_block *k = find(info, names[i], &at);
		uint64_t common = a->length[i] < b->length[i] ? a->length[i]
							      : b->length[i];

		n += k != NULL;
		assert_int_equal(k != NULL, a->length[i] || b->length[i]);
		if (!k)
			continue;
		assert_int_equal(k->of[MR_A].listed, a->length[i] != 0);
		assert_int_equal(k->of[MR_B].listed, b->length[i] != 0);
		assert_int_equal(k->compared, common);
		if (common)
			check_pages(d, at, a->bytes[i], b->bytes[i],
				    common / info->page_size);
		assert_int_equal(k->same, a->length[i] == b->length[i] &&
						  !memcmp(a->bytes[i],
							  b->bytes[i], common));
	}
	assert_int_equal(info->n_blocks, n);
}

static struct mr_diff *diff(const struct mr_diff_options *o)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff *d = mr_diff("a", "b", o, &err);

	/* Not every file system has it. */
	if (!d && o->direct == MR_DIRECT_ON && err.code == MR_UNSUPPORTED)
		return NULL;
	assert_string_equal(err.msg, "");
	assert_non_null(d);
	return d;
}

static void compare_plans(const struct plan *pa, const struct plan *pb)
{
	static const enum mr_direct directs[] = { MR_DIRECT_AUTO, MR_DIRECT_ON,
						  MR_DIRECT_OFF };
	struct mr_diff_options o = { .jobs = 1 };
	struct model a, b;

	make_image("a", pa, &a);
	make_image("b", pb, &b);
	for (size_t i = 0; i < ARRAY_LEN(directs); i++) {
		struct mr_diff *d;

		o.direct = directs[i];
		o.jobs = 1 + (unsigned)i;
		d = diff(&o);
		if (d)
			check(d, &a, &b);
		mr_diff_free(d);
	}
	model_free(&a);
	model_free(&b);
}

static uint64_t some_length(uint64_t *seed, uint32_t bits)
{
	return (1 + next_random(seed) % 700) << bits;
}

/* Layouts, orders, offsets, lengths: any. */
static void any_two(void **state)
{
	static const unsigned orders[][BLOCKS] = { { 0, 1, 2 },
						   { 2, 0, 1 },
						   { 1, 2, 0 } };
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 40; round++) {
		struct plan p[MR_SIDES];
		uint32_t bits = round % 5 ? 12 : 10 + next_random(&seed) % 4;

		for (int i = 0; i < MR_SIDES; i++) {
			p[i] = (struct plan){ .page_bits = bits,
					      .moved = next_random(&seed) & 1,
					      .device = 1,
					      .device_size = 10 };
			memcpy(p[i].order,
			       orders[next_random(&seed) % ARRAY_LEN(orders)],
			       sizeof(p[i].order));
			/* The same pages, or others. */
			p[i].seed = i && next_random(&seed) % 3 == 0
					    ? p[0].seed
					    : next_random(&seed);
		}
		for (int k = 0; k < BLOCKS; k++) {
			p[0].length[k] = some_length(&seed, bits);
			p[1].length[k] = next_random(&seed) % 3
						 ? p[0].length[k]
						 : some_length(&seed, bits);
			if (k && next_random(&seed) % 6 == 0)
				p[next_random(&seed) & 1].length[k] = 0;
		}
		compare_plans(&p[0], &p[1]);
	}
}

/* Of targets with other pages: the smaller ones count. */
static void page_sizes(void **state)
{
	static const uint32_t bits[] = { 10, 12, 13, 16 };
	struct plan p[MR_SIDES] = {
		{ .order = { 0, 1, 2 }, .device_size = 1, .seed = 3 },
		{ .order = { 1, 2, 0 }, .device_size = 1, .seed = 4 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		for (size_t j = 0; j < ARRAY_LEN(bits); j++) {
			p[0].page_bits = bits[i];
			p[1].page_bits = bits[j];
			p[0].length[0] = p[1].length[0] = 5 << 18;
			p[0].length[1] = 3 << 18;
			p[1].length[1] = 7 << 18;
			compare_plans(&p[0], &p[1]);
		}
}

static void make_two(struct plan p[MR_SIDES], struct model m[MR_SIDES])
{
	for (int i = 0; i < MR_SIDES; i++) {
		p[i] = (struct plan){ .page_bits = 12,
				      .order = { 0, 1, 2 },
				      .length = { 300 << 12, 70 << 12 },
				      .device = 1,
				      .device_size = 100,
				      .seed = 31 };
		make_image(i ? "b" : "a", &p[i], &m[i]);
	}
}

/* A part of a block, and nothing else. */
static void only(void **state)
{
	static const struct {
		const char *text;
		uint64_t offset, length;
	} good[] = {
		{ "pc.ram", 0, 300 << 12 },
		{ "0000:00:02.0/vga.vram", 0, 70 << 12 },
		{ "pc.ram:0", 0, 4096 },
		{ "pc.ram:0x1fff", 4096, 4096 },
		{ "pc.ram:8192+1", 8192, 4096 },
		{ "pc.ram:64K+1M", 64 << 10, 1 << 20 },
		{ "pc.ram:0x1000+0x1001", 4096, 8192 },
		{ "pc.ram:1M+1T", 1 << 20, (300 << 12) - (1 << 20) },
		{ "0000:00:02.0/vga.vram:68K", 68 << 10, 4096 },
	};
	static const char *const bad[] = {
		"",
		":",
		"pc",
		"pc.ram:",
		"pc.ram:x",
		"pc.ram:0+",
		"pc.ram:0+0",
		"pc.ram:-1",
		"pc.ram:2M",
		"pc.ram:1K1",
		"pc.ram:0+1 ",
		"02.0/vga.vram",
		"pc.ram:0:",
		"pc.ram: 0",
		"a",
		"pc.ram:1G",
		"pc.ram:+1",
		"pc.ram:1+2+3",
		"pc.ram:99999999999999999999",
	};
	struct mr_diff_options o = { .jobs = 2 };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];

	(void)state;
	make_two(p, m);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		uint64_t all[MR_DIFF_CLASSES] = { 0 }, sum = 0;
		const struct mr_diff_info *info;
		struct mr_diff *d;

		o.only = good[i].text;
		d = diff(&o);
		info = mr_diff_info(d);
		assert_true(info->same);
		assert_false(info->has_sections);
		assert_int_equal(info->n_blocks, 1);
		assert_int_equal(info->blocks[0].offset, good[i].offset);
		assert_int_equal(info->blocks[0].compared, good[i].length);
		mr_diff_count(d, 0, 0, UINT32_MAX, all);
		for (int c = 0; c < MR_DIFF_CLASSES; c++)
			sum += all[c];
		assert_int_equal(sum, good[i].length / 4096);
		memset(all, 0, sizeof(all));
		mr_diff_count(d, 0, 0, good[i].offset / 8192, all);
		for (int c = 0; c < MR_DIFF_CLASSES; c++)
			assert_int_equal(all[c], 0);
		mr_diff_free(d);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mr_error err = MR_ERROR_INIT;

		o.only = bad[i];
		assert_null(mr_diff("a", "b", &o, &err));
		assert_int_equal(err.code, MR_USAGE);
	}
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* One page that differs, at any place of any part. */
static void only_where_it_differs(void **state)
{
	struct mr_diff_options o = { .jobs = 1 };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	struct mr_diff *d;
	uint64_t first = 0;
	enum mr_diff_class c;

	(void)state;
	make_two(p, m);
	p[MR_B].seed++;
	model_free(&m[MR_B]);
	make_image("b", &p[MR_B], &m[MR_B]);
	for (uint64_t page = 0; page < 300; page += 7) {
		const uint8_t *a = m[MR_A].bytes[0] + page * 4096;
		const uint8_t *b = m[MR_B].bytes[0] + page * 4096;
		char text[64];

		(void)snprintf(text, sizeof(text), "pc.ram:%lu",
			       (unsigned long)page * 4096);
		o.only = text;
		d = diff(&o);
		first = 0;
		assert_int_equal(mr_diff_info(d)->same, !memcmp(a, b, 4096));
		if (memcmp(a, b, 4096) != 0) {
			assert_int_equal(mr_diff_next(d, 0, &first, &c), 1);
			assert_int_equal(first, page);
			assert_int_equal(c, class_of(a, b, 4096));
			first++;
		}
		assert_int_equal(mr_diff_next(d, 0, &first, &c), 0);
		mr_diff_free(d);
	}
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* Bits over holes are not read, nor is what has no bit. */
static void reads_what_there_is(void **state)
{
	enum { PAGES = 10000, EACH = 4096 };
	struct mr_diff_options o = { .jobs = 1, .direct = MR_DIRECT_OFF };
	struct build_run runs[] = { { 0, 3 }, { 5000, 300 }, { PAGES - 1, 1 } };
	struct build_block k = { .name = "pc.ram",
				 .length = PAGES * (uint64_t)EACH,
				 .runs = runs,
				 .n_runs = ARRAY_LEN(runs) };
	struct mr_diff *d;

	(void)state;
	for (int i = 0; i < MR_SIDES; i++) {
		struct build b = { .ram_id = 2,
				   .next_id = 3,
				   .page_size = EACH };
		const uint8_t all[PAGES / 8] = { 0 };

		b.fd = open(i ? "b" : "a", O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_true(b.fd >= 0);
		b.config.mapped_ram = true;
		build_header(&b);
		build_config(&b);
		build_ram_start(&b, &k, 1);
		for (size_t at = 0; i && at < sizeof(all); at++)
			put_bytes(&b, (const uint8_t *)"\377", 1,
				  k.place.bitmap_offset + at);
		if (!i)
			build_bitmaps(&b, &k, 1);
		build_ram_empty(&b, STREAM_END);
		build_eof(&b);
		build_vmdesc(&b);
		build_done(&b);
		assert_int_equal(close(b.fd), 0);
	}
	d = diff(&o);
	assert_true(mr_diff_info(d)->same);
	assert_int_equal(mr_diff_info(d)->pages[MR_DIFF_EQUAL], 304);
	assert_int_equal(mr_diff_info(d)->of[MR_A].read, 304 * EACH);
	assert_int_equal(mr_diff_info(d)->of[MR_B].read, 304 * EACH);
	mr_diff_free(d);
}

/* ---- device sections ---- */

static const struct mr_diff_section *gadget(const struct mr_diff *d)
{
	const struct mr_diff_info *info = mr_diff_info(d);

	assert_true(info->has_sections);
	assert_int_equal(info->n_sections, 1);
	assert_string_equal(info->sections[0].name, "gadget");
	return &info->sections[0];
}

static void devices(void **state)
{
	struct mr_diff_options o = { .jobs = 1 };
	const struct mr_diff_section *s;
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	struct mr_diff *d;
	int fd;

	(void)state;
	make_two(p, m);
	d = diff(&o);
	s = gadget(d);
	assert_true(s->same && mr_diff_info(d)->same);
	assert_int_equal(s->of[MR_A].length, 100);
	fd = open("b", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			pwrite(fd, "xy", 2,
			       (off_t)s->of[MR_B].offset + 10 + 40 * i),
			2);
	assert_int_equal(close(fd), 0);
	mr_diff_free(d);

	d = diff(&o);
	s = gadget(d);
	assert_false(s->same || mr_diff_info(d)->same);
	assert_int_equal(s->n_bytes, 3);
	assert_int_equal(s->differing, 6);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(s->bytes[i].offset, 10 + 40 * i);
		assert_int_equal(s->bytes[i].length, 2);
	}
	mr_diff_free(d);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* Another version: not the same, whatever the bytes are. */
static void device_versions(void **state)
{
	struct mr_diff_options o = { .jobs = 1 };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	struct mr_diff *d;
	int fd;

	(void)state;
	make_two(p, m);
	d = diff(&o);
	fd = open("b", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	/* The last thing before the payload. */
	assert_int_equal(
		pwrite(fd, "\2", 1, (off_t)gadget(d)->of[MR_B].offset - 1), 1);
	assert_int_equal(close(fd), 0);
	mr_diff_free(d);
	d = diff(&o);
	assert_int_equal(gadget(d)->of[MR_A].version, 1);
	assert_int_equal(gadget(d)->of[MR_B].version, 2);
	assert_int_equal(gadget(d)->n_bytes, 0);
	assert_false(gadget(d)->same || mr_diff_info(d)->same);
	mr_diff_free(d);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* Another length as well. */
static void device_lengths(void **state)
{
	struct mr_diff_options o = { .jobs = 1 };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	struct mr_diff *d;

	(void)state;
	make_two(p, m);
	model_free(&m[MR_B]);
	p[MR_B].device_size = 70000;
	make_image("b", &p[MR_B], &m[MR_B]);
	d = diff(&o);
	assert_false(gadget(d)->same || mr_diff_info(d)->same);
	assert_int_equal(gadget(d)->n_bytes, 0);
	mr_diff_free(d);
	o.memory_only = true;
	d = diff(&o);
	assert_true(mr_diff_info(d)->same);
	assert_false(mr_diff_info(d)->has_sections);
	mr_diff_free(d);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* ---- ways not to get there ---- */

static void brief(void **state)
{
	struct mr_diff_options o = { .jobs = 2, .brief = true };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	struct mr_diff *d;

	(void)state;
	make_two(p, m);
	d = diff(&o);
	assert_true(mr_diff_info(d)->same);
	mr_diff_free(d);
	p[MR_B].seed++;
	model_free(&m[MR_B]);
	make_image("b", &p[MR_B], &m[MR_B]);
	d = diff(&o);
	assert_false(mr_diff_info(d)->same);
	mr_diff_free(d);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

static void cancelled(void **state)
{
	atomic_bool cancel = true;
	struct mr_diff_options o = { .jobs = 2, .watch.cancel = &cancel };
	struct mr_error err = MR_ERROR_INIT;
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];

	(void)state;
	make_two(p, m);
	assert_null(mr_diff("a", "b", &o, &err));
	assert_int_equal(err.code, MR_CANCELLED);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* The one to blame is named. */
static void whose_fault(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "vm" };
	struct mr_diff_options o = { .jobs = 1 };
	struct mr_error err = MR_ERROR_INIT;
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	make_two(p, m);
	assert_true(s >= 0);
	assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
	/* Nobody listens. */
	assert_null(mr_diff("a", "vm", &o, &err));
	assert_int_equal(err.who, 2);
	assert_int_equal(err.sys, ECONNREFUSED);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_null(mr_diff("vm", "a", &o, &err));
	assert_int_equal(err.who, 1);
	err = (struct mr_error)MR_ERROR_INIT;
	assert_null(mr_diff("a", "absent", &o, &err));
	assert_int_equal(err.who, 2);
	assert_int_equal(err.sys, ENOENT);
	assert_int_equal(close(s), 0);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

/* Every call that can fail does: an error, or the right answer. */
static void failures(int with)
{
	struct mr_diff_options o = { .jobs = 1 };
	struct plan p[MR_SIDES];
	struct model m[MR_SIDES];
	unsigned n = 0, failed = 0, blamed[MR_SIDES] = { 0 };

	make_two(p, m);
	for (bool more = true; more; n++) {
		struct mr_error err = MR_ERROR_INIT;
		const char *name;
		struct mr_diff *d;

		fail_arm(n + 1, with);
		d = mr_diff("a", "b", &o, &err);
		name = fail_plan.name;
		more = name != NULL;
		fail_arm(0, 0);
		assert_true(d || err.code != MR_OK);
		assert_true(more || d);
		/* Whose fault it is, and where. */
		if (!d && !strcmp(name, "pread64")) {
			assert_in_range(err.who, 1, 2);
			assert_int_equal(err.sys, with);
			blamed[err.who - 1] +=
				strstr(err.msg, " of block ") != NULL;
		}
		if (d) {
			assert_true(mr_diff_info(d)->same);
			check(d, &m[MR_A], &m[MR_B]);
		}
		failed += !d;
		mr_diff_free(d);
	}
	assert_true(failed > 20);
	assert_true(blamed[MR_A] > 2 && blamed[MR_B] > 2);
	model_free(&m[MR_A]);
	model_free(&m[MR_B]);
}

static void every_call_fails(void **state)
{
	(void)state;
	failures(ENOMEM);
	failures(EIO);
}

static int setup(void **state)
{
	return folder_setup(state) || chdir(folder) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_two),
		cmocka_unit_test(page_sizes),
		cmocka_unit_test(only),
		cmocka_unit_test(only_where_it_differs),
		cmocka_unit_test(reads_what_there_is),
		cmocka_unit_test(devices),
		cmocka_unit_test(device_versions),
		cmocka_unit_test(device_lengths),
		cmocka_unit_test(brief),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(whose_fault),
		cmocka_unit_test(every_call_fails),
	};

	return cmocka_run_group_tests(tests, setup, folder_teardown);
}
