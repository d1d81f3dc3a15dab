/*
 * intake_test.c - a stream over several connections, delivered in every order
 * that a network may choose: the memory is always the same. And streams that
 * lie.
 */
#include "tests/libmr/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <zlib.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/multifd.h"
#include "formats/ram.h"
#include "formats/return_path.h"
#include "libmr/wire/intake.h"

enum { PAGE = 4096, PAGES = 48, CHANNELS_MAX = 4, SECTION = 2 };

/* ---- a sink in memory ---- */

struct memory_sink {
	struct sink sink;
	unsigned char pages[PAGES][PAGE];
	/* Of each page, in a step of its own, as an image has a digest: its
	 * first byte. */
	atomic_uchar firsts[PAGES];
	bool begun;
};

static int sink_begin(struct sink *k, const struct memory *m,
		      struct mr_error *err)
{
	(void)err;
	assert_int_equal(m->n, 1);
	assert_int_equal(m->blocks[0].length, PAGES * PAGE);
	((struct memory_sink *)k)->begun = true;
	return 0;
}

static const unsigned char zeros[PAGE];

/* What stands in one page of a part. */
static const unsigned char *page_of(const struct memory_part *p, size_t i)
{
	return bits_test(p->bits, i) ? p->buf + i * PAGE : zeros;
}

/* A page is whole, whoever puts it. */
static pthread_mutex_t step = PTHREAD_MUTEX_INITIALIZER;

static void set_pages(struct memory_sink *s, const struct memory_part *p)
{
	uint64_t first = p->offset / PAGE;

	for (size_t i = 0; i < p->pages; i++)
		s->firsts[first + i] = *page_of(p, i);
	(void)sched_yield();
	for (size_t i = 0; i < p->pages; i++) {
		(void)pthread_mutex_lock(&step);
		memcpy(s->pages[first + i], page_of(p, i), PAGE);
		(void)pthread_mutex_unlock(&step);
	}
}

static int sink_put(struct sink *k, const struct sink_hand *h, size_t block,
		    const struct memory_part *p, struct mr_error *err)
{
	(void)h;
	(void)block;
	(void)err;
	set_pages((struct memory_sink *)k, p);
	return 0;
}

static int sink_zero(struct sink *k, const struct sink_hand *h, size_t block,
		     uint64_t offset, uint64_t length, struct mr_error *err)
{
	static const uint64_t none;
	struct memory_part p = { .offset = offset, .pages = 1, .bits = &none };

	(void)h;
	(void)block;
	(void)err;
	for (; length; length -= PAGE, p.offset += PAGE)
		set_pages((struct memory_sink *)k, &p);
	return 0;
}

static int sink_get(struct sink *k, const struct sink_hand *h, size_t block,
		    uint64_t offset, unsigned char *page, struct mr_error *err)
{
	(void)h;
	(void)block;
	(void)err;
	memcpy(page, ((struct memory_sink *)k)->pages[offset / PAGE], PAGE);
	return 0;
}

static const struct sink_ops sink_ops = {
	.begin = sink_begin, .put = sink_put, .zero = sink_zero, .get = sink_get
};

/* ---- a source ---- */

/* What one connection carries, and how much of it the others must have had:
 * a source writes its syncs before the barrier on main. */
struct line {
	uint8_t bytes[1 << 20];
	size_t len, sent;
	int fd;
};

struct source {
	struct line main, channel[CHANNELS_MAX];
	unsigned channels;
	bool sections; /* barriers at the end of sections */
	bool merged; /* pages come in the packet of the sync (before 9.0) */
	bool synced[CHANNELS_MAX];
	uint32_t method; /* 0 or MULTIFD_QPL, whose pages are stored */
	uint64_t packets;
	/* What the memory is in the end. */
	unsigned char pages[PAGES][PAGE];
};

static void add(struct line *l, const void *bytes, size_t n)
{
	assert_true(l->len + n <= sizeof(l->bytes));
	memcpy(l->bytes + l->len, bytes, n);
	l->len += n;
}

static void add_word(struct line *l, enum ram_flag kind, uint64_t offset)
{
	struct ram_item item = { .kind = kind, .offset = offset };
	uint8_t buf[RAM_ITEM_MAX];

	memcpy(item.block, "ram0", 5);
	add(l, buf, ram_item_encode(buf, &item));
}

