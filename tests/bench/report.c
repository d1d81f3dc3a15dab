/* report.c - the table, build/bench.json, and what machine it was. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static json_t *root, *rows;

/* ---- numbers ---- */

struct stats {
	double min, median, max;
};

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static struct stats stats_of(const double *values, unsigned n)
{
	double v[MAX_ROUNDS];

	memcpy(v, values, n * sizeof(*v));
	qsort(v, n, sizeof(*v), compare);
	return (struct stats){ v[0], (v[(n - 1) / 2] + v[n / 2]) / 2,
			       v[n - 1] };
}

enum field { SECONDS, CPU, PEAK, GREW, STILL };

static double field_of(const struct sample *s, enum field field)
{
	switch (field) {
	case SECONDS:
		return s->seconds;
	case CPU:
		return s->cpu;
	case PEAK:
		return s->peak;
	case GREW:
		return s->grew;
	case STILL:
		return s->still;
	}
	return -1;
}

static struct stats stats(const struct result *r, size_t who, enum field f)
{
	double v[MAX_ROUNDS];

	for (unsigned i = 0; i < r->rounds; i++)
		v[i] = field_of(&r->samples[who][i], f);
	return stats_of(v, r->rounds);
}

/* a's time over b's, round by round. */
static struct stats ratio(const struct result *r, size_t a, size_t b)
{
	double v[MAX_ROUNDS];

	for (unsigned i = 0; i < r->rounds; i++)
		v[i] = r->samples[a][i].seconds / r->samples[b][i].seconds;
	return stats_of(v, r->rounds);
}

/* The one of this role with the best median time; r->n: there is none. */
static size_t best(const struct result *r, enum role role)
{
	size_t found = r->n;

	for (size_t i = 0; i < r->n; i++)
		if (r->contenders[i].role == role &&
		    (found == r->n || stats(r, i, SECONDS).median <
					      stats(r, found, SECONDS).median))
			found = i;
	return found;
}

/* ---- the table ---- */

#define COLUMNS "%-16s %5s  %-17s  %-17s %7s  %-17s  %-17s  %-21s %6s %6s  %s\n"

static const char *ratio_text(const struct result *r, size_t a, size_t b)
{
	static char bufs[2][32];
	static unsigned turn;
	char *buf = bufs[++turn % 2];
	struct stats s;

	if (a == r->n || b == r->n)
		return "-";
	s = ratio(r, a, b);
	(void)snprintf(buf, sizeof(bufs[0]), "%.2f %.2f %.2f", s.min, s.median,
		       s.max);
	return buf;
}

static int digits(double seconds)
{
	return seconds < 0.01 ? 6 : 3;
}

static const char *seconds_text(const struct result *r, size_t who)
{
	static char bufs[2][32];
	static unsigned turn;
	char *buf = bufs[++turn % 2];
	struct stats s;

	if (who == r->n)
		return "-";
	s = stats(r, who, SECONDS);
	/* What takes less than a millisecond has digits, too. */
	(void)snprintf(buf, sizeof(bufs[0]), "%.*f %.*f %.*f", digits(s.median),
		       s.min, digits(s.median), s.median, digits(s.median),
		       s.max);
	return buf;
}

/* So little data that costs per GiB of it say nothing. */
static bool is_empty(const struct result *r)
{
	return r->gib < 0.1;
}

/* Per GiB of guest data, or in all where there is hardly any. */
static double cpu_cost(const struct result *r, size_t who)
{
	double s = who < r->n ? stats(r, who, CPU).median : -1;

	return s < 0 || is_empty(r) ? s : s / r->gib;
}

static const char *number_text(char buf[16], double v, int digits)
{
	if (v < 0)
		return "-";
	(void)snprintf(buf, 16, "%.*f", digits, v);
	return buf;
}

