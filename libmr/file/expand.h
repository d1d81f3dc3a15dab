/*
 * expand.h - compressed files, from front to back.
 *
 * zstd, gzip, bzip2, xz and lzop as their programs write them: one stream after
 * the other, and nothing else behind them but the zeros that gzip and xz pass
 * over, too, where somebody filled the last sector. What is kept in memory is
 * bounded whatever a file says of itself: windows of at most 128 MiB (zstd
 * --long=27), 256 MiB for xz (xz -9 takes 65), lzop's blocks at most 512 KiB.
 * How much comes out is for whoever takes it to bound.
 */
#ifndef LIBMR_EXPAND_H
#define LIBMR_EXPAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/file/reader.h"

enum expand_format {
	EXPAND_NOTHING, /* not known to be compressed */
	EXPAND_ZSTD,
	EXPAND_GZIP,
	EXPAND_BZIP2,
	EXPAND_XZ,
	EXPAND_LZOP,
	EXPAND_LZ4, /* known, not read */
	EXPAND_FORMATS
};

/* Bytes that are enough to tell. */
#define EXPAND_MAGIC 10
/* The window that a reader needs. */
#define EXPAND_WINDOW ((size_t)1 << 20)

/* By the first bytes; a pack is zstd too. */
enum expand_format expand_find(const uint8_t *buf, size_t len);
/* "zstd", ... as their programs are called; NULL of EXPAND_NOTHING. */
const char *expand_name(enum expand_format format);
enum expand_format expand_by_name(const char *name);
/* What this build reads: "zstd gzip ...". */
const char *expand_all(void);

/* Who takes what comes out, in pieces. */
struct expand_to {
	/* -1 ends it. */
	int (*put)(struct expand_to *to, const void *buf, size_t len,
		   struct mr_error *err);
};

/*
 * Everything from where the reader is to the end of the file. MR_FORMAT,
 * MR_SHORT: it is damaged, or something else follows; the byte is the
 * compressed file's, and the damage is there or up to 64 KiB behind it.
 * MR_UNSUPPORTED: it wants too much memory, or this build does not read it.
 */
int expand(enum expand_format format, struct reader *from, struct expand_to *to,
	   struct mr_error *err);

/* expand_lzop.c */
int expand_lzop(struct reader *from, struct expand_to *to,
		struct mr_error *err);
extern const bool expand_has_lzop;

#endif
