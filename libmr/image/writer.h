/*
 * image_writer.h - the sink `image`: a mapped-ram file in the making.
 *
 * Same layout as QEMU's own writer. The order of use:
 *   image_writer_open     a nameless file, nothing known yet
 *   image_writer_layout   the blocks are known: places, bitmaps, file size
 *   ...                   page data goes to block->place.pages_offset + offset
 *                         through out.file, bits into block->bits, and
 *                         with a seal digests into block->digests
 *   image_writer_finish   headers, bitmaps, device state, the seal
 *   output_publish(&w->out)
 */
#ifndef LIBMR_IMAGE_WRITER_H
#define LIBMR_IMAGE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "formats/mapped_ram.h"
#include "formats/name.h"
#include "libmr/mr.h"
#include "libmr/file/output.h"
#include "libmr/seal/sealer.h"

/* The target page size of every image that we make: others are refused. */
#define IMAGE_PAGE 4096u
/* And what one digest of a seal stands for: crew_extent_size of it. */
#define IMAGE_EXTENT (1u << 20)

struct writer_block {
	char name[NAME_SIZE];
	uint64_t used; /* bytes */
	struct mapped_ram_place place;
	uint64_t *bits; /* host order; starts clear; set = page is present */
	size_t nwords;
	/* One for each extent that has a page; NULL: there is no seal. */
	struct seal_digest *digests;
	size_t ndigests;
};

struct image_writer {
	struct output out;
	char machine[NAME_SIZE];
	unsigned int page_bits; /* target-page-bits; 0: left out */
	struct writer_block *blocks;
	size_t n;
	uint64_t ram; /* bytes, all blocks */
	uint64_t tail; /* byte of the file where the last block ends */
	uint64_t size; /* of the finished image, after finish */
	bool sealed; /* finish writes a seal */
	struct sealer sealer;
};

#define IMAGE_WRITER_NONE          \
	{                          \
		.out = OUTPUT_NONE \
	}

/* seal: the image gets one (formats/seal.md). */
int image_writer_open(struct image_writer *w, const char *path,
		      enum gate_rule rule, enum mr_direct direct, bool seal,
		      struct mr_error *err);

/* names and lengths (bytes) of n blocks, in the order of the list. page_bits
 * is what the configuration says of the page size (target_page_bits). */
int image_writer_layout(struct image_writer *w, const char *machine,
			unsigned int page_bits, size_t n,
			const char *const *names, const uint64_t *lengths,
			struct mr_error *err);

/*
 * Writes all that is not page data. device is the output of
 * xen-save-devices-state (a stream header, FULL sections, EOF); it goes in as
 * it is, without its header.
 */
int image_writer_finish(struct image_writer *w, const uint8_t *device,
			size_t device_len, struct mr_error *err);

/* w may be published, failed, or IMAGE_WRITER_NONE. */
void image_writer_release(struct image_writer *w);

#endif
