/*
 * backing.c - where the RAM of a machine is, and which blocks it is made of.
 *
 * Best witness first: the ACPI tables, which QEMU writes and a guest cannot;
 * the clock's CMOS, which the guest may write to; what the machine types do by
 * themselves. None of them has names: a block is known by its own, where that
 * is the machine's or libvirt's; by its length, if that is nobody else's; or by
 * what firmware left in it. Two blocks that could change places are refused.
 *
 * Facts from QEMU 10.0: hw/core/numa.c (numa_init_memdev_container), hw/i386/
 * pc.c (pc_memory_init), pc_piix.c and pc_q35.c (memory split), microvm.c,
 * hw/arm/virt.c; from libvirt 11: qemu_command.c (ram-nodeN).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/pc.h"
#include "formats/srat.h"
#include "libmr/base/error.h"
#include "libmr/devices/layout.h"
#include "libmr/image/image.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

/* The address space that AMD's HyperTransport takes; QEMU moves RAM that
 * would reach into it. */
#define HT_HOLE (UINT64_C(0xfd) << 32)

/* Tables are not longer than this. */
#define TABLES_MAX (2 * MIB)

/* What the CMOS has no room for. */
#define CMOS_UNIT (64 * KIB)

/* What was found of the lengths of RAM. */
struct nodes {
	uint64_t lengths[LAYOUT_NODES]; /* bytes, in order; not 0 */
	size_t n;
	uint64_t more; /* bytes that may be missing in the last */
	uint64_t total;
};

/* ---- blocks ---- */

static const char *own_name(const struct layout *l)
{
	static const char *const names[] = { [LAYOUT_I440FX] = "pc.ram",
					     [LAYOUT_Q35] = "pc.ram",
					     [LAYOUT_MICROVM] = "microvm.ram",
					     [LAYOUT_VIRT] = "mach-virt.ram" };

	return names[l->machine];
}

/* Whether a block can be that of a memory backend, by its name: those of
 * devices have a path, or are one of a machine's own. */
static bool may_be_ram(const struct layout *l, const struct mr_block *b)
{
	static const char *const others[] = {
		"pc.bios",	"pc.rom",     "isa-bios",
		"system.flash", "virt.flash", "virt.secure-ram",
		"vga.",		"fw_cfg.",    "microvm.bios",
	};
	static const char objects[] = "/objects/";

	if (!b->length)
		return false;
	if (!strcmp(b->name, own_name(l)))
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strncmp(b->name, others[i], strlen(others[i])))
			return false;
	return !strncmp(b->name, objects, sizeof(objects) - 1) ||
	       !strchr(b->name, '/');
}

static const struct mr_block *own_block(const struct layout *l)
{
	return mr_image_find(l->img, own_name(l));
}

static bool fits(const struct mr_block *b, uint64_t length, uint64_t more)
{
	return b->length >= length && b->length - length <= more;
}

static bool is_taken(const struct layout_ram *r, const struct mr_block *b)
{
	for (size_t i = 0; i < r->n_blocks; i++)
		if (r->blocks[i] == b)
			return true;
	return false;
}

/* Whether the machine's own block is all RAM. */
static bool own_fits(const struct layout *l, const struct nodes *n)
{
	return own_block(l) && fits(own_block(l), n->total, n->more);
}

/* How many blocks of that length there are that are not taken; *b becomes
 * the first of them. */
static size_t choices(const struct layout *l, uint64_t length, uint64_t more,
		      const struct mr_block **b)
{
	size_t n = 0;

	for (size_t i = 0; i < l->img->info.n_blocks; i++) {
		const struct mr_block *k = &l->img->blocks[i];

		if (!may_be_ram(l, k) || !fits(k, length, more) ||
		    is_taken(&l->ram, k))
			continue;
		if (!n++)
			*b = k;
	}
	return n;
}

/* ---- what firmware left ---- */

/* Whether a block holds the root pointer of the ACPI tables where firmware
 * puts it on a pc, below 1 MiB. 1, 0 or -1. */
static int has_root_pointer(const struct layout *l, const struct mr_block *b,
			    struct mr_error *err)
{
	enum { FROM = 0xe0000, SIZE = 0x20000, STEP = 16, LENGTH = 20 };
	uint8_t *buf;
	int found = 0;

	if (l->machine == LAYOUT_VIRT || !l->read || b->length < MIB)
		return 0;
	buf = malloc(SIZE);
	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (l->read(l->arg, b, FROM, buf, SIZE, err)) {
		free(buf);
		return -1;
	}
	for (size_t i = 0; i + LENGTH <= SIZE && !found; i += STEP) {
		uint8_t sum = 0;

		if (memcmp(buf + i, "RSD PTR ", 8) != 0)
			continue;
		for (size_t k = 0; k < LENGTH; k++)
			sum = (uint8_t)(sum + buf[i + k]);
		found = !sum;
	}
	free(buf);
	return found;
}

