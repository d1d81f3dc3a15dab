/* image.c - opening a file, whatever it is. */
#include "libmr/image/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmr/base/error.h"
#include "libmr/seal/sealed.h"

static struct mr_image *image_new(struct mr_error *err)
{
	struct mr_image *img = calloc(1, sizeof(*img));

	if (!img) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	img->file = (struct file)FILE_CLOSED;
	return img;
}

struct mr_image *image_open_io(struct io *io, const struct mr_watch *watch,
			       struct mr_error *err)
{
	struct mr_image *img = image_new(err);

	if (!img)
		return NULL;
	img->io = io;
	img->want_memory = true;
	img->info.file_allocated = io->size;
	if (!image_parse(img, watch, err))
		return img;
	mr_image_free(img);
	return NULL;
}

struct mr_image *image_open_file(const char *path, enum mr_direct direct,
				 struct mr_error *err)
{
	struct mr_image *img = image_new(err);
	struct stat st;

	if (!img)
		return NULL;
	if (file_open(&img->file, path, direct, err))
		goto fail;
	img->io = &img->file.io;
	img->path = strdup(path);
	if (!img->path) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto fail;
	}
	if (fstat(img->file.fd, &st)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot stat");
		goto fail;
	}
	img->info.file_allocated = (uint64_t)st.st_blocks * 512;
	return img;
fail:
	mr_image_free(img);
	return NULL;
}

enum want { WANT_ALL, WANT_DEVICES, WANT_MEMORY };

static struct mr_image *open_path(const char *path, enum mr_direct direct,
				  enum want want, const struct mr_watch *watch,
				  struct mr_error *err)
{
	struct mr_image *img = image_open_file(path, direct, err);

	if (!img)
		return NULL;
	img->skip_memory = want == WANT_DEVICES;
	img->want_memory = want == WANT_MEMORY;
	if (!image_parse(img, watch, err))
		return img;
	mr_image_free(img);
	return NULL;
}

struct mr_image *mr_image_open(const char *path, enum mr_direct direct,
			       const struct mr_watch *watch,
			       struct mr_error *err)
{
	return open_path(path, direct, WANT_ALL, watch, err);
}

struct mr_image *mr_image_open_memory(const char *path, enum mr_direct direct,
				      const struct mr_watch *watch,
				      struct mr_error *err)
{
	return open_path(path, direct, WANT_MEMORY, watch, err);
}

struct mr_image *mr_image_open_devices(const char *path,
				       const struct mr_watch *watch,
				       struct mr_error *err)
{
	return open_path(path, MR_DIRECT_OFF, WANT_DEVICES, watch, err);
}

void image_forget(struct mr_image *img)
{
	for (size_t i = 0; img->maps && i < img->info.n_blocks; i++) {
		free(img->maps[i].sent);
		free(img->maps[i].zero);
	}
	free(img->maps);
	img->maps = NULL;
	img->maps_page_size = 0;
	page_index_free(img->index);
	img->index = NULL;
	img->discards = false;
	vmdesc_release(&img->desc);
	for (size_t i = 0; i < img->n_names; i++)
		free(img->names[i]);
	img->n_names = 0;
	img->info = (struct mr_image_info){
		.file_size = img->io ? img->io->size : 0,
		.file_allocated = img->info.file_allocated,
		.sections = img->sections, /* room for them */
		.blocks = img->blocks,
		.page_size = 4096,
		.damage = MR_ERROR_INIT,
	};
	img->desc_why = (struct mr_error)MR_ERROR_INIT;
}

void mr_image_free(struct mr_image *img)
{
	if (!img)
		return;
	(void)file_close(&img->file);
	image_forget(img);
	if (img->chain)
		chain_release(img->chain);
	free(img->chain);
	if (img->packed)
		packed_release(img->packed);
	free(img->packed);
	free(img->path);
	free(img->names);
	free(img->sections);
	free(img->blocks);
	free(img);
}

const struct mr_image_info *mr_image_info(const struct mr_image *img)
{
	return &img->info;
}

bool image_absent_zero(const struct mr_image *img)
{
	struct mr_error why = MR_ERROR_INIT;
	struct sealed s = { 0 };
	bool yes = img->info.sealed && sealed_open(&s, img->io, &why) > 0 &&
		   s.head.flags & SEAL_ABSENT_ZERO;

	sealed_release(&s);
	return yes;
}

static bool is_uuid(const uint8_t uuid[16])
{
	static const uint8_t none[16];

	return memcmp(uuid, none, sizeof(none)) != 0;
}

void image_put_label(struct mr_label *out, const struct seal_label *l)
{
	*out = (struct mr_label){ .made = l->made,
				  .has_uuid = is_uuid(l->uuid) };
	memcpy(out->uuid, l->uuid, sizeof(out->uuid));
	memcpy(out->name, l->name, sizeof(out->name));
	memcpy(out->maker, l->maker, sizeof(out->maker));
}

int mr_image_label(const struct mr_image *img, struct mr_label *out,
		   struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct sealed s = { 0 };
	int rc;

	if (img->has_label)
		*out = img->label;
	if (img->has_label || !img->info.sealed)
		return img->has_label;
	rc = sealed_open(&s, img->io, &why);
	if (rc > 0 && !(s.head.flags & SEAL_LABELED))
		rc = 0;
	if (rc > 0)
		image_put_label(out, &s.head.label);
	sealed_release(&s);
	if (rc >= 0 || error_is_damage(&why))
		return rc > 0;
	*err = why;
	return -1;
}

const struct mr_block *mr_image_find(const struct mr_image *img,
				     const char *name)
{
	for (size_t i = 0; i < img->info.n_blocks; i++)
		if (!strcmp(img->blocks[i].name, name))
			return &img->blocks[i];
	return NULL;
}
