/*
 * error.h - filling a struct mr_error (libmr/mr/error.h).
 *
 * Every function here returns -1 so that a failure is one statement. The
 * first failure wins: an error that is already filled is left alone. err may
 * be NULL: then nothing is recorded.
 */
#ifndef LIBMR_ERROR_H
#define LIBMR_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/fault.h"
#include "libmr/mr.h"

int error_set(struct mr_error *err, enum mr_code code, uint64_t offset,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* As error_set with code MR_SYS; errno is saved first and named in the text. */
int error_sys(struct mr_error *err, uint64_t offset, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Says which of the verb's arguments an error is about (mr_error.who), where
 * one comes out of a call that is about one. As for all else the first wins.
 * Nobody is to blame for a cancel, or for want of memory.
 */
int error_about(struct mr_error *err, unsigned who);

/* Whether it is a file that is to blame, and not we or the machine: what stops
 * a parser, and is kept with what was read. */
bool error_is_damage(const struct mr_error *err);

/* A decoder's fault, in a buffer that began at byte base of the file. */
int error_fault(struct mr_error *err, const struct fault *f, uint64_t base);

#endif
