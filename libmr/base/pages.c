/*
 * pages.c - the zero scan.
 *
 * A page of data is told by its first word nearly always, so that word is
 * looked at before anything wide is loaded. Zero pages are read to the end:
 * that is bound by memory, and AVX2 loads reach its limit sooner than
 * AVX-512 loads do (they cost clock on some cores), hence the order below.
 */
#include "libmr/base/pages.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__has_include) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static bool always(void)
{
	return true;
}

/* The word inside a stretch that is known to hold data. */
static size_t first_word(const unsigned char *p, size_t from, size_t len)
{
	uint64_t w;

	for (; from < len; from += sizeof(w)) {
		memcpy(&w, p + from, sizeof(w));
		if (w)
			return from;
	}
	return len;
}

static size_t first_data_portable(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	uint64_t w[8];

	for (size_t i = 0; i < len; i += sizeof(w)) {
		memcpy(w, p + i, sizeof(w));
		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			return first_word(p, i, len);
	}
	return len;
}

#if defined(__x86_64__)

/*
 * The C library asked the CPU when the program began. The compiler's builtins
 * ask once more, at every start of every tool, and each of a dozen questions
 * is an exit from the VM where there is one.
 */
#if defined(CPU_FEATURE_ACTIVE)
static bool have_avx2(void)
{
	return CPU_FEATURE_ACTIVE(AVX2);
}

static bool have_avx512(void)
{
	return CPU_FEATURE_ACTIVE(AVX512F);
}
#else
static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool have_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}
#endif

static size_t first_data_sse2(const void *buf, size_t len)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 128) {
		const __m128i *v = (const void *)(p + i);
		__m128i a = _mm_or_si128(_mm_loadu_si128(v),
					 _mm_loadu_si128(v + 1));

		for (size_t k = 2; k < 8; k++)
			a = _mm_or_si128(a, _mm_loadu_si128(v + k));
		a = _mm_cmpeq_epi8(a, _mm_setzero_si128());
		if (_mm_movemask_epi8(a) != 0xffff)
			return first_word(p, i, len);
	}
	return len;
}

__attribute__((target("avx2"))) static size_t first_data_avx2(const void *buf,
							      size_t len)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 256) {
		const __m256i *v = (const void *)(p + i);
		__m256i a = _mm256_or_si256(_mm256_loadu_si256(v),
					    _mm256_loadu_si256(v + 1));
		__m256i b = _mm256_or_si256(_mm256_loadu_si256(v + 2),
					    _mm256_loadu_si256(v + 3));
		__m256i c = _mm256_or_si256(_mm256_loadu_si256(v + 4),
					    _mm256_loadu_si256(v + 5));
		__m256i d = _mm256_or_si256(_mm256_loadu_si256(v + 6),
					    _mm256_loadu_si256(v + 7));

		a = _mm256_or_si256(_mm256_or_si256(a, b),
				    _mm256_or_si256(c, d));
		if (!_mm256_testz_si256(a, a))
			return first_word(p, i, len);
	}
	return len;
}

__attribute__((target("avx512f"))) static size_t
first_data_avx512(const void *buf, size_t len)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 512) {
		const unsigned char *q = p + i;
		__m512i a = _mm512_or_si512(_mm512_loadu_si512(q),
					    _mm512_loadu_si512(q + 64));

		for (size_t k = 2; k < 8; k++)
			a = _mm512_or_si512(a, _mm512_loadu_si512(q + 64 * k));
		if (_mm512_test_epi64_mask(a, a))
			return first_word(p, i, len);
	}
	return len;
}

#elif defined(__aarch64__)

static size_t first_data_neon(const void *buf, size_t len)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 128) {
		uint8x16_t a = vld1q_u8(p + i);

		for (int k = 1; k < 8; k++)
			a = vorrq_u8(a, vld1q_u8(p + i + 16 * k));
		if (vmaxvq_u8(a))
			return first_word(p, i, len);
	}
	return len;
}

#endif

const struct pages_path pages_paths[] = {
#if defined(__x86_64__)
	{ "avx2", have_avx2, first_data_avx2 },
	{ "avx512", have_avx512, first_data_avx512 },
	{ "sse2", always, first_data_sse2 },
#elif defined(__aarch64__)
	{ "neon", always, first_data_neon },
#endif
	{ "portable", always, first_data_portable },
	{ NULL, NULL, NULL },
};

typedef size_t (*first_data_fn)(const void *buf, size_t len);

/* Workers may meet here at the same time: all find the same answer. */
static first_data_fn chosen(void)
{
	static _Atomic(first_data_fn) choice;
	first_data_fn fn = atomic_load_explicit(&choice, memory_order_relaxed);
	const struct pages_path *p = pages_paths;

	if (fn)
		return fn;
	while (!p->usable())
		p++;
	atomic_store_explicit(&choice, p->first_data, memory_order_relaxed);
	return p->first_data;
}

size_t pages_first_data(const void *buf, size_t len)
{
	uint64_t w;

	if (len) {
		memcpy(&w, buf, sizeof(w));
		if (w)
			return 0;
	}
	return chosen()(buf, len);
}

size_t pages_clear_zero(const void *buf, size_t page_size, size_t pages,
			uint64_t *bits)
{
	const unsigned char *p = buf;
	size_t cleared = 0;

	for (size_t i = 0; i < pages; i++) {
		uint64_t bit = UINT64_C(1) << (i & 63);

		if (!(bits[i >> 6] & bit) ||
		    !pages_all_zero(p + i * page_size, page_size))
			continue;
		bits[i >> 6] &= ~bit;
		cleared++;
	}
	return cleared;
}
