/* devices_test.c - sections and descriptions of every shape; registers. */
#include <inttypes.h>
#include <math.h>
#include <sys/mman.h>

#include "tests/libmr/unit.h"

#include "formats/vmdesc.h"
#include "libmr/devices/devices.h"
#include "libmr/image/image.h"
#include "tests/lib/build.h"

/* ---- an image of device sections, in memory ---- */

struct section {
	const char *name;
	uint32_t instance, version;
	const void *payload;
	size_t len;
};

struct made {
	int fd;
	char path[64];
	struct mr_image *img;
};

/* Device state alone, with a description as it is given; NULL: without. */
static struct made make(const struct section *s, size_t n, const char *text)
{
	struct build b = { .fd = memfd_create("image", MFD_CLOEXEC),
			   .page_size = 4096,
			   .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct made m = { .fd = b.fd };

	assert_true(b.fd >= 0);
	build_header(&b);
	for (size_t i = 0; i < n; i++)
		build_section(&b, s[i].name, s[i].instance, s[i].version,
			      s[i].payload, s[i].len);
	build_eof(&b);
	if (text)
		build_vmdesc_text(&b, text);
	build_done(&b);
	(void)snprintf(m.path, sizeof(m.path), "/proc/self/fd/%d", m.fd);
	m.img = mr_image_open(m.path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(m.img);
	assert_int_equal(mr_image_info(m.img)->damage.code, MR_OK);
	return m;
}

static void drop(struct made *m)
{
	mr_image_free(m->img);
	assert_int_equal(close(m->fd), 0);
}

static struct mr_devices *open_devices(const struct made *m,
				       const struct made *from)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_devices *d =
		mr_devices_open(m->img, from ? from->img : NULL, &err);

	assert_non_null(d);
	assert_int_equal(err.code, MR_OK);
	return d;
}

static struct mr_device *read_device(const struct mr_devices *d, size_t i)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_device *dev = mr_devices_read(d, i, &err);

	assert_non_null(dev);
	assert_int_equal(err.code, MR_OK);
	return dev;
}

/* A description of one device "d" with these members. */
#define DEVICE(members)                                                       \
	"{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", "              \
	"\"instance_id\": 0, \"vmsd_name\": \"vd\", \"version\": 1, " members \
	"}]}"
#define FIELD(name, type, size) \
	"{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " #size "}"

/* ---- sections in memory, and a description from elsewhere ---- */

/* "d" has a field of that size, and another device one of 2 bytes. */
#define TWO(version, size, second)                                   \
	"{\"devices\": [{\"name\": \"d\", \"instance_id\": 0, "      \
	"\"version\": " version ", \"fields\": [" FIELD(             \
		"a", "uint8",                                        \
		size) "]}, {\"name\": \"" second                     \
		      "\", \"instance_id\": 1, \"fields\": [" FIELD( \
			      "b", "uint16", 2) "]}]}"

static int is_described(const uint8_t *buf, ssize_t n, const char *text,
			struct mr_error *err)
{
	return devices_described(buf, (size_t)n, (const uint8_t *)text,
				 strlen(text), err);
}

/* Of what stands behind the header. */
static void described(const char *text, const char *says)
{
	static const struct section s[] = { { "d", 0, 3, "\5", 1 },
					    { "e", 1, 1, "\6\7", 2 } };
	struct made m = make(s, 2, NULL);
	struct mr_error err = MR_ERROR_INIT;
	uint8_t buf[256] = { 0 };
	ssize_t n = pread(m.fd, buf, sizeof(buf), STREAM_HEADER_SIZE);

	assert_in_range(n, 20, sizeof(buf) - 1);
	assert_int_equal(is_described(buf, n, text, &err), says ? -1 : 0);
	if (says && !strstr(err.msg, says))
		fail_msg("\"%s\" is not in \"%s\"", says, err.msg);
	/* Nor of less, nor of more. */
	for (ssize_t i = 0; i <= n + 1; i++)
		if (i != n)
			assert_int_equal(is_described(buf, i, text, NULL), -1);
	drop(&m);
}

