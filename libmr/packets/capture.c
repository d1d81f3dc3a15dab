/* capture.c - the verb mr_capture_read: a migration into nothing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/mr.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/base/zeros.h"
#include "libmr/memory/sink.h"
#include "libmr/wire/colo.h"
#include "libmr/wire/replay.h"

/* Seconds without a byte; of files it is only who hangs that needs one. */
#define LIMIT 60u

/* Of a block: the pages that came in this round. */
struct seen {
	uint64_t *bits;
	uint64_t size; /* bytes */
	bool any;
};

/* The sink of all threads. */
struct judge {
	struct sink sink;
	pthread_mutex_t lock;
	struct mr_capture_info *info;
	struct intake in;
	struct seen *seen; /* of info->blocks */
	struct mr_capture_pages round;
	uint64_t channels; /* bytes of them up to the last barrier */
	uint64_t checkpoint; /* that comes */
	/* What rounds, checkpoints and words have room for. */
	size_t room, checkpoint_room, word_room;
};

/* ---- pages ---- */

static int begin(struct sink *k, const struct memory *m, struct mr_error *err)
{
	struct judge *j = (struct judge *)(void *)k;

	j->info->blocks = calloc(m->n, sizeof(*j->info->blocks));
	j->seen = calloc(m->n, sizeof(*j->seen));
	if (!j->info->blocks || !j->seen)
		goto nomem;
	for (size_t i = 0; i < m->n; i++) {
		struct mr_capture_block *b = &j->info->blocks[i];

		b->name = strdup(m->blocks[i].name);
		b->length = m->blocks[i].length;
		j->info->n_blocks++;
		j->seen[i].size = bits_size(b->length / m->page);
		j->seen[i].bits = zeros_new(j->seen[i].size);
		if (!b->name || !j->seen[i].bits)
			goto nomem;
	}
	return 0;
nomem:
	return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
}

static void add(struct mr_capture_pages *to, const struct mr_capture_pages *p)
{
	to->data += p->data;
	to->zero += p->zero;
	to->twice += p->twice;
}

static void came(struct judge *j, size_t block, uint64_t offset, uint64_t pages,
		 uint64_t data)
{
	struct seen *s = &j->seen[block];
	uint64_t first = offset / j->in.memory.page;
	struct mr_capture_pages p = { .data = data, .zero = pages - data };

	(void)pthread_mutex_lock(&j->lock);
	p.twice = bits_count(s->bits, first, pages);
	bits_set(s->bits, first, pages);
	s->any = true;
	add(&j->round, &p);
	add(&j->info->blocks[block].pages, &p);
	(void)pthread_mutex_unlock(&j->lock);
}

static int put(struct sink *k, const struct sink_hand *h, size_t block,
	       const struct memory_part *p, struct mr_error *err)
{
	(void)h;
	(void)err;
	came((struct judge *)(void *)k, block, p->offset, p->pages,
	     bits_count(p->bits, 0, p->pages));
	return 0;
}

static int zero(struct sink *k, const struct sink_hand *h, size_t block,
		uint64_t offset, uint64_t length, struct mr_error *err)
{
	struct judge *j = (struct judge *)(void *)k;

	(void)h;
	(void)err;
	came(j, block, offset, length / j->in.memory.page, 0);
	return 0;
}

/* What a page was before does not matter to who counts it. */
static int get(struct sink *k, const struct sink_hand *h, size_t block,
	       uint64_t offset, unsigned char *page, struct mr_error *err)
{
	const struct judge *j = (const struct judge *)(const void *)k;

	(void)h;
	(void)block;
	(void)offset;
	(void)err;
	memset(page, 0, j->in.memory.page);
	return 0;
}

static const struct sink_ops ops = {
	.begin = begin, .put = put, .zero = zero, .get = get
};

/* ---- rounds ---- */

static int forget_pages(struct judge *j)
{
	for (size_t i = 0; i < j->info->n_blocks; i++) {
		struct seen *s = &j->seen[i];

		if (!s->any)
			continue;
		zeros_free(s->bits, s->size);
		s->bits = zeros_new(s->size);
		if (!s->bits)
			return -1;
		s->any = false;
	}
	return 0;
}

static int round_over(void *arg, uint64_t at)
{
	struct judge *j = arg;
	struct mr_capture_info *info = j->info;

	if (!j->round.data && !j->round.zero)
		return 0;
	if (grow(&info->rounds, &j->room, info->n_rounds,
		 sizeof(*info->rounds)))
		return -1;
	info->rounds[info->n_rounds++] =
		(struct mr_capture_round){ .pages = j->round,
					   .checkpoint = j->checkpoint,
					   .main_end = at,
					   .seconds = -1 };
	add(&info->pages, &j->round);
	j->round = (struct mr_capture_pages){ .data = 0 };
	return forget_pages(j);
}

