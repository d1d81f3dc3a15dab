/* stream_test.c - the container of a migration stream. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/stream.h"

/* ---- header ---- */

static void header(void **state)
{
	static const uint8_t sample[] = { 0x51, 0x45, 0x56, 0x4d, 0,
					  0,	0,    3,    7,	  0 };
	uint8_t buf[8];
	size_t i;

	(void)state;
	check_truncations(stream_header_decode, sample, 8, sizeof(sample), 8);
	assert_int_equal(stream_header_encode(buf), 8);
	assert_memory_equal(buf, sample, 8);
	/* Each wrong magic byte, even when there is nothing more. */
	for (i = 0; i < 4; i++) {
		buf[i] ^= 0x20;
		check_fault(stream_header_decode, buf, i + 1, FAULT_BAD, 0);
		check_fault(stream_header_decode, buf, 8, FAULT_BAD, 0);
		buf[i] ^= 0x20;
	}
	for (i = 4; i < 8; i++) {
		buf[i] ^= 1;
		check_fault(stream_header_decode, buf, 8, FAULT_UNSUPPORTED, 4);
		buf[i] ^= 1;
	}
}

/* ---- configuration ---- */

static struct stream_config config;

static ssize_t decode_config(const uint8_t *buf, size_t len, struct fault *f)
{
	return stream_config_decode(buf, len, &config, f);
}

/* From a mapped-ram save by QEMU 10.0.2, with the first element's byte. */
static const uint8_t mapped_sample[] =
	"\x07\x00\x00\x00\x0epc-i440fx-10.0"
	"\x05\x1a"
	"configuration/capabilities\x00\x00\x00\x01"
	"\x00\x00\x00\x01\x0amapped-ram"
	"\x01";
enum { MAPPED_SAMPLE = sizeof(mapped_sample) - 1 };

static void config_samples(void **state)
{
	static const uint8_t plain[] = "\x07\x00\x00\x00\x0bpc-q35-10.0\x01";
	static const uint8_t both[] =
		"\x07\x00\x00\x00\x0epc-i440fx-10.0"
		"\x05\x1a"
		"configuration/capabilities\x00\x00\x00\x01"
		"\x00\x00\x00\x02\x0fx-ignore-shared\x0amapped-ram"
		"\x01";

	(void)state;
	/* Header and configuration of that file are 74 bytes together. */
	assert_int_equal(MAPPED_SAMPLE - 1 + 8, 74);
	check_truncations(decode_config, mapped_sample, MAPPED_SAMPLE,
			  MAPPED_SAMPLE, MAPPED_SAMPLE - 1);
	assert_string_equal(config.machine, "pc-i440fx-10.0");
	assert_true(config.mapped_ram);
	assert_true(config.has_capabilities);
	assert_false(config.ignore_shared);
	assert_false(config.has_uuid);
	assert_int_equal(config.target_page_bits, 0);

	check_truncations(decode_config, plain, sizeof(plain) - 1,
			  sizeof(plain), sizeof(plain) - 2);
	assert_string_equal(config.machine, "pc-q35-10.0");
	assert_false(config.mapped_ram);
	assert_false(config.has_capabilities);

	check_truncations(decode_config, both, sizeof(both) - 1, sizeof(both),
			  sizeof(both) - 2);
	assert_true(config.mapped_ram);
	assert_true(config.ignore_shared);
}