static void add_element(struct line *l, enum stream_type type)
{
	struct stream_element e = { .type = type,
				    .section_id = SECTION,
				    .version_id = RAM_VERSION };
	uint8_t buf[STREAM_ELEMENT_MAX];

	memcpy(e.idstr, "ram", 4);
	add(l, buf, stream_element_encode(buf, &e));
}

static void add_footer(struct line *l)
{
	uint8_t buf[STREAM_FOOTER_SIZE];

	add(l, buf, stream_footer_encode(buf, SECTION));
}

static void add_packet(struct source *s, unsigned c, struct multifd_packet *p)
{
	static const unsigned char none[PAGE];
	struct line *l = &s->channel[c];
	uint8_t buf[1344];

	p->number = s->packets++;
	if (p->normal) {
		memcpy(p->block, "ram0", 5);
		p->flags |= s->method;
		p->size = p->normal * PAGE;
		if (s->method)
			p->size += p->normal * 4;
	}
	add(l, buf, multifd_packet_encode(buf, PAGE, p));
	for (uint32_t i = 0; s->method && i < p->normal; i++) {
		put_be32(buf, PAGE);
		add(l, buf, 4);
	}
	for (uint32_t i = 0; i < p->normal; i++)
		add(l,
		    p->offset[i] / PAGE < PAGES ? s->pages[p->offset[i] / PAGE]
						: none,
		    PAGE);
}

/* The sync overtakes the pages that wait, and an empty packet is left. */
static void add_merged(struct source *s, unsigned c, struct multifd_packet *p)
{
	struct multifd_packet rest = { 0 };

	s->packets++;
	p->flags = MULTIFD_SYNC;
	add_packet(s, c, p);
	s->packets--;
	add_packet(s, c, &rest);
	s->synced[c] = true;
}

/* All channels are told, and main's barrier follows. */
static void add_barrier(struct source *s)
{
	for (unsigned c = 0; c < s->channels; c++) {
		struct multifd_packet p = { .flags = MULTIFD_SYNC };

		if (!s->synced[c])
			add_packet(s, c, &p);
		s->synced[c] = false;
	}
	if (!s->sections)
		add_word(&s->main, RAM_FLUSH, 0);
}

static void end_section(struct source *s)
{
	add_word(&s->main, RAM_EOS, 0);
	add_footer(&s->main);
}

static void begin_source(struct source *s)
{
	struct stream_config config = { .machine = "pc-q35-10.0" };
	uint8_t buf[STREAM_CONFIG_MAX];

	add(&s->main, buf, stream_header_encode(buf));
	add(&s->main, buf, stream_config_encode(buf, &config));
	add_element(&s->main, STREAM_START);
	add_word(&s->main, RAM_MEM_SIZE, PAGES * PAGE);
	buf[0] = 4;
	memcpy(buf + 1, "ram0", 5);
	put_be64(buf + 5, PAGES * PAGE);
	add(&s->main, buf, 13);
	for (unsigned c = 0; c < s->channels; c++) {
		const struct multifd_init init = { .channel = (uint8_t)c };

		add(&s->channel[c], buf, multifd_init_encode(buf, &init));
	}
	add_barrier(s);
	end_section(s);
}

/* Some pages anew, each over any channel or as a word of main. */
static void add_round(struct source *s, uint64_t *seed)
{
	struct multifd_packet p[CHANNELS_MAX] = { 0 };

	for (size_t i = 0; i < PAGES; i++) {
		uint64_t r = next_random(seed) >> 32;
		struct multifd_packet *to =
			&p[s->channels ? r % s->channels : 0];

		if (r / 16 % 2)
			continue;
		if (r / 32 % 8 == 0) {
			memset(s->pages[i], 0, PAGE);
			add_word(&s->main, RAM_ZERO, i * PAGE);
			continue;
		}
		memset(s->pages[i], (int)(r / 256 % 255 + 1), PAGE);
		to->offset[to->normal++] = i * PAGE;
	}
	for (unsigned c = 0; c < s->channels; c++)
		if (p[c].normal && s->merged)
			add_merged(s, c, &p[c]);
		else if (p[c].normal)
			add_packet(s, c, &p[c]);
}

