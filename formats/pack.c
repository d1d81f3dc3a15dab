/* pack.c - label, notes, parts and index of a pack. */
#include "formats/pack.h"

#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "formats/stream.h"

#define SKIP_MAGIC UINT32_C(0x184d2a5d) /* ours */
#define SKIP_MASK UINT32_C(0xfffffff0)
#define SKIP_ANY UINT32_C(0x184d2a50)
#define ZSTD_MAGIC UINT32_C(0xfd2fb528)

enum {
	MAGIC_SIZE = 8,
	EXTENT_HEAD = 16,
	LABEL_FIXED = 68,
	ENTRY_MIN = EXTENT_HEAD + 2 * 8 + PACK_PLACE_SIZE + SEAL_DIGEST_SIZE,
};

static const uint8_t label_magic[MAGIC_SIZE] = { 0x8b, 'm', 'r', 'p',
						 'a',  'c', 'k', '\n' };
static const uint8_t end_magic[MAGIC_SIZE] = { 0x8b, 'm', 'r', 'k',
					       'c',  'a', 'p', '\n' };

static int short_of(struct fault *f, size_t len, const char *what)
{
	return fault_set(f, FAULT_SHORT, len, what);
}

static bool power_of_two(uint32_t v)
{
	return v && (v & (v - 1)) == 0;
}

/* ---- skippable frames ---- */

bool pack_is_skip(const uint8_t *buf, size_t len)
{
	return len >= 4 && (get_le32(buf) & SKIP_MASK) == SKIP_ANY;
}

bool pack_is_zstd(const uint8_t *buf, size_t len)
{
	return len >= 4 && get_le32(buf) == ZSTD_MAGIC;
}

/* The most that a frame of a kind can have behind its 12 bytes; 0: no kind. */
static uint64_t skip_limit(uint32_t kind)
{
	switch (kind) {
	case PACK_LABEL:
		return PACK_LABEL_MAX;
	case PACK_HEAD:
		return PACK_PACKED_MAX(PACK_HEAD_MAX);
	case PACK_NOTE:
		return PACK_NOTE_MAX;
	case PACK_INDEX:
		return UINT32_MAX - 4;
	default:
		return 0;
	}
}

ssize_t pack_skip_decode(const uint8_t *buf, size_t len, struct pack_skip *out,
			 struct fault *f)
{
	uint32_t kind, n;

	if (len < PACK_SKIP_SIZE)
		return short_of(f, len, "pack: a skippable frame is cut off");
	if (!pack_is_skip(buf, len))
		return fault_value(f, FAULT_BAD, 0,
				   "pack: no skippable frame here",
				   get_le32(buf));
	n = get_le32(buf + 4);
	kind = get_be32(buf + 8);
	if (get_le32(buf) != SKIP_MAGIC)
		return fault_value(f, FAULT_UNSUPPORTED, 0,
				   "pack: a skippable frame of others",
				   get_le32(buf));
	if (!skip_limit(kind))
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "pack: unknown skippable frame", kind);
	if (n < 4 || n - 4 > skip_limit(kind))
		return fault_value(f, FAULT_BAD, 4,
				   "pack: illegal length of a frame", n);
	out->kind = (enum pack_kind)kind;
	out->length = n - 4;
	return PACK_SKIP_SIZE;
}

size_t pack_skip_encode(uint8_t buf[PACK_SKIP_SIZE], const struct pack_skip *s)
{
	put_le32(buf, SKIP_MAGIC);
	put_le32(buf + 4, s->length + 4);
	put_be32(buf + 8, s->kind);
	return PACK_SKIP_SIZE;
}

bool pack_is_pack(const uint8_t *buf, size_t len)
{
	return len >= PACK_SKIP_SIZE + MAGIC_SIZE &&
	       get_le32(buf) == SKIP_MAGIC && get_be32(buf + 8) == PACK_LABEL &&
	       !memcmp(buf + PACK_SKIP_SIZE, label_magic, MAGIC_SIZE);
}

/* ---- label ---- */

static bool no_digest(const struct seal_digest *d)
{
	static const struct seal_digest none;

	return !memcmp(d, &none, sizeof(none));
}