/* Of the blocks of a length the only one that has it. 1, 0: none, or more; or
 * -1. */
static int only_with_pointer(const struct layout *l, uint64_t length,
			     uint64_t more, const struct mr_block **out,
			     struct mr_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < l->img->info.n_blocks; i++) {
		const struct mr_block *b = &l->img->blocks[i];
		int rc = 0;

		if (may_be_ram(l, b) && fits(b, length, more))
			rc = has_root_pointer(l, b, err);
		if (rc < 0)
			return -1;
		if (rc && !n++)
			*out = b;
	}
	return n == 1;
}

/* ---- which blocks ---- */

static int refuse(const struct nodes *n, size_t node, size_t found,
		  struct mr_error *err)
{
	if (!found)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the machine has 0x%" PRIx64 " bytes of RAM "
				 "in %zu nodes, and no block is as long as "
				 "node %zu (0x%" PRIx64 ")",
				 n->total, n->n, node, n->lengths[node]);
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "there are %zu blocks of 0x%" PRIx64 " bytes, and "
			 "nothing tells which of them is where",
			 found, n->lengths[node]);
}

static void say(struct layout *l, const char *how)
{
	size_t len = strlen(l->ram.how);

	(void)snprintf(l->ram.how + len, sizeof(l->ram.how) - len, "%s%s",
		       len ? "; " : "by ", how);
}

/* As libvirt calls them. */
static bool take_libvirt(struct layout *l, const struct nodes *n)
{
	struct layout_ram *r = &l->ram;

	for (size_t i = 0; i < n->n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "ram-node%zu", i);
		r->blocks[i] = mr_image_find(l->img, name);
		if (!r->blocks[i] || !fits(r->blocks[i], n->lengths[i],
					   i + 1 == n->n ? n->more : 0))
			return false;
	}
	r->n_blocks = n->n;
	say(l, "the blocks' names");
	return true;
}

/* All nodes in one block. 1, 0: none, or -1. */
static int take_one(struct layout *l, const struct nodes *n,
		    struct mr_error *err)
{
	struct layout_ram *r = &l->ram;
	size_t found;
	int rc = 1;

	if (own_fits(l, n)) {
		r->blocks[0] = own_block(l);
		r->n_blocks = 1;
		return 1;
	}
	found = choices(l, n->total, n->more, &r->blocks[0]);
	if (!found)
		return 0;
	if (found > 1) {
		rc = only_with_pointer(l, n->total, n->more, &r->blocks[0],
				       err);
		if (rc > 0)
			say(l, "what firmware left in the block");
	}
	if (!rc)
		return refuse(n, 0, found, err);
	r->n_blocks = rc > 0;
	return rc;
}

/* A block for each node. 1, 0: there are not blocks for all of them; or -1: or
 * for some more than one. */
static int take_each(struct layout *l, const struct nodes *n,
		     struct mr_error *err)
{
	const struct mr_block *low = NULL;
	struct layout_ram *r = &l->ram;
	int rc = 0;

	for (size_t i = 0; i < n->n; i++)
		if (!choices(l, n->lengths[i], 0, &r->blocks[i]))
			return 0;
	/* The first one has what firmware knows. */
	if (choices(l, n->lengths[0], 0, &r->blocks[0]) > 1) {
		rc = only_with_pointer(l, n->lengths[0], 0, &low, err);
		if (rc < 0)
			return -1;
	}
	for (size_t i = 0; i < n->n; i++) {
		size_t found = 1;

		if (!i && low)
			r->blocks[i] = low;
		else
			found = choices(l, n->lengths[i], 0, &r->blocks[i]);
		if (!found)
			return 0;
		if (found > 1)
			return refuse(n, i, found, err);
		r->n_blocks = i + 1;
	}
	say(l, low ? "the blocks' lengths and what firmware left in one"
		   : "the blocks' lengths");
	return 1;
}

/* Neither one block nor several is more likely: the first one says. */
static int one_or_each(struct layout *l, const struct nodes *n,
		       struct mr_error *err)
{
	const struct mr_block *one = NULL, *first = NULL;
	int a, b;

	if (choices(l, n->total, n->more, &one) > 1 ||
	    choices(l, n->lengths[0], 0, &first) > 1)
		return refuse(n, 0, 2, err);
	a = has_root_pointer(l, one, err);
	b = a < 0 ? -1 : has_root_pointer(l, first, err);
	if (b < 0)
		return -1;
	if (a == b)
		return error_set(
			err, MR_UNSUPPORTED, MR_NO_OFFSET,
			"block %.60s is as long as all RAM, and others "
			"as its nodes: nothing tells which is RAM",
			one->name);
	return a ? take_one(l, n, err) : take_each(l, n, err);
}

