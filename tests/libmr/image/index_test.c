/* index_test.c - the memory of plain streams, against a model of it. */
#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <zlib.h>

#include "tests/libmr/unit.h"

#include "libmr/image/image.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t size), (p, size), NULL)
FAIL_WRAP(void *, mmap64,
	  (void *addr, size_t len, int prot, int flags, int fd, off_t at),
	  (addr, len, prot, flags, fd, at), MAP_FAILED)

/* ---- a stream in the making, and what its memory is ---- */

enum { BLOCKS = 3, PAGE_MAX = 65536 };

static const char *const names[BLOCKS] = { "pc.ram", "a b", "x" };

struct model {
	struct build b;
	struct build_block k[BLOCKS];
	uint8_t *bytes[BLOCKS];
	uint8_t *sent[BLOCKS]; /* one a page */
	uint64_t random;
};

static void begin_file(struct model *m, uint32_t page_size)
{
	m->b = (struct build){ .fd = memfd_create("stream", MFD_CLOEXEC),
			       .page_size = page_size,
			       .ram_id = 2,
			       .next_id = 3 };
	assert_true(m->b.fd >= 0);
	memcpy(m->b.config.machine, "pc-i440fx-10.0", 15);
}

/* Up to the end of START. */
static void begin(struct model *m, uint32_t page_size, uint64_t pages)
{
	uint8_t bits = 10;

	while (UINT32_C(1) << bits < page_size)
		bits++;
	m->b.config.target_page_bits = page_size == 4096 ? 0 : bits;
	for (size_t i = 0; i < BLOCKS; i++) {
		uint64_t n = pages / (i * i + 1) + 1;

		m->k[i] = (struct build_block){ .name = names[i],
						.length = n * page_size };
		m->bytes[i] = calloc(n, page_size);
		m->sent[i] = calloc(n, 1);
		assert_non_null(m->bytes[i]);
		assert_non_null(m->sent[i]);
	}
	build_header(&m->b);
	build_config(&m->b);
	build_ram_start(&m->b, m->k, BLOCKS);
}

/* Once more, without saying how large pages are. */
static void begin_again(struct model *m)
{
	build_done(&m->b);
	assert_int_equal(ftruncate(m->b.fd, 0), 0);
	m->b.at = 0;
	m->b.config.target_page_bits = 0;
	build_header(&m->b);
	build_config(&m->b);
	build_ram_start(&m->b, m->k, BLOCKS);
}

static void model_free(struct model *m)
{
	for (size_t i = 0; i < BLOCKS; i++) {
		free(m->bytes[i]);
		free(m->sent[i]);
	}
}

static uint64_t below(struct model *m, uint64_t n)
{
	return next_random(&m->random) % n;
}

static void part(struct model *m, enum stream_type type)
{
	build_element(&m->b, type, m->b.ram_id, NULL, 0);
}

static void part_end(struct model *m)
{
	build_word(&m->b, RAM_EOS);
	build_footer(&m->b, m->b.ram_id);
}

static void send_page(struct model *m, size_t block, uint64_t page)
{
	uint32_t size = m->b.page_size;
	uint8_t *at = m->bytes[block] + page * size;

	fill_random(at, size, next_random(&m->random) | 1);
	build_page_word(&m->b, names[block], page * size, at);
	m->sent[block][page] = 1;
}

/* Compressed by itself; n bytes of it say little. Pages of 256 bytes have no
 * room for the flag. */
static void send_packed(struct model *m, size_t block, uint64_t page, size_t n)
{
	static uint8_t packed[2 * PAGE_MAX];
	uint32_t size = m->b.page_size;
	uint8_t *at = m->bytes[block] + page * size;
	uLongf len = sizeof(packed);

	fill_random(at, size, next_random(&m->random) | 1);
	memset(at, 'x', n % size);
	assert_int_equal(compress2(packed, &len, at, size, (int)below(m, 10)),
			 Z_OK);
	build_item(&m->b, RAM_COMPRESS, names[block], page * size, packed, len);
	m->sent[block][page] = 1;
}

static void send_zero(struct model *m, size_t block, uint64_t page)
{
	uint32_t size = m->b.page_size;

	memset(m->bytes[block] + page * size, 0, size);
	build_page_word(&m->b, names[block], page * size, NULL);
	m->sent[block][page] = 1;
}

