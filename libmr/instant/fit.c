/*
 * fit.c - does the command line make a VM that the image can be put into?
 *
 * QEMU would find out by itself, but after it has made devices, opened disks
 * and created sockets; some of it never.
 */
#include "libmr/instant/state.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmr/base/error.h"

#define CONFIG_LINES 65536

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* ---- what cannot be had ---- */

/* What QEMU reads after us has to be there still: a regular file. */
static FILE *open_config(const char *path, struct mr_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *f = NULL;
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode)))
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"-readconfig %.100s is no regular file: it "
				"could be read but once",
				path);
	else if (fd < 0 || !(f = fdopen(fd, "r")))
		(void)error_sys(err, MR_NO_OFFSET, "-readconfig %.100s", path);
	if (!f && fd >= 0)
		(void)close(fd);
	return f;
}

/* The section that a line begins, if we may not pass it over; NULL: none. As
 * QEMU takes it apart: with blanks before the bracket, and in it. */
static const char *begun_section(const char *line)
{
	static const char *const sections[] = {
		"memory",     "object", "machine", "numa",  "smp-opts",
		"overcommit", "device", "global",  "netdev"
	};

	line += strspn(line, " \t");
	if (*line != '[')
		return NULL;
	line += 1 + strspn(line + 1, " \t");
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++)
		if (begins(line, sections[i]) &&
		    !isalnum((unsigned char)line[strlen(sections[i])]))
			return sections[i];
	return NULL;
}

/* A file of -readconfig can say all that options can: what is about memory or
 * the machine would have to be changed in it. */
static int check_config(const char *path, struct mr_error *err)
{
	FILE *f = open_config(path, err);
	const char *bad = NULL;
	char line[512];
	size_t lines = 0;
	int rc = -1;

	if (!f)
		return -1;
	while (!bad && lines <= CONFIG_LINES && fgets(line, sizeof(line), f)) {
		bad = begun_section(line);
		lines++;
	}
	if (bad)
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"-readconfig %.100s has a section [%s]: give "
				"that on the command line",
				path, bad);
	else if (ferror(f) || lines > CONFIG_LINES)
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"-readconfig %.100s cannot be read to its end",
				path);
	else
		rc = 0;
	(void)fclose(f);
	return rc;
}

static int check_device(const struct mr_instant *in, const char *value,
			struct mr_error *err)
{
	struct qemu_props p;
	const char *driver;
	int rc = 0;

	if (props_parse(&p, value, "driver", err))
		return -1;
	driver = props_get(&p, "driver");
	driver = driver ? driver : "";
	if (begins(driver, "virtio-mem"))
		rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			       "%.60s takes memory back by holes, which a "
			       "mapped image cannot give: load this image "
			       "without --instant",
			       driver);
	else if (begins(driver, "virtio-balloon"))
		instant_say(in,
			    "%s: memory that the guest gives back is not "
			    "zero when it takes it again, but the image's%s",
			    driver,
			    props_on(&p, "free-page-reporting")
				    ? " (free-page-reporting)"
				    : "");
	props_release(&p);
	return rc;
}

/* Guests that go on from the same moment draw the same random numbers, unless
 * they are told that they were copied. */
static int warn_clone(const struct mr_instant *in, struct mr_error *err)
{
	const char *why = "without a vmgenid device";
	struct qemu_option o;
	size_t at = 1;

	while (args_next(&in->args, &at, &o)) {
		struct qemu_props p;
		const char *driver, *guid;

		if (strcmp(o.name, "device") != 0 || !o.value)
			continue;
		if (props_parse(&p, o.value, "driver", err))
			return -1;
		driver = props_get(&p, "driver");
		guid = props_get(&p, "guid");
		if (driver && !strcmp(driver, "vmgenid"))
			why = guid && strcmp(guid, "auto") != 0
				      ? "with a fixed guid of vmgenid"
				      : NULL;
		props_release(&p);
	}
	if (in->is_clone && why)
		instant_say(in,
			    "another VM lives on this image: %s both guests "
			    "draw the same random numbers",
			    why);
	return 0;
}