static void end_source(struct source *s)
{
	static const char text[] =
		"{\"configuration\": {}, \"page_size\": 4096, \"devices\": "
		"[{\"name\": \"d\", \"instance_id\": 0, \"fields\": [{\"name\""
		": \"x\", \"type\": \"uint8\", \"size\": 1}]}]}";
	struct stream_element e = { .type = STREAM_FULL, .section_id = 9 };
	uint8_t buf[STREAM_ELEMENT_MAX];
	uint64_t seed = s->packets;

	add_element(&s->main, STREAM_END);
	if (s->merged)
		add_round(s, &seed);
	add_barrier(s);
	end_section(s);
	memcpy(e.idstr, "d", 2);
	add(&s->main, buf, stream_element_encode(buf, &e));
	add(&s->main, "\x5a", 1);
	add(&s->main, buf, stream_footer_encode(buf, 9));
	buf[0] = STREAM_EOF;
	(void)stream_vmdesc_encode(buf + 1, (uint32_t)sizeof(text) - 1);
	add(&s->main, buf, 6);
	add(&s->main, text, sizeof(text) - 1);
}

static struct source *new_source(unsigned channels, bool sections)
{
	struct source *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->channels = channels;
	s->sections = sections;
	return s;
}

/* ---- a destination ---- */

struct destination {
	struct intake in;
	struct memory_sink sink;
	int channel[CHANNELS_MAX];
	unsigned channels;
	struct mr_error err;
	int rc;
};

static int gather(struct intake *in, void *arg, struct mr_error *err)
{
	struct destination *d = arg;

	for (unsigned c = 0; c < d->channels; c++) {
		int fd = d->channel[c];

		d->channel[c] = -1;
		if (intake_channel_add(in, fd, err))
			return -1;
	}
	return 0;
}

static void *run_intake(void *arg)
{
	struct destination *d = arg;

	d->rc = intake_run(&d->in, &d->err);
	return NULL;
}

static void pair(int *here, int *there)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*here = fds[0];
	*there = fds[1];
}

static struct destination *new_destination(struct source *s)
{
	struct destination *d = calloc(1, sizeof(*d));
	int fd;

	assert_non_null(d);
	d->err = (struct mr_error)MR_ERROR_INIT;
	d->sink.sink.ops = &sink_ops;
	d->channels = s->channels;
	assert_int_equal(wire_begin(&d->in.wire, 20, NULL, &d->err), 0);
	pair(&s->main.fd, &fd);
	assert_int_equal(intake_init(&d->in, fd, &d->sink.sink, &d->err), 0);
	d->in.gather = gather;
	d->in.arg = d;
	for (unsigned c = 0; c < s->channels; c++)
		pair(&s->channel[c].fd, &d->channel[c]);
	return d;
}

static void free_both(struct source *s, struct destination *d)
{
	intake_release(&d->in);
	wire_release(&d->in.wire);
	for (unsigned c = 0; c < s->channels; c++) {
		if (s->channel[c].fd >= 0)
			(void)close(s->channel[c].fd);
		if (d->channel[c] >= 0)
			(void)close(d->channel[c]);
	}
	if (s->main.fd >= 0)
		(void)close(s->main.fd);
	free(s);
	free(d);
}

/* Any connection that has something left, any number of its bytes. */
static bool deliver_some(struct source *s, uint64_t *seed)
{
	uint64_t r = next_random(seed) >> 32;
	size_t left = s->main.len - s->main.sent;
	struct line *l = &s->main;
	ssize_t n;

	for (unsigned c = 0; c < s->channels; c++)
		left += s->channel[c].len - s->channel[c].sent;
	if (!left)
		return false;
	if (s->channels && r % (s->channels + 1))
		l = &s->channel[r % (s->channels + 1) - 1];
	left = l->len - l->sent;
	if (!left)
		return true;
	if (left > 1 + r / 8 % 20000)
		left = 1 + r / 8 % 20000;
	n = send(l->fd, l->bytes + l->sent, left, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		l->sent += (size_t)n;
	return n > 0 || errno == EAGAIN;
}

static void deliver(struct source *s, struct destination *d, uint64_t seed)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, run_intake, d), 0);
	while (deliver_some(s, &seed))
		;
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void one_schedule(uint64_t seed)
{
	struct source *s =
		new_source((unsigned)(seed % CHANNELS_MAX) + 1, seed / 4 % 2);
	struct destination *d = new_destination(s);

	s->method = seed / 8 % 2 ? MULTIFD_QPL : 0;
	s->merged = seed / 16 % 2;
	begin_source(s);
	for (int round = 0; round < 3; round++) {
		add_element(&s->main, STREAM_PART);
		add_round(s, &seed);
		add_barrier(s);
		if (!s->sections && round == 1) {
			/* a section may have more than one */
			add_round(s, &seed);
			add_barrier(s);
		}
		end_section(s);
	}
	end_source(s);
	deliver(s, d, seed);
	assert_string_equal(d->err.msg, "");
	assert_int_equal(d->rc, 0);
	assert_memory_equal(d->sink.pages, s->pages, sizeof(s->pages));
	free_both(s, d);
}

