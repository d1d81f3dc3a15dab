/* vm_test.c - the memory of a VM: what its pages are, whatever the host's. */
#include "tests/libmr/unit.h"

#include <sys/mman.h>

#include "formats/bits.h"
#include "libmr/memory/memory.h"
#include "libmr/vm/guest.h"

enum { PAGES = 64, SIZE = PAGES * GUEST_PAGE };

/* This process, in which every fifth page was touched. */
static struct guest *start(unsigned char **at)
{
	struct guest_block b = { .name = "ram",
				 .page_size = GUEST_PAGE,
				 .used = SIZE,
				 .total = SIZE,
				 .migratable = true };
	struct mr_error err = MR_ERROR_INIT;
	struct guest *g;

	*at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(*at != MAP_FAILED);
	(void)madvise(*at, SIZE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i += 5)
		(*at)[i * GUEST_PAGE] = 1;
	b.hva = (uintptr_t)*at;
	g = guest_new(getpid(), &b, 1, &err);
	assert_non_null(g);
	assert_int_equal(guest_map(g, &err), 0);
	return g;
}

static void counted_in(struct guest *g, uint32_t page, size_t want)
{
	struct mr_error err = MR_ERROR_INIT;
	uint64_t bits[SIZE / 256 / 64] = { 0 };
	struct memory *m;
	size_t unit;

	g->target.page_size = page;
	m = memory_of_guest(g, MR_ZERO_COPY_OFF, &err);
	assert_non_null(m);
	assert_int_equal(m->target_page, page);
	unit = memory_unit(m);
	assert_int_equal(unit, page ? page : GUEST_PAGE);
	assert_int_equal(memory_touched(m, &m->blocks[0], unit, 0, SIZE / unit,
					bits, &err),
			 0);
	assert_int_equal(bits_count(bits, 0, SIZE / unit), want);
	memory_free(m);
}

static void pages_of_the_target(void **state)
{
	unsigned char *at;
	struct guest *g = start(&at);

	(void)state;
	counted_in(g, 0, 13); /* it does not tell */
	counted_in(g, 4096, 13);
	counted_in(g, 256, 13 * 16);
	counted_in(g, 1024, 13 * 4);
	counted_in(g, 8192, 13);
	counted_in(g, 16384, 13);
	counted_in(g, 65536, 4);
	guest_free(g);
	assert_int_equal(munmap(at, SIZE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_of_the_target),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
