/*
 * mkimage.c - makes an image to order (build.h), for the tests of the tools:
 *
 *	mkimage [OPTION...] FILE
 *
 * Default: a sound mapped-ram image as QEMU 10 would write it. --patch and
 * --truncate then break it in one place.
 */
#include <errno.h>
#include <fcntl.h>
#include <popt.h>

#include "tests/lib/build.h"

enum { MAX_BLOCKS = 64, MAX_RUNS = 64 };

static int plain, devices_only, ignore_shared, no_config, no_end, no_bitmaps;
static int interrupted, big_endian, part, was_running, page_bits, parts;
static int no_devices, no_footers, no_pages, flush, unsaid;
static long long trailing, truncate_to = -1, advise;
static char *machine, *uuid, *libvirt, *vmdesc, *state;
static char *early_bytes, *part_bytes, *late_bytes;
static int ram_id = 2;
static char **blocks_opt, **devices_opt, **early_opt, **patches, **ignored;

#define FLAG(name, var, help)                                 \
	{                                                     \
		name, 0, POPT_ARG_NONE, &(var), 0, help, NULL \
	}
#define TEXT(name, var, help, arg)                             \
	{                                                      \
		name, 0, POPT_ARG_STRING, &(var), 0, help, arg \
	}
#define LIST(name, var, help, arg)                           \
	{                                                    \
		name, 0, POPT_ARG_ARGV, &(var), 0, help, arg \
	}

/* clang-format off */
static const struct poptOption options[] = {
	FLAG("plain", plain, "a plain stream"),
	FLAG("devices", devices_only, "device state only"),
	LIST("block", blocks_opt, "a RAM block; pages with data",
	     "NAME=PAGES[:FIRST+N,...]"),
	LIST("ignored", ignored, "a RAM block that is left out", "NAME=PAGES"),
	LIST("device", devices_opt, "a device section", "NAME=BYTES"),
	LIST("early", early_opt, "a device section before memory",
	     "NAME=BYTES"),
	TEXT("machine", machine, "machine type", "NAME"),
	TEXT("uuid", uuid, "16 characters", "TEXT"),
	TEXT("state", state, "what globalstate says", "STATE"),
	TEXT("vmdesc", vmdesc, "full, none, zero (bytes), @FILE, or a text",
	     "HOW"),
	TEXT("early-bytes", early_bytes, "bytes before memory", "HEX"),
	TEXT("part-bytes", part_bytes, "a PART of ram with these", "HEX"),
	TEXT("late-bytes", late_bytes, "bytes before the end", "HEX"),
	{ "ram-id", 0, POPT_ARG_INT, &ram_id, 0, "section id of ram", "N" },
	TEXT("libvirt", libvirt, "with libvirt's header", "FORMAT"),
	FLAG("big-endian", big_endian, "libvirt's header is"),
	FLAG("part", part, "libvirt had not finished"),
	FLAG("was-running", was_running, "libvirt's flag"),
	FLAG("ignore-shared", ignore_shared, "that capability"),
	FLAG("no-config", no_config, "no configuration section"),
	FLAG("no-footers", no_footers, "sections have no footers"),
	FLAG("no-end", no_end, "no END of ram, as background-snapshot"),
	FLAG("no-bitmaps", no_bitmaps, "leave all bitmaps clear"),
	FLAG("no-pages", no_pages, "a plain stream does not send any"),
	FLAG("no-devices", no_devices, "no device section at all"),
	FLAG("interrupted", interrupted, "stop after the pages"),
	FLAG("flush", flush, "FLUSH words, as with multifd"),
	{ "parts", 0, POPT_ARG_INT, &parts, 0, "empty PARTs", "N" },
	{ "page-bits", 0, POPT_ARG_INT, &page_bits, 0, "page size", "N" },
	FLAG("unsaid", unsaid, "the configuration does not say page-bits"),
	{ "advise", 0, POPT_ARG_LONGLONG, &advise, 0,
	  "POSTCOPY_ADVISE with these page sizes", "MASK" },
	{ "trailing", 0, POPT_ARG_LONGLONG, &trailing, 0,
	  "zeros after all", "N" },
	LIST("patch", patches, "put bytes", "OFFSET=HEX"),
	{ "truncate", 0, POPT_ARG_LONGLONG, &truncate_to, 0,
	  "cut the file", "BYTES" },
	POPT_AUTOHELP
	POPT_TABLEEND
};
/* clang-format on */

