/* log.c - a guest kernel's messages, as dmesg shows them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/show.h"

/* A text with any bytes in it, as a string: NULs become what cli_escape makes
 * of other control characters. */
struct text {
	char *plain, *safe;
	size_t room;
};

static int text_begin(struct text *t, const struct mr_log_report *r)
{
	for (size_t i = 0; i < r->n_records; i++)
		if (r->records[i].len > t->room)
			t->room = r->records[i].len;
	t->room = 4 * t->room + 1;
	t->plain = malloc(t->room);
	t->safe = malloc(4 * t->room);
	return t->plain && t->safe ? CLI_OK : cli_no_memory();
}

static void text_end(struct text *t)
{
	free(t->plain);
	free(t->safe);
}

static const char *text_of(struct text *t, const char *bytes, size_t len)
{
	char *to = t->plain;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i])
			*to++ = bytes[i];
		else
			to = stpcpy(to, "\\x00");
	}
	*to = '\0';
	return t->plain;
}

/* A line; tabs are often in one, and do no harm. */
static void put_line(struct text *t, const char *p, const char *end)
{
	const char *tab;

	do {
		tab = p < end ? memchr(p, '\t', (size_t)(end - p)) : NULL;
		(void)fputs(
			cli_escape(
				t->safe, 4 * t->room,
				text_of(t, p, (size_t)((tab ? tab : end) - p))),
			stdout);
		if (tab)
			(void)putchar('\t');
		p = tab ? tab + 1 : end;
	} while (tab);
	(void)putchar('\n');
}

/* Each of its lines has the time. */
static void put_text(struct text *t, const struct mr_log_record *r)
{
	const char *p = r->text, *end = p + r->len, *nl;

	do {
		nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		(void)printf("[%5" PRIu64 ".%06" PRIu64 "] ",
			     r->ns / 1000000000, r->ns % 1000000000 / 1000);
		put_line(t, p, nl ? nl : end);
		p = nl ? nl + 1 : end;
	} while (nl);
}

static void put_json(struct text *t, const struct mr_log_report *r)
{
	cli_json_put_open("log", '{');
	cli_json_put_text("release", r->release);
	cli_json_put_open("records", '[');
	for (size_t i = 0; i < r->n_records; i++) {
		const struct mr_log_record *m = &r->records[i];

		cli_json_item();
		cli_json_open('{');
		cli_json_put_number("ns", m->ns);
		cli_json_put_text("text", text_of(t, m->text, m->len));
		cli_json_close();
	}
	cli_json_close();
	cli_json_close();
}

static int put(const struct mr_log_report *r)
{
	struct text t = { .room = 0 };
	int status = text_begin(&t, r);

	if (!status && cli.json)
		put_json(&t, r);
	else if (!status)
		(void)putchar('\n');
	for (size_t i = 0; !status && !cli.json && i < r->n_records; i++)
		put_text(&t, &r->records[i]);
	text_end(&t);
	return status;
}

int show_log(const struct show *s)
{
	const struct mr_log_options o = { .jobs = s->request->jobs,
					  .direct = s->request->direct,
					  .watch = *cli_watch() };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_log_report r;
	int status;

	if (mr_log(s->ram, &o, &r, &err)) {
		status = cli_fail(&err, CLI_PATHS(s->path));
	} else {
		cli_tell_end();
		cli_note("Linux %s: %zu messages", r.release, r.n_records);
		status = put(&r);
	}
	mr_log_release(&r);
	return status;
}