/* Pages that come over two connections between two barriers, each with other
 * bytes: what is left is one of them, whole. */
static void add_twice(struct source *s, uint64_t *seed)
{
	struct multifd_packet p[3] = { 0 };

	for (size_t i = 0; i < PAGES; i++)
		for (size_t k = 0; k < 3; k++)
			p[k].offset[p[k].normal++] = i * PAGE;
	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i < PAGES; i++)
			memset(s->pages[i],
			       (int)(next_random(seed) >> 32) % 4 * (int)k,
			       PAGE);
		p[k].flags = 0;
		add_packet(s, (unsigned)k % 2, &p[k]);
	}
	for (size_t i = 0; i < PAGES; i += 3)
		add_word(&s->main, RAM_ZERO, i * PAGE);
}

static void twice_in_a_round(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed += ONE_OF) {
		struct source *s = new_source(2, false);
		struct destination *d = new_destination(s);
		uint64_t random = seed;

		begin_source(s);
		add_element(&s->main, STREAM_PART);
		add_twice(s, &random);
		add_barrier(s);
		end_section(s);
		end_source(s);
		deliver(s, d, seed);
		assert_int_equal(d->rc, 0);
		for (size_t i = 0; i < PAGES; i++)
			for (size_t k = 0; k < PAGE; k++)
				assert_int_equal(d->sink.pages[i][k],
						 d->sink.firsts[i]);
		free_both(s, d);
	}
}

/* A page as a source with capability compress sends it. */
static void add_packed(struct source *s, size_t page, size_t bytes)
{
	struct ram_item item = { .kind = RAM_COMPRESS, .offset = page * PAGE };
	uint8_t buf[RAM_ITEM_MAX], packed[2 * PAGE];
	uLongf len = sizeof(packed);

	assert_int_equal(compress2(packed, &len, s->pages[page], bytes, 1),
			 Z_OK);
	item.data_len = (uint32_t)len;
	memcpy(item.block, "ram0", 5);
	add(&s->main, buf, ram_item_encode(buf, &item));
	add(&s->main, packed, len);
}

static void compressed_one_by_one(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed += ONE_OF) {
		struct source *s = new_source(0, true);
		struct destination *d = new_destination(s);
		uint64_t random = seed;

		begin_source(s);
		add_element(&s->main, STREAM_PART);
		for (size_t i = 0; i < 3 * PAGES; i++) {
			size_t page = i * 7 % PAGES;

			fill_random(s->pages[page], PAGE / 2,
				    next_random(&random) | 1);
			add_packed(s, page, PAGE);
		}
		memset(s->pages[5], 0, PAGE);
		add_word(&s->main, RAM_ZERO, 5 * PAGE);
		end_section(s);
		end_source(s);
		deliver(s, d, seed);
		assert_string_equal(d->err.msg, "");
		assert_int_equal(d->rc, 0);
		assert_memory_equal(d->sink.pages, s->pages, sizeof(s->pages));
		free_both(s, d);
	}
}

/* Page 5 comes twice, and whoever waits for it has had enough. */
static void twice_cancelled(void **state)
{
	struct memory_block b = { .name = "ram0", .length = PAGES * PAGE };
	struct memory m = { .page = PAGE, .blocks = &b, .n = 1 };
	struct memory_sink *s = calloc(1, sizeof(*s));
	struct mr_error err = MR_ERROR_INIT;
	atomic_bool cancel = true;
	const struct mr_watch watch = { .cancel = &cancel };
	struct twice t = { .m = NULL };

	(void)state;
	assert_non_null(s);
	s->sink.ops = &sink_ops;
	assert_int_equal(twice_init(&t, &m, &err), 0);
	twice_came(&t, 0, 5, 1);
	assert_int_equal(twice_settle(&t, &s->sink, &watch, &err), 0);
	twice_came(&t, 0, 5, 1);
	assert_int_equal(twice_settle(&t, &s->sink, &watch, &err), -1);
	assert_int_equal(err.code, MR_CANCELLED);
	cancel = false;
	assert_int_equal(twice_settle(&t, &s->sink, &watch, &err), 0);
	twice_release(&t);
	free(s);
}

