/* guest_ram.h - the memory of a pc, out of an image: bytes at addresses. */
#ifndef TESTS_LIBMR_GUEST_RAM_H
#define TESTS_LIBMR_GUEST_RAM_H

#include <sys/mman.h>

#include "tests/lib/build.h"
#include "tests/libmr/unit.h"

struct guest_ram {
	int fd;
	struct mr_image *img;
	struct mr_ram *ram;
};

/* len bytes from address 0 on, in pages of 4096. */
static inline struct guest_ram guest_ram_open(const uint8_t *bytes, size_t len)
{
	const struct build_run all = { 0, len / 4096 };
	struct build_block k = {
		.name = "pc.ram", .length = len, .runs = &all, .n_runs = 1
	};
	struct build b = { .page_size = 4096, .ram_id = 2, .next_id = 3 };
	struct mr_error err = MR_ERROR_INIT;
	struct guest_ram g;
	char path[64];

	g.fd = b.fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(b.fd >= 0);
	b.config.mapped_ram = true;
	memcpy(b.config.machine, "pc-i440fx-10.0", 15);
	build_header(&b);
	build_config(&b);
	build_ram_start(&b, &k, 1);
	build_bitmaps(&b, &k, 1);
	build_ram_empty(&b, STREAM_END);
	build_eof(&b);
	build_done(&b);
	build_put_at(&b, bytes, len, k.place.pages_offset);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", b.fd);
	g.img = mr_image_open(path, MR_DIRECT_OFF, NULL, &err);
	assert_non_null(g.img);
	g.ram = mr_ram_of_image(g.img, &err);
	assert_non_null(g.ram);
	return g;
}

static inline void guest_ram_close(struct guest_ram *g)
{
	mr_ram_free(g->ram);
	mr_image_free(g->img);
	assert_int_equal(close(g->fd), 0);
}

#endif
