/*
 * verify_test.c - what mr_verify finds, what it mends, and what it leaves.
 *
 * Images are small files made with build.h. Where the kernel's asynchronous
 * I/O is not what is tested, it is refused: giving it back takes longer than
 * everything else.
 */
#include "formats/bits.h"
#include "tests/libmr/folder.h"

#include <inttypes.h>
#include <zlib.h>

#include "formats/seal.h"
#include "libmr/base/hash.h"
#include "libmr/image/image.h"
#include "libmr/seal/pages.h"
#include "libmr/seal/sealed.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"
#include "tests/libmr/unreadable.h"

FAIL_WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)
FAIL_WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), -1)
FAIL_WRAP(int, fsync, (int fd), (fd), -1)
FAIL_WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t len),
	  (fd, mode, at, len), -1)

static char path[4096];

/* In memory where there is some: there are thousands of small writes. */
static int set_up(void **state)
{
	folder = folder_new("/dev/shm");
	if (!folder && folder_setup(state))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/image", folder);
	return 0;
}

/* ---- images ---- */

enum { PAGE = 4096, RAM_PAGES = 1100, ROM_PAGES = 20 };

/* 4.3 MiB: five extents, the last one short, the third without a page. */
static const struct build_run ram_runs[] = {
	{ 0, 256 }, { 300, 7 }, { 320, 1 }, { 800, 3 }, { 1099, 1 }
};
static const struct build_run rom_runs[] = { { 3, 4 } };

static struct build_block blocks[2];

struct want {
	bool libvirt, no_end, no_bitmaps, interrupted;
	size_t device; /* bytes */
};

static void write_image(struct build *b, const struct want *w)
{
	struct libvirt_header h = { .complete = true,
				    .version = LIBVIRT_VERSION,
				    .format = LIBVIRT_SPARSE };

	blocks[0] = (struct build_block){ .name = "pc.ram",
					  .length = RAM_PAGES * PAGE,
					  .runs = ram_runs,
					  .n_runs = ARRAY_LEN(ram_runs) };
	blocks[1] = (struct build_block){ .name = "pc.bios",
					  .length = ROM_PAGES * PAGE,
					  .runs = rom_runs,
					  .n_runs = ARRAY_LEN(rom_runs) };
	if (w->libvirt)
		build_libvirt(b, h, "<domain type='kvm'/>", 65536);
	build_header(b);
	build_config(b);
	build_ram_start(b, blocks, 2);
	if (w->interrupted)
		return;
	if (!w->no_bitmaps)
		build_bitmaps(b, blocks, 2);
	if (!w->no_end)
		build_ram_empty(b, STREAM_END);
	build_globalstate(b, "running");
	build_filler(b, "timer", w->device ? w->device : 2000);
	build_filler(b, "serial", 100);
	build_eof(b);
	build_vmdesc(b);
}

static void make_image(const struct want *w)
{
	static const struct want plain;
	struct build b = { .fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600),
			   .page_size = PAGE,
			   .ram_id = 2,
			   .next_id = 3 };

	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	memcpy(b.config.machine, "pc-i440fx-10.0", 15);
	write_image(&b, w ? w : &plain);
	build_done(&b);
	assert_int_equal(close(b.fd), 0);
}

/* The file as bytes. */
struct bytes {
	unsigned char *data;
	size_t len;
};

static struct bytes slurp(void)
{
	struct bytes b;
	int fd = open(path, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	b.len = (size_t)st.st_size;
	b.data = malloc(b.len);
	assert_non_null(b.data);
	assert_int_equal(pread(fd, b.data, b.len, 0), b.len);
	(void)close(fd);
	return b;
}

static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static void poke(uint64_t at, const void *buf, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(__real_pwrite64(fd, buf, len, (off_t)at), len);
	(void)close(fd);
}

static void poke_byte(uint64_t at, uint8_t byte)
{
	poke(at, &byte, 1);
}

static void cut(uint64_t size)
{
	assert_int_equal(truncate(path, (off_t)size), 0);
}

static uint64_t page_at(size_t block, uint64_t page)
{
	return blocks[block].place.pages_offset + page * PAGE;
}

static uint64_t bit_at(size_t block, uint64_t page)
{
	return blocks[block].place.bitmap_offset + page / 8;
}

static void punch(uint64_t at, uint64_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(__real_fallocate64(
				 fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)at, (off_t)len),
			 0);
	(void)close(fd);
}

/* ---- verifying ---- */

enum { MAX_FOUND = 64 };

static struct {
	struct mr_finding f[MAX_FOUND];
	char block[MAX_FOUND][32];
	size_t n;
	/* Of the last finding that has some. */
	struct mr_page_range ranges[MR_FINDING_RANGES];
	size_t did;
	struct mr_verify_report r;
	struct mr_error err;
} got;

static void on_found(void *arg, const struct mr_finding *f)
{
	(void)arg;
	if (got.n == MAX_FOUND)
		return;
	got.f[got.n] = *f;
	for (size_t i = 0; f->ranges && i < f->n_ranges; i++)
		if (i < MR_FINDING_RANGES)
			got.ranges[i] = f->ranges[i];
	(void)snprintf(got.block[got.n], sizeof(got.block[0]), "%s",
		       f->block ? f->block : "");
	got.n++;
}

static void on_did(void *arg, const char *line)
{
	(void)arg;
	(void)line;
	got.did++;
}

static int run(struct mr_verify_options o)
{
	int rc;

	got.n = got.did = 0;
	got.err = (struct mr_error)MR_ERROR_INIT;
	o.found = on_found;
	o.did = on_did;
	rc = mr_verify(path, &o, &got.r, &got.err);
	assert_int_equal(rc != 0, got.err.code != MR_OK);
	return rc;
}

static bool sound(void)
{
	assert_int_equal(run((struct mr_verify_options){ .jobs = 1 }), 0);
	return got.r.sound;
}

static void mend(void)
{
	assert_int_equal(
		run((struct mr_verify_options){ .jobs = 2, .repair = true }),
		0);
}

static void seal(void)
{
	assert_int_equal(
		run((struct mr_verify_options){ .jobs = 2, .seal = true }), 0);
	assert_true(got.r.sound);
}

/* The only finding, or the ith. */
static const struct mr_finding *found(size_t i, enum mr_finding_kind kind,
				      bool damage, const char *block)
{
	assert_in_range(i, 0, got.n - 1);
	assert_string_equal(mr_finding_kind_name(got.f[i].kind),
			    mr_finding_kind_name(kind));
	assert_int_equal(got.f[i].damage, damage);
	assert_string_equal(got.block[i], block);
	return &got.f[i];
}

