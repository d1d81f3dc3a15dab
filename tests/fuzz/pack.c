/* Frames, label, extents, parts and index of a pack. */
#include "formats/bits.h"
#include "formats/pack.h"
#include "tests/fuzz/fuzz.h"

/* What a decoder is told beside the bytes, and what it makes of them. */
struct arg {
	struct pack_label label;
	uint64_t number;
	union {
		struct pack_skip skip;
		struct pack_label label;
		struct pack_extent extent;
		struct pack_index_head head;
		struct pack_block block;
		struct pack_entry entry;
		struct pack_end end;
	} out;
};

static ssize_t run_skip(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	struct arg *a = arg;

	return pack_skip_decode(buf, len, &a->out.skip, f);
}

static ssize_t run_extent(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	struct arg *a = arg;

	return pack_extent_decode(buf, len, &a->label, &a->out.extent, f);
}

static ssize_t run_head(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	struct arg *a = arg;

	return pack_index_head_decode(buf, len, a->number, &a->out.head, f);
}

static ssize_t run_block(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	struct arg *a = arg;

	return pack_block_decode(buf, len, &a->out.block, f);
}

static ssize_t run_entry(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	struct arg *a = arg;

	return pack_entry_decode(buf, len, &a->label, &a->out.entry, f);
}

static ssize_t run_end(void *arg, const uint8_t *buf, size_t len,
		       struct fault *f)
{
	struct arg *a = arg;

	return pack_end_decode(buf, len, a->number, &a->out.end, f);
}

/* The whole of what is left, which is all that a label's frame has. */
static void label(struct input *in)
{
	uint8_t back[PACK_LABEL_MAX];
	struct pack_label l;
	struct fault f = { .kind = FAULT_NONE };
	ssize_t n = pack_label_decode(in->p, in->len, &l, &f);

	if (n < 0) {
		check_fault(&f, in->len);
		return;
	}
	must((size_t)n == in->len && in->len <= sizeof(back));
	must(pack_label_encode(back, &l) == in->len);
	must(!memcmp(back, in->p, in->len));
	must(pack_pages(&l) >= 64 && pack_pages(&l) <= PACK_EXTENT_PAGES);
	must(!(l.flags & PACK_INCREMENT) == !l.below);
	must(pack_part_max(&l) < 2 * (size_t)PACK_EXTENT_MAX);
	must(pack_entry_size(&l) <= PACK_INDEX_EXTENT_MAX);
}

static void check_place(const struct pack_place *p, uint64_t content)
{
	must(p->size && p->content && p->content <= content);
	must(p->size <= PACK_PACKED_MAX(p->content));
	must(p->offset + p->size <= INT64_MAX);
}

/* Its PART, of a block of this name, without the pages. */
static void part(const struct pack_label *l, const struct pack_extent *e,
		 const char *name)
{
	static uint8_t buf[PACK_BEHIND_MAX];
	size_t pages = pack_pages(l), n = 0, at = 0;

	for (size_t p = 0; p < pages; p++) {
		if (!bits_test(e->there, p))
			continue;
		at += pack_part_before(buf, l, e, name, n, p);
		must(at == pack_part_at(l, name, n));
		at += l->page_size;
		n++;
	}
	at += pack_part_behind(buf, l, e, name);
	must(at == pack_part_size(l, e, name) && at <= pack_part_max(l));
	must(pack_note_size(l, e) == pack_extent_size(l) + n * 8);
	must(pack_note_size(l, e) <= PACK_NOTE_MAX);
}

static void check_extent(const struct pack_label *l,
			 const struct pack_extent *e, uint64_t length)
{
	uint64_t end = 0, any = 0;
	struct fault f;
	bool in;

	for (size_t p = 0; p < pack_pages(l); p++) {
		bool there = bits_test(e->there, p),
		     zero = bits_test(e->zero, p);

		must(!there || !zero);
		any += there || zero;
		if (there || zero)
			end = (p + 1) * l->page_size;
	}
	must(any && e->offset % l->extent_size == 0);
	/* No sum wraps: length is less by what an extent has. */
	in = e->offset < length && end <= length - e->offset;
	must(pack_extent_check(l, e, length, &f) == (in ? 0 : -1));
	part(l, e, "r");
	part(l, e, "pc.ram");
}

