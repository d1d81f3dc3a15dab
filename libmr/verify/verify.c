/* verify.c - the verb mr_verify: open, look, judge, mend. */
#include "libmr/verify/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/mapped_ram.h"
#include "libmr/file/expand.h"
#include "libmr/engine/crew.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"
#include "libmr/image/mark.h"
#include "libmr/base/watch.h"

/* Bounds what a hostile file makes us allocate. */
#define EXTENTS_LIMIT (MR_MEMORY_MAX >> 20)

const char *mr_finding_kind_name(enum mr_finding_kind kind)
{
	static const char *const names[MR_FINDINGS] = {
		[MR_FINDING_UNREADABLE] = "unreadable",
		[MR_FINDING_FOREIGN] = "foreign",
		[MR_FINDING_STREAM] = "stream",
		[MR_FINDING_LAYOUT] = "layout",
		[MR_FINDING_TRAILING] = "trailing",
		[MR_FINDING_INTERRUPTED] = "interrupted",
		[MR_FINDING_BACKGROUND] = "background-snapshot",
		[MR_FINDING_BLANK] = "blank",
		[MR_FINDING_MISSING] = "missing",
		[MR_FINDING_STALE] = "stale",
		[MR_FINDING_WASTE] = "waste",
		[MR_FINDING_DOUBTFUL] = "doubtful",
		[MR_FINDING_NO_SEAL] = "no-seal",
		[MR_FINDING_SEAL] = "seal",
		[MR_FINDING_FRONT] = "front",
		[MR_FINDING_HEADER] = "header",
		[MR_FINDING_BITMAP] = "bitmap",
		[MR_FINDING_PAGES] = "pages",
		[MR_FINDING_TAIL] = "tail",
		[MR_FINDING_PACK] = "pack",
	};

	return names[kind];
}

/* ---- the seal ---- */

static void tell_no_seal(struct verify *v)
{
	struct mr_finding f = { .kind = MR_FINDING_NO_SEAL,
				.damage = v->o->need_seal,
				.offset = MR_NO_OFFSET };

	if (!v->o->seal)
		verify_tell(v, &f,
			    "no seal: only the structure can be checked");
}

static void tell_bad_seal(struct verify *v, uint64_t at, const char *what)
{
	struct mr_finding f = { .kind = MR_FINDING_SEAL,
				.damage = true,
				.offset = at };

	verify_tell(v, &f, "%s", what);
}

/* No seal ends the file: does one begin where the stream ends, or is there
 * something else? */
static int look_behind(struct verify *v, struct mr_error *err)
{
	uint64_t at = v->info->stream_end;
	struct mr_finding f = { .kind = MR_FINDING_TRAILING,
				.offset = at,
				.length = v->info->trailing };
	int begins;

	if (!v->info->ended || !v->info->trailing) {
		tell_no_seal(v);
		return 0;
	}
	begins = sealed_begins(v->img->io, at, err);
	if (begins < 0)
		return -1;
	if (begins) {
		v->stream_end = at;
		tell_bad_seal(v, at,
			      "the seal is damaged or cut off: its "
			      "end is lost");
		return 0;
	}
	/* What is not zero was told as damage of the stream. */
	if (v->info->damage.code == MR_OK)
		verify_tell(v, &f, "%" PRIu64 " zero bytes behind the stream",
			    f.length);
	tell_no_seal(v);
	return 0;
}

static int find_seal(struct verify *v, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	int begins, rc;

	v->stream_end = v->info->file_size;
	rc = sealed_open(&v->seal, v->img->io, &why);
	if (rc > 0) {
		v->has_seal = v->r->sealed = true;
		v->stream_end = v->seal.head.seal_offset;
		return 0;
	}
	if (rc == 0)
		return v->info->kind == MR_IMAGE_FOREIGN ? 0
							 : look_behind(v, err);
	if (why.code != MR_FORMAT && why.code != MR_SHORT) {
		*err = why;
		return -1;
	}
	tell_bad_seal(v, why.offset, why.msg);
	begins = sealed_begins(v->img->io, v->info->stream_end, err);
	if (begins > 0)
		v->stream_end = v->info->stream_end;
	return begins < 0 ? -1 : 0;
}

