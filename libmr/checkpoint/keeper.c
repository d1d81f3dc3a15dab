/* keeper.c - from what has come to what is on the disk. */
#include "libmr/checkpoint/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* ---- one checkpoint ---- */

static struct keeper_image look(const struct image_writer *w, uint64_t device)
{
	return (struct keeper_image){ .size = w->size,
				      .data = image_writer_data(w),
				      .device = device };
}

/* The device state, and the first one's description if that is its own too. */
static int describe(struct keeper *k, const struct delta *d,
		    struct image_device *to,
		    char run_state[STREAM_RUNSTATE_SIZE], struct mr_error *err)
{
	struct image_device first = tail_device(k->first);
	struct tail t = { .bytes = d->device, .len = d->device_len };
	int fits = tail_described(&t, first.description, first.description_len,
				  IMAGE_PAGE, err);

	if (fits < 0)
		return -1;
	*to = (struct image_device){ .sections = d->device,
				     .len = d->device_len };
	if (fits) {
		to->description = first.description;
		to->description_len = first.description_len;
	}
	memcpy(run_state, t.run_state, STREAM_RUNSTATE_SIZE);
	return 0;
}

static int make(struct keeper *k, const struct delta *d, struct mr_error *err)
{
	struct turns *t = &k->turns;
	char run_state[STREAM_RUNSTATE_SIZE];
	struct keeper_image is;
	struct image_sink s;

	if (turns_begin(t, d, err))
		return -1;
	image_sink_init(&s, &t->w);
	s.base = &t->base;
	s.config = k->config;
	if (describe(k, d, &s.device, run_state, err))
		return -1;
	image_writer_label(&t->w, d->made, k->uuid, "");
	if (s.sink.ops->begin(&s.sink, &k->partial, err) ||
	    delta_pour(d, &s.sink, &k->written, err) ||
	    s.sink.ops->end(&s.sink, err))
		return -1;
	is = look(&t->w, d->device_len);
	if (turns_publish(t, d, err))
		return -1;
	k->is = is;
	memcpy(k->run_state, run_state, sizeof(k->run_state));
	return 0;
}

/* ---- the thread ---- */

static void fail(struct keeper *k, const struct mr_error *err)
{
	(void)pthread_mutex_lock(&k->lock);
	k->why = *err;
	k->over = true;
	(void)pthread_cond_broadcast(&k->moved);
	(void)pthread_mutex_unlock(&k->lock);
	if (k->failed)
		k->failed(k->arg);
}

/* What is to be done next, when it is there: false, nothing more. */
static bool next(struct keeper *k)
{
	bool more;

	(void)pthread_mutex_lock(&k->lock);
	while (!k->waiting && !k->over)
		(void)pthread_cond_wait(&k->moved, &k->lock);
	k->working = k->waiting;
	k->waiting = NULL;
	more = k->working != NULL;
	(void)pthread_mutex_unlock(&k->lock);
	return more;
}

static void done(struct keeper *k)
{
	int view = fcntl(k->turns.current, F_DUPFD_CLOEXEC, 3);

	(void)pthread_mutex_lock(&k->lock);
	(void)close(k->view);
	k->view = view;
	delta_clear(k->working);
	k->working = NULL;
	(void)pthread_cond_broadcast(&k->moved);
	(void)pthread_mutex_unlock(&k->lock);
}

/* It is the image, and more is done about it before who waits hears so. */
static int tell(struct keeper *k, uint64_t number, uint64_t pages,
		struct mr_error *err)
{
	(void)pthread_mutex_lock(&k->lock);
	k->last = number;
	k->published += number > 0;
	(void)pthread_mutex_unlock(&k->lock);
	return k->done ? k->done(k->arg, number, pages, err) : 0;
}

static int begin(struct keeper *k, struct mr_error *err)
{
	if (k->image->ops->end(k->image, err) ||
	    turns_first(&k->turns, k->begin, k->m, err))
		return -1;
	k->is = look(k->begin, k->first->device);
	if (tell(k, 0, 0, err))
		return -1;
	(void)pthread_mutex_lock(&k->lock);
	k->begin = NULL;
	(void)pthread_cond_broadcast(&k->moved);
	(void)pthread_mutex_unlock(&k->lock);
	return 0;
}

/* Whoever takes in what comes is not to wait for this: a VM stands still then.
 * A thread has a niceness of its own. */
static void stand_back(void)
{
	int is = getpriority(PRIO_PROCESS, (id_t)gettid());

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), is + 5);
}

static void *keeper_thread(void *arg)
{
	struct mr_error err = MR_ERROR_INIT;
	struct keeper *k = arg;
	int rc;

	stand_back();
	rc = begin(k, &err);
	while (!rc && next(k)) {
		rc = make(k, k->working, &err);
		if (rc)
			turns_abandon(&k->turns);
		rc = rc ||
		     tell(k, k->working->number, delta_pages(k->working), &err);
		if (!rc)
			done(k);
	}
	if (rc)
		fail(k, &err);
	return NULL;
}