static void any_order(void **state)
{
	(void)state;
	/* One in five is of all kinds; all of them take minutes beside other
	 * work. */
	for (uint64_t seed = 1; seed <= 10000; seed += 5 * ONE_OF)
		one_schedule(seed);
}

/* ---- sources that lie ---- */

/* One round over two channels, changed by lie: it fails, and says so. */
static void lies(void (*lie)(struct source *s), const char *says)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);
	uint64_t seed = 5;

	begin_source(s);
	add_element(&s->main, STREAM_PART);
	add_round(s, &seed);
	lie(s);
	add_barrier(s);
	end_section(s);
	end_source(s);
	deliver(s, d, 77);
	assert_int_equal(d->rc, -1);
	if (!strstr(d->err.msg, says))
		fail_msg("\"%s\" is not in \"%s\"", says, d->err.msg);
	free_both(s, d);
}

static void outside(struct source *s)
{
	struct multifd_packet p = { .normal = 1, .offset = { PAGES * PAGE } };

	add_packet(s, 1, &p);
}

static void other_block(struct source *s)
{
	struct multifd_packet p = { .zero = 1, .block = "other" };

	add_packet(s, 0, &p);
}

static void device(struct source *s)
{
	uint8_t buf[MULTIFD_DEVICE_SIZE] = { 0 };

	put_be32(buf, MULTIFD_MAGIC);
	put_be32(buf + 4, 1);
	put_be32(buf + 8, MULTIFD_DEVICE_STATE);
	memcpy(buf + 12, "0000:00:03.0/vfio", 18);
	put_be32(buf + 272, 1);
	add(&s->channel[0], buf, sizeof(buf));
}

static void garbage(struct source *s)
{
	add(&s->channel[1], "0123456789abcdef", 16);
}

static void short_data(struct source *s)
{
	struct multifd_packet p = { .normal = 1 };

	add_packet(s, 1, &p);
	put_be32(s->channel[1].bytes + s->channel[1].len - PAGE - 1344 + 20,
		 PAGE - 8);
}

static void second_list(struct source *s)
{
	add_word(&s->main, RAM_MEM_SIZE, PAGE);
}

static void main_outside(struct source *s)
{
	add_word(&s->main, RAM_ZERO, PAGES * PAGE);
}

static void end_before(struct source *s)
{
	add_word(&s->main, RAM_EOS, 0);
	add(&s->main, "\x00", 1);
}

/* The pages of channel 0, packed in another way than before. */
static void other_method(struct source *s)
{
	struct multifd_packet p = { .normal = 1 };

	add_packet(s, 0, &p);
	s->method = MULTIFD_QPL;
	add_packet(s, 0, &p);
	s->method = 0;
}

static void packed_short(struct source *s)
{
	add_packed(s, 3, PAGE - 1);
}

static void packed_changed(struct source *s)
{
	add_packed(s, 3, PAGE);
	s->main.bytes[s->main.len - 1] ^= 1;
}

static void packed_length(struct source *s)
{
	add_word(&s->main, RAM_COMPRESS, 0);
	put_be32(s->main.bytes + s->main.len - 4, PAGE + PAGE / 8 + 65);
}

static void packed_outside(struct source *s)
{
	add_word(&s->main, RAM_COMPRESS, PAGES * PAGE);
	put_be32(s->main.bytes + s->main.len - 4, 9);
}

static void told(void **state)
{
	(void)state;
	lies(packed_short, "a page at 12288 of RAM block \"ram0\": zlib data");
	lies(packed_changed, "zlib data: incorrect data check");
	lies(packed_length, "length of a compressed page out of range (4673)");
	lies(packed_outside, "which has 196608 bytes");
	lies(outside, "channel 1, packet ");
	lies(outside, "which has 196608 bytes");
	lies(other_block, "\"other\", which is not listed");
	lies(device, "device 0000:00:03.0/vfio");
	lies(garbage, "wrong magic");
	lies(short_data, "not whole pages");
	lies(second_list, "a second list");
	lies(other_method, "qpl data on a channel that had none");
	lies(main_outside, "which has 196608 bytes");
	lies(end_before, "footer");
}

