/* seal.c - head, blocks and end of a seal, and where its digests are. */
#include "formats/bits.h"
#include "formats/seal.h"

#include <string.h>

#include "formats/bytes.h"
#include "formats/mapped_ram.h"

#define LABEL_FIXED ((size_t)24) /* what of a label is before its texts */
#define BLOCK_NUMBERS ((size_t)40) /* the five behind a block's name */

static const uint8_t head_magic[SEAL_MAGIC_SIZE] = { 0x8b, 'm', 'r', 's',
						     'e',  'a', 'l', '\n' };
static const uint8_t end_magic[SEAL_MAGIC_SIZE] = { 0x8b, 'm', 'r', 'l',
						    'a',  'e', 's', '\n' };

bool seal_is_head(const uint8_t *buf, size_t len)
{
	return len >= SEAL_MAGIC_SIZE &&
	       !memcmp(buf, head_magic, SEAL_MAGIC_SIZE);
}

bool seal_is_end(const uint8_t *buf, size_t len)
{
	return len >= SEAL_MAGIC_SIZE &&
	       !memcmp(buf + len - SEAL_MAGIC_SIZE, end_magic, SEAL_MAGIC_SIZE);
}

static bool power_of_two(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max && (v & (v - 1)) == 0;
}

static int check_sizes(const struct seal_head *h, struct fault *f)
{
	if (!mapped_ram_page_size_ok(h->page_size))
		return fault_value(f, FAULT_BAD, 12, "seal: illegal page size",
				   h->page_size);
	/* Extents are whole words of the bitmap, or one word. */
	if (!power_of_two(h->extent_size, h->page_size * BITS_PER_WORD,
			  SEAL_EXTENT_MAX))
		return fault_value(f, FAULT_BAD, 16,
				   "seal: illegal extent size", h->extent_size);
	if (!power_of_two(h->piece_size, SEAL_PIECE_MIN, SEAL_PIECE_MAX))
		return fault_value(f, FAULT_BAD, 20, "seal: illegal piece size",
				   h->piece_size);
	if (h->blocks > SEAL_BLOCKS_LIMIT)
		return fault_value(f, FAULT_UNSUPPORTED, 24,
				   "seal: too many blocks", h->blocks);
	return 0;
}

static int check_version(const uint8_t *buf, struct seal_head *out,
			 struct fault *f)
{
	if (out->version != SEAL_VERSION_1 && out->version != SEAL_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "seal: unknown version", out->version);
	out->flags = get_be32(buf + 28);
	if (out->version == SEAL_VERSION_1 && out->flags)
		return fault_value(f, FAULT_BAD, 28,
				   "seal: reserved field is not 0", out->flags);
	if (out->flags & ~(uint32_t)SEAL_FLAGS)
		return fault_value(f, FAULT_UNSUPPORTED, 28,
				   "seal: unknown flags", out->flags);
	return 0;
}

/* Of a head without its label. */
static size_t fixed_size(const struct seal_head *h)
{
	return h->version == SEAL_VERSION_1 ? SEAL_HEAD_MIN : SEAL_HEAD_SIZE;
}

static size_t text_size(const char *text)
{
	return 1 + strlen(text);
}

size_t seal_head_size(const struct seal_head *h)
{
	const struct seal_label *l = &h->label;

	if (!(h->flags & SEAL_LABELED))
		return fixed_size(h);
	return fixed_size(h) + LABEL_FIXED + text_size(l->maker) +
	       text_size(l->name);
}

/* Returns the byte behind it, or -1. */
static ssize_t label_decode(const uint8_t *buf, size_t len,
			    struct seal_label *out, struct fault *f)
{
	size_t at = SEAL_HEAD_SIZE + LABEL_FIXED;
	ssize_t n;

