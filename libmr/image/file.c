/* file.c - what kind of file it is, and whether its parts fit. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/libvirt.h"
#include "formats/mapped_ram.h"
#include "formats/other.h"
#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/file/expand.h"
#include "libmr/image/parse.h"

/* The decoders' window: a plain stream is read in pieces of this size. */
#define WINDOW ((size_t)1 << 20)

/* The XML and the cookie end where they must. */
static int check_libvirt_data(struct parse *p, const struct libvirt_header *h)
{
	struct libvirt_data data;
	uint8_t *buf = malloc(h->data_len);
	struct fault f;
	int rc;

	if (!buf)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	rc = io_read_full(p->img->io, buf, h->data_len, LIBVIRT_HEADER_SIZE,
			  p->err);
	if (!rc && libvirt_data_decode(buf, h->data_len, h, &data, &f) < 0)
		rc = parse_fault(p, &f, LIBVIRT_HEADER_SIZE);
	free(buf);
	return rc;
}

/* libvirt feeds QEMU a body by what its own header says of it. */
static int check_libvirt_body(struct parse *p)
{
	const struct mr_image_info *info = p->info;
	bool sparse = !strcmp(info->libvirt.format,
			      libvirt_format_name(LIBVIRT_SPARSE));

	if (sparse == info->mapped_ram)
		return 0;
	return error_set(p->err, MR_FORMAT, info->stream_offset,
			 "libvirt's header says format %s, the stream %s",
			 info->libvirt.format,
			 sparse ? "is plain" : "has mapped-ram");
}

/* libvirt's header, if there is one. 1: a stream follows, at *offset; 0: that
 * was all that can be read; -1. */
static int read_libvirt(struct parse *p, const uint8_t *buf, size_t n,
			uint64_t *offset)
{
	struct mr_libvirt *v = &p->info->libvirt;
	struct libvirt_header h;
	struct fault f;

	p->info->has_libvirt = true;
	p->info->kind = MR_IMAGE_STREAM;
	if (libvirt_header_decode(buf, n, &h, &f) < 0)
		return parse_fault(p, &f, 0);
	*v = (struct mr_libvirt){
		.complete = h.complete,
		.big_endian = h.big_endian,
		.was_running = h.was_running,
		.version = h.version,
		.data_length = h.data_len,
		.cookie_offset = h.cookie_offset,
		.format = libvirt_format_name(h.format),
	};
	*offset = libvirt_stream_offset(&h);
	if (check_libvirt_data(p, &h))
		return -1;
	if (h.format == LIBVIRT_RAW || h.format == LIBVIRT_SPARSE)
		return 1;
	p->info->kind = MR_IMAGE_COMPRESSED;
	return 0;
}

/* Rules that no one block can break alone; the first broken one is told. */
static int tell_flaw(void *arg, const struct mapped_ram_report *r)
{
	struct parse *p = arg;

	(void)error_set(p->err, MR_FORMAT, r->at,
			"RAM block %s: %s (%" PRIu64 ", not %" PRIu64 ")",
			r->block < p->info->n_blocks
				? p->img->blocks[r->block].name
				: "list",
			r->what, r->value, r->want);
	return 1;
}

static int check_blocks(struct parse *p)
{
	size_t n = p->info->n_blocks;
	struct mapped_ram_block *b = calloc(n, sizeof(*b));
	struct mapped_ram_list list = { .blocks = b,
					.n = n,
					.total = p->info->ram,
					.page_size = p->info->page_size,
					.file_size = p->img->io->size,
					.ignore_shared =
						p->info->ignore_shared };
	size_t flaws;

	if (!b)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct mr_block *m = &p->img->blocks[i];

		b[i] = (struct mapped_ram_block){
			.name = m->name,
			.used_length = m->length,
			.entry = m->entry,
			.header = m->header,
			.h = { .version = MAPPED_RAM_VERSION,
			       .page_size = p->info->page_size,
			       .bitmap_offset = m->bitmap_offset,
			       .pages_offset = m->pages_offset },
		};
	}
	flaws = mapped_ram_check(&list, tell_flaw, p);
	free(b);
	return flaws ? -1 : 0;
}

