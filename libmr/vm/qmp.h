/*
 * qmp.h - a QMP connection: QEMU's JSON monitor on a unix socket.
 *
 * One thread at a time may use a connection, and a command is sent when the
 * one before it has been answered: proxies (virt-qemu-qmp-proxy) stop for ever
 * over two at once. Replies are matched by id, so a call that was given up
 * (time, cancel) leaves nothing behind but its late reply, which the next call
 * throws away. A connection that broke (end of
 * file, bytes that are no QMP, a message beyond QMP_MESSAGE_MAX) stays broken
 * and says so again.
 *
 * Times are milliseconds; -1 means without limit. A cancel flag may be NULL.
 */
#ifndef LIBMR_QMP_H
#define LIBMR_QMP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <jansson.h>

#include "libmr/mr.h"
#include "libmr/vm/relay.h"

#define QMP_MESSAGE_MAX ((size_t)64 << 20)
/* Events kept while nobody asks for them; beyond that the oldest goes. */
#define QMP_EVENTS_MAX 4096

struct qmp;

/*
 * Connect, read the greeting, leave negotiation mode. timeout_ms covers all
 * of it: a server that is taken by another client accepts nobody else and
 * sends nothing, which ends here as MR_QMP "QMP socket is busy or silent".
 */
struct qmp *qmp_open(const char *path, int timeout_ms,
		     const atomic_bool *cancel, struct mr_error *err);
/* The same of a domain of libvirt's that may be off: then there is only what
 * libvirt itself answers (relay.c). */
struct qmp *qmp_open_domain(const char *name, int timeout_ms,
			    struct mr_domain *is, struct mr_error *err);
/*
 * The same socket once more, after the connection broke: q is as new then, but
 * for its limits; events may have been missed. Fails for one that was attached,
 * and if another process is there now.
 */
int qmp_reopen(struct qmp *q, int timeout_ms, struct mr_error *err);
/* Whether the process behind the socket has ended; waits as long for that.
 * False if that cannot be told. */
bool qmp_peer_gone(const struct qmp *q, int timeout_ms);
/* The same on a connected stream socket. fd is ours from here on, also when
 * this fails. */
struct qmp *qmp_attach(int fd, int timeout_ms, struct mr_error *err);
/* Closes the connection. q may be NULL. */
void qmp_free(struct qmp *q);

/* Limits of every later call of this connection: at first no time limit and
 * no cancel flag. The flag must outlive q, or be taken away with NULL. */
void qmp_limit(struct qmp *q, int timeout_ms, const atomic_bool *cancel);

/*
 * Whether a call goes on when its time is over: then it has as much again, and
 * so on. NULL, as at first: it does not.
 */
void qmp_patience(struct qmp *q, bool (*goes_on)(void *arg), void *arg);

/* Whether it broke: every call fails from then on. */
bool qmp_broken(const struct qmp *q);
/* The socket, for poll or for a guardian that inherits it. Still q's. */
int qmp_fd(const struct qmp *q);
/*
 * The process that made the listening socket: QEMU itself, unless a proxy
 * stands between. 0 when it lives in a pid namespace that we cannot see.
 */
int qmp_peer_pid(const struct qmp *q, pid_t *pid, struct mr_error *err);
/* Whether it goes through libvirt, which migrates its domains itself. */
bool qmp_is_libvirts(const struct qmp *q);
/* The "QMP" object of the greeting, borrowed: version and capabilities. */
const json_t *qmp_greeting(const struct qmp *q);

/*
 * Run a command. args (an object, or NULL) is stolen, also on failure. The
 * value of "return" goes to *ret, for the caller to json_decref; ret may be
 * NULL. An error of QEMU's is MR_QMP with QEMU's own text; a wait that took
 * too long is MR_QMP too, a raised cancel flag MR_CANCELLED.
 */
int qmp_call(struct qmp *q, const char *command, json_t *args, json_t **ret,
	     struct mr_error *err);

/* Whether the last call failed because QEMU answered with an error: it said
 * no, and did nothing. */