static void found_pages(size_t i, enum mr_finding_kind kind, bool damage,
			const char *block, uint64_t first, uint64_t pages,
			uint64_t count)
{
	const struct mr_finding *f = found(i, kind, damage, block);

	assert_int_equal(f->first, first);
	assert_int_equal(f->pages, pages);
	assert_int_equal(f->count, count);
}

/* ---- what a restore would give ---- */

static struct seal_digest memory(void)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	struct hash *h = hash_new();
	static const uint8_t zeros[PAGE];
	struct seal_digest d;

	assert_non_null(img);
	assert_non_null(h);
	hash_start(h);
	for (size_t i = 0; i < img->info.n_blocks; i++) {
		const struct mr_block *b = &img->info.blocks[i];
		uint64_t words[32];

		assert_int_equal(mr_image_bitmap(img, b, 0, words,
						 (size_t)mr_block_words(b),
						 &err),
				 0);
		for (uint64_t p = 0; p < b->pages; p++) {
			uint8_t page[PAGE];

			if (!bits_test(words, p)) {
				hash_add(h, zeros, PAGE);
				continue;
			}
			assert_int_equal(
				io_read_full(img->io, page, PAGE,
					     b->pages_offset + p * PAGE, &err),
				0);
			hash_add(h, page, PAGE);
		}
	}
	d = hash_end(h);
	hash_free(h);
	mr_image_free(img);
	return d;
}

static void same_memory(const struct seal_digest *a)
{
	struct seal_digest b = memory();

	assert_memory_equal(a, &b, sizeof(b));
}

/* ---- structure ---- */

/* Page n of "pc.ram", compressed by itself. Returns the byte of its end. */
static uint64_t put_packed(struct build *b, uint64_t n)
{
	uint8_t page[PAGE], packed[2 * PAGE];
	uLongf len = sizeof(packed);

	build_page(page, PAGE, n);
	assert_int_equal(compress2(packed, &len, page, PAGE, 1), Z_OK);
	build_item(b, RAM_COMPRESS, "pc.ram", n * PAGE, packed, len);
	return b->at;
}

static void put_part(struct build *b, enum stream_type type)
{
	build_element(b, type, b->ram_id, NULL, 0);
}

/* A plain stream as of QEMU before 9.1; ends: where pages 0 to 3 do. */
static void make_compressed(uint64_t ends[4], bool whole)
{
	struct build b = { .fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600),
			   .page_size = PAGE,
			   .ram_id = 2,
			   .next_id = 3 };
	static const uint8_t change[] = { 9, 1, 0x55 };
	struct build_block k = { .name = "pc.ram", .length = 8 * PAGE };

	assert_true(b.fd >= 0);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	put_part(&b, STREAM_PART);
	for (uint64_t p = 0; p < 4; p++)
		ends[p] = put_packed(&b, p);
	build_item(&b, RAM_XBZRLE, "pc.ram", 3 * (uint64_t)PAGE, change,
		   sizeof(change));
	(void)put_packed(&b, 2);
	build_word(&b, RAM_EOS);
	build_footer(&b, b.ram_id);
	if (whole) {
		build_ram_empty(&b, STREAM_END);
		build_filler(&b, "serial", 100);
		build_eof(&b);
		build_vmdesc(&b);
	}
	build_done(&b);
	assert_int_equal(close(b.fd), 0);
}

static void compressed_pages(void **state)
{
	uint64_t ends[4];

	(void)state;
	make_compressed(ends, true);
	assert_true(sound());
	assert_int_equal(got.r.read, 4 * PAGE);
	(void)found(0, MR_FINDING_NO_SEAL, false, "");
	/* Page 2 came again. */
	poke_byte(ends[2] - 1, 0x77);
	poke_byte(ends[2] - 2, 0x77);
	assert_true(sound());
	/* Of page 3 something changed then. */
	poke_byte(ends[3] - 1, 0x77);
	poke_byte(ends[3] - 2, 0x77);
	assert_false(sound());
	found_pages(0, MR_FINDING_STREAM, true, "pc.ram", 3, 1, 1);
	assert_string_equal(got.f[0].text, "page 3 is damaged: its zlib data "
					   "do not give one");
	assert_in_range(got.f[0].offset, ends[2], ends[3]);
	poke_byte(ends[0] - 1, 0x77);
	poke_byte(ends[0] - 2, 0x77);
	assert_false(sound());
	found_pages(0, MR_FINDING_STREAM, true, "pc.ram", 0, 1, 1);
	assert_non_null(strstr(got.f[0].text, "page 0 and 1 more are damaged"));
	/* One that breaks off: no more is to be said of it. */
	make_compressed(ends, false);
	poke_byte(ends[0] - 1, 0x77);
	assert_false(sound());
	(void)found(0, MR_FINDING_STREAM, true, "");
	assert_null(strstr(got.f[0].text, "zlib"));
}

static void sound_without_seal(void **state)
{
	(void)state;
	make_image(NULL);
	assert_true(sound());
	assert_int_equal(got.n, 1);
	(void)found(0, MR_FINDING_NO_SEAL, false, "");
	assert_int_equal(got.r.ram, (RAM_PAGES + ROM_PAGES) * PAGE);
	assert_int_equal(got.r.data, (268 + 4) * PAGE);
	assert_false(got.r.sealed);
	assert_int_equal(run((struct mr_verify_options){ .need_seal = true }),
			 0);
	assert_false(got.r.sound);
	(void)found(0, MR_FINDING_NO_SEAL, true, "");
}

static void foreign_and_absent(void **state)
{
	(void)state;
	make_image(NULL);
	poke_byte(0, 'X');
	assert_false(sound());
	(void)found(0, MR_FINDING_FOREIGN, true, "");
	cut(0);
	assert_false(sound());
	assert_int_equal(unlink(path), 0);
	assert_int_equal(run((struct mr_verify_options){ 0 }), -1);
	assert_int_equal(got.err.sys, ENOENT);
}

static void trailing_bytes(void **state)
{
	struct bytes b;

	(void)state;
	make_image(NULL);
	b = slurp();
	poke(b.len, "\0\0\0", 4);
	assert_true(sound());
	(void)found(0, MR_FINDING_TRAILING, false, "");
	(void)found(1, MR_FINDING_NO_SEAL, false, "");
	/* It stays, and is sealed with the rest. */
	seal();
	assert_true(sound());
	assert_true(got.r.sealed);
	poke_byte(b.len + 1, 'U');
	assert_false(sound());
	(void)found(0, MR_FINDING_STREAM, true, "");
	(void)found(1, MR_FINDING_TAIL, true, "");
	/* Nor do zeros behind the seal matter. */
	make_image(NULL);
	seal();
	free(b.data);
	b = slurp();
	poke(b.len + 5000, "", 1);
	assert_true(sound());
	assert_true(got.r.sealed);
	poke_byte(b.len + 4999, 'x');
	assert_false(sound());
	free(b.data);
}

