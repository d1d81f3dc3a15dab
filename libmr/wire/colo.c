/* colo.c - the secondary's side of the exchange. */
#include "libmr/wire/colo.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "formats/bytes.h"
#include "formats/colo.h"
#include "formats/return_path.h"
#include "libmr/base/error.h"

/* n bytes go out at once: the primary's VM may stand still until they come. */
static int say(struct intake *in, const uint8_t *words, size_t n,
	       struct mr_error *err)
{
	return in->deaf ? 0 : link_send(&in->main, words, n, err);
}

static size_t encode(uint8_t *buf, enum colo_message message)
{
	uint8_t word[COLO_MAX];
	size_t n = colo_encode(word, &(struct colo_word){ message, 0 });

	memcpy(buf, word, n);
	return n;
}

int colo_ready(struct intake *in, struct mr_error *err)
{
	const struct return_path_message shut = { .type = RETURN_PATH_SHUT };
	uint8_t buf[RETURN_PATH_MAX + COLO_WORD];
	const int one = 1;
	size_t n = 0;

	if (in->return_path)
		n = return_path_encode(buf, &shut);
	n += encode(buf + n, COLO_READY);
	/* Of no use but with TCP. */
	(void)setsockopt(in->main.fd, IPPROTO_TCP, TCP_NODELAY, &one,
			 sizeof(one));
	return say(in, buf, n, err);
}

/* ---- what the primary says ---- */

/* size: what stands behind the word, if it has that; may be NULL. */
static int expect(struct intake *in, enum colo_message message, uint64_t *size,
		  struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	size_t need = 1, len;
	const uint8_t *buf;
	struct colo_word w;
	struct fault f;
	ssize_t n;

	do {
		if (intake_peek(in, &need, &buf, &len, err))
			return -1;
		n = colo_decode(buf, len, &w, &f);
		/* A word that is not due is not waited for any longer. */
	} while (n < 0 && f.kind == FAULT_SHORT &&
		 (len < COLO_WORD || get_be32(buf) == message));
	if (n < 0 && f.kind != FAULT_SHORT)
		return error_fault(err, &f, at);
	if (n < 0 || w.message != message)
		return error_set(err, MR_FORMAT, at,
				 "the primary says %s where it should say %s",
				 colo_name(get_be32(buf)), colo_name(message));
	mr_reader_skip(&in->r, (uint64_t)n);
	in->said[message] = at;
	if (size)
		*size = w.size;
	return 0;
}

int colo_wait(struct intake *in, struct mr_error *err)
{
	const uint8_t *buf;
	ssize_t n = mr_reader_peek(&in->r, 1, &buf, err);

	memset(in->said, 0, sizeof(in->said));
	if (n <= 0)
		return (int)n;
	return expect(in, COLO_REQUEST, NULL, err) ? -1 : 1;
}

/* END sections, up to the byte behind them. */
static int memory(struct intake *in, struct mr_error *err)
{
	const uint8_t *buf;
	int rc;

	for (;;) {
		uint64_t at = mr_reader_tell(&in->r);

		if (reader_need(&in->r, 1, &buf, err))
			return -1;
		if (buf[0] == STREAM_EOF)
			break;
		rc = intake_element(in, err);
		if (rc < 0)
			return -1;
		if (!rc)
			return error_set(err, MR_FORMAT, at,
					 "device state among the memory of a "
					 "checkpoint");
	}
	mr_reader_skip(&in->r, 1);
	return pour_end(&in->pour, err);
}

static int device_state(struct intake *in, struct tail *t, struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r), size = 0;

	if (expect(in, COLO_SIZE, &size, err))
		return -1;
	if (size > TAIL_MAX)
		return error_set(err, MR_UNSUPPORTED, at,
				 "more than %zu MiB of device state",
				 TAIL_MAX >> 20);
	while (t->len < size) {
		const uint8_t *buf;
		size_t need = 1, n;

		if (intake_peek(in, &need, &buf, &n, err))
			return -1;
		n = n < size - t->len ? n : (size_t)(size - t->len);
		if (tail_add(t, buf, n, err))
			return -1;
		mr_reader_skip(&in->r, n);
	}
	if (size < 2 || t->bytes[0] != STREAM_FULL ||
	    t->bytes[size - 1] != STREAM_EOF)
		return error_set(err, MR_FORMAT, at,
				 "%" PRIu64 " bytes of a checkpoint that are "
				 "no device state",
				 size);
	return 0;
}

int colo_take(struct intake *in, struct tail *t, struct mr_error *err)
{
	uint8_t reply[COLO_WORD];
	int rc;

	if (say(in, reply, encode(reply, COLO_REPLY), err) ||
	    expect(in, COLO_SEND, NULL, err))
		return -1;
	in->checkpoint = true;
	rc = memory(in, err);
	in->checkpoint = false;
	return rc ? -1 : device_state(in, t, err);
}

int colo_done(struct intake *in, struct mr_error *err)
{
	uint8_t buf[COLO_WORD * 2];
	size_t n = encode(buf, COLO_RECEIVED);

	n += encode(buf + n, COLO_LOADED);
	return say(in, buf, n, err);
}
