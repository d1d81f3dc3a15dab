/*
 * pack_sink.c - into a pack, or a plain stream.
 *
 * Extents are compressed by whoever puts them, and written in order by whoever
 * has the next one: then all that follow it and are ready. Nobody waits for
 * his turn: an extent is only claimed (sink_ops.open) when there is a slot for
 * it, and with that it goes as far as it can. Under lock: next, writing, and
 * ready of each slot; a slot's frame is its extent's until it is ready, and the
 * writer's from then on.
 */
#include "libmr/memory/pack_sink.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/bits.h"
#include "formats/ram.h"
#include "libmr/base/error.h"
#include "libmr/memory/pack_since.h"

/* Bytes of frames that wait: for this much work the others can be ahead of
 * one. */
#define AHEAD ((size_t)24 << 20)
/* How long one waits before he looks whether all is over. */
#define LOOK_UP 100000000L
/* One is written, one is made. */
#define SLOTS_MIN ((size_t)2)

struct pack_slot {
	struct pack_frame frame;
	bool ready;
};

static struct pack_sink *sink_of(struct sink *k)
{
	return (struct pack_sink *)(void *)k;
}

/* ---- head and tail ---- */

/* Writes to p, if there is one; returns how much it is. */
static size_t put_element(uint8_t *p, enum stream_type type)
{
	const struct stream_element e = { .type = type,
					  .section_id = PACK_RAM_SECTION,
					  .idstr = RAM_IDSTR,
					  .version_id = RAM_VERSION };

	return stream_element_encode(p, &e);
}

static size_t put_item(uint8_t *p, enum ram_flag kind, uint64_t offset)
{
	const struct ram_item item = { .kind = kind, .offset = offset };

	return ram_item_encode(p, &item);
}

static size_t end_section(uint8_t *p)
{
	size_t n = put_item(p, RAM_EOS, 0);

	return n + stream_footer_encode(p + n, PACK_RAM_SECTION);
}

static size_t put_list(uint8_t *p, const struct memory *m)
{
	static const struct ram_list_form form = { .addr = false };
	uint64_t total = 0;
	size_t n;

	for (size_t i = 0; i < m->n; i++)
		total += m->blocks[i].length;
	n = put_item(p, RAM_MEM_SIZE, total);
	for (size_t i = 0; i < m->n; i++) {
		struct ram_block b = { .used_length = m->blocks[i].length };

		memcpy(b.name, m->blocks[i].name,
		       strlen(m->blocks[i].name) + 1);
		n += ram_block_encode(p + n, &form, &b);
	}
	return n;
}

static uint8_t *make_head(const struct pack_sink *s, const struct memory *m,
			  size_t *len)
{
	const size_t fixed = STREAM_HEADER_SIZE + STREAM_CONFIG_MAX +
			     STREAM_ELEMENT_MAX + (size_t)2 * RAM_ITEM_MAX +
			     STREAM_FOOTER_SIZE;
	uint8_t *buf =
		malloc(fixed + s->state->early_len + m->n * RAM_BLOCK_MAX);
	size_t n;

	if (!buf)
		return NULL;
	n = stream_header_encode(buf);
	n += stream_config_encode(buf + n, &s->config);
	if (s->state->early_len)
		memcpy(buf + n, s->state->early, s->state->early_len);
	n += s->state->early_len;
	n += put_element(buf + n, STREAM_START);
	n += put_list(buf + n, m);
	n += end_section(buf + n);
	*len = n;
	return buf;
}

static uint8_t *make_tail(const struct plain_state *state, size_t *len)
{
	uint8_t *buf =
		malloc(STREAM_ELEMENT_MAX + 2 * RAM_ITEM_MAX + state->late_len +
		       STREAM_VMDESC_HEADER_SIZE + state->description_len);
	size_t n;

	if (!buf)
		return NULL;
	n = put_element(buf, STREAM_END);
	n += end_section(buf + n);
	memcpy(buf + n, state->late, state->late_len);
	n += state->late_len;
	n += stream_vmdesc_encode(buf + n, (uint32_t)state->description_len);
	memcpy(buf + n, state->description, state->description_len);
	*len = n + state->description_len;
	return buf;
}

/* ---- begin ---- */

