/* work.c - what the kernel counts of a process. */
#include "libmr/vm/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return pid ? fopen(path, "re") : NULL;
}

uint64_t work_read(pid_t pid)
{
	FILE *f = open_proc(pid, "io");
	uint64_t n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "rchar: %" SCNu64, &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

/* What everybody may know: faults, and seconds of CPU time, of which a process
 * that waits takes next to none. */
static uint64_t faults_and_seconds(pid_t pid)
{
	FILE *f = open_proc(pid, "stat");
	uint64_t minor = 0, major = 0, user = 0, system = 0;
	char line[1024], *end = NULL;

	if (f && fgets(line, sizeof(line), f))
		end = strrchr(line, ')'); /* of its name */
	if (f)
		(void)fclose(f);
	if (!end || sscanf(end + 1,
			   " %*c %*d %*d %*d %*d %*d %*u %" SCNu64
			   " %*u %" SCNu64 " %*u %" SCNu64 " %" SCNu64,
			   &minor, &major, &user, &system) != 4)
		return 0;
	return minor + major + (user + system) / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t measure(pid_t pid)
{
	uint64_t n = work_read(pid);

	return n ? n : faults_and_seconds(pid);
}

void work_begin(struct work *w, pid_t pid, double patience, double now)
{
	*w = (struct work){ .pid = pid,
			    .patience = patience,
			    .since = now,
			    .done = measure(pid) };
}

bool work_goes_on(struct work *w, double now)
{
	uint64_t done = measure(w->pid);

	if (done != w->done) {
		w->done = done;
		w->since = now;
	}
	return now - w->since < w->patience;
}
