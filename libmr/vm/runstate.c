/*
 * runstate.c - the table.
 *
 * From QEMU's own transitions (system/runstate.c, 8.0 to 11.1): what may
 * follow `inmigrate` can be loaded, what may precede `finish-migrate` can be
 * migrated. `debug` cannot be loaded: QEMU aborts over such an image; it takes
 * `finish-migrate` and `colo`, but no `cont` gets a VM out of them. What a
 * postmigrate VM was before its migration nobody knows any more; that it stood
 * still is certain.
 */
#include "libmr/vm/runstate.h"

#include <stddef.h>
#include <string.h>

#include "libmr/base/error.h"

#define LIVE(n, migr)                                                  \
	{                                                              \
		.name = (n), .hold = RUNSTATE_STOP, .image = (n),      \
		.loadable = true, .migrates = (migr), .by_guest = true \
	}
#define STANDS(n, guest)                                                \
	{                                                               \
		.name = (n), .hold = RUNSTATE_STANDS, .image = (n),     \
		.loadable = true, .migrates = true, .by_guest = (guest) \
	}
#define BUSY(n)                                    \
	{                                          \
		.name = (n), .hold = RUNSTATE_BUSY \
	}

static const struct runstate all[] = {
	LIVE("running", true),
	/* Its own save leaves QEMU where it aborts at `cont`. */
	LIVE("suspended", false),
	STANDS("paused", false),
	STANDS("prelaunch", false),
	STANDS("io-error", true),
	STANDS("watchdog", true),
	STANDS("guest-panicked", true),
	STANDS("internal-error", true),
	STANDS("shutdown", true),
	{ .name = "debug",
	  .hold = RUNSTATE_STANDS,
	  .image = "paused",
	  .migrates = true,
	  .by_guest = true },
	{ .name = "postmigrate",
	  .hold = RUNSTATE_STANDS,
	  .image = "paused",
	  .loadable = true },
	BUSY("preconfig"),
	BUSY("inmigrate"),
	BUSY("finish-migrate"),
	BUSY("restore-vm"),
	BUSY("save-vm"),
	BUSY("colo"),
	{ .name = NULL },
};

const struct runstate *runstate_all(void)
{
	return all;
}

const struct runstate *runstate_find(const char *name)
{
	for (const struct runstate *r = all; r->name; r++)
		if (!strcmp(r->name, name))
			return r;
	return NULL;
}

bool runstate_is_live(const char *name)
{
	const struct runstate *r = runstate_find(name);

	return !r || r->hold == RUNSTATE_STOP;
}

int runstate_check_saved(const char *saved, struct mr_error *err)
{
	const struct runstate *r = runstate_find(saved);

	if (!saved[0] || (r && r->loadable))
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "the image says that the VM was in run state %s, in "
			 "which QEMU cannot begin",
			 saved);
}
