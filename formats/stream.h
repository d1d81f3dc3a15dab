/*
 * stream.h - QEMU's migration stream: the container (stream.md).
 *
 *   header          51 45 56 4d ("QEVM"), u32 version = 3
 *   configuration   07, u32 n, n bytes machine type name,
 *                   { 05, str8 "configuration/...", u32 version, fields }*
 *   elements, each opened by its type byte:
 *     01 START      u32 section id, str8 idstr, u32 instance, u32 version,
 *                   payload, footer
 *     02 PART       u32 section id, payload, footer
 *     03 END        u32 section id, payload, footer
 *     04 FULL       as START
 *     08 COMMAND    u16 command, u16 length, length bytes
 *     00 EOF        ends the elements
 *   vmdescription   06, u32 n, n bytes of JSON            (after EOF; optional)
 *
 *   footer          7e, u32 section id of the section it closes
 *   str8            u8 n = 1..255, n bytes, no NUL                     (name.h)
 *
 * All integers are big-endian. No section carries its own length. Facts from
 * QEMU 10.0 migration/savevm.c, vmstate.c, global_state.c, checked on files
 * made by QEMU 10.0.2.
 *
 * Every decoder takes the bytes that begin with its item and returns how many
 * it consumed, or -1 with *f filled; f->at counts from buf. FAULT_SHORT means
 * that more bytes are needed to say. Nothing is read past len.
 */
#ifndef FORMATS_STREAM_H
#define FORMATS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"

#define STREAM_MAGIC UINT32_C(0x5145564d)

enum {
	STREAM_VERSION = 3,
	STREAM_HEADER_SIZE = 8,
	STREAM_FOOTER_SIZE = 5,
	STREAM_VMDESC_HEADER_SIZE = 5,
	/* The longest element header: START or FULL with a 255-byte idstr. */
	STREAM_ELEMENT_MAX = 1 + 4 + 1 + 255 + 4 + 4,
	/* The longest configuration that we read or write, and the one byte
	 * after it that says that it has ended. */
	STREAM_CONFIG_MAX = 512,
};

enum stream_type {
	STREAM_EOF = 0x00,
	STREAM_START = 0x01,
	STREAM_PART = 0x02,
	STREAM_END = 0x03,
	STREAM_FULL = 0x04,
	STREAM_SUBSECTION = 0x05, /* only inside payloads */
	STREAM_VMDESC = 0x06,
	STREAM_CONFIG = 0x07, /* only right after the header */
	STREAM_COMMAND = 0x08,
	STREAM_FOOTER = 0x7e, /* only at the end of a section */
};

/* ---- header ---- */

/* 8 bytes. FAULT_UNSUPPORTED for a version other than 3. */
ssize_t stream_header_decode(const uint8_t *buf, size_t len, struct fault *f);
size_t stream_header_encode(uint8_t buf[STREAM_HEADER_SIZE]);

/* ---- configuration ---- */

struct stream_config {
	char machine[NAME_SIZE]; /* "pc-i440fx-10.0"; may be empty */
	bool mapped_ram; /* capability mapped-ram */
	bool ignore_shared; /* capability x-ignore-shared */
	bool has_capabilities; /* the capabilities subsection was there */
	bool has_uuid;
	uint8_t uuid[16];
	/* log2 of the target page size, 10..16; 0: not in the stream, which
	 * means the least that the target knows (12 nearly everywhere). */
	unsigned int target_page_bits;
};

/*
 * The configuration with all its subsections, from its 07 byte. The byte
 * after it must be in the buffer too (only that byte says that no further
 * subsection follows); it is not counted as consumed. Unknown capabilities
 * and unknown configuration subsections are FAULT_UNSUPPORTED: they may
 * change what follows. A subsection that comes twice is FAULT_BAD.
 */
ssize_t stream_config_decode(const uint8_t *buf, size_t len,
			     struct stream_config *out, struct fault *f);

/* Writes the subsections in QEMU's order and returns the bytes written. A
 * capabilities subsection is written if a capability is on. */
size_t stream_config_encode(uint8_t buf[STREAM_CONFIG_MAX],
			    const struct stream_config *c);

/* The version that a machine type ends in, "pc-i440fx-10.0": 256 * major +
 * minor, so that later ones are greater; 0: it has none. What QEMU sends, and
 * what it takes, depends on it. */
unsigned int stream_machine_version(const char *machine);
#define STREAM_MACHINE(major, minor) ((major)*256U + (minor))

/* ---- elements ---- */

