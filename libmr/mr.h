/*
 * mr.h - libmr's one public header: what the tools may call.
 *
 * No call here prints, exits or keeps global state. A call that can fail
 * returns 0 or -1 (or a pointer or NULL) and fills the struct mr_error that
 * the caller passed; start it as MR_ERROR_INIT. Strings that a call hands out
 * belong to the handle they came from unless the declaration says otherwise.
 */
#ifndef LIBMR_MR_H
#define LIBMR_MR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- errors ---- */

enum mr_code {
	MR_OK = 0,
	MR_SYS, /* the system said no: err.sys is errno */
	MR_SHORT, /* the file ends too early */
	MR_FORMAT, /* bytes that break the format */
	MR_UNSUPPORTED, /* legal, but not something we do */
	MR_QMP, /* QEMU said no, or stopped talking */
	MR_REFUSED, /* preflight: nothing was touched */
	MR_MISMATCH, /* the image does not fit this VM */
	MR_CANCELLED, /* the caller's cancel flag was raised */
	MR_NOMEM,
	MR_USAGE, /* arguments that make no sense together */
};

#define MR_NO_OFFSET UINT64_MAX

/* Bytes of memory that verbs take from one image: a sparse file can promise
 * more, to keep us busy for days. */
#define MR_MEMORY_MAX (UINT64_C(64) << 40)
#define MR_MEMORY_MAX_TEXT "more than 64 TiB of memory"

struct mr_error {
	enum mr_code code;
	int sys; /* errno, or 0 */
	uint64_t offset; /* byte in the file, or MR_NO_OFFSET */
	char msg[240]; /* no path, no newline, no full stop */
};
#define MR_ERROR_INIT                                 \
	{                                             \
		.code = MR_OK, .offset = MR_NO_OFFSET \
	}

/* ---- what every long verb takes ---- */

enum mr_direct {
	MR_DIRECT_AUTO, /* direct I/O where the file system gives it */
	MR_DIRECT_ON, /* fail rather than go through the page cache */
	MR_DIRECT_OFF,
};

/* How a verb talks to its caller while it runs. Start as { 0 }. */
struct mr_watch {
	/* Called now and then from one thread at a time; NULL: not wanted.
	 * done and total are bytes of memory dealt with. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* One line worth telling with -v: no newline. NULL: not wanted. */
	void (*note)(void *arg, const char *line);
	void *arg;
	/* Raised by a signal handler: the verb undoes its work and returns
	 * MR_CANCELLED. NULL: cannot be cancelled. */
	const atomic_bool *cancel;
};

/* ---- saving: mr_save ---- */

enum mr_engine {
	MR_ENGINE_AUTO, /* direct where the preflight allows it */
	MR_ENGINE_DIRECT, /* we read the paused VM's memory from outside */
	MR_ENGINE_QEMU, /* QEMU migrates itself to the file */
};

/* Whether shared memory is written from where it is, without a copy. It costs
 * less CPU, but unless the memory is on huge pages it is slower. */
enum mr_zero_copy {
	MR_ZERO_COPY_AUTO, /* memory on huge pages */
	MR_ZERO_COPY_ON, /* all shared memory */
	MR_ZERO_COPY_OFF,
};

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

struct mr_save_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	enum mr_direct direct;
	enum mr_engine engine;
	enum mr_zero_copy zero_copy; /* engine direct */
	int pid; /* of QEMU; 0: the peer of the QMP socket */
	bool check_only; /* preflight and estimate, nothing else */
	bool leave_paused; /* do not resume a VM that was running */
	bool live; /* engine qemu: let the guest run meanwhile */
	bool any_room; /* start although the file system may be too full */
	/* Leave the seal out. Engine qemu writes none: it would have to read
	 * the image again. */
	bool no_seal;
	struct mr_watch watch;
};
#define MR_SAVE_OPTIONS_INIT \
	{                    \
		.jobs = 0    \
	}
#define MR_JOBS_MAX 64u

