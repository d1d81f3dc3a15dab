/* still.c - run state, blocks, devices and events, before and after. */
#include "libmr/vm/still.h"

#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/runstate.h"

#define NO_INSTANT "what was read of its memory is no single instant"

int still_begin(struct still *s, struct qmp *q, struct guest *g,
		struct mr_error *err)
{
	*s = (struct still){ .q = q, .guest = g };
	/* Forgotten before the run state is asked for: what comes between the
	 * two counts. */
	ask_undisturbed(q);
	if (guest_refresh(g, q, err))
		return -1;
	if (g->running || runstate_is_live(g->status))
		return error_set(
			err, MR_QMP, MR_NO_OFFSET,
			"the VM does not stand still (it is %s): somebody "
			"resumed it, or this monitor does not obey",
			g->status);
	memcpy(s->status, g->status, sizeof(s->status));
	s->blocks = strdup(g->listing);
	if (!s->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the list of RAM blocks");
	s->devices = ask_devices(q, err);
	return s->devices ? 0 : -1;
}

/* The first line of one that the other has not at the same place. */
static void first_difference(const char *was, const char *is, char line[64])
{
	size_t same = 0, begin, len;

	while (was[same] && was[same] == is[same])
		same++;
	for (begin = same; begin && is[begin - 1] != '\n'; begin--)
		;
	if (!is[begin])
		is = was; /* something went from the end */
	len = strcspn(is + begin, "\n");
	if (len > 63)
		len = 63;
	memcpy(line, is + begin, len);
	line[len] = '\0';
}

static int compare(char *was, char *is, const char *what, struct mr_error *err)
{
	char line[64];
	int rc = 0;

	if (!is)
		return -1;
	if (strcmp(was, is) != 0) {
		first_difference(was, is, line);
		rc = error_set(err, MR_QMP, MR_NO_OFFSET,
			       "somebody changed the VM's %s (%s) "
			       "meanwhile: " NO_INSTANT,
			       what, line);
	}
	free(is);
	return rc;
}

int still_prove(struct still *s, struct mr_error *err)
{
	struct ask_status now;
	const char *event;

	if (guest_is_whole(s->guest, err) ||
	    compare(s->devices, ask_devices(s->q, err), "devices", err) ||
	    compare(s->blocks, ask_ramblock(s->q, err), "memory blocks", err) ||
	    ask_status(s->q, &now, err))
		return -1;
	/* Last: QEMU tells of what happened before it answers. */
	event = ask_disturbed(s->q);
	if (event)
		return error_set(
			err, MR_QMP, MR_NO_OFFSET,
			"another client of QEMU's disturbed the VM "
			"meanwhile (event %s, it is %s now): " NO_INSTANT,
			event, now.name);
	if (now.running || strcmp(now.name, s->status) != 0)
		return error_set(
			err, MR_QMP, MR_NO_OFFSET,
			"the VM went from %s to %s meanwhile: " NO_INSTANT,
			s->status, now.name);
	return 0;
}

void still_release(struct still *s)
{
	free(s->blocks);
	free(s->devices);
	*s = (struct still){ .q = NULL };
}
