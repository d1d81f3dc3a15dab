/* turns.c - the next checkpoint's file. */
#include "libmr/checkpoint/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"

/* Bytes that are copied at a time where the kernel does not do it. */
#define PIECE ((size_t)256 << 10)

/* ---- what has the name ---- */

static int look(struct turns *t, struct mr_error *err)
{
	struct stat st;

	if (fstat(t->current, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	t->is = (struct gate_found){ .exists = true,
				     .dev = st.st_dev,
				     .ino = st.st_ino };
	return 0;
}

int turns_first(struct turns *t, struct image_writer *w, const struct memory *m,
		struct mr_error *err)
{
	char *hidden;

	t->blocks = calloc(m->n, sizeof(*t->blocks));
	if (!t->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	t->n = m->n;
	for (size_t i = 0; i < m->n; i++) {
		struct turns_block *b = &t->blocks[i];

		b->pages = m->blocks[i].length / m->page;
		b->differ = zeros_new(bits_size(b->pages));
		if (!b->differ)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "out of memory");
	}
	if (output_exchange(&w->out, NULL, &hidden, &t->current, err))
		return -1;
	return look(t, err);
}

/* ---- a file that is not new ---- */

/* Where it lies, whatever the path leads to by now. */
static void forget_spare(struct turns *t)
{
	if (t->spare < 0)
		return;
	(void)unlinkat(t->folder, t->hidden, 0);
	(void)close(t->spare);
	free(t->hidden);
	t->spare = -1;
	t->hidden = NULL;
}

static int copy_by_hand(struct turns *t, uint64_t at, uint64_t length,
			struct mr_error *err)
{
	unsigned char *buf = malloc(PIECE);
	int rc = 0;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t n; !rc && length; at += n, length -= n) {
		n = length < PIECE ? (size_t)length : PIECE;
		rc = io_read_full(t->base.img->io, buf, n, at, err) ||
		     io_write_full(&t->w.out.file.io, buf, n, at, err);
	}
	free(buf);
	return rc ? -1 : 0;
}

static int copy(struct turns *t, uint64_t at, uint64_t length,
		struct mr_error *err)
{
	loff_t from = (loff_t)at, to = (loff_t)at;

	while (length) {
		ssize_t n = copy_file_range(t->current, &from, t->w.out.file.fd,
					    &to, (size_t)length, 0);

		if (n < 0 && errno == EINTR)
			continue;
		/* 0: nothing, and errno says nothing. */
		if (!n || (n < 0 && errno != ENOSPC && errno != EIO))
			return copy_by_hand(t, (uint64_t)from, length, err);
		if (n < 0) {
			(void)error_sys(err, (uint64_t)to, "cannot copy");
			return error_about(err, t->w.out.file.io.who);
		}
		length -= (uint64_t)n;
	}
	return 0;
}

/* Runs of pages of the mask: as they are in current, data or none. */
static int copy_pages(struct turns *t, const struct mr_block *b,
		      const uint64_t *mask, const uint64_t *data,
		      struct mr_error *err)
{
	uint64_t p, q, n;

	for (p = bits_next_set(mask, 0, b->pages); p < b->pages;
	     p = bits_next_set(mask, q, b->pages)) {
		bool is = bits_test(data, p);
		uint64_t at = b->pages_offset + p * IMAGE_PAGE;

		q = bits_next_clear(mask, p, b->pages);
		n = is ? bits_next_clear(data, p, q)
		       : bits_next_set(data, p, q);
		q = n;
		if (is ? copy(t, at, (q - p) * IMAGE_PAGE, err)
		       : file_clear(&t->w.out.file, at, (q - p) * IMAGE_PAGE,
				    err))
			return -1;
	}
	return 0;
}

/* What differs, or, of a file that is new, all data; but not what comes
 * anyway. */
static void choose(uint64_t *mask, const struct turns_block *k,
		   const uint64_t *came, const uint64_t *data, bool anew)
{
	const uint64_t *from = anew ? data : k->differ;

	for (uint64_t i = 0; i < bits_words(k->pages); i++)
		mask[i] = from[i] & ~came[i];
}

static int copy_block(struct turns *t, size_t i, const struct delta *d,
		      bool anew, struct mr_error *err)
{
	const struct turns_block *k = &t->blocks[i];
	const struct mr_block *b =
		mr_image_find(t->base.img, d->m->blocks[i].name);
	uint64_t *mask = zeros_new(bits_size(k->pages));
	uint64_t *data = zeros_new(bits_size(k->pages));
	int rc = -1;

	if (!mask || !data)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	else if (!b || b->pages != k->pages)
		(void)error_set(err, MR_FORMAT, MR_NO_OFFSET,
				"the last checkpoint's image has no such block "
				"as %.64s",
				d->m->blocks[i].name);
	else
		rc = mr_image_bitmap(t->base.img, b, 0, data,
				     (size_t)mr_block_words(b), err);
	if (!rc) {
		choose(mask, k, d->blocks[i].came, data, anew);
		rc = copy_pages(t, b, mask, data, err);
	}
	zeros_free(mask, bits_size(k->pages));
	zeros_free(data, bits_size(k->pages));
	return rc;
}

/* All but the pages is made anew: the writer takes a file to be zero there. */
static int blank(struct turns *t, struct mr_error *err)
{
	const struct mr_image_info *info = mr_image_info(t->base.img);
	struct file *f = &t->w.out.file;
	uint64_t at = 0;

	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_block *b = &info->blocks[i];

		if (file_clear(f, at, b->pages_offset - at, err))
			return -1;
		at = b->pages_offset + b->length;
	}
	return output_resize(&t->w.out, at, err);
}

