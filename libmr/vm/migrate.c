/* migrate.c - capabilities, parameters, descriptors. */
#include "libmr/vm/migrate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"

bool migrate_has_direct(const struct guest *g)
{
	return g->major > 9 || (g->major == 9 && g->minor >= 1);
}

/*
 * Every capability of QEMU 8.0 to 11.1, and what it does to a save into a file
 * or a load from one. The direct engine is concerned by none but dirty-bitmaps
 * (preflight.c). One that is not here and is on is refused.
 */
enum want {
	OFF, /* does not go with it */
	LEAVE, /* does nothing to it */
	IF_MAPPED, /* as the form says */
	IF_CHANNELS,
	IF_SHARED,
	IF_BACKGROUND,
	IF_REFUSED,
	IF_EVENTS, /* on if the form wants events, else left */
};

static const struct {
	const char *name;
	enum want want;
} capabilities[] = {
	{ "mapped-ram", IF_MAPPED },
	{ "multifd", IF_CHANNELS },
	{ "events", IF_EVENTS },
	/* refused by QEMU together with mapped-ram, or with a file */
	{ "xbzrle", OFF },
	{ "postcopy-ram", OFF },
	{ "postcopy-preempt", OFF }, /* needs postcopy-ram */
	{ "release-ram", OFF },
	{ "return-path", IF_REFUSED },
	{ "switchover-ack", OFF }, /* needs return-path */
	{ "x-colo", IF_REFUSED },
	{ "zero-copy-send", OFF },
	{ "background-snapshot", IF_BACKGROUND }, /* no pages in an image */
	{ "x-ignore-shared", IF_SHARED }, /* an image without some */
	{ "rdma-pin-all", OFF },
	{ "compress", OFF }, /* gone in 9.1 */
	{ "block", OFF }, /* the same */
	{ "zero-blocks", LEAVE }, /* of "block"; gone in 11.0 */
	/* waits for a word that nobody says, with the guest stopped */
	{ "pause-before-switchover", OFF },
	/* slow the guest of a live save down so that it ends */
	{ "auto-converge", LEAVE },
	{ "dirty-limit", LEAVE },
	/* more to be saved, which QEMU does itself */
	{ "dirty-bitmaps", LEAVE },
	{ "validate-uuid", LEAVE },
	/* of the other side */
	{ "postcopy-blocktime", LEAVE },
	{ "late-block-activate", LEAVE },
};

/* 1: it is to be *on; 0: to be left; -1: it is on and unknown. */
static int wanted_state(const struct migrate_form *form,
			const struct ask_setting *c, bool *on)
{
	size_t n = sizeof(capabilities) / sizeof(*capabilities), i = 0;

	while (i < n && strcmp(capabilities[i].name, c->name) != 0)
		i++;
	if (i == n)
		return c->flag ? -1 : 0;
	*on = false;
	switch (capabilities[i].want) {
	case OFF:
		break;
	case LEAVE:
		return 0;
	case IF_MAPPED:
		*on = form->mapped_ram;
		break;
	case IF_CHANNELS:
		*on = form->channels > 0;
		break;
	case IF_SHARED:
		*on = form->ignore_shared;
		break;
	case IF_BACKGROUND:
		*on = form->background;
		break;
	case IF_REFUSED:
		*on = form->refused;
		break;
	case IF_EVENTS:
		*on = true;
		return form->events;
	}
	return 1;
}

/* The capabilities that differ from what is wanted: as they are, to was, and
 * as they should be, to change. */
static int keep_capabilities(struct qmp *q, const struct migrate_form *form,
			     struct ask_settings *was,
			     struct ask_settings *change, struct mr_error *err)
{
	struct ask_settings now;

	if (ask_capabilities(q, &now, err))
		return -1;
	for (size_t i = 0; i < now.n; i++) {
		struct ask_setting one = now.list[i];
		bool on;
		int rc = wanted_state(form, &one, &on);

		if (rc < 0)
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "migration capability %s is on, and "
					 "what it does is not known here: "
					 "switch it off",
					 one.name);
		if (rc == 0 || on == one.flag)
			continue;
		(void)ask_settings_add(was, &one); /* no more than in now */
		one.flag = on;
		(void)ask_settings_add(change, &one);
	}
	return 0;
}

static void add_number(struct ask_settings *s, const char *name, uint64_t n)
{
	struct ask_setting one = { .kind = ASK_NUMBER, .number = (int64_t)n };

	(void)snprintf(one.name, sizeof(one.name), "%s", name);
	(void)ask_settings_add(s, &one);
}

static void add_text(struct ask_settings *s, const char *name, const char *text)
{
	struct ask_setting one = { .kind = ASK_TEXT };

	(void)snprintf(one.name, sizeof(one.name), "%s", name);
	(void)snprintf(one.text, sizeof(one.text), "%s", text);
	(void)ask_settings_add(s, &one);
}

