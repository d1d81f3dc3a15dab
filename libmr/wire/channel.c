/* channel.c - one connection of multifd: packets to pages. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/wire/intake.h"
#include "libmr/wire/decompress.h"

/* One thread's. */
struct work {
	struct intake_channel *c;
	struct multifd_packet *p;
	struct decompressor *decompressor;
	uint8_t *head, *packed;
	size_t head_size;
	size_t block; /* that of the packet */
};

int intake_channel_add(struct intake *in, int fd, struct mr_error *err)
{
	uint8_t buf[MULTIFD_INIT_SIZE];
	struct intake_channel *c;
	struct fault f;

	if (grow(&in->channels, &in->room, in->n_channels, sizeof(*c))) {
		(void)close(fd);
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	}
	c = &in->channels[in->n_channels++];
	*c = (struct intake_channel){ .in = in };
	link_init(&c->link, fd, &in->wire);
	if (io_read_full(&c->link.io, buf, sizeof(buf), 0, err)) {
		link_explain(&in->wire, err);
		return -1;
	}
	if (multifd_init_decode(buf, sizeof(buf), &c->init, &f) < 0)
		return error_fault(err, &f, 0);
	for (size_t i = 0; i + 1 < in->n_channels; i++)
		if (in->channels[i].init.channel == c->init.channel)
			return error_set(err, MR_FORMAT, MR_NO_OFFSET,
					 "two connections are channel %u",
					 c->init.channel);
	return in->capture ? capture_link(in->capture, &c->link,
					  1U + c->init.channel, buf,
					  sizeof(buf), err)
			   : 0;
}

static int read_more(struct work *w, void *buf, size_t n, struct mr_error *err)
{
	struct link *l = &w->c->link;

	return io_read_full(&l->io, buf, n, l->at, err);
}

static int is_device_state(struct work *w, struct mr_error *err)
{
	uint8_t buf[MULTIFD_DEVICE_SIZE];
	struct multifd_device d;
	struct fault f;

	memcpy(buf, w->head, MULTIFD_FLAGS_END);
	if (read_more(w, buf + MULTIFD_FLAGS_END,
		      sizeof(buf) - MULTIFD_FLAGS_END, err))
		return -1;
	if (multifd_device_decode(buf, sizeof(buf), &d, &f) < 0)
		return error_fault(err, &f, w->c->link.at - sizeof(buf));
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "it carries state of device %.64s, which no image can "
			 "hold",
			 d.idstr);
}

/* The next header: 1; 0: the source has closed the channel; or -1. */
static int read_head(struct work *w, struct mr_error *err)
{
	uint64_t at = w->c->link.at;
	struct fault f;
	ssize_t n = io_read_upto(&w->c->link.io, w->head, MULTIFD_FLAGS_END, at,
				 err);

	if (n <= 0)
		return (int)n;
	if (n < MULTIFD_FLAGS_END)
		return error_set(err, MR_SHORT, at + (uint64_t)n,
				 "the connection ends inside a packet");
	if (multifd_is_device(w->head))
		return is_device_state(w, err);
	if (read_more(w, w->head + MULTIFD_FLAGS_END,
		      w->head_size - MULTIFD_FLAGS_END, err))
		return -1;
	if (multifd_packet_decode(w->head, w->head_size,
				  (uint32_t)w->c->in->memory.page, w->p,
				  &f) < 0)
		return error_fault(err, &f, at);
	return 1;
}

static int check_pages(struct work *w, struct mr_error *err)
{
	const struct memory *m = &w->c->in->memory;
	uint64_t at = w->c->link.at - w->head_size;
	const struct multifd_packet *p = w->p;

	if (!p->normal && !p->zero)
		return 0;
	w->block = intake_find(w->c->in, p->block, at, err);
	if (w->block == NAMES_NONE)
		return -1;
	for (uint32_t i = 0; i < p->normal + p->zero; i++)
		if (p->offset[i] >= m->blocks[w->block].length)
			return error_set(err, MR_FORMAT, at,
					 "a page at %" PRIu64
					 " of RAM block \"%.64s\", which has "
					 "%" PRIu64 " bytes",
					 p->offset[i], p->block,
					 m->blocks[w->block].length);
	return 0;
}

