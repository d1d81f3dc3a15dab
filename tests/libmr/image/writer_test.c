/*
 * image_writer_test.c - what is written is what the format's decoders read,
 * where QEMU puts it.
 */
#include "formats/bits.h"
#include "tests/libmr/folder.h"

#include <sys/mman.h>

#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "formats/stream.h"
#include "libmr/image/writer.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t size), (p, size), NULL)
static long mapped; /* mappings made and not undone */

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	if (fail_now("mmap"))
		return MAP_FAILED;
	mapped++;
	return __real_mmap64(at, len, prot, flags, fd, offset);
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	mapped--;
	return __real_munmap(at, len);
}

FAIL_WRAP(int, ftruncate64, (int fd, off_t size), (fd, size), -1)
FAIL_WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)

#define MACHINE "pc-i440fx-10.0"

/* Some bytes, EOF. */
static uint8_t device_state[501];

static const struct image_device *make_device(void)
{
	static const struct image_device device = {
		.sections = device_state, .len = sizeof(device_state)
	};

	fill_random(device_state, 500, 9);
	device_state[500] = STREAM_EOF;
	return &device;
}

struct block {
	const char *name;
	uint64_t length;
};

/* A guest of 1 GiB on pc, as QEMU 10.0.2 lists it. */
static const struct block blocks_1g[] = {
	{ "pc.ram", 1 << 30 },
	{ "pc.bios", 0x40000 },
	{ "pc.rom", 0x20000 },
	{ "/rom@etc/acpi/tables", 0x20000 },
	{ "/rom@etc/table-loader", 0x1000 },
	{ "/rom@etc/acpi/rsdp", 0x1000 },
};

enum { BLOCKS = ARRAY_LEN(blocks_1g) };

/* What the configuration is to say of the page size. */
static unsigned int page_bits;
/* The device state is known behind the pages only. */
static bool later;

static int lay_out(struct image_writer *w, const char *path,
		   const struct block *blocks, size_t n, bool seal,
		   struct mr_error *err)
{
	int rc = image_writer_open(w, path, GATE_IMAGE, MR_DIRECT_OFF, seal,
				   err);

	if (!rc)
		rc = image_writer_begin(w, MACHINE, page_bits, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = image_writer_block(w, blocks[i].name, blocks[i].length,
					err);
	if (!rc)
		rc = later ? image_writer_later(w, err)
			   : image_writer_device(w, make_device(), err);
	return rc;
}

/* Fills random pages of each block, all over it, and sets their bits. */
static int put_pages(struct image_writer *w, struct mr_error *err)
{
	uint64_t seed = 17;

	for (size_t b = 0; b < w->n; b++) {
		struct writer_block *blk = &w->blocks[b];

		for (int i = 0; i < 20; i++) {
			uint64_t page =
				next_random(&seed) % blk->place.num_pages;
			unsigned char buf[IMAGE_PAGE];

			fill_random(buf, sizeof(buf), page + 1);
			if (io_write_full(&w->out.file.io, buf, sizeof(buf),
					  blk->place.pages_offset +
						  page * IMAGE_PAGE,
					  err))
				return -1;
			/* One by one: their order does not matter. */
			if (image_writer_set(w, blk, page, &(uint64_t){ 1 }, 1,
					     buf, NULL, err))
				return -1;
		}
	}
	return 0;
}

/* ---- reading it back ---- */

static uint8_t *map_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	void *p;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	p = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(close(fd), 0);
	return p;
}

static int count_report(void *arg, const struct mapped_ram_report *r)
{
	(void)arg;
	print_message("block %zu: %s\n", r->block, r->what);
	return 0;
}