struct mr_save_report {
	enum mr_engine engine; /* the one that was taken */
	char why[240]; /* engine auto took qemu: because of this */
	enum mr_vm_fate vm;
	char machine[256];
	char run_state[32]; /* the VM's, as found; it is in the image */
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t untouched; /* of them never touched: not even read */
	uint64_t scanned; /* read and looked at */
	uint64_t zero; /* scanned and found zero */
	uint64_t data; /* pages in the image, bytes */
	uint64_t written; /* bytes handed to the file for them */
	uint64_t device; /* bytes of device state */
	uint64_t size; /* of the image file */
	uint64_t room; /* free in the file system beforehand */
	uint64_t estimate; /* room that the image may take at most */
	double seconds; /* in all */
	double paused; /* seconds for which the guest stood still */
	bool direct; /* page data went around the page cache */
	bool sealed; /* the image ends in a seal */
	unsigned jobs;
};

/*
 * Saves the VM behind the QMP socket vm into the file image. image is absent,
 * the old file, or the complete new one at every instant. Fails with
 * MR_REFUSED if the preflight says no: the VM was not touched then. *report
 * is filled as far as things went, on failure too; report->vm says how the VM
 * was left in any case.
 */
int mr_save(const char *vm, const char *image,
	    const struct mr_save_options *options,
	    struct mr_save_report *report, struct mr_error *err);

/* "direct", "qemu", "auto". */
const char *mr_engine_name(enum mr_engine engine);
/* "untouched", "as found", ... */
const char *mr_vm_fate_name(enum mr_vm_fate fate);

/* ---- looking into a file: mr_image ---- */

enum mr_image_kind {
	MR_IMAGE_FOREIGN, /* nothing that we know */
	MR_IMAGE_MAPPED, /* mapped-ram: memory at fixed places of the file */
	MR_IMAGE_STREAM, /* a plain migration stream: memory page by page */
	MR_IMAGE_DEVICES, /* a stream without memory: device state only */
	MR_IMAGE_COMPRESSED, /* libvirt's, body not readable as it is */
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

struct mr_image_info {
	enum mr_image_kind kind;
	uint64_t file_size;
	uint64_t file_allocated; /* bytes that it takes on the disk */
	bool has_libvirt;
	struct mr_libvirt libvirt;

	/* The stream. Offsets inside it count from the start of the file. */
	uint64_t stream_offset; /* where "QEVM" is */
	bool has_configuration;
	char machine[256];
	bool mapped_ram; /* capabilities */
	bool ignore_shared;
	bool has_uuid;
	uint8_t uuid[16];
	uint32_t page_size; /* of the target */
	bool page_size_known; /* false: nothing tells, 4096 assumed */
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

