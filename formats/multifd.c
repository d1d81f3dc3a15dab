/* multifd.c - inits and headers of packets (multifd.h). */
#include "formats/multifd.h"

#include <string.h>

#include "formats/bytes.h"

/* What zlib, zstd and qatzip can make of a packet that they cannot pack; the
 * receivers of QEMU have a buffer of as much. */
#define PACKED_MAX (UINT32_C(1) << 20)

#define KNOWN_FLAGS UINT32_C(0x7f)
#define BLOCK_AT 64u
#define BLOCK_SIZE 256u

const char *multifd_flag_name(uint32_t flag)
{
	switch (flag) {
	case 0:
		return "none";
	case MULTIFD_SYNC:
		return "sync";
	case MULTIFD_ZLIB:
		return "zlib";
	case MULTIFD_ZSTD:
		return "zstd";
	case MULTIFD_QPL:
		return "qpl";
	case MULTIFD_UADK:
		return "uadk";
	case MULTIFD_QATZIP:
		return "qatzip";
	case MULTIFD_DEVICE_STATE:
		return "device-state";
	default:
		return NULL;
	}
}

/* Magic and version, which init and packets begin with. */
static int check_magic(const uint8_t *buf, size_t len, struct fault *f)
{
	if (len < 8)
		return fault_set(f, FAULT_SHORT, len,
				 "multifd: ends inside a header");
	if (get_be32(buf) != MULTIFD_MAGIC)
		return fault_value(f, FAULT_BAD, 0, "multifd: wrong magic",
				   get_be32(buf));
	if (get_be32(buf + 4) != MULTIFD_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 4,
				   "multifd: unknown version",
				   get_be32(buf + 4));
	return 0;
}

ssize_t multifd_init_decode(const uint8_t *buf, size_t len,
			    struct multifd_init *out, struct fault *f)
{
	if (check_magic(buf, len, f))
		return -1;
	if (len < MULTIFD_INIT_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "multifd: ends inside a channel's init");
	memcpy(out->uuid, buf + 8, sizeof(out->uuid));
	out->channel = buf[24];
	if (out->channel >= MULTIFD_CHANNELS_MAX)
		return fault_value(f, FAULT_BAD, 24,
				   "multifd: impossible channel", out->channel);
	return MULTIFD_INIT_SIZE;
}

size_t multifd_init_encode(uint8_t buf[MULTIFD_INIT_SIZE],
			   const struct multifd_init *i)
{
	memset(buf, 0, MULTIFD_INIT_SIZE);
	put_be32(buf, MULTIFD_MAGIC);
	put_be32(buf + 4, MULTIFD_VERSION);
	memcpy(buf + 8, i->uuid, sizeof(i->uuid));
	buf[24] = i->channel;
	return MULTIFD_INIT_SIZE;
}

/* ---- packets ---- */

static uint32_t room(uint32_t page_size)
{
	return MULTIFD_PAGES_SIZE / page_size;
}

size_t multifd_packet_size(uint32_t page_size)
{
	return MULTIFD_HEADER_SIZE + (size_t)room(page_size) * 8;
}

uint32_t multifd_data_max(uint32_t page_size)
{
	uint32_t table = room(page_size) * MULTIFD_LENGTH_SIZE;

	return PACKED_MAX > MULTIFD_PAGES_SIZE + table
		       ? PACKED_MAX
		       : MULTIFD_PAGES_SIZE + table;
}

/* A field of 256 bytes. */
static int decode_name(const uint8_t *buf, size_t at, char out[NAME_SIZE],
		       struct fault *f)
{
	size_t n = strnlen((const char *)buf + at, BLOCK_SIZE);

	if (n == BLOCK_SIZE)
		return fault_set(f, FAULT_BAD, at,
				 "multifd: a name without an end");
	memset(out, 0, NAME_SIZE);
	memcpy(out, buf + at, n);
	if (!name_is_text(out, n))
		return fault_set(f, FAULT_BAD, at,
				 "multifd: a name that is not text");
	return 0;
}

static int check_flags(uint32_t flags, struct fault *f)
{
	uint32_t method = flags & MULTIFD_METHODS;

	if (flags & ~KNOWN_FLAGS)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "multifd: unknown flags", flags);
	if (flags & MULTIFD_DEVICE_STATE)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "multifd: a packet of device state", flags);
	if (method & (method - 1))
		return fault_value(f, FAULT_BAD, 8,
				   "multifd: packed in several ways", flags);
	return 0;
}

/* The most that n pages can take. */
static uint32_t most(uint32_t method, uint32_t n, uint32_t page_size)
{
	if (method == 0)
		return n * page_size;
	if (method == MULTIFD_QPL || method == MULTIFD_UADK)
		return n * (page_size + MULTIFD_LENGTH_SIZE);
	return PACKED_MAX;
}

static int check_size(const struct multifd_packet *p, uint32_t page_size,
		      struct fault *f)
{
	uint32_t method = p->flags & MULTIFD_METHODS;

	if (p->normal && !p->size)
		return fault_set(f, FAULT_BAD, 20,
				 "multifd: pages without data");
	if (p->size > most(method, p->normal, page_size))
		return fault_value(f, FAULT_BAD, 20,
				   "multifd: more data than its pages can have",
				   p->size);
	if (!method && p->size != p->normal * page_size)
		return fault_value(f, FAULT_BAD, 20,
				   "multifd: data that is not whole pages",
				   p->size);
	return 0;
}

