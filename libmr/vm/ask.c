/* ask.c - questions, commands, and JSON taken apart: here and in qmp.c only. */
#include "libmr/vm/ask.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <jansson.h>

#include "formats/name.h"
#include "libmr/base/error.h"
#include "libmr/vm/qmp.h"

/* ---- pieces of an answer ---- */

static int fail_odd(struct mr_error *err, const char *command)
{
	return error_set(err, MR_QMP, MR_NO_OFFSET,
			 "QEMU's answer to %s has another form than expected",
			 command);
}

/* A string that must fit. */
static int take_name(char *to, size_t size, const json_t *from,
		     const char *command, struct mr_error *err)
{
	const char *text = json_string_value(from);
	size_t len = json_string_length(from);

	if (!text || len >= size || strlen(text) != len)
		return fail_odd(err, command);
	memcpy(to, text, len + 1);
	return 0;
}

/* Words for people, of which the beginning will do. */
static void take_words(char *to, size_t size, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len >= size)
		len = size - 1;
	if (len)
		memcpy(to, text, len);
	to[len] = '\0';
}

/* A member that may be absent, then 0. jansson makes reals of all integers
 * of a message that has one beyond 63 bits. */
static int take_count(uint64_t *to, const json_t *object, const char *key,
		      const char *command, struct mr_error *err)
{
	const json_t *v = json_object_get(object, key);
	double n = json_number_value(v);

	*to = 0;
	if (!v)
		return 0;
	if (!json_is_number(v) || !(n >= 0 && n < 9e18))
		return fail_odd(err, command);
	*to = json_is_integer(v) ? (uint64_t)json_integer_value(v)
				 : (uint64_t)n;
	return 0;
}

/* A question without arguments, whose answer is an object. */
static int ask_object(struct qmp *q, const char *command, json_t **ret,
		      struct mr_error *err)
{
	if (qmp_call(q, command, NULL, ret, err))
		return -1;
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return fail_odd(err, command);
}

/* ---- what it is ---- */

int ask_version(const struct qmp *q, struct ask_version *out,
		struct mr_error *err)
{
	const json_t *v = json_object_get(
		json_object_get(qmp_greeting(q), "version"), "qemu");
	const json_t *parts[] = { json_object_get(v, "major"),
				  json_object_get(v, "minor"),
				  json_object_get(v, "micro") };
	int *to[] = { &out->major, &out->minor, &out->micro };

	for (size_t i = 0; i < 3; i++) {
		json_int_t n = json_integer_value(parts[i]);

		if (!json_is_integer(parts[i]) || n < 0 || n > 100000)
			return fail_odd(err, "the connection (greeting)");
		*to[i] = (int)n;
	}
	return 0;
}

int ask_machine(struct qmp *q, char name[256], struct mr_error *err)
{
	static const char suffix[] = "-machine";
	json_t *ret;
	size_t len;
	int rc;

	if (qmp_call(q, "qom-get",
		     json_pack("{s:s,s:s}", "path", "/machine", "property",
			       "type"),
		     &ret, err))
		return -1;
	rc = take_name(name, 256, ret, "qom-get", err);
	json_decref(ret);
	if (rc)
		return -1;
	len = strlen(name);
	if (len >= sizeof(suffix) &&
	    !strcmp(name + len - sizeof(suffix) + 1, suffix))
		name[len - sizeof(suffix) + 1] = '\0';
	return 0;
}

int ask_undescribed(struct qmp *q, bool *is, struct mr_error *err)
{
	json_t *ret;
	int rc = 0;

	if (qmp_call(q, "qom-get",
		     json_pack("{s:s,s:s}", "path", "/machine", "property",
			       "suppress-vmdesc"),
		     &ret, err))
		return -1;
	if (!json_is_boolean(ret))
		rc = fail_odd(err, "qom-get");
	*is = json_is_true(ret);
	json_decref(ret);
	return rc;
}