static void die(const char *what, const char *arg)
{
	(void)fprintf(stderr, "mkimage: %s: %s\n", what, arg);
	exit(2);
}

static uint64_t number(const char **s, const char *all)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(*s, &end, 0);
	if (end == *s || errno)
		die("not a number", all);
	*s = end;
	return n;
}

/* "NAME=NUMBER"; the name may hold '='. Returns what follows the number. */
static const char *name_number(const char *arg, char name[NAME_SIZE],
			       uint64_t *n)
{
	const char *eq = strrchr(arg, '=');

	if (!eq || eq == arg || eq - arg > NAME_MAX_LEN)
		die("NAME=NUMBER expected", arg);
	memcpy(name, arg, (size_t)(eq - arg));
	name[eq - arg] = '\0';
	eq++;
	*n = number(&eq, arg);
	return eq;
}

static struct build_block block[MAX_BLOCKS];
static struct build_run runs[MAX_BLOCKS][MAX_RUNS];
static char names[MAX_BLOCKS][NAME_SIZE];
static size_t n_blocks;

static void add_block(const char *arg, bool left_out, uint32_t page_size)
{
	struct build_block *b = &block[n_blocks];
	struct build_run *r = runs[n_blocks];
	uint64_t pages;
	const char *s;

	if (n_blocks == MAX_BLOCKS)
		die("too many blocks", arg);
	s = name_number(arg, names[n_blocks], &pages);
	*b = (struct build_block){ .name = names[n_blocks],
				   .length = pages * page_size,
				   .runs = r,
				   .addr = n_blocks << 32,
				   .ignored = left_out };
	while (*s == ':' || *s == ',') {
		if (b->n_runs == MAX_RUNS)
			die("too many runs", arg);
		s++;
		r[b->n_runs].first = number(&s, arg);
		if (*s++ != '+')
			die("FIRST+N expected", arg);
		r[b->n_runs++].n = number(&s, arg);
	}
	if (*s)
		die("what is this", s);
	n_blocks++;
}

static void put_devices(struct build *b, char **list)
{
	for (; list && *list; list++) {
		char name[NAME_SIZE];
		uint64_t size;

		(void)name_number(*list, name, &size);
		build_filler(b, name, size);
	}
}

static void put_advise(struct build *b)
{
	uint8_t data[16];

	put_be64(data, (uint64_t)advise);
	put_be64(data + 8, b->page_size);
	build_command(b, STREAM_CMD_POSTCOPY_ADVISE, data, sizeof(data));
}

static void put_hex_at(struct build *b, const char *s, uint64_t at)
{
	for (; *s; s += 2) {
		unsigned int byte = 0;
		uint8_t v;

		if (!s[1] || sscanf(s, "%2x", &byte) != 1)
			die("not hexadecimal", s);
		v = (uint8_t)byte;
		build_put_at(b, &v, 1, at++);
	}
}

static void put_hex(struct build *b, const char *s)
{
	if (!s)
		return;
	put_hex_at(b, s, b->at);
	b->at += strlen(s) / 2;
}

static void put_ram(struct build *b)
{
	build_ram_start(b, block, n_blocks);
	if (interrupted)
		return;
	for (int i = 0; i < parts; i++)
		build_ram_empty(b, STREAM_PART);
	if (plain && flush) {
		build_element(b, STREAM_PART, b->ram_id, NULL, 0);
		build_word(b, RAM_FLUSH);
		build_word(b, RAM_EOS);
		build_footer(b, b->ram_id);
	} else if (plain && !no_pages) {
		build_ram_pages(b, STREAM_PART, block, n_blocks);
	}
	if (part_bytes) {
		build_element(b, STREAM_PART, b->ram_id, NULL, 0);
		put_hex(b, part_bytes);
		build_footer(b, b->ram_id);
	}
	if (!no_bitmaps && !plain)
		build_bitmaps(b, block, n_blocks);
	if (!no_end) {
		build_command(b, STREAM_CMD_SWITCHOVER_START, "", 0);
		build_ram_empty(b, STREAM_END);
	}
}

