/* pool.c - the machine's pool of huge pages, lent for a row. */
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <stdio.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static uint64_t before;
static bool noted;

static bool get(const char *path, uint64_t *n)
{
	FILE *f = fopen(path, "r");
	bool ok = f && fscanf(f, "%" SCNu64, n) == 1;

	if (f)
		(void)fclose(f);
	return ok;
}

static bool set(uint64_t n)
{
	FILE *f = fopen(POOL "nr_hugepages", "w");
	bool ok = f && fprintf(f, "%" PRIu64 "\n", n) > 0;

	if (f && fclose(f))
		ok = false;
	return ok;
}

void pool_note(void)
{
	noted = get(POOL "nr_hugepages", &before);
}

bool pool_take(uint64_t mib)
{
	uint64_t unused;

	return noted && set(before + mib / 2) &&
	       get(POOL "free_hugepages", &unused) && unused >= mib / 2;
}

void pool_restore(void)
{
	uint64_t n;

	if (noted && get(POOL "nr_hugepages", &n) && n != before)
		(void)set(before);
}
