/*
 * teller.c - says things while a verb works, without ever holding it up.
 *
 * A guest may stand still meanwhile, and whoever reads what we say may not
 * read: a full pipe, a terminal after Ctrl-S. So a thread says it. Of progress
 * it says the latest, of notes those that there is room for.
 */
#include "tools/common/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NOTES = 64 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	bool started, busy;
	char *notes[NOTES]; /* n of them, from `first` on, round and round */
	size_t first, n;
	bool has_progress;
	uint64_t done, total;
} teller = { .lock = PTHREAD_MUTEX_INITIALIZER,
	     .work = PTHREAD_COND_INITIALIZER,
	     .idle = PTHREAD_COND_INITIALIZER };

/* The lock is held. */
static bool is_due(void)
{
	return teller.n || teller.has_progress;
}

/* One thing, whatever time it takes; comes and goes with the lock held. */
static void tell_one(void)
{
	uint64_t done = teller.done, total = teller.total;
	char *note = NULL;

	if (teller.n) {
		note = teller.notes[teller.first];
		teller.first = (teller.first + 1) % NOTES;
		teller.n--;
	} else {
		teller.has_progress = false;
	}
	(void)pthread_mutex_unlock(&teller.lock);
	if (note)
		cli_progress_note(note);
	else
		cli_progress_show(done, total);
	free(note);
	(void)pthread_mutex_lock(&teller.lock);
}

__attribute__((noreturn)) static void *tell(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&teller.lock);
	for (;;) {
		while (is_due())
			tell_one();
		teller.busy = false;
		(void)pthread_cond_broadcast(&teller.idle);
		(void)pthread_cond_wait(&teller.work, &teller.lock);
	}
}

/* Wakes the thread, or makes it: without signals, which are for the verb. The
 * lock is held. */
static void wake(void)
{
	sigset_t all, old;
	pthread_t thread;

	if (teller.started) {
		teller.busy = true;
		(void)pthread_cond_signal(&teller.work);
		return;
	}
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, NULL, tell, NULL)) {
		(void)pthread_detach(thread);
		teller.started = teller.busy = true;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void cli_tell_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	if (!cli_progress_wanted())
		return;
	(void)pthread_mutex_lock(&teller.lock);
	teller.done = done;
	teller.total = total;
	teller.has_progress = true;
	wake();
	(void)pthread_mutex_unlock(&teller.lock);
}

void cli_tell_note(void *arg, const char *line)
{
	char *copy = cli.verbose ? strdup(line) : NULL;

	(void)arg;
	if (!copy)
		return;
	(void)pthread_mutex_lock(&teller.lock);
	if (teller.n < NOTES) {
		teller.notes[(teller.first + teller.n++) % NOTES] = copy;
		copy = NULL;
		wake();
	}
	(void)pthread_mutex_unlock(&teller.lock);
	free(copy);
}

/* A tenth of a second from now. */
static struct timespec tick(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += 100000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

void cli_tell_end(void)
{
	unsigned patience = 10; /* ticks, after a signal */

	(void)pthread_mutex_lock(&teller.lock);
	while (teller.busy && patience) {
		struct timespec at = tick();

		(void)pthread_cond_timedwait(&teller.idle, &teller.lock, &at);
		if (atomic_load(&cli_cancel))
			patience--;
	}
	if (!teller.busy)
		cli_progress_clear();
	(void)pthread_mutex_unlock(&teller.lock);
}
