/* chain.c - finding packs by their identity, and what all of them have. */
#include "libmr/pack/chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"

/* Names of packs in a folder that are looked at. */
#define NAMES_MAX (1u << 16)
#define ENDING ".mrp"

/* ---- where they are ---- */

/*
 * A descriptor of the pack with this identity under this name; -1: it is none,
 * or with errno set, nobody knows. Only a file is opened at all: who waits to
 * write into a pipe would take us for its reader.
 */
static int try_name(int dir, const char *name, const struct seal_digest *wanted)
{
	uint8_t buf[PACK_INDEX_END_SIZE];
	struct pack_end end;
	struct fault f;
	struct stat st;
	ssize_t n = 0;
	int fd, why;

	errno = 0;
	if (fstatat(dir, name, &st, 0) || !S_ISREG(st.st_mode)) {
		/* A symlink that leads nowhere. */
		if (errno == ENOENT)
			errno = 0;
		return -1;
	}
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    st.st_size >= (off_t)sizeof(buf))
		n = pread(fd, buf, sizeof(buf),
			  st.st_size - (off_t)sizeof(buf));
	if (n == (ssize_t)sizeof(buf) &&
	    pack_end_decode(buf, sizeof(buf), (uint64_t)st.st_size, &end, &f) >=
		    0 &&
	    !memcmp(&end.identity, wanted, sizeof(*wanted)))
		return fd;
	why = n < 0 ? errno : 0;
	(void)close(fd);
	errno = why;
	return -1;
}

static bool is_named_so(const char *name)
{
	size_t n = strlen(name), end = strlen(ENDING);

	return n > end && !strcmp(name + n - end, ENDING);
}

/* Of a path, with the slash. */
static int folder_length(const char **path)
{
	const char *slash = strrchr(*path, '/');

	if (slash)
		return (int)(slash - *path + 1);
	*path = ".";
	return 1;
}

static DIR *open_folder(const char *path)
{
	int n = folder_length(&path);
	char *folder = strndup(path, (size_t)n);
	DIR *d = folder ? opendir(folder) : NULL;

	free(folder);
	return d;
}

/* The path of a name beside another path; *name becomes the part of it. */
static char *beside(const char *path, const char *e, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path + 1) : 0;
	char *to = malloc(n + strlen(e) + 1);

	if (!to)
		return NULL;
	memcpy(to, path, n);
	memcpy(to + n, e, strlen(e) + 1);
	*name = to + n;
	return to;
}

/* above: the name of the pack that stands on it; NULL: the top. */
static int not_there(const struct seal_digest *wanted, const char *above,
		     const char *path, const struct mr_error *why,
		     struct mr_error *err)
{
	static const char digits[] = "0123456789abcdef";
	const char *folder = path;
	int n = folder_length(&folder);
	char text[2 * SEAL_DIGEST_SIZE + 1] = "";
	struct stat st;
	bool leads = !lstat(path, &st) && S_ISLNK(st.st_mode);

	for (size_t i = 0; i < SEAL_DIGEST_SIZE; i++) {
		text[2 * i] = digits[wanted->byte[i] >> 4];
		text[2 * i + 1] = digits[wanted->byte[i] & 15];
	}
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "%.60s%s base, the pack %s, is no *" ENDING
			 " in folder %.*s%s%s%.60s",
			 above ? above : "its", above ? "'s" : "", text,
			 n < 80 ? n : 80, folder,
			 leads ? ", nor where the symlink leads" : "",
			 why->msg[0] ? " that can be read: " : "", why->msg);
}

/* ---- the chain ---- */

static void free_pack(struct chain_pack *k, bool opened)
{
	if (opened)
		packed_release(&k->packed);
	(void)file_close(&k->file);
	free(k->path);
	free(k);
}

static int check_fit(const struct chain_pack *k, const struct packed *above,
		     struct mr_error *err)
{
	const struct pack_label *l = &k->packed.label, *a = &above->label;

	if (l->page_size != a->page_size || l->extent_size != a->extent_size)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "base %.100s has pages and extents of other "
				 "sizes",
				 k->name);
	if (l->below + 1 != a->below)
		return error_set(err, MR_FORMAT, MR_NO_OFFSET,
				 "base %.100s has %" PRIu32 " packs below, "
				 "not %" PRIu32,
				 k->name, l->below, a->below - 1);
	return 0;
}

/* Says whose fault it is. */
static int of_base(const struct chain_pack *k, const struct mr_error *why,
		   struct mr_error *err)
{
	return error_set(err, why->code, MR_NO_OFFSET, "base %.100s: %.160s",
			 k->name, why->msg);
}

