/*
 * colo-null.c - a COLO secondary that keeps nothing: it reads what a primary
 * sends, throws it away and answers at once (formats/colo.md). Both exchanges,
 * of QEMU 9.x and 10.x and of 11.x, told apart by what arrives.
 *
 *   colo-null SOCKET [CHANNELS]
 *
 * CHANNELS is multifd's number, 0 (the default) if that is off. Standard output
 * has a line each for: "listening"; "initial PAGES" (of the first migration, of
 * the main connection); and each checkpoint,
 *
 *   checkpoint N BYTES PAGES SECTIONS FLUSHES COMMANDS STATE FIRST LAST
 *
 * bytes of all connections since the one before; pages, END sections, FLUSH
 * words and commands of the main connection; bytes of device state, the first
 * and the last of them.
 *
 * Exit status: 0: the connection ended between two checkpoints, 1: elsewhere,
 * or something came that is not known, 2: trouble.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "formats/bytes.h"
#include "formats/colo.h"
#include "formats/multifd.h"
#include "formats/ram.h"
#include "formats/return_path.h"
#include "formats/stream.h"

enum { ROOM = 1 << 20, CHANNELS = 255 };

static struct {
	int fd;
	uint8_t *buf;
	size_t at, end, room;
	uint64_t passed; /* before buf */
} in; /* the main connection */

static uint32_t page = 4096;
static bool return_path;
static atomic_ullong channel_bytes;

static _Noreturn void die(int status, const char *fmt, ...)
{
	va_list ap;

	(void)fflush(stdout);
	(void)fprintf(stderr, "colo-null: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	exit(status);
}

/* ---- bytes ---- */

/* Has more bytes come behind those that are there. false: there are none. */
static bool more(void)
{
	ssize_t n;

	if (in.at) {
		in.passed += in.at;
		memmove(in.buf, in.buf + in.at, in.end - in.at);
		in.end -= in.at;
		in.at = 0;
	}
	if (in.end == in.room) {
		in.room = in.room ? 2 * in.room : ROOM;
		in.buf = realloc(in.buf, in.room);
		if (!in.buf)
			die(2, "no memory");
	}
	do
		n = read(in.fd, in.buf + in.end, in.room - in.end);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		in.end += (size_t)n;
	return n > 0;
}

static const uint8_t *need(size_t n)
{
	while (in.end - in.at < n)
		if (!more())
			die(1, "the connection ends early");
	return in.buf + in.at;
}

static void skip(uint64_t n)
{
	while (n > in.end - in.at) {
		n -= in.end - in.at;
		in.at = in.end;
		if (!more())
			die(1, "the connection ends early");
	}
	in.at += n;
}

/* Tries DECODE, an expression of `p`, `len` and `f`, with more and more bytes
 * until it takes them. */
#define TAKE(decode)                                                    \
	do {                                                            \
		struct fault f = { 0 };                                 \
		const uint8_t *p = need(1);                             \
		size_t len = in.end - in.at;                            \
		ssize_t took = (decode);                                \
		if (took >= 0) {                                        \
			in.at += (size_t)took;                          \
			break;                                          \
		}                                                       \
		if (f.kind != FAULT_SHORT)                              \
			die(1, "%s (%ju)", f.what, (uintmax_t)f.value); \
		if (!more())                                            \
			die(1, "the connection ends early");            \
	} while (true)

static void answer(const uint8_t *buf, size_t n)
{
	if (send(in.fd, buf, n, MSG_NOSIGNAL) != (ssize_t)n)
		die(1, "cannot answer: %s", strerror(errno));
}

static void say(enum colo_message message)
{
	uint8_t buf[COLO_MAX];

	answer(buf,
	       colo_encode(buf, &(struct colo_word){ .message = message }));
}

static void tell_back(enum return_path_type type, uint32_t value)
{
	uint8_t buf[RETURN_PATH_MAX];

	answer(buf, return_path_encode(
			    buf, &(struct return_path_message){ type, value }));
}

/* ---- the stream ---- */

struct counts {
	uint64_t pages, sections, flushes, commands;
};

static void blocks(uint64_t left, const struct ram_list_form *form)
{
	while (left) {
		struct ram_block b;

		TAKE(ram_block_decode(p, len, form, &b, &f));
		if (b.used_length > left)
			die(1, "blocks longer than their sum");
		left -= b.used_length;
	}
}

/* Payload and footer of a section of "ram". */
static void ram_section(const struct stream_config *config, struct counts *c)
{
	const struct ram_list_form form = { .addr = config->ignore_shared,
					    .page_size = page };
	struct ram_item item;

	do {
		TAKE(ram_item_decode(p, len, page, &item, &f));
		if (item.kind == RAM_MEM_SIZE)
			blocks(item.offset, &form);
		skip(item.data_len);
		c->pages += item.kind == RAM_PAGE || item.kind == RAM_ZERO ||
			    item.kind == RAM_XBZRLE;
		c->flushes += item.kind == RAM_FLUSH;
	} while (item.kind != RAM_EOS);
	c->sections++;
	if (*need(1) == STREAM_FOOTER)
		skip(STREAM_FOOTER_SIZE);
}

static void command(const struct stream_element *e, struct counts *c)
{
	c->commands++;
	if (e->command == STREAM_CMD_OPEN_RETURN_PATH)
		return_path = true;
	if (e->command == STREAM_CMD_PING)
		tell_back(RETURN_PATH_PONG, get_be32(need(4)));
	skip(e->length);
}

/* Device state has no length. Its description follows, and is the last that
 * comes before an answer: what looks like one and is there wholly is it. */
static void devices(void)
{
	static const uint8_t mark[] = { STREAM_EOF, STREAM_VMDESC };
	size_t looked = 0;

	for (;;) {
		const uint8_t *p = in.buf + in.at + looked;
		size_t len = in.end - in.at - looked;
		const uint8_t *hit = memmem(p, len, mark, sizeof(mark));
		size_t left;

		if (!hit) {
			looked += len ? len - 1 : 0;
			need(in.end - in.at + 1);
			continue;
		}
		looked = (size_t)(hit - (in.buf + in.at));
		hit = need(looked + 8) + looked;
		left = in.end - in.at - looked - 6;
		if (hit[6] != '{' || hit[7] != '"' ||
		    get_be32(hit + 2) > left + 4 * ROOM) {
			looked++;
			continue;
		}
		skip(looked + 6 + get_be32(hit + 2));
		return;
	}
}

static void first_migration(struct stream_config *config)
{
	struct stream_element e;
	struct counts c = { 0 };

	TAKE(stream_header_decode(p, len, &f));
	TAKE(stream_config_decode(p, len, config, &f));
	if (config->target_page_bits)
		page = 1U << config->target_page_bits;
	for (;;) {
		if (*need(1) == STREAM_FULL || *need(1) == STREAM_EOF)
			break;
		TAKE(stream_element_decode(p, len, &e, &f));
		if (e.type == STREAM_COMMAND)
			command(&e, &c);
		else if (e.type == STREAM_START &&
			 strcmp(e.idstr, RAM_IDSTR) != 0)
			die(1, "section %s is not known here", e.idstr);
		else
			ram_section(config, &c);
	}
	devices();
	if (return_path)
		tell_back(RETURN_PATH_SHUT, 0);
	say(COLO_READY);
	(void)printf("initial %ju\n", (uintmax_t)c.pages);
}

static void take(enum colo_message message, uint64_t *size)
{
	struct colo_word w;

	TAKE(colo_decode(p, len, &w, &f));
	if (w.message != message)
		die(1, "%s where %s was due", colo_name(w.message),
		    colo_name(message));
	if (size)
		*size = w.size;
}

static uint64_t bytes; /* up to the last checkpoint */

static void checkpoint(const struct stream_config *config, uint64_t n)
{
	struct stream_element e;
	struct counts c = { 0 };
	unsigned first, last;
	uint64_t size, before;

	take(COLO_REQUEST, NULL);
	say(COLO_REPLY);
	take(COLO_SEND, NULL);
	for (;;) {
		TAKE(stream_element_decode(p, len, &e, &f));
		if (e.type == STREAM_EOF)
			break;
		if (e.type == STREAM_COMMAND)
			command(&e, &c);
		else if (e.type == STREAM_END)
			ram_section(config, &c);
		else
			die(1, "%s in a checkpoint", stream_type_name(e.type));
	}
	take(COLO_SIZE, &size);
	if (!size)
		die(1, "no device state");
	first = *need(1);
	skip(size - 1);
	last = *need(1);
	skip(1);
	say(COLO_RECEIVED);
	say(COLO_LOADED);
	before = bytes;
	bytes = in.passed + in.at + channel_bytes;
	(void)printf("checkpoint %ju %ju %ju %ju %ju %ju %ju %02x %02x\n",
		     (uintmax_t)n, (uintmax_t)(bytes - before),
		     (uintmax_t)c.pages, (uintmax_t)c.sections,
		     (uintmax_t)c.flushes, (uintmax_t)c.commands,
		     (uintmax_t)size, first, last);
}

/* ---- connections ---- */

static void *channel(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint8_t *buf = malloc(ROOM);
	ssize_t n;

	if (!buf)
		die(2, "no memory");
	while ((n = read(fd, buf, ROOM)) > 0)
		channel_bytes += (unsigned long long)n;
	free(buf);
	(void)close(fd);
	return NULL;
}

static int listen_at(const char *path, int channels)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die(2, "%s is too long", path);
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd, channels + 1))
		die(2, "%s: %s", path, strerror(errno));
	return fd;
}

