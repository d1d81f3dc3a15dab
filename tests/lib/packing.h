/*
 * packing.h - makes a pack out of a plain stream, as told: a sound one, or one
 * that lies, with digests that all agree.
 */
#ifndef TESTS_PACKING_H
#define TESTS_PACKING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/pack.h"
#include "formats/ram.h"
#include "formats/stream.h"
#include "libmr/base/hash.h"
#include "libmr/image/image.h"

/* What there is to say, in mkpack's options. */
static struct packing {
	int increment, zeros, level, extent_size, order;
	long long made;
	char *name, *maker, *uuid;
	char **puts, **frames, **inserts, **drops;
} packing = { .level = 1, .extent_size = 1 << 20, .made = 1700000000 };

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "packing: %s\n", what);
	exit(2);
}

struct bytes {
	uint8_t *at;
	size_t n, room;
};

static void add(struct bytes *b, const void *p, size_t n)
{
	uint8_t *more;

	if (!b->at || b->room - b->n < n) {
		more = realloc(b->at, b->room * 2 + n + 1);
		need(more, "out of memory");
		b->room = b->room * 2 + n + 1;
		b->at = more;
	}
	memcpy(b->at + b->n, p, n);
	b->n += n;
}

static size_t unhex(uint8_t *to, const char *hex)
{
	size_t n = 0;
	unsigned v;

	for (; hex[2 * n] && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
		to[n] = (uint8_t)v;
	return n;
}

/* What is behind "WHAT" and the sign in the list's i-th, or NULL. */
static const char *option(char **list, size_t i, const char *what, char sign)
{
	size_t n = strlen(what);

	if (strncmp(list[i], what, n) != 0 || list[i][n] != sign)
		return NULL;
	return sign ? list[i] + n + 1 : list[i] + n;
}

static void patch(const char *what, uint8_t *buf, size_t len)
{
	uint8_t bytes[256];

	for (size_t i = 0; packing.puts && packing.puts[i]; i++) {
		const char *o = option(packing.puts, i, what, ':');
		char *hex;
		size_t at, n;

		if (!o)
			continue;
		at = strtoul(o, &hex, 0);
		need(*hex == '=', "--put WHAT:OFFSET=HEX");
		n = unhex(bytes, hex + 1);
		need(at <= len && n <= len - at, "--put: outside");
		memcpy(buf + at, bytes, n);
	}
}

static void insert(struct bytes *out, const char *what)
{
	uint8_t bytes[256];

	for (size_t i = 0; packing.inserts && packing.inserts[i]; i++) {
		const char *o = option(packing.inserts, i, what, '=');

		if (o)
			add(out, bytes, unhex(bytes, o));
	}
}

static bool dropped(const char *what)
{
	for (size_t i = 0; packing.drops && packing.drops[i]; i++)
		if (!strcmp(packing.drops[i], what))
			return true;
	return false;
}

/* ---- frames ---- */

static void compress(struct bytes *out, const struct bytes *in, bool size)
{
	size_t room = ZSTD_compressBound(in->n), n;
	ZSTD_CCtx *z = ZSTD_createCCtx();
	uint8_t *buf = malloc(room);

	need(z && buf, "out of memory");
	(void)ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, packing.level);
	(void)ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, size);
	n = ZSTD_compress2(z, buf, room, in->at, in->n);
	need(!ZSTD_isError(n), "ZSTD_compress2");
	add(out, buf, n);
	free(buf);
	(void)ZSTD_freeCCtx(z);
}

/* Says that it has 2^40 bytes. */
static void huge(struct bytes *out, const struct bytes *in)
{
	static const uint8_t head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0,
					0,    0,    0,	  1,	0,    0 };
	struct bytes whole = { 0 };

	compress(&whole, in, false);
	add(out, head, sizeof(head));
	/* Magic, descriptor, window. */
	add(out, whole.at + 6, whole.n - 6);
	free(whole.at);
}

static const char *how(const char *what)
{
	for (size_t i = 0; packing.frames && packing.frames[i]; i++) {
		const char *o = option(packing.frames, i, what, ':');

		if (o)
			return o;
	}
	return "";
}

/* Frame `what` of these, as it is in the file, and its place. */
static struct pack_place frame(struct bytes *out, const char *what,
			       struct bytes *in)
{
	static const uint8_t skip[] = { 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0 };
	struct pack_place p = { .offset = out->n, .content = (uint32_t)in->n };
	struct bytes half = { .at = in->at, .n = in->n / 2 };
	struct bytes rest = { .at = in->at + half.n, .n = in->n - half.n };
	const char *h = how(what);

	patch(what, in->at, in->n);
	if (!strcmp(h, "no-size")) {
		compress(out, in, false);
	} else if (!strcmp(h, "huge-size")) {
		huge(out, in);
	} else if (!strcmp(h, "two")) {
		compress(out, &half, true);
		compress(out, &rest, true);
	} else {
		compress(out, in, true);
		if (!strcmp(h, "skip"))
			add(out, skip, sizeof(skip));
	}
	p.size = (uint32_t)(out->n - p.offset);
	p.digest = hash_bytes(out->at + p.offset, p.size);
	return p;
}

