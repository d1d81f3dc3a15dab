/* outlet.c - memory and device state to a QEMU that waits for a migration. */
#include "libmr/wire/outlet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/ram.h"
#include "formats/return_path.h"
#include "libmr/base/error.h"
#include "libmr/wire/compress.h"

/* Any id but 0 (stream.md). */
#define RAM_SECTION 1u
#define PING 1u
/* Pieces that are sent at a time: IOV_MAX. */
#define PIECES 1024u
/* Words, as long as they can be; most are much shorter. */
#define WORDS 16u
/* What a destination may say before its verdict: it was asked for one pong, and
 * may acknowledge the switchover. */
#define MESSAGES 64

static struct outlet *outlet_of(struct sink *k)
{
	return (struct outlet *)(void *)k;
}

static int send_main(struct outlet *o, const void *buf, size_t n,
		     struct mr_error *err)
{
	atomic_fetch_add(&o->sent, n);
	return link_send(&o->main, buf, n, err);
}

static int send_element(struct outlet *o, enum stream_type type,
			struct mr_error *err)
{
	const struct stream_element e = { .type = type,
					  .section_id = RAM_SECTION,
					  .idstr = RAM_IDSTR,
					  .version_id = RAM_VERSION };
	uint8_t buf[STREAM_ELEMENT_MAX];

	return send_main(o, buf, stream_element_encode(buf, &e), err);
}

static int send_item(struct outlet *o, enum ram_flag kind, uint64_t offset,
		     struct mr_error *err)
{
	const struct ram_item item = { .kind = kind, .offset = offset };
	uint8_t buf[RAM_ITEM_MAX];

	return send_main(o, buf, ram_item_encode(buf, &item), err);
}

static const struct sink_ops outlet_ops;

/* ---- connecting ---- */

int outlet_init(struct outlet *o, const struct outlet_form *form,
		struct wire *w, struct mr_error *err)
{
	unsigned int version;

	o->sink = (struct sink){ .ops = &outlet_ops, .extent = 1 << 20 };
	o->form = *form;
	o->wire = w;
	o->main.fd = -1;
	o->last_block = (size_t)-1;
	/* Machine types up to 8.0 (multifd.md). One without a version is its
	 * QEMU's newest. */
	version = stream_machine_version(form->config.machine);
	o->sections = version && version <= STREAM_MACHINE(8, 0);
	(void)pthread_mutex_init(&o->lock, NULL);
	o->channels = calloc(form->channels + 1, sizeof(*o->channels));
	if (!o->channels)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (unsigned i = 0; i < form->channels; i++)
		o->channels[i].link.fd = -1;
	for (unsigned i = 0; form->method && i < form->channels; i++) {
		struct outlet_channel *c = &o->channels[i];

		c->compressor = compressor_new(form->method, form->level, err);
		if (!c->compressor)
			return -1;
		c->packed = malloc(multifd_data_max(4096));
		if (!c->packed)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
	}
	return 0;
}

void outlet_release(struct outlet *o)
{
	for (unsigned i = 0; o->channels && i < o->form.channels; i++) {
		link_close(&o->channels[i].link);
		compressor_free(o->channels[i].compressor);
		free(o->channels[i].packed);
	}
	free(o->channels);
	link_close(&o->main);
	(void)pthread_mutex_destroy(&o->lock);
}

/* A QEMU looks at the first bytes of every connection, and does nothing else
 * until they have come. */
static int connect_channel(struct outlet *o, const struct address *a,
			   unsigned i, struct mr_error *err)
{
	struct multifd_init init = { .channel = (uint8_t)i };
	uint8_t buf[MULTIFD_INIT_SIZE];
	int fd;

	if (address_dial(a, o->wire, &fd, err))
		return -1;
	link_init(&o->channels[i].link, fd, o->wire);
	memcpy(init.uuid, o->form.uuid, sizeof(init.uuid));
	return link_send(&o->channels[i].link, buf,
			 multifd_init_encode(buf, &init), err);
}

