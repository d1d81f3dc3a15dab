/*
 * outlet.h - the sink that is a migration's destination: a stream into sockets.
 *
 * The order of use: outlet_init, outlet_connect, the sink's begin, put and zero
 * (memory_copy, with outlet_jobs), end, outlet_devices, outlet_verdict.
 */
#ifndef LIBMR_OUTLET_H
#define LIBMR_OUTLET_H

#include <pthread.h>
#include <stdatomic.h>

#include "formats/multifd.h"
#include "formats/stream.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/address.h"
#include "libmr/wire/link.h"

struct compressor;

/* How the destination was told to listen. */
struct outlet_form {
	struct stream_config config; /* without capabilities */
	unsigned channels; /* of multifd; 0: all goes over one connection */
	uint32_t method; /* 0, MULTIFD_ZLIB or MULTIFD_ZSTD */
	int level;
	uint8_t uuid[16]; /* the destination's, or zeros */
	bool old; /* its memory may hold something: zeros are sent, too */
};

struct outlet_channel {
	struct link link;
	struct compressor *compressor; /* with a method */
	uint8_t *packed; /* ours */
	struct multifd_packet packet; /* in the making */
};

struct outlet {
	struct sink sink;
	struct outlet_form form;
	struct wire *wire; /* the caller's, begun */
	struct link main;
	struct outlet_channel *channels;
	bool sections; /* barriers are at the end of sections */
	const struct memory *m;
	pthread_mutex_t lock; /* of main */
	size_t last_block; /* CONTINUE's; (size_t)-1: none yet */
	atomic_uint_fast64_t packets;
	atomic_uint_fast64_t sent; /* bytes, on all connections */
};

int outlet_init(struct outlet *o, const struct outlet_form *form,
		struct wire *w, struct mr_error *err);
void outlet_release(struct outlet *o);

/* Main and all channels: the stream has begun. */
int outlet_connect(struct outlet *o, const struct address *a,
		   struct mr_error *err);

/* Threads for memory_copy: one for each channel, as far as there can be; what
 * is left carries barriers only. Without channels there can be any number: who
 * has an extent takes turns on main. */
static inline unsigned outlet_jobs(const struct outlet *o)
{
	unsigned n = o->form.channels ? o->form.channels : 1;

	return n < MR_JOBS_MAX ? n : MR_JOBS_MAX;
}

/* Of what comes behind the memory, in pieces. */
int outlet_devices(struct outlet *o, const void *bytes, size_t len,
		   struct mr_error *err);

/* Waits until the destination has loaded it all, or says that it has not. */
int outlet_verdict(struct outlet *o, struct mr_error *err);

#endif