static void config_round_trip(void **state)
{
	unsigned int bits, flags;

	(void)state;
	for (bits = 9; bits <= 16; bits++)
		for (flags = 0; flags < 8; flags++) {
			struct stream_config in = {
				.machine = "virt-10.0",
				.target_page_bits = bits == 9 ? 0 : bits,
				.mapped_ram = flags & 1,
				.ignore_shared = flags & 2,
				.has_uuid = flags & 4,
			};
			uint8_t buf[STREAM_CONFIG_MAX + 1] = { 0 };
			size_t n;

			if (in.has_uuid)
				memset(in.uuid, 0x5a, sizeof(in.uuid));
			n = stream_config_encode(buf, &in);
			buf[n] = STREAM_START;
			check_truncations(decode_config, buf, n + 1, n + 1,
					  (ssize_t)n);
			assert_string_equal(config.machine, in.machine);
			assert_int_equal(config.target_page_bits,
					 in.target_page_bits);
			assert_int_equal(config.mapped_ram, in.mapped_ram);
			assert_int_equal(config.ignore_shared,
					 in.ignore_shared);
			assert_int_equal(config.has_capabilities,
					 (flags & 3) != 0);
			assert_int_equal(config.has_uuid, in.has_uuid);
			assert_memory_equal(config.uuid, in.uuid, 16);
		}
}

static void config_machine(void **state)
{
	struct stream_config in = { .has_uuid = false };
	uint8_t buf[STREAM_CONFIG_MAX];
	size_t n, k;

	(void)state;
	for (k = 0; k <= 255; k++) {
		memset(in.machine, 'm', k);
		n = stream_config_encode(buf, &in);
		buf[n] = 0;
		check_truncations(decode_config, buf, n + 1, n + 1, (ssize_t)n);
		assert_string_equal(config.machine, in.machine);
	}
	/* The longest that we write fits. */
	in.mapped_ram = in.ignore_shared = in.has_uuid = true;
	in.target_page_bits = 16;
	n = stream_config_encode(buf, &in);
	assert_true(n < STREAM_CONFIG_MAX);
	buf[n] = 0;
	check_truncations(decode_config, buf, n + 1, n + 1, (ssize_t)n);

	put_be32(buf + 1, 256);
	check_fault(decode_config, buf, n + 1, FAULT_BAD, 1);
	put_be32(buf + 1, UINT32_MAX);
	check_fault(decode_config, buf, 5, FAULT_BAD, 1);
	put_be32(buf + 1, 255);
	buf[100] = 0;
	check_fault(decode_config, buf, n + 1, FAULT_BAD, 5);
	for (k = 0; k < 256; k++) {
		buf[0] = (uint8_t)k;
		if (k != STREAM_CONFIG)
			check_fault(decode_config, buf, n + 1, FAULT_BAD, 0);
	}
}

/* A machine "m", then what is given, then an EOF byte. */
static size_t with_subsection(uint8_t *buf, const char *name, uint32_t version,
			      const void *payload, size_t len)
{
	static const uint8_t head[] = { 7, 0, 0, 0, 1, 'm', 5 };
	size_t n = sizeof(head);

	memcpy(buf, head, n);
	n += name_encode(buf + n, name);
	put_be32(buf + n, version);
	memcpy(buf + n + 4, payload, len);
	n += 4 + len;
	buf[n] = 0;
	return n + 1;
}

static void config_refuses(void **state)
{
	static const struct {
		const char *name;
		const char *payload;
		size_t len;
		size_t at;
		uint32_t version;
		enum fault_kind kind;
	} bad[] = {
		{ "configuration/target-page-bits", "\0\0\0\x09", 4, 42, 1,
		  FAULT_UNSUPPORTED },
		{ "configuration/target-page-bits", "\0\0\0\x11", 4, 42, 1,
		  FAULT_UNSUPPORTED },
		{ "configuration/target-page-bits", "\xff\xff\xff\xff", 4, 42,
		  1, FAULT_UNSUPPORTED },
		{ "configuration/target-page-bits", "\0\0\0\x0c", 4, 38, 2,
		  FAULT_UNSUPPORTED },
		{ "configuration/capabilities", "\0\0\0\0", 4, 34, 0,
		  FAULT_UNSUPPORTED },
		{ "configuration/capabilities", "\0\0\0\3", 4, 38, 1,
		  FAULT_UNSUPPORTED },
		{ "configuration/capabilities", "\xff\xff\xff\xff", 4, 38, 1,
		  FAULT_UNSUPPORTED },
		{ "configuration/capabilities", "\0\0\0\1\7multifd", 12, 42, 1,
		  FAULT_UNSUPPORTED },
		{ "configuration/capabilities", "\0\0\0\1\0", 5, 42, 1,
		  FAULT_BAD },
		{ "configuration/capabilities",
		  "\0\0\0\2\x0amapped-ram\x0amapped-ram", 26, 53, 1,
		  FAULT_BAD },
		{ "configuration/colours", "", 0, 6, 1, FAULT_UNSUPPORTED },
		{ "configuration/uuid/x", "", 0, 6, 1, FAULT_UNSUPPORTED },
		{ "configurationx", "", 0, 6, 1, FAULT_UNSUPPORTED },
		{ "configuration/\x01", "", 0, 8, 1, FAULT_BAD },
	};
	uint8_t buf[200];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		n = with_subsection(buf, bad[i].name, bad[i].version,
				    bad[i].payload, bad[i].len);
		check_fault(decode_config, buf, n, bad[i].kind, bad[i].at);
	}
	/* Legal, though QEMU never writes it: an empty list. */
	n = with_subsection(buf, "configuration/capabilities", 1, "\0\0\0", 4);
	check_truncations(decode_config, buf, n, n, (ssize_t)n - 1);
	assert_true(config.has_capabilities);
}

