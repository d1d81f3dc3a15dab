/* device_state.c - fetch, check and correct the device state. */
#include "libmr/vm/device_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/stream.h"
#include "libmr/base/error.h"
#include "libmr/vm/ask.h"

/* More than any machine has; guards our memory against a confused QEMU. */
#define STATE_MAX ((off_t)1 << 30)

/* Runs the command into fd, a memory file open for writing only. */
static int save_into(struct qmp *q, int64_t id, int fd, struct mr_error *err)
{
	int64_t set = qmp_add_fd(q, id, fd, err);
	char path[48];
	int rc;

	if (set < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/dev/fdset/%" PRId64, set);
	rc = ask_device_state(q, path, err);
	/* A set that stays behind is a leak in QEMU, no reason to fail. */
	(void)qmp_remove_fdset(q, set, NULL);
	return rc;
}

static int check(const struct device_state *d, struct mr_error *err)
{
	struct fault f;

	if (stream_header_decode(d->data, d->len, &f) < 0)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's device state has no stream header: %s",
				 f.what);
	if (d->len <= STREAM_HEADER_SIZE || d->data[d->len - 1] != STREAM_EOF)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's device state of %zu bytes is cut off",
				 d->len);
	return 0;
}

static int set_run_state(struct device_state *d, const char *run_state,
			 struct mr_error *err)
{
	struct stream_globalstate g;
	struct fault f;
	size_t at;

	if (stream_find_full(d->data, d->len, STREAM_GLOBALSTATE, 0, 1,
			     STREAM_GLOBALSTATE_SIZE, &at) != 1)
		return error_set(
			err, MR_QMP, MR_NO_OFFSET,
			"QEMU's device state has no single globalstate "
			"section to put the run state into");
	if (stream_globalstate_decode(d->data + at, d->len - at, &g, &f) < 0)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU's globalstate section: %s", f.what);
	d->was_suspended = g.has_vm_was_suspended && g.vm_was_suspended;
	if (strlen(run_state) >= sizeof(g.runstate))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "run state %.40s is too long", run_state);
	memset(g.runstate, 0, sizeof(g.runstate));
	memcpy(g.runstate, run_state, strlen(run_state));
	(void)stream_globalstate_encode(d->data + at, &g);
	return 0;
}

int device_state_fetch(struct device_state *d, struct qmp *q, int64_t set,
		       const char *run_state, struct mr_error *err)
{
	int mem = memfd_create("device-state", MFD_CLOEXEC), wr = -1;
	char self[32];
	struct stat st;
	int rc = -1;

	*d = (struct device_state){ 0 };
	if (mem < 0)
		return error_sys(err, MR_NO_OFFSET, "no memory file");
	/* QEMU takes a descriptor for writing only, and only such a one. */
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", mem);
	wr = open(self, O_WRONLY | O_CLOEXEC);
	if (wr < 0) {
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot reopen the memory file");
		goto out;
	}
	if (save_into(q, set, wr, err))
		goto out;
	if (fstat(mem, &st) || st.st_size <= 0 || st.st_size > STATE_MAX) {
		(void)error_set(err, MR_QMP, MR_NO_OFFSET,
				"QEMU wrote no sensible device state");
		goto out;
	}
	d->len = (size_t)st.st_size;
	d->data =
		mmap(NULL, d->len, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (d->data == MAP_FAILED) {
		d->data = NULL;
		(void)error_sys(err, MR_NO_OFFSET,
				"cannot map the device state");
		goto out;
	}
	rc = check(d, err) || set_run_state(d, run_state, err) ? -1 : 0;
out:
	(void)close(mem);
	if (wr >= 0)
		(void)close(wr);
	if (rc)
		device_state_release(d);
	return rc;
}

void device_state_release(struct device_state *d)
{
	if (d->data)
		(void)munmap(d->data, d->len);
	*d = (struct device_state){ 0 };
}
