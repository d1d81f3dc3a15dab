/* mark.c - whether a file is what it was. */
#include "libmr/image/mark.h"

#include <string.h>
#include <sys/stat.h>

#include "libmr/base/error.h"

int image_mark(const struct mr_image *img, struct mr_file_mark *out,
	       struct mr_error *err)
{
	struct stat st;

	if (fstat(img->file.fd, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	*out = (struct mr_file_mark){ .device = st.st_dev,
				      .inode = st.st_ino,
				      .size = (uint64_t)st.st_size,
				      .written = st.st_mtim.tv_sec,
				      .written_ns = st.st_mtim.tv_nsec,
				      .changed = st.st_ctim.tv_sec,
				      .changed_ns = st.st_ctim.tv_nsec };
	return 0;
}

int image_is_as(const struct mr_image *img, const struct mr_file_mark *was,
		struct mr_error *err)
{
	struct mr_file_mark is;

	/* Numbers of 8 bytes, and nothing between them. */
	return image_mark(img, &is, err) ? -1 : !memcmp(&is, was, sizeof(is));
}
