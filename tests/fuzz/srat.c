/* ACPI tables, and the memory in them. */
#include "formats/srat.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_find(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return srat_find(buf, len, arg, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srat_memory m;
	size_t length = 0;
	struct fault f;
	ssize_t at = decode_exact(run_find, &length, data, size, &f), n;

	if (at < 0 || !length)
		return 0;
	must((size_t)at + length <= size && length >= SRAT_ENTRIES);
	for (size_t e = SRAT_ENTRIES; e < length; e += (size_t)n) {
		n = srat_entry_decode(data + at, length, e, &m, &f);
		if (n < 0) {
			check_fault(&f, length);
			break;
		}
		must(n >= 2 && e + (size_t)n <= length);
		must(m.base + m.length >= m.base);
	}
	return 0;
}
