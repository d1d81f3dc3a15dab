/*
 * writer.h - a mapped-ram file in the making.
 *
 * Same layout as QEMU's own writer. The order of use:
 *   image_writer_open     a nameless file, nothing known yet
 *   image_writer_begin    the VM is known
 *   image_writer_block    each block: its place, bitmap, the file's size
 *   image_writer_device   what comes behind the blocks: now all is in place
 *                         (who gets to know it last calls image_writer_later
 *                         instead, and this before image_writer_finish)
 *   image_writer_set      which pages are data. The data itself goes to
 *                         block->place.pages_offset + offset of out.file
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
/* And what one digest in a seal's own stands for: crew_extent_size of it. */
#define IMAGE_EXTENT (1u << 20)

struct writer_block {
	char name[NAME_SIZE];
	uint64_t used; /* bytes */
	struct mapped_ram_place place;
	uint64_t *bits; /* host order; starts clear; set = page is present */
	size_t nwords;
	bool kept; /* it began as a base's: there is old data in its place */
	/* Byte of the file where its pages' digests are; 0: no seal. */
	uint64_t table;
	uint64_t *digests; /* where they are until that is known, or NULL */
};

/* What stands behind the RAM section. Both the caller's. */
struct image_device {
	const uint8_t *sections; /* FULL sections, EOF */
	size_t len;
	const uint8_t *description; /* JSON; NULL: there is none */
	size_t description_len;
};

struct image_writer {
	struct output out;
	char machine[NAME_SIZE];
	unsigned int page_bits; /* target-page-bits; 0: left out */
	bool has_uuid; /* the caller's, before begin: the VM's, to be loaded */
	uint8_t uuid[16]; /* only by one that has the same */
	/* Before QEMU's stream, from byte 0: libvirt's header and XML. The
	 * caller's, before begin, and must outlive finish. */
	const uint8_t *front;
	size_t front_len;
	struct writer_block *blocks;
	size_t n, room;
	uint64_t ram; /* bytes, all blocks */
	uint64_t tail; /* byte of the file where the last block ends */
	struct image_device device;
	uint64_t size; /* of the finished image, after finish */
	bool sealed; /* finish writes a seal */
	bool labelled; /* which says this; image_writer_label */
	struct seal_label label;
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

/* page_bits is what the configuration says of the page size
 * (target_page_bits). */
int image_writer_begin(struct image_writer *w, const char *machine,
		       unsigned int page_bits, struct mr_error *err);
/* The next block of the list, of `length` bytes; no page of it is data yet. */
int image_writer_block(struct image_writer *w, const char *name,
		       uint64_t length, struct mr_error *err);

/* Before image_writer_device: the image is of this moment (seconds since 1970,
 * 0: not known) of this VM (uuid: 16 bytes, or NULL; name: "" if not known). */
void image_writer_label(struct image_writer *w, uint64_t made,
			const uint8_t *uuid, const char *name);
/* After the last block: what d points to must outlive finish. */
int image_writer_device(struct image_writer *w, const struct image_device *d,
			struct mr_error *err);
/* After the last block: pages come before that is known. With a seal this
 * takes 8 bytes of memory for each page that will be present. */
int image_writer_later(struct image_writer *w, struct mr_error *err);

/*
 * Of a block's pages from `first` on those with a bit are data, which stands
 * in buf, a page for each bit; the others are not, or not any more. With a
 * seal their digests go into the file, and those pages that were data with the
 * same digest before get a bit in same (room for `pages`), the others none; may
 * be NULL. Threads may share a word of b->bits, but not a page.
 */
int image_writer_set(struct image_writer *w, struct writer_block *b,
		     uint64_t first, const uint64_t *bits, size_t pages,
		     const unsigned char *buf, uint64_t *same,
		     struct mr_error *err);
/* None of n pages is data, or not any more. */
int image_writer_clear(struct image_writer *w, struct writer_block *b,
		       uint64_t first, uint64_t n, struct mr_error *err);

/* Writes all that is not page data. */
int image_writer_finish(struct image_writer *w, struct mr_error *err);

/* Bytes of pages that are in it. */
uint64_t image_writer_data(const struct image_writer *w);

/* w may be published, failed, or IMAGE_WRITER_NONE. */
void image_writer_release(struct image_writer *w);

#endif
