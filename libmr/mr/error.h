/* mr/error.h - why a call failed. */
#ifndef LIBMR_MR_ERROR_H
#define LIBMR_MR_ERROR_H

#include <stdint.h>

#pragma GCC visibility push(default)

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
	/* Which of the files and VMs that the call was given it is about, in
	 * the order of its declaration: 1 is the first. 0: none of them, or
	 * there is but one. */
	unsigned who;
	char msg[240]; /* no path, no newline, no full stop */
};
#define MR_ERROR_INIT                                 \
	{                                             \
		.code = MR_OK, .offset = MR_NO_OFFSET \
	}

/* "system", "short", "format", ...: a word for programs. */
const char *mr_code_name(enum mr_code code);

#pragma GCC visibility pop

#endif