int outlet_connect(struct outlet *o, const struct address *a,
		   struct mr_error *err)
{
	static const struct stream_element open = {
		.type = STREAM_COMMAND, .command = STREAM_CMD_OPEN_RETURN_PATH
	};
	static const struct stream_element ping = { .type = STREAM_COMMAND,
						    .command = STREAM_CMD_PING,
						    .length = 4 };
	uint8_t buf[STREAM_HEADER_SIZE + STREAM_CONFIG_MAX +
		    2 * STREAM_ELEMENT_MAX + 4];
	size_t n = stream_header_encode(buf);
	int fd;

	if (address_dial(a, o->wire, &fd, err))
		return -1;
	link_init(&o->main, fd, o->wire);
	if (send_main(o, buf, n, err))
		return -1;
	for (unsigned i = 0; i < o->form.channels; i++)
		if (connect_channel(o, a, i, err))
			return -1;
	n = stream_config_encode(buf, &o->form.config);
	n += stream_element_encode(buf + n, &open);
	n += stream_element_encode(buf + n, &ping);
	put_be32(buf + n, PING);
	return send_main(o, buf, n + 4, err);
}

/* ---- memory ---- */

/* All channels are told before main is. */
static int barrier(struct outlet *o, struct mr_error *err)
{
	for (unsigned i = 0; i < o->form.channels; i++) {
		struct outlet_channel *c = &o->channels[i];
		uint8_t head[MULTIFD_HEADER_SIZE + MULTIFD_PAGES_MAX * 8];
		size_t n;

		c->packet.flags = MULTIFD_SYNC;
		c->packet.normal = c->packet.zero = c->packet.size = 0;
		c->packet.block[0] = '\0';
		c->packet.number = atomic_fetch_add(&o->packets, 1);
		n = multifd_packet_encode(head, (uint32_t)o->m->page,
					  &c->packet);
		atomic_fetch_add(&o->sent, n);
		if (link_send(&c->link, head, n, err))
			return -1;
	}
	return o->form.channels && !o->sections
		       ? send_item(o, RAM_FLUSH, 0, err)
		       : 0;
}

static int end_section(struct outlet *o, struct mr_error *err)
{
	uint8_t buf[STREAM_FOOTER_SIZE];

	if (barrier(o, err) || send_item(o, RAM_EOS, 0, err))
		return -1;
	return send_main(o, buf, stream_footer_encode(buf, RAM_SECTION), err);
}

static int outlet_begin(struct sink *k, const struct memory *m,
			struct mr_error *err)
{
	static const struct ram_list_form form = { .addr = false };
	struct outlet *o = outlet_of(k);
	uint64_t total = 0;

	o->m = m;
	for (size_t i = 0; i < m->n; i++)
		total += m->blocks[i].length;
	if (send_element(o, STREAM_START, err) ||
	    send_item(o, RAM_MEM_SIZE, total, err))
		return -1;
	for (size_t i = 0; i < m->n; i++) {
		struct ram_block b = { .used_length = m->blocks[i].length };
		uint8_t buf[RAM_BLOCK_MAX];

		memcpy(b.name, m->blocks[i].name,
		       strlen(m->blocks[i].name) + 1);
		if (send_main(o, buf, ram_block_encode(buf, &form, &b), err))
			return -1;
	}
	return end_section(o, err) || send_element(o, STREAM_PART, err) ? -1
									: 0;
}

/* A word about a page, of the block that the last one was about or another;
 * with main's lock. Returns its length. */
static size_t make_word(struct outlet *o, enum ram_flag kind, size_t block,
			uint64_t offset, uint8_t buf[RAM_ITEM_MAX])
{
	struct ram_item item = { .kind = kind,
				 .offset = offset,
				 .cont = o->last_block == block };
	const char *name = o->m->blocks[block].name;

	if (!item.cont)
		memcpy(item.block, name, strlen(name) + 1);
	o->last_block = block;
	return ram_item_encode(buf, &item);
}