/* Whether there are blocks enough for the nodes. */
static bool has_each(const struct layout *l, const struct nodes *n)
{
	for (size_t i = 0; i < n->n; i++) {
		const struct mr_block *b;
		size_t same = 0;

		for (size_t k = 0; k < n->n; k++)
			same += n->lengths[k] == n->lengths[i];
		if (choices(l, n->lengths[i], 0, &b) < same)
			return false;
	}
	return true;
}

static int find_blocks(struct layout *l, const struct nodes *n,
		       struct mr_error *err)
{
	const struct mr_block *b;
	bool one = choices(l, n->total, n->more, &b) > 0;
	int rc;

	if (take_libvirt(l, n))
		return 0;
	if (n->n == 1)
		rc = take_one(l, n, err);
	else if (one && !own_fits(l, n) && has_each(l, n))
		rc = one_or_each(l, n, err);
	else
		rc = one ? take_one(l, n, err) : take_each(l, n, err);
	if (!rc)
		return refuse(n, 0, 0, err);
	return rc < 0 ? -1 : 0;
}

/* ---- what the tables say ---- */

static int add_memory(struct layout *l, struct nodes *n, uint32_t *domain,
		      const struct srat_memory *m)
{
	struct layout_ram *r = &l->ram;
	uint64_t gpa = m->base, length = m->length;
	size_t k = r->n_pieces;

	if (!n->n || m->domain != *domain) {
		if (n->n == LAYOUT_NODES || (n->n && m->domain < *domain))
			return -1;
		n->n++;
		*domain = m->domain;
	}
	/* RAM lies behind the hole that they leave out below 1 MiB. */
	if (k == 1 && gpa == MIB && r->pieces[0].length == 0xa0000 &&
	    !r->pieces[0].gpa) {
		gpa -= 0x60000;
		length += 0x60000;
	}
	if (k && gpa == r->pieces[k - 1].gpa + r->pieces[k - 1].length) {
		r->pieces[k - 1].length += length;
	} else {
		if (k == 2 || (k && gpa < r->pieces[0].gpa))
			return -1;
		r->pieces[k].gpa = gpa;
		r->pieces[k].length = length;
		r->n_pieces++;
	}
	n->lengths[n->n - 1] += length;
	n->total += length;
	return 0;
}

static int read_srat(struct layout *l, struct nodes *n, const uint8_t *srat,
		     size_t len)
{
	uint32_t domain = 0;
	struct srat_memory m;
	struct fault f;
	ssize_t size;

	for (size_t at = SRAT_ENTRIES; at < len; at += (size_t)size) {
		size = srat_entry_decode(srat, len, at, &m, &f);
		if (size < 0)
			return -1;
		if ((m.flags & (SRAT_USED | SRAT_PLUGGABLE |
				SRAT_NON_VOLATILE)) == SRAT_USED &&
		    m.length && add_memory(l, n, &domain, &m))
			return -1;
	}
	return n->n ? 0 : -1;
}

/* 1; 0: they do not say; or -1. */
static int ask_tables(struct layout *l, struct nodes *n, struct mr_error *err)
{
	const struct mr_block *b = mr_image_find(l->img, SRAT_BLOCK);
	struct mr_error why = MR_ERROR_INIT;
	uint8_t *tables;
	size_t length;
	struct fault f;
	ssize_t at;
	int rc = 0;

	if (!b || !l->read || b->length > TABLES_MAX)
		return 0;
	tables = malloc((size_t)b->length);
	if (!tables)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (l->read(l->arg, b, 0, tables, (size_t)b->length, &why)) {
		free(tables);
		if (why.code == MR_UNSUPPORTED)
			return 0;
		*err = why;
		return -1;
	}
	at = srat_find(tables, (size_t)b->length, &length, &f);
	if (at < 0 || (length && read_srat(l, n, tables + at, length)))
		rc = error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			       "the ACPI tables (%s) are not laid out as QEMU "
			       "does it",
			       SRAT_BLOCK);
	else if (length)
		rc = 1;
	free(tables);
	return rc;
}

/* ---- or the clock, or nobody ---- */

static int split(struct layout *l, uint64_t below, const char *how,
		 struct mr_error *err)
{
	struct layout_ram *r = &l->ram;
	uint64_t length = r->blocks[0]->length;