static int decode_offsets(const uint8_t *buf, uint32_t page_size,
			  struct multifd_packet *p, struct fault *f)
{
	memset(p->offset, 0, sizeof(p->offset));
	for (uint32_t i = 0; i < p->normal + p->zero; i++) {
		size_t at = MULTIFD_HEADER_SIZE + (size_t)i * 8;

		p->offset[i] = get_be64(buf + at);
		if (p->offset[i] % page_size)
			return fault_value(f, FAULT_BAD, at,
					   "multifd: the offset of no page",
					   p->offset[i]);
	}
	return 0;
}

ssize_t multifd_packet_decode(const uint8_t *buf, size_t len,
			      uint32_t page_size, struct multifd_packet *out,
			      struct fault *f)
{
	size_t size = multifd_packet_size(page_size);
	uint32_t pages;

	if (check_magic(buf, len, f))
		return -1;
	if (len < MULTIFD_FLAGS_END)
		return fault_set(f, FAULT_SHORT, len,
				 "multifd: ends inside a header");
	if (check_flags(get_be32(buf + 8), f))
		return -1;
	if (len < size)
		return fault_set(f, FAULT_SHORT, len,
				 "multifd: ends inside a header");
	out->flags = get_be32(buf + 8);
	pages = get_be32(buf + 12);
	out->normal = get_be32(buf + 16);
	/* Old sources leave what it was the last time. */
	out->size = out->normal ? get_be32(buf + 20) : 0;
	out->number = get_be64(buf + 24);
	out->zero = get_be32(buf + 32);
	if (pages > room(page_size))
		return fault_value(f, FAULT_BAD, 12,
				   "multifd: room for more pages than there "
				   "can be",
				   pages);
	if (out->normal > pages || out->zero > pages - out->normal)
		return fault_value(f, FAULT_BAD, 16,
				   "multifd: more pages than there is room for",
				   out->normal);
	if (check_size(out, page_size, f) ||
	    decode_name(buf, BLOCK_AT, out->block, f))
		return -1;
	if (out->normal + out->zero && !out->block[0])
		return fault_set(f, FAULT_BAD, BLOCK_AT,
				 "multifd: pages of no block");
	if (decode_offsets(buf, page_size, out, f))
		return -1;
	return (ssize_t)size;
}

size_t multifd_packet_encode(uint8_t *buf, uint32_t page_size,
			     const struct multifd_packet *p)
{
	size_t size = multifd_packet_size(page_size);
	uint32_t pages = p->normal + p->zero;

	memset(buf, 0, size);
	put_be32(buf, MULTIFD_MAGIC);
	put_be32(buf + 4, MULTIFD_VERSION);
	put_be32(buf + 8, p->flags);
	put_be32(buf + 12, pages ? room(page_size) : 0);
	put_be32(buf + 16, p->normal);
	put_be32(buf + 20, p->size);
	put_be64(buf + 24, p->number);
	put_be32(buf + 32, p->zero);
	memcpy(buf + BLOCK_AT, p->block, strlen(p->block));
	for (uint32_t i = 0; i < pages; i++)
		put_be64(buf + MULTIFD_HEADER_SIZE + (size_t)i * 8,
			 p->offset[i]);
	return size;
}

/* ---- device state ---- */

bool multifd_is_device(const uint8_t buf[MULTIFD_FLAGS_END])
{
	return get_be32(buf) == MULTIFD_MAGIC &&
	       get_be32(buf + 8) & MULTIFD_DEVICE_STATE;
}

ssize_t multifd_device_decode(const uint8_t *buf, size_t len,
			      struct multifd_device *out, struct fault *f)
{
	if (check_magic(buf, len, f))
		return -1;
	if (len < MULTIFD_DEVICE_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "multifd: ends inside a header");
	if (get_be32(buf + 8) != MULTIFD_DEVICE_STATE)
		return fault_value(f, FAULT_BAD, 8,
				   "multifd: flags that device state has not",
				   get_be32(buf + 8));
	if (decode_name(buf, MULTIFD_FLAGS_END, out->idstr, f))
		return -1;
	out->instance_id = get_be32(buf + 268);
	out->size = get_be32(buf + 272);
	if (!out->size)
		return fault_set(f, FAULT_BAD, 272,
				 "multifd: device state of no bytes");
	return MULTIFD_DEVICE_SIZE;
}

/* ---- tables of lengths ---- */

ssize_t multifd_lengths_decode(const uint8_t *buf, size_t len, uint32_t n,
			       uint32_t page_size, uint32_t *lengths,
			       struct fault *f)
{
	size_t table = (size_t)n * MULTIFD_LENGTH_SIZE, left;

	if (len < table)
		return fault_set(f, FAULT_BAD, len,
				 "multifd: ends inside the table of lengths");
	left = len - table;
	for (uint32_t i = 0; i < n; i++) {
		size_t at = (size_t)i * MULTIFD_LENGTH_SIZE;

		lengths[i] = get_be32(buf + at);
		if (!lengths[i] || lengths[i] > page_size || lengths[i] > left)
			return fault_value(f, FAULT_BAD, at,
					   "multifd: impossible length of a "
					   "page",
					   lengths[i]);
		left -= lengths[i];
	}
	if (left)
		return fault_value(f, FAULT_BAD, table,
				   "multifd: more data than its table says",
				   left);
	return (ssize_t)table;
}
