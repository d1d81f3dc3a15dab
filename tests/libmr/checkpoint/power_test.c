/*
 * power_test.c - a power cut at every moment of some checkpoints.
 *
 * All that the keeper does to files is written down: what is written where,
 * which names come and go, what is synced. Then, for each part of that from its
 * beginning, the folder is put together as a disk may have it: of what was
 * written to a file since it was synced any part may be there; of what was done
 * to names since the folder was synced, the first few steps. The image has to
 * be one whole checkpoint each time: the one before, or the one that was about
 * to take its place.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "formats/bits.h"
#include "formats/stream.h"
#include "libmr/base/hash.h"
#include "libmr/checkpoint/keeper.h"
#include "tests/libmr/checkpoint/device_state.h"

enum { BLOCKS = 2, PAGES = 40, MOST = 9, TURNS = 5 };
enum { FILES = 64, NAMES = 16, EVENTS = 4096, SECTOR = 512 };

/* What the file system has, and what happens to it. */
enum kind {
	NO_TMPFILE = 1,
	NO_EXCHANGE = 2,
	NO_LEASES = 4,
	REFLINK = 8,
	READERS = 16, /* files that are read are not written anew */
	WAS_THERE = 32, /* an image that is not ours */
	NO_SEAL = 64,
	HURRY = 128, /* checkpoints that wait become one */
	/* A disk that lies. */
	NO_SYNC = 256,
	NO_FOLDER_SYNC = 512,
};

/* ---- what is written down ---- */

enum what { WRITE, RESIZE, SYNC, LINK, RENAME, EXCHANGE, UNLINK, SYNC_FOLDER };

struct event {
	enum what what;
	size_t file; /* which one */
	uint64_t at, len;
	unsigned char *bytes;
	char name[64], to[64];
	/* When it happened: numbers of checkpoints, -1: not even the first. */
	int64_t told, given;
};

static struct {
	pthread_mutex_t lock;
	bool on;
	unsigned kind;
	ino_t inodes[FILES]; /* of files, as they came; they may come again */
	size_t files;
	struct event *events;
	size_t n;
	int64_t told, given;
	/* The call that is to fail, from 1 on; how many there were. */
	unsigned fail_at, calls;
	bool failed, unlink_failed;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool fail_now(int error)
{
	bool is = disk.on && ++disk.calls == disk.fail_at;

	if (is) {
		disk.failed = true;
		errno = error;
	}
	return is;
}

/* The newest that has the inode: FILES, none of ours. */
static size_t file_of(int fd)
{
	struct stat st;
	size_t i = disk.files;

	if (!disk.on || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return FILES;
	while (i && disk.inodes[i - 1] != st.st_ino)
		i--;
	return i ? i - 1 : FILES;
}

static size_t new_file(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_true(disk.files < FILES);
	disk.inodes[disk.files] = st.st_ino;
	return disk.files++;
}

static struct event *note(enum what what, size_t file)
{
	struct event *e = &disk.events[disk.n++];

	assert_true(disk.n <= EVENTS);
	*e = (struct event){ .what = what,
			     .file = file,
			     .told = disk.told,
			     .given = disk.given };
	return e;
}

static void note_name(enum what what, size_t file, const char *name,
		      const char *to)
{
	struct event *e = note(what, file);

	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	(void)snprintf(e->to, sizeof(e->to), "%s", to);
}

/* As it is in the file by now. */
static void note_bytes(int fd, uint64_t at, uint64_t len)
{
	size_t file = file_of(fd);
	struct event *e;
	char self[40];
	ssize_t n;
	int in;

	if (file == FILES)
		return;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	in = open(self, O_RDONLY | O_CLOEXEC);
	e = note(WRITE, file);
	e->bytes = calloc(1, len);
	assert_true(in >= 0 && e->bytes);
	n = pread(in, e->bytes, len, (off_t)at);
	assert_true(n >= 0);
	e->at = at;
	e->len = (uint64_t)n; /* a hole may be behind the end */
	(void)close(in);
}

static void lock(void)
{
	(void)pthread_mutex_lock(&disk.lock);
}

static void unlock(void)
{
	int saved = errno;

	(void)pthread_mutex_unlock(&disk.lock);
	errno = saved;
}

/* ---- the calls that do it ---- */

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	ssize_t n;

	lock();
	n = fail_now(ENOSPC) ? -1 : __real_pwrite64(fd, buf, len, at);
	if (n > 0)
		note_bytes(fd, (uint64_t)at, (uint64_t)n);
	unlock();
	return n;
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
	size_t file;
	int rc;

	lock();
	rc = fail_now(EFBIG) ? -1 : __real_ftruncate64(fd, size);
	file = file_of(fd);
	if (!rc && file < FILES)
		note(RESIZE, file)->at = (uint64_t)size;
	unlock();
	return rc;
}

int __real_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len)
{
	int rc;

	lock();
	rc = fail_now(EIO) ? -1 : __real_fallocate64(fd, mode, at, len);
	if (!rc)
		note_bytes(fd, (uint64_t)at, (uint64_t)len);
	unlock();
	return rc;
}

