/* mr/image.h - a file, and what was found in it. */
#ifndef LIBMR_MR_IMAGE_H
#define LIBMR_MR_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

/* Bytes of memory that verbs take from one image: a sparse file can promise
 * more, to keep us busy for days. */
#define MR_MEMORY_MAX (UINT64_C(64) << 40)
#define MR_MEMORY_MAX_TEXT "more than 64 TiB of memory"

enum mr_image_kind {
	MR_IMAGE_FOREIGN, /* nothing that we know */
	MR_IMAGE_MAPPED, /* mapped-ram: memory at fixed places of the file */
	MR_IMAGE_STREAM, /* a plain migration stream: memory page by page */
	MR_IMAGE_DEVICES, /* a stream without memory: device state only */
	/* Not readable as it is: a libvirt save image's body, or all of it
	 * (info->compression), whatever that is then. */
	MR_IMAGE_COMPRESSED,
};

enum mr_section_type {
	MR_SECTION_START,
	MR_SECTION_PART,
	MR_SECTION_END,
	MR_SECTION_FULL,
	MR_SECTION_COMMAND,
};

/* One element of the stream; PARTs of one section, and equal commands, that
 * follow each other are one entry. Bytes and bytes of the file. */
struct mr_section {
	enum mr_section_type type;
	const char *name; /* "ram"; a command's name */
	uint32_t id; /* section id; a command's number */
	uint32_t instance;
	uint32_t version;
	uint32_t count; /* 1; more: so many in a row */
	uint64_t offset; /* where (the first of) it begins */
	uint64_t header; /* bytes before the payload, of one */
	uint64_t payload; /* bytes, all count of them */
	uint64_t length; /* all bytes: headers, payloads, footers */
	/* A device's length is what the vmdescription says, and the footer
	 * was there; false: the footer was searched for. */
	bool described;
};

struct mr_block {
	const char *name;
	uint64_t length; /* bytes of memory that the stream describes */
	uint64_t pages; /* the same in pages */
	uint64_t entry; /* byte of the file: its block list entry */
	uint64_t header; /* mapped-ram: byte of the file of the header */
	uint64_t bitmap_offset; /* mapped-ram: bytes of the file */
	uint64_t bitmap_size; /* mapped-ram: bytes */
	uint64_t pages_offset; /* mapped-ram: where page 0 is */
	uint64_t host_page_size; /* postcopy-ram: if it was said, else 0 */
	uint64_t addr; /* x-ignore-shared: guest-physical */
	/* mapped-ram: false if the memory was left out (x-ignore-shared). */
	bool in_file;
	/* Plain streams: page words. A page may have come several times. */
	uint64_t normal_words, zero_words, xbzrle_words;
	uint64_t compress_words; /* zlib, capability compress */
	uint64_t wire_bytes; /* Plain streams: that the words and data take */
};

/* What libvirt wrote before the stream. */
struct mr_libvirt {
	bool complete; /* false: the save did not end */
	bool big_endian; /* byte order of the host that wrote it */
	bool was_running;
	uint32_t version;
	uint32_t data_length; /* bytes of XML and padding */
	uint32_t cookie_offset; /* in them; 0: no cookie */
	const char *format; /* "raw", "zstd", "sparse", ... */
};

/* When and of which VM an image was made. */
struct mr_label {
	uint64_t made; /* seconds since 1970, UTC; 0: it does not say */
	bool has_uuid;
	uint8_t uuid[16]; /* the VM's */
	char name[256]; /* the VM's; "": it does not say */
	char maker[256]; /* "mrtools 0.1.0"; "": it does not say */
};

/*
 * A pack: a plain migration stream in zstd frames, with an index. The image is
 * that stream: offsets everywhere else count in it as it is unpacked, but for
 * those in errors that begin with "pack:", which are bytes of the file.
 */
struct mr_pack {
	bool whole; /* the index was read: false, what is behind `below` is 0 */
	uint32_t extent_size; /* bytes of memory that a frame has at most */
	/* Only what differs from another pack, which `base` identifies. */
	bool increment;
	uint8_t base[16];
	uint32_t below; /* packs that it needs: 0, all is in it */
	/* An increment that stands alone: why what it needs was not found among
	 * the packs (*.mrp) in its own folder, or cannot be used. "": the
	 * memory is that of all of them together. */
	char alone[256];
	uint8_t identity[16]; /* of this one */
	uint64_t frames;
	uint64_t packed; /* bytes that they have in the file */
	uint64_t unpacked; /* bytes of the stream */
};

