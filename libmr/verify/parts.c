/* parts.c - everything but pages against the seal. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmr/seal/proof.h"
#include "libmr/verify/state.h"

/* Of what a part is, and what is told of its pieces that differ. */
struct part {
	struct proof_part at;
	struct verify *v;
	void (*differs)(void *arg, uint64_t from, uint64_t to);
	struct verify_block *block;
};

static int check_part(struct part *p, struct mr_error *err)
{
	int rc = proof_compare(&p->v->seal, &p->at, p->differs, p, err);

	if (!rc)
		verify_tell_unreadable(p->v);
	return rc;
}

/* What could not be read there is told before it. */
static struct mr_finding bytes_finding(const struct part *p, uint64_t from,
				       uint64_t to, enum mr_finding_kind kind)
{
	verify_tell_unreadable(p->v);
	return (struct mr_finding){ .kind = kind,
				    .damage = true,
				    .block = p->block ? p->block->name : NULL,
				    .offset = p->at.offset + from,
				    .length = to - from };
}

static void front_differs(void *arg, uint64_t from, uint64_t to)
{
	const struct part *p = arg;
	struct verify *v = p->v;
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_FRONT);

	verify_tell(v, &f,
		    "libvirt's header differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64,
		    f.offset, f.offset + f.length - 1);
}

static void header_differs(void *arg, uint64_t from, uint64_t to)
{
	const struct part *p = arg;
	struct verify *v = p->v;
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_HEADER);

	verify_tell(v, &f,
		    "the header differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64,
		    f.offset, f.offset + f.length - 1);
}

static void bitmap_differs(void *arg, uint64_t from, uint64_t to)
{
	const struct part *p = arg;
	struct verify *v = p->v;
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_BITMAP);
	uint32_t piece = v->seal.head.piece_size;

	for (uint64_t i = from / piece; i * piece < to; i++)
		p->block->bad_pieces[i] = true;
	f.first = from * 8;
	f.pages = to * 8 < p->block->pages ? to * 8 - f.first
					   : p->block->pages - f.first;
	verify_tell(v, &f,
		    "the bitmap of pages %" PRIu64 "-%" PRIu64
		    " differs from the seal",
		    f.first, f.first + f.pages - 1);
}

/* The sections that these bytes of the file touch, as far as they are known:
 * " (sections a, b, ...)". */
static void name_sections(const struct mr_image_info *info, uint64_t from,
			  uint64_t to, char *buf, size_t size)
{
	size_t at = 0, n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < info->n_sections && n <= 3; i++) {
		const struct mr_section *s = &info->sections[i];

		/* "ram" reaches from the first block to the last. */
		if (s->offset >= to || s->offset + s->length <= from ||
		    s->type == MR_SECTION_START)
			continue;
		(void)snprintf(buf + at, size - at,
			       n == 3 ? ", ..." : "%s%.40s",
			       n ? ", " : " (section ", s->name);
		at = strlen(buf);
		n++;
	}
	if (n)
		(void)snprintf(buf + at, size - at, ")");
}

static void tail_differs(void *arg, uint64_t from, uint64_t to)
{
	const struct part *p = arg;
	struct verify *v = p->v;
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_TAIL);
	char sections[160];

	name_sections(v->info, f.offset, f.offset + f.length, sections,
		      sizeof(sections));
	verify_tell(v, &f,
		    "the device state differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64 "%s",
		    f.offset, f.offset + f.length - 1, sections);
}

static int check_block(struct verify *v, size_t i, struct mr_error *err)
{
	struct part header = { proof_header(&v->seal, i), v, header_differs,
			       &v->blocks[i] };
	struct part bitmap = { proof_bitmap(&v->seal, i), v, bitmap_differs,
			       &v->blocks[i] };

	return check_part(&header, err) || check_part(&bitmap, err) ? -1 : 0;
}

int verify_parts(struct verify *v, struct mr_error *err)
{
	struct part front = { proof_front(&v->seal), v, front_differs, NULL };
	struct part tail = { proof_tail(&v->seal), v, tail_differs, NULL };

	if (check_part(&front, err))
		return -1;
	for (size_t i = 0; i < v->n; i++)
		if (check_block(v, i, err))
			return -1;
	return check_part(&tail, err);
}
