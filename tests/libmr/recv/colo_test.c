/*
 * colo_test.c - a COLO primary that is not one: it says each thing wrong,
 * early, late, twice and with every length, and goes at every byte. IMAGE is
 * then the checkpoint before or the one after, nothing else, and nobody waits
 * for ever.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/colo.h"
#include "formats/multifd.h"
#include "formats/ram.h"
#include "formats/return_path.h"
#include "formats/stream.h"

enum {
	PAGE = 4096,
	BLOCKS = 2,
	PAGES = 6,
	SECTION = 2,
	DEVICE = 9,
	CHANNELS = 2,
	LINES = 1 + CHANNELS,
	CHECKPOINTS = 2,
	KINDS = 4, /* each generation, plain and over channels */
	TIMES = 2000, /* of what is said endlessly */
};

/* ---- a disk ---- */

static atomic_uint calls, fail_at; /* from 1 on; 0: none fails */
static atomic_int fail_with;
static atomic_bool slow;

static bool disk_fails(void)
{
	if (atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at))
		return false;
	errno = atomic_load(&fail_with);
	return true;
}

#define DISK(type, call, params, args)                         \
	type __real_##call params;                             \
	type __wrap_##call params;                             \
	type __wrap_##call params                              \
	{                                                      \
		return disk_fails() ? -1 : __real_##call args; \
	}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	/* Longer than a timeout of 1 s, together. */
	if (atomic_load(&slow))
		(void)usleep(700000);
	return disk_fails() ? -1 : __real_fsync(fd);
}

DISK(int, ftruncate64, (int fd, off_t len), (fd, len))
DISK(ssize_t, pwrite64, (int fd, const void *buf, size_t n, off_t at),
     (fd, buf, n, at))
DISK(int, linkat, (int from, const char *a, int to, const char *b, int flags),
     (from, a, to, b, flags))
DISK(int, renameat2,
     (int from, const char *a, int to, const char *b, unsigned flags),
     (from, a, to, b, flags))

static const char *const names[BLOCKS] = { "ram0", "more" };

typedef unsigned char memory_of_vm[BLOCKS][PAGES][PAGE];

/* ---- what is said ---- */

/* Where a lie is told: before what. */
enum point {
	NOWHERE,
	AT_REQUEST,
	AT_SEND,
	AT_MEMORY, /* an element */
	AT_PAGES, /* a word in the END section */
	AT_BARRIER,
	AT_WORD_END, /* EOS */
	AT_EOF,
	AT_SIZE,
	AT_DEVICE, /* the bytes of it */
	AT_END,
};

enum act { SAY, HEAR, CLOSE, PAUSE };

struct step {
	enum act what;
	unsigned line; /* 0: main, 1..: channels */
	size_t at, len;
	unsigned times;
};

struct script {
	bool path; /* of 11.x, else of 10.x */
	unsigned channels;
	/* Said in this order, on all lines. */
	uint8_t bytes[1 << 18];
	size_t len;
	uint8_t heard[256];
	size_t heard_len;
	struct step steps[256];
	size_t n;
	/* Bytes of pages: one is like the other. */
	struct {
		size_t from, to;
	} dull[128];
	size_t n_dull;
	/* Where the words of COLO are. */
	struct {
		size_t at;
		enum colo_message is;
		unsigned checkpoint;
	} words[16];
	size_t n_words;
	uint64_t packets, seed;
	memory_of_vm memory;
	uint32_t last_block;
	/* What the image is behind so many bytes. */
	memory_of_vm was[CHECKPOINTS + 1];
	size_t ends[CHECKPOINTS + 1];
	/* A lie. */
	enum point point;
	unsigned lie_in; /* a checkpoint */
	bool (*lie)(struct script *s); /* true: instead of what comes there */
};

static struct step *add_step(struct script *s, enum act what, unsigned line)
{
	struct step *t = &s->steps[s->n++];

	assert_true(s->n <= ARRAY_LEN(s->steps));
	*t = (struct step){ .what = what, .line = line, .times = 1 };
	return t;
}

static struct step *say(struct script *s, unsigned line, const void *bytes,
			size_t n)
{
	struct step *t = add_step(s, SAY, line);

	assert_true(s->len + n <= sizeof(s->bytes));
	t->at = s->len;
	t->len = n;
	memcpy(s->bytes + s->len, bytes, n);
	s->len += n;
	return t;
}

static void hear(struct script *s, const void *bytes, size_t n)
{
	struct step *t = add_step(s, HEAR, 0);

	assert_true(s->heard_len + n <= sizeof(s->heard));
	t->at = s->heard_len;
	t->len = n;
	memcpy(s->heard + s->heard_len, bytes, n);
	s->heard_len += n;
}

static void say_colo(struct script *s, enum colo_message m, uint64_t size)
{
	uint8_t buf[COLO_MAX];

	(void)say(s, 0, buf, colo_encode(buf, &(struct colo_word){ m, size }));
}

/* One that is due. */
static void say_due(struct script *s, unsigned k, enum colo_message m,
		    uint64_t size)
{
	s->words[s->n_words].at = s->len;
	s->words[s->n_words].is = m;
	s->words[s->n_words++].checkpoint = k;
	say_colo(s, m, size);
}

static void hear_colo(struct script *s, enum colo_message m)
{
	uint8_t buf[COLO_MAX];

	hear(s, buf, colo_encode(buf, &(struct colo_word){ m, 0 }));
}

