/* show_json.c - what mrinspect found, for programs: schema 1. */
#include "tools/show.h"

#include <string.h>

/* Sets key unless the value could not be made; *bad remembers. */
static void set(json_t *o, const char *key, json_t *value, bool *bad)
{
	if (json_object_set_new(o, key, value))
		*bad = true;
}

static void set_number(json_t *o, const char *key, uint64_t n, bool *bad)
{
	/* File positions and lengths are below 2^63 (mr_image_open). */
	set(o, key, json_integer((json_int_t)n), bad);
}

static void set_bool(json_t *o, const char *key, bool v, bool *bad)
{
	set(o, key, json_boolean(v), bad);
}

static void set_text(json_t *o, const char *key, const char *s, bool *bad)
{
	set(o, key, cli_json_text(s), bad);
}

static json_t *libvirt(const struct mr_libvirt *v, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "format", v->format, bad);
	set_number(o, "version", v->version, bad);
	set_bool(o, "complete", v->complete, bad);
	set_bool(o, "was_running", v->was_running, bad);
	set_bool(o, "big_endian", v->big_endian, bad);
	set_number(o, "data_length", v->data_length, bad);
	set_number(o, "cookie_offset", v->cookie_offset, bad);
	return o;
}

static json_t *block(const struct mr_image_info *info,
		     const struct mr_inspection *in, size_t i, bool *bad)
{
	const struct mr_block *b = &info->blocks[i];
	json_t *o = json_object();

	set_text(o, "name", b->name, bad);
	set_number(o, "length", b->length, bad);
	set_number(o, "pages", b->pages, bad);
	set_number(o, "page_size", info->page_size, bad);
	set_number(o, "entry_offset", b->entry, bad);
	if (b->host_page_size)
		set_number(o, "host_page_size", b->host_page_size, bad);
	if (info->ignore_shared)
		set_number(o, "addr", b->addr & INT64_MAX, bad);
	if (info->skipped)
		return o;
	if (!in->use) {
		set_number(o, "data_words", b->normal_words, bad);
		set_number(o, "zero_words", b->zero_words, bad);
		set_number(o, "xbzrle_words", b->xbzrle_words, bad);
		set_number(o, "wire_bytes", b->wire_bytes, bad);
		if (!in->classes)
			return o;
		set_number(o, "data_pages", in->classes[i][MR_PAGE_PRESENT],
			   bad);
		set_number(o, "zero_pages", in->classes[i][MR_PAGE_ZERO], bad);
		set_number(o, "absent_pages", in->classes[i][MR_PAGE_ABSENT],
			   bad);
		return o;
	}
	set_number(o, "header_offset", b->header, bad);
	set_bool(o, "in_file", b->in_file, bad);
	set_number(o, "bitmap_offset", b->bitmap_offset, bad);
	set_number(o, "bitmap_size", b->bitmap_size, bad);
	set_number(o, "pages_offset", b->pages_offset, bad);
	set_number(o, "pages_present", in->use[i].present, bad);
	set_number(o, "data_bytes", in->use[i].present * info->page_size, bad);
	set_number(o, "disk_bytes", in->use[i].allocated, bad);
	return o;
}

static json_t *section(const struct mr_section *s, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "type", mr_section_type_name(s->type), bad);
	set_number(o, "id", s->id, bad);
	set_text(o, "name", s->name, bad);
	if (s->type == MR_SECTION_START || s->type == MR_SECTION_FULL) {
		set_number(o, "instance", s->instance, bad);
		set_number(o, "version", s->version, bad);
	}
	set_number(o, "count", s->count, bad);
	set_number(o, "offset", s->offset, bad);
	set_number(o, "header", s->header, bad);
	set_number(o, "payload", s->payload, bad);
	set_number(o, "length", s->length, bad);
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
		*bad |= json_array_append_new(
				caps, json_string("x-ignore-shared")) != 0;
	if (info->mapped_ram)
		*bad |= json_array_append_new(caps,
					      json_string("mapped-ram")) != 0;
	set_text(o, "machine", info->machine, bad);
	set(o, "capabilities", caps, bad);
	if (info->has_uuid)
		set_text(o, "uuid", show_uuid(uuid, info->uuid), bad);
}

static void memory(json_t *o, const struct mr_image_info *info,
		   const struct mr_inspection *in, bool *bad)
{
	json_t *blocks = json_array(), *sections = json_array();

	set_number(o, "page_size", info->page_size, bad);
	set_bool(o, "page_size_known", info->page_size_known, bad);
	set_number(o, "ram", info->ram, bad);
	set_bool(o, "ram_ended", info->ram_ended, bad);
	if (info->skipped)
		set_number(o, "memory_skipped", info->skipped, bad);
	else
		set_number(o, "flushes", info->flushes, bad);
	if (in->use)
		set_number(o, "pages_present", in->present, bad);
	for (size_t i = 0; i < info->n_blocks; i++)
		*bad |= json_array_append_new(blocks,
					      block(info, in, i, bad)) != 0;
	for (size_t i = 0; i < info->n_sections; i++)
		*bad |= json_array_append_new(
				sections, section(&info->sections[i], bad)) !=
			0;
	set(o, "blocks", blocks, bad);
	set(o, "sections", sections, bad);
}

static json_t *damage(const struct mr_error *e, bool *bad)
{
	json_t *o = json_object();

	set_text(o, "message", e->msg, bad);
	if (e->offset != MR_NO_OFFSET)
		set_number(o, "offset", e->offset, bad);
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
	set_number(o, "file_size", info->file_size, &bad);
	set_number(o, "file_allocated", info->file_allocated, &bad);
	if (info->damage.code != MR_OK)
		set(o, "damage", damage(&info->damage, &bad), &bad);
	if (info->has_libvirt && info->libvirt.format)
		set(o, "libvirt", libvirt(&info->libvirt, &bad), &bad);
	if (info->kind != MR_IMAGE_FOREIGN &&
	    info->kind != MR_IMAGE_COMPRESSED) {
		set_number(o, "stream_offset", info->stream_offset, &bad);
		if (info->has_configuration)
			configuration(o, info, &bad);
		if (info->run_state[0])
			set_text(o, "run_state", info->run_state, &bad);
		memory(o, info, in, &bad);
		set_bool(o, "ended", info->ended, &bad);
		if (info->has_vmdesc)
			set(o, "vmdesc",
			    json_pack("{s:I, s:I}", "offset",
				      (json_int_t)info->vmdesc_offset, "length",
				      (json_int_t)info->vmdesc_length),
			    &bad);
		set_number(o, "stream_end", info->stream_end, &bad);
		set_number(o, "trailing", info->trailing, &bad);
		set_bool(o, "sealed", info->sealed, &bad);
	}
	if (!bad)
		return o;
	json_decref(o);
	return NULL;
}
