/* virtual.c - whose page tables are looked at, and what they map. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

/* The CPUs of the image or VM; the caller frees them. 0 or -1. */
static int find_cpus(const struct show *s, struct mr_cpu **cpus, size_t *n,
		     struct mr_error *err)
{
	const struct mr_image *img = mr_ram_devices(s->ram, err);
	struct mr_devices *d = img ? mr_devices_open(img, NULL, err) : NULL;
	int rc = d ? mr_cpus(d, cpus, n, err) : -1;

	mr_devices_free(d);
	return rc;
}

int show_paging(const struct show *s, struct mr_paging *p, uint32_t *index)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_cpu *cpus = NULL;
	size_t n = 0;
	int status;

	if (find_cpus(s, &cpus, &n, &err))
		return cli_fail(&err, CLI_PATHS(s->path));
	status = pick(s, cpus, n, p, index);
	free(cpus);
	return status;
}

/* ---- of what was found ---- */

/* Page tables that are looked through; those of one CPU are enough, mostly. */
enum { TABLES = 4 };

struct virtuals {
	struct mr_ram *ram;
	struct mr_layout *layout;
	size_t n;
	struct {
		struct mr_maps maps;
		uint32_t cpu;
	} of[TABLES];
};

static bool has_tables(const struct virtuals *n, uint64_t cr3)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->of[i].maps.paging.cr3 == cr3)
			return true;
	return false;
}

static int add_cpu(struct virtuals *n, const struct mr_cpu *cpu,
		   struct mr_error *err)
{
	struct mr_error none = MR_ERROR_INIT;
	struct mr_maps maps;
	struct mr_paging p;

	if (n->n == TABLES || mr_cpu_paging(cpu, &p, &none) ||
	    has_tables(n, p.cr3))
		return 0;
	if (mr_maps_find(n->ram, &p, n->layout, &maps, err))
		return -1;
	if (maps.n) {
		n->of[n->n].maps = maps;
		n->of[n->n++].cpu = cpu->index;
	}
	return 0;
}

static bool in_kernel(const struct mr_cpu *cpu)
{
	for (size_t i = 0; i < cpu->n_segments; i++)
		if (!strcmp(cpu->segments[i].name, "CS"))
			return !(cpu->segments[i].selector & 3);
	return false;
}

static int fill(struct virtuals *n, const struct show *s, struct mr_error *err)
{
	struct mr_cpu *cpus = NULL;
	size_t n_cpus = 0;
	int rc = find_cpus(s, &cpus, &n_cpus, err);

	if (!rc)
		n->layout = mr_ram_layout(s->ram, err);
	if (!n->layout)
		rc = -1;
	/* Those of a process may hide the kernel. */
	for (int kernel = 1; kernel >= 0; kernel--)
		for (size_t i = 0; i < n_cpus && !rc; i++)
			if (in_kernel(&cpus[i]) == kernel &&
			    !atomic_load(&cli_cancel))
				rc = add_cpu(n, &cpus[i], err);
	free(cpus);
	return rc;
}

struct virtuals *virtuals_new(const struct show *s)
{
	struct virtuals *n = calloc(1, sizeof(*n));
	struct mr_error err = MR_ERROR_INIT;

	if (!n)
		return NULL;
	n->ram = s->ram;
	if (!fill(n, s, &err))
		return n;
	cli_note("no virtual addresses: %s", err.msg);
	virtuals_free(n);
	return NULL;
}

void virtuals_free(struct virtuals *n)
{
	if (!n)
		return;
	mr_layout_free(n->layout);
	free(n);
}

size_t virtuals_of(struct virtuals *n, const struct mr_found *found, size_t len,
		   uint64_t out[MR_MAPS], uint32_t *cpu)
{
	struct mr_error err = MR_ERROR_INIT;
	size_t names = 0;

	for (size_t i = 0; n && i < n->n && !names && !atomic_load(&cli_cancel);
	     i++) {
		*cpu = n->of[i].cpu;
		if (mr_maps_names(&n->of[i].maps, n->ram, n->layout,
				  found->block, found->offset, len, out, &names,
				  &err)) {
			cli_note("no virtual address: %s", err.msg);
			return 0;
		}
	}
	return names;
}