static void layout_flaws(void **state)
{
	uint8_t word[8];

	(void)state;
	make_image(NULL);
	/* A bit beyond the last of 1100 pages. */
	poke_byte(bit_at(0, 1103), 0x88);
	assert_true(sound());
	(void)found(0, MR_FINDING_LAYOUT, false, "pc.ram");
	/* The second block's bitmap reaches into its pages. */
	put_be64(word, page_at(1, 0) - 4);
	poke(blocks[1].place.header + 12, word, 8);
	assert_false(sound());
	(void)found(1, MR_FINDING_LAYOUT, true, "pc.bios");
	/* Places that cannot be trusted: no page was looked at. */
	assert_int_equal(got.r.read, 0);
}

static void device_twice(void **state)
{
	struct build b = { .page_size = PAGE, .ram_id = 2, .next_id = 3 };

	(void)state;
	b.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	b.config.mapped_ram = true;
	make_image(NULL);
	write_image(&b, &(struct want){ .interrupted = true });
	build_bitmaps(&b, blocks, 2);
	build_ram_empty(&b, STREAM_END);
	build_filler(&b, "timer", 10);
	build_filler(&b, "timer", 10);
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	(void)close(b.fd);
	assert_false(sound());
	(void)found(0, MR_FINDING_STREAM, true, "");
}

/* ---- meaning ---- */

static void waste_stale_missing(void **state)
{
	static const uint8_t zeros[2 * PAGE], data[2 * PAGE] = { 0, 1 };

	(void)state;
	make_image(NULL);
	poke(page_at(0, 254), zeros, 2 * PAGE);
	poke(page_at(0, 600), data, 2 * PAGE); /* one page of it not zero */
	poke(page_at(1, 0), data, 10);
	assert_true(sound());
	assert_int_equal(got.n, 4);
	found_pages(1, MR_FINDING_STALE, false, "pc.ram", 600, 1, 1);
	assert_string_equal(got.f[1].text,
			    "page 600 holds stale data, which instant restore "
			    "would show");
	found_pages(2, MR_FINDING_WASTE, false, "pc.ram", 254, 2, 2);
	assert_string_equal(got.f[2].text,
			    "pages 254-255 are all zero and need no room");
	found_pages(3, MR_FINDING_STALE, false, "pc.bios", 0, 1, 1);
	punch(page_at(0, 301), PAGE);
	punch(page_at(0, 800), 3 * PAGE);
	assert_false(sound());
	found_pages(1, MR_FINDING_MISSING, true, "pc.ram", 301, 502, 4);
	assert_string_equal(got.f[1].text,
			    "4 pages (301 and 800-802) are missing: the file "
			    "has holes in their place");
	assert_int_equal(got.f[1].n_ranges, 2);
	assert_int_equal(got.f[1].offset, page_at(0, 301));
	assert_int_equal(got.f[1].length, 502 * PAGE);
}

/* More ranges than are listed, and one that goes on over extents. */
static void many_ranges(void **state)
{
	static const uint8_t data[PAGE] = { 1 };

	(void)state;
	make_image(NULL);
	for (uint64_t p = 321; p < 800; p += 2)
		poke(page_at(0, p), data, PAGE);
	for (uint64_t p = 1000; p < 1040; p++)
		poke(page_at(0, p), data, PAGE);
	assert_true(sound());
	assert_int_equal(got.n, 2);
	found_pages(1, MR_FINDING_STALE, false, "pc.ram", 321, 719, 280);
	assert_string_equal(got.f[1].text,
			    "280 pages (321, 323, 325, 327, 329 and 236 ranges "
			    "more) hold stale data, which instant restore "
			    "would show");
	assert_int_equal(got.f[1].n_ranges, 241);
	assert_int_equal(got.ranges[240].first, 1000);
	assert_int_equal(got.ranges[240].pages, 40);
}

/* With a seal a hole over a page that was zero is just that. */
static void missing_with_seal(void **state)
{
	static const uint8_t zeros[PAGE];

	(void)state;
	make_image(NULL);
	poke(page_at(0, 301), zeros, PAGE);
	seal();
	punch(page_at(0, 301), PAGE);
	assert_true(sound());
	assert_int_equal(got.n, 1);
	found_pages(0, MR_FINDING_WASTE, false, "pc.ram", 301, 1, 1);
	punch(page_at(0, 302), PAGE);
	assert_false(sound());
	found_pages(0, MR_FINDING_PAGES, true, "pc.ram", 302, 1, 1);
	found_pages(1, MR_FINDING_MISSING, true, "pc.ram", 301, 2, 2);
}

static void all_clear(void **state)
{
	(void)state;
	make_image(&(struct want){ .no_bitmaps = true, .no_end = true });
	assert_false(sound());
	(void)found(1, MR_FINDING_BACKGROUND, true, "");
	make_image(&(struct want){ .no_bitmaps = true });
	assert_false(sound());
	(void)found(1, MR_FINDING_BLANK, true, "");
	make_image(&(struct want){ .interrupted = true });
	assert_false(sound());
	(void)found(got.n - 1, MR_FINDING_INTERRUPTED, true, "");
}

/* ---- integrity ---- */

static void seal_is_behind(void **state)
{
	struct bytes before, a, b;

	(void)state;
	make_image(NULL);
	before = slurp();
	seal();
	a = slurp();
	assert_true(a.len > before.len);
	assert_memory_equal(a.data, before.data, before.len);
	assert_true(sound());
	assert_true(got.r.sealed);
	assert_int_equal(got.n, 0);
	/* Sealed already: nothing to do. */
	seal();
	assert_false(got.r.changed);
	/* The same image, the same seal, whoever makes it. */
	make_image(NULL);
	assert_int_equal(
		run((struct mr_verify_options){ .jobs = 1, .seal = true }), 0);
	b = slurp();
	assert_true(same_bytes(&a, &b));
	free(before.data);
	free(a.data);
	free(b.data);
}

static void bad_image_is_not_sealed(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	punch(page_at(0, 301), PAGE);
	before = slurp();
	assert_int_equal(
		run((struct mr_verify_options){ .seal = true, .repair = true }),
		0);
	assert_false(got.r.sound);
	assert_false(got.r.changed);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(before.data);
	free(after.data);
}

/* Parts of the file that a seal covers, and what tells of each. */
struct covered {
	uint64_t from, to;
	enum mr_finding_kind kind;
	const char *block;
};

