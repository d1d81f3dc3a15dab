/*
 * json.c - JSON on stdout: trees of jansson's, and what is printed piece
 * by piece because a tree of it would cost more than all the rest.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/cli.h"

enum { INDENT = 2 };

/* What is on its way to stdout, and where in the document that is. */
static struct {
	size_t n;
	unsigned depth; /* of open brackets */
	bool more; /* there is something before, in the same brackets */
	bool failed;
	bool no_memory;
	char closing[256]; /* of the open brackets */
	char buf[32768];
} out;

static void flush(void)
{
	if (fwrite(out.buf, 1, out.n, stdout) != out.n)
		out.failed = true; /* cli_finish tells */
	out.n = 0;
}

/* Room for n bytes, at most the buffer's: a pointer to it. */
static char *room(size_t n)
{
	if (n > sizeof(out.buf) - out.n)
		flush();
	return out.buf + out.n;
}

static void put_long(const char *text, size_t n)
{
	while (n) {
		size_t some = n < sizeof(out.buf) ? n : sizeof(out.buf);

		memcpy(room(some), text, some);
		out.n += some;
		text += some;
		n -= some;
	}
}

static inline void put(const char *text, size_t n)
{
	if (n > sizeof(out.buf) - out.n) {
		put_long(text, n);
		return;
	}
	memcpy(out.buf + out.n, text, n);
	out.n += n;
}

static void put_line(void)
{
	size_t n = INDENT * (size_t)out.depth;
	char *to = room(n + 1);

	*to = '\n';
	memset(to + 1, ' ', n);
	out.n += n + 1;
}

/* jansson's output: no string of it has a line break, which belong to the
 * layout. */
static int put_tree(const char *text, size_t n, void *arg)
{
	const char *line;

	(void)arg;
	while ((line = memchr(text, '\n', n))) {
		size_t some = (size_t)(line - text);

		put(text, some);
		put_line();
		text += some + 1;
		n -= some + 1;
	}
	put(text, n);
	return out.failed ? -1 : 0;
}

void cli_json_no_memory(void)
{
	out.no_memory = true;
}

void cli_json_tree(json_t *value)
{
	if ((!value ||
	     json_dump_callback(value, put_tree, NULL,
				JSON_INDENT(INDENT) | JSON_ENCODE_ANY)) &&
	    !out.failed)
		cli_json_no_memory();
	json_decref(value);
}

/* Characters that stand for themselves in a JSON string, and on a terminal. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	return true;
}

void cli_json_string(const char *text)
{
	if (!is_plain(text)) {
		cli_json_tree(cli_json_text(text));
		return;
	}
	put("\"", 1);
	put(text, strlen(text));
	put("\"", 1);
}

void cli_json_item(void)
{
	if (out.more)
		put(",", 1);
	put_line();
	out.more = true;
}

void cli_json_key(const char *key)
{
	cli_json_item();
	cli_json_string(key);
	put(": ", 2);
}

void cli_json_open(char bracket)
{
	assert(out.depth < sizeof(out.closing));
	out.closing[out.depth++] = bracket == '{' ? '}' : ']';
	put(&bracket, 1);
	out.more = false;
}

void cli_json_close(void)
{
	bool more = out.more;

	out.depth--;
	if (more)
		put_line();
	put(&out.closing[out.depth], 1);
	out.more = true;
}

void cli_json_put_open(const char *key, char bracket)
{
	cli_json_key(key);
	cli_json_open(bracket);
}

void cli_json_put_text(const char *key, const char *text)
{
	cli_json_key(key);
	cli_json_string(text);
}

void cli_json_put_number(const char *key, uint64_t n)
{
	char text[20], *end = text + sizeof(text), *at = end;

	cli_json_key(key);
	if (n > INT64_MAX) {
		put("null", 4);
		return;
	}
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	put(at, (size_t)(end - at));
}

void cli_json_put_bool(const char *key, bool v)
{
	cli_json_key(key);
	put(v ? "true" : "false", v ? 4 : 5);
}

static char *put_digits(char *to, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
	return to;
}

void cli_json_hex(const char *prefix, const uint8_t *bytes, size_t n)
{
	put("\"", 1);
	put(prefix, strlen(prefix));
	while (n) {
		size_t some = n < 4096 ? n : 4096;

		(void)put_digits(room(2 * some), bytes, some);
		out.n += 2 * some;
		bytes += some;
		n -= some;
	}
	put("\"", 1);
}

/* All lines but the first are alike: a comma, a line break, blanks, digits. */
void cli_json_hex_items(const char *prefix, const uint8_t *bytes, size_t size,
			uint64_t count)
{
	size_t before = 3 + INDENT * (size_t)out.depth + strlen(prefix);
	char line[2 * sizeof(out.closing) + 64];

	for (; count && (!out.more || size > 8); count--, bytes += size) {
		cli_json_item();
		cli_json_hex(prefix, bytes, size);
	}
	if (!count)
		return;
	assert(before < sizeof(line));
	(void)snprintf(line, sizeof(line), ",\n%*s\"%s",
		       INDENT * (int)out.depth, "", prefix);
	for (; count; count--, bytes += size) {
		char *to = room(before + 2 * size + 1);

		memcpy(to, line, before);
		*put_digits(to + before, bytes, size) = '"';
		out.n += before + 2 * size + 1;
	}
}

int cli_json_end(void)
{
	while (out.depth)
		cli_json_close();
	put("\n", 1);
	flush();
	if (out.no_memory)
		cli_say("out of memory");
	return out.failed || out.no_memory ? CLI_TROUBLE : CLI_OK;
}

json_t *cli_json_text(const char *text)
{
	size_t size = strlen(text) * 4 + 1;
	char *buf = malloc(size);
	json_t *j = NULL;

	if (buf)
		j = json_string(cli_escape(buf, size, text));
	free(buf);
	return j;
}

void cli_json_set(json_t *o, const char *key, json_t *value, bool *bad)
{
	if (json_object_set_new(o, key, value))
		*bad = true;
}

void cli_json_number(json_t *o, const char *key, uint64_t n, bool *bad)
{
	cli_json_set(o, key,
		     n <= INT64_MAX ? json_integer((json_int_t)n) : json_null(),
		     bad);
}

void cli_json_add(json_t *list, json_t *value, bool *bad)
{
	if (json_array_append_new(list, value))
		*bad = true;
}

json_t *cli_json_new(int schema)
{
	return json_pack("{s:i, s:s}", "schema", schema, "tool", cli.tool);
}

int cli_json_print(json_t *root, bool bad)
{
	if (bad) {
		json_decref(root);
		root = NULL;
	}
	if (!root) {
		cli_say("out of memory");
		return CLI_TROUBLE;
	}
	cli_json_tree(root);
	return cli_json_end();
}
