/* pack_test.c - frames, label, extents, parts and index of a pack. */
#include "tests/formats/unit.h"

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/pack.h"
#include "formats/ram.h"
#include "formats/stream.h"

#define MIB UINT64_C(0x100000)
#define FILE_END UINT64_C(0x7fffffffffffffff)

/* 256 pages an extent, 4 words of a bitmap. */
static const struct pack_label full = { .page_size = 4096,
					.extent_size = 1 << 20 };
/* A label's rules are for 1 KiB to 64 KiB: both ends. */
static const struct pack_label small = { .page_size = 1024,
					 .extent_size = 1 << 16 };
static const struct pack_label large = { .page_size = 65536,
					 .extent_size = 1 << 22 };
static const struct pack_label most = { .page_size = 1024,
					.extent_size = 1 << 22 };

/* One field of a sample, and what is said of it. */
struct bad_field {
	size_t at;
	uint64_t value;
	enum fault_kind kind;
	size_t fault;
};

static void check_bad32(decode_fn *decode, const uint8_t *sample, size_t len,
			const struct bad_field *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t buf[1024];

		memcpy(buf, sample, len);
		put_be32(buf + cases[i].at, (uint32_t)cases[i].value);
		check_fault(decode, buf, len, cases[i].kind, cases[i].fault);
	}
}

static void check_bad64(decode_fn *decode, const uint8_t *sample, size_t len,
			const struct bad_field *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t buf[1024];

		memcpy(buf, sample, len);
		put_be64(buf + cases[i].at, cases[i].value);
		check_fault(decode, buf, len, cases[i].kind, cases[i].fault);
	}
}

/* ---- skippable frames ---- */

static struct pack_skip skip;

static ssize_t decode_skip(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_skip_decode(buf, len, &skip, f);
}

static void skip_sample(void **state)
{
	static const uint8_t sample[PACK_SKIP_SIZE + 3] = {
		0x5d, 0x2a, 0x4d, 0x18, 6, 1, 0, 0, 'N', 'O', 'T', 'E',
	};
	uint8_t back[PACK_SKIP_SIZE];

	(void)state;
	check_truncations(decode_skip, sample, PACK_SKIP_SIZE, sizeof(sample),
			  PACK_SKIP_SIZE);
	assert_int_equal(skip.kind, PACK_NOTE);
	assert_int_equal(skip.length, 0x102);
	assert_int_equal(pack_skip_encode(back, &skip), sizeof(back));
	assert_memory_equal(back, sample, sizeof(back));
}