ssize_t __real_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags)
{
	off_t at = *to;
	ssize_t n = -1;

	lock();
	errno = EOPNOTSUPP;
	/* By hand, too. */
	if (!fail_now(ENOSPC) && !(disk.kind & NO_TMPFILE))
		n = __real_copy_file_range(in, from, out, to, len, flags);
	if (n > 0)
		note_bytes(out, (uint64_t)at, (uint64_t)n);
	unlock();
	return n;
}

/* What shares looks as if it were copied. */
static int reflink(int fd, const struct file_clone_range *r)
{
	unsigned char *buf = calloc(1, r->src_length);
	ssize_t n =
		pread((int)r->src_fd, buf, r->src_length, (off_t)r->src_offset);

	assert_true(buf && n >= 0);
	n = __real_pwrite64(fd, buf, r->src_length, (off_t)r->dest_offset);
	free(buf);
	if (n != (ssize_t)r->src_length)
		return -1;
	note_bytes(fd, r->dest_offset, r->src_length);
	return 0;
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = -1;

	if (request != FICLONERANGE)
		return __real_ioctl(fd, request, arg);
	lock();
	errno = EOPNOTSUPP;
	if (!fail_now(EIO) && disk.kind & REFLINK)
		rc = reflink(fd, arg);
	unlock();
	return rc;
}

/* Nothing waits for a real disk. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat st;
	int rc = -1;

	lock();
	if (!fail_now(EIO)) {
		rc = fstat(fd, &st);
		if (rc || !disk.on)
			;
		else if (S_ISDIR(st.st_mode) && !(disk.kind & NO_FOLDER_SYNC))
			(void)note(SYNC_FOLDER, FILES);
		else if (S_ISREG(st.st_mode) && !(disk.kind & NO_SYNC))
			(void)note(SYNC, file_of(fd));
	}
	unlock();
	return rc;
}

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, unsigned mode);
int __wrap_openat64(int dir, const char *name, int flags, unsigned mode)
{
	bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	size_t file;
	int fd = -1;

	if (!disk.on || !(nameless || flags & O_CREAT))
		return __real_openat64(dir, name, flags, mode);
	lock();
	errno = EOPNOTSUPP;
	if (!(nameless && disk.kind & NO_TMPFILE) && !fail_now(ENOSPC))
		fd = __real_openat64(dir, name, flags, mode);
	if (fd >= 0) {
		file = new_file(fd);
		if (!nameless)
			note_name(LINK, file, name, "");
	}
	unlock();
	return fd;
}

int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
	int rc, fd;

	lock();
	rc = fail_now(EIO) ? -1 : __real_linkat(from, a, to, b, flags);
	fd = rc ? -1 : __real_openat64(to, b, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (disk.on)
			note_name(LINK, file_of(fd), b, "");
		(void)close(fd);
	}
	unlock();
	return rc;
}

int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	int rc;

	lock();
	rc = fail_now(EIO) ? -1 : __real_renameat(from, a, to, b);
	if (!rc && disk.on)
		note_name(RENAME, FILES, a, b);
	unlock();
	return rc;
}

int __real_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags)
{
	int rc = -1;

	lock();
	errno = EINVAL;
	if (!(disk.kind & NO_EXCHANGE) && !fail_now(EIO))
		rc = __real_renameat2(from, a, to, b, flags);
	if (!rc && disk.on)
		note_name(EXCHANGE, FILES, a, b);
	unlock();
	return rc;
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
	int rc = -1;

	lock();
	if (fail_now(EIO))
		disk.unlink_failed = true;
	else
		rc = __real_unlinkat(dir, name, flags);
	if (!rc && disk.on)
		note_name(UNLINK, FILES, name, "");
	unlock();
	return rc;
}

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, long arg);
int __wrap_fcntl64(int fd, int cmd, long arg)
{
	errno = EINVAL;
	if (cmd == F_SETLEASE && disk.kind & NO_LEASES)
		return -1;
	return __real_fcntl64(fd, cmd, arg);
}

/* All transfers are inline, and so written down. */
int __wrap_io_setup(int n, void *ctx);
int __wrap_io_setup(int n, void *ctx)
{
	(void)n;
	(void)ctx;
	return -EAGAIN;
}

