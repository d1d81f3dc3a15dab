/*
 * instant.c - mr_instant_open: a command line that begins on an image.
 *
 * The descriptor that is locked here is the one that QEMU inherits, so the
 * lock lives as long as the VM. QEMU opens the file once more by it, to read
 * only. What is not mapped waits in a memory file; if guest RAM is in it, a
 * child writes it into a pipe while QEMU loads, and ends with it.
 */
#include "libmr/instant/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/fds.h"
#include "libmr/base/watch.h"
#include "libmr/image/loadable.h"
#include "libmr/vm/runstate.h"

/* Of more pages it is said what they cost: 64 MiB. */
#define STALE_SAID 16384u
#define FDSET_FIRST 7700

/* ---- the image ---- */

/* Whether somebody else reads: a VM that began on this image. */
static bool is_read(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type == F_RDLCK;
}

/* Nobody of ours writes to the image then as long as this descriptor, or a
 * copy of it, is open. */
static int lock_image(struct mr_instant *in, struct mr_error *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (in->options->no_lock)
		return 0;
	if (!fcntl(in->fd, F_OFD_SETLK, &lock)) {
		/* Now, so that of two that begin at once one sees the other. */
		in->is_clone = is_read(in->fd);
		in->report->locked = true;
		return 0;
	}
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "somebody writes to the image");
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "the file system has no locks (%s): with --no-lock "
			 "nothing keeps others from writing to the image "
			 "under the VM",
			 strerror(errno));
}

static int check_kind(const struct mr_instant *in, struct mr_error *err)
{
	if (in->info->kind != MR_IMAGE_MAPPED)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "only a mapped-ram image can be mapped, this "
				 "is a %s: load it without --instant, or "
				 "have mrconvert make an image of it",
				 in->info->has_pack ? "pack" : "plain stream");
	if (in->info->ignore_shared)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "saved with x-ignore-shared: some of the "
				 "memory is not in it");
	if (in->info->page_size % 4096)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "pages of %" PRIu32 " bytes cannot be mapped",
				 in->info->page_size);
	for (size_t i = 0; i < in->info->n_blocks; i++)
		if (in->info->blocks[i].pages_offset % 4096)
			return error_set(err, MR_REFUSED,
					 in->info->blocks[i].header,
					 "the pages of block %.64s do not "
					 "begin at a page of the file",
					 in->info->blocks[i].name);
	return runstate_check_saved(in->info->run_state, err);
}

/* Locked first: what is looked at afterwards stays as it is. */
static int open_image(struct mr_instant *in, const char *path,
		      struct mr_error *err)
{
	/* Nobody may be at the other end of a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	in->fd = fcntl(fd, F_DUPFD, 3);
	(void)close(fd);
	if (in->fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot copy a descriptor");
	(void)snprintf(in->path, sizeof(in->path), "/proc/self/fd/%d", in->fd);
	if (lock_image(in, err))
		return -1;
	in->img = image_open_loadable(in->path, NULL, MR_DIRECT_OFF, true,
				      &in->options->watch, &in->report->data,
				      err);
	if (!in->img)
		return -1;
	in->info = mr_image_info(in->img);
	in->report->allocated = in->info->file_allocated;
	if (image_trust(in->img, in->options->force, &in->options->watch,
			&in->report->seal, err))
		return -1;
	in->absent_zero = image_absent_zero(in->img);
	in->places = calloc(in->info->n_blocks + 1, sizeof(*in->places));
	if (!in->places)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	return check_kind(in, err);
}

static void describe(struct mr_instant *in)
{
	struct mr_instant_report *r = in->report;

	(void)snprintf(r->machine, sizeof(r->machine), "%s", in->info->machine);
	(void)snprintf(r->saved, sizeof(r->saved), "%s", in->info->run_state);
	r->blocks = in->info->n_blocks;
	r->ram = in->info->ram;
}

/* ---- the rest of it ---- */

/* A set of descriptors that the command line does not have. */
static int free_set(const struct mr_instant *in)
{
	int set = FDSET_FIRST;
	struct qemu_option o;
	size_t at = 1;

	while (args_next(&in->args, &at, &o)) {
		struct qemu_props p;
		const char *its;

		if (strcmp(o.name, "add-fd") != 0 || !o.value ||
		    props_parse(&p, o.value, NULL, NULL))
			continue;
		its = props_get(&p, "set");
		/* Hexadecimal, too. */
		if (its && strtol(its, NULL, 0) >= set &&
		    strtol(its, NULL, 0) < 1 << 20)
			set = (int)strtol(its, NULL, 0) + 1;
		props_release(&p);
	}
	return set;
}

/* QEMU takes a descriptor only if it cannot be written to. */
static int reopen(int fd, struct mr_error *err)
{
	char path[32];
	int to_read;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	to_read = open(path, O_RDONLY);
	return to_read >= 0 ? to_read
			    : error_sys(err, MR_NO_OFFSET,
					"cannot open a memory file again");
}

static int write_stub(struct mr_instant *in, struct mr_error *err)
{
	int fd = memfd_create("mrtools-stub", MFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET,
				 "cannot create a memory file");
	rc = instant_write_stub(in, fd, err);
	if (rc)
		(void)error_about(err, INSTANT_IMAGE);
	else
		in->stub = reopen(fd, err);
	(void)close(fd);
	return in->stub < 0 ? -1 : 0;
}

static void say_stale(const struct mr_instant *in)
{
	if (in->report->stale > STALE_SAID)
		instant_say(in,
			    "%" PRIu64 " pages that the image lacks have room "
			    "in its file, and QEMU looks at each: mrverify "
			    "--repair makes holes of them",
			    in->report->stale);
}

static int make_stub(struct mr_instant *in, struct mr_error *err)
{
	const int set = free_set(in);
	char add[96], uri[64];

	if (write_stub(in, err))
		return -1;
	say_stale(in);
	(void)snprintf(add, sizeof(add), "fd=%d,set=%d,opaque=mrtools",
		       in->stub, set);
	(void)snprintf(uri, sizeof(uri), "file:/dev/fdset/%d", set);
	if (args_add(&in->args, "add-fd", add, err))
		return -1;
	return args_add(&in->args, "incoming", uri, err);
}

/* ---- children ---- */

int instant_fork(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			return 1;
		_exit(pid < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
	return errno ? -1 : 0;
}

void instant_stand_alone(struct mr_instant *in, int keep)
{
	const int kept[] = { in->img->file.fd, keep };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	for (int fd = 0; fd < 3; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			(void)close(fd);
	fds_close_others(kept, 2);
	in->fd = -1; /* it is QEMU that keeps the image locked */
}

/* ---- a child that feeds ---- */

static void run_feeder(struct mr_instant *in, int to)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)close(in->fd); /* it is QEMU that keeps the image locked */
	if (!instant_write_stub(in, to, &err))
		_exit(0);
	instant_say(in, "the memory that QEMU is given ends early: %.200s",
		    err.msg);
	_exit(1);
}

static int start_feeder(struct mr_instant *in, struct mr_error *err)
{
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC))
		return error_sys(err, MR_NO_OFFSET, "cannot make a pipe");
	rc = instant_fork();
	if (rc > 0) {
		(void)close(ends[0]);
		run_feeder(in, ends[1]);
	}
	(void)close(ends[1]);
	if (rc < 0 || dup3(ends[0], in->stub, 0) < 0)
		(void)error_sys(err, MR_NO_OFFSET, "cannot start a feeder");
	(void)close(ends[0]);
	return err->code == MR_OK ? 0 : -1;
}