static int check_label(const struct pack_label *l, struct fault *f)
{
	bool increment = l->flags & PACK_INCREMENT;

	if (l->flags & ~(uint32_t)PACK_FLAGS)
		return fault_value(f, FAULT_UNSUPPORTED, 12,
				   "pack: unknown flags", l->flags);
	if (!mapped_ram_page_size_ok(l->page_size) ||
	    l->page_size < PACK_PAGE_MIN)
		return fault_value(f, FAULT_BAD, 16, "pack: illegal page size",
				   l->page_size);
	if (!power_of_two(l->extent_size) || l->extent_size > PACK_EXTENT_MAX ||
	    l->extent_size < l->page_size * BITS_PER_WORD)
		return fault_value(f, FAULT_BAD, 20,
				   "pack: illegal extent size", l->extent_size);
	if (l->below > PACK_BELOW_MAX || increment != (l->below > 0))
		return fault_value(f, FAULT_BAD, 32,
				   "pack: illegal number of packs below it",
				   l->below);
	if (increment == no_digest(&l->base))
		return fault_set(f, FAULT_BAD, 36,
				 increment ? "pack: no base"
					   : "pack: a full one with a base");
	return 0;
}

ssize_t pack_label_decode(const uint8_t *buf, size_t len,
			  struct pack_label *out, struct fault *f)
{
	size_t at = LABEL_FIXED;
	ssize_t n;

	if (len < LABEL_FIXED)
		return short_of(f, len, "pack: the label is cut off");
	if (memcmp(buf, label_magic, MAGIC_SIZE) != 0)
		return fault_set(f, FAULT_BAD, 0, "pack: no label");
	if (get_be32(buf + 8) != PACK_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "pack: unknown version", get_be32(buf + 8));
	*out = (struct pack_label){ .flags = get_be32(buf + 12),
				    .page_size = get_be32(buf + 16),
				    .extent_size = get_be32(buf + 20),
				    .of.made = get_be64(buf + 24),
				    .below = get_be32(buf + 32) };
	memcpy(&out->base, buf + 36, sizeof(out->base));
	memcpy(out->of.uuid, buf + 52, sizeof(out->of.uuid));
	if (check_label(out, f))
		return -1;
	n = name_or_none_decode(buf, len, at, out->of.maker, f);
	if (n < 0)
		return -1;
	at += (size_t)n;
	n = name_or_none_decode(buf, len, at, out->of.name, f);
	if (n < 0)
		return -1;
	at += (size_t)n;
	if (at < len)
		return fault_set(f, FAULT_BAD, at,
				 "pack: bytes behind the label");
	return (ssize_t)at;
}

size_t pack_label_encode(uint8_t buf[PACK_LABEL_MAX],
			 const struct pack_label *l)
{
	size_t at = LABEL_FIXED;

	memcpy(buf, label_magic, MAGIC_SIZE);
	put_be32(buf + 8, PACK_VERSION);
	put_be32(buf + 12, l->flags);
	put_be32(buf + 16, l->page_size);
	put_be32(buf + 20, l->extent_size);
	put_be64(buf + 24, l->of.made);
	put_be32(buf + 32, l->below);
	memcpy(buf + 36, &l->base, sizeof(l->base));
	memcpy(buf + 52, l->of.uuid, sizeof(l->of.uuid));
	at += name_or_none_encode(buf + at, l->of.maker);
	return at + name_or_none_encode(buf + at, l->of.name);
}

/* ---- extents ---- */

static size_t words_of(const struct pack_label *l)
{
	return pack_pages(l) / BITS_PER_WORD;
}

size_t pack_extent_size(const struct pack_label *l)
{
	return EXTENT_HEAD + words_of(l) * 8 * 2;
}

size_t pack_note_size(const struct pack_label *l, const struct pack_extent *e)
{
	return pack_extent_size(l) +
	       (size_t)bits_count(e->there, 0, pack_pages(l)) * 8;
}

ssize_t pack_extent_decode(const uint8_t *buf, size_t len,
			   const struct pack_label *l, struct pack_extent *out,
			   struct fault *f)
{
	size_t n = words_of(l), zeros = EXTENT_HEAD + n * 8;
	uint64_t any = 0, both = 0;