struct mr_image_info {
	enum mr_image_kind kind;
	uint64_t file_size;
	uint64_t file_allocated; /* bytes that it takes on the disk */
	const char *compression; /* "zstd", ...: of all of the file; or NULL */
	/* What a foreign file is, for people: "an ELF core: ..."; NULL: who
	 * knows. */
	const char *other;
	bool has_libvirt;
	struct mr_libvirt libvirt;
	bool has_pack; /* kind is MR_IMAGE_STREAM, or the pack is damaged */
	struct mr_pack pack;

	/* The stream. Offsets inside it count from the start of the file. */
	uint64_t stream_offset; /* where "QEVM" is */
	bool has_configuration;
	char machine[256];
	bool mapped_ram; /* capabilities */
	bool ignore_shared;
	bool has_uuid;
	uint8_t uuid[16];
	uint32_t page_size; /* of the target */
	bool page_size_known; /* false: nothing tells, it is assumed */
	/* The configuration says so (target-page-bits); if not, QEMU takes the
	 * least that its target can have. */
	bool page_size_said;
	char run_state[32]; /* what the VM did; "" if not found */

	size_t n_sections;
	const struct mr_section *sections;
	size_t n_blocks;
	const struct mr_block *blocks;
	uint64_t ram; /* bytes of memory, all blocks */
	bool ram_ended; /* there was an END of "ram" */
	uint64_t skipped; /* bytes of memory in a plain stream not looked at */
	uint64_t flushes; /* FLUSH words: multifd channels carried pages */

	bool ended; /* the EOF byte was reached */
	bool has_vmdesc;
	uint64_t vmdesc_offset; /* of the text */
	uint64_t vmdesc_length; /* of the text */
	uint64_t stream_end; /* the byte after all that was understood */
	uint64_t trailing; /* bytes of the file after a stream that ended */
	bool sealed; /* and they begin as a seal of ours does; not checked */
	bool primary; /* or as a COLO primary's checkpoints; likewise */

	/* Why understanding stopped; code MR_OK: it did not. */
	struct mr_error damage;
};

/* Which file it is, and when it was written to, and renamed, last: where one of
 * these differs, it is not what it was. */
struct mr_file_mark {
	uint64_t device, inode, size;
	int64_t written, written_ns; /* since 1970 */
	int64_t changed, changed_ns;
};

struct mr_image; /* opaque; never changes once open: threads may share it */

/*
 * Opens any file and parses all of it that is not page data. A file that
 * breaks its format still opens: info->damage says where it stopped, and the
 * rest what was read before. NULL: it can't be opened or read, or the watch's
 * cancel flag was raised. watch may be NULL.
 */
struct mr_image *mr_image_open(const char *path, enum mr_direct direct,
			       const struct mr_watch *watch,
			       struct mr_error *err);
/*
 * The same for one whose memory is going to be read: of a plain stream it is
 * remembered where each page last came, in 8 bytes of memory for each page and
 * 16 for each change (XBZRLE).
 */
struct mr_image *mr_image_open_memory(const char *path, enum mr_direct direct,
				      const struct mr_watch *watch,
				      struct mr_error *err);
/*
 * The same, but the pages of a plain stream are passed over where it is sure
 * how far they reach (info->skipped), and those of a mapped-ram image are not
 * counted (mr_inspect): all that there is to know of memory then is the list
 * of its blocks.
 */
struct mr_image *mr_image_open_devices(const char *path,
				       const struct mr_watch *watch,
				       struct mr_error *err);
void mr_image_free(struct mr_image *img); /* img may be NULL */

/* Valid, with all it points to, until the image is freed. */
const struct mr_image_info *mr_image_info(const struct mr_image *img);
/*
 * What a pack's label says, or that of a mapped-ram image's seal, which is read
 * and checked for it, without the pages. 1: *out is filled; 0: nothing says it,
 * or it is damaged; -1: the file cannot be read.
 */
int mr_image_label(const struct mr_image *img, struct mr_label *out,
		   struct mr_error *err);

/* What is known of an image by its seal. */
enum mr_seal_state {
	MR_SEAL_UNKNOWN, /* nobody has looked */
	MR_SEAL_ABSENT,
	MR_SEAL_PROVEN, /* all but the pages is as it was sealed */
	MR_SEAL_BROKEN, /* it is not, or the seal is damaged */
	MR_SEAL_FRAMES, /* a pack: every frame is checked when it is read */
};
/*
 * Reads all but the pages and compares it with the seal. 0: *state is one of
 * the latter four, and *why says what is wrong if it is MR_SEAL_BROKEN; -1:
 * the file cannot be read.
 */
int mr_image_seal(const struct mr_image *img, enum mr_seal_state *state,
		  struct mr_error *why, struct mr_error *err);
