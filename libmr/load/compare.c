/*
 * compare.c - does an image fit a VM?
 *
 * QEMU itself compares the machine type by prefix, does not look at the
 * lengths of blocks and leaves those that an image lacks as they are, CPUs,
 * too: the guest would go on with wrong memory.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libmr/load/state.h"

struct teller {
	void (*tell)(void *arg, const char *line);
	void *arg;
	size_t told;
};

static void tell(struct teller *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void tell(struct teller *t, const char *fmt, ...)
{
	char line[640]; /* two names of 255 bytes, and words */
	va_list ap;

	t->told++;
	if (!t->tell)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	t->tell(t->arg, line);
}

static const struct mr_block *find_block(const struct mr_image_info *image,
					 const char *name)
{
	for (size_t i = 0; i < image->n_blocks; i++)
		if (!strcmp(image->blocks[i].name, name))
			return &image->blocks[i];
	return NULL;
}

/* Plain streams resize blocks that can be resized. */
static bool length_fits(const struct mr_image_info *image, uint64_t length,
			const struct guest_block *g)
{
	if (length == g->used)
		return true;
	return image->kind == MR_IMAGE_STREAM && g->used < g->total &&
	       length <= g->total;
}

bool load_left_out(const struct mr_image_info *image, const struct mr_block *b)
{
	if (image->kind == MR_IMAGE_MAPPED)
		return !b->in_file;
	return image->ignore_shared && b->length && !b->normal_words &&
	       !b->zero_words && !b->xbzrle_words && !b->compress_words;
}

static void compare_blocks(struct teller *t, const struct mr_image_info *image,
			   const struct guest *g)
{
	for (size_t i = 0; i < image->n_blocks; i++) {
		const struct mr_block *b = &image->blocks[i];
		const struct guest_block *there = guest_find(g, b->name);

		if (!there)
			tell(t,
			     "RAM block %s: %" PRIu64 " KiB in the image, the "
			     "VM has no such block",
			     b->name, b->length >> 10);
		else if (!length_fits(image, b->length, there))
			tell(t,
			     "RAM block %s: %" PRIu64 " KiB in the image, "
			     "%" PRIu64 " KiB in the VM",
			     b->name, b->length >> 10, there->used >> 10);
		else if (load_left_out(image, b) && !there->file[0])
			tell(t,
			     "RAM block %s: its memory was left out of the "
			     "image (x-ignore-shared), the VM has no file with "
			     "it",
			     b->name);
	}
	for (size_t i = 0; i < g->n_blocks; i++) {
		const struct guest_block *b = &g->blocks[i];

		if (b->migratable && b->used && !find_block(image, b->name))
			tell(t,
			     "RAM block %s: %" PRIu64 " KiB in the VM, the "
			     "image has no such block",
			     b->name, b->used >> 10);
	}
}

/* QEMU does not look at all of it: it loads wrong memory out of a file whose
 * pages have another size than its own. */
static void compare_pages(struct teller *t, const struct mr_image_info *image,
			  const struct vm_target *target)
{
	if (!target->page_size)
		return; /* a QEMU that does not tell */
	if (image->page_size_known && image->page_size != target->page_size)
		tell(t,
		     "page size: %" PRIu32 " bytes in the image, %" PRIu32
		     " in the VM (%s)",
		     image->page_size, target->page_size, target->arch);
	else if (!image->page_size_said && target_page_bits(target) &&
		 target->page_least)
		tell(t,
		     "page size: the image does not say it, which means "
		     "%" PRIu32 " bytes, %" PRIu32 " in the VM (%s)",
		     target->page_least, target->page_size, target->arch);
}

/* The device's place on the first PCI bus, out of the path that QEMU puts
 * before its section's name: "0000:00:03.0/". Behind a bridge it is longer. */
static bool first_bus(const char *name, unsigned *place)
{
	unsigned slot, function;
	int end = 0;

	if (sscanf(name, "0000:00:%2x.%1u/%n", &slot, &function, &end) != 2 ||
	    !end || slot > 31 || function > 7)
		return false;
	*place = slot * 8 + function;
	return true;
}

/* QEMU finds out when it gets there, and is lost then. */
static void compare_pci(struct teller *t, const struct mr_image_info *image,
			const struct guest *g)
{
	for (size_t i = 0; g->has_pci && i < image->n_sections; i++) {
		const struct mr_section *s = &image->sections[i];
		unsigned place;

		if ((s->type == MR_SECTION_FULL ||
		     s->type == MR_SECTION_START) &&
		    first_bus(s->name, &place) &&
		    !(g->pci[place / 64] >> (place % 64) & 1))
			tell(t,
			     "device %s: the VM has no device at that place "
			     "of its PCI bus",
			     s->name);
	}
}

size_t load_compare(const struct mr_image_info *image, const struct guest *g,
		    void (*fn)(void *arg, const char *line), void *arg)
{
	struct teller t = { .tell = fn, .arg = arg };

	if (strcmp(image->machine, g->machine) != 0)
		tell(&t, "machine type: %s in the image, %s in the VM",
		     image->machine[0] ? image->machine : "none", g->machine);
	if (image_cpus(image) && g->cpus && image_cpus(image) != g->cpus)
		tell(&t, "CPUs: %u in the image, %u in the VM",
		     image_cpus(image), g->cpus);
	compare_pages(&t, image, &g->target);
	compare_blocks(&t, image, g);
	compare_pci(&t, image, g);
	return t.told;
}
