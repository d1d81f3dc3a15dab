/*
 * domain.c - an image into a domain of libvirt's that is off.
 *
 * libvirt starts the QEMU of a domain itself, from a save file that has the
 * domain's XML: one is made of the image, in a folder that is only ours, and
 * gone when libvirt has restored it.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/common/cli.h"
#include "tools/load/load.h"

/* The first that restores mapped-ram: 11.2. */
#define SPARSE_SINCE 11002000

/* mr_convert's, of which the file is ours. */
static int tell(const struct mr_error *err, const char *image, const char *vm,
		const char *path)
{
	return cli_fail(err, CLI_PATHS(image, path, "", vm, path));
}

/* What libvirt says of the domain, in a file without a name. */
static int take_xml(const char *vm, struct mr_domain *is, int *file)
{
	struct mr_error err = MR_ERROR_INIT;
	char *xml = mr_domain_xml(vm, is, &err);
	size_t len = xml ? strlen(xml) : 0;
	int fd = xml ? memfd_create("domain.xml", MFD_CLOEXEC) : -1;
	bool good = fd >= 0 && pwrite(fd, xml, len, 0) == (ssize_t)len;

	bool said = xml;

	free(xml);
	*file = fd;
	if (good && is->off)
		return CLI_OK;
	if (fd >= 0)
		(void)close(fd);
	if (good)
		return cli_trouble(vm, MR_REFUSED,
				   "the domain is on: what it is would be "
				   "lost");
	return said ? cli_trouble(vm, MR_SYS, "its XML cannot be kept")
		    : cli_fail(&err, CLI_PATHS(vm));
}

static int restore(const char *vm, const char *path, enum mr_load_then then)
{
	struct mr_error err = MR_ERROR_INIT;
	enum mr_domain_run run = then == MR_THEN_RUN	 ? MR_DOMAIN_RUN
				 : then == MR_THEN_PAUSE ? MR_DOMAIN_PAUSE
							 : MR_DOMAIN_AS_SAVED;

	return mr_domain_restore(vm, path, run, &cli_cancel, &err)
		       ? cli_fail(&err, CLI_PATHS(vm))
		       : CLI_OK;
}

static int make(const char *image, const char *vm, const char *folder,
		const struct load_domain *o, struct mr_convert_report *r)
{
	struct mr_convert_options c = MR_CONVERT_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	char path[PATH_MAX + 8], xml[32];
	struct mr_domain is;
	int fd, status = take_xml(vm, &is, &fd);

	if (status != CLI_OK)
		return status;
	(void)snprintf(xml, sizeof(xml), "/proc/self/fd/%d", fd);
	(void)snprintf(path, sizeof(path), "%.4090s/save", folder);
	c.form = is.libvirt >= SPARSE_SINCE ? MR_CONVERT_LIBVIRT_SPARSE
					    : MR_CONVERT_LIBVIRT;
	c.xml = xml;
	c.no_seal = c.form == MR_CONVERT_LIBVIRT_SPARSE;
	c.verify = o->verify;
	c.verify_sealed = !o->force;
	c.dry_run = o->check;
	c.direct = o->direct;
	c.jobs = o->jobs;
	c.watch = *cli_watch();
	if (mr_convert(image, path, &c, r, &err))
		status = tell(&err, image, vm, path);
	cli_tell_end();
	if (status == CLI_OK && !o->check)
		status = restore(vm, path, o->then);
	(void)unlink(path);
	(void)close(fd);
	return status;
}

int load_domain(const char *image, const char *vm, const struct load_domain *o,
		struct mr_convert_report *r)
{
	const char *tmp = getenv("TMPDIR");
	char folder[PATH_MAX];
	int status;

	(void)snprintf(folder, sizeof(folder), "%.4000s/mrload.XXXXXX",
		       tmp && *tmp == '/' ? tmp : "/var/tmp");
	if (!mkdtemp(folder))
		return cli_trouble(folder, MR_SYS, "cannot make a folder");
	status = make(image, vm, folder, o, r);
	(void)rmdir(folder);
	return status;
}