static size_t put_run(uint8_t *to, size_t run)
{
	to[0] = (uint8_t)(run & 0x7f);
	if (run < 0x80)
		return 1;
	to[0] |= 0x80;
	to[1] = (uint8_t)(run >> 7);
	return 2;
}

/* A few bytes here and there. */
static void send_change(struct model *m, size_t block, uint64_t page)
{
	uint32_t size = m->b.page_size;
	uint8_t *to = m->bytes[block] + page * size, body[PAGE_MAX];
	size_t at = 0, n = 0;

	do {
		/* A run has 14 bits. */
		size_t skip =
			below(m, size < 16384 ? size / 2 : 8192) + (at > 0);
		size_t run = 1 + below(m, 90);

		if (at + skip + run > size || n + run + 4 > size)
			break;
		at += skip;
		n += put_run(body + n, skip);
		n += put_run(body + n, run);
		fill_random(body + n, run, next_random(&m->random) | 1);
		memcpy(to + at, body + n, run);
		n += run;
		at += run;
	} while (below(m, 4));
	if (n)
		build_item(&m->b, RAM_XBZRLE, names[block], page * size, body,
			   n);
}

static void send_some(struct model *m)
{
	size_t block = below(m, BLOCKS);
	uint64_t pages = m->k[block].length / m->b.page_size;
	uint64_t page = below(m, pages), n = 1 + below(m, 20);
	uint64_t what = below(m, 5);

	/* Hot pages get most changes. */
	if (what > 2 && below(m, 2))
		page %= 3;
	for (; n && page < pages; n--, page++) {
		if (what > 2 && m->sent[block][page])
			send_change(m, block, page);
		else if (what == 0)
			send_zero(m, block, page);
		else if (what == 1)
			send_packed(m, block, page, below(m, m->b.page_size));
		else
			send_page(m, block, page);
	}
}

static void send_all(struct model *m, unsigned words)
{
	part(m, STREAM_PART);
	for (unsigned i = 0; i < words; i++) {
		send_some(m);
		if (below(m, 10))
			continue;
		part_end(m);
		part(m, STREAM_PART);
	}
	part_end(m);
	part(m, STREAM_END);
	send_some(m);
	part_end(m);
}

static void devices(struct model *m)
{
	build_filler(&m->b, "serial", 20);
	build_eof(&m->b);
	build_vmdesc(&m->b);
}

/* ---- it, opened ---- */

/* Memory of a block, as far as there is any to read. */
static int memory_of(const struct mr_image *img, const struct mr_block *b,
		     uint64_t offset, void *buf, size_t len, size_t *present,
		     struct mr_error *err)
{
	if (image_check_index(img, err))
		return -1;
	return page_index_read(img->index, img->io,
			       (size_t)(b - mr_image_info(img)->blocks), offset,
			       buf, len, present, err);
}

struct opened {
	uint8_t *data;
	size_t len;
	struct mem_io mem;
	struct mr_image *img;
};

/* The file as bytes that a test may change; closes it. */
static void map(struct model *m, struct opened *o)
{
	build_done(&m->b);
	o->len = (size_t)m->b.at;
	o->data = mmap(NULL, o->len, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		       m->b.fd, 0);
	assert_true(o->data != MAP_FAILED);
	assert_int_equal(close(m->b.fd), 0);
	mem_io_init(&o->mem, o->data, o->len);
}

static void open_all(struct model *m, struct opened *o)
{
	struct mr_error err = MR_ERROR_INIT;

	map(m, o);
	o->img = image_open_io(&o->mem.io, NULL, &err);
	assert_non_null(o->img);
	assert_int_equal(err.code, MR_OK);
}

static void drop(struct opened *o)
{
	mr_image_free(o->img);
	assert_int_equal(munmap(o->data, o->len), 0);
}

static void expect_bytes(struct model *m, const struct mr_image *img,
			 size_t block, uint64_t offset, size_t len)
{
	const struct mr_block *b = &mr_image_info(img)->blocks[block];
	struct mr_error err = MR_ERROR_INIT;
	uint8_t *buf = malloc(len + 1);
	size_t present, want = 0;

	assert_non_null(buf);
	memset(buf, 0xa5, len + 1);
	assert_int_equal(memory_of(img, b, offset, buf, len, &present, &err),
			 0);
	assert_memory_equal(buf, m->bytes[block] + offset, len);
	assert_int_equal(buf[len], 0xa5);
	for (uint64_t at = offset; at < offset + len; at++)
		want += m->sent[block][at / m->b.page_size];
	assert_int_equal(present, want);
	free(buf);
}

