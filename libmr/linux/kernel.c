/* kernel.c - a Linux kernel in a guest's memory. */
#include "libmr/linux/kernel.h"

#include <string.h>

#include "libmr/base/error.h"

/* struct new_utsname: texts of 65 bytes each; the third is the release. */
enum { UTS_TEXT = 65, UTS_RELEASE = 2 * UTS_TEXT };

static bool has_release(const struct kernel_memory *m, uint64_t gpa,
			const char *release)
{
	struct mr_error err = MR_ERROR_INIT;
	size_t len = strcspn(release, "\n");
	char buf[UTS_TEXT];
	struct mr_place p;

	return len < sizeof(buf) &&
	       !mr_layout_find(m->layout, gpa + UTS_RELEASE, &p, &err) &&
	       p.length >= sizeof(buf) &&
	       !m->read(m->arg, p.block, p.offset, buf, sizeof(buf), &err) &&
	       !memcmp(buf, release, len) && !buf[len];
}

static bool is_running(const struct kernel_memory *m,
		       const struct vmcoreinfo *v)
{
	const char *release = vmcoreinfo_get(v, "OSRELEASE");
	uint64_t uts, base, name = 0;
	bool told;

	if (!vmcoreinfo_number(v, "SYMBOL(init_uts_ns)", true, &uts) ||
	    !vmcoreinfo_number(v, "NUMBER(phys_base)", false, &base))
		return false;
	told = vmcoreinfo_number(v, "OFFSET(uts_namespace.name)", false, &name);
	uts = uts - KERNEL_X86 + base;
	/* Before 5.11 it was not told, and a counter came first. */
	return has_release(m, uts + name, release) ||
	       (!told && has_release(m, uts + 4, release));
}

const struct vmcoreinfo *kernel_running(const struct kernel_memory *m,
					const struct vmcoreinfo *found,
					size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_running(m, &found[i]))
			return &found[i];
	return NULL;
}

int kernel_paging(const struct vmcoreinfo *v, struct mr_paging *out,
		  struct mr_error *err)
{
	uint64_t tables, base, five = 0;

	if (!vmcoreinfo_number(v, "SYMBOL(swapper_pg_dir)", true, &tables) ||
	    !vmcoreinfo_number(v, "NUMBER(phys_base)", false, &base) ||
	    tables < KERNEL_X86)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "its kernel does not tell where its page "
				 "tables are, as those of x86_64 do");
	(void)vmcoreinfo_number(v, "NUMBER(pgtable_l5_enabled)", false, &five);
	*out = mr_paging_long(tables - KERNEL_X86 + base, five == 1);
	return 0;
}

int kernel_read(const struct kernel_memory *m, const struct mr_paging *p,
		uint64_t va, void *buf, size_t len, struct mr_error *err)
{
	unsigned char *to = buf;

	for (size_t n; len; va += n, to += n, len -= n) {
		struct mr_virtual v;

		if (mr_virtual_find(p, m->layout, m->read, m->arg, va, &v, err))
			return -1;
		n = v.place.length < len ? (size_t)v.place.length : len;
		if (m->read(m->arg, v.place.block, v.place.offset, to, n, err))
			return -1;
	}
	return 0;
}
