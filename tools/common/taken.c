/* taken.c - a VM, saved to a file without a name, and what is made of that. */
#include "tools/common/taken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* mr_error.who of mr_save. */
enum { SAVE_IMAGE = 2, SAVE_REPLACES = 4 };

static void keep_device(void *arg, const char *block, uint64_t gpa)
{
	struct taken *t = arg;
	struct taken_device *more =
		realloc(t->devices, (t->n_devices + 1) * sizeof(*t->devices));

	if (!more) {
		t->no_memory = true;
		return;
	}
	t->devices = more;
	more += t->n_devices++;
	(void)snprintf(more->block, sizeof(more->block), "%s", block);
	more->gpa = gpa;
}

/* What the user says of blocks comes first, then what QEMU said. */
static int convert(struct taken *t, const char *path, struct mr_error *err)
{
	struct mr_convert_options o = t->convert;
	struct mr_convert_at *all =
		calloc(o.n_at + t->n_devices + 1, sizeof(*all));
	int rc;

	if (!all || t->no_memory) {
		err->code = MR_NOMEM;
		(void)snprintf(err->msg, sizeof(err->msg), "out of memory");
		free(all);
		return -1;
	}
	for (size_t i = 0; i < o.n_at; i++)
		all[i] = o.at[i];
	for (size_t i = 0; i < t->n_devices; i++)
		all[o.n_at + i] =
			(struct mr_convert_at){ .block = t->devices[i].block,
						.gpa = t->devices[i].gpa,
						.of_qemu = true };
	o.at = all;
	o.n_at += t->n_devices;
	rc = mr_convert(path, t->out, &o, &t->report, err);
	free(all);
	return rc;
}

/* What QEMU says of the VM is for the label, unless the user has said it. */
static int take(void *arg, const char *path, struct mr_error *err)
{
	struct taken *t = arg;

	t->tried = true;
	if ((t->convert.form == MR_CONVERT_PACK ||
	     t->convert.form == MR_CONVERT_MAPPED ||
	     t->convert.form == MR_CONVERT_LIBVIRT_SPARSE) &&
	    !t->convert.no_seal && !t->convert.name && t->vm.name[0])
		t->convert.name = t->vm.name;
	t->convert.made = t->vm.made;
	if (t->vm.has_uuid)
		t->convert.uuid = t->vm.uuid;
	if (!convert(t, path, err))
		return 0;
	/* The image that is read has no name: it is what was to be made. */
	if (err->who == TAKEN_VM)
		err->who = TAKEN_OUT;
	return -1;
}

/* The domain's XML, into a file that has no name. */
static int put_xml(const struct taken *t, int fd, struct mr_error *err)
{
	struct mr_domain is;
	char *xml = mr_domain_xml(t->domain, &is, err);
	size_t len = xml ? strlen(xml) : 0;
	int rc = xml && !ftruncate(fd, 0) &&
				 pwrite(fd, xml, len, 0) == (ssize_t)len
			 ? 0
			 : -1;

	if (rc && err->code == MR_OK) {
		err->code = MR_SYS;
		(void)snprintf(err->msg, sizeof(err->msg),
			       "the domain's XML cannot be kept");
	}
	free(xml);
	return rc;
}

/* It may have changed since the save began. */
static int in_pause(void *arg, struct mr_error *err)
{
	const struct taken *t = arg;
	int fd;

	if (sscanf(t->xml, "/proc/self/fd/%d", &fd) != 1 || put_xml(t, fd, err))
		return -1;
	return t->while_paused ? t->while_paused(t->while_paused_arg, err) : 0;
}

static int take_xml(struct taken *t, const char *vm,
		    struct mr_save_options *save, struct mr_error *err)
{
	int fd = memfd_create("domain.xml", MFD_CLOEXEC);

	t->domain = vm;
	if (fd < 0 || put_xml(t, fd, err)) {
		err->who = TAKEN_VM;
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	(void)snprintf(t->xml, sizeof(t->xml), "/proc/self/fd/%d", fd);
	t->convert.xml = t->xml;
	t->while_paused = save->while_paused;
	t->while_paused_arg = save->while_paused_arg;
	save->while_paused = in_pause;
	save->while_paused_arg = t;
	return 0;
}

int taken_begin(struct taken *t, const char *vm, const char *folder,
		struct mr_save_options *save, struct mr_error *err)
{
	if (t->convert.form >= MR_CONVERT_LIBVIRT && !t->convert.xml &&
	    mr_is_domain(vm) && take_xml(t, vm, save, err))
		return -1;
	(void)snprintf(t->image, sizeof(t->image), "%.4000s/mrsave.%ld", folder,
		       (long)getpid());
	save->base = NULL;
	save->force = t->convert.force;
	save->replaces = t->convert.fd < 0 ? t->out : NULL;
	save->no_seal = true;
	save->take = take;
	save->take_arg = t;
	if (t->convert.form == MR_CONVERT_ELF ||
	    t->convert.form == MR_CONVERT_KDUMP) {
		save->memory_device = keep_device;
		save->memory_device_arg = t;
	}
	return mr_convert_check(t->out, &t->convert, err);
}

int taken_save(struct taken *t, const char *vm,
	       const struct mr_save_options *save, struct mr_error *err)
{
	int rc = mr_save(vm, t->image, save, &t->vm, err);

	free(t->devices);
	t->devices = NULL;
	t->n_devices = 0;
	if (!rc)
		return 0;
	if (!t->tried && err->who == SAVE_REPLACES)
		err->who = TAKEN_OUT;
	else if (!t->tried && err->who == SAVE_IMAGE)
		err->who = TAKEN_IMAGE;
	return -1;
}
