/* input.c - stdin, and what is compressed: into a spool, and read from there.
 */
#include "libmr/convert/input.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/libvirt.h"
#include "formats/pack.h"
#include "libmr/base/error.h"
#include "libmr/base/watch.h"
#include "libmr/convert/state.h"
#include "libmr/file/pipe.h"

/* Compressed, and that again, and in a libvirt save image: nobody needs more.
 */
#define TIMES_MAX 4

/* What a file begins with. */
struct look {
	enum expand_format format; /* of all of it, or of libvirt's body */
	struct libvirt_header libvirt; /* data_len 0: it is none */
};

static int look(struct reader *r, struct look *l, struct mr_error *err)
{
	const uint8_t *buf;
	struct fault f;
	ssize_t n = mr_reader_peek(r, LIBVIRT_HEADER_SIZE, &buf, err);

	*l = (struct look){ .format = EXPAND_NOTHING };
	if (n < 0)
		return -1;
	if (pack_is_pack(buf, (size_t)n))
		return 0;
	if (n < LIBVIRT_HEADER_SIZE || !libvirt_is_save(buf, (size_t)n)) {
		l->format = expand_find(buf, (size_t)n);
		return 0;
	}
	/* What is wrong with a header is told by who opens the image. */
	if (libvirt_header_decode(buf, (size_t)n, &l->libvirt, &f) < 0)
		return 0;
	l->format = expand_by_name(libvirt_format_name(l->libvirt.format));
	return 0;
}

/* Into a spool, and how far the reader has come is told. */
struct pour {
	struct expand_to to;
	struct spool *spool;
	const struct reader *from;
	uint64_t total; /* bytes that it has; 0: nobody knows */
	const struct mr_watch *watch;
};

static int pour(struct expand_to *to, const void *buf, size_t len,
		struct mr_error *err)
{
	const struct pour *p = (const struct pour *)(const void *)to;
	uint64_t done = mr_reader_tell(p->from);

	if (spool_put(p->spool, buf, len, err))
		return -1;
	if (p->total && p->watch->progress)
		p->watch->progress(p->watch->arg,
				   done < p->total ? done : p->total, p->total);
	return 0;
}

/* len bytes as they are, or all there are: MR_SHORT only with a len. */
static int copy(struct reader *r, uint64_t len, struct pour *p,
		struct mr_error *err)
{
	while (len) {
		const uint8_t *buf;
		ssize_t n = mr_reader_peek(r, 1, &buf, err);
		size_t have = r->have - r->at;

		if (n < 0)
			return -1;
		if (!n && len != UINT64_MAX)
			return error_set(err, MR_SHORT, mr_reader_tell(r),
					 "it ends inside libvirt's data area");
		if (!n)
			return 0;
		if (have > len)
			have = (size_t)len;
		if (pour(&p->to, buf, have, err))
			return -1;
		mr_reader_skip(r, have);
		if (len != UINT64_MAX)
			len -= have;
	}
	return 0;
}

/* libvirt's header with another word for the body, and what follows. */
static int copy_libvirt(struct reader *r, struct libvirt_header h,
			struct pour *p, struct mr_error *err)
{
	uint8_t buf[LIBVIRT_HEADER_SIZE];

	h.format = LIBVIRT_RAW;
	(void)libvirt_header_encode(buf, &h);
	mr_reader_skip(r, LIBVIRT_HEADER_SIZE);
	return pour(&p->to, buf, sizeof(buf), err) ||
			       copy(r, h.data_len, p, err)
		       ? -1
		       : 0;
}

static int fill(struct reader *r, const struct look *l, struct pour *p,
		struct mr_error *err)
{
	if (!l->format)
		return copy(r, UINT64_MAX, p, err);
	watch_note(p->watch, "unpacking it (%s)", expand_name(l->format));
	if (l->libvirt.data_len && copy_libvirt(r, l->libvirt, p, err))
		return -1;
	return expand(l->format, r, &p->to, err);
}