static int read_data(struct work *w, struct mr_error *err)
{
	uint32_t method = w->p->flags & MULTIFD_METHODS;
	uint64_t at = w->c->link.at;
	unsigned char *pages = pour_buffer(&w->c->pour);
	struct mr_error why = MR_ERROR_INIT;

	if (!w->p->normal)
		return 0;
	if (w->c->has_method && method != w->c->method)
		return error_set(err, MR_FORMAT, at,
				 "%s data on a channel that had %s",
				 multifd_flag_name(method),
				 multifd_flag_name(w->c->method));
	w->c->has_method = true;
	w->c->method = method;
	if (!method)
		return read_more(w, pages, w->p->size, err);
	if (read_more(w, w->packed, w->p->size, err))
		return -1;
	if (!decompress(w->decompressor, w->p, w->packed, pages, &why))
		return 0;
	return error_set(err, why.code,
			 why.offset == MR_NO_OFFSET ? at : at + why.offset,
			 "%s", why.msg);
}

/* Pages whose places follow each other go together. */
static int put_pages(struct work *w, struct mr_error *err)
{
	const struct multifd_packet *p = w->p;
	const uint64_t page = w->c->in->memory.page;
	struct pour *to = &w->c->pour;
	unsigned char *pages = pour_buffer(to);
	uint32_t i, n;

	for (i = 0; i < p->normal; i += n) {
		for (n = 1; i + n < p->normal &&
			    p->offset[i + n] == p->offset[i] + n * page;
		     n++)
			;
		if (pour_pages(to, w->block, p->offset[i], pages + i * page, n,
			       err))
			return -1;
	}
	for (i = 0; i < p->zero; i++)
		if (pour_zero(to, w->block, p->offset[p->normal + i], err))
			return -1;
	return p->flags & MULTIFD_SYNC ? pour_end(to, err) : pour_next(to, err);
}

static void count(struct intake_channel *c, const struct multifd_packet *p)
{
	bool sync = p->flags & MULTIFD_SYNC, pages = p->normal || p->zero;

	c->packets++;
	if (p->number >= c->last)
		c->last = p->number + 1;
	if (sync && pages)
		c->owed++;
	else if (!sync && !pages && c->owed)
		c->owed--;
	c->beyond |= sync || pages;
}

/* As read_head. */
static int packet(struct work *w, struct mr_error *err)
{
	int rc = read_head(w, err);

	if (rc <= 0)
		return rc;
	if (check_pages(w, err) || read_data(w, err) || put_pages(w, err))
		return -1;
	count(w->c, w->p);
	if (!(w->p->flags & MULTIFD_SYNC))
		return 1;
	if (!rounds_sync(&w->c->in->rounds))
		return 0;
	w->c->beyond = false;
	return 1;
}

static int make_work(struct work *w, struct mr_error *err)
{
	struct intake *in = w->c->in;
	uint32_t page = (uint32_t)in->memory.page;

	w->head_size = multifd_packet_size(page);
	w->p = calloc(1, sizeof(*w->p));
	w->head = malloc(w->head_size);
	w->packed = malloc(multifd_data_max(page));
	w->decompressor = decompressor_new(page, err);
	if (!w->p || !w->head || !w->packed)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return w->decompressor ? 0 : -1;
}

/* All who wait find out; the first failure is the one that is told. */
static void fail(struct intake_channel *c, const struct mr_error *err)
{
	struct intake *in = c->in;
	struct mr_error why = *err;

	link_explain(&in->wire, &why);
	(void)pthread_mutex_lock(&in->lock);
	if (!wire_end(&in->wire)) {
		in->why = why;
		(void)snprintf(in->why.msg, sizeof(in->why.msg),
			       "channel %u, packet %" PRIu64 ": %.180s",
			       c->init.channel, c->packets, why.msg);
	}
	(void)pthread_mutex_unlock(&in->lock);
	rounds_give_up(&in->rounds);
}

