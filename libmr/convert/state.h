/* state.h - what the parts of mr_convert share. */
#ifndef LIBMR_CONVERT_STATE_H
#define LIBMR_CONVERT_STATE_H

#include <sys/stat.h>

#include "libmr/image/plain.h"
#include "libmr/convert/base.h"
#include "libmr/file/io.h"
#include "libmr/memory/memory.h"
#include "libmr/mr.h"

/* mr_error.who */
enum { CONVERT_IN = 1, CONVERT_OUT, CONVERT_BASE };

struct convert {
	const struct mr_convert_options *options;
	struct mr_convert_report *report;
	struct mr_image *img;
	struct stat was; /* the file in, before it was read */
	const struct mr_image_info *info;
	struct memory *m;
	struct plain_state state;
	struct base base; /* open, if it is wanted */
	uint64_t growing; /* bytes of the output that memory makes */
};

/* All of it as a pack, or a plain stream. */
int convert_pour(struct convert *x, struct io *io, struct mr_error *err);

/* How large the output would be, into the report. */
int convert_estimate(struct convert *x, struct mr_error *err);

#endif
