/* recv.c - the verb mr_recv: listen, take in, publish, tell. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/mr.h"
#include "formats/bits.h"
#include "formats/multifd.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/image/writer.h"
#include "libmr/memory/image_sink.h"
#include "libmr/wire/intake.h"
#include "libmr/wire/listen.h"

/* mr_error.who */
enum { RECV_URI = 1, RECV_IMAGE };

struct recv {
	const struct mr_recv_options *options;
	struct mr_recv_report *report;
	struct listener listener;
	struct image_writer w;
	struct image_sink sink;
	struct intake in;
	bool taking; /* in is to be released */
	/* Channels that came before the main connection. */
	int early[MULTIFD_CHANNELS_MAX];
	size_t n_early;
};

/* ---- who connects ---- */

/* Waits for the connection that the stream begins on. */
static int main_connection(struct recv *x, int *fd, struct mr_error *err)
{
	enum speaks what;

	for (;;) {
		if (listener_accept(&x->listener, &x->in.wire, true, fd, err) <
		    0)
			return -1;
		/* What was handed to us need not be a socket. */
		if (x->listener.fd < 0)
			return 0;
		if (listener_classify(*fd, &x->in.wire, &what, err)) {
			(void)close(*fd);
			return -1;
		}
		if (what == SPEAKS_STREAM)
			return 0;
		if (x->n_early == MULTIFD_CHANNELS_MAX) {
			(void)close(*fd);
			return error_set(err, MR_FORMAT, MR_NO_OFFSET,
					 "more than %d channels",
					 MULTIFD_CHANNELS_MAX);
		}
		x->early[x->n_early++] = *fd;
	}
}

/* Whether a number is missing among those of the channels that came. */
static bool one_missing(const struct intake *in)
{
	for (size_t i = 0; i < in->n_channels; i++)
		if (in->channels[i].init.channel >= in->n_channels)
			return true;
	return false;
}

static int add_channel(struct intake *in, int fd, struct mr_error *err)
{
	enum speaks what;

	if (in->n_channels == MULTIFD_CHANNELS_MAX) {
		(void)close(fd);
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "more than %d channels", MULTIFD_CHANNELS_MAX);
	}
	if (listener_classify(fd, &in->wire, &what, err)) {
		(void)close(fd);
		return -1;
	}
	if (what != SPEAKS_CHANNEL) {
		(void)close(fd);
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "a second migration has come");
	}
	return intake_channel_add(in, fd, err);
}

/* A source connects all of its channels before it says a word. */
static int gather(struct intake *in, void *arg, struct mr_error *err)
{
	struct recv *x = arg;
	int fd, rc;

	while (x->n_early)
		if (add_channel(in, x->early[--x->n_early], err))
			return -1;
	while ((rc = listener_accept(&x->listener, &in->wire, one_missing(in),
				     &fd, err)) > 0)
		if (add_channel(in, fd, err))
			return -1;
	listener_close(&x->listener);
	return rc;
}

/* ---- the image ---- */

static int begin(struct recv *x, const char *uri, const char *image,
		 struct mr_error *err)
{
	const struct mr_recv_options *o = x->options;

	if (image_writer_open(&x->w, image,
			      o->force ? GATE_ANY_FILE : GATE_IMAGE, o->direct,
			      !o->no_seal, err))
		return error_about(err, RECV_IMAGE);
	x->w.out.file.io.who = RECV_IMAGE;
	image_sink_init(&x->sink, &x->w);
	x->sink.later = true;
	if (listener_open(&x->listener, uri, err))
		return error_about(err, RECV_URI);
	if (o->listening)
		o->listening(o->listening_arg, x->listener.where);
	return 0;
}

static int take(struct recv *x, struct mr_error *err)
{
	double since = watch_clock();
	int fd;

	if (wire_begin(&x->in.wire,
		       x->options->timeout ? x->options->timeout
					   : MR_RECV_TIMEOUT,
		       &x->options->watch, err) ||
	    main_connection(x, &fd, err))
		return -1;
	x->report->waited = watch_clock() - since;
	x->taking = true;
	if (intake_init(&x->in, fd, &x->sink.sink, err))
		return -1;
	x->in.gather = gather;
	x->in.arg = x;
	return intake_run(&x->in, err);
}

static int publish(struct recv *x, struct mr_error *err)
{
	const struct tail *t = &x->in.tail;

	x->sink.device = (struct image_device){
		.sections = t->bytes,
		.len = t->device,
		.description = t->bytes + t->description,
		.description_len = t->len - t->description,
	};
	if (x->sink.sink.ops->end(&x->sink.sink, err))
		return -1;
	x->report->size = x->w.size;
	if (output_publish(&x->w.out, err))
		return error_about(err, RECV_IMAGE);
	return 0;
}

/* ---- the report ---- */

static void report_channels(const struct intake *in, struct mr_recv_report *r)
{
	const char *method = "none";

	r->channels = (unsigned)in->n_channels;
	for (size_t i = 0; i < in->n_channels; i++) {
		r->packets += in->channels[i].packets;
		if (in->channels[i].method)
			method = multifd_flag_name(in->channels[i].method);
	}
	if (in->n_channels)
		(void)snprintf(r->method, sizeof(r->method), "%s", method);
}

static void report(struct recv *x)
{
	struct mr_recv_report *r = x->report;
	const struct intake *in = &x->in;

	(void)snprintf(r->machine, sizeof(r->machine), "%s",
		       in->config.machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       in->tail.run_state);
	r->blocks = x->w.n;
	r->ram = x->w.ram;
	for (size_t i = 0; i < x->w.n; i++)
		r->data += bits_count(x->w.blocks[i].bits, 0,
				      x->w.blocks[i].place.num_pages) *
			   IMAGE_PAGE;
	report_channels(in, r);
	r->received = atomic_load(&in->wire.bytes);
	r->pages = in->tally.scanned;
	r->zero = in->tally.zero;
	r->written = in->tally.written;
	r->barriers = in->barriers;
	r->device = in->tail.device;
	r->return_path = in->return_path;
	r->direct = x->w.out.file.direct_fd >= 0;
	r->sealed = x->w.sealed;
}

/* The guest is given up only when its image is there. */
static int tell(struct recv *x, bool well, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	if (!x->taking || !x->in.return_path)
		return 0;
	x->report->told = !intake_answer(&x->in, well, &why);
	if (x->report->told || !well)
		return 0;
	return error_set(err, why.code, MR_NO_OFFSET,
			 "the image is complete, but the source could not be "
			 "told (%.100s): its guest may go on",
			 why.msg);
}

int mr_recv(const char *uri, const char *image,
	    const struct mr_recv_options *options, struct mr_recv_report *r,
	    struct mr_error *err)
{
	struct recv x = { .options = options,
			  .report = r,
			  .listener = LISTENER_NONE,
			  .w = IMAGE_WRITER_NONE,
			  .in = { .wire = WIRE_NONE } };
	double since = watch_clock();
	int rc;

	*r = (struct mr_recv_report){ .channels = 0 };
	rc = begin(&x, uri, image, err);
	if (!rc && take(&x, err))
		rc = error_about(err, RECV_URI);
	if (x.taking)
		report(&x);
	if (!rc)
		rc = publish(&x, err);
	if (tell(&x, !rc, err))
		rc = error_about(err, RECV_URI);
	if (x.taking)
		intake_release(&x.in);
	wire_release(&x.in.wire);
	while (x.n_early)
		(void)close(x.early[--x.n_early]);
	listener_close(&x.listener);
	image_writer_release(&x.w);
	r->seconds = watch_clock() - since - r->waited;
	return rc;
}
