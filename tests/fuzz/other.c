/* What files are that are no images. */
#include "formats/other.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum other_kind kind = other_find(data, size);

	must((unsigned)kind < OTHER_KINDS);
	must(!other_text(kind) == (kind == OTHER_NONE));
	/* More bytes than these tell nothing. */
	if (size > OTHER_MAX)
		must(other_find(data, OTHER_MAX) == kind);
	return 0;
}
