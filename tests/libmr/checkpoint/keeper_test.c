/*
 * keeper_test.c - checkpoints of a memory that is known: after each of them the
 * image holds it, whole and sealed, and who has opened the one before still
 * reads that.
 */
#include "tests/libmr/folder.h"

#include <dirent.h>

#include "formats/bits.h"
#include "formats/stream.h"
#include "libmr/checkpoint/keeper.h"
#include "libmr/checkpoint/sluice.h"
#include "tests/libmr/checkpoint/device_state.h"

enum { BLOCKS = 2, PAGES = 300, MOST = 24, ROUNDS = 8 };

/* A file system without leases, without an exchange of names, without
 * reflinks: each as they come. */
static bool no_leases, no_exchange;
/* One that copies nothing, and says no reason. */
static bool no_copies;
/* Somebody opens each file in the moment in which a lease is held; somebody
 * gives this file the image's name in the moment before it is exchanged. */
static bool nosy;
static const char *stranger, *path;

static void look_in(int fd)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	assert_int_equal(open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC), -1);
	assert_int_equal(errno, EWOULDBLOCK);
}

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, long arg);
int __wrap_fcntl64(int fd, int cmd, long arg)
{
	int rc;

	if (cmd == F_SETLEASE) {
		errno = EINVAL;
		if (no_leases)
			return -1;
	}
	rc = __real_fcntl64(fd, cmd, arg);
	if (nosy && cmd == F_SETLEASE && arg == F_WRLCK && !rc)
		look_in(fd);
	return rc;
}

int __real_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags);
int __wrap_renameat2(int from, const char *a, int to, const char *b,
		     unsigned flags)
{
	if (stranger) {
		assert_int_equal(rename(stranger, path), 0);
		stranger = NULL;
	}
	errno = EINVAL;
	return no_exchange ? -1 : __real_renameat2(from, a, to, b, flags);
}

ssize_t __real_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags);
ssize_t __wrap_copy_file_range(int in, off_t *from, int out, off_t *to,
			       size_t len, unsigned flags)
{
	if (!no_copies)
		return __real_copy_file_range(in, from, out, to, len, flags);
	errno = ENOSPC; /* of a call before */
	return 0;
}

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
	unsigned char was[BLOCKS][PAGES][IMAGE_PAGE];
	uint64_t number;
	uint64_t told;
	bool seal;
};

static uint64_t some(struct story *x, uint64_t n)
{
	return (next_random(&x->seed) >> 32) % n;
}

static int told(void *arg, uint64_t number, uint64_t pages,
		struct mr_error *err)
{
	struct story *x = arg;

	(void)pages;
	(void)err;
	assert_true(!number || number > x->told);
	x->told = number;
	return 0;
}

/* A page that is data, or zero. */
static void dream(struct story *x, unsigned char *page)
{
	memset(page, 0, IMAGE_PAGE);
	if (some(x, 3))
		fill_random(page, IMAGE_PAGE, next_random(&x->seed));
}

/* So many pages anew, through fn. */
static void change(struct story *x, size_t n, struct sink *to)
{
	struct mr_error err = MR_ERROR_INIT;
	struct memory_tally tally = { 0 };
	const struct sink_hand h = { .tally = &tally };

	while (n--) {
		size_t block = some(x, BLOCKS), len = 1 + some(x, MOST);
		size_t first = some(x, PAGES - len);
		uint64_t bits = 0;
		struct memory_part p = { .block = &x->blocks[block],
					 .offset = first * IMAGE_PAGE,
					 .unit = IMAGE_PAGE,
					 .pages = len,
					 .bits = &bits,
					 .buf = x->want[block][first] };

		for (size_t i = 0; i < len; i++) {
			dream(x, x->want[block][first + i]);
			if (memcmp(x->want[block][first + i],
				   (unsigned char[IMAGE_PAGE]){ 0 },
				   IMAGE_PAGE) != 0)
				bits_set(&bits, i, 1);
		}
		if (bits)
			assert_int_equal(to->ops->put(to, &h, block, &p, &err),
					 0);
		else
			assert_int_equal(to->ops->zero(to, &h, block, p.offset,
						       len * IMAGE_PAGE, &err),
					 0);
	}
}

