/* packed.c - an open pack, and the migration stream in it (packed.h). */
#include "libmr/pack/packed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/base/names.h"

#define NO_FRAME UINT64_MAX
/* The kind of a skippable frame, which counts with what follows. */
#define KIND_SIZE ((size_t)4)

/* A decoder's fault. What is too short has no more bytes elsewhere: it is bad.
 */
static int fault(const struct fault *f, uint64_t base, struct mr_error *err)
{
	struct fault told = *f;

	if (told.kind == FAULT_SHORT)
		told.kind = FAULT_BAD;
	if (!strncmp(f->what, "pack: ", 6))
		return error_fault(err, &told, base);
	/* Names are everybody's. */
	return error_set(err, MR_FORMAT, base + f->at, "pack: %s", f->what);
}

/* The first bytes of a skippable frame that must be of this kind. */
static int read_skip(struct io *file, uint64_t at, enum pack_kind kind,
		     struct pack_skip *skip, struct mr_error *err)
{
	uint8_t buf[PACK_SKIP_SIZE];
	struct fault f;

	if (io_read_full(file, buf, sizeof(buf), at, err))
		return -1;
	if (pack_skip_decode(buf, sizeof(buf), skip, &f) >= 0 &&
	    skip->kind == kind)
		return 0;
	return error_set(err, MR_FORMAT, at, "pack: its %s is not here",
			 kind == PACK_LABEL ? "label" : "head");
}

/* *digest: of its bytes, if they are there, on failure too. */
static int read_label(struct packed *p, struct seal_digest *digest,
		      uint64_t *end, struct mr_error *err)
{
	uint8_t buf[PACK_LABEL_MAX];
	struct pack_skip skip;
	struct fault f;
	size_t n;

	if (read_skip(p->file, 0, PACK_LABEL, &skip, err))
		return -1;
	n = skip.length; /* no more than a label can have */
	if (n > p->file->size - PACK_SKIP_SIZE)
		return error_set(err, MR_SHORT, p->file->size,
				 "pack: the file ends inside its label");
	if (io_read_full(p->file, buf, n, PACK_SKIP_SIZE, err))
		return -1;
	*digest = hash_bytes(buf, n);
	*end = PACK_SKIP_SIZE + n;
	if (pack_label_decode(buf, n, &p->label, &f) >= 0)
		return 0;
	p->label.page_size = 0;
	return fault(&f, PACK_SKIP_SIZE, err);
}

/* The last bytes of the file, and with them where the index begins. */
static int read_end(struct packed *p, uint64_t *start, struct mr_error *err)
{
	uint64_t size = p->file->size;
	uint8_t buf[PACK_INDEX_END_SIZE];
	struct fault f;

	if (size < sizeof(buf))
		return error_set(err, MR_SHORT, size,
				 "pack: the file ends "
				 "inside its label");
	if (io_read_full(p->file, buf, sizeof(buf), size - sizeof(buf), err))
		return -1;
	if (!pack_is_end(buf + sizeof(buf) - 8, 8))
		return error_set(err, MR_SHORT, size,
				 "pack: the index is not at the end: the file "
				 "is cut off, or something was added to it");
	if (pack_end_decode(buf, sizeof(buf), size, &p->end, &f) < 0)
		return fault(&f, size - sizeof(buf), err);
	*start = size - p->end.length - (PACK_SKIP_SIZE - KIND_SIZE);
	return 0;
}

/* The index as it is; nothing in it is looked at before its digest agrees. */
static int read_index(struct packed *p, uint64_t start, struct mr_error *err)
{
	size_t size = p->end.length, covered = size - PACK_INDEX_END_SIZE;
	uint64_t end = p->file->size;
	uint8_t buf[PACK_SKIP_SIZE];
	struct pack_skip skip;
	struct fault f;
	struct seal_digest d;

	if (io_read_full(p->file, buf, sizeof(buf), start, err))
		return -1;
	if (pack_skip_decode(buf, sizeof(buf), &skip, &f) < 0 ||
	    skip.kind != PACK_INDEX || skip.length + KIND_SIZE != size)
		return error_set(err, MR_FORMAT, end - PACK_INDEX_END_SIZE,
				 "pack: no index of %zu bytes begins at byte "
				 "%" PRIu64 ", as its end says",
				 size, start);
	p->index = malloc(size);
	if (!p->index)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the pack's index");
	if (io_read_full(p->file, p->index, size,
			 start + PACK_SKIP_SIZE - KIND_SIZE, err))
		return -1;
	d = hash_bytes(p->index, covered);
	if (memcmp(&d, &p->end.identity, sizeof(d)) != 0)
		return error_set(err, MR_FORMAT, start,
				 "pack: the index is damaged: its digest "
				 "differs");
	return 0;
}