/* The pages of a part that have a bit, as words of main; with its lock. */
static int put_words(struct outlet *o, size_t block,
		     const struct memory_part *p, struct mr_error *err)
{
	uint8_t words[PIECES / 2][RAM_ITEM_MAX];
	struct iovec pieces[PIECES];
	size_t n = 0;
	int rc = 0;

	for (uint64_t i = bits_next_set(p->bits, 0, p->pages);
	     !rc && i < p->pages; i = bits_next_set(p->bits, i + 1, p->pages)) {
		uint8_t *word = words[n / 2];

		pieces[n++] =
			(struct iovec){ word, make_word(o, RAM_PAGE, block,
							p->offset + i * p->unit,
							word) };
		pieces[n++] = (struct iovec){ p->buf + i * p->unit, p->unit };
		atomic_fetch_add(&o->sent, p->unit + pieces[n - 2].iov_len);
		if (n == PIECES) {
			rc = link_send_pieces(&o->main, pieces, n, err);
			n = 0;
		}
	}
	return rc ? rc : link_send_pieces(&o->main, pieces, n, err);
}

/* c->packet is full, or the part has no more pages. pieces are its pages; the
 * first one is left for the header. */
static int send_packet(struct outlet *o, struct outlet_channel *c,
		       struct iovec *pieces, size_t n, struct mr_error *err)
{
	uint8_t head[MULTIFD_HEADER_SIZE + MULTIFD_PAGES_MAX * 8];
	struct multifd_packet *p = &c->packet;

	if (!p->normal)
		return 0;
	p->flags = o->form.method;
	p->size = p->normal * (uint32_t)o->m->page;
	if (c->compressor) {
		if (compress_pages(c->compressor, pieces + 1, n - 1, c->packed,
				   multifd_data_max((uint32_t)o->m->page),
				   &p->size, err))
			return -1;
		pieces[1] = (struct iovec){ c->packed, p->size };
		n = 2;
	}
	p->number = atomic_fetch_add(&o->packets, 1);
	pieces[0] = (struct iovec){
		head, multifd_packet_encode(head, (uint32_t)o->m->page, p)
	};
	atomic_fetch_add(&o->sent, pieces[0].iov_len + p->size);
	p->normal = 0;
	return link_send_pieces(&c->link, pieces, n, err);
}

static int put_packets(struct outlet *o, struct outlet_channel *c, size_t block,
		       const struct memory_part *p, struct mr_error *err)
{
	const size_t most = MULTIFD_PAGES_SIZE / p->unit;
	const char *name = o->m->blocks[block].name;
	struct iovec pieces[PIECES];
	uint64_t q;
	size_t n = 1;

	memcpy(c->packet.block, name, strlen(name) + 1);
	c->packet.normal = 0;
	for (uint64_t i = bits_next_set(p->bits, 0, p->pages); i < p->pages;
	     i = bits_next_set(p->bits, q, p->pages)) {
		q = bits_next_clear(p->bits, i, p->pages);
		if (q - i > most - c->packet.normal)
			q = i + most - c->packet.normal;
		for (uint64_t k = i; k < q; k++)
			c->packet.offset[c->packet.normal++] =
				p->offset + k * p->unit;
		pieces[n++] = (struct iovec){ p->buf + i * p->unit,
					      (q - i) * p->unit };
		if (c->packet.normal == most || n == PIECES) {
			if (send_packet(o, c, pieces, n, err))
				return -1;
			n = 1;
		}
	}
	return send_packet(o, c, pieces, n, err);
}

/* Zeros, as words of main; with its lock. */
static int put_zeros(struct outlet *o, size_t block, uint64_t offset,
		     uint64_t length, struct mr_error *err)
{
	uint8_t words[WORDS * RAM_ITEM_MAX];
	size_t n = 0;

	if (!o->form.old && o->m->blocks[block].length > SINK_SMALL)
		return 0;
	for (uint64_t at = 0; at < length; at += o->m->page) {
		n += make_word(o, RAM_ZERO, block, offset + at, words + n);
		if (n <= sizeof(words) - RAM_ITEM_MAX)
			continue;
		if (send_main(o, words, n, err))
			return -1;
		n = 0;
	}
	return n ? send_main(o, words, n, err) : 0;
}

