/* mr/capture.h - a migration that was kept, judged as a whole. */
#ifndef LIBMR_MR_CAPTURE_H
#define LIBMR_MR_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* Pages as they came, a page that came twice, twice. */
struct mr_capture_pages {
	uint64_t data, zero;
	/* Of both: in the same round again. Legal where memory was plugged
	 * meanwhile; QEMU 7.2 does it (formats/multifd.md); and else a
	 * source's fault. */
	uint64_t twice;
};

struct mr_capture_block {
	char *name;
	uint64_t length; /* bytes */
	struct mr_capture_pages pages;
};

/* What came between two barriers (formats/multifd.md), or in a section of a
 * source that has none. */
struct mr_capture_round {
	struct mr_capture_pages pages;
	uint64_t checkpoint; /* it belongs to; 0: the first migration */
	uint64_t main_end; /* byte of the main connection where it ends */
	double seconds; /* from the first byte until then; < 0: not known */
};

/* What a COLO primary said (formats/colo.md). What the secondary answered is
 * not kept: "vmstate-send" follows on its reply, the next "checkpoint-request"
 * on its "vmstate-loaded". */
struct mr_capture_word {
	const char *name;
	uint64_t checkpoint; /* from 1 on */
	uint64_t offset; /* byte of the main connection where it begins */
	/* Of it, with the memory or the device state that follows: as far as
	 * it is there. */
	uint64_t bytes;
	double seconds; /* when the word had come; < 0: not known */
};

/* One that came, whole; from 1 on. */
struct mr_capture_checkpoint {
	struct mr_capture_pages pages;
	uint64_t rounds; /* in which a page came */
	uint64_t bytes; /* of all connections */
	uint64_t device; /* bytes of device state */
	uint64_t main_end; /* byte of the main connection where it ends */
	double seconds; /* when it had come; < 0: not known */
};

struct mr_capture_info {
	char machine[256]; /* "": not known */
	char run_state[32];
	unsigned channels;
	char method[16]; /* "none", "zlib", ... of the channels */
	uint32_t page_size;
	uint64_t packets; /* of all channels */
	uint64_t barriers; /* that all channels came to */
	uint64_t bytes; /* of all connections, as far as they were read */
	uint64_t device; /* bytes of device state, of the first migration */
	struct mr_capture_pages pages;
	struct mr_capture_block *blocks; /* of the source's list */
	size_t n_blocks;
	/* Those in which a page came. */
	struct mr_capture_round *rounds;
	size_t n_rounds;
	struct mr_capture_checkpoint *checkpoints; /* of a primary */
	size_t n_checkpoints;
	struct mr_capture_word *words; /* of these, and of one that broke off */
	size_t n_words;
	/* Why there are no more of them than these; code MR_OK: the primary
	 * closed the connection between two. That is no damage. */
	struct mr_error broken;
	double seconds; /* to the last byte; < 0: the index is not there */
	/* Why it is no complete migration, and what is wrong with the index;
	 * code MR_OK: nothing. */
	struct mr_error damage, index_damage;
};

/*
 * Takes in what mr_recv has kept in the folder path, as mr_recv would, and
 * makes nothing of it: every length, place, barrier and number of packets is
 * checked. *info is for mr_capture_release, on failure too. -1: it could not be
 * read; what is wrong with it is no failure.
 */
int mr_capture_read(const char *path, const struct mr_watch *watch,
		    struct mr_capture_info *info, struct mr_error *err);
void mr_capture_release(struct mr_capture_info *info);

#pragma GCC visibility pop

#endif
