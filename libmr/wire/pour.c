/* pour.c - runs of pages out of single ones. */
#include "libmr/wire/pour.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"

/* Pages that are held back at most: an extent of 4 KiB ones. */
#define PAGES ((size_t)256)

static int put(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally };
	uint64_t bits[PAGES / 64] = { 0 };
	struct memory_part part = { .block = &p->m->blocks[block],
				    .offset = offset,
				    .unit = p->m->page,
				    .pages = n,
				    .bits = bits,
				    .buf = bytes };
	size_t zero;

	bits_set(bits, 0, n);
	zero = pages_clear_zero(bytes, part.unit, n, bits);
	p->tally.scanned += n * part.unit;
	p->tally.zero += zero * part.unit;
	p->tally.data += (n - zero) * part.unit;
	if (zero == n ? p->to->ops->zero(p->to, &h, block, offset,
					 n * part.unit, err)
		      : p->to->ops->put(p->to, &h, block, &part, err))
		return -1;
	if (p->done)
		p->done(p->arg, n * part.unit);
	return 0;
}

static int put_run(struct pour *p, const struct pour_run *r,
		   struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally };

	if (!r->zeros)
		return put(p, r->block, r->offset, r->buf, r->pages, err);
	p->tally.scanned += r->pages * p->m->page;
	p->tally.zero += r->pages * p->m->page;
	if (p->to->ops->zero(p->to, &h, r->block, r->offset,
			     r->pages * p->m->page, err))
		return -1;
	if (p->done)
		p->done(p->arg, r->pages * p->m->page);
	return 0;
}

/* ---- the thread ---- */

static void *pour_thread(void *arg)
{
	struct pour *p = arg;

	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct mr_error why = MR_ERROR_INIT;
		bool failed = p->why.code != MR_OK;

		if (p->n && !failed) {
			const struct pour_run *r = &p->runs[p->first];

			(void)pthread_mutex_unlock(&p->lock);
			(void)put_run(p, r, &why);
			(void)pthread_mutex_lock(&p->lock);
			p->why = why;
		}
		if (p->n) {
			p->first = (p->first + 1) % POUR_RUNS;
			p->n--;
			(void)pthread_cond_broadcast(&p->moved);
		} else if (p->stop) {
			break;
		} else {
			(void)pthread_cond_wait(&p->moved, &p->lock);
		}
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Until no more than so many are under way. */
static int wait_for(struct pour *p, unsigned n, struct mr_error *err)
{
	struct mr_error why;

	(void)pthread_mutex_lock(&p->lock);
	while (p->n > n)
		(void)pthread_cond_wait(&p->moved, &p->lock);
	why = p->why;
	(void)pthread_mutex_unlock(&p->lock);
	if (why.code == MR_OK)
		return 0;
	if (err)
		*err = why;
	return -1;
}

int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      bool threaded, struct mr_error *err)
{
	*p = (struct pour){ .to = to, .m = m, .why = MR_ERROR_INIT };
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->moved, NULL);
	for (size_t i = 0; i < (threaded ? POUR_RUNS : 1); i++) {
		p->runs[i].buf = aligned_alloc(m->page, PAGES * m->page);
		if (!p->runs[i].buf)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
	}
	if (threaded && pthread_create(&p->thread, NULL, pour_thread, p))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "cannot start a thread");
	p->threaded = threaded;
	return 0;
}

void pour_stop(struct pour *p)
{
	if (!p->threaded)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_cond_broadcast(&p->moved);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_join(p->thread, NULL);
	p->threaded = false;
}

void pour_release(struct pour *p)
{
	pour_stop(p);
	for (size_t i = 0; i < POUR_RUNS; i++) {
		free(p->runs[i].buf);
		p->runs[i].buf = NULL;
	}
}

/* ---- pouring ---- */

int pour_pages(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err)
{
	for (size_t i = 0, k; i < n; i += k) {
		k = n - i < PAGES ? n - i : PAGES;
		if (put(p, block, offset + i * p->m->page,
			bytes + i * p->m->page, k, err))
			return -1;
	}
	return 0;
}

/* What was filled is put, now or soon. */
static int push(struct pour *p, struct mr_error *err)
{
	struct pour_run *r = &p->runs[p->fill];
	int rc = 0;

	if (!r->pages)
		return 0;
	if (!p->threaded) {
		rc = put_run(p, r, err);
	} else {
		(void)pthread_mutex_lock(&p->lock);
		p->n++;
		(void)pthread_cond_broadcast(&p->moved);
		(void)pthread_mutex_unlock(&p->lock);
		/* The next one has come to its end. */
		rc = wait_for(p, POUR_RUNS - 1, err);
		p->fill = (p->fill + 1) % POUR_RUNS;
	}
	p->runs[p->fill].pages = 0;
	return rc;
}

int pour_end(struct pour *p, struct mr_error *err)
{
	if (push(p, err))
		return -1;
	return p->threaded ? wait_for(p, 0, err) : 0;
}

/* Makes room for a page that goes on from the last one, or begins anew. */
static struct pour_run *next(struct pour *p, size_t block, uint64_t offset,
			     bool zeros, struct mr_error *err)
{
	struct pour_run *r = &p->runs[p->fill];
	bool follows = r->pages && r->zeros == zeros && r->block == block &&
		       offset == r->offset + r->pages * p->m->page &&
		       (zeros || r->pages < PAGES);

	if (!follows) {
		if (push(p, err))
			return NULL;
		r = &p->runs[p->fill];
		r->block = block;
		r->offset = offset;
		r->zeros = zeros;
	}
	r->pages++;
	return r;
}

unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err)
{
	struct pour_run *r = next(p, block, offset, false, err);

	return r ? r->buf + (r->pages - 1) * p->m->page : NULL;
}

int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err)
{
	return next(p, block, offset, true, err) ? 0 : -1;
}
