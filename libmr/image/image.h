/*
 * image.h - an open file and what was found in it.
 *
 *   image.c   opens a file, whatever it is
 *   file.c    what kind of file it is
 *   stream.c  the elements of QEMU's stream, in order
 *   ram.c     what the sections of "ram" hold
 *   skip.c    past the memory of a plain stream
 *   pack.c    past that of a pack, whose index says what it holds
 *   device.c  where sections without a length end
 *   parse.c   what those share
 *   use.c     bitmaps, and holes
 *   index.c   where each page of a plain stream last came
 *   memory.c  pages
 *   blame.c   which page it is that cannot be read
 *   plain.c   all but memory, as a plain stream has it (plain.h)
 *   seal.c    does all but the pages agree with the seal?
 *   loadable.c  can a guest be made of it? (loadable.h)
 */
#ifndef LIBMR_IMAGE_H
#define LIBMR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/file/io.h"
#include "libmr/mr.h"
#include "libmr/image/index.h"
#include "libmr/image/vmdesc.h"
#include "libmr/pack/chain.h"

/* Bit p % 64 of word p / 64 is page p's. */
struct page_map {
	uint64_t *sent; /* there was a word */
	uint64_t *zero; /* and the last one said zero */
};

struct mr_image {
	struct file file;
	struct io *io; /* &file.io, or a test's; of a pack its stream's */
	char *path; /* of file; NULL: not known */
	struct packed *packed; /* the file is a pack; else NULL */
	struct mr_label label; /* of a pack, if has_label */
	bool has_label;
	char alone[256]; /* as mr_pack's */
	struct chain *chain; /* it is an increment, with all below; or NULL */
	bool skip_memory; /* only the devices are wanted */
	bool want_memory; /* pages are going to be read */
	struct mr_image_info info; /* its arrays are the two below */
	struct mr_section *sections;
	struct mr_block *blocks;
	size_t sections_room, blocks_room;
	/* Plain streams: what the last word of each page was. NULL: there was
	 * no page, or there are more than PAGE_INDEX_LIMIT. */
	struct page_map *maps; /* one per block */
	uint32_t maps_page_size; /* bytes: what a bit stands for */
	/* And where it is, if want_memory. */
	struct page_index *index;
	bool discards; /* pages were taken back: postcopy went on elsewhere */
	char **names; /* every string that sections and blocks point to */
	size_t n_names, names_room;
	struct vmdesc desc; /* { 0 }: there is none */
	struct mr_error desc_why; /* there is one that can't be used: why */
};

/* As mr_image_open_memory, over a back end of the caller's, which must outlive
 * the image. */
struct mr_image *image_open_io(struct io *io, const struct mr_watch *watch,
			       struct mr_error *err);

/*
 * The two halves of mr_image_open: the file is open, and it is parsed. In
 * between img->io may be put over img->file; it must outlive the image then.
 */
struct mr_image *image_open_file(const char *path, enum mr_direct direct,
				 struct mr_error *err);
int image_parse(struct mr_image *img, const struct mr_watch *watch,
		struct mr_error *err);

/*
 * If *err is that of a read of this image (by its io's who): looks for the very
 * place and names it, as far as it is known ("page 7 of block pc.ram"). Returns
 * -1.
 */
int image_blame(const struct mr_image *img, struct mr_error *err);

void image_put_label(struct mr_label *out, const struct seal_label *l);

/* Whether a whole seal says that the place of pages that are not present reads
 * as zeros. */
bool image_absent_zero(const struct mr_image *img);

/*
 * The next bytes of the file at or after *from, and before to, that are not
 * in a hole: moves *from to them and returns how many; 0: no more. Where the
 * file system, or the back end, does not say, all is data.
 */
uint64_t image_next_data(const struct mr_image *img, uint64_t *from,
			 uint64_t to);

/*
 * The first word of a block's bitmap at or after `at` that may have bits;
 * mr_block_words: none. A hole has none, and a hostile file can have one for
 * hours of reading.
 */
uint64_t image_skip_hole(const struct mr_image *img, const struct mr_block *b,
			 uint64_t at);

/* CPUs that have a section; 0: none has, or it is not known. */
unsigned image_cpus(const struct mr_image_info *info);

/* Whether a page of the block is in the file, by its bitmap. 1, 0 or -1. */
int image_any_page(const struct mr_image *img, const struct mr_block *b,
		   struct mr_error *err);

/* Whether a file that is no mapped-ram image is a plain stream whose index
 * says what its memory is. 0, or -1 with why not. */
int image_check_index(const struct mr_image *img, struct mr_error *err);

/* Whether a block of a plain stream is in it: nothing says which
 * x-ignore-shared leaves out, but no word is about them. */
bool image_block_sent(const struct mr_image *img, const struct mr_block *b);

/* Pages that came compressed, one by one: the QEMU that reads them must be told
 * before, and there has been none since 9.1. */
uint64_t image_compressed(const struct mr_image_info *info);

/* All that was found, as before image_parse. */
void image_forget(struct mr_image *img);

#endif
