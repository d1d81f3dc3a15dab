/* message.c - what a tool says on stderr, and keeps of it for --json. */
#include "tools/common/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first failure that no JSON has told yet. */
static struct {
	bool pending;
	char *path; /* NULL: none, or no memory for it */
	struct cli_failure failure;
} kept;

static void say(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

/* Paths and QEMU's words are in messages: no line breaks, no escapes. */
static void say(const char *fmt, va_list ap)
{
	char text[2048], safe[4 * sizeof(text)];

	cli_tell_end();
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)fprintf(stderr, "%s: %s\n", cli.tool,
		      cli_escape(safe, sizeof(safe), text));
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void cli_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (cli.verbose)
		say(fmt, ap);
	va_end(ap);
}

/* ---- failures ---- */

/* Of every tool: what came out, not where. */
static int status_of(enum mr_code code)
{
	return code == MR_REFUSED || code == MR_MISMATCH ? CLI_REFUSED
							 : CLI_TROUBLE;
}

static void keep(const char *path, const struct mr_error *err)
{
	if (kept.pending)
		return;
	free(kept.path);
	kept.path = path ? strdup(path) : NULL;
	kept.pending = true;
	kept.failure = (struct cli_failure){ .path = kept.path,
					     .status = status_of(err->code),
					     .error = *err };
}

const struct cli_failure *cli_failure(void)
{
	if (!kept.pending)
		return NULL;
	kept.pending = false;
	return &kept.failure;
}

static int fail(const char *path, const struct mr_error *err)
{
	char at[48] = "";

	if (err->offset != MR_NO_OFFSET)
		(void)snprintf(at, sizeof(at), " at byte %" PRIu64,
			       err->offset);
	cli_say("%s%s%s%s", path ? path : "", path ? ": " : "", err->msg, at);
	keep(path, err);
	return status_of(err->code);
}

/* Which of the paths the error is about; NULL: none of them. */
static const char *blamed(const struct mr_error *err, const char *const *paths)
{
	size_t n = 0;

	while (paths[n])
		n++;
	if (err->who)
		return err->who <= n ? paths[err->who - 1] : NULL;
	return n == 1 ? paths[0] : NULL;
}

int cli_fail(const struct mr_error *err, const char *const *paths)
{
	return fail(blamed(err, paths), err);
}

int cli_trouble(const char *path, enum mr_code code, const char *fmt, ...)
{
	struct mr_error err = MR_ERROR_INIT;
	int n, saved = errno;
	va_list ap;

	err.code = code;
	va_start(ap, fmt);
	n = vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	if (code == MR_SYS && saved && n >= 0 && (size_t)n < sizeof(err.msg)) {
		err.sys = saved;
		(void)snprintf(err.msg + n, sizeof(err.msg) - (size_t)n, ": %s",
			       strerror(saved));
	}
	return fail(path, &err);
}

int cli_no_memory(void)
{
	return cli_trouble(NULL, MR_NOMEM, "out of memory");
}

int cli_usage(const char *fmt, ...)
{
	struct mr_error err = MR_ERROR_INIT;
	va_list ap;

	err.code = MR_USAGE;
	va_start(ap, fmt);
	(void)vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	(void)fail(NULL, &err);
	(void)fprintf(stderr, "Try '%s --help'.\n", cli.tool);
	return CLI_TROUBLE;
}
