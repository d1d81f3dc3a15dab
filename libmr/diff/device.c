/* device.c - device sections, matched by name and instance. */
#include <stdlib.h>
#include <string.h>

#include "libmr/diff/state.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"

#define PIECE ((size_t)64 << 10)

/* A device section of one side, to be sorted. */
struct entry {
	const struct mr_section *s;
	size_t at; /* among the side's devices */
	size_t nth; /* of this name and instance: twice is odd, but is told */
};

struct list {
	struct entry *e;
	size_t n;
};

static int by_key(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int c = strcmp(a->s->name, b->s->name);

	if (!c)
		c = (a->s->instance > b->s->instance) -
		    (a->s->instance < b->s->instance);
	if (!c)
		c = (a->nth > b->nth) - (a->nth < b->nth);
	return c;
}

static int by_place(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	return (a->at > b->at) - (a->at < b->at);
}

static bool same_device(const struct entry *a, const struct entry *b)
{
	return a->s->instance == b->s->instance &&
	       !strcmp(a->s->name, b->s->name);
}

/* The side's device sections, sorted by name, instance and order. */
static int list_devices(struct list *l, const struct mr_image *img,
			struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);

	l->e = calloc(info->n_sections + 1, sizeof(*l->e));
	if (!l->e)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_sections; i++)
		if (info->sections[i].type == MR_SECTION_FULL) {
			l->e[l->n].s = &info->sections[i];
			l->e[l->n].at = l->n;
			/* Until it is counted: keeps the order. */
			l->e[l->n].nth = l->n;
			l->n++;
		}
	qsort(l->e, l->n, sizeof(*l->e), by_key);
	for (size_t i = 0; i < l->n; i++)
		l->e[i].nth = i && same_device(&l->e[i], &l->e[i - 1])
				      ? l->e[i - 1].nth + 1
				      : 0;
	return 0;
}

static void set_side(struct mr_diff *d, size_t i, enum mr_side side,
		     const struct entry *e)
{
	struct mr_diff_section *out = &d->sections[i];
	const struct mr_section *s = e->s;

	d->section_at[i][side] = e->at;
	out->name = s->name;
	out->instance = s->instance;
	out->of[side].listed = true;
	out->of[side].version = s->version;
	out->of[side].offset = s->offset + s->header;
	out->of[side].length = s->payload;
}

/* In the order of A, then those of B alone in theirs. */
static int match(struct mr_diff *d, struct list l[MR_SIDES],
		 struct mr_error *err)
{
	struct list *a = &l[MR_A], *b = &l[MR_B];
	size_t n = 0, i = 0, j = 0, alone = 0;

	d->sections = calloc(a->n + b->n + 1, sizeof(*d->sections));
	d->section_at = calloc(a->n + b->n + 1, sizeof(*d->section_at));
	if (!d->sections || !d->section_at)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	while (i < a->n || j < b->n) {
		int c = i == a->n   ? 1
			: j == b->n ? -1
				    : by_key(&a->e[i], &b->e[j]);

		if (c <= 0)
			set_side(d, a->e[i].at, MR_A, &a->e[i]);
		if (c == 0)
			set_side(d, a->e[i].at, MR_B, &b->e[j]);
		if (c > 0)
			b->e[alone++] = b->e[j];
		i += c <= 0;
		j += c >= 0;
	}
	qsort(b->e, alone, sizeof(*b->e), by_place);
	for (n = 0; n < alone; n++)
		set_side(d, a->n + n, MR_B, &b->e[n]);
	d->info.n_sections = a->n + alone;
	d->info.sections = d->sections;
	return 0;
}

/* Bytes that differ, as they are found. */
struct finding {
	struct mr_diff_section *s;
	struct mr_diff_bytes *bytes, *last;
	size_t n, room;
};

static int add_byte(struct finding *f, uint64_t offset, struct mr_error *err)
{
	struct mr_diff_section *s = f->s;
	struct mr_diff_bytes *last = f->last;

	s->differing++;
	if (last && last->offset + last->length == offset) {
		last->length++;
		return 0;
	}
	if (grow(&f->bytes, &f->room, f->n, sizeof(*f->bytes)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	s->bytes = f->bytes;
	f->last = &f->bytes[f->n++];
	s->n_bytes = f->n;
	*f->last = (struct mr_diff_bytes){ .offset = offset, .length = 1 };
	return 0;
}

static int compare_section(const struct mr_image *img[MR_SIDES],
			   struct mr_diff_section *s, uint8_t *buf[MR_SIDES],
			   struct mr_error *err)
{
	uint64_t common = s->of[MR_A].length;
	struct finding f = { .s = s };

	if (common > s->of[MR_B].length)
		common = s->of[MR_B].length;
	for (uint64_t at = 0; at < common;) {
		size_t n = common - at < PIECE ? (size_t)(common - at) : PIECE;

		for (int i = 0; i < MR_SIDES; i++)
			if (io_read_full(img[i]->io, buf[i], n,
					 s->of[i].offset + at, err))
				return -1;
		if (memcmp(buf[MR_A], buf[MR_B], n) != 0)
			for (size_t k = 0; k < n; k++)
				if (buf[MR_A][k] != buf[MR_B][k] &&
				    add_byte(&f, at + k, err))
					return -1;
		at += n;
	}
	s->same = !s->n_bytes && s->of[MR_A].length == s->of[MR_B].length &&
		  s->of[MR_A].version == s->of[MR_B].version;
	return 0;
}

static int compare_all(struct mr_diff *d, const struct mr_image *img[MR_SIDES],
		       struct mr_error *err)
{
	uint8_t *buf[MR_SIDES] = { malloc(PIECE), malloc(PIECE) };
	int rc = 0;

	if (!buf[MR_A] || !buf[MR_B])
		rc = error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; !rc && i < d->info.n_sections; i++) {
		struct mr_diff_section *s = &d->sections[i];

		if (s->of[MR_A].listed && s->of[MR_B].listed)
			rc = compare_section(img, s, buf, err);
	}
	free(buf[MR_A]);
	free(buf[MR_B]);
	return rc;
}

int diff_devices(struct mr_diff *d, struct mr_error *err)
{
	const struct mr_image *img[MR_SIDES];
	struct list l[MR_SIDES] = { [MR_A].n = 0 };
	int rc = 0;

	for (int i = 0; !rc && i < MR_SIDES; i++) {
		img[i] = mr_ram_devices(d->side[i], err);
		rc = img[i] ? list_devices(&l[i], img[i], err) : -1;
	}
	if (!rc)
		rc = match(d, l, err) || compare_all(d, img, err) ? -1 : 0;
	d->info.has_sections = !rc;
	free(l[MR_A].e);
	free(l[MR_B].e);
	return rc;
}

void diff_devices_release(struct mr_diff *d)
{
	for (size_t i = 0; d->sections && i < d->info.n_sections; i++)
		free((void *)(uintptr_t)d->sections[i].bytes);
	free(d->sections);
	free(d->section_at);
	d->sections = NULL;
	d->section_at = NULL;
}
