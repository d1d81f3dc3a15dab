/* libvirt_test.c - libvirt's save header and data area. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/libvirt.h"

static struct libvirt_header header;

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return libvirt_header_decode(buf, len, &header, f);
}

/* As a little-endian host writes it: sparse, cookie at 0x0bcd, running. */
static const uint8_t sample[LIBVIRT_HEADER_SIZE] = {
	'L', 'i', 'b', 'v', 'i', 'r', 't', 'Q', 'e',  'm',  'u', 'd',
	'S', 'a', 'v', 'e', 2,	 0,   0,   0,	0x78, 0x1c, 1,	 0,
	1,   0,	  0,   0,   6,	 0,   0,   0,	0xcd, 0x0b,
};

static void header_sample(void **state)
{
	uint8_t buf[LIBVIRT_HEADER_SIZE + 3] = { 0 };
	uint8_t again[LIBVIRT_HEADER_SIZE];

	(void)state;
	memcpy(buf, sample, sizeof(sample));
	check_truncations(decode, buf, 92, sizeof(buf), 92);
	assert_true(header.complete);
	assert_false(header.big_endian);
	assert_int_equal(header.version, 2);
	assert_int_equal(header.data_len, 0x11c78);
	assert_true(header.was_running);
	assert_int_equal(header.format, LIBVIRT_SPARSE);
	assert_int_equal(header.cookie_offset, 0x0bcd);
	assert_int_equal(libvirt_stream_offset(&header), 92 + 0x11c78);
	assert_int_equal(libvirt_header_encode(again, &header), 92);
	assert_memory_equal(again, sample, 92);
}

static void round_trip(void **state)
{
	uint8_t buf[LIBVIRT_HEADER_SIZE];
	unsigned int format, bits;

	(void)state;
	for (format = 0; format < LIBVIRT_FORMATS; format++)
		for (bits = 0; bits < 16; bits++) {
			struct libvirt_header in = {
				.complete = bits & 1,
				.big_endian = bits & 2,
				.version = 2,
				.data_len = 0x010203,
				.was_running = bits & 4,
				.format = (enum libvirt_format)format,
				.cookie_offset = bits & 8 ? 0x0304 : 0,
			};

			libvirt_header_encode(buf, &in);
			assert_true(libvirt_is_save(buf, 92));
			assert_int_equal(buf[in.big_endian ? 19 : 16], 2);
			check_truncations(decode, buf, 92, 92, 92);
			assert_int_equal(header.complete, in.complete);
			assert_int_equal(header.big_endian, in.big_endian);
			assert_int_equal(header.version, 2);
			assert_int_equal(header.data_len, in.data_len);
			assert_int_equal(header.was_running, in.was_running);
			assert_int_equal(header.format, in.format);
			assert_int_equal(header.cookie_offset,
					 in.cookie_offset);
		}
}

static void magic(void **state)
{
	uint8_t buf[LIBVIRT_HEADER_SIZE];
	size_t i;

	(void)state;
	memcpy(buf, sample, sizeof(buf));
	for (i = 0; i < 16; i++) {
		assert_false(libvirt_is_save(buf, i));
		buf[i] ^= 0x20;
		assert_false(libvirt_is_save(buf, 92));
		check_fault(decode, buf, 92, FAULT_BAD, 0);
		check_fault(decode, buf, 16, FAULT_BAD, 0);
		buf[i] ^= 0x20;
	}
	assert_true(libvirt_is_save(buf, 16));
}

/* Puts v at byte at, in both byte orders, and expects the fault there. */
static void check_field(size_t at, uint32_t v, enum fault_kind kind)
{
	struct libvirt_header h;
	uint8_t buf[LIBVIRT_HEADER_SIZE];
	struct fault f;
	int be;

	for (be = 0; be < 2; be++) {
		assert_int_equal(libvirt_header_decode(sample, 92, &h, &f), 92);
		h.big_endian = be;
		libvirt_header_encode(buf, &h);
		put_32(buf + at, v, be);
		if (kind != FAULT_NONE) {
			check_fault(decode, buf, 92, kind, at);
		} else {
			check_truncations(decode, buf, 92, 92, 92);
			assert_int_equal(header.big_endian, be);
		}
	}
}

static void fields_out_of_range(void **state)
{
	static const uint32_t versions[] = { 3, 0x100, 0x00020000, 0xffffffff };
	uint32_t v;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(versions); i++)
		check_field(16, versions[i], FAULT_UNSUPPORTED);
	check_field(16, 0, FAULT_BAD);
	check_field(16, 2, FAULT_NONE);
	check_field(20, 0, FAULT_BAD);
	check_field(20, LIBVIRT_DATA_LIMIT, FAULT_NONE);
	check_field(20, LIBVIRT_DATA_LIMIT + 1, FAULT_UNSUPPORTED);
	check_field(20, UINT32_MAX, FAULT_UNSUPPORTED);
	check_field(24, 2, FAULT_BAD);
	check_field(24, 0x01000000, FAULT_BAD);
	for (v = 0; v < 7; v++)
		check_field(28, v, FAULT_NONE);
	check_field(28, 7, FAULT_UNSUPPORTED);
	check_field(28, UINT32_MAX, FAULT_UNSUPPORTED);
	check_field(32, 0, FAULT_NONE);
	check_field(32, 0x11c77, FAULT_NONE);
	check_field(32, 0x11c78, FAULT_BAD);
	check_field(32, UINT32_MAX, FAULT_BAD);
}