static void begin(struct story *x, uint64_t seed, bool seal)
{
	static const char *const names[BLOCKS] = { "ram0", "more" };
	struct mr_error err = MR_ERROR_INIT;

	memset(x, 0, sizeof(*x));
	x->seed = seed;
	path = in_dir("image");
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
	x->first.bytes = device_state(0, &x->first.len);
	x->first.device = x->first.description = x->first.len;
	assert_int_equal(image_writer_open(&x->w, path, GATE_IMAGE,
					   MR_DIRECT_AUTO, seal, &err),
			 0);
	image_sink_init(&x->image, &x->w);
	x->image.later = true;
	assert_int_equal(x->image.sink.ops->begin(&x->image.sink, &x->m, &err),
			 0);
	change(x, 40, &x->image.sink);
	x->image.device = tail_device(&x->first);
	x->k = (struct keeper)KEEPER_NONE;
	x->k.turns.path = path;
	x->k.turns.rule = GATE_IMAGE;
	x->seal = x->k.turns.seal = seal;
	x->k.m = &x->m;
	x->k.first = &x->first;
	x->k.config = &x->config;
	x->k.done = told;
	x->k.arg = x;
}

static void start(struct story *x)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(keeper_start(&x->k, &x->image.sink, &x->w, &err), 0);
}

static void end(struct story *x)
{
	struct mr_error err = MR_ERROR_INIT;

	if (keeper_end(&x->k, &err))
		fail_msg("%s", err.msg);
	keeper_release(&x->k);
	image_writer_release(&x->w);
	tail_release(&x->first);
}

/* One more checkpoint; its memory goes through a sluice, as it does. */
static void checkpoint(struct story *x, size_t n)
{
	struct mr_error err = MR_ERROR_INIT;
	struct delta *d = keeper_delta(&x->k);
	struct sluice s;

	sluice_init(&s, &x->image.sink);
	assert_false(sluice_shut(&s));
	sluice_open(&s, d);
	change(x, n, &s.sink);
	assert_int_equal(sluice_shut(&s), n > 0);
	sluice_destroy(&s);
	d->number = ++x->number;
	d->device = device_state(x->number, &d->device_len);
	if (keeper_keep(&x->k, d, &err))
		fail_msg("%s", err.msg);
}

/* ---- what is in the file ---- */

static void check_pages(int fd, const struct mr_image *img,
			unsigned char (*want)[PAGES][IMAGE_PAGE])
{
	static unsigned char page[IMAGE_PAGE];

	for (size_t b = 0; b < BLOCKS; b++) {
		const struct mr_block *k = &mr_image_info(img)->blocks[b];
		uint64_t bits[(PAGES + 63) / 64];
		struct mr_error err = MR_ERROR_INIT;

		assert_int_equal(
			mr_image_bitmap(img, k, 0, bits, ARRAY_LEN(bits), &err),
			0);
		for (size_t i = 0; i < PAGES; i++) {
			static const unsigned char zeros[IMAGE_PAGE];
			bool data = memcmp(want[b][i], zeros, IMAGE_PAGE) != 0;

			assert_int_equal(bits_test(bits, i), data);
			assert_int_equal(pread(fd, page, IMAGE_PAGE,
					       (off_t)(k->pages_offset +
						       i * IMAGE_PAGE)),
					 IMAGE_PAGE);
			assert_memory_equal(page, want[b][i], IMAGE_PAGE);
		}
	}
}

/* Whole, and sealed. */
static void check(struct story *x, const char *name,
		  unsigned char (*want)[PAGES][IMAGE_PAGE])
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_options o = { .jobs = 1 };
	struct mr_verify_report r = { 0 };
	struct mr_image *img = mr_image_open(name, MR_DIRECT_OFF, NULL, &err);
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	assert_non_null(img);
	assert_true(fd >= 0);
	check_pages(fd, img, want);
	mr_image_free(img);
	(void)close(fd);
	assert_int_equal(mr_verify(name, &o, &r, &err), 0);
	assert_true(r.sound && !r.damages);
	assert_true(r.sealed == x->seal);
	assert_true(!r.stale && !r.missing && !r.waste);
}

