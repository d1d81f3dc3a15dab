/* A kernel's messages: shapes, and the buffers that are so shaped. */
#include "formats/printk.h"
#include "tests/fuzz/fuzz.h"

struct ring_arg {
	struct printk_ring_shape shape;
	struct printk_ring ring;
};

static ssize_t run_ring(void *arg, const uint8_t *buf, size_t len,
			struct fault *f)
{
	struct ring_arg *a = arg;

	return printk_ring_decode(&a->shape, buf, len, &a->ring, f);
}

/* What is left of the input, from its start again and again: exactly len. */
static uint8_t *take_buffer(struct input *in, uint64_t len)
{
	uint8_t *to = malloc(len ? (size_t)len : 1);

	must(to);
	for (uint64_t i = 0; i < len; i++)
		to[i] = in->len ? in->p[i % in->len] : 0;
	return to;
}

static void check_record(const struct printk_record *r, const uint8_t *buf,
			 uint64_t len)
{
	must(r->text >= buf && r->text <= buf + len);
	must(r->len <= (size_t)(buf + len - r->text));
}

static void records(struct input *in, const struct ring_arg *a)
{
	const struct printk_ring *r = &a->ring;
	uint8_t *data = take_buffer(in, r->size);
	uint8_t *descs =
		take_buffer(in, r->records * a->shape.of[PRINTK_DESC_SIZE]);
	uint8_t *infos =
		take_buffer(in, r->records * a->shape.of[PRINTK_INFO_SIZE]);
	const struct printk_arrays arrays = { descs, infos, data };
	struct printk_record m;

	for (uint64_t i = 0; i < r->ids; i++)
		if (printk_ring_record(&a->shape, r, &arrays, i, &m))
			check_record(&m, data, r->size);
	free(data);
	free(descs);
	free(infos);
}

static void ring(struct input *in)
{
	struct ring_arg a;
	struct fault f;
	ssize_t n;

	for (size_t i = 0; i < PRINTK_RING_KEYS; i++)
		a.shape.of[i] =
			take_8(in) % 250 == 249 ? take_be(in, 8) : take_8(in);
	if (printk_ring_check(&a.shape, &f)) {
		check_fault(&f, PRINTK_RING_KEYS);
		return;
	}
	n = decode(in, run_ring, &a, 0);
	if (n < 0)
		return;
	must((uint64_t)n == a.shape.of[PRINTK_RING_SIZE]);
	must(a.ring.ids && a.ring.ids <= a.ring.records);
	must(a.ring.size <= PRINTK_MAX && a.ring.records <= PRINTK_MAX);
	/* To fill more takes long and tells nothing new. */
	if (a.ring.size <= 4096 && a.ring.records <= 64)
		records(in, &a);
}

static void log_of(struct input *in)
{
	struct printk_log_reader r = { .wrapped = false };
	struct printk_log_shape s;
	struct printk_record m;
	uint64_t len, n = 0;
	struct fault f;
	uint8_t *buf;
	int rc;

	for (size_t i = 0; i < PRINTK_LOG_KEYS; i++)
		s.of[i] = take_8(in);
	if (printk_log_check(&s, &f)) {
		check_fault(&f, PRINTK_LOG_KEYS);
		return;
	}
	len = take_be(in, 2);
	r.at = take_be(in, 2);
	r.next = take_be(in, 2);
	buf = take_buffer(in, len);
	while ((rc = printk_log_next(&s, buf, (size_t)len, &r, &m, &f)) > 0) {
		check_record(&m, buf, len);
		must(++n <= 2 * len);
	}
	if (rc)
		check_fault(&f, (size_t)len);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (take_8(&in) & 1)
		log_of(&in);
	else
		ring(&in);
	return 0;
}
