/* vmdesc_text_test.c - JSON into tokens: what is one, and what is none. */
#include "tests/formats/unit.h"

#include "formats/vmdesc_text.h"

/* Parses a heap copy of exactly len bytes, into as many tokens as it may have:
 * both are there until the next call. */
static struct vmdesc_token *tokens;
static char *text;

static ssize_t parse_n(const char *s, size_t len, struct fault *f)
{
	free(tokens);
	free(text);
	tokens = malloc(VMDESC_TEXT_ROOM(len) * sizeof(*tokens));
	text = malloc(len ? len : 1);
	assert_non_null(tokens);
	assert_non_null(text);
	memcpy(text, s, len);
	*f = (struct fault){ .kind = FAULT_NONE };
	return vmdesc_text_parse(text, len, tokens, f);
}

static ssize_t parse(const char *s, struct fault *f)
{
	return parse_n(s, strlen(s), f);
}

static const char sample[] =
	"{\"page_size\": 4096, \"devices\": [ {\"name\":\"a\\\"b\","
	"\"n\":-1.5e+3,\"o\":{},\"l\":[[],true,false,null,0]},\"\"],"
	"\"\\u0065nd\":\"\"}";

static void whole(void **state)
{
	struct fault f;
	ssize_t len = (ssize_t)strlen(sample);

	(void)state;
	assert_int_equal(parse(sample, &f), len);
	assert_int_equal(tokens[0].kind, VMDESC_OBJECT);
	assert_int_equal(tokens[0].n, 21);
	assert_int_equal(tokens[2].kind, VMDESC_INTEGER);
	assert_int_equal(tokens[4].kind, VMDESC_ARRAY);
	assert_ptr_equal(vmdesc_text_next(&tokens[4]), &tokens[20]);
	assert_int_equal(tokens[7].kind, VMDESC_STRING);
	assert_int_equal(tokens[7].n, 3);
	assert_ptr_equal(vmdesc_text_next(&tokens[7]), &tokens[8]);
	assert_string_equal(vmdesc_text_string(text, &tokens[7]), "a\"b");
	assert_string_equal(vmdesc_text_string(text, &tokens[20]), "end");
	assert_null(vmdesc_text_string(text, &tokens[4]));
	assert_null(vmdesc_text_string(text, NULL));
	assert_int_equal(tokens[9].kind, VMDESC_OTHER);
	/* What stands behind it does not matter, nor blanks before it. */
	assert_int_equal(parse(" \t\r\n[1] ]x", &f), 7);
	assert_int_equal(parse("\"a\"b", &f), 3);
}

/* Every shorter text is a fault, with its place in it. */
static void cut(void **state)
{
	struct fault f;

	(void)state;
	for (size_t n = 0; n < strlen(sample); n++) {
		assert_int_equal(parse_n(sample, n, &f), -1);
		assert_true(f.kind == FAULT_SHORT || f.kind == FAULT_BAD);
		assert_true(f.at <= n);
		assert_non_null(f.what);
	}
}

