/*
 * intake.h - a migration stream as it comes, into a sink.
 *
 * The main connection carries all but the pages that a source with multifd
 * sends over others (multifd.md). The thread that calls intake_run reads it;
 * each channel has a thread of its own, which puts its pages where they belong
 * as they come. Memory is bounded by the number of channels, and by the device
 * state.
 */
#ifndef LIBMR_INTAKE_H
#define LIBMR_INTAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/colo.h"
#include "formats/multifd.h"
#include "formats/stream.h"
#include "libmr/base/names.h"
#include "libmr/file/reader.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/capture.h"
#include "libmr/wire/link.h"
#include "libmr/wire/pour.h"
#include "libmr/wire/rounds.h"
#include "libmr/wire/tail.h"
#include "libmr/wire/twice.h"

struct intake;

struct intake_channel {
	struct intake *in;
	struct link link;
	struct multifd_init init;
	pthread_t thread;
	bool running;
	/* The thread's, until it was joined. */
	struct pour pour;
	uint64_t packets;
	uint64_t last; /* 1 + the highest number of a packet */
	/* Packets without anything that follow a sync with pages (multifd.md).
	 */
	uint64_t owed;
	bool beyond; /* pages or a sync came behind the last barrier */
	uint32_t method; /* enum multifd_flag; 0: none, or not known yet */
	bool has_method; /* it is known, and stays */
};

struct intake {
	struct wire wire; /* the caller begins it */
	struct link main;
	struct sink *to; /* the caller's */
	/*
	 * Called when the list of RAM blocks is known and the first barrier has
	 * come: adds the channels that are there (intake_channel_add). NULL:
	 * there are none.
	 */
	int (*gather)(struct intake *in, void *arg, struct mr_error *err);
	void *arg;
	struct capture *capture; /* the caller's, made; NULL: nothing is kept */
	/* Called at each barrier, when all pages before it are in the sink and
	 * none behind it; at: byte of the main connection. -1: no memory. May
	 * be NULL. */
	int (*round_over)(void *arg, uint64_t at);
	void *round_arg;
	bool deaf; /* what is read was kept: nobody is there to be answered */
	/* The memory is of no concern: the source may leave some of it out, and
	 * keep its disks. */
	bool devices_only;
	bool colo; /* it may be a primary's, and is not the last (colo.h) */

	/* What is found. */
	struct stream_config config;
	struct memory memory; /* no more than names and lengths */
	size_t blocks_room;
	struct names names;
	bool return_path; /* the source listens */
	bool announced; /* it says that it is a primary: before QEMU 11.0 */
	uint64_t words; /* pages of the main connection */
	uint64_t barriers;
	struct memory_tally tally; /* of all threads, after intake_run */
	struct tail tail; /* device state, after intake_run */

	/* Its own. */
	struct reader r;
	struct pour pour;
	uint32_t section; /* of "ram" */
	size_t last_block; /* CONTINUE's; memory.n: none yet */
	enum { SECTIONS_NONE, RAM_STARTED, RAM_ENDED } state;
	bool checkpoint; /* one is being taken (colo.c) */
	/* Where main had the words of the last one; 0: not yet (colo.c). */
	uint64_t said[COLO_LOADED + 1];
	bool held; /* the channels wait at a barrier that has come (words.c) */
	bool no_footers; /* the source sends none */
	bool flushed; /* the source says FLUSH: barriers are not at EOS */
	bool gathered;
	struct intake_channel *channels;
	size_t n_channels, room;
	struct rounds rounds;
	struct twice twice; /* of all who pour, if there are channels */
	atomic_uint_fast64_t poured, total; /* bytes of pages, and of RAM */
	pthread_mutex_t telling; /* one thread at a time tells of that */
	pthread_mutex_t lock;
	struct mr_error why; /* the first failure of a channel */
};

/* Takes over fd, where the next byte is the stream's first. wire was begun.
 * MR_NOMEM. */
int intake_init(struct intake *in, int fd, struct sink *to,
		struct mr_error *err);
void intake_release(struct intake *in);

/* Takes over fd, where a channel's init is the next that comes, and waits for
 * that. From gather. */
int intake_channel_add(struct intake *in, int fd, struct mr_error *err);

/* All of the stream, up to the end of its description: the memory is in the
 * sink, which was begun and not ended. */
int intake_run(struct intake *in, struct mr_error *err);
/* The same, and the channels go on: not all may be in the sink that came more
 * than once since the last barrier (intake_settle, with nobody putting). */
int intake_first(struct intake *in, struct mr_error *err);
int intake_settle(struct intake *in, struct sink *to, struct mr_error *err);
/* Deaf, with colo, and nobody puts: whether all packets before the last barrier
 * have come. */
int intake_check_numbers(const struct intake *in, struct mr_error *err);
/* Likewise, and nothing more is to come of main: the channels to their ends. */
int intake_finish(struct intake *in, struct mr_error *err);
/* After that: ends the channels, and says in *err what was wrong first, with
 * them or the connection, if that is why *err is what it is. */
void intake_blame(struct intake *in, struct mr_error *err);

/* What the channels carried, after that: their packets, and how they are
 * packed, "none" without any. */
uint64_t intake_packets(const struct intake *in);
const char *intake_method(const struct intake *in);

/* Tells the source how it went, if it wants to know. */
int intake_answer(struct intake *in, bool well, struct mr_error *err);

/* ---- what its parts share ---- */

/* What the main connection has: at least *need bytes, which becomes one more
 * than there are, for who finds that too few. */
int intake_peek(struct intake *in, size_t *need, const uint8_t **buf,
		size_t *len, struct mr_error *err);
/* The next element: 1; 0: it is device state, and still to be read; or -1. */
int intake_element(struct intake *in, struct mr_error *err);
/* A payload of "ram". */
int intake_ram(struct intake *in, bool start, struct mr_error *err);
/* Starts the threads of the channels; -1 also if one of them is missing. */
int intake_start_channels(struct intake *in, struct mr_error *err);
/* Waits for them: nothing more is to come. */
int intake_join_channels(struct intake *in, struct mr_error *err);
/* For a pour: so many bytes of pages are in the sink. */
void intake_poured(void *in, uint64_t bytes);
/* The number of a block, or NAMES_NONE with *err filled. */
size_t intake_find(const struct intake *in, const char *name, uint64_t at,
		   struct mr_error *err);

#endif
