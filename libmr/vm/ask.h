/*
 * ask.h - what QEMU is asked and told, and its answers as types.
 *
 * Nobody above this sees JSON. An answer of another form than QEMU's schema
 * has is MR_QMP and names the command; a word that we do not know is an
 * explicit "unknown", which is never taken for a yes. Texts are cut where the
 * caller's room ends only if they are there to be read (reasons); a name that
 * does not fit is an error.
 *
 * Limits of time and cancel flags are q's (qmp_limit).
 */
#ifndef LIBMR_ASK_H
#define LIBMR_ASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

struct qmp;

/* ---- what it is ---- */

struct ask_version {
	int major, minor, micro;
};
/* From the greeting: asks nothing. */
int ask_version(const struct qmp *q, struct ask_version *v,
		struct mr_error *err);

/* The machine type, without "-machine". */
int ask_machine(struct qmp *q, char name[256], struct mr_error *err);
/* Whether it puts no description behind its device state (machine option
 * suppress-vmdesc). */
int ask_undescribed(struct qmp *q, bool *is, struct mr_error *err);
/* CPUs that are there. */
int ask_cpus(struct qmp *q, unsigned *n, struct mr_error *err);
/* A bit for each place (slot * 8 + function) of the first PCI bus that has a
 * device. 1; 0: there is no such bus, or QEMU does not tell; -1. */
int ask_pci(struct qmp *q, uint64_t places[4], struct mr_error *err);
/* The target: "x86_64", "aarch64", ... */
int ask_target(struct qmp *q, char arch[32], struct mr_error *err);
/* The text of x-query-ramblock, for guest_parse_ramblock; to be freed. NULL
 * on failure. */
char *ask_ramblock(struct qmp *q, struct mr_error *err);

/* Names and types of all devices that were plugged in or asked for at the
 * start, a line each; to be freed. */
char *ask_devices(struct qmp *q, struct mr_error *err);

/*
 * Whatever may be the name of a file in what QEMU says of its disks, its
 * character devices and its memory backends; names of other things too.
 */
int ask_file_names(struct qmp *q, void (*name)(void *arg, const char *text),
		   void *arg, struct mr_error *err);

/* Memory that was plugged: a DIMM, virtio-mem, virtio-pmem. */
struct ask_memory_device {
	char memdev[256]; /* its backend: a path of QEMU's objects */
	uint64_t gpa, length; /* bytes that the guest may see it at */
	bool has_path; /* it is on a bus: its block has its path in front */
};
/* Each of them; those of other kinds are left out. */
int ask_memory_devices(struct qmp *q,
		       void (*device)(void *arg,
				      const struct ask_memory_device *d),
		       void *arg, struct mr_error *err);
/* Whether its memory is the RAM block of that name: that is the path of the
 * backend, or its id, which may have the device's path in front. */
bool ask_is_block_of(const struct ask_memory_device *d, const char *block);

/* The files of its memory backends, each with its backend's id. */
int ask_memory_files(struct qmp *q,
		     void (*file)(void *arg, const char *id, const char *path),
		     void *arg, struct mr_error *err);

/* ---- how it is ---- */

/* Who it is, as far as it says: a name that is no text of one line is none. */
struct ask_identity {
	char name[256]; /* "": it has none */
	bool has_uuid;
	uint8_t uuid[16];
};
int ask_identity(struct qmp *q, struct ask_identity *i, struct mr_error *err);

struct ask_status {
	char name[32]; /* run state: "running", "paused", ... */
	bool running; /* vCPUs run */
};
int ask_status(struct qmp *q, struct ask_status *s, struct mr_error *err);

/* How many block jobs (copies of disks) there are. */
int ask_block_jobs(struct qmp *q, size_t *n, struct mr_error *err);

/* ---- its migration ---- */

enum ask_phase {
	ASK_MIGRATION_NONE, /* none since QEMU started */
	ASK_MIGRATION_UNDER_WAY, /* whatever is no end and no such wait: */
	ASK_MIGRATION_WAITS, /* for `migrate-continue` */
	ASK_MIGRATION_WAITS_GUEST, /* for the guest to let a device go */
	ASK_MIGRATION_COMPLETED,
	ASK_MIGRATION_FAILED,
	ASK_MIGRATION_CANCELLED,
	ASK_MIGRATION_UNKNOWN, /* a word that no QEMU that we know has */
};

