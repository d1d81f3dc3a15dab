/* args.c - words, options and properties of a QEMU's command line. */
#include "libmr/vm/args.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/grow.h"

/* More properties than anybody writes. */
#define PROPS_MAX 1024u

/* QEMU's options that take no value (qemu-options.def, 8.2 to 11.1). */
static const char *const flags[] = {
	"h",
	"help",
	"version",
	"S",
	"s",
	"usb",
	"snapshot",
	"nographic",
	"full-screen",
	"portrait",
	"no-fd-bootchk",
	"win2k-hack",
	"no-reboot",
	"no-shutdown",
	"no-acpi",
	"no-hpet",
	"no-quit",
	"daemonize",
	"enable-kvm",
	"mem-prealloc",
	"nodefaults",
	"no-user-config",
	"only-migratable",
	"preconfig",
	"singlestep",
	"one-insn-per-tb",
	"semihosting",
	"old-param",
	"async-teardown",
	"xen-attach",
	"xen-domid-restrict",
	"enable-sync-profile",
	"perfmap",
	"jitdump",
};

static int no_memory(struct mr_error *err)
{
	return error_set(err, MR_NOMEM, MR_NO_OFFSET,
			 "no memory for the command line");
}

/* ---- words ---- */

static int add_word(struct qemu_args *a, const char *word, struct mr_error *err)
{
	char *copy = strdup(word);

	/* One more, for the NULL. */
	if (!copy || grow(&a->v, &a->room, a->n + 1, sizeof(*a->v))) {
		free(copy);
		return no_memory(err);
	}
	a->v[a->n++] = copy;
	a->v[a->n] = NULL;
	return 0;
}

void args_release(struct qemu_args *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->v[i]);
	free(a->v);
	*a = (struct qemu_args){ 0 };
}

static bool is_flag(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (!strcmp(name, flags[i]))
			return true;
	return false;
}

bool args_next(const struct qemu_args *a, size_t *at, struct qemu_option *o)
{
	const char *word;

	if (*at >= a->n)
		return false;
	word = a->v[*at];
	*o = (struct qemu_option){
		.name = "", .value = word, .at = *at, .words = 1
	};
	if (word[0] == '-' && word[1]) {
		o->name = word + (word[1] == '-' ? 2 : 1);
		if (!strcmp(o->name, "M"))
			o->name = "machine";
		o->value = is_flag(o->name) ? NULL : a->v[*at + 1];
		o->words = o->value ? 2 : 1;
	}
	*at += o->words;
	return true;
}

/* What is added behind such an option would become its value. */
static int check_end(const struct qemu_args *a, struct mr_error *err)
{
	struct qemu_option o = { .value = "" };
	size_t at = 1;

	while (args_next(a, &at, &o))
		;
	if (o.value || is_flag(o.name))
		return 0;
	return error_set(err, MR_USAGE, MR_NO_OFFSET,
			 "-%.60s at the end lacks its value", o.name);
}

int args_init(struct qemu_args *a, const char *const *argv,
	      struct mr_error *err)
{
	*a = (struct qemu_args){ 0 };
	for (size_t i = 0; argv[i]; i++)
		if (add_word(a, argv[i], err))
			return -1;
	return check_end(a, err);
}

bool args_last(const struct qemu_args *a, const char *name,
	       struct qemu_option *o)
{
	struct qemu_option one;
	size_t at = 1;
	bool found = false;

	while (args_next(a, &at, &one)) {
		if (strcmp(one.name, name) != 0)
			continue;
		*o = one;
		found = true;
	}
	return found;
}

int args_add(struct qemu_args *a, const char *name, const char *value,
	     struct mr_error *err)
{
	char dashed[64];

	(void)snprintf(dashed, sizeof(dashed), "-%s", name);
	if (add_word(a, dashed, err))
		return -1;
	return value ? add_word(a, value, err) : 0;
}

