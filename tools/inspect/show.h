/*
 * show.h - what mrinspect found, as text and as JSON: the same content.
 */
#ifndef TOOLS_SHOW_H
#define TOOLS_SHOW_H

#include "tools/common/cli.h"

/* Names that --device may be given. */
#define SHOW_NAMES 256

/* What the options ask for beyond the overview. */
struct show_request {
	char **devices; /* sections by name; NULL: none */
	const char *vmdesc_from; /* a file */
	bool cpu;
	bool vmdesc; /* the description itself */
	char **pages, **gpas, **virts; /* memory by place */
	/* Whose page tables virts are looked up in; SHOW_NO_CPU: the
	 * first one's. */
	int64_t vcpu;
	bool has_cr3; /* other tables of it */
	uint64_t cr3;
	bool log; /* the kernel's messages */
	const uint8_t *find;
	size_t find_len; /* 0: nothing to be found */
	size_t max;
	unsigned jobs;
	enum mr_direct direct;
	int pid; /* of a VM's QEMU; 0: the socket's peer */
	bool packets; /* each of them */
	bool map;
	const char *svg;
};

#define SHOW_NO_CPU (-1)

/* A file. What is found goes to stdout: text, or with cli.json members of the
 * object that is being printed. */
struct show {
	const char *path; /* how the user called it */
	const struct mr_image *img; /* NULL: a VM */
	struct mr_ram *ram; /* a VM's; an image's is opened when needed */
	const struct show_request *request;
};

/* Whether the request is for some of it instead of the overview. */
bool show_is_asked(const struct show_request *r);
/* Whether it is for bytes of memory, too. */
bool show_has_memory(const struct show_request *r);
/* Whether it is for memory and nothing else, as can be had of a VM. */
bool show_is_of_memory(const struct show_request *r);
/* Whether it is for device state and nothing else: no memory need be read. */
bool show_is_of_devices(const struct show_request *r);

/* Each returns an exit status, and has told what went wrong. */
/* All that was asked for. */
int show_asked(const struct show *s);
int show_devices(const struct show *s, const struct mr_devices *d);
int show_cpus(const struct show *s, const struct mr_devices *d);
int show_dumps(const struct show *s);
/* How the virtual CPU that the request names pages, and which one that is. */
int show_paging(const struct show *s, struct mr_paging *p, uint32_t *index);

/* Virtual addresses of what --find found, where that can be told. */
struct virtuals;
/* NULL, with why as a note: it cannot. */
struct virtuals *virtuals_new(const struct show *s);
void virtuals_free(struct virtuals *n); /* n may be NULL */
/* Those of len bytes of a block: how many, and the CPU whose page tables say
 * so. n may be NULL: none. */
size_t virtuals_of(struct virtuals *n, const struct mr_found *found, size_t len,
		   uint64_t out[MR_MAPS], uint32_t *cpu);
int show_find(const struct show *s);
int show_log(const struct show *s);
/* All that was asked for, of the VM behind a QMP socket. */
int show_vm(const char *path, const struct show_request *r);
/* A file or VM of which nothing can be shown. */
int show_failure(const char *path, const struct mr_error *err);
/* A channel of multifd: true, and *status; false: the file is none. */
bool show_packets(const char *path, const struct show_request *r, int *status);
/* A folder that mrrecv --capture made, but for its connections. */
int show_capture(const char *path);
/* To the terminal; to a file if svg is not NULL. */
int show_map(const struct show *s, const char *svg);

/* What --find was given: "0x" and pairs of digits, or a text, which "text:"
 * may precede. The caller frees *bytes, on failure too. */
int show_pattern(const char *text, uint8_t **bytes, size_t *n);

/* What the seal says of all but the pages. */
struct show_seal {
	enum mr_seal_state state; /* MR_SEAL_UNKNOWN: nobody has looked */
	struct mr_error why; /* it is broken */
};

/* The first line: what the file is. */
void show_first(const char *path, const struct mr_image_info *info,
		const struct mr_inspection *in);
/* The same, and what is wrong with it. */
void show_head(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in);
/* Five lines, of a file that is not foreign. path is how the user called it. */
void show_answer(const char *path, const struct mr_image_info *info,
		 const struct mr_inspection *in, const struct show_seal *seal);
/* These, and with -v all of it. */
void show_text(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in, const struct show_seal *seal);

/* "  label         " before a fact. */
void show_label(const char *text);
/* What is wrong with a file, and where; what follows from it. */
void show_damage(const struct mr_image_info *info);
void show_advised(const char *advice);
/* Pages of a plain stream that went elsewhere. */
void show_flushes(const struct mr_image_info *info);
/* Of the former two the answer tells one: is it the damage? */
bool show_is_damage(const struct mr_image_info *info,
		    const struct mr_inspection *in);

/* All files, the last is NULL: a line of each, or an object. */
int show_list(const char *const *paths);

/* Its tables. */
void show_blocks(const struct mr_image_info *info,
		 const struct mr_inspection *in);
void show_sections(const struct mr_image_info *info);

/* What the file is; how it is, to be put behind that; and what follows from
 * it (NULL: nothing to say). */
const char *show_kind(const struct mr_image_info *info);
const char *show_verdict(const struct mr_image_info *info,
			 enum mr_verdict verdict);
const char *show_advice(const struct mr_image_info *info,
			enum mr_verdict verdict);

/* All of it, as members of the object that is being printed. */
void show_json(const char *path, const struct mr_image_info *info,
	       const struct mr_inspection *in, const struct show_seal *seal);

/* 16 bytes as hexadecimal digits. */
#define SHOW_DIGEST 33
const char *show_digest(char buf[SHOW_DIGEST], const uint8_t d[16]);

#endif
