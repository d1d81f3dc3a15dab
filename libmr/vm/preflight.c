/* preflight.c - the questions, one function each. */
#include "libmr/vm/preflight.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/runstate.h"

/* Headers, bitmaps' last blocks and device state, generously. */
#define OVERHEAD ((uint64_t)16 << 20)

int preflight_run_state(const struct guest *g, struct mr_error *err)
{
	const struct runstate *r = runstate_find(g->status);

	if (!r)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the VM is in run state %s, of which it is "
				 "not known here whether it stands still",
				 g->status);
	if (r->hold == RUNSTATE_BUSY)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the VM is in run state %s: there is nothing "
				 "to save",
				 g->status);
	if (r->hold == RUNSTATE_STOP && !g->running && g->major < 9)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the VM is %s, and QEMU before 9.0 cannot "
				 "stop it: wake it up first",
				 g->status);
	return 0;
}

int preflight_migrate(struct qmp *q, struct mr_error *err)
{
	struct ask_migration m;

	if (ask_migration(q, &m, err))
		return -1;
	if (m.blocked)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU cannot migrate this VM: %.180s",
				 m.reason);
	if (m.phase == ASK_MIGRATION_UNDER_WAY)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "a migration of this VM is under way (%s)",
				 m.status);
	if (m.phase == ASK_MIGRATION_UNKNOWN)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "this VM's migration is in a state that is "
				 "not known here (%s)",
				 m.status);
	return 0;
}

/* A file, and whether QEMU has named it. */
struct search {
	const struct gate_found *file;
	bool named;
};

static void compare_name(void *arg, const char *name)
{
	struct search *s = arg;
	struct stat st;

	if (*name == '/' && !stat(name, &st) && st.st_dev == s->file->dev &&
	    st.st_ino == s->file->ino)
		s->named = true;
}

int preflight_unused(const struct guest *g, struct qmp *q,
		     const struct gate_found *file, bool force,
		     struct mr_error *err)
{
	struct search s = { .file = file };
	int used = -1;

	if (!file->exists)
		return 0;
	if (g->pid)
		used = guest_uses_file(g, file->dev, file->ino, NULL);
	if (!used)
		return 0;
	if (used < 0 && ask_file_names(q, compare_name, &s, err))
		return -1;
	if (used > 0 || s.named)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the VM itself uses this file: save to another "
			"name");
	if (force)
		return 0;
	return error_set(
		err, MR_REFUSED, MR_NO_OFFSET,
		"exists, and QEMU's process cannot be looked at to see "
		"that the VM does not use it: save to another name, or with "
		"--force");
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

static int refuse_fatal(struct guest *g, struct qmp *q, struct mr_error *err)
{
	if (target_ask(&g->target, q, err))
		return -1;
	if (g->target.state != VM_TARGET_FATAL)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "QEMU crashes when a %s machine is saved, by whatever "
			 "means",
			 g->target.arch);
}

/* Targets may have further state that is sent in rounds, as RAM is. */
static int check_target(struct guest *g, struct qmp *q, struct mr_error *err)
{
	if (refuse_fatal(g, q, err))
		return -1;
	if (g->target.state == VM_TARGET_PLAIN)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "a %s machine may have state that only QEMU's own "
			 "migration can save",
			 g->target.arch);
}

static int check_dirty_bitmaps(struct qmp *q, struct mr_error *err)
{
	const struct ask_setting *bitmaps;
	struct ask_settings all;

	if (ask_capabilities(q, &all, err))
		return -1;
	bitmaps = ask_setting(&all, "dirty-bitmaps");
	if (bitmaps && bitmaps->flag)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "capability dirty-bitmaps is on: only QEMU's "
				 "own migration can save them");
	return 0;
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
	    guest_is_whole(g, err) || refuse_vfio(g, err) ||
	    check_target(g, q, err) || check_dirty_bitmaps(q, err))
		return -1;
	return 0;
}

int preflight_process(const struct guest *g, struct qmp *q,
		      struct mr_error *err)
{
	int fd = memfd_create("mrtools", MFD_CLOEXEC), there = -1;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot make a file");
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	rc = qmp_lend_fd(q, fd, err);
	if (!rc)
		there = guest_uses_file(g, st.st_dev, st.st_ino, NULL);
	(void)close(fd);
	if (rc || qmp_take_fd_back(q, err))
		return -1;
	if (there)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "process %d is not the QEMU behind this socket",
			 (int)g->pid);
}

int preflight_pages(const struct guest *g, uint32_t page_size,
		    struct mr_error *err)
{
	if (!g->target.page_size)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "QEMU does not tell the size of this %s "
				 "machine's pages",
				 g->target.arch);
	if (g->target.page_size == page_size)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "this %s machine's pages have %" PRIu32
			 " bytes, those of an image read from outside %" PRIu32,
			 g->target.arch, g->target.page_size, page_size);
}

int preflight_descriptors(struct qmp *q, struct mr_error *err)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct mr_error why = MR_ERROR_INIT;
	int rc;

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open /dev/null");
	rc = qmp_lend_fd(q, fd, &why) || qmp_take_fd_back(q, &why);
	(void)close(fd);
	if (!rc)
		return 0;
	if (qmp_said_no(q))
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "descriptors do not reach QEMU through this "
				 "socket (is it a proxy's?): %.100s",
				 why.msg);
	if (err && err->code == MR_OK)
		*err = why;
	return -1;
}

/* libvirt does not know what to make of a migration that is not its own. */
static int check_relay(const struct qmp *q, struct mr_error *err)
{
	return qmp_is_libvirts(q)
		       ? error_set(err, MR_REFUSED, MR_NO_OFFSET,
				   "a libvirt domain's migrations are "
				   "libvirt's own (virsh save): only the "
				   "engine direct does without")
		       : 0;
}

int preflight_qemu(struct guest *g, struct qmp *q, struct mr_error *err)
{
	const struct runstate *r = runstate_find(g->status);
	size_t jobs = 0;

	if (check_relay(q, err))
		return -1;
	if (!r || !r->migrates)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"QEMU cannot save itself in run state %s%s", g->status,
			strcmp(g->status, "postmigrate") != 0
				? ""
				: ": send it `cont`, or take the engine "
				  "direct");
	if (g->major < 9)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"QEMU %d.%d cannot save itself to a mapped-ram "
			"image: that came with 9.0",
			g->major, g->minor);
	if (ask_block_jobs(q, &jobs, err))
		return -1;
	if (jobs)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "%zu block job%s at work on this VM's disks: "
				 "QEMU cannot save itself until it is done",
				 jobs, jobs == 1 ? " is" : "s are");
	return refuse_fatal(g, q, err);
}

int preflight_background(struct guest *g, struct qmp *q, uint32_t page_size,
			 struct mr_error *err)
{
	/* From prelaunch, and who knows from what else, QEMU aborts. */
	if (strcmp(g->status, "running") != 0 &&
	    strcmp(g->status, "paused") != 0)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "the VM is in run state %s: a background "
				 "snapshot begins from running or paused",
				 g->status);
	return check_relay(q, err) || refuse_fatal(g, q, err) ||
			       preflight_pages(g, page_size, err)
		       ? -1
		       : 0;
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
		bits = zeros_new(len);
		if (!bits)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for the map of %s",
					 b->name);
		rc = guest_most(g, b, bits, &most, err);
		*bytes += most;
		zeros_free(bits, len);
		if (rc)
			return -1;
	}
	return 0;
}