/* All channels wait. */
static int barrier(void *arg, uint64_t at)
{
	struct judge *j = arg;

	j->channels = 0;
	for (size_t i = 0; i < j->in.n_channels; i++)
		j->channels += j->in.channels[i].link.at;
	return round_over(j, at);
}

/* ---- checkpoints ---- */

static int add_word(struct judge *j, enum colo_message message, uint64_t offset,
		    uint64_t end)
{
	struct mr_capture_info *info = j->info;

	if (!offset)
		return 0;
	if (grow(&info->words, &j->word_room, info->n_words,
		 sizeof(*info->words)))
		return -1;
	info->words[info->n_words++] =
		(struct mr_capture_word){ .name = colo_name(message),
					  .checkpoint = j->checkpoint,
					  .offset = offset,
					  .bytes = end - offset,
					  .seconds = -1 };
	return 0;
}

static int add_words(struct judge *j, uint64_t end)
{
	const uint64_t *said = j->in.said;
	uint64_t size = said[COLO_SIZE] ? said[COLO_SIZE] : end;
	uint64_t send = said[COLO_SEND] ? said[COLO_SEND] : end;

	return add_word(j, COLO_REQUEST, said[COLO_REQUEST], send) ||
			       add_word(j, COLO_SEND, said[COLO_SEND], size) ||
			       add_word(j, COLO_SIZE, said[COLO_SIZE], end)
		       ? -1
		       : 0;
}

static int add_checkpoint(struct judge *j, const struct tail *t,
			  uint64_t channels, size_t round)
{
	struct mr_capture_info *info = j->info;
	uint64_t end = mr_reader_tell(&j->in.r);
	struct mr_capture_checkpoint *c;

	if (grow(&info->checkpoints, &j->checkpoint_room, info->n_checkpoints,
		 sizeof(*info->checkpoints)) ||
	    round_over(j, end) || add_words(j, end))
		return -1;
	c = &info->checkpoints[info->n_checkpoints++];
	*c = (struct mr_capture_checkpoint){ .rounds = info->n_rounds - round,
					     .bytes = end -
						      j->in.said[COLO_REQUEST] +
						      j->channels - channels,
					     .device = t->len,
					     .main_end = end,
					     .seconds = -1 };
	for (; round < info->n_rounds; round++)
		add(&c->pages, &info->rounds[round].pages);
	return 0;
}

/* The next one: 1; 0: there are no more; -1: no memory, or *damage. */
static int next_checkpoint(struct judge *j, struct mr_error *damage)
{
	size_t round = j->info->n_rounds;
	uint64_t channels = j->channels;
	struct tail t = { 0 };
	int rc = colo_wait(&j->in, damage);

	if (!rc)
		return 0;
	j->checkpoint++;
	if (rc > 0 && !colo_take(&j->in, &t, damage) &&
	    !intake_check_numbers(&j->in, damage))
		rc = add_checkpoint(j, &t, channels, round) ? -1 : 1;
	else
		rc = -1;
	tail_release(&t);
	return rc;
}