/* Cut off after n bytes of one of its connections. */
static void cut(unsigned line, size_t n)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);
	uint64_t seed = 9, order = 3;
	struct line *l;
	pthread_t t;

	begin_source(s);
	add_element(&s->main, STREAM_PART);
	add_round(s, &seed);
	add_barrier(s);
	end_section(s);
	end_source(s);
	l = line ? &s->channel[line - 1] : &s->main;
	l->len = n < l->len ? n : l->len - 1;
	assert_int_equal(pthread_create(&t, NULL, run_intake, d), 0);
	while (deliver_some(s, &order))
		;
	assert_int_equal(close(l->fd), 0);
	l->fd = -1;
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(d->rc, -1);
	assert_string_not_equal(d->err.msg, "");
	free_both(s, d);
}

static void cut_anywhere(void **state)
{
	(void)state;
	for (size_t n = 0; n < 400; n += 3 * ONE_OF)
		cut(0, n);
	for (size_t n = 0; n < 70000; n += 448 * ONE_OF)
		cut(1, n); /* at the end of a packet, too */
}

/* Behind the last barrier nothing may come. */
static void behind_the_end(void **state)
{
	struct source *s = new_source(1, false);
	struct destination *d = new_destination(s);
	struct multifd_packet p = { .normal = 1 };

	(void)state;
	begin_source(s);
	end_source(s);
	add_packet(s, 0, &p);
	/* It has to be seen before main comes to its end. */
	while (s->channel[0].sent < s->channel[0].len)
		s->channel[0].sent +=
			(size_t)write(s->channel[0].fd, s->channel[0].bytes,
				      s->channel[0].len);
	s->main.len -= 4;
	{
		uint64_t seed = 1;
		pthread_t t;

		assert_int_equal(pthread_create(&t, NULL, run_intake, d), 0);
		while (deliver_some(s, &seed))
			;
		while (!atomic_load(&d->in.wire.bytes) ||
		       atomic_load(&d->in.wire.bytes) <
			       s->main.len + s->channel[0].len)
			(void)usleep(1000);
		s->main.len += 4;
		while (deliver_some(s, &seed))
			;
		assert_int_equal(pthread_join(t, NULL), 0);
	}
	assert_int_equal(d->rc, -1);
	assert_non_null(strstr(d->err.msg, "behind the last barrier"));
	free_both(s, d);
}

/* A channel that nobody knew of: what it carried would not be missed. */
static void one_too_few(void **state)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);
	struct multifd_packet p = { .normal = 1 };

	(void)state;
	begin_source(s);
	add_element(&s->main, STREAM_PART);
	add_packet(s, 1, &p);
	add_barrier(s);
	end_section(s);
	end_source(s);
	d->channels = 1;
	deliver(s, d, 5);
	assert_int_equal(d->rc, -1);
	assert_non_null(strstr(d->err.msg, "is one missing?"));
	d->channels = 2;
	free_both(s, d);
}

/* Channels that say who they are: 0, and what is given. */
static void channel_says(uint8_t number, const char *says)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);

	begin_source(s);
	end_source(s);
	s->channel[1].bytes[24] = number; /* of its init */
	deliver(s, d, 5);
	assert_int_equal(d->rc, -1);
	if (!strstr(d->err.msg, says))
		fail_msg("\"%s\" is not in \"%s\"", says, d->err.msg);
	free_both(s, d);
}

static void wrong_channels(void **state)
{
	(void)state;
	channel_says(0, "two connections are channel 0");
	channel_says(2, "one of them is channel 2");
	channel_says(255, "impossible channel (255)");
}

/* A channel that is closed, and never came to the barrier. */
static void no_sync(void **state)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);
	uint64_t order = 3;
	pthread_t t;

	(void)state;
	begin_source(s);
	end_source(s);
	s->channel[1].len = MULTIFD_INIT_SIZE;
	assert_int_equal(pthread_create(&t, NULL, run_intake, d), 0);
	while (s->channel[1].sent < s->channel[1].len)
		(void)deliver_some(s, &order);
	(void)close(s->channel[1].fd);
	s->channel[1].fd = -1;
	while (deliver_some(s, &order))
		;
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(d->rc, -1);
	assert_non_null(strstr(d->err.msg, "ended before its barrier"));
	free_both(s, d);
}

