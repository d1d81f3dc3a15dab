/* migrate.c - capabilities, parameters, descriptors. */
#include "libmr/vm/migrate.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"

bool migrate_has_direct(const struct guest *g)
{
	return g->major > 9 || (g->major == 9 && g->minor >= 1);
}

/* Whether the form has an opinion about the capability: *on. */
static bool wanted_state(const struct migrate_form *form, const char *name,
			 bool *on)
{
	static const char *const never[] = {
		"xbzrle",	   "postcopy-ram",   "return-path",
		"x-colo",	   "zero-copy-send", "background-snapshot",
		"x-ignore-shared",
	};

	*on = false;
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		if (!strcmp(never[i], name))
			return true;
	if (!strcmp(name, "mapped-ram"))
		*on = form->mapped_ram;
	else if (!strcmp(name, "multifd"))
		*on = form->channels > 0;
	else if (!strcmp(name, "events") && form->events)
		*on = true;
	else
		return false;
	return true;
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

		if (!wanted_state(form, one.name, &on) || on == one.flag)
			continue;
		(void)ask_settings_add(was, &one); /* no more than in now */
		one.flag = on;
		(void)ask_settings_add(change, &one);
	}
	return 0;
}

static void add_number(struct ask_settings *s, const char *name, unsigned n)
{
	struct ask_setting one = { .kind = ASK_NUMBER, .number = n };

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

	add_number(set, "max-bandwidth", 0);
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

int migrate_configure(struct qmp *q, const struct guest *g,
		      const struct migrate_form *form,
		      struct migrate_settings *was, struct mr_error *err)
{
	struct ask_settings change = { .n = 0 }, set = { .n = 0 }, now;

	/* Parameters first: QEMU checks capabilities against them. */
	if (keep_capabilities(q, form, &was->capabilities, &change, err) ||
	    ask_parameters(q, &now, err))
		return -1;
	wanted_parameters(g, form, &now, &set);
	return keep_parameters(&now, &set, &was->parameters, err) ||
			       ask_set_parameters(q, &set, err) ||
			       ask_set_capabilities(q, &change, err)
		       ? -1
		       : 0;
}

void migrate_restore(struct qmp *q, struct migrate_settings *was)
{
	(void)ask_set_capabilities(q, &was->capabilities, NULL);
	(void)ask_set_parameters(q, &was->parameters, NULL);
	was->capabilities.n = was->parameters.n = 0;
}

int64_t migrate_add_file(struct qmp *q, int fd, int access, bool direct,
			 struct mr_error *err)
{
	int64_t set = -1;
	char self[32];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	for (int i = 0; i < (direct ? 2 : 1); i++) {
		int again = open(self, access | O_CLOEXEC | (i ? O_DIRECT : 0));
		int64_t got;

		if (again < 0)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot reopen the image");
		got = qmp_add_fd(q, set, again, err);
		(void)close(again);
		if (got < 0)
			return -1;
		set = got;
	}
	return set;
}