static size_t list_covered(struct covered *c, uint64_t stream, uint64_t seal_at)
{
	size_t n = 0;
	uint64_t at = stream;

	if (stream)
		c[n++] = (struct covered){ 0, stream, MR_FINDING_FRONT, "" };
	for (size_t i = 0; i < 2; i++) {
		const struct build_block *b = &blocks[i];
		const struct mapped_ram_place *p = &b->place;

		c[n++] = (struct covered){ at, p->bitmap_offset,
					   MR_FINDING_HEADER, b->name };
		c[n++] = (struct covered){ p->bitmap_offset,
					   p->bitmap_offset + p->bitmap_size,
					   MR_FINDING_BITMAP, b->name };
		for (size_t r = 0; r < b->n_runs; r++)
			c[n++] = (struct covered){
				page_at(i, b->runs[r].first),
				page_at(i, b->runs[r].first + b->runs[r].n),
				MR_FINDING_PAGES, b->name
			};
		at = p->end;
	}
	c[n++] = (struct covered){ at, seal_at, MR_FINDING_TAIL, "" };
	return n;
}

/* Whether a finding tells of this byte. */
static bool tells(const struct covered *c, uint64_t at)
{
	for (size_t i = 0; i < got.n; i++) {
		const struct mr_finding *f = &got.f[i];

		if (f->kind == c->kind && f->damage &&
		    !strcmp(got.block[i], c->block) && at >= f->offset &&
		    at < f->offset + f->length)
			return true;
	}
	return false;
}

static unsigned flips(void)
{
	const char *s = getenv("MR_TEST_FLIPS");

	return s ? (unsigned)strtoul(s, NULL, 10) : 10000;
}

/* One flipped bit anywhere that matters is found, and where it is. */
static void flip_bits(const struct want *w, unsigned rounds)
{
	struct covered parts[32];
	struct bytes b, after;
	uint64_t seed = 12345, seal_at;
	size_t n;

	make_image(w);
	b = slurp();
	seal_at = b.len;
	free(b.data);
	seal();
	b = slurp();
	n = list_covered(parts, w->libvirt ? 65536 + 92 + 21 : 0, seal_at);
	for (unsigned i = 0; i < rounds; i++) {
		/* Each kind of part as often as the large ones. */
		const struct covered *c = &parts[next_random(&seed) % n];
		uint64_t at = c->from + next_random(&seed) % (c->to - c->from);
		uint8_t bit = (uint8_t)(1 << next_random(&seed) % 8);

		poke_byte(at, b.data[at] ^ bit);
		if (sound() || !tells(c, at))
			fail_msg("bit %#x of byte %" PRIu64 " is not found",
				 bit, at);
		poke_byte(at, b.data[at]);
	}
	assert_true(sound());
	after = slurp();
	assert_true(same_bytes(&b, &after));
	free(b.data);
	free(after.data);
}

static void flipped_bits(void **state)
{
	(void)state;
	flip_bits(&(struct want){ .device = 5000 }, flips() * 9 / 10 / ONE_OF);
	flip_bits(&(struct want){ .libvirt = true }, flips() / 10 / ONE_OF);
}

/* Most of a seal of such an image: zeros, and the tables. */
static bool is_table(size_t start, size_t end, size_t at)
{
	return at > start + 200 && at < end - 400;
}

static bool tells_seal(size_t at)
{
	for (size_t i = 0; i < got.n; i++) {
		const struct mr_finding *f = &got.f[i];

		if (f->kind != MR_FINDING_SEAL || !f->damage)
			continue;
		if (!f->pages ||
		    (at >= f->offset && at < f->offset + f->length))
			return true;
	}
	return false;
}

/* The seal's own bits, too. */
static void flipped_seal(void **state)
{
	struct bytes before, b;

	(void)state;
	make_image(NULL);
	before = slurp();
	seal();
	b = slurp();
	for (size_t at = before.len; at < b.len;
	     at += is_table(before.len, b.len, at) ? 3 : 1) {
		poke_byte(at, b.data[at] ^ (uint8_t)(1 << at % 8));
		if (sound())
			fail_msg("byte %zu of the seal", at - before.len);
		/* Without its magic it is not even known as a seal. */
		assert_true(tells_seal(at));
		poke_byte(at, b.data[at]);
	}
	free(before.data);
	free(b.data);
}

static void truncated(void **state)
{
	struct bytes before, b;

	(void)state;
	make_image(NULL);
	before = slurp();
	/* Cut right there it is an image without a seal. */
	assert_int_not_equal(before.len % 4096, 0);
	seal();
	b = slurp();
	for (size_t at = (b.len - 1) / 4096 * 4096;;
	     at -= at < 4096 * ONE_OF ? at : 4096 * ONE_OF) {
		cut(at);
		if (sound())
			fail_msg("cut to %zu bytes", at);
		if (at == 0)
			break;
	}
	free(before.data);
	free(b.data);
}

/* ---- digests of pages ---- */

/* The very pages; the whole extent if it is not known which they were. */
static void changed_pages(void **state)
{
	struct bytes b;
	uint64_t table;

	(void)state;
	make_image(NULL);
	b = slurp();
	seal();
	poke_byte(page_at(0, 7), 0xaa);
	poke_byte(page_at(0, 255), 0xaa);
	poke_byte(page_at(0, 303), 0xaa);
	poke_byte(page_at(1, 5), 0xaa);
	assert_false(sound());
	assert_int_equal(got.n, 2);
	found_pages(0, MR_FINDING_PAGES, true, "pc.ram", 7, 297, 3);
	assert_string_equal(got.f[0].text,
			    "3 pages (7, 255 and 303) differ from the seal");
	found_pages(1, MR_FINDING_PAGES, true, "pc.bios", 5, 1, 1);
	table = (b.len + SEAL_HEAD_SIZE + 7 + 40 + 8 + 40 + 4095) / 4096 * 4096;
	poke_byte(table + 300 * 8, 0x55);
	assert_false(sound());
	assert_int_equal(got.n, 4);
	found_pages(0, MR_FINDING_PAGES, true, "pc.ram", 256, 256, 256);
	found_pages(1, MR_FINDING_SEAL, true, "pc.ram", 256, 256, 256);
	assert_string_equal(got.f[1].text,
			    "the seal's digests of pages 256-511 are damaged");
	assert_int_equal(got.f[1].offset, table + 256 * 8);
	found_pages(2, MR_FINDING_PAGES, true, "pc.ram", 7, 249, 2);
	/* Of pages that are not present, too. */
	make_image(NULL);
	seal();
	poke_byte(table + 700 * 8 + 3, 0x55);
	assert_false(sound());
	found_pages(0, MR_FINDING_SEAL, true, "pc.ram", 512, 256, 256);
	mend();
	assert_false(got.r.changed);
	assert_int_equal(
		run((struct mr_verify_options){ .repair = true, .seal = true }),
		0);
	assert_true(got.r.sound);
	assert_true(sound());
	assert_int_equal(got.n, 0);
	free(b.data);
}

