/* vm.c - a paused VM, of which memory is shown. */
#include <stdio.h>

#include "tools/inspect/show.h"

static int show_ram(const struct show *s)
{
	const char *machine = mr_ram_info(s->ram)->machine;
	struct mr_error err = MR_ERROR_INIT;
	char path[1024], safe[1024];
	int status;

	if (cli.json) {
		cli_json_put_text("path", s->path);
		cli_json_put_text("kind", "vm");
		cli_json_put_text("machine", machine);
	} else {
		(void)printf("%s: virtual machine, paused: %s\n",
			     cli_escape(path, sizeof(path), s->path),
			     cli_escape(safe, sizeof(safe), machine));
	}
	status = show_asked(s);
	if (mr_ram_still(s->ram, &err))
		status = cli_worse(status, cli_fail(&err, CLI_PATHS(s->path)));
	return status;
}

int show_vm(const char *path, const struct show_request *r)
{
	const struct mr_ram_options o = { .pid = r->pid,
					  .devices =
						  r->gpas || r->virts || r->log,
					  .watch = *cli_watch() };
	struct show s = { .path = path, .request = r };
	struct mr_error err = MR_ERROR_INIT;
	int status;

	if (!show_is_of_memory(r)) {
		(void)snprintf(err.msg, sizeof(err.msg),
			       "a virtual machine: --page, --gpa, --virt, "
			       "--find and --log show its memory, and there "
			       "is no more to show");
		return show_failure(path, &err);
	}
	s.ram = mr_ram_open(path, &o, &err);
	if (!s.ram)
		return show_failure(path, &err);
	status = show_ram(&s);
	mr_ram_free(s.ram);
	return status;
}
