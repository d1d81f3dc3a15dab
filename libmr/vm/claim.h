/*
 * claim.h - one saver at a time for a VM, whatever socket it came by.
 *
 * Two that stop and resume the same VM would resume it under each other. So a
 * saver holds a name in the abstract socket space that is made of QEMU's
 * process id and start time. It is gone with the last process that holds it,
 * however that ends: the saver, or its guardian while that is bringing the VM
 * back. Anybody may take such a name; but only a holder who could do something
 * to this QEMU counts (root, QEMU's user, our own), and a refusal names its
 * process.
 *
 * It spares trouble, and proves nothing (a saver in another network namespace
 * is not met): still.h does.
 */
#ifndef LIBMR_CLAIM_H
#define LIBMR_CLAIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmr/mr.h"

struct claim {
	int fd; /* -1: none */
	pid_t stranger; /* who has the name, and does not count; 0: nobody */
};

#define CLAIM_NONE       \
	{                \
		.fd = -1 \
	}

/*
 * Take it for the QEMU of process pid (0: not known, nothing is done). look:
 * only see whether somebody has it. MR_REFUSED: somebody has. A holder that
 * has died is waited for some seconds.
 */
int claim_take(struct claim *c, pid_t pid, bool look, struct mr_error *err);
void claim_release(struct claim *c);

#endif