/* ---- blocks ---- */

static void block_from_seal(struct verify_block *b, const struct seal_block *s)
{
	*b = (struct verify_block){
		.name = s->name,
		.entry = s->header_start,
		.header_end = s->header_end,
		.bitmap_offset = s->bitmap_offset,
		.bitmap_size = s->bitmap_size,
		.pages_offset = s->pages_offset,
		.length = s->bitmap_size ? s->used_length : 0,
		.listed = s->used_length,
	};
}

static void block_from_image(struct verify_block *b, const struct mr_block *m)
{
	*b = (struct verify_block){
		.name = m->name,
		.entry = m->entry,
		.header_end = m->header + MAPPED_RAM_HEADER_SIZE,
		.bitmap_offset = m->bitmap_offset,
		.bitmap_size = m->bitmap_size,
		.pages_offset = m->pages_offset,
		.length = m->in_file ? m->length : 0,
		.listed = m->length,
	};
}

static void block_from_pack(struct verify_block *b,
			    const struct packed_block *p)
{
	*b = (struct verify_block){ .name = p->name,
				    .entry = MR_NO_OFFSET,
				    .length = p->b.length,
				    .listed = p->b.length };
}

static int allocate(struct verify *v, struct verify_block *b)
{
	b->pages = mapped_ram_num_pages(b->length, v->page_size);
	b->n_extents = (size_t)seal_pieces(b->length, (uint32_t)v->extent_size);
	b->extents = zeros_new(b->n_extents * sizeof(*b->extents));
	if (!b->extents)
		return -1;
	b->odd_words = (size_t)(b->pages / 64 + 1);
	for (int i = 0; i < VERIFY_ODDS; i++) {
		b->odd[i] = zeros_new(b->odd_words * sizeof(*b->odd[i]));
		if (!b->odd[i])
			return -1;
	}
	if (v->has_seal) {
		b->n_pieces = (size_t)seal_pieces(b->bitmap_size,
						  v->seal.head.piece_size);
		b->bad_pieces = zeros_new(b->n_pieces);
		if (!b->bad_pieces)
			return -1;
	}
	if (!v->fix)
		return 0;
	b->nwords = (size_t)(b->bitmap_size / sizeof(*b->bits));
	b->bits = zeros_new(b->nwords * sizeof(*b->bits));
	b->table = zeros_new(b->pages * sizeof(*b->table));
	return b->bits && b->table ? 0 : -1;
}

/* The blocks out of the seal, which is known to be whole, or the pack's index,
 * or the image. */
static int take_blocks(struct verify *v, struct mr_error *err)
{
	const struct packed *p = v->img->packed;
	size_t n = v->has_seal ? v->seal.head.blocks
		   : p	       ? p->head.blocks
			       : v->info->n_blocks;
	uint64_t extents = 0;

	v->blocks = calloc(n + 1, sizeof(*v->blocks));
	if (!v->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	v->n = n;
	if (v->has_seal) {
		v->page_size = v->seal.head.page_size;
		v->extent_size = v->seal.head.extent_size;
		v->tail_offset = v->seal.head.tail_offset;
	} else if (p) {
		v->page_size = p->label.page_size;
		v->extent_size = p->label.extent_size;
	} else {
		v->page_size = v->info->page_size;
		v->extent_size = crew_extent_size(v->page_size);
	}
	for (size_t i = 0; i < n; i++) {
		struct verify_block *b = &v->blocks[i];

		if (v->has_seal)
			block_from_seal(b, &v->seal.blocks[i]);
		else if (p)
			block_from_pack(b, &p->blocks[i]);
		else
			block_from_image(b, &v->info->blocks[i]);
		extents += b->length / v->extent_size + 1;
		if (extents > EXTENTS_LIMIT)
			return error_set(err, MR_UNSUPPORTED, b->entry,
					 MR_MEMORY_MAX_TEXT);
		if (!v->has_seal)
			v->tail_offset = b->length ? b->pages_offset + b->length
						   : b->header_end;
		if (allocate(v, b))
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for block %s", b->name);
	}
	return 0;
}

static void release(struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct verify_block *b = &v->blocks[i];

		zeros_free(b->extents, b->n_extents * sizeof(*b->extents));
		zeros_free(b->bad_pieces, b->n_pieces);
		for (int k = 0; k < VERIFY_ODDS; k++)
			zeros_free(b->odd[k],
				   b->odd_words * sizeof(*b->odd[k]));
		zeros_free(b->bits, b->nwords * sizeof(*b->bits));
		zeros_free(b->table, b->pages * sizeof(*b->table));
	}
	free(v->blocks);
	verify_repair_close(v);
	sealed_release(&v->seal);
	mr_image_free(v->img);
	salvage_release(&v->salvage);
}

