/* libvirt.c - what libvirt puts before a QEMU stream (libvirt.h). */
#include <string.h>

#include "formats/bytes.h"
#include "formats/libvirt.h"

enum {
	MAGIC_SIZE = 16,
	AT_VERSION = 16,
	AT_DATA_LEN = 20,
	AT_WAS_RUNNING = 24,
	AT_FORMAT = 28,
	AT_COOKIE = 32,
};

static const char save_magic[] = "LibvirtQemudSave";
static const char part_magic[] = "LibvirtQemudPart";

static const char *const names[LIBVIRT_FORMATS] = {
	[LIBVIRT_RAW] = "raw",	     [LIBVIRT_GZIP] = "gzip",
	[LIBVIRT_BZIP2] = "bzip2",   [LIBVIRT_XZ] = "xz",
	[LIBVIRT_LZOP] = "lzop",     [LIBVIRT_ZSTD] = "zstd",
	[LIBVIRT_SPARSE] = "sparse",
};

bool libvirt_is_save(const uint8_t *buf, size_t len)
{
	return len >= MAGIC_SIZE && (memcmp(buf, save_magic, MAGIC_SIZE) == 0 ||
				     memcmp(buf, part_magic, MAGIC_SIZE) == 0);
}

/* The fields after the magic, read in the byte order found. */
static int check_fields(const struct libvirt_header *h, uint32_t was_running,
			uint32_t format, struct fault *f)
{
	if (h->data_len == 0)
		return fault_set(f, FAULT_BAD, AT_DATA_LEN, "no data area");
	if (h->data_len > LIBVIRT_DATA_LIMIT)
		return fault_value(f, FAULT_UNSUPPORTED, AT_DATA_LEN,
				   "data area too large", h->data_len);
	if (was_running > 1)
		return fault_value(f, FAULT_BAD, AT_WAS_RUNNING,
				   "was_running is not 0 or 1", was_running);
	if (format >= LIBVIRT_FORMATS)
		return fault_value(f, FAULT_UNSUPPORTED, AT_FORMAT,
				   "unknown save format", format);
	if (h->cookie_offset >= h->data_len)
		return fault_value(f, FAULT_BAD, AT_COOKIE,
				   "cookie outside the data area",
				   h->cookie_offset);
	return 0;
}

ssize_t libvirt_header_decode(const uint8_t *buf, size_t len,
			      struct libvirt_header *out, struct fault *f)
{
	uint32_t was_running, format;
	bool be;

	if (len >= MAGIC_SIZE && !libvirt_is_save(buf, len))
		return fault_set(f, FAULT_BAD, 0, "not a libvirt save image");
	if (len < LIBVIRT_HEADER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside libvirt's header");
	/* libvirt tells the byte order by which one makes sense. */
	be = get_le32(buf + AT_VERSION) > LIBVIRT_VERSION;
	*out = (struct libvirt_header){
		.complete = memcmp(buf, save_magic, MAGIC_SIZE) == 0,
		.big_endian = be,
		.version = get_32(buf + AT_VERSION, be),
		.data_len = get_32(buf + AT_DATA_LEN, be),
		.cookie_offset = get_32(buf + AT_COOKIE, be),
	};
	if (out->version > LIBVIRT_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, AT_VERSION,
				   "unknown version of libvirt's header",
				   out->version);
	if (out->version == 0)
		return fault_value(f, FAULT_BAD, AT_VERSION,
				   "illegal version of libvirt's header", 0);
	was_running = get_32(buf + AT_WAS_RUNNING, be);
	format = out->version == 1 ? (uint32_t)LIBVIRT_RAW
				   : get_32(buf + AT_FORMAT, be);
	if (check_fields(out, was_running, format, f))
		return -1;
	out->was_running = was_running;
	out->format = (enum libvirt_format)format;
	return LIBVIRT_HEADER_SIZE;
}

size_t libvirt_header_encode(uint8_t buf[LIBVIRT_HEADER_SIZE],
			     const struct libvirt_header *h)
{
	memset(buf, 0, LIBVIRT_HEADER_SIZE);
	memcpy(buf, h->complete ? save_magic : part_magic, MAGIC_SIZE);
	put_32(buf + AT_VERSION, h->version, h->big_endian);
	put_32(buf + AT_DATA_LEN, h->data_len, h->big_endian);
	put_32(buf + AT_WAS_RUNNING, h->was_running, h->big_endian);
	put_32(buf + AT_FORMAT, h->format, h->big_endian);
	put_32(buf + AT_COOKIE, h->cookie_offset, h->big_endian);
	return LIBVIRT_HEADER_SIZE;
}

const char *libvirt_format_name(enum libvirt_format format)
{
	return (unsigned int)format < LIBVIRT_FORMATS ? names[format] : NULL;
}

ssize_t libvirt_data_decode(const uint8_t *buf, size_t len,
			    const struct libvirt_header *h,
			    struct libvirt_data *out, struct fault *f)
{
	size_t cookie = h->cookie_offset;
	/* The XML must end before the cookie begins. */
	size_t xml_room = cookie ? cookie : h->data_len;

