/* log_test.c - a kernel's messages, out of an image; what the kernel says of
 * them is not always so. */
#include "tests/libmr/unit.h"

#include "formats/bytes.h"
#include "tests/libmr/guest_ram.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)
#define KERNEL UINT64_C(0xffffffff80000000)
#define DIRECT UINT64_C(0xffff888000000000)

/* Where things are, in 4 MiB from physical 0 on: the kernel says phys_base. */
enum {
	INFO = 0x100000,
	TABLES = 0x110000, /* of the kernel; others follow */
	UTS = 0x120000,
	RING = 0x130000,
	POINTER = 0x131000,
	DESCS = 0x140000,
	INFOS = 0x150000,
	DATA = 0x160000,
	BASE = 0x100000,
};

#define TEXT(rest)                                  \
	"OSRELEASE=6.1.0-test\nPAGESIZE=4096\n"     \
	"SYMBOL(init_uts_ns)=ffffffff80020000\n"    \
	"SYMBOL(swapper_pg_dir)=ffffffff80010000\n" \
	"OFFSET(uts_namespace.name)=0\n"            \
	"NUMBER(phys_base)=1048576\n" rest
#define RING_TEXT                                       \
	"SYMBOL(prb)=ffffffff80031000\n"                \
	"SIZE(printk_ringbuffer)=88\n"                  \
	"OFFSET(printk_ringbuffer.desc_ring)=0\n"       \
	"OFFSET(printk_ringbuffer.text_data_ring)=48\n" \
	"SIZE(prb_desc_ring)=48\n"                      \
	"OFFSET(prb_desc_ring.count_bits)=0\n"          \
	"OFFSET(prb_desc_ring.descs)=8\n"               \
	"OFFSET(prb_desc_ring.infos)=16\n"              \
	"OFFSET(prb_desc_ring.head_id)=24\n"            \
	"OFFSET(prb_desc_ring.tail_id)=32\n"            \
	"SIZE(prb_desc)=24\n"                           \
	"OFFSET(prb_desc.state_var)=0\n"                \
	"OFFSET(prb_desc.text_blk_lpos)=8\n"            \
	"SIZE(prb_data_blk_lpos)=16\n"                  \
	"OFFSET(prb_data_blk_lpos.begin)=0\n"           \
	"OFFSET(prb_data_blk_lpos.next)=8\n"            \
	"SIZE(printk_info)=88\n"                        \
	"OFFSET(printk_info.seq)=0\n"                   \
	"OFFSET(printk_info.ts_nsec)=8\n"               \
	"OFFSET(printk_info.text_len)=16\n"             \
	"SIZE(prb_data_ring)=32\n"                      \
	"OFFSET(prb_data_ring.size_bits)=0\n"           \
	"OFFSET(prb_data_ring.data)=8\n"                \
	"SIZE(atomic_long_t)=8\n"                       \
	"OFFSET(atomic_long_t.counter)=0\n"
#define LOG_TEXT                                   \
	"SYMBOL(log_buf)=ffffffff80031000\n"       \
	"SYMBOL(log_buf_len)=ffffffff80030000\n"   \
	"SYMBOL(log_first_idx)=ffffffff80030004\n" \
	"SYMBOL(log_next_idx)=ffffffff80030008\n"  \
	"SIZE(printk_log)=16\n"                    \
	"OFFSET(printk_log.ts_nsec)=0\n"           \
	"OFFSET(printk_log.len)=8\n"               \
	"OFFSET(printk_log.text_len)=10\n"

static uint8_t ram[4 * MIB];

static void put(size_t at, const char *text)
{
	for (size_t i = 0; text[i]; i++)
		ram[at + i] = (uint8_t)text[i];
}

/* Another text of the kernel's, as long, instead of a part of it. */
static void replace(const char *part, const char *with)
{
	const char *at = strstr((const char *)ram + INFO, part);

	assert_non_null(at);
	assert_int_equal(strlen(part), strlen(with));
	put((size_t)(at - (const char *)ram), with);
}

/* A kernel with its page tables: its own addresses in pages of 2 MiB, and of
 * those of all memory the page of the ring's data. */
