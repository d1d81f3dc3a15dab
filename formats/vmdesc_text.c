/* vmdesc_text.c - the vmdescription's JSON (vmdesc_text.h). */
#include "formats/name.h"
#include "formats/vmdesc_text.h"

#include <string.h>

#include "formats/name.h"

struct parser {
	char *s;
	size_t len, at;
	struct vmdesc_token *tokens;
	uint32_t n;
	uint32_t open; /* the innermost open container, or NONE */
	unsigned int depth;
	struct fault *f;
};

/* While a container is open its `n` is the one around it. */
#define NONE VMDESC_TEXT_MAX

/* What may come next. */
enum expect { VALUE, VALUE_OR_END, KEY, KEY_OR_END, MORE };

static int bad(struct parser *p, const char *what)
{
	return fault_set(p->f, FAULT_BAD, p->at, what);
}

static int ends(struct parser *p)
{
	return fault_set(p->f, FAULT_SHORT, p->len, "ends inside a value");
}

/* A token, written whole: to set half of it would first read memory that is
 * not yet there. */
static void add(struct parser *p, enum vmdesc_token_kind kind, size_t at,
		size_t n)
{
	p->tokens[p->n++] = (struct vmdesc_token){
		.at = (uint32_t)at,
		.kind = (uint32_t)kind & 7,
		.n = (uint32_t)n & (2 * VMDESC_TEXT_MAX - 1),
	};
}

/* Value of four hexadecimal digits, or -1. */
static int hex4(const char *s, size_t left)
{
	int v = 0;

	if (left < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v * 16 + ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/* Length of the escape that s begins with, 0: it is none; *code is what it
 * stands for, never 0. */
static size_t escape(const char *s, size_t left, uint32_t *code)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *hit;
	int high, low;

	if (left < 2 || !s[1])
		return 0;
	hit = strchr(from, s[1]);
	if (hit) {
		*code = (uint32_t)to[hit - from];
		return 2;
	}
	if (s[1] != 'u' || (high = hex4(s + 2, left - 2)) <= 0)
		return 0;
	*code = (uint32_t)high;
	if (high < 0xd800 || high > 0xdfff)
		return 6;
	if (high > 0xdbff || left < 12 || s[6] != '\\' || s[7] != 'u' ||
	    (low = hex4(s + 8, left - 8)) < 0xdc00 || low > 0xdfff)
		return 0;
	*code = 0x10000U + ((uint32_t)high - 0xd800U) * 0x400U +
		((uint32_t)low - 0xdc00U);
	return 12;
}

static size_t put_utf8(char *to, uint32_t c)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n; i-- > 1; c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(lead[n] | c);
	return n;
}

/* The rest of a string that has more than plain characters, up to its quote;
 * *end is where it ends without escapes. */
static int odd_string(struct parser *p, char **end)
{
	char *to = p->s + p->at;
	uint32_t code;

	while (p->at < p->len && p->s[p->at] != '"') {
		const char *s = p->s + p->at;
		size_t n;

		if ((unsigned char)*s < ' ')
			return bad(p, "a control character in a string");
		if (*s == '\\') {
			n = escape(s, p->len - p->at, &code);
			if (!n)
				return bad(p, "an escape that is none");
			/* Never longer than the escape, so never ahead. */
			to += put_utf8(to, code);
		} else {
			n = name_utf8((const uint8_t *)s, p->len - p->at);
			if (!n)
				return bad(p, "a string that is not UTF-8");
			memmove(to, s, n);
			to += n;
		}
		p->at += n;
	}
	*end = to;
	return 0;
}

/* Where a string's plain characters end that begin here. */
static char *skip_plain(char *s, const char *end)
{
	while (s < end && (unsigned char)(*s - ' ') < 0x80 - ' ') {
		if (*s == '"' || *s == '\\')
			break;
		s++;
	}
	return s;
}

static int string(struct parser *p)
{
	size_t at = p->at + 1;
	char *end = skip_plain(p->s + at, p->s + p->len);

	p->at = (size_t)(end - p->s);
	if (p->at < p->len && *end != '"' && odd_string(p, &end))
		return -1;
	if (p->at == p->len)
		return ends(p);
	add(p, VMDESC_STRING, at, (size_t)(end - p->s) - at);
	*end = '\0';
	p->at++;
	return 0;
}

