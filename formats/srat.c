/* srat.c - where memory is, as ACPI tables say (srat.h). */
#include "formats/srat.h"

#include <string.h>

#include "formats/bytes.h"

enum { HEADER = 8, MEMORY_SIZE = 40 };

ssize_t srat_find(const uint8_t *tables, size_t len, size_t *length,
		  struct fault *f)
{
	*length = 0;
	for (size_t at = 0, n; len - at >= HEADER; at += n) {
		n = get_le32(tables + at + 4);
		if (!n && !get_le32(tables + at))
			return 0;
		if (n < HEADER)
			return fault_value(f, FAULT_BAD, at + 4,
					   "a table is shorter than its header",
					   n);
		if (n > len - at)
			return fault_value(f, FAULT_SHORT, at + 4,
					   "a table ends behind the tables", n);
		if (memcmp(tables + at, "SRAT", 4) != 0)
			continue;
		if (n < SRAT_ENTRIES)
			return fault_value(
				f, FAULT_BAD, at + 4,
				"the SRAT has no room for its header", n);
		*length = n;
		return (ssize_t)at;
	}
	return 0;
}

ssize_t srat_entry_decode(const uint8_t *srat, size_t len, size_t at,
			  struct srat_memory *out, struct fault *f)
{
	const uint8_t *e = srat + at;

	*out = (struct srat_memory){ .length = 0 };
	if (len - at < 2)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside an entry of the SRAT");
	if (e[1] < 2 || (e[0] == SRAT_MEMORY && e[1] < MEMORY_SIZE))
		return fault_value(f, FAULT_BAD, at + 1,
				   "an entry of the SRAT is too short", e[1]);
	if (e[1] > len - at)
		return fault_value(f, FAULT_SHORT, at + 1,
				   "an entry ends behind the SRAT", e[1]);
	if (e[0] != SRAT_MEMORY)
		return e[1];
	*out = (struct srat_memory){
		.base = get_le64(e + 8),
		.length = get_le64(e + 16),
		.domain = get_le32(e + 2),
		.flags = get_le32(e + 28),
	};
	if (out->length > UINT64_MAX - out->base)
		return fault_value(f, FAULT_BAD, at + 16,
				   "memory of the SRAT reaches beyond 64 bits",
				   out->length);
	return e[1];
}
