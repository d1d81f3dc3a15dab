/*
 * diff_fields_test.c - which fields of a device differ, by descriptions of
 * all kinds, of one side or of both, that fit or do not.
 */
#include "tests/libmr/folder.h"

#include "formats/bytes.h"
#include "libmr/diff/state.h"
#include "tests/lib/build.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)
FAIL_WRAP(void *, realloc, (void *p, size_t size), (p, size), NULL)
FAIL_WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t at),
	  (fd, buf, len, at), -1)

/* An image with one page of memory and one device, "dev"; fields: the text of
 * its description's "fields" and what follows, NULL: no description at all. */
static void make_image(const char *name, const void *payload, size_t len,
		       const char *fields)
{
	struct build b = { .ram_id = 2, .next_id = 3, .page_size = 4096 };
	struct build_block ram = { .name = "pc.ram", .length = 4096 };
	char *text = NULL;

	b.fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	(void)snprintf(b.config.machine, sizeof(b.config.machine), "pc");
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &ram, 1);
	build_ram_empty(&b, STREAM_END);
	build_device(&b, "dev", payload, len);
	build_eof(&b);
	if (fields) {
		assert_true(asprintf(&text,
				     "{\"configuration\": {}, \"page_size\": "
				     "4096, \"devices\": [{\"name\": \"dev\", "
				     "\"instance_id\": 0, \"vmsd_name\": \"d\","
				     " \"version\": 1, \"fields\": %s}]}",
				     fields) > 0);
		build_vmdesc_text(&b, text);
		free(text);
	}
	build_done(&b);
	assert_int_equal(close(b.fd), 0);
}

static struct mr_diff *diff(void)
{
	struct mr_diff_options o = { .jobs = 1 };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff *d = mr_diff("a", "b", &o, &err);

	assert_string_equal(err.msg, "");
	assert_non_null(d);
	assert_int_equal(mr_diff_info(d)->n_sections, 1);
	return d;
}

/* "path" of a field that both have, "-path" of A's alone, "+path" of B's, with
 * "!" behind if it is the whole of something. */
static void expect(struct mr_diff *d, const struct mr_image *from,
		   const char *want)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff_fields *f = mr_diff_fields_new(d, 0, from, &err);
	char got[4096] = "";
	size_t at = 0;

	if (!f)
		print_message("%s\n", err.msg);
	assert_non_null(f);
	assert_false(f->cut);
	for (size_t i = 0; i < f->n; i++) {
		const struct mr_diff_field *x = &f->fields[i];

		at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s%s%s",
				       i ? " " : "",
				       !x->of[MR_B]   ? "-"
				       : !x->of[MR_A] ? "+"
						      : "",
				       x->path, x->whole ? "!" : "");
		assert_true(at < sizeof(got));
	}
	assert_string_equal(got, want);
	mr_diff_fields_free(f);
}

#define FIELD(name, type, size) \
	"{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " size "}"
#define ARRAY(name, type, n, size)                                           \
	"{\"name\": \"" name "\", \"type\": \"" type "\", \"array_len\": " n \
	", \"size\": " size "}"
#define STRUCT(name, size, version, fields)                              \
	"{\"name\": \"" name "\", \"type\": \"struct\", \"size\": " size \
	", \"struct\": {\"vmsd_name\": \"s\", \"version\": " version     \
	", \"fields\": " fields "}}"

static const char plain[] = "[" FIELD("x", "uint8", "1") ", " ARRAY(
	"y", "uint16", "3",
	"2") ", " STRUCT("s", "2", "1",
			 "[" FIELD("p", "bool", "1") ", " FIELD(
				 "q", "int8",
				 "1") "]") ", " FIELD("z", "buffer", "4") "]";

