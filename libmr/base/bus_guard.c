/*
 * bus_guard.c - a list of mappings, and a handler that looks into it.
 *
 * The lock is never held where a mapping is looked at, so a thread that has it
 * raises no such signal, and those that somebody sends take no lock.
 */
#include "libmr/base/bus_guard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

static atomic_flag busy = ATOMIC_FLAG_INIT;
static struct bus_guard *guards;
static struct sigaction before;
/* Another handler, which took our place and was still there at the end. */
static void (*above)(int sig, siginfo_t *info, void *context);

static void lock(void)
{
	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		(void)sched_yield();
}

static void unlock(void)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
}

/* The whole mapping: of one whose pages are all gone each would cost another
 * mapping else, and there is a limit to those. */
static bool make_zeros(struct bus_guard *g, size_t at)
{
	if (atomic_load(&g->lost) != BUS_GUARD_WHOLE)
		return true; /* another thread came first */
	if (mmap(g->from, g->length, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return false;
	atomic_store(&g->lost, at);
	return true;
}

static bool mend(const void *address)
{
	uintptr_t at = (uintptr_t)address;
	bool done = false;

	lock();
	for (struct bus_guard *g = guards; g && !done; g = g->next)
		if (at - (uintptr_t)g->from < g->length)
			done = make_zeros(g, at - (uintptr_t)g->from);
	unlock();
	return done;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	const struct sigaction to = { .sa_handler = SIG_DFL };

	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler == SIG_DFL) {
		(void)sigaction(sig, &to, NULL);
		(void)raise(sig); /* comes when this one returns */
	} else if (before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	}
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if ((info->si_code != BUS_ADRERR && info->si_code != BUS_MCEERR_AR) ||
	    !mend(info->si_addr))
		pass_on(sig, info, context);
	errno = saved;
}

static void install(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus_error }, now;

	if (sigaction(SIGBUS, NULL, &now) || now.sa_sigaction == on_bus_error ||
	    (above && now.sa_sigaction == above))
		return;
	before = now;
	above = NULL;
	sa.sa_mask = before.sa_mask;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	(void)sigaction(SIGBUS, &sa, NULL);
}

/* Whoever came after us may go on to pass signals on to us. */
static void uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now))
		return;
	if (now.sa_sigaction == on_bus_error)
		(void)sigaction(SIGBUS, &before, NULL);
	else
		above = now.sa_sigaction;
}

void bus_guard_begin(struct bus_guard *g, void *from, size_t length)
{
	g->from = from;
	g->length = length;
	atomic_init(&g->lost, BUS_GUARD_WHOLE);
	lock();
	install();
	g->next = guards;
	guards = g;
	unlock();
}

void bus_guard_end(struct bus_guard *g)
{
	struct bus_guard **p = &guards;

	if (!g->from)
		return;
	lock();
	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	if (!guards)
		uninstall();
	unlock();
	g->from = NULL;
}
