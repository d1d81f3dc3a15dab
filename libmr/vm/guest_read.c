/*
 * guest_read.c - what of a VM's memory was touched, and reading it.
 *
 * See the table in guest.h. Private mappings of files are read from two
 * places: pages that the process has (its own copies among them) from the
 * process, all others from the file, so that reading never makes the process
 * fault anything in: a huge page of a pool may not be there to be had, and a
 * hole of a shmem file would be allocated.
 */
#include "formats/bits.h"
#include "libmr/vm/guest.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libmr/base/error.h"

/* ---- the kernel's page maps (linux/fs.h has the ioctl from 6.7 on) ---- */

#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_FILE (UINT64_C(1) << 61)

#define SCAN_FILE (UINT64_C(1) << 2)
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)
#define SCAN_PFNZERO (UINT64_C(1) << 5)

struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages,
		category_inverted, category_mask, category_anyof_mask,
		return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)

static uint64_t host_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- what was touched ---- */

/* Sets the bits of the pages that bytes [from, to) of a block lie in. */
static void set_bits(uint64_t *bitmap, uint64_t from, uint64_t to)
{
	uint64_t bit = from / GUEST_PAGE;
	uint64_t end = (to + GUEST_PAGE - 1) / GUEST_PAGE;

	while (bit < end) {
		uint64_t low = bit % 64, n = min_u64(64 - low, end - bit);
		uint64_t ones = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;

		bitmap[bit / 64] |= ones << low;
		bit += n;
	}
}

/* Pages that the process has, but for those of the categories in but. false:
 * the kernel cannot do it. */
static bool touched_scan(const struct guest *g, const struct guest_segment *s,
			 uint64_t but, uint64_t *bitmap)
{
	struct scan_region regions[256];
	struct scan_arg a = {
		.size = sizeof(a),
		.end = s->hva + s->length,
		.walk_end = s->hva,
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = sizeof(regions) / sizeof(*regions),
		.category_inverted = but,
		.category_mask = but,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED,
	};

	while (a.walk_end < a.end) {
		int n;

		a.start = a.walk_end;
		n = ioctl(g->pagemap, SCAN_IOCTL, &a);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || a.walk_end <= a.start)
			return false;
		for (int i = 0; i < n; i++)
			set_bits(bitmap, regions[i].start - s->hva + s->offset,
				 regions[i].end - s->hva + s->offset);
	}
	return true;
}

/* The page map's words of n host pages from hva on. */
static int read_pagemap(const struct guest *g, uint64_t hva, uint64_t *words,
			size_t n, struct mr_error *err)
{
	uint64_t at = hva / host_page() * sizeof(*words);
	size_t want = n * sizeof(*words), done = 0;

	while (done < want) {
		ssize_t got = pread(g->pagemap, (char *)words + done,
				    want - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot read the page map of "
					 "process %d",
					 (int)g->pid);
		done += (size_t)got;
	}
	return 0;
}

/* The same, but for words that have one of the bits in but. */
static int touched_pagemap(const struct guest *g, const struct guest_segment *s,
			   uint64_t but, uint64_t *bitmap, struct mr_error *err)
{
	uint64_t words[4096], page = host_page();

	for (uint64_t at = 0; at < s->length;) {
		uint64_t left = (s->length - at + page - 1) / page;
		size_t n = (size_t)min_u64(left, 4096);

		if (read_pagemap(g, s->hva + at, words, n, err))
			return -1;
		for (size_t i = 0; i < n; i++, at += page)
			if ((words[i] & (PM_PRESENT | PM_SWAPPED)) &&
			    !(words[i] & but))
				set_bits(bitmap, s->offset + at,
					 s->offset +
						 min_u64(at + page, s->length));
	}
	return 0;
}

/* Pages of the file that the bitmap does not have yet. What it has is not
 * asked for again: to seek a hole costs three times what the scan does. */
static int touched_file(const struct guest_segment *s, uint64_t *bitmap,
			struct mr_error *err)
{
	uint64_t first = s->offset / GUEST_PAGE, page = first;
	uint64_t end = (s->offset + s->length + GUEST_PAGE - 1) / GUEST_PAGE;
	off_t base = (off_t)s->file_offset, last = base + (off_t)s->length;

