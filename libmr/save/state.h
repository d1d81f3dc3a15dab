/*
 * state.h - what mr_save's two engines share. Private to libmr/save.
 */
#ifndef LIBMR_SAVE_STATE_H
#define LIBMR_SAVE_STATE_H

#include "libmr/file/gate.h"
#include "libmr/image/base.h"
#include "libmr/image/writer.h"
#include "libmr/file/output.h"
#include "libmr/save/kept.h"
#include "libmr/vm/claim.h"
#include "libmr/vm/guest.h"
#include "libmr/vm/migrate.h"
#include "libmr/mr.h"
#include "libmr/vm/pause.h"
#include "libmr/vm/qmp.h"
#include "libmr/vm/runstate.h"

/* mr_save's arguments, as mr_error.who counts them. */
enum { SAVE_VM = 1, SAVE_IMAGE = 2, SAVE_BASE = 3, SAVE_REPLACES = 4 };

struct save {
	const char *image;
	const struct mr_save_options *options;
	struct mr_save_report *report;
	struct qmp *q;
	struct guest *guest;
	const struct runstate
		*found; /* as found, looked at last before the hold */
	bool was_live; /* it has to be stopped, and resumed */
	/* The image can be loaded by who has the same UUID only: QEMU sends it
	 * with validate-uuid. */
	bool keep_uuid;
	struct gate_found replaced; /* what stood where it is to be */
	struct image_base base; /* { 0 }: none */
	struct claim claim;
	struct pause pause;
	bool describe; /* its device state is to be described, with these */
	struct migrate_settings describe_was, describe_set;
	bool describe_left; /* which were not put back */
	struct kept kept; /* descriptions of earlier saves */
	int64_t fdset; /* the descriptor set that QEMU gets from us */
	/* of QEMU's own save: when it moved last, and where it was */
	double moved;
	uint64_t remaining, normal;
};

/* What the image may replace. */
static inline enum gate_rule save_rule(const struct save *s)
{
	return s->options->force ? GATE_ANY_FILE : GATE_IMAGE;
}

/* Each saves, publishes, and puts the VM back; report->vm says how. */
int save_direct(struct save *s, struct mr_error *err);
int save_qemu(struct save *s, struct mr_error *err);
int save_background(struct save *s, struct mr_error *err);
/* Whether QEMU and its host can, as far as QEMU tells when it is asked to get
 * ready; it is left as it was. */
int save_background_can(struct save *s, struct mr_error *err);

/* ---- what its device state means ---- */

struct save_description {
	uint8_t *text; /* malloc's; NULL: there is none */
	size_t len;
};
/* Before the hold: whether it can be had, and s->describe. */
void save_describe_look(struct save *s);
/* While the VM stands still: asks for it. 0, also if there is none for a reason
 * that the report has; -1: the VM is not as it was, or that is not known. */
int save_describe(struct save *s, struct save_description *d,
		  struct mr_error *err);
/* Puts it, or one of an earlier save, to the device state, if it is of that to
 * the byte. It stays d's, or s's. */
void save_describes(struct save *s, const struct save_description *d,
		    struct image_device *state);
/* Keeps a fresh one for later saves: the guest need not wait for this. */
void save_keep(struct save *s, const struct image_device *state);
void save_description_release(struct save_description *d); /* d may be { 0 } */

/* ---- QEMU's own migration, whatever it goes to ---- */

/* What QEMU has of ours: to be taken back, by the guardian if need be. */
struct save_lent {
	struct migrate_settings was;
	bool set; /* settings may be ours, and there may be descriptors */
};
int save_lend(struct save *s, const struct migrate_form *form,
	      struct save_lent *lent, struct mr_error *err);
/* The guest need not wait for this. */
int save_take_back(struct save *s, const struct save_lent *lent);
/* What a look at it says: 1 completed, 0 goes on, -1 failed. */
int save_judge(struct save *s, const struct ask_migration *m,
	       struct mr_error *err);
/* Until QEMU tells of a change, a cancel is raised, or a tick is over. */
int save_tick(struct save *s, const atomic_bool *cancel, struct mr_error *err);
/* Whatever came of it, until it is over. */
void save_wait_end(struct save *s);

/* Takes what s->guest says for the state in which the VM is found, if it can
 * be saved in it. */
int save_found(struct save *s, struct mr_error *err);
/* Looks at the run state once more, then stops the VM, to fill o, if it lives;
 * watch: only has a guardian watch it. save_resume is due in any case. */
int save_hold(struct save *s, const struct output *o, bool watch,
	      struct mr_error *err);
/* After that: what the image says of its moment and of the VM. */
void save_label(const struct save *s, struct image_writer *w);
/* Tells the caller where memory was plugged, if that is wanted. */
int save_memory_devices(struct save *s, struct mr_error *err);
/* Calls what the caller wants done before the guest goes on, if anything. */
int save_while_paused(struct save *s, struct mr_error *err);
/* Opens a connection that was lost again. 0 if there is one. */
int save_reach(struct save *s);
/* Lets the guardian go, when all has been put back; else leaves it to it. */
void save_let_go(struct save *s, bool all);
/* Lets the VM go on as the options and its state before ask, and records it
 * in the report. failed: the save did not work out. So a VM that is to stay
 * paused has its image published before. */
int save_resume(struct save *s, bool failed, struct mr_error *err);

/* What is replaced is nothing of the VM's. again: only if it is not any more
 * what was looked at the last time. */
int save_spare(struct save *s, bool again, struct mr_error *err);
/* The finished image gets its name, or is given to who takes it without. */
int save_publish(struct save *s, struct output *o, struct mr_error *err);

#endif
