/* memory.c - the verb mr_load_memory: blocks of an image into memory files. */
#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/base/names.h"
#include "libmr/base/watch.h"
#include "libmr/load/state.h"
#include "libmr/memory/files.h"

/* mr_load_memory's arguments, as mr_error.who counts them; of several files
 * the first. */
enum { MEMORY_IMAGE = 1, MEMORY_FILE = 2 };

/* A block that a file wants; ram: the bytes before it. */
static int choose_block(const struct memory *m, const struct names *names,
			const char *name, uint64_t ram, struct memory_block *to,
			struct mr_error *err)
{
	size_t i = names_find(names, name);
	const struct memory_block *b = &m->blocks[i];

	if (i == NAMES_NONE) {
		char there[120];

		names_list(names, there, sizeof(there));
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the image has no RAM block %.60s: there are %s", name,
			there);
	}
	if (!b->held)
		return error_set(err, MR_REFUSED, b->entry,
				 "the memory of block %.100s was left out of "
				 "the image (x-ignore-shared)",
				 name);
	if (b->held > MR_MEMORY_MAX - ram)
		return error_set(err, MR_REFUSED, b->entry, MR_MEMORY_MAX_TEXT);
	*to = *b;
	return 0;
}

/* Leaves of m the blocks that are wanted, in the order of the files. */
static int choose_blocks(struct memory *m, const struct mr_memory *memory,
			 size_t n, uint64_t *ram, struct mr_error *err)
{
	struct memory_block *wanted = calloc(n + 1, sizeof(*wanted));
	struct names names = { 0 };
	int rc = -1;

	if (!wanted ||
	    names_make(&names, &m->blocks->name, sizeof(*m->blocks), m->n)) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		if (choose_block(m, &names, memory[i].block, *ram, &wanted[i],
				 err)) {
			(void)error_about(err, MEMORY_IMAGE);
			goto out;
		}
		*ram += wanted[i].held;
	}
	free(m->blocks);
	m->blocks = wanted;
	m->n = n;
	wanted = NULL;
	rc = 0;
out:
	names_free(&names);
	free(wanted);
	return rc;
}

/* All that is read is compared with what was saved. */
static int prove(struct memory *m, const struct mr_image *img,
		 struct mr_error *err)
{
	int rc = memory_prove(m, img, err);

	if (!rc)
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"there is no seal to verify it by: mrverify "
				"--seal adds one");
	return rc > 0 ? 0 : error_about(err, MEMORY_IMAGE);
}

/* From m into the files. */
static int load(struct memory *m, const struct mr_memory *memory, size_t n,
		const struct mr_memory_options *o, struct mr_memory_report *r,
		struct mr_error *err)
{
	const struct memory_copy_options copy = { .direct = o->direct,
						  .jobs = o->jobs,
						  .watch = &o->watch };
	struct files_sink f = { .n = 0 };
	struct memory_tally t = { 0 };
	int rc = -1;

	if (choose_blocks(m, memory, n, &r->ram, err))
		return -1;
	if (!files_sink_open(&f, memory, n, MEMORY_FILE, o->direct,
			     o->jobs ? o->jobs : crew_default_jobs(), m->file,
			     err) &&
	    !memory_copy(m, &f.sink, &copy, &t, err))
		rc = f.sink.ops->end(&f.sink, err);
	r->data = t.data;
	r->read = t.read;
	r->written = t.written;
	r->huge = t.in_room;
	r->direct_read = m->direct;
	r->direct_write = f.direct;
	r->jobs = t.jobs;
	if (f.sink.ops)
		f.sink.ops->abandon(&f.sink);
	return rc;
}

int mr_load_memory(const char *image, const struct mr_memory *memory, size_t n,
		   const struct mr_memory_options *options,
		   struct mr_memory_report *report, struct mr_error *err)
{
	double begin = watch_clock();
	struct memory *m = NULL;
	struct mr_image *img;
	uint64_t present;
	int rc = -1;

	*report = (struct mr_memory_report){ 0 };
	img = image_open_loadable(image, NULL, options->direct, false,
				  &options->watch, &present, err);
	if (img)
		report->allocated = mr_image_info(img)->file_allocated;
	if (img && !image_trust(img, options->force, &options->watch,
				&report->seal, err))
		m = memory_of_image(img, false, err);
	if (m) {
		m->who = MEMORY_IMAGE;
		img->io->who = MEMORY_IMAGE;
		rc = options->verify ? prove(m, img, err) : 0;
		if (!rc)
			rc = load(m, memory, n, options, report, err);
	} else {
		(void)error_about(err, MEMORY_IMAGE);
	}
	memory_free(m);
	mr_image_free(img);
	report->seconds = watch_clock() - begin;
	return rc;
}
