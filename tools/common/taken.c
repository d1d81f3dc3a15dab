/* taken.c - a VM, saved to a file without a name, and what is made of that. */
#include "tools/common/taken.h"

#include <stdio.h>
#include <unistd.h>

/* mr_error.who of mr_save. */
enum { SAVE_IMAGE = 2, SAVE_REPLACES = 4 };

/* What QEMU says of the VM is for the label, unless the user has said it. */
static int take(void *arg, const char *path, struct mr_error *err)
{
	struct taken *t = arg;

	t->tried = true;
	if ((t->convert.form == MR_CONVERT_PACK ||
	     t->convert.form == MR_CONVERT_MAPPED) &&
	    !t->convert.no_seal && !t->convert.name && t->vm.name[0])
		t->convert.name = t->vm.name;
	t->convert.made = t->vm.made;
	if (t->vm.has_uuid)
		t->convert.uuid = t->vm.uuid;
	if (!mr_convert(path, t->out, &t->convert, &t->report, err))
		return 0;
	/* The image that is read has no name: it is what was to be made. */
	if (err->who == TAKEN_VM)
		err->who = TAKEN_OUT;
	return -1;
}

int taken_begin(struct taken *t, const char *folder,
		struct mr_save_options *save, struct mr_error *err)
{
	(void)snprintf(t->image, sizeof(t->image), "%.4000s/mrsave.%ld", folder,
		       (long)getpid());
	save->base = NULL;
	save->force = t->convert.force;
	save->replaces = t->convert.fd < 0 ? t->out : NULL;
	save->no_seal = true;
	save->take = take;
	save->take_arg = t;
	return mr_convert_check(t->out, &t->convert, err);
}

int taken_save(struct taken *t, const char *vm,
	       const struct mr_save_options *save, struct mr_error *err)
{
	if (!mr_save(vm, t->image, save, &t->vm, err))
		return 0;
	if (!t->tried && err->who == SAVE_REPLACES)
		err->who = TAKEN_OUT;
	else if (!t->tried && err->who == SAVE_IMAGE)
		err->who = TAKEN_IMAGE;
	return -1;
}