	if (len < h->data_len)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside libvirt's data area");
	if (!memchr(buf, '\0', xml_room))
		return fault_set(f, FAULT_BAD, 0, "domain XML has no end");
	if (cookie && !memchr(buf + cookie, '\0', h->data_len - cookie))
		return fault_set(f, FAULT_BAD, cookie, "cookie has no end");
	*out = (struct libvirt_data){
		.xml = (const char *)buf,
		.cookie = cookie ? (const char *)buf + cookie : NULL,
	};
	return (ssize_t)h->data_len;
}

int libvirt_data_place(struct libvirt_header *h, const struct libvirt_data *d,
		       struct fault *f)
{
	uint64_t len = (uint64_t)strlen(d->xml) + 1;

	h->cookie_offset = 0;
	if (d->cookie && len < LIBVIRT_DATA_LIMIT) {
		h->cookie_offset = (uint32_t)len;
		len += (uint64_t)strlen(d->cookie) + 1;
	}
	len += LIBVIRT_DATA_ROOM;
	if (len > LIBVIRT_DATA_LIMIT)
		return fault_value(f, FAULT_UNSUPPORTED, AT_DATA_LEN,
				   "data area too large", len);
	h->data_len = (uint32_t)len;
	return 0;
}

size_t libvirt_data_encode(uint8_t *buf, const struct libvirt_header *h,
			   const struct libvirt_data *d)
{
	memset(buf, 0, h->data_len);
	memcpy(buf, d->xml, strlen(d->xml));
	if (h->cookie_offset)
		memcpy(buf + h->cookie_offset, d->cookie, strlen(d->cookie));
	return h->data_len;
}

/* ---- the XML ---- */

static const char space[] = " \t\r\n";

/* Past white space, declarations and comments; NULL: one does not end. */
static const char *skip_prolog(const char *at)
{
	const char *end;

	for (;;) {
		at += strspn(at, space);
		if (!strncmp(at, "<?", 2))
			end = "?>";
		else if (!strncmp(at, "<!--", 4))
			end = "-->";
		else
			return at;
		at = strstr(at, end);
		if (!at)
			return NULL;
		at += strlen(end);
	}
}

/* Where an element of this name begins; NULL: nowhere. */
static const char *find_element(const char *xml, const char *open)
{
	size_t len = strlen(open);

	for (; (xml = strstr(xml, open)); xml += len)
		if (xml[len] && strchr(" \t\r\n>", xml[len]))
			return xml;
	return NULL;
}

int libvirt_xml_check(const char *xml, size_t len, struct fault *f)
{
	static const char mark[] = "\xef\xbb\xbf", end[] = "</domain>";
	const char *nul = memchr(xml, '\0', len), *at;

	if (nul)
		return fault_set(f, FAULT_BAD, (uint64_t)(nul - xml),
				 "a NUL in the XML");
	at = skip_prolog(len >= 3 && !memcmp(xml, mark, 3) ? xml + 3 : xml);
	if (!at || find_element(at, "<domain") != at)
		return fault_set(f, FAULT_BAD, at ? (uint64_t)(at - xml) : 0,
				 "no domain's XML begins so");
	while (len && strchr(space, xml[len - 1]))
		len--;
	if (len < sizeof(end) - 1 ||
	    memcmp(xml + len - (sizeof(end) - 1), end, sizeof(end) - 1) != 0)
		return fault_set(f, FAULT_BAD, len, "no domain's XML ends so");
	return 0;
}

size_t libvirt_xml_machine(const char *xml, const char **machine)
{
	static const char name[] = "machine=";
	const char *os = find_element(xml, "<os");
	const char *type = os ? find_element(os, "<type") : NULL;
	const char *end = type ? strchr(type, '>') : NULL;
	const char *at = end ? strstr(type, name) : NULL;
	size_t n;

	if (!at || at > end || !strchr(space, at[-1]))
		return 0;
	at += sizeof(name) - 1;
	if (*at != '\'' && *at != '"')
		return 0;
	n = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-");
	if (at[1 + n] != *at)
		return 0;
	*machine = at + 1;
	return n;
}

static bool is(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(text, word, len);
}

bool libvirt_machine_fits(const char *machine, size_t len, const char *stream)
{
	if (is(machine, len, stream))
		return true;
	if (is(machine, len, "pc"))
		return strncmp(stream, "pc-q35-", 7) != 0;
	if (is(machine, len, "q35"))
		return strncmp(stream, "pc-i440fx-", 10) != 0;
	/* With a version it is no other's name. */
	for (size_t i = 1; i < len; i++)
		if (machine[i - 1] == '-' && machine[i] >= '0' &&
		    machine[i] <= '9')
			return false;
	return true;
}
