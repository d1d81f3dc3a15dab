/* option.c - what the values of options mean. */
#include "tools/common/cli.h"

#include <errno.h>
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

int cli_limit(const char *text, uint64_t *limit)
{
	if (!text)
		return CLI_OK;
	if (cli_size("--limit", text, limit))
		return CLI_TROUBLE;
	if (*limit < 4096 || *limit > INT64_MAX)
		return cli_usage("--limit is 4K to 8388607T bytes a second");
	return CLI_OK;
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
	if (jobs != CLI_NOT_GIVEN && (jobs < 1 || jobs > (int)MR_JOBS_MAX))
		return cli_usage("--jobs is 1 to %u", MR_JOBS_MAX);
	*how = (enum mr_direct)d;
	*threads = jobs == CLI_NOT_GIVEN ? 0 : (unsigned)jobs;
	return CLI_OK;
}

int cli_pid(int given, int *pid)
{
	if (given != CLI_NOT_GIVEN && given < 1)
		return cli_usage("--pid is that of a process, not %d", given);
	*pid = given == CLI_NOT_GIVEN ? 0 : given;
	return CLI_OK;
}

struct mr_image *cli_describer(const char *path, int *status)
{
	const struct mr_watch watch = { .cancel = &cli_cancel };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_image *img = mr_image_open_devices(path, &watch, &err);
	const struct mr_image_info *info = img ? mr_image_info(img) : NULL;

	*status = CLI_OK;
	if (!img)
		*status = cli_fail(&err, CLI_PATHS(path));
	/* Ours is "{}". */
	else if (!info->has_vmdesc || info->vmdesc_length <= 2)
		*status = cli_trouble(path, MR_FORMAT,
				      "there is no description of devices in "
				      "it");
	if (*status == CLI_OK)
		return img;
	mr_image_free(img);
	return NULL;
}