static void say_element(struct script *s, enum stream_type type, uint32_t id,
			const char *idstr)
{
	struct stream_element e = { .type = type,
				    .section_id = id,
				    .version_id =
					    id == SECTION ? RAM_VERSION : 1 };
	uint8_t buf[STREAM_ELEMENT_MAX];

	(void)snprintf(e.idstr, sizeof(e.idstr), "%s", idstr);
	(void)say(s, 0, buf, stream_element_encode(buf, &e));
}

static void say_command(struct script *s, enum stream_command c,
			const void *data, uint16_t len)
{
	struct stream_element e = { .type = STREAM_COMMAND,
				    .command = (uint16_t)c,
				    .length = len };
	uint8_t buf[STREAM_ELEMENT_MAX];

	(void)say(s, 0, buf, stream_element_encode(buf, &e));
	if (len)
		(void)say(s, 0, data, len);
}

static void say_footer(struct script *s, uint32_t id)
{
	uint8_t buf[STREAM_FOOTER_SIZE];

	(void)say(s, 0, buf, stream_footer_encode(buf, id));
}

/* ---- pages ---- */

/* Of xbzrle: 300 bytes as they were, 3 others. */
static const uint8_t changes[] = { 0xac, 2, 3, 'x', 'y', 'z' };

static struct step *say_word(struct script *s, enum ram_flag kind,
			     uint32_t block, uint64_t offset)
{
	struct ram_item item = { .kind = kind, .offset = offset };
	uint8_t buf[RAM_ITEM_MAX + 64];
	size_t n;

	item.cont = ram_names_page(kind) && block == s->last_block;
	if (ram_names_page(kind))
		s->last_block = block;
	if (ram_names_page(kind) && !item.cont)
		(void)snprintf(item.block, sizeof(item.block), "%s",
			       names[block]);
	item.data_len = kind == RAM_XBZRLE ? sizeof(changes) : 0;
	n = ram_item_encode(buf, &item);
	memcpy(buf + n, changes, item.data_len);
	n += item.data_len;
	return say(s, 0, buf, n);
}

static void say_page(struct script *s, unsigned line, const void *page)
{
	s->dull[s->n_dull].from = s->len;
	(void)say(s, line, page, PAGE);
	s->dull[s->n_dull++].to = s->len;
	assert_true(s->n_dull < ARRAY_LEN(s->dull));
}

static void say_packet(struct script *s, unsigned c, struct multifd_packet *p,
		       uint32_t block)
{
	uint8_t buf[1344];
	size_t n;

	p->number = s->packets++;
	p->size = p->normal * PAGE;
	if (p->normal || p->zero)
		(void)snprintf(p->block, sizeof(p->block), "%s", names[block]);
	n = multifd_packet_encode(buf, PAGE, p);
	s->dull[s->n_dull].from = s->len + 64;
	(void)say(s, 1 + c, buf, n);
	s->dull[s->n_dull++].to = s->len - 8;
	for (uint32_t i = 0; i < p->normal; i++)
		say_page(s, 1 + c, s->memory[block][p->offset[i] / PAGE]);
}

/* A page anew: data, zero, or (plain) other bytes in what was there. */
static void change(struct script *s, uint32_t block, size_t i, bool first)
{
	uint64_t r = (next_random(&s->seed) >> 32) % (first ? 3 : 4);
	unsigned char *page = s->memory[block][i];
	struct multifd_packet p = { .offset = { i * PAGE } };

	if (r == 3 && !s->channels) {
		memcpy(page + 300, changes + 3, 3);
		(void)say_word(s, RAM_XBZRLE, block, i * PAGE);
		return;
	}
	if (r)
		fill_random(page, PAGE, next_random(&s->seed));
	else
		memset(page, 0, PAGE);
	if (s->channels) {
		*(r ? &p.normal : &p.zero) = 1;
		say_packet(s, (unsigned)i % s->channels, &p, block);
		return;
	}
	(void)say_word(s, r ? RAM_PAGE : RAM_ZERO, block, i * PAGE);
	if (r)
		say_page(s, 0, page);
}

static void say_sync(struct script *s, unsigned c)
{
	struct multifd_packet p = { .flags = MULTIFD_SYNC };

	say_packet(s, c, &p, 0);
}

static void say_barrier(struct script *s)
{
	for (unsigned c = 0; c < s->channels; c++)
		say_sync(s, c);
	if (s->channels)
		(void)say_word(s, RAM_FLUSH, 0, 0);
}

static void end_section(struct script *s)
{
	(void)say_word(s, RAM_EOS, 0, 0);
	say_footer(s, SECTION);
}

/* ---- the whole conversation ---- */

static bool lies(struct script *s, unsigned k, enum point point)
{
	return s->lie && s->lie_in == k && s->point == point && s->lie(s);
}

static size_t device_bytes(uint8_t *buf, uint8_t value)
{
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = DEVICE,
				    .idstr = "d" };
	size_t n = stream_element_encode(buf, &e);

	buf[n++] = value;
	n += stream_footer_encode(buf + n, DEVICE);
	buf[n++] = STREAM_EOF;
	return n;
}

enum { DEVICE_MAX = STREAM_ELEMENT_MAX + 1 + STREAM_FOOTER_SIZE + 1 };

static void describe(struct script *s)
{
	static const char text[] =
		"{\"configuration\": {}, \"page_size\": 4096, \"devices\": "
		"[{\"name\": \"d\", \"instance_id\": 0, \"fields\": [{\"name\""
		": \"x\", \"type\": \"uint8\", \"size\": 1}]}]}";
	uint8_t buf[DEVICE_MAX + STREAM_VMDESC_HEADER_SIZE];
	size_t n = device_bytes(buf, 0);

	n += stream_vmdesc_encode(buf + n, (uint32_t)sizeof(text) - 1);
	(void)say(s, 0, buf, n);
	(void)say(s, 0, text, sizeof(text) - 1);
}