static void begin(const char *text)
{
	memset(ram, 0, sizeof(ram));
	put(INFO, text);
	put(UTS + 2 * 65, "6.1.0-test");
	put_le64(ram + TABLES + 8 * 511, TABLES + PAGE + 3);
	put_le64(ram + TABLES + PAGE + 8 * 510, TABLES + 2 * PAGE + 3);
	/* phys_base is half a page of 2 MiB: small ones. */
	put_le64(ram + TABLES + 2 * PAGE, TABLES + 3 * PAGE + 3);
	for (size_t i = 0; i < 512; i++)
		put_le64(ram + TABLES + 3 * PAGE + 8 * i, BASE + i * PAGE + 3);
	put_le64(ram + TABLES + 8 * 0x111, TABLES + 4 * PAGE + 3);
	put_le64(ram + TABLES + 4 * PAGE, TABLES + 5 * PAGE + 3);
	put_le64(ram + TABLES + 5 * PAGE, 0x83);
}

/* A message of the ring; in the data at 64 * id. */
static void message(uint64_t id, uint64_t ns, const char *text)
{
	uint8_t *d = ram + DESCS + id * 24, *info = ram + INFOS + id * 88;
	size_t len = strlen(text), at = id * 64;

	put_le64(d, UINT64_C(2) << 62 | id);
	put_le64(d + 8, at);
	put_le64(d + 16, at + 8 + (len + 7) / 8 * 8);
	put_le64(info, id);
	put_le64(info + 8, ns);
	put_le32(info + 16, (uint32_t)len);
	put_le64(ram + DATA + at, id);
	put(DATA + at + 8, text);
}

static void begin_ring(void)
{
	begin(TEXT(RING_TEXT));
	put_le64(ram + POINTER, KERNEL + RING - BASE);
	put_le32(ram + RING, 3);
	put_le64(ram + RING + 8, KERNEL + DESCS - BASE);
	put_le64(ram + RING + 16, KERNEL + INFOS - BASE);
	put_le64(ram + RING + 24, 2);
	put_le32(ram + RING + 48, 9);
	put_le64(ram + RING + 56, DIRECT + DATA);
	message(0, 0, "first");
	message(1, 1234567891, "second\nof two lines");
	message(2, 5000000000, "third");
}

static void begin_log(void)
{
	begin(TEXT(LOG_TEXT));
	put_le64(ram + POINTER, DIRECT + DATA);
	put_le32(ram + RING, 128);
	put_le32(ram + RING + 4, 0);
	put_le32(ram + RING + 8, 48);
	put_le64(ram + DATA, 77);
	put_le32(ram + DATA + 8, 24 | 5 << 16);
	put(DATA + 16, "older");
	put_le64(ram + DATA + 24, 78);
	put_le32(ram + DATA + 32, 24 | 3 << 16);
	put(DATA + 40, "new");
}

/* The messages of the memory as it is now. */
static int read_log(struct mr_log_report *r, struct mr_error *err)
{
	const struct mr_log_options o = { .direct = MR_DIRECT_OFF, .jobs = 1 };
	struct guest_ram g = guest_ram_open(ram, sizeof(ram));
	int rc;

	*err = (struct mr_error)MR_ERROR_INIT;
	rc = mr_log(g.ram, &o, r, err);
	guest_ram_close(&g);
	return rc;
}

static void assert_record(const struct mr_log_report *r, size_t i, uint64_t ns,
			  const char *text)
{
	assert_true(i < r->n_records);
	assert_int_equal(r->records[i].ns, ns);
	assert_int_equal(r->records[i].len, strlen(text));
	assert_memory_equal(r->records[i].text, text, strlen(text));
}

static void refused(enum mr_code code, const char *part)
{
	struct mr_log_report r;
	struct mr_error err;

	assert_int_equal(read_log(&r, &err), -1);
	if (!strstr(err.msg, part))
		assert_string_equal(err.msg, part);
	assert_int_equal(err.code, code);
	mr_log_release(&r);
}

