/*
 * target.h - what a QEMU emulates, as far as it shows in an image: the
 * architecture, and the size of its pages.
 */
#ifndef LIBMR_TARGET_H
#define LIBMR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/mr.h"

struct qmp;

struct vm_target {
	char arch[32]; /* "x86_64" */
	uint32_t page_size; /* bytes; 0: QEMU does not tell */
	/* Bytes of the least pages that this architecture has, which are those
	 * of a stream that does not say; 0: an architecture that we do not
	 * know. */
	uint32_t page_least;
	enum vm_target_state {
		/* An architecture that was not tried, or with more state than
		 * RAM and device sections. */
		VM_TARGET_OTHER,
		/* That is all: seen to hold, save to load, on a real QEMU. */
		VM_TARGET_PLAIN,
		/* QEMU crashes when it is asked for its state, by any means. */
		VM_TARGET_FATAL,
	} state;
};

/* Asks q, which stays as it is. 0 or -1. */
int target_ask(struct vm_target *t, struct qmp *q, struct mr_error *err);

/* What a stream has to say of the page size: its log2; 0: nothing. */
unsigned int target_page_bits(const struct vm_target *t);

#endif