	if (len < at)
		return fault_set(f, FAULT_SHORT, len, "seal: label is cut off");
	out->made = get_be64(buf + SEAL_HEAD_SIZE);
	memcpy(out->uuid, buf + SEAL_HEAD_SIZE + 8, sizeof(out->uuid));
	n = name_or_none_decode(buf, len, at, out->maker, f);
	if (n < 0)
		return -1;
	at += (size_t)n;
	n = name_or_none_decode(buf, len, at, out->name, f);
	return n < 0 ? -1 : (ssize_t)at + n;
}

static size_t label_encode(uint8_t *p, const struct seal_label *l)
{
	size_t at = LABEL_FIXED;

	put_be64(p, l->made);
	memcpy(p + 8, l->uuid, sizeof(l->uuid));
	at += name_or_none_encode(p + at, l->maker);
	return at + name_or_none_encode(p + at, l->name);
}

ssize_t seal_head_decode(const uint8_t *buf, size_t len, struct seal_head *out,
			 struct fault *f)
{
	if (len < SEAL_HEAD_MIN)
		return fault_set(f, FAULT_SHORT, len, "seal: head is cut off");
	if (!seal_is_head(buf, len))
		return fault_set(f, FAULT_BAD, 0, "seal: wrong magic");
	*out = (struct seal_head){
		.version = get_be32(buf + 8),
		.page_size = get_be32(buf + 12),
		.extent_size = get_be32(buf + 16),
		.piece_size = get_be32(buf + 20),
		.blocks = get_be32(buf + 24),
		.stream_offset = get_be64(buf + 32),
		.tail_offset = get_be64(buf + 40),
		.seal_offset = get_be64(buf + 48),
	};
	if (check_version(buf, out, f))
		return -1;
	if (len < fixed_size(out))
		return fault_set(f, FAULT_SHORT, len, "seal: head is cut off");
	if (out->version != SEAL_VERSION_1)
		out->tables_offset = get_be64(buf + 56);
	if (check_sizes(out, f))
		return -1;
	return out->flags & SEAL_LABELED
		       ? label_decode(buf, len, &out->label, f)
		       : (ssize_t)fixed_size(out);
}

size_t seal_head_encode(uint8_t buf[SEAL_HEAD_MAX], const struct seal_head *h)
{
	memcpy(buf, head_magic, SEAL_MAGIC_SIZE);
	put_be32(buf + 8, h->version);
	put_be32(buf + 12, h->page_size);
	put_be32(buf + 16, h->extent_size);
	put_be32(buf + 20, h->piece_size);
	put_be32(buf + 24, h->blocks);
	put_be32(buf + 28, h->flags);
	put_be64(buf + 32, h->stream_offset);
	put_be64(buf + 40, h->tail_offset);
	put_be64(buf + 48, h->seal_offset);
	if (h->version != SEAL_VERSION_1)
		put_be64(buf + 56, h->tables_offset);
	if (!(h->flags & SEAL_LABELED))
		return fixed_size(h);
	return fixed_size(h) + label_encode(buf + fixed_size(h), &h->label);
}

ssize_t seal_block_decode(const uint8_t *buf, size_t len,
			  struct seal_block *out, struct fault *f)
{
	ssize_t n;
	size_t at;

	*out = (struct seal_block){ .used_length = 0 };
	n = name_decode(buf, len, 0, out->name, f);
	if (n < 0)
		return -1;
	at = (size_t)n;
	if (len - at < BLOCK_NUMBERS)
		return fault_set(f, FAULT_SHORT, len, "seal: block is cut off");
	out->header_end = get_be64(buf + at);
	out->bitmap_offset = get_be64(buf + at + 8);
	out->pages_offset = get_be64(buf + at + 16);
	out->used_length = get_be64(buf + at + 24);
	out->extents = get_be64(buf + at + 32);
	return (ssize_t)(at + BLOCK_NUMBERS);
}