struct stream_element {
	enum stream_type type;
	uint32_t section_id; /* START PART END FULL FOOTER */
	char idstr[NAME_SIZE]; /* START FULL; else empty */
	uint32_t instance_id; /* START FULL */
	uint32_t version_id; /* START FULL */
	uint16_t command; /* COMMAND: enum stream_command */
	uint32_t length; /* COMMAND, VMDESC: bytes that follow */
};

/*
 * The header of one element; payload, command data, JSON text are left to
 * the caller. Handles EOF, START, PART, END, FULL, FOOTER, COMMAND and VMDESC;
 * where each may stand is the caller's business. A command must be known and
 * have a length that QEMU accepts. Any other type byte is FAULT_BAD.
 */
ssize_t stream_element_decode(const uint8_t *buf, size_t len,
			      struct stream_element *out, struct fault *f);

/* The reverse; returns the bytes written. e->type must be one that the
 * decoder handles. */
size_t stream_element_encode(uint8_t buf[STREAM_ELEMENT_MAX],
			     const struct stream_element *e);

/* 5 bytes, which must be the footer of section_id. */
ssize_t stream_footer_decode(const uint8_t *buf, size_t len,
			     uint32_t section_id, struct fault *f);
size_t stream_footer_encode(uint8_t buf[STREAM_FOOTER_SIZE],
			    uint32_t section_id);

/* The 5 bytes before a vmdescription of json_len bytes. Length 0 is legal
 * and keeps QEMU from warning about a missing description. */
size_t stream_vmdesc_encode(uint8_t buf[STREAM_VMDESC_HEADER_SIZE],
			    uint32_t json_len);

/* "start", "part", ...; NULL for a byte that is no element type. */
const char *stream_type_name(unsigned int type);

/* ---- commands ---- */

enum stream_command {
	STREAM_CMD_OPEN_RETURN_PATH = 1,
	STREAM_CMD_PING = 2,
	STREAM_CMD_POSTCOPY_ADVISE = 3,
	STREAM_CMD_POSTCOPY_LISTEN = 4,
	STREAM_CMD_POSTCOPY_RUN = 5,
	STREAM_CMD_POSTCOPY_RAM_DISCARD = 6,
	STREAM_CMD_PACKAGED = 7,
	STREAM_CMD_ENABLE_COLO = 8,
	STREAM_CMD_POSTCOPY_RESUME = 9,
	STREAM_CMD_RECV_BITMAP = 10,
	STREAM_CMD_SWITCHOVER_START = 11, /* QEMU >= 10.0 */
};

/* "ping", "postcopy-advise", ...; NULL for an id that QEMU 10.0 lacks. */
const char *stream_command_name(unsigned int command);

/* The data of a 16-byte POSTCOPY_ADVISE. */
struct stream_advise {
	uint64_t block_page_sizes; /* OR over the host pages of all blocks */
	uint64_t target_page_size;
};

ssize_t stream_advise_decode(const uint8_t *buf, size_t len,
			     struct stream_advise *out, struct fault *f);

/* ---- globalstate ---- */

/*
 * The section that says what the VM was doing: FULL, idstr "globalstate",
 * instance 0, version 1, payload 104 bytes:
 *
 *   off  size  field
 *     0     4  strlen(runstate) + 1
 *     4    32  run state, NUL-terminated: "running", "paused", ...
 *    36     1  has_vm_was_suspended, 0 or 1
 *    37     1  vm_was_suspended, 0 or 1
 *    38    66  unused
 */
#define STREAM_GLOBALSTATE "globalstate"
enum {
	STREAM_GLOBALSTATE_SIZE = 104,
	STREAM_RUNSTATE_SIZE = 32, /* with the NUL */
};

struct stream_globalstate {
	char runstate[STREAM_RUNSTATE_SIZE];
	bool has_vm_was_suspended;
	bool vm_was_suspended;
};

ssize_t stream_globalstate_decode(const uint8_t *buf, size_t len,
				  struct stream_globalstate *out,
				  struct fault *f);
/* Writes all 104 bytes; those unused become 0. */
size_t stream_globalstate_encode(uint8_t buf[STREAM_GLOBALSTATE_SIZE],
				 const struct stream_globalstate *g);

/*
 * Looks in buf for FULL sections (idstr, instance_id, version_id) by their
 * bytes, whatever their section id, where a payload of payload_len bytes is
 * closed by the right footer. Sections have no length, so this is how to find
 * one without a description. Returns how many there are; *payload is the
 * first one's payload, counted from buf. Only a result of 1 is trustworthy:
 * bytes that look like a section may stand inside another's payload.
 */
size_t stream_find_full(const uint8_t *buf, size_t len, const char *idstr,
			uint32_t instance_id, uint32_t version_id,
			size_t payload_len, size_t *payload);

#endif
