/* json.c - what mrdiff found, for programs: schema 1. */
#include "tools/diff/diff.h"
#include "tools/common/field.h"

#include <string.h>

enum { SCHEMA = 1 };

static const char *const side_key[MR_SIDES] = { "a", "b" };
static const char *const class_key[MR_DIFF_CLASSES] = {
	[MR_DIFF_ZERO] = "zero",       [MR_DIFF_EQUAL] = "equal",
	[MR_DIFF_CHANGED] = "changed", [MR_DIFF_ONLY_A] = "only_a",
	[MR_DIFF_ONLY_B] = "only_b",
};

static json_t *classes(const uint64_t pages[MR_DIFF_CLASSES], bool *bad)
{
	json_t *o = json_object();

	for (int c = 0; c < MR_DIFF_CLASSES; c++)
		cli_json_number(o, class_key[c], pages[c], bad);
	return o;
}

static json_t *ranges(const struct mr_diff *d, size_t block, bool *bad)
{
	json_int_t size = mr_diff_info(d)->page_size;
	json_t *list = json_array();
	enum mr_diff_class c;
	uint64_t first = 0, n;

	for (; (n = mr_diff_next(d, block, &first, &c)) > 0; first += n)
		cli_json_add(list,
			     json_pack("{s:I, s:I, s:s}", "offset",
				       (json_int_t)first * size, "length",
				       (json_int_t)n * size, "what",
				       class_key[c]),
			     bad);
	return list;
}

static json_t *block(const struct mr_diff *d, size_t i,
		     const struct diff_show *show, bool *bad)
{
	const struct mr_diff_block *b = &mr_diff_info(d)->blocks[i];
	json_t *o = json_object();

	cli_json_set(o, "name", cli_json_text(b->name), bad);
	cli_json_set(o, "same", json_boolean(b->same), bad);
	for (int s = 0; s < MR_SIDES; s++) {
		json_t *side = json_null();

		if (b->of[s].listed) {
			side = json_object();
			cli_json_number(side, "length", b->of[s].length, bad);
			cli_json_set(side, "in_file",
				     json_boolean(b->of[s].in_file), bad);
		}
		cli_json_set(o, side_key[s], side, bad);
	}
	cli_json_number(o, "offset", b->offset, bad);
	cli_json_number(o, "compared", b->compared, bad);
	cli_json_set(o, "pages", classes(b->pages, bad), bad);
	if (show->pages)
		cli_json_set(o, "ranges", ranges(d, i, bad), bad);
	return o;
}

static json_t *field(const struct mr_diff_fields *f,
		     const struct mr_diff_field *x, bool *bad)
{
	json_t *o = json_object();

	cli_json_set(o, "path", cli_json_text(x->path), bad);
	for (int i = 0; i < MR_SIDES; i++) {
		json_t *side = json_object();
		struct mr_value v;

		if (!x->of[i]) {
			json_decref(side);
			cli_json_set(o, side_key[i], json_null(), bad);
			continue;
		}
		cli_json_set(side, "type", cli_json_text(x->of[i]->type), bad);
		cli_json_number(side, "offset",
				x->of[i]->offset + x->element * x->of[i]->size,
				bad);
		cli_json_number(
			side, "length",
			x->of[i]->size * (x->whole ? x->of[i]->count : 1), bad);
		if (x->whole) {
			cli_json_number(side, "version", x->of[i]->version,
					bad);
		} else {
			mr_field_value(f->device[i], x->of[i], x->element, &v);
			cli_json_set(side, "value", field_json(&v), bad);
		}
		cli_json_set(o, side_key[i], side, bad);
	}
	return o;
}

/* Adds what is known of the content; *bad too if that can't be read. */
static void fields(json_t *o, struct mr_diff *d, size_t i,
		   const struct diff_show *show, bool *bad)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_diff_fields *f = mr_diff_fields_new(d, i, show->vmdesc, &err);
	json_t *list;

	if (!f) {
		if (err.code == MR_UNSUPPORTED || err.code == MR_FORMAT)
			return;
		(void)cli_fail(&err,
			       CLI_PATHS(show->path[MR_A], show->path[MR_B]));
		*bad = true;
		return;
	}
	list = json_array();
	for (size_t k = 0; k < f->n; k++)
		cli_json_add(list, field(f, &f->fields[k], bad), bad);
	cli_json_set(o, "fields", list, bad);
	cli_json_set(o, "cut", json_boolean(f->cut), bad);
	mr_diff_fields_free(f);
}

static json_t *section(struct mr_diff *d, size_t at,
		       const struct diff_show *show, bool *bad)
{
	const struct mr_diff_section *s = &mr_diff_info(d)->sections[at];
	json_t *o = json_object(), *list;

	cli_json_set(o, "name", cli_json_text(s->name), bad);
	cli_json_number(o, "instance", s->instance, bad);
	cli_json_set(o, "same", json_boolean(s->same), bad);
	for (int i = 0; i < MR_SIDES; i++) {
		json_t *side = json_null();

		if (s->of[i].listed) {
			side = json_object();
			cli_json_number(side, "version", s->of[i].version, bad);
			cli_json_number(side, "offset", s->of[i].offset, bad);
			cli_json_number(side, "length", s->of[i].length, bad);
		}
		cli_json_set(o, side_key[i], side, bad);
	}
	cli_json_number(o, "differing", s->differing, bad);
	if (!show->device)
		return o;
	list = json_array();
	for (size_t i = 0; i < s->n_bytes; i++)
		cli_json_add(list,
			     json_pack("{s:I, s:I}", "offset",
				       (json_int_t)s->bytes[i].offset, "length",
				       (json_int_t)s->bytes[i].length),
			     bad);
	cli_json_set(o, "bytes", list, bad);
	if (!s->same && s->of[MR_A].listed && s->of[MR_B].listed)
		fields(o, d, at, show, bad);
	return o;
}

static json_t *side(const struct mr_diff_info *info,
		    const struct diff_show *show, int i, bool *bad)
{
	json_t *o = json_object();

	cli_json_set(o, "path", cli_json_text(show->path[i]), bad);
	cli_json_set(o, "vm", json_boolean(info->of[i].is_vm), bad);
	cli_json_set(o, "machine", cli_json_text(info->of[i].machine), bad);
	cli_json_number(o, "read", info->of[i].read, bad);
	return o;
}

int diff_json(struct mr_diff *d, const struct diff_show *show)
{
	const struct mr_diff_info *info = mr_diff_info(d);
	json_t *o = cli_json_new(SCHEMA), *list = json_array();
	bool bad = false;

	cli_json_set(o, "same", json_boolean(info->same), &bad);
	for (int i = 0; i < MR_SIDES; i++)
		cli_json_set(o, side_key[i], side(info, show, i, &bad), &bad);
	cli_json_number(o, "page_size", info->page_size, &bad);
	cli_json_set(o, "pages", classes(info->pages, &bad), &bad);
	for (size_t i = 0; i < info->n_blocks; i++)
		cli_json_add(list, block(d, i, show, &bad), &bad);
	cli_json_set(o, "blocks", list, &bad);
	if (info->has_sections) {
		list = json_array();
		for (size_t i = 0; i < info->n_sections; i++)
			cli_json_add(list, section(d, i, show, &bad), &bad);
		cli_json_set(o, "sections", list, &bad);
	}
	cli_json_set(o, "seconds", json_real(info->seconds), &bad);
	return cli_json_print(o, bad);
}
