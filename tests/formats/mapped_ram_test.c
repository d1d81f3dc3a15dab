/* mapped_ram_test.c - header, layout, bitmaps and rules of mapped-ram. */
#include "tests/formats/unit.h"

#include "formats/bits.h"
#include "formats/mapped_ram.h"

#define MIB UINT64_C(0x100000)

/* ---- header ---- */

/* The first block of a 1 GiB guest as QEMU 10.0.2 wrote it. */
static const uint8_t sample[MAPPED_RAM_HEADER_SIZE] = {
	0, 0, 0, 1, /* version */
	0, 0, 0, 0, 0, 0,    0x10, 0, /* page size 4096 */
	0, 0, 0, 0, 0, 0,    0,	   0x8e, /* bitmap */
	0, 0, 0, 0, 0, 0x10, 0,	   0, /* pages */
};

static struct mapped_ram_header header;

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return mapped_ram_header_decode(buf, len, &header, f);
}

static void header_sample(void **state)
{
	uint8_t buf[sizeof(sample) + 4] = { 0 };

	(void)state;
	memcpy(buf, sample, sizeof(sample));
	check_truncations(decode, buf, sizeof(sample), sizeof(buf),
			  sizeof(sample));
	assert_int_equal(header.version, 1);
	assert_int_equal(header.page_size, 4096);
	assert_int_equal(header.bitmap_offset, 0x8e);
	assert_int_equal(header.pages_offset, MIB);
}

static void header_round_trip(void **state)
{
	const struct mapped_ram_header in = {
		.version = 0,
		.page_size = UINT64_C(0x0102030405060708),
		.bitmap_offset = UINT64_C(0x1112131415161718),
		.pages_offset = UINT64_MAX,
	};
	uint8_t buf[MAPPED_RAM_HEADER_SIZE];

	(void)state;
	assert_int_equal(mapped_ram_header_encode(buf, &in), sizeof(buf));
	check_truncations(decode, buf, sizeof(buf), sizeof(buf), sizeof(buf));
	assert_int_equal(header.version, in.version);
	assert_int_equal(header.page_size, in.page_size);
	assert_int_equal(header.bitmap_offset, in.bitmap_offset);
	assert_int_equal(header.pages_offset, in.pages_offset);
}

static void header_versions(void **state)
{
	static const uint32_t bad[] = { 2, 3, 0x100, 0x01000000, UINT32_MAX };
	uint8_t buf[sizeof(sample)];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct mapped_ram_header h = { .version = bad[i] };
		struct fault f;

		mapped_ram_header_encode(buf, &h);
		check_fault(decode, buf, sizeof(buf), FAULT_UNSUPPORTED, 0);
		assert_int_equal(decode(buf, sizeof(buf), &f), -1);
		assert_true(f.has_value);
		assert_int_equal(f.value, bad[i]);
	}
}

/* ---- layout ---- */

static void page_sizes(void **state)
{
	uint64_t ps;

	(void)state;
	for (ps = 0; ps < 0x21000; ps++) {
		bool good = ps == 256 || ps == 512 || ps == 1024 ||
			    ps == 2048 || ps == 4096 || ps == 8192 ||
			    ps == 16384 || ps == 32768 || ps == 65536;

		assert_int_equal(mapped_ram_page_size_ok(ps), good);
	}
	assert_false(mapped_ram_page_size_ok(UINT64_C(1) << 63));
	assert_false(mapped_ram_page_size_ok(UINT64_C(0x100000000) + 4096));
}

static void sizes(void **state)
{
	(void)state;
	assert_int_equal(mapped_ram_num_pages(0, 4096), 0);
	assert_int_equal(mapped_ram_num_pages(4096, 4096), 1);
	assert_int_equal(mapped_ram_num_pages(4097, 4096), 2);
	assert_int_equal(mapped_ram_num_pages(UINT64_C(1) << 40, 4096),
			 UINT64_C(1) << 28);
	assert_int_equal(mapped_ram_num_pages(UINT64_MAX, 1024), UINT64_C(1)
									 << 54);
}

