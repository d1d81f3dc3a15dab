/* tail.c - where device state ends. */
#include "libmr/wire/tail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/image/vmdesc.h"

/* EOF, type, length. */
#define BEFORE_TEXT ((size_t)(1 + STREAM_VMDESC_HEADER_SIZE))

/* {"configuration": ..., before QEMU 8.0 {"page_size": ..., before 6.0 the same
 * with blanks: { "page_size" : ... */
#define BEGINNING 3u

static bool begins(const uint8_t *p)
{
	return p[0] == '{' && (p[1] == '"' || (p[1] == ' ' && p[2] == '"'));
}

int tail_add(struct tail *t, const uint8_t *bytes, size_t n,
	     struct mr_error *err)
{
	size_t room = t->room ? t->room : 65536;
	uint8_t *more;

	if (n > TAIL_MAX - t->len)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "more than %zu MiB of device state",
				 TAIL_MAX >> 20);
	while (room < t->len + n)
		room *= 2;
	if (room != t->room) {
		more = realloc(t->bytes, room);
		if (!more)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for the device state");
		t->bytes = more;
		t->room = room;
	}
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
	return 0;
}

struct image_device tail_device(const struct tail *t)
{
	return (struct image_device){
		.sections = t->bytes,
		.len = t->device,
		.description = t->bytes + t->description,
		.description_len = t->len - t->description,
	};
}

void tail_release(struct tail *t)
{
	free(t->bytes);
	*t = (struct tail){ 0 };
}

static void see_section(struct tail *t, const struct stream_element *e,
			size_t at, uint64_t size)
{
	struct stream_globalstate g;
	struct fault f;

	if (strcmp(e->idstr, STREAM_GLOBALSTATE) != 0)
		return;
	t->no_state = size != STREAM_GLOBALSTATE_SIZE ||
		      stream_globalstate_decode(t->bytes + at, (size_t)size, &g,
						&f) < 0;
	if (!t->no_state)
		memcpy(t->run_state, g.runstate, sizeof(t->run_state));
}

/* Whether the sections that d lists, with or without footers, are those from
 * byte 0 to eof. */
static bool fits(struct tail *t, const struct vmdesc *d, bool footers,
		 size_t eof)
{
	size_t at = 0;
	struct fault f;

	t->run_state[0] = '\0';
	t->no_state = false;
	for (size_t i = 0; i < d->n; i++) {
		const struct vmdesc_device *k = &d->devices[i];
		struct stream_element e;
		ssize_t n =
			stream_element_decode(t->bytes + at, eof - at, &e, &f);

		if (n < 0 || e.type != STREAM_FULL ||
		    strcmp(e.idstr, k->name) != 0 ||
		    e.instance_id != k->instance ||
		    k->size > eof - at - (size_t)n)
			return false;
		at += (size_t)n;
		see_section(t, &e, at, k->size);
		at += (size_t)k->size;
		if (!footers)
			continue;
		n = stream_footer_decode(t->bytes + at, eof - at, e.section_id,
					 &f);
		if (n < 0)
			return false;
		at += (size_t)n;
	}
	return d->n && at == eof;
}

/* Whether the text is the description of what stands before byte eof: 1, 0, or
 * -1. */
static int describes(struct tail *t, size_t eof, const uint8_t *text,
		     size_t len, uint32_t page_size, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct vmdesc d = { .text = NULL };
	char *copy = malloc(len + 1);
	int rc = 0;

	if (!copy)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	memcpy(copy, text, len);
	if (!vmdesc_read(&d, copy, len, 0, &why))
		rc = fits(t, &d, true, eof) || fits(t, &d, false, eof);
	else if (why.code == MR_NOMEM)
		rc = error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (rc > 0 && d.page_size && d.page_size != page_size)
		rc = error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			       "the machine's pages have %" PRIu32
			       " bytes: only "
			       "%" PRIu32 " are supported",
			       d.page_size, page_size);
	if (rc > 0 && t->no_state)
		rc = error_set(err, MR_FORMAT, MR_NO_OFFSET,
			       "the run state in section \"" STREAM_GLOBALSTATE
			       "\" cannot be read: no QEMU would load it");
	vmdesc_release(&d);
	free(copy);
	return rc;
}

int tail_described(struct tail *t, const uint8_t *text, size_t len,
		   uint32_t page_size, struct mr_error *err)
{
	int rc = describes(t, t->len - 1, text, len, page_size, err);

	if (rc <= 0)
		t->run_state[0] = '\0';
	return rc;
}

/* Bytes that a text at byte `at` says it has; 0: it is no description. */
static size_t text_length(const struct tail *t, size_t at)
{
	const uint8_t *head = t->bytes + at - BEFORE_TEXT;
	size_t len;

	if (at < BEFORE_TEXT || head[0] != STREAM_EOF ||
	    head[1] != STREAM_VMDESC)
		return 0;
	len = get_be32(head + 2);
	return len <= VMDESC_TEXT_LIMIT ? len : 0;
}

/* Files texts that were not seen yet. */
static int find_texts(struct tail *t, struct mr_error *err)
{
	const uint8_t *p;

	for (; t->looked + BEGINNING <= t->len; t->looked++) {
		p = memchr(t->bytes + t->looked, '{',
			   t->len - t->looked - BEGINNING + 1);
		if (!p) {
			t->looked = t->len - BEGINNING + 1;
			break;
		}
		t->looked = (size_t)(p - t->bytes);
		if (!begins(p) || !text_length(t, t->looked))
			continue;
		if (t->n_open == TAIL_OPEN || t->tried == TAIL_TRIES)
			return error_set(err, MR_FORMAT, MR_NO_OFFSET,
					 "device state that is full of what "
					 "looks like its description");
		t->open[t->n_open++] = t->looked;
		t->tried++;
	}
	return 0;
}

int tail_ended(struct tail *t, uint32_t page_size, struct mr_error *err)
{
	if (find_texts(t, err))
		return -1;
	for (unsigned i = 0; i < t->n_open;) {
		size_t at = t->open[i], eof = at - BEFORE_TEXT;
		size_t len = text_length(t, at);
		int rc;

		if (len > t->len - at) {
			i++;
			continue;
		}
		rc = describes(t, eof, t->bytes + at, len, page_size, err);
		if (rc < 0)
			return -1;
		if (rc) {
			t->device = eof + 1;
			t->description = at;
			t->len = at + len;
			return 1;
		}
		t->open[i] = t->open[--t->n_open];
	}
	return 0;
}
