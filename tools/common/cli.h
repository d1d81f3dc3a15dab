/*
 * cli.h - what every tool shares: options, sizes, messages, progress, JSON,
 * signals and the exit status.
 *
 * Results go to stdout, everything else to stderr. A tool's main is
 *
 *	ctx = cli_parse(argc, argv, options, "FILE...");
 *	... poptGetArg(ctx), calls into libmr with cli_watch() ...
 *	poptFreeContext(ctx);
 *	return cli_finish(status);
 */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <limits.h>
#include <popt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

/* Exit statuses: the same in every tool, and none changes its meaning. */
enum cli_status {
	CLI_OK = 0, /* done, the same, sound */
	CLI_NO = 1, /* the answer is no: it differs, it is damaged */
	CLI_TROUBLE = 2, /* usage or trouble; nothing was published */
	CLI_REFUSED = 3, /* refused beforehand; the VM was not touched */
	CLI_STUCK = 4, /* the VM could not be put back as it was found */
};

/* What the common options said; set by cli_parse. */
struct cli {
	const char *tool; /* the tool's name, for messages */
	int schema; /* of its JSON; the tool sets it before it parses */
	const char *with; /* what --version says, too; or NULL; as schema */
	bool domains; /* a VM may be libvirt's; as schema */
	int quiet;
	int verbose;
	int json;
	int progress_fd; /* of --progress=FD; -1: not given */
	/* The work is done and stays so: that its report cannot be written is
	 * told, but is no trouble. */
	bool done;
};
extern struct cli cli;

/* -q -v --json --progress --version -h; the last line of a tool's table is
 *	{ NULL, 0, POPT_ARG_INCLUDE_TABLE, cli_common, 0, "Common options:",
 *	  NULL }, */
extern struct poptOption cli_common[];

/*
 * Reads all options (they must store through their arg pointers: popt's val
 * is for cli_common) and installs the signal handlers. args names what
 * follows the options, for the usage line. A bad option is told, in JSON too
 * if --json came before it, and exits with CLI_TROUBLE; --help, --usage and
 * --version exit too. The caller frees the context, which owns what poptGetArg
 * returns.
 */
poptContext cli_parse(int argc, char **argv, const struct poptOption *options,
		      const char *args);

/* The one that counts where there are several. */
static inline int cli_worse(int a, int b)
{
	return a > b ? a : b;
}

/* ---- messages (tools/common/message.c) ---- */

/* Tells a usage error, with a pointer to --help. Returns CLI_TROUBLE. */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * "TOOL: PATH: message at byte N"; returns the exit status that the error calls
 * for. paths are those that the call was given, in its order (err->who); of a
 * call with only one every error is about that.
 */
int cli_fail(const struct mr_error *err, const char *const *paths);
#define CLI_PATHS(...) ((const char *const[]){ __VA_ARGS__, NULL })
/* The same for what no call of libmr said; path may be NULL. With MR_SYS errno
 * is told too, unless it is 0. */
