/* intake.c - the main connection of a migration, element by element. */
#include "libmr/wire/intake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/ram.h"
#include "formats/return_path.h"
#include "libmr/base/error.h"
#include "libmr/image/writer.h"

/* More than any item of a stream that is looked at in one piece. */
#define WINDOW ((size_t)256 << 10)
/* Pages of the main connection that are put together. */
#define EXTENT ((size_t)1 << 20)

static void memory_freed(struct memory *m)
{
	(void)m; /* it is part of the intake */
}

static const struct memory_ops no_ops = { .free = memory_freed };

int intake_init(struct intake *in, int fd, struct sink *to,
		struct mr_error *err)
{
	in->to = to;
	link_init(&in->main, fd, &in->wire);
	(void)pthread_mutex_init(&in->lock, NULL);
	(void)pthread_mutex_init(&in->telling, NULL);
	rounds_init(&in->rounds);
	in->why = (struct mr_error)MR_ERROR_INIT;
	if (memory_init(&in->memory, &no_ops, IMAGE_PAGE, 0, err))
		return -1;
	in->memory.target_page = IMAGE_PAGE;
	in->blocks_room = 1;
	if (pour_init(&in->pour, to, &in->memory, EXTENT, 1, err))
		return -1;
	in->pour.done = intake_poured;
	in->pour.arg = in;
	return reader_init(&in->r, &in->main.io, WINDOW, 0, err);
}

void intake_release(struct intake *in)
{
	(void)intake_join_channels(in, NULL);
	for (size_t i = 0; i < in->n_channels; i++) {
		pour_release(&in->channels[i].pour);
		link_close(&in->channels[i].link);
	}
	free(in->channels);
	link_close(&in->main);
	for (size_t i = 0; i < in->memory.n; i++)
		free((void *)(uintptr_t)in->memory.blocks[i].name);
	names_free(&in->names);
	twice_release(&in->twice);
	memory_free(&in->memory);
	pour_release(&in->pour);
	tail_release(&in->tail);
	reader_release(&in->r);
	rounds_destroy(&in->rounds);
	(void)pthread_mutex_destroy(&in->telling);
	(void)pthread_mutex_destroy(&in->lock);
}

/* A guest that writes meanwhile sends more than it has. */
void intake_poured(void *arg, uint64_t bytes)
{
	struct intake *in = arg;
	const struct mr_watch *w = in->wire.watch;
	uint64_t done = atomic_fetch_add(&in->poured, bytes) + bytes;
	uint64_t total = atomic_load(&in->total);

	if (!w || !w->progress || pthread_mutex_trylock(&in->telling))
		return;
	w->progress(w->arg, done < total ? done : total, total);
	(void)pthread_mutex_unlock(&in->telling);
}

int intake_peek(struct intake *in, size_t *need, const uint8_t **buf,
		size_t *len, struct mr_error *err)
{
	if (reader_need(&in->r, *need, buf, err))
		return -1;
	*len = in->r.have - in->r.at;
	*need = *len + 1;
	return 0;
}

/* ---- what the source is answered ---- */

static int answer(struct intake *in, enum return_path_type type, uint32_t value,
		  struct mr_error *err)
{
	const struct return_path_message m = { .type = type, .value = value };
	uint8_t buf[RETURN_PATH_MAX];

	if (in->deaf)
		return 0;
	return link_send(&in->main, buf, return_path_encode(buf, &m), err);
}

int intake_answer(struct intake *in, bool well, struct mr_error *err)
{
	if (!in->return_path)
		return 0;
	return answer(in, RETURN_PATH_SHUT, well ? 0 : 1, err);
}

/* ---- elements ---- */

static int head(struct intake *in, struct mr_error *err)
{
	const uint8_t *buf;
	struct fault f;
	size_t need = 1, len;
	ssize_t n;

	if (reader_need(&in->r, STREAM_HEADER_SIZE, &buf, err))
		return -1;
	if (stream_header_decode(buf, STREAM_HEADER_SIZE, &f) < 0)
		return error_fault(err, &f, 0);
	mr_reader_skip(&in->r, STREAM_HEADER_SIZE);
	do {
		if (intake_peek(in, &need, &buf, &len, err))
			return -1;
		n = stream_config_decode(buf, len, &in->config, &f);
	} while (n < 0 && f.kind == FAULT_SHORT);
	if (n < 0)
		return error_fault(err, &f, STREAM_HEADER_SIZE);
	mr_reader_skip(&in->r, (uint64_t)n);
	in->memory.machine = in->config.machine;
	in->memory.page_bits = in->config.target_page_bits;
	return 0;
}

