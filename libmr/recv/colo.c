/* colo.c - a source that is a COLO primary: one image after the other. */
#include <inttypes.h>
#include <stdio.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/checkpoint/keeper.h"
#include "libmr/recv/state.h"
#include "libmr/wire/colo.h"

static int kept(void *arg, uint64_t number, uint64_t pages,
		struct mr_error *err)
{
	const struct recv *x = arg;
	const struct mr_checkpoint c = { .number = number,
					 .pages = pages * x->in.memory.page };

	if (number)
		watch_note(&x->options->watch,
			   "checkpoint %" PRIu64 ": %" PRIu64 " pages", number,
			   pages);
	return x->options->kept
		       ? x->options->kept(x->options->kept_arg, &c, err)
		       : 0;
}

/* Whoever waits for the source is woken. */
static void not_kept(void *arg)
{
	(void)wire_end(&((struct recv *)arg)->in.wire);
}

static int page_before(void *arg, size_t block, uint64_t offset,
		       unsigned char *page, struct mr_error *err)
{
	return keeper_get(arg, block, offset, page, err);
}

/* However long it takes: the channels have nothing to say meanwhile. */
static int wait_for_disk(struct recv *x, struct keeper *k, struct mr_error *err)
{
	int rc;

	wire_hold(&x->in.wire, true);
	rc = keeper_wait(k, err);
	wire_hold(&x->in.wire, false);
	return rc;
}

/* The primary's VM stands still until this is over. */
static int answer(struct recv *x, struct keeper *k, struct delta *d,
		  struct mr_error *err)
{
	bool durable = x->options->durable;
	int rc = durable ? 0 : colo_done(&x->in, err);

	x->report->changed += delta_pages(d) * x->in.memory.page;
	x->report->empty += !delta_pages(d);
	/* It is whole, whoever is gone. */
	if (keeper_keep(k, d, rc ? NULL : err))
		return -1;
	if (durable)
		rc = wait_for_disk(x, k, err) || colo_done(&x->in, err);
	return rc ? -1 : 0;
}

static int go_on(struct recv *x, struct keeper *k, struct mr_error *err)
{
	int rc;

	if (x->options->durable && wait_for_disk(x, k, err))
		return -1;
	if (colo_ready(&x->in, err))
		return -1;
	do {
		struct delta *d = keeper_delta(k);

		rc = recv_take(x, d, err);
		if (rc > 0)
			rc = answer(x, k, d, err) ? -1 : 1;
	} while (rc > 0);
	return rc;
}

static void make_keeper(struct recv *x, struct keeper *k)
{
	*k = (struct keeper)KEEPER_NONE;
	k->turns.path = x->path;
	k->turns.rule = x->options->force ? GATE_ANY_FILE : GATE_IMAGE;
	k->turns.direct = x->options->direct;
	k->turns.seal = !x->options->no_seal;
	k->m = &x->in.memory;
	k->config = &x->in.config;
	k->uuid = recv_uuid(&x->in);
	k->dated = true;
	k->cache = x->options->cache;
	k->first = &x->in.tail;
	k->done = kept;
	k->failed = not_kept;
	k->arg = x;
}

static void report(struct recv *x, const struct keeper *k)
{
	struct mr_recv_report *r = x->report;

	recv_tally(x);
	r->written += k->written;
	r->kept = k->published;
	r->standing = k->turns.current >= 0;
	r->last = k->last;
	if (r->standing) {
		r->size = k->is.size;
		r->data = k->is.data;
		r->device = k->is.device;
	}
	if (k->last)
		(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
			       k->run_state);
}

/* What has the name is somebody else's, and nobody was refused beforehand. */
static void disown(struct recv *x, struct mr_error *err)
{
	if (err->code != MR_REFUSED)
		return;
	err->code = MR_UNSUPPORTED;
	x->report->standing = false;
}

int recv_checkpoints(struct recv *x, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct keeper k;
	int rc;

	if (recv_settle(x, err)) {
		/* Who waits to put is waited for. */
		sluice_over(&x->sluice);
		(void)intake_join_channels(&x->in, NULL);
		recv_report(x);
		recv_tally(x);
		return error_about(err, RECV_URI);
	}
	recv_report(x);
	make_keeper(x, &k);
	x->sluice.get = page_before;
	x->sluice.arg = &k;
	rc = keeper_start(&k, &x->image.sink, &x->w, err);
	if (!rc)
		rc = go_on(x, &k, &why);
	/* The channels end before what they put into does, which is not why it
	 * is over. */
	(void)wire_end(&x->in.wire);
	sluice_over(&x->sluice);
	intake_blame(&x->in, &why);
	if (keeper_end(&k, err)) {
		report(x, &k);
		keeper_release(&k);
		disown(x, err);
		return error_about(err, RECV_IMAGE);
	}
	report(x, &k);
	keeper_release(&k);
	if (!rc || err->code != MR_OK)
		return rc;
	if (recv_is_gone(&why)) {
		(void)snprintf(x->report->end, sizeof(x->report->end), "%s",
			       why.msg);
		return 0;
	}
	*err = why;
	return error_about(err, RECV_URI);
}
