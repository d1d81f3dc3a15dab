/* vmcoreinfo.c - a page of text in the guest's memory, found and read. */
#include "libmr/linux/vmcoreinfo.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"

#define FIRST "OSRELEASE="

/* ---- the text ---- */

/* Whether [p, end) is KEY=VALUE. */
static bool is_line(const char *p, const char *end)
{
	const char *equal = memchr(p, '=', (size_t)(end - p));

	for (const char *c = p; c < end; c++)
		if (*c < ' ' || *c > '~')
			return false;
	return equal && equal > p;
}

static bool begins(const char *p, const char *end, const char *with)
{
	size_t len = strlen(with);

	return (size_t)(end - p) > len && !memcmp(p, with, len);
}

size_t vmcoreinfo_length(const void *bytes)
{
	const char *text = bytes, *end = memchr(text, 0, VMCOREINFO_MAX);
	bool symbol = false, size = false;
	const char *nl;

	if (memcmp(text, FIRST, sizeof(FIRST) - 1) != 0)
		return 0;
	if (!end)
		end = text + VMCOREINFO_MAX;
	for (const char *p = end; p < text + VMCOREINFO_MAX; p++)
		if (*p)
			return 0;
	for (const char *p = text; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl || !is_line(p, nl))
			return 0;
		symbol |= begins(p, nl, "SYMBOL(");
		size |= begins(p, nl, "PAGESIZE=");
	}
	return symbol && size ? (size_t)(end - text) : 0;
}

const char *vmcoreinfo_get(const struct vmcoreinfo *v, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = v->text; *p; p = strchr(p, '\n') + 1)
		if (!strncmp(p, key, len) && p[len] == '=')
			return p + len + 1;
	return NULL;
}