	/* Why understanding stopped; code MR_OK: it did not. */
	struct mr_error damage;
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

/* ---- its memory: mr_image_memory, mr_image_gpa, mr_find ---- */

/*
 * len bytes of a block of a mapped-ram image as the guest saw them: pages
 * that the image does not have are zero. *present is how many of the bytes it
 * has. 0 or -1.
 */
int mr_image_memory(const struct mr_image *img, const struct mr_block *b,
		    uint64_t offset, void *buf, size_t len, size_t *present,
		    struct mr_error *err);

/* "START" or "START+LENGTH" as people write them: numbers as in C, with an
 * optional K M G T behind. *length is 0 for the former; a length of 0 is
 * refused. Nothing but text is looked at. 0 or -1. */
int mr_parse_range(const char *text, uint64_t *start, uint64_t *length);

struct mr_place {
	const struct mr_block *block; /* the image's */
	uint64_t offset; /* in it, bytes */
	uint64_t length; /* that many bytes go on like that; at least 1 */
	char how[160]; /* in words: what this was derived from */
};

/* Where the byte at a guest-physical address of a pc or q35 machine is.
 * MR_UNSUPPORTED: another machine, or no RAM or firmware there. 0 or -1. */
int mr_image_gpa(const struct mr_image *img, uint64_t gpa, struct mr_place *out,
		 struct mr_error *err);

struct mr_find_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	/* AUTO reads around the page cache what is not in it. The image must
	 * have been opened with the same. */
	enum mr_direct direct;
	size_t max; /* stop after that many; not 0 */
	struct mr_watch watch;
};

struct mr_found {
	const struct mr_block *block; /* the image's */
	uint64_t offset; /* in it, bytes */
};

struct mr_find_report {
	size_t n_found;
	struct mr_found *found; /* the first ones, in order */
	bool more; /* there are more, or not all was looked at */
	size_t left_out; /* blocks whose memory the image does not have */
	uint64_t ram; /* bytes of the other blocks */
	uint64_t read; /* bytes of them read */
	bool direct; /* around the page cache */
	double seconds;
};

#define MR_FIND_MAX 4096u /* bytes */

/*
 * All places in the memory of a mapped-ram image where these bytes stand,
 * within one block each; they may overlap. The caller releases *report, on
 * failure too. 0 or -1.
 */
int mr_find(const struct mr_image *img, const void *bytes, size_t len,
	    const struct mr_find_options *options,
	    struct mr_find_report *report, struct mr_error *err);
void mr_find_release(struct mr_find_report *report);

/* ---- device state, field by field: mr_devices ---- */

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

/* ---- registers: mr_cpus ---- */

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

/* A virtual CPU of a 64-bit x86 machine. */
struct mr_cpu {
	uint32_t index;
	bool described; /* found by their names; false: by their places */
	bool halted;
	size_t n_regs;
	struct mr_register regs[48];
	size_t n_segments;
	struct mr_segment segments[12];
};

/* The registers of all CPUs, in the order of the sections; the caller frees
 * *out. MR_UNSUPPORTED: there are none, or not of such a machine. */
int mr_cpus(const struct mr_devices *d, struct mr_cpu **out, size_t *n,
	    struct mr_error *err);

/* ---- what pages are: mr_image_classes ---- */

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

/* ---- mrinspect ---- */

enum mr_verdict {
	MR_VERDICT_SOUND, /* read to its end, nothing amiss */
	MR_VERDICT_FOREIGN, /* not a file that we know */
	MR_VERDICT_DAMAGED, /* info->damage says where */
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
};

/* Says what the file is, and counts bitmaps and holes. The caller releases
 * *out, on failure too. watch may be NULL. */
int mr_inspect(const struct mr_image *img, const struct mr_watch *watch,
	       struct mr_inspection *out, struct mr_error *err);
void mr_inspection_release(struct mr_inspection *out);

/* "mapped-ram", "stream", ... */
const char *mr_image_kind_name(enum mr_image_kind kind);
/* "sound", "damaged", ... */
const char *mr_verdict_name(enum mr_verdict verdict);
/* "start", "part", ... */
const char *mr_section_type_name(enum mr_section_type type);

/* ---- loading: mr_load, mr_load_memory ---- */

/* What the guest does once it is loaded. */
enum mr_load_then {
	MR_THEN_AS_SAVED, /* runs exactly if it ran when it was saved */
	MR_THEN_RUN,
	MR_THEN_PAUSE,
};

struct mr_load_options {
	unsigned jobs; /* channels, at most MR_JOBS_MAX; 0: 8 */
	enum mr_direct direct;
	enum mr_load_then then;
	bool check_only; /* compare image and VM, nothing else */
	/* Called with each reason why the image does not fit the VM: a line
	 * without newline. NULL: only counted. */
	void (*mismatch)(void *arg, const char *line);
	void *mismatch_arg;
	struct mr_watch watch;
};
#define MR_LOAD_OPTIONS_INIT \
	{                    \
		.jobs = 0    \
	}

struct mr_load_report {
	enum mr_vm_fate vm; /* MR_VM_AS_FOUND: it still waits */
	char machine[256]; /* the image's */
	char saved[32]; /* run state in the image; "": it does not say */
	char run_state[32]; /* the VM's, at the end */
	size_t mismatches;
	size_t blocks;
	uint64_t ram; /* bytes of RAM that the image describes */
	uint64_t data; /* of them in the image; plain streams: 0, unknown */
	double seconds;
	bool direct; /* QEMU reads page data around the page cache */
	unsigned jobs; /* multifd channels; 0: without multifd */
};

/*
 * Has the QEMU behind the QMP socket vm, which was started with -incoming
 * defer, load the file image. MR_REFUSED and MR_MISMATCH: the image or the VM
 * is not fit for it, and the VM was not touched. *report is filled as far as
 * things went, on failure too.
 */
int mr_load(const char *image, const char *vm,
	    const struct mr_load_options *options,
	    struct mr_load_report *report, struct mr_error *err);

/* One block's memory, and the file that is to hold it. */
struct mr_memory {
	const char *block; /* its name */
	const char *path;
};

struct mr_memory_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	enum mr_direct direct; /* for the image, and for files on disks */
	struct mr_watch watch;
};
#define MR_MEMORY_OPTIONS_INIT \
	{                      \
		.jobs = 0      \
	}

