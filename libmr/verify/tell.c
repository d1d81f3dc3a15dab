/* tell.c - what the parts of mr_verify tell the caller. */
#include "libmr/verify/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/mapped_ram.h"

void verify_tell(struct verify *v, struct mr_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	if (f->damage) {
		v->r->damages++;
		v->seen[f->kind] = true;
	} else {
		v->r->notes++;
	}
	if (v->o->found)
		v->o->found(v->o->arg, f);
}

/* Bytes of the file that a block has. */
struct area {
	const char *name;
	uint64_t entry, header_end, bitmap, bitmap_end, pages, pages_end;
};

/* Block i, of those in hand: at first only the parser's are. False: no more. */
static bool get_area(const struct verify *v, size_t i, struct area *a)
{
	if (v->info->has_pack)
		return false; /* a stream's places, not the file's */
	if (v->blocks && i < v->n) {
		const struct verify_block *b = &v->blocks[i];

		*a = (struct area){ b->name,
				    b->entry,
				    b->header_end,
				    b->bitmap_offset,
				    b->bitmap_offset + b->bitmap_size,
				    b->pages_offset,
				    b->pages_offset + b->length };
		return true;
	}
	if (!v->blocks && i < v->info->n_blocks) {
		const struct mr_block *b = &v->info->blocks[i];

		*a = (struct area){ b->name,
				    b->entry,
				    b->header + MAPPED_RAM_HEADER_SIZE,
				    b->bitmap_offset,
				    b->bitmap_offset + b->bitmap_size,
				    b->pages_offset,
				    b->pages_offset + b->length };
		return true;
	}
	return false;
}

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

static void tell_place(struct verify *v, uint64_t offset, uint64_t length)
{
	struct mr_finding f = { .kind = MR_FINDING_UNREADABLE,
				.damage = true,
				.offset = offset,
				.length = length };
	uint64_t end = offset + length;
	const char *what = "";
	struct area a;

	for (size_t i = 0; !f.block && get_area(v, i, &a); i++) {
		bool header = overlap(offset, end, a.entry, a.header_end);
		bool bitmap = overlap(offset, end, a.bitmap, a.bitmap_end);

		if (offset >= a.pages && end <= a.pages_end)
			return; /* read by the way: pages are the scan's */
		if (header || bitmap)
			f.block = a.name;
		what = header && bitmap ? ", in its header and bitmap,"
		       : header		? ", in its header,"
		       : bitmap		? ", in its bitmap,"
					: "";
	}
	verify_tell(v, &f, "bytes %" PRIu64 "-%" PRIu64 "%s cannot be read: %s",
		    offset, end - 1, what, strerrordesc_np(v->salvage.error));
}

void verify_tell_unreadable(struct verify *v)
{
	uint64_t offset, length;

	while (salvage_next(&v->salvage, &offset, &length))
		tell_place(v, offset, length);
}

void verify_did(struct verify *v, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	v->r->changed = true;
	if (!v->o->did)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	v->o->did(v->o->arg, line);
}
