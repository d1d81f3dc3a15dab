/* io.c - whole reads and writes over back ends; files and direct I/O. */
#include "libmr/file/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/file/place.h"

/* The largest alignment we serve: guest pages are 4 KiB and so are ours. */
#define MAX_ALIGN 4096u

/* A read has failed. */
static int tell_read(struct io *io, uint64_t offset, struct mr_error *err)
{
	int saved = errno;

	if (!err || !io->ops->why || !io->ops->why(io, offset, err)) {
		errno = saved;
		(void)error_sys(err, offset, "cannot read");
	}
	return error_about(err, io->who);
}

ssize_t io_read_some(struct io *io, void *buf, size_t least, size_t len,
		     uint64_t offset, struct mr_error *err)
{
	size_t done = 0;

	while (done < least) {
		ssize_t n = io->ops->read(io, (char *)buf + done, len - done,
					  offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tell_read(io, offset + done, err);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t io_read_upto(struct io *io, void *buf, size_t len, uint64_t offset,
		     struct mr_error *err)
{
	return io_read_some(io, buf, len, len, offset, err);
}

int io_read_full(struct io *io, void *buf, size_t len, uint64_t offset,
		 struct mr_error *err)
{
	ssize_t n = io_read_upto(io, buf, len, offset, err);

	if (n < 0)
		return -1;
	if ((size_t)n == len)
		return 0;
	(void)error_set(err, MR_SHORT, offset + (uint64_t)n,
			"%s ends, %zu bytes expected here", io_noun(io),
			len - (size_t)n);
	return error_about(err, io->who);
}

int io_write_full(struct io *io, const void *buf, size_t len, uint64_t offset,
		  struct mr_error *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = io->ops->write(io, (const char *)buf + done,
					   len - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* pwrite(2) of something never does */
		if (n <= 0) {
			(void)error_sys(err, offset + done, "cannot write");
			return error_about(err, io->who);
		}
		done += (size_t)n;
	}
	return 0;
}

bool io_is_lost(int error)
{
	switch (error) {
	case EIO:
	case ENODATA: /* the block layer: critical medium error */
	case EILSEQ: /* the block layer: protection error */
	case EBADMSG: /* file systems: a checksum differs */
	case EUCLEAN: /* file systems: their own structure is damaged */
		return true;
	default:
		return false;
	}
}

static ssize_t mem_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct mem_io *m = (struct mem_io *)io;

	if (offset >= io->size)
		return 0;
	if (len > io->size - offset)
		len = (size_t)(io->size - offset);
	memcpy(buf, m->data + offset, len);
	return (ssize_t)len;
}

static const struct io_ops mem_ops = { .name = "memory", .read = mem_read };

void mem_io_init(struct mem_io *m, const void *data, size_t len)
{
	*m = (struct mem_io){ .io = { .ops = &mem_ops, .size = len },
			      .data = data };
}

static ssize_t file_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct file *f = (struct file *)io;

	/* No file reaches this far: its end, as for a buffer, no error. */
	if (offset >= INT64_MAX)
		return 0;
	if (len > INT64_MAX - offset)
		len = (size_t)(INT64_MAX - offset);
	return pread(f->fd, buf, len, (off_t)offset);
}

static ssize_t buffered_write(struct io *io, const void *buf, size_t len,
			      uint64_t offset)
{
	struct file *f = (struct file *)io;

	if (len > INT64_MAX || offset > INT64_MAX - len) {
		errno = EFBIG;
		return -1;
	}
	return pwrite(f->fd, buf, len, (off_t)offset);
}

static const struct io_ops file_ops = { .name = "file",
					.read = file_read,
					.write = buffered_write };

/* The alignment that fd's file wants for direct I/O; 0: it gives none, or
 * more than we serve; -1: the kernel does not say. */
static int statx_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx))
		return -1;
	if (!(sx.stx_mask & STATX_DIOALIGN))
		return -1;
	if (!sx.stx_dio_offset_align || !sx.stx_dio_mem_align)
		return 0;
	if (sx.stx_dio_offset_align > MAX_ALIGN ||
	    sx.stx_dio_mem_align > MAX_ALIGN)
		return 0;
	return (int)(sx.stx_dio_offset_align > sx.stx_dio_mem_align
			     ? sx.stx_dio_offset_align
			     : sx.stx_dio_mem_align);
#else
	(void)fd;
	return -1;
#endif
}

/* Whether the file is memory: tmpfs takes O_DIRECT and pays it no heed. */
static bool in_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Whether writes to the file go through the page cache whatever one asks for:
 * btrfs does so to get checksums of bytes that nobody changes meanwhile, unless
 * the file has none (chattr +C on its folder). */
static bool has_checksums(int fd)
{
	struct statfs fs;
	int flags = 0;

	if (fstatfs(fd, &fs) || fs.f_type != BTRFS_SUPER_MAGIC)
		return false;
	return ioctl(fd, FS_IOC_GETFLAGS, &flags) || !(flags & FS_NOCOW_FL);
}