int ask_target(struct qmp *q, char arch[32], struct mr_error *err)
{
	json_t *ret;
	int rc;

	if (ask_object(q, "query-target", &ret, err))
		return -1;
	rc = take_name(arch, 32, json_object_get(ret, "arch"), "query-target",
		       err);
	json_decref(ret);
	return rc;
}

/* As QMP has it since 6.2; before, only the monitor for people has. */
static int ask_listing(struct qmp *q, json_t **text, struct mr_error *err)
{
	static const char command[] = "x-query-ramblock";
	struct ask_version v = { 0 };
	json_t *ret;

	if (ask_version(q, &v, err))
		return -1;
	if (v.major < 6 || (v.major == 6 && v.minor < 2))
		return qmp_call(
			q, "human-monitor-command",
			json_pack("{s:s}", "command-line", "info ramblock"),
			text, err);
	if (ask_object(q, command, &ret, err))
		return -1;
	*text = json_incref(json_object_get(ret, "human-readable-text"));
	json_decref(ret);
	return 0;
}

char *ask_ramblock(struct qmp *q, struct mr_error *err)
{
	char *copy = NULL;
	json_t *text;

	if (ask_listing(q, &text, err))
		return NULL;
	if (!json_is_string(text) ||
	    strlen(json_string_value(text)) != json_string_length(text)) {
		(void)fail_odd(err, "x-query-ramblock");
	} else {
		copy = strdup(json_string_value(text));
		if (!copy)
			(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
					"no memory for the list of RAM blocks");
	}
	json_decref(text);
	return copy;
}

/* One line for each thing below path, added to *all. */
static int list_below(struct qmp *q, const char *path, char **all,
		      struct mr_error *err)
{
	json_t *ret, *one;
	size_t i;
	int rc = 0;

	if (qmp_call(q, "qom-list", json_pack("{s:s}", "path", path), &ret,
		     err))
		return -1;
	if (!json_is_array(ret))
		rc = fail_odd(err, "qom-list");
	json_array_foreach(ret, i, one)
	{
		const char *name =
			json_string_value(json_object_get(one, "name"));
		const char *type =
			json_string_value(json_object_get(one, "type"));
		char *more = NULL;

		if (!name || !type) {
			rc = fail_odd(err, "qom-list");
			break;
		}
		if (asprintf(&more, "%s%s %s\n", *all, name, type) < 0) {
			rc = error_set(err, MR_NOMEM, MR_NO_OFFSET,
				       "no memory for the list of devices");
			break;
		}
		free(*all);
		*all = more;
	}
	json_decref(ret);
	return rc;
}

char *ask_devices(struct qmp *q, struct mr_error *err)
{
	char *all = strdup("");

	if (!all) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for the list of devices");
		return NULL;
	}
	if (list_below(q, "/machine/peripheral", &all, err) ||
	    list_below(q, "/machine/peripheral-anon", &all, err)) {
		free(all);
		return NULL;
	}
	return all;
}

/* ---- the memory that was plugged ---- */

/* The members that each kind has for where it is, and for how long that is. */
static const struct memory_kind {
	const char *type, *gpa, *length;
	bool has_path;
} memory_kinds[] = {
	{ "dimm", "addr", "size", false },
	{ "nvdimm", "addr", "size", false },
	{ "virtio-pmem", "memaddr", "size", true },
	{ "virtio-mem", "memaddr", "max-size", true },
};

static const struct memory_kind *find_kind(const char *type)
{
	for (size_t i = 0; i < sizeof(memory_kinds) / sizeof(*memory_kinds);
	     i++)
		if (!strcmp(memory_kinds[i].type, type))
			return &memory_kinds[i];
	return NULL;
}

