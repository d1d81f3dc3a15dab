/* slots.c - a stack of free pages. */
#include "libmr/checkpoint/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/zeros.h"

/* Pages of memory that are asked for at a time. */
#define CHUNK ((uint32_t)4096)

static size_t n_chunks(const struct slots *s)
{
	return s->limit / CHUNK + 1;
}

static int make_file(struct slots *s, const char *folder, struct mr_error *err)
{
	s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (s->fd < 0)
		return error_sys(err, MR_NO_OFFSET,
				 "cannot create a nameless file in this "
				 "folder");
	return 0;
}

int slots_init(struct slots *s, const char *folder, size_t page, uint32_t limit,
	       struct mr_error *err)
{
	(void)pthread_mutex_init(&s->lock, NULL);
	s->page = page;
	s->limit = limit;
	if (folder)
		return make_file(s, folder, err);
	s->chunks = zeros_new(n_chunks(s) * sizeof(*s->chunks));
	return s->chunks ? 0
			 : error_set(err, MR_NOMEM, MR_NO_OFFSET,
				     "out of memory");
}

void slots_release(struct slots *s)
{
	if (!s->page)
		return;
	for (size_t i = 0; s->chunks && i < n_chunks(s) && s->chunks[i]; i++)
		zeros_free(s->chunks[i], s->chunk);
	zeros_free(s->chunks, n_chunks(s) * sizeof(*s->chunks));
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->free);
	(void)pthread_mutex_destroy(&s->lock);
	*s = (struct slots)SLOTS_NONE;
}

/* ---- taking and giving ---- */

/* Room behind those that are there. A file grows by itself. */
static int make_more(struct slots *s, struct mr_error *err)
{
	uint32_t chunk = s->made / CHUNK;

	if (s->made == s->limit)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "more than %" PRIu32
				 " pages are on their way: the VM has fewer",
				 s->limit);
	if (s->chunks && !s->chunks[chunk]) {
		s->chunk = CHUNK * s->page;
		s->chunks[chunk] = zeros_new_huge(&s->chunk);
		if (!s->chunks[chunk])
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for what has changed");
	}
	return 0;
}

static int take(struct slots *s, uint32_t *slot, struct mr_error *err)
{
	if (s->n_free) {
		*slot = s->free[--s->n_free];
		return 0;
	}
	/* There is room for each of them to be given back. */
	if (grow(&s->free, &s->free_room, s->made, sizeof(*s->free)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (make_more(s, err))
		return -1;
	*slot = s->made++;
	return 0;
}

static void give(struct slots *s, const uint32_t *slots, size_t n)
{
	memcpy(s->free + s->n_free, slots, n * sizeof(*slots));
	s->n_free += n;
}

int slots_take(struct slots *s, uint32_t *slots, size_t n, struct mr_error *err)
{
	size_t i;
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	for (i = 0; !rc && i < n; i++)
		rc = take(s, &slots[i], err);
	if (rc)
		give(s, slots, i - 1);
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

void slots_give(struct slots *s, const uint32_t *slots, size_t n)
{
	(void)pthread_mutex_lock(&s->lock);
	give(s, slots, n);
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- their bytes ---- */

static unsigned char *place(const struct slots *s, uint32_t slot)
{
	return s->chunks[slot / CHUNK] + slot % CHUNK * s->page;
}

int slots_write(struct slots *s, uint32_t slot, const void *page,
		struct mr_error *err)
{
	ssize_t n;

	if (s->chunks) {
		memcpy(place(s, slot), page, s->page);
		return 0;
	}
	n = pwrite(s->fd, page, s->page, (off_t)slot * (off_t)s->page);
	if (n >= 0 && (size_t)n < s->page) {
		n = -1;
		errno = ENOSPC;
	}
	return n < 0 ? error_sys(err, MR_NO_OFFSET,
				 "cannot write what has changed")
		     : 0;
}

int slots_read(const struct slots *s, uint32_t slot, void *page,
	       struct mr_error *err)
{
	ssize_t n;

	if (s->chunks) {
		memcpy(page, place(s, slot), s->page);
		return 0;
	}
	n = pread(s->fd, page, s->page, (off_t)slot * (off_t)s->page);
	if (n >= 0 && (size_t)n < s->page) {
		n = -1;
		errno = EIO;
	}
	return n < 0 ? error_sys(err, MR_NO_OFFSET,
				 "cannot read what has changed")
		     : 0;
}