static void *channel_thread(void *arg)
{
	struct mr_error err = MR_ERROR_INIT;
	struct work w = { .c = arg };
	int rc = make_work(&w, &err);

	while (!rc && (rc = packet(&w, &err)) > 0)
		rc = 0;
	if (!rc)
		rc = pour_end(&w.c->pour, &err);
	if (rc < 0)
		fail(w.c, &err);
	rounds_leave(&w.c->in->rounds);
	decompressor_free(w.decompressor);
	free(w.p);
	free(w.head);
	free(w.packed);
	return NULL;
}

int intake_start_channels(struct intake *in, struct mr_error *err)
{
	for (size_t i = 0; i < in->n_channels; i++)
		if (in->channels[i].init.channel >= in->n_channels)
			return error_set(err, MR_FORMAT, MR_NO_OFFSET,
					 "%zu channels have come, and one of "
					 "them is channel %u",
					 in->n_channels,
					 in->channels[i].init.channel);
	in->rounds.channels = (unsigned)in->n_channels;
	if (in->n_channels && twice_init(&in->twice, &in->memory, err))
		return -1;
	in->pour.twice = in->n_channels ? &in->twice : NULL;
	for (size_t i = 0; i < in->n_channels; i++) {
		struct intake_channel *c = &in->channels[i];
		int rc;

		if (pour_init(&c->pour, in->to, &in->memory, MULTIFD_PAGES_SIZE,
			      (unsigned)in->n_channels, err))
			return -1;
		c->pour.done = intake_poured;
		c->pour.arg = in;
		c->pour.twice = &in->twice;
		rc = pthread_create(&c->thread, NULL, channel_thread, c);
		if (rc) {
			errno = rc;
			return error_sys(err, MR_NO_OFFSET,
					 "cannot start a thread");
		}
		c->running = true;
	}
	return 0;
}

static void add_tally(struct memory_tally *to, const struct memory_tally *t)
{
	to->scanned += t->scanned;
	to->zero += t->zero;
	to->data += t->data;
	to->written += t->written;
}

/*
 * Packets are numbered over all channels; what is owed may not have come yet,
 * and need not. A channel that nobody knew of, as it connected too late or its
 * capture was lost, shows in nothing else.
 */
int intake_check_numbers(const struct intake *in, struct mr_error *err)
{
	uint64_t packets = 0, last = 0;

	for (size_t i = 0; i < in->n_channels; i++) {
		packets += in->channels[i].packets + in->channels[i].owed;
		if (in->channels[i].last > last)
			last = in->channels[i].last;
	}
	if (packets == last)
		return 0;
	return error_set(err, MR_FORMAT, MR_NO_OFFSET,
			 "%" PRIu64 " packets of %" PRIu64 " have come, over "
			 "%zu channels: is one missing?",
			 packets, last, in->n_channels);
}

int intake_join_channels(struct intake *in, struct mr_error *err)
{
	int rc = 0;

	(void)wire_end(&in->wire);
	rounds_give_up(&in->rounds);
	for (size_t i = 0; i < in->n_channels; i++) {
		struct intake_channel *c = &in->channels[i];

		if (!c->running)
			continue;
		(void)pthread_join(c->thread, NULL);
		c->running = false;
		add_tally(&in->tally, &c->pour.tally);
		if (c->beyond && !rc)
			rc = error_set(err, MR_FORMAT, c->link.at,
				       "channel %u goes on behind the last "
				       "barrier",
				       c->init.channel);
	}
	add_tally(&in->tally, &in->pour.tally);
	in->pour.tally = (struct memory_tally){ 0 };
	return rc ? rc : intake_check_numbers(in, err);
}

uint64_t intake_packets(const struct intake *in)
{
	uint64_t n = 0;

	for (size_t i = 0; i < in->n_channels; i++)
		n += in->channels[i].packets;
	return n;
}

const char *intake_method(const struct intake *in)
{
	uint32_t method = 0;

	for (size_t i = 0; i < in->n_channels; i++)
		method |= in->channels[i].method;
	return multifd_flag_name(method) ? multifd_flag_name(method) : "mixed";
}