/* A guest of 1 GiB, blocks and offsets as QEMU 10.0.2 made them. */
static void layout_of_a_real_file(void **state)
{
	static const struct {
		const char *name;
		uint64_t length, bitmap, bitmap_size, pages;
	} blocks[] = {
		{ "pc.ram", 0x40000000, 0x8e, 32768, 0x100000 },
		{ "0000:00:02.0/vga.vram", 0x1000000, 0x4010003a, 512,
		  0x40200000 },
		{ "/rom@etc/acpi/tables", 0x20000, 0x41200039, 8, 0x41300000 },
		{ "pc.bios", 0x40000, 0x4132002c, 8, 0x41400000 },
		{ "pc.rom", 0x20000, 0x4144002b, 8, 0x41500000 },
		{ "0000:00:02.0/vga.rom", 0x10000, 0x41520039, 8, 0x41600000 },
		{ "/rom@etc/table-loader", 0x1000, 0x4161003a, 8, 0x41700000 },
		{ "/rom@etc/acpi/rsdp", 0x1000, 0x41701037, 8, 0x41800000 },
	};
	struct mapped_ram_place p = { .end = 0x63 };
	struct fault f;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(blocks); i++) {
		uint64_t start = p.end;

		assert_int_equal(mapped_ram_layout(
					 start, strlen(blocks[i].name), false,
					 blocks[i].length, 4096, false, &p, &f),
				 0);
		assert_int_equal(p.entry, start);
		assert_int_equal(p.header + 28, p.bitmap_offset);
		assert_int_equal(p.bitmap_offset, blocks[i].bitmap);
		assert_int_equal(p.bitmap_size, blocks[i].bitmap_size);
		assert_int_equal(p.pages_offset, blocks[i].pages);
		assert_int_equal(p.num_pages, blocks[i].length / 4096);
		assert_int_equal(p.end, blocks[i].pages + blocks[i].length);
	}
	assert_int_equal(p.end, 0x41801000);
}

static void layout_forms(void **state)
{
	struct mapped_ram_place p;
	struct fault f;

	(void)state;
	/* An address moves the header on by 8. */
	assert_int_equal(
		mapped_ram_layout(100, 2, true, 4096, 4096, false, &p, &f), 0);
	assert_int_equal(p.header, 100 + 1 + 2 + 8 + 8);
	assert_int_equal(p.end, MIB + 4096);
	/* A block that was left out takes no room. */
	assert_int_equal(
		mapped_ram_layout(100, 2, true, 4096, 4096, true, &p, &f), 0);
	assert_int_equal(p.bitmap_offset, 0);
	assert_int_equal(p.pages_offset, 0);
	assert_int_equal(p.bitmap_size, 0);
	assert_int_equal(p.end, 100 + 1 + 2 + 16 + 28);
	/* A bitmap that ends on the boundary needs no gap; one byte later it
	 * takes another MiB. Name 1: the bitmap begins 38 bytes on. */
	assert_int_equal(mapped_ram_layout(MIB - 46, 1, false, 4096, 4096,
					   false, &p, &f),
			 0);
	assert_int_equal(p.pages_offset, MIB);
	assert_int_equal(mapped_ram_layout(MIB - 45, 1, false, 4096, 4096,
					   false, &p, &f),
			 0);
	assert_int_equal(p.pages_offset, 2 * MIB);
	/* 32 TiB of memory have a bitmap of 1 GiB. */
	assert_int_equal(mapped_ram_layout(0, 1, false, UINT64_C(1) << 45, 4096,
					   false, &p, &f),
			 0);
	assert_int_equal(p.pages_offset, 1025 * MIB);
}

