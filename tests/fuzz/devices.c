/*
 * A device section decoded by its description: a byte of flags, the
 * description's JSON, a NUL, the payload.
 */
#include "libmr/devices/devices.h"
#include "tests/fuzz/fuzz.h"

/* Fields lie in the payload in order, and parts in what they are parts of. */
static void check_fields(const struct mr_device *dev)
{
	uint64_t at = 0;

	for (size_t i = 0; i < dev->n_fields; i++) {
		const struct mr_field *f = &dev->fields[i];
		struct mr_value v;

		must(f->name && f->type);
		must(f->offset >= at && f->offset <= dev->size);
		must(f->size == 0 ||
		     f->count <= (dev->size - f->offset) / f->size);
		must(f->parts < dev->n_fields - i);
		must(!f->parts || f[1].depth == f->depth + 1);
		at = f->offset;
		if (!f->count)
			continue; /* an array without elements */
		mr_field_value(dev, f, f->count - 1, &v);
		must(v.bytes >= dev->bytes &&
		     v.bytes + v.size <= dev->bytes + dev->size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mr_section section = { .name = "d" };
	struct mr_device dev = { .section = &section, .offset = 1000 };
	struct mr_error err = MR_ERROR_INIT;
	const uint8_t *nul = size ? memchr(data + 1, 0, size - 1) : NULL;
	struct vmdesc_token *tokens;
	struct fault f;
	uint8_t *payload;
	char *text;
	size_t len;

	if (!nul)
		return 0;
	text = strdup((const char *)data + 1);
	dev.size = (uint64_t)(data + size - nul) - 1;
	payload = malloc((size_t)dev.size + 1);
	must(text && payload);
	len = strlen(text);
	tokens = malloc(VMDESC_TEXT_ROOM(len) * sizeof(*tokens));
	must(tokens);
	memcpy(payload, nul + 1, (size_t)dev.size);
	dev.bytes = payload;
	if (vmdesc_text_parse(text, len, tokens, &f) < 0)
		; /* vmdesc_text's */
	else if (!devices_decode(&dev, text, tokens, *data & 1, &err))
		check_fields(&dev);
	else
		must(err.code == MR_FORMAT && *err.msg && err.offset >= 1000 &&
		     err.offset <= 1000 + dev.size);
	free(dev.fields);
	free(payload);
	free(text);
	free(tokens);
	return 0;
}
