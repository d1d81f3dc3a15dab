/*
 * fuzz-pack.c - a file as an input of the fuzzers (tests/fuzz/sparse.h), and
 * an input as the file that it stands for:
 *
 *	fuzz-pack FILE INPUT
 *	fuzz-pack -u INPUT FILE
 *
 * 64 zeros or more become a jump; a file has at most 16 MiB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/sparse.h"

enum {
	GAP = 64, /* zeros that are worth a jump */
	LIMIT = 1 << 24, /* what three bytes can say */
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint8_t *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	uint8_t *buf = malloc(LIMIT);

	if (!f || !buf)
		die(path);
	*len = fread(buf, 1, LIMIT, f);
	if (ferror(f) || fclose(f))
		die(path);
	return buf;
}

static void put(FILE *out, const uint8_t *p, size_t len)
{
	if (fwrite(p, 1, len, out) != len)
		die("fwrite");
}

static size_t zeros(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len && p[n] == 0)
		n++;
	return n;
}

static void pack(const uint8_t *p, size_t len, FILE *out)
{
	for (size_t i = 0; i < len;) {
		size_t n = zeros(p + i, len - i);

		if (n >= GAP) {
			uint8_t mark[SPARSE_MARK_SIZE] = {
				SPARSE_MARK, SPARSE_MARK_2,
				(uint8_t)((i + n) >> 16),
				(uint8_t)((i + n) >> 8), (uint8_t)(i + n)
			};

			i += n;
			put(out, mark, sizeof(mark));
			continue;
		}
		put(out, p + i, 1);
		i++;
	}
}

static void unpack(const uint8_t *p, size_t len, FILE *out)
{
	struct sparse_io s;
	uint8_t *buf;

	sparse_init(&s, p, len);
	buf = malloc(s.io.size + 1);
	if (!buf)
		die("malloc");
	put(out, buf, (size_t)sparse_read(&s.io, buf, s.io.size, 0));
	free(buf);
}

int main(int argc, char **argv)
{
	int undo = argc == 4 && !strcmp(argv[1], "-u");
	size_t len;
	uint8_t *buf;
	FILE *out;

	if (argc != 3 + undo) {
		(void)fprintf(stderr, "usage: fuzz-pack [-u] FROM TO\n");
		return 2;
	}
	buf = slurp(argv[1 + undo], &len);
	out = fopen(argv[2 + undo], "we");
	if (!out)
		die(argv[2 + undo]);
	(undo ? unpack : pack)(buf, len, out);
	free(buf);
	if (fclose(out))
		die(argv[2 + undo]);
	return 0;
}