/* ---- what is to be in the image ---- */

struct story {
	uint64_t seed;
	struct memory m;
	struct memory_block blocks[BLOCKS];
	struct stream_config config;
	struct tail first;
	struct image_writer w;
	struct image_sink image;
	struct keeper k;
	unsigned char want[BLOCKS][PAGES][IMAGE_PAGE];
	struct seal_digest memories[TURNS + 1]; /* of each checkpoint */
	char path[4096];
	int readers[TURNS];
};

static uint64_t some(struct story *x, uint64_t n)
{
	return (next_random(&x->seed) >> 32) % n;
}

static void remember(struct story *x, int64_t number)
{
	lock();
	x->memories[number] = hash_bytes(x->want, sizeof(x->want));
	disk.given = number;
	unlock();
}

static int told(void *arg, uint64_t number, uint64_t pages,
		struct mr_error *err)
{
	(void)arg;
	(void)pages;
	(void)err;
	lock();
	disk.told = (int64_t)number;
	unlock();
	return 0;
}

/* Pages anew, some of them zero: their place, which of them are data. */
static struct memory_part dream(struct story *x, size_t block, uint64_t *bits)
{
	size_t len = 1 + some(x, MOST), first = some(x, PAGES - len);

	*bits = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char *page = x->want[block][first + i];

		memset(page, 0, IMAGE_PAGE);
		if (!some(x, 3))
			continue;
		fill_random(page, IMAGE_PAGE, next_random(&x->seed) | 1);
		bits_set(bits, i, 1);
	}
	return (struct memory_part){ .block = &x->blocks[block],
				     .offset = first * IMAGE_PAGE,
				     .unit = IMAGE_PAGE,
				     .pages = len,
				     .bits = bits,
				     .buf = x->want[block][first] };
}

static void fill(struct story *x)
{
	struct mr_error err = MR_ERROR_INIT;
	struct memory_tally tally = { 0 };
	const struct sink_hand h = { .tally = &tally };

	for (size_t i = 0; i < 12; i++) {
		uint64_t bits;
		struct memory_part p = dream(x, i % BLOCKS, &bits);

		assert_int_equal(x->image.sink.ops->put(&x->image.sink, &h,
							i % BLOCKS, &p, &err),
				 0);
	}
}

static void make_image(struct story *x, unsigned kind)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(image_writer_open(&x->w, x->path, GATE_IMAGE,
					   MR_DIRECT_OFF, !(kind & NO_SEAL),
					   &err),
			 0);
	image_sink_init(&x->image, &x->w);
	x->image.later = true;
	assert_int_equal(x->image.sink.ops->begin(&x->image.sink, &x->m, &err),
			 0);
	fill(x);
	x->first.bytes = device_state(0, &x->first.len);
	x->first.device = x->first.description = x->first.len;
	x->image.device = tail_device(&x->first);
}

/* An image that somebody else has made: it may go, all at once. */
static void put_other(const struct story *x)
{
	int fd = open(x->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && __real_pwrite64(fd, "QEVM", 4, 0) == 4);
	assert_int_equal(new_file(fd), 0);
	(void)close(fd);
}