static void expect_all(struct model *m, const struct mr_image *img)
{
	for (size_t i = 0; i < BLOCKS; i++)
		expect_bytes(m, img, i, 0, (size_t)m->k[i].length);
}

static void expect_pieces(struct model *m, const struct mr_image *img)
{
	for (unsigned n = 0; n < 200; n++) {
		size_t block = below(m, BLOCKS);
		uint64_t at = below(m, m->k[block].length);
		uint64_t len = 1 + below(m, m->k[block].length - at);

		if (n % 2 && len > m->b.page_size)
			len = 1 + len % m->b.page_size;
		expect_bytes(m, img, block, at, (size_t)len);
	}
}

/* What cannot be read, and why not. */
static void expect_refusal(const struct mr_image *img, enum mr_code code,
			   const char *msg)
{
	struct mr_error err = MR_ERROR_INIT;
	uint8_t byte;
	size_t n;

	assert_int_equal(memory_of(img, &mr_image_info(img)->blocks[0], 0,
				   &byte, 1, &n, &err),
			 -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, msg))
		fail_msg("\"%s\" in: %s", msg, err.msg);
}

/* ---- tests ---- */

static void test_random(void **state)
{
	static const uint32_t sizes[] = { 4096, 1024, 4096, 16384 };

	(void)state;
	for (uint64_t i = 0; i < 12; i++) {
		struct model m = { .random = 1000 + i };
		struct opened o;

		begin_file(&m, sizes[i % 4]);
		begin(&m, sizes[i % 4], i % 3 ? 150 : 3);
		send_all(&m, 150);
		devices(&m);
		open_all(&m, &o);
		assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
		expect_all(&m, o.img);
		expect_pieces(&m, o.img);
		drop(&o);
		model_free(&m);
	}
}

/* libvirt's header before it; and no END, as background-snapshot has it. */
static void test_elsewhere(void **state)
{
	(void)state;
	for (int libvirt = 0; libvirt < 2; libvirt++) {
		struct model m = { .random = 7 };
		struct opened o;

		begin_file(&m, 4096);
		if (libvirt)
			build_libvirt(&m.b,
				      (struct libvirt_header){
					      .complete = true,
					      .version = 2,
					      .format = LIBVIRT_RAW },
				      "<domain/>", 777);
		begin(&m, 4096, 40);
		build_command(&m.b, STREAM_CMD_SWITCHOVER_START, NULL, 0);
		part(&m, STREAM_PART);
		for (uint64_t p = 0; p < 40; p++)
			send_page(&m, 0, p);
		part_end(&m);
		devices(&m);
		open_all(&m, &o);
		assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
		assert_false(mr_image_info(o.img)->ram_ended);
		expect_all(&m, o.img);
		drop(&o);
		model_free(&m);
	}
}

/* Pages of all sizes that a stream need not say. */
static void test_page_sizes(void **state)
{
	static const uint32_t sizes[] = { 256,	1024,  2048,  4096,
					  8192, 16384, 32768, 65536 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct model m = { .random = 30 + i };
		struct opened o;

		begin_file(&m, sizes[i]);
		begin(&m, sizes[i], 100);
		begin_again(&m);
		part(&m, STREAM_END);
		for (unsigned n = 0; n < 400; n++) {
			size_t block = below(&m, BLOCKS);
			uint64_t page = below(&m, m.k[block].length / sizes[i]);

			/* The least have no room for its flag. */
			if (n % 6 == 0 && sizes[i] > 256)
				send_packed(&m, block, page, n);
			else if (n % 3 == 0)
				send_page(&m, block, page);
			else if (n % 3 == 1)
				send_zero(&m, block, page);
			else if (m.sent[block][page])
				send_change(&m, block, page);
		}
		part_end(&m);
		devices(&m);
		open_all(&m, &o);
		assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
		assert_int_equal(mr_image_info(o.img)->page_size, sizes[i]);
		expect_all(&m, o.img);
		drop(&o);
		model_free(&m);
	}
}

