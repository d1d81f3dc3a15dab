/*
 * guest.c - the guest that the tests save, load and move.
 *
 * It fills memory with a pattern that follows from the address, then checks
 * it for ever, and says so on the serial port (COM1):
 *
 *   memory N MiB, fill N MiB, zero N MiB, untouched N MiB
 *   ready          all is written
 *   count N        grows by one with each 2 MiB checked
 *   pass N         everything was checked once more, after "pass N-1"
 *   BAD ADDR       a wrong word, hexadecimal; it never counts again
 *
 * Memory, in granules of 2 MiB (so that a host with huge pages gives memory
 * for nothing else):
 *
 *   1 MiB      this program, its page tables from 4 MiB
 *   8 MiB      256 pages, data and zero in turn
 *   9 MiB      96 pages that turn from data to zero and back with each count,
 *              even ones when odd ones turn back
 *   10 MiB     6 MiB whose pages all say the count (tick=1), one after the
 *              other: at one moment they say no more than two numbers
 *   16 MiB...  granules of data, of written zeros, and never touched,
 *              spread evenly over all memory
 *
 * The command line (-append) says how much; sizes are 4K 1M 2G:
 *
 *   fill=SIZE       data (default: 3/8 of the memory)
 *   zero=SIZE       written zeros (default: 1/16)
 *   every=N         only each N-th page of the data has any, the rest is zero
 *   tick=1          the pages of 10 MiB are used
 *   turn=SIZE:SIZE  after each pass so much of the data in so much of memory
 *                   (1M:10M) is written anew, and "turned N" said
 *   rest=1          after the first pass it sleeps until it gets an NMI
 *   range=BASE:SIZE memory that the memory map leaves out, such as a dimm
 */
#include <stdint.h>

enum {
	PAGE = 4096,
	GRANULE = 2 << 20,
	TABLES = 4 << 20, /* up to the mixed pages: 1024 tables, a TiB */
	MIXED = 8 << 20,
	MIXED_PAGES = 256,
	TOGGLE = 9 << 20,
	TOGGLE_PAGES = 96,
	TICK = 10 << 20,
	TICK_END = 16 << 20,
	FIRST = 16 << 20,
	MAX_RANGES = 8,
	COM1 = 0x3f8,
};

struct boot_info { /* Multiboot 1; what is used of it */
	uint32_t flags, mem_lower, mem_upper, boot_device;
	uint32_t cmdline;
	uint32_t modules, modules_addr, syms[4];
	uint32_t map_length, map_addr;
};

struct boot_range {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type; /* 1: memory */
} __attribute__((packed));

struct range {
	uint64_t base, granules;
};

enum use { UNTOUCHED, FILLED, ZEROED };

static struct range ranges[MAX_RANGES];
static unsigned int nranges;
static uint64_t granules, filled, zeroed; /* numbers of granules */
static uint64_t every = 1;
static int ticks;
static uint64_t turn_span, turn_each = 1; /* pages */
static uint64_t turned; /* times */
static uint64_t tables_used;
static uint64_t bad; /* first wrong address */
static volatile uint64_t last_count; /* must stay what the register says */

extern uint64_t pml4[512], pdpt[8 * 512];
void guest_main(const struct boot_info *info);
void *memset(void *dst, int c, unsigned long n);
void nmi(void);

/* The compiler may call it. */
void *memset(void *dst, int c, unsigned long n)
{
	void *to = dst;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return dst;
}

/* ---- the serial port ---- */

static void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(const char *s)
{
	for (; *s; s++) {
		while (!(in8(COM1 + 5) & 0x20))
			;
		out8(COM1, (uint8_t)*s);
	}
}