/* All of it, until the primary is gone: -1 with *damage. */
static int checkpoints(struct judge *j, struct mr_error *damage)
{
	int rc;

	do
		rc = next_checkpoint(j, damage);
	while (rc > 0);
	if (rc && damage->code == MR_OK)
		return error_set(damage, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	if (!rc)
		return intake_finish(&j->in, damage);
	intake_blame(&j->in, damage);
	if (add_words(j, mr_reader_tell(&j->in.r)))
		return error_set(damage, MR_NOMEM, MR_NO_OFFSET,
				 "out of memory");
	if (damage->code != MR_SHORT)
		return -1;
	j->info->broken = *damage;
	*damage = (struct mr_error)MR_ERROR_INIT;
	return 0;
}

/* ---- the index ---- */

struct times {
	struct mr_capture_info *info;
	uint64_t bytes[CAPTURE_CONNECTIONS];
	/* The first that has no time yet. */
	size_t round, checkpoint, word;
};

static void note(struct times *t, const struct capture_record *r)
{
	struct mr_capture_info *info = t->info;
	double s = 1e-9 * (double)r->ns;

	t->bytes[r->connection] += r->bytes;
	info->seconds = s;
	while (t->round < info->n_rounds &&
	       info->rounds[t->round].main_end <= t->bytes[0])
		info->rounds[t->round++].seconds = s;
	while (t->checkpoint < info->n_checkpoints &&
	       info->checkpoints[t->checkpoint].main_end <= t->bytes[0])
		info->checkpoints[t->checkpoint++].seconds = s;
	while (t->word < info->n_words &&
	       info->words[t->word].offset + COLO_WORD <= t->bytes[0])
		info->words[t->word++].seconds = s;
}

static int read_records(struct times *t, FILE *f, struct mr_error *damage)
{
	uint8_t buf[CAPTURE_RECORD_SIZE];
	struct capture_record r;
	uint64_t at = 0;
	struct fault fault;

	if (fread(buf, 1, CAPTURE_HEAD_SIZE, f) != CAPTURE_HEAD_SIZE)
		return error_set(damage, MR_SHORT, 0, "index: no head");
	if (capture_head_decode(buf, CAPTURE_HEAD_SIZE, &fault) < 0)
		return error_fault(damage, &fault, 0);
	for (at = CAPTURE_HEAD_SIZE;
	     fread(buf, 1, sizeof(buf), f) == sizeof(buf); at += sizeof(buf)) {
		if (capture_record_decode(buf, sizeof(buf), &r, &fault) < 0)
			return error_fault(damage, &fault, at);
		note(t, &r);
	}
	return ferror(f) ? error_sys(damage, at, "index: cannot read") : 0;
}

/* A receiver that was killed may have bytes without a record, not the other
 * way round. */
static void check_sizes(const struct times *t, const struct capture *c)
{
	for (unsigned i = 0; i < CAPTURE_CONNECTIONS; i++) {
		int fd = t->bytes[i] ? capture_file(c, i) : -1;
		off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

		if (fd >= 0)
			(void)close(fd);
		if ((uint64_t)size < t->bytes[i])
			(void)error_set(&t->info->index_damage, MR_FORMAT,
					MR_NO_OFFSET,
					"index: %" PRIu64 " bytes of "
					"connection %u, which has %jd",
					t->bytes[i], i, (intmax_t)size);
	}
}

static void read_index(const struct capture *c, struct mr_capture_info *info)
{
	struct times t = { .info = info };
	int fd = openat(c->dir, CAPTURE_INDEX_FILE,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

	info->seconds = -1;
	if (!f) {
		if (fd >= 0)
			(void)close(fd);
		/* Any other program can keep connections, without one. */
		if (errno != ENOENT)
			(void)error_sys(&info->index_damage, MR_NO_OFFSET,
					"cannot read the index");
		return;
	}
	if (!read_records(&t, f, &info->index_damage))
		check_sizes(&t, c);
	(void)fclose(f);
}

/* ---- the verb ---- */

static void tell(struct judge *j)
{
	struct mr_capture_info *info = j->info;
	const struct intake *in = &j->in;

	(void)snprintf(info->machine, sizeof(info->machine), "%s",
		       in->config.machine);
	(void)snprintf(info->run_state, sizeof(info->run_state), "%s",
		       in->tail.run_state);
	info->channels = (unsigned)in->n_channels;
	info->packets = intake_packets(in);
	if (in->n_channels)
		(void)snprintf(info->method, sizeof(info->method), "%s",
			       intake_method(in));
	info->page_size = (uint32_t)in->memory.page;
	info->barriers = in->barriers;
	info->bytes = atomic_load(&in->wire.bytes);
	info->device = in->tail.device;
}

static int judge(struct judge *j, struct capture *c, struct mr_error *err)
{
	struct mr_error *damage = &j->info->damage;
	int fd = replay_main(c, err), rc;

	if (fd < 0)
		return -1;
	rc = intake_init(&j->in, fd, &j->sink, err);
	replay_begin(&j->in, c);
	j->in.round_over = barrier;
	j->in.round_arg = j;
	j->in.colo = true;
	if (!rc && (intake_first(&j->in, damage) || checkpoints(j, damage)) &&
	    !error_is_damage(damage)) {
		*err = *damage;
		rc = -1;
	}
	if (!rc && round_over(j, mr_reader_tell(&j->in.r)))
		rc = error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	tell(j);
	intake_release(&j->in);
	return rc;
}

static void forget_blocks(struct judge *j)
{
	for (size_t i = 0; j->seen && i < j->info->n_blocks; i++)
		zeros_free(j->seen[i].bits, j->seen[i].size);
	free(j->seen);
}

int mr_capture_read(const char *path, const struct mr_watch *watch,
		    struct mr_capture_info *info, struct mr_error *err)
{
	struct judge j = { .sink.ops = &ops,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .info = info,
			   .in = { .wire = WIRE_NONE } };
	struct capture c = CAPTURE_NONE;
	int rc;

	*info = (struct mr_capture_info){ .seconds = -1,
					  .broken = MR_ERROR_INIT,
					  .damage = MR_ERROR_INIT,
					  .index_damage = MR_ERROR_INIT };
	rc = capture_open(&c, path, err) ||
	     wire_begin(&j.in.wire, LIMIT, watch, err) || judge(&j, &c, err);
	if (!rc)
		read_index(&c, info);
	forget_blocks(&j);
	wire_release(&j.in.wire);
	capture_close(&c);
	return -rc;
}

void mr_capture_release(struct mr_capture_info *info)
{
	for (size_t i = 0; i < info->n_blocks; i++)
		free(info->blocks[i].name);
	free(info->blocks);
	free(info->rounds);
	free(info->checkpoints);
	free(info->words);
	*info = (struct mr_capture_info){ .n_blocks = 0 };
}
