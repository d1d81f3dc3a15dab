/* twice.c - bitmaps for each block, taken lazily. */
#include "libmr/wire/twice.h"

#include <assert.h>
#include <stdlib.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"
#include "libmr/base/zeros.h"
#include "libmr/image/writer.h"

static uint64_t pages_of(const struct twice *t, size_t block)
{
	return t->m->blocks[block].length / t->m->page;
}

static int make(const struct twice *t, size_t block, uint64_t **bits,
		struct mr_error *err)
{
	*bits = zeros_new(bits_size(pages_of(t, block)));
	return *bits ? 0
		     : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
}

int twice_init(struct twice *t, const struct memory *m, struct mr_error *err)
{
	t->m = m;
	t->blocks = calloc(m->n, sizeof(*t->blocks));
	if (!t->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		if (make(t, i, &t->blocks[i].came, err) ||
		    make(t, i, &t->blocks[i].again, err))
			return -1;
	return 0;
}

void twice_release(struct twice *t)
{
	for (size_t i = 0; t->blocks && i < t->m->n; i++) {
		zeros_free(t->blocks[i].came, bits_size(pages_of(t, i)));
		zeros_free(t->blocks[i].again, bits_size(pages_of(t, i)));
	}
	free(t->blocks);
	*t = (struct twice){ .m = NULL };
}

void twice_came(struct twice *t, size_t block, uint64_t first, uint64_t n)
{
	struct twice_block *b = &t->blocks[block];

	if (bits_set_shared(b->came, first, n))
		bits_set_shared(b->again, first, n);
}

int twice_forget(struct twice *t, struct mr_error *err)
{
	for (size_t i = 0; t->m && i < t->m->n; i++) {
		uint64_t n = pages_of(t, i);

		if (!bits_any_shared(t->blocks[i].came, 0, n))
			continue;
		zeros_free(t->blocks[i].came, bits_size(n));
		if (make(t, i, &t->blocks[i].came, err))
			return -1;
	}
	return 0;
}

/* What is zero is data first, so that nothing is left in its place. */
static int put_again(const struct twice *t, struct sink *to, size_t block,
		     uint64_t page, struct mr_error *err)
{
	static const uint64_t one = 1;
	unsigned char bytes[IMAGE_PAGE] __attribute__((aligned(IMAGE_PAGE)));
	struct memory_tally tally = { 0 };
	struct sink_hand h = { .tally = &tally };
	struct memory_part p = { .block = &t->m->blocks[block],
				 .offset = page * IMAGE_PAGE,
				 .unit = IMAGE_PAGE,
				 .pages = 1,
				 .bits = &one,
				 .buf = bytes };

	if (to->ops->get(to, &h, block, p.offset, bytes, err) ||
	    to->ops->put(to, &h, block, &p, err))
		return -1;
	return pages_all_zero(bytes, IMAGE_PAGE)
		       ? to->ops->zero(to, &h, block, p.offset, IMAGE_PAGE, err)
		       : 0;
}

static bool is_cancelled(const struct mr_watch *watch)
{
	return watch && watch->cancel && atomic_load(watch->cancel);
}

int twice_settle(const struct twice *t, struct sink *to,
		 const struct mr_watch *watch, struct mr_error *err)
{
	for (size_t i = 0; t->m && i < t->m->n; i++) {
		const uint64_t *again = t->blocks[i].again;
		uint64_t n = pages_of(t, i);

		assert(t->m->page == IMAGE_PAGE);
		for (uint64_t p = bits_next_set(again, 0, n); p < n;
		     p = bits_next_set(again, p + 1, n)) {
			if (is_cancelled(watch))
				return error_set(err, MR_CANCELLED,
						 MR_NO_OFFSET, "cancelled");
			if (put_again(t, to, i, p, err))
				return -1;
		}
	}
	return 0;
}
