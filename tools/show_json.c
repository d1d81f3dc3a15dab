/* show_json.c - what mrinspect found, for programs: schema 1. */
#include "tools/show.h"

#include <string.h>

static void set_bool(json_t *o, const char *key, bool v, bool *bad)
{
	cli_json_set(o, key, json_boolean(v), bad);
}

static void set_text(json_t *o, const char *key, const char *s, bool *bad)
{
	cli_json_set(o, key, cli_json_text(s), bad);
}

static json_t *libvirt(const struct mr_libvirt *v, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "format", v->format, bad);
	cli_json_number(o, "version", v->version, bad);
	set_bool(o, "complete", v->complete, bad);
	set_bool(o, "was_running", v->was_running, bad);
	set_bool(o, "big_endian", v->big_endian, bad);
	cli_json_number(o, "data_length", v->data_length, bad);
	cli_json_number(o, "cookie_offset", v->cookie_offset, bad);
	return o;
}

static json_t *block(const struct mr_image_info *info,
		     const struct mr_inspection *in, size_t i, bool *bad)
{
	const struct mr_block *b = &info->blocks[i];
	json_t *o = json_object();

	set_text(o, "name", b->name, bad);
	cli_json_number(o, "length", b->length, bad);
	cli_json_number(o, "pages", b->pages, bad);
	cli_json_number(o, "page_size", info->page_size, bad);
	cli_json_number(o, "entry_offset", b->entry, bad);
	if (b->host_page_size)
		cli_json_number(o, "host_page_size", b->host_page_size, bad);
	if (info->ignore_shared)
		cli_json_number(o, "addr", b->addr, bad);
	if (info->skipped)
		return o;
	if (!in->use) {
		cli_json_number(o, "data_words", b->normal_words, bad);
		cli_json_number(o, "zero_words", b->zero_words, bad);
		cli_json_number(o, "xbzrle_words", b->xbzrle_words, bad);
		cli_json_number(o, "wire_bytes", b->wire_bytes, bad);
		if (!in->classes)
			return o;
		cli_json_number(o, "data_pages",
				in->classes[i][MR_PAGE_PRESENT], bad);
		cli_json_number(o, "zero_pages", in->classes[i][MR_PAGE_ZERO],
				bad);
		cli_json_number(o, "absent_pages",
				in->classes[i][MR_PAGE_ABSENT], bad);
		return o;
	}
	cli_json_number(o, "header_offset", b->header, bad);
	set_bool(o, "in_file", b->in_file, bad);
	cli_json_number(o, "bitmap_offset", b->bitmap_offset, bad);
	cli_json_number(o, "bitmap_size", b->bitmap_size, bad);
	cli_json_number(o, "pages_offset", b->pages_offset, bad);
	cli_json_number(o, "pages_present", in->use[i].present, bad);
	cli_json_number(o, "data_bytes", in->use[i].present * info->page_size,
			bad);
	cli_json_number(o, "disk_bytes", in->use[i].allocated, bad);
	return o;
}

static json_t *section(const struct mr_section *s, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "type", mr_section_type_name(s->type), bad);
	cli_json_number(o, "id", s->id, bad);
	set_text(o, "name", s->name, bad);
	if (s->type == MR_SECTION_START || s->type == MR_SECTION_FULL) {
		cli_json_number(o, "instance", s->instance, bad);
		cli_json_number(o, "version", s->version, bad);
	}
	cli_json_number(o, "count", s->count, bad);
	cli_json_number(o, "offset", s->offset, bad);
	cli_json_number(o, "header", s->header, bad);
	cli_json_number(o, "payload", s->payload, bad);
	cli_json_number(o, "length", s->length, bad);
	if (s->type == MR_SECTION_FULL)
		set_bool(o, "described", s->described, bad);
	return o;
}

static void configuration(json_t *o, const struct mr_image_info *info,
			  bool *bad)
{
	json_t *caps = json_array();
	char uuid[SHOW_UUID];

	if (info->ignore_shared)
		cli_json_add(caps, json_string("x-ignore-shared"), bad);
	if (info->mapped_ram)
		cli_json_add(caps, json_string("mapped-ram"), bad);
	set_text(o, "machine", info->machine, bad);
	cli_json_set(o, "capabilities", caps, bad);
	if (info->has_uuid)
		set_text(o, "uuid", show_uuid(uuid, info->uuid), bad);
}

static void memory(json_t *o, const struct mr_image_info *info,
		   const struct mr_inspection *in, bool *bad)
{
	json_t *blocks = json_array(), *sections = json_array();

	cli_json_number(o, "page_size", info->page_size, bad);
	set_bool(o, "page_size_known", info->page_size_known, bad);
	cli_json_number(o, "ram", info->ram, bad);
	set_bool(o, "ram_ended", info->ram_ended, bad);
	if (info->skipped)
		cli_json_number(o, "memory_skipped", info->skipped, bad);
	else
		cli_json_number(o, "flushes", info->flushes, bad);
	if (in->use)
		cli_json_number(o, "pages_present", in->present, bad);
	for (size_t i = 0; i < info->n_blocks; i++)
		cli_json_add(blocks, block(info, in, i, bad), bad);
	for (size_t i = 0; i < info->n_sections; i++)
		cli_json_add(sections, section(&info->sections[i], bad), bad);
	cli_json_set(o, "blocks", blocks, bad);
	cli_json_set(o, "sections", sections, bad);
}

static json_t *damage(const struct mr_error *e, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "message", e->msg, bad);
	if (e->offset != MR_NO_OFFSET)
		cli_json_number(o, "offset", e->offset, bad);
	return o;
}

json_t *show_json(const char *path, const struct mr_image_info *info,
		  const struct mr_inspection *in)
{
	json_t *o = json_object();
	bool bad = false;

	set_text(o, "path", path, &bad);
	set_text(o, "kind", mr_image_kind_name(info->kind), &bad);
	set_text(o, "verdict", mr_verdict_name(in->verdict), &bad);
	cli_json_number(o, "file_size", info->file_size, &bad);
	cli_json_number(o, "file_allocated", info->file_allocated, &bad);
	if (info->damage.code != MR_OK)
		cli_json_set(o, "damage", damage(&info->damage, &bad), &bad);
	if (info->has_libvirt && info->libvirt.format)
		cli_json_set(o, "libvirt", libvirt(&info->libvirt, &bad), &bad);
	if (info->kind != MR_IMAGE_FOREIGN &&
	    info->kind != MR_IMAGE_COMPRESSED) {
		cli_json_number(o, "stream_offset", info->stream_offset, &bad);
		if (info->has_configuration)
			configuration(o, info, &bad);
		if (info->run_state[0])
			set_text(o, "run_state", info->run_state, &bad);
		memory(o, info, in, &bad);
		set_bool(o, "ended", info->ended, &bad);
		if (info->has_vmdesc)
			cli_json_set(o, "vmdesc",
				     json_pack("{s:I, s:I}", "offset",
					       (json_int_t)info->vmdesc_offset,
					       "length",
					       (json_int_t)info->vmdesc_length),
				     &bad);
		cli_json_number(o, "stream_end", info->stream_end, &bad);
		cli_json_number(o, "trailing", info->trailing, &bad);
		set_bool(o, "sealed", info->sealed, &bad);
	}
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}
