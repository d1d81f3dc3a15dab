/*
 * search.c - two bytes of the pattern are looked for in 64 places at a time,
 * and only where both stand the rest is compared. Which two decides the speed:
 * half of a guest's memory is zeros, so those that are rare are taken.
 *
 * Vectors are those of the compiler, which has them on every machine; SSE2
 * is as fast as memory here.
 */
#include "libmr/base/search.h"

#include <stdbool.h>
#include <string.h>

#define WIDE 64

typedef uint8_t lane __attribute__((vector_size(16)));

/* The more, the more often memory has it. */
static unsigned commonness(uint8_t b)
{
	if (b == 0)
		return 4;
	if (b == 0xff)
		return 3;
	if (b == ' ' || b == 1)
		return 2;
	return b >= 'a' && b <= 'z';
}

/* The rarest byte of a pattern; not one like `but`, if there is another. */
static size_t rarest(const uint8_t *bytes, size_t len, size_t but)
{
	size_t best = but;

	for (size_t i = 0; i < len; i++) {
		if (but < len && bytes[i] == bytes[but])
			continue;
		if (best == but ||
		    commonness(bytes[i]) < commonness(bytes[best]))
			best = i;
	}
	return best < len ? best : 0;
}

void search_init(struct search *s, const uint8_t *bytes, size_t len)
{
	*s = (struct search){ .bytes = bytes, .len = len };
	s->probe[0] = rarest(bytes, len, SIZE_MAX);
	s->probe[1] = rarest(bytes, len, s->probe[0]);
}

/* Whether one of WIDE places may be the start: a and b are where the probes
 * of the first of them are. */
static bool perhaps(const struct search *s, const uint8_t *a, const uint8_t *b)
{
	const uint8_t p = s->bytes[s->probe[0]], q = s->bytes[s->probe[1]];
	lane all = { 0 }, va, vb;
	uint64_t w[2];

	for (size_t i = 0; i < WIDE; i += sizeof(lane)) {
		memcpy(&va, a + i, sizeof(va));
		memcpy(&vb, b + i, sizeof(vb));
		all |= (lane)(va == p) & (lane)(vb == q);
	}
	memcpy(w, &all, sizeof(w));
	return (w[0] | w[1]) != 0;
}

size_t search_next(const struct search *s, const uint8_t *buf, size_t len,
		   size_t from)
{
	const uint8_t p = s->bytes[s->probe[0]];
	size_t end; /* of the places where it can start */

	if (len < s->len)
		return SIZE_MAX;
	end = len - s->len + 1;
	while (from < end) {
		size_t n = end - from < WIDE ? end - from : WIDE;

		if (n == WIDE && !perhaps(s, buf + from + s->probe[0],
					  buf + from + s->probe[1])) {
			from += WIDE;
			continue;
		}
		for (; n; n--, from++)
			if (buf[from + s->probe[0]] == p &&
			    !memcmp(buf + from, s->bytes, s->len))
				return from;
	}
	return SIZE_MAX;
}