static void skippable(struct bytes *out, enum pack_kind kind, size_t length)
{
	struct pack_skip s = { .kind = kind, .length = (uint32_t)length };
	uint8_t buf[PACK_SKIP_SIZE];

	add(out, buf, pack_skip_encode(buf, &s));
}

/* ---- the stream ---- */

static const struct mr_image *img;
static const struct mr_image_info *info;
static struct pack_label label;

static const struct mr_section *ram(enum mr_section_type type)
{
	for (size_t i = 0; i < info->n_sections; i++)
		if (info->sections[i].type == type &&
		    !strcmp(info->sections[i].name, "ram"))
			return &info->sections[i];
	need(false, "not a plain stream with memory");
	return NULL;
}

static void add_stream(struct bytes *b, uint64_t from, uint64_t to)
{
	uint8_t *buf = malloc((size_t)(to - from) + 1);

	need(buf && !io_read_full(img->io, buf, (size_t)(to - from), from,
				  NULL),
	     "cannot read the stream");
	add(b, buf, (size_t)(to - from));
	free(buf);
}

static void take_head(struct bytes *b)
{
	const struct mr_section *s = ram(MR_SECTION_START);

	add_stream(b, 0, s->offset + s->length);
	put_be32(b->at + s->offset + 1, PACK_RAM_SECTION);
	put_be32(b->at + b->n - 4, PACK_RAM_SECTION);
}

static void take_tail(struct bytes *b)
{
	const struct mr_section *s = ram(MR_SECTION_END);
	uint8_t end[5 + 8 + STREAM_FOOTER_SIZE];

	end[0] = STREAM_END;
	put_be32(end + 1, PACK_RAM_SECTION);
	put_be64(end + 5, RAM_EOS);
	(void)stream_footer_encode(end + 13, PACK_RAM_SECTION);
	add(b, end, sizeof(end));
	add_stream(b, s->offset + s->length, info->stream_end);
}

/* ---- extents ---- */

static bool look(struct pack_extent *x, size_t block, uint64_t offset)
{
	const struct mr_block *b = &info->blocks[block];
	bool zeros = packing.zeros || packing.increment;
	bool any = false;

	*x = (struct pack_extent){ .block = (uint32_t)block, .offset = offset };
	for (size_t i = 0; i < pack_pages(&label); i++) {
		uint64_t page = offset / label.page_size + i;
		uint64_t n[MR_PAGE_CLASSES] = { 0 };

		if (page >= b->pages)
			break;
		need(!mr_image_classes(img, b, page, 1, n, NULL), "classes");
		if (n[MR_PAGE_PRESENT])
			bits_set(x->there, i, 1);
		if (n[MR_PAGE_ZERO] && zeros)
			bits_set(x->zero, i, 1);
		any |= n[MR_PAGE_PRESENT] || (n[MR_PAGE_ZERO] && zeros);
	}
	return any;
}

/* The note without its frame, and the PART. */
static void take_extent(struct bytes *note, struct bytes *part,
			const struct pack_extent *x)
{
	const struct mr_block *b = &info->blocks[x->block];
	uint8_t word[PACK_NOTE_MAX], *page = malloc(label.page_size);
	size_t n = 0, present, len;
	uint64_t digest;

	need(page, "out of memory");
	add(note, word, pack_extent_encode(word, &label, x));
	for (size_t i = 0; i < pack_pages(&label); i++) {
		if (!bits_test(x->there, i))
			continue;
		len = pack_part_before(word, &label, x, b->name, n++, i);
		add(part, word, len);
		need(!mr_image_memory(img, b, x->offset + i * label.page_size,
				      page, label.page_size, &present, NULL),
		     "memory");
		add(part, page, label.page_size);
		digest = hash_page(page, label.page_size);
		add(note, &digest, sizeof(digest));
	}
	{
		uint8_t *rest = malloc(pack_part_size(&label, x, b->name));

		need(rest, "out of memory");
		add(part, rest, pack_part_behind(rest, &label, x, b->name));
		free(rest);
	}
	free(page);
}

struct entries {
	struct bytes bytes;
	uint64_t n;
};

static void put_extent(struct bytes *out, struct entries *all,
		       const struct pack_extent *x, unsigned n)
{
	struct bytes note = { 0 }, part = { 0 };
	struct pack_entry e = { .extent = *x };
	uint8_t buf[PACK_INDEX_EXTENT_MAX];
	char what[32];

	take_extent(&note, &part, x);
	(void)snprintf(what, sizeof(what), "note%u", n);
	patch(what, note.at, note.n);
	insert(out, what);
	e.note = hash_bytes(note.at, note.n);
	if (!dropped(what)) {
		skippable(out, PACK_NOTE, note.n);
		add(out, note.at, note.n);
	}
	(void)snprintf(what, sizeof(what), "part%u", n);
	insert(out, what);
	if (!dropped(what))
		e.place = frame(out, what, &part);
	(void)snprintf(what, sizeof(what), "entry%u", n);
	if (!dropped(what)) {
		size_t len = pack_entry_encode(buf, &label, &e);

		patch(what, buf, len);
		add(&all->bytes, buf, len);
		all->n++;
	}
	free(note.at);
	free(part.at);
}

