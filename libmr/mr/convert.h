/* mr/convert.h - an image of one format into one of another. */
#ifndef LIBMR_MR_CONVERT_H
#define LIBMR_MR_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

enum mr_convert_form {
	MR_CONVERT_BY_NAME, /* what the name of the output ends in */
	MR_CONVERT_MAPPED, /* a mapped-ram image: .mr */
	MR_CONVERT_STREAM, /* a plain migration stream: .stream */
	MR_CONVERT_PACK, /* a pack: .mrp */
	MR_CONVERT_ELF, /* a core for crash, drgn and gdb: .core, .elf */
	MR_CONVERT_KDUMP, /* the same, compressed by makedumpfile: .kdump */
	/* What virsh restore takes; no name says so: */
	MR_CONVERT_LIBVIRT, /* a plain stream behind libvirt's header */
	MR_CONVERT_LIBVIRT_ZSTD, /* the same, compressed */
	MR_CONVERT_LIBVIRT_SPARSE, /* mapped-ram: libvirt 11.2 and later */
	MR_CONVERT_FORMS,
};
/* "mapped", "stream", "pack", "elf", "kdump", "libvirt", "libvirt:zstd",
 * "libvirt:sparse" */
const char *mr_convert_form_name(enum mr_convert_form form);
/* What the name of an output says; MR_CONVERT_BY_NAME: nothing. */
enum mr_convert_form mr_convert_form_of(const char *out);
/* What this build unpacks: "zstd gzip", and "bzip2", "xz", "lzop" where their
 * libraries were there. */
const char *mr_convert_reads(void);

#define MR_CONVERT_LEVEL_MAX 19
#define MR_CONVERT_LEVEL_HEAVY 8
#define MR_CONVERT_DUMP_LEVEL_MAX 31

/* What somebody knows of a block, and no file says. */
struct mr_convert_at {
	const char *block; /* its name */
	bool nowhere; /* a core does not have it */
	uint64_t gpa; /* else: the guest-physical address of its first byte */
	/* QEMU says it: of a block of which somebody said otherwise, or that
	 * cannot be there, as if it had not. */
	bool of_qemu;
};

struct mr_convert_options {
	enum mr_convert_form form;
	/* zstd's: 1 .. MR_CONVERT_LEVEL_MAX; 0: 1, or what is made has none,
	 * and where a full pack is made of packs their frames are copied as
	 * they are, wherever one of them is what the new one has to have. */
	int level;
	/* Threads; 0: as many as there are CPUs, at most 8, and for levels from
	 * MR_CONVERT_LEVEL_HEAVY on at most 3: each takes some 30 MiB there. */
	unsigned jobs;
	/* Bytes a second, of pages that are read, and of those of a mapped-ram
	 * image that are written; 0: no limit. */
	uint64_t limit;
	enum mr_direct direct; /* to read with; a mapped-ram image, to write */
	bool dry_run; /* say how large it would be; nothing is made */
	bool force; /* replace a file that is neither empty nor an image */
	/* Of in, and of base: what is read is compared with what the seal says,
	 * or the pack; MR_REFUSED: there is none. */
	bool verify;
	bool verify_sealed; /* in alone, if it has one */
	bool no_seal; /* of a mapped-ram image: leave the seal out */
	/* A pack becomes an increment: what differs from this pack. NULL: all
	 * of memory. What it stands on is found in its folder later: base and
	 * increment belong side by side. */
	const char *base;
	/* A chain of more than so many packs is not made longer: the pack is a
	 * full one then. 0: it is, up to 65. */
	unsigned full_every;
	/* The VM's, for the label of a pack, or of a mapped-ram image's seal;
	 * NULL: what the input says. UTF-8 without control characters, at most
	 * 255 bytes. */
	const char *name;
	const uint8_t *uuid; /* the same */
	uint64_t made; /* seconds since 1970, UTC; 0: what the input says */
	/* For libvirt: a file with the domain's XML. NULL: what in has, which
	 * is one of libvirt's then. */
	const char *xml;
	/* Of a kdump, what makedumpfile leaves out (its -d): 1 pages of zeros,
	 * 2 and 4 page cache, 8 what processes have, 16 what is free. -1: 1. */
	int dump_level;
	/* For a core: where blocks are of which the image does not say. */
	const struct mr_convert_at *at;
	size_t n_at;
	/* A stream or a pack goes to this descriptor, from front to back, and
	 * out is what messages call it; the caller ignores SIGPIPE. -1: to
	 * the file out. */
	int fd;
	/* The folder of the packs that in, an increment, stands on; NULL: its
	 * own. */
	const char *bases;
	/* What is to be converted comes from this descriptor, from front to
	 * back, and in is what messages call it. -1: from the file in. */
	int in_fd;
	/* What comes so, or is compressed, lies in a file without a name in
	 * this folder (NULL: /var/tmp) while it is worked on. */
	const char *spool;
	uint64_t spool_limit; /* of that, bytes; 0: 5 % of the room stay free */
	struct mr_watch watch;
};
#define MR_CONVERT_OPTIONS_INIT                         \
	{                                               \
		.fd = -1, .in_fd = -1, .dump_level = -1 \
	}

struct mr_convert_report {
	enum mr_convert_form form; /* that was made */
	char machine[256];
	char run_state[32]; /* that the guest comes up in; "": not said */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t data; /* pages that are not zero, bytes */
	uint64_t device; /* bytes of device state, with its description */
	/* Of the files, bytes on the disk: holes do not count. Of a dry run
	 * size is estimated, and data too. */
	uint64_t in_size, size;
	/* Dry run: extents of memory that hold data, and those that were
	 * compressed to know how well they do. */
	uint64_t extents, sampled;
	/* Of a pack: frames of pages, those of them that were copied as they
	 * were, and the bytes of these. */
	uint64_t frames, copied_frames, copied;
	unsigned chain; /* packs that it takes to load this one; 0: no pack */
	/* They are not found from out, where the increment is now: its base is
	 * in another folder. */
	bool apart;
	unsigned jobs; /* threads */
	bool direct_read, direct_write; /* around the page cache */
	bool sealed; /* a mapped-ram image ends in a seal */
	/* A core: CPUs whose registers it has, bytes of data that it
	 * shares with the image; the version of the Linux kernel whose
	 * VMCOREINFO it has ("": of none), and whether its text is mapped. */
	size_t cpus;
	char no_cpus[160]; /* why it has none; "": it has */
	uint64_t shared;
	char release[80];
	bool kernel;
	double seconds;
};

/*
 * Makes of the image in (mapped-ram, plain stream, pack, libvirt's of either;
 * also compressed) the file out, which is absent, the old file, or the complete
 * new one at every instant. err->who: 1 in, 2 out, 3 the base, 4 the XML,
 * 5 the spool. MR_REFUSED: in is no image that can be loaded, out is a file
 * that is not to be replaced, or the base is of no use. MR_USAGE: options that
 * make no sense.
 */
int mr_convert(const char *in, const char *out,
	       const struct mr_convert_options *options,
	       struct mr_convert_report *report, struct mr_error *err);

/* What can be said of it without in: whether options, base and XML are of use,
 * and out can be written. The same errors. */
int mr_convert_check(const char *out, const struct mr_convert_options *options,
		     struct mr_error *err);

#pragma GCC visibility pop

#endif
