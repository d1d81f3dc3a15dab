/*
 * log.c - the kernel's messages.
 *
 * All that is known of where they are is the guest's word: sizes are bounded
 * before memory is taken for them, and addresses are found by page tables in
 * memory that the layout proves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/printk.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/linux/kernel.h"
#include "libmr/memory/ram.h"

struct job {
	struct kernel_memory m;
	const struct vmcoreinfo *v; /* the kernel's */
	struct mr_paging paging;
	struct mr_log_report *report;
	size_t room;
	uint64_t text; /* bytes of all records */
};

/* ---- what the kernel tells ---- */

static bool numbers(const struct job *j, const char *const *keys, size_t n,
		    uint64_t *out)
{
	for (size_t i = 0; i < n; i++)
		if (!vmcoreinfo_number(j->v, keys[i], false, &out[i]))
			return false;
	return true;
}

static int bad(const struct fault *f, struct mr_error *err)
{
	if (f->has_value)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "the kernel's messages: %s: 0x%" PRIx64,
				 f->what, f->value);
	return error_set(err, MR_FORMAT, MR_NO_OFFSET,
			 "the kernel's messages: %s", f->what);
}

static int get(const struct job *j, uint64_t va, void *buf, size_t len,
	       struct mr_error *err)
{
	return kernel_read(&j->m, &j->paging, va, buf, len, err);
}

/* A variable of the kernel's; bytes: 4 or 8. */
static int get_symbol(const struct job *j, const char *key, size_t bytes,
		      uint64_t *out, struct mr_error *err)
{
	uint8_t buf[8] = { 0 };
	uint64_t at;

	if (!vmcoreinfo_number(j->v, key, true, &at))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "Linux %s does not tell %s",
				 j->report->release, key);
	if (get(j, at, buf, bytes, err))
		return -1;
	*out = get_le64(buf);
	return 0;
}

/* ---- what it says ---- */

/* One more. A buffer has no more text than it is long, or it is none. */
static int add(struct job *j, const struct printk_record *r, uint64_t size,
	       struct mr_error *err)
{
	struct mr_log_report *to = j->report;

	j->text += r->len;
	if (j->text > size)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "the kernel's messages: there are more than "
				 "their buffer has room for");
	if (grow(&to->records, &j->room, to->n_records, sizeof(*to->records)))
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	to->records[to->n_records++] = (struct mr_log_record){
		.ns = r->ns,
		.text = (const char *)r->text,
		.len = r->len,
	};
	return 0;
}

/* Room for so many bytes, which the report keeps. */
static uint8_t *take_room(struct job *j, uint64_t bytes, struct mr_error *err)
{
	j->report->bytes = malloc(bytes ? (size_t)bytes : 1);
	if (!j->report->bytes)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return j->report->bytes;
}

static int find_ring(const struct job *j, const struct printk_ring_shape *s,
		     struct printk_ring *ring, struct mr_error *err)
{
	size_t len = (size_t)s->of[PRINTK_RING_SIZE];
	uint8_t *buf = malloc(len ? len : 1);
	struct fault f;
	uint64_t at = 0;
	int rc = -1;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (!get_symbol(j, "SYMBOL(prb)", 8, &at, err) &&
	    !get(j, at, buf, len, err))
		rc = printk_ring_decode(s, buf, len, ring, &f) < 0
			     ? bad(&f, err)
			     : 0;
	free(buf);
	return rc;
}

static int read_ring(struct job *j, const struct printk_ring_shape *s,
		     struct mr_error *err)
{
	struct printk_arrays a;
	struct printk_ring ring = { .records = 0 };
	uint64_t descs, infos;
	struct fault f;
	uint8_t *to;

	if (printk_ring_check(s, &f))
		return bad(&f, err);
	if (find_ring(j, s, &ring, err))
		return -1;
	descs = ring.records * s->of[PRINTK_DESC_SIZE];
	infos = ring.records * s->of[PRINTK_INFO_SIZE];
	to = take_room(j, ring.size + descs + infos, err);
	if (!to || get(j, ring.data, to, (size_t)ring.size, err) ||
	    get(j, ring.descs, to + ring.size, (size_t)descs, err) ||
	    get(j, ring.infos, to + ring.size + descs, (size_t)infos, err))
		return -1;
	a = (struct printk_arrays){ .data = to,
				    .descs = to + ring.size,
				    .infos = to + ring.size + descs };
	for (uint64_t i = 0; i < ring.ids; i++) {
		struct printk_record r;

		if (printk_ring_record(s, &ring, &a, i, &r) &&
		    add(j, &r, ring.size, err))
			return -1;
	}
	return 0;
}

