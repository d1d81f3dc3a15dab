/*
 * copy.c - memory to a sink.
 *
 * A worker has the touched pages of an extent in place or reads them, clears
 * the bits of those that are zero while they are in its cache, and puts what
 * is left.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"
#include "libmr/base/zeros.h"
#include "libmr/file/outbox.h"
#include "libmr/memory/sink.h"

/* Of an extent: 4 MiB of 1 KiB pages. */
#define EXTENT_WORDS 64u

enum { START, FETCHED, VIEWED };

struct copy {
	struct memory *from;
	struct sink *to;
	struct memory_tally *tally;
};

/* A worker's own. */
struct own {
	struct memory_tally tally;
	max_align_t sink[]; /* the sink's */
};

/* touched has the bits of what was: puts the pages of it that hold data. */
static int put_part(struct crew_worker *w, struct crew_slot *s,
		    const struct memory_part *touched, struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	struct own *own = w->priv;
	struct sink_hand h = {
		.w = w, .s = s, .tally = &own->tally, .own = own->sink
	};
	struct memory_part p = *touched;
	uint64_t bits[EXTENT_WORDS];
	size_t n;

	if (!c->from->exact) {
		memcpy(bits, p.bits, (p.pages + 63) / 64 * sizeof(*bits));
		p.bits = bits;
		n = pages_clear_zero(p.buf, p.unit, p.pages, bits);
		own->tally.zero += n * p.unit;
	}
	n = bits_count(p.bits, 0, p.pages);
	own->tally.data += n * p.unit;
	if (n)
		return c->to->ops->put(c->to, &h, s->extent.block, &p, err);
	return c->to->ops->zero(c->to, &h, s->extent.block, p.offset,
				s->extent.length, err);
}

/* 1: the sink has all of a part without us; 0: it has not; -1 */
static int take_part(struct crew_worker *w, struct crew_slot *s,
		     const struct memory_part *p, struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	struct own *own = w->priv;
	struct sink_hand h = {
		.w = w, .s = s, .tally = &own->tally, .own = own->sink
	};
	int64_t n = c->to->ops->take ? c->to->ops->take(c->to, &h,
							s->extent.block, p, err)
				     : 0;

	if (n < 0)
		return error_about(err, c->from->who);
	if (!n)
		return 0;
	own->tally.data += bits_count(p->bits, 0, p->pages) * p->unit;
	own->tally.read += (uint64_t)n;
	crew_pay(w, (uint64_t)n);
	return 1;
}

static int begin_extent(struct crew_worker *w, struct crew_slot *s,
			struct memory_part *p, struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	const struct memory_ops *ops = c->from->ops;
	struct own *own = w->priv;
	struct sink_hand h = {
		.w = w, .s = s, .tally = &own->tally, .own = own->sink
	};
	uint64_t read = bits_count(p->bits, 0, p->pages) * p->unit;
	unsigned char **room = s->priv;
	const void *view = NULL;
	int taken;
	int64_t n;

	crew_progress(w, s->extent.length);
	own->tally.untouched += s->extent.length - read;
	own->tally.scanned += read;
	if (!read && p->block->partial)
		return CREW_DONE; /* the sink has it */
	if (!read)
		return put_part(w, s, p, err) ? CREW_FAILED : CREW_DONE;
	taken = take_part(w, s, p, err);
	if (taken)
		return taken < 0 ? CREW_FAILED : CREW_DONE;
	if (ops->view)
		view = ops->view(c->from, p->block, p->offset, s->extent.length,
				 p->bits);
	if (view) {
		p->buf = (unsigned char *)(uintptr_t)view;
		p->touched = p->bits;
		crew_spare(w, s);
		return put_part(w, s, p, err) ? CREW_FAILED : VIEWED;
	}
	/* Room is for the kernel to read to, not for us to look at. */
	*room = c->to->ops->room && c->from->exact && c->from->file
			? c->to->ops->room(c->to, &h, s->extent.block, p)
			: NULL;
	if (*room) {
		p->buf = *room;
		p->apart = true;
	}
	n = memory_fetch(c->from, p, w, s, err);
	own->tally.read += n < 0 ? 0 : (uint64_t)n;
	if (n > 0 && !c->from->file)
		crew_pay(w, (uint64_t)n); /* the crew does not see it */
	return n < 0 ? CREW_FAILED : FETCHED;
}

