/*
 * pour.h - pages as they come, into a sink: one thread's.
 *
 * Pages that follow each other are put together, those that are zero counted
 * as zero whatever the source calls them. What was poured is in the sink's
 * hands after pour_end; until then who pours may pour the same page again.
 */
#ifndef LIBMR_POUR_H
#define LIBMR_POUR_H

#include <stdbool.h>

#include "libmr/file/outbox.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/twice.h"

/* What follows each other: pages in the buffer, or zeros. */
struct pour_run {
	size_t block, pages;
	uint64_t offset;
	bool zeros;
};

struct pour {
	struct sink *to;
	const struct memory *m; /* its blocks */
	struct memory_tally tally;
	/* The caller's, of all who pour into a sink; bytes of pages that are
	 * on their way. May be NULL. */
	void (*done)(void *arg, uint64_t bytes);
	void *arg;
	struct twice *twice; /* likewise; NULL: nobody else pours */
	struct pour_run run;
	struct outbox out;
};

/* Its buffers have size bytes, whole pages; so many others pour at the same
 * time. MR_NOMEM. */
int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      size_t size, unsigned others, struct mr_error *err);
void pour_release(struct pour *p);

/* The buffer, on a page. What lies there can be poured. */
unsigned char *pour_buffer(const struct pour *p);
/* All that was to be poured of the buffer was: there is another one. */
int pour_next(struct pour *p, struct mr_error *err);

/* n pages that lie side by side at bytes, in the buffer. */
int pour_pages(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err);

/* One page that lies anywhere: into a sink that is unsifted. */
int pour_through(struct pour *p, size_t block, uint64_t offset,
		 const unsigned char *page, struct mr_error *err);

/* A place for one page, to be filled at once; NULL: *err. */
unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err);
int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err);

/* Puts what is held back, and waits for what is under way. */
int pour_end(struct pour *p, struct mr_error *err);

#endif