struct mr_memory_report {
	uint64_t ram; /* bytes of the blocks, and so of the files */
	uint64_t data; /* of them in the image */
	uint64_t read; /* from the image */
	uint64_t written; /* the rest are holes, where there can be holes */
	uint64_t huge; /* of them read straight into huge pages of tmpfs */
	bool direct_read, direct_write; /* the latter: every file */
	unsigned jobs;
	double seconds;
};

/*
 * Writes blocks of a mapped-ram image into memory files, each as long as its
 * block. A file that exists is overwritten in place and holds nothing of its
 * old content afterwards, nor do pages that the image lacks; after a failure
 * it is not to be used. A new one appears whole or not at all, mode 0600.
 * *which is the entry of memory that an error is about; n: the image.
 */
int mr_load_memory(const char *image, const struct mr_memory *memory, size_t n,
		   const struct mr_memory_options *options,
		   struct mr_memory_report *report, size_t *which,
		   struct mr_error *err);

/* ---- mrverify ---- */

enum mr_finding_kind {
	/* Structure. */
	MR_FINDING_UNREADABLE, /* a bad sector: taken for zeros */
	MR_FINDING_FOREIGN, /* no image at all */
	MR_FINDING_STREAM, /* the stream breaks its format, or breaks off */
	MR_FINDING_LAYOUT, /* a rule of mapped-ram is broken */
	MR_FINDING_TRAILING, /* bytes behind the stream that are no seal */
	/* Meaning. */
	MR_FINDING_INTERRUPTED, /* a save that did not end */
	MR_FINDING_BACKGROUND, /* data, all bitmaps clear, no END of "ram" */
	MR_FINDING_BLANK, /* data, all bitmaps clear */
	MR_FINDING_MISSING, /* present pages that lie in a hole */
	MR_FINDING_STALE, /* data in the place of pages not present */
	MR_FINDING_WASTE, /* present pages that are all zero */
	MR_FINDING_DOUBTFUL, /* bitmaps that are not those of the pages */
	/* Integrity. */
	MR_FINDING_NO_SEAL,
	MR_FINDING_SEAL, /* the seal itself is damaged */
	MR_FINDING_FRONT, /* libvirt's header does not agree with the seal */
	MR_FINDING_HEADER, /* nor does a block's header area */
	MR_FINDING_BITMAP, /* nor a block's bitmap */
	MR_FINDING_PAGES, /* nor do pages */
	MR_FINDING_TAIL, /* nor does the device state */
	MR_FINDINGS
};

struct mr_page_range {
	uint64_t first, pages;
};

/* Ranges that a finding lists; of more only the number is known. */
#define MR_FINDING_RANGES 1000u

struct mr_finding {
	enum mr_finding_kind kind;
	bool damage; /* false: worth knowing, but the image is sound */
	const char *block; /* NULL: not about one */
	uint64_t first, pages; /* pages of the block; 0, 0: not about pages */
	uint64_t count; /* how many of these pages; 0: not known */
	/* Which, in order: the first MR_FINDING_RANGES of them. NULL: the
	 * finding is about all, or it is not known. */
	const struct mr_page_range *ranges;
	uint64_t n_ranges; /* how many there are, listed or not */
	uint64_t offset; /* byte of the file, or MR_NO_OFFSET */
	uint64_t length; /* bytes; 0: not known */
	char text[240]; /* one line for people, without the path */
};

