/* inflate.c - zlib (inflate.h). */
#include "libmr/base/inflate.h"

#include <assert.h>
#include <limits.h>
#include <zlib.h>

#include "libmr/base/error.h"

static int no_memory(struct mr_error *err)
{
	return error_set(err, MR_NOMEM, MR_NO_OFFSET,
			 "no memory to decompress with");
}

/* What inflate, which gave rc, makes of it. */
static int judge(const z_stream *z, int rc, size_t len, struct mr_error *err)
{
	const char *why = NULL;

	if (rc == Z_MEM_ERROR)
		return no_memory(err);
	if (rc == Z_STREAM_END)
		why = z->avail_out  ? "there is too little"
		      : z->avail_in ? "bytes are left"
				    : NULL;
	else if (rc == Z_NEED_DICT)
		why = "they want a dictionary";
	else if (z->msg)
		why = z->msg;
	else
		why = z->avail_out
			      ? "they end too early"
			      : "there is too much, or their end is missing";
	return why ? error_set(err, MR_FORMAT, len - z->avail_in,
			       "zlib data: %s", why)
		   : 0;
}

int inflate_whole(const uint8_t *in, size_t len, uint8_t *out, size_t want,
		  struct mr_error *err)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in,
		       .avail_in = (uInt)len,
		       .next_out = out,
		       .avail_out = (uInt)want };
	int rc;

	assert(len <= UINT_MAX && want <= UINT_MAX);
	if (inflateInit(&z) != Z_OK)
		return no_memory(err);
	rc = judge(&z, inflate(&z, Z_FINISH), len, err);
	(void)inflateEnd(&z);
	return rc;
}