static void one_description(void **state)
{
	static const char a[] = "0112233pqzzzz";
	static const struct {
		const char *b, *want;
	} cases[] = {
		{ "1112233pqzzzz", "x" },	    { "0112333pqzzzz", "y[1]" },
		{ "0912239pqzzzz", "y[0] y[2]" },   { "0112233Pqzzzz", "s/p" },
		{ "1112233PQzzzZ", "x s/p s/q z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int who = 1; who < 4; who++) {
			struct mr_diff *d;

			make_image("a", a, 13, who & 1 ? plain : NULL);
			make_image("b", cases[i].b, 13, who & 2 ? plain : NULL);
			d = diff();
			expect(d, NULL, cases[i].want);
			mr_diff_free(d);
		}
}

static void borrowed(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *lender;
	struct mr_diff *d;

	(void)state;
	make_image("a", "0112233pqzzzz", 13, NULL);
	make_image("b", "0112233pqzyyz", 13, NULL);
	make_image("c", "", 0, plain);
	d = diff();
	assert_null(mr_diff_fields_new(d, 0, NULL, &err));
	assert_int_equal(err.code, MR_UNSUPPORTED);
	mr_diff_free(d);
	err = (struct mr_error)MR_ERROR_INIT;
	make_image("c", "0112233pqzzzz", 13, plain);
	lender = mr_image_open("c", MR_DIRECT_OFF, NULL, &err);
	assert_non_null(lender);
	d = diff();
	expect(d, lender, "z");
	mr_diff_free(d);
	mr_image_free(lender);
}

/* What one side has and the other has not is told by its name. */
static void two_descriptions(void **state)
{
	static const struct {
		const char *da, *a, *db, *b, *want;
	} cases[] = {
		/* the same bytes, but somewhere else */
		{ "[" FIELD("x", "uint8", "1") ", " FIELD("y", "uint8",
							  "1") "]",
		  "xy",
		  "[" FIELD("y", "uint8", "1") ", " FIELD("x", "uint8",
							  "1") "]",
		  "yx", "+y! -y!" },
		/* a new field before the others, in their middle, behind */
		{ "[" FIELD("x", "uint8", "1") ", " FIELD("y", "uint8",
							  "1") "]",
		  "xy",
		  "[" FIELD("n", "uint8", "1") ", " FIELD(
			  "x", "uint8",
			  "1") ", " FIELD("m", "uint8",
					  "1") ", " FIELD("y", "uint8",
							  "1") ", " FIELD("o",
									  "uint"
									  "8",
									  "1") "]",
		  "nxmYo", "+n! +m! y +o!" },
		/* nothing in common */
		{ "[" FIELD("x", "uint8", "1") "]", "1",
		  "[" FIELD("y", "uint8", "1") "]", "2", "-x! +y!" },
		/* a longer array */
		{ "[" ARRAY("x", "uint8", "3", "1") "]", "abc",
		  "[" ARRAY("x", "uint8", "5", "1") "]", "aXcde",
		  "x[1] +x[3] +x[4]" },
		/* another size */
		{ "[" FIELD("x", "uint8", "1") ", " FIELD("y", "uint8",
							  "1") "]",
		  "xy",
		  "[" FIELD("x", "uint16", "2") ", " FIELD("y", "uint8",
							   "1") "]",
		  "xxY", "x! y" },
		/* another version of a struct, and what is in it */
		{ "[" STRUCT("s", "1", "1",
			     "[" FIELD("p", "uint8", "1") "]") "]",
		  "p",
		  "[" STRUCT("s", "2", "2",
			     "[" FIELD("p", "uint8", "1") ", " FIELD(
				     "q", "uint8", "1") "]") "]",
		  "Pq", "s! s/p +s/q!" },
		/* a struct is no number */
		{ "[" STRUCT("s", "1", "1",
			     "[" FIELD("p", "uint8", "1") "]") "]",
		  "p", "[" FIELD("s", "uint8", "1") "]", "q", "-s! +s!" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mr_diff *d;

		make_image("a", cases[i].a, strlen(cases[i].a), cases[i].da);
		make_image("b", cases[i].b, strlen(cases[i].b), cases[i].db);
		d = diff();
		expect(d, NULL, cases[i].want);
		mr_diff_free(d);
	}
}

static void subsections(void **state)
{
	static const char without[] =
		"[" FIELD("x", "uint8", "1") "], \"subsections\": []";
	static const char with[] = "[" FIELD(
		"x", "uint8",
		"1") "], \"subsections\": ["
		     "{\"vmsd_name\": \"d/one\", \"version\": 1, \"fields\": "
		     "[" FIELD("p", "uint8",
			       "1") "]}, "
				    "{\"vmsd_name\": \"d/two\", \"version\": "
				    "3, \"fields\": [" FIELD("q", "uint8",
							     "1") "]}]";
	static const char payload[] = "x\5\5d/one\0\0\0\1p\5\5d/two\0\0\0\3q";
	static const char other[] = "x\5\5d/one\0\0\0\1P\5\5d/two\0\0\0\3q";
	struct mr_diff *d;

	(void)state;
	make_image("a", payload, sizeof(payload) - 1, with);
	make_image("b", "y", 1, without);
	d = diff();
	expect(d, NULL, "x -d/one! -d/two!");
	mr_diff_free(d);
	/* The description of the one fits the other all the same. */
	make_image("b", "y", 1, NULL);
	d = diff();
	expect(d, NULL, "x -d/one! -d/two!");
	mr_diff_free(d);
	make_image("b", other, sizeof(other) - 1, with);
	d = diff();
	expect(d, NULL, "d/one/p");
	mr_diff_free(d);
}

/* A description that does not fit is none. */
static void misfits(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff *d;

	(void)state;
	make_image("a", "0112233pqzzzz", 13, plain);
	make_image("b", "0112233pqzzzzzzz", 16, NULL);
	d = diff();
	assert_null(mr_diff_fields_new(d, 0, NULL, &err));
	assert_int_equal(err.code, MR_FORMAT);
	mr_diff_free(d);
}

/* As many differences as nobody can look at. */
static void cut_short(void **state)
{
	enum { N = 100000 };
	uint8_t *bytes = malloc(N);
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff_fields *f;
	struct mr_diff *d;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 1, N);
	make_image("a", bytes, N, "[" ARRAY("x", "uint8", "100000", "1") "]");
	memset(bytes, 2, N);
	make_image("b", bytes, N, NULL);
	free(bytes);
	d = diff();
	f = mr_diff_fields_new(d, 0, NULL, &err);
	assert_non_null(f);
	assert_true(f->cut);
	assert_int_equal(f->n, 65536);
	mr_diff_fields_free(f);
	mr_diff_free(d);
}

static void failures(int with)
{
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		struct mr_error err = MR_ERROR_INIT;
		struct mr_diff *d = diff();
		struct mr_diff_fields *f;

		fail_arm(n, with);
		f = mr_diff_fields_new(d, 0, NULL, &err);
		if (!fail_plan.name) {
			mr_diff_fields_free(f);
			mr_diff_free(d);
			break;
		}
		fail_arm(0, 0);
		assert_null(f);
		assert_true(err.code == MR_NOMEM || err.code == MR_SYS);
		failed++;
		mr_diff_fields_free(f);
		mr_diff_free(d);
	}
	fail_arm(0, 0);
	assert_true(failed > 5);
}

static void every_call_fails(void **state)
{
	(void)state;
	make_image("a", "0112233pqzzzz", 13, plain);
	make_image("b", "1112233PQzzzZ", 13, plain);
	failures(ENOMEM);
}

static int setup(void **state)
{
	return folder_setup(state) || chdir(folder) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_description),
		cmocka_unit_test(borrowed),
		cmocka_unit_test(two_descriptions),
		cmocka_unit_test(subsections),
		cmocka_unit_test(misfits),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(every_call_fails),
	};

	return cmocka_run_group_tests(tests, setup, folder_teardown);
}
