/*
 * device.c - where sections end that do not say how long they are.
 *
 * A device section's length is in the vmdescription, at the very end of the
 * stream; without one there is only the footer that closes the section, whose
 * five bytes may stand in a payload too. So what follows a footer must look
 * like the next element, and the description, where there is one, is believed
 * only as long as the footers are where it says.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/mapped_ram.h"
#include "libmr/base/error.h"
#include "libmr/seal/sealed.h"
#include "libmr/image/parse.h"

/* Read at once when searching. */
#define STRIDE ((size_t)64 << 10)
/* Searches give up after this many bytes: no device's state is longer, and a
 * hostile file must not keep us for hours. */
#define FOOTER_REACH (UINT64_C(256) << 20)
#define VMDESC_REACH (UINT64_C(1) << 30)
/* Places that look like a description but are none. */
#define VMDESC_TRIES 16

enum { EOF_AND_VMDESC = 1 + STREAM_VMDESC_HEADER_SIZE };

enum likely parse_goes_on(const struct parse *p, const uint8_t *buf, size_t n,
			  uint64_t left)
{
	struct stream_element e;
	struct fault f;

	if (n == 0)
		return PERHAPS; /* the file was cut right here */
	if (buf[0] == STREAM_EOF) {
		if (left == 1)
			return SURE;
		if (n < EOF_AND_VMDESC || buf[1] != STREAM_VMDESC)
			return PERHAPS;
		if (get_be32(buf + 2) > left - EOF_AND_VMDESC)
			return PERHAPS;
		if (get_be32(buf + 2) == 0)
			return left == EOF_AND_VMDESC ? SURE : PERHAPS;
		return n > EOF_AND_VMDESC && buf[EOF_AND_VMDESC] == '{'
			       ? SURE
			       : PERHAPS;
	}
	if (buf[0] == STREAM_FOOTER || buf[0] == STREAM_VMDESC ||
	    stream_element_decode(buf, n, &e, &f) < 0)
		return NOT;
	if (e.type != STREAM_PART && e.type != STREAM_END)
		return SURE;
	for (size_t i = 0; i < p->n_open; i++)
		if (p->open[i].id == e.section_id)
			return SURE;
	return NOT;
}

static uint64_t bytes_left(const struct parse *p)
{
	uint64_t at = mr_reader_tell(&p->r);

	return at < p->img->io->size ? p->img->io->size - at : 0;
}

/*
 * Moves the reader to the next place where these bytes stand, before `end`.
 * 1: there; 0: nowhere; -1.
 */
static int seek_bytes(struct parse *p, const uint8_t *bytes, size_t n,
		      uint64_t end)
{
	while (mr_reader_tell(&p->r) < end) {
		const uint8_t *buf, *hit;
		ssize_t got = mr_reader_peek(&p->r, STRIDE, &buf, p->err);

		if (got < 0 || parse_tick(p))
			return -1;
		if ((size_t)got < n)
			return 0;
		hit = memmem(buf, (size_t)got, bytes, n);
		if (hit) {
			mr_reader_skip(&p->r, (uint64_t)(hit - buf));
			return mr_reader_tell(&p->r) < end;
		}
		mr_reader_skip(&p->r, (uint64_t)got - (n - 1));
	}
	return 0;
}

static int no_footers(struct parse *p, const char *what)
{
	return error_set(p->err, MR_UNSUPPORTED, mr_reader_tell(&p->r),
			 "this stream has no section footers, and %s: where "
			 "this section ends cannot be told",
			 what);
}