/* The number of the pipe's end has to be known now; the pipe comes later. */
static int make_feed(struct mr_instant *in, struct mr_error *err)
{
	char uri[32];

	if (instant_count_stale(in, err))
		return error_about(err, INSTANT_IMAGE);
	say_stale(in);
	for (size_t i = 0; i < in->info->n_blocks; i++) {
		struct mr_block_use use;

		if (in->places[i] != PLACE_FED)
			continue;
		if (mr_image_use(in->img, &in->info->blocks[i], &use, err))
			return error_about(err, INSTANT_IMAGE);
		in->report->fed += use.present * in->info->page_size;
	}
	in->stub = open("/dev/null", O_RDONLY);
	if (in->stub < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open /dev/null");
	(void)snprintf(uri, sizeof(uri), "fd:%d", in->stub);
	return args_add(&in->args, "incoming", uri, err);
}

/* ---- the verb ---- */

/* What is opened gets the first number that is free, and QEMU takes these for
 * its own input and output. */
static int check_standard(struct mr_error *err)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "descriptor %d is closed: open "
					 "/dev/null there first, or the image "
					 "would be QEMU's input or output",
					 fd);
	return 0;
}

static int prepare(struct mr_instant *in, const char *image,
		   const char *const *argv, struct mr_error *err)
{
	if (open_image(in, image, err) || !in->info)
		return error_about(err, INSTANT_IMAGE);
	describe(in);
	if (args_init(&in->args, argv, err) || instant_look_qemu(in, err) ||
	    instant_fit(in, err) || instant_place(in, err) ||
	    (in->feeds ? make_feed(in, err) : make_stub(in, err)))
		return error_about(err, INSTANT_QEMU);
	return instant_check_record(in, err) ? error_about(err, INSTANT_QEMU)
					     : 0;
}

struct mr_instant *mr_instant_open(const char *image, const char *const *argv,
				   const struct mr_instant_options *options,
				   struct mr_instant_report *report,
				   struct mr_error *err)
{
	struct mr_instant *in = calloc(1, sizeof(*in));
	double begin = watch_clock();
	int rc;

	*report = (struct mr_instant_report){ 0 };
	if (!in) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		return NULL;
	}
	in->options = options;
	in->report = report;
	in->fd = in->stub = -1;
	rc = check_standard(err) || prepare(in, image, argv, err) ? -1 : 0;
	report->seconds = watch_clock() - begin;
	if (!rc)
		return in;
	mr_instant_free(in);
	return NULL;
}

void mr_instant_free(struct mr_instant *in)
{
	if (!in)
		return;
	args_release(&in->args);
	free(in->places);
	mr_image_free(in->img);
	if (in->fd >= 0)
		(void)close(in->fd);
	if (in->stub >= 0)
		(void)close(in->stub);
	free(in);
}

char *const *mr_instant_argv(const struct mr_instant *in)
{
	return in->args.v;
}

const char *mr_instant_image(const struct mr_instant *in)
{
	return in->path;
}

int mr_instant_exec(struct mr_instant *in, struct mr_error *err)
{
	if ((in->feeds && start_feeder(in, err)) ||
	    instant_start_prefault(in, err) || instant_start_watcher(in, err))
		return error_about(err, INSTANT_QEMU);
	(void)execvp(in->args.v[0], in->args.v);
	(void)error_sys(err, MR_NO_OFFSET, "cannot execute it");
	return error_about(err, INSTANT_QEMU);
}