/* ---- the verb ---- */

static int check_options(const struct mr_verify_options *o,
			 struct mr_error *err)
{
	bool part = o->subsets || o->subset_bytes;

	if (o->subsets && (o->subset < 1 || o->subset > o->subsets))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "there is no subset %u of %u", o->subset,
				 o->subsets);
	if (part && (o->repair || o->seal))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "repair and seal look at everything");
	if (o->output && !o->repair && !o->seal)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "an output without repair or seal");
	return 0;
}

/* Which part of the pages is looked at. */
static void choose_subset(struct verify *v)
{
	const struct mr_verify_options *o = v->o;
	uint64_t n = 0;

	v->r->subset = o->subset;
	v->r->subsets = o->subsets;
	if (!o->subset_bytes)
		return;
	n = v->r->data / o->subset_bytes + (v->r->data % o->subset_bytes != 0);
	if (n < 2)
		return; /* all of it fits */
	v->r->subsets = n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
	v->r->subset = (unsigned)(o->turn % v->r->subsets) + 1;
}

/* Pages that the bitmaps have, where the parser could not count them. */
static int count_data(struct verify *v, struct mr_error *err)
{
	uint64_t words[2048], pages = 0;

	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];
		uint64_t total = b->bitmap_size / sizeof(*words), n;
		struct mapped_ram_tally t = { 0 };

		for (uint64_t at = 0; at < total; at += n) {
			n = sizeof(words) / sizeof(*words);
			if (n > total - at)
				n = total - at;
			if (verify_words(v, b, at, words, (size_t)n, err))
				return -1;
			mapped_ram_tally_add(&t, b->pages, at * 64, words,
					     (size_t)n);
		}
		pages += t.pages;
		v->r->ram += b->listed;
	}
	v->r->data = pages * v->page_size;
	return 0;
}

/* Whether the index says of more memory than there can be what the head does
 * not say: then it lies, and that is what is wrong. */
static bool index_lies(const struct verify *v, const struct packed *p)
{
	uint64_t left = MR_MEMORY_MAX;

	for (uint32_t i = 0; i < p->head.blocks; i++) {
		if (p->blocks[i].b.length > left)
			return v->info->damage.code == MR_FORMAT;
		left -= p->blocks[i].b.length;
	}
	return false;
}

/* A pack has its digests in itself. */
static int look_pack(struct verify *v, struct mr_error *err)
{
	const struct packed *p = v->img->packed;

	verify_tell_unreadable(v);
	if (!p || index_lies(v, p))
		return verify_structure(v, err);
	v->r->sealed = true;
	if (v->info->pack.alone[0]) {
		struct mr_finding f = { .kind = MR_FINDING_PACK,
					.offset = MR_NO_OFFSET };

		verify_tell(v, &f, "this increment cannot be loaded: %.200s",
			    v->info->pack.alone);
	}
	if (take_blocks(v, err))
		return -1;
	for (size_t i = 0; i < v->n; i++)
		v->r->ram += v->blocks[i].listed;
	for (uint64_t i = 0; i < p->head.extents; i++) {
		struct pack_entry e;

		packed_entry(p, i, &e);
		v->r->data +=
			bits_count(e.extent.there, 0, pack_pages(&p->label)) *
			v->page_size;
	}
	choose_subset(v);
	if (verify_pack(v, err))
		return -1;
	verify_tell_unreadable(v);
	return verify_tell_pages(v, err);
}

