/* bits.c - bitmaps of 64-bit words (bits.h). */
#include <string.h>

#include "formats/bits.h"
#include "formats/bytes.h"

void bits_swap_le(uint64_t *words, size_t nwords)
{
	size_t i;

	/* Compiles to nothing on a little-endian host. */
	for (i = 0; i < nwords; i++) {
		uint8_t raw[sizeof(uint64_t)];

		memcpy(raw, &words[i], sizeof(raw));
		words[i] = get_le64(raw);
	}
}

/* The bits of word w that belong to bits first .. end - 1. */
static uint64_t word_mask(uint64_t w, uint64_t first, uint64_t end)
{
	uint64_t base = w * BITS_PER_WORD;
	uint64_t mask = UINT64_MAX;

	if (first > base)
		mask &= UINT64_MAX << (first - base);
	if (end - base < BITS_PER_WORD)
		mask &= (UINT64_C(1) << (end - base)) - 1;
	return mask;
}

void bits_set(uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, end = first + n;

	if (n == 0)
		return;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++)
		words[w] |= word_mask(w, first, end);
}

void bits_clear(uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, end = first + n;

	if (n == 0)
		return;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++)
		words[w] &= ~word_mask(w, first, end);
}

uint64_t bits_count(const uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, end = first + n, count = 0;

	if (n == 0)
		return 0;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++)
		count += bits_weight(words[w] & word_mask(w, first, end));
	return count;
}

bool bits_set_shared(uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, mask, end = first + n;
	bool had = false;

	if (n == 0)
		return false;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++) {
		mask = word_mask(w, first, end);
		had |= __atomic_fetch_or(&words[w], mask, __ATOMIC_RELAXED) &
		       mask;
	}
	return had;
}

void bits_clear_shared(uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, end = first + n;

	if (n == 0)
		return;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++)
		(void)__atomic_fetch_and(&words[w], ~word_mask(w, first, end),
					 __ATOMIC_RELAXED);
}

bool bits_any_shared(const uint64_t *words, uint64_t first, uint64_t n)
{
	uint64_t w, end = first + n;

	if (n == 0)
		return false;
	for (w = first / BITS_PER_WORD; w < bits_words(end); w++)
		if (__atomic_load_n(&words[w], __ATOMIC_RELAXED) &
		    word_mask(w, first, end))
			return true;
	return false;
}

/* The first bit in from .. end - 1 that is set after XOR with flip. */
static uint64_t next_bit(const uint64_t *words, uint64_t from, uint64_t end,
			 uint64_t flip)
{
	uint64_t w;

	if (from >= end)
		return end;
	for (w = from / BITS_PER_WORD; w < bits_words(end); w++) {
		uint64_t bits = (words[w] ^ flip) & word_mask(w, from, end);

		if (bits)
			return w * BITS_PER_WORD +
			       (uint64_t)__builtin_ctzll(bits);
	}
	return end;
}

uint64_t bits_next_set(const uint64_t *words, uint64_t from, uint64_t end)
{
	return next_bit(words, from, end, 0);
}

uint64_t bits_next_clear(const uint64_t *words, uint64_t from, uint64_t end)
{
	return next_bit(words, from, end, UINT64_MAX);
}