static void open_path(struct script *s)
{
	static const uint8_t pong[] = { 0, 2, 0, 4, 0, 0, 0, 9 };

	say_command(s, STREAM_CMD_OPEN_RETURN_PATH, NULL, 0);
	say_command(s, STREAM_CMD_PING, "\0\0\0\x09", 4);
	hear(s, pong, sizeof(pong));
}

static void first_migration(struct script *s)
{
	static const uint8_t shut[] = { 0, 1, 0, 4, 0, 0, 0, 0 };
	struct stream_config config = { .machine = "pc-q35-11.1" };
	uint8_t buf[STREAM_CONFIG_MAX];

	for (unsigned c = 0; c < s->channels; c++) {
		const struct multifd_init init = { .channel = (uint8_t)c };

		(void)say(s, 1 + c, buf, multifd_init_encode(buf, &init));
	}
	(void)say(s, 0, buf, stream_header_encode(buf));
	(void)say(s, 0, buf, stream_config_encode(buf, &config));
	if (s->path)
		open_path(s);
	else
		say_command(s, STREAM_CMD_ENABLE_COLO, NULL, 0);
	say_element(s, STREAM_START, SECTION, "ram");
	(void)say_word(s, RAM_MEM_SIZE, 0, sizeof(s->memory));
	for (size_t i = 0; i < BLOCKS; i++) {
		buf[0] = 4;
		memcpy(buf + 1, names[i], 4);
		put_be64(buf + 5, PAGES * PAGE);
		(void)say(s, 0, buf, 13);
	}
	say_barrier(s);
	end_section(s);
	say_element(s, STREAM_END, SECTION, "");
	for (uint32_t b = 0; b < BLOCKS; b++)
		for (size_t i = 0; i < PAGES; i++)
			change(s, b, i, true);
	(void)lies(s, 0, AT_BARRIER);
	say_barrier(s);
	(void)lies(s, 0, AT_WORD_END);
	end_section(s);
	describe(s);
	(void)lies(s, 0, AT_END);
	memcpy(s->was[0], s->memory, sizeof(s->memory));
	s->ends[0] = s->len;
	if (s->path)
		hear(s, shut, sizeof(shut));
	hear_colo(s, COLO_READY);
}

static void say_memory(struct script *s, unsigned k)
{
	/* The first of its pages continues what was named last. */
	uint32_t b = s->last_block % BLOCKS;

	say_element(s, STREAM_END, SECTION, "");
	if (!lies(s, k, AT_PAGES)) {
		for (size_t i = k; i < PAGES; i += 2)
			change(s, b, i, false);
		change(s, 1 - b, k, false);
		change(s, 1 - b, k + 1, false);
	}
	if (!lies(s, k, AT_BARRIER))
		say_barrier(s);
	if (s->path)
		say_barrier(s);
	if (!lies(s, k, AT_WORD_END))
		(void)say_word(s, RAM_EOS, 0, 0);
	say_footer(s, SECTION);
}

static void checkpoint(struct script *s, unsigned k)
{
	uint8_t buf[DEVICE_MAX];
	size_t n = device_bytes(buf, (uint8_t)k);

	if (!lies(s, k, AT_REQUEST))
		say_due(s, k, COLO_REQUEST, 0);
	hear_colo(s, COLO_REPLY);
	if (!lies(s, k, AT_SEND))
		say_due(s, k, COLO_SEND, 0);
	if (!s->path)
		say_command(s, STREAM_CMD_SWITCHOVER_START, NULL, 0);
	if (!lies(s, k, AT_MEMORY))
		say_memory(s, k);
	if (!lies(s, k, AT_EOF))
		(void)say(s, 0, "", 1);
	if (!lies(s, k, AT_SIZE))
		say_due(s, k, COLO_SIZE, n);
	if (!lies(s, k, AT_DEVICE))
		(void)say(s, 0, buf, n);
	memcpy(s->was[k], s->memory, sizeof(s->memory));
	s->ends[k] = s->len;
	hear_colo(s, COLO_RECEIVED);
	hear_colo(s, COLO_LOADED);
	(void)lies(s, k, AT_END);
}

static struct script *new_script(bool path, bool channels)
{
	struct script *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->path = path;
	s->channels = channels ? CHANNELS : 0;
	s->seed = 11;
	s->last_block = BLOCKS;
	return s;
}

static void write_script(struct script *s)
{
	first_migration(s);
	for (unsigned k = 1; k <= CHECKPOINTS; k++)
		checkpoint(s, k);
}

static struct script *make_script(bool path, bool channels)
{
	struct script *s = new_script(path, channels);

	write_script(s);
	return s;
}

/* ---- who says it ---- */

struct play {
	const struct script *s;
	size_t cut; /* so many bytes, and it is gone */
	size_t stop; /* that step, and it cancels */
	bool late; /* it hears all answers when it has said all */
	bool stays; /* silent, and does not go */
	unsigned lines; /* it has: 0: all of them */
	unsigned closed; /* a bit for each */
	int fd[LINES], there; /* its ends; what mr_recv has */
	struct mr_recv_options options;
	atomic_bool cancel;
	/* What came of it. */
	bool misheard;
	struct mr_recv_report report;
	struct mr_error err;
	int rc;
};