	if (len < pack_extent_size(l))
		return short_of(f, len, "pack: an extent is cut off");
	*out = (struct pack_extent){ .block = get_be32(buf),
				     .offset = get_be64(buf + 8) };
	if (get_be32(buf + 4))
		return fault_value(f, FAULT_BAD, 4, "pack: not zero",
				   get_be32(buf + 4));
	if (out->offset % l->extent_size)
		return fault_value(f, FAULT_BAD, 8,
				   "pack: no extent begins there", out->offset);
	for (size_t i = 0; i < n; i++) {
		out->there[i] = get_be64(buf + EXTENT_HEAD + i * 8);
		out->zero[i] = get_be64(buf + zeros + i * 8);
		any |= out->there[i] | out->zero[i];
		both |= out->there[i] & out->zero[i];
	}
	if (!any)
		return fault_set(f, FAULT_BAD, EXTENT_HEAD,
				 "pack: an extent without a page");
	if (both)
		return fault_set(f, FAULT_BAD, zeros,
				 "pack: a page that is there is zero, too");
	return (ssize_t)pack_extent_size(l);
}

size_t pack_extent_encode(uint8_t *buf, const struct pack_label *l,
			  const struct pack_extent *e)
{
	size_t n = words_of(l);
	uint8_t *p = buf + EXTENT_HEAD;

	put_be32(buf, e->block);
	put_be32(buf + 4, 0);
	put_be64(buf + 8, e->offset);
	for (size_t i = 0; i < n; i++, p += 8)
		put_be64(p, e->there[i]);
	for (size_t i = 0; i < n; i++, p += 8)
		put_be64(p, e->zero[i]);
	return (size_t)(p - buf);
}

int pack_extent_check(const struct pack_label *l, const struct pack_extent *e,
		      uint64_t length, struct fault *f)
{
	uint64_t end = pack_pages(l), left;

	if (e->offset >= length)
		return fault_value(f, FAULT_BAD, 8,
				   "pack: an extent outside of its block",
				   e->offset);
	left = (length - e->offset) / l->page_size;
	if (left < end && (bits_next_set(e->there, left, end) < end ||
			   bits_next_set(e->zero, left, end) < end))
		return fault_value(f, FAULT_BAD, EXTENT_HEAD,
				   "pack: a page outside of its block",
				   e->offset);
	return 0;
}

/* ---- the part of an extent ---- */

enum { PART_SIZE = 5, EOS_SIZE = RAM_WORD_SIZE };

/* One word; the first of a PART says which block. */
static size_t put_word(uint8_t *buf, enum ram_flag kind, uint64_t offset,
		       const char *block)
{
	struct ram_item item = { .kind = kind,
				 .cont = !block,
				 .offset = offset };

	if (block)
		memcpy(item.block, block, strlen(block) + 1);
	return ram_item_encode(buf, &item);
}

static size_t open_part(uint8_t *buf)
{
	const struct stream_element e = { .type = STREAM_PART,
					  .section_id = PACK_RAM_SECTION };
	uint8_t all[STREAM_ELEMENT_MAX];
	size_t n = stream_element_encode(all, &e);

	memcpy(buf, all, n);
	return n;
}

size_t pack_part_at(const struct pack_label *l, const char *block, size_t n)
{
	return PART_SIZE + RAM_WORD_SIZE + 1 + strlen(block) +
	       n * (RAM_WORD_SIZE + (size_t)l->page_size);
}

size_t pack_part_size(const struct pack_label *l, const struct pack_extent *e,
		      const char *block)
{
	size_t pages = pack_pages(l);
	size_t there = (size_t)bits_count(e->there, 0, pages);
	size_t zero = (size_t)bits_count(e->zero, 0, pages);

	return PART_SIZE + 1 + strlen(block) +
	       there * (RAM_WORD_SIZE + (size_t)l->page_size) +
	       zero * (RAM_WORD_SIZE + 1) + EOS_SIZE + STREAM_FOOTER_SIZE;
}

size_t pack_part_max(const struct pack_label *l)
{
	return PART_SIZE + NAME_SIZE +
	       pack_pages(l) * (RAM_WORD_SIZE + (size_t)l->page_size) +
	       EOS_SIZE + STREAM_FOOTER_SIZE;
}

size_t pack_part_before(uint8_t *buf, const struct pack_label *l,
			const struct pack_extent *e, const char *block,
			size_t n, size_t page)
{
	size_t at = n ? 0 : open_part(buf);

	return at + put_word(buf + at, RAM_PAGE,
			     e->offset + page * (uint64_t)l->page_size,
			     n ? NULL : block);
}

