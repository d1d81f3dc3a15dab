/*
 * ram.c - guest RAM: which of the image's blocks lies behind what on the
 * command line, and how it gets there.
 *
 * A block is called like the object behind it, by its id or by its path; that
 * of a machine that was given none has a name of its own. The image's names
 * stay: the next save is compared with them.
 */
#include "libmr/instant/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/file/place.h"

#define OBJECTS "/objects/"
#define CANONICAL "x-use-canonical-path-for-ramblock-id"
/* QEMU's, where -m says nothing, or 0; and what it rounds that up to. */
#define DEFAULT_RAM (UINT64_C(128) << 20)
#define RAM_ALIGN UINT64_C(8192)

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* ---- what must not be mapped ---- */

/* Whoever needs the memory himself, or all of it at once; NULL: nobody. buf
 * holds it. */
static const char *find_sharer(const struct mr_instant *in, char buf[64],
			       struct mr_error *err)
{
	static const struct {
		const char *option, *key, *begin;
	} sharers[] = {
		{ "device", "driver", "vhost-user" },
		{ "device", "driver", "vhost-vdpa" },
		{ "device", "driver", "vfio-" },
		{ "netdev", "type", "vhost-user" },
		{ "netdev", "type", "vhost-vdpa" },
		{ "nic", "type", "vhost-user" },
		{ "nic", "type", "vhost-vdpa" },
		{ "blockdev", "driver", "virtio-blk-v" },
	};
	struct qemu_option o;
	size_t at = 1;

	buf[0] = '\0';
	while (!buf[0] && args_next(&in->args, &at, &o))
		for (size_t i = 0; i < sizeof(sharers) / sizeof(*sharers);
		     i++) {
			struct qemu_props p;
			const char *what;

			if (strcmp(o.name, sharers[i].option) != 0 || !o.value)
				continue;
			if (props_parse(&p, o.value, sharers[i].key, err))
				return NULL;
			what = props_get(&p, sharers[i].key);
			if (what && begins(what, sharers[i].begin))
				(void)snprintf(buf, 64, "%.63s", what);
			props_release(&p);
		}
	return buf[0] ? buf : NULL;
}

static bool on_hugetlbfs(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool yes = fd >= 0 && place_is(fd, HUGETLBFS_MAGIC);

	if (fd >= 0)
		(void)close(fd);
	return yes;
}

/* Why an object's memory cannot be a mapping of the image; NULL: it can. */
static const char *why_fed(const struct qemu_props *p, const char *sharer)
{
	const char *type = props_get(p, "qom-type");
	const char *path = props_get(p, "mem-path");

	if (sharer)
		return sharer;
	if (props_on(p, "hugetlb") || (path && on_hugetlbfs(path)))
		return "huge pages";
	if (path && props_on(p, "share"))
		return "a file that is shared";
	if (props_on(p, "pmem"))
		return "persistent memory";
	if (strcmp(type, "memory-backend-ram") != 0 &&
	    strcmp(type, "memory-backend-memfd") != 0 &&
	    strcmp(type, "memory-backend-file") != 0 &&
	    strcmp(type, "memory-backend-shm") != 0)
		return type;
	return NULL;
}

/* ---- blocks ---- */

static const struct mr_block *block_of(const struct mr_instant *in,
				       const char *id)
{
	char path[300];
	const struct mr_block *b = mr_image_find(in->img, id);

	(void)snprintf(path, sizeof(path), OBJECTS "%.255s", id);
	return b ? b : mr_image_find(in->img, path);
}

static int check_length(const struct mr_block *b, uint64_t length,
			const char *what, struct mr_error *err)
{
	if (b->length == length)
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "RAM block %.64s: %" PRIu64 " MiB in the image, "
			 "%" PRIu64 " MiB on the command line (%.60s)",
			 b->name, b->length >> 20, length >> 20, what);
}

