/* ram.c - opening whatever has memory. */
#include "libmr/memory/ram.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/vm/ask.h"

/* ---- opening ---- */

/* The memory is there: tells of it. */
static int describe(struct mr_ram *r, struct mr_error *err)
{
	const struct memory *m = r->memory;

	r->blocks = calloc(m->n + 1, sizeof(*r->blocks));
	if (!r->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		r->blocks[i] = (struct mr_ram_block){
			.name = m->blocks[i].name,
			.length = m->blocks[i].length,
			.held = m->blocks[i].held != 0,
		};
	r->info.is_vm = r->vm.guest != NULL;
	r->info.page_size = (uint32_t)memory_unit(m);
	r->info.n_blocks = m->n;
	r->info.blocks = r->blocks;
	(void)snprintf(r->info.machine, sizeof(r->info.machine), "%s",
		       m->machine);
	return 0;
}

static int use_image(struct mr_ram *r, bool holes, struct mr_error *err)
{
	r->memory = memory_of_image(r->img, holes, err);
	return r->memory ? describe(r, err) : -1;
}

/* Bitmaps that are all clear over data are those of a save that never came to
 * write them: to call such memory zero would be wrong. */
static int refuse_blank(const struct mr_image *img,
			const struct mr_watch *watch, struct mr_error *err)
{
	struct mr_inspection in;
	int rc = mr_inspect(img, watch, &in, err);

	if (!rc && (in.verdict == MR_VERDICT_INTERRUPTED ||
		    in.verdict == MR_VERDICT_BACKGROUND ||
		    in.verdict == MR_VERDICT_BLANK))
		rc = error_set(
			err, MR_FORMAT, MR_NO_OFFSET,
			"its bitmaps are all clear although it holds "
			"pages (%s): there is no telling what its memory "
			"was",
			mr_verdict_name(in.verdict));
	mr_inspection_release(&in);
	return rc;
}

static int open_image(struct mr_ram *r, const char *path, bool holes,
		      const struct mr_ram_options *o, struct mr_error *err)
{
	/* Of all this nothing takes long: progress is that of the pages. */
	struct mr_watch watch = { .cancel = o->watch.cancel };

	r->own = mr_image_open_memory(path, o->direct, &watch, err);
	r->img = r->own;
	if (!r->img)
		return -1;
	r->img->io->who = r->who;
	if (r->img->info.damage.code != MR_OK) {
		*err = r->img->info.damage;
		return -1;
	}
	return use_image(r, holes, err) || refuse_blank(r->img, &watch, err)
		       ? -1
		       : 0;
}

static int open_vm(struct mr_ram *r, const char *path,
		   const struct mr_ram_options *o, struct mr_error *err)
{
	if (paused_vm_open(&r->vm, path, o->pid, o->devices, o->watch.cancel,
			   err))
		return -1;
	r->memory = memory_of_guest(r->vm.guest, MR_ZERO_COPY_OFF, err);
	return r->memory ? describe(r, err) : -1;
}

static struct mr_ram *new_ram(struct mr_error *err)
{
	struct mr_ram *r = calloc(1, sizeof(*r));

	if (!r)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return r;
}

struct mr_ram *ram_open(const char *path, unsigned who, bool holes,
			const struct mr_ram_options *options,
			struct mr_error *err)
{
	struct mr_ram *r = new_ram(err);
	struct stat st;
	int rc;

	if (!r)
		return NULL;
	r->who = who;
	if (!mr_is_domain(path) && stat(path, &st))
		rc = error_sys(err, MR_NO_OFFSET, "cannot open");
	else if (mr_is_vm(path))
		rc = open_vm(r, path, options, err);
	else
		rc = open_image(r, path, holes, options, err);
	if (!rc && r->memory) {
		r->memory->who = who;
		return r;
	}
	(void)error_about(err, who);
	mr_ram_free(r);
	return NULL;
}

struct mr_ram *mr_ram_open(const char *path,
			   const struct mr_ram_options *options,
			   struct mr_error *err)
{
	return ram_open(path, 0, false, options, err);
}

struct mr_ram *mr_ram_of_image(const struct mr_image *img, struct mr_error *err)
{
	struct mr_ram *r = new_ram(err);

	if (!r)
		return NULL;
	r->img = img;
	if (!use_image(r, false, err))
		return r;
	mr_ram_free(r);
	return NULL;
}

void mr_ram_free(struct mr_ram *ram)
{
	if (!ram)
		return;
	memory_free(ram->memory);
	free(ram->blocks);
	mr_image_free(ram->own);
	mr_image_free(ram->state_img);
	paused_vm_release(&ram->vm);
	free(ram);
}

/* ---- what it is ---- */

const struct mr_ram_info *mr_ram_info(const struct mr_ram *ram)
{
	return &ram->info;
}

const struct mr_ram_block *mr_ram_find(const struct mr_ram *ram,
				       const char *name)
{
	for (size_t i = 0; i < ram->info.n_blocks; i++)
		if (!strcmp(ram->blocks[i].name, name))
			return &ram->blocks[i];
	return NULL;
}

int mr_ram_still(struct mr_ram *ram, struct mr_error *err)
{
	if (ram->img || !paused_vm_still(&ram->vm, err))
		return 0;
	return error_about(err, ram->who);
}

/* What the list of an image would say of the VM's blocks. */
static int list_blocks(struct mr_ram *r, struct mr_image *img,
		       struct mr_error *err)
{
	const struct memory *m = r->memory;

	img->blocks = calloc(m->n + 1, sizeof(*img->blocks));
	if (!img->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		img->blocks[i] = (struct mr_block){
			.name = m->blocks[i].name,
			.length = m->blocks[i].length,
			.pages = memory_pages(m, &m->blocks[i]),
		};
	img->info.blocks = img->blocks;
	img->info.n_blocks = m->n;
	memcpy(img->info.machine, r->info.machine, sizeof(r->info.machine));
	return 0;
}

static int read_devices(struct mr_ram *r, struct mr_error *err)
{
	const struct mr_error *damage;

	if (paused_vm_devices(&r->vm, err))
		return -1;
	mem_io_init(&r->state_io, r->vm.state.data, r->vm.state.len);
	r->state_img = image_open_io(&r->state_io.io, NULL, err);
	if (!r->state_img)
		return -1;
	damage = &r->state_img->info.damage;
	if (damage->code != MR_OK)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's device state: %s", damage->msg);
	return list_blocks(r, r->state_img, err);
}

const struct mr_image *mr_ram_devices(struct mr_ram *ram, struct mr_error *err)
{
	if (ram->img)
		return ram->img;
	if (!ram->state_img && read_devices(ram, err)) {
		mr_image_free(ram->state_img);
		ram->state_img = NULL;
		(void)error_about(err, ram->who);
	}
	return ram->state_img;
}

/* ---- what it holds ---- */

int mr_ram_read(struct mr_ram *ram, const struct mr_ram_block *b,
		uint64_t offset, void *buf, size_t len, size_t *present,
		struct mr_error *err)
{
	const struct memory *m = ram->memory;
	struct memory_block *k = &m->blocks[b - ram->blocks];
	unsigned char *to = buf;

	*present = 0;
	if (ram->img)
		return mr_image_memory(ram->img, &ram->img->blocks[k->index],
				       offset, buf, len, present, err);
	if (offset > b->length || len > b->length - offset)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "block %.100s has only 0x%" PRIx64 " bytes",
				 b->name, b->length);
	if (memory_map(m, k, NULL, err))
		return -1;
	for (size_t n; len; offset += n, to += n, len -= n) {
		struct memory_run run = { .offset = offset, .dest = to };
		bool there = bits_test(k->bits, offset / m->page);

		n = m->page - (size_t)(offset % m->page);
		n = n < len ? n : len;
		run.length = n;
		if (!there)
			memset(to, 0, n);
		else if (memory_read(m, k, &run, 1, err))
			return -1;
		*present += there ? n : 0;
	}
	return 0;
}

int ram_read_block(void *arg, const struct mr_block *b, uint64_t offset,
		   void *buf, size_t len, struct mr_error *err)
{
	struct mr_ram *r = arg;
	const struct mr_ram_block *k = mr_ram_find(r, b->name);
	size_t present;

	if (!k || !k->held)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the memory of block %.100s is not there",
				 b->name);
	return mr_ram_read(r, k, offset, buf, len, &present, err);
}