/* All connections are there before the main one speaks: they are told apart by
 * the first that each says. */
static void accept_all(int listener, int channels)
{
	struct pollfd p[CHANNELS + 1];
	uint8_t magic[4];

	for (int i = 0; i <= channels; i++) {
		p[i].fd = accept(listener, NULL, NULL);
		p[i].events = POLLIN;
		if (p[i].fd < 0)
			die(2, "cannot accept: %s", strerror(errno));
	}
	for (int i = 0; i <= channels; i++) {
		pthread_t thread;

		if (recv(p[i].fd, magic, 4, MSG_PEEK | MSG_WAITALL) != 4)
			die(1, "a connection ends early");
		if (get_be32(magic) == STREAM_MAGIC)
			in.fd = p[i].fd;
		else if (get_be32(magic) != MULTIFD_MAGIC)
			die(1, "neither stream nor channel");
		else if (pthread_create(&thread, NULL, channel,
					(void *)(intptr_t)p[i].fd) ||
			 pthread_detach(thread))
			die(2, "no thread");
	}
}

int main(int argc, char **argv)
{
	struct stream_config config;
	long channels = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	int listener;

	if (argc < 2 || argc > 3 || channels < 0 || channels > CHANNELS)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	listener = listen_at(argv[1], (int)channels);
	(void)printf("listening\n");
	accept_all(listener, (int)channels);
	first_migration(&config);
	bytes = in.passed + in.at + channel_bytes;
	for (uint64_t n = 1; in.at < in.end || more(); n++)
		checkpoint(&config, n);
	return 0;
}
