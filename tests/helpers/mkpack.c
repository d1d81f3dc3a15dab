/*
 * mkpack.c - makes a pack to order out of a plain stream, for the tests of the
 * tools:
 *
 *	mkpack [OPTION...] STREAM PACK
 *
 * Default: a sound pack. Options then make it lie: what --put changes is
 * changed before digests are made of it, so that they all agree.
 */
#include <popt.h>
#include "tests/lib/packing.h"

/* clang-format off */
static const struct poptOption options[] = {
	{ "increment", 0, POPT_ARG_NONE, &packing.increment, 0,
	  "an increment: pages that are zero words are zero since", NULL },
	{ "zeros", 0, POPT_ARG_NONE, &packing.zeros, 0,
	  "a full one says so, too", NULL },
	{ "level", 0, POPT_ARG_INT, &packing.level, 0, "of zstd", "N" },
	{ "extent", 0, POPT_ARG_INT, &packing.extent_size, 0, "extent", "BYTES" },
	{ "made", 0, POPT_ARG_LONGLONG, &packing.made, 0, "when", "SECONDS" },
	{ "name", 0, POPT_ARG_STRING, &packing.name, 0, "of the VM", "NAME" },
	{ "maker", 0, POPT_ARG_STRING, &packing.maker, 0, "who made it", "TEXT" },
	{ "uuid", 0, POPT_ARG_STRING, &packing.uuid, 0, "16 characters", "TEXT" },
	{ "put", 0, POPT_ARG_ARGV, &packing.puts, 0,
	  "other bytes in label, head, noteN, partN, tail, index, end",
	  "WHAT:OFFSET=HEX" },
	{ "frame", 0, POPT_ARG_ARGV, &packing.frames, 0,
	  "of head, partN, tail: no-size, huge-size, two, skip, or what "
	  "another holds", "WHAT:HOW" },
	{ "insert", 0, POPT_ARG_ARGV, &packing.inserts, 0,
	  "bytes in front of head, noteN, partN, tail, index", "WHAT=HEX" },
	{ "drop", 0, POPT_ARG_ARGV, &packing.drops, 0,
	  "leave out noteN, partN, entryN", "WHAT" },
	{ "reverse", 0, POPT_ARG_NONE, &packing.order, 0,
	  "the index has the extents from last to first", NULL },
	POPT_AUTOHELP
	POPT_TABLEEND
};
/* clang-format on */

int main(int argc, char **argv)
{
	poptContext ctx =
		poptGetContext("mkpack", argc, (void *)argv, options, 0);
	struct mr_error err = MR_ERROR_INIT;
	struct bytes out = { 0 };
	struct mr_image *stream;
	const char *from, *to;
	FILE *f;

	need(poptGetNextOpt(ctx) == -1, "bad option");
	from = poptGetArg(ctx);
	to = poptGetArg(ctx);
	need(from && to, "no STREAM and PACK given");
	stream = mr_image_open_memory(from, MR_DIRECT_OFF, NULL, &err);
	need(stream, err.msg);
	packing_make(stream, &out);
	f = fopen(to, "w");
	need(f && fwrite(out.at, out.n, 1, f) == 1 && !fclose(f),
	     "cannot write");
	free(out.at);
	mr_image_free(stream);
	(void)poptFreeContext(ctx);
	return 0;
}
