/* mr/vm.h - a VM that a verb has to do with. */
#ifndef LIBMR_MR_VM_H
#define LIBMR_MR_VM_H

#pragma GCC visibility push(default)

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
