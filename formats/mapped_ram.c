/* mapped_ram.c - RAM at fixed offsets of a file (mapped_ram.h). */
#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "formats/mapped_ram.h"

/* ---- header ---- */

ssize_t mapped_ram_header_decode(const uint8_t *buf, size_t len,
				 struct mapped_ram_header *out, struct fault *f)
{
	if (len < MAPPED_RAM_HEADER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside a mapped-ram header");
	*out = (struct mapped_ram_header){
		.version = get_be32(buf),
		.page_size = get_be64(buf + 4),
		.bitmap_offset = get_be64(buf + 12),
		.pages_offset = get_be64(buf + 20),
	};
	if (out->version > MAPPED_RAM_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 0,
				   "unknown mapped-ram version", out->version);
	return MAPPED_RAM_HEADER_SIZE;
}

size_t mapped_ram_header_encode(uint8_t buf[MAPPED_RAM_HEADER_SIZE],
				const struct mapped_ram_header *h)
{
	put_be32(buf, h->version);
	put_be64(buf + 4, h->page_size);
	put_be64(buf + 12, h->bitmap_offset);
	put_be64(buf + 20, h->pages_offset);
	return MAPPED_RAM_HEADER_SIZE;
}

/* ---- layout ---- */

bool mapped_ram_page_size_ok(uint64_t page_size)
{
	return page_size >= MAPPED_RAM_PAGE_MIN &&
	       page_size <= MAPPED_RAM_PAGE_MAX &&
	       (page_size & (page_size - 1)) == 0;
}

uint64_t mapped_ram_num_pages(uint64_t used_length, uint64_t page_size)
{
	return used_length / page_size + (used_length % page_size != 0);
}

int mapped_ram_layout(uint64_t start, size_t name_len, bool has_addr,
		      uint64_t used_length, uint64_t page_size, bool ignored,
		      struct mapped_ram_place *out, struct fault *f)
{
	uint64_t header_end;

	if (!mapped_ram_page_size_ok(page_size))
		return fault_value(f, FAULT_BAD, 0, "illegal page size",
				   page_size);
	if (used_length == 0 || used_length % page_size)
		return fault_value(f, FAULT_BAD, 0,
				   "block length is not whole pages",
				   used_length);
	if (name_len == 0 || name_len > 255)
		return fault_value(f, FAULT_BAD, 0, "illegal name length",
				   name_len);
	/* With each term below 2^62 no sum here wraps: the bitmap is at most
	 * 1/8192 of the length. */
	if (start >= UINT64_C(1) << 62 || used_length >= UINT64_C(1) << 62)
		return fault_value(f, FAULT_BAD, 0, "block ends past 2^63",
				   start > used_length ? start : used_length);