struct mr_verify_options {
	unsigned jobs; /* as in mr_save_options */
	enum mr_direct direct;
	/* Look only at part subset (1 .. subsets) of the pages: all subsets
	 * together are all pages. subsets 0: everything. */
	unsigned subset, subsets;
	/* Or at a part of about so many bytes of data: part number turn, from
	 * 0, round and round. 0: everything. */
	uint64_t subset_bytes;
	uint64_t turn;
	bool need_seal; /* an image without one is damaged */
	bool repair; /* mend what can be mended without guessing */
	bool seal; /* add a seal if there is none */
	const char *output; /* mend and seal a copy; NULL: the image itself */
	/* Each finding, in the same order whatever jobs is. NULL: not told. */
	void (*found)(void *arg, const struct mr_finding *f);
	/* Each change that was made: a line. NULL: not told. */
	void (*did)(void *arg, const char *line);
	void *arg; /* of these two */
	struct mr_watch watch;
};

struct mr_verify_report {
	bool sound; /* no damage; with repair: none is left */
	bool sealed; /* there is a whole seal (as found) */
	bool changed; /* something was written */
	enum mr_image_kind kind;
	unsigned damages, notes; /* findings; as found */
	unsigned subset, subsets; /* the part that was looked at; 0, 0: all */
	uint64_t ram; /* bytes of memory that the image describes */
	uint64_t data; /* bytes of pages that its bitmaps have */
	uint64_t read; /* bytes read and looked at */
	uint64_t unreadable, stale, waste, missing; /* pages */
	bool direct; /* pages were read around the page cache */
	double seconds;
};

/*
 * Says whether a file is a sound image: 0 and report->sound. -1 is trouble: it
 * could not be told. With repair, seal and no output the file is locked for
 * writing (an OFD lock) first; MR_SYS if somebody else has it. Only mapped-ram
 * images can be mended or sealed.
 */
int mr_verify(const char *path, const struct mr_verify_options *options,
	      struct mr_verify_report *report, struct mr_error *err);

/* "stale", "missing", ... */
const char *mr_finding_kind_name(enum mr_finding_kind kind);

/* ---- comparing: mr_diff ---- */

/* The two that are compared. */
enum mr_side { MR_A, MR_B, MR_SIDES };

/*
 * What a page is in both memories. A page without a bit in an image, one in a
 * hole, and one that is all zero are the same thing: zero. Data that an image
 * holds under a clear bit is not looked at.
 */
enum mr_diff_class {
	MR_DIFF_ZERO, /* zero in both */
	MR_DIFF_EQUAL, /* the same data in both */
	MR_DIFF_CHANGED, /* data in both, but not the same */
	MR_DIFF_ONLY_A, /* data in A, zero in B */
	MR_DIFF_ONLY_B, /* zero in A, data in B */
	MR_DIFF_CLASSES,
};

struct mr_diff_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	/* AUTO reads around the page cache what is not in it. */
	enum mr_direct direct;
	int pid; /* of QEMU, where a side is a VM; 0: the socket's peer */
	/* Compare only this: "BLOCK", "BLOCK:OFFSET" (one page) or
	 * "BLOCK:OFFSET+LENGTH" (see mr_parse_range); device state is left out
	 * then. NULL: everything. */
	const char *only;
	bool memory_only; /* leave the device state out */
	/* Stop at the first difference: nothing but `same` means much then. */
	bool brief;
	struct mr_watch watch;
};

/* A RAM block, or two of the same name. */
struct mr_diff_block {
	const char *name;
	struct {
		bool listed; /* this side has a block of that name */
		bool in_file; /* and its memory: x-ignore-shared may not */
		uint64_t length; /* bytes */
	} of[MR_SIDES];
	/* Bytes compared: of the lesser length, or of what `only` says; 0 if
	 * one side has no memory for it. */
	uint64_t offset, compared;
	uint64_t pages[MR_DIFF_CLASSES]; /* of them, mr_diff_info.page_size */
	/* On both sides, of one length (if not only a part was wanted), and no
	 * page differs. */
	bool same;
};

/* Bytes of a device section that differ. */
struct mr_diff_bytes {
	uint64_t offset; /* in the payload, bytes */
	uint64_t length; /* bytes */
};

