/* capture.c - a migration that was kept, as a whole. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/inspect/show.h"

/* Rounds that are shown at the beginning, and at the end. */
enum { ENDS = 16 };

static void put_pages(const struct mr_capture_pages *p)
{
	cli_json_put_number("data_pages", p->data);
	cli_json_put_number("zero_pages", p->zero);
	cli_json_put_number("twice", p->twice);
}

static void put_seconds(double seconds)
{
	if (seconds < 0)
		cli_json_put_null("seconds");
	else
		cli_json_put_real("seconds", seconds);
}

static void put_damage(const char *name, const struct mr_error *e)
{
	cli_json_put_text(name, e->code == MR_OK ? NULL : e->msg);
}

static void put_checkpoints(const struct mr_capture_info *info)
{
	cli_json_put_open("checkpoints", '[');
	for (size_t i = 0; i < info->n_checkpoints; i++) {
		const struct mr_capture_checkpoint *c = &info->checkpoints[i];

		cli_json_item();
		cli_json_open('{');
		cli_json_put_number("checkpoint", i + 1);
		put_pages(&c->pages);
		cli_json_put_number("round_count", c->rounds);
		cli_json_put_number("bytes", c->bytes);
		cli_json_put_number("device_bytes", c->device);
		cli_json_put_number("main_end", c->main_end);
		put_seconds(c->seconds);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_open("words", '[');
	for (size_t i = 0; i < info->n_words; i++) {
		const struct mr_capture_word *w = &info->words[i];

		cli_json_item();
		cli_json_open('{');
		cli_json_put_text("name", w->name);
		cli_json_put_number("checkpoint", w->checkpoint);
		cli_json_put_number("offset", w->offset);
		cli_json_put_number("bytes", w->bytes);
		put_seconds(w->seconds);
		cli_json_close();
	}
	cli_json_close();
	put_damage("broken", &info->broken);
}

static void put_json(const struct mr_capture_info *info)
{
	cli_json_put_text("kind", "capture");
	cli_json_put_text("machine", info->machine[0] ? info->machine : NULL);
	cli_json_put_text("run_state",
			  info->run_state[0] ? info->run_state : NULL);
	cli_json_put_number("channels", info->channels);
	cli_json_put_text("method", info->channels ? info->method : NULL);
	cli_json_put_number("page_size", info->page_size);
	cli_json_put_number("bytes", info->bytes);
	put_seconds(info->seconds);
	cli_json_put_number("packets", info->packets);
	cli_json_put_number("barriers", info->barriers);
	cli_json_put_number("device_bytes", info->device);
	put_pages(&info->pages);
	cli_json_put_open("blocks", '[');
	for (size_t i = 0; i < info->n_blocks; i++) {
		cli_json_item();
		cli_json_open('{');
		cli_json_put_text("name", info->blocks[i].name);
		cli_json_put_number("length", info->blocks[i].length);
		put_pages(&info->blocks[i].pages);
		cli_json_close();
	}
	cli_json_close();
	cli_json_put_open("rounds", '[');
	for (size_t i = 0; i < info->n_rounds; i++) {
		cli_json_item();
		cli_json_open('{');
		put_pages(&info->rounds[i].pages);
		cli_json_put_number("checkpoint", info->rounds[i].checkpoint);
		cli_json_put_number("main_end", info->rounds[i].main_end);
		put_seconds(info->rounds[i].seconds);
		cli_json_close();
	}
	cli_json_close();
	put_checkpoints(info);
	put_damage("damage", &info->damage);
	put_damage("index_damage", &info->index_damage);
}

static void pages_cells(struct cli_table *t, const struct mr_capture_pages *p)
{
	cli_table_cell(t, "%" PRIu64, p->data);
	cli_table_cell(t, "%" PRIu64, p->zero);
	cli_table_cell(t, "%" PRIu64, p->twice);
}

static void head_cells(struct cli_table *t, const char *a, const char *b)
{
	cli_table_cell(t, "%s", a);
	cli_table_cell(t, "%s", b);
	cli_table_cell(t, "DATA PAGES");
	cli_table_cell(t, "ZERO PAGES");
	cli_table_cell(t, "TWICE");
}

static void show_capture_blocks(const struct mr_capture_info *info)
{
	struct cli_table *t = cli_table_new("lrrrr");
	char safe[1024], human[CLI_HUMAN];

	head_cells(t, "NAME", "LENGTH");
	for (size_t i = 0; i < info->n_blocks; i++) {
		const struct mr_capture_block *b = &info->blocks[i];

		cli_table_cell(t, "%s",
			       cli_escape(safe, sizeof(safe), b->name));
		cli_table_cell(t, "%s", cli_human(human, b->length));
		pages_cells(t, &b->pages);
	}
	(void)printf("\nRAM blocks\n");
	cli_table_print(t);
}

static void seconds_cell(struct cli_table *t, double seconds)
{
	if (seconds < 0)
		cli_table_cell(t, "-");
	else
		cli_table_cell(t, "%.3f", seconds);
}

static void print_ends(struct cli_table *t, const char *what, size_t n)
{
	(void)printf("\n%s", what);
	if (n > 2 * (size_t)ENDS)
		(void)printf(", the first and the last %d of %zu", ENDS, n);
	(void)putchar('\n');
	cli_table_print(t);
}

/* Whether the i-th of n is left out. */
static bool is_between(size_t i, size_t n)
{
	return i >= ENDS && i + ENDS < n;
}

/* Those of the first migration: the others are their checkpoints'. */
static void show_rounds(const struct mr_capture_info *info)
{
	struct cli_table *t = cli_table_new("rrrrr");
	size_t n = 0;

	while (n < info->n_rounds && !info->rounds[n].checkpoint)
		n++;
	head_cells(t, "ROUND", "UNTIL, s");
	for (size_t i = 0; i < n; i++) {
		const struct mr_capture_round *r = &info->rounds[i];

		if (is_between(i, n))
			continue;
		cli_table_cell(t, "%zu", i);
		seconds_cell(t, r->seconds);
		pages_cells(t, &r->pages);
	}
	print_ends(t, "Rounds", n);
}

static void show_checkpoints(const struct mr_capture_info *info)
{
	struct cli_table *t = cli_table_new("rrrrrrrr");
	char human[CLI_HUMAN];

	head_cells(t, "CHECKPOINT", "UNTIL, s");
	cli_table_cell(t, "ROUNDS");
	cli_table_cell(t, "BYTES");
	cli_table_cell(t, "DEVICE STATE");
	for (size_t i = 0; i < info->n_checkpoints; i++) {
		const struct mr_capture_checkpoint *c = &info->checkpoints[i];

		if (is_between(i, info->n_checkpoints))
			continue;
		cli_table_cell(t, "%zu", i + 1);
		seconds_cell(t, c->seconds);
		pages_cells(t, &c->pages);
		cli_table_cell(t, "%" PRIu64, c->rounds);
		cli_table_cell(t, "%s", cli_human(human, c->bytes));
		cli_table_cell(t, "%s", cli_human(human, c->device));
	}
	print_ends(t, "Checkpoints", info->n_checkpoints);
}

static void show_words(const struct mr_capture_info *info)
{
	struct cli_table *t = cli_table_new("lrrrr");

	cli_table_cell(t, "WORD");
	cli_table_cell(t, "CHECKPOINT");
	cli_table_cell(t, "AT, s");
	cli_table_cell(t, "BYTE OF main");
	cli_table_cell(t, "BYTES");
	for (size_t i = 0; i < info->n_words; i++) {
		const struct mr_capture_word *w = &info->words[i];

		cli_table_cell(t, "%s", w->name);
		cli_table_cell(t, "%" PRIu64, w->checkpoint);
		seconds_cell(t, w->seconds);
		cli_table_cell(t, "%" PRIu64, w->offset);
		cli_table_cell(t, "%" PRIu64, w->bytes);
	}
	(void)printf("\nWhat the primary said; the answers are not kept\n");
	cli_table_print(t);
}

static void put_text(const char *path, const struct mr_capture_info *info)
{
	char safe[4096], human[CLI_HUMAN], machine[4 * sizeof(info->machine)];
	char state[4 * sizeof(info->run_state)];

	(void)printf("%s: a migration that was kept%s\n",
		     cli_escape(safe, sizeof(safe), path),
		     info->damage.code ? ", damaged" : ", complete");
	if (info->damage.code)
		(void)printf("  damage        %s\n",
			     cli_escape(safe, sizeof(safe), info->damage.msg));
	if (info->index_damage.code)
		(void)printf(
			"  note          %s\n",
			cli_escape(safe, sizeof(safe), info->index_damage.msg));
	(void)printf("  machine       %s%s%s\n",
		     info->machine[0] ? cli_escape(machine, sizeof(machine),
						   info->machine)
				      : "not said",
		     info->run_state[0] ? ", " : "",
		     cli_escape(state, sizeof(state), info->run_state));
	if (info->channels)
		(void)printf("  stream        %u channel%s, %s, %" PRIu64
			     " packets, %" PRIu64 " barriers\n",
			     info->channels, info->channels == 1 ? "" : "s",
			     info->method, info->packets, info->barriers);
	else
		(void)printf("  stream        one connection\n");
	(void)printf("  bytes         %s", cli_human(human, info->bytes));
	if (info->seconds >= 0)
		(void)printf(" in %.3f s", info->seconds);
	(void)printf(", device state %s\n", cli_human(human, info->device));
	(void)printf("  pages         %" PRIu64 " data, %" PRIu64
		     " zero, of %" PRIu32 " bytes\n",
		     info->pages.data, info->pages.zero, info->page_size);
	if (info->n_words)
		(void)printf("  primary       %zu checkpoint%s%s%s\n",
			     info->n_checkpoints,
			     info->n_checkpoints == 1 ? "" : "s",
			     info->broken.code ? "; then: " : "",
			     cli_escape(safe, sizeof(safe), info->broken.msg));
	if (info->n_blocks)
		show_capture_blocks(info);
	if (info->n_rounds && !info->rounds[0].checkpoint)
		show_rounds(info);
	if (info->n_checkpoints)
		show_checkpoints(info);
	if (info->n_words && cli.verbose)
		show_words(info);
}

int show_capture(const char *path)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_capture_info info;
	int status = CLI_OK;

	if (mr_capture_read(path, cli_watch(), &info, &err))
		status = show_failure(path, &err);
	else if (info.damage.code)
		status = CLI_NO;
	cli_tell_end();
	if (err.code == MR_OK && cli.json) {
		cli_json_put_text("path", path);
		put_json(&info);
	} else if (err.code == MR_OK) {
		put_text(path, &info);
	}
	mr_capture_release(&info);
	return status;
}
