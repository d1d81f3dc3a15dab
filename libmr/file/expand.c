/* expand.c - zstd, gzip, bzip2 and xz, by their libraries. */
#include "libmr/file/expand.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#if __has_include(<bzlib.h>)
#include <bzlib.h>
#define HAS_BZIP2 1
#else
#define HAS_BZIP2 0
#endif
#if __has_include(<lzma.h>)
#include <lzma.h>
#define HAS_XZ 1
#else
#define HAS_XZ 0
#endif

#include "libmr/base/error.h"

#define ZSTD_WINDOW_LOG 27
#define XZ_MEMORY ((uint64_t)256 << 20)
/* inflateInit2's: with gzip's header, and its checksum. */
#define GZIP_BITS (MAX_WBITS + 16)
/* What is given to a library at a time, so that its errors are near. */
#define IN_SIZE ((size_t)64 << 10)
#define OUT_SIZE ((size_t)256 << 10)

/* ---- what it is ---- */

static const struct magic {
	enum expand_format format;
	uint8_t len, magic[EXPAND_MAGIC], mask;
} magics[] = {
	{ EXPAND_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd }, 0xff },
	/* A skippable frame, of which there are sixteen. */
	{ EXPAND_ZSTD, 4, { 0x50, 0x2a, 0x4d, 0x18 }, 0xf0 },
	{ EXPAND_GZIP, 3, { 0x1f, 0x8b, 0x08 }, 0xff },
	{ EXPAND_BZIP2, 3, { 'B', 'Z', 'h' }, 0xff },
	{ EXPAND_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 }, 0xff },
	{ EXPAND_LZOP,
	  9,
	  { 0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n' },
	  0xff },
	{ EXPAND_LZ4, 4, { 0x04, 0x22, 0x4d, 0x18 }, 0xff },
};

enum expand_format expand_find(const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++) {
		const struct magic *m = &magics[i];

		if (len >= m->len && (buf[0] & m->mask) == m->magic[0] &&
		    !memcmp(buf + 1, m->magic + 1, m->len - 1))
			return m->format;
	}
	return EXPAND_NOTHING;
}

static const char *const names[EXPAND_FORMATS] = {
	[EXPAND_ZSTD] = "zstd",	  [EXPAND_GZIP] = "gzip",
	[EXPAND_BZIP2] = "bzip2", [EXPAND_XZ] = "xz",
	[EXPAND_LZOP] = "lzop",	  [EXPAND_LZ4] = "lz4",
};

const char *expand_name(enum expand_format format)
{
	return names[format];
}

enum expand_format expand_by_name(const char *name)
{
	for (int i = EXPAND_NOTHING + 1; i < EXPAND_FORMATS; i++)
		if (!strcmp(names[i], name))
			return (enum expand_format)i;
	return EXPAND_NOTHING;
}

const char *expand_all(void)
{
#if HAS_BZIP2 && HAS_XZ
	return expand_has_lzop ? "zstd gzip bzip2 xz lzop"
			       : "zstd gzip bzip2 xz";
#elif HAS_BZIP2
	return expand_has_lzop ? "zstd gzip bzip2 lzop" : "zstd gzip bzip2";
#elif HAS_XZ
	return expand_has_lzop ? "zstd gzip xz lzop" : "zstd gzip xz";
#else
	return expand_has_lzop ? "zstd gzip lzop" : "zstd gzip";
#endif
}

/* ---- by which library ---- */

struct state {
	const uint8_t *in; /* what is left of the input, and how much */
	size_t in_len;
	uint8_t *out; /* where the next byte goes, and the room there */
	size_t out_len;
	/* What the library has to say of what is wrong, and which kind. */
	const char *why;
	enum mr_code code;
	ZSTD_DStream *zstd;
	z_stream gzip;
#if HAS_BZIP2
	bz_stream bzip2;
#endif
#if HAS_XZ
	lzma_stream xz;
#endif
};

static int fail(struct state *s, enum mr_code code, const char *why)
{
	s->code = code;
	s->why = why;
	return -1;
}

/* A library: -1 is failure, told by fail. step takes and gives what it can, and
 * returns 1 at the end of a stream. end is called after a begin that failed,
 * too, and more than once. */
struct library {
	int (*begin)(struct state *s);
	int (*step)(struct state *s);
	void (*end)(struct state *s);
};

static int zstd_begin(struct state *s)
{
	if (!s->zstd)
		s->zstd = ZSTD_createDStream();
	if (!s->zstd || ZSTD_isError(ZSTD_initDStream(s->zstd)) ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax,
						ZSTD_WINDOW_LOG)))
		return fail(s, MR_NOMEM, "no memory to unpack with");
	return 0;
}

static int zstd_step(struct state *s)
{
	ZSTD_inBuffer from = { s->in, s->in_len, 0 };
	ZSTD_outBuffer to = { s->out, s->out_len, 0 };
	size_t rc = ZSTD_decompressStream(s->zstd, &to, &from);

	s->in += from.pos;
	s->in_len -= from.pos;
	s->out += to.pos;
	s->out_len -= to.pos;
	if (!ZSTD_isError(rc))
		return rc == 0;
	if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
		return fail(s, MR_UNSUPPORTED,
			    "they look back further than 128 MiB");
	if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
		return fail(s, MR_NOMEM, "no memory to unpack with");
	return fail(s, MR_FORMAT, ZSTD_getErrorName(rc));
}