	while ((page = bits_next_clear(bitmap, page, end)) < end) {
		off_t gap = base + (off_t)((page - first) * GUEST_PAGE);
		off_t at = lseek(s->fd, gap, SEEK_DATA), hole;

		if (at < 0 && errno == ENXIO)
			return 0;
		if (at >= last)
			return 0;
		if (at > gap) { /* it may be known where that ends */
			page = first + (uint64_t)(at - base) / GUEST_PAGE;
			if (bits_test(bitmap, page))
				continue;
		}
		hole = at < 0 ? -1 : lseek(s->fd, at, SEEK_HOLE);
		if (hole <= at)
			return error_sys(err, MR_NO_OFFSET,
					 "cannot seek in the memory file");
		if (hole > last)
			hole = last;
		set_bits(bitmap, s->offset + (uint64_t)(at - base),
			 s->offset + (uint64_t)(hole - base));
		page = first + (uint64_t)(hole - base) / GUEST_PAGE;
	}
	return 0;
}

/* In shared memory a page that the process has mapped is data; of the others
 * only the file knows. */
static int touched_shared(const struct guest *g, const struct guest_segment *s,
			  uint64_t *bitmap, struct mr_error *err)
{
	if (!g->no_scan)
		(void)touched_scan(g, s, SCAN_PFNZERO, bitmap);
	return touched_file(s, bitmap, err);
}

/* What the process does not have is the file's: zeros in a hole of it. A file
 * that has become shorter has nothing there, which reading tells. */
static int touched_private(const struct guest *g, const struct guest_segment *s,
			   uint64_t *bitmap, struct mr_error *err)
{
	struct stat st;

	if (fstat(s->fd, &st))
		return error_sys(err, MR_NO_OFFSET,
				 "cannot look at the memory file");
	if ((uint64_t)st.st_size < s->file_offset + s->length) {
		set_bits(bitmap, s->offset, s->offset + s->length);
		return 0;
	}
	if ((g->no_scan || !touched_scan(g, s, 0, bitmap)) &&
	    touched_pagemap(g, s, 0, bitmap, err))
		return -1;
	return touched_file(s, bitmap, err);
}

/* Whether no other part of the VM's memory is in the same file. */
static bool is_only_user(const struct guest *g, const struct guest_segment *s)
{
	size_t users = 0;

	for (size_t i = 0; i < g->n_blocks; i++)
		for (size_t k = 0; k < g->blocks[i].n_segments; k++)
			users += g->blocks[i].segments[k].fd == s->fd;
	return users == 1;
}

/* Of huge pages that the process has not mapped hugetlbfs does not tell which
 * are there, only how many there are in all. If the process has mapped so
 * many, that are these. */
static void touched_huge(const struct guest *g, const struct guest_segment *s,
			 uint64_t *bitmap)
{
	uint64_t first = s->offset / GUEST_PAGE, n = s->length / GUEST_PAGE;
	struct stat st;

	if (!g->no_scan && s->fd >= 0 && is_only_user(g, s) &&
	    touched_scan(g, s, SCAN_PFNZERO, bitmap) && !fstat(s->fd, &st) &&
	    bits_count(bitmap, first, n) * GUEST_PAGE ==
		    (uint64_t)st.st_blocks * 512)
		return;
	set_bits(bitmap, s->offset, s->offset + s->length);
}

static bool is_memory_file(const struct guest_segment *s)
{
	return s->kind == GUEST_SHMEM_SHARED && s->fd >= 0;
}

static int touched_segment(const struct guest *g, const struct guest_segment *s,
			   uint64_t *bitmap, struct mr_error *err)
{
	if (is_memory_file(s))
		return touched_shared(g, s, bitmap, err);
	if (s->kind == GUEST_HUGETLB_SHARED) {
		touched_huge(g, s, bitmap);
		return 0;
	}
	if (s->kind == GUEST_FILE_PRIVATE && s->fd >= 0)
		return touched_private(g, s, bitmap, err);
	if (s->kind != GUEST_ANON_PRIVATE) {
		set_bits(bitmap, s->offset, s->offset + s->length);
		return 0;
	}
	if (!g->no_scan && touched_scan(g, s, SCAN_PFNZERO, bitmap))
		return 0;
	return touched_pagemap(g, s, 0, bitmap, err);
}

