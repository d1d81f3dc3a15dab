/*
 * json.c - JSON on stdout, piece by piece: a tree of it would cost more than
 * all the rest. The text of strings and numbers is jansson's.
 */
#include "tools/common/cli.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2 };

/* What is on its way to stdout, and where in the document that is. */
static struct {
	size_t n;
	unsigned depth; /* of open brackets */
	bool more; /* there is something before, in the same brackets */
	bool begun; /* there has been something */
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

static int put_piece(const char *text, size_t n, void *arg)
{
	(void)arg;
	put(text, n);
	return out.failed ? -1 : 0;
}

/* A scalar, whose reference is dropped. Characters beyond ASCII are escaped:
 * some of them would turn a terminal's lines around. */
static void put_value(json_t *value)
{
	if ((!value ||
	     json_dump_callback(value, put_piece, NULL,
				JSON_ENCODE_ANY | JSON_ENSURE_ASCII)) &&
	    !out.failed)
		cli_json_no_memory();
	json_decref(value);
}

void cli_json_no_memory(void)
{
	out.no_memory = true;
}

/* Characters that stand for themselves in a JSON string, which are most. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	return true;
}

/* What is no UTF-8 cannot be in JSON. */
static json_t *escaped(const char *text)
{
	size_t size = strlen(text) * 4 + 1;
	char *buf = malloc(size);
	json_t *j = buf ? json_string(cli_escape(buf, size, text)) : NULL;

	free(buf);
	return j;
}

void cli_json_string(const char *text)
{
	json_t *j;

	if (is_plain(text)) {
		put("\"", 1);
		put(text, strlen(text));
		put("\"", 1);
		return;
	}
	j = json_string(text);
	put_value(j ? j : escaped(text));
}

void cli_json_number(uint64_t n)
{
	put_value(n > INT64_MAX ? json_null() : json_integer((json_int_t)n));
}

void cli_json_signed(int64_t n)
{
	put_value(json_integer(n));
}

void cli_json_real(double d)
{
	/* JSON has neither infinities nor NaN. */
	put_value(d - d == 0 ? json_real(d) : json_sprintf("%g", d));
}

void cli_json_bool(bool v)
{
	put_value(json_boolean(v));
}

void cli_json_null(void)
{
	put_value(json_null());
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
	out.begun = true;
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
	if (text)
		cli_json_string(text);
	else
		cli_json_null();
}

void cli_json_put_number(const char *key, uint64_t n)
{
	cli_json_key(key);
	cli_json_number(n);
}

void cli_json_put_real(const char *key, double d)
{
	cli_json_key(key);
	cli_json_real(d);
}

void cli_json_put_bool(const char *key, bool v)
{
	cli_json_key(key);
	cli_json_bool(v);
}

void cli_json_put_null(const char *key)
{
	cli_json_key(key);
	cli_json_null();
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

/* ---- documents ---- */

void cli_json_begin(void)
{
	cli_json_open('{');
	cli_json_put_number("schema", (uint64_t)cli.schema);
	cli_json_put_text("tool", cli.tool);
}

/* The same keys everywhere: what a failure lacks is null. */
static void put_failure(const struct cli_failure *f, int status)
{
	cli_json_put_open("error", '{');
	cli_json_put_text("path", f->path);
	cli_json_put_text("code", mr_code_name(f->error.code));
	cli_json_put_text("message", f->error.msg);
	cli_json_put_number("offset", f->error.offset);
	cli_json_put_text("errno",
			  f->error.sys ? strerrorname_np(f->error.sys) : NULL);
	cli_json_put_number("status", (uint64_t)status);
	cli_json_close();
}

void cli_json_put_failure(void)
{
	const struct cli_failure *f = cli_failure();

	if (f)
		put_failure(f, f->status);
}

int cli_json_end(void)
{
	while (out.depth > 1)
		cli_json_close();
	cli_json_put_failure();
	cli_json_close();
	put("\n", 1);
	flush();
	if (out.no_memory)
		cli_say("out of memory");
	return out.failed || out.no_memory ? CLI_TROUBLE : CLI_OK;
}

void cli_json_failure(int status)
{
	const struct cli_failure *f = out.begun ? NULL : cli_failure();

	if (!f)
		return;
	cli_json_begin();
	put_failure(f, status);
	(void)cli_json_end();
}
