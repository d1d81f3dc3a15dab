/*
 * image_parse.h - an image in the making: the parts of the parser, of which
 * each calls those behind it only: image_file, image_stream, image_ram,
 * image_skip, image_pack, image_device, image_parse.
 */
#ifndef LIBMR_IMAGE_PARSE_H
#define LIBMR_IMAGE_PARSE_H

#include "formats/fault.h"
#include "formats/stream.h"
#include "libmr/base/names.h"
#include "libmr/image/image.h"
#include "libmr/file/reader.h"

/* A section that START opened and PART and END go on with. */
struct open_section {
	uint32_t id;
	const char *name; /* the image's */
	bool is_ram;
};

struct parse {
	struct mr_image *img;
	struct mr_image_info *info; /* img's */
	struct reader r;
	const struct mr_watch *watch;
	struct mr_error *err;

	struct open_section open[64];
	size_t n_open;
	struct names names; /* of the blocks */
	size_t last_block; /* CONTINUE's; n_blocks: none yet */
	uint64_t host_page_sizes; /* of POSTCOPY_ADVISE, or 0 */
	uint32_t ticks;
	bool again; /* what was read before the page size was known is wrong */

	/* Whether sections end in footers: the first one tells. */
	enum { FOOTERS_UNKNOWN, FOOTERS_THERE, FOOTERS_NONE } footers;
	bool looked_for_vmdesc;
	size_t desc_next; /* the device that the next FULL should be */
};

/* Each returns 0, or -1 with p->err filled. */

/* Goes on telling the watch, now and then; MR_CANCELLED if it says so. */
int parse_tick(struct parse *p);
/* A decoder's fault in what the reader has at byte base. */
int parse_fault(struct parse *p, const struct fault *f, uint64_t base);
/* Keeps a name for as long as the image lives; NULL with p->err filled. */
const char *parse_name(struct parse *p, const char *name);
/* What the target's page size turned out to be: p->again if there were words
 * about pages of another. */
void parse_page_size(struct parse *p, uint32_t page_size);

/* If the file is a pack: opens it, once, and says so in p->info. */
int parse_pack(struct parse *p);
/* The START of a pack's "ram" is read: fills maps and index from the pack's,
 * files its PARTs, and goes to its tail. */
int parse_pack_memory(struct parse *p);
/* Files a section. */
int parse_add_section(struct parse *p, const struct mr_section *s);
/* img->maps, and img->index if it is wanted, all clear. There are none of more
 * pages than PAGE_INDEX_LIMIT. */
int parse_new_maps(struct parse *p);

/* The whole stream, from its header on. */
int parse_stream(struct parse *p);
/* A payload of "ram", up to and including EOS. */
int parse_ram(struct parse *p, bool start);
/* Finds the end of a payload that begins here; the reader stays here. */
int parse_device_end(struct parse *p, const struct stream_element *e,
		     uint64_t *length, bool *described);
/* Whether the n bytes where a section has ended go on like a stream; left:
 * bytes of the file from there. */
enum likely { NOT, PERHAPS, SURE };
enum likely parse_goes_on(const struct parse *p, const uint8_t *buf, size_t n,
			  uint64_t left);
/* The same by footers alone. */
int parse_find_footer(struct parse *p, uint32_t id, uint64_t *length);
/* Reads what should be a description: img->desc, or img->desc_why. */
int parse_read_desc(struct parse *p, uint64_t offset, size_t len);
/* img->desc was looked for, or found. */
void parse_use_desc(struct parse *p);
/* The page size out of the description, if nothing before it says it; the
 * reader stays. */
int parse_find_page_size(struct parse *p);
/* Goes on behind the memory of a plain stream, if it is sure where that is;
 * else the reader stays. */
int parse_skip_memory(struct parse *p);

#endif
