/* multifd_test.c - inits, headers of packets, tables of lengths. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/multifd.h"

enum { PAGE = 4096, SIZE = 1344 };

static struct multifd_init init;
static struct multifd_packet packet;
static struct multifd_device device;
static uint32_t page_size = PAGE;

static ssize_t decode_init(const uint8_t *buf, size_t len, struct fault *f)
{
	return multifd_init_decode(buf, len, &init, f);
}

static ssize_t decode_packet(const uint8_t *buf, size_t len, struct fault *f)
{
	return multifd_packet_decode(buf, len, page_size, &packet, f);
}

static ssize_t decode_device(const uint8_t *buf, size_t len, struct fault *f)
{
	return multifd_device_decode(buf, len, &device, f);
}

static void inits(void **state)
{
	static const uint8_t sample[MULTIFD_INIT_SIZE] = {
		0x11, 0x22, 0x33, 0x44, 0,  0,	0,  1,	1,  2,	3,  4,	5,
		6,    7,    8,	  9,	10, 11, 12, 13, 14, 15, 16, 254
	};
	uint8_t buf[MULTIFD_INIT_SIZE + 3] = { 0 }, back[MULTIFD_INIT_SIZE];
	struct fault f;

	(void)state;
	memcpy(buf, sample, sizeof(sample));
	check_truncations(decode_init, buf, sizeof(sample), sizeof(buf),
			  sizeof(sample));
	assert_int_equal(init.channel, 254);
	assert_memory_equal(init.uuid, sample + 8, 16);
	assert_int_equal(multifd_init_encode(back, &init), sizeof(back));
	assert_memory_equal(back, sample, sizeof(back));
	buf[24] = 255;
	assert_int_equal(decode_init(buf, 64, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_int_equal(f.at, 24);
	buf[7] = 2;
	assert_int_equal(decode_init(buf, 64, &f), -1);
	assert_int_equal(f.kind, FAULT_UNSUPPORTED);
	buf[0] = 'Q';
	assert_int_equal(decode_init(buf, 64, &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
	assert_int_equal(f.at, 0);
}

/* Two pages of data and one of zeros, as QEMU 10.0.2 sends them. */
static void make(uint8_t buf[SIZE])
{
	memset(buf, 0, SIZE);
	put_be32(buf, 0x11223344);
	put_be32(buf + 4, 1);
	put_be32(buf + 12, 128);
	put_be32(buf + 16, 2);
	put_be32(buf + 20, 2 * PAGE);
	put_be64(buf + 24, 77);
	put_be32(buf + 32, 1);
	memcpy(buf + 64, "pc.ram", 7);
	put_be64(buf + 320, 0x5000);
	put_be64(buf + 328, 0x7000);
	put_be64(buf + 336, 0x6000);
}

static void packets(void **state)
{
	uint8_t buf[SIZE + 3] = { 0 }, back[SIZE];

	(void)state;
	make(buf);
	assert_int_equal(multifd_packet_size(PAGE), SIZE);
	check_truncations(decode_packet, buf, SIZE, sizeof(buf), SIZE);
	assert_int_equal(packet.flags, 0);
	assert_int_equal(packet.normal, 2);
	assert_int_equal(packet.zero, 1);
	assert_int_equal(packet.size, 2 * PAGE);
	assert_int_equal(packet.number, 77);
	assert_string_equal(packet.block, "pc.ram");
	assert_int_equal(packet.offset[1], 0x7000);
	assert_int_equal(packet.offset[2], 0x6000);
	assert_int_equal(multifd_packet_encode(back, PAGE, &packet), SIZE);
	assert_memory_equal(back, buf, SIZE);
	assert_int_equal(multifd_packet_size(256), 320 + 8 * 2048);
	assert_int_equal(multifd_packet_size(65536), 384);
	assert_true(multifd_data_max(PAGE) >= 1 << 20);
}