static void begin(struct story *x, uint64_t seed, unsigned kind)
{
	static const char *const names[BLOCKS] = { "ram0", "more" };

	memset(x, 0, sizeof(*x));
	memset(x->readers, -1, sizeof(x->readers));
	x->seed = seed;
	(void)snprintf(x->path, sizeof(x->path), "%s", in_dir("image"));
	x->m = (struct memory){ .page = IMAGE_PAGE,
				.target_page = IMAGE_PAGE,
				.machine = "pc-i440fx-10.0",
				.n = BLOCKS,
				.blocks = x->blocks };
	for (size_t i = 0; i < BLOCKS; i++)
		x->blocks[i] =
			(struct memory_block){ .name = names[i],
					       .length = PAGES * IMAGE_PAGE,
					       .held = PAGES * IMAGE_PAGE,
					       .index = i };
	disk.kind = kind;
	disk.files = disk.n = 0;
	disk.told = disk.given = -1;
	disk.failed = disk.unlink_failed = false;
	if (kind & WAS_THERE)
		put_other(x);
	disk.on = true;
	make_image(x, kind);
	remember(x, 0);
	x->k = (struct keeper)KEEPER_NONE;
	x->k.turns.path = x->path;
	x->k.turns.rule = GATE_IMAGE;
	x->k.turns.direct = MR_DIRECT_OFF;
	x->k.turns.seal = !(kind & NO_SEAL);
	x->k.m = &x->m;
	x->k.first = &x->first;
	x->k.config = &x->config;
	x->k.done = told;
	x->k.arg = x;
}

static int checkpoint(struct story *x, int64_t number, struct mr_error *err)
{
	struct delta *d = keeper_delta(&x->k);

	for (size_t n = some(x, 4); n; n--) {
		size_t block = some(x, BLOCKS);
		uint64_t bits;
		struct memory_part p = dream(x, block, &bits);

		if (delta_put(d, block, &p, err))
			return -1;
	}
	d->number = (uint64_t)number;
	d->device = device_state(d->number, &d->device_len);
	remember(x, number);
	return keeper_keep(&x->k, d, err);
}

/* 0, or -1: something has failed. */
static int go(struct story *x, int turns)
{
	struct mr_error err = MR_ERROR_INIT;
	int rc = keeper_start(&x->k, &x->image.sink, &x->w, &err);

	for (int i = 0; !rc && i < turns; i++) {
		rc = disk.kind & HURRY ? 0 : keeper_wait(&x->k, &err);
		if (disk.kind & READERS && i % 2)
			x->readers[i] = open(x->path, O_RDONLY | O_CLOEXEC);
		rc = rc ? rc : checkpoint(x, i + 1, &err);
	}
	return keeper_end(&x->k, &err) || rc ? -1 : 0;
}

static void end(struct story *x)
{
	keeper_release(&x->k);
	image_writer_release(&x->w);
	tail_release(&x->first);
	disk.on = false;
	for (int i = 0; i < TURNS; i++)
		if (x->readers[i] >= 0)
			(void)close(x->readers[i]);
}

static void forget(const struct story *x)
{
	for (size_t i = 0; i < disk.n; i++)
		free(disk.events[i].bytes);
	disk.n = 0;
	(void)unlink(x->path);
}

/* ---- what is in an image ---- */

static void read_memory(int fd, const struct mr_image *img,
			unsigned char (*is)[PAGES][IMAGE_PAGE])
{
	for (size_t b = 0; b < BLOCKS; b++) {
		const struct mr_block *k = &mr_image_info(img)->blocks[b];
		uint64_t bits[(PAGES + 63) / 64];
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(
			mr_image_bitmap(img, k, 0, bits, ARRAY_LEN(bits), &err),
			0);
		for (size_t i = 0; i < PAGES; i++) {
			memset(is[b][i], 0, IMAGE_PAGE);
			if (bits_test(bits, i))
				assert_int_equal(pread(fd, is[b][i], IMAGE_PAGE,
						       (off_t)(k->pages_offset +
							       i * IMAGE_PAGE)),
						 IMAGE_PAGE);
		}
	}
}

static bool is_sound(const char *name, bool sealed)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_options o = { .jobs = 1, .direct = MR_DIRECT_OFF };
	struct mr_verify_report r = { 0 };

	return !mr_verify(name, &o, &r, &err) && r.sound && !r.damages &&
	       r.sealed == sealed && !r.stale && !r.missing && !r.waste;
}

