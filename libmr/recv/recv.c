/* recv.c - the verb mr_recv: listen, take in, publish, tell. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "libmr/mr.h"
#include "formats/multifd.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/recv/state.h"
#include "libmr/wire/replay.h"

/* ---- who connects ---- */

/* Whether a number is missing among those of the channels that came. */
static bool one_missing(const struct intake *in)
{
	for (size_t i = 0; i < in->n_channels; i++)
		if (in->channels[i].init.channel >= in->n_channels)
			return true;
	return false;
}

/* Only somebody else's channels say something else; whose are whose only the
 * source knows. */
static int check_uuids(const struct intake *in, struct mr_error *err)
{
	for (size_t i = 1; i < in->n_channels; i++)
		if (memcmp(in->channels[i].init.uuid, in->channels[0].init.uuid,
			   sizeof(in->channels[i].init.uuid)) != 0)
			return error_set(
				err, MR_FORMAT, MR_NO_OFFSET,
				"channels %u and %u come from VMs with "
				"two UUIDs: somebody else has "
				"connected",
				in->channels[0].init.channel,
				in->channels[i].init.channel);
	return 0;
}

/* A source connects all of its channels before it says a word. */
static int gather(struct intake *in, void *arg, struct mr_error *err)
{
	struct recv *x = arg;
	int fd, rc;

	if (in->config.has_uuid)
		x->lobby.uuid = in->config.uuid;
	while ((rc = lobby_channel(&x->lobby,
				   one_missing(in) ||
					   (in->flushed && !in->n_channels),
				   &fd, err)) > 0) {
		if (intake_channel_add(in, fd, err) || check_uuids(in, err))
			return -1;
		if (in->n_channels == MULTIFD_CHANNELS_MAX)
			break;
	}
	lobby_close(&x->lobby);
	return rc < 0 ? -1 : 0;
}

/* ---- the image ---- */

static int open_image(struct recv *x, const char *image, struct mr_error *err)
{
	const struct mr_recv_options *o = x->options;

	x->sink = &sink_nothing;
	if (!image)
		return 0;
	if (image_writer_open(&x->w, image,
			      o->force ? GATE_ANY_FILE : GATE_IMAGE, o->direct,
			      !o->no_seal, err))
		return error_about(err, RECV_IMAGE);
	x->w.out.file.io.who = RECV_IMAGE;
	image_sink_init(&x->image, &x->w);
	x->image.later = true;
	x->image.config = &x->in.config;
	x->sink = &x->image.sink;
	if (!o->colo)
		return 0;
	if (!o->replay)
		output_sweep(image);
	sluice_init(&x->sluice, x->sink);
	x->sink = &x->sluice.sink;
	return 0;
}

/* ---- where it comes from ---- */

static int begin(struct recv *x, const char *uri, const char *image,
		 struct mr_error *err)
{
	const struct mr_recv_options *o = x->options;
	char line[160];

	if (open_image(x, image, err))
		return -1;
	if (o->replay)
		return capture_open(&x->capture, uri, err)
			       ? error_about(err, RECV_URI)
			       : 0;
	x->lobby.tell = o->tell;
	x->lobby.arg = o->tell_arg;
	if (listener_open(&x->lobby.listener, uri, err))
		return error_about(err, RECV_URI);
	/* Last, as a folder that is there already is not taken again. */
	if (o->capture && capture_create(&x->capture, o->capture, err))
		return error_about(err, RECV_CAPTURE);
	(void)snprintf(line, sizeof(line), "listening on %s",
		       x->lobby.listener.where);
	if (o->tell)
		o->tell(o->tell_arg, line);
	return 0;
}

/* If it is the capture that could not be written, that is why a read failed. */
static void blame_capture(struct recv *x, struct mr_error *err)
{
	if (!atomic_load(&x->capture.failed))
		return;
	*err = (struct mr_error)MR_ERROR_INIT;
	(void)capture_finish(&x->capture, err);
	(void)error_about(err, RECV_CAPTURE);
}

