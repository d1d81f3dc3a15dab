/*
 * gpa.c - where in the RAM blocks a guest-physical address of a pc is.
 *
 * The layout is not in the file, but what firmware is told of it is: QEMU
 * writes the sizes of RAM below and above 4 GiB into the CMOS of the clock.
 * Where that does not fit the RAM block (the guest may write there), it is
 * what the machine types do by themselves. In the last 256 KiB of the first
 * MiB the host bridge decides between RAM and firmware. formats/pc.h knows
 * where they say so.
 *
 * Facts from QEMU 10.0: hw/i386/pc.c (pc_memory_init), pc_piix.c and
 * pc_q35.c (memory split).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/pc.h"
#include "libmr/base/error.h"
#include "libmr/image/image.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

/* The address space that AMD's HyperTransport takes; QEMU moves RAM that
 * would reach into it. */
#define HT_HOLE (UINT64_C(0xfd) << 32)

struct layout {
	const struct mr_image *img;
	bool q35;
	const struct mr_block *ram;
	uint64_t below, above; /* 4 GiB: bytes of RAM there */
	const char *how;
};

static const struct mr_section *find_section(const struct mr_image *img,
					     const char *name, uint32_t version)
{
	for (size_t i = 0; i < img->info.n_sections; i++) {
		const struct mr_section *s = &img->sections[i];

		if (s->type == MR_SECTION_FULL && s->version == version &&
		    !strcmp(s->name, name))
			return s;
	}
	return NULL;
}

/* The first bytes of a section's payload. 1, 0: there is none, -1. */
static int read_section(const struct mr_image *img, const char *name,
			uint32_t version, uint8_t *buf, size_t len,
			struct mr_error *err)
{
	const struct mr_section *s = find_section(img, name, version);

	if (!s || s->payload < len)
		return 0;
	return io_read_full(img->io, buf, len, s->offset + s->header, err) ? -1
									   : 1;
}

/* ---- RAM ---- */

static bool any_block(const struct mr_image *img, uint64_t length,
		      const struct mr_block **b)
{
	size_t n = 0;

	for (size_t i = 0; i < img->info.n_blocks; i++)
		if (img->blocks[i].length / (64 * KIB) == length / (64 * KIB)) {
			*b = &img->blocks[i];
			n++;
		}
	return n == 1;
}

static bool split_by_cmos(struct layout *l, const uint8_t *cmos)
{
	struct pc_memory m;
	uint64_t sum;
	struct fault f;

	(void)pc_cmos_decode(cmos, PC_CMOS_SIZE, &m, &f);
	sum = m.below + m.above;
	if (!l->ram && !any_block(l->img, sum, &l->ram))
		return false;
	if (l->ram->length < sum || l->ram->length - sum >= 64 * KIB)
		return false;
	l->below = m.above ? m.below : l->ram->length;
	l->above = l->ram->length - l->below;
	l->how = "the memory sizes in the clock's CMOS";
	return true;
}

static bool split_by_machine(struct layout *l)
{
	uint64_t most = l->q35 ? 0xb0000000 : 0xe0000000;
	uint64_t split = l->q35 ? 2 * GIB : 3 * GIB;

	if (!l->ram)
		return false;
	l->below = l->ram->length >= most ? split : l->ram->length;
	l->above = l->ram->length - l->below;
	l->how = l->q35 ? "what q35 machines do by themselves"
			: "what i440fx machines do by themselves";
	return true;
}

static int find_layout(struct layout *l, struct mr_error *err)
{
	const struct mr_image_info *info = &l->img->info;
	uint8_t cmos[PC_CMOS_SIZE];
	int n = read_section(l->img, "mc146818rtc", PC_CMOS_VERSION, cmos,
			     sizeof(cmos), err);

	if (n < 0)
		return -1;
	l->q35 = strstr(info->machine, "q35") != NULL;
	if (!l->q35 && !strstr(info->machine, "i440fx"))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the layout of machine type \"%.80s\" is not "
				 "known, only that of pc and q35",
				 info->machine);
	l->ram = mr_image_find(l->img, "pc.ram");
	if (!(n && split_by_cmos(l, cmos)) && !split_by_machine(l))
		return error_set(
			err, MR_UNSUPPORTED, MR_NO_OFFSET,
			"no block is called pc.ram, nor is one as long "
			"as the memory");
	if (l->above && 4 * GIB + l->above > HT_HOLE)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "with so much memory it depends on the CPU "
				 "where it is");
	return 0;
}

/* ---- firmware ---- */

static void place(struct mr_place *out, const struct mr_block *b,
		  uint64_t offset, uint64_t end)
{
	out->block = b;
	out->offset = offset;
	out->length = end - offset;
}

