/*
 * libvirt.c - what libvirt has before the stream (formats/libvirt.h): the
 * domain's XML, of the image itself or out of a file, and what libvirt notes
 * about the CPU (the cookie), of the image itself.
 */
#include "formats/libvirt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmr/base/error.h"
#include "libmr/convert/state.h"

/* What the image has of it; buf is NULL if that is not one of libvirt's. */
struct own {
	uint8_t *buf;
	struct libvirt_header header;
	struct libvirt_data data;
};

static int fault_error(const struct fault *f, uint64_t base, unsigned who,
		       struct mr_error *err)
{
	(void)error_set(err, MR_REFUSED, base + f->at, "%s", f->what);
	return error_about(err, who);
}

/* The image is open, so that all of this was well before. */
static int read_own(struct own *own, struct convert *x, struct mr_error *err)
{
	struct io *io = &x->img->file.io;
	uint8_t first[LIBVIRT_HEADER_SIZE];
	struct fault f;

	if (!x->info->has_libvirt)
		return 0;
	if (io_read_full(io, first, sizeof(first), 0, err))
		return error_about(err, CONVERT_IN);
	if (libvirt_header_decode(first, sizeof(first), &own->header, &f) < 0)
		return fault_error(&f, 0, CONVERT_IN, err);
	own->buf = malloc(own->header.data_len);
	if (!own->buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (io_read_full(io, own->buf, own->header.data_len,
			 LIBVIRT_HEADER_SIZE, err))
		return error_about(err, CONVERT_IN);
	if (libvirt_data_decode(own->buf, own->header.data_len, &own->header,
				&own->data, &f) < 0)
		return fault_error(&f, LIBVIRT_HEADER_SIZE, CONVERT_IN, err);
	return 0;
}

/* All of a file that may be a pipe, and is too long with one byte more than
 * most. Returns how much it is, or -1. */
static ssize_t read_all(const char *path, char *buf, size_t most,
			struct mr_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0;
	ssize_t n = -1;

	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open");
	while (len <= most) {
		n = read(fd, buf + len, most + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0)
		(void)error_sys(err, len, "cannot read");
	(void)close(fd);
	if (n >= 0 && len > most)
		n = error_set(err, MR_REFUSED, MR_NO_OFFSET,
			      "more than %zu MiB are no domain's XML",
			      most >> 20);
	return n < 0 ? -1 : (ssize_t)len;
}

static int check_machine(const struct convert *x, const char *xml,
			 struct mr_error *err)
{
	const char *machine;
	size_t len = libvirt_xml_machine(xml, &machine);

	if (!x->info || !len ||
	    libvirt_machine_fits(machine, len, x->info->machine))
		return 0;
	return error_set(err, MR_REFUSED, (uint64_t)(machine - xml),
			 "this XML is of another machine (%.*s) than the image "
			 "(%.100s)",
			 len < 100 ? (int)len : 100, machine, x->info->machine);
}

/* What --xml names, as a string; NULL: *err. */
static char *read_xml(const struct convert *x, struct mr_error *err)
{
	char *xml = malloc(LIBVIRT_XML_LIMIT + 2);
	ssize_t len = -1;
	struct fault f;

	if (xml)
		len = read_all(x->options->xml, xml, LIBVIRT_XML_LIMIT, err);
	else
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (len >= 0) {
		xml[len] = '\0';
		if (libvirt_xml_check(xml, (size_t)len, &f))
			len = error_set(err, MR_REFUSED, f.at, "%s", f.what);
		else if (check_machine(x, xml, err))
			len = -1;
	}
	if (len >= 0)
		return xml;
	(void)error_about(err, CONVERT_XML);
	free(xml);
	return NULL;
}

int convert_front_check(struct convert *x, struct mr_error *err)
{
	struct stat st;
	char *xml;

	if (!x->options->xml)
		return 0;
	if (stat(x->options->xml, &st)) {
		(void)error_sys(err, MR_NO_OFFSET, "cannot open");
		return error_about(err, CONVERT_XML);
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	xml = read_xml(x, err);
	free(xml);
	return xml ? 0 : -1;
}

static enum libvirt_format format_of(enum mr_convert_form form)
{
	if (form == MR_CONVERT_LIBVIRT_SPARSE)
		return LIBVIRT_SPARSE;
	return form == MR_CONVERT_LIBVIRT_ZSTD ? LIBVIRT_ZSTD : LIBVIRT_RAW;
}

/* libvirt stops a guest before it saves it: what it was is only in its own
 * header then. */
static bool was_running(const struct convert *x, const struct own *own)
{
	return own->buf ? own->header.was_running
			: !strcmp(x->info->run_state, "running");
}

static int make_front(struct convert *x, const struct own *own, const char *xml,
		      struct mr_error *err)
{
	struct libvirt_data data = own->data;
	struct libvirt_header h = {
		.complete = true,
		.version = LIBVIRT_VERSION,
		.was_running = was_running(x, own),
		.format = format_of(x->report->form),
	};
	struct fault f;

	if (xml)
		data.xml = xml;
	if (libvirt_data_place(&h, &data, &f))
		return fault_error(&f, 0, xml ? CONVERT_XML : CONVERT_IN, err);
	x->front_len = libvirt_stream_offset(&h);
	x->front = malloc(x->front_len);
	if (!x->front)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	(void)libvirt_header_encode(x->front, &h);
	(void)libvirt_data_encode(x->front + LIBVIRT_HEADER_SIZE, &h, &data);
	return 0;
}

int convert_front(struct convert *x, struct mr_error *err)
{
	struct own own = { .buf = NULL };
	char *xml = NULL;
	int rc = read_own(&own, x, err);

	if (!rc && !own.buf && !x->options->xml) {
		(void)error_set(err, MR_REFUSED, MR_NO_OFFSET,
				"there is no libvirt domain in this image: a "
				"file with its XML is needed");
		rc = error_about(err, CONVERT_IN);
	}
	if (!rc && x->options->xml) {
		xml = read_xml(x, err);
		rc = xml ? 0 : -1;
	}
	if (!rc)
		rc = make_front(x, &own, xml, err);
	free(xml);
	free(own.buf);
	return rc;
}

/* ---- a file that is complete when its header says so ---- */

int convert_front_write(const struct convert *x, struct io *io, bool complete,
			struct mr_error *err)
{
	uint8_t head[LIBVIRT_HEADER_SIZE];
	struct libvirt_header h;
	struct fault f;

	if (!x->front)
		return 0;
	if (complete)
		return io_write_full(io, x->front, LIBVIRT_HEADER_SIZE, 0, err);
	(void)libvirt_header_decode(x->front, x->front_len, &h, &f);
	h.complete = false;
	(void)libvirt_header_encode(head, &h);
	if (io_write_full(io, head, sizeof(head), 0, err))
		return -1;
	return io_write_full(io, x->front + sizeof(head),
			     x->front_len - sizeof(head), sizeof(head), err);
}

static ssize_t write_behind(struct io *io, const void *buf, size_t len,
			    uint64_t offset)
{
	const struct behind_io *b = (struct behind_io *)(void *)io;

	return b->under->ops->write(b->under, buf, len, b->offset + offset);
}

static const struct io_ops behind_ops = { .name = "behind",
					  .write = write_behind };

void behind_io_init(struct behind_io *b, struct io *under, uint64_t offset)
{
	*b = (struct behind_io){
		.io = { .ops = &behind_ops,
			.size = under->size,
			.who = under->who },
		.under = under,
		.offset = offset,
	};
}