static void test_described(void **state)
{
	(void)state;
	described(TWO("3", 1, "e"), NULL);
	described(TWO("2", 1, "e"), "d is of another version");
	described(TWO("3", 1, "f"), "f is not in its place");
	described(TWO("3", 2, "e"), "d is not as long");
	described(TWO("3", 1000, "e"), "d goes beyond the end");
	described("{\"devices\": []}", "not of all of this device state");
	described("{\"devices\": [{\"name\": \"d\", \"instance_id\": 0, "
		  "\"fields\": [" FIELD("a", "uint8", 1) "]}]}",
		  "not of all of this device state");
	/* As long, but not what it says. */
	described("{\"devices\": [{\"name\": \"d\", \"instance_id\": 0, "
		  "\"fields\": [{\"name\": \"s\", \"type\": \"struct\", "
		  "\"size\": 1, \"struct\": {\"fields\": []}}]}]}",
		  "of another size");
	described("{", "vmdescription");
}

/* One device, decoded; freed by done(). */
struct one {
	struct made m;
	struct mr_devices *d;
	struct mr_device *dev;
};

static struct one decode(const void *payload, size_t len, const char *text)
{
	const struct section s = { "d", 0, 1, payload, len };
	struct one o = { .m = make(&s, 1, text) };

	o.d = open_devices(&o.m, NULL);
	assert_int_equal(mr_devices_count(o.d), 1);
	o.dev = read_device(o.d, 0);
	return o;
}

static void done(struct one *o)
{
	mr_device_free(o->dev);
	mr_devices_free(o->d);
	drop(&o->m);
}

/* ---- fields ---- */

static struct mr_value value(const struct one *o, size_t i, uint64_t element)
{
	struct mr_value v;

	assert_true(i < o->dev->n_fields);
	assert_true(element < o->dev->fields[i].count);
	mr_field_value(o->dev, &o->dev->fields[i], element, &v);
	return v;
}

static void test_types(void **state)
{
	static const uint8_t payload[] = {
		0xfe, /* int8 */
		0xff, 0xfe, /* int16 */
		0x80, 0,    0,	  0, /* int32 */
		0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, /* int64 */
		0xfe, /* uint8 */
		0xff, 0xfe, /* uint16 */
		0x80, 0,    0,	  1, /* uint32 */
		0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xfe, /* uint64 */
		0,    0,    0,	  5, /* int32 le */
		0xff, 0,    0,	  0,
		0,    0,    0,	  0, /* int64 equal: unsigned */
		1, /* bool */
		0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, /* timer */
		0x3f, 0xf8, 0,	  0,
		0,    0,    0,	  0, /* float64: 1.5 */
		1,    2,    3, /* buffer */
		0,    0, /* unused_buffer */
		3,    'c',  'a',  'p', /* capability */
		0,    0,    0,	  0,
		0,    0,    0,	  0x81, /* bitmap */
		0x30, /* nullptr */
		9,    8,    7,	  6, /* pci irq state */
	};
	struct one o =
		decode(payload, sizeof(payload),
		       DEVICE("\"fields\": [" FIELD(
			       "a", "int8",
			       1) "," FIELD("b", "int16",
					    2) "," FIELD("c", "int32",
							 4) "," FIELD("d",
								      "int64",
								      8) "," FIELD("e", "uint8", 1) "," FIELD("f", "uint16", 2) "," FIELD("g", "uint32", 4) "," FIELD("h", "uint64", 8) "," FIELD("i", "int32 le", 4) "," FIELD("j", "int64 equal", 8) "," FIELD("k",
																																 "bool", 1) "," FIELD("l",
																																		      "timer", 8) "," FIELD("m", "float64", 8) "," FIELD("n", "buffer", 3) "," FIELD("o", "unused_buffer", 2) "," FIELD("p",
																																																	"capability",
																																																	4) "," FIELD("q",
																																																		     "bitmap", 8) "," FIELD("r",
																																																					    "nullptr",
																																																					    1) "," FIELD("s",
																																																							 "pci irq state",
																																																							 4) "]"));
	static const enum mr_field_kind kinds[] = {
		MR_FIELD_INT,	 MR_FIELD_INT,	  MR_FIELD_INT,
		MR_FIELD_INT,	 MR_FIELD_UINT,	  MR_FIELD_UINT,
		MR_FIELD_UINT,	 MR_FIELD_UINT,	  MR_FIELD_INT,
		MR_FIELD_UINT,	 MR_FIELD_BOOL,	  MR_FIELD_TIMER,
		MR_FIELD_FLOAT,	 MR_FIELD_BUFFER, MR_FIELD_UNUSED,
		MR_FIELD_TEXT,	 MR_FIELD_BITMAP, MR_FIELD_NULL,
		MR_FIELD_OPAQUE,
	};
	uint64_t at = 0;

	(void)state;
	assert_true(o.dev->decoded);
	assert_string_equal(o.dev->vmsd, "vd");
	assert_int_equal(o.dev->size, sizeof(payload));
	assert_int_equal(o.dev->n_fields, ARRAY_LEN(kinds));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct mr_field *f = &o.dev->fields[i];

		assert_int_equal(f->kind, kinds[i]);
		assert_int_equal(value(&o, i, 0).kind, kinds[i]);
		assert_int_equal(f->name[0], 'a' + (int)i);
		assert_int_equal(f->offset, at);
		assert_ptr_equal(value(&o, i, 0).bytes, o.dev->bytes + at);
		assert_int_equal(f->count, 1);
		assert_false(f->array);
		at += f->size;
	}
	assert_int_equal(at, sizeof(payload));
	assert_int_equal(value(&o, 0, 0).i, -2);
	assert_int_equal(value(&o, 1, 0).i, -2);
	assert_int_equal(value(&o, 2, 0).i, INT32_MIN);
	assert_int_equal(value(&o, 3, 0).i, -1);
	assert_int_equal(value(&o, 4, 0).u, 0xfe);
	assert_int_equal(value(&o, 5, 0).u, 0xfffe);
	assert_int_equal(value(&o, 6, 0).u, 0x80000001);
	assert_true(value(&o, 7, 0).u == UINT64_MAX - 1);
	assert_int_equal(value(&o, 8, 0).i, 5);
	assert_true(value(&o, 9, 0).u == UINT64_C(0xff) << 56);
	assert_int_equal(value(&o, 10, 0).u, 1);
	assert_int_equal(value(&o, 11, 0).i, -1);
	assert_true(fabs(value(&o, 12, 0).d - 1.5) < 1e-9);
	assert_string_equal(value(&o, 15, 0).text, "cap");
	done(&o);
}

