/* The stream's container; the first byte says which decoder. */
#include "formats/stream.h"
#include "tests/fuzz/fuzz.h"

/* ---- header, footer, advise ---- */

static ssize_t run_header(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	(void)arg;
	return stream_header_decode(buf, len, f);
}

static void header(struct input *in)
{
	uint8_t back[STREAM_HEADER_SIZE];

	if (decode(in, run_header, NULL, 0) < 0)
		return;
	must(stream_header_encode(back) == STREAM_HEADER_SIZE);
	must(!memcmp(back, in->p, sizeof(back)));
}

static ssize_t run_footer(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return stream_footer_decode(buf, len, *(const uint32_t *)arg, f);
}

static void footer(struct input *in)
{
	uint32_t id = (uint32_t)take_be(in, 4);
	uint8_t back[STREAM_FOOTER_SIZE];

	if (decode(in, run_footer, &id, 0) < 0)
		return;
	must(stream_footer_encode(back, id) == STREAM_FOOTER_SIZE);
	must(!memcmp(back, in->p, sizeof(back)));
}

static ssize_t run_advise(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return stream_advise_decode(buf, len, arg, f);
}

static void advise(struct input *in)
{
	struct stream_advise a;

	(void)decode(in, run_advise, &a, 0);
}

/* ---- configuration ---- */

static ssize_t run_config(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f)
{
	return stream_config_decode(buf, len, arg, f);
}

/* What follows decides where the configuration ends: one byte does, unless it
 * is 05. The order of subsections, and an empty list of capabilities, are
 * lost. */
static void config(struct input *in)
{
	uint8_t back[STREAM_CONFIG_MAX + 1];
	struct stream_config c, d;
	struct input ahead = *in;
	struct fault f;
	ssize_t first;
	size_t n;

	(void)take_8(&ahead); /* which is decode's */
	first = decode_exact(run_config, &c, ahead.p, ahead.len, &f);
	if (first >= 0 && ahead.p[first] == STREAM_SUBSECTION)
		return;
	if (decode(in, run_config, &c, 1) < 0)
		return;
	must(name_is_text(c.machine, strlen(c.machine)));
	must(!c.target_page_bits ||
	     (c.target_page_bits >= 10 && c.target_page_bits <= 16));
	n = stream_config_encode(back, &c);
	must(n <= STREAM_CONFIG_MAX);
	back[n] = STREAM_EOF;
	must(stream_config_decode(back, n + 1, &d, &f) == (ssize_t)n);
	must(!strcmp(c.machine, d.machine));
	must(c.mapped_ram == d.mapped_ram);
	must(c.ignore_shared == d.ignore_shared);
	must(c.target_page_bits == d.target_page_bits);
	must(c.has_uuid == d.has_uuid);
	must(!memcmp(c.uuid, d.uuid, sizeof(c.uuid)));
}

/* ---- elements ---- */

static ssize_t run_element(void *arg, const uint8_t *buf, size_t len,
			   struct fault *f)
{
	return stream_element_decode(buf, len, arg, f);
}

static void element(struct input *in)
{
	uint8_t back[STREAM_ELEMENT_MAX];
	struct stream_element e;
	ssize_t n = decode(in, run_element, &e, 0);

	if (n < 0)
		return;
	must(n <= STREAM_ELEMENT_MAX);
	must(stream_type_name(e.type));
	if (e.type == STREAM_COMMAND)
		must(stream_command_name(e.command));
	must(stream_element_encode(back, &e) == (size_t)n);
	must(!memcmp(back, in->p, (size_t)n));
}

/* ---- globalstate, and sections found by their bytes ---- */

static ssize_t run_globalstate(void *arg, const uint8_t *buf, size_t len,
			       struct fault *f)
{
	return stream_globalstate_decode(buf, len, arg, f);
}

static void globalstate(struct input *in)
{
	uint8_t back[STREAM_GLOBALSTATE_SIZE];
	struct stream_globalstate g;

	if (decode(in, run_globalstate, &g, 0) < 0)
		return;
	must(strlen(g.runstate) < sizeof(g.runstate));
	must(name_is_text(g.runstate, strlen(g.runstate)));
	must(stream_globalstate_encode(back, &g) == sizeof(back));
	must(!memcmp(back, in->p, 5 + strlen(g.runstate)));
	must(back[36] == in->p[36] && back[37] == in->p[37]);
}

static void find_full(struct input *in)
{
	struct stream_element e = { .type = STREAM_FULL, .idstr = "d" };
	size_t payload_len = take_8(in), payload, n;
	uint8_t *copy = malloc(in->len ? in->len : 1);
	ssize_t head;
	struct fault f;

	must(copy);
	if (in->len)
		memcpy(copy, in->p, in->len);
	n = stream_find_full(copy, in->len, e.idstr, 0, 1, payload_len,
			     &payload);
	if (n) {
		must(payload >= 15);
		must(payload_len <= in->len - payload);
		head = stream_element_decode(copy + payload - 15, 15, &e, &f);
		must(head == 15 && e.type == STREAM_FULL);
		must(stream_footer_decode(copy + payload + payload_len,
					  in->len - payload - payload_len,
					  e.section_id,
					  &f) == STREAM_FOOTER_SIZE);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct input * in) = {
		header, footer, advise, config, element, globalstate, find_full,
	};
	struct input in = { data, size };

	targets[take_8(&in) % (sizeof(targets) / sizeof(targets[0]))](&in);
	return 0;
}
