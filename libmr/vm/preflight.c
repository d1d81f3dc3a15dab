/* preflight.c - the questions, one function each. */
#include "formats/bits.h"
#include "libmr/vm/preflight.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* Headers, bitmaps' last blocks and device state, generously. */
#define OVERHEAD ((uint64_t)16 << 20)

int preflight_run_state(const struct guest *g, struct mr_error *err)
{
	static const char *const never[] = {
		"inmigrate", "finish-migrate", "restore-vm",	 "save-vm",
		"preconfig", "colo",	       "internal-error",
	};

	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		if (!strcmp(g->status, never[i]))
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "the VM is in run state %s: there is "
					 "nothing to save",
					 g->status);
	return 0;
}

static int refuse_blockers(const json_t *migrate, struct mr_error *err)
{
	const json_t *reasons = json_object_get(migrate, "blocked-reasons");
	const json_t *first = json_array_get(reasons, 0);

	if (!reasons)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "QEMU cannot migrate this VM: %.180s",
			 first && json_is_string(first)
				 ? json_string_value(first)
				 : "no reason given");
}

static int refuse_migration(const json_t *migrate, struct mr_error *err)
{
	static const char *const idle[] = { "none", "completed", "failed",
					    "cancelled" };
	const char *status =
		json_string_value(json_object_get(migrate, "status"));

	for (size_t i = 0; status && i < sizeof(idle) / sizeof(*idle); i++)
		if (!strcmp(status, idle[i]))
			return 0;
	if (!status)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "a migration of this VM is under way (%.40s)", status);
}

int preflight_migrate(struct qmp *q, struct mr_error *err)
{
	json_t *migrate;
	int rc;

	if (qmp_call(q, "query-migrate", NULL, &migrate, err))
		return -1;
	rc = refuse_blockers(migrate, err) || refuse_migration(migrate, err)
		     ? -1
		     : 0;
	json_decref(migrate);
	return rc;
}

int preflight_common(const struct guest *g, struct qmp *q, const char *image,
		     struct output_target *target, struct mr_error *err)
{
	int used;

	if (preflight_run_state(g, err) || preflight_migrate(q, err) ||
	    output_look(image, target, err))
		return -1;
	if (!target->exists || !g->pid)
		return 0;
	used = guest_uses_file(g, target->dev, target->ino, NULL);
	if (used > 0)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the VM itself uses this file: save to another "
			"name");
	return 0;
}

/* vfio shows as open descriptors whatever name the device has. */
static int refuse_vfio(const struct guest *g, struct mr_error *err)
{
	char path[64], link[64];
	struct dirent *e;
	DIR *dir;
	int rc = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)g->pid);
	dir = opendir(path);
	if (!dir)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "cannot look at the files of process %d: run "
				 "as its user, or with CAP_SYS_PTRACE",
				 (int)g->pid);
	while (!rc && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link,
				       sizeof(link) - 1);

		if (n <= 0)
			continue;
		link[n] = '\0';
		if (!strncmp(link, "/dev/vfio/", 10) ||
		    !strcmp(link, "anon_inode:[vfio-device]"))
			rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
				       "the VM has a vfio device, whose state "
				       "only QEMU's own migration can save");
	}
	(void)closedir(dir);
	return rc;
}

/* Targets with further state that is sent in rounds, as RAM is. */
static int check_target(struct qmp *q, struct mr_error *err)
{
	json_t *ret;
	const char *arch;
	int rc = 0;

	if (qmp_call(q, "query-target", NULL, &ret, err))
		return -1;
	arch = json_string_value(json_object_get(ret, "arch"));
	if (arch && (!strncmp(arch, "ppc", 3) || !strcmp(arch, "s390x")))
		rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			       "a %s machine has state that only QEMU's own "
			       "migration can save",
			       arch);
	json_decref(ret);
	return rc;
}

static int check_dirty_bitmaps(struct qmp *q, struct mr_error *err)
{
	json_t *ret, *c;
	size_t i;
	int rc = 0;

	if (qmp_call(q, "query-migrate-capabilities", NULL, &ret, err))
		return -1;
	json_array_foreach(ret, i, c)
	{
		const char *name =
			json_string_value(json_object_get(c, "capability"));

		if (name && !strcmp(name, "dirty-bitmaps") &&
		    json_is_true(json_object_get(c, "state")))
			rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
				       "capability dirty-bitmaps is on: only "
				       "QEMU's own migration can save them");
	}
	json_decref(ret);
	return rc;
}

int preflight_direct(struct guest *g, struct qmp *q, struct mr_error *err)
{
	if (!g->pid)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"QEMU's process is not visible from here: it "
			"runs in another pid namespace or behind a "
			"proxy (give its pid, or let QEMU save itself)");
	if (guest_can_read(g, err) || guest_map(g, err) ||
	    refuse_vfio(g, err) || check_target(q, err) ||
	    check_dirty_bitmaps(q, err))
		return -1;
	return 0;
}

int preflight_qemu(const struct guest *g, struct mr_error *err)
{
	if (g->major < 9)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"QEMU %d.%d cannot save itself to a mapped-ram "
			"image: that came with 9.0",
			g->major, g->minor);
	return 0;
}

uint64_t preflight_estimate_all(const struct guest *g)
{
	uint64_t bytes = OVERHEAD;

	for (size_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].migratable)
			bytes += g->blocks[i].used;
	return bytes;
}

int preflight_estimate(const struct guest *g, uint64_t *bytes,
		       struct mr_error *err)
{
	*bytes = OVERHEAD;
	for (size_t i = 0; i < g->n_blocks; i++) {
		const struct guest_block *b = &g->blocks[i];
		uint64_t pages = b->used / GUEST_PAGE;
		size_t len = (size_t)bits_size(pages);
		uint64_t *bits, most;
		int rc;

		if (!b->migratable || !len)
			continue;
		bits = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (bits == MAP_FAILED)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for the map of %s",
					 b->name);
		rc = guest_most(g, b, bits, &most, err);
		*bytes += most;
		(void)munmap(bits, len);
		if (rc)
			return -1;
	}
	return 0;
}
