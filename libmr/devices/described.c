/* described.c - sections in memory, held against a description. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stream.h"
#include "formats/vmdesc_text.h"
#include "libmr/base/error.h"
#include "libmr/devices/devices.h"
#include "libmr/image/vmdesc.h"

struct sections {
	const uint8_t *bytes;
	size_t len, at;
	const struct vmdesc *desc;
	struct mr_error *err;
};

static int unlike(const struct sections *s, const struct vmdesc_device *d,
		  const char *what)
{
	return error_set(s->err, MR_FORMAT, s->at,
			 "the description is not of this device state: %.80s "
			 "%s",
			 d->name, what);
}

/* A device whose state has no version of its own says none. */
static bool is_version(const struct sections *s, const struct vmdesc_device *d,
		       uint32_t version)
{
	const struct vmdesc_token *said =
		vmdesc_text_get(s->desc->text, d->token, "version");
	uint64_t n;

	return !said ||
	       (!vmdesc_text_uint(s->desc->text, said, UINT32_MAX, &n) &&
		n == version);
}

static int check_payload(const struct sections *s,
			 const struct vmdesc_device *d)
{
	struct mr_device dev = { .bytes = s->bytes + s->at,
				 .size = d->size,
				 .offset = s->at };
	int rc;

	if (d->size > DEVICE_PAYLOAD_LIMIT)
		return unlike(s, d, "is too long");
	rc = devices_decode(&dev, s->desc->text, d->token, false, s->err);
	free(dev.fields);
	return rc;
}

static int check_section(struct sections *s, const struct vmdesc_device *d)
{
	struct stream_element e;
	struct fault f;
	ssize_t n =
		stream_element_decode(s->bytes + s->at, s->len - s->at, &e, &f);

	if (n < 0 || e.type != STREAM_FULL || strcmp(e.idstr, d->name) != 0 ||
	    e.instance_id != d->instance)
		return unlike(s, d, "is not in its place");
	if (!is_version(s, d, e.version_id))
		return unlike(s, d, "is of another version");
	s->at += (size_t)n;
	if (d->size > s->len - s->at)
		return unlike(s, d, "goes beyond the end");
	if (check_payload(s, d))
		return -1;
	s->at += (size_t)d->size;
	n = stream_footer_decode(s->bytes + s->at, s->len - s->at, e.section_id,
				 &f);
	if (n < 0)
		return unlike(s, d, "is not as long");
	s->at += (size_t)n;
	return 0;
}

static int check_all(struct sections *s)
{
	for (size_t i = 0; i < s->desc->n; i++)
		if (check_section(s, &s->desc->devices[i]))
			return -1;
	if (s->desc->n && s->at + 1 == s->len && s->bytes[s->at] == STREAM_EOF)
		return 0;
	return error_set(s->err, MR_FORMAT, s->at,
			 "the description is not of all of this device state");
}

int devices_described(const uint8_t *sections, size_t len, const uint8_t *text,
		      size_t text_len, struct mr_error *err)
{
	struct vmdesc desc = { .text = NULL };
	struct sections s = {
		.bytes = sections, .len = len, .desc = &desc, .err = err
	};
	char *copy = malloc(text_len + 1);
	int rc;

	if (!copy)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	memcpy(copy, text, text_len);
	rc = vmdesc_read(&desc, copy, text_len, 0, err);
	if (!rc)
		rc = check_all(&s);
	vmdesc_release(&desc);
	free(copy);
	return rc;
}
