/* pace.c - a moment that is put off. */
#include "libmr/engine/pace.h"

void pace_begin(struct pace *p, double rate, double spent, double now)
{
	*p = (struct pace){ .rate = rate, .paid = now };
	if (rate > 0)
		p->paid += spent / rate;
}

void pace_spend(struct pace *p, uint64_t bytes, double now)
{
	if (p->rate <= 0)
		return;
	if (p->paid < now - PACE_BURST)
		p->paid = now - PACE_BURST;
	p->paid += (double)bytes / p->rate;
}

double pace_wait(const struct pace *p, double now)
{
	return p->rate > 0 && p->paid > now ? p->paid - now : 0;
}