/* A barrier: no pages, no block, no room. */
static void syncs(void **state)
{
	uint8_t buf[SIZE] = { 0 }, back[SIZE];
	struct fault f;

	(void)state;
	put_be32(buf, 0x11223344);
	put_be32(buf + 4, 1);
	put_be32(buf + 8, 1);
	put_be64(buf + 24, 5);
	assert_int_equal(decode_packet(buf, SIZE, &f), SIZE);
	assert_int_equal(packet.flags, MULTIFD_SYNC);
	assert_int_equal(multifd_packet_encode(back, PAGE, &packet), SIZE);
	assert_memory_equal(back, buf, SIZE);
	/* Before QEMU 9.0 it could carry pages. */
	make(buf);
	put_be32(buf + 8, 1 | MULTIFD_ZLIB);
	assert_int_equal(decode_packet(buf, SIZE, &f), SIZE);
	assert_int_equal(packet.normal, 2);
}

static void bad_packets(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		enum fault_kind kind;
		size_t fault;
	} cases[] = {
		{ 0, 0x11223345, FAULT_BAD, 0 },
		{ 4, 2, FAULT_UNSUPPORTED, 4 },
		{ 8, 0x80, FAULT_UNSUPPORTED, 8 }, /* flags */
		{ 8, 0x80000000, FAULT_UNSUPPORTED, 8 },
		{ 8, 0x40, FAULT_UNSUPPORTED, 8 },
		{ 8, 0x41, FAULT_UNSUPPORTED, 8 },
		{ 8, 0x06, FAULT_BAD, 8 },
		{ 8, 0x3e, FAULT_BAD, 8 },
		{ 8, 0x02, FAULT_NONE, 0 },
		{ 8, 0x20, FAULT_NONE, 0 },
		{ 12, 129, FAULT_BAD, 12 }, /* room */
		{ 12, 2, FAULT_BAD, 16 },
		{ 12, 3, FAULT_NONE, 0 },
		{ 16, 0, FAULT_NONE, 0 }, /* normal: the size is a rest */
		{ 16, 1, FAULT_BAD, 20 },
		{ 16, 3, FAULT_BAD, 20 },
		{ 16, 128, FAULT_BAD, 16 },
		{ 16, UINT32_MAX, FAULT_BAD, 16 },
		{ 20, 0, FAULT_BAD, 20 }, /* size */
		{ 20, 2 * PAGE - 1, FAULT_BAD, 20 },
		{ 20, 2 * PAGE + 1, FAULT_BAD, 20 },
		{ 20, UINT32_MAX, FAULT_BAD, 20 },
		{ 32, 0, FAULT_NONE, 0 }, /* zero */
		{ 32, 126, FAULT_NONE, 0 },
		{ 32, 127, FAULT_BAD, 16 },
		{ 32, UINT32_MAX, FAULT_BAD, 16 },
		{ 64, 0, FAULT_BAD, 64 }, /* block */
		{ 64, 0x01020304, FAULT_BAD, 64 },
		{ 324, 0x5001, FAULT_BAD, 320 }, /* offsets */
		{ 340, 0x6800, FAULT_BAD, 336 },
		{ 348, 0x6800, FAULT_NONE, 0 }, /* of no page */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t buf[SIZE];
		struct fault f;
		ssize_t n;

		make(buf);
		put_be32(buf + cases[i].at, cases[i].value);
		n = decode_exact(decode_packet, buf, SIZE, &f);
		assert_int_equal(f.kind, cases[i].kind);
		if (cases[i].kind == FAULT_NONE) {
			assert_int_equal(n, SIZE);
			continue;
		}
		assert_int_equal(n, -1);
		assert_int_equal(f.at, cases[i].fault);
	}
}