static void print_row(const struct result *r, size_t ours, const char *name)
{
	size_t peer = best(r, PEER), limit = best(r, LIMIT);
	char gib[16], lim[16], cpu[48], a[16], b[16], peak[16], grew[16];
	double most = limit < r->n ? stats(r, limit, SECONDS).median : -1;

	(void)snprintf(gib, sizeof(gib), "%.2f", r->gib);
	(void)snprintf(cpu, sizeof(cpu), "%s / %s%s",
		       number_text(a, cpu_cost(r, ours), 3),
		       number_text(b, cpu_cost(r, peer), 3),
		       is_empty(r) ? " in all" : "");
	(void)snprintf(grew, sizeof(grew), "%.0f",
		       stats(r, ours, GREW).max / (double)MIB);
	printf(COLUMNS, name, gib, seconds_text(r, ours), seconds_text(r, peer),
	       number_text(lim, most, digits(most)), ratio_text(r, peer, ours),
	       ratio_text(r, ours, limit), cpu,
	       number_text(peak, stats(r, ours, PEAK).max / (double)MIB, 0),
	       grew, peer < r->n ? r->contenders[peer].name : "");
	if (!r->samples[ours][0].direct)
		printf("%-16s not by direct I/O\n", "");
	if (*r->samples[ours][0].remark)
		printf("%-16s %s\n", "", r->samples[ours][0].remark);
	if (peer < r->n && *r->samples[peer][0].remark)
		printf("%-16s %s\n", "", r->samples[peer][0].remark);
	if (limit < r->n && *r->samples[limit][0].remark)
		printf("%-16s %s\n", "", r->samples[limit][0].remark);
	(void)fflush(stdout);
}

static json_t *numbers(const struct result *r, size_t who, enum field f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->rounds; i++) {
		double v = field_of(&r->samples[who][i], f);

		(void)json_array_append_new(
			list, v < 0 && f != GREW ? json_null() : json_real(v));
	}
	return list;
}

static json_t *json_of(const struct result *r, size_t who)
{
	static const char *const roles[] = { "ours", "peer", "limit" };
	const struct contender *c = &r->contenders[who];

	return json_pack(
		"{s:s,s:s,s:b,s:s,s:o,s:o,s:o,s:o,s:o}", "name", c->name,
		"role", roles[c->role], "direct_io", r->samples[who][0].direct,
		"remark", r->samples[who][0].remark, "seconds",
		numbers(r, who, SECONDS), "cpu_seconds", numbers(r, who, CPU),
		"peak_bytes", numbers(r, who, PEAK), "vm_grew_bytes",
		numbers(r, who, GREW), "paused_seconds",
		numbers(r, who, STILL));
}

static void report_one(const struct result *r)
{
	json_t *list = json_array();
	unsigned ours = 0;
	char name[64];

	for (size_t i = 0; i < r->n; i++)
		ours += r->contenders[i].role == OURS;
	for (size_t i = 0; i < r->n; i++) {
		(void)json_array_append_new(list, json_of(r, i));
		if (r->contenders[i].role != OURS)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", r->set,
			       ours > 1 ? " " : "",
			       ours > 1 ? r->contenders[i].name : "");
		print_row(r, i, name);
	}
	(void)json_array_append_new(rows, json_pack("{s:s,s:f,s:o}", "name",
						    r->set, "gib", r->gib,
						    "contenders", list));
}

void report(const struct result *r)
{
	static struct result tail;
	static char name[64];

	report_one(r);
	if (!(r->samples[0][0].tail > 0))
		return;
	(void)snprintf(name, sizeof(name), "%s 99%%", r->set);
	tail = *r;
	tail.set = name;
	for (size_t i = 0; i < r->n; i++) {
		for (unsigned k = 0; k < r->rounds; k++) {
			tail.samples[i][k].seconds = tail.samples[i][k].tail;
			*tail.samples[i][k].remark = '\0';
		}
	}
	report_one(&tail);
}

void report_note(const char *set, const char *what)
{
	printf("%-16s %s\n", set, what);
	(void)fflush(stdout);
	(void)json_array_append_new(
		rows, json_pack("{s:s,s:s}", "name", set, "note", what));
}

/* ---- the machine ---- */

/* The rest of the first line that begins so, or "?". */
static const char *line_of(const char *path, const char *prefix)
{
	static char lines[2][512];
	static unsigned turn;
	char *line = lines[++turn % 2], *value = NULL;
	FILE *f = fopen(path, "r");

	while (f && !value && fgets(line, sizeof(lines[0]), f))
		if (!strncmp(line, prefix, strlen(prefix)))
			value = line + strlen(prefix);
	if (f)
		(void)fclose(f);
	if (!value)
		return "?";
	value += strspn(value, " \t:");
	value[strcspn(value, "\n")] = '\0';
	return value;
}

