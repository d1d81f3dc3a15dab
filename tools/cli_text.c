/* cli_text.c - sizes, choices and safe text for every tool. */
#include "tools/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The power of 1024 that a suffix stands for; -1: none that we know. */
static int suffix_power(const char *s)
{
	static const char letters[] = "KMGT";
	const char *p;

	if (!*s)
		return 0;
	p = strchr(letters, *s == 'k' ? 'K' : *s);
	if (!p || (s[1] && strcmp(s + 1, "iB") != 0))
		return -1;
	return (int)(p - letters) + 1;
}

int cli_size(const char *option, const char *text, uint64_t *size)
{
	unsigned long long n;
	char *end;
	int power;

	errno = 0;
	n = strtoull(text, &end, 10);
	power = suffix_power(end);
	/* strtoull takes blanks and a sign; a size has neither. */
	if (*text < '0' || *text > '9' || power < 0) {
		(void)cli_usage("%s: '%s' is not a size (like 4K 1M 2G)",
				option, text);
		return -1;
	}
	if (errno || n > UINT64_MAX >> (10 * power)) {
		(void)cli_usage("%s: %s is too large", option, text);
		return -1;
	}
	*size = (uint64_t)n << (10 * power);
	return 0;
}

const char *const cli_when[3] = { "auto", "on", "off" };

int cli_choice(const char *option, const char *text, const char *const words[3])
{
	if (!text)
		return 0;
	for (int i = 0; i < 3; i++)
		if (!strcmp(text, words[i]))
			return i;
	(void)cli_usage("%s is %s, %s or %s, not %s", option, words[0],
			words[1], words[2], text);
	return -1;
}

int cli_io(const char *direct, int jobs, enum mr_direct *how, unsigned *threads)
{
	int d = cli_choice("--direct", direct, cli_when);

	if (d < 0)
		return CLI_TROUBLE;
	if (jobs < 0 || jobs > (int)MR_JOBS_MAX)
		return cli_usage("--jobs is 1 to %u", MR_JOBS_MAX);
	*how = (enum mr_direct)d;
	*threads = (unsigned)jobs;
	return CLI_OK;
}

double cli_rate(uint64_t bytes, double seconds)
{
	return seconds > 0 ? (double)bytes / (1024.0 * 1024.0) / seconds : 0;
}

const char *cli_human(char buf[CLI_HUMAN], uint64_t bytes)
{
	static const char *const unit[] = { "B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB" };
	unsigned power = 0;
	uint64_t tenths;

	while (power < 6 && bytes >> (10 * power) >= 1024)
		power++;
	if (!power) {
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 " B", bytes);
		return buf;
	}
	tenths = ((bytes >> (10 * (power - 1))) * 10) >> 10;
	if (tenths >= 1000 || tenths % 10 == 0)
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 " %s", tenths / 10,
			       unit[power]);
	else
		(void)snprintf(buf, CLI_HUMAN, "%" PRIu64 ".%" PRIu64 " %s",
			       tenths / 10, tenths % 10, unit[power]);
	return buf;
}

/* Length of the printable UTF-8 character at s, 0 if there is none: control
 * characters (C1 too), surrogates and overlong forms are not. */
static size_t utf8_len(const unsigned char *s)
{
	uint32_t c = s[0];
	size_t n;

	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if (c < 0xa0 || (n == 3 && c < 0x800) || (n == 4 && c < 0x10000) ||
	    (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	return n;
}

const char *cli_escape(char *buf, size_t size, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (*s) {
		size_t n = utf8_len(s);

		if (at + (n ? n : 4) >= size)
			break;
		if (n) {
			memcpy(buf + at, s, n);
			at += n;
			s += n;
		} else {
			(void)snprintf(buf + at, 5, "\\x%02x", *s++);
			at += 4;
		}
	}
	buf[at] = '\0';
	return buf;
}