static void put_number(uint64_t n, unsigned int base)
{
	char buf[24], *p = buf + sizeof(buf);

	*--p = '\0';
	do {
		*--p = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	put(p);
}

static void put_line(const char *what, uint64_t n, unsigned int base)
{
	put(what);
	put_number(n, base);
	put("\n");
}

/* ---- the command line ---- */

/* Reads "12M"; *s moves behind it. */
static uint64_t number(const char **s)
{
	uint64_t n = 0;

	for (; **s >= '0' && **s <= '9'; (*s)++)
		n = n * 10 + (uint64_t)(**s - '0');
	for (unsigned int i = 0; i < 3; i++) {
		if (**s == "KMG"[i]) {
			(*s)++;
			return n << (10 * (i + 1));
		}
	}
	return n;
}

/* The value of the n-th word "key=value" of the line, or 0. */
static const char *option(const char *line, const char *key, unsigned int n)
{
	for (; *line; line++) {
		const char *k = key, *l = line + 1;

		if (*line != ' ')
			continue;
		while (*k && *k == *l) {
			k++;
			l++;
		}
		if (!*k && *l == '=' && !n--)
			return l + 1;
	}
	return 0;
}

/* ---- memory ---- */

static void add_range(uint64_t base, uint64_t length)
{
	uint64_t end = (base + length) & ~(uint64_t)(GRANULE - 1);

	if (base < FIRST)
		base = FIRST;
	base = (base + GRANULE - 1) & ~(uint64_t)(GRANULE - 1);
	if (base >= end || nranges == MAX_RANGES)
		return;
	ranges[nranges].base = base;
	ranges[nranges].granules = (end - base) / GRANULE;
	granules += ranges[nranges++].granules;
}

static uint64_t find_memory(const struct boot_info *info, const char *line)
{
	uintptr_t at = info->map_addr, end = at + info->map_length;
	uint64_t total = 0;
	const char *s;

	while (at < end) {
		const struct boot_range *r = (const struct boot_range *)at;

		if (r->type == 1) {
			total += r->length;
			add_range(r->base, r->length);
		}
		at += r->size + sizeof(r->size);
	}
	for (unsigned int i = 0; (s = option(line, "range", i)); i++) {
		uint64_t base = number(&s), length;

		if (*s++ != ':')
			break;
		length = number(&s);
		total += length;
		add_range(base, length);
	}
	return total;
}

/* Maps the GiB around addr, if it is not; boot.S has mapped the first. */
static void map(uint64_t addr)
{
	uint64_t gib = addr >> 30, *pd;

	if (gib >= sizeof(pdpt) / sizeof(pdpt[0]) || pdpt[gib])
		return;
	pd = (uint64_t *)(TABLES + PAGE * tables_used++);
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = (gib << 30) | i * GRANULE | 0x83;
	pml4[gib >> 9] = (uint64_t)(uintptr_t)&pdpt[gib & ~511ULL] | 3;
	pdpt[gib] = (uint64_t)(uintptr_t)pd | 3;
}

/*
 * Each page has a stream of its own, started from a well mixed seed: cheap to
 * make and to check, and neither zero, nor equal to another page, nor worth
 * compressing.
 */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

#define NEXT(x) ((x)*6364136223846793005 + 1442695040888963407)

static void fill_page(uint64_t addr, uint64_t salt)
{
	uint64_t x = mix(addr ^ salt);
	volatile uint64_t *p = (volatile uint64_t *)addr;

	for (unsigned int i = 0; i < PAGE / 8; i += 4) {
		p[i] = x = NEXT(x);
		p[i + 1] = x = NEXT(x);
		p[i + 2] = x = NEXT(x);
		p[i + 3] = x = NEXT(x);
	}
}

/* Written, so that the host gives a page. */
static void zero_page(uint64_t addr)
{
	volatile uint64_t *p = (volatile uint64_t *)addr;

	for (unsigned int i = 0; i < PAGE / 8; i++)
		p[i] = 0;
}

static void is_bad(const volatile void *addr)
{
	if (!bad)
		bad = (uint64_t)(uintptr_t)addr;
}

static void check_page(uint64_t addr, uint64_t salt)
{
	uint64_t x = mix(addr ^ salt);
	const volatile uint64_t *p = (const volatile uint64_t *)addr;

	for (unsigned int i = 0; i < PAGE / 8; i++)
		if (p[i] != (x = NEXT(x)))
			return is_bad(&p[i]);
}

static void check_zero_page(uint64_t addr)
{
	const volatile uint64_t *p = (const volatile uint64_t *)addr;

	for (unsigned int i = 0; i < PAGE / 8; i++)
		if (p[i])
			return is_bad(&p[i]);
}

/* ---- which granule holds what ---- */

/* Walks all granules, spreading data and zeros evenly among them. */
struct walk {
	unsigned int range;
	uint64_t granule; /* of the range */
	uint64_t fill_due, zero_due;
};

/* The next granule, and *use; 0 at the end. */
static uint64_t walk_next(struct walk *w, enum use *use)
{
	while (w->range < nranges && w->granule == ranges[w->range].granules) {
		w->range++;
		w->granule = 0;
	}
	if (w->range == nranges)
		return 0;
	*use = UNTOUCHED;
	w->fill_due += filled;
	if (w->fill_due >= granules) {
		w->fill_due -= granules;
		*use = FILLED;
	} else {
		w->zero_due += zeroed;
		if (w->zero_due >= granules - filled) {
			w->zero_due -= granules - filled;
			*use = ZEROED;
		}
	}
	return ranges[w->range].base + w->granule++ * GRANULE;
}

static int page_has_data(uint64_t page, enum use use)
{
	return use == FILLED && (every == 1 || page % every == 0);
}

static int page_turns(uint64_t addr)
{
	return addr / PAGE % turn_each < turn_span;
}

static void write_granule(uint64_t addr, enum use use)
{
	for (uint64_t i = 0; i < GRANULE / PAGE; i++) {
		if (page_has_data(i, use))
			fill_page(addr + i * PAGE, 0);
		else
			zero_page(addr + i * PAGE);
	}
}

static void check_granule(uint64_t addr, enum use use)
{
	for (uint64_t i = 0; i < GRANULE / PAGE; i++) {
		uint64_t at = addr + i * PAGE;

		if (page_has_data(i, use))
			check_page(at, page_turns(at) ? turned : 0);
		else
			check_zero_page(at);
	}
}

static void write_all(void)
{
	struct walk w = { 0 };
	enum use use;
	uint64_t addr;

	for (uint64_t i = 0; i < MIXED_PAGES; i += 2) {
		fill_page(MIXED + i * PAGE, 0);
		zero_page(MIXED + (i + 1) * PAGE);
	}
	while ((addr = walk_next(&w, &use))) {
		if (use == UNTOUCHED)
			continue;
		map(addr);
		write_granule(addr, use);
	}
}

/* Before count, the pages whose number has its oddness hold data. */
static void toggle(uint64_t count)
{
	for (uint64_t i = 0; i < TOGGLE_PAGES; i++) {
		uint64_t addr = TOGGLE + i * PAGE;

		if ((i ^ count) & 1) {
			check_zero_page(addr);
			fill_page(addr, count + 1);
		} else {
			check_page(addr, count);
			zero_page(addr);
		}
	}
}

static void tick(uint64_t count)
{
	for (uint64_t addr = TICK; addr < TICK_END; addr += PAGE) {
		volatile uint64_t *p = (volatile uint64_t *)addr;

		if (*p != count)
			is_bad(p);
		*p = count + 1;
	}
}

static uint64_t counted(uint64_t count)
{
	if (last_count != count)
		is_bad(&last_count);
	toggle(count);
	if (ticks)
		tick(count);
	last_count = ++count;
	put_line(bad ? "BAD " : "count ", bad ? bad : count, bad ? 16 : 10);
	return count;
}

static uint64_t check_all(uint64_t count)
{
	struct walk w = { 0 };
	enum use use;
	uint64_t addr;

	for (uint64_t i = 0; i < MIXED_PAGES; i += 2) {
		check_page(MIXED + i * PAGE, 0);
		check_zero_page(MIXED + (i + 1) * PAGE);
	}
	count = counted(count);
	while ((addr = walk_next(&w, &use))) {
		if (use == UNTOUCHED)
			continue;
		check_granule(addr, use);
		count = counted(count);
	}
	return count;
}

static void turn_granule(uint64_t addr)
{
	for (uint64_t i = 0; i < GRANULE / PAGE; i++) {
		uint64_t at = addr + i * PAGE;

		if (page_has_data(i, FILLED) && page_turns(at))
			fill_page(at, turned);
	}
}

static void turn(void)
{
	struct walk w = { 0 };
	enum use use;
	uint64_t addr;

	turned++;
	while ((addr = walk_next(&w, &use)))
		if (use == FILLED)
			turn_granule(addr);
	put_line("turned ", turned, 10);
}

/* ---- sleep ---- */

struct gate { /* of the interrupt table */
	uint16_t low, segment, type, middle;
	uint32_t high, zero;
};

/* An NMI is the one interrupt that is not off. */
static void sleep(void)
{
	static struct gate gates[3];
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed))
	table = { sizeof(gates) - 1, (uintptr_t)gates };

	gates[2] = (struct gate){ .low = (uint16_t)(uintptr_t)nmi,
				  .segment = 8,
				  .type = 0x8e00,
				  .middle = (uint16_t)((uintptr_t)nmi >> 16) };
	__asm__ volatile("lidt %0\n\thlt" : : "m"(table) : "memory");
}