static void layout_refuses(void **state)
{
	static const struct {
		uint64_t start, name_len, length, page_size;
	} bad[] = {
		{ 0, 1, 4096, 0 },
		{ 0, 1, 4096, 128 },
		{ 0, 1, 4096, 4095 },
		{ 0, 1, 1 << 17, 1 << 17 },
		{ 0, 1, 0, 4096 },
		{ 0, 1, 4095, 4096 },
		{ 0, 1, 6144, 4096 },
		{ 0, 0, 4096, 4096 },
		{ 0, 256, 4096, 4096 },
		{ UINT64_MAX, 1, 4096, 4096 },
		{ INT64_MAX, 1, 4096, 4096 },
		{ UINT64_C(1) << 62, 1, 4096, 4096 },
		{ 0, 1, UINT64_C(1) << 62, 4096 },
		{ 0, 1, UINT64_MAX - 4095, 4096 },
		{ (UINT64_C(1) << 62) - 1, 1, (UINT64_C(1) << 62) - 4096,
		  4096 },
	};
	struct mapped_ram_place p;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct fault f = { .kind = FAULT_NONE };

		assert_int_equal(
			mapped_ram_layout(bad[i].start, bad[i].name_len, false,
					  bad[i].length, bad[i].page_size,
					  false, &p, &f),
			-1);
		assert_int_equal(f.kind, FAULT_BAD);
		assert_int_equal(f.at, 0);
	}
}

/* ---- bitmaps ---- */

/* For each number of pages and each bit set alone; and fed in two pieces. */
static void tally(void **state)
{
	uint64_t pages, bit;

	(void)state;
	for (pages = 0; pages <= 192; pages++)
		for (bit = 0; bit < 192; bit++) {
			uint64_t words[3] = { 0 };
			struct mapped_ram_tally t = { 0 };
			bool in = bit < pages;

			bits_set(words, bit, 1);
			mapped_ram_tally_add(&t, pages, 0, words, 1);
			mapped_ram_tally_add(&t, pages, 64, words + 1, 2);
			assert_int_equal(t.pages, in);
			assert_int_equal(t.stray, !in);
			assert_int_equal(t.present_end, in ? bit + 1 : 0);
		}
}

static void tally_full(void **state)
{
	uint64_t words[2] = { UINT64_MAX, UINT64_MAX };
	struct mapped_ram_tally t = { 0 };

	(void)state;
	mapped_ram_tally_add(&t, 100, 0, words, 2);
	assert_int_equal(t.pages, 100);
	assert_int_equal(t.stray, 28);
	assert_int_equal(t.present_end, 100);
}

/* ---- checking ---- */

enum { BLOCKS = 3 };

/* A sound file of three blocks, laid out by mapped_ram_layout. */
struct sound {
	struct mapped_ram_block blocks[BLOCKS];
	struct mapped_ram_tally tally[BLOCKS];
	struct mapped_ram_list list;
};

static void make_sound(struct sound *s)
{
	static const char *const names[BLOCKS] = { "pc.ram", "vga.vram",
						   "pc.bios" };
	static const uint64_t lengths[BLOCKS] = { 0x64000, 16 * MIB, 0x1000 };
	struct mapped_ram_place p = { .end = 0x63 };
	struct fault f;
	size_t i;

	*s = (struct sound){ .list = { .blocks = s->blocks, .n = BLOCKS } };
	for (i = 0; i < BLOCKS; i++) {
		assert_int_equal(mapped_ram_layout(p.end, strlen(names[i]),
						   false, lengths[i], 4096,
						   false, &p, &f),
				 0);
		s->blocks[i] = (struct mapped_ram_block){
			.name = names[i],
			.used_length = lengths[i],
			.entry = p.entry,
			.header = p.header,
			.h = { .version = 1,
			       .page_size = 4096,
			       .bitmap_offset = p.bitmap_offset,
			       .pages_offset = p.pages_offset },
			.tally = &s->tally[i],
		};
		s->tally[i] =
			(struct mapped_ram_tally){ .pages = 1,
						   .present_end = p.num_pages };
		s->list.total += lengths[i];
	}
	s->list.page_size = 4096;
	s->list.file_size = p.end + 1000;
}

struct seen {
	struct mapped_ram_report r[64];
	size_t n;
	size_t stop_after; /* 0: never */
};

static int note(void *arg, const struct mapped_ram_report *r)
{
	struct seen *seen = arg;

	assert_true(seen->n < ARRAY_LEN(seen->r));
	assert_non_null(r->what);
	seen->r[seen->n++] = *r;
	return seen->n == seen->stop_after;
}

static void check_only(const struct sound *s, enum mapped_ram_flaw flaw,
		       size_t block, uint64_t at)
{
	struct seen seen = { .n = 0 };

	assert_int_equal(mapped_ram_check(&s->list, note, &seen), 1);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.r[0].flaw, flaw);
	assert_int_equal(seen.r[0].block, block);
	assert_int_equal(seen.r[0].at, at);
}

