/* parse.c - what the parts of the parser share. */
#include "libmr/image/parse.h"

#include <stdlib.h>
#include <string.h>

#include "formats/mapped_ram.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"

int parse_tick(struct parse *p)
{
	const struct mr_watch *w = p->watch;

	if (!w || ++p->ticks & 0xfff)
		return 0;
	if (w->cancel && atomic_load(w->cancel))
		return error_set(p->err, MR_CANCELLED, MR_NO_OFFSET,
				 "interrupted");
	if (w->progress)
		w->progress(w->arg, mr_reader_tell(&p->r), p->img->io->size);
	return 0;
}

int parse_fault(struct parse *p, const struct fault *f, uint64_t base)
{
	uint64_t size = p->img->io->size;

	/* What is too short is so because the file ends; the reader may have
	 * been sent far beyond that. */
	if (f->kind == FAULT_SHORT && base + f->at >= size)
		return error_set(p->err, MR_SHORT, size, "file %s", f->what);
	return error_fault(p->err, f, base);
}

const char *parse_name(struct parse *p, const char *name)
{
	struct mr_image *img = p->img;
	char *copy;

	if (grow(&img->names, &img->names_room, img->n_names,
		 sizeof(*img->names)))
		goto nomem;
	copy = strdup(name);
	if (!copy)
		goto nomem;
	img->names[img->n_names++] = copy;
	return copy;
nomem:
	(void)error_set(p->err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return NULL;
}

void parse_page_size(struct parse *p, uint32_t page_size)
{
	p->info->page_size = page_size;
	p->info->page_size_known = true;
	p->again =
		p->img->maps_page_size && p->img->maps_page_size != page_size;
	for (size_t i = 0; i < p->info->n_blocks; i++)
		p->img->blocks[i].pages = mapped_ram_num_pages(
			p->img->blocks[i].length, page_size);
}
