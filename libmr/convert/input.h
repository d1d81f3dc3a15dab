/* input.h - what is to be converted, as a file that can be read anywhere. */
#ifndef LIBMR_CONVERT_INPUT_H
#define LIBMR_CONVERT_INPUT_H

#include "libmr/file/spool.h"
#include "libmr/mr.h"

struct input {
	const char *path; /* to open; of the spool, if there is one */
	uint64_t size; /* bytes that were read to fill the spool, or 0 */
	struct spool spool;
	char spool_path[32];
};
#define INPUT_NONE                   \
	{                            \
		.spool = SPOOL_NONE, \
	}

/*
 * The file in, or what options->in_fd gives. What is compressed, or comes from
 * front to back, is unpacked into a spool; of a libvirt save image its body,
 * and the header says so. An error is about no one unless it is the spool.
 */
int input_open(struct input *i, const char *in,
	       const struct mr_convert_options *options, struct mr_error *err);
void input_release(struct input *i); /* may be INPUT_NONE */

#endif