static void check_sound(const struct sound *s)
{
	struct seen seen = { .n = 0 };

	assert_int_equal(mapped_ram_check(&s->list, note, &seen), 0);
	assert_int_equal(seen.n, 0);
}

static void sound_files(void **state)
{
	struct sound s;
	struct mapped_ram_place p;
	struct fault f;

	(void)state;
	make_sound(&s);
	check_sound(&s);
	s.list.page_size = 0;
	check_sound(&s);
	s.list.file_size -= 1000;
	check_sound(&s);
	s.blocks[0].tally = s.blocks[1].tally = s.blocks[2].tally = NULL;
	check_sound(&s);
	/* With the capability, the last block may be left out. */
	assert_int_equal(mapped_ram_layout(s.blocks[2].entry, 7, false, 4096,
					   4096, true, &p, &f),
			 0);
	s.blocks[2].h.bitmap_offset = s.blocks[2].h.pages_offset = 0;
	s.list.file_size = p.end;
	s.list.ignore_shared = true;
	check_sound(&s);
	s.list.ignore_shared = false;
	check_only(&s, MAPPED_RAM_IGNORED, 2, s.blocks[2].header + 12);
}

static void list_flaws(void **state)
{
	struct sound s;

	(void)state;
	make_sound(&s);
	s.list.total += 4096;
	check_only(&s, MAPPED_RAM_TOTAL, BLOCKS, s.blocks[0].entry);
	s.list.total = 0;
	check_only(&s, MAPPED_RAM_NO_BLOCKS, BLOCKS, s.blocks[0].entry);
	make_sound(&s);
	s.list.n = 0;
	check_only(&s, MAPPED_RAM_NO_BLOCKS, 0, 0);
	make_sound(&s);
	s.blocks[2].name = "pc.ram"; /* entry and header stay where they are */
	check_only(&s, MAPPED_RAM_NAME_TWICE, 2, s.blocks[2].entry);
}

/* Lengths whose sum wraps around to the total are still refused. */
static void total_wraps(void **state)
{
	struct sound s;
	struct seen seen = { .n = 0 };
	size_t i;
	bool found = false;

	(void)state;
	make_sound(&s);
	s.blocks[0].used_length = UINT64_C(1) << 63;
	s.blocks[1].used_length = UINT64_C(1) << 63;
	s.list.total = s.blocks[2].used_length;
	assert_true(mapped_ram_check(&s.list, note, &seen) > 0);
	for (i = 0; i < seen.n; i++)
		found |= seen.r[i].flaw == MAPPED_RAM_TOTAL;
	assert_true(found);
}

static void header_flaws(void **state)
{
	static const uint64_t page_sizes[] = {
		0, 1, 512, 2048, 4095, 8192, UINT64_C(1) << 63, UINT64_MAX
	};
	struct sound s;
	size_t i, k;

	(void)state;
	for (i = 0; i < BLOCKS; i++) {
		make_sound(&s);
		s.blocks[i].h.version = 0;
		check_only(&s, MAPPED_RAM_BAD_VERSION, i, s.blocks[i].header);
		for (k = 0; k < ARRAY_LEN(page_sizes); k++) {
			make_sound(&s);
			s.blocks[i].h.page_size = page_sizes[k];
			check_only(&s, MAPPED_RAM_BAD_PAGE_SIZE, i,
				   s.blocks[i].header + 4);
		}
	}
	/* Without a target, the first legal page size is the one. */
	make_sound(&s);
	s.list.page_size = 0;
	s.blocks[1].h.page_size = 8192;
	check_only(&s, MAPPED_RAM_BAD_PAGE_SIZE, 1, s.blocks[1].header + 4);
}

static void length_flaws(void **state)
{
	static const uint64_t lengths[] = { 0, 1, 4095, 4097, 6144 };
	struct sound s;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(lengths); k++) {
		make_sound(&s);
		s.list.total += lengths[k] - s.blocks[0].used_length;
		s.blocks[0].used_length = lengths[k];
		check_only(&s, MAPPED_RAM_BAD_LENGTH, 0,
			   s.blocks[0].entry + 1 + strlen("pc.ram"));
	}
}