/* Some file systems take O_DIRECT and then refuse every transfer. An empty
 * file cannot tell; one that cannot be read (EBADF) may still be written. */
static bool refuses_direct(int fd)
{
	_Alignas(MAX_ALIGN) unsigned char unused[MAX_ALIGN];

	return pread(fd, unused, sizeof(unused), 0) < 0 && errno == EINVAL;
}

/* Reopens fd's file with O_DIRECT, whatever its name is by now; or -1. */
static int open_direct(int fd, int access)
{
	char self[32];
	int direct;

	if (in_memory(fd) || (access != O_RDONLY && has_checksums(fd)))
		return -1;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	direct = open(self, access | O_DIRECT | O_CLOEXEC);
	if (direct >= 0 && refuses_direct(direct)) {
		(void)close(direct);
		direct = -1;
	}
	return direct;
}

int file_adopt(struct file *f, int fd, int access, enum mr_direct direct,
	       struct mr_error *err)
{
	struct stat st;
	int align;

	*f = (struct file)FILE_CLOSED;
	if (fstat(fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	*f = (struct file){
		.io = { .ops = &file_ops, .size = (uint64_t)st.st_size },
		.fd = fd,
		.direct_fd = -1,
		.align = 1,
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	if (direct == MR_DIRECT_OFF)
		return 0;
	align = statx_align(fd);
	if (align) {
		f->direct_fd = open_direct(fd, access);
		/* Not said: page alignment suits every device. */
		f->align = align > 0 ? (uint32_t)align : MAX_ALIGN;
	}
	if (f->direct_fd < 0) {
		f->align = 1;
		if (direct == MR_DIRECT_ON) {
			f->fd = -1;
			return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					 "no direct I/O on this file system");
		}
	}
	return 0;
}

int file_open(struct file *f, const char *path, enum mr_direct direct,
	      struct mr_error *err)
{
	struct stat st;
	int fd;

	*f = (struct file)FILE_CLOSED;
	/* O_NONBLOCK: a pipe under this name must not hang us. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	if (fstat(fd, &st)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot stat");
	} else if (!S_ISREG(st.st_mode)) {
		(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				"not a regular file");
	} else if (!file_adopt(f, fd, O_RDONLY, direct, err)) {
		return 0;
	}
	(void)close(fd);
	*f = (struct file)FILE_CLOSED;
	return -1;
}

int file_lock(int fd, struct mr_error *err)
{
	/* Of the open file, not the process: libraries cannot drop it. */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "in use: a VM lives on it, or another tool "
				 "works on it, and holds a lock");
	return error_sys(err, MR_NO_OFFSET, "cannot lock");
}

int file_close(struct file *f)
{
	int rc = 0;

	if (f->direct_fd >= 0)
		rc |= close(f->direct_fd);
	if (f->fd >= 0)
		rc |= close(f->fd);
	*f = (struct file)FILE_CLOSED;
	return rc;
}

/* Where a file system has no holes. */
static int write_zeros(struct file *f, uint64_t at, uint64_t length,
		       struct mr_error *err)
{
	static const unsigned char zeros[64 << 10]
		__attribute__((aligned(MAX_ALIGN)));

	for (uint64_t n; length; at += n, length -= n) {
		n = length < sizeof(zeros) ? length : sizeof(zeros);
		if (file_write(f, zeros, (size_t)n, at, err))
			return -1;
	}
	return 0;
}

int file_clear(struct file *f, uint64_t offset, uint64_t length,
	       struct mr_error *err)
{
	if (!length || !place_punch(f->fd, offset, length) ||
	    (errno == EOPNOTSUPP && !write_zeros(f, offset, length, err)))
		return 0;
	(void)error_sys(err, MR_NO_OFFSET, "cannot punch a hole");
	return error_about(err, f->io.who);
}

/* A file's direct half, for whole writes. */
struct direct_io {
	struct io io;
	int fd;
};

static ssize_t direct_write(struct io *io, const void *buf, size_t len,
			    uint64_t offset)
{
	return pwrite(((struct direct_io *)(void *)io)->fd, buf, len,
		      (off_t)offset);
}

int file_write(struct file *f, const void *buf, size_t len, uint64_t offset,
	       struct mr_error *err)
{
	static const struct io_ops ops = { .name = "direct",
					   .write = direct_write };
	struct direct_io direct = { .io = { .ops = &ops, .who = f->io.who },
				    .fd = f->direct_fd };
	uint64_t all = (uintptr_t)buf | len | offset;

	if (f->direct_fd < 0 || all & (f->align - 1) || offset > INT64_MAX)
		return io_write_full(&f->io, buf, len, offset, err);
	return io_write_full(&direct.io, buf, len, offset, err);
}
