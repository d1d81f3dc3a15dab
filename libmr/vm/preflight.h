/*
 * preflight.h - look before touching: may this VM be saved, and how?
 *
 * Everything here only asks. A refusal is MR_REFUSED and says why; the VM
 * has not noticed anything.
 */
#ifndef LIBMR_PREFLIGHT_H
#define LIBMR_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/vm/guest.h"
#include "libmr/mr.h"
#include "libmr/file/gate.h"
#include "libmr/vm/qmp.h"

/* The VM is in a run state in which it is all there. */
int preflight_run_state(const struct guest *g, struct mr_error *err);
/* No migration blocker, and no migration under way: only then may QEMU be
 * asked for the device state. */
int preflight_migrate(struct qmp *q, struct mr_error *err);

/*
 * The file is not one that the VM itself uses, by what its process has open
 * and by what QEMU says. Where the process cannot be looked at that is not
 * known, and not knowing is a no unless forced.
 */
int preflight_unused(const struct guest *g, struct qmp *q,
		     const struct gate_found *file, bool force,
		     struct mr_error *err);

/* The process that was given as QEMU's (g->pid) is the one behind q: a file
 * that is handed to QEMU shows up there. Where it cannot be looked at that is
 * not known, and no memory can be read either. */
int preflight_process(const struct guest *g, struct qmp *q,
		      struct mr_error *err);

/*
 * What the direct engine needs besides: the right and the means to read the
 * VM's memory (fills g's segments), and no device with state of its own kind
 * (vfio) that only QEMU's migration could save, nor a target with such state
 * (fills g's target).
 */
int preflight_direct(struct guest *g, struct qmp *q, struct mr_error *err);

/* After that, for an image: the target's pages have that many bytes. With any
 * other number QEMU would not load it, or load wrong memory. */
int preflight_pages(const struct guest *g, uint32_t page_size,
		    struct mr_error *err);

/* What the qemu engine needs besides: a QEMU with mapped-ram that is not known
 * to crash (fills g's target), a run state from which it migrates, and no
 * block jobs, which make that fail at its end. */
int preflight_qemu(struct guest *g, struct qmp *q, struct mr_error *err);
/* What a background snapshot needs: a run state over which QEMU does not abort,
 * pages of an image's size (fills g's target). */
int preflight_background(struct guest *g, struct qmp *q, uint32_t page_size,
			 struct mr_error *err);
/* A descriptor that is handed over reaches QEMU: not through every proxy. */
int preflight_descriptors(struct qmp *q, struct mr_error *err);

/* Bytes that the image takes at most in the file system, from what has been
 * touched; g has been mapped. The guest may touch more until it is paused. */
int preflight_estimate(const struct guest *g, uint64_t *bytes,
		       struct mr_error *err);

/* The same without a look at memory: all of it. */
uint64_t preflight_estimate_all(const struct guest *g);

#endif
