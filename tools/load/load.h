/* load.h - the parts of mrload. */
#ifndef TOOLS_LOAD_H
#define TOOLS_LOAD_H

#include <stdbool.h>

#include "libmr/mr.h"

/* ---- instant.c: --instant ---- */

struct load_instant {
	enum mr_load_then then;
	int check; /* nothing is started */
	int print; /* nor, but its command line is shown */
	int strict, no_lock;
	unsigned record_seconds; /* 0: no record is written */
	const char *record; /* NULL: beside the image */
	enum mr_prefault prefault;
	int force;
	int verify; /* all of the image, before it is used */
};

/* Whether all of the image, pages too, is as it was sealed; shown is its name
 * in messages. *mark (NULL: not wanted) is of what was read. Or the exit
 * status. */
int load_verify(const char *image, const char *shown,
		struct mr_file_mark *mark);

/* Becomes the QEMU of argv; the exit status if it does not. */
int load_instant(const char *image, const char *const *argv,
		 const struct load_instant *o);

/* ---- domain.c: a domain of libvirt's that is off ---- */

struct load_domain {
	enum mr_load_then then;
	int check; /* nothing is restored */
	int force; /* an image that is not as it was sealed, too */
	int verify; /* an image without a seal is refused */
	enum mr_direct direct;
	unsigned jobs;
};

/* Has libvirt restore it; fills *r, and says what failed. The exit status. */
int load_domain(const char *image, const char *vm, const struct load_domain *o,
		struct mr_convert_report *r);

#endif