/* What is in the place of absent pages is nobody's business, unless the seal
 * says that it is zero. */
static void absent_pages_are_zero(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	seal();
	before = slurp();
	poke_byte(page_at(0, 600), 0xaa);
	assert_false(sound());
	assert_int_equal(got.n, 1);
	found_pages(0, MR_FINDING_STALE, true, "pc.ram", 600, 1, 1);
	assert_int_equal(run((struct mr_verify_options){ .seal = true }), 0);
	assert_false(got.r.sound || got.r.changed);
	mend();
	assert_true(got.r.sound);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(after.data);
	free(before.data);
	make_image(NULL);
	poke_byte(page_at(0, 600), 0xaa);
	seal();
	assert_true(sound());
	found_pages(0, MR_FINDING_STALE, false, "pc.ram", 600, 1, 1);
	before = slurp();
	seal();
	assert_false(got.r.changed);
	mend();
	assert_true(sound());
	assert_int_equal(got.n, 0);
	after = slurp();
	assert_int_equal(before.len, after.len);
	poke_byte(page_at(0, 600), 0xaa);
	assert_false(sound());
	free(before.data);
	free(after.data);
}

static void put_extents_1(struct sealed *s, size_t block, int fd, uint64_t *at)
{
	const struct seal_block *k = &s->blocks[block];
	struct hash *h = hash_new();

	for (uint64_t e = 0; e < k->n_extents; e++) {
		static unsigned char buf[1 << 20];
		uint64_t table[256] = { 0 }, bits[4] = { 0 }, first = e * 256;
		size_t n = k->used_length / PAGE - first < 256
				   ? (size_t)(k->used_length / PAGE - first)
				   : 256;
		struct seal_digest d;

		if (!sealed_has_extent(s, block, e))
			continue;
		assert_int_equal(sealed_table(s, block, first, table, n, NULL),
				 0);
		for (size_t i = 0; i < n; i++)
			if (table[i])
				bits_set(bits, i, 1);
		assert_int_equal(
			pread(fd, buf, n * PAGE, (off_t)page_at(block, first)),
			n * PAGE);
		d = seal_pages_digest_1(h, buf, bits, n, PAGE);
		assert_int_equal(__real_pwrite64(fd, &d, sizeof(d), (off_t)*at),
				 sizeof(d));
		*at += sizeof(d);
	}
	hash_free(h);
}

static void copy(int fd, uint64_t from, uint64_t to, uint64_t len)
{
	unsigned char buf[4096];

	assert_in_range(len, 0, sizeof(buf));
	assert_int_equal(pread(fd, buf, len, (off_t)from), len);
	assert_int_equal(__real_pwrite64(fd, buf, len, (off_t)to), len);
}

/* What stands at the end instead of a seal is one of version 1: what the seal
 * says, but without tables, and with digests of the pages themselves. */
static void rewrite_as_1(struct sealed *s, int fd, uint64_t start)
{
	struct seal_head h = s->head;
	uint64_t old = s->head.seal_offset, at;
	struct seal_places p;
	uint8_t buf[SEAL_HEAD_MAX];
	struct seal_block b[2];
	struct seal_end end;
	struct bytes all;
	struct fault f;
	size_t n;

	h.version = SEAL_VERSION_1;
	h.flags = 0;
	h.seal_offset = old;
	memcpy(b, s->blocks, sizeof(b));
	assert_int_equal(seal_arrange(&h, b, &p, &f), 0);
	n = seal_head_encode(buf, &h);
	assert_int_equal(__real_pwrite64(fd, buf, n, (off_t)start), n);
	at = start + n;
	for (size_t i = 0; i < 2; i++, at += n) {
		n = seal_block_encode(buf, &b[i]);
		assert_int_equal(__real_pwrite64(fd, buf, n, (off_t)at), n);
	}
	assert_int_equal(at, start + p.front);
	for (size_t i = 0; i < 2; i++) {
		const struct seal_block *k = &s->blocks[i];

		copy(fd, old + k->header_digests, start + b[i].header_digests,
		     k->extent_digests - k->header_digests);
		at = start + b[i].extent_digests;
		put_extents_1(s, i, fd, &at);
	}
	copy(fd, old + s->places.tail, start + p.tail,
	     p.length - p.tail - SEAL_END_SIZE);
	end.length = p.length;
	(void)seal_end_encode(buf, &end);
	assert_int_equal(
		__real_pwrite64(fd, buf, SEAL_END_SIZE,
				(off_t)(start + p.length - SEAL_END_SIZE)),
		SEAL_END_SIZE);
	cut(start + p.length);
	all = slurp();
	end.digest =
		hash_bytes(all.data + start, p.length - SEAL_END_UNCOVERED);
	(void)seal_end_encode(buf, &end);
	poke(start + p.length - SEAL_END_SIZE, buf, SEAL_END_SIZE);
	free(all.data);
}

static void seal_1(void)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;
	struct sealed s;
	uint64_t at;
	int fd = open(path, O_RDWR);
	char name[4200];

	seal();
	/* From a copy, so that what is read is not what is written. */
	(void)snprintf(name, sizeof(name), "%s/v2", folder);
	(void)unlink(name);
	{
		struct bytes b = slurp();
		int to = open(name, O_RDWR | O_CREAT, 0600);

		assert_int_equal(__real_pwrite64(to, b.data, b.len, 0), b.len);
		(void)close(to);
		free(b.data);
	}
	img = mr_image_open(name, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(img);
	assert_int_equal(sealed_open(&s, img->io, &err), 1);
	at = s.head.seal_offset;
	rewrite_as_1(&s, fd, at);
	sealed_release(&s);
	mr_image_free(img);
	(void)unlink(name);
	(void)close(fd);
}

static void version_1(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	seal();
	before = slurp();
	make_image(NULL);
	seal_1();
	assert_true(sound());
	assert_true(got.r.sealed);
	assert_int_equal(got.n, 0);
	poke_byte(page_at(0, 303), 0xaa);
	assert_false(sound());
	assert_int_equal(got.n, 1);
	found_pages(0, MR_FINDING_PAGES, true, "pc.ram", 256, 256, 256);
	/* A repair with nothing to do leaves it. */
	make_image(NULL);
	seal_1();
	mend();
	assert_false(got.r.changed);
	poke_byte(bit_at(0, 300), 0);
	mend();
	assert_true(got.r.sound);
	seal();
	assert_true(got.r.changed);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(after.data);
	/* What is mended gets a new one. */
	make_image(NULL);
	poke_byte(page_at(0, 600), 0xaa);
	seal_1();
	assert_true(sound());
	found_pages(0, MR_FINDING_STALE, false, "pc.ram", 600, 1, 1);
	mend();
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(before.data);
	free(after.data);
}

