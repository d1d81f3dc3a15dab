/* capture.c - what came when (capture.h). */
#include "formats/capture.h"

#include <string.h>

#include "formats/bytes.h"

static const uint8_t magic[8] = { 0x8b, 'm', 'r', 'c', 'a', 'p', 't', '\n' };

ssize_t capture_head_decode(const uint8_t *buf, size_t len, struct fault *f)
{
	if (len < CAPTURE_HEAD_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "capture: head is cut off");
	if (memcmp(buf, magic, sizeof(magic)) != 0)
		return fault_set(f, FAULT_BAD, 0, "capture: wrong magic");
	if (get_be32(buf + 8) != CAPTURE_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 8,
				   "capture: unknown version",
				   get_be32(buf + 8));
	return CAPTURE_HEAD_SIZE;
}

size_t capture_head_encode(uint8_t buf[CAPTURE_HEAD_SIZE])
{
	memset(buf, 0, CAPTURE_HEAD_SIZE);
	memcpy(buf, magic, sizeof(magic));
	put_be32(buf + 8, CAPTURE_VERSION);
	return CAPTURE_HEAD_SIZE;
}

ssize_t capture_record_decode(const uint8_t *buf, size_t len,
			      struct capture_record *out, struct fault *f)
{
	if (len < CAPTURE_RECORD_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "capture: record is cut off");
	*out = (struct capture_record){
		.kind = (enum capture_kind)get_be16(buf),
		.connection = get_be16(buf + 2),
		.bytes = get_be32(buf + 4),
		.ns = get_be64(buf + 8),
	};
	if (out->kind != CAPTURE_BYTES && out->kind != CAPTURE_END)
		return fault_value(f, FAULT_BAD, 0, "capture: unknown record",
				   out->kind);
	if (out->connection >= CAPTURE_CONNECTIONS)
		return fault_value(f, FAULT_BAD, 2,
				   "capture: impossible connection",
				   out->connection);
	if ((out->kind == CAPTURE_BYTES) != (out->bytes > 0))
		return fault_value(f, FAULT_BAD, 4,
				   "capture: impossible number of bytes",
				   out->bytes);
	return CAPTURE_RECORD_SIZE;
}

size_t capture_record_encode(uint8_t buf[CAPTURE_RECORD_SIZE],
			     const struct capture_record *r)
{
	put_be16(buf, (uint16_t)r->kind);
	put_be16(buf + 2, r->connection);
	put_be32(buf + 4, r->bytes);
	put_be64(buf + 8, r->ns);
	return CAPTURE_RECORD_SIZE;
}
