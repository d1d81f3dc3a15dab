/* text.c - sizes and safe text for every tool. */
#include "tools/common/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

double cli_rate(uint64_t bytes, double seconds)
{
	return seconds > 0 ? (double)bytes / (1024.0 * 1024.0) / seconds : 0;
}

const char *cli_human(char buf[CLI_HUMAN], uint64_t bytes)
{
	static const char *const unit[] = { "B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB" };
	unsigned power = 0;
	uint64_t tenths;

	while (power < 6 && bytes >> (10 * power) >= 1024)
		power++;
	if (!power) {
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 " B", bytes);
		return buf;
	}
	tenths = ((bytes >> (10 * (power - 1))) * 10) >> 10;
	if (tenths >= 1000 || tenths % 10 == 0)
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 " %s", tenths / 10,
			       unit[power]);
	else
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 ".%" PRIu64 " %s",
			       tenths / 10, tenths % 10, unit[power]);
	return buf;
}

/* Characters that turn the order of a line around, or end it: what is seen
 * would not be what is said. */
static bool is_unruly(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Length of the printable UTF-8 character at s, 0 if there is none: control
 * characters (C1 too, and those of direction), surrogates and overlong forms
 * are not. */
static size_t utf8_len(const unsigned char *s)
{
	uint32_t c = s[0];
	size_t n;

	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if (c < 0xa0 || (n == 3 && c < 0x800) || (n == 4 && c < 0x10000) ||
	    (c >= 0xd800 && c < 0xe000) || c > 0x10ffff || is_unruly(c))
		return 0;
	return n;
}

const char *cli_uuid(char buf[CLI_UUID], const uint8_t u[16])
{
	char *at = buf;

	for (int i = 0; i < 16; i++)
		at += sprintf(at, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      u[i]);
	return buf;
}

const char *cli_escape(char *buf, size_t size, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (*s) {
		size_t n = utf8_len(s);

		if (at + (n ? n : 4) >= size)
			break;
		if (n) {
			memcpy(buf + at, s, n);
			at += n;
			s += n;
		} else {
			(void)snprintf(buf + at, 5, "\\x%02x", *s++);
			at += 4;
		}
	}
	buf[at] = '\0';
	return buf;
}