static void config_twice(void **state)
{
	static const char *const names[] = { "configuration/target-page-bits",
					     "configuration/capabilities",
					     "configuration/uuid" };
	static const uint8_t payload[16] = { 0, 0, 0, 12 };
	static const size_t lens[] = { 4, 4, 16 };
	uint8_t buf[200];
	size_t i, n, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		n = with_subsection(buf, names[i], 1,
				    i == 1 ? payload + 4 : payload, lens[i]);
		len = n - 1 - 6;
		memcpy(buf + n - 1, buf + 6, len);
		check_fault(decode_config, buf, n - 1 + len, FAULT_BAD,
			    n - 1 + len - lens[i]);
	}
}

/* What is no subsection of the configuration ends it. */
static void config_ends(void **state)
{
	static const char *const other[] = { "configuration", "config",
					     "cpu/msr_smi_count",
					     "Configuration/uuid" };
	uint8_t buf[100];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(other); i++) {
		struct fault f;

		n = with_subsection(buf, other[i], 1, "", 0);
		assert_int_equal(decode_exact(decode_config, buf, n, &f), 6);
	}
}

/* ---- elements ---- */

static struct stream_element element;

static ssize_t decode_element(const uint8_t *buf, size_t len, struct fault *f)
{
	return stream_element_decode(buf, len, &element, f);
}

static void section_samples(void **state)
{
	/* As QEMU 10.0.2 wrote them. */
	static const uint8_t start[] = { 1, 0, 0, 0, 1, 3, 'r', 'a', 'm',
					 0, 0, 0, 0, 0, 0, 0,	4,   0xaa };
	static const uint8_t part[] = { 2, 0, 0, 0, 1, 0xaa };
	static const uint8_t end[] = { 3, 0x12, 0x34, 0x56, 0x78, 0xaa };
	static const uint8_t footer[] = { 0x7e, 0, 0, 1, 0, 0xaa };
	static const uint8_t desc[] = { 6, 0, 1, 0, 2, '{' };
	static const uint8_t eof[] = { 0, 6 };

	(void)state;
	check_truncations(decode_element, start, 17, 18, 17);
	assert_int_equal(element.type, STREAM_START);
	assert_int_equal(element.section_id, 1);
	assert_string_equal(element.idstr, "ram");
	assert_int_equal(element.instance_id, 0);
	assert_int_equal(element.version_id, 4);
	check_truncations(decode_element, part, 5, 6, 5);
	assert_int_equal(element.type, STREAM_PART);
	assert_int_equal(element.section_id, 1);
	assert_string_equal(element.idstr, "");
	check_truncations(decode_element, end, 5, 6, 5);
	assert_int_equal(element.type, STREAM_END);
	assert_int_equal(element.section_id, 0x12345678);
	check_truncations(decode_element, footer, 5, 6, 5);
	assert_int_equal(element.type, STREAM_FOOTER);
	assert_int_equal(element.section_id, 256);
	check_truncations(decode_element, desc, 5, 6, 5);
	assert_int_equal(element.type, STREAM_VMDESC);
	assert_int_equal(element.length, 0x10002);
	check_truncations(decode_element, eof, 1, 2, 1);
	assert_int_equal(element.type, STREAM_EOF);
}