/* Version 1 has no format: the body is raw whatever stands there. */
static void version_1(void **state)
{
	(void)state;
	check_field(16, 1, FAULT_NONE);
	assert_int_equal(header.version, 1);
	assert_int_equal(header.format, LIBVIRT_RAW);
}

static void format_names(void **state)
{
	static const char *const want[] = { "raw",  "gzip", "bzip2", "xz",
					    "lzop", "zstd", "sparse" };
	int i;

	(void)state;
	for (i = 0; i < (int)ARRAY_LEN(want); i++)
		assert_string_equal(libvirt_format_name((enum libvirt_format)i),
				    want[i]);
	assert_null(libvirt_format_name(LIBVIRT_FORMATS));
	assert_null(libvirt_format_name((enum libvirt_format)99));
}

/* ---- data area ---- */

static struct libvirt_data data;

/* Strings are copied out: the buffer is freed after the call. */
static char xml[64], cookie[64];

static ssize_t decode_data(const uint8_t *buf, size_t len, struct fault *f)
{
	ssize_t n = libvirt_data_decode(buf, len, &header, &data, f);

	if (n < 0)
		return n;
	assert_ptr_equal(data.xml, buf);
	strncpy(xml, data.xml, sizeof(xml) - 1);
	if (data.cookie)
		strncpy(cookie, data.cookie, sizeof(cookie) - 1);
	return n;
}

static void data_area(void **state)
{
	static const uint8_t both[] = "<domain/>\0<cookie/>\0\0\0\0\0";
	static const uint8_t alone[] = "<domain/>\0\0\0\0";
	uint8_t buf[sizeof(both)];

	(void)state;
	header = (struct libvirt_header){ .data_len = 24, .cookie_offset = 10 };
	check_truncations(decode_data, both, 24, sizeof(both), 24);
	assert_string_equal(xml, "<domain/>");
	assert_string_equal(cookie, "<cookie/>");
	header = (struct libvirt_header){ .data_len = 13 };
	check_truncations(decode_data, alone, 13, sizeof(alone), 13);
	assert_string_equal(xml, "<domain/>");
	assert_null(data.cookie);

	/* Strings without an end. */
	memset(buf, 'x', sizeof(buf));
	check_fault(decode_data, buf, 13, FAULT_BAD, 0);
	header = (struct libvirt_header){ .data_len = 24, .cookie_offset = 10 };
	buf[10] = '\0';
	check_fault(decode_data, buf, 24, FAULT_BAD, 0);
	buf[9] = '\0';
	buf[10] = 'x';
	check_fault(decode_data, buf, 24, FAULT_BAD, 10);
	buf[23] = '\0';
	check_truncations(decode_data, buf, 24, 24, 24);
}

/* What is encoded decodes to the same, with room behind it. */
static void data_round_trip(void **state)
{
	const struct libvirt_data given[] = {
		{ .xml = "<domain/>" },
		{ .xml = "<domain/>", .cookie = "<cookie/>" },
		{ .xml = "", .cookie = "" },
	};
	struct fault f;
	uint8_t *buf;
	size_t i, used;

	(void)state;
	for (i = 0; i < ARRAY_LEN(given); i++) {
		header = (struct libvirt_header){ .cookie_offset = 77 };
		assert_int_equal(libvirt_data_place(&header, &given[i], &f), 0);
		used = strlen(given[i].xml) + 1;
		assert_int_equal(header.cookie_offset,
				 given[i].cookie ? used : 0);
		if (given[i].cookie)
			used += strlen(given[i].cookie) + 1;
		assert_int_equal(header.data_len, used + 65536);
		buf = malloc(header.data_len);
		assert_non_null(buf);
		memset(buf, 0xaa, header.data_len);
		assert_int_equal(libvirt_data_encode(buf, &header, &given[i]),
				 header.data_len);
		assert_int_equal(libvirt_data_decode(buf, header.data_len,
						     &header, &data, &f),
				 header.data_len);
		assert_string_equal(data.xml, given[i].xml);
		if (given[i].cookie)
			assert_string_equal(data.cookie, given[i].cookie);
		else
			assert_null(data.cookie);
		while (used < header.data_len)
			assert_int_equal(buf[used++], 0);
		free(buf);
	}
}

