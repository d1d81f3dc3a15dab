/*
 * target.c - architecture and page size.
 *
 * QMP has no question for the size of a target's pages, and it is not a matter
 * of the architecture alone: arm has boards with 1 KiB and boards with 4 KiB.
 * But QEMU refuses a cache for XBZRLE that is smaller than a page, after that
 * an announcement time of more than 100 s, and changes no parameter unless it
 * takes all of them. So a command with both can only be refused, and by what
 * it is refused for it tells whether the one is smaller than a page.
 */
#include "libmr/vm/target.h"

#include <string.h>

#include "formats/mapped_ram.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/qmp.h"

/* The first is what nearly all have. */
#define USUAL_PAGE 4096u
#define NO_ANNOUNCEMENT 100001

static const struct {
	const char *arch;
	uint32_t least;
	enum vm_target_state state;
} known[] = {
	{ "aarch64", 1024, VM_TARGET_PLAIN },
	{ "alpha", 8192, VM_TARGET_PLAIN },
	{ "arm", 1024, VM_TARGET_PLAIN },
	{ "avr", 256, VM_TARGET_PLAIN },
	/* 10.0.2: SIGSEGV, by xen-save-devices-state and by migrate. */
	{ "hppa", 4096, VM_TARGET_FATAL },
	{ "i386", 4096, VM_TARGET_PLAIN },
	{ "loongarch64", 4096, VM_TARGET_PLAIN },
	{ "m68k", 4096, VM_TARGET_PLAIN },
	{ "microblaze", 4096, VM_TARGET_PLAIN },
	{ "microblazeel", 4096, VM_TARGET_PLAIN },
	{ "mips", 4096, VM_TARGET_OTHER },
	{ "mips64", 4096, VM_TARGET_OTHER },
	{ "mips64el", 4096, VM_TARGET_OTHER },
	{ "mipsel", 4096, VM_TARGET_OTHER },
	{ "or1k", 8192, VM_TARGET_PLAIN },
	/* The hash table of pages goes in rounds, as RAM does. */
	{ "ppc", 4096, VM_TARGET_OTHER },
	{ "ppc64", 4096, VM_TARGET_OTHER },
	{ "riscv32", 4096, VM_TARGET_PLAIN },
	{ "riscv64", 4096, VM_TARGET_PLAIN },
	{ "rx", 4096, VM_TARGET_PLAIN },
	/* So do storage attributes. */
	{ "s390x", 4096, VM_TARGET_OTHER },
	{ "sh4", 4096, VM_TARGET_OTHER },
	{ "sh4eb", 4096, VM_TARGET_OTHER },
	{ "sparc", 4096, VM_TARGET_OTHER },
	{ "sparc64", 8192, VM_TARGET_OTHER },
	{ "tricore", 16384, VM_TARGET_PLAIN },
	{ "x86_64", 4096, VM_TARGET_PLAIN },
	{ "xtensa", 4096, VM_TARGET_OTHER },
	{ "xtensaeb", 4096, VM_TARGET_OTHER },
};

/* Whether QEMU's pages have at most that many bytes: 1, 0; -1: it gave no
 * answer to that, and *err is filled if it gave none at all. */
static int at_most(struct qmp *q, uint32_t size, struct mr_error *err)
{
	struct ask_setting cache = { .name = "xbzrle-cache-size",
				     .kind = ASK_NUMBER,
				     .number = size };
	struct ask_setting announce = { .name = "announce-initial",
					.kind = ASK_NUMBER,
					.number = NO_ANNOUNCEMENT };
	struct ask_settings both = { .n = 0 };
	struct mr_error e = MR_ERROR_INIT;

	if (ask_settings_add(&both, &cache) ||
	    ask_settings_add(&both, &announce) ||
	    !ask_set_parameters(q, &both, &e))
		return -1;
	if (e.code != MR_QMP || qmp_broken(q)) {
		*err = e;
		return -1;
	}
	if (strstr(e.msg, "xbzrle"))
		return 0;
	return strstr(e.msg, "announce") ? 1 : -1;
}

/* The least size that is no less than a page. */
static int ask_page_size(struct vm_target *t, struct qmp *q,
			 struct mr_error *err)
{
	uint32_t size = USUAL_PAGE;
	int fits = at_most(q, size, err), less = fits;

	while (fits == 0 && size < MAPPED_RAM_PAGE_MAX)
		fits = at_most(q, size *= 2, err);
	while (fits > 0 && less > 0 && size >= MAPPED_RAM_PAGE_MIN) {
		less = at_most(q, size / 2, err);
		size = less > 0 ? size / 2 : size;
	}
	/* What no page is smaller than says that the answers mean nothing. */
	if (fits > 0 && less == 0)
		t->page_size = size;
	return err->code == MR_OK ? 0 : -1;
}

int target_ask(struct vm_target *t, struct qmp *q, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	*t = (struct vm_target){ .page_size = 0 };
	if (ask_target(q, t->arch, err))
		return -1;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i].arch, t->arch)) {
			t->page_least = known[i].least;
			t->state = known[i].state;
		}
	if (!ask_page_size(t, q, &why))
		return 0;
	*err = why;
	return -1;
}

unsigned int target_page_bits(const struct vm_target *t)
{
	if (!t->page_size || t->page_size == t->page_least)
		return 0;
	return (unsigned int)__builtin_ctz(t->page_size);
}