/* Bytes that cannot be of their type are only bytes. */
static void test_impossible_values(void **state)
{
	static const uint8_t payload[] = { 2, 0x31, 9, 'x', 1, 2, 3 };
	struct one o = decode(
		payload, sizeof(payload),
		DEVICE("\"fields\": [" FIELD("a", "bool", 1) "," FIELD(
			"b", "nullptr", 1) "," FIELD("c", "capability",
						     2) "," FIELD("d", "uint32",
								  3) "]"));

	(void)state;
	assert_true(o.dev->decoded);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(value(&o, i, 0).kind, MR_FIELD_OPAQUE);
	assert_int_equal(o.dev->fields[3].kind, MR_FIELD_OPAQUE);
	done(&o);
}

#define PAIR                                                                 \
	"\"struct\": {\"vmsd_name\": \"pair\", \"version\": 7, \"fields\": " \
	"[" FIELD("x", "uint8", 1) "," FIELD("y", "uint8", 1) "]}"

static void test_arrays(void **state)
{
	static const uint8_t payload[] = {
		0,    1,    0,	2,  0,
		3, /* three uint16 in one object */
		1,    2,    3,	4, /* two structs in one object */
		5,    6,    7,	8,  9,
		10, /* three, of which the last has no index */
		0x30, 0x30, 11, 12, 0x30, /* pointers, some of them null */
		42, /* a field of its own */
	};
	struct one o =
		decode(payload, sizeof(payload),
		       DEVICE("\"fields\": ["
			      "{\"name\": \"a\", \"array_len\": 3, \"type\": "
			      "\"uint16\", "
			      "\"size\": 2},"
			      "{\"name\": \"b\", \"array_len\": 2, \"type\": "
			      "\"struct\", " PAIR ", \"size\": 2},"
			      "{\"name\": \"c\", \"index\": 0, \"type\": "
			      "\"struct\", " PAIR ", \"size\": 2},"
			      "{\"name\": \"c\", \"index\": 1, \"type\": "
			      "\"struct\", " PAIR ", \"size\": 2},"
			      "{\"name\": \"c\", \"type\": \"struct\", " PAIR
			      ", \"size\": 2},"
			      "{\"name\": \"p\", \"array_len\": 2, \"type\": "
			      "\"nullptr\", "
			      "\"size\": 1},"
			      "{\"name\": \"p\", \"type\": \"struct\", " PAIR
			      ", \"size\": 2},"
			      "{\"name\": \"p\", \"type\": \"nullptr\", "
			      "\"size\": 1}," FIELD("q", "uint8", 1) "]"));
	static const struct {
		const char *name;
		unsigned depth;
		bool array;
		uint64_t index, count;
		size_t parts;
	} want[] = {
		{ "a", 0, true, 0, 3, 0 },  { "b", 0, true, 0, 1, 2 },
		{ "x", 1, false, 0, 1, 0 }, { "y", 1, false, 0, 1, 0 },
		{ "b", 0, true, 1, 1, 2 },  { "x", 1, false, 0, 1, 0 },
		{ "y", 1, false, 0, 1, 0 }, { "c", 0, true, 0, 1, 2 },
		{ "x", 1, false, 0, 1, 0 }, { "y", 1, false, 0, 1, 0 },
		{ "c", 0, true, 1, 1, 2 },  { "x", 1, false, 0, 1, 0 },
		{ "y", 1, false, 0, 1, 0 }, { "c", 0, true, 2, 1, 2 },
		{ "x", 1, false, 0, 1, 0 }, { "y", 1, false, 0, 1, 0 },
		{ "p", 0, true, 0, 2, 0 },  { "p", 0, true, 2, 1, 2 },
		{ "x", 1, false, 0, 1, 0 }, { "y", 1, false, 0, 1, 0 },
		{ "p", 0, true, 3, 1, 0 },  { "q", 0, false, 0, 1, 0 },
	};

	(void)state;
	assert_true(o.dev->decoded);
	assert_int_equal(o.dev->n_fields, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct mr_field *f = &o.dev->fields[i];

		assert_string_equal(f->name, want[i].name);
		assert_int_equal(f->depth, want[i].depth);
		assert_int_equal(f->array, want[i].array);
		assert_int_equal(f->index, want[i].index);
		assert_int_equal(f->count, want[i].count);
		assert_int_equal(f->parts, want[i].parts);
	}
	for (uint64_t k = 0; k < 3; k++)
		assert_int_equal(value(&o, 0, k).u, k + 1);
	assert_int_equal(o.dev->fields[4].version, 7);
	assert_int_equal(o.dev->fields[4].size, 2);
	assert_int_equal(value(&o, 5, 0).u, 3);
	assert_int_equal(value(&o, 15, 0).u, 10);
	assert_int_equal(value(&o, 21, 0).u, 42);
	done(&o);
}