/* ---- the stories ---- */

static void follow(struct story *x, bool readers)
{
	struct mr_error err = MR_ERROR_INIT;

	start(x);
	for (int i = 0; i < ROUNDS; i++) {
		int reader = -1;
		char held[40];

		if (keeper_wait(&x->k, &err))
			fail_msg("%s", err.msg);
		check(x, path, x->want);
		if (readers && some(x, 3) == 0) {
			reader = open(path, O_RDONLY | O_CLOEXEC);
			assert_true(reader >= 0);
			memcpy(x->was, x->want, sizeof(x->was));
		}
		for (int n = 1 + (reader >= 0) * 2; n; n--) {
			checkpoint(x, some(x, 12));
			if (keeper_wait(&x->k, &err))
				fail_msg("%s", err.msg);
		}
		if (reader < 0)
			continue;
		(void)snprintf(held, sizeof(held), "/proc/self/fd/%d", reader);
		check(x, held, x->was);
		(void)close(reader);
	}
	assert_true(x->told == x->number);
	assert_true(x->k.last == x->number);
}

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

static void one_after_the_other(void **state)
{
	static struct story x;
	bool leases = folder_has_leases();

	(void)state;
	for (int kind = 0; kind < 8; kind++) {
		no_leases = kind & 1;
		no_exchange = kind & 2;
		no_copies = kind & 4;
		nosy = true;
		begin(&x, (uint64_t)kind + 1, !(kind & 4));
		follow(&x, true);
		/* What nobody reads is written anew: closing takes its
		 * time. */
		assert_true(x.k.turns.shares ||
			    (no_leases || !leases
				     ? x.k.turns.copies == x.k.published
				     : x.k.turns.copies < x.k.published));
		end(&x);
		check(&x, path, x.want);
		assert_int_equal(count_files(), 1);
		(void)unlink(path);
	}
	no_leases = no_exchange = no_copies = nosy = false;
}

/* Checkpoints that wait become one. */
static void merged(void **state)
{
	static struct story x;

	(void)state;
	begin(&x, 77, true);
	start(&x);
	for (int i = 0; i < 100; i++)
		checkpoint(&x, some(&x, 6));
	end(&x);
	check(&x, path, x.want);
	assert_true(x.told == 100);
	assert_int_equal(count_files(), 1);
	(void)unlink(path);
}

/* Pages wait in a file; one is asked for as it was before what comes now. */
static void in_a_file(void **state)
{
	static struct story x;
	static unsigned char page[IMAGE_PAGE];
	struct mr_error err = MR_ERROR_INIT;

	(void)state;
	begin(&x, 78, true);
	x.k.cache = folder;
	start(&x);
	for (int i = 0; i < 20; i++) {
		checkpoint(&x, 5);
		for (int n = 0; n < 50; n++) {
			size_t b = some(&x, BLOCKS), p = some(&x, PAGES);

			assert_int_equal(
				keeper_get(&x.k, b, p * IMAGE_PAGE, page, &err),
				0);
			assert_memory_equal(page, x.want[b][p], IMAGE_PAGE);
		}
	}
	end(&x);
	check(&x, path, x.want);
	assert_int_equal(count_files(), 1);
	(void)unlink(path);
}

/* Somebody else has the name now: it stays his. */
static void replaced(void **state)
{
	static struct story x;
	struct mr_error err = MR_ERROR_INIT;
	struct stat before, after;
	const char *other = in_dir("other");
	int fd;

	(void)state;
	begin(&x, 79, true);
	start(&x);
	assert_int_equal(keeper_wait(&x.k, &err), 0);
	fd = open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, "QEVM", 4) == 4);
	(void)close(fd);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(stat(path, &before), 0);
	checkpoint(&x, 5);
	assert_int_equal(keeper_wait(&x.k, &err), -1);
	assert_int_equal(err.code, MR_REFUSED);
	assert_int_equal(keeper_end(&x.k, NULL), -1);
	keeper_release(&x.k);
	image_writer_release(&x.w);
	tail_release(&x.first);
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino == after.st_ino && after.st_size == 4);
	assert_int_equal(count_files(), 1);
	(void)unlink(path);
}

