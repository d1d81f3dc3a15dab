/* The index of a capture. */
#include "formats/capture.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_record(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return capture_record_decode(buf, len, arg, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct capture_record r;
	uint8_t back[CAPTURE_RECORD_SIZE];
	struct fault f;

	(void)capture_head_decode(data, size, &f);
	while (decode(&in, run_record, &r, 0) > 0) {
		must(capture_record_encode(back, &r) == sizeof(back));
		must(!memcmp(back, in.p, sizeof(back)));
		in.p += sizeof(back);
		in.len -= sizeof(back);
	}
	return 0;
}
