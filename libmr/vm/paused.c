/* paused.c - a VM that stands still, and stays so, while it is looked at. */
#include "libmr/vm/paused.h"

#include "libmr/base/error.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/claim.h"
#include "libmr/vm/migrate.h"
#include "libmr/vm/pause.h"
#include "libmr/vm/preflight.h"
#include "libmr/vm/runstate.h"

#define CONNECT_MS 5000
/* For an answer: a host that swaps can be slow. */
#define ANSWER_MS 60000

int paused_vm_open(struct paused_vm *v, const char *socket, int pid,
		   bool devices, const atomic_bool *cancel,
		   struct mr_error *err)
{
	struct claim nobody;

	*v = (struct paused_vm){ .q = qmp_open(socket, CONNECT_MS, cancel,
					       err) };
	if (!v->q)
		return -1;
	qmp_limit(v->q, ANSWER_MS, cancel);
	v->guest = guest_open(v->q, pid, err);
	if (!v->guest)
		return -1;
	if (v->guest->running || runstate_is_live(v->guest->status))
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"the VM is %s, its memory changes while it "
			"is read: pause it first (QMP stop), or save it "
			"with mrsave and look at the image",
			v->guest->status);
	if (claim_take(&nobody, v->guest->pid, true, err) ||
	    still_begin(&v->still, v->q, v->guest, err) ||
	    (pid && preflight_process(v->guest, v->q, err)) ||
	    preflight_run_state(v->guest, err) ||
	    (devices && preflight_migrate(v->q, err)))
		return -1;
	v->devices = devices;
	return preflight_direct(v->guest, v->q, err);
}

void paused_vm_release(struct paused_vm *v)
{
	device_state_release(&v->state);
	still_release(&v->still);
	guest_free(v->guest);
	qmp_free(v->q);
	*v = (struct paused_vm){ .q = NULL };
}

/* QEMU has a descriptor of ours meanwhile. */
int paused_vm_devices(struct paused_vm *v, struct mr_error *err)
{
	const struct pause_terms t = { .guard = true, .claim = -1 };
	struct pause p = PAUSE_NONE;
	double none = 0;
	int64_t set;
	int rc = -1;

	if (v->state.data)
		return 0;
	if (!v->devices && preflight_migrate(v->q, err))
		return -1;
	v->devices = true;
	if (!ask_free_fdset(v->q, &set, err) &&
	    !pause_begin(&p, v->q, &t, err) &&
	    !migrate_will(&p, NULL, set, false, err))
		rc = device_state_fetch(&v->state, v->q, set,
					runstate_find(v->guest->status)->image,
					err);
	if (pause_end(&p, false, &none, err))
		rc = -1;
	pause_release(&p);
	return rc;
}

int paused_vm_still(struct paused_vm *v, struct mr_error *err)
{
	return still_prove(&v->still, err);
}
