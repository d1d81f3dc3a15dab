/*
 * device_state.h - what xen-save-devices-state says of a paused VM.
 *
 * The bytes go through a memory file of ours that is handed to QEMU, so no
 * path is involved: QEMU's user, AppArmor and SELinux rules do not matter and
 * nothing secret lands in a file.
 */
#ifndef LIBMR_DEVICE_STATE_H
#define LIBMR_DEVICE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"
#include "libmr/vm/qmp.h"

struct device_state {
	uint8_t *data; /* stream header, FULL sections with footers, EOF */
	size_t len;
	bool was_suspended; /* a guest that was stopped in S3 */
};

/*
 * Asks QEMU for it. The VM must be paused and have no migration blockers: a
 * device that cannot be migrated makes QEMU crash in this command.
 * set: the descriptor set to use, which is gone afterwards; -1: a new one.
 * run_state replaces the one that the state carries (QEMU always writes
 * "running" there): it decides what a restored VM does.
 */
int device_state_fetch(struct device_state *d, struct qmp *q, int64_t set,
		       const char *run_state, struct mr_error *err);

/* d may be all zero. */
void device_state_release(struct device_state *d);

#endif