static int read_log(struct job *j, const struct printk_log_shape *s,
		    struct mr_error *err)
{
	struct printk_log_reader r = { .wrapped = false };
	struct printk_record record;
	uint64_t at = 0, size = 0;
	struct fault f;
	uint8_t *buf;
	int rc;

	if (printk_log_check(s, &f))
		return bad(&f, err);
	if (get_symbol(j, "SYMBOL(log_buf)", 8, &at, err) ||
	    get_symbol(j, "SYMBOL(log_buf_len)", 4, &size, err) ||
	    get_symbol(j, "SYMBOL(log_first_idx)", 4, &r.at, err) ||
	    get_symbol(j, "SYMBOL(log_next_idx)", 4, &r.next, err))
		return -1;
	if (size > PRINTK_MAX)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "the kernel's messages: a buffer of 0x%" PRIx64
				 " bytes is too large",
				 size);
	buf = take_room(j, size, err);
	if (!buf || get(j, at, buf, (size_t)size, err))
		return -1;
	while ((rc = printk_log_next(s, buf, (size_t)size, &r, &record, &f)) >
	       0)
		if (add(j, &record, size, err))
			return -1;
	return rc < 0 ? bad(&f, err) : 0;
}

static int read_messages(struct job *j, struct mr_error *err)
{
	struct printk_ring_shape ring;
	struct printk_log_shape log;

	if (kernel_paging(j->v, &j->paging, err))
		return -1;
	if (numbers(j, printk_ring_keys, PRINTK_RING_KEYS, ring.of))
		return read_ring(j, &ring, err);
	if (numbers(j, printk_log_keys, PRINTK_LOG_KEYS, log.of) ||
	    numbers(j, printk_log_old_keys, PRINTK_LOG_KEYS, log.of))
		return read_log(j, &log, err);
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "Linux %s does not tell where its messages are, or as "
			 "kernels from 3.5 on do",
			 j->report->release);
}

/* ---- the verb ---- */

static int choose(struct job *j, const struct vmcoreinfo *found, size_t n,
		  struct mr_error *err)
{
	const char *release;

	if (!n)
		return error_set(
			err, MR_UNSUPPORTED, MR_NO_OFFSET,
			"no Linux kernel tells of itself in this memory "
			"(VMCOREINFO): it is another guest, or its "
			"kernel cannot be dumped");
	j->v = kernel_running(&j->m, found, n);
	if (!j->v)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "a Linux kernel tells of itself (VMCOREINFO), "
				 "but nothing proves that it is the one that "
				 "runs, or it is not of x86_64");
	release = vmcoreinfo_get(j->v, "OSRELEASE");
	(void)snprintf(j->report->release, sizeof(j->report->release), "%.*s",
		       (int)strcspn(release, "\n"), release);
	return 0;
}

int mr_log(struct mr_ram *ram, const struct mr_log_options *options,
	   struct mr_log_report *report, struct mr_error *err)
{
	const struct vmcoreinfo_options how = { .direct = options->direct,
						.jobs = options->jobs,
						.watch = &options->watch };
	struct job j = { .m = { .read = ram_read_block, .arg = ram },
			 .report = report };
	struct mr_layout *layout = mr_ram_layout(ram, err);
	struct vmcoreinfo *found = NULL;
	size_t n = 0;
	int rc = -1;

	*report = (struct mr_log_report){ .n_records = 0 };
	j.m.layout = layout;
	if (layout && !vmcoreinfo_find(ram->memory, &how, &found, &n, err) &&
	    !choose(&j, found, n, err) && !read_messages(&j, err) &&
	    !mr_ram_still(ram, err))
		rc = 0;
	free(found);
	mr_layout_free(layout);
	return rc;
}

void mr_log_release(struct mr_log_report *report)
{
	free(report->records);
	free(report->bytes);
	*report = (struct mr_log_report){ .n_records = 0 };
}
