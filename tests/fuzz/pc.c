/* What a pc's clock and host bridge say of its memory. */
#include "formats/pc.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_cmos(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	return pc_cmos_decode(buf, len, arg, f);
}

struct pam_arg {
	const struct pc_bridge *bridge;
	uint16_t ram;
};

static ssize_t run_pam(void *arg, const uint8_t *buf, size_t len,
		       struct fault *f)
{
	struct pam_arg *a = arg;

	return pc_pam_decode(buf, len, a->bridge, &a->ram, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct pam_arg a = { .bridge = take_8(&in) & 1 ? &pc_q35 : &pc_i440fx };
	struct pc_memory m;

	if (decode(&in, run_cmos, &m, 0) >= 0)
		must(m.below >= 1 << 20 && m.below < UINT64_C(1) << 33 &&
		     m.above < UINT64_C(1) << 40 && m.above % 65536 == 0);
	(void)decode(&in, run_pam, &a, 0);
	/* The last 64 KiB go together. */
	must((a.ram >> 12) % 15 == 0);
	return 0;
}