struct ask_migration {
	enum ask_phase phase;
	char status[32]; /* QEMU's word, "none" if it has none */
	bool blocked; /* QEMU would refuse to migrate */
	char reason[200]; /* the first one, if so */
	char error[200]; /* why it failed, as QEMU says; "": it does not */
	/* Bytes of RAM in all and left to be sent, pages sent as data and as
	 * zeros, bytes of such a page, milliseconds of standstill; 0 where
	 * QEMU does not say. */
	uint64_t total, remaining, normal, duplicate, page_size, downtime;
};
int ask_migration(struct qmp *q, struct ask_migration *m, struct mr_error *err);

/* Whether one has not been put away yet: that is so for a moment after its
 * status says that it is over, and a next one would abort QEMU (10.0, after a
 * background snapshot). False also before QEMU 6.0, which does not tell. */
int ask_migration_there(struct qmp *q, bool *there, struct mr_error *err);

/*
 * Capabilities or parameters of migration: a list of names with values.
 * Parameters of other kinds than these (lists, objects) have none here.
 */
enum ask_kind { ASK_NOTHING, ASK_FLAG, ASK_NUMBER, ASK_TEXT };

struct ask_setting {
	char name[48];
	enum ask_kind kind;
	bool flag;
	int64_t number;
	char text[128];
};

#define ASK_SETTINGS_MAX 64

struct ask_settings {
	struct ask_setting list[ASK_SETTINGS_MAX];
	size_t n;
};
int ask_capabilities(struct qmp *q, struct ask_settings *s,
		     struct mr_error *err);
int ask_parameters(struct qmp *q, struct ask_settings *s, struct mr_error *err);
/* The one of that name, or NULL. */
const struct ask_setting *ask_setting(const struct ask_settings *s,
				      const char *name);
/* Adds one, in the place of one of the same name. -1: no room. */
int ask_settings_add(struct ask_settings *s, const struct ask_setting *one);

/* Sets all of s, which may be empty: then QEMU is not troubled. */
int ask_set_capabilities(struct qmp *q, const struct ask_settings *s,
			 struct mr_error *err);
int ask_set_parameters(struct qmp *q, const struct ask_settings *s,
		       struct mr_error *err);

/* ---- what is left to a guardian ---- */

/*
 * Commands that put these settings back and take the descriptor set away (-1:
 * none), for qmp_rescue: each with its NUL, *len bytes in all; to be freed.
 * cancel: QMP_RESCUE_CANCEL is the first.
 */
char *ask_will(const struct ask_settings *capabilities,
	       const struct ask_settings *parameters, int64_t fdset,
	       bool cancel, size_t *len, struct mr_error *err);
/* The number of a set of descriptors that nobody has, in a range of our own. */
int ask_free_fdset(struct qmp *q, int64_t *set, struct mr_error *err);

/* ---- what it is told ---- */

int ask_stop(struct qmp *q, struct mr_error *err);
int ask_cont(struct qmp *q, struct mr_error *err);
int ask_migrate(struct qmp *q, const char *uri, struct mr_error *err);
/* Of one that waits before its switchover; and no more of it. */
int ask_migrate_continue(struct qmp *q, struct mr_error *err);
int ask_migrate_cancel(struct qmp *q, struct mr_error *err);
/* stay: it must not end itself when that fails (QEMU 9.1 and later). */
int ask_migrate_incoming(struct qmp *q, const char *uri, bool stay,
			 struct mr_error *err);
/* The device state of a paused VM into the file of that name. */
int ask_device_state(struct qmp *q, const char *path, struct mr_error *err);

/* ---- what it tells ---- */

/* The next MIGRATION event: 1 and its phase, 0 if none comes within
 * timeout_ms (0: only those that are there), or -1. */
int ask_migration_event(struct qmp *q, int timeout_ms,
			const atomic_bool *cancel, enum ask_phase *phase,
			struct mr_error *err);
/*
 * Events that come from a VM which does not stand still, or to which somebody
 * does something. ask_undisturbed forgets those that came so far; ask_disturbed
 * names the first kind of them that has come since then and before QEMU
 * answered the last question (NULL: none). However many events come, none of
 * these is missed.
 */
void ask_undisturbed(struct qmp *q);
const char *ask_disturbed(struct qmp *q);

#endif