/* Another pack with the same identity in its folder; "": there is none. */
static void find_copy(const struct chain_pack *k, char name[NAME_MAX + 1])
{
	DIR *d = open_folder(k->path);
	const struct dirent *e;
	struct stat st;

	name[0] = '\0';
	for (unsigned i = 0; d && !name[0] && i < NAMES_MAX && (e = readdir(d));
	     i += is_named_so(e->d_name)) {
		int fd = is_named_so(e->d_name)
				 ? try_name(dirfd(d), e->d_name,
					    &k->packed.end.identity)
				 : -1;

		if (fd < 0)
			continue;
		if (!fstat(fd, &st) &&
		    (st.st_dev != k->file.dev || st.st_ino != k->file.ino))
			memcpy(name, e->d_name, strlen(e->d_name) + 1);
		(void)close(fd);
	}
	if (d)
		(void)closedir(d);
}

/* The same of one that was taken, and turns out bad: who has another one need
 * not do without. */
static int of_taken(const struct chain_pack *k, const struct mr_error *why,
		    struct mr_error *err)
{
	char copy[NAME_MAX + 1];

	find_copy(k, copy);
	if (!copy[0])
		return of_base(k, why, err);
	return error_set(err, why->code, MR_NO_OFFSET,
			 "base %.50s: %.100s; %.50s beside it is a copy",
			 k->name, why->msg, copy);
}

/* The one that has this descriptor, opened; NULL: it is damaged. path: of
 * another in its folder. */
static struct chain_pack *open_pack(int fd, const char *path, const char *name,
				    const struct packed *above,
				    struct mr_error *err)
{
	struct chain_pack *k = calloc(1, sizeof(*k));
	struct mr_error why = MR_ERROR_INIT;
	bool opened;

	if (k)
		k->file = (struct file)FILE_CLOSED;
	if (!k || !(k->path = beside(path, name, &k->name))) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto close;
	}
	if (file_adopt(&k->file, fd, O_RDONLY, MR_DIRECT_OFF, &why)) {
		(void)of_base(k, &why, err);
		goto close;
	}
	k->file.io.who = above->file->who;
	opened = !packed_open(&k->packed, &k->file.io, &why);
	if (!opened)
		(void)of_base(k, &why, err);
	else if (!check_fit(k, above, err))
		return k;
	free_pack(k, opened);
	return NULL;
close:
	(void)close(fd);
	if (k)
		free_pack(k, false);
	return NULL;
}

/*
 * What above stands on, among the packs in the folder of this path; NULL: not
 * there. A copy that is damaged does not keep us from one that is not: *bad is
 * what the first of those had, *why what could not be read.
 */
static struct chain_pack *find_pack(const char *path,
				    const struct packed *above,
				    struct mr_error *bad, struct mr_error *why)
{
	DIR *d = open_folder(path);
	struct chain_pack *k = NULL;
	const struct dirent *e;
	int fd;

	if (!d) {
		(void)error_sys(why, MR_NO_OFFSET, "cannot open it");
		return NULL;
	}
	for (unsigned i = 0; !k && (e = readdir(d));) {
		if (!is_named_so(e->d_name))
			continue;
		if (i++ == NAMES_MAX) {
			(void)error_set(why, MR_REFUSED, MR_NO_OFFSET,
					"only %u were looked at", NAMES_MAX);
			break;
		}
		fd = try_name(dirfd(d), e->d_name, &above->label.base);
		if (fd >= 0)
			k = open_pack(fd, path, e->d_name, above, bad);
		else if (errno)
			(void)error_sys(why, MR_NO_OFFSET, "%.80s", e->d_name);
	}
	(void)closedir(d);
	return k;
}

/* The next one below: beside this path, or where it leads, which may be a
 * symlink to another folder. */
static struct chain_pack *find_beside(const char *path,
				      const struct packed *above,
				      struct mr_error *bad,
				      struct mr_error *why)
{
	struct chain_pack *k = find_pack(path, above, bad, why);
	char *real = k ? NULL : realpath(path, NULL);

	if (real)
		k = find_pack(real, above, bad, why);
	free(real);
	return k;
}

/* path: the top's. */
static int add_pack(struct chain *c, const struct packed *above,
		    const char *path, struct mr_error *err)
{
	const struct chain_pack *last = c->n ? c->below[c->n - 1] : NULL;
	struct mr_error bad = MR_ERROR_INIT, why = MR_ERROR_INIT;
	struct chain_pack *k;

	k = find_beside(last ? last->path : path, above, &bad, &why);
	if (!k && last)
		k = find_beside(path, above, &bad, &why);
	if (k) {
		c->below[c->n++] = k;
		return 0;
	}
	if (bad.code == MR_OK)
		return not_there(&above->label.base, last ? last->name : NULL,
				 last ? last->path : path, &why, err);
	if (err && err->code == MR_OK)
		*err = bad;
	return -1;
}

