/* tail_test.c - where device state ends: what fits exactly, and nothing else.
 */
#include "tests/libmr/unit.h"

#include "formats/bytes.h"
#include "formats/stream.h"
#include "libmr/wire/tail.h"

#define PAGE 4096u

/* Two sections of 7 and 104 bytes, EOF, a description. */
struct example {
	uint8_t bytes[8192];
	size_t len;
	size_t text; /* where the description's text begins */
};

static size_t add(struct example *x, const void *bytes, size_t n)
{
	assert_true(x->len + n <= sizeof(x->bytes));
	memcpy(x->bytes + x->len, bytes, n);
	x->len += n;
	return x->len - n;
}

static void add_full(struct example *x, uint32_t id, const char *name,
		     const uint8_t *payload, size_t n, bool footer)
{
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = id,
				    .version_id = 1 };
	uint8_t buf[STREAM_ELEMENT_MAX], end[STREAM_FOOTER_SIZE];

	memcpy(e.idstr, name, strlen(name) + 1);
	(void)add(x, buf, stream_element_encode(buf, &e));
	(void)add(x, payload, n);
	if (footer)
		(void)add(x, end, stream_footer_encode(end, id));
}

static void add_text(struct example *x, const char *text)
{
	uint8_t head[1 + STREAM_VMDESC_HEADER_SIZE] = { STREAM_EOF };

	(void)stream_vmdesc_encode(head + 1, (uint32_t)strlen(text));
	(void)add(x, head, sizeof(head));
	x->text = add(x, text, strlen(text));
}

static const char text[] =
	"{\"configuration\": {}, \"page_size\": 4096, \"devices\": ["
	"{\"name\": \"a\", \"instance_id\": 0, \"fields\": [{\"name\": \"d\", "
	"\"type\": \"buffer\", \"size\": 700}]}, "
	"{\"name\": \"globalstate\", \"instance_id\": 0, \"fields\": "
	"[{\"name\": \"d\", \"type\": \"buffer\", \"size\": 104}]}]}";

/* first: what device a has, 700 bytes. */
static void make(struct example *x, const uint8_t *first, bool footers)
{
	const struct stream_globalstate g = { .runstate = "paused" };
	uint8_t state[STREAM_GLOBALSTATE_SIZE];

	x->len = 0;
	(void)stream_globalstate_encode(state, &g);
	add_full(x, 4, "a", first, 700, footers);
	add_full(x, 5, "globalstate", state, sizeof(state), footers);
	add_text(x, text);
}

/* Comes in pieces of n bytes; returns the bytes after which it had ended; 0:
 * never. */
static size_t ends_after(struct tail *t, const struct example *x, size_t n)
{
	struct mr_error err = MR_ERROR_INIT;
	size_t at, k;

	for (at = 0; at < x->len; at += k) {
		int rc;

		k = x->len - at < n ? x->len - at : n;
		assert_int_equal(tail_add(t, x->bytes + at, k, &err), 0);
		rc = tail_ended(t, PAGE, &err);
		assert_true(rc >= 0);
		if (rc)
			return at + k;
	}
	return 0;
}

static void whole(const struct example *x, size_t n)
{
	struct tail t = { .bytes = NULL };

	assert_int_equal(ends_after(&t, x, n), x->len);
	assert_int_equal(t.len, x->len);
	assert_int_equal(t.device, x->text - STREAM_VMDESC_HEADER_SIZE);
	assert_int_equal(t.description, x->text);
	assert_string_equal(t.run_state, "paused");
	tail_release(&t);
}

static void in_pieces(void **state)
{
	uint8_t first[700] = { 0 };
	struct example x;

	(void)state;
	for (int footers = 0; footers < 2; footers++) {
		make(&x, first, footers);
		for (size_t n = 1; n <= x.len; n++)
			whole(&x, n);
	}
}