/* That pages have 8 KiB shows only behind words that say zeros. */
static void test_page_size_late(void **state)
{
	struct model m = { .random = 3 };
	uint64_t pages[MR_PAGE_CLASSES] = { 0 };
	struct mr_error err = MR_ERROR_INIT;
	struct opened o;

	(void)state;
	begin_file(&m, 8192);
	begin(&m, 8192, 8);
	begin_again(&m);
	part(&m, STREAM_END);
	send_zero(&m, 0, 0);
	send_zero(&m, 0, 1);
	send_zero(&m, 0, 7);
	send_page(&m, 0, 3);
	send_zero(&m, 1, 3);
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
	assert_int_equal(mr_image_info(o.img)->page_size, 8192);
	expect_all(&m, o.img);
	assert_int_equal(mr_image_classes(o.img,
					  &mr_image_info(o.img)->blocks[0], 0,
					  9, pages, &err),
			 0);
	assert_int_equal(pages[MR_PAGE_ZERO], 3);
	assert_int_equal(pages[MR_PAGE_PRESENT], 1);
	assert_int_equal(mr_image_info(o.img)->blocks[0].zero_words, 3);
	drop(&o);
	model_free(&m);
}

/* The same, when a command says it: pages of 1 KiB. */
static void test_page_size_command(void **state)
{
	struct model m = { .random = 4 };
	uint8_t advise[16];
	struct opened o;

	(void)state;
	begin_file(&m, 1024);
	begin(&m, 1024, 95);
	begin_again(&m);
	part(&m, STREAM_PART);
	send_zero(&m, 0, 4);
	send_zero(&m, 0, 92);
	part_end(&m);
	put_be64(advise, 4096);
	put_be64(advise + 8, 1024);
	build_command(&m.b, STREAM_CMD_POSTCOPY_ADVISE, advise, 16);
	part(&m, STREAM_END);
	for (uint64_t p = 90; p < 96; p++)
		send_page(&m, 0, p);
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
	expect_all(&m, o.img);
	drop(&o);
	model_free(&m);
}

/* What a page was before does not stay in memory. */
static void test_rings(void **state)
{
	struct model m = { .random = 5 };
	struct opened o;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 8);
	part(&m, STREAM_END);
	for (unsigned i = 0; i < 3000; i++) {
		if (i % 2)
			send_page(&m, 0, i % 3);
		else
			send_zero(&m, 0, i % 3);
		send_change(&m, 0, i % 3);
		send_change(&m, 0, i % 3);
	}
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	assert_non_null(o.img->index);
	assert_in_range(o.img->index->used, 9, 12);
	expect_all(&m, o.img);
	drop(&o);
	model_free(&m);
}

/* A page with more changes than the first room has. */
static void test_long_ring(void **state)
{
	struct model m = { .random = 6 };
	struct opened o;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 8);
	part(&m, STREAM_END);
	send_zero(&m, 1, 0);
	for (unsigned i = 0; i < 5000; i++)
		send_change(&m, 1, 0);
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	assert_int_equal(page_index_kind(o.img->index, 1, 0), PAGE_INDEX_DELTA);
	assert_int_equal(page_index_kind(o.img->index, 1, 1),
			 PAGE_INDEX_ABSENT);
	expect_all(&m, o.img);
	drop(&o);
	model_free(&m);
}

/* ---- what cannot be read ---- */

/* What does not unpack is of no account until it is the page; then it is told,
 * as is a file that was written to since. */
