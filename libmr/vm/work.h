/*
 * work.h - whether a QEMU that does not answer is at work: its main loop reads
 * memory from a file, and hears nobody meanwhile.
 */
#ifndef LIBMR_WORK_H
#define LIBMR_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes that the process has read from files, as the kernel counts them; 0: it
 * does not tell us. */
uint64_t work_read(pid_t pid);

struct work {
	pid_t pid; /* 0: nobody can watch it */
	double patience; /* seconds */
	double since; /* when there was work last; of watch_clock */
	uint64_t done; /* what there was then */
};

/* now is watch_clock's. */
void work_begin(struct work *w, pid_t pid, double patience, double now);
/* Whether there was work less than w->patience ago. */
bool work_goes_on(struct work *w, double now);

#endif