/* A source that says nothing more is given up. */
static void silence(void **state)
{
	struct source *s = new_source(2, false);
	struct destination *d = new_destination(s);

	(void)state;
	d->in.wire.limit = 1;
	begin_source(s);
	s->channel[1].len = 70;
	deliver(s, d, 3);
	assert_int_equal(d->rc, -1);
	assert_non_null(strstr(d->err.msg, "other end for 1 s"));
	free_both(s, d);
}

/* A source that never falls silent, and a signal. */
static void cancelled(void **state)
{
	static atomic_bool cancel;
	const struct mr_watch watch = { .cancel = &cancel };
	struct source *s = new_source(0, false);
	struct destination *d = new_destination(s);
	uint64_t order = 3;

	(void)state;
	s->sections = true;
	begin_source(s);
	end_source(s);
	while (deliver_some(s, &order))
		;
	d->in.wire.watch = &watch;
	atomic_store(&cancel, true);
	(void)run_intake(d);
	assert_int_equal(d->rc, -1);
	assert_int_equal(d->err.code, MR_CANCELLED);
	free_both(s, d);
}

/* Ping is answered, once the source listens; and how it went. */
static void answers(void **state)
{
	static const uint8_t commands[] = {
		8, 0, 1, 0, 0, /* open-return-path */
		8, 0, 2, 0, 4, 0, 0, 0, 99, /* ping */
	};
	static const uint8_t want[] = { 0, 7,  0, 0, 0, 2, 0, 4, 0, 0,
					0, 99, 0, 1, 0, 4, 0, 0, 0, 0 };
	struct source *s = new_source(0, false);
	struct destination *d = new_destination(s);
	uint8_t got[sizeof(want) + 1];
	struct line all;

	(void)state;
	s->sections = true;
	begin_source(s);
	end_source(s);
	/* behind the configuration */
	all = s->main;
	s->main.len = 8 + 5 + 11;
	add(&s->main, commands, sizeof(commands));
	add(&s->main, all.bytes + 24, all.len - 24);
	deliver(s, d, 8);
	assert_string_equal(d->err.msg, "");
	assert_int_equal(d->rc, 0);
	assert_int_equal(intake_answer(&d->in, true, &d->err), 0);
	assert_int_equal(read(s->main.fd, got, sizeof(got)), sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	free_both(s, d);
}

/* A source that leaves memory out, and keeps its disks: for who wants nothing
 * but its devices. */
static void devices_alone(void **state)
{
	static const uint8_t colo[] = { 8, 0, 8, 0, 0 };
	static const uint8_t block[] = { 4, 'r', 'a', 'm', '0' };
	static const struct stream_config config = { .machine = "pc-q35-10.0",
						     .has_capabilities = true,
						     .ignore_shared = true };

	(void)state;
	for (int only = 0; only < 2; only++) {
		struct source *s = new_source(0, false);
		struct destination *d = new_destination(s);
		uint8_t buf[STREAM_CONFIG_MAX];

		s->sections = true;
		d->in.devices_only = only;
		add(&s->main, buf, stream_header_encode(buf));
		add(&s->main, buf, stream_config_encode(buf, &config));
		add(&s->main, colo, sizeof(colo));
		add_element(&s->main, STREAM_START);
		add_word(&s->main, RAM_MEM_SIZE, PAGES * PAGE);
		memset(buf, 0, 21); /* the last 8: where it is in the guest */
		memcpy(buf, block, sizeof(block));
		put_be64(buf + 5, PAGES * PAGE);
		add(&s->main, buf, 21);
		end_section(s);
		end_source(s);
		deliver(s, d, 9);
		assert_int_equal(d->rc, only ? 0 : -1);
		assert_string_equal(d->err.msg,
				    only ? ""
					 : "capability x-ignore-shared is on "
					   "in the source: switch it off");
		if (only)
			assert_int_equal(d->in.tail.device, 22);
		free_both(s, d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(twice_in_a_round),
		cmocka_unit_test(twice_cancelled),
		cmocka_unit_test(compressed_one_by_one),
		cmocka_unit_test(told),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(behind_the_end),
		cmocka_unit_test(one_too_few),
		cmocka_unit_test(wrong_channels),
		cmocka_unit_test(no_sync),
		cmocka_unit_test(silence),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(answers),
		cmocka_unit_test(devices_alone),
	};

	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