/* 1; 0: it is of another kind; -1. */
static int take_memory_device(struct ask_memory_device *to, const json_t *from,
			      const char *command, struct mr_error *err)
{
	const char *type = json_string_value(json_object_get(from, "type"));
	const json_t *data = json_object_get(from, "data");
	const struct memory_kind *k = type ? find_kind(type) : NULL;

	if (!type)
		return fail_odd(err, command);
	if (!k)
		return 0;
	to->has_path = k->has_path;
	if (!json_object_get(data, k->gpa) || !json_object_get(data, k->length))
		return fail_odd(err, command);
	return take_name(to->memdev, sizeof(to->memdev),
			 json_object_get(data, "memdev"), command, err) ||
			       take_count(&to->gpa, data, k->gpa, command,
					  err) ||
			       take_count(&to->length, data, k->length, command,
					  err)
		       ? -1
		       : 1;
}

int ask_memory_devices(struct qmp *q,
		       void (*device)(void *arg,
				      const struct ask_memory_device *d),
		       void *arg, struct mr_error *err)
{
	static const char command[] = "query-memory-devices";
	json_t *ret, *one;
	size_t i;
	int rc;

	if (qmp_call(q, command, NULL, &ret, err))
		return -1;
	rc = json_is_array(ret) ? 0 : fail_odd(err, command);
	json_array_foreach(ret, i, one)
	{
		struct ask_memory_device d;
		int is = take_memory_device(&d, one, command, err);

		if (is > 0)
			device(arg, &d);
		if (is < 0) {
			rc = -1;
			break;
		}
	}
	json_decref(ret);
	return rc;
}

bool ask_is_block_of(const struct ask_memory_device *d, const char *block)
{
	static const char objects[] = "/objects/";
	const size_t n = sizeof(objects) - 1, len = strlen(block);
	const char *id = d->memdev;
	size_t end;

	if (!strcmp(d->memdev, block))
		return true;
	if (strncmp(id, objects, n) != 0)
		return false;
	id += n;
	end = strlen(id);
	if (!strcmp(id, block))
		return true;
	return d->has_path && len > end && block[len - end - 1] == '/' &&
	       !strcmp(block + len - end, id);
}

/* ---- the files that it uses ---- */

struct teller {
	void (*name)(void *arg, const char *text);
	void *arg;
};

/* All strings in there. jansson bounds the depth. */
static void tell_strings(const struct teller *t, const json_t *v)
{
	const char *key;
	const json_t *item;
	size_t i;

	if (json_is_string(v))
		t->name(t->arg, json_string_value(v));
	json_array_foreach(v, i, item)
	{
		tell_strings(t, item);
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, item)
	{
		tell_strings(t, item);
	}
}

struct file_teller {
	void (*file)(void *arg, const char *id, const char *path);
	void *arg;
};

/* A memory backend's file, if it has one. */
static int tell_backend(struct qmp *q, const struct file_teller *t,
			const json_t *object, struct mr_error *err)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	const char *type = json_string_value(json_object_get(object, "type"));
	char path[300];
	json_t *ret;

	if (!name || !type || !strstr(type, "memory-backend-file"))
		return 0;
	(void)snprintf(path, sizeof(path), "/objects/%s", name);
	if (qmp_call(q, "qom-get",
		     json_pack("{s:s,s:s}", "path", path, "property",
			       "mem-path"),
		     &ret, err))
		return -1;
	if (json_is_string(ret))
		t->file(t->arg, name, json_string_value(ret));
	json_decref(ret);
	return 0;
}

int ask_memory_files(struct qmp *q,
		     void (*file)(void *arg, const char *id, const char *path),
		     void *arg, struct mr_error *err)
{
	const struct file_teller t = { file, arg };
	const json_t *object;
	json_t *ret;
	size_t i;
	int rc = 0;

	if (qmp_call(q, "qom-list", json_pack("{s:s}", "path", "/objects"),
		     &ret, err))
		return -1;
	json_array_foreach(ret, i, object)
	{
		rc = rc ? rc : tell_backend(q, &t, object, err);
	}
	json_decref(ret);
	return rc;
}

static void tell_path(void *arg, const char *id, const char *path)
{
	const struct teller *t = arg;

	(void)id;
	t->name(t->arg, path);
}

