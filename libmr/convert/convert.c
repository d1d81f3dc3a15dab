/* convert.c - the verb mr_convert: an image into one of another format. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/name.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/convert/state.h"
#include "libmr/file/output.h"
#include "libmr/file/pipe.h"
#include "libmr/image/image.h"
#include "libmr/image/index.h"
#include "libmr/image/loadable.h"
#include "libmr/memory/image_sink.h"
#include "libmr/memory/pack_sink.h"

static const struct {
	const char *name, *ending;
} forms[] = {
	[MR_CONVERT_BY_NAME] = { "by name", "" },
	[MR_CONVERT_MAPPED] = { "mapped", ".mr" },
	[MR_CONVERT_STREAM] = { "stream", ".stream" },
	[MR_CONVERT_PACK] = { "pack", ".mrp" },
	[MR_CONVERT_ELF] = { "elf", ".core" },
	[MR_CONVERT_KDUMP] = { "kdump", ".kdump" },
	[MR_CONVERT_LIBVIRT] = { "libvirt", NULL },
	[MR_CONVERT_LIBVIRT_ZSTD] = { "libvirt:zstd", NULL },
	[MR_CONVERT_LIBVIRT_SPARSE] = { "libvirt:sparse", NULL },
};

const char *mr_convert_reads(void)
{
	return expand_all();
}

const char *mr_convert_form_name(enum mr_convert_form form)
{
	return forms[form].name;
}

/* ---- what is wanted ---- */

enum mr_convert_form mr_convert_form_of(const char *out)
{
	size_t len = strlen(out);

	for (size_t i = 1; forms[i].ending; i++) {
		size_t n = strlen(forms[i].ending);

		if (len > n && !strcmp(out + len - n, forms[i].ending))
			return (enum mr_convert_form)i;
	}
	return len > 4 && !strcmp(out + len - 4, ".elf") ? MR_CONVERT_ELF
							 : MR_CONVERT_BY_NAME;
}

static int find_form(struct convert *x, const char *out, struct mr_error *err)
{
	x->report->form =
		x->options->form ? x->options->form : mr_convert_form_of(out);
	if (!x->report->form) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"what to make of it is not known: a name that "
				"ends in .mrp (pack), .mr (mapped), .stream or "
				".core says so, or a format");
		return error_about(err, CONVERT_OUT);
	}
	return 0;
}

static bool is_libvirt(const struct convert *x)
{
	return x->report->form >= MR_CONVERT_LIBVIRT;
}

/* By zstd. */
static bool is_packed(const struct convert *x)
{
	return x->report->form == MR_CONVERT_PACK ||
	       x->report->form == MR_CONVERT_LIBVIRT_ZSTD;
}

static bool is_mapped(const struct convert *x)
{
	return x->report->form == MR_CONVERT_MAPPED ||
	       x->report->form == MR_CONVERT_LIBVIRT_SPARSE;
}

static bool is_core(const struct convert *x)
{
	return x->report->form == MR_CONVERT_ELF ||
	       x->report->form == MR_CONVERT_KDUMP;
}

