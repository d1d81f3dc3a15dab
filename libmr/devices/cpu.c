/*
 * cpu.c - the registers of each virtual CPU, out of its section "cpu".
 *
 * Where the section is described, each register is looked up by name and laid
 * where formats/vmdesc knows it; without a description the section is taken
 * to be laid out like that already, if what must be so in any x86 CPU is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/vmdesc.h"
#include "libmr/devices/devices.h"
#include "libmr/base/error.h"

/* A field of no struct, with all elements of an array: they follow each
 * other. Returns its bytes, or NULL. */
static const uint8_t *field_bytes(const struct mr_device *dev, const char *name,
				  uint64_t *size)
{
	const uint8_t *bytes = NULL;

	*size = 0;
	for (size_t i = 0; i < dev->n_fields; i += 1 + dev->fields[i].parts) {
		const struct mr_field *f = &dev->fields[i];

		if (strcmp(f->name, name) != 0) {
			if (bytes)
				break;
			continue;
		}
		if (!bytes)
			bytes = dev->bytes + f->offset;
		*size += f->size * f->count;
	}
	return bytes;
}

/* The payload's registers where vmdesc_x86_fields has them. */
static int gather(const struct mr_device *dev, uint8_t *buf,
		  struct mr_error *err)
{
	memset(buf, 0, VMDESC_X86_CPU_SIZE);
	for (const struct vmdesc_x86_field *f = vmdesc_x86_fields; f->name;
	     f++) {
		uint64_t size;
		const uint8_t *bytes = field_bytes(dev, f->name, &size);

		if (!bytes)
			return error_set(err, MR_UNSUPPORTED, dev->offset,
					 "CPU %" PRIu32 " has no field %s: not "
					 "an x86 CPU",
					 dev->section->instance, f->name);
		if (size != f->size)
			return error_set(err, MR_UNSUPPORTED, dev->offset,
					 "field %s of CPU %" PRIu32 " has "
					 "%" PRIu64 " bytes, not %u: not a "
					 "64-bit x86 machine",
					 f->name, dev->section->instance, size,
					 f->size);
		memcpy(buf + f->offset, bytes, f->size);
	}
	return 0;
}

/* One field, of all bytes, is what mrconvert describes where there was nothing:
 * that says only how long the section is. */
static bool is_described(const struct mr_device *dev)
{
	return dev->decoded &&
	       !(dev->n_fields == 1 && dev->fields[0].kind == MR_FIELD_BUFFER &&
		 dev->fields[0].size == dev->size);
}

static int decode(const struct mr_device *dev, struct vmdesc_x86_cpu *c,
		  struct mr_error *err)
{
	uint8_t buf[VMDESC_X86_CPU_SIZE];
	struct fault f;

	if (is_described(dev)) {
		if (gather(dev, buf, err))
			return -1;
		(void)vmdesc_x86_cpu_decode(buf, sizeof(buf), c, &f);
		return 0;
	}
	if (dev->section->version != VMDESC_X86_CPU_VERSION ||
	    vmdesc_x86_cpu_decode(dev->bytes, (size_t)dev->size, c, &f) < 0 ||
	    !vmdesc_x86_cpu_plausible(c))
		return error_set(err, MR_UNSUPPORTED, dev->offset,
				 "CPU %" PRIu32 " does not look like one of a "
				 "64-bit x86 machine, and it is not described",
				 dev->section->instance);
	return 0;
}

static void put(struct mr_cpu *cpu, const char *name, uint64_t value)
{
	cpu->regs[cpu->n_regs++] =
		(struct mr_register){ .name = name, .value = value };
}

static void put_segment(struct mr_cpu *cpu, const char *name,
			const struct vmdesc_x86_segment *s)
{
	cpu->segments[cpu->n_segments++] =
		(struct mr_segment){ .name = name,
				     .selector = s->selector,
				     .base = s->base,
				     .limit = s->limit,
				     .flags = s->flags };
}