static bool is_digit(const struct parser *p)
{
	return p->at < p->len && p->s[p->at] >= '0' && p->s[p->at] <= '9';
}

static int digits(struct parser *p)
{
	if (!is_digit(p))
		return bad(p, "a digit expected");
	while (is_digit(p))
		p->at++;
	return 0;
}

static int number(struct parser *p)
{
	enum vmdesc_token_kind kind = VMDESC_INTEGER;
	size_t at = p->at;

	if (p->s[p->at] == '-')
		p->at++;
	if (p->at < p->len && p->s[p->at] == '0')
		p->at++;
	else if (digits(p))
		return -1;
	if (p->at < p->len && p->s[p->at] == '.') {
		kind = VMDESC_OTHER;
		p->at++;
		if (digits(p))
			return -1;
	}
	if (p->at < p->len && (p->s[p->at] | 0x20) == 'e') {
		kind = VMDESC_OTHER;
		p->at++;
		if (p->at < p->len &&
		    (p->s[p->at] == '-' || p->s[p->at] == '+'))
			p->at++;
		if (digits(p))
			return -1;
	}
	add(p, kind, at, p->at - at);
	return 0;
}

static int word(struct parser *p)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if (n > p->len - p->at ||
		    memcmp(p->s + p->at, words[i], n) != 0)
			continue;
		add(p, VMDESC_OTHER, p->at, n);
		p->at += n;
		return 0;
	}
	return bad(p, "a value expected");
}

static int container(struct parser *p, enum vmdesc_token_kind kind)
{
	if (++p->depth > VMDESC_TEXT_DEPTH)
		return bad(p, "nested too deeply");
	add(p, kind, p->at, p->open);
	p->open = p->n - 1;
	p->at++;
	return 0;
}

static void close_container(struct parser *p)
{
	struct vmdesc_token *t = &p->tokens[p->open];
	uint32_t inside = p->n - p->open - 1;

	p->at++;
	p->depth--;
	p->open = t->n;
	t->n = inside & (2 * VMDESC_TEXT_MAX - 1);
}