static void skip_kinds(void **state)
{
	static const struct {
		const char *name;
		enum pack_kind kind;
		uint32_t most;
	} kinds[] = {
		{ "LABL", PACK_LABEL, PACK_LABEL_MAX },
		{ "HEAD", PACK_HEAD, (2 << 20) + (2 << 12) + 1024 },
		{ "NOTE", PACK_NOTE, 16 + 2 * 512 + 4096 * 8 },
		{ "INDX", PACK_INDEX, UINT32_MAX - 4 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct pack_skip in = { kinds[i].kind, kinds[i].most };
		uint8_t buf[PACK_SKIP_SIZE];

		(void)pack_skip_encode(buf, &in);
		assert_memory_equal(buf + 8, kinds[i].name, 4);
		assert_int_equal(decode_skip(buf, 12, &(struct fault){ 0 }),
				 12);
		assert_int_equal(skip.kind, in.kind);
		assert_int_equal(skip.length, in.length);
		if (in.kind == PACK_INDEX)
			continue;
		in.length++;
		(void)pack_skip_encode(buf, &in);
		check_fault(decode_skip, buf, 12, FAULT_BAD, 4);
	}
}

static void skip_bad(void **state)
{
	static const struct pack_skip in = { PACK_INDEX, 1000 };
	uint8_t good[PACK_SKIP_SIZE], buf[PACK_SKIP_SIZE];

	(void)state;
	(void)pack_skip_encode(good, &in);
	for (uint32_t n = 0; n < 4; n++) {
		memcpy(buf, good, sizeof(buf));
		put_le32(buf + 4, n);
		check_fault(decode_skip, buf, 12, FAULT_BAD, 4);
	}
	memcpy(buf, good, sizeof(buf));
	buf[11] = 'Y';
	check_fault(decode_skip, buf, 12, FAULT_UNSUPPORTED, 8);
	memcpy(buf, good, sizeof(buf));
	buf[0] = 0x50; /* pzstd's */
	check_fault(decode_skip, buf, 12, FAULT_UNSUPPORTED, 0);
	buf[0] = 0x60;
	check_fault(decode_skip, buf, 12, FAULT_BAD, 0);
}

static void signatures(void **state)
{
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t first[] = { 0x5d, 0x2a, 0x4d, 0x18, 0x4a,
					 0,    0,    0,	   'L',	 'A',
					 'B',  'L',  0x8b, 'm',	 'r',
					 'p',  'a',  'c',  'k',	 '\n' };
	uint8_t buf[sizeof(first)];

	(void)state;
	assert_true(pack_is_zstd(zstd, 4));
	assert_false(pack_is_zstd(zstd, 3));
	assert_false(pack_is_zstd(first, sizeof(first)));
	assert_true(pack_is_skip(first, 4));
	assert_false(pack_is_skip(first, 3));
	assert_false(pack_is_skip(zstd, 4));
	for (unsigned int i = 0; i < 16; i++) {
		memcpy(buf, first, sizeof(buf));
		buf[0] = (uint8_t)(0x50 + i);
		assert_true(pack_is_skip(buf, 4));
		assert_int_equal(pack_is_pack(buf, sizeof(buf)), i == 13);
	}
	for (size_t i = 0; i < sizeof(first); i++) {
		assert_false(pack_is_pack(first, i));
		memcpy(buf, first, sizeof(buf));
		buf[i] ^= 1;
		/* Its length is the decoder's. */
		assert_int_equal(pack_is_pack(buf, sizeof(buf)),
				 i >= 4 && i < 8);
	}
}

/* ---- label ---- */

static const uint8_t label_sample[] = {
	0x8b, 'm', 'r', 'p', 'a',  'c',	 'k',  '\n', /* magic */
	0,    0,   0,	1, /* version */
	0,    0,   0,	1, /* flags */
	0,    0,   16,	0, /* page size 4 KiB */
	0,    16,  0,	0, /* extent size 1 MiB */
	0,    0,   0,	0,   0x65, 0x53, 0xf1, 0, /* when */
	0,    0,   0,	2, /* below it */
	1,    2,   3,	4,   5,	   6,	 7,    8,
	9,    10,  11,	12,  13,   14,	 15,   16, /* base */
	17,   18,  19,	20,  21,   22,	 23,   24,
	25,   26,  27,	28,  29,   30,	 31,   32, /* UUID */
	3,    'm', 'r', '1', 2,	   'v',	 '1',
};

static struct pack_label label;

static ssize_t decode_label(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_label_decode(buf, len, &label, f);
}

static void label_round_trip(void **state)
{
	uint8_t buf[sizeof(label_sample) + 1] = { 0 }, back[PACK_LABEL_MAX];

	(void)state;
	check_truncations(decode_label, label_sample, sizeof(label_sample),
			  sizeof(label_sample), sizeof(label_sample));
	assert_int_equal(label.flags, PACK_INCREMENT);
	assert_int_equal(label.page_size, 4096);
	assert_int_equal(label.extent_size, MIB);
	assert_int_equal(label.of.made, 0x6553f100);
	assert_int_equal(label.below, 2);
	assert_int_equal(label.base.byte[0], 1);
	assert_int_equal(label.base.byte[15], 16);
	assert_int_equal(label.of.uuid[0], 17);
	assert_int_equal(label.of.uuid[15], 32);
	assert_string_equal(label.of.maker, "mr1");
	assert_string_equal(label.of.name, "v1");
	assert_int_equal(pack_label_encode(back, &label), sizeof(label_sample));
	assert_memory_equal(back, label_sample, sizeof(label_sample));
	memcpy(buf, label_sample, sizeof(label_sample));
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD,
		    sizeof(label_sample));
}