/* The texts with most tokens for their length, whole and broken off. */
static void crowded(void **state)
{
	static const char *const dense[] = { "[1,1,1,1,1]",
					     "[[],[],[]]",
					     "[[1],[1],[1]]",
					     "{\"\":1}",
					     "[[[[[1,1",
					     "[[[[[[[[[[",
					     "1" };
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dense); i++)
		for (size_t n = 0; n <= strlen(dense[i]); n++)
			(void)parse_n(dense[i], n, &f);
	assert_int_equal(parse("[[1],[1],[1]]", &f), 13);
	assert_int_equal(tokens->n, 6);
	if (sizeof(size_t) > 4) {
		assert_int_equal(vmdesc_text_parse(text, VMDESC_TEXT_MAX + 1,
						   tokens, &f),
				 -1);
		assert_int_equal(f.kind, FAULT_UNSUPPORTED);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *what;
	} bad[] = {
		{ "}", 0, "a value expected" },
		{ "[1 2]", 3, ", or ] expected" },
		{ "[1,]", 3, "a value expected" },
		{ "[1}", 2, ", or ] expected" },
		{ "{1:2}", 1, "a key expected" },
		{ "{\"a\" 1}", 5, ": expected" },
		{ "{\"a\":1]", 6, ", or } expected" },
		{ "{\"a\":}", 5, "a value expected" },
		{ "{\"a\":1,}", 7, "a key expected" },
		{ "[01]", 2, ", or ] expected" },
		{ "[-]", 2, "a digit expected" },
		{ "[1.]", 3, "a digit expected" },
		{ "[1e]", 3, "a digit expected" },
		{ "[1e+]", 4, "a digit expected" },
		{ "[+1]", 1, "a value expected" },
		{ "[nul]", 1, "a value expected" },
		{ "[\"\t\"]", 2, "a control character in a string" },
		{ "[\"\xff\"]", 2, "a string that is not UTF-8" },
		{ "[\"a\xc3\"]", 3, "a string that is not UTF-8" },
		{ "[\"\\x\"]", 2, "an escape that is none" },
		{ "[\"\\u12g4\"]", 2, "an escape that is none" },
		{ "[\"\\u0000\"]", 2, "an escape that is none" },
		{ "[\"\\ud800\"]", 2, "an escape that is none" },
		{ "[\"\\udc00\"]", 2, "an escape that is none" },
		{ "[\"\\ud800\\u0041\"]", 2, "an escape that is none" },
	};
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(parse(bad[i].text, &f), -1);
		assert_string_equal(f.what, bad[i].what);
		assert_int_equal(f.kind, FAULT_BAD);
		assert_int_equal(f.at, bad[i].at);
	}
	/* A NUL is no blank, and ends no string. */
	assert_int_equal(parse_n("\0[]", 3, &f), -1);
	assert_int_equal(parse_n("\"a\0\"", 4, &f), -1);
}

static void depth(void **state)
{
	static char deep[2 * VMDESC_TEXT_DEPTH + 2];
	struct fault f;

	(void)state;
	memset(deep, '[', VMDESC_TEXT_DEPTH);
	memset(deep + VMDESC_TEXT_DEPTH, ']', VMDESC_TEXT_DEPTH);
	assert_int_equal(parse(deep, &f), 2 * VMDESC_TEXT_DEPTH);
	memset(deep, '[', VMDESC_TEXT_DEPTH + 1);
	assert_int_equal(parse(deep, &f), -1);
	assert_string_equal(f.what, "nested too deeply");
}

static void strings(void **state)
{
	static const struct {
		const char *json, *want;
	} pairs[] = {
		{ "\"\"", "" },
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"a\\u0041z\"", "aAz" },
		{ "\"\\u00e9\\u20AC\\ud83d\\ude00\"",
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"\xc3\xa9\"", "\xc3\xa9" },
	};
	struct fault f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_int_equal(parse(pairs[i].json, &f),
				 strlen(pairs[i].json));
		assert_int_equal(tokens->n, strlen(pairs[i].want));
		assert_string_equal(vmdesc_text_string(text, tokens),
				    pairs[i].want);
	}
}

