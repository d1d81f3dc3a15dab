/* touched.c - head, blocks and runs of a record of touched pages. */
#include "formats/touched.h"

#include <string.h>

#include "formats/bytes.h"

static const uint8_t magic[TOUCHED_MAGIC_SIZE] = { 0x8b, 'm', 'r', 't',
						   'c',	 'h', 'd', '\n' };

bool touched_is_head(const uint8_t *buf, size_t len)
{
	return len >= TOUCHED_MAGIC_SIZE &&
	       !memcmp(buf, magic, TOUCHED_MAGIC_SIZE);
}

static int check_head(const struct touched_head *h, struct fault *f)
{
	if (h->group_size < TOUCHED_GROUP_MIN ||
	    h->group_size > TOUCHED_GROUP_MAX ||
	    (h->group_size & (h->group_size - 1)))
		return fault_value(f, FAULT_BAD, 12,
				   "touched: illegal group size",
				   h->group_size);
	if (h->known_by != TOUCHED_BY_SEAL && h->known_by != TOUCHED_BY_FILE)
		return fault_value(f, FAULT_UNSUPPORTED, 16,
				   "touched: image known by something else",
				   h->known_by);
	if (h->blocks > TOUCHED_BLOCKS_LIMIT)
		return fault_value(f, FAULT_UNSUPPORTED, 20,
				   "touched: too many blocks", h->blocks);
	if (h->runs > TOUCHED_RUNS_LIMIT)
		return fault_value(f, FAULT_UNSUPPORTED, 24,
				   "touched: too many runs", h->runs);
	return 0;
}

ssize_t touched_head_decode(const uint8_t *buf, size_t len,
			    struct touched_head *out, struct fault *f)
{
	if (len < TOUCHED_HEAD_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "touched: head is cut off");
	if (!touched_is_head(buf, len))
		return fault_set(f, FAULT_BAD, 0, "touched: wrong magic");
	if (get_be32(buf + 8) != TOUCHED_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "touched: unknown version",
				   get_be32(buf + 8));
	*out = (struct touched_head){
		.group_size = get_be32(buf + 12),
		.known_by = (enum touched_known_by)get_be32(buf + 16),
		.blocks = get_be32(buf + 20),
		.runs = get_be64(buf + 24),
	};
	memcpy(out->image, buf + 32, TOUCHED_DIGEST_SIZE);
	return check_head(out, f) ? -1 : TOUCHED_HEAD_SIZE;
}

size_t touched_head_encode(uint8_t buf[TOUCHED_HEAD_SIZE],
			   const struct touched_head *h)
{
	memcpy(buf, magic, TOUCHED_MAGIC_SIZE);
	put_be32(buf + 8, TOUCHED_VERSION);
	put_be32(buf + 12, h->group_size);
	put_be32(buf + 16, h->known_by);
	put_be32(buf + 20, h->blocks);
	put_be64(buf + 24, h->runs);
	memcpy(buf + 32, h->image, TOUCHED_DIGEST_SIZE);
	return TOUCHED_HEAD_SIZE;
}

ssize_t touched_block_decode(const uint8_t *buf, size_t len,
			     struct touched_block *out, struct fault *f)
{
	ssize_t n;

	*out = (struct touched_block){ .used_length = 0 };
	n = name_decode(buf, len, 0, out->name, f);
	if (n < 0)
		return -1;
	if (len - (size_t)n < 8)
		return fault_set(f, FAULT_SHORT, len,
				 "touched: block is cut off");
	out->used_length = get_be64(buf + n);
	return n + 8;
}

size_t touched_block_encode(uint8_t buf[TOUCHED_BLOCK_MAX],
			    const struct touched_block *b)
{
	size_t at = name_encode(buf, b->name);

	put_be64(buf + at, b->used_length);
	return at + 8;
}

ssize_t touched_run_decode(const uint8_t *buf, size_t len,
			   const struct touched_head *h,
			   const struct touched_block *blocks,
			   struct touched_run *out, struct fault *f)
{
	const struct touched_block *b;
	uint64_t all;

	if (len < TOUCHED_RUN_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "touched: run is cut off");
	*out = (struct touched_run){ .block = get_be32(buf),
				     .first = get_be32(buf + 4),
				     .groups = get_be32(buf + 8) };
	if (out->block >= h->blocks)
		return fault_value(f, FAULT_BAD, 0,
				   "touched: run in a block that is not there",
				   out->block);
	b = &blocks[out->block];
	all = touched_groups(b->used_length, h->group_size);
	if (out->first >= all)
		return fault_value(f, FAULT_BAD, 4,
				   "touched: run begins behind its block",
				   out->first);
	if (out->groups == 0 || out->groups > all - out->first)
		return fault_value(f, FAULT_BAD, 8,
				   "touched: run is not inside its block",
				   out->groups);
	if (out->groups > all - b->named)
		return fault_value(f, FAULT_BAD, 8,
				   "touched: groups are named again",
				   out->groups);
	return TOUCHED_RUN_SIZE;
}

size_t touched_run_encode(uint8_t buf[TOUCHED_RUN_SIZE],
			  const struct touched_run *r)
{
	put_be32(buf, r->block);
	put_be32(buf + 4, r->first);
	put_be32(buf + 8, r->groups);
	return TOUCHED_RUN_SIZE;
}
