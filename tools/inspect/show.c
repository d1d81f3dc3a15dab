/* show.c - what the options of mrinspect ask for. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/inspect/show.h"

int show_failure(const char *path, const struct mr_error *err)
{
	int status = cli_fail(err, CLI_PATHS(path));

	if (cli.json)
		cli_json_put_text("path", path);
	return status;
}

bool show_has_memory(const struct show_request *r)
{
	return r->pages || r->gpas || r->virts || r->find_len || r->log;
}

bool show_is_asked(const struct show_request *r)
{
	return r->devices || r->cpu || show_has_memory(r) || r->map || r->svg;
}

bool show_is_of_memory(const struct show_request *r)
{
	return show_has_memory(r) && !r->devices && !r->cpu && !r->vmdesc &&
	       !r->map && !r->svg;
}

bool show_is_of_devices(const struct show_request *r)
{
	return (r->devices || r->cpu || r->vmdesc) && !show_has_memory(r) &&
	       !r->map && !r->svg;
}

/* Device state and registers. */
static int show_state(const struct show *s)
{
	const struct show_request *r = s->request;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *from = NULL;
	struct mr_devices *d = NULL;
	int status = CLI_OK;

	if (r->vmdesc_from) {
		from = cli_describer(r->vmdesc_from, &status);
		if (!from)
			return status;
	}
	d = mr_devices_open(s->img, from, &err);
	if (!d)
		status = cli_fail(&err, CLI_PATHS(s->path));
	if (d && r->cpu)
		status = cli_worse(status, show_cpus(s, d));
	if (d && r->devices)
		status = cli_worse(status, show_devices(s, d));
	mr_devices_free(d);
	mr_image_free(from);
	return status;
}

static int show_description(const struct show *s)
{
	struct mr_error err = MR_ERROR_INIT;
	char *text = mr_image_description(s->img, &err);

	if (!text)
		return cli_fail(&err, CLI_PATHS(s->path));
	(void)puts(text);
	free(text);
	return CLI_OK;
}

/* Bytes of memory: opens that of an image. */
static int show_memory(const struct show *s)
{
	const struct show_request *r = s->request;
	struct mr_error err = MR_ERROR_INIT;
	struct show of = *s;
	int status = CLI_OK;

	if (!of.ram)
		of.ram = mr_ram_of_image(s->img, &err);
	if (!of.ram)
		return cli_fail(&err, CLI_PATHS(s->path));
	if (r->pages || r->gpas || r->virts)
		status = show_dumps(&of);
	if (r->log)
		status = cli_worse(status, show_log(&of));
	if (r->find_len)
		status = cli_worse(status, show_find(&of));
	if (of.ram != s->ram)
		mr_ram_free(of.ram);
	return status;
}

int show_asked(const struct show *s)
{
	const struct show_request *r = s->request;
	int status = CLI_OK;

	if (r->vmdesc)
		status = show_description(s);
	if (r->cpu || r->devices)
		status = cli_worse(status, show_state(s));
	if (show_has_memory(r))
		status = cli_worse(status, show_memory(s));
	if (r->map && !cli.json)
		status = cli_worse(status, show_map(s, NULL));
	if (r->svg)
		status = cli_worse(status, show_map(s, r->svg));
	return status;
}
