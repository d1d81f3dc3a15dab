/* vmdesc_text_test.c - JSON into tokens: what is one, and what is none. */
#include "tests/formats/unit.h"

#include <stdio.h>

#include "formats/vmdesc_text.h"

/* Parses a heap copy of exactly len bytes; the tokens are static. */
static struct vmdesc_token tokens[4096];
static size_t n_tokens;

static ssize_t parse_room(const char *s, size_t len, size_t room,
			  struct fault *f)
{
	char *copy = malloc(len ? len : 1);
	ssize_t n;

	assert_non_null(copy);
	memcpy(copy, s, len);
	*f = (struct fault){ .kind = FAULT_NONE };
	n = vmdesc_text_parse(copy, len, tokens, room, &n_tokens, f);
	free(copy);
	return n;
}

static ssize_t parse(const char *s, struct fault *f)
{
	return parse_room(s, strlen(s), ARRAY_LEN(tokens), f);
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
	assert_int_equal(n_tokens, 22);
	assert_int_equal(tokens[0].kind, VMDESC_OBJECT);
	assert_int_equal(tokens[0].next, n_tokens);
	assert_int_equal(tokens[0].len, len);
	assert_int_equal(tokens[2].kind, VMDESC_INTEGER);
	assert_int_equal(tokens[4].kind, VMDESC_ARRAY);
	assert_int_equal(tokens[4].next, 20);
	assert_int_equal(tokens[7].kind, VMDESC_STRING);
	assert_true(tokens[7].escaped);
	assert_int_equal(tokens[7].len, 4);
	assert_int_equal(tokens[9].kind, VMDESC_OTHER);
	/* What stands behind it does not matter, nor blanks before it. */
	assert_int_equal(parse(" \t\r\n[1] ]x", &f), 7);
	assert_int_equal(parse("\"a\"b", &f), 3);
}

/* Every shorter text is a fault, with its place in it; room for fewer tokens
 * is not enough. */
static void cut(void **state)
{
	struct fault f;

	(void)state;
	for (size_t n = 0; n < strlen(sample); n++) {
		assert_int_equal(parse_room(sample, n, ARRAY_LEN(tokens), &f),
				 -1);
		assert_true(f.kind == FAULT_SHORT || f.kind == FAULT_BAD);
		assert_true(f.at <= n);
		assert_non_null(f.what);
	}
	for (size_t room = 0; room < 22; room++)
		assert_int_equal(parse_room(sample, strlen(sample), room, &f),
				 0);
	assert_int_equal(parse_room(sample, strlen(sample), 22, &f),
			 strlen(sample));
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
	assert_int_equal(parse_room("\0[]", 3, ARRAY_LEN(tokens), &f), -1);
	assert_int_equal(parse_room("\"a\0\"", 4, ARRAY_LEN(tokens), &f), -1);
}

static void depth(void **state)
{
	static char text[2 * VMDESC_TEXT_DEPTH + 2];
	struct fault f;

	(void)state;
	memset(text, '[', VMDESC_TEXT_DEPTH);
	memset(text + VMDESC_TEXT_DEPTH, ']', VMDESC_TEXT_DEPTH);
	assert_int_equal(parse(text, &f), 2 * VMDESC_TEXT_DEPTH);
	memset(text, '[', VMDESC_TEXT_DEPTH + 1);
	assert_int_equal(parse(text, &f), -1);
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
		char text[64], other[64];
		size_t n = strlen(pairs[i].want);

		(void)snprintf(text, sizeof(text), "%s", pairs[i].json);
		assert_int_equal(parse(text, &f), strlen(text));
		assert_int_equal(vmdesc_text_string(text, tokens, other), n);
		assert_string_equal(other, pairs[i].want);
		/* In place. */
		assert_int_equal(
			vmdesc_text_string(text, tokens, text + tokens->at), n);
		assert_string_equal(text + tokens->at, pairs[i].want);
	}
}

static void members(void **state)
{
	static const char text[] =
		"{\"a\":{\"b\":7},\"b\":8,\"c\":-1,\"d\":1.0,\"e\":\"9\","
		"\"f\":18446744073709551615,\"g\":18446744073709551616,"
		"\"b\":9}";
	struct vmdesc_text t = { text, tokens };
	struct fault f;
	uint64_t n;

	(void)state;
	assert_int_equal(parse(text, &f), strlen(text));
	assert_int_equal(
		vmdesc_text_uint(&t, vmdesc_text_get(&t, tokens, "b"), 8, &n),
		0);
	assert_int_equal(n, 8);
	assert_int_equal(vmdesc_text_uint(&t, vmdesc_text_get(&t, tokens, "f"),
					  UINT64_MAX, &n),
			 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(vmdesc_text_uint(&t, vmdesc_text_get(&t, tokens, "f"),
					  UINT64_MAX - 1, &n),
			 -1);
	for (const char *k = "acdegz"; *k; k++) {
		const char key[] = { *k, '\0' };

		assert_int_equal(
			vmdesc_text_uint(&t, vmdesc_text_get(&t, tokens, key),
					 UINT64_MAX, &n),
			-1);
	}
	assert_null(vmdesc_text_get(&t, tokens, "z"));
	assert_null(vmdesc_text_get(&t, NULL, "a"));
	assert_null(vmdesc_text_get(&t, vmdesc_text_get(&t, tokens, "c"), "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),   cmocka_unit_test(cut),
		cmocka_unit_test(refused), cmocka_unit_test(depth),
		cmocka_unit_test(strings), cmocka_unit_test(members),
	};

	return cmocka_run_group_tests_name("vmdesc_text", tests, NULL, NULL);
}