static int read_block(struct packed *p, size_t i, const uint8_t *buf,
		      size_t left, uint64_t at, struct mr_error *err)
{
	struct fault f;
	ssize_t n = pack_block_decode(buf, left, &p->blocks[i].b, &f);

	if (n < 0)
		return fault(&f, at, err);
	p->blocks[i].name = p->blocks[i].b.name;
	return (int)n;
}

static int check_names(const struct packed *p, uint64_t at,
		       struct mr_error *err)
{
	struct names names;
	size_t twice;

	if (names_make(&names, &p->blocks->name, sizeof(*p->blocks),
		       p->head.blocks))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	twice = names_twice(&names);
	names_free(&names);
	if (twice == NAMES_NONE)
		return 0;
	return error_set(err, MR_FORMAT, at,
			 "pack: RAM block \"%s\" is listed twice",
			 p->blocks[twice].name);
}

/* What the index begins with; base: byte of the file of p->index. */
static int decode_head(struct packed *p, uint64_t base, struct mr_error *err)
{
	size_t n = p->end.length - PACK_INDEX_END_SIZE - KIND_SIZE;
	struct fault f;

	if (pack_index_head_decode(p->index + KIND_SIZE, n, n, &p->head, &f) <
	    0)
		return fault(&f, base + KIND_SIZE, err);
	return 0;
}

