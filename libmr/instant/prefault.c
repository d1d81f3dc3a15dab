/*
 * prefault.c - the kernel reads pages of the image before the guest asks.
 *
 * Asking takes as long as the disk's queue is full, so a child does it while
 * QEMU starts; but for low memory, which QEMU needs first.
 */
#include "libmr/instant/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* The kernel reads no more for one call than the device reads ahead, and says
 * nothing of the rest; this is the least that it usually is. */
#define STEP ((uint64_t)128 << 10)
/* What a PC's devices and firmware share with it. */
#define LOW_MEMORY ((uint64_t)1 << 20)

static void ask(const struct mr_instant *in, const struct mr_block *b,
		uint64_t from, uint64_t to)
{
	if (to > b->length)
		to = b->length;
	for (uint64_t n; from < to; from += n) {
		n = to - from < STEP ? to - from : STEP;
		(void)posix_fadvise(in->img->file.fd,
				    (off_t)(b->pages_offset + from), (off_t)n,
				    POSIX_FADV_WILLNEED);
	}
}

static void ask_for(const struct mr_instant *in, const struct record *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct touched_run *t = &r->runs[i];
		uint64_t from = (uint64_t)t->first * r->group_size;

		if (in->places[t->block] == PLACE_MAPPED)
			ask(in, &in->info->blocks[t->block], from,
			    from + (uint64_t)t->groups * r->group_size);
	}
}

static void ask_for_all(const struct mr_instant *in)
{
	for (size_t i = 0; i < in->info->n_blocks; i++) {
		const struct mr_block *b = &in->info->blocks[i];
		uint64_t at = b->pages_offset, end = at + b->length, n;

		if (in->places[i] != PLACE_MAPPED)
			continue;
		for (; (n = image_next_data(in->img, &at, end)) > 0; at += n)
			ask(in, b, at - b->pages_offset,
			    at + n - b->pages_offset);
	}
}

/* Whether there is a record to go by. */
static bool find_record(const struct mr_instant *in, struct record *r)
{
	const char *path = in->options->record;
	struct mr_error err = MR_ERROR_INIT;
	int rc;

	if (!path)
		return false;
	rc = instant_read_record(in, r, &err);
	if (rc > 0)
		return true;
	if (!rc)
		instant_say(in, "%.300s is about another image: not used",
			    path);
	else if (err.code != MR_SYS || err.sys != ENOENT ||
		 in->options->prefault == MR_PREFAULT_RECORDED)
		instant_say(in, "%.200s: %.200s: no pages are read ahead", path,
			    err.msg);
	return false;
}

/*
 * Devices look into low memory as they are loaded. Where the kernel reads ahead
 * far, a fault there waits for megabytes (8 ms); asked for beforehand it is
 * there when QEMU has started.
 */
static void ask_for_low_memory(const struct mr_instant *in)
{
	for (size_t i = 0; i < in->info->n_blocks; i++)
		if (in->places[i] == PLACE_MAPPED)
			ask(in, &in->info->blocks[i], 0, LOW_MEMORY);
}

int instant_start_prefault(struct mr_instant *in, struct mr_error *err)
{
	const bool all = in->options->prefault == MR_PREFAULT_ALL;
	struct record r = { 0 };
	int rc;

	ask_for_low_memory(in);
	if (in->options->prefault == MR_PREFAULT_NONE ||
	    (!all && !find_record(in, &r)))
		return 0;
	rc = instant_fork();
	if (rc > 0) {
		instant_stand_alone(in, -1);
		if (all)
			ask_for_all(in);
		else
			ask_for(in, &r);
		_exit(0);
	}
	free(r.runs);
	return rc ? error_sys(err, MR_NO_OFFSET, "cannot start a child") : 0;
}
