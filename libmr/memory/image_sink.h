/* image_sink.h - the sink that is a mapped-ram image (sink.h). */
#ifndef LIBMR_IMAGE_SINK_H
#define LIBMR_IMAGE_SINK_H

#include "formats/stream.h"
#include "libmr/image/base.h"
#include "libmr/image/writer.h"
#include "libmr/memory/sink.h"

struct image_sink {
	struct sink sink;
	struct image_writer *writer;
	/* What partial blocks are partial to, and others are compared with;
	 * NULL: there are none. */
	const struct image_base *base;
	/* As image_writer_device has it: the caller's, before
	 * sink.ops->begin, or, if it comes later, before sink.ops->end. */
	struct image_device device;
	bool later;
	/* Of the stream that the memory comes from, known at sink.ops->begin:
	 * what else it says of the VM is kept. NULL: there is none. */
	const struct stream_config *config;
};

/*
 * w comes out of image_writer_open. It has an image after end, which the
 * caller publishes; until then no more than a nameless file is there.
 */
void image_sink_init(struct image_sink *s, struct image_writer *w);

#endif
