/* blame.c - which page it is that cannot be read. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"

/* The block, and what of it is at this byte. */
static const struct mr_block *block_at(const struct mr_image *img, uint64_t at,
				       uint64_t *page)
{
	for (size_t i = 0; i < img->info.n_blocks; i++) {
		const struct mr_block *b = &img->blocks[i];

		*page = UINT64_MAX;
		if (!b->in_file)
			continue;
		if (at >= b->bitmap_offset &&
		    at - b->bitmap_offset < b->bitmap_size)
			return b;
		*page = (at - b->pages_offset) / img->info.page_size;
		if (at >= b->pages_offset && at - b->pages_offset < b->length)
			return b;
	}
	return NULL;
}

/* A transfer of up to 1 MiB failed that begins here: where in it? */
static uint64_t first_bad(const struct mr_image *img, uint64_t at)
{
	unsigned char buf[4096];
	uint64_t end = at + (UINT64_C(1) << 20), next;

	for (uint64_t p = at; p < end; p = next) {
		next = (p / sizeof(buf) + 1) * sizeof(buf);
		if (io_read_upto(img->io, buf, (size_t)(next - p), p, NULL) < 0)
			return p;
	}
	return at;
}

int image_blame(const struct mr_image *img, struct mr_error *err)
{
	const struct mr_block *b;
	uint64_t at, page;
	unsigned who = img->io->who;

	if (!err || err->code != MR_SYS || err->offset == MR_NO_OFFSET ||
	    err->who != who)
		return -1;
	at = first_bad(img, err->offset);
	b = block_at(img, at, &page);
	if (!b)
		return -1;
	errno = err->sys;
	*err = (struct mr_error)MR_ERROR_INIT;
	if (page == UINT64_MAX)
		(void)error_sys(err, at,
				"cannot read the bitmap of block %.64s",
				b->name);
	else
		(void)error_sys(err, at,
				"cannot read page %" PRIu64 " of block %.64s",
				page, b->name);
	return error_about(err, who);
}
