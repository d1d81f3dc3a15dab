/*
 * pour.h - pages as they come, into a sink: one thread's.
 *
 * Pages that follow each other are put together, those that are zero counted
 * as zero whatever the source calls them. What was poured is in the sink's
 * hands after pour_end; until then who pours may pour the same page again.
 */
#ifndef LIBMR_POUR_H
#define LIBMR_POUR_H

#include "libmr/memory/sink.h"

struct pour {
	struct sink *to;
	const struct memory *m; /* its blocks */
	struct memory_tally tally;
	/* What follows each other: pages in buf, or zeros. */
	unsigned char *buf; /* ours */
	size_t block, pages;
	uint64_t offset;
	bool zeros;
};

/* MR_NOMEM. */
int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      struct mr_error *err);
void pour_release(struct pour *p);

/* n pages that lie side by side at bytes, which is page-aligned and may be
 * changed. */
int pour_pages(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err);

/* A place for one page, to be filled at once; NULL: *err. */
unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err);
int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err);

/* Puts what is held back. */
int pour_end(struct pour *p, struct mr_error *err);

#endif
