/*
 * proof.c - pages of a mapped-ram image against its seal, on their way.
 *
 * All else is compared beforehand, the bitmaps too: so a page that is not there
 * is one that was not there.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"
#include "libmr/memory/memory.h"
#include "libmr/seal/pages.h"
#include "libmr/seal/proof.h"

/* Pages of an extent: 1 MiB of 256 bytes, 4 MiB of 1 KiB. */
#define PAGES_MAX 4096u

struct memory_proof {
	struct sealed seal;
};

void memory_proof_free(struct memory_proof *p)
{
	if (p)
		sealed_release(&p->seal);
	free(p);
}

/* Whether the seal speaks of the blocks that were found. */
static bool is_of(const struct sealed *s, const struct mr_image *img)
{
	const struct mr_image_info *info = &img->info;

	if (s->head.blocks != info->n_blocks ||
	    s->head.page_size != info->page_size)
		return false;
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct seal_block *b = &s->blocks[i];
		const struct mr_block *k = &info->blocks[i];

		if (strcmp(b->name, k->name) != 0 ||
		    b->used_length != k->length ||
		    (k->in_file && (b->pages_offset != k->pages_offset ||
				    b->bitmap_offset != k->bitmap_offset)))
			return false;
	}
	return true;
}

static int attach(struct memory *m, struct memory_proof *p,
		  const struct mr_image *img, struct mr_error *err)
{
	const struct seal_head *h = &p->seal.head;
	int rc = sealed_open(&p->seal, img->io, err);

	/* One whose end is lost is none that proves anything. */
	if (!rc && img->info.sealed)
		return error_set(err, MR_FORMAT, img->info.stream_end,
				 "the seal is damaged: its end is lost");
	if (rc <= 0)
		return rc;
	if (!is_of(&p->seal, img))
		return error_set(err, MR_FORMAT, h->seal_offset,
				 "the seal is one of other blocks");
	if (h->extent_size / h->page_size > PAGES_MAX)
		return error_set(err, MR_UNSUPPORTED, h->seal_offset,
				 "a seal with extents of %" PRIu32
				 " pages is for mrverify alone",
				 h->extent_size / h->page_size);
	if (proof_rest(&p->seal, err))
		return -1;
	if (m->extent < h->extent_size)
		m->extent = h->extent_size;
	return 1;
}

int memory_prove(struct memory *m, const struct mr_image *img,
		 struct mr_error *err)
{
	struct memory_proof *p;
	int rc;

	/* Every frame has a digest, which whoever reads it looks at. */
	if (img->packed)
		return 1;
	if (img->info.kind != MR_IMAGE_MAPPED)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	rc = attach(m, p, img, err);
	if (rc > 0)
		m->proof = p;
	else
		memory_proof_free(p);
	return rc;
}

/* ---- an extent ---- */

/* An extent differs: which page of it does, if the table is whole. */
static int blame(const struct memory_proof *k, const struct memory_block *b,
		 uint64_t extent, const uint64_t *is, size_t n,
		 struct mr_error *err)
{
	const struct seal_head *h = &k->seal.head;
	uint64_t first = extent * (h->extent_size / h->page_size);
	uint64_t table[PAGES_MAX];
	int good = 0;

	if (h->version != SEAL_VERSION_1) {
		if (sealed_table(&k->seal, b->index, first, table, n, err))
			return -1;
		good = proof_pages(&k->seal, b->index, extent, table, n, err);
	}
	if (good < 0)
		return -1;
	for (size_t p = 0; good && p < n; p++)
		if (is[p] != table[p])
			return error_set(err, MR_FORMAT,
					 b->at + (first + p) * h->page_size,
					 "page %" PRIu64 " of block %.60s is "
					 "not as it was sealed",
					 first + p, b->name);
	return error_set(err, MR_FORMAT, b->at + first * h->page_size,
			 "pages %" PRIu64 "-%" PRIu64 " of block %.60s are not "
			 "as they were sealed",
			 first, first + n - 1, b->name);
}

/* Of version 1: 1, 0 or -1. */
static int agrees_1(const struct memory_proof *k, const struct memory_block *b,
		    uint64_t extent, const unsigned char *buf,
		    const uint64_t *bits, size_t n, struct mr_error *err)
{
	struct seal_digest is, should;
	struct hash *h;

	if (!sealed_has_extent(&k->seal, b->index, extent))
		return 0;
	h = hash_new();
	if (!h)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	is = seal_pages_digest_1(h, buf, bits, n, k->seal.head.page_size);
	hash_free(h);
	if (sealed_extent(&k->seal, b->index, extent, &should, err))
		return -1;
	return !memcmp(&is, &should, sizeof(is));
}

static int prove_extent(const struct memory_proof *k,
			const struct memory_block *b, uint64_t extent,
			const unsigned char *buf, const uint64_t *bits,
			size_t n, struct mr_error *err)
{
	uint64_t is[PAGES_MAX] = { 0 };
	int good;

	if (k->seal.head.version == SEAL_VERSION_1) {
		good = agrees_1(k, b, extent, buf, bits, n, err);
	} else {
		seal_pages(is, buf, bits, n, k->seal.head.page_size);
		good = proof_pages(&k->seal, b->index, extent, is, n, err);
	}
	if (good)
		return good < 0 ? -1 : 0;
	return blame(k, b, extent, is, n, err);
}

int memory_prove_part(const struct memory *m, const struct memory_part *p,
		      struct mr_error *err)
{
	size_t size, each, n;

	if (!m->proof)
		return 0;
	size = m->proof->seal.head.extent_size;
	each = size / m->page;
	for (size_t at = 0; at < p->pages; at += n) {
		n = p->pages - at < each ? p->pages - at : each;
		if (prove_extent(
			    m->proof, p->block, p->offset / size + at / each,
			    p->buf + at * m->page, p->bits + at / 64, n, err))
			return error_about(err, m->who);
	}
	return 0;
}