static int outlet_zero(struct sink *k, const struct sink_hand *h, size_t block,
		       uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct outlet *o = outlet_of(k);
	int rc;

	(void)h;
	(void)pthread_mutex_lock(&o->lock);
	rc = put_zeros(o, block, offset, length, err);
	(void)pthread_mutex_unlock(&o->lock);
	return rc;
}

/* What goes over main: the pages of a part without a bit, and if there is no
 * channel those that have one. */
static int put_main(struct outlet *o, size_t block, const struct memory_part *p,
		    struct mr_error *err)
{
	uint64_t q;

	for (uint64_t i = bits_next_clear(p->bits, 0, p->pages); i < p->pages;
	     i = bits_next_clear(p->bits, q, p->pages)) {
		q = bits_next_set(p->bits, i, p->pages);
		if (put_zeros(o, block, p->offset + i * p->unit,
			      (q - i) * p->unit, err))
			return -1;
	}
	return o->form.channels ? 0 : put_words(o, block, p, err);
}

static int outlet_put(struct sink *k, const struct sink_hand *h, size_t block,
		      const struct memory_part *p, struct mr_error *err)
{
	struct outlet *o = outlet_of(k);
	int rc;

	h->tally->written += bits_count(p->bits, 0, p->pages) * p->unit;
	(void)pthread_mutex_lock(&o->lock);
	rc = put_main(o, block, p, err);
	(void)pthread_mutex_unlock(&o->lock);
	if (rc || !o->form.channels)
		return rc;
	return put_packets(o, &o->channels[h->w->index], block, p, err);
}

static int outlet_end(struct sink *k, struct mr_error *err)
{
	struct outlet *o = outlet_of(k);

	return end_section(o, err) || send_element(o, STREAM_END, err) ||
			       end_section(o, err)
		       ? -1
		       : 0;
}

static const struct sink_ops outlet_ops = {
	.begin = outlet_begin,
	.put = outlet_put,
	.zero = outlet_zero,
	.end = outlet_end,
};

/* ---- devices, and the end ---- */

int outlet_devices(struct outlet *o, const void *bytes, size_t len,
		   struct mr_error *err)
{
	return send_main(o, bytes, len, err);
}

/* The next message: 1; 0: the other end has closed the connection; -1. */
static int hear(struct outlet *o, struct return_path_message *m,
		struct mr_error *err)
{
	uint8_t buf[RETURN_PATH_HEADER_SIZE + 268];
	struct link *l = &o->main;
	struct fault f;
	size_t n = RETURN_PATH_HEADER_SIZE;
	ssize_t got = io_read_upto(&l->io, buf, n, l->at, err);

	if (got < (ssize_t)n)
		return got < 0 ? -1 : 0;
	n = get_be16(buf + 2);
	if (n > sizeof(buf) - RETURN_PATH_HEADER_SIZE)
		n = 0;
	got = io_read_upto(&l->io, buf + RETURN_PATH_HEADER_SIZE, n, l->at,
			   err);
	if (got < (ssize_t)n)
		return got < 0 ? -1 : 0;
	if (return_path_decode(buf, RETURN_PATH_HEADER_SIZE + n, m, &f) < 0)
		return error_fault(err, &f, l->at);
	return 1;
}

int outlet_verdict(struct outlet *o, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct return_path_message m;
	unsigned heard = 0;
	int rc;

	while ((rc = hear(o, &m, &why)) > 0 && m.type != RETURN_PATH_SHUT)
		if (++heard == MESSAGES)
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "the destination says all kinds of "
					 "things, but not how it went");
	if (rc > 0 && m.value == 0)
		return 0;
	if (rc > 0)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "the destination could not load it: see what "
				 "it said itself");
	link_explain(o->wire, &why);
	/* A reset is an end, too: it had bytes of ours left. */
	if (rc == 0 || (why.code == MR_SYS && why.sys == ECONNRESET))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "the destination has closed the connection "
				 "without a word: see what it said itself");
	return error_set(err, why.code, MR_NO_OFFSET, "%s%s", why.msg,
			 why.sys == ETIMEDOUT
				 ? ": does it wait for another number of "
				   "channels (its multifd-channels)?"
				 : "");
}