static void label_extremes(void **state)
{
	static const struct pack_label none = { .page_size = 1024,
						.extent_size = 65536 };
	struct pack_label in = { .page_size = 65536,
				 .extent_size = 1 << 22,
				 .of.made = UINT64_MAX };
	uint8_t buf[PACK_LABEL_MAX];
	size_t n = pack_label_encode(buf, &none);

	(void)state;
	assert_int_equal(n, 70);
	check_truncations(decode_label, buf, n, n, (ssize_t)n);
	assert_string_equal(label.of.maker, "");
	assert_string_equal(label.of.name, "");
	assert_int_equal(label.flags, 0);
	assert_int_equal(label.below, 0);
	memset(in.of.maker, 'm', NAME_MAX_LEN);
	memset(in.of.name, 'n', NAME_MAX_LEN);
	n = pack_label_encode(buf, &in);
	assert_int_equal(n, PACK_LABEL_MAX);
	check_truncations(decode_label, buf, n, n, (ssize_t)n);
	assert_string_equal(label.of.maker, in.of.maker);
	assert_string_equal(label.of.name, in.of.name);
	assert_int_equal(label.of.made, UINT64_MAX);
	assert_int_equal(pack_pages(&label), 64);
}

static void label_bad(void **state)
{
	static const struct bad_field cases[] = {
		{ 0, 0x8b6d7273, FAULT_BAD, 0 },
		{ 4, 0x61636b0d, FAULT_BAD, 0 },
		{ 8, 0, FAULT_UNSUPPORTED, 8 },
		{ 8, 2, FAULT_UNSUPPORTED, 8 },
		{ 12, 3, FAULT_UNSUPPORTED, 12 },
		{ 12, 2, FAULT_UNSUPPORTED, 12 },
		{ 12, UINT32_MAX, FAULT_UNSUPPORTED, 12 },
		{ 12, 0, FAULT_BAD, 32 }, /* a full one on others */
		{ 16, 0, FAULT_BAD, 16 },
		{ 16, 512, FAULT_BAD, 16 },
		{ 16, 4097, FAULT_BAD, 16 },
		{ 16, 1 << 17, FAULT_BAD, 16 },
		{ 20, 0, FAULT_BAD, 20 },
		{ 20, 64 * 4096 / 2, FAULT_BAD, 20 },
		{ 20, 3 << 18, FAULT_BAD, 20 },
		{ 20, 1 << 23, FAULT_BAD, 20 },
		{ 20, UINT32_C(1) << 31, FAULT_BAD, 20 },
		{ 32, 0, FAULT_BAD, 32 },
		{ 32, PACK_BELOW_MAX + 1, FAULT_BAD, 32 },
		{ 32, UINT32_MAX, FAULT_BAD, 32 },
	};
	uint8_t buf[sizeof(label_sample)];

	(void)state;
	check_bad32(decode_label, label_sample, sizeof(label_sample), cases,
		    ARRAY_LEN(cases));
	/* Names. */
	memcpy(buf, label_sample, sizeof(buf));
	buf[69] = '\t';
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD, 69);
	memcpy(buf, label_sample, sizeof(buf));
	buf[74] = 0xff;
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD, 73);
	/* A base where there must be none, none where there must be one. */
	memcpy(buf, label_sample, sizeof(buf));
	memset(buf + 36, 0, 16);
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD, 36);
	put_be32(buf + 12, 0);
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD, 32);
	put_be32(buf + 32, 0);
	assert_int_equal(decode_label(buf, sizeof(buf), &(struct fault){ 0 }),
			 sizeof(buf));
	buf[51] = 1;
	check_fault(decode_label, buf, sizeof(buf), FAULT_BAD, 36);
}

/* ---- extents ---- */

static const struct pack_label *of = &full;
static struct pack_extent extent;

static ssize_t decode_extent(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_extent_decode(buf, len, of, &extent, f);
}

static void extent_round_trip(void **state)
{
	struct pack_extent in = { .block = 7,
				  .offset = 5 * MIB,
				  .there = { 1, 0, 0, UINT64_C(1) << 63 },
				  .zero = { 2, 0,
					    UINT64_C(0x0102030405060708) } };
	uint8_t buf[sizeof(in)], back[sizeof(in)];
	size_t n = pack_extent_encode(buf, &full, &in);

	(void)state;
	of = &full;
	assert_int_equal(n, 16 + 2 * 4 * 8);
	assert_int_equal(n, pack_extent_size(&full));
	assert_int_equal(pack_note_size(&full, &in), n + 2 * 8);
	assert_int_equal(get_be32(buf), 7);
	assert_int_equal(get_be64(buf + 8), 5 * MIB);
	assert_int_equal(buf[23], 1);
	assert_int_equal(buf[40], 0x80);
	assert_int_equal(buf[55], 2);
	assert_int_equal(buf[64], 1);
	assert_int_equal(buf[71], 8);
	memset(&extent, 0xff, sizeof(extent));
	check_truncations(decode_extent, buf, n, n + 5, (ssize_t)n);
	assert_int_equal(extent.block, in.block);
	assert_int_equal(extent.offset, in.offset);
	assert_memory_equal(extent.there, in.there, sizeof(in.there));
	assert_memory_equal(extent.zero, in.zero, sizeof(in.zero));
	assert_int_equal(pack_extent_encode(back, &full, &extent), n);
	assert_memory_equal(back, buf, n);
}