static bool has_blocks(const struct mr_image *img)
{
	const struct mr_image_info *info = mr_image_info(img);

	if (info->kind != MR_IMAGE_MAPPED || info->n_blocks != BLOCKS)
		return false;
	for (size_t b = 0; b < BLOCKS; b++)
		if (info->blocks[b].pages != PAGES)
			return false;
	return true;
}

/* Whether it is whole: then *memory is what it holds. */
static bool look(int fd, bool sealed, struct seal_digest *memory)
{
	static unsigned char is[BLOCKS][PAGES][IMAGE_PAGE];
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img;
	char name[40];
	bool well;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	img = mr_image_open(name, MR_DIRECT_OFF, NULL, &err);
	well = img && has_blocks(img);
	if (well) {
		read_memory(fd, img, is);
		*memory = hash_bytes(is, sizeof(is));
	}
	mr_image_free(img);
	return well && is_sound(name, sealed);
}

/* ---- a disk, without power ---- */

struct lost {
	/* Of each file: as it was synced, and events since then. */
	struct content {
		unsigned char *bytes;
		uint64_t size;
		size_t since[EVENTS];
		size_t n;
		/* Of it as it is synced. */
		bool looked, whole;
		struct seal_digest memory;
	} files[FILES];
	struct names {
		struct {
			char name[64];
			size_t file;
		} list[NAMES];
		size_t n;
	} synced, now;
	size_t since[EVENTS];
	size_t n;
	uint64_t seed;
	unsigned cuts, looks, faults;
	bool sealed;
};

static size_t *find(struct names *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->list[i].name, name))
			return &l->list[i].file;
	return NULL;
}

static void drop(struct names *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->list[i].name, name)) {
			l->list[i] = l->list[--l->n];
			return;
		}
}

static void put_name(struct names *l, const char *name, size_t file)
{
	size_t *is = find(l, name);

	if (is) {
		*is = file;
		return;
	}
	assert_true(l->n < NAMES);
	(void)snprintf(l->list[l->n].name, sizeof(l->list->name), "%s", name);
	l->list[l->n++].file = file;
}

static void do_names(struct names *l, const struct event *e)
{
	size_t *a = find(l, e->name), *b = find(l, e->to), file;

	switch (e->what) {
	case LINK:
		put_name(l, e->name, e->file);
		break;
	case RENAME:
		assert_non_null(a);
		file = *a;
		drop(l, e->name);
		put_name(l, e->to, file);
		break;
	case EXCHANGE:
		assert_true(a && b);
		file = *a;
		*a = *b;
		*b = file;
		break;
	case UNLINK:
		assert_non_null(a);
		drop(l, e->name);
		break;
	case WRITE:
	case RESIZE:
	case SYNC:
	case SYNC_FOLDER:
		fail();
	}
}

static void resize(struct content *c, uint64_t size)
{
	unsigned char *bytes = realloc(c->bytes, size + 1);

	assert_non_null(bytes);
	if (size > c->size)
		memset(bytes + c->size, 0, size - c->size);
	c->bytes = bytes;
	c->size = size;
}

/* A disk writes a sector, or does not; share: of how many of 8. */
static void do_bytes(struct content *c, const struct event *e, uint64_t *seed,
		     unsigned share)
{
	if (e->what == RESIZE) {
		if ((next_random(seed) >> 32) % 8 < share)
			resize(c, e->at);
		return;
	}
	for (uint64_t i = 0, n; i < e->len; i += n) {
		uint64_t at = e->at + i;

		n = SECTOR - at % SECTOR;
		n = n < e->len - i ? n : e->len - i;
		if ((next_random(seed) >> 32) % 8 >= share)
			continue;
		if (at + n > c->size)
			resize(c, at + n);
		memcpy(c->bytes + at, e->bytes + i, n);
	}
}

static void settle(struct content *c, uint64_t *seed)
{
	for (size_t i = 0; i < c->n; i++)
		do_bytes(c, &disk.events[c->since[i]], seed, 8);
	c->n = 0;
	c->looked = false;
}