static int check_options(struct convert *x, const char *out,
			 struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;

	if (find_form(x, out, err))
		return -1;
	if (o->level < 0 || o->level > MR_CONVERT_LEVEL_MAX)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "level %d is not one of 1 to %d", o->level,
				 MR_CONVERT_LEVEL_MAX);
	if (o->level && !is_packed(x))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only a pack and libvirt:zstd have a level");
	if (o->name && (strlen(o->name) > NAME_MAX_LEN ||
			!name_is_text(o->name, strlen(o->name))))
		return error_set(err, MR_USAGE, MR_NO_OFFSET, NAME_RULE);
	if (o->base && x->report->form != MR_CONVERT_PACK)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only a pack can be an increment");
	if (o->name && x->report->form != MR_CONVERT_PACK &&
	    (!is_mapped(x) || o->no_seal))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only a pack, and a mapped-ram image's seal, "
				 "say the VM's name");
	if (o->no_seal && !is_mapped(x))
		return error_set(
			err, MR_USAGE, MR_NO_OFFSET,
			"only a mapped-ram image has a seal to be left "
			"out");
	if (o->xml && !is_libvirt(x))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only libvirt takes a domain's XML");
	if (o->fd >= 0 && is_libvirt(x)) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"what libvirt reads is called complete at its "
				"end: it needs a file");
		return error_about(err, CONVERT_OUT);
	}
	if (o->bases && strlen(o->bases) > 4000)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "no folder has so long a name");
	if (o->n_at && !is_core(x))
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only a core says where blocks are");
	if (o->dump_level > MR_CONVERT_DUMP_LEVEL_MAX)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "dump level %d is not one of 0 to %d",
				 o->dump_level, MR_CONVERT_DUMP_LEVEL_MAX);
	if (o->dump_level >= 0 && x->report->form != MR_CONVERT_KDUMP)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "only a kdump has a dump level");
	if (o->fd >= 0 && (is_mapped(x) || is_core(x))) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"%s is not written from front to back: it "
				"needs a file",
				is_core(x) ? "a core" : "a mapped-ram image");
		return error_about(err, CONVERT_OUT);
	}
	return 0;
}

static enum gate_rule rule_of(const struct convert *x)
{
	return x->options->force ? GATE_ANY_FILE : GATE_IMAGE;
}

/* ---- the input ---- */

static int open_in(struct convert *x, const char *in, struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	struct mr_convert_report *r = x->report;
	struct stream_config config;
	uint64_t present;
	const bool compare = o->verify || o->verify_sealed;
	int proven;
	char bases[PATH_MAX];
	const char *home = o->in_fd < 0 ? in : NULL;

	if (o->bases) {
		(void)snprintf(bases, sizeof(bases), "%.4000s/", o->bases);
		home = bases;
	}
	if (input_open(&x->input, in, o, err))
		return -1;
	x->img = image_open_loadable(x->input.path, home, o->direct, false,
				     &o->watch, &present, err);
	if (!x->img)
		return -1;
	x->img->io->who = CONVERT_IN;
	if (fstat(x->img->file.fd, &x->was))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	x->info = mr_image_info(x->img);
	(void)snprintf(r->machine, sizeof(r->machine), "%s", x->info->machine);
	(void)snprintf(r->run_state, sizeof(r->run_state), "%s",
		       x->info->run_state);
	r->blocks = x->info->n_blocks;
	r->ram = x->info->ram;
	r->in_size = x->input.size ? x->input.size : x->info->file_allocated;
	if (x->info->ram > MR_MEMORY_MAX)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 MR_MEMORY_MAX_TEXT);
	if (plain_check(x->info, err) ||
	    plain_state_read(&x->state, x->img, CONVERT_IN, err))
		return -1;
	r->device = x->state.early_len + x->state.late_len +
		    x->state.description_len;
	x->m = memory_of_image(x->img, !compare, err);
	if (!x->m)
		return -1;
	proven = compare ? memory_prove(x->m, x->img, err) : 1;
	if (proven < 0)
		return -1;
	if (!proven)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"nothing says whether it is what was saved: it "
			"has no seal, and is no pack");
	plain_config(x->info, &config);
	x->m->who = CONVERT_IN;
	x->m->page_bits = config.target_page_bits;
	/* Also a page that was written although it is zero is left out. */
	x->m->exact = false;
	if (is_mapped(x) && x->m->page != IMAGE_PAGE)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "pages of %zu bytes do not go into a "
				 "mapped-ram image of ours: make a pack or a "
				 "stream of it",
				 x->m->page);
	if (x->base.open && x->info->ram / x->m->page > PAGE_INDEX_LIMIT)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "so much memory (0x%" PRIx64
				 " bytes) could not be put together again "
				 "out of increments: make a full pack",
				 x->info->ram);
	return 0;
}

/* ---- the base ---- */

