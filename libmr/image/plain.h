/*
 * plain.h - an image as a plain stream: all of it but the memory.
 */
#ifndef LIBMR_PLAIN_H
#define LIBMR_PLAIN_H

#include "formats/stream.h"
#include "libmr/image/image.h"

/* Whether an image can be told so: MR_REFUSED. */
int plain_check(const struct mr_image_info *info, struct mr_error *err);
/* What the stream says of its machine. */
void plain_config(const struct mr_image_info *info, struct stream_config *c);

/* Bytes of device state that we take from one image. */
#define PLAIN_STATE_MAX (UINT64_C(1) << 30)

struct plain_state {
	/* FULL sections: those that stand before memory, and those behind it
	 * with the byte that ends all sections. */
	uint8_t *early, *late;
	size_t early_len, late_len;
	char *description; /* JSON */
	size_t description_len;
};

/* s is to be released, on failure too. who: as mr_error has it. */
int plain_state_read(struct plain_state *s, const struct mr_image *img,
		     unsigned who, struct mr_error *err);
void plain_state_release(struct plain_state *s);

#endif
