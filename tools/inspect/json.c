/* json.c - what mrinspect found, for programs. */
#include "tools/inspect/show.h"

static void libvirt(const struct mr_libvirt *v)
{
	cli_json_put_open("libvirt", '{');
	cli_json_put_text("format", v->format);
	cli_json_put_number("version", v->version);
	cli_json_put_bool("complete", v->complete);
	cli_json_put_bool("was_running", v->was_running);
	cli_json_put_bool("big_endian", v->big_endian);
	cli_json_put_number("data_length", v->data_length);
	cli_json_put_number("cookie_offset", v->cookie_offset);
	cli_json_close();
}

static void label(const struct mr_label *l)
{
	char uuid[CLI_UUID];

	cli_json_put_open("label", '{');
	if (l->made)
		cli_json_put_number("made", l->made);
	else
		cli_json_put_null("made");
	cli_json_put_text("name", l->name[0] ? l->name : NULL);
	cli_json_put_text("uuid", l->has_uuid ? cli_uuid(uuid, l->uuid) : NULL);
	cli_json_put_text("maker", l->maker[0] ? l->maker : NULL);
	cli_json_close();
}

static void pack(const struct mr_pack *p)
{
	char hex[SHOW_DIGEST];

	cli_json_put_open("pack", '{');
	cli_json_put_number("extent_size", p->extent_size);
	cli_json_put_bool("increment", p->increment);
	cli_json_put_number("below", p->below);
	if (p->increment)
		cli_json_put_text("base", show_digest(hex, p->base));
	if (p->whole) {
		cli_json_put_text("identity", show_digest(hex, p->identity));
		cli_json_put_number("frames", p->frames);
		cli_json_put_number("packed", p->packed);
		cli_json_put_number("unpacked", p->unpacked);
	}
	cli_json_close();
}

static void block(const struct mr_image_info *info,
		  const struct mr_inspection *in, size_t i)
{
	const struct mr_block *b = &info->blocks[i];

	cli_json_put_text("name", b->name);
	cli_json_put_number("length", b->length);
	cli_json_put_number("pages", b->pages);
	cli_json_put_number("page_size", info->page_size);
	cli_json_put_number("entry_offset", b->entry);
	if (b->host_page_size)
		cli_json_put_number("host_page_size", b->host_page_size);
	if (info->ignore_shared)
		cli_json_put_number("addr", b->addr);
	if (info->skipped)
		return;
	if (info->kind != MR_IMAGE_MAPPED) {
		cli_json_put_number("data_words", b->normal_words);
		cli_json_put_number("zero_words", b->zero_words);
		cli_json_put_number("xbzrle_words", b->xbzrle_words);
		cli_json_put_number("compress_words", b->compress_words);
		cli_json_put_number("wire_bytes", b->wire_bytes);
		if (!in->classes)
			return;
		cli_json_put_number("data_pages",
				    in->classes[i][MR_PAGE_PRESENT]);
		cli_json_put_number("zero_pages", in->classes[i][MR_PAGE_ZERO]);
		cli_json_put_number("absent_pages",
				    in->classes[i][MR_PAGE_ABSENT]);
		return;
	}
	cli_json_put_number("header_offset", b->header);
	cli_json_put_bool("in_file", b->in_file);
	cli_json_put_number("bitmap_offset", b->bitmap_offset);
	cli_json_put_number("bitmap_size", b->bitmap_size);
	cli_json_put_number("pages_offset", b->pages_offset);
	if (!in->use)
		return;
	cli_json_put_number("pages_present", in->use[i].present);
	cli_json_put_number("data_bytes", in->use[i].present * info->page_size);
	cli_json_put_number("disk_bytes", in->use[i].allocated);
}

