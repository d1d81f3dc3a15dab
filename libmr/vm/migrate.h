/*
 * migrate.h - QEMU's own migration to or from a file: what it must be told
 * beforehand. Private to libmr.
 */
#ifndef LIBMR_MIGRATE_H
#define LIBMR_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/vm/ask.h"
#include "libmr/vm/guest.h"
#include "libmr/mr.h"
#include "libmr/vm/pause.h"
#include "libmr/vm/qmp.h"

struct migrate_form {
	bool mapped_ram; /* false: a plain stream */
	bool background; /* background-snapshot: into a socket */
	bool ignore_shared; /* memory in shared files is left out */
	/* Into a socket whose other end will refuse the VM (return path): QEMU
	 * keeps its disks meanwhile, as it does for COLO. */
	bool refused;
	unsigned channels; /* of multifd; 0: without */
	bool direct; /* direct-io; without effect before QEMU 9.1 */
	bool events; /* have MIGRATION events sent */
	uint64_t limit; /* bytes a second, at most INT64_MAX; 0: none */
};

/* What was changed, as it was. */
struct migrate_settings {
	struct ask_settings capabilities, parameters;
};

#define MIGRATE_SETTINGS_NONE       \
	{                           \
		.capabilities.n = 0 \
	}

bool migrate_has_direct(const struct guest *g);

/*
 * Asks for the settings: those that are to be changed for the form, as they are
 * (*was) and as they are to be (*set): all that does not go with it is put off.
 * MR_REFUSED: something is on that is not known here.
 */
int migrate_look(struct qmp *q, const struct guest *g,
		 const struct migrate_form *form, struct migrate_settings *was,
		 struct migrate_settings *set, struct mr_error *err);
int migrate_set(struct qmp *q, const struct migrate_settings *set,
		struct mr_error *err);
/* Of a migration that goes on with a limit: it has none any more. */
int migrate_unlimit(struct qmp *q, struct mr_error *err);
/* Sets it back, as well as can be. */
int migrate_restore(struct qmp *q, const struct migrate_settings *was);

/*
 * Leaves it to the guardian of p to put those settings back (NULL: none), and
 * to take the descriptor set away; cancel: a migration that is under way is
 * ours, and to be cancelled before.
 */
int migrate_will(struct pause *p, const struct migrate_settings *was,
		 int64_t fdset, bool cancel, struct mr_error *err);

/*
 * Hands the file of fd to QEMU in descriptor set `set` (ask_free_fdset), opened
 * anew with access (O_RDONLY or O_WRONLY: QEMU takes no other than it asks
 * for), and once more with O_DIRECT if direct.
 */
int migrate_add_file(struct qmp *q, int64_t set, int fd, int access,
		     bool direct, struct mr_error *err);
/* The same to be read from byte `at` on, by the name QMP_LENT_FD: for a QEMU
 * without file: (before 8.2). */
int migrate_lend_file(struct qmp *q, int fd, uint64_t at, struct mr_error *err);

#endif