static bool send_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool hear_all(struct play *p, const struct step *t)
{
	uint8_t got[64];
	size_t n = 0;

	while (n < t->len) {
		ssize_t more = read(p->fd[0], got + n, t->len - n);

		if (more <= 0)
			return false;
		n += (size_t)more;
	}
	p->misheard |= memcmp(got, p->s->heard + t->at, n) != 0;
	return true;
}

/* Until all that was said there has been read, and dealt with. */
static void pause_for(int fd)
{
	int left = 1;

	for (int i = 0; i < 200 && left; i++) {
		(void)usleep(1000);
		if (ioctl(fd, SIOCOUTQ, &left))
			left = 0;
	}
	(void)usleep(30000);
}

static bool do_step(struct play *p, const struct step *t)
{
	size_t n = t->len;

	switch (t->what) {
	case HEAR:
		return p->late || hear_all(p, t);
	case CLOSE:
		(void)shutdown(p->fd[t->line], SHUT_RDWR);
		p->closed |= 1U << t->line;
		return true;
	case PAUSE:
		pause_for(p->fd[t->line]);
		return true;
	case SAY:
		break;
	}
	if ((p->lines && t->line >= p->lines) || p->closed & 1U << t->line)
		return true;
	if (t->at + n > p->cut)
		n = p->cut - t->at;
	for (unsigned i = 0; i < t->times; i++)
		if (!send_all(p->fd[t->line], p->s->bytes + t->at, n))
			return false;
	return n == t->len;
}

static void *primary(void *arg)
{
	struct play *p = arg;
	bool goes = true;
	char c;

	for (size_t i = 0; goes && i < p->s->n; i++) {
		if (i == p->stop)
			atomic_store(&p->cancel, true);
		goes = i != p->stop && do_step(p, &p->s->steps[i]);
	}
	for (size_t i = 0; p->late && i < p->s->n; i++)
		if (p->s->steps[i].what == HEAR &&
		    !hear_all(p, &p->s->steps[i]))
			break;
	while ((p->stays || atomic_load(&p->cancel)) &&
	       read(p->fd[0], &c, 1) > 0)
		;
	for (unsigned i = 0; i <= p->s->channels; i++)
		(void)close(p->fd[i]);
	return NULL;
}

static void connect_all(struct play *p)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fds[2];

	if (!p->s->channels) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		p->fd[0] = fds[0];
		p->there = fds[1];
		return;
	}
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s",
		       in_dir("socket"));
	p->there = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(p->there, (const struct sockaddr *)&addr, sizeof(addr)),
		0);
	assert_int_equal(listen(p->there, LINES), 0);
	for (unsigned i = 0; i <= p->s->channels; i++) {
		p->fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (p->lines && i >= p->lines)
			continue;
		assert_int_equal(connect(p->fd[i],
					 (const struct sockaddr *)&addr,
					 sizeof(addr)),
				 0);
	}
	(void)unlink(addr.sun_path);
}

static struct play *new_play(const struct script *s)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->s = s;
	p->cut = p->stop = SIZE_MAX;
	p->options = (struct mr_recv_options)MR_RECV_OPTIONS_INIT;
	p->options.colo = true;
	p->options.direct = MR_DIRECT_OFF;
	p->options.watch.cancel = &p->cancel;
	/* A minute: whoever says something would have. */
	p->options.timeout = 60;
	p->err = (struct mr_error)MR_ERROR_INIT;
	return p;
}

static void play(struct play *p)
{
	const char *path = in_dir("image");
	char uri[16];
	pthread_t t;

	(void)unlink(path);
	connect_all(p);
	(void)snprintf(uri, sizeof(uri), "fd:%d", p->there);
	assert_int_equal(pthread_create(&t, NULL, primary, p), 0);
	p->rc = mr_recv(uri, path, &p->options, &p->report, &p->err);
	(void)shutdown(p->there, SHUT_RDWR);
	(void)close(p->there);
	assert_int_equal(pthread_join(t, NULL), 0);
}

/* ---- what became of it ---- */

