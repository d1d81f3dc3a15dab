/* error.c - filling errors: in place, without memory, first failure wins. */
#include "libmr/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/name.h"

static int vfail(struct mr_error *err, enum mr_code code, int sys,
		 uint64_t offset, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

const char *mr_code_name(enum mr_code code)
{
	static const char *const names[] = {
		[MR_OK] = "ok",
		[MR_SYS] = "system",
		[MR_SHORT] = "short",
		[MR_FORMAT] = "format",
		[MR_UNSUPPORTED] = "unsupported",
		[MR_QMP] = "qmp",
		[MR_REFUSED] = "refused",
		[MR_MISMATCH] = "mismatch",
		[MR_CANCELLED] = "cancelled",
		[MR_NOMEM] = "memory",
		[MR_USAGE] = "usage",
	};

	return names[code];
}

/* One line of text whatever went in: names come from files and from QEMU, and
 * a precision or the end of the buffer may cut a character in two. */
static void make_text(char *p)
{
	size_t left = strlen(p), n;

	for (; left; p += n, left -= n) {
		for (n = 1; n <= 4 && n <= left && !name_is_text(p, n); n++)
			;
		if (n <= 4 && n <= left)
			continue;
		*p = '?';
		n = 1;
	}
}

static int vfail(struct mr_error *err, enum mr_code code, int sys,
		 uint64_t offset, const char *fmt, va_list ap)
{
	size_t used;

	if (!err || err->code != MR_OK)
		return -1;
	err->code = code;
	err->sys = sys;
	err->offset = offset;
	err->who = 0;
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	used = strlen(err->msg);
	if (sys && used + 4 < sizeof(err->msg)) {
		char text[128];
		const char *s = strerror_r(sys, text, sizeof(text));

		(void)snprintf(err->msg + used, sizeof(err->msg) - used, ": %s",
			       s);
	}
	make_text(err->msg);
	return -1;
}

int error_set(struct mr_error *err, enum mr_code code, uint64_t offset,
	      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfail(err, code, 0, offset, fmt, ap);
	va_end(ap);
	return -1;
}

int error_sys(struct mr_error *err, uint64_t offset, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	(void)vfail(err, MR_SYS, saved, offset, fmt, ap);
	va_end(ap);
	errno = saved;
	return -1;
}

int error_about(struct mr_error *err, unsigned who)
{
	if (err && err->code != MR_OK && err->code != MR_CANCELLED &&
	    err->code != MR_NOMEM && !err->who)
		err->who = who;
	return -1;
}

bool error_is_damage(const struct mr_error *err)
{
	return err->code == MR_FORMAT || err->code == MR_SHORT ||
	       err->code == MR_UNSUPPORTED;
}

int error_fault(struct mr_error *err, const struct fault *f, uint64_t base)
{
	enum mr_code code = MR_FORMAT;

	if (f->kind == FAULT_SHORT)
		code = MR_SHORT;
	else if (f->kind == FAULT_UNSUPPORTED)
		code = MR_UNSUPPORTED;
	if (f->has_value)
		return error_set(err, code, base + f->at, "%s (%" PRIu64 ")",
				 f->what, f->value);
	return error_set(err, code, base + f->at, "%s", f->what);
}
