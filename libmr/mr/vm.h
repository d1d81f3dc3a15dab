/* mr/vm.h - a VM that a verb has to do with. */
#ifndef LIBMR_MR_VM_H
#define LIBMR_MR_VM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libmr/mr/error.h"

#pragma GCC visibility push(default)

/* Whether a VM is called so: it is a socket, or a domain of libvirt's
 * ("libvirt:DOMAIN", "libvirt+URI:DOMAIN"), which may not be there. */
bool mr_is_vm(const char *name);
/* The latter. */
bool mr_is_domain(const char *name);
/* Whether this build can have one. */
bool mr_has_libvirt(void);
struct mr_domain {
	bool off; /* it does not run */
	uint64_t libvirt; /* if it is off: 11002000 is 11.2.0; 0: not said */
};
/* The XML of one, as libvirt would save it, with its secrets; to be freed. Of
 * one that is off it is that of its next start. NULL: *err says why not. */
char *mr_domain_xml(const char *name, struct mr_domain *is,
		    struct mr_error *err);

enum mr_domain_run { MR_DOMAIN_AS_SAVED, MR_DOMAIN_RUN, MR_DOMAIN_PAUSE };
/* Has libvirt restore one that is off from a save file, which libvirt has to be
 * able to read. MR_REFUSED: it is on. MR_CANCELLED, when cancel was raised:
 * libvirt may go on. 0 or -1. */
int mr_domain_restore(const char *name, const char *path,
		      enum mr_domain_run run, const atomic_bool *cancel,
		      struct mr_error *err);

/* How the VM was left. */
enum mr_vm_fate {
	MR_VM_UNTOUCHED, /* nothing was asked of it but questions */
	MR_VM_AS_FOUND, /* put back into the run state it had */
	MR_VM_PAUSED, /* left paused, as the options asked */
	/* A stopped VM that saved itself: stopped as before, but QEMU calls
	 * it postmigrate and its disks are inactive until `cont`. */
	MR_VM_POSTMIGRATE,
	MR_VM_LOADED, /* by mr_load */
	MR_VM_LOST, /* could not be put back: the error says what to do */
};

/* "untouched", "as found", ... */
const char *mr_vm_fate_name(enum mr_vm_fate fate);

#pragma GCC visibility pop

#endif