static void put_extents(struct bytes *out, struct entries *all)
{
	struct pack_extent x;
	unsigned n = 0;

	for (size_t i = 0; i < info->n_blocks; i++)
		for (uint64_t at = 0; at < info->blocks[i].length;
		     at += label.extent_size)
			if (look(&x, i, at))
				put_extent(out, all, &x, n++);
}

/* ---- the rest ---- */

static struct seal_digest put_label(struct bytes *out)
{
	uint8_t buf[PACK_LABEL_MAX];
	struct seal_digest d;
	size_t n;

	label = (struct pack_label){ .page_size = info->page_size,
				     .extent_size =
					     (uint32_t)packing.extent_size,
				     .of.made = (uint64_t)packing.made };
	if (packing.increment) {
		label.flags = PACK_INCREMENT;
		label.below = 1;
		memset(label.base.byte, 0x11, sizeof(label.base.byte));
	}
	(void)snprintf(label.of.name, sizeof(label.of.name), "%s",
		       packing.name ? packing.name : "");
	(void)snprintf(label.of.maker, sizeof(label.of.maker), "%s",
		       packing.maker ? packing.maker : "mkpack");
	if (packing.uuid)
		memcpy(label.of.uuid, packing.uuid, strnlen(packing.uuid, 16));
	n = pack_label_encode(buf, &label);
	patch("label", buf, n);
	d = hash_bytes(buf, n);
	skippable(out, PACK_LABEL, n);
	add(out, buf, n);
	return d;
}

static struct pack_place put_head(struct bytes *out)
{
	struct bytes head = { 0 }, packed = { 0 };
	struct pack_place p;

	take_head(&head);
	insert(out, "head");
	if (!packing.increment) {
		p = frame(out, "head", &head);
	} else {
		p = frame(&packed, "head", &head);
		skippable(out, PACK_HEAD, packed.n);
		p.offset = out->n;
		add(out, packed.at, packed.n);
	}
	free(head.at);
	free(packed.at);
	return p;
}

static void turn(struct entries *all)
{
	size_t each = pack_entry_size(&label);
	uint8_t *buf = malloc(all->bytes.n + 1);

	need(buf, "out of memory");
	for (uint64_t i = 0; i < all->n; i++)
		memcpy(buf + (all->n - 1 - i) * each, all->bytes.at + i * each,
		       each);
	free(all->bytes.at);
	all->bytes.at = buf;
}

static void put_index(struct bytes *out, struct pack_index_head *h,
		      struct entries *all)
{
	uint8_t buf[PACK_INDEX_HEAD_SIZE + PACK_INDEX_BLOCK_MAX];
	struct bytes index = { 0 };
	struct pack_end end;
	size_t from, n;

	h->blocks = (uint32_t)info->n_blocks;
	h->extents = all->n;
	add(&index, buf, pack_index_head_encode(buf, h));
	for (size_t i = 0; i < info->n_blocks; i++) {
		struct pack_block b = { .length = info->blocks[i].length };

		(void)snprintf(b.name, sizeof(b.name), "%s",
			       info->blocks[i].name);
		add(&index, buf, pack_block_encode(buf, &b));
	}
	if (packing.order)
		turn(all);
	if (all->n)
		add(&index, all->bytes.at, all->bytes.n);
	patch("index", index.at, index.n);
	insert(out, "index");
	from = out->n + PACK_SKIP_SIZE - 4;
	skippable(out, PACK_INDEX, index.n + PACK_INDEX_END_SIZE);
	add(out, index.at, index.n);
	end.length = (uint32_t)(out->n - from) + PACK_INDEX_END_SIZE;
	end.identity = hash_bytes(out->at + from, out->n - from);
	n = pack_end_encode(buf, &end);
	patch("end", buf, n);
	add(out, buf, n);
	free(index.at);
}

/* Of a stream that was opened with its memory; out->at is to be freed. */
static void packing_make(const struct mr_image *stream, struct bytes *out)
{
	struct pack_index_head h = { 0 };
	struct entries all = { .n = 0 };
	struct bytes tail = { 0 };

	img = stream;
	info = mr_image_info(img);
	h.label = put_label(out);
	h.head = put_head(out);
	put_extents(out, &all);
	take_tail(&tail);
	insert(out, "tail");
	h.tail = frame(out, "tail", &tail);
	put_index(out, &h, &all);
	free(tail.at);
	free(all.bytes.at);
}

#endif
