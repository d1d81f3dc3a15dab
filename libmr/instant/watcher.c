/*
 * watcher.c - which pages does the guest touch first?
 *
 * A child of nobody's looks at the page map of QEMU's process, which is this
 * one's: 10 ms after the start, then less and less often. It ends with QEMU.
 */
#include "libmr/instant/state.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/watch.h"
#include "libmr/file/output.h"
#include "libmr/vm/guest.h"

#define FIRST_MS 10.0
#define MOST_MS 250.0
/* Looking takes no more than this part of the time. */
#define PART 20
#define GROUP_PAGES (TOUCHED_GROUP / GUEST_PAGE)

struct watcher {
	struct mr_instant *in;
	struct guest *g; /* of the blocks that are mapped */
	uint32_t *block; /* which of the image's each is */
	uint64_t *at; /* where its pages are in the file */
	uint64_t **seen; /* its groups */
	uint64_t *pages; /* of one block, room for the largest */
	size_t pages_size;
	bool mapped;
	struct touched_run *runs;
	size_t n, room;
};

/* ---- what can be known before ---- */

static bool has_option(const struct mr_instant *in, const char *name)
{
	struct qemu_option o;

	return args_last(&in->args, name, &o);
}

int instant_check_record(struct mr_instant *in, struct mr_error *err)
{
	struct output_target t;

	if (!in->options->record_seconds)
		return 0;
	if (has_option(in, "daemonize"))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "with -daemonize QEMU goes on as another "
				 "process: what it touches cannot be recorded");
	if (in->privileged && geteuid())
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the program has rights of its own, and may "
				 "not be looked at: what it touches cannot be "
				 "recorded");
	if (!in->report->mapped)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "no memory is mapped: nothing to record");
	if (output_look(in->options->record, GATE_TOUCHED, &t, err))
		return error_about(err, INSTANT_RECORD);
	return 0;
}

/* ---- looking ---- */

static int add_group(struct watcher *w, uint32_t block, uint64_t group)
{
	struct touched_run *last = w->n ? &w->runs[w->n - 1] : NULL;

	if (last && last->block == block &&
	    (uint64_t)last->first + last->groups == group) {
		last->groups++;
		return 0;
	}
	if (w->n == TOUCHED_RUNS_LIMIT || group > UINT32_MAX ||
	    grow(&w->runs, &w->room, w->n, sizeof(*w->runs)))
		return -1;
	w->runs[w->n++] = (struct touched_run){ block, (uint32_t)group, 1 };
	return 0;
}

static int look_at(struct watcher *w, size_t i)
{
	const struct guest_block *b = &w->g->blocks[i];
	uint64_t n = b->used / GUEST_PAGE, p;

	assert(w->seen[i]); /* prepare has them for all */
	memset(w->pages, 0, w->pages_size);
	if (guest_present(w->g, b, w->pages, NULL))
		return -1;
	for (p = bits_next_set(w->pages, 0, n); p < n;
	     p = bits_next_set(w->pages, p, n)) {
		uint64_t group = p / GROUP_PAGES;

		if (!bits_test(w->seen[i], group)) {
			w->seen[i][group / 64] |= UINT64_C(1) << group % 64;
			if (add_group(w, w->block[i], group))
				return -1;
		}
		p = (group + 1) * GROUP_PAGES;
		p = p < n ? p : n;
	}
	return 0;
}

/* -1: there is no more to be seen. */
static int look(struct watcher *w)
{
	if (!w->mapped) {
		w->mapped = guest_map_file(w->g, w->in->img->file.ino, w->at,
					   NULL) > 0;
		return 0;
	}
	for (size_t i = 0; i < w->g->n_blocks; i++)
		if (look_at(w, i))
			return -1;
	return 0;
}

static void watch(struct watcher *w, int process)
{
	const double end = watch_clock() + w->in->options->record_seconds;
	struct pollfd p = { .fd = process, .events = POLLIN };
	double wait = FIRST_MS;

	for (;;) {
		double begin = watch_clock(), took, left;

		if (look(w))
			return;
		took = 1000 * (watch_clock() - begin);
		left = 1000 * (end - watch_clock());
		if (left <= 0)
			return;
		if (w->mapped && wait < MOST_MS)
			wait *= 1.25;
		took = wait > PART * took ? wait : PART * took;
		if (poll(&p, 1, (int)(took < left ? took : left) + 1) != 0)
			return;
	}
}

/* ---- the child ---- */

static int add_block(struct watcher *w, struct guest_block *blocks, size_t n,
		     const struct mr_block *b)
{
	const uint64_t words = touched_groups(b->length, TOUCHED_GROUP) / 64;
	const size_t size = (size_t)(b->length / GUEST_PAGE / 64 + 1) * 8;

	w->block[n] = (uint32_t)(b - w->in->info->blocks);
	w->at[n] = b->pages_offset;
	w->seen[n] = calloc((size_t)words + 1, sizeof(uint64_t));
	blocks[n] = (struct guest_block){ .page_size = GUEST_PAGE,
					  .used = b->length,
					  .total = b->length,
					  .migratable = true };
	if (size > w->pages_size)
		w->pages_size = size;
	return w->seen[n] ? 0 : -1;
}

/* What it needs stays until the child ends. */
static int prepare(struct watcher *w, pid_t pid)
{
	const struct mr_image_info *info = w->in->info;
	struct guest_block *blocks = calloc(info->n_blocks, sizeof(*blocks));
	size_t n = 0;
	int rc = -1;

	w->block = calloc(info->n_blocks, sizeof(*w->block));
	w->at = calloc(info->n_blocks, sizeof(*w->at));
	w->seen = calloc(info->n_blocks, sizeof(*w->seen));
	if (!blocks || !w->block || !w->at || !w->seen)
		goto out;
	for (size_t i = 0; i < info->n_blocks; i++)
		if (w->in->places[i] == PLACE_MAPPED &&
		    add_block(w, blocks, n++, &info->blocks[i]))
			goto out;
	w->g = guest_new(pid, blocks, n, NULL);
	w->pages = malloc(w->pages_size + 1);
	rc = w->g && w->pages ? 0 : -1;
out:
	free(blocks);
	return rc;
}

static _Noreturn void run(struct mr_instant *in, pid_t pid, int process)
{
	struct watcher w = { .in = in };

	instant_stand_alone(in, process);
	if (!prepare(&w, pid))
		watch(&w, process);
	_exit(w.n && instant_write_record(in, w.runs, w.n, NULL) ? 1 : 0);
}

int instant_start_watcher(struct mr_instant *in, struct mr_error *err)
{
	const pid_t pid = getpid();
	int process, rc;

	if (!in->options->record_seconds)
		return 0;
	process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot be watched");
	rc = instant_fork();
	if (rc > 0)
		run(in, pid, process);
	(void)close(process);
	return rc ? error_sys(err, MR_NO_OFFSET, "cannot start a child") : 0;
}