static bool look_at(const struct content *c, bool sealed,
		    struct seal_digest *memory)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	bool whole;

	assert_true(fd >= 0);
	assert_int_equal(__real_pwrite64(fd, c->bytes, c->size, 0), c->size);
	whole = look(fd, sealed, memory);
	(void)close(fd);
	return whole;
}

static bool is_one(const struct story *x, const struct event *e,
		   const struct seal_digest *memory)
{
	for (int64_t i = e->told < 0 ? 0 : e->told; i <= e->given; i++)
		if (!memcmp(&x->memories[i], memory, sizeof(*memory)))
			return true;
	return false;
}

/* Some of what was written since it was synced, or all, or nothing. */
static bool survives(const struct story *x, struct lost *l,
		     const struct content *c, const struct event *e,
		     unsigned share)
{
	struct content cut = { .size = c->size };
	struct seal_digest memory;
	bool well;

	cut.bytes = malloc(c->size + 1);
	assert_non_null(cut.bytes);
	if (c->size)
		memcpy(cut.bytes, c->bytes, c->size);
	for (size_t i = 0; i < c->n; i++)
		do_bytes(&cut, &disk.events[c->since[i]], &l->seed, share);
	well = look_at(&cut, l->sealed, &memory) && is_one(x, e, &memory);
	l->looks++;
	free(cut.bytes);
	return well;
}

static bool is_well(const struct story *x, struct lost *l, struct content *c,
		    const struct event *e)
{
	static const unsigned shares[] = { 8, 0, 4, 7, 1 };
	bool well = true;

	if (!c->n && !c->looked) {
		c->whole = look_at(c, l->sealed, &c->memory);
		c->looked = true;
		l->looks++;
	}
	if (!c->n)
		return c->whole && is_one(x, e, &c->memory);
	for (size_t i = 0; i < ARRAY_LEN(shares); i++)
		well = survives(x, l, c, e, shares[i]) && well;
	return well;
}

/* The power is gone, and of what was done to names so much has happened. */
static void cut(const struct story *x, struct lost *l, struct names *names,
		const struct event *e)
{
	const size_t *image = find(names, "image");
	bool well = true;

	for (size_t i = 0; i < names->n; i++)
		if (&names->list[i].file != image)
			assert_int_equal(fnmatch(".image.[0-9a-f]*.tmp",
						 names->list[i].name, 0),
					 0);
	if (!image)
		well = e->told < 0 && !(disk.kind & WAS_THERE);
	else if (disk.kind & WAS_THERE && !*image)
		well = e->told < 0;
	else
		well = is_well(x, l, &l->files[*image], e);
	l->cuts++;
	l->faults += !well;
}

static void cut_everywhere(const struct story *x, struct lost *l,
			   const struct event *e)
{
	struct names names = l->synced;

	cut(x, l, &names, e);
	for (size_t i = 0; i < l->n; i++) {
		do_names(&names, &disk.events[l->since[i]]);
		cut(x, l, &names, e);
	}
}

static void replay(struct lost *l, size_t i)
{
	const struct event *e = &disk.events[i];

	switch (e->what) {
	case WRITE:
	case RESIZE:
		l->files[e->file].since[l->files[e->file].n++] = i;
		break;
	case SYNC:
		settle(&l->files[e->file], &l->seed);
		break;
	case SYNC_FOLDER:
		for (size_t k = 0; k < l->n; k++)
			do_names(&l->synced, &disk.events[l->since[k]]);
		l->n = 0;
		break;
	case LINK:
	case RENAME:
	case EXCHANGE:
	case UNLINK:
		l->since[l->n++] = i;
		break;
	}
}

/* Each moment of the story, until one goes wrong. */
static struct lost *lose_power(const struct story *x)
{
	struct lost *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->seed = x->seed;
	l->sealed = !(disk.kind & NO_SEAL);
	if (disk.kind & WAS_THERE)
		put_name(&l->synced, "image", 0);
	for (size_t i = 0; i < disk.n && !l->faults; i++) {
		replay(l, i);
		cut_everywhere(x, l, &disk.events[i]);
	}
	for (size_t i = 0; i < FILES; i++)
		free(l->files[i].bytes);
	return l;
}

/* ---- the stories ---- */