/* Of a seal of make_image: without its tables. */
static struct seal_digest own_digest(const uint8_t *s, size_t len)
{
	struct hash *h = hash_new();
	uint64_t tables = get_be64(s + 56) - get_be64(s + 48);
	uint64_t end = tables + (RAM_PAGES + ROM_PAGES) * SEAL_ENTRY_SIZE;
	struct seal_digest d;

	assert_non_null(h);
	hash_start(h);
	if (end > len - SEAL_END_SIZE || tables > end)
		tables = end = SEAL_HEAD_SIZE;
	hash_add(h, s, (size_t)tables);
	hash_add(h, s + end, len - (size_t)end - SEAL_END_UNCOVERED);
	d = hash_end(h);
	hash_free(h);
	return d;
}

/* A seal with a digest of its own that agrees, but made to harm. */
static void hostile_seals(void **state)
{
	struct bytes before, b;
	uint64_t seed = 99;
	size_t fields;

	(void)state;
	make_image(NULL);
	before = slurp();
	seal();
	b = slurp();
	/* head, and both blocks */
	fields = SEAL_HEAD_SIZE + (7 + 40) + (8 + 40);
	for (unsigned i = 0; i < 3000 / ONE_OF; i++) {
		static const uint64_t odd[] = { 0,
						1,
						UINT64_MAX,
						INT64_MAX,
						UINT64_MAX - 4095,
						UINT64_C(1) << 40,
						UINT32_MAX };
		uint8_t *s = malloc(b.len - before.len);
		size_t len = b.len - before.len, at;
		struct seal_digest d;
		uint8_t value[8];

		assert_non_null(s);
		memcpy(s, b.data + before.len, len);
		at = 8 + next_random(&seed) % (fields - 16);
		put_be64(value, odd[next_random(&seed) % ARRAY_LEN(odd)] +
					next_random(&seed) % 3);
		memcpy(s + at, value + (i % 2) * 4, i % 2 ? 4 : 8);
		d = own_digest(s, len);
		memcpy(s + len - SEAL_END_UNCOVERED, &d, sizeof(d));
		poke(before.len, s, len);
		/* Whatever is said, nothing breaks. A field that is what it
		 * was, or a name, may leave it sound. */
		(void)run((struct mr_verify_options){ .jobs = 1 });
		free(s);
	}
	poke(before.len, b.data + before.len, b.len - before.len);
	assert_true(sound());
	free(before.data);
	free(b.data);
}

/* ---- subsets ---- */

static void subsets(void **state)
{
	static const unsigned sets[] = { 1, 2, 3, 7 };

	(void)state;
	/* Extents 16 together: this needs more of them. */
	make_image(NULL);
	{
		struct build b = { .page_size = PAGE, .ram_id = 2 };
		static const struct build_run runs[] = {
			{ 5, 1 }, { 5000, 1 }, { 9000, 1 }, { 20000, 2 }
		};

		b.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		b.config.mapped_ram = true;
		b.next_id = 3;
		blocks[0] =
			(struct build_block){ .name = "pc.ram",
					      .length = UINT64_C(30000) * PAGE,
					      .runs = runs,
					      .n_runs = 4 };
		build_header(&b);
		build_config(&b);
		build_ram_start(&b, blocks, 1);
		build_bitmaps(&b, blocks, 1);
		build_ram_empty(&b, STREAM_END);
		build_globalstate(&b, "paused");
		build_eof(&b);
		build_done(&b);
		(void)close(b.fd);
	}
	seal();
	poke_byte(page_at(0, 9000), 0xee);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		unsigned hits = 0;
		uint64_t read = 0;

		for (unsigned n = 1; n <= sets[i]; n++) {
			assert_int_equal(
				run((struct mr_verify_options){
					.subset = n, .subsets = sets[i] }),
				0);
			hits += !got.r.sound;
			read += got.r.read;
		}
		assert_int_equal(hits, 1);
		assert_int_equal(read, 5 * PAGE);
	}
	/* The same by size: 5 pages of data, 2 at a time. */
	{
		unsigned hits = 0;

		for (unsigned day = 20000; day < 20003; day++) {
			assert_int_equal(run((struct mr_verify_options){
						 .subset_bytes = 2 * PAGE,
						 .turn = day }),
					 0);
			assert_int_equal(got.r.subsets, 3);
			assert_int_equal(got.r.subset, day % 3 + 1);
			hits += !got.r.sound;
		}
		assert_int_equal(hits, 1);
	}
	assert_int_equal(run((struct mr_verify_options){
				 .subset_bytes = 1 << 20, .turn = 1 }),
			 0);
	assert_int_equal(got.r.subsets, 0);
	assert_false(got.r.sound);
	assert_int_equal(
		run((struct mr_verify_options){ .subset = 4, .subsets = 3 }),
		-1);
	assert_int_equal(got.err.code, MR_USAGE);
}

/* ---- mending ---- */

enum spoil { NOT, STALE, STRAY, SPOILS };

static void spoil(enum spoil how)
{
	static const uint8_t zeros[2 * PAGE];
	uint8_t data[PAGE];

	if (how == NOT)
		return;
	memset(data, 0x77, sizeof(data));
	poke(page_at(0, 254), zeros, 2 * PAGE);
	if (how == STRAY) {
		poke_byte(bit_at(0, 1103), 0x88); /* 0x08 is page 1099 */
		return;
	}
	poke(page_at(0, 600), data, PAGE);
	poke(page_at(0, 1090), data, PAGE);
	poke(page_at(1, 0), data, PAGE);
}

static void mend_waste_and_stale(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct seal_digest was;
		bool sealed = i & 1;

		make_image(NULL);
		spoil(i & 2 ? STRAY : STALE);
		if (sealed)
			seal();
		was = memory();
		mend();
		assert_true(got.r.sound);
		assert_true(got.r.changed);
		same_memory(&was);
		assert_true(sound());
		assert_int_equal(got.n, sealed ? 0 : 1);
		assert_int_equal(got.r.sealed, sealed);
		assert_int_equal(got.r.data, (268 - 2 + 4) * PAGE);
		/* Nothing is left to do. */
		mend();
		assert_false(got.r.changed);
		assert_int_equal(got.did, 0);
	}
}