static void test_bad_zlib(void **state)
{
	static const uint8_t junk[40] = { 0x78, 1, 0xff };
	struct mr_error err = MR_ERROR_INIT;
	struct model m = { .random = 14 };
	const struct mr_block *b;
	uint8_t buf[8 * 4096];
	uint64_t at[3];
	struct opened o;
	size_t n;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 7);
	part(&m, STREAM_END);
	build_item(&m.b, RAM_COMPRESS, "pc.ram", 0, junk, sizeof(junk));
	send_packed(&m, 0, 0, 4000);
	at[0] = m.b.at - 4;
	send_packed(&m, 0, 1, 4000);
	build_item(&m.b, RAM_COMPRESS, "pc.ram", 4096, junk, sizeof(junk));
	at[1] = m.b.at - sizeof(junk);
	build_item(&m.b, RAM_COMPRESS, "pc.ram", 2 * 4096, junk, sizeof(junk));
	at[2] = m.b.at - sizeof(junk) - 4;
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	b = mr_image_info(o.img)->blocks;
	assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
	assert_int_equal(b[0].compress_words, 5);
	assert_int_equal(image_compressed(mr_image_info(o.img)), 5);
	expect_bytes(&m, o.img, 0, 0, 4096);
	assert_int_equal(memory_of(o.img, b, 0, buf, sizeof(buf), &n, &err),
			 -1);
	assert_int_equal(err.code, MR_FORMAT);
	assert_in_range(err.offset, at[1], at[1] + sizeof(junk));
	assert_non_null(strstr(err.msg, "page 1 of block pc.ram: zlib data: "));
	/* Its checksum. */
	o.data[at[0]] ^= 1;
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(memory_of(o.img, b, 9, buf, 1, &n, &err), -1);
	assert_int_equal(err.code, MR_FORMAT);
	assert_non_null(strstr(err.msg, "page 0 of block pc.ram"));
	for (size_t i = 0; i < 3; i++) {
		static const uint32_t lengths[] = { 0, 4673, UINT32_MAX };

		put_be32(o.data + at[2], lengths[i]);
		err = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(
			memory_of(o.img, b, 2 * 4096, buf, 99, &n, &err), -1);
		assert_int_equal(err.code, MR_FORMAT);
		assert_int_equal(err.offset, at[2]);
		assert_non_null(strstr(err.msg, "has changed"));
	}
	drop(&o);
	model_free(&m);
}

/* Changes are kept track of up to a limit, which nobody reaches in a test: the
 * index is told that it has so many. */
static void test_changes_limit(void **state)
{
	const struct mr_block block = { .name = "pc.ram", .pages = 4 };
	const struct ram_item page = { .kind = RAM_PAGE };
	const struct ram_item change = { .kind = RAM_XBZRLE, .data_len = 8 };
	struct mr_error err = MR_ERROR_INIT;
	struct page_index *x = page_index_new(&block, 1, 4096, &err);

	(void)state;
	assert_non_null(x);
	assert_int_equal(page_index_add(x, 0, &page, 100, &err), 0);
	assert_int_equal(page_index_add(x, 0, &change, 5000, &err), 0);
	assert_int_equal(x->used, 2);
	x->used = PAGE_INDEX_DELTAS - 1;
	x->room = PAGE_INDEX_DELTAS;
	assert_int_equal(page_index_add(x, 0, &change, 6000, &err), 0);
	assert_int_equal(x->why.code, MR_UNSUPPORTED);
	assert_int_equal(x->why.offset, 6000);
	assert_string_equal(x->why.msg, "more than 67108864 XBZRLE changes to "
					"keep track of");
	assert_int_equal(x->used, PAGE_INDEX_DELTAS - 1);
	assert_int_equal(page_index_add(x, 0, &change, 7000, &err), 0);
	assert_int_equal(x->why.offset, 6000);
	page_index_free(x);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *msg;
		enum mr_code code;
	} cases[] = {
		{ "multifd channels: they are not in it", MR_UNSUPPORTED },
		{ "no page with data", MR_UNSUPPORTED },
		{ "went over to postcopy", MR_UNSUPPORTED },
		{ "page 5 of RAM block \"pc.ram\", which was never sent",
		  MR_FORMAT },
		{ "opened without its memory", MR_USAGE },
	};
	static const uint8_t change[] = { 0, 1, 0x55 };
	static const uint8_t discard[20] = { 0, 1, 'x' };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct model m = { .random = 8 };
		struct opened o;

		begin_file(&m, 4096);
		begin(&m, 4096, 8);
		part(&m, STREAM_END);
		if (i == 0)
			build_word(&m.b, RAM_FLUSH);
		send_zero(&m, 0, 0);
		if (i != 1)
			send_page(&m, 1, 1);
		if (i == 3)
			build_item(&m.b, RAM_XBZRLE, "pc.ram", 5 * 4096, change,
				   sizeof(change));
		part_end(&m);
		if (i == 2)
			build_command(&m.b, STREAM_CMD_POSTCOPY_RAM_DISCARD,
				      discard, sizeof(discard));
		devices(&m);
		open_all(&m, &o);
		if (i == 4)
			o.img->want_memory = false;
		expect_refusal(o.img, cases[i].code, cases[i].msg);
		assert_int_equal(mr_image_info(o.img)->damage.code,
				 i == 3 ? MR_FORMAT : MR_OK);
		drop(&o);
		model_free(&m);
	}
}