static void zstd_end(struct state *s)
{
	(void)ZSTD_freeDStream(s->zstd);
	s->zstd = NULL;
}

static int gzip_begin(struct state *s)
{
	int rc = s->gzip.state ? inflateReset2(&s->gzip, GZIP_BITS)
			       : inflateInit2(&s->gzip, GZIP_BITS);

	return rc == Z_OK ? 0 : fail(s, MR_NOMEM, "no memory to unpack with");
}

static int gzip_step(struct state *s)
{
	z_stream *z = &s->gzip;
	int rc;

	z->next_in = (unsigned char *)(uintptr_t)s->in;
	z->avail_in = (unsigned int)s->in_len;
	z->next_out = s->out;
	z->avail_out = (unsigned int)s->out_len;
	rc = inflate(z, Z_NO_FLUSH);
	s->in = z->next_in;
	s->in_len = z->avail_in;
	s->out = z->next_out;
	s->out_len = z->avail_out;
	if (rc == Z_MEM_ERROR)
		return fail(s, MR_NOMEM, "no memory to unpack with");
	if (rc == Z_STREAM_END)
		return 1;
	if (rc == Z_OK || rc == Z_BUF_ERROR)
		return 0;
	return fail(s, MR_FORMAT, z->msg ? z->msg : "damaged");
}

static void gzip_end(struct state *s)
{
	if (s->gzip.state)
		(void)inflateEnd(&s->gzip);
}

#if HAS_BZIP2
static void bzip2_end(struct state *s)
{
	if (s->bzip2.state)
		(void)BZ2_bzDecompressEnd(&s->bzip2);
	s->bzip2 = (bz_stream){ 0 };
}

static int bzip2_begin(struct state *s)
{
	bzip2_end(s);
	return BZ2_bzDecompressInit(&s->bzip2, 0, 0) == BZ_OK
		       ? 0
		       : fail(s, MR_NOMEM, "no memory to unpack with");
}

static int bzip2_step(struct state *s)
{
	bz_stream *z = &s->bzip2;
	int rc;

	z->next_in = (char *)(uintptr_t)s->in;
	z->avail_in = (unsigned int)s->in_len;
	z->next_out = (char *)s->out;
	z->avail_out = (unsigned int)s->out_len;
	rc = BZ2_bzDecompress(z);
	s->in += s->in_len - z->avail_in;
	s->in_len = z->avail_in;
	s->out += s->out_len - z->avail_out;
	s->out_len = z->avail_out;
	if (rc == BZ_MEM_ERROR)
		return fail(s, MR_NOMEM, "no memory to unpack with");
	if (rc == BZ_STREAM_END)
		return 1;
	return rc == BZ_OK ? 0 : fail(s, MR_FORMAT, "damaged");
}
#endif

#if HAS_XZ
static void xz_end(struct state *s)
{
	lzma_end(&s->xz);
}

static int xz_begin(struct state *s)
{
	return lzma_stream_decoder(&s->xz, XZ_MEMORY, 0) == LZMA_OK
		       ? 0
		       : fail(s, MR_NOMEM, "no memory to unpack with");
}

static int xz_step(struct state *s)
{
	lzma_stream *z = &s->xz;
	lzma_ret rc;

	z->next_in = s->in;
	z->avail_in = s->in_len;
	z->next_out = s->out;
	z->avail_out = s->out_len;
	rc = lzma_code(z, LZMA_RUN);
	s->in = z->next_in;
	s->in_len = z->avail_in;
	s->out = z->next_out;
	s->out_len = z->avail_out;
	if (rc == LZMA_STREAM_END)
		return 1;
	if (rc == LZMA_OK || rc == LZMA_BUF_ERROR)
		return 0;
	if (rc == LZMA_MEM_ERROR)
		return fail(s, MR_NOMEM, "no memory to unpack with");
	if (rc == LZMA_MEMLIMIT_ERROR)
		return fail(s, MR_UNSUPPORTED,
			    "they take more than 256 MiB to unpack");
	if (rc == LZMA_OPTIONS_ERROR)
		return fail(s, MR_UNSUPPORTED,
			    "made in a way that this library of xz does "
			    "not know");
	return fail(s, MR_FORMAT, "damaged");
}
#endif

static const struct library libraries[EXPAND_FORMATS] = {
	[EXPAND_ZSTD] = { zstd_begin, zstd_step, zstd_end },
	[EXPAND_GZIP] = { gzip_begin, gzip_step, gzip_end },
#if HAS_BZIP2
	[EXPAND_BZIP2] = { bzip2_begin, bzip2_step, bzip2_end },
#endif
#if HAS_XZ
	[EXPAND_XZ] = { xz_begin, xz_step, xz_end },
#endif
};

/* ---- one stream after the other ---- */

