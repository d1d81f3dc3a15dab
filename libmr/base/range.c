/* range.c - a place in memory, and how much from there, as people write it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/mr.h"

static bool parse_number(const char **s, uint64_t *n)
{
	static const char letters[] = "KMGT";
	const char *p;
	char *end;

	if (**s < '0' || **s > '9')
		return false; /* strtoull takes blanks and signs */
	errno = 0;
	*n = strtoull(*s, &end, 0);
	p = *end ? strchr(letters, *end) : NULL;
	if (p) {
		unsigned shift = 10 * ((unsigned)(p - letters) + 1);

		if (*n > UINT64_MAX >> shift)
			return false;
		*n <<= shift;
		end++;
	}
	*s = end;
	return !errno;
}

int mr_parse_range(const char *text, uint64_t *start, uint64_t *length)
{
	*length = 0;
	if (!parse_number(&text, start))
		return -1;
	if (*text == '+') {
		text++;
		if (!parse_number(&text, length) || !*length)
			return -1;
	}
	return *text ? -1 : 0;
}
