/* device_state.h - the device state of a checkpoint, for tests. */
#ifndef TESTS_LIBMR_DEVICE_STATE_H
#define TESTS_LIBMR_DEVICE_STATE_H

#include "formats/stream.h"
#include "tests/libmr/unit.h"

/* One section, of so many bytes, and EOF. */
static inline uint8_t *device_state(uint64_t number, size_t *len)
{
	struct stream_element e = { .type = STREAM_FULL,
				    .section_id = 7,
				    .idstr = "thing",
				    .version_id = 1 };
	uint8_t *buf = calloc(1, STREAM_ELEMENT_MAX + 200), *p = buf;

	assert_non_null(buf);
	p += stream_element_encode(p, &e);
	memset(p, (int)number & 0xff, number % 100 + 1);
	p += number % 100 + 1;
	p += stream_footer_encode(p, 7);
	*p++ = STREAM_EOF;
	*len = (size_t)(p - buf);
	return buf;
}

#endif
