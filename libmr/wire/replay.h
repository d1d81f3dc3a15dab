/* replay.h - a capture, taken in as if its source were there. */
#ifndef LIBMR_REPLAY_H
#define LIBMR_REPLAY_H

#include "libmr/wire/capture.h"
#include "libmr/wire/intake.h"

/* The main connection, for intake_init: a descriptor, or -1. */
int replay_main(const struct capture *c, struct mr_error *err);

/* What was made with that: its channels are those of c, which was opened and
 * stays so, and nobody is answered. */
void replay_begin(struct intake *in, struct capture *c);

#endif