/* ---- who gives ---- */

/* What is partial to the image before. */
static int make_partial(struct keeper *k, struct mr_error *err)
{
	struct memory *p = &k->partial;

	*p = *k->m;
	p->blocks = calloc(p->n, sizeof(*p->blocks));
	if (!p->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	memcpy(p->blocks, k->m->blocks, p->n * sizeof(*p->blocks));
	for (size_t i = 0; i < p->n; i++) {
		p->blocks[i].partial = true;
		p->blocks[i].at = k->begin->blocks[i].place.pages_offset;
	}
	k->view = fcntl(k->begin->out.file.fd, F_DUPFD_CLOEXEC, 3);
	return k->view < 0 ? error_sys(err, MR_NO_OFFSET, "no descriptor") : 0;
}

int keeper_start(struct keeper *k, struct sink *image, struct image_writer *w,
		 struct mr_error *err)
{
	int rc;

	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_cond_init(&k->moved, NULL);
	k->image = image;
	k->begin = w;
	if (slots_init(&k->slots, k->cache, k->m->page, delta_limit(k->m, 3),
		       err) ||
	    make_partial(k, err))
		return -1;
	for (size_t i = 0; i < 3; i++)
		if (delta_init(&k->deltas[i], k->m, &k->slots, err))
			return -1;
	rc = pthread_create(&k->thread, NULL, keeper_thread, k);
	if (rc) {
		errno = rc;
		return error_sys(err, MR_NO_OFFSET, "cannot start a thread");
	}
	k->running = true;
	return 0;
}

struct delta *keeper_delta(struct keeper *k)
{
	struct delta *d = NULL;

	(void)pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < 3; i++)
		if (&k->deltas[i] != k->waiting && &k->deltas[i] != k->working)
			d = &k->deltas[i];
	(void)pthread_mutex_unlock(&k->lock);
	return d;
}

static int failure(const struct keeper *k, struct mr_error *err)
{
	if (k->why.code == MR_OK)
		return 0;
	if (err)
		*err = k->why;
	return -1;
}

int keeper_keep(struct keeper *k, struct delta *d, struct mr_error *err)
{
	int rc;

	d->made = k->dated ? (uint64_t)time(NULL) : 0;
	(void)pthread_mutex_lock(&k->lock);
	rc = failure(k, err);
	if (!rc && k->waiting) {
		delta_merge(k->waiting, d);
		k->merged++;
	} else if (!rc) {
		k->waiting = d;
	}
	(void)pthread_cond_broadcast(&k->moved);
	(void)pthread_mutex_unlock(&k->lock);
	return rc;
}

int keeper_wait(struct keeper *k, struct mr_error *err)
{
	int rc;

	(void)pthread_mutex_lock(&k->lock);
	while (!(rc = failure(k, err)) &&
	       (k->begin || k->waiting || k->working))
		(void)pthread_cond_wait(&k->moved, &k->lock);
	(void)pthread_mutex_unlock(&k->lock);
	return rc;
}

/* What is no data is a hole there. */
static int read_view(const struct keeper *k, uint64_t at, unsigned char *page,
		     struct mr_error *err)
{
	ssize_t n = pread(k->view, page, k->m->page, (off_t)at);

	if (n < 0)
		return error_sys(err, at, "cannot read");
	memset(page + n, 0, k->m->page - (size_t)n);
	return 0;
}

int keeper_get(struct keeper *k, size_t block, uint64_t offset,
	       unsigned char *page, struct mr_error *err)
{
	const struct delta *d[2];
	int rc = 0;

	(void)pthread_mutex_lock(&k->lock);
	d[0] = k->waiting;
	d[1] = k->working;
	for (size_t i = 0; !rc && i < 2; i++)
		rc = d[i] ? delta_get(d[i], block, offset / k->m->page, page,
				      err)
			  : 0;
	if (!rc)
		rc = read_view(k, k->partial.blocks[block].at + offset, page,
			       err);
	(void)pthread_mutex_unlock(&k->lock);
	return rc < 0 ? -1 : 0;
}

int keeper_end(struct keeper *k, struct mr_error *err)
{
	if (!k->running)
		return 0;
	(void)pthread_mutex_lock(&k->lock);
	k->over = true;
	(void)pthread_cond_broadcast(&k->moved);
	(void)pthread_mutex_unlock(&k->lock);
	(void)pthread_join(k->thread, NULL);
	k->running = false;
	return failure(k, err);
}

void keeper_release(struct keeper *k)
{
	if (!k->m)
		return;
	(void)keeper_end(k, NULL);
	for (size_t i = 0; i < 3; i++)
		delta_release(&k->deltas[i]);
	slots_release(&k->slots);
	free(k->partial.blocks);
	if (k->view >= 0)
		(void)close(k->view);
	turns_release(&k->turns);
	(void)pthread_cond_destroy(&k->moved);
	(void)pthread_mutex_destroy(&k->lock);
}