/* "migration.x-multifd=on", or the same in parts: settings with which QEMU
 * would expect another stream than it is given, and find out only then. */
static int check_global(const char *value, struct mr_error *err)
{
	static const struct {
		const char *name;
		bool on; /* it must not be; else: off */
	} bad[] = { { "mapped-ram", true },
		    { "x-multifd", true },
		    { "multifd", true },
		    { "x-postcopy-ram", true },
		    { "x-ignore-shared", true },
		    { "send-configuration", false },
		    { "send-section-footer", false } };
	struct qemu_props p;
	int rc = 0;

	if (props_parse(&p, value, NULL, err))
		return -1;
	for (size_t i = 0; !rc && i < sizeof(bad) / sizeof(*bad); i++) {
		const char *driver = props_get(&p, "driver");
		const char *property = props_get(&p, "property");
		char key[64];

		(void)snprintf(key, sizeof(key), "migration.%s", bad[i].name);
		if (driver && !strcmp(driver, "migration") && property &&
		    !strcmp(property, bad[i].name))
			(void)snprintf(key, sizeof(key), "value");
		if (props_get(&p, key) && props_on(&p, key) == bad[i].on)
			rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
				       "-global %.100s: QEMU would expect "
				       "another stream than it is given",
				       value);
	}
	props_release(&p);
	return rc;
}

static int check_options(const struct mr_instant *in, struct mr_error *err)
{
	struct qemu_option o;
	size_t at = 1;
	int rc = 0;

	while (!rc && args_next(&in->args, &at, &o)) {
		if (!strcmp(o.name, "incoming") || !strcmp(o.name, "loadvm"))
			rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
				       "-%s: what is to be loaded is the image",
				       o.name);
		else if (!strcmp(o.name, "readconfig") && o.value)
			rc = check_config(o.value, err);
		else if (!strcmp(o.name, "device") && o.value)
			rc = check_device(in, o.value, err);
		else if (!strcmp(o.name, "global") && o.value)
			rc = check_global(o.value, err);
	}
	return rc;
}

/* ---- the machine ---- */

/* Whether a newer QEMU may take the name for another machine than the one that
 * the image is of. */
static bool is_alias(const char *name, const char *machine)
{
	size_t n = strlen(name);

	if (!strcmp(name, "pc"))
		return begins(machine, "pc-i440fx-");
	if (!strcmp(name, "q35"))
		return begins(machine, "pc-q35-");
	return !strncmp(name, machine, n) && machine[n] == '-' &&
	       isdigit((unsigned char)machine[n + 1]);
}

/* What a QEMU of that name takes when it is told nothing. */
static const char *default_machine(const char *program)
{
	return strstr(program, "x86_64") || strstr(program, "i386") ? "pc" : "";
}

static int refuse_machine(const struct mr_instant *in, const char *name,
			  struct mr_error *err)
{
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "the image is of a %.80s, the command line makes a "
			 "%.80s",
			 in->info->machine, name);
}

static int check_props(const struct qemu_props *p, struct mr_error *err)
{
	for (size_t i = 0; i < p->n; i++)
		if (begins(p->list[i].key, "smp.") ||
		    begins(p->list[i].key, "memory."))
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "-machine %.60s: say it by -smp or -m",
					 p->list[i].key);
	return 0;
}

/* The one that all are for QEMU: later keys win. */
static int set_machine(struct mr_instant *in, const struct qemu_props *p,
		       struct mr_error *err)
{
	char *text = props_text(p, err);
	int rc = -1;

	if (text) {
		args_drop_all(&in->args, "machine");
		rc = args_add(&in->args, "machine", text, err);
	}
	free(text);
	return rc;
}

static int name_machine(struct mr_instant *in, struct qemu_props *p,
			struct mr_error *err)
{
	const char *usual = default_machine(in->args.v[0]);
	const char *name = props_get(p, "type"), *machine = in->info->machine;

