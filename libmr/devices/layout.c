/*
 * layout.c - what is at which guest-physical address.
 *
 * In the last 256 KiB of the first MiB of a pc the host bridge decides between
 * RAM and firmware; formats/pc.h knows where it says so.
 *
 * Facts from QEMU 10.0: hw/i386/x86-common.c (x86_bios_rom_init), hw/i386/
 * pc_sysfw.c, hw/pci-host/pam.c.
 */
#include "libmr/devices/layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pc.h"
#include "libmr/base/error.h"
#include "libmr/image/image.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

/* The window to the video memory. */
#define VIDEO_BEGIN UINT64_C(0xa0000)
#define VIDEO_END UINT64_C(0xc0000)

/* RAM in at most LAYOUT_NODES + 4 pieces, the bridge's, two of flash. */
#define RANGES (LAYOUT_NODES + 32)

static struct layout *layout_of(const struct mr_layout *l)
{
	return (struct layout *)(uintptr_t)l;
}

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

int layout_section(const struct mr_image *img, const char *name,
		   uint32_t version, uint8_t *buf, size_t len,
		   struct mr_error *err)
{
	const struct mr_section *s = find_section(img, name, version);

	if (!s || s->payload < len)
		return 0;
	return io_read_full(img->io, buf, len, s->offset + s->header, err) ? -1
									   : 1;
}

/* ---- which machine ---- */

/* There are machines called virt of other targets. */
static bool is_arm(const struct mr_image *img)
{
	if (mr_image_find(img, "mach-virt.ram"))
		return true;
	for (size_t i = 0; i < img->info.n_sections; i++)
		if (!strncmp(img->sections[i].name, "arm_gic", 7))
			return true;
	return false;
}

static int find_machine(struct layout *l, struct mr_error *err)
{
	const char *machine = l->img->info.machine;

	if (strstr(machine, "q35"))
		l->machine = LAYOUT_Q35;
	else if (strstr(machine, "i440fx"))
		l->machine = LAYOUT_I440FX;
	else if (!strcmp(machine, "microvm"))
		l->machine = LAYOUT_MICROVM;
	else if (!strncmp(machine, "virt", 4) && is_arm(l->img))
		l->machine = LAYOUT_VIRT;
	else
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the layout of machine type \"%.80s\" is not "
				 "known, only that of pc, q35, microvm and "
				 "aarch64 virt",
				 machine);
	return 0;
}

/* ---- ranges ---- */

static void add(struct layout *l, uint64_t gpa, uint64_t length,
		const struct mr_block *b, uint64_t offset, const char *firmware)
{
	struct mr_layout_range *r = &l->layout.ranges[l->layout.n_ranges];
	const struct layout_ram *ram = &l->ram;

	*r = (struct mr_layout_range){ .gpa = gpa,
				       .length = length,
				       .block = b,
				       .offset = offset,
				       .firmware = firmware };
	if (firmware)
		(void)snprintf(r->how, sizeof(r->how), "firmware%s", firmware);
	else if (gpa < ram->pieces[0].gpa + ram->pieces[0].length)
		(void)snprintf(r->how, sizeof(r->how),
			       "RAM from %#" PRIx64 " to 0x%" PRIx64 ", %s",
			       ram->pieces[0].gpa,
			       ram->pieces[0].gpa + ram->pieces[0].length,
			       ram->how);
	else
		(void)snprintf(r->how, sizeof(r->how),
			       "RAM from 0x%" PRIx64 " on, the first 0x%" PRIx64
			       " bytes being below, %s",
			       ram->pieces[1].gpa, ram->pieces[0].length,
			       ram->how);
	l->layout.n_ranges++;
}

/* Addresses from .. to - 1 of a piece of RAM: a range for each block. */
static void add_ram(struct layout *l, uint64_t from, uint64_t to)
{
	const struct layout_ram *r = &l->ram;
	size_t piece = from >= r->pieces[0].gpa + r->pieces[0].length;
	uint64_t at =
		from - r->pieces[piece].gpa + (piece ? r->pieces[0].length : 0);

	for (size_t i = 0; i < r->n_blocks && from < to; i++) {
		const struct mr_block *b = r->blocks[i];
		uint64_t n = b->length > at ? b->length - at : 0;

		if (n > to - from)
			n = to - from;
		if (n) {
			add(l, from, n, b, at, NULL);
			from += n;
			at = b->length;
		}
		at -= b->length;
	}
}

/* The end of the firmware, as it is read below 1 MiB. */
static const struct mr_block *low_bios(const struct layout *l, uint64_t *size)
{
	const struct mr_block *b = mr_image_find(l->img, "isa-bios");

	if (!b)
		b = mr_image_find(l->img, "pc.bios");
	*size = b && b->length < 128 * KIB ? b->length : 128 * KIB;
	return b;
}

