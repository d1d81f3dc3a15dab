/* player.c - an image, played to a QEMU that cannot read it. */
#include "libmr/load/state.h"

#include <sys/socket.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/image/plain.h"
#include "libmr/memory/memory.h"
#include "libmr/wire/play.h"

/* A QEMU that has got a part ends itself, in a moment. */
#define END_MS 10000

/* Of a QEMU that tells of no file behind its memory (before 5.0 -mem-path has
 * no object) that is not known to be new. */
static bool may_be_old(const struct guest *g)
{
	for (size_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].file[0])
			return true;
	return g->major < 5;
}

static int open_outlet(struct player *p, const struct load *l,
		       struct mr_error *err)
{
	struct outlet_form form = { .old = may_be_old(l->guest) };

	plain_config(l->info, &form.config);
	if (wire_begin(&p->wire, load_patience(l), &l->options->watch, err))
		return -1;
	p->out_there = true;
	return outlet_init(&p->out, &form, &p->wire, err);
}

/* Bitmaps are read now, pages only when they are sent. */
static int open_memory(struct player *p, const struct load *l,
		       struct mr_error *err)
{
	p->m = memory_of_image(l->img, true, err);
	if (!p->m)
		return -1;
	p->m->who = LOAD_IMAGE;
	for (size_t i = 0; i < p->m->n; i++)
		if (memory_map(p->m, &p->m->blocks[i], NULL, err))
			return error_about(err, LOAD_IMAGE);
	return 0;
}

int player_begin(struct player *p, struct load *l, struct mr_error *err)
{
	int fds[2], rc;

	if (open_memory(p, l, err) || open_outlet(p, l, err))
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return error_sys(err, MR_NO_OFFSET, "no pair of sockets");
	p->fd = fds[0];
	rc = qmp_lend_fd(l->q, fds[1], err);
	(void)close(fds[1]);
	return rc;
}

/* What is not about the image is QEMU's. */
static int explain(struct load *l, struct mr_error *why, struct mr_error *err)
{
	link_explain(&l->player.wire, why);
	if (why->code == MR_QMP || (why->code == MR_SYS && !why->who))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU could not load it");
	l->stalled = why->code == MR_SHORT && !why->who;
	if (l->stalled)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "QEMU has not got on with the loading for "
				 "%u s",
				 load_patience(l));
	*err = *why;
	return -1;
}

int player_run(struct player *p, struct load *l, struct mr_error *err)
{
	const struct address a = { .fd = p->fd };
	struct play play = { .img = l->img,
			     .m = p->m,
			     .out = &p->out,
			     .direct = l->options->direct,
			     .watch = &l->options->watch };
	struct mr_error why = MR_ERROR_INIT;
	int rc;

	watch_note(play.watch, "QEMU has begun: the image is played to it");
	rc = outlet_connect(&p->out, &a, &why) || play_run(&play, &why);
	l->report->direct = p->m->direct;
	if (!rc)
		return 0;
	rc = explain(l, &why, err);
	player_release(p);
	l->gone = !l->stalled && qmp_peer_gone(l->q, END_MS);
	return rc;
}

void player_release(struct player *p)
{
	if (p->out_there)
		outlet_release(&p->out);
	if (p->fd >= 0)
		(void)close(p->fd);
	wire_release(&p->wire);
	memory_free(p->m);
	*p = (struct player)PLAYER_NONE;
}
