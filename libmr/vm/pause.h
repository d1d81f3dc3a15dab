/*
 * pause.h - a VM held still, that cannot be forgotten so.
 *
 * While a VM that had been running is stopped, a small guardian process holds
 * a copy of the QMP socket. If this process vanishes, however it does, the
 * guardian sends `cont`.
 */
#ifndef LIBMR_PAUSE_H
#define LIBMR_PAUSE_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmr/mr.h"
#include "libmr/vm/qmp.h"

struct pause {
	struct qmp *q;
	bool stopped; /* by us: the VM had been running */
	double since; /* monotonic seconds, of the stop */
	pid_t guardian; /* 0: none */
	bool guarded; /* it has said that it is there */
	int line; /* our end of the socket pair with it, or -1 */
};

#define PAUSE_NONE         \
	{                  \
		.line = -1 \
	}

/* Stops the VM if running says that it runs. Call pause_end in any case: after
 * a failure it may be stopped with the answer lost. claim: a descriptor that
 * the guardian holds as long as it lives (claim.h), or -1. */
int pause_begin(struct pause *p, struct qmp *q, bool running, int claim,
		struct mr_error *err);

/* As pause_begin, but the VM is left running for now: only a process that
 * vanishes makes the guardian send `cont`. For a QEMU that stops the VM
 * itself at the end of its migration. The guardian is still on its way: before
 * anything that may stop the VM, pause_guarded waits for it. */
int pause_watch(struct pause *p, struct qmp *q, bool running, int claim,
		struct mr_error *err);
int pause_guarded(struct pause *p, struct mr_error *err);

/* Lets the VM run again if it was running (resume true), or leaves it as it
 * is; lets the guardian go. Returns -1 if it could not be resumed: *err says
 * what to do. *seconds grows by the time that it stood still. Does nothing
 * the second time. */
int pause_end(struct pause *p, bool resume, double *seconds,
	      struct mr_error *err);

/* Waits until the guardian, which pause_end has let go, is no more; that takes
 * a moment in which there are other things to do. Due in any case. */
void pause_release(struct pause *p);

#endif
