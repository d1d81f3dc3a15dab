/* report.c - what mr_recv knows of a stream. */
#include <stdio.h>

#include "formats/bits.h"
#include "libmr/recv/state.h"

const uint8_t *recv_uuid(const struct intake *in)
{
	if (in->config.has_uuid)
		return in->config.uuid;
	return in->n_channels ? in->channels[0].init.uuid : NULL;
}

void recv_tally(struct recv *x)
{
	struct mr_recv_report *r = x->report;
	const struct intake *in = &x->in;

	r->packets = intake_packets(in);
	if (in->n_channels)
		(void)snprintf(r->method, sizeof(r->method), "%s",
			       intake_method(in));
	r->received = atomic_load(&in->wire.bytes);
	r->pages = in->tally.scanned;
	r->zero = in->tally.zero;
	r->written = in->tally.written;
	r->barriers = in->barriers;
}

void recv_report(struct recv *x)
{
	struct mr_recv_report *r = x->report;
	const struct intake *in = &x->in;

	(void)snprintf(r->machine, sizeof(r->machine), "%s",
		       in->config.machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       in->tail.run_state);
	r->blocks = in->memory.n;
	for (size_t i = 0; i < in->memory.n; i++)
		r->ram += in->memory.blocks[i].length;
	r->channels = (unsigned)in->n_channels;
	r->data = x->sink == &sink_nothing ? in->tally.data
					   : image_writer_data(&x->w);
	r->device = in->tail.device;
	r->return_path = in->return_path;
	r->direct = x->w.out.file.direct_fd >= 0;
	r->sealed = x->w.sealed;
}
