/* RAM items, block list entries, XBZRLE; the first byte says which. */
#include "formats/ram.h"
#include "tests/fuzz/fuzz.h"

static uint32_t take_page_size(struct input *in)
{
	return UINT32_C(1024) << take_8(in) % 7;
}

/* ---- items ---- */

struct item_arg {
	uint32_t page_size;
	struct ram_item item;
};

static ssize_t run_item(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	struct item_arg *a = arg;

	return ram_item_decode(buf, len, a->page_size, &a->item, f);
}

static void item(struct input *in)
{
	struct item_arg a = { .page_size = take_page_size(in) };
	uint8_t back[RAM_ITEM_MAX];
	ssize_t n = decode(in, run_item, &a, 0);

	if (n < 0)
		return;
	must(n <= RAM_ITEM_MAX);
	must(ram_kind_name(a.item.kind));
	must(a.item.offset % a.page_size == 0);
	must(a.item.data_len <= (a.item.kind == RAM_COMPRESS
					 ? ram_compress_max(a.page_size)
					 : a.page_size));
	must(ram_item_encode(back, &a.item) == (size_t)n);
	must(!memcmp(back, in->p, (size_t)n));
}

/* ---- block list ---- */

struct block_arg {
	struct ram_list_form form;
	struct ram_block block;
};

static ssize_t run_block(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	struct block_arg *a = arg;

	return ram_block_decode(buf, len, &a->form, &a->block, f);
}

static void block(struct input *in)
{
	uint8_t form = take_8(in), back[RAM_BLOCK_MAX];
	struct block_arg a = {
		.form = { .host_page_size = form & 1,
			  .addr = form & 2,
			  .mapped_ram = form & 4,
			  .page_size = form & 8 ? take_page_size(in) : 0 }
	};
	uint64_t total = take_be(in, 8), left = total;
	ssize_t n = decode(in, run_block, &a, 0);
	struct fault f;

	if (n < 0)
		return;
	must(n <= RAM_BLOCK_MAX);
	must(a.block.used_length);
	must(ram_block_header_at(&a.form, &a.block) +
		     (a.form.mapped_ram ? MAPPED_RAM_HEADER_SIZE : 0) ==
	     (size_t)n);
	must(ram_block_encode(back, &a.form, &a.block) == (size_t)n);
	must(!memcmp(back, in->p, (size_t)n));
	if (!ram_list_take(&left, a.block.used_length, &f))
		must(left + a.block.used_length == total && left < total);
	else
		check_fault(&f, 0);
}

/* ---- XBZRLE ---- */

static void xbzrle(struct input *in)
{
	size_t size = take_page_size(in);
	uint8_t *page = malloc(size), *old = malloc(size);
	uint8_t *body = malloc(in->len ? in->len : 1);
	struct fault f = { .kind = FAULT_NONE }, g;
	int rc;

	must(page && old && body);
	memset(page, 0xa5, size);
	memcpy(old, page, size);
	if (in->len)
		memcpy(body, in->p, in->len);
	rc = ram_xbzrle_check(body, in->len, size, &f);
	if (rc)
		check_fault(&f, in->len);
	must(ram_xbzrle_apply(body, in->len, page, size, &g) == rc);
	must(rc == 0 || !memcmp(page, old, size));
	free(body);
	free(old);
	free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct input * in) = { item, block,
							      xbzrle };
	struct input in = { data, size };

	targets[take_8(&in) % (sizeof(targets) / sizeof(targets[0]))](&in);
	return 0;
}