static void every_type(void **state)
{
	static const uint8_t good[] = { 0, 1, 2, 3, 4, 6, 8, 0x7e };
	uint8_t buf[32] = { 0 };
	unsigned int t;

	(void)state;
	put_be32(buf + 1, 2 << 16 | 4); /* as a command: PING */
	buf[5] = 3;
	memcpy(buf + 6, "ram", 3);
	for (t = 0; t < 256; t++) {
		buf[0] = (uint8_t)t;
		if (memchr(good, (int)t, sizeof(good))) {
			assert_true(decode_element(buf, sizeof(buf),
						   &(struct fault){ 0 }) > 0);
			assert_int_equal(element.type, t);
			assert_non_null(stream_type_name(t));
		} else {
			check_fault(decode_element, buf, sizeof(buf), FAULT_BAD,
				    0);
		}
	}
	assert_non_null(stream_type_name(STREAM_CONFIG));
	assert_non_null(stream_type_name(STREAM_SUBSECTION));
	assert_null(stream_type_name(9));
	assert_null(stream_type_name(0x107));
}

static void idstr_refuses(void **state)
{
	uint8_t buf[32] = { STREAM_FULL, 0, 0, 0, 9, 3, 'r', 'a', 'm' };

	(void)state;
	buf[5] = 0;
	check_fault(decode_element, buf, sizeof(buf), FAULT_BAD, 5);
	buf[5] = 3;
	buf[7] = '\n';
	check_fault(decode_element, buf, sizeof(buf), FAULT_BAD, 6);
}

static void element_round_trip(void **state)
{
	static const enum stream_type types[] = { STREAM_START, STREAM_FULL };
	uint8_t buf[STREAM_ELEMENT_MAX + 1];
	size_t i, k, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(types); i++)
		for (k = 1; k <= 255; k++) {
			struct stream_element in = {
				.type = types[i],
				.section_id = 0xfedcba98,
				.instance_id = 0x80000001,
				.version_id = 0x01020304,
			};

			memset(in.idstr, 'd', k);
			n = stream_element_encode(buf, &in);
			assert_int_equal(n, 14 + k);
			check_truncations(decode_element, buf, n, n,
					  (ssize_t)n);
			assert_int_equal(element.type, in.type);
			assert_int_equal(element.section_id, in.section_id);
			assert_int_equal(element.instance_id, in.instance_id);
			assert_int_equal(element.version_id, in.version_id);
			assert_string_equal(element.idstr, in.idstr);
		}
	assert_int_equal(n, STREAM_ELEMENT_MAX);
}

static void short_elements_round_trip(void **state)
{
	static const struct stream_element in[] = {
		{ .type = STREAM_EOF },
		{ .type = STREAM_PART, .section_id = 0x01020304 },
		{ .type = STREAM_END, .section_id = 0xffffffff },
		{ .type = STREAM_FOOTER, .section_id = 7 },
		{ .type = STREAM_VMDESC, .length = 0xfffffffe },
		{ .type = STREAM_COMMAND,
		  .command = STREAM_CMD_PING,
		  .length = 4 },
	};
	uint8_t buf[STREAM_ELEMENT_MAX];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(in); i++) {
		n = stream_element_encode(buf, &in[i]);
		check_truncations(decode_element, buf, n, n, (ssize_t)n);
		assert_int_equal(element.type, in[i].type);
		assert_int_equal(element.section_id, in[i].section_id);
		assert_int_equal(element.command, in[i].command);
		assert_int_equal(element.length, in[i].length);
	}
}