size_t pack_part_behind(uint8_t *buf, const struct pack_label *l,
			const struct pack_extent *e, const char *block)
{
	size_t pages = pack_pages(l), at = 0;
	bool named = bits_next_set(e->there, 0, pages) < pages;

	if (!named)
		at += open_part(buf);
	for (uint64_t p = bits_next_set(e->zero, 0, pages); p < pages;
	     p = bits_next_set(e->zero, p + 1, pages)) {
		at += put_word(buf + at, RAM_ZERO, e->offset + p * l->page_size,
			       named ? NULL : block);
		named = true;
	}
	put_be64(buf + at, RAM_EOS);
	at += EOS_SIZE;
	return at + stream_footer_encode(buf + at, PACK_RAM_SECTION);
}

/* ---- index ---- */

static void get_digest(const uint8_t *buf, struct seal_digest *d)
{
	memcpy(d->byte, buf, sizeof(d->byte));
}

static int place_decode(const uint8_t *buf, size_t at, struct pack_place *out,
			struct fault *f)
{
	*out = (struct pack_place){ .offset = get_be64(buf + at),
				    .size = get_be32(buf + at + 8),
				    .content = get_be32(buf + at + 12) };
	get_digest(buf + at + 16, &out->digest);
	if (out->offset > INT64_MAX - (uint64_t)out->size)
		return fault_value(f, FAULT_BAD, at, "pack: no place of a file",
				   out->offset);
	if (!out->size || !out->content)
		return fault_set(f, FAULT_BAD, at + 8, "pack: an empty frame");
	if (out->size > PACK_PACKED_MAX(out->content))
		return fault_value(f, FAULT_BAD, at + 8,
				   "pack: a frame of more bytes than its "
				   "content takes",
				   out->size);
	return 0;
}

static void place_encode(uint8_t *buf, const struct pack_place *p)
{
	put_be64(buf, p->offset);
	put_be32(buf + 8, p->size);
	put_be32(buf + 12, p->content);
	memcpy(buf + 16, p->digest.byte, sizeof(p->digest.byte));
}

ssize_t pack_index_head_decode(const uint8_t *buf, size_t len, uint64_t length,
			       struct pack_index_head *out, struct fault *f)
{
	size_t tail = EXTENT_HEAD + PACK_PLACE_SIZE;
	uint64_t least;

	if (len < PACK_INDEX_HEAD_SIZE)
		return short_of(f, len, "pack: the index is cut off");
	*out = (struct pack_index_head){ .blocks = get_be32(buf),
					 .extents = get_be64(buf + 8) };
	if (get_be32(buf + 4))
		return fault_value(f, FAULT_BAD, 4, "pack: not zero",
				   get_be32(buf + 4));
	if (!out->blocks || out->blocks > PACK_BLOCKS_LIMIT)
		return fault_value(f, FAULT_BAD, 0,
				   "pack: illegal number of blocks",
				   out->blocks);
	/* Names of one byte, extents of one word. */
	least = PACK_INDEX_HEAD_SIZE + (uint64_t)out->blocks * (1 + 1 + 8);
	if (length < least || out->extents > (length - least) / ENTRY_MIN)
		return fault_value(f, FAULT_BAD, 8,
				   "pack: more extents than the index has room "
				   "for",
				   out->extents);
	if (place_decode(buf, EXTENT_HEAD, &out->head, f) ||
	    place_decode(buf, tail, &out->tail, f))
		return -1;
	if (out->head.content > PACK_HEAD_MAX)
		return fault_value(f, FAULT_BAD, EXTENT_HEAD + 12,
				   "pack: a head of too many bytes",
				   out->head.content);
	if (out->tail.content > PACK_TAIL_MAX)
		return fault_value(f, FAULT_BAD, tail + 12,
				   "pack: a tail of too many bytes",
				   out->tail.content);
	get_digest(buf + tail + PACK_PLACE_SIZE, &out->label);
	return PACK_INDEX_HEAD_SIZE;
}

