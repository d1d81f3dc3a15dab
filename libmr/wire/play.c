/* play.c - what a stream has besides memory, and how it all ends. */
#include "libmr/wire/play.h"

#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/image/plain.h"
#include "libmr/memory/memory.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/outlet.h"

static int send_state(struct play *p, const void *bytes, size_t len,
		      struct mr_error *err)
{
	p->device += len;
	return outlet_devices(p->out, bytes, len, err);
}

static int send_late(struct play *p, const struct plain_state *s,
		     struct mr_error *err)
{
	uint8_t head[STREAM_VMDESC_HEADER_SIZE];

	(void)stream_vmdesc_encode(head, (uint32_t)s->description_len);
	return send_state(p, s->late, s->late_len, err) ||
			       send_state(p, head, sizeof(head), err) ||
			       send_state(p, s->description, s->description_len,
					  err)
		       ? -1
		       : 0;
}

/* Pages of a pack have to be unpacked: all CPUs do that, also where all goes
 * over one connection. */
static unsigned jobs_of(const struct play *p)
{
	return p->img->packed && !p->out->form.channels ? 0
							: outlet_jobs(p->out);
}

/* If it is the other end that broke off, it may have said why. */
int play_run(struct play *p, struct mr_error *err)
{
	const struct memory_copy_options o = {
		.direct = p->direct,
		.jobs = jobs_of(p),
		.watch = p->watch,
	};
	struct memory_tally tally = { 0 };
	struct mr_error why = MR_ERROR_INIT;
	struct sink *k = &p->out->sink;
	struct plain_state s;
	int rc = plain_state_read(&s, p->img, p->m->who, &why) ||
		 (s.early_len && send_state(p, s.early, s.early_len, &why)) ||
		 memory_copy(p->m, k, &o, &tally, &why) ||
		 k->ops->end(k, &why) || send_late(p, &s, &why);

	p->data = tally.written;
	plain_state_release(&s);
	if (!rc)
		return outlet_verdict(p->out, err);
	link_explain(p->out->wire, &why);
	if (why.code != MR_SYS || why.who) {
		*err = why;
		return -1;
	}
	(void)wire_end(p->out->wire);
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "the destination has broken off (%.100s): see what it "
			 "said itself",
			 why.msg);
}
