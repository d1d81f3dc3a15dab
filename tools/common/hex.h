/* hex.h - bytes as people read them. */
#ifndef TOOLS_HEX_H
#define TOOLS_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Lines of 16 bytes, each with the number of its first, counted from base,
 * which begins the first line. Lines that only repeat the one before become
 * one "*". */
struct hex {
	const char *indent;
	uint64_t base;
	uint8_t last[16]; /* line */
	size_t have; /* bytes of a line that is not full yet */
	uint8_t line[16];
	uint64_t lines;
	int starred;
};

void hex_begin(struct hex *h, const char *indent, uint64_t base);
void hex_put(struct hex *h, const void *bytes, size_t len);
/* The last line, and the number of the byte behind it. */
void hex_end(struct hex *h);

#endif