int args_set(struct qemu_args *a, const struct qemu_option *o,
	     const char *value, struct mr_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return no_memory(err);
	free(a->v[o->at + 1]);
	a->v[o->at + 1] = copy;
	return 0;
}

void args_drop_all(struct qemu_args *a, const char *name)
{
	struct qemu_option o;

	while (args_last(a, name, &o)) {
		for (size_t i = 0; i < o.words; i++)
			free(a->v[o.at + i]);
		memmove(a->v + o.at, a->v + o.at + o.words,
			(a->n - o.at - o.words + 1) * sizeof(*a->v));
		a->n -= o.words;
	}
}

/* ---- properties ---- */

static int add_prop(struct qemu_props *p, const char *key, const char *value,
		    struct mr_error *err)
{
	struct qemu_prop one = { strdup(key), strdup(value) };

	if (p->n >= PROPS_MAX) {
		(void)error_set(err, MR_USAGE, MR_NO_OFFSET,
				"more than %u properties", PROPS_MAX);
	} else if (one.key && one.value &&
		   !grow(&p->list, &p->room, p->n, sizeof(*p->list))) {
		p->list[p->n++] = one;
		return 0;
	} else {
		(void)no_memory(err);
	}
	free(one.key);
	free(one.value);
	return -1;
}

/* Up to the next comma that is not doubled: the text after it, or NULL. */
static const char *take_part(const char *text, char *part)
{
	for (; *text; *part++ = *text++) {
		if (*text != ',')
			continue;
		if (text[1] != ',') {
			*part = '\0';
			return text + 1;
		}
		text++;
	}
	*part = '\0';
	return NULL;
}

static int parse_words(struct qemu_props *p, const char *text,
		       const char *implied, struct mr_error *err)
{
	char *part = malloc(strlen(text) + 1);
	int rc = 0;

	if (!part)
		return no_memory(err);
	while (!rc && text && *text) {
		char *equal;

		text = take_part(text, part);
		equal = strchr(part, '=');
		if (equal)
			*equal = '\0';
		if (equal)
			rc = add_prop(p, part, equal + 1, err);
		else if (implied)
			rc = add_prop(p, implied, part, err);
		else
			rc = add_prop(p, part, "on", err);
		implied = NULL;
	}
	free(part);
	return rc;
}

static int add_json(struct qemu_props *p, const char *key, const json_t *v,
		    unsigned depth, struct mr_error *err);

static int add_parts(struct qemu_props *p, const char *key, const json_t *v,
		     unsigned depth, struct mr_error *err)
{
	const char *dot = key[0] ? "." : "", *name;
	char long_key[256];
	json_t *part;
	size_t i;
	int rc = 0;

	if (json_is_array(v)) {
		json_array_foreach(v, i, part)
		{
			(void)snprintf(long_key, sizeof(long_key),
				       "%.200s%s%zu", key, dot, i);
			if (!rc)
				rc = add_json(p, long_key, part, depth, err);
		}
		return rc;
	}
	json_object_foreach((json_t *)(uintptr_t)v, name, part)
	{
		(void)snprintf(long_key, sizeof(long_key), "%.120s%s%.120s",
			       key, dot, name);
		if (!rc)
			rc = add_json(p, long_key, part, depth, err);
	}
	return rc;
}

static int add_json(struct qemu_props *p, const char *key, const json_t *v,
		    unsigned depth, struct mr_error *err)
{
	char number[32];

	if (json_is_string(v))
		return add_prop(p, key, json_string_value(v), err);
	if (json_is_boolean(v))
		return add_prop(p, key, json_is_true(v) ? "on" : "off", err);
	if (json_is_integer(v)) {
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			       json_integer_value(v));
		return add_prop(p, key, number, err);
	}
	if ((json_is_array(v) || json_is_object(v)) && depth < 8)
		return add_parts(p, key, v, depth + 1, err);
	return error_set(err, MR_USAGE, MR_NO_OFFSET,
			 "%.60s: a JSON value of a kind that QEMU takes for "
			 "no property",
			 key);
}

