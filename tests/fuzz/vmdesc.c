/* Fields of device state, and the registers of an x86 CPU. */
#include "formats/vmdesc.h"
#include "tests/fuzz/fuzz.h"

struct value_arg {
	struct vmdesc_type type;
	size_t size;
	struct vmdesc_value value;
};

static ssize_t run_value(void *arg, const uint8_t *buf, size_t len,
			 struct fault *f)
{
	struct value_arg *a = arg;

	return vmdesc_value_decode(buf, len, a->size, a->type, &a->value, f);
}

static void value(struct input *in)
{
	static const char *const names[] = {
		"int8",	   "int16",	  "int32",	"int64",
		"uint8",   "uint16",	  "uint32",	"uint64",
		"bool",	   "int32 equal", "int32 le",	"int64 equal",
		"timer",   "float64",	  "buffer",	"capability",
		"nullptr", "bitmap",	  "pci config", "struct",
	};
	struct value_arg a = {
		.type = vmdesc_type_of(
			names[take_8(in) % (sizeof(names) / sizeof(names[0]))])
	};
	ssize_t n;

	a.size = a.type.width && take_8(in) ? a.type.width : take_be(in, 2);
	n = decode(in, run_value, &a, 0);
	if (n < 0)
		return;
	must((size_t)n == a.size && a.value.width == a.size);
	must(a.value.kind == a.type.kind);
	if (a.value.kind == VMDESC_CAPABILITY)
		must(strlen(a.value.text) + 1 == a.size);
	if (a.value.kind == VMDESC_BOOL)
		must(a.value.u <= 1);
}

static ssize_t run_cpu(void *arg, const uint8_t *buf, size_t len,
		       struct fault *f)
{
	return vmdesc_x86_cpu_decode(buf, len, arg, f);
}

static void cpu(struct input *in)
{
	struct vmdesc_x86_cpu c;

	if (decode(in, run_cpu, &c, 0) < 0)
		return;
	for (size_t i = 0; vmdesc_x86_fields[i].name; i++)
		must(vmdesc_x86_fields[i].offset + vmdesc_x86_fields[i].size <=
		     VMDESC_X86_CPU_SIZE);
	must(c.rip == get_be64(in->p + 128));
	must(c.regs[VMDESC_RSP] == get_be64(in->p + 32));
	must(c.cr3 == get_be64(in->p + 472));
}

static void type_name(struct input *in)
{
	char name[64];
	struct vmdesc_type t;

	take_text(in, name, sizeof(name) - 1);
	t = vmdesc_type_of(name);
	must(t.kind <= VMDESC_STRUCT && t.width <= 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t what = take_8(&in);

	if (what == 0)
		cpu(&in);
	else if (what == 1)
		type_name(&in);
	else
		value(&in);
	return 0;
}