int parse_find_footer(struct parse *p, uint32_t id, uint64_t *length)
{
	uint64_t start = mr_reader_tell(&p->r), perhaps = UINT64_MAX;
	uint8_t mark[STREAM_FOOTER_SIZE];
	enum likely how = NOT;
	int rc;

	if (p->footers == FOOTERS_NONE)
		return no_footers(p, "it is of a kind that nothing describes");
	(void)stream_footer_encode(mark, id);
	while ((rc = seek_bytes(p, mark, sizeof(mark), start + FOOTER_REACH)) >
	       0) {
		const uint8_t *buf;
		ssize_t n = mr_reader_peek(
			&p->r, sizeof(mark) + STREAM_ELEMENT_MAX, &buf, p->err);

		if (n < 0)
			return -1;
		how = parse_goes_on(p, buf + sizeof(mark),
				    (size_t)n - sizeof(mark),
				    bytes_left(p) - sizeof(mark));
		if (how == SURE)
			break;
		if (how == PERHAPS && perhaps == UINT64_MAX)
			perhaps = mr_reader_tell(&p->r);
		mr_reader_skip(&p->r, 1);
	}
	if (rc < 0)
		return -1;
	if (how == SURE)
		perhaps = mr_reader_tell(&p->r);
	if (perhaps == UINT64_MAX &&
	    mr_reader_tell(&p->r) < start + FOOTER_REACH)
		return error_set(p->err, MR_SHORT, p->img->io->size,
				 "file ends %" PRIu64
				 " bytes into the payload of section %" PRIu32,
				 p->img->io->size - start, id);
	if (perhaps == UINT64_MAX)
		return error_set(p->err, MR_FORMAT, start,
				 "section %" PRIu32 " does not end", id);
	*length = perhaps - start;
	reader_seek(&p->r, start);
	return 0;
}

int parse_read_desc(struct parse *p, uint64_t offset, size_t len)
{
	struct mr_image *img = p->img;
	char *text = malloc(len + 1);

	if (!text)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	if (io_read_full(img->io, text, len, offset, p->err)) {
		free(text);
		return -1;
	}
	vmdesc_release(&img->desc);
	img->desc_why = (struct mr_error)MR_ERROR_INIT;
	if (!vmdesc_read(&img->desc, text, len, offset, &img->desc_why)) {
		img->desc.memory = text;
		return 0;
	}
	vmdesc_release(&img->desc);
	free(text);
	if (img->desc_why.code != MR_NOMEM)
		return 0;
	*p->err = img->desc_why;
	return -1;
}

/* Where no description can begin any more: a seal has none, and is large. One
 * that is damaged may be anything. */
static int vmdesc_limit(struct parse *p, uint64_t *limit)
{
	struct mr_error why = MR_ERROR_INIT;
	struct io *io = p->img->io;
	struct seal_end end;
	uint64_t size;
	int rc = sealed_find(io, &end, &size, &why);

	*limit = io->size;
	if (rc > 0)
		rc = sealed_begins(io, size - end.length, &why);
	if (rc > 0)
		*limit = size - end.length;
	if (rc >= 0 || why.code != MR_SYS)
		return 0;
	*p->err = why;
	return -1;
}

/*
 * Looks for the description from here on: a footer, EOF, 06, a length, {.
 * Whatever lies behind it (a trailer) does not matter. The reader stays here.
 */
static int find_vmdesc(struct parse *p)
{
	static const uint8_t mark[] = { STREAM_EOF, STREAM_VMDESC };
	uint64_t start = mr_reader_tell(&p->r), end;
	int rc, tries = 0;

	if (vmdesc_limit(p, &end))
		return -1;
	if (end > start + VMDESC_REACH)
		end = start + VMDESC_REACH;
	while ((rc = seek_bytes(p, mark, sizeof(mark), end)) > 0) {
		const uint8_t *buf;
		ssize_t n =
			mr_reader_peek(&p->r, EOF_AND_VMDESC + 1, &buf, p->err);
		uint32_t len;

		if (n < 0)
			return -1;
		if (n <= EOF_AND_VMDESC)
			break;
		len = get_be32(buf + sizeof(mark));
		if (buf[EOF_AND_VMDESC] != '{' || len <= VMDESC_TEXT_NONE ||
		    len > VMDESC_TEXT_LIMIT ||
		    len > bytes_left(p) - EOF_AND_VMDESC) {
			mr_reader_skip(&p->r, 1);
			continue;
		}
		mr_reader_skip(&p->r, EOF_AND_VMDESC);
		if (parse_read_desc(p, mr_reader_tell(&p->r), len))
			return -1;
		if (p->img->desc.n || ++tries == VMDESC_TRIES)
			break;
	}
	reader_seek(&p->r, start);
	return rc < 0 ? -1 : 0;
}

