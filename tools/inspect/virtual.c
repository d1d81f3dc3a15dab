/* virtual.c - whose page tables are looked at. */
#include <inttypes.h>
#include <stdlib.h>

#include "tools/inspect/show.h"

static int pick(const struct show *s, const struct mr_cpu *cpus, size_t n,
		struct mr_paging *p, uint32_t *index)
{
	const struct show_request *r = s->request;
	struct mr_error err = MR_ERROR_INIT;
	size_t i = 0;

	while (r->vcpu != SHOW_NO_CPU && i < n && cpus[i].index != r->vcpu)
		i++;
	if (i == n)
		return cli_trouble(s->path, MR_USAGE,
				   "there is no virtual CPU %" PRId64, r->vcpu);
	if (mr_cpu_paging(&cpus[i], p, &err))
		return cli_fail(&err, CLI_PATHS(s->path));
	if (r->has_cr3)
		p->cr3 = r->cr3;
	*index = cpus[i].index;
	return CLI_OK;
}

int show_paging(const struct show *s, struct mr_paging *p, uint32_t *index)
{
	struct mr_error err = MR_ERROR_INIT;
	const struct mr_image *img = mr_ram_devices(s->ram, &err);
	struct mr_devices *d = img ? mr_devices_open(img, NULL, &err) : NULL;
	struct mr_cpu *cpus = NULL;
	size_t n = 0;
	int status;

	if (d && !mr_cpus(d, &cpus, &n, &err))
		status = pick(s, cpus, n, p, index);
	else
		status = cli_fail(&err, CLI_PATHS(s->path));
	free(cpus);
	mr_devices_free(d);
	return status;
}