/* Once from io, of `total` bytes (0: nobody knows), into a spool, if it has to
 * be: 1; 0: it need not; -1. */
static int once(struct input *i, struct io *io, uint64_t total, bool must,
		const struct mr_convert_options *o, struct mr_error *err)
{
	struct spool s = SPOOL_NONE;
	struct reader r;
	struct pour p = { .to.put = pour,
			  .spool = &s,
			  .from = &r,
			  .total = total,
			  .watch = &o->watch };
	struct look l;
	int rc = -1;

	if (reader_init(&r, io, EXPAND_WINDOW, 0, err))
		return -1;
	if (look(&r, &l, err))
		goto out;
	if (!l.format && !must) {
		rc = 0;
		goto out;
	}
	if (spool_open(&s, o->spool ? o->spool : "/var/tmp", o->spool_limit,
		       &o->watch, CONVERT_SPOOL, err) ||
	    fill(&r, &l, &p, err) || spool_end(&s, err))
		goto out;
	if (!i->size)
		i->size = mr_reader_tell(&r);
	spool_release(&i->spool);
	i->spool = s;
	s = (struct spool)SPOOL_NONE;
	rc = 1;
out:
	spool_release(&s);
	reader_release(&r);
	return rc;
}

/* A file's moment is that of what is made of it. */
static int keep_moment(int from, int to, struct mr_error *err)
{
	struct stat st;

	if (fstat(from, &st))
		return error_sys(err, MR_NO_OFFSET, "cannot stat");
	if (S_ISREG(st.st_mode))
		(void)futimens(to,
			       (struct timespec[2]){ st.st_mtim, st.st_mtim });
	return 0;
}

/* What is in the spool may be compressed, too. */
static int unfold(struct input *i, const struct mr_convert_options *o,
		  struct mr_error *err)
{
	int rc = 1;

	for (int times = 1; rc > 0; times++) {
		struct file f = FILE_CLOSED;

		if (times > TIMES_MAX)
			return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					 "compressed more than %d times over",
					 TIMES_MAX);
		(void)snprintf(i->spool_path, sizeof(i->spool_path),
			       "/proc/self/fd/%d", i->spool.fd);
		if (file_open(&f, i->spool_path, MR_DIRECT_OFF, err))
			return -1;
		rc = once(i, &f.io, f.io.size, false, o, err);
		(void)file_close(&f);
	}
	i->path = i->spool_path;
	return rc;
}

/* What is left of it, if it is a file; else 0. */
static uint64_t bytes_left(int fd)
{
	struct stat st;
	off_t at;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	at = lseek(fd, 0, SEEK_CUR);
	return at < 0 || at > st.st_size ? 0 : (uint64_t)(st.st_size - at);
}

int input_open(struct input *i, const char *in,
	       const struct mr_convert_options *o, struct mr_error *err)
{
	struct file f = FILE_CLOSED;
	struct pipe_io p;
	int rc;

	*i = (struct input)INPUT_NONE;
	i->path = in;
	if (o->in_fd >= 0)
		rc = pipe_init(&p, o->in_fd, &o->watch, err);
	else
		rc = file_open(&f, in, MR_DIRECT_OFF, err);
	if (rc)
		return -1;
	if (o->in_fd >= 0)
		rc = once(i, &p.io, bytes_left(o->in_fd), true, o, err);
	else
		rc = once(i, &f.io, f.io.size, false, o, err);
	if (rc > 0)
		rc = unfold(i, o, err);
	if (!rc && i->spool.fd >= 0)
		rc = keep_moment(o->in_fd >= 0 ? o->in_fd : f.fd, i->spool.fd,
				 err);
	(void)file_close(&f);
	if (rc < 0 && err && err->sys == ECANCELED) {
		*err = (struct mr_error)MR_ERROR_INIT;
		(void)error_set(err, MR_CANCELLED, MR_NO_OFFSET, "interrupted");
	}
	return rc;
}

void input_release(struct input *i)
{
	spool_release(&i->spool);
}