static int fit(const struct chain *base, struct pack_form *form,
	       const struct memory *m, struct mr_error *err)
{
	if (base && (m->page != form->label.page_size ||
		     m->extent > form->label.extent_size))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the base has pages of %u bytes, and "
				 "extents of %u: no increment since it can be "
				 "made of pages of %zu and extents of %zu",
				 form->label.page_size, form->label.extent_size,
				 m->page, m->extent);
	if (m->page < PACK_PAGE_MIN || m->page > PACK_PAGE_MAX)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "pages of %zu bytes do not go into a stream",
				 m->page);
	form->label.page_size = (uint32_t)m->page;
	if (form->label.extent_size < m->extent)
		form->label.extent_size = (uint32_t)m->extent;
	if (form->label.extent_size > PACK_EXTENT_MAX)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "extents of %u bytes do not go into a pack",
				 form->label.extent_size);
	return 0;
}

/* It has i slots with memory. */
static void shorten_ring(struct pack_sink *s, size_t i)
{
	s->slots = i / 2;
	while (i > s->slots) {
		free(s->ring[--i].frame.bytes);
		s->ring[i].frame.bytes = NULL;
	}
}

/* A slot for each of `slots` extents ahead; their memory is taken when they
 * are used. Returns the number of extents, or -1. */
static int64_t make_ring(struct pack_sink *s, struct mr_error *err)
{
	const struct memory *m = s->m;
	uint64_t size = s->form.label.extent_size, n = 0;

	s->slots = AHEAD / (size_t)size;
	if (s->slots < s->jobs + 1)
		s->slots = s->jobs + 1;
	s->first = calloc(m->n + 1, sizeof(*s->first));
	s->ring = calloc(s->slots, sizeof(*s->ring));
	if (!s->first || !s->ring)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++) {
		s->first[i] = n;
		n += m->blocks[i].held / size + (m->blocks[i].held % size != 0);
	}
	for (size_t i = 0; i < s->slots; i++) {
		s->ring[i].frame.bytes = malloc(pack_frame_room(&s->form));
		if (s->ring[i].frame.bytes)
			continue;
		/* Fewer do; and others need memory, too. */
		shorten_ring(s, i);
		if (s->slots < SLOTS_MIN)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for frames");
	}
	return (int64_t)n;
}

/* ---- those who compress ---- */

static void packer_free(struct packer *p)
{
	if (p)
		packer_release(p);
	free(p);
}

/* NULL: there is no memory for one more; and no other. */
static struct packer *take_packer(struct pack_sink *s)
{
	struct packer *p = NULL;

	(void)pthread_mutex_lock(&s->lock);
	if (!s->n_idle && !s->enough) {
		p = calloc(1, sizeof(*p));
		s->n_packers += p != NULL;
		s->enough = !p || s->n_packers == MR_JOBS_MAX;
	}
	while (!p && !s->n_idle && s->n_packers)
		(void)pthread_cond_wait(&s->spare, &s->lock);
	if (!p && s->n_idle)
		p = s->idle[--s->n_idle];
	(void)pthread_mutex_unlock(&s->lock);
	return p;
}

static void give_packer(struct pack_sink *s, struct packer *p)
{
	(void)pthread_mutex_lock(&s->lock);
	s->idle[s->n_idle++] = p;
	(void)pthread_cond_signal(&s->spare);
	(void)pthread_mutex_unlock(&s->lock);
}

/* There was no memory for what it needs. Whether there are others. */
static bool drop_packer(struct pack_sink *s, struct packer *p)
{
	bool others;

	packer_free(p);
	(void)pthread_mutex_lock(&s->lock);
	s->enough = true;
	s->n_packers--;
	others = s->n_packers > 0;
	(void)pthread_cond_broadcast(&s->spare);
	(void)pthread_mutex_unlock(&s->lock);
	return others;
}

static int make_frame(struct pack_sink *s, const struct pack_extent *e,
		      const char *block, const unsigned char *pages,
		      struct pack_frame *f, struct mr_error *err)
{
	for (;;) {
		struct mr_error why = MR_ERROR_INIT;
		struct packer *p = take_packer(s);
		int rc;

		if (!p)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory to compress with");
		rc = pack_frame_make(&s->form, p, e, block, pages, f, &why);
		if (rc && why.code == MR_NOMEM && drop_packer(s, p))
			continue;
		if (!rc || why.code != MR_NOMEM)
			give_packer(s, p);
		if (rc && err && err->code == MR_OK)
			*err = why;
		return rc;
	}
}

/* The first one takes all the memory that it will ever need before others take
 * any: so there is one. */
