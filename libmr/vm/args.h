/*
 * args.h - the command line of a QEMU, taken apart and changed.
 *
 * Words are argv's: "-m", "4G". Which options take no value is QEMU's own list;
 * one that is not known is taken to have one.
 */
#ifndef LIBMR_ARGS_H
#define LIBMR_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

struct qemu_args {
	char **v; /* the last one is NULL; all from malloc */
	size_t n, room;
};

struct qemu_option {
	const char
		*name; /* without dashes; -M is "machine"; "": a disk image */
	const char *value; /* NULL: it has none */
	size_t at; /* its place in v */
	size_t words; /* 1 or 2 */
};

/* Copies argv, whose first word is the program. -1: the last option lacks its
 * value (MR_USAGE), or no memory. */
int args_init(struct qemu_args *a, const char *const *argv,
	      struct mr_error *err);
void args_release(struct qemu_args *a); /* a may be { 0 } */

/* The option at *at, which moves to the next; start with 1. false: none. What
 * it points to is valid until a changes. */
bool args_next(const struct qemu_args *a, size_t *at, struct qemu_option *o);
/* The last option of that name; false: none. */
bool args_last(const struct qemu_args *a, const char *name,
	       struct qemu_option *o);

/* Adds an option at the end; value may be NULL. 0 or -1. */
int args_add(struct qemu_args *a, const char *name, const char *value,
	     struct mr_error *err);
/* Gives one that has a value another. */
int args_set(struct qemu_args *a, const struct qemu_option *o,
	     const char *value, struct mr_error *err);
/* Takes all options of that name away. */
void args_drop_all(struct qemu_args *a, const char *name);

/*
 * The properties of a value: "pc,accel=kvm" or a JSON object, whose numbers
 * and booleans become text ("on", "off") and whose parts have names with dots.
 */
struct qemu_prop {
	char *key, *value;
};
struct qemu_props {
	struct qemu_prop *list;
	size_t n, room;
};

/* implied: the key of a first word without one; NULL: it is a flag ("on"). -1:
 * it is not such a value (MR_USAGE), or no memory. */
int props_parse(struct qemu_props *p, const char *text, const char *implied,
		struct mr_error *err);
/* Those of all options of a name that QEMU puts together: -m, -smp, -machine.
 */
int props_of(const struct qemu_args *a, const char *name, const char *implied,
	     struct qemu_props *p, struct mr_error *err);
void props_release(struct qemu_props *p); /* p may be { 0 } */
/* The last one counts. NULL: there is none. */
const char *props_get(const struct qemu_props *p, const char *key);
/* "on", "yes", "true", "y". */
bool props_on(const struct qemu_props *p, const char *key);
/* Sets it, in place of those of the same key; NULL: takes it away. */
int props_set(struct qemu_props *p, const char *key, const char *value,
	      struct mr_error *err);
/* As QEMU reads it, to be freed. NULL: no memory. */
char *props_text(const struct qemu_props *p, struct mr_error *err);

/* A size as QEMU reads it: digits, hexadecimal, a fraction, a suffix; unit is
 * that of a number without one. false: it is none. */
bool args_size(const char *text, uint64_t unit, uint64_t *size);

#endif
