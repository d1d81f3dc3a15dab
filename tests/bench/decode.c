/*
 * decode.c - how fast a stream is taken in when neither source nor disk is in
 * the way.
 *
 *   decode all DIR    a capture into memory that was touched
 *   decode bare DIR   its channels, read and unpacked by the library alone
 *
 * Prints {"seconds":, "cpu":, "bytes":}, from the first page on; bytes are
 * those of pages with data.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "formats/bits.h"
#include "formats/multifd.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/replay.h"

#define PAGE 4096u

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "decode: %s\n", what);
	exit(2);
}

static struct {
	double wall, cpu;
} start;

static double clock_of(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin_time(void)
{
	start.wall = clock_of(CLOCK_MONOTONIC);
	start.cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
}

static int tell(uint64_t bytes)
{
	(void)printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"bytes\": %ju}\n",
		     clock_of(CLOCK_MONOTONIC) - start.wall,
		     clock_of(CLOCK_PROCESS_CPUTIME_ID) - start.cpu,
		     (uintmax_t)bytes);
	return 0;
}

/* ---- all of it ---- */

static unsigned char *ram[64];

static int begin(struct sink *k, const struct memory *m, struct mr_error *err)
{
	(void)k;
	(void)err;
	if (m->n > 64)
		die("too many blocks");
	for (size_t i = 0; i < m->n; i++) {
		ram[i] =
			mmap(NULL, m->blocks[i].length, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (ram[i] == MAP_FAILED)
			die("no memory");
	}
	begin_time();
	return 0;
}

static int put(struct sink *k, const struct sink_hand *h, size_t block,
	       const struct memory_part *p, struct mr_error *err)
{
	uint64_t q;

	(void)k;
	(void)h;
	(void)err;
	for (uint64_t i = bits_next_set(p->bits, 0, p->pages); i < p->pages;
	     i = bits_next_set(p->bits, q, p->pages)) {
		q = bits_next_clear(p->bits, i, p->pages);
		memcpy(ram[block] + p->offset + i * PAGE, p->buf + i * PAGE,
		       (q - i) * PAGE);
	}
	return 0;
}

static int zero(struct sink *k, const struct sink_hand *h, size_t block,
		uint64_t offset, uint64_t length, struct mr_error *err)
{
	(void)k;
	(void)h;
	(void)err;
	memset(ram[block] + offset, 0, length);
	return 0;
}

static const struct sink_ops ops = { .begin = begin, .put = put, .zero = zero };

static int all(struct capture *c)
{
	struct intake in = { .wire = WIRE_NONE };
	struct mr_error err = MR_ERROR_INIT;
	struct sink to = { .ops = &ops };

	if (wire_begin(&in.wire, 60, NULL, &err) ||
	    intake_init(&in, replay_main(c, &err), &to, &err))
		die(err.msg);
	replay_begin(&in, c);
	if (intake_run(&in, &err))
		die(err.msg);
	return tell(in.tally.data);
}

/* ---- the library alone ---- */

static unsigned char data[2 << 20], page[MULTIFD_PAGES_SIZE];

static void inflate_all(z_stream *z, size_t n, size_t out)
{
	z->next_in = data;
	z->avail_in = (unsigned)n;
	z->next_out = page;
	z->avail_out = (unsigned)out;
	if (inflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out)
		die("zlib");
}

static void decompress(ZSTD_DStream *d, size_t n, size_t out)
{
	ZSTD_inBuffer in = { data, n, 0 };
	ZSTD_outBuffer to = { page, out, 0 };

	while (in.pos < in.size)
		if (ZSTD_isError(ZSTD_decompressStream(d, &to, &in)))
			die("zstd");
}

static uint64_t channel(FILE *f)
{
	static struct multifd_packet p;
	static uint8_t head[4096];
	size_t size = multifd_packet_size(PAGE);
	ZSTD_DStream *d = ZSTD_createDStream();
	uint64_t bytes = 0;
	z_stream z = { 0 };
	struct fault fault;

	if (!d || inflateInit(&z) != Z_OK)
		die("no memory");
	setvbuf(f, NULL, _IONBF, 0);
	if (fread(head, MULTIFD_INIT_SIZE, 1, f) != 1)
		die("no init");
	while (fread(head, size, 1, f) == 1) {
		if (multifd_packet_decode(head, size, PAGE, &p, &fault) < 0)
			die("not a packet");
		if (p.size && fread(data, p.size, 1, f) != 1)
			die("cut off");
		if (p.normal && p.flags & MULTIFD_ZLIB)
			inflate_all(&z, p.size, (size_t)p.normal * PAGE);
		if (p.normal && p.flags & MULTIFD_ZSTD)
			decompress(d, p.size, (size_t)p.normal * PAGE);
		bytes += (uint64_t)p.normal * PAGE;
	}
	(void)inflateEnd(&z);
	(void)ZSTD_freeDStream(d);
	return bytes;
}

static int bare(const struct capture *c)
{
	uint64_t bytes = 0;
	int fd;

	memset(data, 1, sizeof(data));
	memset(page, 1, sizeof(page));
	begin_time();
	for (unsigned i = 1; (fd = capture_file(c, i)) >= 0; i++) {
		FILE *f = fdopen(fd, "r");

		if (!f)
			die("cannot read");
		bytes += channel(f);
		(void)fclose(f);
	}
	return tell(bytes);
}

int main(int argc, char **argv)
{
	struct capture c = CAPTURE_NONE;
	struct mr_error err = MR_ERROR_INIT;

	if (argc != 3)
		die("usage: decode all|bare DIR");
	if (capture_open(&c, argv[2], &err))
		die(err.msg);
	return !strcmp(argv[1], "all") ? all(&c) : bare(&c);
}