/* Data under clear bits are punched out only if the bitmap can be believed. */
static void doubtful_bitmaps(void **state)
{
	uint64_t words[(RAM_PAGES + 63) / 64];
	struct bytes before, after;
	struct seal_digest was;

	(void)state;
	make_image(NULL);
	was = memory();
	for (int i = 0; i < 3; i++) {
		make_image(NULL);
		if (i == 0) {
			/* Bits beyond the end, and stale data. */
			spoil(STALE);
			spoil(STRAY);
		} else {
			/* The other byte order; pages 1088-1099 are in the
			 * last word, where it makes stray bits. */
			assert_int_equal(blocks[0].place.bitmap_size,
					 sizeof(words));
			before = slurp();
			memcpy(words,
			       before.data + blocks[0].place.bitmap_offset,
			       sizeof(words));
			for (size_t k = 0; k < ARRAY_LEN(words) - (i == 2); k++)
				words[k] = __builtin_bswap64(words[k]);
			poke(blocks[0].place.bitmap_offset, words,
			     sizeof(words));
			free(before.data);
			/* A copy that wrote out all holes. */
			poke(page_at(0, 307), (uint8_t[PAGE]){ 0 }, PAGE);
			for (uint64_t p = 0; p < RAM_PAGES; p++)
				if ((p >= 307 && p < 320) ||
				    (p > 320 && p < 800) ||
				    (p > 802 && p < 1099))
					poke(page_at(0, p),
					     (uint8_t[PAGE]){ 0 }, PAGE);
		}
		before = slurp();
		assert_false(sound());
		(void)found(i == 2 ? 1 : 2, MR_FINDING_DOUBTFUL, true, "");
		assert_int_equal(strstr(got.f[i == 2 ? 1 : 2].text,
					"byte order") != NULL,
				 i > 0);
		mend();
		assert_false(got.r.sound);
		assert_false(got.r.changed);
		assert_int_equal(run((struct mr_verify_options){
					 .repair = true, .seal = true }),
				 0);
		assert_false(got.r.sound);
		after = slurp();
		assert_true(same_bytes(&before, &after));
		free(before.data);
		free(after.data);
	}
	/* It was the memory all the time. */
	for (size_t k = 0; k < ARRAY_LEN(words) - 1; k++)
		words[k] = __builtin_bswap64(words[k]);
	poke(blocks[0].place.bitmap_offset, words, sizeof(words));
	same_memory(&was);
}

/* ---- what cannot be read ---- */

/* One sector, whichever way it is read, and whatever else is wrong. */
static void unreadable_page(void **state)
{
	static const int errors[] = { EIO, ENODATA, EILSEQ, EBADMSG, EUCLEAN };

	(void)state;
	for (int i = 0; i < 8; i++) {
		struct bytes before, after;

		bad.with_aio = i & 1;
		make_image(NULL);
		if (i & 2)
			seal();
		poke_byte(page_at(0, 1099), 0xaa);
		before = slurp();
		lose(page_at(0, 303) + 512, page_at(0, 304) + 1,
		     errors[i % (int)ARRAY_LEN(errors)]);
		assert_int_equal(run((struct mr_verify_options){
					 .jobs = i & 4 ? 2 : 1 }),
				 0);
		assert_false(got.r.sound);
		found_pages(1, MR_FINDING_UNREADABLE, true, "pc.ram", 303, 2,
			    2);
		assert_int_equal(got.f[1].offset, page_at(0, 303));
		assert_int_equal(got.f[1].length, 2 * PAGE);
		assert_string_equal(got.f[1].text,
				    "pages 303-304 cannot be read");
		assert_int_equal(got.r.unreadable, 2);
		/* It went on with the rest. */
		if (i & 2)
			found_pages(0, MR_FINDING_PAGES, true, "pc.ram", 1099,
				    1, 1);
		else
			(void)found(0, MR_FINDING_NO_SEAL, false, "");
		assert_int_equal(got.n, 2);
		/* That cannot be mended, or sealed. */
		assert_int_equal(run((struct mr_verify_options){
					 .repair = true, .seal = true }),
				 0);
		assert_false(got.r.sound);
		assert_false(got.r.changed);
		lose(0, 0, 0);
		after = slurp();
		assert_true(same_bytes(&before, &after));
		free(before.data);
		free(after.data);
	}
	bad.with_aio = false;
}

/* What is read a second time is no damage. */
static void unreadable_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		bad.with_aio = i;
		make_image(NULL);
		seal();
		lose(page_at(0, 303), page_at(0, 304), i ? EAGAIN : EIO);
		bad.once = true;
		assert_true(sound());
		assert_int_not_equal(bad.hits, 0);
		assert_int_equal(got.n, 0);
	}
	bad.with_aio = false;
	lose(0, 0, 0);
}

/* No word about the file: nobody knows what another read would give. */
static void unreadable_for_other_reasons(void **state)
{
	static const int errors[] = { ENOMEM, EINVAL, ESTALE, ENXIO, EACCES };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(errors); i++) {
		bad.with_aio = i & 1;
		make_image(NULL);
		lose(i & 4 ? page_at(0, 303) : bit_at(0, 0), page_at(0, 304),
		     errors[i / 2]);
		assert_int_equal(run((struct mr_verify_options){ .jobs = 1 }),
				 -1);
		assert_int_equal(got.err.code, MR_SYS);
		assert_int_equal(got.err.sys, errors[i / 2]);
		lose(0, 0, 0);
	}
	bad.with_aio = false;
}

/* Each piece of the file in turn: never sound, never trouble, and told. */
static void unreadable_anywhere(void **state)
{
	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		struct bytes b;

		make_image(NULL);
		if (sealed)
			seal();
		b = slurp();
		for (uint64_t at = 0; at < b.len; at += 4096 * ONE_OF) {
			uint64_t end = at + 4096 < b.len ? at + 4096 : b.len;
			unsigned told = 0;

			lose(at, at + 4096, EIO);
			if (sound() && bad.hits)
				fail_msg("byte %" PRIu64, at);
			/* Holes are not read, nor what follows a bitmap. */
			for (size_t i = 0; i < got.n; i++) {
				const struct mr_finding *f = &got.f[i];

				told += f->kind == MR_FINDING_UNREADABLE &&
					f->offset <= at &&
					f->offset + f->length >= end;
			}
			assert_int_equal(told, bad.hits ? 1 : 0);
		}
		lose(0, 0, 0);
		assert_true(sound());
		free(b.data);
	}
}

static void mend_background(void **state)
{
	struct seal_digest want;

	(void)state;
	make_image(NULL);
	want = memory();
	make_image(&(struct want){ .no_bitmaps = true, .no_end = true });
	mend();
	assert_true(got.r.sound);
	same_memory(&want);
	assert_true(sound());
	assert_true(got.r.sealed);
	/* The others cannot be: is it stale data, or was it never written? */
	make_image(&(struct want){ .no_bitmaps = true });
	mend();
	assert_false(got.r.sound);
	assert_false(got.r.changed);
	make_image(&(struct want){ .interrupted = true });
	mend();
	assert_false(got.r.sound);
	assert_false(got.r.changed);
}

