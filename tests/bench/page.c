/*
 * page.c - pages of an image's memory, as mrinspect --page looks at them.
 *
 *   page FILE N FROM MIB   N pages, one after the other, each somewhere in so
 *                          many MiB of the memory from there on
 *
 * The same pages in every file. Prints {"seconds":, "cpu":, "open":, "sum":}:
 * for a page; for opening the file, once; and what was in all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

#include "libmr/mr.h"

#define MIB (UINT64_C(1) << 20)
#define PAGE 4096u

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "page: %s\n", what);
	exit(2);
}

static double clock_of(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const struct mr_ram_block *largest(const struct mr_ram_info *info)
{
	const struct mr_ram_block *b = &info->blocks[0];

	for (size_t i = 1; i < info->n_blocks; i++)
		if (info->blocks[i].length > b->length)
			b = &info->blocks[i];
	return b;
}

/* Of n pages: what is in them. */
static uint64_t look(struct mr_ram *ram, uint64_t n, uint64_t from,
		     uint64_t pages)
{
	const struct mr_ram_block *b = largest(mr_ram_info(ram));
	struct mr_error err = MR_ERROR_INIT;
	unsigned char buf[PAGE];
	uint64_t x = 0x9e3779b97f4a7c15, sum = 0;
	size_t present;

	for (uint64_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (mr_ram_read(ram, b, from + x % pages * PAGE, buf, PAGE,
				&present, &err))
			die(err.msg);
		sum = XXH3_64bits_withSeed(buf, PAGE, sum);
	}
	return sum;
}

int main(int argc, char **argv)
{
	const struct mr_ram_options o = { .direct = MR_DIRECT_AUTO };
	struct mr_error err = MR_ERROR_INIT;
	double wall = clock_of(CLOCK_MONOTONIC), open, cpu;
	struct mr_ram *ram;
	uint64_t n, sum;

	if (argc != 5 || !(n = strtoull(argv[2], NULL, 10)))
		die("usage: page FILE N FROM MIB");
	ram = mr_ram_open(argv[1], &o, &err);
	if (!ram)
		die(err.msg);
	open = clock_of(CLOCK_MONOTONIC) - wall;
	wall += open;
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	sum = look(ram, n, strtoull(argv[3], NULL, 10) * MIB,
		   strtoull(argv[4], NULL, 10) * (MIB / PAGE));
	wall = clock_of(CLOCK_MONOTONIC) - wall;
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	mr_ram_free(ram);
	(void)printf("{\"seconds\": %.9f, \"cpu\": %.9f, \"open\": %.6f, "
		     "\"sum\": \"%016" PRIx64 "\"}\n",
		     wall / (double)n, cpu / (double)n, open, sum);
	return 0;
}