/* Lists repeat their keys for each element: only their size is good. */
static void test_lists_are_opaque(void **state)
{
	static const uint8_t payload[] = { 1, 7, 1, 8, 0, 42 };
	struct one o = decode(
		payload, sizeof(payload),
		DEVICE("\"fields\": ["
		       "{\"name\": \"l\", \"type\": \"qtailq\", "
		       "\"vmsd_name\": \"e\", \"version\": 1, \"fields\": "
		       "[" FIELD(
			       "v", "uint8",
			       1) "], "
				  "\"vmsd_name\": \"e\", \"version\": 1, "
				  "\"fields\": [" FIELD(
					  "v", "uint8",
					  1) "], \"size\": 5}," FIELD("q",
								      "uint8",
								      1) "]"));

	(void)state;
	assert_true(o.dev->decoded);
	assert_int_equal(o.dev->n_fields, 2);
	assert_int_equal(value(&o, 0, 0).kind, MR_FIELD_OPAQUE);
	assert_int_equal(value(&o, 0, 0).size, 5);
	assert_memory_equal(value(&o, 0, 0).bytes, payload, 5);
	assert_int_equal(value(&o, 1, 0).u, 42);
	done(&o);
}

#define SUB                                                           \
	"\"subsections\": [{\"vmsd_name\": \"d/s\", \"version\": 2, " \
	"\"fields\": [" FIELD("z", "uint8", 1) "]}]"