/* With x-ignore-shared, and without. */
static void test_left_out(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct model m = { .random = 8 };
		const struct mr_block *b;
		struct opened o;

		begin_file(&m, 4096);
		m.b.config.ignore_shared = shared;
		begin(&m, 4096, 8);
		part(&m, STREAM_END);
		send_page(&m, 1, 0);
		send_zero(&m, 2, 0);
		part_end(&m);
		devices(&m);
		open_all(&m, &o);
		b = mr_image_info(o.img)->blocks;
		assert_int_equal(image_block_sent(o.img, &b[0]), !shared);
		assert_true(image_block_sent(o.img, &b[1]));
		assert_true(image_block_sent(o.img, &b[2]));
		drop(&o);
		model_free(&m);
	}
}

/* More memory than is kept track of; as much as is. */
static void test_limit(void **state)
{
	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct model m = { .random = 9 };
		struct build_block k = { .name = "pc.ram" };
		struct mr_error err = MR_ERROR_INIT;
		uint8_t page[4096], buf[4096];
		size_t present;
		struct opened o;

		k.length = (PAGE_INDEX_LIMIT + more) * 4096;
		begin_file(&m, 4096);
		build_header(&m.b);
		build_config(&m.b);
		build_ram_start(&m.b, &k, 1);
		part(&m, STREAM_END);
		build_page(page, sizeof(page), 1);
		build_page_word(&m.b, "pc.ram", k.length - 4096, page);
		part_end(&m);
		devices(&m);
		open_all(&m, &o);
		assert_int_equal(mr_image_info(o.img)->damage.code, MR_OK);
		if (more) {
			expect_refusal(o.img, MR_UNSUPPORTED,
				       "0x10000001000 bytes of memory");
		} else {
			assert_int_equal(
				memory_of(o.img,
					  &mr_image_info(o.img)->blocks[0],
					  k.length - 4096, buf, sizeof(buf),
					  &present, &err),
				0);
			assert_memory_equal(buf, page, sizeof(buf));
		}
		drop(&o);
	}
}

/* A small stream of every kind of word. */
static void small(struct model *m)
{
	begin_file(m, 1024);
	begin(m, 1024, 6);
	part(m, STREAM_PART);
	send_page(m, 0, 2);
	send_change(m, 0, 2);
	send_zero(m, 0, 3);
	send_change(m, 0, 3);
	send_packed(m, 0, 5, 900);
	part_end(m);
	part(m, STREAM_END);
	send_change(m, 0, 3);
	send_change(m, 0, 5);
	send_packed(m, 2, 0, 1000);
	send_page(m, 1, 0);
	send_page(m, 1, 1);
	send_page(m, 0, 4);
	part_end(m);
	devices(m);
}

static bool is_told(const struct mr_error *e, uint64_t len)
{
	return e->code != MR_OK && e->msg[0] && !strchr(e->msg, '\n') &&
	       (e->offset <= len || e->code == MR_UNSUPPORTED);
}

static void test_truncation(void **state)
{
	struct model m = { .random = 10 };
	unsigned whole = 0;
	struct opened o;

	(void)state;
	small(&m);
	map(&m, &o);
	for (size_t len = 0; len <= o.len; len++) {
		struct mr_error err = MR_ERROR_INIT;
		const struct mr_image_info *info;
		uint8_t byte;
		size_t n;

		mem_io_init(&o.mem, o.data, len);
		o.img = image_open_io(&o.mem.io, NULL, &err);
		assert_non_null(o.img);
		info = mr_image_info(o.img);
		if (info->ram_ended) {
			whole++;
			expect_all(&m, o.img);
		} else if (info->n_blocks) {
			assert_int_equal(memory_of(o.img, &info->blocks[0], 0,
						   &byte, 1, &n, &err),
					 -1);
			assert_int_equal(err.code, MR_SHORT);
			assert_true(is_told(&err, len));
		}
		mr_image_free(o.img);
	}
	assert_in_range(whole, 100, 1000);
	assert_int_equal(munmap(o.data, o.len), 0);
	model_free(&m);
}