bool vmcoreinfo_number(const struct vmcoreinfo *v, const char *key, bool hex,
		       uint64_t *out)
{
	const char *p = vmcoreinfo_get(v, key);
	bool minus = p && *p == '-' && !hex;
	uint64_t base = hex ? 16 : 10, sum = 0;

	if (!p || p[minus] == '\n')
		return false;
	p += minus;
	if (hex && p[0] == '0' && p[1] == 'x' && p[2] != '\n')
		p += 2;
	for (; *p != '\n'; p++) {
		static const char digits[] = "0123456789abcdef";
		const char *at = strchr(digits, *p | 0x20);
		uint64_t digit = at ? (uint64_t)(at - digits) : base;

		if (digit >= base || sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	*out = minus ? 0 - sum : sum;
	return true;
}

/* ---- where it is ---- */

enum { FETCH, LOOK };

struct reading {
	const struct memory *m;
	struct vmcoreinfo_search *x;
};

void vmcoreinfo_search_init(struct vmcoreinfo_search *x)
{
	*x = (struct vmcoreinfo_search){ .n = 0 };
	(void)pthread_mutex_init(&x->lock, NULL);
}

void vmcoreinfo_search_release(struct vmcoreinfo_search *x)
{
	(void)pthread_mutex_destroy(&x->lock);
	free(x->found);
	x->found = NULL;
}

static struct memory_part part_of(const struct reading *r,
				  const struct crew_slot *s)
{
	const struct memory_block *b = &r->m->blocks[s->extent.block];
	size_t page = r->m->page;

	return (struct memory_part){
		.block = b,
		.offset = s->extent.offset,
		.unit = page,
		.pages = (s->extent.length + page - 1) / page,
		.bits = b->bits + s->extent.offset / page / 64,
		.buf = s->buf,
	};
}

static bool is_before(const struct vmcoreinfo *a, size_t block, uint64_t offset)
{
	return a->block < block || (a->block == block && a->offset < offset);
}

/* One more; of equal ones the first stays, and of too many. */
static int add(struct vmcoreinfo_search *x, size_t block, uint64_t offset,
	       const unsigned char *text, size_t len, struct mr_error *err)
{
	struct vmcoreinfo *v;
	size_t i = 0;

	if (!x->found)
		x->found = calloc(VMCOREINFO_FOUND + 1, sizeof(*x->found));
	if (!x->found)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (; i < x->n; i++)
		if (x->found[i].len == len &&
		    !memcmp(x->found[i].text, text, len)) {
			if (is_before(&x->found[i], block, offset))
				return 0;
			memmove(&x->found[i], &x->found[i + 1],
				(--x->n - i) * sizeof(*v));
			break;
		}
	for (i = 0; i < x->n && is_before(&x->found[i], block, offset); i++)
		;
	if (i == VMCOREINFO_FOUND)
		return 0;
	v = &x->found[i];
	memmove(v + 1, v, (x->n - i) * sizeof(*v));
	*v = (struct vmcoreinfo){ .block = block,
				  .offset = offset,
				  .len = len };
	memcpy(v->text, text, len);
	if (x->n < VMCOREINFO_FOUND)
		x->n++;
	return 0;
}

/* Whether all of it has been read, or is made to look so. */
static bool is_there(const struct memory_part *p, size_t first, size_t end)
{
	if (bits_next_clear(p->bits, first, end) >= end)
		return true;
	/* What is in place is not ours. */
	if (!p->touched)
		memory_blank(p, first, end);
	return !p->touched;
}

int vmcoreinfo_look(struct vmcoreinfo_search *x, size_t block,
		    const struct memory_part *p, struct mr_error *err)
{
	size_t length = p->pages * p->unit;
	int rc = 0;

	for (size_t at = 0; at + VMCOREINFO_MAX <= length && !rc;
	     at += VMCOREINFO_MAX) {
		size_t first = at / p->unit;
		size_t last = (at + VMCOREINFO_MAX - 1) / p->unit;
		size_t len;

		if (!bits_test(p->bits, first) || p->buf[at] != FIRST[0] ||
		    !is_there(p, first, last + 1))
			continue;
		len = vmcoreinfo_length(p->buf + at);
		if (!len)
			continue;
		(void)pthread_mutex_lock(&x->lock);
		rc = add(x, block, p->offset + at, p->buf + at, len, err);
		(void)pthread_mutex_unlock(&x->lock);
	}
	return rc;
}

static int step(struct crew_worker *w, struct crew_slot *s,
		struct mr_error *err)
{
	const struct reading *r = crew_arg(w);
	struct memory_part p = part_of(r, s);
	int64_t n;

	if (s->stage == LOOK)
		return memory_fetched(r->m, &p, s, err) ||
				       vmcoreinfo_look(r->x, s->extent.block,
						       &p, err)
			       ? CREW_FAILED
			       : CREW_DONE;
	crew_progress(w, s->extent.length);
	n = memory_fetch(r->m, &p, w, s, err);
	if (n < 0)
		return CREW_FAILED;
	return n ? LOOK : CREW_DONE;
}

int vmcoreinfo_seek(struct vmcoreinfo_search *x, struct memory *m,
		    const struct vmcoreinfo_options *o, struct mr_error *err)
{
	struct reading r = { .m = m, .x = x };
	struct crew_plan plan = {
		.extent_size = m->extent,
		.lengths = &m->blocks[0].held,
		.stride = sizeof(m->blocks[0]),
		.blocks = m->n,
		.buffers = 1,
		.own_errors = true,
		.jobs = o->jobs,
		.step = step,
		.arg = &r,
		.watch = o->watch,
	};
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->n; i++)
		if (memory_map(m, &m->blocks[i],
			       m->blocks[i].held ? &bytes : NULL, err))
			return -1;
	memory_choose(m, o->direct, bytes);
	return crew_run(&plan, err);
}

int vmcoreinfo_find(struct memory *m, const struct vmcoreinfo_options *o,
		    struct vmcoreinfo **out, size_t *n, struct mr_error *err)
{
	struct vmcoreinfo_search x;
	int rc;

	vmcoreinfo_search_init(&x);
	rc = vmcoreinfo_seek(&x, m, o, err);
	*out = rc ? NULL : x.found;
	*n = rc ? 0 : x.n;
	if (!rc)
		x.found = NULL;
	vmcoreinfo_search_release(&x);
	return rc;
}
