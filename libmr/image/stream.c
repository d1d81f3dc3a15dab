/* stream.c - QEMU's stream, element by element. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/colo.h"
#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "formats/seal.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/image/parse.h"

/* Bytes behind the end that are looked at in one go. */
#define BEHIND ((size_t)64 << 10)

/* PARTs come by the thousand: what goes on from the last entry joins it. */
static bool join(struct mr_section *last, const struct mr_section *s)
{
	if (s->type != MR_SECTION_PART && s->type != MR_SECTION_COMMAND)
		return false;
	if (last->type != s->type || last->id != s->id ||
	    last->header != s->header || last->count == UINT32_MAX ||
	    last->offset + last->length != s->offset)
		return false;
	last->count++;
	last->payload += s->payload;
	last->length += s->length;
	return true;
}

int parse_add_section(struct parse *p, const struct mr_section *s)
{
	struct mr_image_info *info = p->info;
	struct mr_image *img = p->img;

	if (info->n_sections && join(&img->sections[info->n_sections - 1], s))
		return 0;
	if (info->n_sections >= SECTIONS_LIMIT)
		return error_set(p->err, MR_UNSUPPORTED, s->offset,
				 "more than %u sections", SECTIONS_LIMIT);
	if (grow(&img->sections, &img->sections_room, info->n_sections,
		 sizeof(*s)))
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	info->sections = img->sections;
	img->sections[info->n_sections++] = *s;
	return 0;
}

/* The payload is passed; its footer comes next. Files the section. */
static int close_section(struct parse *p, struct mr_section *s)
{
	uint64_t at = mr_reader_tell(&p->r);
	const uint8_t *buf;
	struct fault f;
	ssize_t n = mr_reader_peek(&p->r, STREAM_ELEMENT_MAX, &buf, p->err);

	if (n < 0)
		return -1;
	/* They can be switched off, and the stream does not say so. */
	if (p->footers == FOOTERS_UNKNOWN)
		p->footers = parse_goes_on(p, buf, (size_t)n,
					   p->img->io->size - at) == SURE
				     ? FOOTERS_NONE
				     : FOOTERS_THERE;
	if (p->footers == FOOTERS_THERE) {
		n = stream_footer_decode(buf, (size_t)n, s->id, &f);
		if (n < 0)
			return parse_fault(p, &f, at);
		mr_reader_skip(&p->r, STREAM_FOOTER_SIZE);
	}
	s->payload = at - s->offset - s->header;
	s->length = mr_reader_tell(&p->r) - s->offset;
	return parse_add_section(p, s);
}

/* The run state that the VM will come up in. */
static int read_globalstate(struct parse *p, uint64_t length)
{
	struct stream_globalstate g;
	const uint8_t *buf;
	struct fault f;

	if (length != STREAM_GLOBALSTATE_SIZE)
		return 0;
	if (reader_need(&p->r, STREAM_GLOBALSTATE_SIZE, &buf, p->err))
		return -1;
	/* A state that is no state is mrverify's; here it is not known. */
	if (stream_globalstate_decode(buf, STREAM_GLOBALSTATE_SIZE, &g, &f) >=
	    0)
		memcpy(p->info->run_state, g.runstate, sizeof(g.runstate));
	return 0;
}

static int device(struct parse *p, const struct stream_element *e,
		  struct mr_section *s)
{
	uint64_t length;

	if (parse_device_end(p, e, &length, &s->described))
		return -1;
	if (!strcmp(e->idstr, STREAM_GLOBALSTATE) &&
	    read_globalstate(p, length))
		return -1;
	mr_reader_skip(&p->r, length);
	return close_section(p, s);
}

/* START, PART and END of "ram", or of something that we can't read. */
static int iterable(struct parse *p, struct mr_section *s, bool is_ram)
{
	uint64_t length;

	if (is_ram) {
		if (s->type == MR_SECTION_START && parse_find_page_size(p))
			return -1;
		if (parse_ram(p, s->type == MR_SECTION_START))
			return -1;
		if (s->type == MR_SECTION_END)
			p->info->ram_ended = true;
		if (s->type == MR_SECTION_START && p->img->packed)
			return close_section(p, s) || parse_pack_memory(p) ? -1
									   : 0;
		if (s->type == MR_SECTION_START && p->img->skip_memory &&
		    !p->info->mapped_ram)
			return close_section(p, s) || parse_skip_memory(p) ? -1
									   : 0;
	} else {
		if (parse_find_footer(p, s->id, &length))
			return -1;
		mr_reader_skip(&p->r, length);
	}
	return close_section(p, s);
}