/* Header, configuration, START, total: as one reads them, in order. */
static size_t read_front(const uint8_t *p, size_t len, uint64_t total)
{
	struct stream_config config;
	struct stream_element e;
	struct ram_item item;
	struct fault f;
	ssize_t n;
	size_t at;

	n = stream_header_decode(p, len, &f);
	assert_true(n > 0);
	at = (size_t)n;
	n = stream_config_decode(p + at, len - at, &config, &f);
	assert_true(n > 0);
	assert_string_equal(config.machine, MACHINE);
	assert_true(config.has_capabilities && config.mapped_ram);
	assert_false(config.ignore_shared || config.has_uuid);
	assert_int_equal(config.target_page_bits, page_bits);
	at += (size_t)n;
	n = stream_element_decode(p + at, len - at, &e, &f);
	assert_true(n > 0);
	assert_int_equal(e.type, STREAM_START);
	assert_string_equal(e.idstr, RAM_IDSTR);
	assert_int_equal(e.instance_id, 0);
	assert_int_equal(e.version_id, RAM_VERSION);
	assert_int_not_equal(e.section_id, 0);
	at += (size_t)n;
	n = ram_item_decode(p + at, len - at, IMAGE_PAGE, &item, &f);
	assert_true(n > 0);
	assert_int_equal(item.kind, RAM_MEM_SIZE);
	assert_int_equal(item.offset, total);
	return at + (size_t)n;
}

/* EOS, footer, END, EOS, footer, device state, description. */
static void read_tail(const uint8_t *p, size_t len)
{
	struct stream_element e;
	struct ram_item item;
	struct fault f;
	size_t at = 0;
	ssize_t n;

	for (int section = 0; section < 2; section++) {
		n = ram_item_decode(p + at, len - at, IMAGE_PAGE, &item, &f);
		assert_true(n > 0);
		assert_int_equal(item.kind, RAM_EOS);
		at += (size_t)n;
		n = stream_footer_decode(p + at, len - at, 1, &f);
		assert_true(n > 0);
		at += (size_t)n;
		if (section)
			break;
		n = stream_element_decode(p + at, len - at, &e, &f);
		assert_true(n > 0);
		assert_int_equal(e.type, STREAM_END);
		assert_int_equal(e.section_id, 1);
		at += (size_t)n;
	}
	assert_in_range(sizeof(device_state), 1, len - at);
	assert_memory_equal(p + at, device_state, sizeof(device_state));
	at += sizeof(device_state);
	n = stream_element_decode(p + at, len - at, &e, &f);
	assert_true(n > 0);
	assert_int_equal(e.type, STREAM_VMDESC);
	at += (size_t)n;
	assert_int_equal(e.length, 2);
	assert_memory_equal(p + at, "{}", 2);
	assert_int_equal(at + 2, len);
}

/* The bits in the file are those of the writer; pages under set bits are
 * what was put there, all else reads as zeros. */
static struct mapped_ram_tally check_memory(const uint8_t *p,
					    const struct writer_block *w,
					    const struct mapped_ram_block *b)
{
	size_t nwords = (size_t)(w->place.bitmap_size / 8);
	struct mapped_ram_tally tally = { 0 };
	uint64_t pages = b->used_length / IMAGE_PAGE, page = 0;
	uint64_t *words = calloc(nwords, 8);

	assert_non_null(words);
	memcpy(words, p + b->h.bitmap_offset, nwords * 8);
	bits_swap_le(words, nwords);
	assert_memory_equal(words, w->bits, nwords * 8);
	mapped_ram_tally_add(&tally, pages, 0, words, nwords);
	assert_int_equal(tally.stray, 0);
	assert_in_range(tally.pages, 1, 20);
	while ((page = bits_next_set(words, page, pages)) < pages) {
		unsigned char want[IMAGE_PAGE];

		fill_random(want, sizeof(want), page + 1);
		assert_memory_equal(p + b->h.pages_offset + page * IMAGE_PAGE,
				    want, IMAGE_PAGE);
		page++;
	}
	free(words);
	return tally;
}

