/*
 * mr.h - libmr's one public header: what the tools may call.
 *
 * No call here prints, exits or keeps global state. A call that can fail
 * returns 0 or -1 (or a pointer or NULL) and fills the struct mr_error that
 * the caller passed; start it as MR_ERROR_INIT. Strings that a call hands out
 * belong to the handle they came from unless the declaration says otherwise.
 */
#ifndef LIBMR_MR_H
#define LIBMR_MR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- errors ---- */

enum mr_code {
	MR_OK = 0,
	MR_SYS, /* the system said no: err.sys is errno */
	MR_SHORT, /* the file ends too early */
	MR_FORMAT, /* bytes that break the format */
	MR_UNSUPPORTED, /* legal, but not something we do */
	MR_QMP, /* QEMU said no, or stopped talking */
	MR_REFUSED, /* preflight: nothing was touched */
	MR_MISMATCH, /* the image does not fit this VM */
	MR_CANCELLED, /* the caller's cancel flag was raised */
	MR_NOMEM,
	MR_USAGE, /* arguments that make no sense together */
};

#define MR_NO_OFFSET UINT64_MAX

struct mr_error {
	enum mr_code code;
	int sys; /* errno, or 0 */
	uint64_t offset; /* byte in the file, or MR_NO_OFFSET */
	char msg[240]; /* no path, no newline, no full stop */
};
#define MR_ERROR_INIT                                 \
	{                                             \
		.code = MR_OK, .offset = MR_NO_OFFSET \
	}

/* ---- what every long verb takes ---- */

enum mr_direct {
	MR_DIRECT_AUTO, /* direct I/O where the file system gives it */
	MR_DIRECT_ON, /* fail rather than go through the page cache */
	MR_DIRECT_OFF,
};

/* How a verb talks to its caller while it runs. Start as { 0 }. */
struct mr_watch {
	/* Called now and then from one thread at a time; NULL: not wanted.
	 * done and total are bytes of memory dealt with. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* One line worth telling with -v: no newline. NULL: not wanted. */
	void (*note)(void *arg, const char *line);
	void *arg;
	/* Raised by a signal handler: the verb undoes its work and returns
	 * MR_CANCELLED. NULL: cannot be cancelled. */
	const atomic_bool *cancel;
};

#endif
