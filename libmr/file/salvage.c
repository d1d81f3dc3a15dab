/* salvage.c - read around what is lost, and remember where that is. */
#include "libmr/file/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/grow.h"

/* The first range that ends behind this piece, or n. */
static size_t find(const struct salvage *s, uint64_t piece)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ranges[mid].to > piece)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Under the lock. What does not fit makes a neighbour too large: rather too
 * much is called lost than too little. */
static bool insert(struct salvage *s, uint64_t piece)
{
	size_t i = find(s, piece);
	struct salvage_range *r = s->ranges;

	if (i < s->n && r[i].from <= piece)
		return true;
	if (i && r[i - 1].to == piece && !r[i - 1].told) {
		r[i - 1].to++;
		return true;
	}
	if (i < s->n && r[i].from == piece + 1 && !r[i].told) {
		r[i].from--;
		return true;
	}
	if (s->n == SALVAGE_MAX ||
	    grow(&s->ranges, &s->room, s->n, sizeof(*s->ranges))) {
		if (!s->n)
			return false;
		if (i)
			s->ranges[i - 1].to = piece + 1;
		else
			s->ranges[0].from = piece;
		return true;
	}
	r = s->ranges + i;
	memmove(r + 1, r, (s->n - i) * sizeof(*r));
	*r = (struct salvage_range){ .from = piece, .to = piece + 1 };
	s->n++;
	return true;
}

static bool lose(struct salvage *s, uint64_t offset, int error)
{
	bool kept;

	(void)pthread_mutex_lock(&s->lock);
	if (!s->error)
		s->error = error;
	kept = insert(s, offset / SALVAGE_PIECE);
	(void)pthread_mutex_unlock(&s->lock);
	return kept;
}

/* Up to len bytes, piece by piece; as read(2). */
static ssize_t read_pieces(struct salvage *s, unsigned char *buf, size_t len,
			   uint64_t offset)
{
	struct io *io = &s->file->io;
	size_t done = 0;

	/* A failing disk takes seconds for each sector that it tries. */
	(void)posix_fadvise(s->file->fd, 0, 0, POSIX_FADV_RANDOM);
	while (done < len) {
		uint64_t at = offset + done;
		size_t n = (size_t)(SALVAGE_PIECE - at % SALVAGE_PIECE);
		ssize_t got;

		if (n > len - done)
			n = len - done;
		got = io->ops->read(io, buf + done, n, at);
		if (got == 0)
			break;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && !io_is_lost(errno))
			return done ? (ssize_t)done : -1;
		if (got < 0) {
			if (!lose(s, at, errno))
				return -1; /* out of memory */
			memset(buf + done, 0, n);
			got = (ssize_t)n;
		}
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static ssize_t salvage_read(struct io *io, void *buf, size_t len,
			    uint64_t offset)
{
	struct salvage *s = (struct salvage *)io;
	ssize_t n = s->file->io.ops->read(&s->file->io, buf, len, offset);

	if (n >= 0 || !io_is_lost(errno))
		return n;
	return read_pieces(s, buf, len, offset);
}

static const struct io_ops salvage_ops = { .name = "salvage",
					   .read = salvage_read };

void salvage_init(struct salvage *s, struct file *file)
{
	*s = (struct salvage){ .io = { .ops = &salvage_ops,
				       .size = file->io.size },
			       .file = file };
	(void)pthread_mutex_init(&s->lock, NULL);
}

void salvage_release(struct salvage *s)
{
	if (s->file)
		(void)pthread_mutex_destroy(&s->lock);
	free(s->ranges);
	*s = (struct salvage){ 0 };
}

bool salvage_lost(struct salvage *s, uint64_t offset, uint64_t length)
{
	uint64_t end = (offset + length + SALVAGE_PIECE - 1) / SALVAGE_PIECE;
	bool lost;
	size_t i;

	if (!length)
		return false;
	(void)pthread_mutex_lock(&s->lock);
	i = find(s, offset / SALVAGE_PIECE);
	lost = i < s->n && s->ranges[i].from < end;
	(void)pthread_mutex_unlock(&s->lock);
	return lost;
}

bool salvage_next(struct salvage *s, uint64_t *offset, uint64_t *length)
{
	bool found = false;

	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && !found; i++) {
		struct salvage_range *r = &s->ranges[i];
		uint64_t end = r->to * SALVAGE_PIECE;

		if (r->told)
			continue;
		found = r->told = true;
		if (end > s->io.size)
			end = s->io.size;
		*offset = r->from * SALVAGE_PIECE;
		*length = end - *offset;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return found;
}