static void mend_bitmap(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	seal();
	before = slurp();
	poke_byte(bit_at(0, 300), 0);
	poke_byte(bit_at(1, 0), 0xff);
	mend();
	assert_true(got.r.sound);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(after.data);
	/* With a page of zeros among those present it proves nothing. */
	make_image(NULL);
	spoil(STALE);
	seal();
	poke_byte(bit_at(0, 800), 0);
	mend();
	assert_false(got.r.sound);
	assert_false(got.r.changed);
	/* Nor if pages changed, too. */
	poke(0, before.data, before.len);
	cut(before.len);
	poke_byte(bit_at(0, 800), 0);
	poke_byte(page_at(0, 801), 1);
	mend();
	assert_false(got.r.sound);
	assert_false(got.r.changed);
	free(before.data);
}

static void damage_is_left(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	spoil(STALE);
	seal();
	poke_byte(page_at(0, 4), 0xaa);
	before = slurp();
	mend();
	assert_false(got.r.sound);
	assert_false(got.r.changed);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(before.data);
	free(after.data);
}

static void damaged_seal_is_replaced(void **state)
{
	struct bytes before, after;

	(void)state;
	make_image(NULL);
	seal();
	before = slurp();
	cut(before.len - 7);
	mend();
	assert_false(got.r.sound);
	assert_int_equal(
		run((struct mr_verify_options){ .repair = true, .seal = true }),
		0);
	assert_true(got.r.sound);
	after = slurp();
	assert_true(same_bytes(&before, &after));
	free(before.data);
	free(after.data);
}

static void mend_a_copy(void **state)
{
	char original[4096];
	struct bytes before, after, in_place;
	struct seal_digest was;

	(void)state;
	make_image(NULL);
	spoil(STALE);
	seal();
	was = memory();
	before = slurp();
	(void)snprintf(original, sizeof(original), "%s/original", folder);
	assert_int_equal(rename(path, original), 0);
	for (unsigned jobs = 1; jobs <= 8; jobs += 7) {
		struct mr_verify_options o = { .jobs = jobs,
					       .repair = true,
					       .output = path };
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(mr_verify(original, &o, &got.r, &err), 0);
		assert_true(got.r.sound);
		same_memory(&was);
		assert_true(sound());
		assert_int_equal(got.n, 0);
		after = slurp();
		assert_int_equal(unlink(path), 0);
		assert_int_equal(link(original, path), 0);
		in_place = slurp();
		assert_true(same_bytes(&before, &in_place));
		free(in_place.data);
		assert_int_equal(unlink(path), 0);
		if (jobs == 8) {
			assert_int_equal(rename(original, path), 0);
			mend();
			in_place = slurp();
			assert_true(same_bytes(&after, &in_place));
			free(in_place.data);
		}
		free(after.data);
	}
	/* A damaged one makes no copy. */
	poke_byte(page_at(0, 4), 0xaa);
	(void)snprintf(original, sizeof(original), "%s/copy", folder);
	assert_int_equal(run((struct mr_verify_options){ .repair = true,
							 .output = original }),
			 0);
	assert_false(got.r.sound);
	assert_int_equal(access(original, F_OK), -1);
	free(before.data);
}

static void in_use(void **state)
{
	struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd;

	(void)state;
	make_image(NULL);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	assert_int_equal(run((struct mr_verify_options){ .seal = true }), -1);
	assert_int_equal(got.err.code, MR_REFUSED);
	assert_true(sound()); /* looking is fine */
	(void)close(fd);
	seal();
}

/*
 * Every call that changes the file fails in turn, as if the machine had
 * stopped there: the image is as good as it was, or known not to be, and a
 * second run ends the work.
 */
static void stop_anywhere(const struct want *w, enum spoil how,
			  struct mr_verify_options o)
{
	struct seal_digest want;
	unsigned nth;

	make_image(NULL);
	spoil(how);
	want = memory();
	for (nth = 1;; nth++) {
		bool failed;

		make_image(w);
		spoil(how);
		if (how != NOT)
			seal();
		fail_arm(nth, EIO);
		(void)run(o);
		failed = fail_plan.name != NULL;
		fail_arm(0, 0);
		if (!failed)
			break;
		assert_int_equal(got.err.code, MR_SYS);
		if (sound())
			same_memory(&want);
		assert_int_equal(run(o), 0);
		assert_true(got.r.sound);
		same_memory(&want);
		assert_true(sound());
	}
	assert_in_range(nth, 5, 1000);
}

static void stop_while_mending(void **state)
{
	(void)state;
	for (enum spoil how = STALE; how < SPOILS; how++)
		stop_anywhere(&(struct want){ 0 }, how,
			      (struct mr_verify_options){ .jobs = 1,
							  .repair = true });
}

static void stop_while_rebuilding(void **state)
{
	(void)state;
	stop_anywhere(&(struct want){ .no_bitmaps = true, .no_end = true }, NOT,
		      (struct mr_verify_options){ .jobs = 1, .repair = true });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_without_seal),
		cmocka_unit_test(compressed_pages),
		cmocka_unit_test(foreign_and_absent),
		cmocka_unit_test(trailing_bytes),
		cmocka_unit_test(layout_flaws),
		cmocka_unit_test(device_twice),
		cmocka_unit_test(waste_stale_missing),
		cmocka_unit_test(many_ranges),
		cmocka_unit_test(missing_with_seal),
		cmocka_unit_test(all_clear),
		cmocka_unit_test(seal_is_behind),
		cmocka_unit_test(bad_image_is_not_sealed),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(flipped_seal),
		cmocka_unit_test(truncated),
		cmocka_unit_test(changed_pages),
		cmocka_unit_test(absent_pages_are_zero),
		cmocka_unit_test(version_1),
		cmocka_unit_test(hostile_seals),
		cmocka_unit_test(subsets),
		cmocka_unit_test(mend_waste_and_stale),
		cmocka_unit_test(doubtful_bitmaps),
		cmocka_unit_test(unreadable_page),
		cmocka_unit_test(unreadable_once),
		cmocka_unit_test(unreadable_for_other_reasons),
		cmocka_unit_test(unreadable_anywhere),
		cmocka_unit_test(mend_background),
		cmocka_unit_test(mend_bitmap),
		cmocka_unit_test(damage_is_left),
		cmocka_unit_test(damaged_seal_is_replaced),
		cmocka_unit_test(mend_a_copy),
		cmocka_unit_test(in_use),
		cmocka_unit_test(stop_while_mending),
		cmocka_unit_test(stop_while_rebuilding),
	};

	return cmocka_run_group_tests_name("verify", tests, set_up,
					   folder_teardown);
}
