/* sluice.c - into an image, into a delta, or not now. */
#include "libmr/checkpoint/sluice.h"

#include "libmr/base/error.h"

static struct sluice *of(struct sink *k)
{
	return (struct sluice *)(void *)k;
}

/* ---- going in ---- */

/* Whoever goes in leaves. delta: where it leads; NULL: into the image. */
static int enter(struct sluice *s, struct delta **delta, struct mr_error *err)
{
	bool over;

	(void)pthread_mutex_lock(&s->lock);
	s->waiting++;
	while (s->state == SLUICE_SHUT)
		(void)pthread_cond_wait(&s->moved, &s->lock);
	s->waiting--;
	over = s->state == SLUICE_OVER;
	*delta = s->state == SLUICE_DELTA ? s->delta : NULL;
	s->inside += !over;
	(void)pthread_mutex_unlock(&s->lock);
	return over ? error_set(err, MR_SHORT, MR_NO_OFFSET,
				"memory after the end")
		    : 0;
}

static void leave(struct sluice *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->inside--;
	s->puts = true;
	if (!s->inside)
		(void)pthread_cond_broadcast(&s->moved);
	(void)pthread_mutex_unlock(&s->lock);
}

static int sluice_begin(struct sink *k, const struct memory *m,
			struct mr_error *err)
{
	struct sink *image = of(k)->image;

	return image->ops->begin(image, m, err);
}

static int sluice_put(struct sink *k, const struct sink_hand *h, size_t block,
		      const struct memory_part *p, struct mr_error *err)
{
	struct sluice *s = of(k);
	struct delta *d;
	int rc;

	if (enter(s, &d, err))
		return -1;
	rc = d ? delta_put(d, block, p, err)
	       : s->image->ops->put(s->image, h, block, p, err);
	leave(s);
	return rc;
}

static int sluice_zero(struct sink *k, const struct sink_hand *h, size_t block,
		       uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct sluice *s = of(k);
	struct delta *d;
	int rc = 0;

	if (enter(s, &d, err))
		return -1;
	if (d)
		delta_zero(d, block, offset / d->m->page, length / d->m->page);
	else
		rc = s->image->ops->zero(s->image, h, block, offset, length,
					 err);
	leave(s);
	return rc;
}

static int get_from(struct sluice *s, const struct delta *d, size_t block,
		    uint64_t offset, unsigned char *page, struct mr_error *err)
{
	int rc = delta_get(d, block, offset / d->m->page, page, err);

	if (!rc)
		return s->get(s->arg, block, offset, page, err);
	return rc < 0 ? -1 : 0;
}

static int sluice_get(struct sink *k, const struct sink_hand *h, size_t block,
		      uint64_t offset, unsigned char *page,
		      struct mr_error *err)
{
	struct sluice *s = of(k);
	struct delta *d;
	int rc;

	if (enter(s, &d, err))
		return -1;
	rc = d ? get_from(s, d, block, offset, page, err)
	       : s->image->ops->get(s->image, h, block, offset, page, err);
	leave(s);
	return rc;
}

static const struct sink_ops sluice_ops = {
	.begin = sluice_begin,
	.put = sluice_put,
	.zero = sluice_zero,
	.get = sluice_get,
};

/* ---- who tells it ---- */

void sluice_init(struct sluice *s, struct sink *image)
{
	*s = (struct sluice){ .sink = { .ops = &sluice_ops,
					.extent = image->extent },
			      .image = image };
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->moved, NULL);
}

void sluice_destroy(struct sluice *s)
{
	(void)pthread_cond_destroy(&s->moved);
	(void)pthread_mutex_destroy(&s->lock);
}

bool sluice_shut(struct sluice *s)
{
	bool puts;

	(void)pthread_mutex_lock(&s->lock);
	if (s->state != SLUICE_OVER)
		s->state = SLUICE_SHUT;
	while (s->inside)
		(void)pthread_cond_wait(&s->moved, &s->lock);
	puts = s->puts;
	s->puts = false;
	(void)pthread_mutex_unlock(&s->lock);
	return puts;
}

bool sluice_waited(struct sluice *s)
{
	bool waited;

	(void)pthread_mutex_lock(&s->lock);
	waited = s->waiting > 0;
	(void)pthread_mutex_unlock(&s->lock);
	return waited;
}

void sluice_barrier(struct sluice *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->puts = false;
	(void)pthread_mutex_unlock(&s->lock);
}

static void turn(struct sluice *s, enum sluice_state state, struct delta *d)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->state != SLUICE_OVER)
		s->state = state;
	s->delta = d;
	(void)pthread_cond_broadcast(&s->moved);
	(void)pthread_mutex_unlock(&s->lock);
}

void sluice_open(struct sluice *s, struct delta *d)
{
	/* A delta is sifted when it is poured. */
	atomic_store(&s->sink.unsifted, true);
	turn(s, SLUICE_DELTA, d);
}

void sluice_over(struct sluice *s)
{
	turn(s, SLUICE_OVER, NULL);
}
