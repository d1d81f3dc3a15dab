/* words.c - the "ram" sections of the main connection. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/ram.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/inflate.h"
#include "libmr/wire/intake.h"

/* An entry's room in memory.blocks; the names are these. */
static int add_block(struct intake *in, const struct ram_block *b, uint64_t at,
		     struct mr_error *err)
{
	struct memory *m = &in->memory;
	char *name = strdup(b->name);

	if (!name)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (grow(&m->blocks, &in->blocks_room, m->n, sizeof(*m->blocks))) {
		free(name);
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	}
	m->blocks[m->n] = (struct memory_block){ .name = name,
						 .length = b->used_length,
						 .held = b->used_length,
						 .entry = at,
						 .index = m->n };
	m->n++;
	return 0;
}

static int block_entry(struct intake *in, uint64_t *left, struct mr_error *err)
{
	const struct ram_list_form form = {
		.addr = in->config.ignore_shared,
		.page_size = (uint32_t)in->memory.page,
	};
	uint64_t at = mr_reader_tell(&in->r);
	size_t need = 1, len;
	const uint8_t *buf;
	struct ram_block b;
	struct fault f;
	ssize_t n;

	do {
		if (intake_peek(in, &need, &buf, &len, err))
			return -1;
		n = ram_block_decode(buf, len, &form, &b, &f);
	} while (n < 0 && f.kind == FAULT_SHORT);
	if (n < 0 || ram_list_take(left, b.used_length, &f))
		return error_fault(err, &f, at);
	if (in->memory.n == RAM_BLOCKS_LIMIT)
		return error_set(err, MR_UNSUPPORTED, at,
				 "more than %d RAM blocks", RAM_BLOCKS_LIMIT);
	mr_reader_skip(&in->r, (uint64_t)n);
	return add_block(in, &b, at, err);
}

static int block_list(struct intake *in, uint64_t total, struct mr_error *err)
{
	struct memory *m = &in->memory;
	size_t twice;

	if (!total)
		return error_set(err, MR_FORMAT, mr_reader_tell(&in->r),
				 "no memory at all");
	atomic_store(&in->total, total);
	while (total)
		if (block_entry(in, &total, err))
			return -1;
	in->last_block = m->n;
	if (names_make(&in->names, &m->blocks->name, sizeof(*m->blocks), m->n))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	twice = names_twice(&in->names);
	if (twice != NAMES_NONE)
		return error_set(err, MR_FORMAT, m->blocks[twice].entry,
				 "RAM block \"%.64s\" is listed twice",
				 m->blocks[twice].name);
	return in->to->ops->begin(in->to, m, err);
}

size_t intake_find(const struct intake *in, const char *name, uint64_t at,
		   struct mr_error *err)
{
	size_t i = names_find(&in->names, name);

	if (i == NAMES_NONE)
		(void)error_set(err, MR_FORMAT, at,
				"a page of RAM block \"%.64s\", which is not "
				"listed",
				name);
	return i;
}

/* Changes to a page that came before. */
static int xbzrle(struct intake *in, const struct ram_item *item,
		  const uint8_t *body, struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	const struct sink_hand h = { .tally = &in->pour.tally };
	unsigned char *page;
	struct fault f;

	/* With channels somebody else may put that page meanwhile. */
	if (!in->to->ops->get || in->n_channels)
		return error_set(err, MR_UNSUPPORTED, at,
				 "changes to a page (xbzrle)");
	/* It may be held back. */
	if (pour_end(&in->pour, err))
		return -1;
	page = pour_page(&in->pour, in->last_block, item->offset, err);
	if (!page || in->to->ops->get(in->to, &h, in->last_block, item->offset,
				      page, err))
		return -1;
	if (!ram_xbzrle_apply(body, item->data_len, page, in->memory.page, &f))
		return 0;
	/* It is there, wholly: what is short is not what came. */
	f.kind = FAULT_BAD;
	return error_fault(err, &f, at);
}

/* A page that an old source compressed: at, its data's place. */
static int unpack(struct intake *in, const struct ram_item *item,
		  const uint8_t *data, uint64_t at, struct mr_error *err)
{
	struct mr_error e = MR_ERROR_INIT;
	unsigned char *page =
		pour_page(&in->pour, in->last_block, item->offset, err);

	if (!page)
		return -1;
	if (!inflate_whole(data, item->data_len, page, in->memory.page, &e))
		return 0;
	return error_set(
		err, e.code, e.code == MR_FORMAT ? at + e.offset : e.offset,
		"a page at %" PRIu64 " of RAM block \"%.64s\": %.100s",
		item->offset, in->memory.blocks[in->last_block].name, e.msg);
}

