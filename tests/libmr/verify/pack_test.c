/*
 * pack_test.c - what mr_verify says of a pack: nothing of a sound one, and of a
 * wrong bit where it is.
 */
#include "tests/libmr/folder.h"
#include "tests/libmr/packs.h"

static char path[4096];

static int set_up(void **state)
{
	folder = folder_new("/dev/shm");
	if (!folder && folder_setup(state))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/pack", folder);
	return 0;
}

static void write_pack(const struct bytes *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->at, b->n), b->n);
	assert_int_equal(close(fd), 0);
}

static void put_byte(size_t at, uint8_t byte)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	assert_int_equal(close(fd), 0);
}

/* ---- what was found ---- */

struct found {
	unsigned damages;
	bool at; /* one of them has the byte */
	uint64_t byte, from, to; /* looked for; the part of the file it is in */
	enum mr_finding_kind kind; /* of the last one */
	struct mr_page_range range; /* of pages */
	char text[240]; /* of the first one */
};

static void find(void *arg, const struct mr_finding *f)
{
	struct found *x = arg;

	assert_true(f->damage);
	if (!x->damages++)
		memcpy(x->text, f->text, sizeof(x->text));
	x->kind = f->kind;
	if (f->kind == MR_FINDING_PAGES)
		x->range = f->ranges[0];
	/* Of label and index it may be known which field it is, or none. */
	if (f->length ? x->byte >= f->offset && x->byte < f->offset + f->length
		      : f->offset >= x->from && f->offset <= x->to)
		x->at = true;
}

/* 0: sound; 1: damaged; 2: not understood. */
static int verify(unsigned jobs, struct found *x, struct mr_verify_report *r)
{
	struct mr_verify_options o = { .jobs = jobs, .found = find, .arg = x };
	struct mr_error err = MR_ERROR_INIT;

	if (!mr_verify(path, &o, r, &err))
		return r->sound ? 0 : 1;
	assert_int_equal(err.code, MR_UNSUPPORTED);
	memcpy(x->text, err.msg, sizeof(x->text));
	x->at = err.offset >= x->from && err.offset <= x->to;
	return 2;
}

static void test_sound(void **state)
{
	struct mr_verify_options o = { .subsets = 3 };
	struct mr_verify_report r;
	uint64_t read = 0;
	struct made m;

	(void)state;
	packs_large(&m);
	write_pack(&m.pack);
	for (unsigned jobs = 1; jobs < 4; jobs++) {
		struct found x = { 0 };

		assert_int_equal(verify(jobs, &x, &r), 0);
		assert_int_equal(x.damages, 0);
		assert_true(r.sealed);
		assert_int_equal(r.ram, (8 << 20) + (256 << 10));
		assert_int_equal(r.data, 3701 << 10);
		assert_int_equal(r.read, r.data);
		assert_int_equal(r.kind, MR_IMAGE_STREAM);
	}
	for (o.subset = 1; o.subset <= 3; o.subset++) {
		assert_int_equal(mr_verify(path, &o, &r, NULL), 0);
		assert_true(r.sound && r.read && r.read < 2000 << 10);
		assert_int_equal(r.subset, o.subset);
		read += r.read;
	}
	assert_int_equal(read, 3701 << 10);
	packs_drop(&m);
}

/* Where the parts of the pack begin, and where the last one ends. */
static size_t parts_of(const struct made *m, uint64_t *at, size_t room)
{
	struct mem_io io;
	struct packed p;
	size_t n = 0;

	mem_io_init(&io, m->pack.at, m->pack.n);
	assert_int_equal(packed_open(&p, &io.io, NULL), 0);
	at[n++] = 0;
	at[n++] = packed_place(&p, 0).offset;
	for (uint64_t i = 0; i < p.head.extents; i++) {
		struct pack_entry e;
		size_t note;

		packed_entry(&p, i, &e);
		at[n++] = packed_note(&p, &e, &note);
		at[n++] = e.place.offset;
	}
	at[n++] = p.head.tail.offset;
	at[n++] = p.head.tail.offset + p.head.tail.size;
	assert_true(n < room);
	packed_release(&p);
	return n;
}

/* Every bit of a pack: that it is wrong is found, and where. */
static void test_flips(void **state)
{
	struct mr_verify_report r;
	uint64_t parts[32], unknown = 0;
	struct made m;
	size_t n, part = 0;

	(void)state;
	packs_small(&m);
	write_pack(&m.pack);
	n = parts_of(&m, parts, ARRAY_LEN(parts));
	for (size_t i = 0; i < 8 * m.pack.n; i += 3 * ONE_OF) {
		struct found x = { .byte = i / 8 };
		int rc;

		while (part + 1 < n && parts[part + 1] <= i / 8)
			part++;
		x.from = parts[part];
		x.to = part + 1 < n ? parts[part + 1] : m.pack.n;
		put_byte(i / 8, m.pack.at[i / 8] ^ (uint8_t)(1 << i % 8));
		rc = verify(1, &x, &r);
		put_byte(i / 8, m.pack.at[i / 8]);
		assert_true(rc > 0);
		unknown += rc == 2;
		if (!x.at)
			fail_msg("bit %zu: %s", i, x.text);
	}
	/* None that could as well be of a later version. */
	assert_int_equal(unknown, 0);
	packs_drop(&m);
}

/* Of a frame that can still be unpacked it is known which pages differ. */
static void test_pages(void **state)
{
	char put[] = "part0:40=ffff", *list[] = { put, NULL };
	struct mr_verify_report r;
	struct found x = { 0 };
	struct made m;

	(void)state;
	packing.puts = list;
	packs_small(&m);
	packing.puts = NULL;
	/* The note knows nothing of that. */
	write_pack(&m.pack);
	assert_int_equal(verify(2, &x, &r), 1);
	assert_int_equal(x.damages, 1);
	assert_int_equal(x.kind, MR_FINDING_PAGES);
	assert_int_equal(x.range.first, 60);
	assert_int_equal(x.range.pages, 1);
	assert_string_equal(x.text, "page 60 differs from the pack's digest of "
				    "it");
	packs_drop(&m);
}

static void test_refused(void **state)
{
	struct mr_verify_options o = { .repair = true };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report r;
	struct made m;

	(void)state;
	packs_small(&m);
	write_pack(&m.pack);
	assert_int_equal(mr_verify(path, &o, &r, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	err = (struct mr_error)MR_ERROR_INIT;
	o = (struct mr_verify_options){ .seal = true };
	assert_int_equal(mr_verify(path, &o, &r, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	o = (struct mr_verify_options){ .need_seal = true };
	assert_int_equal(mr_verify(path, &o, &r, NULL), 0);
	assert_true(r.sound);
	packs_drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, set_up, folder_teardown);
}