static int make_packer(struct pack_sink *s, struct mr_error *err)
{
	struct pack_extent e = { .block = 0 };
	struct pack_frame f = { .bytes = malloc(pack_frame_room(&s->form)) };
	unsigned char *zeros = calloc(1, s->form.label.extent_size);
	int rc;

	bits_set(e.there, 0, pack_pages(&s->form.label));
	rc = f.bytes && zeros ? make_frame(s, &e, "any", zeros, &f, err)
			      : error_set(err, MR_NOMEM, MR_NO_OFFSET,
					  "no memory to compress with");
	free(f.bytes);
	free(zeros);
	return rc;
}

static struct pack_block *list_blocks(const struct memory *m)
{
	struct pack_block *blocks = calloc(m->n + 1, sizeof(*blocks));

	for (size_t i = 0; blocks && i < m->n; i++) {
		memcpy(blocks[i].name, m->blocks[i].name,
		       strlen(m->blocks[i].name) + 1);
		blocks[i].length = m->blocks[i].length;
	}
	return blocks;
}

static int sink_begin(struct sink *k, const struct memory *m,
		      struct mr_error *err)
{
	struct pack_sink *s = sink_of(k);
	struct pack_block *blocks;
	uint8_t *head;
	int64_t extents;
	size_t len;
	int rc = -1;

	s->m = m;
	if (fit(s->base, &s->form, m, err))
		return -1;
	if (make_packer(s, err))
		return -1;
	extents = make_ring(s, err);
	if (extents < 0)
		return -1;
	blocks = list_blocks(m);
	head = make_head(s, m, &len);
	if (blocks && head)
		rc = pack_writer_begin(&s->writer, &s->form, s->io, blocks,
				       m->n, (uint64_t)extents, head, len, err);
	else
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	free(blocks);
	free(head);
	return rc;
}

/* ---- extents ---- */

static bool is_open(const struct pack_sink *s, uint64_t n)
{
	return n - s->next < s->slots;
}

static bool sink_open(struct sink *k, uint64_t n, bool wait)
{
	struct pack_sink *s = sink_of(k);
	struct timespec at;
	bool yes;

	(void)pthread_mutex_lock(&s->lock);
	if (wait && !is_open(s, n)) {
		(void)clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_nsec += LOOK_UP;
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
		(void)pthread_cond_timedwait(&s->moved, &s->lock, &at);
	}
	yes = is_open(s, n);
	(void)pthread_mutex_unlock(&s->lock);
	return yes;
}

static struct pack_slot *slot_of(struct pack_sink *s, uint64_t n)
{
	return &s->ring[n % s->slots];
}

