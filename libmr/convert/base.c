/* base.c - the pack that an increment is made since. */
#include "libmr/convert/base.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "libmr/base/error.h"
#include "libmr/convert/state.h"

int base_open(struct base *b, const char *path, struct mr_error *err)
{
	uint8_t first[PACK_SKIP_SIZE + 8];

	if (file_open(&b->file, path, MR_DIRECT_OFF, err))
		return -1;
	b->file.io.who = CONVERT_BASE;
	if (io_read_full(&b->file.io, first, sizeof(first), 0, NULL) ||
	    !pack_is_pack(first, sizeof(first)))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "an increment is made since a pack, and this "
				 "is none");
	if (packed_open(&b->packed, &b->file.io, err))
		return -1;
	if (chain_open(&b->chain, &b->packed, path, err)) {
		packed_release(&b->packed);
		return -1;
	}
	b->open = true;
	return 0;
}

void base_release(struct base *b)
{
	if (b->open) {
		chain_release(&b->chain);
		packed_release(&b->packed);
	}
	(void)file_close(&b->file);
	*b = (struct base)BASE_NONE;
}

bool base_has(const struct base *b, const char *path)
{
	struct stat st;

	return chain_has(&b->chain, path) ||
	       (!stat(path, &st) && b->file.dev == st.st_dev &&
		b->file.ino == st.st_ino);
}

/* One after the other: they are read, and not unpacked. *buf grows. */
static int verify_pack(const struct base *b, size_t i, uint8_t **buf,
		       size_t *room, const struct mr_watch *watch,
		       struct mr_error *err)
{
	uint64_t start;
	const struct packed *k = chain_at(&b->chain, i, &start);

	for (uint64_t n = 0; n < k->head.extents; n++) {
		struct pack_entry e;
		size_t size;

		if (watch->cancel && atomic_load(watch->cancel))
			return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
					 "interrupted");
		packed_entry(k, n, &e);
		(void)packed_note(k, &e, &size);
		size += e.place.size;
		if (size > *room) {
			free(*buf);
			*buf = malloc(size);
			*room = *buf ? size : 0;
		}
		if (!*buf)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for a frame");
		if (chain_fetch(&b->chain, i, &e, *buf, err))
			return -1;
	}
	return 0;
}

int base_verify(const struct base *b, const struct mr_watch *watch,
		struct mr_error *err)
{
	uint8_t *buf = NULL;
	size_t room = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i <= b->chain.n; i++)
		rc = verify_pack(b, i, &buf, &room, watch, err);
	free(buf);
	return rc;
}

void base_label(const struct base *b, struct pack_label *l)
{
	const struct pack_label *is = &b->packed.label;

	l->flags |= PACK_INCREMENT;
	l->below = is->below + 1;
	l->base = b->packed.end.identity;
	l->page_size = is->page_size;
	l->extent_size = is->extent_size;
}
