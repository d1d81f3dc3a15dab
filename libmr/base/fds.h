/*
 * fds.h - descriptors that a child keeps. Safe in a signal handler, so after
 * any fork.
 */
#ifndef LIBMR_FDS_H
#define LIBMR_FDS_H

#include <stdbool.h>
#include <stddef.h>

bool fds_among(const int *list, size_t n, int fd);

/* Closes every descriptor from 3 on but these, so that the parent's files and
 * the caller's pipes are not kept open. */
void fds_close_others(const int *keep, size_t n);

#endif