/* Its pages go through the stream. */
static int feed(struct mr_instant *in, const struct mr_block *b,
		const char *why, struct mr_error *err)
{
	if (in->options->strict)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "block %.64s cannot be mapped: %.80s", b->name,
				 why);
	instant_say(in, "block %s is read, not mapped: %s", b->name, why);
	in->places[b - in->info->blocks] = PLACE_FED;
	in->feeds = true;
	return 0;
}

/* ---- objects ---- */

/* What is lost, and not worth a refusal. */
static void say_lost(const struct mr_instant *in, const struct qemu_props *p,
		     const char *id)
{
	if (props_on(p, "prealloc"))
		instant_say(in,
			    "object %s: without prealloc, which would copy "
			    "all of the memory at the start",
			    id);
	if (props_on(p, "share"))
		instant_say(in,
			    "object %s: without share=on, which nothing on "
			    "the command line needs",
			    id);
	for (size_t i = 0; i < p->n; i++)
		if (begins(p->list[i].key, "host-nodes")) {
			instant_say(in,
				    "object %s: without host-nodes and "
				    "policy: the page cache is where it is",
				    id);
			break;
		}
}

static int set_mapping(struct mr_instant *in, struct qemu_props *p,
		       const struct mr_block *b, struct mr_error *err)
{
	char length[24], offset[24];
	/* Read-only, or what the guest gives back would become holes in the
	 * image. */
	const struct {
		const char *key, *value;
	} set[] = {
		{ "qom-type", "memory-backend-file" },
		{ "size", length },
		{ "mem-path", in->path },
		{ "offset", offset },
		{ "share", "off" },
		{ "readonly", "on" },
		{ "rom", "off" },
		{ CANONICAL, begins(b->name, OBJECTS) ? "on" : "off" },
	};

	(void)snprintf(length, sizeof(length), "%" PRIu64, b->length);
	(void)snprintf(offset, sizeof(offset), "%" PRIu64, b->pages_offset);
	for (size_t i = 0; i < sizeof(set) / sizeof(*set); i++)
		if (props_set(p, set[i].key, set[i].value, err))
			return -1;
	in->places[b - in->info->blocks] = PLACE_MAPPED;
	in->report->mapped += b->length;
	return 0;
}

/* An object's properties as they are to be: those that hold for any memory
 * stay. */
static int map_object(struct mr_instant *in, const struct qemu_option *o,
		      const struct qemu_props *was, const struct mr_block *b,
		      struct mr_error *err)
{
	static const char *const kept[] = { "qom-type", "id", "dump", "merge",
					    "reserve" };
	struct qemu_props p = { 0 };
	char *text = NULL;
	int rc = 0;

	say_lost(in, was, props_get(was, "id"));
	for (size_t i = 0; !rc && i < sizeof(kept) / sizeof(*kept); i++)
		if (props_get(was, kept[i]))
			rc = props_set(&p, kept[i], props_get(was, kept[i]),
				       err);
	if (!rc && !set_mapping(in, &p, b, err))
		text = props_text(&p, err);
	rc = text ? args_set(&in->args, o, text, err) : -1;
	free(text);
	props_release(&p);
	return rc;
}

/* The -object of that id: its properties. 1, 0 (none) or -1. */
static int find_object(const struct mr_instant *in, const char *id,
		       struct qemu_option *o, struct qemu_props *p,
		       struct mr_error *err)
{
	size_t at = 1;

	while (args_next(&in->args, &at, o)) {
		const char *this;

		if (strcmp(o->name, "object") != 0 || !o->value)
			continue;
		if (props_parse(p, o->value, "qom-type", err))
			return -1;
		this = props_get(p, "id");
		if (this && props_get(p, "qom-type") && !strcmp(this, id))
			return 1;
		props_release(p);
	}
	return 0;
}