/* What is read at 0xc0000 .. 0xfffff where it is not RAM. */
static void add_rom(struct layout *l, uint64_t gpa, uint64_t length)
{
	static const char how[] = ": the host bridge (PAM) does not show RAM "
				  "there";
	uint64_t size;
	const struct mr_block *b = low_bios(l, &size);

	if (b && gpa >= MIB - size) {
		add(l, gpa, length, b, b->length - (MIB - gpa), how);
		return;
	}
	b = mr_image_find(l->img, "pc.rom");
	if (b && gpa - VIDEO_END + length <= b->length)
		add(l, gpa, length, b, gpa - VIDEO_END, how);
}

/* The last 256 KiB of the first MiB of a pc. */
static int add_shadows(struct layout *l, struct mr_error *err)
{
	const struct pc_bridge *bridge =
		l->machine == LAYOUT_Q35 ? &pc_q35 : &pc_i440fx;
	uint64_t end = l->ram.pieces[0].length;
	uint8_t payload[PC_BRIDGE_SIZE];
	uint16_t ram = 0xffff;
	struct fault f;
	int n = layout_section(l->img, bridge->section, bridge->version,
			       payload, sizeof(payload), err);

	if (n < 0)
		return -1;
	if (n)
		(void)pc_pam_decode(payload, sizeof(payload), bridge, &ram, &f);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t from = PC_PAM_BEGIN + (uint64_t)i * PC_PAM_PIECE;
		uint64_t to = from + PC_PAM_PIECE;

		if (!(ram >> i & 1))
			add_rom(l, from, to - from);
		else if (from < end)
			add_ram(l, from, to < end ? to : end);
	}
	return 0;
}

static int add_low(struct layout *l, struct mr_error *err)
{
	uint64_t end = l->ram.pieces[0].gpa + l->ram.pieces[0].length, size;
	const struct mr_block *b;

	switch (l->machine) {
	case LAYOUT_VIRT:
		add_ram(l, l->ram.pieces[0].gpa, end);
		return 0;
	case LAYOUT_MICROVM:
		b = low_bios(l, &size);
		if (!b)
			size = 0;
		add_ram(l, 0, end < MIB - size ? end : MIB - size);
		if (b)
			add(l, MIB - size, size, b, b->length - size,
			    ", whose end is read below 1 MiB");
		break;
	case LAYOUT_I440FX:
	case LAYOUT_Q35:
		add_ram(l, 0, end < VIDEO_BEGIN ? end : VIDEO_BEGIN);
		if (add_shadows(l, err))
			return -1;
		break;
	}
	if (end > MIB)
		add_ram(l, MIB, end);
	return 0;
}

/* Blocks that end, one below the other, at 4 GiB. */
static void add_top(struct layout *l)
{
	static const char how[] = ", which ends at 4 GiB";
	const struct mr_block *b = mr_image_find(l->img, "pc.bios");
	const struct mr_block *c = mr_image_find(l->img, "system.flash1");
	const struct layout_ram *r = &l->ram;
	uint64_t end = r->pieces[0].gpa + r->pieces[0].length, size = 0;

	if (!b)
		b = mr_image_find(l->img, "system.flash0");
	else
		c = NULL;
	if (!b || b->length > 4 * GIB - end)
		return;
	size = b->length;
	if (c && c->length <= 4 * GIB - end - size)
		add(l, 4 * GIB - size - c->length, c->length, c, 0, how);
	add(l, 4 * GIB - size, size, b, 0, how);
}

static int fill(struct layout *l, struct mr_error *err)
{
	const struct layout_ram *r = &l->ram;

	if (add_low(l, err))
		return -1;
	if (l->machine != LAYOUT_VIRT)
		add_top(l);
	if (r->n_pieces > 1)
		add_ram(l, r->pieces[1].gpa,
			r->pieces[1].gpa + r->pieces[1].length);
	return 0;
}

/* What others say must be possible. */
static int check_pieces(const struct layout *l, struct mr_error *err)
{
	const struct layout_ram *r = &l->ram;
	uint64_t first = l->machine == LAYOUT_VIRT ? GIB : 0;

	if (r->pieces[0].gpa == first &&
	    (l->machine == LAYOUT_VIRT ? r->n_pieces == 1
				       : r->pieces[0].length <= 4 * GIB) &&
	    (r->n_pieces == 1 || r->pieces[1].gpa >= 4 * GIB))
		return 0;
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "memory is said to begin at 0x%" PRIx64
			 ", which no machine of this type does",
			 r->pieces[0].gpa);
}