/* Reads everything of whatever it is. */
static void read_any(const struct mr_image *img, uint64_t len)
{
	const struct mr_image_info *info = mr_image_info(img);

	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];

		for (uint64_t at = 0; at < b->length && at < 16384;
		     at += 1000) {
			struct mr_error err = MR_ERROR_INIT;
			uint64_t left = b->length - at;
			uint8_t buf[3000];
			size_t n;

			if (left > sizeof(buf))
				left = sizeof(buf);
			if (memory_of(img, b, at, buf, (size_t)left, &n, &err))
				assert_true(is_told(&err, len));
			else
				assert_true(n <= left);
		}
	}
}

static void test_flips(void **state)
{
	struct model m = { .random = 11 };
	struct opened o;

	(void)state;
	small(&m);
	map(&m, &o);
	for (size_t at = 0; at < o.len; at++) {
		uint8_t was = o.data[at];

		for (unsigned i = 0; i < 2; i++) {
			struct mr_error err = MR_ERROR_INIT;

			o.data[at] = (uint8_t)(i ? below(&m, 256)
						 : was ^ 1U << at % 8);
			o.img = image_open_io(&o.mem.io, NULL, &err);
			assert_non_null(o.img);
			read_any(o.img, o.len);
			mr_image_free(o.img);
		}
		o.data[at] = was;
	}
	assert_int_equal(munmap(o.data, o.len), 0);
	model_free(&m);
}

/* ---- a file that changes, or cannot be read ---- */

/* Fails the nth read; or all that meet a byte. */
struct failing_io {
	struct io io;
	struct io *under;
	uint64_t bad; /* byte; UINT64_MAX: none */
	unsigned calls, fail_at;
};

static ssize_t failing_read(struct io *io, void *buf, size_t len,
			    uint64_t offset)
{
	struct failing_io *f = (struct failing_io *)io;

	if (++f->calls == f->fail_at ||
	    (f->bad >= offset && f->bad - offset < len)) {
		errno = EIO;
		return -1;
	}
	return f->under->ops->read(f->under, buf, len, offset);
}

static const struct io_ops failing_ops = { .name = "failing",
					   .read = failing_read };

static void test_read_errors(void **state)
{
	struct model m = { .random = 12 };
	struct opened o;
	struct failing_io f = { .io.ops = &failing_ops, .bad = UINT64_MAX };
	unsigned nth = 0, told = 0;

	(void)state;
	small(&m);
	open_all(&m, &o);
	f.io.size = o.len;
	f.under = &o.mem.io;
	o.img->io = &f.io;
	do {
		struct mr_error err = MR_ERROR_INIT;
		uint8_t buf[6 * 1024];
		size_t n;

		f.calls = 0;
		f.fail_at = ++nth;
		if (memory_of(o.img, &mr_image_info(o.img)->blocks[0], 512, buf,
			      sizeof(buf), &n, &err)) {
			told++;
			assert_int_equal(err.code, MR_SYS);
			assert_int_equal(err.sys, EIO);
			assert_non_null(strstr(err.msg, "of block pc.ram"));
		} else {
			assert_memory_equal(buf, m.bytes[0] + 512, sizeof(buf));
		}
	} while (f.calls >= nth);
	assert_in_range(told, 5, nth);
	drop(&o);
	model_free(&m);
}

/* The very page is named, though many are read at once. */
static void test_bad_page(void **state)
{
	struct model m = { .random = 13 };
	struct opened o;
	struct failing_io f = { .io.ops = &failing_ops };
	struct mr_error err = MR_ERROR_INIT;
	static uint8_t buf[200 * 4096];
	size_t n;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 200);
	part(&m, STREAM_END);
	for (uint64_t p = 0; p < 200; p++) {
		send_page(&m, 0, p);
		if (p == 77)
			f.bad = m.b.at - 5;
	}
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	f.io.size = o.len;
	f.under = &o.mem.io;
	o.img->io = &f.io;
	assert_int_equal(memory_of(o.img, &mr_image_info(o.img)->blocks[0], 0,
				   buf, sizeof(buf), &n, &err),
			 -1);
	assert_non_null(strstr(err.msg, "cannot read page 77 of block pc.ram"));
	/* Without it: two reads for a run, and it is what it was. */
	f.bad = UINT64_MAX;
	f.calls = 0;
	expect_bytes(&m, o.img, 0, 0, sizeof(buf));
	assert_in_range(f.calls, 1, 2);
	drop(&o);
	model_free(&m);
}