/* It has failed. */
static void end_failed(struct story *x, enum mr_code code)
{
	struct mr_error err = MR_ERROR_INIT;

	assert_int_equal(keeper_wait(&x->k, &err), -1);
	assert_int_equal(err.code, code);
	assert_int_equal(keeper_end(&x->k, NULL), -1);
	keeper_release(&x->k);
	image_writer_release(&x->w);
	tail_release(&x->first);
}

/* So in the moment before its name is given away. */
static void replaced_just_then(void **state)
{
	static struct story x;
	struct mr_error err = MR_ERROR_INIT;
	struct stat st;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		int fd;

		no_exchange = kind & 1;
		begin(&x, 80, true);
		start(&x);
		checkpoint(&x, 5);
		assert_int_equal(keeper_wait(&x.k, &err), 0);
		fd = open(in_dir("other"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		assert_true(fd >= 0 && write(fd, "QEVM", 4) == 4);
		(void)close(fd);
		stranger = in_dir("other");
		checkpoint(&x, 5);
		end_failed(&x, MR_REFUSED);
		assert_null(stranger);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, 4);
		assert_int_equal(count_files(), 1);
		(void)unlink(path);
	}
	no_exchange = false;
}

/* Who has made a link to a checkpoint keeps that one. */
static void kept_by_a_link(void **state)
{
	static struct story x;
	struct mr_error err = MR_ERROR_INIT;
	char kept[4096];

	(void)state;
	(void)snprintf(kept, sizeof(kept), "%s", in_dir("kept"));
	begin(&x, 81, true);
	start(&x);
	checkpoint(&x, 5);
	assert_int_equal(keeper_wait(&x.k, &err), 0);
	assert_int_equal(link(path, kept), 0);
	memcpy(x.was, x.want, sizeof(x.was));
	for (int i = 0; i < 4; i++) {
		checkpoint(&x, 5);
		if (keeper_wait(&x.k, &err))
			fail_msg("%s", err.msg);
	}
	end(&x);
	check(&x, kept, x.was);
	check(&x, path, x.want);
	assert_int_equal(count_files(), 2);
	(void)unlink(kept);
	(void)unlink(path);
}

/* What is hidden does not stay behind in a folder that goes away. */
static void folder_is_moved(void **state)
{
	static struct story x;
	struct mr_error err = MR_ERROR_INIT;
	char *home = folder, *gone, *moved;

	(void)state;
	assert_true(asprintf(&gone, "%s/gone", home) > 0);
	assert_true(asprintf(&moved, "%s/moved", home) > 0);
	assert_int_equal(mkdir(gone, 0700), 0);
	folder = gone;
	begin(&x, 82, true);
	start(&x);
	for (int i = 0; i < 3; i++) {
		checkpoint(&x, 5);
		assert_int_equal(keeper_wait(&x.k, &err), 0);
	}
	memcpy(x.was, x.want, sizeof(x.was));
	assert_int_equal(rename(gone, moved), 0);
	checkpoint(&x, 5);
	end_failed(&x, MR_SYS);
	folder = moved;
	check(&x, in_dir("image"), x.was);
	assert_int_equal(count_files(), 1);
	(void)unlink(in_dir("image"));
	(void)rmdir(moved);
	folder = home;
	free(moved);
	free(gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(merged),
		cmocka_unit_test(in_a_file),
		cmocka_unit_test(replaced),
		cmocka_unit_test(replaced_just_then),
		cmocka_unit_test(kept_by_a_link),
		cmocka_unit_test(folder_is_moved),
	};

	return cmocka_run_group_tests_name("keeper", tests, folder_setup,
					   folder_teardown);
}