struct mr_layout *mr_image_layout(const struct mr_image *img,
				  mr_layout_read read, void *arg,
				  struct mr_error *err)
{
	struct layout *l = calloc(1, sizeof(*l));

	if (l)
		l->layout.ranges = calloc(RANGES + img->info.n_blocks,
					  sizeof(*l->layout.ranges));
	if (!l || !l->layout.ranges) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		mr_layout_free(&l->layout);
		return NULL;
	}
	l->img = img;
	l->read = read;
	l->arg = arg;
	if (!find_machine(l, err) && !layout_find_ram(l, err) &&
	    !check_pieces(l, err) && !fill(l, err))
		return &l->layout;
	mr_layout_free(&l->layout);
	return NULL;
}

void mr_layout_free(struct mr_layout *l)
{
	if (!l)
		return;
	free(l->ranges);
	free(l->unplaced);
	free(layout_of(l));
}

void mr_layout_drop(struct mr_layout *l, const struct mr_block *b)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_unplaced; i++)
		if (l->unplaced[i] != b)
			l->unplaced[n++] = l->unplaced[i];
	l->n_unplaced = n;
}

int mr_layout_put(struct mr_layout *l, const struct mr_block *b, uint64_t gpa,
		  const char *how, struct mr_error *err)
{
	struct mr_layout_range *r = l->ranges;
	size_t i = 0;

	while (i < l->n_unplaced && l->unplaced[i] != b)
		i++;
	if (i == l->n_unplaced)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "it is known where block %.60s is, or that it "
				 "is no memory",
				 b->name);
	i = 0;
	if (b->length > UINT64_MAX - gpa)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "block %.60s does not fit behind 0x%" PRIx64,
				 b->name, gpa);
	while (i < l->n_ranges && r[i].gpa + (r[i].length - 1) < gpa)
		i++;
	if (i < l->n_ranges && r[i].gpa < gpa + b->length)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "at 0x%" PRIx64 " block %.60s would overlap "
				 "%.60s, which is at 0x%" PRIx64,
				 gpa, b->name, r[i].block->name, r[i].gpa);
	memmove(r + i + 1, r + i, (l->n_ranges++ - i) * sizeof(*r));
	r[i] = (struct mr_layout_range){ .gpa = gpa,
					 .length = b->length,
					 .block = b };
	(void)snprintf(r[i].how, sizeof(r[i].how), "%s", how);
	mr_layout_drop(l, b);
	return 0;
}

/* ---- addresses ---- */

static int refuse(const struct mr_layout *l, uint64_t gpa, struct mr_error *err)
{
	const struct layout *own = layout_of(l);
	const struct layout_ram *r = &own->ram;
	bool pc = own->machine == LAYOUT_I440FX || own->machine == LAYOUT_Q35;
	char other[160] = "";

	if (pc && gpa >= VIDEO_BEGIN && gpa < VIDEO_END)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "0x%" PRIx64 " is in the window to the video "
				 "memory (0xa0000 to 0xbffff), not RAM",
				 gpa);
	if (pc && gpa >= VIDEO_END && gpa < MIB)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "no RAM is read at 0x%" PRIx64
				 ", and no ROM is known there",
				 gpa);
	if (l->n_unplaced)
		(void)snprintf(other, sizeof(other),
			       "; nothing tells where block %.60s%s is",
			       l->unplaced[0]->name,
			       l->n_unplaced > 1 ? ", or others," : "");
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "no RAM is known at 0x%" PRIx64 " (memory of devices "
			 "is not): it is 0x%" PRIx64 " bytes from 0x%" PRIx64
			 " and 0x%" PRIx64 " from 0x%" PRIx64 " on%s",
			 gpa, r->pieces[0].length, r->pieces[0].gpa,
			 r->pieces[1].length, r->pieces[1].gpa, other);
}

int mr_layout_find(const struct mr_layout *l, uint64_t gpa,
		   struct mr_place *out, struct mr_error *err)
{
	size_t from = 0, to = l->n_ranges;
	const struct mr_layout_range *r;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (l->ranges[mid].gpa + (l->ranges[mid].length - 1) < gpa)
			from = mid + 1;
		else
			to = mid;
	}
	r = &l->ranges[from];
	if (from == l->n_ranges || r->gpa > gpa)
		return refuse(l, gpa, err);
	out->block = r->block;
	out->offset = r->offset + (gpa - r->gpa);
	out->length = r->length - (gpa - r->gpa);
	memcpy(out->how, r->how, sizeof(out->how));
	return 0;
}