/* Changes that are none any more; a file that was cut. */
static void test_changed_file(void **state)
{
	struct model m = { .random = 14 };
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_block *b;
	uint64_t at = 0;
	uint8_t buf[100];
	struct opened o;
	size_t n;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 8);
	part(&m, STREAM_END);
	send_page(&m, 0, 1);
	at = m.b.at + 8 + 3;
	send_change(&m, 0, 1);
	part_end(&m);
	devices(&m);
	open_all(&m, &o);
	b = &mr_image_info(o.img)->blocks[0];
	expect_all(&m, o.img);
	memset(o.data + at, 0xff, 3);
	assert_int_equal(memory_of(o.img, b, 4096, buf, sizeof(buf), &n, &err),
			 -1);
	assert_int_equal(err.code, MR_FORMAT);
	assert_int_equal(err.offset, at);
	err = (struct mr_error)MR_ERROR_INIT;
	o.mem.io.size = at - 100;
	assert_int_equal(memory_of(o.img, b, 4096, buf, sizeof(buf), &n, &err),
			 -1);
	assert_int_equal(err.code, MR_SHORT);
	assert_int_equal(err.offset, at - 100);
	drop(&o);
	model_free(&m);
}

/* ---- no memory, cancel, threads ---- */

static void test_no_memory(void **state)
{
	struct model m = { .random = 15 };
	unsigned nth = 0, told = 0;
	struct opened o;
	bool failed;

	(void)state;
	small(&m);
	map(&m, &o);
	do {
		struct mr_error err = MR_ERROR_INIT;
		uint8_t buf[100];
		size_t n;
		int rc = -1;

		fail_arm(++nth, ENOMEM);
		o.img = image_open_io(&o.mem.io, NULL, &err);
		if (o.img)
			rc = memory_of(o.img, &mr_image_info(o.img)->blocks[0],
				       3 * 1024 + 9, buf, sizeof(buf), &n,
				       &err);
		failed = fail_plan.name != NULL;
		fail_arm(0, 0);
		if (rc)
			assert_int_equal(err.code, MR_NOMEM);
		else
			assert_memory_equal(buf, m.bytes[0] + 3 * 1024 + 9,
					    sizeof(buf));
		told += rc != 0;
		assert_true(failed || rc == 0);
		mr_image_free(o.img);
	} while (failed);
	assert_in_range(told, 12, nth);
	assert_int_equal(munmap(o.data, o.len), 0);
	model_free(&m);
}

static void *read_much(void *arg)
{
	const struct mr_image *img = arg;
	uint8_t *buf = malloc(64 << 10);

	for (unsigned i = 0; buf && i < 200; i++) {
		const struct mr_block *b = &mr_image_info(img)->blocks[i % 3];
		size_t n = 1 + (i * 7919) % (64 << 10);

		if (n > b->length)
			n = (size_t)b->length;
		if (memory_of(img, b, b->length - n, buf, n, &n, NULL))
			break;
		if (i == 199) {
			free(buf);
			return NULL;
		}
	}
	free(buf);
	return arg;
}

static void test_threads(void **state)
{
	struct model m = { .random = 16 };
	pthread_t t[4];
	struct opened o;
	void *result;

	(void)state;
	begin_file(&m, 4096);
	begin(&m, 4096, 100);
	send_all(&m, 100);
	devices(&m);
	open_all(&m, &o);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_much, o.img),
				 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], &result), 0);
		assert_null(result);
	}
	drop(&o);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_bad_zlib),
		cmocka_unit_test(test_changes_limit),
		cmocka_unit_test(test_page_size_late),
		cmocka_unit_test(test_page_size_command),
		cmocka_unit_test(test_rings),
		cmocka_unit_test(test_long_ring),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_read_errors),
		cmocka_unit_test(test_bad_page),
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