static int value(struct parser *p, char c, enum expect *next)
{
	*next = MORE;
	if (c == '"')
		return string(p);
	if (c == '{' || c == '[') {
		*next = c == '{' ? KEY_OR_END : VALUE_OR_END;
		return container(p, c == '{' ? VMDESC_OBJECT : VMDESC_ARRAY);
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return number(p);
	return word(p);
}

static void blanks(struct parser *p)
{
	while (p->at < p->len && (p->s[p->at] == ' ' || p->s[p->at] == '\n' ||
				  p->s[p->at] == '\t' || p->s[p->at] == '\r'))
		p->at++;
}

static int key(struct parser *p)
{
	if (p->s[p->at] != '"')
		return bad(p, "a key expected");
	if (string(p))
		return -1;
	blanks(p);
	if (p->at == p->len)
		return ends(p);
	if (p->s[p->at] != ':')
		return bad(p, ": expected");
	p->at++;
	return 0;
}

/* One step; *next is what was expected, and then what is. */
static int step(struct parser *p, char c, enum expect *next)
{
	bool object =
		p->open != NONE && p->tokens[p->open].kind == VMDESC_OBJECT;

	if (*next != VALUE && *next != KEY && c == (object ? '}' : ']')) {
		close_container(p);
		*next = MORE;
		return 0;
	}
	if (*next == MORE) {
		if (c != ',')
			return bad(p, object ? ", or } expected"
					     : ", or ] expected");
		p->at++;
		*next = object ? KEY : VALUE;
		return 0;
	}
	if (*next == KEY || *next == KEY_OR_END) {
		*next = VALUE;
		return key(p);
	}
	return value(p, c, next);
}

ssize_t vmdesc_text_parse(char *s, size_t len, struct vmdesc_token *tokens,
			  struct fault *f)
{
	struct parser p = {
		.s = s, .len = len, .tokens = tokens, .open = NONE, .f = f
	};
	enum expect next = VALUE;

	if (len > VMDESC_TEXT_MAX)
		return fault_value(f, FAULT_UNSUPPORTED, 0, "is too long", len);
	do {
		blanks(&p);
		if (p.at == p.len)
			return ends(&p);
		if (step(&p, s[p.at], &next))
			return -1;
	} while (p.open != NONE || next != MORE);
	return (ssize_t)p.at;
}

const struct vmdesc_token *vmdesc_text_find(const char *s,
					    const struct vmdesc_token *o,
					    const char *key, size_t n)
{
	const struct vmdesc_token *k, *end;

	if (!o || o->kind != VMDESC_OBJECT)
		return NULL;
	end = vmdesc_text_next(o);
	for (k = o + 1; k < end; k = vmdesc_text_next(k + 1))
		/* "name", "type" and "size" are what is asked for most. */
		if (k->n == n && s[k->at] == *key && !memcmp(s + k->at, key, n))
			return k + 1;
	return NULL;
}

const char *vmdesc_text_string(const char *s, const struct vmdesc_token *token)
{
	return token && token->kind == VMDESC_STRING ? s + token->at : NULL;
}

int vmdesc_text_uint(const char *s, const struct vmdesc_token *token,
		     uint64_t max, uint64_t *n)
{
	uint64_t v = 0;

	if (!token || token->kind != VMDESC_INTEGER)
		return -1;
	for (uint32_t i = 0; i < token->n; i++) {
		char c = s[token->at + i];

		/* A minus is no digit; -0 is 0, but nobody writes it. */
		if (c < '0' || v > (max - (uint64_t)(c - '0')) / 10)
			return -1;
		v = v * 10 + (uint64_t)(c - '0');
	}
	*n = v;
	return 0;
}

/* ---- what descriptions hold ---- */

typedef const struct vmdesc_token *token;

int vmdesc_text_number(const char *text, token o, const char *key, int dflt,
		       uint64_t *n)
{
	token v = vmdesc_text_get(text, o, key);

	if (!v && dflt >= 0) {
		*n = (uint64_t)dflt;
		return 0;
	}
	return vmdesc_text_uint(text, v, VMDESC_PAYLOAD_LIMIT, n);
}

const char *vmdesc_text_name(const char *text, token o, const char *key)
{
	token v = vmdesc_text_get(text, o, key);

	return v && v->n <= NAME_MAX_LEN ? vmdesc_text_string(text, v) : NULL;
}

/* Whether there is an array, or nothing. */
static bool is_array_or_absent(token list)
{
	return !list || list->kind == VMDESC_ARRAY;
}

/* Adds what fields and subsections of a description take. */
static int add_size(const char *text, token d, uint64_t *sum)
{
	token fields = vmdesc_text_get(text, d, "fields");
	token subs = vmdesc_text_get(text, d, "subsections"), o, end;

	if (!is_array_or_absent(fields) || !is_array_or_absent(subs))
		return -1;
	end = fields ? vmdesc_text_next(fields) : NULL;
	for (o = fields ? fields + 1 : NULL; o != end;
	     o = vmdesc_text_next(o)) {
		uint64_t size, count;

		if (vmdesc_text_number(text, o, "size", -1, &size) ||
		    vmdesc_text_number(text, o, "array_len", 1, &count))
			return -1;
		if (size && count > VMDESC_PAYLOAD_LIMIT / size)
			return -1;
		*sum += size * count;
		if (*sum > VMDESC_PAYLOAD_LIMIT)
			return -1;
	}
	end = subs ? vmdesc_text_next(subs) : NULL;
	for (o = subs ? subs + 1 : NULL; o != end; o = vmdesc_text_next(o)) {
		const char *name = vmdesc_text_name(text, o, "vmsd_name");

		if (!name)
			return -1;
		*sum += 6 + strlen(name);
		if (add_size(text, o, sum))
			return -1;
	}
	return 0;
}

int vmdesc_text_payload(const char *text, token device, uint64_t *size)
{
	*size = 0;
	return add_size(text, device, size);
}
