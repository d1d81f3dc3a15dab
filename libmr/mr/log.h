/* mr/log.h - the messages of a Linux guest's kernel. */
#ifndef LIBMR_MR_LOG_H
#define LIBMR_MR_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/ram.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

struct mr_log_options {
	unsigned jobs; /* worker threads, at most MR_JOBS_MAX; 0: CPUs, <= 8 */
	/* AUTO reads around the page cache what is not in it. An image must
	 * have been opened with the same. */
	enum mr_direct direct;
	struct mr_watch watch;
};

struct mr_log_record {
	uint64_t ns; /* since boot */
	const char *text; /* any bytes; no NUL behind them */
	size_t len; /* of it, bytes; there may be newlines in it */
};

struct mr_log_report {
	char release[128]; /* the kernel's version */
	size_t n_records;
	struct mr_log_record *records; /* the oldest first */
	void *bytes; /* the texts are in it */
};

/*
 * The message buffer of an x86_64 kernel, 3.5 or later, as dmesg has it. All of
 * the memory is read for the text in which the kernel says where it is
 * (VMCOREINFO), whose kernel must be proven to be the one that runs; what it
 * says is found by the kernel's own page tables. The caller releases *report,
 * on failure too. 0 or -1; MR_UNSUPPORTED: the guest is no Linux, or does not
 * tell; MR_FORMAT: the buffer is not that; MR_QMP: a VM has run meanwhile.
 */
int mr_log(struct mr_ram *ram, const struct mr_log_options *options,
	   struct mr_log_report *report, struct mr_error *err);
void mr_log_release(struct mr_log_report *report);

#pragma GCC visibility pop

#endif