int ask_file_names(struct qmp *q, void (*name)(void *arg, const char *text),
		   void *arg, struct mr_error *err)
{
	static const char *const lists[] = { "query-block",
					     "query-named-block-nodes",
					     "query-chardev" };
	struct teller t = { name, arg };

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		json_t *ret;

		if (qmp_call(q, lists[i], NULL, &ret, err))
			return -1;
		tell_strings(&t, ret);
		json_decref(ret);
	}
	return ask_memory_files(q, tell_path, &t, err);
}

/* ---- how it is ---- */

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; zeros are none. */
static bool take_uuid(uint8_t uuid[16], const char *text)
{
	static const char digits[] = "0123456789abcdef";
	unsigned n = 0, any = 0;

	for (; text && *text; text++) {
		const char *d = strchr(digits, *text | ' ');

		if (*text == '-')
			continue;
		if (!d || n == 32)
			return false;
		any |= (unsigned)(d - digits);
		uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | (d - digits));
		n++;
	}
	return n == 32 && any;
}

int ask_identity(struct qmp *q, struct ask_identity *i, struct mr_error *err)
{
	const char *name;
	json_t *ret;
	size_t len;

	*i = (struct ask_identity){ .has_uuid = false };
	if (ask_object(q, "query-name", &ret, err))
		return -1;
	name = json_string_value(json_object_get(ret, "name"));
	len = name ? strlen(name) : 0;
	if (len && len < sizeof(i->name) && name_is_text(name, len))
		memcpy(i->name, name, len + 1);
	json_decref(ret);
	if (ask_object(q, "query-uuid", &ret, err))
		return -1;
	i->has_uuid = take_uuid(
		i->uuid, json_string_value(json_object_get(ret, "UUID")));
	json_decref(ret);
	return 0;
}

int ask_status(struct qmp *q, struct ask_status *s, struct mr_error *err)
{
	static const char command[] = "query-status";
	const json_t *running;
	json_t *ret;
	int rc;

	if (ask_object(q, command, &ret, err))
		return -1;
	rc = take_name(s->name, sizeof(s->name), json_object_get(ret, "status"),
		       command, err);
	running = json_object_get(ret, "running");
	if (!rc && !json_is_boolean(running))
		rc = fail_odd(err, command);
	s->running = json_is_true(running);
	json_decref(ret);
	return rc;
}

/* How long an array is. */
static int ask_count(struct qmp *q, const char *command, size_t *n,
		     struct mr_error *err)
{
	json_t *ret;
	int rc = 0;

	if (qmp_call(q, command, NULL, &ret, err))
		return -1;
	if (!json_is_array(ret))
		rc = fail_odd(err, command);
	*n = json_array_size(ret);
	json_decref(ret);
	return rc;
}

int ask_block_jobs(struct qmp *q, size_t *n, struct mr_error *err)
{
	return ask_count(q, "query-block-jobs", n, err);
}

int ask_cpus(struct qmp *q, unsigned *n, struct mr_error *err)
{
	size_t all = 0;
	int rc = ask_count(q, "query-cpus-fast", &all, err);

	*n = all < 65536 ? (unsigned)all : 0;
	return rc;
}

/* The devices of a bus; -1 if that is no list of them. */
static int take_places(const json_t *devices, uint64_t places[4])
{
	json_t *d;
	size_t i;

	if (!json_is_array(devices))
		return -1;
	json_array_foreach(devices, i, d)
	{
		const json_t *slot = json_object_get(d, "slot");
		const json_t *function = json_object_get(d, "function");
		json_int_t s = json_integer_value(slot);
		json_int_t f = json_integer_value(function);

		if (!json_is_integer(slot) || !json_is_integer(function) ||
		    s < 0 || s > 31 || f < 0 || f > 7)
			return -1;
		places[s / 8] |= UINT64_C(1) << (s % 8 * 8 + f);
	}
	return 0;
}

