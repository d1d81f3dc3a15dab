/*
 * guest_view.c - shared memory in place: to be written from without a copy.
 *
 * Our mapping of a hole would allocate it, in the guest and perhaps out of a
 * pool that has no more to give. Of shmem guest_touched knows the holes. Of
 * hugetlbfs nobody does (SEEK_DATA says that all is data), but a page that
 * the QEMU process has mapped is there: only such pages are given out.
 */
#include "formats/bits.h"
#include "libmr/vm/guest.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static bool wanted(const struct guest_segment *s, bool all)
{
	if (s->fd < 0)
		return false;
	return s->kind == GUEST_HUGETLB_SHARED ||
	       (all && (s->kind == GUEST_SHMEM_SHARED ||
			s->kind == GUEST_FILE_SHARED));
}

bool guest_view(struct guest *g, bool all)
{
	bool huge = false;

	for (size_t i = 0; i < g->n_blocks; i++) {
		struct guest_block *b = &g->blocks[i];

		for (size_t k = 0; k < b->n_segments; k++) {
			struct guest_segment *s = &b->segments[k];
			void *view;

			if (s->view || !wanted(s, all))
				continue;
			view = mmap(NULL, s->length, PROT_READ, MAP_SHARED,
				    s->fd, (off_t)s->file_offset);
			if (view == MAP_FAILED)
				continue;
			s->view = view;
			bus_guard_begin(&s->guard, view, s->length);
			if (s->kind == GUEST_HUGETLB_SHARED)
				huge = true;
		}
	}
	return huge;
}

/* Whether the process has the page at hva: it need not be made then. */
static bool has_page(const struct guest *g, uint64_t hva)
{
	uint64_t word, at = hva / (uint64_t)sysconf(_SC_PAGESIZE);
	ssize_t n;

	do
		n = pread(g->pagemap, &word, sizeof(word),
			  (off_t)(at * sizeof(word)));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(word) && word >> 63;
}

/* Those of the pages from hva on that touched has. */
static bool has_touched(const struct guest *g, const struct guest_block *b,
			uint64_t hva, size_t len, const uint64_t *touched)
{
	uint64_t pages = len / GUEST_PAGE, page = 0;

	while ((page = bits_next_set(touched, page, pages)) < pages) {
		uint64_t at = hva + page * GUEST_PAGE;

		if (!has_page(g, at))
			return false;
		page += (b->page_size - at % b->page_size) / GUEST_PAGE;
	}
	return true;
}

const void *guest_view_at(const struct guest *g, const struct guest_block *b,
			  uint64_t offset, size_t len, const uint64_t *touched)
{
	for (size_t i = 0; i < b->n_segments; i++) {
		const struct guest_segment *s = &b->segments[i];
		uint64_t at = offset - s->offset;

		if (offset < s->offset || at >= s->length)
			continue;
		if (!s->view || len > s->length - at)
			return NULL;
		if (s->kind == GUEST_HUGETLB_SHARED &&
		    (!b->page_size ||
		     !has_touched(g, b, s->hva + at, len, touched)))
			return NULL;
		return s->view + at;
	}
	return NULL;
}

void guest_view_done(const struct guest_block *b, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < b->n_segments; i++) {
		const struct guest_segment *s = &b->segments[i];
		uint64_t at = offset - s->offset;
		const unsigned char *from;

		if (offset < s->offset || at >= s->length || !s->view)
			continue;
		/* Huge pages are not counted as ours. */
		if (s->kind == GUEST_HUGETLB_SHARED)
			return;
		if (len > s->length - at)
			len = (size_t)(s->length - at);
		from = s->view + at;
		(void)madvise((void *)(uintptr_t)from, len, MADV_DONTNEED);
		return;
	}
}
