/* command.h - a command that runs while the guest stands still. */
#ifndef TOOLS_SAVE_COMMAND_H
#define TOOLS_SAVE_COMMAND_H

#include "libmr/mr.h"

/* What it may take at most, in seconds: a guest whose saver shows no life for
 * five minutes is resumed. */
enum { COMMAND_SECONDS = 60, COMMAND_SECONDS_MAX = 240 };

struct command {
	const char *text; /* for sh -c */
	unsigned seconds; /* what it may take */
};

/* Puts what the command is told of into the environment: MR_VM and MR_IMAGE.
 * -1: no memory. */
int command_tell(const char *vm, const char *image);

/*
 * For mr_save_options.while_paused, with a struct command: runs it, in a
 * session of its own, its output to stderr. It has failed if its exit status is
 * not 0, if it takes too long, and if we get a signal; then it is ended, and
 * all of its process group.
 */
int command_run(void *command, struct mr_error *err);

#endif