static void extent_sizes(void **state)
{
	struct pack_extent e = { .block = 0 };

	(void)state;
	assert_int_equal(pack_pages(&full), 256);
	assert_int_equal(pack_pages(&small), 64);
	assert_int_equal(pack_pages(&large), 64);
	assert_int_equal(pack_pages(&most), PACK_EXTENT_PAGES);
	assert_int_equal(pack_extent_size(&small), 32);
	assert_int_equal(pack_extent_size(&large), 32);
	memset(e.there, 0xff, sizeof(e.there));
	assert_int_equal(pack_note_size(&most, &e), PACK_NOTE_MAX);
	assert_int_equal(pack_entry_size(&most), PACK_INDEX_EXTENT_MAX);
}

static void extent_bad(void **state)
{
	static const struct bad_field cases[] = {
		{ 0, 1, FAULT_BAD, 4 }, /* block 0, and 1 behind it */
		{ 8, 1, FAULT_BAD, 8 },
		{ 8, MIB - 4096, FAULT_BAD, 8 },
		{ 8, UINT64_MAX, FAULT_BAD, 8 },
		{ 16, 0, FAULT_BAD, 16 }, /* no page */
		{ 16 + 32, 1, FAULT_BAD, 16 + 32 }, /* both */
		{ 16 + 32, UINT64_MAX, FAULT_BAD, 16 + 32 },
	};
	struct pack_extent in = { .offset = MIB, .there = { 1 } };
	uint8_t buf[sizeof(in)];
	size_t n = pack_extent_encode(buf, &full, &in);

	(void)state;
	of = &full;
	check_bad64(decode_extent, buf, n, cases, ARRAY_LEN(cases));
}

static int check_extent(uint64_t offset, size_t there, size_t zero,
			uint64_t length)
{
	struct pack_extent e = { .offset = offset };
	struct fault f = { .kind = FAULT_NONE };
	int rc;

	bits_set(e.there, there, 1);
	bits_set(e.zero, zero, 1);
	rc = pack_extent_check(&full, &e, length, &f);
	assert_int_equal(f.kind, rc ? FAULT_BAD : FAULT_NONE);
	return rc;
}

static void extent_outside(void **state)
{
	const uint64_t end = 3 * MIB + 10 * UINT64_C(4096);

	(void)state;
	assert_int_equal(check_extent(3 * MIB, 9, 8, end), 0);
	assert_int_equal(check_extent(3 * MIB, 9, 8, end + 1), 0);
	assert_int_equal(check_extent(3 * MIB, 10, 8, end), -1);
	assert_int_equal(check_extent(3 * MIB, 10, 8, end + 4095), -1);
	assert_int_equal(check_extent(3 * MIB, 8, 10, end), -1);
	assert_int_equal(check_extent(3 * MIB, 8, 255, end), -1);
	assert_int_equal(check_extent(2 * MIB, 255, 254, end), 0);
	assert_int_equal(check_extent(2 * MIB, 255, 254, 3 * MIB), 0);
	assert_int_equal(check_extent(2 * MIB, 255, 254, 3 * MIB - 1), -1);
	assert_int_equal(check_extent(4 * MIB, 0, 1, end), -1);
	assert_int_equal(check_extent(4 * MIB, 0, 1, 4 * MIB), -1);
	assert_int_equal(check_extent(-MIB, 0, 255, UINT64_MAX), -1);
	assert_int_equal(check_extent(-MIB, 0, 254, UINT64_MAX), 0);
	assert_int_equal(check_extent(-MIB, 0, 1, INT64_MAX), -1);
}

/* ---- parts ---- */

/* What page number p of an extent is to hold. */
static uint8_t fill_of(size_t p)
{
	return (uint8_t)(p * 7 + 1);
}