/* What a source can send that no image of ours can hold. */
static int check_config(const struct intake *in, struct mr_error *err)
{
	const struct stream_config *c = &in->config;
	const char *why = c->mapped_ram ? "mapped-ram" : "x-ignore-shared";

	if (c->mapped_ram || (c->ignore_shared && !in->devices_only))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "capability %s is on in the source: switch it "
				 "off",
				 why);
	if (c->target_page_bits &&
	    UINT32_C(1) << c->target_page_bits != IMAGE_PAGE)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the machine's pages have %u bytes: only %u "
				 "are supported",
				 1U << c->target_page_bits, IMAGE_PAGE);
	return 0;
}

/*
 * A source that waits for it iterates until it comes; but one before 8.1 takes
 * it for garbage, and of a machine type from 11.1 on it must have been asked
 * for (return_path.md).
 */
static int acknowledge(struct intake *in, struct mr_error *err)
{
	unsigned int version = stream_machine_version(in->config.machine);

	if (version < STREAM_MACHINE(8, 1) || version > STREAM_MACHINE(11, 0))
		return 0;
	return answer(in, RETURN_PATH_SWITCHOVER_ACK, 0, err);
}

static int ping(struct intake *in, const uint8_t *data, struct mr_error *err)
{
	return in->return_path
		       ? answer(in, RETURN_PATH_PONG, get_be32(data), err)
		       : 0;
}

static int command(struct intake *in, const struct stream_element *e,
		   struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	const uint8_t *buf;
	int rc = 0;

	if (in->state == RAM_ENDED && e->command != STREAM_CMD_SWITCHOVER_START)
		return error_set(err, MR_FORMAT, at, "%s in the wrong place",
				 stream_command_name(e->command));
	switch (e->command) {
	case STREAM_CMD_OPEN_RETURN_PATH:
		in->return_path = true;
		rc = acknowledge(in, err);
		break;
	case STREAM_CMD_PING:
		rc = reader_need(&in->r, e->length, &buf, err) ||
		     ping(in, buf, err);
		break;
	case STREAM_CMD_SWITCHOVER_START:
		break;
	case STREAM_CMD_POSTCOPY_ADVISE:
		return error_set(err, MR_UNSUPPORTED, at,
				 "capability %s is on in the source: switch it "
				 "off",
				 e->length ? "postcopy-ram" : "dirty-bitmaps");
	case STREAM_CMD_ENABLE_COLO:
		in->announced = true;
		if (in->devices_only || in->colo)
			break;
		return error_set(
			err, MR_UNSUPPORTED, at,
			"capability x-colo is on in the source: switch it off, "
			"or take it with --colo");
	default:
		return error_set(err, MR_UNSUPPORTED, at,
				 "the source sends %s, which only a running VM "
				 "can answer",
				 stream_command_name(e->command));
	}
	mr_reader_skip(&in->r, e->length);
	return -(rc != 0);
}

static int footer(struct intake *in, uint32_t section, struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	const uint8_t *buf;
	struct fault f;

	/* They can be switched off; then the next element comes at once. */
	if (reader_need(&in->r, 1, &buf, err))
		return -1;
	if (buf[0] != STREAM_FOOTER && in->no_footers)
		return 0;
	if (buf[0] != STREAM_FOOTER && in->state == SECTIONS_NONE) {
		in->no_footers = true;
		return 0;
	}
	if (reader_need(&in->r, STREAM_FOOTER_SIZE, &buf, err))
		return -1;
	if (stream_footer_decode(buf, STREAM_FOOTER_SIZE, section, &f) < 0)
		return error_fault(err, &f, at);
	mr_reader_skip(&in->r, STREAM_FOOTER_SIZE);
	return 0;
}

/* Whether a section may come now: of a primary's checkpoints there are only
 * ends. */
static bool fits(const struct intake *in, const struct stream_element *e)
{
	if (e->type == STREAM_START)
		return in->state == SECTIONS_NONE;
	if (e->section_id != in->section)
		return false;
	return in->state == RAM_STARTED ||
	       (in->checkpoint && e->type == STREAM_END);
}

static int section(struct intake *in, const struct stream_element *e,
		   struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	bool start = e->type == STREAM_START;

	if (start && strcmp(e->idstr, RAM_IDSTR) != 0)
		return error_set(err, MR_UNSUPPORTED, at,
				 "the source sends \"%.64s\" while it runs, "
				 "which no image can hold",
				 e->idstr);
	if (start && e->version_id != RAM_VERSION)
		return error_set(err, MR_UNSUPPORTED, at,
				 "version %" PRIu32 " of section \"ram\"",
				 e->version_id);
	if (start && in->colo && in->announced && in->return_path)
		return error_set(err, MR_UNSUPPORTED, at,
				 "capability return-path is on in a primary "
				 "before QEMU 11.0, which would end it: switch "
				 "it off");
	if (!fits(in, e))
		return error_set(err, MR_FORMAT, at,
				 "section %" PRIu32 " in the wrong place",
				 e->section_id);
	in->section = e->section_id;
	if (intake_ram(in, start, err) || footer(in, e->section_id, err))
		return -1;
	in->state = e->type == STREAM_END ? RAM_ENDED : RAM_STARTED;
	return 0;
}