static void take_label(struct input *in, struct pack_label *l)
{
	unsigned int page = 10 + take_8(in) % 7, most = 22 - 6 - page;

	*l = (struct pack_label){ .page_size = 1U << page };
	l->extent_size = l->page_size << (6 + take_8(in) % (most + 1));
}

static void check_back(const struct input *in, const uint8_t *back, size_t len,
		       ssize_t n)
{
	must(len == (size_t)n);
	must(!memcmp(back, in->p, len));
}

static void skip(struct input *in, struct arg *a)
{
	uint8_t back[PACK_SKIP_SIZE];
	ssize_t n = decode(in, run_skip, a, 0);

	if (n < 0)
		return;
	check_back(in, back, pack_skip_encode(back, &a->out.skip), n);
	must(pack_is_skip(in->p, in->len) && !pack_is_zstd(in->p, in->len));
	must(!pack_is_pack(in->p, in->len) || a->out.skip.kind == PACK_LABEL);
	in->p += n;
	in->len -= (size_t)n;
	if (a->out.skip.kind == PACK_LABEL)
		label(in);
}

static void extent(struct input *in, struct arg *a)
{
	uint8_t back[PACK_INDEX_EXTENT_MAX];
	ssize_t n;

	take_label(in, &a->label);
	n = decode(in, run_extent, a, 0);
	if (n < 0)
		return;
	check_back(in, back,
		   pack_extent_encode(back, &a->label, &a->out.extent), n);
	check_extent(&a->label, &a->out.extent, a->number);
}

static void entry(struct input *in, struct arg *a)
{
	uint8_t back[PACK_INDEX_EXTENT_MAX];
	ssize_t n;

	take_label(in, &a->label);
	n = decode(in, run_entry, a, 0);
	if (n < 0)
		return;
	check_back(in, back, pack_entry_encode(back, &a->label, &a->out.entry),
		   n);
	check_place(&a->out.entry.place, pack_part_max(&a->label));
	check_extent(&a->label, &a->out.entry.extent, a->number);
}

static void head(struct input *in, struct arg *a)
{
	const struct pack_index_head *h = &a->out.head;
	uint8_t back[PACK_INDEX_HEAD_SIZE];
	ssize_t n = decode(in, run_head, a, 0);

	if (n < 0)
		return;
	check_back(in, back, pack_index_head_encode(back, h), n);
	check_place(&h->head, PACK_HEAD_MAX);
	check_place(&h->tail, PACK_TAIL_MAX);
	must(h->blocks && h->blocks <= PACK_BLOCKS_LIMIT);
	must(h->extents <= a->number / 80);
}

static void block(struct input *in, struct arg *a)
{
	uint8_t back[PACK_INDEX_BLOCK_MAX];
	ssize_t n = decode(in, run_block, a, 0);

	if (n >= 0)
		check_back(in, back, pack_block_encode(back, &a->out.block), n);
}

static void end(struct input *in, struct arg *a)
{
	uint8_t back[PACK_INDEX_END_SIZE];
	ssize_t n = decode(in, run_end, a, 0);

	if (n < 0)
		return;
	check_back(in, back, pack_end_encode(back, &a->out.end), n);
	must(pack_is_end(in->p, PACK_INDEX_END_SIZE));
	must(a->out.end.length + UINT64_C(8) <= a->number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const items[])(struct input * in, struct arg * a) = {
		skip, extent, entry, head, block, end,
	};
	struct input in = { data, size };
	struct arg a = { .number = 0 };
	size_t item = take_8(&in) % 6;

	a.number = take_be(&in, 8);
	items[item](&in, &a);
	return 0;
}
