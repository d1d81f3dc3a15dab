/* Head, blocks and runs of a record of touched pages. */
#include "formats/touched.h"
#include "tests/fuzz/fuzz.h"

enum { BLOCKS = 8 };

static ssize_t run_head(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return touched_head_decode(buf, len, arg, f);
}

static ssize_t run_block(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	return touched_block_decode(buf, len, arg, f);
}

struct run_arg {
	struct touched_head head;
	struct touched_block blocks[BLOCKS];
	struct touched_run run;
};

static ssize_t run_run(void *arg, const uint8_t *buf, size_t len,
		       struct fault *f)
{
	struct run_arg *a = arg;

	return touched_run_decode(buf, len, &a->head, a->blocks, &a->run, f);
}

/* What was decoded comes out again as it was. */
static void step(struct input *in, const uint8_t *back, size_t size, ssize_t n)
{
	must(size == (size_t)n);
	must(!memcmp(back, in->p, size));
	in->p += n;
	in->len -= (size_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t back[TOUCHED_BLOCK_MAX];
	struct run_arg a;
	ssize_t n = decode(&in, run_head, &a.head, 0);

	if (n < 0)
		return 0;
	must(touched_is_head(in.p, in.len));
	step(&in, back, touched_head_encode(back, &a.head), n);
	if (a.head.blocks > BLOCKS)
		return 0;
	for (uint32_t i = 0; i < a.head.blocks; i++) {
		n = decode(&in, run_block, &a.blocks[i], 0);
		if (n < 0)
			return 0;
		step(&in, back, touched_block_encode(back, &a.blocks[i]), n);
	}
	while ((n = decode(&in, run_run, &a, 0)) > 0) {
		struct touched_block *b = &a.blocks[a.run.block];

		must(a.run.groups > 0);
		must((uint64_t)a.run.first + a.run.groups <=
		     touched_groups(b->used_length, a.head.group_size));
		b->named += a.run.groups;
		must(b->named <=
		     touched_groups(b->used_length, a.head.group_size));
		step(&in, back, touched_run_encode(back, &a.run), n);
	}
	return 0;
}
