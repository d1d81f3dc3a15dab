/*
 * bits.h - bitmaps of 64-bit words.
 *
 * In memory a bitmap is uint64_t words in host order: bit b is bit b % 64 of
 * word b / 64. Lengths are bits unless they are called otherwise; no call
 * checks one.
 */
#ifndef FORMATS_BITS_H
#define FORMATS_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BITS_PER_WORD = 64 };

/* Words that n bits take, and their bytes. */
static inline uint64_t bits_words(uint64_t n)
{
	return n / BITS_PER_WORD + (n % BITS_PER_WORD != 0);
}

static inline uint64_t bits_size(uint64_t n)
{
	return bits_words(n) * sizeof(uint64_t);
}

static inline bool bits_test(const uint64_t *words, uint64_t bit)
{
	return words[bit / BITS_PER_WORD] >> (bit % BITS_PER_WORD) & 1;
}

/* Bits set in w: the builtin needs libgcc where the CPU may lack POPCNT. */
static inline uint64_t bits_weight(uint64_t w)
{
	w -= w >> 1 & UINT64_C(0x5555555555555555);
	w = (w & UINT64_C(0x3333333333333333)) +
	    (w >> 2 & UINT64_C(0x3333333333333333));
	w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return w * UINT64_C(0x0101010101010101) >> 56;
}

/* Little-endian words, as in a file, to host order; and back, which is the
 * same operation. */
void bits_swap_le(uint64_t *words, size_t nwords);

/* Bits first .. first + n - 1. */
void bits_set(uint64_t *words, uint64_t first, uint64_t n);
void bits_clear(uint64_t *words, uint64_t first, uint64_t n);
uint64_t bits_count(const uint64_t *words, uint64_t first, uint64_t n);

/* The same while other threads change other bits of the same words. Nothing
 * else is ordered by them. */
/* Returns whether one of them was set before. */
bool bits_set_shared(uint64_t *words, uint64_t first, uint64_t n);
void bits_clear_shared(uint64_t *words, uint64_t first, uint64_t n);
/* Whether one of them is set. */
bool bits_any_shared(const uint64_t *words, uint64_t first, uint64_t n);

/*
 * The first set (clear) bit at or after from and before end; end if none.
 * Runs:
 *   for (p = next_set(w, 0, n); p < n; p = next_set(w, q, n)) {
 *           q = next_clear(w, p, n);        bits p .. q - 1 are set
 *   }
 */
uint64_t bits_next_set(const uint64_t *words, uint64_t from, uint64_t end);
uint64_t bits_next_clear(const uint64_t *words, uint64_t from, uint64_t end);

#endif