/* ---- commands ---- */

static void command_table(void **state)
{
	/* Every length that QEMU takes, as ranges. */
	static const struct {
		const char *name;
		size_t least, most;
	} want[] = {
		{ NULL, 1, 0 },
		{ "open-return-path", 0, 0 },
		{ "ping", 4, 4 },
		{ "postcopy-advise", 0, 0 }, /* and 16 */
		{ "postcopy-listen", 0, 0 },
		{ "postcopy-run", 0, 0 },
		{ "postcopy-ram-discard", 20, 65535 },
		{ "packaged", 4, 4 },
		{ "enable-colo", 0, 0 },
		{ "postcopy-resume", 0, 0 },
		{ "recv-bitmap", 2, 256 },
		{ "switchover-start", 0, 0 },
	};
	uint8_t buf[5] = { STREAM_COMMAND };
	unsigned int c;
	size_t len;

	(void)state;
	for (c = 0; c < ARRAY_LEN(want); c++)
		for (len = 0; len < 300; len++) {
			bool ok = len >= want[c].least && len <= want[c].most;

			ok |= c == STREAM_CMD_POSTCOPY_ADVISE && len == 16;
			put_be16(buf + 1, (uint16_t)c);
			put_be16(buf + 3, (uint16_t)len);
			if (!c) {
				assert_null(stream_command_name(c));
				check_fault(decode_element, buf, 5,
					    FAULT_UNSUPPORTED, 1);
			} else if (!ok) {
				check_fault(decode_element, buf, 5, FAULT_BAD,
					    3);
			} else {
				check_truncations(decode_element, buf, 5, 5, 5);
				assert_int_equal(element.command, c);
				assert_int_equal(element.length, len);
			}
			if (c)
				assert_string_equal(stream_command_name(c),
						    want[c].name);
		}
	for (; c < 65536; c++) {
		put_be16(buf + 1, (uint16_t)c);
		assert_null(stream_command_name(c));
		check_fault(decode_element, buf, 5, FAULT_UNSUPPORTED, 1);
	}
}

static struct stream_advise advise;

static ssize_t decode_advise(const uint8_t *buf, size_t len, struct fault *f)
{
	return stream_advise_decode(buf, len, &advise, f);
}

static void advise_data(void **state)
{
	static const uint8_t buf[17] = { 0, 0, 0, 0, 0, 0x20, 0x10, 0,
					 0, 0, 0, 0, 0, 0,    0x10, 0 };

	(void)state;
	check_truncations(decode_advise, buf, 16, 17, 16);
	assert_int_equal(advise.block_page_sizes, 0x201000);
	assert_int_equal(advise.target_page_size, 4096);
}

/* ---- footer, vmdescription ---- */

static uint32_t footer_id;

static ssize_t decode_footer(const uint8_t *buf, size_t len, struct fault *f)
{
	return stream_footer_decode(buf, len, footer_id, f);
}

static void footers(void **state)
{
	static const uint32_t ids[] = { 0, 1, 62, 0x01020304, UINT32_MAX };
	uint8_t buf[6] = { 0 };
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		footer_id = ids[i];
		assert_int_equal(stream_footer_encode(buf, ids[i]), 5);
		check_truncations(decode_footer, buf, 5, 6, 5);
		for (k = 1; k < 5; k++) {
			buf[k] ^= 0x80;
			check_fault(decode_footer, buf, 6, FAULT_BAD, 1);
			buf[k] ^= 0x80;
		}
		buf[0] = STREAM_FULL;
		check_fault(decode_footer, buf, 1, FAULT_BAD, 0);
	}
}

static void vmdesc_header(void **state)
{
	static const uint8_t empty[] = { 6, 0, 0, 0, 0 };
	uint8_t buf[5];

	(void)state;
	assert_int_equal(stream_vmdesc_encode(buf, 0), 5);
	assert_memory_equal(buf, empty, 5);
}

/* ---- globalstate ---- */

static struct stream_globalstate global;