static void fill(struct mr_cpu *cpu, const struct vmdesc_x86_cpu *c)
{
	static const char *const dr[8] = { "DR0", "DR1", "DR2", "DR3",
					   NULL,  NULL,	 "DR6", "DR7" };

	for (unsigned i = 0; i < VMDESC_REGS; i++)
		put(cpu, vmdesc_x86_reg_name((enum vmdesc_x86_reg)i),
		    c->regs[i]);
	cpu->nested = c->hflags & VMDESC_X86_GUEST;
	put(cpu, "RIP", c->rip);
	put(cpu, "RFL", c->rflags);
	put(cpu, "CR0", c->cr0);
	put(cpu, "CR2", c->cr2);
	put(cpu, "CR3", c->cr3);
	put(cpu, "CR4", c->cr4);
	for (size_t i = 0; i < 8; i++)
		if (dr[i])
			put(cpu, dr[i], c->dr[i]);
	put(cpu, "EFER", c->efer);
	put(cpu, "STAR", c->star);
	put(cpu, "LSTAR", c->lstar);
	put(cpu, "CSTAR", c->cstar);
	put(cpu, "FMASK", c->fmask);
	put(cpu, "KERNEL_GS_BASE", c->kernel_gs_base);
	for (unsigned i = 0; i < VMDESC_SEGS; i++)
		put_segment(cpu, vmdesc_x86_seg_name((enum vmdesc_x86_seg)i),
			    &c->segs[i]);
	put_segment(cpu, "LDT", &c->ldt);
	put_segment(cpu, "TR", &c->tr);
	put_segment(cpu, "GDT", &c->gdt);
	put_segment(cpu, "IDT", &c->idt);
}

static int fill_arm(struct mr_cpu *cpu, const struct mr_device *dev,
		    struct mr_error *err)
{
	static const char *const names[VMDESC_ARM_REGS] = {
		"X0",  "X1",  "X2",  "X3",  "X4",  "X5",  "X6",	 "X7",
		"X8",  "X9",  "X10", "X11", "X12", "X13", "X14", "X15",
		"X16", "X17", "X18", "X19", "X20", "X21", "X22", "X23",
		"X24", "X25", "X26", "X27", "X28", "X29", "X30", "SP",
	};
	struct vmdesc_arm_cpu c;
	struct fault f;

	if (vmdesc_arm_cpu_decode(dev->bytes, (size_t)dev->size, &c, &f) < 0 ||
	    !vmdesc_arm_cpu_plausible(&c))
		return error_set(err, MR_UNSUPPORTED, dev->offset,
				 "CPU %" PRIu32 " is not in AArch64 state",
				 dev->section->instance);
	for (size_t i = 0; i < VMDESC_ARM_REGS; i++)
		put(cpu, names[i], c.regs[i]);
	put(cpu, "PC", c.pc);
	put(cpu, "PSTATE", c.pstate);
	cpu->arm = true;
	return 0;
}

static int read_cpu(const struct mr_devices *d, size_t i, struct mr_cpu *cpu,
		    struct mr_error *err)
{
	struct mr_device *dev = mr_devices_read(d, i, err);
	struct vmdesc_x86_cpu c = { .rip = 0 };
	int rc = -1;

	if (dev && dev->section->version == VMDESC_ARM_CPU_VERSION &&
	    devices_are_virt(d)) {
		rc = fill_arm(cpu, dev, err);
	} else if (dev && !decode(dev, &c, err)) {
		cpu->described = is_described(dev);
		fill(cpu, &c);
		rc = 0;
	}
	mr_device_free(dev);
	return rc;
}

static int read_halted(const struct mr_devices *d, size_t i,
		       struct mr_cpu *cpus, size_t n, struct mr_error *err)
{
	struct mr_device *dev = mr_devices_read(d, i, err);
	bool halted = false;
	struct fault f;

	if (!dev)
		return -1;
	if (vmdesc_halted_decode(dev->bytes, (size_t)dev->size, &halted, &f) >=
	    0)
		for (size_t k = 0; k < n; k++)
			if (cpus[k].index == dev->section->instance)
				cpus[k].halted = halted;
	mr_device_free(dev);
	return 0;
}

int mr_cpus(const struct mr_devices *d, struct mr_cpu **out, size_t *n,
	    struct mr_error *err)
{
	size_t all = mr_devices_count(d), found = 0;
	struct mr_cpu *cpus = calloc(all + 1, sizeof(*cpus));

	*out = NULL;
	*n = 0;
	if (!cpus)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < all; i++) {
		const struct mr_section *s = mr_devices_section(d, i);

		if (strcmp(s->name, "cpu") != 0)
			continue;
		cpus[found].index = s->instance;
		if (read_cpu(d, i, &cpus[found++], err))
			goto fail;
	}
	for (size_t i = 0; i < all; i++)
		if (!strcmp(mr_devices_section(d, i)->name, "cpu_common") &&
		    read_halted(d, i, cpus, found, err))
			goto fail;
	if (!found) {
		(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				"there is no section \"cpu\"");
		goto fail;
	}
	*out = cpus;
	*n = found;
	return 0;
fail:
	free(cpus);
	return -1;
}