/* Whoever has opened it while it had the name may read it still, or have it
 * mapped, or keep it under a name of his own. And it lies beside what has the
 * name, unless that was taken to another folder. */
static bool is_spare_free(const struct turns *t)
{
	struct stat was, is;

	return t->spare >= 0 && output_is_free(t->spare) &&
	       !fstat(t->folder, &was) && !fstat(t->w.out.gate.dir, &is) &&
	       was.st_dev == is.st_dev && was.st_ino == is.st_ino;
}

/* Makes t->w a copy of what has the name, but for what comes. */
static int follow_up(struct turns *t, const struct delta *d,
		     struct mr_error *err)
{
	bool anew = !is_spare_free(t);

	if (anew) {
		forget_spare(t);
		t->copies++;
	} else {
		struct output o;
		int rc = output_reuse(&o, t->path, t->rule, t->direct, t->spare,
				      t->hidden, err);

		t->spare = -1;
		t->hidden = NULL;
		if (rc)
			return -1;
		output_discard(&t->w.out);
		t->w.out = o;
	}
	if (blank(t, err))
		return -1;
	for (size_t i = 0; i < t->n; i++)
		if (copy_block(t, i, d, anew, err))
			return -1;
	return 0;
}

/* ---- the next one ---- */

int turns_begin(struct turns *t, const struct delta *d, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	char current[40];

	(void)snprintf(current, sizeof(current), "/proc/self/fd/%d",
		       t->current);
	if (image_base_open(&t->base, current, NULL, err) ||
	    image_writer_open(&t->w, t->path, t->rule, t->direct, t->seal, err))
		return -1;
	t->shares = !image_base_try(&t->base, &t->w, &why);
	if (t->shares)
		return 0;
	t->base.in_place = true;
	return follow_up(t, d, err);
}

void turns_abandon(struct turns *t)
{
	image_base_release(&t->base);
	image_writer_release(&t->w);
}

int turns_publish(struct turns *t, const struct delta *d, struct mr_error *err)
{
	int fd, folder, rc;
	char *hidden;

	/* Its lease is for those who have it open once. */
	image_base_release(&t->base);
	folder = fcntl(t->w.out.gate.dir, F_DUPFD_CLOEXEC, 3);
	if (folder < 0)
		return error_sys(err, MR_NO_OFFSET, "no descriptor");
	rc = output_exchange(&t->w.out, &t->is, &hidden, &fd, err);
	image_writer_release(&t->w);
	if (fd < 0) {
		(void)close(folder);
		return -1;
	}
	/* What had the name is the next one's file, or is of no use. */
	forget_spare(t);
	if (t->folder >= 0)
		(void)close(t->folder);
	t->folder = folder;
	t->spare = t->current;
	t->hidden = hidden;
	t->current = fd;
	if (t->shares)
		forget_spare(t);
	for (size_t i = 0; i < t->n; i++)
		memcpy(t->blocks[i].differ, d->blocks[i].came,
		       bits_size(t->blocks[i].pages));
	return rc || look(t, err) ? -1 : 0;
}

void turns_release(struct turns *t)
{
	turns_abandon(t);
	forget_spare(t);
	if (t->current >= 0)
		(void)close(t->current);
	if (t->folder >= 0)
		(void)close(t->folder);
	for (size_t i = 0; i < t->n; i++)
		zeros_free(t->blocks[i].differ, bits_size(t->blocks[i].pages));
	free(t->blocks);
	*t = (struct turns)TURNS_NONE;
}
