/* instant.c - mrload --instant: becomes a QEMU whose memory is the image. */
#include "tools/load/load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/cli.h"

static void on_say(void *arg, const char *line)
{
	(void)arg;
	if (!cli.quiet)
		cli_say("%s", line);
}

/* A word that a shell takes for one. */
static void print_word(const char *word)
{
	if (word[0] && !word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
					  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789-_=+,./:@%")]) {
		printf("%s", word);
		return;
	}
	putchar('\'');
	for (; *word; word++)
		if (*word == '\'')
			printf("'\\''");
		else
			putchar(*word);
	putchar('\'');
}

static void print_argv(char *const *argv)
{
	for (size_t i = 0; argv[i]; i++) {
		if (i)
			putchar(' ');
		print_word(argv[i]);
	}
	putchar('\n');
}

static void json_instant(const char *image, const struct mr_instant_report *r,
			 bool verified, char *const *argv)
{
	cli_json_begin();
	cli_json_put_text("image", image);
	cli_json_put_text("qemu", r->qemu);
	cli_json_put_text("machine", r->machine);
	cli_json_put_text("saved", r->saved[0] ? r->saved : NULL);
	cli_json_put_number("blocks", r->blocks);
	cli_json_put_number("ram", r->ram);
	cli_json_put_number("data", r->data);
	cli_json_put_number("mapped", r->mapped);
	cli_json_put_number("fed", r->fed);
	cli_json_put_number("stub", r->stub);
	cli_json_put_number("stale_pages", r->stale);
	cli_json_put_bool("locked", r->locked);
	cli_json_put_number("allocated", r->allocated);
	cli_json_put_text("seal", mr_seal_state_name(r->seal));
	cli_json_put_bool("verified", verified);
	cli_json_put_real("seconds", r->seconds);
	cli_json_put_open("command", '[');
	for (size_t i = 0; argv[i]; i++) {
		cli_json_item();
		cli_json_string(argv[i]);
	}
	(void)cli_json_end();
}

static void note(const struct mr_instant_report *r)
{
	char a[CLI_HUMAN], b[CLI_HUMAN], c[CLI_HUMAN];

	cli_note("QEMU %s, %s: %s mapped, %s fed, %s beside it, %.3f s",
		 r->qemu, r->machine, cli_human(a, r->mapped),
		 cli_human(b, r->fed), cli_human(c, r->stub), r->seconds);
}

int load_verify(const char *image, const char *shown, struct mr_file_mark *mark)
{
	struct mr_verify_options o = { .watch = *cli_watch() };
	struct mr_error err = MR_ERROR_INIT;
	struct mr_verify_report r;
	int rc = mr_verify(image, &o, &r, &err);

	cli_tell_end();
	if (rc)
		return cli_fail(&err, CLI_PATHS(shown));
	if (!r.sound)
		return cli_trouble(shown, MR_REFUSED,
				   "damaged: mrverify says where");
	if (!r.sealed)
		return cli_trouble(shown, MR_REFUSED,
				   "there is no seal to verify it by: "
				   "mrverify --seal adds one");
	if (mark)
		*mark = r.mark;
	return CLI_OK;
}

/* A program begins with these, and mrload has its own. */
static void give_signals_back(void)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ };

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		struct sigaction was;

		if (!sigaction(ours[i], NULL, &was) &&
		    (was.sa_handler != SIG_IGN || ours[i] == SIGPIPE ||
		     ours[i] == SIGXFSZ))
			(void)signal(ours[i], SIG_DFL);
	}
}

/* The file of touched pages that is beside an image; NULL: no memory. */
static char *beside(const char *image)
{
	char *path;

	return asprintf(&path, "%s.touched", image) < 0 ? NULL : path;
}

static int become(struct mr_instant *in, const char *const *paths)
{
	struct mr_error err = MR_ERROR_INIT;

	(void)fflush(stdout);
	cli_tell_end();
	give_signals_back();
	(void)mr_instant_exec(in, &err);
	return cli_fail(&err, paths);
}

static int run(const char *image, const char *const *argv,
	       const struct load_instant *o, const char *record)
{
	const char *const paths[] = { image, argv[0], record, NULL };
	struct mr_instant_options io = MR_INSTANT_OPTIONS_INIT;
	struct mr_error err = MR_ERROR_INIT;
	struct mr_instant_report report;
	struct mr_instant *in;
	int status = CLI_OK;

	io.then = o->then;
	io.strict = o->strict;
	io.force = o->force;
	io.no_lock = o->no_lock;
	io.record = record;
	io.record_seconds = o->record_seconds;
	io.prefault = o->prefault;
	io.say = on_say;
	io.watch = *cli_watch();
	in = mr_instant_open(image, argv, &io, &report, &err);
	cli_tell_end();
	if (!in)
		return cli_fail(&err, paths);
	note(&report);
	if (o->verify)
		status = load_verify(mr_instant_image(in), image, NULL);
	if (status == CLI_OK && cli.json)
		json_instant(image, &report, o->verify, mr_instant_argv(in));
	else if (status == CLI_OK && o->print)
		print_argv(mr_instant_argv(in));
	if (status == CLI_OK && !o->print && !o->check)
		status = become(in, paths);
	mr_instant_free(in);
	return status;
}

int load_instant(const char *image, const char *const *argv,
		 const struct load_instant *o)
{
	char *own = o->record ? NULL : beside(image);
	int status = o->record || own
			     ? run(image, argv, o, o->record ? o->record : own)
			     : cli_no_memory();

	free(own);
	return status;
}