int mr_ram_virtual(struct mr_ram *ram, const struct mr_paging *p,
		   const struct mr_layout *l, uint64_t va,
		   struct mr_virtual *out, struct mr_error *err)
{
	if (mr_virtual_find(p, l, ram_read_block, ram, va, out, err))
		return error_about(err, ram->who);
	return 0;
}

/* Memory that was plugged: QEMU knows what its device state does not say. */
struct placing {
	const struct mr_image *img;
	struct mr_layout *layout;
};

/* What cannot be stays unplaced. */
static void place(void *arg, const struct ask_memory_device *d)
{
	const struct placing *p = arg;

	for (size_t i = 0; i < p->img->info.n_blocks; i++) {
		const struct mr_block *b = &p->img->info.blocks[i];

		if (b->length == d->length && ask_is_block_of(d, b->name))
			(void)mr_layout_put(p->layout, b, d->gpa,
					    "as QEMU says", NULL);
	}
}

struct mr_layout *mr_ram_layout(struct mr_ram *ram, struct mr_error *err)
{
	const struct mr_image *img = mr_ram_devices(ram, err);
	struct placing p = { .img = img };

	if (img)
		p.layout = mr_image_layout(img, ram_read_block, ram, err);
	if (p.layout && p.layout->n_unplaced && !ram->img &&
	    ask_memory_devices(ram->vm.q, place, &p, err)) {
		mr_layout_free(p.layout);
		p.layout = NULL;
	}
	if (!p.layout)
		(void)error_about(err, ram->who);
	return p.layout;
}
