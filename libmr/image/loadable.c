/* loadable.c - is a file an image that can be loaded? */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/file/expand.h"
#include "libmr/image/loadable.h"

/* What a file is that cannot be loaded, and what to do instead. */
static int refuse_kind(const struct mr_image_info *info, struct mr_error *err)
{
	switch (info->kind) {
	case MR_IMAGE_MAPPED:
	case MR_IMAGE_STREAM:
		break;
	case MR_IMAGE_COMPRESSED:
		if (info->compression &&
		    expand_by_name(info->compression) == EXPAND_LZ4)
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"this is compressed (lz4) and no pack: "
				"unpack it first, with lz4 -dc");
		if (info->compression)
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "this is compressed (%s) and no pack: "
					 "mrconvert makes one of it",
					 info->compression);
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is a libvirt save image whose body is "
				 "compressed (%s): mrconvert makes an image of "
				 "it; or use virsh restore",
				 info->libvirt.format);
	case MR_IMAGE_DEVICES:
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this holds device state only, no memory");
	case MR_IMAGE_FOREIGN:
		if (info->other)
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "this is no image, but %s",
					 info->other);
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this is no image of a virtual machine");
	}
	/* A header that cannot be read has no format, and is damage. */
	if (info->has_libvirt && info->libvirt.format &&
	    !info->libvirt.complete)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "libvirt did not finish this save image");
	if (info->pack.alone[0])
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this pack is an increment: %s",
				 info->pack.alone);
	if (info->kind == MR_IMAGE_STREAM && info->flushes)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this stream's pages went through multifd "
				 "channels: they are not in it");
	return 0;
}

static int refuse_verdict(const struct mr_image_info *info,
			  enum mr_verdict verdict, struct mr_error *err)
{
	switch (verdict) {
	case MR_VERDICT_SOUND:
		break;
	case MR_VERDICT_INTERRUPTED:
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"this save was broken off: its bitmaps are all "
			"clear, it would load as empty memory");
	case MR_VERDICT_BACKGROUND:
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU wrote this with background-snapshot and "
				 "mapped-ram: its bitmaps are all clear, it "
				 "would load as empty memory");
	case MR_VERDICT_BLANK:
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"there are data, but all bitmaps are clear: it "
			"would load as empty memory");
	case MR_VERDICT_UNKNOWN:
		return error_set(err, MR_REFUSED, info->damage.offset,
				 "not understood: %.200s", info->damage.msg);
	case MR_VERDICT_FOREIGN:
	case MR_VERDICT_DAMAGED:
		return error_set(err, MR_REFUSED, info->damage.offset,
				 "damaged: %.200s", info->damage.msg);
	}
	if (!info->ended)
		return error_set(err, MR_REFUSED, info->stream_end,
				 "the stream does not end: device state is "
				 "missing");
	return 0;
}

/* A page that is said to be there must lie inside the file. */
static int check_block(const struct mr_image_info *info,
		       const struct mr_block *b, const struct mr_block_use *use,
		       struct mr_error *err)
{
	uint64_t end = use->present_end * info->page_size;

	if (use->stray)
		return error_set(err, MR_REFUSED, b->bitmap_offset,
				 "block %.64s has bits beyond its last page, "
				 "which no QEMU writes: mrverify says whether "
				 "it can be mended",
				 b->name);
	if (b->pages_offset > info->file_size ||
	    end > info->file_size - b->pages_offset)
		return error_set(
			err, MR_REFUSED, info->file_size,
			"the file ends inside the pages of block %.64s",
			b->name);
	return 0;
}

static int check_mapped(const struct mr_image *img,
			const struct mr_watch *watch, uint64_t *present,
			struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);
	struct mr_inspection look = { 0 };
	int rc = mr_inspect(img, watch, &look, err);

	if (!rc)
		rc = refuse_verdict(info, look.verdict, err);
	for (size_t i = 0; !rc && look.use && i < info->n_blocks; i++)
		rc = check_block(info, &info->blocks[i], &look.use[i], err);
	*present = look.present * info->page_size;
	for (size_t i = 0; img->packed && i < info->n_blocks; i++)
		*present += info->blocks[i].normal_words * info->page_size;
	/* What will be sent of it, which is each page once. */
	for (size_t i = 0;
	     look.classes && image_compressed(info) && i < info->n_blocks; i++)
		*present += look.classes[i][MR_PAGE_PRESENT] * info->page_size;
	mr_inspection_release(&look);
	return rc;
}

static int parse(struct mr_image *img, const char *home, bool for_vm,
		 const struct mr_watch *watch, struct mr_error *err)
{
	char *path = home ? strdup(home) : NULL;

	if (home && !path)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (path) {
		free(img->path);
		img->path = path;
	}
	img->want_memory = !for_vm;
	if (image_parse(img, watch, err))
		return -1;
	/* No QEMU reads it: its pages will be sent. */
	if (!for_vm || (!img->packed && !image_compressed(&img->info)))
		return 0;
	img->want_memory = true;
	return image_parse(img, watch, err);
}

struct mr_image *image_open_loadable(const char *path, const char *home,
				     enum mr_direct direct, bool for_vm,
				     const struct mr_watch *watch,
				     uint64_t *present, struct mr_error *err)
{
	struct mr_image *img = image_open_file(path, direct, err);

	*present = 0;
	if (img && !parse(img, home, for_vm, watch, err) &&
	    !refuse_kind(mr_image_info(img), err) &&
	    !check_mapped(img, watch, present, err))
		return img;
	mr_image_free(img);
	return NULL;
}

int image_trust(const struct mr_image *img, bool force,
		const struct mr_watch *watch, enum mr_seal_state *state,
		struct mr_error *err)
{
	struct mr_error why;

	if (mr_image_seal(img, state, &why, err))
		return -1;
	if (*state != MR_SEAL_BROKEN)
		return 0;
	if (!force)
		return error_set(err, MR_REFUSED, why.offset,
				 "not as it was sealed, and loaded only with "
				 "--force: %.150s",
				 why.msg);
	watch_note(watch, "not as it was sealed: %s", why.msg);
	return 0;
}
