/*
 * vmdesc.c - how long each device section is, out of the vmdescription.
 *
 * Payload bytes = sum of size * (array_len or 1) over the fields, and for
 * each subsection 6 + its name's length + the same of it (a type byte, a name
 * with its length, a version). Seen to hold, footer to footer, on every
 * device section of files that QEMU 10.0 made.
 *
 * The text is untrusted and may be large (a machine with hundreds of CPUs),
 * so it is not cut in one piece, but one device at a time.
 */
#include "libmr/vmdesc.h"

#include <stdlib.h>
#include <string.h>

#include "libmr/error.h"

/* One device's description; its tokens take up to 8 times as much. */
#define DEVICE_TEXT_LIMIT ((size_t)2 << 20)

struct text {
	const char *s;
	size_t len, at;
	uint64_t offset; /* of s in the file */
	struct vmdesc_tokens tokens; /* of the value read last */
	struct vmdesc_text value;
	struct mr_error *err;
};

static int bad(struct text *t, const char *what)
{
	return mr_fail(t->err, MR_FORMAT, t->offset + t->at,
		       "vmdescription: %s", what);
}

/* The next character that is not a blank, without taking it; 0: the end. */
static char next(struct text *t)
{
	while (t->at < t->len && t->s[t->at] && strchr(" \t\r\n", t->s[t->at]))
		t->at++;
	return t->at < t->len ? t->s[t->at] : '\0';
}

static bool take(struct text *t, char c)
{
	if (next(t) != c)
		return false;
	t->at++;
	return true;
}

void vmdesc_tokens_release(struct vmdesc_tokens *t)
{
	free(t->list);
	*t = (struct vmdesc_tokens){ 0 };
}

int vmdesc_cut(struct vmdesc_tokens *t, const char *text, size_t len,
	       uint64_t offset, size_t *used, struct mr_error *err)
{
	struct fault f;
	ssize_t n = 0;

	if (len > DEVICE_TEXT_LIMIT)
		len = DEVICE_TEXT_LIMIT;
	while (!t->list || !(n = vmdesc_text_parse(text, len, t->list, t->room,
						   &t->n, &f))) {
		size_t room = t->room ? 4 * t->room : 1024;
		void *more = realloc(t->list, room * sizeof(*t->list));

		if (!more)
			return mr_fail(err, MR_NOMEM, MR_NO_OFFSET,
				       "out of memory");
		t->list = more;
		t->room = room;
	}
	if (n < 0)
		return mr_fail(err, MR_FORMAT, offset + f.at,
			       "vmdescription: %s", f.what);
	*used = (size_t)n;
	return 0;
}

/* One JSON value, of any kind; NULL with t->err. It is there until the next
 * one is read. */
static const struct vmdesc_token *value(struct text *t)
{
	size_t used = 0;

	if (vmdesc_cut(&t->tokens, t->s + t->at, t->len - t->at,
		       t->offset + t->at, &used, t->err))
		return NULL;
	t->value = (struct vmdesc_text){ t->s + t->at, t->tokens.list };
	t->at += used;
	return t->tokens.list;
}

int vmdesc_number(const struct vmdesc_text *t, const struct vmdesc_token *o,
		  const char *key, int dflt, uint64_t *n)
{
	const struct vmdesc_token *v = vmdesc_text_get(t, o, key);

	if (!v && dflt >= 0) {
		*n = (uint64_t)dflt;
		return 0;
	}
	return vmdesc_text_uint(t, v, VMDESC_PAYLOAD_LIMIT, n);
}

/* A name as in the stream, into buf. Returns its length or -1. */
static int name_of(const struct vmdesc_text *t, const struct vmdesc_token *o,
		   const char *key, char buf[NAME_SIZE])
{
	const struct vmdesc_token *v = vmdesc_text_get(t, o, key);
	char text[6 * NAME_MAX_LEN + 1];
	size_t n;

	if (!v || v->kind != VMDESC_STRING || v->len >= sizeof(text))
		return -1;
	n = vmdesc_text_string(t->s, v, text);
	if (n > NAME_MAX_LEN)
		return -1;
	memcpy(buf, text, n + 1);
	return (int)n;
}

/* Whether o has an array of that name, or nothing. */
static bool is_array_or_absent(const struct vmdesc_token *list)
{
	return !list || list->kind == VMDESC_ARRAY;
}