/* A guest can put what it likes into a device. */
static void planted(void **state)
{
	uint8_t first[700] = { 0 };
	struct example x;

	(void)state;
	/* a whole description, of nothing that stands before it */
	put_be32(first + 102, (uint32_t)strlen(text));
	first[101] = STREAM_VMDESC;
	memcpy(first + 106, text, sizeof(text));
	make(&x, first, true);
	for (size_t n = 1; n <= x.len; n += 13)
		whole(&x, n);
	/* the same, that goes on beyond the end */
	put_be32(first + 102, 100000);
	make(&x, first, true);
	for (size_t n = 1; n <= x.len; n += 13)
		whole(&x, n);
}

/* Descriptions of QEMU before 8.0 begin with the page size, before 6.0 they are
 * full of blanks. */
static void of_before(void **state)
{
	static const char *const old[] = {
		"{\"page_size\": 4096, \"devices\": [{\"name\": \"a\", "
		"\"instance_id\": 0, \"fields\": [{\"name\": \"d\", \"size\": "
		"16}]}]}",
		"{ \"page_size\" : 4096, \"devices\" : [ { \"name\" : \"a\", "
		"\"instance_id\" : 0, \"fields\" : [ { \"name\" : \"d\", "
		"\"size\" : 16 } ] } ] }",
	};
	const uint8_t first[16] = { '{', ' ', '{', '{' };

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (size_t n = 1; n < 60; n++) {
			struct tail t = { .bytes = NULL };
			struct example x = { .len = 0 };

			add_full(&x, 4, "a", first, sizeof(first), true);
			add_text(&x, old[i]);
			assert_int_equal(ends_after(&t, &x, n), x.len);
			tail_release(&t);
		}
}

static void does_not_fit(void **state)
{
	uint8_t first[700] = { 0 };
	struct tail t = { .bytes = NULL };
	struct example x;

	(void)state;
	make(&x, first, true);
	/* Each byte up to the description, but for the run state's. What is in
	 * none: the payload of a section, and its version. */
	for (size_t i = 0; i < x.text;
	     i += i == 744 ? STREAM_GLOBALSTATE_SIZE + 1 : 1) {
		bool payload = i >= 15 && i < 715;
		bool version = (i >= 11 && i < 15) || (i >= 741 && i < 745);

		x.bytes[i] ^= 0x40;
		assert_int_equal(ends_after(&t, &x, x.len) != 0,
				 payload || version);
		tail_release(&t);
		x.bytes[i] ^= 0x40;
	}
	/* a byte more before EOF */
	memmove(x.bytes + x.text - 5, x.bytes + x.text - 6, x.len - x.text + 6);
	x.len++;
	assert_int_equal(ends_after(&t, &x, x.len), 0);
	tail_release(&t);
}

/* It fits, and no QEMU would load it. */
static void unreadable_state(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	uint8_t first[700] = { 0 };
	struct tail t = { .bytes = NULL };
	struct example x;

	(void)state;
	make(&x, first, true);
	memset(x.bytes + 749, 0xff, 100);
	assert_int_equal(tail_add(&t, x.bytes, x.len, &err), 0);
	assert_int_equal(tail_ended(&t, PAGE, &err), -1);
	assert_non_null(strstr(err.msg, "run state"));
	tail_release(&t);
}

static void other_pages(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	uint8_t first[700] = { 0 };
	struct tail t = { .bytes = NULL };
	struct example x;

	(void)state;
	make(&x, first, true);
	assert_int_equal(tail_add(&t, x.bytes, x.len, &err), 0);
	assert_int_equal(tail_ended(&t, 1024, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
	tail_release(&t);
}

/* A device that is full of it costs no more than so many looks. */
static void too_many(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct tail t = { .bytes = NULL };
	struct example x = { .len = 0 };
	int rc = 0;

	(void)state;
	for (int i = 0; i < 1000 && !rc; i++) {
		x.len = 0;
		add_text(&x, "{\"configuration\": 1}");
		assert_int_equal(tail_add(&t, x.bytes, x.len, &err), 0);
		rc = tail_ended(&t, PAGE, &err);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, MR_FORMAT);
	tail_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(planted),
		cmocka_unit_test(of_before),
		cmocka_unit_test(does_not_fit),
		cmocka_unit_test(other_pages),
		cmocka_unit_test(too_many),
		cmocka_unit_test(unreadable_state),
	};

	return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