/* The PART, in size bytes, none more. */
static uint8_t *make_part(const struct pack_label *l,
			  const struct pack_extent *e, const char *name,
			  size_t size)
{
	uint8_t *part = malloc(size), *word = malloc(PACK_WORD_MAX);
	uint8_t *behind = malloc(PACK_BEHIND_MAX);
	size_t at = 0, n = 0, len;

	assert_true(part && word && behind);
	for (size_t p = 0; p < pack_pages(l); p++) {
		if (!bits_test(e->there, p))
			continue;
		len = pack_part_before(word, l, e, name, n, p);
		assert_true(len + l->page_size <= size - at);
		memcpy(part + at, word, len);
		at += len;
		assert_int_equal(at, pack_part_at(l, name, n));
		memset(part + at, fill_of(p), l->page_size);
		at += l->page_size;
		n++;
	}
	len = pack_part_behind(behind, l, e, name);
	assert_int_equal(at + len, size);
	memcpy(part + at, behind, len);
	free(word);
	free(behind);
	return part;
}

static void check_page(const uint8_t *data, size_t page, size_t size)
{
	assert_int_equal(data[0], fill_of(page));
	assert_memory_equal(data, data + 1, size - 1);
}

/* All of it as a reader of streams takes it: in order, each page once. */
static void read_part(const struct pack_label *l, const struct pack_extent *e,
		      const char *name, const uint8_t *part, size_t size)
{
	uint64_t there[PACK_WORDS] = { 0 }, zero[PACK_WORDS] = { 0 };
	struct stream_element el;
	struct ram_item item;
	struct fault f;
	size_t at, last = 0, page;
	ssize_t n = stream_element_decode(part, size, &el, &f);

	assert_int_equal(n, 5);
	assert_int_equal(el.type, STREAM_PART);
	assert_int_equal(el.section_id, PACK_RAM_SECTION);
	for (at = (size_t)n;; at += item.data_len) {
		bool first = at == (size_t)5;

		n = ram_item_decode(part + at, size - at, l->page_size, &item,
				    &f);
		assert_true(n > 0);
		at += (size_t)n;
		if (item.kind == RAM_EOS)
			break;
		assert_int_equal(item.cont, !first);
		assert_string_equal(item.block, first ? name : "");
		assert_true(item.offset >= e->offset);
		page = (size_t)((item.offset - e->offset) / l->page_size);
		assert_true(page < pack_pages(l));
		assert_true(item.kind == RAM_PAGE || item.kind == RAM_ZERO);
		/* Pages come in order, then the zero ones in order. */
		if (item.kind == RAM_ZERO)
			page += pack_pages(l);
		assert_true(first || page > last);
		last = page;
		page %= pack_pages(l);
		bits_set(item.kind == RAM_PAGE ? there : zero, page, 1);
		if (item.kind == RAM_PAGE)
			check_page(part + at, page, l->page_size);
	}
	assert_memory_equal(there, e->there, sizeof(there));
	assert_memory_equal(zero, e->zero, sizeof(zero));
	assert_int_equal(stream_footer_decode(part + at, size - at,
					      PACK_RAM_SECTION, &f),
			 STREAM_FOOTER_SIZE);
	assert_int_equal(at + STREAM_FOOTER_SIZE, size);
}

static void check_part(const struct pack_label *l, const struct pack_extent *e)
{
	static const char long_name[] =
		"0000:00:03.0/virtio-mem/a/name/that/is/long/indeed";
	static const char *const names[] = { "a", "pc.ram", long_name };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t size = pack_part_size(l, e, names[i]);
		uint8_t *part;

		assert_true(size <= pack_part_max(l));
		part = make_part(l, e, names[i], size);
		read_part(l, e, names[i], part, size);
		free(part);
	}
}

