/*
 * relay.h - QMP to a domain of libvirt's, whose monitor libvirt has.
 *
 * A VM may be called libvirt:DOMAIN, by name or UUID, or libvirt+URI:DOMAIN.
 * A program of ours (tools/libvirt/relay.c), where it was built, speaks QMP on
 * one end of a pair of sockets, and with libvirt.
 */
#ifndef LIBMR_RELAY_H
#define LIBMR_RELAY_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

#include "libmr/mr.h"

/* How to start it: so that a guardian can, who may not allocate. */
struct relay_plan {
	char path[PATH_MAX]; /* of the program; "": there is nothing to start */
	char uri[512], domain[256];
};
/* MR_USAGE: this is no name of a domain; MR_UNSUPPORTED: there is no program.
 */
int relay_look(struct relay_plan *p, const char *vm, struct mr_error *err);
/* Starts it; safe in a forked child. A connected socket, or -1 with errno. */
int relay_dial(const struct relay_plan *p);

/* Both. A connected socket, or -1: MR_UNSUPPORTED: it is not there. */
int relay_open(const char *vm, struct mr_error *err);

/* What its greeting says in addition to QEMU's: the domain's process, 0 if that
 * could not be proven. false: this is no relay's. */
bool relay_pid(const json_t *greeting, pid_t *pid);
/* And what it says of the domain. */
struct mr_domain relay_domain(const json_t *greeting);

#endif