static unsigned count_files(void)
{
	unsigned n = 0;
	DIR *d = opendir(folder);

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

static bool has_pages(int fd, const struct mr_image *img,
		      const memory_of_vm want)
{
	static const unsigned char zeros[PAGE];
	unsigned char page[PAGE];

	for (size_t b = 0; b < BLOCKS; b++) {
		const struct mr_block *k = mr_image_find(img, names[b]);
		struct mr_error err = MR_ERROR_INIT;
		uint64_t bits[1];

		assert_non_null(k);
		assert_int_equal(mr_image_bitmap(img, k, 0, bits, 1, &err), 0);
		for (size_t i = 0; i < PAGES; i++) {
			assert_int_equal(
				pread(fd, page, PAGE,
				      (off_t)(k->pages_offset + i * PAGE)),
				PAGE);
			if (memcmp(page, want[b][i], PAGE) != 0 ||
			    bits_test(bits, i) !=
				    (memcmp(page, zeros, PAGE) != 0))
				return false;
		}
	}
	return true;
}

/* memmem would look at megabytes of zeros byte by byte. */
static bool has_bytes(const uint8_t *all, size_t len, const uint8_t *want,
		      size_t n)
{
	const uint8_t *at = memchr(all, want[0], len);

	while (at && len - (size_t)(at - all) >= n) {
		if (!memcmp(at, want, n))
			return true;
		at++;
		at = memchr(at, want[0], len - (size_t)(at - all));
	}
	return false;
}

static bool has_device(int fd, unsigned k)
{
	uint8_t want[DEVICE_MAX], *all;
	size_t n = device_bytes(want, (uint8_t)k);
	struct stat st;
	bool has;

	assert_int_equal(fstat(fd, &st), 0);
	all = malloc((size_t)st.st_size);
	assert_non_null(all);
	assert_int_equal(pread(fd, all, (size_t)st.st_size, 0), st.st_size);
	has = has_bytes(all, (size_t)st.st_size, want, n);
	free(all);
	return has;
}

/* Whether the image is the VM as it was at checkpoint k. */
static bool is_checkpoint(const struct script *s, unsigned k)
{
	struct mr_error err = MR_ERROR_INIT;
	const char *path = in_dir("image");
	struct mr_image *img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is;

	if (!img)
		fail_msg("%s", err.msg);
	is = has_pages(fd, img, s->was[k]) && has_device(fd, k);
	mr_image_free(img);
	(void)close(fd);
	return is;
}

static void check_sound(void)
{
	struct mr_verify_options o = { .jobs = 1 };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report r = { 0 };

	assert_int_equal(mr_verify(in_dir("image"), &o, &r, &err), 0);
	assert_true(r.sound && r.sealed && !r.damages && !r.stale);
}

/* The image is checkpoint k, which is said too; nothing else is left. */
static void check_image(const struct play *p, unsigned k)
{
	if (!is_checkpoint(p->s, k))
		fail_msg("the image is not checkpoint %u", k);
	check_sound();
	assert_int_equal(p->report.last, k);
	assert_int_equal(count_files(), 1);
}

/* The one that is said to be it, if one is. */
static void check_standing(const struct play *p)
{
	if (p->report.standing)
		check_image(p, (unsigned)p->report.last);
	else
		assert_int_equal(count_files(), 0);
}

static void check_says(const struct play *p, int rc, const char *says)
{
	const char *said = rc ? p->err.msg : p->report.end;

	if (p->rc != rc)
		fail_msg("%d, \"%s\", \"%s\"", p->rc, p->err.msg,
			 p->report.end);
	if (!strstr(said, says))
		fail_msg("\"%s\" is not in \"%s\"", says, said);
}

/* ---- the stories ---- */

static void well(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		bool path = kind & 1, channels = kind & 2;
		struct script *s = make_script(path, channels);

		for (int durable = 0; durable < 2; durable++) {
			struct play *p = new_play(s);

			p->options.durable = durable;
			p->options.cache = durable ? folder : NULL;
			play(p);
			check_says(p, 0, "");
			assert_string_equal(p->report.end, "");
			assert_false(p->misheard || p->report.broken);
			assert_true(p->report.primary);
			assert_int_equal(p->report.checkpoints, CHECKPOINTS);
			if (durable)
				assert_int_equal(p->report.kept, CHECKPOINTS);
			check_image(p, CHECKPOINTS);
			free(p);
		}
		free(s);
	}
}

/* A primary that waits for nobody: what is early is not lost, but pages of a
 * channel that nobody has asked for yet may be refused. */
static void early(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		bool path = kind & 1, channels = kind & 2;
		struct script *s = make_script(path, channels);
		struct play *p = new_play(s);

		p->late = true;
		play(p);
		if (p->rc && channels)
			check_says(p, -1, "behind the last barrier");
		else
			check_says(p, 0, "");
		assert_true(channels || p->report.last == CHECKPOINTS);
		check_standing(p);
		free(p);
		free(s);
	}
}

static bool is_dull(const struct script *s, size_t n)
{
	for (size_t i = 0; i < s->n_dull; i++) {
		size_t at = n - s->dull[i].from;

		if (n > s->dull[i].from && n < s->dull[i].to)
			return at != 1 && n != s->dull[i].to - 1;
	}
	return false;
}

static void cut(const struct script *s, size_t n)
{
	struct play *p = new_play(s);
	unsigned k = 0;

	p->cut = n;
	play(p);
	if (n < s->ends[0]) {
		assert_int_equal(p->rc, -1);
		assert_int_equal(count_files(), 0);
	} else {
		while (k < CHECKPOINTS && n >= s->ends[k + 1])
			k++;
		check_says(p, 0, "");
		check_image(p, k);
	}
	assert_false(p->misheard);
	free(p);
}

static void cut_anywhere(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		bool path = kind & 1, channels = kind & 2;
		struct script *s = make_script(path, channels);

		/* Without its channels no source comes so far; and the
		 * first migration is one like all others. */
		for (size_t n = channels ? s->ends[0] : 0; n < s->ends[0];
		     n += 7)
			if (!is_dull(s, n))
				cut(s, n);
		/* The generations differ little. */
		for (size_t n = s->ends[0]; n <= s->len;
		     n += (path ? 1U : 7U) * ONE_OF)
			if (!is_dull(s, n))
				cut(s, n);
		free(s);
	}
}

/* ---- other words than are due ---- */

static void other_word(bool path, bool channels, size_t word, uint32_t says)
{
	struct script *s = make_script(path, channels);
	struct play *p = new_play(s);
	uint8_t *at = s->bytes + s->words[word].at;

	put_be32(at, says);
	play(p);
	check_says(p, -1,
		   colo_name(says) ? colo_name(says) : "unknown message");
	assert_int_equal(p->err.code, MR_FORMAT);
	check_image(p, s->words[word].checkpoint - 1);
	free(p);
	free(s);
}

