/*
 * unit.h - what the tests of libmr/ share: cmocka, and numbers that look
 * random.
 */
#ifndef TESTS_LIBMR_UNIT_H
#define TESTS_LIBMR_UNIT_H

#include <errno.h>
#include <fcntl.h>
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

/* A long loop over bytes does one round of so many with the thread sanitizer:
 * with that each takes fifty times as long and tells nothing new of threads.
 * The plain suite does all of them. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
enum { ONE_OF = 13 };
#else
enum { ONE_OF = 1 };
#endif

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

#endif