static void bitmap_flaws(void **state)
{
	struct sound s;
	uint64_t v;

	(void)state;
	make_sound(&s);
	/* Anywhere between header and pages is legal. */
	s.blocks[0].h.bitmap_offset = MIB - 16;
	check_sound(&s);
	for (v = MIB - 15; v < MIB + 2; v++) {
		s.blocks[0].h.bitmap_offset = v;
		check_only(&s, MAPPED_RAM_BITMAP_LONG, 0,
			   s.blocks[0].header + 12);
	}
	s.blocks[0].h.bitmap_offset = UINT64_MAX;
	check_only(&s, MAPPED_RAM_BITMAP_LONG, 0, s.blocks[0].header + 12);
	for (v = 0; v < s.blocks[0].header + 28; v++) {
		s.blocks[0].h.bitmap_offset = v;
		check_only(&s, MAPPED_RAM_BITMAP_EARLY, 0,
			   s.blocks[0].header + 12);
	}
	make_sound(&s);
	s.tally[1].stray = 3;
	check_only(&s, MAPPED_RAM_STRAY_BITS, 1, s.blocks[1].h.bitmap_offset);
}

static void pages_flaws(void **state)
{
	struct sound s;
	uint64_t at;

	(void)state;
	make_sound(&s);
	at = s.blocks[2].header + 20;
	s.blocks[2].h.pages_offset -= 4096;
	check_only(&s, MAPPED_RAM_PAGES_ODD, 2, at);
	make_sound(&s);
	s.blocks[2].h.pages_offset -= 1;
	check_only(&s, MAPPED_RAM_PAGES_ALIGN, 2, at);
	s.blocks[2].h.pages_offset = s.blocks[2].header / MIB * MIB;
	check_only(&s, MAPPED_RAM_PAGES_EARLY, 2, at);
	s.blocks[2].h.pages_offset = UINT64_C(0x7fffffffffff0000);
	s.list.file_size = UINT64_MAX;
	check_only(&s, MAPPED_RAM_PAGES_ODD, 2, at);
	s.blocks[2].h.pages_offset = UINT64_C(0x7ffffffffff00000);
	check_sound(&s);
	s.blocks[2].h.pages_offset = UINT64_C(0x8000000000000000);
	check_only(&s, MAPPED_RAM_OVERFLOW, 2, at);
	s.blocks[2].h.pages_offset = UINT64_C(0xfffffffffff00000);
	check_only(&s, MAPPED_RAM_OVERFLOW, 2, at);
	/* Two blocks in one place. */
	make_sound(&s);
	s.blocks[1].h.pages_offset += MIB;
	s.list.file_size += MIB;
	check_only(&s, MAPPED_RAM_OVERLAP, 2, s.blocks[2].entry);
}

static void short_files(void **state)
{
	struct sound s;
	uint64_t end;

	(void)state;
	make_sound(&s);
	end = s.blocks[2].h.pages_offset + 4096;
	s.list.file_size = end - 1;
	check_only(&s, MAPPED_RAM_PAGE_PAST_END, 2, end - 1);
	s.tally[2] = (struct mapped_ram_tally){ 0 };
	check_only(&s, MAPPED_RAM_PAST_END, 2, end - 1);
	s.blocks[2].tally = NULL;
	check_only(&s, MAPPED_RAM_PAST_END, 2, end - 1);
	make_sound(&s);
	s.tally[1].present_end = 7;
	s.list.file_size = s.blocks[1].h.pages_offset + 0x7000;
	s.list.n = 2;
	s.list.total -= 4096;
	check_only(&s, MAPPED_RAM_PAST_END, 1, s.list.file_size);
	s.tally[1].present_end = 8;
	check_only(&s, MAPPED_RAM_PAGE_PAST_END, 1, s.list.file_size);
}