int ask_pci(struct qmp *q, uint64_t places[4], struct mr_error *err)
{
	static const char command[] = "query-pci";
	struct mr_error why = MR_ERROR_INIT;
	json_t *ret, *bus;
	int rc = 0;
	size_t i;

	memset(places, 0, 4 * sizeof(*places));
	if (qmp_call(q, command, NULL, &ret, &why)) {
		if (qmp_said_no(q))
			return 0;
		return error_set(err, why.code, MR_NO_OFFSET, "%s", why.msg);
	}
	if (!json_is_array(ret))
		rc = fail_odd(err, command);
	json_array_foreach(ret, i, bus)
	{
		const json_t *number = json_object_get(bus, "bus");

		if (rc || !json_is_integer(number) ||
		    json_integer_value(number))
			continue;
		rc = take_places(json_object_get(bus, "devices"), places);
		rc = rc ? fail_odd(err, command) : 1;
		break;
	}
	json_decref(ret);
	return rc;
}

/* ---- its migration ---- */

int ask_migration_there(struct qmp *q, bool *there, struct mr_error *err)
{
	static const char command[] = "query-yank";
	struct mr_error why = MR_ERROR_INIT;
	json_t *ret, *one;
	size_t i;
	int rc = 0;

	*there = false;
	if (qmp_call(q, command, NULL, &ret, &why)) {
		if (qmp_said_no(q))
			return 0;
		return error_set(err, why.code, MR_NO_OFFSET, "%s", why.msg);
	}
	if (!json_is_array(ret))
		rc = fail_odd(err, command);
	json_array_foreach(ret, i, one)
	{
		const char *type =
			json_string_value(json_object_get(one, "type"));

		*there |= type && !strcmp(type, "migration");
	}
	json_decref(ret);
	return rc;
}

static enum ask_phase phase_of(const char *word)
{
	static const struct {
		const char *word;
		enum ask_phase phase;
	} all[] = {
		{ "none", ASK_MIGRATION_NONE },
		{ "setup", ASK_MIGRATION_UNDER_WAY },
		{ "cancelling", ASK_MIGRATION_UNDER_WAY },
		{ "cancelled", ASK_MIGRATION_CANCELLED },
		{ "active", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-active", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-device", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-paused", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-recover-setup", ASK_MIGRATION_UNDER_WAY },
		{ "postcopy-recover", ASK_MIGRATION_UNDER_WAY },
		{ "completed", ASK_MIGRATION_COMPLETED },
		{ "failing", ASK_MIGRATION_UNDER_WAY },
		{ "failed", ASK_MIGRATION_FAILED },
		{ "colo", ASK_MIGRATION_UNDER_WAY },
		{ "pre-switchover", ASK_MIGRATION_WAITS },
		{ "device", ASK_MIGRATION_UNDER_WAY },
		{ "wait-unplug", ASK_MIGRATION_WAITS_GUEST },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(word, all[i].word))
			return all[i].phase;
	return ASK_MIGRATION_UNKNOWN;
}

static int take_reasons(struct ask_migration *m, const json_t *reasons,
			const char *command, struct mr_error *err)
{
	const json_t *first = json_array_get(reasons, 0);

	if (!reasons)
		return 0;
	if (!json_is_array(reasons) || (first && !json_is_string(first)))
		return fail_odd(err, command);
	m->blocked = true;
	take_words(m->reason, sizeof(m->reason),
		   first ? json_string_value(first) : "no reason given");
	return 0;
}

