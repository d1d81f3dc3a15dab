/*
 * stub.c - a plain stream of all that is not mapped.
 *
 *   header, configuration without capabilities
 *   START "ram"   the blocks that are not mapped; QEMU does not miss the rest
 *   PART          their pages, and of those that are mapped a ZERO word for
 *                 each page that the image lacks but its file has room for:
 *                 what lies there is not the guest's (none if its seal says
 *                 that it is zero)
 *   END, the device sections as they are, EOF, the description
 *
 * Pages that are zero are not sent: a new QEMU's memory is.
 */
#include "libmr/instant/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/bits.h"
#include "formats/ram.h"
#include "formats/stream.h"
#include "libmr/base/error.h"

/* Bytes on their way, and of a page map at a time. */
#define ROOM ((size_t)256 << 10)
#define WORDS 2048u
/* More words about pages that must be zero than this take longer than to read
 * the image: 16 GiB of 4 KiB pages. */
#define STALE_MAX (UINT64_C(4) << 20)

struct stub {
	struct mr_instant *in;
	int fd; /* -1: nothing is wanted but to count */
	uint32_t section; /* id of "ram" */
	const struct mr_block *last; /* the block that words are about */
	uint64_t written;
	size_t n; /* bytes in room */
	uint8_t room[ROOM];
	uint64_t words[WORDS];
};

/* ---- bytes ---- */

static int flush(struct stub *s, struct mr_error *err)
{
	for (size_t at = 0; s->fd >= 0 && at < s->n;) {
		ssize_t n = write(s->fd, s->room + at, s->n - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot write what is not mapped");
		at += (size_t)n;
	}
	s->written += s->n;
	s->n = 0;
	return 0;
}

/* Room for len more bytes, at most ROOM; NULL: *err. */
static uint8_t *make_room(struct stub *s, size_t len, struct mr_error *err)
{
	if (len > ROOM - s->n && flush(s, err))
		return NULL;
	return s->room + s->n;
}

static int put(struct stub *s, const void *buf, size_t len,
	       struct mr_error *err)
{
	uint8_t *to = make_room(s, len, err);

	if (!to)
		return -1;
	memcpy(to, buf, len);
	s->n += len;
	return 0;
}

/* Bytes of the image as they are. */
static int put_file(struct stub *s, uint64_t offset, uint64_t len,
		    struct mr_error *err)
{
	for (uint64_t n; len; offset += n, len -= n) {
		uint8_t *to;

		n = len < ROOM ? len : ROOM;
		to = make_room(s, (size_t)n, err);
		if (!to ||
		    io_read_full(s->in->img->io, to, (size_t)n, offset, err))
			return -1;
		s->n += (size_t)n;
	}
	return 0;
}

static int put_element(struct stub *s, const struct stream_element *e,
		       struct mr_error *err)
{
	uint8_t buf[STREAM_ELEMENT_MAX];

	return put(s, buf, stream_element_encode(buf, e), err);
}

static int put_item(struct stub *s, const struct ram_item *item,
		    struct mr_error *err)
{
	uint8_t buf[RAM_ITEM_MAX];

	return put(s, buf, ram_item_encode(buf, item), err);
}

/* A word about a page, of the block that the last one was about or another. */
static int put_word(struct stub *s, enum ram_flag kind,
		    const struct mr_block *b, uint64_t page,
		    struct mr_error *err)
{
	struct ram_item item = { .kind = kind,
				 .cont = s->last == b,
				 .offset = page * s->in->info->page_size };

	if (!item.cont)
		memcpy(item.block, b->name, strlen(b->name) + 1);
	s->last = b;
	return put_item(s, &item, err);
}

static int end_part(struct stub *s, struct mr_error *err)
{
	uint8_t buf[STREAM_FOOTER_SIZE];
	const struct ram_item eos = { .kind = RAM_EOS };

	if (put_item(s, &eos, err))
		return -1;
	return put(s, buf, stream_footer_encode(buf, s->section), err);
}

/* ---- the front ---- */

static int put_front(struct stub *s, struct mr_error *err)
{
	const struct mr_image_info *info = s->in->info;
	uint8_t buf[STREAM_HEADER_SIZE + STREAM_CONFIG_MAX];
	struct stream_config config = { .has_uuid = info->has_uuid };
	size_t n = stream_header_encode(buf);

	memcpy(config.machine, info->machine, sizeof(config.machine));
	memcpy(config.uuid, info->uuid, sizeof(config.uuid));
	for (uint32_t size = info->page_size; info->page_size_said && size > 1;
	     size /= 2)
		config.target_page_bits++;
	n += stream_config_encode(buf + n, &config);
	return put(s, buf, n, err);
}

static bool is_listed(const struct mr_instant *in, size_t block)
{
	return in->places[block] != PLACE_MAPPED;
}

static int put_list(struct stub *s, struct mr_error *err)
{
	const struct mr_image_info *info = s->in->info;
	const struct ram_list_form form = { .page_size = info->page_size };
	const struct stream_element start = { .type = STREAM_START,
					      .section_id = s->section,
					      .idstr = RAM_IDSTR,
					      .version_id = RAM_VERSION };
	struct ram_item total = { .kind = RAM_MEM_SIZE };

	for (size_t i = 0; i < info->n_blocks; i++)
		if (is_listed(s->in, i))
			total.offset += info->blocks[i].length;
	if (put_element(s, &start, err) || put_item(s, &total, err))
		return -1;
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];
		struct ram_block entry = { .used_length = b->length };
		uint8_t buf[RAM_BLOCK_MAX];

		if (!is_listed(s->in, i))
			continue;
		memcpy(entry.name, b->name, strlen(b->name) + 1);
		if (put(s, buf, ram_block_encode(buf, &form, &entry), err))
			return -1;
	}
	return end_part(s, err);
}

