/* guest.c - what QMP tells about a VM. Its memory: guest_map.c, guest_read.c.
 */
#include "libmr/vm/guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmr/base/error.h"
#include "libmr/vm/ask.h"
#include "libmr/vm/qmp.h"

/* The first QEMU whose x-query-ramblock has the HVA column. */
#define MIN_MAJOR 8
/* QEMU has at most a few hundred memory slots. */
#define MAX_BLOCKS 4096
/* Of PSize's column in x-query-ramblock. */
#define PSIZE_WIDTH 8

/* ---- x-query-ramblock ---- */

/* A line of text that is eaten from its right end. */
struct tail {
	const char *text;
	size_t len;
};

static struct tail last_word(struct tail *t)
{
	struct tail word;

	while (t->len && t->text[t->len - 1] == ' ')
		t->len--;
	word.len = t->len;
	while (t->len && t->text[t->len - 1] != ' ')
		t->len--;
	word.text = t->text + t->len;
	word.len -= t->len;
	return word;
}

static bool is_word(struct tail word, const char *text)
{
	return word.len == strlen(text) && !memcmp(word.text, text, word.len);
}

static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* 0x and 16 digits, as QEMU prints all of them. */
static bool hex_word(struct tail *t, uint64_t *out)
{
	struct tail w = last_word(t);

	*out = 0;
	if (w.len != 18 || memcmp(w.text, "0x", 2) != 0)
		return false;
	for (size_t i = 2; i < w.len; i++) {
		unsigned digit = hex_digit(w.text[i]);

		if (digit > 15)
			return false;
		*out = *out << 4 | digit;
	}
	return true;
}

