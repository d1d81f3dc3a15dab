/*
 * writer.h - a pack in the making (formats/pack.h), from front to back; or a
 * plain stream: the same without frames, notes and index; or that as zstd
 * leaves it.
 *
 * The order of use:
 *   pack_writer_begin    label and head
 *   pack_frame_make      an extent: by any thread, with a packer of its own
 *   pack_writer_add      one thread at a time, in the order of the extents
 *   pack_writer_finish   tail and index
 */
#ifndef LIBMR_PACK_WRITER_H
#define LIBMR_PACK_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/pack.h"
#include "libmr/file/io.h"
#include "libmr/mr.h"

struct pack_form {
	bool plain; /* a stream */
	bool bare; /* zstd's frames and nothing else: a compressed stream */
	int level; /* zstd's, 1 .. 19 */
	/* Extent and page size are known; of a stream they are all that
	 * counts, as of one that is bare. */
	struct pack_label label;
};

struct pack_writer {
	struct pack_form form;
	struct io *io; /* the caller's; its bytes come one after the other */
	uint64_t at; /* bytes written */
	struct pack_index_head head;
	uint8_t *index; /* from its kind on */
	uint64_t room, used; /* bytes of it */
};

#define PACK_WRITER_NONE   \
	{                  \
		.io = NULL \
	}

/* What a thread compresses with; starts as { 0 }. */
struct packer {
	struct ZSTD_CCtx_s *zstd;
	uint8_t *part; /* the PART that is compressed */
};
void packer_release(struct packer *p);

/* Bytes of an extent, ready to be written. */
struct pack_frame {
	uint8_t *bytes; /* pack_frame_room of them */
	size_t len;
	size_t note; /* bytes before the frame */
	struct pack_entry entry; /* but for the place's offset */
};
size_t pack_frame_room(const struct pack_form *form);

/* pages: all of the extent, of which those that are there are looked at. An
 * extent that has nothing to say has no bytes. */
int pack_frame_make(const struct pack_form *form, struct packer *p,
		    const struct pack_extent *e, const char *block,
		    const unsigned char *pages, struct pack_frame *f,
		    struct mr_error *err);

/*
 * Blocks in the order of the head, whose bytes come after; of a stream they do
 * not count. extents: that can have something to say, at most. After a failure
 * too w is to be released.
 */
int pack_writer_begin(struct pack_writer *w, const struct pack_form *form,
		      struct io *io, const struct pack_block *blocks, size_t n,
		      uint64_t extents, const void *head, size_t len,
		      struct mr_error *err);
int pack_writer_add(struct pack_writer *w, struct pack_frame *f,
		    struct mr_error *err);
int pack_writer_finish(struct pack_writer *w, const void *tail, size_t len,
		       struct mr_error *err);
void pack_writer_release(struct pack_writer *w); /* may be PACK_WRITER_NONE */

#endif