/* With another page size than it was saved with QEMU loads some pages and not
 * others, without a word. */
static int check_page_size(struct parse *p)
{
	if (!p->img->desc.page_size ||
	    p->img->desc.page_size == p->info->page_size)
		return 0;
	return error_set(p->err, MR_FORMAT, p->img->blocks[0].header + 4,
			 "page size %" PRIu32 ", but %" PRIu32
			 " in the vmdescription",
			 p->info->page_size, p->img->desc.page_size);
}

/* What begins as no stream. */
static int other_file(struct parse *p, const uint8_t *buf, size_t n)
{
	if (p->img->packed)
		return error_set(p->err, MR_FORMAT, 0,
				 "what is in this pack is no migration stream");
	/* What somebody compressed who does not know of packs. */
	p->info->compression = expand_name(expand_find(buf, n));
	if (p->info->compression)
		p->info->kind = MR_IMAGE_COMPRESSED;
	else
		p->info->other = other_text(other_find(buf, (size_t)n));
	return 0; /* else MR_IMAGE_FOREIGN */
}

static int parse_file(struct parse *p)
{
	const uint8_t *buf;
	uint64_t offset = 0;
	int more = 1;
	ssize_t n = mr_reader_peek(&p->r, LIBVIRT_HEADER_SIZE, &buf, p->err);

	if (n < 0)
		return -1;
	if (!p->img->packed && n >= 16 && libvirt_is_save(buf, (size_t)n))
		more = read_libvirt(p, buf, (size_t)n, &offset);
	else if (n < 4 || memcmp(buf, "QEVM", 4) != 0)
		return other_file(p, buf, (size_t)n);
	if (more < 0)
		return -1;
	p->info->stream_offset = offset;
	reader_seek(&p->r, offset);
	if (!more)
		return 0;
	if (parse_stream(p))
		return -1;
	if (p->info->has_libvirt && check_libvirt_body(p))
		return -1;
	if (p->info->kind != MR_IMAGE_MAPPED)
		return 0;
	return check_blocks(p) || check_page_size(p) ? -1 : 0;
}

/* Once through the file; page_size: what it is known to be, or 0. 1: what the
 * page size was taken for was wrong, and it is img->info.page_size. */
static int parse_once(struct mr_image *img, uint32_t page_size,
		      const struct mr_watch *watch, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct parse p = {
		.img = img, .info = &img->info, .watch = watch, .err = &why
	};
	int rc = 0;

	image_forget(img);
	if (page_size) {
		img->info.page_size = page_size;
		img->info.page_size_known = true;
	}
	rc = parse_pack(&p);
	if (reader_init(&p.r, img->packed ? &img->packed->outline.io : img->io,
			WINDOW, 0, err))
		return -1;
	if ((rc || parse_file(&p)) && !p.again) {
		rc = 0;
		if (error_is_damage(&why)) {
			img->info.damage = why;
		} else {
			*err = why;
			rc = image_blame(img, err);
		}
	}
	/* What looked like it need not be it. */
	if (img->desc.offset != img->info.vmdesc_offset)
		vmdesc_release(&img->desc);
	img->info.stream_end = mr_reader_tell(&p.r);
	if (!rc && watch && watch->progress)
		watch->progress(watch->arg, img->io->size, img->io->size);
	reader_release(&p.r);
	names_free(&p.names);
	return rc ? rc : p.again;
}

int image_parse(struct mr_image *img, const struct mr_watch *watch,
		struct mr_error *err)
{
	int rc = parse_once(img, 0, watch, err);

	if (rc > 0)
		rc = parse_once(img, img->info.page_size, watch, err);
	return rc < 0 ? -1 : 0;
}