static int take_migration(struct ask_migration *m, const json_t *ret,
			  const char *command, struct mr_error *err)
{
	const json_t *status = json_object_get(ret, "status");
	const json_t *why = json_object_get(ret, "error-desc");
	const json_t *ram = json_object_get(ret, "ram");

	/* Before the first one QEMU says nothing. */
	if (!status)
		take_words(m->status, sizeof(m->status), "none");
	else if (take_name(m->status, sizeof(m->status), status, command, err))
		return -1;
	m->phase = phase_of(m->status);
	if ((why && !json_is_string(why)) || (ram && !json_is_object(ram)))
		return fail_odd(err, command);
	take_words(m->error, sizeof(m->error), json_string_value(why));
	if (take_reasons(m, json_object_get(ret, "blocked-reasons"), command,
			 err) ||
	    take_count(&m->total, ram, "total", command, err) ||
	    take_count(&m->remaining, ram, "remaining", command, err) ||
	    take_count(&m->normal, ram, "normal", command, err) ||
	    take_count(&m->duplicate, ram, "duplicate", command, err) ||
	    take_count(&m->page_size, ram, "page-size", command, err) ||
	    take_count(&m->downtime, ret, "downtime", command, err))
		return -1;
	return 0;
}

int ask_migration(struct qmp *q, struct ask_migration *m, struct mr_error *err)
{
	static const char command[] = "query-migrate";
	json_t *ret;
	int rc;

	*m = (struct ask_migration){ .phase = ASK_MIGRATION_UNKNOWN };
	if (ask_object(q, command, &ret, err))
		return -1;
	rc = take_migration(m, ret, command, err);
	json_decref(ret);
	return rc;
}

/* ---- capabilities and parameters ---- */

const struct ask_setting *ask_setting(const struct ask_settings *s,
				      const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->list[i].name, name))
			return &s->list[i];
	return NULL;
}

int ask_settings_add(struct ask_settings *s, const struct ask_setting *one)
{
	size_t i = 0;

	while (i < s->n && strcmp(s->list[i].name, one->name) != 0)
		i++;
	if (i == ASK_SETTINGS_MAX)
		return -1;
	s->list[i] = *one;
	if (i == s->n)
		s->n++;
	return 0;
}

/* The value of a parameter, as far as it is of a kind that we have. */
static void take_value(struct ask_setting *one, const json_t *v)
{
	double n = json_number_value(v);

	if (json_is_boolean(v)) {
		one->kind = ASK_FLAG;
		one->flag = json_is_true(v);
	} else if (json_is_integer(v)) {
		one->kind = ASK_NUMBER;
		one->number = json_integer_value(v);
	} else if (json_is_real(v) && n >= 0 && n < 9e15) {
		one->kind = ASK_NUMBER;
		one->number = (int64_t)n;
	} else if (!take_name(one->text, sizeof(one->text), v, "", NULL)) {
		one->kind = ASK_TEXT;
	}
}

static int add_asked(struct ask_settings *s, const struct ask_setting *one,
		     const char *command, struct mr_error *err)
{
	return ask_setting(s, one->name) || ask_settings_add(s, one)
		       ? fail_odd(err, command)
		       : 0;
}

int ask_capabilities(struct qmp *q, struct ask_settings *s,
		     struct mr_error *err)
{
	static const char command[] = "query-migrate-capabilities";
	json_t *ret;
	size_t i;
	int rc = 0;

	s->n = 0;
	if (qmp_call(q, command, NULL, &ret, err))
		return -1;
	if (!json_is_array(ret))
		rc = fail_odd(err, command);
	for (i = 0; !rc && i < json_array_size(ret); i++) {
		const json_t *c = json_array_get(ret, i);
		const json_t *state = json_object_get(c, "state");
		struct ask_setting one = { .kind = ASK_FLAG,
					   .flag = json_is_true(state) };

		rc = take_name(one.name, sizeof(one.name),
			       json_object_get(c, "capability"), command, err);
		if (!rc && !json_is_boolean(state))
			rc = fail_odd(err, command);
		if (!rc)
			rc = add_asked(s, &one, command, err);
	}
	json_decref(ret);
	return rc;
}

