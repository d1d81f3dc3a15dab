/* paused.h - a VM that stands still, and stays so, while it is looked at. */
#ifndef LIBMR_PAUSED_H
#define LIBMR_PAUSED_H

#include "libmr/mr.h"
#include "libmr/vm/device_state.h"
#include "libmr/vm/guest.h"
#include "libmr/vm/qmp.h"
#include "libmr/vm/still.h"

/* All zero: none. */
struct paused_vm {
	struct qmp *q;
	struct guest *guest; /* mapped */
	struct still still;
	bool devices; /* it may be asked for its device state */
	struct device_state state; /* once it was */
};

/*
 * The VM behind a QMP socket. One that runs is MR_REFUSED. pid 0: the socket's
 * peer. devices: its device state will be wanted. To be released in any case.
 */
int paused_vm_open(struct paused_vm *v, const char *socket, int pid,
		   bool devices, const atomic_bool *cancel,
		   struct mr_error *err);
void paused_vm_release(struct paused_vm *v);

/* Fills v->state, once; MR_REFUSED, if it was not opened for that and cannot be
 * migrated. */
int paused_vm_devices(struct paused_vm *v, struct mr_error *err);

/* As still_prove: fails if it has run since it was opened. */
int paused_vm_still(struct paused_vm *v, struct mr_error *err);

#endif
