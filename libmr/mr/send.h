/* mr/send.h - an image into a QEMU that waits for a migration. */
#ifndef LIBMR_MR_SEND_H
#define LIBMR_MR_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* Of multifd, at most. */
#define MR_CHANNELS_MAX 255u
/* Seconds of silence after which a destination counts as gone: it loads what
 * it has before it answers. */
#define MR_SEND_TIMEOUT 300u

enum mr_compress { MR_COMPRESS_NONE, MR_COMPRESS_ZLIB, MR_COMPRESS_ZSTD };

struct mr_send_options {
	/* As the destination was told: capability multifd and its channels (0:
	 * without), multifd-compression. */
	unsigned channels;
	enum mr_compress compress; /* with channels */
	int level; /* zlib 0 .. 9, zstd 0 .. 20; 1 is QEMU's default */
	uint8_t uuid[16]; /* the destination's -uuid; zeros: it has none */
	enum mr_direct direct; /* to read with */
	unsigned timeout; /* seconds; 0: MR_SEND_TIMEOUT */
	struct mr_watch watch;
};
#define MR_SEND_OPTIONS_INIT \
	{                    \
		.level = 1   \
	}

struct mr_send_report {
	char machine[256];
	char run_state[32]; /* that the guest comes up in; "": not said */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t data; /* pages that were sent, bytes */
	uint64_t device; /* bytes of device state, with its description */
	uint64_t sent; /* bytes, on all connections */
	uint64_t packets;
	double seconds;
};

/*
 * Plays the image (mapped-ram or a plain stream) into what waits at uri: a
 * QEMU (4.0 or later) with -incoming, or mr_recv. 0: the destination says that
 * it has loaded it. err->who: 1 image, 2 uri. MR_REFUSED: it is no image that
 * can be loaded; nothing was sent. MR_QMP: the destination said no, or
 * broke off.
 */
int mr_send(const char *image, const char *uri,
	    const struct mr_send_options *options,
	    struct mr_send_report *report, struct mr_error *err);

#pragma GCC visibility pop

#endif