static void parts(void **state)
{
	static const struct pack_label *const labels[] = { &full, &small,
							   &large, &most };
	static const struct {
		uint64_t there[2], zero[2];
	} pages[] = {
		{ { 1, 0 }, { 0, 0 } },
		{ { 2, 0 }, { 0, 0 } }, /* not the first */
		{ { UINT64_C(1) << 63, 0 }, { 1, 0 } },
		{ { UINT64_MAX, 0 }, { 0, 0 } },
		{ { 0, 0 }, { 1, 0 } }, /* no page, only zeros */
		{ { 0, 0 }, { UINT64_MAX, 0 } },
		{ { 0, 0 }, { UINT64_C(1) << 63, 0 } },
		{ { UINT64_C(0x5555555555555555), 0 },
		  { UINT64_C(0xaaaaaaaaaaaaaaaa), 0 } },
		{ { 0xf0, 0 }, { 0x0f, 0 } },
		{ { 0, 1 }, { UINT64_C(1) << 63, 0 } }, /* over a word's end */
		{ { 0, UINT64_MAX }, { UINT64_MAX, 0 } },
		{ { 0, 0 }, { 0, 4 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		for (size_t k = 0; k < ARRAY_LEN(pages); k++) {
			const struct pack_label *l = labels[i];
			struct pack_extent e = {
				.offset = 3 * (uint64_t)l->extent_size
			};

			if (pack_pages(l) == 64 &&
			    (pages[k].there[1] || pages[k].zero[1]))
				continue;
			memcpy(e.there, pages[k].there, 16);
			memcpy(e.zero, pages[k].zero, 16);
			check_part(l, &e);
			/* And far into a block. */
			e.offset =
				FILE_END / 2 / l->extent_size * l->extent_size;
			check_part(l, &e);
		}
}

/* The room that is said to be enough is, to the byte. */
static void parts_most(void **state)
{
	struct pack_extent e = { .block = 0 }, z = { .block = 0 };
	uint8_t *buf = malloc(PACK_BEHIND_MAX);
	char name[NAME_SIZE] = "";
	uint8_t word[PACK_WORD_MAX];

	(void)state;
	assert_non_null(buf);
	memset(name, 'n', NAME_MAX_LEN);
	memset(e.there, 0xff, sizeof(e.there));
	memset(z.zero, 0xff, sizeof(z.zero));
	assert_int_equal(pack_part_size(&most, &e, name), pack_part_max(&most));
	assert_int_equal(pack_part_before(word, &most, &e, name, 0, 0),
			 PACK_WORD_MAX);
	assert_int_equal(pack_part_behind(buf, &most, &z, name),
			 PACK_BEHIND_MAX);
	assert_int_equal(pack_part_size(&most, &z, name), PACK_BEHIND_MAX);
	free(buf);
}

/* ---- index ---- */

#define INDEX_LENGTH (PACK_INDEX_HEAD_SIZE + 2 * 10 + 3 * 80)

static uint64_t index_length = INDEX_LENGTH;
static struct pack_index_head head;

static ssize_t decode_head(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_index_head_decode(buf, len, index_length, &head, f);
}

static const struct pack_index_head head_in = {
	.blocks = 2,
	.extents = 3,
	.head = { 0x102, 0x304, 0x506, { { 1, 2 } } },
	.tail = { UINT64_C(0x1112131415161718),
		  0x21222324,
		  0x31323334,
		  { { 3, 4 } } },
	.label = { { 5, 6 } },
};

static void check_place(const struct pack_place *a, const struct pack_place *b)
{
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->content, b->content);
	assert_memory_equal(&a->digest, &b->digest, sizeof(a->digest));
}

static void head_round_trip(void **state)
{
	uint8_t buf[PACK_INDEX_HEAD_SIZE + 3] = { 0 };
	size_t n = pack_index_head_encode(buf, &head_in);

	(void)state;
	index_length = INDEX_LENGTH;
	assert_int_equal(n, 96);
	assert_int_equal(get_be64(buf + 16), 0x102);
	assert_int_equal(get_be32(buf + 24), 0x304);
	assert_int_equal(get_be32(buf + 28), 0x506);
	assert_int_equal(buf[32], 1);
	assert_int_equal(buf[64], 3);
	assert_int_equal(buf[80], 5);
	check_truncations(decode_head, buf, n, sizeof(buf), (ssize_t)n);
	assert_int_equal(head.blocks, 2);
	assert_int_equal(head.extents, 3);
	check_place(&head.head, &head_in.head);
	check_place(&head.tail, &head_in.tail);
	assert_memory_equal(&head.label, &head_in.label, sizeof(head.label));
}

static void head_bad(void **state)
{
	static const struct bad_field cases[] = {
		{ 0, 0, FAULT_BAD, 0 },
		{ 0, PACK_BLOCKS_LIMIT + 1, FAULT_BAD, 0 },
		{ 0, UINT32_MAX, FAULT_BAD, 0 },
		{ 0, 3, FAULT_BAD, 8 }, /* blocks that leave no room */
		{ 0, PACK_BLOCKS_LIMIT, FAULT_BAD, 8 },
		{ 4, 1, FAULT_BAD, 4 },
		{ 8, 1, FAULT_BAD, 8 },
		{ 12, 4, FAULT_BAD, 8 },
		{ 12, UINT32_MAX, FAULT_BAD, 8 },
		{ 16, 0x80000000, FAULT_BAD, 16 },
		{ 16, UINT32_MAX, FAULT_BAD, 16 },
		{ 24, 0, FAULT_BAD, 24 },
		{ 24, 0x506 + 0x505 / 256 + 1025, FAULT_BAD, 24 },
		{ 24, UINT32_MAX, FAULT_BAD, 24 },
		{ 28, 0, FAULT_BAD, 24 },
		{ 28, PACK_HEAD_MAX + 1, FAULT_BAD, 28 },
		{ 28, UINT32_MAX, FAULT_BAD, 28 },
		{ 48, UINT32_MAX, FAULT_BAD, 48 },
		{ 56, 0, FAULT_BAD, 56 },
		{ 60, 0, FAULT_BAD, 56 },
		{ 60, PACK_TAIL_MAX + 1, FAULT_BAD, 60 },
		{ 60, UINT32_MAX, FAULT_BAD, 60 },
	};
	uint8_t buf[PACK_INDEX_HEAD_SIZE], bad[PACK_INDEX_HEAD_SIZE];

	(void)state;
	index_length = INDEX_LENGTH;
	(void)pack_index_head_encode(buf, &head_in);
	check_bad32(decode_head, buf, sizeof(buf), cases, ARRAY_LEN(cases));
	/* Files end at 2^63 - 1. */
	memcpy(bad, buf, sizeof(bad));
	put_be64(bad + 48, FILE_END - 0x21222324);
	assert_int_equal(decode_head(bad, sizeof(bad), &(struct fault){ 0 }),
			 sizeof(bad));
	put_be64(bad + 48, FILE_END - 0x21222324 + 1);
	check_fault(decode_head, bad, sizeof(bad), FAULT_BAD, 48);
	/* One byte less than it takes. */
	index_length--;
	check_fault(decode_head, buf, sizeof(buf), FAULT_BAD, 8);
	index_length = 0;
	check_fault(decode_head, buf, sizeof(buf), FAULT_BAD, 8);
}

static struct pack_block block;

static ssize_t decode_block(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_block_decode(buf, len, &block, f);
}

static void blocks(void **state)
{
	static const uint64_t bad[] = { 0, UINT64_C(1) << 63, UINT64_MAX };
	struct pack_block in = { .name = "pc.ram", .length = INT64_MAX };
	uint8_t buf[PACK_INDEX_BLOCK_MAX] = { 0 };
	size_t n = pack_block_encode(buf, &in);

	(void)state;
	assert_int_equal(n, 7 + 8);
	check_truncations(decode_block, buf, n, n + 5, (ssize_t)n);
	assert_string_equal(block.name, in.name);
	assert_int_equal(block.length, in.length);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_be64(buf + 7, bad[i]);
		check_fault(decode_block, buf, n, FAULT_BAD, 7);
	}
	buf[1] = '\n';
	check_fault(decode_block, buf, n, FAULT_BAD, 1);
	buf[0] = 0;
	check_fault(decode_block, buf, n, FAULT_BAD, 0);
	memset(in.name, 'n', NAME_MAX_LEN);
	assert_int_equal(pack_block_encode(buf, &in), sizeof(buf));
	assert_int_equal(decode_block(buf, sizeof(buf), &(struct fault){ 0 }),
			 sizeof(buf));
	assert_string_equal(block.name, in.name);
}

static struct pack_entry entry;

static ssize_t decode_entry(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_entry_decode(buf, len, &full, &entry, f);
}

static const struct pack_entry entry_in = {
	.extent = { .block = 1,
		    .offset = 2 * MIB,
		    .there = { 1, 2, 3, 4 },
		    .zero = { 8, 8, 8, 9 << 8 } },
	.place = { 0x1234, 0x101, 0x10101, { { 1, 2, 3 } } },
	.note = { { 4, 5, 6 } },
};

static void entry_round_trip(void **state)
{
	uint8_t buf[PACK_INDEX_EXTENT_MAX] = { 0 }, back[sizeof(buf)];
	size_t n = pack_entry_encode(buf, &full, &entry_in);

	(void)state;
	assert_int_equal(n, 16 + 64 + 32 + 16);
	assert_int_equal(n, pack_entry_size(&full));
	check_truncations(decode_entry, buf, n, n + 5, (ssize_t)n);
	assert_memory_equal(&entry.extent, &entry_in.extent,
			    sizeof(entry.extent));
	check_place(&entry.place, &entry_in.place);
	assert_memory_equal(&entry.note, &entry_in.note, sizeof(entry.note));
	assert_int_equal(pack_entry_encode(back, &full, &entry), n);
	assert_memory_equal(back, buf, n);
}

static void entry_bad(void **state)
{
	const uint32_t least = 5 + 256 + 256 * (8 + 4096) + 8 + 5;
	const struct bad_field cases[] = {
		{ 4, 1, FAULT_BAD, 4 },
		{ 12, 4096, FAULT_BAD, 8 },
		{ 16 + 36, 1, FAULT_BAD, 48 },
		{ 80, UINT32_MAX, FAULT_BAD, 80 },
		{ 88, 0, FAULT_BAD, 88 },
		{ 88, UINT32_MAX, FAULT_BAD, 88 },
		{ 92, 0, FAULT_BAD, 88 },
		{ 92, least + 1, FAULT_BAD, 92 },
		{ 92, UINT32_MAX, FAULT_BAD, 92 },
	};
	uint8_t buf[PACK_INDEX_EXTENT_MAX] = { 0 };
	size_t n = pack_entry_encode(buf, &full, &entry_in);

	(void)state;
	assert_int_equal(pack_part_max(&full), least);
	check_bad32(decode_entry, buf, n, cases, ARRAY_LEN(cases));
	put_be32(buf + 92, least);
	assert_int_equal(decode_entry(buf, n, &(struct fault){ 0 }), n);
}

static struct pack_end end;

static ssize_t decode_end(const uint8_t *buf, size_t len, struct fault *f)
{
	return pack_end_decode(buf, len, 1000, &end, f);
}

static void end_round_trip(void **state)
{
	static const uint32_t bad[] = { 0,   3,	   4 + 96 + 28 - 1,
					993, 1000, UINT32_MAX };
	static const uint32_t good[] = { 4 + 96 + 28, 992 };
	struct pack_end in = { .identity = { { 1, 2, 3 } }, .length = 500 };
	uint8_t buf[PACK_INDEX_END_SIZE + 2] = { 0 };

	(void)state;
	assert_int_equal(pack_end_encode(buf, &in), 28);
	check_truncations(decode_end, buf, 28, sizeof(buf), 28);
	assert_int_equal(end.length, 500);
	assert_memory_equal(&end.identity, &in.identity, 16);
	assert_true(pack_is_end(buf, 28));
	assert_true(pack_is_end(buf + 20, 8));
	assert_false(pack_is_end(buf + 21, 7));
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		put_be32(buf + 16, good[i]);
		assert_int_equal(decode_end(buf, 28, &(struct fault){ 0 }), 28);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_be32(buf + 16, bad[i]);
		check_fault(decode_end, buf, 28, FAULT_BAD, 16);
	}
	buf[27] ^= 1;
	assert_false(pack_is_end(buf, 28));
	check_fault(decode_end, buf, 28, FAULT_BAD, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skip_sample),
		cmocka_unit_test(skip_kinds),
		cmocka_unit_test(skip_bad),
		cmocka_unit_test(signatures),
		cmocka_unit_test(label_round_trip),
		cmocka_unit_test(label_extremes),
		cmocka_unit_test(label_bad),
		cmocka_unit_test(extent_round_trip),
		cmocka_unit_test(extent_sizes),
		cmocka_unit_test(extent_bad),
		cmocka_unit_test(extent_outside),
		cmocka_unit_test(parts),
		cmocka_unit_test(parts_most),
		cmocka_unit_test(head_round_trip),
		cmocka_unit_test(head_bad),
		cmocka_unit_test(blocks),
		cmocka_unit_test(entry_round_trip),
		cmocka_unit_test(entry_bad),
		cmocka_unit_test(end_round_trip),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
