/*
 * printk.h - the messages of a Linux kernel, as they lie in its memory
 * (printk.md).
 *
 * Where things are in its structures the kernel says in its VMCOREINFO, in
 * lines KEY=NUMBER: the tables here have the keys, the caller has the numbers.
 * A 64-bit little-endian kernel's.
 *
 * From Linux 5.10 on, a ring of descriptors and one of text:
 *
 *   printk_ringbuffer
 *     desc_ring: count_bits, descs, infos, head_id, tail_id
 *     text_data_ring: size_bits, data
 *   descs[2^count_bits]: state_var, text_blk_lpos { begin, next }
 *   infos[2^count_bits]: seq, ts_nsec, text_len
 *   data[2^size_bits]: blocks { u64 id; text }
 *
 * Before that (3.5 on), records one behind the other, in a buffer that they go
 * round in:
 *
 *   printk_log: ts_nsec, len, text_len; text; what devices say; padding
 *
 * Facts from Linux 6.1: kernel/printk/printk.c, printk_ringbuffer.[ch]; 5.9.
 */
#ifndef FORMATS_PRINTK_H
#define FORMATS_PRINTK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

/* Buffers that are larger, in all, are not believed; a kernel has 2^LOG_BUF_
 * SHIFT bytes, 32 MiB at most, unless it is told otherwise. */
#define PRINTK_MAX ((uint64_t)256 << 20)

struct printk_record {
	uint64_t seq; /* of the ring; else 0 */
	uint64_t ns; /* since boot */
	const uint8_t *text; /* in the caller's buffer */
	size_t len; /* bytes */
};

/* ---- the ring ---- */

/* What the kernel must tell. */
enum printk_ring_key {
	PRINTK_RING_SIZE,
	PRINTK_RING_DESC_RING,
	PRINTK_RING_DATA_RING,
	PRINTK_DESC_RING_SIZE,
	PRINTK_DESC_RING_COUNT_BITS,
	PRINTK_DESC_RING_DESCS,
	PRINTK_DESC_RING_INFOS,
	PRINTK_DESC_RING_HEAD_ID,
	PRINTK_DESC_RING_TAIL_ID,
	PRINTK_DESC_SIZE,
	PRINTK_DESC_STATE_VAR,
	PRINTK_DESC_TEXT,
	PRINTK_LPOS_SIZE,
	PRINTK_LPOS_BEGIN,
	PRINTK_LPOS_NEXT,
	PRINTK_INFO_SIZE,
	PRINTK_INFO_SEQ,
	PRINTK_INFO_TS_NSEC,
	PRINTK_INFO_TEXT_LEN,
	PRINTK_DATA_RING_SIZE,
	PRINTK_DATA_RING_SIZE_BITS,
	PRINTK_DATA_RING_DATA,
	PRINTK_LONG_SIZE,
	PRINTK_LONG_COUNTER,
	PRINTK_RING_KEYS
};
extern const char *const printk_ring_keys[PRINTK_RING_KEYS];

struct printk_ring_shape {
	uint64_t of[PRINTK_RING_KEYS]; /* bytes */
};

/* Whether each thing is within that which it is in. 0, or -1; f->at is the key
 * then. Nothing below takes a shape that is not. */
int printk_ring_check(const struct printk_ring_shape *s, struct fault *f);

struct printk_ring {
	uint64_t records; /* descriptors that there are */
	uint64_t size; /* of the data, bytes */
	uint64_t descs, infos, data; /* the kernel's addresses of them */
	uint64_t head_id, tail_id; /* the newest and the oldest one */
	uint64_t ids; /* from the one to the other, both counted */
};

/* A printk_ringbuffer. Returns its size. FAULT_BAD: it is larger than
 * PRINTK_MAX, or its ids are further apart than there are descriptors. */
ssize_t printk_ring_decode(const struct printk_ring_shape *s,
			   const uint8_t *buf, size_t len,
			   struct printk_ring *out, struct fault *f);

/* The arrays of a ring, whole. */
struct printk_arrays {
	const uint8_t *descs; /* records * of[PRINTK_DESC_SIZE] bytes */
	const uint8_t *infos; /* records * of[PRINTK_INFO_SIZE] */
	const uint8_t *data; /* size */
};

/* Record i of r->ids, the oldest being 0. false: there is none, or no more, or
 * it is being written. */
bool printk_ring_record(const struct printk_ring_shape *s,
			const struct printk_ring *r,
			const struct printk_arrays *a, uint64_t i,
			struct printk_record *out);

/* ---- the log ---- */

enum printk_log_key {
	PRINTK_LOG_SIZE,
	PRINTK_LOG_TS_NSEC,
	PRINTK_LOG_LEN,
	PRINTK_LOG_TEXT_LEN,
	PRINTK_LOG_KEYS
};
/* Before 3.11 the structure was called log. */
extern const char *const printk_log_keys[PRINTK_LOG_KEYS];
extern const char *const printk_log_old_keys[PRINTK_LOG_KEYS];

struct printk_log_shape {
	uint64_t of[PRINTK_LOG_KEYS]; /* bytes */
};

int printk_log_check(const struct printk_log_shape *s, struct fault *f);

/* Where a reader is; it begins with at, the byte of the first record, and next,
 * the byte behind the last one. */
struct printk_log_reader {
	uint64_t at, next;
	bool wrapped;
};

/* The next record of a buffer of len bytes. 1; 0: that was all; or -1. */
int printk_log_next(const struct printk_log_shape *s, const uint8_t *buf,
		    size_t len, struct printk_log_reader *r,
		    struct printk_record *out, struct fault *f);

#endif