	*out = (struct mapped_ram_place){
		.entry = start,
		.header = start + 1 + name_len + 8 + (has_addr ? 8 : 0),
		.num_pages = mapped_ram_num_pages(used_length, page_size),
	};
	header_end = out->header + MAPPED_RAM_HEADER_SIZE;
	if (ignored) {
		out->end = header_end;
		return 0;
	}
	out->bitmap_offset = header_end;
	out->bitmap_size = bits_size(out->num_pages);
	out->pages_offset =
		(out->bitmap_offset + out->bitmap_size + MAPPED_RAM_ALIGN - 1) /
		MAPPED_RAM_ALIGN * MAPPED_RAM_ALIGN;
	out->end = out->pages_offset + used_length;
	if (out->end > INT64_MAX)
		return fault_value(f, FAULT_BAD, 0, "block ends past 2^63",
				   out->end);
	return 0;
}

/* ---- bitmaps ---- */

void mapped_ram_tally_add(struct mapped_ram_tally *t, uint64_t num_pages,
			  uint64_t first, const uint64_t *words, size_t nwords)
{
	size_t i;

	for (i = 0; i < nwords; i++) {
		uint64_t base = first + i * BITS_PER_WORD;
		uint64_t left = base < num_pages ? num_pages - base : 0;
		uint64_t in = left >= BITS_PER_WORD ? UINT64_MAX
						    : (UINT64_C(1) << left) - 1;
		uint64_t pages = words[i] & in;

		t->stray += bits_weight(words[i] & ~in);
		t->pages += bits_weight(pages);
		if (pages)
			t->present_end = base + BITS_PER_WORD -
					 (uint64_t)__builtin_clzll(pages);
	}
}

/* ---- checking ---- */

int mapped_ram_block_end(const struct mapped_ram_block *b, bool ignore_shared,
			 uint64_t *end, struct fault *f)
{
	uint64_t header_end;

	if (b->header > INT64_MAX - MAPPED_RAM_HEADER_SIZE)
		return fault_value(f, FAULT_BAD, 0, "header past 2^63",
				   b->header);
	header_end = b->header + MAPPED_RAM_HEADER_SIZE;
	if (ignore_shared && mapped_ram_ignored(&b->h)) {
		*end = header_end;
		return 0;
	}
	if (b->h.pages_offset < header_end)
		return fault_value(f, FAULT_BAD, 20, "pages before the header",
				   b->h.pages_offset);
	if (b->h.pages_offset > INT64_MAX ||
	    b->used_length > INT64_MAX - b->h.pages_offset)
		return fault_value(f, FAULT_BAD, 20, "block ends past 2^63",
				   b->h.pages_offset);
	*end = b->h.pages_offset + b->used_length;
	return 0;
}

/* A check under way. */
struct check {
	const struct mapped_ram_list *list;
	mapped_ram_report_fn *report;
	void *arg;
	uint64_t page_size; /* that all headers must have; 0: not known */
	uint64_t prev_end; /* of the blocks so far */
	size_t count;
	bool stop;
};

static const struct {
	const char *what;
	bool loads;
} flaws[MAPPED_RAM_FLAWS] = {
	[MAPPED_RAM_NO_BLOCKS] = { "no RAM in the list", false },
	[MAPPED_RAM_TOTAL] = { "block lengths do not add up to the total",
			       false },
	[MAPPED_RAM_NAME_TWICE] = { "block is listed twice", false },
	[MAPPED_RAM_BAD_VERSION] = { "header version is not 1", true },
	[MAPPED_RAM_BAD_PAGE_SIZE] = { "wrong page size", false },
	[MAPPED_RAM_BAD_LENGTH] = { "block length is not whole pages", false },
	[MAPPED_RAM_IGNORED] = { "block has no memory in the file", false },
	[MAPPED_RAM_BITMAP_EARLY] = { "bitmap overlaps the header", false },
	[MAPPED_RAM_BITMAP_LONG] = { "bitmap reaches into the pages", false },
	[MAPPED_RAM_PAGES_EARLY] = { "pages overlap the header", false },
	[MAPPED_RAM_PAGES_ALIGN] = { "pages offset is not page-aligned",
				     false },
	[MAPPED_RAM_PAGES_ODD] = { "pages offset is not a multiple of 1 MiB",
				   true },
	[MAPPED_RAM_OVERFLOW] = { "block ends past 2^63", false },
	[MAPPED_RAM_OVERLAP] = { "block overlaps the one before it", false },
	[MAPPED_RAM_PAST_END] = { "file ends inside the block", false },
	[MAPPED_RAM_PAGE_PAST_END] = { "file ends before the last present page",
				       false },
	[MAPPED_RAM_STRAY_BITS] = { "bits set beyond the last page", true },
};

static void say(struct check *c, enum mapped_ram_flaw flaw, size_t block,
		uint64_t at, uint64_t value, uint64_t want)
{
	const struct mapped_ram_report r = {
		.flaw = flaw,
		.block = block,
		.at = at,
		.what = flaws[flaw].what,
		.value = value,
		.want = want,
		.loads = flaws[flaw].loads,
	};

	if (c->stop)
		return;
	c->count++;
	c->stop = c->report(c->arg, &r) != 0;
}

static void check_list(struct check *c)
{
	const struct mapped_ram_list *l = c->list;
	uint64_t sum = 0, at = l->n ? l->blocks[0].entry : 0;
	size_t i;

	if (l->n == 0 || l->total == 0) {
		say(c, MAPPED_RAM_NO_BLOCKS, l->n, at, l->total, 1);
		return;
	}
	/* A sum that wraps can't equal the total by luck: it stays at the
	 * top, and totals are multiples of the page size. */
	for (i = 0; i < l->n; i++)
		if (__builtin_add_overflow(sum, l->blocks[i].used_length, &sum))
			sum = UINT64_MAX;
	if (sum != l->total)
		say(c, MAPPED_RAM_TOTAL, l->n, at, sum, l->total);
}

static void check_name(struct check *c, size_t i)
{
	const struct mapped_ram_block *blocks = c->list->blocks;
	size_t j;

	for (j = 0; j < i; j++)
		if (strcmp(blocks[i].name, blocks[j].name) == 0) {
			say(c, MAPPED_RAM_NAME_TWICE, i, blocks[i].entry, i, j);
			return;
		}
}

/* Version, page size, length: whether the bitmap's size is known. */
static bool check_fields(struct check *c, size_t i)
{
	const struct mapped_ram_block *b = &c->list->blocks[i];
	uint64_t ps = b->h.page_size;
	uint64_t length_at = b->entry + 1 + strlen(b->name);
	bool sized;

	if (b->h.version != MAPPED_RAM_VERSION)
		say(c, MAPPED_RAM_BAD_VERSION, i, b->header, b->h.version,
		    MAPPED_RAM_VERSION);
	if (c->page_size == 0 && mapped_ram_page_size_ok(ps))
		c->page_size = ps;
	sized = ps == c->page_size && mapped_ram_page_size_ok(ps);
	if (!sized)
		say(c, MAPPED_RAM_BAD_PAGE_SIZE, i, b->header + 4, ps,
		    c->page_size);
	if (b->used_length == 0 || (sized && b->used_length % ps)) {
		say(c, MAPPED_RAM_BAD_LENGTH, i, length_at, b->used_length, ps);
		return false;
	}
	return sized;
}

/* The bitmap against header and pages; bitmap_size 0: not known. */
static void check_bitmap(struct check *c, size_t i, uint64_t bitmap_size)
{
	const struct mapped_ram_block *b = &c->list->blocks[i];
	uint64_t header_end = b->header + MAPPED_RAM_HEADER_SIZE;

	if (b->h.bitmap_offset < header_end)
		say(c, MAPPED_RAM_BITMAP_EARLY, i, b->header + 12,
		    b->h.bitmap_offset, header_end);
	else if (b->h.pages_offset >= header_end &&
		 (b->h.bitmap_offset > b->h.pages_offset ||
		  b->h.pages_offset - b->h.bitmap_offset < bitmap_size))
		say(c, MAPPED_RAM_BITMAP_LONG, i, b->header + 12,
		    b->h.bitmap_offset, b->h.pages_offset);
}

/* Where the pages begin and end. */
static void check_pages(struct check *c, size_t i, bool sized)
{
	const struct mapped_ram_block *b = &c->list->blocks[i];
	uint64_t header_end = b->header + MAPPED_RAM_HEADER_SIZE;
	uint64_t at = b->header + 20, pages = b->h.pages_offset;
	uint64_t end, present;

	if (pages < header_end)
		say(c, MAPPED_RAM_PAGES_EARLY, i, at, pages, header_end);
	if (sized && pages % b->h.page_size)
		say(c, MAPPED_RAM_PAGES_ALIGN, i, at, pages, b->h.page_size);
	else if (pages % MAPPED_RAM_ALIGN)
		say(c, MAPPED_RAM_PAGES_ODD, i, at, pages, MAPPED_RAM_ALIGN);
	if (__builtin_add_overflow(pages, b->used_length, &end) ||
	    end > INT64_MAX) {
		say(c, MAPPED_RAM_OVERFLOW, i, at, pages, INT64_MAX);
		return;
	}
	if (end > c->prev_end)
		c->prev_end = end;
	present =
		b->tally && sized ? b->tally->present_end * b->h.page_size : 0;
	if (present && pages + present > c->list->file_size)
		say(c, MAPPED_RAM_PAGE_PAST_END, i, c->list->file_size,
		    c->list->file_size, pages + present);
	else if (end > c->list->file_size)
		say(c, MAPPED_RAM_PAST_END, i, c->list->file_size,
		    c->list->file_size, end);
}

static void check_block(struct check *c, size_t i)
{
	const struct mapped_ram_block *b = &c->list->blocks[i];
	uint64_t header_end = b->header + MAPPED_RAM_HEADER_SIZE;
	uint64_t bitmap_size = 0, pages;
	bool sized;

	if (b->entry < c->prev_end)
		say(c, MAPPED_RAM_OVERLAP, i, b->entry, b->entry, c->prev_end);
	if (header_end > c->prev_end)
		c->prev_end = header_end;
	check_name(c, i);
	sized = check_fields(c, i);
	if (mapped_ram_ignored(&b->h)) {
		if (!c->list->ignore_shared)
			say(c, MAPPED_RAM_IGNORED, i, b->header + 12, 0,
			    header_end);
		return;
	}
	if (sized) {
		pages = mapped_ram_num_pages(b->used_length, b->h.page_size);
		bitmap_size = bits_size(pages);
	}
	check_bitmap(c, i, bitmap_size);
	check_pages(c, i, sized);
	if (b->tally && sized && b->tally->stray)
		say(c, MAPPED_RAM_STRAY_BITS, i, b->h.bitmap_offset,
		    b->tally->stray, 0);
}

size_t mapped_ram_check(const struct mapped_ram_list *list,
			mapped_ram_report_fn *report, void *arg)
{
	struct check c = {
		.list = list,
		.report = report,
		.arg = arg,
		.page_size = list->page_size,
	};
	size_t i;

	check_list(&c);
	for (i = 0; i < list->n && !c.stop; i++)
		check_block(&c, i);
	return c.count;
}