/* ---- pages ---- */

static int put_pages(struct stub *s, const struct mr_block *b, uint64_t first,
		     uint64_t n, struct mr_error *err)
{
	const uint64_t size = s->in->info->page_size;
	uint64_t q;

	for (uint64_t p = bits_next_set(s->words, 0, n); p < n;
	     p = bits_next_set(s->words, q, n)) {
		q = bits_next_clear(s->words, p, n);
		for (uint64_t i = first + p; i < first + q; i++)
			if (put_word(s, RAM_PAGE, b, i, err) ||
			    put_file(s, b->pages_offset + i * size, size, err))
				return image_blame(s->in->img, err);
	}
	return 0;
}

/* Words about pages from .. to - 1 of a piece that have no bit. */
static int put_zeros(struct stub *s, const struct mr_block *b, uint64_t first,
		     uint64_t from, uint64_t to, struct mr_error *err)
{
	for (uint64_t p = bits_next_clear(s->words, from, to); p < to;
	     p = bits_next_clear(s->words, p + 1, to)) {
		if (++s->in->report->stale > STALE_MAX)
			return error_set(
				err, MR_REFUSED, MR_NO_OFFSET,
				"the file has room for more than %" PRIu64
				" pages that the image lacks, and all would "
				"be looked at: mrverify --repair, or "
				"fallocate --dig-holes, makes holes of them",
				STALE_MAX);
		if (put_word(s, RAM_ZERO, b, first + p, err))
			return -1;
	}
	return 0;
}

/* What lies in the file in the place of pages that the image lacks. */
static int put_stale(struct stub *s, const struct mr_block *b, uint64_t first,
		     uint64_t n, struct mr_error *err)
{
	const uint64_t size = s->in->info->page_size;
	uint64_t start = b->pages_offset + first * size, end = start + n * size;
	uint64_t len, last = 0;

	for (uint64_t at = start;
	     (len = image_next_data(s->in->img, &at, end)) > 0; at += len) {
		uint64_t from = (at - start) / size;
		uint64_t to = (at + len - start + size - 1) / size;

		if (from < last)
			from = last;
		if (put_zeros(s, b, first, from, to, err))
			return -1;
		last = to;
	}
	return 0;
}

static int put_block(struct stub *s, const struct mr_block *b, bool mapped,
		     struct mr_error *err)
{
	uint64_t total = mr_block_words(b);

	if (mapped && s->in->absent_zero)
		return 0;
	for (uint64_t at = 0; at < total; at += WORDS) {
		uint64_t words = total - at < WORDS ? total - at : WORDS;
		uint64_t first = at * BITS_PER_WORD;
		uint64_t n = words * BITS_PER_WORD;

		if (n > b->pages - first)
			n = b->pages - first;
		if (mr_image_bitmap(s->in->img, b, at, s->words, (size_t)words,
				    err))
			return -1;
		if (mapped ? put_stale(s, b, first, n, err)
			   : put_pages(s, b, first, n, err))
			return -1;
	}
	return 0;
}