size_t pack_index_head_encode(uint8_t buf[PACK_INDEX_HEAD_SIZE],
			      const struct pack_index_head *h)
{
	uint8_t *p = buf + EXTENT_HEAD;

	put_be32(buf, h->blocks);
	put_be32(buf + 4, 0);
	put_be64(buf + 8, h->extents);
	place_encode(p, &h->head);
	place_encode(p + PACK_PLACE_SIZE, &h->tail);
	memcpy(p + 2 * (size_t)PACK_PLACE_SIZE, h->label.byte,
	       sizeof(h->label.byte));
	return PACK_INDEX_HEAD_SIZE;
}

ssize_t pack_block_decode(const uint8_t *buf, size_t len,
			  struct pack_block *out, struct fault *f)
{
	ssize_t n = name_decode(buf, len, 0, out->name, f);

	if (n < 0)
		return -1;
	if (len - (size_t)n < 8)
		return short_of(f, len, "pack: a block is cut off");
	out->length = get_be64(buf + n);
	if (!out->length || out->length > INT64_MAX)
		return fault_value(f, FAULT_BAD, (size_t)n,
				   "pack: illegal length of a block",
				   out->length);
	return n + 8;
}

size_t pack_block_encode(uint8_t buf[PACK_INDEX_BLOCK_MAX],
			 const struct pack_block *b)
{
	size_t n = name_encode(buf, b->name);

	put_be64(buf + n, b->length);
	return n + 8;
}

size_t pack_entry_size(const struct pack_label *l)
{
	return pack_extent_size(l) + PACK_PLACE_SIZE + SEAL_DIGEST_SIZE;
}

ssize_t pack_entry_decode(const uint8_t *buf, size_t len,
			  const struct pack_label *l, struct pack_entry *out,
			  struct fault *f)
{
	ssize_t n = pack_extent_decode(buf, len, l, &out->extent, f);

	if (n < 0)
		return -1;
	if (len < pack_entry_size(l))
		return short_of(f, len, "pack: an extent is cut off");
	if (place_decode(buf, (size_t)n, &out->place, f))
		return -1;
	if (out->place.content > pack_part_max(l))
		return fault_value(f, FAULT_BAD, (size_t)n + 12,
				   "pack: more than an extent has",
				   out->place.content);
	get_digest(buf + n + PACK_PLACE_SIZE, &out->note);
	return (ssize_t)pack_entry_size(l);
}

size_t pack_entry_encode(uint8_t *buf, const struct pack_label *l,
			 const struct pack_entry *e)
{
	size_t n = pack_extent_encode(buf, l, &e->extent);

	place_encode(buf + n, &e->place);
	memcpy(buf + n + PACK_PLACE_SIZE, e->note.byte, sizeof(e->note.byte));
	return pack_entry_size(l);
}

bool pack_is_end(const uint8_t *buf, size_t len)
{
	return len >= MAGIC_SIZE &&
	       !memcmp(buf + len - MAGIC_SIZE, end_magic, MAGIC_SIZE);
}

ssize_t pack_end_decode(const uint8_t *buf, size_t len, uint64_t file_size,
			struct pack_end *out, struct fault *f)
{
	if (len < PACK_INDEX_END_SIZE)
		return short_of(f, len, "pack: the end is cut off");
	if (!pack_is_end(buf, PACK_INDEX_END_SIZE))
		return fault_set(f, FAULT_BAD, SEAL_DIGEST_SIZE + 4,
				 "pack: no end of an index");
	get_digest(buf, &out->identity);
	out->length = get_be32(buf + SEAL_DIGEST_SIZE);
	if (out->length < 4 + PACK_INDEX_HEAD_SIZE + PACK_INDEX_END_SIZE ||
	    out->length > file_size || file_size - out->length < 8)
		return fault_value(f, FAULT_BAD, SEAL_DIGEST_SIZE,
				   "pack: illegal length of the index",
				   out->length);
	return PACK_INDEX_END_SIZE;
}

size_t pack_end_encode(uint8_t buf[PACK_INDEX_END_SIZE],
		       const struct pack_end *e)
{
	memcpy(buf, e->identity.byte, sizeof(e->identity.byte));
	put_be32(buf + SEAL_DIGEST_SIZE, e->length);
	memcpy(buf + SEAL_DIGEST_SIZE + 4, end_magic, MAGIC_SIZE);
	return PACK_INDEX_END_SIZE;
}
