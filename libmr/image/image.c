/* image.c - opening a file, whatever it is. */
#include "libmr/image/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmr/base/error.h"

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

static struct mr_image *open_path(const char *path, enum mr_direct direct,
				  bool skip_memory,
				  const struct mr_watch *watch,
				  struct mr_error *err)
{
	struct mr_image *img = image_open_file(path, direct, err);

	if (!img)
		return NULL;
	img->skip_memory = skip_memory;
	if (!image_parse(img, watch, err))
		return img;
	mr_image_free(img);
	return NULL;
}

struct mr_image *mr_image_open(const char *path, enum mr_direct direct,
			       const struct mr_watch *watch,
			       struct mr_error *err)
{
	return open_path(path, direct, false, watch, err);
}

struct mr_image *mr_image_open_devices(const char *path,
				       const struct mr_watch *watch,
				       struct mr_error *err)
{
	return open_path(path, MR_DIRECT_OFF, true, watch, err);
}

void mr_image_free(struct mr_image *img)
{
	if (!img)
		return;
	(void)file_close(&img->file);
	for (size_t i = 0; i < img->n_names; i++)
		free(img->names[i]);
	free(img->names);
	image_maps_free(img);
	vmdesc_release(&img->desc);
	free(img->sections);
	free(img->blocks);
	free(img);
}

const struct mr_image_info *mr_image_info(const struct mr_image *img)
{
	return &img->info;
}

const struct mr_block *mr_image_find(const struct mr_image *img,
				     const char *name)
{
	for (size_t i = 0; i < img->info.n_blocks; i++)
		if (!strcmp(img->blocks[i].name, name))
			return &img->blocks[i];
	return NULL;
}