/* The extent of number n is ready: writes what can be written. */
static int advance(struct pack_sink *s, uint64_t n, struct mr_error *err)
{
	struct pack_slot *slot;
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	slot_of(s, n)->ready = true;
	if (s->writing) {
		(void)pthread_mutex_unlock(&s->lock);
		return 0;
	}
	s->writing = true;
	for (slot = slot_of(s, s->next); slot->ready;
	     slot = slot_of(s, s->next)) {
		(void)pthread_mutex_unlock(&s->lock);
		rc = pack_writer_add(&s->writer, &slot->frame, err);
		(void)pthread_mutex_lock(&s->lock);
		if (rc)
			break;
		slot->ready = false;
		s->next++;
		(void)pthread_cond_broadcast(&s->moved);
	}
	s->writing = rc != 0;
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

/* An extent, of which the pages with a bit stand in buf; NULL: none has. */
static int put_extent(struct pack_sink *s, const struct sink_hand *h,
		      size_t block, uint64_t offset, const uint64_t *bits,
		      size_t pages, const unsigned char *buf,
		      struct mr_error *err)
{
	const struct memory_block *b = &s->m->blocks[block];
	uint64_t n = s->first[block] + offset / s->form.label.extent_size;
	struct pack_frame *f = &slot_of(s, n)->frame;
	struct pack_extent e = { .block = (uint32_t)block, .offset = offset };

	for (size_t i = 0; bits && i < pages; i += BITS_PER_WORD)
		e.there[i / BITS_PER_WORD] = bits[i / BITS_PER_WORD];
	/* What a map has behind its last page is not said. */
	if (pages % BITS_PER_WORD)
		e.there[pages / BITS_PER_WORD] &=
			(UINT64_C(1) << pages % BITS_PER_WORD) - 1;
	if (b->length <= SINK_SMALL) {
		bits_set(e.zero, 0, pages);
		for (size_t i = 0; i < pages; i += BITS_PER_WORD)
			e.zero[i / BITS_PER_WORD] &=
				~e.there[i / BITS_PER_WORD];
	}
	if (s->base && pack_since(s->base, &e, b->name, pages, buf, err))
		return -1;
	if (make_frame(s, &e, b->name, buf, f, err))
		return -1;
	h->tally->written += f->len;
	return advance(s, n, err);
}

static int sink_put(struct sink *k, const struct sink_hand *h, size_t block,
		    const struct memory_part *p, struct mr_error *err)
{
	return put_extent(sink_of(k), h, block, p->offset, p->bits, p->pages,
			  p->buf, err);
}

static int sink_zero(struct sink *k, const struct sink_hand *h, size_t block,
		     uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct pack_sink *s = sink_of(k);

	return put_extent(s, h, block, offset, NULL,
			  (size_t)length / s->m->page, NULL, err);
}

/* Whether a full pack would say just this: all that is not there is zero, and
 * of small blocks that is said. */
static bool says_all(const struct pack_label *l, const struct pack_extent *e,
		     uint64_t length, size_t pages)
{
	uint64_t all = pack_pages(l);
	uint64_t zero =
		length <= SINK_SMALL ? pages - bits_count(e->there, 0, all) : 0;

	return bits_count(e->zero, 0, all) == zero;
}

static bool fits(const struct chain *from, const struct pack_label *l,
		 const struct memory_block *b, size_t block)
{
	const struct packed *top = from->top;

	return top->label.page_size == l->page_size &&
	       top->label.extent_size == l->extent_size &&
	       block < top->head.blocks &&
	       top->blocks[block].b.length == b->length &&
	       !strcmp(top->blocks[block].name, b->name);
}

static int64_t sink_take(struct sink *k, const struct sink_hand *h,
			 size_t block, const struct memory_part *p,
			 struct mr_error *err)
{
	struct pack_sink *s = sink_of(k);
	const struct pack_label *l = &s->form.label;
	uint64_t n = s->first[block] + p->offset / l->extent_size, start;
	struct pack_frame *f = &slot_of(s, n)->frame;
	struct pack_entry *e = &f->entry;
	int64_t len;
	size_t i;

	if (!s->from || !fits(s->from, l, p->block, block) ||
	    !chain_alone(s->from, (uint32_t)block, p->offset, &i, e) ||
	    !says_all(l, &e->extent, p->block->length, p->pages))
		return 0;
	if (chain_fetch(s->from, i, e, f->bytes, err))
		return -1;
	(void)packed_note(chain_at(s->from, i, &start), e, &f->note);
	f->len = f->note + e->place.size;
	len = (int64_t)f->len;
	h->tally->written += f->len;
	h->tally->copied += f->len;
	h->tally->frames++;
	return advance(s, n, err) ? -1 : len;
}

/* ---- the end ---- */

static int sink_end(struct sink *k, struct mr_error *err)
{
	struct pack_sink *s = sink_of(k);
	size_t len;
	uint8_t *tail = make_tail(s->state, &len);
	int rc = tail ? pack_writer_finish(&s->writer, tail, len, err)
		      : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");

	free(tail);
	return rc;
}

static void sink_abandon(struct sink *k)
{
	struct pack_sink *s = sink_of(k);

	for (size_t i = 0; s->ring && i < s->slots; i++)
		free(s->ring[i].frame.bytes);
	free(s->ring);
	free(s->first);
	for (unsigned i = 0; i < s->n_idle; i++)
		packer_free(s->idle[i]);
	pack_writer_release(&s->writer);
	(void)pthread_cond_destroy(&s->moved);
	(void)pthread_cond_destroy(&s->spare);
	(void)pthread_mutex_destroy(&s->lock);
}

static const struct sink_ops pack_ops = {
	.begin = sink_begin,
	.open = sink_open,
	.take = sink_take,
	.put = sink_put,
	.zero = sink_zero,
	.end = sink_end,
	.abandon = sink_abandon,
};

void pack_sink_init(struct pack_sink *s, const struct pack_form *form)
{
	pthread_condattr_t attr;

	*s = (struct pack_sink){ .sink = { .ops = &pack_ops,
					   .extent = form->label.extent_size },
				 .form = *form,
				 .jobs = 1,
				 .writer = PACK_WRITER_NONE };
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->moved, &attr);
	(void)pthread_cond_init(&s->spare, NULL);
	(void)pthread_condattr_destroy(&attr);
}