bool qmp_said_no(const struct qmp *q);

/*
 * Hand a duplicate of fd to QEMU with add-fd, into the set fdset_id, or a new
 * set when that is -1. Returns the set's id (QEMU opens /dev/fdset/ID), or -1.
 * fd stays the caller's.
 */
int64_t qmp_add_fd(struct qmp *q, int64_t fdset_id, int fd,
		   struct mr_error *err);
/* The same by a name, which is always the same: of a process that vanishes no
 * more than one stays behind. */
#define QMP_LENT_FD "mrtools-fd"
int qmp_lend_fd(struct qmp *q, int fd, struct mr_error *err);
int qmp_take_fd_back(struct qmp *q, struct mr_error *err);
int qmp_remove_fdset(struct qmp *q, int64_t fdset_id, struct mr_error *err);

/*
 * The oldest event whose name is in names (ended by NULL; names NULL: any),
 * from those that came meanwhile or else from the wire. Other events stay
 * queued. The caller owns the object. NULL on failure; a wait that took
 * longer than timeout_ms is MR_QMP, with 0 it only looks at what is there.
 */
json_t *qmp_wait_event(struct qmp *q, const char *const *names, int timeout_ms,
		       const atomic_bool *cancel, struct mr_error *err);
/*
 * Events that must not be missed however many others come: from now on qmp_seen
 * tells of each whose name is in names (ended by NULL, 64 at most; the array
 * must outlive q). They are queued besides, as all are.
 */
void qmp_watch(struct qmp *q, const char *const *names);
/* Bit i: names[i] has come since the last call, as far as the answers and
 * events that were read tell: whatever happened before QEMU answered the last
 * command is in it. */
uint64_t qmp_seen(struct qmp *q);
/* Forget the events that came so far, so that a later wait means later ones. */
int qmp_drop_events(struct qmp *q, struct mr_error *err);

/*
 * What a guardian may do in a child that holds a copy of the socket after its
 * owner died, maybe in the middle of a command: makes the server's parser
 * forget the fragment (byte 0xff), sends one command and waits for the answer
 * to that very one. Plain read, write and poll: safe in a forked child.
 * Returns 0: done, or no migration is under way; 1: QEMU refused, or a
 * migration is under way; 2: a migration waits for `migrate-continue`; 3: one
 * waits for the guest; -1: errno says why (ETIMEDOUT, EPIPE).
 */
#define QMP_RESCUE_ID "mrtools-rescue"
#define QMP_RESCUE(command) \
	"{\"execute\":\"" command "\",\"id\":\"" QMP_RESCUE_ID "\"}"
#define QMP_RESCUE_HELLO QMP_RESCUE("qmp_capabilities")
#define QMP_RESCUE_MIGRATION QMP_RESCUE("query-migrate")
#define QMP_RESCUE_STOP QMP_RESCUE("stop")
#define QMP_RESCUE_CONT QMP_RESCUE("cont")
#define QMP_RESCUE_CANCEL QMP_RESCUE("migrate_cancel")
#define QMP_RESCUE_UNLIMIT                                       \
	"{\"execute\":\"migrate-set-parameters\",\"arguments\":" \
	"{\"max-bandwidth\":0},\"id\":\"" QMP_RESCUE_ID "\"}"
#define QMP_RESCUE_CONTINUE                                \
	"{\"execute\":\"migrate-continue\",\"arguments\":" \
	"{\"state\":\"pre-switchover\"},\"id\":\"" QMP_RESCUE_ID "\"}"
/* command: a whole command with that id, without a line end. */
int qmp_rescue(int fd, const char *command, int timeout_ms);
/* A new connection to q's socket, for the same, made ready beforehand: no call
 * here allocates. Returns a descriptor, or -1. */
struct qmp_address {
	struct sockaddr_un sa; /* no path: there is none that fits */
	struct relay_plan relay; /* no path: it is no domain of libvirt's */
};
void qmp_address(const struct qmp *q, struct qmp_address *a);
int qmp_rescue_dial(const struct qmp_address *a, int timeout_ms);

#endif