	r->n_blocks = 1;
	r->n_pieces = below < length ? 2 : 1;
	r->pieces[0].gpa = 0;
	r->pieces[0].length = below < length ? below : length;
	r->pieces[1].gpa = 4 * GIB;
	r->pieces[1].length = length - r->pieces[0].length;
	say(l, how);
	if (r->n_pieces > 1 && r->pieces[1].length > HT_HOLE - 4 * GIB)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "with so much memory it depends on the CPU "
				 "where it is");
	return 0;
}

/* 1; 0: it does not say, or not of these blocks; or -1. */
static int ask_clock(struct layout *l, struct mr_error *err)
{
	uint8_t cmos[PC_CMOS_SIZE];
	struct pc_memory m;
	struct nodes n = { .n = 1, .more = CMOS_UNIT - 1 };
	const struct mr_block *b;
	struct fault f;
	int rc = layout_section(l->img, "mc146818rtc", PC_CMOS_VERSION, cmos,
				sizeof(cmos), err);

	if (rc <= 0)
		return rc;
	(void)pc_cmos_decode(cmos, sizeof(cmos), &m, &f);
	n.total = n.lengths[0] = m.below + m.above;
	if (own_block(l) ? !fits(own_block(l), n.total, n.more)
			 : !choices(l, n.total, n.more, &b))
		return 0;
	if (find_blocks(l, &n, err))
		return -1;
	return split(l, m.above ? m.below : UINT64_MAX,
		     "the memory sizes in the clock's CMOS", err)
		       ? -1
		       : 1;
}

/* What the machine does by itself with the block that can only be RAM. */
static int by_machine(struct layout *l, struct mr_error *err)
{
	static const struct {
		uint64_t most, below;
		const char *how;
	} rules[] = {
		[LAYOUT_I440FX] = { 0xe0000000 - 1, 3 * GIB,
				    "what i440fx machines do by themselves" },
		[LAYOUT_Q35] = { 0xb0000000 - 1, 2 * GIB,
				 "what q35 machines do by themselves" },
		[LAYOUT_MICROVM] = { 3 * GIB, 3 * GIB,
				     "what microvm machines do" },
		[LAYOUT_VIRT] = { 0, 0, "what virt machines do" },
	};
	struct layout_ram *r = &l->ram;
	const struct mr_block *b = own_block(l);

	r->n_blocks = 0;
	if (!b && choices(l, 1, UINT64_MAX - 1, &b) != 1)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "no block is called %s, nor is one as long as "
				 "the memory, or the only one that can be RAM",
				 own_name(l));
	r->blocks[0] = b;
	if (l->machine != LAYOUT_VIRT)
		return split(l,
			     b->length > rules[l->machine].most
				     ? rules[l->machine].below
				     : UINT64_MAX,
			     rules[l->machine].how, err);
	r->n_blocks = r->n_pieces = 1;
	r->pieces[0].gpa = GIB;
	r->pieces[0].length = b->length;
	say(l, rules[l->machine].how);
	return 0;
}

/* ---- together ---- */

/* virtio-mem calls its block by its own path, as its sections are called:
 * PATH/ID beside PATH/virtio-mem. */
static bool is_virtio_mem(const struct mr_image *img, const struct mr_block *b)
{
	static const char section[] = "/virtio-mem";
	const char *slash = strrchr(b->name, '/');
	size_t n = slash ? (size_t)(slash - b->name) : 0;

	for (size_t i = 0; n && b->length && i < img->info.n_sections; i++)
		if (!strncmp(img->sections[i].name, b->name, n) &&
		    !strcmp(img->sections[i].name + n, section))
			return true;
	return false;
}

static int list_unplaced(struct layout *l, struct mr_error *err)
{
	const struct mr_image *img = l->img;
	struct mr_layout *out = &l->layout;

	out->unplaced = malloc((img->info.n_blocks + 1) *
			       sizeof(const struct mr_block *));
	if (!out->unplaced)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < img->info.n_blocks; i++)
		if ((may_be_ram(l, &img->blocks[i]) ||
		     is_virtio_mem(img, &img->blocks[i])) &&
		    !is_taken(&l->ram, &img->blocks[i]))
			out->unplaced[out->n_unplaced++] = &img->blocks[i];
	return 0;
}

int layout_find_ram(struct layout *l, struct mr_error *err)
{
	struct nodes n = { .n = 0 };
	int rc = ask_tables(l, &n, err);

	if (rc > 0) {
		say(l, "the ACPI tables");
		rc = find_blocks(l, &n, err);
	} else if (!rc) {
		rc = l->machine == LAYOUT_VIRT ? 0 : ask_clock(l, err);
		if (!rc)
			rc = by_machine(l, err);
	}
	return rc < 0 ? -1 : list_unplaced(l, err);
}
