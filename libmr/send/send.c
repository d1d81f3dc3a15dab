/* send.c - the verb mr_send: an image, told as a migration. */
#include <stdio.h>
#include <string.h>

#include "libmr/mr.h"
#include "formats/multifd.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/image/image.h"
#include "libmr/image/loadable.h"
#include "libmr/image/plain.h"
#include "libmr/memory/memory.h"
#include "libmr/wire/outlet.h"
#include "libmr/wire/play.h"

/* mr_error.who */
enum { SEND_IMAGE = 1, SEND_URI };

struct send {
	const struct mr_send_options *options;
	struct mr_send_report *report;
	struct mr_image *img;
	const struct mr_image_info *info;
	struct memory *m;
	struct wire wire;
	struct outlet out;
	bool outlet_there;
};

static int open_image(struct send *x, const char *image, struct mr_error *err)
{
	struct mr_send_report *r = x->report;

	x->img = image_open_loadable(image, NULL, x->options->direct, false,
				     &x->options->watch, &r->data, err);
	if (!x->img)
		return -1;
	x->info = mr_image_info(x->img);
	(void)snprintf(r->machine, sizeof(r->machine), "%s", x->info->machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       x->info->run_state);
	r->blocks = x->info->n_blocks;
	r->ram = x->info->ram;
	if (plain_check(x->info, err))
		return -1;
	x->m = memory_of_image(x->img, true, err);
	if (x->m)
		x->m->who = SEND_IMAGE;
	return x->m ? 0 : -1;
}

static void make_form(const struct send *x, struct outlet_form *f)
{
	static const uint32_t methods[] = { 0, MULTIFD_ZLIB, MULTIFD_ZSTD };

	*f = (struct outlet_form){ .channels = x->options->channels,
				   .method = methods[x->options->compress],
				   .level = x->options->level };
	memcpy(f->uuid, x->options->uuid, sizeof(f->uuid));
	plain_config(x->info, &f->config);
}

static int connect_it(struct send *x, const char *uri, struct mr_error *err)
{
	const struct mr_send_options *o = x->options;
	struct outlet_form form;
	struct address a;

	if (address_parse(&a, uri, err) ||
	    wire_begin(&x->wire, o->timeout ? o->timeout : MR_SEND_TIMEOUT,
		       &o->watch, err))
		return -1;
	if (a.fd >= 0 && o->channels)
		return error_set(
			err, MR_USAGE, MR_NO_OFFSET,
			"fd:N is one connection: there are no channels "
			"then");
	make_form(x, &form);
	x->outlet_there = true;
	if (outlet_init(&x->out, &form, &x->wire, err))
		return -1;
	return outlet_connect(&x->out, &a, err);
}

static int send_all(struct send *x, struct mr_error *err)
{
	struct play p = { .img = x->img,
			  .m = x->m,
			  .out = &x->out,
			  .direct = x->options->direct,
			  .watch = &x->options->watch };
	int rc = play_run(&p, err);

	x->report->data = p.data;
	x->report->device = p.device;
	return rc;
}

int mr_send(const char *image, const char *uri,
	    const struct mr_send_options *options,
	    struct mr_send_report *report, struct mr_error *err)
{
	struct send x = { .options = options,
			  .report = report,
			  .wire = WIRE_NONE };
	double since = watch_clock();
	int rc;

	*report = (struct mr_send_report){ .blocks = 0 };
	rc = open_image(&x, image, err);
	if (rc)
		(void)error_about(err, SEND_IMAGE);
	else if ((rc = connect_it(&x, uri, err)) || (rc = send_all(&x, err)))
		(void)error_about(err, SEND_URI);
	if (x.outlet_there) {
		report->sent = atomic_load(&x.out.sent);
		report->packets = atomic_load(&x.out.packets);
		outlet_release(&x.out);
	}
	wire_release(&x.wire);
	memory_free(x.m);
	mr_image_free(x.img);
	report->seconds = watch_clock() - since;
	return rc;
}
