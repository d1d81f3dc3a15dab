/* libvirt's header and data area. */
#include "formats/libvirt.h"
#include "tests/fuzz/fuzz.h"

static ssize_t run_header(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return libvirt_header_decode(buf, len, arg, f);
}

struct data_arg {
	const struct libvirt_header *h;
	struct libvirt_data d;
};

static ssize_t run_data(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	struct data_arg *a = arg;
	ssize_t n = libvirt_data_decode(buf, len, a->h, &a->d, f);

	if (n < 0)
		return n;
	must(a->d.xml == (const char *)buf);
	must(strlen(a->d.xml) < a->h->data_len);
	must(!a->d.cookie == !a->h->cookie_offset);
	if (a->d.cookie)
		must(a->d.cookie + strlen(a->d.cookie) <
		     a->d.xml + a->h->data_len);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t back[LIBVIRT_HEADER_SIZE];
	struct libvirt_header h, again;
	struct data_arg a = { .h = &h };
	struct fault f;

	if (decode(&in, run_header, &h, 0) < 0)
		return 0;
	must(libvirt_is_save(in.p, in.len));
	must(h.data_len && h.data_len <= LIBVIRT_DATA_LIMIT);
	must(h.cookie_offset < h.data_len);
	must(libvirt_format_name(h.format));
	must(libvirt_header_encode(back, &h) == sizeof(back));
	/* The unused fields are lost, and the format of a version 1. */
	must(!memcmp(back, in.p, h.version == 1 ? 28 : 36));
	must(libvirt_header_decode(back, sizeof(back), &again, &f) ==
	     LIBVIRT_HEADER_SIZE);
	must(h.complete == again.complete && h.version == again.version &&
	     h.big_endian == again.big_endian && h.data_len == again.data_len &&
	     h.was_running == again.was_running && h.format == again.format &&
	     h.cookie_offset == again.cookie_offset);
	in.p += LIBVIRT_HEADER_SIZE;
	in.len -= LIBVIRT_HEADER_SIZE;
	(void)decode(&in, run_data, &a, 0);
	return 0;
}
