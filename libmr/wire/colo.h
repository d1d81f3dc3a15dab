/*
 * colo.h - a stream that is a COLO primary's goes on (formats/colo.md).
 *
 * Behind intake_first the primary's VM stands still until colo_ready, and in
 * each checkpoint from colo_take to colo_done.
 */
#ifndef LIBMR_COLO_H
#define LIBMR_COLO_H

#include "libmr/wire/intake.h"

/* All of the first migration is in safe hands: the VM goes on. */
int colo_ready(struct intake *in, struct mr_error *err);

/* Waits until a checkpoint is due: 1; 0: the connection has ended instead; or
 * -1. */
int colo_wait(struct intake *in, struct mr_error *err);

/* Stops the VM and takes what has changed: memory into the sink, device state
 * into *t, which is { 0 } before: its bytes are FULL sections and EOF. */
int colo_take(struct intake *in, struct tail *t, struct mr_error *err);

/* It is in safe hands: the VM goes on. */
int colo_done(struct intake *in, struct mr_error *err);

#endif
