/*
 * build.h - makes images of every kind, for tests: sound ones as QEMU and
 * libvirt would, and odd ones.
 *
 * Writes at positions of a file descriptor, so that a large image stays
 * sparse. Every call ends the program if it can't write.
 */
#ifndef TESTS_LIB_BUILD_H
#define TESTS_LIB_BUILD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/bytes.h"
#include "formats/libvirt.h"
#include "formats/mapped_ram.h"
#include "formats/ram.h"
#include "formats/stream.h"

struct build {
	int fd;
	uint64_t at; /* byte of the file that comes next */
	bool no_footers; /* as with send-section-footer=off */
	struct stream_config config;
	uint32_t page_size;
	uint32_t ram_id; /* section id of "ram" */
	uint32_t next_id; /* of the next FULL */
	json_t *devices; /* what the vmdescription will list */
	char last_block[NAME_SIZE]; /* for CONTINUE */
};

/* A run of pages that have data. */
struct build_run {
	uint64_t first, n;
};

struct build_block {
	const char *name;
	uint64_t length; /* bytes */
	const struct build_run *runs;
	size_t n_runs;
	uint64_t addr; /* with x-ignore-shared */
	bool ignored; /* left out, as QEMU 11.0 does */
	/* filled by build_ram_start */
	struct mapped_ram_place place;
};

static inline void build_check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

static inline void build_put_at(struct build *b, const void *buf, size_t len,
				uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(b->fd, buf, len, (off_t)at);

		build_check(n > 0, "pwrite");
		buf = (const char *)buf + n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
}

static inline void build_put(struct build *b, const void *buf, size_t len)
{
	build_put_at(b, buf, len, b->at);
	b->at += len;
}

/* Byte i of page p of any block; never a page of zeros. */
static inline void build_page(uint8_t *page, uint32_t size, uint64_t p)
{
	uint64_t x = (p + 1) * UINT64_C(0x9e3779b97f4a7c15);

	for (uint32_t i = 0; i < size; i += 8, x += 0x0101)
		put_le64(page + i, x);
}

static inline void build_header(struct build *b)
{
	uint8_t buf[STREAM_CONFIG_MAX];

	build_put(b, buf, stream_header_encode(buf));
}

static inline void build_config(struct build *b)
{
	uint8_t buf[STREAM_CONFIG_MAX];

	build_put(b, buf, stream_config_encode(buf, &b->config));
}

static inline void build_element(struct build *b, enum stream_type type,
				 uint32_t id, const char *idstr,
				 uint32_t version)
{
	struct stream_element e = { .type = type,
				    .section_id = id,
				    .version_id = version };
	uint8_t buf[STREAM_ELEMENT_MAX];

	if (idstr)
		(void)snprintf(e.idstr, sizeof(e.idstr), "%s", idstr);
	build_put(b, buf, stream_element_encode(buf, &e));
}

static inline void build_footer(struct build *b, uint32_t id)
{
	uint8_t buf[STREAM_FOOTER_SIZE];

	if (!b->no_footers)
		build_put(b, buf, stream_footer_encode(buf, id));
}

static inline void build_command(struct build *b, uint16_t command,
				 const void *data, uint16_t len)
{
	struct stream_element e = { .type = STREAM_COMMAND,
				    .command = command,
				    .length = len };
	uint8_t buf[STREAM_ELEMENT_MAX];

	build_put(b, buf, stream_element_encode(buf, &e));
	build_put(b, data, len);
}

static inline void build_word(struct build *b, uint64_t word)
{
	uint8_t buf[8];

	put_be64(buf, word);
	build_put(b, buf, sizeof(buf));
}