size_t seal_block_encode(uint8_t buf[SEAL_BLOCK_MAX],
			 const struct seal_block *b)
{
	size_t at = name_encode(buf, b->name);

	put_be64(buf + at, b->header_end);
	put_be64(buf + at + 8, b->bitmap_offset);
	put_be64(buf + at + 16, b->pages_offset);
	put_be64(buf + at + 24, b->used_length);
	put_be64(buf + at + 32, b->extents);
	return at + BLOCK_NUMBERS;
}

/* ---- arranging ---- */

/* A block's memory in the file: *end moves behind it. */
static int arrange_memory(const struct seal_head *h, struct seal_block *b,
			  uint64_t *end, struct fault *f)
{
	uint64_t pages;

	if (b->used_length == 0 || b->used_length % h->page_size)
		return fault_value(f, FAULT_BAD, 0,
				   "seal: block is not whole pages",
				   b->used_length);
	pages = mapped_ram_num_pages(b->used_length, h->page_size);
	b->bitmap_size = bits_size(pages);
	if (b->bitmap_offset < *end || b->pages_offset < b->bitmap_offset ||
	    b->pages_offset - b->bitmap_offset < b->bitmap_size)
		return fault_value(f, FAULT_BAD, 0,
				   "seal: bitmap overlaps what is around it",
				   b->bitmap_offset);
	if (b->pages_offset > h->tail_offset ||
	    b->used_length > h->tail_offset - b->pages_offset)
		return fault_value(f, FAULT_BAD, 0,
				   "seal: block reaches into the tail",
				   b->pages_offset);
	*end = b->pages_offset + b->used_length;
	b->n_extents = seal_pieces(b->used_length, h->extent_size);
	return 0;
}

/* Head and blocks, from the start of the seal. */
static uint64_t front_size(const struct seal_head *h,
			   const struct seal_block *blocks)
{
	uint64_t at = seal_head_size(h);

	for (uint32_t i = 0; i < h->blocks; i++)
		at += 1 + strlen(blocks[i].name) + BLOCK_NUMBERS;
	return at;
}

uint64_t seal_tables_offset(const struct seal_head *h,
			    const struct seal_block *blocks)
{
	uint64_t at = h->seal_offset + front_size(h, blocks);

	return (at + SEAL_TABLES_ALIGN - 1) / SEAL_TABLES_ALIGN *
	       SEAL_TABLES_ALIGN;
}

/* Once the blocks' memory is known to be whole pages: no sum wraps. */
static int arrange_tables(const struct seal_head *h, struct seal_block *blocks,
			  struct seal_places *out, struct fault *f)
{
	uint64_t least = h->seal_offset + front_size(h, blocks);
	uint64_t at = h->tables_offset;

	if (h->version == SEAL_VERSION_1)
		at = least;
	else if (at < least || at > INT64_MAX)
		return fault_value(f, FAULT_BAD, 56,
				   "seal: tables overlap what is around them",
				   h->tables_offset);
	out->tables = at - h->seal_offset;
	for (uint32_t i = 0; i < h->blocks; i++) {
		struct seal_block *b = &blocks[i];

		b->table = 0;
		if (h->version == SEAL_VERSION_1 || !b->n_extents)
			continue;
		b->table = at;
		at += b->used_length / h->page_size * SEAL_ENTRY_SIZE;
	}
	out->tables_end = at - h->seal_offset;
	return 0;
}

static int check_order(const struct seal_head *h, struct fault *f)
{
	if (h->seal_offset > INT64_MAX)
		return fault_value(f, FAULT_BAD, 48, "seal: past 2^63",
				   h->seal_offset);
	if (h->tail_offset > h->seal_offset)
		return fault_value(f, FAULT_BAD, 40, "seal: tail is behind it",
				   h->tail_offset);
	if (h->stream_offset > h->tail_offset)
		return fault_value(f, FAULT_BAD, 32,
				   "seal: stream begins after its end",
				   h->stream_offset);
	return 0;
}