static void test_ring(void **state)
{
	struct mr_log_report r;
	struct mr_error err;

	(void)state;
	begin_ring();
	if (read_log(&r, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(r.release, "6.1.0-test");
	assert_int_equal(r.n_records, 3);
	assert_record(&r, 0, 0, "first");
	assert_record(&r, 1, 1234567891, "second\nof two lines");
	assert_record(&r, 2, 5000000000, "third");
	mr_log_release(&r);
	assert_int_equal(r.n_records, 0);
	/* One is being written. */
	put_le64(ram + DESCS + 24, 1);
	assert_int_equal(read_log(&r, &err), 0);
	assert_int_equal(r.n_records, 2);
	mr_log_release(&r);
}

static void test_bad_ring(void **state)
{
	(void)state;
	begin_ring();
	put_le64(ram + RING + 24, 8);
	refused(MR_FORMAT, "ids are further apart");
	put_le64(ram + RING + 24, 2);
	put_le32(ram + RING + 48, 30);
	refused(MR_FORMAT, "is too large: 0x40000380");
	put_le32(ram + RING + 48, 9);
	/* Where nothing is mapped, and where there is no memory. */
	put_le64(ram + RING + 56, DIRECT + 2 * MIB - 256);
	refused(MR_UNSUPPORTED, "not present");
	put_le64(ram + RING + 56, 0x1000);
	refused(MR_UNSUPPORTED, "virtual address 0x1000: level 4's entry");
	put_le64(ram + TABLES + 5 * PAGE, 0x40000083);
	put_le64(ram + RING + 56, DIRECT);
	refused(MR_UNSUPPORTED, "no RAM is known at 0x40000000");
	/* Records that share their text: more than there is room for. */
	begin_ring();
	put_le32(ram + RING + 48, 6);
	put_le64(ram + RING + 24, 7);
	for (uint64_t id = 0; id < 8; id++) {
		put_le64(ram + DESCS + id * 24, UINT64_C(2) << 62 | id);
		put_le64(ram + DESCS + id * 24 + 8, id * 8);
		put_le64(ram + DESCS + id * 24 + 16, 64);
		put_le32(ram + INFOS + id * 88 + 16, 64);
		put_le64(ram + DATA + id * 8, id);
	}
	refused(MR_FORMAT, "more than their buffer has room for");
	/* A structure that its fields are not in. */
	begin(TEXT(RING_TEXT));
	replace("SIZE(prb_desc)=24", "SIZE(prb_desc)=23");
	refused(MR_FORMAT, "not within its structure");
}

static void test_log(void **state)
{
	struct mr_log_report r;
	struct mr_error err;

	(void)state;
	begin_log();
	if (read_log(&r, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(r.n_records, 2);
	assert_record(&r, 0, 77, "older");
	assert_record(&r, 1, 78, "new");
	mr_log_release(&r);
	put_le32(ram + RING + 8, 49);
	refused(MR_FORMAT, "the log goes on behind its end");
	put_le32(ram + RING, UINT32_MAX);
	refused(MR_FORMAT, "a buffer of 0xffffffff bytes is too large");
}

/* Before 3.11 and 5.11 some names were others, or not told. */
static void test_old_log(void **state)
{
	struct mr_log_report r;
	struct mr_error err;
	char text[4096] = TEXT(LOG_TEXT), *p;

	(void)state;
	begin_log();
	while ((p = strstr(text, "printk_log")))
		memmove(p, p + 7, strlen(p + 7) + 1);
	p = strstr(text, "OFFSET(uts");
	memmove(p, strchr(p, '\n') + 1, strlen(strchr(p, '\n')));
	memset(ram + INFO, 0, PAGE);
	put(INFO, text);
	memset(ram + UTS, 0, PAGE);
	put(UTS + 4 + 2 * 65, "6.1.0-test");
	if (read_log(&r, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(r.n_records, 2);
	assert_record(&r, 1, 78, "new");
	mr_log_release(&r);
}

static void test_nothing(void **state)
{
	(void)state;
	begin_ring();
	memset(ram + INFO, 0, PAGE);
	refused(MR_UNSUPPORTED, "no Linux kernel tells of itself");
	begin_ring();
	ram[UTS + 2 * 65] = '5';
	refused(MR_UNSUPPORTED, "nothing proves that it is the one that runs");
	begin(TEXT("SYMBOL(log_buf)=ffffffff80031000\n"));
	refused(MR_UNSUPPORTED, "does not tell where its messages are");
	begin(TEXT(RING_TEXT));
	replace("SYMBOL(prb)", "SYMBOL(prc)");
	refused(MR_UNSUPPORTED, "Linux 6.1.0-test does not tell SYMBOL(prb)");
	begin(TEXT(RING_TEXT));
	replace("SYMBOL(swapper", "SYMBOL(swopper");
	refused(MR_UNSUPPORTED, "does not tell where its page tables are");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),	cmocka_unit_test(test_bad_ring),
		cmocka_unit_test(test_log),	cmocka_unit_test(test_old_log),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