static void check_image(const struct image_writer *w, const char *path,
			const struct block *want)
{
	static const struct ram_list_form form = { .mapped_ram = true,
						   .page_size = IMAGE_PAGE };
	struct mapped_ram_block found[16];
	struct mapped_ram_tally tally[16];
	struct mapped_ram_list list = { .blocks = found,
					.n = w->n,
					.total = w->ram,
					.page_size = IMAGE_PAGE };
	size_t len;
	uint8_t *p = map_file(path, &len);
	uint64_t at = read_front(p, len, w->ram);

	list.file_size = len;
	for (size_t i = 0; i < w->n; i++) {
		struct ram_block b;
		struct fault f;
		ssize_t n = ram_block_decode(p + at, len - at, &form, &b, &f);

		assert_true(n > 0);
		assert_string_equal(b.name, want[i].name);
		assert_int_equal(b.used_length, want[i].length);
		found[i] = (struct mapped_ram_block){
			.name = want[i].name,
			.used_length = b.used_length,
			.entry = at,
			.header = at + ram_block_header_at(&form, &b),
			.h = b.mapped,
			.tally = &tally[i],
		};
		tally[i] = check_memory(p, &w->blocks[i], &found[i]);
		assert_int_equal(
			mapped_ram_block_end(&found[i], false, &at, &f), 0);
	}
	assert_int_equal(mapped_ram_check(&list, count_report, NULL), 0);
	assert_int_equal(at, w->tail);
	assert_int_equal(w->size, len);
	read_tail(p + at, len - at);
	assert_int_equal(munmap(p, len), 0);
}

static void reads_back_with(unsigned int bits)
{
	struct mr_error err = MR_ERROR_INIT;
	struct image_writer w;
	struct stat st;

	page_bits = bits;
	assert_int_equal(
		lay_out(&w, in_dir("image"), blocks_1g, BLOCKS, false, &err),
		0);
	assert_int_equal(put_pages(&w, &err), 0);
	assert_int_equal(image_writer_finish(&w, &err), 0);
	assert_int_equal(output_publish(&w.out, &err), 0);
	assert_string_equal(err.msg, "");
	check_image(&w, in_dir("image"), blocks_1g);
	/* and what nobody wrote takes no room */
	assert_int_equal(stat(in_dir("image"), &st), 0);
	assert_in_range(st.st_blocks, 1, (4 << 20) / 512);
	image_writer_release(&w);
	image_writer_release(&w);
	page_bits = 0;
}

static void reads_back(void **state)
{
	(void)state;
	reads_back_with(0);
	reads_back_with(12); /* as arm and aarch64 have to say it */
}

static void make_image(const char *name)
{
	struct mr_error err = MR_ERROR_INIT;
	struct image_writer w;

	assert_int_equal(
		lay_out(&w, in_dir(name), blocks_1g, BLOCKS, true, &err), 0);
	assert_int_equal(put_pages(&w, &err), 0);
	/* Some pages turn out to be none, and some of these to be some. */
	assert_int_equal(image_writer_clear(&w, &w.blocks[0], 0, 9999, &err),
			 0);
	assert_int_equal(put_pages(&w, &err), 0);
	assert_int_equal(image_writer_clear(&w, &w.blocks[1], 7, 30, &err), 0);
	if (later)
		assert_int_equal(image_writer_device(&w, make_device(), &err),
				 0);
	assert_int_equal(image_writer_finish(&w, &err), 0);
	assert_int_equal(output_publish(&w.out, &err), 0);
	image_writer_release(&w);
}

/* Whether the device state is known before the pages or behind them. */
static void device_state_later(void **state)
{
	uint8_t *a, *b;
	size_t n, m;

	(void)state;
	make_image("first");
	later = true;
	make_image("later");
	later = false;
	a = map_file(in_dir("first"), &n);
	b = map_file(in_dir("later"), &m);
	assert_int_equal(n, m);
	assert_int_equal(memcmp(a, b, n), 0);
	assert_int_equal(munmap(a, n), 0);
	assert_int_equal(munmap(b, m), 0);
}