static ssize_t decode_global(const uint8_t *buf, size_t len, struct fault *f)
{
	return stream_globalstate_decode(buf, len, &global, f);
}

static void globalstate(void **state)
{
	static const char *const names[] = {
		"",
		"running",
		"paused",
		"prelaunch",
		"postmigrate",
		"suspended",
		"1234567890123456789012345678901", /* 31: the longest */
	};
	uint8_t buf[STREAM_GLOBALSTATE_SIZE + 1];
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		for (k = 0; k < 4; k++) {
			struct stream_globalstate in = {
				.has_vm_was_suspended = k & 1,
				.vm_was_suspended = k & 2,
			};

			memcpy(in.runstate, names[i], strlen(names[i]) + 1);
			memset(buf, 0xee, sizeof(buf));
			assert_int_equal(stream_globalstate_encode(buf, &in),
					 104);
			assert_int_equal(get_be32(buf), strlen(names[i]) + 1);
			assert_int_equal(buf[104], 0xee);
			check_truncations(decode_global, buf, 104, 105, 104);
			assert_string_equal(global.runstate, names[i]);
			assert_int_equal(global.has_vm_was_suspended, k & 1);
			assert_int_equal(global.vm_was_suspended, (k & 2) / 2);
		}
}

/* As QEMU 10.0.2's xen-save-devices-state wrote it. */
static void globalstate_sample(void **state)
{
	static const uint8_t sample[STREAM_GLOBALSTATE_SIZE] = {
		0, 0, 0, 8, 'r', 'u', 'n', 'n', 'i', 'n', 'g', [36] = 1,
	};
	struct stream_globalstate in = { .runstate = "running",
					 .has_vm_was_suspended = true };
	uint8_t buf[STREAM_GLOBALSTATE_SIZE];

	(void)state;
	check_truncations(decode_global, sample, 104, 104, 104);
	assert_string_equal(global.runstate, "running");
	assert_true(global.has_vm_was_suspended);
	assert_false(global.vm_was_suspended);
	stream_globalstate_encode(buf, &in);
	assert_memory_equal(buf, sample, sizeof(sample));
}

static void globalstate_refuses(void **state)
{
	static const uint32_t sizes[] = {
		0, 1, 7, 9, 33, 0x8000000, UINT32_MAX
	};
	struct stream_globalstate in = { .runstate = "running" };
	uint8_t buf[STREAM_GLOBALSTATE_SIZE];
	size_t i;

	(void)state;
	stream_globalstate_encode(buf, &in);
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		bool range = sizes[i] == 0 || sizes[i] > 32;

		put_be32(buf, sizes[i]);
		check_fault(decode_global, buf, sizeof(buf), FAULT_BAD,
			    range ? 0 : 4);
	}
	stream_globalstate_encode(buf, &in);
	buf[5] = 0x1b;
	check_fault(decode_global, buf, sizeof(buf), FAULT_BAD, 4);
	stream_globalstate_encode(buf, &in);
	buf[36] = 2;
	check_fault(decode_global, buf, sizeof(buf), FAULT_BAD, 36);
	buf[36] = 0;
	buf[37] = 0xff;
	check_fault(decode_global, buf, sizeof(buf), FAULT_BAD, 36);
}

/* ---- finding a section ---- */

/* Appends a FULL section with its footer; returns the new length. */
static size_t add_full(uint8_t *buf, size_t at, const char *idstr, uint32_t id,
		       const uint8_t *payload, size_t len)
{
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = id,
				    .version_id = 1 };

	memcpy(e.idstr, idstr, strlen(idstr) + 1);
	at += stream_element_encode(buf + at, &e);
	memcpy(buf + at, payload, len);
	at += len;
	return at + stream_footer_encode(buf + at, id);
}

static size_t find(const uint8_t *buf, size_t len, size_t *at)
{
	uint8_t *copy = malloc(len ? len : 1);
	size_t n;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	n = stream_find_full(copy, len, STREAM_GLOBALSTATE, 0, 1,
			     STREAM_GLOBALSTATE_SIZE, at);
	free(copy);
	return n;
}