/* The part is in the sink already. */
static void count_room(struct crew_worker *w, const struct crew_slot *s,
		       const struct memory_part *p)
{
	struct own *own = w->priv;

	own->tally.data += bits_count(p->bits, 0, p->pages) * p->unit;
	own->tally.written += s->extent.length;
	own->tally.in_room += s->extent.length;
}

static int copy_extent(struct crew_worker *w, struct crew_slot *s,
		       struct mr_error *err)
{
	struct copy *c = crew_arg(w);
	const struct memory_block *b = &c->from->blocks[s->extent.block];
	unsigned char **room = s->priv;
	struct memory_part p = {
		.block = b,
		.offset = s->extent.offset,
		.unit = c->from->page,
		.pages = s->extent.length / c->from->page,
		.bits = b->bits + s->extent.offset / c->from->page / 64,
		.buf = s->buf,
	};

	if (s->stage == START)
		return begin_extent(w, s, &p, err);
	if (s->stage == VIEWED) {
		c->from->ops->view_done(c->from, b, p.offset, s->extent.length);
		return CREW_DONE;
	}
	p.buf = *room ? *room : s->buf;
	if (memory_fetched(c->from, &p, s, err) ||
	    memory_prove_part(c->from, &p, err))
		return CREW_FAILED;
	if (*room)
		count_room(w, s, &p);
	else if (put_part(w, s, &p, err))
		return CREW_FAILED;
	return CREW_DONE;
}

static bool is_open(void *arg, uint64_t n, bool wait)
{
	struct copy *c = arg;

	return c->to->ops->open(c->to, n, wait);
}

static void add_tally(struct crew_worker *w, void *arg)
{
	struct copy *c = arg;
	struct own *own = w->priv;
	const struct memory_tally *t = &own->tally;

	c->tally->untouched += t->untouched;
	c->tally->scanned += t->scanned;
	c->tally->zero += t->zero;
	c->tally->data += t->data;
	c->tally->read += t->read;
	c->tally->written += t->written;
	c->tally->same += t->same;
	c->tally->in_room += t->in_room;
	c->tally->copied += t->copied;
	c->tally->frames += t->frames;
	if (c->to->ops->let_go)
		c->to->ops->let_go(c->to, own->sink);
}

int memory_copy(struct memory *from, struct sink *to,
		const struct memory_copy_options *o, struct memory_tally *t,
		struct mr_error *err)
{
	struct copy c = { .from = from, .to = to, .tally = t };
	struct crew_plan plan = {
		.extent_size =
			from->extent > to->extent ? from->extent : to->extent,
		.lengths = &from->blocks[0].held,
		.stride = sizeof(from->blocks[0]),
		.blocks = from->n,
		.buffers = 1,
		.worker_size = sizeof(struct own) + to->hand_size,
		.slot_size = sizeof(unsigned char *),
		.own_errors = true,
		.jobs = o->jobs,
		.limit = o->limit,
		.ran = &t->jobs,
		.step = copy_extent,
		.open = to->ops->open ? is_open : NULL,
		.finish = add_tally,
		.arg = &c,
		.watch = o->watch,
		.leavers = o->leavers,
	};
	uint64_t bytes = 0;

	for (size_t i = 0; i < from->n; i++)
		if (memory_map(from, &from->blocks[i], &bytes, err))
			return -1;
	if (to->ops->begin(to, from, err))
		return -1;
	/* Whoever copies reads all of it: not to copy what the cache has, but
	 * to have the disk write it where it goes, takes half the CPU time. */
	memory_choose(from,
		      o->direct == MR_DIRECT_AUTO ? MR_DIRECT_ON : o->direct,
		      bytes);
	return crew_run(&plan, err);
}

int sink_settle(const struct sink_hand *h, const struct file *file, uint64_t at,
		uint64_t length, struct mr_error *err)
{
	return h->out ? outbox_settle(h->out, file, at, length, err) : 0;
}

int sink_write(const struct sink_hand *h, struct file *file, const void *bytes,
	       size_t length, uint64_t at, struct mr_error *err)
{
	h->tally->written += length;
	if (h->out)
		return outbox_write(h->out, file, bytes, length, at, err);
	if (!h->w)
		return file_write(file, bytes, length, at, err);
	crew_transfer(h->w, h->s, file, (void *)(uintptr_t)bytes, length, at,
		      true);
	return 0;
}