static void add_flag(struct ask_settings *s, const char *name, bool on)
{
	struct ask_setting one = { .kind = ASK_FLAG, .flag = on };

	(void)snprintf(one.name, sizeof(one.name), "%s", name);
	(void)ask_settings_add(s, &one);
}

/* What to set, as far as this QEMU knows it. */
static void wanted_parameters(const struct guest *g,
			      const struct migrate_form *form,
			      const struct ask_settings *now,
			      struct ask_settings *set)
{
	const struct ask_setting *tls = ask_setting(now, "tls-creds");
	const struct ask_setting *mode = ask_setting(now, "mode");

	add_number(set, "max-bandwidth", form->limit);
	/* The cpr modes hand the VM over to another QEMU; cpr-exec runs a
	 * command in the place of this one. */
	if (mode && strcmp(mode->text, "normal") != 0)
		add_text(set, "mode", "normal");
	if (form->channels) {
		add_number(set, "multifd-channels", form->channels);
		add_text(set, "multifd-compression", "none");
	}
	if (tls && tls->text[0])
		add_text(set, "tls-creds", "");
	if (migrate_has_direct(g))
		add_flag(set, "direct-io", form->direct);
}

/* As they are now, of those that are going to be set. */
static int keep_parameters(const struct ask_settings *now,
			   const struct ask_settings *set,
			   struct ask_settings *was, struct mr_error *err)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct ask_setting *one =
			ask_setting(now, set->list[i].name);

		if (!one || one->kind == ASK_NOTHING)
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "QEMU does not tell its migration "
					 "parameter %s, which would have to be "
					 "put back",
					 set->list[i].name);
		(void)ask_settings_add(was, one);
	}
	return 0;
}

int migrate_look(struct qmp *q, const struct guest *g,
		 const struct migrate_form *form, struct migrate_settings *was,
		 struct migrate_settings *set, struct mr_error *err)
{
	struct ask_settings now;

	*was = *set = (struct migrate_settings)MIGRATE_SETTINGS_NONE;
	if (keep_capabilities(q, form, &was->capabilities, &set->capabilities,
			      err) ||
	    ask_parameters(q, &now, err))
		return -1;
	wanted_parameters(g, form, &now, &set->parameters);
	return keep_parameters(&now, &set->parameters, &was->parameters, err);
}

int migrate_set(struct qmp *q, const struct migrate_settings *set,
		struct mr_error *err)
{
	/* Parameters first: QEMU checks capabilities against them. */
	return ask_set_parameters(q, &set->parameters, err) ||
			       ask_set_capabilities(q, &set->capabilities, err)
		       ? -1
		       : 0;
}

int migrate_unlimit(struct qmp *q, struct mr_error *err)
{
	struct migrate_settings set = MIGRATE_SETTINGS_NONE;

	add_number(&set.parameters, "max-bandwidth", 0);
	return migrate_set(q, &set, err);
}

int migrate_restore(struct qmp *q, const struct migrate_settings *was)
{
	int rc = ask_set_capabilities(q, &was->capabilities, NULL);

	return ask_set_parameters(q, &was->parameters, NULL) ? -1 : rc;
}

int migrate_will(struct pause *p, const struct migrate_settings *was,
		 int64_t fdset, bool cancel, struct mr_error *err)
{
	static const struct migrate_settings none = MIGRATE_SETTINGS_NONE;
	size_t len;
	char *will;
	int rc;

	was = was ? was : &none;
	will = ask_will(&was->capabilities, &was->parameters, fdset, cancel,
			&len, err);
	rc = will ? pause_will(p, will, len, err) : -1;
	free(will);
	return rc;
}

static int reopen(int fd, int flags, struct mr_error *err)
{
	char self[32];
	int again;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	again = open(self, flags | O_CLOEXEC);
	return again >= 0 ? again
			  : error_sys(err, MR_NO_OFFSET,
				      "cannot reopen the image");
}

int migrate_add_file(struct qmp *q, int64_t set, int fd, int access,
		     bool direct, struct mr_error *err)
{
	for (int i = 0; i < (direct ? 2 : 1); i++) {
		int again = reopen(fd, access | (i ? O_DIRECT : 0), err);
		int64_t got;

		if (again < 0)
			return -1;
		got = qmp_add_fd(q, set, again, err);
		(void)close(again);
		if (got < 0)
			return -1;
	}
	return 0;
}

int migrate_lend_file(struct qmp *q, int fd, uint64_t at, struct mr_error *err)
{
	int again = reopen(fd, O_RDONLY, err), rc;

	if (again < 0)
		return -1;
	if (lseek(again, (off_t)at, SEEK_SET) < 0)
		rc = error_sys(err, MR_NO_OFFSET, "cannot seek in the image");
	else
		rc = qmp_lend_fd(q, again, err);
	(void)close(again);
	return rc;
}