/* The places of QEMU's own file of such a guest (mapped_ram.md). */
static void where_qemu_puts_it(void **state)
{
	const struct mapped_ram_place *place;
	struct image_writer w;

	(void)state;
	assert_int_equal(
		lay_out(&w, in_dir("qemu"), blocks_1g, BLOCKS, false, NULL), 0);
	place = &w.blocks[0].place;
	assert_int_equal(place->entry, 0x63);
	assert_int_equal(place->bitmap_offset, 0x8e);
	assert_int_equal(place->bitmap_size, 32768);
	assert_int_equal(place->pages_offset, 0x100000);
	assert_int_equal(w.blocks[1].place.entry, 0x40100000);
	assert_int_equal(w.blocks[5].place.pages_offset, 0x40600000);
	assert_int_equal(w.tail, 0x40601000);
	image_writer_release(&w);
}

/* Words of a bitmap without a bit in them are holes: a guest of 64 GiB that
 * touched little has an image that takes little. */
static void large_and_empty(void **state)
{
	const struct block block = { "large", UINT64_C(64) << 30 };
	struct mr_error err = MR_ERROR_INIT;
	struct image_writer w;
	struct stat st;

	(void)state;
	assert_int_equal(lay_out(&w, in_dir("large"), &block, 1, true, &err),
			 0);
	assert_int_equal(w.blocks[0].place.bitmap_size, 2 << 20);
	assert_int_equal(image_writer_finish(&w, &err), 0);
	assert_int_equal(output_publish(&w.out, &err), 0);
	assert_int_equal(stat(in_dir("large"), &st), 0);
	assert_true((uint64_t)st.st_size > block.length);
	assert_in_range(st.st_blocks, 1, (256 << 10) / 512);
	image_writer_release(&w);
}

/* A seal comes behind: all before it is the same image. */
static void seal_changes_nothing_before_it(void **state)
{
	uint8_t *p[2];
	size_t len[2];
	static const char *const names[] = { "bare", "sealed" };

	(void)state;
	for (int seal = 0; seal < 2; seal++) {
		struct mr_error err = MR_ERROR_INIT;
		struct image_writer w;

		assert_int_equal(lay_out(&w, in_dir(names[seal]), blocks_1g + 1,
					 BLOCKS - 1, seal, &err),
				 0);
		assert_int_equal(put_pages(&w, &err), 0);
		assert_int_equal(image_writer_finish(&w, &err), 0);
		assert_int_equal(output_publish(&w.out, &err), 0);
		p[seal] = map_file(in_dir(names[seal]), &len[seal]);
		assert_int_equal(len[seal], w.size);
		image_writer_release(&w);
	}
	assert_true(len[1] > len[0]);
	assert_memory_equal(p[0], p[1], len[0]);
	assert_int_equal(munmap(p[0], len[0]), 0);
	assert_int_equal(munmap(p[1], len[1]), 0);
}

/* Pages that come again: which of them are what they were. */
static void same_pages(void **state)
{
	enum { PAGES = 1100 };
	unsigned char *buf = malloc(PAGES * IMAGE_PAGE);
	uint64_t bits[PAGES / 64 + 1] = { 0 }, same[PAGES / 64 + 1];
	const struct block block = { "ram", 2048 * IMAGE_PAGE };
	struct mr_error err = MR_ERROR_INIT;
	struct writer_block *b;
	struct image_writer w;

	(void)state;
	assert_non_null(buf);
	fill_random(buf, PAGES * IMAGE_PAGE, 5);
	assert_int_equal(lay_out(&w, in_dir("same"), &block, 1, true, &err), 0);
	b = &w.blocks[0];
	bits_set(bits, 3, 1090);
	memset(same, 0xff, sizeof(same));
	assert_int_equal(
		image_writer_set(&w, b, 128, bits, PAGES, buf, same, &err), 0);
	assert_int_equal(bits_count(same, 0, PAGES), 0);
	buf[700 * IMAGE_PAGE + 9] ^= 1;
	bits_clear(bits, 1030, 1);
	bits_set(bits, 1, 1);
	assert_int_equal(
		image_writer_set(&w, b, 128, bits, PAGES, buf, same, &err), 0);
	assert_int_equal(bits_count(same, 0, PAGES), 1088);
	assert_false(bits_test(same, 1) || bits_test(same, 700) ||
		     bits_test(same, 1030));
	/* What was cleared between is not what it was. */
	assert_int_equal(image_writer_clear(&w, b, 128 + 64, 64, &err), 0);
	assert_int_equal(bits_count(b->bits, 0, 2048), 1090 - 64);
	assert_int_equal(
		image_writer_set(&w, b, 128, bits, PAGES, buf, same, &err), 0);
	assert_int_equal(bits_count(same, 0, PAGES), 1090 - 64);
	assert_int_equal(bits_count(same, 64, 64), 0);
	assert_int_equal(image_writer_finish(&w, &err), 0);
	image_writer_release(&w);
	free(buf);
}