static int start(struct parse *p, const struct stream_element *e,
		 struct mr_section *s)
{
	bool is_ram = !strcmp(e->idstr, RAM_IDSTR);

	for (size_t i = 0; i < p->n_open; i++)
		if (p->open[i].id == s->id || (is_ram && p->open[i].is_ram))
			return error_set(p->err, MR_FORMAT, s->offset,
					 "section %" PRIu32 " \"%s\" starts "
					 "a second time",
					 s->id, e->idstr);
	if (is_ram && s->version != RAM_VERSION)
		return error_set(p->err, MR_UNSUPPORTED, s->offset,
				 "version %" PRIu32 " of section \"ram\"",
				 s->version);
	if (p->n_open == sizeof(p->open) / sizeof(p->open[0]))
		return error_set(p->err, MR_UNSUPPORTED, s->offset,
				 "more than %zu iterable sections", p->n_open);
	p->open[p->n_open++] = (struct open_section){ .id = s->id,
						      .name = s->name,
						      .is_ram = is_ram };
	return iterable(p, s, is_ram);
}

static int part_or_end(struct parse *p, struct mr_section *s)
{
	for (size_t i = 0; i < p->n_open; i++) {
		if (p->open[i].id != s->id)
			continue;
		s->name = p->open[i].name;
		return iterable(p, s, p->open[i].is_ram);
	}
	return error_set(p->err, MR_FORMAT, s->offset,
			 "section %" PRIu32 " goes on but never started",
			 s->id);
}

static int command(struct parse *p, const struct stream_element *e,
		   struct mr_section *s)
{
	const uint8_t *buf;
	uint64_t extra = 0;

	s->id = e->command;
	s->name = stream_command_name(e->command);
	/* The longest data of a command that we read has 16 bytes. */
	if (e->command == STREAM_CMD_PACKAGED) {
		/* Bytes behind the command hold a stream of their own. */
		if (reader_need(&p->r, e->length, &buf, p->err))
			return -1;
		extra = get_be32(buf);
	} else if (e->command == STREAM_CMD_POSTCOPY_ADVISE && e->length) {
		struct stream_advise a;
		struct fault f;

		if (reader_need(&p->r, e->length, &buf, p->err))
			return -1;
		if (stream_advise_decode(buf, e->length, &a, &f) < 0)
			return parse_fault(p, &f, mr_reader_tell(&p->r));
		if (!mapped_ram_page_size_ok(a.target_page_size))
			return error_set(p->err, MR_FORMAT,
					 mr_reader_tell(&p->r) + 8,
					 "page size %" PRIu64
					 " is none that a target has",
					 a.target_page_size);
		p->host_page_sizes = a.block_page_sizes;
		if (!p->info->page_size_known)
			parse_page_size(p, (uint32_t)a.target_page_size);
		if (a.target_page_size != p->info->page_size)
			return error_set(
				p->err, MR_FORMAT, mr_reader_tell(&p->r) + 8,
				"page size %" PRIu64 " in a stream of %" PRIu32,
				a.target_page_size, p->info->page_size);
	}
	if (e->command == STREAM_CMD_POSTCOPY_RAM_DISCARD)
		p->img->discards = true;
	s->payload = e->length + extra;
	s->length = s->header + s->payload;
	mr_reader_skip(&p->r, s->payload);
	return parse_add_section(p, s);
}

