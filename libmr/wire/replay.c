/* replay.c - connections that are files. */
#include "libmr/wire/replay.h"

#include <errno.h>

#include "formats/multifd.h"
#include "libmr/base/error.h"

int replay_main(const struct capture *c, struct mr_error *err)
{
	int fd = capture_file(c, 0);

	return fd >= 0 ? fd
		       : error_sys(err, MR_NO_OFFSET,
				   "no capture is there: cannot open "
				   "\"" CAPTURE_MAIN_FILE "\"");
}

static int gather(struct intake *in, void *arg, struct mr_error *err)
{
	const struct capture *c = arg;

	for (unsigned i = 0; i < MULTIFD_CHANNELS_MAX; i++) {
		int fd = capture_file(c, 1 + i);

		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot open channel %u", i);
		if (intake_channel_add(in, fd, err))
			return -1;
	}
	return 0;
}

void replay_begin(struct intake *in, struct capture *c)
{
	in->gather = gather;
	in->arg = c;
	in->deaf = true;
}