static int no_end(const struct intake *in, const struct mr_error *why,
		  struct mr_error *err)
{
	if (why->code == MR_SHORT)
		return error_set(err, MR_SHORT, mr_reader_tell(&in->r),
				 "the connection ends before the device state "
				 "does: the migration was given up, or its "
				 "machine sends no description "
				 "(suppress-vmdesc=on)");
	*err = *why;
	return -1;
}

/* Everything from the first device section on. */
static int device_state(struct intake *in, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	int rc;

	if (in->state == SECTIONS_NONE)
		return error_set(err, MR_FORMAT, mr_reader_tell(&in->r),
				 "device state before the memory");
	do {
		const uint8_t *buf;
		size_t need = 1, n, had = in->tail.len;

		if (intake_peek(in, &need, &buf, &n, &why))
			return no_end(in, &why, err);
		if (tail_add(&in->tail, buf, n, err))
			return -1;
		rc = tail_ended(&in->tail, IMAGE_PAGE, err);
		/* What stands behind the end may be a primary's word. */
		if (rc > 0 && in->tail.len > had)
			n = in->tail.len - had;
		mr_reader_skip(&in->r, n);
	} while (!rc);
	return rc < 0 ? -1 : 0;
}

int intake_element(struct intake *in, struct mr_error *err)
{
	uint64_t at = mr_reader_tell(&in->r);
	struct stream_element e;
	size_t need = 1, len;
	const uint8_t *buf;
	struct fault f;
	ssize_t n;

	do {
		if (intake_peek(in, &need, &buf, &len, err))
			return -1;
		if (buf[0] == STREAM_FULL)
			return 0;
		n = stream_element_decode(buf, len, &e, &f);
	} while (n < 0 && f.kind == FAULT_SHORT);
	if (n < 0)
		return error_fault(err, &f, at);
	if (e.type != STREAM_COMMAND && e.type != STREAM_START &&
	    e.type != STREAM_PART && e.type != STREAM_END)
		return error_set(err, MR_FORMAT, at, "%s in the wrong place",
				 stream_type_name(e.type));
	mr_reader_skip(&in->r, (uint64_t)n);
	if (e.type == STREAM_COMMAND ? command(in, &e, err)
				     : section(in, &e, err))
		return -1;
	return 1;
}

static int run(struct intake *in, struct mr_error *err)
{
	int rc;

	if (head(in, err) || check_config(in, err))
		return -1;
	while ((rc = intake_element(in, err)) > 0)
		;
	if (rc || device_state(in, err))
		return -1;
	return pour_end(&in->pour, err);
}

/* A channel's failure comes first: what we saw is what follows from it. */
static void blame(struct intake *in, struct mr_error *err)
{
	(void)pthread_mutex_lock(&in->lock);
	if (in->why.code != MR_OK)
		*err = in->why;
	else
		link_explain(&in->wire, err);
	/* Of a capture it is the file that ends; no_end has said it already. */
	if (err && err->code == MR_SHORT && !err->sys && !in->deaf &&
	    !in->tail.len) {
		struct mr_error is = *err;

		(void)snprintf(err->msg, sizeof(err->msg),
			       "%.180s: the source gave up, or has ended",
			       is.msg);
	}
	(void)pthread_mutex_unlock(&in->lock);
}

void intake_blame(struct intake *in, struct mr_error *err)
{
	(void)intake_join_channels(in, NULL);
	blame(in, err);
}

int intake_settle(struct intake *in, struct sink *to, struct mr_error *err)
{
	return twice_settle(&in->twice, to, in->wire.watch, err);
}

int intake_finish(struct intake *in, struct mr_error *err)
{
	if (in->held)
		rounds_go_on(&in->rounds);
	in->held = false;
	/* Either they come to their ends, or to a barrier that is not. */
	(void)rounds_flush(&in->rounds);
	if (!intake_join_channels(in, err))
		return 0;
	blame(in, err);
	return -1;
}

int intake_first(struct intake *in, struct mr_error *err)
{
	if (!run(in, err))
		return 0;
	intake_blame(in, err);
	return -1;
}

int intake_run(struct intake *in, struct mr_error *err)
{
	int rc = run(in, err);

	if (!rc && !intake_join_channels(in, err) &&
	    !intake_settle(in, in->to, err)) {
		for (size_t i = 0; i < in->n_channels; i++)
			outbox_leave(&in->channels[i].pour.out);
		outbox_leave(&in->pour.out);
		return 0;
	}
	intake_blame(in, err);
	return -1;
}
