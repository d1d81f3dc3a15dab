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

static json_t *hex_json(uint64_t v)
{
	char buf[24];

	(void)snprintf(buf, sizeof(buf), "0x%016" PRIx64, v);
	return json_string(buf);
}

static json_t *json_of(const struct mr_cpu *c)
{
	json_t *regs = json_object(), *segments = json_object();

	for (size_t i = 0; i < c->n_regs; i++)
		(void)json_object_set_new(regs, c->regs[i].name,
					  hex_json(c->regs[i].value));
	for (size_t i = 0; i < c->n_segments; i++) {
		const struct mr_segment *s = &c->segments[i];

		(void)json_object_set_new(
			segments, s->name,
			json_pack("{s:I, s:o, s:I, s:I}", "selector",
				  (json_int_t)s->selector, "base",
				  hex_json(s->base), "limit",
				  (json_int_t)s->limit, "flags",
				  (json_int_t)s->flags));
	}
	return json_pack("{s:I, s:b, s:b, s:o, s:o}", "index",
			 (json_int_t)c->index, "described", (int)c->described,
			 "halted", (int)c->halted, "registers", regs,
			 "segments", segments);
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
		cli_json_tree(json_of(&cpus[i]));
	}
	if (cli.json)
		cli_json_close();
	free(cpus);
	return CLI_OK;
}