/* One element up to EOF; *end if that was it. */
static int element(struct parse *p, bool *end)
{
	uint64_t at = mr_reader_tell(&p->r);
	struct stream_element e;
	struct mr_section s;
	const uint8_t *buf;
	struct fault f;
	ssize_t n = mr_reader_peek(&p->r, STREAM_ELEMENT_MAX, &buf, p->err);

	if (n < 0)
		return -1;
	if (n == 0)
		return error_set(p->err, MR_SHORT, p->img->io->size,
				 "file ends before the stream does");
	n = stream_element_decode(buf, (size_t)n, &e, &f);
	if (n < 0)
		return parse_fault(p, &f, at);
	s = (struct mr_section){ .id = e.section_id,
				 .instance = e.instance_id,
				 .version = e.version_id,
				 .count = 1,
				 .offset = at,
				 .header = (uint64_t)n };
	if (e.type == STREAM_START || e.type == STREAM_FULL) {
		s.name = parse_name(p, e.idstr);
		if (!s.name)
			return -1;
	}
	mr_reader_skip(&p->r, (uint64_t)n);
	switch (e.type) {
	case STREAM_EOF:
		*end = true;
		return 0;
	case STREAM_START:
		s.type = MR_SECTION_START;
		return start(p, &e, &s);
	case STREAM_FULL:
		s.type = MR_SECTION_FULL;
		return device(p, &e, &s);
	case STREAM_PART:
	case STREAM_END:
		s.type =
			e.type == STREAM_END ? MR_SECTION_END : MR_SECTION_PART;
		return part_or_end(p, &s);
	case STREAM_COMMAND:
		s.type = MR_SECTION_COMMAND;
		return command(p, &e, &s);
	case STREAM_SUBSECTION:
	case STREAM_VMDESC:
	case STREAM_CONFIG:
	case STREAM_FOOTER:
	default:
		return error_set(p->err, MR_FORMAT, at,
				 "a %s where a section should begin",
				 stream_type_name(e.type));
	}
}

/* The description, unless that was it which had to be found before. */
static int read_desc(struct parse *p)
{
	const struct mr_image_info *info = p->info;

	if (p->img->desc.offset == info->vmdesc_offset ||
	    info->vmdesc_length <= VMDESC_TEXT_NONE ||
	    info->vmdesc_length > VMDESC_TEXT_LIMIT)
		return 0;
	return parse_read_desc(p, info->vmdesc_offset,
			       (size_t)info->vmdesc_length);
}

/* A stream that was ended too early by a damaged byte has fewer sections than
 * its description; one that has more was not described by QEMU. */
static int check_count(struct parse *p)
{
	const struct mr_image_info *info = p->info;
	size_t n = 0;

	for (size_t i = 0; i < info->n_sections; i++)
		n += info->sections[i].type == MR_SECTION_FULL;
	if (n >= p->img->desc.n)
		return 0;
	return error_set(p->err, MR_FORMAT, info->vmdesc_offset,
			 "the stream has %zu devices, its description %zu", n,
			 p->img->desc.n);
}

/* Whether a primary's first words come, or as much of them as there is. */
static int is_primary(struct parse *p, struct mr_error *err)
{
	uint8_t words[2 * COLO_MAX];
	const uint8_t *buf;
	ssize_t n;
	size_t len = colo_encode(words, &(struct colo_word){ COLO_REQUEST, 0 });

	len += colo_encode(words + len, &(struct colo_word){ COLO_SEND, 0 });
	n = mr_reader_peek(&p->r, len, &buf, err);
	if (n < 0)
		return -1;
	return n >= COLO_WORD && !memcmp(buf, words, (size_t)n);
}

/* Behind the end there may be zeros, and a seal; then nothing more is looked
 * at. Anything else says that this was not the end. */