/* All wrong at once: everything is said, and the caller can stop it. */
static void many_flaws(void **state)
{
	struct sound s;
	struct seen seen = { .n = 0 }, first;
	size_t i, all, seen_flaws = 0;

	(void)state;
	make_sound(&s);
	s.list.total++;
	for (i = 0; i < BLOCKS; i++) {
		s.blocks[i].h.version = 7;
		s.blocks[i].name = "x";
		s.blocks[i].entry = 10;
		s.blocks[i].header = 20;
		s.blocks[i].h.pages_offset = 4096;
		s.blocks[i].h.bitmap_offset = 3;
		s.tally[i].stray = 1;
	}
	s.list.file_size = 30;
	all = mapped_ram_check(&s.list, note, &seen);
	assert_int_equal(all, seen.n);
	for (i = 0; i < seen.n; i++)
		seen_flaws |= (size_t)1 << seen.r[i].flaw;
	assert_int_equal(seen_flaws, 1U << MAPPED_RAM_TOTAL |
					     1U << MAPPED_RAM_NAME_TWICE |
					     1U << MAPPED_RAM_BAD_VERSION |
					     1U << MAPPED_RAM_BITMAP_EARLY |
					     1U << MAPPED_RAM_PAGES_ODD |
					     1U << MAPPED_RAM_OVERLAP |
					     1U << MAPPED_RAM_PAGE_PAST_END |
					     1U << MAPPED_RAM_STRAY_BITS);
	for (i = 1; i <= all; i++) {
		first = (struct seen){ .stop_after = i };
		assert_int_equal(mapped_ram_check(&s.list, note, &first), i);
		assert_int_equal(first.n, i);
		assert_memory_equal(&first.r[i - 1].flaw, &seen.r[i - 1].flaw,
				    sizeof(seen.r[0].flaw));
	}
}

static void loadable(void **state)
{
	struct sound s;
	struct seen seen = { .n = 0 };

	(void)state;
	make_sound(&s);
	s.blocks[2].h.version = 0;
	s.blocks[2].h.pages_offset -= 4096;
	s.tally[2].stray = 1;
	assert_int_equal(mapped_ram_check(&s.list, note, &seen), 3);
	assert_true(seen.r[0].loads && seen.r[1].loads && seen.r[2].loads);
	seen.n = 0;
	s.list.total = 1;
	assert_int_equal(mapped_ram_check(&s.list, note, &seen), 4);
	assert_false(seen.r[0].loads);
}

static void block_ends(void **state)
{
	struct sound s;
	struct mapped_ram_block b;
	struct fault f;
	uint64_t end;

	(void)state;
	make_sound(&s);
	b = s.blocks[0];
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), 0);
	assert_int_equal(end, s.blocks[1].entry);
	b.h.pages_offset = b.header + 27;
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), -1);
	assert_int_equal(f.at, 20);
	b.h.pages_offset = INT64_MAX;
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), -1);
	b.used_length = 0;
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), 0);
	b.h.pages_offset = UINT64_MAX;
	b.used_length = 4096;
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), -1);
	b.h.bitmap_offset = b.h.pages_offset = 0;
	assert_int_equal(mapped_ram_block_end(&b, false, &end, &f), -1);
	assert_int_equal(mapped_ram_block_end(&b, true, &end, &f), 0);
	assert_int_equal(end, b.header + 28);
	b.header = UINT64_MAX - 3;
	assert_int_equal(mapped_ram_block_end(&b, true, &end, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_sample),
		cmocka_unit_test(header_round_trip),
		cmocka_unit_test(header_versions),
		cmocka_unit_test(page_sizes),
		cmocka_unit_test(sizes),
		cmocka_unit_test(layout_of_a_real_file),
		cmocka_unit_test(layout_forms),
		cmocka_unit_test(layout_refuses),
		cmocka_unit_test(tally),
		cmocka_unit_test(tally_full),
		cmocka_unit_test(sound_files),
		cmocka_unit_test(list_flaws),
		cmocka_unit_test(total_wraps),
		cmocka_unit_test(header_flaws),
		cmocka_unit_test(length_flaws),
		cmocka_unit_test(bitmap_flaws),
		cmocka_unit_test(pages_flaws),
		cmocka_unit_test(short_files),
		cmocka_unit_test(many_flaws),
		cmocka_unit_test(loadable),
		cmocka_unit_test(block_ends),
	};

	return cmocka_run_group_tests_name("mapped_ram", tests, NULL, NULL);
}
