/* decompress.c - the decompressors of multifd. */
#include "libmr/wire/decompress.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "libmr/base/error.h"

/* What zstd may look back, and so the memory that a source can make us take:
 * twice what the highest level that QEMU can be told (20) does. */
#define ZSTD_WINDOW_LOG 26
/* inflateInit2's: a stream of zlib, bare, of gzip. */
enum { WITH_HEADER = MAX_WBITS, BARE = -MAX_WBITS, GZIP = MAX_WBITS + 16 };

struct decompressor {
	uint32_t page_size;
	z_stream z;
	bool z_there;
	ZSTD_DStream *zstd;
	uint32_t lengths[MULTIFD_PAGES_MAX];
};

struct decompressor *decompressor_new(uint32_t page_size, struct mr_error *err)
{
	struct decompressor *u = calloc(1, sizeof(*u));

	if (!u) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		return NULL;
	}
	u->page_size = page_size;
	return u;
}

void decompressor_free(struct decompressor *u)
{
	if (!u)
		return;
	if (u->z_there)
		(void)inflateEnd(&u->z);
	(void)ZSTD_freeDStream(u->zstd);
	free(u);
}

static int no_memory(struct mr_error *err)
{
	return error_set(err, MR_NOMEM, MR_NO_OFFSET,
			 "no memory to decompress with");
}

static int bad(const char *what, const char *why, size_t at,
	       struct mr_error *err)
{
	return error_set(err, MR_FORMAT, at, "%s data: %s", what, why);
}

/* ---- one stream for all packets ---- */

static int begin_zlib(struct decompressor *u, int bits, struct mr_error *err)
{
	int rc = u->z_there ? inflateReset2(&u->z, bits)
			    : inflateInit2(&u->z, bits);

	if (rc != Z_OK)
		return no_memory(err);
	u->z_there = true;
	return 0;
}

static int unpack_zlib(struct decompressor *u, const struct multifd_packet *p,
		       const uint8_t *in, unsigned char *out,
		       struct mr_error *err)
{
	z_stream *z = &u->z;
	int rc;

	if (!u->z_there && begin_zlib(u, WITH_HEADER, err))
		return -1;
	z->next_in = (unsigned char *)(uintptr_t)in;
	z->avail_in = p->size;
	z->next_out = out;
	z->avail_out = p->normal * u->page_size;
	rc = inflate(z, Z_SYNC_FLUSH);
	if (rc == Z_MEM_ERROR)
		return no_memory(err);
	if (rc != Z_OK)
		return bad("zlib", z->msg ? z->msg : "they end too early",
			   p->size - z->avail_in, err);
	if (z->avail_out)
		return bad("zlib", "they end too early", p->size, err);
	/* The mark of a flush may be left. */
	if (z->avail_in) {
		unsigned char more;

		z->next_out = &more;
		z->avail_out = 1;
		rc = inflate(z, Z_SYNC_FLUSH);
		if (!z->avail_out || z->avail_in ||
		    (rc != Z_OK && rc != Z_BUF_ERROR))
			return bad("zlib", "there is more than its pages",
				   p->size - z->avail_in, err);
	}
	return 0;
}

static int unpack_zstd(struct decompressor *u, const struct multifd_packet *p,
		       const uint8_t *in, unsigned char *out,
		       struct mr_error *err)
{
	ZSTD_inBuffer from = { in, p->size, 0 };
	ZSTD_outBuffer to = { out, (size_t)p->normal * u->page_size, 0 };
	unsigned char more;
	size_t rc;