static void data_too_large(void **state)
{
	size_t most = LIBVIRT_DATA_LIMIT - LIBVIRT_DATA_ROOM - 1;
	char *large = malloc(most + 2);
	struct libvirt_data d = { .xml = large };
	struct fault f;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', most + 1);
	large[most] = '\0';
	assert_int_equal(libvirt_data_place(&header, &d, &f), 0);
	assert_int_equal(header.data_len, LIBVIRT_DATA_LIMIT);
	d.cookie = "";
	assert_int_equal(libvirt_data_place(&header, &d, &f), -1);
	assert_int_equal(f.kind, FAULT_UNSUPPORTED);
	d.cookie = NULL;
	large[most] = 'x';
	large[most + 1] = '\0';
	assert_int_equal(libvirt_data_place(&header, &d, &f), -1);
	d = (struct libvirt_data){ .xml = "", .cookie = large };
	assert_int_equal(libvirt_data_place(&header, &d, &f), -1);
	free(large);
}

/* ---- the XML ---- */

/* at: where the fault is, or -1. */
static void check_xml(const char *text, size_t len, long at)
{
	/* With the NUL that the decoder may rely on, and nothing behind. */
	char *copy = malloc(len + 1);
	struct fault f = { .kind = FAULT_NONE };

	assert_non_null(copy);
	memcpy(copy, text, len);
	copy[len] = '\0';
	assert_int_equal(libvirt_xml_check(copy, len, &f), at < 0 ? 0 : -1);
	if (at >= 0) {
		assert_int_equal(f.kind, FAULT_BAD);
		assert_int_equal(f.at, at);
	}
	free(copy);
}

static void xml_of_a_domain(void **state)
{
	static const struct {
		const char *text;
		long at;
	} cases[] = {
		{ "<domain></domain>", -1 },
		{ "<domain type='kvm'>\n</domain>\n \n", -1 },
		{ "\xef\xbb\xbf<domain\n></domain>", -1 },
		{ "<?xml version='1.0'?>\n<!-- <x> - -->\n"
		  "<!--2--><domain a=''></domain>",
		  -1 },
		{ "", 0 },
		{ "  ", 2 },
		{ "text", 0 },
		{ " <network></network>", 1 },
		{ "<domain", 0 },
		{ "<domains></domain>", 0 },
		{ "<domainsnapshot><domain></domain>", 0 },
		{ "<!-- <domain></domain>", 0 },
		{ "<?xml <domain></domain>", 0 },
		{ "<domain>", 8 },
		{ "<domain></domain >", 18 },
		{ "<domain></domain>x\n", 18 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check_xml(cases[i].text, strlen(cases[i].text), cases[i].at);
	check_xml("<domain>\0</domain>", 18, 8);
}

static void check_machine(const char *text, const char *want)
{
	const char *machine = NULL;
	size_t len = libvirt_xml_machine(text, &machine);

	assert_int_equal(len, strlen(want));
	if (len)
		assert_memory_equal(machine, want, len);
}

static void xml_machine(void **state)
{
	(void)state;
	check_machine("<domain><os><type arch='x' machine='pc-q35-9.0'>hvm",
		      "pc-q35-9.0");
	check_machine("<os firmware='efi'>\n<type\nmachine=\"virt\"/>", "virt");
	check_machine("<osx><type machine='a'/><os><type machine='b'/>", "b");
	check_machine("<type machine='pc'/>", "");
	check_machine("<os></os>", "");
	check_machine("<os><type>hvm</type><x machine='pc'/>", "");
	check_machine("<os><type submachine='pc'/>", "");
	check_machine("<os><type machine=pc>", "");
	check_machine("<os><type machine='pc\">", "");
	check_machine("<os><type machine='a b'>", "");
	check_machine("<os><type machine='pc", "");
	check_machine("<os><type machine=''>", "");
	check_machine("<os><type machine=", "");
	check_machine("<os", "");
	check_machine("", "");
}

static void machine_fits(void **state)
{
	static const struct {
		const char *machine, *stream;
		bool fits;
	} cases[] = {
		{ "pc-q35-10.0", "pc-q35-10.0", true },
		{ "pc-q35-10.0", "pc-q35-10.1", false },
		{ "pc-q35-1", "pc-q35-10.0", false },
		{ "pc-i440fx-10.0", "pc-q35-10.0", false },
		{ "pc", "pc-i440fx-10.0", true },
		{ "pc", "pc-q35-10.0", false },
		{ "q35", "pc-q35-10.0", true },
		{ "q35", "pc-i440fx-10.0", false },
		{ "virt", "virt-10.0", true },
		{ "virt-9.2", "virt-10.0", false },
		{ "microvm", "microvm", true },
		{ "ubuntu-q35", "pc-q35-jammy", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(libvirt_machine_fits(cases[i].machine,
						      strlen(cases[i].machine),
						      cases[i].stream),
				 cases[i].fits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_sample),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(magic),
		cmocka_unit_test(fields_out_of_range),
		cmocka_unit_test(version_1),
		cmocka_unit_test(format_names),
		cmocka_unit_test(data_area),
		cmocka_unit_test(data_round_trip),
		cmocka_unit_test(data_too_large),
		cmocka_unit_test(xml_of_a_domain),
		cmocka_unit_test(xml_machine),
		cmocka_unit_test(machine_fits),
	};

	return cmocka_run_group_tests_name("libvirt", tests, NULL, NULL);
}
