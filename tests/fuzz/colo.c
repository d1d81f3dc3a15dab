/* The words of COLO. */
#include "formats/colo.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_word(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return colo_decode(buf, len, arg, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t back[COLO_MAX];
	struct colo_word w;
	ssize_t n = decode(&in, run_word, &w, 0);

	if (n < 0)
		return 0;
	must(colo_name(w.message));
	must(w.message == COLO_SIZE || !w.size);
	must(colo_encode(back, &w) == (size_t)n);
	must(!memcmp(back, in.p, (size_t)n));
	return 0;
}
