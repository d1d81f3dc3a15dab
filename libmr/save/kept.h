/*
 * kept.h - descriptions of device state, kept from one save for others.
 *
 * The description of a VM's device state costs a migration of all of its
 * private memory, and hardly ever changes: it tells of fields, not of what is
 * in them. So one that came is kept in a folder of the user's, a file each:
 *
 *   KEY-LENGTH-DIGEST.json
 *
 *   KEY     hexadecimal, of QEMU's version and the machine type
 *   LENGTH  decimal, bytes of the device state that it is of
 *   DIGEST  hexadecimal, of the text
 *
 * Whatever is found there is only taken for the device state that it fits to
 * the byte (devices_described), section for section; a folder or a file of
 * somebody else's is not looked at. Nothing here waits or fails: without a
 * folder nothing is kept.
 */
#ifndef LIBMR_SAVE_KEPT_H
#define LIBMR_SAVE_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "libmr/vm/guest.h"

/* Files that are looked at for a save, and that the folder may hold; longer
 * texts are not kept. */
#define KEPT_TRIES 8
#define KEPT_FILES ((size_t)64)
#define KEPT_SIZE ((size_t)4 << 20)

struct kept {
	struct kept_text {
		uint64_t device; /* bytes of device state */
		uint8_t *text; /* malloc's */
		size_t len;
	} all[KEPT_TRIES];
	size_t n;
};

/* Those of this QEMU and machine type, the newest first. */
void kept_load(struct kept *k, const char *folder, const struct guest *g);
void kept_release(struct kept *k); /* k may be { 0 } */

/* Keeps one of `device` bytes of device state; of too many the oldest go. */
void kept_add(const char *folder, const struct guest *g, uint64_t device,
	      const void *text, size_t len);

#endif
