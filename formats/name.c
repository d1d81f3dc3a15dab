/* name.c - names as QEMU's streams carry them (name.h). */
#include <string.h>

#include "formats/name.h"

size_t name_utf8(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	size_t want = p[0] < 0x80   ? 1
		      : p[0] < 0xc0 ? 0
		      : p[0] < 0xe0 ? 2
		      : p[0] < 0xf0 ? 3
		      : p[0] < 0xf8 ? 4
				    : 0;
	uint32_t code;
	size_t i;

	if (want < 2)
		return want;
	if (n < want)
		return 0;
	code = p[0] & (0xffU >> (want + 1));
	for (i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[want] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	return want;
}

bool name_is_text(const char *name, size_t len)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t i, step;

	for (i = 0; i < len; i += step) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		step = name_utf8(p + i, len - i);
		if (!step)
			return false;
	}
	return true;
}

ssize_t name_decode(const uint8_t *buf, size_t len, size_t at,
		    char out[NAME_SIZE], struct fault *f)
{
	size_t n;

	if (at >= len)
		return fault_set(f, FAULT_SHORT, len, "ends before a name");
	n = buf[at];
	if (n == 0)
		return fault_set(f, FAULT_BAD, at, "empty name");
	if (len - at - 1 < n)
		return fault_set(f, FAULT_SHORT, len, "ends inside a name");
	memcpy(out, buf + at + 1, n);
	out[n] = '\0';
	if (!name_is_text(out, n))
		return fault_set(f, FAULT_BAD, at + 1, "name is not text");
	return (ssize_t)(n + 1);
}

size_t name_encode(uint8_t *p, const char *name)
{
	size_t n;

	for (n = 0; name[n]; n++)
		p[1 + n] = (uint8_t)name[n];
	p[0] = (uint8_t)n;
	return n + 1;
}

ssize_t name_or_none_decode(const uint8_t *buf, size_t len, size_t at,
			    char out[NAME_SIZE], struct fault *f)
{
	out[0] = '\0';
	return at < len && !buf[at] ? 1 : name_decode(buf, len, at, out, f);
}

size_t name_or_none_encode(uint8_t *p, const char *name)
{
	*p = 0;
	return *name ? name_encode(p, name) : 1;
}
