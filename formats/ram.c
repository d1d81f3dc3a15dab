/* ram.c - the payload of the "ram" sections (ram.h). */
#include <string.h>

#include "formats/bytes.h"
#include "formats/ram.h"

/* ---- items ---- */

/* The flags of QEMU's words, all below the smallest page size. */
#define RAM_FLAGS 0x3ffU

const char *ram_kind_name(unsigned int kind)
{
	switch (kind) {
	case RAM_FULL:
		return "full";
	case RAM_ZERO:
		return "zero";
	case RAM_MEM_SIZE:
		return "mem-size";
	case RAM_PAGE:
		return "page";
	case RAM_EOS:
		return "eos";
	case RAM_XBZRLE:
		return "xbzrle";
	case RAM_HOOK:
		return "hook";
	case RAM_COMPRESS:
		return "compress";
	case RAM_FLUSH:
		return "flush";
	default:
		return NULL;
	}
}

bool ram_names_page(unsigned int kind)
{
	return kind == RAM_ZERO || kind == RAM_PAGE || kind == RAM_XBZRLE ||
	       kind == RAM_COMPRESS;
}

/* Splits the word into out; the rules that one word can break. */
static int decode_word(uint64_t word, uint32_t page_size, struct ram_item *out,
		       struct fault *f)
{
	unsigned int flags = (unsigned int)word & (page_size - 1);
	unsigned int kind = flags & ~(unsigned int)RAM_CONTINUE;

	if (flags & ~RAM_FLAGS)
		return fault_value(f, FAULT_BAD, 0, "unknown RAM flags", flags);
	if (kind == 0 || (kind & (kind - 1)))
		return fault_value(f, FAULT_BAD, 0,
				   "RAM word needs exactly one flag", flags);
	if (kind == RAM_FULL || kind == RAM_HOOK)
		return fault_value(f, FAULT_UNSUPPORTED, 0,
				   "RAM word of a kind no longer sent", flags);
	*out = (struct ram_item){
		.kind = (enum ram_flag)kind,
		.cont = flags & RAM_CONTINUE,
		.offset = word - flags,
	};
	if (out->cont && !ram_names_page(kind))
		return fault_value(f, FAULT_BAD, 0,
				   "RAM word continues no block", flags);
	if (out->offset && (kind == RAM_EOS || kind == RAM_FLUSH))
		return fault_value(f, FAULT_BAD, 0,
				   "RAM word has an offset but no page", word);
	return 0;
}

int ram_compress_length(const uint8_t *head, uint32_t page_size, uint32_t *len)
{
	*len = get_be32(head);
	return *len == 0 || *len > ram_compress_max(page_size) ? -1 : 0;
}

/* What stands between the block's name and the data, at byte at. */
static ssize_t decode_body(const uint8_t *buf, size_t len, size_t at,
			   uint32_t page_size, struct ram_item *out,
			   struct fault *f)
{
	size_t need = out->kind == RAM_ZERO	  ? 1
		      : out->kind == RAM_XBZRLE	  ? 3
		      : out->kind == RAM_COMPRESS ? RAM_COMPRESS_HEAD
						  : 0;

	if (len - at < need)
		return fault_set(f, FAULT_SHORT, len, "ends inside a RAM item");
	if (out->kind == RAM_ZERO && buf[at] != 0)
		return fault_value(f, FAULT_BAD, at, "fill byte is not 0",
				   buf[at]);
	if (out->kind == RAM_PAGE)
		out->data_len = page_size;
	if (out->kind == RAM_XBZRLE) {
		if (buf[at] != RAM_XBZRLE_ENCODING)
			return fault_value(f, FAULT_BAD, at,
					   "unknown XBZRLE encoding", buf[at]);
		out->data_len = get_be16(buf + at + 1);
		if (out->data_len == 0 || out->data_len > page_size)
			return fault_value(f, FAULT_BAD, at + 1,
					   "XBZRLE length out of range",
					   out->data_len);
	}
	if (out->kind == RAM_COMPRESS &&
	    ram_compress_length(buf + at, page_size, &out->data_len))
		return fault_value(f, FAULT_BAD, at,
				   "length of a compressed page out of range",
				   out->data_len);
	return (ssize_t)(at + need);
}

ssize_t ram_item_decode(const uint8_t *buf, size_t len, uint32_t page_size,
			struct ram_item *out, struct fault *f)
{
	size_t at = RAM_WORD_SIZE;
	ssize_t n;