static void find_full(void **state)
{
	static const uint8_t begun[] = {
		4,   0,	  0,   0,   4, 11, 'g', 'l', 'o', 'b', 'a', 'l', 's',
		't', 'a', 't', 'e', 0, 0,  0,	0,   0,	  0,   0,   1,
	};
	struct stream_globalstate g = { .runstate = "running" };
	uint8_t global_bytes[STREAM_GLOBALSTATE_SIZE], buf[1024];
	uint8_t noise[64];
	size_t len, end, n, at = 0, k;

	(void)state;
	stream_globalstate_encode(global_bytes, &g);
	memset(noise, STREAM_FULL, sizeof(noise));
	/* Noise that looks like the beginning of what we look for. */
	memcpy(noise + 9, begun, sizeof(begun));
	len = add_full(buf, stream_header_encode(buf), "timer", 0, noise, 64);
	len = add_full(buf, len, STREAM_GLOBALSTATE, 0x04040404, global_bytes,
		       sizeof(global_bytes));
	end = len;
	buf[len++] = STREAM_EOF;

	assert_int_equal(find(buf, len, &at), 1);
	assert_memory_equal(buf + at, global_bytes, sizeof(global_bytes));
	for (n = 0; n < end; n++)
		assert_int_equal(find(buf, n, &at), 0);
	assert_int_equal(find(buf, end, &at), 1);

	/* Another instance, version or footer is not it. */
	for (k = 1; k <= 8; k++) {
		buf[at - k] ^= 2;
		assert_int_equal(find(buf, len, &n), 0);
		buf[at - k] ^= 2;
	}
	buf[end - 1] ^= 1;
	assert_int_equal(find(buf, len, &n), 0);
	buf[end - 1] ^= 1;

	/* A second one is counted; the first is the one reported. */
	len = add_full(buf, len, STREAM_GLOBALSTATE, 5, global_bytes,
		       sizeof(global_bytes));
	assert_int_equal(find(buf, len, &n), 2);
	assert_int_equal(n, at);

	memset(noise, 'x', sizeof(noise));
	assert_int_equal(stream_find_full(noise, 64, "x", 0, 1, 4, &n), 0);
}

static void machine_versions(void **state)
{
	static const struct {
		const char *machine;
		unsigned int version;
	} cases[] = {
		{ "pc-i440fx-8.0", STREAM_MACHINE(8, 0) },
		{ "pc-q35-11.1", STREAM_MACHINE(11, 1) },
		{ "pc-q35-4.0.1", STREAM_MACHINE(4, 0) },
		{ "pseries-2.12-sxxm", 0 },
		{ "microvm", 0 },
		{ "virt-", 0 },
		{ "virt-8", 0 },
		{ "virt-8.", 0 },
		{ "virt-.8", 0 },
		{ "virt-8.1x", 0 },
		{ "virt-256.1", 0 },
		{ "virt-99999999999999999999.1", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(stream_machine_version(cases[i].machine),
				 cases[i].version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_versions),
		cmocka_unit_test(header),
		cmocka_unit_test(config_samples),
		cmocka_unit_test(config_round_trip),
		cmocka_unit_test(config_machine),
		cmocka_unit_test(config_refuses),
		cmocka_unit_test(config_twice),
		cmocka_unit_test(config_ends),
		cmocka_unit_test(section_samples),
		cmocka_unit_test(every_type),
		cmocka_unit_test(idstr_refuses),
		cmocka_unit_test(element_round_trip),
		cmocka_unit_test(short_elements_round_trip),
		cmocka_unit_test(command_table),
		cmocka_unit_test(advise_data),
		cmocka_unit_test(footers),
		cmocka_unit_test(vmdesc_header),
		cmocka_unit_test(globalstate),
		cmocka_unit_test(globalstate_sample),
		cmocka_unit_test(globalstate_refuses),
		cmocka_unit_test(find_full),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
