/* json.c - what mrdiff found, for programs. */
#include "tools/diff/diff.h"
#include "tools/common/field.h"

static const char *const side_key[MR_SIDES] = { "a", "b" };
static const char *const class_key[MR_DIFF_CLASSES] = {
	[MR_DIFF_ZERO] = "zero",       [MR_DIFF_EQUAL] = "equal",
	[MR_DIFF_CHANGED] = "changed", [MR_DIFF_ONLY_A] = "only_a",
	[MR_DIFF_ONLY_B] = "only_b",
};

static void put_classes(const uint64_t pages[MR_DIFF_CLASSES])
{
	cli_json_put_open("pages", '{');
	for (int c = 0; c < MR_DIFF_CLASSES; c++)
		cli_json_put_number(class_key[c], pages[c]);
	cli_json_close();
}

static void put_ranges(const struct mr_diff *d, size_t block)
{
	uint64_t size = mr_diff_info(d)->page_size, first = 0, n;
	enum mr_diff_class c;

	cli_json_put_open("ranges", '[');
	for (; (n = mr_diff_next(d, block, &first, &c)) > 0; first += n) {
		cli_json_item();
		cli_json_open('{');
		cli_json_put_number("offset", first * size);
		cli_json_put_number("length", n * size);
		cli_json_put_text("what", class_key[c]);
		cli_json_close();
	}
	cli_json_close();
}

/* A side that has it is an object, to be closed: true. */
static bool open_side(int side, bool has)
{
	if (has)
		cli_json_put_open(side_key[side], '{');
	else
		cli_json_put_null(side_key[side]);
	return has;
}

static void put_block(const struct mr_diff *d, size_t i,
		      const struct diff_show *show)
{
	const struct mr_diff_block *b = &mr_diff_info(d)->blocks[i];

	cli_json_put_text("name", b->name);
	cli_json_put_bool("same", b->same);
	for (int s = 0; s < MR_SIDES; s++) {
		if (!open_side(s, b->of[s].listed))
			continue;
		cli_json_put_number("length", b->of[s].length);
		cli_json_put_bool("in_file", b->of[s].in_file);
		cli_json_close();
	}
	cli_json_put_number("offset", b->offset);
	cli_json_put_number("compared", b->compared);
	put_classes(b->pages);
	if (show->pages)
		put_ranges(d, i);
}

static void put_field(const struct mr_diff_fields *f,
		      const struct mr_diff_field *x)
{
	cli_json_put_text("path", x->path);
	for (int i = 0; i < MR_SIDES; i++) {
		const struct mr_field *of = x->of[i];
		struct mr_value v;

		if (!open_side(i, of != NULL))
			continue;
		cli_json_put_text("type", of->type);
		cli_json_put_number("offset",
				    of->offset + x->element * of->size);
		cli_json_put_number("length",
				    of->size * (x->whole ? of->count : 1));
		if (x->whole) {
			cli_json_put_number("version", of->version);
		} else {
			mr_field_value(f->device[i], of, x->element, &v);
			cli_json_key("value");
			field_json(&v);
		}
		cli_json_close();
	}
}

/* What is known of the content. */
static int put_fields(struct mr_diff *d, size_t i, const struct diff_show *show)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff_fields *f = mr_diff_fields_new(d, i, show->vmdesc, &err);

	if (!f && (err.code == MR_UNSUPPORTED || err.code == MR_FORMAT))
		return CLI_OK;
	if (!f)
		return cli_fail(&err,
				CLI_PATHS(show->path[MR_A], show->path[MR_B]));
	cli_json_put_open("fields", '[');
	for (size_t k = 0; k < f->n; k++) {
		cli_json_item();
		cli_json_open('{');
		put_field(f, &f->fields[k]);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_bool("cut", f->cut);
	mr_diff_fields_free(f);
	return CLI_OK;
}

static void put_bytes(const struct mr_diff_section *s)
{
	cli_json_put_open("bytes", '[');
	for (size_t i = 0; i < s->n_bytes; i++) {
		cli_json_item();
		cli_json_open('{');
		cli_json_put_number("offset", s->bytes[i].offset);
		cli_json_put_number("length", s->bytes[i].length);
		cli_json_close();
	}
	cli_json_close();
}

static int put_section(struct mr_diff *d, size_t at,
		       const struct diff_show *show)
{
	const struct mr_diff_section *s = &mr_diff_info(d)->sections[at];

	cli_json_put_text("name", s->name);
	cli_json_put_number("instance", s->instance);
	cli_json_put_bool("same", s->same);
	for (int i = 0; i < MR_SIDES; i++) {
		if (!open_side(i, s->of[i].listed))
			continue;
		cli_json_put_number("version", s->of[i].version);
		cli_json_put_number("offset", s->of[i].offset);
		cli_json_put_number("length", s->of[i].length);
		cli_json_close();
	}
	cli_json_put_number("differing", s->differing);
	if (!show->device)
		return CLI_OK;
	put_bytes(s);
	if (s->same || !s->of[MR_A].listed || !s->of[MR_B].listed)
		return CLI_OK;
	return put_fields(d, at, show);
}

static void put_side(const struct mr_diff_info *info,
		     const struct diff_show *show, int i)
{
	(void)open_side(i, true);
	cli_json_put_text("path", show->path[i]);
	cli_json_put_bool("vm", info->of[i].is_vm);
	cli_json_put_text("machine", info->of[i].machine);
	cli_json_put_number("read", info->of[i].read);
	cli_json_close();
}

int diff_json(struct mr_diff *d, const struct diff_show *show)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	int status = CLI_OK;

	cli_json_begin();
	cli_json_put_bool("same", info->same);
	for (int i = 0; i < MR_SIDES; i++)
		put_side(info, show, i);
	cli_json_put_number("page_size", info->page_size);
	cli_json_put_bool("page_size_known", info->page_size_known);
	put_classes(info->pages);
	cli_json_put_real("seconds", info->seconds);
	cli_json_put_open("blocks", '[');
	for (size_t i = 0; i < info->n_blocks; i++) {
		cli_json_item();
		cli_json_open('{');
		put_block(d, i, show);
		cli_json_close();
	}
	cli_json_close();
	if (info->has_sections)
		cli_json_put_open("sections", '[');
	for (size_t i = 0; i < info->n_sections && status == CLI_OK; i++) {
		cli_json_item();
		cli_json_open('{');
		status = put_section(d, i, show);
		cli_json_close();
	}
	return cli_worse(status, cli_json_end());
}
