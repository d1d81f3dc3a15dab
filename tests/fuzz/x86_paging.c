/* Page tables: a walk through an input that is physical memory. */
#include "formats/x86_paging.h"
#include "tests/fuzz/fuzz.h"

struct place {
	const struct x86_paging *p;
	unsigned level;
	struct x86_paging_entry e;
};

static ssize_t run(void *arg, const uint8_t *buf, size_t len, struct fault *f)
{
	struct place *at = arg;

	return x86_paging_decode(at->p, at->level, buf, len, &at->e, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t cr0 = take_be(&in, 8), cr3 = take_be(&in, 8);
	uint64_t cr4 = take_be(&in, 8), efer = take_be(&in, 8);
	uint64_t va = take_be(&in, 8), table;
	struct x86_paging p;
	struct fault f;

	if (x86_paging_of(cr0, cr3, cr4, efer, &p, &f)) {
		check_fault(&f, 0);
		return 0;
	}
	must(p.levels >= 2 && p.levels <= X86_PAGING_LEVELS);
	must(p.root % 32 == 0);
	if (!x86_paging_reaches(&p, va))
		return 0;
	table = p.root;
	for (unsigned level = p.levels; level; level--) {
		uint64_t at = x86_paging_at(&p, level, table, va);
		struct place one = { .p = &p, .level = level };

		must(at >= table && at - table < 4096 && at % p.entry == 0);
		/* What is not there begins anew. */
		at = in.len ? at % in.len : 0;
		if (decode_exact(run, &one, in.p + at, in.len - at, &f) < 0) {
			check_fault(&f, in.len);
			return 0;
		}
		if (!one.e.present)
			return 0;
		if (one.e.page) {
			must(one.e.size >= 4096 && one.e.to % one.e.size == 0);
			must(one.e.to >> 52 == 0);
			return 0;
		}
		must(level > 1 && one.e.to % 4096 == 0);
		table = one.e.to;
	}
	must(false);
	return 0;
}