/* One entry of the block list, in mapped-ram with its pages. */
static inline void build_block_entry(struct build *b, struct build_block *k)
{
	struct ram_list_form form = { .addr = b->config.ignore_shared,
				      .mapped_ram = b->config.mapped_ram,
				      .page_size = b->page_size };
	struct ram_block e = { .used_length = k->length, .addr = k->addr };
	uint8_t buf[RAM_BLOCK_MAX], *page;
	struct fault f;

	(void)snprintf(e.name, sizeof(e.name), "%s", k->name);
	if (!b->config.mapped_ram) {
		build_put(b, buf, ram_block_encode(buf, &form, &e));
		return;
	}
	build_check(!mapped_ram_layout(b->at, strlen(k->name), form.addr,
				       k->length, b->page_size, k->ignored,
				       &k->place, &f),
		    "layout");
	e.mapped.version = MAPPED_RAM_VERSION;
	e.mapped.page_size = b->page_size;
	e.mapped.bitmap_offset = k->place.bitmap_offset;
	e.mapped.pages_offset = k->place.pages_offset;
	build_put(b, buf, ram_block_encode(buf, &form, &e));
	b->at = k->place.end;
	page = malloc(b->page_size);
	build_check(page != NULL, "malloc");
	for (size_t r = 0; r < k->n_runs && !k->ignored; r++)
		for (uint64_t i = 0; i < k->runs[r].n; i++) {
			uint64_t p = k->runs[r].first + i;

			build_page(page, b->page_size, p);
			build_put_at(b, page, b->page_size,
				     k->place.pages_offset + p * b->page_size);
		}
	free(page);
}

/* START of "ram", up to its EOS and footer. */
static inline void build_ram_start(struct build *b, struct build_block *blocks,
				   size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += blocks[i].length;
	build_element(b, STREAM_START, b->ram_id, RAM_IDSTR, RAM_VERSION);
	build_word(b, total | RAM_MEM_SIZE);
	for (size_t i = 0; i < n; i++)
		build_block_entry(b, &blocks[i]);
	build_word(b, RAM_EOS);
	build_footer(b, b->ram_id);
}

/* The bitmaps, as QEMU writes them inside END. */
static inline void build_bitmaps(struct build *b,
				 const struct build_block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct build_block *k = &blocks[i];

		if (k->ignored)
			continue;
		for (size_t r = 0; r < k->n_runs; r++)
			for (uint64_t j = 0; j < k->runs[r].n; j++) {
				uint64_t p = k->runs[r].first + j;
				uint64_t at = k->place.bitmap_offset + p / 8;
				uint8_t byte = 0;

				build_check(pread(b->fd, &byte, 1, (off_t)at) >=
						    0,
					    "pread");
				byte |= (uint8_t)(1 << p % 8);
				build_put_at(b, &byte, 1, at);
			}
	}
}

/* PART or END of "ram" with nothing in it. */
static inline void build_ram_empty(struct build *b, enum stream_type type)
{
	build_element(b, type, b->ram_id, NULL, 0);
	build_word(b, RAM_EOS);
	build_footer(b, b->ram_id);
}

/* A word about a page in a plain stream, with what is behind it. */
static inline void build_item(struct build *b, enum ram_flag kind,
			      const char *block, uint64_t offset,
			      const void *data, size_t len)
{
	struct ram_item item = { .kind = kind,
				 .offset = offset,
				 .cont = !strcmp(block, b->last_block),
				 .data_len = (uint32_t)len };
	uint8_t buf[RAM_ITEM_MAX];

	if (!item.cont)
		(void)snprintf(item.block, sizeof(item.block), "%s", block);
	(void)snprintf(b->last_block, sizeof(b->last_block), "%s", block);
	build_put(b, buf, ram_item_encode(buf, &item));
	build_put(b, data, len);
}

/* The words of one page in a plain stream; data: the page, NULL: zero. */
static inline void build_page_word(struct build *b, const char *block,
				   uint64_t offset, const uint8_t *data)
{
	build_item(b, data ? RAM_PAGE : RAM_ZERO, block, offset, data,
		   data ? b->page_size : 0);
}

