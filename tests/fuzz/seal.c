/* Head, blocks and end of a seal, and the places of its digests. */
#include "formats/seal.h"
#include "tests/fuzz/fuzz.h"

enum { BLOCKS = 8 };

static ssize_t run_head(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return seal_head_decode(buf, len, arg, f);
}

static ssize_t run_block(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	return seal_block_decode(buf, len, arg, f);
}

struct end_arg {
	uint64_t file_size;
	struct seal_end end;
};

static ssize_t run_end(void *arg, const uint8_t *buf, size_t len,
		       struct fault *f)
{
	struct end_arg *a = arg;

	return seal_end_decode(buf, len, a->file_size, &a->end, f);
}

static void end(struct input *in)
{
	struct end_arg a = { .file_size = take_be(in, 8) };
	uint8_t back[SEAL_END_SIZE];

	if (decode(in, run_end, &a, 0) < 0)
		return;
	must(a.end.length <= a.file_size);
	must(seal_is_end(in->p, SEAL_END_SIZE));
	must(seal_end_encode(back, &a.end) == sizeof(back));
	must(!memcmp(back, in->p, sizeof(back)));
}

/* Digests lie in order, each part's behind the one before. */
static void check_places(const struct seal_head *h, const struct seal_block *b,
			 const struct seal_places *p)
{
	uint64_t at = seal_head_size(h), file = h->stream_offset;

	for (uint32_t i = 0; i < h->blocks; i++)
		at += 1 + strlen(b[i].name) + 40;
	must(p->tables >= at);
	must(h->version > 1 || p->tables == at);
	at = p->tables;
	for (uint32_t i = 0; i < h->blocks; i++) {
		bool has = h->version > 1 && b[i].n_extents;

		must(b[i].table == (has ? h->seal_offset + at : 0));
		at += has ? b[i].used_length / h->page_size * 8 : 0;
	}
	must(p->tables_end == at && p->front == at);
	at += SEAL_DIGEST_SIZE * seal_pieces(h->stream_offset, h->piece_size);
	for (uint32_t i = 0; i < h->blocks; i++) {
		must(b[i].header_start == file && b[i].header_end > file);
		file = b[i].n_extents ? b[i].pages_offset + b[i].used_length
				      : b[i].header_end;
		must(b[i].header_digests == at);
		must(b[i].bitmap_digests > at);
		must(b[i].words >= b[i].bitmap_digests);
		must(b[i].extent_digests ==
		     b[i].words + 8 * seal_words(b[i].n_extents));
		must(b[i].extents <= b[i].n_extents);
		at = b[i].extent_digests + SEAL_DIGEST_SIZE * b[i].extents;
	}
	must(file == h->tail_offset && p->tail == at);
	at += SEAL_DIGEST_SIZE *
	      seal_pieces(h->seal_offset - h->tail_offset, h->piece_size);
	must(p->length == at + SEAL_END_SIZE);
}

static void arrange(struct input *in)
{
	struct seal_block b[BLOCKS];
	uint8_t back[SEAL_HEAD_MAX];
	struct seal_places places;
	struct seal_head h;
	struct fault f;
	ssize_t n = decode(in, run_head, &h, 0);

	if (n < 0)
		return;
	must(seal_is_head(in->p, in->len));
	must(seal_head_size(&h) == (size_t)n);
	must(seal_head_encode(back, &h) == (size_t)n);
	must(!memcmp(back, in->p, (size_t)n));
	if (h.blocks > BLOCKS)
		return;
	for (uint32_t i = 0; i < h.blocks; i++) {
		in->p += n;
		in->len -= (size_t)n;
		n = decode(in, run_block, &b[i], 0);
		if (n < 0)
			return;
		must(seal_block_encode(back, &b[i]) == (size_t)n);
		must(!memcmp(back, in->p, (size_t)n));
	}
	if (seal_arrange(&h, b, &places, &f))
		check_fault(&f, SEAL_HEAD_SIZE);
	else
		check_places(&h, b, &places);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (take_8(&in) & 1)
		end(&in);
	else
		arrange(&in);
	return 0;
}
