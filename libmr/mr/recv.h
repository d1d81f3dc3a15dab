/* mr/recv.h - a migration into an image. */
#ifndef LIBMR_MR_RECV_H
#define LIBMR_MR_RECV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* Seconds without a byte after which a source counts as gone. */
#define MR_RECV_TIMEOUT 300u

struct mr_checkpoint {
	uint64_t number; /* counts from 1, those that were merged too */
	uint64_t pages; /* that it changed, bytes */
};

struct mr_recv_options {
	enum mr_direct direct;
	bool force; /* replace a file that is neither empty nor an image */
	bool no_seal; /* leave the seal out */
	unsigned timeout; /* seconds of silence; 0: MR_RECV_TIMEOUT */
	/* A folder that is made, in which all that the source sends is kept
	 * (formats/capture.md); NULL: none. image may be NULL then: nothing
	 * else is made of it. */
	const char *capture;
	/* The image gets no name: a descriptor of it, which is the caller's,
	 * goes here, and its path only says where it lies. NULL: as usual. */
	int *unnamed;
	bool replay; /* uri is such a folder: the source is not needed */
	/* The source is a COLO primary: each of its checkpoints becomes the
	 * image. */
	bool colo;
	bool durable; /* it waits until each of them is on the disk */
	/* A folder for what is not on the disk yet; NULL: in memory. */
	const char *cache;
	/* With replay and colo: the image is that checkpoint, from 1 on, and
	 * if there are fewer, an error; 0: the first migration. */
	uint64_t checkpoint;
	/* Such a one has become the image; 0: the first migration. From a
	 * thread of its own, which makes no other meanwhile. -1: it ends with
	 * *err. May be NULL. */
	int (*kept)(void *arg, const struct mr_checkpoint *c,
		    struct mr_error *err);
	void *kept_arg;
	/* One line that whoever waits for a source wants to know: where it can
	 * connect to now ("listening on " and a URI), and who else did. May be
	 * NULL. */
	void (*tell)(void *arg, const char *line);
	void *tell_arg;
	struct mr_watch watch;
};
/* The last one that is whole, if there is one. */
#define MR_CHECKPOINT_LAST UINT64_MAX
#define MR_RECV_OPTIONS_INIT                     \
	{                                        \
		.checkpoint = MR_CHECKPOINT_LAST \
	}

struct mr_recv_report {
	char machine[256];
	char run_state[32]; /* that the image will come up in; "": not said */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	unsigned channels; /* of multifd; 0: one connection carried all */
	char method[16]; /* "none", "zlib", ... of the channels */
	uint64_t received; /* bytes, on all connections */
	uint64_t pages; /* that came, bytes; those that came twice, twice */
	uint64_t zero; /* of them zero */
	uint64_t data; /* pages in the image, bytes */
	uint64_t written; /* bytes handed to the file for them */
	uint64_t packets; /* of all channels */
	uint64_t barriers; /* that all channels came to */
	uint64_t device; /* bytes of device state */
	uint64_t size; /* of the image file */
	/* The source waited for our word. If not, it may have "completed"
	 * what never arrived. */
	bool return_path;
	bool told; /* it has our word */
	double waited; /* seconds until the source came */
	double seconds; /* from then on */
	/* With colo. What came and was written is of all that was sent; data,
	 * device and size are those of the image at the end. */
	bool primary; /* the source has asked for a checkpoint */
	uint64_t checkpoints; /* that came, whole */
	uint64_t kept; /* that have been the image, one after the other */
	uint64_t last; /* number of the one that is; 0: the first migration */
	uint64_t changed; /* pages of checkpoints that came, bytes */
	uint64_t empty; /* checkpoints without any: of a guest at work, wrong */
	bool broken; /* one broke off, and left no trace */
	bool standing; /* an image is there, whatever went wrong then */
	char end[240]; /* why it ended; "": the source closed the connection */
	bool direct; /* page data went around the page cache */
	bool sealed; /* the image ends in a seal */
};

/*
 * Listens at uri (see mrrecv(1)) and takes one migration into the file image,
 * which is absent, the old file, or the complete new one at every instant. With
 * a return path the source gives its guest up only after that, and goes on with
 * it after a failure. err->who: 1 uri, 2 image, 3 capture. *report is filled as
 * far as things went, on failure too.
 */
/* With colo, it goes on until the source is gone: that is no failure once there
 * is an image. */
int mr_recv(const char *uri, const char *image,
	    const struct mr_recv_options *options,
	    struct mr_recv_report *report, struct mr_error *err);

#pragma GCC visibility pop

#endif