/* PART or END of "ram" with all pages of the blocks. */
static inline void build_ram_pages(struct build *b, enum stream_type type,
				   const struct build_block *blocks, size_t n)
{
	uint8_t *page = malloc(b->page_size);

	build_check(page != NULL, "malloc");
	build_element(b, type, b->ram_id, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		const struct build_block *k = &blocks[i];
		size_t r = 0;

		for (uint64_t p = 0; p < k->length / b->page_size; p++) {
			bool data;

			while (r < k->n_runs &&
			       p >= k->runs[r].first + k->runs[r].n)
				r++;
			data = r < k->n_runs && p >= k->runs[r].first;
			if (data)
				build_page(page, b->page_size, p);
			build_page_word(b, k->name, p * b->page_size,
					data ? page : NULL);
		}
	}
	build_word(b, RAM_EOS);
	build_footer(b, b->ram_id);
	free(page);
}

/* A device section that the description leaves out. */
static inline void build_section(struct build *b, const char *name,
				 uint32_t instance, uint32_t version,
				 const void *payload, size_t len)
{
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = b->next_id++,
				    .instance_id = instance,
				    .version_id = version };
	uint8_t buf[STREAM_ELEMENT_MAX];

	(void)snprintf(e.idstr, sizeof(e.idstr), "%s", name);
	build_put(b, buf, stream_element_encode(buf, &e));
	build_put(b, payload, len);
	build_footer(b, e.section_id);
}

/* A device section, and its place in the description. */
static inline void build_device(struct build *b, const char *name,
				const void *payload, size_t len)
{
	build_section(b, name, 0, 1, payload, len);
	if (!b->devices)
		b->devices = json_array();
	build_check(
		!json_array_append_new(
			b->devices,
			json_pack("{s:s, s:i, s:s, s:i, s:[{s:s, s:s, "
				  "s:I}]}",
				  "name", name, "instance_id", 0, "vmsd_name",
				  name, "version", 1, "fields", "name", "data",
				  "type", "buffer", "size", (json_int_t)len)),
		"json");
}

/* A device of `size` bytes that look like nothing. */
static inline void build_filler(struct build *b, const char *name, size_t size)
{
	uint8_t *buf = malloc(size ? size : 1);

	build_check(buf != NULL, "malloc");
	memset(buf, 0x55, size);
	build_device(b, name, buf, size);
	free(buf);
}

static inline void build_globalstate(struct build *b, const char *state)
{
	struct stream_globalstate g = { 0 };
	uint8_t buf[STREAM_GLOBALSTATE_SIZE];

	(void)snprintf(g.runstate, sizeof(g.runstate), "%s", state);
	build_device(b, STREAM_GLOBALSTATE, buf,
		     stream_globalstate_encode(buf, &g));
}

/* EOF. */
static inline void build_eof(struct build *b)
{
	build_put(b, "", 1);
}

static inline void build_vmdesc_text(struct build *b, const char *text)
{
	uint8_t buf[STREAM_VMDESC_HEADER_SIZE];

	build_put(b, buf, stream_vmdesc_encode(buf, (uint32_t)strlen(text)));
	build_put(b, text, strlen(text));
}

/* The description of all devices so far, which it forgets. */
static inline void build_vmdesc(struct build *b)
{
	json_t *o =
		json_pack("{s:{s:s, s:i, s:[]}, s:I, s:o}", "configuration",
			  "vmsd_name", "configuration", "version", 1, "fields",
			  "page_size", (json_int_t)b->page_size, "devices",
			  b->devices ? b->devices : json_array());
	char *text = o ? json_dumps(o, JSON_PRESERVE_ORDER) : NULL;

	build_check(text != NULL, "json");
	b->devices = NULL;
	build_vmdesc_text(b, text);
	free(text);
	json_decref(o);
}

/* libvirt's header and data area; xml may have room behind it (padding). */
static inline void build_libvirt(struct build *b, struct libvirt_header h,
				 const char *xml, uint32_t padding)
{
	uint8_t buf[LIBVIRT_HEADER_SIZE];

	h.data_len = (uint32_t)strlen(xml) + 1 + padding;
	build_put(b, buf, libvirt_header_encode(buf, &h));
	build_put_at(b, xml, strlen(xml) + 1, b->at);
	b->at += h.data_len;
}

/* The file ends where it has come to, and not before. */
static inline void build_done(struct build *b)
{
	build_check(!ftruncate(b->fd, (off_t)b->at), "ftruncate");
	json_decref(b->devices);
	b->devices = NULL;
}

#endif