/* Adds what fields and subsections of a description take. */
static int add_size(const struct vmdesc_text *t, const struct vmdesc_token *d,
		    uint64_t *sum)
{
	const struct vmdesc_token *fields = vmdesc_text_get(t, d, "fields");
	const struct vmdesc_token *subs = vmdesc_text_get(t, d, "subsections");
	const struct vmdesc_token *o, *end;

	if (!is_array_or_absent(fields) || !is_array_or_absent(subs))
		return -1;
	end = fields ? vmdesc_text_next(t, fields) : NULL;
	for (o = fields ? fields + 1 : NULL; o != end;
	     o = vmdesc_text_next(t, o)) {
		uint64_t size, count;

		if (vmdesc_number(t, o, "size", -1, &size) ||
		    vmdesc_number(t, o, "array_len", 1, &count))
			return -1;
		if (size && count > VMDESC_PAYLOAD_LIMIT / size)
			return -1;
		*sum += size * count;
		if (*sum > VMDESC_PAYLOAD_LIMIT)
			return -1;
	}
	end = subs ? vmdesc_text_next(t, subs) : NULL;
	for (o = subs ? subs + 1 : NULL; o != end; o = vmdesc_text_next(t, o)) {
		char name[NAME_SIZE];
		int n = name_of(t, o, "vmsd_name", name);

		if (n < 0)
			return -1;
		*sum += 6 + (uint64_t)n;
		if (add_size(t, o, sum))
			return -1;
	}
	return 0;
}

/* o is the value whose text began at `begin`. */
static int add_device(struct vmdesc *out, const struct vmdesc_token *o,
		      size_t begin, struct text *t)
{
	struct vmdesc_device *d;
	char name[NAME_SIZE];
	uint64_t instance;

	if (name_of(&t->value, o, "name", name) < 0 ||
	    vmdesc_number(&t->value, o, "instance_id", 0, &instance) ||
	    instance > UINT32_MAX)
		return bad(t, "a device has no proper name and instance");
	if (out->n == out->room) {
		size_t room = out->room ? 2 * out->room : 64;
		void *more;

		if (out->n >= SECTIONS_LIMIT)
			return bad(t, "more devices than any machine has");
		more = realloc(out->devices, room * sizeof(*d));
		if (!more)
			return mr_fail(t->err, MR_NOMEM, MR_NO_OFFSET,
				       "out of memory");
		out->devices = more;
		out->room = room;
	}
	d = &out->devices[out->n];
	*d = (struct vmdesc_device){ .instance = (uint32_t)instance,
				     .text = begin,
				     .text_len = t->at - begin };
	memcpy(d->name, name, strlen(name));
	if (add_size(&t->value, o, &d->size))
		return bad(t, "a device has impossible sizes");
	out->n++;
	return 0;
}

static int read_devices(struct vmdesc *out, struct text *t)
{
	if (!take(t, '['))
		return bad(t, "devices are no array");
	if (take(t, ']'))
		return 0;
	do {
		size_t begin = t->at;
		const struct vmdesc_token *o = value(t);

		if (!o || add_device(out, o, begin, t))
			return -1;
	} while (take(t, ','));
	return take(t, ']') ? 0 : bad(t, "] expected");
}

/* Whether a token is this string, in so many characters. */
static bool is_text(const struct text *t, const struct vmdesc_token *v,
		    const char *text)
{
	return v->len == strlen(text) &&
	       !memcmp(t->value.s + v->at, text, v->len);
}

static int read_member(struct vmdesc *out, struct text *t)
{
	const struct vmdesc_token *v;
	bool devices, page_size;
	uint64_t n;

	if (next(t) != '"' || !(v = value(t)))
		return bad(t, "a key expected");
	devices = is_text(t, v, "devices");
	page_size = is_text(t, v, "page_size");
	if (!take(t, ':'))
		return bad(t, ": expected");
	if (devices)
		return read_devices(out, t);
	v = value(t);
	if (!v)
		return -1;
	if (page_size && !vmdesc_text_uint(&t->value, v, UINT32_MAX, &n))
		out->page_size = (uint32_t)n;
	return 0;
}

static int read_all(struct vmdesc *out, struct text *t)
{
	if (!take(t, '{'))
		return bad(t, "{ expected");
	if (take(t, '}'))
		return 0;
	do {
		if (read_member(out, t))
			return -1;
	} while (take(t, ','));
	return take(t, '}') ? 0 : bad(t, "} expected");
}

int vmdesc_read(struct vmdesc *out, const char *text, size_t len,
		uint64_t offset, struct mr_error *err)
{
	struct text t = { .s = text, .len = len, .offset = offset, .err = err };
	int rc = read_all(out, &t);

	vmdesc_tokens_release(&t.tokens);
	return rc;
}

void vmdesc_release(struct vmdesc *d)
{
	free(d->devices);
	*d = (struct vmdesc){ 0 };
}
