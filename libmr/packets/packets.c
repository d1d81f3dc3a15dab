/* packets.c - a channel of multifd, packet by packet. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "formats/multifd.h"
#include "libmr/mr.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/file/io.h"

struct reading {
	struct file file;
	struct mr_packets_info *info;
	struct multifd_packet *p;
	uint8_t *head;
	size_t room; /* for blocks */
	uint64_t at;
	uint32_t method;
};

/* The header's size follows from that of pages, which nothing says: the packet
 * that has the magic behind it has the right one. */
static int find_page_size(struct reading *r, struct mr_error *err)
{
	static const uint32_t sizes[] = { 4096, 1024,  8192, 16384,
					  2048, 32768, 65536 };
	uint8_t buf[4];

	r->info->page_size = sizes[0];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t next = r->at + multifd_packet_size(sizes[i]);
		ssize_t n = io_read_upto(&r->file.io, buf, 4, next, err);

		if (n < 0)
			return -1;
		if ((n == 4 && get_be32(buf) == MULTIFD_MAGIC) ||
		    (n == 0 && next == r->file.io.size)) {
			r->info->page_size = sizes[i];
			break;
		}
	}
	return 0;
}

static struct mr_packets_block *find_block(struct reading *r, const char *name)
{
	struct mr_packets_info *info = r->info;
	char *copy;

	for (size_t i = 0; i < info->n_blocks; i++)
		if (!strcmp(info->blocks[i].name, name))
			return &info->blocks[i];
	copy = strdup(name);
	if (!copy || grow(&info->blocks, &r->room, info->n_blocks,
			  sizeof(*info->blocks))) {
		free(copy);
		return NULL;
	}
	info->blocks[info->n_blocks] =
		(struct mr_packets_block){ .name = copy };
	return &info->blocks[info->n_blocks++];
}

static int count(struct reading *r, struct mr_error *err)
{
	const struct multifd_packet *p = r->p;
	struct mr_packets_info *info = r->info;
	struct mr_packets_block *b;

	info->packets++;
	info->syncs += (p->flags & MULTIFD_SYNC) != 0;
	info->normal += p->normal;
	info->zero += p->zero;
	info->size += p->size;
	if (!p->normal && !p->zero)
		return 0;
	b = find_block(r, p->block);
	if (!b)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	b->packets++;
	b->normal += p->normal;
	b->zero += p->zero;
	b->size += p->size;
	return 0;
}

/* What is wrong with the bytes, not with reading them. */
static int damaged(struct reading *r, uint64_t at, const char *what)
{
	return error_set(&r->info->damage, MR_FORMAT, at, "%s", what);
}

static int check_method(struct reading *r)
{
	uint32_t method = r->p->flags & MULTIFD_METHODS;

	if (!r->p->normal && !r->p->zero)
		return 0;
	if (r->info->method && method != r->method)
		return damaged(r, r->at + 8, "packed otherwise than before");
	r->method = method;
	r->info->method = multifd_flag_name(method);
	return 0;
}

/* The next one: 1; 0: the file has ended, or the rest is not understood; -1. */
static int next(struct reading *r, struct mr_packet *out, struct mr_error *err)
{
	size_t size = multifd_packet_size(r->info->page_size);
	ssize_t n = io_read_upto(&r->file.io, r->head, size, r->at, err);
	struct fault f;

	if (n <= 0)
		return (int)n;
	if (multifd_packet_decode(r->head, (size_t)n, r->info->page_size, r->p,
				  &f) < 0) {
		(void)error_fault(&r->info->damage, &f, r->at);
		return 0;
	}
	if (check_method(r))
		return 0;
	if (r->p->size > r->file.io.size - r->at - size) {
		(void)damaged(r, r->file.io.size,
			      "the file ends inside the data of a packet");
		return 0;
	}
	*out = (struct mr_packet){
		.offset = r->at,
		.number = r->p->number,
		.round = r->info->syncs,
		.sync = r->p->flags & MULTIFD_SYNC,
		.method = multifd_flag_name(r->p->flags & MULTIFD_METHODS),
		.block = r->p->block,
		.normal = r->p->normal,
		.zero = r->p->zero,
		.size = r->p->size,
	};
	r->at += size + r->p->size;
	return count(r, err) ? -1 : 1;
}

static int init(struct reading *r, struct mr_error *err)
{
	uint8_t buf[MULTIFD_INIT_SIZE];
	ssize_t n = io_read_upto(&r->file.io, buf, sizeof(buf), 0, err);
	struct multifd_init i;
	struct fault f;

	if (n < 0)
		return -1;
	if (n < 8 || get_be32(buf) != MULTIFD_MAGIC)
		return 1;
	r->info->file_size = r->file.io.size;
	r->info->page_size = 4096;
	if (multifd_init_decode(buf, (size_t)n, &i, &f) < 0) {
		(void)error_fault(&r->info->damage, &f, 0);
		return 0;
	}
	r->at = sizeof(buf);
	r->info->channel = i.channel;
	memcpy(r->info->uuid, i.uuid, sizeof(i.uuid));
	return find_page_size(r, err);
}

int mr_packets_read(const char *path,
		    void (*packet)(void *arg, const struct mr_packet *p),
		    void *arg, const struct mr_watch *watch,
		    struct mr_packets_info *info, struct mr_error *err)
{
	struct reading r = { .file = FILE_CLOSED, .info = info };
	struct mr_packet p;
	int rc;

	*info = (struct mr_packets_info){ .damage = MR_ERROR_INIT };
	if (file_open(&r.file, path, MR_DIRECT_OFF, err))
		return -1;
	r.p = malloc(sizeof(*r.p));
	r.head = malloc(multifd_packet_size(256));
	rc = r.p && r.head
		     ? init(&r, err)
		     : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	while (!rc && !info->damage.code && (rc = next(&r, &p, err)) > 0) {
		rc = 0;
		if (packet)
			packet(arg, &p);
		if (watch && watch->cancel && atomic_load(watch->cancel))
			rc = error_set(err, MR_CANCELLED, MR_NO_OFFSET,
				       "cancelled");
		if (r.at >= info->file_size)
			break;
	}
	free(r.p);
	free(r.head);
	(void)file_close(&r.file);
	return rc;
}

void mr_packets_release(struct mr_packets_info *info)
{
	for (size_t i = 0; i < info->n_blocks; i++)
		free((void *)(uintptr_t)info->blocks[i].name);
	free(info->blocks);
	info->blocks = NULL;
	info->n_blocks = 0;
}