static void other_words(void **state)
{
	static const uint32_t unknown[] = { 7, 0x100, 0x01000000, UINT32_MAX };

	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		bool path = kind & 1, channels = kind & 2;
		struct script *s = make_script(path, channels);
		size_t n = s->n_words;

		for (size_t w = 0; w < n; w++) {
			for (uint32_t m = 0; m <= COLO_LOADED; m++)
				if (m != s->words[w].is)
					other_word(path, channels, w, m);
			for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
				other_word(path, channels, w, unknown[i]);
		}
		free(s);
	}
}

/* ---- lies ---- */

/* Told in the second checkpoint, of both generations: the first stands. */
static void told_in(unsigned k, bool channels, enum point point,
		    bool (*lie)(struct script *s), unsigned last, int rc,
		    const char *says)
{
	for (int path = 0; path < 2; path++) {
		struct script *s = new_script(path, channels);
		struct play *p;

		s->lie = lie;
		s->lie_in = k;
		s->point = point;
		write_script(s);
		p = new_play(s);
		play(p);
		check_says(p, rc, says);
		check_image(p, last);
		free(p);
		free(s);
	}
}

static void told(bool channels, enum point point, bool (*lie)(struct script *s),
		 const char *says)
{
	told_in(2, channels, point, lie, 1, -1, says);
}

static bool request(struct script *s)
{
	say_colo(s, COLO_REQUEST, 0);
	return false;
}

static bool send_word(struct script *s)
{
	say_colo(s, COLO_SEND, 0);
	return false;
}

static bool size_word(struct script *s)
{
	say_colo(s, COLO_SIZE, 22);
	return false;
}

static bool end_byte(struct script *s)
{
	(void)say(s, 0, "", 1);
	return false;
}

static bool nothing(struct script *s)
{
	(void)s;
	return true;
}

/* Twice, or one too few. */
static void twice(void **state)
{
	(void)state;
	for (int channels = 0; channels < 2; channels++) {
		told(channels, AT_REQUEST, request,
		     "checkpoint-request where it should say vmstate-send");
		told(channels, AT_SEND, send_word, "unknown message");
		told(channels, AT_EOF, end_byte,
		     "checkpoint-ready where it should say vmstate-size");
		told(channels, AT_SIZE, size_word, "no device state");
		told(channels, AT_SIZE, nothing, "unknown message");
		told(channels, AT_SEND, size_word,
		     "vmstate-size where it should say vmstate-send");
	}
}

static bool size_0(struct script *s)
{
	say_colo(s, COLO_SIZE, 0);
	return true;
}

static bool size_1(struct script *s)
{
	say_colo(s, COLO_SIZE, 1);
	return true;
}

static bool size_short(struct script *s)
{
	say_colo(s, COLO_SIZE, 21);
	return true;
}

static bool size_gib(struct script *s)
{
	say_colo(s, COLO_SIZE, ((uint64_t)1 << 30) + 1);
	return true;
}

static bool size_all(struct script *s)
{
	say_colo(s, COLO_SIZE, UINT64_MAX);
	return true;
}

/* What follows is the beginning of the next checkpoint, too. */
static bool size_long(struct script *s)
{
	say_colo(s, COLO_SIZE, 30);
	return true;
}

static bool no_full(struct script *s)
{
	uint8_t buf[DEVICE_MAX];
	size_t n = device_bytes(buf, 2);

	buf[0] = STREAM_PART;
	(void)say(s, 0, buf, n);
	return true;
}

static bool no_eof(struct script *s)
{
	uint8_t buf[DEVICE_MAX];
	size_t n = device_bytes(buf, 2);

	buf[n - 1] = STREAM_FULL;
	(void)say(s, 0, buf, n);
	return true;
}

static void sizes(void **state)
{
	(void)state;
	for (int channels = 0; channels < 2; channels++) {
		told(channels, AT_SIZE, size_0, "0 bytes of a checkpoint");
		told(channels, AT_SIZE, size_1, "1 bytes of a checkpoint");
		told(channels, AT_SIZE, size_short, "no device state");
		told(channels, AT_SIZE, size_gib,
		     "more than 1024 MiB of device state");
		told(channels, AT_SIZE, size_all,
		     "more than 1024 MiB of device state");
		told(channels, AT_DEVICE, no_full, "no device state");
		told(channels, AT_DEVICE, no_eof, "no device state");
	}
}

/* ---- what is no END section of ram ---- */

static bool start(struct script *s)
{
	say_element(s, STREAM_START, SECTION, "ram");
	return false;
}

static bool other_start(struct script *s)
{
	say_element(s, STREAM_START, 33, "slirp");
	return false;
}

static bool part(struct script *s)
{
	say_element(s, STREAM_PART, SECTION, "");
	return false;
}

static bool other_end(struct script *s)
{
	say_element(s, STREAM_END, 33, "");
	return false;
}

static bool full(struct script *s)
{
	say_element(s, STREAM_FULL, DEVICE, "d");
	return false;
}

static bool description(struct script *s)
{
	(void)say(s, 0, "\x06\0\0\0\x02{}", 7);
	return false;
}

static bool ping(struct script *s)
{
	say_command(s, STREAM_CMD_PING, "\0\0\0\0", 4);
	return false;
}

static bool enable(struct script *s)
{
	say_command(s, STREAM_CMD_ENABLE_COLO, NULL, 0);
	return false;
}

static bool path_again(struct script *s)
{
	say_command(s, STREAM_CMD_OPEN_RETURN_PATH, NULL, 0);
	return false;
}

static bool garbage(struct script *s)
{
	(void)say(s, 0, "\xee\xee\xee\xee\xee\xee\xee\xee", 8);
	return false;
}

