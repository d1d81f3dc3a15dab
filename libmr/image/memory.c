/* memory.c - what the guest's memory holds at a place. */
#include <inttypes.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"

/* Whether the memory of one block is there at all. */
static int check_block(const struct mr_image *img, const struct mr_block *b,
		       struct mr_error *err)
{
	if (img->info.kind == MR_IMAGE_STREAM ? image_block_sent(img, b)
					      : b->in_file)
		return 0;
	return error_set(err, MR_UNSUPPORTED, b->header,
			 "the memory of block %.100s was left out of the "
			 "image (x-ignore-shared)",
			 b->name);
}

/* One page, or a piece of one. */
static int read_piece(const struct mr_image *img, const struct mr_block *b,
		      uint64_t offset, uint8_t *buf, size_t len, bool *present,
		      struct mr_error *err)
{
	uint64_t page = offset / img->info.page_size, word;

	if (mr_image_bitmap(img, b, page / 64, &word, 1, err))
		return -1;
	*present = word >> (page % 64) & 1;
	if (!*present)
		memset(buf, 0, len);
	else if (io_read_full(img->io, buf, len, b->pages_offset + offset, err))
		return image_blame(img, err);
	return 0;
}

int mr_image_memory(const struct mr_image *img, const struct mr_block *b,
		    uint64_t offset, void *buf, size_t len, size_t *present,
		    struct mr_error *err)
{
	size_t page = img->info.page_size;
	uint8_t *to = buf;

	*present = 0;
	if (img->info.kind != MR_IMAGE_MAPPED && image_check_index(img, err))
		return -1;
	if (check_block(img, b, err))
		return -1;
	if (offset > b->length || len > b->length - offset)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "block %.100s has only 0x%" PRIx64 " bytes",
				 b->name, b->length);
	if (img->info.kind == MR_IMAGE_STREAM)
		return page_index_read(img->index, img->io,
				       (size_t)(b - img->blocks), offset, buf,
				       len, present, err);
	while (len) {
		size_t n = page - (size_t)(offset % page);
		bool there;

		if (n > len)
			n = len;
		if (read_piece(img, b, offset, to, n, &there, err))
			return -1;
		*present += there ? n : 0;
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}
