/* kept.c - a folder of small files. */
#include "libmr/save/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libmr/base/hash.h"
#include "libmr/file/output.h"

#define NAME_ROOM 80
#define ENDING ".json"

struct entry {
	char name[NAME_ROOM];
	struct timespec when;
};

/* -1: there is none that is ours alone. */
static int open_folder(const char *folder)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir >= 0 && !fstat(dir, &st) && st.st_uid == geteuid() &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return dir;
	if (dir >= 0)
		(void)close(dir);
	return -1;
}

static uint64_t key_of(const struct guest *g)
{
	char text[400];
	int n = snprintf(text, sizeof(text), "%d.%d.%d %s", g->major, g->minor,
			 g->micro, g->machine);

	return hash_page(text, (size_t)n);
}

/* KEY-LENGTH-DIGEST.json, and nothing else: shorter than NAME_ROOM. */
static bool parse_name(const char *name, uint64_t *key, uint64_t *device)
{
	uint64_t digest;
	char again[NAME_ROOM];

	if (sscanf(name, "%16" SCNx64 "-%20" SCNu64 "-%16" SCNx64, key, device,
		   &digest) != 3)
		return false;
	(void)snprintf(again, sizeof(again),
		       "%016" PRIx64 "-%" PRIu64 "-%016" PRIx64 ENDING, *key,
		       *device, digest);
	return !strcmp(name, again);
}

static int newest_first(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (a->when.tv_sec != b->when.tv_sec)
		return a->when.tv_sec > b->when.tv_sec ? -1 : 1;
	if (a->when.tv_nsec != b->when.tv_nsec)
		return a->when.tv_nsec > b->when.tv_nsec ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Up to `most` files of that key (NULL: of any), the newest first; returns how
 * many. */
static size_t list(int dir, const uint64_t *key, struct entry *all, size_t most)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *e;
	size_t n = 0;

	while (d && n < most && (e = readdir(d))) {
		uint64_t is, device;
		struct stat st;

		if (!parse_name(e->d_name, &is, &device) ||
		    (key && is != *key) ||
		    fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		memcpy(all[n].name, e->d_name, strlen(e->d_name) + 1);
		all[n++].when = st.st_mtim;
	}
	if (d)
		(void)closedir(d);
	else if (again >= 0)
		(void)close(again);
	qsort(all, n, sizeof(*all), newest_first);
	return n;
}

static bool read_all(int fd, uint8_t *to, size_t len)
{
	while (len) {
		ssize_t n = read(fd, to, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

static void load_one(struct kept *k, int dir, const char *name)
{
	int fd = openat(dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct kept_text *t = &k->all[k->n];
	struct stat st;
	uint64_t key;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && st.st_size > 0 &&
	    (uint64_t)st.st_size <= KEPT_SIZE &&
	    parse_name(name, &key, &t->device)) {
		t->len = (size_t)st.st_size;
		t->text = malloc(t->len);
		if (t->text && read_all(fd, t->text, t->len))
			k->n++;
		else
			free(t->text);
	}
	if (fd >= 0)
		(void)close(fd);
}

void kept_load(struct kept *k, const char *folder, const struct guest *g)
{
	const uint64_t key = key_of(g);
	struct entry all[KEPT_FILES];
	int dir = folder ? open_folder(folder) : -1;
	size_t n;

	if (dir < 0)
		return;
	n = list(dir, &key, all, KEPT_FILES);
	for (size_t i = 0; i < n && k->n < KEPT_TRIES; i++)
		load_one(k, dir, all[i].name);
	(void)close(dir);
}

void kept_release(struct kept *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->all[i].text);
	k->n = 0;
}

/* Room for one more. */
static void remove_oldest(int dir)
{
	struct entry all[2 * KEPT_FILES];
	size_t n = list(dir, NULL, all, 2 * KEPT_FILES);

	while (n >= KEPT_FILES)
		(void)unlinkat(dir, all[--n].name, 0);
}

static void add_file(const char *folder, const char *name, const void *text,
		     size_t len)
{
	struct output o = OUTPUT_NONE;
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

	if (n > 0 && (size_t)n < sizeof(path) &&
	    !output_create(&o, path, GATE_ANY_FILE, MR_DIRECT_OFF, NULL) &&
	    !io_write_full(&o.file.io, text, len, 0, NULL))
		(void)output_publish(&o, NULL);
	output_discard(&o);
}

/* It, and the one that it is in. */
static void make_folder(const char *folder)
{
	char above[4096];
	const char *slash = strrchr(folder, '/');

	if (slash && slash > folder &&
	    (size_t)(slash - folder) < sizeof(above)) {
		memcpy(above, folder, (size_t)(slash - folder));
		above[slash - folder] = '\0';
		(void)mkdir(above, 0700);
	}
	(void)mkdir(folder, 0700);
}

void kept_add(const char *folder, const struct guest *g, uint64_t device,
	      const void *text, size_t len)
{
	char name[NAME_ROOM];
	int dir;

	if (!folder || !len || len > KEPT_SIZE)
		return;
	make_folder(folder);
	dir = open_folder(folder);
	if (dir < 0)
		return;
	(void)snprintf(name, sizeof(name),
		       "%016" PRIx64 "-%" PRIu64 "-%016" PRIx64 ENDING,
		       key_of(g), device, hash_page(text, len));
	/* One that is there is the newest now. */
	if (utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW)) {
		remove_oldest(dir);
		add_file(folder, name, text, len);
	}
	(void)close(dir);
}