static void test_subsections(void **state)
{
	static const uint8_t payload[] = {
		7, 5, 3, 'd', '/', 's', 0, 0, 0, 2, 9
	};
	struct one o = decode(
		payload, sizeof(payload),
		DEVICE("\"fields\": [" FIELD("a", "uint8", 1) "], " SUB));
	const struct mr_field *f = &o.dev->fields[1];

	(void)state;
	assert_true(o.dev->decoded);
	assert_int_equal(o.dev->n_fields, 3);
	assert_int_equal(f->kind, MR_FIELD_SUBSECTION);
	assert_string_equal(f->name, "d/s");
	assert_int_equal(f->version, 2);
	assert_int_equal(f->offset, 1);
	assert_int_equal(f->size, 10);
	assert_int_equal(f->parts, 1);
	assert_int_equal(f[1].offset, 10);
	assert_int_equal(value(&o, 2, 0).u, 9);
	done(&o);
}

/* ---- descriptions that do not fit ---- */

static void refused(const void *payload, size_t len, const char *text,
		    enum mr_code code, const char *msg)
{
	struct one o = decode(payload, len, text);

	assert_false(o.dev->decoded);
	assert_int_equal(o.dev->n_fields, 0);
	assert_int_equal(o.dev->size, len);
	assert_memory_equal(o.dev->bytes, payload, len);
	assert_string_equal(o.dev->why.msg, msg);
	assert_int_equal(o.dev->why.code, code);
	done(&o);
}

