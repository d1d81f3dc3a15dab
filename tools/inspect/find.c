/* find.c - where in memory some bytes are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/show.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int show_pattern(const char *text, uint8_t **bytes, size_t *n)
{
	bool hex = !strncmp(text, "0x", 2);

	if (hex)
		text += 2;
	else if (!strncmp(text, "text:", 5))
		text += 5;
	*n = strlen(text);
	if (*n == 0 || *n > (hex ? 2 : 1) * (size_t)MR_FIND_MAX)
		return cli_usage("--find takes 1 to %u bytes", MR_FIND_MAX);
	*bytes = (uint8_t *)strdup(text);
	if (!*bytes)
		return cli_no_memory();
	for (size_t i = 0; hex && i < *n; i += 2) {
		int high = digit(text[i]), low = -1;

		if (high >= 0)
			low = digit(text[i + 1]);
		if (low < 0)
			return cli_usage("0x%s is not pairs of hexadecimal "
					 "digits",
					 text);
		(*bytes)[i / 2] = (uint8_t)(high << 4 | low);
	}
	if (hex)
		*n /= 2;
	return CLI_OK;
}

/* How a place is called: ", virtual A, B of CPU 0", or nothing. */
static void put_names(struct virtuals *names, const struct mr_found *f,
		      size_t len)
{
	uint64_t name[MR_MAPS];
	uint32_t cpu;
	size_t n = virtuals_of(names, f, len, name, &cpu);

	for (size_t i = 0; i < n; i++)
		(void)printf("%s0x%" PRIx64, i ? ", " : ", virtual ", name[i]);
	if (n)
		(void)printf(" of CPU %" PRIu32, cpu);
	(void)putchar('\n');
}

static void put_text(const struct mr_find_report *r, struct virtuals *names,
		     size_t len)
{
	char safe[1024];

	(void)putchar('\n');
	for (size_t i = 0; i < r->n_found; i++) {
		(void)printf(
			"%s:0x%" PRIx64,
			cli_escape(safe, sizeof(safe), r->found[i].block->name),
			r->found[i].offset);
		put_names(names, &r->found[i], len);
	}
	if (r->more)
		(void)puts("(and more)");
	else if (!r->n_found)
		(void)puts("(not found)");
}

static void put_json_names(struct virtuals *names, const struct mr_found *f,
			   size_t len)
{
	uint64_t name[MR_MAPS];
	uint32_t cpu;
	size_t n = virtuals_of(names, f, len, name, &cpu);
	char text[24];

	if (!n)
		return;
	cli_json_put_open("virtual", '[');
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "0x%" PRIx64, name[i]);
		cli_json_item();
		cli_json_string(text);
	}
	cli_json_close();
	cli_json_put_number("vcpu", cpu);
}

static void put_json(const struct mr_find_report *r, struct virtuals *names,
		     size_t len)
{
	cli_json_put_open("found", '[');
	for (size_t i = 0; i < r->n_found; i++) {
		cli_json_item();
		cli_json_open('{');
		cli_json_put_text("block", r->found[i].block->name);
		cli_json_put_number("offset", r->found[i].offset);
		put_json_names(names, &r->found[i], len);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_bool("found_more", r->more);
}

int show_find(const struct show *s)
{
	const struct show_request *q = s->request;
	struct mr_find_options o = { .jobs = q->jobs,
				     .direct = q->direct,
				     .max = q->max,
				     .watch = *cli_watch() };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_find_report r;
	struct virtuals *names = NULL;
	int status;

	if (mr_find(s->ram, q->find, q->find_len, &o, &r, &err)) {
		mr_find_release(&r);
		return cli_fail(&err, CLI_PATHS(s->path));
	}
	cli_tell_end();
	cli_note("read %" PRIu64 " of %" PRIu64 " MiB in %.3f s, %s",
		 r.read >> 20, r.ram >> 20, r.seconds,
		 r.direct ? "around the page cache" : "through the page cache");
	if (r.left_out)
		cli_say("%s: the memory of %zu block%s is not in the image",
			s->path, r.left_out, r.left_out == 1 ? "" : "s");
	if (r.n_found)
		names = virtuals_new(s);
	if (cli.json)
		put_json(&r, names, q->find_len);
	else
		put_text(&r, names, q->find_len);
	virtuals_free(names);
	status = r.n_found ? CLI_OK : CLI_NO;
	mr_find_release(&r);
	return status;
}
