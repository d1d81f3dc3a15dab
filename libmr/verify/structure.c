/* structure.c - does the stream follow its format, and mapped-ram's
 * rules. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/mapped_ram.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/verify/state.h"

/* The rules of mapped-ram under check. */
struct layout {
	struct verify *v;
	bool told_damage_at; /* the parser's damage is among what was told */
	bool broken; /* places can't be trusted */
};

/* Flaws that leave it clear where everything is. */
static bool places_hold(enum mapped_ram_flaw flaw)
{
	return flaw == MAPPED_RAM_BAD_VERSION || flaw == MAPPED_RAM_PAGES_ODD ||
	       flaw == MAPPED_RAM_PAST_END ||
	       flaw == MAPPED_RAM_PAGE_PAST_END ||
	       flaw == MAPPED_RAM_STRAY_BITS;
}

static int tell_flaw(void *arg, const struct mapped_ram_report *r)
{
	struct layout *l = arg;
	const struct mr_image_info *info = l->v->info;
	struct mr_finding f = { .kind = MR_FINDING_LAYOUT,
				.damage = !r->loads,
				.offset = r->at };

	if (r->block < info->n_blocks)
		f.block = info->blocks[r->block].name;
	if (info->damage.offset == r->at)
		l->told_damage_at = true;
	if (!places_hold(r->flaw))
		l->broken = true;
	verify_tell(l->v, &f, "%s (%" PRIu64 ", not %" PRIu64 ")", r->what,
		    r->value, r->want);
	return 0;
}

static void fill_block(struct mapped_ram_block *out, const struct mr_block *b,
		       uint32_t page_size)
{
	*out = (struct mapped_ram_block){
		.name = b->name,
		.used_length = b->length,
		.entry = b->entry,
		.header = b->header,
		.h = { .version = MAPPED_RAM_VERSION,
		       .page_size = page_size,
		       .bitmap_offset = b->bitmap_offset,
		       .pages_offset = b->pages_offset },
	};
}

/* What a block's bitmap holds; *have: false if the file ends inside it. */
static int count_bits(struct verify *v, const struct mr_block *b,
		      struct mapped_ram_tally *t, bool *have,
		      struct mr_error *err)
{
	struct mr_error e = MR_ERROR_INIT;
	struct mr_block_use use;

	*have = b->in_file;
	if (!b->in_file)
		return 0;
	if (mr_image_use(v->img, b, &use, &e)) {
		*have = false;
		if (e.code == MR_SHORT)
			return 0;
		*err = e;
		return -1;
	}
	*t = (struct mapped_ram_tally){ .pages = use.present,
					.present_end = use.present_end,
					.stray = use.stray };
	v->present += use.present;
	v->stray += use.stray;
	return 0;
}

static int check_layout(struct verify *v, struct layout *l,
			struct mr_error *err)
{
	const struct mr_image_info *info = v->info;
	size_t n = info->n_blocks;
	struct mapped_ram_block *b = calloc(n + 1, sizeof(*b));
	struct mapped_ram_tally *t = calloc(n + 1, sizeof(*t));
	struct mapped_ram_list list = {
		.blocks = b,
		.n = n,
		.page_size = info->page_size_known ? info->page_size : 0,
		.file_size = info->file_size,
		.ignore_shared = info->ignore_shared,
	};
	int rc = -1;

	if (!b || !t) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		bool have;

		fill_block(&b[i], &info->blocks[i], info->page_size);
		list.total += b[i].used_length;
		if (count_bits(v, &info->blocks[i], &t[i], &have, err))
			goto out;
		if (have)
			b[i].tally = &t[i];
		else if (info->blocks[i].in_file)
			l->broken = true;
	}
	/* The parser saw to it that a whole list adds up; one that broke off
	 * does not, and is told already. */
	l->broken = l->broken || list.total != info->ram;
	if (n)
		(void)mapped_ram_check(&list, tell_flaw, l);
	rc = 0;
out:
	free(b);
	free(t);
	return rc;
}

/* Sections are the same device's if name and instance are. */
static int same_device(const struct mr_section *x, const struct mr_section *y)
{
	int cmp = strcmp(x->name, y->name);

	if (!cmp && x->instance != y->instance)
		cmp = x->instance < y->instance ? -1 : 1;
	return cmp;
}

/* In the order of the file among themselves. */
static int by_device(const void *a, const void *b, void *sections)
{
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	const struct mr_section *s = sections;
	int cmp = same_device(&s[i], &s[k]);

	return cmp ? cmp : i < k ? -1 : i > k;
}