static void put_vmdesc_file(struct build *b, const char *path)
{
	static char text[1 << 25]; /* longer than any that is read */
	FILE *f = fopen(path, "re");

	build_check(f != NULL, path);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	build_check(!fclose(f), path);
	build_vmdesc_text(b, text);
}

static void put_end(struct build *b)
{
	put_hex(b, late_bytes);
	build_eof(b);
	if (!vmdesc || !strcmp(vmdesc, "full"))
		build_vmdesc(b);
	else if (!strcmp(vmdesc, "zero"))
		build_vmdesc_text(b, "");
	else if (*vmdesc == '@')
		put_vmdesc_file(b, vmdesc + 1);
	else if (strcmp(vmdesc, "none") != 0)
		build_vmdesc_text(b, vmdesc);
}

static void put_patch(struct build *b, const char *arg)
{
	const char *s = arg;
	uint64_t at = number(&s, arg);

	if (*s++ != '=')
		die("OFFSET=HEX expected", arg);
	put_hex_at(b, s, at);
}

static void put_all(struct build *b)
{
	if (libvirt) {
		const char *name;
		struct libvirt_header h = { .complete = !part,
					    .big_endian = big_endian,
					    .version = LIBVIRT_VERSION,
					    .was_running = was_running };

		while ((name = libvirt_format_name(h.format)) &&
		       strcmp(name, libvirt) != 0)
			h.format++;
		if (!name)
			die("no such format", libvirt);
		build_libvirt(b, h, "<domain type='kvm'/>", 65536);
	}
	build_header(b);
	if (!no_config && !devices_only)
		build_config(b);
	if (advise)
		put_advise(b);
	put_devices(b, early_opt);
	put_hex(b, early_bytes);
	if (!devices_only)
		put_ram(b);
	if (interrupted)
		return;
	if (!no_devices) {
		build_globalstate(b, state ? state : "running");
		put_devices(b, devices_opt);
	}
	put_end(b);
	for (; trailing > 0; trailing--)
		build_put(b, "", 1); /* a zero */
}

static void configure(struct build *b)
{
	b->no_footers = no_footers;
	b->ram_id = (uint32_t)ram_id;
	b->page_size = page_bits ? 1U << page_bits : 4096;
	b->config.mapped_ram = !plain;
	b->config.ignore_shared = ignore_shared;
	b->config.target_page_bits = unsaid ? 0 : (unsigned int)page_bits;
	(void)snprintf(b->config.machine, sizeof(b->config.machine), "%s",
		       machine ? machine : "pc-i440fx-10.0");
	if (uuid) {
		b->config.has_uuid = true;
		memcpy(b->config.uuid, uuid, strnlen(uuid, 16));
	}
	for (char **s = blocks_opt; s && *s; s++)
		add_block(*s, false, b->page_size);
	for (char **s = ignored; s && *s; s++)
		add_block(*s, true, b->page_size);
	if (!n_blocks) {
		add_block("pc.ram=1024:0+160,300+8", false, b->page_size);
		add_block("pc.bios=64:0+64", false, b->page_size);
	}
}

int main(int argc, char **argv)
{
	struct build b = { .next_id = 3 };
	poptContext ctx =
		poptGetContext("mkimage", argc, (void *)argv, options, 0);
	const char *path;
	int rc = poptGetNextOpt(ctx);

	if (rc < -1)
		die(poptBadOption(ctx, 0), poptStrerror(rc));
	path = poptGetArg(ctx);
	if (!path)
		die("no", "FILE");
	b.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	build_check(b.fd >= 0, path);
	configure(&b);
	put_all(&b);
	build_done(&b);
	for (char **s = patches; s && *s; s++)
		put_patch(&b, *s);
	if (truncate_to >= 0)
		build_check(!ftruncate(b.fd, truncate_to), "ftruncate");
	build_check(!close(b.fd), path);
	poptFreeContext(ctx);
	return 0;
}