/* Nothing but the method says how much data there can be. */
static void sizes(void **state)
{
	static const struct {
		uint32_t flags, most;
	} cases[] = {
		{ MULTIFD_ZLIB, 1 << 20 },
		{ MULTIFD_ZSTD, 1 << 20 },
		{ MULTIFD_QATZIP, 1 << 20 },
		{ MULTIFD_QPL, 2 * (PAGE + 4) },
		{ MULTIFD_UADK, 2 * (PAGE + 4) },
	};
	uint8_t buf[SIZE];
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		make(buf);
		put_be32(buf + 8, cases[i].flags);
		put_be32(buf + 20, cases[i].most);
		assert_int_equal(decode_packet(buf, SIZE, &f), SIZE);
		put_be32(buf + 20, cases[i].most + 1);
		assert_int_equal(decode_packet(buf, SIZE, &f), -1);
		assert_int_equal(f.at, 20);
		assert_true(cases[i].most <= multifd_data_max(PAGE));
	}
	/* a name that fills its field */
	make(buf);
	memset(buf + 64, 'x', 256);
	assert_int_equal(decode_packet(buf, SIZE, &f), -1);
	assert_int_equal(f.at, 64);
	buf[64 + 255] = 0;
	assert_int_equal(decode_packet(buf, SIZE, &f), SIZE);
	assert_int_equal(strlen(packet.block), 255);
}

static void devices(void **state)
{
	uint8_t buf[MULTIFD_DEVICE_SIZE + 3] = { 0 };
	struct fault f;

	(void)state;
	put_be32(buf, 0x11223344);
	put_be32(buf + 4, 1);
	put_be32(buf + 8, 0x40);
	memcpy(buf + 12, "0000:00:02.0/vfio", 18);
	put_be32(buf + 268, 3);
	put_be32(buf + 272, 99);
	check_truncations(decode_device, buf, MULTIFD_DEVICE_SIZE, sizeof(buf),
			  MULTIFD_DEVICE_SIZE);
	assert_string_equal(device.idstr, "0000:00:02.0/vfio");
	assert_int_equal(device.instance_id, 3);
	assert_int_equal(device.size, 99);
	assert_true(multifd_is_device(buf));
	put_be32(buf + 272, 0);
	assert_int_equal(decode_device(buf, sizeof(buf), &f), -1);
	put_be32(buf + 8, 0x41);
	assert_int_equal(decode_device(buf, sizeof(buf), &f), -1);
	put_be32(buf + 8, 1);
	assert_false(multifd_is_device(buf));
}

static void lengths(void **state)
{
	uint8_t buf[8 + 100 + PAGE] = { 0 };
	uint32_t out[2];
	struct fault f;

	(void)state;
	put_be32(buf, 100);
	put_be32(buf + 4, PAGE);
	assert_int_equal(
		multifd_lengths_decode(buf, sizeof(buf), 2, PAGE, out, &f), 8);
	assert_int_equal(out[0], 100);
	assert_int_equal(out[1], PAGE);
	/* less and more than the table says; the table itself cut off */
	assert_int_equal(
		multifd_lengths_decode(buf, sizeof(buf) - 1, 2, PAGE, out, &f),
		-1);
	put_be32(buf, 99);
	assert_int_equal(
		multifd_lengths_decode(buf, sizeof(buf), 2, PAGE, out, &f), -1);
	assert_int_equal(f.at, 8);
	assert_int_equal(multifd_lengths_decode(buf, 7, 2, PAGE, out, &f), -1);
	for (uint32_t bad = 0; bad <= PAGE + 1; bad += PAGE + 1) {
		put_be32(buf, bad);
		assert_int_equal(multifd_lengths_decode(buf, sizeof(buf), 2,
							PAGE, out, &f),
				 -1);
		assert_int_equal(f.at, 0);
	}
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(multifd_flag_name(0), "none");
	assert_string_equal(multifd_flag_name(MULTIFD_SYNC), "sync");
	assert_string_equal(multifd_flag_name(MULTIFD_QATZIP), "qatzip");
	assert_null(multifd_flag_name(3));
	assert_null(multifd_flag_name(0x80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inits),   cmocka_unit_test(packets),
		cmocka_unit_test(syncs),   cmocka_unit_test(bad_packets),
		cmocka_unit_test(sizes),   cmocka_unit_test(devices),
		cmocka_unit_test(lengths), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("multifd", tests, NULL, NULL);
}
