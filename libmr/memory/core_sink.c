/* core_sink.c - into a file that has each block at a place (core_sink.h). */
#include "libmr/memory/core_sink.h"

struct put {
	const struct core_sink *s;
	const struct sink_hand *h;
	uint64_t place;
	struct mr_error *err;
	int rc;
};

static struct core_sink *core_of(struct sink *k)
{
	return (struct core_sink *)(void *)k;
}

static int core_begin(struct sink *k, const struct memory *m,
		      struct mr_error *err)
{
	(void)k;
	(void)m;
	(void)err;
	return 0;
}

static void put_run(void *arg, uint64_t offset, const unsigned char *bytes,
		    size_t length)
{
	struct put *x = arg;

	if (!x->rc)
		x->rc = sink_write(x->h, x->s->file, bytes, length,
				   x->place + offset, x->err);
}

static int core_put(struct sink *k, const struct sink_hand *h, size_t block,
		    const struct memory_part *p, struct mr_error *err)
{
	struct core_sink *s = core_of(k);
	struct put x = {
		.s = s, .h = h, .place = s->places[block], .err = err
	};

	if (s->look && s->look(s->arg, block, p, err))
		return -1;
	memory_runs(p, CREW_GAP, put_run, &x);
	return x.rc;
}

/* It is a hole. */
static int core_zero(struct sink *k, const struct sink_hand *h, size_t block,
		     uint64_t offset, uint64_t length, struct mr_error *err)
{
	(void)k;
	(void)h;
	(void)block;
	(void)offset;
	(void)length;
	(void)err;
	return 0;
}

static int core_end(struct sink *k, struct mr_error *err)
{
	(void)k;
	(void)err;
	return 0;
}

static void core_abandon(struct sink *k)
{
	(void)k;
}

static const struct sink_ops core_ops = {
	.begin = core_begin,
	.put = core_put,
	.zero = core_zero,
	.end = core_end,
	.abandon = core_abandon,
};

void core_sink_init(struct core_sink *s, struct file *file,
		    const uint64_t *places)
{
	*s = (struct core_sink){ .sink = { .ops = &core_ops },
				 .file = file,
				 .places = places };
}