/* Blocks that end, one below the other, at 4 GiB. */
static bool find_top(const struct mr_image *img, uint64_t gpa,
		     struct mr_place *out)
{
	static const char *const names[][2] = {
		{ "pc.bios", NULL }, { "system.flash0", "system.flash1" }
	};

	for (size_t i = 0; i < 2; i++) {
		uint64_t end = 4 * GIB;

		for (size_t k = 0; k < 2 && names[i][k]; k++) {
			const struct mr_block *b =
				mr_image_find(img, names[i][k]);

			if (!b || b->length > end)
				break;
			end -= b->length;
			if (gpa < end || gpa >= end + b->length)
				continue;
			place(out, b, gpa - end, b->length);
			(void)snprintf(out->how, sizeof(out->how),
				       "firmware, which ends at 4 GiB");
			return true;
		}
	}
	return false;
}

/* What is read at 0xc0000 .. 0xfffff where it is not RAM. */
static int find_rom(const struct mr_image *img, uint64_t gpa,
		    struct mr_place *out, struct mr_error *err)
{
	const struct mr_block *b = mr_image_find(img, "isa-bios");
	uint64_t size, step = 16 * KIB - gpa % (16 * KIB);

	if (!b)
		b = mr_image_find(img, "pc.bios");
	size = b && b->length < 128 * KIB ? b->length : 128 * KIB;
	if (b && gpa >= MIB - size) {
		place(out, b, b->length - (MIB - gpa), b->length);
	} else {
		b = mr_image_find(img, "pc.rom");
		if (!b || gpa - 0xc0000 >= b->length)
			return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					 "no RAM is read at 0x%" PRIx64
					 ", and no ROM is known there",
					 gpa);
		place(out, b, gpa - 0xc0000, b->length);
	}
	if (out->length > step)
		out->length = step;
	(void)snprintf(out->how, sizeof(out->how),
		       "firmware: the host bridge (PAM) does not show RAM "
		       "there");
	return 0;
}

/* Whether RAM is read at 0xc0000 .. 0xfffff. 1, 0, or -1. */
static int ram_is_read(const struct layout *l, uint64_t gpa,
		       struct mr_error *err)
{
	const struct pc_bridge *bridge = l->q35 ? &pc_q35 : &pc_i440fx;
	uint8_t payload[PC_BRIDGE_SIZE];
	uint16_t ram;
	struct fault f;
	int n = read_section(l->img, bridge->section, bridge->version, payload,
			     sizeof(payload), err);

	if (n <= 0)
		return n < 0 ? -1 : 1;
	(void)pc_pam_decode(payload, sizeof(payload), bridge, &ram, &f);
	return ram >> (gpa - PC_PAM_BEGIN) / PC_PAM_PIECE & 1;
}

/* ---- addresses ---- */

static int find_low(const struct layout *l, uint64_t gpa, struct mr_place *out,
		    struct mr_error *err)
{
	uint64_t end = l->below;
	int ram = 1;

	if (gpa >= 0xa0000 && gpa < 0xc0000)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "0x%" PRIx64 " is in the window to the video "
				 "memory (0xa0000 to 0xbffff), not RAM",
				 gpa);
	if (gpa >= 0xc0000 && gpa < MIB)
		ram = ram_is_read(l, gpa, err);
	if (ram < 0)
		return -1;
	if (!ram)
		return find_rom(l->img, gpa, out, err);
	if (gpa < MIB)
		end = gpa < 0xa0000 ? 0xa0000
				    : (gpa / (16 * KIB) + 1) * 16 * KIB;
	place(out, l->ram, gpa, end < l->below ? end : l->below);
	(void)snprintf(out->how, sizeof(out->how),
		       "RAM from 0 to 0x%" PRIx64 ", by %s", l->below, l->how);
	return 0;
}

int mr_image_gpa(const struct mr_image *img, uint64_t gpa, struct mr_place *out,
		 struct mr_error *err)
{
	struct layout l = { .img = img };

	if (find_layout(&l, err))
		return -1;
	if (gpa < l.below)
		return find_low(&l, gpa, out, err);
	if (gpa >= 4 * GIB && gpa - 4 * GIB < l.above) {
		place(out, l.ram, l.below + gpa - 4 * GIB, l.ram->length);
		(void)snprintf(out->how, sizeof(out->how),
			       "RAM from 4 GiB on, the first 0x%" PRIx64
			       " bytes being below, by %s",
			       l.below, l.how);
		return 0;
	}
	if (gpa < 4 * GIB && find_top(img, gpa, out))
		return 0;
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "no RAM is known at 0x%" PRIx64 " (hot-plugged memory "
			 "and memory of devices are not): it is from 0 to "
			 "0x%" PRIx64 " and 0x%" PRIx64 " bytes from 4 GiB on",
			 gpa, l.below, l.above);
}
