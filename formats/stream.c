/* stream.c - the container of QEMU's migration stream (stream.h). */
#include <string.h>

#include "formats/bytes.h"
#include "formats/mapped_ram.h"
#include "formats/stream.h"

/* ---- header ---- */

ssize_t stream_header_decode(const uint8_t *buf, size_t len, struct fault *f)
{
	uint8_t magic[4];
	uint32_t version;

	/* What is not ours is said at once, however short. */
	put_be32(magic, STREAM_MAGIC);
	if (memcmp(buf, magic, len < 4 ? len : 4) != 0)
		return fault_set(f, FAULT_BAD, 0, "not a migration stream");
	if (len < STREAM_HEADER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the stream header");
	version = get_be32(buf + 4);
	if (version != STREAM_VERSION)
		return fault_value(f, FAULT_UNSUPPORTED, 4,
				   "unknown stream version", version);
	return STREAM_HEADER_SIZE;
}

size_t stream_header_encode(uint8_t buf[STREAM_HEADER_SIZE])
{
	put_be32(buf, STREAM_MAGIC);
	put_be32(buf + 4, STREAM_VERSION);
	return STREAM_HEADER_SIZE;
}

/* ---- configuration ---- */

#define CONFIGURATION "configuration"
#define SUB_PAGE_BITS CONFIGURATION "/target-page-bits"
#define SUB_CAPABILITIES CONFIGURATION "/capabilities"
#define SUB_UUID CONFIGURATION "/uuid"
#define CAP_IGNORE_SHARED "x-ignore-shared"

enum {
	SUB_VERSION = 1,
	CAPABILITIES_LIMIT = 2, /* as many as QEMU ever lists */
	PAGE_BITS_MIN = 10,
	PAGE_BITS_MAX = 16,
};

/* The configuration being read: at is the next byte. */
struct config_reader {
	const uint8_t *buf;
	size_t len;
	size_t at;
	struct stream_config *out;
	struct fault *f;
};

static int need(struct config_reader *r, size_t n)
{
	if (r->len - r->at < n)
		return fault_set(r->f, FAULT_SHORT, r->len,
				 "ends inside the configuration");
	return 0;
}

static int read_page_bits(struct config_reader *r)
{
	uint32_t bits;

	if (r->out->target_page_bits)
		return fault_set(r->f, FAULT_BAD, r->at,
				 "target page bits given twice");
	if (need(r, 4))
		return -1;
	bits = get_be32(r->buf + r->at);
	if (bits < PAGE_BITS_MIN || bits > PAGE_BITS_MAX)
		return fault_value(r->f, FAULT_UNSUPPORTED, r->at,
				   "target page bits out of range", bits);
	r->out->target_page_bits = bits;
	r->at += 4;
	return 0;
}

static int read_capability(struct config_reader *r)
{
	char name[NAME_SIZE];
	ssize_t n = name_decode(r->buf, r->len, r->at, name, r->f);
	bool *flag;

	if (n < 0)
		return -1;
	if (strcmp(name, MAPPED_RAM_CAPABILITY) == 0)
		flag = &r->out->mapped_ram;
	else if (strcmp(name, CAP_IGNORE_SHARED) == 0)
		flag = &r->out->ignore_shared;
	else
		return fault_set(r->f, FAULT_UNSUPPORTED, r->at,
				 "unknown capability");
	if (*flag)
		return fault_set(r->f, FAULT_BAD, r->at,
				 "capability listed twice");
	*flag = true;
	r->at += (size_t)n;
	return 0;
}

static int read_capabilities(struct config_reader *r)
{
	uint32_t i, count;

	if (r->out->has_capabilities)
		return fault_set(r->f, FAULT_BAD, r->at,
				 "capabilities given twice");
	r->out->has_capabilities = true;
	if (need(r, 4))
		return -1;
	count = get_be32(r->buf + r->at);
	if (count > CAPABILITIES_LIMIT)
		return fault_value(r->f, FAULT_UNSUPPORTED, r->at,
				   "too many capabilities", count);
	r->at += 4;
	for (i = 0; i < count; i++)
		if (read_capability(r))
			return -1;
	return 0;
}

static int read_uuid(struct config_reader *r)
{
	if (r->out->has_uuid)
		return fault_set(r->f, FAULT_BAD, r->at, "uuid given twice");
	if (need(r, sizeof(r->out->uuid)))
		return -1;
	memcpy(r->out->uuid, r->buf + r->at, sizeof(r->out->uuid));
	r->out->has_uuid = true;
	r->at += sizeof(r->out->uuid);
	return 0;
}

static const struct {
	const char *name;
	int (*read)(struct config_reader *r);
} subsections[] = {
	{ SUB_PAGE_BITS, read_page_bits },
	{ SUB_CAPABILITIES, read_capabilities },
	{ SUB_UUID, read_uuid },
};

/* Whether a subsection of the configuration begins at r->at: QEMU peeks at
 * type, length and the parent's name, and takes anything else for the end.
 * 1, 0, or -1 where the buffer ends too early to say. */
static int peek_subsection(struct config_reader *r)
{
	static const size_t parent = sizeof(CONFIGURATION) - 1;
	size_t n;

	if (need(r, 1))
		return -1;
	if (r->buf[r->at] != STREAM_SUBSECTION)
		return 0;
	if (need(r, 2))
		return -1;
	n = r->buf[r->at + 1];
	if (n < parent + 1)
		return 0;
	if (need(r, 2 + n))
		return -1;
	return memcmp(r->buf + r->at + 2, CONFIGURATION, parent) == 0;
}

static int read_subsection(struct config_reader *r)
{
	char name[NAME_SIZE];
	size_t i, at = r->at;
	ssize_t n = name_decode(r->buf, r->len, at + 1, name, r->f);
	uint32_t version;

	if (n < 0)
		return -1;
	r->at += 1 + (size_t)n;
	if (need(r, 4))
		return -1;
	version = get_be32(r->buf + r->at);
	for (i = 0; i < sizeof(subsections) / sizeof(subsections[0]); i++) {
		if (strcmp(name, subsections[i].name) != 0)
			continue;
		if (version != SUB_VERSION)
			return fault_value(r->f, FAULT_UNSUPPORTED, r->at,
					   "unknown subsection version",
					   version);
		r->at += 4;
		return subsections[i].read(r);
	}
	return fault_set(r->f, FAULT_UNSUPPORTED, at,
			 "unknown configuration subsection");
}

static int read_machine(struct config_reader *r)
{
	uint32_t n;

	if (need(r, 1))
		return -1;
	if (r->buf[0] != STREAM_CONFIG)
		return fault_value(r->f, FAULT_BAD, 0,
				   "configuration section missing", r->buf[0]);
	if (need(r, 5))
		return -1;
	n = get_be32(r->buf + 1);
	if (n > NAME_MAX_LEN)
		return fault_value(r->f, FAULT_BAD, 1,
				   "machine type name too long", n);
	r->at = 5;
	if (need(r, n))
		return -1;
	if (!name_is_text((const char *)r->buf + r->at, n))
		return fault_set(r->f, FAULT_BAD, r->at,
				 "machine type name is not text");
	memcpy(r->out->machine, r->buf + r->at, n);
	r->out->machine[n] = '\0';
	r->at += n;
	return 0;
}

ssize_t stream_config_decode(const uint8_t *buf, size_t len,
			     struct stream_config *out, struct fault *f)
{
	struct config_reader r = { .buf = buf, .len = len, .out = out, .f = f };
	int more;

	*out = (struct stream_config){ .target_page_bits = 0 };
	if (read_machine(&r))
		return -1;
	while ((more = peek_subsection(&r)) > 0)
		if (read_subsection(&r))
			return -1;
	return more < 0 ? -1 : (ssize_t)r.at;
}

static size_t put_subsection(uint8_t *p, const char *name)
{
	size_t n = 1 + name_encode(p + 1, name);

	p[0] = STREAM_SUBSECTION;
	put_be32(p + n, SUB_VERSION);
	return n + 4;
}

size_t stream_config_encode(uint8_t buf[STREAM_CONFIG_MAX],
			    const struct stream_config *c)
{
	size_t n = strlen(c->machine);
	uint8_t *p = buf;

	*p = STREAM_CONFIG;
	put_be32(p + 1, (uint32_t)n);
	memcpy(p + 5, c->machine, n);
	p += 5 + n;
	if (c->target_page_bits) {
		p += put_subsection(p, SUB_PAGE_BITS);
		put_be32(p, c->target_page_bits);
		p += 4;
	}
	if (c->ignore_shared || c->mapped_ram) {
		p += put_subsection(p, SUB_CAPABILITIES);
		put_be32(p, (uint32_t)c->ignore_shared + c->mapped_ram);
		p += 4;
		if (c->ignore_shared)
			p += name_encode(p, CAP_IGNORE_SHARED);
		if (c->mapped_ram)
			p += name_encode(p, MAPPED_RAM_CAPABILITY);
	}
	if (c->has_uuid) {
		p += put_subsection(p, SUB_UUID);
		memcpy(p, c->uuid, sizeof(c->uuid));
		p += sizeof(c->uuid);
	}
	return (size_t)(p - buf);
}

/* ---- commands ---- */

/* Length: what QEMU's table or the command's own handler takes. */
static const struct {
	const char *name;
	uint16_t least, most;
} commands[] = {
	[STREAM_CMD_OPEN_RETURN_PATH] = { "open-return-path", 0, 0 },
	[STREAM_CMD_PING] = { "ping", 4, 4 },
	[STREAM_CMD_POSTCOPY_ADVISE] = { "postcopy-advise", 0, 16 },
	[STREAM_CMD_POSTCOPY_LISTEN] = { "postcopy-listen", 0, 0 },
	[STREAM_CMD_POSTCOPY_RUN] = { "postcopy-run", 0, 0 },
	/* version, name of 1, 0, one range of two u64 */
	[STREAM_CMD_POSTCOPY_RAM_DISCARD] = { "postcopy-ram-discard",
					      1 + 2 + 1 + 16, UINT16_MAX },
	[STREAM_CMD_PACKAGED] = { "packaged", 4, 4 },
	[STREAM_CMD_ENABLE_COLO] = { "enable-colo", 0, 0 },
	[STREAM_CMD_POSTCOPY_RESUME] = { "postcopy-resume", 0, 0 },
	[STREAM_CMD_RECV_BITMAP] = { "recv-bitmap", 2, 256 },
	[STREAM_CMD_SWITCHOVER_START] = { "switchover-start", 0, 0 },
};

const char *stream_command_name(unsigned int command)
{
	if (command >= sizeof(commands) / sizeof(commands[0]))
		return NULL;
	return commands[command].name; /* NULL for 0 */
}

/* Whether QEMU takes the command, which there is, with so many bytes. */
static bool command_length_ok(unsigned int command, size_t length)
{
	if (command == STREAM_CMD_POSTCOPY_ADVISE)
		return length == 0 || length == 16;
	return length >= commands[command].least &&
	       length <= commands[command].most;
}

ssize_t stream_advise_decode(const uint8_t *buf, size_t len,
			     struct stream_advise *out, struct fault *f)
{
	if (len < 16)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside a postcopy advise");
	out->block_page_sizes = get_be64(buf);
	out->target_page_size = get_be64(buf + 8);
	return 16;
}

/* Digits at *s, which it passes; at most 255; -1: there are none. */
static int take_number(const char **s)
{
	int n = -1;

	for (; **s >= '0' && **s <= '9' && n < 256; ++*s)
		n = (n < 0 ? 0 : n * 10) + (**s - '0');
	return n > 255 ? -1 : n;
}

unsigned int stream_machine_version(const char *machine)
{
	const char *s = strrchr(machine, '-');
	int major, minor;

	if (!s)
		return 0;
	s++;
	major = take_number(&s);
	if (major < 0 || *s++ != '.')
		return 0;
	minor = take_number(&s);
	/* Of 4.0.1 and the like the first two count. */
	if (minor < 0 || (*s && *s != '.'))
		return 0;
	return (unsigned int)major * 256 + (unsigned int)minor;
}

/* ---- elements ---- */

static int short_element(struct fault *f, size_t len)
{
	return fault_set(f, FAULT_SHORT, len, "ends inside an element");
}

/* START and FULL, after the type byte. */
static ssize_t decode_section(const uint8_t *buf, size_t len,
			      struct stream_element *out, struct fault *f)
{
	ssize_t n;
	size_t at;

	if (len < 5)
		return short_element(f, len);
	out->section_id = get_be32(buf + 1);
	n = name_decode(buf, len, 5, out->idstr, f);
	if (n < 0)
		return -1;
	at = 5 + (size_t)n;
	if (len - at < 8)
		return short_element(f, len);
	out->instance_id = get_be32(buf + at);
	out->version_id = get_be32(buf + at + 4);
	return (ssize_t)at + 8;
}

static ssize_t decode_command(const uint8_t *buf, size_t len,
			      struct stream_element *out, struct fault *f)
{
	if (len < 5)
		return short_element(f, len);
	out->command = get_be16(buf + 1);
	out->length = get_be16(buf + 3);
	if (!stream_command_name(out->command))
		return fault_value(f, FAULT_UNSUPPORTED, 1, "unknown command",
				   out->command);
	if (!command_length_ok(out->command, out->length))
		return fault_value(f, FAULT_BAD, 3,
				   "wrong length for the command", out->length);
	return 5;
}

ssize_t stream_element_decode(const uint8_t *buf, size_t len,
			      struct stream_element *out, struct fault *f)
{
	if (len < 1)
		return short_element(f, len);
	*out = (struct stream_element){ .type = buf[0] };
	switch (buf[0]) {
	case STREAM_EOF:
		return 1;
	case STREAM_START:
	case STREAM_FULL:
		return decode_section(buf, len, out, f);
	case STREAM_PART:
	case STREAM_END:
	case STREAM_FOOTER:
		if (len < 5)
			return short_element(f, len);
		out->section_id = get_be32(buf + 1);
		return 5;
	case STREAM_VMDESC:
		if (len < STREAM_VMDESC_HEADER_SIZE)
			return short_element(f, len);
		out->length = get_be32(buf + 1);
		return STREAM_VMDESC_HEADER_SIZE;
	case STREAM_COMMAND:
		return decode_command(buf, len, out, f);
	default:
		return fault_value(f, FAULT_BAD, 0, "unexpected element type",
				   buf[0]);
	}
}

static size_t encode_section(uint8_t *buf, const struct stream_element *e)
{
	size_t n = 5;

	put_be32(buf + 1, e->section_id);
	n += name_encode(buf + n, e->idstr);
	put_be32(buf + n, e->instance_id);
	put_be32(buf + n + 4, e->version_id);
	return n + 8;
}

size_t stream_element_encode(uint8_t buf[STREAM_ELEMENT_MAX],
			     const struct stream_element *e)
{
	buf[0] = (uint8_t)e->type;
	switch (e->type) {
	case STREAM_START:
	case STREAM_FULL:
		return encode_section(buf, e);
	case STREAM_PART:
	case STREAM_END:
	case STREAM_FOOTER:
		put_be32(buf + 1, e->section_id);
		return 5;
	case STREAM_VMDESC:
		return stream_vmdesc_encode(buf, e->length);
	case STREAM_COMMAND:
		put_be16(buf + 1, e->command);
		put_be16(buf + 3, (uint16_t)e->length);
		return 5;
	case STREAM_EOF:
	case STREAM_SUBSECTION:
	case STREAM_CONFIG:
		break;
	}
	return 1;
}

ssize_t stream_footer_decode(const uint8_t *buf, size_t len,
			     uint32_t section_id, struct fault *f)
{
	if (len > 0 && buf[0] != STREAM_FOOTER)
		return fault_value(f, FAULT_BAD, 0, "section footer missing",
				   buf[0]);
	if (len < STREAM_FOOTER_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends before a section footer");
	if (get_be32(buf + 1) != section_id)
		return fault_value(f, FAULT_BAD, 1,
				   "section footer has another id",
				   get_be32(buf + 1));
	return STREAM_FOOTER_SIZE;
}

size_t stream_footer_encode(uint8_t buf[STREAM_FOOTER_SIZE],
			    uint32_t section_id)
{
	buf[0] = STREAM_FOOTER;
	put_be32(buf + 1, section_id);
	return STREAM_FOOTER_SIZE;
}

size_t stream_vmdesc_encode(uint8_t buf[STREAM_VMDESC_HEADER_SIZE],
			    uint32_t json_len)
{
	buf[0] = STREAM_VMDESC;
	put_be32(buf + 1, json_len);
	return STREAM_VMDESC_HEADER_SIZE;
}

const char *stream_type_name(unsigned int type)
{
	switch (type) {
	case STREAM_EOF:
		return "eof";
	case STREAM_START:
		return "start";
	case STREAM_PART:
		return "part";
	case STREAM_END:
		return "end";
	case STREAM_FULL:
		return "full";
	case STREAM_SUBSECTION:
		return "subsection";
	case STREAM_VMDESC:
		return "vmdescription";
	case STREAM_CONFIG:
		return "configuration";
	case STREAM_COMMAND:
		return "command";
	case STREAM_FOOTER:
		return "footer";
	default:
		return NULL;
	}
}

/* ---- globalstate ---- */

/* Offsets in the payload. */
enum {
	AT_RUNSTATE = 4,
	AT_HAS_SUSPENDED = AT_RUNSTATE + STREAM_RUNSTATE_SIZE,
	AT_SUSPENDED,
};

ssize_t stream_globalstate_decode(const uint8_t *buf, size_t len,
				  struct stream_globalstate *out,
				  struct fault *f)
{
	uint32_t size;

	if (len < STREAM_GLOBALSTATE_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the global state");
	size = get_be32(buf);
	if (size == 0 || size > STREAM_RUNSTATE_SIZE)
		return fault_value(f, FAULT_BAD, 0,
				   "run state length out of range", size);
	if (buf[AT_RUNSTATE + size - 1] != '\0' ||
	    !name_is_text((const char *)buf + AT_RUNSTATE, size - 1))
		return fault_set(f, FAULT_BAD, AT_RUNSTATE,
				 "run state is not text of its length");
	if (buf[AT_HAS_SUSPENDED] > 1 || buf[AT_SUSPENDED] > 1)
		return fault_set(f, FAULT_BAD, AT_HAS_SUSPENDED,
				 "suspended flag is not 0 or 1");
	*out = (struct stream_globalstate){
		.has_vm_was_suspended = buf[AT_HAS_SUSPENDED],
		.vm_was_suspended = buf[AT_SUSPENDED],
	};
	memcpy(out->runstate, buf + AT_RUNSTATE, size);
	return STREAM_GLOBALSTATE_SIZE;
}

size_t stream_globalstate_encode(uint8_t buf[STREAM_GLOBALSTATE_SIZE],
				 const struct stream_globalstate *g)
{
	size_t size = strlen(g->runstate) + 1;

	memset(buf, 0, STREAM_GLOBALSTATE_SIZE);
	put_be32(buf, (uint32_t)size);
	memcpy(buf + AT_RUNSTATE, g->runstate, size);
	buf[AT_HAS_SUSPENDED] = g->has_vm_was_suspended;
	buf[AT_SUSPENDED] = g->vm_was_suspended;
	return STREAM_GLOBALSTATE_SIZE;
}

/* Whether the wanted header, payload and footer lie at p. */
static bool full_at(const uint8_t *p, size_t len,
		    const struct stream_element *want, size_t payload_len,
		    size_t *header_len)
{
	struct stream_element e;
	struct fault f;
	ssize_t n = stream_element_decode(p, len, &e, &f);

	if (n < 0 || e.type != STREAM_FULL ||
	    e.instance_id != want->instance_id ||
	    e.version_id != want->version_id ||
	    strcmp(e.idstr, want->idstr) != 0)
		return false;
	*header_len = (size_t)n;
	len -= (size_t)n;
	return len >= payload_len &&
	       stream_footer_decode(p + n + payload_len, len - payload_len,
				    e.section_id, &f) > 0;
}

size_t stream_find_full(const uint8_t *buf, size_t len, const char *idstr,
			uint32_t instance_id, uint32_t version_id,
			size_t payload_len, size_t *payload)
{
	struct stream_element want = {
		.instance_id = instance_id,
		.version_id = version_id,
	};
	size_t n = strlen(idstr), found = 0, header_len;
	const uint8_t *p = buf, *end = buf + len;

	if (n > NAME_MAX_LEN)
		return 0;
	memcpy(want.idstr, idstr, n);
	for (; p < end; p++) {
		p = memchr(p, STREAM_FULL, (size_t)(end - p));
		if (!p)
			break;
		if (full_at(p, (size_t)(end - p), &want, payload_len,
			    &header_len) &&
		    found++ == 0)
			*payload = (size_t)(p - buf) + header_len;
	}
	return found;
}