static int take(struct recv *x, struct mr_error *err)
{
	bool replay = x->options->replay;
	double since = watch_clock();
	int fd = -1;

	if (wire_begin(&x->in.wire,
		       x->options->timeout ? x->options->timeout
					   : MR_RECV_TIMEOUT,
		       &x->options->watch, err) ||
	    (!replay && lobby_main(&x->lobby, &fd, err)))
		return -1;
	if (replay)
		fd = replay_main(&x->capture, err);
	if (fd < 0)
		return -1;
	x->report->waited = watch_clock() - since;
	x->taking = true;
	if (intake_init(&x->in, fd, x->sink, err))
		return -1;
	x->in.gather = gather;
	x->in.arg = x;
	if (replay)
		replay_begin(&x->in, &x->capture);
	x->in.capture = x->options->capture ? &x->capture : NULL;
	if (x->in.capture &&
	    capture_link(&x->capture, &x->in.main, 0, NULL, 0, err))
		return error_about(err, RECV_CAPTURE);
	x->in.colo = x->options->colo;
	if (x->in.colo) {
		x->in.round_over = recv_barrier;
		x->in.round_arg = &x->sluice;
	}
	if (!(x->in.colo ? intake_first(&x->in, err) : intake_run(&x->in, err)))
		return x->in.colo && replay ? recv_replayed(x, err) : 0;
	blame_capture(x, err);
	return -1;
}

static int hand_over(struct recv *x, struct mr_error *err)
{
	int fd = fcntl(x->w.out.file.fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "no descriptor");
	*x->options->unnamed = fd;
	return 0;
}

/* A capture does not say when it was made. */
static uint64_t moment(const struct recv *x)
{
	return x->options->replay ? 0 : (uint64_t)time(NULL);
}

/* All of a stream is there, and a primary's goes on. */
static void label(struct recv *x)
{
	image_writer_label(&x->w, moment(x), recv_uuid(&x->in), "");
	x->image.device = tail_device(&x->in.tail);
}

static int publish(struct recv *x, struct mr_error *err)
{
	if (x->options->capture && capture_finish(&x->capture, err))
		return error_about(err, RECV_CAPTURE);
	if (!x->sink->ops->end)
		return 0;
	label(x);
	if (x->sink->ops->end(x->sink, err))
		return -1;
	x->report->size = x->w.size;
	if (!(x->options->unnamed ? hand_over(x, err)
				  : output_publish(&x->w.out, err)))
		return 0;
	/* All was taken: nobody was refused beforehand. */
	if (err && err->code == MR_REFUSED)
		err->code = MR_UNSUPPORTED;
	return error_about(err, RECV_IMAGE);
}

/* A primary's: what is kept of it is all there is, and no more is captured. */
static int go_on(struct recv *x, struct mr_error *err)
{
	int rc;

	label(x);
	x->went_on = true;
	rc = recv_checkpoints(x, err);
	if (x->options->capture &&
	    capture_finish(&x->capture, rc ? NULL : err) && !rc)
		return error_about(err, RECV_CAPTURE);
	if (rc && err && err->who != RECV_IMAGE)
		blame_capture(x, err);
	return rc;
}

/* ---- what the source is told ---- */

/* The guest is given up only when its image is there. */
static int tell(struct recv *x, bool well, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	if (!x->taking || !x->in.return_path)
		return 0;
	x->report->told = !intake_answer(&x->in, well, &why) && !x->in.deaf;
	if (x->report->told || x->in.deaf || !well)
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
	struct recv x = { .path = image,
			  .options = options,
			  .report = r,
			  .lobby = LOBBY_NONE,
			  .w = IMAGE_WRITER_NONE,
			  .capture = CAPTURE_NONE,
			  .in = { .wire = WIRE_NONE } };
	double since = watch_clock();
	int rc;

	*r = (struct mr_recv_report){ .channels = 0 };
	x.lobby.wire = &x.in.wire;
	rc = begin(&x, uri, image, err);
	if (!rc && take(&x, err))
		rc = error_about(err, RECV_URI);
	/* The channels of a primary go on. */
	if (x.taking && (rc || !options->colo || options->replay)) {
		recv_report(&x);
		recv_tally(&x);
	}
	if (!rc && options->colo && !options->replay)
		rc = go_on(&x, err);
	else if (!rc)
		rc = publish(&x, err);
	if (!x.went_on && tell(&x, !rc, err))
		rc = error_about(err, RECV_URI);
	if (x.taking)
		intake_release(&x.in);
	if (x.sluice.image)
		sluice_destroy(&x.sluice);
	wire_release(&x.in.wire);
	lobby_close(&x.lobby);
	capture_close(&x.capture);
	image_writer_release(&x.w);
	r->seconds = watch_clock() - since - r->waited;
	return rc;
}