void parse_use_desc(struct parse *p)
{
	const struct vmdesc *desc = &p->img->desc;

	p->looked_for_vmdesc = true;
	/* It begins with devices that came before memory. */
	for (size_t i = 0; i < p->info->n_sections; i++) {
		const struct mr_section *s = &p->img->sections[i];
		const struct vmdesc_device *d;

		if (s->type != MR_SECTION_FULL || p->desc_next == desc->n)
			continue;
		d = &desc->devices[p->desc_next];
		if (d->instance == s->instance && !strcmp(d->name, s->name))
			p->desc_next++;
	}
	if (!p->info->page_size_known &&
	    mapped_ram_page_size_ok(desc->page_size))
		parse_page_size(p, desc->page_size);
}

/* Whether the footer of section id is length bytes from here. */
static int footer_there(struct parse *p, uint32_t id, uint64_t length,
			bool *there)
{
	uint64_t start = mr_reader_tell(&p->r);
	const uint8_t *buf;
	struct fault f;
	ssize_t n;

	*there = false;
	if (length > bytes_left(p))
		return 0;
	mr_reader_skip(&p->r, length);
	n = mr_reader_peek(&p->r, STREAM_FOOTER_SIZE, &buf, p->err);
	if (n < 0)
		return -1;
	*there = stream_footer_decode(buf, (size_t)n, id, &f) >= 0;
	reader_seek(&p->r, start);
	return 0;
}

/* Without footers the description is all there is: the next device must begin
 * where it says, or after the last one the stream end. */
static int described_end(struct parse *p, const struct stream_element *e,
			 uint64_t *length)
{
	const struct vmdesc *desc = &p->img->desc;
	const struct vmdesc_device *d = &desc->devices[p->desc_next];
	uint64_t start = mr_reader_tell(&p->r);
	struct stream_element next;
	const uint8_t *buf;
	struct fault f;
	bool fits = false;
	ssize_t n;

	if (!desc->n)
		return no_footers(p, "no description of its devices");
	if (p->desc_next < desc->n && !strcmp(d->name, e->idstr) &&
	    d->instance == e->instance_id && d->size <= bytes_left(p)) {
		*length = d->size;
		p->desc_next++;
		mr_reader_skip(&p->r, *length);
		n = mr_reader_peek(&p->r, STREAM_ELEMENT_MAX, &buf, p->err);
		if (n < 0)
			return -1;
		n = stream_element_decode(buf, (size_t)n, &next, &f);
		d++;
		fits = n > 0 &&
		       (p->desc_next == desc->n
				? next.type == STREAM_EOF
				: next.type != STREAM_FULL ||
					  !strcmp(next.idstr, d->name));
		reader_seek(&p->r, start);
	}
	return fits ? 0
		    : error_set(p->err, MR_FORMAT, start,
				"section %" PRIu32 " \"%s\" does not end where "
				"the description says, nor has it a footer",
				e->section_id, e->idstr);
}

int parse_device_end(struct parse *p, const struct stream_element *e,
		     uint64_t *length, bool *described)
{
	const struct vmdesc *desc = &p->img->desc;
	const struct vmdesc_device *d;

	*described = false;
	/* Before memory there are only early devices, and the description is
	 * behind all of it. */
	if (!p->looked_for_vmdesc && p->info->n_blocks) {
		if (find_vmdesc(p))
			return -1;
		parse_use_desc(p);
	}
	if (p->footers == FOOTERS_NONE) {
		*described = true;
		return described_end(p, e, length);
	}
	if (p->desc_next < desc->n) {
		d = &desc->devices[p->desc_next];
		if (!strcmp(d->name, e->idstr) &&
		    d->instance == e->instance_id) {
			p->desc_next++;
			*length = d->size;
			if (footer_there(p, e->section_id, d->size, described))
				return -1;
			if (*described)
				return 0;
		}
	}
	return parse_find_footer(p, e->section_id, length);
}
