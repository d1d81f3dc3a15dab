/* capture.c - a migration that was kept, to be compared as an image. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/diff/diff.h"

bool diff_is_capture(const char *path)
{
	char file[PATH_MAX];

	(void)snprintf(file, sizeof(file), "%s/main", path);
	return !access(file, F_OK);
}

int diff_replay(const char *capture, char path[DIFF_PATH], int *fd)
{
	struct mr_recv_options o = MR_RECV_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	const char *tmp = getenv("TMPDIR");
	struct mr_recv_report report;
	char image[PATH_MAX];

	/* It may be as large as the VM: /tmp is often memory. */
	(void)snprintf(image, sizeof(image), "%s/mrdiff.%ld",
		       tmp && *tmp ? tmp : "/var/tmp", (long)getpid());
	o.unnamed = fd;
	o.replay = true;
	o.colo = true;
	o.no_seal = true;
	o.watch = *cli_watch();
	if (mr_recv(capture, image, &o, &report, &err)) {
		cli_tell_end();
		return cli_fail(&err, CLI_PATHS(capture, image));
	}
	cli_tell_end();
	(void)snprintf(path, DIFF_PATH, "/proc/self/fd/%d", *fd);
	return CLI_OK;
}
