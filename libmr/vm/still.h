/*
 * still.h - proof that a VM stood still.
 *
 * That a VM was stopped at the start does not mean that it stayed so: anybody
 * at another monitor may resume it, reset it, or plug something in, and a
 * `stop` may be answered by something that does not stop. Whoever makes one
 * picture out of many reads begins with still_begin and believes the picture
 * when still_prove has said so.
 */
#ifndef LIBMR_STILL_H
#define LIBMR_STILL_H

#include "libmr/mr.h"
#include "libmr/vm/guest.h"
#include "libmr/vm/qmp.h"

struct still {
	struct qmp *q;
	const struct guest *guest;
	char status[32]; /* run state at the beginning */
	char *blocks, *devices; /* as QEMU listed them */
};

/*
 * The VM has to stand still from here on: its run state and RAM blocks are
 * looked at anew (into g, see guest_refresh), and it is an error if it lives.
 * still_release is due in any case.
 */
int still_begin(struct still *s, struct qmp *q, struct guest *g,
		struct mr_error *err);
/* It did, and is what it was: else an error that says what came between. */
int still_prove(struct still *s, struct mr_error *err);
/* s may be all zero. */
void still_release(struct still *s);

#endif