/* "absent", "proven", "broken", ... */
const char *mr_seal_state_name(enum mr_seal_state state);

/* NULL: no block of that name. */
const struct mr_block *mr_image_find(const struct mr_image *img,
				     const char *name);

/* Words that a block's bitmap has in memory. */
static inline uint64_t mr_block_words(const struct mr_block *b)
{
	return b->pages / 64 + (b->pages % 64 != 0);
}

/*
 * Bitmap words first .. first + n - 1 of a block of this mapped-ram image:
 * page p is bit p % 64 of word p / 64 in host order, set if the file has the
 * page. Bits beyond the last page are cleared. All clear if the block is not
 * in_file. 0 or -1.
 */
int mr_image_bitmap(const struct mr_image *img, const struct mr_block *b,
		    uint64_t first, uint64_t *words, size_t n,
		    struct mr_error *err);

/* What a mapped-ram block holds. */
struct mr_block_use {
	uint64_t present; /* pages that the bitmap says are in the file */
	uint64_t present_end; /* 1 + the last of them; 0: none */
	uint64_t stray; /* bits set beyond the last page: a format error */
	uint64_t allocated; /* bytes of the pages' place not in holes */
};
int mr_image_use(const struct mr_image *img, const struct mr_block *b,
		 struct mr_block_use *out, struct mr_error *err);

/* "mapped-ram", "stream", ... */
const char *mr_image_kind_name(enum mr_image_kind kind);

/* "start", "part", ... */
const char *mr_section_type_name(enum mr_section_type type);

/* ---- its memory ---- */

/*
 * len bytes of a block of an image, or of a plain stream that was opened with
 * mr_image_open_memory, as the guest saw them: pages that it does not have are
 * zero. *present is how many of the bytes it has. 0 or -1.
 */
int mr_image_memory(const struct mr_image *img, const struct mr_block *b,
		    uint64_t offset, void *buf, size_t len, size_t *present,
		    struct mr_error *err);

/* ---- what pages are ---- */

enum mr_page_class {
	/* Not in the file: zero to the guest that is made of a mapped-ram
	 * image; never sent, in a plain stream. */
	MR_PAGE_ABSENT,
	/* In the file, but known to be zero: in a hole of it, or the last
	 * word about it said so. */
	MR_PAGE_ZERO,
	MR_PAGE_PRESENT,
	MR_PAGE_CLASSES,
};

/*
 * Adds up what pages first .. first + n - 1 of a block are; no page is read.
 * MR_UNSUPPORTED: that was not kept track of (a plain stream of more than
 * 1 TiB of memory). 0 or -1.
 */
int mr_image_classes(const struct mr_image *img, const struct mr_block *b,
		     uint64_t first, uint64_t n,
		     uint64_t pages[MR_PAGE_CLASSES], struct mr_error *err);

/* ---- what it all means ---- */

enum mr_verdict {
	MR_VERDICT_SOUND, /* read to its end, nothing amiss */
	MR_VERDICT_FOREIGN, /* not a file that we know */
	MR_VERDICT_DAMAGED, /* info->damage says where */
	/* Nothing is wrong up to where something stands that we do not read:
	 * info->damage says what. The rest was not looked at. */
	MR_VERDICT_UNKNOWN,
	/* A save that was broken off: the bitmaps are all clear although
	 * there are data and the stream does not end; or libvirt says so. */
	MR_VERDICT_INTERRUPTED,
	/* The bitmaps are all clear although there are data, so the image
	 * restores to empty memory: without an END of "ram", which is how
	 * background-snapshot leaves it; and with one. */
	MR_VERDICT_BACKGROUND,
	MR_VERDICT_BLANK,
};

struct mr_inspection {
	enum mr_verdict verdict;
	/* One per block; NULL if not mapped-ram, or opened for its devices. */
	struct mr_block_use *use;
	uint64_t present; /* pages, all blocks, if there is use */
	/* Plain streams: pages of each class, one per block; NULL if not a
	 * plain stream, or if that was not kept track of. */
	uint64_t (*classes)[MR_PAGE_CLASSES];
	bool has_label;
	struct mr_label label; /* as mr_image_label says it */
};

/* Says what the file is, and counts bitmaps and holes. The caller releases
 * *out, on failure too. watch may be NULL. */
int mr_inspect(const struct mr_image *img, const struct mr_watch *watch,
	       struct mr_inspection *out, struct mr_error *err);
void mr_inspection_release(struct mr_inspection *out);

/* "sound", "damaged", ... */
const char *mr_verdict_name(enum mr_verdict verdict);

#pragma GCC visibility pop

#endif