struct packed *chain_at(const struct chain *c, size_t i, uint64_t *start)
{
	*start = 0;
	for (size_t k = 0; k < i; k++)
		*start += k ? c->below[k - 1]->packed.io.size : c->top->io.size;
	return i ? &c->below[i - 1]->packed : c->top;
}

/* The one that has a byte; *start becomes its first. */
static struct packed *pack_of(const struct chain *c, uint64_t offset,
			      uint64_t *start)
{
	for (size_t i = 0; i <= c->n; i++) {
		struct packed *k = chain_at(c, i, start);

		if (offset - *start < k->io.size)
			return k;
	}
	return NULL;
}

static ssize_t chain_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	uint64_t start;
	struct packed *k = pack_of((struct chain *)(void *)io, offset, &start);

	if (!k)
		return 0;
	if (len > k->io.size - (offset - start))
		len = (size_t)(k->io.size - (offset - start));
	return k->io.ops->read(&k->io, buf, len, offset - start);
}

static int chain_why(struct io *io, uint64_t offset, struct mr_error *err)
{
	const struct chain *c = (struct chain *)(void *)io;
	struct mr_error why = MR_ERROR_INIT;
	uint64_t start;
	struct packed *k = pack_of(c, offset, &start);

	if (!k || !k->io.ops->why(&k->io, offset - start, &why))
		return 0;
	if (k == c->top) {
		*err = why;
		return -1;
	}
	return of_taken((struct chain_pack *)(void *)k, &why, err);
}

static const struct io_ops chain_ops = { .name = "packs",
					 .read = chain_read,
					 .why = chain_why };

int chain_open(struct chain *c, struct packed *top, const char *path,
	       struct mr_error *err)
{
	const struct packed *lowest = top;

	*c = (struct chain){ .io = { .ops = &chain_ops,
				     .size = top->io.size,
				     .who = top->io.who },
			     .top = top };
	/* below is at most PACK_BELOW_MAX, and one less each time. */
	while (lowest->label.flags & PACK_INCREMENT) {
		if (add_pack(c, lowest, path, err)) {
			chain_release(c);
			return -1;
		}
		lowest = &c->below[c->n - 1]->packed;
	}
	return 0;
}

void chain_release(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		free_pack(c->below[i], true);
	c->n = 0;
}

bool chain_has(const struct chain *c, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	for (size_t i = 0; i < c->n; i++)
		if (c->below[i]->file.dev == st.st_dev &&
		    c->below[i]->file.ino == st.st_ino)
			return true;
	return false;
}

/* ---- what counts ---- */

/* NAMES of a pack are few, and it is asked a few times for each extent. */
static bool find_block(const struct packed *k, const char *name, uint32_t *n)
{
	for (*n = 0; *n < k->head.blocks; ++*n)
		if (!strcmp(k->blocks[*n].name, name))
			return true;
	return false;
}

/* Of a block by name: what all packs 0 .. i have of it. */
static uint64_t shared_length(const struct chain *c, size_t i, const char *name)
{
	uint64_t least = UINT64_MAX, start;
	uint32_t n;

	for (size_t k = 0; k <= i; k++) {
		const struct packed *p = chain_at(c, k, &start);

		if (!find_block(p, name, &n))
			return 0;
		if (p->blocks[n].b.length < least)
			least = p->blocks[n].b.length;
	}
	return least;
}

uint64_t chain_counts(const struct chain *c, size_t i, uint32_t block,
		      uint32_t *number)
{
	uint64_t start;
	const char *name = chain_at(c, i, &start)->blocks[block].name;

	return find_block(c->top, name, number) ? shared_length(c, i, name) : 0;
}

/* ---- digests ---- */

/* The entry of an extent; false: the pack says nothing of it. */
static bool find_entry(const struct packed *k, uint32_t block, uint64_t offset,
		       struct pack_entry *e)
{
	uint64_t low = 0, high = k->head.extents;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		packed_entry(k, mid, e);
		if (e->extent.block == block && e->extent.offset == offset)
			return true;
		if (e->extent.block < block ||
		    (e->extent.block == block && e->extent.offset < offset))
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* The bytes of a note, with what begins its frame, are what the index says. */
static int check_note(const struct packed *k, const struct pack_entry *e,
		      const uint8_t *buf, size_t size, uint64_t at,
		      struct mr_error *err)
{
	struct seal_digest is =
		hash_bytes(buf + PACK_SKIP_SIZE, size - PACK_SKIP_SIZE);

	const struct pack_skip skip = {
		.kind = PACK_NOTE, .length = (uint32_t)(size - PACK_SKIP_SIZE)
	};
	uint8_t want[PACK_SKIP_SIZE + PACK_NOTE_MAX];
	size_t n;