static bool switchover(struct script *s)
{
	say_command(s, STREAM_CMD_SWITCHOVER_START, NULL, 0);
	return false;
}

static void elements(void **state)
{
	static const enum point at[] = { AT_MEMORY, AT_EOF };

	(void)state;
	for (int channels = 0; channels < 2; channels++)
		for (size_t i = 0; i < ARRAY_LEN(at); i++) {
			told(channels, at[i], start, "in the wrong place");
			told(channels, at[i], other_start, "slirp");
			told(channels, at[i], part, "in the wrong place");
			told(channels, at[i], other_end, "in the wrong place");
			told(channels, at[i], full, "device state among");
			told(channels, at[i], description,
			     "in the wrong place");
			told(channels, at[i], ping, "in the wrong place");
			told(channels, at[i], enable, "in the wrong place");
			told(channels, at[i], path_again, "in the wrong place");
			told(channels, at[i], garbage, "");
			/* Which some say and some do not. */
			told_in(2, channels, at[i], switchover, CHECKPOINTS, 0,
				"");
		}
}

/* ---- words of ram ---- */

static bool outside(struct script *s)
{
	(void)say_word(s, RAM_ZERO, 0, PAGES * PAGE);
	return false;
}

static bool far_outside(struct script *s)
{
	(void)say_word(s, RAM_ZERO, 1, UINT64_MAX - PAGE + 1);
	return false;
}

static bool no_block(struct script *s)
{
	uint8_t buf[RAM_ITEM_MAX];
	const struct ram_item item = { .kind = RAM_ZERO, .block = "none" };

	(void)say(s, 0, buf, ram_item_encode(buf, &item));
	return false;
}

static bool list(struct script *s)
{
	(void)say_word(s, RAM_MEM_SIZE, 0, PAGE);
	return false;
}

static bool bad_changes(struct script *s)
{
	(void)say_word(s, RAM_XBZRLE, 0, 0);
	s->bytes[s->len - 4] = 0x7f; /* more than there are */
	return false;
}

static bool no_footer(struct script *s)
{
	(void)say_word(s, RAM_EOS, 0, 0);
	(void)say(s, 0, "\0\0\0\0\0", 5);
	return true;
}

static void words(void **state)
{
	(void)state;
	for (int channels = 0; channels < 2; channels++) {
		told(channels, AT_PAGES, outside, "which has 24576 bytes");
		told(channels, AT_PAGES, far_outside, "which has 24576 bytes");
		told(channels, AT_PAGES, no_block, "\"none\", which is not");
		told(channels, AT_PAGES, list, "a second list");
		told(channels, AT_PAGES, bad_changes,
		     channels ? "changes to a page" : "");
		told(channels, AT_WORD_END, no_footer, "footer");
	}
}

/* ---- channels ---- */

static bool channel_outside(struct script *s)
{
	struct multifd_packet p = { .zero = 1, .offset = { PAGES * PAGE } };

	say_packet(s, 1, &p, 0);
	return false;
}

static bool channel_garbage(struct script *s)
{
	(void)say(s, 1, "0123456789abcdef", 16);
	return false;
}

/* One SYNC more than there are FLUSHes. */
static bool sync_more(struct script *s)
{
	say_sync(s, 0);
	return false;
}

/* A page that no barrier comes behind: before what follows is said, it is
 * there. */
static bool behind(struct script *s)
{
	struct multifd_packet p = { .zero = 1 };

	say_packet(s, 0, &p, 0);
	(void)add_step(s, PAUSE, 1);
	return false;
}

static bool behind_twice(struct script *s)
{
	(void)behind(s);
	return behind(s);
}

static bool main_behind(struct script *s)
{
	(void)say_word(s, RAM_ZERO, 0, 0);
	return false;
}

static bool end_of_channel(struct script *s)
{
	(void)add_step(s, CLOSE, 2);
	return false;
}

static void channels_lie(void **state)
{
	(void)state;
	told(true, AT_PAGES, channel_outside, "which has 24576 bytes");
	told(true, AT_PAGES, channel_garbage, "wrong magic");
	told(true, AT_REQUEST, channel_garbage, "wrong magic");
	told(true, AT_WORD_END, behind, "behind the last barrier");
	told(true, AT_WORD_END, main_behind, "behind the last barrier");
	told(true, AT_PAGES, sync_more, "is one missing?");
	told(true, AT_REQUEST, sync_more, "is one missing?");
	told(true, AT_PAGES, bad_changes, "changes to a page");
	/* While there is no checkpoint. */
	told(true, AT_REQUEST, behind, "behind the last barrier");
	told_in(1, true, AT_REQUEST, behind, 0, -1, "behind the last barrier");
	/* One that has ended is missed at the next barrier. */
	told_in(2, true, AT_REQUEST, end_of_channel, 1, 0,
		"a channel has ended before its barrier");
	told_in(2, true, AT_END, end_of_channel, 2, 0, "");
}

/* A first migration that is not whole is no image. */
static void first_lies(unsigned lines, enum point point,
		       bool (*lie)(struct script *s), const char *says)
{
	struct script *s = new_script(true, true);
	struct play *p;

	s->lie = lie;
	s->point = point;
	write_script(s);
	p = new_play(s);
	p->lines = lines;
	play(p);
	check_says(p, -1, says);
	assert_int_equal(count_files(), 0);
	free(p);
	free(s);
}

static void first_is_not_whole(void **state)
{
	(void)state;
	first_lies(0, AT_WORD_END, behind, "behind the last barrier");
	/* One who waits to put does not wait for ever. */
	first_lies(0, AT_WORD_END, behind_twice, "behind the last barrier");
	/* A channel that has not come. */
	first_lies(2, NOWHERE, NULL, "is one missing?");
}

