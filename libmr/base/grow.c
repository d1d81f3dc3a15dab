/* grow.c - arrays that double. */
#include "libmr/base/grow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 16u

int grow(void *array, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? 2 * *room : FIRST;
	void *p;

	if (n < *room)
		return 0;
	memcpy(&p, array, sizeof(p));
	p = more > SIZE_MAX / size ? NULL : realloc(p, more * size);
	if (!p)
		return -1;
	memcpy(array, &p, sizeof(p));
	*room = more;
	return 0;
}
