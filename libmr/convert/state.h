/* state.h - what the parts of mr_convert share. */
#ifndef LIBMR_CONVERT_STATE_H
#define LIBMR_CONVERT_STATE_H

#include <sys/stat.h>

#include "libmr/image/plain.h"
#include "libmr/convert/base.h"
#include "libmr/convert/input.h"
#include "libmr/file/io.h"
#include "libmr/file/output.h"
#include "libmr/memory/sink.h"
#include "libmr/mr.h"

/* mr_error.who */
enum { CONVERT_IN = 1, CONVERT_OUT, CONVERT_BASE, CONVERT_XML, CONVERT_SPOOL };

struct convert {
	const struct mr_convert_options *options;
	struct mr_convert_report *report;
	struct input input;
	struct mr_image *img;
	struct stat was; /* the file in, before it was read */
	const struct mr_image_info *info;
	struct memory *m;
	struct plain_state state;
	struct base base; /* open, if it is wanted */
	/* For libvirt: what stands before the stream, as it is when all is
	 * there. */
	uint8_t *front;
	size_t front_len;
	uint64_t growing; /* bytes of the output that memory makes */
};

/* What libvirt has before the stream, into x->front. */
int convert_front(struct convert *x, struct mr_error *err);
/* Whether the XML can be that of a domain, as far as that can be told without
 * the image. What can be read once only is not. */
int convert_front_check(struct convert *x, struct mr_error *err);
/* Writes it, if there is any: first all of it, and that the rest is not there;
 * at the end that it is. */
int convert_front_write(const struct convert *x, struct io *io, bool complete,
			struct mr_error *err);

/* What is written goes `offset` bytes further on. */
struct behind_io {
	struct io io;
	struct io *under;
	uint64_t offset;
};
void behind_io_init(struct behind_io *b, struct io *under, uint64_t offset);

/* All of it as a pack, or a plain stream; into io from its byte front_len on,
 * the caller's are before. */
int convert_pour(struct convert *x, struct io *io, struct mr_error *err);

/* All of memory to a sink; then publishes, and says who failed. */
int convert_copy(struct convert *x, struct sink *k, struct mr_error *err);
int convert_publish(struct output *out, struct mr_error *err);
/* Bytes on the disk: holes do not count. */
uint64_t convert_allocated(const struct file *f);

/* All of it as an ELF core. */
int convert_core(struct convert *x, const char *out, struct mr_error *err);
/* Whether there is who makes a kdump. */
int convert_kdump_check(const struct convert *x, struct mr_error *err);
/* That, which is never seen, as a kdump at path. */
int convert_kdump(struct convert *x, const struct output *core,
		  const char *path, struct mr_error *err);

/* How large the output would be, into the report. */
int convert_estimate(struct convert *x, struct mr_error *err);

#endif
