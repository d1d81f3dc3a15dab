/* compressed.c - pages of a plain stream that came compressed, one by one: does
 * each unpack? Its checksum, which zlib has, says so. */
#include <inttypes.h>
#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/image/index.h"
#include "libmr/verify/state.h"

struct seen {
	uint64_t pages, bad, first;
	uint64_t at; /* its place in the file */
};

static void tell(struct verify *v, const char *block, const struct seen *s)
{
	struct mr_finding f = { .kind = MR_FINDING_STREAM,
				.damage = true,
				.block = block,
				.first = s->first,
				.pages = 1,
				.count = 1,
				.offset = s->at };

	if (s->bad == 1)
		verify_tell(v, &f,
			    "page %" PRIu64 " is damaged: its zlib data do not "
			    "give one",
			    s->first);
	else
		verify_tell(v, &f,
			    "page %" PRIu64 " and %" PRIu64 " more are "
			    "damaged: their zlib data do not give one",
			    s->first, s->bad - 1);
}

static int look_at_page(struct verify *v, size_t block, uint64_t page,
			uint8_t *buf, struct seen *s, struct mr_error *err)
{
	uint32_t size = v->info->page_size;
	struct mr_error e = MR_ERROR_INIT;
	size_t present;

	s->pages++;
	if (!page_index_read(v->img->index, v->img->io, block, page * size, buf,
			     size, &present, &e))
		return 0;
	if (e.code != MR_FORMAT) {
		*err = e;
		return -1;
	}
	if (!s->bad++) {
		s->first = page;
		s->at = e.offset;
	}
	return 0;
}

static int look_at_block(struct verify *v, size_t block, uint8_t *buf,
			 struct mr_error *err)
{
	const struct mr_watch *w = &v->o->watch;
	const struct mr_block *b = &v->info->blocks[block];
	struct seen s = { .pages = 0 };

	for (uint64_t p = 0; p < b->pages; p++) {
		/* Changes may be to one. */
		if (page_index_kind(v->img->index, block, p) >=
			    PAGE_INDEX_ZLIB &&
		    look_at_page(v, block, p, buf, &s, err))
			return -1;
		if (p % 4096 == 0 && w->cancel && atomic_load(w->cancel))
			return error_set(err, MR_CANCELLED, MR_NO_OFFSET,
					 "interrupted");
	}
	v->r->read += s.pages * v->info->page_size;
	if (s.bad)
		tell(v, b->name, &s);
	return 0;
}

int verify_compressed(struct verify *v, struct mr_error *err)
{
	uint8_t *buf;
	int rc = 0;

	if (v->info->kind != MR_IMAGE_STREAM || !image_compressed(v->info))
		return 0;
	/* A stream that breaks off has pages that would have come again. */
	if (v->info->damage.code != MR_OK && !v->info->ram_ended)
		return 0;
	if (!v->img->index)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "there is too much memory to keep track of");
	if (v->img->index->why.code != MR_OK) {
		*err = v->img->index->why;
		return -1;
	}
	buf = malloc(v->info->page_size);
	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < v->info->n_blocks && !rc; i++)
		rc = look_at_block(v, i, buf, err);
	free(buf);
	return rc;
}