/* A word about a page, header bytes long, and its data. */
static int page_word(struct intake *in, const struct ram_item *item,
		     size_t header, struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	const struct memory_block *b;
	unsigned char *page;
	const uint8_t *buf;
	int rc = 0;

	if (!item->cont)
		in->last_block = intake_find(in, item->block, at, err);
	if (in->last_block == NAMES_NONE)
		return -1;
	if (in->last_block == in->memory.n)
		return error_set(err, MR_FORMAT, at,
				 "a page that continues no RAM block");
	b = &in->memory.blocks[in->last_block];
	if (item->offset >= b->length)
		return error_set(err, MR_FORMAT, at,
				 "a page at %" PRIu64 " of RAM block \"%.64s\""
				 ", which has %" PRIu64 " bytes",
				 item->offset, b->name, b->length);
	if (reader_need(&in->r, header + item->data_len, &buf, err))
		return -1;
	if (item->kind == RAM_ZERO) {
		rc = pour_zero(&in->pour, in->last_block, item->offset, err);
	} else if (item->kind == RAM_XBZRLE) {
		rc = xbzrle(in, item, buf + header, err);
	} else if (item->kind == RAM_COMPRESS) {
		rc = unpack(in, item, buf + header, at + header, err);
	} else if (atomic_load_explicit(&in->to->unsifted,
					memory_order_relaxed)) {
		rc = pour_through(&in->pour, in->last_block, item->offset,
				  buf + header, err);
	} else {
		page = pour_page(&in->pour, in->last_block, item->offset, err);
		if (page)
			memcpy(page, buf + header, in->memory.page);
		rc = page ? 0 : -1;
	}
	in->words++;
	mr_reader_skip(&in->r, header + item->data_len);
	return rc;
}

/* The channels are known from the first barrier on. */
static int gather(struct intake *in, struct mr_error *err)
{
	in->gathered = true;
	if (in->gather && in->gather(in, in->arg, err))
		return -1;
	if (in->flushed && !in->n_channels)
		return error_set(err, MR_SHORT, mr_reader_tell(&in->r),
				 "the source sends memory over further "
				 "connections (multifd), and none has come");
	return intake_start_channels(in, err);
}

/* FLUSH; or the end of a section where the source does not say that. */
static int barrier(struct intake *in, struct mr_error *err)
{
	if (pour_end(&in->pour, err))
		return -1;
	if (!in->gathered && gather(in, err))
		return -1;
	in->barriers += in->n_channels > 0;
	if (in->held)
		rounds_go_on(&in->rounds);
	in->held = false;
	if (!rounds_flush(&in->rounds))
		return error_set(err, MR_SHORT, mr_reader_tell(&in->r),
				 "a channel has ended before its barrier");
	/* All channels stand still. */
	if (in->colo && intake_check_numbers(in, err))
		return -1;
	if (in->round_over &&
	    in->round_over(in->round_arg, mr_reader_tell(&in->r)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (twice_forget(&in->twice, err))
		return -1;
	/* Channels that are files run ahead: what a primary sent in a
	 * checkpoint is taken when main is in that too, and waits for it. */
	in->held = in->deaf && in->colo;
	if (!in->held)
		rounds_go_on(&in->rounds);
	return 0;
}

/* One item; *end if it was the payload's last. */
static int ram_item(struct intake *in, bool start, bool *end,
		    struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	size_t need = 1, len;
	struct ram_item item;
	const uint8_t *buf;
	struct fault f;
	ssize_t n;

	do {
		if (intake_peek(in, &need, &buf, &len, err))
			return -1;
		n = ram_item_decode(buf, len, (uint32_t)in->memory.page, &item,
				    &f);
	} while (n < 0 && f.kind == FAULT_SHORT);
	if (n < 0)
		return error_fault(err, &f, at);
	if (ram_names_page(item.kind))
		return page_word(in, &item, (size_t)n, err);
	mr_reader_skip(&in->r, (uint64_t)n);
	*end = item.kind == RAM_EOS;
	if (item.kind == RAM_MEM_SIZE && start && !in->memory.n)
		return block_list(in, item.offset, err);
	if (item.kind == RAM_MEM_SIZE)
		return error_set(err, MR_FORMAT, at,
				 "a second list of RAM blocks");
	if (!in->memory.n)
		return error_set(err, MR_FORMAT, at,
				 "no list of RAM blocks in its place");
	if (item.kind == RAM_FLUSH) {
		in->flushed = true;
		return barrier(in, err);
	}
	return in->flushed ? 0 : barrier(in, err);
}

int intake_ram(struct intake *in, bool start, struct mr_error *err)
{
	bool end = false;

	while (!end)
		if (ram_item(in, start, &end, err))
			return -1;
	return 0;
}
