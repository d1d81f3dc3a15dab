/* inspect.c - the verb: what a file is, in one word, and how full it is. */
#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"
#include "libmr/base/pages.h"

#define PIECE ((size_t)1 << 20)

/* A file that ends early is known as damaged. */
static bool is_known(const struct mr_image *img, const struct mr_error *e)
{
	return e->code == MR_SHORT && mr_image_info(img)->damage.code != MR_OK;
}

static int count(const struct mr_image *img, struct mr_inspection *out,
		 struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);

	out->use =
		calloc(info->n_blocks ? info->n_blocks : 1, sizeof(*out->use));
	if (!out->use)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_blocks; i++) {
		struct mr_error e = MR_ERROR_INIT;

		if (!mr_image_use(img, &info->blocks[i], &out->use[i], &e)) {
			out->present += out->use[i].present;
		} else if (!is_known(img, &e)) {
			*err = e;
			return -1;
		}
	}
	return 0;
}

static int any_page(const struct mr_image *img, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);
	int rc = 0;

	for (size_t i = 0; i < info->n_blocks && rc <= 0; i++) {
		struct mr_error e = MR_ERROR_INIT;

		rc = image_any_page(img, &info->blocks[i], &e);
		if (rc < 0 && !is_known(img, &e)) {
			*err = e;
			return -1;
		}
	}
	return rc > 0;
}

/* Whether there are pages in a mapped-ram image; counts them, if anybody will
 * want to know. 1, 0 or -1. */
static int pages(const struct mr_image *img, struct mr_inspection *out,
		 struct mr_error *err)
{
	if (img->skip_memory)
		return any_page(img, err);
	return count(img, out, err) ? -1 : out->present > 0;
}

/* What the pages of a plain stream are in the end. */
static int classify(const struct mr_image *img, struct mr_inspection *out,
		    struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);

	out->classes = calloc(info->n_blocks + 1, sizeof(*out->classes));
	if (!out->classes)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];
		struct mr_error e = MR_ERROR_INIT;

		if (!mr_image_classes(img, b, 0, b->pages, out->classes[i], &e))
			continue;
		free(out->classes);
		out->classes = NULL;
		return 0;
	}
	return 0;
}

static bool cancelled(const struct mr_watch *w)
{
	return w && w->cancel && atomic_load(w->cancel);
}

/* Whether a block's place holds a byte that is not zero. 1, 0 or -1. */
static int holds_data(const struct mr_image *img, const struct mr_block *b,
		      const struct mr_watch *watch, void *buf,
		      struct mr_error *err)
{
	uint64_t at = b->pages_offset, end = at + b->length, len;

	while ((len = image_next_data(img, &at, end)) > 0) {
		ssize_t n = io_read_upto(img->io, buf,
					 len < PIECE ? (size_t)len : PIECE, at,
					 err);

		if (n < 0)
			return image_blame(img, err);
		if (cancelled(watch))
			return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
					 "interrupted");
		if (n == 0)
			break;
		if (!pages_all_zero(buf, (size_t)n))
			return 1;
		at += (uint64_t)n;
	}
	return 0;
}

static int any_data(const struct mr_image *img, const struct mr_watch *watch,
		    struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);
	void *buf = aligned_alloc(4096, PIECE);
	int rc = 0;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < info->n_blocks && !rc; i++) {
		const struct mr_block *b = &info->blocks[i];

		/* Where no bitmap can be read, it does not say "no page". */
		if (b->in_file && !image_any_page(img, b, NULL))
			rc = holds_data(img, b, watch, buf, err);
	}
	free(buf);
	return rc;
}

static enum mr_verdict plain_verdict(const struct mr_image_info *info)
{
	if (info->kind == MR_IMAGE_FOREIGN)
		return MR_VERDICT_FOREIGN;
	if (info->has_libvirt && info->libvirt.format &&
	    !info->libvirt.complete)
		return MR_VERDICT_INTERRUPTED;
	if (info->damage.code != MR_OK)
		return info->damage.code == MR_UNSUPPORTED ? MR_VERDICT_UNKNOWN
							   : MR_VERDICT_DAMAGED;
	return MR_VERDICT_SOUND;
}

int mr_inspect(const struct mr_image *img, const struct mr_watch *watch,
	       struct mr_inspection *out, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(img);
	int data, present, label;

	*out = (struct mr_inspection){ .verdict = plain_verdict(info) };
	label = mr_image_label(img, &out->label, err);
	if (label < 0)
		return -1;
	out->has_label = label;
	if (info->kind == MR_IMAGE_STREAM && !info->skipped)
		return classify(img, out, err);
	if (info->kind != MR_IMAGE_MAPPED)
		return 0;
	present = pages(img, out, err);
	if (present)
		return present < 0 ? -1 : 0;
	data = any_data(img, watch, err);
	if (data < 0)
		return -1;
	/* What was broken off ends too early; nothing in it is wrong. */
	if (data && !info->ended && info->damage.code == MR_SHORT)
		out->verdict = MR_VERDICT_INTERRUPTED;
	else if (data && out->verdict == MR_VERDICT_SOUND)
		out->verdict = info->ram_ended ? MR_VERDICT_BLANK
					       : MR_VERDICT_BACKGROUND;
	return 0;
}

void mr_inspection_release(struct mr_inspection *out)
{
	free(out->use);
	free(out->classes);
	*out = (struct mr_inspection){ 0 };
}

const char *mr_image_kind_name(enum mr_image_kind kind)
{
	static const char *const name[] = {
		[MR_IMAGE_FOREIGN] = "foreign",
		[MR_IMAGE_MAPPED] = "mapped-ram",
		[MR_IMAGE_STREAM] = "stream",
		[MR_IMAGE_DEVICES] = "device-state",
		[MR_IMAGE_COMPRESSED] = "compressed",
	};

	return name[kind];
}

const char *mr_verdict_name(enum mr_verdict verdict)
{
	static const char *const name[] = {
		[MR_VERDICT_SOUND] = "sound",
		[MR_VERDICT_FOREIGN] = "foreign",
		[MR_VERDICT_DAMAGED] = "damaged",
		[MR_VERDICT_UNKNOWN] = "unknown",
		[MR_VERDICT_INTERRUPTED] = "interrupted",
		[MR_VERDICT_BACKGROUND] = "background-snapshot",
		[MR_VERDICT_BLANK] = "blank",
	};

	return name[verdict];
}

const char *mr_section_type_name(enum mr_section_type type)
{
	static const char *const name[] = {
		[MR_SECTION_START] = "start",	  [MR_SECTION_PART] = "part",
		[MR_SECTION_END] = "end",	  [MR_SECTION_FULL] = "full",
		[MR_SECTION_COMMAND] = "command",
	};

	return name[type];
}
