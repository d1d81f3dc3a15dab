/*
 * unit.h - what the tests of libmr/ share: cmocka, numbers that look random,
 * and a folder to work in.
 */
#ifndef TESTS_LIBMR_UNIT_H
#define TESTS_LIBMR_UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "libmr/mr.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The same sequence in every run (xorshift64*); *state is never 0. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static inline void fill_random(void *buf, size_t len, uint64_t seed)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)(next_random(&seed) >> 56);
}

/* ---- folders ---- */

/* A new folder under parent; NULL if none can be made there. */
static inline char *folder_new(const char *parent)
{
	char *path = NULL;

	if (asprintf(&path, "%s/mr-unit.XXXXXX", parent) < 0)
		return NULL;
	if (mkdtemp(path))
		return path;
	free(path);
	return NULL;
}

static inline int folder_drop_one(const char *path, const struct stat *st,
				  int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* With all that is in it. */
static inline void folder_free(char *path)
{
	if (path)
		(void)nftw(path, folder_drop_one, 8, FTW_DEPTH | FTW_PHYS);
	free(path);
}

#endif