static void tell_twice(struct verify *v, const struct mr_section *s)
{
	struct mr_finding f = { .kind = MR_FINDING_STREAM,
				.damage = true,
				.offset = s->offset,
				.length = s->length };

	verify_tell(v, &f, "device %s, instance %" PRIu32 ", comes twice",
		    s->name, s->instance);
}

/* Each device comes once: a second FULL would be loaded over the first. */
static int check_devices(struct verify *v, struct mr_error *err)
{
	const struct mr_image_info *info = v->info;
	struct mr_section *s = v->img->sections;
	size_t *order = calloc(info->n_sections + 1, sizeof(*order)), n = 0;

	if (!order)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_sections; i++)
		if (s[i].type == MR_SECTION_FULL)
			order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_device, s);
	for (size_t i = 1; i < n; i++)
		if (!same_device(&s[order[i - 1]], &s[order[i]]))
			tell_twice(v, &s[order[i]]);
	if (!n && info->ended) {
		struct mr_finding f = { .kind = MR_FINDING_STREAM,
					.offset = info->stream_end };

		verify_tell(v, &f, "there is no device state");
	}
	free(order);
	return 0;
}

/* QEMU does not read the description, but people's tools do: no damage. */
static void check_description(struct verify *v)
{
	const struct mr_image_info *info = v->info;
	struct mr_finding f = { .kind = MR_FINDING_STREAM,
				.offset = info->vmdesc_offset,
				.length = info->vmdesc_length };
	const char *first = NULL;
	size_t n = 0, wrong = 0;
	bool early = true;

	/* Early devices are described, but nothing was compared for them; an
	 * empty text ("", "{}") describes nothing. */
	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];

		early = early && s->type != MR_SECTION_START;
		if (early || s->type != MR_SECTION_FULL)
			continue;
		n++;
		if (!s->described && !wrong++)
			first = s->name;
	}
	if (!wrong || !info->ended || info->vmdesc_length <= 2)
		return;
	verify_tell(v, &f,
		    "%zu of %zu devices are not as the vmdescription says "
		    "(first: %.60s)",
		    wrong, n, first);
}

/* What a restored VM does; QEMU refuses a state that it cannot read. */
static void check_run_state(struct verify *v)
{
	const struct mr_image_info *info = v->info;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *s = &info->sections[i];
		struct mr_finding f = { .kind = MR_FINDING_STREAM,
					.damage = true,
					.offset = s->offset,
					.length = s->length };

		if (s->type == MR_SECTION_FULL && !info->run_state[0] &&
		    !strcmp(s->name, STREAM_GLOBALSTATE))
			verify_tell(v, &f, "the run state cannot be read");
	}
}

static void tell_damage(struct verify *v)
{
	const struct mr_error *e = &v->info->damage;
	struct mr_finding f = { .kind = MR_FINDING_STREAM,
				.damage = true,
				.offset = e->offset };

	/* Not even its stream could be found. */
	if (v->info->has_pack && !v->img->packed)
		f.kind = MR_FINDING_PACK;
	verify_tell(v, &f, "%s", e->msg);
}

int verify_structure(struct verify *v, struct mr_error *err)
{
	const struct mr_image_info *info = v->info;
	struct layout l = { .v = v };

	if (info->kind == MR_IMAGE_FOREIGN) {
		struct mr_finding f = { .kind = MR_FINDING_FOREIGN,
					.damage = true };

		verify_tell(v, &f, "not an image%s%s",
			    info->other ? ", but "
					: ": it begins with nothing that we "
					  "know",
			    info->other ? info->other : "");
		return 0;
	}
	if (info->has_libvirt && info->libvirt.format &&
	    !info->libvirt.complete) {
		struct mr_finding f = { .kind = MR_FINDING_INTERRUPTED,
					.damage = true,
					.offset = MR_NO_OFFSET };

		verify_tell(v, &f, "libvirt says that the save did not end");
	}
	if (info->kind == MR_IMAGE_MAPPED) {
		if (check_layout(v, &l, err))
			return -1;
		v->layout_ok = info->n_blocks && !l.broken;
	}
	if (info->damage.code != MR_OK && info->damage.code != MR_UNSUPPORTED &&
	    !l.told_damage_at)
		tell_damage(v);
	check_description(v);
	check_run_state(v);
	return check_devices(v, err);
}