struct run {
	enum expand_format format;
	struct reader *from;
	struct expand_to *to;
	uint8_t *out;
	struct state s;
	struct mr_error *err;
};

static int tell(struct run *r, uint64_t at)
{
	const char *name = expand_name(r->format);

	if (r->s.code == MR_NOMEM)
		return error_set(r->err, MR_NOMEM, MR_NO_OFFSET, "%s",
				 r->s.why);
	return error_set(r->err, r->s.code, at, "%s data: %s", name, r->s.why);
}

/* Zeros behind a stream, of somebody who writes whole sectors: how many. */
static int pass_zeros(struct run *r, uint64_t *zeros)
{
	const uint8_t *buf;
	ssize_t n;

	while ((n = mr_reader_peek(r->from, 1, &buf, r->err)) > 0 && !*buf) {
		size_t have = r->from->have - r->from->at, is = 1;

		while (is < have && !buf[is])
			is++;
		mr_reader_skip(r->from, is);
		*zeros += is;
	}
	return n < 0 ? -1 : 0;
}

/*
 * What the programs take: gzip zeros at the end, as many as there are; xz four
 * bytes of them, or eight, ..., between streams, too.
 */
static int pass_padding(struct run *r)
{
	uint64_t at = mr_reader_tell(r->from), zeros = 0;
	const uint8_t *buf;
	ssize_t n;

	if (r->format != EXPAND_GZIP && r->format != EXPAND_XZ)
		return 0;
	if (pass_zeros(r, &zeros))
		return -1;
	n = mr_reader_peek(r->from, 1, &buf, r->err);
	if (r->format == EXPAND_XZ && zeros % 4)
		return error_set(r->err, MR_FORMAT, at,
				 "xz data: %" PRIu64 " zeros behind it, which "
				 "is no multiple of 4",
				 zeros);
	if (r->format == EXPAND_GZIP && zeros && n > 0)
		return error_set(r->err, MR_FORMAT, mr_reader_tell(r->from),
				 "gzip data: zeros are behind it, and more "
				 "behind them");
	return n < 0 ? -1 : 0;
}

/* Another stream, or the end. 1: a stream; 0: the end; -1. */
static int next_stream(struct run *r)
{
	const uint8_t *buf;
	ssize_t n;

	if (pass_padding(r))
		return -1;
	n = mr_reader_peek(r->from, EXPAND_MAGIC, &buf, r->err);
	if (n <= 0)
		return (int)n;
	if (expand_find(buf, (size_t)n) != r->format)
		return error_set(r->err, MR_FORMAT, mr_reader_tell(r->from),
				 "what is here is no %s data",
				 expand_name(r->format));
	if (libraries[r->format].begin(&r->s))
		return tell(r, MR_NO_OFFSET);
	return 1;
}

/* Gives the library what there is. 1: the stream has ended; 0; -1. */
static int step(struct run *r)
{
	uint64_t at = mr_reader_tell(r->from);
	size_t given = r->s.in_len, n;
	int rc;

	do {
		size_t before = r->s.in_len;

		r->s.out = r->out;
		r->s.out_len = OUT_SIZE;
		rc = libraries[r->format].step(&r->s);
		n = OUT_SIZE - r->s.out_len;
		if (n && r->to->put(r->to, r->out, n, r->err))
			return -1;
		if (rc < 0)
			return tell(r, at + given - r->s.in_len);
		if (!rc && !n && before && before == r->s.in_len) {
			(void)fail(&r->s, MR_FORMAT, "they do not go on");
			return tell(r, at + given - before);
		}
	} while (!rc && (n == OUT_SIZE || r->s.in_len));
	mr_reader_skip(r->from, given - r->s.in_len);
	return rc;
}

static int one_stream(struct run *r)
{
	int rc = 0;

	while (!rc) {
		ssize_t n = mr_reader_peek(r->from, 1, &r->s.in, r->err);

		if (n < 0)
			return -1;
		if (!n)
			return error_set(
				r->err, MR_SHORT, mr_reader_tell(r->from),
				"%s ends inside %s data", io_noun(r->from->io),
				expand_name(r->format));
		r->s.in_len = r->from->have - r->from->at;
		if (r->s.in_len > IN_SIZE)
			r->s.in_len = IN_SIZE;
		rc = step(r);
	}
	return rc < 0 ? -1 : 0;
}

int expand(enum expand_format format, struct reader *from, struct expand_to *to,
	   struct mr_error *err)
{
	struct run r = { .format = format, .from = from, .to = to, .err = err };
	int rc;

	if (format == EXPAND_LZOP && expand_has_lzop)
		return expand_lzop(from, to, err);
	if (!libraries[format].begin)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "this build does not unpack %s: unpack it "
				 "first, with %s -dc",
				 expand_name(format), expand_name(format));
	r.out = malloc(OUT_SIZE);
	if (!r.out)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	do {
		rc = next_stream(&r);
		if (rc > 0 && one_stream(&r))
			rc = -1;
	} while (rc > 0);
	libraries[format].end(&r.s);
	free(r.out);
	return rc;
}