int ask_parameters(struct qmp *q, struct ask_settings *s, struct mr_error *err)
{
	static const char command[] = "query-migrate-parameters";
	const char *name;
	json_t *ret, *v;
	int rc = 0;

	s->n = 0;
	if (ask_object(q, command, &ret, err))
		return -1;
	json_object_foreach(ret, name, v)
	{
		struct ask_setting one = { .kind = ASK_NOTHING };

		if (strlen(name) >= sizeof(one.name)) {
			rc = fail_odd(err, command);
			break;
		}
		memcpy(one.name, name, strlen(name) + 1);
		take_value(&one, v);
		rc = add_asked(s, &one, command, err);
		if (rc)
			break;
	}
	json_decref(ret);
	return rc;
}

static json_t *value_of(const struct ask_setting *one)
{
	switch (one->kind) {
	case ASK_FLAG:
		return json_boolean(one->flag);
	case ASK_NUMBER:
		return json_integer(one->number);
	case ASK_TEXT:
		return json_string(one->text);
	case ASK_NOTHING:
		break;
	}
	return NULL;
}

/* The arguments of migrate-set-capabilities and -parameters. */
static json_t *capabilities_of(const struct ask_settings *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s,s:b}", "capability",
						      s->list[i].name, "state",
						      s->list[i].flag));
	return json_pack("{s:o}", "capabilities", list);
}

static json_t *parameters_of(const struct ask_settings *s)
{
	json_t *args = json_object();

	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].kind != ASK_NOTHING)
			(void)json_object_set_new(args, s->list[i].name,
						  value_of(&s->list[i]));
	return args;
}

int ask_set_capabilities(struct qmp *q, const struct ask_settings *s,
			 struct mr_error *err)
{
	return s->n ? qmp_call(q, "migrate-set-capabilities",
			       capabilities_of(s), NULL, err)
		    : 0;
}

int ask_set_parameters(struct qmp *q, const struct ask_settings *s,
		       struct mr_error *err)
{
	json_t *args = parameters_of(s);

	if (json_object_size(args))
		return qmp_call(q, "migrate-set-parameters", args, NULL, err);
	json_decref(args);
	return 0;
}

/* ---- what is left to a guardian ---- */

/* Adds a command and its NUL; args is stolen. */
static int add_command(char **will, size_t *len, const char *command,
		       json_t *args)
{
	json_t *o = json_pack("{s:s,s:o,s:s}", "execute", command, "arguments",
			      args, "id", QMP_RESCUE_ID);
	char *text = json_dumps(o, JSON_COMPACT), *more = NULL;
	size_t n = text ? strlen(text) + 1 : 0;

	json_decref(o);
	if (text)
		more = realloc(*will, *len + n);
	if (more) {
		memcpy(more + *len, text, n);
		*will = more;
		*len += n;
	}
	free(text);
	return more ? 0 : -1;
}

char *ask_will(const struct ask_settings *capabilities,
	       const struct ask_settings *parameters, int64_t fdset,
	       bool cancel, size_t *len, struct mr_error *err)
{
	char *will = cancel ? strdup(QMP_RESCUE_CANCEL) : NULL;
	int rc = cancel && !will ? -1 : 0;

	*len = will ? sizeof(QMP_RESCUE_CANCEL) : 0;
	if (!rc && fdset >= 0)
		rc = add_command(
			&will, len, "remove-fd",
			json_pack("{s:I}", "fdset-id", (json_int_t)fdset));
	if (!rc && capabilities->n)
		rc = add_command(&will, len, "migrate-set-capabilities",
				 capabilities_of(capabilities));
	if (!rc && parameters->n)
		rc = add_command(&will, len, "migrate-set-parameters",
				 parameters_of(parameters));
	if (!rc && will)
		return will;
	free(will);
	(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
			"no memory for what is to be put back");
	return NULL;
}

static bool has_fdset(const json_t *sets, int64_t id)
{
	const json_t *one;
	size_t i;

	json_array_foreach(sets, i, one)
	{
		if (json_integer_value(json_object_get(one, "fdset-id")) == id)
			return true;
	}
	return false;
}