static int look(struct verify *v, struct mr_error *err)
{
	verify_tell_unreadable(v);
	if (verify_structure(v, err) || verify_compressed(v, err) ||
	    find_seal(v, err))
		return -1;
	verify_tell_unreadable(v);
	if (!v->has_seal && !v->layout_ok)
		return 0;
	v->rebuild = v->o->repair && !v->has_seal && !v->present &&
		     v->info->ended && !v->info->ram_ended;
	if (take_blocks(v, err) || count_data(v, err))
		return -1;
	choose_subset(v);
	if (v->has_seal && verify_parts(v, err))
		return -1;
	if (v->out.file.fd >= 0 && output_resize(&v->out, v->tail_offset, err))
		return error_about(err, VERIFY_OUTPUT);
	if (verify_scan(v, err))
		return -1;
	verify_tell_unreadable(v);
	return verify_tell_pages(v, err);
}

/* As mr_image_open, but what cannot be read does not end it. */
static int open_image(struct verify *v, struct mr_error *err)
{
	v->img = image_open_file(v->path, v->o->direct, err);
	if (!v->img)
		return -1;
	salvage_init(&v->salvage, &v->img->file);
	v->img->io = &v->salvage.io;
	if (image_parse(v->img, &v->o->watch, err))
		return -1;
	if (!image_compressed(mr_image_info(v->img)))
		return 0;
	/* Once more, to know which of them count. */
	v->img->want_memory = true;
	return image_parse(v->img, &v->o->watch, err);
}

static int refuse_compressed(const struct mr_image_info *info,
			     struct mr_error *err)
{
	const char *how =
		info->compression ? info->compression : info->libvirt.format;

	return error_set(
		err, MR_UNSUPPORTED, MR_NO_OFFSET,
		"a compressed image (%s) has to be unpacked first%s", how,
		expand_by_name(how) == EXPAND_LZ4 ? "" : ": mrconvert does");
}

static int verify(struct verify *v, struct mr_error *err)
{
	if (v->fix && verify_repair_open(v, err))
		return -1;
	if (open_image(v, err))
		return -1;
	if (v->rw.fd >= 0 &&
	    (v->rw.dev != v->img->file.dev || v->rw.ino != v->img->file.ino))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "replaced by another file meanwhile");
	if (v->out.found.exists && v->out.found.dev == v->img->file.dev &&
	    v->out.found.ino == v->img->file.ino) {
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"this is the image itself");
		return error_about(err, VERIFY_OUTPUT);
	}
	if (image_mark(v->img, &v->r->mark, err))
		return -1;
	v->info = mr_image_info(v->img);
	v->r->kind = v->info->kind;
	if (v->info->kind == MR_IMAGE_COMPRESSED)
		return refuse_compressed(v->info, err);
	if (v->info->has_pack && v->fix)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "a pack has its seal in itself, and what is "
				 "damaged in it cannot be mended");
	if (v->info->has_pack ? look_pack(v, err) : look(v, err))
		return -1;
	v->r->sound = v->r->damages == 0;
	/* Nothing wrong was found, but not all was looked at. */
	if (v->r->sound && v->info->damage.code == MR_UNSUPPORTED)
		return error_set(err, MR_UNSUPPORTED, v->info->damage.offset,
				 "not understood: %.200s", v->info->damage.msg);
	return v->fix ? verify_repair(v, err) : 0;
}

int mr_verify(const char *path, const struct mr_verify_options *options,
	      struct mr_verify_report *report, struct mr_error *err)
{
	struct verify v = { .path = path,
			    .o = options,
			    .r = report,
			    .fix = options->repair || options->seal,
			    .rw = FILE_CLOSED,
			    .out = OUTPUT_NONE };
	double begin = watch_clock();
	int rc;

	*report = (struct mr_verify_report){ 0 };
	if (check_options(options, err))
		return -1;
	rc = verify(&v, err);
	if (rc)
		(void)error_about(err, VERIFY_IMAGE);
	release(&v);
	report->seconds = watch_clock() - begin;
	return rc;
}
