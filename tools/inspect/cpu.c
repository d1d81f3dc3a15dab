/* cpu.c - registers, as QEMU's "info registers" shows them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect/show.h"

/* A line for each row; "|" is where the segments are. */
static const char *const rows[][5] = {
	{ "RAX", "RBX", "RCX", "RDX" },
	{ "RSI", "RDI", "RBP", "RSP" },
	{ "R8", "R9", "R10", "R11" },
	{ "R12", "R13", "R14", "R15" },
	{ "RIP", "RFL" },
	{ "|" },
	{ "CR0", "CR2", "CR3", "CR4" },
	{ "DR0", "DR1", "DR2", "DR3" },
	{ "DR6", "DR7" },
	{ "EFER", "STAR", "LSTAR", "CSTAR" },
	{ "FMASK", "KERNEL_GS_BASE" },
};

static uint64_t value_of(const struct mr_cpu *c, const char *name)
{
	for (size_t i = 0; i < c->n_regs; i++)
		if (!strcmp(c->regs[i].name, name))
			return c->regs[i].value;
	return 0;
}

static const struct mr_segment *segment_of(const struct mr_cpu *c,
					   const char *name)
{
	for (size_t i = 0; i < c->n_segments; i++)
		if (!strcmp(c->segments[i].name, name))
			return &c->segments[i];
	return NULL;
}

/* The flags that instructions set and test, and what else says how it ran. */
static void show_state(const struct mr_cpu *c)
{
	static const struct {
		unsigned bit;
		char letter;
	} flags[] = { { 10, 'D' }, { 11, 'O' }, { 7, 'S' }, { 6, 'Z' },
		      { 4, 'A' },  { 2, 'P' },	{ 0, 'C' } };
	uint64_t rfl = value_of(c, "RFL");
	const struct mr_segment *ss = segment_of(c, "SS");
	char text[8] = "-------";

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (rfl >> flags[i].bit & 1)
			text[i] = flags[i].letter;
	(void)printf(" [%s] IF=%u CPL=%u HLT=%u", text,
		     (unsigned)(rfl >> 9 & 1),
		     ss ? (unsigned)(ss->flags >> 13 & 3) : 0, c->halted);
}

static void show_segments(const struct mr_cpu *c)
{
	for (size_t i = 0; i < c->n_segments; i++) {
		const struct mr_segment *s = &c->segments[i];

		if (!strcmp(s->name, "GDT") || !strcmp(s->name, "IDT"))
			(void)printf("%-3s=     %016" PRIx64 " %08" PRIx32 "\n",
				     s->name, s->base, s->limit);
		else
			(void)printf("%-3s=%04" PRIx32 " %016" PRIx64
				     " %08" PRIx32 " %08" PRIx32 "\n",
				     s->name, s->selector, s->base, s->limit,
				     s->flags);
	}
}

static void show_text_of(const struct mr_cpu *c)
{
	(void)printf("\nCPU#%" PRIu32 "%s\n", c->index,
		     c->described ? "" : " (by place: it is not described)");
	for (size_t i = 0; c->arm && i < c->n_regs; i++)
		(void)printf("%s%-3s=%016" PRIx64,
			     i % 4 ? " "
			     : i   ? "\n"
				   : "",
			     c->regs[i].name, c->regs[i].value);
	if (c->arm) {
		(void)putchar('\n');
		return;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (*rows[i][0] == '|') {
			show_segments(c);
			continue;
		}
		for (size_t k = 0; rows[i][k]; k++)
			(void)printf("%s%-3s=%016" PRIx64, k ? " " : "",
				     rows[i][k], value_of(c, rows[i][k]));
		if (!strcmp(rows[i][0], "RIP"))
			show_state(c);
		(void)putchar('\n');
	}
}

static void put_hex(const char *key, uint64_t v)
{
	char buf[24];

	(void)snprintf(buf, sizeof(buf), "0x%016" PRIx64, v);
	cli_json_put_text(key, buf);
}

static void put_json(const struct mr_cpu *c)
{
	cli_json_open('{');
	cli_json_put_number("index", c->index);
	cli_json_put_bool("described", c->described);
	cli_json_put_bool("halted", c->halted);
	cli_json_put_open("registers", '{');
	for (size_t i = 0; i < c->n_regs; i++)
		put_hex(c->regs[i].name, c->regs[i].value);
	cli_json_close();
	cli_json_put_open("segments", '{');
	for (size_t i = 0; i < c->n_segments; i++) {
		const struct mr_segment *s = &c->segments[i];

		cli_json_put_open(s->name, '{');
		cli_json_put_number("selector", s->selector);
		put_hex("base", s->base);
		cli_json_put_number("limit", s->limit);
		cli_json_put_number("flags", s->flags);
		cli_json_close();
	}
	cli_json_close();
	cli_json_close();
}

int show_cpus(const struct show *s, const struct mr_devices *d)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mr_cpu *cpus;
	size_t n;

	if (mr_cpus(d, &cpus, &n, &err))
		return cli_fail(&err, CLI_PATHS(s->path));
	if (cli.json)
		cli_json_put_open("cpus", '[');
	for (size_t i = 0; i < n; i++) {
		if (!cli.json) {
			show_text_of(&cpus[i]);
			continue;
		}
		cli_json_item();
		put_json(&cpus[i]);
	}
	if (cli.json)
		cli_json_close();
	free(cpus);
	return CLI_OK;
}
