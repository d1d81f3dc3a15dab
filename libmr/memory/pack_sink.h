/* pack_sink.h - the sink that is a pack, or a plain stream (sink.h): from front
 * to back, whoever is done first. */
#ifndef LIBMR_PACK_SINK_H
#define LIBMR_PACK_SINK_H

#include <pthread.h>

#include "formats/stream.h"
#include "libmr/image/plain.h"
#include "libmr/memory/sink.h"
#include "libmr/pack/chain.h"
#include "libmr/pack/writer.h"

struct pack_slot;

struct pack_sink {
	struct sink sink;
	/* The caller's, before begin: page and extent size come from the
	 * memory, and the least that an extent is from here. */
	struct pack_form form;
	struct stream_config config; /* without capabilities */
	const struct plain_state *state;
	/* Of an increment, whose label names its top: page and extent size are
	 * the base's. NULL: all of memory. */
	const struct chain *base;
	/* Where the memory is from, if that is packs: of a full pack frames are
	 * copied from there, where they can be. NULL: all are made. */
	const struct chain *from;
	struct io *io; /* where it goes */
	unsigned jobs; /* that will put; at least 1 */
	/* After begin. */
	struct pack_writer writer;
	const struct memory *m;
	uint64_t *first; /* number of each block's first extent */
	/* A ring: the extent of number n has slot n % slots from when it was
	 * claimed until it is written. */
	struct pack_slot *ring;
	size_t slots;
	pthread_mutex_t lock;
	pthread_cond_t moved, spare;
	/* Under lock. */
	uint64_t next; /* number of the extent that is to be written */
	bool writing; /* somebody writes, or nobody ever will again */
	/* Who compresses takes one, or makes one while there is memory for it;
	 * then he waits for one. */
	struct packer *idle[MR_JOBS_MAX];
	unsigned n_idle, n_packers;
	bool enough; /* there is no memory for more */
};

/* level, plain and label's extent_size, made, uuid, maker and name. */
void pack_sink_init(struct pack_sink *s, const struct pack_form *form);

#endif
