/* compress.c - the compressors of multifd. */
#include "libmr/wire/compress.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "libmr/base/error.h"

struct compressor {
	uint32_t method; /* enum multifd_flag */
	z_stream z;
	ZSTD_CStream *zstd;
};

struct compressor *compressor_new(uint32_t method, int level,
				  struct mr_error *err)
{
	struct compressor *p = calloc(1, sizeof(*p));
	bool ready = false;

	if (p && method == MULTIFD_ZLIB) {
		ready = deflateInit(&p->z, level) == Z_OK;
	} else if (p) {
		p->zstd = ZSTD_createCStream();
		ready = p->zstd &&
			!ZSTD_isError(ZSTD_initCStream(p->zstd, level));
	}
	if (ready) {
		p->method = method;
		return p;
	}
	compressor_free(p);
	(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
			"no memory to compress with");
	return NULL;
}

void compressor_free(struct compressor *p)
{
	if (p && p->method == MULTIFD_ZLIB)
		(void)deflateEnd(&p->z);
	if (p)
		(void)ZSTD_freeCStream(p->zstd);
	free(p);
}

static int too_much(struct mr_error *err)
{
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "pages that grow when they are compressed");
}

static int pack_zlib(struct compressor *p, const struct iovec *pieces, size_t n,
		     uint8_t *out, uint32_t room, uint32_t *size,
		     struct mr_error *err)
{
	p->z.next_out = out;
	p->z.avail_out = room;
	for (size_t i = 0; i < n; i++) {
		p->z.next_in = pieces[i].iov_base;
		p->z.avail_in = (uInt)pieces[i].iov_len;
		if (deflate(&p->z, i + 1 < n ? Z_NO_FLUSH : Z_SYNC_FLUSH) !=
			    Z_OK ||
		    p->z.avail_in || !p->z.avail_out)
			return too_much(err);
	}
	*size = room - p->z.avail_out;
	return 0;
}

static int pack_zstd(struct compressor *p, const struct iovec *pieces, size_t n,
		     uint8_t *out, uint32_t room, uint32_t *size,
		     struct mr_error *err)
{
	ZSTD_outBuffer to = { out, room, 0 };

	for (size_t i = 0; i < n; i++) {
		ZSTD_inBuffer in = { pieces[i].iov_base, pieces[i].iov_len, 0 };
		size_t left = ZSTD_compressStream2(p->zstd, &to, &in,
						   i + 1 < n ? ZSTD_e_continue
							     : ZSTD_e_flush);

		if (ZSTD_isError(left) || in.pos < in.size ||
		    (i + 1 == n && left))
			return too_much(err);
	}
	*size = (uint32_t)to.pos;
	return 0;
}

int compress_pages(struct compressor *p, const struct iovec *pieces, size_t n,
		   uint8_t *out, uint32_t room, uint32_t *size,
		   struct mr_error *err)
{
	return p->method == MULTIFD_ZLIB
		       ? pack_zlib(p, pieces, n, out, room, size, err)
		       : pack_zstd(p, pieces, n, out, room, size, err);
}