static void test_misfits(void **state)
{
	static const uint8_t p[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	refused(p, 8, NULL, MR_UNSUPPORTED, "the image has no description");
	refused(p, 8, "{}", MR_UNSUPPORTED, "the image has no description");
	refused(p, 8, "{\"devices\": []}", MR_UNSUPPORTED,
		"the description has no such device");
	refused(p, 8, "{\"devices\": 3}", MR_FORMAT,
		"vmdescription: devices are no array");
	refused(p, 8, DEVICE("\"fields\": [" FIELD("a", "buffer", 7) "]"),
		MR_FORMAT, "the description covers 7 bytes, the section has 8");
	refused(p, 8, DEVICE("\"fields\": [" FIELD("a", "buffer", 9) "]"),
		MR_FORMAT, "field \"a\" goes beyond the section's end");
	refused(p, 8,
		DEVICE("\"fields\": [{\"name\": \"a\", \"array_len\": "
		       "1000000000000, \"type\": \"struct\", \"struct\": {}, "
		       "\"size\": 0}]"),
		MR_FORMAT, "too many fields");
	refused(p, 8,
		DEVICE("\"fields\": [{\"name\": \"a\", \"type\": \"struct\", "
		       "\"size\": 8}]"),
		MR_FORMAT, "a struct without a description");
	refused(p, 8,
		DEVICE("\"fields\": [{\"name\": \"a\", \"type\": "
		       "\"struct\", " PAIR ", \"size\": 8}]"),
		MR_FORMAT, "a struct of another size than described");
	refused(p, 8,
		DEVICE("\"fields\": [{\"type\": \"buffer\", \"size\": 8}]"),
		MR_FORMAT, "a field without a proper name, type and size");
	refused(p, 8, DEVICE("\"fields\": [" FIELD("a", "buffer", 2) "], " SUB),
		MR_FORMAT, "no subsection \"d/s\" here");
	refused(p, 8, DEVICE("\"subsections\": [{}]"), MR_FORMAT,
		"vmdescription: a device has impossible sizes");
}

/* A large count of nothing is nothing. */
static void test_empty_elements(void **state)
{
	struct one o = decode("x", 1,
			      DEVICE("\"fields\": [{\"name\": \"a\", "
				     "\"array_len\": 1000000000000, \"type\": "
				     "\"buffer\", \"size\": 0}," FIELD(
					     "b", "buffer", 1) "]"));

	(void)state;
	assert_true(o.dev->decoded);
	assert_int_equal(o.dev->fields[0].count, 1);
	done(&o);
}

static void test_too_deep(void **state)
{
	static const char in[] = "[{\"name\": \"a\", \"type\": \"struct\", "
				 "\"size\": 1, \"struct\": {\"fields\": ";
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	(void)fputs("{\"devices\": [{\"name\": \"d\", \"fields\": ", f);
	for (int i = 0; i < 100; i++)
		(void)fputs(in, f);
	(void)fputs("[" FIELD("b", "uint8", 1) "]", f);
	for (int i = 0; i < 100; i++)
		(void)fputs("}}]", f);
	(void)fputs("}]}", f);
	assert_int_equal(fclose(f), 0);
	refused("x", 1, text, MR_FORMAT, "nested too deeply");
	free(text);
}

/* Whatever one byte of a description becomes: no crash, and what is decoded
 * lies inside the section. */
static void test_flips(void **state)
{
	static const uint8_t payload[] = { 7,	1,   2, 3, 4, 5, 3, 'd',
					   '/', 's', 0, 0, 0, 2, 9 };
	static const char good[] = DEVICE("\"fields\": [" FIELD(
		"a", "uint8", 1) ", {\"name\": \"b\", \"array_len\": 2, "
				 "\"type\": \"struct\", " PAIR
				 ", \"size\": 2}], " SUB);
	char text[sizeof(good)];

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		for (int bit = 0; bit < 7; bit++) {
			struct one o;

			memcpy(text, good, sizeof(good));
			text[i] = (char)(text[i] ^ 1 << bit);
			if (!text[i])
				continue;
			o = decode(payload, sizeof(payload), text);
			for (size_t k = 0; k < o.dev->n_fields; k++) {
				const struct mr_field *f = &o.dev->fields[k];

				assert_true(f->offset + f->size * f->count <=
					    sizeof(payload));
				assert_true(k + f->parts < o.dev->n_fields);
			}
			done(&o);
		}
}

/* ---- which description is whose ---- */

static void test_instances(void **state)
{
	static const struct section s[] = {
		{ "e", 1, 1, "\1\2", 2 },
		{ "d", 0, 1, "\3", 1 },
		{ "e", 0, 1, "\4", 1 },
		{ "e", 1, 1, "\5", 1 },
	};
	static const char text[] =
		"{\"devices\": ["
		"{\"name\": \"e\", \"instance_id\": 1, \"fields\": [" FIELD(
			"a", "uint16",
			2) "]},"
			   "{\"name\": \"d\", \"instance_id\": 0, \"fields\": "
			   "[" FIELD("b", "uint8",
				     1) "]},"
					"{\"name\": \"e\", \"instance_id\": 0, "
					"\"fields\": [" FIELD(
						"c", "uint8",
						1) "]},"
						   "{\"name\": \"e\", "
						   "\"instance_id\": 1, "
						   "\"fields\": [" FIELD(
							   "d", "uint8",
							   1) "]}]}";
	struct made m = make(s, ARRAY_LEN(s), text);
	struct mr_devices *d = open_devices(&m, NULL);

	(void)state;
	assert_int_equal(mr_devices_count(d), 4);
	for (size_t i = 0; i < 4; i++) {
		struct mr_device *dev = read_device(d, i);

		assert_ptr_equal(dev->section, mr_devices_section(d, i));
		assert_string_equal(dev->section->name, s[i].name);
		assert_true(dev->decoded);
		assert_int_equal(dev->fields[0].name[0], 'a' + (int)i);
		mr_device_free(dev);
	}
	mr_devices_free(d);
	drop(&m);
}

/* Another save's description: by name and instance, in any order, and
 * without the subsections that this one lacks. */
static void test_borrowed(void **state)
{
	static const struct section here[] = {
		{ "d", 0, 1, "\1", 1 },
		{ "e", 2, 1, "\2\5\3d/s\0\0\0\2\7", 11 },
		{ "f", 0, 1, "\4", 1 },
		{ "g", 0, 1, "\4", 1 },
	};
	static const struct section there[] = {
		{ "e", 2, 1, "\1", 1 },
		{ "g", 0, 1, "\1\2", 2 },
		{ "d", 0, 1, "\1", 1 },
	};
	static const char text[] =
		"{\"devices\": ["
		"{\"name\": \"e\", \"instance_id\": 2, \"fields\": [" FIELD(
			"a", "uint8",
			1) "], " SUB "},"
			   "{\"name\": \"g\", \"instance_id\": 0, \"fields\": "
			   "[" FIELD("a", "uint16",
				     2) "]},"
					"{\"name\": \"d\", \"instance_id\": 0, "
					"\"fields\": [" FIELD("a", "uint8",
							      1) "], " SUB
								 "}]}";
	static const size_t fields[] = { 1, 3, 0, 0 };
	static const char *const why[] = {
		NULL, NULL, "the description has no such device",
		"fields go beyond the section's end"
	};
	struct made m = make(here, ARRAY_LEN(here), "{}");
	struct made from = make(there, ARRAY_LEN(there), text);
	struct mr_devices *d = open_devices(&m, &from);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(here); i++) {
		struct mr_device *dev = read_device(d, i);

		assert_int_equal(dev->n_fields, fields[i]);
		assert_int_equal(dev->decoded, !why[i]);
		if (why[i])
			assert_string_equal(dev->why.msg, why[i]);
		mr_device_free(dev);
	}
	mr_devices_free(d);
	drop(&from);
	drop(&m);
}