static int open_base(struct convert *x, const char *out, struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	uint32_t below;

	if (base_open(&x->base, o->base, err))
		return -1;
	if (o->fd < 0 && base_has(&x->base, out))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the increment would replace a pack that it "
				 "stands on");
	below = x->base.packed.label.below + 1;
	if (below > PACK_BELOW_MAX || (o->full_every && below >= o->full_every))
		base_release(&x->base);
	return x->base.open && o->verify ? base_verify(&x->base, &o->watch, err)
					 : 0;
}

/* ---- the output ---- */

/* Memory stays below 128 MiB, whatever the level. */
static unsigned jobs_of(const struct convert *x)
{
	const struct mr_convert_options *o = x->options;
	unsigned most = crew_default_jobs();

	if (o->jobs)
		return o->jobs;
	return is_packed(x) && o->level >= MR_CONVERT_LEVEL_HEAVY && most > 3
		       ? 3
		       : most;
}

/* A file that somebody wrote to meanwhile is half the one, half the other. */
static int check_unchanged(const struct convert *x, struct mr_error *err)
{
	const struct stat *was = &x->was;
	struct stat st;

	if (!fstat(x->img->file.fd, &st) && st.st_size == was->st_size &&
	    st.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == was->st_mtim.tv_nsec)
		return 0;
	(void)error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			"it was written to while it was read");
	return error_about(err, CONVERT_IN);
}

int convert_copy(struct convert *x, struct sink *k, struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	const struct memory_copy_options how = { .direct = o->direct,
						 .jobs = jobs_of(x),
						 .limit = o->limit,
						 .watch = &o->watch };
	struct memory_tally t = { 0 };
	int rc = memory_copy(x->m, k, &how, &t, err) ||
		 check_unchanged(x, err) || k->ops->end(k, err);

	x->report->data = t.data;
	x->report->copied = t.copied;
	x->report->copied_frames = t.frames;
	x->growing = t.written;
	x->report->jobs = t.jobs;
	x->report->direct_read = x->m->direct;
	return rc ? -1 : 0;
}

int convert_publish(struct output *out, struct mr_error *err)
{
	if (!output_publish(out, err))
		return 0;
	/* All was written: nobody was refused beforehand. */
	if (err && err->code == MR_REFUSED)
		err->code = MR_UNSUPPORTED;
	return error_about(err, CONVERT_OUT);
}