/* A block's place in the file; *end is where what is before it ends, then
 * where it ends. */
static int arrange_block(const struct seal_head *h, struct seal_block *b,
			 uint64_t *end, struct fault *f)
{
	b->bitmap_size = 0;
	b->n_extents = 0;
	b->header_start = *end;
	if (b->header_end <= *end || b->header_end > h->tail_offset)
		return fault_value(f, FAULT_BAD, 0,
				   "seal: header overlaps what is around it",
				   b->header_end);
	*end = b->header_end;
	if ((b->bitmap_offset || b->pages_offset) &&
	    arrange_memory(h, b, end, f))
		return -1;
	if (b->extents > b->n_extents)
		return fault_value(f, FAULT_BAD, 0,
				   "seal: more digests than extents",
				   b->extents);
	return 0;
}

/* Its digests; *at moves behind them. No sum wraps: parts of the file do not
 * overlap, it is below 2^63 bytes, and a digest stands for 256 of them at
 * least. */
static void arrange_digests(const struct seal_head *h, struct seal_block *b,
			    uint64_t *at)
{
	b->header_digests = *at;
	*at += SEAL_DIGEST_SIZE *
	       seal_pieces(b->header_end - b->header_start, h->piece_size);
	b->bitmap_digests = *at;
	*at += SEAL_DIGEST_SIZE * seal_pieces(b->bitmap_size, h->piece_size);
	b->words = *at;
	*at += SEAL_WORD_SIZE * seal_words(b->n_extents);
	b->extent_digests = *at;
	*at += SEAL_DIGEST_SIZE * b->extents;
}

int seal_arrange(const struct seal_head *h, struct seal_block *blocks,
		 struct seal_places *out, struct fault *f)
{
	uint64_t end = h->stream_offset, at;

	if (check_sizes(h, f) || check_order(h, f))
		return -1;
	for (uint32_t i = 0; i < h->blocks; i++)
		if (arrange_block(h, &blocks[i], &end, f))
			return -1;
	if (end != h->tail_offset)
		return fault_value(f, FAULT_BAD, 40,
				   "seal: tail is not where the blocks end",
				   h->tail_offset);
	if (arrange_tables(h, blocks, out, f))
		return -1;
	at = out->tables_end;
	out->front = at;
	at += SEAL_DIGEST_SIZE * seal_pieces(h->stream_offset, h->piece_size);
	for (uint32_t i = 0; i < h->blocks; i++)
		arrange_digests(h, &blocks[i], &at);
	out->tail = at;
	at += SEAL_DIGEST_SIZE *
	      seal_pieces(h->seal_offset - h->tail_offset, h->piece_size);
	out->length = at + SEAL_END_SIZE;
	return 0;
}

/* ---- end ---- */

ssize_t seal_end_decode(const uint8_t *buf, size_t len, uint64_t file_size,
			struct seal_end *out, struct fault *f)
{
	if (len < SEAL_END_SIZE)
		return fault_set(f, FAULT_SHORT, len, "seal: end is cut off");
	if (!seal_is_end(buf, SEAL_END_SIZE))
		return fault_set(f, FAULT_BAD, 24, "seal: wrong end magic");
	out->length = get_be64(buf);
	memcpy(out->digest.byte, buf + 8, SEAL_DIGEST_SIZE);
	if (out->length < SEAL_HEAD_MIN + SEAL_END_SIZE ||
	    out->length > file_size)
		return fault_value(f, FAULT_BAD, 0, "seal: impossible length",
				   out->length);
	return SEAL_END_SIZE;
}

size_t seal_end_encode(uint8_t buf[SEAL_END_SIZE], const struct seal_end *e)
{
	put_be64(buf, e->length);
	memcpy(buf + 8, e->digest.byte, SEAL_DIGEST_SIZE);
	memcpy(buf + 24, end_magic, SEAL_MAGIC_SIZE);
	return SEAL_END_SIZE;
}
