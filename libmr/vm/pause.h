/*
 * pause.h - a VM held still, that cannot be forgotten so.
 *
 * While a VM that had been running is stopped, a small guardian process holds
 * a copy of the QMP socket. If this process vanishes, however it does, the
 * guardian sends `cont`, and after that the commands of the will that it was
 * left. It opens the connection anew if that is lost. A process that does not
 * show itself for five minutes (pause_alive) has vanished, too: it is halted,
 * or waits for a storage that has gone.
 */
#ifndef LIBMR_PAUSE_H
#define LIBMR_PAUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "libmr/file/output.h"
#include "libmr/mr.h"
#include "libmr/vm/qmp.h"

struct pause_terms {
	bool live; /* the VM lives: it is to be stopped, and resumed */
	bool guard; /* a guardian even if it does not: to carry out the will */
	bool attend; /* the same, but pause_end lets it go */
	bool limited; /* a save of QEMU's own has a limit, to be lifted */
	int claim; /* a descriptor that the guardian holds (claim.h), or -1 */
	/* The VM was stopped for this, which is open: once it is published
	 * the guardian leaves the VM as it is. NULL: it does not. */
	const struct output *stays;
	int quiet_ms; /* instead of those five minutes, if not 0 */
	const atomic_bool *cancel; /* ends waiting for QEMU sooner; or NULL */
};

struct pause {
	struct qmp *q;
	const atomic_bool *cancel;
	bool stopped; /* by us: the VM had been running */
	double since; /* monotonic seconds, of the stop */
	double shown; /* of the last pause_alive */
	pid_t guardian; /* 0: none */
	bool guarded; /* it has said that it is there */
	bool keep; /* pause_end does not let it go */
	int line; /* our end of the socket pair with it, or -1 */
};

#define PAUSE_NONE         \
	{                  \
		.line = -1 \
	}

/* Stops the VM if it lives. Call pause_end in any case: after a failure it may
 * be stopped with the answer lost. */
int pause_begin(struct pause *p, struct qmp *q, const struct pause_terms *t,
		struct mr_error *err);

/* As pause_begin, but the VM is left running for now: only a process that
 * vanishes makes the guardian send `cont`. For a QEMU that stops the VM
 * itself at the end of its migration. The guardian is still on its way: before
 * anything that may stop the VM, pause_guarded waits for it. */
int pause_watch(struct pause *p, struct qmp *q, const struct pause_terms *t,
		struct mr_error *err);
int pause_guarded(struct pause *p, struct mr_error *err);

/* Something has moved. May be called at any time, often; it waits for nothing.
 * Without effect for a VM that is to stay paused. */
void pause_alive(struct pause *p);

#define PAUSE_WILL_MAX 16384
/* What the guardian is to send after all else, if this process vanishes:
 * commands (QMP_RESCUE_ID), each with its NUL, len bytes in all; one to cancel
 * a migration, if it is the first, before all else. Takes the
 * place of the will before. Without a guardian nothing is left. */
int pause_will(struct pause *p, const char *will, size_t len,
	       struct mr_error *err);

/* Lets the VM run again if it was running (resume true), or leaves it as it
 * is; lets the guardian go. A connection that is lost is opened again. Returns
 * -1 if the VM could not be resumed: *err says what to do; if QEMU says nothing
 * the guardian goes on trying for some minutes. *seconds grows by the time that
 * it stood still. Does nothing the second time. */
int pause_end(struct pause *p, bool resume, double *seconds,
	      struct mr_error *err);

/* Lets the guardian go, where pause_end did not: it stays until then if there
 * is a will that was to be carried out (terms.guard). */
void pause_dismiss(struct pause *p);

/* There is still something to be put back, and no way for us to do it: the
 * guardian does now what it would if this process vanished. */
void pause_hand_over(struct pause *p);

/* Waits until the guardian, which pause_end has let go, is no more; that takes
 * a moment in which there are other things to do. Due in any case. */
void pause_release(struct pause *p);

#endif