int guest_touched(const struct guest *g, const struct guest_block *b,
		  uint64_t *bitmap, struct mr_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->n_segments; i++)
		rc = touched_segment(g, &b->segments[i], bitmap, err);
	return rc;
}

static bool is_of(const struct guest_segment *s, const struct file *f,
		  uint64_t at)
{
	struct stat st;

	return s->kind == GUEST_FILE_PRIVATE && s->fd >= 0 &&
	       s->file_offset == at + s->offset && !fstat(s->fd, &st) &&
	       st.st_dev == f->dev && st.st_ino == f->ino;
}

int guest_changed(const struct guest *g, const struct guest_block *b,
		  const struct file *f, uint64_t at, uint64_t *bitmap,
		  struct mr_error *err)
{
	for (size_t i = 0; i < b->n_segments; i++)
		if (!is_of(&b->segments[i], f, at))
			return 0;
	for (size_t i = 0; i < b->n_segments; i++) {
		const struct guest_segment *s = &b->segments[i];

		if ((g->no_scan || !touched_scan(g, s, SCAN_FILE, bitmap)) &&
		    touched_pagemap(g, s, PM_FILE, bitmap, err))
			return -1;
	}
	return b->n_segments > 0;
}

int guest_present(const struct guest *g, const struct guest_block *b,
		  uint64_t *bitmap, struct mr_error *err)
{
	for (size_t i = 0; i < b->n_segments; i++) {
		const struct guest_segment *s = &b->segments[i];

		if ((g->no_scan || !touched_scan(g, s, 0, bitmap)) &&
		    touched_pagemap(g, s, 0, bitmap, err))
			return -1;
	}
	return 0;
}

int guest_most(const struct guest *g, const struct guest_block *b,
	       uint64_t *bitmap, uint64_t *bytes, struct mr_error *err)
{
	uint64_t pages = b->used / GUEST_PAGE;
	struct stat st;

	*bytes = 0;
	for (size_t i = 0; i < b->n_segments; i++) {
		const struct guest_segment *s = &b->segments[i];

		if (is_memory_file(s) && !fstat(s->fd, &st))
			*bytes += min_u64((uint64_t)st.st_blocks * 512,
					  s->length);
		else if (touched_segment(g, s, bitmap, err))
			return -1;
	}
	*bytes += bits_count(bitmap, 0, pages) * GUEST_PAGE;
	return 0;
}

/* ---- reading ---- */

/* Pieces to be read from the process in one call. */
struct batch {
	const struct guest *g;
	const struct guest_block *b;
	size_t n;
	struct iovec local[IOV_MAX], remote[IOV_MAX];
};

static int fail_read(const struct guest_block *b, uint64_t offset,
		     struct mr_error *err)
{
	return error_sys(err, MR_NO_OFFSET,
			 "cannot read block '%.64s' at offset 0x%" PRIx64,
			 b->name, offset);
}

static int read_process(struct batch *p, struct mr_error *err)
{
	size_t i = 0;

	while (i < p->n) {
		ssize_t got =
			process_vm_readv(p->g->pid, p->local + i, p->n - i,
					 p->remote + i, p->n - i, 0);
		size_t left;

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EFAULT;
		if (got <= 0)
			return fail_read(p->b,
					 (uintptr_t)p->remote[i].iov_base -
						 p->b->hva,
					 err);
		for (left = (size_t)got; left && i < p->n; i++) {
			if (left < p->local[i].iov_len) {
				p->local[i].iov_base =
					(char *)p->local[i].iov_base + left;
				p->local[i].iov_len -= left;
				p->remote[i].iov_base =
					(char *)p->remote[i].iov_base + left;
				p->remote[i].iov_len -= left;
				break;
			}
			left -= p->local[i].iov_len;
		}
	}
	p->n = 0;
	return 0;
}

static int add_process(struct batch *p, uint64_t hva, char *dest, size_t len,
		       struct mr_error *err)
{
	if (p->n == IOV_MAX && read_process(p, err))
		return -1;
	p->local[p->n] = (struct iovec){ dest, len };
	p->remote[p->n++] = (struct iovec){ (void *)(uintptr_t)hva, len };
	return 0;
}