int ask_free_fdset(struct qmp *q, int64_t *set, struct mr_error *err)
{
	static const char command[] = "query-fdsets";
	json_t *ret;
	uint32_t n;
	int rc = 0;

	if (qmp_call(q, command, NULL, &ret, err))
		return -1;
	if (!json_is_array(ret))
		rc = fail_odd(err, command);
	else if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		rc = error_sys(err, MR_NO_OFFSET, "no random number");
	else
		/* QEMU and managers count from 0. */
		for (*set = 0x40000000 | (n & 0x3ffffff); has_fdset(ret, *set);)
			++*set;
	json_decref(ret);
	return rc;
}

/* ---- what it is told ---- */

int ask_stop(struct qmp *q, struct mr_error *err)
{
	return qmp_call(q, "stop", NULL, NULL, err);
}

int ask_cont(struct qmp *q, struct mr_error *err)
{
	return qmp_call(q, "cont", NULL, NULL, err);
}

int ask_migrate(struct qmp *q, const char *uri, struct mr_error *err)
{
	return qmp_call(q, "migrate", json_pack("{s:s}", "uri", uri), NULL,
			err);
}

int ask_migrate_continue(struct qmp *q, struct mr_error *err)
{
	return qmp_call(q, "migrate-continue",
			json_pack("{s:s}", "state", "pre-switchover"), NULL,
			err);
}

int ask_migrate_cancel(struct qmp *q, struct mr_error *err)
{
	return qmp_call(q, "migrate_cancel", NULL, NULL, err);
}

int ask_migrate_incoming(struct qmp *q, const char *uri, bool stay,
			 struct mr_error *err)
{
	json_t *args = json_pack("{s:s}", "uri", uri);

	if (stay)
		(void)json_object_set_new(args, "exit-on-error", json_false());
	return qmp_call(q, "migrate-incoming", args, NULL, err);
}

int ask_device_state(struct qmp *q, const char *path, struct mr_error *err)
{
	/* live=false: with the default a stopped VM's disks go inactive. */
	return qmp_call(q, "xen-save-devices-state",
			json_pack("{s:s, s:b}", "filename", path, "live", 0),
			NULL, err);
}

/* ---- what it tells ---- */

int ask_migration_event(struct qmp *q, int timeout_ms,
			const atomic_bool *cancel, enum ask_phase *phase,
			struct mr_error *err)
{
	static const char *const names[] = { "MIGRATION", NULL };
	struct mr_error why = MR_ERROR_INIT;
	json_t *event = qmp_wait_event(q, names, timeout_ms, cancel, &why);
	const char *word = json_string_value(
		json_object_get(json_object_get(event, "data"), "status"));

	*phase = word ? phase_of(word) : ASK_MIGRATION_UNKNOWN;
	json_decref(event);
	if (event)
		return 1;
	if (why.code == MR_QMP && !qmp_broken(q))
		return 0;
	if (err && err->code == MR_OK)
		*err = why;
	return -1;
}

static const char *const disturbances[] = {
	"RESUME",
	"RESET",
	"WAKEUP",
	"SUSPEND",
	"SUSPEND_DISK",
	"SHUTDOWN",
	"STOP",
	"GUEST_PANICKED",
	"GUEST_CRASHLOADED",
	"WATCHDOG",
	"DEVICE_DELETED",
	"DEVICE_UNPLUG_GUEST_ERROR",
	"MEM_UNPLUG_ERROR",
	"MEMORY_DEVICE_SIZE_CHANGE",
	"BALLOON_CHANGE",
	"MEMORY_FAILURE",
	"MIGRATION",
	"COLO_EXIT",
	"MRTOOLS_EVENTS_LOST", /* a relay's: there may have been any */
	NULL,
};

void ask_undisturbed(struct qmp *q)
{
	qmp_watch(q, disturbances);
}

const char *ask_disturbed(struct qmp *q)
{
	uint64_t seen = qmp_seen(q);

	return seen ? disturbances[__builtin_ctzll(seen)] : NULL;
}
