/*
 * devices.h - device sections, decoded; the parts of it.
 *
 *   devices.c          which description belongs to which section
 *   decode.c   one section's payload into fields
 *   described.c        whether a description is that of these sections
 *   cpu.c              what of them are registers
 *   virtual.c          where virtual addresses are, by those
 */
#ifndef LIBMR_DEVICES_H
#define LIBMR_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/vmdesc_text.h"
#include "libmr/mr.h"

/* A longer payload is not looked into. */
#define DEVICE_PAYLOAD_LIMIT ((size_t)256 << 20)
/* Descriptions with more fields, or that are nested deeper, are nonsense. */
#define DEVICE_FIELDS_LIMIT ((size_t)1 << 20)
#define DEVICE_DEPTH_LIMIT 64u

/*
 * Decodes dev->bytes by its description: an object of a text, which must
 * outlive dev. lenient: the description is of another save, so subsections
 * that it has may be missing here. Fills vmsd, version and fields; 0, or -1
 * with *err filled and no fields. Offsets in errors are bytes of the file.
 */
int devices_decode(struct mr_device *dev, const char *text,
		   const struct vmdesc_token *desc, bool lenient,
		   struct mr_error *err);

/*
 * Whether a description (the JSON text) is that of these sections, FULL with
 * footers, and EOF, to the byte: the same in the same order, and each decoded.
 * 0, or -1 with *err filled: why not.
 */
int devices_described(const uint8_t *sections, size_t len, const uint8_t *text,
		      size_t text_len, struct mr_error *err);

/* Whether they are of a machine that is called virt: of ARM's, among others. */
bool devices_are_virt(const struct mr_devices *d);

#endif
