/* checkpoint.c - one of a COLO primary, whole or not at all. */
#include <errno.h>

#include "libmr/base/error.h"
#include "libmr/recv/state.h"
#include "libmr/wire/colo.h"

/* Nobody is to send anything behind the last barrier. */
static int check_beyond(const struct recv *x, bool puts, struct mr_error *err)
{
	if (!puts || !x->in.n_channels)
		return 0;
	return error_set(err, MR_FORMAT, MR_NO_OFFSET,
			 "a channel goes on behind the last barrier");
}

int recv_settle(struct recv *x, struct mr_error *err)
{
	bool puts = sluice_shut(&x->sluice);

	return check_beyond(x, puts, err) ||
			       intake_settle(&x->in, &x->image.sink, err)
		       ? -1
		       : 0;
}

int recv_take(struct recv *x, struct delta *d, struct mr_error *err)
{
	struct mr_recv_report *r = x->report;
	struct tail t = { 0 };
	int rc = colo_wait(&x->in, err);

	if (rc <= 0)
		return rc;
	r->primary = true;
	/* Before it is answered the next one's pages do not come. */
	if (check_beyond(x, sluice_waited(&x->sluice), err))
		return -1;
	sluice_open(&x->sluice, d);
	rc = colo_take(&x->in, &t, err);
	if (check_beyond(x, sluice_shut(&x->sluice), rc ? NULL : err))
		rc = -1;
	if (rc) {
		r->broken = true;
		tail_release(&t);
		return -1;
	}
	d->device = t.bytes;
	d->device_len = t.len;
	d->number = ++r->checkpoints;
	return 1;
}

int recv_barrier(void *arg, uint64_t at)
{
	(void)at;
	sluice_barrier(arg);
	return 0;
}

bool recv_is_gone(const struct mr_error *err)
{
	switch (err->code == MR_SYS ? err->sys : 0) {
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case ETIMEDOUT:
	case ENETDOWN:
	case ENETRESET:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return true;
	default:
		return err->code == MR_SHORT;
	}
}
