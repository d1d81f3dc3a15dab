/* record.c - the file of touched pages (formats/touched.md) of an image. */
#include "libmr/instant/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/file/output.h"
#include "libmr/seal/sealed.h"

/* All that one can have, and more than any has. */
#define RECORD_MAX ((uint64_t)64 << 20)

/* What the image is known by. */
static int identify(const struct mr_instant *in, struct touched_head *h,
		    struct mr_error *err)
{
	struct seal_end end;
	uint64_t size;
	struct stat st;
	uint8_t facts[32];
	int rc = sealed_find(in->img->io, &end, &size, err);

	if (rc < 0)
		return -1;
	h->known_by = rc ? TOUCHED_BY_SEAL : TOUCHED_BY_FILE;
	if (!rc) {
		if (fstat(in->img->file.fd, &st))
			return error_sys(err, MR_NO_OFFSET, "cannot stat");
		put_be64(facts, st.st_ino);
		put_be64(facts + 8, (uint64_t)st.st_size);
		put_be64(facts + 16, (uint64_t)st.st_mtim.tv_sec);
		put_be64(facts + 24, (uint64_t)st.st_mtim.tv_nsec);
		end.digest = hash_bytes(facts, sizeof(facts));
	}
	memcpy(h->image, end.digest.byte, sizeof(h->image));
	return 0;
}

/* ---- writing ---- */

static uint8_t *encode(const struct mr_instant *in, struct touched_head *h,
		       const struct touched_run *runs, size_t *len)
{
	const size_t room = TOUCHED_HEAD_SIZE + h->blocks * TOUCHED_BLOCK_MAX +
			    h->runs * TOUCHED_RUN_SIZE + TOUCHED_DIGEST_SIZE;
	uint8_t *buf = malloc(room);
	struct seal_digest d;
	size_t at;

	if (!buf)
		return NULL;
	at = touched_head_encode(buf, h);
	for (size_t i = 0; i < in->info->n_blocks; i++) {
		const struct mr_block *b = &in->info->blocks[i];
		struct touched_block t = { .used_length = b->length };

		memcpy(t.name, b->name, strlen(b->name) + 1);
		at += touched_block_encode(buf + at, &t);
	}
	for (size_t i = 0; i < h->runs; i++)
		at += touched_run_encode(buf + at, &runs[i]);
	d = hash_bytes(buf, at);
	memcpy(buf + at, d.byte, sizeof(d));
	*len = at + sizeof(d);
	return buf;
}

int instant_write_record(const struct mr_instant *in,
			 const struct touched_run *runs, size_t n,
			 struct mr_error *err)
{
	struct touched_head h = { .group_size = TOUCHED_GROUP,
				  .blocks = (uint32_t)in->info->n_blocks,
				  .runs = n };
	struct output o;
	uint8_t *buf;
	size_t len;
	int rc = -1;

	if (identify(in, &h, err))
		return -1;
	buf = encode(in, &h, runs, &len);
	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	if (!output_create(&o, in->options->record, GATE_TOUCHED, MR_DIRECT_OFF,
			   err)) {
		if (!io_write_full(&o.file.io, buf, len, 0, err))
			rc = output_publish(&o, err);
		output_discard(&o);
	}
	free(buf);
	return rc;
}

/* ---- reading ---- */

/* As encode writes it; what is not so is a fault, at a byte of buf. */
static int decode(const struct mr_instant *in, const uint8_t *buf, size_t len,
		  struct touched_head *h, struct touched_block *blocks,
		  struct record *r, struct fault *f)
{
	size_t at = TOUCHED_HEAD_SIZE;
	ssize_t n;

	for (size_t i = 0; i < h->blocks; i++, at += (size_t)n) {
		const struct mr_block *b = &in->info->blocks[i];

		n = touched_block_decode(buf + at, len - at, &blocks[i], f);
		if (n < 0)
			return -1;
		if (blocks[i].used_length != b->length ||
		    strcmp(blocks[i].name, b->name) != 0)
			return fault_set(f, FAULT_BAD, at,
					 "touched: not a block of the image");
	}
	if ((len - at) / TOUCHED_RUN_SIZE != h->runs ||
	    (len - at) % TOUCHED_RUN_SIZE)
		return fault_set(f, FAULT_BAD, 24, "touched: wrong length");
	for (; r->n < h->runs; at += TOUCHED_RUN_SIZE, r->n++) {
		struct touched_run *run = &r->runs[r->n];

		if (touched_run_decode(buf + at, len - at, h, blocks, run, f) <
		    0)
			return -1;
		blocks[run->block].named += run->groups;
	}
	return 0;
}

/* Whether these bytes are whole and about this image. 1, 0 or -1. */
static int parse(const struct mr_instant *in, const uint8_t *buf, size_t len,
		 struct record *r, struct mr_error *err)
{
	struct touched_head h, own;
	struct touched_block *blocks;
	struct seal_digest d;
	struct fault f;
	int rc = -1;

	if (touched_head_decode(buf, len, &h, &f) < 0)
		return error_fault(err, &f, 0);
	if (identify(in, &own, err))
		return -1;
	if (h.known_by != own.known_by || h.blocks != in->info->n_blocks ||
	    memcmp(h.image, own.image, sizeof(h.image)) != 0)
		return 0;
	if (len < TOUCHED_HEAD_SIZE + TOUCHED_DIGEST_SIZE)
		return error_set(err, MR_SHORT, len, "cut off");
	len -= TOUCHED_DIGEST_SIZE;
	d = hash_bytes(buf, len);
	if (memcmp(d.byte, buf + len, sizeof(d)) != 0)
		return error_set(err, MR_FORMAT, len, "its digest differs");
	blocks = calloc(h.blocks + 1, sizeof(*blocks));
	r->runs = calloc(h.runs + 1, sizeof(*r->runs));
	r->group_size = h.group_size;
	if (!blocks || !r->runs)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	else if (decode(in, buf, len, &h, blocks, r, &f))
		(void)error_fault(err, &f, 0);
	else
		rc = 1;
	free(blocks);
	return rc;
}

int instant_read_record(const struct mr_instant *in, struct record *r,
			struct mr_error *err)
{
	struct file f = FILE_CLOSED;
	uint8_t *buf = NULL;
	int rc = -1;

	*r = (struct record){ 0 };
	if (file_open(&f, in->options->record, MR_DIRECT_OFF, err))
		return -1;
	if (f.io.size > RECORD_MAX)
		(void)error_set(err, MR_FORMAT, MR_NO_OFFSET,
				"too large for a record of touched pages");
	else if (!(buf = malloc((size_t)f.io.size + 1)))
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	else if (!io_read_full(&f.io, buf, (size_t)f.io.size, 0, err))
		rc = parse(in, buf, (size_t)f.io.size, r, err);
	free(buf);
	(void)file_close(&f);
	if (rc != 1)
		free(r->runs);
	return rc;
}