/* What is between that and the extents. */
static int decode_blocks(struct packed *p, uint64_t base, struct mr_error *err)
{
	size_t end = p->end.length - PACK_INDEX_END_SIZE;
	size_t at = KIND_SIZE + PACK_INDEX_HEAD_SIZE;

	p->blocks = calloc(p->head.blocks + 1, sizeof(*p->blocks));
	if (!p->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (uint32_t i = 0; i < p->head.blocks; i++) {
		int len = read_block(p, i, p->index + at, end - at, base + at,
				     err);

		if (len < 0)
			return -1;
		at += (size_t)len;
	}
	p->entries = p->index + at;
	p->entry_size = pack_entry_size(&p->label);
	if ((end - at) % p->entry_size ||
	    (end - at) / p->entry_size != p->head.extents)
		return error_set(err, MR_FORMAT, base + at,
				 "pack: %" PRIu64 " extents cannot be in an "
				 "index of %zu bytes",
				 p->head.extents, end - at);
	return check_names(p, base, err);
}

void packed_entry(const struct packed *p, uint64_t n, struct pack_entry *out)
{
	struct fault f;

	/* It was decoded before: packed_open. */
	(void)pack_entry_decode(p->entries + (size_t)n * p->entry_size,
				p->entry_size, &p->label, out, &f);
}

struct pack_place packed_place(const struct packed *p, uint64_t frame)
{
	struct pack_entry e;

	if (frame == 0)
		return p->head.head;
	if (frame > p->head.extents)
		return p->head.tail;
	packed_entry(p, frame - 1, &e);
	return e.place;
}

/* ---- whether all is in its place ---- */

struct walk {
	const struct packed *p;
	uint64_t at; /* byte of the file that must come next */
	uint64_t stream; /* and of the stream */
	struct mr_error *err;
};

/* The frame `skip` bytes from here on. */
static int walk_frame(struct walk *w, uint64_t frame,
		      const struct pack_place *place, uint64_t skip,
		      uint64_t limit, uint64_t from)
{
	if (place->offset != w->at + skip)
		return error_set(w->err, MR_FORMAT, from,
				 "pack: a frame at %" PRIu64 ", where %" PRIu64
				 " must be, in the index",
				 place->offset, w->at + skip);
	if (!place->content || place->content > limit || !frame_size_ok(place))
		return error_set(w->err, MR_FORMAT, from,
				 "pack: a frame of %" PRIu32
				 " bytes that holds %" PRIu32,
				 place->size, place->content);
	w->p->at[frame] = w->stream;
	w->stream += place->content;
	w->at = place->offset + place->size;
	return 0;
}

/* After the one before, and of what the block has. */
static int check_extent(const struct packed *p, const struct pack_entry *e,
			const struct pack_entry *last, uint64_t from,
			struct mr_error *err)
{
	const struct pack_extent *x = &e->extent;
	const char *name;
	struct fault f;

	if (x->block >= p->head.blocks)
		return error_set(err, MR_FORMAT, from,
				 "pack: an extent of block %" PRIu32
				 ", of which there are %" PRIu32,
				 x->block, p->head.blocks);
	if (last && (last->extent.block > x->block ||
		     (last->extent.block == x->block &&
		      last->extent.offset >= x->offset)))
		return error_set(err, MR_FORMAT, from,
				 "pack: extents are not in order");
	if (pack_extent_check(&p->label, x, p->blocks[x->block].b.length, &f))
		return fault(&f, from, err);
	name = p->blocks[x->block].name;
	if (e->place.content != pack_part_size(&p->label, x, name))
		return error_set(err, MR_FORMAT, from,
				 "pack: a frame of %" PRIu32 " bytes where the "
				 "pages have %zu",
				 e->place.content,
				 pack_part_size(&p->label, x, name));
	return 0;
}

uint64_t packed_note(const struct packed *p, const struct pack_entry *e,
		     size_t *size)
{
	*size = PACK_SKIP_SIZE + pack_note_size(&p->label, &e->extent);
	return e->place.offset - *size;
}

static int walk_extents(struct walk *w, uint64_t base)
{
	const struct packed *p = w->p;
	struct pack_entry two[2];

	for (uint64_t i = 0; i < p->head.extents; i++) {
		const uint8_t *buf = p->entries + (size_t)i * p->entry_size;
		uint64_t from = base + (uint64_t)(buf - p->index);
		struct pack_entry *e = &two[i % 2];
		struct fault f;
		size_t note;

		if (pack_entry_decode(buf, p->entry_size, &p->label, e, &f) < 0)
			return fault(&f, from, w->err);
		(void)packed_note(p, e, &note);
		if (check_extent(p, e, i ? &two[(i + 1) % 2] : NULL, from,
				 w->err) ||
		    walk_frame(w, i + 1, &e->place, note,
			       pack_part_max(&p->label), from))
			return -1;
	}
	return 0;
}

/* start: of the index. */
static int walk(struct packed *p, uint64_t label_end, uint64_t start,
		struct mr_error *err)
{
	uint64_t base = start + PACK_SKIP_SIZE - KIND_SIZE;
	struct walk w = { .p = p, .at = label_end, .err = err };
	bool full = !(p->label.flags & PACK_INCREMENT);
	uint64_t n = p->head.extents;
	struct pack_skip skip;

	p->at = calloc((size_t)n + 3, sizeof(*p->at));
	if (!p->at)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the pack's index");
	if (!full && read_skip(p->file, label_end, PACK_HEAD, &skip, err))
		return -1;
	if (!full && skip.length != p->head.head.size)
		return error_set(err, MR_FORMAT, label_end + 4,
				 "pack: the index and the head's frame do not "
				 "agree how long it is");
	if (walk_frame(&w, 0, &p->head.head, full ? 0 : PACK_SKIP_SIZE,
		       PACK_HEAD_MAX, base) ||
	    walk_extents(&w, base) ||
	    walk_frame(&w, n + 1, &p->head.tail, 0, PACK_TAIL_MAX, base))
		return -1;
	if (w.at != start)
		return error_set(err, MR_FORMAT, w.at,
				 "pack: the index, at %" PRIu64
				 ", is not where the tail ends",
				 start);
	p->at[n + 2] = w.stream;
	return 0;
}

/* ---- frames in memory ---- */

static uint64_t frame_at(const struct packed *p, uint64_t offset)
{
	uint64_t low = 0, high = p->head.extents + 1;

	while (low < high) {
		uint64_t mid = high - (high - low) / 2;

		if (p->at[mid] <= offset)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

/* Under the lock: one that has the frame; or the one that can be spared
 * first; or NULL. */
static struct packed_slot *look(struct packed *p, uint64_t frame)
{
	struct packed_slot *spare = NULL;

	for (size_t i = 0; i < PACKED_SLOTS; i++) {
		struct packed_slot *s = &p->slots[i];

		if (s->frame == frame)
			return s;
		if (!s->users && (!spare || s->used < spare->used))
			spare = s;
	}
	return spare;
}

bool packed_words_ok(const struct packed *p, const struct pack_entry *e,
		     const uint8_t *part)
{
	const struct pack_label *l = &p->label;
	const struct pack_extent *x = &e->extent;
	const char *block = p->blocks[x->block].name;
	uint8_t want[PACK_BEHIND_MAX];
	size_t pages = pack_pages(l), n = 0, len;

	for (uint64_t i = bits_next_set(x->there, 0, pages); i < pages;
	     i = bits_next_set(x->there, i + 1, pages)) {
		len = pack_part_before(want, l, x, block, n++, (size_t)i);
		if (memcmp(part, want, len) != 0)
			return false;
		part += len + l->page_size;
	}
	len = pack_part_behind(want, l, x, block);
	return !memcmp(part, want, len);
}

/* A stream that has other words than its index says is one to who reads it from
 * front to back, and another one here. */
static int check_words(const struct packed *p, uint64_t frame,
		       const uint8_t *part, struct mr_error *err)
{
	struct pack_entry e;

	if (!frame || frame > p->head.extents)
		return 0;
	packed_entry(p, frame - 1, &e);
	if (packed_words_ok(p, &e, part))
		return 0;
	return error_set(err, MR_FORMAT, e.place.offset,
			 "pack: the frame in bytes %" PRIu64 "-%" PRIu64
			 " does not hold the words of its pages",
			 e.place.offset, e.place.offset + e.place.size - 1);
}

static int unpack(struct packed *p, struct packed_slot *s, uint64_t frame,
		  struct mr_error *err)
{
	struct pack_place place = packed_place(p, frame);
	size_t usual = pack_part_max(&p->label);

	/* A tail's room is not kept for pages. */
	if (s->room < place.content || s->room > usual) {
		free(s->bytes);
		s->room = place.content;
		s->bytes = malloc(s->room);
	}
	if (!s->bytes) {
		s->room = 0;
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory to unpack %" PRIu32 " bytes",
				 place.content);
	}
	return frame_read(&s->unpacker, p->file, &place, s->bytes, err) ||
			       check_words(p, frame, s->bytes, err)
		       ? -1
		       : 0;
}

/* A slot with the frame, to be let go; NULL: it cannot be had. */
static struct packed_slot *hold(struct packed *p, uint64_t frame,
				struct mr_error *err)
{
	struct packed_slot *s;
	int rc = 0;

	(void)pthread_mutex_lock(&p->lock);
	while (!(s = look(p, frame)) || (s->frame == frame && !s->ready))
		(void)pthread_cond_wait(&p->changed, &p->lock);
	s->used = ++p->now;
	s->users++;
	if (s->frame != frame) {
		s->frame = frame;
		s->ready = false;
		(void)pthread_mutex_unlock(&p->lock);
		rc = unpack(p, s, frame, err);
		(void)pthread_mutex_lock(&p->lock);
		s->ready = !rc;
		if (rc) {
			s->frame = NO_FRAME;
			s->users--;
		}
		(void)pthread_cond_broadcast(&p->changed);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return rc ? NULL : s;
}

static void let_go(struct packed *p, struct packed_slot *s)
{
	(void)pthread_mutex_lock(&p->lock);
	if (!--s->users)
		(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

static ssize_t packed_read(struct io *io, void *buf, size_t len,
			   uint64_t offset)
{
	struct packed *p = (struct packed *)(void *)io;
	struct mr_error why = MR_ERROR_INIT;
	struct packed_slot *s;
	uint64_t frame, left;

	if (offset >= io->size)
		return 0;
	frame = frame_at(p, offset);
	left = p->at[frame + 1] - offset;
	if (len > left)
		len = (size_t)left;
	s = hold(p, frame, &why);
	if (!s) {
		errno = why.code == MR_SYS     ? why.sys
			: why.code == MR_NOMEM ? ENOMEM
					       : EBADMSG;
		return -1;
	}
	memcpy(buf, s->bytes + (offset - p->at[frame]), len);
	let_go(p, s);
	return (ssize_t)len;
}

static ssize_t outline_read(struct io *io, void *buf, size_t len,
			    uint64_t offset)
{
	struct packed *p = ((struct packed_outline *)(void *)io)->p;

	if (offset >= p->at[1] && offset < p->at[p->head.extents + 1])
		return 0;
	return packed_read(&p->io, buf, len, offset);
}

/* The same once more, for the words. */
static int packed_why(struct io *io, uint64_t offset, struct mr_error *err)
{
	struct packed *p = (struct packed *)(void *)io;
	struct packed_slot *s;

	if (offset >= io->size)
		return 0;
	s = hold(p, frame_at(p, offset), err);
	if (!s)
		return -1;
	let_go(p, s);
	return 0;
}

static int outline_why(struct io *io, uint64_t offset, struct mr_error *err)
{
	return packed_why(&((struct packed_outline *)(void *)io)->p->io, offset,
			  err);
}

static const struct io_ops outline_ops = { .name = "pack's outline",
					   .read = outline_read,
					   .why = outline_why };

static const struct io_ops packed_ops = { .name = "pack",
					  .read = packed_read,
					  .why = packed_why };

/* ---- the whole ---- */

/* Whether the index knows that what its label says is not what it was. */
static bool label_differs(struct packed *p, const struct seal_digest *label,
			  uint64_t start)
{
	return !decode_head(p, start, NULL) &&
	       memcmp(&p->head.label, label, sizeof(*label)) != 0;
}

static int open_it(struct packed *p, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT, other = MR_ERROR_INIT;
	uint64_t label_end = 0, start = 0, base;
	struct seal_digest label;

	/* A version that is not known may be a wrong bit. */
	if (read_label(p, &label, &label_end, &why) &&
	    why.code != MR_UNSUPPORTED)
		goto fail;
	if (read_end(p, &start, &other) || read_index(p, start, &other)) {
		if (why.code == MR_OK)
			why = other;
		goto fail;
	}
	base = start + PACK_SKIP_SIZE - KIND_SIZE;
	if (label_differs(p, &label, base))
		return error_set(err, MR_FORMAT, 0,
				 "pack: the label is damaged: its digest "
				 "differs");
	if (why.code != MR_OK)
		goto fail;
	return decode_head(p, base, err) || decode_blocks(p, base, err) ||
			       walk(p, label_end, start, err)
		       ? -1
		       : 0;
fail:
	if (err && err->code == MR_OK)
		*err = why;
	return -1;
}

static void drop(struct packed *p)
{
	free(p->blocks);
	free(p->index);
	free(p->at);
	p->blocks = NULL;
	p->index = NULL;
	p->at = NULL;
}

int packed_open(struct packed *p, struct io *file, struct mr_error *err)
{
	*p = (struct packed){ .file = file };
	if (open_it(p, err)) {
		drop(p);
		return -1;
	}
	p->io = (struct io){ .ops = &packed_ops,
			     .size = p->at[p->head.extents + 2],
			     .who = file->who };
	p->outline.io = p->io;
	p->outline.io.ops = &outline_ops;
	p->outline.p = p;
	for (size_t i = 0; i < PACKED_SLOTS; i++)
		p->slots[i].frame = NO_FRAME;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->changed, NULL);
	return 0;
}

void packed_release(struct packed *p)
{
	for (size_t i = 0; i < PACKED_SLOTS; i++) {
		free(p->slots[i].bytes);
		unpacker_release(&p->slots[i].unpacker);
	}
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
	drop(p);
}
