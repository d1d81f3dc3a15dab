/* base.c - what a new image shares with one that is there. */
#include "libmr/image/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/image/loadable.h"
#include "libmr/seal/pages.h"

/* Enough for any file system's block. */
#define PROBE ((uint64_t)64 << 10)

/* Locked first: what is looked at afterwards stays as it is. */
static int lock_base(struct image_base *b, const char *path,
		     struct mr_error *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	b->lock = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (b->lock < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	b->locked = true;
	/* Without locks it cannot be told, and is not worse than before. */
	if (fcntl(b->lock, F_OFD_SETLK, &lock) &&
	    (errno == EAGAIN || errno == EACCES))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "somebody writes to the base");
	return 0;
}

int image_base_open(struct image_base *b, const char *path,
		    const struct mr_watch *watch, struct mr_error *err)
{
	char locked[40];
	uint64_t present;
	int rc;

	*b = (struct image_base){ 0 };
	if (lock_base(b, path, err))
		return -1;
	(void)snprintf(locked, sizeof(locked), "/proc/self/fd/%d", b->lock);
	b->img = image_open_loadable(locked, NULL, MR_DIRECT_OFF, false, watch,
				     &present, err);
	if (!b->img)
		return -1;
	if (b->img->info.kind != MR_IMAGE_MAPPED)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "a %s is no base of an image",
				 b->img->info.has_pack ? "pack"
						       : "plain stream");
	/* Ours has as many bits for a block only then. */
	if (b->img->info.page_size != IMAGE_PAGE)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "its pages have %" PRIu32
				 " bytes: a base's have %u",
				 b->img->info.page_size, IMAGE_PAGE);
	rc = sealed_open(&b->seal, b->img->io, err);
	b->sealed = rc > 0;
	return rc < 0 ? -1 : 0;
}

void image_base_release(struct image_base *b)
{
	sealed_release(&b->seal);
	mr_image_free(b->img);
	if (b->locked)
		(void)close(b->lock);
	*b = (struct image_base){ 0 };
}

static int share(const struct image_base *b, const struct image_writer *w,
		 uint64_t from, uint64_t length, uint64_t to)
{
	struct file_clone_range range = { .src_fd = b->img->file.fd,
					  .src_offset = from,
					  .src_length = length,
					  .dest_offset = to };

	return ioctl(w->out.file.fd, FICLONERANGE, &range);
}

int image_base_try(struct image_base *b, struct image_writer *w,
		   struct mr_error *err)
{
	if (w->sealed && !b->sealed)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "it has no seal, whose digests could be taken "
				 "over");
	if (w->sealed && b->seal.head.version == SEAL_VERSION_1)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "its seal has no digests of pages: mrverify "
				 "--seal renews it");
	if (w->sealed && (b->seal.head.extent_size != IMAGE_EXTENT ||
			  b->seal.head.page_size != IMAGE_PAGE))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "its seal has digests of other extents");
	if (b->img->io->size < PROBE)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "it is empty");
	if (share(b, w, 0, PROBE, 0))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the two files cannot share data (%s)",
				 strerror(errno));
	if (ftruncate(w->out.file.fd, 0))
		return error_sys(err, MR_NO_OFFSET, "cannot empty the file");
	b->comparable = w->sealed && b->seal.head.flags & SEAL_ABSENT_ZERO;
	return 0;
}

/* Its block of that name in the seal, which the image agrees with. */
static const struct seal_block *sealed_block(const struct image_base *b,
					     const struct mr_block *old,
					     size_t *block)
{
	for (*block = 0; *block < b->seal.head.blocks; ++*block) {
		const struct seal_block *k = &b->seal.blocks[*block];

		if (!strcmp(k->name, old->name))
			return k->used_length == old->length &&
					       k->pages_offset ==
						       old->pages_offset
				       ? k
				       : NULL;
	}
	return NULL;
}

/* An extent's part of the table, which nothing but its digest proves. */
static int take_extent(const struct image_base *b, struct image_writer *w,
		       const struct writer_block *to, size_t block,
		       uint64_t extent, struct mr_error *err)
{
	const uint64_t each = IMAGE_EXTENT / IMAGE_PAGE;
	uint64_t first = extent * each, entries[IMAGE_EXTENT / IMAGE_PAGE];
	uint64_t left = to->place.num_pages - first;
	size_t n = (size_t)(left < each ? left : each);
	struct seal_digest is, should;

	if (sealed_table(&b->seal, block, first, entries, n, err) ||
	    sealed_extent(&b->seal, block, extent, &should, err))
		return -1;
	is = seal_pages_digest(entries, n);
	if (memcmp(&is, &should, sizeof(is)) != 0)
		return error_set(err, MR_FORMAT, b->seal.blocks[block].table,
				 "the base's digests of block %.64s are "
				 "damaged: see mrverify",
				 to->name);
	return io_write_full(&w->out.file.io, entries, n * sizeof(*entries),
			     to->table + first * sizeof(*entries), err);
}

/* The digests of the base's pages, to the places that ours have. */
static int take_digests(const struct image_base *b, struct image_writer *w,
			const struct writer_block *to,
			const struct mr_block *old, struct mr_error *err)
{
	size_t block;
	const struct seal_block *k = sealed_block(b, old, &block);

	if (!k)
		return error_set(err, MR_FORMAT, old->entry,
				 "the base's seal does not know block %.64s",
				 to->name);
	for (uint64_t e = 0; e < k->n_extents; e++)
		if (sealed_has_extent(&b->seal, block, e) &&
		    take_extent(b, w, to, block, e, err))
			return -1;
	return 0;
}

int image_base_keep(const struct image_base *b, struct image_writer *w,
		    size_t i, struct mr_error *err)
{
	struct writer_block *to = &w->blocks[i];
	const struct mr_block *old = mr_image_find(b->img, to->name);

	if (!old || !old->in_file || old->length != to->used)
		return 1;
	if (b->in_place ? old->pages_offset != to->place.pages_offset
			: share(b, w, old->pages_offset, old->length,
				to->place.pages_offset) != 0)
		return 1;
	if (mr_image_bitmap(b->img, old, 0, to->bits,
			    (size_t)mr_block_words(old), err))
		return -1;
	to->kept = true;
	return to->table ? take_digests(b, w, to, old, err) : 0;
}

size_t image_base_sample(const struct image_base *b, const char *name,
			 uint64_t length, uint64_t *firsts,
			 uint64_t (*digests)[IMAGE_BASE_PLACE], size_t n,
			 struct mr_error *err)
{
	const struct mr_block *old = mr_image_find(b->img, name);
	const uint64_t each = IMAGE_EXTENT / IMAGE_PAGE;
	const struct seal_block *k;
	size_t block, found = 0;

	if (!old || !old->in_file || old->length != length)
		return 0;
	k = sealed_block(b, old, &block);
	for (size_t i = 0; k && i < n && i < k->n_extents; i++) {
		uint64_t extent = k->n_extents > n ? i * k->n_extents / n : i;
		/* Not always the first of an extent. */
		uint64_t p = extent * each + i * IMAGE_BASE_PLACE % each;

		if (p + IMAGE_BASE_PLACE > old->pages ||
		    !sealed_has_extent(&b->seal, block, extent))
			continue;
		if (sealed_table(&b->seal, block, p, digests[found],
				 IMAGE_BASE_PLACE, err))
			return 0;
		firsts[found] = p;
		found += !seal_pages_none(digests[found], IMAGE_BASE_PLACE);
	}
	return found;
}
