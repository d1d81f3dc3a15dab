/* mr/devices.h - device state, field by field; registers. */
#ifndef LIBMR_MR_DEVICES_H
#define LIBMR_MR_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/image.h"

#pragma GCC visibility push(default)

enum mr_field_kind {
	MR_FIELD_OPAQUE, /* bytes whose meaning only QEMU knows */
	MR_FIELD_UINT,
	MR_FIELD_INT,
	MR_FIELD_BOOL,
	MR_FIELD_TIMER, /* nanoseconds; -1: off */
	MR_FIELD_FLOAT,
	MR_FIELD_BUFFER, /* bytes that mean bytes */
	MR_FIELD_UNUSED, /* bytes that mean nothing */
	MR_FIELD_TEXT,
	MR_FIELD_BITMAP, /* u64 words, big-endian, bit 0 in the first */
	MR_FIELD_NULL, /* an element of an array of pointers */
	MR_FIELD_STRUCT,
	MR_FIELD_SUBSECTION, /* a struct that may be missing in a stream */
};

/*
 * A field of a device's state. All fields of a device lie in one array in the
 * order of their bytes: a struct, and right behind it its parts, which may be
 * structs too. An array of structs is a field for each; any other array is
 * one field with a count, or several that go on with each other.
 */
struct mr_field {
	enum mr_field_kind kind;
	unsigned depth; /* 0: not in a struct */
	const char *name; /* as in the description; from the file */
	const char *type; /* the same; "" for a subsection */
	uint32_t version; /* STRUCT, SUBSECTION */
	uint64_t offset; /* in the payload, bytes */
	uint64_t size; /* of one element, bytes */
	uint64_t count; /* elements, one behind the other; mostly 1 */
	bool array; /* they are elements of the array `name` */
	uint64_t index; /* array: which the first one is */
	size_t parts; /* STRUCT, SUBSECTION: fields behind it that are in it */
};

/* One section, in memory. */
struct mr_device {
	const struct mr_section *section; /* the image's */
	uint64_t offset; /* byte of the file where the payload is */
	uint64_t size; /* bytes of payload */
	const uint8_t *bytes;
	/* Its description was found and fits; false: why not. */
	bool decoded;
	struct mr_error why;
	const char *vmsd; /* the state's name in QEMU; "" if not decoded */
	size_t n_fields; /* 0 if not decoded */
	struct mr_field *fields;
};

struct mr_value {
	/* The field's; OPAQUE if the bytes cannot be of that kind. */
	enum mr_field_kind kind;
	union {
		uint64_t u; /* UINT, BOOL */
		int64_t i; /* INT, TIMER */
		double d; /* FLOAT */
		char text[256]; /* TEXT */
	};
	const uint8_t *bytes; /* of any kind; the device's */
	uint64_t size;
};

struct mr_devices; /* opaque; does not change once open */

/*
 * The device sections of an image with their descriptions: those that the
 * image itself holds, or those of `from`, another save of the same machine
 * (matched by name and instance; NULL: its own). Both images must outlive it.
 * An image without a proper description opens all the same. NULL: no memory,
 * or it can't be read.
 */
struct mr_devices *mr_devices_open(const struct mr_image *img,
				   const struct mr_image *from,
				   struct mr_error *err);
void mr_devices_free(struct mr_devices *d); /* d may be NULL */

/* Sections 0 .. count - 1, in stream order. */
size_t mr_devices_count(const struct mr_devices *d);
const struct mr_section *mr_devices_section(const struct mr_devices *d,
					    size_t i);
/* Reads and decodes section i; the caller frees it, before the images of d.
 * NULL: no memory, or it can't be read. */
struct mr_device *mr_devices_read(const struct mr_devices *d, size_t i,
				  struct mr_error *err);
void mr_device_free(struct mr_device *dev); /* dev may be NULL */

/* Element 0 .. count - 1 of a field of dev. */
void mr_field_value(const struct mr_device *dev, const struct mr_field *field,
		    uint64_t element, struct mr_value *out);

/*
 * The image's description as it is: one JSON text of ASCII. The caller frees
 * it. NULL: there is none, or it is not that, or it can't be read.
 */
char *mr_image_description(const struct mr_image *img, struct mr_error *err);

/* ---- registers ---- */

struct mr_register {
	const char *name; /* "RAX" */
	uint64_t value;
};

struct mr_segment {
	const char *name; /* "CS"; also "LDT", "TR", "GDT", "IDT" */
	uint32_t selector;
	uint64_t base;
	uint32_t limit;
	uint32_t flags; /* the descriptor's second word */
};

/* A virtual CPU of a 64-bit x86 machine; or of an aarch64 virt machine: X0 ..
 * X30, SP, PC, PSTATE, no segments, by their places. */
struct mr_cpu {
	bool arm;
	uint32_t index;
	bool described; /* found by their names; false: by their places */
	bool halted;
	bool nested; /* x86: it is inside a guest of its own */
	size_t n_regs;
	struct mr_register regs[48];
	size_t n_segments;
	struct mr_segment segments[12];
};

/* The registers of all CPUs, in the order of the sections; the caller frees
 * *out. MR_UNSUPPORTED: there are none, or not of such a machine. */
int mr_cpus(const struct mr_devices *d, struct mr_cpu **out, size_t *n,
	    struct mr_error *err);

#pragma GCC visibility pop

#endif
