/*
 * packed.h - an open pack, and the migration stream in it.
 *
 * The stream is what `zstd -dc` gives: head, PARTs, tail; of an increment with
 * the head in front, which zstd passes over. It is a struct io like any other:
 * bytes at a position, for any number of threads at a time. What is read is
 * found by the index, checked against its digest, unpacked, and kept for a
 * while: a few frames, whatever the pack says of itself.
 */
#ifndef LIBMR_PACKED_H
#define LIBMR_PACKED_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/pack.h"
#include "libmr/file/io.h"
#include "libmr/pack/frame.h"

/* Frames that are kept, and that are unpacked at a time. */
#define PACKED_SLOTS 16

struct packed_slot {
	uint64_t frame; /* its number; UINT64_MAX: nothing */
	unsigned users; /* who must be waited for */
	bool ready; /* false: its first user is unpacking it */
	uint64_t used; /* when, last: packed.now */
	uint8_t *bytes;
	size_t room;
	struct unpacker unpacker;
};

struct packed {
	struct io io; /* the stream */
	/* The same, but reads end before the first PART, and go on with the
	 * tail: nobody who wants that has to unpack pages. */
	struct packed_outline {
		struct io io;
		struct packed *p;
	} outline;
	struct io *file; /* the pack; the caller's */
	struct pack_label label;
	struct pack_index_head head;
	struct pack_end end;
	struct packed_block {
		const char *name; /* of b */
		struct pack_block b;
	} * blocks; /* head.blocks */
	uint8_t *index; /* as it is in the file, from its kind on */
	const uint8_t *entries; /* of index: head.extents, each entry_size */
	size_t entry_size;
	/* Frames have numbers: 0 the head, 1 .. extents, and the tail. For each
	 * of them where its first byte is in the stream, and where that ends.
	 */
	uint64_t *at;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	uint64_t now;
	struct packed_slot slots[PACKED_SLOTS];
};

/*
 * Reads label and index, and believes nothing in them before their digests
 * agree: all is in its place in the file then, with nothing between. The file
 * must outlive it. 0, or -1: MR_FORMAT, MR_SHORT and MR_UNSUPPORTED are the
 * pack's fault ("pack: ...", offsets in the file); *label is set if it could be
 * read (its page size is not 0 then). Nothing is to be released after -1.
 */
int packed_open(struct packed *p, struct io *file, struct mr_error *err);
void packed_release(struct packed *p);

/* Extent n, from 0 on. */
void packed_entry(const struct packed *p, uint64_t n, struct pack_entry *out);

/* Of an extent's note: its first byte in the file, and its bytes, both with the
 * skippable frame's PACK_SKIP_SIZE. */
uint64_t packed_note(const struct packed *p, const struct pack_entry *e,
		     size_t *size);

/* Whether the PART of an extent, unpacked, has the words that its pages must
 * have, and nothing else: what is in the pages is not looked at. */
bool packed_words_ok(const struct packed *p, const struct pack_entry *e,
		     const uint8_t *part);

/* The frame with this number, 0 .. extents + 1. */
struct pack_place packed_place(const struct packed *p, uint64_t frame);

#endif
