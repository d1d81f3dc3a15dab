/* All that a COLO primary says on its main connection, taken into a delta. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmr/checkpoint/sluice.h"
#include "libmr/wire/colo.h"
#include "tests/fuzz/fuzz.h"

/* Of memory, what an input may claim: maps are made of it. */
#define MOST (UINT64_C(64) << 20)

static int look(struct sink *k, const struct memory *m, struct mr_error *err)
{
	uint64_t all = 0;

	(void)k;
	(void)err;
	for (size_t i = 0; i < m->n; i++)
		all += m->blocks[i].length;
	return all > MOST ? -1 : 0;
}

static int get(void *arg, size_t block, uint64_t offset, unsigned char *page,
	       struct mr_error *err)
{
	return sink_nothing.ops->get(arg, NULL, block, offset, page, err);
}

/* A checkpoint: its device state, and pages that are those of the memory. */
static int take(struct intake *in, struct sluice *s, struct delta *d)
{
	struct mr_error err = MR_ERROR_INIT;
	struct tail t = { 0 };
	int rc = colo_wait(in, &err);

	if (rc <= 0)
		return rc;
	sluice_open(s, d);
	rc = colo_take(in, &t, &err);
	(void)sluice_shut(s);
	must(rc || (t.len >= 2 && !t.bytes[t.len - 1]));
	must(delta_pages(d) * in->memory.page <= MOST);
	must(!rc || err.code != MR_OK);
	tail_release(&t);
	delta_clear(d);
	return rc ? -1 : 1;
}

static void go_on(struct intake *in, struct sluice *s)
{
	struct mr_error err = MR_ERROR_INIT;
	struct slots slots = SLOTS_NONE;
	struct delta d = { .m = NULL };

	(void)sluice_shut(s);
	if (!slots_init(&slots, NULL, in->memory.page, 1 << 16, &err) &&
	    !delta_init(&d, &in->memory, &slots, &err))
		while (take(in, s, &d) > 0)
			;
	delta_release(&d);
	slots_release(&slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sink_ops ops = *sink_nothing.ops;
	struct sink to = { .ops = &ops, .extent = 1 << 20 };
	struct intake in = { .wire = WIRE_NONE };
	struct mr_error err = MR_ERROR_INIT;
	int fd = memfd_create("primary", MFD_CLOEXEC);
	struct sluice s;

	ops.begin = look;
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size &&
	     !lseek(fd, 0, SEEK_SET));
	sluice_init(&s, &to);
	s.get = get;
	s.arg = &sink_nothing;
	must(!wire_begin(&in.wire, 60, NULL, &err));
	must(!intake_init(&in, fd, &s.sink, &err));
	in.colo = in.deaf = true;
	if (!intake_first(&in, &err))
		go_on(&in, &s);
	sluice_over(&s);
	intake_release(&in);
	wire_release(&in.wire);
	sluice_destroy(&s);
	return 0;
}
