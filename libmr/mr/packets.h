/* mr/packets.h - what a channel of multifd carried. */
#ifndef LIBMR_MR_PACKETS_H
#define LIBMR_MR_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* One packet: formats/multifd.md. */
struct mr_packet {
	uint64_t offset; /* byte of the file where its header begins */
	uint64_t number;
	uint64_t round; /* barriers of this channel before it */
	bool sync; /* a barrier follows its pages */
	const char *method; /* "none", "zlib", ... */
	const char *block; /* "": no pages */
	uint32_t normal, zero; /* pages */
	uint32_t size; /* bytes of data */
};

struct mr_packets_block {
	const char *name;
	uint64_t packets, normal, zero; /* packets with its pages; pages */
	uint64_t size; /* bytes of their data */
};

struct mr_packets_info {
	unsigned channel;
	uint8_t uuid[16]; /* the source's, zeros without one */
	uint32_t page_size; /* found by trying; 4096 if there are no packets */
	const char *method; /* "none", "zlib", ...: of all packets */
	uint64_t file_size;
	uint64_t packets, syncs;
	uint64_t normal, zero; /* pages */
	uint64_t size; /* bytes of data */
	struct mr_packets_block *blocks;
	size_t n_blocks;
	/* Why understanding stopped; code MR_OK: it did not. */
	struct mr_error damage;
};

/*
 * Reads the bytes of one channel from its init on, as mr_recv keeps them, or
 * anybody who records a connection; packet is called for each of them, if it is
 * not NULL. Data are passed over. 1: the file is no such thing; 0, with *info
 * for mr_packets_release; or -1.
 */
int mr_packets_read(const char *path,
		    void (*packet)(void *arg, const struct mr_packet *p),
		    void *arg, const struct mr_watch *watch,
		    struct mr_packets_info *info, struct mr_error *err);
void mr_packets_release(struct mr_packets_info *info);

#pragma GCC visibility pop

#endif