/* ---- registers ---- */

static void put_cpu(uint8_t *p, uint64_t seed)
{
	fill_random(p, 1000, seed);
	for (const struct vmdesc_x86_field *f = vmdesc_x86_fields; f->name; f++)
		if (!strcmp(f->name, "env.segs"))
			for (int i = 0; i < 6; i++)
				put_be32(p + f->offset + 20 * i, 8);
	put_be64(p + 136, 0x202);
}

static uint64_t reg(const struct mr_cpu *c, const char *name)
{
	for (size_t i = 0; i < c->n_regs; i++)
		if (!strcmp(c->regs[i].name, name))
			return c->regs[i].value;
	fail_msg("no %s", name);
	return 0;
}

static const struct mr_segment *segment(const struct mr_cpu *c,
					const char *name)
{
	for (size_t i = 0; i < c->n_segments; i++)
		if (!strcmp(c->segments[i].name, name))
			return &c->segments[i];
	fail_msg("no %s", name);
	return NULL;
}

static void check_cpu(const struct mr_cpu *c, const uint8_t *p)
{
	assert_true(reg(c, "RAX") == get_be64(p));
	assert_true(reg(c, "RSP") == get_be64(p + 32));
	assert_true(reg(c, "R15") == get_be64(p + 120));
	assert_true(reg(c, "RIP") == get_be64(p + 128));
	assert_true(reg(c, "RFL") == 0x202);
	assert_true(reg(c, "CR0") == get_be64(p + 456));
	assert_true(reg(c, "CR4") == get_be64(p + 480));
	assert_true(reg(c, "DR7") == get_be64(p + 488 + 56));
	assert_true(reg(c, "EFER") == get_be64(p + 816));
	assert_true(reg(c, "KERNEL_GS_BASE") == get_be64(p + 856));
	assert_int_equal(segment(c, "GS")->selector, 8);
	assert_true(segment(c, "GS")->base == get_be64(p + 236 + 104));
	assert_int_equal(segment(c, "IDT")->limit, get_be32(p + 416 + 12));
	assert_int_equal(segment(c, "TR")->flags, get_be32(p + 376 + 16));
}

static void test_cpus_by_place(void **state)
{
	uint8_t p[2][1000];
	const struct section s[] = {
		{ "cpu_common", 0, 1, "\0\0\0\1\0\0\0\0", 8 },
		{ "cpu", 0, 12, p[0], sizeof(p[0]) },
		{ "cpu_common", 1, 1, "\0\0\0\0\0\0\0\0", 8 },
		{ "cpu", 1, 12, p[1], sizeof(p[1]) },
	};
	struct mr_error err = MR_ERROR_INIT;
	struct mr_devices *d;
	struct mr_cpu *cpus;
	struct made m;
	size_t n;

	(void)state;
	put_cpu(p[0], 1);
	put_cpu(p[1], 2);
	m = make(s, ARRAY_LEN(s), NULL);
	d = open_devices(&m, NULL);
	assert_int_equal(mr_cpus(d, &cpus, &n, &err), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(cpus[i].index, i);
		assert_int_equal(cpus[i].halted, i == 0);
		assert_false(cpus[i].described);
		check_cpu(&cpus[i], p[i]);
	}
	free(cpus);
	mr_devices_free(d);
	drop(&m);
}