/* ---- the story ---- */

static uint64_t granules_of(const char *line, const char *key,
			    uint64_t fallback, uint64_t max)
{
	const char *s = option(line, key, 0);
	uint64_t n = fallback;

	if (s)
		n = (number(&s) + GRANULE - 1) / GRANULE;
	return n < max ? n : max;
}

static void say_layout(uint64_t total)
{
	put("memory ");
	put_number(total >> 20, 10);
	put(" MiB, fill ");
	put_number(filled * GRANULE >> 20, 10);
	put(" MiB, zero ");
	put_number(zeroed * GRANULE >> 20, 10);
	put(" MiB, untouched ");
	put_number((granules - filled - zeroed) * GRANULE >> 20, 10);
	put(" MiB\n");
}

void guest_main(const struct boot_info *info)
{
	const char *line = (const char *)(uintptr_t)info->cmdline, *s;
	uint64_t total = find_memory(info, line), count = 0, pass = 0;

	filled = granules_of(line, "fill", granules * 3 / 8, granules);
	zeroed = granules_of(line, "zero", granules / 16, granules - filled);
	s = option(line, "every", 0);
	if (s)
		every = number(&s);
	if (!every)
		every = 1;
	ticks = option(line, "tick", 0) != 0;
	for (uint64_t addr = TICK; ticks && addr < TICK_END; addr += PAGE)
		zero_page(addr);
	s = option(line, "turn", 0);
	if (s) {
		turn_span = number(&s) / PAGE;
		s++;
		turn_each = number(&s) / PAGE;
	}
	if (!turn_each)
		turn_each = 1;
	say_layout(total);
	write_all();
	for (uint64_t i = 0; i < TOGGLE_PAGES; i++) {
		if (i & 1)
			zero_page(TOGGLE + i * PAGE);
		else
			fill_page(TOGGLE + i * PAGE, 0);
	}
	put("ready\n");
	for (;;) {
		count = check_all(count);
		if (!bad)
			put_line("pass ", ++pass, 10);
		if (pass == 1 && option(line, "rest", 0))
			sleep();
		if (!bad && turn_span)
			turn();
	}
}
