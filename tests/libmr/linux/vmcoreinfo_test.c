/* vmcoreinfo_test.c - a kernel's text, and what only looks like one. */
#include <sys/mman.h>

#include "tests/libmr/unit.h"

#include "libmr/image/image.h"
#include "libmr/linux/vmcoreinfo.h"
#include "tests/lib/build.h"

#define PAGE ((size_t)4096)
#define TEXT                                                               \
	"OSRELEASE=6.1.0-18-amd64\nPAGESIZE=4096\n"                        \
	"SYMBOL(init_uts_ns)=ffffffff82a1a3c0\nOFFSET(list_head.next)=0\n" \
	"NUMBER(phys_base)=-4096\nKERNELOFFSET=1a000000\n"

static void put(uint8_t page[VMCOREINFO_MAX], const char *text)
{
	for (size_t i = 0; text[i]; i++)
		page[i] = (uint8_t)text[i];
}

static size_t length_of(const char *text)
{
	uint8_t page[VMCOREINFO_MAX] = { 0 };

	put(page, text);
	return vmcoreinfo_length(page);
}

static void test_text(void **state)
{
	static const char *const bad[] = {
		"", /* nothing */
		"OSRELEASE=6.1\n", /* neither page size nor symbol */
		"OSRELEASE=6.1\nPAGESIZE=4096\n",
		"OSRELEASE=6.1\nSYMBOL(a)=1\n",
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1", /* no end */
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1\n\n",
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1\n=b\n",
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1\nb\n",
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1\n\x7f=b\n",
		"OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(a)=1\n\xc3\xa4=b\n",
		"PAGESIZE=4096\nOSRELEASE=6.1\nSYMBOL(a)=1\n",
	};
	uint8_t page[VMCOREINFO_MAX];

	(void)state;
	assert_int_equal(length_of(TEXT), strlen(TEXT));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(length_of(bad[i]), 0);
	/* Something else behind it, and a page that is full. */
	memset(page, 0, sizeof(page));
	put(page, TEXT);
	page[sizeof(page) - 1] = 1;
	assert_int_equal(vmcoreinfo_length(page), 0);
	memset(page, 'x', sizeof(page));
	put(page, TEXT);
	page[strlen(TEXT) + 1] = '=';
	assert_int_equal(vmcoreinfo_length(page), 0);
	page[sizeof(page) - 1] = '\n';
	assert_int_equal(vmcoreinfo_length(page), sizeof(page));
}

static void test_values(void **state)
{
	struct vmcoreinfo v = { .text = TEXT "NUMBER(a)=\nNUMBER(b)=12x\n"
					     "NUMBER(c)=99999999999999999999\n"
					     "NUMBER(d)=-\n" };
	uint64_t n;

	(void)state;
	assert_memory_equal(vmcoreinfo_get(&v, "OSRELEASE"), "6.1.0-18-amd64\n",
			    15);
	assert_null(vmcoreinfo_get(&v, "OSRELEAS"));
	assert_null(vmcoreinfo_get(&v, "RELEASE"));
	assert_true(vmcoreinfo_number(&v, "SYMBOL(init_uts_ns)", true, &n));
	assert_int_equal(n, 0xffffffff82a1a3c0);
	assert_true(vmcoreinfo_number(&v, "NUMBER(phys_base)", false, &n));
	assert_int_equal(n, (uint64_t)-4096);
	assert_true(vmcoreinfo_number(&v, "PAGESIZE", false, &n));
	assert_int_equal(n, 4096);
	assert_false(vmcoreinfo_number(&v, "NUMBER(a)", false, &n));
	assert_false(vmcoreinfo_number(&v, "NUMBER(b)", false, &n));
	assert_false(vmcoreinfo_number(&v, "NUMBER(c)", false, &n));
	assert_false(vmcoreinfo_number(&v, "NUMBER(d)", false, &n));
	assert_false(vmcoreinfo_number(&v, "NUMBER(e)", false, &n));
	assert_false(vmcoreinfo_number(&v, "SYMBOL(init_uts_ns)", false, &n));
}

/* Two blocks of 2 MiB; page n of the second is page 512 + n. */
static struct vmcoreinfo *find(const size_t *pages, const char *const *texts,
			       size_t n, size_t *found)
{
	static const struct build_run run = { 0, 512 };
	struct build_block k[2] = {
		{ .name = "a",
		  .length = 512 * PAGE,
		  .runs = &run,
		  .n_runs = 1 },
		{ .name = "b",
		  .length = 512 * PAGE,
		  .runs = &run,
		  .n_runs = 1 },
	};
	struct build b = { .page_size = PAGE, .ram_id = 2, .next_id = 3 };
	struct vmcoreinfo_options o = { .direct = MR_DIRECT_OFF };
	struct mr_error err = MR_ERROR_INIT;
	struct vmcoreinfo *v;
	struct mr_image *img;
	struct memory *m;
	char path[64];

	b.fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	memcpy(b.config.machine, "pc-i440fx-10.0", 15);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, k, 2);
	build_bitmaps(&b, k, 2);
	build_ram_empty(&b, STREAM_END);
	build_eof(&b);
	build_done(&b);
	for (size_t i = 0; i < n; i++) {
		uint8_t page[VMCOREINFO_MAX] = { 0 };

		memcpy(page, texts[i], strlen(texts[i]));
		build_put_at(&b, page, sizeof(page),
			     k[pages[i] / 512].place.pages_offset +
				     pages[i] % 512 * PAGE);
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b.fd);
	img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(img);
	m = memory_of_image(img, true, &err);
	assert_non_null(m);
	assert_int_equal(vmcoreinfo_find(m, &o, &v, found, &err), 0);
	memory_free(m);
	mr_image_free(img);
	assert_int_equal(close(b.fd), 0);
	return v;
}

static void test_find(void **state)
{
	static const char *const texts[] = { TEXT "A=b\n", TEXT, TEXT,
					     "OSRELEASE=not that\n", TEXT };
	static const size_t pages[] = { 1000, 700, 300, 2, 900 };
	struct vmcoreinfo *v;
	size_t n;

	(void)state;
	v = find(pages, texts, 0, &n);
	assert_null(v);
	assert_int_equal(n, 0);
	v = find(pages, texts, 5, &n);
	assert_int_equal(n, 2);
	assert_int_equal(v[0].block, 0);
	assert_int_equal(v[0].offset, 300 * PAGE);
	assert_string_equal(v[0].text, TEXT);
	assert_int_equal(v[0].len, strlen(TEXT));
	assert_int_equal(v[1].block, 1);
	assert_int_equal(v[1].offset, (1000 - 512) * PAGE);
	assert_string_equal(v[1].text, TEXT "A=b\n");
	free(v);
}

/* More than are looked at: the first ones. */
static void test_many(void **state)
{
	char text[40][sizeof(TEXT) + 8];
	const char *texts[40];
	struct vmcoreinfo *v;
	size_t pages[40], n;

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		(void)snprintf(text[i], sizeof(text[i]), TEXT "A=%zu\n", i);
		texts[i] = text[i];
		pages[i] = 1023 - i * 7;
	}
	v = find(pages, texts, 40, &n);
	assert_int_equal(n, VMCOREINFO_FOUND);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(v[i].text, text[39 - i]);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