/* ---- who says nothing more ---- */

static void hangs(bool channels, enum point point,
		  bool (*lie)(struct script *s), bool broken)
{
	struct script *s = new_script(true, channels);
	struct play *p;

	s->lie = lie;
	s->lie_in = 2;
	s->point = point;
	write_script(s);
	p = new_play(s);
	p->stays = true;
	p->options.timeout = 1;
	play(p);
	check_says(p, 0, "nothing has come from the other end for 1 s");
	assert_int_equal(p->report.broken, broken);
	check_image(p, point ? 1 : CHECKPOINTS);
	free(p);
	free(s);
}

/* It waits for what does not come. */
static bool stop(struct script *s)
{
	hear(s, "", 1);
	return false;
}

static bool flush_only(struct script *s)
{
	(void)say_word(s, RAM_FLUSH, 0, 0);
	return false;
}

static void silence(void **state)
{
	(void)state;
	hangs(false, NOWHERE, NULL, false);
	hangs(true, NOWHERE, NULL, false);
	hangs(false, AT_SEND, stop, true);
	hangs(true, AT_PAGES, stop, true);
	hangs(false, AT_SIZE, size_long, true);
	hangs(true, AT_BARRIER, flush_only, true);
}

/* ---- the same for ever ---- */

static bool endless_words(struct script *s)
{
	uint8_t buf[RAM_ITEM_MAX + PAGE];
	struct ram_item item = { .kind = RAM_PAGE, .offset = PAGE };
	size_t n;

	memcpy(item.block, names[0], 4);
	s->last_block = 0;
	n = ram_item_encode(buf, &item);
	fill_random(s->memory[0][1], PAGE, 5);
	memcpy(buf + n, s->memory[0][1], PAGE);
	say(s, 0, buf, n + PAGE)->times = TIMES;
	return false;
}

static void endless(void **state)
{
	(void)state;
	/* Whose pages would each need room: there is for 36, and some. */
	told_in(2, false, AT_PAGES, endless_words, CHECKPOINTS, 0, "");
}

/* ---- who is told to stop ---- */

static void cancelled(void **state)
{
	(void)state;
	for (int channels = 0; channels < 2; channels++) {
		struct script *s = make_script(true, channels);

		for (size_t i = 0; i < s->n; i++) {
			struct play *p;

			/* Before each answer, and in the midst. */
			if (s->steps[i].what != HEAR && i % 29 != 7)
				continue;
			p = new_play(s);
			p->stop = i;
			play(p);
			assert_int_equal(p->rc, -1);
			assert_int_equal(p->err.code, MR_CANCELLED);
			check_standing(p);
			free(p);
		}
		free(s);
	}
}

/* ---- the disk ---- */

/* Each call in turn: whether that one was made. */
static bool disk_failed(const struct script *s, unsigned nth, int with,
			unsigned *refused)
{
	struct play *p = new_play(s);
	unsigned k;
	bool made;

	p->options.durable = nth % 2;
	atomic_store(&calls, 0);
	atomic_store(&fail_with, with);
	atomic_store(&fail_at, nth);
	play(p);
	made = atomic_load(&calls) >= nth;
	atomic_store(&fail_at, 0);
	if (!p->rc) {
		check_image(p, CHECKPOINTS);
	} else if (p->report.standing) {
		/* Only the fsync of the folder comes behind the name; two of
		 * them may be one. */
		for (k = (unsigned)p->report.last; !is_checkpoint(s, k); k++)
			assert_true(k < CHECKPOINTS);
		check_sound();
	} else if (count_files()) {
		assert_true(is_checkpoint(s, 0));
	}
	assert_in_range(count_files(), 0, 1);
	assert_true(!p->rc || p->err.who);
	*refused += p->rc != 0;
	free(p);
	return made;
}

static void full_or_broken(void **state)
{
	static const int errors[] = { ENOSPC, EIO };

	(void)state;
	for (int channels = 0; channels < 2; channels++)
		for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
			struct script *s = make_script(true, channels);
			unsigned refused = 0, nth = 1;

			while (disk_failed(s, nth, errors[i], &refused))
				nth++;
			assert_true(refused > 10);
			free(s);
		}
}

/* The primary waits for the disk, longer than it may be silent itself. */
static void slow_disk(void **state)
{
	struct script *s = make_script(true, true);
	struct play *p = new_play(s);

	(void)state;
	p->options.timeout = 1;
	p->options.durable = true;
	atomic_store(&slow, true);
	play(p);
	atomic_store(&slow, false);
	check_says(p, 0, "");
	assert_string_equal(p->report.end, "");
	check_image(p, CHECKPOINTS);
	free(p);
	free(s);
}

/* A disk is asked so often here that memory has to do. */
static int in_memory(void **state)
{
	folder = folder_new("/dev/shm");
	return folder ? 0 : folder_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well),
		cmocka_unit_test(early),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(other_words),
		cmocka_unit_test(twice),
		cmocka_unit_test(sizes),
		cmocka_unit_test(elements),
		cmocka_unit_test(words),
		cmocka_unit_test(channels_lie),
		cmocka_unit_test(first_is_not_whole),
		cmocka_unit_test(silence),
		cmocka_unit_test(endless),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(full_or_broken),
		cmocka_unit_test(slow_disk),
	};

	return cmocka_run_group_tests_name("colo", tests, in_memory,
					   folder_teardown);
}
