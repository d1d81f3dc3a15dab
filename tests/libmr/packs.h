/*
 * packs.h - packs in memory, for unit tests.
 */
#ifndef TESTS_LIBMR_PACKS_H
#define TESTS_LIBMR_PACKS_H

#include "tests/libmr/unit.h"

#include <sys/mman.h>

#include "libmr/pack/packed.h"
#include "tests/lib/build.h"
#include "tests/lib/packing.h"

/* A plain stream, and the pack of it. */
struct made {
	uint8_t *stream;
	size_t len;
	struct bytes pack;
};

/* Blocks of pages of 1 KiB, of which these have data; extents of 64 KiB. */
static inline void packs_make(struct made *m, struct build_block *blocks,
			      size_t n)
{
	struct build b = { .fd = memfd_create("stream", MFD_CLOEXEC),
			   .page_size = 1024,
			   .ram_id = 2,
			   .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *from;
	struct mem_io io;

	assert_true(b.fd >= 0);
	b.config.target_page_bits = 10;
	memcpy(b.config.machine, "pc", 3);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, blocks, n);
	build_ram_pages(&b, STREAM_PART, blocks, n);
	build_ram_empty(&b, STREAM_END);
	build_globalstate(&b, "running");
	build_filler(&b, "serial", 40);
	build_eof(&b);
	build_vmdesc(&b);
	build_done(&b);
	m->len = (size_t)b.at;
	m->stream = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, b.fd, 0);
	assert_true(m->stream != MAP_FAILED);
	assert_int_equal(close(b.fd), 0);
	mem_io_init(&io, m->stream, m->len);
	from = image_open_io(&io.io, NULL, &err);
	assert_non_null(from);
	m->pack = (struct bytes){ 0 };
	packing.extent_size = 1 << 16;
	packing_make(from, &m->pack);
	mr_image_free(from);
}

static inline void packs_drop(struct made *m)
{
	assert_int_equal(munmap(m->stream, m->len), 0);
	free(m->pack.at);
}

/* Many extents, more than are kept. */
static inline void packs_large(struct made *m)
{
	static const struct build_run runs[] = { { 0, 3000 }, { 5000, 700 } };
	static const struct build_run other[] = { { 100, 1 } };
	struct build_block blocks[] = {
		{ .name = "pc.ram", 8 << 20, runs, ARRAY_LEN(runs) },
		{ .name = "pc.bios", 256 << 10, other, ARRAY_LEN(other) },
	};

	packs_make(m, blocks, ARRAY_LEN(blocks));
}

static inline void packs_small(struct made *m)
{
	static const struct build_run runs[] = { { 60, 8 } };
	struct build_block block = { .name = "r", 256 << 10, runs, 1 };

	packs_make(m, &block, 1);
}

#endif
