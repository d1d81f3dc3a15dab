/* colo.c - messages of COLO (colo.h). */
#include "formats/colo.h"

#include "formats/bytes.h"

static const char *const names[] = {
	[COLO_READY] = "checkpoint-ready",
	[COLO_REQUEST] = "checkpoint-request",
	[COLO_REPLY] = "checkpoint-reply",
	[COLO_SEND] = "vmstate-send",
	[COLO_SIZE] = "vmstate-size",
	[COLO_RECEIVED] = "vmstate-received",
	[COLO_LOADED] = "vmstate-loaded",
};

const char *colo_name(unsigned int message)
{
	return message < sizeof(names) / sizeof(names[0]) ? names[message]
							  : NULL;
}

ssize_t colo_decode(const uint8_t *buf, size_t len, struct colo_word *out,
		    struct fault *f)
{
	uint32_t message;

	if (len < COLO_WORD)
		return fault_set(f, FAULT_SHORT, len,
				 "COLO: ends inside a message");
	message = get_be32(buf);
	if (!colo_name(message))
		return fault_value(f, FAULT_BAD, 0, "COLO: unknown message",
				   message);
	*out = (struct colo_word){ .message = (enum colo_message)message };
	if (message != COLO_SIZE)
		return COLO_WORD;
	if (len < COLO_MAX)
		return fault_set(f, FAULT_SHORT, len,
				 "COLO: ends inside a message");
	out->size = get_be64(buf + COLO_WORD);
	return COLO_MAX;
}

size_t colo_encode(uint8_t buf[COLO_MAX], const struct colo_word *w)
{
	put_be32(buf, w->message);
	if (w->message != COLO_SIZE)
		return COLO_WORD;
	put_be64(buf + COLO_WORD, w->size);
	return COLO_MAX;
}