	if (memcmp(&is, &e->note, sizeof(is)) != 0)
		return error_set(err, MR_FORMAT, at,
				 "pack: a note is damaged: its digest differs");
	n = pack_skip_encode(want, &skip);
	n += pack_extent_encode(want + n, &k->label, &e->extent);
	if (memcmp(buf, want, n) != 0)
		return error_set(err, MR_FORMAT, at,
				 "pack: a note is not what the index says");
	return 0;
}

/* The digests of a note, into the places of their pages below `end`. */
static int add_note(const struct packed *k, const struct pack_entry *e,
		    size_t end, uint64_t *table, struct mr_error *err)
{
	uint8_t buf[PACK_SKIP_SIZE + PACK_NOTE_MAX];
	size_t size, pages = pack_pages(&k->label);
	uint64_t at = packed_note(k, e, &size);
	const uint8_t *p = buf + PACK_SKIP_SIZE + pack_extent_size(&k->label);

	if (io_read_full(k->file, buf, size, at, err) ||
	    check_note(k, e, buf, size, at, err))
		return -1;
	for (uint64_t i = bits_next_set(e->extent.there, 0, pages); i < pages;
	     i = bits_next_set(e->extent.there, i + 1, pages)) {
		if (i < end)
			memcpy(&table[i], p, sizeof(table[i]));
		p += sizeof(table[i]);
	}
	for (uint64_t i = bits_next_set(e->extent.zero, 0, end); i < end;
	     i = bits_next_set(e->extent.zero, i + 1, end))
		table[i] = 0;
	return 0;
}

int chain_digests(const struct chain *c, const char *block, uint64_t offset,
		  uint64_t *table, uint64_t *has, struct mr_error *err)
{
	const struct pack_label *l = &c->top->label;
	uint64_t start;
	uint32_t n;

	memset(table, 0, pack_pages(l) * sizeof(*table));
	*has = shared_length(c, 0, block);
	for (size_t i = c->n + 1; i-- > 0;) {
		const struct packed *k = chain_at(c, i, &start);
		uint64_t counts = shared_length(c, i, block);
		uint64_t pages =
			counts > offset ? (counts - offset) / l->page_size : 0;
		struct mr_error why = MR_ERROR_INIT;
		struct pack_entry e;

		if (pages > pack_pages(l))
			pages = pack_pages(l);
		if (!pages || !find_block(k, block, &n) ||
		    !find_entry(k, n, offset, &e))
			continue;
		if (!add_note(k, &e, (size_t)pages, table, &why))
			continue;
		if (!i) {
			*err = why;
			return -1;
		}
		return of_taken(c->below[i - 1], &why, err);
	}
	return 0;
}

/* ---- frames as they are ---- */

/* Whether a page from `first` of an extent on is in a map of what is said. */
static bool says_beyond(const struct pack_label *l, const struct pack_extent *e,
			uint64_t first)
{
	uint64_t all = pack_pages(l);

	return bits_next_set(e->there, first, all) < all ||
	       bits_next_set(e->zero, first, all) < all;
}

bool chain_alone(const struct chain *c, uint32_t block, uint64_t offset,
		 size_t *i, struct pack_entry *e)
{
	const struct pack_label *l = &c->top->label;
	const char *name = c->top->blocks[block].name;
	uint64_t counts = UINT64_MAX, start, first;
	bool found = false;
	uint32_t n;

	for (size_t k = 0; k <= c->n; k++) {
		const struct packed *p = chain_at(c, k, &start);
		struct pack_entry is;

		if (!find_block(p, name, &n))
			break;
		if (p->blocks[n].b.length < counts)
			counts = p->blocks[n].b.length;
		if (counts <= offset)
			break;
		if (!find_entry(p, n, offset, &is))
			continue;
		first = (counts - offset) / l->page_size;
		if (found || n != block || says_beyond(l, &is.extent, first))
			return false;
		found = true;
		*i = k;
		*e = is;
	}
	return found;
}

int chain_fetch(const struct chain *c, size_t i, const struct pack_entry *e,
		uint8_t *to, struct mr_error *err)
{
	uint64_t start;
	const struct packed *k = chain_at(c, i, &start);
	struct mr_error why = MR_ERROR_INIT;
	size_t note;
	uint64_t at = packed_note(k, e, &note);

	if (!io_read_full(k->file, to, note + e->place.size, at, &why) &&
	    !check_note(k, e, to, note, at, &why) &&
	    !frame_check(to + note, &e->place, &why))
		return 0;
	if (i)
		return of_base(c->below[i - 1], &why, err);
	if (err && err->code == MR_OK)
		*err = why;
	return -1;
}
