/* The vmdescription's JSON: sizes that can be added up, or a reason. */
#include "formats/name.h"
#include "libmr/image/vmdesc.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mr_error err = MR_ERROR_INIT;
	struct vmdesc d = { 0 };
	char *text = malloc(size ? size : 1);

	must(text);
	if (size)
		memcpy(text, data, size);
	if (vmdesc_read(&d, text, size, 1000, &err)) {
		must(err.code == MR_FORMAT || err.code == MR_UNSUPPORTED);
		must(*err.msg && name_is_text(err.msg, strlen(err.msg)));
		must(err.offset >= 1000 && err.offset <= 1000 + size);
	} else {
		must(err.code == MR_OK);
		for (size_t i = 0; i < d.n; i++)
			must(d.devices[i].size < UINT64_C(1) << 62);
	}
	d.memory = text;
	vmdesc_release(&d);
	return 0;
}