/* The memory of object id, which the command line gives to the guest. */
static int place_object(struct mr_instant *in, const char *id,
			const char *sharer, struct mr_error *err)
{
	const struct mr_block *b = block_of(in, id);
	struct qemu_option o;
	struct qemu_props p;
	const char *why, *size;
	uint64_t length = 0;
	int rc = find_object(in, id, &o, &p, err);

	if (rc < 0)
		return -1;
	if (!rc)
		return error_set(err, MR_REFUSED, MR_NO_OFFSET,
				 "there is no -object with id=%.100s", id);
	size = props_get(&p, "size");
	why = why_fed(&p, sharer);
	if (!b)
		rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			       "the image has no memory of object %.100s", id);
	else if (!size || !args_size(size, 1, &length))
		rc = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			       "object %.100s has no size", id);
	else if (check_length(b, length, "-object", err))
		rc = -1;
	else
		rc = why ? feed(in, b, why, err)
			 : map_object(in, &o, &p, b, err);
	props_release(&p);
	return rc;
}

/* ---- whose objects they are ---- */

/* The object that an option gives to the guest as memory, to be freed; NULL:
 * none, or no memory (*err). *alone: why it has to be read. */
static char *named_object(const struct qemu_option *o, const char **alone,
			  struct mr_error *err)
{
	const bool machine = !strcmp(o->name, "machine");
	const bool numa = !strcmp(o->name, "numa");
	const char *driver, *id = NULL;
	struct qemu_props p;
	char *copy = NULL;

	*alone = NULL;
	if (!o->value || (!machine && !numa && strcmp(o->name, "device") != 0))
		return NULL;
	if (props_parse(&p, o->value, machine || numa ? "type" : "driver", err))
		return NULL;
	driver = props_get(&p, "driver");
	if (machine)
		id = props_get(&p, "memory-backend");
	else if (numa || (driver && !strcmp(driver, "pc-dimm")))
		id = props_get(&p, "memdev");
	else if (driver &&
		 (!strcmp(driver, "nvdimm") || begins(driver, "virtio-pmem"))) {
		id = props_get(&p, "memdev");
		*alone = "persistent memory";
	}
	if (id)
		copy = strdup(id);
	if (id && !copy)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
	props_release(&p);
	return copy;
}

/* All of them; *main: they include the machine's main memory. */
static int place_objects(struct mr_instant *in, const char *sharer, bool *main,
			 struct mr_error *err)
{
	struct qemu_option o;
	size_t at = 1;
	int rc = 0;

	*main = false;
	while (!rc && args_next(&in->args, &at, &o)) {
		const bool device = !strcmp(o.name, "device");
		const char *alone;
		char *id = named_object(&o, &alone, err);

		if (id) {
			rc = place_object(in, id, alone ? alone : sharer, err);
			*main |= !device;
		} else if (err->code != MR_OK) {
			rc = -1;
		}
		free(id);
	}
	return rc;
}

/* ---- memory that nobody named ---- */

/* As machines call theirs (default_ram_id). */
static const struct mr_block *main_block(const struct mr_instant *in)
{
	static const char *const names[] = {
		"pc.ram",	 "microvm.ram",		 "mach-virt.ram",
		"ppc_spapr.ram", "riscv_virt_board.ram", "s390.ram",
		"loongarch.ram"
	};
	const struct mr_block *b = NULL;

	for (size_t i = 0; !b && i < sizeof(names) / sizeof(*names); i++)
		b = mr_image_find(in->img, names[i]);
	return b;
}

static int main_length(const struct mr_instant *in, uint64_t *length,
		       struct mr_error *err)
{
	struct qemu_props p;
	const char *size;
	int rc = 0;

	*length = 0;
	if (props_of(&in->args, "m", "size", &p, err))
		return -1;
	size = props_get(&p, "size");
	if (size && !args_size(size, UINT64_C(1) << 20, length))
		rc = error_set(err, MR_USAGE, MR_NO_OFFSET,
			       "-m %.60s is no size", size);
	if (!*length)
		*length = DEFAULT_RAM;
	*length = (*length + RAM_ALIGN - 1) / RAM_ALIGN * RAM_ALIGN;
	props_release(&p);
	return rc;
}

