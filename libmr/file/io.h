/*
 * io.h - bytes at a position: what decoders read from, and files with the
 * direct I/O capability that the crew's queues need.
 *
 * struct io is a table of functions so that a test can put memory, or a
 * back end that fails on request, where a file would be.
 */
#ifndef LIBMR_IO_H
#define LIBMR_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmr/mr.h"

struct io;

struct io_ops {
	const char *name;
	/* As pread(2) and pwrite(2): may be short, -1 with errno. */
	ssize_t (*read)(struct io *io, void *buf, size_t len, uint64_t offset);
	ssize_t (*write)(struct io *io, const void *buf, size_t len,
			 uint64_t offset);
	/* Why a read at offset failed, in more words than errno has: fills
	 * *err and returns -1; 0: there is no more to say. NULL: there never
	 * is. */
	int (*why)(struct io *io, uint64_t offset, struct mr_error *err);
};

/* First member of each back end. */
struct io {
	const struct io_ops *ops;
	uint64_t size; /* bytes that can be read; UINT64_MAX: not known */
	unsigned who; /* of an error of its transfers (mr_error.who) */
};

/* What ends where there should be more. */
static inline const char *io_noun(const struct io *io)
{
	return io->size == UINT64_MAX ? "connection" : "file";
}

/* Reads exactly len bytes; an end of file before that is MR_SHORT. */
int io_read_full(struct io *io, void *buf, size_t len, uint64_t offset,
		 struct mr_error *err);
/* Reads up to len bytes, fewer only at the end of the file. Returns how many,
 * or -1. */
ssize_t io_read_upto(struct io *io, void *buf, size_t len, uint64_t offset,
		     struct mr_error *err);
/* The same, but does not wait for more than `least` bytes. */
ssize_t io_read_some(struct io *io, void *buf, size_t least, size_t len,
		     uint64_t offset, struct mr_error *err);
/* Whether a read that failed with this errno says that what was asked for is
 * lost: a bad sector, or a checksum of the file system that differs. Anything
 * else may go well another time. */
bool io_is_lost(int error);
int io_write_full(struct io *io, const void *buf, size_t len, uint64_t offset,
		  struct mr_error *err);

/* A buffer as a file. Owns nothing. */
struct mem_io {
	struct io io;
	const unsigned char *data;
};
void mem_io_init(struct mem_io *m, const void *data, size_t len);

/*
 * A file: fd goes through the page cache, direct_fd (-1: none) does not.
 * Direct requests must have offset and length in multiples of align and
 * buffers at multiples of it too; align is a power of two, at most 4096. A
 * 4096-byte page of the file must not be written through both at a time.
 */
struct file {
	struct io io;
	int fd;
	int direct_fd;
	uint32_t align;
	dev_t dev;
	ino_t ino;
};

#define FILE_CLOSED                       \
	{                                 \
		.fd = -1, .direct_fd = -1 \
	}

/* Opens for reading. A folder, a device or a pipe is refused. */
int file_open(struct file *f, const char *path, enum mr_direct direct,
	      struct mr_error *err);
/* Takes over fd (closed by file_close) and looks for direct I/O on it:
 * STATX_DIOALIGN first, then a probe. MR_DIRECT_ON where there is none is
 * MR_UNSUPPORTED; the fd is the caller's again then. */
int file_adopt(struct file *f, int fd, int access, enum mr_direct direct,
	       struct mr_error *err);
/* Takes the lock that keeps other tools from writing to a file while it is
 * written in place, for as long as the descriptor is open (OFD). MR_REFUSED:
 * somebody else holds one. */
int file_lock(int fd, struct mr_error *err);
/* As io_write_full; around the page cache if it can be. */
int file_write(struct file *f, const void *buf, size_t len, uint64_t offset,
	       struct mr_error *err);
/* Those bytes are zero then: a hole, where the file system has holes. */
int file_clear(struct file *f, uint64_t offset, uint64_t length,
	       struct mr_error *err);
/* f may be closed already. Returns -1 with errno if close(2) failed. */
int file_close(struct file *f);

#endif
