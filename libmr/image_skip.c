/*
 * image_skip.c - from the block list of a plain stream straight to its device
 * sections, past memory that may be hundreds of gigabytes.
 *
 * The description is at the end of the file. It says how long each device
 * section is, and so where the first of them begins, if they are all there is
 * behind memory. That is checked from both sides: memory must end right
 * before, and a device section of that name must begin. From there on the
 * stream is read as always.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/ram.h"
#include "libmr/error.h"
#include "libmr/image.h"
#include "libmr/vmdesc.h"

/* Of the file's end: each is read if the description is not within the one
 * before. */
static const size_t tails[] = { (size_t)256 << 10, (size_t)2 << 20,
				VMDESC_TEXT_LIMIT + ((size_t)1 << 20) };
#define TAILS (sizeof(tails) / sizeof(tails[0]))

enum {
	MARK = 1 + STREAM_VMDESC_HEADER_SIZE, /* EOF, 06, length */
	FULL_HEADER = 1 + 4 + 1 + 4 + 4, /* and the name */
	MEMORY_END = 8 + STREAM_FOOTER_SIZE, /* EOS and a footer */
};

/* The description that begins behind tail[at], if one does. */
static int try_desc(struct parse *p, const uint8_t *tail, size_t len, size_t at,
		    uint64_t base)
{
	struct mr_error err = MR_ERROR_INIT;
	uint32_t n;

	if (len - at <= MARK || tail[at] != STREAM_EOF ||
	    tail[at + 1] != STREAM_VMDESC || tail[at + MARK] != '{')
		return 0;
	n = get_be32(tail + at + 2);
	if (n > len - at - MARK || n > VMDESC_TEXT_LIMIT)
		return 0;
	if (!vmdesc_read(&p->desc, (const char *)tail + at + MARK, n,
			 base + at + MARK, &err) &&
	    p->desc.n)
		return 1;
	vmdesc_release(&p->desc);
	if (err.code != MR_NOMEM)
		return 0;
	*p->err = err;
	return -1;
}

/* The last description of the file: p->desc, and where the EOF before it is.
 * 1; 0: there is none; -1. */
static int find_desc(struct parse *p, size_t len, uint64_t *eof)
{
	uint64_t base = p->img->io->size - len;
	uint8_t *tail = malloc(len + 1), *mark;
	size_t left = len;
	int rc = 0;

	if (!tail)
		return mr_fail(p->err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (mr_io_read_full(p->img->io, tail, len, base, p->err))
		rc = -1;
	/* A description has no such byte. */
	while (!rc && (mark = memrchr(tail, STREAM_VMDESC, left)) &&
	       mark > tail) {
		left = (size_t)(mark - tail);
		rc = try_desc(p, tail, len, left - 1, base);
		*eof = base + left - 1;
	}
	free(tail);
	return rc;
}

/* Bytes of the device sections from d on. */
static uint64_t sections_size(const struct vmdesc *desc, size_t d)
{
	uint64_t sum = 0;

	for (; d < desc->n; d++)
		sum += FULL_HEADER + strlen(desc->devices[d].name) +
		       desc->devices[d].size + STREAM_FOOTER_SIZE;
	return sum;
}

/* Whether memory ends at this byte, and the device begins. 1, 0 or -1. */
static int fits(struct parse *p, uint64_t at, const struct vmdesc_device *d)
{
	uint8_t buf[MEMORY_END + STREAM_ELEMENT_MAX];
	struct stream_element e;
	struct fault f;
	ssize_t n = mr_io_read_upto(p->img->io, buf, sizeof(buf),
				    at - MEMORY_END, p->err);

	if (n < 0)
		return -1;
	if (n < MEMORY_END || get_be64(buf) != RAM_EOS ||
	    buf[8] != STREAM_FOOTER)
		return 0;
	if (stream_element_decode(buf + MEMORY_END, (size_t)n - MEMORY_END, &e,
				  &f) < 0)
		return 0;
	return e.type == STREAM_FULL && !strcmp(e.idstr, d->name) &&
	       e.instance_id == d->instance;
}

int parse_skip_memory(struct parse *p)
{
	uint64_t here = mr_reader_tell(&p->r), left, eof = 0, sum;
	int rc = 0;

	left = p->img->io->size > here ? p->img->io->size - here : 0;
	for (size_t i = 0; i < TAILS && !rc && (!i || left > tails[i - 1]); i++)
		rc = find_desc(p, left < tails[i] ? (size_t)left : tails[i],
			       &eof);
	if (rc <= 0)
		return rc;
	parse_use_desc(p);
	sum = sections_size(&p->desc, p->desc_next);
	if (p->desc_next == p->desc.n || eof < here || sum > eof - here ||
	    eof - sum - here < MEMORY_END)
		return 0;
	rc = fits(p, eof - sum, &p->desc.devices[p->desc_next]);
	if (rc <= 0)
		return rc;
	p->info->skipped = eof - sum - here;
	mr_reader_seek(&p->r, eof - sum);
	return 0;
}