/* A device section, or two of the same name and instance. */
struct mr_diff_section {
	const char *name;
	uint32_t instance;
	struct {
		bool listed;
		uint32_t version;
		uint64_t offset; /* byte of the file where the payload is */
		uint64_t length; /* bytes of payload */
	} of[MR_SIDES];
	/* Where the common part of the payloads differs, in order. */
	size_t n_bytes;
	const struct mr_diff_bytes *bytes;
	uint64_t differing; /* bytes, all of them */
	bool same; /* on both sides, of one version and length, and equal */
};

/* A field of device sections that differs, or an element of an array. */
struct mr_diff_field {
	const char *path; /* "nested/env.regs[3]": names, structs first */
	/* Of the section's device; NULL: this side does not have it. */
	const struct mr_field *of[MR_SIDES];
	/* Of the field, the same on both sides. */
	uint64_t element;
	/* The field and not an element: a struct that only one side has, or
	 * one of another version; a field of another size or kind. */
	bool whole;
};

struct mr_diff_fields {
	const struct mr_device *device[MR_SIDES];
	size_t n; /* in the order of the payload */
	const struct mr_diff_field *fields;
	bool cut; /* there are more: it did not end */
};

struct mr_diff_info {
	bool same; /* all that was compared */
	struct {
		bool is_vm;
		char machine[256]; /* machine type; "": not said */
		uint64_t read; /* bytes of pages */
	} of[MR_SIDES];
	uint32_t page_size; /* what a "page" is here: the smaller of the two */
	size_t n_blocks; /* in the order of A, then those of B alone */
	const struct mr_diff_block *blocks;
	uint64_t pages[MR_DIFF_CLASSES]; /* of all blocks */
	bool has_sections; /* device state was compared */
	size_t n_sections; /* in the order of A, then those of B alone */
	const struct mr_diff_section *sections;
	double seconds;
};

struct mr_diff; /* opaque */

/*
 * Compares two of: a mapped-ram image, the QMP socket of a paused VM. A VM
 * that runs is MR_REFUSED; one that ran while it was compared is MR_QMP. The
 * VM stays as it is. NULL on failure: *side is whose fault it is, MR_SIDES if
 * that cannot be told.
 */
struct mr_diff *mr_diff(const char *a, const char *b,
			const struct mr_diff_options *options,
			enum mr_side *side, struct mr_error *err);
/* d may be NULL. VMs are let go here. */
void mr_diff_free(struct mr_diff *d);

/* Valid, with all it points to, until d is freed. */
const struct mr_diff_info *mr_diff_info(const struct mr_diff *d);

/* Adds up what the pages first .. first + n - 1 of a block are; those that
 * were not compared count nowhere. */
void mr_diff_count(const struct mr_diff *d, size_t block, uint64_t first,
		   uint64_t n, uint64_t pages[MR_DIFF_CLASSES]);

/* The next pages that differ, all in the same way, at or after *first: moves
 * *first to them and returns how many; 0: no more. */
uint64_t mr_diff_next(const struct mr_diff *d, size_t block, uint64_t *first,
		      enum mr_diff_class *what);

/* The content of a page that was compared, page_size bytes. 0 or -1. */
int mr_diff_page(const struct mr_diff *d, size_t block, uint64_t page,
		 enum mr_side side, void *buf, struct mr_error *err);

/*
 * The fields in which a section differs that both sides have; the caller
 * frees them while d lives. A side without a vmdescription borrows the other
 * one's, or if that has none either that of the image `from` (NULL: none),
 * which is the same in all calls and outlives d. NULL with MR_UNSUPPORTED or
 * MR_FORMAT: no description fits, and only bytes can be told.
 */
struct mr_diff_fields *mr_diff_fields_new(struct mr_diff *d, size_t section,
					  const struct mr_image *from,
					  struct mr_error *err);
void mr_diff_fields_free(struct mr_diff_fields *f); /* f may be NULL */

/* "zero", "equal", "changed", "only in A", "only in B". */
const char *mr_diff_class_name(enum mr_diff_class c);

#endif
