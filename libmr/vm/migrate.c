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

static json_t *capability(const char *name, bool on)
{
	return json_pack("{s:s,s:b}", "capability", name, "state", on);
}

/* The capabilities that differ from what is wanted: as they are, to was, and
 * as they should be, to change. */
static int keep_capabilities(struct qmp *q, const struct migrate_form *form,
			     json_t *was, json_t *change, struct mr_error *err)
{
	json_t *now, *c;
	size_t i;

	if (qmp_call(q, "query-migrate-capabilities", NULL, &now, err))
		return -1;
	json_array_foreach(now, i, c)
	{
		const char *name =
			json_string_value(json_object_get(c, "capability"));
		bool on, is = json_is_true(json_object_get(c, "state"));

		if (!name || !wanted_state(form, name, &on) || on == is)
			continue;
		(void)json_array_append_new(was, capability(name, is));
		(void)json_array_append_new(change, capability(name, on));
	}
	json_decref(now);
	return 0;
}

/* What to set, as far as this QEMU knows it; was gets what it is now. */
static json_t *wanted_parameters(const struct guest *g,
				 const struct migrate_form *form,
				 const json_t *now, json_t *was)
{
	json_t *set = json_pack("{s:i}", "max-bandwidth", 0), *v;
	const char *name;

	if (form->channels) {
		(void)json_object_set_new(set, "multifd-channels",
					  json_integer(form->channels));
		(void)json_object_set_new(set, "multifd-compression",
					  json_string("none"));
	}
	if (json_string_length(json_object_get(now, "tls-creds")))
		(void)json_object_set_new(set, "tls-creds", json_string(""));
	if (migrate_has_direct(g))
		(void)json_object_set_new(set, "direct-io",
					  json_boolean(form->direct));
	json_object_foreach(set, name, v)(void)
		json_object_set(was, name, json_object_get(now, name));
	return set;
}

int migrate_configure(struct qmp *q, const struct guest *g,
		      const struct migrate_form *form,
		      struct migrate_settings *was, struct mr_error *err)
{
	json_t *change = json_array(), *now = NULL;
	int rc = -1;

	was->capabilities = json_array();
	was->parameters = json_object();
	/* Parameters first: QEMU checks capabilities against them. */
	if (!keep_capabilities(q, form, was->capabilities, change, err) &&
	    !qmp_call(q, "query-migrate-parameters", NULL, &now, err) &&
	    !qmp_call(q, "migrate-set-parameters",
		      wanted_parameters(g, form, now, was->parameters), NULL,
		      err))
		rc = json_array_size(change)
			     ? qmp_call(q, "migrate-set-capabilities",
					json_pack("{s:O}", "capabilities",
						  change),
					NULL, err)
			     : 0;
	json_decref(now);
	json_decref(change);
	return rc;
}

void migrate_restore(struct qmp *q, struct migrate_settings *was)
{
	if (was->capabilities && json_array_size(was->capabilities))
		(void)qmp_call(
			q, "migrate-set-capabilities",
			json_pack("{s:O}", "capabilities", was->capabilities),
			NULL, NULL);
	/* Without these nothing has been changed. */
	if (was->parameters && json_object_size(was->parameters))
		(void)qmp_call(q, "migrate-set-parameters",
			       json_incref(was->parameters), NULL, NULL);
	migrate_settings_release(was);
}

void migrate_settings_release(struct migrate_settings *was)
{
	json_decref(was->capabilities);
	json_decref(was->parameters);
	*was = (struct migrate_settings){ 0 };
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