/* Takes the place of -mem-path. 1: it is on huge pages, and stays; 0 or -1. */
static int drop_path(struct mr_instant *in)
{
	struct qemu_option o;

	if (args_last(&in->args, "mem-path", &o) && o.value &&
	    on_hugetlbfs(o.value))
		return 1;
	args_drop_all(&in->args, "mem-path");
	return 0;
}

/* It is for all memory, whatever it is backed by. */
static void drop_prealloc(struct mr_instant *in)
{
	struct qemu_option o;
	bool mapped = false;

	for (size_t i = 0; i < in->info->n_blocks; i++)
		mapped |= in->places[i] == PLACE_MAPPED;
	if (!mapped || !args_last(&in->args, "mem-prealloc", &o))
		return;
	instant_say(in, "without -mem-prealloc, which would copy all of the "
			"memory at the start");
	args_drop_all(&in->args, "mem-prealloc");
}

static int map_main(struct mr_instant *in, const struct mr_block *b,
		    struct mr_error *err)
{
	const char *id =
		begins(b->name, OBJECTS) ? b->name + strlen(OBJECTS) : b->name;
	struct qemu_props p = { 0 }, m = { 0 };
	char *object = NULL, *machine = NULL;
	int rc = -1;

	if (props_set(&p, "qom-type", "memory-backend-file", err) ||
	    props_set(&p, "id", id, err) || set_mapping(in, &p, b, err) ||
	    props_set(&m, "memory-backend", id, err))
		goto out;
	object = props_text(&p, err);
	machine = props_text(&m, err);
	if (object && machine && !args_add(&in->args, "object", object, err))
		rc = args_add(&in->args, "machine", machine, err);
out:
	free(object);
	free(machine);
	props_release(&p);
	props_release(&m);
	return rc;
}

static int place_main(struct mr_instant *in, const char *sharer,
		      struct mr_error *err)
{
	const struct mr_block *b = main_block(in);
	uint64_t length;

	if (!b)
		return error_set(
			err, MR_REFUSED, MR_NO_OFFSET,
			"cannot tell which block is the machine's memory: "
			"name it by -object and -machine memory-backend=");
	if (main_length(in, &length, err) || check_length(b, length, "-m", err))
		return -1;
	if (sharer)
		return feed(in, b, sharer, err);
	if (drop_path(in))
		return feed(in, b, "huge pages", err);
	return map_main(in, b, err);
}

/* A block that is called like an object, and no object for it: QEMU would not
 * take it. */
static int check_rest(const struct mr_instant *in, struct mr_error *err)
{
	for (size_t i = 0; i < in->info->n_blocks; i++) {
		const char *name = in->info->blocks[i].name;
		struct qemu_option o;
		struct qemu_props p;
		int rc;

		if (begins(name, OBJECTS))
			name += strlen(OBJECTS);
		if (in->places[i] != PLACE_STUB || strpbrk(name, "/."))
			continue;
		rc = find_object(in, name, &o, &p, err);
		if (rc > 0)
			props_release(&p);
		if (rc < 0)
			return -1;
		if (!rc)
			return error_set(err, MR_REFUSED, MR_NO_OFFSET,
					 "the image has the memory of an "
					 "object %.100s, the command line has "
					 "no such object",
					 name);
	}
	return 0;
}

int instant_place(struct mr_instant *in, struct mr_error *err)
{
	char buf[64];
	const char *sharer = find_sharer(in, buf, err);
	bool main;

	if (err->code != MR_OK)
		return -1;
	if (place_objects(in, sharer, &main, err) ||
	    (!main && place_main(in, sharer, err)))
		return -1;
	drop_prealloc(in);
	return check_rest(in, err);
}