int cli_trouble(const char *path, enum mr_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int cli_no_memory(void);

/* The first failure of those three that JSON has not told yet, or NULL: it
 * counts as told then. Valid until the next. */
struct cli_failure {
	const char *path; /* NULL: about none */
	int status; /* what the call returned */
	struct mr_error error;
};
const struct cli_failure *cli_failure(void);

/* "TOOL: message"; cli_note only with -v. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- while a verb works (tools/common/teller.c, progress.c) ---- */

/* For a struct mr_watch. Neither ever waits for whoever reads it. */
void cli_tell_progress(void *arg, uint64_t done, uint64_t total);
void cli_tell_note(void *arg, const char *line); /* only with -v */
/* Waits until all has been said, and takes the progress line away; messages do
 * it by themselves. After a signal it waits a second at most. */
void cli_tell_end(void);

/* Whether anybody sees progress; say it, a note, and take the line away. */
bool cli_progress_wanted(void);
void cli_progress_show(uint64_t done, uint64_t total);
void cli_progress_note(const char *text);
void cli_progress_clear(void);

/* ---- running ---- */

/*
 * For a libmr verb: progress (a line on a terminal, "N/100" lines on
 * --progress=FD), notes with -v, and a cancel flag that SIGINT, SIGTERM and
 * SIGHUP raise.
 */
const struct mr_watch *cli_watch(void);
extern atomic_bool cli_cancel;

/*
 * The exit status: status, or at least CLI_TROUBLE if what went to stdout
 * could not be written (told). With --json a failure goes there, if nothing
 * else did. Call it last, once.
 */
int cli_finish(int status);

/* ---- values of options (tools/common/option.c) ---- */

/*
 * A size: digits, then nothing or one of K M G T (or KiB MiB GiB TiB), powers
 * of 1024. "option" is named in the message. Returns 0, or -1 after telling
 * what is wrong with it.
 */
int cli_size(const char *option, const char *text, uint64_t *size);
/* Bytes a second, as a size, of 4 KiB at least; text may be NULL: 0. CLI_OK, or
 * CLI_TROUBLE after telling what is wrong with it. */
int cli_limit(const char *text, uint64_t *limit);
/* One of three words, the first where text is NULL: its place, or -1 after
 * telling what they are. */
int cli_choice(const char *option, const char *text,
	       const char *const words[3]);
/* "auto", "on", "off": in the order of enum mr_direct and mr_zero_copy. */
extern const char *const cli_when[3];
/* A number that no option has: it was not given. */
enum { CLI_NOT_GIVEN = INT_MIN };
/* What --direct (NULL: not given) and --jobs say; --pid. Each returns CLI_OK,
 * or CLI_TROUBLE after telling what is wrong with it. */
int cli_io(const char *direct, int jobs, enum mr_direct *how,
	   unsigned *threads);
int cli_pid(int given, int *pid);
/* The image of --vmdesc-from, which has a description of devices; to be freed.
 * NULL after telling what is wrong with it. */
struct mr_image *cli_describer(const char *path, int *status);

/* ---- text (tools/common/text.c, table.c) ---- */

/* A number of bytes as people read it: "4 KiB", "1.5 GiB", rounded down. */
#define CLI_HUMAN 32
const char *cli_human(char buf[CLI_HUMAN], uint64_t bytes);
/* "xxxxxxxx-xxxx-...". */
#define CLI_UUID 37
const char *cli_uuid(char buf[CLI_UUID], const uint8_t uuid[16]);
/* MiB in each second; 0 where no time has passed. */
double cli_rate(uint64_t bytes, double seconds);

/*
 * Text from a file or from QEMU, safe for a terminal and for JSON: control
 * characters and bytes that are not UTF-8 become \xNN. Returns buf. 4 bytes
 * for each of the text's, and one, are always enough.
 */
const char *cli_escape(char *buf, size_t size, const char *text);

/*
 * Columns that line up, on stdout, two blanks before each. align has 'l' or
 * 'r' for every column (at most 31); cells are given row by row. Printing
 * frees the table. NULL (out of memory) may be passed on: printing tells.
 */
struct cli_table;
struct cli_table *cli_table_new(const char *align);
void cli_table_cell(struct cli_table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void cli_table_print(struct cli_table *t);

/* ---- JSON (tools/common/json.c) ---- */

/*
 * To stdout, piece by piece:
 *
 *	cli_json_begin();
 *	cli_json_put_number("count", 1);
 *	cli_json_put_open("list", '[');
 *	cli_json_item(), cli_json_string("a");
 *	return cli_json_end();
 *
 * What goes wrong on the way is told at the end.
 */
void cli_json_begin(void); /* an object with "schema" and "tool" */
void cli_json_open(char bracket);
void cli_json_close(void); /* the innermost */
void cli_json_key(const char *key); /* before a value in an object */
void cli_json_item(void); /* before a value in an array */
/*
 * Values. Of text, bytes that are not UTF-8 become \xNN; numbers that JSON's
 * readers cannot hold, of 2^63 and more, null; infinities, strings.
 */
void cli_json_string(const char *text);
void cli_json_number(uint64_t n);
void cli_json_signed(int64_t n);
void cli_json_real(double d);
void cli_json_bool(bool v);
void cli_json_null(void);
/* A string of hexadecimal digits with something plain in front. */
void cli_json_hex(const char *prefix, const uint8_t *bytes, size_t n);
/* Items of `size` bytes each, one behind the other. */
void cli_json_hex_items(const char *prefix, const uint8_t *bytes, size_t size,
			uint64_t count);
/* Members: a key and its value. */
void cli_json_put_open(const char *key, char bracket);
void cli_json_put_text(const char *key, const char *text); /* NULL: null */
void cli_json_put_number(const char *key, uint64_t n);
void cli_json_put_real(const char *key, double d);
void cli_json_put_bool(const char *key, bool v);
void cli_json_put_null(const char *key);
/* "error", an object, if there is a failure (cli_failure). */
void cli_json_put_failure(void);
/* Something was to be printed for which there was no memory. */
void cli_json_no_memory(void);
/* Closes what is open, with a failure if there is one. CLI_OK; or CLI_TROUBLE
 * if memory ran out, which it tells, or stdout cannot be written, which
 * cli_finish tells. */
int cli_json_end(void);
/* A document of its own for a failure, if there is one and was no other. */
void cli_json_failure(int status);

#endif
