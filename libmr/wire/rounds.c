/* rounds.c - a barrier that can be given up. */
#include "libmr/wire/rounds.h"

void rounds_init(struct rounds *r)
{
	*r = (struct rounds){ .over = false };
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->moved, NULL);
}

void rounds_destroy(struct rounds *r)
{
	(void)pthread_cond_destroy(&r->moved);
	(void)pthread_mutex_destroy(&r->lock);
}

bool rounds_sync(struct rounds *r)
{
	unsigned long here;
	bool passed;

	(void)pthread_mutex_lock(&r->lock);
	here = r->passed;
	r->waiting++;
	(void)pthread_cond_broadcast(&r->moved);
	while (!r->over && r->passed == here)
		(void)pthread_cond_wait(&r->moved, &r->lock);
	passed = r->passed != here;
	(void)pthread_mutex_unlock(&r->lock);
	return passed;
}

bool rounds_flush(struct rounds *r)
{
	bool all;

	(void)pthread_mutex_lock(&r->lock);
	while (!r->over && r->waiting + r->left < r->channels)
		(void)pthread_cond_wait(&r->moved, &r->lock);
	all = r->waiting == r->channels;
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}

void rounds_go_on(struct rounds *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->waiting = 0;
	r->passed++;
	(void)pthread_cond_broadcast(&r->moved);
	(void)pthread_mutex_unlock(&r->lock);
}

void rounds_leave(struct rounds *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->left++;
	(void)pthread_cond_broadcast(&r->moved);
	(void)pthread_mutex_unlock(&r->lock);
}

void rounds_give_up(struct rounds *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->over = true;
	(void)pthread_cond_broadcast(&r->moved);
	(void)pthread_mutex_unlock(&r->lock);
}