static void members(void **state)
{
	static const char object[] =
		"{\"a\":{\"b\":7},\"\\u0062\":8,\"c\":-1,\"d\":1.0,\"e\":\"9\","
		"\"f\":18446744073709551615,\"g\":18446744073709551616,"
		"\"b\":9}";
	struct fault f;
	uint64_t n;

	(void)state;
	assert_int_equal(parse(object, &f), strlen(object));
	assert_int_equal(vmdesc_text_uint(text,
					  vmdesc_text_get(text, tokens, "b"), 8,
					  &n),
			 0);
	assert_int_equal(n, 8);
	assert_int_equal(vmdesc_text_uint(text,
					  vmdesc_text_get(text, tokens, "f"),
					  UINT64_MAX, &n),
			 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(vmdesc_text_uint(text,
					  vmdesc_text_get(text, tokens, "f"),
					  UINT64_MAX - 1, &n),
			 -1);
	for (const char *k = "acdegz"; *k; k++) {
		const char key[] = { *k, '\0' };

		assert_int_equal(
			vmdesc_text_uint(text,
					 vmdesc_text_get(text, tokens, key),
					 UINT64_MAX, &n),
			-1);
	}
	assert_null(vmdesc_text_get(text, tokens, "z"));
	assert_null(vmdesc_text_get(text, NULL, "a"));
	assert_null(
		vmdesc_text_get(text, vmdesc_text_get(text, tokens, "c"), "a"));
}

/* What a description's payload takes; -1: sizes that cannot be. */
static int64_t payload(const char *description)
{
	struct fault f;
	uint64_t n = 12345;

	assert_true(parse(description, &f) > 0);
	return vmdesc_text_payload(text, tokens, &n) ? -1 : (int64_t)n;
}

static void payloads(void **state)
{
	static const struct {
		const char *description;
		int64_t want;
	} cases[] = {
		{ "{}", 0 },
		{ "{\"fields\":[],\"subsections\":[]}", 0 },
		{ "{\"fields\":[{\"size\":4}]}", 4 },
		{ "{\"fields\":[{\"size\":4},{\"size\":3,"
		  "\"array_len\":5},{\"size\":0,\"array_len\":9}]}",
		  19 },
		{ "{\"fields\":[{\"size\":1}],\"subsections\":["
		  "{\"vmsd_name\":\"a/b\",\"fields\":[{\"size\":2}],"
		  "\"subsections\":[{\"vmsd_name\":\"a/b/c\"}]},"
		  "{\"vmsd_name\":\"\"}]}",
		  1 + (6 + 3 + 2 + (6 + 5)) + 6 },
		{ "{\"fields\":[{\"size\":1099511627776}]}",
		  (int64_t)VMDESC_PAYLOAD_LIMIT },
		{ "{\"fields\":[{\"size\":1099511627777}]}", -1 },
		{ "{\"fields\":[{\"size\":1099511627776},{\"size\":1}]}", -1 },
		{ "{\"fields\":[{\"size\":4294967296,"
		  "\"array_len\":4294967296}]}",
		  -1 },
		{ "{\"fields\":[{\"size\":-1}]}", -1 },
		{ "{\"fields\":[{\"size\":\"4\"}]}", -1 },
		{ "{\"fields\":[{}]}", -1 },
		{ "{\"fields\":[{\"size\":4,\"array_len\":-1}]}", -1 },
		{ "{\"fields\":{}}", -1 },
		{ "{\"fields\":7}", -1 },
		{ "{\"subsections\":\"a\"}", -1 },
		{ "{\"subsections\":[{}]}", -1 },
		{ "{\"subsections\":[{\"vmsd_name\":\"a\","
		  "\"fields\":[{}]}]}",
		  -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(payload(cases[i].description), cases[i].want);
}

/* A name of 255 bytes is one, of 256 none. */
static void names(void **state)
{
	char object[300] = "{\"n\":\"";
	struct fault f;

	(void)state;
	memset(object + 6, 'x', 255);
	memcpy(object + 6 + 255, "\"}", 3);
	assert_true(parse(object, &f) > 0);
	assert_int_equal(strlen(vmdesc_text_name(text, tokens, "n")), 255);
	assert_null(vmdesc_text_name(text, tokens, "m"));
	memcpy(object + 6 + 255, "x\"}", 4);
	assert_true(parse(object, &f) > 0);
	assert_null(vmdesc_text_name(text, tokens, "n"));
	assert_true(parse("{\"n\":1}", &f) > 0);
	assert_null(vmdesc_text_name(text, tokens, "n"));
}

static void numbers(void **state)
{
	struct fault f;
	uint64_t n = 5;

	(void)state;
	assert_true(parse("{\"a\":3,\"b\":-3}", &f) > 0);
	assert_int_equal(vmdesc_text_number(text, tokens, "a", 1, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(vmdesc_text_number(text, tokens, "c", 1, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(vmdesc_text_number(text, tokens, "c", -1, &n), -1);
	assert_int_equal(vmdesc_text_number(text, tokens, "b", 1, &n), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),   cmocka_unit_test(cut),
		cmocka_unit_test(refused), cmocka_unit_test(depth),
		cmocka_unit_test(strings), cmocka_unit_test(members),
		cmocka_unit_test(crowded), cmocka_unit_test(payloads),
		cmocka_unit_test(names),   cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests_name("vmdesc_text", tests, NULL, NULL);
}