static const char *qemu_version(void)
{
	static char line[256];
	FILE *f = popen("qemu-system-x86_64 --version 2>/dev/null", "r");

	if (!f || !fgets(line, sizeof(line), f))
		die("there is no qemu-system-x86_64");
	(void)pclose(f);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* The type of the file system that the images lie on. */
static const char *file_system(void)
{
	static char type[64];
	char line[1024], *dash;
	unsigned major, minor;
	struct stat st;
	FILE *f = fopen("/proc/self/mountinfo", "r");

	if (stat(config.images, &st))
		die("%s: %s", config.images, strerror(errno));
	(void)strcpy(type, "?");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*d %u:%u", &major, &minor) != 2 ||
		    makedev(major, minor) != st.st_dev)
			continue;
		dash = strstr(line, " - ");
		if (dash)
			(void)sscanf(dash, " - %63s", type);
	}
	if (f)
		(void)fclose(f);
	return type;
}

static bool direct_works(void)
{
	int fd = open(config.images, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC,
		      0600);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/* GB/s, the best of five times. */
static double bandwidth(const char *what, const char *cores)
{
	const char *argv[] = { path_of(config.build, "tests/bench/bare"), what,
			       cores, "2048", NULL };
	double most = 0;

	for (int i = 0; i < 5; i++) {
		struct sample s = SAMPLE_NONE;
		json_t *out = child_run(argv, &s);
		double seconds =
			json_number_value(json_object_get(out, "seconds"));

		json_decref(out);
		if (2048.0 * (double)MIB / seconds / 1e9 > most)
			most = 2048.0 * (double)MIB / seconds / 1e9;
	}
	return most;
}

/* On one core and on two. */
static json_t *bandwidths(const char *what)
{
	return json_pack("[f,f]", bandwidth(what, "1"), bandwidth(what, "2"));
}

static json_t *machine(void)
{
	struct utsname u;
	json_t *m;

	(void)uname(&u);
	m = json_pack("{s:s,s:s,s:i,s:s,s:s,s:b,s:s,s:o,s:o}", "kernel",
		      u.release, "cpu", line_of("/proc/cpuinfo", "model name"),
		      "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "memory",
		      line_of("/proc/meminfo", "MemTotal"), "file_system",
		      file_system(), "direct_io", direct_works(), "qemu",
		      qemu_version(), "read_gb_per_s", bandwidths("memory"),
		      "copy_gb_per_s", bandwidths("process"));
	if (!m)
		die("no memory");
	return m;
}

static void print_machine(json_t *m)
{
	const char *cpu, *memory, *kernel, *fs, *qemu;
	double read[2], copy[2];
	int cpus, direct;

	if (json_unpack(m, "{s:s,s:i,s:s,s:s,s:s,s:b,s:s,s:[F,F],s:[F,F]}",
			"cpu", &cpu, "cpus", &cpus, "memory", &memory, "kernel",
			&kernel, "file_system", &fs, "direct_io", &direct,
			"qemu", &qemu, "read_gb_per_s", &read[0], &read[1],
			"copy_gb_per_s", &copy[0], &copy[1]))
		die("cannot say what machine this is");
	printf("machine    %s, %d CPUs, %s\n"
	       "kernel     %s, %s, direct I/O %s\n"
	       "peer       %s\n"
	       "memory     read %.1f and %.1f GB/s on 1 and 2 cores, "
	       "process_vm_readv %.1f and %.1f\n"
	       "rounds     %u, interleaved; three numbers are min, median and "
	       "max\n\n",
	       cpu, cpus, memory, kernel, fs, direct ? "works" : "is refused",
	       qemu, read[0], read[1], copy[0], copy[1], config.rounds);
}

void report_start(void)
{
	json_t *m = machine();

	print_machine(m);
	printf(COLUMNS, "row", "GiB", "ours, s", "peer, s", "limit s",
	       "peer / ours", "ours / limit", "CPU s/GiB", "peak", "VM",
	       "peer");
	printf(COLUMNS, "", "used", "", "", "", "(more is better)",
	       "(less is better)", "ours / peer", "MiB", "grew", "");
	(void)fflush(stdout);
	rows = json_array();
	root = json_pack("{s:i,s:o,s:b,s:i,s:o}", "version", 1, "machine", m,
			 "quick", config.quick, "rounds", (int)config.rounds,
			 "rows", rows);
	if (!root)
		die("no memory");
}

void report_end(void)
{
	if (json_dump_file(root, config.json, JSON_INDENT(1)))
		die("cannot write %s", config.json);
	json_decref(root);
}
