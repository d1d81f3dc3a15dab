/* mapped-ram headers, layouts, checks, bitmaps; the first byte says which. */
#include "formats/bits.h"
#include "formats/mapped_ram.h"
#include "formats/name.h"
#include "tests/fuzz/fuzz.h"

enum { BLOCKS = 6 };

/* ---- header ---- */

static ssize_t run_header(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return mapped_ram_header_decode(buf, len, arg, f);
}

static void header(struct input *in)
{
	uint8_t back[MAPPED_RAM_HEADER_SIZE];
	struct mapped_ram_header h;

	if (decode(in, run_header, &h, 0) < 0)
		return;
	must(mapped_ram_header_encode(back, &h) == sizeof(back));
	must(!memcmp(back, in->p, sizeof(back)));
}

/* ---- checks ---- */

struct tale {
	const struct mapped_ram_list *list;
	size_t reports, stop_after;
};

static int hear(void *arg, const struct mapped_ram_report *r)
{
	struct tale *t = arg;

	must((unsigned int)r->flaw < MAPPED_RAM_FLAWS);
	must(r->block <= t->list->n);
	must(r->what && *r->what && !strchr(r->what, '\n'));
	return ++t->reports == t->stop_after;
}

static size_t check_all(const struct mapped_ram_list *list, size_t stop_after)
{
	struct tale t = { .list = list, .stop_after = stop_after };

	must(mapped_ram_check(list, hear, &t) == t.reports);
	return t.reports;
}

/* Any list at all, with numbers near each other now and then. */
static void check_any(struct input *in)
{
	struct mapped_ram_block b[BLOCKS] = { { .name = NULL } };
	struct mapped_ram_tally t[BLOCKS];
	char names[BLOCKS][4];
	struct mapped_ram_list list = { .blocks = b,
					.n = take_8(in) % (BLOCKS + 1),
					.total = take_be(in, 8),
					.page_size = take_be(in, 4),
					.file_size = take_be(in, 8),
					.ignore_shared = take_8(in) & 1 };
	size_t stop_after = take_8(in), n;

	for (size_t i = 0; i < list.n; i++) {
		struct fault f;
		uint64_t end;

		take_text(in, names[i], sizeof(names[i]) - 1);
		t[i] = (struct mapped_ram_tally){
			.pages = take_8(in),
			.present_end = take_be(in, 3),
			.stray = take_8(in) & 1,
		};
		b[i] = (struct mapped_ram_block){
			.name = names[i],
			.used_length = take_be(in, 8),
			.entry = take_be(in, 8) >> 2,
			.header = take_be(in, 8) >> 2,
			.h = { .version = (uint32_t)take_be(in, 2),
			       .page_size = take_be(in, 8),
			       .bitmap_offset = take_be(in, 8),
			       .pages_offset = take_be(in, 8) },
			.tally = take_8(in) & 1 ? &t[i] : NULL,
		};
		if (mapped_ram_block_end(&b[i], list.ignore_shared, &end, &f))
			check_fault(&f, MAPPED_RAM_HEADER_SIZE);
		else
			must(end > b[i].header && end <= INT64_MAX);
	}
	n = check_all(&list, 0);
	if (stop_after && stop_after <= n)
		must(check_all(&list, stop_after) == stop_after);
}

/* What the layout says is sound, and ends where the next one begins. */
static void check_layout(struct input *in)
{
	static const char *const names[BLOCKS] = { "a", "bb",  "c",
						   "d", "eee", "f" };
	struct mapped_ram_block b[BLOCKS] = { { .name = NULL } };
	struct mapped_ram_list list = { .blocks = b,
					.page_size = UINT64_C(1024)
						     << take_8(in) % 7,
					.ignore_shared = take_8(in) & 1 };
	uint64_t start = take_be(in, 4), end;
	struct fault f;

	for (; list.n < BLOCKS && in->len; list.n++) {
		struct mapped_ram_block *k = &b[list.n];
		bool ignored = list.ignore_shared && take_8(in) & 1;
		struct mapped_ram_place place;

		k->name = names[list.n];
		/* Ignored blocks take no room: keep their sum in 64 bits. */
		k->used_length = take_be(in, ignored ? 5 : 6) * list.page_size;
		if (mapped_ram_layout(start, strlen(k->name),
				      list.ignore_shared, k->used_length,
				      list.page_size, ignored, &place, &f)) {
			check_fault(&f, 0);
			return;
		}
		k->entry = place.entry;
		k->header = place.header;
		k->h = (struct mapped_ram_header){
			.version = MAPPED_RAM_VERSION,
			.page_size = list.page_size,
			.bitmap_offset = place.bitmap_offset,
			.pages_offset = place.pages_offset,
		};
		must(!mapped_ram_block_end(k, list.ignore_shared, &end, &f));
		must(end == place.end);
		list.total += k->used_length;
		start = end;
	}
	list.file_size = start;
	if (list.n)
		must(check_all(&list, 0) == 0);
}

/* ---- bitmaps ---- */

enum { WORDS = 8, BITS = WORDS * BITS_PER_WORD };

static void compare(const uint64_t *words, const bool *bits, size_t from,
		    size_t end)
{
	size_t set = from, clear = from, count = 0;

	for (size_t i = 0; i < BITS; i++)
		must(bits_test(words, i) == bits[i]);
	for (size_t i = from; i < end; i++)
		count += bits[i];
	while (set < end && !bits[set])
		set++;
	while (clear < end && bits[clear])
		clear++;
	must(bits_next_set(words, from, end) == set);
	must(bits_next_clear(words, from, end) == clear);
	must(bits_count(words, from, end - from) == count);
}

static void tally(const uint64_t *words, const bool *bits, size_t pages,
		  size_t split)
{
	struct mapped_ram_tally t = { 0 }, want = { 0 };

	for (size_t i = 0; i < BITS; i++) {
		if (!bits[i])
			continue;
		if (i >= pages) {
			want.stray++;
			continue;
		}
		want.pages++;
		want.present_end = i + 1;
	}
	mapped_ram_tally_add(&t, pages, 0, words, split);
	mapped_ram_tally_add(&t, pages, split * BITS_PER_WORD, words + split,
			     WORDS - split);
	must(t.pages == want.pages && t.stray == want.stray &&
	     t.present_end == want.present_end);
}

static void bitmap(struct input *in)
{
	uint64_t words[WORDS];
	bool bits[BITS];

	for (size_t i = 0; i < WORDS; i++)
		words[i] = take_be(in, 8);
	for (size_t i = 0; i < BITS; i++)
		bits[i] = words[i / 64] >> i % 64 & 1;
	while (in->len) {
		unsigned int op = take_8(in);
		size_t from = take_be(in, 2) % (BITS + 1);
		size_t end = from + take_be(in, 2) % (BITS + 1 - from);

		if (op & 1)
			bits_set(words, from, end - from);
		else if (op & 2)
			bits_clear(words, from, end - from);
		for (size_t i = from; op & 3 && i < end; i++)
			bits[i] = op & 1;
		compare(words, bits, from, end);
		tally(words, bits, end, from % (WORDS + 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct input * in) = {
		header,
		check_any,
		check_layout,
		bitmap,
	};
	struct input in = { data, size };

	targets[take_8(&in) % (sizeof(targets) / sizeof(targets[0]))](&in);
	return 0;
}