/* ---- what cannot be written ---- */

static void refuses(void **state)
{
	static char name[300], machine[300];
	const struct block bad[] = {
		{ "", 4096 },
		{ name, 4096 },
		{ "b", 0 },
		{ "b", 4095 },
		{ "b", 1 },
		{ "b", UINT64_C(1) << 63 },
		{ "b", UINT64_MAX },
		{ "b", UINT64_MAX - 4095 },
		{ "b", INT64_MAX & ~4095 },
	};
	struct image_writer w;
	struct mr_error err;

	(void)state;
	memset(name, 'n', 256);
	memset(machine, 'm', 256);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct block both[] = { { "a", 4096 }, bad[i] };

		err = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(
			lay_out(&w, in_dir("none"), both, 2, true, &err), -1);
		assert_int_equal(err.code, MR_UNSUPPORTED);
		image_writer_release(&w);
	}
	err = (struct mr_error)MR_ERROR_INIT;
	assert_int_equal(image_writer_open(&w, in_dir("none"), GATE_IMAGE,
					   MR_DIRECT_OFF, false, &err),
			 0);
	assert_int_equal(image_writer_begin(&w, machine, 0, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	image_writer_release(&w);
	assert_int_equal(access(in_dir("none"), F_OK), -1);
}

static int whole_story(struct mr_error *err)
{
	struct image_writer w = IMAGE_WRITER_NONE;
	int rc = -1;

	if (!lay_out(&w, in_dir("failing"), blocks_1g + 1, BLOCKS - 1, true,
		     err) &&
	    !put_pages(&w, err) && !image_writer_finish(&w, err) &&
	    !output_publish(&w.out, err))
		rc = 0;
	image_writer_release(&w);
	return rc;
}

static void every_call_fails(void **state)
{
	unsigned n;

	(void)state;
	for (n = 1;; n++) {
		struct mr_error err = MR_ERROR_INIT;
		int rc;

		fail_arm(n, ENOSPC);
		mapped = 0;
		rc = whole_story(&err);
		assert_int_equal(mapped, 0);
		if (!fail_plan.name)
			break;
		fail_arm(0, 0);
		assert_int_equal(rc, -1);
		assert_int_not_equal(err.code, MR_OK);
		assert_int_equal(access(in_dir("failing"), F_OK), -1);
	}
	assert_in_range(n, 50, 500);
	assert_int_equal(access(in_dir("failing"), F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back),
		cmocka_unit_test(device_state_later),
		cmocka_unit_test(where_qemu_puts_it),
		cmocka_unit_test(large_and_empty),
		cmocka_unit_test(seal_changes_nothing_before_it),
		cmocka_unit_test(same_pages),
		cmocka_unit_test(refuses),
		cmocka_unit_test(every_call_fails),
	};

	return cmocka_run_group_tests_name("image_writer", tests, folder_setup,
					   folder_teardown);
}