static void section(const struct mr_section *s)
{
	cli_json_put_text("type", mr_section_type_name(s->type));
	cli_json_put_number("id", s->id);
	cli_json_put_text("name", s->name);
	if (s->type == MR_SECTION_START || s->type == MR_SECTION_FULL) {
		cli_json_put_number("instance", s->instance);
		cli_json_put_number("version", s->version);
	}
	cli_json_put_number("count", s->count);
	cli_json_put_number("offset", s->offset);
	cli_json_put_number("header", s->header);
	cli_json_put_number("payload", s->payload);
	cli_json_put_number("length", s->length);
	if (s->type == MR_SECTION_FULL)
		cli_json_put_bool("described", s->described);
}

static void configuration(const struct mr_image_info *info)
{
	char uuid[CLI_UUID];

	cli_json_put_text("machine", info->machine);
	cli_json_put_open("capabilities", '[');
	if (info->ignore_shared)
		cli_json_item(), cli_json_string("x-ignore-shared");
	if (info->mapped_ram)
		cli_json_item(), cli_json_string("mapped-ram");
	cli_json_close();
	if (info->has_uuid)
		cli_json_put_text("uuid", cli_uuid(uuid, info->uuid));
}

static void memory(const struct mr_image_info *info,
		   const struct mr_inspection *in)
{
	cli_json_put_number("page_size", info->page_size);
	cli_json_put_bool("page_size_known", info->page_size_known);
	cli_json_put_number("ram", info->ram);
	cli_json_put_bool("ram_ended", info->ram_ended);
	if (info->skipped)
		cli_json_put_number("memory_skipped", info->skipped);
	else
		cli_json_put_number("flushes", info->flushes);
	if (in->use)
		cli_json_put_number("pages_present", in->present);
	cli_json_put_open("blocks", '[');
	for (size_t i = 0; i < info->n_blocks; i++) {
		cli_json_item();
		cli_json_open('{');
		block(info, in, i);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_open("sections", '[');
	for (size_t i = 0; i < info->n_sections; i++) {
		cli_json_item();
		cli_json_open('{');
		section(&info->sections[i]);
		cli_json_close();
	}
	cli_json_close();
}

static void damage(const struct mr_error *e)
{
	cli_json_put_open("damage", '{');
	cli_json_put_text("message", e->msg);
	if (e->offset != MR_NO_OFFSET)
		cli_json_put_number("offset", e->offset);
	cli_json_close();
}

void show_json(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in, const struct show_seal *seal)
{
	cli_json_put_text("path", path);
	cli_json_put_text("kind", mr_image_kind_name(info->kind));
	cli_json_put_text("verdict", mr_verdict_name(in->verdict));
	cli_json_put_number("file_size", info->file_size);
	cli_json_put_number("file_allocated", info->file_allocated);
	if (info->damage.code != MR_OK)
		damage(&info->damage);
	if (info->other)
		cli_json_put_text("other", info->other);
	if (info->compression)
		cli_json_put_text("compression", info->compression);
	if (info->has_libvirt && info->libvirt.format)
		libvirt(&info->libvirt);
	if (in->has_label)
		label(&in->label);
	if (info->pack.extent_size)
		pack(&info->pack);
	if (info->kind != MR_IMAGE_FOREIGN &&
	    info->kind != MR_IMAGE_COMPRESSED) {
		cli_json_put_number("stream_offset", info->stream_offset);
		if (info->has_configuration)
			configuration(info);
		if (info->run_state[0])
			cli_json_put_text("run_state", info->run_state);
		memory(info, in);
		cli_json_put_bool("ended", info->ended);
		if (info->has_vmdesc) {
			cli_json_put_open("vmdesc", '{');
			cli_json_put_number("offset", info->vmdesc_offset);
			cli_json_put_number("length", info->vmdesc_length);
			cli_json_close();
		}
		cli_json_put_number("stream_end", info->stream_end);
		cli_json_put_number("trailing", info->trailing);
		cli_json_put_bool("sealed", info->sealed);
		cli_json_put_bool("primary", info->primary);
		if (seal->state != MR_SEAL_UNKNOWN)
			cli_json_put_text("seal",
					  mr_seal_state_name(seal->state));
	}
}
