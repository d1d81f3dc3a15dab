/*
 * skip.c - from the block list of a plain stream straight to its device
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
#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "libmr/base/error.h"
#include "libmr/image/parse.h"

/* The file's end is read from back to front, in pieces of this size, until the
 * description is there; it is not looked for farther than this. */
#define PIECE ((size_t)64 << 10)
#define REACH (VMDESC_TEXT_LIMIT + ((size_t)1 << 20))

enum {
	MARK = 1 + STREAM_VMDESC_HEADER_SIZE, /* EOF, 06, length */
	FULL_HEADER = 1 + 4 + 1 + 4 + 4, /* and the name */
	MEMORY_END = 8 + STREAM_FOOTER_SIZE, /* EOS and a footer */
};

/* The description behind the n bytes at tail, where the file ends, if there
 * is one: img->desc. 1, 0 or -1. */
static int try_desc(struct parse *p, uint8_t *tail, size_t n)
{
	uint64_t offset = p->img->io->size - n + MARK;
	struct mr_error err = MR_ERROR_INIT;
	struct vmdesc *desc = &p->img->desc;
	uint32_t len;

	if (n <= MARK || tail[0] != STREAM_EOF || tail[1] != STREAM_VMDESC ||
	    tail[MARK] != '{')
		return 0;
	len = get_be32(tail + 2);
	if (len > n - MARK || len > VMDESC_TEXT_LIMIT)
		return 0;
	if (!vmdesc_read(desc, (char *)tail + MARK, len, offset, &err) &&
	    desc->n)
		return 1;
	vmdesc_release(desc);
	if (err.code != MR_NOMEM)
		return 0;
	*p->err = err;
	return -1;
}

/* The last description of the file's last n bytes: img->desc, and where the
 * EOF before it is. 1; 0: there is none; -1. */
static int find_desc(struct parse *p, size_t n, uint64_t *eof)
{
	uint64_t size = p->img->io->size;
	uint8_t *buf = malloc(n + 1), *end, *from, *to, *mark;
	int rc = 0;

	if (!buf)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	from = to = end = buf + n;
	while (from > buf && !rc) {
		size_t left = (size_t)(from - buf);

		from -= left < PIECE ? left : PIECE;
		rc = io_read_full(p->img->io, from, left < PIECE ? left : PIECE,
				  size - (size_t)(end - from), p->err);
		/* A description has no such byte, and this one has another
		 * before it. */
		while (!rc && (mark = memrchr(from + 1, STREAM_VMDESC,
					      (size_t)(to - from) - 1))) {
			to = mark;
			*eof = size - (size_t)(end - mark) - 1;
			rc = try_desc(p, mark - 1, (size_t)(end - mark) + 1);
		}
		to = from + 1;
	}
	if (rc > 0)
		p->img->desc.memory = buf;
	else
		free(buf);
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

/* Whether memory ends at this byte, where the reader will be, and the device
 * begins. 1, 0 or -1. */
static int fits(struct parse *p, uint64_t at, const struct vmdesc_device *d)
{
	const uint8_t *buf;
	struct stream_element e;
	struct fault f;
	ssize_t n;

	reader_seek(&p->r, at - MEMORY_END);
	n = mr_reader_peek(&p->r, MEMORY_END + STREAM_ELEMENT_MAX, &buf,
			   p->err);
	if (n < 0)
		return -1;
	if (n < MEMORY_END || get_be64(buf) != RAM_EOS ||
	    buf[8] != STREAM_FOOTER)
		return 0;
	if (stream_element_decode(buf + MEMORY_END, (size_t)n - MEMORY_END, &e,
				  &f) < 0)
		return 0;
	mr_reader_skip(&p->r, MEMORY_END);
	return e.type == STREAM_FULL && !strcmp(e.idstr, d->name) &&
	       e.instance_id == d->instance;
}

int parse_find_page_size(struct parse *p)
{
	uint64_t here = mr_reader_tell(&p->r), left, eof;
	struct vmdesc *desc = &p->img->desc;
	int rc;

	if (p->info->page_size_known || p->info->mapped_ram)
		return 0;
	if (p->img->packed) {
		parse_page_size(p, p->img->packed->label.page_size);
		return 0;
	}
	left = p->img->io->size > here ? p->img->io->size - here : 0;
	rc = find_desc(p, left < REACH ? (size_t)left : REACH, &eof);
	if (rc > 0 && mapped_ram_page_size_ok(desc->page_size))
		parse_page_size(p, desc->page_size);
	/* What it says of devices is read when they come. */
	vmdesc_release(desc);
	return rc < 0 ? -1 : 0;
}

int parse_skip_memory(struct parse *p)
{
	const struct vmdesc *desc = &p->img->desc;
	uint64_t here = mr_reader_tell(&p->r), left, eof = 0, sum;
	int rc;

	if (p->footers == FOOTERS_NONE)
		return 0;
	left = p->img->io->size > here ? p->img->io->size - here : 0;
	rc = find_desc(p, left < REACH ? (size_t)left : REACH, &eof);
	if (rc <= 0)
		return rc;
	parse_use_desc(p);
	sum = sections_size(desc, p->desc_next);
	if (p->desc_next == desc->n || eof < here || sum > eof - here ||
	    eof - sum - here < MEMORY_END)
		return 0;
	rc = fits(p, eof - sum, &desc->devices[p->desc_next]);
	if (rc > 0)
		p->info->skipped = eof - sum - here;
	else
		reader_seek(&p->r, here);
	return rc < 0 ? -1 : 0;
}
