/* hex.c - bytes as people read them. */
#include "tools/common/hex.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void hex_begin(struct hex *h, const char *indent, uint64_t base)
{
	*h = (struct hex){ .indent = indent, .base = base };
}

static void put_line(const struct hex *h)
{
	char text[128], *to = text;

	for (size_t i = 0; i < 16; i++) {
		if (i == 8)
			*to++ = ' ';
		if (i < h->have)
			to += sprintf(to, " %02x", h->line[i]);
		else
			to += sprintf(to, "   ");
	}
	to += sprintf(to, "  |");
	for (size_t i = 0; i < h->have; i++)
		*to++ = h->line[i] >= ' ' && h->line[i] < 0x7f
				? (char)h->line[i]
				: '.';
	*to = '\0';
	(void)printf("%s%08" PRIx64 " %s|\n", h->indent,
		     h->base + h->lines * 16, text);
}

static void end_line(struct hex *h)
{
	if (h->lines && h->have == 16 && !memcmp(h->line, h->last, 16)) {
		if (!h->starred)
			(void)printf("%s*\n", h->indent);
		h->starred = 1;
	} else {
		put_line(h);
		h->starred = 0;
		memcpy(h->last, h->line, 16);
	}
	if (h->have < 16)
		h->base -= 16 - h->have; /* for hex_end */
	h->lines++;
	h->have = 0;
}

void hex_put(struct hex *h, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len) {
		size_t n = 16 - h->have;

		if (n > len)
			n = len;
		memcpy(h->line + h->have, p, n);
		h->have += n;
		p += n;
		len -= n;
		if (h->have == 16)
			end_line(h);
	}
}

void hex_end(struct hex *h)
{
	if (h->have)
		end_line(h);
	(void)printf("%s%08" PRIx64 "\n", h->indent, h->base + h->lines * 16);
}