	if (name && !strcmp(name, machine))
		return 0;
	if (name && !is_alias(name, machine))
		return refuse_machine(in, name, err);
	if (!name && usual[0] && !is_alias(usual, machine) &&
	    strcmp(usual, machine) != 0)
		return refuse_machine(in, usual, err);
	if (name)
		instant_say(in, "machine %s: %s, as the image has it", name,
			    machine);
	else
		instant_say(in, "machine: %s, as the image has it", machine);
	return props_set(p, "type", machine, err);
}

static int fit_machine(struct mr_instant *in, struct mr_error *err)
{
	struct qemu_props p;
	int rc;

	if (props_of(&in->args, "machine", "type", &p, err))
		return -1;
	rc = check_props(&p, err) || name_machine(in, &p, err) ||
			     set_machine(in, &p, err)
		     ? -1
		     : 0;
	props_release(&p);
	return rc;
}

/* ---- CPUs ---- */

static unsigned number(const struct qemu_props *p, const char *key, unsigned or)
{
	const char *text = props_get(p, key);
	unsigned long n = text ? strtoul(text, NULL, 0) : 0;

	return n > 0 && n < 65536 ? (unsigned)n : or ;
}

/* As QEMU counts them: cpus, else all that there can be. */
static unsigned smp_cpus(const struct qemu_props *p)
{
	static const char *const levels[] = { "drawers", "books",    "sockets",
					      "dies",	 "clusters", "modules",
					      "cores",	 "threads" };
	uint64_t all = 1;

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (all < 65536)
			all *= number(p, levels[i], 1);
	return number(p, "cpus", number(p, "maxcpus", (unsigned)all));
}

static int fit_cpus(const struct mr_instant *in, struct mr_error *err)
{
	unsigned want = image_cpus(in->info), have, plugged = 0;
	struct qemu_option o;
	struct qemu_props p;
	size_t at = 1;

	if (props_of(&in->args, "smp", "cpus", &p, err))
		return -1;
	have = smp_cpus(&p);
	props_release(&p);
	while (args_next(&in->args, &at, &o)) {
		const char *driver;

		if (strcmp(o.name, "device") != 0 || !o.value)
			continue;
		if (props_parse(&p, o.value, "driver", err))
			return -1;
		driver = props_get(&p, "driver");
		plugged += driver && strlen(driver) > 4 &&
			   !strcmp(driver + strlen(driver) - 4, "-cpu");
		props_release(&p);
	}
	if (!want || want == have + plugged)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "the image has %u CPUs, the command line makes %u "
			 "(-smp)",
			 want, have + plugged);
}

/* ---- what would read all of the image at once ---- */

static int unlock_one(struct mr_instant *in, const struct qemu_option *o,
		      struct mr_error *err)
{
	const bool on_fault = atoi(in->report->qemu) >= 10;
	struct qemu_props p;
	char *text = NULL;
	int rc = 0;

	if (props_parse(&p, o->value, NULL, err))
		return -1;
	if (!props_on(&p, "mem-lock"))
		goto out;
	instant_say(in,
		    "-overcommit mem-lock=on: %s, as all of the memory would "
		    "be copied at the start",
		    on_fault ? "on-fault" : "off");
	rc = props_set(&p, "mem-lock", on_fault ? "on-fault" : "off", err);
	if (!rc)
		text = props_text(&p, err);
	rc = text ? args_set(&in->args, o, text, err) : -1;
	free(text);
out:
	props_release(&p);
	return rc;
}

/* There may be several: QEMU puts them together. */
static int unlock_memory(struct mr_instant *in, struct mr_error *err)
{
	struct qemu_option o;
	size_t at = 1;

	while (args_next(&in->args, &at, &o))
		if (!strcmp(o.name, "overcommit") && o.value &&
		    unlock_one(in, &o, err))
			return -1;
	return 0;
}

/* -S keeps a guest from running that is to run. */
static void drop_stop(struct mr_instant *in)
{
	if (in->options->then == MR_THEN_RUN)
		args_drop_all(&in->args, "S");
}

int instant_fit(struct mr_instant *in, struct mr_error *err)
{
	if (check_options(in, err) || fit_machine(in, err) ||
	    fit_cpus(in, err) || unlock_memory(in, err) || warn_clone(in, err))
		return -1;
	drop_stop(in);
	return 0;
}