	if (!u->zstd) {
		u->zstd = ZSTD_createDStream();
		if (!u->zstd || ZSTD_isError(ZSTD_initDStream(u->zstd)) ||
		    ZSTD_isError(ZSTD_DCtx_setParameter(
			    u->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
			return no_memory(err);
	}
	/* What is left behind the last byte of a page belongs to a block's
	 * end: it is taken with the pages, or is too much. */
	while (from.pos < from.size) {
		size_t was = from.pos + to.pos;

		rc = ZSTD_decompressStream(u->zstd, &to, &from);
		if (ZSTD_isError(rc))
			return bad("zstd", ZSTD_getErrorName(rc), from.pos,
				   err);
		if (from.pos + to.pos == was)
			return bad("zstd", "there is more than its pages",
				   from.pos, err);
	}
	/* And what it has taken in may not have come out yet. */
	while (to.pos < to.size) {
		size_t was = to.pos;

		rc = ZSTD_decompressStream(u->zstd, &to, &from);
		if (ZSTD_isError(rc))
			return bad("zstd", ZSTD_getErrorName(rc), from.pos,
				   err);
		if (to.pos == was)
			return bad("zstd", "they end too early", p->size, err);
	}
	to = (ZSTD_outBuffer){ &more, 1, 0 };
	rc = ZSTD_decompressStream(u->zstd, &to, &from);
	if (ZSTD_isError(rc) || to.pos)
		return bad("zstd", "there is more than its pages", p->size,
			   err);
	return 0;
}

/* ---- each page, or each packet, for itself ---- */

/* len bytes that give just `want`, however many streams they are. */
static int inflate_all(struct decompressor *u, int bits, const char *what,
		       const uint8_t *in, uint32_t len, unsigned char *out,
		       uint32_t want, struct mr_error *err)
{
	z_stream *z = &u->z;
	int rc = Z_OK;

	z->next_in = (unsigned char *)(uintptr_t)in;
	z->avail_in = len;
	z->next_out = out;
	z->avail_out = want;
	do {
		unsigned char *next_in = NULL;

		if (begin_zlib(u, bits, err))
			return -1;
		next_in = z->next_in;
		rc = inflate(z, Z_FINISH);
		if (rc == Z_MEM_ERROR)
			return no_memory(err);
		if (rc != Z_STREAM_END || z->next_in == next_in)
			return bad(what,
				   z->msg	  ? z->msg
				   : z->avail_out ? "they end too early"
						  : "there is more than its "
						    "pages",
				   len - z->avail_in, err);
	} while (bits == GZIP && z->avail_in);
	if (z->avail_in)
		return bad(what, "bytes are left", len - z->avail_in, err);
	if (z->avail_out)
		return bad(what, "they end too early", len, err);
	return 0;
}

/* qpl and uadk. */
static int unpack_pages(struct decompressor *u, const struct multifd_packet *p,
			const uint8_t *in, unsigned char *out,
			struct mr_error *err)
{
	bool qpl = p->flags & MULTIFD_QPL;
	struct fault f;
	ssize_t at = multifd_lengths_decode(in, p->size, p->normal,
					    u->page_size, u->lengths, &f);

	if (at < 0)
		return error_fault(err, &f, 0);
	for (uint32_t i = 0; i < p->normal; i++) {
		const uint8_t *page = in + at;
		struct mr_error why = MR_ERROR_INIT;

		if (u->lengths[i] == u->page_size)
			memcpy(out, page, u->page_size);
		else if (inflate_all(u, qpl ? BARE : WITH_HEADER,
				     qpl ? "qpl" : "uadk", page, u->lengths[i],
				     out, u->page_size, &why))
			return error_set(err, why.code, (uint64_t)at, "%s",
					 why.msg);
		at += (ssize_t)u->lengths[i];
		out += u->page_size;
	}
	return 0;
}

int decompress(struct decompressor *u, const struct multifd_packet *p,
	       const uint8_t *in, unsigned char *out, struct mr_error *err)
{
	switch (p->flags & MULTIFD_METHODS) {
	case MULTIFD_ZLIB:
		return unpack_zlib(u, p, in, out, err);
	case MULTIFD_ZSTD:
		return unpack_zstd(u, p, in, out, err);
	case MULTIFD_QATZIP:
		return inflate_all(u, GZIP, "qatzip", in, p->size, out,
				   p->normal * u->page_size, err);
	default:
		return unpack_pages(u, p, in, out, err);
	}
}