static unsigned count_files(void)
{
	unsigned n = 0;
	DIR *d = opendir(folder);

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

/* What is there now. */
static void check_image(const struct story *x)
{
	const struct event e = { .told = disk.told, .given = disk.given };
	int fd = open(x->path, O_RDONLY | O_CLOEXEC);
	struct seal_digest memory;

	if (fd < 0)
		assert_true(disk.told < 0 && errno == ENOENT);
	if (fd < 0)
		return;
	assert_true(look(fd, !(disk.kind & NO_SEAL), &memory));
	assert_true(is_one(x, &e, &memory));
	(void)close(fd);
}

static struct lost *tell(struct story *x, uint64_t seed, unsigned kind)
{
	struct lost *l;

	begin(x, seed, kind);
	assert_int_equal(go(x, TURNS), 0);
	end(x);
	assert_int_equal(disk.told, TURNS);
	check_image(x);
	assert_int_equal(count_files(), 1);
	l = lose_power(x);
	forget(x);
	return l;
}

static void power_is_cut(void **state)
{
	static const unsigned kinds[] = {
		0,
		NO_TMPFILE,
		NO_EXCHANGE,
		NO_LEASES,
		READERS | WAS_THERE,
		NO_TMPFILE | NO_EXCHANGE | NO_LEASES | NO_SEAL,
		NO_TMPFILE | NO_EXCHANGE | WAS_THERE,
		REFLINK,
		REFLINK | NO_EXCHANGE | READERS,
		REFLINK | NO_TMPFILE,
		HURRY,
		HURRY | READERS | NO_TMPFILE | NO_SEAL,
	};
	static struct story x;
	unsigned cuts = 0, looks = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct lost *l = tell(&x, i + 1, kinds[i]);

		if (l->faults)
			fail_msg("kind %#x: cut %u leaves no whole checkpoint",
				 kinds[i], l->cuts);
		cuts += l->cuts;
		looks += l->looks;
		free(l);
	}
	print_message("# note: %u cuts, %u images looked at\n", cuts, looks);
	assert_true(cuts > 1000);
}

/* Were something not synced, it would be seen. */
static void a_lie_is_seen(void **state)
{
	static const unsigned kinds[] = {
		NO_SYNC,
		NO_SYNC | REFLINK,
		NO_SYNC | NO_TMPFILE,
		NO_FOLDER_SYNC,
		NO_FOLDER_SYNC | REFLINK,
		NO_FOLDER_SYNC | NO_EXCHANGE,
	};
	static struct story x;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct lost *l = tell(&x, i + 1, kinds[i]);

		assert_true(l->faults);
		free(l);
	}
}

/* One call fails, as on a disk that is full or broken: what is the image then
 * is whole, and nothing is left beside it; and whenever power is cut. */
static void one_that_fails(struct story *x, unsigned kind, unsigned at)
{
	struct lost *l;
	int rc;

	begin(x, 99, kind);
	disk.calls = 0;
	disk.fail_at = at;
	rc = go(x, 3);
	end(x);
	disk.fail_at = 0;
	if (rc)
		assert_int_not_equal(x->k.why.code, MR_OK);
	else
		assert_int_equal(disk.told, disk.given);
	check_image(x);
	if (!disk.unlink_failed)
		assert_int_equal(count_files(),
				 disk.told >= 0 || access(x->path, F_OK) == 0);
	l = lose_power(x);
	assert_false(l->faults);
	free(l);
	output_sweep(x->path);
	assert_true(count_files() <= 1);
	forget(x);
}

static void a_call_fails(void **state)
{
	static const unsigned kinds[] = {
		0,
		REFLINK,
		NO_TMPFILE | NO_EXCHANGE,
	};
	static struct story x;
	unsigned at, n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		at = 0;
		do
			one_that_fails(&x, kinds[i], ++at);
		while (disk.failed);
		n += at;
	}
	print_message("# note: %u calls failed in turn\n", n);
	assert_true(n > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_is_cut),
		cmocka_unit_test(a_lie_is_seen),
		cmocka_unit_test(a_call_fails),
	};
	int rc;

	disk.events = calloc(EVENTS, sizeof(*disk.events));
	if (!disk.events)
		return 1;
	rc = cmocka_run_group_tests_name("power", tests, folder_setup,
					 folder_teardown);
	free(disk.events);
	return rc;
}
