/* nothing.c - where nothing goes: a stream that is only kept as it comes. */
#include <string.h>

#include "libmr/image/writer.h"
#include "libmr/memory/sink.h"

static int begin(struct sink *k, const struct memory *m, struct mr_error *err)
{
	(void)k;
	(void)m;
	(void)err;
	return 0;
}

static int put(struct sink *k, const struct sink_hand *h, size_t block,
	       const struct memory_part *p, struct mr_error *err)
{
	(void)k;
	(void)h;
	(void)block;
	(void)p;
	(void)err;
	return 0;
}

static int zero(struct sink *k, const struct sink_hand *h, size_t block,
		uint64_t offset, uint64_t length, struct mr_error *err)
{
	(void)k;
	(void)h;
	(void)block;
	(void)offset;
	(void)length;
	(void)err;
	return 0;
}

static int get(struct sink *k, const struct sink_hand *h, size_t block,
	       uint64_t offset, unsigned char *page, struct mr_error *err)
{
	memset(page, 0, IMAGE_PAGE);
	return zero(k, h, block, offset, 0, err);
}

struct sink sink_nothing = {
	.ops =
		&(const struct sink_ops){
			.begin = begin, .put = put, .zero = zero, .get = get },
};
