/* Names: what is taken can be printed on one line, and goes back as it was. */
#include "formats/name.h"
#include "tests/fuzz/fuzz.h"

struct arg {
	size_t at;
	char name[NAME_SIZE];
};

static ssize_t run(void *arg, const uint8_t *buf, size_t len, struct fault *f)
{
	struct arg *a = arg;

	return name_decode(buf, len, a->at, a->name, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t back[1 + NAME_SIZE];
	struct arg a = { .at = 0 };
	ssize_t n = decode(&in, run, &a, 0);

	if (n < 0)
		return 0;
	must(strlen(a.name) + 1 == (size_t)n);
	must(name_is_text(a.name, strlen(a.name)));
	for (const char *p = a.name; *p; p++)
		must((uint8_t)*p >= 0x20 && *p != 0x7f);
	must(name_encode(back, a.name) == (size_t)n);
	must(!memcmp(back, in.p, (size_t)n));
	return 0;
}
