/*
 * sink.h - where memory goes.
 *
 *   image_sink.c   a mapped-ram image, with a seal
 *   files.c        memory files, one for each block
 *   pack_sink.c    a pack, or a plain stream
 *   nothing.c      nowhere
 *
 * memory_copy takes all of a memory there. Whoever is given the pages of one
 * (a stream that is received) can as well put them himself: parts of whatever
 * size, in any order, and a page as often as it comes; the last one counts.
 */
#ifndef LIBMR_SINK_H
#define LIBMR_SINK_H

#include <stdatomic.h>

#include "libmr/memory/memory.h"

struct memory_tally {
	/* Bytes of pages. */
	uint64_t untouched, scanned; /* the two make all */
	uint64_t zero, data; /* the two make scanned */
	/* Bytes moved: a read or a write takes small gaps with it. */
	uint64_t read, written;
	uint64_t same; /* of data: the sink had it, and it was not written */
	uint64_t in_room; /* of the latter, read to where they belong */
	/* Of written: what the sink took as it was, and in how many frames. */
	uint64_t copied, frames;
	unsigned jobs; /* threads */
};

/* Who puts: one thread. */
struct sink_hand {
	/* Writes are left to this slot, or to out; NULL: they are done at
	 * once. */
	struct crew_worker *w;
	struct crew_slot *s;
	struct outbox *out; /* the buffer of parts is its */
	struct memory_tally *tally;
	void *own; /* sink->hand_size bytes, zero before the first call */
};

struct sink;

/* Blocks are called by their number in the memory that begin was given. */
struct sink_ops {
	/* Nothing was put yet: the names and lengths of the blocks. */
	int (*begin)(struct sink *k, const struct memory *m,
		     struct mr_error *err);
	/* Whether the n-th extent of all blocks (held) may be begun with: then,
	 * and with each before it, at any time. wait: not without waiting for
	 * that for some time. NULL: any may. */
	bool (*open)(struct sink *k, uint64_t n, bool wait);
	/*
	 * Whether the sink has an extent from somewhere else, as it is: it is
	 * neither read nor put then. Returns the bytes that it moved; 0: it has
	 * not; -1: it failed, and *err is about whom it is from if about
	 * nobody. Asked of extents in which pages were touched; may be NULL.
	 */
	int64_t (*take)(struct sink *k, const struct sink_hand *h, size_t block,
			const struct memory_part *p, struct mr_error *err);
	/* Where a part may be read to instead of a buffer: it is in the sink
	 * then, and not put. Nobody but the kernel may touch it. NULL: there
	 * is no such room here. May be NULL. */
	unsigned char *(*room)(struct sink *k, const struct sink_hand *h,
			       size_t block, const struct memory_part *p);
	/* A part: the pages that have a bit are data, the others zero. It is
	 * p's owner's again when the writes of h are done. Pages of one word
	 * of a block's bitmap are put by one thread at a time. */
	int (*put)(struct sink *k, const struct sink_hand *h, size_t block,
		   const struct memory_part *p, struct mr_error *err);
	/* No page of these holds data, or not any more. What was never put nor
	 * zeroed is zero as well where the sink was new. */
	int (*zero)(struct sink *k, const struct sink_hand *h, size_t block,
		    uint64_t offset, uint64_t length, struct mr_error *err);
	/* One page as it was put last, after all writes of h: zeros if it never
	 * was, or is zero. NULL: this sink cannot say. */
	int (*get)(struct sink *k, const struct sink_hand *h, size_t block,
		   uint64_t offset, unsigned char *page, struct mr_error *err);
	/* Gives up what a hand has; may be NULL. */
	void (*let_go)(struct sink *k, void *own);
	/* All has been put. */
	int (*end)(struct sink *k, struct mr_error *err);
	/* Frees it. What was not ended is undone. */
	void (*abandon)(struct sink *k);
};

/* First member of each back end. */
struct sink {
	const struct sink_ops *ops;
	/* It looks for zero pages itself, later: what is put need not be looked
	 * at before, and may be put page by page, from wherever it lies. */
	atomic_bool unsifted;
	size_t extent; /* bytes that are best put at a time */
	size_t hand_size; /* bytes */
};

/* length bytes for byte `at` of a file, on a hand's behalf. */
int sink_write(const struct sink_hand *h, struct file *file, const void *bytes,
	       size_t length, uint64_t at, struct mr_error *err);
/* Before something else is done to these bytes: waits for what a hand writes
 * there through its outbox. */
int sink_settle(const struct sink_hand *h, const struct file *file, uint64_t at,
		uint64_t length, struct mr_error *err);

/* Stretches of an extent that changed since a base: more take longer to write
 * one by one than all of it. */
#define SINK_STRETCHES 4u

/* Of blocks up to this size, those of firmware, a stream says which pages are
 * zero: they may hold something where it is loaded. */
#define SINK_SMALL (UINT64_C(16) << 20)

/* Whatever is put there is gone, and a page that is asked for is zero. */
extern struct sink sink_nothing;

struct memory_copy_options {
	enum mr_direct direct; /* to read with */
	unsigned jobs; /* 0: as the crew likes */
	uint64_t limit; /* bytes a second, read and written; 0: none */
	const struct mr_watch *watch;
	struct crew_leavers *leavers; /* as in crew_plan */
};

/* Begins the sink and takes all blocks of the memory there. What was copied
 * is added to *t, on failure too. */
int memory_copy(struct memory *from, struct sink *to,
		const struct memory_copy_options *o, struct memory_tally *t,
		struct mr_error *err);

#endif