/* "4 KiB", right-aligned in its column; leaves t at that column's beginning. */
static bool page_size(struct tail *t, uint64_t *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	struct tail unit = last_word(t), number = last_word(t);
	size_t width = (size_t)(unit.text + unit.len - number.text);
	size_t pad = width < PSIZE_WIDTH ? PSIZE_WIDTH - width : 0;

	*out = 0;
	if (number.len < 1 || number.len > 4 || t->len < pad)
		return false;
	t->len -= pad;
	for (size_t i = 0; i < number.len; i++) {
		if (number.text[i] < '0' || number.text[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(number.text[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (is_word(unit, units[i])) {
			*out <<= 10 * i;
			return true;
		}
	return false;
}

/* What is left of the line: padding, the name, one space. */
static bool block_name(struct tail *t, char name[256])
{
	if (t->len == 0 || t->text[t->len - 1] != ' ')
		return false;
	t->len--;
	while (t->len && *t->text == ' ') {
		t->text++;
		t->len--;
	}
	if (t->len > 255 || memchr(t->text, '\0', t->len))
		return false;
	memcpy(name, t->text, t->len);
	name[t->len] = '\0';
	return true;
}

/* Whether a migratable block can be what it says. NULL, or what is wrong. */
static const char *implausible(const struct guest_block *b, bool hva)
{
	if (b->page_size < GUEST_PAGE || (b->page_size & (b->page_size - 1)))
		return "page size";
	if (b->used % GUEST_PAGE || b->used > b->total)
		return "used length";
	if (b->total > INT64_MAX || b->hva > INT64_MAX ||
	    b->hva + b->total > INT64_MAX)
		return "extent";
	if (hva && (b->hva == 0 || b->hva % GUEST_PAGE))
		return "address";
	return NULL;
}

/* The columns HVA and RO. */
static int take_place(struct tail *line, struct guest_block *b,
		      struct mr_error *err)
{
	struct tail mode = last_word(line);

	if (!is_word(mode, "ro") && !is_word(mode, "rw"))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "x-query-ramblock has no HVA and RO columns "
				 "(QEMU before %d.0?)",
				 MIN_MAJOR);
	return hex_word(line, &b->hva) ? 0 : -1;
}

static int parse_line(struct tail line, bool hva, struct guest_block *b,
		      struct mr_error *err)
{
	uint64_t offset;
	const char *what;

	*b = (struct guest_block){ .name = "" };
	if ((hva && take_place(&line, b, err)) || !hex_word(&line, &b->total) ||
	    !hex_word(&line, &b->used) || !hex_word(&line, &offset) ||
	    !page_size(&line, &b->page_size) || !block_name(&line, b->name))
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "x-query-ramblock has a line of another form: "
				 "%.100s",
				 line.text);
	b->migratable = b->name[0] != '\0';
	what = b->migratable ? implausible(b, hva) : NULL;
	if (what)
		return error_set(
			err, MR_QMP, MR_NO_OFFSET,
			"x-query-ramblock: block '%.64s' has an "
			"impossible %s (page size %" PRIu64 ", used 0x%" PRIx64
			", total 0x%" PRIx64 ", at 0x%" PRIx64 ")",
			b->name, what, b->page_size, b->used, b->total, b->hva);
	return 0;
}

static struct guest_block *find(struct guest_block *blocks, size_t n,
				const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (blocks[i].migratable && !strcmp(blocks[i].name, name))
			return &blocks[i];
	return NULL;
}

static int parse_lines(const char *text, bool hva, struct guest_block *blocks,
		       size_t *n, struct mr_error *err)
{
	while (*text) {
		struct tail line = { text, strcspn(text, "\n") };
		struct guest_block *b = &blocks[*n];

		text += line.len;
		text += *text == '\n';
		while (line.len && strchr(" \r", line.text[line.len - 1]))
			line.len--;
		if (line.len == 0)
			continue;
		if (*n == MAX_BLOCKS)
			return error_set(err, MR_QMP, MR_NO_OFFSET,
					 "x-query-ramblock lists more than %d "
					 "blocks",
					 MAX_BLOCKS);
		if (parse_line(line, hva, b, err))
			return -1;
		if (b->migratable && find(blocks, *n, b->name))
			return error_set(
				err, MR_QMP, MR_NO_OFFSET,
				"x-query-ramblock: two blocks are named "
				"'%.64s'",
				b->name);
		++*n;
	}
	return 0;
}

int guest_parse_ramblock(const char *text, bool hva,
			 struct guest_block **blocks, size_t *n_blocks,
			 struct mr_error *err)
{
	static const char title[] = "Block Name";
	struct guest_block *all, *fit;
	size_t n = 0;

	*blocks = NULL;
	*n_blocks = 0;
	text += strspn(text, " ");
	if (strncmp(text, title, sizeof(title) - 1) != 0)
		return error_set(err, MR_QMP, MR_NO_OFFSET,
				 "x-query-ramblock does not begin with its "
				 "header line");
	text += strcspn(text, "\n");
	all = calloc(MAX_BLOCKS + 1, sizeof(*all));
	if (!all)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the list of RAM blocks");
	if (parse_lines(text, hva, all, &n, err)) {
		free(all);
		return -1;
	}
	fit = realloc(all, (n ? n : 1) * sizeof(*all));
	*blocks = fit ? fit : all;
	*n_blocks = n;
	return 0;
}

/* ---- the VM ---- */

static int look_version(struct guest *g, const struct qmp *q,
			struct mr_error *err)
{
	struct ask_version v;

	if (ask_version(q, &v, err))
		return -1;
	g->major = v.major;
	g->minor = v.minor;
	g->micro = v.micro;
	return 0;
}

static bool tells_places(const struct guest *g)
{
	return g->major >= MIN_MAJOR;
}

static int look_status(struct guest *g, struct qmp *q, struct mr_error *err)
{
	struct ask_status s;

	if (ask_status(q, &s, err))
		return -1;
	memcpy(g->status, s.name, sizeof(g->status));
	g->running = s.running;
	return 0;
}

static int look_blocks(struct guest *g, struct qmp *q, struct mr_error *err)
{
	g->listing = ask_ramblock(q, err);
	if (!g->listing)
		return -1;
	return guest_parse_ramblock(g->listing, tells_places(g), &g->blocks,
				    &g->n_blocks, err);
}

static void drop_blocks(struct guest *g)
{
	guest_unmap(g);
	free(g->blocks);
	free(g->listing);
	g->blocks = NULL;
	g->n_blocks = 0;
	g->listing = NULL;
}

int guest_refresh(struct guest *g, struct qmp *q, struct mr_error *err)
{
	drop_blocks(g);
	return look_status(g, q, err) || look_blocks(g, q, err) ? -1 : 0;
}

/* A block is called after its backend. In a folder QEMU makes itself a new file
 * without a name. */
static void note_file(void *arg, const char *id, const char *path)
{
	static const char objects[] = "/objects/";
	struct guest *g = arg;
	struct stat st;

	for (size_t i = 0; i < g->n_blocks; i++) {
		struct guest_block *b = &g->blocks[i];
		const char *name = b->name;

		if (!strncmp(name, objects, sizeof(objects) - 1))
			name += sizeof(objects) - 1;
		if (strcmp(name, id) != 0)
			continue;
		b->in_file = true;
		if (stat(path, &st) || !S_ISDIR(st.st_mode))
			(void)snprintf(b->file, sizeof(b->file), "%s", path);
	}
}

int guest_ask_files(struct guest *g, struct qmp *q, struct mr_error *err)
{
	return ask_memory_files(q, note_file, g, err);
}

static struct guest *new_guest(pid_t pid, struct mr_error *err)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for a VM's description");
		return NULL;
	}
	g->pid = pid;
	g->pagemap = -1;
	return g;
}

static int check_version(const struct guest *g, struct mr_error *err)
{
	if (tells_places(g))
		return 0;
	return error_set(err, MR_REFUSED, MR_NO_OFFSET,
			 "QEMU %d.%d.%d does not tell where its memory is: "
			 "%d.0 or later is needed",
			 g->major, g->minor, g->micro, MIN_MAJOR);
}

static struct guest *look(struct qmp *q, pid_t pid, bool any,
			  struct mr_error *err)
{
	struct guest *g = new_guest(pid, err);

	if (g &&
	    (look_version(g, q, err) || (!any && check_version(g, err)) ||
	     (pid == 0 && qmp_peer_pid(q, &g->pid, err)) ||
	     ask_machine(q, g->machine, err) || guest_refresh(g, q, err))) {
		guest_free(g);
		g = NULL;
	}
	return g;
}

struct guest *guest_open(struct qmp *q, pid_t pid, struct mr_error *err)
{
	return look(q, pid, false, err);
}

struct guest *guest_open_any(struct qmp *q, struct mr_error *err)
{
	return look(q, 0, true, err);
}

struct guest *guest_new(pid_t pid, const struct guest_block *blocks,
			size_t n_blocks, struct mr_error *err)
{
	struct guest *g = new_guest(pid, err);

	if (!g)
		return NULL;
	g->blocks = calloc(n_blocks + 1, sizeof(*blocks));
	if (!g->blocks) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory for the list of RAM blocks");
		guest_free(g);
		return NULL;
	}
	g->n_blocks = n_blocks;
	for (size_t i = 0; i < n_blocks; i++) {
		g->blocks[i] = blocks[i];
		g->blocks[i].segments = NULL;
		g->blocks[i].n_segments = 0;
	}
	return g;
}

void guest_free(struct guest *g)
{
	if (!g)
		return;
	drop_blocks(g);
	free(g);
}

struct guest_block *guest_find(const struct guest *g, const char *name)
{
	return find(g->blocks, g->n_blocks, name);
}