static int check_behind(struct parse *p)
{
	uint64_t size = p->img->io->size, at = mr_reader_tell(&p->r), len;
	uint8_t *buf = malloc(BEHIND);
	int rc = 0;

	if (!buf)
		return error_set(p->err, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	while (!rc && (len = image_next_data(p->img, &at, size)) > 0) {
		ssize_t n = io_read_upto(p->img->io, buf,
					 len < BEHIND ? (size_t)len : BEHIND,
					 at, p->err);
		size_t i = 0;

		if (n <= 0) {
			rc = n < 0 ? -1 : 0;
			break;
		}
		while (i < (size_t)n && !buf[i])
			i++;
		at += i;
		if (i == (size_t)n) {
			rc = parse_tick(p);
			continue;
		}
		n = io_read_upto(p->img->io, buf, SEAL_MAGIC_SIZE, at, p->err);
		p->info->sealed = n > 0 && seal_is_head(buf, (size_t)n);
		if (n >= 0 && p->info->sealed)
			break;
		rc = n < 0 ? -1
			   : error_set(p->err, MR_FORMAT, at,
				       "the stream ends at byte %" PRIu64
				       ", but the file goes on: neither with "
				       "zeros nor with a seal",
				       mr_reader_tell(&p->r));
	}
	free(buf);
	return rc;
}

/* What is behind EOF. */
static int tail(struct parse *p)
{
	struct mr_image_info *info = p->info;
	uint64_t size = p->img->io->size, left;
	uint32_t length;
	const uint8_t *buf;
	ssize_t n =
		mr_reader_peek(&p->r, STREAM_VMDESC_HEADER_SIZE, &buf, p->err);

	if (n < 0)
		return -1;
	if (n > 0 && n < STREAM_VMDESC_HEADER_SIZE && buf[0] == STREAM_VMDESC)
		return error_set(p->err, MR_SHORT, size,
				 "file ends inside the vmdescription's length");
	if (n > 0 && buf[0] == STREAM_VMDESC) {
		length = get_be32(buf + 1);
		mr_reader_skip(&p->r, STREAM_VMDESC_HEADER_SIZE);
		left = size - mr_reader_tell(&p->r);
		info->has_vmdesc = true;
		info->vmdesc_offset = mr_reader_tell(&p->r);
		info->vmdesc_length = length < left ? length : left;
		mr_reader_skip(&p->r, info->vmdesc_length);
		if (read_desc(p))
			return -1;
		if (length > left)
			return error_set(p->err, MR_SHORT, size,
					 "file ends, %" PRIu64
					 " bytes of vmdescription are missing",
					 length - left);
		if (check_count(p))
			return -1;
	}
	info->trailing = size - mr_reader_tell(&p->r);
	if (info->kind == MR_IMAGE_STREAM && !p->img->packed) {
		n = is_primary(p, p->err);
		info->primary = n > 0;
		if (n)
			return n < 0 ? -1 : 0;
	}
	if (info->trailing && p->img->packed)
		return error_set(p->err, MR_FORMAT, mr_reader_tell(&p->r),
				 "the stream in this pack ends %" PRIu64
				 " bytes before its tail does",
				 info->trailing);
	return check_behind(p);
}

static int configuration(struct parse *p)
{
	struct mr_image_info *info = p->info;
	uint64_t at = mr_reader_tell(&p->r);
	struct stream_config c;
	const uint8_t *buf;
	struct fault f;
	ssize_t n = mr_reader_peek(&p->r, STREAM_CONFIG_MAX, &buf, p->err);

	if (n < 0)
		return -1;
	if (n == 0 || buf[0] != STREAM_CONFIG)
		return 0;
	n = stream_config_decode(buf, (size_t)n, &c, &f);
	if (n < 0)
		return parse_fault(p, &f, at);
	info->has_configuration = true;
	memcpy(info->machine, c.machine, sizeof(info->machine));
	info->mapped_ram = c.mapped_ram;
	info->ignore_shared = c.ignore_shared;
	info->has_uuid = c.has_uuid;
	memcpy(info->uuid, c.uuid, sizeof(info->uuid));
	info->page_size_said = c.target_page_bits != 0;
	if (c.target_page_bits)
		parse_page_size(p, UINT32_C(1) << c.target_page_bits);
	if (c.mapped_ram && p->img->packed)
		return error_set(p->err, MR_FORMAT, at,
				 "a mapped-ram image in a pack");
	if (c.mapped_ram)
		info->kind = MR_IMAGE_MAPPED;
	mr_reader_skip(&p->r, (uint64_t)n);
	return 0;
}

int parse_stream(struct parse *p)
{
	uint64_t at = mr_reader_tell(&p->r);
	const uint8_t *buf;
	bool end = false;
	struct fault f;
	ssize_t n = mr_reader_peek(&p->r, STREAM_HEADER_SIZE, &buf, p->err);

	if (n < 0)
		return -1;
	n = stream_header_decode(buf, (size_t)n, &f);
	if (n < 0)
		return parse_fault(p, &f, at);
	p->info->kind = MR_IMAGE_STREAM;
	mr_reader_skip(&p->r, (uint64_t)n);
	if (configuration(p))
		return -1;
	while (!end)
		if (element(p, &end) || parse_tick(p))
			return -1;
	p->info->ended = true;
	/* QEMU saves devices alone without a configuration. */
	if (!p->info->n_blocks && p->info->mapped_ram)
		return error_set(p->err, MR_FORMAT, mr_reader_tell(&p->r) - 1,
				 "the stream ends, but a mapped-ram image has "
				 "memory");
	if (!p->info->n_blocks && p->img->packed)
		return error_set(p->err, MR_FORMAT, mr_reader_tell(&p->r) - 1,
				 "a pack without memory");
	if (!p->info->n_blocks)
		p->info->kind = MR_IMAGE_DEVICES;
	return tail(p);
}