/* [offset, offset + len) of b, in s, from the file. */
static int read_file(const struct guest_block *b, const struct guest_segment *s,
		     uint64_t offset, char *dest, size_t len,
		     struct mr_error *err)
{
	while (len) {
		uint64_t at = s->file_offset + (offset - s->offset);
		ssize_t got = pread(s->fd, dest, len, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_read(b, offset, err);
		if (got == 0) {
			/* the rest of a file's last page is zeros, what lies
			 * beyond is not there for the guest either */
			size_t rest = (size_t)(-at % host_page());

			if (rest == 0 || rest < len)
				return error_set(
					err, MR_SHORT, MR_NO_OFFSET,
					"the file behind block '%.64s' "
					"ends at offset 0x%" PRIx64,
					b->name, offset);
			memset(dest, 0, len);
			return 0;
		}
		offset += (uint64_t)got;
		dest += got;
		len -= (size_t)got;
	}
	return 0;
}

/* Whether the process can be asked for the page without faulting it in. */
static bool is_there(uint64_t word)
{
	return word & (PM_PRESENT | PM_SWAPPED);
}

/* The same from a private mapping: each page from where it is. */
static int read_private(struct batch *p, const struct guest_segment *s,
			uint64_t offset, char *dest, size_t len,
			struct mr_error *err)
{
	uint64_t words[512] = { 0 }, page = host_page();

	while (len) {
		uint64_t hva = s->hva + (offset - s->offset), lead = hva % page;
		uint64_t pages = (lead + len + page - 1) / page;
		size_t n = (size_t)min_u64(pages, 512);

		if (read_pagemap(p->g, hva - lead, words, n, err))
			return -1;
		for (size_t i = 0, j; i < n; i = j) {
			bool there = is_there(words[i]);
			size_t piece;
			int rc;

			for (j = i + 1; j < n && is_there(words[j]) == there;
			     j++)
				continue;
			piece = (size_t)min_u64((j - i) * page - lead, len);
			hva = s->hva + (offset - s->offset);
			rc = there ? add_process(p, hva, dest, piece, err)
				   : read_file(p->b, s, offset, dest, piece,
					       err);
			if (rc)
				return -1;
			lead = 0;
			offset += piece;
			dest += piece;
			len -= piece;
		}
	}
	return 0;
}

/* The segment that offset lies in; there is one for offset < used. */
static const struct guest_segment *segment_at(const struct guest_block *b,
					      uint64_t offset)
{
	size_t low = 0, high = b->n_segments;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (b->segments[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return &b->segments[low];
}

static int read_piece(struct batch *p, const struct guest_segment *s,
		      uint64_t offset, char *dest, size_t len,
		      struct mr_error *err)
{
	if (s->fd < 0)
		return add_process(p, s->hva + (offset - s->offset), dest, len,
				   err);
	if (s->kind == GUEST_FILE_PRIVATE || s->kind == GUEST_HUGETLB_PRIVATE)
		return read_private(p, s, offset, dest, len, err);
	return read_file(p->b, s, offset, dest, len, err);
}

int guest_read(const struct guest *g, const struct guest_block *b,
	       const struct memory_run *runs, size_t n, struct mr_error *err)
{
	struct batch p;

	p.g = g;
	p.b = b;
	p.n = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t offset = runs[i].offset;
		size_t len = runs[i].length;
		char *dest = runs[i].dest;

		if (offset > b->used || len > b->used - offset ||
		    b->n_segments == 0)
			return error_set(err, MR_USAGE, MR_NO_OFFSET,
					 "block '%.64s' has nothing at offset "
					 "0x%" PRIx64 " to read %zu bytes of",
					 b->name, offset, len);
		while (len) {
			const struct guest_segment *s = segment_at(b, offset);
			uint64_t left = s->length - (offset - s->offset);
			size_t piece = (size_t)min_u64(left, len);

			if (read_piece(&p, s, offset, dest, piece, err))
				return -1;
			offset += piece;
			dest += piece;
			len -= piece;
		}
	}
	return read_process(&p, err);
}
