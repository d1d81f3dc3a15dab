/* replayed.c - a primary that was captured: the image of one checkpoint. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/recv/state.h"

/* Each checkpoint is merged into those before when it is whole: what changes
 * again and again is written once. */
struct replayed {
	struct sink *image; /* it has the first migration */
	struct slots slots;
	struct delta all, next;
};

static int page_before(void *arg, size_t block, uint64_t offset,
		       unsigned char *page, struct mr_error *err)
{
	const struct replayed *p = arg;
	int rc = delta_get(&p->all, block, offset / p->all.m->page, page, err);

	if (rc)
		return rc < 0 ? -1 : 0;
	return p->image->ops->get(p->image, NULL, block, offset, page, err);
}

static int prepare(struct recv *x, struct replayed *p, struct mr_error *err)
{
	const struct memory *m = &x->in.memory;

	x->sluice.get = page_before;
	x->sluice.arg = p;
	p->image = &x->image.sink;
	return slots_init(&p->slots, x->options->cache, m->page,
			  delta_limit(m, 2), err) ||
			       delta_init(&p->all, m, &p->slots, err) ||
			       delta_init(&p->next, m, &p->slots, err)
		       ? -1
		       : 0;
}

static int keep(struct recv *x, struct replayed *p, struct mr_error *err)
{
	uint64_t pages = delta_pages(&p->next);

	if (intake_check_numbers(&x->in, err))
		return -1;
	delta_merge(&p->all, &p->next);
	x->report->changed += pages * x->in.memory.page;
	x->report->empty += !pages;
	x->report->last = p->all.number;
	watch_note(&x->options->watch,
		   "checkpoint %" PRIu64 ": %" PRIu64 " pages", p->all.number,
		   pages);
	return 0;
}

/* Up to the one that is wanted, or as many as there are. */
static int take_all(struct recv *x, struct replayed *p, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct mr_recv_report *r = x->report;
	int rc = 1;

	while (rc > 0 && r->checkpoints < x->options->checkpoint) {
		rc = recv_take(x, &p->next, &why);
		if (rc > 0 && keep(x, p, err))
			return -1;
	}
	if (rc > 0)
		return 0;
	/* Nothing more is put. Of a primary that is gone the channels may have
	 * some of what main has not; else that is not why it is over. */
	if (rc < 0)
		(void)wire_end(&x->in.wire);
	sluice_over(&x->sluice);
	if (!rc)
		return r->checkpoints ? 0 : intake_finish(&x->in, err);
	intake_blame(&x->in, &why);
	if (recv_is_gone(&why)) {
		(void)snprintf(r->end, sizeof(r->end), "%s", why.msg);
		return 0;
	}
	*err = why;
	if (error_is_damage(&why))
		(void)snprintf(err->msg, sizeof(err->msg),
			       "behind checkpoint %" PRIu64
			       ", which can be had: %.180s",
			       r->checkpoints, why.msg);
	return -1;
}

static int none_such(const struct recv *x, struct mr_error *err)
{
	const struct mr_recv_report *r = x->report;

	return error_set(err, MR_USAGE, MR_NO_OFFSET,
			 "there is no checkpoint %" PRIu64 ": %" PRIu64
			 " came, whole%s%.120s",
			 x->options->checkpoint, r->checkpoints,
			 r->end[0] ? "; then " : "", r->end);
}

/* The device state that the image ends in, with the first one's description if
 * that is its own too. */
static int put_device(struct recv *x, struct replayed *p, struct mr_error *err)
{
	struct image_device first = tail_device(&x->in.tail);
	struct tail t = { .bytes = p->all.device,
			  .len = p->all.device_len,
			  .room = p->all.device_len };
	int rc = tail_described(&t, first.description, first.description_len,
				(uint32_t)x->in.memory.page, err);

	p->all.device = NULL;
	t.device = t.description = t.len;
	if (rc > 0)
		rc = tail_add(&t, first.description, first.description_len,
			      err);
	if (rc) {
		tail_release(&t);
		return -1;
	}
	tail_release(&x->in.tail);
	x->in.tail = t;
	return 0;
}

static int put(struct recv *x, struct replayed *p, struct mr_error *err)
{
	if (delta_pour(&p->all, p->image, &x->in.tally.written, err))
		return error_about(err, RECV_IMAGE);
	return put_device(x, p, err);
}

int recv_replayed(struct recv *x, struct mr_error *err)
{
	struct replayed p = { .slots = SLOTS_NONE };
	int rc = recv_settle(x, err) || intake_check_numbers(&x->in, err) ||
		 prepare(x, &p, err) || take_all(x, &p, err);

	/* The channels end before what they put into does. */
	sluice_over(&x->sluice);
	(void)intake_join_channels(&x->in, NULL);
	if (!rc && x->options->checkpoint != MR_CHECKPOINT_LAST &&
	    x->report->checkpoints < x->options->checkpoint)
		rc = none_such(x, err);
	if (!rc && x->report->last)
		rc = put(x, &p, err);
	if (!rc)
		x->report->kept = x->report->last > 0;
	x->sink = &x->image.sink;
	delta_release(&p.all);
	delta_release(&p.next);
	slots_release(&p.slots);
	return rc ? -1 : 0;
}