/* Holes do not count. */
uint64_t convert_allocated(const struct file *f)
{
	struct stat st;

	return fstat(f->fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

/* All device sections behind memory, as an image of ours has them. */
static uint8_t *join_sections(const struct plain_state *s)
{
	uint8_t *all = malloc(s->early_len + s->late_len + 1);

	if (all && s->early_len)
		memcpy(all, s->early, s->early_len);
	if (all && s->late_len)
		memcpy(all + s->early_len, s->late, s->late_len);
	return all;
}

/* What the input says of its moment and its VM, but for what the caller knows;
 * 1: something is known; 0; or -1. */
static int find_label(const struct convert *x, struct seal_label *l,
		      struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	struct mr_label has = { .made = 0 };
	int known = mr_image_label(x->img, &has, err);

	if (known < 0)
		return -1;
	*l = (struct seal_label){ .made = o->made ? o->made : has.made,
				  .maker = "mrtools " MR_VERSION };
	if (x->info->has_uuid)
		memcpy(l->uuid, x->info->uuid, sizeof(l->uuid));
	if (has.has_uuid)
		memcpy(l->uuid, has.uuid, sizeof(l->uuid));
	if (o->uuid)
		memcpy(l->uuid, o->uuid, sizeof(l->uuid));
	(void)snprintf(l->name, sizeof(l->name), "%s",
		       o->name ? o->name : has.name);
	return known || o->made || o->name || o->uuid;
}

static int make_mapped(struct convert *x, const char *out, struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	struct image_writer w = IMAGE_WRITER_NONE;
	uint8_t *sections = join_sections(&x->state);
	struct image_sink s;
	int rc = -1, known;

	if (!sections) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	if (image_writer_open(&w, out, rule_of(x), o->direct, !o->no_seal,
			      err)) {
		(void)error_about(err, CONVERT_OUT);
		goto out;
	}
	w.out.file.io.who = CONVERT_OUT;
	known = find_label(x, &w.label, err);
	if (known < 0)
		goto out;
	w.labelled = known;
	w.front = x->front;
	w.front_len = x->front_len;
	image_sink_init(&s, &w);
	s.device = (struct image_device){
		.sections = sections,
		.len = x->state.early_len + x->state.late_len,
		.description = (const uint8_t *)x->state.description,
		.description_len = x->state.description_len,
	};
	rc = convert_copy(x, &s.sink, err);
	x->report->direct_write = w.out.file.direct_fd >= 0;
	x->report->sealed = w.sealed;
	x->report->size = convert_allocated(&w.out.file);
	if (!rc)
		rc = convert_publish(&w.out, err);
out:
	image_writer_release(&w);
	free(sections);
	return rc;
}

static int make_form(const struct convert *x, struct pack_form *form,
		     struct mr_error *err)
{
	const struct mr_convert_options *o = x->options;
	struct pack_label *l = &form->label;
	int known;

	*form = (struct pack_form){
		.plain = !is_packed(x),
		.bare = x->report->form == MR_CONVERT_LIBVIRT_ZSTD,
		.level = o->level ? o->level : 1,
		.label = { .extent_size = (uint32_t)crew_extent_size(1) },
	};
	known = find_label(x, &l->of, err);
	/* A pack has a moment. The same image makes the same pack whenever
	 * that is done. */
	if (!l->of.made && x->was.st_mtime > 0)
		l->of.made = (uint64_t)x->was.st_mtime;
	return known < 0 ? -1 : 0;
}

/* The packs that frames can be copied from; NULL: none. What one pack has is
 * put into *one. */
static const struct chain *copy_from(const struct convert *x, struct chain *one)
{
	const struct mr_image *img = x->img;

	if (x->report->form != MR_CONVERT_PACK || x->base.open ||
	    x->options->level || !img->packed)
		return NULL;
	if (img->chain)
		return img->chain;
	*one = (struct chain){ .top = img->packed };
	return one;
}

int convert_pour(struct convert *x, struct io *io, struct mr_error *err)
{
	struct pack_form form;
	struct behind_io behind;
	struct pack_sink s;
	struct chain one;
	int rc;

	if (make_form(x, &form, err))
		return -1;
	if (x->base.open)
		base_label(&x->base, &form.label);
	if (x->report->form == MR_CONVERT_PACK)
		x->report->chain = form.label.below + 1;
	pack_sink_init(&s, &form);
	s.base = x->base.open ? &x->base.chain : NULL;
	s.from = copy_from(x, &one);
	plain_config(x->info, &s.config);
	s.state = &x->state;
	behind_io_init(&behind, io, x->front_len);
	s.io = x->front ? &behind.io : io;
	s.jobs = jobs_of(x);
	rc = convert_copy(x, &s.sink, err);
	x->report->size = x->front_len + s.writer.at;
	x->report->frames = s.writer.head.extents;
	if (!rc)
		x->growing +=
			s.writer.head.extents * pack_entry_size(&s.form.label);
	s.sink.ops->abandon(&s.sink);
	return rc;
}

/* Whether somebody who has its name would not find what it stands on. */
static bool is_apart(const char *path)
{
	struct mr_image *img = mr_image_open_devices(path, NULL, NULL);
	bool apart = img && mr_image_info(img)->pack.alone[0];

	mr_image_free(img);
	return apart;
}

static int pour_file(struct convert *x, const char *path, struct mr_error *err)
{
	struct output out = OUTPUT_NONE;
	int rc = -1;

	if (output_create(&out, path, rule_of(x), MR_DIRECT_OFF, err)) {
		(void)error_about(err, CONVERT_OUT);
	} else {
		out.file.io.who = CONVERT_OUT;
		rc = convert_front_write(x, &out.file.io, false, err) ||
		     convert_pour(x, &out.file.io, err) ||
		     convert_front_write(x, &out.file.io, true, err) ||
		     convert_publish(&out, err);
	}
	output_discard(&out);
	if (!rc && x->base.open)
		x->report->apart = is_apart(path);
	return rc ? -1 : 0;
}

static int pour_pipe(struct convert *x, struct mr_error *err)
{
	const struct mr_watch *watch = &x->options->watch;
	struct pipe_io p;
	int rc;

	if (pipe_init(&p, x->options->fd, watch, err))
		return error_about(err, CONVERT_OUT);
	p.io.who = CONVERT_OUT;
	rc = convert_pour(x, &p.io, err);
	if (rc && err->sys == ECANCELED && watch->cancel &&
	    atomic_load(watch->cancel)) {
		*err = (struct mr_error)MR_ERROR_INIT;
		(void)error_set(err, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
	}
	return rc;
}

static int look_at_output(const struct convert *x, const char *out,
			  struct mr_error *err)
{
	struct output_target target;

	return x->options->fd < 0 && output_look(out, rule_of(x), &target, err)
		       ? error_about(err, CONVERT_OUT)
		       : 0;
}

/* With its base gone an increment is nothing; nor are others that stand there.
 */
static int spare_base(const struct convert *x, const char *out,
		      struct mr_error *err)
{
	if (x->options->fd >= 0 || x->options->force || !x->img->chain ||
	    !chain_has(x->img->chain, out))
		return 0;
	(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
			"the increment that is read stands on this pack, "
			"and would be lost without it");
	return error_about(err, CONVERT_OUT);
}

static int make(struct convert *x, const char *out, struct mr_error *err)
{
	if (look_at_output(x, out, err) || spare_base(x, out, err))
		return -1;
	if (is_core(x))
		return convert_core(x, out, err);
	if (x->options->dry_run)
		return convert_estimate(x, err);
	if (is_mapped(x))
		return make_mapped(x, out, err);
	return x->options->fd < 0 ? pour_file(x, out, err) : pour_pipe(x, err);
}

int mr_convert(const char *in, const char *out,
	       const struct mr_convert_options *options,
	       struct mr_convert_report *report, struct mr_error *err)
{
	struct convert x = { .options = options,
			     .report = report,
			     .input = INPUT_NONE,
			     .base = BASE_NONE };
	double since = watch_clock();
	int rc;

	*report = (struct mr_convert_report){ .blocks = 0 };
	rc = check_options(&x, out, err);
	if (!rc && options->base && open_base(&x, out, err))
		rc = error_about(err, CONVERT_BASE);
	if (!rc && open_in(&x, in, err))
		rc = error_about(err, CONVERT_IN);
	if (!rc && x.report->form == MR_CONVERT_KDUMP)
		rc = convert_kdump_check(&x, err);
	if (!rc && is_libvirt(&x))
		rc = convert_front(&x, err);
	if (!rc)
		rc = make(&x, out, err);
	base_release(&x.base);
	memory_free(x.m);
	plain_state_release(&x.state);
	mr_image_free(x.img);
	free(x.front);
	input_release(&x.input);
	report->seconds = watch_clock() - since;
	return rc;
}

int mr_convert_check(const char *out, const struct mr_convert_options *options,
		     struct mr_error *err)
{
	struct mr_convert_report report = { .blocks = 0 };
	struct convert x = { .options = options,
			     .report = &report,
			     .base = BASE_NONE };
	int rc = check_options(&x, out, err);

	if (!rc && options->base && open_base(&x, out, err))
		rc = error_about(err, CONVERT_BASE);
	if (!rc && x.report->form == MR_CONVERT_KDUMP)
		rc = convert_kdump_check(&x, err);
	if (!rc && is_libvirt(&x))
		rc = convert_front_check(&x, err);
	base_release(&x.base);
	return rc ? -1 : look_at_output(&x, out, err);
}