static int put_ram(struct stub *s, struct mr_error *err)
{
	const struct mr_image_info *info = s->in->info;
	struct stream_element e = { .type = STREAM_PART,
				    .section_id = s->section };

	if (put_element(s, &e, err))
		return -1;
	for (size_t i = 0; i < info->n_blocks; i++)
		if (put_block(s, &info->blocks[i], !is_listed(s->in, i), err))
			return -1;
	if (end_part(s, err))
		return -1;
	e.type = STREAM_END;
	return put_element(s, &e, err) || end_part(s, err) ? -1 : 0;
}

/* ---- devices ---- */

/* What the guest is to do: libvirt stops a guest before it saves it. NULL: as
 * the image says. */
static const char *wanted_state(const struct mr_instant *in)
{
	switch (in->options->then) {
	case MR_THEN_RUN:
		return "running";
	case MR_THEN_PAUSE:
		return "paused";
	case MR_THEN_AS_SAVED:
		break;
	}
	if (!in->info->has_libvirt)
		return NULL;
	return in->info->libvirt.was_running ? "running" : "paused";
}

/* The section that says what the VM did. */
static int put_state(struct stub *s, const struct mr_section *section,
		     const char *state, struct mr_error *err)
{
	struct stream_globalstate g = { .has_vm_was_suspended = false };
	uint8_t buf[STREAM_GLOBALSTATE_SIZE];

	if (section->payload != sizeof(buf))
		return put_file(s, section->offset, section->length, err);
	memcpy(g.runstate, state, strlen(state) + 1);
	(void)stream_globalstate_encode(buf, &g);
	if (put_file(s, section->offset, section->header, err) ||
	    put(s, buf, sizeof(buf), err))
		return -1;
	return put_file(s, section->offset + section->header + sizeof(buf),
			section->length - section->header - sizeof(buf), err);
}

static int put_devices(struct stub *s, struct mr_error *err)
{
	const struct mr_image_info *info = s->in->info;
	const char *state = wanted_state(s->in);
	const uint8_t eof = STREAM_EOF;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *section = &info->sections[i];
		int rc;

		if (section->type != MR_SECTION_FULL)
			continue;
		rc = state && !strcmp(section->name, STREAM_GLOBALSTATE)
			     ? put_state(s, section, state, err)
			     : put_file(s, section->offset, section->length,
					err);
		if (rc)
			return -1;
	}
	if (put(s, &eof, 1, err))
		return -1;
	if (!info->has_vmdesc)
		return 0;
	return put_file(s, info->vmdesc_offset - STREAM_VMDESC_HEADER_SIZE,
			STREAM_VMDESC_HEADER_SIZE + info->vmdesc_length, err);
}

/* The id of "ram"; refuses what else goes on through several sections. */
static int find_ram(struct stub *s, struct mr_error *err)
{
	const struct mr_image_info *info = s->in->info;

	for (size_t i = 0; i < info->n_sections; i++) {
		const struct mr_section *section = &info->sections[i];

		if (section->type != MR_SECTION_START)
			continue;
		if (strcmp(section->name, RAM_IDSTR) != 0)
			return error_set(
				err, MR_REFUSED, section->offset,
				"section %.100s cannot be taken out of "
				"the image: load it without --instant",
				section->name);
		s->section = section->id;
	}
	return 0;
}

int instant_count_stale(struct mr_instant *in, struct mr_error *err)
{
	struct stub *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	s->in = in;
	s->fd = -1;
	for (size_t i = 0; !rc && i < in->info->n_blocks; i++)
		if (!is_listed(in, i))
			rc = put_block(s, &in->info->blocks[i], true, err);
	free(s);
	return rc;
}

int instant_write_stub(struct mr_instant *in, int fd, struct mr_error *err)
{
	struct stub *s = calloc(1, sizeof(*s));
	int rc = -1;

	if (!s)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	s->in = in;
	s->fd = fd;
	in->report->stale = 0;
	if (!find_ram(s, err) && !put_front(s, err) && !put_list(s, err) &&
	    !put_ram(s, err) && !put_devices(s, err))
		rc = flush(s, err);
	in->report->stub = s->written;
	free(s);
	return rc;
}
