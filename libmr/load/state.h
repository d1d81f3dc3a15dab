/*
 * state.h - what the ways to load share. Private to libmr/load.
 */
#ifndef LIBMR_LOAD_STATE_H
#define LIBMR_LOAD_STATE_H

#include "libmr/image/loadable.h"
#include "libmr/mr.h"
#include "libmr/vm/guest.h"
#include "libmr/vm/qmp.h"
#include "libmr/vm/work.h"
#include "libmr/wire/outlet.h"

/* Nothing moves: a disk that hangs can be that slow. */
#define STALL_S 300u

/* What plays an image to a QEMU. */
struct player {
	struct wire wire;
	struct outlet out;
	bool out_there; /* to be released */
	struct memory *m;
	int fd; /* our end */
};

#define PLAYER_NONE                         \
	{                                   \
		.wire = WIRE_NONE, .fd = -1 \
	}

/* mr_load's arguments, as mr_error.who counts them. */
enum { LOAD_IMAGE = 1, LOAD_VM = 2 };

struct load {
	const struct mr_load_options *options;
	struct mr_load_report *report;
	struct mr_image *img;
	const struct mr_image_info *info; /* img's */
	struct qmp *q;
	struct guest *guest;
	pid_t pid; /* QEMU's, or 0 */
	uint64_t read_before; /* bytes that QEMU had read when it began */
	bool seen; /* its memory can be looked at */
	struct work work; /* while it loads */
	bool stalled;
	struct player player; /* of way MR_LOAD_SENT */
	bool gone; /* QEMU has ended */
};

/* Seconds. */
static inline unsigned load_patience(const struct load *l)
{
	return l->options->stall ? l->options->stall : STALL_S;
}

/* Lends QEMU one end of a pair of sockets, by its name, with all made ready
 * that can be before there is no way back. */
int player_begin(struct player *p, struct load *l, struct mr_error *err);
/* QEMU reads from it: all of the image, until it says that it has loaded it.
 * If that fails it has ended, or is about to. */
int player_run(struct player *p, struct load *l, struct mr_error *err);
void player_release(struct player *p);

/* Whether QEMU takes the block's memory for being there already. */
bool load_left_out(const struct mr_image_info *image, const struct mr_block *b);

/*
 * Whether the memory of the VM can be looked at, *seen, as fresh_make has to.
 * MR_REFUSED: it cannot, and may hold something already; or it holds
 * nothing where it should. Not with force.
 */
int fresh_look(struct guest *g, struct qmp *q, const struct mr_image *img,
	       bool force, bool *seen, struct mr_error *err);
/* After fresh_look: makes zero what a mapped-ram image leaves alone. */
int fresh_make(struct guest *g, const struct mr_image *img,
	       const struct mr_watch *watch, struct mr_error *err);

/* Tells every reason why the image's VM is not this one, whose target has been
 * asked for, and its files if the image leaves memory to them. Returns how many
 * there are. tell may be NULL. */
size_t load_compare(const struct mr_image_info *image, const struct guest *g,
		    void (*tell)(void *arg, const char *line), void *arg);

#endif