static int parse_json(struct qemu_props *p, const char *text,
		      struct mr_error *err)
{
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int rc = json_is_object(v)
			 ? add_parts(p, "", v, 0, err)
			 : error_set(err, MR_USAGE, MR_NO_OFFSET,
				     "not a JSON object: %.100s", text);

	json_decref(v);
	return rc;
}

/* Adds those of a value; none are left if that fails. */
static int parse_more(struct qemu_props *p, const char *text,
		      const char *implied, struct mr_error *err)
{
	int rc = text[0] == '{' ? parse_json(p, text, err)
				: parse_words(p, text, implied, err);

	if (rc)
		props_release(p);
	return rc;
}

int props_parse(struct qemu_props *p, const char *text, const char *implied,
		struct mr_error *err)
{
	*p = (struct qemu_props){ 0 };
	return parse_more(p, text, implied, err);
}

int props_of(const struct qemu_args *a, const char *name, const char *implied,
	     struct qemu_props *p, struct mr_error *err)
{
	struct qemu_option o;
	size_t at = 1;
	int rc = 0;

	*p = (struct qemu_props){ 0 };
	while (!rc && args_next(a, &at, &o))
		if (!strcmp(o.name, name) && o.value)
			rc = parse_more(p, o.value, implied, err);
	return rc;
}

void props_release(struct qemu_props *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].key);
		free(p->list[i].value);
	}
	free(p->list);
	*p = (struct qemu_props){ 0 };
}

const char *props_get(const struct qemu_props *p, const char *key)
{
	for (size_t i = p->n; i > 0; i--)
		if (!strcmp(p->list[i - 1].key, key))
			return p->list[i - 1].value;
	return NULL;
}

bool props_on(const struct qemu_props *p, const char *key)
{
	static const char *const yes[] = { "on", "yes", "true", "y" };
	const char *value = props_get(p, key);

	for (size_t i = 0; value && i < sizeof(yes) / sizeof(*yes); i++)
		if (!strcmp(value, yes[i]))
			return true;
	return false;
}

int props_set(struct qemu_props *p, const char *key, const char *value,
	      struct mr_error *err)
{
	size_t to = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->list[i].key, key) != 0) {
			p->list[to++] = p->list[i];
			continue;
		}
		free(p->list[i].key);
		free(p->list[i].value);
	}
	p->n = to;
	return value ? add_prop(p, key, value, err) : 0;
}

/* A value with its commas doubled; returns its end. */
static char *put_escaped(char *to, const char *value)
{
	for (; *value; value++) {
		if (*value == ',')
			*to++ = ',';
		*to++ = *value;
	}
	return to;
}

char *props_text(const struct qemu_props *p, struct mr_error *err)
{
	size_t size = 1;
	char *text, *to;

	for (size_t i = 0; i < p->n; i++)
		size += strlen(p->list[i].key) + 2 * strlen(p->list[i].value) +
			2;
	text = to = malloc(size);
	if (!text) {
		(void)no_memory(err);
		return NULL;
	}
	for (size_t i = 0; i < p->n; i++) {
		if (i)
			*to++ = ',';
		to = stpcpy(to, p->list[i].key);
		*to++ = '=';
		to = put_escaped(to, p->list[i].value);
	}
	*to = '\0';
	return text;
}

/* ---- sizes ---- */

bool args_size(const char *text, uint64_t unit, uint64_t *size)
{
	static const char suffixes[] = "bkmgtpe";
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	const char *s;
	double d;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	d = strtod(text, &end);
	if (!hex && *end && end[1] == '\0') {
		s = strchr(suffixes, *end | 0x20);
		if (!s)
			return false;
		unit = UINT64_C(1) << (10 * (s - suffixes));
	} else if (*end) {
		return false;
	}
	d *= (double)unit;
	/* What a double says exactly is more than any memory. */
	if (!(d >= 0 && d < 9007199254740992.0))
		return false;
	*size = (uint64_t)d;
	return true;
}
