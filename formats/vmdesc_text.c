/* vmdesc_text.c - the vmdescription's JSON (vmdesc_text.h). */
#include "formats/vmdesc_text.h"

#include <string.h>

#include "formats/name.h"

struct parser {
	const char *s;
	size_t len, at;
	struct vmdesc_token *tokens;
	size_t n, room;
	uint32_t open; /* the innermost open container, or NONE */
	unsigned int depth;
	struct fault *f;
};

/* While a container is open its `next` is the one around it. */
#define NONE UINT32_MAX

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

/* A token that begins here; the caller has looked for room. */
static struct vmdesc_token *add(struct parser *p, enum vmdesc_token_kind kind)
{
	struct vmdesc_token *t = &p->tokens[p->n++];

	*t = (struct vmdesc_token){ .at = (uint32_t)p->at,
				    .next = (uint32_t)p->n,
				    .kind = (uint16_t)kind };
	return t;
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

static int string(struct parser *p)
{
	struct vmdesc_token *t;
	uint32_t code;

	p->at++;
	t = add(p, VMDESC_STRING);
	while (p->at < p->len && p->s[p->at] != '"') {
		const char *s = p->s + p->at;
		unsigned char c = (unsigned char)*s;
		size_t n = 1;

		if (c < ' ')
			return bad(p, "a control character in a string");
		if (c == '\\') {
			n = escape(s, p->len - p->at, &code);
			t->escaped = 1;
		} else if (c >= 0x80) {
			n = name_utf8((const uint8_t *)s, p->len - p->at);
		}
		if (!n)
			return bad(p, c == '\\' ? "an escape that is none"
						: "a string that is not UTF-8");
		p->at += n;
	}
	if (p->at == p->len)
		return ends(p);
	t->len = (uint32_t)(p->at++ - t->at);
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
	struct vmdesc_token *t = add(p, VMDESC_INTEGER);

	if (p->s[p->at] == '-')
		p->at++;
	if (p->at < p->len && p->s[p->at] == '0')
		p->at++;
	else if (digits(p))
		return -1;
	if (p->at < p->len && p->s[p->at] == '.') {
		t->kind = VMDESC_OTHER;
		p->at++;
		if (digits(p))
			return -1;
	}
	if (p->at < p->len && (p->s[p->at] | 0x20) == 'e') {
		t->kind = VMDESC_OTHER;
		p->at++;
		if (p->at < p->len &&
		    (p->s[p->at] == '-' || p->s[p->at] == '+'))
			p->at++;
		if (digits(p))
			return -1;
	}
	t->len = (uint32_t)(p->at - t->at);
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
		add(p, VMDESC_OTHER)->len = (uint32_t)n;
		p->at += n;
		return 0;
	}
	return bad(p, "a value expected");
}

static int container(struct parser *p, enum vmdesc_token_kind kind)
{
	struct vmdesc_token *t = add(p, kind);

	if (++p->depth > VMDESC_TEXT_DEPTH)
		return bad(p, "nested too deeply");
	t->next = p->open;
	p->open = (uint32_t)(p->n - 1);
	p->at++;
	return 0;
}

static enum expect close_container(struct parser *p)
{
	struct vmdesc_token *t = &p->tokens[p->open];

	p->at++;
	p->depth--;
	p->open = t->next;
	t->len = (uint32_t)(p->at - t->at);
	t->next = (uint32_t)p->n;
	return MORE;
}

static int value(struct parser *p, char c, enum expect *next)
{
	*next = MORE;
	if (c == '{' || c == '[') {
		*next = c == '{' ? KEY_OR_END : VALUE_OR_END;
		return container(p, c == '{' ? VMDESC_OBJECT : VMDESC_ARRAY);
	}
	if (c == '"')
		return string(p);
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

static int key(struct parser *p, char c)
{
	if (c != '"')
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

/* One step; *next is what was expected, and then what is. 0, -1 with a fault,
 * or 1: no room for another token. */
static int step(struct parser *p, enum expect *next)
{
	bool object =
		p->open != NONE && p->tokens[p->open].kind == VMDESC_OBJECT;
	char c = p->s[p->at];

	if (*next != VALUE && *next != KEY && c == (object ? '}' : ']')) {
		*next = close_container(p);
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
	if (p->n == p->room)
		return 1;
	if (*next == KEY || *next == KEY_OR_END) {
		*next = VALUE;
		return key(p, c);
	}
	return value(p, c, next);
}

ssize_t vmdesc_text_parse(const char *s, size_t len,
			  struct vmdesc_token *tokens, size_t room, size_t *n,
			  struct fault *f)
{
	struct parser p = { .s = s,
			    .len = len,
			    .tokens = tokens,
			    .room = room,
			    .open = NONE,
			    .f = f };
	enum expect next = VALUE;
	int rc;

	do {
		blanks(&p);
		if (p.at == p.len)
			return ends(&p);
		rc = step(&p, &next);
		if (rc)
			return rc < 0 ? -1 : 0;
	} while (p.open != NONE || next != MORE);
	*n = p.n;
	return (ssize_t)p.at;
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

size_t vmdesc_text_string(const char *s, const struct vmdesc_token *token,
			  char *to)
{
	const char *from = s + token->at, *end = from + token->len;
	size_t n = 0, skip;
	uint32_t code;

	if (!token->escaped) {
		memmove(to, from, token->len);
		n = token->len;
		from = end;
	}
	while (from < end) {
		if (*from == '\\' &&
		    (skip = escape(from, (size_t)(end - from), &code)) > 0) {
			/* Never longer than the escape, so never ahead. */
			from += skip;
			n += put_utf8(to + n, code);
		} else {
			to[n++] = *from++;
		}
	}
	to[n] = '\0';
	return n;
}

const struct vmdesc_token *vmdesc_text_get(const struct vmdesc_text *t,
					   const struct vmdesc_token *o,
					   const char *name)
{
	const struct vmdesc_token *k, *end;
	size_t n = strlen(name);

	if (!o || o->kind != VMDESC_OBJECT)
		return NULL;
	end = t->tokens + o->next;
	for (k = o + 1; k < end; k = t->tokens + k[1].next)
		if (k->len == n && !memcmp(t->s + k->at, name, n))
			return k + 1;
	return NULL;
}

int vmdesc_text_uint(const struct vmdesc_text *t,
		     const struct vmdesc_token *token, uint64_t max,
		     uint64_t *n)
{
	uint64_t v = 0;

	if (!token || token->kind != VMDESC_INTEGER)
		return -1;
	for (uint32_t i = 0; i < token->len; i++) {
		char c = t->s[token->at + i];

		/* A minus is no digit; -0 is 0, but nobody writes it. */
		if (c < '0' || v > (max - (uint64_t)(c - '0')) / 10)
			return -1;
		v = v * 10 + (uint64_t)(c - '0');
	}
	*n = v;
	return 0;
}
