/* capture.c - a migration that was kept, to be compared as an image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/diff/diff.h"

bool diff_is_capture(const char *path)
{
	char file[PATH_MAX];

	(void)snprintf(file, sizeof(file), "%s/main", path);
	return !access(file, F_OK);
}

/* Nobody else can get at the image, and when we are gone so is it. */
static int replay(const char *capture, const char *image, int *fd)
{
	struct mr_recv_options o = MR_RECV_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_recv_report report;

	o.replay = true;
	o.no_seal = true;
	o.watch = *cli_watch();
	if (mr_recv(capture, image, &o, &report, &err)) {
		cli_tell_end();
		return cli_fail(&err, CLI_PATHS(capture, image));
	}
	cli_tell_end();
	*fd = open(image, O_RDONLY | O_CLOEXEC);
	(void)unlink(image);
	return *fd >= 0 ? CLI_OK
			: cli_trouble(image, MR_SYS, "%s", strerror(errno));
}

int diff_replay(const char *capture, char path[DIFF_PATH], int *fd)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX], image[PATH_MAX + 8];
	int status;

	/* It may be as large as the VM: /tmp is often memory. */
	(void)snprintf(dir, sizeof(dir), "%s/mrdiff.XXXXXX",
		       tmp && *tmp ? tmp : "/var/tmp");
	if (!mkdtemp(dir))
		return cli_trouble(dir, MR_SYS, "cannot make a folder: %s",
				   strerror(errno));
	(void)snprintf(image, sizeof(image), "%s/image", dir);
	status = replay(capture, image, fd);
	(void)rmdir(dir);
	(void)snprintf(path, DIFF_PATH, "/proc/self/fd/%d", *fd);
	return status;
}
