/* names.c - names in order, so that thousands of a hostile file cost little. */
#include "libmr/base/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct names *x, size_t i)
{
	const char *first = (const char *)x->first;

	return *(const char *const *)(const void *)(first + i * x->stride);
}

/* The same names in the order of their things. */
static int by_name(const void *pa, const void *pb, void *arg)
{
	const size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
	int c = strcmp(name_of(arg, a), name_of(arg, b));

	return c ? c : (a > b) - (a < b);
}

int names_make(struct names *x, const char *const *first, size_t stride,
	       size_t n)
{
	*x = (struct names){ .first = first, .stride = stride, .n = n };
	x->order = calloc(n + 1, sizeof(*x->order));
	if (!x->order)
		return -1;
	for (size_t i = 0; i < n; i++)
		x->order[i] = i;
	qsort_r(x->order, n, sizeof(*x->order), by_name, x);
	return 0;
}

void names_free(struct names *x)
{
	free(x->order);
	*x = (struct names){ 0 };
}

size_t names_find(const struct names *x, const char *name)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(name, name_of(x, x->order[mid]));

		if (!c)
			return x->order[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NAMES_NONE;
}

size_t names_twice(const struct names *x)
{
	for (size_t i = 1; i < x->n; i++)
		if (!strcmp(name_of(x, x->order[i]),
			    name_of(x, x->order[i - 1])))
			return x->order[i];
	return NAMES_NONE;
}

void names_list(const struct names *x, char *text, size_t len)
{
	const size_t more = sizeof(" and 18446744073709551615 more");
	size_t at = 0, i = 0;

	(void)snprintf(text, len, "none");
	for (; i < x->n; i++) {
		const char *name = name_of(x, i);

		if (at + strlen(name) + 2 + (i + 1 < x->n ? more : 1) > len)
			break;
		at += (size_t)snprintf(text + at, len - at, "%s%s",
				       i ? ", " : "", name);
	}
	if (i && i < x->n)
		(void)snprintf(text + at, len - at, " and %zu more", x->n - i);
	else if (i < x->n)
		(void)snprintf(text, len, "%zu others", x->n);
}