/* A description that has the registers in another order. */
static void test_cpus_by_name(void **state)
{
	uint8_t p[1000], moved[1000];
	const struct section s = { "cpu", 5, 13, moved, VMDESC_X86_CPU_SIZE };
	char text[8192] = "{\"devices\": [{\"name\": \"cpu\", "
			  "\"instance_id\": 5, \"fields\": [";
	const struct vmdesc_x86_field *f = vmdesc_x86_fields;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_devices *d;
	struct mr_cpu *cpus;
	struct made m;
	size_t n, at = 0, fields = 0;

	(void)state;
	put_cpu(p, 3);
	while (f[fields].name)
		fields++;
	while (fields--) {
		(void)sprintf(text + strlen(text),
			      "{\"name\": \"%s\", \"type\": \"buffer\", "
			      "\"size\": %u}, ",
			      f[fields].name, f[fields].size);
		memcpy(moved + at, p + f[fields].offset, f[fields].size);
		at += f[fields].size;
	}
	(void)sprintf(text + strlen(text),
		      "{\"name\": \"rest\", \"type\": \"buffer\", "
		      "\"size\": %zu}]}]}",
		      VMDESC_X86_CPU_SIZE - at);
	m = make(&s, 1, text);
	d = open_devices(&m, NULL);
	assert_int_equal(mr_cpus(d, &cpus, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(cpus[0].index, 5);
	assert_true(cpus[0].described);
	check_cpu(&cpus[0], p);
	free(cpus);
	mr_devices_free(d);
	drop(&m);
}

static void no_cpus(const struct section *s, const char *text, const char *msg)
{
	struct made m = make(s, 1, text);
	struct mr_devices *d = open_devices(&m, NULL);
	struct mr_error err = MR_ERROR_INIT;
	struct mr_cpu *cpus;
	size_t n;

	assert_int_equal(mr_cpus(d, &cpus, &n, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	assert_string_equal(err.msg, msg);
	assert_null(cpus);
	mr_devices_free(d);
	drop(&m);
}

static void test_no_cpus(void **state)
{
	uint8_t p[1000];
	struct section s = { "cpu", 0, 12, p, sizeof(p) };
	static const char not [] = "CPU 0 does not look like one of a 64-bit "
				   "x86 machine, and it is not described";

	(void)state;
	put_cpu(p, 4);
	s.len = VMDESC_X86_CPU_SIZE - 1;
	no_cpus(&s, NULL, not );
	s.len = sizeof(p);
	s.version = 22;
	no_cpus(&s, NULL, not );
	s.version = 12;
	put_be64(p + 136, 0x200);
	no_cpus(&s, NULL, not );
	s.name = "timer";
	no_cpus(&s, NULL, "there is no section \"cpu\"");
	s = (struct section){ "cpu", 0, 1, p, 8 };
	no_cpus(&s,
		"{\"devices\": [{\"name\": \"cpu\", \"fields\": [" FIELD(
			"env.regs", "uint64", 8) "]}]}",
		"field env.regs of CPU 0 has 8 bytes, not 128: not a 64-bit "
		"x86 machine");
	no_cpus(&s,
		"{\"devices\": [{\"name\": \"cpu\", \"fields\": [" FIELD(
			"env.gpr", "uint64", 8) "]}]}",
		"CPU 0 has no field env.regs: not an x86 CPU");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_described),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_impossible_values),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_lists_are_opaque),
		cmocka_unit_test(test_subsections),
		cmocka_unit_test(test_misfits),
		cmocka_unit_test(test_empty_elements),
		cmocka_unit_test(test_too_deep),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_instances),
		cmocka_unit_test(test_borrowed),
		cmocka_unit_test(test_cpus_by_place),
		cmocka_unit_test(test_cpus_by_name),
		cmocka_unit_test(test_no_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