	if (len < RAM_WORD_SIZE)
		return fault_set(f, FAULT_SHORT, len, "ends inside a RAM word");
	if (decode_word(get_be64(buf), page_size, out, f))
		return -1;
	if (!ram_names_page(out->kind))
		return RAM_WORD_SIZE;
	if (!out->cont) {
		n = name_decode(buf, len, at, out->block, f);
		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return decode_body(buf, len, at, page_size, out, f);
}

size_t ram_item_encode(uint8_t buf[RAM_ITEM_MAX], const struct ram_item *item)
{
	unsigned int flags =
		(unsigned int)item->kind | (item->cont ? RAM_CONTINUE : 0U);
	uint8_t *p = buf + RAM_WORD_SIZE;

	put_be64(buf, item->offset | flags);
	if (!ram_names_page(item->kind))
		return RAM_WORD_SIZE;
	if (!item->cont)
		p += name_encode(p, item->block);
	if (item->kind == RAM_ZERO)
		*p++ = 0;
	if (item->kind == RAM_XBZRLE) {
		*p = RAM_XBZRLE_ENCODING;
		put_be16(p + 1, (uint16_t)item->data_len);
		p += 3;
	}
	if (item->kind == RAM_COMPRESS) {
		put_be32(p, item->data_len);
		p += RAM_COMPRESS_HEAD;
	}
	return (size_t)(p - buf);
}

/* ---- block list ---- */

size_t ram_block_header_at(const struct ram_list_form *form,
			   const struct ram_block *b)
{
	return 1 + strlen(b->name) + 8 + (form->host_page_size ? 8 : 0) +
	       (form->addr ? 8 : 0);
}

ssize_t ram_block_decode(const uint8_t *buf, size_t len,
			 const struct ram_list_form *form,
			 struct ram_block *out, struct fault *f)
{
	size_t at, header;
	ssize_t n;

	*out = (struct ram_block){ .used_length = 0 };
	n = name_decode(buf, len, 0, out->name, f);
	if (n < 0)
		return -1;
	at = (size_t)n;
	header = ram_block_header_at(form, out);
	if (len < header)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside a block list entry");
	out->used_length = get_be64(buf + at);
	if (out->used_length == 0 ||
	    (form->page_size && out->used_length % form->page_size))
		return fault_value(f, FAULT_BAD, at,
				   "block length is not whole pages",
				   out->used_length);
	at += 8;
	if (form->host_page_size) {
		out->host_page_size = get_be64(buf + at);
		at += 8;
	}
	if (form->addr)
		out->addr = get_be64(buf + at);
	if (!form->mapped_ram)
		return (ssize_t)header;
	n = mapped_ram_header_decode(buf + header, len - header, &out->mapped,
				     f);
	if (n < 0) {
		f->at += header;
		return -1;
	}
	return (ssize_t)header + n;
}

size_t ram_block_encode(uint8_t buf[RAM_BLOCK_MAX],
			const struct ram_list_form *form,
			const struct ram_block *b)
{
	uint8_t *p = buf + name_encode(buf, b->name);

	put_be64(p, b->used_length);
	p += 8;
	if (form->host_page_size) {
		put_be64(p, b->host_page_size);
		p += 8;
	}
	if (form->addr) {
		put_be64(p, b->addr);
		p += 8;
	}
	if (form->mapped_ram)
		p += mapped_ram_header_encode(p, &b->mapped);
	return (size_t)(p - buf);
}

int ram_list_take(uint64_t *left, uint64_t used_length, struct fault *f)
{
	if (used_length > *left)
		return fault_value(f, FAULT_BAD, 0,
				   "blocks are longer than their total",
				   used_length);
	*left -= used_length;
	return 0;
}

/* ---- XBZRLE ---- */

/* One run length at body[*at]: ULEB128 of one or two bytes. */
static int read_run(const uint8_t *body, size_t len, size_t *at, size_t *run,
		    struct fault *f)
{
	if (*at >= len)
		return fault_set(f, FAULT_SHORT, len,
				 "XBZRLE body ends inside a run");
	*run = body[*at] & 0x7f;
	if (!(body[*at] & 0x80)) {
		(*at)++;
		return 0;
	}
	if (len - *at < 2)
		return fault_set(f, FAULT_SHORT, len,
				 "XBZRLE body ends inside a run");
	if (body[*at + 1] & 0x80)
		return fault_set(f, FAULT_BAD, *at,
				 "XBZRLE run of more than two bytes");
	*run |= (size_t)body[*at + 1] << 7;
	*at += 2;
	return 0;
}

/* Walks the body, writing to page unless that is NULL. */
static int walk(const uint8_t *body, size_t len, uint8_t *page,
		size_t page_size, struct fault *f)
{
	size_t at = 0, to = 0, run, start;

	do {
		start = at;
		if (read_run(body, len, &at, &run, f))
			return -1;
		if (run == 0 && start != 0)
			return fault_set(f, FAULT_BAD, start,
					 "empty XBZRLE run");
		if (run > page_size - to)
			return fault_set(f, FAULT_BAD, start,
					 "XBZRLE run leaves the page");
		to += run;
		start = at;
		if (read_run(body, len, &at, &run, f))
			return -1;
		if (run == 0)
			return fault_set(f, FAULT_BAD, start,
					 "empty XBZRLE run");
		if (run > page_size - to)
			return fault_set(f, FAULT_BAD, start,
					 "XBZRLE run leaves the page");
		if (run > len - at)
			return fault_set(f, FAULT_SHORT, len,
					 "XBZRLE body ends inside a run");
		if (page)
			memcpy(page + to, body + at, run);
		to += run;
		at += run;
	} while (at < len);
	return 0;
}

int ram_xbzrle_check(const uint8_t *body, size_t len, size_t page_size,
		     struct fault *f)
{
	return walk(body, len, NULL, page_size, f);
}

int ram_xbzrle_apply(const uint8_t *body, size_t len, uint8_t *page,
		     size_t page_size, struct fault *f)
{
	if (walk(body, len, NULL, page_size, f))
		return -1;
	return walk(body, len, page, page_size, f);
}
