/* return_path.c - messages of a destination (return_path.h). */
#include "formats/return_path.h"

#include "formats/bytes.h"

static const struct {
	const char *name;
	uint16_t least, most; /* bytes of data */
} types[] = {
	[RETURN_PATH_SHUT] = { "shut", 4, 4 },
	[RETURN_PATH_PONG] = { "pong", 4, 4 },
	[RETURN_PATH_REQ_PAGES_ID] = { "req-pages-id", 13, 13 + 255 },
	[RETURN_PATH_REQ_PAGES] = { "req-pages", 12, 12 },
	[RETURN_PATH_RECV_BITMAP] = { "recv-bitmap", 2, 1 + 255 },
	[RETURN_PATH_RESUME_ACK] = { "resume-ack", 4, 4 },
	[RETURN_PATH_SWITCHOVER_ACK] = { "switchover-ack", 0, 0 },
};

const char *return_path_name(unsigned int type)
{
	return type < sizeof(types) / sizeof(types[0]) ? types[type].name
						       : NULL;
}

ssize_t return_path_decode(const uint8_t *buf, size_t len,
			   struct return_path_message *out, struct fault *f)
{
	unsigned int type, n;

	if (len < RETURN_PATH_HEADER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "return path: ends inside a message");
	type = get_be16(buf);
	n = get_be16(buf + 2);
	if (!return_path_name(type))
		return fault_value(f, FAULT_BAD, 0,
				   "return path: unknown message", type);
	if (n < types[type].least || n > types[type].most)
		return fault_value(f, FAULT_BAD, 2,
				   "return path: a length that this message "
				   "cannot have",
				   n);
	if (len - RETURN_PATH_HEADER_SIZE < n)
		return fault_set(f, FAULT_SHORT, len,
				 "return path: ends inside a message");
	*out = (struct return_path_message){
		.type = (enum return_path_type)type,
		.value = n == 4 ? get_be32(buf + RETURN_PATH_HEADER_SIZE) : 0,
	};
	return RETURN_PATH_HEADER_SIZE + (ssize_t)n;
}

size_t return_path_encode(uint8_t buf[RETURN_PATH_MAX],
			  const struct return_path_message *m)
{
	unsigned int n = types[m->type].least;

	put_be16(buf, (uint16_t)m->type);
	put_be16(buf + 2, (uint16_t)n);
	if (n == 4)
		put_be32(buf + RETURN_PATH_HEADER_SIZE, m->value);
	return RETURN_PATH_HEADER_SIZE + n;
}
