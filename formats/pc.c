/* pc.c - what a pc's devices say of where its memory is (pc.h). */
#include "formats/pc.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

/* ---- the clock ---- */

ssize_t pc_cmos_decode(const uint8_t *buf, size_t len, struct pc_memory *out,
		       struct fault *f)
{
	uint64_t low, high;

	if (len < PC_CMOS_SIZE)
		return fault_set(f, FAULT_SHORT, len, "ends inside the CMOS");
	low = (uint64_t)(buf[0x30] | buf[0x31] << 8) * KIB;
	high = (uint64_t)(buf[0x34] | buf[0x35] << 8) * 64 * KIB;
	*out = (struct pc_memory){
		.below = high ? 16 * MIB + high : MIB + low,
		.above = (uint64_t)(buf[0x5b] | buf[0x5c] << 8 |
				    buf[0x5d] << 16) *
			 64 * KIB,
	};
	return PC_CMOS_SIZE;
}

/* ---- the host bridge ---- */

const struct pc_bridge pc_i440fx = { "0000:00:00.0/I440FX", 3, 4 + 0x59 };
const struct pc_bridge pc_q35 = { "0000:00:00.0/mch", 1, 4 + 0x90 };

ssize_t pc_pam_decode(const uint8_t *buf, size_t len,
		      const struct pc_bridge *bridge, uint16_t *ram,
		      struct fault *f)
{
	const uint8_t *pam = buf + bridge->pam;
	unsigned int bits = 0;

	if (len < PC_BRIDGE_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the PCI configuration");
	for (unsigned int n = 0; n < 12; n++)
		bits |= ((unsigned)pam[1 + n / 2] >> (n % 2 * 4) & 1u) << n;
	if (pam[0] >> 4 & 1)
		bits |= 0xf000;
	*ram = (uint16_t)bits;
	return PC_BRIDGE_SIZE;
}
